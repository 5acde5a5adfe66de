//! A triangle that rows are appended to: each block is stacked below it and the stack factorised anew, which needs
//! 2 b d² flops for a block of b rows: the reflectors meet one row of the triangle each.

use super::householder::{Factorisation, Shape, Workspace};
use super::scaling::{SMALLEST, larger, largest_of, scale, unit_of};
use crate::error::Result;
use crate::matrix::Mat;
use crate::memory::{copied, filled};
use crate::simd::kernel;

/// What memory is for.
const PURPOSE: &str = "a QR factorisation";

/// R of the rows so far, upper triangular and square, with its columns in units of their own: powers of two.
///
/// Backward stable column by column: R is the exact factor of a matrix that differs from the rows by a few rounding
/// errors of each column and block.
pub(crate) struct Triangle {
    r: Mat<f64>,
    units: Vec<f64>,
}

/// What it takes to append a block.
pub(crate) struct Appending {
    t: Mat<f64>,
    work: Workspace,
    largest: Vec<f64>,
}

impl Appending {
    /// For blocks of up to so many rows.
    pub(crate) fn new(rows: usize, d: usize) -> Result<Self> {
        let (t, work) = (Factorisation::room_for_t(d)?, Workspace::new(rows, d)?);
        Ok(Self { t, work, largest: filled(0.0, d, PURPOSE)? })
    }
}

impl Triangle {
    /// That of no rows.
    pub(crate) fn new(d: usize) -> Result<Self> {
        Ok(Self { r: Mat::zeros(d, d)?, units: filled(SMALLEST, d, PURPOSE)? })
    }

    /// Of an upper triangle.
    pub(crate) fn of(mut r: Mat<f64>) -> Result<Self> {
        let mut units = filled(SMALLEST, r.ncols(), PURPOSE)?;
        for (j, unit) in units.iter_mut().enumerate() {
            *unit = unit_of(largest_of(r.col(j)));
            scale(r.col_mut(j), unit.recip());
        }
        Ok(Self { r, units })
    }

    /// What [`Triangle::scaled`] has shown. Columns below the diagonal are zeros.
    pub(crate) fn of_scaled(r: Mat<f64>, units: Vec<f64>) -> Self {
        Self { r, units }
    }

    /// R with its columns in units, and these.
    pub(crate) fn scaled(&self) -> (&Mat<f64>, &[f64]) {
        (&self.r, &self.units)
    }

    /// The same, R to be changed.
    pub(crate) fn scaled_mut(&mut self) -> (&mut Mat<f64>, &[f64]) {
        (&mut self.r, &self.units)
    }

    /// R itself.
    pub(crate) fn into_mat(mut self) -> Mat<f64> {
        for (j, unit) in self.units.iter().enumerate() {
            scale(self.r.col_mut(j), *unit);
        }
        self.r
    }

    /// An independent copy, as an error-returning `clone`.
    pub(crate) fn copy(&self) -> Result<Self> {
        Ok(Self { r: self.r.copy()?, units: copied(&self.units, PURPOSE)? })
    }

    /// Units no smaller than those of columns with these largest magnitudes. The units.
    pub(crate) fn make_room(&mut self, largest: &[f64]) -> &[f64] {
        for (j, &largest) in largest.iter().enumerate() {
            self.make_room_in(j, largest);
        }
        &self.units
    }

    /// A unit of this column no smaller than that of numbers up to `largest`. The unit.
    pub(crate) fn make_room_in(&mut self, j: usize, largest: f64) -> f64 {
        let (unit, raised) = (self.units[j], unit_of(largest).max(self.units[j]));
        scale(self.r.col_mut(j), unit / raised);
        self.units[j] = raised;
        raised
    }

    /// Appends the first `rows` rows of `v`, which are in units that there is room for; nothing is left of them.
    pub(crate) fn append_scaled(&mut self, v: &mut Mat<f64>, rows: usize, with: &mut Appending) {
        let Appending { t, work, .. } = with;
        Factorisation { shape: Shape::Block(rows), r: &mut self.r, v, t, work }.run();
    }

    /// Appends the first rows of `v`, as many as there are `roots`, which they are multiplied by after `centre` was taken
    /// off them; nothing is left of them.
    pub(crate) fn append(&mut self, v: &mut Mat<f64>, centre: &[f64], roots: &[f64], with: &mut Appending) {
        let rows = roots.len();
        for (j, largest) in with.largest.iter_mut().enumerate() {
            *largest = centre_and_weigh(&mut v.col_mut(j)[..rows], centre[j], roots);
        }
        for (j, unit) in self.make_room(&with.largest).iter().enumerate() {
            multiply(&mut v.col_mut(j)[..rows], unit.recip());
        }
        self.append_scaled(v, rows, with);
    }

    /// Appends an upper triangle, of which nothing is left.
    pub(crate) fn append_triangle(&mut self, v: &mut Mat<f64>) -> Result<()> {
        let d = v.ncols();
        let Appending { mut t, mut work, mut largest } = Appending::new(d, d)?;
        largest.iter_mut().enumerate().for_each(|(j, largest)| *largest = largest_of(v.col(j)));
        self.make_room(&largest);
        (0..d).for_each(|j| scale(v.col_mut(j), self.units[j].recip()));
        Factorisation { shape: Shape::Triangle, r: &mut self.r, v, t: &mut t, work: &mut work }.run();
        Ok(())
    }
}

kernel! {
    /// What is left of numbers when `centre` is taken off them, times `roots`; the largest magnitude, NaN passed over.
    fn centre_and_weigh<V>(column: &mut [f64], centre: f64, roots: &[f64]) -> f64 {
        let (chunks, rest) = column.as_chunks_mut::<8>();
        let (weights, rest_of_weights) = roots.as_chunks::<8>();
        let (at, mut largest) = (V::splat(centre), [0.0; 8]);
        for (chunk, weight) in chunks.iter_mut().zip(weights) {
            V::load(chunk).sub(at).mul(V::load(weight)).store(chunk);
            (0..8).for_each(|l| largest[l] = larger(chunk[l].abs(), largest[l]));
        }
        for (value, weight) in rest.iter_mut().zip(rest_of_weights) {
            *value = (*value - centre) * weight;
            largest[0] = larger(value.abs(), largest[0]);
        }
        largest.into_iter().fold(0.0, |largest, value| larger(value, largest))
    }
}

kernel! {
    fn multiply<V>(column: &mut [f64], factor: f64) -> () {
        column.iter_mut().for_each(|value| *value *= factor);
    }
}
