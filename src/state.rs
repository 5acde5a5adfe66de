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
use crate::matrix::{Mat, Real};
use crate::memory::{push, zeros};
use crate::parallel::Context;
use postcard::ser_flavors::Flavor;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cell::Cell;
use std::marker::PhantomData;

const MAGIC: [u8; 8] = *b"nearlin\0";
const KIND: usize = 16;
/// Bytes that are worked on before anybody could interrupt.
const PIECE: usize = 1 << 22;
const HEADER: usize = MAGIC.len() + KIND + 4 + 8 + 4;

/// How many bytes [`write()`] fills for a payload.
pub fn size(payload: &impl Serialize) -> Result<usize> {
    Ok(HEADER + encode(payload, Counted(0))?)
}

/// Writes the bytes of a state to `bytes`, of which there are [`size`]. `kind` has at most 16 bytes.
pub fn write(
    context: &Context,
    kind: &str,
    version: u32,
    payload: &impl Serialize,
    bytes: &mut [u8],
) -> Result<()> {
    let (header, body) = bytes.split_at_mut_checked(HEADER).ok_or_else(too_few)?;
    let length = body.len();
    let mut stopped = Ok(());
    let written = encode(payload, Written { context, rest: &mut *body, stopped: &mut stopped });
    stopped?;
    if written? != 0 {
        return Err(too_few());
    }
    let (magic, header) = header.split_at_mut(MAGIC.len());
    let (fields, sum) = header.split_at_mut(KIND + 4 + 8);
    magic.copy_from_slice(&MAGIC);
    fields[..KIND].copy_from_slice(&kind_field(kind));
    fields[KIND..KIND + 4].copy_from_slice(&version.to_le_bytes());
    fields[KIND + 4..].copy_from_slice(&(length as u64).to_le_bytes());
    sum.copy_from_slice(&checksum(context, fields, body)?.to_le_bytes());
    Ok(())
}

/// The bytes of a state. `kind` has at most 16 bytes.
pub fn to_bytes(context: &Context, kind: &str, version: u32, payload: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = zeros(size(payload)?, "the bytes of a state")?;
    write(context, kind, version, payload, &mut bytes)?;
    Ok(bytes)
}

fn too_few() -> Error {
    Error::Internal("a state has another size than announced".into())
}

fn encode<F: Flavor>(payload: &impl Serialize, flavor: F) -> Result<F::Output> {
    let failed = |error| Error::Internal(format!("cannot encode a state: {error}"));
    postcard::serialize_with_flavor(payload, flavor).map_err(failed)
}

/// Counts the bytes that it is given.
struct Counted(usize);

impl Flavor for Counted {
    type Output = usize;

    fn try_push(&mut self, _: u8) -> postcard::Result<()> {
        self.try_extend(&[0])
    }

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0 += data.len();
        Ok(())
    }

    fn finalize(self) -> postcard::Result<usize> {
        Ok(self.0)
    }
}

/// Writes bytes where there is room for them, and says in the end how much of it is left.
struct Written<'w> {
    context: &'w Context<'w>,
    rest: &'w mut [u8],
    stopped: &'w mut Result<()>,
}

impl Flavor for Written<'_> {
    type Output = usize;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        for piece in data.chunks(PIECE) {
            *self.stopped = self.context.tick();
            let room = std::mem::take(&mut self.rest).split_at_mut_checked(piece.len());
            let (Some((to, rest)), Ok(())) = (room, &self.stopped) else {
                return Err(postcard::Error::SerializeBufferFull);
            };
            to.copy_from_slice(piece);
            self.rest = rest;
        }
        Ok(())
    }

    fn finalize(self) -> postcard::Result<usize> {
        Ok(self.rest.len())
    }
}

/// The payload that [`to_bytes`] was given, if it was of that kind and version.
pub fn from_bytes<'a, T: Deserialize<'a>>(
    context: &Context,
    kind: &str,
    version: u32,
    bytes: &'a [u8],
) -> Result<T> {
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
    if sum != checksum(context, &header[MAGIC.len()..], payload)?.to_le_bytes() {
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
    SHORT.take();
    match (postcard::take_from_bytes(payload), SHORT.take()) {
        (Ok((payload, [])), _) => Ok(payload),
        (_, Some(short)) => Err(short),
        _ => refuse("its content does not make sense"),
    }
}

fn kind_field(kind: &str) -> [u8; KIND] {
    std::array::from_fn(|k| kind.as_bytes().get(k).copied().unwrap_or(0))
}

fn checksum(context: &Context, fields: &[u8], payload: &[u8]) -> Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(fields);
    for piece in payload.chunks(PIECE) {
        context.tick()?;
        hasher.update(piece);
    }
    Ok(hasher.finalize())
}

thread_local! {
    /// What there was no memory for while bytes were read, which serde takes for damage.
    static SHORT: Cell<Option<Error>> = const { Cell::new(None) };
}

/// An error on its way through serde.
pub fn carried<E: serde::de::Error>(error: Error) -> E {
    let told = E::custom(&error);
    if matches!(error, Error::Allocation { .. }) {
        SHORT.set(Some(error));
    }
    told
}

/// A number that a state may hold.
pub trait Stored: Real {
    /// The number that little-endian bytes stand for, as many as the number has.
    fn from_bytes(bytes: &[u8]) -> Self;
}

macro_rules! stored {
    ($number:ty) => {
        impl Stored for $number {
            fn from_bytes(bytes: &[u8]) -> Self {
                bytes.first_chunk().map_or(<$number>::NAN, |bytes| <$number>::from_le_bytes(*bytes))
            }
        }
    };
}
stored!(f64);
stored!(f32);

/// Numbers as one run of bytes, which is faster than one by one. Decoding keeps the bytes where they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Floats<'a, T = f64> {
    /// To be written.
    Numbers(&'a [T]),
    /// Read: little-endian, eight or four bytes each.
    Bytes(&'a [u8]),
}

impl<T: Stored> Floats<'_, T> {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Bytes(bytes) => bytes.len() / size_of::<T>(),
        }
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes them to a slice of as many numbers.
    pub fn copy_to(&self, context: &Context, out: &mut [T]) -> Result<()> {
        assert_eq!(self.len(), out.len());
        let (size, count) = (size_of::<T>(), PIECE / size_of::<T>());
        for (k, out) in out.chunks_mut(count).enumerate() {
            context.tick()?;
            let piece = k * count..k * count + out.len();
            match self {
                Self::Numbers(numbers) => out.copy_from_slice(&numbers[piece]),
                Self::Bytes(bytes) => {
                    let numbers = bytes[piece.start * size..piece.end * size].chunks_exact(size);
                    out.iter_mut().zip(numbers).for_each(|(out, number)| *out = T::from_bytes(number));
                }
            }
        }
        Ok(())
    }
}

impl<T: Stored> Serialize for Floats<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Numbers(numbers) => {
                const { assert!(cfg!(target_endian = "little"), "numbers are written as they lie in memory") };
                // SAFETY: `f64` and `f32` are nothing but their bytes.
                let bytes = unsafe {
                    std::slice::from_raw_parts(numbers.as_ptr().cast::<u8>(), size_of_val(*numbers))
                };
                serializer.serialize_bytes(bytes)
            }
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
        }
    }
}

impl<'de: 'a, 'a, T: Stored> Deserialize<'de> for Floats<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Borrowed;
        impl<'de> Visitor<'de> for Borrowed {
            type Value = &'de [u8];
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("bytes, as many for each number as it has")
            }
            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> std::result::Result<Self::Value, E> {
                Ok(bytes)
            }
        }
        let bytes = deserializer.deserialize_bytes(Borrowed)?;
        if bytes.len() % size_of::<T>() != 0 {
            return Err(D::Error::custom("a number is cut off"));
        }
        Ok(Self::Bytes(bytes))
    }
}

/// For `#[serde(with = "run")]`: numbers of one's own as one run of bytes.
pub mod run {
    use super::{Context, Deserialize, Deserializer, Floats, Serialize, Serializer, carried, zeros};
    use serde::de::Error as _;

    /// Writes them.
    pub fn serialize<S: Serializer>(numbers: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        Floats::Numbers(numbers).serialize(serializer)
    }

    /// Reads them.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        let saved = Floats::<f64>::deserialize(deserializer)?;
        let mut numbers = zeros(saved.len(), "numbers of a state").map_err(carried)?;
        saved.copy_to(&Context::new(1), &mut numbers).map_err(D::Error::custom)?;
        Ok(numbers)
    }
}

/// For `#[serde(with = "matrix")]`: its shape and its numbers.
pub mod matrix {
    use super::{Context, Deserialize, Deserializer, Floats, Mat, Serialize, Serializer, carried};
    use serde::de::Error as _;

    /// Writes it.
    pub fn serialize<S: Serializer>(a: &Mat<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        (a.nrows(), a.ncols(), Floats::Numbers(a.as_slice())).serialize(serializer)
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Mat<f64>, D::Error> {
        let (nrows, ncols, saved): (usize, usize, Floats<'de>) = Deserialize::deserialize(deserializer)?;
        if nrows.checked_mul(ncols) != Some(saved.len()) {
            return Err(D::Error::custom("a matrix is cut off"));
        }
        let mut a = Mat::zeros(nrows, ncols).map_err(carried)?;
        saved.copy_to(&Context::new(1), a.as_mut_slice()).map_err(D::Error::custom)?;
        Ok(a)
    }
}

/// Blocks of numbers that came one after the other, written from where they lie.
#[derive(Clone, Debug, PartialEq)]
pub struct Blocks<'a, T = f64>(pub Vec<Floats<'a, T>>);

impl<T: Stored> Serialize for Blocks<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl<'de: 'a, 'a, T: Stored> Deserialize<'de> for Blocks<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct List<T>(PhantomData<T>);
        impl<'de, T: Stored> Visitor<'de> for List<T> {
            type Value = Vec<Floats<'de, T>>;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a list of blocks of numbers")
            }
            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut blocks: A,
            ) -> std::result::Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(block) = blocks.next_element()? {
                    push(&mut list, block, "the blocks of a state").map_err(carried)?;
                }
                Ok(list)
            }
        }
        deserializer.deserialize_seq(List(PhantomData)).map(Self)
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
        to_bytes(&Context::new(1), "test", 3, &Payload { names: vec!["a".into(), "bc".into()], numbers })
            .unwrap()
    }

    #[test]
    fn a_state_survives_the_round_trip() {
        let bytes = sample();
        let payload: Payload = from_bytes(&Context::new(1), "test", 3, &bytes).unwrap();
        let mut numbers = [0.0; 3];
        payload.numbers.copy_to(&Context::new(1), &mut numbers).unwrap();
        assert_eq!(numbers.map(f64::to_bits), [1.5f64, -0.0, f64::MAX].map(f64::to_bits));
        assert_eq!(payload.names, ["a", "bc"]);
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_noticed() {
        let bytes = sample();
        for len in 0..bytes.len() {
            assert!(matches!(
                from_bytes::<Payload>(&Context::new(1), "test", 3, &bytes[..len]),
                Err(Error::State(_))
            ));
        }
        for bit in 0..8 * bytes.len() {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(
                matches!(from_bytes::<Payload>(&Context::new(1), "test", 3, &damaged), Err(Error::State(_))),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn other_kinds_versions_and_lengths_are_refused() {
        let bytes = sample();
        let message = |kind, version| {
            from_bytes::<Payload>(&Context::new(1), kind, version, &bytes).unwrap_err().to_string()
        };
        assert!(message("other", 3).contains("state of a test"));
        assert!(message("test", 4).contains("another version"));
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(from_bytes::<Payload>(&Context::new(1), "test", 3, &longer).is_err());
    }

    #[test]
    fn a_length_that_the_bytes_do_not_hold_is_refused_without_allocating_it() {
        // A postcard payload that announces 2^60 strings, or bytes, under a valid checksum.
        let huge = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
        let mut bytes = to_bytes(&Context::new(1), "test", 3, &()).unwrap();
        bytes.extend(huge);
        let at = HEADER - 12;
        bytes[at..at + 8].copy_from_slice(&(huge.len() as u64).to_le_bytes());
        let sum = checksum(&Context::new(1), &bytes[MAGIC.len()..HEADER - 4], &huge).unwrap();
        bytes[HEADER - 4..HEADER].copy_from_slice(&sum.to_le_bytes());
        assert!(matches!(
            from_bytes::<Vec<String>>(&Context::new(1), "test", 3, &bytes),
            Err(Error::State(_))
        ));
        assert!(matches!(from_bytes::<Floats>(&Context::new(1), "test", 3, &bytes), Err(Error::State(_))));
    }

    #[test]
    fn lists_of_blocks_of_either_precision_survive_the_round_trip() {
        let context = Context::new(1);
        let blocks: [&[f32]; 4] = [&[1.5, -0.0], &[], &[f32::MAX], &[f32::MIN_POSITIVE, 0.1, 7.0]];
        let wide = [0.1, 0.2];
        let payload = (Blocks(blocks.map(Floats::Numbers).to_vec()), Floats::Numbers(&wide));
        let bytes = to_bytes(&context, "test", 1, &payload).unwrap();
        assert_eq!(bytes.len(), HEADER + 1 + 4 + 6 * 4 + 1 + 2 * 8);
        let (Blocks(found), last): (Blocks<'_, f32>, Floats) =
            from_bytes(&context, "test", 1, &bytes).unwrap();
        assert_eq!(found.iter().map(Floats::len).collect::<Vec<_>>(), [2, 0, 1, 3]);
        for (found, expected) in found.iter().zip(blocks) {
            let mut numbers = vec![1.0f32; expected.len()];
            found.copy_to(&context, &mut numbers).unwrap();
            assert!(numbers.iter().zip(expected).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
        let mut numbers = [0.0; 2];
        last.copy_to(&context, &mut numbers).unwrap();
        assert_eq!(numbers, wide);
        // Six bytes are one number and a half.
        let odd = to_bytes(&context, "test", 1, &Floats::<f32>::Bytes(&[0; 6])).unwrap();
        assert!(matches!(from_bytes::<Floats<'_, f32>>(&context, "test", 1, &odd), Err(Error::State(_))));
    }
}
