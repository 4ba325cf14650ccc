"""Diagonal real-time recurrent learning: e-prop for any neuron, by automatic differentiation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from throughtime.algorithms.base import Claims
from throughtime.algorithms.eligibility.eligibility import EligibilityRule
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.networks.layer import gates_of
from throughtime.neurons.base import InputJacobian, Neuron, Partials
from throughtime.registry import algorithm


@algorithm("diagonal_rtrl")
class DiagonalRTRL(EligibilityRule):
    """Real-time recurrent learning with the block diagonal of the state Jacobian: one block per neuron.

        ε_j^t  = J_jj^t ε_j^{t−1} + (∂s_j^t/∂I_j^t) p^t,       J_jj = ∂s_j^t / ∂s_j^{t−1},  s_j all state of neuron j
        dE/dW_ji = Σ_t L_j^t ē_ji^t                            L and ē as in e-prop, B = the readout's weights

    The blocks come from the neuron's step by automatic differentiation, so that neurons without `partials` have an
    online rule; where a neuron has `partials`, the gradient equals that of e-prop. The rule drops all credit through
    other neurons: their spikes and, where the state of a neuron depends on that of another (LTC), the off-diagonal
    blocks. Memory is O(1) in T: a trace for each synapse, sample and state variable. Time is that of e-prop, plus a
    backward pass of the neuron's step for each of its state variables; neurons that are not `elementwise` step on
    `size` copies of the layer, in each of which only the inputs of one neuron are variables. Source: Menick et al. 2021
    (the SnAp family), here only with the neuron's own step; Bellec et al. 2020.

    Args:
        loss_at: `end`: E = l_T, with a single learning signal; `every`: E is the mean over all steps.
        update_every: steps between updates, for a loss at every step; null: one update, at the end of the sequence.

    Raises:
        ValueError: update_every has loss_at: end.

    Example:
        >>> rule = tt.build_rule("diagonal_rtrl")
        >>> rule.claims.gradient, rule.claims.memory
        ('approximate', 'O(1)')
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8])
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Menick et al. 2021: https://doi.org/10.48550/arXiv.2006.07232
        Bellec et al. 2020: https://doi.org/10.1038/s41467-020-17236-y
    """

    claims = Claims(gradient="approximate", memory="O(1)")

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        if reason := super().supports(network, task, steps):
            return reason
        pairs = zip(network.layers, network.initial_state(1).layers, strict=True)
        reasons = (self._untraceable(layer.neuron, state) for layer, state in pairs)
        return next((reason for reason in reasons if reason), None)

    def _untraceable(self, neuron: Neuron, state: Any) -> str | None:
        """Return why the parameters of these neurons cannot have traces; None if they can."""
        shapes = {name: tuple(p.shape) for name, p in _own_parameters(neuron).items()}
        strange = [f"{name} {list(shape)}" for name, shape in shapes.items() if shape not in ((), (1,), (neuron.size,))]
        strange += [
            f"{name} [{m.out_features} outputs]"
            for name, m in gates_of(neuron).items()
            if m.out_features != neuron.size
        ]
        if strange:
            return f"parameters must have one value per neuron or one for all neurons: {', '.join(strange)}"
        try:
            self.partials(neuron, state.z.repeat(1, neuron.currents), state, state)
        except ValueError as reason:
            return str(reason)
        return None

    @torch.enable_grad()
    def partials(self, neuron: Neuron, current: Tensor, state: Any, next_state: Any) -> Partials:
        size, copies = neuron.size, 1 if neuron.elementwise else neuron.size
        own = torch.eye(size, dtype=torch.bool, device=current.device)[:, None]

        def spread(leaf: Tensor) -> Tensor:
            """[batch, size] -> [copies · batch, size]; in copy j only the value of neuron j is a variable."""
            return leaf if copies == 1 else torch.where(own, leaf, leaf.detach()).flatten(0, 1)

        def own_value(s: Tensor) -> Tensor:
            """[copies · batch, size] -> [batch, size]: the value of neuron j from copy j."""
            return s if copies == 1 else s.unflatten(0, (size, -1)).diagonal(dim1=0, dim2=2)

        def leaf(value: Tensor) -> Tensor:
            return value.detach().expand(len(current), size).clone().requires_grad_()

        past = {r: leaf(value) for r, value in state._asdict().items()}
        currents = [leaf(part) for part in current.chunk(neuron.currents, 1)]
        parameters = {name: leaf(p) for name, p in _own_parameters(neuron).items()}
        shifts = {name: leaf(current.new_zeros(())) for name in gates_of(neuron)}
        read: dict[str, Tensor] = {}
        hooks = [
            module.register_forward_hook(_shifted(name, spread(shifts[name]), read, len(current)))
            for name, module in gates_of(neuron).items()
        ]
        try:
            _, after = functional_call(
                neuron,
                {name: spread(p) for name, p in parameters.items()},
                (torch.cat([spread(part) for part in currents], 1), type(state)(*map(spread, past.values()))),
            )
        finally:
            for hook in hooks:
                hook.remove()

        if idle := sorted(shifts.keys() - read.keys()):
            raise ValueError(f"{', '.join(idle)} is not called in a step, so its weights have no trace")
        leaves = [*past.values(), *currents, *parameters.values(), *shifts.values()]
        before: dict[tuple[str, str], Tensor] = {}
        onto: dict[str, dict[str, Tensor]] = {name: {} for name in ("current", *parameters, *shifts)}
        for s, value in after._asdict().items():
            if not value.requires_grad:
                continue
            gradients = torch.autograd.grad(
                own_value(value).sum(), leaves, retain_graph=True, allow_unused=True, materialize_grads=False
            )
            by_leaf = dict(zip([*past, *range(len(currents)), *parameters, *shifts], gradients, strict=True))
            before |= {(s, r): by_leaf[r] for r in past if by_leaf[r] is not None}
            if any(by_leaf[k] is not None for k in range(len(currents))):
                parts = [torch.zeros_like(c) if by_leaf[k] is None else by_leaf[k] for k, c in enumerate(currents)]
                onto["current"][s] = torch.stack(parts, 1)
            for name in (*parameters, *shifts):
                if by_leaf[name] is not None:
                    onto[name][s] = by_leaf[name]
        inflows = {name: InputJacobian(by, read.get(name)) for name, by in onto.items()}
        return Partials(before, {}, inflows)


class AnyNeuronRule(DiagonalRTRL):
    """`diagonal_rtrl`, whose derivatives are those of the neuron's equations where it has `partials`.

    The equations give traces of fewer variables, and need no backward pass.
    """

    def partials(self, neuron: Neuron, current: Tensor, state: Any, next_state: Any) -> Partials:
        known = neuron.partials(current, state, next_state)
        return super().partials(neuron, current, state, next_state) if known is None else known


def _own_parameters(neuron: Neuron) -> dict[str, nn.Parameter]:
    """Return the trained parameters of a neuron except those of its linear maps."""
    maps = gates_of(neuron)
    return {name: p for name, p in neuron.named_parameters() if p.requires_grad and name.rpartition(".")[0] not in maps}


def _shifted(name: str, shift: Tensor, read: dict[str, Tensor], batch: int) -> Any:
    """Return a forward hook that adds a variable to the output of a map and records its input."""

    def hook(module: nn.Module, arguments: tuple[Tensor], output: Tensor) -> Tensor:
        if name in read:
            raise ValueError(f"{name} is used twice in one step, so its traces are ambiguous")
        read[name] = arguments[0][:batch].detach()
        return output + shift

    return hook
