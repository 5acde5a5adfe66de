//! The `sparse_cholesky` step: A'A of sparse rows as a sparse matrix, its sparse Cholesky factor, refinement.

use crate::error::Result;
use crate::linalg::{Factor, SparseGram, SparseOrder, SparseTriangle, sparse_products};
use crate::matrix::{Axis, Indices, Mat, Matrix, Real, Sparse};
use crate::memory::{collected, filled, push, room_for};
use crate::parallel::Context;
use crate::regression::design::Design;
use crate::regression::design::pass::{Pass, Passes, Sides};
use crate::regression::methods::deficient::by_basis;
use crate::regression::methods::moments::{normal_pass, scaled_values};
use crate::regression::methods::outcome::{Factored, Outcome};
use crate::regression::methods::qr::has_near_units;
use crate::regression::refine::{Group, Scaled, TARGETS};

/// A'A and A'B of sparse rows, and the order in which A'A is factored, to be shared by all ridges.
pub(crate) struct SparseMoments {
    /// (A 2^e)'(A 2^e), columns not centred.
    gram: SparseGram,
    order: SparseOrder,
    /// 2^e
    powers: Vec<f64>,
    /// Lengths of what centring takes off the columns.
    less: Option<Vec<f64>>,
    /// The pass at x = 0 for all targets.
    at_zero: Pass,
}

/// Most entries of A'A for each of A, and of its factor: where there are more, a dense one takes no more time.
const MOST_PRODUCTS: usize = 8;
const MOST_FILL: usize = 1 << 27;
/// So many are no burden.
const FEW: usize = 1 << 16;

impl SparseMoments {
    /// `powers` are powers of two that bring the columns near one. `None` if A'A, or its factor, has too many entries
    /// that are not zero.
    pub fn new<T: Real>(
        context: &Context,
        design: &Design<'_, T>,
        matrix: &Sparse<'_, T>,
        powers: Vec<f64>,
    ) -> Result<Option<Self>> {
        matrix.by_rows(context, |rows| Self::of_rows(context, design, rows, powers))
    }

    fn of_rows<T: Real>(
        context: &Context,
        design: &Design<'_, T>,
        rows: &Sparse<'_, T>,
        powers: Vec<f64>,
    ) -> Result<Option<Self>> {
        let most =
            rows.nnz().saturating_mul(MOST_PRODUCTS).min(rows.ncols().saturating_mul(rows.ncols()) / 8);
        if fills(context, rows, most.max(FEW))? {
            return Ok(None);
        }
        let values = scaled_values(context, design, rows, &powers)?;
        let Some(gram) = sparse_products(context, &rows.with_values(&values), most.max(FEW))? else {
            return Ok(None);
        };
        drop(values);
        context.tick()?;
        let Some(order) = gram.analyse(MOST_FILL)? else { return Ok(None) };
        let targets = collected(0..design.ntargets(), TARGETS)?;
        let zeros = Mat::zeros(design.ncols(), targets.len())?;
        let at_zero = Matrix::pass(context, design, &zeros, Sides::Targets(&targets))?;
        let mut less = design.removed_by_centring()?;
        less.iter_mut().flatten().zip(&powers).for_each(|(less, power)| *less *= power);
        Ok(Some(Self { gram, order, powers, less, at_zero }))
    }

    /// What is said of them.
    pub fn describe(&self) -> String {
        let SparseOrder { fill, flops, .. } = self.order;
        format!("A'A has {} entries, its factor {fill} for {flops:.1e} multiplications", self.gram.stored())
    }
}

/// True if a few rows have more products than that already.
fn fills<T: Real>(context: &Context, rows: &Sparse<'_, T>, most: usize) -> Result<bool> {
    let some = || (0..rows.nrows()).step_by(rows.nrows() / SAMPLE + 1);
    let count = some().map(|row| rows.extent(row).len()).sum();
    let (mut ends, mut indices) = (room_for(some().count() + 1, PATTERN)?, room_for(count, PATTERN)?);
    push(&mut ends, 0, PATTERN)?;
    for row in some() {
        let mut outcome = Ok(());
        rows.visit_line(row, |j, _| {
            if outcome.is_ok() {
                outcome = push(&mut indices, j as i64, PATTERN);
            }
        });
        outcome?;
        push(&mut ends, indices.len() as i64, PATTERN)?;
    }
    let ones = filled(1.0, indices.len(), PATTERN)?;
    let shape = (ends.len() - 1, rows.ncols());
    let (ends, indices) = (Indices::I64(&ends), Indices::I64(&indices));
    let sample = Sparse::new(context, "A", Axis::Rows, shape, ends, indices, &ones)?;
    Ok(sparse_products(context, &sample, most)?.is_none())
}

/// Rows that tell whether A'A is sparse, at least; twice as many at most.
const SAMPLE: usize = 1000;
const PATTERN: &str = "a pattern of sparse rows";

/// The normal equations of columns of norm one.
pub(super) struct SparseNormal {
    /// Columns not centred.
    gram: SparseGram,
    /// Lengths of what centring takes off the columns.
    less: Option<Vec<f64>>,
    /// Norms of the columns, in the units of the solvers.
    pub scale: Vec<f64>,
    /// Columns of zeros, which have a one on the diagonal.
    pub empty: Vec<usize>,
    /// Rounding errors relative to those of a Gram matrix whose columns were centred before.
    pub magnification: f64,
    /// The pass at x = 0 for the targets of the group, in scaled units.
    at_zero: Pass,
}

impl SparseMoments {
    /// What the ridge of a group and its targets make of them, and so much on the diagonal; `None` if centring leaves nothing
    /// of a column.
    pub(super) fn normal<T: Real>(
        &self,
        group: &Group<'_, '_, T>,
        shift: f64,
    ) -> Result<Option<SparseNormal>> {
        let Self { gram, powers, less, at_zero, .. } = self;
        let d = gram.order();
        let before = |j: usize| gram.diagonal(j) + (group.root_ridge(j) * powers[j]).powi(2);
        let square = |j: usize| before(j) - less.as_ref().map_or(0.0, |less| less[j] * less[j]);
        let (mut norms, mut empty) = (filled(1.0, d, COLUMNS)?, room_for(0, COLUMNS)?);
        let mut magnification = 1.0f64;
        for j in 0..d {
            if before(j) == 0.0 {
                push(&mut empty, j, COLUMNS)?;
            } else {
                norms[j] = square(j).max(0.0).sqrt();
                magnification = magnification.max(before(j) / square(j).max(0.0));
            }
        }
        if !magnification.is_finite() {
            return Ok(None);
        }
        let diagonal = |j: usize| match before(j) {
            0.0 => 1.0,
            before => before / norms[j] / norms[j] + shift,
        };
        let less = less.as_ref().map(|less| less.iter().zip(&norms).map(|(less, norm)| less / norm));
        let less = less.map(|less| collected(less, COLUMNS)).transpose()?;
        let scaled = gram.scaled(&norms, diagonal)?;
        let scale = collected(norms.iter().zip(powers).map(|(norm, power)| norm / power), COLUMNS)?;
        let at_zero = normal_pass(group, at_zero, &scale)?;
        Ok(Some(SparseNormal { gram: scaled, less, scale, empty, magnification, at_zero }))
    }

    /// R with R'R = G, columns whose pivots are no larger than this dropped.
    pub(super) fn factor(&self, normal: &SparseNormal, tolerance: f64) -> Result<Option<SparseTriangle>> {
        self.order.factor(&normal.gram, normal.less.as_deref(), tolerance)
    }
}

/// What memory is for.
const COLUMNS: &str = "norms of columns";

/// The sparse Cholesky candidate for one group of targets, admissible up to the condition `limit`; or the shortest answers
/// where columns count as deficient by this `rcond`, if there is one.
pub(crate) fn sparse_cholesky<T: Real>(
    group: &Group<'_, '_, T>,
    moments: &SparseMoments,
    limit: f64,
    rcond: Option<f64>,
) -> Result<Outcome> {
    let inadmissible = || Ok(Outcome::Inadmissible(f64::INFINITY));
    let Some(normal) = moments.normal(group, 0.0)? else { return inadmissible() };
    let d = normal.scale.len();
    // As with `gram`.
    let limit = limit / normal.magnification.sqrt();
    if limit < 1.0 {
        return inadmissible();
    }
    let tolerance = 8.0 * d as f64 * f64::UNIT_ROUNDOFF * normal.magnification;
    let triangle = moments.factor(&normal, tolerance)?;
    let lacks = |triangle: &SparseTriangle| d - triangle.rank();
    let is_few = |count: usize| count.saturating_mul(d) <= moments.order.fill.max(FEW);
    let may_lack = |count: usize| count == 0 || rcond.is_some() && is_few(count);
    let Some(triangle) = triangle.filter(|triangle| may_lack(lacks(triangle))) else {
        return inadmissible();
    };
    let SparseNormal { scale, empty, at_zero, .. } = normal;
    let null_space = triangle.null_vectors()?;
    let factor = Factor::Sparse(triangle);
    let condition = factor.condition()?;
    if condition.is_nan() || condition > limit {
        return Ok(Outcome::Inadmissible(condition));
    }
    let scaled = Scaled { factor, scale, empty, cut: 0.0 };
    if let Some(rcond) = rcond.filter(|_| null_space.ncols() > 0) {
        return match has_near_units(group.design, &scaled)? {
            true => by_basis(group, scaled, condition, null_space, at_zero, rcond),
            false => inadmissible(),
        };
    }
    let refined = group.refine_from_zero(&scaled, condition, at_zero, None)?;
    Ok(Outcome::Factored(Factored { refined, scaled, condition }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::testing::{Instance, forms};

    #[test]
    fn the_minimiser_of_sparse_rows() {
        let instance = Instance::new(60, 5);
        for (form, ridge) in forms().flat_map(|form| [(form, 0.0), (form, 20.0)]) {
            instance.with_group(form, ridge, |group| {
                let Matrix::Sparse(rows) = &group.design.a.source else { return };
                let columns = rows.along(group.context, Axis::Columns).unwrap();
                for matrix in [*rows, columns.as_ref()] {
                    let moments = SparseMoments::new(group.context, group.design, &matrix, vec![0.5; 5])
                        .unwrap()
                        .unwrap();
                    let Outcome::Factored(found) = sparse_cholesky(group, &moments, 1e7, None).unwrap()
                    else {
                        panic!("admissible")
                    };
                    assert_eq!(found.rank(), 5);
                    instance.assert_solved(form, group, &found.refined, &found.scaled.scale);
                    let limit = 0.1 * found.condition;
                    let strict = sparse_cholesky(group, &moments, limit, None).unwrap();
                    assert!(matches!(strict, Outcome::Inadmissible(_)));
                }
            });
        }
    }
}
