//! The triangle of some rows, about a point of their own.
//!
//! With a constant it is that of [w, W (Z - 1 c')], w being the root weights and W their diagonal: its first row holds
//! |w| and how far the mean is from c, and what is below it is the triangle of centred rows. Numbers that are nearly
//! constant leave nothing but their deviations from c, each rounded for itself, so that no digit is lost to the mean.
//! c is moved by changes of the first row alone.

use crate::error::Result;
use crate::linalg::{Appending, Triangle};
use crate::matrix::Mat;
use crate::memory::{copied, zeros};
use crate::regression::triangular::tile::Tile;
use crate::simd::Extended;

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
        let Some(present) = roots.iter().position(|&root| root > 0.0) else { return };
        if self.steps == 0 && self.constant {
            for j in 1..self.centre.len() {
                self.centre[j] = tile.values[(present, j)];
            }
        }
        self.triangle.append(&mut tile.values, &self.centre, roots, with);
        self.steps += 1;
        if self.steps == 1 {
            // The first row may be an odd one; about the mean of some, others lose little.
            self.recentre();
        }
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
        let mut below = other.triangle.into_mat();
        if self.constant {
            move_centre(&mut below, &other.centre, &self.centre);
        }
        self.triangle.append_triangle(&mut below)?;
        self.steps = self.steps.max(other.steps) + 1;
        self.recentre();
        Ok(())
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
        let mut moved = Extended::from(r[(0, j)]);
        moved.add_multiple(r[(0, 0)], difference(from[j], to[j]));
        r[(0, j)] = moved.value();
    }
}

/// Without an error.
fn difference(a: f64, b: f64) -> Extended {
    let mut difference = Extended::from(a);
    difference.add(-b);
    difference
}
