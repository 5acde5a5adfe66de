//! Rows on their way into a summary, where they lie, in either precision, all their numbers or only what is stored of them.

use crate::error::{Error, Result};
use crate::matrix::Real;
use crate::memory::resize;
use crate::simd::{
    Stored, add_rows, add_stored, norm_sq, row_gram, row_products, stored_gram, stored_norm_sq,
    stored_products, sums_of_rows, widen,
};
use crate::streaming::small::numbers::Directions;
use std::ops::Deref;

/// Rows that are taken together; the first of them has a number that this divides.
pub const CHUNK: usize = 32;
/// Rows of a chunk, and one that stands for their mean.
const MOST: usize = CHUNK + 1;
/// What memory is for.
const ROOM: &str = "room for the rows of a chunk";
/// The number of rows that another stream had: they count as later than all that came in this one.
pub const LATER: u64 = u64::MAX / 2;

/// At most as many things as a chunk has rows.
#[derive(Clone, Copy)]
pub struct Few<R> {
    rows: [R; MOST],
    len: usize,
}

impl<R: Copy + Default> Few<R> {
    /// What these are. Panics if they are more.
    pub fn of(rows: impl IntoIterator<Item = R>) -> Self {
        let mut few = Self { rows: [R::default(); MOST], len: 0 };
        for row in rows {
            few.rows[few.len] = row;
            few.len += 1;
        }
        few
    }
}

impl<R> Deref for Few<R> {
    type Target = [R];
    fn deref(&self) -> &[R] {
        &self.rows[..self.len]
    }
}

/// Rows, each where it lies.
#[derive(Clone, Copy)]
#[expect(clippy::large_enum_variant, reason = "a few at a time, on the stack")]
pub enum Lines<'c, T> {
    /// All numbers.
    Dense(Few<&'c [T]>),
    /// Those that may be other than zero.
    Stored(Few<Stored<'c, T>>),
}

/// At most [`CHUNK`] rows, and perhaps one for their mean.
#[derive(Clone, Copy)]
pub struct Chunk<'c, T> {
    pub lines: Lines<'c, T>,
    /// Numbers of a row.
    pub d: usize,
    /// Their squared norms, none of which is zero.
    pub norms: &'c [f64],
    /// Roots of their weights, which the rows already hold.
    pub roots: &'c [f64],
    /// How many rows came before the first of those that came together.
    pub first: u64,
    /// How many rows came before each, if they did not come one after the other.
    pub numbers: &'c [u64],
}

/// The precisions of rows.
pub trait Precision: Real {
    /// What rows of this precision are multiplied by.
    fn of(directions: &Directions) -> &[Self];
    /// The slice itself when the type is `f32`.
    fn as_f32(slice: &[Self]) -> Option<&[f32]>;
    /// Rounds numbers to the others, if this is single precision.
    fn round(numbers: &[f64], narrow: &mut Vec<f32>) -> Result<()>;
    /// What are in this precision of numbers and the same that are rounded.
    fn of_either<'n>(numbers: &'n [f64], narrow: &'n [f32]) -> &'n [Self];
}

impl Precision for f64 {
    fn of(directions: &Directions) -> &[f64] {
        let Directions::Double(numbers) = directions else { unreachable!("directions in single precision") };
        numbers
    }
    fn as_f32(_: &[f64]) -> Option<&[f32]> {
        None
    }
    fn round(_: &[f64], _: &mut Vec<f32>) -> Result<()> {
        Ok(())
    }
    fn of_either<'n>(numbers: &'n [f64], _: &'n [f32]) -> &'n [f64] {
        numbers
    }
}

impl Precision for f32 {
    fn of(directions: &Directions) -> &[f32] {
        let Directions::Single(numbers) = directions else { unreachable!("directions in double precision") };
        numbers
    }
    fn as_f32(slice: &[f32]) -> Option<&[f32]> {
        Some(slice)
    }
    fn round(numbers: &[f64], narrow: &mut Vec<f32>) -> Result<()> {
        resize(narrow, numbers.len(), 0.0, ROOM)?;
        round(numbers, narrow);
        Ok(())
    }
    fn of_either<'n>(_: &'n [f64], narrow: &'n [f32]) -> &'n [f32] {
        narrow
    }
}

/// What is written to in between.
#[derive(Default)]
pub struct Room<T> {
    factors: Vec<T>,
    /// Zeros.
    chains: Vec<T>,
}

impl<T: Real> Room<T> {
    fn zeros(&mut self, len: usize) -> Result<&mut [T]> {
        if self.chains.len() < len {
            resize(&mut self.chains, len, T::default(), ROOM)?;
        }
        Ok(&mut self.chains[..len])
    }

    fn factors(&mut self, c: &[f64]) -> Result<()> {
        resize(&mut self.factors, c.len(), T::default(), ROOM)?;
        self.factors.iter_mut().zip(c).for_each(|(to, from)| *to = T::from_f64(*from));
        Ok(())
    }
}

impl<'c, T: Precision> Chunk<'c, T> {
    /// Rows of which no other has come before.
    pub fn of(lines: Lines<'c, T>, d: usize, norms: &'c [f64], roots: &'c [f64]) -> Self {
        Self { lines, d, norms, roots, first: 0, numbers: &[] }
    }

    /// The same that lie one after the other.
    pub fn dense(rows: &'c [T], d: usize, norms: &'c [f64], roots: &'c [f64]) -> Self {
        let row = |i: usize| &rows[i * d..][..d];
        Self::of(Lines::Dense(Few::of((0..norms.len()).map(row))), d, norms, roots)
    }

    /// The same rows in another way.
    fn written<'r, U>(&self, lines: Lines<'r, U>) -> Chunk<'r, U>
    where
        'c: 'r,
    {
        let Chunk { d, norms, roots, first, numbers, .. } = *self;
        Chunk { lines, d, norms, roots, first, numbers }
    }

    /// How many rows came before that one.
    pub fn number(&self, i: usize) -> u64 {
        self.numbers.get(i).copied().unwrap_or(self.first + i as u64)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.norms.len()
    }

    /// Y, m x b, row after row: what rows are along directions, b x d.
    pub fn along(&self, directions: &[T], out: &mut [f64]) {
        match &self.lines {
            Lines::Dense(rows) => row_products(rows, directions, out),
            Lines::Stored(rows) => stored_products(rows, directions, self.d, out),
        }
    }

    /// K, m x m: what they are along each other.
    pub fn gram(&self, out: &mut [f64], room: &mut Room<T>) -> Result<()> {
        match &self.lines {
            Lines::Dense(rows) => row_gram(rows, out),
            Lines::Stored(rows) => stored_gram(rows, room.zeros(self.d)?, out),
        }
        Ok(())
    }

    /// Adds C'X to b sums of d numbers, where C, m x b, has a row for each of the rows.
    pub fn add_to(&self, sums: &mut [f64], c: &[f64], room: &mut Room<T>) -> Result<()> {
        room.factors(c)?;
        match &self.lines {
            Lines::Dense(rows) => add_rows(rows, &room.factors, sums),
            Lines::Stored(rows) => {
                room.zeros(sums.len())?;
                add_stored(rows, &room.factors, &mut room.chains, sums);
            }
        }
        Ok(())
    }

    /// What [`Chunk::add_to`] would add, of rows that are there with all their numbers.
    pub fn sums(&self, sums: &mut [T], c: &[f64], room: &mut Room<T>) -> Result<()> {
        let Lines::Dense(rows) = &self.lines else {
            return Err(Error::Internal("sums of entries by themselves".into()));
        };
        room.factors(c)?;
        sums_of_rows(rows, &room.factors, sums);
        Ok(())
    }

    /// Rounds numbers in the columns of entries anew: those that [`Chunk::add_to`] has changed in sums. False, and nothing, if
    /// these are all of them.
    pub fn round_touched(&self, sums: &[f64], narrow: &mut [f32]) -> bool {
        let Lines::Stored(rows) = &self.lines else { return false };
        for &column in rows.iter().flat_map(|row| row.columns) {
            for at in (column as usize..narrow.len()).step_by(self.d) {
                narrow[at] = sums[at] as f32;
            }
        }
        true
    }

    /// Writes row `i` out.
    pub fn write_row(&self, i: usize, to: &mut [f64]) {
        match &self.lines {
            Lines::Dense(rows) => widen(rows[i], to),
            Lines::Stored(rows) => {
                to.fill(0.0);
                for (&column, value) in rows[i].columns.iter().zip(rows[i].values) {
                    to[column as usize] = value.to_f64();
                }
            }
        }
    }

    /// The signs of the first entries of the rows that are not zero.
    pub fn sign(&self, i: usize) -> f64 {
        let numbers = match &self.lines {
            Lines::Dense(rows) => rows[i],
            Lines::Stored(rows) => rows[i].values,
        };
        let first = numbers.iter().map(|number| number.to_f64()).find(|number| *number != 0.0);
        first.map_or(1.0, f64::signum)
    }

    /// The same rows in double precision, written out if they are not.
    pub fn widened<'r>(&self, buffer: &'r mut Vec<f64>) -> Result<Chunk<'r, f64>>
    where
        'c: 'r,
    {
        if T::as_f64(&[]).is_some() {
            let lines = match &self.lines {
                Lines::Dense(rows) => {
                    Lines::Dense(Few::of(rows.iter().map(|row| T::as_f64(row).unwrap_or_default())))
                }
                Lines::Stored(rows) => Lines::Stored(Few::of(rows.iter().map(|row| Stored {
                    columns: row.columns,
                    values: T::as_f64(row.values).unwrap_or_default(),
                }))),
            };
            return Ok(self.written(lines));
        }
        resize(buffer, self.len() * self.d, 0.0, ROOM)?;
        (0..self.len()).for_each(|i| self.write_row(i, &mut buffer[i * self.d..][..self.d]));
        Ok(self.written(Chunk::dense(buffer, self.d, self.norms, self.roots).lines))
    }

    /// The same rows in single precision, rounded if they are not.
    pub fn narrowed<'r>(&self, buffer: &'r mut Vec<f32>) -> Result<Chunk<'r, f32>>
    where
        'c: 'r,
    {
        let d = self.d;
        let lines = match &self.lines {
            Lines::Dense(rows) if T::as_f32(&[]).is_some() => {
                Lines::Dense(Few::of(rows.iter().map(|row| T::as_f32(row).unwrap_or_default())))
            }
            Lines::Stored(rows) if T::as_f32(&[]).is_some() => {
                Lines::Stored(Few::of(rows.iter().map(|row| Stored {
                    columns: row.columns,
                    values: T::as_f32(row.values).unwrap_or_default(),
                })))
            }
            Lines::Dense(rows) => {
                resize(buffer, self.len() * d, 0.0, ROOM)?;
                rows.iter().zip(buffer.chunks_exact_mut(d.max(1))).for_each(|(row, to)| round(row, to));
                return Ok(self.written(Chunk::dense(buffer, d, self.norms, self.roots).lines));
            }
            Lines::Stored(_) => return Err(Error::Internal("entries in another precision".into())),
        };
        Ok(self.written(lines))
    }
}

fn round<T: Real>(from: &[T], to: &mut [f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = from.to_f64() as f32);
}

/// The squared norms of rows.
pub fn squared_norms<T: Precision>(lines: &Lines<'_, T>, d: usize, norms: &mut Vec<f64>) -> Result<()> {
    match lines {
        Lines::Dense(rows) => {
            resize(norms, rows.len(), 0.0, ROOM)?;
            norms.iter_mut().zip(rows.iter()).for_each(|(norm, row)| *norm = norm_sq(row));
        }
        Lines::Stored(rows) => {
            resize(norms, rows.len(), 0.0, ROOM)?;
            norms.iter_mut().zip(rows.iter()).for_each(|(norm, row)| *norm = stored_norm_sq(*row, d));
        }
    }
    Ok(())
}
