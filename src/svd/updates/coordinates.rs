//! A basis and a few rows of the identity, in as many coordinates as they span.
//!
//! x = V a + S b, where S has the rows of the identity that an update touches, has coordinates (b + V_T a, L a) of the same
//! length, with V_T the touched rows of V and L'L = I - V_T'V_T. So what an update does is worked out exactly in t + r
//! dimensions, however many rows V has; and what comes out with the coordinates (y, z) has y in the touched rows, and V
//! times the pseudoinverse of L times z in all others.

use crate::error::Result;
use crate::linalg::{eigh_apart, matmul, product};
use crate::matrix::{Dense, Mat};
use crate::parallel::Context;

/// Coordinates of a side.
pub(super) struct Coordinates {
    /// V in coordinates, (t + r) x l.
    pub basis: Mat<f64>,
    /// The pseudoinverse of L, l x r.
    back: Mat<f64>,
    /// How long the rest of V is that has no coordinates.
    pub lost: f64,
}

/// Eigenvalues of I - V_T'V_T below this are rounding.
const NOTHING: f64 = 1e-14;

impl Coordinates {
    /// Of a side whose touched rows are these, row i in column i, which may be all of them; there may be rows that are still
    /// zero.
    pub fn new(context: &Context, touched: &Mat<f64>, whole: bool) -> Result<Self> {
        let (l, t) = (touched.nrows(), touched.ncols());
        let mut rest = Mat::identity(l)?;
        matmul(rest.as_mut(), true, touched.as_ref(), touched.as_ref().t(), -1.0);
        let (values, vectors) = eigh_apart(context, rest)?;
        let first = values.iter().position(|&value| value > NOTHING && !whole).unwrap_or(l);
        let lost =
            if whole { 0.0 } else { values[..first].iter().fold(0.0, |sum, value| sum + value.max(0.0)) };
        let r = l - first;
        let root = |i: usize| values[first + i].sqrt();
        let basis = Mat::from_fn(t + r, l, |i, j| match i.checked_sub(t) {
            None => touched[(j, i)],
            Some(i) => root(i) * vectors[(j, first + i)],
        })?;
        let back = Mat::from_fn(l, r, |j, i| vectors[(j, first + i)] / root(i))?;
        Ok(Self { basis, back, lost: lost.sqrt() })
    }

    /// Dimensions.
    pub fn len(&self) -> usize {
        self.basis.nrows()
    }

    /// Touched rows.
    pub fn touched(&self) -> usize {
        self.len() - self.back.ncols()
    }

    /// What all rows are multiplied with and the new touched rows, of columns in coordinates; row i in column i.
    pub fn of_coordinates(&self, y: Dense<'_, f64>) -> Result<(Mat<f64>, Mat<f64>)> {
        let (t, width) = (self.touched(), y.ncols());
        let rotation = product(y.rows(t..self.len()).t(), self.back.as_ref().t())?;
        Ok((rotation, Mat::from_fn(width, t, |j, i| y.get(i, j))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::Qr;
    use crate::svd::testing::numbers;

    #[test]
    fn lengths_and_angles_are_those_of_what_the_coordinates_stand_for() {
        let v = Qr::new(numbers(40, 5, 1)).unwrap().thin_q().unwrap();
        for t in [0, 3, 39, 40] {
            let touched = Mat::from_fn(5, t, |j, i| v[(i, j)]).unwrap();
            let coordinates = Coordinates::new(&Context::new(1), &touched, t == 40).unwrap();
            let gram = product(coordinates.basis.as_ref().t(), coordinates.basis.as_ref()).unwrap();
            assert!((0..25).all(|k| (gram[(k / 5, k % 5)] - f64::from(k / 5 == k % 5)).abs() < 1e-14));
            // Any orthonormal columns in coordinates are orthonormal outside.
            let y = Qr::new(numbers(coordinates.len(), 2, 3)).unwrap().thin_q().unwrap();
            if coordinates.len() < 2 {
                continue;
            }
            let (rotation, rows) = coordinates.of_coordinates(y.as_ref()).unwrap();
            let all = product(v.as_ref(), rotation.as_ref().t()).unwrap();
            let x = Mat::from_fn(40, 2, |i, j| if i < t { rows[(j, i)] } else { all[(i, j)] }).unwrap();
            let gram = product(x.as_ref().t(), x.as_ref()).unwrap();
            assert!((0..4).all(|k| (gram[(k / 2, k % 2)] - f64::from(k / 2 == k % 2)).abs() < 1e-13), "{t}");
        }
    }
}
