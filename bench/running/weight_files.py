"""The files with the weights with which runs begin: those of another suite's runs, or a file that a suite names."""

from __future__ import annotations

import hashlib
from pathlib import Path

from throughtime.errors import UsageError
from throughtime.records.files import WEIGHTS
from throughtime.records.store import Store
from throughtime.spec import InitialWeights, RunSpec


class WeightFiles:
    """Finds the initial weights of runs; each file and each suite of a store is read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._suites: dict[str, dict[tuple[object, ...], tuple[str, Path]]] = {}
        self._digests: dict[Path, str] = {}

    def initial_weights(self, spec: RunSpec) -> tuple[InitialWeights | None, str | None]:
        """Return the initial weights of a run, or None for random ones; and the reason why they are missing, or None.

        Raises:
            UsageError: the file that `training.initial_weights` names cannot be read.
        """
        source = spec.training.initial_weights
        if spec.initial_weights is not None or source is None:
            return spec.initial_weights, None
        if source.endswith(".pt"):
            return self._in_file(Path(source).resolve(), None), None
        if source not in self._suites:
            self._suites[source] = self._trained(source)
        trained = self._suites[source].get(_key(spec))
        if trained is None:
            hint = f"run the suite {source} with `keep_weights: true` first"
            return None, f"no weights of this cell and replicate in {self._store.folder / source}: {hint}"
        run, path = trained
        return self._in_file(path.resolve(), run), None

    def _trained(self, suite: str) -> dict[tuple[object, ...], tuple[str, Path]]:
        """Return id and weights of the newest run of each cell and replicate of a suite that has weights."""
        records = sorted(self._store.records(suite), key=lambda stored: stored.record.started)
        with_weights = ((record, folder / WEIGHTS) for record, folder in records if (folder / WEIGHTS).exists())
        return {_key(record.spec): (record.id, path) for record, path in with_weights if record.status == "ok"}

    def _in_file(self, path: Path, run: str | None) -> InitialWeights:
        if path not in self._digests:
            try:
                self._digests[path] = hashlib.sha256(path.read_bytes()).hexdigest()
            except OSError as error:
                raise UsageError(f"the initial weights cannot be read: {error.strerror}", str(path)) from error
        return InitialWeights(file=str(path), sha256=self._digests[path], run=run)


def _key(spec: RunSpec) -> tuple[object, ...]:
    """Return scale, cell and replicate of a run. In a trial, the rule's label in the suite is the first word."""
    rule, *others = spec.cell
    return (spec.scale, rule.partition(" ")[0], *others, spec.replicate)
