//! Least squares through the public interface of the crate, without Python.

#![allow(clippy::disallowed_macros, clippy::disallowed_methods)]

use nearlin::error::Error;
use nearlin::linalg::{eigh, matmul};
use nearlin::matrix::{Axis, Dense, DenseMut, Indices, LinearOperator, Mat, Matrix, Sparse};
use nearlin::parallel::Context;
use nearlin::random::Stream;
use nearlin::regression::{
    Covariance, CovarianceFit, Method, Output, Params, Problem, Robust, covariance, lstsq, lstsq_by_products,
    ridge_cv, robust_covariance,
};
use proptest::prelude::*;

fn params(method: Method) -> Params {
    Params { method, seed: 7, ..Params::default() }
}

/// Row-major normals, columns shrunk from 1 down to 1 / `spread`.
fn normals(n: usize, d: usize, spread: f64, op_id: u32) -> Vec<f64> {
    let stream = Stream::new(11, op_id, 0);
    let shrink = |j: usize| spread.powf(-(j as f64) / (d.max(2) - 1) as f64);
    (0..n * d).map(|k| stream.normal((k / d) as u64, (k % d) as u64) * shrink(k % d)).collect()
}

/// The columns of `a` plus a common one: a condition of about `condition` that no scaling of columns mends.
fn nearly_dependent(n: usize, d: usize, condition: f64) -> Vec<f64> {
    let (mut a, common) = (normals(n, d, 1.0, 1), normals(n, 1, 1.0, 2));
    for (i, row) in a.chunks_exact_mut(d).enumerate() {
        row.iter_mut().for_each(|v| *v = *v / condition + common[i]);
    }
    a
}

fn problem<'p>(a: &'p [f64], b: &'p [f64], d: usize) -> Problem<'p, f64> {
    let n = a.len() / d;
    Problem {
        design: Matrix::Dense(Dense::row_major(a, n, d)),
        targets: Dense::row_major(b, n, b.len() / n),
        weights: None,
        ridge: &[0.0],
        fit_intercept: false,
    }
}

fn solve(problem: &Problem<'_, f64>, method: Method) -> Output {
    lstsq(&Context::new(2), problem, &params(method)).unwrap()
}

/// |A'(b - A x)| relative to |A| (|b| + |A| |x|), by plain sums.
fn gradient_norm(a: &[f64], b: &[f64], x: &[f64]) -> f64 {
    let d = x.len();
    let mut gradient = vec![0.0; d];
    for (row, b) in a.chunks_exact(d).zip(b) {
        let r = b - row.iter().zip(x).map(|(a, x)| a * x).sum::<f64>();
        gradient.iter_mut().zip(row).for_each(|(g, a)| *g += a * r);
    }
    let norm = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
    norm(&gradient) / norm(a) / (norm(b) + norm(a) * norm(x))
}

/// The methods that take a dense array.
fn of_dense() -> impl Iterator<Item = Method> {
    Method::ALL.into_iter().filter(|&method| method != Method::SparseCholesky)
}

/// The rank is as expected, or not known to the two methods that have no factor.
fn has_rank(output: &Output, method: Method, expected: usize) -> bool {
    output.rank.map_or(matches!(method, Method::Lsmr | Method::Cg), |rank| rank == expected)
}

fn close(left: &Mat<f64>, right: &Mat<f64>, tolerance: f64) -> bool {
    let size = right.as_slice().iter().fold(1e-300, |m: f64, v| m.max(v.abs()));
    left.as_slice().iter().zip(right.as_slice()).all(|(x, y)| (x - y).abs() <= tolerance * size)
}

#[test]
fn every_method_reaches_its_target_whatever_the_condition() {
    let (n, d) = (3000, 20);
    for condition in [1.0, 1e2, 1e5, 1e8, 1e11] {
        let (a, b) = (nearly_dependent(n, d, condition), normals(n, 1, 1.0, 3));
        for method in of_dense() {
            let output = solve(&problem(&a, &b, d), method);
            assert!(output.backward_error[0] <= 4.0 * output.target, "{method:?} {condition:e}");
            assert!(gradient_norm(&a, &b, output.x.col(0)) < 1e-14, "{method:?} {condition:e}");
            assert!(has_rank(&output, method, d), "{method:?} {condition:e}");
        }
    }
}

#[test]
fn weights_ridge_and_intercept_equal_the_problem_written_out() {
    let (n, d) = (2000, 6);
    let (a, b) = (normals(n, d, 100.0, 4), normals(n, 2, 1.0, 5));
    let weights: Vec<f64> = (0..n).map(|i| (i % 5) as f64).collect();
    let ridge = [0.5, 3.0];
    for method in of_dense() {
        let stated =
            Problem { weights: Some(&weights), ridge: &ridge, fit_intercept: true, ..problem(&a, &b, d) };
        let output = solve(&stated, method);
        for target in 0..2 {
            let (mut rows, mut sides) = (Vec::new(), Vec::new());
            for i in 0..n {
                let root = weights[i].sqrt();
                rows.extend(a[i * d..][..d].iter().map(|v| v * root));
                rows.push(root);
                sides.push(b[2 * i + target] * root);
            }
            for j in 0..d {
                rows.extend((0..=d).map(|l| if l == j { ridge[target].sqrt() } else { 0.0 }));
                sides.push(0.0);
            }
            let written_out = solve(&problem(&rows, &sides, d + 1), Method::Qr);
            let x =
                Mat::from_fn(
                    d + 1,
                    1,
                    |i, _| {
                        if i < d { output.x[(i, target)] } else { output.intercept[target] }
                    },
                );
            assert!(close(&x.unwrap(), &written_out.x, 1e-11), "{method:?} {target}");
        }
    }
}

#[test]
fn sparse_and_dense_agree() {
    let (n, d) = (1500, 8);
    let dense: Vec<f64> = normals(n, d, 1.0, 6)
        .into_iter()
        .enumerate()
        .map(|(k, v)| if k % 3 == 0 { v } else { 0.0 })
        .collect();
    let b = normals(n, 1, 1.0, 7);
    let stored: Vec<usize> = (0..n * d).filter(|&k| dense[k] != 0.0).collect();
    let values: Vec<f64> = stored.iter().map(|&k| dense[k]).collect();
    let indices: Vec<i32> = stored.iter().map(|&k| (k % d) as i32).collect();
    let indptr: Vec<i32> = (0..=n).map(|i| stored.partition_point(|&k| k < i * d) as i32).collect();
    let csr = Sparse::new(
        &Context::new(1),
        "A",
        Axis::Rows,
        (n, d),
        Indices::I32(&indptr),
        Indices::I32(&indices),
        &values,
    )
    .unwrap();
    let expected = solve(&problem(&dense, &b, d), Method::Qr);
    for method in Method::ALL {
        for fit_intercept in [false, true] {
            let design = Matrix::Sparse(csr);
            let output = solve(&Problem { design, fit_intercept, ..problem(&dense, &b, d) }, method);
            let expected = match fit_intercept {
                false => &expected,
                true => &solve(&Problem { fit_intercept, ..problem(&dense, &b, d) }, Method::Qr),
            };
            assert!(close(&output.x, &expected.x, 1e-12), "{method:?}");
        }
    }
}

#[test]
fn the_bits_do_not_depend_on_the_threads() {
    let (n, d) = (20_000, 24);
    let b = normals(n, 3, 1.0, 8);
    for condition in [1.0, 1e9] {
        let a = nearly_dependent(n, d, condition);
        for method in of_dense() {
            let run = |threads| lstsq(&Context::new(threads), &problem(&a, &b, d), &params(method)).unwrap();
            let one = run(1);
            for threads in [2, 3, 8] {
                assert_eq!(one.x.as_slice(), run(threads).x.as_slice(), "{method:?} {threads}");
            }
        }
    }
}

#[test]
fn ranks_and_shortest_answers() {
    let (n, d) = (800, 5);
    let mut a = normals(n, d, 1.0, 9);
    for row in a.chunks_exact_mut(d) {
        row[4] = row[0];
        row[2] = 0.0;
    }
    let b = normals(n, 1, 1.0, 10);
    for method in of_dense() {
        let output = solve(&problem(&a, &b, d), method);
        assert!(has_rank(&output, method, 3), "{method:?}");
        assert_eq!(output.x[(2, 0)], 0.0);
        assert!((output.x[(0, 0)] - output.x[(4, 0)]).abs() < 1e-13);
        assert!(gradient_norm(&a, &b, output.x.col(0)) < 1e-14);
    }
}

#[test]
fn extreme_magnitudes_do_not_matter() {
    let (n, d) = (2000, 4);
    let (a, b) = (normals(n, d, 1.0, 11), normals(n, 1, 1.0, 12));
    let plain = solve(&problem(&a, &b, d), Method::Qr);
    for (of_a, of_b) in [(2f64.powi(500), 1.0), (2f64.powi(-500), 2f64.powi(-500)), (1.0, 2f64.powi(900))] {
        let a: Vec<f64> = a.iter().map(|v| v * of_a).collect();
        let b: Vec<f64> = b.iter().map(|v| v * of_b).collect();
        for method in of_dense() {
            let output = solve(&problem(&a, &b, d), method);
            let x = Mat::from_fn(d, 1, |i, _| output.x[(i, 0)] * of_a / of_b).unwrap();
            assert!(close(&x, &plain.x, 1e-12), "{method:?} {of_a:e} {of_b:e}");
        }
    }
}

#[test]
fn what_is_not_finite_is_named() {
    let (n, d) = (5000, 12);
    for value in [f64::NAN, f64::INFINITY] {
        for row in [0, 2500, n - 1] {
            let (mut a, b) = (normals(n, d, 1.0, 13), normals(n, 1, 1.0, 14));
            a[row * d + 3] = value;
            for method in of_dense() {
                let outcome = lstsq(&Context::new(2), &problem(&a, &b, d), &params(method));
                let position = format!("[{row}, 3]");
                assert!(
                    matches!(outcome, Err(Error::NonFinite { argument: "A", position: p, .. }) if p == position)
                );
            }
        }
    }
}

#[test]
fn leave_one_out_errors_equal_leaving_one_out() {
    let (n, d) = (30, 3);
    let (a, b) = (normals(n, d, 1.0, 15), normals(n, 1, 1.0, 16));
    let alphas = [0.1, 10.0];
    let params = params(Method::Auto);
    let choice = ridge_cv(&Context::new(1), &problem(&a, &b, d), &alphas, true, &params).unwrap();
    let errors = &choice.errors;
    for (alpha, &error) in alphas.iter().zip(errors.col(0)) {
        let ridge = [*alpha];
        let squares = (0..n).map(|left_out| {
            let keep = |k: &usize| *k != left_out;
            let rest_a: Vec<f64> = (0..n).filter(keep).flat_map(|i| a[i * d..][..d].to_vec()).collect();
            let rest_b: Vec<f64> = (0..n).filter(keep).map(|i| b[i]).collect();
            let x = solve(&Problem { ridge: &ridge, ..problem(&rest_a, &rest_b, d) }, Method::Qr).x;
            (b[left_out] - (0..d).map(|j| a[left_out * d + j] * x[(j, 0)]).sum::<f64>()).powi(2)
        });
        let expected = squares.sum::<f64>() / n as f64;
        assert!((error / expected - 1.0).abs() < 1e-10, "{alpha}: {error} against {expected}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn any_shape_has_an_answer(n in 1usize..300, d in 1usize..20, k in 0usize..4, which in 0..of_dense().count()) {
        let (a, b) = (normals(n, d, 1e3, 17), normals(n, k, 1.0, 18));
        let targets = Dense::row_major(&b, n, k);
        let method = of_dense().nth(which).unwrap();
        let output = solve(&Problem { targets, ..problem(&a, &[0.0].repeat(n), d) }, method);
        prop_assert!(has_rank(&output, method, n.min(d)));
        for target in 0..k {
            let b: Vec<f64> = (0..n).map(|i| b[i * k + target]).collect();
            prop_assert!(gradient_norm(&a, &b, output.x.col(target)) < 1e-13);
        }
    }
}

/// Covariances by the formulas of the textbook, with the inverse of the moment matrix; `None`: equal variances.
fn sandwich(problem: &Problem<'_, f64>, ridge: f64, robust: Option<Robust>) -> Mat<f64> {
    let (n, d, b) = (problem.design.nrows(), problem.design.ncols(), problem.targets);
    let Matrix::Dense(a) = problem.design else { panic!("dense only") };
    let constant = usize::from(problem.fit_intercept);
    let weight = |i: usize| problem.weights.map_or(1.0, |w| w[i]);
    let entry = |i: usize, j: usize| if j < constant { 1.0 } else { a.get(i, j - constant) };
    let e = Mat::from_fn(n, constant + d, |i, j| weight(i).sqrt() * entry(i, j)).unwrap();
    let product = |a: Dense<'_, f64>, b: Dense<'_, f64>| {
        let mut c = Mat::zeros(a.nrows(), b.ncols()).unwrap();
        matmul(c.as_mut(), false, a, b, 1.0);
        c
    };
    let mut moments = product(e.as_ref().t(), e.as_ref());
    (constant..constant + d).for_each(|j| moments[(j, j)] += ridge);
    let (values, vectors) = eigh(&moments).unwrap();
    let half = Mat::from_fn(constant + d, constant + d, |i, j| vectors[(i, j)] / values[j].sqrt()).unwrap();
    let inverse = product(half.as_ref(), half.as_ref().t());
    let lever = product(e.as_ref(), half.as_ref());
    let target = Mat::from_fn(n, 1, |i, _| weight(i).sqrt() * b.get(i, 0)).unwrap();
    let x = product(inverse.as_ref(), product(e.as_ref().t(), target.as_ref()).as_ref());
    let fitted = product(e.as_ref(), x.as_ref());
    let leverage: Vec<f64> = (0..n).map(|i| (0..constant + d).map(|j| lever[(i, j)].powi(2)).sum()).collect();
    let observations = (0..n).filter(|&i| weight(i) > 0.0).count() as f64;
    let freedom = observations - leverage.iter().sum::<f64>();
    let squares: Vec<f64> = (0..n).map(|i| (target[(i, 0)] - fitted[(i, 0)]).powi(2)).collect();
    let share = |i: usize| match robust {
        None => squares.iter().sum::<f64>() / freedom,
        Some(Robust::Hc0) => squares[i],
        Some(Robust::Hc1) => squares[i] * observations / freedom,
        Some(Robust::Hc2) => squares[i] / (1.0 - leverage[i]),
        Some(Robust::Hc3) => squares[i] / (1.0 - leverage[i]).powi(2),
    };
    let noisy = Mat::from_fn(n, constant + d, |i, j| share(i).sqrt() * e[(i, j)]).unwrap();
    let meat = product(noisy.as_ref().t(), noisy.as_ref());
    product(product(inverse.as_ref(), meat.as_ref()).as_ref(), inverse.as_ref())
}

fn kept(problem: &Problem<'_, f64>, method: Method) -> (Output, Mat<f64>) {
    let params = Params { keep_factor: true, ..params(method) };
    let output = lstsq(&Context::new(2), problem, &params).unwrap();
    let factor = output.inference.as_ref().unwrap().factors[0].copy().unwrap();
    (output, factor)
}

#[test]
fn covariances_are_those_of_the_textbook() {
    let (n, d) = (3000, 20);
    let (a, b) = (nearly_dependent(n, d, 30.0), normals(n, 1, 1.0, 3));
    let weights: Vec<f64> = (0..n).map(|i| (i % 7) as f64).collect();
    for (fit_intercept, ridge, weights) in
        [(false, [0.0], None), (true, [0.0], None), (true, [3.0], Some(&weights[..]))]
    {
        let problem = Problem { weights, ridge: &ridge, fit_intercept, ..problem(&a, &b, d) };
        for method in [Method::Auto, Method::Gram, Method::Whitened, Method::Spir, Method::Qr] {
            let (output, factor) = kept(&problem, method);
            let inference = output.inference.as_ref().unwrap();
            let fit = CovarianceFit {
                factor: &factor,
                ridge: ridge[0],
                means: inference.means.as_deref(),
                weight_norm: inference.weight_norm,
                observations: inference.observations,
            };
            let found = covariance(&fit, &output.residual_norm).unwrap();
            assert!(close(&found.matrices[0], &sandwich(&problem, ridge[0], None), 1e-10), "{method:?}");
            for robust in [Robust::Hc0, Robust::Hc1, Robust::Hc2, Robust::Hc3] {
                let found = |threads| -> Covariance {
                    robust_covariance(
                        &Context::new(threads),
                        &problem,
                        &fit,
                        &output.x,
                        &output.residual_norm,
                        robust,
                    )
                    .unwrap()
                };
                let (one, three) = (found(1), found(3));
                assert_eq!(one.matrices[0].as_slice(), three.matrices[0].as_slice());
                let expected = sandwich(&problem, ridge[0], Some(robust));
                assert!(close(&one.matrices[0], &expected, 1e-10), "{method:?} {robust:?}");
                assert!(one.pinned.is_empty());
            }
            let other = Problem { weights: Some(&vec![0.5; n]), ..problem };
            assert!(
                robust_covariance(
                    &Context::new(1),
                    &other,
                    &fit,
                    &output.x,
                    &output.residual_norm,
                    Robust::Hc0
                )
                .is_err()
            );
        }
    }
}

#[test]
fn rows_that_the_fit_passes_through_are_told() {
    let (n, d) = (500, 4);
    let (mut a, b) = (normals(n, d, 1.0, 1), normals(n, 1, 1.0, 3));
    (0..n).for_each(|i| a[i * d] = f64::from(i == 17));
    let problem = problem(&a, &b, d);
    let (output, factor) = kept(&problem, Method::Qr);
    let fit = CovarianceFit {
        factor: &factor,
        ridge: 0.0,
        means: None,
        weight_norm: (n as f64).sqrt(),
        observations: n,
    };
    let found =
        robust_covariance(&Context::new(1), &problem, &fit, &output.x, &output.residual_norm, Robust::Hc3)
            .unwrap();
    assert_eq!(found.pinned, [17]);
    assert!(found.matrices[0].as_slice().iter().all(|v| v.is_finite()));
    let square = CovarianceFit { observations: d, ..fit };
    assert!(matches!(covariance(&square, &[1.0]), Err(Error::Shape { .. })));
}

/// A matrix that shows nothing but its products.
#[derive(Debug)]
struct Hidden<'a>(Dense<'a, f64>);

impl LinearOperator for Hidden<'_> {
    fn nrows(&self) -> usize {
        self.0.nrows()
    }

    fn ncols(&self) -> usize {
        self.0.ncols()
    }

    fn product(&self, x: Dense<'_, f64>, out: DenseMut<'_, f64>) -> nearlin::error::Result<()> {
        matmul(out, false, self.0, x, 1.0);
        Ok(())
    }

    fn transposed_product(&self, y: Dense<'_, f64>, out: DenseMut<'_, f64>) -> nearlin::error::Result<()> {
        matmul(out, false, self.0.t(), y, 1.0);
        Ok(())
    }
}

#[test]
fn a_linear_operator_is_solved_by_its_products() {
    let (n, d) = (700, 12);
    let (a, b) = (normals(n, d, 30.0, 1), normals(n, 2, 1.0, 3));
    let weights: Vec<f64> = (0..n).map(|i| 1.0 + (i % 3) as f64).collect();
    for ridge in [0.0, 2.0] {
        let ridge = [ridge];
        let dense = Problem { weights: Some(&weights), ridge: &ridge, ..problem(&a, &b, d) };
        let expected = solve(&dense, Method::Qr).x;
        let hidden = Hidden(Dense::row_major(&a, n, d));
        let design: &dyn LinearOperator = &hidden;
        let Problem { targets, weights, ridge, fit_intercept, .. } = dense;
        let operator = Problem { design, targets, weights, ridge, fit_intercept };
        for method in [Method::Auto, Method::Spir, Method::Fossils, Method::Lsmr] {
            let output = lstsq_by_products(&Context::new(2), &operator, &params(method)).unwrap();
            assert!(output.settled && close(&output.x, &expected, 1e-12), "{method:?}");
            assert!(output.backward_error.iter().all(|&error| error < 1e-15), "{method:?}");
        }
        for method in [Method::Gram, Method::Whitened, Method::Qr] {
            let refused = lstsq_by_products(&Context::new(2), &operator, &params(method)).err();
            assert!(matches!(refused, Some(Error::Value { argument: "method", .. })));
        }
        let centred = Problem { fit_intercept: true, ..operator };
        assert!(lstsq_by_products(&Context::new(2), &centred, &params(Method::Auto)).is_err());
    }
}
