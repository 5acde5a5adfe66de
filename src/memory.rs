//! Vectors whose length the caller's numbers decide: an error instead of an abort when memory runs out.

use crate::error::{Error, Result};

/// An empty vector with room for `len` elements, or [`Error::Allocation`].
pub fn room_for<T>(len: usize, purpose: &'static str) -> Result<Vec<T>> {
    let mut vector = Vec::new();
    vector.try_reserve_exact(len).map_err(|_| failed::<T>(len, purpose))?;
    Ok(vector)
}

/// A vector of `len` zeros (or whatever the default of its elements is), or [`Error::Allocation`].
pub fn zeros<T: Clone + Default>(len: usize, purpose: &'static str) -> Result<Vec<T>> {
    let mut vector = room_for(len, purpose)?;
    vector.resize(len, T::default());
    Ok(vector)
}

/// What an iterator gives, as `collect` would have it, or [`Error::Allocation`].
pub fn collected<T>(items: impl IntoIterator<Item = T>, purpose: &'static str) -> Result<Vec<T>> {
    let items = items.into_iter();
    let mut vector = room_for(items.size_hint().0, purpose)?;
    for item in items {
        push(&mut vector, item, purpose)?;
    }
    Ok(vector)
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
        assert_eq!(collected((0..1u64 << 60).map(|i| i as f64), "a test"), Err(refused.clone()));
        assert_eq!(prepare(&mut vec![1.0], 1 << 60, "a test"), Err(refused));
        assert!(matches!(room_for::<u64>(usize::MAX, "a test"), Err(Error::Allocation { .. })));
    }

    #[test]
    fn what_fits_is_what_the_standard_library_makes() {
        assert_eq!(zeros::<u32>(3, "a test"), Ok(vec![0; 3]));
        assert_eq!(collected((0..100).filter(|i| i % 7 == 0), "a test"), Ok((0..100).step_by(7).collect()));
        let mut buffer = vec![1.0];
        prepare(&mut buffer, 5, "a test").unwrap();
        assert!(buffer.is_empty() && buffer.capacity() >= 5);
    }
}
