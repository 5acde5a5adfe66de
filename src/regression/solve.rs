//! The driver: from the caller's problem to answers with their certificates.

use super::augmented::{Preconditioner, augmented};
use super::auto::{Costs, Hint, SPIR_PASSES, costs, hint, weights_cost_digits};
use super::covariance::Inference;
use super::design::{Design, Problem, Source};
use super::forward::ForwardError;
use super::ladder::{self, Moments, Outcome, Precision, SketchPlan, Sketched, WORST_SKETCH};
use super::lsmr::{PROBES, Patience, Unfactored, lsmr};
use super::qr::{Factored, RCOND, qr, shortened};
use super::refine::{Group, Refined, Scaled};
use super::spir::{Inner, spir};
use crate::certify::{backward_error_of_change, norm};
use crate::error::{Error, Result};
use crate::linalg::power_of_two_below;
use crate::matrix::{Mat, Real, Rows};
use crate::parallel::Context;
use crate::simd::Element;
use crate::sketch::Kind;
use std::time::Instant;

/// How the problem is to be solved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// The cheapest that the conditioning allows.
    #[default]
    Auto,
    /// Cholesky factor of A'A in single, then double precision.
    Gram,
    /// Cholesky factor of the sketch-whitened A.
    Whitened,
    /// Sketched preconditioned conjugate gradients with refinement.
    Spir,
    /// Sketched heavy-ball iteration with refinement.
    Fossils,
    /// LSMR: no factor, no sketch.
    Lsmr,
    /// Refinement of the augmented system by FGMRES.
    FgmresWlsir,
    /// Tall-skinny Householder QR.
    Qr,
}

impl Method {
    /// The name that users type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Gram => "gram",
            Self::Whitened => "whitened",
            Self::Spir => "spir",
            Self::Fossils => "fossils",
            Self::Lsmr => "lsmr",
            Self::FgmresWlsir => "fgmres_wlsir",
            Self::Qr => "qr",
        }
    }
}

/// Everything but the problem.
#[derive(Clone, Debug, Default)]
pub struct Params {
    /// How to solve.
    pub method: Method,
    /// Singular values of the column-scaled A below this times the largest count as zero; `None`: 30 u.
    pub rcond: Option<f64>,
    /// Kind of sketch; `None`: sparse signs, eight to a column.
    pub sketch: Option<Kind>,
    /// Rows of the sketch; `None`: by the method.
    pub sketch_size: Option<usize>,
    /// Backward error relative to |A|_F to be reached; `None`: the unit roundoff of the element type.
    pub tolerance: Option<f64>,
    /// Most reads of A in one refinement; `None`: 7.
    pub max_iter: Option<usize>,
    /// Of every random choice.
    pub seed: u64,
    /// Keep the factor, exact to rounding, for covariances of the coefficients; may take one more read of A.
    pub keep_factor: bool,
    /// For [`Method::FgmresWlsir`]; `None`: the one that bears any weights.
    pub preconditioner: Option<Preconditioner>,
    /// Bound the distance of every coefficient from the minimiser's.
    pub certify: bool,
}

/// Answers and what is known of them.
pub struct Output {
    /// d x k.
    pub x: Mat<f64>,
    /// The constants of the fits, zeros without an intercept.
    pub intercept: Vec<f64>,
    /// |W^(1/2) (b - A x)| of every target.
    pub residual_norm: Vec<f64>,
    /// Numerical rank of the (centred, weighted) A; `None` where no factor told it.
    pub rank: Option<usize>,
    /// The method whose answer this is.
    pub method: Method,
    /// Refinements, or inner iterations, of the method whose answer this is.
    pub n_iter: usize,
    /// Rows of the sketch, if there was one.
    pub sketch_size: Option<usize>,
    /// Estimated backward error of every answer, relative to |A|_F, columns of A scaled to norm one.
    pub backward_error: Vec<f64>,
    /// Bound on the true backward error.
    pub backward_error_bound: Vec<f64>,
    /// Condition estimate of A with columns of norm one.
    pub condition: f64,
    /// The backward error that was asked for.
    pub target: f64,
    /// What was tried and why.
    pub explanation: String,
    /// What was done, in order.
    pub stages: Vec<Stage>,
    /// Why the method asked for is not the method used, if so.
    pub fallback: Option<String>,
    /// False if no method reached the target and the last answer is given all the same.
    pub settled: bool,
    /// Sketches drawn after the first.
    pub redraws: usize,
    /// What covariances are made of, if the factor was to be kept.
    pub inference: Option<Inference>,
    /// How far the answers are from the minimisers, if that was to be bounded.
    pub forward: Option<ForwardError>,
}

/// Something done on the way to the answer.
#[derive(Clone, Debug)]
pub struct Stage {
    /// What.
    pub name: &'static str,
    /// Wall time.
    pub seconds: f64,
    /// Reads of the whole of A; of a linear operator, products with it and its transpose.
    pub reads: usize,
}

/// Least squares for every target.
pub fn lstsq<'a, T, M>(context: &Context, problem: &Problem<'a, T, M>, params: &Params) -> Result<Output>
where
    T: Real + Element + ladder::Sketchable,
    M: Copy + Into<Source<'a, T>>,
{
    let source: Source<'a, T> = problem.design.into();
    let (n, d, k) = (source.nrows(), source.ncols(), problem.targets.ncols());
    if n == 0 || d == 0 {
        return Err(Error::shape("A", format!("shape ({n}, {d})"), "at least one row and one column"));
    }
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
    let start = Instant::now();
    let mut design = Design::new(context, problem)?;
    let mut driver = Driver::new(context, &mut design, params)?;
    driver.stages.push(Stage { name: "plan", seconds: start.elapsed().as_secs_f64(), reads: driver.reads });
    let mut output = Output::empty::<T>(d, k, params)?;
    output.inference = params.keep_factor.then(|| Inference::of(&design));
    output.forward = params.certify.then(|| ForwardError::none(d, k)).transpose()?;
    for (ridge, targets) in groups(&design, problem.ridge) {
        driver.solve(&design, &targets, ridge, &mut output)?;
    }
    if output.backward_error.is_empty() || (0..k).all(|target| design.target_norm(target) == 0.0) {
        driver.rank_alone(&design, &mut output)?;
    }
    output.finish::<T>(&design);
    output.explanation = driver.explanation.join("; ");
    output.stages = driver.stages;
    context.progress(output.n_iter + 1, output.n_iter + 1, &[])?;
    Ok(output)
}

/// Targets of one ridge each; targets of norm zero have the answer zero already.
pub(crate) fn groups<T: Real + Element>(design: &Design<'_, T>, ridge: &[f64]) -> Vec<(f64, Vec<usize>)> {
    let mut groups: Vec<(f64, Vec<usize>)> = Vec::new();
    for target in (0..design.ntargets()).filter(|&target| design.target_norm(target) > 0.0) {
        let ridge = if ridge.len() == 1 { ridge[0] } else { ridge[target] };
        match groups.iter_mut().find(|(other, _)| *other == ridge) {
            Some((_, targets)) => targets.push(target),
            None => groups.push((ridge, vec![target])),
        }
    }
    groups
}

/// One step of the climb.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Rung {
    Gram(Precision),
    Whitened { draw: u32 },
    Iterative { draw: u32, heavy_ball: bool },
    Lsmr(Patience),
    Augmented { draw: u32, preconditioner: Preconditioner },
    Qr,
}

impl Rung {
    fn method(self) -> Method {
        match self {
            Self::Gram(_) => Method::Gram,
            Self::Whitened { .. } => Method::Whitened,
            Self::Iterative { heavy_ball: false, .. } => Method::Spir,
            Self::Iterative { heavy_ball: true, .. } => Method::Fossils,
            Self::Lsmr(_) => Method::Lsmr,
            Self::Augmented { .. } => Method::FgmresWlsir,
            Self::Qr => Method::Qr,
        }
    }

    /// A sketch, and another one should it fail.
    fn iterative(heavy_ball: bool) -> [Self; 2] {
        [0, 1].map(|draw| Self::Iterative { draw, heavy_ball })
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Gram(Precision::Single) => "gram (single precision)",
            Self::Gram(Precision::Double) => "gram (double precision)",
            Self::Augmented { preconditioner: Preconditioner::Split, .. } => "fgmres_wlsir (split)",
            Self::Augmented { preconditioner: Preconditioner::Left, .. } => "fgmres_wlsir (left)",
            _ => self.method().name(),
        }
    }

    /// Number of the draw of its sketch.
    fn draw(self) -> u32 {
        match self {
            Self::Whitened { draw } | Self::Iterative { draw, .. } | Self::Augmented { draw, .. } => draw,
            Self::Gram(_) | Self::Lsmr(_) | Self::Qr => 0,
        }
    }
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
        let tolerance = params.tolerance.unwrap_or(T::UNIT_ROUNDOFF);
        let rcond = params.rcond.unwrap_or(RCOND);
        let mut driver = Self {
            context,
            params,
            rungs: vec![Rung::Qr],
            powers: vec![1.0; d],
            moments: None,
            tolerance,
            rcond,
            explanation: Vec::new(),
            stages: Vec::new(),
            reads: 0,
        };
        if design.operator().is_some() {
            driver.plan_for_products(n, d)?;
            return Ok(driver);
        }
        let wants_gram = matches!(params.method, Method::Auto | Method::Gram);
        let square = n < 4 * d || n * d <= SMALL;
        if square && params.method == Method::Auto {
            driver.explanation.push(format!("{n} x {d} is too small or too square for anything but QR"));
        }
        let sampled = if wants_gram && !square { Some(hint(context, design)?) } else { None };
        let tame = |largest: &f64| *largest != 0.0 && (1e-100..=1e100).contains(largest);
        let largest = match &sampled {
            Some(hint) if hint.largest.iter().all(tame) => hint.largest.clone(),
            _ => driver.read_largest(design)?,
        };
        driver.powers = largest
            .iter()
            .enumerate()
            .map(|(j, &value)| power_of_two_below(value * design.column_scale(j)).recip())
            .collect();
        driver.plan(design, square, sampled.as_ref());
        Ok(driver)
    }

    /// Largest magnitudes by one read of A, which also finds what is not finite.
    fn read_largest<T: Real + Element>(&mut self, design: &mut Design<'_, T>) -> Result<Vec<f64>> {
        self.reads += 1;
        let largest = design.largest_in_columns(self.context)?;
        design.tame_columns(&largest);
        Ok(largest)
    }

    /// The rungs in the order in which they are tried.
    fn plan<T: Real + Element>(&mut self, design: &Design<'_, T>, square: bool, hint: Option<&Hint>) {
        let stored = design.sparse().map(|(matrix, _)| matrix.nnz());
        let single = if self.params.keep_factor { 0.0 } else { 300.0 };
        let limits = [(Precision::Single, single), (Precision::Double, Precision::Double.limit())];
        let gram = |condition: f64| {
            limits.into_iter().filter(move |&(_, limit)| condition <= limit).map(|(p, _)| Rung::Gram(p))
        };
        let whitened = [Rung::Whitened { draw: 0 }, Rung::Whitened { draw: 1 }];
        let iterative = Rung::iterative;
        let augmented = |preconditioner| [0, 1].map(|draw| Rung::Augmented { draw, preconditioner });
        let condition = hint.map_or(f64::INFINITY, |hint| hint.condition);
        let mut rungs: Vec<Rung> = match self.params.method {
            Method::Qr => vec![],
            Method::Whitened => whitened.to_vec(),
            Method::Spir => iterative(false).to_vec(),
            Method::Fossils => iterative(true).to_vec(),
            Method::Lsmr => vec![self.lsmr(design.nrows(), design.ncols())],
            Method::FgmresWlsir => {
                augmented(self.params.preconditioner.unwrap_or(Preconditioner::Split)).to_vec()
            }
            Method::Gram if square => vec![Rung::Gram(Precision::Double)],
            Method::Gram => {
                gram(condition).chain([Rung::Gram(Precision::Double)]).take(2).chain(whitened).collect()
            }
            Method::Auto if square => vec![],
            Method::Auto => {
                let costs = costs(design.nrows(), design.ncols(), stored);
                self.explain(&costs, hint);
                let robust = [whitened, iterative(false), [Rung::Qr; 2]];
                let of = |rungs: &[Rung; 2]| costs.of(rungs[0]);
                let cheapest = robust.into_iter().min_by(|left, right| of(left).total_cmp(&of(right)));
                let cheapest = cheapest.unwrap_or([Rung::Qr; 2]);
                gram(condition).filter(|&rung| costs.of(rung) < of(&cheapest)).chain(cheapest).collect()
            }
        };
        rungs.push(Rung::Qr);
        rungs.dedup();
        self.rungs = rungs;
    }

    /// The rungs for a linear operator. There is no QR to end with: the last answer is taken as it is.
    fn plan_for_products(&mut self, n: usize, d: usize) -> Result<()> {
        if self.params.certify {
            return Err(Error::value("certify", "true for a linear operator", "false, or `A` as an array"));
        }
        let few = Patience { reads: d / LSMR_SHARE, foresees: true };
        self.rungs = match self.params.method {
            Method::Auto if d > LARGEST_FACTOR => vec![self.lsmr(n, d)],
            Method::Auto if few.reads >= FEWEST_READS => {
                [Rung::Lsmr(few)].into_iter().chain(Rung::iterative(false)).collect()
            }
            Method::Auto | Method::Spir => Rung::iterative(false).to_vec(),
            Method::Fossils => Rung::iterative(true).to_vec(),
            Method::Lsmr => vec![self.lsmr(n, d)],
            Method::Gram | Method::Whitened | Method::FgmresWlsir | Method::Qr => {
                return Err(Error::value(
                    "method",
                    format!("'{}' for a linear operator", self.params.method.name()),
                    "one that asks for products only, 'auto', 'spir', 'fossils' or 'lsmr', or `A` as an array",
                ));
            }
        };
        if self.params.method == Method::Auto {
            self.explanation.push(match self.rungs[0] {
                Rung::Lsmr(Patience { foresees: false, .. }) => {
                    format!("{d} columns are too many to factor a sketch")
                }
                Rung::Lsmr(few) => format!(
                    "a sketch takes {d} products and about {} more: lsmr is worth up to {} iterations",
                    2.0 * SPIR_PASSES,
                    few.reads
                ),
                _ => format!("a sketch takes {d} products, which is little"),
            });
        }
        Ok(())
    }

    /// LSMR for as long as it may take.
    fn lsmr(&self, n: usize, d: usize) -> Rung {
        let reads = self.params.max_iter.unwrap_or(10 * n.min(d) + 100);
        Rung::Lsmr(Patience { reads, foresees: false })
    }

    fn explain(&mut self, costs: &Costs, hint: Option<&Hint>) {
        if let Some(hint) = hint {
            let condition = match hint.condition.is_finite() {
                true => format!("about {:.1e}", hint.condition),
                false => "beyond 1e8".into(),
            };
            self.explanation.push(format!("condition {condition} by {} sampled rows", hint.rows));
        }
        self.explanation.push(format!(
            "predicted seconds: gram {} (single) or {} (double), whitened {}, spir {}, qr {}",
            Seconds(costs.gram_single),
            Seconds(costs.gram_double),
            Seconds(costs.whitened),
            Seconds(costs.spir),
            Seconds(costs.qr)
        ));
    }

    /// Climbs until the answers to the targets of one ridge are accepted.
    fn solve<T: Real + Element + ladder::Sketchable>(
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
        let wanted = self.rungs[0].method();
        let mut sketch_size = None;
        for rung in self.rungs.clone() {
            output.redraws += usize::from(rung.draw() > 0);
            let start = Instant::now();
            self.reads = 0;
            let outcome = self.attempt(&group, rung, &mut sketch_size)?;
            let products = if design.operator().is_some() { 2 } else { 1 };
            self.end_stage(rung, start, products * outcome.passes());
            let last = self.rungs.last() == Some(&rung);
            match outcome {
                Outcome::Refined(refined, scaled, condition)
                    if last || refined.settled && condition * self.rcond < 1.0 =>
                {
                    if rung.method() != wanted && self.params.method != Method::Auto {
                        output.fallback = match rung {
                            Rung::Qr => self.explanation.last().cloned(),
                            _ => Some(format!("{} gave way to {}", wanted.name(), rung.describe())),
                        };
                    }
                    let rank = scaled.factor.rank() - scaled.empty.len();
                    self.explanation.push(format!("{}: rank {rank}, {}", rung.describe(), summary(&refined)));
                    let (method, refined) =
                        match self.sharpened(&group, rung, &refined, &scaled, condition)? {
                            Some(sharpened) => (Method::FgmresWlsir, sharpened),
                            None => (rung.method(), refined),
                        };
                    output.settled &= refined.settled || rung == Rung::Qr;
                    output.accept(&group, method, refined, &scaled, condition, rank, sketch_size);
                    self.certify(&group, &scaled, condition, output)?;
                    return self.keep(&group, &scaled, self.is_exact(rung, condition), output);
                }
                Outcome::Unfactored(answers) if last || answers.refined.settled => {
                    self.explanation.push(format!("lsmr: {}", summary(&answers.refined)));
                    output.settled &= answers.refined.settled;
                    output.accept_unfactored(&group, answers);
                    return self.factor_apart(&group, output);
                }
                Outcome::Refined(refined, _, condition)
                | Outcome::Unfactored(Unfactored { refined, condition, .. }) => {
                    self.explanation.push(format!(
                        "{}: {} at condition {condition:.1e}, not accepted",
                        rung.describe(),
                        summary(&refined)
                    ))
                }
                Outcome::Slow { made, needed } => self.explanation.push(format!(
                    "{}: given up after {made} reads, as it would need {needed}",
                    rung.describe()
                )),
                Outcome::Inadmissible(condition) => self.explanation.push(format!(
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
        self.stages.push(Stage { name: "certify", seconds: start.elapsed().as_secs_f64(), reads });
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
        self.explanation
            .push(format!("weights that differ by {spread:.0e} cost digits at condition {condition:.1e}"));
        let start = Instant::now();
        let sharpened = augmented(group, refined, scaled, Preconditioner::Split)?;
        let rung = Rung::Augmented { draw: rung.draw(), preconditioner: Preconditioner::Split };
        self.reads = 0;
        self.end_stage(rung, start, sharpened.passes - refined.passes);
        self.explanation.push(format!("{}: {}", rung.describe(), summary(&sharpened)));
        Ok(sharpened.settled.then_some(sharpened))
    }

    fn end_stage(&mut self, rung: Rung, start: Instant, passes: usize) {
        let (name, seconds) = (rung.describe(), start.elapsed().as_secs_f64());
        self.stages.push(Stage { name, seconds, reads: self.reads + passes });
    }

    fn attempt<T: Real + Element + ladder::Sketchable>(
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
                    Some((_, moments)) => ladder::gram(group, moments, precision.limit()),
                    None => Ok(Outcome::Inadmissible(f64::NAN)),
                }
            }
            Rung::Whitened { draw } | Rung::Iterative { draw, .. } | Rung::Augmented { draw, .. } => {
                let plan = self.sketch_plan(group, rung, draw);
                *sketch_size = Some(plan.rows);
                let sketched = match rung {
                    Rung::Augmented { preconditioner: Preconditioner::Left, .. } => {
                        let unweighted = group.design.unweighted();
                        ladder::sketched(&Group { design: &unweighted, ..*group }, plan)?
                    }
                    _ => ladder::sketched(group, plan)?,
                };
                if let (Some(_), Rung::Iterative { heavy_ball, .. }) = (group.design.operator(), rung) {
                    self.reads += group.design.ncols();
                    return self.iterate_by_products(group, sketched, heavy_ball, plan.rows);
                }
                self.reads += 1;
                if sketched.condition.is_nan() || sketched.condition * self.rcond >= 1.0 {
                    if !sketched.x.as_slice().iter().all(|v| v.is_finite()) {
                        group.design.largest_in_columns(self.context)?;
                    }
                    return Ok(Outcome::Inadmissible(sketched.condition));
                }
                match rung {
                    Rung::Iterative { heavy_ball, .. } => {
                        spir(group, sketched, Inner::of(heavy_ball, group.design.ncols(), plan.rows))
                    }
                    Rung::Augmented { preconditioner, .. } => {
                        let worst = match preconditioner {
                            Preconditioner::Split => WORST_SKETCH,
                            Preconditioner::Left => Precision::Single.limit(),
                        };
                        self.reads += 1;
                        match ladder::whitened(group, sketched, self.whitened_precision(), worst)? {
                            Outcome::Refined(start, scaled, condition) => {
                                let refined = augmented(group, &start, &scaled, preconditioner)?;
                                Ok(Outcome::Refined(refined, scaled, condition))
                            }
                            inadmissible => Ok(inadmissible),
                        }
                    }
                    _ => {
                        self.reads += 1;
                        ladder::whitened(group, sketched, self.whitened_precision(), WORST_SKETCH)
                    }
                }
            }
            Rung::Lsmr(patience) => {
                self.reads += if group.design.operator().is_some() { PROBES } else { 0 };
                lsmr(group, patience)
            }
            Rung::Qr => {
                self.reads += 1;
                *sketch_size = None;
                let Factored { refined, scaled, condition, .. } = qr(group, self.rcond)?;
                Ok(Outcome::Refined(refined, scaled, condition))
            }
        }
    }

    /// SPIR or FOSSILS on a linear operator: with no QR to fall back on, they bear deficient ranks themselves.
    fn iterate_by_products<T: Real + Element>(
        &mut self,
        group: &Group<'_, '_, T>,
        sketched: Sketched,
        heavy_ball: bool,
        rows: usize,
    ) -> Result<Outcome> {
        let d = group.design.ncols();
        let deficient = sketched.condition.is_nan() || sketched.condition * self.rcond >= 1.0;
        let sketched = if deficient { sketched.truncated(self.rcond)? } else { sketched };
        let outcome = spir(group, sketched, Inner::of(heavy_ball, d, rows))?;
        match outcome {
            Outcome::Refined(refined, scaled, condition) if scaled.factor.rank() < d => {
                let refined = shortened(group, refined, &scaled, None, &scaled.empty)?;
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
        let moments = Moments::new(self.context, group.design, precision, self.powers.clone())?;
        if moments.is_finite() {
            return Ok(moments);
        }
        // Entries far beyond those that were sampled, or entries that are not finite, which raise here.
        self.reads += 2;
        let largest = group.design.largest_in_columns(self.context)?;
        self.powers = largest.iter().map(|&value| power_of_two_below(value).recip()).collect();
        Moments::new(self.context, group.design, precision, self.powers.clone())
    }

    /// Of the products of the whitened Gram matrix.
    fn whitened_precision(&self) -> Precision {
        if self.params.keep_factor { Precision::Double } else { Precision::Single }
    }

    /// True if the factor of a rung is that of A to rounding.
    fn is_exact(&self, rung: Rung, condition: f64) -> bool {
        match rung {
            Rung::Gram(precision) => precision == Precision::Double && condition <= EXACT_GRAM,
            Rung::Whitened { .. } | Rung::Augmented { .. } => self.params.keep_factor,
            Rung::Iterative { .. } | Rung::Lsmr(_) => false,
            Rung::Qr => true,
        }
    }

    /// m = 2 d suffices where the whole Gram matrix follows; iterations want a better embedding.
    fn sketch_plan<T: Real + Element>(&self, group: &Group<'_, '_, T>, rung: Rung, draw: u32) -> SketchPlan {
        let (n, d) = (group.design.nrows(), group.design.ncols());
        let kind = self.params.sketch.unwrap_or(Kind::SparseSign { zeta: 8 });
        let ratio = match rung {
            Rung::Whitened { .. } | Rung::Augmented { .. } => 2,
            _ if group.design.sparse().is_some() || n < 40 * d => 4,
            _ => 12,
        };
        let rows = self.params.sketch_size.unwrap_or_else(|| (ratio * d).max(d + 32).next_multiple_of(8));
        SketchPlan { kind, rows: rows << draw.min(1), seed: self.params.seed, draw }
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
        self.end_stage(Rung::Qr, start, 0);
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
            let seconds = start.elapsed().as_secs_f64();
            self.stages.push(Stage { name: "exact factor", seconds, reads: 1 });
        }
        Ok(())
    }

    /// With nothing to fit, the rank is all there is to say.
    fn rank_alone<T: Real + Element>(&mut self, design: &Design<'_, T>, output: &mut Output) -> Result<()> {
        let group = Group {
            context: self.context,
            design,
            targets: &[],
            ridge: 0.0,
            tolerance: self.tolerance,
            max_passes: 0,
        };
        self.explanation.push("every target is zero".into());
        if design.operator().is_some() {
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

/// LSMR is tried for 1 / 20 of the products that a sketch of a linear operator takes: products with many vectors at
/// once cost less.
const LSMR_SHARE: usize = 20;
/// With fewer iterations LSMR has no chance.
const FEWEST_READS: usize = 10;
/// Columns from which on a factor of a sketch takes more memory (12 GB) and time than one would want.
const LARGEST_FACTOR: usize = 20_000;

/// Up to this many entries, QR is as fast as anything.
const SMALL: usize = 1 << 14;

impl Costs {
    fn of(&self, rung: Rung) -> f64 {
        match rung {
            Rung::Gram(Precision::Single) => self.gram_single,
            Rung::Gram(Precision::Double) => self.gram_double,
            Rung::Whitened { .. } | Rung::Augmented { .. } => self.whitened,
            Rung::Iterative { .. } => self.spir,
            // Nothing tells how many iterations there will be: never the cheapest.
            Rung::Lsmr(_) => f64::INFINITY,
            Rung::Qr => self.qr,
        }
    }
}

/// Seconds with two significant digits.
struct Seconds(f64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = (1 - self.0.max(1e-6).log10().floor() as i32).max(0) as usize;
        write!(f, "{:.digits$}", self.0)
    }
}

fn summary(refined: &Refined) -> String {
    let error = refined.backward_error.iter().fold(0.0f64, |m, &e| m.max(e));
    format!("backward error {error:.1e} after {} reads", refined.passes)
}

impl Output {
    fn empty<T: Real>(d: usize, k: usize, params: &Params) -> Result<Self> {
        Ok(Self {
            x: Mat::zeros(d, k)?,
            intercept: vec![0.0; k],
            residual_norm: vec![0.0; k],
            rank: None,
            method: params.method,
            n_iter: 0,
            sketch_size: None,
            backward_error: vec![0.0; k],
            backward_error_bound: vec![0.0; k],
            condition: 1.0,
            target: params.tolerance.unwrap_or(T::UNIT_ROUNDOFF),
            explanation: String::new(),
            stages: Vec::new(),
            fallback: None,
            settled: true,
            redraws: 0,
            inference: None,
            forward: None,
        })
    }

    /// Takes over the answers of one group and what a factor of A tells of their errors.
    fn accept<T: Real + Element>(
        &mut self,
        group: &Group<'_, '_, T>,
        method: Method,
        refined: Refined,
        scaled: &Scaled,
        condition: f64,
        rank: usize,
        sketch_size: Option<usize>,
    ) {
        self.take(group, &refined, &scaled.scale);
        // The estimate is within sqrt(2) of the truth for an exact factor; the factor is off by the rate.
        let looseness = 2f64.sqrt() / (1.0 - refined.rate.clamp(0.0, 0.5));
        for (position, &target) in group.targets.iter().enumerate() {
            let rounding = self.round::<T>(group, target, refined.x.col(position), scaled);
            self.backward_error[target] = refined.backward_error[position] + rounding;
            self.backward_error_bound[target] = refined.backward_error[position] * looseness + rounding;
        }
        self.rank = Some(rank);
        self.method = method;
        self.sketch_size = sketch_size;
        self.condition = self.condition.max(condition);
    }

    /// Takes over the answers of one group, their errors measured without a factor.
    fn accept_unfactored<T: Real + Element>(&mut self, group: &Group<'_, '_, T>, answers: Unfactored) {
        self.take(group, &answers.refined, &answers.scale);
        for (position, &target) in group.targets.iter().enumerate() {
            self.backward_error[target] = answers.refined.backward_error[position];
            self.backward_error_bound[target] = answers.bound[position];
        }
        self.rank = None;
        self.method = Method::Lsmr;
        self.condition = self.condition.max(answers.condition);
    }

    /// The answers of one group in the caller's units.
    fn take<T: Real + Element>(&mut self, group: &Group<'_, '_, T>, refined: &Refined, scales: &[f64]) {
        for (position, &target) in group.targets.iter().enumerate() {
            let scale = group.design.target_scale(target);
            let mut penalty = 0.0;
            for (j, out) in self.x.col_mut(target).iter_mut().enumerate() {
                let x = refined.x[(j, position)] / scales[j];
                penalty += (group.root_ridge(j) * x).powi(2);
                *out = x / scale * group.design.column_scale(j);
            }
            let squares = refined.residual_norm[position].powi(2) - penalty;
            self.residual_norm[target] = squares.max(0.0).sqrt() / scale;
            self.intercept[target] = refined.residual_total[position] / scale;
        }
        self.n_iter = self.n_iter.max(refined.passes);
    }

    /// Rounds an answer to the element type; gives what that adds to its backward error at most.
    fn round<T: Real + Element>(
        &mut self,
        group: &Group<'_, '_, T>,
        target: usize,
        x: &[f64],
        scaled: &Scaled,
    ) -> f64 {
        let unit =
            |j: usize| scaled.scale[j] * group.design.target_scale(target) / group.design.column_scale(j);
        let change = |(j, out): (usize, &mut f64)| {
            let exact = *out;
            *out = T::from_f64(exact).to_f64();
            (*out - exact) * unit(j)
        };
        let dx: Vec<f64> = self.x.col_mut(target).iter_mut().enumerate().map(change).collect();
        if dx.iter().all(|&dx| dx == 0.0) {
            return 0.0;
        }
        backward_error_of_change(&scaled.factor, &dx, norm(x), group.design.target_norm(target))
    }

    /// The constants of the fits.
    fn finish<T: Real + Element>(&mut self, design: &Design<'_, T>) {
        if let Some(means) = design.means() {
            let total_weight = design.total_weight();
            for (target, intercept) in self.intercept.iter_mut().enumerate() {
                // What is left of the mean residual is the rounding of the means.
                let fitted: f64 = means.iter().zip(self.x.col(target)).map(|(mean, x)| mean * x).sum();
                *intercept = design.target_means()[target] - fitted + *intercept / total_weight;
            }
        }
    }
}
