"""The command `throughtime bytes`: exact memory of training a network of given sizes, without data and training."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from throughtime.commands import terminal
from throughtime.errors import UsageError
from throughtime.printing import print_text

RuleOption = Annotated[
    list[str],
    typer.Option("--rule", help="Rule, with options as in a suite: 'fptt, parts: 10'; repeatable.", metavar="RULE"),
]


def count_bytes(
    rule: RuleOption,
    steps: Annotated[
        list[int], typer.Option(min=1, max=terminal.LARGEST, help="Length T of the sequences; repeatable.")
    ],
    neuron: terminal.NeuronOption = "lif",
    hidden: terminal.HiddenOption = terminal.HIDDEN,
    inputs: terminal.InputsOption = 40,
    outputs: terminal.OutputsOption = 10,
    batch: terminal.BatchOption = 1,
    target_at_each_step: Annotated[bool, typer.Option("--per-step", help="A target at each step.")] = False,
    plugin: terminal.PluginOption = terminal.NONE,
    as_json: terminal.JsonOption = False,
) -> None:
    """Count the exact bytes that rules need to train a network, without data and without training it."""
    from throughtime.measuring.training_bytes import Sizes, training_bytes

    terminal.load_plugins(plugin)
    sizes = Sizes(tuple(hidden), inputs, outputs, batch, "step" if target_at_each_step else "end")
    rows = []
    for row in training_bytes([_named(text) for text in rule], neuron, steps, sizes):
        rows.append(row)
        print_text(f" {row.rule} T = {row.steps}", file=sys.stderr, flush=True)
    if as_json:
        print_text(json.dumps([row.row() for row in rows]))
    else:
        without = () if any(row.options for row in rows) else ("options",)
        shown = [
            {_heading(name): _shown(value) for name, value in row.row().items() if name not in without} for row in rows
        ]
        terminal.print_rows(shown, False)


def _named(text: str) -> tuple[str, dict[str, Any]]:
    """Return name and options of a rule from `fptt` or `fptt, parts: 10`.

    Raises:
        UsageError: the text has another form.
    """
    from throughtime.suites.strict_yaml import Document

    where = f"--rule {text!r}"
    try:
        options = Document(where, f"{{name: {text}}}").data
    except UsageError:
        options = {"name": None}
    if (name := options.pop("name")) is None:
        raise UsageError("a rule has the form 'NAME' or 'NAME, OPTION: VALUE, ...'", where)
    return str(name), options


def _heading(name: str) -> str:
    return name if name in ("rule", "options", "steps", "missing") else f"{name} (B)"


def _shown(value: Any) -> str | None:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {of}" for name, of in value.items())
    return f"{value:,}" if isinstance(value, int) else value
