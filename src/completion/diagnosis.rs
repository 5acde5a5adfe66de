//! What is measured of a fit beside its error: slope, incoherence, condition.

use super::errors::{errors, pulls};
use super::factors::Factor;
use super::half::{Penalty, gram_of};
use super::observations::{Lines, Observations, Part};
use super::start::orthonormalise;
use crate::error::Result;
use crate::linalg::{Scalar, eigh, product};
use crate::matrix::Mat;
use crate::memory::collected;
use crate::parallel::Context;
use crate::simd::norm_sq;

/// Singular values below so much of the largest do not count for the rank.
const NEGLIGIBLE: f64 = 1e-6;

/// Size of what is predicted, over that of what was observed, that no sound fit has.
pub const TOO_LARGE: f64 = 10.0;

/// What is measured of a fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Diagnosis {
    /// Norm of the gradient of half the objective over those of values and factors.
    pub gradient: f64,
    /// Of rows and of columns: the largest leverage of a line over the mean of those with entries.
    pub incoherence: [f64; 2],
    /// Of rows and of columns: the largest leverage.
    pub leverage: [f64; 2],
    /// Largest over smallest singular value of the product of the factors; infinite beyond 1e7.
    pub condition: f64,
    /// Its singular values above 1e-6 of the largest.
    pub numerical_rank: usize,
    /// Root mean square of the product, over that of the observed values.
    pub size: f64,
}

/// Measures a fit to a part of the entries.
pub fn diagnose<T: Scalar>(
    context: &Context,
    observed: &Observations<T>,
    part: Part,
    (rows, columns): (&Factor<T>, &Factor<T>),
    penalty: Penalty,
) -> Result<Diagnosis> {
    let sides = [(&observed.rows, rows, columns), (&observed.columns, columns, rows)];
    let (mut slope, mut length) = (0.0, 0.0);
    let (mut incoherence, mut leverage) = ([0.0; 2], [0.0; 2]);
    let mut lines = [0; 2];
    for (side, (of_side, own, other)) in sides.into_iter().enumerate() {
        slope += slope_of(context, of_side, part, (own, other), penalty)?;
        length += own.rows.chunks(own.stride).map(norm_sq).sum::<f64>();
        lines[side] = (0..own.count).filter(|&line| !of_side.line(line, part).is_empty()).count();
        let mut basis = own.copy()?;
        let rank = orthonormalise(context, &mut basis)?;
        leverage[side] = basis.rows.chunks(basis.stride).map(norm_sq).fold(0.0, f64::max);
        incoherence[side] = leverage[side] * lines[side] as f64 / rank.max(1) as f64;
    }
    let none = (Factor::zeros(rows.count, 1)?, Factor::zeros(columns.count, 1)?);
    let values = errors(context, &observed.rows, part, (&none.0, &none.1))?;
    let squares = squares_of_product(context, rows, columns)?;
    let (least, most) = (squares.first().copied().unwrap_or(0.0), squares.last().copied().unwrap_or(0.0));
    let cells = lines[0] as f64 * lines[1] as f64;
    Ok(Diagnosis {
        gradient: if slope > 0.0 { (slope / values.squares / length).sqrt() } else { 0.0 },
        incoherence,
        leverage,
        condition: if least > most * 1e-14 { (most / least).sqrt() } else { f64::INFINITY },
        numerical_rank: squares.iter().filter(|&&s| s > 0.0 && s > NEGLIGIBLE * NEGLIGIBLE * most).count(),
        size: (squares.iter().sum::<f64>() / cells / (values.squares / values.count)).sqrt(),
    })
}

/// The squared norm of the gradient of half the objective at the rows of one side.
fn slope_of<T: Scalar>(
    context: &Context,
    lines: &Lines<T>,
    part: Part,
    (own, other): (&Factor<T>, &Factor<T>),
    penalty: Penalty,
) -> Result<f64> {
    let mut pull = Factor::with_room(own.count, own.rank, own.stride)?;
    pulls(context, lines, part, (own, other), |error| error, &mut pull)?;
    let of_line = |i: usize| {
        let ridge = penalty.of(lines.degree(i, part));
        let slope = |pull: T, x: T, ridge: f64| (pull.to_f64() - ridge * x.to_f64()).powi(2);
        let factor: f64 = pull.row(i).iter().zip(own.row(i)).map(|(p, x)| slope(*p, *x, ridge.factor)).sum();
        factor + ridge.bias.map_or(0.0, |bias| slope(pull.bias[i], own.bias[i], bias))
    };
    Ok((0..own.count).map(of_line).sum())
}

/// The squared singular values of U V', ascending: the eigenvalues of G V'V G, G being the root of U'U.
fn squares_of_product<T: Scalar>(context: &Context, u: &Factor<T>, v: &Factor<T>) -> Result<Vec<f64>> {
    let gram = |x: &Factor<T>| {
        let (gram, _) = gram_of(context, x)?;
        Mat::from_fn(x.rank, x.rank, |i, j| gram[i.min(j) * x.stride + i.max(j)])
    };
    let (values, vectors) = eigh(&gram(u)?)?;
    let roots = collected(values.iter().map(|value| value.max(0.0).sqrt()), "a diagnosis")?;
    let scaled = Mat::from_fn(u.rank, u.rank, |i, j| vectors[(i, j)] * roots[j])?;
    let inner = product(gram(v)?.as_ref(), scaled.as_ref())?;
    let (squares, _) = eigh(&product(scaled.as_ref().t(), inner.as_ref())?)?;
    collected(squares.into_iter().map(|square| square.max(0.0)), "a diagnosis")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::testing::{low_rank, observed};

    /// A factor whose columns are indicators of lines, times sizes.
    fn spikes(count: usize, sizes: &[f64]) -> Factor<f64> {
        let mut factor = Factor::zeros(count, sizes.len()).unwrap();
        for (k, size) in sizes.iter().enumerate() {
            factor.rows[k * factor.stride + k] = *size;
        }
        factor
    }

    #[test]
    fn spikes_are_coherent_and_their_sizes_are_singular_values() {
        let context = Context::new(2);
        let full: Vec<_> =
            (0..20).flat_map(|i| (0..10).map(move |j| (i, j, (i * i + 7 * j) as f64))).collect();
        let observed = observed::<f64>(&context, (20, 10), &full);
        let (u, v) = (spikes(20, &[3.0, 2.0, 0.0]), spikes(10, &[1.0, 1e-4, 1.0]));
        let none = Penalty { factor: 0.0, bias: None, exponent: 0.0 };
        let found = diagnose(&context, &observed, Part::All, (&u, &v), none).unwrap();
        assert!((found.leverage[0] - 1.0).abs() < 1e-12 && (found.incoherence[0] - 10.0).abs() < 1e-9);
        assert!((found.incoherence[1] - 10.0 / 3.0).abs() < 1e-9);
        assert!(found.condition.is_infinite() && found.numerical_rank == 2);
        // The values that are stored have a mean square of one.
        assert!((found.size - (9.0f64 / 200.0).sqrt()).abs() < 1e-6);
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_objective() {
        let context = Context::new(1);
        let cells = low_rank((12, 9), 2, 0.7, 0.1, 4);
        let observed = observed::<f64>(&context, (12, 9), &cells);
        let filled = |count: usize, turn: f64| {
            let mut factor = Factor::<f64>::zeros(count, 3).unwrap();
            for i in 0..count {
                for k in 0..3 {
                    factor.rows[i * factor.stride + k] = ((3 * i + k) as f64 + turn).sin();
                }
                factor.bias[i] = ((7 * i) as f64 + turn).cos();
            }
            factor
        };
        let (u, v) = (filled(12, 0.3), filled(9, 1.7));
        let penalty = Penalty { factor: 0.2, bias: Some(0.4), exponent: 0.5 };
        let objective = |u: &Factor<f64>, v: &Factor<f64>| {
            let mut value = errors(&context, &observed.rows, Part::All, (u, v)).unwrap().squares;
            for (lines, x) in [(&observed.rows, u), (&observed.columns, v)] {
                for i in 0..x.count {
                    let ridge = penalty.of(lines.line(i, Part::All).len() as f64);
                    value += ridge.factor * norm_sq(x.row(i)) + ridge.bias.unwrap() * x.bias[i].powi(2);
                }
            }
            value / 2.0
        };
        let mut slope = 0.0;
        let step = 1e-5;
        for at in 0..12 * u.stride {
            let mut moved = [u.copy().unwrap(), u.copy().unwrap()];
            if at % u.stride >= 3 {
                continue;
            }
            moved[0].rows[at] += step;
            moved[1].rows[at] -= step;
            slope += ((objective(&moved[0], &v) - objective(&moved[1], &v)) / (2.0 * step)).powi(2);
        }
        for i in 0..12 {
            let mut moved = [u.copy().unwrap(), u.copy().unwrap()];
            moved[0].bias[i] += step;
            moved[1].bias[i] -= step;
            slope += ((objective(&moved[0], &v) - objective(&moved[1], &v)) / (2.0 * step)).powi(2);
        }
        let found = slope_of(&context, &observed.rows, Part::All, (&u, &v), penalty).unwrap();
        assert!((found / slope - 1.0).abs() < 1e-6, "{found} {slope}");
    }
}
