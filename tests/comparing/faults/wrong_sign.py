"""FPTT's λ with the wrong sign: λ ← λ + α (W − W̄)."""

import torch

from throughtime.algorithms.fptt.dynamic_regulariser import CodeForm


@torch.no_grad()
def advance(self, after_update):
    for w, mean, λ in zip(self.W, self.mean, self.lam, strict=True):
        λ.add_(w - mean, alpha=self.alpha)
        mean.lerp_(w, self.beta).sub_(λ, alpha=self.beta / self.alpha)


CodeForm.advance = advance
