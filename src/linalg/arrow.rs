//! Eigenvalues and eigenvectors of an arrow: a diagonal matrix, bordered by a row and a column.
//!
//! [D z; z' c] has the eigenvalues λ at which g(λ) = λ - c - Σ z_i² / (λ - d_i) vanishes, one between any two neighbouring
//! poles d_i, one above and one below them all: g rises from minus to plus infinity between two poles. A root is kept as the
//! pole that is nearest and the distance from it, which is known to all its digits, so that all λ - d_i are.
//!
//! The vector of λ is z_i / (λ - d_i) and, in the corner, 1. Vectors are orthogonal, however near their values, if z is that
//! of which the computed values are the exact ones, which follows from them (Gu and Eisenstat, 1995). Where z_i is nothing
//! beside rounding, d_i is an eigenvalue as it is; where poles are so near each other that it makes no difference, a
//! rotation makes it so.
//!
//! Cost: O(l²) for l poles.

use super::doubt::{is_leading, work_of};
use super::leading::{by_everything, stack_of_everything};
use super::scaling::{larger, largest_of, scale, unit_of};
use super::view::{Scratch, ScratchSize};
use crate::error::{Error, Result};
use crate::matrix::{Dense, DenseMut, Real};
use crate::simd::kernel;
use crate::simd::lanes::Lanes;
use faer::dyn_stack::{MemStack, StackReq};

/// What is nothing beside a matrix whose largest entry is between one and two.
const NOTHING: f64 = 4.0 * f64::UNIT_ROUNDOFF;
/// Where a pole is put that is none, out of the way of all others.
const NOWHERE: f64 = -1e10;
/// Steps after which a root is taken for what it is. Three to five are what it takes.
const MOST_STEPS: usize = 100;
/// A step this short, beside the distance from the pole, ends in what the next would not change.
const LAST_STEP: f64 = 1e-9;

/// What [`arrow_eigh_into`] works in for so many poles.
pub fn arrow_eigh_scratch(poles: usize) -> ScratchSize {
    let n = poles + 1;
    let whole = StackReq::new::<f64>(n * n).and(stack_of_everything(n));
    let fast = StackReq::new::<f64>(Work::len(poles))
        .and(StackReq::new::<usize>(2 * n))
        .and(StackReq::new::<Rotation>(n));
    ScratchSize(fast.and(StackReq::new::<f64>(work_of(n)).or(whole)))
}

/// The `values.len()` largest eigenvalues, descending, of diag(`poles`) bordered by the row `border` and the corner, and
/// their orthonormal eigenvectors, the columns of `vectors`, with the corner's coordinate last. Nothing is allocated,
/// unless Jacobi's method has to stand in.
///
/// An error if a number is NaN or an infinity, or if no algorithm gives what stands a check. Panics if the poles do not
/// descend, if the shapes do not fit, if columns are not contiguous, or if the scratch is smaller than asked for.
pub fn arrow_eigh_into(
    poles: &[f64],
    border: &[f64],
    corner: f64,
    values: &mut [f64],
    mut vectors: DenseMut<'_, f64>,
    scratch: &mut Scratch,
) -> Result<()> {
    let (l, count) = (poles.len(), values.len());
    assert!(border.len() == l && count <= l + 1 && vectors.nrows() == l + 1 && vectors.ncols() == count);
    assert!(count == 0 || vectors.row_stride() == 1);
    check_finite(poles, border, corner)?;
    assert!(poles.windows(2).all(|pair| pair[0] >= pair[1]), "poles that do not descend");
    let unit = unit_of(larger(largest_of(poles), larger(largest_of(border), corner.abs())));
    let (mut numbers, stack) = scratch.stack().make_with(Work::len(l), |_| 0.0f64);
    let (mut indices, stack) = stack.make_with(2 * (l + 1), |_| 0usize);
    let (mut rotations, stack) = stack.make_with(l + 1, |_| Rotation::default());
    let mut work = Work::cut(&mut numbers, l);
    let scaled = |to: &mut [f64], from: &[f64]| {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = from * unit.recip());
    };
    scaled(work.poles, poles);
    scaled(work.border, border);
    let corner = corner * unit.recip();
    decompose(corner, &mut work, &mut indices, &mut rotations, values, vectors.reborrow());
    // What the work has left of the arrow is not what it was.
    scaled(work.poles, poles);
    scaled(work.border, border);
    let (poles, border) = (&work.poles[..l], &work.border[..l]);
    if !is_sound(poles, border, corner, values, vectors.as_ref(), stack) {
        by_all_entries(poles, border, corner, values, vectors, stack)?;
    }
    scale(values, unit);
    Ok(())
}

fn check_finite(poles: &[f64], border: &[f64], corner: f64) -> Result<()> {
    let l = poles.len();
    let poles = poles.iter().enumerate().map(|(i, &d)| (d, i, i));
    let border = border.iter().enumerate().map(|(i, &z)| (z, l, i));
    match poles.chain(border).chain([(corner, l, l)]).find(|(value, ..)| !value.is_finite()) {
        Some((value, i, j)) => Err(Error::non_finite("A", value, format!("[{i}, {j}]"))),
        None => Ok(()),
    }
}

fn is_sound(
    poles: &[f64],
    border: &[f64],
    corner: f64,
    values: &[f64],
    vectors: Dense<'_, f64>,
    stack: &mut MemStack,
) -> bool {
    let l = poles.len();
    let square = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>();
    let size = (square(poles) + 2.0 * square(border) + corner * corner).sqrt();
    let (mut check, _) = stack.make_with(work_of(l + 1), |_| 0.0f64);
    let product = |x: &[f64], out: &mut [f64]| {
        out[l] = corner * x[l];
        for i in 0..l {
            out[i] = poles[i] * x[i] + border[i] * x[l];
            out[l] += border[i] * x[i];
        }
    };
    is_leading(product, size, values, vectors, &mut check)
}

/// By the dense matrix.
fn by_all_entries(
    poles: &[f64],
    border: &[f64],
    corner: f64,
    values: &mut [f64],
    vectors: DenseMut<'_, f64>,
    stack: &mut MemStack,
) -> Result<()> {
    let n = poles.len() + 1;
    let (mut a, stack) = stack.make_with(n * n, |_| 0.0f64);
    for (i, (pole, border)) in poles.iter().zip(border).enumerate() {
        a[i * n + i] = *pole;
        a[i * n + n - 1] = *border;
    }
    a[n * n - 1] = corner;
    by_everything(DenseMut::column_major(&mut a, n, n), values, vectors, stack)
}

/// Memory for l poles, in whole registers.
struct Work<'a> {
    poles: &'a mut [f64],
    border: &'a mut [f64],
    /// Poles and border that are left without those that are eigenvalues.
    kept: &'a mut [f64],
    weights: &'a mut [f64],
    /// Eigenvalues that poles are.
    found: &'a mut [f64],
    /// The pole that is nearest to a root, and the distance from there.
    nearest: &'a mut [f64],
    offsets: &'a mut [f64],
    column: &'a mut [f64],
}

impl<'a> Work<'a> {
    fn len(l: usize) -> usize {
        8 * (l + 1).next_multiple_of(8)
    }

    fn cut(work: &'a mut [f64], l: usize) -> Self {
        let mut parts = work.chunks_exact_mut((l + 1).next_multiple_of(8));
        let [poles, border, kept, weights, found, nearest, offsets, column] =
            std::array::from_fn(|_| parts.next().unwrap_or_default());
        Self { poles, border, kept, weights, found, nearest, offsets, column }
    }
}

/// Coordinates `out` and `kept` are turned so that the border has nothing in the former.
#[derive(Clone, Default)]
struct Rotation {
    out: usize,
    kept: usize,
    cosine: f64,
    sine: f64,
}

/// Eigenvalues and vectors of the arrow in `work`, which is scaled.
fn decompose(
    corner: f64,
    work: &mut Work<'_>,
    indices: &mut [usize],
    rotations: &mut [Rotation],
    values: &mut [f64],
    mut vectors: DenseMut<'_, f64>,
) {
    let n = indices.len() / 2;
    let (places, order) = indices.split_at_mut(n);
    let (kept, rotations) = deflate(work, n - 1, places, rotations);
    let whole = kept.next_multiple_of(8);
    solve(kept, corner, work.kept, work.weights, work.nearest, work.offsets);
    rebuild(kept, work.kept, work.nearest, work.offsets, work.weights);
    // Roots first, then poles that are eigenvalues; all by their size.
    for j in 0..=kept {
        work.found[j] = work.nearest[j] + work.offsets[j];
    }
    for (place, source) in order.iter_mut().enumerate() {
        *source = place;
        if place > kept {
            work.found[place] = work.poles[places[place - 1]];
        }
    }
    order.sort_unstable_by(|&i, &j| work.found[j].total_cmp(&work.found[i]).then(i.cmp(&j)));
    let stride = vectors.col_stride();
    for (j, (value, &source)) in values.iter_mut().zip(&*order).enumerate() {
        let column = &mut vectors.data()[j * stride..][..n];
        *value = work.found[source];
        column.fill(0.0);
        if source > kept {
            column[places[source - 1]] = 1.0;
        } else {
            let (nearest, offset) = (work.nearest[source], work.offsets[source]);
            let (poles, weights) = (&work.kept[..whole], &work.weights[..whole]);
            let length = vector(poles, weights, nearest, offset, work.column);
            column[n - 1] = 1.0 / length;
            for (&place, x) in places[..kept].iter().zip(&*work.column) {
                column[place] = x / length;
            }
        }
        for Rotation { out, kept, cosine, sine } in rotations.iter().rev() {
            let (x, y) = (column[*out], column[*kept]);
            column[*out] = cosine * x + sine * y;
            column[*kept] = cosine * y - sine * x;
        }
    }
}
/// Leaves the poles that are no eigenvalues in `kept`, with their border in `weights`. `places` has their indices, then
/// those of the others. Returns how many there are, and the rotations that were made.
fn deflate<'a>(
    work: &mut Work<'_>,
    l: usize,
    places: &mut [usize],
    rotations: &'a mut [Rotation],
) -> (usize, &'a [Rotation]) {
    let Work { poles, border, kept, weights, .. } = work;
    let (mut count, mut out, mut turned) = (0, l, 0);
    for i in 0..l {
        if border[i].abs() <= NOTHING {
            out -= 1;
            places[out] = i;
            continue;
        }
        let last = if count > 0 { places[count - 1] } else { i };
        let length = border[last].hypot(border[i]);
        let (cosine, sine) = (border[i] / length, border[last] / length);
        let gap = poles[last] - poles[i];
        if last < i && gap * (cosine * sine).abs() <= NOTHING {
            rotations[turned] = Rotation { out: last, kept: i, cosine, sine };
            turned += 1;
            (poles[last], poles[i]) = (poles[last] - sine * sine * gap, poles[i] + sine * sine * gap);
            (border[last], border[i]) = (0.0, length);
            out -= 1;
            places[out] = last;
            count -= 1;
        }
        places[count] = i;
        count += 1;
    }
    kept.fill(NOWHERE);
    weights.fill(0.0);
    for (k, &place) in places[..count].iter().enumerate() {
        (kept[k], weights[k]) = (poles[place], border[place]);
    }
    (count, &rotations[..turned])
}

kernel! {
    /// All roots, the largest first.
    fn solve<V>(
        count: usize,
        corner: f64,
        poles: &[f64],
        weights: &mut [f64],
        nearest: &mut [f64],
        offsets: &mut [f64],
    ) -> () {
        if count == 0 {
            (nearest[0], offsets[0]) = (corner, 0.0);
            return;
        }
        let whole = count.next_multiple_of(8);
        let mut secular = Secular { corner, poles: &poles[..whole], weights: &mut weights[..whole] };
        let total = secular.weights.iter().map(|z| z * z).sum();
        (nearest[0], offsets[0]) = secular.outermost::<V>(0, 1.0, total);
        for j in 1..count {
            (nearest[j], offsets[j]) = secular.between::<V>(j);
        }
        (nearest[count], offsets[count]) = secular.outermost::<V>(count - 1, -1.0, total);
    }
}

/// g, with poles in whole registers.
struct Secular<'a> {
    corner: f64,
    poles: &'a [f64],
    weights: &'a mut [f64],
}

/// g near a pole: without the term of that pole, the derivative of this, and the sum of the magnitudes of its terms.
struct Sample {
    rest: f64,
    slope: f64,
    size: f64,
}

impl Secular<'_> {
    /// At a distance from a pole whose weight is out of the way.
    #[inline(always)]
    fn at<V: Lanes>(&self, from: f64, offset: f64) -> Sample {
        let (mut values, mut slopes, mut sizes) = ([0.0; 8], [0.0; 8], [0.0; 8]);
        let (poles, weights) = (self.poles.as_chunks::<8>().0, self.weights.as_chunks::<8>().0);
        for (pole, z) in poles.iter().zip(weights) {
            for k in 0..8 {
                let quotient = z[k] / ((pole[k] - from) - offset);
                let term = z[k] * quotient;
                values[k] += term;
                slopes[k] += quotient * quotient;
                sizes[k] += term.abs();
            }
        }
        let [value, slope, size] = [values, slopes, sizes].map(|sums| V::load(&sums).sum());
        let linear = (from - self.corner) + offset;
        Sample { rest: linear + value, slope: 1.0 + slope, size: (from.abs() + self.corner.abs()) + size }
    }

    /// Root j, between poles j and j - 1.
    #[inline(always)]
    fn between<V: Lanes>(&mut self, j: usize) -> (f64, f64) {
        let [lower, upper] = [j, j - 1].map(|pole| self.weights[pole] * self.weights[pole]);
        let gap = self.poles[j - 1] - self.poles[j];
        let weight = std::mem::take(&mut self.weights[j]);
        let rest = self.at::<V>(self.poles[j], 0.5 * gap).rest;
        self.weights[j] = weight;
        let (near, gap, near_square, far_square) = if rest - lower / (0.5 * gap) > 0.0 {
            (j, gap, lower, upper)
        } else {
            (j - 1, -gap, upper, lower)
        };
        // All but these two poles as they are in the middle.
        let rest = rest - upper / (0.5 * gap.abs());
        let start = branch(rest, -(rest * gap + near_square + far_square), near_square * gap);
        let inside = if gap > 0.0 { (0.0, 0.5 * gap) } else { (0.5 * gap, 0.0) };
        self.refine::<V>(near, inside, start, |x, value, sample| {
            // The nearest pole as it is, and all the rest as if it were at the other.
            let beyond = x - gap;
            let far_square = beyond * beyond * sample.slope;
            let rest = sample.rest + far_square / beyond;
            branch(rest, rest * (x + beyond) - near_square - far_square, x * beyond * value)
        })
    }

    /// The root above all poles, or below, by the last of which there is.
    #[inline(always)]
    fn outermost<V: Lanes>(&mut self, last: usize, side: f64, total: f64) -> (f64, f64) {
        // Where it would be if all weight were at this pole: not nearer.
        let lead = side * (self.corner - self.poles[last]);
        let root = (lead * lead + 4.0 * total).sqrt();
        let most = if lead > 0.0 { 0.5 * (lead + root) } else { 2.0 * total / (root - lead) };
        let inside = if side > 0.0 { (0.0, 2.0 * most) } else { (-2.0 * most, 0.0) };
        self.refine::<V>(last, inside, side * most, |x, value, sample| {
            // This pole as it is, and all the rest as a line.
            let b = sample.rest + sample.slope * x;
            -side * branch(sample.slope, -side * b, x * value)
        })
    }

    /// Steps to the root from a start, both between two offsets from a pole: that pole, and the offset.
    #[inline(always)]
    fn refine<V: Lanes>(
        &mut self,
        near: usize,
        (mut below, mut above): (f64, f64),
        start: f64,
        step: impl Fn(f64, f64, &Sample) -> f64,
    ) -> (f64, f64) {
        let (pole, weight) = (self.poles[near], std::mem::take(&mut self.weights[near]));
        let mut x = if start > below && start < above { start } else { 0.5 * (below + above) };
        for _ in 0..MOST_STEPS {
            let sample = self.at::<V>(pole, x);
            let term = weight * weight / x;
            let value = sample.rest - term;
            if value.abs() <= 2.0 * f64::UNIT_ROUNDOFF * (sample.size + term.abs()) {
                break;
            }
            (below, above) = if value < 0.0 { (x, above) } else { (below, x) };
            let next = x + step(x, value, &sample);
            let sound = next > below && next < above;
            let last = sound && (next - x).abs() <= LAST_STEP * x.abs();
            x = if sound { next } else { 0.5 * (below + above) };
            if last {
                break;
            }
        }
        self.weights[near] = weight;
        (pole, x)
    }
}

/// The root of a x² + b x + e that is -e / b where a vanishes and b is negative.
#[inline(always)]
fn branch(a: f64, b: f64, e: f64) -> f64 {
    let root = larger(b * b - 4.0 * a * e, 0.0).sqrt();
    if b < 0.0 { 2.0 * e / (root - b) } else { -(b + root) / (2.0 * a) }
}

kernel! {
    /// The border of the arrow that has these roots, with the signs of the one there is.
    fn rebuild<V>(count: usize, poles: &[f64], nearest: &[f64], offsets: &[f64], weights: &mut [f64]) -> () {
        let (chunks, weights) = (poles.as_chunks::<8>().0, weights.as_chunks_mut::<8>().0);
        for (chunk, (pole, weight)) in chunks.iter().zip(weights).enumerate().take(count.div_ceil(8)) {
            let first = 8 * chunk;
            let mut product = [1.0; 8];
            for j in 0..=count {
                let (near, offset) = (nearest[j], offsets[j]);
                // Roots are paired with the poles next to them that are further from this one.
                let mut away = [0.0; 8];
                if j < first || j > first + 8 {
                    let other = if j < first { poles[j] } else { poles[j - 1] };
                    away = pole.map(|pole| pole - other);
                } else {
                    for k in 0..8 {
                        away[k] = match j.wrapping_sub(first + k) {
                            0 => -1.0,
                            1 => 1.0,
                            2.. if j < first + k => pole[k] - poles[j],
                            _ => pole[k] - poles[j - 1],
                        };
                    }
                }
                for k in 0..8 {
                    product[k] *= ((pole[k] - near) - offset) / away[k];
                }
            }
            for k in 0..8 {
                weight[k] = if first + k < count { product[k].sqrt().copysign(weight[k]) } else { 0.0 };
            }
        }
    }
}

kernel! {
    /// The coordinates of a vector but for that of the corner, which is one; and its length.
    fn vector<V>(poles: &[f64], weights: &[f64], nearest: f64, offset: f64, column: &mut [f64]) -> f64 {
        let mut squares = [0.0; 8];
        let (poles, weights) = (poles.as_chunks::<8>().0, weights.as_chunks::<8>().0);
        for (x, (pole, z)) in column.as_chunks_mut::<8>().0.iter_mut().zip(poles.iter().zip(weights)) {
            for k in 0..8 {
                x[k] = z[k] / (offset - (pole[k] - nearest));
                squares[k] += x[k] * x[k];
            }
        }
        (1.0 + V::load(&squares).sum()).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::eigh;
    use crate::linalg::testing::*;
    use crate::matrix::Mat;
    use crate::simd::testing::{on_every_path, same_bits};
    use proptest::prelude::*;

    /// Singular value j of so many.
    type Spectrum = fn(usize, usize) -> f64;

    fn dense(poles: &[f64], border: &[f64], corner: f64) -> Mat<f64> {
        let l = poles.len();
        let entry = |i: usize, j: usize| match (i.min(j), i.max(j)) {
            (i, j) if i == j => {
                if i == l {
                    corner
                } else {
                    poles[i]
                }
            }
            (i, j) if j == l => border[i],
            _ => 0.0,
        };
        Mat::from_fn(l + 1, l + 1, entry).unwrap()
    }

    fn leading(poles: &[f64], border: &[f64], corner: f64, count: usize) -> (Vec<f64>, Mat<f64>) {
        let l = poles.len();
        let (mut values, mut vectors) = (vec![0.0; count], Mat::zeros(l + 1, count).unwrap());
        let mut scratch = Scratch::new(arrow_eigh_scratch(l)).unwrap();
        arrow_eigh_into(poles, border, corner, &mut values, vectors.as_mut(), &mut scratch).unwrap();
        (values, vectors)
    }

    /// Whether roots and nothing else gave what stands the check.
    fn first_attempt(poles: &[f64], border: &[f64], corner: f64) -> bool {
        let n = poles.len() + 1;
        let unit = unit_of(largest_of(dense(poles, border, corner).as_slice()));
        let [poles, border] = [poles, border].map(|x| x.iter().map(|x| x / unit).collect::<Vec<_>>());
        let corner = corner / unit;
        let mut numbers = vec![0.0; Work::len(n - 1)];
        let mut work = Work::cut(&mut numbers, n - 1);
        work.poles[..n - 1].copy_from_slice(&poles);
        work.border[..n - 1].copy_from_slice(&border);
        let (mut values, mut vectors) = (vec![0.0; n], Mat::zeros(n, n).unwrap());
        let mut rotations = vec![Rotation::default(); n];
        decompose(corner, &mut work, &mut vec![0; 2 * n], &mut rotations, &mut values, vectors.as_mut());
        let mut scratch = Scratch::new(arrow_eigh_scratch(n - 1)).unwrap();
        is_sound(&poles, &border, corner, &values, vectors.as_ref(), scratch.stack())
    }

    /// Orthonormal, in order, eigenvectors, and with the values that another algorithm finds.
    fn check(poles: &[f64], border: &[f64], corner: f64, what: &str) {
        let (n, a) = (poles.len() + 1, dense(poles, border, corner));
        let size = largest(a.as_ref()).max(f64::MIN_POSITIVE);
        let (values, vectors) = leading(poles, border, corner, n);
        assert!(first_attempt(poles, border, corner), "{what}: fell back");
        let departure = departure_from_orthonormal(&vectors);
        assert!(departure < 4e-15, "{what}: orthonormal {departure:e}");
        assert!(values.windows(2).all(|pair| pair[0] >= pair[1]), "{what}: order");
        let scaled = Mat::from_fn(n, n, |i, j| vectors[(i, j)] * (values[j] / size)).unwrap();
        let a_scaled = Mat::from_fn(n, n, |i, j| a[(i, j)] / size).unwrap();
        let residual = distance(product(a_scaled.as_ref(), vectors.as_ref()).as_ref(), scaled.as_ref());
        assert!(residual <= 4e-15, "{what}: residual {residual:e}");
        for (value, truth) in values.iter().zip(eigh(&a).unwrap().0.iter().rev()) {
            let error = ((value - truth) / size).abs();
            assert!(error <= 2e-15 * (n as f64).sqrt().max(4.0), "{what}: {value:e} for {truth:e}");
        }
        let (some, first) = leading(poles, border, corner, n.div_ceil(3));
        assert!(same_bits(&some, &values[..some.len()]), "{what}: fewer");
        assert!(same_bits(first.as_slice(), &vectors.as_slice()[..first.as_slice().len()]), "{what}: fewer");
    }

    /// The Gram matrix [S² S c; c' S e] of a model and a row.
    fn model(s: &[f64], c: &[f64], beyond: f64) -> (Vec<f64>, Vec<f64>, f64) {
        let poles = s.iter().map(|s| s * s).collect();
        let border = s.iter().zip(c).map(|(s, c)| s * c).collect();
        (poles, border, c.iter().map(|c| c * c).sum::<f64>() + beyond * beyond)
    }

    proptest! {
        #[test]
        fn any_arrow(
            mut poles in prop::collection::vec(prop_oneof![0.0..1.0f64, Just(0.0), Just(0.5)], 0..40),
            seed: u64,
            decades in prop_oneof![Just(0.0f64), Just(3.0), Just(20.0)],
            corner in -1.0..2.0f64,
            unit in prop_oneof![Just(1.0f64), Just(1e-150), Just(1e150)],
        ) {
            poles.iter_mut().for_each(|pole| *pole *= unit);
            poles.sort_by(|a, b| b.total_cmp(a));
            let noise = gaussian(poles.len(), 2, seed);
            let border: Vec<f64> = (0..poles.len())
                .map(|i| unit * noise[(i, 0)] * 10f64.powf(-decades * noise[(i, 1)].abs()))
                .collect();
            check(&poles, &border, unit * corner, &format!("{poles:?} {border:?} {corner:e}"));
        }
    }

    #[test]
    fn models_with_a_row_appended() {
        for l in [0, 1, 2, 7, 8, 9, 32, 96, 300] {
            let spectra: [(&str, Spectrum); 7] = [
                ("even", |j, l| 1.0 - j as f64 / l as f64),
                ("geometric", |j, l| 10f64.powf(-8.0 * j as f64 / l as f64)),
                ("steep", |j, _| 0.1f64.powi(3 * j as i32)),
                ("of low rank", |j, l| if j < l / 3 { 1.0 } else { 0.0 } / (1 + j) as f64),
                ("in pairs", |j, l| 1.0 - (j / 2) as f64 / l as f64),
                ("nearly in pairs", |j, l| 1.0 - (j / 2) as f64 / l as f64 - 1e-15 * (j % 2) as f64),
                ("constant", |_, _| 1.0),
            ];
            for (name, of) in spectra {
                let s: Vec<f64> = (0..l).map(|j| of(j, l)).collect();
                let noise = gaussian(l, 1, l as u64);
                for size in [0.0, 1e-12, 1e-3, 1.0, 1e3, 1e70] {
                    let c: Vec<f64> = noise.as_slice().iter().map(|x| size * x).collect();
                    for beyond in [0.0, 1e-5, 1.0] {
                        let (poles, border, corner) = model(&s, &c, beyond);
                        check(&poles, &border, corner, &format!("{name}, {l}, {size:e}, {beyond}"));
                    }
                }
            }
        }
    }

    #[test]
    fn a_border_that_vanishes_in_part() {
        for l in [1, 5, 24, 33] {
            let poles: Vec<f64> = (0..l).map(|j| 2.0 - (j / 3) as f64 / l as f64).collect();
            for share in 1..4 {
                let border: Vec<f64> = (0..l).map(|j| if j % share == 0 { 0.0 } else { 0.1 }).collect();
                for corner in [0.0, 1.9, 2.0, 5.0] {
                    check(&poles, &border, corner, &format!("{l}, {share}, {corner}"));
                }
            }
            check(&vec![0.0; l], &vec![0.0; l], 0.0, "zero");
            check(&vec![1.0; l], &vec![1.0; l], 1.0, "ones");
        }
    }

    #[test]
    fn values_of_a_shell_are_known() {
        // Equal poles: all but two values are the pole, the others those of [d r; r c].
        let (values, _) = leading(&[3.0; 16], &[0.25; 16], 3.0, 17);
        assert!((values[0] - 4.0).abs() < 1e-15 && (values[16] - 2.0).abs() < 1e-15);
        assert!(values[1..16].iter().all(|&value| (value - 3.0).abs() < 1e-15));
    }

    #[test]
    fn bits_are_those_of_every_path() {
        for l in [3, 32, 61] {
            let s: Vec<f64> = (0..l).map(|j| 1.0 / (1 + j) as f64).collect();
            let (poles, border, corner) = model(&s, gaussian(l, 1, 1).as_slice(), 0.3);
            let outcomes = on_every_path(|| {
                let (values, vectors) = leading(&poles, &border, corner, l + 1);
                [&values, vectors.as_slice()].concat()
            });
            assert!(outcomes.iter().all(|outcome| same_bits(outcome, &outcomes[0])));
        }
    }

    #[test]
    fn what_stands_behind_it_is_as_good() {
        for l in [0, 6, 40] {
            let s: Vec<f64> = (0..l).map(|j| 1.0 / (1 + j / 2) as f64).collect();
            let (poles, border, corner) = model(&s, gaussian(l, 1, 1).as_slice(), 0.3);
            let (mut values, mut vectors) = (vec![0.0; l + 1], Mat::zeros(l + 1, l + 1).unwrap());
            let mut scratch = Scratch::new(arrow_eigh_scratch(l)).unwrap();
            let stack = scratch.stack();
            by_all_entries(&poles, &border, corner, &mut values, vectors.as_mut(), stack).unwrap();
            assert!(is_sound(&poles, &border, corner, &values, vectors.as_ref(), stack));
        }
    }

    #[test]
    fn non_finite_numbers_are_refused() {
        for bad in [f64::NAN, f64::INFINITY] {
            for at in 0..3 {
                let mut numbers = [2.0, 1.0, 1.0];
                numbers[at] = bad;
                let [pole, border, corner] = numbers;
                let (mut values, mut vectors) = ([0.0; 2], Mat::zeros(2, 2).unwrap());
                let mut scratch = Scratch::new(arrow_eigh_scratch(1)).unwrap();
                let outcome =
                    arrow_eigh_into(&[pole], &[border], corner, &mut values, vectors.as_mut(), &mut scratch);
                assert!(matches!(outcome, Err(Error::NonFinite { .. })));
            }
        }
    }
}
