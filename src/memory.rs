//! Vectors whose length the caller's numbers decide: an error instead of an abort when memory runs out.

#![expect(clippy::disallowed_methods, reason = "each is preceded by what may fail")]

use crate::error::{Error, Result};

/// An empty vector with room for `len` elements, or [`Error::Allocation`].
pub fn room_for<T>(len: usize, purpose: &'static str) -> Result<Vec<T>> {
    let mut vector = Vec::new();
    vector.try_reserve_exact(len).map_err(|_| failed::<T>(len, purpose))?;
    Ok(vector)
}

/// A vector of `len` zeros (or whatever the default of its elements is), or [`Error::Allocation`].
pub fn zeros<T: Clone + Default>(len: usize, purpose: &'static str) -> Result<Vec<T>> {
    filled(T::default(), len, purpose)
}

/// A vector of `len` times the same, or [`Error::Allocation`].
pub fn filled<T: Clone>(value: T, len: usize, purpose: &'static str) -> Result<Vec<T>> {
    let mut vector = room_for(len, purpose)?;
    vector.resize(len, value);
    Ok(vector)
}

/// A copy of a slice, or [`Error::Allocation`].
pub fn copied<T: Copy>(slice: &[T], purpose: &'static str) -> Result<Vec<T>> {
    let mut vector = room_for(slice.len(), purpose)?;
    vector.extend_from_slice(slice);
    Ok(vector)
}

/// What an iterator gives, as `collect` would have it, or [`Error::Allocation`].
pub fn collected<T>(items: impl IntoIterator<Item = T>, purpose: &'static str) -> Result<Vec<T>> {
    let mut vector = Vec::new();
    extend(&mut vector, items, purpose)?;
    Ok(vector)
}

/// [`collected`] of items that are had or not; the first error is the result.
pub fn gathered<T, E: From<Error>>(
    items: impl IntoIterator<Item = std::result::Result<T, E>>,
    purpose: &'static str,
) -> std::result::Result<Vec<T>, E> {
    let items = items.into_iter();
    let mut vector = room_for(items.size_hint().0, purpose)?;
    for item in items {
        push(&mut vector, item?, purpose)?;
    }
    Ok(vector)
}

/// Appends what an iterator gives, or [`Error::Allocation`].
pub fn extend<T>(
    vector: &mut Vec<T>,
    items: impl IntoIterator<Item = T>,
    purpose: &'static str,
) -> Result<()> {
    let mut items = items.into_iter();
    let sure = items.size_hint().0;
    let len = vector.len().saturating_add(sure);
    vector.try_reserve(sure).map_err(|_| failed::<T>(len, purpose))?;
    // There is room for these, so that they need not be asked about one by one.
    vector.extend(items.by_ref().take(sure));
    for item in items {
        push(vector, item, purpose)?;
    }
    Ok(())
}

/// Appends an element, or leaves the vector as it was with [`Error::Allocation`].
pub fn push<T>(vector: &mut Vec<T>, item: T, purpose: &'static str) -> Result<()> {
    if vector.len() == vector.capacity() {
        vector.try_reserve(1).map_err(|_| failed::<T>(vector.len() + 1, purpose))?;
    }
    vector.push(item);
    Ok(())
}

/// Makes sure that a buffer takes `len` elements in place of its own without another allocation.
pub fn prepare<T>(buffer: &mut Vec<T>, len: usize, purpose: &'static str) -> Result<()> {
    buffer.clear();
    buffer.try_reserve_exact(len).map_err(|_| failed::<T>(len, purpose))
}

/// Makes a buffer one of `len` zeros, or leaves it empty with [`Error::Allocation`].
pub fn reset<T: Clone + Default>(buffer: &mut Vec<T>, len: usize, purpose: &'static str) -> Result<()> {
    buffer.clear();
    resize(buffer, len, T::default(), purpose)
}

/// Cuts a vector to `len` elements or fills it up with more of the same, or leaves it as it was with
/// [`Error::Allocation`].
pub fn resize<T: Clone>(vector: &mut Vec<T>, len: usize, value: T, purpose: &'static str) -> Result<()> {
    let more = len.saturating_sub(vector.len());
    vector.try_reserve_exact(more).map_err(|_| failed::<T>(len, purpose))?;
    vector.resize(len, value);
    Ok(())
}

fn failed<T>(len: usize, purpose: &'static str) -> Error {
    Error::Allocation { bytes: len as u128 * size_of::<T>() as u128, purpose }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_an_error() {
        let refused = Error::Allocation { bytes: 8 << 60, purpose: "a test" };
        assert_eq!(zeros::<f64>(1 << 60, "a test"), Err(refused.clone()));
        assert_eq!(filled(1.0, 1 << 60, "a test"), Err(refused.clone()));
        assert_eq!(collected((0..1u64 << 60).map(|i| i as f64), "a test"), Err(refused.clone()));
        assert_eq!(gathered((0..1u64 << 60).map(Ok::<_, Error>), "a test"), Err(refused.clone()));
        let mut kept = vec![7.0];
        assert!(extend(&mut kept, std::iter::repeat_n(0.0, 1 << 60), "a test").is_err());
        assert_eq!(kept, [7.0]);
        assert_eq!(prepare(&mut vec![1.0], 1 << 60, "a test"), Err(refused));
        assert!(matches!(room_for::<u64>(usize::MAX, "a test"), Err(Error::Allocation { .. })));
    }

    #[test]
    fn what_fits_is_what_the_standard_library_makes() {
        assert_eq!(zeros::<u32>(3, "a test"), Ok(vec![0; 3]));
        assert_eq!(collected((0..100).filter(|i| i % 7 == 0), "a test"), Ok((0..100).step_by(7).collect()));
        assert_eq!(copied(&[1, 2], "a test"), Ok(vec![1, 2]));
        assert_eq!(gathered([Ok::<_, Error>(1), Ok(2)], "a test"), Ok(vec![1, 2]));
        assert_eq!(gathered([Ok(1), Err(Error::Interrupted)], "a test"), Err(Error::Interrupted));
        let mut buffer = vec![1.0];
        extend(&mut buffer, (0..3).map(f64::from), "a test").unwrap();
        assert_eq!(buffer, [1.0, 0.0, 1.0, 2.0]);
        prepare(&mut buffer, 5, "a test").unwrap();
        assert!(buffer.is_empty() && buffer.capacity() >= 5);
        buffer.push(1.0);
        reset(&mut buffer, 2, "a test").unwrap();
        assert_eq!(buffer, [0.0, 0.0]);
        resize(&mut buffer, 3, 1.0, "a test").unwrap();
        assert_eq!(buffer, [0.0, 0.0, 1.0]);
        resize(&mut buffer, 1, 1.0, "a test").unwrap();
        assert_eq!(buffer, [0.0]);
    }
}
