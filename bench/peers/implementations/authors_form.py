"""FPTT in the form of the paper's released code: plain PyTorch, tensor by tensor and, in one place, sample by sample.

R(W) is a term of the loss, summed over the parameters, and goes through autograd; clipping, optimiser and running
averages process one tensor after the other; a loop over the samples of the batch fills the table of the auxiliary loss
at every step. Equations and constants are those of our `fptt`, `ltc_smnist` and `ltc_adding`; the weights come from our
network.

It omits one thing of the released code: a sum of R over the sequence, never used, whose graph grows with every step.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from throughtime.neurons.integrators import GatedIntegrator
from throughtime.neurons.ltc import LTC
from throughtime.peers.job import CLASSES, Question

State = tuple[Tensor, ...]


class MultiGaussian(torch.autograd.Function):
    """H(x), whose gradient is γ [(1+η) g(x; 0, l) − η g(x; l, s·l) − η g(x; −l, s·l)]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        γ, l, s, η = 0.5, 0.3, 6.0, 0.15

        def g(μ: float, ς: float) -> Tensor:
            return torch.exp(-((x - μ) ** 2) / (2 * ς**2)) / math.sqrt(2 * math.pi) / ς

        return gradient * γ * ((1 + η) * g(0, l) - η * g(l, s * l) - η * g(-l, s * l))


class AuthorsForm:
    """Updates of a sequence's parts, one after the other."""

    def __init__(self, question: Question, W: dict[str, nn.Parameter], α: float, β: float = 0.5) -> None:
        self.question, self.work, self.W, self.α, self.β = question, question.work, W, α, β
        self.mean = {name: w.detach().clone() for name, w in W.items()}
        self.λ = {name: torch.zeros_like(w) for name, w in W.items()}
        optimiser = {"adam": torch.optim.Adam, "adamax": torch.optim.Adamax}[question.training.optimiser]
        self.optimiser = optimiser(W.values(), lr=question.training.learning_rate)

    @abstractmethod
    def once(self) -> None:
        """Train on the sequence."""

    def update(self, loss: Tensor) -> None:
        """Take a step on the loss of a part plus R, then update the running averages."""
        α, β, max_norm = self.α, self.β, self.question.training.clip
        assert max_norm is not None
        for name, w in self.W.items():
            loss = loss - torch.sum(w * self.λ[name]) + 0.5 * α * torch.sum((w - self.mean[name]) ** 2)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.W.values(), max_norm)
        self.optimiser.step()
        with torch.no_grad():
            for name, w in self.W.items():
                λ, mean = self.λ[name], self.mean[name]
                λ.add_(-α * (w - mean))
                mean.mul_(1 - β).add_(β * w - (β / α) * λ)

    def answer(self) -> dict[str, Tensor]:
        for _ in range(self.question.sequences):
            self.once()
        return {name: w.detach() for name, w in self.W.items()}


class SMNIST(nn.Module):
    """One step of the S-MNIST network, with the parameters of our network."""

    def __init__(self, question: Question) -> None:
        super().__init__()
        self.net, self.steps = question.network, question.work.steps
        layer, readout = self.net.layers[0], self.net.readouts[0]
        neuron = layer.neuron
        assert isinstance(neuron, LTC) and isinstance(readout.neuron, GatedIntegrator)
        assert neuron.membrane_gate is not None and neuron.adaptation_gate is not None
        self.linears = (layer.inward, layer.recurrent, neuron.membrane_gate, neuron.adaptation_gate)
        self.κ_M, self.κ_A = neuron.membrane_slope, neuron.adaptation_slope
        self.norms = (layer.inward_norm, layer.recurrent_norm, readout.norm)
        self.read, self.read_gate, self.κ_o = readout.linear, readout.neuron.gate, readout.neuron.slope
        self.size, self.dtype = neuron.size, question.batch.x.dtype

    def initial_state(self, batch: int) -> State:
        u = torch.rand(batch, self.size, dtype=self.dtype)
        zeros = torch.zeros(batch, self.size, dtype=self.dtype)
        return u, torch.full_like(u, 0.1), zeros, torch.zeros(batch, CLASSES, dtype=self.dtype)

    def forward(self, x: Tensor, state: State, t: int) -> tuple[Tensor, State]:
        (u, b, s, o), (inward, recurrent, gate_M, gate_A) = state, self.linears
        I = self._norm(0, inward(x), t) + self._norm(1, recurrent(s), t)
        a = torch.sigmoid(self.κ_M * gate_M(torch.cat((I, u), 1)))
        ρ = torch.sigmoid(self.κ_A * gate_A(torch.cat((I, b), 1)))
        b = ρ * b + (1 - ρ) * s
        θ = 0.1 + 1.8 * b
        u = u + a * (I - u)
        s = MultiGaussian.apply(u - θ)
        u = (1 - s) * u
        d = self._norm(2, self.read(s), t)
        λ = torch.sigmoid(self.κ_o * self.read_gate(torch.cat((d, o), 1)))
        o = o + λ * (d - o)
        return F.log_softmax(o, 1), (u, b, s, o)

    def _norm(self, which: int, x: Tensor, t: int) -> Tensor:
        norm = self.norms[which]
        assert norm is not None
        return F.batch_norm(x, norm.running_mean[t], norm.running_var[t], norm.weight, norm.bias, self.training)


class FPTTOfSMNIST(AuthorsForm):
    """FPTT with an update at every step and the auxiliary loss."""

    def __init__(self, question: Question) -> None:
        self.model = SMNIST(question)
        super().__init__(question, dict(question.network.named_parameters()), α=0.1)
        self.Q = torch.zeros(CLASSES, self.work.steps, CLASSES, dtype=question.batch.x.dtype)

    def once(self) -> None:
        x, y, _ = self.question.batch
        torch.manual_seed(2)
        state = self.model.initial_state(self.work.batch)
        for p in range(len(x)):
            state = tuple(part.detach() for part in state)
            q, w = self.Q[y, p], (p + 1) / self.work.steps
            log_p, state = self.model(x[p], state, p)
            self._fill(log_p, y, p)
            self.update(w * F.nll_loss(log_p, y) + (1 - w) * torch.mean(-q * log_p))

    @torch.no_grad()
    def _fill(self, log_p: Tensor, y: Tensor, p: int) -> None:
        """Set Q[class, p] to the distribution of the class's first misclassified sample in the batch."""
        prob = torch.exp(log_p)
        filled: set[int] = set()
        for i in range(len(y)):
            c = int(y[i])
            if c not in filled and prob[i].argmax().item() != c:
                self.Q[c, p] = prob[i]
                filled.add(c)
                if len(filled) == CLASSES:
                    break


class FPTTOfAdding(AuthorsForm):
    """FPTT with K parts and an update after each but the last, on which it does not train."""

    def __init__(self, question: Question) -> None:
        layer, neuron = question.network.layers[0], question.network.layers[0].neuron
        assert isinstance(neuron, LTC) and question.work.parts is not None
        assert neuron.membrane_gate is not None and neuron.adaptation_gate is not None
        self.parts = question.work.parts
        self.gate, self.unused = neuron.membrane_gate, neuron.adaptation_gate
        self.read = question.network.readouts[0].linear
        self.joint = nn.Linear(question.work.inputs + neuron.size, neuron.size)
        with torch.no_grad():
            self.joint.weight = nn.Parameter(torch.cat((layer.inward.weight, layer.recurrent.weight), 1))
            self.joint.bias = nn.Parameter(layer.inward.bias.clone())
        modules: dict[str, nn.Module] = {
            "joint": self.joint,
            "layers.0.neuron.membrane_gate": self.gate,
            "unused": self.unused.requires_grad_(True),
            "readout.linear": self.read,
        }
        W = {f"{name}.{part}": w for name, module in modules.items() for part, w in module.named_parameters()}
        super().__init__(question, W, α=0.5)

    def once(self) -> None:
        x, y, _ = self.question.batch
        K, length = self.parts, len(x) // self.parts
        u = s = b = x.new_zeros(self.work.batch, len(self.joint.weight))
        for p in range(K - 1):
            u, s, b = u.detach(), s.detach(), b.detach()
            for x_t in x[p * length : (p + 1) * length]:
                I = self.joint(torch.cat((x_t, s), 1))
                a = torch.sigmoid(self.gate(torch.cat((I, u), 1)))
                torch.sigmoid(self.unused(torch.cat((I, b), 1)))  # not used, as in the released code
                u = u + a * (I - u)
                s = MultiGaussian.apply(u - 0.5)
                u = (1 - s) * u
            self.update((p + 1 / K) * F.mse_loss(self.read(u), y))

    def answer(self) -> dict[str, Any]:
        tensors = super().answer()
        joint, inputs = tensors.pop("joint.weight"), self.work.inputs
        tensors |= {"layers.0.inward.weight": joint[:, :inputs], "layers.0.recurrent.weight": joint[:, inputs:]}
        tensors["layers.0.inward.bias"] = tensors.pop("joint.bias")
        return {name: w for name, w in tensors.items() if not name.startswith("unused")}


def build(question: Question) -> AuthorsForm:
    return FPTTOfSMNIST(question) if question.work.does == "fptt" else FPTTOfAdding(question)
