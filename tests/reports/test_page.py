"""The report: a self-contained page that lists missing runs and escapes all text."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from tests.synthetic_records import DIVERGED, HOSTILE, NO_PEAK, SKIPPED, grid_store, put, results, run_spec
from throughtime.errors import UsageError
from throughtime.records.record import Failure
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.page import inline, merged, tail
from throughtime.reports.report import write_report

VOID = {"meta", "link", "br", "path", "use", "rect"}


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
def written(tmp_path_factory):
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
    return write_report(Results.load(folder), folder / "out")


@pytest.fixture(scope="module")
def html(written):
    return written.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_well_formed_and_every_id_once(page):
    ids = page.values("id")
    assert len(ids) == len(set(ids)) > 30


def test_nothing_is_fetched_from_elsewhere(page, html):
    for address in [*page.values("href"), *page.values("src"), *page.values("xlink:href")]:
        assert address.startswith(("#", "data:"))
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)", html)


def test_every_link_has_its_anchor(page):
    wanted = {address[1:] for address in page.values("href") if address.startswith("#")}
    assert wanted - set(page.values("id")) == set()
    assert sum(address.startswith("#cell-") for address in page.values("href")) > 100


def test_hostile_text_stays_text(page, html):
    assert {tag for tag, _ in page.tags}.isdisjoint({"img", "b", "i", "iframe", "object"})
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert "{{ 7 * 7 }}" in "".join(page.text) and "\x1b" not in html and "\x00" not in html


def test_what_is_missing_says_why(page):
    text = "".join(page.text)
    for reason in (
        SKIPPED,
        DIVERGED,
        NO_PEAK,
        "measured once a cell, on its first replicate",
        "no record of this cell",
    ):
        assert reason in text
    assert "broken/record.json" in text and "1 file could not be read" in text


def test_a_run_shows_its_command_seed_phases_and_the_end_of_its_log(page):
    text = "".join(page.text)
    assert "throughtime run quick --scale laptop --only 'bptt lif digits #0' --rerun all" in text
    assert "learn 50.0 s" in text and "7, replicate 0, 1 thread" in text
    assert "the last 200 lines" in text and text.count("a line of the log") == 200
    assert "exit code -9" in text and "there is no log" in text


def test_the_table_can_be_sorted(page, html):
    table = next(attrs for tag, attrs in page.tags if tag == "table" and attrs.get("class") == "sortable")
    assert table
    sortable = html[html.index('<table class="sortable">') :]
    first_row = sortable[sortable.index("<tbody>") : sortable.index("</tr>", sortable.index("<tbody>"))]
    assert sortable[: sortable.index("</thead>")].count("<th ") == first_row.count("<td"), "a heading a column"
    assert "wall time (ms a sequence)" in sortable and "peak of live tensors (MiB)" in sortable
    assert "aria-sort" in html and "addEventListener" in html
    numbers = [attrs["data-sort"] for tag, attrs in page.tags if tag == "td" and "data-sort" in attrs]
    assert "0.0625" in numbers and "" in numbers


def test_the_page_carries_its_numbers(page, written):
    data = next(
        attrs["href"] for tag, attrs in page.tags if tag == "a" and attrs.get("download") == "memory-against-steps.csv"
    )
    carried = base64.b64decode(data.partition("base64,")[2])
    assert carried == (written.parent / "figures" / "memory-against-steps.csv").read_bytes()


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
    text = "".join(Page(write_report(Results.load(store.folder), tmp_path / "out").read_text(encoding="utf-8")).text)
    assert "1 older run left out: repeated since, or of other code, settings or versions." in text
    assert "f1 75.00 %" in text and "f1 (%)" in text and "25.00 %" not in text


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
    assert note == f"the last 3 lines of {2**32 + 24:,} byte"


def test_machines_and_versions_are_merged():
    runs = [{"processor": "a", "rate": 1.5, "gpu": None}, {"processor": "b", "rate": 2.5, "gpu": None}]
    assert merged(runs) == [("processor", "a; b"), ("rate", "1.5 to 2.5"), ("gpu", "null")]


def test_ids_of_inlined_figures_are_their_own():
    svg = '<?xml?><!-- x --><svg><metadata>d</metadata><g id="a"/><use xlink:href="#a"/><g clip-path="url(#b)"/></svg>'
    assert inline(svg, "f1") == '<svg><g id="f1-a"/><use xlink:href="#f1-a"/><g clip-path="url(#f1-b)"/></svg>'


def test_a_report_needs_no_torch(tmp_path):
    grid_store(tmp_path / "runs")
    code = (
        "import sys; from pathlib import Path; from throughtime.records.results import Results;"
        "import throughtime.reports.tables, throughtime.reports.figures;"
        "assert 'matplotlib' not in sys.modules;"
        "from throughtime.reports.report import write_report;"
        "write_report(Results.load('runs', ['memory']), Path('out'));"
        "assert 'torch' not in sys.modules and 'matplotlib' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_each_record_is_read_once_for_the_whole_report(tmp_path, monkeypatch):
    store = grid_store(tmp_path / "runs")
    reads: Counter[Path] = Counter()

    def counted(path, *arguments, **options):
        reads[path] += path.name == "record.json"
        return opened(path, *arguments, **options)

    def read_bytes(path):
        with path.open("rb") as file:
            return file.read()

    opened = Path.open
    monkeypatch.setattr(Path, "open", counted)
    monkeypatch.setattr(Path, "read_bytes", read_bytes)  # in some versions of Python it opens by another way
    write_report(Results.load(store.folder), tmp_path / "out")
    assert {path: n for path, n in reads.items() if path.name == "record.json"} == dict.fromkeys(
        store.folder.glob("*/*/record.json"), 1
    )
