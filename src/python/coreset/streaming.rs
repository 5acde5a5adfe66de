//! Bindings of samples of streams.

use crate::coreset::{self, StreamParams, StreamedShape};
use crate::error::Error;
use crate::linalg::make_workspace;
use crate::matrix::Names;
use crate::memory::collected;
use crate::parallel::Kept;
use crate::python::convert::{AnyInput, Vector, to_array};
use crate::python::enter::{enter, enter_and_commit, snapshot};
use crate::python::sketch::new_bytes;
use numpy::IntoPyArray;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

/// The state of a stream of rows; see `nearlin.StreamingCoreset`.
#[pyclass(frozen, module = "nearlin._core")]
pub struct CoresetStream {
    kept: Kept<coreset::CoresetStream>,
}

#[pymethods]
impl CoresetStream {
    /// Of no rows.
    #[new]
    #[pyo3(signature = (size, *, p, h, by_lewis, seed))]
    fn new(size: usize, p: f64, h: f64, by_lewis: bool, seed: u64) -> Self {
        let params = StreamParams { size, p, h, by_lewis, seed };
        Self { kept: Kept::new(coreset::CoresetStream::new(params)) }
    }

    /// What it was made with: size, p, the power of leverages, whether Lewis weights follow, and the seed.
    #[getter]
    fn parameters(&self, py: Python<'_>) -> PyResult<(usize, f64, f64, bool, u64)> {
        let StreamParams { size, p, h, by_lewis, seed } = *snapshot(py, &self.kept)?.params();
        Ok((size, p, h, by_lewis, seed))
    }

    /// Columns, targets, whether these are one vector, and whether numbers are in single precision.
    #[getter]
    fn shape(&self, py: Python<'_>) -> PyResult<Option<(usize, usize, bool, bool)>> {
        let shape = snapshot(py, &self.kept)?.shape();
        Ok(shape.map(|shape| (shape.width - shape.targets, shape.targets, shape.vector, shape.single)))
    }

    /// Names of the columns, if any block had some.
    #[getter]
    fn names(&self, py: Python<'_>) -> PyResult<Option<Vec<String>>> {
        let stream = snapshot(py, &self.kept)?;
        let copied = |names: &[String]| collected(names.iter().cloned(), "names of columns");
        Ok(stream.names().as_slice().map(copied).transpose()?)
    }

    /// The rows so far, as pairs of the first one and the one after the last.
    #[getter]
    fn covered(&self, py: Python<'_>) -> PyResult<Vec<(u64, u64)>> {
        let stream = snapshot(py, &self.kept)?;
        Ok(collected(stream.covered().map(|rows| (rows.start, rows.end)), "ranges of rows")?)
    }

    /// Takes rows in, the last columns of which are targets, the others those of names, if there are any.
    #[pyo3(signature = (a, *, targets, vector, names, sample_weight, row_offset, threads))]
    fn partial_fit(
        &self,
        py: Python<'_>,
        a: &Bound<'_, PyAny>,
        targets: usize,
        vector: bool,
        names: Option<Vec<String>>,
        sample_weight: Option<&Bound<'_, PyAny>>,
        row_offset: Option<u64>,
        threads: usize,
    ) -> PyResult<()> {
        let names = Names::new(names);
        let weights = Vector::extract_optional(sample_weight, "sample_weight")?;
        let a = AnyInput::extract(a, "A")?;
        enter_and_commit(py, threads, None, |context| {
            let (rows, weights) = (a.rows(), weights.as_ref().map(Vector::as_slice));
            let shape = StreamedShape { width: rows.ncols(), targets, vector, single: a.is_single() };
            if targets >= shape.width {
                return Err(Error::shape("A", "no columns", "at least one"));
            }
            make_workspace()?;
            self.kept.change(
                context,
                |_| false,
                |_| Ok(()),
                |stream| {
                    let mut more = stream.copy()?;
                    more.add(context, &*rows, shape, &names, weights, row_offset)?;
                    Ok(more)
                },
            )
        })
    }

    /// Takes in the rows of another stream.
    #[pyo3(signature = (other, *, threads))]
    fn merge(&self, py: Python<'_>, other: &Self, threads: usize) -> PyResult<()> {
        let other = snapshot(py, &other.kept)?;
        enter_and_commit(py, threads, None, |context| {
            make_workspace()?;
            self.kept.change(context, |_| false, |_| Ok(()), |stream| stream.merged(context, &other))
        })
    }

    /// The sample of the rows so far.
    #[pyo3(signature = (*, threads))]
    fn result<'py>(&self, py: Python<'py>, threads: usize) -> PyResult<Bound<'py, PyDict>> {
        let stream = snapshot(py, &self.kept)?;
        let streamed = enter(py, threads, None, |context| {
            make_workspace()?;
            stream.result(context)
        })?;
        let dict = PyDict::new(py);
        let indices = collected(streamed.indices.iter().map(|&i| i as i64), "a sample of rows")?;
        dict.set_item("indices", indices.into_pyarray(py))?;
        dict.set_item("weights", streamed.weights.into_pyarray(py))?;
        dict.set_item("scores", streamed.scores.into_pyarray(py))?;
        dict.set_item(
            "rows",
            to_array(py, streamed.rows, stream.shape().is_some_and(|shape| shape.single))?,
        )?;
        dict.set_item("expected_size", streamed.expected)?;
        dict.set_item("rank", streamed.rank)?;
        dict.set_item("exact", streamed.distortion)?;
        dict.set_item("rounding", streamed.rounding)?;
        dict.set_item("is_lost", streamed.is_lost)?;
        dict.set_item("is_cut", streamed.is_cut)?;
        Ok(dict)
    }

    fn copy(&self, py: Python<'_>) -> PyResult<Self> {
        let stream = snapshot(py, &self.kept)?;
        Ok(Self { kept: Kept::new(enter(py, 1, None, |_| stream.copy())?) })
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let stream = snapshot(py, &self.kept)?;
        new_bytes(py, stream.byte_size()?, |context, bytes| stream.write(context, bytes))
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        let stream = enter(py, 1, None, |context| coreset::CoresetStream::from_bytes(context, data))?;
        Ok(Self { kept: Kept::new(stream) })
    }
}
