"""Figure of the JSB chorales: NLL against the epoch at two step sizes, and under BPTT and OSTL."""

from __future__ import annotations

import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.drawing import Drawn, finish, grid, plot_curves, styled
from throughtime.reports.ostl.claims import curves, published
from throughtime.reports.styles import PALE, Style, rule_styles


@styled
def draw(results: Results, scale: str) -> Drawn | None:
    """Draw the suite `ostl` in front of the published curve, and `ostl_identity`; None without a run of either."""
    suites = {suite: curves(results, suite, scale) for suite in ("ostl", "ostl_identity")}
    data = pd.concat(
        [
            _long(suite, rule, n, curve)
            for suite, by_rule in suites.items()
            for rule, lines in by_rule.items()
            for n, curve in lines.items()
        ]
        or [pd.DataFrame()],
        ignore_index=True,
    )
    if data.empty:
        return None
    data = data.assign(source="ours")
    if scale != "tiny":  # which has a smaller layer and shorter sequences
        theirs = published().assign(suite="ostl", rule="published", run=0, source="published")
        data = pd.concat([theirs.rename(columns={"bptt": "nll"})[[*data]], data], ignore_index=True)
    figure, panels = grid(2, columns=2)
    rules = [rule for rule in data["rule"].unique() if rule != "published"]
    styles = {rule: style._replace(width=1.1) for rule, style in rule_styles(rules).items() if rule in rules}
    styles |= {"bptt": styles["bptt"]._replace(width=3.4, alpha=0.4)} if "bptt" in styles else {}
    if scale != "tiny":
        styles["published"] = Style((0.5, 0.5, 0.5), **PALE)
    for panel, suite in zip(panels, suites, strict=True):
        plot_curves(panel, data[data["suite"] == suite], "epoch", "nll", "rule", styles)
        panel.set_xlabel("epoch")
    panels[0].set_ylabel("NLL (nat a step)")
    panels[0].set_title("two step sizes")
    panels[1].set_title("BPTT and OSTL")
    title = "JSB chorales: soft spiking neural units"
    notes = [f"NLL of the test split; suites ostl and ostl_identity, scale {scale}, a line for each run."]
    if scale != "tiny":
        notes.append("Pale grey: the published curve of BPTT, from which that of OSTL differs by 2.2e-7.")
    finish(figure, title, notes, styles)
    return Drawn(figure, data, title, notes)


def _long(suite: str, rule: str, run: int, curve: pd.Series) -> pd.DataFrame:
    return pd.DataFrame({"suite": suite, "rule": rule, "run": run, "epoch": curve.index, "nll": curve.to_numpy()})


FIGURES = {"curves": draw}
