//! Matrices and measures that the tests of this floor share.

use crate::matrix::{Dense, Mat};
use proptest::prelude::*;

/// Numbers that look like a normal sample.
pub(super) fn gaussian(m: usize, n: usize, seed: u64) -> Mat<f64> {
    let state = std::cell::Cell::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let uniform = || {
        let mut x = state.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        state.set(x);
        (x >> 11) as f64 / (1u64 << 53) as f64
    };
    for _ in 0..20 {
        uniform();
    }
    Mat::from_fn(m, n, |_, _| (0..12).map(|_| uniform()).sum::<f64>() - 6.0).unwrap()
}

/// An upper triangle with a diagonal away from zero.
pub(super) fn upper(d: usize, seed: u64) -> Mat<f64> {
    let a = gaussian(d, d, seed);
    Mat::from_fn(d, d, |i, j| match i.cmp(&j) {
        std::cmp::Ordering::Less => a[(i, j)] / (d as f64).sqrt(),
        std::cmp::Ordering::Equal => a[(i, j)].signum() * (1.0 + a[(i, j)].abs()),
        std::cmp::Ordering::Greater => 0.0,
    })
    .unwrap()
}

/// a b
pub(super) fn product(a: Dense<'_, f64>, b: Dense<'_, f64>) -> Mat<f64> {
    super::product(a, b).unwrap()
}

/// The largest |a - b|.
pub(super) fn distance(a: Dense<'_, f64>, b: Dense<'_, f64>) -> f64 {
    assert_eq!((a.nrows(), a.ncols()), (b.nrows(), b.ncols()));
    let entries = (0..a.nrows()).flat_map(|i| (0..a.ncols()).map(move |j| (i, j)));
    entries
        .map(|(i, j)| (a.get(i, j) - b.get(i, j)).abs())
        .fold(0.0, |d, e| if d.is_nan() || e <= d { d } else { e })
}

/// The largest entry of |A'A - I|.
pub(super) fn departure_from_orthonormal(a: &Mat<f64>) -> f64 {
    let gram = product(a.as_ref().t(), a.as_ref());
    distance(gram.as_ref(), Mat::identity(a.ncols()).unwrap().as_ref())
}

/// The largest |a|.
pub(super) fn largest(a: Dense<'_, f64>) -> f64 {
    distance(a, Mat::zeros(a.nrows(), a.ncols()).unwrap().as_ref())
}

/// A matrix in memory of some layout, for the property tests.
pub(super) struct Case {
    pub shape: (usize, usize),
    rank: usize,
    scale: f64,
    layout: Layout,
    seed: u64,
    memory: Vec<f64>,
}

#[derive(Debug, Clone, Copy)]
enum Layout {
    Rows,
    Columns,
    Strided,
}

/// Shapes up to 40 x 40, any rank, both orders and gaps, sizes down to 1e-150 and up to 1e150.
pub(super) fn any_matrix() -> impl Strategy<Value = Case> {
    let layout = prop_oneof![Just(Layout::Rows), Just(Layout::Columns), Just(Layout::Strided)];
    let scale = prop_oneof![4 => Just(1.0), 1 => Just(1e-150), 1 => Just(1e150)];
    (0usize..40, 0usize..40, 0usize..45, scale, layout, any::<u64>())
        .prop_map(|(m, n, rank, scale, layout, seed)| Case::new((m, n), rank, scale, layout, seed))
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { shape, rank, scale, layout, seed, .. } = self;
        write!(f, "{shape:?} of rank {rank}, {layout:?}, times {scale:e}, seed {seed}")
    }
}

impl Case {
    fn new((m, n): (usize, usize), rank: usize, scale: f64, layout: Layout, seed: u64) -> Self {
        let full = rank >= m.min(n);
        let a = if full {
            gaussian(m, n, seed)
        } else {
            product(gaussian(m, rank, seed).as_ref(), gaussian(rank, n, seed ^ 1).as_ref())
        };
        let mut case =
            Self { shape: (m, n), rank, scale, layout, seed, memory: vec![f64::NAN; 6 * m * n + 1] };
        let (row_stride, col_stride) = case.strides();
        for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
            case.memory[i * row_stride + j * col_stride] = scale * a[(i, j)];
        }
        case
    }

    fn strides(&self) -> (usize, usize) {
        match self.layout {
            Layout::Rows => (self.shape.1, 1),
            Layout::Columns => (1, self.shape.0),
            Layout::Strided => (2, 2 * self.shape.0 + 1),
        }
    }

    pub(super) fn view(&self) -> Dense<'_, f64> {
        let (row_stride, col_stride) = self.strides();
        Dense::strided(&self.memory, self.shape.0, self.shape.1, row_stride, col_stride).unwrap()
    }

    pub(super) fn copy(&self) -> Mat<f64> {
        let a = self.view();
        Mat::from_fn(a.nrows(), a.ncols(), |i, j| a.get(i, j)).unwrap()
    }
}
