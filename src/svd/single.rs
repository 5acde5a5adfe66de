//! Triplets by products with A'A, two vectors at once: of a sparse matrix they take little longer than one.
//!
//! Two vectors show a singular value as often as it is there, up to twice. Only where one shows twice is it looked for
//! elsewhere: others need not be. Squares lose what is small: where the k-th singular value is, or residuals have to be,
//! and where a value is there so often that vectors have to be looked for, larger blocks take over.

use crate::error::Result;
use crate::matrix::{Dense, DenseMut, Mat, Products};
use crate::parallel::Context;
use crate::random::Stream;
use crate::svd::lanczos::{Lanczos, Ritz};
use crate::svd::params::{Output, Params, Solver, is_larger};
use crate::svd::together::WIDTH;
use crate::svd::triplets::Triplets;

/// Residuals come down to this part of the tolerance before they are measured.
const CAUTION: f64 = 0.3;
/// The least residual that is asked for, and the least k-th singular value beside the first.
const LEAST_TOLERANCE: f64 = 1e-12;
const GRADED: f64 = 1e-3;
/// Vectors of a basis beside three times as many as triplets.
const MORE: usize = 64;
/// Vectors beside as many as triplets before the first look at residuals, at least.
const FIRST: usize = 12;
/// Vectors between two looks at residuals, or their part of those that are there.
const FEW: usize = 4;
const PART_OF_BASIS: usize = 12;
/// How often something is found elsewhere before blocks take over.
const FINDS: usize = 2;
/// Vectors that look elsewhere, at least, and their part of those that it took to find the triplets.
const A_LOOK: usize = 24;
const PART: usize = 3;
/// Neighbours closer than this, or than so many tolerances, may be one value.
const CLOSE: f64 = 1e-5;
const TOLERANCES: f64 = 10.0;
/// The largest residual: vectors with more would turn what is looked for elsewhere.
const LOOSE: f64 = 1e-5;

/// True if A is larger than what a basis would have, and squares are exact enough.
pub(super) fn is_fit((n, d): (usize, usize), params: &Params) -> bool {
    n.min(d) >= most(params.k) + WIDTH && params.tolerance >= LEAST_TOLERANCE
}

fn most(k: usize) -> usize {
    3 * k + MORE
}

/// None if blocks have to take over; how many lots of vectors, and vectors, were multiplied.
pub(super) fn solve<M: Products>(
    context: &Context,
    a: &M,
    params: &Params,
    random: Stream,
) -> Result<(Option<Output>, [usize; 2])> {
    let ((n, d), k) = (a.shape(), params.k);
    let turned = Turned { a, is: n < d };
    let mut image = Mat::zeros(if turned.is { n } else { 0 }, 1)?;
    let start = match &params.start {
        Some(start) if turned.is => {
            a.product(context, Dense::column_major(start, d, 1), image.as_mut())?;
            Some(image.col(0))
        }
        start => start.as_deref(),
    };
    let Some(mut basis) = Lanczos::new(context, turned.shape(), most(k), start, random)? else {
        return Ok((None, [0; 2]));
    };
    let right = found(context, &turned, params, &mut basis)?;
    let made = basis.made;
    drop(basis);
    let Some(right) = right else { return Ok((None, made)) };
    let Some(triplets) = Triplets::of_right(context, &turned, right)? else { return Ok((None, made)) };
    let output = if turned.is { triplets.turned() } else { triplets }.measured(
        context,
        a,
        Some(Solver::Lanczos),
        made,
    )?;
    let worst = output.residuals[..params.exact]
        .iter()
        .flatten()
        .fold(0.0, |worst: f64, residual| worst.max(*residual));
    let is_exact = worst <= params.tolerance * output.s[0] || made[0] >= params.max_iter;
    Ok((is_exact.then_some(output), made))
}

/// Right singular vectors.
fn found<M: Products>(
    context: &Context,
    a: &M,
    params: &Params,
    basis: &mut Lanczos,
) -> Result<Option<Mat<f64>>> {
    let (k, exact, tolerance, mut finds) = (params.k, params.exact, params.tolerance.min(LOOSE), 0);
    let is_over = |basis: &Lanczos| basis.made[0] >= params.max_iter && basis.len() >= params.k;
    loop {
        let Some(ritz) = converged(context, a, params, CAUTION * tolerance, basis)? else { return Ok(None) };
        let took = basis.len();
        let right = basis.vectors(context, &ritz, k)?;
        if is_over(basis) || (params.start.is_none() && is_simple(&ritz.s[..exact], tolerance)) {
            return Ok(Some(right));
        }
        basis.compress(&ritz, right.as_ref().cols(0..exact))?;
        if !basis.look_elsewhere(context)? {
            return Ok(None);
        }
        let goal = exact + A_LOOK.max((took - k) / PART).min(basis.room());
        while basis.len() < goal && !is_over(basis) {
            if !basis.extend(context, a, goal - basis.len())? {
                return Ok(None);
            }
        }
        if !is_larger(&basis.ritz(context)?.s[..exact], &ritz.s[..exact], tolerance) {
            return Ok(Some(right));
        }
        finds += 1;
        if finds >= FINDS {
            return Ok(None);
        }
    }
}

/// True if no value shows twice. What two random vectors have of the space of a value that is there more often is a plane.
fn is_simple(s: &[f64], tolerance: f64) -> bool {
    s.windows(2).all(|pair| pair[0] - pair[1] > CLOSE * pair[0] + TOLERANCES * tolerance * s[0])
}

/// Ritz values of which as many as asked for are exact, or the limit has been reached; None if they will not be.
fn converged<M: Products>(
    context: &Context,
    a: &M,
    params: &Params,
    target: f64,
    basis: &mut Lanczos,
) -> Result<Option<Ritz>> {
    let k = params.k;
    let mut goal = k + k.max(FIRST);
    let mut last = (0, f64::INFINITY);
    loop {
        goal = goal.min(basis.len() + basis.room());
        while basis.len() < goal && (basis.made[0] < params.max_iter || basis.len() < k) {
            if !basis.extend(context, a, goal - basis.len())? {
                return Ok(None);
            }
        }
        let ritz = basis.ritz(context)?;
        let (len, worst) = (basis.len(), ritz.worst(params.exact));
        let done = basis.made[0].min(params.max_iter);
        context.progress(done, params.max_iter, &[("residual", worst)])?;
        let is_graded = ritz.s[k - 1] < GRADED * ritz.s[0];
        if is_graded && (worst <= target || basis.room() == 0) {
            return Ok(None);
        }
        if worst <= target || basis.made[0] >= params.max_iter {
            return Ok(Some(ritz));
        }
        let few = FEW.max(len / PART_OF_BASIS);
        let rate = (last.1 / worst).ln() / (len - last.0) as f64;
        let left = (worst / target).ln() / rate;
        // Residuals fall faster and faster.
        let step = if rate > 0.0 && rate.is_finite() { few.min((0.5 * left) as usize) } else { few };
        last = (len, worst);
        if basis.room() == 0 {
            let kept = k + basis.len().saturating_sub(k) / 4;
            let vectors = basis.vectors(context, &ritz, kept)?;
            basis.compress(&ritz, vectors.as_ref())?;
            last.0 = kept;
        }
        goal = basis.len() + step.max(WIDTH);
    }
}

/// A or its transpose.
pub(super) struct Turned<'m, M> {
    a: &'m M,
    is: bool,
}

impl<M: Products> Products for Turned<'_, M> {
    fn shape(&self) -> (usize, usize) {
        let (n, d) = self.a.shape();
        if self.is { (d, n) } else { (n, d) }
    }

    fn product(&self, context: &Context, x: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        match self.is {
            false => self.a.product(context, x, out),
            true => self.a.transposed_product(context, x, out),
        }
    }

    fn gram_product(
        &self,
        context: &Context,
        x: Dense<'_, f64>,
        mut image: DenseMut<'_, f64>,
        out: DenseMut<'_, f64>,
    ) -> Result<()> {
        if !self.is {
            return self.a.gram_product(context, x, image, out);
        }
        self.a.transposed_product(context, x, image.reborrow())?;
        self.a.product(context, image.as_ref(), out)
    }

    fn transposed_product(&self, context: &Context, y: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        match self.is {
            false => self.a.transposed_product(context, y, out),
            true => self.a.product(context, y, out),
        }
    }
}
