"""The settings of a Slurm cluster in the file of `--cluster-config`, and a check that Slurm is available."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, TypeVar, cast

from pydantic import Field, NonNegativeInt, PositiveInt

from throughtime.errors import UsageError
from throughtime.spec import Strict
from throughtime.suites.schema import ByteSize, Timeout
from throughtime.suites.strict_yaml import checked, load

Answer = TypeVar("Answer")
TOOLS = ("sbatch", "srun", "sacct", "scancel")
"""Commands of Slurm that submitit and the engine need."""
TOOL_SECONDS = 120.0
"""Time limit of a command; a busy controller may need a minute."""


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
    """Raise UsageError if a command of Slurm is missing, or sacct does not report how jobs ended."""
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        hint = "run it on a machine that submits jobs"
        raise UsageError(f"there is no Slurm here: no {', '.join(missing)}", "--cluster slurm", hint)
    words = ["sacct", "-n", "-o", "JobID"]
    query = within_time_limit("sacct", lambda: subprocess.run(words, capture_output=True, text=True, errors="replace"))
    if query.returncode:
        message = next(iter(query.stderr.splitlines()), f"exit code {query.returncode}")
        raise UsageError(f"sacct, which tells how jobs ended, does not work here: {message}", where="--cluster slurm")


def within_time_limit(tool: str, call: Callable[[], Answer]) -> Answer:
    """Return the result of a call that waits for a tool of Slurm, whose daemon may not answer.

    submitit sets no time limit. The call runs in a thread, which is left behind after TOOL_SECONDS.

    Raises:
        UsageError: the tool has not ended after TOOL_SECONDS. Exceptions of the call are passed on.
    """
    outcome: list[tuple[Answer | None, BaseException | None]] = []

    def run() -> None:
        try:
            outcome.append((call(), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(TOOL_SECONDS)
    if not outcome:
        raise UsageError(f"{tool} has not answered for {TOOL_SECONDS:g} s", "--cluster slurm", "is the daemon running?")
    ((answer, error),) = outcome
    if error is not None:
        raise error
    return cast(Answer, answer)
