//! A sample of a stream of rows, read once: exactly that which would have been drawn from all rows at once.
//!
//! Kept are A'A, and the rows whose permanent number u_i is below c g_i, for the score g_i = t_i^h that row i has among the
//! rows so far and a rate c. As rows come, A'A grows and t_i = max (a_i x)^2 / |A x|^2 falls; c falls too; so that a row
//! that is left out once would be left out in the end. What is left is the sample that the final scores and rate give,
//! whatever the order of the rows, the blocks in which they came, and the parts that were merged, but for rounding.
//!
//! c = m / r for leverages (h = 1), which add up to the rank r of the rows so far, and m / (n^(1 - p/2) r^(p/2)) for their
//! powers h = p / 2, which add up to no more: m rows at most are to be expected, whatever comes. Samples by Lewis weights
//! are drawn in the end from such a one of four times as many rows.
//!
//! Below full rank t_i is measured on the range of A'A, where all rows so far lie: to count it as 1 would empty the sample,
//! or make it a uniform one.

use super::basis::Basis;
use super::design::Design;
use super::distortion::exact;
use super::draw::{Draw, PERMANENT, draw, uniform};
use super::lewis::{LewisParams, lewis_of};
use crate::error::{Error, Result};
use crate::linalg::{eigh_apart, exponent_of, product, times_power_of_two};
use crate::matrix::{Cover, Mat, Matrix, Rows, power_of_two_below};
use crate::memory::{collected, copied, extend, filled, push, zeros};
use crate::parallel::Context;
use crate::random::Stream;
use crate::simd::{axpy, norm_sq};
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
    cover: Cover,
    /// Rows so far that count.
    count: u64,
    /// Exponents of the units of columns; in these the lower triangle of A'A, column after column.
    units: Vec<i32>,
    gram: Vec<f64>,
    /// The largest rank so far.
    rank: usize,
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
}

const KIND: &str = "coreset";
const VERSION: u32 = 1;
/// What memory is for.
const STREAM: &str = "a sample of a stream";
/// Rows of which one is in the end drawn by Lewis weights.
const OVERSAMPLING: usize = 4;
/// Fewest rows that are looked through at once.
const FEWEST: usize = 1024;
/// Eigenvalues of A'A with columns in units of their norms, below which relative to the largest nothing is but rounding.
const CUT: f64 = 1e-10;
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
            cover: Cover::default(),
            count: 0,
            units: Vec::new(),
            gram: Vec::new(),
            rank: 0,
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

    /// The rows so far.
    pub fn covered(&self) -> impl Iterator<Item = Range<u64>> {
        self.cover.ranges()
    }

    /// An error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        Ok(Self {
            params: self.params,
            shape: self.shape,
            cover: self.cover.copy()?,
            count: self.count,
            units: copied(&self.units, STREAM)?,
            gram: copied(&self.gram, STREAM)?,
            rank: self.rank,
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
        weights: Option<&[f64]>,
        first: Option<u64>,
    ) -> Result<()> {
        self.settle(shape)?;
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
                if let Some(at) = tile.stored_row(i).iter().position(|value| !value.is_finite()) {
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

    fn settle(&mut self, shape: StreamedShape) -> Result<()> {
        match self.shape {
            Some(known) if (known.width, known.targets) != (shape.width, shape.targets) => {
                let words = |shape: StreamedShape| {
                    format!("{} columns and {} targets", shape.width - shape.targets, shape.targets)
                };
                Err(Error::shape("A", words(shape), format!("{}, as the first block has", words(known))))
            }
            Some(_) => Ok(()),
            None => {
                self.units = filled(NONE, shape.width, STREAM)?;
                self.gram = zeros(shape.width * shape.width, STREAM)?;
                self.shape = Some(shape);
                Ok(())
            }
        }
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
        let (d, root) = (row.len(), weight.powf(self.params.p.recip()));
        for (j, &value) in row.iter().enumerate() {
            let value = value * root;
            if !value.is_finite() {
                return Err(Error::value("sample_weight", weight, "one that leaves the rows finite"));
            }
            scaled[j] = if value == 0.0 { 0.0 } else { self.in_units(j, value) };
        }
        for j in (0..d).filter(|&j| scaled[j] != 0.0) {
            axpy(scaled[j], &scaled[j..], &mut self.gram[j * d + j..(j + 1) * d]);
        }
        self.count += 1;
        push(&mut self.kept.numbers, number, STREAM)?;
        push(&mut self.kept.weights, weight, STREAM)?;
        extend(&mut self.kept.values, row.iter().copied(), STREAM)?;
        if self.kept.numbers.len() >= self.capacity {
            self.look_through(context)?;
        }
        Ok(())
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

    /// Divides column j, and the row, of A'A by a power of two.
    fn rescale(&mut self, j: usize, exponent: i32) {
        let d = self.units.len();
        if exponent != 0 {
            (0..=j).for_each(|i| {
                let entry = &mut self.gram[i * d + j];
                *entry = times_power_of_two(*entry, if i == j { -2 * exponent } else { -exponent });
            });
            (j + 1..d).for_each(|i| {
                let entry = &mut self.gram[j * d + i];
                *entry = times_power_of_two(*entry, -exponent);
            });
        }
    }

    /// Coordinates of rows in units of columns, in which all rows so far have orthonormal columns.
    fn whitener(&self, context: &Context) -> Result<Mat<f64>> {
        let d = self.units.len();
        let root = |j: usize| self.gram[j * d + j].sqrt();
        let roots = collected((0..d).map(|j| if root(j) > 0.0 { root(j).recip() } else { 0.0 }), STREAM)?;
        let entry = |i: usize, j: usize| self.gram[i.min(j) * d + i.max(j)] * roots[i] * roots[j];
        let (values, vectors) = eigh_apart(context, Mat::from_fn(d, d, entry)?)?;
        let largest = values.iter().copied().fold(0.0, f64::max);
        let seen = collected((0..d).filter(|&k| values[k] > CUT * largest), STREAM)?;
        Mat::from_fn(d, seen.len(), |i, k| roots[i] * vectors[(i, seen[k])] / values[seen[k]].sqrt())
    }

    /// The rows that are kept, in these coordinates, one a column.
    fn whitened(&self, whitener: &Mat<f64>) -> Result<Mat<f64>> {
        let d = self.units.len();
        let rows = Mat::from_fn(d, self.kept.numbers.len(), |j, i| {
            let root = self.kept.weights[i].powf(self.params.p.recip());
            times_power_of_two(
                self.kept.values[i * d + j] * root,
                if self.units[j] == NONE { 0 } else { -self.units[j] },
            )
        })?;
        product(whitener.as_ref().t(), rows.as_ref())
    }

    fn rate(&self) -> f64 {
        let (h, rank) = (self.params.h, self.rank as f64);
        wanted(&self.params) as f64 / ((self.count as f64).powf(1.0 - h) * rank.powf(h))
    }

    /// Leaves out the rows whose numbers are above their shares, and gives the shares and scores of the others.
    fn look_through(&mut self, context: &Context) -> Result<(Vec<f64>, Vec<f64>)> {
        let whitener = self.whitener(context)?;
        self.rank = self.rank.max(whitener.ncols());
        let (whitened, rate, stream) = (self.whitened(&whitener)?, self.rate(), self.stream());
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
        both.settle(shape)?;
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
        both.gram.iter_mut().zip(&theirs.gram).for_each(|(sum, entry)| *sum += entry);
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
        if last.gram.iter().all(|&entry| entry == 0.0) {
            let found = if last.count == 0 { "without rows" } else { "of rows of zeros" };
            return Err(Error::value("A", found, "a row that is not zero"));
        }
        let (shares, scores) = last.look_through(context)?;
        let (d, m) = (last.units.len(), last.kept.numbers.len());
        let weights = last.kept.weights.iter().zip(&shares).map(|(weight, share)| weight / share);
        let rows = Mat::from_fn(d, m, |j, i| last.kept.values[i * d + j])?;
        let mut streamed = Streamed {
            indices: copied(&last.kept.numbers, STREAM)?,
            weights: collected(weights, STREAM)?,
            scores,
            rows,
            expected: wanted(&last.params) as f64,
            rank: last.rank,
            distortion: None,
        };
        if last.params.by_lewis {
            streamed.draw_by_lewis(context, &last.params)?;
        } else if last.params.p == 2.0 {
            let mut whitened = last.whitened(&last.whitener(context)?)?;
            for (i, share) in shares.iter().enumerate() {
                whitened.col_mut(i).iter_mut().for_each(|entry| *entry /= share.sqrt());
            }
            streamed.distortion = Some(exact(context, &whitened)?);
        }
        Ok(streamed)
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
            && self.cover.is_valid()
            && self.count <= self.cover.rows()
            && m as u64 <= self.count
            && self.units.len() == d
            && self.units.iter().all(|&unit| unit == NONE || (-1100..=1100).contains(&unit))
            && Some(self.gram.len()) == d.checked_mul(d)
            && finite(&self.gram)
            && self.rank <= d
            && kept.weights.len() == m
            && kept.weights.iter().all(|&weight| weight > 0.0 && weight.is_finite())
            && Some(kept.values.len()) == m.checked_mul(d)
            && finite(&kept.values)
            && kept.numbers.iter().all(|number| self.cover.count(&(*number..number.saturating_add(1))) == 1)
            && (FEWEST..=8 * MOST).contains(&self.capacity)
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
    /// Draws some of the rows by the Lewis weights that they have with their weights.
    fn draw_by_lewis(&mut self, context: &Context, params: &StreamParams) -> Result<()> {
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
        Ok(())
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
            stream.add(&context, &block, shape(a.ncols()), None, Some(rows[0] as u64)).unwrap();
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
            again.add(&context, &a.as_ref().rows(1500..n), shape(5), None, None).unwrap();
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
            |stream| stream.gram[3] = f64::NAN,
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
