"""The matrix at the top of the page: rules x tasks relative to BPTT, with exact memory and time beside it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from throughtime.records.results import Results
from throughtime.records.statistics.against import solved
from throughtime.reports.best import REFERENCE, SHARES
from throughtime.reports.cells import KEYS, TASK, anchor, extent, neuron_label, one_line, rule_rank, rule_title
from throughtime.reports.plain_values import row_groups, rows_of
from throughtime.reports.quantities import quantity, significant
from throughtime.reports.rule_matrix import COSTS, SIGNS, result_text, rule_matrix

STEPS = 4
"""Shades of a colour on either side of BPTT."""
Row = Mapping[Any, Any]
"""A row of `rule_matrix`."""


class MatrixCell(NamedTuple):
    """A rule on a task."""

    text: str
    """The result of BPTT, the difference to it, or the share of solved runs."""
    short: str
    """The same for a narrow window."""
    sign: str
    """`≈` or `?`, of `SIGNS`; empty where the runs decide."""
    shade: int
    """From -`STEPS`, at chance, over 0, as BPTT."""
    title: str
    """All numbers in words."""
    anchor: str
    """Of the runs behind it."""


class MatrixRow(NamedTuple):
    """A rule."""

    rule: str
    cells: list[MatrixCell | None]
    """In the order of the tasks; None without a record."""
    costs: list[tuple[str, str]]
    """Text and title of memory and time."""


class Matrix(NamedTuple):
    """The matrix of a suite at a scale."""

    suite: str
    scale: str
    datasets: list[tuple[str, str, list[str]]]
    """Dataset, its metric, and its neurons: the columns."""
    costs: list[str]
    """Titles of the columns of costs."""
    rows: list[MatrixRow]
    legend: str
    with_bptt: bool


def matrix_of(results: Results, suite: str, scale: str) -> Matrix | None:
    """Return the matrix of a suite, the rules that come nearest to BPTT or surpass it first; None without a metric."""
    data = rule_matrix(results, suite, scale)
    if data.empty:
        return None
    tasks = {key: {row["rule"]: row for row in rows} for key, rows in row_groups(rows_of(data), TASK)}
    base = {
        key: by_rule.get(REFERENCE) or next(row for row in by_rule.values() if row["best"] or not row["n"])
        for key, by_rule in tasks.items()
    }
    shades = {
        (key, rule): shade
        for key, by_rule in tasks.items()
        for rule, row in by_rule.items()
        if (shade := _shade(row, base[key])) is not None
    }
    rules = sorted(set(data["rule"]), key=lambda rule: _order(rule, [shades.get((key, rule)) for key in tasks]))
    costs = [cost for cost in COSTS if data[cost].notna().any()]
    rows = []
    for rule in rules:
        cells = [_cell(by_rule.get(rule), base[key], shades.get((key, rule), 0)) for key, by_rule in tasks.items()]
        mine = {key: by_rule[rule] for key, by_rule in tasks.items() if rule in by_rule}
        rows.append(MatrixRow(one_line(rule_title(rule)), cells, [_cost(mine, base, cost) for cost in costs]))
    datasets: dict[str, tuple[str, str, list[str]]] = {}
    for dataset, network, neuron in tasks:
        label = quantity(*_measure(base[dataset, network, neuron])).label
        datasets.setdefault(dataset, (dataset, label, []))[2].append(neuron_label(neuron, network))
    with_bptt = any(REFERENCE in by_rule for by_rule in tasks.values())
    columns = [*datasets.values()]
    legend = _legend(data, costs, with_bptt)
    return Matrix(suite, scale, columns, [COST_WORDS[cost][0] for cost in costs], rows, legend, with_bptt)


def _measure(row: Row) -> tuple[str, str]:
    return row["measure"], row["unit"]


def _order(rule: str, shades: Sequence[float | None]) -> tuple[Any, ...]:
    """Sort BPTT first, then by the mean shade; rules that lack a task last."""
    known = [shade for shade in shades if shade is not None]
    return rule != REFERENCE, len(known) < len(shades), -statistics.fmean(known) if known else 0.0, rule_rank(rule)


def _score(row: Row) -> float:
    """Return the share of solved runs of bimodal results, else the mean."""
    if not math.isnan(row["solved"]):
        return float(row["solved"] / (row["n"] + row["n_diverged"]))
    return float(row["mean"])


def _shade(row: Row, base: Row) -> float | None:
    """Return where a result lies between chance, -1, and BPTT, 0; above 0 beyond BPTT, at most 1. None without one."""
    if math.isnan(score := _score(row)) or math.isnan(base_score := _score(base)):
        return None
    if not math.isnan(row["solved"]):
        whole, sign = max(base_score, 0.25), 1
    elif not math.isnan(row["chance"]):
        distance = solved(row["better"], row["unit"], row["chance"]).distance
        # Where BPTT itself is near chance, small differences are no large part of what could be learnt.
        whole, sign = max(abs(base_score - row["chance"]), 0.25 * distance), 1 if row["better"] == "higher" else -1
    else:
        whole, sign = max(abs(score), abs(base_score)), 1 if row["better"] == "higher" else -1
    return max(-1.0, min(1.0, sign * (score - base_score) / whole)) if whole else 0.0


def _cell(row: Row | None, base: Row, shade: float) -> MatrixCell | None:
    if row is None:
        return None
    kind = quantity(*_measure(row))
    where = anchor(row[key] for key in KEYS)
    if not row["n"]:
        return MatrixCell("—", "—", "", 0, one_line(row["note"]) or "no value", where)
    text, word = result_text(row), row["against_bptt"]
    title = [f"{rule_title(row['rule'])}, {row['dataset']}, {neuron_label(row['neuron'], row['network'])}:"]
    title.append(f"{kind.label} {kind.show(row['mean'])} (n = {row['n']})")
    if word:
        if math.isnan(row["solved"]):
            text = f"{'+' if row['difference'] >= 0 else '−'}{kind.show(abs(row['difference']))}"
            title.append(f"difference to BPTT {text}, p = {significant(row['p'], 2)}, {word}")
        else:
            title.append(f"solved {text} runs, BPTT {result_text(base)}, p = {significant(row['p'], 2)}, {word}")
    sign = SIGNS[word] if word in ("not distinguished", "n decides nothing") else ""
    return MatrixCell(text, _short(text), sign, round(STEPS * shade), " ".join([title[0], "; ".join(title[1:])]), where)


def _short(text: str) -> str:
    """Return a number without decimals if a digit is left: −37.4 becomes −37, −0.4 becomes 0, −0.0132 stays."""
    sign, digits = (text[0], text[1:]) if text[0] in "+−" else ("", text)
    if "." not in digits or "e" in digits or len(digits.partition(".")[2]) > 1:
        return text
    whole = f"{float(digits):.0f}"
    return whole if whole == "0" else f"{sign}{whole}"


def _cost(mine: Mapping[Any, Row], base: Mapping[Any, Row], cost: str) -> tuple[str, str]:
    """Return a cost relative to BPTT's, the median over tasks, and that of each task in words."""
    kind = quantity(cost)
    ratios, words = [], []
    for key, row in mine.items():
        if math.isnan(row[cost]):
            continue
        words.append(f"{key[0]}, {neuron_label(key[2], key[1])}: {kind.show(row[cost])} {kind.unit}")
        if base[key]["rule"] == REFERENCE and base[key][cost] > 0:
            ratios.append(row[cost] / base[key][cost])
    return (f"{statistics.median(ratios):.2g}×" if ratios else "—"), f"{kind.title}; {'; '.join(words)}"


def _legend(data: pd.DataFrame, costs: Sequence[str], with_bptt: bool) -> str:
    """Return the sentences under the matrix: what is there, and no more."""
    words = set(data["against_bptt"])
    known = data[data["n"] > 0]
    n = extent(known["n"]) if len(known) else "0"
    white = "BPTT" if with_bptt else "the best rule"
    said = [f"Colour: orange at chance, white at {white}, blue where better; n = {n}."]
    if with_bptt:
        said.append("Numbers: difference to BPTT, whose own results stand in its row.")
        if costs:
            words_of_costs = ", ".join("".join(COST_WORDS[cost]) for cost in costs)
            said.append(f"Relative to BPTT's, medians over the tasks: {words_of_costs}.")
    if known["solved"].notna().any():
        said.append(SHARES)
    said += [f"{SIGNS[word]}: {text}." for word, text in MEANINGS.items() if word in words]
    return " ".join(said)


COST_WORDS = {"peak_live_bytes_streamed": ("memory", " (exact bytes, the input streamed)"), "wall_time": ("time", "")}
"""Title of the column of a cost, and what the legend adds to it."""
MEANINGS = {
    "not distinguished": "not distinguished from BPTT (5 %, Holm over the rules)",
    "n decides nothing": "of so few runs, no outcome could be significant",
}
