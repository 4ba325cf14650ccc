"""Plants the faults of this folder one at a time, and prints those that neither a check nor a test notices.

    python tests/mutants/run.py [--jobs N] [--tenth] [WORD ...]

Each fault is applied to a copy of the checkout under build/mutants, never in place, and judged in a process that is
forked from this one, which has imported the libraries. The checks and tests run on the sound copies first: one that
fails there would notice anything. `--tenth` leaves this to `throughtime check`. Exit code 0: each fault was noticed; 1:
one survived; 2: the sound copy fails, or a fault does not apply.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import importlib
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

from mutants import ROOT, Mutant, each_alone, read, words_of

COPIES = ROOT / "build" / "mutants"
LIBRARIES = (
    *("torch", "torch._dynamo", "torch.func", "torch.profiler", "numba", "pandas", "scipy.stats", "scipy.optimize"),
    *("pydantic", "typer", "pytest", "_pytest.assertion.rewrite", "rich.console", "jinja2", "psutil", "h5py", "yaml"),
)
"""Imported once, before the processes are forked."""
SECONDS = 600
"""Time after which a fault counts as noticed: a loop without end is a failure, too."""
TOGETHER = 8
"""Checks and tests of the sound copy in one process, which imports the package once."""


class Job(NamedTuple):
    """A run in a copy: with a fault, or of several noticers on the sound copy."""

    mutant: Mutant | None
    noticed_by: tuple[str, ...]

    def __str__(self) -> str:
        return str(self.mutant) if self.mutant else f"sound: {len(self.noticed_by)} checks and tests"


class Copy:
    """A copy of the checkout, laid out as the installed package, with room for one fault at a time."""

    def __init__(self, number: int) -> None:
        self.root, self.site = COPIES / str(number) / "checkout", COPIES / str(number) / "site"
        self._update()
        compileall.compile_dir(self.root, quiet=2)
        package = self.site / "throughtime"
        shutil.rmtree(package, ignore_errors=True)
        package.mkdir(parents=True)
        for part in (self.root / "bench").iterdir():
            (package / part.name).symlink_to(part)
        for name in ("algorithms", "datasets", "networks", "neurons", "numerics", "reports", "results/published"):
            (package / Path(name).name).symlink_to(self.root / name)

    def _update(self) -> None:
        """Copy what differs from the checkout in size or time, by which compiled code is known, and remove the rest."""
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        names = subprocess.run(listed, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.split("\0")
        copies = {self.root / name: ROOT / name for name in names if name and (ROOT / name).exists()}
        for path in [*self.root.rglob("*")]:
            if path.is_file() and path not in copies and path.parent.name != "__pycache__":
                path.unlink()
        for path, source in copies.items():
            if not path.exists() or _size_and_time(path) != _size_and_time(source):
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, path)

    @contextlib.contextmanager
    def with_fault(self, mutant: Mutant | None) -> Iterator[None]:
        """Plant a fault in the copy for the duration of the block."""
        if mutant is None:
            yield
            return
        path = self.root / mutant.file
        sound, times = path.read_text(encoding="utf-8"), path.stat()
        path.write_text(mutant.applied(sound), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(sound, encoding="utf-8")
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _size_and_time(path: Path) -> tuple[int, int]:
    return path.stat().st_size, path.stat().st_mtime_ns


def judge(copy: Copy, job: Job, answer: Connection) -> None:
    """Send the name of the first fact or test that fails in a copy, or None. Runs in a process of its own."""
    os.setpgid(0, 0)
    os.chdir(copy.root)
    os.environ |= {"PYTHONPATH": f"{copy.site}:{copy.root}", "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    os.environ |= {"NUMBA_CACHE_DIR": str(COPIES / "compiled"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    sys.dont_write_bytecode = True
    sys.path[:0] = [str(copy.site), str(copy.root)]
    with (copy.root.parent / "log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    failed = None
    try:
        failed = next(filter(None, map(first_failure, job.noticed_by)), None)
    except BaseException as error:  # also SystemExit: the package cannot be imported, or a test ends the process
        failed = f"{type(error).__name__}: {error}".splitlines()[0]
    answer.send(failed)
    sys.stdout.flush()
    os._exit(0)


def first_failure(noticer: str) -> str | None:
    """Return the first fact that does not hold, or the first test that fails; None if there is none.

    A check of several components notices a fault if a fact of each of them fails.
    """
    is_check, arguments, only = words_of(noticer)
    if is_check:
        return _first_failed_fact(noticer, arguments, only)
    import pytest

    seen = FirstFailure()
    code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *arguments, "-k", only], plugins=[seen])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and seen.name is None:
        return f"{noticer}: pytest ends with {pytest.ExitCode(code).name}"
    return seen.name


def _first_failed_fact(noticer: str, names: Sequence[str], only: str) -> str | None:
    from throughtime.checks.run import as_text, check

    failed: list[str] = []
    for name in names:
        result = None
        for result in check([name], only=only):
            if result.verdict == "fails":
                failed.append(as_text(result))
                break
        else:
            return None if result else f"{noticer}: {name} has no such fact"
    return failed[0]


class FirstFailure:
    """Plugin of pytest that remembers the first failure."""

    name: str | None = None

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and self.name is None:
            self.name = report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        self.pytest_runtest_logreport(report)


class Running(NamedTuple):
    """A job under way."""

    job: Job
    copy: Copy
    process: Any
    answer: Connection
    planted: contextlib.ExitStack
    since: float


def outcomes(jobs: Sequence[Job], copies: Sequence[Copy]) -> Iterator[tuple[Job, str | None, float]]:
    """Run the jobs, one at a time in each copy; yield each with the failure it led to and its seconds."""
    fork, waiting, free, running = multiprocessing.get_context("fork"), list(jobs)[::-1], list(copies), list[Running]()
    try:
        while waiting or running:
            while waiting and free:
                job, copy, planted = waiting.pop(), free.pop(), contextlib.ExitStack()
                planted.enter_context(copy.with_fault(job.mutant))
                answer, theirs = fork.Pipe(duplex=False)
                process = fork.Process(target=judge, args=(copy, job, theirs))
                process.start()
                theirs.close()
                running.append(Running(job, copy, process, answer, planted, time.monotonic()))
            wait([attempt.answer for attempt in running], timeout=1)
            for attempt in list(running):
                seconds = time.monotonic() - attempt.since
                if attempt.answer.poll():
                    try:
                        failed = attempt.answer.recv()
                    except EOFError:  # it crashed
                        attempt.process.join()
                        failed = f"the process ended with exit code {attempt.process.exitcode}"
                elif seconds > SECONDS * len(attempt.job.noticed_by):
                    failed = f"not done after {seconds:.0f} s"
                else:
                    continue
                running.remove(attempt)
                end(attempt)
                free.append(attempt.copy)
                yield attempt.job, failed, seconds
    finally:
        for attempt in running:
            end(attempt)


def end(attempt: Running) -> None:
    """End the process of a job, with the processes that it started, and restore its copy."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(attempt.process.pid, signal.SIGKILL)
    attempt.process.join()
    attempt.answer.close()
    attempt.planted.close()


def tenth(mutants: Sequence[Mutant]) -> list[Mutant]:
    """Return a tenth of the mutants, drawn at random with the commit as the seed."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    return random.Random(commit).sample(mutants, -(-len(mutants) // 10))


def warm_up() -> None:
    """Import the libraries, and what the compiler of loops imports at its first call."""
    for library in LIBRARIES:
        importlib.import_module(library)
    importlib.import_module("numba").njit(lambda: 0)()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Plant faults and print those that nothing notices.")
    parser.add_argument("words", nargs="*", help="only faults whose list, file or description has one of these words")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="number of faults that are judged at once")
    parser.add_argument("--tenth", action="store_true", help="a tenth of those that a check notices, by the commit")
    options = parser.parse_args(arguments)
    chosen = read(words=options.words)
    if options.tenth:
        chosen = tenth([mutant for mutant in chosen if words_of(mutant.noticed_by[0])[0]])
    try:
        for mutant in chosen:
            mutant.applied((ROOT / mutant.file).read_text(encoding="utf-8"))
    except ValueError as error:
        print(error)
        return 2
    warm_up()
    copies = [Copy(number) for number in range(options.jobs)]
    survivors, began = [], time.monotonic()
    noticers = [*dict.fromkeys(alone for m in chosen for n in m.noticed_by for alone in each_alone(n))]
    sound = [Job(None, tuple(noticers[i : i + TOGETHER])) for i in range(0, len(noticers), TOGETHER)]
    failures = 0
    for job, failed, seconds in outcomes([] if options.tenth else sound, copies):
        print(f"{seconds:5.1f} s  {job}{f': FAILS: {failed}' if failed else ''}", flush=True)
        failures += bool(failed)
    if failures:
        return 2
    for job, failed, seconds in outcomes([Job(mutant, mutant.noticed_by) for mutant in chosen], copies):
        print(f"{seconds:5.1f} s  {'noticed' if failed else 'SURVIVED'}  {job}\n          {failed or ''}", flush=True)
        survivors += [] if failed else [job]
    print(f"{len(chosen)} faults, {len(survivors)} survived, {(time.monotonic() - began) / 60:.1f} minutes")
    for job in survivors:
        print(f"survived: {job}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
