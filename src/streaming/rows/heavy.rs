//! The rows of largest norm, kept as they are.
//!
//! No state of O(d) numbers that lacks them answers in general (Kacham and Woodruff 2024): a few heavy rows may be all that
//! the top eigenvector is made of. What is not among the h heaviest so far goes on, a light row: the row itself, or the one
//! that it has driven out.

use crate::error::Result;
use crate::memory::{collected, copied, push, resize};
use crate::simd::Stored;
use crate::streaming::rows::chunk::{Chunk, Few, Lines, Precision};
use crate::streaming::small::numbers::Numbers;
use serde::{Deserialize, Serialize};

/// What memory is for.
const NORMS: &str = "the norms of heavy rows";

/// At most so many rows.
#[derive(Serialize, Deserialize)]
pub struct Heavy {
    most: usize,
    d: usize,
    /// Row after row.
    rows: Numbers,
    kept: Vec<Kept>,
}

/// What is known of a heavy row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    norm_sq: f64,
    /// Of its weight.
    root: f64,
    /// How many rows came before.
    number: u64,
}

/// Light rows that are not those that came.
#[derive(Default)]
pub struct Sifted<T> {
    places: Vec<Place>,
    norms: Vec<f64>,
    roots: Vec<f64>,
    numbers: Vec<u64>,
    /// Rows that were driven out, and the columns of their numbers if only those other than zero are there.
    values: Vec<T>,
    columns: Vec<u32>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

/// Where a light row is.
#[derive(Clone, Copy)]
enum Place {
    /// Of those that came, which.
    Came(usize),
    /// Of those that were driven out, which.
    Left(usize),
}

impl Heavy {
    /// None yet.
    pub fn new(most: usize, d: usize) -> Result<Self> {
        Ok(Self { most, d, rows: Numbers::zeros(most * d)?, kept: Vec::new() })
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        let kept = copied(&self.kept, NORMS)?;
        Ok(Self { most: self.most, d: self.d, rows: self.rows.copy()?, kept })
    }

    /// True of what a stream of `d` columns may have.
    pub fn fits(&self, most: usize, d: usize) -> bool {
        let sound = |kept: &Kept| kept.norm_sq >= 0.0 && kept.norm_sq.is_finite() && kept.root.is_finite();
        (self.most, self.d) == (most, d)
            && self.rows.len() == most * d
            && self.kept.len() <= most
            && self.kept.iter().all(sound)
    }

    /// Numbers of the state.
    pub fn room(&self) -> usize {
        self.rows.len()
    }

    /// Row after row.
    pub fn copy_of_rows(&self) -> Result<Numbers> {
        let mut rows = Numbers::zeros(self.kept.len() * self.d)?;
        let len = rows.len();
        rows.copy_from_slice(&self.rows[..len]);
        Ok(rows)
    }

    /// Roots of their weights.
    pub fn roots(&self) -> Result<Vec<f64>> {
        collected(self.kept.iter().map(|kept| kept.root), NORMS)
    }

    /// In another unit: rows times `factor`, a power of two.
    pub fn scale(&mut self, factor: f64) {
        self.rows.scale(factor);
        self.kept.iter_mut().for_each(|kept| kept.norm_sq *= factor * factor);
    }

    /// Takes the rows of a chunk, and gives those that go on: the same chunk if none was taken. Rows of zeros do only if
    /// they are to be centred.
    pub fn sift<'c, T: Precision>(
        &mut self,
        chunk: Chunk<'c, T>,
        zeros: bool,
        sifted: &'c mut Sifted<T>,
    ) -> Result<Chunk<'c, T>> {
        let mut least = self.least();
        let stays =
            |norm_sq: f64, least: Option<f64>| norm_sq > 0.0 && least.is_some_and(|least| norm_sq <= least);
        if chunk.norms.iter().all(|&norm_sq| stays(norm_sq, self.below(least))) {
            return Ok(chunk);
        }
        sifted.clear();
        for (i, (&norm_sq, &root)) in chunk.norms.iter().zip(chunk.roots).enumerate() {
            let kept = Kept { norm_sq, root, number: chunk.number(i) };
            if norm_sq == 0.0 && !zeros {
                continue;
            }
            if norm_sq == 0.0 || stays(norm_sq, self.below(least)) {
                sifted.push(Place::Came(i), kept)?;
                continue;
            }
            let at = match least {
                Some(at) if self.kept.len() == self.most => {
                    let left = std::mem::replace(&mut self.kept[at], kept);
                    sifted.push(Place::Left(sifted.ends.len()), left)?;
                    sifted
                        .copy(&self.rows[at * self.d..][..self.d], matches!(chunk.lines, Lines::Stored(_)))?;
                    at
                }
                _ => {
                    push(&mut self.kept, kept, NORMS)?;
                    self.kept.len() - 1
                }
            };
            chunk.write_row(i, &mut self.rows[at * self.d..][..self.d]);
            least = self.least();
        }
        Ok(sifted.of(&chunk))
    }

    /// The squared norm that a row must exceed to be kept; None if there is room for any.
    fn below(&self, least: Option<usize>) -> Option<f64> {
        if self.most == 0 {
            return Some(f64::INFINITY);
        }
        least.filter(|_| self.kept.len() == self.most).map(|at| self.kept[at].norm_sq)
    }

    /// The row that the next heavier one drives out: of the lightest, the last that came.
    fn least(&self) -> Option<usize> {
        let order = |a: &Kept, b: &Kept| a.norm_sq.total_cmp(&b.norm_sq).then(b.number.cmp(&a.number));
        (0..self.kept.len()).min_by(|&a, &b| order(&self.kept[a], &self.kept[b]))
    }
}

impl<T: Precision> Sifted<T> {
    fn clear(&mut self) {
        self.places.clear();
        self.norms.clear();
        self.roots.clear();
        self.numbers.clear();
        self.values.clear();
        self.columns.clear();
        self.ends.clear();
    }

    fn push(&mut self, place: Place, Kept { norm_sq, root, number }: Kept) -> Result<()> {
        push(&mut self.places, place, NORMS)?;
        push(&mut self.norms, norm_sq, NORMS)?;
        push(&mut self.roots, root, NORMS)?;
        push(&mut self.numbers, number, NORMS)
    }

    /// Keeps a row that is driven out, all of it or its entries.
    fn copy(&mut self, row: &[f64], stored: bool) -> Result<()> {
        const ROWS: &str = "light rows";
        /// Numbers that are looked at together.
        const LINE: usize = 16;
        let from = self.values.len();
        if !stored {
            resize(&mut self.values, from + row.len(), T::default(), ROWS)?;
            let to = self.values[from..].iter_mut();
            to.zip(row).for_each(|(to, number)| *to = T::from_f64(*number));
        } else {
            for (first, numbers) in (0..).step_by(LINE).zip(row.chunks(LINE)) {
                if numbers.iter().any(|number| *number != 0.0) {
                    for (column, &number) in (first..).zip(numbers).filter(|(_, number)| **number != 0.0) {
                        push(&mut self.columns, column, ROWS)?;
                        push(&mut self.values, T::from_f64(number), ROWS)?;
                    }
                }
            }
        }
        push(&mut self.ends, self.values.len(), NORMS)
    }

    fn of<'c>(&'c self, came: &Chunk<'c, T>) -> Chunk<'c, T> {
        let left = |e: usize| if e == 0 { 0 } else { self.ends[e - 1] }..self.ends[e];
        let lines = match &came.lines {
            Lines::Dense(rows) => Lines::Dense(Few::of(self.places.iter().map(|place| match *place {
                Place::Came(i) => rows[i],
                Place::Left(e) => &self.values[left(e)],
            }))),
            Lines::Stored(rows) => Lines::Stored(Few::of(self.places.iter().map(|place| match *place {
                Place::Came(i) => rows[i],
                Place::Left(e) => Stored { columns: &self.columns[left(e)], values: &self.values[left(e)] },
            }))),
        };
        Chunk { lines, norms: &self.norms, roots: &self.roots, numbers: &self.numbers, ..*came }
    }
}
