//! The tail of the losses of rows: what the worst share of them lose on average, smoothed (Togashi, Oka, Ohsaka and
//! Morimura, "Safe collaborative filtering", ICLR 2024: SAFER2).
//!
//! The conditional value at risk of losses l_1 .. l_N at a share α is the least of x + Σ max(l_i - x, 0) / (α N) over x,
//! attained at the quantile. With Epanechnikov's kernel, of bandwidth h, max(t, 0) becomes h Ψ(t / h), whose slope
//! F(t / h) goes from 0 to 1 in between -h and h, and the slopes at the losses, whose mean is α, are weights of rows.

/// Whose losses count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Risk {
    /// The share of rows with the largest losses.
    pub share: f64,
    /// Of the kernel.
    pub bandwidth: f64,
}

impl Risk {
    /// Where the smoothed tail begins.
    pub fn quantile(&self, losses: &[f64]) -> f64 {
        let (least, most) =
            losses.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &l| (a.min(l), b.max(l)));
        let (mut low, mut high) = (least - self.bandwidth, most + self.bandwidth);
        let wanted = self.share * losses.len() as f64;
        // The sum of the slopes falls from all rows to none: as often as there are bits, at most.
        for _ in 0..64 {
            let middle = 0.5 * (low + high);
            let tail: f64 = losses.iter().map(|loss| self.slope(loss - middle)).sum();
            if tail > wanted {
                low = middle;
            } else {
                high = middle;
            }
        }
        0.5 * (low + high)
    }

    /// The tail from there on, a mean over the share.
    pub fn value(&self, losses: &[f64], quantile: f64) -> f64 {
        let sum: f64 = losses.iter().map(|loss| self.excess(loss - quantile)).sum();
        quantile + sum / (self.share * losses.len() as f64)
    }

    /// F: the weight of a loss that is so far above the quantile.
    pub fn slope(&self, above: f64) -> f64 {
        let t = (above / self.bandwidth).clamp(-1.0, 1.0);
        0.5 + 0.75 * t - 0.25 * t * t * t
    }

    /// h Ψ
    fn excess(&self, above: f64) -> f64 {
        let t = above / self.bandwidth;
        if t <= -1.0 {
            0.0
        } else if t >= 1.0 {
            above
        } else {
            self.bandwidth * (0.1875 + t * (0.5 + t * (0.375 - 0.0625 * t * t)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RISK: Risk = Risk { share: 0.3, bandwidth: 0.05 };

    fn losses() -> Vec<f64> {
        (0..1000).map(|k| 0.5 * (0.5 + 0.5 * (k as f64 * 0.7).sin())).collect()
    }

    #[test]
    fn weights_have_the_share_for_their_mean() {
        let losses = losses();
        let quantile = RISK.quantile(&losses);
        let mean = losses.iter().map(|loss| RISK.slope(loss - quantile)).sum::<f64>() / 1000.0;
        assert!((mean - 0.3).abs() < 1e-12, "{mean}");
    }

    #[test]
    fn the_quantile_is_where_the_value_is_least_and_that_is_the_tail() {
        let losses = losses();
        let quantile = RISK.quantile(&losses);
        let least = RISK.value(&losses, quantile);
        for off in [-0.01, -1e-4, 1e-4, 0.01] {
            assert!(RISK.value(&losses, quantile + off) >= least);
        }
        let mut sorted = losses.clone();
        sorted.sort_by(f64::total_cmp);
        let tail = sorted[700..].iter().sum::<f64>() / 300.0;
        assert!((least - tail).abs() < 5e-3, "{least} {tail}");
    }

    #[test]
    fn the_slope_is_that_of_the_excess() {
        for k in -30..=30 {
            let (above, step) = (k as f64 * 2e-3 + 1e-4, 1e-7);
            let slope = (RISK.excess(above + step) - RISK.excess(above - step)) / (2.0 * step);
            assert!((slope - RISK.slope(above)).abs() < 1e-6, "{above}: {slope}");
        }
    }
}
