"""The examples keep the promises of the README: they plan, run, and are as short as it states."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.checks.test_checks import few_neurons, few_steps
from throughtime.checks import assert_sound
from throughtime.checks.tiny import BATCH, CLASSES, STEPS, error, gradient, learn, recurrent, sequence
from throughtime.commands.main import main
from throughtime.datasets.task import Classification
from throughtime.measuring.live_bytes import LiveBytes
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.base import Neuron
from throughtime.numerics.trees import detached
from throughtime.records.store import Store
from throughtime.registry import ALGORITHMS, NEURONS, load_plugin

CHECKOUT = Path(__file__).parents[2]
EXAMPLES = CHECKOUT / "docs" / "examples"
NAMES = ("summed_tbptt", "alpha_synapse", "recall")
PLUGINS = [EXAMPLES / f"{name}.py" for name in NAMES]
CELLS = [f"{rule} {neuron} recall #0" for neuron in ("lif", "alpha_synapse") for rule in ("bptt", "summed_tbptt")]


@pytest.fixture(autouse=True)
def plugins(isolated_registries):
    """The plugins are loaded."""
    for path in PLUGINS:
        load_plugin(path)


def command(name: str, results: Path, *more: str) -> list[str]:
    words = [name, str(EXAMPLES / "suite.yaml"), "--scale", "tiny", "--results", str(results), *more]
    return words + [word for path in PLUGINS for word in ("--plugin", str(path))]


def test_the_suite_plans(tmp_path, capsys):
    assert main(command("plan", tmp_path, "--json")) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["label"] for row in rows] == CELLS
    assert {row["unsupported"] for row in rows} == {None}


def test_the_suite_runs(tmp_path):
    assert main(command("run", tmp_path, "--jobs", "2")) == 0
    records = [stored.record for stored in Store(tmp_path).records("examples")]
    assert sorted(record.label for record in records) == sorted(CELLS)
    for record in records:
        assert record.status == "ok"
        spec = record.spec
        assert f"{spec.rule.name} {spec.neuron.name} {spec.dataset.name} #0" == record.label
        assert 0 <= record.measures["accuracy"].value <= 1
        assert all(str(path) in record.command for path in PLUGINS)


@pytest.mark.parametrize("name", NAMES)
def test_every_fact_of_the_examples_holds(name, monkeypatch, request):
    if name == "summed_tbptt":  # facts of rules do not depend on loops, and those of a neuron do
        request.getfixturevalue("tensor_operations")
    few_neurons(monkeypatch, "lif", "ltc_smnist", "lstm", "alpha_synapse")  # at rest, drawn, without spikes, a plugin's
    few_steps(monkeypatch, 20, 25, 40)  # three windows and more
    assert_sound(name)


def test_summed_tbptt_is_autograd_with_the_state_cut_between_windows():
    net, (x, target) = recurrent(NEURONS["lif"]), sequence()
    state, losses = net.initial_state(BATCH), []
    for t, x_t in enumerate(x):
        step, state = net(x_t, detached(state) if t % 5 == 0 else state)
        if t in (4, 9, STEPS - 1):
            losses.append(Classification(CLASSES).loss(step.output, target))
    expected = torch.autograd.grad(sum(losses) / 3, list(net.parameters()))
    (result,) = learn(ALGORITHMS["summed_tbptt"].factory(), net, (x, target)).gradients
    for a, b in zip(result, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)


def alpha_synapse_by_autograd(shape: int) -> Neuron:
    """The neuron of alpha_synapse.py as one that writes `forward` itself."""

    def forward(self: Neuron, current: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        after = self.step(current, state)
        return after.z, after

    return type("ByAutograd", (NEURONS["alpha_synapse"].factory,), {"forward": forward})(shape)


@pytest.mark.parametrize("options", [{"readout": "spikes"}, {"readout": "membrane", "recurrent_bias": True}])
def test_alpha_synapse_in_loops_is_alpha_synapse_by_autograd(options):
    fast, plain = (
        recurrent(neuron, **options) for neuron in (NEURONS["alpha_synapse"].factory, alpha_synapse_by_autograd)
    )
    x, _ = sequence(40)
    for first, second in ((slice(40), slice(0)), (slice(15), slice(15, 40))):
        windows = []
        for net in (fast, plain):
            begun = net.unroll(x[first], net.initial_state(BATCH))
            windows.append(net.unroll(x[second], begun.state) if len(x[second]) else begun)
        assert 0 < float(windows[0].spikes[0].detach().mean()) < 1
        a, b = (
            gradient(window.outputs.square().sum(), net) for window, net in zip(windows, (fast, plain), strict=True)
        )
        assert error([windows[0].outputs, *a], [windows[1].outputs, *b]) < 1e-12


def test_alpha_synapse_keeps_what_extending_says():
    size, kept = 64, []
    for neuron in (NEURONS["alpha_synapse"].factory, alpha_synapse_by_autograd):
        net = Recurrent(3, 4, neuron, hidden=[size])
        x, state, bytes_at = torch.randn(20, BATCH, 3), net.initial_state(BATCH), []
        for steps in (10, 10, 20):
            with LiveBytes() as live:
                last = net.unroll(x[:steps], state).state
                bytes_at.append(live.current)
            del last
        kept.append((bytes_at[2] - bytes_at[1]) / 10 / BATCH / size)
    assert kept == [5, 12]


def test_the_rule_is_a_short_file():
    assert len((EXAMPLES / "summed_tbptt.py").read_text(encoding="utf-8").splitlines()) <= 30


def test_the_readme_shows_the_rule_as_it_is():
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    (shown,) = (block for block in blocks if '@algorithm("summed_tbptt"' in block)
    rule = (EXAMPLES / "summed_tbptt.py").read_text(encoding="utf-8")
    assert shown == rule[rule.index("from ") :]
