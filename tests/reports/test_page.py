"""The report: a self-contained page that lists missing runs and escapes all text."""

from __future__ import annotations

import base64
import gzip
import json
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from tests.synthetic_records import DIVERGED, HOSTILE, NO_PEAK, SKIPPED, grid_store, peaks, put, results, run_spec
from throughtime.errors import UsageError
from throughtime.records.record import Failure
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.page.matrix import matrix_of
from throughtime.reports.page.render import PageFigure, render
from throughtime.reports.page.report import write_report
from throughtime.reports.page.runs import merged, tail
from throughtime.reports.papers.paper import load_paper

VOID = {"meta", "link", "br", "img"}


class Page(HTMLParser):
    """Elements, ids and addresses; fails on a tag that is closed and was not opened."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] for _, attrs in self.tags if attrs.get(attribute)]


@pytest.fixture(scope="module")
def reads() -> Counter[Path]:
    """How often each record was opened for the report."""
    return Counter()


@pytest.fixture(scope="module")
def written(tmp_path_factory, reads):
    """The report of the grid with one hostile run and one broken record."""
    folder = tmp_path_factory.mktemp("results")
    store = grid_store(folder)
    hostile = run_spec((HOSTILE, '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}"))
    put(
        store,
        hostile,
        "error",
        log=f"\x1b[31m{HOSTILE}\x00\n" + "a line of the log\n" * 250,
        failure=Failure(reason=HOSTILE, where="epoch 1", exit_code=-9, log_tail=[HOSTILE]),
        curve=[0.1, 0.2],
        command="throughtime run '<b>'",
        machine={"processor": "<b>other</b>", "cores": 4},
    )
    broken = store.run_folder("quick", "broken")
    broken.mkdir()
    (broken / "record.json").write_text('{"schema": 1, "id": "<b>')

    def counted(path, *arguments, **options):
        reads.update([path] if path.name == "record.json" else ())
        return opened(path, *arguments, **options)

    def read_bytes(path):
        with path.open("rb") as file:
            return file.read()

    opened = Path.open
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", counted)
        patch.setattr(Path, "read_bytes", read_bytes)  # in some versions of Python it opens by another way
        return write_report(Results.load(folder), folder / "out")


@pytest.fixture(scope="module")
def html(written):
    return written.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def unpacked(html: str, name: str = "data") -> dict:
    """The data of the script, or the files for download."""
    packed = re.search(rf'id="{name}">([^<]*)</script>', html)
    return json.loads(gzip.decompress(base64.b64decode(packed.group(1))))


@pytest.fixture(scope="module")
def data(html):
    return unpacked(html)


def test_well_formed_and_every_id_once(page):
    ids = page.values("id")
    assert len(ids) == len(set(ids)) > 30


def test_nothing_is_fetched_from_elsewhere(page, html):
    for address in [*page.values("href"), *page.values("src"), *page.values("xlink:href")]:
        assert address.startswith(("#", "data:", "tables/", "figures/"))
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)", html)


def test_every_link_has_its_anchor(page, data):
    wanted = {address[1:] for address in page.values("href") if address.startswith("#")}
    cells = {name.removeprefix("run=") for name in wanted if name.startswith("run=")}
    assert {name for name in wanted if "=" not in name} - set(page.values("id")) == set()
    assert cells - {row["id"] for row in data["table"]["rows"]} == set() and len(cells) > 20


def test_hostile_text_stays_text(page, html, data):
    assert {tag for tag, _ in page.tags}.isdisjoint({"b", "i", "iframe", "object"})
    assert {attrs["class"] for tag, attrs in page.tags if tag == "img"} == {"static"}
    assert sum(tag == "script" for tag, _ in page.tags) == 4
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert "{{ 7 * 7 }}" in "".join(page.text) and "\x1b" not in html and "\x00" not in html
    assert "\x1b" not in json.dumps(data, ensure_ascii=False)


def test_what_is_missing_says_why(page, data):
    text = "".join(page.text) + json.dumps(data, ensure_ascii=False)
    for reason in (
        SKIPPED,
        DIVERGED,
        NO_PEAK,
        "measured once a cell, on its first replicate",
        "no record of this cell",
    ):
        assert reason in text
    assert "broken/record.json" in text and "1 file could not be read" in text


def test_a_run_shows_its_command_seed_phases_curve_folder_and_the_end_of_its_log(data, written):
    (run,) = (run for run in data["runs"] if "'bptt lif digits #0'" in run["command"])
    assert run["command"] == "throughtime run quick --scale laptop --only 'bptt lif digits #0' --rerun all"
    facts = dict(run["facts"])
    assert "learn 50.0 s" in facts["phases of training"] and facts["seed"] == "7, replicate 0, 1 thread"
    assert (written.parent / run["link"] / "record.json").is_file(), "the link is relative to the page"
    assert run["curve"]["epoch"] == [1, 2, 3, 4] and run["curve"]["validation"][-1] == pytest.approx(0.89)
    (hostile,) = (run for run in data["runs"] if run["reason"] == HOSTILE)
    assert "the last 200 lines" in hostile["log_note"] and hostile["log"].count("a line of the log") == 200
    assert dict(hostile["facts"])["exit code"] == "-9"
    assert any(run["log_note"] == "there is no log" for run in data["runs"])


def test_a_link_to_a_folder_is_quoted_and_a_picture_keeps_its_colours(tmp_path):
    store = Store(tmp_path / "50 % #1")
    put(store, run_spec("bptt lif digits"), measures=results("accuracy", 0.5, 0.1))
    html = render(Results.load(store.folder), [], [PageFigure("map", "Map", [], b"x", pictures=True)], tmp_path)
    assert unpacked(html)["runs"][0]["link"].startswith("50%20%25%20%231/quick/")
    assert 'class="static coloured"' in html and unpacked(html)["figures"] == {}


def test_a_row_has_its_numbers_its_best_rules_and_the_runs_behind_them(data):
    rows = {tuple(row["labels"][kind] for kind in ("dataset", "neuron", "rule")): row for row in data["table"]["rows"]}
    row = rows["digits", "lif", "bptt"]
    assert row["values"]["metric"] == ["90.0 (89.0, 90.0, 91.0)", 90.0, True, ""]
    assert row["values"]["wall_time"][:3] == ["4.00", 4.0, False]
    assert (row["labels"]["measured"], row["labels"]["status"]) == ("accuracy (%) ↑", "3 ok") and not row["failed"]
    assert [data["runs"][i]["command"].count("bptt lif digits") for i in row["runs"]] == [1, 1, 1]
    assert rows["adding", "lif", "bptt"]["labels"]["measured"] == "mse ↓"
    missing = rows["digits", "lif", "tbptt"]["values"]["peak_process_bytes"]
    assert missing[1] is None and NO_PEAK in missing[3]
    titles = {column["id"]: column["title"] for column in data["table"]["columns"]}
    assert titles["wall_time"] == "time (ms a sequence) ↓" and titles["metric"] == "result"
    shown = [column["id"] for column in data["table"]["columns"] if column["shown"]]
    assert shown == [
        "rule",
        "metric",
        "dataset",
        "neuron",
        "measured",
        "peak_process_bytes",
        "wall_time",
        "suite",
        "status",
    ]
    assert [column["id"] for column in data["table"]["columns"]][: len(shown)] == shown and "loss" in titles


def test_the_matrix_comes_first(page, html):
    assert html.index('class="matrix"') < html.index('id="table"') < html.index('id="suite-')
    text = "".join("".join(page.text).split())
    assert "Rulesonthetasksofquick,scalelaptop,relativetoBPTT" in text


def test_the_matrix_is_relative_to_bptt(grid):
    """digits, lif: 90, 87 and 81 % with the offsets of the same replicates; a quarter of them is that of chance."""
    matrix = matrix_of(grid.matching(neuron=["lif"], rule=["bptt", "tbptt", "eprop"]), "quick", "laptop")
    assert matrix.datasets == [("adding", "mse", ["lif"]), ("digits", "accuracy (%)", ["lif"])]
    assert [row.rule for row in matrix.rows] == ["bptt", "tbptt", "eprop"]
    digits = [row.cells[1] for row in matrix.rows]
    assert [cell.text for cell in digits] == ["90.0", "−3.0", "−9.0"] and [cell.short for cell in digits] == [
        "90",
        "−3",
        "−9",
    ]
    assert {cell.sign for cell in digits[1:]} == {"?"}, "three differences that are all equal decide nothing"
    assert [cell.shade for cell in digits] == [0, 0, 0] and "difference to BPTT −9.0" in digits[2].title
    assert [row.costs[0][0] for row in matrix.rows] == ["1×", "0.5×", "0.25×"] and matrix.costs == ["time"]
    assert "n = 3" in matrix.legend and "≈" not in matrix.legend
    assert "over the tasks: time." in matrix.legend, "memory is not there"


def test_memory_in_the_matrix_is_that_with_the_input_streamed_as_in_the_docs(store):
    """And a difference below half a point is 0 in a narrow window, without a sign."""
    for rule, value, bytes_ in (("bptt", 0.5, peaks(900, 800, 100)), ("tbptt", 0.4964, peaks(300, 200, 100))):
        put(store, run_spec(f"{rule} lif digits"), measures={**results("accuracy", value, 0.1), **bytes_})
    matrix = matrix_of(Results(store.folder), "quick", "laptop")
    assert matrix.costs == ["memory"] and [row.costs[0][0] for row in matrix.rows] == ["1×", "0.25×"]
    assert (matrix.rows[1].cells[0].text, matrix.rows[1].cells[0].short) == ("−0.4", "0")


def test_the_shade_is_the_way_from_bptt_to_chance(store):
    """Chance 0.1 and BPTT 0.5: 0.3 is half of the way back, 0.05 beyond chance, and 0.54 a little better."""
    values = {"bptt": 0.5, "half": 0.3, "worse": 0.05, "better": 0.54}
    for rule, value in values.items():
        put(store, run_spec(f"{rule} lif digits"), measures=results("accuracy", value, 0.1))
    matrix = matrix_of(Results(store.folder), "quick", "laptop")
    assert {row.rule: row.cells[0].shade for row in matrix.rows} == {"bptt": 0, "better": 0, "half": -2, "worse": -4}
    assert [row.rule for row in matrix.rows] == ["bptt", "better", "half", "worse"]


def test_verdicts_on_a_paper_stand_in_the_summary_when_its_suite_was_run(tmp_path, page):
    paper = load_paper("fptt")  # its targets need no files
    store = Store(tmp_path / "runs")
    put(store, run_spec("bptt lif adding", suite=paper.suites[0]), measures=results("mse", 0.1, 0.167), metric="mse")
    html = render(Results.load(store.folder), [], [], tmp_path)
    text = "".join(Page(html).text)
    assert f"Verdicts: {paper.file.title}" in text and "not run here" in text
    assert html.index("Verdicts: ") < html.index('id="table"')
    assert "Verdicts: " not in "".join(page.text)


def test_suites_stand_in_the_order_of_their_first_run(tmp_path):
    store = Store(tmp_path / "runs")
    for suite, day in (("early", 3), ("a_later", 5), ("middle", 4)):
        spec = run_spec("bptt lif digits", suite=suite)
        put(store, spec, measures=results("accuracy", 0.5, 0.1), started=f"2026-01-0{day}T00:00:00+00:00")
    html = write_report(Results.load(store.folder), tmp_path / "out").read_text(encoding="utf-8")
    ids = [name for name in Page(html).values("id") if name.startswith("suite-") and not name.endswith("-title")]
    assert ids == ["suite-early-laptop", "suite-middle-laptop", "suite-a_later-laptop"]
    assert [row["labels"]["suite"] for row in unpacked(html)["table"]["rows"]] == ["early", "middle", "a_later"]


def test_figures_are_described_for_plotly(data):
    curves = data["figures"]["quick-laptop-curves"]
    panel = next(panel for panel in curves["panels"] if panel["title"] == "digits · lif")
    mean = next(trace for trace in panel["traces"] if trace["name"] == "bptt")
    # Half, 0.8, 0.95 and all of the way from chance, 10 %, to 90 %.
    assert mean["x"] == [1, 2, 3, 4] and mean["y"] == pytest.approx([50, 74, 86, 90])
    assert panel["choices"]["seconds of training"]["bptt"] == {"1": 15, "2": 30, "3": 45, "4": 60}
    assert [level["at"] for level in panel["levels"]] == [10] and panel["y"]["label"] == "validation accuracy (%)"
    memory = data["figures"]["memory-against-steps"]
    names = {trace["name"] for panel in memory["panels"] for trace in panel["traces"]}
    assert names == {"bptt", "fptt"} and memory["panels"][0]["x"]["label"].startswith("T, time steps")
    first, second = data["figures"]["quick-laptop-tradeoff"]["panels"][:2]
    assert [*first["choices"]] == ["wall time (ms a sequence)", "training time (s)"] and second["choices"] == {}
    seconds = first["choices"]["wall time (ms a sequence)"]
    points = [trace for trace in first["traces"] if "symbol" in trace]
    assert len({trace["id"] for trace in points}) == len(points) and {trace["id"] for trace in points} <= {*seconds}
    # 4 ms over 1 for bptt, 2 for tbptt, 3 for fptt and 4 for eprop, in milliseconds
    times = {trace["name"]: seconds[trace["id"]] for trace in points}
    assert times == pytest.approx({"bptt": 4, "tbptt": 2, "fptt": 4 / 3, "eprop": 1})
    symbols = data["figures"]["quick-laptop-tradeoff"]["symbols"]
    assert symbols["circle"] == "lif"


def test_the_page_carries_the_files_that_it_links(page, html, written):
    links = {attrs["href"] for tag, attrs in page.tags if tag == "a" and "data-file" in attrs}
    assert {"figures/memory-against-steps.csv", "tables/quick-laptop-metric.tex"} < links
    assert unpacked(html, "files") == {path: (written.parent / path).read_text("utf-8") for path in links}


def test_files_beside_the_page(written):
    names = {path.relative_to(written.parent).as_posix() for path in written.parent.rglob("*") if path.is_file()}
    figures = ("quick-laptop-curves", "quick-laptop-tradeoff", "memory-against-steps")
    tables = ("quick-laptop-metric", "quick-laptop-best-validation", "quick-laptop-cost", "memory-laptop-cost")
    wanted = {f"figures/{name}.{ending}" for name in figures for ending in ("pdf", "svg", "png", "csv")}
    wanted |= {f"tables/{name}.{ending}" for name in tables for ending in ("txt", "md", "tex", "csv")}
    assert wanted | {"report.html"} <= names
    assert not any(name.startswith("tables/memory-laptop-metric") for name in names), "it would have no row"
    assert not any(name.endswith(".tmp") for name in names)
    for name in names:
        if name.endswith(".csv"):
            pd.read_csv(written.parent / name)


def test_a_figure_that_cannot_be_drawn_is_told_of(tmp_path):
    store = Store(tmp_path / "runs")
    put(store, run_spec("bptt lif digits"), measures=results("accuracy", 0.5, 0.1))
    text = write_report(Results.load(store.folder), tmp_path / "out").read_text(encoding="utf-8")
    for reason in ("no run left a learning curve", "no cell has both", "measured at two lengths"):
        assert reason in text


def test_runs_left_out_and_a_metric_of_another_name_are_told_of(tmp_path):
    store = Store(tmp_path / "runs")
    for replicate in range(2):
        code, started = {"rule": f"digest {replicate}"}, f"2026-01-0{1 + replicate}T00:00:00+00:00"
        measures = results("f1", 0.25 + 0.5 * replicate, 0.1, "fraction")
        spec = run_spec("bptt lif digits", replicate)
        put(store, spec, measures=measures, metric="f1", code=code, started=started)
    html = write_report(Results.load(store.folder), tmp_path / "out").read_text(encoding="utf-8")
    text = "".join(Page(html).text) + json.dumps(unpacked(html))
    assert "1 older run left out: repeated since, or of other code, settings or versions." in text
    assert '"75.0", 75.0' in text and "f1 (%)" in text and '"25.0"' not in text


def test_one_suite_of_several(tmp_path):
    store = grid_store(tmp_path / "runs")
    text = write_report(Results.load(store.folder, ["memory"]), tmp_path / "out").read_text(encoding="utf-8")
    assert "adding-200" in text and "digits" not in text
    with pytest.raises(UsageError, match="memry") as error:
        Results.load(store.folder, ["memry"])
    assert 'did you mean "memory"?' in str(error.value)


def test_an_empty_store_is_wrong_use(tmp_path):
    with pytest.raises(UsageError, match="nothing was run in") as error:
        write_report(Results.load(tmp_path / "none"), tmp_path / "out")
    assert "throughtime run quick" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_store_of_broken_records_says_so(tmp_path):
    (tmp_path / "quick" / "x").mkdir(parents=True)
    (tmp_path / "quick" / "x" / "record.json").write_text("[]")
    with pytest.raises(UsageError, match="1 file there is no record"):
        write_report(Results.load(tmp_path), tmp_path / "out")


def test_a_huge_log_is_read_from_its_end(tmp_path):
    log = tmp_path / "log"
    with log.open("wb") as file:
        file.seek(2**32)
        file.write(b"\n10 %\r20 %\r\nlast \xff line\n")
    text, note = tail(log, lines=3)
    assert text.splitlines() == ["10 %", "20 %", "last \ufffd line"]
    assert tail(log, lines=9)[0].splitlines()[0] == "10 %", "a line that begins in the middle is left out"
    assert note == f"the last 3 lines of {2**32 + 24:,} byte"


def test_machines_and_versions_are_merged():
    runs = [{"processor": "a", "rate": 1.5, "gpu": None}, {"processor": "b", "rate": 2.5, "gpu": None}]
    assert merged(runs) == [("processor", "a; b"), ("rate", "1.5 to 2.5"), ("gpu", "null")]


def test_a_report_needs_no_torch(tmp_path):
    grid_store(tmp_path / "runs")
    code = (
        "import sys; from pathlib import Path; from throughtime.records.results import Results;"
        "import throughtime.reports.tables, throughtime.reports.figures;"
        "assert 'matplotlib' not in sys.modules;"
        "from throughtime.reports.page.report import write_report;"
        "write_report(Results.load('runs', ['memory']), Path('out'));"
        "assert 'torch' not in sys.modules and 'matplotlib' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_each_record_is_read_once_for_the_whole_report(written, reads):
    records = written.parent.parent.glob("*/*/record.json")
    assert reads == dict.fromkeys(records, 1)


def test_a_report_of_many_runs_draws_no_figures_and_names_the_command_that_does(tmp_path, monkeypatch):
    """Beyond `MOST_RUNS` runs a report has no figures, and its page neither long tables nor files for download."""
    store = grid_store(tmp_path / "runs")
    loaded = Results.load(store.folder)
    monkeypatch.setattr("throughtime.reports.page.report.MOST_RUNS", len(loaded.runs))
    assert "download data-file>csv" in write_report(loaded, tmp_path / "few").read_text()
    assert list((tmp_path / "few" / "figures").glob("*.png"))
    monkeypatch.setattr("throughtime.reports.page.report.MOST_RUNS", len(loaded.runs) - 1)
    monkeypatch.setattr("throughtime.reports.page.report.MOST_LINES", 2)
    page = write_report(loaded, tmp_path / "many").read_text()
    assert not (tmp_path / "many" / "figures").exists()
    for suite in loaded.suites():
        assert f"throughtime figure {suite} --results {store.folder}" in page
    assert "data-file>" not in page and "download>csv" in page
    lines = {path.stem: len(path.read_text().splitlines()) for path in (tmp_path / "many" / "tables").glob("*.md")}
    shown = {name for name in lines if f'id="table-{name}"' in page}
    assert shown and shown < set(lines), "long tables are beside the page alone"
