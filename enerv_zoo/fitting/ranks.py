"""Several processes that do one fit: how they meet, what they tell each other, and how the loss of one is noticed.

They agree in plain numbers over gloo on the CPU, before they exchange gradients over NCCL or gloo. So a process that
is gone is noticed where a host waits for hosts, which ends at once, and not in a GPU's queue, which would wait on.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from enerv_zoo.errors import ConfigError, FitError, ReportedByRankZero
from enerv_zoo.launch import TORCHRUN, Launch, launched

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

PATIENCE = "ENERV_ZOO_PATIENCE"
DEFAULT_PATIENCE = 600.0
"""Seconds that a process waits for the others; `ENERV_ZOO_PATIENCE` says otherwise. Reading a long video on a slower
machine, or writing a checkpoint to a slow disk, are things to wait for."""


class RankLost(FitError):
    """Another process of the fit has ended, or does not answer."""


class Ranks:
    """The processes of one fit, seen from one of them. Every method is called by all of them, in one order.

    Args:
        launch: the place of this process.
        device: `"cpu"` or `"cuda"`, where gradients are.

    Attributes:
        rank, size: which process this is, of how many.
        notice: a number that this process wants all to know, 0 for none; the largest of all becomes `noticed` with the
            next `all_reduce_max`, in the same step everywhere.
        noticed: see `notice`.
    """

    def __init__(self, launch: Launch | None = None, device: str = "cpu") -> None:
        self.launch = launch or Launch()
        self.rank, self.size = self.launch.rank, self.launch.size
        self.notice = self.noticed = 0
        groups: tuple[Any, Any] = _groups(device) if self.size > 1 else (None, None)
        self._hosts, self._devices = groups

    @property
    def first(self) -> bool:
        """Return whether this process is rank 0, which decides, writes and prints."""
        return self.rank == 0

    def share(self, batch: Tensor) -> Tensor:
        """This process's part of a batch (B,): every `size`-th frame; none where there are fewer frames than ranks."""
        return batch if self.size == 1 else batch[self.rank :: self.size]

    def all_reduce_max(self, *numbers: float) -> list[float]:
        """The largest of each number over all processes; notices are exchanged with them."""
        if self.size == 1:
            self.noticed = self.notice
            return list(numbers)
        message = torch.tensor([*numbers, self.notice], dtype=torch.float64)
        with self._noticing_loss():
            dist.all_reduce(message, dist.ReduceOp.MAX, group=self._hosts)
        *agreed, noticed = message.tolist()
        self.noticed = int(noticed)
        return agreed

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one type on one device, in place, by their sums over all processes: one message."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        with self._noticing_loss():
            dist.all_reduce(flat, group=self._devices)
        for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.detach().copy_(total.view(tensor.shape))

    def gather(self, value: Result) -> list[Result]:
        """Everybody's value (plain data, CPU tensors), by rank."""
        if self.size == 1:
            return [value]
        gathered: list[Any] = [None] * self.size
        with self._noticing_loss():
            dist.all_gather_object(gathered, value, group=self._hosts)
        return gathered

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """Run a block in every process; where it fails in one of them, all of them end.

        Raises:
            EnervZooError: what this process raised; in others, `ReportedByRankZero`: rank 0 says what it was.
        """
        failure: Exception | None = None
        try:
            yield
        except Exception as error:  # whatever it is, the others must not wait for this process
            failure = error
        self.agree_on(failure)

    def agree_on(self, failure: Exception | None) -> None:
        """End all processes where one of them has failed; nothing happens where none has.

        Raises:
            EnervZooError: as `all_or_none` does.
        """
        if self.size == 1:
            if failure is not None:
                raise failure
            return
        failures = self.gather(None if failure is None else f"{type(failure).__name__}: {failure}")
        if any(failures):
            self._end(failure, failures)

    def _end(self, failure: Exception | None, failures: list[str | None]) -> NoReturn:
        if self.first and failure is not None:
            raise failure
        rank = next(rank for rank, text in enumerate(failures) if text is not None)
        if self.first:
            raise FitError(f"process {rank} of {self.size} failed: {failures[rank]}")
        raise ReportedByRankZero(f"process {rank} of {self.size} failed: {failures[rank]}") from failure

    def broadcast_from_zero(self, decide: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function in rank 0 alone, and return its result (plain data, CPU tensors) in every process.

        Raises:
            EnervZooError: it failed; rank 0 raises what it was, others `ReportedByRankZero`.
        """
        if self.size == 1:
            return decide(*arguments)
        holder: list[Any] = [None]
        with self.all_or_none():
            if self.first:
                holder = [decide(*arguments)]
        with self._noticing_loss():
            dist.broadcast_object_list(holder, src=0, group=self._hosts)
        return holder[0]

    def broadcast_weights(self, module: nn.Module) -> None:
        """Give every process's module, on the CPU, the state of rank 0's, which others compute a little otherwise."""
        if self.size > 1:
            module.load_state_dict(self.broadcast_from_zero(module.state_dict))

    @contextmanager
    def _noticing_loss(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # gloo and NCCL raise what they like
            text = f"another process of this fit has ended or does not answer ({_first_line(error)})"
            raise (RankLost if self.first else ReportedByRankZero)(text) from error


ALONE = Ranks()
"""A fit of one process."""


def join(device: str, distributed: bool = False) -> Ranks:
    """Return this process alone, or all that `torchrun` started. With CUDA, each takes the GPU of its number.

    Args:
        device: `"auto"`, `"cpu"`, `"cuda"`, `"cuda:1"` or `"mps"`.
        distributed: whether the fit is one of all processes; without it, the environment is not looked at.

    Raises:
        ConfigError: a distributed fit in a process that `torchrun` did not start.
        FitError: there are more processes than GPUs, or they do not find each other.
    """
    if not distributed:
        return Ranks()
    if TORCHRUN not in os.environ:
        raise ConfigError(
            "distributed=True is for processes that torchrun starts, and this one was started alone; start the program "
            "with torchrun, or leave out distributed"
        )
    launch = launched()
    if launch.size == 1:
        return Ranks()
    if device not in ("auto", "cpu", "cuda"):
        raise (ReportedByRankZero if launch.local_rank else FitError)(
            f"of several processes, each takes the GPU of its number: device must be auto, cpu or cuda, got {device!r}"
        )
    on_gpus = device != "cpu" and torch.cuda.is_available()
    if on_gpus:
        gpus = torch.cuda.device_count()
        if launch.local_size > gpus:
            raise (ReportedByRankZero if launch.local_rank else FitError)(
                f"{launch.local_size} processes on a machine with {gpus} GPU{'s' if gpus > 1 else ''}; "
                f"start one for each: torchrun --nproc-per-node {gpus}"
            )
        torch.cuda.set_device(launch.local_rank)
    return Ranks(launch, "cuda" if on_gpus else "cpu")


@cache
def _groups(device: str) -> tuple[Any, Any]:
    """The group in which hosts agree, and the one in which gradients are added; once in a process.

    Groups are not made again for another fit: a second rendezvous would meet the keys of the first.
    """
    patience = timedelta(seconds=_patience())
    try:
        if not dist.is_initialized():
            dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo", timeout=patience)
            atexit.register(_leave)
        if device == "cpu":
            return dist.group.WORLD, dist.group.WORLD
        return dist.new_group(backend="gloo", timeout=patience), dist.group.WORLD
    except (RuntimeError, ValueError) as error:
        raise RankLost(f"the processes of this fit did not find each other ({_first_line(error)})") from error


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _patience() -> float:
    text = os.environ.get(PATIENCE)
    try:
        seconds = float(text) if text else DEFAULT_PATIENCE
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise ConfigError(f"{PATIENCE} is seconds to wait for other processes, such as 600; got {text!r}")
    return seconds


def _first_line(error: Exception) -> str:
    line = str(error).strip().split("\n")[0]
    return re.sub(r"^\[[^\]]*\.\w+:\d+\]\s*", "", line).partition(". ")[0][:160]  # without gloo's source file
