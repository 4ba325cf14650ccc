"""Attacks on what is around a sweep: signals, clocks, locks, memory, users, terminals."""

from __future__ import annotations

import atexit
import errno
import functools
import os
import pty
import random
import resource
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from fcntl import ioctl
from pathlib import Path

from tests.attacks.basics import Attack, Attempt, FaultError, NotRunError, require_answer
from tests.attacks.sweeps import ENVIRONMENT, WORDS, Sweep, answer, ignore_ctrl_c
from tests.attacks.texts import SUITE
from throughtime.records.store import Store

NAMESPACE = ["unshare", "--mount", "--propagation", "private", "sh", "-ec"]
"""Runs a script with mounts of its own."""
YEAR = 365 * 86400
OTHERS = (54321, 54322)
"""Two users who are not the one who attacks."""


@functools.cache
def undisturbed(passes: str) -> Sweep:
    """Return a sweep of four runs with these passes, run undisturbed once for all kinds."""
    folder = Path(tempfile.mkdtemp(prefix="attack-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    suite = folder / "attacked.yaml"
    suite.write_text(SUITE.replace("[train, bytes]", passes))
    return Sweep(str(suite), [], folder)


def surrounding(attack: Callable[[Sweep, random.Random, Path], None], passes: str = "[train, bytes]") -> Attack:
    """Return an attack on a sweep of four runs.

    Args:
        attack: of the sweep and a new folder for its results; raises FaultError.
        passes: of the runs.
    """

    def attempts(dice: random.Random, folder: Path) -> Iterator[Attempt]:
        folder.chmod(0o755)
        number = 0
        while True:
            number += 1
            yield lambda number=number: attack(undisturbed(passes), dice, folder / str(number))

    return attempts


def require_done(
    sweep: Sweep, results: Path, what: str, settings: dict[str, str] | None = None, missing: str = "", **options
) -> None:
    """Run the sweep; raise FaultError unless it succeeds with the records of the undisturbed one."""
    code, printed = answer(sweep.command(results), settings=settings, **options)
    if code:
        raise FaultError(f"{what}: exit code {code}\n{printed[-2000:]}")
    sweep.require_same(results, what, missing)


def sigint_ignored(sweep: Sweep, dice: random.Random, results: Path) -> None:
    """A parent ignores SIGINT, as nohup and shells in the background do: the sweep does not stop at one."""
    with subprocess.Popen(
        sweep.command(results),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        preexec_fn=ignore_ctrl_c,
        text=True,
    ) as process:
        while process.poll() is None:
            time.sleep(dice.uniform(0, 2))
            process.send_signal(signal.SIGINT)
        if process.returncode:
            raise FaultError(f"exit code {process.returncode}\n{process.communicate()[1][-2000:]}")
    sweep.require_same(results, "SIGINT ignored")


def clock(sweep: Sweep, dice: random.Random, results: Path) -> None:
    """The clock of the day jumps, and files are of next year or of 1970: the records are the same."""
    seconds = dice.choice([60, 86400, 20 * YEAR])
    what, settings = f"a clock that jumps {seconds} s", preloaded(results.parent, ATTACK_CLOCK=str(seconds))
    unknown = "missing: the clock of the day was set"
    require_done(sweep, results, what, settings, missing=unknown)
    for stored in Store(results).records():
        if not 0 <= stored.record.seconds < 3600:
            raise FaultError(f"a run of {stored.record.seconds} s")
    for path in results.rglob("*"):
        os.utime(path, (moment := dice.choice([0, time.time() + YEAR]), moment))
    for words in (["status"], ["table"], ["plan", sweep.suite, "--scale", "tiny"]):
        code, printed = answer([*WORDS, *words, "--results", str(results)])
        if code or "0 have their record" in printed:
            raise FaultError(f"{words[0]}, files of another year: exit code {code}\n{printed}")
    require_done(sweep, results, "files of another year", missing=unknown)


def locks(sweep: Sweep, dice: random.Random, results: Path) -> None:
    """Folders of results or of temporary files without locks: the sweep runs, or a message names the folder."""
    results.mkdir()
    number = dice.choice([errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
    folder = results if dice.random() < 0.5 else Path(os.environ.get("TMPDIR", "/tmp"), "throughtime.lock")
    settings = preloaded(results.parent, ATTACK_LOCKS=f"{number}:{folder}")
    code, printed = answer(sweep.command(results), settings=settings)
    if code == 0:
        sweep.require_same(results, "a folder without locks")
    elif code != 2 or str(folder) not in printed:
        raise FaultError(f"{errno.errorcode[number]} in {folder}: exit code {code}\n{printed[-2000:]}")


def preloaded(folder: Path, **settings: str) -> dict[str, str]:
    """Compile `odd_libc.c`, and return the environment that makes it effective."""
    library = folder / "odd_libc.so"
    compiler = shutil.which("cc")
    if not library.exists():
        if compiler is None:
            raise NotRunError("a C compiler")
        source = Path(__file__).with_name("odd_libc.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), **settings}


def shm(sweep: Sweep, dice: random.Random, results: Path) -> None:
    """A /dev/shm of 4 kB, as containers have small ones."""
    require_namespace()
    script = 'mount -t tmpfs -o size=4k none /dev/shm; exec "$@"'
    code, printed = answer([*NAMESPACE, script, "-", *sweep.command(results)])
    if code:
        raise FaultError(f"a small /dev/shm: exit code {code}\n{printed[-2000:]}")
    sweep.require_same(results, "a small /dev/shm")


def require_namespace() -> None:
    if subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode:
        raise NotRunError("the right to mount, in a namespace")


def memory(sweep: Sweep, dice: random.Random, results: Path) -> None:
    """Too little memory, by a limit of the address space or by --memory-limit, then enough."""
    limit = dice.choice([1, 2, 3, 4, 6]) << 29
    if dice.random() < 0.5:
        answer(sweep.command(results), lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
    else:
        answer([*sweep.command(results), "--memory-limit", f"{limit >> 22}MiB"])
    require_done(sweep, results, f"after a limit of {limit >> 20} MiB")


def control_group(sweep: Sweep, dice: random.Random, results: Path) -> None:
    """A control group with too little memory, in which the kernel kills processes; then enough."""
    require_namespace()
    place = results.parent / "group"
    place.mkdir(exist_ok=True)
    group, mount = place / f"attack-{os.getpid()}", f"mount -t cgroup -o memory none {place}"
    limit = dice.choice([200, 300, 400, 600]) << 20
    if subprocess.run([*NAMESPACE, mount], capture_output=True).returncode:
        raise NotRunError("the controller of memory (control groups, version 1)")
    script = f"{mount}; mkdir -p {group}; echo {limit} >{group}/memory.limit_in_bytes; echo $$ >{group}/cgroup.procs"
    words = [*NAMESPACE, f'{script}; exec "$@"', "-", *sweep.command(results)]
    try:
        done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True)
    finally:
        subprocess.run([*NAMESPACE, f"{mount}; rmdir {group}"], check=True)
    if done.returncode != -signal.SIGKILL:  # the runner itself may be killed
        require_answer(done.returncode, done.stderr, f"a control group of {limit >> 20} MiB")
    require_done(sweep, results, f"after a control group of {limit >> 20} MiB")


def umask(sweep: Sweep, dice: random.Random, results: Path) -> None:
    """A strict or a useless umask."""
    mask = dice.choice([0o077, 0o777 & ~0o700, 0o027, 0o000])
    code, printed = answer(sweep.command(results), lambda: os.umask(mask))
    if code:
        raise FaultError(f"umask {mask:03o}: exit code {code}\n{printed[-2000:]}")
    sweep.require_same(results, f"umask {mask:03o}")
    for words in (["status"], ["table"]):
        answer([*WORDS, *words, "--results", str(results)])


def users(sweep: Sweep, dice: random.Random, results: Path) -> None:
    """A user runs the sweep; another one reads its results, may not write there, and runs the sweep elsewhere."""
    if os.getuid():
        raise NotRunError("the right to become another user")
    if not may_run(OTHERS[0]):
        raise NotRunError("a Python that other users may run")
    mask, settings, first, second = dice.choice([0o022, 0o077]), {}, OTHERS[0], OTHERS[1]
    for user in OTHERS:
        home = results / str(user)
        home.mkdir(parents=True, mode=0o755)
        os.chown(home, user, -1)
        settings[user] = {"HOME": str(home), "THROUGHTIME_CACHE": str(home / "cache"), "MPLCONFIGDIR": str(home)}
        settings[user]["NUMBA_CACHE_DIR"] = str(home)
    theirs = results / str(first) / "results"
    require_done(
        sweep, theirs, "another user", settings[first], prepare=lambda: os.umask(mask), user=first, cwd=results
    )  # fmt: skip
    for words in (["status"], ["table"], ["plan", sweep.suite, "--scale", "tiny"]):
        answer([*WORDS, *words, "--results", str(theirs)], settings=settings[second], user=second, cwd=results)
    code, printed = answer(
        [*sweep.command(theirs), "--set", "replicates=3"], settings=settings[second], user=second, cwd=results
    )
    if code not in (1, 2) or str(theirs) not in printed:
        raise FaultError(f"a sweep into the results of another user: exit code {code}\n{printed[-2000:]}")
    own = results / str(second) / "results"
    require_done(sweep, own, "a second user", settings[second], user=second, cwd=results)


def may_run(user: int) -> bool:
    """Return whether a user may run this Python and the package."""
    try:
        done = subprocess.run([WORDS[0], "-c", "import throughtime"], user=user, capture_output=True)
    except PermissionError:
        return False
    return done.returncode == 0


def terminal(sweep: Sweep, dice: random.Random, results: Path) -> None:
    """A terminal of 20 columns, or of none."""
    columns = dice.choice([20, 20, 1, 0])
    commands = [sweep.command(results)[3:], ["ls"], ["papers"], ["plan", sweep.suite], ["data", "ls"]]
    commands += [[name, "--results", str(sweep.calm)] for name in ("status", "table")]
    for words in commands[:1] + dice.sample(commands[1:], 2):
        ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 10, columns, 0, 0))
        process = subprocess.Popen(
            [*WORDS, *words], stdin=theirs, stdout=theirs, stderr=theirs, env={**ENVIRONMENT, "TERM": "xterm"}
        )
        os.close(theirs)
        printed = b""
        try:
            while part := os.read(ours, 65536):
                printed += part
        except OSError:  # the other end is closed
            pass
        finally:
            os.close(ours)
        require_answer(process.wait(), printed.decode(errors="replace"), f"{columns} columns: {' '.join(words)}")
    sweep.require_same(results, f"a terminal of {columns} columns")


def environment(sweep: Sweep, dice: random.Random, results: Path) -> None:
    """No home, no UTF-8, a terminal without cursor, no folder for temporary files."""
    settings = dice.choice(
        [
            {"HOME": "/nowhere", "THROUGHTIME_CACHE": ""},
            {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
            {"TERM": "dumb", "NO_COLOR": "1"},
            {"TMPDIR": "/nowhere"},
        ]
    )
    require_done(sweep, results, str(settings), settings)
    for words in (["ls"], ["papers"], ["status", "--results", str(results)]):
        answer([*WORDS, *words], settings=settings)


KINDS: dict[str, Attack] = {
    "sigint": surrounding(sigint_ignored),
    "clock": surrounding(clock),
    "locks": surrounding(locks, "[train, memory]"),
    "shm": surrounding(shm),
    "memory": surrounding(memory),
    "cgroup": surrounding(control_group),
    "umask": surrounding(umask),
    "users": surrounding(users, "[train, memory]"),
    "terminal": surrounding(terminal),
    "environment": surrounding(environment),
}
