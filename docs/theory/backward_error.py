"""True backward errors against the condition number."""

import matplotlib.pyplot as plt
import numpy as np

import nearlin

n, d = 2000, 24
rng = np.random.default_rng(0)
U = np.linalg.qr(rng.standard_normal((n, d)))[0]
V = np.linalg.qr(rng.standard_normal((d, d)))[0]
residual = rng.standard_normal(n)
residual -= U @ (U.T @ residual)


def backward_error(A, b, x):
    """The least |E|_F over |A|_F for which x is the exact answer (Waldén, Karlson and Sun)."""
    r = b - A @ x
    eta = np.linalg.norm(r) / np.linalg.norm(x)
    if eta == 0.0:
        return 0.0
    # The smallest singular value of [A, eta (I - r r' / r'r)], in the coordinates of the columns of A and r.
    Q = np.linalg.qr(np.column_stack([A, r]))[0]
    small = Q.T @ A
    unit = Q.T @ r / np.linalg.norm(r)
    both = np.hstack([small, eta * (np.eye(d + 1) - np.outer(unit, unit))])
    return min(eta, np.linalg.svd(both, compute_uv=False)[-1]) / np.linalg.norm(A)


conditions = np.geomspace(10.0, 1e12, 12)
errors = {"nearlin.lstsq": [], "its certificate": [], "numpy.linalg.lstsq": [], "normal equations": []}
for condition in conditions:
    A = (U * np.geomspace(1.0, 1.0 / condition, d)) @ V.T
    b = A @ np.ones(d) + 1e-3 * residual
    result = nearlin.lstsq(A, b, rng=0)
    errors["nearlin.lstsq"].append(backward_error(A, b, result.x))
    errors["its certificate"].append(result.certificate.estimate)
    errors["numpy.linalg.lstsq"].append(backward_error(A, b, np.linalg.lstsq(A, b, rcond=None)[0]))
    gram = A.T @ A
    errors["normal equations"].append(backward_error(A, b, np.linalg.solve(gram, A.T @ b)))

figure, axis = plt.subplots()
for (name, values), style in zip(errors.items(), ["o-", "x", "s--", "^:"], strict=True):
    axis.loglog(conditions, values, style, label=name)
axis.axhline(2.0**-53, color="black", linewidth=0.8, label="unit roundoff")
axis.set_xlabel("condition number")
axis.set_ylabel("backward error / $|A|_F$")
axis.set_ylim(top=1e-10)
axis.legend(loc="upper left", ncols=2)
