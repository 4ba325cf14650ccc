"""Exact bytes for given sizes: the numbers of a run of those sizes, without its data; and the command."""

from __future__ import annotations

import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch

import throughtime as tt
from throughtime.commands.main import main
from throughtime.errors import UsageError
from throughtime.harness.by_name import build_rule
from throughtime.measuring import exact_memory as module
from throughtime.measuring import training_bytes as counts
from throughtime.measuring.training_bytes import Sizes, streamed_bytes, training_bytes
from throughtime.registry import ALGORITHMS

FLOAT = 4
SIZES = Sizes(hidden=(5,), inputs=3, outputs=2, batch=2)


def test_parameters_and_input_are_known_by_hand():
    (row,) = training_bytes([("fptt", {"parts": 2})], "lif", [8], SIZES)
    # W and its bias, R, the readout and its bias; α is a buffer.
    assert row.memory.owned["parameters"] == FLOAT * (5 * 3 + 5 + 5 * 5 + 2 * 5 + 2 + 1)
    assert row.memory.owned["input"] == FLOAT * 8 * 2 * 3 + 8 * 2  # a class is an int64


def test_bptt_grows_with_the_steps_and_an_online_rule_does_not_if_the_input_is_streamed():
    short, long = (
        {row.rule: row.memory for row in training_bytes([("bptt", {}), ("tbptt", {"window": 4})], "lif", [T], SIZES)}
        for T in (32, 64)
    )
    assert long["bptt"].peak - short["bptt"].peak > 32 * 2 * 5  # at least a byte for each neuron, step and sequence
    assert long["tbptt"].streamed == short["tbptt"].streamed


OPTIONS = {"penalised": {"rule": "eprop", "spike_penalties": [{"strength": 0.01}]}, "rolling_tbptt": {"window": 3}}


def streamed(rule: str, steps: int) -> int:
    """Bytes with the input streamed, in the smallest network."""
    count, missing = streamed_bytes((rule, OPTIONS.get(rule, {})), "lif", steps, Sizes((2,), 1, 2, 1))
    assert missing is None
    return count


@pytest.mark.parametrize("rule", ALGORITHMS.names())
def test_10_000_steps_take_the_bytes_of_100_under_all_rules_but_bptt_and_its_kind(rule):
    if build_rule(rule, **OPTIONS.get(rule, {})).claims.memory in ("O(T)", "O(√T)"):
        assert streamed(rule, 100) > streamed(rule, 50)
    else:
        assert streamed(rule, 10_000) == streamed(rule, 100)


def test_a_number_for_each_window_shows_at_10_000_steps(isolated_registries):
    @tt.algorithm("hoarding")
    class Hoarding(ALGORITHMS["tbptt"].factory):
        def begin(self, batch, update):
            super().begin(batch, update)
            self.losses = []

        def learn(self, x, target, t):
            self.losses.append(torch.zeros(()))
            return self.losses[-1]

    assert streamed("hoarding", 10_000) - streamed("hoarding", 100) >= FLOAT * (10_000 - 100) / 25


def test_a_rule_that_cannot_train_the_network_has_a_reason_and_no_number():
    (row,) = training_bytes([("ottt", {})], "ltc", [4], SIZES)
    assert row.memory is None and "decay" in row.missing


def test_a_fault_of_a_user_s_rule_leaves_the_bytes_of_the_others(tmp_path, isolated_registries, capsys):
    plugin = tmp_path / "faulty.py"
    plugin.write_text(
        "from throughtime import algorithm\nfrom throughtime.algorithms.bptt import BPTT\n\n"
        '@algorithm("faulty")\nclass Faulty(BPTT):\n    def learn(self, x, target, t):\n        return self.updat()\n'
    )
    words = ["bytes", "--rule", "faulty", "--rule", "bptt", "--steps", "8", "--hidden", "4", "--plugin", str(plugin)]
    assert main([*words, "--json"]) == 0
    faulty, bptt = json.loads(capsys.readouterr().out)
    assert bptt["peak"] > 0 and f"{plugin}:7: AttributeError" in str(faulty)


@pytest.mark.parametrize(
    ("kind", "base", "words"),
    [
        ("algorithm", "algorithms.bptt import BPTT as Base", ["--rule", "faulty", "--rule", "bptt"]),
        ("neuron", "neurons.lif import LIF as Base", ["--neuron", "faulty", "--rule", "bptt"]),
    ],
)
def test_a_component_that_cannot_be_built_has_a_reason(kind, base, words, tmp_path, isolated_registries, capsys):
    plugin = tmp_path / "faulty.py"
    plugin.write_text(
        f"from throughtime import {kind}\nfrom throughtime.{base}\n\n"
        f'@{kind}("faulty")\nclass Faulty(Base):\n    def __init__(self, *shape) -> None:\n        1 / 0\n'
    )
    assert main(["bytes", *words, "--steps", "8", "--hidden", "4", "--plugin", str(plugin), "--json"]) == 0
    assert f"{plugin}:7: ZeroDivisionError" in json.loads(capsys.readouterr().out)[0]["missing"]


@pytest.mark.parametrize("option", ["--steps", "--hidden", "--inputs", "--outputs", "--batch"])
def test_a_size_beyond_an_index_is_refused(option, capsys):
    words = ["bytes", "--rule", "bptt"] + ([] if option == "--steps" else ["--steps", "8"])
    assert main([*words, option, "9" * 30]) == 2
    assert option in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("outputs", 1, "outputs: should be at least 2, not 1"),
        ("batch", 0, "batch: should be at least 1, not 0"),
        ("hidden", [], "hidden: should have a layer"),
        ("inputs", 2.5, "inputs: should be an integer, not 2.5"),
        ("steps", 2**40, "steps: should be below"),
    ],
)
def test_from_python_a_wrong_size_is_refused(argument, value, message):
    with pytest.raises(UsageError, match=message):
        tt.bytes("bptt", **{"steps": 8, argument: value})


def test_from_python_sizes_may_be_integers_of_numpy():
    arguments = {"hidden": np.array([5]), "inputs": np.int64(3), "outputs": 2}
    assert tt.bytes("bptt", np.int64(8), **arguments)["steps"].tolist() == [8]
    one = arguments | {"hidden": 5}
    assert tt.bytes("bptt", 8, **one)["peak"].tolist() == tt.bytes("bptt", 8, **arguments)["peak"].tolist()


def test_two_variants_of_a_rule_are_told_apart(capsys):
    words = ["bytes", "--rule", "tbptt, window: 2", "--rule", "tbptt, window: 4", "--steps", "8", "--hidden", "5"]
    assert main(words) == 0
    assert [line.split()[:3] for line in capsys.readouterr().out.splitlines()[-2:]] == [
        ["tbptt", "window:", "2"],
        ["tbptt", "window:", "4"],
    ]


def test_the_command_prints_rules_by_steps(capsys):
    arguments = ["bytes", "--rule", "fptt, parts: 2", "--rule", "bptt", "--steps", "4", "--steps", "8", "--hidden", "5"]
    assert main([*arguments, "--inputs", "3", "--outputs", "2", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["rule"], row["steps"]) for row in rows] == [("fptt", 4), ("fptt", 8), ("bptt", 4), ("bptt", 8)]
    assert all(row["streamed"] <= row["peak"] for row in rows)


def test_the_options_of_a_rule_are_read_as_in_a_suite(capsys):
    """YAML 1.1 takes 1e-3 for a text."""
    words = ["bytes", "--rule", "fptt, parts: 2, alpha: 1e-3", "--steps", "4", "--hidden", "5", "--json"]
    assert main(words) == 0 and json.loads(capsys.readouterr().out)[0]["missing"] is None


def test_from_python_a_frame_has_the_same_numbers():
    frame = tt.bytes([{"name": "fptt", "parts": 2}, "bptt"], 8, hidden=[5], inputs=3, outputs=2, batch=2)
    rows = training_bytes([("fptt", {"parts": 2}), ("bptt", {})], "lif", [8], SIZES)
    assert frame["peak"].tolist() == [row.memory.peak for row in rows]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("fppt", 'no "fppt"'),
        ("fptt, partz: 2", 'fptt has no option "partz"'),
        ("fptt, : 2:", "has the form"),
        ("", "has the form"),
    ],
)
def test_a_wrong_rule_is_refused_in_a_line(rule, message, capsys):
    assert main(["bytes", "--rule", rule, "--steps", "4"]) == 2
    assert message in capsys.readouterr().err


def short_and_whole(rule, options, neuron, steps, monkeypatch):
    """The memory that is counted with windows and steps left out, and that of all."""
    (short,) = training_bytes([(rule, options)], neuron, [steps], SIZES)
    monkeypatch.setattr(module, "until_steady", lambda live, windows, period: windows)
    monkeypatch.setattr(counts, "without_alike_steps", nullcontext)
    (whole,) = training_bytes([(rule, options)], neuron, [steps], SIZES)
    return short.memory, whole.memory


@pytest.mark.parametrize(
    ("rule", "options", "neuron", "steps"),
    [
        ("fptt", {}, "ltc", 21),  # an update at each step
        ("rolling_tbptt", {"window": 3}, "lif", 21),
        ("tbptt", {"window": 7}, "lif", 50),
        ("eprop", {"loss_at": "every", "update_every": 50}, "alif", 176),
        ("fptt", {"parts": 24}, "lif", 61),  # windows of 2 and of 3 steps
        ("bptt", {}, "ltc", 12),
        ("checkpointed_bptt", {}, "alif", 40),
        ("snap_n", {}, "lif", 11),  # no influence arrives at the first step
    ],
)
def test_windows_and_steps_that_are_left_out_change_no_byte(rule, options, neuron, steps, monkeypatch):
    short, whole = short_and_whole(rule, options, neuron, steps, monkeypatch)
    assert short._replace(operations=0) == whole._replace(operations=0)
    assert short.operations < 0.9 * whole.operations


def test_what_a_rule_does_at_some_steps_only_is_not_left_out(isolated_registries, monkeypatch):
    @tt.algorithm("seventh")
    class Seventh(ALGORITHMS["tbptt"].factory):
        def __init__(self, *, every: int = 7) -> None:
            super().__init__(window=1)
            self.seventh = every

        def learn(self, x, target, t):
            if t % self.seventh == self.seventh - 1:
                torch.ones(10_000)
            return super().learn(x, target, t)

    short, whole = short_and_whole("seventh", {}, "lif", 20, monkeypatch)
    assert short.streamed == whole.streamed > 10_000 * FLOAT
