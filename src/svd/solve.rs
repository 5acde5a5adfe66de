//! Rounds of products until the residuals are small.

use crate::error::{Error, Result};
use crate::linalg::{Qr, apart, largest_of, make_workspace, product, svd};
use crate::matrix::{Dense, DenseMut, Mat, Products, power_of_two_below};
use crate::memory::collected;
use crate::parallel::Context;
use crate::random::Stream;
use crate::svd::bidiagonal::Bidiagonal;
use crate::svd::block::Block;
use crate::svd::params::{CAUTION, Output, Params, Solver, is_larger};
use crate::svd::single;
use crate::svd::triplets::Triplets;

/// Purpose of the random numbers.
const START: u8 = 9;
/// Number of the first vector.
const START_ROW: u64 = 1 << 41;
/// Vectors of a block of the Lanczos solver, at least and at most; and those that the randomized one has more than triplets.
const BLOCK: [usize; 2] = [2, 8];
const OVERSAMPLE: usize = 10;
/// Blocks between two restarts, at least, and between two looks at the residuals.
const FEW_BLOCKS: usize = 4;
const A_LOOK: usize = 2;
/// Vectors between two restarts, at least.
const FEW_VECTORS: usize = 64;
/// Images of random vectors within this range and its inverse have fourth powers that neither overflow nor vanish.
const RANGE: f64 = 1e50;

/// The `params.k` largest singular values of A and their vectors. Memory: the bases, (n + d) times twice k and some ten
/// blocks; time: two products for every vector, and as many with the bases.
///
/// Panics unless 1 <= k <= min(n, d).
pub fn svds<M: Products>(context: &Context, a: &M, params: &Params) -> Result<Output> {
    let ((n, d), k) = (a.shape(), params.k);
    assert!((1..=n.min(d)).contains(&k));
    let random = Stream::new(params.seed, 0, START);
    make_workspace()?;
    let a = &Scaled::new(context, a, &random)?;
    let mut found = solve(context, a, params, random)?;
    let worst = found.residuals.iter().flatten().fold(0.0, |worst: f64, residual| worst.max(*residual));
    context.progress(params.max_iter, params.max_iter, &[("residual", worst)])?;
    found.s.iter_mut().for_each(|s| *s /= a.factor);
    found.residuals.iter_mut().flatten().for_each(|residual| *residual /= a.factor);
    Ok(found)
}

/// A times a power of two, which brings what it makes of a random vector near one if that is far from it.
struct Scaled<'m, M> {
    a: &'m M,
    factor: f64,
}

impl<'m, M: Products> Scaled<'m, M> {
    fn new(context: &Context, a: &'m M, random: &Stream) -> Result<Self> {
        let (n, d) = a.shape();
        let (mut x, mut image) = (Mat::zeros(d, 1)?, Mat::zeros(n, 1)?);
        random.normals_of_row(START_ROW - 1, x.col_mut(0));
        a.product(context, x.as_ref(), image.as_mut())?;
        let largest = largest_of(image.col(0));
        let is_far = largest > 0.0 && !(RANGE.recip()..=RANGE).contains(&largest) && largest.is_finite();
        // Twice, as the inverse of a small number may be out of range.
        let factor = if is_far { power_of_two_below(largest.sqrt()).powi(-2) } else { 1.0 };
        Ok(Self { a, factor: factor.clamp(f64::MIN_POSITIVE, f64::MAX / 2.0) })
    }

    fn scale(&self, mut out: DenseMut<'_, f64>) {
        for j in (0..out.ncols()).filter(|_| self.factor != 1.0) {
            out.column_mut(j).for_each(|value| *value *= self.factor);
        }
    }
}

impl<M: Products> Products for Scaled<'_, M> {
    fn shape(&self) -> (usize, usize) {
        self.a.shape()
    }

    fn product(&self, context: &Context, x: Dense<'_, f64>, mut out: DenseMut<'_, f64>) -> Result<()> {
        self.a.product(context, x, out.reborrow())?;
        self.scale(out);
        Ok(())
    }

    fn gram_product(
        &self,
        context: &Context,
        x: Dense<'_, f64>,
        mut image: DenseMut<'_, f64>,
        out: DenseMut<'_, f64>,
    ) -> Result<()> {
        // The product of a product may be out of range before it is scaled.
        if self.factor == 1.0 {
            return self.a.gram_product(context, x, image, out);
        }
        self.product(context, x, image.reborrow())?;
        self.transposed_product(context, image.as_ref(), out)
    }

    fn transposed_product(
        &self,
        context: &Context,
        y: Dense<'_, f64>,
        mut out: DenseMut<'_, f64>,
    ) -> Result<()> {
        self.a.transposed_product(context, y, out.reborrow())?;
        self.scale(out);
        Ok(())
    }
}

fn solve<M: Products>(context: &Context, a: &M, params: &Params, random: Stream) -> Result<Output> {
    let ((n, d), k) = (a.shape(), params.k);
    let solver = params.solver.unwrap_or(Solver::Lanczos);
    let mut before = [0; 2];
    if solver == Solver::Lanczos && single::is_fit(a.shape(), params) {
        match single::solve(context, a, params, random)? {
            (Some(found), _) => return Ok(found),
            (None, made) => before = made,
        }
    }
    let Sizes { block, kept, most } = Sizes::of(solver, k);
    if n.min(d) <= most + block {
        return directly(context, a, k);
    }
    let start = first_block(d, block, params.start.as_deref(), &random)?;
    let mut bases = Bidiagonal::new(context, (n, d), start, most, random)?;
    let limit = params.max_iter.saturating_sub(before[0]).max(k.div_ceil(block));
    let advance = |bases: &mut Bidiagonal, blocks: usize| {
        let allowed = limit.saturating_sub(bases.made);
        for _ in 0..blocks.min(bases.room() / block).min(allowed) {
            bases.extend(context, a)?;
        }
        let ritz = bases.ritz(context)?;
        let done = (before[0] + bases.made).min(params.max_iter);
        context.progress(done, params.max_iter, &[("residual", ritz.worst(params.exact))])?;
        Ok::<_, Error>(ritz)
    };
    let mut ritz = advance(&mut bases, kept.div_ceil(block))?;
    let triplets = loop {
        let is_small = ritz.worst(params.exact) <= CAUTION * params.tolerance;
        if is_small || bases.made >= limit || bases.u.len() < kept {
            let before = collected(ritz.values()[..k].iter().copied(), VALUES)?;
            bases.compress(context, &ritz, k)?;
            let u = Mat::copy_of(bases.u.columns().cols(0..k))?;
            let triplets =
                Triplets { u, s: before, v: Mat::copy_of(bases.v.columns().cols(0..k))?, made: None };
            if !is_small || bases.made >= limit {
                break triplets;
            }
            // Products with one block show no singular value more often than it has vectors. What had not converged went
            // with the block that said by how much.
            bases.look_elsewhere(context)?;
            ritz = advance(&mut bases, usize::MAX)?;
            if !is_larger(&ritz.values()[..params.exact], &triplets.s[..params.exact], params.tolerance)
                && bases.u.len() >= kept
            {
                bases.compress(context, &ritz, kept)?;
                ritz = advance(&mut bases, usize::MAX)?;
            }
            if !is_larger(&ritz.values()[..params.exact], &triplets.s[..params.exact], params.tolerance) {
                break triplets;
            }
            continue;
        }
        if bases.room() < block {
            bases.compress(context, &ritz, kept)?;
        }
        ritz = advance(&mut bases, A_LOOK)?;
    };
    let made = [before[0] + bases.made, before[1] + bases.made * block];
    triplets.measured(context, a, Some(solver), made)
}

/// What memory is for.
const VALUES: &str = "singular values";

struct Sizes {
    /// Vectors that are multiplied at once.
    block: usize,
    /// Ritz vectors that a restart keeps.
    kept: usize,
    /// Vectors of a basis.
    most: usize,
}

impl Sizes {
    fn of(solver: Solver, k: usize) -> Self {
        match solver {
            Solver::Lanczos => {
                let block = k.clamp(BLOCK[0], BLOCK[1]);
                let kept = k + block;
                let blocks = FEW_BLOCKS.max(k.div_ceil(block)).max(FEW_VECTORS.div_ceil(block));
                Self { block, kept, most: kept + block * blocks }
            }
            Solver::Randomized => {
                let block = k + OVERSAMPLE;
                Self { block, kept: block, most: block * (1 + FEW_BLOCKS) }
            }
        }
    }
}

/// The caller's vector before random ones.
fn first_block(d: usize, block: usize, start: Option<&[f64]>, random: &Stream) -> Result<Block> {
    let mut first = Mat::zeros(d, block)?;
    for i in 0..block {
        match start {
            Some(start) if i == 0 => first.col_mut(0).copy_from_slice(start),
            _ => random.normals_of_row(START_ROW + i as u64, first.col_mut(i)),
        }
    }
    Block::copy_of(first.as_ref())
}

/// By all of A, which has few rows or columns.
fn directly<M: Products>(context: &Context, a: &M, k: usize) -> Result<Output> {
    let (n, d) = a.shape();
    let small = n.min(d);
    let (mut all, units) = (Mat::zeros(n.max(d), small)?, Mat::identity(small)?);
    match n >= d {
        true => a.product(context, units.as_ref(), all.as_mut())?,
        false => a.transposed_product(context, units.as_ref(), all.as_mut())?,
    }
    let flops = 10.0 * (n.max(d) * small) as f64 * small as f64;
    let (long, found) = apart(context, flops, move || {
        let qr = Qr::new(all)?;
        let found = svd(qr.r()?.as_ref())?;
        Ok((product(qr.thin_q()?.as_ref(), found.u.as_ref().cols(0..k))?, found))
    })?;
    let short = Mat::copy_of(found.v.as_ref().cols(0..k))?;
    let (u, v) = if n >= d { (long, short) } else { (short, long) };
    let s = collected(found.s[..k].iter().copied(), VALUES)?;
    Triplets { u, s, v, made: None }.measured(context, a, None, [1, small])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svd::orthogonal::{departure, gram};
    use crate::svd::testing::numbers;

    fn distance_to_orthonormal(q: &Mat<f64>) -> f64 {
        departure(&gram(&Context::new(1), q).unwrap())
    }

    fn params(k: usize, solver: Solver) -> Params {
        Params { k, exact: k, solver: Some(solver), tolerance: 1e-10, max_iter: 1000, seed: 0, start: None }
    }

    /// With these singular values.
    fn matrix(n: usize, d: usize, values: &[f64]) -> Mat<f64> {
        let basis = |rows, seed| Qr::new(numbers(rows, values.len(), seed)).unwrap().thin_q().unwrap();
        let (u, v) = (basis(n, 1), basis(d, 2));
        let scaled = Mat::from_fn(n, values.len(), |i, j| u[(i, j)] * values[j]).unwrap();
        product(scaled.as_ref(), v.as_ref().t()).unwrap()
    }

    #[test]
    fn triplets_are_those_of_the_dense_decomposition() {
        let context = Context::new(2);
        let falling: Vec<f64> = (0..120).map(|i| 0.93f64.powi(i)).collect();
        let flat: Vec<f64> = (0..120).map(|i| 1.0 + 1.0 / (1 + i) as f64).collect();
        let few = [3.0, 2.0, 1.0];
        for (values, solver) in [&falling[..], &flat, &few]
            .into_iter()
            .flat_map(|values| [Solver::Lanczos, Solver::Randomized].map(|solver| (values, solver)))
        {
            for (n, d) in [(300, 150), (140, 260), (40, 130)] {
                let a = matrix(n, d, &values[..values.len().min(n)]);
                for k in [1, 3, 7] {
                    let Output { u, s, v, residuals, .. } =
                        svds(&context, &a.as_ref(), &params(k, solver)).unwrap();
                    assert!(distance_to_orthonormal(&u) < 1e-13 && distance_to_orthonormal(&v) < 1e-13);
                    for i in 0..k {
                        let expected = values.get(i).copied().unwrap_or(0.0);
                        assert!((s[i] - expected).abs() < 1e-13 * values[0], "{n} x {d}, {k}: {s:?}");
                        assert!(residuals[i].iter().all(|&residual| residual < 2e-10 * values[0]));
                    }
                }
            }
        }
    }

    #[test]
    fn a_value_comes_as_often_as_it_is_there() {
        let mut values = vec![1.0; 20];
        values.extend((0..100).map(|i| 0.5 * 0.95f64.powi(i)));
        let a = matrix(400, 300, &values);
        let steps: Vec<f64> = (0..96).map(|i| 8.0 - (i / 16) as f64).collect();
        let b = Mat::from_fn(96, 300, |i, j| if i == j { steps[i] } else { 0.0 }).unwrap();
        for (a, values, k) in [2, 5, 12, 22, 30].into_iter().flat_map(|k| [(&a, &values, k), (&b, &steps, k)])
        {
            let found = svds(&Context::new(1), &a.as_ref(), &params(k, Solver::Lanczos)).unwrap();
            for (i, s) in found.s.iter().enumerate() {
                assert!((s - values[i]).abs() < 1e-12 * values[0], "{k}: {:?}", found.s);
            }
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_threads_and_a_limit_is_kept() {
        let a = numbers(500, 200, 5);
        let found = [1, 2, 3, 8]
            .map(|threads| svds(&Context::new(threads), &a.as_ref(), &params(6, Solver::Lanczos)).unwrap());
        assert!(
            found.iter().all(|other| other.u.as_slice() == found[0].u.as_slice() && other.s == found[0].s)
        );
        let few = Params { max_iter: 3, ..params(6, Solver::Lanczos) };
        let unsettled = svds(&Context::new(1), &a.as_ref(), &few).unwrap();
        assert!(unsettled.n_iter <= 3 && unsettled.residuals.len() == 6);
        for exponent in [-1000, -600, 600, 1000] {
            let unit = 2f64.powi(exponent);
            let scaled = Mat::from_fn(500, 200, |i, j| a[(i, j)] * unit).unwrap();
            let other = svds(&Context::new(1), &scaled.as_ref(), &params(6, Solver::Lanczos)).unwrap();
            assert!(
                other.s.iter().zip(&found[0].s).all(|(x, y)| (x / unit - y).abs() < 1e-12 * y),
                "{exponent}"
            );
            assert!(distance_to_orthonormal(&other.u) < 1e-13);
        }
        let zero = Mat::<f64>::zeros(300, 200).unwrap();
        let nothing = svds(&Context::new(1), &zero.as_ref(), &params(4, Solver::Lanczos)).unwrap();
        assert!(nothing.s.iter().all(|&s| s == 0.0) && distance_to_orthonormal(&nothing.u) < 1e-13);
        let start = Params { start: Some(vec![1.0; 200]), ..params(6, Solver::Lanczos) };
        let other = svds(&Context::new(1), &a.as_ref(), &start).unwrap();
        assert!(other.s.iter().zip(&found[0].s).all(|(x, y)| (x - y).abs() < 1e-12 * y));
    }
}
