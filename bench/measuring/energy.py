"""Energy of the processor, by the kernel's counters.

Linux counts the energy of each processor package in `/sys/class/powercap` (RAPL, on Intel and AMD). Most containers and
virtual machines have no such counters, and elsewhere only root may read them by default.

Known errors: a counter includes other processes and idle power of the package, and excludes memory, graphics card and
power supply. Its value is updated about once a millisecond. It wraps around after some minutes to an hour at full load.
The difference of two readings allows for one wrap, so a block in which two are possible has no number.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType

from throughtime.records.record import Measure

POWERCAP = Path("/sys/class/powercap")
WATTS = 1000.0
"""A power that no processor package exceeds."""
_METHOD = "RAPL counters of all processor packages, other processes included"


class Energy:
    """Context manager that measures the energy of the block.

        with Energy() as energy:
            evaluate(network, dataset, "test")
        print(energy.joules, energy.missing)

    Attributes:
        joules: energy of the processor packages during the block; None without counters, or if the block was too long.
        missing: the reason why `joules` is None; None otherwise.
    """

    def __init__(self) -> None:
        self.joules: float | None = None
        self.missing: str | None = "the block is not over"
        self._before: dict[Path, int] = {}
        self._begun = time.monotonic()

    def __enter__(self) -> Energy:
        self._begun = time.monotonic()
        try:
            self._before = _counters()
        except OSError as error:
            self._before, self.missing = {}, f"{error.filename} cannot be read: {error.strerror}"
        else:
            if not self._before:
                self.missing = f"no counter of a processor package in {POWERCAP}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._before:
            return
        try:
            after = _counters()
            ranges = {package: int((package / "max_energy_range_uj").read_text()) for package in self._before}
            joules = sum((after[p] - before) % ranges[p] for p, before in self._before.items()) / 1e6
        except (OSError, KeyError, ValueError) as gone:
            self.missing = f"a counter disappeared during the block: {gone}"
            return
        seconds, longest = time.monotonic() - self._begun, min(ranges.values()) / 1e6 / WATTS
        if seconds > longest:
            at_most = f"a counter may wrap around after {longest:.3g} s at {WATTS:g} W"
            self.missing = f"{at_most}, and the block took {seconds:.0f} s"
        else:
            self.joules, self.missing = joules, None

    def measure(self, times: int = 1, unit: str = "joule") -> Measure:
        """Return the block's energy, divided by `times`, as a measure in `unit`."""
        value = None if self.joules is None else self.joules / times
        return Measure(value=value, unit=unit, method=_METHOD, missing=self.missing)


def _counters() -> dict[Path, int]:
    """Read the microjoules of each processor package, not of its parts (`intel-rapl:0:0`) or the board (`psys`)."""
    packages = [p for p in POWERCAP.glob("intel-rapl:*") if p.name.count(":") == 1]
    packages = [p for p in packages if (p / "name").read_text().startswith("package")]
    return {package: int((package / "energy_uj").read_text()) for package in packages}
