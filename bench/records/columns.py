"""Columns of the frame of runs, which no measure may have as its name."""

from __future__ import annotations

KEYS = ["suite", "scale", "dataset", "network", "neuron", "rule"]
"""Columns that identify a cell: its runs differ only in the replicate."""
COLUMNS = [
    *("id", "label", "suite", "scale", "rule", "neuron", "network", "dataset"),
    *("rule_name", "neuron_name", "network_name", "dataset_name", "configuration", "metric"),
    *("steps", "hidden", "replicate", "epochs", "mean_of_last", "batch", "device"),
    *("status", "reason", "remark", "started", "seconds", "contended", "trials", "edge", "folder", "superseded"),
]
"""Columns of every frame; those of the measures follow."""
