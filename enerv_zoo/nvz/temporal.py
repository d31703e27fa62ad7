"""Entropy model of grids: levels are predicted from the step before, and coded by how well that went nearby.

All of it is integer arithmetic; `docs/nvz.md` says byte by byte how such a tensor is written.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from enerv_zoo.nvz.tables import MAX_LEVEL, FrequencyTable, best_table, estimate_bits, least_bits, parse_table
from enerv_zoo.nvz.tensors import StreamReader, laplace_bits, write_stream
from enerv_zoo.registry import entropy_models

UNIT = 64
"""A weight of so much predicts the level itself."""

CLASSES = 20
THRESHOLDS = np.array([math.isqrt((1 << number) - 1) for number in range(CLASSES)])
"""Smallest activity of each class: two classes per octave."""

MOST_STEPS = 1 << 16
"""A tensor with more steps than this is coded as one."""

_CLASSES = struct.Struct("<I")


@entropy_models.register("temporal")
class TemporalModel:
    """Differences to what a channel's levels of the step before predict, with a table per class of activity.

    Axis 0 of a tensor is time and axis 1 its channels. A channel has one weight, by which its level a step before
    predicts a level. The activity of a place is the size of the differences around it, one and two steps before.
    """

    def bits(self, values: Tensor) -> Tensor:
        """Return the bits of the differences under a Laplace distribution per channel, as for `table`."""
        steps = values.reshape(_four(values.shape))
        weights = _weights(steps.detach()) / UNIT
        return laplace_bits(torch.cat((steps[:1], torch.addcmul(steps[1:], weights, steps[:-1], value=-1))), axis=1)

    def encode(self, levels: Tensor) -> bytes:
        """Return the weights, the tables, then the stream."""
        if not levels.numel():
            return b""
        weights, differences, classes = _differences(levels)
        used = np.unique(classes)
        tables = {number: best_table(differences[classes == number]) for number in used.tolist()}
        runs = (
            (step[places], tables[number])
            for step, own in zip(differences, classes, strict=True)
            for number, places in _runs(own)
        )
        present = _CLASSES.pack(sum(1 << number for number in tables))
        return b"".join((weights.tobytes(), present, *(each.data for each in tables.values()), write_stream(runs)))

    def estimate_bits(self, levels: Tensor, below: float = math.inf) -> float:
        """Estimate the bits that `encode` takes, without coding; where they cannot be `below`, a bound of them."""
        if not levels.numel():
            return 0.0
        weights, differences, classes = _differences(levels)
        runs = [differences[classes == number] for number in np.unique(classes)]
        head = 8 * (weights.nbytes + _CLASSES.size)
        least = head + sum(least_bits(run) for run in runs)
        return least if least >= below else head + sum(estimate_bits(run) for run in runs)

    def decode(self, data: bytes, shape: Sequence[int]) -> Tensor:
        """Read the weights, the tables, then the stream."""
        if not math.prod(shape):
            if data:
                raise ValueError("an empty tensor has bytes")
            return torch.zeros(tuple(shape), dtype=torch.int32)
        four = _four(shape)
        weights = np.frombuffer(data[: four[1]], np.int8).astype(np.int64).reshape(-1, 1, 1)
        if len(weights) != four[1] or len(data) < four[1] + _CLASSES.size:
            raise ValueError(f"{len(data)} bytes hold no {four[1]} weights and classes")
        tables, used = _tables(memoryview(data)[four[1] :])
        reader = StreamReader(memoryview(data)[four[1] + used :])
        levels = np.zeros(four, np.int64)
        last = before = np.zeros(four[1:], np.int64)
        for step in range(four[0]):
            difference = np.empty(four[1:], np.int64)
            for number, places in _runs(_classes(last, before)):
                if number not in tables:
                    raise ValueError(f"class {number} has no table")
                difference[places] = reader.read(tables[number], int(places.sum()))
            levels[step] = difference if step == 0 else difference + _predicted(weights, levels[step - 1])
            if np.abs(levels[step]).max() > MAX_LEVEL:
                raise ValueError(f"levels are beyond {MAX_LEVEL}")
            last, before = np.abs(difference), last
        reader.end()
        return torch.from_numpy(levels.astype(np.int32)).reshape(tuple(shape))


def _four(shape: Sequence[int]) -> tuple[int, int, int, int]:
    """Return a shape as steps, channels, rows and columns."""
    if not shape or shape[0] > MOST_STEPS:
        return 1, 1, 1, math.prod(shape)
    steps, channels, rows = (*shape[:3], 1, 1)[:3]
    return steps, channels, rows, math.prod(shape[3:])


def _weights(steps: Tensor) -> Tensor:
    """Return the weight of each channel, an integer (channels, 1, 1): least squares over its levels (T, C, h, w)."""
    later, earlier = steps[1:], steps[:-1]
    ratio = (later * earlier).sum(dim=(0, 2, 3)) / earlier.square().sum(dim=(0, 2, 3)).clamp(min=1e-12)
    return (UNIT * ratio).round().clamp(-128, 127).view(-1, 1, 1)


def _differences(levels: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weights, differences to predictions, and classes, the last two (T, C, h, w)."""
    steps = levels.reshape(_four(levels.shape))
    weights, values = _weights(steps.double()).to(torch.int8).numpy(), steps.numpy().astype(np.int64)
    for trial in (weights, np.zeros_like(weights)):
        differences = values.copy()
        differences[1:] -= _predicted(trial.astype(np.int64), values[:-1])
        if np.abs(differences).max() <= MAX_LEVEL:
            break
    last = np.abs(np.concatenate((np.zeros_like(differences[:1]), differences[:-1])))
    before = np.concatenate((np.zeros_like(last[:1]), last[:-1]))
    return trial, differences, _classes(last, before)


def _predicted(weights: np.ndarray, levels: np.ndarray) -> np.ndarray:
    return (weights * levels + UNIT // 2) >> 6


def _classes(last: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Return the class of each place, by the sizes of differences one and two steps before, (..., h, w)."""
    activity = 2 * (last + before)
    activity[..., 1:, :] += last[..., :-1, :]
    activity[..., :-1, :] += last[..., 1:, :]
    activity[..., :, 1:] += last[..., :, :-1]
    activity[..., :, :-1] += last[..., :, 1:]
    return np.searchsorted(THRESHOLDS, activity, side="right") - 1


def _runs(classes: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Iterate over the classes of a step, in rising order, and their places."""
    for number in np.unique(classes).tolist():
        yield number, classes == number


def _tables(data: memoryview) -> tuple[dict[int, FrequencyTable], int]:
    """Read the tables of classes at the start of `data`; return them and their length in bytes."""
    (present,) = _CLASSES.unpack_from(data)
    if present >> CLASSES:
        raise ValueError("there are more classes than 20")
    tables, used = {}, _CLASSES.size
    for number in range(CLASSES):
        if present >> number & 1:
            tables[number], length = parse_table(data[used:])
            used += length
    return tables, used
