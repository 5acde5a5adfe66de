//! Small tall problems in the simplest form: QR where the columns lie, and a look at the answer. What is out of the ordinary
//! is left to others, who find out by themselves.

use crate::certify::{Answer, ROUNDING, is_missed};
use crate::error::Result;
use crate::linalg::{self, Factor, LEAST, cut_off, norm, normalise_columns, reflect_columns};
use crate::matrix::{Buffer, Dense, Mat, Matrix, Real};
use crate::memory::{collected, filled};
use crate::regression::driver::ledger::Ledger;
use crate::regression::driver::output::Output;
use crate::regression::driver::plan::{Candidate, Method, Params, SMALL};
use crate::regression::problem::Problem;
use crate::simd::narrow::{Block, columns_of, residual_of_columns, total};
use crate::simd::norm_sq;

/// Most looks at an answer before it is left to others.
const LOOKS: usize = 3;
/// Columns of squared length beyond this, or one over it, are left to others.
const LARGEST_SQUARE: f64 = 1e200;
/// The rank may be in doubt above this condition times the cut-off.
const CLEAR: f64 = 0.01;
/// Above this condition the long way gains digits that no backward error shows.
const STEEP: f64 = 1e3;
const PURPOSE: &str = "a small problem";

/// Answers by Householder QR, or none where the problem is not plain: large, not tall, of single precision, sparse, weighted,
/// centred, penalised, of extreme numbers or such that are not finite, of a rank that may be deficient; or where the answer
/// is not right at once.
pub(crate) fn answer<T: Real>(problem: &Problem<'_, T>, params: &Params) -> Result<Option<Output>> {
    let Matrix::Dense(a) = problem.design else { return Ok(None) };
    let (n, d, k) = (a.nrows(), a.ncols(), problem.targets.ncols());
    let is_plain = T::as_f64(&[]).is_some()
        && problem.weights.is_none()
        && !problem.fit_intercept
        && problem.ridge.iter().all(|&ridge| ridge == 0.0)
        && matches!(params.method, Method::Auto | Method::Qr)
        && !(params.certify || params.keep_factor)
        && (params.tolerance, params.max_iter, params.sketch_size) == (None, None, None);
    let fits = n == problem.targets.nrows() && n.saturating_mul(d.max(k)) <= SMALL;
    if !(is_plain && fits && n >= d && d > 0 && k > 0) {
        return Ok(None);
    }
    let mut ledger = Ledger::new();
    let columns = Columns::new(a, problem.targets)?;
    let Some((mut r, mut x)) = columns.factorised()? else { return Ok(None) };
    let scale = normalise_columns(&mut r)?;
    let condition = linalg::condition_of_upper(r.as_ref())?;
    let rcond = params.rcond.unwrap_or(cut_off(n, d, T::UNIT_ROUNDOFF)).max(LEAST);
    if condition > (CLEAR / rcond).min(STEEP) {
        return Ok(None);
    }
    linalg::solve_upper(r.as_ref(), x.as_mut());
    for target in 0..k {
        x.col_mut(target).iter_mut().zip(&scale).for_each(|(x, scale)| *x /= scale);
    }
    let factor = Factor::Triangle(r);
    let mut output = Output { x, ..Output::empty::<T>(0, k, params)? };
    for target in 0..k {
        let Some(looks) = columns.refine(&factor, &scale, target, &mut output)? else {
            return Ok(None);
        };
        output.n_iter = output.n_iter.max(looks);
    }
    (output.rank, output.method, output.condition) = (Some(d), Method::Qr, condition);
    ledger.read(1 + output.n_iter);
    ledger.end(Candidate::Qr.describe());
    if params.method == Method::Auto {
        output.explanation = format!("{n} x {d} is too small for anything but QR");
    }
    output.stages = ledger.stages;
    Ok(Some(output))
}

/// The columns of A, and after them those of B, with zeros below them.
struct Columns {
    numbers: Buffer<f64>,
    shape: (usize, usize),
    height: usize,
    norms: Vec<f64>,
}

impl Columns {
    fn new<T: Real>(a: Dense<'_, T>, targets: Dense<'_, T>) -> Result<Self> {
        let (n, d, k) = (a.nrows(), a.ncols(), targets.ncols());
        let height = n.next_multiple_of(8);
        let mut numbers = Buffer::zeros((d + k) * height, PURPOSE)?;
        let no_shift = filled(0.0, d.max(k), PURPOSE)?;
        let (of_a, of_targets) = numbers.split_at_mut(d * height);
        for (view, to) in [(a, of_a), (targets, of_targets)] {
            let strides = (view.row_stride(), view.col_stride());
            let block = Block { data: view.data(), shape: (n, view.ncols()), strides };
            columns_of(block, &no_shift[..view.ncols()], None, to, height);
        }
        let norms = collected(numbers.chunks_exact(height).map(|column| norm_sq(column).sqrt()), PURPOSE)?;
        Ok(Self { numbers, shape: (n, d), height, norms })
    }

    /// R, and the first rows of Q'B; none where squares may be out of range, something is not finite, or a column vanishes.
    fn factorised(&self) -> Result<Option<(Mat<f64>, Mat<f64>)>> {
        let ((n, d), height) = (self.shape, self.height);
        let in_range = |norm: &f64| (LARGEST_SQUARE.recip()..=LARGEST_SQUARE).contains(&(norm * norm));
        if !self.norms.iter().all(in_range) {
            return Ok(None);
        }
        let mut columns = Buffer::copy_of(&self.numbers, PURPOSE)?;
        if !reflect_columns(height, d.min(n), &mut columns) {
            return Ok(None);
        }
        let r = Mat::from_fn(d, d, |i, j| if i <= j { columns[j * height + i] } else { 0.0 })?;
        let rotated = Mat::from_fn(d, self.norms.len() - d, |i, target| columns[(d + target) * height + i])?;
        Ok(Some((r, rotated)))
    }

    /// Looks at an answer, and mends it, until its backward error is at rounding level; how many looks that took.
    fn refine(
        &self,
        factor: &Factor,
        scale: &[f64],
        target: usize,
        output: &mut Output,
    ) -> Result<Option<usize>> {
        let ((_, d), height) = (self.shape, self.height);
        let (of_a, of_targets) = self.numbers.split_at(d * height);
        for look in 1..=LOOKS {
            let mut residual = Buffer::copy_of(&of_targets[target * height..(target + 1) * height], PURPOSE)?;
            let (mut sums, mut squares) = (filled([0.0; 8], d, PURPOSE)?, [0.0; 8]);
            let x = output.x.col(target);
            residual_of_columns(of_a, height, x, &mut residual, &mut sums, &mut squares);
            let gradient = Mat::from_fn(d, 1, |j, _| total(sums[j]) / scale[j])?;
            let whitened = factor.whiten(&gradient)?;
            let in_units = collected(x.iter().zip(scale).map(|(x, scale)| x * scale), PURPOSE)?;
            let answer = Answer {
                gradient: gradient.as_slice(),
                whitened: whitened.as_slice(),
                residual_norm: total(squares).sqrt(),
                solution_norm: norm(&in_units),
                target_norm: self.norms[d + target],
                frobenius: factor.frobenius_norm(),
            };
            let mut error = answer.quick_backward_error();
            if error > output.target {
                error = answer.backward_error(factor)?;
            }
            let bound = error * std::f64::consts::SQRT_2 + ROUNDING;
            if error <= output.target && !is_missed(error, bound, output.target, output.floor) {
                output.residual_norm[target] = answer.residual_norm;
                (output.backward_error[target], output.backward_error_bound[target]) = (error, bound);
                return Ok(Some(look));
            }
            let step = factor.unwhiten(&whitened)?;
            let x = output.x.col_mut(target).iter_mut().zip(step.as_slice());
            x.zip(scale).for_each(|((x, step), scale)| *x += step / scale);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::Context;
    use crate::regression::driver::ByRows;
    use crate::regression::driver::solve;
    use crate::regression::testing::{Instance, assert_same, forms};

    #[test]
    fn plain_problems_have_the_answers_of_the_long_way() {
        for (n, d) in [(3, 1), (12, 5), (60, 5), (300, 30)] {
            let instance = Instance::new(n, d);
            let problem = instance.problem(forms().next().unwrap(), &[0.0]);
            let found = answer(&problem, &Params::default()).unwrap().unwrap();
            let long = solve::<f64, Matrix<'_, f64>, ByRows>(&Context::new(1), &problem, &Params::default());
            let long = long.unwrap();
            assert_same(&found.x, &long.x, &format!("{n} x {d}"));
            for target in 0..2 {
                assert!((found.residual_norm[target] - long.residual_norm[target]).abs() <= 1e-10);
                assert!(found.backward_error[target] <= f64::UNIT_ROUNDOFF);
            }
            assert_eq!((found.rank, found.method, found.floor), (Some(d), Method::Qr, long.floor));
            assert!((found.condition / long.condition - 1.0).abs() < 0.1);
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_others() {
        let plain = Instance::new(60, 5);
        let form = forms().next().unwrap();
        let is_taken = |instance: &Instance, form, ridge: f64, params: &Params| {
            answer(&instance.problem(form, &[ridge]), params).unwrap().is_some()
        };
        assert!(is_taken(&plain, form, 0.0, &Params::default()));
        assert!(forms().skip(1).all(|form| !is_taken(&plain, form, 0.0, &Params::default())));
        assert!(!is_taken(&plain, form, 1.0, &Params::default()));
        assert!(!is_taken(&plain, form, 0.0, &Params { certify: true, ..Params::default() }));
        assert!(!is_taken(&plain, form, 0.0, &Params { method: Method::Gram, ..Params::default() }));
        assert!(!is_taken(&Instance::new(4, 5), form, 0.0, &Params::default()));
        for value in [0.0, f64::NAN, f64::INFINITY, 1e-120, 1e120] {
            let mut odd = Instance::new(60, 5);
            odd.a.col_mut(2).fill(value);
            assert!(!is_taken(&odd, form, 0.0, &Params::default()), "{value}");
        }
        let mut deficient = Instance::new(60, 5);
        let first = deficient.a.col(0).to_vec();
        deficient.a.col_mut(4).copy_from_slice(&first);
        assert!(!is_taken(&deficient, form, 0.0, &Params::default()));
    }
}
