"""What `--cluster-config` may say of a Slurm cluster, and whether there is one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from throughtime.errors import UsageError
from throughtime.spec import Strict
from throughtime.suites.schema import Size, Timeout
from throughtime.suites.strict_yaml import checked, load


class SlurmFile(Strict):
    """What `--cluster-config` may say."""

    cluster: Literal["slurm", "local"] = "slurm"
    """local: processes of this machine that submitit starts in Slurm's place, to find faults of a set-up with."""
    time: Annotated[Timeout, Field(ge=300)]
    """Of a job, which makes one pass: seconds, or `15m`, `2h`. 5 minutes at least, for Slurm may warn a job of its end
    two and a half minutes before."""
    partition: str | None = None
    account: str | None = None
    cpus: PositiveInt | None = None
    """Of a job; left out: as many as the suite has threads."""
    gpus: NonNegativeInt | None = None
    memory: Size | None = None
    """Of a job, `4GiB`."""
    array_parallelism: PositiveInt = 100
    """Jobs in Slurm's hands at a time, waiting or running; they are submitted as job arrays."""
    exclusive: bool = False
    """Whether measuring passes have a node to themselves."""
    setup: list[str] = Field([])
    """Lines of shell before a job: `module load ...`."""
    extra: dict[str, str | int | float | bool] = Field({})
    """Other options of sbatch, by their long names."""


def load_settings(path: str | Path) -> SlurmFile:
    """Read `--cluster-config`.

    Raises:
        UsageError: something in it is wrong; `where` is `file:line:column`.
    """
    return checked(load(str(path)), SlurmFile)


def require_slurm() -> None:
    """UsageError where jobs cannot be submitted from here, or nobody can be asked how they ended."""
    if shutil.which("sbatch") is None:
        raise UsageError(
            "there is no Slurm here: no sbatch", where="--cluster slurm", hint="run it on a machine that submits jobs"
        )
    asked = subprocess.run(["sacct", "-n", "-o", "JobID"], capture_output=True, text=True)
    if asked.returncode:
        said = next(iter(asked.stderr.splitlines()), f"exit code {asked.returncode}")
        raise UsageError(f"sacct, which tells how jobs ended, does not work here: {said}", where="--cluster slurm")
