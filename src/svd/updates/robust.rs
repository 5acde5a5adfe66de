//! Frequent Directions: what the next singular value has is taken off all that are kept.
//!
//! Without it an update may cut off, each time, what many rows have in common but none has much of. With
//! s_i^2 <- s_i^2 - s_{l+1}^2, A'A = M'M + P still holds with P >= 0, and |P|_2 <= |A - A_j|_F^2 / (l - j) for all j < l
//! (Ghashami, Liberty, Phillips and Woodruff 2016): an update that loses s_{l+1}^2 of one direction loses as much of l of
//! them, and the trace of P is no more than what there is. So much is added to `spread` as without.
//!
//! The left side is another matter. What an update takes off lies in the span of U, so that the parts of different updates
//! are not at right angles, and |A - U S V'|_F^2 is not what the squares leave: it is at most the square of the sum of the
//! parts' norms.

use crate::svd::updates::ritz::Ritz;

impl Ritz {
    /// With `next` taken off, and counted among what is left out.
    pub fn shrunk(mut self) -> Self {
        let next = self.next;
        self.discarded += shrink(&mut self.s, next);
        self
    }
}

/// Takes `next` off singular values; the squares of what they lose.
pub(super) fn shrink(s: &mut [f64], next: f64) -> f64 {
    let mut lost = 0.0;
    for s in s {
        let left = ((*s - next).max(0.0) * (*s + next)).sqrt();
        lost += (*s - left).powi(2);
        *s = left;
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_lose_the_square_of_the_next() {
        let mut s = [5.0, 3.0, 2.0];
        let lost = shrink(&mut s, 2.0);
        assert!((s[0] - 21f64.sqrt()).abs() < 1e-15 && (s[1] - 5f64.sqrt()).abs() < 1e-15 && s[2] == 0.0);
        assert!((lost - (5.0 - s[0]).powi(2) - (3.0 - s[1]).powi(2) - 4.0).abs() < 1e-14);
    }
}
