"""The protocol of training and evaluation, by numbers worked out by hand on three sequences a split.

Sequence i = 1, 2, 3 has the input i at both steps, so that the network sums up s = 2 i and its last output is w s. Test
targets are s, validation targets −s: the errors are (w − 1)² s² and (w + 1)² s², with a mean of s² of 56/3.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from tests.harness.test_training import spec
from throughtime.algorithms.base import Claims, LearningRule
from throughtime.datasets.base import Dataset
from throughtime.datasets.batch import Batch
from throughtime.datasets.task import Metric, Regression
from throughtime.harness import batches
from throughtime.harness.batches import evaluate, learn_batch
from throughtime.harness.build import Built
from throughtime.measuring import energy
from throughtime.networks.base import Network, Window
from throughtime.passes.passes import train_pass
from throughtime.passes.trained import Trained
from throughtime.passes.trainer import Trainer
from throughtime.records.store import read_curve

S2 = 56 / 3


class Gain(Regression):
    """The squared error with its sign turned: higher is better."""

    def __init__(self) -> None:
        super().__init__(1.0)
        self.metric = Metric("gain", "1", True)

    def score(self, outputs: Tensor, target: Tensor) -> Tensor:
        return -super().score(outputs, target)


class Three(Dataset):
    """The sequences of this file's docstring."""

    inputs = outputs = 1
    steps = 2
    sizes = 3

    def __init__(self, task: Regression | None = None) -> None:
        self.task = task or Regression(1.0)
        self.orders: list[list[float]] = []

    @classmethod
    def tiny(cls) -> Three:
        return cls()

    def size(self, split: str) -> int:
        return self.sizes

    def batches(self, split: str, batch: int, generator: torch.Generator | None = None) -> Any:
        i = torch.arange(1.0, self.sizes + 1)
        if generator is not None:
            i = i[torch.randperm(self.sizes, generator=generator)]
            self.orders.append(i.tolist())
        for part in i.split(batch):
            yield Batch(part.expand(2, -1)[..., None], part[:, None] * (-2.0 if split == "validation" else 2.0))

    def sha256(self) -> None:
        return None


class State(NamedTuple):
    """The sum of the inputs so far."""

    s: Tensor


class Sum(Network):
    """y_t = w Σ x. In train mode something is added, as dropout or batch statistics would; the state may be random."""

    spiking = False

    def __init__(self, w: float = 0.5, in_training: float = 0.0, noise: float = 0.0) -> None:
        super().__init__()
        self.w, self.in_training, self.noise = nn.Parameter(torch.tensor([w])), in_training, noise

    def initial_state(self, batch: int) -> State:
        return State(self.noise * torch.rand(batch, 1))

    def unroll(self, x: Tensor, state: State) -> Window:
        sums = torch.cat((state.s[None], x)).cumsum(0)[1:]
        return Window(self.w * sums + (self.in_training if self.training else 0.0), (), State(sums[-1]))


class Script(LearningRule):
    """Moves the weight to the next number of a list at each update, by SGD with a rate of 1; learns nothing."""

    claims = Claims(gradient="approximate", memory="O(1)")

    def __init__(self, *weights: float) -> None:
        self.weights = list(weights)

    def window(self, steps: int) -> int:
        return 1

    def learn(self, x: Tensor, target: Tensor, t: int) -> Tensor:
        if t == 1:
            self.network.w.grad = self.network.w.detach() - self.weights.pop(0)
            self.update()
        return torch.tensor(float(t))


def trained(
    folder: Path, *weights: float, task: Regression | None = None, network: Network | None = None, replicate: int = 0
) -> Trained:
    """Train a network through a list of weights, one an epoch."""
    run = spec(replicate=replicate, epochs=len(weights), batch=3, optimiser="sgd", learning_rate=1.0, clip=None)
    folder.mkdir()
    return Trainer(run, Built(Three(task), network or Sum(), Script(*weights)), folder).train()


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_is_in_eval_mode_and_leaves_the_mode_as_it_was(training):
    network = Sum(in_training=100.0).train(training)
    assert evaluate(network, Three(), "test").metrics == {"mse": pytest.approx(S2 / 4)}
    assert network.training is training
    with pytest.raises(ValueError, match="broken"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "unroll", lambda x, state: (_ for _ in ()).throw(ValueError("broken")))
        evaluate(network, Three(), "test")
    assert network.training is training


def test_each_split_has_its_own_targets():
    assert evaluate(Sum(), Three(), "validation").metrics["mse"] == pytest.approx(9 * S2 / 4)


@pytest.mark.parametrize("window", [1, 2, 100])
@pytest.mark.parametrize("batch", [1, 2, 256])
def test_state_is_carried_over_the_edge_of_an_evaluation_window(window, batch, monkeypatch):
    monkeypatch.setattr(batches, "EVALUATION_WINDOW", window)
    data = Three()
    data.evaluation_batch = batch
    assert evaluate(Sum(), data, "test").metrics["mse"] == pytest.approx(S2 / 4)


def test_the_best_epoch_is_that_of_the_smallest_error_on_validation(tmp_path):
    """w = 0, −1, 1: the errors on validation are 1, 0 and 4 of S2, on test 1, 4 and 0."""
    outcome = trained(tmp_path / "run", 0.0, -1.0, 1.0)
    assert outcome.best_epoch == 2
    assert outcome.best.metrics["mse"] == pytest.approx(4 * S2), (
        "test split, with weights that the last did not overwrite"
    )
    assert outcome.final.metrics["mse"] == 0.0, "test split, with the last weights"


def test_the_best_epoch_is_that_of_the_largest_metric_where_higher_is_better(tmp_path):
    outcome = trained(tmp_path / "run", 0.0, -1.0, 1.0, task=Gain())
    assert outcome.best_epoch == 2
    assert (outcome.best.metrics["gain"], outcome.final.metrics["gain"]) == (pytest.approx(-4 * S2), 0.0)


class Positive(Sum):
    """`Sum` with one neuron that spikes where w x > 1.5: for no input at w = −1, for 2 and 3 at w = 1."""

    spiking = True

    def unroll(self, x: Tensor, state: State) -> Window:
        return super().unroll(x, state)._replace(spikes=((self.w * x > 1.5).float(),))


def test_a_record_has_metric_and_firing_rate_of_the_last_epoch_and_not_of_the_best(tmp_path):
    """w = 0, −1, 1, as above: the second epoch is the best on validation."""
    run = spec(epochs=3, batch=3, optimiser="sgd", learning_rate=1.0, clip=None)
    built = Built(Three(), Positive(), Script(0.0, -1.0, 1.0))
    result = train_pass(run, built, tmp_path)
    names = ("mse", "mse_best_validation", "firing_rate", "firing_rate.layer1", "activation_sparsity")
    assert result.metric == "mse"
    assert {name: result.measures[name].value for name in names} == {
        "mse": 0.0,
        "mse_best_validation": pytest.approx(4 * S2),
        "firing_rate": pytest.approx(2 / 3),
        "firing_rate.layer1": pytest.approx(2 / 3),
        "activation_sparsity": pytest.approx(1 / 3),
    }


def test_a_curve_has_the_firing_rate_of_the_validation_split(tmp_path):
    """Without input on the validation split nothing spikes there; on the test split two of three sequences do."""

    class Silent(Three):
        def batches(self, split: str, batch: int, generator: torch.Generator | None = None) -> Any:
            for each in super().batches(split, batch, generator):
                yield each._replace(x=torch.zeros_like(each.x)) if split == "validation" else each

    run = spec(epochs=2, batch=3, optimiser="sgd", learning_rate=1.0, clip=None)
    outcome = Trainer(run, Built(Silent(), Positive(), Script(1.0, 1.0)), tmp_path).train()
    assert [row["firing_rate"] for row in read_curve(tmp_path)] == [0.0, 0.0]
    assert outcome.final.firing_rate == pytest.approx(2 / 3)


def test_the_energy_of_training_is_counted_once(tmp_path, monkeypatch):
    """The counter of the only package rises by 2 J a batch; there are three epochs of one batch."""
    package = tmp_path / "intel-rapl:0"
    package.mkdir()
    for name, text in (("name", "package-0"), ("max_energy_range_uj", "1000000000"), ("energy_uj", "5000000")):
        (package / name).write_text(text)
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)

    class Heating(Script):
        def begin(self, batch, update):
            super().begin(batch, update)
            joules = int((package / "energy_uj").read_text()) + 2_000_000
            (package / "energy_uj").write_text(str(joules))

    run = spec(epochs=3, batch=3, optimiser="sgd", learning_rate=1.0, clip=None)
    (tmp_path / "run").mkdir()
    result = train_pass(run, Built(Three(), Positive(), Heating(0.0, 0.0, 0.0)), tmp_path / "run")
    assert result.measures["energy"].value == pytest.approx(6.0)


def test_of_equal_epochs_the_first_is_the_best(tmp_path):
    assert trained(tmp_path / "run", -1.0, -1.0, 0.0).best_epoch == 1


def test_the_last_weights_are_left_in_the_network(tmp_path):
    network = Sum()
    trained(tmp_path / "run", -1.0, 0.25, network=network)
    assert network.w.tolist() == [0.25]


def test_the_loss_of_a_batch_is_the_mean_over_its_windows():
    rule = Script(0.0)
    rule.start(Sum(), Regression(1.0), 2)
    (batch,) = Three().batches("train", 3)
    assert float(learn_batch(rule, batch, lambda: None)) == 0.5, "of 0 and 1"


def test_a_loss_of_nothing_is_refused():
    class Nothing(Script):
        def learn(self, x, target, t):
            return None

    rule = Nothing()
    rule.start(Sum(), Regression(1.0), 2)
    (batch,) = Three().batches("train", 3)
    with pytest.raises(ValueError, match="returned no loss"):
        learn_batch(rule, batch, lambda: None)


def test_each_epoch_has_its_own_order_which_rules_share_within_a_replicate(tmp_path):
    class Twenty(Three):
        sizes = 20

    def orders(name: str, replicate: int = 0, w: float = 0.0) -> list[list[float]]:
        run = spec(replicate=replicate, epochs=3, batch=20, optimiser="sgd", learning_rate=1.0)
        (tmp_path / name).mkdir()
        data = Twenty()
        Trainer(run, Built(data, Sum(), Script(w, w, w)), tmp_path / name).train()
        return data.orders

    first = orders("first")
    assert all(sorted(order) == list(range(1, 21)) for order in first)
    assert first[0] != first[1] != first[2] != first[0]
    assert orders("other rule", w=1.0) == first
    assert orders("other replicate", replicate=1)[0] != first[0]


def test_each_replicate_has_its_own_seed_of_evaluation(tmp_path):
    first, again, other = (
        trained(tmp_path / str(i), 0.5, network=Sum(noise=1.0), replicate=replicate).final
        for i, replicate in enumerate((0, 0, 1))
    )
    assert first == again and first != other


def test_the_optimiser_steps_what_the_rule_learns_itself(tmp_path):
    class Own(Script):
        def start(self, network, task, steps):
            super().start(network, task, steps)
            self.b = nn.Parameter(torch.zeros(1))

        def parameters(self):
            return (self.b,)

        def learn(self, x, target, t):
            self.b.grad = torch.ones(1)
            return super().learn(x, target, t)

    rule = Own(0.0, 1.0)
    run = spec(epochs=2, batch=3, optimiser="sgd", learning_rate=1.0, clip=None)
    network = Sum()
    Trainer(run, Built(Three(), network, rule), tmp_path).train()
    assert (rule.b.tolist(), network.w.tolist()) == ([-2.0], [1.0])


def test_a_meter_computes_the_metrics_that_the_task_names():
    class Forgetful(Regression):
        further = (Metric("rmse", "1", False),)

    with pytest.raises(ValueError, match="the meter computes mse; the task names mse, rmse"):
        evaluate(Sum(), Three(Forgetful(1.0)), "test")
