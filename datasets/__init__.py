"""Datasets: each file holds one family. The package exports the contract of `base.py`, `batch.py` and `task.py`; it
imports these at first use, because the modules that find and fetch files do not need torch.
"""

from typing import TYPE_CHECKING, Any

if __name__ != "throughtime.datasets":
    raise ImportError(
        "this folder is throughtime.datasets, not a package called `datasets`: "
        "run from another folder, or take the checkout off sys.path"
    )

if TYPE_CHECKING:
    from throughtime.datasets.base import Dataset, Split
    from throughtime.datasets.batch import Batch
    from throughtime.datasets.detection.task import Detection
    from throughtime.datasets.task import Classification, Distribution, Meter, Metric, MultiLabel, Regression, Task

__all__ = [
    "Batch",
    "Classification",
    "Dataset",
    "Detection",
    "Distribution",
    "Meter",
    "Metric",
    "MultiLabel",
    "Regression",
    "Split",
    "Task",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from throughtime.datasets.base import Dataset, Split
    from throughtime.datasets.batch import Batch
    from throughtime.datasets.detection.task import Detection
    from throughtime.datasets.task import Classification, Distribution, Meter, Metric, MultiLabel, Regression, Task

    exports = (
        Batch,
        Classification,
        Dataset,
        Detection,
        Distribution,
        Meter,
        Metric,
        MultiLabel,
        Regression,
        Split,
        Task,
    )
    globals().update(zip(__all__, exports, strict=True))
    return globals()[name]
