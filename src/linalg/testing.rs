//! Matrices and measures that the tests of this floor share.

use super::Svd;
use crate::matrix::{Dense, Mat};
use proptest::prelude::*;

/// Numbers that look like a normal sample.
pub(crate) fn gaussian(m: usize, n: usize, seed: u64) -> Mat<f64> {
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

/// A square matrix with the structure of everyday data: repeated and vanishing singular values.
pub(super) fn structured(n: usize, seed: u64) -> Mat<f64> {
    let noise = gaussian(n, n, seed);
    let pick = |j: usize| (noise[(j, n - 1)].abs() * 1e6) as usize;
    let block = 1 + seed as usize / 7 % 20;
    let entry = |i: usize, j: usize| match seed % 7 {
        // Columns that occur again.
        0 => noise[(i, pick(j) % n.div_ceil(2))],
        // Groups.
        1 => f64::from(i / block == j / block),
        // Somebody's choice.
        2 => (pick(j) / n % 2 + 1) as f64 * f64::from(i == pick(j) % n),
        // Counts.
        3 => noise[(i, j)].round(),
        // Crossed factors: how often two levels meet.
        4 if (i < n / 2) == (j < n / 2) => f64::from(i == j) * 5.0,
        4 => (noise[(i.min(j), i.max(j))].abs() * 1.2).floor(),
        // Variables that have nothing to do with others.
        5 => noise[(i, j)] * f64::from((i < n / 3) == (j < n / 2)),
        // Units of all kinds.
        _ => noise[(i, j)] * 10f64.powi(-((block * i + 3 * j) as i32 % 30)),
    };
    Mat::from_fn(n, n, entry).unwrap()
}

/// Orthonormal, in order, and multiplied back to A.
pub(super) fn check_svd(a: Dense<'_, f64>, svd: &Svd, what: &str) {
    let k = a.nrows().min(a.ncols());
    let size = largest(a) * (k as f64).sqrt();
    let tolerance = 4e-15 * (a.nrows().max(a.ncols()) as f64).sqrt().max(4.0);
    assert_eq!((svd.u.nrows(), svd.u.ncols()), (a.nrows(), k));
    assert_eq!((svd.v.nrows(), svd.v.ncols(), svd.s.len()), (a.ncols(), k, k));
    assert!(departure_from_orthonormal(&svd.u) < tolerance, "{what}: U");
    assert!(departure_from_orthonormal(&svd.v) < tolerance, "{what}: V");
    assert!(svd.s.windows(2).all(|pair| pair[0] >= pair[1]) && svd.s.iter().all(|&s| s >= 0.0));
    let scaled = Mat::from_fn(svd.u.nrows(), k, |i, j| svd.u[(i, j)] * svd.s[j]).unwrap();
    let back = product(scaled.as_ref(), svd.v.as_ref().t());
    assert!(distance(back.as_ref(), a) <= tolerance * size, "{what}: A");
}

/// Orthonormal, in order, and eigenvectors of the symmetric A.
pub(super) fn check_eigh(a: &Mat<f64>, values: &[f64], vectors: &Mat<f64>, what: &str) {
    let n = a.nrows();
    let tolerance = 4e-15 * (n as f64).sqrt().max(4.0);
    assert!(departure_from_orthonormal(vectors) < tolerance, "{what}: orthonormal");
    assert!(values.windows(2).all(|pair| pair[0] <= pair[1]), "{what}: order");
    let scaled = Mat::from_fn(n, n, |i, j| vectors[(i, j)] * values[j]).unwrap();
    let residual = distance(product(a.as_ref(), vectors.as_ref()).as_ref(), scaled.as_ref());
    assert!(residual <= tolerance * largest(a.as_ref()) * (n as f64).sqrt(), "{what}: {residual:e}");
}

/// The symmetric matrix with the lower triangle of `a`.
pub(super) fn symmetric(a: &Mat<f64>) -> Mat<f64> {
    Mat::from_fn(a.nrows(), a.nrows(), |i, j| a[(i.max(j), i.min(j))]).unwrap()
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
        Mat::copy_of(self.view()).unwrap()
    }
}
