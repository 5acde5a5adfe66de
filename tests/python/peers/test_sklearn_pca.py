"""scikit-learn's tests of IncrementalPCA."""

import sklearn.decomposition
from peers.adapters import IncrementalPCA
from peers.conftest import borrowed

_copy, _tests = borrowed(
    "sklearn.decomposition.tests.test_incremental_pca",
    sklearn.decomposition,
    {"IncrementalPCA": IncrementalPCA},
)
globals().update(_tests)
EXCLUSIONS = {
    "test_incremental_pca_sparse*": "sparse rows are taken by partial_fit too",
    "test_incremental_pca_validation": "errors in other words",
    "test_incremental_pca_set_params": "components that change their number are an error of ours",
    "test_whitening": "there is none",
}
