"""The command `throughtime ls`: registered components and suites, and the options of one of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from throughtime.commands.terminal import NONE, JsonOption, PaperOption, PluginOption, load_plugins, print_rows
from throughtime.errors import UsageError
from throughtime.printing import print_text

if TYPE_CHECKING:
    from throughtime.registry import Component

KIND_NAMES = {
    **dict.fromkeys(("rules", "rule", "algorithms", "algorithm"), "rules"),
    **{name: f"{kind}s" for kind in ("neuron", "network", "dataset", "suite") for name in (kind, f"{kind}s")},
}
"""Kinds by the words that a user may write for them."""


def names_to_list(incomplete: str) -> list[str]:
    """Complete a kind or a name on the shell."""
    return [name for name in (*KIND_NAMES, *_names()) if name.startswith(incomplete)]


def list_components(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A kind (rules, neurons, networks, datasets, suites), or the name of a component or suite.",
            metavar="NAME",
            autocompletion=names_to_list,
        ),
    ] = None,
    plugin: PluginOption = NONE,
    paper: PaperOption = NONE,
    as_json: JsonOption = False,
) -> None:
    """List components and suites; `ls rules` shows each rule's claims, page, coordinates and cost, `ls ltc` the options
    of one component with types and defaults. After the list of a kind come the sizes of a suite of this name."""
    from throughtime.errors import suggestion
    from throughtime.registry import REGISTRIES
    from throughtime.suites.suite import suite_names

    load_plugins(plugin, paper)
    if name is None:
        return print_rows([*_component_rows(list(REGISTRIES)), *_suite_rows()], as_json)
    if kind := KIND_NAMES.get(name):
        _print_kind(kind, as_json)
        if name in suite_names() and not as_json:
            print_text()
            _print_described(_suite(name))
        return None
    components = [registry[name] for registry in REGISTRIES.values() if name in registry.names()]
    if not components and name not in suite_names():
        raise UsageError(f'no kind, component or suite "{name}"', hint=suggestion(name, [*KIND_NAMES, *_names()]))
    described = [_component(component) for component in components]
    described += [_suite(name)] if name in suite_names() else []
    if as_json:
        return print_text(json.dumps(described))
    for number, row in enumerate(described):
        print_text("\n" * (number > 0), end="")
        _print_described(row)


def _print_described(component: dict[str, Any]) -> None:
    print_text(f"{component['name']} ({component['kind']}): {component['summary']}\n{component['place']}\n")
    print_rows(component["options"] or [{"options": "none"}], False)


def _names() -> list[str]:
    """Return the names of all components and suites."""
    from throughtime.registry import REGISTRIES
    from throughtime.suites.suite import suite_names

    return [*(name for registry in REGISTRIES.values() for name in registry.names()), *suite_names()]


def _print_kind(kind: str, as_json: bool) -> None:
    """Print all components of a kind, or all suites."""
    from throughtime.registry import REGISTRIES

    if kind == "rules":
        registry = REGISTRIES[kind]
        return _print_rules([registry[rule] for rule in registry.names()], as_json)
    print_rows(_suite_rows() if kind == "suites" else _component_rows([kind], with_parameters=True), as_json)


def _component_rows(kinds: Sequence[str], with_parameters: bool = False) -> list[dict[str, Any]]:
    """Return a row for each component; for networks with the number of parameters of their publication, on request."""
    from throughtime.registry import REGISTRIES

    rows = []
    for kind in kinds:
        for component in (REGISTRIES[kind][name] for name in REGISTRIES[kind].names()):
            row = {"kind": kind, "name": component.name, "summary": component.summary, "origin": component.origin}
            rows.append(row | (_parameters(component) if with_parameters else {}))
    return rows


def _parameters(component: Component) -> dict[str, int | None]:
    """Return the number of parameters of a network in the setting of its publication, null without one; nothing for
    other kinds."""
    if component.kind != "networks":
        return {}
    from throughtime.networks.setting import published_parameters

    return {"parameters": published_parameters(component)}


def _suite_rows() -> list[dict[str, Any]]:
    from throughtime.paper_folders import paper_folders
    from throughtime.suites.suite import suite_names, suite_summary

    others = [folder for folder in paper_folders().values() if not folder.package.startswith("throughtime.")]
    places = {suite: str(folder.path) for folder in others for suite in folder.suites()}
    return [
        {"kind": "suites", "name": name, "summary": suite_summary(name), "origin": places.get(name, "throughtime")}
        for name in suite_names()
    ]


def _component(component: Component) -> dict[str, Any]:
    """Return a component with its options."""
    from throughtime.options import options_of

    return {
        "kind": component.kind,
        "name": component.name,
        "summary": component.summary,
        "place": component.place,
        **_parameters(component),
        "options": [option._asdict() for option in options_of(component)],
    }


def _suite(name: str) -> dict[str, Any]:
    """Return a suite with the number of its cells and runs at each scale in the place of options."""
    from throughtime.spec import SCALES
    from throughtime.suites.suite import load_suite, suite_document

    suite = load_suite(name)
    return {
        "kind": "suites",
        "name": name,
        "summary": suite.summary,
        "place": suite_document(name).name,
        "options": [
            {"scale": scale, "cells": len(suite.cells[scale]), "runs": len(suite.expand(scale))} for scale in SCALES
        ],
    }


def _print_rules(rules: Sequence[Component], as_json: bool) -> None:
    """Print the rules' claims and pages, then their coordinates and costs; as JSON, one row for each rule."""
    if as_json:
        return print_rows([_rule_row(rule) | rule_coordinates(rule) for rule in rules], as_json)
    print_rows([_rule_row(rule) for rule in rules], as_json)
    print_text()
    print_rows([{"rule": rule.name, **rule_coordinates(rule)} for rule in rules], as_json)


def rule_coordinates(rule: Component) -> dict[str, str]:
    """Return a rule's coordinates and cost formulas; — marks those that it does not state."""
    from throughtime.algorithms.coordinates import Coordinates, Cost

    try:
        coordinates = rule.factory().coordinates()
    except Exception:  # an option has no default, or the factory is not that of a rule
        coordinates = None
    cost = getattr(rule.factory, "cost", None)
    shown = coordinates.shown() if coordinates else dict.fromkeys(Coordinates._fields, "—")
    return shown | {f"{name}_cost": str(getattr(cost, name, "—")) for name in Cost._fields}


def _rule_row(rule: Component) -> dict[str, str]:
    """Return a rule's row of `ls rules`; — marks a missing claim, and the page of a rule from another package."""
    claims = getattr(rule.factory, "claims", None)
    return {
        "kind": rule.kind,
        "name": rule.name,
        "gradient": str(getattr(claims, "gradient", "—")),
        "memory": str(getattr(claims, "memory", "—")),
        "summary": rule.summary,
        "page": f"docs/rules/{rule.name}.md" if rule.origin == "throughtime" else "—",
    }
