"""Papers outside of the package: the one of docs/add-a-paper.md is found and judged, and faults name their place."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.synthetic_records import measure, put, run_spec
from throughtime import paper_folders as folders
from throughtime.commands.main import main
from throughtime.errors import UsageError
from throughtime.paper_folders import PAPERS, add_papers, paper_folders
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.papers.claims import trained
from throughtime.reports.papers.paper import draw_paper, judge, load_paper
from throughtime.suites.suite import load_suite

PAGE = Path(__file__).parents[2] / "docs" / "add-a-paper.md"


def write_paper_of_the_docs(parent: Path) -> Path:
    """Write the files of the page to a folder `somebody`, and return it."""
    text = PAGE.read_text("utf-8")
    for name, code in re.findall(r"^`(somebody/\S+)`.*?^```\w+\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        (parent / name).parent.mkdir(parents=True, exist_ok=True)
        (parent / name).write_text(code, "utf-8")
    return parent / "somebody"


@pytest.fixture
def somebody(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(PAPERS, "")  # restored after the test, whatever a command adds
    return write_paper_of_the_docs(tmp_path)


def test_the_page_has_a_paper_of_60_lines(somebody):
    files = [path for path in somebody.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".yaml", ".py"} and len(files) == 4
    assert sum(len(path.read_text("utf-8").splitlines()) for path in files) <= 60


def test_a_folder_outside_of_the_package_is_judged(somebody, tmp_path, capsys):
    store = Store(tmp_path / "runs")
    for replicate in range(3):
        spec = run_spec("bptt lif digits", suite="somebody", replicate=replicate)
        put(store, spec, measures={"accuracy": measure(0.79, "fraction")})
    command = ["--paper", str(somebody), "--results", str(store.folder)]
    assert main(["verdicts", "somebody", *command, "--json"]) == 0
    exact, target, claim = json.loads(capsys.readouterr().out)
    assert (exact["verdict"], exact["ours"]) == ("reproduced", "13.86294361")
    assert (target["verdict"], target["ours"], target["n"]) == ("reproduced", "0.79", 3)
    assert (claim["verdict"], claim["n"], claim["needs"]) == ("supported", 3, "20 epochs, n = 3")


def test_commands_beside_the_verdicts_name_the_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(PAPERS, "")
    folder = write_paper_of_the_docs(tmp_path / "my papers")
    assert main(["verdicts", "somebody", "--paper", str(folder), "--results", str(tmp_path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["verdict"] for row in rows] == ["reproduced", "not run here", "not run here"]
    ends = ["verdicts somebody", "run somebody --scale laptop", "verdicts somebody"]
    assert [row["command"] for row in rows] == [f"throughtime {end} --paper '{folder}'" for end in ends]
    monkeypatch.setenv(PAPERS, "")
    _, *words = shlex.split(rows[1]["command"])
    assert main(["plan", *words[1:], "--results", str(tmp_path)]) == 0


def test_its_suites_are_known_by_name(somebody, tmp_path, capsys):
    assert main(["plan", "somebody", "--paper", str(somebody), "--results", str(tmp_path), "--json"]) == 0
    assert {row["label"] for row in json.loads(capsys.readouterr().out)} == {f"bptt lif digits #{n}" for n in range(3)}
    assert main(["ls", "suites", "--paper", str(somebody), "--json"]) == 0
    origins = {row["name"]: row["origin"] for row in json.loads(capsys.readouterr().out)}
    assert origins["somebody"] == str(somebody) and origins["quick"] == "throughtime"


def test_an_entry_point_is_a_paper(somebody, tmp_path, monkeypatch):
    package = tmp_path / "their_package"
    package.mkdir()
    somebody.rename(package / "somebody")
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    points = [
        SimpleNamespace(name="theirs", value="their_package.somebody", dist=SimpleNamespace(name="their-package"))
    ]
    monkeypatch.setattr(folders, "entry_points", lambda group: points if group == "throughtime.papers" else [])
    folders.installed_papers.cache_clear()
    try:
        paper = load_paper("theirs")
        assert paper.suites == ("somebody",) and load_suite("somebody").name == "somebody"
        assert judge(paper, Results(tmp_path / "runs"))[0].verdict == "reproduced"
        points[0].value = "their_package.nothing"
        folders.installed_papers.cache_clear()
        with pytest.raises(UsageError, match=r"their_package\.nothing of their-package is not a folder"):
            paper_folders()
    finally:
        folders.installed_papers.cache_clear()
        sys.modules.pop("their_package", None)


def test_papers_that_stay_closed_are_listed_with_the_reason_until_they_have_a_folder(somebody, monkeypatch, capsys):
    assert main(["papers", "--paper", str(somebody), "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["somebody"]["closed"] is None and rows["somebody"]["targets"] == 2
    assert {"ottt", "sltt", "decolle", "s_tllr", "se_adlif"} == {name for name, row in rows.items() if row["closed"]}
    assert "files are not here" in rows["ottt"]["closed"] and rows["ottt"]["link"].startswith("https://")
    monkeypatch.setenv(PAPERS, "")
    ours = somebody.rename(somebody.with_name("ottt"))
    assert main(["papers", "--paper", str(ours), "--json"]) == 0
    (row,) = (row for row in json.loads(capsys.readouterr().out) if row["name"] == "ottt")
    assert row["closed"] is None


def test_a_folder_without_targets_is_refused(tmp_path, capsys):
    assert main(["papers", "--paper", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path}: the folder of a paper has a file targets.yaml\n"


def test_a_folder_of_the_environment_that_is_no_paper_names_the_variable(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(PAPERS, str(tmp_path))
    assert main(["papers"]) == 2
    assert f"{tmp_path}: THROUGHTIME_PAPERS: the folder of a paper has a file targets.yaml" in capsys.readouterr().err


def test_two_papers_of_one_name_are_refused_with_both_places(somebody, tmp_path):
    other = write_paper_of_the_docs(tmp_path / "other")
    add_papers(somebody, somebody)  # the same folder twice is one paper
    with pytest.raises(UsageError, match='two papers have the name "somebody"') as fault:
        add_papers(other)
    assert str(somebody) in str(fault.value) and str(other) in str(fault.value)
    assert "somebody" in paper_folders(), "the refused folder is not added"


def test_a_relative_folder_is_the_paper_that_it_names(somebody, monkeypatch):
    monkeypatch.chdir(somebody.parent)
    monkeypatch.setenv(PAPERS, somebody.name)
    add_papers(somebody.name, somebody)
    assert paper_folders()["somebody"].path == somebody


def test_two_suites_of_one_name_are_refused_with_both_places(somebody):
    suite = somebody / "suites" / "somebody.yaml"
    suite.rename(suite.with_name("quick.yaml"))
    add_papers(somebody)
    with pytest.raises(UsageError, match='two suites have the name "quick"') as fault:
        load_suite("quick")
    assert str(somebody) in str(fault.value) and "bench" in str(fault.value)


HALF_LIFE = "def half_life():\n    return "
CLAIM = (
    "from throughtime.reports.papers.claims import Answer, claim\n"
    "@claim('anything', 'before')\ndef odd(results):\n    return "
)


@pytest.mark.parametrize(
    "module, code, message",
    [
        ("exact", "import math\n1 / 0\n", "exact.py:2: ZeroDivisionError: division by zero"),
        ("exact", "half_life = (\n", "exact.py:1: SyntaxError: "),
        ("exact", "", 'targets.yaml:8:12: exact.py has no function "half_life"'),
        ("exact", "def half_life():\n    return [][0]\n", "exact.py:2: IndexError: list index out of range"),
        ("claims", "claim = 1\n", "claims.py: no function is marked by @claim"),
        ("speed_claims", "claim = 1\n", "speed_claims.py: no function is marked by @claim"),
        (
            "claims",
            "from throughtime.reports.papers.claims import claim\n\n\n"
            "@claim('anything', 'before')\ndef odd(results):\n    return results.odd\n",
            "claims.py:6: AttributeError",
        ),
        ("exact", "half_life = 13.86\n", 'targets.yaml:8:12: exact.py has no function "half_life"'),
        ("exact", "def half_life(tau):\n    return tau\n", "exact.py:1: half_life: missing a required argument: 'tau'"),
        ("exact", HALF_LIFE + "'x'", "exact.py:1: half_life returns a value of type str, not a number"),
        ("exact", HALF_LIFE + "None", "exact.py:1: half_life returns a value of type NoneType, not a number"),
        ("exact", HALF_LIFE + "float('nan')", "exact.py:1: half_life returns nan"),
        ("exact", HALF_LIFE + "[1.0, 2.0]", "exact.py:1: half_life returns a value of type list, not a number"),
        ("claims", CLAIM.replace("results", "") + "Answer()", "claims.py:2: odd: too many positional arguments"),
        ("claims", CLAIM + "True", "claims.py:2: odd returns a value of type bool, not an Answer"),
        ("claims", CLAIM + "None", "claims.py:2: odd returns a value of type NoneType, not an Answer"),
        ("claims", CLAIM + "'unclear', '', ''", "claims.py:2: odd returns a value of type tuple, not an Answer"),
    ],
)
def test_a_fault_of_a_module_is_one_line_with_its_place(module, code, message, somebody, capsys):
    (somebody / f"{module}.py").write_text(code)
    assert main(["verdicts", "somebody", "--paper", str(somebody)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_fault_of_one_paper_leaves_the_verdicts_of_the_others(somebody, capsys):
    (somebody / "claims.py").write_text("raise ValueError('no claim')\n")
    assert main(["verdicts", "--paper", str(somebody), "--format", "markdown"]) == 2
    out, error = capsys.readouterr()
    assert "| ostl |" in out and "somebody" not in out and "claims.py:1: ValueError: no claim" in error


def test_a_misspelt_word_of_a_claim_names_the_nearest(somebody, capsys):
    (somebody / "claims.py").write_text(CLAIM + "Answer('suported', '', '')")
    assert main(["verdicts", "somebody", "--paper", str(somebody)]) == 2
    place = f"{somebody}/claims.py:2"
    error = f'error: {place}: odd returns an unknown verdict "suported"\n  did you mean "supported"?\n'
    assert capsys.readouterr().err == error


@pytest.mark.parametrize(
    "right, wrong, column, message",
    [
        ("suite: somebody", "suite: sombody", 19, 'no suite "sombody"\n  did you mean "somebody"?'),
        ("rule: bptt", "rule: bpt", 35, 'no rule "bpt" in the suite somebody\n  did you mean "bptt"?'),
        ("neuron: lif", "neuron: liff", 49, 'no neuron "liff" in the suite somebody\n  did you mean "lif"?'),
        ("dataset: digits", "dataset: digts", 63, 'no dataset "digts" in the suite somebody\n  did you mean "digits"?'),
        (" scale", " network: layered, scale", 0, 'no network "layered" in the suite somebody\n  there is: recurrent'),
        ("suite: somebody, rule: bptt", "suite: somebody-tune, rule: bpt learning_rate=0.01", 0, 'no rule "bpt"'),
    ],
)
def test_a_misspelt_name_of_a_cell_is_named_with_its_place(right, wrong, column, message, somebody, capsys):
    file = somebody / "targets.yaml"
    file.write_text(file.read_text("utf-8").replace(right, wrong), "utf-8")
    assert main(["verdicts", "somebody", "--paper", str(somebody)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith(f"error: {file}:14:{column or ''}") and error.count("\n") == 2


@pytest.mark.parametrize(
    "suite, rule",
    [("somebody-tune", "bptt learning_rate=0.01"), ("somebody", "eprop"), ("somebody", "rtrl")],
    ids=["of trials", "of one scale", "of an included cell"],
)
def test_labels_of_trials_scales_and_included_cells_are_known(suite, rule, somebody):
    text = "scales:\n  paper: {rules: [eprop]}\ninclude:\n  - {rule: rtrl, neuron: lif, dataset: digits}\n"
    with (somebody / "suites" / "somebody.yaml").open("a") as file:
        file.write(text)
    targets = somebody / "targets.yaml"
    cell = f"suite: {suite}, rule: {rule}"
    targets.write_text(targets.read_text("utf-8").replace("suite: somebody, rule: bptt", cell), "utf-8")
    add_papers(somebody)
    assert load_paper("somebody").file.targets[1].cell.rule == rule


def test_a_size_of_a_suite_without_runs_says_so(tmp_path):
    assert trained("sombody", 20).missing(Results(tmp_path), "laptop") == "no run of the suite sombody"


def test_a_fault_of_a_figure_is_one_line_with_its_place(somebody, tmp_path):
    (somebody / "figures.py").write_text("FIGURES = {'a': lambda results, scale: 1 / 0}\n")
    add_papers(somebody)
    with pytest.raises(UsageError, match=r"figures.py:1: ZeroDivisionError"):
        draw_paper(paper_folders()["somebody"], Results(tmp_path), "laptop")


@pytest.mark.parametrize(
    "code, message",
    [
        ("FIGURES = [1]\n", "figures.py: FIGURES is not a dict of functions by name"),
        (
            "FIGURES = {'a': lambda results, scale: 1}\n",
            "figures.py:1: <lambda> returns a value of type int, not Drawn",
        ),
    ],
)
def test_figures_are_functions_by_name_that_draw(code, message, somebody, tmp_path, capsys):
    (somebody / "figures.py").write_text(code)
    assert main(["verdicts", "somebody", "--paper", str(somebody), "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


def test_a_suite_has_the_name_of_its_file(somebody, capsys):
    (somebody / "suites" / "somebody.yaml").rename(somebody / "suites" / "other.yaml")
    assert main(["plan", "other", "--paper", str(somebody)]) == 2
    assert 'other.yaml:1:8: the suite of the file other.yaml is "somebody"' in capsys.readouterr().err


def test_modules_of_a_folder_import_each_other(somebody, tmp_path):
    (somebody / "experiment.py").write_text("TAU = 20\n")
    (somebody / "exact.py").write_text("from .experiment import TAU\n\n\ndef half_life():\n    return TAU * 0.6931\n")
    add_papers(somebody)
    assert judge(load_paper("somebody"), Results(tmp_path))[0].verdict == "reproduced"


def test_a_curve_of_a_suite_that_the_paper_lacks_is_named_with_its_place(somebody):
    file = somebody / "targets.yaml"
    file.write_text("curves: [quick]\n" + file.read_text("utf-8"), "utf-8")
    add_papers(somebody)
    with pytest.raises(UsageError, match='no suite "quick"') as fault:
        load_paper("somebody")
    assert fault.value.where == f"{file}:1:10"


def test_a_suite_without_its_data_does_not_keep_the_others_from_running(somebody, tmp_path, capsys):
    for name, dataset in (("a", f"{{name: voc, root: {tmp_path}/nowhere}}"), ("b", "{name: adding, steps: 10}")):
        text = f"suite: {name}\nrules: [bptt]\nneurons: [lif]\nnetworks: [recurrent]\ndatasets: [{dataset}]\n"
        (somebody / "suites" / f"{name}.yaml").write_text(text + "passes: [bytes]\n")
    (somebody / "suites" / "somebody.yaml").unlink()
    (somebody / "targets.yaml").write_text("title: A paper with two suites\n")
    where = ["--results", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
    assert main(["reproduce", "somebody", "--paper", str(somebody), "--scale", "tiny", *where]) == 1
    assert "no such folder" in capsys.readouterr().err
    frame = Results(tmp_path / "runs").frame
    assert set(frame["suite"]) == {"b"}
    assert "verdict" in (tmp_path / "out/somebody/index.html").read_text("utf-8")
