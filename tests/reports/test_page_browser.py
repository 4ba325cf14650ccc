"""The page in a browser: no request, no error, filters, order, columns, links, figures, runs, print, accessibility."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.synthetic_records import costs, grid_store, measure, put, results, run_spec
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.page.render import render
from throughtime.reports.page.report import write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("there is no Chromium on this machine", allow_module_level=True)
HOSTILE = "<img src=x onerror=alert(1)>"
READY = "html[data-ready]"


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """The report of the grid, with one cell whose labels are markup."""
    folder = tmp_path_factory.mktemp("results")
    store = grid_store(folder)
    hostile = run_spec((HOSTILE, "lif", "digits"))
    put(store, hostile, measures={**results("accuracy", 0.2, 0.1), **costs(0.1, 2.0**20)}, curve=[0.1, 0.2])
    return write_report(Results.load(folder), folder / "out")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, report) -> Iterator[Any]:
    """Open the report at a state of its address; at the end nothing was requested and nothing went wrong."""
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    wrong: list[str] = []

    def open_page(state: str = "", **media: str) -> Any:
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: None if local(request.url) else wrong.append(request.url))
        page.emulate_media(**media)
        page.goto(report.as_uri() + state)
        page.wait_for_selector(READY)
        return page

    def local(url: str) -> bool:
        return url.startswith(("data:", "blob:")) or url.partition("#")[0] == report.as_uri()

    yield open_page
    context.close()
    assert wrong == []


def column(page: Any, title: str) -> list[str]:
    """The texts of a column of the table."""
    titles = page.locator("#results thead th button").all_inner_texts()
    return page.locator(f"#results tbody td:nth-child({titles.index(title) + 2})").all_inner_texts()


def test_filters_take_text_and_ranges_and_stand_in_the_address(opened):
    page = opened()
    assert page.inner_text("#count") == "30 of 30 cells"
    page.get_by_label("Filter rule", exact=True).fill("fptt")
    page.get_by_label("Filter dataset", exact=True).fill("digits")
    assert set(column(page, "rule")) == {"fptt"} and set(column(page, "dataset")) == {"digits"}
    page.get_by_label("Filter result", exact=True).fill("84..90")
    assert column(page, "neuron") == ["ltc", "lstm"]
    again = opened(page.url[page.url.index("#") :])
    assert column(again, "neuron") == ["ltc", "lstm"]
    assert again.get_by_label("Filter result", exact=True).input_value() == "84..90"
    page.click("#reset")
    assert page.inner_text("#count") == "30 of 30 cells" and "#" not in page.url


def test_a_click_on_a_heading_sorts_and_missing_values_stay_last(opened):
    page = opened("#table&dataset=digits&neuron=lif")
    heading = page.get_by_role("button", name="peak memory (MiB) ↓")
    heading.click()
    assert column(page, "peak memory (MiB) ↓") == ["1.00", "5.00", "10.0", "40.0", "—"]
    heading.click()
    assert column(page, "peak memory (MiB) ↓") == ["40.0", "10.0", "5.00", "1.00", "—"]
    assert page.locator("#results th[aria-sort=descending]").count() == 1
    assert "sort=-peak_process_bytes" in page.url
    assert column(opened(page.url[page.url.index("#") :]), "rule")[0] == "bptt"


def test_columns_can_be_picked_and_the_heading_stays_in_view(opened):
    page = opened()
    page.click("#columns summary")
    page.get_by_label("training loss").check()
    page.get_by_label("time (ms a sequence) ↓", exact=True).uncheck()
    titles = page.locator("#results thead th button").all_inner_texts()
    assert "training loss" in titles and not any("time" in title for title in titles)
    page.evaluate("document.querySelector('.tall').scrollTop = 400")
    places = "(at) => document.querySelector(at).getBoundingClientRect().top"
    assert page.evaluate(places, "#results thead th") == pytest.approx(page.evaluate(places, ".tall"), abs=2)


def test_the_best_is_bold(opened):
    page = opened("#table&dataset=digits&neuron=lif&sort=-metric")
    assert page.locator("#results tbody tr:first-child td strong").first.inner_text() == "90.0 (89.0, 90.0, 91.0)"
    assert page.locator("#results tbody tr:last-child td strong").count() == 0 or HOSTILE in page.inner_text("#results")


def test_a_click_on_a_rule_shows_its_runs_and_a_link_opens_them(opened):
    page = opened("#table&dataset=digits&neuron=lif&rule=bptt")
    page.locator("#results tbody button", has_text="bptt").first.click()
    dialog = page.locator("#cell")
    assert "throughtime run quick --scale laptop --only 'bptt lif digits #0' --rerun all" in dialog.inner_text()
    assert dialog.locator("a").first.get_attribute("href").startswith("../quick/")
    dialog.locator(".plot .scatterlayer .trace").first.wait_for()
    assert dialog.locator(".scatterlayer .trace").count() == 3, "a curve for each replicate"
    again = opened(page.url[page.url.index("#") :])
    assert again.locator("#cell h2").inner_text() == dialog.locator("h2").inner_text() == "bptt · lif · digits"
    dialog.get_by_role("button", name="Close").click()
    page.wait_for_function("!location.hash.includes('run=') && location.hash.includes('rule=bptt')")


def test_curves_of_two_cells_are_laid_over_each_other(opened):
    page = opened("#table&dataset=digits&neuron=lif")
    assert page.locator("#compare").is_disabled()
    for rule in ("bptt", "tbptt"):
        page.get_by_label(f"Curves of {rule}, lif, digits").check()
    again = opened(page.url[page.url.index("#") :])
    again.locator("#compare").click()
    plot = again.locator("#cell .plot")
    plot.locator(".scatterlayer .trace").first.wait_for()
    names = again.evaluate("document.querySelector('#cell .plot').data.map((trace) => trace.name)")
    assert names == ["bptt · lif · digits"] * 3 + ["tbptt · lif · digits"] * 3
    assert len(set(again.evaluate("document.querySelector('#cell .plot').data.map((trace) => trace.line.color)"))) == 2


@pytest.mark.parametrize("width", [1400, 900, 390])
def test_the_first_screen_holds_the_matrix_and_nothing_is_cut(browser, report, width):
    page = browser.new_context(viewport={"width": width, "height": 900}).new_page()
    page.goto(report.as_uri())
    page.wait_for_selector(READY)
    box = page.locator(".matrix").first.bounding_box()
    assert box["y"] + box["height"] < 900 and box["x"] + box["width"] <= width
    page.locator(".matrix td a").first.click()
    page.locator("#cell .scatterlayer .trace").first.wait_for()
    assert page.locator("#cell h2").inner_text() == "bptt · lif · adding"
    page.context.close()


def drawn(page: Any, name: str) -> Any:
    figure = page.locator(f"#figure-{name}")
    figure.scroll_into_view_if_needed()
    figure.locator(".scatterlayer .trace").first.wait_for()
    return figure


def test_a_figure_has_hover_hidden_series_log_axes_and_a_choice_of_x(opened):
    page = opened()
    figure = drawn(page, "quick-laptop-curves")
    assert not figure.locator("img.static").is_visible()
    point = figure.locator(".points path").first.bounding_box()
    page.mouse.move(point["x"] - 30, point["y"] - 30)
    page.mouse.move(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2, steps=5)
    page.wait_for_selector(".hoverlayer .hovertext")
    plot = "document.querySelector('#figure-quick-laptop-curves .plot')"
    figure.get_by_label("Horizontal: ").select_option("seconds of training")
    page.wait_for_function(f"{plot}.layout.xaxis.title.text === 'seconds of training'")
    assert page.evaluate(f"{plot}.data.find((trace) => trace.name === 'bptt').x") == [15, 30, 45, 60]
    costs = drawn(page, "quick-laptop-tradeoff")
    cost = "document.querySelector('#figure-quick-laptop-tradeoff .plot')"
    other = page.evaluate(f"{cost}.layout.xaxis2.title.text")
    time = costs.get_by_label("Horizontal: ").locator("option").nth(1).text_content()
    costs.get_by_label("Horizontal: ").select_option(time)
    page.wait_for_function(f"{cost}.layout.xaxis.title.text === '{time}'")
    bptt_hover = (
        f"{cost}.data.find((trace) => trace.name === 'bptt' && trace.xaxis === 'x' && trace.mode === 'lines+markers')"
    )
    assert page.evaluate(f"{bptt_hover}.x") == [4] and page.evaluate(f"{cost}.layout.xaxis2.title.text") == other
    figure.get_by_label("log y axis").check()
    page.wait_for_function(f"{plot}.layout.yaxis.type === 'log'")
    assert HOSTILE in figure.locator(".legend").text_content(), "a label is text"
    figure.locator(".legendtoggle").first.click()
    page.wait_for_function(f"{plot}.data.some((trace) => trace.visible === 'legendonly')")


def test_a_box_sets_the_scale_of_every_panel_and_of_its_label(opened):
    page = opened()
    figure = drawn(page, "quick-laptop-tradeoff")
    box = figure.get_by_label("log x axis")
    layout = "document.querySelector('#figure-quick-laptop-tradeoff .plot').layout"
    axes = f"Object.keys({layout}).filter((name) => name.startsWith('xaxis')).map((name) => {layout}[name])"
    scales = f"[...new Set({axes}.map((axis) => axis.type))]"
    assert page.evaluate(f"{scales}.length") == 2 and box.evaluate("(box) => box.indeterminate")
    for scale, other in (("linear", "log"), ("log", "linear")):
        box.click()
        page.wait_for_function(f"{scales}.join() === '{scale}'")
        titles = page.evaluate(f"{axes}.map((axis) => axis.title.text)")
        assert all(title.endswith(f", {scale} scale") and f"{other} scale" not in title for title in titles)


def test_figures_are_dark_in_the_dark_and_narrow_on_a_phone(browser, report, opened):
    page = opened(color_scheme="dark")
    figure = drawn(page, "quick-laptop-tradeoff")
    assert figure.locator(".main-svg").first.evaluate("(e) => e.style.background") == "rgb(20, 24, 29)"
    phone = browser.new_context(viewport={"width": 390, "height": 800}).new_page()
    phone.goto(report.as_uri())
    phone.wait_for_selector(READY)
    drawn(phone, "quick-laptop-curves")
    assert phone.evaluate("document.documentElement.scrollWidth") == 390
    panels = phone.locator("#figure-quick-laptop-curves .nsewdrag")
    assert min(panels.nth(i).bounding_box()["width"] for i in range(panels.count())) > 200
    drawn(phone, "quick-laptop-tradeoff")
    layout = "document.querySelector('#figure-quick-laptop-tradeoff .plot').layout"
    titles = f"{layout}.annotations.filter((one) => one.yref.endsWith('domain')).map((one) => one.text)"
    assert phone.evaluate(titles) == ["adding", "adding", "digits", "digits"]
    assert phone.evaluate(f"[1, 2, 3, 4].map((i) => {layout}['yaxis' + (i > 1 ? i : '')].title.text)") == [
        *["mse", "mse", "accuracy (%)", "accuracy (%)"]
    ]
    phone.context.close()


def test_a_file_is_downloaded_from_the_page_alone(browser, report, tmp_path):
    alone = tmp_path / "alone.html"
    alone.write_bytes(report.read_bytes())
    page = browser.new_page()
    page.goto(alone.as_uri())
    page.wait_for_selector(READY)
    with page.expect_download() as download:
        page.locator("a[href='tables/quick-laptop-metric.csv']").click()
    assert download.value.suggested_filename == "quick-laptop-metric.csv"
    assert download.value.path().read_bytes() == (report.parent / "tables/quick-laptop-metric.csv").read_bytes()
    page.close()


def test_without_javascript_and_in_print_there_are_images(browser, report, opened):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    images = page.locator("figure img.static")
    assert images.count() == 3 and all(images.nth(i).is_visible() for i in range(3))
    assert page.locator("noscript").count() == 1 and page.locator("table.wide").first.is_visible()
    context.close()
    printed = opened()
    drawn(printed, "quick-laptop-curves")
    printed.emulate_media(media="print")
    assert printed.locator("#figure-quick-laptop-curves img.static").is_visible()
    assert not printed.locator("#results").is_visible() and not printed.locator("nav").is_visible()
    closed = printed.locator("details.table:not([open]) table").first
    assert closed.is_visible(), "its style shows it"
    printed.emulate_media(media="screen")
    assert not closed.is_visible()
    printed.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert printed.locator("details.table:not([open])").count() == 0
    printed.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not closed.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(opened, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = opened("#table&dataset=digits&neuron=lif", color_scheme=scheme)
    for name in ("quick-laptop-curves", "memory-against-steps"):
        drawn(page, name)
    page.click("#columns summary")
    assert [rule["id"] for rule in axe.Axe().run(page).response["violations"]] == []
    page.locator("#results tbody button").first.click()
    page.locator("#cell .scatterlayer .trace").first.wait_for()
    assert [rule["id"] for rule in axe.Axe().run(page).response["violations"]] == []


@pytest.mark.slow
def test_two_thousand_runs_open_within_three_seconds(browser, tmp_path):
    store = Store(tmp_path / "runs")
    for i in range(2000):
        spec = run_spec((f"rule{i // 5 % 10}", f"neuron{i // 50 % 5}", f"data-{i // 250}"), i % 5)
        further = {f"extra_{k}": measure(i + 0.123 * k, "1") for k in range(25)}
        measures = {**results("accuracy", 0.5 + i / 5000, 0.1), **costs(0.01, 2.0**20), **further}
        put(store, spec, measures=measures, metric="accuracy", curve=[0.1] * 20, log="a line of a log\n" * 40)
    path = tmp_path / "report.html"
    path.write_text(render(Results.load(store.folder), [], [], tmp_path), encoding="utf-8")
    assert path.stat().st_size < 6e6
    page = browser.new_page()
    began = time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_selector(READY)
    assert page.inner_text("#count") == "400 of 400 cells"
    assert time.perf_counter() - began < 3
    page.close()
