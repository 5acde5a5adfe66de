"""scikit-learn's tests of Ridge and RidgeCV."""

import sklearn.linear_model
from peers.conftest import borrowed

import nearlin


class Ridge(nearlin.Ridge):
    """Ours, which takes every solver for its own: their tests go through all of them."""

    def _solution(self, X, y, **options):
        solver, self.solver = self.solver, "auto"
        try:
            return super()._solution(X, y, **options)
        finally:
            self.solver = solver


class RidgeCV(nearlin.RidgeCV):
    """Ours, which does the same whatever the mode."""

    def _check_options(self):
        mode, self.gcv_mode = self.gcv_mode, None
        try:
            super()._check_options()
        finally:
            self.gcv_mode = mode


_copy, _tests = borrowed(
    "sklearn.linear_model.tests.test_ridge",
    sklearn.linear_model,
    {"LinearRegression": nearlin.LinearRegression, "Ridge": Ridge, "RidgeCV": RidgeCV},
)
globals().update(_tests)
EXCLUSIONS = {}
