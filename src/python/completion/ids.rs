//! Bindings of identities, and of entries that share a place.

use super::{Entries, Given, RULES, in_single};
use crate::completion::ids::{Ids, found, numbered, order};
use crate::error::{Error, Result};
use crate::linalg::Scalar;
use crate::matrix::{Axis, Repeated, SparseBuf};
use crate::memory::collected;
use crate::parallel::Context;
use crate::python::convert::{Vector, named};
use crate::python::enter::enter;
use crate::python::errors::type_error;
use numpy::{IntoPyArray, PyArray1, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// Identities as NumPy has them: numbers, or the units of records of so many.
enum Memory {
    I32(Vector<i32>),
    I64(Vector<i64>),
    U64(Vector<u64>),
    Bytes(Vector<u8>, usize),
    Text(Vector<u32>, usize),
}

impl Memory {
    fn extract(ids: &Bound<'_, PyAny>, width: usize) -> PyResult<Self> {
        let dtype = ids.cast::<PyUntypedArray>()?.dtype();
        let memory = match (dtype.kind(), dtype.itemsize(), width) {
            (b'i', 4, 0) => Self::I32(Vector::extract(ids, "ids")?),
            (b'i', 8, 0) => Self::I64(Vector::extract(ids, "ids")?),
            (b'u', 8, 0) => Self::U64(Vector::extract(ids, "ids")?),
            (b'u', 1, 1..) => Self::Bytes(Vector::extract(ids, "ids")?, width),
            (b'u', 4, 1..) => Self::Text(Vector::extract(ids, "ids")?, width),
            _ => return Err(type_error("ids", format!("of dtype {dtype}"), "numbers, or units of records")),
        };
        Ok(memory)
    }

    fn ids(&self) -> Ids<'_> {
        match self {
            Self::I32(ids) => Ids::I32(ids.as_slice()),
            Self::I64(ids) => Ids::I64(ids.as_slice()),
            Self::U64(ids) => Ids::U64(ids.as_slice()),
            Self::Bytes(ids, width) => Ids::Bytes(ids.as_slice(), *width),
            Self::Text(ids, width) => Ids::Text(ids.as_slice(), *width),
        }
    }
}

/// Where each identity is that occurs, in increasing order, and their numbers: neither where they are such numbers themselves.
type Numbered<'py> = (Bound<'py, PyArray1<i64>>, Option<Bound<'py, PyArray1<i32>>>);

/// Identities numbered in their order.
#[pyfunction]
#[pyo3(signature = (ids, width, *, threads))]
pub fn number_ids<'py>(
    py: Python<'py>,
    ids: &Bound<'py, PyAny>,
    width: usize,
    threads: usize,
) -> PyResult<Numbered<'py>> {
    let memory = Memory::extract(ids, width)?;
    let (at, numbers) = enter(py, threads, None, |context| numbered(context, memory.ids()))?;
    Ok((at.into_pyarray(py), numbers.map(|numbers| numbers.into_pyarray(py))))
}

/// Where identities are among those that are known, which are in increasing order: -1 for others.
#[pyfunction]
#[pyo3(signature = (known, known_width, ids, width, *, threads))]
pub fn find_ids<'py>(
    py: Python<'py>,
    known: &Bound<'py, PyAny>,
    known_width: usize,
    ids: &Bound<'py, PyAny>,
    width: usize,
    threads: usize,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let (known, memory) = (Memory::extract(known, known_width)?, Memory::extract(ids, width)?);
    let places = enter(py, threads, None, |context| found(context, known.ids(), memory.ids()))?;
    Ok(places.into_pyarray(py))
}

/// Numbers of names in the order of these, given as all their bytes and where those of each end.
#[pyfunction]
#[pyo3(signature = (names, ends, *, threads))]
pub fn order_names<'py>(
    py: Python<'py>,
    names: &Bound<'py, PyAny>,
    ends: &Bound<'py, PyAny>,
    threads: usize,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let (names, ends) = (Vector::extract(names, "names")?, Vector::extract(ends, "ends")?);
    let ids = Ids::Names(names.as_slice(), ends.as_slice());
    Ok(enter(py, threads, None, |context| order(context, ids))?.into_pyarray(py))
}

/// Rows, columns, values and weights.
type Merged<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, Option<Bound<'py, PyAny>>);

/// What becomes of entries where several may stand in one place, row after row.
#[pyfunction]
#[pyo3(signature = (entries, *, weights, duplicates, threads))]
pub fn merge_entries<'py>(
    py: Python<'py>,
    entries: &Bound<'py, PyAny>,
    weights: Option<Bound<'py, PyAny>>,
    duplicates: &str,
    threads: usize,
) -> PyResult<Merged<'py>> {
    let repeated = named("duplicates", duplicates, &RULES)?;
    either_entries!(entries, |entries| {
        let weights = weights.map(|weights| Vector::extract(&weights, "weights")).transpose()?;
        let (rows, columns, values, weights) =
            enter(py, threads, None, |context| merged(context, &entries, weights.as_ref(), repeated))?;
        let weights = weights.map(|weights| weights.into_pyarray(py).into_any());
        let [rows, columns] = [rows, columns].map(|numbers| numbers.into_pyarray(py).into_any());
        Ok((rows, columns, values.into_pyarray(py).into_any(), weights))
    })
}

/// The same in memory of its own.
type Listed<V> = (Vec<i64>, Vec<i64>, Vec<V>, Option<Vec<V>>);

fn merged<V: Scalar + numpy::Element>(
    context: &Context,
    entries: &Entries<V>,
    weights: Option<&Vector<V>>,
    repeated: Repeated,
) -> Result<Listed<V>> {
    let (matrix, weights): (SparseBuf<V>, _) = match (entries.given(context, "X")?, weights) {
        (Given::Sparse(_), Some(_)) => {
            return Err(Error::value("weights", "those of a sparse matrix", "those of a list of entries"));
        }
        (Given::Sparse(matrix), None) => (matrix.along_as(context, "X", Axis::Rows, repeated)?, None),
        (Given::Triplets(entries), None) => (entries.compressed_as(context, Axis::Rows, repeated)?, None),
        (Given::Triplets(entries), Some(weights)) => {
            let weights = weights.as_slice();
            let (matrix, weights) =
                entries.compressed_with_weights(context, Axis::Rows, repeated, weights)?;
            (matrix, Some(weights))
        }
    };
    let view = matrix.as_ref();
    let indices = view.indices();
    let columns = collected((0..view.nnz()).map(|k| indices.get(k) as i64), "entries")?;
    let rows = (0..view.nrows()).flat_map(|i| view.extent(i).map(move |_| i as i64));
    let rows = collected(rows, "entries")?;
    Ok((rows, columns, matrix.into_values(), weights))
}
