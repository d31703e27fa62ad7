"""Content of frames while a network is fitted: the frames that encoders look at, and the embeddings they compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from enerv_zoo.pixels import as_float


def frames_around(frames: Tensor, index: Tensor, offsets: Sequence[int]) -> Tensor:
    """Return the frames at offsets from indices (B,): (B, A, 3, H, W), the first and the last one beyond the ends.

    They are where the frames are, wherever the indices are.
    """
    places = index.to(frames.device)[:, None] + torch.tensor(offsets, device=frames.device)
    return frames.index_select(0, places.clamp(0, len(frames) - 1).flatten()).unflatten(0, places.shape)


def neighbours_of(parts: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the frames around a frame that embeddings look at while they encode, relative to it."""
    return tuple(sorted({offset for part in parts.values() for offset in getattr(part, "neighbours", ())}))


def encoded(parts: Mapping[str, Any], frames: Tensor, around: Tensor | None = None) -> dict[str, Tensor]:
    """Return what embeddings encode of frames.

    Args:
        parts: the embeddings that have encoders, by name.
        frames: (B, 3, H, W) in [0, 1].
        around: their neighbours (B, A, 3, H, W), in the order of `neighbours_of`; by default the frames themselves.
    """
    offsets, maps = neighbours_of(parts), {}
    for name, part in parts.items():
        places = [offsets.index(offset) for offset in getattr(part, "neighbours", ())]
        maps[name] = part.encode(frames, *([around[:, places]] if places and around is not None else []))
    return maps


def encoded_at(parts: Mapping[str, Any], frames: Tensor, index: Tensor, device: torch.device) -> dict[str, Tensor]:
    """Return what embeddings encode, on a device, of those of all frames (N, 3, H, W) that have the indices (B,).

    Frames are uint8, or float in [0, 1].
    """
    pixels = as_float(frames_around(frames, index, (0, *neighbours_of(parts))).to(device))
    return encoded(parts, pixels[:, 0], pixels[:, 1:])


def encoded_tables(
    parts: Mapping[str, Any], frames: Tensor, device: torch.device, batch_size: int
) -> dict[str, Tensor]:
    """Return what embeddings encode of all frames (N, 3, H, W), uint8 or float in [0, 1], on a device."""
    batches = [encoded_at(parts, frames, index, device) for index in torch.arange(len(frames)).split(batch_size)]
    return {name: torch.cat([batch[name] for batch in batches]) for name in parts}
