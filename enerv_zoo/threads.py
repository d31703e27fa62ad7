"""Threads that PyTorch may take while this package computes, without a change for the host process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

from enerv_zoo.machine import available_cores

_IMPORTED_BY = os.getpid()
"""The process that imported this module; another one that sees it was forked from it."""
_DRAWING = threading.RLock()


@contextmanager
def usable_threads() -> Iterator[None]:
    """A context in which PyTorch computes with threads that this process can use; the number of before comes back.

    - In a process that was forked from one that had imported this package: one. The parent's threads are not there, and
      PyTorch would wait for them for ever. This holds within the block alone: a forked process that computes by itself
      calls `torch.set_num_threads(1)`, as the workers of a `DataLoader` do.
    - In a container that allows fewer cores than the machine has: as many as it allows, unless `OMP_NUM_THREADS` says
      otherwise.
    """
    before = torch.get_num_threads()
    usable = 1 if os.getpid() != _IMPORTED_BY else min(before, allowed_threads())
    if usable != before:
        torch.set_num_threads(usable)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:  # a fit may have changed it, too
            torch.set_num_threads(before)


@contextmanager
def seeded_generator(seed: int) -> Iterator[None]:
    """A context in which PyTorch draws from a seed on the CPU, for one thread at a time; after it, as if it had not."""
    with _DRAWING, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # of the CPU alone: torch.manual_seed is for every device
        yield


@cache
def allowed_threads() -> int:
    """Return how many threads the user, or the cores, allow."""
    return 1 << 30 if "OMP_NUM_THREADS" in os.environ else available_cores()
