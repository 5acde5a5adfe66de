"""The table of coefficients that a regression prints."""

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from nearlin._validation import check_choice

__all__ = ["RegressionSummary"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class RegressionSummary:
    """Coefficients with standard errors, t statistics and confidence intervals: a table, to be printed.

    Arrays follow `names`, behind an axis for the targets if y had columns. What statsmodels calls `params`,
    `bse`, `tvalues`, `pvalues` and `conf_int` are dicts by name.

    Attributes
    ----------
    names : tuple of str
        The intercept, if there is one, and the features; it is "(intercept)" if a feature is "intercept".
    coef : ndarray of shape (p,) or (n_targets, p)
        Intercept and coefficients.
    identified : ndarray of bool of shape (p,)
        Which of them the data determine: False where columns of X (and the constant) depend on each other, so
        that another value would fit as well, and for a constant feature that was left out for the intercept.
        Those have no standard error: theirs, and what is made of it, is NaN.
    left_out : ndarray of bool of shape (p,)
        Which of those are constant features, left out for the intercept.
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
        Coefficient of determination, about the mean if there is an intercept, else about zero (uncentred),
        as in statsmodels.
    r_squared_adj : float or ndarray of shape (n_targets,)
        That with the degrees of freedom made up for.
    f_value : float or ndarray of shape (n_targets,)
        F statistic of all coefficients but the intercept being zero, by Wald's test if `kind` is a robust
        one; NaN with a penalty, with which it would not have that distribution.
    f_p_value : float or ndarray of shape (n_targets,)
        Probability that F with `df_model` and `df_resid` degrees of freedom is larger.
    df_model : float or ndarray of shape (n_targets,)
        Degrees of freedom of the model, the intercept not counted.
    log_likelihood : float or ndarray of shape (n_targets,)
        That of normal noise whose variance is the mean squared residual.
    aic : float or ndarray of shape (n_targets,)
        Information criterion of Akaike, which counts the coefficients and not the variance.
    bic : float or ndarray of shape (n_targets,)
        That of Schwarz.
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
    together : tuple of tuples of str, default=()
        Columns that are determined only together, as they depend on each other.
    """

    names: tuple[str, ...]
    coef: Array
    identified: npt.NDArray[np.bool_]
    left_out: npt.NDArray[np.bool_]
    std_err: Array
    t: Array
    p_value: Array
    interval: Array
    df_resid: float | Array
    r_squared: float | Array
    r_squared_adj: float | Array
    f_value: float | Array
    f_p_value: float | Array
    df_model: float | Array
    log_likelihood: float | Array
    aic: float | Array
    bic: float | Array
    sigma: float | Array
    n: int
    rank: int
    level: float
    kind: str
    model: str
    together: tuple[tuple[str, ...], ...] = ()

    @property
    def params(self) -> dict[str, Any]:
        """Coefficients by name; arrays over the targets if y had columns."""
        return self._by_name(self.coef)

    @property
    def bse(self) -> dict[str, Any]:
        """Standard errors by name."""
        return self._by_name(self.std_err)

    @property
    def tvalues(self) -> dict[str, Any]:
        """T statistics by name."""
        return self._by_name(self.t)

    @property
    def pvalues(self) -> dict[str, Any]:
        """Probabilities by name."""
        return self._by_name(self.p_value)

    def conf_int(self) -> dict[str, Any]:
        """Return the confidence intervals at `level` by name: arrays of the two ends.

        Returns
        -------
        dict of str to ndarray of shape (2,) or (n_targets, 2)
            The intervals.
        """
        return dict(zip(self.names, np.moveaxis(self.interval, -2, 0), strict=True))

    def to_frame(self, library: str = "pandas") -> Any:
        """Return the table as a frame of pandas or polars.

        Parameters
        ----------
        library : {"pandas", "polars"}, default="pandas"
            Whose frame; it has to be installed.

        Returns
        -------
        DataFrame
            With the columns ``coef``, ``std_err``, ``t``, ``p_value``, ``low``, ``high`` and ``identified``.
            One of pandas is indexed by `names`, or by (target, name) if y had columns; one of polars has
            these as its first columns, ``target`` and ``name``.
        """
        check_choice(library, "library", ("pandas", "polars"))
        columns = {"coef": self.coef, "std_err": self.std_err, "t": self.t, "p_value": self.p_value}
        columns |= {"low": self.interval[..., 0], "high": self.interval[..., 1]}
        columns["identified"] = np.broadcast_to(self.identified, self.coef.shape)
        table = {name: np.ravel(values) for name, values in columns.items()}
        targets = len(np.atleast_2d(self.coef))
        if library == "polars":
            import polars

            number = {} if self.coef.ndim == 1 else {"target": np.repeat(np.arange(targets), len(self.names))}
            return polars.DataFrame({**number, "name": self.names * targets, **table})
        import pandas

        index: Any = pandas.Index(self.names)
        if self.coef.ndim == 2:
            index = pandas.MultiIndex.from_product([range(targets), self.names], names=["target", None])
        return pandas.DataFrame(table, index=index)

    def __str__(self) -> str:
        return "\n\n".join(self._table(target) for target in self._targets())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return "\n".join(self._html(target) for target in self._targets())

    def _targets(self) -> tuple[Any, ...]:
        """Indices into the leading axis."""
        return tuple(range(len(self.coef))) if self.coef.ndim == 2 else (...,)

    def _by_name(self, values: Array) -> dict[str, Any]:
        entries = values.T if values.ndim == 2 else values.tolist()
        return dict(zip(self.names, entries, strict=True))

    def _head(self, target: Any) -> list[str]:
        """Lines about the fit of one target."""

        def figure(name: str) -> float:
            value: float = np.asarray(getattr(self, name))[target].item()
            return value

        title = self.model if target is ... else f"{self.model}, target {target}"
        return [
            f"{title}: {self.n} samples, rank {self.rank}, {_figure(figure('df_resid'))} degrees of freedom",
            f"R squared {figure('r_squared'):.4f}, adjusted {figure('r_squared_adj'):.4f}, "
            f"sigma {_decimal(figure('sigma'))}, covariance {self.kind}",
            f"F {_decimal(figure('f_value'))} (p {figure('f_p_value'):.3g}), "
            f"log-likelihood {_figure(figure('log_likelihood'))}, "
            f"AIC {_figure(figure('aic'))}, BIC {_figure(figure('bic'))}",
        ]

    def _rows(self, target: Any) -> list[list[str]]:
        """The cells of the table of one target, its head first."""
        low, high = (1.0 - self.level) / 2.0, (1.0 + self.level) / 2.0
        rows = [["", "coef", "std err", "t", "P>|t|", f"[{low:.4g}", f"{high:.4g}]"]]
        columns = (self.coef, self.std_err, self.t, self.p_value, self.interval)
        cells = zip(self.names, self.identified, *(column[target] for column in columns), strict=True)
        for name, identified, coef, error, t, p, ends in cells:
            doubt = [*map(_decimal, (error, t)), f"{p:.3f}", *map(_decimal, ends)]
            rows.append([name, _decimal(coef, 4), *(doubt if identified else ["-"] * 5)])
        return rows

    def _foot(self) -> list[str]:
        """What is to be said of rows without figures."""
        dependent = ~(self.identified | self.left_out)
        reasons = {
            "-: not identified, columns of X depend on each other": dependent,
            "-: constant, left out for the intercept": self.left_out,
        }
        lines = [reason for reason, rows in reasons.items() if rows.any()]
        return [*lines, *(f"determined only together: {', '.join(names)}" for names in self.together)]

    def _table(self, target: Any) -> str:
        rows = self._rows(target)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        head, *body = (
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
        )
        rule = "-" * len(head)
        return "\n".join([*self._head(target), rule, head, rule, *body, rule, *self._foot()])

    def _html(self, target: Any) -> str:
        head, *body = self._rows(target)
        caption = "<br>".join(map(escape, self._head(target)))
        top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
        lines = (
            f"<tr><th>{escape(name)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
            for name, *cells in body
        )
        foot = "".join(f"<p>{escape(line)}</p>" for line in self._foot())
        return (
            f"<table><caption>{caption}</caption><thead><tr>{top}</tr></thead>"
            f"<tbody>{''.join(lines)}</tbody></table>{foot}"
        )


def _figure(value: float) -> str:
    """A number as heads of tables print it: six digits, and all of those before the point."""
    return f"{value:.6g}" if not abs(value) >= 1e6 else f"{value:.0f}"


def _decimal(value: float, digits: int = 3) -> str:
    """A number as tables print it: without an exponent where that shows two digits of it."""
    plain = value == 0.0 or 10.0 ** (1 - digits) <= abs(value) < 1e5
    return f"{value:.{digits}f}" if plain else f"{value:.{digits}g}"
