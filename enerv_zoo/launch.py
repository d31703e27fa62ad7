"""Rank of this process among several, as `torchrun` sets it: read from the environment, without PyTorch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from enerv_zoo.errors import ConfigError

TORCHRUN = "TORCHELASTIC_RUN_ID"
"""The variable by which a process knows that `torchrun` started it; clusters and launchers of other kinds set the
others too, for jobs that are none of ours."""
_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


@dataclass(frozen=True)
class Launch:
    """The place of a process among those that were started together.

    Attributes:
        rank: its number among all, from 0; the first one writes and prints.
        size: how many there are.
        local_rank: its number on its machine, which is the number of its GPU.
        local_size: how many are on its machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def first(self) -> bool:
        """Return whether this process is the one that writes and prints."""
        return self.rank == 0


def launched(environment: Mapping[str, str] = os.environ) -> Launch:
    """Return this process's place from `torchrun`'s variables; a process that it did not start is rank 0 of one.

    Raises:
        ConfigError: the variables are incomplete, or contradict each other.
    """
    if TORCHRUN not in environment:
        return Launch()
    variables = {name: environment.get(name) for name in _NAMES}
    if not all(value is not None and value.isdecimal() for value in variables.values()):
        text = ", ".join(f"{name}={value}" for name, value in variables.items())
        raise ConfigError(f"expected integers in {', '.join(_NAMES)}, got {text}; start processes with torchrun")
    rank, size, local_rank, local_size = (int(value or 0) for value in variables.values())
    if not (rank < size and local_rank < local_size <= size):
        raise ConfigError(
            f"process {rank} of {size}, {local_rank} of {local_size} here, is none that torchrun starts; "
            f"unset {TORCHRUN} to run a process alone"
        )
    return Launch(rank, size, local_rank, local_size)
