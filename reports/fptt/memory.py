"""Memory a frame of the paper's shallow network, from exact bytes of two short sequences; the published numbers."""

from __future__ import annotations

from typing import Literal

from throughtime.reports.papers.claims import Answer, decided
from throughtime.reports.papers.stored import stored
from throughtime.reports.quantities import MIB

Input = Literal["on the device", "excluded", "streamed"]
SUITE = "fptt-memory"
FRAMES = (20, 40, 60, 80, 100, 200, 500)
PUBLISHED = {
    "bptt": (1907, 2297, 2687, 3077, 3465, 5417, 11181),
    "fptt-step": (1745, 1903, 2065, 2227, 2385, 3187, 5587),
}
"""Memory of the authors' GPU at each number of frames, MiB (lr copy.ipynb, cell 64)."""


def published_slope(rule: str) -> float:
    """Return MiB a frame between the first and the last of the published numbers."""
    memory = PUBLISHED[rule]
    return (memory[-1] - memory[0]) / (FRAMES[-1] - FRAMES[0])


@stored
def slope(rule: str, input: Input, compiled: bool = True) -> float:
    """Return MiB a frame at the authors' batch of 64, from 4 and 8 frames under FPTT, where a frame needs the same at
    each number of frames, and from 8 and 20 under BPTT. Fewer frames than 8 need less than the gradients, whose size is
    constant; a frame beside the input needs 3.0 MiB from 8 to 20 frames, and 3.5 from 20 to 40. The neurons' steps are
    compiled, or left to autograd, under which BPTT needs the same from 8 to 12 frames as from 8 to 20."""
    from throughtime.reports.fptt.peak_memory import peak  # imports torch

    frames = (8, 20 if compiled else 12) if rule == "bptt" else (4, 8)
    few, many = (peak(rule, steps, compiled, input) for steps in frames)
    return (many - few) / (frames[1] - frames[0]) / MIB


def is_constant() -> Answer:
    """Judge whether a frame needs less than 0.01 MiB beside the input under FPTT, and more under BPTT."""
    cases = (("fptt-step", True), ("bptt", True), ("bptt", False))
    fptt, bptt, by_autograd = (
        [slope(rule, input, compiled) for input in ("on the device", "excluded")] for rule, compiled in cases
    )
    ours = (
        f"FPTT: {fptt[0]:.2f} with the input, {fptt[1]:.4f} without; BPTT: {bptt[0]:.2f} and {bptt[1]:.2f}, "
        f"with uncompiled neurons {by_autograd[0]:.2f} and {by_autograd[1]:.2f}"
    )
    theirs = ", ".join(f"{published_slope(rule):.2f}" for rule in ("fptt-step", "bptt"))
    reason = f"exact bytes, MiB a frame, shallow network, batch 64; published with the input: {theirs}"
    return decided(abs(fptt[1]) < 0.01 < bptt[1], ours, reason)
