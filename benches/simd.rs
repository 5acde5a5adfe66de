//! Bytes per second of the kernels beside a plain read of memory, on one and two threads.

#![allow(clippy::disallowed_macros, clippy::disallowed_methods)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nearlin::parallel::Context;
use nearlin::simd;
use std::hint::black_box;
use std::ops::Range;
use std::time::Duration;

const SHAPES: [(usize, usize); 4] = [(1 << 18, 512), (1 << 17, 64), (1 << 20, 7), (260_000, 512)];
/// Rows of a block: what the drivers hand to a kernel at a time.
const BLOCK: usize = 2048;

fn blocks(nrows: usize) -> impl Fn(usize) -> Range<usize> {
    move |block| block * BLOCK..((block + 1) * BLOCK).min(nrows)
}

fn numbers(len: usize) -> Vec<f64> {
    (0..len).map(|k| ((k % 1009) as f64 - 504.0) / 1009.0).collect()
}

/// Times `pass(block)` over all blocks.
fn time(
    criterion: &mut Criterion,
    group: &str,
    name: &str,
    bytes: usize,
    count: usize,
    pass: impl Fn(usize) + Sync,
) {
    let mut group = criterion.benchmark_group(group);
    group.throughput(Throughput::Bytes(bytes as u64));
    for threads in [1, 2] {
        let context = Context::new(threads);
        group.bench_with_input(BenchmarkId::new(name, threads), &count, |bench, &count| {
            bench.iter(|| context.map(count, &pass));
        });
    }
    group.finish();
}

fn passes(criterion: &mut Criterion) {
    for (n, d) in SHAPES {
        let name = format!("{n} x {d}");
        let a = numbers(n * d);
        let (x, b) = (numbers(d), numbers(n));
        let range = blocks(n);
        let count = n.div_ceil(BLOCK);
        let wide = size_of_val(&a[..]);
        time(criterion, &name, "sum", wide, count, |block| {
            let rows = range(block);
            black_box(simd::sum(&a[rows.start * d..rows.end * d]));
        });
        time(criterion, &name, "residual_rows", wide, count, |block| {
            let rows = range(block);
            let (mut r, mut g) = (b[rows.clone()].to_vec(), vec![0.0; d]);
            black_box(simd::residual_rows(&a[rows.start * d..], d, &x, &mut r, &mut g));
        });
        time(criterion, &name, "residual_cols", wide, count, |block| {
            let rows = range(block);
            let (mut r, mut g) = (b[rows.clone()].to_vec(), vec![0.0; d]);
            black_box(simd::residual_cols(&a[rows.start..], n, &x, &mut r, &mut g));
        });
        let single: Vec<f32> = a.iter().map(|&v| v as f32).collect();
        time(criterion, &name, "residual_rows f32", wide / 2, count, |block| {
            let rows = range(block);
            let (mut r, mut g) = (b[rows.clone()].to_vec(), vec![0.0; d]);
            black_box(simd::residual_rows(&single[rows.start * d..], d, &x, &mut r, &mut g));
        });
        time(criterion, &name, "residual_cols f32", wide / 2, count, |block| {
            let rows = range(block);
            let (mut r, mut g) = (b[rows.clone()].to_vec(), vec![0.0; d]);
            black_box(simd::residual_cols(&single[rows.start..], n, &x, &mut r, &mut g));
        });
    }
}

fn vectors(criterion: &mut Criterion) {
    for (name, len) in [("vectors in cache", 1 << 11), ("vectors in memory", 1 << 26)] {
        let (x, y) = (numbers(len), numbers(len));
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(8 * len as u64));
        group.bench_function("sum", |bench| bench.iter(|| simd::sum(black_box(&x))));
        group.bench_function("norm_sq", |bench| bench.iter(|| simd::norm_sq(black_box(&x))));
        group.throughput(Throughput::Bytes(16 * len as u64));
        group.bench_function("dot", |bench| bench.iter(|| simd::dot(black_box(&x), &y)));
        let mut y = y;
        group.throughput(Throughput::Bytes(24 * len as u64));
        group.bench_function("axpy", |bench| bench.iter(|| simd::axpy(0.5, black_box(&x), &mut y)));
        group.finish();
    }
}

/// A thousand entries a line, spread over a vector that fits the second-level cache.
fn sparse(criterion: &mut Criterion) {
    let width = 1 << 15;
    let values = numbers(1 << 20);
    let indices: Vec<i32> = (0..values.len()).map(|k| ((k * 40_503) % width) as i32).collect();
    let y = numbers(width);
    let lines = || indices.chunks(1024).zip(values.chunks(1024));
    let mut group = criterion.benchmark_group("sparse lines");
    group.throughput(Throughput::Bytes(12 * values.len() as u64));
    group.bench_function("gather_dot", |bench| {
        bench.iter(|| lines().map(|(i, v)| simd::gather_dot(i, v, &y)).sum::<f64>());
    });
    group.finish();
}

fn transforms(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fwht");
    for (rows, width) in [(256, 8), (1024, 8), (4096, 8), (1024, 64)] {
        let mut tile = numbers(rows * width);
        group.throughput(Throughput::Bytes(8 * tile.len() as u64));
        group.bench_function(format!("{rows} x {width}"), |bench| {
            bench.iter(|| {
                tile.fill(1.0);
                simd::fwht(black_box(&mut tile), rows, width);
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = kernels;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800));
    targets = passes, vectors, sparse, transforms
}
criterion_main!(kernels);
