"""`throughtime ls rules`: its columns, and the pages that it and the documentation refer to."""

from __future__ import annotations

import json
import re
import typing
from pathlib import Path

import pytest

import throughtime as tt
from throughtime.algorithms.coordinates import Coordinates
from throughtime.checks.contract.rules import facts
from throughtime.commands.main import app, main
from throughtime.options import options_of
from throughtime.registry import ALGORITHMS, REGISTRIES

CHECKOUT = Path(__file__).parents[2]
DOCS = CHECKOUT / "docs"
SUMMED = DOCS / "examples" / "summed_tbptt.py"
CLAIMS = ["kind", "name", "gradient", "memory", "summary", "page"]
COORDINATES = ["trace", "recursion", "scope", "signal", "filter", "schedule", "time_cost", "memory_cost"]
KEYS = CLAIMS + COORDINATES
IN_THE_PACKAGE = [name for name in ALGORITHMS.names() if ALGORITHMS[name].origin == "throughtime"]

pytestmark = pytest.mark.usefixtures("isolated_registries")


def listed(capsys, *arguments: object) -> dict[str, dict[str, str]]:
    """The rows of `ls rules --json`, by name."""
    assert main(["ls", "rules", "--json", *map(str, arguments)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [list(row) for row in rows] == [KEYS] * len(rows)
    return {row["name"]: row for row in rows}


def test_rules_are_listed_with_their_claims_and_pages(capsys):
    rows = listed(capsys)
    assert list(rows) == ALGORITHMS.names()
    for name, row in rows.items():
        claims = ALGORITHMS[name].factory.claims
        assert {key: row[key] for key in CLAIMS} == {
            "kind": "rules",
            "name": name,
            "gradient": claims.gradient,
            "memory": claims.memory,
            "summary": ALGORITHMS[name].summary,
            "page": f"docs/rules/{name}.md",
        }


def test_the_table_has_the_columns_of_the_json(capsys):
    assert main(["ls", "rule"]) == 0  # `rules` is a suite, too
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == CLAIMS
    shown = [line.split() for line in lines if line.startswith("rules")]
    claims = {name: ALGORITHMS[name].factory.claims for name in ALGORITHMS.names()}
    assert [words[1:4] for words in shown] == [[name, c.gradient, c.memory] for name, c in claims.items()]
    assert [words[-1] for words in shown] == [f"docs/rules/{name}.md" for name in claims]


def test_rules_are_listed_with_their_coordinates_and_costs(capsys):
    rows = listed(capsys)
    assert [rows["eprop"][key] for key in COORDINATES] == [
        *("block", "diag D", "own neuron", "instantaneous", "κ", "end of sequence"),
        *("B T P", "B P + B L S"),
    ]
    assert [rows["tbptt"][key] for key in ("recursion", "schedule")] == ["J in a window", "each window"]
    del rows["penalised"]  # its coordinates and costs are those of its rule
    assert "—" not in {row[key] for row in rows.values() for key in COORDINATES}


def test_coordinates_follow_from_the_options():
    eprop = ALGORITHMS["eprop"].factory(feedback="random", loss_at="every", update_every=4).coordinates()
    assert (eprop.signal, eprop.shown()["schedule"]) == ("random", "each 4 steps")


def test_each_value_of_a_coordinate_is_that_of_a_rule():
    rules = [tt.build_rule(name) for name in IN_THE_PACKAGE if name != "penalised"]  # it has those of its rule
    found = [rule.coordinates() for rule in (*rules, tt.build_rule("eprop", feedback="adaptive"))]
    for name, values in typing.get_type_hints(Coordinates).items():
        if name != "schedule":
            assert {getattr(coordinates, name) for coordinates in found} == {*typing.get_args(values)}, name


def test_coordinates_are_the_second_table(capsys):
    assert main(["ls", "rule"]) == 0
    _, second = capsys.readouterr().out.split("\n\n")
    head, *lines = second.splitlines()
    assert head.split() == ["rule", *COORDINATES]
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ALGORITHMS.names()


def test_a_rule_from_elsewhere_has_no_page(capsys):
    row = listed(capsys, "--plugin", SUMMED)["summed_tbptt"]
    assert (row["gradient"], row["memory"], row["page"]) == ("truncated", "O(window)", "—")


NO_CLAIMS = """\
from throughtime import algorithm
from throughtime.algorithms.base import LearningRule
@algorithm("mute")
class Mute(LearningRule):
    window = learn = None
@algorithm("odd")
class Odd(Mute):
    "Claims something else."
    claims = "the best rule"
@algorithm("made")
def made(*, rate: float = 1.0):
    "A function that builds a rule."
"""


def test_a_rule_without_claims_is_listed_all_the_same(capsys, tmp_path):
    plugin = tmp_path / "mute.py"
    plugin.write_text(NO_CLAIMS)
    rows = listed(capsys, "--plugin", plugin)
    for name in ("mute", "odd", "made"):
        assert {rows[name][key] for key in ("gradient", "memory", "page", *COORDINATES)} == {"—"}
    assert rows["made"]["summary"] == "A function that builds a rule."
    assert main(["ls", "rules", "--plugin", str(plugin)]) == 0
    assert re.search(r"^rules +mute +— +— ", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize("kind", ["neurons", "networks", "datasets", "suites"])
def test_other_kinds_are_listed_with_their_origin(kind, capsys):
    assert main(["ls", kind, "--json"]) == 0
    network_keys = ("parameters",) if kind == "networks" else ()
    rows = json.loads(capsys.readouterr().out)
    assert {tuple(row) for row in rows} == {("kind", "name", "summary", "origin", *network_keys)}


@pytest.mark.parametrize("name", ["rules", "datasets"])
def test_a_suite_named_like_a_kind_follows_its_list(name, capsys):
    assert main(["ls", name]) == 0
    after = capsys.readouterr().out.rpartition(f"{name} (suites): ")[2]
    assert f"{name}.yaml" in after and [line.split()[0] for line in after.splitlines()[-3:]] == [
        "tiny",
        "laptop",
        "paper",
    ]


@pytest.mark.parametrize("word, kind", [("rules", "rules"), ("algorithm", "rules"), ("neuron", "neurons")])
def test_a_kind_has_the_names_that_a_user_may_write(word, kind, capsys):
    assert main(["ls", word, "--json"]) == 0
    assert {row["kind"] for row in json.loads(capsys.readouterr().out)} == {kind}


OPTIONS = """\
from typing import Annotated, Literal
from pydantic import Field, PositiveInt
from throughtime import neuron
class Base:
    '''Base.

    Args:
        size: not an option.
        tau: time constant,
            in steps.
    '''
@neuron("described")
class Described(Base):
    '''A neuron.

    Args:
        mode: `end` or `every`.
        bounds: see the source: all of it.

    Raises:
        ValueError: never.
    '''
    def __init__(self, size, *, tau: PositiveInt, mode: Literal["end", "every"] = "end",
                 bounds: Annotated[list[float], Field(min_length=1)] | None = None, plain: bool = True):
        pass
"""


def test_a_component_is_listed_with_its_options(capsys, tmp_path):
    plugin = tmp_path / "described.py"
    plugin.write_text(OPTIONS)
    assert main(["ls", "described", "--plugin", str(plugin), "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert (result["kind"], result["summary"], result["place"]) == ("neurons", "A neuron.", f"{plugin}:12")
    assert [tuple(option.values()) for option in result["options"]] == [
        ("tau", "int > 0", "required", "time constant, in steps."),
        ("mode", '"end" | "every"', '"end"', "`end` or `every`."),
        ("bounds", "list of float | null", "null", "see the source: all of it."),
        ("plain", "bool", "true", ""),
    ]
    assert main(["ls", "described", "--plugin", str(plugin)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "described (neurons): A neuron." and lines[3].split() == ["name", "type", "default", "meaning"]


@pytest.mark.parametrize("kind", REGISTRIES)
def test_every_option_of_the_package_has_a_type_and_a_meaning(kind):
    components = [REGISTRIES[kind][name] for name in REGISTRIES[kind].names()]
    options = [(c.name, option) for c in components if c.origin == "throughtime" for option in options_of(c)]
    assert len(options) > 5
    assert [f"{name}: {o.name}" for name, o in options if not o.meaning or "any" in o.type.split()] == []


def test_a_suite_is_listed_with_its_size_at_each_scale(capsys):
    assert main(["ls", "quick", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert [row["scale"] for row in result["options"]] == ["tiny", "laptop", "paper"]
    assert all(row["runs"] > row["cells"] > 1 for row in result["options"])


def test_version_and_completion(capsys, monkeypatch):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"throughtime {tt.__version__}\n"
    monkeypatch.setenv("_THROUGHTIME_COMPLETE", "complete_bash")
    for words, expected in (("throughtime ls lt", "ltc"), ("throughtime run qui", "quick")):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", "2")
        with pytest.raises(SystemExit):
            app(prog_name="throughtime")
        assert expected in capsys.readouterr().out.split()


@pytest.mark.parametrize("name", IN_THE_PACKAGE)
def test_every_rule_of_the_package_has_its_page(name):
    page = (DOCS / "rules" / f"{name}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {name}: ")
    said = ["neglects", "time", "memory", "equals BPTT", "supported networks", "source"]
    assert [row for row in re.findall(r"^\| ([\w ]+?) \|", page, re.MULTILINE) if row in said] == said
    assert f"[{name}]({name}.md)" in (DOCS / "rules" / "README.md").read_text(encoding="utf-8"), "the table of all"


def test_the_page_on_checks_has_every_fact_of_the_contract_of_rules_with_its_bound():
    """`throughtime check` prints the names and bounds of all others: identities, and facts of other kinds."""
    page = (DOCS / "checking.md").read_text(encoding="utf-8")
    rows = {tuple(cell.strip() for cell in line.split("|")[1:3]) for line in page.splitlines() if line.startswith("|")}
    contract = {fact for name in IN_THE_PACKAGE if name != "penalised" for fact in facts(ALGORITHMS[name])}
    missing = {(f"`{fact.name}`", f"{fact.bound:g}") for fact in contract} - rows
    assert len(contract) > 25 and not missing, "docs/checking.md"
