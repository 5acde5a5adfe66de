//! The methods of Deng et al. (2024): what a batch has beside V as sparse vectors less combinations of V.
//!
//! All of it is made orthonormal by Gram and Schmidt, or 10 directions of it that Lanczos or the power method find. Then
//! M = [[S, 0], [E V, E Q]] = F T G' is small, U becomes [U F1; F2] and V becomes V G1 + Q G2.

use crate::error::Result;
use crate::linalg::{product, svd_apart};
use crate::matrix::{Mat, Real};
use crate::parallel::Context;
use crate::simd::axpy;
use crate::svd::updates::complement::{Directions, Pairs, lanczos, power};
use crate::svd::updates::ritz::{Ritz, Stacked, significant};
use crate::svd::updates::side::rotated;

/// What is kept of the complement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directed {
    /// All of it.
    All,
    /// What Lanczos finds.
    Lanczos,
    /// What the power method finds.
    Power,
}

/// The singular values of M, and its vectors.
pub(super) struct Core {
    pub s: Vec<f64>,
    /// F1 over F2, row i in column i.
    pub f: Mat<f64>,
    /// G1 over G2.
    pub g: Mat<f64>,
    pub next: f64,
    pub discarded: f64,
}

/// By pairs, with what that leaves out of the batch: nothing at all if there is none.
pub(super) fn by_pairs<B: Real>(
    context: &Context,
    z: &Stacked<'_, '_, B>,
    directed: Directed,
    seed: u64,
) -> Result<(Ritz, Option<f64>)> {
    let along = z.batch.times(context, z.touched)?;
    let pairs = Pairs { batch: z.batch, of_v: z.touched, along: &along };
    let energy = z.batch.energy(context)?;
    let (q, of_q, left_out) = match directed {
        Directed::All => {
            let (q, r, dropped) = pairs.gram_schmidt(context)?;
            (q, Mat::copy_of(r.as_ref().t())?, (dropped > 0.0).then(|| dropped.sqrt()))
        }
        Directed::Lanczos | Directed::Power => {
            let Directions { q, along: of_q } = match directed {
                Directed::Lanczos => lanczos(context, &pairs, energy.sqrt(), seed)?,
                _ => power(context, &pairs, seed)?,
            };
            let left_out = beyond(energy, &along, &of_q);
            (q, of_q, Some(left_out))
        }
    };
    let Core { s, f, g, next, discarded } = core(context, z, &along, &of_q)?;
    let (l, t, end) = (z.s.len(), pairs.touched(), q.nrows());
    let of_new = Mat::copy_of(g.as_ref().rows(l..g.nrows()))?;
    let mut rotation = Mat::copy_of(g.as_ref().rows(0..l))?;
    let less = product(q.as_ref().rows(t..end), of_new.as_ref())?;
    axpy(-1.0, less.as_slice(), rotation.as_mut_slice());
    let rotation = Mat::copy_of(rotation.as_ref().t())?;
    let mut rows = rotated(context, z.touched, &rotation)?;
    let of_touched = Mat::copy_of(q.as_ref().rows(0..t).t())?;
    let more = rotated(context, &of_touched, &Mat::copy_of(of_new.as_ref().t())?)?;
    axpy(1.0, more.as_slice(), rows.as_mut_slice());
    Ok((Ritz { s, f, rotation, rows, next, discarded }, left_out))
}

/// |E|_F without what V and Q have of it.
pub(super) fn beyond(energy: f64, along: &Mat<f64>, of_q: &Mat<f64>) -> f64 {
    let squares = |x: &Mat<f64>| x.as_slice().iter().map(|x| x * x).sum::<f64>();
    (energy - squares(along) - squares(of_q)).max(0.0).sqrt()
}

/// Of E V, row i in column i, and E Q.
pub(super) fn core<B: Real>(
    context: &Context,
    z: &Stacked<'_, '_, B>,
    along: &Mat<f64>,
    of_q: &Mat<f64>,
) -> Result<Core> {
    let (l, s, r) = (z.s.len(), of_q.nrows(), of_q.ncols());
    let m = Mat::from_fn(l + s, l + r, |i, j| match (i.checked_sub(l), j.checked_sub(l)) {
        (None, None) if i == j => z.s[i],
        (None, _) => 0.0,
        (Some(i), None) => along[(j, i)],
        (Some(i), Some(j)) => of_q[(i, j)],
    })?;
    let found = svd_apart(context, m)?;
    let kept = significant(&found.s, z.most, l + s.max(r), z.roundoff);
    let turned = Mat::copy_of(found.u.as_ref().cols(0..kept))?;
    let f = z.signed(turned.copy()?);
    let mut g = Mat::copy_of(found.v.as_ref().cols(0..kept))?;
    for j in (0..kept).filter(|&j| f.col(j) != turned.col(j)) {
        g.col_mut(j).iter_mut().for_each(|x| *x = -*x);
    }
    let discarded = found.s[kept..].iter().map(|s| s * s).sum();
    let next = found.s.get(kept).copied().unwrap_or(0.0);
    let mut s = found.s;
    s.truncate(kept);
    Ok(Core { s, f: Mat::copy_of(f.as_ref().t())?, g, next, discarded })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Matrix;
    use crate::svd::testing::{compressed, numbers};
    use crate::svd::updates::append::Method;
    use crate::svd::updates::ledger::Kind;
    use crate::svd::updates::truncated::{End, TruncatedSvd};

    /// Most entries are zero; new columns come and go.
    fn sparse(n: usize, d: usize, seed: usize) -> Mat<f64> {
        let all = numbers(n, d, seed);
        Mat::from_fn(n, d, |i, j| if (i * 7 + j * 3 + seed).is_multiple_of(9) { all[(i, j)] } else { 0.0 })
            .unwrap()
    }

    fn after(method: Method, batches: &[(End, Mat<f64>)]) -> TruncatedSvd<f64> {
        let context = Context::new(2);
        let mut model = TruncatedSvd::new(10).unwrap();
        for (i, (end, x)) in batches.iter().enumerate() {
            // All of the first rows, whatever the method would leave out.
            let method = if i == 0 { Method::Qr } else { method };
            let stored = compressed(x);
            let change = model.appended(&context, *end, method, &Matrix::Sparse(stored.as_ref())).unwrap();
            model.apply(change).unwrap();
            let error = model.orthogonality().unwrap();
            assert!(error < 1e-10, "{method:?}: {error:e}");
        }
        model
    }

    fn batches() -> Vec<(End, Mat<f64>)> {
        let (mut m, mut n) = (60, 80);
        let mut batches = vec![(End::Rows, sparse(m, n, 0))];
        for step in 1..12 {
            let count = [5, 1, 20, 25][step % 4];
            if step % 4 == 0 {
                batches.push((End::Columns, sparse(m, count, step)));
                n += count;
            } else {
                n += step % 3;
                batches.push((End::Rows, sparse(count, n, step)));
                m += count;
            }
        }
        batches
    }

    #[test]
    fn what_is_not_compressed_is_exact() {
        let expected = after(Method::Qr, &batches());
        for method in [Method::Lcov(Directed::All), Method::Dense(Directed::All)] {
            let found = after(method, &batches());
            let context = Context::new(1);
            for (found, expected) in found.values().iter().zip(expected.values()) {
                assert!((found - expected).abs() < 1e-11 * expected, "{method:?}: {found} {expected}");
            }
            for end in [End::Rows, End::Columns] {
                let [x, y] = [&found, &expected].map(|model| model.vectors(&context, end, None, 3).unwrap());
                let error =
                    x.as_slice().iter().zip(y.as_slice()).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
                assert!(error < 1e-9, "{method:?} {end:?}: {error:e}");
            }
        }
        let rows = after(Method::Lcov(Directed::All), &batches()[..4]);
        assert_eq!(rows.ledger().kind, Kind::Rows);
    }

    #[test]
    fn what_is_compressed_is_within_the_ledger() {
        let all = batches();
        let exact = after(Method::Qr, &all);
        for directed in [Directed::Lanczos, Directed::Power] {
            let mut values = Vec::new();
            for method in [Method::Lcov(directed), Method::Dense(directed)] {
                let found = after(method, &all);
                assert_eq!(found.ledger().kind, Kind::Mixed);
                let slack = found.ledger().spectral + exact.ledger().spectral;
                let close = |(found, exact): (&f64, &f64)| (found - exact).abs() <= slack;
                assert!(found.values().iter().zip(exact.values()).all(close), "{method:?}");
                assert!(found.values()[0] > 0.5 * exact.values()[0]);
                values.push(found.values().to_vec());
            }
            let same = values[0].iter().zip(&values[1]).all(|(x, y)| (x - y).abs() < 1e-6 * values[0][0]);
            assert!(same, "{directed:?} {values:?}");
        }
    }

    #[test]
    fn rows_that_are_there_already_and_rows_of_zeros() {
        let first = sparse(60, 80, 0);
        let again = Mat::from_fn(12, 80, |i, j| if i < 6 { first[(i % 3, j)] } else { 0.0 }).unwrap();
        let heavy =
            Mat::from_fn(4, 90, |i, j| if j == 80 + i { 50.0 + 5.0 * i as f64 } else { 0.0 }).unwrap();
        let all = [(End::Rows, first), (End::Rows, again), (End::Rows, heavy)];
        let expected = after(Method::Qr, &all);
        for directed in [Directed::All, Directed::Lanczos, Directed::Power] {
            for method in [Method::Lcov(directed), Method::Dense(directed)] {
                let found = after(method, &all);
                let close =
                    found.values().iter().zip(expected.values()).all(|(x, y)| (x - y).abs() < 1e-9 * y);
                assert!(close, "{method:?} {:?} {:?}", found.values(), expected.values());
            }
        }
    }
}
