"""Weights in files: their header is checked before anything of them is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from enerv_zoo.compatibility import current_names
from enerv_zoo.errors import ConfigError
from enerv_zoo.network import Network
from enerv_zoo.storage.description import Description, N

MAX_HEADER_BYTES = 16 << 20

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
}
"""Types that weights may have, by their names in a safetensors file."""


def read_header(file: Path) -> dict[str, Tensor]:
    """Return the tensors that a safetensors file says it holds, on the meta device.

    Raises:
        ConfigError: the file is damaged or no safetensors file.
    """
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > MAX_HEADER_BYTES:
                raise ValueError(f"its header says it has {length} bytes")
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        return {
            name: torch.empty(entry["shape"], dtype=DTYPES[entry["dtype"]], device="meta")
            for name, entry in header.items()
        }
    except (OSError, ValueError, RecursionError, AttributeError, KeyError, TypeError, RuntimeError) as error:
        raise ConfigError(f"{file}: damaged or no safetensors file ({str(error)[:100]})") from error


def check_tensors(network: Network, state: Mapping[str, Tensor], where: str) -> None:
    """Refuse tensors whose names, shapes or types are not the network's.

    Raises:
        ConfigError: names the first tensors that are missing, left over or of the wrong shape or type.
    """
    expected = network.state_dict()
    for verb, which in (("lack", expected.keys() - state.keys()), ("have too much:", state.keys() - expected.keys())):
        if which:
            some = ", ".join(sorted(which)[:4]) + (f" and {len(which) - 4} more" if len(which) > 4 else "")
            raise ConfigError(f"{where}: config and weights do not match, the weights {verb} {some:.300}")
    for name, tensor in state.items():
        ours = expected[name]
        if tensor.shape != ours.shape or tensor.is_floating_point() != ours.is_floating_point():
            raise ConfigError(
                f"{where}: config and weights do not match, {name} is {tensor.dtype} {tuple(tensor.shape)}, "
                f"expected {ours.dtype} {tuple(ours.shape)}"
            )


def not_finite(state: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first tensor that holds infinite values or NaN."""
    return next((name for name, tensor in state.items() if not bool(tensor.isfinite().all())), None)


def build_network(build: type[N], description: Description, state: Mapping[str, Tensor], where: str) -> N:
    """Return a network of a class with weights from a file, in evaluation mode.

    Raises:
        ConfigError: names the first tensor that is not finite.
    """
    if (name := not_finite(state)) is not None:
        raise ConfigError(f"{where}: {name} holds infinite values or NaN; the fit collapsed or the file is bad")
    network = build.seeded(description.model, description.video, seed=0)  # for weights that are replaced
    network.load_state_dict(current_names(description.model, state))
    return network.eval()
