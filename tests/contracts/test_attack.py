"""The attack notices planted faults: a reader that lets an exception through, a crash, another record."""

from __future__ import annotations

import os
import signal
import warnings

import pytest

from tests.attack import KINDS, attacked, chosen
from tests.attacks.basics import FaultError, fork
from tests.attacks.sweeps import require_same
from tests.synthetic_records import measure, put, run_spec
from throughtime.datasets.files import fetch
from throughtime.datasets.ts_archive import TimeSeriesArchive
from throughtime.errors import UsageError
from throughtime.records.store import Store


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv(fetch.CACHE, str(tmp_path))


def test_a_reader_that_lets_a_value_error_through_is_a_fault(cache, monkeypatch):
    assert attacked("data-ts", seed=1, seconds=60, most=12) == (12, [], "")
    parts = TimeSeriesArchive.parts

    def broken(self, paths):
        try:
            return parts(self, paths)
        except UsageError as error:
            raise ValueError(str(error)) from error

    monkeypatch.setattr(TimeSeriesArchive, "parts", broken)
    result = attacked("data-ts", seed=1, seconds=60, most=12)
    assert result.attempts == 12 and len(result.faults) > 3
    assert result.faults[0].startswith("data-ts, seed 1, attempt ") and "ValueError: " in result.faults[0]


def raise_a_runtime_warning():
    warnings.warn("overflow", RuntimeWarning, stacklevel=1)


@pytest.mark.parametrize(
    "act, what",
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "ended with status 9"),
        (raise_a_runtime_warning, "RuntimeWarning: overflow"),
        (lambda: {}["x"], "KeyError"),
    ],
)
def test_what_a_fork_may_not_do(act, what):
    with pytest.raises(FaultError, match=what):
        fork(act)


def test_what_a_fork_may_answer():
    def refuses():
        raise UsageError("truncated")

    fork(refuses)
    fork(lambda: bytearray(2**40))  # a MemoryError, under the limit


def test_a_record_that_differs_in_the_last_bit_is_a_fault(tmp_path):
    stores = [Store(tmp_path / name) for name in ("calm", "same", "other")]
    for store, value in zip(stores, (0.5, 0.5, 0.5 + 2**-53), strict=True):
        put(store, run_spec("bptt lif digits"), measures={"accuracy": measure(value, "fraction")}, curve=[0.5])
    require_same(tmp_path / "calm", tmp_path / "same", "a kill")
    with pytest.raises(FaultError, match=r"a kill: other records: .*accuracy"):
        require_same(tmp_path / "calm", tmp_path / "other", "a kill")
    with pytest.raises(FaultError, match="missing"):
        require_same(tmp_path / "calm", tmp_path / "none", "a kill")


def test_kinds_by_name_and_by_group():
    assert chosen(["data-ts", "kills"]) == ["data-ts", "kills"]
    assert len(chosen(["data"])) >= 14 and chosen([]) == [*KINDS]
