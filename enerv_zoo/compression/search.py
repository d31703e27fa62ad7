"""Bits per tensor by sensitivity: they go where frames suffer most without them, under a size or a loss of PSNR."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from enerv_zoo.errors import ConfigError
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.nvz import estimate_bits
from enerv_zoo.nvz.quantisation import VECTOR_BITS, QuantSpec, channel_axis, codable, coded, rounded

CHOICES = (*(half / 2 for half in range(4, 17)), 9, 10, 11, 12)
"""Bits that a matrix may have. An entropy coder takes halves as well; a large tensor's next whole bit is a big step."""

PROBE_BITS = (3, 5, 7)
"""Sensitivity is measured with a tensor in so many bits; between them an error's logarithm is a line, beyond them it
falls by 4 a bit."""

PROBED_FRAMES = 5
BISECTIONS = 24


@dataclass(frozen=True)
class Choice:
    """What a tensor costs on a grid: bits in the file, and mean squared error of the frames."""

    grid: QuantSpec
    size: float
    error: float


def choices(video: NeuralVideo, on_tensor: Callable[[str], None] = lambda name: None) -> dict[str, list[Choice]]:
    """For every tensor, what each number of bits costs, with one scale or one a channel.

    Frames are compared with those of the exact network.

    Args:
        video: the network; as it was afterwards.
        on_tensor: called with each name before it is measured.
    """
    probes = torch.linspace(0, len(video) - 1, min(PROBED_FRAMES, len(video))).round().tolist()
    exact = _drawn(video, probes)
    trial = copy.deepcopy(video)
    parameters = dict(trial.named_parameters())
    hints = video.coding_hints()
    found = {}
    for name, tensor in codable(video).items():
        on_tensor(name)
        if hints[name].kind == "bias":
            grid = QuantSpec(VECTOR_BITS)
            found[name] = [Choice(grid, estimate_bits(coded(tensor, grid).levels), 0.0)]
            continue
        found[name] = []
        for axis in dict.fromkeys((None, channel_axis(hints[name], tensor))):
            errors = []
            for width in PROBE_BITS:
                parameters[name].data = rounded(tensor, QuantSpec(width, axis))
                errors.append(float((_drawn(trial, probes) - exact).square().mean()))
            for bits in CHOICES:
                levels = coded(tensor, grid := QuantSpec(bits, axis))
                size = estimate_bits(levels.levels) + 32 * levels.scale.size
                found[name].append(Choice(grid, size, _error(bits, errors)))
        parameters[name].data = tensor.clone()
    return found


def _error(bits: float, measured: Sequence[float]) -> float:
    """The error in so many bits, from those measured in `PROBE_BITS`."""
    logs = np.log2(np.maximum(measured, 1e-30))  # of a tensor that changes nothing
    line = float(np.interp(bits, PROBE_BITS, logs))
    beyond = min(bits - PROBE_BITS[0], 0) + max(bits - PROBE_BITS[-1], 0)
    return 2.0 ** (line - 2 * beyond)


def _drawn(video: NeuralVideo, frames: Sequence[float]) -> Tensor:
    return torch.cat([batch.cpu() for batch in video.decode_float(frames)])


def at_price(found: dict[str, list[Choice]], price: float) -> dict[str, QuantSpec]:
    """The grid of every tensor that makes error + price x size smallest."""
    return {
        name: min(options, key=lambda choice: choice.error + price * choice.size).grid
        for name, options in found.items()
    }


def within_size(found: dict[str, list[Choice]], limit: float) -> dict[str, QuantSpec]:
    """The grids with the least error whose estimated size is at most `limit` bits.

    Raises:
        ConfigError: even the fewest bits are more.
    """
    least = sum(min(choice.size for choice in options) for options in found.values())
    if least > limit:
        raise ConfigError(
            f"the network takes at least {least / 8:,.0f} bytes, the target leaves {limit / 8:,.0f}; prune it, "
            "or fit a smaller one (fit --size)"
        )

    def fits(price: float) -> bool:
        chosen = at_price(found, price)
        size = sum(next(c.size for c in found[name] if c.grid == grid) for name, grid in chosen.items())
        return size <= limit

    return at_price(found, _bisected(fits))


def within_drop(
    found: dict[str, list[Choice]], accepted: Callable[[dict[str, QuantSpec]], bool]
) -> dict[str, QuantSpec]:
    """The cheapest grids that `accepted` (which measures) still takes; the finest where it takes none."""
    dearest = _bisected(lambda price: not accepted(at_price(found, price)), measured=True)
    return at_price(found, dearest)


def _bisected(holds: Callable[[float], bool], measured: bool = False) -> float:
    """The least price at which `holds`, on a scale of powers; or, where it is measured, the one just below."""
    low, high = 1e-18, 1e3
    for _ in range(10 if measured else BISECTIONS):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if holds(middle) else (middle, high)
    return low if measured else high
