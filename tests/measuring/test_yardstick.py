"""The machine's rates: their measurement, its duration, and the validity of the cache."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time

import pytest
import torch

from tests.children import child
from throughtime.measuring import yardstick as module
from throughtime.measuring.yardstick import Product, Rate, Yardstick, measure, reduced, yardstick

PRODUCTS, STREAMS = [Product(8, 4, 6), Product(3, 3, 5, copies=7)], [4096]


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    """A cache of the test's own, and nobody else on the machine."""
    monkeypatch.setenv("THROUGHTIME_CACHE", str(tmp_path))
    monkeypatch.setattr(module.Others, "contended", lambda self: False)


@pytest.fixture
def measured(monkeypatch):
    """The list of measurements of the machine; the rates are made up, and differ each time."""
    times = []

    def measure(products, streams):
        times.append((products, streams))
        rate = Rate(*[float(len(times))] * 4, 3)
        return Yardstick(dict.fromkeys(products, rate), dict.fromkeys(streams, rate), rate, threads=1, contended=False)

    monkeypatch.setattr(module, "measure", measure)
    return times


def looks_every(monkeypatch, seconds: float) -> itertools.count:
    """Install a clock that advances by so many seconds at each reading."""
    clock = itertools.count(0.0, seconds)
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock))
    return clock


def test_flops_by_hand():
    assert Product(8, 4, 6).flops == 2 * 8 * 4 * 6
    assert Product(3, 3, 5, copies=7).flops == 7 * 2 * 3 * 3 * 5
    assert Product(3, 3, 5, copies=7).operands == 7 * (9 + 15 + 15)


def test_a_rate_is_work_by_time(monkeypatch):
    looks_every(monkeypatch, 0.01)  # a call lies between two looks: it takes 0.01 s
    result = measure(PRODUCTS, STREAMS)
    for product in PRODUCTS:
        assert result.products[product][:4] == pytest.approx([product.flops / 0.01] * 4)
    assert result.streams[4096].median == pytest.approx(2 * 4096 / 0.01), "read and written"
    assert result.copy.median == pytest.approx(2 * module.COPIED / 0.01), "from one and to the other"


@pytest.mark.parametrize("sizes", [1, 40])
def test_half_a_second_in_all(monkeypatch, sizes):
    clock = looks_every(monkeypatch, 0.001)
    result = measure([Product(2, 2, n + 1) for n in range(sizes)], STREAMS)
    assert next(clock) <= module.SECONDS + 0.01
    assert min(rate.n for rate in result.products.values()) >= 1


def test_a_slow_machine_measures_each_size_once(monkeypatch):
    looks_every(monkeypatch, 1.0)
    result = measure(PRODUCTS, STREAMS)
    assert [rate.n for rate in [*result.products.values(), *result.streams.values(), result.copy]] == [1, 1, 1, 1]


def test_the_fastest_layout_counts(monkeypatch):
    now, lasts = [0.0], itertools.cycle([0.003, 0.001, 0.002])
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    calls = [lambda: now.__setitem__(0, now[0] + next(lasts))] * 3
    rate = module._rate(lambda: (6, calls), until=0.05)  # the first call, of 3 ms, warms up; then in turn 1, 2 and 3 ms
    assert rate.best == pytest.approx(6 / 0.001)
    assert rate.low == pytest.approx(6 / 0.001)


@pytest.mark.parametrize(
    ("product", "threads", "smaller"),
    [
        (Product(64, 128, 128), 1, Product(64, 128, 128)),
        (Product(64, 512, 512), 1, Product(64, 512, 512)),
        # 2^31 flops: halved five times, the longest side, the first of equals first.
        (Product(1024, 1024, 1024), 1, Product(256, 256, 512)),
        (Product(1024, 1024, 1024), 4, Product(512, 512, 512)),
        # 50176 * 512 numbers come out of it: halved until they and the operands are at most 2^20.
        (Product(50176, 1, 512), 1, Product(1568, 1, 512)),
        (Product(20, 30, 500, copies=64), 1, Product(20, 30, 500, copies=32)),
    ],
)
def test_large_products_are_measured_smaller(product, threads, smaller):
    assert reduced(product, threads) == smaller


def test_a_rate_is_that_of_the_work_of_the_smaller_product(monkeypatch):
    looks_every(monkeypatch, 0.01)
    large = Product(50176, 1, 512)
    result = measure([large], [])
    assert result.products[large].best == pytest.approx(reduced(large, torch.get_num_threads()).flops / 0.01)


def test_a_real_measurement_is_in_order():
    for rate in measure(PRODUCTS, STREAMS).products.values():
        assert 0 < rate.low <= rate.median <= rate.high <= rate.best


def test_random_numbers_are_left_alone():
    before = torch.get_rng_state()
    measure(PRODUCTS, STREAMS)
    assert torch.equal(torch.get_rng_state(), before)


def test_measured_once_for_a_set_of_sizes(measured):
    first = yardstick(PRODUCTS, STREAMS)
    assert yardstick(reversed(PRODUCTS * 2), STREAMS) == first
    assert len(measured) == 1
    yardstick(PRODUCTS, [8192])
    assert len(measured) == 2


@pytest.mark.parametrize("what", ["threads", "torch", "processor", "node"])
def test_measured_again_where_the_machine_differs(measured, monkeypatch, what):
    yardstick(PRODUCTS, STREAMS)
    if what == "torch":
        monkeypatch.setattr(torch, "__version__", "0")
    elif what == "node":
        monkeypatch.setattr(module.platform, "node", lambda: "elsewhere")
    else:
        machine = module.machine(1, None)
        monkeypatch.setattr(module, "machine", lambda threads, flushed: machine | {what: "another"})
    yardstick(PRODUCTS, STREAMS)
    assert len(measured) == 2


def test_what_others_disturbed_is_not_kept(monkeypatch, measured, tmp_path):
    quietly = module.measure
    monkeypatch.setattr(module, "measure", lambda p, s: quietly(p, s)._replace(contended=True))
    assert yardstick(PRODUCTS, STREAMS).contended
    assert not list(tmp_path.iterdir())


DAMAGE = {
    "empty": lambda text: "",
    "cut short": lambda text: text[: len(text) // 2],
    "no text": lambda text: "\udcff",
    "another thing": lambda text: "[1, 2]",
    "other sizes": lambda text: text.replace("4096", "4097"),
    "a rate too few": lambda text: json.dumps({**json.loads(text), "rates": json.loads(text)["rates"][1:]}),
    "a short rate": lambda text: json.dumps({**json.loads(text), "rates": [[1.0]] * 4}),
    "no number": lambda text: json.dumps({**json.loads(text), "rates": [[float("nan")] * 4 + [1]] * 4}),
    "nothing": lambda text: json.dumps({**json.loads(text), "rates": [[0.0] * 4 + [1]] * 4}),
    "endless": lambda text: json.dumps({**json.loads(text), "rates": [[1.0] * 4 + [float("inf")]] * 4}),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_made_anew(measured, tmp_path, damage):
    yardstick(PRODUCTS, STREAMS)
    (file,) = (tmp_path / "yardstick").iterdir()
    file.write_text(damage(file.read_text()), encoding="utf-8", errors="surrogateescape")
    again = yardstick(PRODUCTS, STREAMS)
    assert len(measured) == 2
    assert yardstick(PRODUCTS, STREAMS) == again
    assert len(measured) == 2


def test_a_cache_that_cannot_be_written_costs_time_only(measured, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("THROUGHTIME_CACHE", str(tmp_path / "file"))
    yardstick(PRODUCTS, STREAMS)
    yardstick(PRODUCTS, STREAMS)
    assert len(measured) == 2


@pytest.mark.slow
def test_several_processes_leave_one_whole_file(tmp_path):
    program = (
        "from throughtime import yardstick as y; y.Others.contended = lambda self: False; "
        "y.yardstick([y.Product(8, 4, 6)], [4096])"
    )
    words = [sys.executable, "-c", program]
    with child(words, env=os.environ) as first, child(words, env=os.environ) as other:
        assert [first.wait(300), other.wait(300)] == [0, 0]
    (file,) = (tmp_path / "yardstick").iterdir()
    assert len(json.loads(file.read_text())["rates"]) == 3


@pytest.mark.slow
def test_half_a_second_on_the_wall():
    sizes = [Product(64, 128, 128), Product(6400, 40, 128), Product(128, 6400, 128), Product(512, 50176, 512)]
    start = time.perf_counter()
    measure(sizes, [650_000, 5_500_000])
    assert time.perf_counter() - start < module.SECONDS + 0.2
