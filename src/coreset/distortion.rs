//! How far norms over a sample are from those over all rows.
//!
//! The distortion is the largest | |S A x|_p / |A x|_p - 1 | over all x, S having the p-th roots of the weights. For p = 2
//! it is that of singular values of S A in coordinates in which A has orthonormal columns: known exactly. For other p the
//! ratio has many maxima, and nothing short of a search over all directions bounds it: what is found by climbing from
//! some directions is a lower bound. What a union bound over a net of directions proves is far above it.

use super::design::Design;
use crate::error::Result;
use crate::linalg::{eigh_apart, matmul, product, syrk};
use crate::matrix::{Mat, Products, Real};
use crate::memory::{collected, copied, filled, push};
use crate::parallel::Context;
use crate::random::Stream;
use crate::simd::narrow::{add_dots_of_columns, subtract_product_of_columns, total};
use crate::simd::{axpy, dot, norm_sq};

/// Eigenvalue of a sample in coordinates where all rows have ones, below which a direction is lost.
const LOST: f64 = 1e-10;
/// Of the rounding of rows in coordinates in which columns are orthonormal.
const SAFETY: f64 = 4.0;
/// What memory is for.
const DIRECTIONS: &str = "directions of a norm";

/// Of random directions to climb from.
const START: u8 = 0x74;
/// Rows of each kind, and random directions, to climb from.
const LARGEST: usize = 2;
const RANDOM: usize = 2;
/// Steps of a climb.
const STEPS: usize = 25;

/// The distortion for p = 2, from the rows of S A in such coordinates, one a column.
pub(crate) fn exact(context: &Context, rows: &Mat<f64>) -> Result<f64> {
    Ok(distortion_of(&spectrum(context, rows)?.0))
}

/// That of a sample with these eigenvalues.
pub(crate) fn distortion_of(values: &[f64]) -> f64 {
    values.iter().map(|value| (value.max(0.0).sqrt() - 1.0).abs()).fold(0.0, f64::max)
}

/// Whether a sample with these eigenvalues has no rows in some direction.
pub(crate) fn has_lost_a_direction(values: &[f64]) -> bool {
    !values.iter().all(|&value| value > LOST)
}

/// What rounding may make of norms, relatively, in such coordinates W that have lost so many units of it.
pub(crate) fn rounding(whitener: &Mat<f64>, lost: f64) -> f64 {
    1e-13 + SAFETY * (whitener.nrows() as f64).sqrt() * lost * f64::UNIT_ROUNDOFF
}

/// Eigenvalues of the Gram matrix of rows, one a column, and its eigenvectors.
pub(crate) fn spectrum(context: &Context, rows: &Mat<f64>) -> Result<(Vec<f64>, Mat<f64>)> {
    let r = rows.nrows();
    let mut gram = Mat::zeros(r, r)?;
    syrk(gram.as_mut(), false, rows.as_ref().t(), 1.0);
    eigh_apart(context, gram)
}

/// A sample whose distortion is looked for, and something that stands for all rows while it is.
pub(crate) struct Search<'s> {
    pub p: f64,
    /// Rows of S A in coordinates in which they are close to orthonormal for p = 2, one a column.
    pub sample: &'s Mat<f64>,
    /// The same of another sample, or of all rows.
    pub other: &'s Mat<f64>,
    pub seed: u64,
}

impl Search<'_> {
    /// Directions, one a column, in which the ratio of the norms is large or small.
    pub fn directions(&self, context: &Context) -> Result<Mat<f64>> {
        let r = self.sample.nrows();
        let starts = self.starts(context)?;
        let ratio = Ratio { p: self.p, sample: in_columns(self.sample)?, other: in_columns(self.other)? };
        let climbs = context.map(2 * starts.len(), |at| {
            let sign = if at.is_multiple_of(2) { 1.0 } else { -1.0 };
            ratio.climb(copied(&starts[at / 2], DIRECTIONS)?, sign)
        })?;
        let mut directions = Mat::zeros(r, climbs.len())?;
        for (k, found) in climbs.into_iter().enumerate() {
            directions.col_mut(k).copy_from_slice(&found?);
        }
        Ok(directions)
    }

    /// The extreme eigenvectors of both, their longest rows, and some random directions.
    fn starts(&self, context: &Context) -> Result<Vec<Vec<f64>>> {
        let (r, mut starts) = (self.sample.nrows(), Vec::new());
        let (_, vectors) = spectrum(context, self.sample)?;
        for j in [0, 1, r.saturating_sub(1), r.saturating_sub(2)].into_iter().filter(|&j| j < r) {
            push(&mut starts, copied(vectors.col(j), DIRECTIONS)?, DIRECTIONS)?;
        }
        for rows in [self.sample, self.other] {
            let lengths = (0..rows.ncols()).map(|i| (norm_sq(rows.col(i)), i));
            let mut lengths = collected(lengths, DIRECTIONS)?;
            lengths.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            for &(_, i) in lengths.iter().take(LARGEST) {
                push(&mut starts, copied(rows.col(i), DIRECTIONS)?, DIRECTIONS)?;
            }
        }
        for k in 0..RANDOM {
            let stream = Stream::new(self.seed, 0, START);
            let direction = collected((0..r).map(|j| stream.normal(k as u64, j as u64)), DIRECTIONS)?;
            push(&mut starts, direction, DIRECTIONS)?;
        }
        Ok(starts)
    }
}

/// |S A x|_p / |A x|_p, with rows in columns of a tile.
struct Ratio {
    p: f64,
    sample: Mat<f64>,
    other: Mat<f64>,
}

/// Rows, one a column, as the columns of a tile, with zeros below.
fn in_columns(rows: &Mat<f64>) -> Result<Mat<f64>> {
    let (r, m) = (rows.nrows(), rows.ncols());
    Mat::from_fn(m.next_multiple_of(8), r, |i, j| if i < m { rows[(j, i)] } else { 0.0 })
}

impl Ratio {
    /// Follows the gradient of +-log of the ratio, by steps that grow while they help and shrink while they do not.
    fn climb(&self, mut x: Vec<f64>, sign: f64) -> Result<Vec<f64>> {
        normalise(&mut x);
        let (mut height, mut slope) = self.at(&x, sign)?;
        let mut stride = 0.1;
        for _ in 0..STEPS {
            let steepness = norm_sq(&slope).sqrt();
            if !(steepness > 1e-9 && stride > 1e-9) {
                break;
            }
            let mut next = copied(&x, DIRECTIONS)?;
            axpy(stride / steepness, &slope, &mut next);
            normalise(&mut next);
            let (reached, its_slope) = self.at(&next, sign)?;
            if reached > height {
                (x, height, slope, stride) = (next, reached, its_slope, 2.0 * stride);
            } else {
                stride *= 0.25;
            }
        }
        Ok(x)
    }

    /// +-log of it and the gradient.
    fn at(&self, x: &[f64], sign: f64) -> Result<(f64, Vec<f64>)> {
        let mut slope = filled(0.0, x.len(), DIRECTIONS)?;
        let mut height = 0.0;
        for (tile, sign) in [(&self.sample, sign), (&self.other, -sign)] {
            let (rows, mut images) = (tile.nrows(), filled(0.0, tile.nrows(), DIRECTIONS)?);
            subtract_product_of_columns(tile.as_slice(), rows, x, &mut images);
            let mut sum = 0.0;
            for image in &mut images {
                let of_slope = power(*image, self.p - 1.0);
                sum += of_slope * image.abs();
                // What was subtracted is minus the image.
                *image = if *image == 0.0 { 0.0 } else { of_slope.copysign(-*image) };
            }
            if sum == 0.0 {
                // A direction that the sample has lost: as low as it goes.
                return Ok((if sign > 0.0 { f64::NEG_INFINITY } else { f64::INFINITY }, slope));
            }
            height += sign * sum.ln() / self.p;
            let mut dots = filled([0.0; 8], x.len(), DIRECTIONS)?;
            add_dots_of_columns(tile.as_slice(), rows, &images, &mut dots);
            slope.iter_mut().zip(dots).for_each(|(slope, dot)| *slope += sign * total(dot) / sum);
        }
        Ok((height, slope))
    }
}

/// |x|^p, by roots and products where p is half an integer that is not large.
fn power(x: f64, p: f64) -> f64 {
    let (x, halves) = (x.abs(), 2.0 * p);
    if halves.fract() != 0.0 || halves > 16.0 {
        return x.powf(p);
    }
    let whole = x.powi(p as i32);
    if p.fract() == 0.0 { whole } else { whole * x.sqrt() }
}

fn normalise(x: &mut [f64]) {
    let norm = norm_sq(x).sqrt();
    x.iter_mut().for_each(|entry| *entry /= norm);
}

/// The largest distortion in these directions, measured on all rows.
pub(crate) fn measured<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    whitener: &Mat<f64>,
    sample: &Mat<f64>,
    directions: &Mat<f64>,
    p: f64,
) -> Result<f64> {
    const AT_ONCE: usize = 8;
    let (n, mut largest) = (design.nrows(), 0.0f64);
    let coefficients = product(whitener.as_ref(), directions.as_ref())?;
    let mut images = Mat::zeros(n, AT_ONCE)?;
    for first in (0..directions.ncols()).step_by(AT_ONCE) {
        let columns = first..directions.ncols().min(first + AT_ONCE);
        let count = columns.len();
        design.rows.product(context, coefficients.as_ref().cols(columns), images.as_mut().cols(0..count))?;
        for k in 0..count {
            let mut all = 0.0;
            for rows in context.pieces(0..n) {
                all += images.col(k)[rows?].iter().map(|&image| power(image, p)).sum::<f64>();
            }
            let x = directions.col(first + k);
            let of_sample: f64 = (0..sample.ncols()).map(|i| power(dot(sample.col(i), x), p)).sum();
            if all > 0.0 {
                largest = largest.max(((of_sample / all).powf(p.recip()) - 1.0).abs());
            }
        }
    }
    Ok(largest)
}

/// What a net proves of independent draws with shares q_i >= min(1, s_i / alpha) of sensitivities s_i in r dimensions: a
/// bound of the distortion that holds with probability 1 - `delta`.
///
/// For one x, Bernstein: the sum is off by more than t with probability 2 exp(-t^2 / (alpha (2 + 2t/3))) at most. Over an
/// eta-net of (1 + 2/eta)^r directions that is `delta` for the t of `deviation`; from the net to all x, eta more.
pub fn net_bound(alpha: f64, r: usize, p: f64, delta: f64) -> f64 {
    let candidates = (0..200).map(|k| 10f64.powf(-4.0 + 0.02 * f64::from(k)));
    let bound = |eta: f64| {
        let directions = r as f64 * (2.0 / eta).ln_1p() + (2.0 / delta).ln();
        let t = deviation(alpha * directions);
        let longest = (1.0 + t).powf(p.recip()) / (1.0 - eta);
        let shortest = if t < 1.0 { (1.0 - t).powf(p.recip()) } else { 0.0 };
        (longest - 1.0).max(1.0 - shortest + eta * longest)
    };
    candidates.filter(|&eta| eta < 1.0).map(bound).fold(f64::INFINITY, f64::min)
}

/// t with t^2 / (2 + 2t/3) = x.
fn deviation(x: f64) -> f64 {
    x / 3.0 + (x * x / 9.0 + 2.0 * x).sqrt()
}

/// Rows of a design with p-th roots of weights, in coordinates `whitener`, one a column.
pub(crate) fn rows_of_sample<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    whitener: &Mat<f64>,
    indices: &[usize],
    weights: &[f64],
    p: f64,
) -> Result<Mat<f64>> {
    let mut rows = design.gather(context, indices)?;
    for (at, weight) in weights.iter().enumerate() {
        let root = weight.powf(p.recip());
        rows.col_mut(at).iter_mut().for_each(|entry| *entry *= root);
    }
    let mut whitened = Mat::zeros(whitener.ncols(), indices.len())?;
    matmul(whitened.as_mut(), false, whitener.as_ref().t(), rows.as_ref(), 1.0);
    Ok(whitened)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coreset::testing::entry;

    #[test]
    fn powers_of_half_integers_are_powers() {
        for p in [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 7.5, 8.0, 1.3, 20.0] {
            for x in [0.0, 1.0, -2.5, 1e-3] {
                assert!((power(x, p) - f64::abs(x).powf(p)).abs() <= 1e-14 * f64::abs(x).powf(p));
            }
        }
    }

    /// The gradient of the ratio beside differences.
    #[test]
    fn a_climb_follows_the_slope_upwards() {
        let (r, m) = (4, 50);
        let sample = Mat::from_fn(r, m, |i, j| entry(j, i) + 0.01).unwrap();
        let other = Mat::from_fn(r, 3 * m, |i, j| entry(j + 1000, i) + 0.02).unwrap();
        for p in [1.0, 1.5, 3.0] {
            let ratio = Ratio { p, sample: in_columns(&sample).unwrap(), other: in_columns(&other).unwrap() };
            let x = vec![0.5, -0.2, 0.7, 0.3];
            for sign in [1.0, -1.0] {
                let (height, slope) = ratio.at(&x, sign).unwrap();
                for j in 0..r {
                    let mut next = x.clone();
                    next[j] += 1e-6;
                    let change = (ratio.at(&next, sign).unwrap().0 - height) / 1e-6;
                    assert!((change - slope[j]).abs() < 1e-4, "p = {p}: {change} for {}", slope[j]);
                }
                let top = ratio.climb(x.clone(), sign).unwrap();
                assert!(ratio.at(&top, sign).unwrap().0 > height);
            }
        }
    }

    #[test]
    fn the_bound_of_a_net_falls_with_the_shares() {
        let bounds = [1e-1, 1e-2, 1e-3, 1e-4].map(|alpha| net_bound(alpha, 5, 1.0, 0.01));
        assert!(bounds.is_sorted_by(|a, b| a > b) && bounds[3] < 0.15, "{bounds:?}");
        // As in the first two terms of Bernstein's inequality.
        for x in [1e-6, 0.1, 3.0] {
            let t = deviation(x);
            assert!((t * t / (2.0 + 2.0 * t / 3.0) - x).abs() < 1e-12 * (1.0 + x));
        }
    }
}
