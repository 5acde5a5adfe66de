//! Bindings of [`crate::sketch`].

use super::convert::{AnyInput, to_array};
use super::enter::enter;
use super::names::named;
use crate::error::{Error, Result};
use crate::matrix::{Mat, Matrix};
use crate::parallel::Context;
use crate::sketch::{self, Kind, Operand, Weights};
use crate::state;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;

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
        let weights = named("weights", weights, &[("signs", Weights::Signs), ("normals", Weights::Normals)])?;
        let kinds = [
            Kind::SparseSign { zeta },
            Kind::CountSketch,
            Kind::Srht,
            Kind::Pht { weights, chunk },
            Kind::Gaussian,
        ];
        let kind = named("kind", kind, &kinds.map(|kind| (name_of(kind), kind)))?;
        Ok(Self { operator: sketch::Sketch::new(kind, m, n, seed, 0)? })
    }

    #[getter]
    fn kind(&self) -> &'static str {
        name_of(self.operator.kind())
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
                parameters
                    .set_item("weights", if weights == Weights::Signs { "signs" } else { "normals" })?;
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
            checked(y, single, "A")
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
            checked(self.operator.apply_transposed(context, &*y.rows(), start..stop)?, single, "Y")
        })?;
        to_array(py, product, single)
    }
}

/// The name that Python has for the class of a family.
fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::SparseSign { .. } => "sparse_sign",
        Kind::CountSketch => "count_sketch",
        Kind::Srht => "srht",
        Kind::Pht { .. } => "pht",
        Kind::Gaussian => "gaussian",
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
pub(super) fn checked(product: Mat<f64>, single: bool, argument: &'static str) -> Result<Mat<f64>> {
    let fits = |&entry: &f64| if single { (entry as f32).is_finite() } else { entry.is_finite() };
    if product.as_slice().iter().all(fits) {
        return Ok(product);
    }
    Err(Error::value(argument, "so large that the product overflows", "smaller entries, or float64"))
}

/// The sketch of a stream; see `nearlin.sketch.Accumulator`.
#[pyclass(frozen, module = "nearlin._core")]
pub struct Accumulator {
    /// Whether the result is to be rounded to single precision.
    single: bool,
    /// Locked by detached threads only, or two of them could wait for each other and the interpreter.
    state: Mutex<sketch::Accumulator>,
}

#[pymethods]
impl Accumulator {
    #[new]
    #[pyo3(signature = (sketch, d, *, single))]
    fn new(py: Python<'_>, sketch: &Sketch, d: usize, single: bool) -> PyResult<Self> {
        let state = enter(py, 1, None, |_| sketch.operator.accumulate(d))?;
        Ok(Self { single, state: Mutex::new(state) })
    }

    #[getter]
    fn single(&self) -> bool {
        self.single
    }

    #[getter]
    fn sketch(&self, py: Python<'_>) -> PyResult<Sketch> {
        self.with(py, 1, |_, state| Ok(Sketch { operator: state.sketch().clone() }))
    }

    #[getter]
    fn d(&self, py: Python<'_>) -> PyResult<usize> {
        self.with(py, 1, |_, state| Ok(state.d()))
    }

    /// The rows so far, as pairs of the first one and the one after the last.
    #[getter]
    fn covered(&self, py: Python<'_>) -> PyResult<Vec<(u64, u64)>> {
        self.with(py, 1, |_, state| Ok(state.covered().map(|rows| (rows.start, rows.end)).collect()))
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
        self.with(py, threads, |context, state| {
            with_operand(&a, |operand| state.partial_fit(context, operand, row_offset))
        })
    }

    #[pyo3(signature = (other, *, threads))]
    fn merge(&self, py: Python<'_>, other: &Self, threads: usize) -> PyResult<()> {
        // A copy, as `other` may be `self`, or another thread may be merging the other way round.
        let other = other.with(py, 1, |_, other| other.copy())?;
        self.with(py, threads, |context, state| state.merge(context, &other))
    }

    #[pyo3(signature = (*, threads))]
    fn result<'py>(&self, py: Python<'py>, threads: usize) -> PyResult<Bound<'py, PyAny>> {
        let y = self.with(py, threads, |context, state| checked(state.result(context)?, self.single, "A"))?;
        to_array(py, y, self.single)
    }

    fn copy(&self, py: Python<'_>) -> PyResult<Self> {
        let state = self.with(py, 1, |_, state| state.copy())?;
        Ok(Self { single: self.single, state: Mutex::new(state) })
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.with(py, 1, |_, state| {
            let state = state.to_bytes()?;
            state::to_bytes(KIND, VERSION, &Saved { single: self.single, state: &state })
        })?;
        Ok(PyBytes::new(py, &bytes))
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        enter(py, 1, None, |_| {
            let saved: Saved<'_> = state::from_bytes(KIND, VERSION, data)?;
            let state = sketch::Accumulator::from_bytes(saved.state)?;
            let operator = state.sketch();
            let (kind, m, n, seed) = (operator.kind(), operator.m(), operator.n(), operator.seed());
            if *operator != sketch::Sketch::new(kind, m, n, seed, 0)? {
                return Err(Error::State("its operator is none of those that Python can name".into()));
            }
            Ok(Self { single: saved.single, state: Mutex::new(state) })
        })
    }
}

impl Accumulator {
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        threads: usize,
        work: impl FnOnce(&Context, &mut sketch::Accumulator) -> Result<T> + Send,
    ) -> PyResult<T> {
        enter(py, threads, None, |context| work(context, &mut *lock(&self.state, context)?))
    }
}

/// Waits for other threads to be done with a state, and can be interrupted while it does.
pub(super) fn lock<'m, T>(state: &'m Mutex<T>, context: &Context) -> Result<MutexGuard<'m, T>> {
    loop {
        match state.try_lock() {
            Ok(state) => return Ok(state),
            Err(TryLockError::Poisoned(_)) => {
                return Err(Error::State("a call that changed it failed half-way".into()));
            }
            Err(TryLockError::WouldBlock) => {
                context.tick()?;
                std::thread::sleep(Duration::from_micros(100));
            }
        }
    }
}

/// Kind and version of the byte form.
const KIND: &str = "sketch stream";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Saved<'a> {
    single: bool,
    #[serde(borrow)]
    state: &'a [u8],
}
