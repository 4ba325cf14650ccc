"""The command line as a user meets it: its output, its exit codes, and errors of use in one or two lines."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.synthetic_records import grid_store, run_spec
from throughtime.commands.main import main
from throughtime.datasets.files import fetch
from throughtime.datasets.mnist_files import NAMES as MNIST
from throughtime.errors import UsageError
from throughtime.records.store import Store
from throughtime.running.plan import Planned
from throughtime.running.sweep import select

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
PLUGINS = {name: EXAMPLES / f"{name}.py" for name in ("summed_tbptt", "alpha_synapse", "recall")}
SUITE = """\
suite: small
summary: One cell.
rules: [bptt]
neurons: [lif]
networks: [{name: recurrent, hidden: [4]}]
datasets: [{name: adding, steps: 12, sequences: 64, held_out: 64}]
replicates: 2
passes: [train]
training: {epochs: 1, batch: 64}
scales: {tiny: {}, laptop: {}, paper: {}}
"""


@pytest.fixture(autouse=True)
def isolated(monkeypatch, tmp_path, isolated_registries):
    """An empty working folder, without data except those that a test creates."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(fetch.DATA, "")
    monkeypatch.setenv(fetch.CACHE, str(tmp_path / "cache"))


@pytest.fixture
def refused(capsys):
    """Run a command with an error of use; return its message of one or two lines."""

    def run(*arguments: object) -> str:
        code = main([*map(str, arguments)])
        said = capsys.readouterr()
        assert code == 2, said.err
        assert said.out == ""
        return told(said.err)

    return run


def told(stderr: str) -> str:
    """Return the message of an error after `error: `."""
    assert stderr.startswith("error: ") and "Traceback" not in stderr
    assert len(stderr.splitlines()) <= 2, stderr
    return stderr.removeprefix("error: ").rstrip("\n")


def test_a_terminal_without_utf_8_gets_question_marks(tmp_path, monkeypatch):
    (tmp_path / "small.yaml").write_text(SUITE.replace("name: adding", "label: σ, name: adding"), encoding="utf-8")
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["plan", str(tmp_path / "small.yaml")]) == 0
    terminal.flush()
    assert b"bptt lif ?" in terminal.buffer.getvalue()


def printed(capsys, *arguments: object) -> str:
    """Return the output of a command, which must succeed."""
    assert main([*map(str, arguments)]) == 0
    return capsys.readouterr().out


def with_plugins() -> list[object]:
    return [word for path in PLUGINS.values() for word in ("--plugin", path)]


def suite_file(*changes: tuple[str, str]) -> Path:
    """SUITE with texts replaced, in the working folder."""
    text = SUITE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = Path("small.yaml")
    path.write_text(text)
    return path


def python(*arguments: object, **options) -> subprocess.CompletedProcess:
    words = [sys.executable, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, **options)


# --- start


def test_help_names_the_commands_and_imports_nothing_heavy():
    then = "import sys; from throughtime.commands.main import main; code = main(['--help']); print(*sys.modules); "
    started = python("-c", then + "sys.exit(code)")
    assert started.returncode == 0, started.stderr
    *shown, modules = started.stdout.splitlines()
    assert {"torch", "pandas", "matplotlib", "scipy"}.isdisjoint(modules.split())
    for command in ("ls", "plan", "run", "table", "figure", "report", "data"):
        assert any(line.strip("│ ").startswith(f"{command} ") for line in shown), command


def test_python_m_hands_the_exit_code_on():
    ended = python("-m", "throughtime", "lss")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Usage:" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("buffered", [True, False])
def test_a_full_disk_is_one_line(buffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", "" if buffered else "1")
    words = [sys.executable, "-m", "throughtime", "ls", "suites"]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert ended.returncode == 1 and ended.stderr == "error: [Errno 28] No space left on device\n"


def test_a_closed_output_is_no_error():
    words = ["sh", "-c", '"$0" -m throughtime ls suites >&-', sys.executable]
    ended = subprocess.run(words, stderr=subprocess.PIPE, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_misspelt_kind(refused):
    assert refused("ls", "nurons") == 'no kind, component or suite "nurons"\n  did you mean "neurons"?'


@pytest.mark.parametrize("arguments", [["plan"], ["plan", "quick", "--scale", "huge"], ["plan", "--huge"], ["lss"]])
def test_words_that_the_parser_refuses(arguments, capsys):
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert "Usage:" in said and "Traceback" not in said


# --- ls


BUILT_IN = {
    "rules": {"bptt", "tbptt", "fptt", "eprop"},
    "neurons": {"lif", "alif", "ltc"},
    "networks": {"recurrent"},
    "datasets": {"digits", "adding", "smnist"},
    "suites": {"quick", "fptt-adding-200"},
}


def test_ls_lists_what_is_built_in(capsys):
    rows = json.loads(printed(capsys, "ls", "--json"))
    for kind, names in BUILT_IN.items():
        assert {row["name"] for row in rows if row["kind"] == kind} >= names
    for row in rows:
        assert row["origin"] == "throughtime"
        assert len(row["summary"]) > 10 and "\n" not in row["summary"] and row["summary"] != "no docstring"
    text = printed(capsys, "ls").splitlines()
    assert len(text) == 1 + len(rows), "a line a row, and the head"
    for line, row in zip(text[1:], rows, strict=True):
        assert line.split()[:2] == [row["kind"], row["name"]] and row["summary"] in line


@pytest.mark.parametrize("kind", BUILT_IN)
def test_ls_of_one_kind(kind, capsys):
    assert {row["kind"] for row in json.loads(printed(capsys, "ls", kind, "--json"))} == {kind}


def test_ls_shows_a_plugins_components_with_its_path(capsys):
    rows = json.loads(printed(capsys, "ls", *with_plugins(), "--json"))
    result = {row["name"]: (row["kind"], row["origin"]) for row in rows if row["origin"] != "throughtime"}
    kinds = {"summed_tbptt": "rules", "alpha_synapse": "neurons", "recall": "datasets"}
    assert result == {name: (kind, str(PLUGINS[name])) for name, kind in kinds.items()}


# --- plan


def test_plan_says_what_will_run_and_what_cannot(capsys, tmp_path):
    rows = json.loads(printed(capsys, "plan", "quick", "--scale", "tiny", "--json"))
    assert len(rows) == len({row["id"] for row in rows}) == 46
    assert {row["recorded"] for row in rows} == {None}

    suite = tmp_path / "online.yaml"
    suite.write_text(
        "suite: online\nsummary: s\nrules: [rtrl, {name: eprop, rate_cost: 1.0}]\nneurons: [lif, lstm]\n"
        "datasets: [{name: digits, steps: 8}]\n"
        "networks: [{name: recurrent, hidden: [4]}]\nreplicates: 2\nscales: {tiny: {}, laptop: {}, paper: {}}\n"
        "exclude: [{rule: rtrl, neuron: [lif], reason: known}]\n"
    )
    rows = json.loads(printed(capsys, "plan", str(suite), "--scale", "tiny", "--json"))
    skipped = {row["label"]: row["unsupported"] for row in rows if row["unsupported"]}
    assert skipped.keys() == {"eprop lstm digits #0", "eprop lstm digits #1"}
    reason = "LSTM does not spike"
    assert all(why.startswith(reason) for why in skipped.values())

    lines = printed(capsys, "plan", str(suite), "--scale", "tiny").splitlines()
    assert lines[-1] == "6 runs: 4 will run, 2 will be skipped"
    assert lines[-3] == "left out: rtrl x lif: known"
    assert sum(f"skip: {reason}" in line for line in lines) == 1
    assert lines[-2].startswith("memory of the largest run: at least 20 KiB for ") and len(lines) == 1 + 3 + 3
    assert not Path("results").exists(), "a plan writes nothing"

    assert "left out" not in printed(capsys, "plan", str(suite), "--scale", "tiny", "--set", "exclude=[]")
    other = printed(capsys, "plan", str(suite), "--scale", "tiny", "--set", "exclude=[{rule: eprop, reason: slow}]")
    assert "left out: eprop: slow" in other and "rtrl x lif" not in other


# --- wrong use


@pytest.mark.parametrize("command", ["plan", "run"])
def test_unknown_suite(command, refused):
    assert refused(command, "quik") == 'no suite "quik"\n  did you mean "quick"?'


def test_a_suite_file_without_its_ending(refused):
    suite_file()
    assert refused("plan", "small") == 'no suite "small"\n  did you mean "small.yaml"?'


@pytest.mark.parametrize("command", ["plan", "run"])
def test_suite_file_that_is_not_there(command, refused):
    missing = "the file cannot be read: No such file or directory"
    assert refused(command, "none.yaml") == f"none.yaml: {missing}"
    suite_file()
    assert refused(command, "smal.yaml") == f'smal.yaml: {missing}\n  did you mean "small.yaml"?'


WRONG_SUITES = {
    "unknown key": (("replicates: 2", "replicate: 2"), ':7:1: unknown key "replicate"\n  did you mean "replicates"?'),
    "wrong type": (("epochs: 1", "epochs: many"), ':9:20: "epochs" should be a whole number, not "many"'),
    "repeated key": (("passes:", "rules:"), ':8:1: the key "rules" is repeated\n  it occurs first in line 3'),
    "negative steps": (
        ("steps: 12", "steps: -5"),
        ':6:34: adding: "steps" should be greater than or equal to 2, not -5',
    ),
    "unknown rule": (("[bptt]", "[bppt]"), ':3:9: no "bppt" among the rules\n  did you mean "bptt"?'),
    "nothing left": (
        ("replicates: 2", "exclude: [{rule: bptt}]"),
        ':7:10: every cell is excluded at the scale "tiny"',
    ),
    "empty": ((SUITE, ""), ":1:1: the file is empty"),
}


@pytest.mark.parametrize("change, said", WRONG_SUITES.values(), ids=WRONG_SUITES.keys())
def test_wrong_suite_is_told_with_its_place(change, said, refused):
    path = suite_file(change)
    assert refused("plan", path) == f"{path}{said}"


def test_plugin_that_raises_is_told_with_its_line(refused):
    path = Path("broken.py").resolve()
    path.write_text('import throughtime\n\nraise ValueError("one\\ntwo\\nthree")\n')
    assert refused("ls", "--plugin", path).startswith(f"{path}:3: the plugin raised ValueError on import: one")


def test_plugin_that_is_not_there(refused):
    assert refused("run", "quick", "--plugin", "nowhere.py") == f"{Path('nowhere.py').resolve()}: no such plugin file"


@pytest.mark.parametrize(
    "command", [["plan", "quick"], ["run", "quick"], ["table"], ["figure"], ["report"]], ids=lambda words: words[0]
)
def test_results_folder_that_is_a_file(command, refused):
    Path("taken").write_text("")
    said = refused(*command, "--results", "taken")
    assert said == "taken: the results folder is a file\n  --results needs a folder"


@pytest.mark.parametrize("command", ["figure", "report", "show"])
def test_output_folder_that_is_a_file(command, capsys):
    Path("taken").write_text("")
    assert main([command, "x", "--out", "taken"]) == 2
    assert "is a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, said",
    [
        (["a.nir", "--dt", "0"], "--dt: should be a time above 0, in seconds, not 0"),
        (["a.nir", "--dt", "nan"], "--dt: should be a time above 0, in seconds, not nan"),
        (["a.txt"], "a.txt: the output format is NIR\n  did you mean a.nir?"),
    ],
)
def test_wrong_export_of_a_network(words, said, refused):
    assert refused("export", "nir", "x", *words) == said


@pytest.mark.parametrize(
    "words, said",
    [
        (["slrum"], '--cluster: "slrum" is no cluster\n  tcp://HOST:PORT of a scheduler, local:N or slurm'),
        (["slurm", "--cluster-config", "no.yaml"], "no.yaml: the file cannot be read: No such file or directory"),
    ],
)
def test_a_wrong_cluster_is_refused_before_the_suite_is_read(words, said, refused):
    assert refused("run", "no-suite", "--cluster", *words) == said


def test_unknown_run(refused):
    said = refused("run", suite_file(), "--scale", "tiny", "--only", "bptt liff adding #0")
    assert said == 'no run "bptt liff adding #0" in small.yaml\n  did you mean "bptt lif adding #0"?'


def test_changes_of_a_suite_are_planned_and_wrong_ones_refused(capsys, refused):
    suite = suite_file()
    rows = json.loads(printed(capsys, "plan", suite, "--scale", "tiny", "--set", "replicates=3", "--json"))
    assert [row["label"] for row in rows] == [f"bptt lif adding #{i}" for i in range(3)]
    assert refused("plan", suite, "--set", "replicates=0") == (
        '--set replicates=0: "replicates" should be greater than 0, not 0'
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["table", "--json", "--format", "csv"], "--format: has no effect with --json"),
        (["verdicts", "--json", "--format", "markdown"], "--format: has no effect with --json"),
        (["verdicts", "--scale", "tiny"], "--scale: has no effect without --out"),
    ],
)
def test_an_option_without_an_effect_is_refused(words, said, refused):
    assert refused(*words) == said


def test_several_faults_of_a_suite_have_a_line_each(capsys):
    path = suite_file(("replicates: 2", "replicates: 0"), ("epochs: 1", "epochs: none"))
    assert main(["run", str(path)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f'error: {path}:7:13: "replicates" should be greater than 0, not 0',
        f'error: {path}:9:20: "epochs" should be a whole number, not "none"',
    ]


@pytest.mark.parametrize(
    "only, labels",
    [
        ([], {"fptt lif digits #0", "fptt lif digits #1", "bptt ltc adding #0"}),
        (["fptt *"], {"fptt lif digits #0", "fptt lif digits #1"}),
        (["* #0"], {"fptt lif digits #0", "bptt ltc adding #0"}),
        (["fptt lif digits", "bptt*"], {"fptt lif digits #0", "fptt lif digits #1", "bptt ltc adding #0"}),
        (["fptt lif digits #1"], {"fptt lif digits #1"}),
    ],
)
def test_runs_are_selected_by_names_and_patterns(only, labels):
    specs = [run_spec("fptt lif digits"), run_spec("fptt lif digits", 1), run_spec("bptt ltc adding")]
    planned = [Planned(spec, spec.id({}), {}, ["train"], None, None) for spec in specs]
    assert {p.spec.label for p in select(planned, only, "quick")} == labels
    assert [p.id for p in select(planned, [planned[1].id], "quick")] == [planned[1].id]
    with pytest.raises(UsageError, match='no run "fptt ltc \\*" in quick'):
        select(planned, [*only, "fptt ltc *"], "quick")


def test_unknown_dataset(refused):
    assert refused("data", "fetch", "smnits") == 'no "smnits" among the datasets\n  did you mean "smnist"?'


def test_truncated_data_file(refused):
    Path("mnist").mkdir()
    for name in MNIST:
        Path("mnist", name).write_bytes(gzip.compress(bytes(1000))[:-10])
    said = refused("data", "fetch", "smnist", "--source", "mnist")
    assert "train-images-idx3-ubyte.gz: truncated" in said


def test_source_that_is_not_there(refused, monkeypatch):
    monkeypatch.setattr(fetch, "downloader", lambda: pytest.fail("a wrong folder must not lead to a download"))
    assert refused("data", "fetch", "smnist", "--source", "nowhere") == "nowhere: no such folder"
    assert refused("run", suite_file(), "--scale", "tiny", "--source", "nowhere") == "nowhere: no such folder"


OFFLINE = """
import sys
import requests
from throughtime.commands.main import main
from throughtime.datasets.files import fetch

def refuse(url, output_file, pooch):
    raise requests.ConnectionError("a paragraph about a host that cannot be reached")

fetch.downloader = lambda: refuse
sys.exit(main(["data", "fetch", "smnist"]))
"""


def test_missing_data_file_offline():
    ended = python("-c", OFFLINE)  # a process of its own, for what the downloading library writes to stderr
    assert ended.returncode == 2
    first, second = told(ended.stderr).splitlines()
    assert first == "smnist: train-images-idx3-ubyte.gz is not here, and cannot be downloaded (no connection)"
    assert "--source DIR" in second and "throughtime data fetch smnist" in second


@pytest.mark.parametrize("command", ["table", "figure", "report"])
def test_nothing_was_run(command, refused):
    said = refused(command, "--results", "runs")
    assert said == "nothing was run in runs\n  run `throughtime run quick` first, or give --results"
    assert not list(Path().iterdir())


@pytest.mark.parametrize("command", ["table", "figure", "report"])
def test_suite_without_records(command, refused):
    grid_store(Path("runs"))
    said = refused(command, "quikc", "--results", "runs")
    assert said == 'no record of a suite "quikc" in runs\n  did you mean "quick"?'


def test_unknown_measure(refused):
    grid_store(Path("runs"))
    first, second = refused("table", "quick", "--measure", "acuracy", "--results", "runs").splitlines()
    assert '"acuracy"' in first
    assert second == '  did you mean "accuracy"?'


# --- faults outside the package


FULL_DISK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))  # no file may grow beyond 64 bytes
from throughtime.commands.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_disk_that_takes_no_more_is_one_line_and_spares_what_is_finished():
    words = ["run", str(suite_file()), "--scale", "tiny", "--results", "runs", "--jobs", "1"]
    assert main([*words, "--only", "bptt lif adding #0"]) == 0
    ((record, folder),) = Store("runs").records()
    before = (folder / "record.json").read_bytes()

    full = python("-B", "-c", FULL_DISK, *words)  # compiled modules would be cut, too, for all later processes
    assert full.returncode == 1 and "Traceback" not in full.stderr
    *progress, said = full.stderr.splitlines()
    assert said.startswith("error: ") and "File too large" in said
    assert not [line for line in progress if line.startswith("error: ")]
    assert "runs/small/" in said, "which file could not be written"

    assert [stored.record.id for stored in Store("runs").records()] == [record.id]
    assert (folder / "record.json").read_bytes() == before
    assert main(words) == 0
    assert [stored.record.status for stored in Store("runs").records()] == ["ok", "ok"]


def test_records_that_cannot_be_read_are_named_beside_the_table(tmp_path, capsys):
    grid_store(tmp_path / "runs")
    path = sorted((tmp_path / "runs").glob("quick/*/record.json"))[0]
    path.write_text("[" * 100_000)
    assert main(["table", "quick", "--results", str(tmp_path / "runs")]) == 0
    printed = capsys.readouterr()
    assert "Suite quick, scale laptop: " in printed.out
    assert printed.err == f"broken: {path}: nested too deeply\n"
