//! SHIM
#![allow(missing_docs)]
use crate::error::Result;
use crate::matrix::*;
use crate::parallel::Context;
use crate::random::Stream;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Srht,
    Pht,
    SparseSign { zeta: usize },
    CountSketch,
    Gaussian,
}
#[derive(Clone, Copy)]
pub enum Operand<'a> {
    Dense(&'a dyn Rows),
    Single(Sparse<'a, f32>, Option<&'a [f64]>),
    Double(Sparse<'a, f64>, Option<&'a [f64]>),
}
pub struct Sketch {
    m: usize,
    seed: u64,
    op: u32,
}
impl Sketch {
    pub fn new(_k: Kind, m: usize, _n: Option<u64>, seed: u64, op: u32) -> Result<Self> {
        Ok(Self { m, seed, op })
    }
    pub fn apply(&self, ctx: &Context, a: &Operand<'_>, _o: u64) -> Result<Mat<f64>> {
        let z = 8;
        let b = self.m / z;
        let st = Stream::new(self.seed, self.op, 9);
        fn sp<T: Real>(s: &Sparse<'_, T>, i: usize, w: Option<&[f64]>, buf: &mut Vec<f64>) -> Vec<f64> {
            let t = s.tile(i..i + 1, 0..s.ncols(), buf);
            t.row(0).unwrap().iter().map(|v| v * w.map_or(1.0, |w| w[i])).collect()
        }
        let (n, d) = match a {
            Operand::Dense(r) => (r.nrows(), r.ncols()),
            Operand::Single(s, _) => (s.nrows(), s.ncols()),
            Operand::Double(s, _) => (s.nrows(), s.ncols()),
        };
        let tiles: Vec<_> = (0..d).step_by(64).collect();
        let parts = ctx.map(tiles.len(), |t| {
            let c = tiles[t]..(tiles[t] + 64).min(d);
            let w = c.len();
            let mut y = vec![0.0; self.m * w];
            let mut buf = Vec::new();
            for i in 0..n {
                let words: Vec<[u32; 4]> = (0..2).map(|k| st.words(i as u64, k)).collect();
                let row: Vec<f64> = match a {
                    Operand::Dense(r) => r.tile(i..i + 1, c.clone(), &mut buf).row(0).unwrap().to_vec(),
                    Operand::Single(s, w) => sp(s, i, *w, &mut buf)[c.clone()].to_vec(),
                    Operand::Double(s, w) => sp(s, i, *w, &mut buf)[c.clone()].to_vec(),
                };
                for l in 0..z {
                    let v = words[l / 4][l % 4];
                    let h = l * b + ((u64::from(v >> 1) * b as u64) >> 31) as usize;
                    let sg = if v & 1 == 1 { 1.0 } else { -1.0 };
                    for j in 0..w {
                        y[h * w + j] += sg * row[j];
                    }
                }
            }
            y
        })?;
        Mat::from_fn(self.m, d, |i, j| {
            let w = 64.min(d - j / 64 * 64);
            parts[j / 64][i * w + j % 64] / (z as f64).sqrt()
        })
    }
}
