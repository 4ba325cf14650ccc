"""A learning rule whose loss has penalties on numbers of spikes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import AfterValidator, ValidationError
from torch import Tensor, nn

from throughtime.algorithms.base import Claims, LearningRule, Observation
from throughtime.algorithms.checkpointed_bptt import CheckpointedBPTT
from throughtime.algorithms.coordinates import Coordinates, Cost
from throughtime.algorithms.credit import Credit
from throughtime.algorithms.eligibility.blocks import BlockRule
from throughtime.algorithms.eligibility.diagonal_rtrl import DiagonalRTRL
from throughtime.algorithms.eligibility.eprop import EProp
from throughtime.algorithms.eligibility.rflo import RFLO
from throughtime.algorithms.fptt.fptt import FPTT
from throughtime.algorithms.influence.kf_rtrl import KFRTRL
from throughtime.algorithms.influence.ostl import OSTL
from throughtime.algorithms.influence.rtrl import RTRL
from throughtime.algorithms.influence.snap1 import SnAp1
from throughtime.algorithms.influence.snap_n import SnApN
from throughtime.algorithms.influence.uoro import UORO
from throughtime.algorithms.otpe.approximate_otpe import ApproximateOTPE
from throughtime.algorithms.otpe.otpe import OTPE
from throughtime.algorithms.penalised.spikes_shown import CountPenalty, MeanPenalty, Penalty, SpikeCounts, mean_shown
from throughtime.algorithms.presynaptic_trace.ottt import OTTT
from throughtime.algorithms.presynaptic_trace.pp_prop import PPProp
from throughtime.algorithms.presynaptic_trace.presynaptic_trace import PresynapticTrace
from throughtime.algorithms.presynaptic_trace.s_tllr import STLLR
from throughtime.algorithms.presynaptic_trace.sltt import SLTT
from throughtime.algorithms.recurrent_traces import RecurrentTraces
from throughtime.algorithms.rolling_tbptt import RollingTBPTT
from throughtime.algorithms.spike_penalties import Penalties, checked_penalties
from throughtime.algorithms.tbptt import TruncatedBPTT
from throughtime.datasets.task import Task
from throughtime.errors import first_fault
from throughtime.networks.base import Network
from throughtime.numerics.trees import Tree, tensors
from throughtime.registry import ALGORITHMS, algorithm

RULES: dict[str, type[LearningRule]] = {
    **{"tbptt": TruncatedBPTT, "checkpointed_bptt": CheckpointedBPTT, "rolling_tbptt": RollingTBPTT, "fptt": FPTT},
    **{"rtrl": RTRL, "uoro": UORO, "kf_rtrl": KFRTRL, "snap1": SnAp1, "snap_n": SnApN, "ostl": OSTL},
    **{"eprop": EProp, "diagonal_rtrl": DiagonalRTRL, "rflo": RFLO, "otpe": OTPE, "approximate_otpe": ApproximateOTPE},
    **{"presynaptic_trace": PresynapticTrace, "ottt": OTTT, "sltt": SLTT, "s_tllr": STLLR, "pp_prop": PPProp},
    "recurrent_traces": RecurrentTraces,
}
"""The rules that can have penalties. They are imported here, so that their code is part of that of a run."""
REFUSED = {
    "bptt": "it has the option spike_penalties itself",
    "decolle": "its learning signals come from readouts of each layer, and from no loss of its spikes",
    "penalised": "its rule has them",
}
OWN = {
    *("feedback", "feedback_sd", "feedback_decay", "rate_cost", "rate_target", "rate_mean"),
    *("sampled_steps", "unbiased", "auxiliary", "auxiliary_uniform_epochs"),
    *("alpha", "update_alpha", "beta", "rho", "adopt_mean", "reset_lambda"),
}
"""Options of rules that do not concern the gradient of a penalty, which needs no feedback weights and is added once."""


def _penalisable(rule: str) -> str:
    if rule in REFUSED:
        raise ValueError(f"{rule} has no penalties from here: {REFUSED[rule]}")
    if rule not in RULES:
        raise ValueError(f'no penalties for "{rule}"; there are those of {", ".join(RULES)}')
    return rule


def _checked_options(rule: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of a rule; an error has one line."""
    try:
        return ALGORITHMS[rule].checked(options)
    except ValidationError as error:
        place, fault = first_fault(error)
        raise ValueError(f"{rule}: {place}: {fault}") from None


class Shown(NamedTuple):
    """A network that shows spikes, the penalty on them, and the rule that learns it."""

    network: Network
    task: Penalty
    rule: LearningRule


@algorithm("penalised")
class Penalised(LearningRule):
    """Another rule, with penalties on numbers of spikes in its loss.

        E' = E + Σ_i c_i mean_u [n_u − bound_i]₊^power_i,      n_u the spikes of unit u in a sequence

    The same rule learns the penalties by its own credit assignment, with a loss at each step. The network then shows
    its numbers of spikes n_t as outputs, and the loss of step t is T (P(n_t) − P(n_{t−1})), whose mean over the steps
    is P(n_T); P is the sum of the penalties over all layers, and n_u the mean over the batch. Rules with learning
    signals of single steps know no counts: they accept only penalties of power 1 and bound 0, whose loss of step t is T
    c z̄_t, with z̄_t the mean spike of a layer, and each layer has a pass of its own, on the layers up to it. Truncated
    rules truncate the penalties, too, and weigh them against the loss as they weigh the losses of steps. The gradient
    of `checkpointed_bptt` and `rtrl` is that of BPTT with `spike_penalties`. Cost: another pass of the rule; for rules
    with learning signals, one for each layer.

    Args:
        rule: name of the rule.
        spike_penalties: the penalties.
        options: options of the rule; null: its defaults.

    Raises:
        ValueError: the rule has no penalties from here; an option of the rule is wrong; its form is paper.

    Example:
        >>> rule = tt.build_rule("penalised", rule="eprop", spike_penalties=[{"strength": 0.01}])
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8])
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Neftci, Mostafa and Zenke 2019: https://doi.org/10.1109/MSP.2019.2931595
    """

    # The gradient is not that of the task's loss; the memory is that of the rule.
    claims = Claims(gradient="approximate", memory="O(T)")

    def __init__(
        self,
        *,
        rule: Annotated[str, AfterValidator(_penalisable)],
        spike_penalties: Penalties,
        options: dict[str, Any] | None = None,
    ) -> None:
        given = _checked_options(rule, options or {})
        if given.get("form") == "paper":
            raise ValueError("form: paper has a gradient after the update, in which the penalties would be missing")
        self.name, self.rule = rule, RULES[rule](**given)
        self.given = {key: value for key, value in given.items() if key not in OWN}
        if "form" in self.given:
            self.given["form"] = "none"
        self.penalties = checked_penalties(spike_penalties)
        self.cost: Cost | None = self.rule.cost
        self.loss_at = self.rule.loss_at
        # The class has claims for tables; the object has those of its rule.
        vars(self)["claims"] = self.rule.claims._replace(gradient="approximate", same_as="")

    def window(self, steps: int) -> int:
        return self.rule.window(steps)

    def windows(self, steps: int) -> list[int]:
        return self.rule.windows(steps)

    def spans(self, steps: int) -> list[range]:
        return self.rule.spans(steps)

    def window_weights(self, steps: int) -> Sequence[float]:
        return self.rule.window_weights(steps)

    def coordinates(self) -> Coordinates | None:
        return self.rule.coordinates()

    def remark(self, network: Network) -> str | None:
        return self.rule.remark(network)

    def credit(self, network: Network, batch: int, steps: int) -> Credit | None:
        return self.rule.credit(network, batch, steps)

    def sizes(self, network: Network, batch: int, steps: int) -> dict[str, int]:
        return self.rule.sizes(network, batch, steps)

    def losses(self, k: int) -> int:
        return self.rule.losses(k)

    def parameters(self) -> Sequence[nn.Parameter]:
        return self.rule.parameters()

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        if reason := self.rule.supports(network, task, steps):
            return reason
        if not (network.spiking and network.layers):
            return "the network has no spikes that could be counted"
        if network.mixes_samples or network.drops_out:
            return "the penalties would have other masks of dropout or running statistics than the loss"
        shown = self._shown(network, steps)
        return shown if isinstance(shown, str) else None

    def _shown(self, network: Network, steps: int) -> list[Shown] | str:
        """Return the networks on which the rule learns the penalties, or the reason why it cannot."""
        counts = Shown(SpikeCounts(network), CountPenalty(self.penalties, steps), RULES[self.name](**self.given))
        if counts.rule.supports(counts.network, counts.task, steps) is None:
            return [counts]
        if any(penalty["bound"] or penalty["power"] > 1 for penalty in self.penalties):
            return f"{self.name} learns from the spikes of single steps: its penalties have power 1 and no bound"
        means = [
            Shown(mean_shown(network, n), MeanPenalty(self.penalties, steps), RULES[self.name](**self.given))
            for n in range(1, len(network.layers) + 1)
        ]
        reasons = [shown.rule.supports(shown.network, shown.task, steps) for shown in means]
        return next((f"penalties: {reason}" for reason in reasons if reason), means)

    def start(self, network: Network, task: Task, steps: int) -> None:
        super().start(network, task, steps)
        self.rule.start(network, task, steps)
        shown = self._shown(network, steps)
        assert not isinstance(shown, str), "`supports` rejects such a network"
        self.shown = shown
        for part in self.shown:
            part.rule.start(part.network, part.task, steps)
            if isinstance(part.rule, BlockRule):
                part.rule.B = part.network.readouts[0].linear.weight  # of a rule with random feedback, too

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        random = torch.get_rng_state()
        self.rule.begin(batch, update)
        for part in self.shown:
            part.task.batch = batch
            with torch.random.fork_rng(devices=[]):
                torch.set_rng_state(random)  # the same initial states
                part.rule.begin(batch, lambda: None)

    def learn(self, x: Tree, target: Tree, t: int) -> Tensor | None:
        for part in self.shown:
            # Its gradients precede the update of the rule.
            first = tensors(x)[0]
            part.rule.learn(x, first.new_zeros(first.shape[:2]), t)
        return self.rule.learn(x, target, t)

    def end(self) -> None:
        for rule in (self.rule, *(part.rule for part in self.shown)):
            rule.end()

    def end_epoch(self) -> dict[str, Observation]:
        return self.rule.end_epoch()
