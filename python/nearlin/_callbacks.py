"""Callbacks of scikit-learn, which has them from 1.9 on as an experiment; nothing else knows of them."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, cast

from ._certificate import Certificate
from ._config import Progress

try:
    from sklearn.callback import CallbackSupportMixin as Watched
    from sklearn.callback import with_callbacks as ended
except ImportError:  # before 1.9

    class Watched:  # type: ignore[no-redef]
        """Has no callbacks."""

    ended = None


__all__ = ["OF_A_FIT", "CertificateMonitor", "Watched", "watched", "with_callbacks"]

T = TypeVar("T", bound=tuple[Any, ...])
F = TypeVar("F", bound=Callable[..., Any])

OF_A_FIT = ("_callback_fit_ctx", "_skl_callbacks_to_teardown", "_parent_callback_ctx")
"""What scikit-learn keeps in an estimator while it is fitted."""


def with_callbacks(fit: F) -> F:
    """Return a fit after which callbacks are told that it is over, however it ends."""
    return fit if ended is None else cast(F, ended(fit))


def watched(
    estimator: Any,
    blocks: Iterable[T],
    fitted: Any,
    *,
    progress: Progress | None = None,
    n_rows: int | None = None,
) -> Iterator[T]:
    """Give the blocks of a fit, and tell callbacks and `progress` of each: until one of them wants no more.

    A hook that asks for `metadata` has ``rows`` and ``certificate`` so far; `fitted_estimator` is a copy of
    `fitted`, which takes the blocks in.
    """
    whole = None
    if getattr(estimator, "_skl_callbacks", None):
        whole = estimator._init_callback_context(max_subtasks=None)
        whole.call_on_fit_task_begin(estimator=estimator)
    so_far: dict[str, Any] = {
        "metadata": lambda: {"rows": fitted.n_samples_seen_, "certificate": fitted.certificate_},
        "reconstruction_attributes": lambda: vars(fitted.copy()),
    }
    for block in blocks:
        part = None
        if whole is not None:
            part = whole.subcontext(task_name="block")
            part.call_on_fit_task_begin(estimator=estimator, X=block[0])
        yield block
        if progress is not None:
            seen = fitted.n_samples_seen_
            progress(seen, 0 if n_rows is None else max(seen, n_rows), {})
        if part is not None and part.call_on_fit_task_end(estimator=estimator, X=block[0], **so_far):
            break
    if progress is not None and n_rows is None and fitted.__sklearn_is_fitted__():
        progress(fitted.n_samples_seen_, fitted.n_samples_seen_, {})
    if whole is not None:
        whole.call_on_fit_task_end(estimator=estimator, **so_far)


class CertificateMonitor:
    """A callback of scikit-learn 1.9: keeps the certificate of every block, and ends a fit at a target.

    Parameters
    ----------
    target : float, optional
        The fit ends after the first block with a bound that is no larger; by default with the last block.

    Attributes
    ----------
    rows_ : list of int
        Rows after each block of the last fit.
    certificates_ : list of Certificate
        What was known then. ``nearlin.plot.StreamDisplay.from_certificates(monitor.certificates_,
        monitor.rows_)`` draws it.

    Notes
    -----
    Of use for fits that take block after block: :class:`nearlin.StreamingPCA` on an iterator or on
    :func:`nearlin.data.blocks`. Rows that come after the end are not read. A fit on less than all rows is one
    on the first of them: they should be in random order.

    Examples
    --------
    >>> import numpy as np
    >>> import nearlin
    >>> from nearlin.data import blocks
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((50_000, 20)) * np.r_[3.0, np.ones(19)]
    >>> monitor = nearlin.CertificateMonitor(target=1e-8)
    >>> pca = nearlin.StreamingPCA(random_state=0).set_callbacks(monitor)  # doctest: +SKIP
    >>> pca.fit(blocks(X, block_bytes=1 << 17)).n_samples_seen_  # doctest: +SKIP
    819
    """

    def __init__(self, target: float | None = None) -> None:
        self.target = target
        self.rows_: list[int] = []
        self.certificates_: list[Certificate] = []

    def __repr__(self) -> str:
        return f"<CertificateMonitor(target={self.target!r}) of {len(self.rows_)} blocks>"

    def setup(self, estimator: Any, context: Any) -> None:
        """Forget the last fit.

        Parameters
        ----------
        estimator, context : object
            As scikit-learn gives them.
        """
        self.rows_, self.certificates_ = [], []

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Do nothing.

        Parameters
        ----------
        estimator, context : object
            As scikit-learn gives them.
        """

    def on_fit_task_end(self, estimator: Any, context: Any, *, metadata: Any = None) -> bool:
        """Keep the certificate after a block.

        Parameters
        ----------
        estimator, context : object
            As scikit-learn gives them.
        metadata : dict, optional
            What the estimator tells.

        Returns
        -------
        bool
            Whether the fit is to end.
        """
        if context.task_name != "block" or not metadata or "certificate" not in metadata:
            return False
        self.rows_.append(metadata["rows"])
        self.certificates_.append(metadata["certificate"])
        return self.target is not None and self.certificates_[-1].bound <= self.target

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing.

        Parameters
        ----------
        estimator, context : object
            As scikit-learn gives them.
        """
