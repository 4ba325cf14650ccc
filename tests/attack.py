"""An attack with random faults, reproducible by its seed and bounded in time.

    python tests/attack.py --minutes 10 --seed 1      all kinds, each for an equal share of the time
    python tests/attack.py data kills --minutes 5     some kinds

Each attempt damages an input, calls the package, and demands a result or a message: exit code 0, 1 or 2, or a
UsageError. An unexpected exception, another exit code, or an attempt without an end is a fault. `kills` demands the
records of an undisturbed sweep. The last lines are the counts; the exit code is 1 if there is a fault.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[0] = str(ROOT)  # for the helpers of the tests, not for the folders beside this file

from tests.synthetic_records import grid_store  # noqa: E402
from throughtime.commands.main import main as throughtime  # noqa: E402
from throughtime.datasets.files import fetch  # noqa: E402
from throughtime.datasets.prepared import PreparedDataset  # noqa: E402
from throughtime.errors import UsageError  # noqa: E402
from throughtime.records.store import Store  # noqa: E402
from throughtime.registry import DATASETS  # noqa: E402
from throughtime.running.rerun import differences  # noqa: E402

SECONDS = 60
"""Time limit of an attempt."""
WORDS = ["0", "-1", "1e308", "nan", "null", "[]", "{}", "''", "\x1b[2J", "../..", "é" * 40, "999999999999", "true", "*"]
SUITE = """
suite: attacked
rules: [bptt, {name: fptt, parts: 4}]
neurons: [lif]
networks: [{name: recurrent, hidden: [6]}]
datasets: [{name: digits, steps: 8}]
replicates: 2
passes: [train, bytes]
training: {epochs: 3, batch: 64}
"""


class FaultError(Exception):
    """The package did not answer as it should; the message has the input."""


def damaged(content: bytes, dice: random.Random) -> bytes:
    """Return content with one to four damages: bits, cuts, repetitions, zeros, large numbers."""
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(content) + 1)
        end = min(len(content), at + dice.choice([1, 4, 8, 64, 4096]))
        new = dice.choice([bytes(end - at), b"\xff" * (end - at), dice.randbytes(end - at), b"", content[at:end] * 2])
        content = content[:at] if dice.random() < 0.15 else content[:at] + new + content[end:]
    return content


def called(*words: str) -> int:
    """Run a command in this process; return its exit code, which must be 0, 1 or 2."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = throughtime(list(words))
    if code not in (0, 1, 2) or "Traceback" in out.getvalue():
        raise FaultError(f"exit code {code}: {' '.join(words)}\n{out.getvalue()[-2000:]}")
    return code


# --- kinds of attempts: each yields its tries, as functions without arguments


def suites(dice: random.Random, folder: Path) -> Iterator[Callable[[], object]]:
    """Damaged texts of suites, planned."""
    texts = [path.read_text("utf-8") for path in sorted(ROOT.glob("bench/suites/*.yaml"))]
    path = folder / "suite.yaml"
    while True:
        text = dice.choice(texts) if dice.random() < 0.5 else SUITE
        if dice.random() < 0.5:
            path.write_bytes(damaged(text.encode(), dice))
        else:  # a word replaced, which mostly remains YAML
            words = text.split(" ")
            words[dice.randrange(len(words))] = dice.choice(WORDS)
            path.write_text(" ".join(words), "utf-8")
        yield lambda: called("plan", str(path), "--scale", "tiny", "--results", str(folder / "none"))


def commands(dice: random.Random, folder: Path) -> Iterator[Callable[[], object]]:
    """Command lines of random words; none that trains for long, downloads or writes outside of the folder."""
    names = ["ls", "plan", "status", "rerun", "table", "figure", "show", "compare", "papers", "bytes", "data", "export"]
    options = [
        "--scale",
        "--results",
        "--json",
        "--only",
        "--set",
        "--format",
        "--out",
        "--plugin",
        "--measure",
        "--rounds",
    ]
    words = [*WORDS, "quick", "tiny", "lif", "bptt", "digits", "accuracy", "csv", str(folder), "ls", "nir", "verify"]
    while True:
        line = [dice.choice(names), *(dice.choice([*options, *words]) for _ in range(dice.randint(0, 5)))]
        if "fetch" not in line and not {"verify", "show"} & set(line[1:]):
            yield lambda line=line: called(*line)


def records(dice: random.Random, folder: Path) -> Iterator[Callable[[], object]]:
    """Damaged records and learning curves, read by reports and comparisons."""
    whole = grid_store(folder / "whole").folder
    files = sorted(path for path in whole.rglob("*") if path.is_file())
    while True:
        other = folder / "other"
        shutil.rmtree(other, ignore_errors=True)
        shutil.copytree(whole, other)
        for path in dice.sample(files, dice.randint(1, 3)):
            target = other / path.relative_to(whole)
            target.write_bytes(damaged(target.read_bytes(), dice))
        words = dice.choice([["table", "--results"], ["status", "--results"], ["compare", str(whole)]])
        yield lambda words=words, other=other: called(*words, str(other))


def data(dice: random.Random, folder: Path) -> Iterator[Callable[[], object]]:
    """Damaged files of each dataset that reads files, in its real format; members of zip archives, too."""
    kinds = [name for name in DATASETS.names() if issubclass(DATASETS[name].factory, PreparedDataset)]
    while True:
        dataset = DATASETS[dice.choice(kinds)].factory.tiny()
        raw, ready = folder / "raw", folder / "ready"
        for place in (raw, ready):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
        if dataset.write_files is None:
            continue
        paths = dataset.write_files(raw)
        files = sorted(path for path in raw.rglob("*") if path.is_file())
        if not files:  # it reads a file of the package
            continue
        path = dice.choice(files)
        if zipfile.is_zipfile(path) and dice.random() < 0.7:
            _damage_a_member(path, dice)
        else:
            path.write_bytes(damaged(path.read_bytes(), dice))
        yield lambda dataset=dataset, paths=paths, ready=ready: dataset.build(paths, ready)


def _damage_a_member(path: Path, dice: random.Random) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = dice.choice(sorted(members))
    members[name] = damaged(members[name], dice)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def kills(dice: random.Random, folder: Path) -> Iterator[Callable[[], object]]:
    """Sweeps whose processes are killed at random times; the records are those of an undisturbed sweep."""
    import psutil

    suite = folder / "attacked.yaml"
    suite.write_text(SUITE)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def runner(results: Path) -> subprocess.Popen:
        words = ["run", str(suite), "--scale", "tiny", "--results", str(results), "--rerun", "failed"]
        command = [sys.executable, "-m", "throughtime", *words]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)

    def attempt(results: Path, delay: float, of_runner: bool, signum: int) -> None:
        process = runner(results)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(delay)
        with contextlib.suppress(psutil.Error, IndexError):
            family = [psutil.Process(process.pid)]
            family += family[0].children(recursive=True)
            (family[0] if of_runner else dice.choice(family)).send_signal(signum)
        process.wait(SECONDS)
        if runner(results).wait(2 * SECONDS) != 0:
            raise FaultError(f"the sweep does not end after signal {signum} at {delay:.2f} s")
        for before, now in zip(Store(calm).records(), Store(results).records(), strict=True):
            if found := [d for d in differences(before, now) if d.counts]:
                raise FaultError(f"another record after signal {signum} at {delay:.2f} s: {found}")

    calm = folder / "calm"
    if runner(calm).wait(5 * SECONDS) != 0:
        raise FaultError("the undisturbed sweep failed")
    number = 0
    while True:
        number += 1
        arguments = (folder / str(number), dice.uniform(0, 20), dice.random() < 0.5)
        signum = dice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        yield lambda arguments=arguments, signum=signum: attempt(*arguments, signum)


def surroundings(dice: random.Random, folder: Path) -> Iterator[Callable[[], object]]:
    """Commands with a terminal of 20 columns, without UTF-8, with a strict umask, or with SIGINT ignored."""
    suite = folder / "attacked.yaml"
    suite.write_text(SUITE)
    while True:
        command = dice.choice([["plan", str(suite)], ["ls"], ["status", "--results", str(folder)], ["papers"]])
        setting = dice.choice(
            [{"COLUMNS": "20"}, {"PYTHONIOENCODING": "ascii"}, {"TERM": "dumb"}, {"HOME": "/nowhere"}]
        )
        umask, ignores = dice.choice([0o022, 0o077]), dice.random() < 0.5

        def prepare(umask: int = umask, ignores: bool = ignores) -> None:
            os.umask(umask)
            signal.signal(signal.SIGINT, signal.SIG_IGN if ignores else signal.SIG_DFL)

        def attempt(command: list[str] = command, setting: dict[str, str] = setting, prepare=prepare) -> None:
            words = [sys.executable, "-m", "throughtime", *command]
            done = subprocess.run(
                words, env={**os.environ, **setting}, preexec_fn=prepare, capture_output=True, timeout=2 * SECONDS
            )
            if done.returncode not in (0, 1, 2) or b"Traceback" in done.stderr:
                raise FaultError(
                    f"exit code {done.returncode}: {setting} {' '.join(command)}\n{done.stderr.decode()[-2000:]}"
                )

        yield attempt


KINDS = {kind.__name__: kind for kind in (suites, commands, records, data, surroundings, kills)}


def attacked(kind: str, seed: int, seconds: float, most: int | None) -> tuple[int, list[str]]:
    """Make attempts of one kind; return their number, and a text for each fault."""
    dice, faults, count, end = random.Random(f"{kind} {seed}"), [], 0, time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="attack-") as name:
        os.chdir(name)
        os.environ[fetch.CACHE] = str(Path(name, "cache"))
        for attempt in KINDS[kind](dice, Path(name)):
            signal.alarm(5 * SECONDS if kind in ("kills", "surroundings") else SECONDS)
            try:
                attempt()
            except UsageError:
                pass
            except Exception:
                faults.append(f"{kind}, seed {seed}, attempt {count}:\n{traceback.format_exc()[-3000:]}")
            finally:
                signal.alarm(0)
            count += 1
            if time.monotonic() > end or count == most:
                break
    return count, faults


def main() -> int:
    """Attack for some minutes, print faults and counts, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], help="default: all")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--attempts", type=int, help="largest number of attempts of a kind")
    arguments = parser.parse_args()

    def too_long(*_: object) -> None:
        raise TimeoutError("no end")

    signal.signal(signal.SIGALRM, too_long)
    kinds = arguments.kinds or list(KINDS)
    found, counts = [], {}
    for kind in kinds:
        counts[kind], faults = attacked(kind, arguments.seed, 60 * arguments.minutes / len(kinds), arguments.attempts)
        found += faults
        print(f"{kind}: {counts[kind]} attempts, {len(faults)} faults", flush=True)
    print("\n".join(found))
    print(", ".join(f"{count} {kind}" for kind, count in counts.items()) + f": {len(found)} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
