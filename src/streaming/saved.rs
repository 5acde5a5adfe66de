//! The bytes of a stream.

use crate::error::{Error, Result};
use crate::parallel::Context;
use crate::state;
use crate::streaming::stream::Stream;
use serde::{Deserialize, Serialize};

const KIND: &str = "StreamingPCA";
const VERSION: u32 = 3;
/// Columns, rows and directions of a state, each: products of two of them are numbers.
const MOST: usize = 1 << 30;

/// A stream to be written, and words that go with it.
#[derive(Serialize)]
pub struct Saved<'s> {
    words: String,
    stream: &'s Stream,
}

#[derive(Deserialize)]
struct Restored {
    words: String,
    stream: Stream,
}

impl Saved<'_> {
    /// How many bytes there will be.
    pub fn size(&self) -> Result<usize> {
        state::size(self)
    }

    /// Writes them.
    pub fn write(&self, context: &Context, bytes: &mut [u8]) -> Result<()> {
        state::write(context, KIND, VERSION, self, bytes)
    }
}

impl Stream {
    /// The stream to be written, with some words.
    pub fn save(&self, words: String) -> Saved<'_> {
        Saved { words, stream: self }
    }

    /// A stream that goes on as the one that was saved would, and the words.
    pub fn from_bytes(context: &Context, bytes: &[u8]) -> Result<(Self, String)> {
        let Restored { words, stream } = state::from_bytes(context, KIND, VERSION, bytes)?;
        let params = stream.params();
        let sizes = [stream.plan().d, params.k, params.width, params.heavy, params.sketch, params.shuffle];
        if sizes.iter().any(|size| *size > MOST) || params.k == 0 || !stream.fits() {
            return Err(Error::State("its content does not make sense".into()));
        }
        Ok((stream, words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{Dense, Matrix};
    use crate::streaming::testing::{params, spiked};
    use crate::streaming::{Algorithm, Params};

    #[test]
    fn what_was_written_goes_on_as_what_was_not() {
        let (n, d) = (700, 12);
        let rows = spiked(n, d, 2.0, 3);
        let context = Context::new(1);
        use Algorithm::*;
        for algorithm in
            [BlockPower, Incremental, Mixed, Oja, FrequentDirections, Sketch, Gram, OjaDecay, AdaOja]
        {
            for (cut, center, shuffle) in [(0, false, 0), (10, true, 0), (40, false, 50), (333, true, 7)] {
                let params = Params { center, shuffle, rate: Some(0.1), ..params(algorithm) };
                let mut stream = Stream::new(&context, params, d).unwrap();
                let add = |stream: &mut Stream, rows: &[f64]| {
                    stream
                        .add(&context, Matrix::Dense(Dense::row_major(rows, rows.len() / d, d)), None)
                        .unwrap();
                };
                add(&mut stream, &rows[..cut * d]);
                let saved = stream.save("words".into());
                let mut bytes = vec![0; saved.size().unwrap()];
                saved.write(&context, &mut bytes).unwrap();
                let (mut other, words) = Stream::from_bytes(&context, &bytes).unwrap();
                assert_eq!((words.as_str(), other.seen()), ("words", cut as u64));
                add(&mut stream, &rows[cut * d..]);
                add(&mut other, &rows[cut * d..]);
                let (one, two) = (stream.answer(&context).unwrap(), other.answer(&context).unwrap());
                assert!(one.components == two.components && one.eigenvalues == two.eigenvalues);
                for at in (40..bytes.len()).step_by(101) {
                    let mut damaged = bytes.clone();
                    damaged[at] ^= 4;
                    assert!(Stream::from_bytes(&context, &damaged).is_err());
                }
            }
        }
    }
}
