"""losses: what training minimises (Yin et al., ICME 2023, arXiv 2303.09114, section 3.4).

Focal losses of the network's logits against the targets of `targets.training_targets`, their mean
over batch and frames, and the weighted sum of the six. All constants are the published ones, the
same for CAS(ME)^2 and SAMM-LV, and so is the focal exponent 1 of all terms.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from mespot.networks.auw_gcn import OUTPUTS
from mespot.networks.targets import TYPES

# Boundary: one weight a class (onset, offset, neither).
BOUNDARY_ALPHA = (0.45, 0.45, 0.1)
# Apex and action: the weight of a frame with the mark; one without it has 1 - alpha.
BINARY_ALPHA = {"apex": 0.9, "action": 0.8}
# Where there is no mark, the error is taken from this probability and not from 0.
SMOOTHING = 0.16
# Added to a probability before its logarithm. Part of the published values: a saturated wrong frame
# costs -log(EPSILON), so the exact logarithm of the sigmoid would not give them.
EPSILON = 1e-5


def boundary_loss(
    logits: Tensor, classes: Tensor, alpha: tuple[float, float, float] = BOUNDARY_ALPHA
) -> Tensor:
    """Focal cross-entropy: logits (B, 3, T), classes (B, T) int64 -> the mean, a scalar.

    A frame counts alpha[class] * (1 - p) * -log p, p the softmax of its class.
    """
    log_p = F.log_softmax(logits, dim=1).gather(1, classes[:, None]).squeeze(1)
    weights = logits.new_tensor(alpha)[classes]
    return (weights * (1 - log_p.exp()) * -log_p).mean()


def binary_loss(
    logits: Tensor, target: Tensor, alpha: float, smoothing: float = SMOOTHING
) -> Tensor:
    """Focal binary cross-entropy: logits and target (in [0, 1]) of one shape -> the mean, a scalar.

    With p the sigmoid and y the target, a frame counts
    alpha * |y - p| * -log(p + EPSILON) where y > 0, else
    (1 - alpha) * |smoothing - p| * -log(1 - p + EPSILON).
    A soft target thus is a mark like any other: it only moves the p at which the frame is free.
    """
    p = torch.sigmoid(logits)
    with_mark = alpha * (target - p).abs() * torch.log(p + EPSILON)
    without = (1 - alpha) * (smoothing - p).abs() * torch.log(1 - p + EPSILON)
    return -torch.where(target > 0, with_mark, without).mean()


def loss_terms(logits: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The six terms by name ({micro,macro}_{apex,action,boundary}).

    `logits` (B, 10, T) are the network's output on the frames of the targets (the context cut off);
    `targets` (B, T) are named as the terms.
    """
    if logits.ndim != 3 or logits.shape[1] != len(OUTPUTS):
        raise ValueError(f"logits must be of shape (B, {len(OUTPUTS)}, T), not {(*logits.shape,)}")
    shape = (logits.shape[0], logits.shape[2])
    terms = {}
    for kind in ("apex", "action", "boundary"):
        for type_ in TYPES:
            name = f"{type_}_{kind}"
            target = targets[name]
            if tuple(target.shape) != shape:
                raise ValueError(f"{name} must be of shape {shape}, not {(*target.shape,)}")
            if kind == "boundary":
                first = OUTPUTS.index(f"{type_}_onset")
                terms[name] = boundary_loss(logits[:, first : first + 3], target)
            else:
                channel = logits[:, OUTPUTS.index(name)]
                terms[name] = binary_loss(channel, target, BINARY_ALPHA[kind])
    return terms


def total_loss(
    terms: Mapping[str, Tensor],
    macro_weight: float,
    apex_weight: float = 1.8,
    boundary_weight: float = 1.0,
    action_weight: float = 0.1,
) -> Tensor:
    """The weighted sum of the six terms; macro_weight is 0.5 for CAS(ME)^2, 0.7 for SAMM-LV.

    As published, the apex weight counts for micro-expressions alone: the macro apex has weight
    macro_weight * 1.
    """
    micro = (
        apex_weight * terms["micro_apex"]
        + boundary_weight * terms["micro_boundary"]
        + action_weight * terms["micro_action"]
    )
    macro = (
        terms["macro_apex"]
        + boundary_weight * terms["macro_boundary"]
        + action_weight * terms["macro_action"]
    )
    return micro + macro_weight * macro
