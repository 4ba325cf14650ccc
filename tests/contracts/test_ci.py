"""Workflows of CI: the gate covers every rule and neuron, and the comment on a pull request is replaced."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from throughtime.comparing.baselines import MOST_BYTES
from throughtime.comparing.compare import gates_beside
from throughtime.comparing.markdown import TAG
from throughtime.records.baselines import read_baseline
from throughtime.registry import ALGORITHMS, NEURONS
from throughtime.spec import PASSES
from throughtime.suites.suite import load_suite

ROOT = Path(__file__).parents[2]
BASELINES = ROOT / "results/baselines"
CLASSIFIERS = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
OLDEST, NEWEST = CLASSIFIERS[0], CLASSIFIERS[-1]
PINNED = re.compile(r"[\w./-]+@[0-9a-f]{40}")
INSECURE = """
permissions: {pull-requests: write}
jobs:
  one:
    permissions: {contents: write}
    steps:
      - uses: actions/checkout@v4
      - run: echo ${{ github.event.pull_request.title }}
"""
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
    specs = load_suite("gate").expand("tiny")
    planned = {spec.label for spec in specs}
    records = read_baseline(BASELINES / "gate-tiny.jsonl")
    assert {record.label for record in records} == planned
    assert {record.status for record in records} == {"ok"}
    gates = gates_beside(BASELINES / "gate-tiny.jsonl")
    for record in records:
        for metric in record.measures:
            gates.match(metric, record.spec)
    for spec in specs:  # a pass that the suite has since has no measure in the baseline before it is renewed
        for headline in filter(None, (PASSES[name].headline for name in spec.passes)):
            gates.match(headline[0], spec)
    gates.refuse_unmatched()
    assert sum(path.stat().st_size for path in BASELINES.glob("*.jsonl*")) < MOST_BYTES


def test_the_workflow_does_what_ci_run_does():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    job = workflow["jobs"]["ci"]
    assert job["strategy"]["matrix"]["python"] == [OLDEST, NEWEST]
    assert {".ci/run", "make audit"} <= {step.get("run") for step in job["steps"]}
    lowest = workflow["jobs"]["lowest"]["steps"]
    assert lowest[-1] == {"run": "make lowest"} and lowest[1]["with"] == {"python-version": OLDEST}
    targets = re.findall(r"^make (\S+)$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert targets == ["lint", "test", "check", "mutants-tenth", "gate", "docs"]
    nightly = yaml.safe_load((ROOT / ".github/workflows/nightly.yml").read_text())["jobs"]
    assert [nightly[job]["steps"][-1]["run"].split()[:2] for job in ("attack", "mutants")] == [
        ["make", "attack"],
        ["make", "mutants"],
    ]
    assert nightly["computed"]["steps"][-1]["run"].endswith(" -m slow tests/reports/test_papers.py")
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^lint: types$", makefile, re.MULTILINE)
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def insecurities(workflow: dict) -> list[str]:
    """Faults of a workflow through which the code of a pull request, or of an action, could gain rights."""
    result = [] if "permissions" in workflow else ["the default permissions of the repository"]
    result += [f"all jobs have {name}" for name, right in workflow.get("permissions", {}).items() if right == "write"]
    for name, job in workflow["jobs"].items():
        steps, actions = job["steps"], [step["uses"] for step in job["steps"] if "uses" in step]
        result += [f"{name}: {action} is not pinned by digest" for action in actions if not PINNED.fullmatch(action)]
        for step in steps:
            options = step.get("with", {})
            checkout = step.get("uses", "").startswith("actions/checkout@")
            if checkout and options.get("persist-credentials") is not False:
                result.append(f"{name}: the checkout keeps its token")
            code_of_base = options.get("ref") == "${{ github.event.pull_request.base.sha }}"
            if checkout and "write" in job.get("permissions", {}).values() and not code_of_base:
                result.append(f"{name}: may write, and checks out the pull request")
            result += [f"{name}: an expression in a script"] * ("${{" in step.get("run", ""))
    return result


def test_no_code_of_a_pull_request_runs_with_a_right_to_write():
    workflows = [yaml.safe_load(path.read_text()) for path in (ROOT / ".github/workflows").glob("*.yml")]
    assert len(workflows) > 1 and [fault for workflow in workflows for fault in insecurities(workflow)] == []
    steps = [
        step.get("run", "") for workflow in workflows for job in workflow["jobs"].values() for step in job["steps"]
    ]
    unpinned = [run for run in steps if re.search(r"pip install (?!.*==)", run)]
    assert unpinned == []


def test_each_insecurity_of_a_workflow_is_found():
    workflow = yaml.safe_load(INSECURE)
    assert insecurities(workflow) == [
        "all jobs have pull-requests",
        "one: actions/checkout@v4 is not pinned by digest",
        "one: the checkout keeps its token",
        "one: may write, and checks out the pull request",
        "one: an expression in a script",
    ]


def test_a_comment_without_the_tag_is_not_posted(tmp_path):
    (tmp_path / "gate.md").write_text("\nanything\n")  # every comment starts with an empty text
    words = [str(ROOT / ".ci/comment"), "gate.md", "a/b", "5"]
    done = subprocess.run(words, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr == f"gate.md: the first line is not {TAG}\n"


@pytest.mark.parametrize(
    "comments, call",
    [
        ("17\n18\n", "api --method PATCH repos/a/b/issues/comments/17 --field body=@gate.md"),
        ("", "api --method POST repos/a/b/issues/5/comments --field body=@gate.md"),
    ],
)
def test_a_comment_is_found_by_its_tag_and_replaced(tmp_path, comments, call):
    (tmp_path / "gate.md").write_text(f"{TAG}\n\nregressed\n")
    gh, calls = tmp_path / "gh", tmp_path / "calls"
    gh.write_text(GH)
    gh.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "CALLS": str(calls), "BODY": "gate.md", "FOUND": comments}
    command = [str(ROOT / ".ci/comment"), "gate.md", "a/b", "5"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    first, second = calls.read_text().splitlines()
    assert first.startswith("api --paginate repos/a/b/issues/5/comments") and second == call
