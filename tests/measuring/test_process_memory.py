"""The peak of the process: detection, reset, and sampling where the kernel keeps none."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.harness.test_training import component
from tests.measuring.test_exact_memory import counted
from tests.measuring.test_exact_memory import spec as small
from throughtime.measuring import process_memory
from throughtime.measuring.process_memory import KernelPeak, SampledPeak
from throughtime.registry import NEURONS

MIB = 2**20
linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="not run here: no /proc")


def in_a_process_of_its_own(program: str, **environment: str):
    """Run a program in a fresh process, since earlier tests leave memory in the allocator; return its JSON output."""
    start = "import json, time\nfrom throughtime.measuring.process_memory import *\n"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", start + program]
    env = {**os.environ, **environment}
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@linux
def test_a_block_that_came_and_went_is_in_the_peak_until_the_reset():
    grown, after = in_a_process_of_its_own("""
give_back_freed()
with KernelPeak() as first:
    block = bytearray(64 * 2**20); block[::4096] = b"x" * len(block[::4096]); del block
with KernelPeak() as second:
    pass
print(json.dumps([first.growth, second.growth]))
""")
    # The kernel counts resident pages in batches of 64 a thread; a few threads are a fraction of a MiB.
    assert abs(grown - 64 * MIB) < MIB
    assert after < 2 * MIB


@linux
def test_what_is_freed_is_given_back_or_kept():
    """Five blocks of 48 MiB, made and freed in turn: without `keep_freed` the pages of each are new to the process, 4
    KiB or, where they are large, 2 MiB each."""
    faults = []
    for keep in ("keep_freed()", "None"):
        faults += in_a_process_of_its_own(f"""
import resource
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
n, kept = 48 * 2**20, {keep}
b"x" * n
before = faults()
for _ in range(5):
    b"x" * n
print(json.dumps([kept, faults() - before]))
""")
    kept, few, _, many = faults
    if not kept:
        pytest.skip("not run here: no mallopt")
    assert few < 24 and many >= 5 * 24


@pytest.mark.parametrize("answers", [None, 0, 1])
def test_keeping_says_whether_the_c_library_does(monkeypatch, answers):
    """Without `mallopt`, or refused by it, nothing is kept and nothing raised."""
    library = SimpleNamespace() if answers is None else SimpleNamespace(mallopt=lambda what, value: answers)
    monkeypatch.setattr(process_memory.ctypes, "CDLL", lambda name: library)
    assert process_memory.keep_freed() is bool(answers)


def test_sampling_finds_100_megabytes_that_are_held_for_50_milliseconds():
    grown, level, method = in_a_process_of_its_own("""
give_back_freed()
with SampledPeak() as peak:
    block = bytearray(10**8); block[::4096] = b"x" * len(block[::4096])
    time.sleep(0.05)
    del block
print(json.dumps([peak.growth, peak.level, peak.method]))
""")
    assert abs(grown - 10**8) < 2 * MIB
    assert level > 0
    assert re.fullmatch(r"largest of \d+ samples of RSS every 5 ms \(longest gap \d+ ms\), over RSS", method)


def test_sampling_sees_nothing_of_what_comes_and_goes_between_two_samples():
    grown = in_a_process_of_its_own("""
with SampledPeak(interval=60) as peak:
    block = bytearray(10**8); block[::4096] = b"x" * len(block[::4096]); del block
print(json.dumps(peak.growth))
""")
    assert grown < 50 * MIB


@linux
@pytest.mark.slow
def test_sampling_agrees_with_the_kernel_on_the_training_of_a_rule():
    """Both watch the same two batches of BPTT. Sampling misses what lives shorter than the gap between two samples;
    the kernel's mark lags behind by pages that it has not counted yet. The bound is what docs/measuring.md states."""
    by_kernel, by_sampling = in_a_process_of_its_own("""
import torch
from tests.harness.test_training import component, spec
from throughtime.harness.build import build
from throughtime.measuring.process_growth import growth_measures
from throughtime.registry import NETWORKS

torch.set_num_threads(1)
run = spec().model_copy(
    update={"network": component(NETWORKS, "recurrent", hidden=[1000], readout="membrane", readout_tau=0)}
)
with KernelPeak() as both:
    pass
class Both(SampledPeak):
    def __enter__(self):
        both.__enter__()
        return super().__enter__()
    def __exit__(self, *error):
        super().__exit__(*error)
        both.__exit__(*error)
sampled = growth_measures(run, build(run), Both())["peak_process_bytes"].value
print(json.dumps([both.growth, sampled]))
""")
    assert by_kernel > 20 * MIB
    assert abs(by_sampling - by_kernel) < 0.05 * by_kernel + MIB / 2


@linux
def test_the_kernel_is_asked_where_it_can_be():
    assert isinstance(process_memory.process_peak(), KernelPeak)


@pytest.mark.parametrize("refusal", [PermissionError("not allowed"), FileNotFoundError("no /proc")])
def test_without_the_kernels_help_there_is_sampling(monkeypatch, refusal):
    def refuse(*_):
        raise refusal

    monkeypatch.setattr(Path, "write_text", refuse)
    assert isinstance(process_memory.process_peak(), SampledPeak)


def test_freed_memory_is_given_back_by_what_the_system_has(monkeypatch):
    class Library:
        def malloc_zone_pressure_relief(self, zone, goal):
            called.append((zone, goal.value))

    called = []
    monkeypatch.setattr(process_memory.ctypes, "CDLL", lambda name: Library())
    process_memory.give_back_freed()
    assert called == [(None, 0)]
    monkeypatch.setattr(process_memory.ctypes, "CDLL", lambda name: object())
    process_memory.give_back_freed()  # a library with neither: nothing to call, and no error


@linux
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not run here: another C library")
@pytest.mark.slow
def test_most_of_what_the_process_takes_beyond_its_tensors_is_kept_by_the_c_library():
    """A measurement, by name: what else a fresh process touches was once 2 MB more, in the first run of a checkout.

    e-prop on LTC, whose traces are blocks of 0.5 to 1 MB. Where glibc maps each block by itself, and so
    to give it back at once, the process grows by its tensors and little more."""
    program = """
import torch
from tests.measuring.test_exact_memory import spec
from tests.harness.test_training import component
from throughtime.harness.build import build
from throughtime.measuring.process_growth import growth_measures
from throughtime.registry import NEURONS

torch.set_num_threads(1)
run = spec("eprop", steps=3, hidden=64).model_copy(update={"neuron": component(NEURONS, "ltc")})
process = growth_measures(run, build(run))["peak_process_bytes"].value
print(json.dumps(process))
"""
    plain = in_a_process_of_its_own(program)
    mapped = in_a_process_of_its_own(program, MALLOC_MMAP_THRESHOLD_="4096")
    memory = counted(small("eprop", steps=3, hidden=64).model_copy(update={"neuron": component(NEURONS, "ltc")}))
    exact = memory.peak - memory.owned["input"] - memory.owned["parameters"]
    assert exact < mapped < 1.1 * exact + MIB
    assert mapped - exact < (plain - exact) / 2
