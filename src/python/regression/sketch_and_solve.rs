//! Bindings of sketch-and-solve, of which a stream is the one form.

use crate::error::{Error, Result};
use crate::matrix::{Names, Real};
use crate::memory::collected;
use crate::parallel::{Context, Kept, Pending};
use crate::python::convert::{AnyInput, Input, Vector, either_precision, to_array, to_numpy};
use crate::python::enter::{enter, enter_and_commit, snapshot};
use crate::python::sketch::new_bytes;
use crate::python::sketch::words::{name_of_sketch, sketch_named};
use crate::regression::{self, Quantiles, StreamBlock, StreamOptions, StreamShape};
use numpy::IntoPyArray;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::sync::Arc;

/// Rows of a dense sketch by the theorem; see `nearlin.sketch_and_solve`.
#[pyfunction]
pub fn sketch_and_solve_rows(d: usize, eps: f64, delta: f64) -> PyResult<usize> {
    Ok(regression::row_count(d, eps, delta)?)
}

/// The eps of the theorem for a sketch of m rows.
#[pyfunction]
pub fn sketch_and_solve_eps(d: usize, m: usize, delta: f64) -> f64 {
    regression::eps_of_rows(d, m, delta)
}

/// Least squares of a stream; see `nearlin.StreamingLeastSquares`.
#[pyclass(frozen, module = "nearlin._core")]
pub struct LeastSquaresStream {
    state: Kept<regression::LeastSquaresStream>,
}

#[pymethods]
impl LeastSquaresStream {
    #[new]
    #[pyo3(signature = (sketch, *, sketch_size, n, seed, eps, delta, level, coordinatewise, ridge))]
    fn new(
        sketch: &str,
        sketch_size: Option<usize>,
        n: Option<u64>,
        seed: u64,
        eps: f64,
        delta: f64,
        level: f64,
        coordinatewise: bool,
        ridge: f64,
    ) -> PyResult<Self> {
        let kind = sketch_named(sketch)?;
        let request =
            StreamOptions { kind, m: sketch_size, n, seed, eps, delta, level, coordinatewise, ridge };
        Ok(Self { state: Kept::new(regression::LeastSquaresStream::new(request)?) })
    }

    /// What it was made with, by the names that `nearlin.StreamingLeastSquares` has for it.
    #[getter]
    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let request = self.snapshot(py)?.request().clone();
        let StreamOptions { kind, m, n, seed, eps, delta, level, coordinatewise, ridge } = request;
        let parameters = PyDict::new(py);
        parameters.set_item("guarantee", coordinatewise.then_some("linf"))?;
        parameters.set_item("eps", eps)?;
        parameters.set_item("delta", delta)?;
        parameters.set_item("level", level)?;
        parameters.set_item("sketch", name_of_sketch(kind))?;
        parameters.set_item("sketch_size", m)?;
        parameters.set_item("ridge", ridge)?;
        parameters.set_item("n", n)?;
        parameters.set_item("rng", seed)?;
        Ok(parameters)
    }

    /// Columns of A, targets, rows of the sketch, and whether the targets are one vector; None before the first block.
    #[getter]
    fn shape(&self, py: Python<'_>) -> PyResult<Option<(usize, usize, usize, bool)>> {
        let stream = self.snapshot(py)?;
        Ok(stream.shape().map(|(StreamShape { d, k, vector, .. }, sketch)| (d, k, sketch.m(), vector)))
    }

    /// Names of the columns of A, if they have any.
    #[getter]
    fn names(&self, py: Python<'_>) -> PyResult<Option<Vec<String>>> {
        let stream = self.snapshot(py)?;
        Ok(stream.names().map(|names| collected(names.iter().cloned(), "names")).transpose()?)
    }

    /// How often rows came in.
    #[getter]
    fn changes(&self) -> u64 {
        self.state.changes()
    }

    /// The rows so far, as pairs of the first one and the one after the last.
    #[getter]
    fn covered(&self, py: Python<'_>) -> PyResult<Vec<(u64, u64)>> {
        Ok(collected(self.snapshot(py)?.covered().map(|rows| (rows.start, rows.end)), "ranges of rows")?)
    }

    #[pyo3(signature = (a, b, *, sample_weight, vector, names, row_offset, threads, progress))]
    fn partial_fit(
        &self,
        py: Python<'_>,
        a: &Bound<'_, PyAny>,
        b: &Bound<'_, PyAny>,
        sample_weight: Option<&Bound<'_, PyAny>>,
        vector: bool,
        names: Option<Vec<String>>,
        row_offset: Option<u64>,
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let weights = Vector::extract_optional(sample_weight, "sample_weight")?;
        let weights = weights.as_ref().map(Vector::as_slice);
        let arrived = Arrived { weights, vector, names: Names::new(names), row_offset };
        either_precision!(AnyInput::extract(a, "A")?, |a| {
            let b = Input::extract(b, "b")?;
            enter_and_commit(py, threads, progress, |context| arrived.add_to(&self.state, context, &a, &b))
        })
    }

    #[pyo3(signature = (other, *, threads))]
    fn merge(&self, py: Python<'_>, other: &Self, threads: usize) -> PyResult<()> {
        let other = other.snapshot(py)?;
        enter_and_commit(py, threads, None, |context| {
            self.state.change(context, |_| false, |_| Ok(()), |stream| stream.merged(context, &other))
        })
    }

    /// Leaves no row waiting for others; none are to come.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        enter_and_commit(py, 1, None, |context| {
            self.state.change(context, |_| false, |_| Ok(()), |stream| stream.closed(context))
        })
    }

    #[pyo3(signature = (*, pointwise, simultaneous, median, threads, progress))]
    fn result<'py>(
        &self,
        py: Python<'py>,
        pointwise: f64,
        simultaneous: f64,
        median: f64,
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let quantiles = Quantiles { pointwise, simultaneous, median };
        let stream = self.snapshot(py)?;
        let (answers, single, chunk) = enter(py, threads, progress, |context| {
            let answers = stream.result(context, &quantiles)?;
            context.progress(STEPS, STEPS, &[("eps", answers.eps)])?;
            Ok((answers, stream.shape().is_some_and(|(shape, _)| shape.single), stream.chunk()))
        })?;
        let dict = PyDict::new(py);
        dict.set_item("x", to_array(py, answers.x, single)?)?;
        dict.set_item("half_width", to_numpy::<f64>(py, answers.half_width)?)?;
        dict.set_item("simultaneous", to_numpy::<f64>(py, answers.simultaneous)?)?;
        dict.set_item("residual_norm", answers.residual_norm.into_pyarray(py))?;
        dict.set_item("rank", answers.rank)?;
        dict.set_item("estimate", answers.estimate)?;
        dict.set_item("unit", answers.unit)?;
        dict.set_item("rounding", answers.rounding)?;
        dict.set_item("eps", answers.eps)?;
        if let Some((rows, one)) = chunk {
            dict.set_item("chunk", rows)?;
            dict.set_item("one_chunk", one)?;
        }
        Ok(dict)
    }

    fn copy(&self, py: Python<'_>) -> PyResult<Self> {
        let stream = self.snapshot(py)?;
        Ok(Self { state: Kept::new(enter(py, 1, None, |context| stream.copy(context))?) })
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let stream = self.snapshot(py)?;
        let saved = enter(py, 1, None, |context| stream.save(context))?;
        new_bytes(py, saved.size()?, |context, bytes| saved.write(context, bytes))
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        let stream = enter(py, 1, None, |context| {
            let stream = regression::LeastSquaresStream::from_bytes(context, data)?;
            match name_of_sketch(stream.request().kind) {
                Some(_) => Ok(stream),
                None => Err(Error::State("its operator is none of those that Python can name".into())),
            }
        })?;
        Ok(Self { state: Kept::new(stream) })
    }
}

/// Steps that progress is counted in: the sketch of one block, and the answer.
const STEPS: usize = 2;

impl LeastSquaresStream {
    fn snapshot(&self, py: Python<'_>) -> PyResult<Arc<regression::LeastSquaresStream>> {
        snapshot(py, &self.state)
    }
}

/// What comes with a block beside the arrays.
struct Arrived<'c> {
    weights: Option<&'c [f64]>,
    vector: bool,
    names: Names,
    row_offset: Option<u64>,
}

impl Arrived<'_> {
    fn add_to<'k, T: Real + numpy::Element>(
        self,
        stream: &'k Kept<regression::LeastSquaresStream>,
        context: &Context,
        a: &Input<T>,
        b: &Input<T>,
    ) -> Result<Option<Pending<'k, regression::LeastSquaresStream>>> {
        let Self { weights, vector, names, row_offset } = self;
        let targets = b.dense_view("b")?;
        context.progress(0, STEPS, &[])?;
        let block = StreamBlock { design: a.view(), targets, weights, vector, names };
        stream.change(
            context,
            |stream| stream.is_short(&block, row_offset),
            |stream| stream.add_short(&block, row_offset),
            |stream| stream.fitted(context, &block, row_offset),
        )
    }
}
