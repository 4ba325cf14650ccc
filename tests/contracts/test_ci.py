"""Workflows of CI: the gate covers every rule and neuron, and the comment on a pull request is replaced."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from throughtime.comparing.baselines import MOST_BYTES, read_baseline
from throughtime.comparing.compare import gates_beside
from throughtime.comparing.markdown import TAG
from throughtime.registry import ALGORITHMS, NEURONS
from throughtime.suites.suite import load_suite

ROOT = Path(__file__).parents[2]
BASELINES = ROOT / "results/baselines"
GH = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in *--jq*) test "$TAG" = "$(head -n 1 "$BODY")" && printf "$FOUND" ;; esac
exit 0
"""


def own(registry):
    return {name for name in registry.names() if registry[name].origin == "throughtime"}


def test_the_gate_has_every_rule_and_every_neuron():
    cells = load_suite("gate").cells["tiny"]
    assert {cell.rule.name for cell in cells} == own(ALGORITHMS)
    assert {cell.neuron.name for cell in cells} == own(NEURONS)


def test_every_run_of_the_gate_is_in_its_baseline():
    planned = {spec.label for spec in load_suite("gate").expand("tiny")}
    records = read_baseline(BASELINES / "gate-tiny.jsonl")
    assert {record.label for record in records} == planned
    assert {record.status for record in records} == {"ok"}
    gates = gates_beside(BASELINES / "gate-tiny.jsonl")
    for record in records:
        for metric in record.measures:
            gates.match(metric, record.spec)
    gates.refuse_unmatched()
    assert sum(path.stat().st_size for path in BASELINES.glob("*.jsonl*")) < MOST_BYTES


def test_the_workflow_does_what_ci_run_does():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    job = workflow["jobs"]["ci"]
    assert job["strategy"]["matrix"]["python"] == ["3.10", "3.13"]
    assert ".ci/run" in [step.get("run") for step in job["steps"]]
    targets = re.findall(r"^make (\w+)$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert targets == ["lint", "test", "check", "gate", "docs"]
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^lint: types$", makefile, re.MULTILINE)
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


@pytest.mark.parametrize(
    "found, call",
    [
        ("17\n18\n", "api --method PATCH repos/a/b/issues/comments/17 --field body=@gate.md"),
        ("", "api --method POST repos/a/b/issues/5/comments --field body=@gate.md"),
    ],
)
def test_a_comment_is_found_by_its_tag_and_replaced(tmp_path, found, call):
    (tmp_path / "gate.md").write_text(f"{TAG}\n\nregressed\n")
    gh, calls = tmp_path / "gh", tmp_path / "calls"
    gh.write_text(GH)
    gh.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "CALLS": str(calls), "BODY": "gate.md", "FOUND": found}
    command = [str(ROOT / ".ci/comment"), "gate.md", "a/b", "5"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    first, second = calls.read_text().splitlines()
    assert first.startswith("api --paginate repos/a/b/issues/5/comments") and second == call
