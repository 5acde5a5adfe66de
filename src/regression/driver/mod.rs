//! The driver: from the caller's problem to answers with their certificates.

pub(crate) mod cost;
pub(crate) mod empty;
pub(crate) mod hint;
pub(crate) mod output;
pub(crate) mod plan;

use crate::certify::{LOOSENESS, floor_of};
use crate::error::{Error, Result};
use crate::linalg::LEAST;
use crate::linalg::Precision;
use crate::matrix::{Buffer, Real, Rows};
use crate::memory::{collected, copied, filled};
use crate::parallel::Context;
use crate::regression::bounds::forward::ForwardError;
use crate::regression::covariance::Inference;
use crate::regression::design::Design;
use crate::regression::design::products::check_adjoint;
use crate::regression::driver::cost::weights_cost_digits;
use crate::regression::driver::hint::Hint;
use crate::regression::driver::hint::hint;
use crate::regression::driver::output::Output;
use crate::regression::driver::output::Stage;
use crate::regression::driver::plan::Method;
use crate::regression::driver::plan::Params;
use crate::regression::driver::plan::Plan;
use crate::regression::driver::plan::Rung;
use crate::regression::driver::plan::wants_hint;
use crate::regression::methods::augmented::augmented;
use crate::regression::methods::gram::Moments;
use crate::regression::methods::gram::gram;
use crate::regression::methods::lsmr::PROBES;
use crate::regression::methods::lsmr::lsmr;
use crate::regression::methods::outcome::Outcome;
use crate::regression::methods::outcome::Unfactored;
use crate::regression::methods::qr::Factored;
use crate::regression::methods::qr::doubt;
use crate::regression::methods::qr::qr;
use crate::regression::methods::qr::shortened;
use crate::regression::methods::sketched::SketchFactor;
use crate::regression::methods::sketched::SketchPlan;
use crate::regression::methods::sketched::{Sketchable, sketched};
use crate::regression::methods::spir::Inner;
use crate::regression::methods::spir::spir;
use crate::regression::methods::whitened::WORST_SKETCH;
use crate::regression::methods::whitened::whitened;
use crate::regression::problem::Preconditioner;
use crate::regression::problem::Problem;
use crate::regression::problem::Source;
use crate::regression::refine::Group;
use crate::regression::refine::Refined;
use crate::regression::refine::Scaled;
use crate::regression::refine::groups;
use crate::simd::Element;
use std::time::Instant;

/// Least squares for every target.
pub fn lstsq<'a, T, M>(context: &Context, problem: &Problem<'a, T, M>, params: &Params) -> Result<Output>
where
    T: Real + Element + Sketchable,
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
    let start = Instant::now();
    let mut design = Design::new(context, problem)?;
    let mut driver = Driver::new(context, &mut design, params)?;
    driver.end_stage("plan", start, driver.reads);
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
        driver.explain(format!("{count} constant columns, the first of them column {first}, are left out"));
    }
    output.finish::<T>(&design)?;
    output.constant = copied(design.constant(), "constant columns")?;
    output.explanation = driver.explanation.join("; ");
    output.stages = driver.stages;
    context.progress(output.n_iter + 1, output.n_iter + 1, &[])?;
    Ok(output)
}

/// What stays the same for all groups of targets.
struct Driver<'p> {
    context: &'p Context<'p>,
    params: &'p Params,
    rungs: Vec<Rung>,
    /// Powers of two that bring the columns near one.
    powers: Vec<f64>,
    /// A'A in the precision last asked for.
    moments: Option<(Precision, Moments)>,
    tolerance: f64,
    rcond: f64,
    explanation: Vec<String>,
    stages: Vec<Stage>,
    /// Reads of A in the current stage, those of refinement apart.
    reads: usize,
}

impl<'p> Driver<'p> {
    fn new<T: Real + Element>(
        context: &'p Context<'p>,
        design: &mut Design<'_, T>,
        params: &'p Params,
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
            rungs: Vec::from([Rung::Qr]),
            powers: filled(1.0, d, "powers of two")?,
            moments: None,
            tolerance,
            rcond,
            explanation: Vec::new(),
            stages: Vec::new(),
            reads: 0,
        };
        if design.operator().is_some() {
            driver.follow(Plan::for_products(n, d, params)?);
            driver.reads += 2;
            check_adjoint(context, design)?;
            return Ok(driver);
        }
        let sampled = wants_hint(design, params).then(|| hint(context, design)).transpose()?;
        let is_zero = |(j, largest): (usize, &f64)| *largest == 0.0 && design.column_scale(j) != 0.0;
        let known =
            |hint: &Hint| !design.is_wild(&hint.largest) && !hint.largest.iter().enumerate().any(is_zero);
        let read;
        let largest = match &sampled {
            Some(hint) if known(hint) => &hint.largest,
            _ => {
                read = driver.read_largest(design)?;
                &read
            }
        };
        let power = |(j, &value): (usize, &f64)| design.taming_power(j, value * design.column_scale(j));
        driver.powers = collected(largest.iter().enumerate().map(power), "powers of two")?;
        driver.follow(Plan::for_rows(design, params, sampled.as_ref())?);
        Ok(driver)
    }

    fn follow(&mut self, plan: Plan) {
        self.rungs = plan.rungs;
        self.explanation = plan.reasons;
    }

    /// Largest magnitudes by one read of A, which also finds what is not finite.
    fn read_largest<T: Real + Element>(&mut self, design: &mut Design<'_, T>) -> Result<Buffer<f64>> {
        self.reads += 1;
        let largest = design.largest_in_columns(self.context)?;
        design.tame_columns(&largest)?;
        Ok(largest)
    }

    /// Climbs until the answers to the targets of one ridge are accepted.
    fn solve<T: Real + Element + Sketchable>(
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
        let rungs = self.rungs.clone();
        match self.climb(&group, &rungs, output) {
            Err(Error::Allocation { bytes, .. }) if self.spares_memory(design) => {
                self.explain(format!("no memory for {bytes} bytes more"));
                self.climb(&group, &[Rung::lsmr(self.params, design.nrows(), design.ncols())], output)
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
    fn spares_memory<T: Real + Element>(&self, design: &Design<'_, T>) -> bool {
        self.params.method == Method::Auto && design.sparse().is_some() && !self.is_factorless()
    }

    /// True if no factor is ever made.
    fn is_factorless(&self) -> bool {
        self.rungs.iter().all(|rung| matches!(rung, Rung::Lsmr(_)))
    }

    fn climb<T: Real + Element + Sketchable>(
        &mut self,
        group: &Group<'_, '_, T>,
        rungs: &[Rung],
        output: &mut Output,
    ) -> Result<()> {
        let design = group.design;
        let wanted = rungs[0].method();
        let mut sketch_size = None;
        for &rung in rungs {
            output.redraws += usize::from(rung.draw() > 0);
            let start = Instant::now();
            self.reads = 0;
            let outcome = self.attempt(group, rung, &mut sketch_size)?;
            let products = if design.operator().is_some() { 2 } else { 1 };
            self.end_stage(rung.describe(), start, self.reads + products * outcome.passes());
            let last = rungs.last() == Some(&rung);
            let clear = last || self.is_clear(group, &outcome)?;
            match outcome {
                Outcome::Refined(refined, scaled, condition) if last || refined.settled && clear => {
                    if rung.method() != wanted && self.params.method != Method::Auto {
                        output.fallback = match rung {
                            Rung::Qr => self.explanation.last().cloned(),
                            _ => Some(format!("{} gave way to {}", wanted.name(), rung.describe())),
                        };
                    }
                    let rank = scaled.factor.rank() - scaled.empty.len();
                    self.explain(format!("{}: rank {rank}, {}", rung.describe(), summary(&refined)));
                    let (method, refined) = match self.sharpened(group, rung, &refined, &scaled, condition)? {
                        Some(sharpened) => (Method::FgmresWlsir, sharpened),
                        None => (rung.method(), refined),
                    };
                    output.accept(group, method, refined, &scaled, condition, rank, sketch_size)?;
                    self.certify(group, &scaled, condition, output)?;
                    return self.keep(group, &scaled, self.is_exact(rung, condition), output);
                }
                Outcome::Unfactored(answers) if last || answers.refined.settled => {
                    self.explain(format!("lsmr: {}", summary(&answers.refined)));
                    if !answers.is_shortest {
                        self.explain("there may be shorter answers".into());
                    }
                    output.accept_unfactored(group, answers)?;
                    return self.factor_apart(group, output);
                }
                Outcome::Refined(refined, _, condition)
                | Outcome::Unfactored(Unfactored { refined, condition, .. }) => self.explain(format!(
                    "{}: {} at condition {condition:.1e}, not accepted",
                    rung.describe(),
                    summary(&refined)
                )),
                Outcome::Slow { made, needed } => self.explain(format!(
                    "{}: given up after {made} reads, as it would need {needed}",
                    rung.describe()
                )),
                Outcome::Inadmissible(condition) => self.explain(format!(
                    "{}: a factor of condition {condition:.1e} is not admissible",
                    rung.describe()
                )),
            }
        }
        Err(Error::Internal("the climb ended without an answer".into()))
    }

    /// Bounds the forward errors of accepted answers, if that is wanted.
    fn certify<T: Real + Element>(
        &mut self,
        group: &Group<'_, '_, T>,
        scaled: &Scaled,
        condition: f64,
        output: &mut Output,
    ) -> Result<()> {
        let Some(forward) = &mut output.forward else { return Ok(()) };
        let start = Instant::now();
        let reads = forward.measure(group, scaled, condition, &output.x, self.params.seed)?;
        self.end_stage("certify", start, reads);
        Ok(())
    }

    /// Accepted answers with the digits of x that the weights have cost, if that may be many and they can be had.
    fn sharpened<T: Real + Element>(
        &mut self,
        group: &Group<'_, '_, T>,
        rung: Rung,
        refined: &Refined,
        scaled: &Scaled,
        condition: f64,
    ) -> Result<Option<Refined>> {
        let spread = group.design.weight_spread();
        let full_rank = scaled.factor.rank() == scaled.factor.order();
        let by_products = group.design.operator().is_some();
        if self.params.method != Method::Auto
            || by_products
            || !full_rank
            || !weights_cost_digits(spread, condition)
        {
            return Ok(None);
        }
        self.explain(format!("weights that differ by {spread:.0e} cost digits at condition {condition:.1e}"));
        let start = Instant::now();
        let sharpened = augmented(group, refined, scaled, Preconditioner::Split)?;
        let rung = Rung::Augmented { draw: rung.draw(), preconditioner: Preconditioner::Split };
        self.reads = 0;
        self.end_stage(rung.describe(), start, self.reads + sharpened.passes - refined.passes);
        self.explain(format!("{}: {}", rung.describe(), summary(&sharpened)));
        Ok(sharpened.settled.then_some(sharpened))
    }

    #[expect(clippy::disallowed_methods, reason = "there are few stages")]
    fn end_stage(&mut self, name: &'static str, start: Instant, reads: usize) {
        self.stages.push(Stage { name, seconds: start.elapsed().as_secs_f64(), reads });
    }

    #[expect(clippy::disallowed_methods, reason = "a sentence for each of a few rungs")]
    fn explain(&mut self, sentence: String) {
        self.explanation.push(sentence);
    }

    fn attempt<T: Real + Element + Sketchable>(
        &mut self,
        group: &Group<'_, '_, T>,
        rung: Rung,
        sketch_size: &mut Option<usize>,
    ) -> Result<Outcome> {
        match rung {
            Rung::Gram(precision) => {
                if self.moments.as_ref().is_none_or(|(made, _)| *made != precision) {
                    self.moments = Some((precision, self.read_moments(group, precision)?));
                }
                match &self.moments {
                    Some((_, moments)) => gram(group, moments, precision.limit()),
                    None => Ok(Outcome::Inadmissible(f64::NAN)),
                }
            }
            Rung::Whitened { .. } | Rung::Iterative { .. } | Rung::Augmented { .. } => {
                self.attempt_sketched(group, rung, sketch_size)
            }
            Rung::Lsmr(patience) => {
                self.reads += if group.design.operator().is_some() { PROBES } else { 0 };
                lsmr(group, patience, self.params.seed)
            }
            Rung::Qr => {
                self.reads += 1;
                *sketch_size = None;
                let Factored { refined, scaled, condition, .. } = qr(group, self.rcond)?;
                Ok(Outcome::Refined(refined, scaled, condition))
            }
        }
    }

    /// The rungs that begin with a sketch.
    fn attempt_sketched<T: Real + Element + Sketchable>(
        &mut self,
        group: &Group<'_, '_, T>,
        rung: Rung,
        sketch_size: &mut Option<usize>,
    ) -> Result<Outcome> {
        let plan = rung.sketch(group.design, self.params);
        *sketch_size = Some(plan.rows);
        let (sketched, doubt) = match rung {
            Rung::Augmented { preconditioner: Preconditioner::Left, .. } => {
                let unweighted = group.design.unweighted()?;
                self.sketched(&Group { design: &unweighted, ..*group }, plan)?
            }
            _ => self.sketched(group, plan)?,
        };
        if let (Some(_), Rung::Iterative { heavy_ball, .. }) = (group.design.operator(), rung) {
            self.reads += group.design.ncols();
            return self.iterate_by_products(group, sketched, doubt, heavy_ball, plan.rows);
        }
        self.reads += 1;
        if !self.is_far_from_deficient(group, &sketched.scaled, doubt)? {
            if !sketched.x.as_slice().iter().all(|v| v.is_finite()) {
                group.design.largest_in_columns(self.context)?;
            }
            return Ok(Outcome::Inadmissible(sketched.condition));
        }
        if let Rung::Iterative { heavy_ball, .. } = rung {
            return spir(group, sketched, Inner::of(heavy_ball, group.design.ncols(), plan.rows));
        }
        self.reads += 1;
        let worst = match rung {
            Rung::Augmented { preconditioner: Preconditioner::Left, .. } => Precision::Single.limit(),
            _ => WORST_SKETCH,
        };
        let outcome = whitened(group, sketched, self.whitened_precision(), worst)?;
        match (rung, outcome) {
            (Rung::Augmented { preconditioner, .. }, Outcome::Refined(start, scaled, condition)) => {
                let refined = augmented(group, &start, &scaled, preconditioner)?;
                Ok(Outcome::Refined(refined, scaled, condition))
            }
            (_, outcome) => Ok(outcome),
        }
    }

    /// A sketch, and the condition by which its factor is judged.
    fn sketched<T: Real + Element + Sketchable>(
        &self,
        group: &Group<'_, '_, T>,
        plan: SketchPlan,
    ) -> Result<(SketchFactor, f64)> {
        let sketched = sketched(group, plan)?;
        let doubt = doubt(group.design, &sketched.scaled, || Ok(sketched.condition), self.rcond)?;
        Ok((sketched, doubt))
    }

    /// True if the factor that an answer was had with shows that the columns are independent.
    fn is_clear<T: Real + Element>(&self, group: &Group<'_, '_, T>, outcome: &Outcome) -> Result<bool> {
        match outcome {
            Outcome::Refined(_, scaled, condition) => {
                let doubt = doubt(group.design, scaled, || Ok(*condition), self.rcond)?;
                self.is_far_from_deficient(group, scaled, doubt)
            }
            _ => Ok(true),
        }
    }

    /// Sums of n terms are rounded to more than the cut-off, by the root of n, and so are centred entries: nearer to it,
    /// QR and the SVD decide.
    fn is_far_from_deficient<T: Real + Element>(
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
    fn iterate_by_products<T: Real + Element>(
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
            Outcome::Refined(refined, scaled, condition) if scaled.factor.rank() < possible => {
                let refined = shortened(group, refined, &scaled, None, &empty)?;
                Ok(Outcome::Refined(refined, scaled, condition))
            }
            outcome => Ok(outcome),
        }
    }

    fn read_moments<T: Real + Element>(
        &mut self,
        group: &Group<'_, '_, T>,
        precision: Precision,
    ) -> Result<Moments> {
        self.reads += 1;
        let moments =
            Moments::new(self.context, group.design, precision, copied(&self.powers, "powers of two")?)?;
        if moments.is_finite() {
            return Ok(moments);
        }
        // Entries far beyond those that were sampled, or entries that are not finite, which raise here.
        self.reads += 2;
        let largest = group.design.largest_in_columns(self.context)?;
        let power = |(j, &value): (usize, &f64)| group.design.taming_power(j, value);
        self.powers = collected(largest.iter().enumerate().map(power), "powers of two")?;
        Moments::new(self.context, group.design, precision, copied(&self.powers, "powers of two")?)
    }

    /// Of the products of the whitened Gram matrix.
    fn whitened_precision(&self) -> Precision {
        let exact = if self.params.keep_factor { Precision::Double } else { Precision::Single };
        self.params.dtype_work.unwrap_or(exact)
    }

    /// True if the factor of a rung is that of A to rounding.
    fn is_exact(&self, rung: Rung, condition: f64) -> bool {
        match rung {
            Rung::Gram(precision) => precision == Precision::Double && condition <= EXACT_GRAM,
            Rung::Whitened { .. } | Rung::Augmented { .. } => self.whitened_precision() == Precision::Double,
            Rung::Iterative { .. } | Rung::Lsmr(_) => false,
            Rung::Qr => true,
        }
    }

    /// Makes a factor that had no part in the answer, if one is wanted beside it.
    fn factor_apart<T: Real + Element>(
        &mut self,
        group: &Group<'_, '_, T>,
        output: &mut Output,
    ) -> Result<()> {
        if output.inference.is_none() && output.forward.is_none() {
            return Ok(());
        }
        let start = Instant::now();
        let Factored { scaled, rank, condition, .. } =
            qr(&Group { targets: &[], max_passes: 0, ..*group }, self.rcond)?;
        output.rank = Some(rank);
        self.reads = 1;
        self.end_stage(Rung::Qr.describe(), start, self.reads);
        self.certify(group, &scaled, condition, output)?;
        self.keep(group, &scaled, true, output)
    }

    /// Keeps the factor of one group, if it is wanted.
    fn keep<T: Real + Element>(
        &mut self,
        group: &Group<'_, '_, T>,
        scaled: &Scaled,
        exact: bool,
        output: &mut Output,
    ) -> Result<()> {
        let Some(inference) = &mut output.inference else { return Ok(()) };
        let start = Instant::now();
        inference.keep(group, scaled, exact)?;
        if !exact {
            self.end_stage("exact factor", start, 1);
        }
        Ok(())
    }

    /// With nothing to fit, the rank is all there is to say.
    fn rank_alone<T: Real + Element>(
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
        self.explain("every target is zero".into());
        let factorless = matches!(self.rungs[0], Rung::Lsmr(_)) && output.inference.is_none();
        if design.operator().is_some() || factorless {
            output.method = Method::Lsmr;
            return Ok(());
        }
        let factored = qr(&group, self.rcond)?;
        (output.rank, output.condition, output.method) =
            (Some(factored.rank), factored.condition, Method::Qr);
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
