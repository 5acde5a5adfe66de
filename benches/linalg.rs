//! Seconds and errors of the dense factorisations, one line of `key=value` for each operation and order.
//!
//! `cargo bench --bench linalg` measures everything; `-- qr 256` one operation at one order. The tall QR, the leverages and
//! the orthonormal bases are of a matrix with [`TALL`] rows, by one thread and by two. `benches/python/floors/linalg.py` runs this beside
//! SciPy. Without `--bench`, as under `cargo test`, orders are tiny.

#![allow(clippy::disallowed_macros, clippy::disallowed_methods)]

use nearlin::error::Result;
use nearlin::linalg::{self, Qr, Scratch, Svd};
use nearlin::matrix::{Axis, Dense, Indices, Mat, Sparse};
use nearlin::parallel::Context;
use std::io::Write;
use std::time::{Duration, Instant};

const ORDERS: [usize; 4] = [64, 256, 1024, 2048];
const TALL: usize = 1 << 17;
/// Systems of one order fill the second-level cache, half of it in single precision.
const NUMBERS: usize = 1 << 15;
/// Rows of the sparse matrix, and entries of each.
const SPARSE: (usize, usize) = (1 << 15, 16);
const OPERATIONS: [&str; 23] = [
    "gemm",
    "syrk",
    "trsm",
    "cholesky",
    "qr",
    "svd",
    "eigh",
    "leading-3",
    "leading-6",
    "arrow",
    "tall-1",
    "tall-2",
    "systems",
    "systems32",
    "sparse",
    "leverages-1",
    "leverages-2",
    "basis-1",
    "basis-2",
    "qr2-1",
    "qr2-2",
    "rows",
    "forms",
];

/// Rows whose products with each other are wanted.
const FEW: usize = 64;

/// Least time and least number of runs that a figure is the best of.
const AT_LEAST: (Duration, usize) = (Duration::from_millis(300), 3);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let full = arguments.iter().any(|argument| argument == "--bench");
    let chosen: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let order = chosen.iter().find_map(|argument| argument.parse().ok());
    for operation in OPERATIONS {
        if chosen.iter().any(|argument| argument.parse::<usize>().is_err() && *argument != operation) {
            continue;
        }
        let defaults: &[usize] = match operation {
            _ if !full => &[16, 40],
            _ if is_tall(operation) => &[64, 256],
            "systems" | "systems32" => &[8, 16, 32, 64, 128],
            "sparse" | "rows" | "forms" => &[256, 1024],
            "leading-3" | "leading-6" => &[48, 80, 116, 164],
            "arrow" => &[32, 96],
            _ => &ORDERS,
        };
        for &n in order.as_ref().map_or(defaults, std::slice::from_ref) {
            let outcome = measure(operation, n, if full { TALL } else { TALL / 64 })?;
            let (ms, [residual, orthogonality]) = (1e3 * outcome.seconds, outcome.errors);
            let _ = writeln!(
                std::io::stdout(),
                "operation={operation} n={n} ms={ms:.6} residual={residual:.3e} orthogonality={orthogonality:.3e}"
            );
        }
    }
    Ok(())
}

struct Outcome {
    seconds: f64,
    /// Relative residual, and the departure of the worse orthonormal factor from orthonormality.
    errors: [f64; 2],
}

/// Best time of some runs, with what the last one gave.
fn best_of<T>(mut run: impl FnMut() -> Result<T>) -> Result<(f64, T)> {
    let (start, mut best) = (Instant::now(), f64::INFINITY);
    for runs in 1.. {
        let begin = Instant::now();
        let value = run()?;
        best = best.min(begin.elapsed().as_secs_f64());
        if start.elapsed() > AT_LEAST.0 && runs >= AT_LEAST.1 || start.elapsed() > 20 * AT_LEAST.0 {
            return Ok((best, value));
        }
    }
    unreachable!("the loop has no end")
}

fn is_tall(operation: &str) -> bool {
    ["tall", "leverages", "basis", "qr2"].iter().any(|name| operation.starts_with(name))
}

fn measure(operation: &str, n: usize, tall: usize) -> Result<Outcome> {
    let rows = if is_tall(operation) { tall } else { n };
    let context = Context::new(if operation.ends_with("-2") { 2 } else { 1 });
    let a = random(rows, n)?;
    let (seconds, errors) = match operation {
        "gemm" => {
            let (b, mut c) = (random(n, n)?, Mat::zeros(n, n)?);
            let (seconds, ()) = best_of(|| {
                linalg::matmul(c.as_mut(), false, a.as_ref(), b.as_ref(), 1.0);
                Ok(())
            })?;
            (seconds, [probe(&c, &a, &b)?, 0.0])
        }
        "syrk" => {
            let mut c = Mat::zeros(n, n)?;
            let (seconds, ()) = best_of(|| {
                linalg::syrk(c.as_mut(), false, a.as_ref(), 1.0);
                Ok(())
            })?;
            let c = Mat::from_fn(n, n, |i, j| c[(i.max(j), i.min(j))])?;
            (seconds, [probe(&c, &transposed(&a)?, &a)?, 0.0])
        }
        "trsm" => {
            let r = well_conditioned_triangle(&a)?;
            let b = random(n, n)?;
            let (seconds, x) = best_of(|| {
                let mut x = b.copy()?;
                linalg::solve_upper(r.as_ref(), x.as_mut());
                Ok(x)
            })?;
            let scale = norm(&r) * norm(&x);
            (seconds, [distance(&product(&r, &x)?, &b) / scale, 0.0])
        }
        "cholesky" => {
            let g = positive_definite(&a)?;
            let (seconds, r) = best_of(|| Ok(linalg::cholesky(&g)))?;
            let r = r?.unwrap_or(Mat::zeros(n, n)?);
            (seconds, [distance(&product(&transposed(&r)?, &r)?, &g) / norm(&g), 0.0])
        }
        "qr" => {
            let (seconds, qr) = best_of(|| Qr::new(a.copy()?))?;
            let q = qr.thin_q()?;
            (seconds, [distance(&product(&q, &qr.r()?)?, &a) / norm(&a), departure(&q)?])
        }
        "svd" => {
            let (seconds, Svd { u, s, v }) = best_of(|| linalg::svd(a.as_ref()))?;
            let scaled = Mat::from_fn(n, n, |i, j| u[(i, j)] * s[j])?;
            let residual = distance(&product(&scaled, &transposed(&v)?)?, &a) / norm(&a);
            (seconds, [residual, departure(&u)?.max(departure(&v)?)])
        }
        "eigh" => {
            let g = positive_definite(&a)?;
            let (seconds, (values, vectors)) = best_of(|| linalg::eigh(&g))?;
            let scaled = Mat::from_fn(n, n, |i, j| vectors[(i, j)] * values[j])?;
            (seconds, [distance(&product(&g, &vectors)?, &scaled) / norm(&g), departure(&vectors)?])
        }
        "leading-3" | "leading-6" => {
            let g = positive_definite(&a)?;
            let count = n * if operation == "leading-3" { 3 } else { 6 } / 10;
            let (mut copy, mut values, mut vectors) = (g.copy()?, vec![0.0; count], Mat::zeros(n, count)?);
            let mut scratch = Scratch::new(linalg::leading_eigh_scratch(n, count))?;
            let (seconds, ()) = best_of(|| {
                copy.as_mut_slice().copy_from_slice(g.as_slice());
                linalg::leading_eigh_into(copy.as_mut(), &mut values, vectors.as_mut(), &mut scratch)
            })?;
            let scaled = Mat::from_fn(n, count, |i, j| vectors[(i, j)] * values[j])?;
            (seconds, [distance(&product(&g, &vectors)?, &scaled) / norm(&g), departure(&vectors)?])
        }
        "arrow" => {
            let poles: Vec<f64> = (0..n).map(|i| (1.0 - i as f64 / n as f64).powi(2)).collect();
            let border: Vec<f64> = poles.iter().zip(a.as_slice()).map(|(d, x)| d.sqrt() * x).collect();
            let corner = 0.01 + a.as_slice()[..n].iter().map(|x| x * x).sum::<f64>();
            let (mut values, mut vectors) = (vec![0.0; n + 1], Mat::zeros(n + 1, n + 1)?);
            let mut scratch = Scratch::new(linalg::arrow_eigh_scratch(n))?;
            let (seconds, ()) = best_of(|| {
                let into = vectors.as_mut();
                linalg::arrow_eigh_into(&poles, &border, corner, &mut values, into, &mut scratch)
            })?;
            let entry = |i: usize, j: usize| match (i.min(j), i.max(j)) {
                (i, j) if i == n && j == n => corner,
                (i, j) if j == n => border[i],
                (i, j) if i == j => poles[i],
                _ => 0.0,
            };
            let a = Mat::from_fn(n + 1, n + 1, entry)?;
            let scaled = Mat::from_fn(n + 1, n + 1, |i, j| vectors[(i, j)] * values[j])?;
            (seconds, [distance(&product(&a, &vectors)?, &scaled) / norm(&a), departure(&vectors)?])
        }
        "systems" => systems::<f64>(&positive_definite(&a)?)?,
        "systems32" => systems::<f32>(&positive_definite(&a)?)?,
        "sparse" | "rows" | "forms" => {
            of_sparse_rows(operation, n, if tall == TALL { SPARSE.0 } else { 100 })?
        }
        "basis-1" | "basis-2" | "qr2-1" | "qr2-2" => {
            let basis = if operation.starts_with("qr2") { linalg::cholesky_qr2 } else { linalg::orthonormal };
            let (seconds, q) = best_of(|| basis(&context, a.copy()?))?;
            let back = product(&q, &product(&transposed(&q)?, &a)?)?;
            (seconds, [distance(&back, &a) / norm(&a), departure(&q)?])
        }
        "leverages-1" | "leverages-2" => {
            let by_rows = transposed(&a)?;
            let view = Dense::row_major(by_rows.as_slice(), rows, n);
            let whitener = linalg::invert_upper(linalg::tsqr(&context, &view)?.as_ref())?;
            let (seconds, found) = best_of(|| linalg::leverages(&context, &view, &whitener))?;
            let basis = product(&a, &whitener)?;
            let square = |i: usize| (0..n).map(|j| basis[(i, j)] * basis[(i, j)]).sum::<f64>();
            let expected = Mat::from_fn(rows, 1, |i, _| square(i))?;
            let found = Mat::from_fn(rows, 1, |i, _| found[i])?;
            (seconds, [distance(&found, &expected) / norm(&expected), 0.0])
        }
        _ => {
            let by_rows = transposed(&a)?;
            let view = Dense::row_major(by_rows.as_slice(), rows, n);
            let (seconds, r) = best_of(|| linalg::tsqr(&context, &view))?;
            let gram = product(&by_rows, &a)?;
            (seconds, [distance(&product(&transposed(&r)?, &r)?, &gram) / norm(&gram), 0.0])
        }
    };
    Ok(Outcome { seconds, errors })
}

/// Seconds to solve many systems of one matrix, in the cache, without those of filling it, and the relative residual.
fn systems<T: linalg::Scalar>(g: &Mat<f64>) -> Result<(f64, [f64; 2])> {
    let n = g.ncols();
    let count = (NUMBERS / (n * n)).max(1);
    let matrix: Vec<T> = g.as_slice().iter().map(|&value| T::from_f64(value)).collect();
    let (matrices, mut sound) = (matrix.repeat(count), vec![false; count]);
    let (mut factors, mut x) = (matrices.clone(), vec![T::from_f64(1.0); count * n]);
    let mut best = f64::INFINITY;
    for _ in 0..300 {
        factors.copy_from_slice(&matrices);
        x.fill(T::from_f64(1.0));
        let begin = Instant::now();
        linalg::solve_systems(n, &mut factors, &mut x, &mut sound);
        best = best.min(begin.elapsed().as_secs_f64());
    }
    assert!(sound.iter().all(|&sound| sound));
    let (x, ones) = (Mat::from_fn(n, 1, |i, _| x[i].to_f64())?, Mat::from_fn(n, 1, |_, _| 1.0)?);
    Ok((best, [distance(&product(g, &x)?, &ones) / (norm(g) * norm(&x)), 0.0]))
}

/// Of as many columns, by one thread: A'A, products of a few rows with each other, and v'(A'A)v of every row v.
fn of_sparse_rows(operation: &str, n: usize, rows: usize) -> Result<(f64, [f64; 2])> {
    let each = SPARSE.1.min(n);
    let starts: Vec<i64> = (0..=rows).map(|row| (row * each) as i64).collect();
    let step = n / each;
    let indices: Vec<i32> =
        (0..rows * each).map(|k| (k % each * step + k / each * 7 % step) as i32).collect();
    let values = random(rows * each, 1)?;
    let context = Context::new(1);
    let (starts, indices) = (Indices::I64(&starts), Indices::I32(&indices));
    let a = Sparse::new(&context, "A", Axis::Rows, (rows, n), starts, indices, values.as_slice())?;
    let mut dense = Mat::zeros(rows, n)?;
    for row in 0..rows {
        a.visit_line(row, |column, value| dense[(row, column)] = value);
    }
    let by_columns = transposed(&dense)?;
    let gram = || linalg::sparse_gram(&context, &a, None);
    let symmetric = |g: Mat<f64>| Mat::from_fn(n, n, |i, j| g[(i.max(j), i.min(j))]);
    match operation {
        "rows" => {
            let few = FEW.min(rows);
            let (mut work, mut out) = (vec![0.0; n], Mat::zeros(few, few)?);
            let (seconds, ()) = best_of(|| {
                linalg::gram_of_rows(&a, 0..few, &mut work, out.as_mut());
                Ok(())
            })?;
            let first = Mat::from_fn(few, n, |i, j| dense[(i, j)])?;
            Ok((seconds, [probe(&out, &first, &transposed(&first)?)?, 0.0]))
        }
        "forms" => {
            let (g, mut forms) = (symmetric(gram()?)?, vec![0.0; rows]);
            let (seconds, ()) = best_of(|| linalg::quadratic_forms(&context, &a, g.as_ref(), &mut forms))?;
            let images = product(&g, &by_columns)?;
            let form = |row: usize| images.col(row).iter().zip(by_columns.col(row)).map(|(a, b)| a * b).sum();
            let expected = Mat::from_fn(rows, 1, |row, _| form(row))?;
            let found = Mat::from_fn(rows, 1, |row, _| forms[row])?;
            Ok((seconds, [distance(&found, &expected) / norm(&expected), 0.0]))
        }
        _ => {
            let (seconds, g) = best_of(gram)?;
            Ok((seconds, [probe(&symmetric(g)?, &by_columns, &dense)?, 0.0]))
        }
    }
}

/// Numbers in (-1/2, 1/2), the same in every run.
fn random(m: usize, n: usize) -> Result<Mat<f64>> {
    let state = std::cell::Cell::new(0x9E37_79B9_7F4A_7C15 ^ (m * 31 + n) as u64);
    Mat::from_fn(m, n, |_, _| {
        let mut x = state.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        state.set(x);
        (x >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    })
}

fn well_conditioned_triangle(a: &Mat<f64>) -> Result<Mat<f64>> {
    let n = a.ncols();
    Mat::from_fn(n, n, |i, j| match i.cmp(&j) {
        std::cmp::Ordering::Less => a[(i, j)] / n as f64,
        std::cmp::Ordering::Equal => 1.0 + a[(i, j)],
        std::cmp::Ordering::Greater => 0.0,
    })
}

/// A'A / n + I / 100
fn positive_definite(a: &Mat<f64>) -> Result<Mat<f64>> {
    let n = a.ncols();
    let gram = product(&transposed(a)?, a)?;
    Mat::from_fn(n, n, |i, j| gram[(i, j)] / n as f64 + if i == j { 0.01 } else { 0.0 })
}

fn transposed(a: &Mat<f64>) -> Result<Mat<f64>> {
    Mat::from_fn(a.ncols(), a.nrows(), |i, j| a[(j, i)])
}

fn product(a: &Mat<f64>, b: &Mat<f64>) -> Result<Mat<f64>> {
    let mut c = Mat::zeros(a.nrows(), b.ncols())?;
    linalg::matmul(c.as_mut(), false, a.as_ref(), b.as_ref(), 1.0);
    Ok(c)
}

/// |C x - A (B x)| / (|A| |B| |x|) for one x.
fn probe(c: &Mat<f64>, a: &Mat<f64>, b: &Mat<f64>) -> Result<f64> {
    let x = random(c.ncols(), 1)?;
    let difference = distance(&product(c, &x)?, &product(a, &product(b, &x)?)?);
    Ok(difference / (norm(a) * norm(b) * norm(&x)))
}

/// |Q'Q - I| / sqrt(columns)
fn departure(q: &Mat<f64>) -> Result<f64> {
    let identity = Mat::identity(q.ncols())?;
    Ok(distance(&product(&transposed(q)?, q)?, &identity) / norm(&identity))
}

fn norm(a: &Mat<f64>) -> f64 {
    a.as_slice().iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn distance(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
    a.as_slice().iter().zip(b.as_slice()).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}
