//! Bindings of [`crate::streaming`].

use crate::error::{Error, Result};
use crate::linalg::make_workspace;
use crate::matrix::Mat;
use crate::parallel::{Context, Kept};
use crate::python::convert::{AnyInput, Vector, either_precision, named};
use crate::python::enter::{enter, enter_and_commit, snapshot};
use crate::python::sketch::new_bytes;
use crate::streaming::{Algorithm, Answer, Order, Params, Quotient, Refinement, Stream};
use numpy::{IntoPyArray, PyArray2, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::sync::Mutex;

/// The state of a stream of rows; see `nearlin.StreamingPCA`.
#[pyclass(frozen, module = "nearlin._core")]
pub struct StreamingPCAState {
    kept: Kept<Stream>,
}

#[pymethods]
impl StreamingPCAState {
    /// Of no rows, of `d` numbers each.
    #[new]
    #[pyo3(signature = (d, *, k, order, algorithm, width, heavy, sketch, memory, shuffle, rate, t0, center, single=false, delta, seed))]
    fn new(
        py: Python<'_>,
        d: usize,
        k: usize,
        order: &str,
        algorithm: &str,
        width: usize,
        heavy: usize,
        sketch: usize,
        memory: Option<u64>,
        shuffle: usize,
        rate: Option<f64>,
        t0: Option<f64>,
        center: bool,
        single: bool,
        delta: f64,
        seed: u64,
    ) -> PyResult<Self> {
        let order = named("order", order, &[("random", Order::Random), ("arbitrary", Order::Arbitrary)])?;
        let algorithm = named("algorithm", algorithm, &Algorithm::NAMES)?;
        let params = Params {
            k,
            order,
            algorithm,
            width,
            heavy,
            sketch,
            memory,
            shuffle,
            rate,
            t0,
            center,
            single,
            delta,
            seed,
        };
        let stream = enter(py, 1, None, |context| Stream::new(context, params, d))?;
        Ok(Self { kept: Kept::new(stream) })
    }

    /// Takes rows in, with the roots of their weights.
    #[pyo3(signature = (x, *, roots, threads))]
    fn add(
        &self,
        py: Python<'_>,
        x: &Bound<'_, PyAny>,
        roots: Option<&Bound<'_, PyAny>>,
        threads: usize,
    ) -> PyResult<()> {
        let (x, roots) = weighted(x, roots)?;
        enter_and_commit(py, threads, None, |context| {
            let roots = roots.as_ref().map(Vector::as_slice);
            make_workspace()?;
            either_precision!(&x, |x| self.kept.change(
                context,
                |stream| stream.only_waits(x.view().nrows()),
                |stream| stream.add(context, x.view(), roots),
                |stream| {
                    let mut more = stream.copy()?;
                    more.add(context, x.view(), roots)?;
                    Ok(more)
                },
            ))
        })
    }

    /// Takes rows out again.
    #[pyo3(signature = (x, *, roots, threads))]
    fn delete(
        &self,
        py: Python<'_>,
        x: &Bound<'_, PyAny>,
        roots: Option<&Bound<'_, PyAny>>,
        threads: usize,
    ) -> PyResult<()> {
        let (x, roots) = weighted(x, roots)?;
        self.change_anew(py, threads, |context, stream| {
            let mut fewer = stream.copy()?;
            fewer.delete(context, &*x.rows(), roots.as_ref().map(Vector::as_slice))?;
            Ok(fewer)
        })
    }

    /// Takes in the rows of another stream.
    #[pyo3(signature = (other, *, approximate, threads))]
    fn merge(&self, py: Python<'_>, other: &Self, approximate: bool, threads: usize) -> PyResult<()> {
        let other = snapshot(py, &other.kept)?;
        self.change_anew(py, threads, |context, stream| stream.merged(context, &other, approximate))
    }

    /// What the rows so far say.
    #[pyo3(signature = (*, threads))]
    fn answer<'py>(&self, py: Python<'py>, threads: usize) -> PyResult<Bound<'py, PyDict>> {
        let stream = snapshot(py, &self.kept)?;
        let answer = enter(py, threads, None, |context| {
            make_workspace()?;
            stream.answer(context)
        })?;
        to_dict(py, answer, stream.plan().d)
    }

    /// Rows so far.
    #[getter]
    fn seen(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(snapshot(py, &self.kept)?.seen())
    }

    /// Grows with every row that comes or goes.
    #[getter]
    fn stamp(&self, py: Python<'_>) -> PyResult<(u64, u64)> {
        Ok(snapshot(py, &self.kept)?.stamp())
    }

    /// What is done, and the bytes that it takes.
    #[getter]
    fn plan<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (stream, dict) = (snapshot(py, &self.kept)?, PyDict::new(py));
        let plan = stream.plan();
        dict.set_item("algorithm", plan.algorithm.name())?;
        dict.set_item("d", plan.d)?;
        dict.set_item("width", plan.width)?;
        dict.set_item("heavy", plan.heavy)?;
        dict.set_item("bytes", stream.bytes())?;
        Ok(dict)
    }

    fn copy(&self, py: Python<'_>) -> PyResult<Self> {
        let stream = snapshot(py, &self.kept)?;
        Ok(Self { kept: Kept::new(enter(py, 1, None, |_| stream.copy())?) })
    }

    /// Bytes, with words that come back with them.
    fn to_bytes<'py>(&self, py: Python<'py>, words: String) -> PyResult<Bound<'py, PyBytes>> {
        let stream = snapshot(py, &self.kept)?;
        let saved = stream.save(words);
        new_bytes(py, saved.size()?, |context, bytes| saved.write(context, bytes))
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> PyResult<(Self, String)> {
        let (stream, words) = enter(py, 1, None, |context| Stream::from_bytes(context, data))?;
        Ok((Self { kept: Kept::new(stream) }, words))
    }
}

impl StreamingPCAState {
    fn change_anew(
        &self,
        py: Python<'_>,
        threads: usize,
        anew: impl FnOnce(&Context, &Stream) -> Result<Stream> + Send,
    ) -> PyResult<()> {
        enter_and_commit(py, threads, None, |context| {
            make_workspace()?;
            self.kept.change(context, |_| false, |_| Ok(()), |stream| anew(context, stream))
        })
    }
}

/// A second pass; see `nearlin.StreamingPCA.refine`.
#[pyclass(frozen, module = "nearlin._core")]
pub struct StreamingPCARefinement {
    pass: Mutex<Option<Refinement>>,
}

fn ended() -> Error {
    Error::Busy("this pass has ended, or another thread is in the middle of it")
}

#[pymethods]
impl StreamingPCARefinement {
    /// Of components, one a row, and the mean of the rows.
    #[new]
    #[pyo3(signature = (components, *, mean, unit))]
    fn new(
        py: Python<'_>,
        components: &Bound<'_, PyAny>,
        mean: Option<&Bound<'_, PyAny>>,
        unit: i32,
    ) -> PyResult<Self> {
        let AnyInput::F64(components) = AnyInput::extract(components, "components")? else {
            return Err(Error::value("components", "in single precision", "float64").into());
        };
        let mean = Vector::<f64>::extract_optional(mean, "mean")?;
        let pass = enter(py, 1, None, |_| {
            let rows = Mat::copy_of(components.dense_view("components")?.t())?;
            let mean = mean.map(|mean| crate::memory::copied(mean.as_slice(), "the mean")).transpose()?;
            Refinement::new(rows.as_slice(), rows.nrows(), mean, unit)
        })?;
        Ok(Self { pass: Mutex::new(Some(pass)) })
    }

    /// Takes rows in, with the roots of their weights.
    #[pyo3(signature = (x, *, roots, threads))]
    fn add(
        &self,
        py: Python<'_>,
        x: &Bound<'_, PyAny>,
        roots: Option<&Bound<'_, PyAny>>,
        threads: usize,
    ) -> PyResult<()> {
        let (x, roots) = weighted(x, roots)?;
        enter(py, threads, None, |context| {
            let mut pass = self.pass.try_lock().map_err(|_| ended())?;
            let pass = pass.as_mut().ok_or_else(ended)?;
            pass.add(context, &*x.rows(), roots.as_ref().map(Vector::as_slice))
        })
    }

    /// Components, eigenvalues, and how far the former ones were off.
    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let pass = self.pass.try_lock().ok().and_then(|mut pass| pass.take()).ok_or_else(ended)?;
        let refined = enter(py, 1, None, |context| {
            make_workspace()?;
            pass.finish(context)
        })?;
        let dict = PyDict::new(py);
        let d = refined.components.len() / refined.eigenvalues.len().max(1);
        dict.set_item("components", to_rows(py, refined.components, d)?)?;
        dict.set_item("eigenvalues", refined.eigenvalues.into_pyarray(py))?;
        dict.set_item("singular_values", refined.singular_values.into_pyarray(py))?;
        dict.set_item("residual", refined.residual)?;
        dict.set_item("rayleigh", refined.rayleigh)?;
        dict.set_item("relative", refined.relative)?;
        Ok(dict)
    }
}

/// Rows, and the roots of their weights.
fn weighted(
    x: &Bound<'_, PyAny>,
    roots: Option<&Bound<'_, PyAny>>,
) -> PyResult<(AnyInput, Option<Vector<f64>>)> {
    Ok((AnyInput::extract(x, "X")?, Vector::extract_optional(roots, "sample_weight")?))
}

/// Rows of `d` numbers as an array.
fn to_rows(py: Python<'_>, rows: Vec<f64>, d: usize) -> PyResult<Bound<'_, PyArray2<f64>>> {
    let count = rows.len().checked_div(d).unwrap_or(0);
    rows.into_pyarray(py).reshape([count, d])
}

fn to_dict(py: Python<'_>, answer: Answer, d: usize) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("components", to_rows(py, answer.components, d)?)?;
    dict.set_item("eigenvalues", answer.eigenvalues.into_pyarray(py))?;
    dict.set_item("mean", answer.mean.map(|mean| mean.into_pyarray(py)))?;
    dict.set_item("energy", answer.energy)?;
    dict.set_item("singular_values", answer.singular_values.into_pyarray(py))?;
    dict.set_item("shares", answer.shares.into_pyarray(py))?;
    dict.set_item("weights", answer.weights)?;
    dict.set_item("n_heavy", answer.n_heavy)?;
    dict.set_item("exact", answer.exact)?;
    dict.set_item("fall", answer.fall)?;
    let quotient = |of: Quotient| [of.heavy, of.light, of.most, of.alike];
    dict.set_item("rayleigh", answer.rayleigh.map(quotient))?;
    dict.set_item("sine", answer.sine)?;
    dict.set_item("growth", answer.growth.map(|grown| (grown.growth, grown.rate, grown.enough)))?;
    dict.set_item("lost", answer.lost)?;
    dict.set_item("merged", answer.merged)?;
    dict.set_item("unit", answer.unit)?;
    dict.set_item("light", answer.light)?;
    Ok(dict)
}
