"""Verdicts on the deep networks: what the detector finds, and how often the layers spike."""

from __future__ import annotations

import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.papers.claims import (
    FEWEST_REPLICATES,
    Answer,
    Values,
    Within,
    by_replicate,
    in_common,
    judged,
    means,
    paper_scale,
    shown,
)

DETECTION = "fptt-detection"
SPIKING = ("fptt-static", "fptt-gestures", DETECTION, "fptt-frames")
PERFORMANT = 50.0
"""mAP at an IoU of 0.5 that the detector must reach, percent; the authors' has 53 on the test images of VOC 2007."""
SPARSE = 0.17
"""Largest mean firing rate of the layers that counts as sparse; in the authors' two logs it is 0.125 to 0.165."""
RATES = "firing_rate."
"""Beginning of the names of the layers' firing rates."""


def detects(results: Results) -> Answer:
    """Judge whether FPTT trains the detector to an mAP of `PERFORMANT`.

    Summary: the mAP on VOC 2007, or on blood cells at scale laptop, mean over n >= 3 replicates; 0 for a run that
    diverged. A smaller network on other images decides nothing.
    """

    def precision(runs: Results) -> Values:
        frame = _runs_of_fptt(runs, DETECTION)
        rows = {
            data: 100 * by_replicate(runs_of_dataset, "mAP", diverged=0.0)
            for data, runs_of_dataset in frame.groupby("dataset", sort=False)
        }
        rows = {data: row for data, row in rows.items() if len(row) >= FEWEST_REPLICATES}
        return in_common({str(data): rows[data] for data in rows if data == "voc-0712" or "voc-0712" not in rows})

    reason = f"mAP at an IoU of 0.5, percent; mean > {PERFORMANT:g}"
    size = paper_scale()
    nothing = f"no data set of {DETECTION} has {FEWEST_REPLICATES} runs of FPTT"
    return judged(
        results, precision, Within(low=PERFORMANT), reason, size, show=lambda v: shown(v, ".1f"), nothing=nothing
    )


def is_sparse(results: Results) -> Answer:
    """Judge whether the layers of LTC networks that FPTT trains spike rarely.

    Summary: the mean firing rate over the layers, mean over datasets and n >= 3 replicates; the numbers of frames of a
    dataset are averaged first. Criterion: below `SPARSE`.
    """

    def rates(runs: Results) -> Values:
        rows: dict[str, list[pd.Series]] = {}
        for suite in SPIKING:
            frame = _runs_of_fptt(runs, suite)
            frame = frame[(frame["status"] == "ok") & frame["neuron"].str.startswith("ltc")]
            for dataset, runs_of_dataset in frame.groupby("dataset", sort=False):
                rate = (
                    runs_of_dataset.filter(regex=f"^{RATES}")
                    .mean(axis="columns")
                    .set_axis(runs_of_dataset["replicate"])
                    .dropna()
                )
                if len(rate) >= FEWEST_REPLICATES:
                    rows.setdefault(str(dataset).split("-")[0], []).append(rate)
        return in_common(
            {family: pd.concat(rates, axis="columns").dropna().mean(axis="columns") for family, rates in rows.items()}
        )

    reason = f"mean firing rate of the layers; mean < {SPARSE:g}"
    size = paper_scale()
    nothing = f"no data set of {', '.join(SPIKING)} has {FEWEST_REPLICATES} runs of FPTT"
    return judged(results, rates, Within(high=SPARSE), reason, size, show=means, nothing=nothing)


def _runs_of_fptt(results: Results, suite: str) -> pd.DataFrame:
    """Return the runs of FPTT of a suite that finished or diverged (not killed or timed out)."""
    runs = results.select(suite).frame
    return runs[(runs["rule"] == "fptt") & runs["status"].isin(("ok", "diverged"))]
