"""Callbacks: what happens during a fit beside its steps.

    class Print(ez.Callback):
        def on_epoch(self, fitter, row):
            print(row["epoch"], row["psnr"])

    ez.fit("bunny", callbacks=[Print()])

History, checkpoints and the guard against divergence are callbacks, too; those of the user come after the history and
the guard, and before checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from enerv_zoo.errors import ConfigError

if TYPE_CHECKING:
    from enerv_zoo.fitting.loop import Fitter


class Callback:
    """Hooks of a fit, which do nothing here: override those that you need.

    Of a distributed fit, every process calls its own. What a hook raises ends the fit; the last checkpoint stays.

    Attributes:
        name: under which checkpoints keep the state, if there is one.
    """

    name: str = ""

    def on_phase(self, fitter: Fitter) -> None:
        """Before the first step of a phase, or before a fit that is gone on with takes its next step."""

    def on_step(self, fitter: Fitter) -> None:
        """After every step. `fitter.steps_done` counts them; reading a tensor here makes a GPU wait."""

    def on_epoch(self, fitter: Fitter, row: dict[str, Any]) -> bool | None:
        """After every epoch, with its row of history.

        Returns:
            `False` to reject the epoch: the fitter has been brought back to an earlier state, the callbacks after this
            one are not called, and the row is not kept. Anything else accepts it.
        """

    def on_evaluation(self, fitter: Fitter, scores: Mapping[str, float | None]) -> None:
        """After each evaluation: every `eval_every` epochs, and of the fitted video. Scores are means over frames."""

    def on_end(self, fitter: Fitter) -> None:
        """After the last evaluation, before the fit is written; not called where the fit is interrupted."""

    def state_dict(self) -> Any:
        """Return plain data and tensors that a checkpoint keeps; `None` for nothing."""
        return None

    def load_state_dict(self, state: Any) -> None:
        """Go on from what `state_dict` returned."""


class Callbacks(Callback):
    """Several callbacks as one, called in their order."""

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        self._callbacks = list(callbacks)

    def on_phase(self, fitter: Fitter) -> None:
        for callback in self._callbacks:
            callback.on_phase(fitter)

    def on_step(self, fitter: Fitter) -> None:
        for callback in self._callbacks:
            callback.on_step(fitter)

    def on_epoch(self, fitter: Fitter, row: dict[str, Any]) -> bool:
        return all(callback.on_epoch(fitter, row) is not False for callback in self._callbacks)

    def on_evaluation(self, fitter: Fitter, scores: Mapping[str, float | None]) -> None:
        for callback in self._callbacks:
            callback.on_evaluation(fitter, scores)

    def on_end(self, fitter: Fitter) -> None:
        for callback in self._callbacks:
            callback.on_end(fitter)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of each callback that has one, by its name.

        Raises:
            ConfigError: two have the same name.
        """
        states: dict[str, Any] = {}
        for callback in self._callbacks:
            if (state := callback.state_dict()) is None:
                continue
            if callback.name in states:
                raise ConfigError(f"two callbacks would keep their state under the name {callback.name!r}; name each")
            states[callback.name] = state
        return states

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Give each callback its state; one without a state in the checkpoint begins anew."""
        for callback in self._callbacks:
            if callback.name in state:
                callback.load_state_dict(state[callback.name])
