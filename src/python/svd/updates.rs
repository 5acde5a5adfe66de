//! Bindings of a truncated SVD that follows its matrix.

use crate::error::{Error, Result};
use crate::linalg::make_workspace;
use crate::memory::{collected, copied, gathered};
use crate::parallel::{Context, Kept};
use crate::python::convert::{AnyInput, Vector, either_precision, named, to_array};
use crate::python::enter::{enter, enter_and_commit, snapshot};
use crate::python::sketch::new_bytes;
use crate::python::svd::solver_named;
use crate::state::Stored;
use crate::svd::updates::{Change, Directed, End, Method, Policy, Squares, TruncatedSvd, Values, is_single};
use crate::svd::{Params, Solver};
use numpy::IntoPyArray;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

/// A truncated SVD that follows its matrix; see `nearlin.TruncatedSVD`.
#[pyclass(frozen, module = "nearlin._core")]
pub struct TruncatedSVDState {
    kept: Precision,
}

enum Precision {
    Double(Kept<TruncatedSvd<f64>>),
    Single(Kept<TruncatedSvd<f32>>),
}

/// The same code for a state of either precision.
macro_rules! either {
    ($state:expr, |$kept:ident| $work:expr) => {
        match &$state.kept {
            Precision::Double($kept) => $work,
            Precision::Single($kept) => $work,
        }
    };
}

/// A method of that name.
fn method_named(name: &str) -> Result<Method> {
    let known = [
        ("auto", Method::Auto),
        ("gram", Method::Gram),
        ("qr", Method::Qr),
        ("krylov", Method::Krylov),
        ("lcov", Method::Lcov(Directed::All)),
        ("lcov-gkl", Method::Lcov(Directed::Lanczos)),
        ("lcov-rpi", Method::Lcov(Directed::Power)),
        ("zha-simon", Method::Dense(Directed::All)),
        ("vecharynski-saad", Method::Dense(Directed::Lanczos)),
        ("yamazaki", Method::Dense(Directed::Power)),
    ];
    named("method", name, &known)
}

fn end_named(name: &str) -> Result<End> {
    named("end", name, &[("rows", End::Rows), ("columns", End::Columns)])
}

/// What a change begins and ends with: made at once, or committed.
fn change<T: Stored>(
    py: Python<'_>,
    kept: &Kept<TruncatedSvd<T>>,
    threads: usize,
    plan: impl FnOnce(&Context, &TruncatedSvd<T>) -> Result<Change<T>> + Send,
) -> PyResult<()> {
    enter_and_commit(py, threads, None, |context| {
        make_workspace()?;
        kept.change_as_planned(
            context,
            |model| plan(context, model),
            TruncatedSvd::apply,
            |model| model.copy(context),
        )
    })
}

/// A change for which a model is made in place of the other one.
fn change_anew<T: Stored>(
    py: Python<'_>,
    kept: &Kept<TruncatedSvd<T>>,
    threads: usize,
    progress: Option<Py<PyAny>>,
    anew: impl FnOnce(&Context, &TruncatedSvd<T>) -> Result<TruncatedSvd<T>> + Send,
) -> PyResult<()> {
    enter_and_commit(py, threads, progress, |context| {
        make_workspace()?;
        kept.change(context, |_| false, |_| Ok(()), |model| anew(context, model))
    })
}

/// What the model as it was last says.
fn read<T: Stored, R: Send>(
    py: Python<'_>,
    kept: &Kept<TruncatedSvd<T>>,
    threads: usize,
    work: impl FnOnce(&Context, &TruncatedSvd<T>) -> Result<R> + Send,
) -> PyResult<R> {
    let model = snapshot(py, kept)?;
    enter(py, threads, None, |context| {
        make_workspace()?;
        work(context, &model)
    })
}

/// Positions as the core has them, after a check that they are below `bound`.
fn positions(argument: &'static str, numbers: &[i64], bound: usize) -> Result<Vec<usize>> {
    let position = |&number: &i64| match usize::try_from(number) {
        Ok(position) if position < bound => Ok(position),
        _ => Err(Error::value(argument, format!("a list with {number}"), format!("numbers in [0, {bound})"))),
    };
    gathered(numbers.iter().map(position), "positions")
}

#[pymethods]
impl TruncatedSVDState {
    /// Of a matrix without rows and columns.
    #[new]
    #[pyo3(signature = (most, *, single, probe=None, robust=false))]
    fn new(most: usize, single: bool, probe: Option<u64>, robust: bool) -> PyResult<Self> {
        let policy = Policy { probe, robust };
        let kept = match single {
            true => Precision::Single(Kept::new(TruncatedSvd::with_policy(most, policy)?)),
            false => Precision::Double(Kept::new(TruncatedSvd::with_policy(most, policy)?)),
        };
        Ok(Self { kept })
    }

    /// Of a matrix, and what was measured.
    #[staticmethod]
    #[pyo3(signature = (a, k, *, exact, most, center, solver, tol, max_iter, seed, probe, robust, threads, progress))]
    fn fit<'py>(
        py: Python<'py>,
        a: &Bound<'py, PyAny>,
        k: usize,
        exact: usize,
        most: usize,
        center: bool,
        solver: &str,
        tol: f64,
        max_iter: usize,
        seed: u64,
        probe: Option<u64>,
        robust: bool,
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Self, Bound<'py, PyDict>)> {
        let solver = solver_named(solver)?;
        let params = Params { k, exact: exact.min(k), solver, tolerance: tol, max_iter, seed, start: None };
        let policy = Policy { probe, robust };
        let (kept, fit) = match AnyInput::extract(a, "A")? {
            AnyInput::F64(a) => {
                let (model, fit) = enter(py, threads, progress, |context| {
                    TruncatedSvd::<f64>::fit(context, &a.view(), &params, most, policy, center)
                })?;
                (Precision::Double(Kept::new(model)), fit)
            }
            AnyInput::F32(a) => {
                let (model, fit) = enter(py, threads, progress, |context| {
                    TruncatedSvd::<f32>::fit(context, &a.view(), &params, most, policy, center)
                })?;
                (Precision::Single(Kept::new(model)), fit)
            }
        };
        let dict = PyDict::new(py);
        dict.set_item("residuals", fit.residuals)?;
        dict.set_item("solver", fit.solver.map_or("direct", Solver::name))?;
        dict.set_item("n_iter", fit.n_iter)?;
        Ok((Self { kept }, dict))
    }

    /// How often it was changed.
    #[getter]
    fn changes(&self) -> u64 {
        either!(self, |kept| kept.changes())
    }

    /// Rows and columns.
    #[getter]
    fn shape(&self, py: Python<'_>) -> PyResult<(usize, usize)> {
        either!(self, |kept| Ok(snapshot(py, kept)?.shape()))
    }

    /// True in single precision.
    #[getter]
    fn single(&self) -> bool {
        matches!(self.kept, Precision::Single(_))
    }

    /// Singular values, the largest first.
    #[getter]
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let values = either!(self, |kept| collected(snapshot(py, kept)?.values().iter().copied(), "values")?);
        Ok(values.into_pyarray(py).into_any())
    }

    /// What updates left out, how often something happened, and how much memory all of it takes.
    #[getter]
    fn figures<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        either!(self, |kept| {
            let model = snapshot(py, kept)?;
            let (ledger, counters, dict) = (model.ledger(), model.counters(), PyDict::new(py));
            dict.set_item("energy", ledger.told_energy())?;
            dict.set_item("rounding", ledger.rounding)?;
            dict.set_item("energy_rounding", ledger.energy_rounding)?;
            dict.set_item("residual", ledger.residual)?;
            dict.set_item("spread", ledger.spread)?;
            dict.set_item("spectral", ledger.spectral)?;
            dict.set_item("frobenius", ledger.frobenius)?;
            dict.set_item("kind", ledger.kind.name())?;
            dict.set_item("updates", ledger.updates)?;
            dict.set_item("fallbacks", counters.fallbacks)?;
            dict.set_item("repairs", counters.repairs)?;
            dict.set_item("bytes", model.bytes())?;
            dict.set_item("most", model.most())?;
            dict.set_item("robust", model.policy().robust)?;
            dict.set_item("weights", model.weights())?;
            Ok(dict)
        })
    }

    /// The largest entry of U'U - I and V'V - I.
    #[getter]
    fn orthogonality(&self, py: Python<'_>) -> PyResult<f64> {
        either!(self, |kept| read(py, kept, 1, |_, model| model.orthogonality()))
    }

    /// Appends rows or columns. True if a Gram matrix would not have been accurate.
    #[pyo3(signature = (x, *, end, method, threads))]
    fn append(
        &self,
        py: Python<'_>,
        x: &Bound<'_, PyAny>,
        end: &str,
        method: &str,
        threads: usize,
    ) -> PyResult<bool> {
        let (end, method) = (end_named(end)?, method_named(method)?);
        let mut fell_back = false;
        either_precision!(AnyInput::extract(x, "A")?, |x| {
            either!(self, |kept| change(py, kept, threads, |context, model| {
                let change = model.appended(context, end, method, &x.view())?;
                fell_back = change.fell_back();
                Ok(change)
            }))
        })?;
        Ok(fell_back)
    }

    /// Appends rows, and takes as many of the oldest off, whose values may be told.
    #[pyo3(signature = (x, *, method, values, threads))]
    fn slide(
        &self,
        py: Python<'_>,
        x: &Bound<'_, PyAny>,
        method: &str,
        values: Option<Bound<'_, PyAny>>,
        threads: usize,
    ) -> PyResult<()> {
        let (method, values) =
            (method_named(method)?, values.map(|values| AnyInput::extract(&values, "values")).transpose()?);
        either_precision!(AnyInput::extract(x, "A")?, |x| {
            either!(self, |kept| change_anew(py, kept, threads, None, |context, model| {
                let mut slid = model.copy(context)?;
                slid.apply(slid.appended(context, End::Rows, method, &x.view())?)?;
                let oldest = collected(0..x.view().nrows(), "positions")?;
                let values = known(context, End::Rows, values.as_ref())?;
                slid.apply(slid.deleted(context, End::Rows, &oldest, values)?)?;
                Ok(slid)
            }))
        })
    }

    #[pyo3(signature = (ids, *, end, values, threads))]
    fn delete(
        &self,
        py: Python<'_>,
        ids: &Bound<'_, PyAny>,
        end: &str,
        values: Option<Bound<'_, PyAny>>,
        threads: usize,
    ) -> PyResult<()> {
        let (ids, end) = (Vector::<i64>::extract(ids, "ids")?, end_named(end)?);
        let values = values.map(|values| AnyInput::extract(&values, "values")).transpose()?;
        either!(self, |kept| change(py, kept, threads, |context, model| {
            let (m, n) = model.shape();
            let asked = positions("ids", ids.as_slice(), if end == End::Rows { m } else { n })?;
            let mut ids = copied(&asked, "positions")?;
            ids.sort_unstable();
            if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(Error::value("ids", format!("a list with {} twice", pair[0]), "each row once"));
            }
            let mut known = known(context, end, values.as_ref())?;
            if let (End::Columns, Some(known), Some(values)) = (end, &mut known, &values) {
                known.probed = either_precision!(values, |values| model.probed_columns(
                    context,
                    &asked,
                    &values.view()
                ))?;
            }
            model.deleted(context, end, &ids, known)
        }))
    }

    #[pyo3(signature = (rows, columns, deltas, *, energy, threads))]
    fn add_entries(
        &self,
        py: Python<'_>,
        rows: &Bound<'_, PyAny>,
        columns: &Bound<'_, PyAny>,
        deltas: &Bound<'_, PyAny>,
        energy: Option<f64>,
        threads: usize,
    ) -> PyResult<()> {
        let [rows, columns] = [Vector::<i64>::extract(rows, "rows")?, Vector::extract(columns, "cols")?];
        let deltas = Vector::<f64>::extract(deltas, "deltas")?;
        either!(self, |kept| change(py, kept, threads, |context, model| {
            let (m, n) = model.shape();
            let rows = positions("rows", rows.as_slice(), m)?;
            let columns = positions("cols", columns.as_slice(), n)?;
            model.with_entries(context, (&rows, &columns), deltas.as_slice(), energy)
        }))
    }

    #[pyo3(signature = (x, y, *, threads))]
    fn add_product(
        &self,
        py: Python<'_>,
        x: &Bound<'_, PyAny>,
        y: &Bound<'_, PyAny>,
        threads: usize,
    ) -> PyResult<()> {
        let y = AnyInput::extract(y, "E")?;
        either_precision!(AnyInput::extract(x, "D")?, |x| {
            either_precision!(&y, |y| {
                either!(self, |kept| change(py, kept, threads, |context, model| {
                    model.with_product(context, &x.view(), &y.view())
                }))
            })
        })
    }

    #[pyo3(signature = (gamma, *, threads))]
    fn decay(&self, py: Python<'_>, gamma: f64, threads: usize) -> PyResult<()> {
        either!(self, |kept| change(py, kept, threads, |_, model| model.decayed(gamma)))
    }

    #[pyo3(signature = (most, *, threads))]
    fn truncate(&self, py: Python<'_>, most: usize, threads: usize) -> PyResult<()> {
        either!(self, |kept| change(py, kept, threads, |context, model| model.truncated(context, most)))
    }

    #[pyo3(signature = (other, *, threads))]
    fn merge(&self, py: Python<'_>, other: &Self, threads: usize) -> PyResult<()> {
        match (&self.kept, &other.kept) {
            (Precision::Double(kept), Precision::Double(other)) => merge(py, kept, other, threads),
            (Precision::Single(kept), Precision::Single(other)) => merge(py, kept, other, threads),
            _ => Err(Error::value("other", "a model in another precision", "one in the same").into()),
        }
    }

    #[pyo3(signature = (a, *, passes, threads, progress))]
    fn refresh(
        &self,
        py: Python<'_>,
        a: &Bound<'_, PyAny>,
        passes: usize,
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        either_precision!(AnyInput::extract(a, "A")?, |a| {
            either!(self, |kept| change_anew(py, kept, threads, progress, |context, model| {
                model.refreshed(context, &a.view(), passes)
            }))
        })
    }

    /// The first k singular vectors: of all rows, or columns, or of some.
    #[pyo3(signature = (k, *, end, ids, threads))]
    fn vectors<'py>(
        &self,
        py: Python<'py>,
        k: usize,
        end: &str,
        ids: Option<Bound<'py, PyAny>>,
        threads: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (end, ids) = (end_named(end)?, Vector::<i64>::extract_optional(ids.as_ref(), "rows")?);
        let vectors = either!(self, |kept| read(py, kept, threads, |context, model| {
            let (m, n) = model.shape();
            let bound = if end == End::Rows { m } else { n };
            let ids = ids.as_ref().map(|ids| positions("rows", ids.as_slice(), bound)).transpose()?;
            model.vectors(context, end, ids.as_deref(), k.min(model.values().len()))
        }))?;
        to_array(py, vectors, self.single())
    }

    #[pyo3(signature = (x, k, *, threads))]
    fn transform<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        k: usize,
        threads: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        either_precision!(AnyInput::extract(x, "A")?, |x| {
            let projected = either!(self, |kept| read(py, kept, threads, |context, model| {
                model.projected(context, &x.view(), k.min(model.values().len()))
            }))?;
            to_array(py, projected, self.single())
        })
    }

    #[pyo3(signature = (rows, columns, k, *, threads))]
    fn scores<'py>(
        &self,
        py: Python<'py>,
        rows: &Bound<'py, PyAny>,
        columns: &Bound<'py, PyAny>,
        k: usize,
        threads: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let [rows, columns] = [Vector::<i64>::extract(rows, "rows")?, Vector::extract(columns, "cols")?];
        let scores = either!(self, |kept| read(py, kept, threads, |context, model| {
            let (m, n) = model.shape();
            let rows = positions("rows", rows.as_slice(), m)?;
            let columns = positions("cols", columns.as_slice(), n)?;
            model.scores(context, &rows, &columns, k.min(model.values().len()))
        }))?;
        Ok(scores.into_pyarray(py).into_any())
    }

    /// The squares of what the first k triplets leave of the matrix times random vectors, and of all of it; None without a
    /// probe.
    #[pyo3(signature = (k, *, threads))]
    fn probed(&self, py: Python<'_>, k: usize, threads: usize) -> PyResult<Option<Squares>> {
        either!(self, |kept| read(py, kept, threads, |context, model| {
            model.probed(context, k.min(model.values().len()))
        }))
    }

    /// The mean of the rows, and how long it is along each right singular vector; None if it is not known.
    #[pyo3(signature = (*, threads))]
    fn mean<'py>(
        &self,
        py: Python<'py>,
        threads: usize,
    ) -> PyResult<Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
        let found = either!(self, |kept| read(py, kept, threads, |context, model| {
            let Some(mean) = model.mean()? else { return Ok(None) };
            let along = model.along(context, &mean)?;
            Ok(Some((mean, along)))
        }))?;
        Ok(found.map(|(mean, along)| (mean.into_pyarray(py).into_any(), along.into_pyarray(py).into_any())))
    }

    /// The first principal components about the mean, n x k, and their singular values.
    #[pyo3(signature = (k, *, threads))]
    fn principal<'py>(
        &self,
        py: Python<'py>,
        k: usize,
        threads: usize,
    ) -> PyResult<Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
        let found = either!(self, |kept| read(py, kept, threads, |context, model| {
            let Some(mean) = model.mean()? else { return Ok(None) };
            model.principal(context, &mean, k).map(Some)
        }))?;
        let Some(found) = found else { return Ok(None) };
        let components = to_array(py, found.components, self.single())?;
        Ok(Some((components, found.s.into_pyarray(py).into_any())))
    }

    fn copy(&self, py: Python<'_>) -> PyResult<Self> {
        let kept = match &self.kept {
            Precision::Double(kept) => {
                Precision::Double(Kept::new(read(py, kept, 1, |context, model| model.copy(context))?))
            }
            Precision::Single(kept) => {
                Precision::Single(Kept::new(read(py, kept, 1, |context, model| model.copy(context))?))
            }
        };
        Ok(Self { kept })
    }

    /// Bytes, with words that come back with them.
    fn to_bytes<'py>(&self, py: Python<'py>, words: String) -> PyResult<Bound<'py, PyBytes>> {
        either!(self, |kept| {
            let model = snapshot(py, kept)?;
            let saved = enter(py, 1, None, |_| model.save(words))?;
            new_bytes(py, saved.size()?, |context, bytes| saved.write(context, bytes))
        })
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> PyResult<(Self, String)> {
        let (kept, words) = if is_single(data) {
            let (model, words) = enter(py, 1, None, |context| TruncatedSvd::from_bytes(context, data))?;
            (Precision::Single(Kept::new(model)), words)
        } else {
            let (model, words) = enter(py, 1, None, |context| TruncatedSvd::from_bytes(context, data))?;
            (Precision::Double(Kept::new(model)), words)
        };
        Ok((Self { kept }, words))
    }
}

fn merge<T: Stored>(
    py: Python<'_>,
    kept: &Kept<TruncatedSvd<T>>,
    other: &Kept<TruncatedSvd<T>>,
    threads: usize,
) -> PyResult<()> {
    let other = snapshot(py, other)?;
    change(py, kept, threads, |context, model| model.merged(context, &other))
}

/// What is to be known of rows, or columns, that go.
fn known(context: &Context, end: End, values: Option<&AnyInput>) -> Result<Option<Values>> {
    values
        .map(|values| either_precision!(values, |values| Values::of(context, end, &values.view())))
        .transpose()
}
