"""Changes of a suite from outside its file, such as `--set training.learning_rate=1e-2`.

A change has the form `NAME=VALUE`; the value is YAML, checked like that of the file. NAME is one of

    training.learning_rate      a training setting of all cells
    rule.alpha                  an option of all rules; likewise neuron, network, dataset
    fptt.alpha                  an option of the component with this label
    replicates                  a key of the suite

Changes take precedence over the suite, its scale and all overrides, but not over the values that its `tune` chooses:
`tune=null` does without the tuning.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from throughtime.errors import UsageError, suggestion
from throughtime.registry import KINDS
from throughtime.spec import Scale
from throughtime.suites.schema import Settings
from throughtime.suites.strict_yaml import Document, Key


def apply_change(document: Document, scale: Scale, change: str) -> None:
    """Apply a change to the document of a valid suite, at one scale.

    Raises:
        UsageError: the change has another form, its value is not YAML, or the suite has no such name.
    """
    name, equals, text = change.partition("=")
    origin = f"--set {change}"
    if not equals or not text.strip():
        raise UsageError("a change has the form NAME=VALUE", origin, "for example training.learning_rate=1e-2")
    head, dot, option = name.partition(".")
    path: Key = ("scales", scale)
    if not dot and name in Settings.model_fields:
        return document.set((*path, name), text, origin)
    labels = dict(_labels(document.data, scale))
    if not dot or not (head == "training" or head in KINDS or head in labels):
        known = [*Settings.model_fields, *(f"{head}.{option}" for head in ("training", *KINDS, *labels) if dot)]
        raise UsageError(f'no setting "{name}" in the suite', origin, suggestion(name, known))
    overrides = document.data.get("scales", {}).get(scale, {}).get("overrides", [])
    path = (*path, "overrides", len(overrides))
    if head in labels:
        document.set((*path, "when", labels[head]), json.dumps(head), origin)
        head = labels[head]
    document.set((*path, head, option), text, origin)


def _labels(data: Any, scale: Scale) -> Iterator[tuple[str, str]]:
    """Yield label and kind of each component in the lists and included cells of a suite at a scale."""
    for section in (data, data.get("scales", {}).get(scale, {})):
        for kind in KINDS:
            included = (cell.get(kind) for cell in section.get("include", ()))
            for entry in filter(None, (*section.get(f"{kind}s", ()), *included)):
                yield (entry if isinstance(entry, str) else entry.get("label") or entry["name"]), kind
