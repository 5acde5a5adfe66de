//! Answers for rows in parts: a factor from the first read, and refinement until the measured error meets its target.

use crate::error::Result;
use crate::linalg;
use crate::matrix::{Mat, Real};
use crate::memory::collected;
use crate::parallel::Context;
use crate::regression::covariance::Inference;
use crate::regression::design::Design;
use crate::regression::driver::ledger::Ledger;
use crate::regression::driver::output::Output;
use crate::regression::driver::plan::{Method, Params};
use crate::regression::driver::steps::{Driver, summary};
use crate::regression::loo::left_out::LeftOut;
use crate::regression::loo::{RidgeChoice, in_units_of_targets, least};
use crate::regression::methods::outcome::Factored;
use crate::regression::methods::qr::qr_of_triangle;
use crate::regression::parts::elsewhere::{Elsewhere, Parts, first};
use crate::regression::parts::first::First;
use crate::regression::refine::{Group, groups};

/// An answer for rows in parts.
pub struct PartsOutput {
    /// The answer, and what is known of it.
    pub output: Output,
    /// Rows of all parts.
    pub rows: u64,
    /// Sum of the logarithms of the positive weights.
    pub log_weight: f64,
}

/// Least squares for every target of rows in parts.
pub fn lstsq_by_parts<T: Real>(
    context: &Context,
    parts: &dyn Parts,
    ridge: &[f64],
    fit_intercept: bool,
    params: &Params,
) -> Result<PartsOutput> {
    let known = Known::<T>::read(context, parts, ridge, fit_intercept, params)?;
    known.solved(context, ridge, params)
}

/// The same under that of the ridges whose leave-one-out errors are least: see [`ridge_cv`](crate::regression::ridge_cv).
pub fn ridge_cv_by_parts<T: Real>(
    context: &Context,
    parts: &dyn Parts,
    alphas: &[f64],
    apart: bool,
    fit_intercept: bool,
    params: &Params,
) -> Result<RidgeChoice> {
    let known = Known::<T>::read(context, parts, alphas, fit_intercept, params)?;
    let left_out = LeftOut::new(&known.design, &known.r, alphas)?;
    let mut errors = known.design.a.source.left_out(context, left_out)?;
    in_units_of_targets(&known.design, &mut errors);
    let chosen = least(&errors, apart)?;
    let ridge = collected(chosen.iter().map(|&alpha| alphas[alpha]), "ridges")?;
    let output = known.solved(context, &ridge, params)?.output;
    Ok(RidgeChoice { errors, chosen, output })
}

/// What the first read tells.
struct Known<'p, T> {
    design: Design<'p, T, Elsewhere<'p>>,
    /// Of [A, B], in the units of the design.
    r: Mat<f64>,
    rows: u64,
    log_weight: f64,
    /// By which most parts have R.
    method: Method,
    ledger: Ledger,
}

impl<'p, T: Real> Known<'p, T> {
    fn read(
        context: &Context,
        parts: &'p dyn Parts,
        ridge: &[f64],
        fit_intercept: bool,
        params: &Params,
    ) -> Result<Self> {
        let mut ledger = Ledger::new();
        let first = first(context, parts, fit_intercept, params.method == Method::Auto)?;
        let shape = (first.rows as usize, first.shape.0);
        let largest = ridge.iter().fold(0.0, |largest: f64, &ridge| ridge.max(largest));
        let (design, r) = first.design(Elsewhere { parts, shape }, largest)?;
        ledger.read(1);
        ledger.end("triangle");
        let (method, how) = told(&first);
        ledger.explain(how);
        Ok(Self { design, r, rows: first.rows, log_weight: first.log_weight, method, ledger })
    }

    fn solved(self, context: &Context, ridge: &[f64], params: &Params) -> Result<PartsOutput> {
        let Self { design, r, rows, log_weight, method, ledger } = self;
        let (d, k) = (design.ncols(), design.ntargets());
        let mut driver = Driver::new(context, &design, params, ledger);
        let mut output = Output::empty::<T>(d, k, params)?;
        output.method = method;
        output.inference = params.keep_factor.then(|| Inference::of(&design)).transpose()?;
        let all = Group {
            context,
            design: &design,
            targets: &[],
            ridge: ridge.first().copied().unwrap_or(0.0),
            tolerance: driver.tolerance,
            max_passes: 0,
        };
        for (ridge, targets) in groups(&design, ridge)? {
            let group = Group { targets: &targets, ridge, ..all };
            let factored = factored(&mut driver, &group, &r, method)?;
            output.accept(&group, method, &factored, None)?;
            if let Some(inference) = &mut output.inference {
                inference.keep_exact(&group, &factored.scaled)?;
            }
        }
        if (0..k).all(|target| design.target_norm(target) == 0.0) {
            driver.ledger.explain("every target is zero".into());
            let factored = factored(&mut driver, &all, &r, method)?;
            (output.rank, output.condition) = (Some(factored.rank()), factored.condition);
            if let Some(inference) = &mut output.inference {
                inference.keep_exact(&all, &factored.scaled)?;
            }
        }
        output.complete(&design, driver.ledger)?;
        context.progress(output.n_iter + 1, output.n_iter + 1, &[])?;
        Ok(PartsOutput { output, rows, log_weight })
    }
}

/// Answers to the targets of one ridge.
fn factored<T: Real>(
    driver: &mut Driver<'_>,
    group: &Group<'_, '_, T, Elsewhere<'_>>,
    r: &Mat<f64>,
    method: Method,
) -> Result<Factored> {
    driver.ledger.begin();
    let factored = qr_of_triangle(group, &over_ridge(group, r)?, driver.rcond)?;
    driver.ledger.read(factored.refined.passes);
    driver.ledger.end(method.name());
    let (rank, refined) = (factored.rank(), summary(&factored.refined));
    driver.ledger.explain(format!("{}: rank {rank}, {refined}", method.name()));
    Ok(factored)
}

/// By which method most parts have their triangle, and what is said of it.
fn told(first: &First) -> (Method, String) {
    let First { parts, by_products, .. } = first;
    let method = if 2 * by_products > *parts { Method::Gram } else { Method::Qr };
    let how = match by_products {
        0 => String::new(),
        _ => format!(", of {by_products} of {parts} by products"),
    };
    (method, format!("the first read gives R of the rows in parts{how}"))
}

/// R of A and some of the targets, over the ridge.
fn over_ridge<T: Real>(group: &Group<'_, '_, T, Elsewhere<'_>>, r: &Mat<f64>) -> Result<Mat<f64>> {
    let (d, width) = (group.design.ncols(), group.design.ncols() + group.targets.len());
    let column = |j: usize| if j < d { j } else { d + group.targets[j - d] };
    if group.ridge == 0.0 {
        return Mat::from_fn(d, width, |i, j| r[(i, column(j))]);
    }
    let stacked = Mat::from_fn(2 * d, width, |i, j| match i.checked_sub(d) {
        None => r[(i, column(j))],
        Some(row) if row == j => group.root_ridge(j),
        Some(_) => 0.0,
    })?;
    linalg::tsqr(group.context, &stacked.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Matrix;
    use crate::regression::driver::lstsq;
    use crate::regression::loo::ridge_cv;
    use crate::regression::parts::{merged_sums, sums_of_part};
    use crate::regression::problem::Problem;
    use crate::regression::testing::{Form, Instance, assert_near, forms};
    use std::ops::Range;

    /// An instance cut into parts, which are asked one after the other.
    struct Cut {
        parts: Vec<Instance>,
        form: Form,
    }

    impl Cut {
        fn new(instance: &Instance, form: Form, cuts: &[Range<usize>]) -> Self {
            Self { parts: cuts.iter().map(|rows| instance.part(rows.clone())).collect(), form }
        }
    }

    impl Parts for Cut {
        fn ask(&self, question: &[u8]) -> Result<Vec<u8>> {
            let context = Context::new(1);
            let of = |part: &Instance| sums_of_part(&context, question, &part.problem(self.form, &[]));
            let sums: Vec<Vec<u8>> = self.parts.iter().map(of).collect::<Result<_>>()?;
            merged_sums(&context, &sums.iter().map(|sums| &sums[..]).collect::<Vec<_>>())
        }
    }

    /// One of the parts has no weight at all where there are weights, and one has fewer rows than columns.
    const CUTS: [Range<usize>; 5] = [0..3, 3..4, 4..150, 150..150, 150..400];

    #[test]
    fn parts_give_what_all_rows_give() {
        let instance = Instance::new(400, 5);
        for (form, ridge) in forms().flat_map(|form| [(form, [0.0, 0.0]), (form, [20.0, 0.5])]) {
            let params = Params { keep_factor: true, ..Params::default() };
            let (context, cut) = (Context::new(2), Cut::new(&instance, form, &CUTS));
            let found = lstsq_by_parts::<f64>(&context, &cut, &ridge, form.fit_intercept, &params).unwrap();
            let whole = lstsq(&context, &instance.problem(form, &ridge), &params).unwrap();
            let what = format!("{form:?}, {ridge:?}");
            let output = found.output;
            assert!(output.settled && output.backward_error.iter().all(|&error| error <= 2.3e-16), "{what}");
            assert_eq!(output.rank, whole.rank);
            assert!(matches!(output.method, Method::Gram | Method::Qr));
            for (found, expected) in output.x.as_slice().iter().zip(whole.x.as_slice()) {
                assert_near(*found, *expected, &what);
            }
            for target in 0..2 {
                assert_near(output.intercept[target], whole.intercept[target], &what);
                assert_near(output.residual_norm[target], whole.residual_norm[target], &what);
            }
            let (kept, expected) = (output.inference.unwrap(), whole.inference.unwrap());
            assert_eq!((kept.observations, kept.factor_of), (expected.observations, expected.factor_of));
            for (kept, expected) in kept.factors.iter().zip(&expected.factors) {
                for (i, j) in (0..5).flat_map(|i| (0..5).map(move |j| (i, j))) {
                    assert_near(kept[(i, j)].abs(), expected[(i, j)].abs(), &what);
                }
            }
            let weights = instance.weights.iter().filter(|&&weight| weight > 0.0);
            let logarithms = if form.weighted { weights.map(|weight| weight.ln()).sum() } else { 0.0 };
            assert_near(found.log_weight, logarithms, &what);
        }
    }

    #[test]
    fn leave_one_out_errors_choose_the_ridge_that_they_choose_of_all_rows() {
        let instance = Instance::new(400, 5);
        for (form, apart) in forms().flat_map(|form| [(form, true), (form, false)]) {
            let (context, cut, alphas) =
                (Context::new(1), Cut::new(&instance, form, &CUTS), [0.01, 3.0, 400.0, 1e5]);
            let params = Params::default();
            let found = ridge_cv_by_parts::<f64>(&context, &cut, &alphas, apart, form.fit_intercept, &params)
                .unwrap();
            let whole = ridge_cv(&context, &instance.problem(form, &[0.0]), &alphas, apart, &params).unwrap();
            assert_eq!(found.chosen, whole.chosen);
            let (x, errors) = (found.output.x.as_slice().iter(), found.errors.as_slice().iter());
            let expected = whole.output.x.as_slice().iter().chain(whole.errors.as_slice());
            for (found, expected) in x.chain(errors).zip(expected) {
                assert_near(*found, *expected, &format!("{form:?}"));
            }
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_order_of_storage() {
        let instance = Instance::new(300, 40);
        let (a, b) = (&instance.a, &instance.b);
        let rows: Vec<f64> = (0..300 * 40).map(|at| a[(at / 40, at % 40)]).collect();
        let by_rows = Matrix::Dense(crate::matrix::Dense::row_major(&rows, 300, 40));
        struct One<'p>(Problem<'p, f64>);
        impl Parts for One<'_> {
            fn ask(&self, question: &[u8]) -> Result<Vec<u8>> {
                sums_of_part(&Context::new(1), question, &self.0)
            }
        }
        for columns in [40, 7] {
            for fit_intercept in [false, true] {
                let cut = |design: Matrix<'_, f64>| {
                    let Matrix::Dense(design) = design else { panic!("dense") };
                    let design = Matrix::Dense(design.cols(0..columns));
                    let problem =
                        Problem { design, targets: b.as_ref(), weights: None, ridge: &[], fit_intercept };
                    let params = Params::default();
                    let found = lstsq_by_parts::<f64>(
                        &Context::new(1),
                        &One(problem),
                        &[0.0],
                        fit_intercept,
                        &params,
                    );
                    found.unwrap().output.x.as_slice().to_vec()
                };
                assert_eq!(cut(by_rows), cut(Matrix::Dense(a.as_ref())), "{columns}, {fit_intercept}");
            }
        }
    }

    #[test]
    fn large_means_magnitudes_and_constants() {
        let mut instance = Instance::new(400, 5);
        let form = forms().nth(4).unwrap();
        instance.a.col_mut(0).iter_mut().for_each(|value| *value += 1e9);
        instance.a.col_mut(1).iter_mut().for_each(|value| *value *= 1e-170);
        instance.a.col_mut(2).fill(0.1);
        instance.b.col_mut(1).iter_mut().for_each(|value| *value *= 1e100);
        let (context, cut, params) = (Context::new(1), Cut::new(&instance, form, &CUTS), Params::default());
        let found = lstsq_by_parts::<f64>(&context, &cut, &[0.0], true, &params).unwrap().output;
        let whole = lstsq(&context, &instance.problem(form, &[0.0]), &params).unwrap();
        assert_eq!((found.rank, &found.constant[..]), (Some(4), &[2][..]));
        assert!(found.settled);
        for target in 0..2 {
            for (j, expected) in whole.x.col(target).iter().enumerate() {
                let error = (found.x[(j, target)] - expected).abs();
                assert!(error <= 1e-6 * expected.abs(), "{j}, {target}: {error} of {expected}");
            }
        }
    }

    #[test]
    fn dependent_columns_have_the_shortest_answer() {
        let mut instance = Instance::new(400, 5);
        let twice: Vec<f64> = instance.a.col(1).to_vec();
        instance.a.col_mut(3).copy_from_slice(&twice);
        for form in forms().filter(|form| !form.sparse) {
            let (context, cut, params) =
                (Context::new(1), Cut::new(&instance, form, &CUTS), Params::default());
            let found =
                lstsq_by_parts::<f64>(&context, &cut, &[0.0], form.fit_intercept, &params).unwrap().output;
            let whole = lstsq(&context, &instance.problem(form, &[0.0]), &params).unwrap();
            assert_eq!(found.rank, Some(4));
            for (found, expected) in found.x.as_slice().iter().zip(whole.x.as_slice()) {
                assert_near(*found, *expected, &format!("{form:?}"));
            }
        }
    }

    #[test]
    fn no_rows_and_no_weights_are_refused() {
        let instance = Instance::new(40, 3);
        let refusal = |instance: &Instance, form: Form, cuts: &[Range<usize>]| {
            let cut = Cut::new(instance, form, cuts);
            let found =
                lstsq_by_parts::<f64>(&Context::new(1), &cut, &[0.0], form.fit_intercept, &Params::default());
            found.err().map_or_else(String::new, |error| error.to_string())
        };
        for form in forms() {
            assert!(refusal(&instance, form, &[0..0, 0..0]).contains("no rows"));
        }
        let mut without = instance.part(0..40);
        without.weights.fill(0.0);
        assert!(refusal(&without, forms().nth(2).unwrap(), &[0..9, 9..40]).contains("sample_weight"));
        let mut damaged = instance.part(0..40);
        damaged.a[(7, 1)] = f64::NAN;
        for form in forms().filter(|form| !form.sparse) {
            let found = refusal(&damaged, form, &[0..5, 5..40]);
            assert!(form.weighted || found.contains("[2, 1]"), "{form:?}: {found}");
        }
    }
}
