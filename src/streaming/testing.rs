//! Small instances, and plain loops.

use crate::linalg::eigh;
use crate::matrix::{Dense, Mat, Matrix};
use crate::parallel::Context;
use crate::random::Stream as Random;
use crate::streaming::{Algorithm, Answer, Order, Params, Stream};

/// As `nearlin.StreamingPCA` has them by default.
pub fn params(algorithm: Algorithm) -> Params {
    Params {
        k: 1,
        order: Order::Random,
        algorithm,
        width: 8,
        heavy: 32,
        sketch: 32,
        memory: None,
        shuffle: 0,
        rate: None,
        t0: None,
        center: false,
        single: false,
        delta: 0.01,
        seed: 7,
    }
}

/// Normal rows, and more of a direction, n x d row after row: the gap is about `1 + spike^2`.
pub fn spiked(n: usize, d: usize, spike: f64, seed: u64) -> Vec<f64> {
    let random = Random::new(seed, 1, 1);
    let direction = |j: usize| if j.is_multiple_of(3) { (3.0 / d as f64).sqrt() } else { 0.0 };
    let row = |i: usize| {
        let along = spike * random.normal(i as u64, d as u64);
        (0..d).map(move |j| random.normal(i as u64, j as u64) + along * direction(j))
    };
    (0..n).flat_map(row).collect()
}

/// What a stream says of these rows, in blocks of so many.
pub fn answered(params: Params, rows: &[f64], d: usize, blocks: usize) -> Answer {
    let context = Context::new(1);
    let mut stream = Stream::new(&context, params, d).unwrap();
    for block in rows.chunks(blocks * d) {
        stream.add(&context, Matrix::Dense(Dense::row_major(block, block.len() / d, d)), None).unwrap();
    }
    stream.answer(&context).unwrap()
}

/// Eigenvalues of the Gram matrix, descending, and eigenvectors, columns in that order.
pub fn exact(rows: &[f64], d: usize) -> (Vec<f64>, Mat<f64>) {
    let gram = Mat::from_fn(d, d, |i, j| rows.chunks_exact(d).map(|row| row[i] * row[j]).sum()).unwrap();
    let (values, vectors) = eigh(&gram).unwrap();
    let vectors = Mat::from_fn(d, d, |i, j| vectors[(i, d - 1 - j)]).unwrap();
    (values.into_iter().rev().collect(), vectors)
}

/// The squared cosine between an answer's first component and the true one.
pub fn correlation(answer: &Answer, rows: &[f64], d: usize) -> f64 {
    let (_, vectors) = exact(rows, d);
    let cosine: f64 = answer.components[..d].iter().zip(vectors.col(0)).map(|(a, b)| a * b).sum();
    cosine * cosine
}
