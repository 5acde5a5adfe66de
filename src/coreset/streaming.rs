//! A sample of a stream of rows, read once: that which the final scores of all rows draw.
//!
//! Kept are the triangle R of A, to which every row is rotated, and the rows whose permanent number u_i is below c g_i,
//! for the score g_i = t_i^h that row i has among the rows so far and a rate c. As rows come, R grows and t_i = max (a_i x)^2 / |A x|^2 falls; c falls too; so that a row
//! that is left out once would be left out in the end. What is left is the sample that the final scores and rate give,
//! whatever the order of the rows, the blocks in which they came, and the parts that were merged, but for rounding.
//!
//! c = m / r for leverages (h = 1), which add up to the rank r of the rows so far, and m / (n^(1 - p/2) r^(p/2)) for their
//! powers h = p / 2, which add up to no more: m rows at most are to be expected, whatever comes. Samples by Lewis weights
//! are drawn in the end from such a one of four times as many rows.
//!
//! Below full rank t_i is measured on the range of R, where all rows so far lie: to count it as 1 would empty the sample,
//! or make it a uniform one. Rows that have more than rounding outside it, as a row of 1e20 leaves of others of 1, make the
//! sample one that nothing is certified of.

use super::basis::Basis;
use super::design::Design;
use super::distortion::{distortion_of, has_lost_a_direction, rounding, spectrum};
use super::draw::{Draw, PERMANENT, draw, uniform};
use super::lewis::{LewisParams, lewis_of};
use crate::error::{Error, Result};
use crate::linalg::{cut_off, exponent_of, product, rank_of, svd_apart, times_power_of_two};
use crate::matrix::{Cover, Mat, Matrix, Names, Real, Rows, power_of_two_below};
use crate::memory::{collected, copied, extend, filled, push, zeros};
use crate::parallel::Context;
use crate::random::Stream;
use crate::simd::{norm_sq, rotate};
use crate::state;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What rows of a stream are drawn by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamParams {
    /// Rows to be expected at most.
    pub size: usize,
    /// The power.
    pub p: f64,
    /// The power of leverages that rows are kept by: 1, or p/2.
    pub h: f64,
    /// Whether Lewis weights draw from four times as many in the end.
    pub by_lewis: bool,
    /// Of the permanent numbers.
    pub seed: u64,
}

/// The state of a stream.
#[derive(Serialize, Deserialize)]
pub struct CoresetStream {
    params: StreamParams,
    /// Columns, and how many of them are targets, if they are not one vector.
    shape: Option<StreamedShape>,
    /// Of the columns that are no targets.
    names: Names,
    cover: Cover,
    /// Rows so far that count.
    count: u64,
    /// Exponents of the units of columns; in these R, row after row.
    units: Vec<i32>,
    triangle: Vec<f64>,
    /// The largest rank so far.
    rank: usize,
    /// Whether a row had more than rounding outside the range that R had when it was looked at.
    is_cut: bool,
    kept: KeptRows,
    /// How many may be kept until they are looked through.
    capacity: usize,
}

/// What rows are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamedShape {
    /// Columns, those of targets among them.
    pub width: usize,
    /// Targets.
    pub targets: usize,
    /// Whether these are one vector.
    pub vector: bool,
    /// Whether numbers are in single precision.
    pub single: bool,
}

/// Rows, their numbers and weights.
#[derive(Default, Serialize, Deserialize)]
struct KeptRows {
    numbers: Vec<u64>,
    weights: Vec<f64>,
    /// One after the other.
    values: Vec<f64>,
}

/// What a stream has drawn.
pub struct Streamed {
    /// Numbers of the rows, in increasing order.
    pub indices: Vec<u64>,
    /// One over the probability, times the row's own weight.
    pub weights: Vec<f64>,
    /// Scores of these rows.
    pub scores: Vec<f64>,
    /// The rows, one a column.
    pub rows: Mat<f64>,
    /// Rows to be expected.
    pub expected: f64,
    /// Rank of all rows.
    pub rank: usize,
    /// The distortion, for p = 2.
    pub distortion: Option<f64>,
    /// What rounding may have made of it.
    pub rounding: f64,
    /// Whether rows are of a lower rank than all rows.
    pub is_lost: bool,
    /// Whether directions were cut off that are more than rounding in some row.
    pub is_cut: bool,
}

const KIND: &str = "coreset";
const VERSION: u32 = 3;
/// What memory is for.
const STREAM: &str = "a sample of a stream";
/// Rows of which one is in the end drawn by Lewis weights.
const OVERSAMPLING: usize = 4;
/// Fewest rows that are looked through at once.
const FEWEST: usize = 1024;
/// What a random walk of the rounding of so many rotations as there are rows comes to, with what makes it sure.
const WALK: f64 = 4.0;
/// What part of a row is no rounding outside the range, and how much more than rounding it is.
const OUTSIDE: f64 = 1e-8;
const SURELY: f64 = 1e3;
/// Of a unit of a column that is zero so far.
const NONE: i32 = i32::MIN;
/// Most columns of a state, whose square is a number.
const MOST: usize = 1 << 30;

impl CoresetStream {
    /// Of no rows.
    pub fn new(params: StreamParams) -> Self {
        let capacity = FEWEST.max(2 * wanted(&params));
        Self {
            params,
            shape: None,
            names: Names::default(),
            cover: Cover::default(),
            count: 0,
            units: Vec::new(),
            triangle: Vec::new(),
            rank: 0,
            is_cut: false,
            kept: KeptRows::default(),
            capacity,
        }
    }

    /// What it was made with.
    pub fn params(&self) -> &StreamParams {
        &self.params
    }

    /// What its rows are made of, once there are any.
    pub fn shape(&self) -> Option<StreamedShape> {
        self.shape
    }

    /// Names of the columns that are no targets, from the first block on that had any.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The rows so far.
    pub fn covered(&self) -> impl Iterator<Item = Range<u64>> {
        self.cover.ranges()
    }

    /// An error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        Ok(Self {
            params: self.params,
            shape: self.shape,
            names: self.names.clone(),
            cover: self.cover.copy()?,
            count: self.count,
            units: copied(&self.units, STREAM)?,
            triangle: copied(&self.triangle, STREAM)?,
            rank: self.rank,
            is_cut: self.is_cut,
            kept: self.kept.copy()?,
            capacity: self.capacity,
        })
    }

    /// Takes rows in, from this number on, with weights.
    pub fn add(
        &mut self,
        context: &Context,
        rows: &dyn Rows,
        shape: StreamedShape,
        names: &Names,
        weights: Option<&[f64]>,
        first: Option<u64>,
    ) -> Result<()> {
        names.check("A", shape.width - shape.targets)?;
        self.settle("A", shape, names)?;
        let first = first.unwrap_or_else(|| self.cover.end());
        let end = first.checked_add(rows.nrows() as u64).filter(|&end| end < 1 << 63);
        let end = end.ok_or_else(|| Error::value("row_offset", first, "row numbers below 2^63"))?;
        self.cover.insert("row_offset", first..end)?;
        let (mut buffer, mut scaled) = (Vec::new(), zeros(shape.width, STREAM)?);
        for start in (0..rows.nrows()).step_by(TILE) {
            context.tick()?;
            let tile = rows.tile(start..rows.nrows().min(start + TILE), 0..shape.width, &mut buffer)?;
            for i in 0..tile.nrows() {
                let weight = weights.map_or(1.0, |weights| weights[start + i]);
                if weight > 0.0
                    && let Some(at) = tile.stored_row(i).iter().position(|value| !value.is_finite())
                {
                    let value = tile.stored_row(i)[at];
                    return Err(Error::non_finite("A", value, format!("[{}, {at}]", start + i)));
                }
                if weight > 0.0 {
                    self.take(context, first + (start + i) as u64, tile.stored_row(i), weight, &mut scaled)?;
                }
            }
        }
        Ok(())
    }

    fn settle(&mut self, argument: &'static str, shape: StreamedShape, names: &Names) -> Result<()> {
        match self.shape {
            Some(known) if (known.width, known.targets) != (shape.width, shape.targets) => {
                let words = |shape: StreamedShape| {
                    format!("{} columns and {} targets", shape.width - shape.targets, shape.targets)
                };
                return Err(Error::shape(
                    argument,
                    words(shape),
                    format!("{}, as the first block has", words(known)),
                ));
            }
            Some(known) => {
                // One block in double precision is enough for rows to be told in it.
                self.shape = Some(StreamedShape { single: known.single && shape.single, ..known });
            }
            None => {
                self.units = filled(NONE, shape.width, STREAM)?;
                self.triangle = zeros(shape.width * shape.width, STREAM)?;
                self.shape = Some(shape);
            }
        }
        self.names = self.names.joined(argument, names)?;
        Ok(())
    }

    /// Takes a row in.
    fn take(
        &mut self,
        context: &Context,
        number: u64,
        row: &[f64],
        weight: f64,
        scaled: &mut [f64],
    ) -> Result<()> {
        let root = weight.powf(self.params.p.recip());
        for (j, &value) in row.iter().enumerate() {
            let value = value * root;
            if !value.is_finite() {
                return Err(Error::value(
                    "sample_weight",
                    format!("{weight:e}"),
                    "one that leaves the rows finite",
                ));
            }
            scaled[j] = if value == 0.0 { 0.0 } else { self.in_units(j, value) };
        }
        self.rotate_in(scaled);
        self.count += 1;
        push(&mut self.kept.numbers, number, STREAM)?;
        push(&mut self.kept.weights, weight, STREAM)?;
        extend(&mut self.kept.values, row.iter().copied(), STREAM)?;
        if self.kept.numbers.len() >= self.capacity {
            self.look_through(context)?;
        }
        Ok(())
    }

    /// Rotates a row, in units of columns, into R.
    fn rotate_in(&mut self, row: &mut [f64]) {
        let d = row.len();
        for j in 0..d {
            if row[j] == 0.0 {
                continue;
            }
            let (x, y) = (self.triangle[j * d + j], row[j]);
            let (large, small) = if x > y.abs() { (x, y) } else { (y, x) };
            let length = large.abs() * (1.0 + (small / large).powi(2)).sqrt();
            rotate(x / length, y / length, &mut self.triangle[j * d + j..(j + 1) * d], &mut row[j..]);
            self.triangle[j * d + j] = length;
        }
    }

    /// A number that is not zero in units of its column, which are raised if it is large.
    fn in_units(&mut self, j: usize, value: f64) -> f64 {
        let exponent = exponent_of(power_of_two_below(value.abs()));
        if exponent > self.units[j] {
            let change = if self.units[j] == NONE { 0 } else { exponent - self.units[j] };
            self.units[j] = exponent;
            self.rescale(j, change);
        }
        times_power_of_two(value, -self.units[j])
    }

    /// Divides column j of R by a power of two.
    fn rescale(&mut self, j: usize, exponent: i32) {
        let d = self.units.len();
        if exponent != 0 {
            (0..=j).for_each(|i| {
                let entry = &mut self.triangle[i * d + j];
                *entry = times_power_of_two(*entry, -exponent);
            });
        }
    }

    /// Coordinates of rows in units of columns, in which all rows so far have orthonormal columns.
    fn whitener(&self, context: &Context) -> Result<Coordinates> {
        let d = self.units.len();
        let entry = |i: usize, j: usize| if i <= j { self.triangle[i * d + j] } else { 0.0 };
        let norm = |j: usize| (0..=j).map(|i| entry(i, j).powi(2)).sum::<f64>().sqrt();
        let norms = collected((0..d).map(norm), STREAM)?;
        let inverse = |j: usize| if norms[j] > 0.0 { norms[j].recip() } else { 0.0 };
        let svd = svd_apart(context, Mat::from_fn(d, d, |i, j| entry(i, j) * inverse(j))?)?;
        let filled = norms.iter().filter(|&&norm| norm > 0.0).count();
        let is_single = self.shape.is_some_and(|shape| shape.single);
        let roundoff = if is_single { f32::UNIT_ROUNDOFF } else { f64::UNIT_ROUNDOFF };
        let walk = WALK * (self.count as f64).sqrt() * f64::UNIT_ROUNDOFF;
        let rank = rank_of(&svd.s[..filled], cut_off(d, d, roundoff).max(walk));
        let whitener = Mat::from_fn(d, rank, |i, k| inverse(i) * svd.v[(i, k)] / svd.s[k])?;
        let inside = Mat::from_fn(d, rank, |i, k| norms[i] * svd.v[(i, k)] * svd.s[k])?;
        let condition = if rank == 0 { 1.0 } else { svd.s[0] / svd.s[rank - 1] };
        Ok(Coordinates { whitener, inside, norms, condition, is_full: rank == filled })
    }

    /// The rows that are kept, in units of columns, one a column.
    fn in_units_of_columns(&self) -> Result<Mat<f64>> {
        let d = self.units.len();
        Mat::from_fn(d, self.kept.numbers.len(), |j, i| {
            let root = self.kept.weights[i].powf(self.params.p.recip());
            times_power_of_two(
                self.kept.values[i * d + j] * root,
                if self.units[j] == NONE { 0 } else { -self.units[j] },
            )
        })
    }

    fn rate(&self) -> f64 {
        let (h, rank) = (self.params.h, self.rank as f64);
        wanted(&self.params) as f64 / ((self.count as f64).powf(1.0 - h) * rank.powf(h))
    }

    /// Leaves out the rows whose numbers are above their shares, and gives the shares and scores of the others.
    fn look_through(&mut self, context: &Context) -> Result<(Vec<f64>, Vec<f64>)> {
        let range = self.whitener(context)?;
        let rank = range.whitener.ncols();
        let (rows, stream) = (self.in_units_of_columns()?, self.stream());
        let whitened = product(range.whitener.as_ref().t(), rows.as_ref())?;
        self.is_cut |= rank < self.rank || range.leaves_out(&rows, &whitened)?;
        self.rank = self.rank.max(rank);
        let rate = self.rate();
        let (mut shares, mut scores, mut chosen) = (Vec::new(), Vec::new(), Vec::new());
        for (i, &number) in self.kept.numbers.iter().enumerate() {
            let score = norm_sq(whitened.col(i)).min(1.0).powf(self.params.h);
            let share = (rate * score).min(1.0);
            if uniform(&stream, number, 0) < share {
                push(&mut shares, share, STREAM)?;
                push(&mut scores, score, STREAM)?;
                push(&mut chosen, i, STREAM)?;
            }
        }
        self.kept = self.kept.some(&chosen, self.units.len())?;
        self.capacity = self.capacity.max(2 * chosen.len());
        Ok((shares, scores))
    }

    fn stream(&self) -> Stream {
        Stream::new(self.params.seed, 0, PERMANENT)
    }

    /// This stream with the rows of another.
    pub fn merged(&self, context: &Context, other: &Self) -> Result<Self> {
        if self.params != other.params {
            return Err(Error::value("other", "of other parameters", "the same size, p, scores and seed"));
        }
        let mut both = self.copy()?;
        let Some(shape) = other.shape else { return Ok(both) };
        both.settle("other", shape, &other.names)?;
        for rows in other.cover.ranges() {
            both.cover.insert("other", rows)?;
        }
        let mut theirs = other.copy()?;
        for j in 0..shape.width {
            let unit = both.units[j].max(theirs.units[j]);
            for stream in [&mut both, &mut theirs] {
                if stream.units[j] != NONE {
                    stream.rescale(j, unit - stream.units[j]);
                }
                stream.units[j] = unit;
            }
        }
        theirs.triangle.chunks_mut(shape.width).for_each(|row| both.rotate_in(row));
        both.is_cut |= theirs.is_cut;
        both.count += theirs.count;
        both.rank = both.rank.max(theirs.rank);
        both.kept.join(theirs.kept, shape.width)?;
        if !both.kept.numbers.is_empty() {
            both.look_through(context)?;
        }
        Ok(both)
    }

    /// The sample of the rows so far.
    pub fn result(&self, context: &Context) -> Result<Streamed> {
        let mut last = self.copy()?;
        if last.triangle.iter().all(|&entry| entry == 0.0) {
            let found = if last.count == 0 { "without rows" } else { "of rows of zeros" };
            return Err(Error::value("A", found, "a row that is not zero"));
        }
        // Blocks may have come in any order.
        last.kept.join(KeptRows::default(), last.units.len())?;
        let (shares, scores) = last.look_through(context)?;
        let (d, m) = (last.units.len(), last.kept.numbers.len());
        let range = last.whitener(context)?;
        if last.params.size < range.whitener.ncols() {
            let expected =
                format!("at least {}, the rank of A and of targets beside it", range.whitener.ncols());
            return Err(Error::value("size", last.params.size, expected));
        }
        let weights = last.kept.weights.iter().zip(&shares).map(|(weight, share)| weight / share);
        let rows = Mat::from_fn(d, m, |j, i| last.kept.values[i * d + j])?;
        let mut whitened = product(range.whitener.as_ref().t(), last.in_units_of_columns()?.as_ref())?;
        for (i, share) in shares.iter().enumerate() {
            whitened.col_mut(i).iter_mut().for_each(|entry| *entry /= share.sqrt());
        }
        let mut streamed = Streamed {
            indices: copied(&last.kept.numbers, STREAM)?,
            weights: collected(weights, STREAM)?,
            expected: last.expected(&scores),
            scores,
            rows,
            rank: range.whitener.ncols(),
            distortion: None,
            rounding: rounding(&range.whitener, range.condition),
            is_lost: false,
            is_cut: last.is_cut,
        };
        if last.params.by_lewis {
            let chosen = streamed.draw_by_lewis(context, &last.params)?;
            whitened = Mat::from_fn(whitened.nrows(), chosen.len(), |k, i| whitened[(k, chosen[i])])?;
        }
        let (values, _) = spectrum(context, &whitened)?;
        streamed.is_lost = has_lost_a_direction(&values);
        if last.params.p == 2.0 {
            streamed.distortion = Some(distortion_of(&values));
        }
        Ok(streamed)
    }

    /// Rows to be expected: leverages add up to the rank, but those of shares of one are no more rows for it.
    fn expected(&self, scores: &[f64]) -> f64 {
        let (size, rate) = (wanted(&self.params) as f64, self.rate());
        let above = scores.iter().map(|score| (rate * score - 1.0).max(0.0)).sum::<f64>();
        if self.params.h == 1.0 { size - above } else { size }
    }

    /// How many bytes [`CoresetStream::write`] fills.
    pub fn byte_size(&self) -> Result<usize> {
        state::size(self)
    }

    /// Writes it.
    pub fn write(&self, context: &Context, bytes: &mut [u8]) -> Result<()> {
        state::write(context, KIND, VERSION, self, bytes)
    }

    /// A stream that goes on as the one that was written would.
    pub fn from_bytes(context: &Context, bytes: &[u8]) -> Result<Self> {
        let stream: Self = state::from_bytes(context, KIND, VERSION, bytes)?;
        if stream.makes_sense() {
            Ok(stream)
        } else {
            Err(Error::State("its content does not make sense".into()))
        }
    }

    fn makes_sense(&self) -> bool {
        let (params, kept) = (&self.params, &self.kept);
        let (d, targets) = self.shape.map_or((0, 0), |shape| (shape.width, shape.targets));
        let m = kept.numbers.len();
        let finite = |numbers: &[f64]| numbers.iter().all(|number| number.is_finite());
        (1..=MOST).contains(&params.size)
            && (1.0..=1e3).contains(&params.p)
            && (params.h == 1.0 || params.h == 0.5 * params.p && params.p <= 2.0)
            && d <= MOST
            && (targets < d || self.shape.is_none())
            && self.names.fit(d - targets)
            && self.cover.is_valid()
            && self.count <= self.cover.rows()
            && m as u64 <= self.count
            && self.units.len() == d
            && self.units.iter().all(|&unit| unit == NONE || (-1100..=1100).contains(&unit))
            && Some(self.triangle.len()) == d.checked_mul(d)
            && finite(&self.triangle)
            && self.rank <= d
            && kept.weights.len() == m
            && kept.weights.iter().all(|&weight| weight > 0.0 && weight.is_finite())
            && Some(kept.values.len()) == m.checked_mul(d)
            && finite(&kept.values)
            && kept.numbers.iter().all(|number| self.cover.count(&(*number..number.saturating_add(1))) == 1)
            && (FEWEST..=8 * MOST).contains(&self.capacity)
    }
}

/// The range of the rows so far, in units of columns.
struct Coordinates {
    /// Rows times this have orthonormal columns.
    whitener: Mat<f64>,
    /// What makes of these what rows have in the range.
    inside: Mat<f64>,
    /// Of columns.
    norms: Vec<f64>,
    /// Of columns in units of their norms, without what was cut off.
    condition: f64,
    /// Whether nothing was cut off but columns of zeros.
    is_full: bool,
}

impl Coordinates {
    /// Whether some row, one a column, has more than rounding outside the range. Where that is so ill-conditioned that
    /// nothing could be told, nothing is.
    fn leaves_out(&self, rows: &Mat<f64>, whitened: &Mat<f64>) -> Result<bool> {
        if self.is_full {
            return Ok(false);
        }
        let tolerance = OUTSIDE.max(SURELY * self.condition * f64::UNIT_ROUNDOFF);
        let inside = product(self.inside.as_ref(), whitened.as_ref())?;
        let share = |j: usize, value: f64| if value == 0.0 { 0.0 } else { (value / self.norms[j]).powi(2) };
        Ok((0..rows.ncols()).any(|i| {
            let (row, inside) = (rows.col(i), inside.col(i));
            let size: f64 = row.iter().enumerate().map(|(j, &value)| share(j, value)).sum();
            let outside = row.iter().zip(inside).enumerate().map(|(j, (row, inside))| share(j, row - inside));
            outside.sum::<f64>() > tolerance * tolerance * size
        }))
    }
}

/// Rows of a tile.
const TILE: usize = 64;

/// Rows that a stream keeps.
fn wanted(params: &StreamParams) -> usize {
    params.size * if params.by_lewis { OVERSAMPLING } else { 1 }
}

impl KeptRows {
    fn copy(&self) -> Result<Self> {
        Ok(Self {
            numbers: copied(&self.numbers, STREAM)?,
            weights: copied(&self.weights, STREAM)?,
            values: copied(&self.values, STREAM)?,
        })
    }

    /// Some of them, rows of d numbers.
    fn some(&self, chosen: &[usize], d: usize) -> Result<Self> {
        let mut values = Vec::new();
        chosen.iter().try_for_each(|&i| {
            extend(&mut values, self.values[i * d..(i + 1) * d].iter().copied(), STREAM)
        })?;
        Ok(Self {
            numbers: collected(chosen.iter().map(|&i| self.numbers[i]), STREAM)?,
            weights: collected(chosen.iter().map(|&i| self.weights[i]), STREAM)?,
            values,
        })
    }

    /// Adds others, in the order of their numbers.
    fn join(&mut self, other: Self, d: usize) -> Result<()> {
        extend(&mut self.numbers, other.numbers, STREAM)?;
        extend(&mut self.weights, other.weights, STREAM)?;
        extend(&mut self.values, other.values, STREAM)?;
        let mut order = collected(0..self.numbers.len(), STREAM)?;
        order.sort_unstable_by_key(|&i| self.numbers[i]);
        *self = self.some(&order, d)?;
        Ok(())
    }
}

impl Streamed {
    /// Draws some of the rows by the Lewis weights that they have with their weights; gives which.
    fn draw_by_lewis(&mut self, context: &Context, params: &StreamParams) -> Result<Vec<usize>> {
        let matrix = Matrix::Dense(self.rows.as_ref().t());
        let (design, gram) = Design::new(context, matrix, Some(&self.weights), params.p)?;
        let basis = Basis::new(context, &design, &gram, 0.0)?;
        let lewis_params = LewisParams { p: params.p, tolerance: 0.05, max_iter: 60 };
        let (lewis, _) = lewis_of(context, &design, basis, &lewis_params)?;
        let drawn = draw(context, &lewis.weights, params.size, Draw::Bernoulli, params.seed ^ u64::MAX)?;
        let chosen = &drawn.indices;
        let weights = chosen.iter().zip(&drawn.weights).map(|(&i, weight)| weight * self.weights[i]);
        let weights = collected(weights, STREAM)?;
        self.rows = Mat::from_fn(self.rows.nrows(), chosen.len(), |j, i| self.rows[(j, chosen[i])])?;
        self.scores = collected(chosen.iter().map(|&i| lewis.weights[i]), STREAM)?;
        self.indices = collected(chosen.iter().map(|&i| self.indices[i]), STREAM)?;
        (self.weights, self.expected) = (weights, drawn.expected);
        Ok(drawn.indices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coreset::testing::entry;
    use crate::coreset::{LeverageParams, leverage_scores};

    const PARAMS: StreamParams = StreamParams { size: 60, p: 2.0, h: 1.0, by_lewis: false, seed: 5 };

    fn shape(width: usize) -> StreamedShape {
        StreamedShape { width, targets: 0, vector: false, single: false }
    }

    fn stream(a: &Mat<f64>, cuts: &[usize], params: StreamParams) -> CoresetStream {
        let (context, mut stream) = (Context::new(1), CoresetStream::new(params));
        for rows in cuts.windows(2) {
            let block = a.as_ref().rows(rows[0]..rows[1]);
            stream
                .add(&context, &block, shape(a.ncols()), &Names::default(), None, Some(rows[0] as u64))
                .unwrap();
        }
        stream
    }

    /// A column that is zero at first, and one that is another's sum.
    fn rows(n: usize) -> Mat<f64> {
        let entry = |i: usize, j: usize| entry(i, j) * if i.is_multiple_of(97) { 20.0 } else { 1.0 };
        Mat::from_fn(n, 5, |i, j| match j {
            3 if i < n - n / 10 => 0.0,
            4 => entry(i, 0) + entry(i, 1),
            j => entry(i, j),
        })
        .unwrap()
    }

    #[test]
    fn what_is_kept_is_what_all_rows_would_have_drawn() {
        let (n, context) = (5000, Context::new(1));
        let a = rows(n);
        let found = stream(&a, &[0, 10, 11, 4000, n], PARAMS).result(&context).unwrap();
        let exact = LeverageParams { p: 2.0, ridge: 0.0, eps: None, seed: 0 };
        let (scores, rank) = leverage_scores(&context, Matrix::Dense(a.as_ref()), None, &exact).unwrap();
        assert_eq!((rank, found.rank), (4, 4));
        let numbers = Stream::new(5, 0, PERMANENT);
        let share = |i: u64| (60.0 / 4.0 * scores[i as usize]).min(1.0);
        let expected: Vec<u64> = (0..n as u64).filter(|&i| uniform(&numbers, i, 0) < share(i)).collect();
        assert_eq!(found.indices, expected);
        assert!((20..100).contains(&expected.len()));
        for (i, (row, weight)) in found.indices.iter().zip(&found.weights).enumerate() {
            assert!((weight * share(*row) - 1.0).abs() < 1e-6);
            assert!((0..5).all(|j| found.rows[(j, i)] == a[(*row as usize, j)]));
        }
    }

    #[test]
    fn parts_merge_to_the_same_sample_and_bytes_go_on() {
        let (n, context) = (4000, Context::new(1));
        let a = rows(n);
        for params in [PARAMS, StreamParams { p: 1.0, h: 0.5, by_lewis: true, ..PARAMS }] {
            let whole = stream(&a, &[0, n], params).result(&context).unwrap();
            let parts = [[0, 1500], [1500, 3700], [3700, n]].map(|cuts| stream(&a, &cuts, params));
            let merged = parts[2].merged(&context, &parts[0]).unwrap().merged(&context, &parts[1]).unwrap();
            assert_eq!(merged.result(&context).unwrap().indices, whole.indices);
            assert!(merged.merged(&context, &parts[1]).is_err());
            let mut bytes = vec![0; parts[0].byte_size().unwrap()];
            parts[0].write(&context, &mut bytes).unwrap();
            let mut again = CoresetStream::from_bytes(&context, &bytes).unwrap();
            again.add(&context, &a.as_ref().rows(1500..n), shape(5), &Names::default(), None, None).unwrap();
            let found = again.result(&context).unwrap();
            assert_eq!((found.indices, found.weights), (whole.indices, whole.weights));
        }
    }

    #[test]
    fn content_that_makes_no_sense_is_refused() {
        let context = Context::new(1);
        let good = || stream(&rows(300), &[0, 300], PARAMS);
        assert!(good().makes_sense() && CoresetStream::new(PARAMS).makes_sense());
        let spoil: [fn(&mut CoresetStream); 8] = [
            |stream| stream.rank = 6,
            |stream| stream.triangle[3] = f64::NAN,
            |stream| stream.units.truncate(4),
            |stream| stream.kept.numbers[0] = 1 << 40,
            |stream| stream.kept.weights[0] = -1.0,
            |stream| stream.kept.values.truncate(3),
            |stream| stream.params.p = f64::INFINITY,
            |stream| stream.count = 1 << 40,
        ];
        for spoil in spoil {
            let mut stream = good();
            spoil(&mut stream);
            let mut bytes = vec![0; stream.byte_size().unwrap()];
            stream.write(&context, &mut bytes).unwrap();
            assert!(matches!(CoresetStream::from_bytes(&context, &bytes), Err(Error::State(_))));
        }
    }
}
