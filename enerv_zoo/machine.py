"""What this process may use of the machine (a container's share, where it is in one), and how a CPU is used well."""

from __future__ import annotations

import ctypes
import gc
import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

logger = logging.getLogger(__name__)

CGROUP = Path("/sys/fs/cgroup")

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
"""The names of glibc's parameters in `mallopt(3)`."""

KEPT = (1 << 31) - 1
"""Bytes of freed memory that stay with the process: 2 GiB, the most that can be said."""


def available_memory() -> int | None:
    """Bytes of host memory that this process can still take; `None` where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        fields = dict(line.split(":") for line in lines)
        free = int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    return max(0, min(free, *(limit - used for limit, used in _memory_limits())))


def _memory_limits() -> list[tuple[int, int]]:
    """(limit, use) of every control group that holds this process; a file that could be dropped is no use."""
    limits = []
    for group in _groups():
        limit = _numbers(group / "memory.max")
        used = _numbers(group / "memory.current")
        if limit and used:
            stat = _text(group / "memory.stat").split()
            droppable = int(stat[stat.index("inactive_file") + 1]) if "inactive_file" in stat else 0
            limits.append((limit[0], used[0] - droppable))
    return limits or [(1 << 62, 0)]


def available_cores() -> int:
    """Cores that this process may use: those it is bound to, or as many as its container's time is worth."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [_numbers(group / "cpu.max") for group in _groups()]
    shares = [math.ceil(quota / period) for quota, period in (each for each in quotas if len(each) == 2)]
    return max(1, min([bound, *shares]))


def _groups() -> list[Path]:
    """The control groups (version 2) of this process, innermost first; a container sees its own as the root."""
    own = _text(Path("/proc/self/cgroup")).partition("0::/")[2].split("\n")[0]
    group = CGROUP / own
    return [parent for parent in (group, *group.parents) if parent == CGROUP or CGROUP in parent.parents]


def _numbers(path: Path) -> list[int]:
    """The numbers of a control file; none where it says `max`, or is not there."""
    words = _text(path).split()
    return [int(word) for word in words] if words and all(word.isdecimal() for word in words) else []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""


@cache
def prepare_cpu() -> None:
    """Once in a process, before its CPU draws or fits: as many threads as cores, and freed memory that is kept.

    Processes that are forked from it afterwards have one thread.

    `OMP_NUM_THREADS` and the allocator's own variables (`MALLOC_...`, `GLIBC_TUNABLES`) overrule this.
    """
    if hasattr(os, "register_at_fork"):  # a child has no thread but one, and would wait for the others for ever
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), available_cores()))
    kept = _keep_freed_memory()
    logger.debug("%d threads; freed memory %s the process", torch.get_num_threads(), "stays with" if kept else "leaves")


def _keep_freed_memory() -> bool:
    """Tell glibc's allocator to keep what is freed, in one heap. Returns whether it was done.

    glibc gives the memory of every large tensor back to the system when it is freed. Each feature map then costs a page
    fault for every 4 KiB of it: a third to a half of the time of a step or a frame (docs/performance.md). The price is
    that the process stays as large as it was at its largest, up to `KEPT`. Other allocators are left alone.
    """
    if any(name.startswith("MALLOC_") for name in os.environ) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None:
        return False
    mallopt.argtypes = (ctypes.c_int, ctypes.c_int)
    return all([mallopt(_TRIM_THRESHOLD, KEPT), mallopt(_MMAP_MAX, 0), mallopt(_ARENA_MAX, 1)])


def release_memory() -> None:
    """Give back what is free, between two fits in one process: to the system, and to other users of the GPU.

    A CPU's freed memory stays with the process while a fit runs (`prepare_cpu`); over fits of different sizes it would
    break into pieces that none of them can use, and the process would grow.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """A context in which numbers below float32's normal range count as zero.

    Gradients' squares that fade away, as an optimiser keeps them, get there, and processors are slow there. Only while
    fitting: for a whole process it would change what other packages compute.
    """
    before = float(torch.tensor(1e-40) * 1) == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
