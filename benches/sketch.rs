//! Sketches beside a plain read of the matrix: medians of wall time on two threads, interleaved with the reads.
//!
//! A read is one thread's sum of the whole array by our own kernel, which takes about 0.7 times as long as NumPy's
//! `A.sum()`. The floor of a dense sketch is the read on both threads; of a Gaussian one the multiplications.

#![allow(clippy::disallowed_macros, clippy::disallowed_methods)]

use nearlin::linalg::matmul;
use nearlin::matrix::{Axis, Dense, DenseMut, Indices, Sparse};
use nearlin::parallel::Context;
use nearlin::random::Stream;
use nearlin::simd;
use nearlin::sketch::{Kind, Operand, Sketch, Weights};
use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

const SHAPES: [(usize, usize); 4] = [(1 << 18, 512), (1 << 17, 256), (1 << 17, 64), (1 << 16, 1024)];
const ROUNDS: usize = 7;
const THREADS: usize = 2;
/// Largest number of multiplications for which a Gaussian sketch is timed.
const MOST_MULTIPLICATIONS: usize = 1 << 34;

/// Something to time.
type Work<'a> = Box<dyn FnMut() + 'a>;

fn main() {
    // `cargo test --benches` only asks whether it runs.
    let shapes = if std::env::args().any(|a| a == "--bench") { &SHAPES[..] } else { &[(4096, 32)] };
    let mut out = std::io::stdout().lock();
    for &(n, d) in shapes {
        dense(&mut out, n, d);
    }
    if shapes.len() > 1 {
        compressed(&mut out, 1_000_000, 500);
    }
}

/// Medians of the wall times of everything, one after the other in every round.
fn medians(works: &mut [(String, Work<'_>)]) -> Vec<f64> {
    let mut seconds = vec![Vec::new(); works.len()];
    for round in 0..=ROUNDS {
        for (k, (_, work)) in works.iter_mut().enumerate() {
            let start = Instant::now();
            work();
            // The first round warms up.
            if round > 0 {
                seconds[k].push(start.elapsed().as_secs_f64());
            }
        }
    }
    for seconds in &mut seconds {
        seconds.sort_by(f64::total_cmp);
    }
    seconds.into_iter().map(|seconds| seconds[ROUNDS / 2]).collect()
}

fn sketch(kind: Kind, m: usize, n: usize) -> Sketch {
    Sketch::new(kind, m, Some(n as u64), 1, 0).expect("a sound operator")
}

fn kinds() -> [(&'static str, Kind); 5] {
    [
        ("sparse sign, zeta 8", Kind::SparseSign { zeta: 8 }),
        ("sparse sign, zeta 4", Kind::SparseSign { zeta: 4 }),
        ("CountSketch", Kind::CountSketch),
        ("SRHT", Kind::Srht),
        ("PHT", Kind::Pht { weights: Weights::Signs, chunk: None }),
    ]
}

fn dense(out: &mut impl Write, n: usize, d: usize) {
    let mut a = vec![0.0; n * d];
    Stream::new(1, 0, 0).normals_of_row(0, &mut a);
    let rows = Dense::row_major(&a, n, d);
    let ctx = Context::new(THREADS);
    let pieces: Vec<_> = a.chunks((n * d).div_ceil(64)).collect();
    let mut works: Vec<(String, Work<'_>)> = vec![
        ("read, one thread".into(), Box::new(|| _ = black_box(simd::sum(&a)))),
        (
            "read, two threads".into(),
            Box::new(|| drop(black_box(ctx.map(pieces.len(), |k| simd::sum(pieces[k]))))),
        ),
    ];
    for (name, kind) in kinds() {
        for ratio in [2, 12] {
            let sketch = sketch(kind, ratio * d, n);
            let (ctx, rows) = (&ctx, &rows);
            let work = move || drop(black_box(sketch.apply(ctx, &Operand::Dense(rows), 0)));
            works.push((format!("{name}, m = {ratio} d"), Box::new(work)));
        }
    }
    if 2 * d * d * n <= MOST_MULTIPLICATIONS {
        let sketch = sketch(Kind::Gaussian, 2 * d, n);
        let (ctx, rows) = (&ctx, &rows);
        let work = move || drop(black_box(sketch.apply(ctx, &Operand::Dense(rows), 0)));
        works.push(("Gaussian, m = 2 d".into(), Box::new(work)));
    }
    let seconds = medians(&mut works);
    let title = format!("{n} x {d}, C order, {THREADS} threads");
    table(out, &title, &works, &seconds, seconds[0].min(seconds[1]), 8 * n * d);
    if 2 * d * d * n <= MOST_MULTIPLICATIONS {
        let flops = 2.0 * (2 * d * d * n) as f64;
        let floor = flops / (THREADS as f64 * matmul_rate(d));
        let last = seconds.last().copied().unwrap_or(f64::NAN);
        writeln!(out, "Gaussian: {:.2} times its multiplications alone", last / floor).ok();
    }
}

/// Multiplications and additions per second of one thread, in the shape of the Gaussian sketch.
fn matmul_rate(d: usize) -> f64 {
    let (m, k, width) = (2 * d, 256, d.min(64));
    let (a, b, mut c) = (vec![1.0; m * k], vec![1.0; k * width], vec![0.0; m * width]);
    let mut work = || {
        let (a, b) = (Dense::column_major(&a, m, k), Dense::row_major(&b, k, width));
        for _ in 0..64 {
            matmul(DenseMut::row_major(black_box(&mut c), m, width), true, a, b, 1.0);
        }
    };
    let start = Instant::now();
    let rounds = 20;
    (0..rounds).for_each(|_| work());
    (rounds * 64 * 2 * m * k * width) as f64 / start.elapsed().as_secs_f64()
}

/// One entry in a hundred, at even distances.
fn compressed(out: &mut impl Write, n: usize, d: usize) {
    let each = d / 100;
    let numbers = Stream::new(2, 0, 0);
    let column = |i: usize, k: usize| k * 100 + numbers.index((i * each + k) as u64, 100) as usize;
    let csr_indptr: Vec<i64> = (0..=n).map(|i| (i * each) as i64).collect();
    let csr_indices: Vec<i32> = (0..n * each).map(|p| column(p / each, p % each) as i32).collect();
    let data = vec![1.0; n * each];
    let mut order: Vec<usize> = (0..n * each).collect();
    order.sort_by_key(|&p| csr_indices[p]);
    let csc_indices: Vec<i32> = order.iter().map(|p| (p / each) as i32).collect();
    let counts = csr_indices.iter().fold(vec![0i64; d + 1], |mut counts, &j| {
        counts[j as usize + 1] += 1;
        counts
    });
    let csc_indptr: Vec<i64> = counts
        .iter()
        .scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        })
        .collect();
    let ctx = &Context::new(THREADS);
    let view = |axis, indptr, indices| {
        let (indptr, indices) = (Indices::I64(indptr), Indices::I32(indices));
        Sparse::new(ctx, "A", axis, (n, d), indptr, indices, &data).expect("sound indices")
    };
    let csr = view(Axis::Rows, &csr_indptr[..], &csr_indices[..]);
    let csc = view(Axis::Columns, &csc_indptr[..], &csc_indices[..]);
    let mut works: Vec<(String, Work<'_>)> = vec![(
        "read of values and indices, one thread".into(),
        Box::new(|| {
            black_box(simd::sum(&data));
            black_box(csr_indices.iter().map(|&j| i64::from(j)).sum::<i64>());
        }),
    )];
    for (order, a) in [("CSR", csr), ("CSC", csc)] {
        for (name, kind) in &kinds()[..3] {
            let sketch = sketch(*kind, 4 * d, n);
            let work = move || drop(black_box(sketch.apply(ctx, &Operand::Double(a, None), 0)));
            works.push((format!("{order}, {name}, m = 4 d"), Box::new(work)));
        }
    }
    let seconds = medians(&mut works);
    let title = format!("{n} x {d}, {} entries, {THREADS} threads", n * each);
    table(out, &title, &works, &seconds, seconds[0], 12 * n * each);
}

/// What everything took: in reads, which are the first line, and beside the floor.
fn table(
    out: &mut impl Write,
    title: &str,
    works: &[(String, Work<'_>)],
    seconds: &[f64],
    floor: f64,
    bytes: usize,
) {
    writeln!(out, "\n{title}\n{:<40} {:>9} {:>7} {:>7} {:>8}", "", "seconds", "reads", "GB/s", "x floor")
        .ok();
    for ((name, _), &time) in works.iter().zip(seconds) {
        let (reads, rate) = (time / seconds[0], bytes as f64 / time / 1e9);
        writeln!(out, "{name:<40} {time:>9.4} {reads:>7.2} {rate:>7.2} {:>8.2}", time / floor).ok();
    }
}
