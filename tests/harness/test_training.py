"""The training loop: counts, schedule, clock, evaluation and divergence."""

from __future__ import annotations

import math
import weakref

import pytest
import torch

from throughtime.algorithms.base import Observation
from throughtime.algorithms.bptt import BPTT
from throughtime.datasets.batch import Batch
from throughtime.datasets.digits import Digits
from throughtime.datasets.task import Classification
from throughtime.errors import DivergedError, UsageError
from throughtime.harness.batches import evaluate, learn_batch
from throughtime.harness.build import build
from throughtime.harness.clock import Clock
from throughtime.harness.seeds import stream
from throughtime.harness.updater import Updater
from throughtime.passes import passes
from throughtime.passes.trainer import Trainer
from throughtime.records.store import read_curve
from throughtime.registry import ALGORITHMS, DATASETS, NETWORKS, NEURONS
from throughtime.spec import ComponentSpec, RunSpec, Training


def component(registry, name, **options) -> ComponentSpec:
    return ComponentSpec(name=name, options=registry[name].checked(options), label=name)


def spec(rule="bptt", replicate=0, **training) -> RunSpec:
    return RunSpec(
        suite="test",
        scale="tiny",
        rule=component(ALGORITHMS, rule, **({"window": 4} if rule == "tbptt" else {})),
        neuron=component(NEURONS, "lif", tau=4.0),
        network=component(NETWORKS, "recurrent", hidden=[16], readout="membrane", readout_tau=0),
        dataset=component(DATASETS, "digits", steps=8),
        training=Training(**{"epochs": 2, "batch": 100, **training}),
        passes=["train"],
        replicate=replicate,
        seed=5,
    )


@pytest.fixture
def trained(tmp_path):
    """Train a run; return its outcome and its learning curve."""
    return lambda run: (Trainer(run, build(run), tmp_path).train(), read_curve(tmp_path))


def test_counts_of_batches_updates_and_sequences(trained):
    # 1257 training sequences: 13 batches of at most 100; two windows of 4 steps, an update each.
    _, rows = trained(spec("tbptt"))
    assert [(r["epoch"], r["iteration"], r["updates"], r["sequences"]) for r in rows] == [
        (1, 13, 26, 1257),
        (2, 26, 52, 2514),
    ]


@pytest.mark.parametrize("data", ["digits", "delayed_xor"])
@pytest.mark.parametrize("rule", ["bptt", "tbptt", "fptt", "eprop"])
def test_no_batch_is_kept_while_the_next_is_loaded(rule, data, tmp_path):
    run = spec(rule, epochs=1)
    if data == "delayed_xor":
        drawn = component(DATASETS, data, cue=3, delay=2, answer=2, sequences=200, held_out=10)
        run = run.model_copy(update={"dataset": drawn})
    built = build(run)
    loaded, made = built.dataset.batches, []

    def batches(split, *rest):
        following = loaded(split, *rest)
        while split == "train":
            assert not [x for x in made if x() is not None]
            batch = next(following, None)
            if batch is None:
                return
            made.append(weakref.ref(batch.x))
            yield batch
            del batch
        yield from following

    built.dataset.batches = batches
    Trainer(run, built, tmp_path).train()
    assert len(made) == {"digits": 13, "delayed_xor": 2}[data]


def test_it_learns_and_the_best_epoch_is_the_best_on_validation(trained):
    outcome, rows = trained(spec(epochs=6, learning_rate=1e-2))
    validation = [row["validation.accuracy"] for row in rows]
    assert outcome.final.metrics["accuracy"] > 0.5, "six epochs of digits by row take it far above chance, 0.1"
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert outcome.best_epoch == validation.index(max(validation)) + 1
    assert set(outcome.phases) == {"load", "learn", "update", "evaluate"}


def test_replicates_differ_and_a_replicate_repeats_itself(trained):
    def curve(replicate):
        return [row["train_loss"] for row in trained(spec(replicate=replicate))[1]]

    assert curve(0) == curve(0) != curve(1)


def test_streams_depend_on_seed_purpose_and_replicate_alone():
    seeds = {stream(base, purpose, n) for base in (0, 1) for purpose in ("weights", "data order") for n in (0, 1)}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert stream(0, "weights", 0) == stream(0, "weights", 0)


def test_cosine_schedule_goes_from_the_rate_to_zero():
    net = torch.nn.Linear(2, 1)
    update = Updater([*net.parameters()], Training(epochs=4, learning_rate=0.8, schedule="cosine"), Clock())
    rates = []
    for _ in range(4):
        rates.append(update.optimiser.param_groups[0]["lr"])
        update()
        update.end_epoch()
    # (1 + cos(π k / 4)) / 2 for k = 0 ... 3
    assert rates == pytest.approx([0.8, 0.4 * (1 + math.sqrt(0.5)), 0.4, 0.4 * (1 - math.sqrt(0.5))])
    assert update.optimiser.param_groups[0]["lr"] == pytest.approx(0)


def test_an_epoch_without_a_batch_is_refused(trained):
    with pytest.raises(UsageError, match="an epoch has no batch"):
        trained(spec(batch=2000, drop_last=True))  # the split has 1257 sequences


def test_update_clips_steps_and_clears():
    net = torch.nn.Linear(1, 1, bias=False)
    before = float(net.weight.detach())
    update = Updater([*net.parameters()], Training(optimiser="sgd", learning_rate=0.5, clip=2.0), Clock())
    net.weight.grad = torch.tensor([[8.0]])
    update()
    assert float(net.weight.detach()) == pytest.approx(before - 0.5 * 2.0, abs=1e-5)
    assert net.weight.grad is None and update.count == 1


@pytest.mark.parametrize("size", [2, 300])
def test_clipping_a_gradient_of_infinite_norm_makes_it_zero_as_in_torch_and_is_counted(size):
    net = torch.nn.Linear(size, 1, bias=False)
    before = net.weight.detach().clone()
    update = Updater([*net.parameters()], Training(optimiser="sgd", learning_rate=0.5, clip=2.0), Clock())
    for gradient, zeroed in ((1e17, 0), (2e19, 1), (1e25, 2), (1.0, 2)):
        net.weight.grad = torch.full((1, size), gradient)
        theirs = torch.nn.Parameter(torch.zeros(1, size))
        theirs.grad = net.weight.grad.clone()
        torch.nn.utils.clip_grad_norm_([theirs], 2.0)
        update()
        before -= 0.5 * theirs.grad
        assert torch.allclose(net.weight.detach(), before) and update.zeroed == zeroed


def test_a_norm_in_float64_clips_what_overflows_float32():
    net = torch.nn.Linear(2, 1, bias=False)
    before = net.weight.detach().clone()
    training = Training(optimiser="sgd", learning_rate=1.0, clip=5.0, norm_in="float64")
    update = Updater([*net.parameters()], training, Clock())
    net.weight.grad = torch.tensor([[3e30, -4e30]])
    update()
    assert torch.allclose(net.weight.detach() - before, torch.tensor([[-3.0, 4.0]])) and update.zeroed == 0


def test_the_clock_takes_inner_phases_out_of_outer_ones(monkeypatch):
    now = iter([0.0, 1.0, 4.0, 10.0])  # learn 0 ... 10, update 1 ... 4 within it
    monkeypatch.setattr("throughtime.harness.clock.time.perf_counter", lambda: next(now))
    clock = Clock()
    with clock.phase("learn"), clock.phase("update"):
        pass
    assert dict(clock.phases) == {"update": 3.0, "learn": 7.0}


def test_weights_that_are_no_numbers_are_divergence_and_not_chance():
    built = build(spec())
    with torch.no_grad():
        built.network.readout.linear.weight.fill_(float("nan"))
    with pytest.raises(DivergedError, match="an output on the test split is not finite"):
        evaluate(built.network, Digits(steps=8), "test")


def test_a_weight_that_is_nan_ends_the_training_although_the_loss_is_finite(tmp_path):
    """A neuron whose membrane is NaN emits no spike, so that outputs and loss are finite."""
    run = spec().model_copy(update={"network": component(NETWORKS, "recurrent", hidden=[16], readout="spikes")})
    built = build(run)
    next(built.network.layers[0].parameters()).data.view(-1)[0] = math.nan
    assert math.isfinite(evaluate(built.network, built.dataset, "test").metrics["accuracy"])
    with pytest.raises(DivergedError, match="a weight is infinite or NaN at epoch 1, update 1"):
        Trainer(run, built, tmp_path).train()


def test_a_loss_that_is_no_number_is_told_with_its_place(trained):
    run = spec(optimiser="sgd", learning_rate=1e30, clip=None)
    with pytest.raises(DivergedError, match=r"at epoch 1, update \d+|not finite"):
        trained(run)


@pytest.mark.parametrize("counted", [None, "steps", "decisions"])
def test_evaluation_in_windows_equals_one_window(counted, monkeypatch):
    """The target is one per sequence, or one per step with an accuracy of steps or of decisions."""
    run = spec()
    if counted:
        options = {"cues": 3, "cue": 4, "gap": 1, "delay": 2, "recall": 5, "held_out": 40, "accuracy_of": counted}
        run = run.model_copy(update={"dataset": component(DATASETS, "evidence_accumulation", **options)})
    built = build(run)
    whole = evaluate(built.network, built.dataset, "validation")
    monkeypatch.setattr("throughtime.harness.batches.EVALUATION_WINDOW", 3)
    built.dataset.evaluation_batch = 7
    parts = evaluate(built.network, built.dataset, "validation")
    assert parts.metrics == whole.metrics and parts.right == whole.right
    if counted == "steps":
        assert whole.right is None, "a sequence has many answers"
    else:
        assert sum(whole.right) / len(whole.right) == pytest.approx(whole.metrics["accuracy"])
        assert len(whole.right) == built.dataset.size("validation")
    assert parts.firing_rate == pytest.approx(whole.firing_rate)


def test_the_same_weights_have_the_same_metric_whatever_was_drawn_before():
    built = build(spec().model_copy(update={"neuron": component(NEURONS, "ltc_smnist")}))
    first = evaluate(built.network, built.dataset, "test", seed=5)
    torch.rand(7)
    before = torch.get_rng_state()
    assert evaluate(built.network, built.dataset, "test", seed=5) == first
    assert torch.equal(torch.get_rng_state(), before), "and the caller's random numbers are left alone"


def test_a_record_has_the_outcome_of_each_test_sequence(tmp_path):
    result = passes.train_pass(spec(), built := build(spec()), tmp_path)
    (batch,) = built.dataset.batches("test", built.dataset.size("test"))
    with torch.no_grad():
        window = built.network.unroll(batch.x, built.network.initial_state(batch.sequences))
    assert result.outcomes.right() == (window.last().argmax(1) == batch.target).tolist()
    assert result.measures["accuracy"].value == pytest.approx(sum(result.outcomes.right()) / result.outcomes.n)


def test_evaluation_leaves_the_mode_of_each_module():
    network = build(spec()).network
    network.readout.eval()
    before = [module.training for module in network.modules()]
    evaluate(network, Digits(steps=8), "test")
    assert [module.training for module in network.modules()] == before


@pytest.mark.parametrize(
    "name",
    ["validation", "epoch", "accuracy", "accuracy_best_validation", "loss", "status", "epochs_trained", "wall_time"],
)
def test_a_rule_may_not_observe_under_a_name_of_the_harness(name, tmp_path):
    class Observer(BPTT):
        def end_epoch(self):
            return {name: Observation(0.0, "1", "made up")}

    built = build(spec())
    with pytest.raises(ValueError, match=f"the rule observes {name}: the harness measures that itself"):
        Trainer(spec(), built._replace(rule=Observer()), tmp_path).train()


def test_an_observation_that_is_no_number_is_missing_and_costs_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(BPTT, "end_epoch", lambda self: {"odd": Observation(math.nan, "1", "made up")})
    result = passes.train_pass(spec(), build(spec()), tmp_path)
    assert (result.measures["odd"].value, result.measures["odd"].missing) == (None, "the rule observed nan")
    assert '"odd": null' in (tmp_path / "curve.jsonl").read_text()


@pytest.mark.parametrize("per_step", [False, True])
def test_a_batch_whose_targets_are_not_the_tasks_kind_is_refused(per_step):
    batch = Batch(torch.zeros(3, 2, 1), torch.zeros((3, 2) if per_step else 2, dtype=torch.int64), per_step)
    network = NETWORKS["recurrent"].factory(1, 2, NEURONS["lif"].factory, hidden=[2])
    rule = BPTT()
    rule.start(network, Classification(2, per_step=not per_step), 3)
    kinds = ("sequence", "step") if not per_step else ("step", "sequence")
    with pytest.raises(ValueError, match="the batch has a target per {}, the task one per {}".format(*kinds)):
        learn_batch(rule, batch, lambda: None)
