"""The committed runs, read from the baselines without unpacking them, and a user's own runs in their place."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from throughtime.records.baselines import baselines_in, curve_lines, curve_rows, read_baseline, suite_of
from throughtime.records.record import Record
from throughtime.records.store import Store, Stored


def committed_folder() -> Path:
    """Return the folder of the committed baselines: it lies beside the published curves, in the wheel too."""
    return Path(str(resources.files("throughtime.published"))).parent / "baselines"


class CommittedStore(Store):
    """The committed runs, and those of a results folder, as one store that is only read.

    A cell (rule, neuron, network and dataset of a suite at a scale) of which the results folder has a run has the runs
    of that folder, and no committed ones.

    Args:
        folder: a results folder; None: the committed runs alone.
        baselines: the folder of the committed baselines.

    Raises:
        UsageError: the results folder is a file.
    """

    def __init__(self, folder: str | Path | None = None, baselines: Path | None = None) -> None:
        self.baselines = committed_folder() if baselines is None else baselines
        super().__init__(self.baselines if folder is None else folder)  # the folder of the baselines has no records
        self._curves: dict[Path, dict[str, str]] = {}

    def read(self, suite: str | None = None) -> Iterator[tuple[Stored, bytes]]:
        """Yield the records of the results folder, then those of the baselines in other cells; see `Store.read`.

        Raises:
            UsageError: a baseline cannot be read.
        """
        own = set()
        for stored, text in super().read(suite):
            own.add(_cell(stored.record))
            yield stored, text
        for path in baselines_in(self.baselines):
            if suite in (None, suite_of(path)):
                for record in read_baseline(path):
                    if _cell(record) not in own:
                        yield Stored(record, path), record.model_dump_json(by_alias=True).encode()

    def curve(self, run_id: str, folder: Path) -> tuple[list[dict[str, Any]], str | None]:
        """Read the learning curve of a run; `folder` is the file of the baseline for a committed run."""
        if folder.parent != self.baselines:
            return super().curve(run_id, folder)
        if folder not in self._curves:
            self._curves[folder] = curve_lines(folder)
        line = self._curves[folder].get(run_id)
        return (curve_rows(line) if line else []), None


def _cell(record: Record) -> tuple[str, ...]:
    spec = record.spec
    return (spec.suite, spec.scale, *spec.cell)
