"""torch.nn.RNN: a layer of tanh units in one call. It does not spike; it shows the cost of a fused loop."""

from __future__ import annotations

from torch import Tensor, nn

from throughtime.peers.implementations.unrolled import Unrolled, UnrolledJob
from throughtime.peers.job import Question


class TorchRNN(Unrolled):
    """h_t = tanh(W x_t + c + R h_{t−1}), a linear readout of h."""

    def __init__(self, question: Question) -> None:
        super().__init__(question)
        del self.inward
        layer = question.network.layers[0]
        self.rnn = nn.RNN(layer.inward.in_features, layer.inward.out_features)

    def matched(self) -> dict[str, tuple[Tensor, float]]:
        return {}  # PyTorch's own initial weights

    def recurrent_weight(self) -> Tensor:
        return self.rnn.get_parameter("weight_hh_l0")

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.rnn(x)[0])


def build(question: Question) -> UnrolledJob:
    return UnrolledJob(question, TorchRNN(question))
