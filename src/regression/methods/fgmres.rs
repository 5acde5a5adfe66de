//! Flexible GMRES (Saad, 1993): the smallest residual in a Krylov space, for a system whose preconditioner may round,
//! or change, from step to step.

use crate::error::Result;
use crate::matrix::Buffer;
use crate::memory::{copied, push, room_for};
use crate::simd::{axpy, dot, norm_sq};

/// A square system K z = b as [`fgmres`] sees it: multiplied from the left by what makes residuals comparable.
pub(crate) trait System {
    /// What preconditioning from the right makes of a direction.
    fn precondition(&mut self, direction: &[f64]) -> Result<Buffer<f64>>;
    /// K z, multiplied from the left.
    fn apply(&mut self, z: &[f64]) -> Result<Buffer<f64>>;
}

/// z with |K z - `rhs`| at most `tolerance` times |rhs|, or the best after `most_steps` products with K. Keeps two
/// vectors for each of them.
pub(crate) fn fgmres(
    system: &mut impl System,
    rhs: &[f64],
    tolerance: f64,
    most_steps: usize,
) -> Result<Buffer<f64>> {
    let size = norm_sq(rhs).sqrt();
    let mut krylov = Krylov::new(rhs, size)?;
    let mut residual = if size == 0.0 { 0.0 } else { 1.0 };
    while residual > tolerance && size.is_finite() && krylov.directions.len() < most_steps {
        let z = system.precondition(krylov.last())?;
        let image = system.apply(&z)?;
        match krylov.extend(z, image)? {
            Some(length) => residual = length / size,
            None => break,
        }
    }
    krylov.solution(rhs.len())
}

const VECTOR: &str = "a Krylov vector";

/// An orthonormal basis of the images so far, and the least-squares problem in it.
struct Krylov {
    basis: Vec<Buffer<f64>>,
    /// Preconditioned directions, one for each step.
    directions: Vec<Buffer<f64>>,
    /// Columns of the triangle that rotations make of the Hessenberg matrix.
    triangle: Vec<Vec<f64>>,
    rotations: Vec<(f64, f64)>,
    /// The rotated right-hand side; its last entry is what is left of it.
    rotated: Vec<f64>,
}

impl Krylov {
    fn new(rhs: &[f64], size: f64) -> Result<Self> {
        let mut first = Buffer::copy_of(rhs, VECTOR)?;
        scale(&mut first, size);
        Ok(Self {
            basis: Vec::from([first]),
            directions: Vec::new(),
            triangle: Vec::new(),
            rotations: Vec::new(),
            rotated: Vec::from([size]),
        })
    }

    fn last(&self) -> &[f64] {
        &self.basis[self.basis.len() - 1]
    }

    /// Takes in the image of a direction; gives the size of the new residual, or nothing if the image is of no use.
    fn extend(&mut self, direction: Buffer<f64>, mut image: Buffer<f64>) -> Result<Option<f64>> {
        let mut column = room_for(self.basis.len() + 1, VECTOR)?;
        for vector in &self.basis {
            let component = dot(&image[..], vector);
            axpy(-component, &vector[..], &mut image);
            push(&mut column, component, VECTOR)?;
        }
        let rest = norm_sq(&image[..]).sqrt();
        for (i, &(c, s)) in self.rotations.iter().enumerate() {
            let (upper, lower) = (column[i], column[i + 1]);
            (column[i], column[i + 1]) = (c * upper + s * lower, c * lower - s * upper);
        }
        let diagonal = column.last().copied().unwrap_or(0.0);
        let length = diagonal.hypot(rest);
        if length == 0.0 || !length.is_finite() {
            return Ok(None);
        }
        let (c, s) = (diagonal / length, rest / length);
        if let Some(last) = column.last_mut() {
            *last = length;
        }
        let left = self.rotated[self.rotations.len()];
        self.rotated[self.rotations.len()] = c * left;
        push(&mut self.rotated, -s * left, VECTOR)?;
        push(&mut self.rotations, (c, s), VECTOR)?;
        push(&mut self.triangle, column, VECTOR)?;
        push(&mut self.directions, direction, VECTOR)?;
        scale(&mut image, if rest > 0.0 { rest } else { 1.0 });
        push(&mut self.basis, image, VECTOR)?;
        Ok(Some((s * left).abs()))
    }

    /// The combination of the directions with the smallest residual.
    fn solution(&self, len: usize) -> Result<Buffer<f64>> {
        let steps = self.directions.len();
        let mut y = copied(&self.rotated[..steps], VECTOR)?;
        for k in (0..steps).rev() {
            y[k] /= self.triangle[k][k];
            for i in 0..k {
                y[i] -= self.triangle[k][i] * y[k];
            }
        }
        let mut z = Buffer::zeros(len, VECTOR)?;
        for (y, direction) in y.iter().zip(&self.directions) {
            axpy(*y, &direction[..], &mut z);
        }
        Ok(z)
    }
}

fn scale(vector: &mut [f64], divisor: f64) {
    vector.iter_mut().for_each(|value| *value /= divisor);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dense system and a preconditioner that rounds to three digits.
    struct Small {
        matrix: Vec<Vec<f64>>,
        diagonal: Vec<f64>,
        products: usize,
    }

    impl Small {
        fn new(order: usize) -> Self {
            let entry = |i: usize, j: usize| ((i * 7 + j * 13) as f64).sin() / order as f64;
            let diagonal: Vec<f64> = (0..order).map(|i| 1.0 + i as f64 * 10.0).collect();
            let row =
                |i: usize| (0..order).map(|j| entry(i, j) + if i == j { diagonal[i] } else { 0.0 }).collect();
            Self { matrix: (0..order).map(row).collect(), diagonal, products: 0 }
        }

        fn product(&self, z: &[f64]) -> Vec<f64> {
            self.matrix.iter().map(|row| row.iter().zip(z).map(|(a, z)| a * z).sum()).collect()
        }
    }

    impl System for Small {
        fn precondition(&mut self, direction: &[f64]) -> Result<Buffer<f64>> {
            let rounded = |v: f64| (v * 1e3).round() / 1e3;
            let z: Vec<f64> = direction.iter().zip(&self.diagonal).map(|(v, d)| rounded(*v) / d).collect();
            Buffer::copy_of(&z, "a test")
        }

        fn apply(&mut self, z: &[f64]) -> Result<Buffer<f64>> {
            self.products += 1;
            Buffer::copy_of(&self.product(z), "a test")
        }
    }

    #[test]
    fn solves_to_the_tolerance_in_a_few_steps() {
        for order in [1, 2, 30] {
            let mut system = Small::new(order);
            let rhs: Vec<f64> = (0..order).map(|i| (i as f64).cos()).collect();
            let z = fgmres(&mut system, &rhs, 1e-10, 50).unwrap();
            let left: Vec<f64> = system.product(&z).iter().zip(&rhs).map(|(image, b)| b - image).collect();
            assert!(norm_sq(&left[..]).sqrt() <= 1.001e-10 * norm_sq(&rhs[..]).sqrt());
            assert!(system.products <= 20.min(order + 4), "{}", system.products);
        }
    }

    #[test]
    fn zeros_and_what_is_not_finite_end_it() {
        let mut system = Small::new(3);
        assert_eq!(fgmres(&mut system, &[0.0; 3], 1e-10, 50).unwrap()[..], [0.0; 3]);
        assert_eq!(system.products, 0);
        system.matrix[1][1] = f64::NAN;
        assert_eq!(fgmres(&mut system, &[1.0; 3], 1e-10, 50).unwrap()[..], [0.0; 3]);
        assert_eq!(system.products, 1);
    }
}
