"""Energy that the processor took, where the kernel counts it.

Linux counts the energy of each processor package in `/sys/class/powercap` (RAPL, on Intel and AMD). Most containers and
virtual machines do not show it, and where it is shown only root may read it, unless the machine's owner says otherwise.

Known error: a package counts all that runs on it, other processes and idling too, and no memory chips, graphics card
or power supply. Counters are brought up to date about once a millisecond. They start again from zero at their range
(some minutes to an hour at full load), which is told once: a block must be shorter than that.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from throughtime.records.record import Measure

POWERCAP = Path("/sys/class/powercap")
_METHOD = "RAPL counters of all processor packages, whatever ran on them"


class Energy:
    """Counts the energy of a `with` block.

        with Energy() as energy:
            evaluate(network, dataset, "test")
        print(energy.joules, energy.missing)

    Attributes:
        joules: after the block, what the processor packages took during it; None where nothing counts it.
        missing: why not; None where something does.
    """

    def __init__(self) -> None:
        self.joules: float | None = None
        self.missing: str | None = "the block is not over"
        self._before: dict[Path, int] = {}

    def __enter__(self) -> Energy:
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
            self.joules = sum((after[p] - before) % ranges[p] for p, before in self._before.items()) / 1e6
            self.missing = None
        except (OSError, KeyError, ValueError) as gone:
            self.missing = f"a counter was there before the block and not after it: {gone}"

    def measure(self, times: int = 1, unit: str = "joule") -> Measure:
        """The energy of the block as a measure; of one of `times` equal parts if that is given with its unit."""
        value = None if self.joules is None else self.joules / times
        return Measure(value=value, unit=unit, method=_METHOD, missing=self.missing)


def _counters() -> dict[Path, int]:
    """Microjoules of each processor package; its parts (`intel-rapl:0:0`) and the whole board (`psys`) left out."""
    packages = [p for p in POWERCAP.glob("intel-rapl:*") if p.name.count(":") == 1]
    packages = [p for p in packages if (p / "name").read_text().startswith("package")]
    return {package: int((package / "energy_uj").read_text()) for package in packages}
