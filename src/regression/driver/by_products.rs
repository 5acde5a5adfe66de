//! The driver of linear operators: methods that ask for products only, and no QR to fall back on.

use crate::error::{Error, Result};
use crate::linalg::norm;
use crate::matrix::{LinearOperator, Mat, Real};
use crate::memory::copied;
use crate::parallel::Context;
use crate::random::Stream;
use crate::regression::bounds::spectrum::FAILURE;
use crate::regression::design::Design;
use crate::regression::design::products::{product, transposed_product};
use crate::regression::driver::output::{Columns, Output};
use crate::regression::driver::plan::{Candidate, Method, Params, Plan, ProductCandidate};
use crate::regression::driver::steps::{Driver, Steps};
use crate::regression::methods::lsmr::{Lengths, PROBES, lsmr};
use crate::regression::methods::outcome::{Factored, Outcome};
use crate::regression::methods::qr::{doubt, shortened};
use crate::regression::methods::sketched::{SketchFactor, sketched_by_products};
use crate::regression::methods::spir::{Inner, spir};
use crate::regression::problem::Problem;
use crate::regression::refine::Group;
use crate::simd::dot;

/// What is tried on an operator.
pub(crate) struct ByProducts {
    candidates: Vec<ProductCandidate>,
}

impl<'o, T: Real> Steps<T, &'o dyn LinearOperator> for ByProducts {
    type Candidate = ProductCandidate;
    const READS: usize = 2;

    fn design<'a>(
        context: &Context,
        problem: &Problem<'a, T, &'o dyn LinearOperator>,
        _: &Params,
    ) -> Result<Design<'a, T, &'o dyn LinearOperator>> {
        Design::by_products(context, problem)
    }

    fn plan(driver: &mut Driver<'_>, design: &mut Design<'_, T, &'o dyn LinearOperator>) -> Result<Self> {
        let plan = Plan::for_products(design.nrows(), design.ncols(), driver.params)?;
        driver.ledger.sentences = plan.reasons;
        driver.ledger.read(2);
        check_adjoint(driver.context, design)?;
        Ok(Self { candidates: plan.candidates })
    }

    fn solve(
        &mut self,
        driver: &mut Driver<'_>,
        group: &Group<'_, '_, T, &'o dyn LinearOperator>,
        output: &mut Output,
    ) -> Result<()> {
        let candidates = self.candidates.clone();
        driver.try_candidates(self, group, &candidates, output)
    }

    fn attempt(
        &mut self,
        driver: &mut Driver<'_>,
        group: &Group<'_, '_, T, &'o dyn LinearOperator>,
        candidate: ProductCandidate,
    ) -> Result<Outcome> {
        match candidate {
            ProductCandidate::Lsmr(limit) => {
                driver.ledger.read(PROBES);
                let seed = driver.params.seed;
                lsmr(group, Lengths::by_products(group, seed)?, limit, seed)
            }
            ProductCandidate::Iterative { heavy_ball, .. } => {
                let plan = Candidate::from(candidate).sketch(group.design, driver.params);
                let sketched = sketched_by_products(group, plan)?;
                driver.ledger.read(group.design.ncols());
                let inner = Inner::of(heavy_ball, group.design.ncols(), plan.rows);
                iterate(group, sketched, inner, driver.rcond)
            }
        }
    }

    fn accept(
        &mut self,
        driver: &mut Driver<'_>,
        group: &Group<'_, '_, T, &'o dyn LinearOperator>,
        candidate: Candidate,
        factored: Factored,
        output: &mut Output,
    ) -> Result<()> {
        let sketch_size = candidate.sketch_size(group.design, driver.params);
        output.accept(group, candidate.method(), &factored, sketch_size)
    }

    fn accept_unfactored(
        &mut self,
        _: &mut Driver<'_>,
        _: &Group<'_, '_, T, &'o dyn LinearOperator>,
        output: &mut Output,
    ) -> Result<()> {
        (output.columns, output.confidence) = (Columns::Unscaled, 1.0 - FAILURE);
        Ok(())
    }

    fn rank_alone(
        &mut self,
        _: &mut Driver<'_>,
        _: &Group<'_, '_, T, &'o dyn LinearOperator>,
        output: &mut Output,
    ) -> Result<()> {
        output.method = Method::Lsmr;
        Ok(())
    }
}

/// SPIR or FOSSILS: with no QR to fall back on, they bear deficient ranks themselves.
fn iterate<T: Real>(
    group: &Group<'_, '_, T, &dyn LinearOperator>,
    sketched: SketchFactor,
    inner: Inner,
    rcond: f64,
) -> Result<Outcome> {
    let doubt = doubt(group.design, &sketched.scaled, || Ok(sketched.condition), rcond)?;
    let (d, most) = (group.design.ncols(), group.most_rank());
    let possible = d - sketched.scaled.empty.len();
    if possible <= most && doubt.is_finite() && doubt * rcond < 1.0 {
        return spir(group, sketched, inner);
    }
    let empty = copied(&sketched.scaled.empty, "columns of zeros")?;
    match spir(group, sketched.truncated(rcond, most)?, inner)? {
        Outcome::Factored(Factored { refined, scaled, condition }) if scaled.factor.rank() < possible => {
            let refined = shortened(group, refined, &scaled, None, &empty)?;
            Ok(Outcome::Factored(Factored { refined, scaled, condition }))
        }
        outcome => Ok(outcome),
    }
}

/// Refuses an operator whose products y'(A x) and (A'y)'x differ for random x and y: where A' is not the transpose of A, an
/// answer looks exact and is not.
fn check_adjoint<T: Real>(context: &Context, design: &Design<'_, T, &dyn LinearOperator>) -> Result<()> {
    let random = |len: usize, column: u64| {
        let numbers = Stream::new(0, 0, ADJOINT);
        Mat::from_fn(len, 1, |i, _| numbers.normal(i as u64, column))
    };
    let (x, y) = (random(design.ncols(), 0)?, random(design.nrows(), 1)?);
    let (image, slope) = (product(context, design, &x)?, transposed_product(context, design, &y)?);
    let [left, right] = [dot(image.as_slice(), y.as_slice()), dot(slope.as_slice(), x.as_slice())];
    let slack = MISFIT * (norm(image.as_slice()) + norm(slope.as_slice()));
    if (left - right).abs() > slack {
        let expected = "the transpose in `rmatvec` and `rmatmat`";
        return Err(Error::value(
            "A",
            format!("an operator with y'(A x) = {left:.3e}, (A'y)'x = {right:.3e}"),
            expected,
        ));
    }
    Ok(())
}

/// Purpose of the random stream of x and y.
const ADJOINT: u8 = 8;

/// How far the two products may be apart, in units of what they are for numbers of size one: far above single precision.
const MISFIT: f64 = 1e-3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::testing::Known;
    use crate::matrix::{Dense, DenseMut};
    use crate::regression::driver::lstsq_by_products;
    use crate::regression::driver::output::Output;
    use crate::regression::driver::plan::Params;
    use crate::regression::testing::{Form, Instance, assert_near, operator_forms};

    fn solved(
        operator: &dyn LinearOperator,
        instance: &Instance,
        form: Form,
        params: &Params,
    ) -> Result<Output> {
        let Problem { targets, weights, fit_intercept, .. } = instance.problem(form, &[]);
        let problem = Problem { design: operator, targets, weights, ridge: &[2.0], fit_intercept };
        lstsq_by_products(&Context::new(2), &problem, params)
    }

    #[test]
    fn every_method_gives_the_minimiser_and_says_what_its_figures_are() {
        let instance = Instance::new(400, 5);
        let operator = Known(instance.a.copy().unwrap());
        for (form, method) in operator_forms().flat_map(|form| {
            [Method::Auto, Method::Spir, Method::Fossils, Method::Lsmr].map(|method| (form, method))
        }) {
            let params = Params { method, ..Params::default() };
            let found = solved(&operator, &instance, form, &params).unwrap();
            let expected = instance.minimiser(form, 2.0);
            for (found, &expected) in found.x.as_slice().iter().zip(expected.as_slice()) {
                assert_near(*found, expected, method.name());
            }
            let by_lsmr = found.method == Method::Lsmr;
            assert_eq!((found.rank.is_none(), found.sketch_size.is_none()), (by_lsmr, by_lsmr));
            assert_eq!(found.columns == Columns::Unscaled, by_lsmr);
            assert_eq!(found.confidence < 1.0, by_lsmr);
        }
    }

    #[test]
    fn equal_columns_share_what_is_theirs() {
        let instance = Instance::new(400, 5);
        let twice = Known(Mat::from_fn(400, 6, |i, j| instance.a[(i, j % 5)]).unwrap());
        let form = operator_forms().next().unwrap();
        let Problem { targets, .. } = instance.problem(form, &[]);
        let problem = Problem {
            design: &twice as &dyn LinearOperator,
            targets,
            weights: None,
            ridge: &[0.0],
            fit_intercept: false,
        };
        let expected = instance.minimiser(form, 0.0);
        for method in [Method::Auto, Method::Spir, Method::Fossils, Method::Lsmr] {
            let params = Params { method, ..Params::default() };
            let found = lstsq_by_products(&Context::new(2), &problem, &params).unwrap();
            for (j, target) in (0..6).flat_map(|j| [(j, 0), (j, 1)]) {
                let share = if j % 5 == 0 { 0.5 } else { 1.0 };
                assert_near(found.x[(j, target)], share * expected[(j % 5, target)], method.name());
            }
        }
    }

    #[test]
    fn what_products_cannot_do_is_refused() {
        let instance = Instance::new(60, 5);
        let operator = Known(instance.a.copy().unwrap());
        let form = operator_forms().next().unwrap();
        let refused = |form: Form, params: Params| {
            solved(&operator, &instance, form, &params)
                .err()
                .map_or_else(String::new, |error| error.to_string())
        };
        let default = Params::default;
        assert_eq!(refused(form, default()), "");
        assert!(refused(Form { fit_intercept: true, ..form }, default()).contains("fit_intercept"));
        assert!(refused(form, Params { certify: true, ..default() }).contains("certify"));
        assert!(refused(form, Params { keep_factor: true, ..default() }).contains("keep_factor"));
        for method in [Method::Gram, Method::Whitened, Method::FgmresWlsir, Method::Qr] {
            assert!(refused(form, Params { method, ..default() }).contains(method.name()));
        }
    }

    /// Its transpose is that of another matrix.
    #[derive(Debug)]
    struct Crooked(Known);

    impl LinearOperator for Crooked {
        fn nrows(&self) -> usize {
            self.0.nrows()
        }

        fn ncols(&self) -> usize {
            self.0.ncols()
        }

        fn product(&self, x: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
            self.0.product(x, out)
        }

        fn transposed_product(&self, y: Dense<'_, f64>, mut out: DenseMut<'_, f64>) -> Result<()> {
            self.0.transposed_product(y, out.reborrow())?;
            for j in 0..out.ncols() {
                out.column_mut(j).enumerate().for_each(|(i, value)| *value *= 1.0 + 0.1 * i as f64);
            }
            Ok(())
        }
    }

    #[test]
    fn a_transpose_that_is_none_is_seen() {
        let instance = Instance::new(60, 5);
        let form = operator_forms().next().unwrap();
        let crooked = Crooked(Known(instance.a.copy().unwrap()));
        let refused = solved(&crooked, &instance, form, &Params::default()).err().unwrap();
        assert!(refused.to_string().contains("rmatvec"), "{refused}");
    }
}
