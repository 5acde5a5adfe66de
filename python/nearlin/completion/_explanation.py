"""A fit in words."""

from typing import Any

from nearlin._certificate import Certificate

__all__ = ["explanation"]


def explanation(figures: dict[str, Any], certificate: Certificate, shape: tuple[int, int], rank: int) -> str:
    """Return a few lines on how a model was fitted, and on what is known of its error."""
    found = {name: item["value"] for name, item in certificate.details.items()}
    exact = figures["residual"] is not None
    tried = [len(set(one)) for one in zip(*(entry[:2] for entry in figures["path"]), strict=True)] or [1, 1]
    chosen, of_reg = (f"the best of {count} on held-out entries" if count > 1 else "" for count in tried)
    chosen, of_reg = chosen and f", {chosen}", of_reg or "as given"
    lines = [
        f"{found['n_observed']} entries of a {shape[0]} x {shape[1]} matrix, {found['oversampling']:.1f} for "
        f"each of the {found['degrees_of_freedom']} degrees of freedom at rank {rank}{chosen}",
        f"reg {figures['reg']:.3g}, {'at the last sweep' if exact else of_reg}; "
        f"{len(figures['objective'])} sweeps over all entries: {figures['status']}",
        str(certificate),
    ]
    if exact and "held_out_rmse" in found:
        lines.append(f"RMSE on {found['n_held_out']} held-out entries: {found['held_out_rmse']:.1e}")
    for name, words in (("rows", "row_status_"), ("cols", "col_status_")):
        empty, few, weak = (found[f"{kind}_{name}"] for kind in ("empty", "undetermined", "weak"))
        if empty or few:
            told = "predicted as NaN" if exact else "predicted by the penalty and the biases"
            lines.append(f"{name}: {empty} empty, {few} undetermined, {told}; {weak} weak: see {words}")
    lines += [
        f"components of the graph of rows and columns: {found['components']}",
        f"the matrix that was found: condition {found['condition']:.2g}, incoherence "
        f"{found['incoherence_rows']:.2g} of rows and {found['incoherence_cols']:.2g} of columns",
        f"gradient {found['gradient']:.1e}, rate of the last sweep {found['rate']:.2g}",
        f"entries over those that the theorem asks for: {found['theorem_share']:.1e}"
        + ("" if found["theorem_share"] >= 1.0 else "; it says nothing of this matrix"),
    ]
    return "\n".join(lines)
