//! The driver: from the caller's problem to answers with their certificates.

pub(crate) mod by_products;
pub(crate) mod by_rows;
pub(crate) mod cost;
pub(crate) mod empty;
pub(crate) mod hint;
pub(crate) mod ledger;
pub(crate) mod output;
pub(crate) mod plan;
pub(crate) mod small;
pub(crate) mod steps;

use crate::error::{Error, Result};
use crate::matrix::{LinearOperator, Matrix, Real};
use crate::parallel::Context;
use crate::regression::bounds::forward::ForwardError;
use crate::regression::covariance::Inference;
use crate::regression::design::Design;
use crate::regression::design::pass::Passes;
use crate::regression::driver::by_products::ByProducts;
use crate::regression::driver::by_rows::ByRows;
use crate::regression::driver::ledger::Ledger;
use crate::regression::driver::output::Output;
use crate::regression::driver::plan::Params;
use crate::regression::driver::steps::{Driver, Steps};
use crate::regression::methods::sketched::Sketchable;
use crate::regression::problem::Problem;
use crate::regression::refine::{Group, groups};

/// Least squares for every target. A sparse matrix that is stored by columns is stored by rows first, which costs no more
/// than a read.
pub fn lstsq<T: Real + Sketchable>(
    context: &Context,
    problem: &Problem<'_, T>,
    params: &Params,
) -> Result<Output> {
    if let Some(output) = small::answer(problem, params)? {
        context.progress(output.n_iter + 1, output.n_iter + 1, &[])?;
        return Ok(output);
    }
    match &problem.design {
        Matrix::Sparse(matrix) => matrix.by_rows(context, |rows| {
            let by_rows = Problem { design: Matrix::Sparse(*rows), ..*problem };
            solve::<T, Matrix<'_, T>, ByRows>(context, &by_rows, params)
        }),
        Matrix::Dense(_) => solve::<T, Matrix<'_, T>, ByRows>(context, problem, params),
    }
}

/// The same of dense rows of which the design is there, and what is known of it.
pub(crate) fn lstsq_of_design<'a, T: Real + Sketchable>(
    context: &Context,
    design: Design<'a, T, Matrix<'a, T>>,
    ridge: &[f64],
    params: &Params,
) -> Result<Output> {
    solve_design::<T, Matrix<'a, T>, ByRows>(context, design, ridge, params, Ledger::new())
}

/// The same where A is known by its products alone. There is no intercept, no bound on coefficients and no factor to keep.
pub fn lstsq_by_products<T: Real>(
    context: &Context,
    problem: &Problem<'_, T, &dyn LinearOperator>,
    params: &Params,
) -> Result<Output> {
    solve::<T, &dyn LinearOperator, ByProducts>(context, problem, params)
}

fn solve<T: Real, M: Passes<T>, S: Steps<T, M>>(
    context: &Context,
    problem: &Problem<'_, T, M>,
    params: &Params,
) -> Result<Output> {
    let (n, d) = problem.design.shape();
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
    let design = S::design(context, problem, params)?;
    solve_design::<T, M, S>(context, design, problem.ridge, params, ledger)
}

fn solve_design<T: Real, M: Passes<T>, S: Steps<T, M>>(
    context: &Context,
    mut design: Design<'_, T, M>,
    ridge: &[f64],
    params: &Params,
    ledger: Ledger,
) -> Result<Output> {
    let (d, k) = (design.ncols(), design.ntargets());
    let mut driver = Driver::new(context, &design, params, ledger);
    let mut steps = S::plan(&mut driver, &mut design)?;
    driver.ledger.end("plan");
    let mut output = Output::empty::<T>(d, k, params)?;
    output.inference = params.keep_factor.then(|| Inference::of(&design)).transpose()?;
    output.forward = params.certify.then(|| ForwardError::none(d, k)).transpose()?;
    let group = Group {
        context,
        design: &design,
        targets: &[],
        ridge: ridge.first().copied().unwrap_or(0.0),
        tolerance: driver.tolerance,
        max_passes: params.max_iter.unwrap_or(7),
    };
    for (ridge, targets) in groups(&design, ridge)? {
        steps.solve(&mut driver, &Group { targets: &targets, ridge, ..group }, &mut output)?;
    }
    if output.backward_error.is_empty() || (0..k).all(|target| design.target_norm(target) == 0.0) {
        driver.ledger.explain("every target is zero".into());
        steps.rank_alone(&mut driver, &Group { max_passes: 0, ..group }, &mut output)?;
    }
    output.complete(&design, driver.ledger)?;
    context.progress(output.n_iter + 1, output.n_iter + 1, &[])?;
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::driver::plan::Method;
    use crate::regression::testing::{Instance, assert_near, forms};

    #[test]
    fn every_method_gives_the_minimiser_in_the_units_of_the_caller() {
        let instance = Instance::new(400, 5);
        let all = forms().flat_map(|form| Method::ALL.map(|method| (form, method)));
        for (form, method) in all.filter(|(form, method)| form.sparse || *method != Method::SparseCholesky) {
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
