"""The table of coefficients that a regression prints."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["RegressionSummary"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class RegressionSummary:
    """Coefficients with standard errors, t statistics and confidence intervals: a table, to be printed.

    Arrays follow `names`, behind an axis for the targets if y had columns.

    Attributes
    ----------
    names : tuple of str
        The intercept, if there is one, and the features.
    coef : ndarray of shape (p,) or (n_targets, p)
        Intercept and coefficients.
    std_err : ndarray of shape (p,) or (n_targets, p)
        Their standard errors.
    t : ndarray of shape (p,) or (n_targets, p)
        Coefficients over standard errors.
    p_value : ndarray of shape (p,) or (n_targets, p)
        Probability that Student's t with `df_resid` degrees of freedom is further from zero.
    interval : ndarray of shape (p, 2) or (n_targets, p, 2)
        Ends of the confidence intervals.
    df_resid : float or ndarray of shape (n_targets,)
        Degrees of freedom of the residuals.
    r_squared : float or ndarray of shape (n_targets,)
        Coefficient of determination, about the mean if there is an intercept, else about zero.
    sigma : float or ndarray of shape (n_targets,)
        Standard error of a residual of weight one.
    n : int
        Samples of positive weight.
    rank : int
        Rank of X and its constant.
    level : float
        Level of the confidence intervals.
    kind : str
        Kind of the covariance behind the standard errors.
    model : str
        Name of the estimator.
    """

    names: tuple[str, ...]
    coef: Array
    std_err: Array
    t: Array
    p_value: Array
    interval: Array
    df_resid: float | Array
    r_squared: float | Array
    sigma: float | Array
    n: int
    rank: int
    level: float
    kind: str
    model: str

    def __str__(self) -> str:
        targets = range(len(self.coef)) if self.coef.ndim == 2 else (...,)
        return "\n\n".join(self._table(target) for target in targets)

    __repr__ = __str__

    def _table(self, target: Any) -> str:
        """The table of one target, an index into the leading axis."""
        title = self.model if target is ... else f"{self.model}, target {target}"
        freedom, r_squared, sigma = (
            np.asarray(figure)[target].item() for figure in (self.df_resid, self.r_squared, self.sigma)
        )
        low, high = (1.0 - self.level) / 2.0, (1.0 + self.level) / 2.0
        rows = [["", "coef", "std err", "t", "P>|t|", f"[{low:.4g}", f"{high:.4g}]"]]
        columns = (self.coef, self.std_err, self.t, self.p_value, self.interval)
        for name, coef, error, t, p, ends in zip(self.names, *(c[target] for c in columns), strict=True):
            rows.append(
                [name, _decimal(coef, 4), *map(_decimal, (error, t)), f"{p:.3f}", *map(_decimal, ends)]
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        head, *body = (
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
        )
        rule = "-" * len(head)
        return "\n".join(
            [
                f"{title}: {self.n} samples, rank {self.rank}, {freedom:.6g} degrees of freedom",
                f"R squared {r_squared:.4f}, sigma {_decimal(sigma)}, covariance {self.kind}",
                *(rule, head, rule, *body, rule),
            ]
        )


def _decimal(value: float, digits: int = 3) -> str:
    """A number as tables print it: without an exponent where that shows two digits of it."""
    plain = value == 0.0 or 10.0 ** (1 - digits) <= abs(value) < 1e5
    return f"{value:.{digits}f}" if plain else f"{value:.{digits}g}"
