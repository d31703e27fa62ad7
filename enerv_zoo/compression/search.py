"""Bits per tensor by sensitivity: they go where frames suffer most without them, under a size or a loss of PSNR."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from enerv_zoo.config import Spec
from enerv_zoo.errors import UnmetTarget
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.nvz.entropy import tensor_bits
from enerv_zoo.nvz.quantisation import VECTOR_BITS, QuantSpec, QuantSpecs, channel_axis, codable, coded, rounded, steps

CHOICES = (*(half / 2 for half in range(4, 17)), 9, 10, 11, 12)
"""Bits that a matrix may have. An entropy coder takes halves as well; a large tensor's next full bit is a big step."""

PROBE_BITS = (3, 5, 7)
"""Sensitivity is measured with a tensor in so many bits; between them an error's logarithm is a line, beyond them it
falls by 4 a bit."""

COARSER = (1.1, 1.25, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256, 512)
"""Sizes of levels, by those that a tensor is on already. Each error is measured: sizes that are no multiples change all
weights of few levels by a like factor, and frames by much. Sizes per slice (11 bits in a file) are doubled only."""

PROBED_FRAMES = 5
BISECTIONS = 24


@dataclass(frozen=True)
class Choice:
    """Cost of a tensor on some levels: bits in the file, and mean squared error of the frames."""

    spec: QuantSpec
    size: float
    error: float


Choices = dict[str, list[Choice]]
"""The choices of each tensor, by its name."""


def choices(video: NeuralVideo, entropy_model: Spec | None = None, tuned: QuantSpecs = MappingProxyType({})) -> Choices:
    """Measure the cost of every tensor in every number of bits, with one scale or one per channel.

    Frames are compared with those of the exact network, which is not changed.

    Args:
        video: the network.
        entropy_model: of all tensors; by default the best built-in one of each.
        tuned: levels that tensors have already, which cost no error.
    """
    frames = torch.linspace(0, len(video) - 1, min(PROBED_FRAMES, len(video))).round().tolist()
    exact = decoded(video, frames)
    trial = copy.deepcopy(video)
    parameters = dict(trial.named_parameters())
    hints = video.coding_hints()
    costs: Choices = {}
    for name, tensor in codable(video).items():
        if hints[name].kind == "bias":
            costs[name] = [_choice(tensor, QuantSpec(VECTOR_BITS), 0.0, entropy_model)]
            continue

        def error(spec: QuantSpec, name: str = name, tensor: Tensor = tensor) -> float:
            parameters[name].data = rounded(tensor, spec)
            return float((decoded(trial, frames) - exact).square().mean())

        if name in tuned:
            errors_of = {tuned[name]: 0.0} | {spec: error(spec) for spec in _coarser(tensor, tuned[name])}
        else:
            errors_of = {}
            for axis in dict.fromkeys((None, channel_axis(hints[name], tensor))):
                errors = [error(QuantSpec(bits, axis)) for bits in PROBE_BITS]
                errors_of |= {QuantSpec(bits, axis): error_in(bits, errors) for bits in CHOICES}
        costs[name] = [_choice(tensor, spec, each, entropy_model) for spec, each in errors_of.items()]
        parameters[name].data = tensor.clone()
    return costs


def _coarser(tensor: Tensor, spec: QuantSpec) -> Iterator[QuantSpec]:
    """Yield coarser levels than those that a tensor is on: which leave two bits, and at last two bits."""
    for factor in COARSER:
        bits = spec.bits - math.log2(factor)
        if bits >= CHOICES[0] and (spec.along is None or math.log2(factor).is_integer()):
            sizes = tuple(factor * float(size) for size in steps(tensor, spec).flatten())
            yield replace(spec, bits=bits, sizes=sizes)
    yield QuantSpec(CHOICES[0])


def _choice(tensor: Tensor, spec: QuantSpec, error: float, entropy_model: Spec | None) -> Choice:
    return Choice(spec, tensor_bits(coded(tensor, spec), entropy_model), error)


def error_in(bits: float, measured: Sequence[float]) -> float:
    """Return the error in so many bits, from those measured in `PROBE_BITS`."""
    logs = np.log2(np.maximum(measured, 1e-30))  # of a tensor that changes nothing
    line = float(np.interp(bits, PROBE_BITS, logs))
    beyond = min(bits - PROBE_BITS[0], 0) + max(bits - PROBE_BITS[-1], 0)
    return 2.0 ** (line - 2 * beyond)


def decoded(video: NeuralVideo, frames: Sequence[float]) -> Tensor:
    """Return frames (N, 3, H, W) in [0, 1], on the CPU."""
    return torch.cat([batch.cpu() for batch in video.decode_float(frames)])


def _at_price(costs: Choices, price: float) -> dict[str, Choice]:
    """Return the choice of every tensor that makes error + price x size smallest."""
    return {name: min(each, key=lambda choice: choice.error + price * choice.size) for name, each in costs.items()}


def _specs(chosen: dict[str, Choice]) -> dict[str, QuantSpec]:
    return {name: choice.spec for name, choice in chosen.items()}


def within_size(costs: Choices, limit: float) -> dict[str, QuantSpec]:
    """Return the levels with the least error whose estimated size is at most `limit` bits.

    Raises:
        UnmetTarget: even the fewest bits are more.
    """
    least = sum(min(choice.size for choice in each) for each in costs.values())
    if least > limit:
        raise UnmetTarget(
            f"the network takes at least {least / 8:,.0f} bytes, the target leaves {limit / 8:,.0f}; prune it, "
            "or fit a smaller one (fit --size)"
        )

    def fits(price: float) -> bool:
        return sum(choice.size for choice in _at_price(costs, price).values()) <= limit

    return _specs(filled(costs, _at_price(costs, _bisected(fits)), limit))


def filled(costs: Choices, chosen: dict[str, Choice], limit: float) -> dict[str, Choice]:
    """Spend what a price leaves of a limit: take the choice that saves most error per bit, until none fits."""
    while True:
        left = limit - sum(choice.size for choice in chosen.values())
        gains = [
            ((chosen[name].error - choice.error) / max(choice.size - chosen[name].size, 1.0), name, choice)
            for name, each in costs.items()
            for choice in each
            if choice.error < chosen[name].error and choice.size - chosen[name].size <= left
        ]
        if not gains:
            return chosen
        _, name, choice = max(gains, key=lambda gain: gain[0])
        chosen = {**chosen, name: choice}


def within_drop(costs: Choices, accepted: Callable[[dict[str, QuantSpec]], bool]) -> dict[str, QuantSpec]:
    """Return the cheapest levels that `accepted` (which measures) still takes; the finest where it takes none."""
    price = _bisected(lambda price: not accepted(_specs(_at_price(costs, price))), measured=True)
    return _specs(_at_price(costs, price))


def _bisected(holds: Callable[[float], bool], measured: bool = False) -> float:
    """Return the least price at which `holds`, on a scale of powers; or, where it is measured, the one just below."""
    low, high = 1e-18, 1e3
    for _ in range(10 if measured else BISECTIONS):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if holds(middle) else (middle, high)
    return low if measured else high
