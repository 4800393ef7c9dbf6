"""optimiser: AdamW, without what importing torch's own brings along."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw


class AdamW:
    """torch's AdamW (arXiv 1711.05101) over a network; as published, only weights of two and more
    dimensions decay, not biases and batch normalisations.

    Through torch's functional form: the class imports the compiler, 5 s in each of many short jobs.
    """

    def __init__(self, network: torch.nn.Module, rate: float, weight_decay: float):
        self.rate = rate
        self.groups = []
        for decays in (True, False):
            learned = (p for p in network.parameters() if p.requires_grad)
            parameters = [p for p in learned if (p.ndim > 1) == decays]
            state = {
                "exp_avgs": [torch.zeros_like(p) for p in parameters],
                "exp_avg_sqs": [torch.zeros_like(p) for p in parameters],
                "state_steps": [torch.zeros((), device=p.device) for p in parameters],
            }
            self.groups.append((parameters, state, weight_decay if decays else 0.0))

    def step(self, loss: Tensor, steepest: float | None = None) -> None:
        """One step down the gradient of `loss`, which is made no longer than `steepest`."""
        everything = [parameter for parameters, _, _ in self.groups for parameter in parameters]
        gradients = torch.autograd.grad(loss, everything, allow_unused=True)
        if steepest:
            norm = torch.stack([each.norm() for each in gradients if each is not None]).norm()
            shorter = (steepest / (norm + 1e-6)).clamp(max=1)
            gradients = [each if each is None else each * shorter for each in gradients]
        gradients = dict(zip(map(id, everything), gradients, strict=True))
        for parameters, state, weight_decay in self.groups:
            used = [k for k, p in enumerate(parameters) if gradients[id(p)] is not None]
            if used:
                adamw(
                    [parameters[k].data for k in used],
                    [gradients[id(parameters[k])] for k in used],
                    max_exp_avg_sqs=[],
                    **{name: [tensors[k] for k in used] for name, tensors in state.items()},
                    foreach=False,
                    fused=parameters[0].is_cuda,
                    amsgrad=False,
                    beta1=0.9,
                    beta2=0.999,
                    lr=self.rate,
                    weight_decay=weight_decay,
                    eps=1e-8,
                    maximize=False,
                )

    def state(self) -> dict[str, Any]:
        return {"rate": self.rate, "groups": [state for _, state, _ in self.groups]}

    def restore(self, state: dict[str, Any]) -> None:
        self.rate = float(state["rate"])
        for (_, own, _), other in zip(self.groups, state["groups"], strict=True):
            for name, tensors in own.items():
                for tensor, value in zip(tensors, other[name], strict=True):
                    tensor.copy_(value)
