//! Bindings of matrix completion.

use crate::completion::{
    ByRows, Continuation, Factor, Lines, Loss, Model, More, Observations, Output, Params, Preconditioner,
    Solver, Status, Tried, fit, fit_exactly, is_single as is_single_model,
};
use crate::error::{Error, Result};
use crate::linalg::{Scalar, make_workspace};
use crate::matrix::{Axis, Mat, Repeated, Sparse, Triplets};
use crate::memory::{collected, copied, gathered};
use crate::parallel::Context;
use crate::python::convert::{Arrays, IndexVector, Vector, is_single, named, to_array, to_numpy, to_vector};
use crate::python::enter::enter;
use crate::python::sketch::new_bytes;
use numpy::{IntoPyArray, PyArray1, PyArrayMethods};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

/// The options of a fit; see `nearlin.completion._options.Options`.
impl<'py> FromPyObject<'_, 'py> for Params {
    type Error = PyErr;

    fn extract(options: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let py = options.py();
        let get = |name: &Bound<'py, PyString>| options.getattr(name);
        let solvers = [
            ("auto", Solver::Auto),
            ("cholesky", Solver::Cholesky),
            ("cg", Solver::Cg),
            ("scaledgd", Solver::ScaledGd),
        ];
        let continuations =
            [("none", Continuation::None), ("ridge", Continuation::Ridge), ("rank", Continuation::Rank)];
        let preconditioners = [
            ("auto", Preconditioner::Auto),
            ("none", Preconditioner::None),
            ("gram", Preconditioner::Gram),
            ("sketch", Preconditioner::Sketch),
        ];
        let starts = [("spectral", true), ("random", false)];
        let losses = [("squared", Loss::Squared), ("huber", Loss::Huber), ("l1", Loss::Absolute)];
        Ok(Self {
            rank: get(intern!(py, "rank"))?.extract()?,
            rank_auto: get(intern!(py, "rank_auto"))?.extract()?,
            reg: get(intern!(py, "reg"))?.extract()?,
            reg_exponent: get(intern!(py, "reg_exponent"))?.extract()?,
            bias: get(intern!(py, "bias"))?.extract()?,
            bias_auto: get(intern!(py, "bias_auto"))?.extract()?,
            solver: named("solver", get(intern!(py, "solver"))?.extract()?, &solvers)?,
            preconditioner: named(
                "preconditioner",
                get(intern!(py, "preconditioner"))?.extract()?,
                &preconditioners,
            )?,
            spectral: named("init", get(intern!(py, "init"))?.extract()?, &starts)?,
            inner_steps: get(intern!(py, "inner_steps"))?.extract()?,
            inner_tol: get(intern!(py, "inner_tol"))?.extract()?,
            polish: get(intern!(py, "polish"))?.extract()?,
            max_iter: get(intern!(py, "max_iter"))?.extract()?,
            tol: get(intern!(py, "tol"))?.extract()?,
            validation_fraction: get(intern!(py, "validation_fraction"))?.extract()?,
            seed: get(intern!(py, "seed"))?.extract()?,
            nonnegative: get(intern!(py, "nonnegative"))?.extract()?,
            loss: named("loss", get(intern!(py, "loss"))?.extract()?, &losses)?,
            continuation: named(
                "continuation",
                get(intern!(py, "continuation"))?.extract()?,
                &continuations,
            )?,
        })
    }
}

/// What becomes of several entries for one place.
const RULES: [(&str, Repeated); 5] = [
    ("sum", Repeated::Sum),
    ("keep", Repeated::Keep),
    ("mean", Repeated::Mean),
    ("last", Repeated::Last),
    ("error", Repeated::Refuse),
];

/// Observed entries as they come from Python.
enum Entries<V: 'static> {
    Sparse(Arrays<V>),
    Triplets { shape: (usize, usize), rows: IndexVector, columns: IndexVector, values: Vector<V> },
}

impl<V: Scalar + numpy::Element> Entries<V> {
    /// A SciPy matrix in CSR or CSC form, or shape, rows, columns and values: a tuple, or a list, which is empty afterwards.
    fn extract(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        type Parts<'py> = ((usize, usize), Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>);
        let list = object.cast::<PyList>().ok();
        let parts = list.map_or_else(|| object.clone(), |list| list.to_tuple().into_any());
        let Ok((shape, rows, columns, values)) = parts.extract::<Parts<'_>>() else {
            return Arrays::extract(object, "X").map(Self::Sparse);
        };
        let entries = Self::Triplets {
            shape,
            rows: IndexVector::extract(&rows, "rows")?,
            columns: IndexVector::extract(&columns, "cols")?,
            values: Vector::extract(&values, "values")?,
        };
        list.map_or(Ok(()), |list| list.del_slice(0, list.len()))?;
        Ok(entries)
    }

    /// What there is, called `argument` in errors.
    fn given(&self, context: &Context, argument: &'static str) -> Result<Given<'_, V>> {
        match self {
            Self::Sparse(arrays) => arrays.unchecked().check(context).map(Given::Sparse),
            Self::Triplets { shape, rows, columns, values } => {
                let (shape, rows, columns) = (*shape, rows.indices(), columns.indices());
                Ok(Given::Triplets(Triplets { argument, shape, rows, columns, values: values.as_slice() }))
            }
        }
    }

    fn observations<T: Scalar>(
        self,
        context: &Context,
        weights: Option<&Vector<V>>,
        repeated: Repeated,
        center: bool,
    ) -> Result<Observations<T>> {
        let rows = match (self.given(context, "values")?, weights) {
            (Given::Sparse(_), Some(_)) => {
                Err(Error::value("weights", "those of a sparse matrix", "those of a list of entries"))
            }
            (Given::Sparse(matrix), None) => ByRows::of_sparse(context, "X", &matrix, repeated, center),
            (Given::Triplets(entries), None) => ByRows::of_triplets(context, &entries, repeated, center),
            (Given::Triplets(entries), Some(weights)) => {
                ByRows::of_weighted(context, &entries, weights.as_slice(), repeated, center)
            }
        }?;
        // Numbers of rows and columns may have been made for this call: they go before as much again is made.
        Python::attach(|_| drop(self));
        Observations::of(context, rows)
    }

    /// By rows, in the units of a model.
    fn lines(&self, context: &Context, repeated: Repeated, units: (f64, f64)) -> Result<Lines<f64>> {
        let (argument, axis) = ("X", Axis::Rows);
        match self.given(context, argument)? {
            Given::Sparse(matrix) => {
                let stored = &matrix.values()[..matrix.nnz()];
                Lines::in_units(context, argument, stored, units, |values| {
                    matrix.with_values(values).along_as(context, argument, axis, repeated)
                })
            }
            Given::Triplets(Triplets { shape, rows, columns, values, .. }) => {
                Lines::in_units(context, argument, values, units, |values| {
                    Triplets { argument, shape, rows, columns, values }.compressed_as(context, axis, repeated)
                })
            }
        }
    }
}

/// A view of [`Entries`].
enum Given<'a, V> {
    Sparse(Sparse<'a, V>),
    Triplets(Triplets<'a, V>),
}

/// Whether entries are in single precision.
fn in_single(entries: &Bound<'_, PyAny>) -> PyResult<bool> {
    // Nothing is asked of a sparse matrix before its indices are checked.
    let values = match entries.hasattr(intern!(entries.py(), "format"))? {
        true => entries.getattr(intern!(entries.py(), "data"))?,
        false => entries.get_item(3)?,
    };
    is_single(&values, "X")
}

/// The same code for entries of either precision.
macro_rules! either_entries {
    ($object:expr, |$entries:ident| $work:expr) => {{
        if in_single($object)? {
            let $entries = Entries::<f32>::extract($object)?;
            $work
        } else {
            let $entries = Entries::<f64>::extract($object)?;
            $work
        }
    }};
}

/// Factors and biases of rows and columns.
type Factors<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>);

/// Of rows and of columns.
type Pair<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i64>>);

/// The same of numbers of parts.
type Parts<'py> = (Bound<'py, PyArray1<i32>>, Bound<'py, PyArray1<i32>>);

/// A completed matrix; see `nearlin.MatrixCompletion`.
#[pyclass(frozen, module = "nearlin._core")]
pub struct MatrixCompletionModel {
    model: Precision,
}

enum Precision {
    Double(Model<f64>),
    Single(Model<f32>),
}

/// The same code for a model of either precision.
macro_rules! either {
    ($state:expr, |$model:ident| $work:expr) => {
        match &$state.model {
            Precision::Double($model) => $work,
            Precision::Single($model) => $work,
        }
    };
}

pub mod ids;
pub mod implicit;
pub mod soft;

#[pymethods]
impl MatrixCompletionModel {
    /// Of observed entries, and what was measured.
    #[staticmethod]
    #[pyo3(signature = (entries, options, *, exact, weights, duplicates, center, single, threads, progress))]
    fn fit<'py>(
        py: Python<'py>,
        entries: &Bound<'py, PyAny>,
        options: Params,
        exact: bool,
        weights: Option<Bound<'py, PyAny>>,
        duplicates: &str,
        center: bool,
        single: bool,
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Self, Bound<'py, PyDict>)> {
        let repeated = named("duplicates", duplicates, &RULES)?;
        either_entries!(entries, |entries| {
            let weights = weights.map(|weights| Vector::extract(&weights, "weights")).transpose()?;
            let weights = weights.as_ref();
            if single {
                let output = enter(py, threads, progress, |context| {
                    let observed = entries.observations(context, weights, repeated, center)?;
                    run::<f32>(context, observed, &options, exact)
                })?;
                let figures = figures(py, &output)?;
                Ok((Self { model: Precision::Single(output.model) }, figures))
            } else {
                let output = enter(py, threads, progress, |context| {
                    let observed = entries.observations(context, weights, repeated, center)?;
                    run::<f64>(context, observed, &options, exact)
                })?;
                let figures = figures(py, &output)?;
                Ok((Self { model: Precision::Double(output.model) }, figures))
            }
        })
    }

    /// The model after it has learned of more entries, a tuple of shape, rows, columns and values in the numbers that rows
    /// and columns have in the end; `row_places` and `column_places` are those of the rows and columns that it has.
    #[pyo3(signature = (entries, row_places, column_places, *, weights, duplicates, sweeps, threads))]
    fn partial_fit(
        &self,
        py: Python<'_>,
        entries: &Bound<'_, PyAny>,
        row_places: &Bound<'_, PyAny>,
        column_places: &Bound<'_, PyAny>,
        weights: Option<Bound<'_, PyAny>>,
        duplicates: &str,
        sweeps: usize,
        threads: usize,
    ) -> PyResult<Self> {
        let repeated = named("duplicates", duplicates, &RULES)?;
        let row_places: Vector<i64> = Vector::extract(row_places, "rows")?;
        let column_places: Vector<i64> = Vector::extract(column_places, "cols")?;
        let places = [row_places.as_slice(), column_places.as_slice()];
        either_entries!(entries, |entries| {
            let weights = weights.map(|weights| Vector::extract(&weights, "weights")).transpose()?;
            let Given::Triplets(entries) = entries.given(&Context::new(1), "values")? else {
                return Err(Error::value("X", "a sparse matrix", "a list of entries").into());
            };
            let weights = weights.as_ref().map(|weights: &Vector<_>| weights.as_slice());
            let more = More { entries, weights, places, repeated };
            let model = match &self.model {
                Precision::Double(model) => Precision::Double(enter(py, threads, None, |context| {
                    make_workspace()?;
                    model.partial_fit(context, &more, sweeps)
                })?),
                Precision::Single(model) => Precision::Single(enter(py, threads, None, |context| {
                    make_workspace()?;
                    model.partial_fit(context, &more, sweeps)
                })?),
            };
            Ok(Self { model })
        })
    }

    /// Of a matrix without rows and columns.
    #[new]
    fn new() -> PyResult<Self> {
        Ok(Self { model: Precision::Single(Model::empty()?) })
    }

    /// The same, which never changes.
    fn copy(this: Bound<'_, Self>) -> Bound<'_, Self> {
        this
    }

    /// Rows and columns.
    #[getter]
    fn shape(&self) -> (usize, usize) {
        either!(self, |model| (model.rows.count, model.columns.count))
    }

    /// Components.
    #[getter]
    fn rank(&self) -> usize {
        either!(self, |model| model.rows.rank)
    }

    /// What is subtracted from all values.
    #[getter]
    fn mean(&self) -> f64 {
        either!(self, |model| model.mean)
    }

    /// How many entries were observed in each row and in each column.
    fn degrees<'py>(&self, py: Python<'py>) -> PyResult<Pair<'py>> {
        let [rows, columns] = either!(self, |model| enter(py, 1, None, |_| model.degrees()))?;
        Ok((rows.into_pyarray(py), columns.into_pyarray(py)))
    }

    /// Of a fit without noise, the number of the part that each row and each column is determined with, or a negative one.
    fn parts<'py>(&self, py: Python<'py>) -> PyResult<Option<Parts<'py>>> {
        let Some(determined) = either!(self, |model| &model.determined) else { return Ok(None) };
        let copy = |marks: &[i32]| copied(marks, "what is determined");
        let (rows, columns) = (copy(&determined.rows)?, copy(&determined.columns)?);
        Ok(Some((rows.into_pyarray(py), columns.into_pyarray(py))))
    }

    /// Factors and biases of rows and columns, in the units of the values.
    fn factors<'py>(&self, py: Python<'py>) -> PyResult<Factors<'py>> {
        either!(self, |model| {
            let root = model.scale.sqrt();
            Ok((
                numbers(py, &model.rows, root)?,
                numbers(py, &model.columns, root)?,
                biases(py, &model.rows, model.scale)?,
                biases(py, &model.columns, model.scale)?,
            ))
        })
    }

    /// Predictions for pairs; -1 is a row or column that is not known. What is not determined is NaN, or `all` are given.
    fn predict<'py>(
        &self,
        py: Python<'py>,
        rows: &Bound<'py, PyAny>,
        columns: &Bound<'py, PyAny>,
        all: bool,
        threads: usize,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let (rows, columns) = (Vector::extract(rows, "rows")?, Vector::extract(columns, "cols")?);
        let found = either!(self, |model| enter(py, threads, None, |context| {
            model.predict(context, rows.as_slice(), columns.as_slice(), all)
        }))?;
        Ok(found.into_pyarray(py))
    }

    /// Predictions for all columns of some rows, alike.
    fn predict_rows<'py>(
        &self,
        py: Python<'py>,
        rows: &Bound<'py, PyAny>,
        all: bool,
        threads: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let rows = self.rows_of(&Vector::extract(rows, "rows")?)?;
        let shape = (rows.len(), self.shape().1);
        let found = either!(self, |model| enter(py, threads, None, |context| {
            model.predict_rows(context, &rows, all)
        }))?;
        Ok(to_vector(py, found)?.reshape(shape)?.into_any())
    }

    /// The best columns of some rows, and their predictions, row after row.
    fn top_n<'py>(
        &self,
        py: Python<'py>,
        rows: &Bound<'py, PyAny>,
        n: usize,
        exclude_observed: bool,
        threads: usize,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let rows = self.rows_of(&Vector::extract(rows, "rows")?)?;
        let (numbers, values) = either!(self, |model| enter(py, threads, None, |context| {
            model.top_n(context, &rows, n, exclude_observed)
        }))?;
        let shape = (rows.len(), n);
        Ok((
            numbers.into_pyarray(py).reshape(shape)?.into_any(),
            values.into_pyarray(py).reshape(shape)?.into_any(),
        ))
    }

    /// Factors and biases of rows of which these entries were observed.
    fn fold_in<'py>(
        &self,
        py: Python<'py>,
        entries: &Bound<'py, PyAny>,
        duplicates: &str,
        threads: usize,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyArray1<f64>>)> {
        let repeated = named("duplicates", duplicates, &RULES)?;
        let (factor, bias) = either_entries!(entries, |entries| {
            either!(self, |model| enter(py, threads, None, |context| {
                make_workspace()?;
                let rows = entries.lines(context, repeated, (model.mean, model.scale))?;
                let rows = model.fold_in(context, rows)?;
                let root = model.scale.sqrt();
                let factor = Mat::from_fn(rows.count, rows.rank, |i, k| rows.row(i)[k] * root)?;
                let bias = rows.bias.iter().map(|bias| bias * model.scale);
                Ok((factor, collected(bias, "biases")?))
            }))?
        });
        Ok((to_numpy::<f64>(py, factor)?, bias.into_pyarray(py)))
    }

    /// Standard deviations of entries in all columns of such rows, over that of the errors of entries.
    fn deviations<'py>(
        &self,
        py: Python<'py>,
        entries: &Bound<'py, PyAny>,
        duplicates: &str,
        threads: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let repeated = named("duplicates", duplicates, &RULES)?;
        let (found, count) = either_entries!(entries, |entries| {
            either!(self, |model| enter(py, threads, None, |context| {
                make_workspace()?;
                let rows = entries.lines(context, repeated, (model.mean, model.scale))?;
                Ok((model.deviations(context, &rows)?, rows.count()))
            }))?
        });
        Ok(to_vector(py, found)?.reshape((count, self.shape().1))?.into_any())
    }

    /// Standard deviation of what the model leaves of its entries.
    fn noise(&self, py: Python<'_>) -> PyResult<f64> {
        either!(self, |model| enter(py, 1, None, |context| model.noise(context)))
    }

    /// Bytes of the model, and of words that go with it.
    fn to_bytes<'py>(&self, py: Python<'py>, words: String) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = either!(self, |model| enter(py, 1, None, |context| model.to_bytes(context, words)))?;
        new_bytes(py, bytes.len(), |context, out| {
            for piece in context.pieces(0..bytes.len()) {
                let piece = piece?;
                out[piece.clone()].copy_from_slice(&bytes[piece]);
            }
            Ok(())
        })
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> PyResult<(Self, String)> {
        if is_single_model(data) {
            let (model, words) = enter(py, 1, None, |context| Model::from_bytes(context, data))?;
            return Ok((Self { model: Precision::Single(model) }, words));
        }
        let (model, words) = enter(py, 1, None, |context| Model::from_bytes(context, data))?;
        Ok((Self { model: Precision::Double(model) }, words))
    }
}

impl MatrixCompletionModel {
    fn rows_of(&self, rows: &Vector<i64>) -> Result<Vec<usize>> {
        let count = self.shape().0;
        let row = |&row: &i64| match usize::try_from(row) {
            Ok(row) if row < count => Ok(row),
            _ => Err(Error::value("rows", format!("a list with {row}"), format!("numbers in [0, {count})"))),
        };
        gathered(rows.as_slice().iter().map(row), "rows")
    }
}

fn run<T: Scalar>(
    context: &Context,
    observed: Observations<T>,
    params: &Params,
    exact: bool,
) -> Result<Output<T>> {
    make_workspace()?;
    if exact { fit_exactly(context, observed, params) } else { fit(context, observed, params) }
}

/// A factor times a number, in the precision of its model if that has the range.
fn numbers<'py, T: Scalar>(py: Python<'py>, factor: &Factor<T>, unit: f64) -> PyResult<Bound<'py, PyAny>> {
    let entry = |i: usize, k: usize| factor.row(i)[k].to_f64() * unit;
    let numbers = enter(py, 1, None, |_| Mat::from_fn(factor.count, factor.rank, entry))?;
    // Beyond these, products with numbers near one are out of the range of single precision.
    let fits = (1e-30..1e30).contains(&unit);
    to_array(py, numbers, fits && T::as_f64(&[]).is_none())
}

/// Biases times a number.
fn biases<'py, T: Scalar>(py: Python<'py>, factor: &Factor<T>, unit: f64) -> PyResult<Bound<'py, PyAny>> {
    let scaled = collected(factor.bias.iter().map(|bias| bias.to_f64() * unit), "biases")?;
    Ok(scaled.into_pyarray(py).into_any())
}

fn figures<'py, T: Scalar>(py: Python<'py>, output: &Output<T>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("reg", output.reg)?;
    dict.set_item("bias", output.model.penalty.bias.is_some())?;
    let path = output.path.iter().map(|&Tried { rank, reg, bias, rmse }| (rank, reg, bias, rmse));
    dict.set_item("path", collected(path, "what was tried")?)?;
    dict.set_item("objective", &output.objective)?;
    dict.set_item("validation", &output.validation)?;
    let status = match output.status {
        Status::Converged => "CONVERGED",
        Status::Stalled => "STALLED",
        Status::Diverged => "DIVERGED",
        Status::MaxIter => "MAX_ITER",
    };
    dict.set_item("status", status)?;
    dict.set_item("residual", output.residual)?;
    dict.set_item("parts", output.parts)?;
    dict.set_item(
        "free",
        output.model.determined.as_ref().is_some_and(|determined| determined.free.is_some()),
    )?;
    let found = &output.diagnosis;
    dict.set_item("gradient", found.gradient)?;
    dict.set_item("incoherence", found.incoherence)?;
    dict.set_item("leverage", found.leverage)?;
    dict.set_item("condition", found.condition)?;
    dict.set_item("numerical_rank", found.numerical_rank)?;
    dict.set_item("norm", found.size)?;
    let held_out =
        output.held_out.map(|left| (left.entries, left.rmse, left.median, left.effective, left.spreads));
    dict.set_item("held_out", held_out)?;
    Ok(dict)
}
