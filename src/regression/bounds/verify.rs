//! A second look at answers, with nothing of what made them.
//!
//! The backward error that a solver reports is measured with its own factor, by gradients in its own precision. Here a
//! factor of a fresh sketch takes its place, and gradients are summed in twice the working precision. That the sketch
//! is good is not taken on trust: `spectrum` proves it for the one that was drawn, but for a probability of
//! [`FAILURE`], and else a QR factorisation takes over. With M >= low,
//!
//! backward error <= sqrt(2) estimate / sqrt(min(low, 1)),
//!
//! the estimate being that of Karlson and Walden with the fresh factor.

use crate::certify::Answer;
use crate::error::Result;
use crate::linalg;
use crate::linalg::{Factor, rank_of};
use crate::matrix::{Mat, Real};
use crate::memory::{collected, copied, zeros};
use crate::parallel::Context;
use crate::random::Stream;
use crate::regression::bounds::forward::Exact;
use crate::regression::bounds::spectrum::{FAILURE, USELESS, spectrum};
use crate::regression::design::Design;
use crate::regression::methods::qr::qr;
use crate::regression::methods::sketched::{SketchFactor, SketchPlan, Sketchable, sketched};
use crate::regression::problem::Problem;
use crate::regression::refine::{Group, START, Scaled, TARGETS, groups};
use crate::sketch::Kind;
use std::time::Instant;

/// What a second look tells about answers.
pub struct Verification {
    /// Estimated backward error of every answer, relative to |A|_F, columns of A scaled to norm one.
    pub backward_error: Vec<f64>,
    /// Bound on the true one; NaN if the fresh factor proves nothing.
    pub bound: Vec<f64>,
    /// Numerical rank of A.
    pub rank: usize,
    /// Size of what was cut off from A, relative to |A|_F: the figures are about the rest.
    pub cut: f64,
    /// Probability with which the bounds hold.
    pub confidence: f64,
    /// Reads of A.
    pub reads: usize,
    /// Wall time.
    pub seconds: f64,
}

/// Draws of the solvers are below this.
const DRAW: u32 = 16;
/// Rows of the sketch for each column of A.
const RATIO: usize = 4;

/// Measures the answers `x` (d x k) to a problem; singular values of the column-scaled A below `rcond` times the largest
/// count as zero.
pub fn verify<T: Real + Sketchable>(
    context: &Context,
    problem: &Problem<'_, T>,
    x: &Mat<f64>,
    rcond: Option<f64>,
    seed: u64,
) -> Result<Verification> {
    let start = Instant::now();
    if problem.design.nrows() == 0 || problem.design.ncols() == 0 {
        return Ok(Verification {
            backward_error: zeros(x.ncols(), TARGETS)?,
            bound: zeros(x.ncols(), TARGETS)?,
            rank: 0,
            cut: 0.0,
            confidence: 1.0,
            reads: 0,
            seconds: 0.0,
        });
    }
    let mut design = Design::new(context, problem)?;
    let largest = design.largest_in_columns(context)?;
    design.equilibrate_columns(&largest)?;
    let wrong = |target: usize| if x.col(target).iter().all(|&x| x == 0.0) { 0.0 } else { f64::INFINITY };
    let of_zero_targets = collected((0..x.ncols()).map(wrong), TARGETS)?;
    let mut found = Verification {
        backward_error: copied(&of_zero_targets, TARGETS)?,
        bound: of_zero_targets,
        rank: design.ncols(),
        cut: 0.0,
        confidence: 1.0 - FAILURE,
        reads: 1,
        seconds: 0.0,
    };
    for (ridge, targets) in groups(&design, problem.ridge)? {
        let group =
            Group { context, design: &design, targets: &targets, ridge, tolerance: 0.0, max_passes: 0 };
        found.measure(&group, x, rcond.unwrap_or(design.cut_off()), seed)?;
    }
    found.seconds = start.elapsed().as_secs_f64();
    Ok(found)
}

impl Verification {
    fn measure<T: Real + Sketchable>(
        &mut self,
        group: &Group<'_, '_, T>,
        x: &Mat<f64>,
        rcond: f64,
        seed: u64,
    ) -> Result<()> {
        let fresh = Fresh::new(group, rcond, seed)?;
        self.reads += fresh.reads;
        let factor = &fresh.scaled.factor;
        self.rank = factor.rank() - fresh.scaled.empty.len();
        self.cut = self.cut.max(fresh.scaled.cut);
        if self.rank == 0 {
            group
                .targets
                .iter()
                .for_each(|&target| (self.backward_error[target], self.bound[target]) = (0.0, 0.0));
            return Ok(());
        }
        let looseness = match fresh.low > USELESS {
            true => (2.0 / fresh.low.min(1.0)).sqrt(),
            false => f64::NAN,
        };
        let exact = Exact::of(group, &fresh.scaled, x, None)?;
        self.reads += 1;
        for (side, &target) in group.targets.iter().enumerate() {
            let answer = Answer {
                gradient: exact.gradient.col(side),
                whitened: exact.whitened.col(side),
                residual_norm: exact.residual_norm[side].hypot(exact.penalty[side]),
                solution_norm: exact.solution_norm[side],
                target_norm: group.design.target_norm(target),
                frobenius: fresh.scaled.frobenius_norm(),
            };
            self.backward_error[target] = answer.backward_error(factor)?;
            self.bound[target] = looseness * self.backward_error[target];
        }
        Ok(())
    }
}

/// A factor that no solver has seen, and what is known of it.
struct Fresh {
    scaled: Scaled,
    low: f64,
    reads: usize,
}

impl Fresh {
    /// From a sketch, or by QR where a sketch is hardly smaller than A or proves nothing.
    fn new<T: Real + Sketchable>(group: &Group<'_, '_, T>, rcond: f64, seed: u64) -> Result<Self> {
        let (n, d) = (group.design.nrows(), group.design.ncols());
        let alone = Group { targets: &[], ..*group };
        let rows = (RATIO * d).max(d + 32).next_multiple_of(8);
        let mut reads = 0;
        if n >= 2 * rows {
            let plan = SketchPlan { kind: Kind::SparseSign { zeta: 8 }, rows, seed, draw: DRAW };
            let sketched = sketched(group, plan)?;
            reads = 1;
            // The directions that a sketch would cut off are not those of A.
            if !may_be_cut(&sketched, rcond)? {
                let fresh = Self::judged(&alone, sketched.scaled, sketched.condition, seed)?;
                reads += fresh.reads;
                if fresh.low > USELESS {
                    return Ok(Self { reads, ..fresh });
                }
            }
        }
        let factored = qr(&alone, rcond)?;
        let fresh = Self::judged(&alone, factored.scaled, factored.condition, seed)?;
        Ok(Self { reads: reads + 1 + fresh.reads, ..fresh })
    }

    fn judged<T: Real>(group: &Group<'_, '_, T>, scaled: Scaled, condition: f64, seed: u64) -> Result<Self> {
        let spectrum = spectrum(group, &scaled, condition, Stream::new(seed, DRAW, START))?;
        Ok(Self { scaled, low: spectrum.low, reads: spectrum.steps })
    }
}

/// True unless the sketch shows that no singular value is near `rcond` times the largest: it may be off by a small
/// factor.
fn may_be_cut(sketched: &SketchFactor, rcond: f64) -> Result<bool> {
    if sketched.condition.is_nan() || sketched.condition * rcond >= 0.03 {
        let Factor::Triangle(r) = &sketched.scaled.factor else { return Ok(true) };
        let s = linalg::svd(r.as_ref())?.s;
        return Ok(rank_of(&s, 3.0 * rcond) < s.len());
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{Dense, Matrix};

    #[test]
    fn answers_that_are_off_are_seen_to_be() {
        let (n, d) = (1500, 12);
        let numbers = Stream::new(8, 0, 0);
        let a: Vec<f64> = (0..n * d)
            .map(|k| {
                numbers.normal((k / d) as u64, (k % d) as u64) + numbers.normal((k / d) as u64, 99) * 1e4
            })
            .collect();
        let b: Vec<f64> = (0..n).map(|row| numbers.normal(row as u64, 100)).collect();
        let problem = Problem {
            design: Matrix::Dense(Dense::row_major(&a, n, d)),
            targets: Dense::row_major(&b, n, 1),
            weights: None,
            ridge: &[0.0],
            fit_intercept: false,
        };
        let best = crate::linalg::Qr::new(Mat::from_fn(n, d, |i, j| a[i * d + j]).unwrap()).unwrap();
        let mut x = Mat::from_fn(n, 1, |i, _| b[i]).unwrap();
        best.apply_qt(&mut x).unwrap();
        let mut x = Mat::from_fn(d, 1, |i, _| x[(i, 0)]).unwrap();
        linalg::solve_upper(best.r().unwrap().as_ref(), x.as_mut());
        let look = |x: &Mat<f64>| verify(&Context::new(2), &problem, x, None, 3).unwrap();
        let found = look(&x);
        assert!(found.bound[0] < 1e-14 && found.backward_error[0] <= found.bound[0] && found.rank == d);
        for change in [1e-12, 1e-6, 1.0] {
            let moved = Mat::from_fn(d, 1, |i, _| x[(i, 0)] * (1.0 + change * (i as f64).sin())).unwrap();
            let found = look(&moved);
            assert!(found.backward_error[0] > 1e-2 * change * 1e-4, "{change}: {}", found.backward_error[0]);
        }
    }
}
