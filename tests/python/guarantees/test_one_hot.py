"""One-hot data under an intercept: the rank, the slopes of least norm and the right predictions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from reference import one_hot
from sklearn.linear_model import LinearRegression as Peer

pytestmark = pytest.mark.guarantee


@pytest.mark.timeout(900)
@pytest.mark.parametrize("chunk", range(50))
def test_ten_thousand_frames_of_factors(chunk):
    for seed in range(1000 + 200 * chunk, 1200 + 200 * chunk):
        frame = one_hot.Frame(seed, 2e9 if seed % 10 == 0 else 2e7)
        model = one_hot.check(frame)
        n, d = frame.X.shape
        # scikit-learn counts rounding as rank in single precision.
        if frame.layout in "CF" and frame.dtype == np.float64 and n * d**2 < 2e7:
            X = frame.data
            peer = Peer().fit(X, frame.y, sample_weight=frame.weights)
            assert model.rank_ == peer.rank_, frame.name
            far = 1e-8 * np.abs(frame.y).max()
            assert_allclose(model.predict(X), peer.predict(X), rtol=0, atol=far, err_msg=frame.name)
