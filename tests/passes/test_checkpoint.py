"""A training that is stopped anywhere goes on to the same weights, curve and measures, bit for bit."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from tests.harness.test_training import component
from throughtime.errors import StoppedError
from throughtime.harness.build import build
from throughtime.harness.tensor_file import unpacked
from throughtime.passes import passes, trainer
from throughtime.passes.trainer import Trainer
from throughtime.records.files import CHECKPOINT, read_position
from throughtime.records.store import read_curve
from throughtime.registry import ALGORITHMS, DATASETS, NETWORKS, NEURONS
from throughtime.spec import RunSpec, Training

ADDING = ("adding", {"steps": 6, "sequences": 17, "held_out": 6})
DIGITS = ("digits", {"steps": 8})
IN_THE_PACKAGE = [name for name in ALGORITHMS.names() if ALGORITHMS[name].origin == "throughtime"]


def spec(rule="fptt", neuron="lif", network="recurrent", data=ADDING, options=None, wiring=None, **training) -> RunSpec:
    wiring = {"hidden": [6], **(wiring or {})}
    return RunSpec(
        suite="test",
        scale="tiny",
        rule=component(ALGORITHMS, rule, **(options or {})),
        neuron=component(NEURONS, neuron),
        network=component(NETWORKS, network, **wiring),
        dataset=component(DATASETS, data[0], **data[1]),
        training=Training(**{"epochs": 2, "batch": 8 if data is ADDING else 500, "learning_rate": 0.01, **training}),
        passes=["train"],
        replicate=0,
        seed=5,
    )


class Outcome(NamedTuple):
    """Results that must not depend on stops; times are left out."""

    weights: dict[str, torch.Tensor]
    curve: list[dict[str, float]]
    measures: dict[str, object]

    def differs(self, other: Outcome) -> list[str]:
        """Which parts are not bit for bit the same."""
        same_weights = all(torch.equal(w, other.weights[name]) for name, w in self.weights.items())
        same = (same_weights, self.curve == other.curve, self.measures == other.measures)
        return [part for part, equal in zip(self._fields, same, strict=True) if not equal]


def train(run: RunSpec, folder: Path, stopping: Callable[[], bool] = lambda: False, rule=None) -> Outcome:
    built = build(run)
    built = built._replace(rule=rule or built.rule)
    result = passes.train_pass(run, built, folder, stopping)
    curve = [{name: value for name, value in row.items() if name != "seconds"} for row in read_curve(folder)]
    measures = {name: m for name, m in result.measures.items() if name not in ("training_time", "energy")}
    return Outcome(built.network.state_dict(), curve, measures)


def stop(run: RunSpec, folder: Path, ask: int, rule=None) -> str:
    """Train until the nth check for a stop, and stop there; return the message."""
    asks = itertools.count(1)
    with pytest.raises(StoppedError) as stopped:
        train(run, folder, lambda: next(asks) == ask, rule)
    return str(stopped.value)


def uninterrupted(run: RunSpec, folder: Path) -> tuple[Outcome, int]:
    """Train without a stop; return the outcome and the number of checks for a stop."""
    folder.mkdir()
    asks = itertools.count()
    outcome = train(run, folder, lambda: next(asks) < 0)
    assert not (folder / CHECKPOINT).exists()
    return outcome, next(asks)


RUNS = {
    **{f"{name}, adding": spec(name) for name in IN_THE_PACKAGE if name != "penalised"},
    "penalised": spec("penalised", options={"rule": "fptt", "spike_penalties": [{"strength": 0.1, "power": 2}]}),
    "bptt, penalty": spec("bptt", options={"spike_penalties": [{"strength": 0.1, "power": 2}]}),
    "bptt, digits": spec("bptt", data=DIGITS),
    "tbptt, random initial states, adamax": spec("tbptt", "ltc_smnist", options={"window": 4}, optimiser="adamax"),
    "bptt, cosine, sgd, alignment": spec("bptt", schedule="cosine", optimiser="sgd", alignment=[0, 1]),
    "fptt paper, cosine": spec(options={"form": "paper", "parts": 3}, schedule="cosine"),
    "fptt none": spec(options={"form": "none", "parts": 3}),
    "fptt, auxiliary loss": spec(
        data=DIGITS,
        options={"parts": 4, "auxiliary": "authors", "auxiliary_uniform_epochs": 1},
    ),
    "eprop adaptive, adamax": spec(
        "eprop", "alif", options={"feedback": "adaptive"}, optimiser="adamax", alignment=[2]
    ),
    "eprop random, rates": spec("eprop", options={"feedback": "random", "rate_cost": 0.1}),
    # 17 sequences in batches of 8 leave one, which batch normalisation cannot learn from.
    "bptt, batch normalisation": spec("bptt", "ltc_smnist", wiring={"norm_steps": 4}),
    "fptt paper, batch normalisation": spec(options={"form": "paper", "parts": 2}, wiring={"norm_steps": 6}),
}


@pytest.mark.parametrize("name", RUNS)
def test_stopped_wherever_it_can_be_it_ends_as_if_nothing_had_been(name, tmp_path):
    run = RUNS[name]
    whole, asks = uninterrupted(run, tmp_path / "whole")
    batches = 3 - (run.network.options.get("norm_steps") is not None)
    # After each batch, at the end of each epoch, between the evaluations of the test; before training, if it looks.
    assert asks == 2 * (batches + 1) + 1 + (0 in run.training.alignment)
    for _ in range(asks):
        stop(run, tmp_path, 1)
    assert whole.differs(train(run, tmp_path)) == []


@pytest.mark.parametrize("settings", [{"schedule": "cosine", "period": 2}, {"schedule": "step", "step_size": 3}])
def test_the_schedule_goes_on_where_it_stopped(settings, tmp_path, monkeypatch):
    run = spec("bptt", epochs=4, **settings)
    whole, _ = uninterrupted(run, tmp_path / "whole")
    stop(run, tmp_path, 9)  # in the third epoch of four checks each
    assert whole.differs(train(run, tmp_path)) == []
    stop(run, tmp_path / "whole", 9)
    monkeypatch.setattr("torch.optim.lr_scheduler.LRScheduler.load_state_dict", lambda self, state: None)
    assert "weights" in whole.differs(train(run, tmp_path / "whole"))


@pytest.mark.parametrize("stops", [(ask,) for ask in range(1, 10)] + [(2, 4), (1, 1), (3, 1)], ids=str)
def test_stops_of_any_number_at_any_place(stops, tmp_path):
    run = RUNS["eprop adaptive, adamax"]
    whole, _ = uninterrupted(run, tmp_path / "whole")
    for ask in stops:
        stop(run, tmp_path, ask)
    result = passes.train_pass(run, build(run), tmp_path)
    assert whole.measures.items() <= result.measures.items()
    assert result.continued == len(stops)
    assert (result.measures["energy"].value, "resumed" in result.measures["energy"].missing) == (None, True)


def test_it_tells_where_it_stopped(tmp_path):
    # A batch is 8 + 8 + 1 of the 17 sequences, an update a step of its 6.
    assert stop(spec(), tmp_path, 6) == "stopped at epoch 2, update 30"
    position = read_position(tmp_path)
    assert position.pop("seconds") > 0
    assert position == {"epoch": 2, "epochs": 2, "update": 24 + 6, "sequences": 17 + 16}


def test_times_add_up_and_the_checkpoint_has_a_phase_of_its_own(tmp_path):
    run = spec()
    stop(run, tmp_path, 5)
    before = unpacked((tmp_path / CHECKPOINT).read_bytes())
    trained = Trainer(run, build(run), tmp_path).train()
    assert trained.seconds > before["seconds"] > 0
    assert set(trained.phases) == {"load", "learn", "update", "evaluate"}, "it took none itself"
    assert all(trained.phases[name] > before["phases"][name] for name in trained.phases)
    seconds = [row["seconds"] for row in read_curve(tmp_path)]
    assert seconds == sorted(seconds)


def test_a_resumed_training_has_no_energy_and_says_why(tmp_path):
    run = spec()
    stop(run, tmp_path, 5)
    energy = passes.train_pass(run, build(run), tmp_path).measures["energy"]
    assert energy.value is None
    assert energy.missing == "training was resumed: energy before the checkpoint is not counted"


def test_rows_written_after_the_checkpoint_are_written_again(tmp_path):
    """Killed in the second epoch, a checkpoint of the first there, and a row cut short."""
    run = RUNS["fptt paper, cosine"]
    whole, _ = uninterrupted(run, tmp_path / "whole")
    stop(run, tmp_path, 2)
    old = (tmp_path / CHECKPOINT).read_bytes()
    stop(run, tmp_path, 4)
    (tmp_path / CHECKPOINT).write_bytes(old)
    with (tmp_path / "curve.jsonl").open("a") as curve:
        curve.write('{"epoch": 2, "iter')
    assert whole.differs(train(run, tmp_path)) == []


def test_a_kill_loses_what_came_after_the_last_checkpoint_alone(tmp_path, monkeypatch):
    run = RUNS["fptt paper, cosine"]
    whole, _ = uninterrupted(run, tmp_path / "whole")
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)

    def killed() -> bool:
        if next(asks) == 6:
            raise KeyboardInterrupt
        return False

    asks = itertools.count(1)
    with pytest.raises(KeyboardInterrupt):
        train(run, tmp_path, killed)
    assert unpacked((tmp_path / CHECKPOINT).read_bytes())["reached"]["iteration"] == 4
    result = passes.train_pass(run, build(run), tmp_path)
    assert whole.measures.items() <= result.measures.items()
    assert result.continued == 1 and result.phases["checkpoint"] > 0


# --- broken twins: checkpoints with one part left out


def forget_the_rule(broken: Trainer) -> None:
    dataset, network, rule = broken.built
    rule.start(network, dataset.task, dataset.steps)


def learn_at_the_full_rate(broken: Trainer) -> None:
    broken.update.optimiser.param_groups[0]["lr"] = broken.spec.training.learning_rate


LEFT_OUT: dict[str, tuple[str, int, Callable[[Trainer], object]]] = {
    "what the rule keeps": ("fptt, adding", 2, forget_the_rule),
    "the auxiliary loss": ("fptt, auxiliary loss", 5, lambda broken: broken.built.rule.auxiliary_loss.Q.zero_()),
    "drawn feedback": ("eprop random, rates", 2, lambda broken: broken.built.rule.B.data.mul_(-1)),
    "the optimiser": ("bptt, adding", 2, lambda broken: broken.update.optimiser.state.clear()),
    "the learning rate": ("fptt paper, cosine", 5, learn_at_the_full_rate),
    "the count of updates": ("bptt, adding", 2, lambda broken: setattr(broken.update, "count", 0)),
    "random numbers": ("tbptt, random initial states, adamax", 2, lambda broken: torch.manual_seed(1)),
    "the order of the data": ("bptt, adding", 5, lambda broken: broken.order.manual_seed(1)),
    "the place in the data": ("bptt, adding", 2, lambda broken: setattr(broken.reached, "seen", 0)),
    "the losses so far": ("bptt, adding", 2, lambda broken: broken.reached.losses.clear()),
    "the loss of the last epoch": ("bptt, adding", 8, lambda broken: setattr(broken.reached, "loss", 0.0)),
    "the best weights": ("bptt, digits", 8, lambda broken: [w.zero_() for w in broken.best_weights.values()]),
    "the best epoch": ("bptt, adding", 8, lambda broken: setattr(broken.reached, "best_epoch", 0)),
    "observations": ("fptt, adding", 8, lambda broken: broken.observations.clear()),
    "alignment": ("eprop adaptive, adamax", 8, lambda broken: broken.aligned.clear()),
    "running statistics": (
        "bptt, batch normalisation",
        4,
        lambda broken: [b.zero_() for b in broken.built.network.buffers()],
    ),
}


@pytest.mark.parametrize("what", LEFT_OUT)
def test_what_is_left_out_is_missed(what, tmp_path, monkeypatch):
    name, ask, leave_out = LEFT_OUT[what]
    run = RUNS[name]
    whole, _ = uninterrupted(run, tmp_path / "whole")
    stop(run, tmp_path, ask)
    go_on = Trainer._resume
    monkeypatch.setattr(Trainer, "_resume", lambda self, contents: (go_on(self, contents), leave_out(self)))
    assert whole.differs(train(run, tmp_path)) != []
