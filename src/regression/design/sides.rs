//! What a read of A is made for, and what it gives.

use crate::error::Result;
use crate::matrix::{Mat, Real, Source};
use crate::memory::zeros;
use crate::regression::design::Design;
use crate::state::matrix;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What one read of A gives for a number of right-hand sides.
#[derive(Serialize, Deserialize)]
pub(crate) struct Pass {
    /// A'(B - A X), d x k.
    #[serde(with = "matrix")]
    pub gradient: Mat<f64>,
    /// |b - A x|^2 of every right-hand side.
    pub squares: Vec<f64>,
    /// Sums of the residuals, each times its root weight: zero but for the rounding of the means where there is an
    /// intercept, and not looked at where there is none.
    pub totals: Vec<f64>,
}

impl Pass {
    /// Nothing summed yet.
    pub fn zeros(d: usize, k: usize) -> Result<Self> {
        Ok(Self { gradient: Mat::zeros(d, k)?, squares: zeros(k, SUMS)?, totals: zeros(k, SUMS)? })
    }

    /// Adds this one to those before it.
    pub fn add_to(self, total: &mut Option<Self>) {
        match total {
            None => *total = Some(self),
            Some(total) => total.add(&self),
        }
    }

    /// True for that of other rows.
    pub fn is_like(&self, other: &Self) -> bool {
        let shape = |pass: &Self| {
            let Self { gradient, squares, totals } = pass;
            (gradient.nrows(), gradient.ncols(), squares.len(), totals.len())
        };
        shape(self) == shape(other)
    }

    /// Adds that of other rows.
    pub fn add(&mut self, other: &Self) {
        self.gradient.as_mut_slice().iter_mut().zip(other.gradient.as_slice()).for_each(|(sum, g)| *sum += g);
        self.squares.iter_mut().zip(&other.squares).for_each(|(sum, square)| *sum += square);
        self.totals.iter_mut().zip(&other.totals).for_each(|(sum, total)| *sum += total);
    }
}

/// What memory is for.
pub(crate) const SUMS: &str = "sums over rows";

/// The right-hand sides of a pass.
#[derive(Clone, Copy)]
pub(crate) enum Sides<'a> {
    /// These targets of the problem, and zeros for sides beyond them.
    Targets(&'a [usize]),
    /// These of so many that belong together: those that are left are treated as if the others were there.
    Among(&'a [usize], usize),
}

impl Sides<'_> {
    /// Nothing but zeros: the gradient is -A'A X.
    pub const ZEROS: Self = Self::Targets(&[]);

    /// These of the targets.
    pub fn targets(&self) -> &[usize] {
        let (Self::Targets(targets) | Self::Among(targets, _)) = self;
        targets
    }

    /// One entry, in the units of the solvers.
    pub fn entry<T: Real, M: Source>(&self, design: &Design<'_, T, M>, row: usize, side: usize) -> f64 {
        self.target(side).map_or(0.0, |target| design.target(row, target))
    }

    /// The target that a side is, if it is not zeros.
    pub fn target(&self, side: usize) -> Option<usize> {
        self.targets().get(side).copied()
    }

    /// How many belong to these, which are `count`.
    pub fn of(&self, count: usize) -> usize {
        if let Self::Among(_, all) = self { *all } else { count }
    }

    /// Those in one panel after the other, on some rows, in the units of the solvers; what is no target is zero.
    pub fn load<T: Real>(&self, design: &Design<'_, T>, rows: Range<usize>, panels: &mut [f64]) {
        design.load_targets(self.targets(), rows, panels);
    }
}
