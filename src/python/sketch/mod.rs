//! Bindings of [`crate::sketch`].

pub mod tensor;
pub mod words;

use crate::error::{Error, Result};
use crate::matrix::{Mat, Matrix};
use crate::memory::collected;
use crate::parallel::{Context, Kept};
use crate::python::convert::{AnyInput, named, to_array};
use crate::python::enter::{enter, enter_and_commit, snapshot};
use crate::sketch::{self, Kind, Operand, Weights};
use crate::state;
use pyo3::exceptions::PyMemoryError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A sketching operator; see `nearlin.sketch`.
#[pyclass(frozen, eq, hash, module = "nearlin._core")]
#[derive(PartialEq, Eq, Hash)]
pub struct Sketch {
    operator: sketch::Sketch,
}

#[pymethods]
impl Sketch {
    #[new]
    #[pyo3(signature = (kind, m, n, seed, *, zeta, weights, chunk))]
    fn new(
        kind: &str,
        m: usize,
        n: Option<u64>,
        seed: u64,
        zeta: usize,
        weights: &str,
        chunk: Option<usize>,
    ) -> PyResult<Self> {
        let weights = named(
            "weights",
            weights,
            &[Weights::Signs, Weights::Normals].map(|weights| (weights.name(), weights)),
        )?;
        let kinds = [
            Kind::SparseSign { zeta },
            Kind::CountSketch,
            Kind::Srht,
            Kind::Pht { weights, chunk },
            Kind::Gaussian,
        ];
        let kind = named("kind", kind, &kinds.map(|kind| (kind.name(), kind)))?;
        Ok(Self { operator: sketch::Sketch::new(kind, m, n, seed, 0)? })
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.operator.kind().name()
    }

    #[getter]
    fn m(&self) -> usize {
        self.operator.m()
    }

    #[getter]
    fn n(&self) -> Option<u64> {
        self.operator.n()
    }

    #[getter]
    fn seed(&self) -> u64 {
        self.operator.seed()
    }

    /// What the class in Python takes, in that order.
    #[getter]
    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let parameters = PyDict::new(py);
        parameters.set_item("m", self.m())?;
        parameters.set_item("n", self.n())?;
        match self.operator.kind() {
            Kind::SparseSign { zeta } => parameters.set_item("zeta", zeta)?,
            Kind::Pht { weights, chunk } => {
                parameters.set_item("weights", weights.name())?;
                parameters.set_item("chunk", chunk)?;
            }
            Kind::CountSketch | Kind::Srht | Kind::Gaussian => {}
        }
        parameters.set_item("rng", self.seed())?;
        Ok(parameters)
    }

    #[pyo3(signature = (a, *, row_offset, threads))]
    fn apply<'py>(
        &self,
        py: Python<'py>,
        a: &Bound<'py, PyAny>,
        row_offset: u64,
        threads: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let a = AnyInput::extract(a, "A")?;
        let single = a.is_single();
        let y = enter(py, threads, None, |context| {
            let y = with_operand(&a, |operand| self.operator.apply(context, operand, row_offset))?;
            checked(context, y, single, "A")
        })?;
        to_array(py, y, single)
    }

    #[pyo3(signature = (y, *, start, stop, threads))]
    fn apply_transposed<'py>(
        &self,
        py: Python<'py>,
        y: &Bound<'py, PyAny>,
        start: u64,
        stop: u64,
        threads: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let y = AnyInput::extract(y, "Y")?;
        let single = y.is_single();
        let product = enter(py, threads, None, |context| {
            checked(context, self.operator.apply_transposed(context, &*y.rows(), start..stop)?, single, "Y")
        })?;
        to_array(py, product, single)
    }
}

fn with_operand<R>(a: &AnyInput, work: impl FnOnce(&Operand<'_>) -> R) -> R {
    match a {
        AnyInput::F32(a) => match a.view() {
            Matrix::Dense(a) => work(&Operand::Dense(&a)),
            Matrix::Sparse(a) => work(&Operand::Single(a, None)),
        },
        AnyInput::F64(a) => match a.view() {
            Matrix::Dense(a) => work(&Operand::Dense(&a)),
            Matrix::Sparse(a) => work(&Operand::Double(a, None)),
        },
    }
}

/// The product, unless its entries are too large for the precision of the result.
pub(super) fn checked(
    context: &Context,
    product: Mat<f64>,
    single: bool,
    argument: &'static str,
) -> Result<Mat<f64>> {
    let fits = |&entry: &f64| if single { (entry as f32).is_finite() } else { entry.is_finite() };
    for piece in product.as_slice().chunks(1 << 20) {
        context.tick()?;
        if !piece.iter().all(fits) {
            return Err(Error::value(
                argument,
                "so large that the product overflows",
                "smaller entries, or float64",
            ));
        }
    }
    Ok(product)
}

/// The sketch of a stream; see `nearlin.sketch.Accumulator`.
#[pyclass(frozen, module = "nearlin._core")]
pub struct SketchAccumulator {
    /// Whether the result is to be rounded to single precision.
    single: bool,
    state: Kept<sketch::Accumulator>,
}

#[pymethods]
impl SketchAccumulator {
    #[new]
    #[pyo3(signature = (sketch, d, *, single))]
    fn new(py: Python<'_>, sketch: &Sketch, d: usize, single: bool) -> PyResult<Self> {
        let state = enter(py, 1, None, |context| sketch.operator.accumulate(context, d))?;
        Ok(Self { single, state: Kept::new(state) })
    }

    #[getter]
    fn single(&self) -> bool {
        self.single
    }

    #[getter]
    fn sketch(&self, py: Python<'_>) -> PyResult<Sketch> {
        Ok(Sketch { operator: self.snapshot(py)?.sketch().clone() })
    }

    #[getter]
    fn d(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.snapshot(py)?.d())
    }

    /// The rows so far, as pairs of the first one and the one after the last.
    #[getter]
    fn covered(&self, py: Python<'_>) -> PyResult<Vec<(u64, u64)>> {
        Ok(collected(self.snapshot(py)?.covered().map(|rows| (rows.start, rows.end)), "ranges of rows")?)
    }

    #[pyo3(signature = (a, *, row_offset, threads))]
    fn partial_fit(
        &self,
        py: Python<'_>,
        a: &Bound<'_, PyAny>,
        row_offset: Option<u64>,
        threads: usize,
    ) -> PyResult<()> {
        let a = AnyInput::extract(a, "A")?;
        enter_and_commit(py, threads, None, |context| {
            with_operand(&a, |block| {
                self.state.change(
                    context,
                    |state| state.is_short(block, row_offset),
                    |state| state.add_short(block, row_offset),
                    |state| state.fitted(context, block, row_offset),
                )
            })
        })
    }

    #[pyo3(signature = (other, *, threads))]
    fn merge(&self, py: Python<'_>, other: &Self, threads: usize) -> PyResult<()> {
        let other = other.snapshot(py)?;
        enter_and_commit(py, threads, None, |context| {
            self.state.change(context, |_| false, |_| Ok(()), |state| state.merged(context, &other))
        })
    }

    /// Leaves no row waiting for others; none are to come.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        enter_and_commit(py, 1, None, |context| {
            self.state.change(context, |_| false, |_| Ok(()), |state| state.closed(context))
        })
    }

    #[pyo3(signature = (*, threads))]
    fn result<'py>(&self, py: Python<'py>, threads: usize) -> PyResult<Bound<'py, PyAny>> {
        let state = self.snapshot(py)?;
        let y =
            enter(py, threads, None, |context| checked(context, state.result(context)?, self.single, "A"))?;
        to_array(py, y, self.single)
    }

    fn copy(&self, py: Python<'_>) -> PyResult<Self> {
        let state = self.snapshot(py)?;
        let copy = enter(py, 1, None, |context| state.copy(context))?;
        Ok(Self { single: self.single, state: Kept::new(copy) })
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let state = self.snapshot(py)?;
        let saved = enter(py, 1, None, |context| {
            let saved = Saved { single: self.single, state: state.save(context)? };
            Ok((state::size(&saved)?, saved))
        })?;
        new_bytes(py, saved.0, |context, bytes| state::write(context, KIND, VERSION, &saved.1, bytes))
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        enter(py, 1, None, |context| {
            let saved: Saved<'_> = state::from_bytes(context, KIND, VERSION, data)?;
            let state = sketch::Accumulator::restore(context, saved.state)?;
            let operator = state.sketch();
            let (kind, m, n, seed) = (operator.kind(), operator.m(), operator.n(), operator.seed());
            if *operator != sketch::Sketch::new(kind, m, n, seed, 0)? {
                return Err(Error::State("its operator is none of those that Python can name".into()));
            }
            Ok(Self { single: saved.single, state: Kept::new(state) })
        })
    }
}

impl SketchAccumulator {
    fn snapshot(&self, py: Python<'_>) -> PyResult<Arc<sketch::Accumulator>> {
        snapshot(py, &self.state)
    }
}

/// A bytes object that `write` fills, detached from the interpreter: nobody else knows of it yet.
pub(super) fn new_bytes<'py>(
    py: Python<'py>,
    size: usize,
    write: impl Fn(&Context, &mut [u8]) -> Result<()> + Sync,
) -> PyResult<Bound<'py, PyBytes>> {
    const PIECE: usize = 1 << 22;
    let failed = || Error::Allocation { bytes: size as u128, purpose: "the bytes of a state" };
    let length = isize::try_from(size).map_err(|_| failed())?;
    // SAFETY: a new bytes object of so many bytes, which are not set, or NULL with an exception.
    let bytes =
        unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyBytes_FromStringAndSize(std::ptr::null(), length)) };
    let bytes = bytes
        .map_err(|error| if error.is_instance_of::<PyMemoryError>(py) { failed().into() } else { error })?;
    // SAFETY: the address of a bytes object's content.
    let start = unsafe { ffi::PyBytes_AsString(bytes.as_ptr()) } as usize;
    enter(py, 1, None, |context| {
        let start = start as *mut u8;
        for at in (0..size).step_by(PIECE) {
            context.tick()?;
            // SAFETY: within the content, which is this call's alone.
            unsafe { start.add(at).write_bytes(0, PIECE.min(size - at)) };
        }
        // SAFETY: all of it has been set.
        write(context, unsafe { std::slice::from_raw_parts_mut(start, size) })
    })?;
    Ok(bytes.cast_into()?)
}

/// Kind and version of the byte form.
const KIND: &str = "sketch stream";
const VERSION: u32 = 2;

#[derive(Serialize, Deserialize)]
struct Saved<'a> {
    single: bool,
    #[serde(borrow)]
    state: sketch::Saved<'a>,
}
