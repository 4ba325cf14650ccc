"""What this machine can do: its rate of float32 matrix products and of moving bytes, at the sizes that a run needs."""

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
"""For all sizes together, and what of it is for the copy."""
REPEATS = 1000
"""At most, of one size."""
LARGEST_PRODUCT, LARGEST_OPERANDS = 2**26, 2**20
"""Flops for each thread, and numbers: above either a product is measured at a smaller size, whose rate is no lower."""
LARGEST_STREAM, COPIED = 2**26, 2**25
"""Bytes: of the largest array that is read and written in place, and of each of the two that are copied."""
METHOD = 1
"""Counts up when what is measured changes: older files are then measured again."""


class Rate(NamedTuple):
    """Repeats of one measurement, a second."""

    best: float
    """The fastest repeat: what other load and interrupts disturb least, and the one a lower bound of time needs."""
    median: float
    low: float
    """Lower quartile."""
    high: float
    """Upper quartile."""
    n: int


class Yardstick(NamedTuple):
    """Rates of this machine, with this process's number of threads."""

    products: dict[Product, Rate]
    """Flops a second, of the fastest of three layouts: both operands as they are, or one of them transposed."""
    streams: dict[int, Rate]
    """Bytes a second that go through an array of so many bytes, read and written in place; it stays in the caches if
    it fits."""
    copy: Rate
    """Bytes a second, read and written, of a copy between two arrays beyond the caches."""
    threads: int
    contended: bool
    """Whether other processes used the machine meanwhile: the medians may be too low, and with several threads, of
    which each waits for all in every product, the best as well."""


def yardstick(products: Iterable[Product], streams: Iterable[int]) -> Yardstick:
    """The rates at these sizes: from the user's cache, or measured in half a second and kept there.

    A file in the folder `yardstick` of the cache (THROUGHTIME_CACHE, or the system's own place) for each machine, CPU,
    version of torch, number of threads and set of sizes. One that cannot be read is made anew. What was measured while
    others used the machine is not kept, and a cache that cannot be written costs half a second each time.
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
        with contextlib.suppress(OSError):  # a run must not fail because of it
            write_whole(path, json.dumps({"key": key, "rates": rates}) + "\n")
    return measured


def measure(products: Sequence[Product], streams: Sequence[int]) -> Yardstick:
    """Measure now, with the threads that torch is set to.

    Each size gets an equal part of what the copy left of SECONDS; when it is over, the size goes with what it has, one
    repeat at least. A product is one call of torch.mm (torch.bmm for several): the cost of a call is in the rate of
    small ones.
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
"""Makes the operands; returns the work of a call, and calls that do the same work in different ways."""


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
    """The product, or one in its place that is quick to measure: fewer copies, then the longest side halved."""
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
        for call, of_call in zip(calls, samples, strict=True):
            start = time.perf_counter()
            call()
            end = time.perf_counter()
            of_call.append(max(end - start, 1e-9))
            if end >= until:
                break
        if end >= until or len(samples[0]) >= REPEATS:
            break
    fastest = min((of_call for of_call in samples if of_call), key=min)
    rates = [work / sample for sample in fastest]
    return Rate(max(rates), *spread(rates), len(rates))


def _assembled(
    products: Sequence[Product], streams: Sequence[int], rates: Sequence[Rate], contended: bool
) -> Yardstick:
    of_products, of_streams = rates[: len(products)], rates[len(products) : -1]
    return Yardstick(
        dict(zip(products, of_products, strict=True)),
        dict(zip(streams, of_streams, strict=True)),
        rates[-1],
        torch.get_num_threads(),
        contended,
    )


def _key(products: Sequence[Product], streams: Sequence[int]) -> dict[str, Any]:
    here = machine(torch.get_num_threads(), None)
    return {
        "method": METHOD,
        "node": platform.node(),
        "processor": here["processor"],
        "cores": here["cores"],
        "threads": here["threads"],
        "torch": torch.__version__,
        "products": [list(product) for product in products],
        "streams": list(streams),
    }


def _read(path: Path, key: dict[str, Any]) -> list[Rate] | None:
    """The rates of a file; None if it is not there, or is not what was written."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        rates = [Rate(*map(float, rate[:-1]), int(rate[-1])) for rate in kept["rates"]]
        whole = kept["key"] == key and len(rates) == len(key["products"]) + len(key["streams"]) + 1
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return None
    return rates if whole and all(0 < number < math.inf for rate in rates for number in rate) else None
