"""Networks without numbers: to count and to check them before anything is allocated."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only


@contextmanager
def meta_arithmetic() -> Iterator[None]:
    """A context for computing on the meta device, for which PyTorch loads modules that add filters for warnings."""
    with warnings.catch_warnings():
        yield


class MetaParameters(TorchFunctionMode):
    """A context in which the tensors that become parameters are made on PyTorch's meta device.

    Those that parts count out (coordinates, frequencies) are real: they are small, and arithmetic on the meta device
    makes PyTorch load modules for seconds, which `torch.device("meta")` would bring about. What they compute from both,
    as a buffer of random frequencies, has no numbers. Random weights are not generated for parameters that hold none.
    """

    makers: ClassVar = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn}
    fillers: ClassVar = {init.kaiming_uniform_, init.uniform_, init.normal_, Tensor.uniform_, Tensor.normal_}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        if func in self.fillers:
            tensor = args[0] if args else options["tensor"]
            if tensor.is_meta:
                return tensor
        device = {"device": "meta"} if func in self.makers else {}
        try:
            return func(*args, **{**options, **device})
        except RuntimeError:
            arguments = (args, options)
            if len({tensor.is_meta for tensor in tree_leaves(arguments) if isinstance(tensor, Tensor)}) < 2:
                raise
            with meta_arithmetic():
                args, options = tree_map_only(Tensor, lambda tensor: tensor.to("meta"), arguments)
                return func(*args, **options)
