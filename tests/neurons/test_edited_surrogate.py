"""An edit of a surrogate's compiled loop, three calls below the loops of single steps, changes the trained weights.

The package is copied into a temporary folder, edited there, and imported by fresh processes that share their machine
code on disk. Before the key of that code covered all that a loop calls, the loss was the same to the last bit after
the edit, under a new digest of the code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPIKE_FACTOR = "h[i] = of_narrow * exp2(narrow * x[i] * x[i]) - of_wide * sides"
"""The line of `multi_gaussian_row` that computes h(x)."""
LOSS = """
import torch
import throughtime as tt
from throughtime.datasets import Classification

torch.manual_seed(0)
network = tt.build_network("recurrent", inputs=1, outputs=3, neuron="ltc", hidden=[8], readout="membrane")
learner = tt.Learner(network, tt.build_rule("fptt", parts=6), Classification(3), steps=6)
optimiser = torch.optim.SGD(learner.parameters(), lr=0.1)
x, target = torch.rand(6, 4, 1), torch.randint(3, (4,))
print(tt.__file__, [float(learner.learn(x, target, optimiser)) for _ in range(2)][1].hex())
"""


@pytest.fixture
def package(tmp_path):
    """A copy of the package, without machine code."""
    folder, skipped = tmp_path / "throughtime", shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "bench", folder, ignore=skipped)
    for name in ("algorithms", "datasets", "networks", "neurons", "numerics", "reports"):
        shutil.copytree(ROOT / name, folder / name, ignore=skipped)
    return folder


def loss(package: Path) -> float:
    """Return the loss of the second batch of FPTT with an update at each step on LTC, in a fresh process."""
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "NUMBA_CACHE_DIR": str(package.parent / "compiled")}
    command = [sys.executable, "-c", LOSS]
    result = subprocess.run(command, cwd=package.parent, env=environment, capture_output=True, text=True, timeout=600)
    assert not result.returncode, result.stderr
    file, value = result.stdout.split()
    assert Path(file).parent == package
    return float.fromhex(value)


@pytest.mark.slow
def test_twice_the_surrogate_is_another_loss_beside_the_machine_code_of_before(package):
    before = loss(package)
    assert loss(package) == before, "from the machine code on disk"
    path = package / "neurons" / "surrogate.py"
    text = path.read_text(encoding="utf-8")
    assert text.count(SPIKE_FACTOR) == 1
    path.write_text(text.replace(SPIKE_FACTOR, SPIKE_FACTOR.replace("= ", "= 2.0 * (", 1) + ")"), encoding="utf-8")
    assert loss(package) != before
