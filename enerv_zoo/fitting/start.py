"""Fits that start in closed form: what that has set, and whether the rest of the network lives.

A network whose activations have all become inactive (a rate too high drives their inputs negative) has no gradient any
more, and the fit stays at what its closed form can show. It scores little more than at the start; but so does one that
has nothing to gain, as of noise, and a still is nearly exact from the start. A gain of less than `MIN_GAIN` is
therefore a sign of death only where no gradient reaches the hidden weights: it is exactly 0 in dead networks, and in
live ones, of noise and of a constant image too, at least 0.01 of the closed form's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.metrics.peak_signal import seen_psnr
from enerv_zoo.optimizers.groups import hidden_weights
from enerv_zoo.pixels import as_float

MIN_GAIN = 1.0
"""dB that the frames of a dead network have gained over the closed form's at most; or that those of a network whose
rate is too high have lost."""

NEARLY_EXACT = 40.0
"""dB of a closed form from which on there is nothing to gain, and a step may well lose some."""

VANISHED = 1e-6
"""A gradient of the hidden weights of less than this part of the closed form's is none."""

SAMPLED_FRAMES = 16
"""At most as many frames, evenly spread, are decoded for a score."""


def sampled_psnr(fitter: Fitter) -> float:
    """Return the mean PSNR in dB of evenly spread frames, as the network decodes them now."""
    loader = fitter.loader
    indices = loader.fitted[:: math.ceil(len(loader) / SAMPLED_FRAMES)]
    scores: list[Tensor] = []
    with fitter.in_float32() as video:
        for decoded in video.decode_float(indices.tolist()):
            done = sum(len(each) for each in scores)
            frames, weights = loader.sample(indices[done : done + len(decoded)])
            weights = None if weights is None else as_float(weights.to(decoded.device))
            scores.append(seen_psnr(decoded, as_float(frames.to(decoded.device)), weights))
    return float(torch.cat(scores).mean())


def why_dead(fitter: Fitter, started: Sequence[str], score: float) -> str | None:
    """Return why a fit is to begin again, after a step; `None` where its network lives.

    Args:
        fitter: of the fit.
        started: names of the tensors that the closed form has set.
        score: `sampled_psnr` of the start.
    """
    if score >= NEARLY_EXACT:
        return None
    now = sampled_psnr(fitter)
    if now < score + MIN_GAIN and _has_no_gradient(fitter, started):
        return f"the network died at {now:.2f} dB, the closed form has {score:.2f} dB"
    if now < score - MIN_GAIN and not fitter.pays_for_bits:
        return f"frames became worse than the closed form's, {now:.2f} against {score:.2f} dB"
    return None


def _has_no_gradient(fitter: Fitter, started: Sequence[str]) -> bool:
    hidden = [each for name, each in hidden_weights(fitter.video).items() if name not in started]
    closed = [each for name, each in fitter.video.named_parameters() if name in started]
    gradients = [[each.grad.norm() for each in part if each.grad is not None] for part in (hidden, closed)]
    if not all(gradients):
        return False
    ours, theirs = (float(torch.stack(norms).norm()) for norms in gradients)
    return ours <= VANISHED * theirs and theirs > 0
