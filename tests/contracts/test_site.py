"""The site: its pages show what runs. `make docs`, a step of CI, builds it and checks every link."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.checks.test_checks import few_neurons, few_steps
from throughtime.checks import assert_sound
from throughtime.commands.main import main
from throughtime.registry import load_plugin

DOCS = Path(__file__).parents[2] / "docs"


def code(page: str, language: str) -> str:
    """Return the first block of code of a page."""
    result = re.search(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert result
    return result[1]


def test_the_suite_of_the_tutorial_plans(tmp_path, capsys):
    suite = tmp_path / "windows.yaml"
    suite.write_text(code("tutorial.md", "yaml"), "utf-8")
    assert main(["plan", str(suite), "--scale", "tiny", "--results", str(tmp_path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 8
    assert {row["unsupported"] for row in rows} == {None}


def test_the_rule_of_the_page_on_rules_is_sound(tmp_path, monkeypatch, isolated_registries):
    plugin = tmp_path / "my_rule.py"
    plugin.write_text(code("add-a-rule.md", "python"), "utf-8")
    load_plugin(plugin)
    few_neurons(monkeypatch, "lif")
    few_steps(monkeypatch, 12, 15, 20)
    assert_sound("my_rule")


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.stem)
def test_a_page_has_one_title(page):
    outside_code = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    assert len(re.findall(r"^# ", outside_code, re.MULTILINE)) == 1


PAPERS = [page for page in sorted((DOCS / "papers").glob("*.md")) if page.stem not in ("index", "deviations")]


@pytest.mark.parametrize("page", PAPERS, ids=lambda page: page.stem)
def test_the_page_of_a_paper_begins_with_what_holds(page):
    """A list or a short table, before the details."""
    lines = page.read_text("utf-8").splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith(("- ", "|---", "| ---")))
    block = lines[first : lines.index("", first)]
    assert first <= 24 and len(block) <= 16
