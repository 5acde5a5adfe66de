//! Fuzz targets: functions of any bytes that must not panic, hang or take what makes no sense, run on a corpus of sound
//! inputs and on seeded mutations of them. A fuzzer may call the same functions.

#![allow(clippy::disallowed_macros, clippy::disallowed_methods)]

use nearlin::error::Error;
use nearlin::matrix::{Axis, Dense, Indices, Matrix, Names, Rows, Sparse};
use nearlin::parallel::Context;
use nearlin::random::Stream as Random;
use nearlin::regression::{LeastSquaresStream, StreamBlock, StreamOptions};
use nearlin::sketch::{Accumulator, Kind, Operand, Sketch, Weights};

const HEADER: usize = 40;
const KINDS: [Kind; 6] = [
    Kind::SparseSign { zeta: 2 },
    Kind::CountSketch,
    Kind::Srht,
    Kind::Pht { weights: Weights::Signs, chunk: Some(8) },
    Kind::Pht { weights: Weights::Normals, chunk: None },
    Kind::Gaussian,
];

/// The bytes of a state, as they are and with length and checksum repaired: refused, or a state with the same bytes.
fn state_decoder(bytes: &[u8]) -> bool {
    let mut repaired = bytes.to_vec();
    if let Some(payload) = bytes.len().checked_sub(HEADER) {
        repaired[28..36].copy_from_slice(&(payload as u64).to_le_bytes());
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&repaired[8..36]);
        hasher.update(&repaired[HEADER..]);
        repaired[36..40].copy_from_slice(&hasher.finalize().to_le_bytes());
    }
    let taken = [bytes, &repaired].map(|bytes| accumulator(bytes) || stream(bytes));
    taken[0] || taken[1]
}

fn accumulator(bytes: &[u8]) -> bool {
    let ctx = Context::new(1);
    match Accumulator::from_bytes(&ctx, bytes) {
        Ok(state) => {
            let written = state.to_bytes(&ctx).unwrap();
            let again = Accumulator::from_bytes(&ctx, &written).unwrap();
            assert_eq!(again.to_bytes(&ctx).unwrap(), written);
            true
        }
        Err(Error::State(_) | Error::Allocation { .. }) => false,
        Err(error) => panic!("{error:?}"),
    }
}

fn stream(bytes: &[u8]) -> bool {
    let ctx = Context::new(1);
    match LeastSquaresStream::from_bytes(&ctx, bytes) {
        Ok(state) => {
            let StreamOptions { eps, delta, level, ridge, .. } = *state.request();
            assert!(eps > 0.0 && eps.is_finite() && ridge >= 0.0 && ridge.is_finite());
            assert!(delta > 0.0 && delta < 1.0 && level > 0.0 && level < 1.0);
            let written = state.to_bytes(&ctx).unwrap();
            assert_eq!(
                LeastSquaresStream::from_bytes(&ctx, &written).unwrap().to_bytes(&ctx).unwrap(),
                written
            );
            true
        }
        Err(Error::State(_) | Error::Allocation { .. }) => false,
        Err(error) => panic!("{error:?}"),
    }
}

/// Any bytes as the three arrays of a sparse matrix: refused, or every entry is where the shape has room for it.
fn sparse_checks(bytes: &[u8]) -> bool {
    let number = |k: usize| i64::from(bytes.get(k).copied().unwrap_or(0) as i8);
    let (nrows, ncols) = (number(0) as usize % 7, number(1) as usize % 7);
    let axis = if number(2) % 2 == 0 { Axis::Rows } else { Axis::Columns };
    let lines = if axis == Axis::Rows { nrows } else { ncols };
    // As many offsets as there should be, but for one in eight.
    let offsets = lines + 1 - usize::from(number(2) as u8 % 8 == 7 && lines > 0);
    let indptr: Vec<i64> = (3..3 + offsets).map(number).collect();
    let indices: Vec<i64> = (3 + offsets..bytes.len()).map(number).collect();
    let short: Vec<i32> = indices.iter().map(|&index| index as i32).collect();
    let data = vec![1.0; indices.len()];
    let context = Context::new(1);
    let made = [Indices::I64(&indices), Indices::I32(&short)].map(|indices| {
        Sparse::new(&context, "A", axis, (nrows, ncols), Indices::I64(&indptr), indices, &data)
    });
    assert_eq!(made[0].is_ok(), made[1].is_ok());
    let Ok(a) = &made[0] else { return false };
    for line in 0..lines {
        a.visit_line(line, |index, _| assert!(index < if axis == Axis::Rows { ncols } else { nrows }));
    }
    if a.is_canonical(&context).unwrap() || axis == Axis::Rows {
        let mut buffer = Vec::new();
        let tile = a.tile(0..nrows, 0..ncols, &mut buffer).unwrap();
        assert_eq!(tile.data().iter().sum::<f64>(), a.nnz() as f64);
    }
    true
}

/// Sound states: empty ones, and some with complete and open chunks.
fn states() -> Vec<Vec<u8>> {
    let ctx = Context::new(1);
    let mut states = Vec::new();
    let entries: Vec<f64> = (0..60).map(|k| f64::from(k * k % 17) - 8.0).collect();
    let (a, b) = (Dense::row_major(&entries, 30, 2), Dense::column_major(&entries[..30], 30, 1));
    for kind in KINDS {
        let mut rows = Sketch::new(kind, 4, Some(5000), 1, 0).unwrap().accumulate(&ctx, 2).unwrap();
        let coordinatewise = !matches!(kind, Kind::SparseSign { .. } | Kind::CountSketch);
        let (m, n) = (Some(4), Some(5000));
        let request = StreamOptions {
            kind,
            m,
            n,
            seed: 1,
            eps: 0.5,
            delta: 0.1,
            level: 0.9,
            coordinatewise,
            ridge: 0.5,
        };
        let mut stream = LeastSquaresStream::new(request).unwrap();
        for first in [None, Some(0), Some(2000)] {
            if first.is_some() {
                rows.partial_fit(&ctx, &Operand::Dense(&a), first).unwrap();
                let names = first.filter(|&first| first > 0).map(|_| vec!["x".into(), "y".into()]);
                let (design, weights) = (Matrix::Dense(a), None);
                let block =
                    StreamBlock { design, targets: b, weights, vector: true, names: Names::new(names) };
                stream.partial_fit(&ctx, &block, first).unwrap();
            }
            states.push(rows.to_bytes(&ctx).unwrap());
            states.push(stream.to_bytes(&ctx).unwrap());
        }
    }
    states
}

/// A few matrices: of one line, of none, with empty lines.
fn matrices() -> Vec<Vec<u8>> {
    vec![
        vec![3, 4, 0, 0, 2, 2, 4, 0, 3, 1, 2],
        vec![3, 4, 1, 0, 1, 2, 3, 4, 0, 2, 1, 0],
        vec![0, 0, 0, 0],
        vec![1, 6, 2, 0, 6, 0, 1, 2, 3, 4, 5],
    ]
}

/// One change to a few bytes, most often near the front, where the fields are.
fn mutated(seed: &[u8], random: Random, case: u64) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for step in 0..1 + random.index(case << 8, 3) {
        let draw =
            |what: u64, bound: usize| random.index(case << 8 | step << 4 | what, bound as u64) as usize;
        if bytes.is_empty() {
            bytes.push(draw(1, 256) as u8);
        }
        let front = if draw(2, 5) > 0 { bytes.len().min(HEADER + 40) } else { bytes.len() };
        let at = draw(3, front);
        match draw(4, 7) {
            0 => bytes[at] ^= 1 << draw(5, 8),
            1 => bytes[at] = [0, 1, 2, 127, 128, 255][draw(5, 6)],
            2 => bytes.truncate(at),
            3 => drop(bytes.splice(at..at, [0xff; 9])),
            4 => drop(bytes.splice(at..bytes.len().min(at + 1 + draw(5, 4)), [])),
            5 => {
                let number = [f64::NAN, -1.0, 2.0, f64::INFINITY, 0.0][draw(5, 5)].to_le_bytes();
                drop(bytes.splice(at..bytes.len().min(at + 8), number));
            }
            _ => {
                // The varints of 2^64 - 1, 2^63 and 2^32.
                let last = [1, 1, 16][draw(5, 3)];
                let length = if last == 16 { 4 } else { 9 };
                let number = std::iter::repeat_n(if draw(6, 2) > 0 { 0xff } else { 0x80 }, length);
                drop(bytes.splice(at..at + 1, number.chain([last])));
            }
        }
    }
    bytes
}

fn run(target: fn(&[u8]) -> bool, corpus: &[Vec<u8>], cases: u64) {
    assert!(corpus.iter().all(|seed| target(seed)));
    let random = Random::new(0, 0, 0);
    let taken =
        (0..cases).filter(|&case| target(&mutated(&corpus[case as usize % corpus.len()], random, case)));
    // Neither all nor nothing, or the mutations would show little.
    assert!((1..cases).contains(&(taken.count() as u64)));
}

#[test]
fn the_decoder_of_states_refuses_or_understands_any_bytes() {
    run(state_decoder, &states(), 20_000);
}

#[test]
#[ignore = "minutes: a million cases"]
fn the_decoder_of_states_at_length() {
    run(state_decoder, &states(), 1_000_000);
}

#[test]
fn the_checks_of_sparse_matrices_refuse_or_understand_any_bytes() {
    run(sparse_checks, &matrices(), 100_000);
}
