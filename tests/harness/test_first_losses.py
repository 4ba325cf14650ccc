"""In float64, the losses of the first 20 updates of each cell of suite `gate` are those of commit 9bbae2a.

A change of the code that should change no number is compared with them, and committed runs need not run again.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from throughtime.running.first_losses import first_losses
from throughtime.suites.suite import load_suite

LOSSES: dict[str, list[float]] = json.loads(Path(__file__).with_name("first_losses.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("label", LOSSES)
def test_the_first_losses_are_those_of_before(label):
    spec = next(spec for spec in load_suite("gate", "tiny").expand("tiny") if spec.label == label)
    result = first_losses(spec)[: len(LOSSES[label])]  # some have fewer: they took more than a minute
    assert result == pytest.approx(LOSSES[label][: len(result)], rel=1e-10)
    assert len(result) == len(LOSSES[label])
