//! Householder QR of a few columns where they lie, one reflector at a time: what is small fits into the first cache, and
//! blocks would cost more than they save.

use crate::simd::kernel;
use crate::simd::lanes::Lanes;

kernel! {
    /// Makes R of the first `reflected` columns, on and above their diagonal, and Q' times those after them. Columns have
    /// `height` numbers, one after the other. False, and anything there, if a column vanishes or is not finite: lengths are
    /// taken by plain sums of squares.
    ///
    /// Panics if columns are not whole, or fewer, or shorter, than are reflected.
    pub(crate) fn reflect_columns<V>(height: usize, reflected: usize, columns: &mut [f64]) -> bool {
        assert!(reflected <= height && columns.len().is_multiple_of(height) && columns.len() >= reflected * height);
        for j in 0..reflected {
            let (done, rest) = columns.split_at_mut((j + 1) * height);
            let v = &mut done[j * height + j..];
            let length = product::<V>(v, v).sqrt();
            if !(length > 0.0 && length < f64::INFINITY) {
                return false;
            }
            let (alpha, beta) = (v[0], -length.copysign(v[0]));
            v[0] = alpha - beta;
            let half_square = length * (length + alpha.abs());
            for column in rest.chunks_exact_mut(height) {
                let column = &mut column[j..];
                let factor = -product::<V>(v, column) / half_square;
                add_multiple::<V>(factor, v, column);
            }
            v[0] = beta;
        }
        true
    }
}

#[inline(always)]
fn product<V: Lanes>(x: &[f64], y: &[f64]) -> f64 {
    let ((x, x_head), (y, y_head)) = (x.as_chunks::<8>(), y.as_chunks::<8>());
    let mut sums = [V::load_head(x_head).mul(V::load_head(y_head)), V::splat(0.0)];
    for k in 0..x.len().min(y.len()) {
        sums[k % 2] = V::load(&x[k]).mul_add(V::load(&y[k]), sums[k % 2]);
    }
    sums[0].add(sums[1]).sum()
}

#[inline(always)]
fn add_multiple<V: Lanes>(factor: f64, x: &[f64], y: &mut [f64]) {
    let (x, x_head) = x.as_chunks::<8>();
    let (y, y_head) = y.as_chunks_mut::<8>();
    let factor = V::splat(factor);
    for k in 0..x.len().min(y.len()) {
        V::load(&x[k]).mul_add(factor, V::load(&y[k])).store(&mut y[k]);
    }
    V::load_head(x_head).mul_add(factor, V::load_head(y_head)).store_head(y_head);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::{Qr, testing};
    use crate::matrix::Mat;
    use crate::simd::testing::{on_every_path, same_bits};

    #[test]
    fn the_triangle_and_the_rotated_columns_are_those_of_blocked_qr() {
        for (n, d) in [(1, 1), (5, 3), (8, 8), (31, 9), (200, 40)] {
            let a = testing::gaussian(n, d + 2, n as u64);
            let outcomes = on_every_path(|| {
                let mut columns = a.as_slice().to_vec();
                assert!(reflect_columns(n, d, &mut columns));
                columns
            });
            assert!(outcomes.iter().all(|outcome| same_bits(outcome, &outcomes[0])));
            let both = Qr::new(a).unwrap().r().unwrap();
            for j in 0..d + 2 {
                let found = &outcomes[0][j * n..(j + 1) * n];
                for i in 0..d.min(j + 1) {
                    // Rows of R are known up to their signs.
                    let sign = (outcomes[0][i * n + i] * both[(i, i)]).signum();
                    assert!(
                        (found[i] - sign * both[(i, j)]).abs() < 1e-12 * n as f64,
                        "{n} x {d}: ({i}, {j})"
                    );
                }
            }
        }
    }

    #[test]
    fn columns_that_vanish_or_are_not_finite_are_told() {
        for bad in [0.0, f64::NAN, f64::INFINITY, 1e300] {
            let a = Mat::from_fn(6, 3, |i, j| if j == 1 { bad } else { (1 + i * j) as f64 }).unwrap();
            let mut columns = a.as_slice().to_vec();
            assert!(!reflect_columns(6, 3, &mut columns), "{bad}");
        }
    }
}
