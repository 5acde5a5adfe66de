//! What an entry adds to the normal equations of a line, and the penalty of a line.

/// How much a stored number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confidence {
    /// By its size, instead of what it would count if it were not stored.
    Linear,
    /// As any other, beside what all pairs count.
    Uniform,
}

/// The terms of the objective.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How much a stored number counts.
    pub confidence: Confidence,
    /// Factor of that.
    pub alpha: f64,
    /// Weight of pairs that are not stored, or of all.
    pub unobserved: f64,
    /// Penalty.
    pub reg: f64,
    /// Its power of the weights of a line.
    pub exponent: f64,
}

/// What an entry adds: `extra` y y' to the matrix of a line, `target` y to its side, and `target` to its constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Added {
    /// Of the square of the prediction.
    pub extra: f64,
    /// Of minus twice the prediction, and of one.
    pub target: f64,
}

impl Terms {
    /// What an entry with this number adds.
    pub fn of(&self, number: f64) -> Added {
        let weight = match self.confidence {
            Confidence::Linear => self.alpha * number.abs(),
            Confidence::Uniform => self.alpha,
        };
        let counted = if self.confidence == Confidence::Linear { self.unobserved } else { 0.0 };
        Added { extra: weight - counted, target: if number > 0.0 { weight } else { 0.0 } }
    }

    /// The penalty of a line with n entries, of `others` that it could have.
    pub fn penalty(&self, n: f64, others: usize) -> f64 {
        self.reg * (n + self.unobserved * others as f64).powf(self.exponent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_count_as_the_table_has_it() {
        let terms =
            Terms { confidence: Confidence::Linear, alpha: 2.0, unobserved: 0.5, reg: 0.1, exponent: 0.0 };
        assert_eq!(terms.of(3.0), Added { extra: 5.5, target: 6.0 });
        assert_eq!(terms.of(-3.0), Added { extra: 5.5, target: 0.0 });
        assert_eq!(terms.of(0.0), Added { extra: -0.5, target: 0.0 });
        assert_eq!(terms.penalty(7.0, 100), 0.1);
        let terms = Terms { confidence: Confidence::Uniform, exponent: 1.0, ..terms };
        assert_eq!(terms.of(3.0), Added { extra: 2.0, target: 2.0 });
        assert_eq!(terms.of(-3.0), Added { extra: 2.0, target: 0.0 });
        assert!((terms.penalty(7.0, 100) - 5.7).abs() < 1e-12);
    }
}
