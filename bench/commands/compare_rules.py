"""The command `throughtime compare-rules`: one rule against another on each task, from records."""

from __future__ import annotations

import itertools
import math
import shutil
import textwrap
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from throughtime.commands.terminal import (
    NONE,
    JsonOption,
    PluginOption,
    ResultsOption,
    load_plugins,
    load_results,
    print_rows,
)
from throughtime.errors import UsageError
from throughtime.printing import print_text
from throughtime.records.store import DEFAULT_RESULTS

UNDECIDED = ("not distinguished", "n decides nothing")
"""What a comparison says where neither rule is better; the table has a sign for it."""


def compare_rules(
    rule: Annotated[str, typer.Argument(help="Label of a rule.")],
    other: Annotated[str, typer.Argument(help="Label of the rule that it is compared with.")],
    suite: Annotated[list[str] | None, typer.Option(help="Only these suites; repeatable.", metavar="SUITE")] = None,
    results: ResultsOption = DEFAULT_RESULTS,
    plugin: PluginOption = NONE,
    as_json: JsonOption = False,
) -> None:
    """Compare two rules on each dataset and neuron that both were run on, paired over replicates, with intervals."""
    from throughtime.reports.quantities import quantity
    from throughtime.reports.rule_matrix import SIGNS
    from throughtime.reports.rule_pairs import METHOD, rule_pairs

    if rule == other:
        raise UsageError(f'"{rule}" would be compared with itself', hint="give another rule")
    load_plugins(plugin)
    rows = rule_pairs(load_results(results, suite or ()), rule, other).to_dict("records")
    if as_json:
        return print_rows([{str(name): _plain(value) for name, value in row.items()} for row in rows], True)
    signs = {word: SIGNS[word] for word in UNDECIDED if word in {row["word"] for row in rows}}
    for (name, scale), suite_rows in itertools.groupby(rows, key=lambda row: (row["suite"], row["scale"])):
        tasks = [*suite_rows]
        labels = list(dict.fromkeys(quantity(row["measure"], row["unit"]).label for row in tasks))
        print_text(f"{name}, {scale}: {', '.join(labels)}")
        print_rows([_shown(row, (rule, other), signs, len(labels) > 1) for row in tasks], False)
        print_text("")
    legend = f" Better, worse: {rule}." + "".join(f" {sign}: {word}." for word, sign in signs.items())
    print_text(textwrap.fill(f"{METHOD}{legend}", shutil.get_terminal_size((120, 24)).columns))


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _shown(row: dict[Any, Any], rules: tuple[str, str], signs: Mapping[str, str], with_measure: bool) -> dict[str, str]:
    """Return a row for the terminal, in the units of tables."""
    from throughtime.reports.cells import neuron_label
    from throughtime.reports.quantities import quantity, significant

    kind = quantity(row["measure"], row["unit"])
    if row["solved"]:
        mine, its, difference = (f"{100 * row[name]:.0f} %" for name in ("rule", "other", "difference"))
        interval = ""
    else:
        mine, its, difference = (kind.show(row[name]) for name in ("rule", "other", "difference"))
        ends = (row["low"], row["high"])
        interval = "" if math.isnan(ends[0]) else f" [{kind.show(ends[0])}, {kind.show(ends[1])}]"
    measure = f", {'solved runs' if row['solved'] else kind.label}" if with_measure else ""
    return {
        "task": f"{row['dataset']}, {neuron_label(row['neuron'], row['network'])}{measure}",
        rules[0]: mine,
        rules[1]: its,
        "difference": f"{difference}{interval}",
        "n": str(row["n"]),
        "p": significant(row["p"], 2),
        "": signs.get(row["word"], row["word"]),
    }
