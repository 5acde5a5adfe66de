//! The answer with what was measured.

use crate::error::Result;
use crate::linalg::times_power_of_two;
use crate::memory::{collected, copied};
use crate::parallel::Context;
use crate::simd::{axpy, norm_sq};
use crate::streaming::answers::stack::stacked;
use crate::streaming::rows::chunk::CHUNK;
use crate::streaming::rows::order::Quotient;
use crate::streaming::small::numbers::Numbers;
use crate::streaming::stream::Stream;
use crate::streaming::summaries::ladder::Grown;

/// What memory is for.
const ROOTS: &str = "roots of weights";

/// What a stream says.
pub struct Answer {
    /// Orthonormal rows, k x d, or zero where there is nothing.
    pub components: Vec<f64>,
    /// Eigenvalues of A'A, descending; one more than there are components, if there is one.
    pub eigenvalues: Vec<f64>,
    /// Of the rows; None if they are not centred.
    pub mean: Option<Vec<f64>>,
    /// |A|_F^2, about the mean if rows are centred.
    pub energy: f64,
    /// Roots of the eigenvalues, and these as shares of the energy: in range where those are not.
    pub singular_values: Vec<f64>,
    /// See there.
    pub shares: Vec<f64>,
    /// The sums of the weights of the rows and of their squares.
    pub weights: [f64; 2],
    /// Heavy rows kept apart.
    pub n_heavy: usize,
    /// Whether nothing was left out.
    pub exact: bool,
    /// How far the rate of the first direction fell, or that of all rows changed, in standard errors.
    pub fall: Option<f64>,
    /// v'A'A v of a direction.
    pub rayleigh: Option<Quotient>,
    /// What the sine of the angle to the subspace of the components cannot exceed.
    pub sine: Option<f64>,
    /// How far the vector of a rung has grown.
    pub growth: Option<Grown>,
    /// What rounding may have taken of the energy, where that is the difference of two sums.
    pub lost: f64,
    /// How many streams became this one, less one.
    pub merged: u64,
    /// Rows were summed up divided by two to this power.
    pub unit: i32,
    /// `"block_power"` or another, whose light rows are in the answer.
    pub light: &'static str,
}

impl Stream {
    /// What the rows so far say; the stream goes on as if nobody had looked.
    pub fn answer(&self, context: &Context) -> Result<Answer> {
        let mut last = self.copy()?;
        let (few, ahead) = last.finish(context)?;
        let (d, k) = (last.plan.d, last.params.k);
        let (mut rows, roots, mut light) = match &few {
            Some(all) => (all.rows.copy()?, copied(&all.roots, ROOTS)?, Numbers::zeros(0)?),
            None => (
                last.heavy.copy_of_rows()?,
                last.heavy.roots()?,
                last.summary.factor(context, last.total.as_ref())?,
            ),
        };
        let mean = last.centre(&mut rows, &roots)?;
        let energy = mean.as_ref().map_or(last.energy, |mean| mean.energy);
        within(&mut light, energy - norm_sq(&rows));
        let pairs = stacked(context, &light, &rows, d, k)?;
        let mut answer = Answer {
            components: pairs.components,
            eigenvalues: pairs.values,
            energy,
            singular_values: Vec::new(),
            shares: Vec::new(),
            weights: last.weights,
            mean: None,
            n_heavy: roots.len(),
            exact: few.is_some(),
            fall: if few.is_some() { None } else { last.disorder() },
            rayleigh: None,
            sine: None,
            growth: None,
            lost: 0.0,
            merged: last.n_merged,
            unit: last.unit.unwrap_or(0),
            light: if few.is_some() { "rows" } else { last.summary.light() },
        };
        answer.mean = mean.map(|mean| mean.numbers);
        answer.lost = last.energy / answer.energy * f64::EPSILON;
        answer.cap(k);
        if few.is_none() {
            answer.growth = last.summary.grown();
            answer.rayleigh = ahead.map(|ahead| ahead.of_all_rows(&rows, d));
        }
        let rounding = f64::EPSILON
            * (last.seen as f64 / CHUNK as f64 + d as f64 + OTHERS)
            * (last.energy + last.cancelled);
        let slack = if few.is_some() { Some(rounding) } else { last.summary.slack(rounding) };
        answer.sine = slack.and_then(|slack| answer.sine_within(slack, k.min(d)));
        answer.leave_unit()?;
        if let (Some(mean), Some(shift)) = (&mut answer.mean, &last.shift) {
            mean.iter_mut().zip(shift.iter()).for_each(|(mean, shift)| *mean += shift);
        }
        Ok(answer)
    }

    /// Takes the mean of all rows off these, which are not summed up, and puts one behind them: what the summary, which is
    /// about its own mean, lacks.
    fn centre(&self, rows: &mut Numbers, roots: &[f64]) -> Result<Option<Mean>> {
        let Some(light) = &self.total else { return Ok(None) };
        let (d, mut all) = (self.plan.d, light.copy()?);
        for (row, &root) in rows.chunks_exact(d.max(1)).zip(roots) {
            all.add(row, root);
        }
        let mean = all.mean()?;
        for (row, &root) in rows.chunks_exact_mut(d.max(1)).zip(roots) {
            axpy(-root, &mean, row);
        }
        if light.weight > 0.0 {
            let mut between = light.mean()?;
            axpy(-1.0, &mean, &mut between);
            let more = Numbers::zeros(rows.len() + d)?;
            let former = std::mem::replace(rows, more);
            rows[..former.len()].copy_from_slice(&former);
            axpy(light.weight.sqrt(), &between, &mut rows[former.len()..]);
        }
        let energy = (self.energy - all.weight * norm_sq(&mean)).max(0.0);
        Ok(Some(Mean { numbers: copied(&mean, "the mean")?, energy }))
    }
}

/// The mean of the rows less the shift, and their energy about it.
struct Mean {
    numbers: Vec<f64>,
    energy: f64,
}

/// Light rows have no more than this energy, which is known however well their summary does.
fn within(light: &mut Numbers, energy: f64) {
    /// What rounding may have added.
    const MORE: f64 = 1.0 + 1e-9;
    let has = norm_sq(light);
    if has > energy.max(0.0) * MORE {
        light.scale((energy.max(0.0) / has).sqrt());
    }
}

/// Roundings beside those of sums of chunks and of eigenvectors.
const OTHERS: f64 = 128.0;

impl Answer {
    /// The sine of the angle that directions are off at most when A'A is `slack` more at most, in no direction less, than what
    /// they are of (Davis and Kahan, about the middle of that).
    fn sine_within(&self, slack: f64, k: usize) -> Option<f64> {
        let next = self.eigenvalues.get(k).copied().unwrap_or(0.0);
        let gap = self.eigenvalues.get(k.checked_sub(1)?)? - next - 0.5 * slack;
        (gap > 0.0).then(|| 0.5 * slack / gap).filter(|sine| *sine < 1.0)
    }

    /// Eigenvalues of the components are not more than all energy, to the last digit.
    fn cap(&mut self, k: usize) {
        let sum: f64 = self.eigenvalues.iter().take(k).sum();
        if sum > self.energy {
            let factor = self.energy / sum * (1.0 - 8.0 * f64::EPSILON);
            self.eigenvalues.iter_mut().for_each(|value| *value *= factor);
        }
    }

    /// From rows divided by two to that power to rows as they were.
    fn leave_unit(&mut self) -> Result<()> {
        let unit = self.unit;
        let values = || self.eigenvalues.iter();
        let root = |value: &f64| times_power_of_two(value.sqrt(), unit);
        self.singular_values = collected(values().map(root), "singular values")?;
        let energy = if self.energy > 0.0 { self.energy } else { f64::NAN };
        self.shares = collected(values().map(|value| value / energy), "shares")?;
        let square = |number: &mut f64| *number = times_power_of_two(*number, 2 * unit);
        self.eigenvalues.iter_mut().for_each(square);
        square(&mut self.energy);
        if let Some(Quotient { heavy, light, most, .. }) = &mut self.rayleigh {
            [heavy, light, most].into_iter().for_each(square);
        }
        if let Some(Grown { rate, .. }) = &mut self.growth {
            *rate = times_power_of_two(*rate, -2 * unit);
        }
        let root = |number: &mut f64| *number = times_power_of_two(*number, unit);
        self.mean.iter_mut().flatten().for_each(root);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{Dense, Matrix};
    use crate::streaming::testing::{answered, correlation, exact, params, spiked};
    use crate::streaming::{Algorithm, Params, Stream};

    const SIFTING: [Algorithm; 3] = [Algorithm::BlockPower, Algorithm::Incremental, Algorithm::Mixed];

    #[test]
    fn few_rows_are_answered_exactly() {
        for algorithm in SIFTING {
            for n in [1, 2, 31, 32, 33, 60] {
                let (d, k) = (11, 3);
                let rows = spiked(n, d, 2.0, 5);
                let answer = answered(Params { k, ..params(algorithm) }, &rows, d, 7);
                let exact_plan = params(algorithm).plan(d).unwrap().exact() + 32;
                assert_eq!(answer.exact, n < exact_plan, "{algorithm:?} {n}");
                if answer.exact {
                    let (values, _) = exact(&rows, d);
                    for j in 0..=k {
                        assert!((answer.eigenvalues[j] - values[j].max(0.0)).abs() < 1e-12 * values[0]);
                    }
                    assert!(n == 2 || correlation(&answer, &rows, d) > 1.0 - 1e-12);
                }
            }
        }
    }

    #[test]
    fn a_spike_is_found() {
        let (n, d) = (6000, 60);
        let rows = spiked(n, d, 2.0, 3);
        for (algorithm, least) in
            [(Algorithm::BlockPower, 0.99), (Algorithm::Incremental, 0.99), (Algorithm::Mixed, 0.99)]
        {
            let answer = answered(params(algorithm), &rows, d, 1000);
            let found = correlation(&answer, &rows, d);
            assert!(found > least, "{algorithm:?} {found}");
            let (values, _) = exact(&rows, d);
            assert!((answer.eigenvalues[0] / values[0] - 1.0).abs() < 0.1, "{algorithm:?}");
        }
    }

    #[test]
    fn a_few_heavy_rows_may_be_all_that_there_is() {
        // R copies of e_1, m of every other axis, and one longer row along e_2: every rate of Oja's rule fails.
        let (d, heavy, m) = (80, 3, 8);
        let mut rows = Vec::new();
        let count = heavy + (d - 1) * m;
        for i in 0..count {
            let at = i * 211 % count;
            let mut row = vec![0.0; d];
            if at < heavy {
                row[0] = 1.0;
            } else {
                row[1 + (at - heavy) / m] = (m as f64).sqrt().recip();
            }
            rows.extend(row);
        }
        for algorithm in SIFTING {
            let answer = answered(params(algorithm), &rows, d, 100);
            assert!(answer.components[0] > 1.0 - 1e-6 && answer.n_heavy == 32, "{algorithm:?}");
            assert!((answer.eigenvalues[0] - 3.0).abs() < 1e-6);
        }
    }

    #[test]
    fn no_cuts_no_signs_and_no_powers_of_two_change_a_bit() {
        let (n, d) = (500, 19);
        let rows = spiked(n, d, 2.0, 9);
        let flipped: Vec<f64> =
            rows.iter().enumerate().map(|(at, x)| if at / d % 3 == 0 { -x } else { *x }).collect();
        for algorithm in SIFTING {
            for center in [false, true] {
                let params = Params { center, ..params(algorithm) };
                let whole = answered(params, &rows, d, n);
                for blocks in [1, 7, 32, 100] {
                    let cut = answered(params, &rows, d, blocks);
                    assert!(cut.components == whole.components && cut.eigenvalues == whole.eigenvalues);
                }
                if !center {
                    let other = answered(params, &flipped, d, n);
                    assert!(other.components == whole.components && other.eigenvalues == whole.eigenvalues);
                }
                for power in [-1000, -40, 40, 500] {
                    let factor = times_power_of_two(1.0, power);
                    let scaled: Vec<f64> = rows.iter().map(|x| x * factor).collect();
                    let other = answered(params, &scaled, d, 50);
                    assert!(other.components == whole.components, "{algorithm:?} {center} {power}");
                    let value = times_power_of_two(whole.eigenvalues[0], 2 * power);
                    assert_eq!(other.eigenvalues[0], value);
                }
            }
        }
    }

    #[test]
    fn centred_rows_are_those_less_their_mean() {
        let (n, d) = (4000, 23);
        let rows = spiked(n, d, 2.0, 4);
        let moved: Vec<f64> = rows.iter().enumerate().map(|(at, x)| x + 50.0 + (at % d) as f64).collect();
        let mut centred = moved.clone();
        let means: Vec<f64> =
            (0..d).map(|j| moved.iter().skip(j).step_by(d).sum::<f64>() / n as f64).collect();
        centred.iter_mut().enumerate().for_each(|(at, x)| *x -= means[at % d]);
        for algorithm in SIFTING {
            let answer = answered(Params { center: true, ..params(algorithm) }, &moved, d, 333);
            assert!(correlation(&answer, &centred, d) > 0.99, "{algorithm:?}");
            assert!(answer.mean.as_ref().unwrap().iter().zip(&means).all(|(a, b)| (a - b).abs() < 1e-10));
            let energy: f64 = centred.iter().map(|x| x * x).sum();
            assert!((answer.energy / energy - 1.0).abs() < 1e-12);
            let few = answered(Params { center: true, ..params(algorithm) }, &moved[..20 * d], d, 3);
            let mean = |j: usize| moved[..20 * d].iter().skip(j).step_by(d).sum::<f64>() / 20.0;
            let less: Vec<f64> = (0..20 * d).map(|at| moved[at] - mean(at % d)).collect();
            assert!(correlation(&few, &less, d) > 1.0 - 1e-10);
        }
    }

    #[test]
    fn a_weight_is_as_many_rows() {
        let (n, d) = (50, 7);
        let rows = spiked(n, d, 2.0, 4);
        let weights: Vec<f64> = (0..n).map(|i| (i % 3) as f64).collect();
        let mut repeated = Vec::new();
        (0..n).for_each(|i| (0..i % 3).for_each(|_| repeated.extend_from_slice(&rows[i * d..][..d])));
        for center in [false, true] {
            let params = Params { center, ..params(Algorithm::Mixed) };
            let context = Context::new(1);
            let mut stream = Stream::new(&context, params, d).unwrap();
            let roots: Vec<f64> = weights.iter().map(|weight| weight.sqrt()).collect();
            stream.add(&context, Matrix::Dense(Dense::row_major(&rows, n, d)), Some(&roots)).unwrap();
            let (weighted, plain) = (stream.answer(&context).unwrap(), answered(params, &repeated, d, 5));
            assert!((weighted.eigenvalues[0] / plain.eigenvalues[0] - 1.0).abs() < 1e-12);
            assert!(weighted.components.iter().zip(&plain.components).all(|(a, b)| (a - b).abs() < 1e-12));
        }
    }

    #[test]
    fn rows_that_come_in_two_halves_are_told_from_shuffled_ones() {
        let d = 30;
        let (signal, noise) = (spiked(3000, d, 4.0, 1), spiked(9000, d, 0.0, 2));
        let ordered = answered(params(Algorithm::Mixed), &[signal, noise].concat(), d, 1000);
        let shuffled = answered(params(Algorithm::Mixed), &spiked(12000, d, 2.0, 3), d, 1000);
        assert!(ordered.fall.unwrap() > 6.0 && shuffled.fall.unwrap() < 6.0);
    }

    #[test]
    fn every_algorithm_finds_a_clear_spike_whatever_the_cuts() {
        let (n, d) = (3000, 40);
        let rows = spiked(n, d, 5.0, 3);
        let (values, _) = exact(&rows, d);
        use Algorithm::{FrequentDirections, Gram, Oja, Sketch};
        for (algorithm, least) in
            [(Oja, 0.95), (FrequentDirections, 0.999), (Sketch, 0.999), (Gram, 1.0 - 1e-12)]
        {
            for center in [false, true] {
                let params = Params { center, ..params(algorithm) };
                let answer = answered(params, &rows, d, 1000);
                assert!(
                    correlation(&answer, &rows, d) > least - 0.001 * f64::from(u8::from(center)),
                    "{algorithm:?}"
                );
                assert!((answer.eigenvalues[0] / values[0]).ln().abs() < 0.3, "{algorithm:?}");
                let cut = answered(params, &rows, d, 17);
                assert!(cut.components == answer.components && cut.eigenvalues == answer.eigenvalues);
                for power in [-1000, 300] {
                    let scaled: Vec<f64> = rows.iter().map(|x| times_power_of_two(*x, power)).collect();
                    assert!(
                        answered(params, &scaled, d, 50).components == answer.components,
                        "{algorithm:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn nothing_and_zeros_have_no_direction() {
        for algorithm in SIFTING {
            for n in [0, 5, 300] {
                let answer = answered(params(algorithm), &vec![0.0; n * 4], 4, 64);
                assert!(answer.components == [0.0; 4] && answer.eigenvalues == [0.0; 2]);
            }
        }
    }
}
