"""Forward propagation through time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from throughtime.algorithms.auxiliary_loss import AuxiliaryLoss
from throughtime.algorithms.base import FORWARD_AND_BACKWARD, Claims, LearningRule, Observation
from throughtime.algorithms.coordinates import Coordinates, Cost
from throughtime.algorithms.credit import Credit
from throughtime.algorithms.fptt.dynamic_regulariser import CodeForm, DynamicRegulariser, PaperForm
from throughtime.datasets.task import Classification, Task
from throughtime.networks.base import Network
from throughtime.networks.products import backward_products, forward_products
from throughtime.neurons.base import Derivative
from throughtime.numerics.flat import Flat
from throughtime.numerics.reductions import number_or_tensor
from throughtime.numerics.trees import Tree, last
from throughtime.registry import algorithm, or_default, refuse_unused


@algorithm("fptt", order=2, colour="#029e73")
class FPTT(LearningRule):
    """Forward propagation through time: an update at each of K parts, with a pull to a running mean of the weights.

        dynamic loss of part p    w_p l_p(W) + (1 − w_p) L_aux(W) + R(W),     w_p = (p+1)/K
        `code`     ∇R = α (W − W̄) − (1 − ρ) λ
                   after the step     λ ← λ − α' (W − W̄),     W̄ ← (1−β) W̄ + β W − (β/α') λ,     α' = α
        `paper`    ∇R = α (W − W̄) − ½ ∇l̃_{p−1}(W),     l̃_p = w_p l_p + (1 − w_p) L_aux
                   after the step     W̄ ← ½ (W̄ + W) − ∇l̃_p(W) / (2α),     ∇l̃_p by a second forward and backward pass
        `none`     R = 0: truncated BPTT with the same windows and weights
        at the end of an epoch       W ← W̄

    The state at the start of a part is held constant, so that credit reaches back at most T/K steps; R accounts for
    longer dependencies. At K = T a part is one step; at K = 1 the gradient of `none` equals that of BPTT. Time is O(T)
    with K updates per sequence (`paper`: twice that); memory is O(T/K), the length of a window, and two further copies
    of the weights. The rule records `regulariser_ratio`, ‖∇R‖ over ‖∇l‖. Source: Kag and Saligrama 2021; Yin, Corradi
    and Bohte 2023; `dynamic_regulariser.py` has the forms.

    Args:
        parts: K, from 1 to T; the lengths of the parts differ by at most one step; null: K = T.
        form: form of the regulariser. Options of another form are errors.
        alpha: α, strength of the regulariser; null: 0.1.
        update_alpha: α' of the code form, if the update of λ and W̄ has another α than R, as in the authors' script for
            object detection: α = 0.1, α' = 0.5; null: α.
        beta: β of the code form, the rate at which the mean follows the weights. At 0.5 the old mean cancels:
            W̄ = W − λ/(2α'), with λ before the update. null: 0.5.
        rho: ρ of the code form; null: 0, as in all publications.
        adopt_mean: whether W ← W̄ at the end of an epoch; null: yes, if there is a W̄.
        reset_lambda: whether λ ← 0 at the end of an epoch in the code form, as in the code of Kag and Saligrama; null:
            no, as in that of Yin et al.
        weights: w_p: `ramp`, (p+1)/K; `authors`, p + 1/K as in the authors' script for the adding task; `equal`, 1 as
            in their script for object detection.
        last_part: whether the last part is trained; the authors' loop for the adding task omits it.
        auxiliary: L_aux, for classification: `off`; `authors`, as in `auxiliary_loss.py`.
        auxiliary_uniform_epochs: number of first epochs in which the auxiliary distribution is uniform; null: 0.

    Raises:
        ValueError: an option has no effect with this form; auxiliary has weights other than ramp.

    Example:
        >>> rule = tt.build_rule("fptt", parts=4)
        >>> rule.windows(10)
        [2, 3, 2, 3]
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8])
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Kag and Saligrama 2021: https://proceedings.mlr.press/v139/kag21a.html
        Yin, Corradi and Bohte 2023: https://doi.org/10.1038/s42256-023-00650-4
    """

    claims = Claims("truncated", "O(window)", sets_weights=True, carries=True, same_as="fptt")
    cost = Cost(time="B T P", memory="B L S + P")

    def __init__(
        self,
        *,
        parts: PositiveInt | None = None,
        form: Literal["code", "paper", "none"] = "code",
        alpha: PositiveFloat | None = None,
        update_alpha: PositiveFloat | None = None,
        beta: PositiveFloat | None = None,
        rho: float | None = None,
        adopt_mean: bool | None = None,
        reset_lambda: bool | None = None,
        weights: Literal["ramp", "authors", "equal"] = "ramp",
        last_part: bool = True,
        auxiliary: Literal["off", "authors"] = "off",
        auxiliary_uniform_epochs: NonNegativeInt | None = None,
    ) -> None:
        if auxiliary != "off" and weights != "ramp":
            raise ValueError("the auxiliary loss has weight 1 − (p+1)/K: it needs weights: ramp")
        code_options = {"update_alpha": update_alpha, "beta": beta, "rho": rho, "reset_lambda": reset_lambda}
        refuse_unused("form: code", form == "code", **code_options)
        refuse_unused("a regulariser", form != "none", alpha=alpha, adopt_mean=adopt_mean)
        refuse_unused("auxiliary: authors", auxiliary == "authors", auxiliary_uniform_epochs=auxiliary_uniform_epochs)
        self.parts, self.form, self.alpha = parts, form, or_default(alpha, 0.1)
        self.update_alpha, self.reset_lambda = or_default(update_alpha, self.alpha), or_default(reset_lambda, False)
        self.beta, self.rho, self.adopt_mean = or_default(beta, 0.5), or_default(rho, 0.0), or_default(adopt_mean, True)
        self.weights, self.last_part = weights, last_part
        self.auxiliary, self.auxiliary_uniform_epochs = auxiliary, or_default(auxiliary_uniform_epochs, 0)

    def coordinates(self) -> Coordinates:
        return Coordinates("none", "J in a window", "all", "exact", "none", "window")

    def window(self, steps: int) -> int:
        return -(-steps // min(self.parts or steps, steps))

    def windows(self, steps: int) -> list[int]:
        K = min(self.parts or steps, steps)
        return [(p + 1) * steps // K - p * steps // K for p in range(K)]

    def window_weights(self, steps: int) -> list[float]:
        K = len(self.windows(steps))
        return [self._weight_of(p, K) if self.last_part or p + 1 < K else 0.0 for p in range(K)]

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        if self.parts and self.parts > steps:
            return f"{steps} steps cannot be cut into {self.parts} parts"
        if not self.last_part and len(self.windows(steps)) == 1:
            return "the only part is the last one, so nothing would be trained"
        if self.auxiliary != "off" and (task.per_step or not isinstance(task, Classification)):
            return (
                "the auxiliary loss is a distribution over the classes of a sequence: it needs one class per sequence"
            )
        return None

    def credit(self, network: Network, batch: int, steps: int) -> Credit:
        windows = self.windows(steps)
        trained = windows if self.last_part else windows[:-1]
        products, contains = backward_products(network, trained, batch, self.losses), FORWARD_AND_BACKWARD
        if self.form == "paper":
            products += products + forward_products(network, trained, batch)
            contains += ", twice"
        return Credit(products, contains, updates=len(trained), copies=0 if self.form == "none" else 2)

    def start(self, network: Network, task: Task, steps: int) -> None:
        super().start(network, task, steps)
        self.flat = Flat([p for p in network.parameters() if p.requires_grad])
        self.W = self.flat.weights
        self.regulariser: DynamicRegulariser | None = None
        if self.form == "code":
            self.regulariser = CodeForm(self.W, self.alpha, self.beta, self.rho, self.update_alpha)
        elif self.form == "paper":
            self.regulariser = PaperForm(self.W, self.alpha)
        self.auxiliary_loss: AuxiliaryLoss | None = None
        if self.auxiliary == "authors" and isinstance(task, Classification):
            K = len(self.windows(steps))
            self.auxiliary_loss = AuxiliaryLoss(task.classes, K, self.auxiliary_uniform_epochs, self.W[0])
        self.epoch = 0
        self.squares = self._no_squares()
        """‖∇R‖² and ‖∇l‖², summed over the updates of the epoch."""

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        super().begin(batch, update)
        self.part = 0
        twice = self.regulariser is not None and self.regulariser.needs_gradient_after_update
        if self.window(self.steps) == 1 and self.last_part and not twice:
            self.stepper = self.single_steps()

    def learn(self, x: Tree, target: Tree, t: int) -> Tensor | None:
        if not self.last_part and self.part + 1 == len(self.windows(self.steps)):
            with torch.no_grad():
                self.advance(x)
            return None
        before = self.state
        output, loss = self._gradient(x, target)
        if self.regulariser is None:
            self.update()
        else:
            self._add_gradient_of(self.regulariser)
            self.update()
            after_update: list[Tensor] = []
            if self.regulariser.needs_gradient_after_update:
                after_update = self._gradient_from(before, x, target)
            self.regulariser.advance(after_update)
        if self.auxiliary_loss is not None:
            self.auxiliary_loss.learn(output, target, self.part)
        self.part += 1
        return loss

    def end_epoch(self) -> dict[str, Observation]:
        self.epoch += 1
        if self.regulariser is None:
            return {}
        if self.adopt_mean:
            self.regulariser.adopt_mean()
        if self.reset_lambda and isinstance(self.regulariser, CodeForm):
            self.regulariser.reset()
        norm_R, norm_loss = (math.sqrt(square) for square in self.squares)
        self.squares = self._no_squares()
        if norm_loss == 0:
            return {}
        method = "‖∇R‖ / ‖∇l‖: root mean squares over the updates of the last epoch, before clipping"
        return {"regulariser_ratio": Observation(norm_R / norm_loss, "1", method)}

    def _gradient(self, x: Tree, target: Tree) -> tuple[Tree, Tensor]:
        """Compute `window_gradient` of w_p l_p + (1 − w_p) L_aux; single steps with L_aux need no graph of the loss."""
        w = self._weight()
        if self.stepper is None or self.auxiliary_loss is None or w == 1:
            return self.window_gradient(x, lambda outputs: self._loss(outputs, target))
        y = self.stepper.step(x[0])
        loss, δy = self.auxiliary_loss.beside_and_gradient(w, y, target, self.part, self.epoch)
        self.stepper.gradient(δy)
        return y, loss

    def _weight(self) -> float:
        """Return w_p."""
        return self._weight_of(self.part, min(self.parts or self.steps, self.steps))

    def _weight_of(self, p: int, K: int) -> float:
        return {"ramp": (p + 1) / K, "authors": p + 1 / K, "equal": 1.0}[self.weights]

    def _loss(self, outputs: Tree, target: Tree) -> Tensor:
        """Return w_p l_p + (1 − w_p) L_aux of the outputs of a part, [k, batch, outputs]."""
        w = self._weight()
        if self.auxiliary_loss is not None and w < 1:
            return self.auxiliary_loss.beside(w, last(outputs), target, self.part, self.epoch)
        return w * self.loss_of(outputs, target, "end")

    @torch.no_grad()
    def _add_gradient_of(self, regulariser: DynamicRegulariser) -> None:
        """Add ∇R to ∇l, and both squared norms to the sums of the epoch."""
        squares = regulariser.add_gradient(self.flat.gradients())
        self.squares = [square + number_or_tensor(more) for square, more in zip(self.squares, squares, strict=True)]

    def _no_squares(self) -> list[Derivative]:
        return [number_or_tensor(self.W[0].new_zeros(())) for _ in range(2)]

    def _gradient_from(self, before: Any, x: Tree, target: Tree) -> list[Tensor]:
        """Return ∇l̃_p at the new weights, from the state at the start of the part; keep the current state."""
        current = self.state
        self.state: Any = before
        buffers = [buffer.clone() for buffer in self.network.buffers()]
        loss = self._loss(self.advance(x).outputs, target)
        self.state = current
        gradient = torch.autograd.grad(loss, self.flat.parameters, allow_unused=True, materialize_grads=True)
        by_parameter: dict[Tensor, Tensor] = dict(zip(self.flat.parameters, gradient, strict=True))
        self.network.clear_held(by_parameter.get)
        with torch.no_grad():
            for buffer, before_it in zip(self.network.buffers(), buffers, strict=True):
                buffer.copy_(before_it)  # the first pass has already updated the running statistics
        return self.flat.laid_out(gradient)
