//! Symmetric positive definite systems of one small order, side by side: a lane of the registers for each.
//!
//! One by one, small systems wait for the root and the reciprocal of every pivot; side by side they wait together. Every
//! entry of L and of a solution is one chain of fused multiply-adds in the order of the columns (for the second
//! triangle, from the last one on), and a product with the reciprocal of its pivot. Lanes know nothing of each other: no
//! bit of a solution depends on the systems beside it, nor on the instruction set.
//!
//! Cost of all lanes: about n³/6 + n² operations on registers.

use super::Scalar;
use crate::error::Result;
use crate::matrix::Buffer;
use crate::simd::kernel;
use crate::simd::lanes::{Register, load, store};

/// What memory is for.
const SYSTEMS: &str = "systems side by side";
/// Rows of a column whose chains are made at once.
const ROWS: usize = 4;

/// As many systems as there are lanes; those that were not put in are of no meaning.
pub struct Systems<T> {
    order: usize,
    /// Entry (i, j), i >= j, of each lane at i (i + 1) / 2 + j: of the matrix, then of L, with reciprocals on its diagonal.
    triangle: Buffer<T>,
    /// Right-hand sides, then solutions.
    sides: Buffer<T>,
    /// Squares of the diagonal of L.
    pivots: Buffer<T>,
}

impl<T: Scalar> Systems<T> {
    /// How many there are.
    pub const LANES: usize = 64 / size_of::<T>();
    /// The largest order for which they are solved faster than by [`solve_systems`](super::solve_systems).
    pub const LARGEST: usize = 40;

    /// Room for systems of an order.
    pub fn new(order: usize) -> Result<Self> {
        let zeros = |count: usize| Buffer::zeros(count * Self::LANES, SYSTEMS);
        let triangle = zeros(place(order, 0))?;
        Ok(Self { order, triangle, sides: zeros(order)?, pivots: zeros(order)? })
    }

    /// Puts a column of a matrix in, from the diagonal on, and its right-hand side.
    pub fn put(&mut self, lane: usize, j: usize, column: impl IntoIterator<Item = T>, side: T) {
        let (mut at, mut step) = (place(j, j), j + 1);
        let triangle = &mut *self.triangle;
        column.into_iter().for_each(|entry| {
            triangle[at * Self::LANES + lane] = entry;
            at += step;
            step += 1;
        });
        self.sides[j * Self::LANES + lane] = side;
    }

    /// Solves all of them.
    pub fn solve(&mut self) {
        solve(self.order, &mut self.triangle, &mut self.sides, &mut self.pivots);
    }

    /// The least of the pivots of a lane over the largest; zero if its matrix was not positive definite to working
    /// precision, or not finite.
    pub fn quality(&self, lane: usize) -> f64 {
        let (mut least, mut most) = (f64::INFINITY, f64::MIN_POSITIVE);
        for pivots in self.pivots.chunks_exact(Self::LANES) {
            let pivot = pivots[lane].to_f64();
            if !(pivot > 0.0 && pivot < f64::INFINITY) {
                return 0.0;
            }
            (least, most) = (least.min(pivot), most.max(pivot));
        }
        least / most
    }

    /// Entry `j` of a solution.
    pub fn solution(&self, lane: usize, j: usize) -> T {
        self.sides[j * Self::LANES + lane]
    }
}

/// Where entry (i, j) of a triangle is that is stored by rows.
#[inline(always)]
const fn place(i: usize, j: usize) -> usize {
    i * (i + 1) / 2 + j
}

kernel! {
    /// Replaces triangles by L, and right-hand sides by solutions.
    ///
    /// Panics if the lengths do not go together.
    fn solve<V, T: Scalar>(order: usize, triangle: &mut [T], sides: &mut [T], pivots: &mut [T]) {
        let lanes = <T::In<V> as Register>::COUNT;
        assert!(triangle.len() == place(order, 0) * lanes);
        assert!(sides.len() == order * lanes && pivots.len() == order * lanes);
        for j in 0..order {
            pivot::<T, T::In<V>>(j, triangle, pivots);
            let mut i = j + 1;
            while i + ROWS <= order {
                below::<T, T::In<V>, ROWS>((i, j), triangle);
                i += ROWS;
            }
            while i < order {
                below::<T, T::In<V>, 1>((i, j), triangle);
                i += 1;
            }
        }
        for i in 0..order {
            substitute::<T, T::In<V>>(i, triangle, sides);
        }
        for i in (0..order).rev() {
            substitute_back::<T, T::In<V>>(i, order, triangle, sides);
        }
    }
}

/// Completes entry (j, j): its square, and the reciprocal of itself.
#[inline(always)]
fn pivot<T: Scalar, R: Register<Number = T>>(j: usize, triangle: &mut [T], pivots: &mut [T]) {
    let one = R::splat(T::from_f64(1.0));
    // SAFETY: all these places are in the triangle, by the lengths that `solve` has measured.
    unsafe {
        let mut sum: R = load(triangle.as_ptr(), place(j, j) * R::COUNT);
        for c in 0..j {
            let entry: R = load(triangle.as_ptr(), place(j, c) * R::COUNT);
            sum = negative(entry).mul_add(entry, sum);
        }
        store(sum, pivots.as_mut_ptr(), j * R::COUNT);
        store(one.div(sum.sqrt()), triangle.as_mut_ptr(), place(j, j) * R::COUNT);
    }
}

/// Completes entries (i, j), ..., (i + H - 1, j), the diagonal of column j being complete.
#[inline(always)]
fn below<T: Scalar, R: Register<Number = T>, const H: usize>((i, j): (usize, usize), triangle: &mut [T]) {
    let mut sums = [R::splat(T::default()); H];
    // SAFETY: as in `pivot`.
    unsafe {
        for h in 0..H {
            sums[h] = load(triangle.as_ptr(), place(i + h, j) * R::COUNT);
        }
        for c in 0..j {
            let factor = negative(load::<R>(triangle.as_ptr(), place(j, c) * R::COUNT));
            for h in 0..H {
                let entry: R = load(triangle.as_ptr(), place(i + h, c) * R::COUNT);
                sums[h] = entry.mul_add(factor, sums[h]);
            }
        }
        let inverse: R = load(triangle.as_ptr(), place(j, j) * R::COUNT);
        for h in 0..H {
            store(sums[h].mul(inverse), triangle.as_mut_ptr(), place(i + h, j) * R::COUNT);
        }
    }
}

/// Entry i of L⁻¹ b, those before it being there.
#[inline(always)]
fn substitute<T: Scalar, R: Register<Number = T>>(i: usize, triangle: &[T], sides: &mut [T]) {
    // SAFETY: as in `pivot`.
    unsafe {
        let mut sum: R = load(sides.as_ptr(), i * R::COUNT);
        for c in 0..i {
            let factor = negative(load::<R>(triangle.as_ptr(), place(i, c) * R::COUNT));
            sum = factor.mul_add(load(sides.as_ptr(), c * R::COUNT), sum);
        }
        let inverse: R = load(triangle.as_ptr(), place(i, i) * R::COUNT);
        store(sum.mul(inverse), sides.as_mut_ptr(), i * R::COUNT);
    }
}

/// Entry i of L'⁻¹ b, those behind it being there.
#[inline(always)]
fn substitute_back<T: Scalar, R: Register<Number = T>>(
    i: usize,
    order: usize,
    triangle: &[T],
    sides: &mut [T],
) {
    // SAFETY: as in `pivot`.
    unsafe {
        let mut sum: R = load(sides.as_ptr(), i * R::COUNT);
        for c in (i + 1..order).rev() {
            let factor = negative(load::<R>(triangle.as_ptr(), place(c, i) * R::COUNT));
            sum = factor.mul_add(load(sides.as_ptr(), c * R::COUNT), sum);
        }
        let inverse: R = load(triangle.as_ptr(), place(i, i) * R::COUNT);
        store(sum.mul(inverse), sides.as_mut_ptr(), i * R::COUNT);
    }
}

#[inline(always)]
fn negative<T: Scalar, R: Register<Number = T>>(register: R) -> R {
    R::splat(T::default()).sub(register)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::*;
    use crate::matrix::Mat;
    use crate::simd::testing::on_every_path;

    /// B'B + I of the system in a lane.
    fn matrix(n: usize, lane: usize) -> Mat<f64> {
        let b = gaussian(n + 2, n, lane as u64 + 1);
        let g = product(b.as_ref().t(), b.as_ref());
        Mat::from_fn(n, n, |i, j| g[(i, j)] + f64::from(i == j)).unwrap()
    }

    /// Solutions and qualities of as many systems as `lanes` names.
    fn solved<T: Scalar>(n: usize, lanes: &[usize], spoil: Option<f64>) -> Vec<(Vec<T>, f64)> {
        let mut systems = Systems::<T>::new(n).unwrap();
        for &lane in lanes {
            let g = matrix(n, lane);
            for j in 0..n {
                let bad = |i: usize| spoil.filter(|_| lane == 1 && i == n / 2 && j == n / 2);
                let column = (j..n).map(|i| T::from_f64(bad(i).unwrap_or(g[(i, j)])));
                systems.put(lane, j, column, T::from_f64(((lane * n + j) as f64).sin()));
            }
        }
        systems.solve();
        let solution = |lane: usize| (0..n).map(|j| systems.solution(lane, j)).collect();
        lanes.iter().map(|&lane| (solution(lane), systems.quality(lane))).collect()
    }

    fn check<T: Scalar>(n: usize) {
        let lanes: Vec<usize> = (0..Systems::<T>::LANES).collect();
        let outcomes = on_every_path(|| solved::<T>(n, &lanes, None));
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{n}: bits");
        for &lane in &lanes {
            let (x, quality) = &outcomes[0][lane];
            assert_eq!(solved::<T>(n, &[lane], None)[0], (x.clone(), *quality), "{n}: neighbours");
            assert!(*quality > 0.0 && *quality <= 1.0);
            let g = matrix(n, lane);
            let length = x.iter().map(|x| x.to_f64().abs()).fold(0.0, f64::max);
            let unit = 8.0 * T::UNIT_ROUNDOFF * (n * n) as f64;
            for i in 0..n {
                let image: f64 = (0..n).map(|j| g[(i, j)] * x[j].to_f64()).sum();
                let error = (image - ((lane * n + i) as f64).sin()).abs();
                assert!(error <= unit * (1.0 + largest(g.as_ref()) * length), "{n}: residual {error:e}");
            }
        }
    }

    #[test]
    fn systems_of_every_order_are_solved_whatever_is_beside_them() {
        for n in (1..20).chain([33, 64]) {
            check::<f64>(n);
            check::<f32>(n);
        }
    }

    #[test]
    fn what_is_not_positive_definite_is_told_apart_from_its_neighbours() {
        for n in [1, 3, 8, 21] {
            let good = solved::<f64>(n, &[0, 2], None);
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e3] {
                let found = solved::<f64>(n, &[0, 1, 2], Some(bad));
                assert!(found[1].1 == 0.0 && found[0] == good[0] && found[2] == good[1], "{bad} of {n}");
            }
        }
    }
}
