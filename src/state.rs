//! The byte form of everything that is kept between calls: versioned, checksummed, safe against any bytes.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `nearlin` and a zero |
//! | 16 | kind of state, filled up with zeros |
//! | 4 | version of that kind |
//! | 8 | length of the payload |
//! | 4 | CRC-32 of the three fields above and of the payload |
//! | | payload, in postcard's format |
//!
//! Numbers are little-endian. A checksum is no signature: whoever decodes a payload still checks that it makes
//! sense. Nothing is allocated that the bytes at hand do not fill.

use crate::error::{Error, Result};
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const MAGIC: [u8; 8] = *b"nearlin\0";
const KIND: usize = 16;
const HEADER: usize = MAGIC.len() + KIND + 4 + 8 + 4;

/// The bytes of a state. `kind` has at most 16 bytes.
pub fn to_bytes(kind: &str, version: u32, payload: &impl Serialize) -> Result<Vec<u8>> {
    let failed = |error: postcard::Error| Error::Internal(format!("cannot encode a state: {error}"));
    let payload = postcard::to_stdvec(payload).map_err(failed)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(HEADER + payload.len()).map_err(|_| Error::Allocation {
        bytes: (HEADER + payload.len()) as u128,
        purpose: "the bytes of a state",
    })?;
    bytes.extend(MAGIC);
    bytes.extend(kind_field(kind));
    bytes.extend(version.to_le_bytes());
    bytes.extend((payload.len() as u64).to_le_bytes());
    bytes.extend(checksum(&bytes[MAGIC.len()..], &payload).to_le_bytes());
    bytes.extend(payload);
    Ok(bytes)
}

/// The payload that [`to_bytes`] was given, if it was of that kind and version.
pub fn from_bytes<'a, T: Deserialize<'a>>(kind: &str, version: u32, bytes: &'a [u8]) -> Result<T> {
    let refuse = |why: &str| Err(Error::State(why.into()));
    if bytes.len() < HEADER || bytes[..MAGIC.len()] != MAGIC {
        return refuse("these are not the bytes of a state of nearlin, or not all of them");
    }
    let (header, payload) = bytes.split_at(HEADER);
    let (header, sum) = header.split_at(HEADER - 4);
    let (fields, length) = header[MAGIC.len()..].split_at(KIND + 4);
    let (found_kind, found_version) = fields.split_at(KIND);
    if length != (payload.len() as u64).to_le_bytes() {
        return refuse("bytes are missing or too many");
    }
    if sum != checksum(&header[MAGIC.len()..], payload).to_le_bytes() {
        return refuse("the checksum is wrong: the bytes were damaged");
    }
    if found_kind != kind_field(kind) {
        let found = String::from_utf8_lossy(found_kind);
        return refuse(&format!("this is the state of a {}, not of a {kind}", found.trim_end_matches('\0')));
    }
    if found_version != version.to_le_bytes() {
        return refuse(
            "it was written by another version of nearlin, in a format that this one does not know",
        );
    }
    match postcard::take_from_bytes(payload) {
        Ok((payload, [])) => Ok(payload),
        _ => refuse("its content does not make sense"),
    }
}

fn kind_field(kind: &str) -> [u8; KIND] {
    std::array::from_fn(|k| kind.as_bytes().get(k).copied().unwrap_or(0))
}

fn checksum(fields: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(fields);
    hasher.update(payload);
    hasher.finalize()
}

/// Numbers as one run of bytes, which is faster than one by one. Decoding keeps the bytes where they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Floats<'a> {
    /// To be written.
    Numbers(&'a [f64]),
    /// Read: eight little-endian bytes each.
    Bytes(&'a [u8]),
}

impl Floats<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Bytes(bytes) => bytes.len() / 8,
        }
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes them to a slice of as many numbers.
    pub fn copy_to(&self, out: &mut [f64]) {
        match self {
            Self::Numbers(numbers) => out.copy_from_slice(numbers),
            Self::Bytes(bytes) => {
                let (numbers, _) = bytes.as_chunks();
                assert_eq!(numbers.len(), out.len());
                for (out, &number) in out.iter_mut().zip(numbers) {
                    *out = f64::from_le_bytes(number);
                }
            }
        }
    }
}

impl Serialize for Floats<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Numbers(numbers) => {
                let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
                serializer.serialize_bytes(&bytes)
            }
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Floats<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Borrowed;
        impl<'de> Visitor<'de> for Borrowed {
            type Value = &'de [u8];
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("bytes, eight for each number")
            }
            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> std::result::Result<Self::Value, E> {
                Ok(bytes)
            }
        }
        let bytes = deserializer.deserialize_bytes(Borrowed)?;
        if bytes.len() % 8 != 0 {
            return Err(D::Error::custom("a number is cut off"));
        }
        Ok(Self::Bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Payload<'a> {
        names: Vec<String>,
        #[serde(borrow)]
        numbers: Floats<'a>,
    }

    fn sample() -> Vec<u8> {
        let numbers = Floats::Numbers(&[1.5, -0.0, f64::MAX]);
        to_bytes("test", 3, &Payload { names: vec!["a".into(), "bc".into()], numbers }).unwrap()
    }

    #[test]
    fn a_state_survives_the_round_trip() {
        let bytes = sample();
        let payload: Payload = from_bytes("test", 3, &bytes).unwrap();
        let mut numbers = [0.0; 3];
        payload.numbers.copy_to(&mut numbers);
        assert_eq!(numbers.map(f64::to_bits), [1.5f64, -0.0, f64::MAX].map(f64::to_bits));
        assert_eq!(payload.names, ["a", "bc"]);
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_noticed() {
        let bytes = sample();
        for len in 0..bytes.len() {
            assert!(matches!(from_bytes::<Payload>("test", 3, &bytes[..len]), Err(Error::State(_))));
        }
        for bit in 0..8 * bytes.len() {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(from_bytes::<Payload>("test", 3, &damaged), Err(Error::State(_))), "bit {bit}");
        }
    }

    #[test]
    fn other_kinds_versions_and_lengths_are_refused() {
        let bytes = sample();
        let message = |kind, version| from_bytes::<Payload>(kind, version, &bytes).unwrap_err().to_string();
        assert!(message("other", 3).contains("state of a test"));
        assert!(message("test", 4).contains("another version"));
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(from_bytes::<Payload>("test", 3, &longer).is_err());
    }

    #[test]
    fn a_length_that_the_bytes_do_not_hold_is_refused_without_allocating_it() {
        // A postcard payload that announces 2^60 strings, or bytes, under a valid checksum.
        let huge = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
        let mut bytes = to_bytes("test", 3, &()).unwrap();
        bytes.extend(huge);
        let at = HEADER - 12;
        bytes[at..at + 8].copy_from_slice(&(huge.len() as u64).to_le_bytes());
        let sum = checksum(&bytes[MAGIC.len()..HEADER - 4], &huge);
        bytes[HEADER - 4..HEADER].copy_from_slice(&sum.to_le_bytes());
        assert!(matches!(from_bytes::<Vec<String>>("test", 3, &bytes), Err(Error::State(_))));
        assert!(matches!(from_bytes::<Floats>("test", 3, &bytes), Err(Error::State(_))));
    }
}
