"""Fits that start in closed form: whether the rest of the network lives.

A network whose activations have all become inactive (a rate too high drives their inputs far below zero) hardly has a
gradient any more, and the fit stays at what its closed form can show. Its frames do not tell that: they become better
as the closed form does, and those of noise or of a still have nothing to gain. Its maps do: after such an activation
they are 0. In networks that live, of noise and of a still too, an eighth of them and more are not after ReLU, and
nearly all are not after GELU.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.metrics.peak_signal import seen_psnr
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.pixels import as_float

MOST_LOSS = 1.0
"""dB that the frames of a fit may lose against the closed form's; more is a rate too high."""

NEARLY_EXACT = 40.0
"""dB of a closed form from which on there is nothing to gain, and a step may well lose some."""

NOTHING = 1e-3
"""Largest magnitude of what an inactive activation gives: GELU of -3.5."""

ACTIVE = 0.02
"""Part of a map that is not `NOTHING`, at the least, in a network that lives."""

SAMPLED_FRAMES = 16
"""At most as many frames, evenly spread, are decoded for a score."""


def _sample(fitter: Fitter) -> Tensor:
    return fitter.loader.fitted[:: math.ceil(len(fitter.loader) / SAMPLED_FRAMES)]


def sampled_psnr(fitter: Fitter) -> float:
    """Return the mean PSNR in dB of evenly spread frames, as the network decodes them now."""
    loader, indices = fitter.loader, _sample(fitter)
    scores: list[Tensor] = []
    with fitter.in_float32() as video:
        for decoded in video.decode_float(indices.tolist()):
            done = sum(len(each) for each in scores)
            frames, weights = loader.sample(indices[done : done + len(decoded)])
            weights = None if weights is None else as_float(weights.to(decoded.device))
            scores.append(seen_psnr(decoded, as_float(frames.to(decoded.device)), weights))
    return float(torch.cat(scores).mean())


def why_dead(fitter: Fitter, score: float) -> str | None:
    """Return why a fit is to begin again, after a step; `None` where its network lives.

    Args:
        fitter: of the fit.
        score: `sampled_psnr` of the start.
    """
    if score >= NEARLY_EXACT:
        return None
    now = sampled_psnr(fitter)
    if _least_active(fitter) < ACTIVE:
        return f"the network died at {now:.2f} dB, the closed form has {score:.2f} dB"
    if now < score - MOST_LOSS and not fitter.pays_for_bits:
        return f"frames became worse than the closed form's, {now:.2f} against {score:.2f} dB"
    return None


@torch.no_grad()
def _least_active(fitter: Fitter) -> float:
    """Return the part that is not nothing of the map, after join or stage, where it is smallest."""
    with fitter.in_float32() as video, video.evaluating():
        shares = [_active(video, index) for index in _sample(fitter).split(1)]
    return float(torch.stack(shares).mean(0).min())


def _active(video: NeuralVideo, index: Tensor) -> Tensor:
    maps = {name: each for name, each in video.features(index).items() if not name.startswith("embeddings.")}
    return torch.stack([(each.abs() > NOTHING).float().mean() for each in maps.values()])
