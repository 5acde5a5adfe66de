//! The answer: the directions of a summary of light rows stacked on the heavy rows themselves.
//!
//! If u is the top eigenvector of H'H + λ v v' with (λ, v) the top pair of the light rows, then sin(u, v_1) <= 1/(R - 2)
//! with R the gap of A'A: the part that was left out has norm at most σ_2². To pick the better of v and the top eigenvector
//! of H'H instead costs a factor R.

use crate::error::Result;
use crate::linalg::{norm, orthonormal};
use crate::matrix::{Dense, Mat};
use crate::memory::{filled, zeros};
use crate::parallel::Context;
use crate::streaming::small::combinations::{
    combine, gram_of, inner, leading_pairs_of_rows, sign_of, stacked_gram,
};
use crate::streaming::small::numbers::Numbers;

/// What memory is for.
const SMALL: &str = "a small matrix";
/// Eigenvalues that are told from zero, times their number and the largest of them.
const ROUNDING: f64 = 16.0 * f64::EPSILON;

/// Directions and what they have.
pub struct Pairs {
    /// Orthonormal, or zero where the eigenvalue is: k x d, row-major; the largest entry of each is positive.
    pub components: Vec<f64>,
    /// Descending; one more than there are components, if there is one.
    pub values: Vec<f64>,
}

/// The leading k eigenpairs of L'L + H'H, of two lots of rows of d numbers, given row after row.
pub fn stacked(context: &Context, light: &[f64], heavy: &[f64], d: usize, k: usize) -> Result<Pairs> {
    let [r, h] = [light.len(), heavy.len()].map(|len| len.checked_div(d).unwrap_or(0));
    let (n, k) = (r + h, k.min(d));
    let (ll, hh) = (gram_of(context, light, d)?, gram_of(context, heavy, d)?);
    let mut gram = stacked_gram(&ll, &inner(light, heavy, d)?, &hh, (r, h))?;
    let wanted = (k + 1).min(n);
    let mut signs = filled(1.0, n, SMALL)?;
    (0..h).for_each(|i| signs[r + i] = sign_of(&heavy[i * d..][..d]));
    let (mut values, vectors) = leading_pairs_of_rows(context, &mut gram, n, wanted, &signs)?;
    let least = ROUNDING * n as f64 * values.first().copied().unwrap_or(0.0);
    values.iter_mut().for_each(|value| *value = if *value > least { *value } else { 0.0 });
    let found = values.iter().take(k).filter(|value| **value > 0.0).count();
    let mut coefficients = zeros(n * found, SMALL)?;
    for at in 0..n * found {
        coefficients[at] = vectors[at / found * wanted + at % found];
    }
    let mut directions = Numbers::zeros(d * found)?;
    combine(&coefficients[..r * found], light, d, &mut directions, false);
    combine(&coefficients[r * found..], heavy, d, &mut directions, true);
    let components = components_of(context, &directions, k, d)?;
    crate::memory::resize(&mut values, (k + 1).min(d), 0.0, SMALL)?;
    Ok(Pairs { components, values })
}

/// Rows, made orthonormal, as the first of k.
pub fn components_of(context: &Context, directions: &[f64], k: usize, d: usize) -> Result<Vec<f64>> {
    let (mut components, found) = (zeros(k * d, "components")?, directions.len().checked_div(d).unwrap_or(0));
    if found == 0 {
        return Ok(components);
    }
    let mut units = Mat::copy_of(Dense::column_major(directions, d, found))?;
    for j in 0..found {
        let norm = norm(units.col(j));
        units.col_mut(j).iter_mut().for_each(|number| *number /= norm);
    }
    let basis = orthonormal(context, units)?;
    for j in 0..found {
        let row = &mut components[j * d..][..d];
        row.copy_from_slice(basis.col(j));
        let largest = row.iter().fold(0.0f64, |most, x| if x.abs() > most.abs() { *x } else { most });
        if largest < 0.0 {
            row.iter_mut().for_each(|number| *number = -*number);
        }
    }
    Ok(components)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::svd;

    #[test]
    fn a_stack_has_the_singular_vectors_of_all_its_rows() {
        let (d, r, h) = (13, 3, 5);
        let number = |k: usize| ((k * 37 + 11) % 101) as f64 / 50.0 - 1.0;
        let light: Vec<f64> = (0..r * d).map(number).collect();
        let heavy: Vec<f64> = (0..d * h).map(|k| number(k + 500)).collect();
        let found = stacked(&Context::new(1), &light, &heavy, d, 2).unwrap();
        let all =
            Mat::from_fn(r + h, d, |i, j| if i < r { light[i * d + j] } else { heavy[(i - r) * d + j] });
        let exact = svd(all.unwrap().as_ref()).unwrap();
        for j in 0..3 {
            assert!((found.values[j] / exact.s[j].powi(2) - 1.0).abs() < 1e-12);
        }
        for j in 0..2 {
            let cosine: f64 =
                found.components[j * d..][..d].iter().zip(exact.v.col(j)).map(|(a, b)| a * b).sum();
            assert!((cosine.abs() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn directions_that_are_not_there_are_zeros() {
        let heavy = [3.0, 4.0, 0.0, 6.0, 8.0, 0.0];
        let found = stacked(&Context::new(1), &[], &heavy, 3, 2).unwrap();
        assert!((found.values[0] - 125.0).abs() < 1e-12 && found.values[1..] == [0.0, 0.0]);
        assert!((found.components[1] - 0.8).abs() < 1e-15 && found.components[3..] == [0.0; 3]);
        let nothing = stacked(&Context::new(1), &[], &[0.0; 6], 3, 1).unwrap();
        assert!(nothing.components == [0.0; 3] && nothing.values == [0.0; 2]);
    }
}
