//! Gram matrices and whitened ones of digits beside those of floating point: seconds of one thread, ratios and errors.
//!
//! `cargo bench --bench matrix_unit` takes all shapes, `-- 131072x512` one; all take turns in one run, and medians count.
//! An error is the largest of an entry, relative to norms of columns, beside `f64` throughout. Without `--bench` shapes are
//! tiny.

#![allow(clippy::disallowed_macros, clippy::disallowed_methods)]

use nearlin::error::Result;
use nearlin::linalg::{self, Precision, Product};
use nearlin::matrix::{Dense, Mat};
use nearlin::parallel::Context;
use std::io::Write;
use std::time::Instant;

const SHAPES: [(usize, usize); 4] = [(1 << 17, 128), (1 << 17, 256), (1 << 17, 512), (1 << 15, 1024)];
const TURNS: usize = 5;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let full = arguments.iter().any(|argument| argument == "--bench");
    let shape =
        |text: &String| text.split_once('x').and_then(|(n, d)| Some((n.parse().ok()?, d.parse().ok()?)));
    let chosen: Vec<(usize, usize)> = arguments.iter().filter_map(shape).collect();
    say(format!(
        "matrix unit: {}; bytes of A read once, and flops as if half of the products were saved",
        linalg::matrix_unit()
    ));
    let shapes = if chosen.is_empty() { SHAPES.to_vec() } else { chosen };
    for (n, d) in if full { shapes } else { vec![(500, 130)] } {
        grams(n, d, if full { TURNS } else { 1 })?;
        whitened(n, d, if full { TURNS } else { 1 })?;
    }
    Ok(())
}

fn say(line: String) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Times of several ways, which take turns, and what the last turn gave.
fn turns(ways: &[&dyn Fn() -> Result<Mat<f64>>], count: usize) -> Result<Vec<(f64, Mat<f64>)>> {
    let mut seconds = vec![Vec::new(); ways.len()];
    let mut last = Vec::new();
    for _ in 0..count {
        last.clear();
        for (way, seconds) in ways.iter().zip(&mut seconds) {
            let begin = Instant::now();
            last.push(way()?);
            seconds.push(begin.elapsed().as_secs_f64());
        }
    }
    let median = |mut seconds: Vec<f64>| {
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    };
    Ok(seconds.into_iter().map(median).zip(last).collect())
}

fn grams(n: usize, d: usize, count: usize) -> Result<()> {
    let data = random(n * d);
    let (context, a, ones) = (Context::new(1), Dense::row_major(&data, n, d), vec![1.0; d]);
    let by = |precision| Ok(linalg::gram(&context, &a, precision, &ones, || (), |(), _, _| ())?.gram);
    let (single, double) = (|| by(Precision::Single), || by(Precision::Double));
    let (three, four) = (|| by(Precision::Digits(3)), || by(Precision::Digits(4)));
    let found = turns(&[&single, &double, &three, &four], count)?;
    let exact = found[1].1.copy()?;
    for ((name, peer), (seconds, gram)) in
        [("single", 0), ("double", 1), ("three digits", 0), ("four digits", 1)].into_iter().zip(&found)
    {
        let ratio = found[peer].0 / seconds;
        let norm = |j: usize| exact[(j, j)].sqrt();
        let error = |i: usize, j: usize| (gram[(i, j)] - exact[(i, j)]).abs() / (norm(i) * norm(j));
        let worst = (0..d * d).map(|k| error(k / d, k % d)).fold(0.0, f64::max);
        let rate = (n * d * d) as f64 / seconds / 1e9;
        say(format!(
            "gram      {n} x {d}  {name:26} {seconds:7.4} s  {rate:5.0} GF/s  x{ratio:.2} of {:6}  error {worst:.0e}",
            ["single", "double"][peer]
        ));
    }
    Ok(())
}

fn whitened(n: usize, d: usize, count: usize) -> Result<()> {
    let data = random(n * d);
    let (context, a, ones) = (Context::new(1), Dense::row_major(&data, n, d), vec![1.0; d]);
    // A triangle whose inverse is no larger than one: the digits say how many bits are wanted.
    let noise = random(d * d);
    let w = Mat::from_fn(d, d, |i, j| match i.cmp(&j) {
        std::cmp::Ordering::Less => 0.5 * noise[i * d + j] / (d as f64).sqrt(),
        std::cmp::Ordering::Equal => 1.0,
        std::cmp::Ordering::Greater => 0.0,
    })?;
    let by = |product, precision| {
        Ok(linalg::whitened_gram(&context, &a, &w, product, precision, || (), |(), _, _| ())?.gram)
    };
    let digits =
        |digits: f64| by(Product::Digits { powers: &ones, bits: 8.0 * digits - 4.0 }, Precision::Digits(2));
    let float = || by(Product::Double, Precision::Single);
    let (three, four, five, six) = (|| digits(3.0), || digits(4.0), || digits(5.0), || digits(6.0));
    let found = turns(&[&float, &three, &four, &five, &six], count)?;
    let names = [
        "double, single",
        "3 digits, 2 digits",
        "4 digits, 2 digits",
        "5 digits, 2 digits",
        "6 digits, 2 digits",
    ];
    let exact = by(Product::Double, Precision::Double)?;
    for (name, (seconds, gram)) in names.iter().zip(&found) {
        let norm = |j: usize| exact[(j, j)].sqrt();
        let error = |i: usize, j: usize| (gram[(i, j)] - exact[(i, j)]).abs() / (norm(i) * norm(j));
        let worst = (0..d * d).map(|k| error(k / d, k % d)).fold(0.0, f64::max);
        say(format!(
            "whitened  {n} x {d}  {name:26} {seconds:7.4} s  x{:.2} of double, single  error {worst:.0e}",
            found[0].0 / seconds
        ));
    }
    Ok(())
}

/// Numbers in (-1/2, 1/2), the same in every run.
fn random(count: usize) -> Vec<f64> {
    let mut x = 0x9E37_79B9_7F4A_7C15 ^ count as u64;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    };
    (0..count).map(|_| next()).collect()
}
