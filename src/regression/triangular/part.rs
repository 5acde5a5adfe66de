//! The triangle of some rows, about a point of their own.
//!
//! With a constant it is that of [w, W (Z - 1 c')], w being the root weights and W their diagonal: its first row holds
//! |w| and how far the mean is from c, and what is below it is the triangle of centred rows. Numbers that are nearly
//! constant leave nothing but their deviations from c, each rounded for itself, so that no digit is lost to the mean.
//! c is moved by changes of the first row alone, whose rounding is that of |w| times the way. So it is always moved for
//! rows of less weight to where rows of more weight are: then all rounding is of the size of centred columns, wherever
//! rows of little weight may be.

use crate::error::Result;
use crate::linalg::{Appending, Triangle};
use crate::matrix::Mat;
use crate::memory::{copied, zeros};
use crate::regression::triangular::tile::Tile;
use crate::simd::{Extended, kernel};

/// What memory is for.
const CENTRE: &str = "a row of means";

/// A triangle of rows, or of none.
pub(crate) struct Part {
    pub triangle: Triangle,
    /// c; zeros without a constant, and for the constant itself.
    pub centre: Vec<f64>,
    /// Whether there is a constant.
    pub constant: bool,
    /// The most rotations of a row by rounded reflectors: of how many blocks a triangle was made one after the other.
    pub steps: u64,
}

impl Part {
    /// Of no rows of so many numbers.
    pub fn new(order: usize, constant: bool) -> Result<Self> {
        Ok(Self { triangle: Triangle::new(order)?, centre: zeros(order, CENTRE)?, constant, steps: 0 })
    }

    /// Appends the rows of a tile, which is empty then.
    pub fn append(&mut self, tile: &mut Tile, with: &mut Appending) {
        let roots = &tile.roots[..std::mem::take(&mut tile.filled)];
        let Some((heaviest, weight)) = weight_of(roots) else { return };
        if self.constant && weight > self.weight() {
            // From a row that few are far from in their weights, so that nothing is lost to it.
            self.move_to(|j| {
                let column = &tile.values.col(j)[..roots.len()];
                let mean = column[heaviest] + mean_beside(column, column[heaviest], roots, weight.recip());
                if mean.is_finite() { mean } else { column[heaviest] }
            });
        }
        self.triangle.append(&mut tile.values, &self.centre, roots, with);
        self.steps += 1;
        self.recentre();
    }

    /// Appends all rows of another one, which come after those of this one.
    pub fn merge(&mut self, other: Self) -> Result<()> {
        if other.steps == 0 {
            return Ok(());
        }
        if self.steps == 0 {
            *self = other;
            return Ok(());
        }
        if self.constant && other.weight() > self.weight() {
            self.move_to(|j| other.centre[j]);
        }
        let mut below = other.triangle.into_mat();
        if self.constant {
            move_centre(&mut below, &other.centre, &self.centre);
        }
        self.triangle.append_triangle(&mut below)?;
        self.steps = self.steps.max(other.steps) + 1;
        self.recentre();
        Ok(())
    }

    /// |w|, where there is a constant.
    fn weight(&self) -> f64 {
        let (r, units) = self.triangle.scaled();
        r[(0, 0)].abs() * units[0]
    }

    /// Moves c, where there is a constant.
    pub fn move_to(&mut self, centre: impl Fn(usize) -> f64) {
        let columns = if self.constant { 1..self.centre.len() } else { 0..0 };
        for j in columns {
            let (from, to) = (self.centre[j], centre(j));
            let (r, units) = self.triangle.scaled();
            let moved = shifted(r[(0, j)] * units[j], r[(0, 0)] * units[0], from, to);
            let unit = self.triangle.make_room_in(j, moved.abs());
            self.triangle.scaled_mut().0[(0, j)] = moved / unit;
            self.centre[j] = to;
        }
    }

    /// Moves c to the mean, but for its rounding.
    pub fn recentre(&mut self) {
        if !self.constant {
            return;
        }
        let (r, units) = self.triangle.scaled_mut();
        for j in 1..units.len() {
            let length = r[(0, 0)] * (units[0] / units[j]);
            let moved = self.centre[j] + r[(0, j)] / length;
            if moved.is_finite() {
                let mut left = Extended::from(r[(0, j)]);
                left.add_multiple(-length, difference(moved, self.centre[j]));
                (r[(0, j)], self.centre[j]) = (left.value(), moved);
            }
        }
    }

    /// Whether nothing in it has overflowed.
    pub fn is_finite(&self) -> bool {
        let (r, _) = self.triangle.scaled();
        r.as_slice().iter().chain(&self.centre).all(|value| value.is_finite())
    }

    /// An error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        Ok(Self { triangle: self.triangle.copy()?, centre: copied(&self.centre, CENTRE)?, ..*self })
    }
}

/// Moves the point of a triangle with a constant, its columns in their own units.
pub(crate) fn move_centre(r: &mut Mat<f64>, from: &[f64], to: &[f64]) {
    for j in 1..r.ncols() {
        r[(0, j)] = shifted(r[(0, j)], r[(0, 0)], from[j], to[j]);
    }
}

/// What is in the first row of a column of weight `length` when its point moves.
fn shifted(value: f64, length: f64, from: f64, to: f64) -> f64 {
    let mut moved = Extended::from(value);
    moved.add_multiple(length, difference(from, to));
    moved.value()
}

/// The first of the largest roots and the norm of all, if one is positive.
fn weight_of(roots: &[f64]) -> Option<(usize, f64)> {
    let larger = |a: usize, b: usize| if roots[b] > roots[a] { b } else { a };
    let heaviest = (0..roots.len()).reduce(larger).filter(|&i| roots[i] > 0.0)?;
    let squares = roots.iter().map(|root| (root / roots[heaviest]).powi(2)).sum::<f64>();
    Some((heaviest, roots[heaviest] * squares.sqrt()))
}

/// Without an error.
fn difference(a: f64, b: f64) -> Extended {
    let mut difference = Extended::from(a);
    difference.add(-b);
    difference
}

kernel! {
    /// The mean of what is left of numbers when `at` is taken off them, where the squares of `roots` times `scale` are
    /// their weights, which sum to one.
    fn mean_beside<V>(column: &[f64], at: f64, roots: &[f64], scale: f64) -> f64 {
        let ((chunks, rest), (weights, rest_of_weights)) = (column.as_chunks::<8>(), roots.as_chunks::<8>());
        let (at, scale, mut sum) = (V::splat(at), V::splat(scale), V::splat(0.0));
        for (chunk, weight) in chunks.iter().zip(weights) {
            let root = V::load(weight).mul(scale);
            sum = V::load(chunk).sub(at).mul_add(root.mul(root), sum);
        }
        let root = V::load_head(rest_of_weights).mul(scale);
        V::load_head(rest).sub(at).mul_add(root.mul(root), sum).sum()
    }
}
