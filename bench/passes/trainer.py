"""The training loop: data, windows, epochs, validation, best weights, alignment, curve, checkpoints."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from throughtime.algorithms.base import Observation
from throughtime.datasets.base import Split
from throughtime.datasets.batch import Batch
from throughtime.errors import DivergedError, StoppedError, UsageError, first_line
from throughtime.harness.batches import Evaluation, cuda_devices, evaluate, finite, learn_batch, started
from throughtime.harness.build import Built, build
from throughtime.harness.clock import Clock
from throughtime.harness.seeds import stream
from throughtime.harness.tensor_file import packed, unpacked
from throughtime.harness.updater import all_finite
from throughtime.measuring.alignment import alignment_in_training, alignment_measures, curve_keys
from throughtime.passes.checkpoint import restore, state_of
from throughtime.passes.observations import observed
from throughtime.passes.trained import Trained, TrainingPosition, mean_of
from throughtime.records.files import CHECKPOINT, CURVE, POSITION
from throughtime.records.provenance import versions
from throughtime.records.record import Measure
from throughtime.spec import RunSpec
from throughtime.whole_files import write_whole

CHECKPOINT_SECONDS = 60.0
"""Seconds between two checkpoints, which is the training time that a kill can lose."""
POSITION_SECONDS = 1.0
"""Seconds between two updates of the position file."""


def never() -> bool:
    """Return False: training is never stopped."""
    return False


class Trainer:
    """Trains the components of a spec; another process can resume training from the run's folder.

    After each epoch the network is evaluated on the validation split, which chooses the best weights and stops training
    early, and on the test split, which chooses nothing: its best value is the result by the protocol of many papers.

    `curve.jsonl` gets a row after each epoch, `position.json` contains the position and is updated about once a second,
    and `checkpoint.pt` is written once a minute and on a request to stop. Training resumes from an existing checkpoint:
    weights, curve and measures are then bit for bit those of an uninterrupted training, except times. If a checkpoint
    cannot be read or written, the log says so and training continues.

    Args:
        spec: the run.
        built: its components; the rule has not been started.
        folder: the folder of the run.
        stopping: called after each batch and each evaluation; training stops once it returns true.
    """

    def __init__(self, spec: RunSpec, built: Built, folder: Path, stopping: Callable[[], bool] = never) -> None:
        self.spec, self.folder, self.stopping = spec, folder, stopping
        self._began = time.perf_counter()
        self._saved_at, self._position_at = time.monotonic(), -math.inf
        self._failure_printed = False
        self._curve = folder / CURVE
        self._start(built)
        path = folder / CHECKPOINT
        if path.exists():
            try:
                self._resume(unpacked(path.read_bytes()))
            except Exception as error:  # a file from elsewhere may raise any exception
                why = f"{type(error).__name__}: {first_line(error)}"
                print(f"{CHECKPOINT} cannot be resumed, training starts again: {why}", flush=True)
                self._start(build(spec))
        if not self.reached.continued:
            self._curve.write_text("", encoding="utf-8")

    def _start(self, built: Built) -> None:
        spec, self.built, self.clock = self.spec, built, Clock()
        self.update = started(spec, built, built.dataset.steps, self.clock)
        self.order = torch.Generator().manual_seed(stream(spec.seed, "data order", spec.replicate))
        self._order_of_epoch = self.order.get_state()
        self.reached, self._seconds_before = TrainingPosition(), 0.0
        self.observations: dict[str, Observation] = {}
        self.aligned: dict[str, Measure] = {}
        self.best_weights: dict[str, Tensor] = copy.deepcopy(built.network.state_dict())

    def train(self) -> Trained:
        """Train; test with the weights best on validation and with the last, which are retained.

        Raises:
            DivergedError: the loss or a weight became infinite or NaN; the message gives the position.
            StoppedError: `stopping` returned true; there is a checkpoint unless the message says otherwise.
        """
        position = self.reached
        try:
            if 0 in self.spec.training.alignment and not position.rows:
                self._end_of_epoch(0, None)
                self._pause()
            while (end := self._end()) is None:
                self._write_position()  # here too, because short epochs may be killed before `_pause` writes it
                self._epoch()
                self._pause()
            return self._tested(end)
        except Exception:
            self._write_position()
            raise

    def _end(self) -> str | None:
        """Return the reason why training is complete, as the record has it; None if it is not complete."""
        training, trained, metric = self.spec.training, self.reached.epoch - 1, self.built.dataset.task.metric
        if trained >= training.epochs:
            return f"of {training.epochs}"
        if training.patience is not None and trained - self.reached.best_epoch >= training.patience:
            what = f"none of the last {training.patience} was the best on the validation split"
            return f"of {training.epochs}, stopped: {what}"
        sign = 1 if metric.higher_is_better else -1
        if training.stop_at is not None and self.reached.best >= sign * training.stop_at:
            what = f"{metric.name} on the validation split reached {training.stop_at:g}"
            return f"of {training.epochs}, stopped: {what}"
        return None

    def _epoch(self) -> None:
        """Train the rest of the current epoch, then evaluate."""
        dataset, _, rule = self.built
        position = self.reached
        for batch in self._batches():
            with self.clock.phase("learn"):
                loss = float(learn_batch(rule, batch, self.update))
            position.losses.append(loss)
            position.iteration += 1
            position.sequences += batch.sequences
            if not math.isfinite(loss):
                raise DivergedError(f"loss is {loss} at {self._place()}")
            if not all_finite(self.update.flat.weights):
                raise DivergedError(f"a weight is infinite or NaN at {self._place()}")
            self._pause()
            del batch
        if not position.losses:
            raise UsageError("an epoch has no batch", hint="drop_last: false, or a smaller batch")
        self.observations = observed(rule, dataset.task)
        self.update.end_epoch()
        position.loss = sum(position.losses) / len(position.losses)
        headline, (validation, test) = dataset.task.metric, self._end_of_epoch(position.epoch, position.loss)
        sign = 1 if headline.higher_is_better else -1
        if (score := sign * validation.metrics[headline.name]) > position.best:
            position.best, position.best_epoch, position.validation = score, position.epoch, validation.metrics
            self.best_weights = copy.deepcopy(self.built.network.state_dict())
        if (score := sign * test.metrics[headline.name]) > position.best_test_score:
            position.best_test_score, position.best_test_epoch, position.best_test = score, position.epoch, test.metrics
        position.last_tests = [*position.last_tests, test.metrics][-self.spec.training.mean_of_last :]
        position.epoch, position.seen, position.losses = position.epoch + 1, 0, []
        self._order_of_epoch = self.order.get_state()

    def _batches(self) -> Iterator[Batch]:
        """Yield the remaining batches of the epoch.

        No reference to a batch remains while the next one is loaded, so that the next one reuses its memory. Mapping
        new pages for a large batch takes longer than filling it.
        """
        dataset, network, _ = self.built
        with self.clock.phase("load"):
            batches = dataset.batches("train", self.spec.training.batch, self.order)
            if self.reached.seen:
                with torch.random.fork_rng(devices=cuda_devices(network)):
                    for _ in range(self.reached.seen):
                        next(batches, None)
        while True:
            with self.clock.phase("load"):
                batch = next(batches, None)
            if batch is None:
                return
            self.reached.seen += 1
            smaller = self.spec.training.drop_last and batch.sequences < self.spec.training.batch
            # The last batch may be a single sample, which batch normalisation cannot normalise.
            if not (smaller or (network.mixes_samples and batch.sequences == 1)):
                yield batch
            del batch

    def _end_of_epoch(self, epoch: int, loss: float | None) -> tuple[Evaluation, Evaluation]:
        """Evaluate on the validation and test splits, measure alignment if due, and write a row of the curve."""
        spec, built, position = self.spec, self.built, self.reached
        with self.clock.phase("evaluate"):
            validation, test = self._evaluated("validation"), self._evaluated("test")
        row = {
            "epoch": epoch,
            "iteration": position.iteration,
            "updates": self.update.count,
            "sequences": position.sequences,
            "train_loss": loss,
            **{f"validation.{name}": finite(value) for name, value in validation.metrics.items()},
            **{f"test.{name}": finite(value) for name, value in test.metrics.items()},
            "firing_rate": validation.firing_rate,
            **{name: finite(observation.value) for name, observation in self.observations.items()},
        }
        if epoch in spec.training.alignment:
            with self.clock.phase("align"):
                alignments = alignment_in_training(spec, built)
            row |= curve_keys(alignments)
            sequences = min(spec.training.batch, built.dataset.size("validation"))
            self.aligned.update(alignment_measures(alignments, epoch, sequences))
        row["seconds"] = self._seconds()
        with self._curve.open("a", encoding="utf-8") as curve:
            curve.write(json.dumps(row) + "\n")
        shown = ("train_loss", *(name for name in row if name.startswith("validation.")), "firing_rate")
        numbers = "".join(f"  {name} {row[name]:.4g}" for name in shown if row[name] is not None)
        print(f"epoch {epoch}/{spec.training.epochs}{numbers}  {row['seconds']:.1f} s", flush=True)
        position.rows += 1
        return validation, test

    def _tested(self, end: str) -> Trained:
        network, position = self.built.network, self.reached
        with self.clock.phase("evaluate"):
            final = self._evaluated("test")
        self._pause()
        with self.clock.phase("evaluate"):
            last_weights = copy.deepcopy(network.state_dict())
            network.load_state_dict(self.best_weights)
            best = self._evaluated("test")
            network.load_state_dict(last_weights)
        return Trained(
            final=final._replace(metrics=mean_of(position.last_tests)),
            averaged=len(position.last_tests),
            best=best,
            best_epoch=position.best_epoch,
            validation=position.validation,
            best_test=position.best_test,
            best_test_epoch=position.best_test_epoch,
            epochs=position.epoch - 1,
            end=end,
            loss=position.loss,
            observations=self.observations,
            aligned=self.aligned,
            phases=dict(self.clock.phases),
            seconds=self._seconds(),
            continued=position.continued,
        )

    def _evaluated(self, split: Split) -> Evaluation:
        seed = stream(self.spec.seed, "evaluation", self.spec.replicate)
        return evaluate(self.built.network, self.built.dataset, split, seed)

    def _seconds(self) -> float:
        return self._seconds_before + time.perf_counter() - self._began

    def _place(self) -> str:
        return f"epoch {min(self.reached.epoch, self.spec.training.epochs)}, update {self.update.count}"

    # --- stopping and resuming

    def _pause(self) -> None:
        """Write checkpoint and position if they are due; stop if `stopping` returns true."""
        stop, now, written = self.stopping(), time.monotonic(), True
        if stop or now - self._position_at >= POSITION_SECONDS:
            self._write_position()
            self._position_at = now
        if stop or now - self._saved_at >= CHECKPOINT_SECONDS:
            with self.clock.phase("checkpoint"):
                written = self._save()
            self._saved_at = time.monotonic()
        if stop:
            raise StoppedError(f"stopped at {self._place()}{'' if written else ', no checkpoint could be written'}")

    def _save(self) -> bool:
        """Write a checkpoint and return whether that succeeded; the first failure is printed."""
        try:
            contents = packed(self._contents())
            with self._curve.open("rb+") as curve:
                os.fsync(curve.fileno())  # rows that a checkpoint counts must survive a crash of the machine
            write_whole(self.folder / CHECKPOINT, contents)
        # Out of memory, a full disk, or a rule with an open file must not end the training.
        except Exception as error:
            if not self._failure_printed:
                print(f"no checkpoint, training continues: {first_line(error)}", flush=True)
            self._failure_printed = True
            return False
        return True

    def _contents(self) -> dict[str, Any]:
        return {
            **state_of(self.built.rule, self.built.network, self.update),
            "order_of_epoch": self._order_of_epoch,
            "reached": asdict(self.reached),
            "best_weights": self.best_weights,
            "observations": {name: [float(o.value), o.unit, o.method] for name, o in self.observations.items()},
            "aligned": {name: measure.model_dump() for name, measure in self.aligned.items()},
            "phases": dict(self.clock.phases),
            "seconds": self._seconds(),
            "made_from": self._made_from(),
        }

    def _made_from(self) -> dict[str, Any]:
        """Return what determines the numbers and is not part of the run's id: data and library versions."""
        return {"data": self.built.dataset.sha256(), "versions": versions()}

    def _resume(self, contents: dict[str, Any]) -> None:
        """Restore the training from a checkpoint, and remove later rows of the curve."""
        if contents["made_from"] != self._made_from():
            raise ValueError("the data or a library changed since")
        reached = TrainingPosition(**contents["reached"])
        with self._curve.open("rb+") as curve:
            for _ in range(reached.rows):
                if not curve.readline().endswith(b"\n"):
                    raise ValueError(f"the learning curve has lost some of its {reached.rows} rows")
            curve.truncate()
        restore(contents, self.built.rule, self.built.network, self.update)
        self.reached = reached
        self.reached.continued += 1
        self._order_of_epoch = contents["order_of_epoch"]
        self.order.set_state(self._order_of_epoch)
        self.best_weights = contents["best_weights"]
        self.observations = {name: Observation(*saved) for name, saved in contents["observations"].items()}
        self.aligned = {name: Measure.model_validate(saved) for name, saved in contents["aligned"].items()}
        self.clock.phases.update(contents["phases"])
        self._seconds_before = contents["seconds"]

    def _write_position(self) -> None:
        reached, epochs = self.reached, self.spec.training.epochs
        position = {
            "epoch": min(reached.epoch, epochs),
            "epochs": epochs,
            "update": self.update.count,
            "sequences": reached.sequences,
            "seconds": self._seconds(),
        }
        with contextlib.suppress(OSError):
            write_whole(self.folder / POSITION, json.dumps(position), lasting=False)
