"""`torch.compile` where it works, and the plain function where it does not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch

logger = logging.getLogger(__name__)


class Compiled:
    """A function of tensors that `torch.compile` compiles at its first call.

    It is compiled for one length of its first argument: compiling anew for the last, shorter batch would cost more than
    it ever saves, so that one runs as it is. Where compiling fails (no C++ compiler, an operation it does not know, a
    driver it does not like), one line is logged and the function runs as it is from then on.

    Attributes:
        function: as it is.
        works: `False` once compiling failed.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.works = True
        self._compiled = torch.compile(function, dynamic=False)
        self._length: int | None = None

    def __call__(self, *arguments: Any) -> Any:
        if self._length is None:
            self._length = len(arguments[0])
        if self.works and len(arguments[0]) == self._length:
            try:
                return self._compiled(*arguments)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # what compilers raise has no common class
                self.stop(error)
        return self.function(*arguments)

    def stop(self, error: Exception) -> None:
        """Run the function as it is from here on. Its gradients are compiled when they are first wanted: outside."""
        self.works = False
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        logger.warning("going on without torch.compile: %s: %.200s", type(error).__name__, reason)
