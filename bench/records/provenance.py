"""Provenance of a record: the machine, the versions, the state of the code."""

from __future__ import annotations

import functools
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

BASELINES = ":(top,exclude)results/baselines"
"""Pathspec of what is not code: a command that writes there changes no run."""
RECORDED_VERSIONS = ("throughtime", "torch", "torchvision", "numpy", "scikit-learn")


def machine(
    threads: int,
    denormals_flushed: bool | None,
    device: str = "cpu",
    freed_memory_kept: bool | None = None,
) -> dict[str, Any]:
    """Describe the machine of a run: processor, cores, memory, system, threads and device of the run, and whether it
    flushed denormals to zero and kept freed memory."""
    return {
        "processor": processor(),
        "cores": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "threads": threads,
        "device": device,
        "denormals_flushed": denormals_flushed,
        "freed_memory_kept": freed_memory_kept,
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages on which numbers depend."""
    packages = {"python": platform.python_version()}
    for name in RECORDED_VERSIONS:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "not installed"
    return packages


@functools.cache
def git_state() -> dict[str, Any]:
    """Return the commit of the checkout of throughtime and whether it was changed, except for baselines; nulls
    outside a checkout."""
    try:
        _git("ls-files", "--error-unmatch", Path(__file__).name)  # fails in a checkout that contains the environment
        commit = _git("rev-parse", "HEAD")
        changed = bool(_git("status", "--porcelain", "--untracked-files=no", "--", ":/", BASELINES))
        return {"commit": commit, "changed": changed}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "changed": None}


def _git(*arguments: str) -> str:
    folder = Path(__file__).parent
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def processor() -> str:
    """Return the name of this machine's processor."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
