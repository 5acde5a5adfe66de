//! Weighted least squares to all digits of x, by refinement of the augmented system with FGMRES inside (Carson and
//! Oktay, 2024).
//!
//! An answer of small backward error may still be far from the minimiser: rows of weights that differ by many orders
//! of magnitude make W^(1/2) A ill-conditioned, and what lies in the light rows drowns in the rounding of the heavy
//! ones. The residuals r = b - A x, as unknowns of their own, keep it:
//!
//! ```text
//! K (r; x) = [ I     A         ] (r)   (b)
//!            [ A'W   -ridge I  ] (x) = (0)
//! ```
//!
//! Three precisions: the factor R of W^(1/2) A comes from products in single precision (`ladder`), r and x are kept in
//! double, and the residual of the system is summed in twice that (`exact`), from weights and entries as
//! the caller gave them. Each round solves for a correction to [`TOLERANCE`] and shrinks the error of x by about that.
//!
//! | preconditioner | R from | from the left | reads of A for a step |
//! |---|---|---|---|
//! | split | a sketch of W^(1/2) A | diag(W^(1/2), R'^-1) | 1 |
//! | left | a sketch of A, then the Gram matrix of W^(1/2) A R1^-1 | the inverse of K with R'R for A'WA + ridge I | 3 |
//!
//! Both continue from the right with diag(W^(-1/2), R^-1). The split one leaves [I Q; Q' 0] with Q nearly orthonormal,
//! whose eigenvalues lie at 1 and (1 +- sqrt 5) / 2; the left one leaves the identity but for the error of R.
//!
//! Measured with two threads on a machine shared with others, weights over eight orders of magnitude; seconds, and
//! reads of A after the factor:
//!
//! | shape | whitened alone | split | left | qr |
//! |---|---|---|---|---|
//! | (2^17, 64) | .056, 3 reads | .153, 11 | .178, 14 | .074, 1 |
//! | (2^16, 256) | .214, 3 reads | .554, 17 | .425, 14 | .322, 1 |
//!
//! Neither is always the cheaper. Split is the default because the left one needs the weighted Gram matrix in single
//! precision and breaks where the weights alone make a condition above 1e3, as a few rows of weight 1e16 do; split
//! kept all digits up to weights of 1e20.

use super::exact::exact_pass;
use super::fgmres::{System, fgmres};
use super::ladder::Outcome;
use super::refine::{Group, Refined, Scaled};
use crate::error::Result;
use crate::matrix::{Buffer, Mat, Real, Rows};
use crate::simd::{Element, Extended};

/// What makes FGMRES converge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preconditioner {
    /// A factor of the weighted rows on both sides.
    Split,
    /// A factor of the rows without their weights, and the weighted Gram matrix that it makes small.
    Left,
}

impl Preconditioner {
    /// The name that users type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Left => "left",
        }
    }
}

/// Residual at which the system for a correction counts as solved.
const TOLERANCE: f64 = 1e-8;
/// Most steps of FGMRES in a round.
const MOST_STEPS: usize = 30;
/// Most rounds of refinement.
const MOST_ROUNDS: usize = 10;

/// Refines the answers of the ladder, whatever they have come to, with its factor.
pub(crate) fn augmented<T: Real + Element>(
    group: &Group<'_, '_, T>,
    start: Outcome,
    preconditioner: Preconditioner,
) -> Result<Outcome> {
    let Outcome::Refined(start, scaled, condition) = start else { return Ok(start) };
    let mut system = Augmented { group, scaled: &scaled, preconditioner, reads: 0 };
    let mut x = start.x.copy()?;
    for (position, &target) in group.targets.iter().enumerate() {
        let answer = system.solve(target, start.x.col(position))?;
        x.col_mut(position).copy_from_slice(&answer);
    }
    let reads = start.passes + system.reads;
    let measured = Group { max_passes: 1, ..*group }.refine(&scaled, x, None, 0.9)?;
    let refined = Refined { passes: reads + measured.passes, rate: start.rate, ..measured };
    Ok(Outcome::Refined(refined, scaled, condition))
}

/// The augmented system of one group. Its vectors are (r; x), r in the units of the targets without their weights, x in
/// those of the design.
struct Augmented<'g, 'p, 'a, T> {
    group: &'g Group<'p, 'a, T>,
    scaled: &'g Scaled,
    preconditioner: Preconditioner,
    /// Reads of A so far.
    reads: usize,
}

impl<T: Real + Element> Augmented<'_, '_, '_, T> {
    /// The answer to one target, from one in scaled units to one in scaled units.
    fn solve(&mut self, target: usize, start: &[f64]) -> Result<Vec<f64>> {
        let (n, scale) = (self.group.design.nrows(), &self.scaled.scale);
        let mut at = Buffer::zeros(n + start.len(), "an augmented vector")?;
        at[n..].iter_mut().zip(start).zip(scale).for_each(|((x, start), scale)| *x = start / scale);
        let fitting = self.residual(Some(target), &at)?;
        at[..n].copy_from_slice(&fitting[..n]);
        let mut last = f64::INFINITY;
        for _ in 0..MOST_ROUNDS {
            let residual = self.residual(Some(target), &at)?;
            let rhs = self.measured_from_left(&residual)?;
            let correction = fgmres(self, &rhs, TOLERANCE, MOST_STEPS)?;
            let change = largest(&correction[n..], scale) / largest(&at[n..], scale);
            if change.is_nan() || change > 0.5 * last {
                break;
            }
            at.iter_mut().zip(correction.iter()).for_each(|(value, change)| *value += change);
            last = change;
            self.group.context.progress(self.reads, self.reads + 1, &[("change", change)])?;
            if change <= f64::UNIT_ROUNDOFF {
                break;
            }
        }
        Ok(at[n..].iter().zip(scale).map(|(x, scale)| x * scale).collect())
    }

    /// (b; 0) - K `at`, with zeros for b where there is no target; every entry is right to its last digits.
    fn residual(&mut self, target: Option<usize>, at: &[f64]) -> Result<Buffer<f64>> {
        let Group { context, design, ridge, .. } = *self.group;
        let (n, d) = (design.nrows(), design.ncols());
        let (r, x) = at.split_at(n);
        let multiple = |residuals: &mut Vec<f64>, row: usize, _: usize, image: Extended| {
            let weight = design.weight(row);
            if weight == 0.0 {
                residuals.push(0.0);
                return Extended::default();
            }
            let mut f = target.map_or_else(Extended::default, |target| design.exact_target(row, target));
            f.add(-r[row]);
            f.add_multiple(-1.0, image);
            residuals.push(f.value());
            Extended::product(weight, r[row])
        };
        let (gradient, residuals) =
            exact_pass(context, design, [&column(x)?, &Mat::zeros(d, 1)?], Vec::new, multiple)?;
        self.reads += 1;
        let mut out = Buffer::zeros(n + d, "an augmented vector")?;
        let (upper, lower) = out.split_at_mut(n);
        upper.iter_mut().zip(residuals.into_iter().flatten()).for_each(|(out, residual)| *out = residual);
        for (j, (out, sum)) in lower.iter_mut().zip(&gradient[0]).enumerate() {
            let scale = design.column_scale(j);
            let mut negative = Extended { high: -sum.high, low: -sum.low };
            negative.add_multiple(ridge * scale * scale, Extended::from(x[j]));
            *out = negative.value();
        }
        Ok(out)
    }

    /// A residual of the system in the coordinates in which FGMRES measures it.
    fn measured_from_left(&mut self, residual: &[f64]) -> Result<Buffer<f64>> {
        match self.preconditioner {
            Preconditioner::Split => {
                let n = self.group.design.nrows();
                let (f, g) = residual.split_at(n);
                let gradient: Vec<f64> =
                    g.iter().zip(&self.scaled.scale).map(|(g, scale)| g / scale).collect();
                let whitened = self.scaled.factor.whiten(&column(&gradient)?)?;
                self.weighted(f, whitened.col(0))
            }
            Preconditioner::Left => self.solve_nearly(residual),
        }
    }

    /// K^-1 (f; g) with R'R in the place of A'WA + ridge I, weighted: eliminating r leaves
    /// (A'WA + ridge I) x = A'W f - g.
    fn solve_nearly(&mut self, residual: &[f64]) -> Result<Buffer<f64>> {
        let (n, scale) = (self.group.design.nrows(), &self.scaled.scale);
        let mut upper = copy(residual)?;
        upper[n..].fill(0.0);
        let minus_image = self.residual(None, &upper)?;
        let gradient: Vec<f64> =
            (0..scale.len()).map(|j| (-minus_image[n + j] - residual[n + j]) / scale[j]).collect();
        let whitened = self.scaled.factor.whiten(&column(&gradient)?)?;
        let x = self.scaled.factor.unwhiten(&whitened)?;
        let mut lower = Buffer::zeros(residual.len(), "an augmented vector")?;
        lower[n..].iter_mut().zip(x.col(0)).zip(scale).for_each(|((out, x), scale)| *out = x / scale);
        let minus_fit = self.residual(None, &lower)?;
        let r: Vec<f64> = residual[..n].iter().zip(&minus_fit[..n]).map(|(f, fit)| f + fit).collect();
        self.weighted(&r, whitened.col(0))
    }

    /// (W^(1/2) f; g)
    fn weighted(&self, f: &[f64], g: &[f64]) -> Result<Buffer<f64>> {
        let mut out = Buffer::zeros(f.len() + g.len(), "an augmented vector")?;
        let (upper, lower) = out.split_at_mut(f.len());
        for (row, (out, f)) in upper.iter_mut().zip(f).enumerate() {
            *out = self.group.design.root_weight(row) * f;
        }
        lower.copy_from_slice(g);
        Ok(out)
    }
}

impl<T: Real + Element> System for Augmented<'_, '_, '_, T> {
    /// (W^(-1/2) f; R^-1 g); rows of weight zero stay out of it.
    fn precondition(&mut self, direction: &[f64]) -> Result<Buffer<f64>> {
        let n = self.group.design.nrows();
        let (f, g) = direction.split_at(n);
        let mut out = Buffer::zeros(n + self.scaled.scale.len(), "an augmented vector")?;
        for (row, (out, f)) in out[..n].iter_mut().zip(f).enumerate() {
            let root = self.group.design.root_weight(row);
            *out = if root > 0.0 { f / root } else { 0.0 };
        }
        let x = self.scaled.factor.unwhiten(&column(g)?)?;
        out[n..].iter_mut().zip(x.col(0)).zip(&self.scaled.scale).for_each(|((out, x), s)| *out = x / s);
        Ok(out)
    }

    fn apply(&mut self, z: &[f64]) -> Result<Buffer<f64>> {
        let mut image = self.residual(None, z)?;
        image.iter_mut().for_each(|value| *value = -*value);
        self.measured_from_left(&image)
    }
}

/// The largest magnitude in units in which the columns of A have norm one.
fn largest(x: &[f64], scale: &[f64]) -> f64 {
    x.iter().zip(scale).fold(0.0, |largest, (x, scale)| {
        let size = (x * scale).abs();
        // Unlike `max`, this keeps NaN.
        if size <= largest || largest.is_nan() { largest } else { size }
    })
}

fn column(values: &[f64]) -> Result<Mat<f64>> {
    Mat::from_fn(values.len(), 1, |i, _| values[i])
}

fn copy(vector: &[f64]) -> Result<Buffer<f64>> {
    let mut copy = Buffer::zeros(vector.len(), "an augmented vector")?;
    copy.copy_from_slice(vector);
    Ok(copy)
}
