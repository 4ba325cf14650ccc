"""Components without function and a suite of six lines, for the tests of suites."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from throughtime import registry
from throughtime.suites.suite import Suite, load_suite


class BPTT:
    pass


class TBPTT:
    def __init__(self, *, window: PositiveInt = 10, loss_at: Literal["end", "every"] = "end"):
        pass


class FPTT:
    def __init__(self, *, parts: PositiveInt | None = None, alpha: PositiveFloat = 1):
        pass


class LIF:
    def __init__(self, size, *, tau: PositiveFloat = 20.0):
        pass


class LTC:
    def __init__(self, size):
        pass


class Recurrent:
    def __init__(self, inputs, outputs, neuron, *, hidden: list[PositiveInt] = (64,)):
        pass


class Digits:
    def __init__(self, *, steps: PositiveInt = 64):
        pass


class Adding:
    def __init__(self, *, steps: PositiveInt = 100):
        pass


@contextmanager
def registered_alone() -> Iterator[None]:
    """The registries hold the components of this module and no others."""
    with registry.isolated(empty=True):
        _register()
        yield


def _register() -> None:
    for name, rule in {"bptt": BPTT, "tbptt": TBPTT, "fptt": FPTT}.items():
        registry.algorithm(name)(rule)
    for name, neuron in {"lif": LIF, "ltc": LTC}.items():
        registry.neuron(name)(neuron)
    registry.network("recurrent")(Recurrent)
    for name, dataset in {"digits": Digits, "adding": Adding}.items():
        registry.dataset(name)(dataset)


BASE = """\
suite: quick
summary: one line
rules: [bptt, fptt]
neurons: [lif, ltc]
datasets: [digits]
scales: {tiny: {}, laptop: {}, paper: {}}
"""


def loader(folder: Path) -> Callable[..., Suite]:
    """Loads BASE with lines replaced (1: the first) or added (from 7 on)."""

    def load(changes=None):
        lines = dict(enumerate(BASE.splitlines(), 1)) | (changes or {})
        path = folder / "s.yaml"
        path.write_text("\n".join(lines[number] for number in sorted(lines)), encoding="utf-8")
        return load_suite(path)

    return load
