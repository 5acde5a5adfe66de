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
//! Three precisions: the factor R of W^(1/2) A comes from products in single precision (`whitened`), r and x are kept in
//! double, and the residual of the system is summed in twice that (`simd::extended`), from weights and entries as
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
//! Measured with two threads, methods by turns; times are in units of `whitened` alone, and reads of A in brackets. The
//! heavy rows weigh 1e12 and are half as many as columns; the spread weights lie evenly within eight orders.
//!
//! | A | weights | split | left | qr |
//! |---|---|---|---|---|
//! | dense (2^17, 64) | spread | 3.7 (20) | 4.6 (26) | 1.5 |
//! | dense (2^16, 256) | spread | 2.4 (20) | 2.9 (26) | 1.4 |
//! | sparse (200000, 300), 1 % | spread | 1.5 (20) | 1.6 (26) | 2.4 |
//! | dense (2^17, 64) | heavy | 3.9 (19) | breaks | 1.5 |
//! | dense (2^16, 256) | heavy | 2.7 (19) | breaks | 2.0 |
//! | sparse (200000, 300), 1 % | heavy | 1.4 (20) | breaks | 1.9 |
//!
//! Hence split is the default. It takes a fifth less time, and kept all digits up to weights of 1e20; the left one
//! needs the weighted Gram matrix of the whitened rows in single precision, and gives way to QR where the weights alone
//! make a condition above 1e3.
//!
//! With an intercept the constant that centring leaves is an unknown of its own, at the end of every vector: the weighted
//! means are rounded, and light rows notice.

use crate::error::Result;
use crate::matrix::{Buffer, Mat, Real};
use crate::memory::collected;
use crate::regression::design::exact;
use crate::regression::design::pass::Pass;
use crate::regression::methods::fgmres::{System, fgmres};
use crate::regression::problem::Preconditioner;
use crate::regression::refine::{Group, Refined, Scaled};

impl Preconditioner {
    /// The name that users type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Left => "left",
        }
    }
}

const VECTOR: &str = "an augmented vector";

/// Residual at which the system for a correction counts as solved.
const TOLERANCE: f64 = 1e-8;
/// Most steps of FGMRES in a round.
const MOST_STEPS: usize = 30;

/// Refines answers, whatever they have come to, with the factor that they were had with.
pub(crate) fn augmented<T: Real>(
    group: &Group<'_, '_, T>,
    start: &Refined,
    scaled: &Scaled,
    preconditioner: Preconditioner,
) -> Result<Refined> {
    let (design, k) = (group.design, group.targets.len());
    let (n, d) = (design.nrows(), design.ncols());
    let root_total = design.weight_norm();
    let mut system = Augmented { group, scaled, preconditioner, root_total, reads: 0 };
    let mut x = start.x.copy()?;
    let mut pass = Pass::zeros(d, k)?;
    for (position, &target) in group.targets.iter().enumerate() {
        let at = system.solve(target, start.x.col(position))?;
        let left = system.residual(Some(target), &at)?;
        for (j, scale) in scaled.scale.iter().enumerate() {
            x[(j, position)] = at[n + j] * scale;
            pass.gradient[(j, position)] = -left[n + j] / scale;
        }
        let weighted = |(row, r): (usize, &f64)| (design.root_weight(row) * r).powi(2);
        let penalty: f64 = (0..d).map(|j| (group.root_ridge(j) * at[n + j]).powi(2)).sum();
        pass.squares[position] = at[..n].iter().enumerate().map(weighted).sum::<f64>() + penalty;
        pass.totals[position] = at.get(n + d).map_or(0.0, |constant| constant * root_total.powi(2));
    }
    let mut refined = group.measured(scaled, &x, &pass)?;
    (refined.passes, refined.rate) = (start.passes + system.reads, start.rate);
    Ok(refined)
}

/// The augmented system of one group. Its vectors are (r; x), r in the units of the targets without their weights, x in
/// those of the design, followed by the constant that centring left if there is an intercept.
struct Augmented<'g, 'p, 'a, T> {
    group: &'g Group<'p, 'a, T>,
    scaled: &'g Scaled,
    preconditioner: Preconditioner,
    /// Norm of the column of root weights, which belongs to the constant.
    root_total: f64,
    /// Reads of A so far.
    reads: usize,
}

impl<T: Real> Augmented<'_, '_, '_, T> {
    /// The vector that solves the system for one target, from an answer in scaled units.
    fn solve(&mut self, target: usize, start: &[f64]) -> Result<Buffer<f64>> {
        let (design, scale) = (self.group.design, &self.scaled.scale);
        let (n, d) = (design.nrows(), design.ncols());
        let order = n + d + usize::from(design.means().is_some());
        let mut at = Buffer::zeros(order, VECTOR)?;
        at[n..].iter_mut().zip(start).zip(scale).for_each(|((x, start), scale)| *x = start / scale);
        self.fit(target, &mut at)?;
        let mut last = f64::INFINITY;
        for _ in 0..self.group.max_passes {
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
        self.fit(target, &mut at)?;
        Ok(at)
    }

    /// Makes r the residual of x.
    fn fit(&mut self, target: usize, at: &mut [f64]) -> Result<()> {
        let left = self.residual(Some(target), at)?;
        let n = self.group.design.nrows();
        at[..n].iter_mut().zip(left.iter()).for_each(|(r, left)| *r += left);
        Ok(())
    }

    /// (b; 0) - K `at`, with zeros for b where there is no target.
    fn residual(&mut self, target: Option<usize>, at: &[f64]) -> Result<Buffer<f64>> {
        let Group { context, design, ridge, .. } = *self.group;
        self.reads += 1;
        exact::residual(context, design, ridge, target, at)
    }

    /// A residual of the system in the coordinates in which FGMRES measures it.
    fn measured_from_left(&mut self, residual: &[f64]) -> Result<Buffer<f64>> {
        match self.preconditioner {
            Preconditioner::Split => {
                let (f, g) = residual.split_at(self.group.design.nrows());
                let whitened = self.whiten(g)?;
                self.weighted(f, &whitened)
            }
            Preconditioner::Left => self.solve_nearly(residual),
        }
    }

    /// K^-1 (f; g) with R'R in the place of A'WA + ridge I, weighted: eliminating r leaves
    /// (A'WA + ridge I) x = A'W f - g.
    fn solve_nearly(&mut self, residual: &[f64]) -> Result<Buffer<f64>> {
        let n = self.group.design.nrows();
        let mut upper = Buffer::copy_of(residual, VECTOR)?;
        upper[n..].fill(0.0);
        let minus_image = self.residual(None, &upper)?;
        let gradient = minus_image[n..].iter().zip(&residual[n..]).map(|(image, g)| -image - g);
        let gradient = collected(gradient, VECTOR)?;
        let whitened = self.whiten(&gradient)?;
        let mut lower = Buffer::zeros(residual.len(), VECTOR)?;
        lower[n..].copy_from_slice(&self.unwhiten(&whitened)?);
        let minus_fit = self.residual(None, &lower)?;
        let r = residual[..n].iter().zip(&minus_fit[..n]).map(|(f, fit)| f + fit);
        self.weighted(&collected(r, VECTOR)?, &whitened)
    }

    /// R'^-1 g, and what belongs to the constant over its norm.
    fn whiten(&self, g: &[f64]) -> Result<Vec<f64>> {
        let scale = &self.scaled.scale;
        let gradient = Mat::from_fn(scale.len(), 1, |j, _| g[j] / scale[j])?;
        let whitened = self.scaled.factor.whiten(&gradient)?;
        let constant = g.get(scale.len()).map(|g| g / self.root_total);
        collected(whitened.as_slice().iter().copied().chain(constant), VECTOR)
    }

    /// R^-1 y, and what belongs to the constant over its norm.
    fn unwhiten(&self, y: &[f64]) -> Result<Vec<f64>> {
        let (y, constant) = y.split_at(self.scaled.factor.rank());
        let x = self.scaled.factor.unwhiten(&column(y)?)?;
        let unscaled = x.as_slice().iter().zip(&self.scaled.scale).map(|(x, scale)| x / scale);
        collected(unscaled.chain(constant.iter().map(|c| c / self.root_total)), VECTOR)
    }

    /// (W^(1/2) f; g)
    fn weighted(&self, f: &[f64], g: &[f64]) -> Result<Buffer<f64>> {
        let mut out = Buffer::zeros(f.len() + g.len(), VECTOR)?;
        let (upper, lower) = out.split_at_mut(f.len());
        for (row, (out, f)) in upper.iter_mut().zip(f).enumerate() {
            *out = self.group.design.root_weight(row) * f;
        }
        lower.copy_from_slice(g);
        Ok(out)
    }
}

impl<T: Real> System for Augmented<'_, '_, '_, T> {
    /// (W^(-1/2) f; R^-1 g); rows of weight zero stay out of it.
    fn precondition(&mut self, direction: &[f64]) -> Result<Buffer<f64>> {
        let n = self.group.design.nrows();
        let (f, g) = direction.split_at(n);
        let lower = self.unwhiten(g)?;
        let mut out = Buffer::zeros(n + lower.len(), VECTOR)?;
        for (row, (out, f)) in out[..n].iter_mut().zip(f).enumerate() {
            let root = self.group.design.root_weight(row);
            *out = if root > 0.0 { f / root } else { 0.0 };
        }
        out[n..].copy_from_slice(&lower);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::testing::{Instance, forms};

    #[test]
    fn the_minimiser_from_a_rough_answer() {
        let instance = Instance::new(60, 5);
        for (form, ridge) in forms().flat_map(|form| [(form, 0.0), (form, 20.0)]) {
            let scaled = instance.exact_factor(form, ridge);
            instance.with_group(form, ridge, |group| {
                let rough = Mat::from_fn(5, 2, |i, j| 1.0 + (i * j) as f64).unwrap();
                let start = Refined::starting_at(&rough).unwrap();
                let found = augmented(group, &start, &scaled, Preconditioner::Split).unwrap();
                instance.assert_solved(form, group, &found, &scaled.scale);
            });
        }
    }
}
