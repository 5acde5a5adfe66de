//! Numbers of a state.

use crate::error::Result;
use crate::matrix::{Buffer, Real};
use crate::parallel::Context;
use crate::simd::widen;
use crate::state::{Floats, Stored, carried};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ops::{Deref, DerefMut, Range};

/// What memory is for.
const STATE: &str = "the state of a stream";

/// So many numbers: allocated and copied fallibly, written as one run of bytes. Those that are read are finite.
pub struct Numbers<T = f64>(Buffer<T>);

impl<T: Real> Numbers<T> {
    /// Zeros.
    pub fn zeros(len: usize) -> Result<Self> {
        Buffer::zeros(len, STATE).map(Self)
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        Self::copy_of(self)
    }

    /// A copy of some.
    pub fn copy_of(numbers: &[T]) -> Result<Self> {
        Buffer::copy_of(numbers, STATE).map(Self)
    }
}

impl Numbers {
    /// Times a power of two, all of them.
    pub fn scale(&mut self, factor: f64) {
        self.iter_mut().for_each(|number| *number *= factor);
    }
}

impl<T: Real> Deref for Numbers<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Real> DerefMut for Numbers<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T: Real + Stored> Serialize for Numbers<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        Floats::Numbers(&self.0[..]).serialize(serializer)
    }
}

impl<'de, T: Real + Stored> Deserialize<'de> for Numbers<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let saved = Floats::<T>::deserialize(deserializer)?;
        let mut numbers = Self::zeros(saved.len()).map_err(carried)?;
        saved.copy_to(&Context::new(1), &mut numbers).map_err(D::Error::custom)?;
        if numbers.iter().any(|number| !number.to_f64().is_finite()) {
            return Err(D::Error::custom("a number is not finite"));
        }
        Ok(numbers)
    }
}

/// Rows that others are multiplied by, in the precision of those.
#[derive(Serialize, Deserialize)]
pub enum Directions {
    Double(Numbers),
    Single(Numbers<f32>),
}

impl Directions {
    /// These, rounded if others are in single precision.
    pub fn new(numbers: Numbers, single: bool) -> Result<Self> {
        if !single {
            return Ok(Self::Double(numbers));
        }
        let mut rounded = Numbers::zeros(numbers.len())?;
        rounded.iter_mut().zip(numbers.iter()).for_each(|(to, from)| *to = *from as f32);
        Ok(Self::Single(rounded))
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        Ok(match self {
            Self::Double(numbers) => Self::Double(numbers.copy()?),
            Self::Single(numbers) => Self::Single(numbers.copy()?),
        })
    }

    /// Whether others are in single precision.
    pub fn is_single(&self) -> bool {
        matches!(self, Self::Single(_))
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Double(numbers) => numbers.len(),
            Self::Single(numbers) => numbers.len(),
        }
    }

    /// How many in double precision they take the room of.
    pub fn size(&self) -> usize {
        if self.is_single() { self.len().div_ceil(2) } else { self.len() }
    }

    /// Some of them in double precision.
    pub fn widened(&self, range: Range<usize>) -> Result<Numbers> {
        match self {
            Self::Double(numbers) => Numbers::copy_of(&numbers[range]),
            Self::Single(numbers) => {
                let mut wide = Numbers::zeros(range.len())?;
                widen(&numbers[range], &mut wide);
                Ok(wide)
            }
        }
    }
}
