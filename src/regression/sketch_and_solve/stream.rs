//! Least squares of a stream: the sketch of its rows [A, B] so far.

use crate::error::{Error, Result};
use crate::matrix::{Buffer, Dense, Matrix, Names, Real, Rows, TILE};
use crate::memory::{extend, prepare};
use crate::parallel::Context;
use crate::regression::block::{StreamBlock, StreamShape};
use crate::regression::sketch_and_solve::answer::{Quantiles, SketchAnswer, sketch_and_solve};
use crate::regression::sketch_and_solve::row_count::row_count;
use crate::sketch::{
    Accumulator, Kind, Operand, Parameter, Saved as SavedRows, Sketch, Weights, same_parameters, shown,
};
use crate::state;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What is asked of the answers, before a row has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamOptions {
    /// The family of the sketch.
    pub kind: Kind,
    /// Rows of the sketch; `None`: by [`row_count`].
    pub m: Option<usize>,
    /// Bound on the number of rows, which only [`Kind::Srht`] needs.
    pub n: Option<u64>,
    /// Of everything random in the sketch.
    pub seed: u64,
    /// The eps of the theorem, positive.
    pub eps: f64,
    /// Probability of failure in the theorem, in (0, 1).
    pub delta: f64,
    /// Confidence of the intervals, in (0, 1).
    pub level: f64,
    /// Whether coordinate-wise errors are asked for, which sparse sketches do not bound.
    pub coordinatewise: bool,
    /// Penalty on |x|^2, not negative.
    pub ridge: f64,
}

/// What a stream has come to.
pub struct LeastSquaresStream {
    request: StreamOptions,
    /// From the first block on.
    seen: Option<Seen>,
}

struct Seen {
    shape: StreamShape,
    /// Of the columns of A, from the first block on that had names.
    names: Names,
    rows: Accumulator,
}

impl LeastSquaresStream {
    /// A stream of which nothing has come.
    pub fn new(request: StreamOptions) -> Result<Self> {
        let StreamOptions { kind, m, n, seed, .. } = request;
        request.check()?;
        if request.coordinatewise && kind.is_sparse() {
            let expected =
                "a dense one: \"pht\", \"pht_normals\", \"srht\" or \"gaussian\"; or guarantee=None";
            return Err(Error::value("sketch", "one that bounds no coordinate's error", expected));
        }
        // The number of rows may depend on the columns; this many are enough for any kind.
        Sketch::new(kind, m.unwrap_or(1 << 10), n, seed, 0)?;
        Ok(Self { request, seen: None })
    }

    /// What is asked of the answers.
    pub fn request(&self) -> &StreamOptions {
        &self.request
    }

    /// What the first block said, and the sketch made for it.
    pub fn shape(&self) -> Option<(StreamShape, &Sketch)> {
        self.seen.as_ref().map(|seen| (seen.shape, seen.rows.sketch()))
    }

    /// The rows so far, as ranges in increasing order.
    pub fn covered(&self) -> impl Iterator<Item = Range<u64>> {
        self.seen.iter().flat_map(|seen| seen.rows.covered())
    }

    /// Adds a block, the first row of which is row `row_offset` of the stream; by default the one after the last row
    /// so far. It is added whole or, where there is an error, not at all.
    pub fn partial_fit<T: Real>(
        &mut self,
        context: &Context,
        block: &StreamBlock<'_, T>,
        row_offset: Option<u64>,
    ) -> Result<()> {
        if self.is_short(block, row_offset) {
            return self.add_short(block, row_offset);
        }
        *self = self.fitted(context, block, row_offset)?;
        Ok(())
    }

    /// This one with a block more, as [`LeastSquaresStream::partial_fit`] adds it.
    pub fn fitted<T: Real>(
        &self,
        context: &Context,
        block: &StreamBlock<'_, T>,
        row_offset: Option<u64>,
    ) -> Result<Self> {
        block.check(context)?;
        let (request, shape) = (self.request.clone(), block.shape());
        let rows = Weighted::new(context, block)?;
        let seen = match &self.seen {
            Some(seen) => {
                let (shape, names) = seen.with(block)?;
                Seen { shape, names, rows: seen.rows.fitted(context, &Operand::Dense(&rows), row_offset)? }
            }
            None => {
                let empty = request.sketch(shape)?.accumulate(context, shape.d + shape.k)?;
                let rows = empty.fitted(context, &Operand::Dense(&rows), row_offset)?;
                Seen { shape, names: block.names.clone(), rows }
            }
        };
        Ok(Self { request, seen: Some(seen) })
    }

    /// Whether a block is so short that [`LeastSquaresStream::add_short`] will do, which nothing can interrupt.
    pub fn is_short<T: Real>(&self, block: &StreamBlock<'_, T>, row_offset: Option<u64>) -> bool {
        let rows = Weighted { block, roots: None };
        self.seen.as_ref().is_some_and(|seen| seen.rows.is_short(&Operand::Dense(&rows), row_offset))
    }

    /// [`LeastSquaresStream::partial_fit`] for a short block, which is not the first one.
    pub fn add_short<T: Real>(&mut self, block: &StreamBlock<'_, T>, row_offset: Option<u64>) -> Result<()> {
        let context = Context::new(1);
        block.check(&context)?;
        let seen =
            self.seen.as_mut().ok_or_else(|| Error::Internal("the first block is not short".into()))?;
        let (shape, names) = seen.with(block)?;
        let rows = Weighted::new(&context, block)?;
        seen.rows.add_short(&Operand::Dense(&rows), row_offset)?;
        (seen.shape, seen.names) = (shape, names);
        Ok(())
    }

    /// This one with the rows of another stream, all of which must be new to it.
    pub fn merged(&self, context: &Context, other: &Self) -> Result<Self> {
        same_parameters(other.request.parameters(), self.request.parameters())?;
        if self.request != other.request {
            return Err(Error::value("other", "a stream for another request", "one for the same"));
        }
        let seen = match (&self.seen, &other.seen) {
            (seen, None) | (None, seen) => seen.as_ref().map(|seen| seen.copy(context)).transpose()?,
            (Some(seen), Some(other)) => {
                let shape = seen.shape.joined(other.shape)?;
                let names = seen.names.joined("other", &other.names)?;
                Some(Seen { shape, names, rows: seen.rows.merged(context, &other.rows)? })
            }
        };
        Ok(Self { request: self.request.clone(), seen })
    }

    /// This one with no rows waiting for others, and without more to come.
    pub fn closed(&self, context: &Context) -> Result<Self> {
        let of = |seen: &Seen| {
            Ok(Seen { shape: seen.shape, names: seen.names.clone(), rows: seen.rows.closed(context)? })
        };
        Ok(Self { request: self.request.clone(), seen: self.seen.as_ref().map(of).transpose()? })
    }

    /// Names of the columns of A, from the first block on that had any.
    pub fn names(&self) -> Option<&[String]> {
        self.seen.as_ref().and_then(|seen| seen.names.as_slice())
    }

    /// Rows that the sketch works on together, and whether all rows so far are in the first such chunk.
    pub fn chunk(&self) -> Option<(usize, bool)> {
        let rows = &self.seen.as_ref()?.rows;
        let end = rows.covered().last().map_or(0, |last| last.end);
        Some((rows.chunk(), end <= rows.chunk() as u64))
    }

    /// The answers from the rows so far.
    pub fn result(&self, context: &Context, quantiles: &Quantiles) -> Result<SketchAnswer> {
        let seen = self.seen.as_ref().filter(|seen| seen.rows.rows() > 0);
        let Seen { shape, rows, .. } =
            seen.ok_or_else(|| Error::value("A", "without rows so far", "some rows first"))?;
        let roundoff = if shape.single { f32::UNIT_ROUNDOFF } else { f64::UNIT_ROUNDOFF };
        let sketched = rows.result(context)?;
        let excess = self.excess(sketched.nrows());
        sketch_and_solve(context, &sketched, shape.d, self.request.ridge, quantiles, roundoff, excess)
    }

    /// How much larger errors are than those of a Gaussian sketch. A row of a pooled transform is a sum of p rows
    /// of Z under normal weights, of which the columns a of A and r of the residual have the parts a_k and r_k: its
    /// share of a'S'S r has variance |a_k|^2 |r_k|^2 + (a_k'r_k)^2, and of p random numbers (a_k'r_k)^2 is 1/p of the
    /// other term.
    fn excess(&self, m: usize) -> f64 {
        match (self.request.kind, self.chunk()) {
            (Kind::Pht { weights: Weights::Normals, .. }, Some((chunk, _))) => {
                let end = self.covered().last().map_or(0, |last| last.end);
                let rows = end.div_ceil(chunk as u64) as f64 * chunk as f64;
                (1.0 + m as f64 / rows.max(chunk as f64)).sqrt()
            }
            _ => 1.0,
        }
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self, context: &Context) -> Result<Self> {
        let seen = self.seen.as_ref().map(|seen| seen.copy(context)).transpose()?;
        Ok(Self { request: self.request.clone(), seen })
    }
}

impl Seen {
    /// Shape and names once a block is in, if it fits those before.
    fn with<T: Real>(&self, block: &StreamBlock<'_, T>) -> Result<(StreamShape, Names)> {
        Ok((self.shape.with(block)?, self.names.joined("A", &block.names)?))
    }

    fn copy(&self, context: &Context) -> Result<Self> {
        Ok(Self { shape: self.shape, names: self.names.clone(), rows: self.rows.copy(context)? })
    }
}

impl StreamOptions {
    /// In the words of the caller.
    fn parameters(&self) -> [Parameter; 9] {
        let Self { kind, m, n, seed, eps, delta, level, coordinatewise, ridge } = self;
        let sketch = match kind {
            Kind::Pht { weights: Weights::Normals, .. } => "pht_normals",
            kind => kind.name(),
        };
        let guarantee = coordinatewise.then_some("linf");
        [
            ("sketch", sketch.into()),
            ("sketch_size", shown(*m)),
            ("n", shown(*n)),
            ("rng", seed.to_string()),
            ("eps", eps.to_string()),
            ("delta", delta.to_string()),
            ("level", level.to_string()),
            ("guarantee", shown(guarantee)),
            ("ridge", ridge.to_string()),
        ]
    }

    /// Refuses parameters out of their domains.
    fn check(&self) -> Result<()> {
        let positive = |number: f64| number.is_finite() && number > 0.0;
        let between = |number: f64| number > 0.0 && number < 1.0;
        for (name, value, fits, expected) in [
            ("eps", self.eps, positive(self.eps), "a positive number"),
            ("delta", self.delta, between(self.delta), "a number in (0, 1)"),
            ("level", self.level, between(self.level), "a number in (0, 1)"),
            (
                "ridge",
                self.ridge,
                self.ridge.is_finite() && self.ridge >= 0.0,
                "a number that is not negative",
            ),
        ] {
            if !fits {
                return Err(Error::value(name, value, expected));
            }
        }
        match self.n {
            Some(0) => Err(Error::value("n", 0, "at least one row")),
            _ => Ok(()),
        }
    }

    /// The sketch for a problem of that shape.
    fn sketch(&self, shape: StreamShape) -> Result<Sketch> {
        let StreamShape { d, k, .. } = shape;
        if d == 0 || k == 0 {
            return Err(Error::shape("A", format!("{d} columns beside {k} targets"), "at least one of both"));
        }
        let m = match self.m {
            Some(m) if m <= d => {
                return Err(Error::value("sketch_size", m, format!("more than the {d} columns")));
            }
            Some(m) => m,
            None => row_count(d, self.eps, self.delta)?,
        };
        Sketch::new(self.kind, m, self.n, self.seed, 0)
    }
}

/// The rows of a block times the roots of their weights.
struct Weighted<'p, 'a, T> {
    block: &'p StreamBlock<'a, T>,
    roots: Option<Buffer<f64>>,
}

impl<'p, 'a, T: Real> Weighted<'p, 'a, T> {
    fn new(context: &Context, block: &'p StreamBlock<'a, T>) -> Result<Self> {
        let Some(weights) = block.weights else { return Ok(Self { block, roots: None }) };
        let mut roots = Buffer::copy_in_pieces(context, weights, "the roots of the weights")?;
        for rows in context.pieces(0..weights.len()) {
            roots[rows?].iter_mut().for_each(|root| *root = root.sqrt());
        }
        Ok(Self { block, roots: Some(roots) })
    }

    fn of_design<'b>(
        &'b self,
        rows: Range<usize>,
        cols: Range<usize>,
        buffer: &'b mut Vec<f64>,
    ) -> Result<Dense<'b, f64>> {
        match &self.block.design {
            Matrix::Dense(design) => design.tile(rows, cols, buffer),
            Matrix::Sparse(design) => design.tile(rows, cols, buffer),
        }
    }
}

impl<T: Real> Rows for Weighted<'_, '_, T> {
    fn nrows(&self) -> usize {
        self.block.design.nrows()
    }

    fn ncols(&self) -> usize {
        self.block.design.ncols() + self.block.targets.ncols()
    }

    fn tile<'b>(
        &'b self,
        rows: Range<usize>,
        cols: Range<usize>,
        buffer: &'b mut Vec<f64>,
    ) -> Result<Dense<'b, f64>> {
        let d = self.block.design.ncols();
        if cols.end <= d && self.roots.is_none() {
            return self.of_design(rows, cols, buffer);
        }
        let (count, width) = (rows.len(), cols.len());
        let (of_design, of_targets) =
            (cols.start.min(d)..cols.end.min(d), cols.start.max(d)..cols.end.max(d));
        let mut scratch = Vec::new();
        let design = self.of_design(rows.clone(), of_design, &mut scratch)?;
        prepare(buffer, count * width, TILE)?;
        for (i, row) in rows.enumerate() {
            let root = self.roots.as_ref().map_or(1.0, |roots| roots[row]);
            extend(buffer, design.stored_row(i).iter().map(|entry| entry * root), TILE)?;
            let target = |column: usize| self.block.targets.get(row, column - d).to_f64() * root;
            extend(buffer, of_targets.clone().map(target), TILE)?;
        }
        Ok(Dense::row_major(buffer, count, width))
    }
}

/// Kind and version of the byte form.
const KIND: &str = "least squares";
const VERSION: u32 = 3;

/// What is kept of a stream in the byte form.
#[derive(Serialize, Deserialize)]
pub struct Saved<'a> {
    request: StreamOptions,
    #[serde(borrow)]
    seen: Option<SavedSeen<'a>>,
}

#[derive(Serialize, Deserialize)]
struct SavedSeen<'a> {
    shape: StreamShape,
    names: Names,
    #[serde(borrow)]
    rows: SavedRows<'a>,
}

/// The byte form.
impl LeastSquaresStream {
    /// The state as bytes.
    pub fn to_bytes(&self, context: &Context) -> Result<Vec<u8>> {
        state::to_bytes(context, KIND, VERSION, &self.save(context)?)
    }

    /// What [`LeastSquaresStream::to_bytes`] writes, by `Saved::size` and `Saved::write`.
    pub fn save(&self, context: &Context) -> Result<Saved<'_>> {
        let seen = match &self.seen {
            Some(Seen { shape, names, rows }) => {
                Some(SavedSeen { shape: *shape, names: names.clone(), rows: rows.save(context)? })
            }
            None => None,
        };
        Ok(Saved { request: self.request.clone(), seen })
    }

    /// The state that [`LeastSquaresStream::to_bytes`] gave, or [`Error::State`] for any other bytes.
    pub fn from_bytes(context: &Context, bytes: &[u8]) -> Result<Self> {
        let Saved { request, seen } = state::from_bytes(context, KIND, VERSION, bytes)?;
        let unsound = || Error::State("its parts do not fit together".into());
        let mut stream = Self::new(request).map_err(|_| unsound())?;
        if let Some(SavedSeen { shape, names, rows }) = seen {
            let sketch = stream.request.sketch(shape).map_err(|_| unsound())?;
            let rows = Accumulator::restore(context, rows)?;
            if Some(rows.d()) != shape.d.checked_add(shape.k)
                || *rows.sketch() != sketch
                || shape.vector && shape.k != 1
                || !names.fit(shape.d)
            {
                return Err(unsound());
            }
            stream.seen = Some(Seen { shape, names, rows });
        }
        Ok(stream)
    }
}

impl Saved<'_> {
    /// Number of bytes.
    pub fn size(&self) -> Result<usize> {
        state::size(self)
    }

    /// Writes the bytes, [`Saved::size`] of them.
    pub fn write(&self, context: &Context, bytes: &mut [u8]) -> Result<()> {
        state::write(context, KIND, VERSION, self, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sketch::Weights;

    const D: usize = 3;
    const N: usize = 1500;

    fn context() -> Context<'static> {
        Context::new(1)
    }

    fn stream() -> LeastSquaresStream {
        let kind = Kind::Pht { weights: Weights::Signs, chunk: None };
        let (m, n, coordinatewise) = (Some(100), None, true);
        let request = StreamOptions {
            kind,
            m,
            n,
            seed: 3,
            eps: 0.5,
            delta: 0.1,
            level: 0.9,
            coordinatewise,
            ridge: 0.0,
        };
        LeastSquaresStream::new(request).unwrap()
    }

    /// b = A (1, 2, 3)' + wobble
    fn add(stream: &mut LeastSquaresStream, rows: Range<usize>, wobble: f64) {
        let entry = |k: usize| ((k * k % 2003) as f64 * 0.37).sin();
        let a: Vec<f64> = (D * rows.start..D * rows.end).map(entry).collect();
        let clean = a.chunks(D).map(|row| row[0] + 2.0 * row[1] + 3.0 * row[2]);
        let b: Vec<f64> = clean.zip(rows.clone()).map(|(b, row)| b + wobble * (row as f64).cos()).collect();
        let block = StreamBlock {
            design: Matrix::Dense(Dense::row_major(&a, rows.len(), D)),
            targets: Dense::column_major(&b, rows.len(), 1),
            weights: None,
            vector: true,
            names: Names::default(),
        };
        stream.partial_fit(&Context::new(1), &block, Some(rows.start as u64)).unwrap();
    }

    fn answer(stream: &LeastSquaresStream) -> SketchAnswer {
        let quantiles = Quantiles { pointwise: 2.0, simultaneous: 3.0, median: 1.0 };
        stream.result(&Context::new(2), &quantiles).unwrap()
    }

    #[test]
    fn exact_targets_are_recovered() {
        let mut stream = stream();
        add(&mut stream, 0..N, 0.0);
        let answers = answer(&stream);
        assert_eq!(answers.rank, D);
        for (j, &x) in answers.x.as_slice().iter().enumerate() {
            assert!((x - (j + 1) as f64).abs() <= answers.half_width[(j, 0)].min(1e-12));
        }
    }

    #[test]
    fn the_cut_of_a_stream_and_a_way_through_bytes_change_nothing() {
        let (mut whole, mut cut) = (stream(), stream());
        add(&mut whole, 0..N, 0.3);
        add(&mut cut, 0..700, 0.3);
        let mut cut = LeastSquaresStream::from_bytes(&context(), &cut.to_bytes(&context()).unwrap()).unwrap();
        add(&mut cut, 700..N, 0.3);
        let (whole, cut) = (answer(&whole), answer(&cut));
        assert_eq!(whole.x.as_slice(), cut.x.as_slice());
        assert_eq!(whole.simultaneous.as_slice(), cut.simultaneous.as_slice());
        assert!(whole.eps > 0.0 && whole.residual_norm[0] > 1.0);
    }

    #[test]
    fn bytes_whose_parts_do_not_fit_are_refused() {
        let mut stream = stream();
        add(&mut stream, 0..10, 0.3);
        let refused = |saved: &Saved<'_>| {
            let bytes = state::to_bytes(&context(), KIND, VERSION, saved).unwrap();
            matches!(LeastSquaresStream::from_bytes(&context(), &bytes), Err(Error::State(_)))
        };
        assert!(!refused(&stream.save(&context()).unwrap()));
        let mut wider = stream.save(&context()).unwrap();
        wider.seen.as_mut().unwrap().shape.d = D + 1;
        assert!(refused(&wider));
        let mut named = stream.save(&context()).unwrap();
        named.seen.as_mut().unwrap().names = Names::new(Some(vec!["a".into()]));
        assert!(refused(&named));
    }

    #[test]
    fn parameters_out_of_their_domains_are_refused_in_bytes_too() {
        type Change = fn(&mut StreamOptions, f64);
        let sound = stream().request;
        let with = |change: Change, value| {
            let mut request = sound.clone();
            change(&mut request, value);
            request
        };
        let changes: [(Change, &[f64]); 4] = [
            (|request, value| request.eps = value, &[f64::NAN, -1.0, 0.0, f64::INFINITY]),
            (|request, value| request.delta = value, &[f64::NAN, -1.0, 0.0, 1.0, 2.0]),
            (|request, value| request.level = value, &[f64::NAN, -1.0, 0.0, 1.0, 2.0]),
            (|request, value| request.ridge = value, &[f64::NAN, -1.0, f64::INFINITY]),
        ];
        for (change, values) in changes {
            for &value in values {
                let request = with(change, value);
                let saved = Saved { request: request.clone(), seen: None };
                let bytes = state::to_bytes(&context(), KIND, VERSION, &saved).unwrap();
                assert!(
                    matches!(LeastSquaresStream::from_bytes(&context(), &bytes), Err(Error::State(_))),
                    "{request:?}"
                );
                assert!(matches!(LeastSquaresStream::new(request), Err(Error::Value { .. })));
            }
        }
    }

    #[test]
    fn columns_in_another_order_are_refused_by_name() {
        let block = |names: [&str; 2]| StreamBlock {
            design: Matrix::Dense(Dense::row_major(&[1.0, 2.0, 3.0, 4.0], 2, 2)),
            targets: Dense::column_major(&[1.0, 2.0], 2, 1),
            weights: None,
            vector: true,
            names: Names::new(Some(names.map(String::from).to_vec())),
        };
        let (mut here, mut there) = (stream(), stream());
        here.partial_fit(&context(), &block(["x", "y"]), None).unwrap();
        let mut here =
            LeastSquaresStream::from_bytes(&context(), &here.to_bytes(&context()).unwrap()).unwrap();
        let refused = here.partial_fit(&context(), &block(["y", "x"]), None).unwrap_err().to_string();
        assert!(refused.contains("`A`") && refused.contains("column 0 is \"y\""), "{refused}");
        there.partial_fit(&context(), &block(["y", "x"]), Some(100)).unwrap();
        assert!(here.merged(&context(), &there).err().unwrap().to_string().contains("`other`"));
        here.partial_fit(&context(), &block(["x", "y"]), None).unwrap();
    }
}
