//! Coordinates in which the columns of A are orthonormal.
//!
//! Symbols: A is n x d of rank r, W d x r with (A W)'(A W) = I, u the unit roundoff. Four roads lead to W, each taken
//! where the one before does not arrive:
//!
//! 1. the triangle of A'A, with columns in units of their norms: one read, and u k^2 is lost of condition k;
//! 2. that of columns which span the others, if random combinations of what is left are zero to rounding;
//! 3. the triangle of a sketch of A, if its condition leaves no doubt of the rank: half the time of the next one;
//! 4. singular values of the triangle of A, by TSQR.
//!
//! Where k is more than [`MILD`], the triangle of (A W)'(A W) mends W: what is then lost is u k. No eigenvalue of A'A is
//! ever cut off: at condition 1e6 that would drop directions which are there.

use super::design::{Design, OUTSIDE};
use super::span::{PROBES, spanning};
use crate::error::{Error, Result};
use crate::linalg::{
    self, Qr, cholesky, condition_of_upper, cut_off, invert_upper, matmul, norm, product, rank_of, svd_apart,
    tsqr,
};
use crate::matrix::{Mat, Products, Real, power_of_two_below};
use crate::memory::collected;
use crate::parallel::Context;
use crate::random::Stream;
use crate::simd::axpy;
use crate::sketch::{Kind, Operand, Sketch};
use std::array;

/// Up to this condition the triangle of A'A is as good as another.
const MILD: f64 = 1e4;
/// Up to this condition one step mends what the triangle of A'A lost.
const MENDABLE: f64 = 1e7;
/// Rows of a sketch for each column, entries of a column of it, and how far from the cut-off its condition has to be.
const SKETCHED: usize = 16;
const ZETA: usize = 4;
const SURE: f64 = 30.0;
/// How much more than rounding it is that a row has outside the range.
const SURELY: f64 = 1e3;
/// Of the random combinations.
const PROBE: u8 = 0x70;

/// W, and what is known of it.
pub(crate) struct Basis {
    /// W; where there is a ridge, (A W)'(A W) + ridge W'W = I.
    pub whitener: Mat<f64>,
    /// Whether the condition is no more than [`MILD`].
    pub is_mild: bool,
    /// This condition, of columns in units near their norms, without what was cut off.
    pub condition: f64,
    /// Powers of two, by which columns of A are near one, and zero for those of zeros.
    pub units: Vec<f64>,
}

impl Basis {
    /// Of a design with this Gram matrix.
    pub fn new<T: Real>(
        context: &Context,
        design: &Design<'_, T>,
        gram: &Mat<f64>,
        ridge: f64,
    ) -> Result<Self> {
        let penalty = |j: usize| if ridge == 0.0 { 0.0 } else { ridge * design.rows.scale_of(j).powi(2) };
        let units = (0..gram.ncols()).map(|j| match gram[(j, j)] + penalty(j) {
            0.0 => 0.0,
            square => power_of_two_below(square.sqrt()).recip(),
        });
        let units = collected(units, "units of columns")?;
        let entry = |i: usize, j: usize| {
            let penalty = if i == j { penalty(j) } else { 0.0 };
            (gram[(i, j)] + penalty) * units[i] * units[j]
        };
        let gram = Mat::from_fn(units.len(), units.len(), entry)?;
        let rough = match from_triangle(&gram)? {
            Some(rough) => rough,
            None => match from_independent(context, design, &gram, &units)? {
                Some(rough) => rough,
                None => match from_sketch(context, design, &units, &penalty)? {
                    Some(rough) => rough,
                    None => from_qr(context, design, &units, &penalty)?,
                },
            },
        };
        let whitener =
            Mat::from_fn(units.len(), rough.whitener.ncols(), |i, j| units[i] * rough.whitener[(i, j)])?;
        if rough.condition <= MILD {
            return Ok(Self { whitener, is_mild: true, condition: rough.condition, units });
        }
        if let Some(whitener) = mended(context, design, &whitener, &penalty)? {
            return Ok(Self { whitener, is_mild: false, condition: rough.condition, units });
        }
        let Rough { whitener: rough, condition } = from_qr(context, design, &units, &penalty)?;
        let whitener = Mat::from_fn(units.len(), rough.ncols(), |i, j| units[i] * rough[(i, j)])?;
        let whitener = mended(context, design, &whitener, &penalty)?;
        let lost = || Error::Internal("columns over their triangle are not close to orthonormal".into());
        Ok(Self { whitener: whitener.ok_or_else(lost)?, is_mild: false, condition, units })
    }

    /// Whether some row has more than rounding outside the range, as a row of 1e20 leaves of others of 1. Random
    /// combinations of what rows have there are beside such of the rows. Where the range is so ill-conditioned that
    /// nothing can be told, nothing is.
    pub fn leaves_out<T: Real>(
        &self,
        context: &Context,
        design: &Design<'_, T>,
        gram: &Mat<f64>,
    ) -> Result<bool> {
        let (n, d) = (design.nrows(), design.ncols());
        let filled = (0..d).filter(|&j| gram[(j, j)] > 0.0).count();
        if self.rank() == filled.min(n) {
            return Ok(false);
        }
        let tolerance = OUTSIDE.max(SURELY * self.condition * self.condition * f64::UNIT_ROUNDOFF);
        let stream = Stream::new(1, 0, PROBE);
        let size = |j: usize| if gram[(j, j)] > 0.0 { gram[(j, j)].sqrt().recip() } else { 0.0 };
        let mut probes =
            Mat::from_fn(d, 2 * PROBES, |j, k| stream.normal(j as u64, (k % PROBES) as u64) * size(j))?;
        let images = product(gram.as_ref(), probes.as_ref().cols(0..PROBES))?;
        let inside = product(self.whitener.as_ref().t(), images.as_ref())?;
        let inside = product(self.whitener.as_ref(), inside.as_ref())?;
        (0..PROBES).for_each(|k| axpy(-1.0, inside.col(k), probes.col_mut(k)));
        let mut image = Mat::zeros(n, 2 * PROBES)?;
        design.rows.product(context, probes.as_ref(), image.as_mut())?;
        let square = |i: usize, k: usize| (k..k + PROBES).map(|k| image[(i, k)].powi(2)).sum::<f64>();
        Ok((0..n).any(|i| square(i, 0) > tolerance * tolerance * square(i, PROBES)))
    }

    /// How many units of rounding W has lost: the square of the condition where a triangle of A'A is left as it is.
    pub fn lost(&self) -> f64 {
        if self.is_mild { self.condition * self.condition } else { self.condition }
    }

    /// The same, mended whatever the condition.
    pub fn mended<T: Real>(self, context: &Context, design: &Design<'_, T>) -> Result<Self> {
        let whitener = if self.is_mild { mended(context, design, &self.whitener, &|_| 0.0)? } else { None };
        Ok(match whitener {
            Some(whitener) => Self { whitener, is_mild: false, ..self },
            None => self,
        })
    }

    /// r
    pub fn rank(&self) -> usize {
        self.whitener.ncols()
    }
}

/// W of columns in units near their norms, and the condition of these columns.
struct Rough {
    whitener: Mat<f64>,
    condition: f64,
}

fn from_triangle(gram: &Mat<f64>) -> Result<Option<Rough>> {
    let Some(r) = cholesky(gram)? else { return Ok(None) };
    let condition = condition_of_upper(r.as_ref())?;
    let found = condition <= MENDABLE;
    found.then(|| Ok(Rough { whitener: invert_upper(r.as_ref())?, condition })).transpose()
}

/// By columns that span the others, if they do.
fn from_independent<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    gram: &Mat<f64>,
    units: &[f64],
) -> Result<Option<Rough>> {
    let (n, d) = (design.nrows(), units.len());
    let mut image = Mat::zeros(n, PROBES)?;
    let look = |y: &Mat<f64>| {
        let mut slope = Mat::from_fn(d, PROBES, |i, k| units[i] * y[(i, k)])?;
        design.rows.product(context, slope.as_ref(), image.as_mut())?;
        design.rows.transposed_product(context, image.as_ref(), slope.as_mut())?;
        let slope = Mat::from_fn(d, PROBES, |i, k| units[i] * slope[(i, k)])?;
        Ok((array::from_fn(|k| norm(image.col(k))), slope))
    };
    let tolerance = 4.0 * cut_off(n, d, T::UNIT_ROUNDOFF);
    let Some(found) = spanning(gram, MILD, tolerance, look)? else { return Ok(None) };
    let (rank, inverse) = (found.columns.len(), invert_upper(found.triangle.as_ref())?);
    let mut whitener = Mat::zeros(d, rank)?;
    for (i, j) in (0..rank).flat_map(|i| (i..rank).map(move |j| (i, j))) {
        whitener[(found.columns[i], j)] = inverse[(i, j)];
    }
    Ok(Some(Rough { whitener, condition: found.condition }))
}

/// By a sketch, if there are rows enough and its condition is far from where the rank is in doubt.
fn from_sketch<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    units: &[f64],
    penalty: &dyn Fn(usize) -> f64,
) -> Result<Option<Rough>> {
    let (n, d) = (design.nrows(), units.len());
    let rows = SKETCHED * d;
    if n < 2 * rows {
        return Ok(None);
    }
    let sketch = Sketch::new(Kind::SparseSign { zeta: ZETA }, rows, Some(n as u64), 0, 0)?;
    let sketched = sketch.apply(context, &Operand::Dense(&design.rows), 0)?;
    let r = Qr::new(above_penalty(&sketched, units, penalty)?)?.r()?;
    let condition = condition_of_upper(r.as_ref())?;
    let is_sure = SURE * condition * cut_off(n, d, T::UNIT_ROUNDOFF) < 1.0;
    is_sure.then(|| Ok(Rough { whitener: invert_upper(r.as_ref())?, condition })).transpose()
}

/// Rows in units of columns, and below them those that are the ridge, if there is one.
fn above_penalty(rows: &Mat<f64>, units: &[f64], penalty: &dyn Fn(usize) -> f64) -> Result<Mat<f64>> {
    let (m, d) = (rows.nrows(), units.len());
    let has_penalty = (0..d).any(|j| penalty(j) > 0.0);
    Mat::from_fn(if has_penalty { m + d } else { m }, d, |i, j| {
        let below = || if i - m == j { penalty(j).sqrt() } else { 0.0 };
        units[j] * if i < m { rows[(i, j)] } else { below() }
    })
}

fn from_qr<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    units: &[f64],
    penalty: &dyn Fn(usize) -> f64,
) -> Result<Rough> {
    let (n, d, r) = (design.nrows(), units.len(), tsqr(context, &design.rows)?);
    let stacked = above_penalty(&r, units, penalty)?;
    let has_penalty = stacked.nrows() > d;
    let svd = svd_apart(context, stacked)?;
    let most = if has_penalty { d } else { n.min(d) };
    let rank = rank_of(&svd.s[..most], cut_off(n, d, T::UNIT_ROUNDOFF));
    let empty: Vec<bool> = collected(units.iter().map(|&unit| unit == 0.0), "columns of zeros")?;
    let whitener = Mat::from_fn(d, rank, |i, j| if empty[i] { 0.0 } else { svd.v[(i, j)] / svd.s[j] })?;
    Ok(Rough { whitener, condition: svd.s[0] / svd.s[rank - 1] })
}

/// W over the triangle of what it makes of A; `None` where that is not near enough to orthonormal.
fn mended<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    whitener: &Mat<f64>,
    penalty: &dyn Fn(usize) -> f64,
) -> Result<Option<Mat<f64>>> {
    let mut gram = design.whitened_gram(context, whitener)?;
    if (0..whitener.nrows()).any(|j| penalty(j) > 0.0) {
        let weighted =
            Mat::from_fn(whitener.nrows(), whitener.ncols(), |i, j| penalty(i).sqrt() * whitener[(i, j)])?;
        matmul(gram.as_mut(), true, weighted.as_ref().t(), weighted.as_ref(), 1.0);
    }
    let Some(r) = cholesky(&gram)? else { return Ok(None) };
    if condition_of_upper(r.as_ref())? > linalg::WELL_CONDITIONED {
        return Ok(None);
    }
    product(whitener.as_ref(), invert_upper(r.as_ref())?.as_ref()).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coreset::testing::entry;
    use crate::matrix::Matrix;

    /// Beside QR, with a ridge and without; where a sketch cannot tell the rank, it says so.
    #[test]
    fn a_sketch_gives_the_same_coordinates_or_none() {
        let context = Context::new(1);
        let (n, ones) = (900, [1.0; 4]);
        for (part, ridge, is_there) in [
            (1e-3, 0.0, true),
            (1e-9, 0.0, true),
            (1e-9, 1e-12, true),
            (1e-14, 0.0, false),
            (0.0, 0.0, false),
        ] {
            let a = nearly_dependent(n, part);
            let (design, _) = Design::new(&context, Matrix::Dense(a.as_ref()), None, 2.0).unwrap();
            let penalty = |_: usize| ridge;
            let found = from_sketch(&context, &design, &ones, &penalty).unwrap();
            assert_eq!(found.is_some(), is_there, "part {part}");
            let Some(found) = found else { continue };
            let exact = from_qr(&context, &design, &ones, &penalty).unwrap();
            assert!((0.3..3.0).contains(&(found.condition / exact.condition)));
            let [found, exact] = [found, exact].map(|rough| {
                let whitener = mended(&context, &design, &rough.whitener, &penalty).unwrap().unwrap();
                design.squared_norms(&context, &whitener, false).unwrap()
            });
            let mut pairs = found.iter().zip(&*exact);
            assert!(pairs.all(|(found, exact)| (found - exact).abs() < 1e-15 / part.max(1e-6) * 1e3));
        }
        let few = nearly_dependent(100, 1.0);
        let (design, _) = Design::new(&context, Matrix::Dense(few.as_ref()), None, 2.0).unwrap();
        assert!(from_sketch(&context, &design, &ones, &|_| 0.0).unwrap().is_none());
    }

    /// Columns, one of which is others' sum but for a part of this size.
    fn nearly_dependent(n: usize, part: f64) -> Mat<f64> {
        Mat::from_fn(n, 4, |i, j| match j {
            3 => entry(i, 0) - entry(i, 1) + part * entry(i, 9),
            j => entry(i, j),
        })
        .unwrap()
    }

    #[test]
    fn columns_are_orthonormal_at_every_condition_and_the_rank_is_that_of_a() {
        for (part, rank) in [(1.0, 4), (1e-3, 4), (1e-5, 4), (1e-8, 4), (1e-11, 4), (0.0, 3)] {
            let a = nearly_dependent(900, part);
            let context = Context::new(1);
            let (design, gram) = Design::new(&context, Matrix::Dense(a.as_ref()), None, 2.0).unwrap();
            let basis = Basis::new(&context, &design, &gram, 0.0).unwrap();
            assert_eq!(basis.rank(), rank, "part {part}");
            assert!(basis.is_mild || part > 0.0);
            let gram = design.whitened_gram(&context, &basis.whitener).unwrap();
            for (i, j) in (0..rank).flat_map(|i| (0..rank).map(move |j| (i, j))) {
                let tolerance = if part > 1e-4 { 1e-8 } else { 1e-3 };
                assert!(
                    (gram[(i, j)] - f64::from(i == j)).abs() < tolerance,
                    "part {part}: {}",
                    gram[(i, j)]
                );
            }
        }
    }
}
