//! Which entries the observed ones leave free, at the matrix of rank k that was found.
//!
//! Matrices of that rank go on from it along T = Q X' + Y P' with Q'Y = 0, for orthonormal bases Q of its columns and P of its
//! rows. One of these that is zero where something was observed leads to other matrices that agree with all that is known,
//! and tells which entries may be otherwise. Whether there is one, counting cannot tell: entries may be many in all and few
//! where parts hang together. A random T less what conjugate gradients find of it that is seen, by the normal equations, is
//! one, or nothing is left. The bases of parts that are not connected are their own; a part of a lower rank has no such bases
//! and is left out.

use super::factors::Factor;
use crate::error::Result;
use crate::linalg::{Scalar, cholesky_in_place};
use crate::memory::{collected, copied, extend, filled, zeros};
use crate::parallel::Context;
use crate::random::Stream;
use crate::simd::{axpy, dot, norm_sq};

/// Purpose of the random numbers.
const START: u8 = 0x72;
/// Most steps of conjugate gradients.
const STEPS: usize = 1000;
/// Of the square of the start, over the number of unknowns, what is nothing: less than one start in ten thousand has so
/// little along a single direction.
const NOTHING: f64 = 1e-8;
/// The mean square of the entries that are seen, over that of all, which shows that none need be seen; and the largest for
/// which that may be said after all steps.
const UNSEEN: [f64; 2] = [1e-20, 1e-10];
/// An entry moves that is larger than so many times the roots of both mean squares.
const MOVES: f64 = 1e3;
/// A pivot that is smaller than so much of the length of its column, squared, is none.
const DEPENDENT: f64 = 1e-20;
/// Lines that a thread takes at a time.
const BLOCK: usize = 256;
/// Mark of a line that is in no part.
const NO_PART: i32 = -1;
/// What memory is for.
const DIRECTIONS: &str = "directions in which a matrix may go on";

/// A direction in which nothing is seen.
pub struct Freedom {
    rank: usize,
    /// q and y of each row, and x and p of each column: their products are T.
    rows: Vec<f64>,
    columns: Vec<f64>,
    /// Entries that are no larger are none.
    least: f64,
}

/// The numbers of the parts of rows and of columns, negative ones of those in none, and how many parts there are.
pub struct Parts<'p> {
    pub rows: &'p [i32],
    pub columns: &'p [i32],
    pub count: usize,
}

impl Freedom {
    /// One, if there is any beside entries of rows between `ends`; it is the same for any number of threads.
    pub fn of<T: Scalar>(
        context: &Context,
        (ends, indices): (&[u64], &[u32]),
        parts: &Parts<'_>,
        (rows, columns): (&Factor<T>, &Factor<T>),
    ) -> Result<Option<Self>> {
        let tangent = Tangent::of(context, (ends, indices), parts, (rows, columns))?;
        let mut direction = tangent.at_random()?;
        let start = norm_sq(&direction);
        let Some(seen) = tangent.reduce(context, &mut direction, start)? else { return Ok(None) };
        let all = norm_sq(&direction) / tangent.cells;
        let least = MOVES * seen.max(UNSEEN[0] * all).sqrt();
        let Tangent { k, q, p, .. } = tangent;
        let (y, x) = direction.split_at(q.len());
        let pairs = |left: &[f64], right: &[f64]| {
            let both = left.chunks_exact(k).zip(right.chunks_exact(k));
            collected(both.flat_map(|(left, right)| left.iter().chain(right).copied()), DIRECTIONS)
        };
        Ok(Some(Self { rank: k, rows: pairs(&q, y)?, columns: pairs(x, &p)?, least }))
    }

    /// Whether an entry may be otherwise.
    pub fn moves(&self, i: usize, j: usize) -> bool {
        let width = 2 * self.rank;
        dot(&self.rows[i * width..][..width], &self.columns[j * width..][..width]).abs() > self.least
    }
}

/// The directions at a matrix, and what is seen of them.
pub struct Tangent {
    /// The rank.
    pub k: usize,
    /// Bases of columns and of rows, a row of k numbers for each row and each column of the matrix, zeros for those that are
    /// in no part.
    pub q: Vec<f64>,
    /// The latter.
    pub p: Vec<f64>,
    /// Of rows: the part of each.
    parts: Vec<i32>,
    count: usize,
    of_rows: Pattern,
    of_columns: Pattern,
    /// How many entries have row and column in one part.
    pub cells: f64,
}

/// Places that are seen, line by line.
struct Pattern {
    ends: Vec<usize>,
    others: Vec<u32>,
}

impl Pattern {
    fn line(&self, i: usize) -> &[u32] {
        &self.others[self.ends[i]..self.ends[i + 1]]
    }

    /// The same by the other side, of so many lines.
    fn transposed(&self, lines: usize) -> Result<Self> {
        let mut ends: Vec<usize> = zeros(lines + 1, DIRECTIONS)?;
        self.others.iter().for_each(|&j| ends[j as usize + 1] += 1);
        (0..lines).for_each(|j| ends[j + 1] += ends[j]);
        let (mut next, mut others) = (copied(&ends, DIRECTIONS)?, zeros(self.others.len(), DIRECTIONS)?);
        for i in 0..self.ends.len() - 1 {
            for &j in self.line(i) {
                others[next[j as usize]] = i as u32;
                next[j as usize] += 1;
            }
        }
        Ok(Self { ends, others })
    }
}

impl Tangent {
    /// At the product of these factors.
    pub fn of<T: Scalar>(
        context: &Context,
        (ends, indices): (&[u64], &[u32]),
        parts: &Parts<'_>,
        (rows, columns): (&Factor<T>, &Factor<T>),
    ) -> Result<Self> {
        let k = rows.rank;
        let numbers = |factor: &Factor<T>| {
            let row = |i: usize| factor.row(i)[..k].iter().map(|x| x.to_f64());
            collected((0..factor.count).flat_map(row), DIRECTIONS)
        };
        let (mut q, mut p) = (numbers(rows)?, numbers(columns)?);
        let count = parts.count;
        let mut marks = [copied(parts.rows, DIRECTIONS)?, copied(parts.columns, DIRECTIONS)?];
        // The second time for what rounding has done to the first.
        for _ in 0..2 {
            let mut full: Vec<bool> = filled(true, count, DIRECTIONS)?;
            orthonormalise(&mut q, &marks[0], &mut full, k)?;
            orthonormalise(&mut p, &marks[1], &mut full, k)?;
            for (marks, basis) in marks.iter_mut().zip([&mut q, &mut p]) {
                for (mark, row) in marks.iter_mut().zip(basis.chunks_exact_mut(k)) {
                    if *mark < 0 || !full[*mark as usize] {
                        *mark = NO_PART;
                        row.fill(0.0);
                    }
                }
            }
        }
        let [parts, of_columns] = marks;
        let (mut own_ends, mut others) = (zeros(rows.count + 1, DIRECTIONS)?, Vec::new());
        for piece in context.pieces(0..rows.count) {
            for i in piece? {
                let line = indices[ends[i] as usize..ends[i + 1] as usize].iter();
                let connects = |j: &u32| parts[i] >= 0 && parts[i] == of_columns[*j as usize];
                extend(&mut others, line.copied().filter(connects), DIRECTIONS)?;
                own_ends[i + 1] = others.len();
            }
        }
        let of_rows = Pattern { ends: own_ends, others };
        let by_columns = of_rows.transposed(columns.count)?;
        let (mut sides, mut cells) = ([zeros(count, DIRECTIONS)?, zeros(count, DIRECTIONS)?], 0.0);
        for (side, marks) in sides.iter_mut().zip([&parts, &of_columns]) {
            marks.iter().filter(|mark| **mark >= 0).for_each(|&mark| side[mark as usize] += 1.0);
        }
        sides[0].iter().zip(&sides[1]).for_each(|(m, n): (&f64, &f64)| cells += m * n);
        Ok(Self { k, q, p, parts, count, of_rows, of_columns: by_columns, cells })
    }

    /// Y and X, one after the other.
    fn at_random(&self) -> Result<Vec<f64>> {
        let random = Stream::new(0, 0, START);
        let mut direction = zeros(self.q.len() + self.p.len(), DIRECTIONS)?;
        let bases = self.q.chunks_exact(self.k).chain(self.p.chunks_exact(self.k));
        for (i, (line, basis)) in direction.chunks_exact_mut(self.k).zip(bases).enumerate() {
            if basis.iter().any(|x| *x != 0.0) {
                random.normals_of_row(i as u64, line);
            }
        }
        self.project(&mut direction[..self.q.len()])?;
        Ok(direction)
    }

    /// Takes off a direction what is seen of it, step by step: None if nothing is left, or if what is left is seen,
    /// otherwise the mean square of the entries that are.
    fn reduce(&self, context: &Context, direction: &mut [f64], start: f64) -> Result<Option<f64>> {
        let entries = self.of_rows.others.len().max(1) as f64;
        let nothing = NOTHING / direction.len() as f64 * start;
        let (mut gradient, mut image) =
            (zeros(direction.len(), DIRECTIONS)?, zeros(direction.len(), DIRECTIONS)?);
        let mut seen = self.gradient(context, direction, &mut gradient)? / entries;
        let mut along = copied(&gradient, DIRECTIONS)?;
        for _ in 0..STEPS {
            let all = norm_sq(direction) / self.cells;
            if norm_sq(direction) <= nothing {
                return Ok(None);
            }
            let square = norm_sq(&gradient);
            if seen <= UNSEEN[0] * all || square == 0.0 {
                break;
            }
            let curvature = self.gradient(context, &along, &mut image)?;
            if curvature.is_nan() || curvature <= 0.0 {
                break;
            }
            axpy(-square / curvature, &along, direction);
            axpy(-square / curvature, &image, &mut gradient);
            // What is seen is half the slope along the direction itself, by which it falls.
            seen -= square * square / curvature / entries;
            if seen <= UNSEEN[1] * all {
                seen = self.gradient(context, direction, &mut gradient)? / entries;
            }
            let ratio = norm_sq(&gradient) / square;
            along.iter_mut().zip(&gradient).for_each(|(along, gradient)| *along = gradient + ratio * *along);
        }
        let seen = self.gradient(context, direction, &mut gradient)? / entries;
        Ok(Some(seen).filter(|seen| *seen <= UNSEEN[1] * norm_sq(direction) / self.cells))
    }

    /// What is seen of a direction, back in the space of these; and its square.
    pub fn gradient(&self, context: &Context, direction: &[f64], out: &mut [f64]) -> Result<f64> {
        let (k, rows) = (self.k, self.q.len());
        let (y, x) = direction.split_at(rows);
        let (of_y, of_x) = out.split_at_mut(rows);
        let half = |pattern: &Pattern, own: (&[f64], &[f64]), other: (&[f64], &[f64]), out: &mut [f64]| {
            let block = |(): &mut (), b: usize, out: &mut [f64]| {
                let mut squares = 0.0;
                for (i, out) in (b * BLOCK..).zip(out.chunks_exact_mut(k)) {
                    out.fill(0.0);
                    let (basis, step) = (&own.0[i * k..][..k], &own.1[i * k..][..k]);
                    for &j in pattern.line(i) {
                        let (theirs, steps) =
                            (&other.0[j as usize * k..][..k], &other.1[j as usize * k..][..k]);
                        let mut entry = 0.0;
                        for a in 0..k {
                            entry += basis[a] * steps[a] + step[a] * theirs[a];
                        }
                        squares += entry * entry;
                        for a in 0..k {
                            out[a] += entry * theirs[a];
                        }
                    }
                }
                squares
            };
            context.map_parts(out.chunks_mut(BLOCK * k), || (), block)
        };
        let squares = half(&self.of_rows, (&self.q, y), (&self.p, x), of_y)?;
        half(&self.of_columns, (&self.p, x), (&self.q, y), of_x)?;
        self.project(of_y)?;
        Ok(squares.iter().sum())
    }

    /// Takes off Y what is along Q.
    pub fn project(&self, y: &mut [f64]) -> Result<()> {
        let k = self.k;
        let mut along: Vec<f64> = zeros(self.count * k * k, DIRECTIONS)?;
        let lines = || self.parts.iter().zip(self.q.chunks_exact(k)).filter(|(part, _)| **part >= 0);
        let marked = self.parts.iter().zip(y.chunks_exact(k)).filter(|(part, _)| **part >= 0);
        for ((&part, q), (_, y)) in lines().zip(marked) {
            let along = &mut along[part as usize * k * k..][..k * k];
            (0..k).for_each(|a| (0..k).for_each(|b| along[a * k + b] += q[a] * y[b]));
        }
        let marked = self.parts.iter().zip(y.chunks_exact_mut(k)).filter(|(part, _)| **part >= 0);
        for ((&part, q), (_, y)) in lines().zip(marked) {
            let along = &along[part as usize * k * k..][..k * k];
            (0..k).for_each(|a| (0..k).for_each(|b| y[b] -= q[a] * along[a * k + b]));
        }
        Ok(())
    }
}

/// Rows of k numbers become an orthonormal basis of the columns of each part; a part of which these are dependent is not
/// `full`, and its rows stay as they are.
fn orthonormalise(rows: &mut [f64], marks: &[i32], full: &mut [bool], k: usize) -> Result<()> {
    let mut grams: Vec<f64> = zeros(full.len() * k * k, DIRECTIONS)?;
    for (&mark, row) in marks.iter().zip(rows.chunks_exact(k)) {
        if mark >= 0 {
            let gram = &mut grams[mark as usize * k * k..][..k * k];
            (0..k).for_each(|a| (0..k).for_each(|b| gram[a * k + b] += row[a] * row[b]));
        }
    }
    for (gram, full) in grams.chunks_exact_mut(k * k).zip(&mut *full) {
        let squares = collected((0..k).map(|a| gram[a * k + a]), DIRECTIONS)?;
        // Column after column, it is the lower triangle; row after row, its transpose.
        let done = cholesky_in_place(k, gram);
        *full &= done && (0..k).all(|a| gram[a * k + a].powi(2) > DEPENDENT * squares[a]);
    }
    for (&mark, row) in marks.iter().zip(rows.chunks_exact_mut(k)) {
        if mark >= 0 && full[mark as usize] {
            let triangle = &grams[mark as usize * k * k..][..k * k];
            for a in 0..k {
                let known: f64 = (0..a).map(|b| row[b] * triangle[b * k + a]).sum();
                row[a] = (row[a] - known) / triangle[a * k + a];
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::determined::Determined;

    /// Of rank k, with the entries that are asked for.
    fn freedom(
        threads: usize,
        (m, n, k): (usize, usize, usize),
        holds: impl Fn(usize, usize) -> bool,
    ) -> (Determined, Option<Freedom>) {
        let (context, random) = (Context::new(threads), Stream::new(5, 0, 1));
        let mut factors = [Factor::<f64>::zeros(m, k).unwrap(), Factor::zeros(n, k).unwrap()];
        for (side, factor) in factors.iter_mut().enumerate() {
            let stride = factor.stride;
            for (i, row) in factor.rows.chunks_exact_mut(stride).enumerate() {
                random.normals_of_row((side * m + i) as u64, &mut row[..k]);
            }
        }
        let (mut ends, mut columns) = (vec![0], Vec::new());
        for i in 0..m {
            columns.extend((0..n as u32).filter(|&j| holds(i, j as usize)));
            ends.push(columns.len() as u64);
        }
        let determined = Determined::of(&context, (&ends, &columns), n, k, |_, _| true).unwrap();
        let Determined { rows, columns: marks, parts: count, .. } = &determined;
        let parts = Parts { rows, columns: marks, count: *count };
        let found = Freedom::of(&context, (&ends, &columns), &parts, (&factors[0], &factors[1])).unwrap();
        (determined, found)
    }

    fn at_random(share: f64) -> impl Fn(usize, usize) -> bool {
        let random = Stream::new(6, 0, 1);
        move |i, j| random.uniform(i as u64, j as u64) < share
    }

    #[test]
    fn enough_entries_at_random_leave_nothing_free() {
        for (shape, share) in
            [((60, 40, 3), 0.4), ((60, 40, 3), 0.25), ((200, 150, 5), 0.15), ((20, 20, 1), 0.3)]
        {
            let (determined, free) = freedom(2, shape, at_random(share));
            assert!(determined.parts == 1 && free.is_none(), "{shape:?} {share}");
        }
    }

    #[test]
    fn parts_that_share_too_few_lines_are_free_towards_each_other_alone() {
        let (m, n, k, half) = (20, 20, 3, 10);
        for shared in 0..k {
            let first = |j: usize| j < half + shared;
            let (determined, free) =
                freedom(1, (m, n, k), |i, j| if i < half { first(j) } else { j >= half });
            assert_eq!(determined.parts, if shared == 0 { 2 } else { 1 });
            if shared == 0 {
                assert!(free.is_none());
                continue;
            }
            let free = free.expect("something is free");
            for i in 0..m {
                for j in 0..n {
                    let own = if i < half { first(j) } else { j >= half };
                    assert_eq!(free.moves(i, j), !own, "{shared} {i} {j}");
                }
            }
        }
        let enough = |i: usize, j: usize| if i < half { j < half + k } else { j >= half };
        assert!(freedom(1, (m, n, k), enough).1.is_none());
    }

    #[test]
    fn a_sparse_tail_is_free_beside_a_core_with_entries_to_spare() {
        let (core, tail, k) = (40, 12, 3);
        let holds = |i: usize, j: usize| match (i < core, j < core) {
            (true, true) => true,
            (false, false) => (i + 5 * j) % tail < 3,
            _ => false,
        };
        // The tail hangs on one entry of the core's first row.
        let joined = |i: usize, j: usize| holds(i, j) || (i == 0 && j == core);
        let one = freedom(1, (core + tail, core + tail, k), joined);
        assert_eq!(one.0.parts, 1);
        assert!(one.0.rows.iter().all(|part| *part == 0));
        let free = one.1.expect("something is free");
        assert!((0..core).all(|i| (0..core).all(|j| !free.moves(i, j))));
        assert!((core..core + tail).all(|i| (0..core).any(|j| free.moves(i, j))));
        let other = freedom(3, (core + tail, core + tail, k), joined).1.unwrap();
        assert_eq!((free.rows, free.columns, free.least), (other.rows, other.columns, other.least));
    }

    #[test]
    fn a_part_of_lower_rank_does_not_hide_what_is_free_in_others() {
        let (half, k) = (10, 2);
        // Two blocks that share one column, and a third that has nothing to do with them, the factors of which are zero.
        let holds = |i: usize, j: usize| match (i < 2 * half, j < 2 * half) {
            (true, true) => {
                if i < half {
                    j <= half
                } else {
                    j >= half
                }
            }
            (false, false) => true,
            _ => false,
        };
        let (context, n, random) = (Context::new(1), 3 * half, Stream::new(5, 0, 1));
        let mut factors = [Factor::<f64>::zeros(n, k).unwrap(), Factor::zeros(n, k).unwrap()];
        for (side, factor) in factors.iter_mut().enumerate() {
            let stride = factor.stride;
            for (i, row) in factor.rows.chunks_exact_mut(stride).take(2 * half).enumerate() {
                random.normals_of_row((side * n + i) as u64, &mut row[..k]);
            }
        }
        let (mut ends, mut columns) = (vec![0], Vec::new());
        for i in 0..n {
            columns.extend((0..n as u32).filter(|&j| holds(i, j as usize)));
            ends.push(columns.len() as u64);
        }
        let determined = Determined::of(&context, (&ends, &columns), n, k, |_, _| true).unwrap();
        let parts = Parts { rows: &determined.rows, columns: &determined.columns, count: determined.parts };
        assert_eq!(parts.count, 2);
        let found = Freedom::of(&context, (&ends, &columns), &parts, (&factors[0], &factors[1])).unwrap();
        let free = found.expect("something is free");
        for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
            assert_eq!(free.moves(i, j), i < 2 * half && j < 2 * half && !holds(i, j), "{i} {j}");
        }
    }
}
