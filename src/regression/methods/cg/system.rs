//! A in the units of its columns.

use crate::error::Result;
use crate::linalg::{norm, product};
use crate::matrix::{Mat, Real};
use crate::memory::{collected, push, room_for};
use crate::random::Stream;
use crate::regression::design::pass::{Pass, Passes, Sides};
use crate::regression::methods::cg::side::{Purpose, Side, Start};
use crate::regression::methods::qr::FAR;
use crate::regression::refine::{Group, HIDDEN, RESOLVED, TARGETS};
use std::ops::Range;

/// A root of the ridge this long beside columns of norm one leaves no direction out of sight.
const HIDDEN_ROOT: f64 = 1e-4;

const COLUMNS: &str = "norms of columns";

/// A diag(1 / scale), over its ridge.
pub(super) struct System {
    /// Norms of the columns with their ridge; one norm for all where A has fewer rows than columns, and the least norm is that
    /// in the units of the caller.
    pub scale: Vec<f64>,
    /// Norms of the columns without it.
    pub norms: Vec<f64>,
    /// Roots of the ridge.
    roots: Vec<f64>,
    /// Norms of the columns with their ridge in these units, and of all of them together.
    lengths: Vec<f64>,
    pub frobenius: f64,
    /// The shortest root of the ridge beside a column, of one in all.
    least_root: f64,
    has_one_unit: bool,
    /// Columns that are not zeros, and the most that the rank can be.
    present: usize,
    most_rank: usize,
    /// Directions that A shrinks by more than this count as its null space.
    rcond: f64,
}

impl System {
    pub fn new<T: Real, M: Passes<T>>(
        group: &Group<'_, '_, T, M>,
        norms: &[f64],
        rcond: f64,
    ) -> Result<Self> {
        let d = norms.len();
        let roots = collected((0..d).map(|j| group.root_ridge(j)), COLUMNS)?;
        let length = |j: usize| norms[j].hypot(roots[j]);
        let present = (0..d).filter(|&j| length(j) > 0.0).count();
        let inside = (0..d).filter(|&j| length(j) > 0.0);
        let least_root = inside.map(|j| roots[j] / length(j)).fold(f64::INFINITY, f64::min);
        // A ridge that counts as nothing adds no rows.
        let most_rank = if least_root > rcond { d } else { group.design.most_rank() };
        // Under a ridge, A of few rows has as few eigenvalues that are not the ridge itself, in one unit for all.
        let is_wide = present > group.design.most_rank();
        let common = norms.iter().fold(0.0f64, |longest, &norm| longest.max(norm));
        // Equilibrated columns have a unit of their own.
        let unit = |j: usize| match (is_wide, length(j)) {
            (_, 0.0) => 1.0,
            (true, _) => common * group.design.column_scale(j),
            (false, length) => length,
        };
        let scale = collected((0..d).map(unit), COLUMNS)?;
        let lengths = collected((0..d).map(|j| length(j) / scale[j]), COLUMNS)?;
        let norms = collected(norms.iter().copied(), COLUMNS)?;
        let frobenius = norm(&lengths);
        Ok(Self {
            scale,
            norms,
            roots,
            lengths,
            frobenius,
            least_root,
            has_one_unit: is_wide,
            present,
            most_rank,
            rcond,
        })
    }

    /// Columns that are not zeros.
    pub fn present(&self) -> usize {
        self.present
    }

    /// True if A has fewer rows than columns.
    pub fn is_wide(&self) -> bool {
        self.present > self.most_rank
    }

    /// True if the columns may be dependent, and the answer of least norm may be another.
    pub fn is_in_doubt(&self) -> bool {
        !self.is_wide() && !self.is_ridged()
    }

    /// The same in units of the columns.
    pub fn by_columns(mut self) -> Self {
        for (scale, length) in
            self.scale.iter_mut().zip(&mut self.lengths).filter(|(_, length)| **length > 0.0)
        {
            *scale *= *length;
            *length = 1.0;
        }
        (self.frobenius, self.has_one_unit) = (norm(&self.lengths), false);
        self
    }

    /// True if the ridge makes up most of the length of some column.
    pub fn ridge_dominates(&self) -> bool {
        self.roots.iter().zip(&self.norms).any(|(root, norm)| *root > 0.9 * norm.hypot(*root))
    }

    /// True if the estimates of errors are about other units than those of columns of norm one.
    pub fn has_one_unit(&self) -> bool {
        self.has_one_unit
    }

    /// True if the rows of the ridge are independent.
    pub fn is_ridged(&self) -> bool {
        self.least_root > self.rcond
    }

    /// True if eigenvalues may be so small that no iteration tells of their directions.
    pub fn may_hide(&self) -> bool {
        self.least_root < HIDDEN_ROOT
    }

    /// True if the norms of columns are so far apart that a projection in the units of the caller is rounding beside the
    /// smallest coefficients.
    pub fn is_steep(&self) -> bool {
        let scales =
            || self.scale.iter().zip(&self.lengths).filter(|&(_, &length)| length > 0.0).map(|(s, _)| *s);
        scales().fold(0.0, f64::max) > FAR * scales().fold(f64::INFINITY, f64::min)
    }

    /// A bound on the error of the start that needs no estimate of an eigenvalue, with columns of norm one.
    pub fn rigorous(&self, side: &Side) -> f64 {
        if self.has_one_unit { side.cheap_with(&self.lengths) } else { side.error().rigorous }
    }

    /// Answers without their parts in a null space, in the units of the caller, of which this is an orthonormal basis.
    pub fn without<T: Real>(&self, x: &Mat<f64>, basis: &Mat<f64>) -> Result<Mat<f64>> {
        let shares = product(basis.as_ref().t(), x.as_ref())?;
        let parts = product(basis.as_ref(), shares.as_ref())?;
        Mat::from_fn(x.nrows(), x.ncols(), |j, i| T::from_f64(x[(j, i)] - parts[(j, i)]).to_f64())
    }

    /// Random vectors of these units, in those of the design; zeros for columns of zeros.
    pub fn probes(&self, random: &Stream, which: Range<u64>) -> Result<Mat<f64>> {
        let entry =
            |j: usize, probe: usize| random.normal(j as u64, which.start + probe as u64) / self.scale[j];
        let inside = |j: usize, probe: usize| if self.norms[j] > 0.0 { entry(j, probe) } else { 0.0 };
        Mat::from_fn(self.scale.len(), (which.end - which.start) as usize, inside)
    }

    /// Residuals and gradients at x, in the units of the design, for these targets and zeros after them.
    pub fn pass<T: Real, M: Passes<T>>(
        &self,
        group: &Group<'_, '_, T, M>,
        x: &Mat<f64>,
        targets: &[usize],
    ) -> Result<Pass> {
        let mut pass = M::pass(group.context, group.design, x, Sides::Targets(targets))?;
        group.to_scaled(&mut pass, x, &self.scale);
        Ok(pass)
    }

    /// The sides of a round: the targets at x, then what is left of random vectors.
    pub fn begin<T: Real, M: Passes<T>>(
        &self,
        group: &Group<'_, '_, T, M>,
        x: &Mat<f64>,
        active: &[usize],
        measures: bool,
        known: &[(f64, f64)],
        probes: Option<&Mat<f64>>,
    ) -> Result<Vec<Side>> {
        let targets = collected(active.iter().map(|&position| group.targets[position]), TARGETS)?;
        let count = x.ncols() + probes.map_or(0, Mat::ncols);
        let column = |side: usize| match side.checked_sub(x.ncols()) {
            None => x.col(side),
            Some(probe) => probes.map_or(&[][..], |probes| probes.col(probe)),
        };
        let x_and_probes = Mat::from_fn(self.scale.len(), count, |j, side| column(side)[j])?;
        let pass = self.pass(group, &x_and_probes, &targets)?;
        let mut sides = room_for(count, TARGETS)?;
        for side in 0..count {
            let (purpose, (best, least_eigenvalue)) = match targets.get(side) {
                Some(&target) => {
                    (Purpose::Answer { target_norm: group.design.target_norm(target) }, known[side])
                }
                None => (Purpose::Probe, (f64::INFINITY, 0.0)),
            };
            let start = Start {
                residual_norm: pass.squares[side].sqrt(),
                residual_total: pass.totals[side],
                best,
                least_eigenvalue,
                measures,
            };
            let x = collected(column(side).iter().zip(&self.scale).map(|(x, s)| x * s), TARGETS)?;
            push(
                &mut sides,
                Side::new(purpose, start, self.frobenius, &x, pass.gradient.col(side))?,
                TARGETS,
            )?;
        }
        Ok(sides)
    }

    /// Where the ridge exceeds a column by far, the error does not tell whether its coefficient is right, which is the
    /// product of column and residual over the ridge, and is made so. True if some coefficient has moved.
    pub fn resolve<T: Real>(&self, side: &Side, x: &mut [f64]) -> bool {
        let resolution = RESOLVED.max(4.0 * T::UNIT_ROUNDOFF);
        let mut has_moved = false;
        for j in (0..x.len()).filter(|&j| self.roots[j] > 0.0 && self.norms[j] <= HIDDEN * self.roots[j]) {
            let step = side.slope_of(j) / self.scale[j];
            if step.abs() > resolution * x[j].abs() {
                x[j] = T::from_f64(x[j] + step).to_f64();
                has_moved = true;
            }
        }
        has_moved
    }
}
