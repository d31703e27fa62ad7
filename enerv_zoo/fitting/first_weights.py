"""First weights of a fit: set by the network's parts from the frames, or taken from another fit."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from enerv_zoo.errors import FitError
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.segmented import SegmentedVideo

logger = logging.getLogger(__name__)


def start_in_closed_form(video: NeuralVideo, frames: Tensor) -> dict[str, Tensor]:
    """Let a network's parts set their first weights from the frames (N, 3, H, W), uint8, and return these by name."""
    before = {name: tensor.clone() for name, tensor in video.state_dict().items()}
    after = video.start_from(frames).state_dict()
    return {name: tensor.clone() for name, tensor in after.items() if not torch.equal(tensor, before[name])}


def begin_with(video: NeuralVideo, other: NeuralVideo | SegmentedVideo) -> None:
    """Copy the weights of another network that have the same name and shape."""
    if not isinstance(other, NeuralVideo):
        raise FitError("a fit begins with the weights of one network, not with those of a video in segments")
    own, others = video.state_dict(), other.state_dict()
    alike = {name: others[name] for name, each in own.items() if name in others and others[name].shape == each.shape}
    video.load_state_dict({**own, **alike})
    logger.info("beginning with %d of %d tensors of another fit", len(alike), len(others))
