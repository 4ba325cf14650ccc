"""The command `throughtime bytes`: exact memory of training a network of given sizes, without data and training."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from throughtime.commands.terminal import NONE, JsonOption, PluginOption, load_plugins, print_rows
from throughtime.errors import UsageError
from throughtime.printing import print_text

if TYPE_CHECKING:
    from throughtime.measuring.training_bytes import TrainingBytes

RuleOption = Annotated[
    list[str],
    typer.Option("--rule", help="Rule, with options as in a suite: 'fptt, parts: 10'; repeatable.", metavar="RULE"),
]


def count_bytes(
    rule: RuleOption,
    steps: Annotated[list[int], typer.Option(min=1, help="Length T of the sequences; repeatable.")],
    neuron: Annotated[str, typer.Option(help="Neuron of the network `recurrent`.")] = "lif",
    hidden: Annotated[list[int] | None, typer.Option(min=1, help="Neurons of a layer; repeat for more layers.")] = None,
    inputs: Annotated[int, typer.Option(min=1, help="Inputs a step.")] = 40,
    outputs: Annotated[int, typer.Option(min=2, help="Classes.")] = 10,
    batch: Annotated[int, typer.Option(min=1, help="Sequences that are learnt together.")] = 1,
    target_at_each_step: Annotated[bool, typer.Option("--per-step", help="A target at each step.")] = False,
    plugin: PluginOption = NONE,
    as_json: JsonOption = False,
) -> None:
    """Count the exact bytes that rules need to train a network, without data and without training it."""
    from throughtime.measuring.training_bytes import Sizes, training_bytes

    load_plugins(plugin)
    sizes = Sizes(tuple(hidden or (64,)), inputs, outputs, batch, "step" if target_at_each_step else "end")
    rows = []
    for row in training_bytes([_named(text) for text in rule], neuron, steps, sizes):
        rows.append(row)
        print_text(f" {row.rule} T = {row.steps}", file=sys.stderr, flush=True)
    if as_json:
        print_text(json.dumps([_values(row) for row in rows]))
    else:
        print_rows([{name: _shown(value) for name, value in _values(row).items()} for row in rows], False)


def _named(text: str) -> tuple[str, dict[str, Any]]:
    """Return name and options of a rule from `fptt` or `fptt, parts: 10`.

    Raises:
        UsageError: the text has another form.
    """
    import yaml

    name, _, options = text.partition(",")
    try:
        value = yaml.safe_load(f"{{{options}}}")
    except yaml.YAMLError:
        value = None
    if not isinstance(value, dict):
        raise UsageError("a rule has the form 'NAME' or 'NAME, OPTION: VALUE, ...'", where=f"--rule {text!r}")
    return name.strip(), value


def _values(row: TrainingBytes) -> dict[str, Any]:
    """Return the bytes of a row by name; the owners are those at the peak with the whole input in memory."""
    counted = {} if row.memory is None else {"peak": row.memory.peak, "streamed": row.memory.streamed}
    owners = {} if row.memory is None else row.memory.owned
    names = ("peak", "streamed", "input", "parameters", "gradients", "optimiser", "rule", "graph")
    values = {f"{name} (B)": (counted | owners).get(name) for name in names}
    return {"rule": row.rule, "steps": row.steps, **values, "missing": row.missing}


def _shown(value: Any) -> str | None:
    return f"{value:,}" if isinstance(value, int) else value
