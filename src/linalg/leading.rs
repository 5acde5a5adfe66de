//! The largest eigenvalues of a symmetric matrix, and their vectors.
//!
//! A = Q T Q' with a tridiagonal T, of which only as many eigenpairs are computed, and turned back by Q, as are wanted
//! ([`super::tridiagonal`]). A vector z of T holds a part of another, of the size of rounding over the distance of their
//! values. The Cholesky factor of Z'Z takes it out, and that costs no residual: what is turned is the more the nearer the
//! values are. Where values repeat, and vectors with them, each is orthogonalised to those before it, and what is left
//! with nothing begins anew with a random vector.

use super::doubt::{is_leading_eigh, probe_of, work_of};
use super::eigh::{eigh_by_stack, stack_of_eigh};
use super::scaling::{scale, to_order_one};
use super::small::cholesky_in_place;
use super::syrk;
use super::tridiagonal::{Tridiagonal, VECTORS, residual, solve_shifted, vectors_of};
use super::tridiagonalise::{self, BLOCK, stride_of, tridiagonalise};
use super::view::{Scratch, ScratchSize, view, view_mut};
use crate::error::Result;
use crate::matrix::{Dense, DenseMut, Real};
use crate::simd::{axpy, dot, norm_sq};
use faer::Par;
use faer::dyn_stack::{MemStack, StackReq};
use faer::linalg::{householder, triangular_solve};

/// A vector that is shorter than this without those before it is taken for one of them.
const REPEATED: f64 = 0.7;

/// What [`leading_eigh_into`] works in for order `n` and so many eigenpairs.
pub fn leading_eigh_scratch(n: usize, count: usize) -> ScratchSize {
    let fast = StackReq::new::<f64>(Work::len(n, count)).and(stack_of_reflectors(n, count));
    ScratchSize(fast.or(stack_of_everything(n)))
}

/// What [`by_everything`] takes.
pub(super) fn stack_of_everything(n: usize) -> StackReq {
    StackReq::new::<f64>(n * n + n).and(stack_of_eigh::<f64>(n))
}

fn stack_of_reflectors(n: usize, count: usize) -> StackReq {
    let below = n.saturating_sub(1);
    householder::apply_block_householder_sequence_on_the_left_in_place_scratch::<f64>(below, BLOCK, count)
}

/// The `values.len()` largest eigenvalues, descending, of a symmetric A, of which only the lower triangle is read and
/// which is destroyed, and their orthonormal eigenvectors, the columns of `vectors`. Nothing is allocated, unless
/// Jacobi's method has to stand in.
///
/// An error if that triangle holds NaN or an infinity, or if no algorithm gives what stands a check. Panics if the shapes
/// do not fit, if columns are not contiguous, or if the scratch is smaller than asked for.
pub fn leading_eigh_into(
    mut a: DenseMut<'_, f64>,
    values: &mut [f64],
    mut vectors: DenseMut<'_, f64>,
    scratch: &mut Scratch,
) -> Result<()> {
    let (n, count) = (a.nrows(), values.len());
    assert!(a.ncols() == n && count <= n && vectors.nrows() == n && vectors.ncols() == count);
    assert!(n == 0 || a.row_stride() == 1 && (count == 0 || vectors.row_stride() == 1));
    if n == 0 {
        return Ok(());
    }
    mirror(a.reborrow());
    let unit = to_order_one(a.reborrow())?;
    if count == 0 {
        return Ok(());
    }
    if !by_bisection(a.as_ref(), values, vectors.reborrow(), scratch.stack()) {
        by_everything(a, values, vectors, scratch.stack())?;
    }
    scale(values, unit);
    Ok(())
}

/// Fills the upper triangle.
fn mirror(mut a: DenseMut<'_, f64>) {
    let (n, stride) = (a.nrows(), a.col_stride());
    for (i, j) in (0..n).flat_map(|j| (0..j).map(move |i| (i, j))) {
        a.data()[i + j * stride] = a.data()[j + i * stride];
    }
}

/// The last of all eigenpairs, the other way round.
pub(super) fn by_everything(
    a: DenseMut<'_, f64>,
    values: &mut [f64],
    mut vectors: DenseMut<'_, f64>,
    stack: &mut MemStack,
) -> Result<()> {
    let n = a.nrows();
    let (mut work, stack) = stack.make_with(n * n + n, |_| 0.0f64);
    let (all, basis) = work.split_at_mut(n);
    eigh_by_stack(a, all, DenseMut::column_major(basis, n, n), stack)?;
    values.iter_mut().zip(all.iter().rev()).for_each(|(value, found)| *value = *found);
    let stride = vectors.col_stride();
    for (j, column) in basis.chunks_exact(n).rev().take(values.len()).enumerate() {
        vectors.data()[j * stride..][..n].copy_from_slice(column);
    }
    Ok(())
}

/// Memory of [`by_bisection`].
struct Work<'a> {
    /// A, its columns in whole registers.
    padded: &'a mut [f64],
    reduction: &'a mut [f64],
    tridiagonal: Tridiagonal<'a>,
    factors: &'a mut [f64],
    gram: &'a mut [f64],
    multipliers: &'a mut [f64],
    check: &'a mut [f64],
}

impl<'a> Work<'a> {
    fn len(n: usize, count: usize) -> usize {
        let reduction = n * stride_of(n) + tridiagonalise::work_of(n);
        reduction + 2 * n + BLOCK * n + count * count + 2 * VECTORS * n + work_of(n)
    }

    fn cut(work: &'a mut [f64], n: usize, count: usize) -> Self {
        let (padded, work) = work.split_at_mut(n * stride_of(n));
        let (reduction, work) = work.split_at_mut(tridiagonalise::work_of(n));
        let (diagonal, work) = work.split_at_mut(n);
        let (beside, work) = work.split_at_mut(n);
        let (factors, work) = work.split_at_mut(BLOCK * (n - 1));
        let (gram, work) = work.split_at_mut(count * count);
        let (multipliers, work) = work.split_at_mut(2 * VECTORS * n);
        let tridiagonal = Tridiagonal { diagonal, beside };
        let check = &mut work[..work_of(n)];
        Self { padded, reduction, tridiagonal, factors, gram, multipliers, check }
    }
}

/// False if what is found does not stand the check.
fn by_bisection(
    a: Dense<'_, f64>,
    values: &mut [f64],
    mut vectors: DenseMut<'_, f64>,
    stack: &mut MemStack,
) -> bool {
    let (n, count, stride) = (a.nrows(), values.len(), vectors.col_stride());
    let (mut work, stack) = stack.make_with(Work::len(n, count), |_| 0.0f64);
    let mut work = Work::cut(&mut work, n, count);
    for (j, to) in work.padded.chunks_exact_mut(stride_of(n)).enumerate() {
        to[..n].copy_from_slice(a.col(j).unwrap_or_default());
    }
    let Tridiagonal { diagonal, beside } = &mut work.tridiagonal;
    tridiagonalise(work.padded, diagonal, beside, work.factors, work.reduction);
    let norm = work.tridiagonal.normalise();
    work.tridiagonal.largest(values);
    let Tridiagonal { diagonal, beside } = &work.tridiagonal;
    for (group, values) in values.chunks(VECTORS).enumerate() {
        let vectors = &mut vectors.data()[group * VECTORS * stride..];
        vectors_of(diagonal, beside, values, stride, vectors, work.multipliers);
    }
    if !orthogonalise(vectors.reborrow(), work.gram) {
        one_by_one(&work.tridiagonal, values, vectors.reborrow(), work.multipliers);
    }
    if n > 1 {
        let below = vectors.reborrow().window(1..n, 0..count);
        householder::apply_block_householder_sequence_on_the_left_in_place_with_conj(
            view(Dense::column_major(work.padded, stride_of(n), n).window(1..n, 0..n - 1)),
            view(Dense::column_major(work.factors, BLOCK, n - 1)),
            faer::Conj::No,
            view_mut(below),
            Par::Seq,
            stack,
        );
    }
    scale(values, norm);
    is_leading_eigh(a, values, vectors.as_ref(), work.check)
}

/// Z L'^-1 for Z'Z = L L'. False, and Z as it was, if a column is close to those before it.
fn orthogonalise(vectors: DenseMut<'_, f64>, gram: &mut [f64]) -> bool {
    let count = vectors.ncols();
    syrk(DenseMut::column_major(gram, count, count), false, vectors.as_ref(), 1.0);
    let sound = cholesky_in_place(count, gram) && (0..count).all(|j| gram[j * count + j] > REPEATED);
    if sound {
        let l = view(Dense::column_major(gram, count, count));
        triangular_solve::solve_lower_triangular_in_place(l, view_mut(vectors.t()), Par::Seq);
    }
    sound
}

/// Orthogonalises each vector to those before it, and begins anew with a random one where that leaves no eigenvector.
fn one_by_one(t: &Tridiagonal<'_>, values: &[f64], mut vectors: DenseMut<'_, f64>, work: &mut [f64]) {
    /// Solves that a new vector takes at most: one leaves it as good as rounding allows, if it did not begin too near
    /// the others.
    const SOLVES: usize = 4;
    /// From the value, in units of the norm: further than rounding, so that no vector of a repeated value outgrows the
    /// others.
    const ASIDE: f64 = 8.0 * f64::UNIT_ROUNDOFF;
    /// A residual that an eigenvector may have.
    const SMALL: f64 = 2.0 * ASIDE;
    let (n, stride) = (vectors.nrows(), vectors.col_stride());
    for (j, &value) in values.iter().enumerate() {
        let (done, rest) = vectors.data().split_at_mut(j * stride);
        let z = &mut rest[..n];
        if without(done, stride, z) > REPEATED && residual(t, value, z) <= SMALL {
            continue;
        }
        probe_of(j as u64, z);
        without(done, stride, z);
        for _ in 0..SOLVES {
            solve_shifted(t, value + ASIDE, z, work);
            without(done, stride, z);
            if residual(t, value, z) <= SMALL {
                break;
            }
        }
    }
}

/// Takes the part out of z that orthonormal columns have, twice, and makes it of length one. Returns what was left of its
/// length.
fn without(columns: &[f64], stride: usize, z: &mut [f64]) -> f64 {
    let before = norm_sq(z).sqrt();
    for _ in 0..2 {
        for column in columns.chunks(stride) {
            let column = &column[..z.len()];
            axpy(-dot(column, z), column, z);
        }
    }
    let length = norm_sq(z).sqrt();
    if length > 0.0 {
        z.iter_mut().for_each(|z| *z /= length);
    }
    length / before
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::linalg::testing::*;
    use crate::linalg::{Qr, eigh};
    use crate::matrix::Mat;
    use crate::simd::testing::same_bits;
    use proptest::prelude::*;

    fn leading(a: &Mat<f64>, count: usize) -> (Vec<f64>, Mat<f64>) {
        let n = a.nrows();
        let mut marked = Mat::from_fn(n, n, |i, j| if i >= j { a[(i, j)] } else { f64::NAN }).unwrap();
        let (mut values, mut vectors) = (vec![0.0; count], Mat::zeros(n, count).unwrap());
        let mut scratch = Scratch::new(leading_eigh_scratch(n, count)).unwrap();
        leading_eigh_into(marked.as_mut(), &mut values, vectors.as_mut(), &mut scratch).unwrap();
        (values, vectors)
    }

    /// The same without a second algorithm.
    fn first_attempt(a: &Mat<f64>, count: usize) -> bool {
        let (n, mut copy) = (a.nrows(), a.copy().unwrap());
        let (mut values, mut vectors) = (vec![0.0; count], Mat::zeros(n, count).unwrap());
        let mut scratch = Scratch::new(leading_eigh_scratch(n, count)).unwrap();
        to_order_one(copy.as_mut()).unwrap();
        by_bisection(copy.as_ref(), &mut values, vectors.as_mut(), scratch.stack())
    }

    /// Orthonormal, in order, eigenvectors of the symmetric A, and of its largest eigenvalues.
    fn check(a: &Mat<f64>, count: usize, what: &str) -> Vec<f64> {
        let (n, size) = (a.nrows(), largest(a.as_ref()));
        let (values, vectors) = leading(a, count);
        assert!(count == 0 || first_attempt(a, count), "{what}: fell back");
        let tolerance = 4e-15 * (n as f64).sqrt().max(4.0);
        let departure = departure_from_orthonormal(&vectors);
        assert!(departure < tolerance, "{what}: orthonormal {departure:e}");
        assert!(values.windows(2).all(|pair| pair[0] >= pair[1]), "{what}: order");
        let scaled = Mat::from_fn(n, count, |i, j| vectors[(i, j)] * values[j]).unwrap();
        let residual = distance(product(a.as_ref(), vectors.as_ref()).as_ref(), scaled.as_ref());
        assert!(residual <= tolerance * size * (n as f64).sqrt(), "{what}: {residual:e}");
        let all = eigh(a).unwrap().0;
        for (value, truth) in values.iter().zip(all.iter().rev()) {
            let error = (value - truth).abs();
            assert!(error <= tolerance * size * (n as f64).sqrt(), "{what}: {value:e} for {truth:e}");
        }
        values
    }

    /// Number j of so many.
    type Spectrum = fn(usize, usize) -> f64;

    /// Q diag(spectrum) Q'
    fn of_spectrum(spectrum: &[f64], seed: u64) -> Mat<f64> {
        let n = spectrum.len();
        let q = Qr::new(gaussian(n, n, seed)).unwrap().thin_q().unwrap();
        let scaled = Mat::from_fn(n, n, |i, j| q[(i, j)] * spectrum[j]).unwrap();
        symmetric(&product(scaled.as_ref(), q.as_ref().t()))
    }

    proptest! {
        #[test]
        fn residuals_are_small(case in any_matrix(), share in 0.0..1.0) {
            let n = case.shape.0.min(case.shape.1);
            let a = case.view();
            let count = (share * (n + 1) as f64) as usize;
            check(&symmetric(&Mat::from_fn(n, n, |i, j| a.get(i, j)).unwrap()), count, &format!("{case:?}"));
        }
    }

    /// Where multiply-adds are emulated, everything takes a hundred times as long.
    fn emulated() -> bool {
        crate::simd::instruction_set() == crate::simd::InstructionSet::Portable
    }

    #[test]
    fn structured_matrices_and_their_gram_matrices() {
        for seed in (0..140).step_by(if emulated() { 20 } else { 1 }) {
            let a = structured(40 + seed as usize * 37 % 120, seed);
            let (n, size) = (a.nrows(), largest(a.as_ref()));
            let a = Mat::from_fn(n, n, |i, j| a[(i, j)] / size.max(f64::MIN_POSITIVE)).unwrap();
            check(&symmetric(&a), n * (1 + seed as usize % 3) / 3, &format!("structure {seed}"));
            let gram = symmetric(&product(a.as_ref().t(), a.as_ref()));
            check(&gram, n * 3 / 5, &format!("gram of structure {seed}"));
        }
    }

    #[test]
    fn spectra_of_all_kinds() {
        let most = if emulated() { 48 } else { 300 };
        for n in [1, 2, 3, 17, 48, 80, 116, 164, 300].into_iter().filter(|&n| n <= most) {
            let spectra: [(&str, Spectrum); 8] = [
                ("even", |j, n| 1.0 - j as f64 / n as f64),
                ("geometric", |j, n| 10f64.powf(-16.0 * j as f64 / n as f64)),
                ("steep", |j, _| 0.1f64.powi(2 * j as i32)),
                ("of low rank", |j, n| if j < n / 5 { 1.0 / (1 + j) as f64 } else { 0.0 }),
                ("doubled", |j, n| 1.0 - (j / 2) as f64 / n as f64),
                ("in clusters", |j, n| (1 + j % 5) as f64 + 1e-13 * j as f64 / n as f64),
                ("nearly constant", |j, n| 1.0 + 1e-14 * (j as f64 / n as f64)),
                ("a few above a floor", |j, _| if j < 7 { 1e8 } else { 1.0 }),
            ];
            for (name, of) in spectra {
                let spectrum: Vec<f64> = (0..n).map(|j| of(j, n)).collect();
                let a = of_spectrum(&spectrum, n as u64);
                for count in [n.div_ceil(3), n * 3 / 5, n] {
                    check(&a, count, &format!("{name}, {count} of {n}"));
                }
            }
        }
    }

    #[test]
    fn special_matrices() {
        for n in [0, 1, 2, 30, 33, if emulated() { 34 } else { 140 }] {
            for count in [0, n / 2, n] {
                check(&Mat::zeros(n, n).unwrap(), count, "zero");
                check(&Mat::identity(n).unwrap(), count, "identity");
                check(&Mat::from_fn(n, n, |_, _| 1.0).unwrap(), count, "ones");
                check(&Mat::from_fn(n, n, |_, _| -1e-200).unwrap(), count, "minus ones");
                check(&symmetric(&gaussian(n, n, n as u64)), count, "random");
                let graded = gaussian(n, n, 5);
                for base in [0.3f64, 0.003] {
                    let entry = |i: usize, j: usize| graded[(i, j)] * base.powi((i + j) as i32);
                    check(&symmetric(&Mat::from_fn(n, n, entry).unwrap()), count, "graded");
                    let entry = |i: usize, j: usize| graded[(i, j)] * base.powi((2 * n - i - j) as i32);
                    check(&symmetric(&Mat::from_fn(n, n, entry).unwrap()), count, "graded upwards");
                }
                let decades = |i: usize, j: usize| f64::from(i == j) * 0.1f64.powi(300 * i as i32 / n as i32);
                check(&Mat::from_fn(n, n, decades).unwrap(), count, "diagonal of three hundred decades");
                // Eigenvalues in pairs that agree to all digits, and vectors that do not.
                let wilkinson = |i: usize, j: usize| match i.abs_diff(j) {
                    0 => (2.0 * i as f64 - (n as f64 - 1.0)).abs() / 2.0,
                    1 => 1.0,
                    _ => 0.0,
                };
                check(&Mat::from_fn(n, n, wilkinson).unwrap(), count, "Wilkinson");
                // Several of them, hardly connected.
                let glued = |i: usize, j: usize| match i.abs_diff(j) {
                    0 => (2.0 * (i % 21) as f64 - 20.0).abs() / 2.0,
                    1 if i.max(j).is_multiple_of(21) => 1e-14,
                    1 => 1.0,
                    _ => 0.0,
                };
                check(&Mat::from_fn(n, n, glued).unwrap(), count, "glued");
            }
        }
    }

    #[test]
    fn non_finite_entries_are_refused() {
        for bad in [f64::NAN, f64::NEG_INFINITY] {
            for (n, count) in [(1, 1), (5, 0), (5, 2), (150, 70)] {
                let mut a = Mat::from_fn(n, n, |i, j| if i == n - 1 && j == 0 { bad } else { 1.0 }).unwrap();
                let (mut values, mut vectors) = (vec![0.0; count], Mat::zeros(n, count).unwrap());
                let mut scratch = Scratch::new(leading_eigh_scratch(n, count)).unwrap();
                let outcome = leading_eigh_into(a.as_mut(), &mut values, vectors.as_mut(), &mut scratch);
                assert!(matches!(outcome, Err(Error::NonFinite { .. })));
            }
        }
    }

    #[test]
    fn what_stands_behind_it_is_as_good() {
        for n in [1usize, 30, 90] {
            let a = of_spectrum(&(0..n).map(|j| (1 + j / 2) as f64).collect::<Vec<_>>(), 3);
            let count = n.div_ceil(2);
            let (mut values, mut vectors) = (vec![0.0; count], Mat::zeros(n, count).unwrap());
            let mut scratch = Scratch::new(leading_eigh_scratch(n, count)).unwrap();
            by_everything(a.copy().unwrap().as_mut(), &mut values, vectors.as_mut(), scratch.stack())
                .unwrap();
            let mut work = vec![0.0; work_of(n)];
            assert!(is_leading_eigh(a.as_ref(), &values, vectors.as_ref(), &mut work));
            assert!((values[0] - count as f64).abs() < 1e-12);
        }
    }

    #[test]
    fn memory_is_lent_for_many_orders_and_columns_may_have_gaps() {
        let size = (1..40).map(|n| leading_eigh_scratch(n, n)).reduce(ScratchSize::or).unwrap();
        let mut scratch = Scratch::new(size).unwrap();
        for n in [0, 1, 2, 7, 16, 33, 39] {
            let a = symmetric(&gaussian(n, n, 3));
            let count = n.div_ceil(2);
            let (expected, basis) = leading(&a, count);
            let mut gaps = Mat::from_fn(n + 3, n, |i, j| if i < n { a[(i, j)] } else { f64::NAN }).unwrap();
            let (mut values, mut vectors) = (vec![0.0; count], Mat::zeros(n + 5, count).unwrap());
            let a = gaps.as_mut().window(0..n, 0..n);
            let into = vectors.as_mut().window(0..n, 0..count);
            leading_eigh_into(a, &mut values, into, &mut scratch).unwrap();
            assert!(same_bits(&values, &expected));
            assert!((0..count).all(|j| same_bits(&vectors.col(j)[..n], basis.col(j))));
            assert!((0..count).all(|j| vectors.col(j)[n..] == [0.0; 5]));
        }
    }
}
