//! Answers with and without a factor, and reasons for none.

use crate::regression::refine::{Refined, Scaled};

/// How long iterations without a factor may go on.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Limit {
    /// Most iterations for an answer.
    pub iterations: usize,
    /// Most of them in all, those of the search for the shortest answer included.
    pub in_all: usize,
    /// Whether to give up as soon as more of them can be foreseen.
    pub gives_up: bool,
}

/// What iterations have made so far.
#[derive(Clone, Copy, Default)]
pub(crate) struct Made {
    /// Reads of A, or pairs of products: an iteration is one, and so is the residual that a round starts from.
    pub reads: usize,
    pub iterations: usize,
}

/// What a method comes to.
#[allow(clippy::large_enum_variant)] // one of them is alive at a time
pub(crate) enum Outcome {
    /// Answers refined by a factor, settled or not.
    Factored(Factored),
    /// Answers without a factor.
    Unfactored(Unfactored),
    /// The factor broke down or is too ill-conditioned; its condition estimate.
    Inadmissible(f64),
    /// Iterations were given up after so many reads, as they would need too many.
    Slow { made: usize, needed: usize },
}

impl Outcome {
    /// Reads of A that refined the answers.
    pub fn passes(&self) -> usize {
        match self {
            Self::Factored(Factored { refined, .. }) | Self::Unfactored(Unfactored { refined, .. }) => {
                refined.passes
            }
            Self::Slow { made, .. } => *made,
            Self::Inadmissible(_) => 0,
        }
    }
}

/// Answers refined by a factor.
pub(crate) struct Factored {
    pub refined: Refined,
    pub scaled: Scaled,
    /// Of A with columns of norm one.
    pub condition: f64,
}

impl Factored {
    /// Rank of A, as the factor tells it.
    pub fn rank(&self) -> usize {
        self.scaled.factor.rank() - self.scaled.empty.len()
    }
}

/// Answers without a factor of A'A.
pub(crate) struct Unfactored {
    pub refined: Refined,
    /// Reads of A that were iterations.
    pub iterations: usize,
    /// Of the backward error of every answer.
    pub bound: Vec<f64>,
    /// The same without any estimate, where `bound` may rest on one; else empty.
    pub rigorous: Vec<f64>,
    /// The units of the answers, if not those of the design.
    pub scale: Option<Vec<f64>>,
    /// Norms of the columns.
    pub norms: Vec<f64>,
    /// Of the matrix that the iterations made, a lower bound on that of A; or of A with rows of norm one.
    pub condition: f64,
    /// Rank of A, if it was found out.
    pub rank: Option<usize>,
    /// |E|_F / |A|_F where the errors are those of A - E, directions having been cut off; 0 where none were.
    pub cut: f64,
    /// What of the bounds is rounding known beforehand.
    pub rounding: f64,
    /// False if there may be shorter answers.
    pub is_shortest: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::Factor;
    use crate::matrix::Mat;

    #[test]
    fn columns_of_zeros_are_no_part_of_the_rank() {
        let factor = Factor::Triangle(Mat::identity(4).unwrap());
        let scaled = Scaled { factor, scale: vec![1.0; 4], empty: vec![2], cut: 0.0 };
        assert_eq!(scaled.frobenius_norm(), 3f64.sqrt());
        let mut refined = Refined::starting_at(&Mat::zeros(4, 1).unwrap()).unwrap();
        refined.passes = 3;
        let factored = Factored { refined, scaled, condition: 1.0 };
        assert_eq!(factored.rank(), 3);
        assert_eq!(Outcome::Factored(factored).passes(), 3);
        assert_eq!(Outcome::Slow { made: 5, needed: 50 }.passes(), 5);
        assert_eq!(Outcome::Inadmissible(1e9).passes(), 0);
    }
}
