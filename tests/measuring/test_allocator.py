"""Bytes of the allocator: worked by hand, and compared with the exact count of the same run for every rule."""

from __future__ import annotations

import time

import pytest
import torch

from tests.measuring.test_exact_memory import BATCH, FLOAT, Hoarding, spec
from throughtime.harness.build import build
from throughtime.harness.one_batch import one_batch
from throughtime.measuring import allocator
from throughtime.measuring.allocator import HandedOut, allocator_measures
from throughtime.measuring.exact_memory import exact_memory
from throughtime.measuring.live_bytes import LiveBytes
from throughtime.passes import passes


def test_what_came_and_went_is_the_peak_and_what_stays_is_current():
    with HandedOut() as seen:
        a = torch.ones(1000)
        b = a + a
        del b
        c = torch.ones(500)
    assert (seen.current, seen.peak) == (4 * 1500, 4 * 2000)
    assert c.shape == (500,)


def test_a_reading_in_between_loses_nothing():
    with HandedOut() as seen:
        a = torch.ones(1000)
        seen.read()
        assert (seen.current, seen.peak) == (4000, 4000)
        del a  # handed out before the reading
        seen.read()
        b = torch.ones(10)
    assert (seen.current, seen.peak) == (40, 4000)
    assert b.shape == (10,)


@pytest.mark.parametrize("seconds, missing", [(3600, True), (-3600, True), (-0.1, True), (0, False)])
def test_a_clock_that_is_set_meanwhile_leaves_no_number(seconds, missing, monkeypatch):
    """The profiler drops events beside the time of its window, by the clock of the day."""
    run, clock, learn, jumps = spec("bptt", steps=4, hidden=4), time.time, allocator.learn_finite, []
    built = build(run)
    monkeypatch.setattr(allocator, "learn_finite", lambda *arguments: jumps.append(seconds) or learn(*arguments))
    monkeypatch.setattr(time, "time", lambda: clock() + sum(jumps))
    (result,) = allocator_measures(run, built, one_batch(run, built), 100).values()
    assert (result.value is None) == missing
    assert not missing or result.missing == "the clock of the day was set while the profiler ran"


def both(run, **changed) -> tuple[int, int]:
    """Exact bytes and the allocator's over one level: model and input in memory, nothing trained."""
    built = build(run)
    batch = one_batch(run, built)
    memory = exact_memory(run, built, batch)
    (handed_out,) = allocator_measures(run, build(run), batch, memory.operations).values()
    return memory.peak - memory.owned["input"] - memory.owned["parameters"], int(handed_out.value)


RULES = {
    "bptt": ("bptt", {}),
    "bptt, every step": ("bptt", {"loss_at": "every"}),
    "tbptt": ("tbptt", {"window": 1}),
    **{f"fptt, {form}": ("fptt", {"form": form}) for form in ("code", "paper", "none")},
    **{name: (name, {}) for name in ("eprop", "diagonal_rtrl", "rtrl")},
}


@pytest.mark.parametrize("name", [name for name in RULES if name != "diagonal_rtrl"])
def test_the_allocator_sees_what_is_counted_and_8_bytes_for_a_number_that_autograd_keeps(name):
    """LIF makes one such number a step, the (1 − α) I_t aside: θ in (v − θ)/θ. A rule keeps those of its window."""
    rule, options = RULES[name]
    steps = 12
    run = spec(rule, steps=steps, hidden=8, **options)
    exact, handed_out = both(run)
    numbers = build(run).rule.window(steps)
    assert 0 <= handed_out - exact <= 8 * numbers + 8, (exact, handed_out)


def test_the_exact_count_of_diagonal_rtrl_has_one_tensor_of_the_block_more():
    """LIF's step reads v twice. Autograd adds the two gradients of v in place, except while operations are observed."""
    exact, handed_out = both(spec("diagonal_rtrl", steps=12, hidden=8))
    assert 0 <= handed_out + 12 * BATCH * 8 * FLOAT - exact <= 8


def test_it_does_not_matter_how_often_the_events_are_read(monkeypatch):
    run = spec("fptt", steps=12, hidden=8)
    often = both(run)
    monkeypatch.setattr(allocator, "OPERATIONS_AT_ONCE", 1)
    assert both(run) == often


def test_what_the_exact_count_does_not_see_is_in_the_allocators(monkeypatch):
    """A fault in the counter: it is blind to storages as large as the stack of all steps' states."""
    run = spec("bptt", steps=12, hidden=8)
    _, handed_out = both(run)
    stack, meet = 12 * BATCH * 8 * FLOAT, LiveBytes._meet

    def blind(self, values, born):
        if not (isinstance(values, torch.Tensor) and values.untyped_storage().nbytes() >= stack):
            meet(self, values, born)

    monkeypatch.setattr(LiveBytes, "_meet", blind)
    exact, again = both(run)
    assert again == handed_out and handed_out - exact >= stack


def test_a_window_too_long_for_the_profiler_has_a_reason(monkeypatch):
    monkeypatch.setattr(allocator, "MOST_OPERATIONS", 50)
    run = spec("bptt", steps=12)
    built = build(run)
    (measure,) = allocator_measures(run, built, one_batch(run, built), 600).values()
    assert measure.value is None and measure.missing.startswith("600 operations in a window, more than 50")


def test_without_an_exact_count_there_is_the_same_reason(monkeypatch, tmp_path):
    run = spec("bptt")
    result = passes.bytes_pass(run, build(run)._replace(rule=Hoarding()), tmp_path).measures
    assert result["peak_allocator_bytes"].missing == result["peak_live_bytes"].missing
    assert "bytes at operation" in result["peak_live_bytes"].missing
