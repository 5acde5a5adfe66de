//! Methods that take time of the size of the matrix, to compare with: what a batch has beside V is as long as V, and all
//! rows of both sides are rotated and written anew.
//!
//! The complement is made orthonormal as a whole (Zha and Simon 1999), or compressed to 10 directions by Lanczos (Vecharynski
//! and Saad 2014) or the power method (Yamazaki et al. 2015), by products with E and V alone.

use crate::error::{Error, Result};
use crate::linalg::{Precision, cholesky_qr2, gram, matmul, pivoted_cholesky, syrk};
use crate::matrix::{Buffer, Dense, Mat, Products, Real, even_blocks, make_rows};
use crate::memory::{collected, push, room_for, zeros};
use crate::parallel::Context;
use crate::simd::{axpy, norm_sq};
use crate::state::Stored;
use crate::svd::updates::batch::{Batch, visit_entries};
use crate::svd::updates::complement::{Complement, DIRECTIONS, Directions, NOTHING, lanczos, power};
use crate::svd::updates::lcov::{Core, Directed, beyond, core};
use crate::svd::updates::ledger::Kind;
use crate::svd::updates::ritz::{Ritz, Stacked, VALUES};
use crate::svd::updates::side::{CHUNK, Level, NOBODY, Rewrite, Side};
use crate::svd::updates::truncated::{Change, End, TruncatedSvd};

/// What memory is for.
const ROWS: &str = "all rows of singular vectors";
/// Rows that are worked on at a time.
const BLOCK: usize = 256;

impl<T: Stored> TruncatedSvd<T> {
    /// What a batch, in units of `unit`, makes of the sides; nothing if it and the model are more than fit into the rows of V.
    pub(super) fn appended_densely<B: Real>(
        &self,
        context: &Context,
        end: End,
        directed: Directed,
        (batch, unit): (&Batch<'_, B>, f64),
    ) -> Result<Option<Change<T>>> {
        let (kind, longer, side) = match end {
            End::Rows => (Kind::Rows, &self.left, &self.right),
            End::Columns => (Kind::Columns, &self.right, &self.left),
        };
        let (l, (s, width)) = (self.s.len(), batch.shape());
        let wanted = if directed == Directed::All { s } else { s.min(DIRECTIONS) };
        if l == 0 || l + wanted > width {
            return Ok(None);
        }
        let fresh = side.slots_for(width - side.len())?;
        let place = |&column: &usize| match column.checked_sub(side.len()) {
            Some(new) => fresh[new] as usize,
            None => side.slot(column) as usize,
        };
        let places = collected(batch.columns().iter().map(place), ROWS)?;
        let v = side.all(context, slots_with(side, &fresh))?;
        let touched = Mat::from_fn(l, places.len(), |i, j| v[(i, places[j])])?;
        let along = batch.times(context, &touched)?;
        let values = collected(self.s.iter().map(|s| s / unit), VALUES)?;
        let most = self.most.min(longer.len() + s).min(width);
        let (whole, roundoff) = (false, T::UNIT_ROUNDOFF);
        let z = Stacked { s: &values, touched: &touched, batch, most, whole, roundoff };
        let columns = Columns { v: &v, along: &along, batch, places: &places };
        let energy = batch.energy(context)?;
        let (Directions { q, along: of_q }, left_out) = match directed {
            Directed::All => columns.orthonormal(context)?,
            Directed::Lanczos | Directed::Power => {
                let found = match directed {
                    Directed::Lanczos => lanczos(context, &columns, energy.sqrt(), self.ledger.updates)?,
                    _ => power(context, &columns, self.ledger.updates)?,
                };
                let left_out = beyond(energy, &along, &found.along);
                (found, Some(left_out))
            }
        };
        let Core { s: found, f, g, next, discarded } = core(context, &z, &along, &of_q)?;
        let part = |of: &Mat<f64>, from: usize, to: usize| Mat::copy_of(of.as_ref().rows(from..to));
        let ritz =
            Ritz { s: found, f, rotation: part(&g, 0, l)?, rows: part(&g, l, g.nrows())?, next, discarded };
        let ritz = if self.policy.robust { ritz.shrunk() } else { ritz };
        let more = (ritz.rows.nrows() > 0).then_some((q.as_ref(), &ritz.rows));
        let side = side.anew(context, &v, &ritz.rotation, more, (fresh, None))?;
        let appended = longer.slots_for(s)?;
        let u = longer.all(context, slots_with(longer, &appended))?;
        let rows = Mat::copy_of(ritz.f.as_ref().cols(l..l + s))?;
        let of_model = Mat::copy_of(ritz.f.as_ref().cols(0..l).t())?;
        let longer = longer.anew(context, &u, &of_model, None, (appended, Some(&rows)))?;
        let (left, right) = if end == End::Rows { (longer, side) } else { (side, longer) };
        let ledger = self.ledger.after(kind, 0.0, ritz.next * unit, ritz.discarded * unit * unit);
        Ok(Some(Change {
            left: Some(left),
            right: Some(right),
            s: collected(ritz.s.iter().map(|s| s * unit), VALUES)?,
            ledger: ledger.without(left_out, unit),
            ..self.unchanged()?
        }))
    }
}

/// Slots there are with these.
fn slots_with<T>(side: &Side<T>, fresh: &[u32]) -> usize {
    fresh.iter().map(|&slot| slot as usize + 1).fold(side.level.len(), usize::max)
}

impl<T: Stored> Side<T> {
    /// The rows in all of so many slots: that of slot i is column i, zero if it has none.
    fn all(&self, context: &Context, slots: usize) -> Result<Mat<f64>> {
        let (width, upward) = (self.width(), self.upward(0)?);
        let rotations = &upward.rotations;
        let mut all = Mat::zeros(width, slots)?;
        let is_identity = |rotation: &Mat<f64>| {
            let n = rotation.nrows();
            (0..n * width).all(|k| rotation.as_slice()[k] == f64::from(k / n.max(1) == k % n.max(1)))
        };
        let as_stored = rotations.len() == 1 && rotations[0].nrows() == width && is_identity(&rotations[0]);
        make_rows(context, all.as_mut().t(), &even_blocks(slots, BLOCK)?, width, |_, range, out| {
            let live = range.clone().take_while(|&slot| slot < self.level.len());
            let live = live.filter(|&slot| self.level[slot] != NOBODY).map(|slot| slot as u32);
            let live = collected(live, ROWS)?;
            let first = range.start;
            let place = |slot: u32| (slot as usize - first) * width..(slot as usize - first + 1) * width;
            out.fill(0.0);
            if as_stored {
                for &slot in &live {
                    let (chunk, row) = (slot as usize / CHUNK, slot as usize % CHUNK);
                    let from = &self.chunks[chunk][row * self.stride..][..width];
                    out[place(slot)].iter_mut().zip(from).for_each(|(to, from)| *to = from.to_f64());
                }
                return Ok(());
            }
            // Within a block of rows there is nothing to share.
            let (gathered, _) = self.gather_by(&Context::new(1), &live, &upward, 0)?;
            for (i, &slot) in live.iter().enumerate() {
                out[place(slot)].copy_from_slice(gathered.col(i));
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// All rows times a small matrix, and more; and rows in fresh slots, zero if they are not told.
    fn anew(
        &self,
        context: &Context,
        all: &Mat<f64>,
        rotation: &Mat<f64>,
        more: Option<(Dense<'_, f64>, &Mat<f64>)>,
        (fresh, told): (Vec<u32>, Option<&Mat<f64>>),
    ) -> Result<Rewrite<T>> {
        let (width, slots) = (rotation.ncols(), all.ncols());
        let chunk = |chunk: usize| -> Result<(Buffer<T>, Mat<f64>)> {
            let mut buffer = Buffer::zeros(CHUNK * self.stride, ROWS)?;
            let mut gram = Mat::zeros(width, width)?;
            let end = ((chunk + 1) * CHUNK).min(slots);
            for start in (chunk * CHUNK..end).step_by(BLOCK) {
                let range = start..(start + BLOCK).min(end);
                let mut rows = Mat::zeros(width, range.len())?;
                matmul(
                    rows.as_mut().t(),
                    false,
                    all.as_ref().t().rows(range.clone()),
                    rotation.as_ref(),
                    1.0,
                );
                if let Some((q, of_q)) = more {
                    matmul(rows.as_mut().t(), true, q.rows(range.clone()), of_q.as_ref(), 1.0);
                }
                if let Some(told) = told {
                    for (i, &slot) in
                        fresh.iter().enumerate().filter(|(_, slot)| range.contains(&(**slot as usize)))
                    {
                        rows.col_mut(slot as usize - start).copy_from_slice(told.col(i));
                    }
                }
                for (i, slot) in range.enumerate() {
                    let to = &mut buffer[slot % CHUNK * self.stride..][..width];
                    to.iter_mut().zip(rows.col(i)).for_each(|(to, &from)| *to = T::from_f64(from));
                }
                syrk(gram.as_mut(), true, rows.as_ref().t(), 1.0);
            }
            Ok((buffer, gram))
        };
        let made = context.map(slots.div_ceil(CHUNK), chunk)?;
        let (mut chunks, mut gram) = (room_for(made.len(), ROWS)?, Mat::zeros(width, width)?);
        for made in made {
            let (buffer, part) = made?;
            push(&mut chunks, buffer, ROWS)?;
            axpy(1.0, part.as_slice(), gram.as_mut_slice());
        }
        for (i, j) in (0..width).flat_map(|j| (0..j).map(move |i| (i, j))) {
            gram[(i, j)] = gram[(j, i)];
        }
        let order = collected(self.order.iter().chain(&fresh).copied(), ROWS)?;
        let of_slot = |slot: usize| if self.level.get(slot) == Some(&NOBODY) { NOBODY } else { 0 };
        let mut level = collected((0..slots).map(of_slot), ROWS)?;
        fresh.iter().for_each(|&slot| level[slot as usize] = 0);
        let used = fresh.len().min(self.free.len());
        let free = collected(self.free[..self.free.len() - used].iter().copied(), ROWS)?;
        let mut levels = room_for(1, ROWS)?;
        let only = Level { slots: Vec::new(), live: order.len(), gram, rotation: Mat::identity(width)? };
        push(&mut levels, only, ROWS)?;
        let side =
            Self { chunks, stride: self.stride, level, order: order.into(), free, levels, growth: 1.0 };
        Ok(Rewrite::whole(side, fresh))
    }
}

/// X as columns of numbers, one for each slot of the side.
struct Columns<'a, 'b, B> {
    /// The row in slot i is column i.
    v: &'a Mat<f64>,
    /// V'E'.
    along: &'a Mat<f64>,
    batch: &'a Batch<'b, B>,
    /// The slots of the columns that E has.
    places: &'a [usize],
}

impl<B: Real> Columns<'_, '_, B> {
    /// All of X made orthonormal: as many of its columns as are linearly independent.
    fn orthonormal(&self, context: &Context) -> Result<(Directions, Option<f64>)> {
        /// A column shorter than this beside its row of E has lost digits.
        const SHORT: f64 = 0.1;
        let mut squares: Vec<f64> = zeros(self.count(), ROWS)?;
        visit_entries(&self.batch.local(), &mut |i, _, value| squares[i] += value * value);
        let whole = collected(squares.iter().copied().filter(|&square| square > 0.0), ROWS)?;
        let filled = collected((0..squares.len()).filter(|&i| squares[i] > 0.0), ROWS)?;
        let mut x = self.product(context, &chosen(&Mat::identity(self.count())?, &filled)?)?;
        let share = |x: &Mat<f64>, j: usize| (norm_sq(x.col(j)) / whole[j]).sqrt();
        if (0..x.ncols()).any(|j| share(&x, j) < SHORT) {
            self.restore(context, &mut x)?;
        }
        let beside = collected((0..x.ncols()).filter(|&j| share(&x, j) > NOTHING), ROWS)?;
        let x = chosen(&x, &beside)?;
        let units = collected((0..x.ncols()).map(|j| norm_sq(x.col(j)).sqrt().recip()), ROWS)?;
        let gram = gram(context, &x.as_ref(), Precision::Double, &units, || (), |_, _, _| ())?.gram;
        let independent = pivoted_cholesky(&gram, NOTHING * NOTHING)?
            .ok_or_else(|| Error::Internal("a complement that is not finite".into()))?;
        let q = cholesky_qr2(context, chosen(&x, &independent.order[..independent.rows.nrows()])?)?;
        let along = self.transposed_product(context, &q)?;
        let left_out = (q.ncols() < filled.len()).then(|| NOTHING * whole.iter().sum::<f64>().sqrt());
        Ok((Directions { q, along }, left_out))
    }
}

/// Some columns.
fn chosen(columns: &Mat<f64>, which: &[usize]) -> Result<Mat<f64>> {
    let mut some = Mat::zeros(columns.nrows(), which.len())?;
    which.iter().enumerate().for_each(|(to, &from)| some.col_mut(to).copy_from_slice(columns.col(from)));
    Ok(some)
}

impl<B: Real> Complement for Columns<'_, '_, B> {
    fn restore(&self, context: &Context, x: &mut Mat<f64>) -> Result<()> {
        if x.ncols() == 0 {
            return Ok(());
        }
        let mut taken = Mat::zeros(self.v.nrows(), x.ncols())?;
        self.v.as_ref().t().transposed_product(context, x.as_ref(), taken.as_mut())?;
        let mut part = Mat::zeros(x.nrows(), x.ncols())?;
        self.v.as_ref().t().product(context, taken.as_ref(), part.as_mut())?;
        axpy(-1.0, part.as_slice(), x.as_mut_slice());
        Ok(())
    }

    fn len(&self) -> usize {
        self.v.ncols()
    }

    fn count(&self) -> usize {
        self.along.ncols()
    }

    fn product(&self, context: &Context, p: &Mat<f64>) -> Result<Mat<f64>> {
        let (n, k) = (self.v.ncols(), p.ncols());
        let mut less = Mat::zeros(self.v.nrows(), k)?;
        matmul(less.as_mut(), false, self.along.as_ref(), p.as_ref(), -1.0);
        let mut out = Mat::zeros(n, k)?;
        self.v.as_ref().t().product(context, less.as_ref(), out.as_mut())?;
        let more = self.batch.transposed_times(context, &Mat::copy_of(p.as_ref().t())?)?;
        for j in 0..k {
            let column = out.col_mut(j);
            self.places.iter().enumerate().for_each(|(i, &place)| column[place] += more[(j, i)]);
        }
        Ok(out)
    }

    fn transposed_product(&self, context: &Context, q: &Mat<f64>) -> Result<Mat<f64>> {
        let k = q.ncols();
        let touched = Mat::from_fn(k, self.places.len(), |j, i| q[(self.places[i], j)])?;
        let of_batch = self.batch.times(context, &touched)?;
        let mut out = Mat::copy_of(of_batch.as_ref().t())?;
        let mut along = Mat::zeros(self.v.nrows(), k)?;
        self.v.as_ref().t().transposed_product(context, q.as_ref(), along.as_mut())?;
        matmul(out.as_mut(), true, self.along.as_ref().t(), along.as_ref(), -1.0);
        Ok(out)
    }

    fn inner(&self, context: &Context, x: Dense<'_, f64>, y: Dense<'_, f64>) -> Result<Mat<f64>> {
        let mut out = Mat::zeros(x.ncols(), y.ncols())?;
        x.transposed_product(context, y, out.as_mut())?;
        Ok(out)
    }
}
