//! NumPy and SciPy objects as matrix views, words as values, and results as NumPy arrays.
//!
//! An [`Input`] owns references to the Python objects whose memory its view shows, so it may be taken
//! into [`super::enter::enter`]. Nothing is copied where the memory is aligned, of native byte order, and
//! contiguous along one axis with strides that are not negative; read-only memory will do. Everything
//! else is copied once, in C order. Sparse matrices are checked once and copied only to sort their
//! indices and add up duplicates.
//!
//! The memory stays alive for as long as the input; that nobody writes to it during a call is up to
//! the caller, as it is with NumPy itself.

use super::enter::enter;
use super::errors::type_error;
use crate::error::{Error, Result};
use crate::matrix::{
    Axis, Buffer, Dense, Indices, Mat, Matrix, Real, Rows, Sparse, SparseBuf, Unchecked, check_indices,
};
use crate::memory::{collected, gathered};
use numpy::ndarray::{ArrayView1, ArrayView2, ShapeBuilder};
use numpy::{Element, PyArray1, PyArray2, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods, dtype};
use pyo3::exceptions::PyMemoryError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyString};

/// The same code for an [`AnyInput`] of either precision.
macro_rules! either_precision {
    ($input:expr, |$typed:ident| $work:expr) => {
        match $input {
            $crate::python::convert::AnyInput::F32($typed) => $work,
            $crate::python::convert::AnyInput::F64($typed) => $work,
        }
    };
}
pub(super) use either_precision;

/// A matrix of either precision.
pub enum AnyInput {
    /// Single precision.
    F32(Input<f32>),
    /// Double precision.
    F64(Input<f64>),
}

impl AnyInput {
    /// A two-dimensional NumPy array, or a SciPy matrix or array in CSR or CSC form.
    pub fn extract(object: &Bound<'_, PyAny>, argument: &'static str) -> PyResult<Self> {
        if is_single(object, argument)? {
            Input::extract(object, argument).map(Self::F32)
        } else {
            Input::extract(object, argument).map(Self::F64)
        }
    }

    /// True in single precision.
    pub fn is_single(&self) -> bool {
        matches!(self, Self::F32(_))
    }

    /// The matrix as rows to be shown in tiles.
    pub fn rows(&self) -> Box<dyn Rows + '_> {
        either_precision!(self, |input| match input.view() {
            Matrix::Dense(view) => Box::new(view),
            Matrix::Sparse(view) => Box::new(view),
        })
    }
}

/// The factors of a Kronecker product.
pub fn factors(factors: &[Bound<'_, PyAny>]) -> PyResult<Vec<AnyInput>> {
    gathered(factors.iter().map(|factor| AnyInput::extract(factor, "factors")), "factors")
}

/// What `work` makes of the rows of these matrices.
pub fn with_rows<R>(inputs: &[AnyInput], work: impl FnOnce(&[&dyn Rows]) -> Result<R>) -> Result<R> {
    let views = collected(inputs.iter().map(AnyInput::rows), "factors")?;
    work(&collected(views.iter().map(|view| &**view), "factors")?)
}

/// A view of the caller's matrix together with what keeps its memory alive.
pub struct Input<T: 'static> {
    /// Not `'static` at all: as long as `_memory`. Handed out by [`Input::view`] only.
    view: Matrix<'static, T>,
    _memory: Memory<T>,
}

enum Memory<T> {
    Python { _owners: Vec<Py<PyAny>> },
    Rust { _canonical: SparseBuf<T> },
}

impl<T: Real + Element> Input<T> {
    /// As [`AnyInput::extract`], for one precision.
    pub fn extract(object: &Bound<'_, PyAny>, argument: &'static str) -> PyResult<Self> {
        if is_sparse(object) { Self::sparse(object, argument) } else { Self::dense(object, argument) }
    }

    /// The matrix.
    pub fn view(&self) -> Matrix<'_, T> {
        self.view
    }

    /// The matrix, or an error if it is sparse.
    pub fn dense_view(&self, argument: &'static str) -> Result<Dense<'_, T>> {
        match self.view {
            Matrix::Dense(view) => Ok(view),
            Matrix::Sparse(_) => Err(Error::value(argument, "sparse", "a dense array")),
        }
    }

    fn dense(object: &Bound<'_, PyAny>, argument: &'static str) -> PyResult<Self> {
        let array = as_array(object, argument)?;
        if array.ndim() != 2 {
            return Err(wrong_ndim(argument, array.ndim(), 2));
        }
        let shown = |array: &Bound<'_, PyUntypedArray>| {
            // SAFETY: the reference to the array goes into the same `Input` as the view.
            let view = unsafe { dense_view::<T>(array) }?;
            let owners = Vec::from([array.clone().into_any().unbind()]);
            Some(Self { view: Matrix::Dense(view), _memory: Memory::Python { _owners: owners } })
        };
        match shown(array) {
            Some(input) => Ok(input),
            None => shown(&copy_in_c_order::<T>(array, argument)?).ok_or_else(|| not_as_asked(argument)),
        }
    }

    fn sparse(object: &Bound<'_, PyAny>, argument: &'static str) -> PyResult<Self> {
        let arrays = Arrays::<T>::extract(object, argument)?;
        // Another thread may write to the indices after they have been checked.
        let (view, canonical) = enter(object.py(), 1, None, |context| {
            let view = arrays.unchecked().check(context)?;
            let sorted = view.is_canonical(context)?;
            Ok((view, (!sorted).then(|| view.to_canonical(context)).transpose()?))
        })?;
        let Some(canonical) = canonical else {
            let owners =
                Vec::from([arrays.indptr.into_owner(), arrays.indices.into_owner(), arrays.data.owner]);
            return Ok(Self { view: Matrix::Sparse(view), _memory: Memory::Python { _owners: owners } });
        };
        // SAFETY: the buffers of `canonical` are on the heap, go into the same `Input` as the view, and
        // are not touched again before they are dropped with it.
        let view = unsafe { std::mem::transmute::<Sparse<'_, T>, Sparse<'static, T>>(canonical.as_ref()) };
        Ok(Self { view: Matrix::Sparse(view), _memory: Memory::Rust { _canonical: canonical } })
    }
}

/// True for a matrix in single precision.
pub fn is_single(object: &Bound<'_, PyAny>, argument: &'static str) -> PyResult<bool> {
    let entries = if is_sparse(object) { &object.getattr(intern!(object.py(), "data"))? } else { object };
    Ok(as_array(entries, argument)?.dtype().itemsize() == size_of::<f32>())
}

/// The arrays of a CSR or CSC matrix as they are.
pub struct Arrays<T: 'static> {
    argument: &'static str,
    axis: Axis,
    shape: (usize, usize),
    indptr: IndexVector,
    indices: IndexVector,
    data: Vector<T>,
}

impl<T: Real + Element> Arrays<T> {
    /// What such a matrix of SciPy stores.
    pub fn extract(object: &Bound<'_, PyAny>, argument: &'static str) -> PyResult<Self> {
        if !is_sparse(object) {
            return Err(Error::value(argument, "dense", "a sparse matrix").into());
        }
        let axis = if object.getattr(intern!(object.py(), "format"))?.eq("csr")? {
            Axis::Rows
        } else {
            Axis::Columns
        };
        let shape: Vec<usize> = object.getattr(intern!(object.py(), "shape"))?.extract()?;
        let &[nrows, ncols] = shape.as_slice() else {
            return Err(wrong_ndim(argument, shape.len(), 2));
        };
        Ok(Self {
            argument,
            axis,
            shape: (nrows, ncols),
            indptr: IndexVector::extract(&object.getattr(intern!(object.py(), "indptr"))?, argument)?,
            indices: IndexVector::extract(&object.getattr(intern!(object.py(), "indices"))?, argument)?,
            data: Vector::extract(&object.getattr(intern!(object.py(), "data"))?, argument)?,
        })
    }

    /// The matrix, whose indices may be anything. As long as this, as [`Input::view`].
    pub fn unchecked(&self) -> Unchecked<'static, T> {
        let Self { argument, axis, shape, .. } = *self;
        let (indptr, indices) = (self.indptr.indices(), self.indices.indices());
        Unchecked { argument, axis, shape, indptr, indices, data: self.data.slice }
    }
}

/// A copy of a dense matrix in double precision.
pub fn owned(object: &Bound<'_, PyAny>, argument: &'static str) -> PyResult<Mat<f64>> {
    let input = Input::<f64>::extract(object, argument)?;
    enter(object.py(), 1, None, |context| {
        let view = input.dense_view(argument)?;
        let mut copy = Mat::zeros(view.nrows(), view.ncols())?;
        for j in 0..view.ncols() {
            for rows in context.pieces(0..view.nrows()) {
                rows?.for_each(|i| copy[(i, j)] = view.get(i, j));
            }
        }
        Ok(copy)
    })
}

/// A contiguous view of the caller's vector together with what keeps its memory alive.
pub struct Vector<T: 'static> {
    /// As long as `owner`, as in [`Input`].
    slice: &'static [T],
    owner: Py<PyAny>,
}

impl<T: Copy + Element> Vector<T> {
    /// A one-dimensional NumPy array, copied if it is not contiguous.
    pub fn extract(object: &Bound<'_, PyAny>, argument: &'static str) -> PyResult<Self> {
        let array = as_array(object, argument)?;
        if array.ndim() != 1 {
            return Err(wrong_ndim(argument, array.ndim(), 1));
        }
        let shown = |array: &Bound<'_, PyUntypedArray>| {
            // SAFETY: the reference to the array goes into the same `Vector` as the slice.
            let slice = unsafe { vector_view::<T>(array) }?;
            Some(Self { slice, owner: array.clone().into_any().unbind() })
        };
        match shown(array) {
            Some(vector) => Ok(vector),
            None => shown(&copy_in_c_order::<T>(array, argument)?).ok_or_else(|| not_as_asked(argument)),
        }
    }

    /// As [`Vector::extract`], where None will do.
    pub fn extract_optional(
        object: Option<&Bound<'_, PyAny>>,
        argument: &'static str,
    ) -> PyResult<Option<Self>> {
        object.map(|object| Self::extract(object, argument)).transpose()
    }

    /// The entries.
    pub fn as_slice(&self) -> &[T] {
        self.slice
    }
}

/// The indices of a sparse matrix; a type that SciPy does not use itself is cast to 64 bits.
pub enum IndexVector {
    /// 32-bit.
    I32(Vector<i32>),
    /// 64-bit.
    I64(Vector<i64>),
}

impl IndexVector {
    /// A one-dimensional NumPy array of integers.
    pub fn extract(object: &Bound<'_, PyAny>, argument: &'static str) -> PyResult<Self> {
        let array = as_array(object, argument)?;
        let found = array.dtype();
        match (found.kind(), found.itemsize()) {
            (b'i', 4) => Vector::extract(object, argument).map(Self::I32),
            (b'i', 8) => Vector::extract(object, argument).map(Self::I64),
            (b'i' | b'u', _) => {
                let cast = object.call_method1("astype", (dtype::<i64>(object.py()),));
                Vector::extract(&in_our_words(array, cast)?, argument).map(Self::I64)
            }
            _ => Err(type_error(argument, format!("sparse with indices of dtype {found}"), "int32 or int64")),
        }
    }

    /// The indices.
    pub fn indices(&self) -> Indices<'static> {
        match self {
            Self::I32(vector) => Indices::I32(vector.slice),
            Self::I64(vector) => Indices::I64(vector.slice),
        }
    }

    fn into_owner(self) -> Py<PyAny> {
        match self {
            Self::I32(vector) => vector.owner,
            Self::I64(vector) => vector.owner,
        }
    }
}

/// Refuses a compressed sparse matrix of `lines` lines of length `width` whose indices lead out of it, before anybody
/// else looks at it; `stored` is the number of its entries.
#[pyfunction]
pub fn check_sparse(
    lines: usize,
    width: usize,
    indptr: &Bound<'_, PyAny>,
    indices: &Bound<'_, PyAny>,
    stored: usize,
) -> PyResult<()> {
    let (argument, py) = ("A", indptr.py());
    let indptr = IndexVector::extract(indptr, argument)?;
    let indices = IndexVector::extract(indices, argument)?;
    enter(py, 1, None, |context| {
        check_indices(context, argument, (lines, width), indptr.indices(), indices.indices(), stored)
    })
}

/// What `name` stands for, or an error that lists the names that are known.
#[expect(clippy::disallowed_methods, reason = "a few words")]
pub fn named<T: Copy>(argument: &'static str, name: &str, known: &[(&str, T)]) -> Result<T> {
    known.iter().find(|(known, _)| *known == name).map(|&(_, value)| value).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|&(name, _)| name).collect();
        Error::value(argument, format!("'{name}'"), format!("one of {}", names.join(", ")))
    })
}

/// `a` as a NumPy array in Fortran order: the same memory for `f64`, rounded for `f32`.
pub fn to_numpy<T: Real + Element>(py: Python<'_>, a: Mat<f64>) -> PyResult<Bound<'_, PyAny>> {
    if T::as_f64(&[]).is_some() {
        return adopt(py, a).map(Bound::into_any);
    }
    let rounded = enter(py, 1, None, |context| {
        let mut rounded = Mat::<T>::zeros(a.nrows(), a.ncols())?;
        for piece in context.pieces(0..a.as_slice().len()) {
            let piece = piece?;
            let entries = rounded.as_mut_slice()[piece.clone()].iter_mut().zip(&a.as_slice()[piece]);
            entries.for_each(|(out, &entry)| *out = T::from_f64(entry));
        }
        Ok(rounded)
    })?;
    adopt(py, rounded).map(Bound::into_any)
}

/// [`to_numpy`] in single or in double precision.
pub fn to_array(py: Python<'_>, a: Mat<f64>, single: bool) -> PyResult<Bound<'_, PyAny>> {
    if single { to_numpy::<f32>(py, a) } else { to_numpy::<f64>(py, a) }
}

/// Keeps a matrix alive for as long as the NumPy array that shows it.
#[pyclass(frozen, module = "nearlin._core")]
struct Storage {
    _matrix: Box<dyn std::any::Any + Send + Sync>,
}

/// Numbers as a NumPy vector, in the same memory.
pub fn to_vector(py: Python<'_>, mut values: Buffer<f64>) -> PyResult<Bound<'_, PyArray1<f64>>> {
    let (len, start) = (values.len(), values.as_mut_ptr());
    let storage = Bound::new(py, Storage { _matrix: Box::new(values) })?;
    // SAFETY: as in `adopt`.
    Ok(unsafe {
        let view = ArrayView1::from_shape_ptr(len, start);
        PyArray1::borrow_from_array(&view, storage.into_any())
    })
}

fn adopt<T: Real + Element>(py: Python<'_>, mut a: Mat<T>) -> PyResult<Bound<'_, PyArray2<T>>> {
    let shape = (a.nrows(), a.ncols()).f();
    let start = a.as_mut_slice().as_mut_ptr();
    let storage = Bound::new(py, Storage { _matrix: Box::new(a) })?;
    // SAFETY: the matrix is column-major without gaps, its buffer does not move with it, and from here
    // on only NumPy touches it.
    Ok(unsafe {
        let view = ArrayView2::from_shape_ptr(shape, start);
        PyArray2::borrow_from_array(&view, storage.into_any())
    })
}

/// SciPy's sparse matrices are known by their looks: SciPy may not even have been imported.
fn is_sparse(object: &Bound<'_, PyAny>) -> bool {
    // An attribute that is not there is an exception, which takes longer to make than a small answer.
    let is_array = object.cast::<PyUntypedArray>().is_ok();
    !is_array
        && object.getattr(intern!(object.py(), "format")).is_ok_and(|format| {
            format.cast::<PyString>().is_ok_and(|format| *format == "csr" || *format == "csc")
        })
}

fn as_array<'a, 'py>(
    object: &'a Bound<'py, PyAny>,
    argument: &'static str,
) -> PyResult<&'a Bound<'py, PyUntypedArray>> {
    object.cast().map_err(|_| {
        let found = object.get_type().name().map_or_else(|_| "?".into(), |name| name.to_string());
        type_error(argument, format!("of type {found}"), "a NumPy array or a CSR or CSC matrix")
    })
}

/// The view of an array that needs no copy, if there is one.
///
/// # Safety
/// The array must outlive every use of the view.
unsafe fn dense_view<T: Real + Element>(array: &Bound<'_, PyUntypedArray>) -> Option<Dense<'static, T>> {
    let [nrows, ncols] = *array.shape() else { return None };
    if nrows == 0 || ncols == 0 {
        return same_type::<T>(array).then(|| Dense::row_major(&[], nrows, ncols));
    }
    let [row_stride, col_stride] = strides_in_elements::<T, 2>(array)?;
    // A stride that is never taken may hold anything.
    let (row_stride, col_stride) = match (nrows, ncols) {
        (1, _) => (ncols * col_stride, col_stride),
        (_, 1) => (row_stride, 1),
        _ => (row_stride, col_stride),
    };
    if row_stride != 1 && col_stride != 1 {
        return None;
    }
    let span = (nrows - 1) * row_stride + (ncols - 1) * col_stride + 1;
    // SAFETY: NumPy vouches for every entry between the first and the last; they are aligned and of
    // this type (see `strides_in_elements`), and the caller keeps the array.
    let data = unsafe { std::slice::from_raw_parts(first_entry(array), span) };
    Dense::strided(data, nrows, ncols, row_stride, col_stride).ok()
}

/// The slice that a contiguous vector is, if it is one.
///
/// # Safety
/// The array must outlive every use of the slice.
unsafe fn vector_view<T: Element>(array: &Bound<'_, PyUntypedArray>) -> Option<&'static [T]> {
    let len = array.len();
    if len == 0 {
        return same_type::<T>(array).then_some(&[]);
    }
    let strides = strides_in_elements::<T, 1>(array)?;
    // SAFETY: as in `dense_view`.
    (len == 1 || strides == [1]).then(|| unsafe { std::slice::from_raw_parts(first_entry(array), len) })
}

/// Strides in elements, unless the array is of another type or byte order, misaligned, or reversed.
fn strides_in_elements<T: Element, const N: usize>(array: &Bound<'_, PyUntypedArray>) -> Option<[usize; N]> {
    let aligned = first_entry::<T>(array).is_aligned();
    if !same_type::<T>(array) || !aligned || array.ndim() != N {
        return None;
    }
    let mut strides = [1; N];
    for ((stride, &bytes), &len) in strides.iter_mut().zip(array.strides()).zip(array.shape()) {
        if len > 1 {
            let bytes = usize::try_from(bytes).ok()?;
            *stride = bytes.is_multiple_of(size_of::<T>()).then_some(bytes / size_of::<T>())?;
        }
    }
    Some(strides)
}

fn same_type<T: Element>(array: &Bound<'_, PyUntypedArray>) -> bool {
    array.dtype().is_equiv_to(&dtype::<T>(array.py()))
}

fn first_entry<T>(array: &Bound<'_, PyUntypedArray>) -> *const T {
    // SAFETY: the pointer is that of a live array object, whose header is always readable.
    unsafe { (*array.as_array_ptr()).fields.data.cast_const().cast() }
}

/// A copy in native byte order and C order; the type may differ in nothing else.
fn copy_in_c_order<'py, T: Element>(
    array: &Bound<'py, PyUntypedArray>,
    argument: &'static str,
) -> PyResult<Bound<'py, PyUntypedArray>> {
    let (found, wanted) = (array.dtype(), dtype::<T>(array.py()));
    if (found.kind(), found.itemsize()) != (wanted.kind(), wanted.itemsize()) {
        return Err(type_error(argument, format!("of dtype {found}"), &wanted.to_string()));
    }
    let options = [("order", "C")].into_py_dict(array.py())?;
    options.set_item("subok", false)?;
    let copy = array.call_method("astype", (wanted,), Some(&options));
    Ok(in_our_words(array, copy)?.cast_into()?)
}

/// A copy of an array that NumPy made, or [`Error::Allocation`] where it had no memory for one.
fn in_our_words<'py>(
    array: &Bound<'py, PyUntypedArray>,
    copy: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    copy.map_err(|error| match error.is_instance_of::<PyMemoryError>(array.py()) {
        true => {
            let bytes = array.len() as u128 * array.dtype().itemsize() as u128;
            Error::Allocation { bytes, purpose: "a copy of an array" }.into()
        }
        false => error,
    })
}

fn wrong_ndim(argument: &'static str, found: usize, expected: usize) -> PyErr {
    Error::shape(argument, format!("{found} dimension(s)"), expected).into()
}

fn not_as_asked(argument: &'static str) -> PyErr {
    Error::Internal(format!("NumPy copied `{argument}` in another layout than asked")).into()
}
