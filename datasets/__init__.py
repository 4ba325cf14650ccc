"""Datasets: one family a file; `base.py` has the contract, `task.py` losses and metrics."""

if __name__ != "throughtime.datasets":
    raise ImportError(
        "this folder is throughtime.datasets, not a package called `datasets`: "
        "run from another folder, or take the checkout off sys.path"
    )
