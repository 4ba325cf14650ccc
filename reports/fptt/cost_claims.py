"""Claims of Yin, Corradi and Bohte 2023 on memory and time, judged from results."""

from __future__ import annotations

import math

from throughtime.records.results import Results
from throughtime.reports.fptt.memory import is_constant
from throughtime.reports.fptt.times import grows
from throughtime.reports.papers.claims import ANYTHING, Answer, NeededSize, Values, Within, claim, judged
from throughtime.spec import Scale

FULL_SIZE = "fptt-full-size"
NETWORKS = "the paper's networks at their own sizes, on an idle machine"
BOUNDS = "bounds before the runs: acbc688, 2026-11-26; interval after them: 2026-11-28"


@claim(ANYTHING, "before the computation: acbc688, 2026-11-26", primary=True)
def memory_is_constant(results: Results) -> Answer:
    """C6: the memory of FPTT does not grow with the sequence, that of BPTT does.

    Summary: exact bytes a frame without the input, MiB. Criterion: below 0.01 under FPTT and above it under BPTT.
    """
    return is_constant()


@claim(ANYTHING, BOUNDS)
def time_of_a_frame_is_constant(results: Results) -> Answer:
    """C7: the time of a frame does not depend on the number of frames under FPTT.

    Summary: exponent of the time in the frames. Criterion: its interval lies between 0.85 and 1.15.
    """
    return grows(results, "fptt-step", 0.85, 1.15)


@claim(ANYTHING, BOUNDS)
def intermediate_outputs_are_quadratic(results: Results) -> Answer:
    """C7: the time of BPTT with intermediate outputs (BPTT-IO) grows with the square of the frames.

    Summary: exponent of the time in the frames. Criterion: its interval lies between 1.7 and 2.3.
    """
    return grows(results, "bptt-io", 1.7, 2.3)


@claim(NETWORKS, "networks at full size in place of a quarter, and interval, after the runs: 2026-11-28")
def faster_than_bptt(results: Results) -> Answer:
    """C7: FPTT needs less time than BPTT, on a processor.

    Summary: logarithm of the ratio of the times, mean over n >= 3 networks. Criterion: below 0.
    """

    def ratios(runs: Results) -> Values:
        frame = runs.select(FULL_SIZE).frame.reindex(columns=["network", "steps", "rule", "wall_time"])
        times = frame.pivot_table(index=["network", "steps"], columns="rule", values="wall_time")
        if not {"fptt-step", "bptt"} <= set(times):
            return {}
        logarithms = (times["fptt-step"] / times["bptt"]).dropna().map(math.log)
        return {"networks": list(logarithms.groupby("network").mean())}

    def missing(runs: Results, scale: Scale) -> str:
        frame = runs.select(FULL_SIZE).frame
        return "an idle machine" if frame.loc[frame["rule"].isin(("fptt-step", "bptt")), "contended"].any() else ""

    def show(values: Values) -> str:
        return ", ".join(f"{math.exp(value):.2f}" for row in values.values() for value in row)

    reason = "time of fptt-step over that of bptt, by network; interval of the logarithm, < 0"
    return judged(
        results, ratios, Within(high=0.0), reason, NeededSize(missing), show=show, nothing=f"no run of {FULL_SIZE}"
    )
