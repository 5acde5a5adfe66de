//! The first entry that is not finite, row by row, for the error that names it.

use super::{Axis, Real, Rows, Sparse};
use crate::error::Result;
use crate::parallel::Context;

/// Its row, its column and its value in anything that has tiles.
pub(crate) fn first_non_finite(context: &Context, a: &dyn Rows) -> Result<Option<(usize, usize, f64)>> {
    let mut buffer = Vec::new();
    for i in 0..a.nrows() {
        context.tick()?;
        let tile = a.tile(i..i + 1, 0..a.ncols(), &mut buffer)?;
        if let Some((j, &value)) = tile.stored_row(0).iter().enumerate().find(|(_, value)| !value.is_finite())
        {
            return Ok(Some((i, j, value)));
        }
    }
    Ok(None)
}

impl<T: Real> Sparse<'_, T> {
    /// The same of the stored entries, times the weights of their rows if there are any.
    pub(crate) fn first_non_finite(
        &self,
        context: &Context,
        weights: Option<&[f64]>,
    ) -> Result<Option<(usize, usize, f64)>> {
        let mut first: Option<(usize, usize, f64)> = None;
        for lines in self.lines_in_pieces(context) {
            for line in lines? {
                self.visit_line(line, |index, value| {
                    let (i, j) = if self.axis() == Axis::Rows { (line, index) } else { (index, line) };
                    let value = value.to_f64() * weights.map_or(1.0, |weights| weights[i]);
                    if !value.is_finite() && first.is_none_or(|(row, column, _)| (i, j) < (row, column)) {
                        first = Some((i, j, value));
                    }
                });
            }
            if first.is_some() && self.axis() == Axis::Rows {
                break;
            }
        }
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{Dense, Indices};

    #[test]
    fn the_first_of_them_is_the_same_in_every_layout() {
        const NAN: f64 = f64::NAN;
        let context = Context::new(1);
        let (ends, indices) = (Indices::I32(&[0, 2, 2, 5, 6]), Indices::I64(&[0, 2, 0, 1, 2, 1]));
        let spoiled: [(&[usize], _); 5] = [
            (&[], None),
            (&[5], Some((3, 1))),
            (&[3, 4], Some((2, 1))),
            (&[4, 5, 2], Some((2, 0))),
            (&[1, 2], Some((0, 2))),
        ];
        for (spoiled, expected) in spoiled {
            let mut values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
            spoiled.iter().for_each(|&at| values[at] = NAN);
            let csr = Sparse::new(&context, "A", Axis::Rows, (4, 3), ends, indices, &values).unwrap();
            let csc = csr.along(&context, Axis::Columns).unwrap();
            let mut buffer = Vec::new();
            let dense = csr.tile(0..4, 0..3, &mut buffer).unwrap();
            let place = |found: Result<Option<(usize, usize, f64)>>| {
                found.unwrap().map(|(i, j, value)| {
                    assert!(value.is_nan());
                    (i, j)
                })
            };
            assert_eq!(place(first_non_finite(&context, &dense)), expected);
            assert_eq!(place(csr.first_non_finite(&context, None)), expected);
            assert_eq!(place(csc.as_ref().first_non_finite(&context, None)), expected);
            let weights = [0.5, 1.0, 1e308, 1.0];
            let (i, j, _) = csr.first_non_finite(&context, Some(&weights)).unwrap().unwrap();
            assert_eq!((i, j), expected.unwrap_or((2, 0)).min((2, 0)));
        }
        let tall = Dense::row_major(&[1.0, f64::NEG_INFINITY], 2, 1);
        assert_eq!(first_non_finite(&context, &tall), Ok(Some((1, 0, f64::NEG_INFINITY))));
    }
}
