//! Samples of rows that stand for all rows in l_p: scores, draws, and what is certified of them.

use super::basis::Basis;
use super::design::{Design, by_rows};
use super::determinantal::determinantal;
use super::distortion::{
    Search, exact, has_lost_a_direction, measured, net_bound, rounding, rows_of_sample, spectrum,
};
use super::draw::{Draw, Drawn, draw, rate};
use super::leverage::root_leverages;
use super::lewis::{LewisParams, lewis_of};
use super::sensitivity::{Measure, REFERENCE};
use crate::error::{Error, Result};
use crate::matrix::{Buffer, Mat, Matrix, Products, Real};
use crate::memory::{collected, filled};
use crate::parallel::Context;

/// What rows are drawn by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The caller's scores.
    Given,
    /// Ones.
    Uniform,
    /// t
    Leverage,
    /// t^(p/2)
    RootLeverage,
    /// w
    Lewis,
    /// s
    Sensitivity,
    /// s over their sum and t over the rank.
    LeverageSensitivity,
    /// w and t over the rank, and 1 / n.
    Augmented,
}

impl Rule {
    /// By their names.
    pub const NAMES: [(&'static str, Self); 7] = [
        ("uniform", Self::Uniform),
        ("leverage", Self::Leverage),
        ("root_leverage", Self::RootLeverage),
        ("lewis", Self::Lewis),
        ("sensitivity", Self::Sensitivity),
        ("leverage_sensitivity", Self::LeverageSensitivity),
        ("augmented", Self::Augmented),
    ];
}

/// How many rows.
#[derive(Clone, Copy, Debug)]
pub enum Size {
    /// So many.
    Rows(usize),
    /// As many as the rank, for designs that know how many.
    Rank,
    /// As many as usually bring the distortion below this.
    Distortion(f64),
}

/// Which rows come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// By scores, whatever the others.
    Scores(Draw),
    /// So many determinantal samples of as many rows as the rank.
    Determinantal(usize),
    /// One of them, and rows by leverage scores beside it.
    Volume,
}

/// How rows are drawn.
#[derive(Clone, Copy, Debug)]
pub struct SampleParams {
    /// The power.
    pub p: f64,
    /// The scores.
    pub rule: Rule,
    /// The number.
    pub size: Size,
    /// The design.
    pub design: Plan,
    /// Whether to search for the largest distortion, for other p than 2.
    pub is_searched: bool,
    /// Of the random numbers.
    pub seed: u64,
}

/// A sample, and what is known of it.
pub struct Sample {
    /// Rows, and their weights.
    pub drawn: Drawn,
    /// Scores of all rows.
    pub scores: Buffer<f64>,
    /// Rank of A.
    pub rank: usize,
    /// The distortion itself, for p = 2.
    pub exact: Option<f64>,
    /// One that there is, for other p.
    pub found: Option<f64>,
    /// What a net proves, and with what probability.
    pub bound: Option<(f64, f64)>,
    /// What rounding may have made of the distortion.
    pub rounding: f64,
    /// Whether directions were cut off that are more than rounding in some row.
    pub is_cut: bool,
}

/// c with a distortion of c sqrt(d / m) in samples of m rows, for some p: measured on Gaussian rows; for p = 2 the edge of
/// the law of Marchenko and Pastur. Rows with heavy tails need less.
const CONSTANTS: [(f64, f64); 5] = [(1.0, 1.2), (1.5, 1.2), (2.0, 1.0), (3.0, 0.9), (4.0, 0.8)];
/// What makes the size for a distortion one that is hardly ever too small.
const MARGIN: f64 = 1.7;
/// Rows that a search for a distortion is made over, at least.
const SEARCHED: usize = 4096;
/// Probability that the bound of a net does not hold.
const DELTA: f64 = 0.01;
/// What memory is for.
const SAMPLE: &str = "a sample of rows";

/// Rows that usually bring the distortion in r dimensions below eps.
pub fn practical_size(p: f64, r: usize, eps: f64) -> usize {
    let above = CONSTANTS.iter().position(|&(known, _)| p <= known).unwrap_or(CONSTANTS.len());
    let constant = match (above, CONSTANTS.get(above)) {
        (0, _) => CONSTANTS[0].1,
        (at, Some(&(right, upper))) => {
            let (left, lower) = CONSTANTS[at - 1];
            lower + (upper - lower) * (p - left) / (right - left)
        }
        (at, None) => CONSTANTS[at - 1].1,
    };
    // Rows that are alike in r directions of their own: the furthest off of r sums over m / r rows.
    let furthest = (2.0 * (2.0 * r as f64).ln()).sqrt() / p;
    let constant = constant.max(furthest);
    (MARGIN * constant * constant * r as f64 / (eps * eps)).ceil() as usize
}

/// Draws rows of A, which `weights` count that many times; `given` are the caller's scores. Those that have lost a
/// direction are drawn once more, with twice the size, unless this is to be exact.
pub fn sample_rows<T: Real>(
    context: &Context,
    a: Matrix<'_, T>,
    weights: Option<&[f64]>,
    given: Option<&[f64]>,
    params: &SampleParams,
) -> Result<Sample> {
    by_rows(context, a, weights, 0.0, |a| {
        let (design, gram) = Design::new(context, a, weights, params.p)?;
        let mut basis = Basis::new(context, &design, &gram, 0.0)?;
        if !matches!(params.design, Plan::Scores(_)) {
            // The columns of Q are to be as orthonormal as they can be: shares of rows are squares of its rows.
            basis = basis.mended(context, &design)?;
        }
        let rank = basis.rank();
        let mut size = match params.size {
            Size::Rows(size) if size < rank => {
                return Err(Error::value(
                    "size",
                    size,
                    format!("at least {rank}, the rank of A and of targets beside it"),
                ));
            }
            Size::Rows(size) => size,
            Size::Rank => rank,
            Size::Distortion(eps) => practical_size(params.p, rank, eps).max(rank),
        };
        let rounding = rounding(&basis.whitener, basis.lost());
        let is_cut = basis.leaves_out(context, &design, &gram)?;
        let Scored { mut scores, whitener, are_sensitivities } =
            scored(context, &design, basis, given, params)?;
        if let Some(weights) = weights {
            scores.iter_mut().zip(weights).for_each(|(score, &weight)| {
                if weight == 0.0 {
                    *score = 0.0;
                }
            });
        }
        let mut drawn = match params.design {
            Plan::Scores(plan) => {
                let drawn = draw(context, &scores, size, plan, params.seed)?;
                if plan == Draw::Fixed || spans(context, &design, &whitener, &drawn, params.p)? {
                    drawn
                } else {
                    size = size.saturating_mul(2);
                    draw(context, &scores, size, plan, params.seed)?
                }
            }
            plan => together(context, &design, &whitener, plan, size, params.seed)?,
        };
        let mut sample = Sample {
            drawn: Drawn::default(),
            scores,
            rank,
            exact: None,
            found: None,
            bound: None,
            rounding,
            is_cut,
        };
        certify(context, &design, &whitener, &drawn, params, &mut sample)?;
        if are_sensitivities && params.design == Plan::Scores(Draw::Bernoulli) {
            let positive = sample.scores.iter().filter(|&&score| score > 0.0).count();
            sample.bound = Some(if positive <= size {
                (0.0, 1.0)
            } else {
                // Rows that are not certain have shares of their sensitivities over this, drawn or not.
                let alpha = rate(context, &sample.scores, size as f64)?.recip();
                (net_bound(alpha, rank, params.p, DELTA), 1.0 - DELTA)
            });
        }
        if let Some(weights) = weights {
            drawn.weights.iter_mut().zip(&drawn.indices).for_each(|(weight, &i)| *weight *= weights[i]);
        }
        sample.drawn = drawn;
        Ok(sample)
    })
}

/// Whether some of the rows go in every direction.
fn spans<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    whitener: &Mat<f64>,
    drawn: &Drawn,
    p: f64,
) -> Result<bool> {
    let rows = rows_of_sample(context, design, whitener, &drawn.indices, &drawn.weights, p)?;
    Ok(!has_lost_a_direction(&spectrum(context, &rows)?.0))
}

/// Rows that are drawn together, by the rows of A where its columns are orthonormal.
fn together<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    whitener: &Mat<f64>,
    plan: Plan,
    size: usize,
    seed: u64,
) -> Result<Drawn> {
    let (n, r) = (design.nrows(), whitener.ncols());
    let mut q = Mat::zeros(r, n)?;
    design.rows.product(context, whitener.as_ref(), q.as_mut().t())?;
    match plan {
        Plan::Determinantal(repeats) => determinantal(context, &q, repeats, 0, seed),
        _ => determinantal(context, &q, 1, size - r, seed),
    }
}

/// Scores, and coordinates for searches.
struct Scored {
    scores: Buffer<f64>,
    whitener: Mat<f64>,
    /// Whether no score is below the sensitivity of its row.
    are_sensitivities: bool,
}

fn scored<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    basis: Basis,
    given: Option<&[f64]>,
    params: &SampleParams,
) -> Result<Scored> {
    let (n, p, rule) = (design.nrows(), params.p, params.rule);
    let rank = basis.rank() as f64;
    let whitener = basis.whitener.copy()?;
    let leverages = |basis: &Basis| -> Result<Buffer<f64>> {
        let mut scores = design.squared_norms(context, &basis.whitener, basis.is_mild)?;
        scores.iter_mut().for_each(|score| *score = score.min(1.0));
        Ok(scores)
    };
    let plain =
        |scores: Buffer<f64>, whitener: Mat<f64>| Scored { scores, whitener, are_sensitivities: false };
    match rule {
        Rule::Given => {
            let given = given.ok_or_else(|| Error::Internal("no scores were given".into()))?;
            Ok(plain(Buffer::copy_of(given, SAMPLE)?, whitener))
        }
        Rule::Uniform => {
            // Ones, but for rows of zeros.
            let mut scores = design.squared_norms(context, &basis.whitener, basis.is_mild)?;
            scores.iter_mut().for_each(|score| *score = f64::from(*score > 0.0));
            Ok(plain(scores, whitener))
        }
        Rule::Leverage => Ok(Scored { are_sensitivities: p == 2.0, ..plain(leverages(&basis)?, whitener) }),
        Rule::RootLeverage => {
            let mut scores = leverages(&basis)?;
            root_leverages(&mut scores, p);
            Ok(plain(scores, whitener))
        }
        _ if p == 2.0 && rule != Rule::Augmented => {
            Ok(Scored { are_sensitivities: true, ..plain(leverages(&basis)?, whitener) })
        }
        _ => {
            let flat = match rule {
                Rule::LeverageSensitivity | Rule::Augmented => Some(leverages(&basis)?),
                _ => None,
            };
            let lewis_params = LewisParams { p, tolerance: 0.05, max_iter: 60 };
            let (lewis, close) = lewis_of(context, design, basis, &lewis_params)?;
            let mut scores = lewis.weights;
            let mut are_sensitivities = false;
            if matches!(rule, Rule::Sensitivity | Rule::LeverageSensitivity) {
                (scores, are_sensitivities) =
                    sensitivities(context, design, &whitener, close.condition, &scores, params)?;
            }
            if let Some(flat) = flat {
                let (sum, share) = match rule {
                    Rule::Augmented => (rank, 1.0 / n as f64),
                    _ => (scores.iter().sum(), 0.0),
                };
                for (score, flat) in scores.iter_mut().zip(&*flat) {
                    *score = if *flat == 0.0 { 0.0 } else { *score / sum + flat / rank + share };
                }
                are_sensitivities = false;
            }
            Ok(Scored { scores, whitener: close.whitener, are_sensitivities })
        }
    }
}

/// Upper bounds of all sensitivities, and whether they are: by all rows where there are few.
fn sensitivities<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    whitener: &Mat<f64>,
    condition: f64,
    lewis: &[f64],
    params: &SampleParams,
) -> Result<(Buffer<f64>, bool)> {
    let measure =
        Measure::new(context, design, whitener.copy()?, condition, lewis, params.p, REFERENCE, params.seed)?;
    let bounds = measure.bounds(context, design, &collected(0..design.nrows(), SAMPLE)?, 0.03)?;
    Ok((Buffer::copy_of(&bounds.upper, SAMPLE)?, measure.is_exact))
}

/// Measures what can be measured.
fn certify<T: Real>(
    context: &Context,
    design: &Design<'_, T>,
    whitener: &Mat<f64>,
    drawn: &Drawn,
    params: &SampleParams,
    sample: &mut Sample,
) -> Result<()> {
    let p = params.p;
    let rows = rows_of_sample(context, design, whitener, &drawn.indices, &drawn.weights, p)?;
    if p == 2.0 {
        sample.exact = Some(exact(context, &rows)?);
        return Ok(());
    }
    if !params.is_searched {
        return Ok(());
    }
    let n = design.nrows();
    let size = SEARCHED.max(2 * drawn.indices.len()).max(20 * whitener.ncols());
    let other = if n <= size {
        let everything = collected(0..n, SAMPLE)?;
        rows_of_sample(context, design, whitener, &everything, &filled(1.0, n, SAMPLE)?, p)?
    } else {
        // Another draw by the same scores stands for all rows until directions are measured.
        let other = draw(context, &sample.scores, size, Draw::Fixed, params.seed ^ u64::MAX)?;
        rows_of_sample(context, design, whitener, &other.indices, &other.weights, p)?
    };
    let directions = Search { p, sample: &rows, other: &other, seed: params.seed }.directions(context)?;
    sample.found = Some(measured(context, design, whitener, &rows, &directions, p)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_table_and_between() {
        assert_eq!(practical_size(2.0, 10, 0.1), 2547);
        assert_eq!(practical_size(1.0, 1, 0.1), 245);
        assert_eq!(practical_size(30.0, 10, 0.1), practical_size(4.0, 10, 0.1));
        assert_eq!(practical_size(1.75, 1, 1.0), (1.7f64 * 1.1 * 1.1).ceil() as usize);
        assert!((1..9).all(|k| practical_size(1.0, 10 * k, 0.1) > practical_size(2.0, 10 * k, 0.1)));
    }
}
