//! R of a sketch of A, and the answers of the sketch.

use crate::error::Result;
use crate::linalg::{self, Factor, Qr, Truncated, truncated};
use crate::matrix::{LinearOperator, Mat, Matrix, Real, Sparse, power_of_two_below};
use crate::memory::{collected, filled};
use crate::regression::design::pass::Passes;
use crate::regression::design::products::product;
use crate::regression::design::stacked::{RootWeights, Targets};
use crate::regression::refine::{Group, Scaled};
use crate::sketch::{Kind, Operand, Sketch};

/// How a sketch of A is to be made.
#[derive(Clone, Copy)]
pub(crate) struct SketchPlan {
    pub kind: Kind,
    pub rows: usize,
    pub seed: u64,
    /// Number of the draw, from 0.
    pub draw: u32,
}

impl SketchPlan {
    /// Of n rows.
    fn sketch(self, n: usize) -> Result<Sketch> {
        Sketch::new(self.kind, self.rows, Some(n as u64), self.seed, self.draw)
    }
}

/// R1 of the scaled columns and sketch-and-solve answers, from one sketch of A and B.
pub(crate) struct SketchFactor {
    pub scaled: Scaled,
    /// Sketch-and-solve answers in scaled units, and R1 times them.
    pub x: Mat<f64>,
    pub image: Mat<f64>,
    pub condition: f64,
}

impl SketchFactor {
    /// R1 without its singular values below `rcond` times the largest, of which it keeps `most`, and without unit rows, and
    /// the answers of least norm.
    pub fn truncated(self, rcond: f64, most: usize) -> Result<Self> {
        let Self { scaled: Scaled { factor: Factor::Triangle(mut r), scale, empty, .. }, image, .. } = self
        else {
            return Ok(self);
        };
        empty.iter().for_each(|&column| r.col_mut(column).fill(0.0));
        let Truncated { factor, x, cut, .. } = truncated(&r, image.as_ref(), rcond, 0.0, most)?;
        let condition = factor.condition()?;
        Ok(Self { scaled: Scaled { factor, scale, empty: Vec::new(), cut }, x, condition, image })
    }
}

/// Sketches A and B and factors the sketch, the ridge unsketched below it.
pub(crate) fn sketched<T: Real + Sketchable>(
    group: &Group<'_, '_, T>,
    plan: SketchPlan,
) -> Result<SketchFactor> {
    let sketch = plan.sketch(group.design.nrows())?;
    factored(group, &sketch, sketch_of_matrix(group, &sketch)?)
}

/// The same for a linear operator.
pub(crate) fn sketched_by_products<T: Real>(
    group: &Group<'_, '_, T, &dyn LinearOperator>,
    plan: SketchPlan,
) -> Result<SketchFactor> {
    let sketch = plan.sketch(group.design.nrows())?;
    factored(group, &sketch, sketch_of_operator(group, &sketch)?)
}

fn factored<T: Real, M: Passes<T>>(
    group: &Group<'_, '_, T, M>,
    sketch: &Sketch,
    mut sketched_a: Mat<f64>,
) -> Result<SketchFactor> {
    let (design, d, k) = (group.design, group.design.ncols(), group.targets.len());
    let sketched_b =
        sketch.apply(group.context, &Operand::Dense(&Targets { design, targets: group.targets }), 0)?;
    let m = sketched_a.nrows();
    let mut scale = filled(1.0, d, "norms of columns")?;
    for j in 0..d {
        let column = sketched_a.col_mut(j);
        let power = power_of_two_below(column.iter().fold(0.0, |m: f64, v| m.max(v.abs())));
        let ridge = group.root_ridge(j);
        let norm =
            column.iter().map(|v| (v / power).powi(2)).sum::<f64>().sqrt().hypot(ridge / power) * power;
        scale[j] = if norm > 0.0 { norm } else { 1.0 };
        column.iter_mut().for_each(|v| *v /= scale[j]);
    }
    // Below the sketch: the ridge, and a unit row for every column of zeros.
    let below = |j: usize| {
        let empty = group.root_ridge(j) == 0.0 && sketched_a.col(j).iter().all(|&v| v == 0.0);
        (j, if empty { 1.0 } else { group.root_ridge(j) / scale[j] })
    };
    let below = collected((0..d).map(below).filter(|&(_, value)| value != 0.0), "rows below a sketch")?;
    let stacked = match below.len() {
        0 => sketched_a,
        count => Mat::from_fn(m + count, d, |i, j| match i.checked_sub(m) {
            None => sketched_a[(i, j)],
            Some(row) if below[row].0 == j => below[row].1,
            Some(_) => 0.0,
        })?,
    };
    let mut x = Mat::from_fn(m + below.len(), k, |i, j| if i < m { sketched_b[(i, j)] } else { 0.0 })?;
    let qr = Qr::new(stacked)?;
    qr.apply_qt(&mut x)?;
    let r = qr.r()?;
    let condition = linalg::condition_of_upper(r.as_ref())?;
    let image = Mat::from_fn(d, k, |i, j| x[(i, j)])?;
    let mut x = image.copy()?;
    if condition.is_finite() {
        linalg::solve_upper(r.as_ref(), x.as_mut());
    }
    let empty = below.iter().map(|&(column, _)| column).filter(|&column| group.root_ridge(column) == 0.0);
    let empty = collected(empty, "norms of columns")?;
    for &column in &empty {
        (0..k).for_each(|target| x[(column, target)] = 0.0);
    }
    let scaled = Scaled { factor: Factor::Triangle(r), scale, empty, cut: 0.0 };
    Ok(SketchFactor { scaled, x, image, condition })
}

/// Element types whose sparse matrices can be sketched.
pub trait Sketchable: Real {
    /// The sparse matrix with its row weights as something to sketch.
    fn operand<'s>(matrix: Sparse<'s, Self>, weights: Option<&'s [f64]>) -> Operand<'s>;
}

impl Sketchable for f32 {
    fn operand<'s>(matrix: Sparse<'s, f32>, weights: Option<&'s [f64]>) -> Operand<'s> {
        Operand::Single(matrix, weights)
    }
}

impl Sketchable for f64 {
    fn operand<'s>(matrix: Sparse<'s, f64>, weights: Option<&'s [f64]>) -> Operand<'s> {
        Operand::Double(matrix, weights)
    }
}

/// S times the design; of a sparse matrix without making it dense.
fn sketch_of_matrix<T: Real + Sketchable>(group: &Group<'_, '_, T>, sketch: &Sketch) -> Result<Mat<f64>> {
    let (context, design) = (group.context, group.design);
    let matrix = match design.a.source {
        Matrix::Dense(_) => return sketch.apply(context, &Operand::Dense(&design.a), 0),
        Matrix::Sparse(matrix) => matrix,
    };
    let weights = design.a.root_weights.as_deref();
    let mut sketched = sketch.apply(context, &T::operand(matrix, weights), 0)?;
    if let Some(means) = design.means() {
        let ones = sketch.apply(context, &Operand::Dense(&RootWeights { design }), 0)?;
        for (j, mean) in means.iter().enumerate() {
            sketched.col_mut(j).iter_mut().zip(ones.col(0)).for_each(|(s, one)| *s -= one * mean);
        }
    }
    for j in 0..design.ncols() {
        let scale = design.column_scale(j);
        sketched.col_mut(j).iter_mut().for_each(|s| *s *= scale);
    }
    Ok(sketched)
}

/// S times an operator, of which a few columns at a time are had as products with unit vectors.
fn sketch_of_operator<T: Real>(
    group: &Group<'_, '_, T, &dyn LinearOperator>,
    sketch: &Sketch,
) -> Result<Mat<f64>> {
    let (context, d) = (group.context, group.design.ncols());
    let mut sketched = Mat::zeros(sketch.m(), d)?;
    for first in (0..d).step_by(COLUMNS) {
        let unit = Mat::from_fn(d, COLUMNS.min(d - first), |i, j| f64::from(i == first + j))?;
        let columns = product(context, group.design, &unit)?;
        let part = sketch.apply(context, &Operand::Dense(&columns.as_ref()), 0)?;
        sketched.as_mut_slice()[first * sketch.m()..][..part.as_slice().len()]
            .copy_from_slice(part.as_slice());
    }
    Ok(sketched)
}

/// Columns of an operator that are held at once.
const COLUMNS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::testing::{Instance, assert_near, assert_same, forms, operator_forms, product};
    use crate::sketch::Kind;

    #[test]
    fn the_triangle_of_the_sketch_keeps_lengths() {
        let instance = Instance::new(900, 5);
        let plan = SketchPlan { kind: Kind::SparseSign { zeta: 4 }, rows: 200, seed: 1, draw: 0 };
        for (form, ridge) in forms().flat_map(|form| [(form, 0.0), (form, 1e4)]) {
            let (a, _) = instance.explicit(form);
            instance.with_group(form, ridge, |group| {
                let found = sketched(group, plan).unwrap();
                let Factor::Triangle(r) = &found.scaled.factor else { panic!("a triangle") };
                for j in 0..5 {
                    let x =
                        Mat::from_fn(5, 1, |i, _| if i == j { 1.0 } else { 0.3 - 0.1 * i as f64 }).unwrap();
                    let scaled = Mat::from_fn(5, 1, |i, _| x[(i, 0)] * found.scaled.scale[i]).unwrap();
                    let square = |m: Mat<f64>| m.as_slice().iter().map(|v| v * v).sum::<f64>();
                    let length = square(product(&a, &x)) + ridge * square(x);
                    let ratio = square(product(r, &scaled)) / length;
                    assert!((0.5..2.0).contains(&ratio), "{form:?}, {ridge}: {ratio}");
                }
            });
        }
    }
    #[test]
    fn an_operator_is_sketched_as_its_rows_are() {
        let instance = Instance::new(900, 5);
        let plan = SketchPlan { kind: Kind::SparseSign { zeta: 4 }, rows: 200, seed: 1, draw: 0 };
        for form in operator_forms() {
            let mut by_rows = None;
            instance.with_group(form, 1.0, |group| by_rows = Some(sketched(group, plan).unwrap()));
            let by_rows = by_rows.unwrap();
            instance.with_operator(form, 1.0, |group| {
                let found = sketched_by_products(group, plan).unwrap();
                assert_same(&found.x, &by_rows.x, "answers");
                assert_near(found.condition, by_rows.condition, "condition");
            });
        }
    }
}
