//! The shortest answer where the units of the columns are far apart.
//!
//! Let F, with r rows, be a factor of A diag(1/u) whose columns are of order one, so that all answers are the x with
//! F diag(u) x = c. A projection on the row space takes large numbers for the columns in small units from one another,
//! and what is left of them is noise to the columns in large units. Instead, r columns are chosen by pivoted QR, as
//! large as can be in the caller's units: with F P = [T, S] and W = diag(u_T)^-1 T^-1 S diag(u_S), whose entries are
//! of order one,
//!
//! x_T = (I + W W')^-1 diag(u_T)^-1 T^-1 c, x_S = W'x_T.
//!
//! Every step keeps the relative accuracy of every coefficient, but for the conditions of T and of I + W W'.

use crate::error::{Error, Result};
use crate::linalg::{self, Qr};
use crate::matrix::{Dense, Mat};
use crate::memory::{collected, copied, extend, room_for, zeros};
use crate::parallel::Context;
use crate::simd::{axpy, dot, norm_sq};

/// Units within this factor of one another do no harm to projections.
const MILD: f64 = 16.0;
/// Columns may be larger than the chosen ones by this, times the root of the rank, and not be chosen.
const GROWTH: f64 = 4.0;
/// Rounding errors of a column count only for those whose units are smaller by this.
const FAR: f64 = 1e3;
/// Steps of refinement of an answer, which shrink until they are rounding errors.
const MOST_CORRECTIONS: usize = 20;
/// Columns of W that are made at once.
const COLUMNS: usize = 64;

/// True if the units of the columns that are not zero are far apart.
pub(crate) fn is_steep(factor: &Mat<f64>, units: &[f64]) -> bool {
    let used = (0..units.len()).filter(|&j| factor.col(j).iter().any(|&value| value != 0.0));
    let (least, most) =
        used.fold((f64::INFINITY, 0.0f64), |(least, most), j| (least.min(units[j]), most.max(units[j])));
    most > MILD * least
}

/// diag(u) x for the shortest x with F diag(u) x = F `y`. What a column of F differs by from others counts as zero
/// below `noise`.
pub(crate) fn shortest(
    context: &Context,
    factor: &Mat<f64>,
    units: &[f64],
    noise: f64,
    y: &Mat<f64>,
) -> Result<Mat<f64>> {
    let split = Split::new(context, factor, units, noise)?;
    let mut shortest = split.answer(&linalg::product(factor.as_ref(), y.as_ref())?)?;
    // What counted as zero is not zero in F.
    let mut last = f64::INFINITY;
    for _ in 0..MOST_CORRECTIONS {
        let change = Mat::from_fn(y.nrows(), y.ncols(), |i, j| y[(i, j)] - shortest[(i, j)])?;
        let change = split.answer(&linalg::product(factor.as_ref(), change.as_ref())?)?;
        let length = norm_sq(change.as_slice()).sqrt();
        if length > 0.7 * last {
            break;
        }
        last = length;
        shortest.as_mut_slice().iter_mut().zip(change.as_slice()).for_each(|(x, change)| *x += change);
    }
    Ok(shortest)
}

/// The columns of F, as [T, S] and W.
struct Split<'a> {
    units: &'a [f64],
    chosen: Vec<usize>,
    others: Vec<usize>,
    /// Of T.
    basis: Qr,
    triangle: Mat<f64>,
    w: Mat<f64>,
    /// A root of I + W W'.
    root: Mat<f64>,
}

impl<'a> Split<'a> {
    fn new(context: &Context, factor: &Mat<f64>, units: &'a [f64], noise: f64) -> Result<Self> {
        let r = factor.nrows();
        let (chosen, others) = choose(context, factor, units, noise)?;
        let basis = Qr::new(Mat::from_fn(r, r, |i, j| factor[(i, chosen[j])])?)?;
        let (triangle, w, root) = (basis.r()?, Mat::zeros(r, others.len())?, Mat::zeros(0, 0)?);
        let mut split = Self { units, chosen, others, basis, triangle, w, root };
        split.relate(context, factor, noise)?;
        let rows = Dense::row_major(split.w.as_slice(), split.others.len(), r);
        let mut gram = linalg::plain_gram(context, &rows)?;
        (0..r).for_each(|i| gram[(i, i)] += 1.0);
        split.root = linalg::cholesky(&gram)?
            .ok_or_else(|| Error::Internal("columns that were chosen to be independent are not".into()))?;
        Ok(split)
    }

    /// Makes W.
    fn relate(&mut self, context: &Context, factor: &Mat<f64>, noise: f64) -> Result<()> {
        let r = factor.nrows();
        let mut w = std::mem::replace(&mut self.w, Mat::zeros(0, 0)?);
        let parts = w.as_mut_slice().chunks_mut((r * COLUMNS).max(1));
        let relate = |block: usize, part: &mut [f64]| -> Result<()> {
            let columns = &self.others[block * COLUMNS..][..part.len() / r];
            let mut some = Mat::from_fn(r, columns.len(), |i, j| factor[(i, columns[j])])?;
            self.basis.apply_qt(&mut some)?;
            for (j, &column) in columns.iter().enumerate() {
                let far = |i: usize| self.units[column] > FAR * self.units[self.chosen[i]];
                without_noise(some.col_mut(j), noise, far);
            }
            self.solve(&mut some);
            for (j, &column) in columns.iter().enumerate() {
                some.col_mut(j).iter_mut().for_each(|value| *value *= self.units[column]);
            }
            part.copy_from_slice(some.as_slice());
            Ok(())
        };
        let outcomes = context.map_parts(parts, || (), |(), block, part| relate(block, part))?;
        outcomes.into_iter().try_for_each(|outcome| outcome)?;
        self.w = w;
        Ok(())
    }

    /// diag(u_T)^-1 T^-1 Q for the orthogonal factor Q of T.
    fn solve(&self, x: &mut Mat<f64>) {
        linalg::solve_upper(self.triangle.as_ref(), x.as_mut());
        for j in 0..x.ncols() {
            x.col_mut(j).iter_mut().zip(&self.chosen).for_each(|(x, &i)| *x /= self.units[i]);
        }
    }

    /// diag(u) x for the shortest x with F diag(u) x = `image`.
    fn answer(&self, image: &Mat<f64>) -> Result<Mat<f64>> {
        let mut x = image.copy()?;
        self.basis.apply_qt(&mut x)?;
        self.solve(&mut x);
        linalg::solve_upper_transposed(self.root.as_ref(), x.as_mut());
        linalg::solve_upper(self.root.as_ref(), x.as_mut());
        let rest = linalg::product(self.w.as_ref().t(), x.as_ref())?;
        let mut answer = Mat::zeros(self.units.len(), x.ncols())?;
        for target in 0..x.ncols() {
            let of_chosen = self.chosen.iter().zip(x.col(target));
            for (&j, x) in of_chosen.chain(self.others.iter().zip(rest.col(target))) {
                answer[(j, target)] = x * self.units[j];
            }
        }
        Ok(answer)
    }
}

/// Sets to zero what is at the end of a vector and no longer than `noise`, if it is `far` from meaning anything
/// anywhere.
fn without_noise(x: &mut [f64], noise: f64, far: impl Fn(usize) -> bool) {
    let (mut start, mut square) = (x.len(), 0.0);
    while start > 0 && square + x[start - 1].powi(2) <= noise * noise {
        start -= 1;
        square += x[start].powi(2);
    }
    if (start..x.len()).any(far) {
        x[start..].fill(0.0);
    }
}

/// As many columns as there are rows, independent and as large times their units as may be, the largest first, and
/// the other columns but for zeros.
///
/// Columns are looked at in the order of their sizes, until those that are left are too small to matter.
fn choose(
    context: &Context,
    factor: &Mat<f64>,
    units: &[f64],
    noise: f64,
) -> Result<(Vec<usize>, Vec<usize>)> {
    let (r, d) = (factor.nrows(), factor.ncols());
    let mut sizes: Vec<f64> = zeros(d, ORDER)?;
    sizes.iter_mut().enumerate().for_each(|(j, size)| *size = norm_sq(factor.col(j)).sqrt() * units[j]);
    let mut queue = collected((0..d).filter(|&j| sizes[j] > 0.0), ORDER)?;
    queue.sort_unstable_by(|&i, &j| sizes[j].total_cmp(&sizes[i]).then(i.cmp(&j)));

    let mut looked_at = 2 * r;
    let mut chosen = copied(&queue[..looked_at.min(queue.len())], ORDER)?;
    let mut others = room_for(d, ORDER)?;
    loop {
        let smallest = pivot(context, factor, units, noise, &mut chosen)?;
        extend(&mut others, chosen.drain(r..), ORDER)?;
        let rest = queue.get(looked_at..).unwrap_or(&[]);
        if rest.first().is_none_or(|&j| sizes[j] <= GROWTH * (r as f64).sqrt() * smallest) {
            extend(&mut others, rest.iter().copied(), ORDER)?;
            return Ok((chosen, others));
        }
        extend(&mut chosen, rest.iter().take(r).copied(), ORDER)?;
        looked_at += r;
    }
}

const ORDER: &str = "an order of columns";

/// Moves as many columns as there are rows to the front of `columns`, each the one that has most to add to those
/// before it, times its unit, and gives what the last had to add. Those that add less than `noise` come after all
/// others.
fn pivot(
    context: &Context,
    factor: &Mat<f64>,
    units: &[f64],
    noise: f64,
    columns: &mut [usize],
) -> Result<f64> {
    let (r, count) = (factor.nrows(), columns.len());
    let mut a = Mat::from_fn(r, count, |i, j| factor[(i, columns[j])])?;
    let mut left: Vec<f64> = zeros(count, ORDER)?;
    let mut smallest = f64::INFINITY;
    for k in 0..r {
        context.tick()?;
        (k..count).for_each(|j| left[j] = norm_sq(&a.col(j)[k..]).sqrt());
        let rank = |j: usize| (left[j] > noise, left[j] * units[columns[j]]);
        let best =
            (k..count).max_by(|&i, &j| rank(i).0.cmp(&rank(j).0).then(rank(i).1.total_cmp(&rank(j).1)));
        let best = best.unwrap_or(k);
        let (adds, size) = rank(best);
        smallest = smallest.min(if adds { size } else { 0.0 });
        columns.swap(k, best);
        (0..r).for_each(|i| a.as_mut_slice().swap(k * r + i, best * r + i));
        reflect(&mut a, k);
    }
    Ok(smallest)
}

/// Applies the reflection that leaves column k with no more than k + 1 rows.
fn reflect(a: &mut Mat<f64>, k: usize) {
    let r = a.nrows();
    let (done, rest) = a.as_mut_slice().split_at_mut((k + 1) * r);
    let v = &mut done[k * r + k..];
    v[0] += norm_sq(v).sqrt().copysign(v[0]);
    let square = norm_sq(v);
    if square > 0.0 {
        for column in rest.chunks_exact_mut(r) {
            let along = dot(v, &column[k..]);
            axpy(-2.0 * along / square, v, &mut column[k..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    fn normals(m: usize, n: usize, seed: u64) -> Mat<f64> {
        let stream = Stream::new(seed, 0, 0);
        Mat::from_fn(m, n, |i, j| stream.normal(i as u64, j as u64)).unwrap()
    }

    /// Columns of length about one, the first `twins` of which are alike but for rounding, and units up to 10^decades.
    fn problem(d: usize, r: usize, twins: usize, decades: f64, seed: u64) -> (Mat<f64>, Vec<f64>) {
        let normals = normals(d, r, seed);
        let stream = Stream::new(seed, 1, 0);
        let unit = |j: usize| 10f64.powf(decades * (2.0 * stream.uniform(0, j as u64) - 1.0));
        let entry = |i: usize, j: usize| {
            let rounding = 1.0 + f64::EPSILON * stream.sign(1 + i as u64, j as u64);
            normals[(if j < twins { 0 } else { j }, i)] / (r as f64).sqrt() * rounding
        };
        (Mat::from_fn(r, d, entry).unwrap(), (0..d).map(unit).collect())
    }

    const NOISE: f64 = 1e-14;

    #[test]
    fn answers_are_answers_and_shortest() {
        for (case, (d, r, twins)) in [
            (2, 1, 1),
            (20, 10, 1),
            (20, 10, 6),
            (90, 12, 30),
            (40, 39, 1),
            (40, 39, 2),
            (7, 7, 1),
            (300, 20, 90),
        ]
        .into_iter()
        .enumerate()
        {
            for decades in [0.0, 2.0, 8.0, 12.0, 60.0] {
                let (factor, units) = problem(d, r, twins, decades, case as u64);
                let y = normals(d, 2, 100 + case as u64);
                let shortest = |y: &Mat<f64>| shortest(&Context::new(2), &factor, &units, NOISE, y).unwrap();
                let found = shortest(&y);
                let images = [&y, &found].map(|y| linalg::product(factor.as_ref(), y.as_ref()).unwrap());
                let size = norm_sq(y.as_slice()).sqrt() + norm_sq(found.as_slice()).sqrt();
                let error = images[0].as_slice().iter().zip(images[1].as_slice());
                let error = error.map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
                assert!(error <= 1e-12 * size, "{d} x {r}, {decades} decades: {error:e} of {size:e}");
                // No neighbour with the same image is shorter.
                let norm = |y: &Mat<f64>| {
                    let x = |j: usize| y.as_slice()[j] / units[j % d];
                    (0..2 * d).map(|j| x(j).powi(2)).sum::<f64>().sqrt()
                };
                let length = norm(&found);
                for seed in 0..5 {
                    let z = normals(d, 2, 1000 + seed);
                    let nearest = shortest(&z);
                    let other = Mat::from_fn(d, 2, |i, j| {
                        let null = z[(i, j)] - nearest[(i, j)];
                        found[(i, j)] + 1e-3 * null * length / (norm(&z) + norm(&nearest))
                    });
                    assert!(norm(&other.unwrap()) >= length * (1.0 - 1e-9), "{d} x {r}, {decades} decades");
                }
            }
        }
    }

    #[test]
    fn twins_are_chosen_once() {
        let (factor, mut units) = problem(30, 5, 20, 0.0, 3);
        units[..20].fill(1e9);
        let (chosen, others) = choose(&Context::new(1), &factor, &units, NOISE).unwrap();
        assert_eq!(chosen.iter().filter(|&&j| j < 20).count(), 1);
        let mut all = [chosen, others].concat();
        all.sort_unstable();
        assert_eq!(all, (0..30).collect::<Vec<_>>());
    }
}
