"""Callbacks that keep and report what happens in a fit: networks of chosen epochs, TensorBoard, Weights & Biases."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from enerv_zoo.errors import ConfigError
from enerv_zoo.fitting.callbacks import Callback
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.storage.folder import save


class KeepEpochs(Callback):
    """Saves the network as it is after chosen epochs: `enerv_zoo.load` reads `FOLDER/epoch-10`.

    Of several processes, rank 0 writes. Epochs count over all phases, from 1.

    Args:
        epochs: after which.
        folder: for these folders.

    Raises:
        ConfigError: an epoch below 1.
    """

    def __init__(self, epochs: Iterable[int], folder: str | Path) -> None:
        self.epochs, self.folder = frozenset(epochs), Path(folder)
        if not self.epochs or min(self.epochs) < 1:
            raise ConfigError(f"epochs to keep count from 1, got {', '.join(map(str, sorted(self.epochs))) or 'none'}")

    def on_epoch(self, fitter: Fitter, row: dict[str, Any]) -> None:
        if row["epoch"] in self.epochs and fitter.ranks.first:
            with fitter.in_float32() as video:
                save(video, self.folder / f"epoch-{row['epoch']}")


class _Logger(Callback, ABC):
    """Has rank 0 send the numbers of every epoch and all evaluations."""

    _epoch = _renewed = 0  # of what is sent; and from which on what was sent before is done again

    def on_epoch(self, fitter: Fitter, row: dict[str, Any]) -> None:
        self._epoch = self._renewed = row["epoch"]
        self._log(fitter, row, "fit")

    def on_evaluation(self, fitter: Fitter, scores: Mapping[str, float | None]) -> None:
        self._epoch = fitter.epochs_before + fitter.epoch
        self._renewed = self._epoch + 1
        self._log(fitter, scores, "evaluation")

    def _log(self, fitter: Fitter, scores: Mapping[str, Any], prefix: str) -> None:
        numbers = {name: value for name, value in scores.items() if isinstance(value, int | float) and name != "epoch"}
        if fitter.ranks.first:
            self._send(fitter, {f"{prefix}/{name}": value for name, value in numbers.items()})

    @abstractmethod
    def _send(self, fitter: Fitter, numbers: dict[str, float]) -> None:
        """Send numbers by their names, of the present epoch."""


class TensorBoard(_Logger):
    """Writes loss, PSNR, rate and speed of every epoch, and all evaluations, for TensorBoard.

    Of several processes, rank 0 writes. A fit that goes on replaces what was written of epochs that it does again.

    Args:
        folder: for the event files; `tensorboard --logdir FOLDER` shows them.

    Raises:
        ConfigError: TensorBoard is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError("logs for TensorBoard need it; pip install 'enerv-zoo[logs]'") from error
        self.folder, self._make = Path(folder), SummaryWriter
        self._writer: Any = None

    def _send(self, fitter: Fitter, numbers: dict[str, float]) -> None:
        if self._writer is None:
            self._writer = self._make(str(self.folder), purge_step=self._renewed)
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, self._epoch)
        self._writer.flush()

    def on_end(self, fitter: Fitter) -> None:
        if self._writer is not None:
            self._writer.close()


class WeightsAndBiases(_Logger):
    """Sends the same to Weights & Biases, as its environment says (`WANDB_MODE=offline` keeps it in the folder).

    A fit that goes on goes on in its run. Of several processes, rank 0 writes.

    Args:
        folder: for W&B's own files.
        project: on W&B.
        options: of `wandb.init`, such as `name` and `tags`.

    Raises:
        ConfigError: wandb is not installed.
    """

    name = "wandb"

    def __init__(self, folder: str | Path, project: str = "enerv-zoo", **options: Any) -> None:
        try:
            import wandb
        except ImportError as error:
            raise ConfigError("logs for Weights & Biases need wandb; pip install 'enerv-zoo[logs]'") from error
        self.folder, self.options = Path(folder), {"project": project, **options}
        self._init = wandb.init
        self._run: Any = None
        self._id: str | None = None

    def _send(self, fitter: Fitter, numbers: dict[str, float]) -> None:
        if self._run is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            run = self._init(dir=str(self.folder), id=self._id, resume="allow", **self.options)
            run.config.update({"model": fitter.video.config.family, "fit": vars(fitter.config)}, allow_val_change=True)
            self._run, self._id = run, run.id
        self._run.log(numbers, step=self._epoch)

    def on_end(self, fitter: Fitter) -> None:
        if self._run is not None:
            self._run.finish()

    def state_dict(self) -> str | None:
        """Return the run's id."""
        return self._id

    def load_state_dict(self, state: str) -> None:
        """Go on in that run."""
        self._id = state


LOGGERS = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}
"""Loggers by the names that the command line has for them; each takes a folder."""
