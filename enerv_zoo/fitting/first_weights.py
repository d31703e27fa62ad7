"""First weights of a fit: set by the network's parts from the frames, or taken from another fit."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from enerv_zoo.content import encoded_at
from enerv_zoo.errors import FitError
from enerv_zoo.network import Network
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.precision import wide
from enerv_zoo.segmented import SegmentedVideo

logger = logging.getLogger(__name__)

WHITENED, SCALED = 64, 4
"""Frames, evenly spread, over which maps are whitened, and convolutions scaled."""


def set_first_weights(
    video: NeuralVideo, frames: Tensor, std: float | None, closed_form: dict[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Set the weights of a fresh network that follow from the frames.

    Args:
        video: the network.
        frames: (N, 3 or more, H, W), uint8 or float in [0, 1]; the first three channels are colours.
        std: of values, see `scale_values`; or `None`.
        closed_form: tensors that are known from an earlier start, by name.

    Returns:
        The tensors that parts have set in closed form, by name.
    """
    frames = frames[:, :3].to(video.device)  # where a fit holds them on a GPU, a fresh network is not yet there
    if closed_form is None:
        closed_form = start_in_closed_form(video, frames)
    else:
        video.load_state_dict({**video.state_dict(), **closed_form})
    if std is not None:
        scale_values(video, frames, std)
    return closed_form


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


@torch.no_grad()
def scale_values(network: Network, frames: Tensor, std: float) -> None:
    """Give values the same standard deviation from the first feature map to the last, before the first step.

    As PyTorch begins them, convolutions and activations make what differs between frames smaller from stage to stage,
    and an encoder's maps are much alike: the network starts as a still image, and HNeRV may stay one for a whole short
    fit. Here maps that are encoded from frames are whitened, and then the convolutions of join and stages are scaled,
    one after the other, each on what those before it give (LSUV; Mishkin & Matas 2016, section 2, whose first weights
    are orthogonal and whose deviation is 1). Those before a norm gain nothing by it, and then learn more slowly.

    Args:
        network: that is about to be fitted.
        frames: (N, 3, H, W), uint8 or float in [0, 1].
        std: the standard deviation.
    """
    parts, device = network.encoding(), network.device
    whitened = {name: part for name, part in parts.items() if hasattr(part, "whitened")}
    with ExitStack() as contexts:
        for part in whitened.values():
            contexts.enter_context(part.whitened())
        for index in _spread(frames, WHITENED).split(1) if whitened else ():
            encoded_at(whitened, frames, index, device)
    index = _spread(frames, SCALED)
    maps = encoded_at(parts, frames, index, device)
    layers = [layer for part, _ in network.wired_parts()[:-1] for layer in part.modules()]
    with ExitStack() as contexts:
        for layer in layers:
            conv = getattr(layer, "last", layer)
            if isinstance(conv, (nn.Conv2d, nn.ConvTranspose2d)):
                contexts.enter_context(layer.register_forward_hook(partial(_scale, conv, std)))
        network.head_outputs(wide(index.to(device)), {**network.fixed_embeddings(), **maps})


def _scale(conv: nn.Conv2d | nn.ConvTranspose2d, std: float, layer: nn.Module, taken: Any, values: Tensor) -> Tensor:
    """Scale a layer's last convolution after a pass, so that it gives values of a standard deviation; return these."""
    deviation = float(values.std())
    if not deviation > 0:
        return values
    for parameter in (conv.weight, conv.bias):
        if parameter is not None:
            parameter.mul_(std / deviation)
    return values * (std / deviation)


def _spread(frames: Tensor, count: int) -> Tensor:
    """Return indices of so many frames, or of all of fewer, evenly spread."""
    return torch.linspace(0, len(frames) - 1, min(count, len(frames))).round().long()


def begin_with(video: NeuralVideo, other: NeuralVideo | SegmentedVideo, frames: Tensor, std: float | None) -> None:
    """Copy the weights of another network that have the same name and shape; others begin as they do without it.

    Those that parts set in closed form belong together: they are copied if all agree.

    Args:
        video: the network, which is about to be fitted.
        other: whose weights they are.
        frames, std: as `set_first_weights` takes them.

    Raises:
        FitError: the other one is a video in segments.
    """
    if len(other.segments) > 1:
        raise FitError("a fit begins with the weights of one network, not with those of a video in segments")
    own, others = video.state_dict(), other.network(0).state_dict()
    alike = {name: others[name] for name, each in own.items() if name in others and others[name].shape == each.shape}
    if len(alike) < len(own):
        together = set_first_weights(video, frames, std).keys()
        whole = together <= alike.keys()
        alike = {name: tensor for name, tensor in alike.items() if whole or name not in together}
    video.load_state_dict({**video.state_dict(), **alike})
    logger.info("beginning with %d of %d tensors of another fit", len(alike), len(others))
