"""Checkpoints: all that a fit needs to go on exactly where it was, written while it runs, verified when read.

A checkpoint is the SHA-256 of its payload (32 bytes) followed by the payload, a `torch.save` of tensors and plain data.
The one before the last is kept, for the case that the last is damaged.
"""

from __future__ import annotations

import hashlib
import io
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from enerv_zoo.errors import ConfigError, EnervZooError, FitError
from enerv_zoo.files import replacing
from enerv_zoo.fitting.callbacks import Callback, Callbacks
from enerv_zoo.shell import quote
from enerv_zoo.storage.description import RECORD

if TYPE_CHECKING:
    from enerv_zoo.fitting.loop import Fitter

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
PREVIOUS = "checkpoint.previous.pt"
DIGEST = hashlib.sha256


class Checkpoints(Callback):
    """Writes a checkpoint when one is due, with the states of all callbacks.

    Where the folder takes no checkpoint (a full disk, a folder that became read-only), the fit stops, and its state is
    saved elsewhere; what was there stays.

    Args:
        folder: where to, or `None` for nowhere. Of several processes, rank 0 writes.
        callbacks: whose states are kept.

    Attributes:
        fitter: of the present phase.
        phase: its number, from 0.
        coming: of the phase that begins next.
    """

    fitter: Fitter

    def __init__(self, folder: Path | None, callbacks: Callbacks) -> None:
        self.folder, self.callbacks = folder, callbacks
        self.phase = self.coming = 0
        self._saved = time.monotonic()
        self._checked = False

    def on_phase(self, fitter: Fitter) -> None:
        """Take over the phase that begins.

        Raises:
            ConfigError: the state of a callback could not be read back.
        """
        if self.folder is not None:
            check_readable(self.callbacks.state_dict())
        self.fitter, self.phase = fitter, self.coming

    def on_step(self, fitter: Fitter) -> None:
        """Save a checkpoint, if one is due.

        Raises:
            ConfigError, FitError: as `save` does.
        """
        if time.monotonic() - self._saved >= fitter.config.checkpoint_every:
            self.save()

    def save(self) -> bool:
        """Write a checkpoint, unless a weight is not finite. Returns whether it was written.

        Raises:
            ConfigError: a state is of types that cannot be read back.
            FitError: the folder takes no checkpoint; what the fit needs to go on is in another one, which it names.
        """
        self._saved = time.monotonic()
        if self.folder is None or not self.fitter.ranks.first or not self.fitter.healthy():
            return False
        state = {"phase": self.phase, "fitter": self.fitter.state_dict(), **self.callbacks.state_dict()}
        if not self._checked:
            check_readable(state)
            self._checked = True
        try:
            save_checkpoint(self.folder, state)
        except EnervZooError as error:
            reason = getattr(error.__cause__, "strerror", None) or error
            place = self._rescue(state)
            if place is None:
                logger.warning("%s: no checkpoint can be written, here or elsewhere (%s)", self.folder, reason)
                return False
            raise FitError(
                f"{self.folder}: no checkpoint can be written ({reason}); the fit has stopped in epoch "
                f"{self.fitter.current_epoch}, and all that it needs to go on is in {place}: repeat the command with "
                f"--out {quote(str(place))} (fit needs --resume), or make room and move the files of that folder into "
                "this one"
            ) from error
        return True

    def _rescue(self, state: dict[str, Any]) -> Path | None:
        """Save a checkpoint, and the record of the fit, in a new folder elsewhere; `None` where nothing takes it."""
        assert self.folder is not None
        for parent in (tempfile.gettempdir(), str(Path.home())):
            try:
                place = Path(tempfile.mkdtemp(prefix="enerv-zoo-fit-", dir=parent))
            except OSError:
                continue
            try:
                save_checkpoint(place, state)
                shutil.copyfile(self.folder / RECORD, place / RECORD)
                return place
            except (OSError, EnervZooError):
                shutil.rmtree(place, ignore_errors=True)
        return None


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


def check_readable(state: Mapping[str, Any], place: str = "") -> None:
    """Refuse a state that would be written and could not be read back: what is no plain data and no tensor.

    Raises:
        ConfigError: names the first part that is something else.
    """
    error = _unreadable(state)
    if error is None:
        return
    for name, part in state.items():
        where = f"{place}.{name}".strip(".")
        if isinstance(part, Mapping):
            check_readable(part, where)
        elif (inner := _unreadable(part)) is not None:
            place, error = where, inner
            break
    raise ConfigError(
        f"the state {place!r} holds what a checkpoint cannot give back ({error}); keep plain data and tensors"
    )


def _unreadable(part: Any) -> str | None:
    """Return why a part of a state cannot be read back, or `None`."""
    payload = io.BytesIO()
    try:
        torch.save(part, payload)
        torch.load(io.BytesIO(payload.getvalue()), map_location="cpu", weights_only=True)
    except Exception:  # of what a callback or an optimizer keeps, anything
        return f"{type(part).__module__}.{type(part).__qualname__}"
    return None


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
    """Return whether the folder holds a checkpoint, whole or not."""
    return (folder / CHECKPOINT).exists() or (folder / PREVIOUS).exists()


@contextmanager
def ending(folder: Path) -> Iterator[None]:
    """Delete the checkpoints of a fit once its results are written; where they cannot be, say what to do."""
    try:
        yield
    except EnervZooError as error:
        if not has_checkpoint(folder):
            raise
        raise FitError(
            f"{error}; the last checkpoint is kept: make room, and repeat the command (fit needs --resume)"
        ) from error
    (folder / CHECKPOINT).unlink(missing_ok=True)
    (folder / PREVIOUS).unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any] | None:
    """Read a checkpoint; `None` where it is damaged.

    Raises:
        FitError: it is whole, and cannot be read by this version of PyTorch.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return None
    size = DIGEST().digest_size
    if DIGEST(data[size:]).digest() != data[:size]:
        return None
    try:
        return torch.load(io.BytesIO(data[size:]), map_location="cpu", weights_only=True)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FitError(
            f"{path}: is whole, and cannot be read by PyTorch {torch.__version__} ({reason:.160}); go on with the "
            "version that wrote it, or delete the folder"
        ) from error
