"""Precision of a network's computation: float32, or bfloat16 where the device is made for it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from functools import cache
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from enerv_zoo.errors import ConfigError

Precision = Literal["float32", "bfloat16"]
"""What the convolutions of a network compute in. Encodings, embeddings, normalisation statistics, outputs, losses and
the optimiser's state are float32 in either."""

MIN_SPEEDUP = 1.15
TIMED_ROUNDS = 12
"""bfloat16 is taken on a CPU without matrix units where a convolution is so many times as fast in it."""

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"

PARALLEL_FROM = 1 << 15
"""Elements for each thread that PyTorch shares an elementwise operation among (its `GRAIN_SIZE`)."""


def choose_precision(precision: str, device: str) -> Precision:
    """Return the precision that `"auto"` means on a device: bfloat16 where convolutions are faster in it.

    That is on CUDA devices that have it, and on CPUs with matrix units (AMX). Of CPUs with bfloat16 instructions alone
    some are faster in it and some slower, so a convolution is timed, once per process, in about 20 ms.

    Raises:
        ConfigError: there is no such precision.
    """
    if precision == "auto":
        return "bfloat16" if is_bfloat16_fast(torch.device(device).type) else "float32"
    if precision not in get_args(Precision):
        raise ConfigError(f"precision must be auto, {' or '.join(get_args(Precision))}, got {precision!r}")
    return precision  # type: ignore[return-value]


@cache
def is_bfloat16_fast(device: str) -> bool:
    """Return whether convolutions on a type of device are faster in bfloat16; found out once per process."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities: Mapping[str, Any] = getattr(
        torch.cpu, "get_capabilities", dict
    )()  # newer than the oldest PyTorch that is supported
    if device != "cpu" or not capabilities.get("avx512_bf16"):
        return False
    return bool(capabilities.get("amx_bf16")) or measured_speedup() > MIN_SPEEDUP


def measured_speedup() -> float:
    """Return how many times as fast a convolution is in bfloat16 as in float32 on this CPU, casts included.

    It is one thread's processor time, each in turns, and the best of each counts, so other programs hardly matter. That
    of Windows counts in steps of 15 ms, which are longer than all of it: there it is the time of the wall.
    """
    clock = time.perf_counter if sys.platform == "win32" else time.thread_time
    threads = torch.get_num_threads()
    x = torch.linspace(-1, 1, 32 * 36 * 64).view(1, 32, 36, 64).to(memory_format=torch.channels_last)
    weight = torch.linspace(-1, 1, 64 * 32 * 9).view(64, 32, 3, 3).to(memory_format=torch.channels_last)
    best = {dtype: float("inf") for dtype in (torch.float32, torch.bfloat16)}
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for _ in range(TIMED_ROUNDS):
                for dtype in best:
                    start = clock()
                    F.conv2d(x.to(dtype), weight.to(dtype), padding=1)
                    best[dtype] = min(best[dtype], clock() - start)
    finally:
        torch.set_num_threads(threads)
    return best[torch.float32] / best[torch.bfloat16]


def at_least_float32(x: Tensor) -> Tensor:
    """The same numbers as float32, or as they are where that would lose some."""
    return x if x.dtype == torch.float64 else x.float()


def widest(device: torch.device) -> torch.dtype:
    """Return float64, or float32 for devices that have nothing wider (MPS)."""
    return torch.float32 if device.type == "mps" else torch.float64


def wide(x: Tensor) -> Tensor:
    """Return the same numbers in the widest type of their device."""
    return x.to(widest(x.device))


def computing(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """A context in which convolutions on a device compute in a precision."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


@contextmanager
def plain_float32(*, benchmark: bool, deterministic: bool = False) -> Iterator[None]:
    """A context in which float32 means float32 on CUDA too, for convolutions and their gradients.

    PyTorch lets cuDNN round them to TF32, which has 10 bits, by default. The settings of before come back at the end.

    Args:
        benchmark: let cuDNN try its algorithms once for every shape, and take the fastest.
        deterministic: use only algorithms that give the same numbers on every run, in all of PyTorch.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn: Any = torch.backends.cudnn
    with ExitStack() as stack:

        def put(place: Any, name: str, value: Any) -> None:
            stack.callback(setattr, place, name, getattr(place, name))
            setattr(place, name, value)

        put(cudnn, "benchmark", benchmark and not deterministic)
        put(cudnn, "deterministic", deterministic)
        with suppress(RuntimeError):  # what the host process has set by the newer name can't be read by the older one
            put(cudnn, "allow_tf32", False)
        if getattr(getattr(cudnn, "conv", None), "fp32_precision", "ieee") == "tf32":
            put(cudnn.conv, "fp32_precision", "ieee")
        stack.enter_context(workspace_of_cublas(deterministic))
        if deterministic:
            stack.callback(torch.use_deterministic_algorithms, before[0], warn_only=before[1])
            torch.use_deterministic_algorithms(True)
        yield


@contextmanager
def workspace_of_cublas(deterministic: bool) -> Iterator[None]:
    """A context in which cuBLAS is told, if nobody has, to take memory with which it gives the same numbers.

    PyTorch looks once in a process, when it first needs cuBLAS.

    Args:
        deterministic: whether that is wanted at all.
    """
    ours = deterministic and CUBLAS not in os.environ
    if ours:
        os.environ[CUBLAS] = ":4096:8"
    try:
        yield
    finally:
        if ours:
            os.environ.pop(CUBLAS, None)


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """A context in which this thread counts numbers below float32's normal range as zero.

    Gradients' squares that fade away, as an optimiser keeps them, get there, and processors are slow there. Only while
    fitting: for a whole process it would change what other packages compute.

    Threads inherit the setting from the one that starts them, and PyTorch's stay for as long as the process, so they
    are started before.
    """
    torch.ones(torch.get_num_threads() * PARALLEL_FROM, dtype=torch.uint8)
    before = float(torch.tensor(1e-40) * 1) == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
