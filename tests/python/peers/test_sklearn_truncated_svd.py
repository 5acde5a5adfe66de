"""scikit-learn's tests of TruncatedSVD."""

import sklearn.decomposition
from peers.adapters import TruncatedSVD
from peers.conftest import borrowed

_copy, _tests = borrowed(
    "sklearn.decomposition.tests.test_truncated_svd",
    sklearn.decomposition,
    {"TruncatedSVD": TruncatedSVD},
)
globals().update(_tests)
EXCLUSIONS = {
    "test_too_many_components[[]arpack-55]": "all triplets there are will do",
}
