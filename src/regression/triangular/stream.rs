//! A stream of rows, and its triangular factor.

use crate::error::{Error, Result};
use crate::linalg::{Triangle, block_rows, exponent_of, times_power_of_two};
use crate::matrix::{Cover, Mat, Names, Real};
use crate::memory::{collected, zeros};
use crate::parallel::Context;
use crate::regression::block::{StreamBlock, StreamShape};
use crate::regression::triangular::factor::{TriangularFactor, WeightsSeen};
use crate::regression::triangular::part::Part;
use crate::regression::triangular::removal::not_in;
use crate::state::{self, Blocks, Floats};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What a stream has come to.
pub struct TriangularStream {
    fit_intercept: bool,
    /// Whether no more rows are to come.
    is_closed: bool,
    /// From the first block on.
    seen: Option<Seen>,
}

/// What is known of rows.
pub(crate) struct Seen {
    pub shape: StreamShape,
    names: Names,
    cover: Cover,
    pub factor: TriangularFactor,
}

impl TriangularStream {
    /// A stream of which nothing has come.
    pub fn new(fit_intercept: bool) -> Self {
        Self { fit_intercept, is_closed: false, seen: None }
    }

    /// Whether there is a constant beside the columns.
    pub fn fit_intercept(&self) -> bool {
        self.fit_intercept
    }

    /// Whether [`TriangularStream::closed`] was called.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// What the first block said.
    pub fn shape(&self) -> Option<StreamShape> {
        self.seen.as_ref().map(|seen| seen.shape)
    }

    /// Names of the columns of A, from the first block on that had any.
    pub fn names(&self) -> Option<&[String]> {
        self.seen.as_ref().and_then(|seen| seen.names.as_slice())
    }

    /// The rows so far, as ranges in increasing order.
    pub fn covered(&self) -> impl Iterator<Item = Range<u64>> {
        self.seen.iter().flat_map(|seen| seen.cover.ranges())
    }

    /// What came, if there are rows.
    pub(crate) fn seen(&self) -> Result<&Seen> {
        let seen = self.seen.as_ref().filter(|seen| seen.cover.rows() > 0);
        seen.ok_or_else(|| Error::value("A", "without rows so far", "some rows first"))
    }

    /// Adds a block, the first row of which is row `row_offset` of the stream; by default the one after the last row so
    /// far. It is added whole or, where there is an error, not at all.
    pub fn partial_fit<T: Real>(
        &mut self,
        context: &Context,
        block: &StreamBlock<'_, T>,
        row_offset: Option<u64>,
    ) -> Result<()> {
        if self.is_short(block) {
            return self.add_short(block, row_offset);
        }
        *self = self.fitted(context, block, row_offset)?;
        Ok(())
    }

    /// This one with a block more, as [`TriangularStream::partial_fit`] adds it.
    pub fn fitted<T: Real>(
        &self,
        context: &Context,
        block: &StreamBlock<'_, T>,
        row_offset: Option<u64>,
    ) -> Result<Self> {
        self.check_open()?;
        block.check(context)?;
        let mut seen = match &self.seen {
            Some(seen) => seen.copy()?,
            None => Seen::new(block.shape(), self.fit_intercept)?,
        };
        seen.expect(block, row_offset)?;
        seen.factor.add(context, block)?;
        if !seen.factor.is_finite()? {
            return Err(block.non_finite(context)?.unwrap_or_else(overflow));
        }
        Ok(Self { seen: Some(seen), ..*self })
    }

    /// Whether a block is so short that [`TriangularStream::add_short`] will do, which nothing can interrupt.
    pub fn is_short<T: Real>(&self, block: &StreamBlock<'_, T>) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.factor.is_short(block.design.nrows()))
    }

    /// [`TriangularStream::partial_fit`] for a short block, which is not the first one.
    pub fn add_short<T: Real>(&mut self, block: &StreamBlock<'_, T>, row_offset: Option<u64>) -> Result<()> {
        self.check_open()?;
        let context = Context::new(1);
        block.check(&context)?;
        let seen =
            self.seen.as_mut().ok_or_else(|| Error::Internal("the first block is not short".into()))?;
        let (shape, names, cover) = (seen.shape, seen.names.clone(), seen.cover.copy()?);
        let outcome = seen.expect(block, row_offset).and_then(|()| match seen.factor.keep(block)? {
            true => Ok(()),
            false => Err(block.non_finite(&context)?.unwrap_or_else(overflow)),
        });
        if outcome.is_err() {
            (seen.shape, seen.names, seen.cover) = (shape, names, cover);
        }
        outcome
    }

    /// This one without the rows of a block, the first of which is row `row_offset` of the stream; by default the first
    /// row of all so far.
    pub fn without<T: Real>(
        &self,
        context: &Context,
        block: &StreamBlock<'_, T>,
        row_offset: Option<u64>,
    ) -> Result<Self> {
        block.check(context)?;
        let mut seen = self.seen()?.copy()?;
        let first = row_offset.or_else(|| seen.cover.ranges().next().map(|rows| rows.start)).unwrap_or(0);
        let end = first.saturating_add(block.design.nrows() as u64);
        let mut gone = Seen::new(seen.shape.with(block)?, self.fit_intercept)?;
        seen.names.joined("A", &block.names)?;
        seen.cover.remove("row_offset", first..end)?;
        gone.factor.add(context, block)?;
        if !gone.factor.is_finite()? {
            return Err(block.non_finite(context)?.unwrap_or_else(overflow));
        }
        seen.factor.remove(&gone.factor, seen.shape.k)?;
        if seen.factor.weights.count > seen.cover.rows() {
            return Err(not_in());
        }
        Ok(Self { seen: Some(seen), ..*self })
    }

    /// This one with the rows of others, in their order, all of which must be new to it and to each other.
    pub fn merged(&self, context: &Context, others: &[&Self]) -> Result<Self> {
        let mut merged = self.copy()?;
        for other in others {
            context.tick()?;
            if self.fit_intercept != other.fit_intercept {
                let words = |stream: &Self| format!("fit_intercept={}", stream.fit_intercept);
                return Err(Error::value("other", format!("a stream with {}", words(other)), words(self)));
            }
            match (&mut merged.seen, &other.seen) {
                (_, None) => {}
                (None, Some(theirs)) => merged.seen = Some(theirs.copy()?),
                (Some(ours), Some(theirs)) => ours.merge(theirs)?,
            }
        }
        Ok(merged)
    }

    /// This one with no rows waiting for others, and without more to come.
    pub fn closed(&self) -> Result<Self> {
        let mut closed = self.copy()?;
        closed.is_closed = true;
        if let Some(seen) = &mut closed.seen {
            seen.factor.close()?;
        }
        Ok(closed)
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        let seen = self.seen.as_ref().map(Seen::copy).transpose()?;
        Ok(Self { seen, ..*self })
    }

    fn check_open(&self) -> Result<()> {
        match self.is_closed {
            true => Err(Error::value("A", "for a stream that was closed", "one that was not")),
            false => Ok(()),
        }
    }
}

impl Seen {
    fn new(shape: StreamShape, fit_intercept: bool) -> Result<Self> {
        let StreamShape { d, k, .. } = shape;
        if d == 0 || k == 0 {
            return Err(Error::shape("A", format!("{d} columns beside {k} targets"), "at least one of both"));
        }
        let factor = TriangularFactor::new(d.saturating_add(k), fit_intercept)?;
        Ok(Self { shape, names: Names::default(), cover: Cover::default(), factor })
    }

    /// Takes note of a block that is about to come in.
    fn expect<T: Real>(&mut self, block: &StreamBlock<'_, T>, row_offset: Option<u64>) -> Result<()> {
        let (first, rows) = (row_offset.unwrap_or(self.cover.end()), block.design.nrows());
        let end = first.checked_add(rows as u64).ok_or_else(|| {
            Error::value(
                "A",
                format!("of {rows} rows from row {first} on"),
                format!("no row past {}", u64::MAX),
            )
        })?;
        let shape = self.shape.with(block)?;
        let names = self.names.joined("A", &block.names)?;
        self.cover.insert("row_offset", first..end)?;
        (self.shape, self.names) = (shape, names);
        Ok(())
    }

    fn merge(&mut self, other: &Self) -> Result<()> {
        self.shape = self.shape.joined(other.shape)?;
        self.names = self.names.joined("other", &other.names)?;
        other.cover.ranges().try_for_each(|rows| self.cover.insert("other", rows))?;
        self.factor.merge(&other.factor)?;
        if self.factor.is_finite()? { Ok(()) } else { Err(overflow()) }
    }

    fn copy(&self) -> Result<Self> {
        let (names, cover, factor) = (self.names.clone(), self.cover.copy()?, self.factor.copy()?);
        Ok(Self { names, cover, factor, ..*self })
    }
}

fn overflow() -> Error {
    Error::value("A", "so large that its triangular factor overflows", "smaller entries or weights")
}

/// Kind and version of the byte form.
const KIND: &str = "least squares QR";
const VERSION: u32 = 1;

/// What is kept of a stream in the byte form.
#[derive(Serialize, Deserialize)]
pub struct SavedStream<'a> {
    /// What the caller wants to have kept beside it.
    words: String,
    fit_intercept: bool,
    is_closed: bool,
    #[serde(borrow)]
    seen: Option<SavedSeen<'a>>,
}

#[derive(Serialize, Deserialize)]
struct SavedSeen<'a> {
    shape: StreamShape,
    names: Names,
    cover: Cover,
    weights: WeightsSeen,
    #[serde(borrow)]
    whole: SavedPart<'a>,
    #[serde(borrow)]
    leaf: Option<SavedPart<'a>>,
    #[serde(borrow)]
    removed: Option<SavedPart<'a>>,
    tiles: usize,
    #[serde(borrow)]
    tail: Blocks<'a>,
    #[serde(borrow)]
    roots: Floats<'a>,
}

/// The upper triangle, column after column.
#[derive(Serialize, Deserialize)]
struct SavedPart<'a> {
    #[serde(borrow)]
    columns: Blocks<'a>,
    exponents: Vec<i32>,
    #[serde(borrow)]
    centre: Floats<'a>,
    steps: u64,
}

/// What memory is for.
const STATE: &str = "a state";

/// The byte form.
impl TriangularStream {
    /// The state as bytes.
    pub fn to_bytes(&self, context: &Context) -> Result<Vec<u8>> {
        state::to_bytes(context, KIND, VERSION, &self.save(String::new())?)
    }

    /// What is written, by `SavedStream::size` and `SavedStream::write`.
    pub fn save(&self, words: String) -> Result<SavedStream<'_>> {
        let seen = self.seen.as_ref().map(Seen::save).transpose()?;
        Ok(SavedStream { words, fit_intercept: self.fit_intercept, is_closed: self.is_closed, seen })
    }

    /// The state that was written and the words beside it, or [`Error::State`] for any other bytes.
    pub fn from_bytes(context: &Context, bytes: &[u8]) -> Result<(Self, String)> {
        let saved: SavedStream<'_> = state::from_bytes(context, KIND, VERSION, bytes)?;
        let SavedStream { words, fit_intercept, is_closed, seen } = saved;
        let seen = seen.map(|seen| seen.restored(context, fit_intercept)).transpose()?;
        Ok((Self { fit_intercept, is_closed, seen }, words))
    }
}

impl SavedStream<'_> {
    /// Number of bytes.
    pub fn size(&self) -> Result<usize> {
        state::size(self)
    }

    /// Writes the bytes, [`SavedStream::size`] of them.
    pub fn write(&self, context: &Context, bytes: &mut [u8]) -> Result<()> {
        state::write(context, KIND, VERSION, self, bytes)
    }
}

impl Seen {
    fn save(&self) -> Result<SavedSeen<'_>> {
        let TriangularFactor { whole, leaf, tail, tiles, weights, removed } = &self.factor;
        let removed = removed.as_ref().map(Part::save).transpose()?;
        let columns = (0..self.factor.order()).map(|j| Floats::Numbers(&tail.values.col(j)[..tail.filled]));
        Ok(SavedSeen {
            shape: self.shape,
            names: self.names.clone(),
            cover: self.cover.copy()?,
            weights: *weights,
            whole: whole.save()?,
            leaf: if *tiles > 0 { Some(leaf.save()?) } else { None },
            removed,
            tiles: *tiles,
            tail: Blocks(collected(columns, STATE)?),
            roots: Floats::Numbers(&tail.roots[..tail.filled]),
        })
    }
}

impl Part {
    fn save(&self) -> Result<SavedPart<'_>> {
        let (r, units) = self.triangle.scaled();
        let columns = (0..r.ncols()).map(|j| Floats::Numbers(&r.col(j)[..=j]));
        Ok(SavedPart {
            columns: Blocks(collected(columns, STATE)?),
            exponents: collected(units.iter().map(|&unit| exponent_of(unit)), STATE)?,
            centre: Floats::Numbers(&self.centre),
            steps: self.steps,
        })
    }
}

fn unsound() -> Error {
    Error::State("its parts do not fit together".into())
}

impl SavedSeen<'_> {
    fn restored(self, context: &Context, fit_intercept: bool) -> Result<Seen> {
        let StreamShape { d, k, vector, .. } = self.shape;
        // As many columns as the bytes at hand hold, before anything is made for them.
        let order = self.tail.0.len();
        let sound = d > 0
            && k > 0
            && d.checked_add(k).and_then(|columns| columns.checked_add(usize::from(fit_intercept)))
                == Some(order)
            && (!vector || k == 1)
            && self.names.fit(d)
            && self.cover.is_valid()
            && self.weights.is_valid()
            && self.weights.count <= self.cover.rows()
            && self.roots.len() < block_rows(order)
            && self.tail.0.iter().all(|column| column.len() == self.roots.len())
            && self.whole.fits(order)
            && self.leaf.as_ref().is_none_or(|leaf| leaf.fits(order))
            && self.leaf.is_some() == (self.tiles > 0)
            && self.removed.as_ref().is_none_or(|removed| removed.fits(order));
        if !sound {
            return Err(unsound());
        }
        let mut factor = TriangularFactor::new(d + k, fit_intercept)?;
        if self.tiles >= factor.tiles_of_leaf() {
            return Err(unsound());
        }
        (factor.weights, factor.tiles, factor.tail.filled) = (self.weights, self.tiles, self.roots.len());
        factor.whole = self.whole.restored(context, fit_intercept)?;
        if let Some(leaf) = self.leaf {
            factor.leaf = leaf.restored(context, fit_intercept)?;
        }
        factor.removed = self.removed.map(|part| part.restored(context, false)).transpose()?;
        self.roots.copy_to(context, &mut factor.tail.roots[..self.roots.len()])?;
        for (j, column) in self.tail.0.iter().enumerate() {
            column.copy_to(context, &mut factor.tail.values.col_mut(j)[..column.len()])?;
        }
        let ones =
            !fit_intercept || factor.tail.values.col(0)[..self.roots.len()].iter().all(|&one| one == 1.0);
        if !ones
            || !factor.tail.roots.iter().all(|root| *root >= 0.0 && root.is_finite())
            || !factor.is_finite()?
        {
            return Err(unsound());
        }
        Ok(Seen { shape: self.shape, names: self.names, cover: self.cover, factor })
    }
}

impl SavedPart<'_> {
    fn fits(&self, order: usize) -> bool {
        self.columns.0.len() == order
            && self.exponents.len() == order
            && self.centre.len() == order
            && (self.columns.0.iter().enumerate()).all(|(j, column)| column.len() == j + 1)
            && self.exponents.iter().all(|exponent| exponent.unsigned_abs() <= 1000)
    }

    fn restored(self, context: &Context, constant: bool) -> Result<Part> {
        let order = self.exponents.len();
        let mut r = Mat::zeros(order, order)?;
        for (j, column) in self.columns.0.iter().enumerate() {
            column.copy_to(context, &mut r.col_mut(j)[..=j])?;
        }
        let units = self.exponents.iter().map(|&exponent| times_power_of_two(1.0, exponent));
        let units = collected(units, STATE)?;
        let mut centre = zeros(order, STATE)?;
        self.centre.copy_to(context, &mut centre)?;
        Ok(Part { triangle: Triangle::of_scaled(r, units), centre, constant, steps: self.steps })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::gaussian;
    use crate::linalg::{norm, product};
    use crate::matrix::Matrix;
    use crate::parallel::Host;
    use crate::regression::Output;
    use proptest::prelude::*;

    fn block<'a>(a: &'a Mat<f64>, b: &'a Mat<f64>, rows: Range<usize>) -> StreamBlock<'a, f64> {
        let design = Matrix::Dense(a.as_ref().rows(rows.clone()));
        StreamBlock {
            design,
            targets: b.as_ref().rows(rows),
            weights: None,
            vector: false,
            names: Names::default(),
        }
    }

    fn weighted<'a>(block: StreamBlock<'a, f64>, weights: &'a [f64]) -> StreamBlock<'a, f64> {
        StreamBlock { weights: Some(weights), ..block }
    }

    /// A stream of blocks that end at these rows.
    fn stream(
        threads: usize,
        constant: bool,
        a: &Mat<f64>,
        b: &Mat<f64>,
        ends: &[usize],
    ) -> TriangularStream {
        let (mut stream, mut start) = (TriangularStream::new(constant), 0);
        for &end in ends {
            stream.partial_fit(&Context::new(threads), &block(a, b, start..end), None).unwrap();
            start = end;
        }
        stream
    }

    fn bytes(stream: &TriangularStream) -> Vec<u8> {
        stream.to_bytes(&Context::new(1)).unwrap()
    }

    fn answer(stream: &TriangularStream, ridge: f64) -> Output {
        stream.solve(&Context::new(1), ridge).unwrap()
    }

    /// |A'(b - A x)| over |A| |b - A x| and |A| |x| |A|, of columns centred before if there is a constant.
    fn gradient(a: &Mat<f64>, b: &Mat<f64>, output: &Output) -> f64 {
        let fit = product(a.as_ref(), output.x.as_ref()).unwrap();
        let r =
            Mat::from_fn(a.nrows(), b.ncols(), |i, j| b[(i, j)] - fit[(i, j)] - output.intercept[j]).unwrap();
        let g = product(a.as_ref().t(), r.as_ref()).unwrap();
        let size = norm(a.as_slice());
        norm(g.as_slice()) / (size * (norm(r.as_slice()) + size * norm(output.x.as_slice())))
    }

    #[test]
    fn answers_are_those_of_least_squares_with_and_without_a_constant() {
        for (n, d, k, constant) in
            [(9, 3, 1, false), (9, 3, 2, true), (4000, 7, 2, true), (30_000, 20, 1, false)]
        {
            let (a, b) = (gaussian(n, d, 1), gaussian(n, k, 2));
            let stream = stream(2, constant, &a, &b, &[n / 3, n]);
            let output = answer(&stream, 0.0);
            assert_eq!((output.rank, output.inference.as_ref().unwrap().observations), (Some(d), n));
            assert!(gradient(&a, &b, &output) < 1e-14, "{n} x {d}");
            assert!(output.settled && output.backward_error.iter().all(|&error| error < 1e-15));
            let fit = product(a.as_ref(), output.x.as_ref()).unwrap();
            for target in 0..k {
                let left = (0..n).map(|i| b[(i, target)] - fit[(i, target)] - output.intercept[target]);
                let left: Vec<f64> = left.collect();
                assert!((norm(&left) / output.residual_norm[target] - 1.0).abs() < 1e-12);
                assert!(!constant || left.iter().sum::<f64>().abs() < 1e-11 * n as f64);
            }
        }
    }

    #[test]
    fn bits_depend_neither_on_the_cuts_nor_on_the_threads() {
        for (n, d, constant) in [(3000, 5, true), (70_000, 9, false), (20_000, 40, true)] {
            let (a, b) = (gaussian(n, d, 3), gaussian(n, 1, 4));
            let by_rows = gaussian(d, n, 5);
            let expected = bytes(&stream(1, constant, &a, &b, &[n]));
            for threads in [1, 2, 3] {
                for ends in [vec![n], vec![1, n], vec![0, 383, 384, 500, n - 1, n], vec![n / 2, n / 2 + 7, n]]
                {
                    assert!(
                        bytes(&stream(threads, constant, &a, &b, &ends)) == expected,
                        "{threads}: {ends:?}"
                    );
                }
            }
            let columns = Mat::from_fn(n, d, |i, j| by_rows[(j, i)]).unwrap();
            let mut other = TriangularStream::new(constant);
            let design = Matrix::Dense(by_rows.as_ref().t());
            other
                .partial_fit(&Context::new(2), &StreamBlock { design, ..block(&a, &b, 0..n) }, None)
                .unwrap();
            assert!(bytes(&other) == bytes(&stream(2, constant, &columns, &b, &[n])), "order of memory");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_factor_multiplies_back(
            n in 1usize..3000, d in 1usize..12, constant: bool, parts in 1usize..5, decades in -150i32..150, seed: u64
        ) {
            let power = |j: usize| 10f64.powi(if j.is_multiple_of(2) { decades } else { -decades });
            let (a, b) = (gaussian(n, d, seed), gaussian(n, 1, !seed));
            let a = Mat::from_fn(n, d, |i, j| a[(i, j)] * power(j) + if j == 1 { power(j) * 1e3 } else { 0.0 }).unwrap();
            let weights: Vec<f64> = (0..n).map(|i| (i % 4) as f64 * 0.5).collect();
            let mut whole = TriangularStream::new(constant);
            let parts: Vec<_> = (0..parts).map(|part| {
                let rows = n * part / parts..n * (part + 1) / parts;
                let mut stream = TriangularStream::new(constant);
                let block = weighted(block(&a, &b, rows.clone()), &weights[rows.clone()]);
                stream.partial_fit(&Context::new(1), &block, Some(rows.start as u64)).unwrap();
                stream
            }).collect();
            whole = whole.merged(&Context::new(1), &parts.iter().collect::<Vec<_>>()).unwrap();
            prop_assert!(whole.covered().eq(std::iter::once(0..n as u64)));
            let total: f64 = weights.iter().sum();
            prop_assume!(total > 0.0);
            let column = |j: usize| if j < d { a.col(j) } else { b.col(0) };
            let unit = |j: usize| if j < d { power(j) } else { 1.0 };
            let mean = |j: usize| match constant {
                true => column(j).iter().zip(&weights).map(|(value, weight)| value / unit(j) * weight).sum::<f64>() / total,
                false => 0.0,
            };
            let factor = whole.factor().unwrap();
            prop_assert_eq!(factor.weights.count, weights.iter().filter(|&&weight| weight > 0.0).count() as u64);
            let logarithms: f64 = weights.iter().filter(|&&weight| weight > 0.0).map(|weight| weight.ln()).sum();
            prop_assert!((factor.weights.log_product() - logarithms).abs() < 1e-11 * n as f64);
            let r = factor.triangle().unwrap();
            for (i, j) in (0..=d).flat_map(|i| (0..=d).map(move |j| (i, j))) {
                let (means, rows) = ([mean(i), mean(j)], (0..n).map(|row| (row, weights[row])));
                let expected: f64 = rows.map(|(row, weight)| {
                    let centred = |j: usize, mean: f64| column(j)[row] / unit(j) - mean;
                    weight * centred(i, means[0]) * centred(j, means[1])
                }).sum();
                let found: f64 = (0..=d).map(|row| (r[(row, i)] / unit(i)) * (r[(row, j)] / unit(j))).sum();
                let shifted = |j: usize| if j == 1 && d > 1 { 1e3 } else { 1.0 };
                let size = if constant { 1e-3 * shifted(i) * shifted(j) + 1.0 } else { shifted(i) * shifted(j) };
                prop_assert!((found - expected).abs() <= 1e-13 * size * (n as f64 + 10.0), "{i} {j}: {found} {expected}");
                prop_assert!(i <= j || r[(i, j)] == 0.0);
            }
        }
    }

    #[test]
    fn nearly_constant_columns_lose_no_digit_to_their_means() {
        let (n, far) = (50_000, 1e9);
        let (noise, b) = (gaussian(n, 2, 6), gaussian(n, 1, 7));
        let far_away = Mat::from_fn(n, 2, |i, j| (noise[(i, j)] * 1024.0).round() / 1024.0 + far).unwrap();
        let near = Mat::from_fn(n, 2, |i, j| far_away[(i, j)] - far).unwrap();
        let [far_away, near] = [far_away, near].map(|a| answer(&stream(2, true, &a, &b, &[n]), 0.0));
        for j in 0..2 {
            assert!((far_away.x[(j, 0)] - near.x[(j, 0)]).abs() < 1e-13 * near.x[(j, 0)].abs());
        }
    }

    #[test]
    fn rows_of_little_weight_may_be_far_away() {
        let n = 2000;
        let (near, b) = (gaussian(n, 2, 20), gaussian(n, 1, 21));
        for (far, light) in [(0..1, 1e-30), (0..600, 1e-30), (n - 1..n, 1e-30), (3..4, 0.0)] {
            let is_far = |i: usize| far.contains(&i);
            let a = Mat::from_fn(n, 2, |i, j| near[(i, j)] + if is_far(i) { 1e12 } else { 0.0 }).unwrap();
            let weights: Vec<f64> = (0..n).map(|i| if is_far(i) { light } else { 1.0 }).collect();
            let heavy: Vec<usize> = (0..n).filter(|&i| !is_far(i)).collect();
            let take = |m: &Mat<f64>| Mat::from_fn(heavy.len(), m.ncols(), |i, j| m[(heavy[i], j)]).unwrap();
            let (alone, targets) = (take(&near), take(&b));
            let expected = answer(&stream(1, true, &alone, &targets, &[heavy.len()]), 0.0).x;
            for cut in [n, 1, 700] {
                let (head, tail) = (0..cut, cut..n);
                let [mut whole, rest] = [head, tail].map(|rows| {
                    let mut part = TriangularStream::new(true);
                    let block = weighted(block(&a, &b, rows.clone()), &weights[rows.clone()]);
                    part.partial_fit(&Context::new(1), &block, Some(rows.start as u64)).unwrap();
                    part
                });
                whole = whole.merged(&Context::new(1), &[&rest]).unwrap();
                let found = answer(&whole, 0.0).x;
                for j in 0..2 {
                    // What the far rows say, of weight 1e-30 times 1e24 at most.
                    let error = (found[(j, 0)] - expected[(j, 0)]).abs();
                    assert!(
                        error < 1e-6 * far.len() as f64 * light * 1e30 + 1e-14,
                        "{far:?} {cut}: {error:e}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_short_block_that_would_overflow_later_is_refused_now() {
        let (n, d) = (1000, 3);
        let (a, b, context) = (gaussian(n, d, 22), gaussian(n, 1, 23), Context::new(1));
        for constant in [false, true] {
            let mut stream = stream(1, constant, &a, &b, &[100]);
            let before = bytes(&stream);
            for (value, weight) in [(1e200, 1e250), (1.7e308, 1.0), (1.0, f64::MAX)] {
                let huge = Mat::from_fn(1, d, |_, _| value).unwrap();
                let weights = [weight];
                let row = weighted(block(&huge, &b, 0..1), &weights);
                let refused = stream.partial_fit(&context, &row, None);
                assert_eq!(refused.is_err(), value > 1.0, "{value:e}");
                if value > 1.0 {
                    assert!(bytes(&stream) == before);
                }
            }
            stream.partial_fit(&context, &block(&a, &b, 101..n), None).unwrap();
            assert!(answer(&stream, 0.0).x.as_slice().iter().all(|x| x.is_finite()));
        }
    }

    #[test]
    fn constant_and_repeated_columns_are_left_out_or_shared() {
        let n = 2000;
        let (noise, b) = (gaussian(n, 2, 8), gaussian(n, 1, 9));
        let a = Mat::from_fn(n, 4, |i, j| match j {
            0 => 0.1,
            3 => 3.0 * noise[(i, 0)],
            _ => noise[(i, j - 1)],
        });
        let a = a.unwrap();
        let output = answer(&stream(1, true, &a, &b, &[700, n]), 0.0);
        assert_eq!((output.rank, &output.constant[..], output.x[(0, 0)]), (Some(2), &[0][..], 0.0));
        // The shortest of all that fit as well.
        assert!((output.x[(3, 0)] - 3.0 * output.x[(1, 0)]).abs() < 1e-14);
        assert!(gradient(&a, &b, &output) < 1e-14);
        let few = answer(&stream(1, false, &noise, &b, &[1]), 0.0);
        assert_eq!(few.rank, Some(1));
        assert!(few.residual_norm[0] < 1e-15);
    }

    #[test]
    fn a_ridge_is_that_of_rows_below() {
        let (n, d, ridge) = (500, 4, 30.0f64);
        let (a, b) = (gaussian(n, d, 10), gaussian(n, 2, 11));
        let row = |i: usize, j: usize| if i == j { ridge.sqrt() } else { 0.0 };
        let below = Mat::from_fn(n + d, d, |i, j| if i < n { a[(i, j)] } else { row(i - n, j) }).unwrap();
        let zeros = Mat::from_fn(n + d, 2, |i, j| if i < n { b[(i, j)] } else { 0.0 }).unwrap();
        let (found, expected) = (
            answer(&stream(1, false, &a, &b, &[n]), ridge),
            answer(&stream(1, false, &below, &zeros, &[n + d]), 0.0),
        );
        let (path, _) = stream(1, false, &a, &b, &[n]).ridge_path(&Context::new(1), &[0.0, ridge]).unwrap();
        let plain = answer(&stream(1, false, &a, &b, &[n]), 0.0);
        for (j, target) in (0..d).flat_map(|j| [(j, 0), (j, 1)]) {
            assert!((found.x[(j, target)] - expected.x[(j, target)]).abs() < 1e-15);
            assert!((path[(j, 2 + target)] - expected.x[(j, target)]).abs() < 1e-14);
            assert!((path[(j, target)] - plain.x[(j, target)]).abs() < 1e-14);
        }
        let fit = product(a.as_ref(), found.x.as_ref()).unwrap();
        let left: Vec<f64> = (0..n).map(|i| b[(i, 1)] - fit[(i, 1)]).collect();
        assert!((norm(&left) - found.residual_norm[1]).abs() < 1e-12);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_leaves_the_stream_as_it_was() {
        let (n, d) = (1000, 3);
        let (a, b) = (gaussian(n, d, 12), gaussian(n, 1, 13));
        let context = Context::new(1);
        let mut stream = stream(1, true, &a, &b, &[n]);
        let before = bytes(&stream);
        for rows in [0..n, 0..5] {
            for (i, j) in [(rows.end - 1, d), (rows.end - 2, 1)] {
                let (mut a, mut b) = (a.copy().unwrap(), b.copy().unwrap());
                if j == d {
                    b[(i, 0)] = f64::NAN
                } else {
                    a[(i, j)] = f64::INFINITY
                }
                let refused = stream.partial_fit(&context, &block(&a, &b, rows.clone()), None).unwrap_err();
                assert!(refused.to_string().contains(&format!("[{i}, {}]", j % d)), "{refused}");
                assert!(bytes(&stream) == before);
            }
            let twice = stream.partial_fit(&context, &block(&a, &b, rows.clone()), Some(990)).unwrap_err();
            assert_eq!(twice.argument(), Some("row_offset"));
            let narrow = Mat::zeros(n, 2).unwrap();
            let refused = stream.partial_fit(&context, &block(&narrow, &b, rows), None).unwrap_err();
            assert_eq!(refused.argument(), Some("A"));
            assert!(bytes(&stream) == before);
        }
        assert!(stream.merged(&context, &[&TriangularStream::new(false)]).is_err());
        assert!(stream.merged(&context, &[&stream.copy().unwrap()]).is_err());
        let huge = Mat::from_fn(n, d, |_, _| 1e308).unwrap();
        let weights = vec![1e300; n];
        let overflow = stream.partial_fit(&context, &weighted(block(&huge, &b, 0..n), &weights), None);
        assert!(overflow.unwrap_err().to_string().contains("overflows"));
        let closed = stream.closed().unwrap();
        assert!(closed.is_closed() && bytes(&closed).len() < before.len());
        let x = [&closed, &stream].map(|stream| answer(stream, 0.0).x);
        assert_eq!(x[0].as_slice(), x[1].as_slice());
        assert!(closed.fitted(&context, &block(&a, &b, 0..n), None).is_err());
        assert!(TriangularStream::new(true).solve(&context, 0.0).is_err());
    }

    #[test]
    fn a_way_through_bytes_changes_nothing_and_others_are_refused() {
        let (n, d) = (20_000, 6);
        let (a, b) = (gaussian(n, d, 14), gaussian(n, 1, 15));
        let context = Context::new(1);
        let first = stream(1, true, &a, &b, &[13_777]);
        let written = bytes(&first);
        let (mut restored, words) = TriangularStream::from_bytes(&context, &written).unwrap();
        assert_eq!(words, "");
        restored.partial_fit(&context, &block(&a, &b, 13_777..n), None).unwrap();
        assert!(bytes(&restored) == bytes(&stream(1, true, &a, &b, &[n])));
        let refused = |change: &dyn Fn(&mut SavedStream<'_>)| {
            let mut saved = first.save(String::new()).unwrap();
            change(&mut saved);
            let bytes = state::to_bytes(&context, KIND, VERSION, &saved).unwrap();
            matches!(TriangularStream::from_bytes(&context, &bytes), Err(Error::State(_)))
        };
        assert!(!refused(&|_| ()));
        assert!(refused(&|saved| saved.fit_intercept = false));
        assert!(refused(&|saved| saved.seen.as_mut().unwrap().shape.d += 1));
        assert!(refused(&|saved| saved.seen.as_mut().unwrap().tiles += 1000));
        assert!(refused(&|saved| saved.seen.as_mut().unwrap().leaf = None));
        assert!(refused(&|saved| saved.seen.as_mut().unwrap().roots = Floats::Numbers(&[1.0])));
        assert!(refused(&|saved| saved.seen.as_mut().unwrap().whole.exponents[2] = 2000));
        assert!(
            refused(&|saved| saved.seen.as_mut().unwrap().whole.centre = Floats::Numbers(&[f64::NAN; 8]))
        );
        assert!(refused(&|saved| saved.seen.as_mut().unwrap().weights.count = 1 << 40));
    }

    #[test]
    fn an_interrupt_leaves_the_stream_as_it_was() {
        struct StopAtOnce;
        impl Host for StopAtOnce {
            fn check(&self) -> Result<()> {
                Err(Error::Interrupted)
            }
            fn progress(&self, _: usize, _: usize, _: &[(&'static str, f64)]) -> Result<()> {
                Ok(())
            }
        }
        let (n, d) = (40_000, 12);
        let (a, b) = (gaussian(n, d, 16), gaussian(n, 1, 17));
        let mut stream = stream(1, false, &a, &b, &[1000]);
        let before = bytes(&stream);
        for threads in [1, 2] {
            let context = Context::with_host(threads, &StopAtOnce);
            std::thread::sleep(crate::parallel::TICK);
            let outcome = stream.partial_fit(&context, &block(&a, &b, 0..n), None);
            assert!(matches!(outcome, Err(Error::Interrupted)));
            assert!(bytes(&stream) == before);
        }
    }

    #[test]
    fn columns_in_another_order_are_refused_by_name() {
        let (a, b) = (gaussian(10, 2, 18), gaussian(10, 1, 19));
        let named = |names: [&str; 2]| {
            let names = Names::new(Some(names.map(String::from).to_vec()));
            StreamBlock { names, ..block(&a, &b, 0..10) }
        };
        let (context, mut stream) = (Context::new(1), TriangularStream::new(false));
        stream.partial_fit(&context, &named(["x", "y"]), None).unwrap();
        let (mut stream, _) = TriangularStream::from_bytes(&context, &bytes(&stream)).unwrap();
        let refused = stream.partial_fit(&context, &named(["y", "x"]), None).unwrap_err().to_string();
        assert!(refused.contains("`A`") && refused.contains("column 0 is \"y\""), "{refused}");
        stream.partial_fit(&context, &named(["x", "y"]), None).unwrap();
        assert_eq!(stream.names().unwrap(), ["x", "y"]);
    }
}
