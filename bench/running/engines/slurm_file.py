"""The settings of a Slurm cluster in the file of `--cluster-config`, and a check that Slurm is available."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from throughtime.errors import UsageError
from throughtime.spec import Strict
from throughtime.suites.schema import ByteSize, Timeout
from throughtime.suites.strict_yaml import checked, load


class SlurmFile(Strict):
    """Settings in the file of `--cluster-config`."""

    cluster: Literal["slurm", "local"] = "slurm"
    """local: submitit starts processes on this machine instead of Slurm jobs, to test a configuration."""
    time: Annotated[Timeout, Field(ge=300)]
    """Time limit of a job, which runs one pass: seconds, or `15m`, `2h`. It is at least 5 minutes, because Slurm may
    warn a job two and a half minutes before its end."""
    partition: str | None = None
    account: str | None = None
    cpus: PositiveInt | None = None
    """Processors of a job; by default as many as the suite has threads."""
    gpus: NonNegativeInt | None = None
    memory: ByteSize | None = None
    """Memory of a job, `4GiB`."""
    array_parallelism: PositiveInt = 100
    """Largest number of waiting and running jobs, which are submitted as job arrays."""
    exclusive: bool = False
    """Whether measuring passes have a node to themselves."""
    setup: list[str] = Field([])
    """Shell lines that run before a job: `module load ...`."""
    extra: dict[str, str | int | float | bool] = Field({})
    """Other options of sbatch, by their long names."""


def load_settings(path: str | Path) -> SlurmFile:
    """Read `--cluster-config`.

    Raises:
        UsageError: a setting is invalid; `where` is `file:line:column`.
    """
    return checked(load(str(path)), SlurmFile)


def require_slurm() -> None:
    """Raise UsageError if jobs cannot be submitted, or sacct does not report how they ended."""
    if shutil.which("sbatch") is None:
        raise UsageError(
            "there is no Slurm here: no sbatch", where="--cluster slurm", hint="run it on a machine that submits jobs"
        )
    asked = subprocess.run(["sacct", "-n", "-o", "JobID"], capture_output=True, text=True)
    if asked.returncode:
        message = next(iter(asked.stderr.splitlines()), f"exit code {asked.returncode}")
        raise UsageError(f"sacct, which tells how jobs ended, does not work here: {message}", where="--cluster slurm")
