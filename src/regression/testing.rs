//! Small problems for the tests of this column, and what they come to in plain loops over dense rows.

use crate::matrix::testing::Known;
use crate::matrix::{Axis, Indices, LinearOperator, Mat, Matrix, Real, Sparse};
use crate::parallel::Context;
use crate::random::Stream;
use crate::regression::design::Design;
use crate::regression::design::pass::Passes;
use crate::regression::problem::Problem;
use crate::regression::refine::{Group, Refined, Scaled};
use std::ops::Range;

/// A, half of it zeros, two targets, and weights, some of them zeros; A once more by rows.
pub(crate) struct Instance {
    pub a: Mat<f64>,
    pub b: Mat<f64>,
    pub weights: Vec<f64>,
    indptr: Vec<i32>,
    indices: Vec<i32>,
    data: Vec<f64>,
}

/// How an instance is stated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub sparse: bool,
    pub weighted: bool,
    pub fit_intercept: bool,
}

/// Dense or sparse, weighted or not, with or without an intercept.
pub(crate) fn forms() -> impl Iterator<Item = Form> {
    (0..8).map(|i| Form { sparse: i & 1 > 0, weighted: i & 2 > 0, fit_intercept: i & 4 > 0 })
}

/// Those that a linear operator may have.
pub(crate) fn operator_forms() -> impl Iterator<Item = Form> {
    forms().filter(|form| !form.sparse && !form.fit_intercept)
}

fn all_targets<'p, 'a, M>(
    context: &'p Context<'p>,
    design: &'p Design<'a, f64, M>,
    ridge: f64,
) -> Group<'p, 'a, f64, M> {
    Group { context, design, targets: &[0, 1], ridge, tolerance: f64::UNIT_ROUNDOFF, max_passes: 9 }
}

impl Instance {
    pub fn new(n: usize, d: usize) -> Self {
        let numbers = Stream::new(5, 0, 0);
        let normal = |i: usize, j: usize| numbers.normal(i as u64, j as u64);
        let a = Mat::from_fn(n, d, |i, j| match (3 * i + i / 4 + j) % 2 {
            0 => 0.0,
            _ => (normal(i, j) + 1.0) * (1 + 2 * j) as f64,
        })
        .unwrap();
        let b = Mat::from_fn(n, 2, |i, target| {
            3.0 + (0..d).map(|j| a[(i, j)] * (target + 1) as f64 / (1 + j) as f64).sum::<f64>()
                + normal(i, d + target)
        })
        .unwrap();
        let weights = (0..n).map(|i| if i % 7 == 3 { 0.0 } else { 0.25 + (i % 5) as f64 }).collect();
        Self::of(a, b, weights)
    }

    /// Some of the rows.
    pub fn part(&self, rows: Range<usize>) -> Self {
        let of = |m: &Mat<f64>| Mat::copy_of(m.as_ref().rows(rows.clone())).unwrap();
        Self::of(of(&self.a), of(&self.b), self.weights[rows.clone()].to_vec())
    }

    fn of(a: Mat<f64>, b: Mat<f64>, weights: Vec<f64>) -> Self {
        let (n, d) = (a.nrows(), a.ncols());
        let stored = |i: usize| (0..d).filter(|&j| a[(i, j)] != 0.0).collect::<Vec<_>>();
        let mut indptr = vec![0];
        let (mut indices, mut data) = (Vec::new(), Vec::new());
        for i in 0..n {
            for j in stored(i) {
                indices.push(j as i32);
                data.push(a[(i, j)]);
            }
            indptr.push(indices.len() as i32);
        }
        Self { a, b, weights, indptr, indices, data }
    }

    pub fn problem<'p>(&'p self, form: Form, ridge: &'p [f64]) -> Problem<'p, f64> {
        let shape = (self.a.nrows(), self.a.ncols());
        let (indptr, indices) = (Indices::I32(&self.indptr), Indices::I32(&self.indices));
        let sparse = || Sparse::new(&Context::new(1), "A", Axis::Rows, shape, indptr, indices, &self.data);
        Problem {
            design: if form.sparse {
                Matrix::Sparse(sparse().unwrap())
            } else {
                Matrix::Dense(self.a.as_ref())
            },
            targets: self.b.as_ref(),
            weights: form.weighted.then_some(&self.weights[..]),
            ridge,
            fit_intercept: form.fit_intercept,
        }
    }

    /// What the solvers of all targets share, handed to `work`.
    pub fn with_group(&self, form: Form, ridge: f64, work: impl FnOnce(&Group<'_, '_, f64>)) {
        let (context, ridges) = (Context::new(2), [ridge]);
        let design = Design::new(&context, &self.problem(form, &ridges)).unwrap();
        work(&all_targets(&context, &design, ridge));
    }

    /// The same of a linear operator, which knows nothing of intercepts.
    pub fn with_operator(
        &self,
        form: Form,
        ridge: f64,
        work: impl FnOnce(&Group<'_, '_, f64, &dyn LinearOperator>),
    ) {
        let (context, ridges) = (Context::new(2), [ridge]);
        let known = Known(self.a.copy().unwrap());
        let design = &known as &dyn LinearOperator;
        let Problem { targets, weights, ridge: ridges, fit_intercept, .. } = self.problem(form, &ridges);
        let problem = Problem { design, targets, weights, ridge: ridges, fit_intercept };
        let design = Design::by_products(&context, &problem).unwrap();
        work(&all_targets(&context, &design, ridge));
    }

    /// W^(1/2) (A - 1 mean') and W^(1/2) (B - 1 mean').
    pub fn explicit(&self, form: Form) -> (Mat<f64>, Mat<f64>) {
        let weight = |i: usize| if form.weighted { self.weights[i] } else { 1.0 };
        let n = self.a.nrows();
        let total: f64 = (0..n).map(weight).sum();
        let centred = |m: &Mat<f64>| {
            let mean = |j: usize| match form.fit_intercept {
                true => (0..n).map(|i| weight(i) * m[(i, j)]).sum::<f64>() / total,
                false => 0.0,
            };
            let means: Vec<f64> = (0..m.ncols()).map(mean).collect();
            Mat::from_fn(n, m.ncols(), |i, j| weight(i).sqrt() * (m[(i, j)] - means[j])).unwrap()
        };
        (centred(&self.a), centred(&self.b))
    }

    /// The minimisers for one ridge, by elimination in the normal equations.
    pub fn minimiser(&self, form: Form, ridge: f64) -> Mat<f64> {
        let (a, b) = self.explicit(form);
        let d = a.ncols();
        let (mut gram, mut x) = (product(&transposed(&a), &a), product(&transposed(&a), &b));
        (0..d).for_each(|j| gram[(j, j)] += ridge);
        for pivot in 0..d {
            for i in (0..d).filter(|&i| i != pivot) {
                let factor = gram[(i, pivot)] / gram[(pivot, pivot)];
                (0..d).for_each(|j| gram[(i, j)] -= factor * gram[(pivot, j)]);
                (0..2).for_each(|j| x[(i, j)] -= factor * x[(pivot, j)]);
            }
        }
        Mat::from_fn(d, 2, |i, j| x[(i, j)] / gram[(i, i)]).unwrap()
    }

    /// Asserts that answers in scaled units are the minimisers, and residuals theirs with the ridge below them.
    pub fn assert_solved<M: Passes<f64>>(
        &self,
        form: Form,
        group: &Group<'_, '_, f64, M>,
        refined: &Refined,
        scale: &[f64],
    ) {
        let (a, b) = self.explicit(form);
        let expected = self.minimiser(form, group.ridge);
        let fitted = product(&a, &expected);
        for target in 0..2 {
            let unit = group.design.target_scale(target);
            for j in 0..a.ncols() {
                let found = refined.x[(j, target)] / scale[j] / unit;
                assert_near(found, expected[(j, target)], &format!("{form:?}, coefficient {j} of {target}"));
            }
            let residual: f64 = (0..a.nrows()).map(|i| (b[(i, target)] - fitted[(i, target)]).powi(2)).sum();
            let penalty: f64 = expected.col(target).iter().map(|x| group.ridge * x * x).sum();
            let found = refined.residual_norm[target] / unit;
            assert_near(found, (residual + penalty).sqrt(), &format!("{form:?}, residual of {target}"));
        }
    }

    /// The triangle of the explicit rows, columns scaled to norm one, from their Gram matrix.
    pub fn exact_factor(&self, form: Form, ridge: f64) -> Scaled {
        let (a, _) = self.explicit(form);
        let mut gram = product(&transposed(&a), &a);
        (0..a.ncols()).for_each(|j| gram[(j, j)] += ridge);
        let scale: Vec<f64> = (0..a.ncols()).map(|j| gram[(j, j)].sqrt()).collect();
        let scaled = Mat::from_fn(a.ncols(), a.ncols(), |i, j| gram[(i, j)] / scale[i] / scale[j]).unwrap();
        let r = crate::linalg::cholesky(&scaled).unwrap().unwrap();
        Scaled { factor: crate::linalg::Factor::Triangle(r), scale, empty: Vec::new(), cut: 0.0 }
    }
}

pub(crate) fn transposed(a: &Mat<f64>) -> Mat<f64> {
    Mat::from_fn(a.ncols(), a.nrows(), |i, j| a[(j, i)]).unwrap()
}

pub(crate) fn product(a: &Mat<f64>, b: &Mat<f64>) -> Mat<f64> {
    let entry = |i: usize, j: usize| (0..a.ncols()).map(|k| a[(i, k)] * b[(k, j)]).sum::<f64>();
    Mat::from_fn(a.nrows(), b.ncols(), entry).unwrap()
}

/// To ten digits.
pub(crate) fn assert_near(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() <= 1e-10 * expected.abs().max(1.0), "{what}: {found} for {expected}");
}

pub(crate) fn assert_same(found: &Mat<f64>, expected: &Mat<f64>, what: &str) {
    assert_eq!((found.nrows(), found.ncols()), (expected.nrows(), expected.ncols()), "{what}");
    for (&found, &expected) in found.as_slice().iter().zip(expected.as_slice()) {
        assert_near(found, expected, what);
    }
}
