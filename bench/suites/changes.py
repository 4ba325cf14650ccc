"""Changes of a suite from outside its file, such as `--set training.learning_rate=1e-2`.

A change has the form `NAME=VALUE`; the value is YAML, checked like that of the file. NAME is one of

    training.learning_rate      a training setting of all cells
    rule.alpha                  an option of all rules; likewise neuron, network, dataset
    fptt.alpha                  an option of the component with this label
    replicates                  a key of the suite

Changes take precedence over the suite, its scale and all overrides. An option whose value the suite's `tune` chooses
cannot be changed: `tune=null` does without the tuning.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from throughtime.errors import UsageError, suggestion
from throughtime.registry import KINDS
from throughtime.spec import Scale, Training
from throughtime.suites.schema import Settings
from throughtime.suites.strict_yaml import Document, Key

PARTS = {"training": "training.NAME=VALUE", "overrides": "training.NAME=VALUE or LABEL.NAME=VALUE"}
"""Keys of which a change may set parts only: a whole one would be merged with that of the file, or follow it."""


def names_an_option(change: str) -> bool:
    """Return whether a change concerns an option or a training setting, and not a key of the suite."""
    return "." in change.partition("=")[0]


def apply_change(document: Document, scale: Scale, change: str) -> None:
    """Apply a change to the document of a valid suite, at one scale.

    Raises:
        UsageError: the change has another form, its value is not YAML, the suite has no such name, or a tuning chooses
            the value.
    """
    name, equals, text = change.partition("=")
    origin = f"--set {change}"
    if not equals or not text.strip():
        raise UsageError("a change has the form NAME=VALUE", origin, "for example training.learning_rate=1e-2")
    head, dot, option = name.rpartition(".")  # a label may contain dots
    path: Key = ("scales", scale)
    if name in PARTS:
        raise UsageError(f'"{name}" is changed in parts', origin, f"write {PARTS[name]}")
    if name in Settings.model_fields:
        return document.set((*path, name), text, origin)
    components = list(_components(document.data, scale))
    labels = {label: kind for label, kind, _ in components}
    if not dot or not (head == "training" or head in KINDS or head in labels):
        known = list(Settings.model_fields)
        if dot:
            known = [f"{head}.{option}" for head in _heads_with(option, components)]
            known = known or [f"{head}.NAME" for head in ("training", *KINDS, *labels)]
        raise UsageError(f'no setting "{name}" in the suite', origin, suggestion(name, known))
    scale_settings = document.data.get("scales", {}).get(scale, {})
    for tuned in (scale_settings.get("tune", document.data.get("tune")) or {}).get("options", ()):
        if meets(tuned, name, labels):  # the value of a trial would take precedence over the change
            hint = "add --set tune=null to do without the tuning"
            raise UsageError(f"the suite's tuning chooses {tuned}", origin, hint)
    path = (*path, "overrides", len(scale_settings.get("overrides", [])))
    if head in labels:
        document.set((*path, "when", labels[head]), json.dumps(head), origin)
        head = labels[head]
    document.set((*path, head, option), text, origin)


def meets(one: str, another: str, labels: Mapping[str, str]) -> bool:
    """Return whether two names of the form HEAD.OPTION can name one value, by a label and by its kind too.

    Args:
        one: a name.
        another: another name.
        labels: the kind of each label of the suite.
    """
    (other, _, chosen), (head, _, option) = one.rpartition("."), another.rpartition(".")
    kinds = {labels.get(other, other), labels.get(head, head)}
    return chosen == option and (other == head or (len(kinds) == 1 and not kinds.isdisjoint((other, head))))


def _components(data: Any, scale: Scale) -> Iterator[tuple[str, str, str]]:
    """Yield label, kind and name of each component in the lists and included cells of a suite at a scale."""
    for section in (data, data.get("scales", {}).get(scale, {})):
        for kind in KINDS:
            included = (cell.get(kind) for cell in section.get("include", ()))
            for entry in filter(None, (*section.get(f"{kind}s", ()), *included)):
                if isinstance(entry, str):
                    yield entry, kind, entry
                else:
                    yield entry.get("label") or entry["name"], kind, entry["name"]


def _heads_with(option: str, components: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    """Yield what may precede an option in a change: `training`, or kind and label of a component that has it."""
    if option in Training.model_fields:
        yield "training"
    for label, kind, name in components:
        if name in KINDS[kind].names() and option in KINDS[kind][name].options.model_fields:
            yield from (kind, label)
