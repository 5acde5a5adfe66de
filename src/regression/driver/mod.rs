//! The driver: from the caller's problem to answers with their certificates.

pub(crate) mod cost;
pub(crate) mod empty;
pub(crate) mod hint;
pub(crate) mod ledger;
pub(crate) mod output;
pub(crate) mod plan;

use crate::certify::{LOOSENESS, floor_of};
use crate::error::{Error, Result};
use crate::linalg::{LEAST, Precision};
use crate::matrix::{Buffer, Real, Rows};
use crate::memory::{collected, copied, filled};
use crate::parallel::Context;
use crate::regression::bounds::forward::ForwardError;
use crate::regression::covariance::Inference;
use crate::regression::design::Design;
use crate::regression::design::products::check_adjoint;
use crate::regression::driver::cost::weights_cost_digits;
use crate::regression::driver::hint::{Hint, hint};
use crate::regression::driver::ledger::Ledger;
use crate::regression::driver::output::Output;
use crate::regression::driver::plan::{Candidate, Method, Params, Plan, wants_hint};
use crate::regression::methods::augmented::augmented;
use crate::regression::methods::gram::{Moments, gram};
use crate::regression::methods::lsmr::{PROBES, lsmr};
use crate::regression::methods::outcome::{Factored, Outcome, Unfactored};
use crate::regression::methods::qr::{doubt, qr, shortened};
use crate::regression::methods::sketched::{SketchFactor, SketchPlan, Sketchable, sketched};
use crate::regression::methods::spir::{Inner, spir};
use crate::regression::methods::whitened::{WORST_SKETCH, whitened};
use crate::regression::problem::{Preconditioner, Problem, Source};
use crate::regression::refine::{Group, Refined, Scaled, groups};

/// Least squares for every target.
pub fn lstsq<'a, T, M>(context: &Context, problem: &Problem<'a, T, M>, params: &Params) -> Result<Output>
where
    T: Real + Sketchable,
    M: Copy + Into<Source<'a, T>>,
{
    let source: Source<'a, T> = problem.design.into();
    let (n, d, k) = (source.nrows(), source.ncols(), problem.targets.ncols());
    if problem.targets.nrows() != n {
        return Err(Error::shape(
            "b",
            format!("{} rows", problem.targets.nrows()),
            format!("{n}, as `A` has"),
        ));
    }
    if let Some(rows) = params.sketch_size.filter(|&rows| rows < d) {
        return Err(Error::value("sketch_size", rows, format!("at least {d}, the number of columns")));
    }
    if n == 0 || d == 0 {
        if problem.fit_intercept {
            return Err(Error::shape("A", format!("shape ({n}, {d})"), "at least one row and one column"));
        }
        return empty::answer(context, problem, (n, d), params);
    }
    let ledger = Ledger::new();
    let mut design = Design::new(context, problem)?;
    let mut driver = Driver::new(context, &mut design, params, ledger)?;
    driver.ledger.end("plan");
    let mut output = Output::empty::<T>(d, k, params)?;
    output.inference = params.keep_factor.then(|| Inference::of(&design)).transpose()?;
    output.forward = params.certify.then(|| ForwardError::none(d, k)).transpose()?;
    for (ridge, targets) in groups(&design, problem.ridge)? {
        driver.solve(&design, &targets, ridge, &mut output)?;
    }
    if output.backward_error.is_empty() || (0..k).all(|target| design.target_norm(target) == 0.0) {
        driver.rank_alone(&design, problem.ridge, &mut output)?;
    }
    if let Some(first) = design.constant().first() {
        let count = design.constant().len();
        driver
            .ledger
            .explain(format!("{count} constant columns, the first of them column {first}, are left out"));
    }
    output.finish::<T>(&design)?;
    output.constant = copied(design.constant(), "constant columns")?;
    output.explanation = driver.ledger.sentences.join("; ");
    output.stages = driver.ledger.stages;
    context.progress(output.n_iter + 1, output.n_iter + 1, &[])?;
    Ok(output)
}

/// What stays the same for all groups of targets.
struct Driver<'p> {
    context: &'p Context<'p>,
    params: &'p Params,
    candidates: Vec<Candidate>,
    /// Powers of two that bring the columns near one.
    powers: Vec<f64>,
    /// A'A in the precision last asked for.
    moments: Option<(Precision, Moments)>,
    tolerance: f64,
    rcond: f64,
    ledger: Ledger,
}

impl<'p> Driver<'p> {
    fn new<T: Real>(
        context: &'p Context<'p>,
        design: &mut Design<'_, T>,
        params: &'p Params,
        ledger: Ledger,
    ) -> Result<Self> {
        let (n, d) = (design.nrows(), design.ncols());
        // An estimate within this has its bound within the target, where rounding has no part in it.
        let within =
            |target: f64| if target > floor_of(T::UNIT_ROUNDOFF) { target / LOOSENESS } else { target };
        let tolerance = params.tolerance.map_or(T::UNIT_ROUNDOFF, within);
        let rcond = params.rcond.unwrap_or(design.cut_off()).max(LEAST);
        let mut driver = Self {
            context,
            params,
            candidates: Vec::from([Candidate::Qr]),
            powers: filled(1.0, d, "powers of two")?,
            moments: None,
            tolerance,
            rcond,
            ledger,
        };
        if design.operator().is_some() {
            driver.follow(Plan::for_products(n, d, params)?);
            driver.ledger.read(2);
            check_adjoint(context, design)?;
            return Ok(driver);
        }
        let sampled = wants_hint(design, params).then(|| hint(context, design)).transpose()?;
        let is_zero = |(j, largest): (usize, &f64)| *largest == 0.0 && design.column_scale(j) != 0.0;
        let known =
            |hint: &Hint| !design.is_extreme(&hint.largest) && !hint.largest.iter().enumerate().any(is_zero);
        let read;
        let largest = match &sampled {
            Some(hint) if known(hint) => &hint.largest,
            _ => {
                read = driver.read_largest(design)?;
                &read
            }
        };
        let power =
            |(j, &value): (usize, &f64)| design.equilibrating_power(j, value * design.column_scale(j));
        driver.powers = collected(largest.iter().enumerate().map(power), "powers of two")?;
        driver.follow(Plan::for_rows(design, params, sampled.as_ref())?);
        Ok(driver)
    }

    fn follow(&mut self, plan: Plan) {
        self.candidates = plan.candidates;
        self.ledger.sentences = plan.reasons;
    }

    /// Largest magnitudes by one read of A, which also finds what is not finite.
    fn read_largest<T: Real>(&mut self, design: &mut Design<'_, T>) -> Result<Buffer<f64>> {
        self.ledger.read(1);
        let largest = design.largest_in_columns(self.context)?;
        design.equilibrate_columns(&largest)?;
        Ok(largest)
    }

    /// Tries methods until the answers to the targets of one ridge are accepted.
    fn solve<T: Real + Sketchable>(
        &mut self,
        design: &Design<'_, T>,
        targets: &[usize],
        ridge: f64,
        output: &mut Output,
    ) -> Result<()> {
        let group = Group {
            context: self.context,
            design,
            targets,
            ridge,
            tolerance: self.tolerance,
            max_passes: self.params.max_iter.unwrap_or(7),
        };
        let candidates = self.candidates.clone();
        match self.try_candidates(&group, &candidates, output) {
            Err(Error::Allocation { bytes, .. }) if self.spares_memory(design) => {
                self.ledger.explain(format!("no memory for {bytes} bytes more"));
                self.try_candidates(
                    &group,
                    &[Candidate::lsmr(self.params, design.nrows(), design.ncols())],
                    output,
                )
            }
            Err(of_a_factor @ Error::NonFinite { argument: "A", .. }) if design.operator().is_none() => {
                // A position in what was factored; a read of A knows that in A.
                design.largest_in_columns(self.context)?;
                Err(of_a_factor)
            }
            outcome => outcome,
        }
    }

    /// True if a method that takes less memory is left to try.
    fn spares_memory<T: Real>(&self, design: &Design<'_, T>) -> bool {
        self.params.method == Method::Auto && design.sparse().is_some() && !self.is_factorless()
    }

    /// True if no factor is ever made.
    fn is_factorless(&self) -> bool {
        self.candidates.iter().all(|candidate| matches!(candidate, Candidate::Lsmr(_)))
    }

    fn try_candidates<T: Real + Sketchable>(
        &mut self,
        group: &Group<'_, '_, T>,
        candidates: &[Candidate],
        output: &mut Output,
    ) -> Result<()> {
        let design = group.design;
        let wanted = candidates[0].method();
        for &candidate in candidates {
            output.redraws += usize::from(candidate.draw() > Some(0));
            self.ledger.begin();
            let outcome = self.attempt(group, candidate)?;
            self.ledger.read(outcome.passes() * if design.operator().is_some() { 2 } else { 1 });
            self.ledger.end(candidate.describe());
            let last = candidates.last() == Some(&candidate);
            let clear = last || self.is_clear(group, &outcome)?;
            match outcome {
                Outcome::Factored(factored) if last || factored.refined.settled && clear => {
                    if candidate.method() != wanted && self.params.method != Method::Auto {
                        output.fallback = match candidate {
                            Candidate::Qr => self.ledger.sentences.last().cloned(),
                            _ => Some(format!("{} gave way to {}", wanted.name(), candidate.describe())),
                        };
                    }
                    return self.accept(group, candidate, factored, output);
                }
                Outcome::Unfactored(answers) if last || answers.refined.settled => {
                    self.ledger.explain(format!("lsmr: {}", summary(&answers.refined)));
                    if !answers.is_shortest {
                        self.ledger.explain("there may be shorter answers".into());
                    }
                    output.accept_unfactored(group, answers)?;
                    return self.factor_apart(group, output);
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

    /// Answers that are good enough, with all that is wanted beside them.
    fn accept<T: Real>(
        &mut self,
        group: &Group<'_, '_, T>,
        candidate: Candidate,
        mut factored: Factored,
        output: &mut Output,
    ) -> Result<()> {
        let (rank, refined) = (factored.rank(), summary(&factored.refined));
        self.ledger.explain(format!("{}: rank {rank}, {refined}", candidate.describe()));
        let method = match self.sharpened(group, &factored)? {
            None => candidate.method(),
            Some(sharpened) => {
                factored.refined = sharpened;
                Method::FgmresWlsir
            }
        };
        let sketch_size = candidate.draw().map(|_| candidate.sketch(group.design, self.params).rows);
        output.accept(group, method, &factored, sketch_size)?;
        self.certify(group, &factored, output)?;
        self.keep(group, &factored.scaled, self.is_exact(candidate, factored.condition), output)
    }

    /// Bounds the forward errors of accepted answers, if that is wanted.
    fn certify<T: Real>(
        &mut self,
        group: &Group<'_, '_, T>,
        factored: &Factored,
        output: &mut Output,
    ) -> Result<()> {
        let Some(forward) = &mut output.forward else { return Ok(()) };
        self.ledger.begin();
        let Factored { scaled, condition, .. } = factored;
        self.ledger.read(forward.measure(group, scaled, *condition, &output.x, self.params.seed)?);
        self.ledger.end("certify");
        Ok(())
    }

    /// Accepted answers with the digits of x that the weights have cost, if that may be many and they can be had.
    fn sharpened<T: Real>(
        &mut self,
        group: &Group<'_, '_, T>,
        factored: &Factored,
    ) -> Result<Option<Refined>> {
        let Factored { refined, scaled, condition } = factored;
        let spread = group.design.weight_spread();
        let full_rank = scaled.factor.rank() == scaled.factor.order();
        let by_products = group.design.operator().is_some();
        if self.params.method != Method::Auto
            || by_products
            || !full_rank
            || !weights_cost_digits(spread, *condition)
        {
            return Ok(None);
        }
        self.ledger
            .explain(format!("weights that differ by {spread:.0e} cost digits at condition {condition:.1e}"));
        self.ledger.begin();
        let sharpened = augmented(group, refined, scaled, Preconditioner::Split)?;
        self.ledger.read(sharpened.passes - refined.passes);
        let candidate = Candidate::Augmented { draw: 0, preconditioner: Preconditioner::Split };
        self.ledger.end(candidate.describe());
        self.ledger.explain(format!("{}: {}", candidate.describe(), summary(&sharpened)));
        Ok(sharpened.settled.then_some(sharpened))
    }

    fn attempt<T: Real + Sketchable>(
        &mut self,
        group: &Group<'_, '_, T>,
        candidate: Candidate,
    ) -> Result<Outcome> {
        match candidate {
            Candidate::Gram(precision) => {
                if self.moments.as_ref().is_none_or(|(made, _)| *made != precision) {
                    self.moments = Some((precision, self.read_moments(group, precision)?));
                }
                match &self.moments {
                    Some((_, moments)) => gram(group, moments, precision.limit()),
                    None => Ok(Outcome::Inadmissible(f64::NAN)),
                }
            }
            Candidate::Whitened { .. } | Candidate::Iterative { .. } | Candidate::Augmented { .. } => {
                self.attempt_sketched(group, candidate)
            }
            Candidate::Lsmr(limit) => {
                self.ledger.read(if group.design.operator().is_some() { PROBES } else { 0 });
                lsmr(group, limit, self.params.seed)
            }
            Candidate::Qr => {
                self.ledger.read(1);
                qr(group, self.rcond).map(Outcome::Factored)
            }
        }
    }

    /// The candidates that begin with a sketch.
    fn attempt_sketched<T: Real + Sketchable>(
        &mut self,
        group: &Group<'_, '_, T>,
        candidate: Candidate,
    ) -> Result<Outcome> {
        let plan = candidate.sketch(group.design, self.params);
        let (sketched, doubt) = match candidate {
            Candidate::Augmented { preconditioner: Preconditioner::Left, .. } => {
                let unweighted = group.design.unweighted()?;
                self.sketched(&Group { design: &unweighted, ..*group }, plan)?
            }
            _ => self.sketched(group, plan)?,
        };
        if let (Some(_), Candidate::Iterative { heavy_ball, .. }) = (group.design.operator(), candidate) {
            self.ledger.read(group.design.ncols());
            return self.iterate_by_products(group, sketched, doubt, heavy_ball, plan.rows);
        }
        self.ledger.read(1);
        if !self.is_far_from_deficient(group, &sketched.scaled, doubt)? {
            if !sketched.x.as_slice().iter().all(|v| v.is_finite()) {
                group.design.largest_in_columns(self.context)?;
            }
            return Ok(Outcome::Inadmissible(sketched.condition));
        }
        if let Candidate::Iterative { heavy_ball, .. } = candidate {
            return spir(group, sketched, Inner::of(heavy_ball, group.design.ncols(), plan.rows));
        }
        self.ledger.read(1);
        let worst = match candidate {
            Candidate::Augmented { preconditioner: Preconditioner::Left, .. } => Precision::Single.limit(),
            _ => WORST_SKETCH,
        };
        let outcome = whitened(group, sketched, self.whitened_precision(), worst)?;
        match (candidate, outcome) {
            (Candidate::Augmented { preconditioner, .. }, Outcome::Factored(start)) => {
                let refined = augmented(group, &start.refined, &start.scaled, preconditioner)?;
                Ok(Outcome::Factored(Factored { refined, ..start }))
            }
            (_, outcome) => Ok(outcome),
        }
    }

    /// A sketch, and the condition by which its factor is judged.
    fn sketched<T: Real + Sketchable>(
        &self,
        group: &Group<'_, '_, T>,
        plan: SketchPlan,
    ) -> Result<(SketchFactor, f64)> {
        let sketched = sketched(group, plan)?;
        let doubt = doubt(group.design, &sketched.scaled, || Ok(sketched.condition), self.rcond)?;
        Ok((sketched, doubt))
    }

    /// True if the factor that an answer was had with shows that the columns are independent.
    fn is_clear<T: Real>(&self, group: &Group<'_, '_, T>, outcome: &Outcome) -> Result<bool> {
        match outcome {
            Outcome::Factored(Factored { scaled, condition, .. }) => {
                let doubt = doubt(group.design, scaled, || Ok(*condition), self.rcond)?;
                self.is_far_from_deficient(group, scaled, doubt)
            }
            _ => Ok(true),
        }
    }

    /// Sums of n terms are rounded to more than the cut-off, by the root of n, and so are centred entries: nearer to it,
    /// QR and the SVD decide.
    fn is_far_from_deficient<T: Real>(
        &self,
        group: &Group<'_, '_, T>,
        scaled: &Scaled,
        condition: f64,
    ) -> Result<bool> {
        let design = group.design;
        let terms = (30.0 / (design.nrows() as f64).sqrt()).clamp(0.03, 1.0);
        let near = if design.means().is_some() { 0.03 } else { terms };
        let enough_rows = design.ncols() - scaled.empty.len() <= group.most_rank();
        Ok(enough_rows && condition * self.rcond < near)
    }

    /// SPIR or FOSSILS on a linear operator: with no QR to fall back on, they bear deficient ranks themselves.
    fn iterate_by_products<T: Real>(
        &mut self,
        group: &Group<'_, '_, T>,
        sketched: SketchFactor,
        doubt: f64,
        heavy_ball: bool,
        rows: usize,
    ) -> Result<Outcome> {
        let d = group.design.ncols();
        let most = group.most_rank();
        let possible = d - sketched.scaled.empty.len();
        if possible <= most && doubt.is_finite() && doubt * self.rcond < 1.0 {
            return spir(group, sketched, Inner::of(heavy_ball, d, rows));
        }
        let empty = copied(&sketched.scaled.empty, "columns of zeros")?;
        match spir(group, sketched.truncated(self.rcond, most)?, Inner::of(heavy_ball, d, rows))? {
            Outcome::Factored(Factored { refined, scaled, condition }) if scaled.factor.rank() < possible => {
                let refined = shortened(group, refined, &scaled, None, &empty)?;
                Ok(Outcome::Factored(Factored { refined, scaled, condition }))
            }
            outcome => Ok(outcome),
        }
    }

    fn read_moments<T: Real>(&mut self, group: &Group<'_, '_, T>, precision: Precision) -> Result<Moments> {
        self.ledger.read(1);
        let moments =
            Moments::new(self.context, group.design, precision, copied(&self.powers, "powers of two")?)?;
        if moments.is_finite() {
            return Ok(moments);
        }
        // Entries far beyond those that were sampled, or entries that are not finite, which raise here.
        self.ledger.read(2);
        let largest = group.design.largest_in_columns(self.context)?;
        let power = |(j, &value): (usize, &f64)| group.design.equilibrating_power(j, value);
        self.powers = collected(largest.iter().enumerate().map(power), "powers of two")?;
        Moments::new(self.context, group.design, precision, copied(&self.powers, "powers of two")?)
    }

    /// Of the products of the whitened Gram matrix.
    fn whitened_precision(&self) -> Precision {
        let exact = if self.params.keep_factor { Precision::Double } else { Precision::Single };
        self.params.dtype_work.unwrap_or(exact)
    }

    /// True if the factor of a candidate is that of A to rounding.
    fn is_exact(&self, candidate: Candidate, condition: f64) -> bool {
        match candidate {
            Candidate::Gram(precision) => precision == Precision::Double && condition <= EXACT_GRAM,
            Candidate::Whitened { .. } | Candidate::Augmented { .. } => {
                self.whitened_precision() == Precision::Double
            }
            Candidate::Iterative { .. } | Candidate::Lsmr(_) => false,
            Candidate::Qr => true,
        }
    }

    /// Makes a factor that had no part in the answer, if one is wanted beside it.
    fn factor_apart<T: Real>(&mut self, group: &Group<'_, '_, T>, output: &mut Output) -> Result<()> {
        if output.inference.is_none() && output.forward.is_none() {
            return Ok(());
        }
        self.ledger.begin();
        let factored = qr(&Group { targets: &[], max_passes: 0, ..*group }, self.rcond)?;
        output.rank = Some(factored.rank());
        self.ledger.read(1);
        self.ledger.end(Candidate::Qr.describe());
        self.certify(group, &factored, output)?;
        self.keep(group, &factored.scaled, true, output)
    }

    /// Keeps the factor of one group, if it is wanted.
    fn keep<T: Real>(
        &mut self,
        group: &Group<'_, '_, T>,
        scaled: &Scaled,
        exact: bool,
        output: &mut Output,
    ) -> Result<()> {
        let Some(inference) = &mut output.inference else { return Ok(()) };
        self.ledger.begin();
        inference.keep(group, scaled, exact)?;
        if !exact {
            self.ledger.read(1);
            self.ledger.end("exact factor");
        }
        Ok(())
    }

    /// With nothing to fit, the rank is all there is to say.
    fn rank_alone<T: Real>(
        &mut self,
        design: &Design<'_, T>,
        ridge: &[f64],
        output: &mut Output,
    ) -> Result<()> {
        let group = Group {
            context: self.context,
            design,
            targets: &[],
            ridge: ridge.first().copied().unwrap_or(0.0),
            tolerance: self.tolerance,
            max_passes: 0,
        };
        self.ledger.explain("every target is zero".into());
        let factorless = matches!(self.candidates[0], Candidate::Lsmr(_)) && output.inference.is_none();
        if design.operator().is_some() || factorless {
            output.method = Method::Lsmr;
            return Ok(());
        }
        let factored = qr(&group, self.rcond)?;
        (output.rank, output.condition, output.method) =
            (Some(factored.rank()), factored.condition, Method::Qr);
        self.keep(&group, &factored.scaled, true, output)
    }
}

/// Up to this condition the Gram matrix in double precision knows the factor to nine digits.
const EXACT_GRAM: f64 = 3e3;

fn summary(refined: &Refined) -> String {
    let error = refined.backward_error.iter().fold(0.0f64, |m, &e| m.max(e));
    let passes = if refined.passes == 1 { "pass" } else { "passes" };
    format!("backward error {error:.1e} after {} {passes}", refined.passes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::driver::plan::Method;
    use crate::regression::testing::{Instance, assert_near, forms};

    #[test]
    fn every_method_gives_the_minimiser_in_the_units_of_the_caller() {
        let instance = Instance::new(400, 5);
        let methods = [
            Method::Auto,
            Method::Gram,
            Method::Whitened,
            Method::Spir,
            Method::Fossils,
            Method::Lsmr,
            Method::FgmresWlsir,
            Method::Qr,
        ];
        for (form, method) in forms().flat_map(|form| methods.map(|method| (form, method))) {
            let params = Params { method, certify: method != Method::Lsmr, ..Params::default() };
            let found = lstsq(&Context::new(2), &instance.problem(form, &[20.0, 0.5]), &params).unwrap();
            for (target, ridge) in [20.0, 0.5].into_iter().enumerate() {
                let expected = instance.minimiser(form, ridge);
                let what = format!("{form:?}, {}", method.name());
                let weight = |i: usize| if form.weighted { instance.weights[i] } else { 1.0 };
                let left = |i: usize| {
                    let fit: f64 = (0..5).map(|j| instance.a[(i, j)] * expected[(j, target)]).sum();
                    instance.b[(i, target)] - fit
                };
                let mean =
                    (0..400).map(|i| weight(i) * left(i)).sum::<f64>() / (0..400).map(weight).sum::<f64>();
                let constant = if form.fit_intercept { mean } else { 0.0 };
                let squares: f64 = (0..400).map(|i| weight(i) * (left(i) - constant).powi(2)).sum();
                assert_near(found.intercept[target], constant, &what);
                assert_near(found.residual_norm[target], squares.sqrt(), &what);
                for j in 0..5 {
                    assert_near(found.x[(j, target)], expected[(j, target)], &what);
                }
                if let Some(forward) = &found.forward {
                    let bounds = forward.coordinate_bound.col(target);
                    let errors = forward.error_estimate.col(target);
                    let holds = |(bound, error): (&f64, &f64)| error.abs() < *bound && *bound < 1e-9;
                    assert!(bounds.iter().zip(errors).all(holds), "{what}: {bounds:?}");
                }
            }
        }
    }
}
