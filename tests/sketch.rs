//! Every family of operators: what they are in the mean, what they do to subspaces, and that nothing but the
//! operator and the rows shows in the bits.

#![allow(clippy::disallowed_macros, clippy::disallowed_methods)]

use nearlin::error::{Error, Result};
use nearlin::linalg::svd;
use nearlin::matrix::{Axis, Dense, Indices, Mat, Sparse};
use nearlin::parallel::{Context, Host};
use nearlin::random::Stream;
use nearlin::sketch::{Accumulator, Kind, Operand, Sketch, Weights};

const PHT: Kind = Kind::Pht { weights: Weights::Signs, chunk: None };
const KINDS: [Kind; 6] = [
    Kind::SparseSign { zeta: 8 },
    Kind::CountSketch,
    Kind::Srht,
    PHT,
    Kind::Pht { weights: Weights::Normals, chunk: Some(8192) },
    Kind::Gaussian,
];

fn normals(n: usize, d: usize) -> Vec<f64> {
    let mut entries = vec![0.0; n * d];
    Stream::new(17, 1, 9).normals_of_row(0, &mut entries);
    entries
}

fn apply(kind: Kind, m: usize, threads: usize, a: Operand<'_>) -> Mat<f64> {
    let sketch = Sketch::new(kind, m, Some(a.nrows() as u64), 42, 7).unwrap();
    sketch.apply(&Context::new(threads), &a, 0).unwrap()
}

fn same_bits(a: &Mat<f64>, b: &Mat<f64>) -> bool {
    a.as_slice().iter().map(|v| v.to_bits()).eq(b.as_slice().iter().map(|v| v.to_bits()))
}

fn norm(a: &Mat<f64>) -> f64 {
    a.as_slice().iter().map(|v| v * v).sum::<f64>().sqrt()
}

fn distance(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
    assert_eq!((a.nrows(), a.ncols()), (b.nrows(), b.ncols()));
    a.as_slice().iter().zip(b.as_slice()).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// The rows `[start, end)` of a row-major matrix with d columns.
fn rows(a: &[f64], d: usize, start: usize, end: usize) -> Dense<'_, f64> {
    Dense::row_major(&a[start * d..end * d], end - start, d)
}

#[test]
fn the_mean_of_gram_matrices_is_the_identity() {
    let (n, m, seeds) = (64, 16, 2000);
    let identity = Mat::<f64>::identity(n).unwrap();
    let identity = identity.as_ref();
    for kind in KINDS {
        let (mut mean, mut square) = (vec![0.0; n * n], vec![0.0; n * n]);
        for seed in 0..seeds {
            let sketch = Sketch::new(kind, m, Some(n as u64), seed, 0).unwrap();
            let s = sketch.apply(&Context::new(1), &Operand::Dense(&identity), 0).unwrap();
            for i in 0..n {
                for j in 0..n {
                    let entry: f64 = s.col(i).iter().zip(s.col(j)).map(|(a, b)| a * b).sum();
                    mean[i * n + j] += entry / seeds as f64;
                    square[i * n + j] += entry * entry / seeds as f64;
                }
            }
        }
        for i in 0..n {
            for j in 0..n {
                let (mean, square) = (mean[i * n + j], square[i * n + j]);
                let deviation = ((square - mean * mean).max(0.0) / seeds as f64).sqrt();
                let off = (mean - f64::from(i == j)).abs();
                assert!(off <= 5.0 * deviation + 1e-14, "{kind:?} ({i}, {j}): {off} against {deviation}");
            }
        }
    }
}

#[test]
fn subspaces_are_embedded() {
    let (n, d) = (4096, 24);
    let incoherent = {
        let entries = normals(n, d);
        nearlin::linalg::Qr::new(Mat::from_fn(n, d, |i, j| entries[i * d + j]).unwrap())
            .unwrap()
            .thin_q()
            .unwrap()
    };
    let coherent = Mat::from_fn(n, d, |i, j| f64::from(i == 5 * j)).unwrap();
    let crowded = Mat::from_fn(n, d, |i, j| f64::from(i == j)).unwrap();
    for kind in KINDS {
        for factor in [4, 12] {
            if kind == Kind::CountSketch {
                continue; // needs m of order d^2
            }
            let m = factor * d;
            let ratio = (d as f64 / m as f64).sqrt();
            for u in [&incoherent, &coherent, &crowded] {
                let y = apply(kind, m, 1, Operand::Dense(&u.as_ref()));
                let s = svd(y.as_ref()).unwrap().s;
                assert!(s[0] <= 1.15 * (1.0 + ratio), "{kind:?}, m = {factor} d: {}", s[0]);
                assert!(s[d - 1] >= (1.0 - ratio) / 1.15, "{kind:?}, m = {factor} d: {}", s[d - 1]);
            }
        }
    }
    let y = apply(Kind::CountSketch, 4 * d * d, 1, Operand::Dense(&incoherent.as_ref()));
    let s = svd(y.as_ref()).unwrap().s;
    assert!(s[0] < 1.2 && s[d - 1] > 0.8);
}

#[test]
fn threads_and_layouts_do_not_show_in_the_bits() {
    let (n, d) = (3000, 37);
    let single: Vec<f32> = normals(n, d).iter().map(|&v| v as f32).collect();
    let c: Vec<f64> = single.iter().map(|&v| f64::from(v)).collect();
    let f: Vec<f64> = (0..n * d).map(|k| c[k % n * d + k / n]).collect();
    let wide: Vec<f64> = (0..n * d).flat_map(|k| [c[k], f64::NAN]).collect();
    let strided = Dense::strided(&wide, n, d, 2 * d, 2).unwrap();
    for kind in KINDS {
        for m in [64, 600] {
            let expected = apply(kind, m, 1, Operand::Dense(&Dense::row_major(&c, n, d)));
            for threads in [2, 3, 8] {
                let y = apply(kind, m, threads, Operand::Dense(&Dense::row_major(&c, n, d)));
                assert!(same_bits(&y, &expected), "{kind:?}, m = {m}, {threads} threads");
            }
            assert!(same_bits(&apply(kind, m, 2, Operand::Dense(&Dense::column_major(&f, n, d))), &expected));
            assert!(same_bits(
                &apply(kind, m, 2, Operand::Dense(&Dense::row_major(&single, n, d))),
                &expected
            ));
            assert!(same_bits(&apply(kind, m, 2, Operand::Dense(&strided)), &expected));
        }
    }
}

/// CSR and CSC of the entries that a dense matrix has in one of twenty places.
struct Compressed {
    dense: Vec<f64>,
    csr: (Vec<i64>, Vec<i64>, Vec<f64>),
    csc: (Vec<i64>, Vec<i64>, Vec<f64>),
}

fn compressed(n: usize, d: usize) -> Compressed {
    let mut dense = normals(n, d);
    let keep = Stream::new(3, 0, 0);
    for (k, entry) in dense.iter_mut().enumerate() {
        if keep.index(k as u64, 20) != 0 {
            *entry = 0.0;
        }
    }
    let lines = |outer: usize, inner: usize, at: &dyn Fn(usize, usize) -> f64| {
        let (mut indptr, mut indices, mut data) = (vec![0], vec![], vec![]);
        for i in 0..outer {
            for j in (0..inner).filter(|&j| at(i, j) != 0.0) {
                indices.push(j as i64);
                data.push(at(i, j));
            }
            indptr.push(indices.len() as i64);
        }
        (indptr, indices, data)
    };
    let csr = lines(n, d, &|i, j| dense[i * d + j]);
    let csc = lines(d, n, &|j, i| dense[i * d + j]);
    Compressed { dense, csr, csc }
}

#[test]
fn compressed_lines_agree_with_dense_rows() {
    let (n, d) = (2500, 45);
    let a = compressed(n, d);
    let weights: Vec<f64> = (0..n).map(|i| (i % 7) as f64).collect();
    let weighted: Vec<f64> = (0..n * d).map(|k| a.dense[k] * weights[k / d]).collect();
    let view = |axis, (indptr, indices, data): &'static (Vec<i64>, Vec<i64>, Vec<f64>)| {
        Sparse::new(&Context::new(1), "A", axis, (n, d), Indices::I64(indptr), Indices::I64(indices), data)
            .unwrap()
    };
    let (csr, csc) = (Box::leak(Box::new(a.csr)), Box::leak(Box::new(a.csc)));
    for kind in KINDS {
        for m in [40, 500] {
            for (dense, weights) in [(&a.dense, None), (&weighted, Some(&weights[..]))] {
                let expected = apply(kind, m, 1, Operand::Dense(&Dense::row_major(dense, n, d)));
                for view in [view(Axis::Rows, csr), view(Axis::Columns, csc)] {
                    let y = apply(kind, m, 1, Operand::Double(view, weights));
                    assert!(distance(&y, &expected) <= 1e-13 * norm(&expected), "{kind:?} {:?}", view.axis());
                    for threads in [2, 3, 8, 20] {
                        assert!(same_bits(&apply(kind, m, threads, Operand::Double(view, weights)), &y));
                    }
                }
            }
        }
    }
}

#[test]
fn any_cut_of_a_stream_gives_the_bits_of_the_whole() {
    let (n, d, m) = (2600, 19, 90);
    let a = normals(n, d);
    let cuts = Stream::new(5, 0, 0);
    for kind in KINDS {
        let expected = apply(kind, m, 1, Operand::Dense(&rows(&a, d, 0, n)));
        for trial in 0..4 {
            let sketch = Sketch::new(kind, m, Some(n as u64), 42, 7).unwrap();
            let mut stream = sketch.accumulate(&Context::new(1), d).unwrap();
            let longest = [3, 60, 500, 2000][trial as usize];
            let mut start = 0;
            for step in 0.. {
                if start == n {
                    break;
                }
                // Empty blocks among them.
                let end = n.min(start + cuts.index(step << 2 | trial, longest) as usize);
                let block = rows(&a, d, start, end);
                stream.partial_fit(&Context::new(2), &Operand::Dense(&block), None).unwrap();
                if end.is_multiple_of(41) {
                    stream = Accumulator::from_bytes(
                        &Context::new(1),
                        &stream.to_bytes(&Context::new(1)).unwrap(),
                    )
                    .unwrap();
                }
                start = end;
            }
            assert_eq!(stream.rows(), n as u64);
            assert!(same_bits(&stream.result(&Context::new(1)).unwrap(), &expected), "{kind:?}");
        }
        let sketch = Sketch::new(kind, m, Some(n as u64), 42, 7).unwrap();
        let (head, tail) = (rows(&a, d, 0, 1100), rows(&a, d, 1100, n));
        let head = sketch.apply(&Context::new(1), &Operand::Dense(&head), 0).unwrap();
        let tail = sketch.apply(&Context::new(1), &Operand::Dense(&tail), 1100).unwrap();
        let sum = Mat::from_fn(m, d, |i, j| head[(i, j)] + tail[(i, j)]).unwrap();
        assert!(distance(&sum, &expected) <= 1e-13 * norm(&expected));
    }
}

#[test]
fn parts_of_a_stream_merge_in_any_order() {
    let (n, d, m) = (2600, 7, 90);
    let a = normals(n, d);
    let ctx = Context::new(2);
    // Cut inside chunks of 256 and of 1024, so that two half-filled chunks meet.
    let bounds = [0, 300, 301, 1500, 1700, n];
    for kind in KINDS {
        let expected = apply(kind, m, 1, Operand::Dense(&rows(&a, d, 0, n)));
        let sketch = Sketch::new(kind, m, Some(n as u64), 42, 7).unwrap();
        let part = |k: usize| {
            let mut part = sketch.accumulate(&Context::new(1), d).unwrap();
            let block = rows(&a, d, bounds[k], bounds[k + 1]);
            part.partial_fit(&ctx, &Operand::Dense(&block), Some(bounds[k] as u64)).unwrap();
            part
        };
        let mut merged = part(3);
        for k in [1, 4, 0, 2] {
            merged = merged.merged(&ctx, &part(k)).unwrap();
        }
        assert!(merged.covered().eq(std::iter::once(0..n as u64)));
        assert!(distance(&merged.result(&ctx).unwrap(), &expected) <= 1e-13 * norm(&expected), "{kind:?}");

        // Once a part is closed, nothing waits in it, and it still adds up with others.
        let mut all = part(0).closed(&ctx).unwrap();
        for k in 1..5 {
            let next = if k % 2 == 0 { part(k).closed(&ctx).unwrap() } else { part(k) };
            all = all.merged(&ctx, &next).unwrap();
            all = Accumulator::from_bytes(&ctx, &all.to_bytes(&ctx).unwrap()).unwrap();
        }
        assert!(all.is_closed() && all.covered().eq(std::iter::once(0..n as u64)));
        assert!(distance(&all.result(&ctx).unwrap(), &expected) <= 1e-13 * norm(&expected), "{kind:?}");
        let late = rows(&a, d, 0, 5);
        let refused = all.partial_fit(&ctx, &Operand::Dense(&late), None);
        assert!(matches!(refused, Err(Error::Value { argument: "A", .. })));

        let before = merged.to_bytes(&Context::new(1)).unwrap();
        assert!(matches!(merged.merged(&ctx, &part(2)), Err(Error::Value { argument: "other", .. })));
        let other =
            Sketch::new(kind, m, Some(n as u64), 43, 7).unwrap().accumulate(&Context::new(1), d).unwrap();
        assert!(matches!(merged.merged(&ctx, &other), Err(Error::Value { argument: "other", .. })));
        assert!(matches!(
            merged.merged(&ctx, &sketch.accumulate(&Context::new(1), d + 1).unwrap()),
            Err(Error::Shape { .. })
        ));
        assert_eq!(merged.to_bytes(&Context::new(1)).unwrap(), before);
    }
}

struct Impatient;
impl Host for Impatient {
    fn check(&self) -> Result<()> {
        Err(Error::Interrupted)
    }
    fn progress(&self, _: usize, _: usize, _: &[(&'static str, f64)]) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_block_is_added_whole_or_not_at_all() {
    let (n, d, m) = (1500, 5, 64);
    let mut a = normals(n, d);
    let ctx = Context::new(2);
    for kind in KINDS {
        let sketch = Sketch::new(kind, m, Some(2 * n as u64), 1, 0).unwrap();
        let mut stream = sketch.accumulate(&Context::new(1), d).unwrap();
        stream.partial_fit(&ctx, &Operand::Dense(&rows(&a, d, 0, 700)), Some(100)).unwrap();
        let before = stream.to_bytes(&Context::new(1)).unwrap();
        for (row, col, value) in
            [(0, 0, f64::NAN), (n / 2, 1, f64::INFINITY), (n - 1, d - 1, f64::NEG_INFINITY)]
        {
            let kept = std::mem::replace(&mut a[row * d + col], value);
            // Many rows, few rows, and a whole sketch.
            let few = rows(&a, d, row.saturating_sub(9), (row + 9).min(n));
            let all = rows(&a, d, 0, n);
            let outcome = stream.partial_fit(&ctx, &Operand::Dense(&all), None);
            let position = format!("[{row}, {col}]");
            assert!(
                matches!(outcome, Err(Error::NonFinite { position: p, .. }) if p == position),
                "{kind:?}"
            );
            assert!(matches!(
                stream.partial_fit(&ctx, &Operand::Dense(&few), None),
                Err(Error::NonFinite { .. })
            ));
            assert!(matches!(sketch.apply(&ctx, &Operand::Dense(&all), 0), Err(Error::NonFinite { .. })));
            a[row * d + col] = kept;
        }
        for offset in [0, 100, 799, u64::MAX, 2 * n as u64] {
            let block = rows(&a, d, 0, 101);
            let outcome = stream.partial_fit(&ctx, &Operand::Dense(&block), Some(offset));
            assert!(matches!(outcome, Err(Error::Value { .. })), "{kind:?} at {offset}");
        }
        let narrow = Dense::row_major(&a[..n * (d - 1)], n, d - 1);
        assert!(matches!(stream.partial_fit(&ctx, &Operand::Dense(&narrow), None), Err(Error::Shape { .. })));
        let hurried = Context::with_host(1, &Impatient);
        std::thread::sleep(2 * nearlin::parallel::TICK);
        let all = rows(&a, d, 0, n);
        assert_eq!(stream.partial_fit(&hurried, &Operand::Dense(&all), None), Err(Error::Interrupted));
        assert_eq!(stream.to_bytes(&Context::new(1)).unwrap(), before);
        let empty = rows(&a, d, 3, 3);
        stream.partial_fit(&ctx, &Operand::Dense(&empty), None).unwrap();
        assert_eq!(stream.rows(), 700);
    }
}

#[test]
fn overflow_is_an_error() {
    let huge = vec![1e308; 4096];
    for kind in [Kind::SparseSign { zeta: 1 }, Kind::Gaussian, PHT] {
        let sketch = Sketch::new(kind, 1, None, 1, 0).unwrap();
        let a = Dense::row_major(&huge, 4096, 1);
        assert!(matches!(
            sketch.apply(&Context::new(1), &Operand::Dense(&a), 0),
            Err(Error::Value { argument: "A", .. })
        ));
    }
}

#[test]
fn columns_are_the_same_alone_and_together() {
    let (n, m) = (3000, 33);
    let identity = Mat::<f64>::identity(m).unwrap();
    let ctx = Context::new(2);
    for kind in KINDS {
        let sketch = Sketch::new(kind, m, Some(1 << 40), 11, 3).unwrap();
        let transposed = |start, end| sketch.apply_transposed(&ctx, &identity.as_ref(), start..end).unwrap();
        let all = transposed(0, n as u64);
        for i in [0, 1, 255, 256, 1023, 1024, 2999] {
            let one = transposed(i, i + 1);
            assert!((0..m).all(|k| one[(0, k)].to_bits() == all[(i as usize, k)].to_bits()), "{kind:?} {i}");
        }
        // And they are those that the sketch adds up.
        let row = Dense::row_major(&[1.0], 1, 1);
        for i in [7, 2999, (1 << 40) - 1] {
            let applied = sketch.apply(&ctx, &Operand::Dense(&row), i).unwrap();
            let column = transposed(i, i + 1);
            assert!((0..m).all(|k| (applied[(k, 0)] - column[(0, k)]).abs() < 1e-14), "{kind:?} {i}");
        }
    }
}

#[test]
fn the_transpose_is_the_transpose() {
    let (n, d, m) = (2100, 66, 50);
    let (a, z) = (normals(n, d), normals(m, d));
    let ctx = Context::new(2);
    for kind in KINDS {
        let sketch = Sketch::new(kind, m, Some(5000), 11, 3).unwrap();
        let y = sketch.apply(&ctx, &Operand::Dense(&rows(&a, d, 0, n)), 700).unwrap();
        let x = sketch.apply_transposed(&ctx, &rows(&z, d, 0, m), 700..700 + n as u64).unwrap();
        for j in [0, 63, 64, 65] {
            let one: f64 = (0..m).map(|i| y[(i, j)] * z[i * d + j]).sum();
            let other: f64 = (0..n).map(|i| x[(i, j)] * a[i * d + j]).sum();
            assert!((one - other).abs() < 1e-10 * norm(&y) * (n as f64).sqrt(), "{kind:?}: {one} {other}");
        }
        assert!(sketch.apply_transposed(&ctx, &rows(&z, d, 0, m - 1), 0..3).is_err());
        assert!(sketch.apply_transposed(&ctx, &rows(&z, d, 0, m), 4990..5001).is_err());
    }
}

#[test]
fn operators_of_other_seeds_and_numbers_are_others() {
    let a = normals(64, 1);
    let a = Dense::row_major(&a, 64, 1);
    for kind in KINDS {
        let y = |seed, op_id| {
            let sketch = Sketch::new(kind, 16, Some(64), seed, op_id).unwrap();
            sketch.apply(&Context::new(1), &Operand::Dense(&a), 0).unwrap()
        };
        assert!(same_bits(&y(1, 0), &y(1, 0)));
        assert!(!same_bits(&y(1, 0), &y(2, 0)) && !same_bits(&y(1, 0), &y(1 << 32 | 1, 0)));
        assert!(!same_bits(&y(1, 0), &y(1, 1)));
    }
}

#[test]
fn values_that_make_no_sense_are_refused() {
    let refused = |kind, m, n, op_id| Sketch::new(kind, m, n, 0, op_id).is_err();
    assert!(refused(Kind::Gaussian, 0, None, 0) && refused(PHT, 1 << 31, None, 0));
    assert!(
        refused(Kind::SparseSign { zeta: 0 }, 5, None, 0)
            && refused(Kind::SparseSign { zeta: 6 }, 5, None, 0)
    );
    assert!(refused(Kind::Srht, 5, None, 0) && refused(Kind::Gaussian, 5, None, 1 << 24));
    assert!(Sketch::new(Kind::Gaussian, 5, None, 0, 0).unwrap().accumulate(&Context::new(1), 0).is_err());
    let vast = Sketch::new(Kind::CountSketch, (1 << 31) - 1, None, 0, 0).unwrap();
    assert!(matches!(vast.accumulate(&Context::new(1), 1 << 33), Err(Error::Allocation { .. })));
}

#[test]
fn damaged_states_are_refused() {
    let a = normals(40, 3);
    for kind in KINDS {
        let mut stream =
            Sketch::new(kind, 8, Some(100), 1, 0).unwrap().accumulate(&Context::new(1), 3).unwrap();
        stream.partial_fit(&Context::new(1), &Operand::Dense(&rows(&a, 3, 0, 40)), Some(10)).unwrap();
        let bytes = stream.to_bytes(&Context::new(1)).unwrap();
        assert_eq!(
            Accumulator::from_bytes(&Context::new(1), &bytes).unwrap().to_bytes(&Context::new(1)).unwrap(),
            bytes
        );
        for len in (0..bytes.len()).step_by(7) {
            assert!(matches!(Accumulator::from_bytes(&Context::new(1), &bytes[..len]), Err(Error::State(_))));
        }
        for byte in (0..bytes.len()).step_by(11).chain(0..60) {
            let mut damaged = bytes.clone();
            damaged[byte] ^= 1 << (byte % 8);
            assert!(matches!(Accumulator::from_bytes(&Context::new(1), &damaged), Err(Error::State(_))));
        }
        // With the checksum set right again, what is inside must still make sense.
        for byte in (40..bytes.len()).filter(|&byte| byte < 200 || byte % 97 == 0) {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut forged = bytes.clone();
                forged[byte] = value;
                let mut sum = crc32fast::Hasher::new();
                sum.update(&forged[8..36]);
                sum.update(&forged[40..]);
                let sum = sum.finalize();
                forged[36..40].copy_from_slice(&sum.to_le_bytes());
                if let Ok(stream) = Accumulator::from_bytes(&Context::new(1), &forged) {
                    stream.result(&Context::new(1)).ok();
                }
            }
        }
    }
}
