"""The page that compares the rules: its table is that of the committed records."""

from __future__ import annotations

from pathlib import Path

from throughtime.records.baselines import BASELINES, baseline_path, unpack
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.cells import rule_title, summarise

ROOT = Path(__file__).parents[2]
COLUMNS = [(d, n) for d in ("delayed_xor", "evidence_accumulation", "digits", "fsdd") for n in ("lif", "alif")]


def lines(results: Results) -> list[str]:
    """Return a row of the table for each rule: mean ± standard deviation of the accuracy, %."""
    cells = summarise(results.frame)
    assert set(cells["n"]) == {5} and set(cells["measure"]) == {"accuracy"}
    shown = {(c.rule, c.dataset, c.neuron): f"{100 * c.mean:.1f} ± {100 * c.sd:.1f}" for c in cells.itertuples()}
    rows = []
    for rule in dict.fromkeys(cells["rule"]):
        of_columns = (shown.get((rule, *column), "—") for column in COLUMNS)
        rows.append(f"| {rule_title(rule)} | {' | '.join(of_columns)} |")
    return rows


def test_the_table_of_the_rules_is_that_of_the_baseline(tmp_path):
    unpack(baseline_path("rules", "laptop", ROOT / BASELINES), Store(tmp_path))
    rows = lines(Results.load(tmp_path, ["rules"]))
    assert len(rows) == 20
    page = (ROOT / "docs/rules/README.md").read_text("utf-8").splitlines()
    assert [row for row in page if " ± " in row and row.startswith("| ")] == rows
