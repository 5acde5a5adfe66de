//! Least squares of a stream: the sketch of its rows [A, B] so far.

use super::row_count::row_count;
use super::sketch_and_solve::{Quantiles, Sketched, sketch_and_solve};
use crate::error::{Error, Result};
use crate::matrix::{Dense, Matrix, Real, Rows};
use crate::parallel::Context;
use crate::sketch::{Accumulator, Kind, Operand, Sketch, Weights};
use crate::state;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What is asked of the answers, before a row has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
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

/// Rows of [A, B] with their weights.
pub struct Block<'a, T> {
    /// n x d.
    pub design: Matrix<'a, T>,
    /// n x k.
    pub targets: Dense<'a, T>,
    /// One non-negative weight for every row.
    pub weights: Option<&'a [f64]>,
    /// Whether the caller thinks of the targets as one vector.
    pub vector: bool,
}

/// What a stream has come to.
pub struct Stream {
    request: Request,
    /// From the first block on.
    seen: Option<Seen>,
}

struct Seen {
    shape: Shape,
    rows: Accumulator,
}

/// What the first block says of all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// Columns of A.
    pub d: usize,
    /// Targets.
    pub k: usize,
    /// Whether they are one vector.
    pub vector: bool,
    /// Whether all numbers so far were of single precision, so that answers are.
    pub single: bool,
}

impl Stream {
    /// A stream of which nothing has come.
    pub fn new(request: Request) -> Result<Self> {
        let Request { kind, m, n, seed, .. } = request;
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
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// What the first block said, and the sketch made for it.
    pub fn shape(&self) -> Option<(Shape, &Sketch)> {
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
        block: &Block<'_, T>,
        row_offset: Option<u64>,
    ) -> Result<()> {
        block.check()?;
        if let Some(seen) = &mut self.seen {
            return seen.add(context, block, row_offset);
        }
        let shape = block.shape();
        let rows = self.request.sketch(shape)?.accumulate(shape.d + shape.k)?;
        let mut seen = Seen { shape, rows };
        seen.add(context, block, row_offset)?;
        self.seen = Some(seen);
        Ok(())
    }

    /// Adds the rows of another stream, all of which must be new to this one.
    pub fn merge(&mut self, context: &Context, other: &Self) -> Result<()> {
        if self.request != other.request {
            let (found, expected) =
                (format!("for {:?}", other.request), format!("one for {:?}", self.request));
            return Err(Error::value("other", found, expected));
        }
        match (&mut self.seen, &other.seen) {
            (_, None) => {}
            (None, Some(other)) => self.seen = Some(other.copy()?),
            (Some(seen), Some(other)) => {
                if (seen.shape.d, seen.shape.k) != (other.shape.d, other.shape.k) {
                    let columns = |shape: Shape| format!("{} columns and {} targets", shape.d, shape.k);
                    return Err(Error::shape("other", columns(other.shape), columns(seen.shape)));
                }
                seen.rows.merge(context, &other.rows)?;
                seen.shape.single &= other.shape.single;
            }
        }
        Ok(())
    }

    /// Rows that the sketch works on together, and whether all rows so far are in the first such chunk.
    pub fn chunk(&self) -> Option<(usize, bool)> {
        let rows = &self.seen.as_ref()?.rows;
        let end = rows.covered().last().map_or(0, |last| last.end);
        Some((rows.chunk(), end <= rows.chunk() as u64))
    }

    /// The answers from the rows so far.
    pub fn result(&self, context: &Context, quantiles: &Quantiles) -> Result<Sketched> {
        let seen = self.seen.as_ref().filter(|seen| seen.rows.rows() > 0);
        let Seen { shape, rows } =
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
    pub fn copy(&self) -> Result<Self> {
        let seen = self.seen.as_ref().map(Seen::copy).transpose()?;
        Ok(Self { request: self.request.clone(), seen })
    }
}

impl Seen {
    fn add<T: Real>(
        &mut self,
        context: &Context,
        block: &Block<'_, T>,
        row_offset: Option<u64>,
    ) -> Result<()> {
        let (ours, theirs) = (self.shape, block.shape());
        if theirs.d != ours.d {
            return Err(Error::shape("A", format!("{} columns", theirs.d), ours.d));
        }
        if theirs.k != ours.k {
            return Err(Error::shape("b", format!("{} columns", theirs.k), ours.k));
        }
        let roots = block.weights.map(|weights| weights.iter().map(|weight| weight.sqrt()).collect());
        self.rows.partial_fit(context, &Operand::Dense(&Weighted { block, roots }), row_offset)?;
        self.shape.single &= theirs.single;
        Ok(())
    }

    fn copy(&self) -> Result<Self> {
        Ok(Self { shape: self.shape, rows: self.rows.copy()? })
    }
}

impl Request {
    /// The sketch for a problem of that shape.
    fn sketch(&self, shape: Shape) -> Result<Sketch> {
        let Shape { d, k, .. } = shape;
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

impl<T: Real> Block<'_, T> {
    /// Refuses what the sketch of [A, B] would not name rightly.
    fn check(&self) -> Result<()> {
        let (n, k) = (self.design.nrows(), self.targets.ncols());
        if self.targets.nrows() != n {
            return Err(Error::shape("b", format!("{} rows", self.targets.nrows()), n));
        }
        if let Some(weights) = self.weights.filter(|weights| weights.len() != n) {
            return Err(Error::shape("sample_weight", format!("length {}", weights.len()), n));
        }
        for (row, target) in (0..n).flat_map(|row| (0..k).map(move |target| (row, target))) {
            let value = self.targets.get(row, target).to_f64();
            if !value.is_finite() {
                return Err(Error::non_finite("b", value, format!("[{row}, {target}]")));
            }
        }
        Ok(())
    }

    fn shape(&self) -> Shape {
        let single = T::as_f64(&[]).is_none();
        Shape { d: self.design.ncols(), k: self.targets.ncols(), vector: self.vector, single }
    }
}

/// The rows of a block times the roots of their weights.
struct Weighted<'p, 'a, T> {
    block: &'p Block<'a, T>,
    roots: Option<Vec<f64>>,
}

impl<T: Real> Weighted<'_, '_, T> {
    fn of_design<'b>(
        &'b self,
        rows: Range<usize>,
        cols: Range<usize>,
        buffer: &'b mut Vec<f64>,
    ) -> Dense<'b, f64> {
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
    ) -> Dense<'b, f64> {
        let d = self.block.design.ncols();
        if cols.end <= d && self.roots.is_none() {
            return self.of_design(rows, cols, buffer);
        }
        let (count, width) = (rows.len(), cols.len());
        let (of_design, of_targets) =
            (cols.start.min(d)..cols.end.min(d), cols.start.max(d)..cols.end.max(d));
        let mut scratch = Vec::new();
        let design = self.of_design(rows.clone(), of_design, &mut scratch);
        buffer.clear();
        for (i, row) in rows.enumerate() {
            let root = self.roots.as_ref().map_or(1.0, |roots| roots[row]);
            buffer.extend(design.row(i).unwrap_or(&[]).iter().map(|entry| entry * root));
            let target = |column: usize| self.block.targets.get(row, column - d).to_f64() * root;
            buffer.extend(of_targets.clone().map(target));
        }
        Dense::row_major(buffer, count, width)
    }
}

/// Kind and version of the byte form.
const KIND: &str = "least squares";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Saved<'a> {
    request: Request,
    #[serde(borrow)]
    seen: Option<(Shape, &'a [u8])>,
}

/// The byte form.
impl Stream {
    /// The state as bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let rows = self.seen.as_ref().map(|seen| seen.rows.to_bytes()).transpose()?;
        let seen = self.seen.as_ref().zip(rows.as_deref()).map(|(seen, rows)| (seen.shape, rows));
        state::to_bytes(KIND, VERSION, &Saved { request: self.request.clone(), seen })
    }

    /// The state that [`Stream::to_bytes`] gave, or [`Error::State`] for any other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let Saved { request, seen } = state::from_bytes(KIND, VERSION, bytes)?;
        let unsound = || Error::State("its parts do not fit together".into());
        let mut stream = Self::new(request).map_err(|_| unsound())?;
        if let Some((shape, rows)) = seen {
            let rows = Accumulator::from_bytes(rows)?;
            let sketch = stream.request.sketch(shape).map_err(|_| unsound())?;
            if Some(rows.d()) != shape.d.checked_add(shape.k) || *rows.sketch() != sketch {
                return Err(unsound());
            }
            stream.seen = Some(Seen { shape, rows });
        }
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sketch::Weights;

    const D: usize = 3;
    const N: usize = 1500;

    fn stream() -> Stream {
        let kind = Kind::Pht { weights: Weights::Signs, chunk: None };
        let (m, n, coordinatewise) = (Some(100), None, true);
        let request =
            Request { kind, m, n, seed: 3, eps: 0.5, delta: 0.1, level: 0.9, coordinatewise, ridge: 0.0 };
        Stream::new(request).unwrap()
    }

    /// b = A (1, 2, 3)' + wobble
    fn add(stream: &mut Stream, rows: Range<usize>, wobble: f64) {
        let entry = |k: usize| ((k * k % 2003) as f64 * 0.37).sin();
        let a: Vec<f64> = (D * rows.start..D * rows.end).map(entry).collect();
        let clean = a.chunks(D).map(|row| row[0] + 2.0 * row[1] + 3.0 * row[2]);
        let b: Vec<f64> = clean.zip(rows.clone()).map(|(b, row)| b + wobble * (row as f64).cos()).collect();
        let block = Block {
            design: Matrix::Dense(Dense::row_major(&a, rows.len(), D)),
            targets: Dense::column_major(&b, rows.len(), 1),
            weights: None,
            vector: true,
        };
        stream.partial_fit(&Context::new(1), &block, Some(rows.start as u64)).unwrap();
    }

    fn answer(stream: &Stream) -> Sketched {
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
        let mut cut = Stream::from_bytes(&cut.to_bytes().unwrap()).unwrap();
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
        let seen = stream.seen.as_ref().unwrap();
        let shape = Shape { d: D + 1, ..seen.shape };
        let rows = seen.rows.to_bytes().unwrap();
        let saved = Saved { request: stream.request.clone(), seen: Some((shape, &rows)) };
        let bytes = state::to_bytes(KIND, VERSION, &saved).unwrap();
        assert!(matches!(Stream::from_bytes(&bytes), Err(Error::State(_))));
    }
}
