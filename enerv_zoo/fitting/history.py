"""History of a fit: one row per epoch, in memory and in the fit's folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enerv_zoo.errors import ConfigError, EnervZooError
from enerv_zoo.files import finite, write_text
from enerv_zoo.fitting.callbacks import Callback

if TYPE_CHECKING:
    from enerv_zoo.fitting.loop import Fitter

logger = logging.getLogger(__name__)

HISTORY = "history.jsonl"


class History(Callback):
    """Keeps the rows of all epochs; those of epochs that were rolled back go, and come back with their attempt.

    Args:
        folder: where `history.jsonl` is written, or `None`.

    Attributes:
        rows: one per epoch, of all phases.
    """

    name = "history"

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self._attempts: dict[tuple[int, int], list[dict[str, Any]]] = {}  # by the phase's first epoch, and number

    def on_epoch(self, fitter: Fitter, row: dict[str, Any]) -> None:
        attempt = fitter.epochs_before, fitter.attempt
        earlier = self._attempts.get(attempt, self.rows)
        self.rows = [*(r for r in earlier if r["epoch"] < row["epoch"]), finite(row)]
        self._attempts[attempt] = self.rows
        self._write()

    def on_evaluation(self, fitter: Fitter, scores: Mapping[str, float | None]) -> None:
        """Add the scores to the last row, as `eval_psnr` and the like."""
        self.rows[-1] |= finite({f"eval_{name}": score for name, score in scores.items()})
        self._write()

    def _write(self) -> None:
        if self.folder is None:
            return
        try:
            write_text(self.folder / HISTORY, "".join(json.dumps(row) + "\n" for row in self.rows))
        except (OSError, EnervZooError) as error:
            logger.warning("the history could not be written, the fit goes on: %s", error)

    def state_dict(self) -> dict[str, Any]:
        """Return all rows, and those of each attempt."""
        return {"rows": self.rows, "attempts": self._attempts}

    def load_state_dict(self, state: dict[str, Any] | list[dict[str, Any]]) -> None:
        """Go on after the rows of a checkpoint; older ones have those of the last attempt alone."""
        self.rows, self._attempts = (state, {}) if isinstance(state, list) else (state["rows"], state["attempts"])


def read_history(folder: str | Path) -> list[dict[str, Any]]:
    """Read the rows of a fit's `history.jsonl`; a last line that was cut off is left out.

    Raises:
        ConfigError: a line holds something else.
    """
    path = Path(folder) / HISTORY
    rows: list[dict[str, Any]] = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(row, dict):
            raise ConfigError(f"{path}: line {len(rows) + 1} is no mapping, as an epoch's is; the file is damaged")
        rows.append(row)
    return rows
