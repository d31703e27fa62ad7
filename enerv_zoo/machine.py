"""Share of the machine that a process may use (a container's, where it is in one), and a program's own tuning."""

from __future__ import annotations

import ctypes
import gc
import importlib
import logging
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enerv_zoo.errors import FitError

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

CGROUP = Path("/sys/fs/cgroup")

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
"""The names of glibc's parameters in `mallopt(3)`."""

KEPT_BYTES = (1 << 31) - 1
"""Bytes of freed memory that stay with the process: 2 GiB, the most that can be said."""

SPINS = 4000
"""How often a waiting thread of GNU's OpenMP looks for work before it sleeps: 0.2 ms or so. With that library's 300,000
it holds a core that another program wants; with 1,000 it sleeps in the middle of a step, and fits on an idle machine
take a fifth to a half longer."""

GROWN_BYTES = 1 << 28
"""Growth of a process after which the memory of its fits is given back between two of them: 256 MiB."""

_least_memory = -GROWN_BYTES
"""Bytes of this process when memory was last given back; before that, so few that any are more."""

FULL_SEARCH_AFTER = 1000
"""Searches of the middle generation after which Python searches all objects; its own is 10. Newer Pythons ignore it."""


def available_memory() -> int | None:
    """Bytes of host memory that this process can still take; `None` where the system does not say.

    Of macOS, which counts otherwise, all that the machine has.
    """
    try:
        free = _free_memory()
    except (OSError, KeyError, ValueError):
        return None
    return max(0, min(free, *(limit - used for limit, used in _memory_limits())))


def _free_memory() -> int:
    if sys.platform == "win32":
        status = (ctypes.c_uint64 * 8)(64)  # a MEMORYSTATUSEX: its bytes, and then what is there and what is free
        if not ctypes.windll.kernel32.GlobalMemoryStatusEx(status):
            raise ctypes.WinError()
        return int(status[2])
    if sys.platform == "darwin":
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return int(dict(line.split(":") for line in lines)["MemAvailable"].split()[0]) * 1024


def _memory_limits() -> list[tuple[int, int]]:
    """(limit, use) of every control group that holds this process; a file that could be dropped is no use."""
    limits = []
    for group in _groups():
        limit = _numbers(group / "memory.max")
        used = _numbers(group / "memory.current")
        if limit and used:
            stat = text_of(group / "memory.stat").split()
            droppable = int(stat[stat.index("inactive_file") + 1]) if "inactive_file" in stat else 0
            limits.append((limit[0], used[0] - droppable))
    return limits or [(1 << 62, 0)]


def available_cores() -> int:
    """Cores that this process may use: those it is bound to, or as many as its container's time is worth."""
    quotas = [_numbers(group / "cpu.max") for group in _groups()]
    shares = [math.ceil(quota / period) for quota, period in (each for each in quotas if len(each) == 2)]
    return max(1, min([_bound_cores(), *shares]))


def _bound_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _groups() -> list[Path]:
    """The control groups (version 2) of this process, innermost first; a container sees its own as the root."""
    own = text_of(Path("/proc/self/cgroup")).partition("0::/")[2].split("\n")[0]
    group = CGROUP / own
    return [parent for parent in (group, *group.parents) if parent == CGROUP or CGROUP in parent.parents]


def _numbers(path: Path) -> list[int]:
    """The numbers of a control file; none where it says `max`, or is not there."""
    words = text_of(path).split()
    return [int(word) for word in words] if words and all(word.isdecimal() for word in words) else []


def text_of(path: Path) -> str:
    """Return a file of the system as text, or nothing where it cannot be read."""
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def tune_process() -> None:
    """Tune this whole process for fitting and decoding on a CPU, until it ends.

    The command line does this as it starts. The library never does: a program that wants it calls this once, best
    before it imports PyTorch. The effects:

    - **Memory** (glibc alone): freed memory stays with the process, in one heap of at most 2 GiB, instead of going back
      to the system after every step and frame. Steps and frames take a third to a half less time (docs/why-fast.md),
      and the process stays as large as it was at its largest. `MALLOC_...` and `GLIBC_TUNABLES` overrule this.
    - **Threads**: no more than the cores that the process may use, where a container allows fewer than the machine has.
      `OMP_NUM_THREADS` overrules this.
    - **Waiting**, where PyTorch is not imported yet: threads that wait for work sleep after some 0.2 milliseconds. By
      default they keep their cores busy for milliseconds, in which nobody works if another program holds the core of
      one of them. `OMP_WAIT_POLICY` and `GOMP_SPINCOUNT` overrule this. The OpenMP library reads them as PyTorch
      loads it, so nothing can change this afterwards: start such a program with `OMP_WAIT_POLICY=passive`.
    - **Garbage**: Python searches all objects for cycles that nobody needs only after millions of new ones; those that
      are new are searched as often as before. While PyTorch is imported, full searches take a sixth of the time and
      find nothing. Fits in turn (`compare`, segments) have one between them where the process has grown.

    What must be known before PyTorch is imported is written to `os.environ` (`GOMP_SPINCOUNT`, and `OMP_NUM_THREADS` in
    such a container), which child processes inherit.
    """
    cores = available_cores()
    if "torch" in sys.modules:
        import torch

        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(min(torch.get_num_threads(), cores))
    else:
        if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
            os.environ["GOMP_SPINCOUNT"] = str(SPINS)
        if cores < _bound_cores():
            os.environ.setdefault("OMP_NUM_THREADS", str(cores))
    young, old, _ = gc.get_threshold()
    gc.set_threshold(young, old, FULL_SEARCH_AFTER)
    stays = keep_freed_memory()
    logger.debug("%d cores; freed memory %s the process", cores, "stays with" if stays else "leaves")


def choose_device(device: str | torch.device) -> str:
    """Return the device that is meant: `"auto"` is CUDA where there is one, else the CPU.

    `"cuda:1"` is a GPU by its number. `"mps"` is Apple's GPU, for which only shapes and types are tested.

    Raises:
        FitError: the name means nothing, or PyTorch has no such device here.
    """
    import torch

    if isinstance(device, torch.device) and device.type != "cuda":
        device = device.type  # of which there is one, though tensors may say mps:0
    device = str(device)
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, colon, number = device.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (colon and not (kind == "cuda" and number.isdecimal())):
        raise FitError(f"device must be auto, cpu, cuda, cuda:1 (a GPU by its number) or mps, got {device!r}")
    if kind == "cuda" and not torch.cuda.is_available():
        raise FitError("no CUDA device is available to PyTorch here; use --device auto or --device cpu")
    if number and int(number) >= (count := torch.cuda.device_count()):
        last = "only cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
        raise FitError(f"there is no {device} here: PyTorch sees {last}")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise FitError("no MPS device (Apple's GPU) is available to PyTorch here; use --device auto or --device cpu")
    return device


def start_worker(environment: dict[str, str], target: str, *arguments: Any) -> None:
    """Begin a process of this package: set its environment and tune it before anything large is imported.

    Args:
        environment: variables of this process alone.
        target: a function to call, as `"module:name"`.
        arguments: of that function.
    """
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C in the terminal is for the pool, which stops its workers once
    elif sys.platform == "win32":
        ctypes.windll.kernel32.SetConsoleCtrlHandler(None, True)  # likewise
    os.environ.update(environment)
    tune_process()
    module, _, name = target.partition(":")
    getattr(importlib.import_module(module), name)(*arguments)


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to keep what is freed, in one heap. Returns whether it was done.

    glibc gives the memory of every large tensor back to the system when it is freed. Each feature map then costs a page
    fault for every 4 KiB of it: a third to a half of the time of a step or a frame (docs/why-fast.md). The price is
    that the process stays as large as it was at its largest, up to `KEPT_BYTES`. Other allocators are left alone.
    """
    if any(name.startswith("MALLOC_") for name in os.environ) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None:
        return False
    mallopt.argtypes = (ctypes.c_int, ctypes.c_int)
    return all([mallopt(_TRIM_THRESHOLD, KEPT_BYTES), mallopt(_MMAP_MAX, 0), mallopt(_ARENA_MAX, 1)])


@contextmanager
def scheduling_kept() -> Iterator[None]:
    """A context after which every thread of this process is scheduled as before, and new ones as the calling one.

    Some libraries take real-time priority where they may, as root may: SVT-AV1 for its threads and for the one that
    opens it. Everything else on the machine would then wait for them, as long as the process lives.
    """
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    before = {thread: _scheduling(thread) for thread in _threads()}
    own = _scheduling(0)
    try:
        yield
    finally:
        for thread in _threads():
            usual = before.get(thread, own)
            with suppress(OSError):  # it has just ended
                if _scheduling(thread) != usual:
                    os.sched_setscheduler(thread, usual[0], os.sched_param(usual[1]))


def _threads() -> list[int]:
    """The system's numbers of this process's threads; of the calling one alone where they are not listed."""
    try:
        return [int(entry.name) for entry in Path("/proc/self/task").iterdir()]
    except OSError:
        return [0]


def _scheduling(thread: int) -> tuple[int, int]:
    """The policy and the real-time priority of a thread; those of the calling one where it has ended."""
    try:
        return os.sched_getscheduler(thread), os.sched_getparam(thread).sched_priority
    except ProcessLookupError:
        return os.sched_getscheduler(0), os.sched_getparam(0).sched_priority


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done what it was asked for."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def release_memory() -> None:
    """Give back what is free, between two fits in one process: to the system, and to other users of the GPU.

    After `tune_process` a CPU's freed memory stays with the process while a fit runs; over fits of different sizes it
    would break into pieces that none of them can use, and the process would grow. Where it has hardly grown since the
    last time, nothing is done: the search for garbage takes half a second.
    """
    global _least_memory
    import torch

    on_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    if not on_gpu and 0 < _own_memory() < _least_memory + GROWN_BYTES:
        return
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)
    _least_memory = _own_memory()


def _own_memory() -> int:
    """Bytes of this process that are in memory; 0 where the system does not say."""
    pages = text_of(Path("/proc/self/statm")).split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if len(pages) > 1 else 0
