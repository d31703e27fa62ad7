"""Checkpoints: all that a fit needs to go on exactly where it was, verified when read.

A checkpoint is the SHA-256 of its payload (32 bytes) followed by the payload, a `torch.save` of tensors and plain data.
The one before the last is kept, for the case that the last is damaged.
"""

from __future__ import annotations

import hashlib
import io
import logging
from pathlib import Path
from typing import Any

import torch

from enerv_zoo.errors import FitError
from enerv_zoo.files import replacing

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
PREVIOUS = "checkpoint.previous.pt"
DIGEST = hashlib.sha256


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors and plain data) to the folder; the checkpoint that is there becomes the previous one.

    Raises:
        FitError: the folder cannot be written; its checkpoints are as they were.
    """
    payload = io.BytesIO()
    torch.save(state, payload)
    data = payload.getvalue()
    try:
        with replacing(folder / CHECKPOINT, FitError) as temporary:
            temporary.write_bytes(DIGEST(data).digest() + data)
            if (folder / CHECKPOINT).exists():
                (folder / CHECKPOINT).replace(folder / PREVIOUS)
    except OSError as error:
        raise FitError(f"{folder}: no checkpoint could be written ({error.strerror or error})") from error


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """Read the folder's last whole checkpoint, as tensors and plain data only.

    Raises:
        FitError: there is none, or all are damaged.
    """
    damaged: list[Path] = []
    for name in (CHECKPOINT, PREVIOUS):
        path = folder / name
        if not path.exists():
            continue
        state = _read(path)
        if state is not None:
            if damaged:
                logger.warning("%s is damaged; going on from the checkpoint before it", damaged[0])
            return state
        damaged.append(path)
    if damaged:
        names = " and ".join(path.name for path in damaged)
        raise FitError(f"{folder}: {names} damaged, there is no checkpoint to go on from; delete the folder")
    raise FitError(f"{folder}: holds no checkpoint to go on from; choose another --out, or delete the folder")


def has_checkpoint(folder: Path) -> bool:
    """Whether the folder holds a checkpoint, whole or not."""
    return (folder / CHECKPOINT).exists() or (folder / PREVIOUS).exists()


def remove_checkpoints(folder: Path) -> None:
    """Delete the folder's checkpoints."""
    (folder / CHECKPOINT).unlink(missing_ok=True)
    (folder / PREVIOUS).unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        data = path.read_bytes()
        size = DIGEST().digest_size
        if DIGEST(data[size:]).digest() != data[:size]:
            return None
        return torch.load(io.BytesIO(data[size:]), map_location="cpu", weights_only=True)
    except Exception:  # whatever a damaged file raises, it is damaged
        return None
