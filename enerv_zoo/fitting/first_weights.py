"""First weights of a fit: set by the network's parts from the frames, or taken from another fit."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor

from enerv_zoo.errors import FitError
from enerv_zoo.network import Network
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.segmented import SegmentedVideo

logger = logging.getLogger(__name__)


@torch.no_grad()
def start_in_closed_form(video: NeuralVideo, frames: Tensor) -> dict[str, Tensor]:
    """Let a network's parts set their first weights from the frames (N, 3, H, W), uint8, and return these by name."""
    before = {name: tensor.clone() for name, tensor in video.state_dict().items()}
    for part, takes in closed_form_parts(video):
        part.start_from(frames, [video.embeddings[name] for name in takes])
    after = video.state_dict()
    return {name: tensor.clone() for name, tensor in after.items() if not torch.equal(tensor, before[name])}


def closed_form_parts(network: Network) -> list[tuple[Any, tuple[str, ...]]]:
    """Return the parts that have a closed-form start (`start_from`), with the embeddings that each takes."""
    return [(part, takes) for part, takes in network.wired_parts() if hasattr(part, "start_from")]


def begin_with(video: NeuralVideo, other: NeuralVideo | SegmentedVideo) -> None:
    """Copy the weights of another network that have the same name and shape."""
    if len(other.segments) > 1:
        raise FitError("a fit begins with the weights of one network, not with those of a video in segments")
    own, others = video.state_dict(), other.network(0).state_dict()
    alike = {name: others[name] for name, each in own.items() if name in others and others[name].shape == each.shape}
    video.load_state_dict({**own, **alike})
    logger.info("beginning with %d of %d tensors of another fit", len(alike), len(others))
