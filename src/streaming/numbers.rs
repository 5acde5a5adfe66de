//! Numbers of a state.

use crate::error::Result;
use crate::matrix::Buffer;
use crate::parallel::Context;
use crate::state::Floats;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ops::{Deref, DerefMut};

/// What memory is for.
const STATE: &str = "the state of a stream";

/// So many numbers: allocated and copied fallibly, written as one run of bytes. Those that are read are finite.
pub struct Numbers(Buffer<f64>);

impl Numbers {
    /// Zeros.
    pub fn zeros(len: usize) -> Result<Self> {
        Buffer::zeros(len, STATE).map(Self)
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        Buffer::copy_of(self, STATE).map(Self)
    }

    /// Times a power of two, all of them.
    pub fn scale(&mut self, factor: f64) {
        self.iter_mut().for_each(|number| *number *= factor);
    }
}

impl Deref for Numbers {
    type Target = [f64];
    fn deref(&self) -> &[f64] {
        &self.0
    }
}

impl DerefMut for Numbers {
    fn deref_mut(&mut self) -> &mut [f64] {
        &mut self.0
    }
}

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        Floats::Numbers(&self.0[..]).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let saved = Floats::<f64>::deserialize(deserializer)?;
        let mut numbers = Self::zeros(saved.len()).map_err(D::Error::custom)?;
        saved.copy_to(&Context::new(1), &mut numbers).map_err(D::Error::custom)?;
        if numbers.iter().any(|number| !number.is_finite()) {
            return Err(D::Error::custom("a number is not finite"));
        }
        Ok(numbers)
    }
}
