"""Checkpoints: all that a fit needs to go on exactly where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from enerv_zoo.errors import FitError
from enerv_zoo.files import replacing

CHECKPOINT = "checkpoint.pt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors and plain data) to the folder, replacing the checkpoint that is there."""
    with replacing(folder / CHECKPOINT) as temporary:
        torch.save(state, temporary)


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """Read the folder's checkpoint, as tensors and plain data only.

    Raises:
        FitError: there is none, or it is damaged.
    """
    path = folder / CHECKPOINT
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FitError(f"{folder}: holds no checkpoint to resume from; start with --overwrite") from None
    except Exception as error:  # a damaged file raises almost anything
        raise FitError(f"{path}: damaged ({type(error).__name__}); start anew with --overwrite") from error
