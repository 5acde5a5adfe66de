//! Bindings of the triangular factor of a stream.

use super::lstsq::to_dict;
use crate::error::Result;
use crate::matrix::{Names, Real};
use crate::memory::{collected, gathered};
use crate::parallel::{Context, Kept, Pending};
use crate::python::convert::{AnyInput, Input, Vector, either_precision, to_numpy};
use crate::python::enter::{enter, enter_and_commit, snapshot};
use crate::python::sketch::new_bytes;
use crate::regression::{self, CentredFactor, StreamBlock, StreamShape};
use numpy::IntoPyArray;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::sync::Arc;

/// Exact least squares of a stream; see `nearlin.StreamingLeastSquares`.
#[pyclass(frozen, module = "nearlin._core")]
pub struct TriangularStream {
    state: Kept<regression::TriangularStream>,
}

#[pymethods]
impl TriangularStream {
    #[new]
    #[pyo3(signature = (*, fit_intercept))]
    fn new(fit_intercept: bool) -> Self {
        Self { state: Kept::new(regression::TriangularStream::new(fit_intercept)) }
    }

    #[getter]
    fn fit_intercept(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.snapshot(py)?.fit_intercept())
    }

    #[getter]
    fn is_closed(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.snapshot(py)?.is_closed())
    }

    /// Columns of A, targets, whether these are one vector, and whether numbers are in single precision; None before the
    /// first block.
    #[getter]
    fn shape(&self, py: Python<'_>) -> PyResult<Option<(usize, usize, bool, bool)>> {
        let shape = self.snapshot(py)?.shape();
        Ok(shape.map(|StreamShape { d, k, vector, single }| (d, k, vector, single)))
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

    #[pyo3(signature = (a, b, *, sample_weight, vector, names, row_offset, threads))]
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
    ) -> PyResult<()> {
        let weights = Vector::extract_optional(sample_weight, "sample_weight")?;
        let weights = weights.as_ref().map(Vector::as_slice);
        let arrived = Arrived { weights, vector, names: Names::new(names), row_offset };
        either_precision!(AnyInput::extract(a, "A")?, |a| {
            let b = Input::extract(b, "b")?;
            enter_and_commit(py, threads, None, |context| arrived.add_to(&self.state, context, &a, &b))
        })
    }

    /// Takes rows out that came in before.
    #[pyo3(signature = (a, b, *, sample_weight, vector, names, row_offset, threads))]
    fn remove(
        &self,
        py: Python<'_>,
        a: &Bound<'_, PyAny>,
        b: &Bound<'_, PyAny>,
        sample_weight: Option<&Bound<'_, PyAny>>,
        vector: bool,
        names: Option<Vec<String>>,
        row_offset: Option<u64>,
        threads: usize,
    ) -> PyResult<()> {
        let weights = Vector::extract_optional(sample_weight, "sample_weight")?;
        let weights = weights.as_ref().map(Vector::as_slice);
        let arrived = Arrived { weights, vector, names: Names::new(names), row_offset };
        either_precision!(AnyInput::extract(a, "A")?, |a| {
            let b = Input::extract(b, "b")?;
            enter_and_commit(py, threads, None, |context| arrived.remove_from(&self.state, context, &a, &b))
        })
    }

    /// Takes in the rows of others, in their order.
    #[pyo3(signature = (others, *, threads))]
    fn merge(&self, py: Python<'_>, others: Vec<PyRef<'_, Self>>, threads: usize) -> PyResult<()> {
        let others = gathered(others.iter().map(|other| other.snapshot(py)), STREAMS)?;
        enter_and_commit(py, threads, None, |context| {
            let others = collected(others.iter().map(|other| &**other), STREAMS)?;
            self.state.change(context, |_| false, |_| Ok(()), |stream| stream.merged(context, &others))
        })
    }

    /// Leaves no row waiting for others; none are to come.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        enter_and_commit(py, 1, None, |context| {
            self.state.change(context, |_| false, |_| Ok(()), regression::TriangularStream::closed)
        })
    }

    /// Answers, as `lstsq` gives them, and the logarithm of the product of the weights.
    #[pyo3(signature = (*, ridge, threads))]
    fn solve<'py>(&self, py: Python<'py>, ridge: f64, threads: usize) -> PyResult<(Bound<'py, PyDict>, f64)> {
        let stream = self.snapshot(py)?;
        let (output, single, log_weight) = enter(py, threads, None, |context| {
            let single = stream.shape().is_some_and(|shape| shape.single);
            Ok((stream.solve(context, ridge)?, single, stream.factor()?.weights.log_product()))
        })?;
        Ok((to_dict(py, output, single)?, log_weight))
    }

    /// Coefficients for all ridges, (columns, ridges times targets), and intercepts.
    fn ridge_path<'py>(
        &self,
        py: Python<'py>,
        ridges: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, PyAny>, Vec<f64>)> {
        let (stream, ridges) = (self.snapshot(py)?, Vector::<f64>::extract(ridges, "alphas")?);
        let (coefficients, intercepts) =
            enter(py, 1, None, |context| stream.ridge_path(context, ridges.as_slice()))?;
        Ok((to_numpy::<f64>(py, coefficients)?, intercepts))
    }

    /// The triangular factor of the rows [A, B] times the roots of their weights, centred if there is an intercept; the
    /// means then, the root of the sum of the weights, and how many of them are positive.
    fn factor<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stream = self.snapshot(py)?;
        let (triangle, factor) = enter(py, 1, None, |_| {
            let factor = stream.factor()?;
            Ok((factor.triangle()?, factor))
        })?;
        let CentredFactor { means, weight_norm, weights, .. } = factor;
        let dict = PyDict::new(py);
        dict.set_item("triangle", to_numpy::<f64>(py, triangle)?)?;
        dict.set_item("weight_norm", means.is_some().then_some(weight_norm))?;
        dict.set_item("means", means.map(|means| means.into_pyarray(py)))?;
        dict.set_item("observations", weights.count)?;
        Ok(dict)
    }

    fn copy(&self, py: Python<'_>) -> PyResult<Self> {
        let stream = self.snapshot(py)?;
        Ok(Self { state: Kept::new(enter(py, 1, None, |_| stream.copy())?) })
    }

    /// The state as bytes, with words of the caller beside it.
    fn to_bytes<'py>(&self, py: Python<'py>, words: String) -> PyResult<Bound<'py, PyBytes>> {
        let stream = self.snapshot(py)?;
        let saved = enter(py, 1, None, |_| stream.save(words))?;
        new_bytes(py, saved.size()?, |context, bytes| saved.write(context, bytes))
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> PyResult<(Self, String)> {
        let (stream, words) =
            enter(py, 1, None, |context| regression::TriangularStream::from_bytes(context, data))?;
        Ok((Self { state: Kept::new(stream) }, words))
    }
}

const STREAMS: &str = "a list of streams";

impl TriangularStream {
    fn snapshot(&self, py: Python<'_>) -> PyResult<Arc<regression::TriangularStream>> {
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
        stream: &'k Kept<regression::TriangularStream>,
        context: &Context,
        a: &Input<T>,
        b: &Input<T>,
    ) -> Result<Option<Pending<'k, regression::TriangularStream>>> {
        let Self { weights, vector, names, row_offset } = self;
        let targets = b.dense_view("b")?;
        let block = StreamBlock { design: a.view(), targets, weights, vector, names };
        stream.change(
            context,
            |stream| stream.is_short(&block),
            |stream| stream.add_short(&block, row_offset),
            |stream| stream.fitted(context, &block, row_offset),
        )
    }

    fn remove_from<'k, T: Real + numpy::Element>(
        self,
        stream: &'k Kept<regression::TriangularStream>,
        context: &Context,
        a: &Input<T>,
        b: &Input<T>,
    ) -> Result<Option<Pending<'k, regression::TriangularStream>>> {
        let Self { weights, vector, names, row_offset } = self;
        let targets = b.dense_view("b")?;
        let block = StreamBlock { design: a.view(), targets, weights, vector, names };
        let without = |stream: &regression::TriangularStream| stream.without(context, &block, row_offset);
        stream.change(context, |_| false, |_| Ok(()), without)
    }
}
