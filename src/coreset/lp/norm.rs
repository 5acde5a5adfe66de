//! Norms and powers of residuals.

use crate::matrix::keep_larger;

/// A p-norm that neither overflows nor vanishes on the way.
#[derive(Clone, Copy, Default)]
pub(super) struct Norm {
    largest: f64,
    /// Sum of powers beside the largest, but for p = infinity.
    sum: f64,
}

impl Norm {
    fn raise(&mut self, largest: f64, p: f64) {
        if largest > self.largest {
            self.sum *= if p.is_finite() { magnitude(self.largest / largest, p) } else { 1.0 };
            self.largest = largest;
        }
    }

    /// Adds some numbers.
    pub fn add(&mut self, values: &[f64], p: f64) {
        let mut largest = 0.0;
        values.iter().for_each(|value| keep_larger(&mut largest, value.abs()));
        self.raise(largest, p);
        let unit = if self.largest > 0.0 { self.largest } else { 1.0 };
        // Whatever p is, what is not finite stays so.
        self.sum += match p.is_finite() {
            true => values.iter().map(|value| magnitude(value / unit, p)).sum::<f64>(),
            false => values.iter().map(|value| value * 0.0).sum::<f64>(),
        };
    }

    /// Adds those of another norm.
    pub fn join(&mut self, other: &Self, p: f64) {
        self.raise(other.largest, p);
        let share = if other.largest < self.largest && p.is_finite() {
            magnitude(other.largest / self.largest, p)
        } else {
            1.0
        };
        self.sum += other.sum * share;
    }

    /// Of all that were added.
    pub fn value(&self, p: f64) -> f64 {
        if p.is_finite() { self.largest * self.sum.powf(p.recip()) } else { self.largest + self.sum }
    }
}

/// |r|^p
#[inline]
pub(super) fn magnitude(r: f64, p: f64) -> f64 {
    power(r.abs(), p)
}

/// Powers that are asked for most take no logarithm.
#[inline]
pub(super) fn power(r: f64, exponent: f64) -> f64 {
    match exponent {
        0.0 => 1.0,
        1.0 => r,
        2.0 => r * r,
        3.0 => r * r * r,
        4.0 => (r * r) * (r * r),
        -0.5 => 1.0 / r.sqrt(),
        1.5 => r * r.sqrt(),
        _ => r.powf(exponent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_are_added_up_in_parts_whatever_the_power() {
        for scale in [1e-200, 1.0, 1e200] {
            let values =
                [[3.0, -0.5, 0.0], [0.25, 4.0, 1.0], [0.0; 3]].map(|part| part.map(|v: f64| v * scale));
            for p in [1.0, 1.5, 3.0, 1001.0, f64::INFINITY] {
                let mut norm = Norm::default();
                for part in values {
                    let mut of_part = Norm::default();
                    of_part.add(&part[..1], p);
                    of_part.add(&part[1..], p);
                    norm.join(&of_part, p);
                }
                let of = |v: &f64| (v.abs() / scale / 4.0).powf(p);
                let sum = values.as_flattened().iter().map(of).sum::<f64>();
                let expected = if p.is_finite() { 4.0 * sum.powf(p.recip()) } else { 4.0 };
                assert!((norm.value(p) / scale / expected - 1.0).abs() < 1e-13, "{p} {scale}");
            }
        }
    }

    #[test]
    fn powers_are_those_of_the_library() {
        for exponent in [-0.5, 0.0, 1.0, 1.5, 2.0, 3.0, 4.0, 0.3, -0.9] {
            for r in [0.01, 0.7, 1.0, 3.2] {
                assert!((power(r, exponent) / r.powf(exponent) - 1.0).abs() < 1e-14);
            }
        }
    }
}
