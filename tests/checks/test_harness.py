"""The facts of the harness by name, and clipping where no compiled loop runs."""

from __future__ import annotations

import json

import torch

from tests.checks.test_checks import few_facts
from throughtime.checks.own.harness import facts
from throughtime.checks.run import HARNESS
from throughtime.commands.main import main
from throughtime.harness import updater


def test_clipping_is_torchs_on_tensors_of_any_kind():
    """The operations that take the compiled loop's place, on gradients that no loop may take."""
    ours = [torch.full((3, 2), 4.0, dtype=torch.float64).t()]
    theirs = torch.nn.Parameter(torch.zeros(2, 3, dtype=torch.float64))
    theirs.grad = ours[0].clone()
    torch.nn.utils.clip_grad_norm_([theirs], 1.5)
    updater.clip(ours, 1.5)
    assert float((ours[0] - theirs.grad).abs().max()) < 1e-12


def test_the_command_checks_the_harness_by_name(capsys, monkeypatch):
    few_facts(monkeypatch, "harness", "learning rate", "drop_last")
    assert main(["check", "harness", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    named = [fact.name for fact in facts(HARNESS)]
    assert [row["fact"] for row in rows] == [name for name in named if "learning rate" in name or "drop_last" in name]
