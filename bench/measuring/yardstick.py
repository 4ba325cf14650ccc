"""Rates of this machine: float32 matrix products and memory bandwidth, at the sizes that a run needs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from throughtime.datasets.files.fetch import cache
from throughtime.measuring.timing import Others, spread
from throughtime.networks.products import Product
from throughtime.records.provenance import machine
from throughtime.whole_files import write_whole

SECONDS, COPYING = 0.5, 0.1
"""Time for all sizes together, and the part of it for the copy, in seconds."""
REPEATS = 1000
"""Largest number of repeats of one size."""
LARGEST_PRODUCT, LARGEST_OPERANDS = 2**26, 2**20
"""Flops for each thread, and operands. A larger product is measured at a smaller size, whose rate is not lower."""
LARGEST_STREAM, COPIED = 2**26, 2**25
"""Bytes of the largest array that is read and written in place, and of each of the two arrays of the copy."""
METHOD = 1
"""Version of the measurement: files with another version are measured again."""


class Rate(NamedTuple):
    """Rate of one measurement, per second."""

    best: float
    """Rate of the fastest repeat, which other load and interrupts disturb least; for a lower bound of the time."""
    median: float
    low: float
    """Lower quartile."""
    high: float
    """Upper quartile."""
    n: int


class Yardstick(NamedTuple):
    """Rates of this machine with the number of threads of this process."""

    products: dict[Product, Rate]
    """Flops per second of the fastest of three layouts: no operand or one of them transposed."""
    streams: dict[int, Rate]
    """Bytes per second, by size of the array that is read and written in place; a small array stays in the caches."""
    copy: Rate
    """Bytes per second, read and written, of a copy between two arrays that are larger than the caches."""
    threads: int
    contended: bool
    """Whether other processes used the machine: the medians may then be too low, and with several threads, which wait
    for each other in every product, also the best."""


def yardstick(products: Iterable[Product], streams: Iterable[int]) -> Yardstick:
    """Return the rates at these sizes, from the user's cache or by a measurement of half a second.

    The folder `yardstick` of the cache (THROUGHTIME_CACHE, or the system's default) has a file for each machine, CPU,
    version of torch, number of threads and set of sizes. An unreadable file is replaced. A measurement beside other
    load is not cached, and without a writable cache each call measures.
    """
    products, streams = sorted(set(products)), sorted(set(streams))
    key = _key(products, streams)
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = cache() / "yardstick" / f"{digest}.json"
    rates = _read(path, key)
    if rates is not None:
        return _assembled(products, streams, rates, contended=False)
    measured = measure(products, streams)
    if not measured.contended:
        rates = [*measured.products.values(), *measured.streams.values(), measured.copy]
        with contextlib.suppress(OSError):  # a run must not fail because of the cache
            write_whole(path, json.dumps({"key": key, "rates": rates}) + "\n")
    return measured


def measure(products: Sequence[Product], streams: Sequence[int]) -> Yardstick:
    """Measure the rates with torch's current number of threads.

    The sizes share the rest of SECONDS after the copy equally; each has at least one repeat. A product is one
    call of torch.mm (torch.bmm for several), so the rate of small products includes the cost of a call.
    """
    others, begun = Others(), time.perf_counter()
    copy = _rate(_copy_calls(), begun + COPYING)
    makers = [*(_product_calls(product) for product in products), *(_stream_calls(size) for size in streams)]
    rates = []
    for i, calls in enumerate(makers):
        now = time.perf_counter()
        rates.append(_rate(calls, now + (begun + SECONDS - now) / (len(makers) - i)))
    return _assembled(products, streams, [*rates, copy], others.contended())


Calls = Callable[[], tuple[int, list[Callable[[], object]]]]
"""Function that allocates the operands; returns the flops or bytes of a call, and equivalent calls."""


def _product_calls(product: Product) -> Calls:
    def make() -> tuple[int, list[Callable[[], object]]]:
        smaller = reduced(product, torch.get_num_threads())
        m, k, n, copies = smaller
        A, B, C = torch.ones(copies, m, k), torch.ones(copies, k, n), torch.empty(copies, m, n)
        A_t, B_t = torch.ones(copies, k, m).mT, torch.ones(copies, n, k).mT
        multiply = torch.bmm
        if copies == 1:
            multiply = torch.mm
            A, B, C, A_t, B_t = A[0], B[0], C[0], A_t[0], B_t[0]
        return smaller.flops, [
            lambda: multiply(A, B_t, out=C),  # as W x_t
            lambda: multiply(A, B, out=C),  # as the gradient by the input
            lambda: multiply(A_t, B, out=C),  # as the gradient by the weight
        ]

    return make


def _stream_calls(size: int) -> Calls:
    def make() -> tuple[int, list[Callable[[], object]]]:
        array = torch.ones(max(min(size, LARGEST_STREAM) // 4, 1))
        return 2 * array.nbytes, [array.neg_]

    return make


def _copy_calls() -> Calls:
    def make() -> tuple[int, list[Callable[[], object]]]:
        source, sink = torch.ones(COPIED // 4), torch.empty(COPIED // 4)
        return 2 * source.nbytes, [lambda: sink.copy_(source)]

    return make


def reduced(product: Product, threads: int) -> Product:
    """Return the product, or a smaller one that is quick to measure: fewer copies, then the longest side halved."""
    while product.flops > LARGEST_PRODUCT * threads or product.operands > LARGEST_OPERANDS:
        longest = "copies" if product.copies > 1 else max(("m", "k", "n"), key=lambda side: getattr(product, side))
        product = product._replace(**{longest: getattr(product, longest) // 2})
    return product


@torch.no_grad()
def _rate(make: Calls, until: float) -> Rate:
    work, calls = make()
    calls[0]()
    samples: list[list[float]] = [[] for _ in calls]
    while True:
        for call, call_samples in zip(calls, samples, strict=True):
            start = time.perf_counter()
            call()
            end = time.perf_counter()
            call_samples.append(max(end - start, 1e-9))
            if end >= until:
                break
        if end >= until or len(samples[0]) >= REPEATS:
            break
    fastest = min((call_samples for call_samples in samples if call_samples), key=min)
    rates = [work / sample for sample in fastest]
    return Rate(max(rates), *spread(rates), len(rates))


def _assembled(
    products: Sequence[Product], streams: Sequence[int], rates: Sequence[Rate], contended: bool
) -> Yardstick:
    product_rates, stream_rates = rates[: len(products)], rates[len(products) : -1]
    return Yardstick(
        dict(zip(products, product_rates, strict=True)),
        dict(zip(streams, stream_rates, strict=True)),
        rates[-1],
        torch.get_num_threads(),
        contended,
    )


def _key(products: Sequence[Product], streams: Sequence[int]) -> dict[str, Any]:
    this_machine = machine(torch.get_num_threads(), None)
    return {
        "method": METHOD,
        "node": platform.node(),
        "processor": this_machine["processor"],
        "cores": this_machine["cores"],
        "threads": this_machine["threads"],
        "torch": torch.__version__,
        "products": [list(product) for product in products],
        "streams": list(streams),
    }


def _read(path: Path, key: dict[str, Any]) -> list[Rate] | None:
    """Read the rates of a file; None if it does not exist or is damaged."""
    try:
        cached = json.loads(path.read_text(encoding="utf-8"))
        rates = [
            Rate(float(best), float(median), float(low), float(high), int(n))
            for best, median, low, high, n in cached["rates"]
        ]
        whole = cached["key"] == key and len(rates) == len(key["products"]) + len(key["streams"]) + 1
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return None
    return rates if whole and all(0 < number < math.inf for rate in rates for number in rate) else None
