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
    fn design<'a>(
        context: &Context,
        problem: &Problem<'a, T, M>,
        params: &Params,
    ) -> Result<Design<'a, T, M>>;

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
        let mut best: Option<(Candidate, Unfactored)> = None;
        for &step in candidates {
            let candidate: Candidate = step.into();
            output.redraws += usize::from(candidate.draw() > Some(0));
            self.ledger.begin();
            let outcome = steps.attempt(self, group, step)?;
            self.ledger.read(outcome.passes() * S::READS);
            self.ledger.end(candidate.describe());
            let last = candidates.last() == Some(&step);
            let factors = candidates.iter().any(|&behind| behind.into() == Candidate::Qr);
            let clear = last || self.is_clear(group, &outcome, factors)?;
            match outcome {
                Outcome::Factored(factored) if last || factored.refined.settled && clear => {
                    self.tell_of_fallback(wanted, candidate, output);
                    let (rank, refined) = (factored.rank(), summary(&factored.refined));
                    self.ledger.explain(format!("{}: rank {rank}, {refined}", candidate.describe()));
                    return steps.accept(self, group, candidate, factored, output);
                }
                Outcome::Unfactored(answers) if last || answers.refined.settled && clear => {
                    let is_better = |earlier: &Unfactored| {
                        !answers.refined.settled && worst(&earlier.refined) < worst(&answers.refined)
                    };
                    let (candidate, answers) = match best.take() {
                        Some(earlier) if is_better(&earlier.1) => {
                            self.ledger.explain(refusal(candidate, &answers.refined, answers.condition));
                            earlier
                        }
                        _ => (candidate, answers),
                    };
                    self.tell_of_fallback(wanted, candidate, output);
                    let refined = summary(&answers.refined);
                    self.ledger.explain(match answers.rank {
                        Some(rank) => format!("{}: rank {rank}, {refined}", candidate.describe()),
                        None => format!("{}: {refined}", candidate.describe()),
                    });
                    if !answers.is_shortest {
                        self.ledger.explain("there may be shorter answers".into());
                    }
                    output.accept_unfactored(group, candidate.method(), answers)?;
                    return steps.accept_unfactored(self, group, output);
                }
                Outcome::Factored(Factored { refined, condition, .. }) => {
                    self.ledger.explain(refusal(candidate, &refined, condition));
                }
                Outcome::Unfactored(answers) => {
                    self.ledger.explain(refusal(candidate, &answers.refined, answers.condition));
                    if best.as_ref().is_none_or(|(_, best)| worst(&answers.refined) < worst(&best.refined)) {
                        best = Some((candidate, answers));
                    }
                }
                Outcome::Slow { made: 0, needed } => {
                    self.ledger.explain(format!("{}: would need {needed} reads", candidate.describe()));
                }
                Outcome::Slow { made, needed } => self.ledger.explain(format!(
                    "{}: given up after {}, as it would need {needed}",
                    candidate.describe(),
                    counted(made, "read", "reads")
                )),
                Outcome::Inadmissible(condition) => self.ledger.explain(format!(
                    "{}: a factor of condition {condition:.1e} is not admissible",
                    candidate.describe()
                )),
            }
        }
        Err(Error::Internal("no method came to an answer".into()))
    }

    /// Why another method than the one asked for gave the answer, if so.
    fn tell_of_fallback(&self, wanted: Method, candidate: Candidate, output: &mut Output) {
        if candidate.method() != wanted && self.params.method != Method::Auto {
            output.fallback = match candidate {
                Candidate::Qr => self.ledger.sentences.last().cloned(),
                _ => Some(format!("{} gave way to {}", wanted.name(), candidate.describe())),
            };
        }
    }

    /// True if the factor that an answer was had with shows that the columns which span all others are independent.
    fn is_clear<T: Real, M: Passes<T>>(
        &self,
        group: &Group<'_, '_, T, M>,
        outcome: &Outcome,
        has_factor: bool,
    ) -> Result<bool> {
        match outcome {
            Outcome::Unfactored(answers) if self.params.method == Method::Auto => {
                Ok(answers.is_shortest || !has_factor)
            }
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
        let enough_rows = scaled.factor.rank() - scaled.empty.len() <= group.most_rank();
        enough_rows && condition * self.rcond < near
    }
}

/// The largest error of answers.
fn worst(refined: &Refined) -> f64 {
    refined.backward_error.iter().fold(0.0f64, |worst, &error| worst.max(error))
}

/// What is said of answers that are not good enough.
fn refusal(candidate: Candidate, refined: &Refined, condition: f64) -> String {
    format!("{}: {} at condition {condition:.1e}, not accepted", candidate.describe(), summary(refined))
}

/// What is said of answers.
pub(crate) fn summary(refined: &Refined) -> String {
    let error = worst(refined);
    format!("backward error {error:.1e} after {}", counted(refined.passes, "pass", "passes"))
}

/// A number and what it counts.
pub(crate) fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{Mat, Matrix};
    use crate::regression::testing::{Instance, forms};

    /// Outcomes that are fixed beforehand, and what became of them.
    struct Script {
        /// The next one last.
        outcomes: Vec<Outcome>,
        accepted: Option<Candidate>,
    }

    impl<'m> Steps<f64, Matrix<'m, f64>> for Script {
        type Candidate = Candidate;
        const READS: usize = 3;

        fn design<'a>(
            context: &Context,
            problem: &Problem<'a, f64, Matrix<'m, f64>>,
            _: &Params,
        ) -> Result<Design<'a, f64, Matrix<'m, f64>>> {
            Design::new(context, problem)
        }

        fn plan(_: &mut Driver<'_>, _: &mut Design<'_, f64, Matrix<'m, f64>>) -> Result<Self> {
            Ok(Self { outcomes: Vec::new(), accepted: None })
        }

        fn solve(
            &mut self,
            driver: &mut Driver<'_>,
            group: &Group<'_, '_, f64, Matrix<'m, f64>>,
            output: &mut Output,
        ) -> Result<()> {
            driver.try_candidates(self, group, &CANDIDATES, output)
        }

        fn attempt(
            &mut self,
            _: &mut Driver<'_>,
            _: &Group<'_, '_, f64, Matrix<'m, f64>>,
            _: Candidate,
        ) -> Result<Outcome> {
            Ok(self.outcomes.pop().expect("an outcome for each candidate that is tried"))
        }

        fn accept(
            &mut self,
            _: &mut Driver<'_>,
            _: &Group<'_, '_, f64, Matrix<'m, f64>>,
            candidate: Candidate,
            _: Factored,
            _: &mut Output,
        ) -> Result<()> {
            self.accepted = Some(candidate);
            Ok(())
        }

        fn accept_unfactored(
            &mut self,
            _: &mut Driver<'_>,
            _: &Group<'_, '_, f64, Matrix<'m, f64>>,
            output: &mut Output,
        ) -> Result<()> {
            output.confidence = 0.5;
            Ok(())
        }

        fn rank_alone(
            &mut self,
            _: &mut Driver<'_>,
            _: &Group<'_, '_, f64, Matrix<'m, f64>>,
            _: &mut Output,
        ) -> Result<()> {
            Ok(())
        }
    }

    const CANDIDATES: [Candidate; 3] =
        [Candidate::Whitened { draw: 0 }, Candidate::Whitened { draw: 1 }, Candidate::Qr];

    fn refined(settled: bool) -> Refined {
        let x = Mat::from_fn(5, 2, |i, j| (i + j) as f64).unwrap();
        Refined { settled, passes: 2, backward_error: vec![1e-17; 2], ..Refined::starting_at(&x).unwrap() }
    }

    fn factored(instance: &Instance, settled: bool, condition: f64) -> Outcome {
        let scaled = instance.exact_factor(forms().next().unwrap(), 0.0);
        Outcome::Factored(Factored { refined: refined(settled), scaled, condition })
    }

    fn unfactored(settled: bool, is_shortest: bool) -> Outcome {
        Outcome::Unfactored(Unfactored {
            refined: refined(settled),
            iterations: 4,
            bound: vec![1e-16; 2],
            rigorous: Vec::new(),
            scale: None,
            norms: Vec::new(),
            condition: 2.0,
            rank: None,
            cut: 0.0,
            rounding: 0.0,
            is_shortest,
        })
    }

    /// What is accepted of these outcomes, in the order in which they come, what is left of them, and what is told.
    fn accepted(
        instance: &Instance,
        method: Method,
        mut outcomes: Vec<Outcome>,
    ) -> (Option<Candidate>, usize, Output, Ledger) {
        let params = Params { method, ..Params::default() };
        outcomes.reverse();
        let mut script = Script { outcomes, accepted: None };
        let mut output = Output::empty::<f64>(5, 2, &params).unwrap();
        let mut ledger = None;
        instance.with_group(forms().next().unwrap(), 0.0, |group| {
            let mut driver = Driver::new(group.context, group.design, &params, Ledger::new());
            script.solve(&mut driver, group, &mut output).unwrap();
            ledger = Some(driver.ledger);
        });
        (script.accepted, script.outcomes.len(), output, ledger.unwrap())
    }

    #[test]
    fn the_first_answer_that_is_settled_by_a_clear_factor_is_taken() {
        let instance = Instance::new(60, 5);
        let good = || factored(&instance, true, 10.0);
        let (first, left, output, ledger) = accepted(&instance, Method::Whitened, vec![good(), good()]);
        assert_eq!((first, left), (Some(CANDIDATES[0]), 1));
        assert_eq!((output.fallback, output.redraws), (None, 0));
        assert_eq!((ledger.stages.len(), ledger.stages[0].reads), (1, 2 * 3));
        // Not settled, and not clear.
        let bad = vec![factored(&instance, false, 10.0), factored(&instance, true, 1e15), good()];
        let (last, left, output, ledger) = accepted(&instance, Method::Whitened, bad);
        assert_eq!((last, left, output.redraws), (Some(Candidate::Qr), 0, 1));
        assert!(ledger.sentences[0].contains("not accepted"));
        assert!(ledger.sentences[1].contains("condition 1.0e15, not accepted"));
        assert_eq!(output.fallback.as_ref(), Some(&ledger.sentences[1]));
    }

    #[test]
    fn the_last_answer_is_taken_whatever_it_is() {
        let instance = Instance::new(60, 5);
        let slow = Outcome::Slow { made: 7, needed: 90 };
        let outcomes = vec![slow, Outcome::Inadmissible(1e9), factored(&instance, false, 1e15)];
        let (last, _, output, ledger) = accepted(&instance, Method::Auto, outcomes);
        assert_eq!((last, output.fallback), (Some(Candidate::Qr), None));
        assert!(ledger.sentences[0].contains("after 7 reads, as it would need 90"));
        assert!(ledger.sentences[1].contains("1.0e9 is not admissible"));
        assert_eq!(ledger.stages.iter().map(|stage| stage.reads).collect::<Vec<_>>(), [21, 0, 6]);
    }

    #[test]
    fn of_answers_without_a_factor_that_are_not_good_enough_the_best_is_taken() {
        let instance = Instance::new(60, 5);
        for (errors, expected) in
            [([3e-15, 5e-16, 2e-15], 1), ([5e-16, 3e-15, 2e-15], 0), ([3e-15, 2e-15, 5e-16], 2)]
        {
            let outcome = |error: f64| {
                let Outcome::Unfactored(mut answers) = unfactored(false, false) else { unreachable!() };
                answers.refined.backward_error.fill(error);
                Outcome::Unfactored(answers)
            };
            let (_, left, output, ledger) =
                accepted(&instance, Method::Auto, errors.map(outcome).into_iter().collect());
            assert_eq!((left, output.method), (0, CANDIDATES[expected].method()));
            assert_eq!(output.backward_error, [errors[expected]; 2]);
            let refused = ledger.sentences.iter().filter(|text| text.contains("not accepted")).count();
            assert_eq!(refused, if expected == 2 { 2 } else { 3 });
        }
    }

    #[test]
    fn without_a_factor_answers_that_may_be_longer_than_others_are_told_to_be() {
        let instance = Instance::new(60, 5);
        for is_shortest in [true, false] {
            let outcomes = vec![unfactored(false, true), unfactored(true, is_shortest)];
            let (of_a_factor, left, output, ledger) = accepted(&instance, Method::Whitened, outcomes);
            assert_eq!((of_a_factor, left), (None, 0));
            assert_eq!((output.method, output.n_iter, output.confidence), (Method::Whitened, 4, 0.5));
            let told = ledger.sentences.iter().any(|sentence| sentence == "there may be shorter answers");
            assert_eq!(told, !is_shortest);
        }
    }

    #[test]
    fn auto_has_a_factor_tell_whether_an_answer_is_the_shortest() {
        let instance = Instance::new(60, 5);
        let outcomes = || vec![unfactored(true, false), factored(&instance, true, 10.0)];
        let (of_a_factor, left, ..) = accepted(&instance, Method::Auto, outcomes());
        assert_eq!((of_a_factor, left), (Some(CANDIDATES[1]), 0));
        let (of_a_factor, left, ..) = accepted(&instance, Method::Whitened, outcomes());
        assert_eq!((of_a_factor, left), (None, 1));
    }

    #[test]
    fn no_outcome_at_all_is_a_defect() {
        let instance = Instance::new(60, 5);
        let params = Params::default();
        let outcomes =
            vec![Outcome::Inadmissible(1.0), Outcome::Inadmissible(1.0), Outcome::Inadmissible(1.0)];
        let mut script = Script { outcomes, accepted: None };
        let mut output = Output::empty::<f64>(5, 2, &params).unwrap();
        instance.with_group(forms().next().unwrap(), 0.0, |group| {
            let mut driver = Driver::new(group.context, group.design, &params, Ledger::new());
            assert!(matches!(script.solve(&mut driver, group, &mut output), Err(Error::Internal(_))));
        });
    }

    #[test]
    fn targets_above_rounding_leave_room_for_the_looseness_of_estimates() {
        let instance = Instance::new(60, 5);
        instance.with_group(forms().next().unwrap(), 0.0, |group| {
            let of = |tolerance: Option<f64>, rcond: Option<f64>| {
                let params = Params { tolerance, rcond, ..Params::default() };
                let driver = Driver::new(group.context, group.design, &params, Ledger::new());
                (driver.tolerance, driver.rcond)
            };
            assert_eq!(of(None, None), (f64::UNIT_ROUNDOFF, group.design.cut_off()));
            assert_eq!(of(Some(1e-6), Some(1e-3)), (1e-6 / LOOSENESS, 1e-3));
            assert_eq!(of(Some(1e-17), Some(0.0)), (1e-17, LEAST));
        });
    }

    #[test]
    fn near_the_cut_off_qr_decides_the_sooner_the_fewer_terms_are_summed() {
        let instance = Instance::new(60, 5);
        let params = Params { rcond: Some(1e-6), ..Params::default() };
        for (form, most) in [(forms().next().unwrap(), 1e6), (forms().nth(4).unwrap(), 0.03e6)] {
            instance.with_group(form, 0.0, |group| {
                let driver = Driver::new(group.context, group.design, &params, Ledger::new());
                let scaled = instance.exact_factor(form, 0.0);
                assert!(driver.is_far_from_deficient(group, &scaled, 0.9 * most), "{form:?}");
                assert!(!driver.is_far_from_deficient(group, &scaled, 1.1 * most), "{form:?}");
            });
        }
        let few = Instance::new(4, 5);
        few.with_group(forms().next().unwrap(), 0.0, |group| {
            let driver = Driver::new(group.context, group.design, &params, Ledger::new());
            let scaled = instance.exact_factor(forms().next().unwrap(), 0.0);
            assert!(!driver.is_far_from_deficient(group, &scaled, 1.0), "fewer rows than columns");
        });
    }
}
