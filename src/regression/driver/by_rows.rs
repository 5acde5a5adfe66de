//! The driver of matrices whose rows can be read: every method, and QR to fall back on.

use crate::error::{Error, Result};
use crate::linalg::{Factor, Precision, make_workspace, precision_of_whitened};
use crate::matrix::{Buffer, Mat, Matrix, Real};
use crate::memory::{collected, copied, filled};
use crate::parallel::Context;
use crate::regression::design::Design;
use crate::regression::driver::cost::weights_cost_digits;
use crate::regression::driver::hint::{Hint, hint};
use crate::regression::driver::output::{Columns, Output};
use crate::regression::driver::plan::{
    Candidate, Method, Params, Plan, is_dual, precisions_of, wants_first_read, wants_hint,
};
use crate::regression::driver::steps::{Driver, Steps, summary};
use crate::regression::methods::augmented::augmented;
use crate::regression::methods::cg::cg;
use crate::regression::methods::dual::{Magnitudes, dual};
use crate::regression::methods::gram::gram;
use crate::regression::methods::lsmr::{Lengths, lsmr};
use crate::regression::methods::moments::Moments;
use crate::regression::methods::outcome::{Factored, Limit, Outcome, Unfactored};
use crate::regression::methods::qr::{doubt, qr};
use crate::regression::methods::row_factor::{RowFactor, RowGram};
use crate::regression::methods::shifted::shifted;
use crate::regression::methods::sketched::{SketchFactor, Sketchable, sketched};
use crate::regression::methods::sparse_cholesky::{SparseMoments, sparse_cholesky};
use crate::regression::methods::spir::{Inner, spir};
use crate::regression::methods::whitened::{WORST_SKETCH, whitened};
use crate::regression::problem::{Preconditioner, Problem};
use crate::regression::refine::{Group, Refined, Scaled};

/// What is tried on rows, and what all ridges share.
pub(crate) struct ByRows {
    candidates: Vec<Candidate>,
    /// Powers of two that bring the columns near one.
    powers: Vec<f64>,
    /// Norms of the columns, once they have been asked for.
    norms: Option<Buffer<f64>>,
    /// A'A in the precision last asked for.
    moments: Option<(Precision, Moments)>,
    /// Of fewer rows than columns.
    dual: Option<Dual>,
    /// The same where it is sparse; `None` in it where there are too many entries.
    sparse: Option<Option<SparseMoments>>,
    /// Iterations that the targets at hand were seen to need.
    foreseen: usize,
    /// What a method came to that did not settle, for iterations to begin with.
    start: Option<Mat<f64>>,
}

/// What all ridges share of fewer rows than columns.
struct Dual {
    magnitudes: Magnitudes,
    /// A A' in the precision last asked for.
    gram: Option<(Precision, RowGram)>,
}

impl<'m, T: Real + Sketchable> Steps<T, Matrix<'m, T>> for ByRows {
    type Candidate = Candidate;
    const READS: usize = 1;

    fn design<'a>(
        context: &Context,
        problem: &Problem<'a, T, Matrix<'m, T>>,
        params: &Params,
    ) -> Result<Design<'a, T, Matrix<'m, T>>> {
        match wants_first_read(problem, params) {
            true => Design::by_first_read(context, problem),
            false => Design::new(context, problem),
        }
    }

    fn plan(driver: &mut Driver<'_>, design: &mut Design<'_, T, Matrix<'m, T>>) -> Result<Self> {
        let params = driver.params;
        if let Some(first) = design.first_read.take() {
            driver.ledger.read(1);
            let moments = Moments::of_first_read(design, first)?;
            let plan = Plan::after_first_read(design, params)?;
            driver.ledger.sentences = plan.reasons;
            let powers = filled(1.0, design.ncols(), POWERS)?;
            let moments = Some((Precision::Double, moments));
            return Ok(Self { moments, ..Self::trying(plan.candidates, powers) });
        }
        let row_gram = design.row_gram.take();
        if is_dual(design, params)
            && let Some(dual) = Dual::of(driver, design, row_gram)?
        {
            let plan = match &design.a.source {
                Matrix::Sparse(_) => Plan::for_wide_sparse_rows(design, params, dual.magnitudes.products())?,
                _ => Plan::for_wide_rows(design, params, dual.gram.is_some())?,
            };
            driver.ledger.sentences = plan.reasons;
            return Ok(Self { dual: Some(dual), ..Self::trying(plan.candidates, Vec::new()) });
        }
        let sampled = wants_hint(design, params).then(|| hint(driver.context, design)).transpose()?;
        let is_zero = |(j, largest): (usize, &f64)| *largest == 0.0 && design.column_scale(j) != 0.0;
        let known =
            |hint: &Hint| !design.is_extreme(&hint.largest) && !hint.largest.iter().enumerate().any(is_zero);
        let norms = read_norms(driver, design)?;
        let read;
        let largest = match (&sampled, &norms) {
            (Some(hint), _) if known(hint) => &hint.largest,
            (_, Some(norms)) => norms,
            _ => {
                read = read_largest(driver, design)?;
                &read
            }
        };
        let power =
            |(j, &value): (usize, &f64)| design.equilibrating_power(j, value * design.column_scale(j));
        let powers = collected(largest.iter().enumerate().map(power), POWERS)?;
        let plan = match &design.a.source {
            Matrix::Sparse(rows) if params.method == Method::Auto => {
                Plan::for_sparse_rows(design, params, rows.squared_row_lengths(driver.context)?)?
            }
            _ => Plan::for_rows(design, params, sampled.as_ref())?,
        };
        driver.ledger.sentences = plan.reasons;
        Ok(Self { norms, ..Self::trying(plan.candidates, powers) })
    }

    fn solve(
        &mut self,
        driver: &mut Driver<'_>,
        group: &Group<'_, '_, T, Matrix<'m, T>>,
        output: &mut Output,
    ) -> Result<()> {
        let (design, candidates) = (group.design, self.candidates.clone());
        (self.foreseen, self.start) = (0, None);
        match driver.try_candidates(self, group, &candidates, output) {
            Err(Error::Allocation { bytes, .. }) if self.spares_memory(driver.params, design) => {
                driver.ledger.explain(format!("no memory for {bytes} bytes more"));
                let cg = Candidate::cg(driver.params, design.nrows(), design.ncols());
                driver.try_candidates(self, group, &[cg], output)
            }
            Err(of_a_factor @ Error::NonFinite { argument: "A", .. }) => {
                // A position in what was factored; a read of A knows that in A.
                design.largest_in_columns(driver.context)?;
                Err(of_a_factor)
            }
            outcome => outcome,
        }
    }

    fn attempt(
        &mut self,
        driver: &mut Driver<'_>,
        group: &Group<'_, '_, T, Matrix<'m, T>>,
        candidate: Candidate,
    ) -> Result<Outcome> {
        if !matches!(candidate, Candidate::Cg(_) | Candidate::Lsmr(_)) {
            make_workspace()?;
        }
        match candidate {
            Candidate::Gram(precision) => {
                let moments = match self.moments.take() {
                    Some((made, moments)) if made == precision => moments,
                    _ => self.read_moments(driver, group, precision)?,
                };
                let rcond = may_be_deficient(driver, group);
                let outcome = gram(group, &moments, precision.limit(), rcond);
                self.moments = Some((precision, moments));
                outcome
            }
            Candidate::Dual(_) | Candidate::QrOfRows => match &mut self.dual {
                Some(dual) => dual.attempt(driver, group, candidate),
                None => Err(Error::Internal("nothing is known of the rows".into())),
            },
            Candidate::SparseCholesky | Candidate::Shifted => {
                if self.sparse.is_none() {
                    self.sparse = Some(self.read_sparse_moments(driver, group)?);
                }
                match &self.sparse {
                    Some(Some(moments)) if candidate == Candidate::Shifted => {
                        let outcome = shifted(group, moments)?;
                        self.start = unsettled::<T>(&outcome)?;
                        Ok(outcome)
                    }
                    Some(Some(moments)) => {
                        let (limit, rcond) = (Precision::Double.limit(), may_be_deficient(driver, group));
                        sparse_cholesky(group, moments, limit, rcond)
                    }
                    _ => Ok(Outcome::Inadmissible(f64::INFINITY)),
                }
            }
            Candidate::Whitened { .. } | Candidate::Iterative { .. } | Candidate::Augmented { .. }
                if group.most_rank() < group.design.ncols() =>
            {
                driver.ledger.explain("rows so few leave A'A without a factor".into());
                Ok(Outcome::Inadmissible(f64::INFINITY))
            }
            Candidate::Whitened { .. } | Candidate::Iterative { .. } | Candidate::Augmented { .. } => {
                attempt_sketched(driver, group, candidate)
            }
            Candidate::Cg(_)
                if driver.rcond > group.design.cut_off() && self.candidates.contains(&Candidate::Qr) =>
            {
                driver.ledger.explain("what rcond cuts off is a factor's to find".into());
                Ok(Outcome::Inadmissible(f64::INFINITY))
            }
            Candidate::Cg(limit) if limit.gives_up && self.foreseen > limit.iterations => {
                Ok(Outcome::Slow { made: 0, needed: self.foreseen })
            }
            Candidate::Cg(limit) => {
                let start = self.start.take();
                let most = if start.is_some() { MOST_AFTER_A_FACTOR } else { usize::MAX };
                let limit = Limit { iterations: limit.iterations.min(most), ..limit };
                let norms = self.norms(driver, group)?;
                let outcome = cg(group, norms, limit, driver.rcond, driver.params.seed, start)?;
                if let Outcome::Slow { needed, .. } = outcome {
                    self.foreseen = needed;
                }
                Ok(outcome)
            }
            Candidate::Lsmr(limit) => {
                let lengths = Lengths::by_rows(self.norms(driver, group)?)?;
                lsmr(group, lengths, limit, driver.params.seed)
            }
            Candidate::Qr => {
                driver.ledger.read(1);
                qr(group, driver.rcond).map(Outcome::Factored)
            }
        }
    }

    fn accept(
        &mut self,
        driver: &mut Driver<'_>,
        group: &Group<'_, '_, T, Matrix<'m, T>>,
        candidate: Candidate,
        mut factored: Factored,
        output: &mut Output,
    ) -> Result<()> {
        let method = match sharpened(driver, group, &factored)? {
            None => candidate.method(),
            Some(sharpened) => {
                factored.refined = sharpened;
                Method::FgmresWlsir
            }
        };
        output.accept(group, method, &factored, candidate.sketch_size(group.design, driver.params))?;
        if matches!(factored.scaled.factor, Factor::Trapezoid(..)) {
            // A factor of a basis says nothing of single coefficients.
            return if output.forward.is_some() { certify_by_qr(driver, group, output) } else { Ok(()) };
        }
        certify(driver, group, &factored, output)?;
        let exact = is_exact(driver.params, candidate, factored.condition) && !is_subtracted(group.design);
        keep(driver, group, &factored.scaled, exact, output)
    }

    /// Makes a factor that had no part in the answer, if one is wanted beside it.
    fn accept_unfactored(
        &mut self,
        driver: &mut Driver<'_>,
        group: &Group<'_, '_, T, Matrix<'m, T>>,
        output: &mut Output,
    ) -> Result<()> {
        output.confidence = 1.0;
        match (&self.dual, output.method) {
            (Some(_), Method::Gram | Method::Qr) => output.columns = Columns::OfNormalisedRows,
            (_, Method::Lsmr) => output.columns = Columns::PowersOfTwo,
            _ => (),
        }
        if output.inference.is_none() && output.forward.is_none() {
            return Ok(());
        }
        certify_by_qr(driver, group, output)
    }

    fn rank_alone(
        &mut self,
        driver: &mut Driver<'_>,
        group: &Group<'_, '_, T, Matrix<'m, T>>,
        output: &mut Output,
    ) -> Result<()> {
        let first = self.candidates[0];
        if matches!(first, Candidate::Cg(_) | Candidate::Lsmr(_)) && output.inference.is_none() {
            output.method = first.method();
            return Ok(());
        }
        let factored = qr(group, driver.rcond)?;
        (output.rank, output.condition, output.method) =
            (Some(factored.rank()), factored.condition, Method::Qr);
        keep(driver, group, &factored.scaled, true, output)
    }
}

impl ByRows {
    /// Nothing is known yet but the powers.
    fn trying(candidates: Vec<Candidate>, powers: Vec<f64>) -> Self {
        let (norms, moments, dual, sparse, start) = (None, None, None, None, None);
        Self { candidates, powers, norms, moments, dual, sparse, foreseen: 0, start }
    }

    /// True if a method that takes less memory is left to try.
    fn spares_memory<T: Real>(&self, params: &Params, design: &Design<'_, T>) -> bool {
        let needs_no_factor =
            |candidate: &Candidate| matches!(candidate, Candidate::Cg(_) | Candidate::Lsmr(_));
        params.method == Method::Auto
            && design.stored().is_some()
            && !self.candidates.iter().all(needs_no_factor)
    }

    fn read_sparse_moments<T: Real>(
        &self,
        driver: &mut Driver<'_>,
        group: &Group<'_, '_, T>,
    ) -> Result<Option<SparseMoments>> {
        let Matrix::Sparse(matrix) = &group.design.a.source else { return Ok(None) };
        driver.ledger.read(2);
        let powers = copied(&self.powers, POWERS)?;
        let moments = SparseMoments::new(driver.context, group.design, matrix, powers)?;
        driver.ledger.explain(match &moments {
            Some(moments) => moments.describe(),
            None => "A'A, or its factor, has too many entries".into(),
        });
        Ok(moments)
    }

    /// Norms of the columns, by one read if they are not known.
    fn norms<T: Real>(&mut self, driver: &mut Driver<'_>, group: &Group<'_, '_, T>) -> Result<&[f64]> {
        let norms = match self.norms.take() {
            Some(norms) => norms,
            None => {
                driver.ledger.read(1);
                group.design.column_norms(group.context)?
            }
        };
        Ok(self.norms.insert(norms))
    }

    fn read_moments<T: Real>(
        &mut self,
        driver: &mut Driver<'_>,
        group: &Group<'_, '_, T>,
        precision: Precision,
    ) -> Result<Moments> {
        driver.ledger.read(1);
        let moments = Moments::new(driver.context, group.design, precision, copied(&self.powers, POWERS)?)?;
        if moments.is_finite() {
            return Ok(moments);
        }
        // Entries far beyond those that were sampled, or entries that are not finite, which raise here.
        driver.ledger.read(2);
        let largest = group.design.largest_in_columns(driver.context)?;
        let power = |(j, &value): (usize, &f64)| group.design.equilibrating_power(j, value);
        self.powers = collected(largest.iter().enumerate().map(power), POWERS)?;
        Moments::new(driver.context, group.design, precision, copied(&self.powers, POWERS)?)
    }
}

impl Dual {
    /// Reads A for its magnitudes; none if these are extreme. A A' may be there.
    fn of<T: Real>(
        driver: &mut Driver<'_>,
        design: &Design<'_, T>,
        row_gram: Option<Mat<f64>>,
    ) -> Result<Option<Self>> {
        driver.ledger.read(1);
        let magnitudes = Magnitudes::of(driver.context, design)?;
        if !magnitudes.columns.iter().all(|value| value.is_finite()) {
            design.largest_in_columns(driver.context)?;
        }
        let extreme = design.is_extreme(&magnitudes.columns);
        let gram = row_gram.map(|gram| RowGram::of_products(driver.context, design, gram)).transpose()?;
        let gram = gram.map(|gram| (Precision::Double, gram));
        Ok((!extreme).then_some(Self { magnitudes, gram }))
    }

    fn attempt<T: Real>(
        &mut self,
        driver: &mut Driver<'_>,
        group: &Group<'_, '_, T>,
        candidate: Candidate,
    ) -> Result<Outcome> {
        // Sparse rows have no QR that would not spread them out.
        if group.ridge == 0.0 && group.design.stored().is_none() && self.magnitudes.are_steep() {
            return Ok(Outcome::Inadmissible(f64::INFINITY));
        }
        let (factor, limit) = match candidate {
            Candidate::Dual(precision) => (
                self.factor(driver, group, precision)?,
                match precision {
                    Precision::Single if driver.params.dtype_work.is_none() => 300.0,
                    _ => precision.limit(),
                },
            ),
            _ => {
                driver.ledger.read(2);
                (RowFactor::by_reflections(group)?, WORST_TRIANGLE)
            }
        };
        match factor {
            Some(factor) => dual(group, factor, &self.magnitudes, limit, driver.rcond),
            None => Ok(Outcome::Inadmissible(f64::INFINITY)),
        }
    }

    /// R by products in this precision.
    fn factor<T: Real>(
        &mut self,
        driver: &mut Driver<'_>,
        group: &Group<'_, '_, T>,
        precision: Precision,
    ) -> Result<Option<RowFactor>> {
        let gram = match self.gram.take() {
            Some((made, gram)) if made == precision => gram,
            _ => {
                driver.ledger.read(1);
                let largest = &self.magnitudes.rows;
                let Some(gram) = RowGram::new(driver.context, group.design, precision, largest)? else {
                    return Ok(None);
                };
                gram
            }
        };
        let factor = gram.factor(group);
        self.gram = Some((precision, gram));
        factor
    }
}

/// Iterations without a factor where those with one have not settled: they gain little, and few of them tell the error.
const MOST_AFTER_A_FACTOR: usize = 500;

/// Beyond this condition a triangle does not tell what it is.
const WORST_TRIANGLE: f64 = 1e14;

/// What memory is for.
const POWERS: &str = "powers of two";

/// Norms of the columns of a sparse matrix by one read, if their squares are far from the ends of the range; then nothing
/// needs another unit, and everything is finite.
fn read_norms<T: Real>(
    driver: &mut Driver<'_>,
    design: &Design<'_, T, Matrix<'_, T>>,
) -> Result<Option<Buffer<f64>>> {
    if design.stored().is_none() {
        return Ok(None);
    }
    driver.ledger.read(1);
    let norms = design.column_norms(driver.context)?;
    let is_zero = |(j, norm): (usize, &f64)| *norm == 0.0 && design.column_scale(j) != 0.0;
    let is_safe = !design.is_extreme(&norms) && !norms.iter().enumerate().any(is_zero);
    Ok((is_safe && norms.iter().all(|norm| norm.is_finite())).then_some(norms))
}

/// Largest magnitudes by one read of A, which also finds what is not finite.
fn read_largest<T: Real>(
    driver: &mut Driver<'_>,
    design: &mut Design<'_, T, Matrix<'_, T>>,
) -> Result<Buffer<f64>> {
    driver.ledger.read(1);
    let largest = design.largest_in_columns(driver.context)?;
    design.equilibrate_columns(&largest)?;
    Ok(largest)
}

/// The best answers of iterations that did not settle, in the units of the design.
fn unsettled<T: Real>(outcome: &Outcome) -> Result<Option<Mat<f64>>> {
    let Outcome::Unfactored(Unfactored { refined, scale: Some(scale), .. }) = outcome else {
        return Ok(None);
    };
    let entry = |j: usize, side: usize| T::from_f64(refined.x[(j, side)] / scale[j]).to_f64();
    (!refined.settled).then(|| Mat::from_fn(refined.x.nrows(), refined.x.ncols(), entry)).transpose()
}

/// What counts as deficient, where the factor of a basis will do: it is none that is kept.
fn may_be_deficient<T: Real>(driver: &Driver<'_>, group: &Group<'_, '_, T>) -> Option<f64> {
    (group.design.stored().is_some() && !driver.params.keep_factor).then_some(driver.rcond)
}

/// The candidates that begin with a sketch.
fn attempt_sketched<T: Real + Sketchable>(
    driver: &mut Driver<'_>,
    group: &Group<'_, '_, T>,
    candidate: Candidate,
) -> Result<Outcome> {
    let plan = candidate.sketch(group.design, driver.params);
    let unweighted;
    let design = match candidate {
        Candidate::Augmented { preconditioner: Preconditioner::Left, .. } => {
            unweighted = group.design.unweighted()?;
            &unweighted
        }
        _ => group.design,
    };
    let sketched = sketched(&Group { design, ..*group }, plan)?;
    let doubt = doubt(design, &sketched.scaled, || Ok(sketched.condition), driver.rcond)?;
    driver.ledger.read(1);
    if !driver.is_far_from_deficient(group, &sketched.scaled, doubt) {
        if !sketched.x.as_slice().iter().all(|v| v.is_finite()) {
            group.design.largest_in_columns(driver.context)?;
        }
        return Ok(Outcome::Inadmissible(sketched.condition));
    }
    if let Candidate::Iterative { heavy_ball, .. } = candidate {
        return spir(group, sketched, Inner::of(heavy_ball, group.design.ncols(), plan.rows));
    }
    driver.ledger.read(1);
    let worst = match candidate {
        Candidate::Augmented { preconditioner: Preconditioner::Left, .. } => Precision::Single.limit(),
        _ => WORST_SKETCH,
    };
    match (candidate, whitened_in_time(driver, group, &sketched, worst)?) {
        (Candidate::Augmented { preconditioner, .. }, Outcome::Factored(start)) => {
            let refined = augmented(group, &start.refined, &start.scaled, preconditioner)?;
            Ok(Outcome::Factored(Factored { refined, ..start }))
        }
        (_, outcome) => Ok(outcome),
    }
}

/// Whitened in the precision that takes the least time, and where rows are so unlike each other that its digits hide
/// something, or leave refinement short of its end, in floating point.
fn whitened_in_time<T: Real>(
    driver: &mut Driver<'_>,
    group: &Group<'_, '_, T>,
    sketched: &SketchFactor,
    worst: f64,
) -> Result<Outcome> {
    let precision = whitened_precision(group.design, driver.params);
    let outcome = whitened(group, sketched, precision, worst)?;
    let (reads, what) = match (&outcome, precision) {
        (Outcome::Factored(found), Precision::Digits(_)) if !found.refined.settled => {
            (found.refined.passes, summary(&found.refined))
        }
        (Outcome::Inadmissible(_), Precision::Digits(_)) => (0, "inadmissible".into()),
        _ => return Ok(outcome),
    };
    driver.ledger.explain(format!("whitened by digits: {what}, so again by floats"));
    driver.ledger.read(reads + 1);
    whitened(group, sketched, Precision::Single, worst)
}

/// Of the products of the whitened Gram matrix.
fn whitened_precision<T: Real>(design: &Design<'_, T>, params: &Params) -> Precision {
    match params.dtype_work {
        Some(precision) => precision,
        None if params.keep_factor => Precision::Double,
        None => precision_of_whitened(precisions_of(design, params), design.ncols()),
    }
}

/// True if the factor of a candidate is that of A to rounding.
fn is_exact(params: &Params, candidate: Candidate, condition: f64) -> bool {
    match candidate {
        Candidate::Gram(precision) => precision == Precision::Double && condition <= EXACT_GRAM,
        Candidate::SparseCholesky => condition <= EXACT_GRAM,
        Candidate::Whitened { .. } | Candidate::Augmented { .. } => {
            params.dtype_work.map_or(params.keep_factor, |precision| precision == Precision::Double)
        }
        Candidate::Iterative { .. } | Candidate::Cg(_) | Candidate::Lsmr(_) => false,
        Candidate::Dual(_) | Candidate::QrOfRows | Candidate::Shifted => false,
        Candidate::Qr => true,
    }
}

/// True if the Gram matrix of A is that of uncentred columns less what their means make up.
fn is_subtracted<T: Real>(design: &Design<'_, T>) -> bool {
    design.stored().is_some() && design.means().is_some()
}

/// Up to this condition the Gram matrix in double precision knows the factor to nine digits.
const EXACT_GRAM: f64 = 3e3;

/// Accepted answers with the digits of x that the weights have cost, if that may be many and they can be had.
fn sharpened<T: Real>(
    driver: &mut Driver<'_>,
    group: &Group<'_, '_, T>,
    factored: &Factored,
) -> Result<Option<Refined>> {
    let Factored { refined, scaled, condition } = factored;
    let spread = group.design.weight_spread();
    let full_rank = scaled.factor.rank() == scaled.factor.order();
    if driver.params.method != Method::Auto || !full_rank || !weights_cost_digits(spread, *condition) {
        return Ok(None);
    }
    driver
        .ledger
        .explain(format!("weights that differ by {spread:.0e} cost digits at condition {condition:.1e}"));
    driver.ledger.begin();
    let sharpened = augmented(group, refined, scaled, Preconditioner::Split)?;
    driver.ledger.read(sharpened.passes - refined.passes);
    let candidate = Candidate::Augmented { draw: 0, preconditioner: Preconditioner::Split };
    driver.ledger.end(candidate.describe());
    driver.ledger.explain(format!("{}: {}", candidate.describe(), summary(&sharpened)));
    Ok(sharpened.settled.then_some(sharpened))
}

/// Makes a factor that had no part in the answers for what is wanted beside them.
fn certify_by_qr<T: Real>(
    driver: &mut Driver<'_>,
    group: &Group<'_, '_, T>,
    output: &mut Output,
) -> Result<()> {
    driver.ledger.begin();
    let factored = qr(&Group { targets: &[], max_passes: 0, ..*group }, driver.rcond)?;
    output.rank = Some(factored.rank());
    driver.ledger.read(1);
    driver.ledger.end(Candidate::Qr.describe());
    certify(driver, group, &factored, output)?;
    keep(driver, group, &factored.scaled, true, output)
}

/// Bounds the forward errors of accepted answers, if that is wanted.
fn certify<T: Real>(
    driver: &mut Driver<'_>,
    group: &Group<'_, '_, T>,
    factored: &Factored,
    output: &mut Output,
) -> Result<()> {
    let Some(forward) = &mut output.forward else { return Ok(()) };
    driver.ledger.begin();
    let Factored { scaled, condition, .. } = factored;
    driver.ledger.read(forward.measure(group, scaled, *condition, &output.x, driver.params.seed)?);
    driver.ledger.end("certify");
    Ok(())
}

/// Keeps the factor of one group, if it is wanted.
fn keep<T: Real>(
    driver: &mut Driver<'_>,
    group: &Group<'_, '_, T>,
    scaled: &Scaled,
    exact: bool,
    output: &mut Output,
) -> Result<()> {
    let Some(inference) = &mut output.inference else { return Ok(()) };
    driver.ledger.begin();
    inference.keep(group, scaled, exact)?;
    if !exact {
        driver.ledger.read(1);
        driver.ledger.end("exact factor");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::driver::ledger::Ledger;
    use crate::regression::driver::lstsq;
    use crate::regression::testing::{Form, Instance, assert_near, forms};

    fn solved(instance: &Instance, form: Form, params: &Params) -> Result<Output> {
        lstsq(&Context::new(2), &instance.problem(form, &[2.0, 0.5]), params)
    }

    #[test]
    fn what_is_kept_is_the_factor_to_rounding_whatever_it_comes_from() {
        let default = Params::default();
        let double = Params { dtype_work: Some(Precision::Double), ..Params::default() };
        let kept = Params { keep_factor: true, ..Params::default() };
        let [single_gram, double_gram] = [Precision::Single, Precision::Double].map(Candidate::Gram);
        let whitened = Candidate::Whitened { draw: 0 };
        for (params, candidate, condition, exact) in [
            (&default, single_gram, 2.0, false),
            (&default, double_gram, 1e3, true),
            (&default, double_gram, 1e4, false),
            (&default, whitened, 2.0, false),
            (&kept, whitened, 1e9, true),
            (&double, whitened, 1e9, true),
            (&kept, Candidate::iterative(false)[0], 2.0, false),
            (&default, Candidate::Qr, 1e15, true),
        ] {
            assert_eq!(is_exact(params, candidate, condition), exact, "{candidate:?} at {condition}");
        }
        let instance = Instance::new(400, 5);
        let methods = [Method::Gram, Method::Whitened, Method::Spir, Method::Lsmr, Method::Qr];
        for (form, method) in forms().flat_map(|form| methods.map(|method| (form, method))) {
            let params = Params { method, keep_factor: true, ..Params::default() };
            let found = solved(&instance, form, &params).unwrap();
            assert_eq!(found.rank, Some(5), "{}", method.name());
            let inference = found.inference.unwrap();
            assert_eq!((inference.factors.len(), &inference.factor_of[..]), (2, &[0, 1][..]));
            let (a, _) = instance.explicit(form);
            for (factor, ridge) in inference.factors.iter().zip([2.0, 0.5]) {
                for (i, j) in (0..5).flat_map(|i| (0..5).map(move |j| (i, j))) {
                    let sum = |m: &crate::matrix::Mat<f64>| -> f64 {
                        (0..m.nrows()).map(|k| m[(k, i)] * m[(k, j)]).sum()
                    };
                    let expected = sum(&a) + if i == j { ridge } else { 0.0 };
                    assert_near(sum(factor), expected, &format!("{}, {form:?}", method.name()));
                }
            }
        }
    }

    #[test]
    fn a_factor_follows_lsmr_only_where_it_is_asked_for() {
        let (instance, form) = (Instance::new(400, 5), forms().nth(1).unwrap());
        let lsmr = Params { method: Method::Lsmr, max_iter: Some(200), ..Params::default() };
        let found = solved(&instance, form, &lsmr).unwrap();
        assert_eq!((found.rank, found.columns), (None, Columns::PowersOfTwo));
        assert!(found.stages.iter().all(|stage| stage.name != "qr"));
        let certified = Params { certify: true, ..lsmr };
        let found = solved(&instance, form, &certified).unwrap();
        assert_eq!((found.method, found.rank), (Method::Lsmr, Some(5)));
        assert!(found.stages.iter().any(|stage| stage.name == "qr"));
        assert!(found.forward.unwrap().coordinate_bound.as_slice().iter().all(|bound| *bound < 1e-9));
    }

    #[test]
    fn only_sparse_rows_have_a_method_of_less_memory_behind_auto() {
        let instance = Instance::new(60, 5);
        for form in forms().take(2) {
            instance.with_group(form, 0.0, |group| {
                let by = |candidates: Vec<Candidate>| ByRows::trying(candidates, Vec::new());
                let spares = |candidates, method| {
                    let params = Params { method, ..Params::default() };
                    by(candidates).spares_memory(&params, group.design)
                };
                assert_eq!(spares(vec![Candidate::Qr], Method::Auto), form.sparse);
                assert!(!spares(vec![Candidate::Qr], Method::Qr));
                let lsmr = Candidate::lsmr(&Params::default(), 60, 5);
                assert!(!spares(vec![lsmr], Method::Auto));
                assert_eq!(spares(vec![lsmr, Candidate::Qr], Method::Auto), form.sparse);
            });
        }
    }

    #[test]
    fn powers_that_the_sample_had_wrong_are_made_again_from_all_rows() {
        let mut instance = Instance::new(400, 5);
        let params = Params::default();
        let moments = |instance: &Instance, powers: [f64; 5]| {
            let mut found = None;
            instance.with_group(forms().next().unwrap(), 0.0, |group| {
                let mut driver = Driver::new(group.context, group.design, &params, Ledger::new());
                let powers = powers.to_vec();
                let mut steps = ByRows::trying(vec![Candidate::Qr], powers);
                let moments = steps.read_moments(&mut driver, group, Precision::Double);
                driver.ledger.end("gram");
                found = Some((moments, steps.powers, driver.ledger.stages[0].reads));
            });
            found.unwrap()
        };
        let (first, powers, reads) = moments(&instance, [1.0; 5]);
        assert_eq!((first.unwrap().is_finite(), powers, reads), (true, vec![1.0; 5], 1));
        let (mended, powers, reads) = moments(&instance, [1.0, 1.0, 1e300, 1.0, 1.0]);
        assert!(mended.unwrap().is_finite() && powers.iter().all(|power| (1e-3..=2.0).contains(power)));
        assert_eq!(reads, 3);
        instance.a[(17, 3)] = f64::NAN;
        let (refused, ..) = moments(&instance, [1.0; 5]);
        assert_eq!(refused.err(), Some(Error::non_finite("A", f64::NAN, "[17, 3]")));
    }

    #[test]
    fn an_entry_that_is_not_finite_is_named_as_it_lies_in_a_whatever_was_factored() {
        let mut instance = Instance::new(400, 5);
        instance.a[(311, 2)] = f64::INFINITY;
        let form = forms().next().unwrap();
        for method in Method::ALL.into_iter().filter(|&method| method != Method::SparseCholesky) {
            let refused = solved(&instance, form, &Params { method, ..Params::default() }).err();
            let expected = Error::non_finite("A", f64::INFINITY, "[311, 2]");
            assert_eq!(refused, Some(expected), "{}", method.name());
        }
    }

    #[test]
    fn with_nothing_to_fit_the_rank_is_told_but_by_lsmr() {
        let mut instance = Instance::new(400, 5);
        let column = instance.a.col(0).to_vec();
        instance.a.col_mut(1).copy_from_slice(&column);
        instance.b.as_mut_slice().fill(0.0);
        let form = forms().next().unwrap();
        let context = Context::new(1);
        for (method, used, rank) in [
            (Method::Auto, Method::Qr, Some(4)),
            (Method::Spir, Method::Qr, Some(4)),
            (Method::Lsmr, Method::Lsmr, None),
        ] {
            let params = Params { method, ..Params::default() };
            let found = lstsq(&context, &instance.problem(form, &[0.0]), &params).unwrap();
            assert_eq!((found.method, found.rank), (used, rank));
            assert!(found.x.as_slice().iter().all(|&x| x == 0.0));
        }
    }
}
