//! The vertex that is the optimum of an L1 or quantile regression, from multipliers that are near it.
//!
//! As many rows as A has columns are fitted exactly: those whose multipliers are between their ends. All others have the
//! multiplier that the sign of their residual says, and those of the fitted rows follow from A'y = 0: if they are between the
//! ends, then the vertex is optimal, to rounding.

use super::tiles::{Buffers, PURPOSE, Sums, Tiles, in_blocks, pass};
use crate::error::Result;
use crate::linalg::{Qr, solve_upper, solve_upper_transposed};
use crate::matrix::{Buffer, Mat};
use crate::memory::{collected, copied, extend, push};
use crate::parallel::Context;

/// So many times as many rows as there are columns may be candidates.
pub(super) const FEW: f64 = 3.0;
/// Multipliers of candidates are as far from both ends; less where these are too few.
const BETWEEN: [f64; 4] = [1e-3, 1e-5, 1e-7, 1e-9];
/// What is left of a row, beside its largest entry, that is no combination of others.
const INDEPENDENT: f64 = 1e-9;
/// Rounding of a residual, beside what it is the difference of.
const ROUNDING: f64 = 1e-13;
/// Rounding of a multiplier.
const BEYOND: f64 = 1e-9;

/// The coefficients and the multipliers of that vertex, if the candidates lead to it.
pub(super) fn vertex(
    context: &Context,
    tiles: &dyn Tiles,
    dual: &[f64],
    level: f64,
) -> Result<Option<(Vec<f64>, Buffer<f64>)>> {
    let Some(basis) = basis(context, tiles, dual, level)? else { return Ok(None) };
    let mut x = basis.solve(|row| tiles.target()[row])?;
    if !x.iter().all(|x| x.is_finite()) {
        return Ok(None);
    }
    put_zeros(tiles, &basis.rows, &mut x)?;
    let (mut dual, slope) = by_signs(context, tiles, &x, dual, &basis.rows, level)?;
    let multipliers = basis.solve_transposed(|j| -slope[j])?;
    if !multipliers.iter().all(|y| (level - 1.0 - BEYOND..=level + BEYOND).contains(y)) {
        return Ok(None);
    }
    basis.rows.iter().zip(&multipliers).for_each(|(&row, y)| dual[row] = y.clamp(level - 1.0, level));
    Ok(Some((x, dual)))
}

/// What a row says that is one coefficient alone, times a number, and fitted by a zero: as the rows of a penalty are.
fn put_zeros(tiles: &dyn Tiles, rows: &[usize], x: &mut [f64]) -> Result<()> {
    let mut buffers = Buffers::default();
    for &row in rows.iter().filter(|row| tiles.target()[**row] == 0.0) {
        let entries = tiles.row(row, &mut buffers)?;
        let mut stored = entries.iter().enumerate().filter(|(_, entry)| **entry != 0.0);
        if let (Some((j, _)), None) = (stored.next(), stored.next()) {
            x[j] = 0.0;
        }
    }
    Ok(())
}

/// Independent rows, one for each column.
pub(super) struct Basis {
    pub rows: Vec<usize>,
    factor: Qr,
}

impl Basis {
    /// x with B x = b.
    pub fn solve(&self, b: impl Fn(usize) -> f64) -> Result<Vec<f64>> {
        let mut x = Mat::from_fn(self.rows.len(), 1, |k, _| b(self.rows[k]))?;
        self.factor.apply_qt(&mut x)?;
        solve_upper(self.factor.r()?.as_ref(), x.as_mut());
        copied(x.as_slice(), PURPOSE)
    }

    /// y with B'y = g.
    pub fn solve_transposed(&self, g: impl Fn(usize) -> f64) -> Result<Vec<f64>> {
        let mut y = Mat::from_fn(self.rows.len(), 1, |j, _| g(j))?;
        solve_upper_transposed(self.factor.r()?.as_ref(), y.as_mut());
        self.factor.apply_q(&mut y)?;
        copied(y.as_slice(), PURPOSE)
    }
}

/// Those whose multipliers are farthest from their ends.
fn basis(context: &Context, tiles: &dyn Tiles, dual: &[f64], level: f64) -> Result<Option<Basis>> {
    let inside = |row: usize| (dual[row] + (1.0 - level)).min(level - dual[row]);
    let most = 2 * (FEW as usize * tiles.ncols() + tiles.idle() + 8);
    for between in BETWEEN {
        let mut candidates = Vec::new();
        for rows in context.pieces(0..dual.len()) {
            for row in rows? {
                if inside(row) > between {
                    push(&mut candidates, row, PURPOSE)?;
                    if candidates.len() > most {
                        return Ok(None);
                    }
                }
            }
        }
        candidates.sort_by(|&a, &b| inside(b).total_cmp(&inside(a)).then(a.cmp(&b)));
        if let Some(basis) = independent(context, tiles, &candidates, None)? {
            return Ok(Some(basis));
        }
    }
    Ok(None)
}

/// The first independent rows of these, as many as there are columns, with one more column if there is any.
pub(super) fn independent(
    context: &Context,
    tiles: &dyn Tiles,
    candidates: &[usize],
    border: Option<&[f64]>,
) -> Result<Option<Basis>> {
    let d = tiles.ncols() + usize::from(border.is_some());
    let (mut rows, mut kept, mut buffers) = (Vec::new(), Mat::zeros(d, d)?, Buffers::default());
    let mut echelon = Echelon::default();
    for &row in candidates {
        context.tick()?;
        if rows.len() == d {
            break;
        }
        let mut entries = tiles.row(row, &mut buffers)?;
        extend(&mut entries, border.map(|border| border[row]), PURPOSE)?;
        if echelon.take(&entries)? {
            (0..d).for_each(|j| kept[(rows.len(), j)] = entries[j]);
            push(&mut rows, row, PURPOSE)?;
        }
    }
    if rows.len() < d {
        return Ok(None);
    }
    Ok(Some(Basis { rows, factor: Qr::new(kept)? }))
}

/// Independent rows, each less what those before it have of it: zero where these have their pivots. Entries that are zero
/// are left out, as most are of rows that have few.
#[derive(Default)]
struct Echelon {
    lines: Vec<Line>,
}

/// The entries beside the pivot, which is one.
struct Line {
    pivot: usize,
    columns: Vec<u32>,
    values: Vec<f64>,
}

impl Echelon {
    /// Takes a row in, unless it is a combination of those that are there.
    fn take(&mut self, row: &[f64]) -> Result<bool> {
        let largest = row.iter().fold(0.0, |largest: f64, entry| largest.max(entry.abs()));
        if !(largest > 0.0 && row.iter().all(|entry| entry.is_finite())) {
            return Ok(false);
        }
        let mut rest = collected(row.iter().map(|entry| entry / largest), PURPOSE)?;
        for Line { pivot, columns, values } in &self.lines {
            let share = std::mem::take(&mut rest[*pivot]);
            if share != 0.0 {
                columns.iter().zip(values).for_each(|(&j, value)| rest[j as usize] -= share * value);
            }
        }
        let largest = (0..rest.len()).max_by(|&i, &j| rest[i].abs().total_cmp(&rest[j].abs()));
        let Some(pivot) = largest.filter(|&j| rest[j].abs() > INDEPENDENT) else { return Ok(false) };
        let unit = std::mem::take(&mut rest[pivot]);
        let others = (0..rest.len()).filter(|&j| rest[j] != 0.0);
        let columns = collected(others.clone().map(|j| j as u32), PURPOSE)?;
        let values = collected(others.map(|j| rest[j] / unit), PURPOSE)?;
        push(&mut self.lines, Line { pivot, columns, values }, PURPOSE)?;
        Ok(true)
    }
}

/// The multipliers that the signs of residuals say, zero for those of the basis, and A'y for them. Where a residual is
/// rounding its multiplier stays what it is.
fn by_signs(
    context: &Context,
    tiles: &dyn Tiles,
    x: &[f64],
    dual: &[f64],
    basis: &[usize],
    level: f64,
) -> Result<(Buffer<f64>, Vec<f64>)> {
    let mut signs = Buffer::copy_of(dual, "multipliers of rows")?;
    let mut sorted = copied(basis, PURPOSE)?;
    sorted.sort_unstable();
    let mut states = in_blocks(tiles, &mut signs)?;
    let d = tiles.ncols();
    let begin = || Ok((Sums::new(d, false, 1)?, Vec::new()));
    let parts = pass(context, tiles, &mut states, begin, |(sums, r), signs: &mut &mut [f64], tile| {
        tile.residual(x, r)?;
        let signs = &mut signs[tile.number * tile.height..][..tile.rows.len()];
        for (k, sign) in signs.iter_mut().enumerate() {
            let (b, residual) = (tile.target[k], r[k]);
            if residual.abs() > ROUNDING * (b.abs() + (b - residual).abs()) {
                *sign = if residual > 0.0 { level } else { level - 1.0 };
            }
        }
        let within = sorted.partition_point(|&row| row < tile.rows.start)
            ..sorted.partition_point(|&row| row < tile.rows.end);
        sorted[within].iter().for_each(|row| signs[row - tile.rows.start] = 0.0);
        r[..signs.len()].copy_from_slice(signs);
        r[signs.len()..].fill(0.0);
        sums.add_vector(tile, 0, r);
        Ok(())
    })?;
    let mut slopes = Sums::total(d, parts.iter().map(|(sums, _)| sums))?.1;
    Ok((signs, slopes.pop().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::super::frisch_newton::{Ask, frisch_newton};
    use super::super::testing::{Instance, prepared};
    use super::*;

    #[test]
    fn rows_are_taken_unless_others_make_them() {
        let rows = [
            [2.0, 0.0, 0.0, 4.0],
            [0.0, 0.0, 0.0, 0.0],
            [0.0, 1e-8, 0.0, 1.0],
            [1.0, 0.0, 0.0, 2.0],
            [1.0, 1e-8, 0.0, 3.0],
            [0.0, 0.0, 1e20, 0.0],
            [3.0, 3e-8, 7.0, 9.0],
            [0.0, f64::NAN, 0.0, 1.0],
            [1.0, -1.0, 1.0, -1.0],
        ];
        let mut echelon = Echelon::default();
        let taken = rows.map(|row| echelon.take(&row).unwrap());
        assert_eq!(taken, [true, false, true, false, false, true, false, false, true]);
        assert!(echelon.lines.iter().all(|line| line.columns.len() <= 2));
    }

    #[test]
    fn rough_multipliers_do_and_wrong_ones_do_not() {
        let instance = Instance::new(500, 4, 3);
        let problem = instance.plain();
        let (prepared, context, level) = (prepared(&problem, 1.0), Context::new(1), 0.4);
        let design = &prepared.design;
        let ask = Ask { level, tolerance: 1e-5, max_iter: 100, to_vertex: false };
        let rough = frisch_newton(&context, design, &prepared.start, &ask).unwrap();
        let (x, dual) = vertex(&context, design, &rough.dual, level).unwrap().unwrap();
        let fitted = (0..instance.n).filter(|&row| {
            let entries = design.row(row, &mut Buffers::default()).unwrap();
            let image: f64 = entries.iter().zip(&x).map(|(a, x)| a * x).sum();
            (image - design.target()[row]).abs() < 1e-13
        });
        assert!(fitted.count() >= 4);
        assert_eq!(dual.iter().filter(|y| (level - 1.0 + 1e-9..level - 1e-9).contains(*y)).count(), 4);
        // Rows that are fitted at no optimum.
        let mut wrong = vec![level; instance.n];
        (0..4).for_each(|row| wrong[row] = 0.0);
        assert!(vertex(&context, design, &wrong, level).unwrap().is_none());
        // None, and all, between their ends.
        assert!(vertex(&context, design, &vec![level; instance.n], level).unwrap().is_none());
        assert!(vertex(&context, design, &vec![0.0; instance.n], level).unwrap().is_none());
    }
}
