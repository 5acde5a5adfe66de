//! Sensitivities, between bounds.
//!
//! s_i = max |a_i x|^p / |A x|_p^p. Whatever x with a_i x = 1 gives s_i >= |A x|_p^-p, whatever z with A'z = a_i gives
//! s_i <= |z|_q^p, 1/p + 1/q = 1. Both come from one weighted Gram matrix: for any diagonal D > 0, y = (A'D A)^-1 a_i,
//! x = y / (a_i y) and z = D A y. With D = |A x|^(p - 2) they meet (iteratively reweighted least squares, with steps of
//! 1 / (p - 1) for p > 2). Lewis weights give the first D, the same for every row.
//!
//! Symbols: B is the reference, n x r, whose columns are orthonormal; targets are rows in the same coordinates. All
//! products of two columns of B lie side by side, so that the Gram matrices of a batch of targets are one product.

use super::basis::Basis;
use super::design::{Design, by_rows};
use super::distortion::{rounding, rows_of_sample};
use super::draw::{Draw, draw, for_numbers};
use super::lewis::{LewisParams, lewis_of};
use crate::error::{Error, Result};
use crate::linalg::{cholesky, invert_upper, matmul, product, solve_upper, solve_upper_transposed, syrk};
use crate::matrix::{Buffer, Dense, DenseMut, Mat, Matrix, Products, Real, even_blocks};
use crate::memory::{collected, copied, extend, gathered, push, zeros};
use crate::parallel::Context;
use crate::random::Stream;
use crate::simd::{axpy, dot};

/// Bounds for some rows, in the order in which they were asked for.
pub struct Bounds {
    /// No sensitivity is below.
    pub lower: Vec<f64>,
    /// None is above.
    pub upper: Vec<f64>,
}

/// Most steps for a row.
const STEPS: usize = 40;
/// Targets whose Gram matrices are one product, and numbers of their diagonals.
const BATCH: usize = 64;
const NUMBERS: usize = 1 << 16;
/// Relative rounding that a bound may have.
const ROUNDING: f64 = 1e-12;
/// What memory is for.
const BOUNDS: &str = "bounds of sensitivities";

/// Bounds of the sensitivities of some rows, all of them if none are named, within a factor 1 + `rtol` of each other
/// where 40 steps come that far.
pub fn sensitivity_bounds<T: Real>(
    context: &Context,
    a: Matrix<'_, T>,
    weights: Option<&[f64]>,
    rows: Option<&[usize]>,
    p: f64,
    rtol: f64,
) -> Result<Bounds> {
    by_rows(context, a, weights, 0.0, |a| {
        let (design, gram) = Design::new(context, a, weights, p)?;
        let basis = Basis::new(context, &design, &gram, 0.0)?;
        let (lewis, measure) = Measure::with_lewis(context, &design, basis, p, usize::MAX, 0)?;
        drop(lewis);
        let everything = rows.is_none().then(|| collected(0..design.nrows(), BOUNDS)).transpose()?;
        measure.bounds(context, &design, rows.or(everything.as_deref()).unwrap_or(&[]), rtol)
    })
}

/// A figure of all sensitivities, and what it rests on.
pub struct Figure {
    /// The estimate.
    pub estimate: f64,
    /// It is no less, as far as rows that were measured tell; of draws, two standard errors less.
    pub lower: f64,
    /// It is no more, alike.
    pub upper: f64,
    /// Sensitivities that were measured.
    pub measured: usize,
    /// Whether by all rows, not by a sample of them.
    pub is_exact: bool,
}

/// Rows that sensitivities are measured by where bounds need not be certain; of more a sample stands for them.
pub(crate) const REFERENCE: usize = 4096;
/// Of draws for a sum.
const DRAWS: u8 = 0x75;

/// The sum of all sensitivities, by `size` rows that are drawn by their Lewis weights.
pub fn total_sensitivity<T: Real>(
    context: &Context,
    a: Matrix<'_, T>,
    weights: Option<&[f64]>,
    p: f64,
    size: usize,
    seed: u64,
) -> Result<Figure> {
    by_rows(context, a, weights, 0.0, |a| {
        let (design, gram) = Design::new(context, a, weights, p)?;
        let basis = Basis::new(context, &design, &gram, 0.0)?;
        if p == 2.0 {
            let rank = basis.rank() as f64;
            return Ok(Figure { estimate: rank, lower: rank, upper: rank, measured: 0, is_exact: true });
        }
        let leverages = design.squared_norms(context, &basis.whitener, basis.is_mild)?;
        let (lewis, measure) = Measure::with_lewis(context, &design, basis, p, REFERENCE, seed)?;
        let positive = lewis.iter().filter(|&&weight| weight > 0.0).count();
        if positive <= size {
            let rows = collected((0..lewis.len()).filter(|&i| lewis[i] > 0.0), BOUNDS)?;
            let bounds = measure.bounds(context, &design, &rows, 0.03)?;
            let (lower, upper) = (bounds.lower.iter().sum::<f64>(), bounds.upper.iter().sum::<f64>());
            let estimate = 0.5 * (lower + upper);
            return Ok(Figure { estimate, lower, upper, measured: rows.len(), is_exact: measure.is_exact });
        }
        let scores = scores_of_draws(&lewis, &leverages, p, measure.whitener.ncols(), positive)?;
        let total: f64 = scores.iter().sum();
        let drawn = draw_numbers(context, &scores, size, seed)?;
        let bounds = measure.bounds(context, &design, &drawn, 0.03)?;
        let shares = |bounds: &[f64]| {
            let shares = drawn.iter().zip(bounds).map(|(&i, bound)| total * bound / scores[i]);
            let shares = collected(shares, BOUNDS)?;
            let mean = shares.iter().sum::<f64>() / size as f64;
            let square = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>();
            Ok((mean, (square / (size * size.max(2) - size) as f64).sqrt()))
        };
        let ((low, low_error), (high, high_error)) = (shares(&bounds.lower)?, shares(&bounds.upper)?);
        Ok(Figure {
            estimate: 0.5 * (low + high),
            lower: (low - 2.0 * low_error).max(0.0),
            upper: high + 2.0 * high_error,
            measured: size,
            is_exact: measure.is_exact,
        })
    })
}

/// What rows are drawn by for the sum: Lewis weights over theirs, and, for p > 2, the least of what is known to bound
/// sensitivities, over theirs: d^(p/2 - 1) w and, by Hölder's inequality, n^(p/2 - 1) t^(p/2) for leverages t of n rows.
fn scores_of_draws(lewis: &[f64], leverages: &[f64], p: f64, r: usize, n: usize) -> Result<Vec<f64>> {
    let power = (0.5 * p - 1.0).max(0.0);
    let (factor, leverage_factor) = ((r as f64).powf(power) * LEWIS_SLACK, (n as f64).powf(power));
    let most = |(lewis, leverage): (&f64, &f64)| {
        let by_leverage = if p > 2.0 { leverage_factor * leverage.powf(0.5 * p) } else { 1.0 };
        (factor * lewis).min(by_leverage).min(1.0)
    };
    let most = collected(lewis.iter().zip(leverages).map(most), BOUNDS)?;
    let (all, all_most) = (lewis.iter().sum::<f64>(), most.iter().sum::<f64>());
    collected(lewis.iter().zip(&most).map(|(lewis, most)| lewis / all + most / all_most), BOUNDS)
}

/// Numbers of rows, drawn with replacement.
fn draw_numbers(context: &Context, scores: &[f64], size: usize, seed: u64) -> Result<Vec<usize>> {
    let mut total = 0.0;
    let mut ends = Vec::new();
    for rows in context.pieces(0..scores.len()) {
        for &score in &scores[rows?] {
            total += score;
            push(&mut ends, total, BOUNDS)?;
        }
    }
    let last = scores.iter().rposition(|&score| score > 0.0).unwrap_or(0);
    let mut drawn = Vec::new();
    for_numbers(&Stream::new(seed, 0, DRAWS), 0..size, |_, number| {
        push(&mut drawn, ends.partition_point(|&end| end <= number * total).min(last), BOUNDS)
    })?;
    Ok(drawn)
}

/// The largest sensitivity: rows are measured from the largest upper bound by Lewis weights downwards, until none that is
/// left can be above what was found.
pub fn max_sensitivity<T: Real>(
    context: &Context,
    a: Matrix<'_, T>,
    weights: Option<&[f64]>,
    p: f64,
    seed: u64,
) -> Result<Figure> {
    by_rows(context, a, weights, 0.0, |a| {
        let (design, gram) = Design::new(context, a, weights, p)?;
        let basis = Basis::new(context, &design, &gram, 0.0)?;
        let (lewis, measure) = Measure::with_lewis(context, &design, basis, p, REFERENCE, seed)?;
        let factor = (measure.whitener.ncols() as f64).powf((0.5 * p - 1.0).max(0.0)) * LEWIS_SLACK;
        let mut order = collected((0..lewis.len()).filter(|&i| lewis[i] > 0.0), BOUNDS)?;
        order.sort_unstable_by(|&i, &j| lewis[j].total_cmp(&lewis[i]).then(i.cmp(&j)));
        let (mut lower, mut upper, mut measured) = (0.0f64, 0.0f64, 0);
        while measured < order.len() && (factor * lewis[order[measured]]).min(1.0) > lower {
            let next = measured..order.len().min(measured + BATCH);
            let bounds = measure.bounds(context, &design, &order[next.clone()], 0.01)?;
            lower = bounds.lower.iter().copied().fold(lower, f64::max);
            upper = bounds.upper.iter().copied().fold(upper, f64::max);
            measured = next.end;
        }
        let estimate = 0.5 * (lower + upper);
        Ok(Figure { estimate, lower, upper, measured, is_exact: measure.is_exact })
    })
}

/// What weights that are within a twentieth, in the logarithm, of the fixed point of Lewis weights may be off.
const LEWIS_SLACK: f64 = 1.2;

/// Rows that sensitivities are measured by, and the coordinates of targets.
pub(crate) struct Measure {
    reference: Reference,
    whitener: Mat<f64>,
    /// What rounding may make of norms in these coordinates.
    rounding: f64,
    /// Whether by all rows.
    pub is_exact: bool,
}

impl Measure {
    /// With Lewis weights of all rows, and by all rows if there are no more than `most`.
    pub fn with_lewis<T: Real>(
        context: &Context,
        design: &Design<'_, T>,
        basis: Basis,
        p: f64,
        most: usize,
        seed: u64,
    ) -> Result<(Buffer<f64>, Self)> {
        let (whitener, condition) = (basis.whitener.copy()?, basis.condition);
        let params = LewisParams { p, tolerance: 0.05, max_iter: 60 };
        let lewis = lewis_of(context, design, basis, &params)?.0.weights;
        let measure = Self::new(context, design, whitener, condition, &lewis, p, most, seed)?;
        Ok((lewis, measure))
    }

    /// By all rows if there are no more than `most`, else by a sample by their Lewis weights.
    pub fn new<T: Real>(
        context: &Context,
        design: &Design<'_, T>,
        whitener: Mat<f64>,
        condition: f64,
        lewis: &[f64],
        p: f64,
        most: usize,
        seed: u64,
    ) -> Result<Self> {
        let (n, r, rounding) = (design.nrows(), whitener.ncols(), rounding(&whitener, condition));
        if n <= most {
            let mut rows = Mat::zeros(n, r)?;
            design.rows.product(context, whitener.as_ref(), rows.as_mut())?;
            return Ok(Self {
                reference: Reference::new(rows, lewis, p)?,
                whitener,
                rounding,
                is_exact: true,
            });
        }
        let drawn = draw(context, lewis, most.max(20 * r), Draw::Fixed, seed ^ u64::MAX)?;
        let rows = rows_of_sample(context, design, &whitener, &drawn.indices, &drawn.weights, p)?;
        let mut gram = Mat::zeros(r, r)?;
        syrk(gram.as_mut(), false, rows.as_ref().t(), 1.0);
        let lost = || Error::Internal("a sample by Lewis weights has lost a direction".into());
        let inverse = invert_upper(cholesky(&gram)?.ok_or_else(lost)?.as_ref())?;
        let weights = drawn.indices.iter().zip(&drawn.weights).map(|(&i, weight)| lewis[i] * weight);
        let weights = collected(weights, BOUNDS)?;
        let rows = product(rows.as_ref().t(), inverse.as_ref())?;
        let whitener = product(whitener.as_ref(), inverse.as_ref())?;
        Ok(Self { reference: Reference::new(rows, &weights, p)?, whitener, rounding, is_exact: false })
    }

    /// Bounds for any rows, one a column.
    pub fn bounds_of(&self, context: &Context, rows: &Mat<f64>, rtol: f64) -> Result<Bounds> {
        let targets = product(self.whitener.as_ref().t(), rows.as_ref())?;
        let mut bounds = self.reference.bounds(context, &targets, rtol)?;
        let slack = (1.0 + self.rounding).powf(self.reference.p);
        bounds.lower.iter_mut().for_each(|lower| *lower /= slack);
        bounds.upper.iter_mut().for_each(|upper| *upper = (*upper * slack).min(1.0));
        Ok(bounds)
    }

    /// Bounds for rows by their numbers.
    pub fn bounds<T: Real>(
        &self,
        context: &Context,
        design: &Design<'_, T>,
        rows: &[usize],
        rtol: f64,
    ) -> Result<Bounds> {
        const AT_ONCE: usize = 1024;
        let mut bounds = Bounds { lower: Vec::new(), upper: Vec::new() };
        for some in rows.chunks(AT_ONCE) {
            let gathered = design.gather(context, some)?;
            let found = self.bounds_of(context, &gathered, rtol)?;
            extend(&mut bounds.lower, found.lower, BOUNDS)?;
            extend(&mut bounds.upper, found.upper, BOUNDS)?;
            context.progress(bounds.lower.len(), rows.len(), &[])?;
        }
        Ok(bounds)
    }
}

/// The rows that sensitivities are measured by.
struct Reference {
    p: f64,
    /// B
    rows: Mat<f64>,
    /// B_ij B_ik for j <= k.
    products: Mat<f64>,
    /// W^(1 - 2/p), of rows that are not zero.
    start: Vec<f64>,
}

impl Reference {
    /// Of rows with orthonormal columns and these Lewis weights.
    pub fn new(rows: Mat<f64>, lewis: &[f64], p: f64) -> Result<Self> {
        let (n, r) = (rows.nrows(), rows.ncols());
        let mut products = Mat::zeros(n, r * (r + 1) / 2)?;
        for (at, (j, k)) in (0..r).flat_map(|k| (0..=k).map(move |j| (j, k))).enumerate() {
            let (left, right) = (rows.col(j), rows.col(k));
            products.col_mut(at).iter_mut().enumerate().for_each(|(i, entry)| *entry = left[i] * right[i]);
        }
        let power = 1.0 - 2.0 / p;
        let weight = |&weight: &f64| if weight > 0.0 { weight.powf(power) } else { 0.0 };
        Ok(Self { p, rows, products, start: collected(lewis.iter().map(weight), BOUNDS)? })
    }

    /// Bounds for targets, one a column.
    pub fn bounds(&self, context: &Context, targets: &Mat<f64>, rtol: f64) -> Result<Bounds> {
        let batch = (NUMBERS / self.rows.nrows().max(1)).clamp(1, BATCH);
        let batches = even_blocks(targets.ncols(), batch)?;
        let parts = context.map(batches.len(), |part| {
            let columns = batches[part].clone();
            self.of_batch(targets.as_ref().cols(columns), rtol)
        })?;
        let mut bounds = Bounds { lower: Vec::new(), upper: Vec::new() };
        for part in parts {
            let part: Bounds = part?;
            extend(&mut bounds.lower, part.lower, BOUNDS)?;
            extend(&mut bounds.upper, part.upper, BOUNDS)?;
        }
        Ok(bounds)
    }

    fn of_batch(&self, targets: Dense<'_, f64>, rtol: f64) -> Result<Bounds> {
        let (n, count) = (self.rows.nrows(), targets.ncols());
        let mut searches = gathered((0..count).map(|k| Search::new(self, targets, k)), BOUNDS)?;
        let mut diagonals = Mat::from_fn(n, count, |i, _| self.start[i])?;
        for step in 0..STEPS {
            let open = collected((0..count).filter(|&k| !searches[k].is_closed(rtol)), BOUNDS)?;
            if open.is_empty() {
                break;
            }
            let mut grams = Mat::zeros(self.products.ncols(), open.len())?;
            let chosen = Mat::from_fn(n, open.len(), |i, at| diagonals[(i, open[at])])?;
            matmul(grams.as_mut(), false, self.products.as_ref().t(), chosen.as_ref(), 1.0);
            for (at, &k) in open.iter().enumerate() {
                searches[k].step(self, grams.col(at), diagonals.col_mut(k), step)?;
            }
        }
        let lower = collected(searches.iter().map(|search| search.lower.min(1.0)), BOUNDS)?;
        let upper = collected(searches.iter().map(|search| search.upper.min(1.0)), BOUNDS)?;
        Ok(Bounds { lower, upper })
    }
}

/// What is known of one target.
struct Search {
    target: Vec<f64>,
    /// B x, with target'x = 1.
    image: Vec<f64>,
    lower: f64,
    upper: f64,
    /// Nothing more will come of it.
    is_stuck: bool,
}

impl Search {
    fn new(reference: &Reference, targets: Dense<'_, f64>, k: usize) -> Result<Self> {
        let target = collected((0..targets.nrows()).map(|j| targets.get(j, k)), BOUNDS)?;
        let is_zero = target.iter().all(|&entry| entry == 0.0);
        let upper = if is_zero { 0.0 } else { f64::INFINITY };
        let image = if is_zero { Vec::new() } else { zeros(reference.rows.nrows(), BOUNDS)? };
        Ok(Self { target, image, lower: 0.0, upper, is_stuck: is_zero })
    }

    fn is_closed(&self, rtol: f64) -> bool {
        self.is_stuck || self.upper <= (1.0 + rtol) * self.lower
    }

    /// One step, with B'D B as the upper triangle by columns; D becomes the next one.
    fn step(&mut self, reference: &Reference, gram: &[f64], diagonal: &mut [f64], step: usize) -> Result<()> {
        let (p, rows, r) = (reference.p, &reference.rows, self.target.len());
        let entry = |i: usize, j: usize| gram[i.max(j) * (i.max(j) + 1) / 2 + i.min(j)];
        let Some(triangle) = cholesky(&Mat::from_fn(r, r, entry)?)? else {
            self.is_stuck = true;
            return Ok(());
        };
        let mut y = copied(&self.target, BOUNDS)?;
        solve_upper_transposed(triangle.as_ref(), DenseMut::column_major(&mut y, r, 1));
        solve_upper(triangle.as_ref(), DenseMut::column_major(&mut y, r, 1));
        let mut image = image_of(rows, &y)?;
        let scale = dot(&self.target, &y).recip();
        let mut dual = collected(image.iter().zip(&*diagonal).map(|(image, weight)| image * weight), BOUNDS)?;
        // Feasible to rounding, whatever the condition of B'D B.
        let missing = (0..r).map(|j| self.target[j] - dot(rows.col(j), &dual));
        let repair = image_of(rows, &collected(missing, BOUNDS)?)?;
        axpy(1.0, &repair, &mut dual);
        self.upper = self.upper.min(dual_norm(&dual, p).powf(p) * (1.0 + ROUNDING));
        image.iter_mut().for_each(|value| *value *= scale);
        let stride = if step == 0 || p <= 2.0 { 1.0 } else { (p - 1.0).recip() };
        for (old, new) in self.image.iter_mut().zip(&image) {
            *old += stride * (new - *old);
        }
        let found = power_sum(&self.image, p).recip() * (1.0 - ROUNDING);
        if found.is_finite() {
            self.lower = self.lower.max(found);
        }
        self.reweigh(reference, diagonal, step)
    }

    /// D = |B x|^(p - 2), which for p < 2 is not let grow beyond all bounds.
    fn reweigh(&self, reference: &Reference, diagonal: &mut [f64], step: usize) -> Result<()> {
        let p = reference.p;
        let mut sizes = collected(self.image.iter().map(|value| value.abs()), BOUNDS)?;
        let middle = sizes.len() / 2;
        let median = *sizes.select_nth_unstable_by(middle, f64::total_cmp).1;
        let least = if p < 2.0 { median * 10f64.powf(-1.0 - 0.2 * step as f64) } else { 0.0 };
        let unit = if median > 0.0 { median } else { 1.0 };
        for ((weight, value), start) in diagonal.iter_mut().zip(&self.image).zip(&reference.start) {
            *weight = if *start == 0.0 { 0.0 } else { (value.abs().max(least) / unit).powf(p - 2.0) };
        }
        Ok(())
    }
}

/// B y
fn image_of(rows: &Mat<f64>, y: &[f64]) -> Result<Vec<f64>> {
    let mut image = zeros(rows.nrows(), BOUNDS)?;
    y.iter().enumerate().for_each(|(j, &y)| axpy(y, rows.col(j), &mut image));
    Ok(image)
}

/// |x|_p^p
fn power_sum(x: &[f64], p: f64) -> f64 {
    x.iter().map(|value| value.abs().powf(p)).sum()
}

/// |z|_q, 1/p + 1/q = 1.
fn dual_norm(z: &[f64], p: f64) -> f64 {
    let largest = z.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    if p == 1.0 || largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    let q = p / (p - 1.0);
    largest * z.iter().map(|value| (value.abs() / largest).powf(q)).sum::<f64>().powf(q.recip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coreset::testing::entry;

    /// Rows that are multiples of unit vectors: s_i = |a_i|^p over the sum of its column.
    #[test]
    fn sensitivities_of_one_hot_rows_are_shares_of_their_columns() {
        let (n, d) = (60, 4);
        let size = |i: usize| 0.5 + ((7 * i) % 13) as f64;
        let a = Mat::from_fn(n, d, |i, j| if i % d == j { size(i) } else { 0.0 }).unwrap();
        for p in [1.0, 1.5, 2.0, 4.0] {
            let matrix = Matrix::Dense(a.as_ref());
            let bounds = sensitivity_bounds(&Context::new(2), matrix, None, None, p, 1e-3).unwrap();
            for i in 0..n {
                let sum: f64 = (i % d..n).step_by(d).map(|k| size(k).powf(p)).sum();
                let truth = size(i).powf(p) / sum;
                assert!(bounds.lower[i] <= truth * (1.0 + 1e-9) && truth <= bounds.upper[i] * (1.0 + 1e-9));
                assert!(bounds.upper[i] <= 1.02 * bounds.lower[i], "p = {p}, row {i}");
            }
            let total = total_sensitivity(&Context::new(1), matrix, None, p, 100, 1).unwrap();
            assert!((total.estimate - d as f64).abs() < 0.05);
            let largest = max_sensitivity(&Context::new(1), matrix, None, p, 1).unwrap();
            assert!(largest.lower <= largest.upper && largest.upper <= 1.02 * largest.lower);
            let truth = bounds.upper.iter().copied().fold(0.0, f64::max);
            assert!((largest.estimate / truth - 1.0).abs() < 0.02);
        }
    }

    #[test]
    fn no_direction_is_above_an_upper_bound_or_its_row_below_a_lower_one() {
        let (n, d) = (90, 3);
        let a = Mat::from_fn(n, d, |i, j| entry(i, j) + 0.01 * (i as f64).sin()).unwrap();
        for p in [1.0, 1.3, 3.0] {
            let matrix = Matrix::Dense(a.as_ref());
            let bounds = sensitivity_bounds(&Context::new(1), matrix, None, None, p, 0.03).unwrap();
            assert!(bounds.lower.iter().zip(&bounds.upper).all(|(lower, upper)| lower <= upper));
            for k in 0..500 {
                let x = [entry(k, 11) + 0.1, entry(k, 12), entry(k, 13) - 0.1];
                let image = |i: usize| (0..d).map(|j| a[(i, j)] * x[j]).sum::<f64>().abs().powf(p);
                let sum: f64 = (0..n).map(image).sum();
                assert!((0..n).all(|i| image(i) <= bounds.upper[i] * sum * (1.0 + 1e-9)));
            }
            let some = sensitivity_bounds(&Context::new(3), matrix, None, Some(&[7, 3]), p, 0.03).unwrap();
            assert!((some.upper[1] / bounds.upper[3] - 1.0).abs() < 1e-6);
        }
    }
}
