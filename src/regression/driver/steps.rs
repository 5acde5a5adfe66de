//! How candidates are tried one after the other, and what that takes of a matrix of one kind or the other.

use crate::certify::{LOOSENESS, floor_of};
use crate::error::{Error, Result};
use crate::linalg::LEAST;
use crate::matrix::Real;
use crate::parallel::Context;
use crate::regression::design::Design;
use crate::regression::design::pass::Passes;
use crate::regression::driver::ledger::Ledger;
use crate::regression::driver::output::Output;
use crate::regression::driver::plan::{Candidate, Method, Params};
use crate::regression::methods::outcome::{Factored, Outcome, Unfactored};
use crate::regression::methods::qr::doubt;
use crate::regression::problem::Problem;
use crate::regression::refine::{Group, Refined, Scaled};

/// What is done with a matrix by what may be asked of it: a candidate that it cannot be tried with is none.
pub(crate) trait Steps<T: Real, M: Passes<T>>: Sized {
    /// What can be tried.
    type Candidate: Copy + PartialEq + Into<Candidate>;
    /// Reads of A, or products with it, in a pass.
    const READS: usize;

    /// The problem as it is solved.
    fn design<'a>(context: &Context, problem: &Problem<'a, T, M>) -> Result<Design<'a, T, M>>;

    /// Decides what to try.
    fn plan(driver: &mut Driver<'_>, design: &mut Design<'_, T, M>) -> Result<Self>;

    /// Answers to the targets of one ridge.
    fn solve(
        &mut self,
        driver: &mut Driver<'_>,
        group: &Group<'_, '_, T, M>,
        output: &mut Output,
    ) -> Result<()>;

    /// Tries one candidate.
    fn attempt(
        &mut self,
        driver: &mut Driver<'_>,
        group: &Group<'_, '_, T, M>,
        candidate: Self::Candidate,
    ) -> Result<Outcome>;

    /// Answers that are good enough, with all that is wanted beside them.
    fn accept(
        &mut self,
        driver: &mut Driver<'_>,
        group: &Group<'_, '_, T, M>,
        candidate: Candidate,
        factored: Factored,
        output: &mut Output,
    ) -> Result<()>;

    /// What is to be said, or wanted, beside accepted answers that no factor was had for.
    fn accept_unfactored(
        &mut self,
        driver: &mut Driver<'_>,
        group: &Group<'_, '_, T, M>,
        output: &mut Output,
    ) -> Result<()>;

    /// With nothing to fit, the rank is all there is to say.
    fn rank_alone(
        &mut self,
        driver: &mut Driver<'_>,
        group: &Group<'_, '_, T, M>,
        output: &mut Output,
    ) -> Result<()>;
}

/// What stays the same for all groups of targets and all candidates.
pub(crate) struct Driver<'p> {
    pub context: &'p Context<'p>,
    pub params: &'p Params,
    pub tolerance: f64,
    pub rcond: f64,
    pub ledger: Ledger,
}

impl<'p> Driver<'p> {
    pub fn new<T: Real, M: Passes<T>>(
        context: &'p Context<'p>,
        design: &Design<'_, T, M>,
        params: &'p Params,
        ledger: Ledger,
    ) -> Self {
        // An estimate within this has its bound within the target, where rounding has no part in it.
        let within =
            |target: f64| if target > floor_of(T::UNIT_ROUNDOFF) { target / LOOSENESS } else { target };
        let tolerance = params.tolerance.map_or(T::UNIT_ROUNDOFF, within);
        let rcond = params.rcond.unwrap_or(design.cut_off()).max(LEAST);
        Self { context, params, tolerance, rcond, ledger }
    }

    /// Tries candidates until the answers to the targets of one ridge are accepted.
    pub fn try_candidates<T: Real, M: Passes<T>, S: Steps<T, M>>(
        &mut self,
        steps: &mut S,
        group: &Group<'_, '_, T, M>,
        candidates: &[S::Candidate],
        output: &mut Output,
    ) -> Result<()> {
        let wanted = candidates[0].into().method();
        for &step in candidates {
            let candidate: Candidate = step.into();
            output.redraws += usize::from(candidate.draw() > Some(0));
            self.ledger.begin();
            let outcome = steps.attempt(self, group, step)?;
            self.ledger.read(outcome.passes() * S::READS);
            self.ledger.end(candidate.describe());
            let last = candidates.last() == Some(&step);
            let clear = last || self.is_clear(group, &outcome)?;
            match outcome {
                Outcome::Factored(factored) if last || factored.refined.settled && clear => {
                    if candidate.method() != wanted && self.params.method != Method::Auto {
                        output.fallback = match candidate {
                            Candidate::Qr => self.ledger.sentences.last().cloned(),
                            _ => Some(format!("{} gave way to {}", wanted.name(), candidate.describe())),
                        };
                    }
                    let (rank, refined) = (factored.rank(), summary(&factored.refined));
                    self.ledger.explain(format!("{}: rank {rank}, {refined}", candidate.describe()));
                    return steps.accept(self, group, candidate, factored, output);
                }
                Outcome::Unfactored(answers) if last || answers.refined.settled => {
                    self.ledger.explain(format!("lsmr: {}", summary(&answers.refined)));
                    if !answers.is_shortest {
                        self.ledger.explain("there may be shorter answers".into());
                    }
                    output.accept_unfactored(group, answers)?;
                    return steps.accept_unfactored(self, group, output);
                }
                Outcome::Factored(Factored { refined, condition, .. })
                | Outcome::Unfactored(Unfactored { refined, condition, .. }) => self.ledger.explain(format!(
                    "{}: {} at condition {condition:.1e}, not accepted",
                    candidate.describe(),
                    summary(&refined)
                )),
                Outcome::Slow { made, needed } => self.ledger.explain(format!(
                    "{}: given up after {made} reads, as it would need {needed}",
                    candidate.describe()
                )),
                Outcome::Inadmissible(condition) => self.ledger.explain(format!(
                    "{}: a factor of condition {condition:.1e} is not admissible",
                    candidate.describe()
                )),
            }
        }
        Err(Error::Internal("no method came to an answer".into()))
    }

    /// True if the factor that an answer was had with shows that the columns are independent.
    fn is_clear<T: Real, M: Passes<T>>(
        &self,
        group: &Group<'_, '_, T, M>,
        outcome: &Outcome,
    ) -> Result<bool> {
        match outcome {
            Outcome::Factored(Factored { scaled, condition, .. }) => {
                let doubt = doubt(group.design, scaled, || Ok(*condition), self.rcond)?;
                Ok(self.is_far_from_deficient(group, scaled, doubt))
            }
            _ => Ok(true),
        }
    }

    /// Sums of n terms are rounded to more than the cut-off, by the root of n, and so are centred entries: nearer to it,
    /// QR and the SVD decide.
    pub fn is_far_from_deficient<T: Real, M: Passes<T>>(
        &self,
        group: &Group<'_, '_, T, M>,
        scaled: &Scaled,
        condition: f64,
    ) -> bool {
        let design = group.design;
        let terms = (30.0 / (design.nrows() as f64).sqrt()).clamp(0.03, 1.0);
        let near = if design.means().is_some() { 0.03 } else { terms };
        let enough_rows = design.ncols() - scaled.empty.len() <= group.most_rank();
        enough_rows && condition * self.rcond < near
    }
}

/// What is said of answers.
pub(crate) fn summary(refined: &Refined) -> String {
    let error = refined.backward_error.iter().fold(0.0f64, |m, &e| m.max(e));
    let passes = if refined.passes == 1 { "pass" } else { "passes" };
    format!("backward error {error:.1e} after {} {passes}", refined.passes)
}
