"""Golden files: weights, inputs and outputs of a network, computed with its authors' own code.

A golden file is a safetensors file with the keys `state/<name>` (the authors' state dict), `input/index` (frame
indices, float64), further `input/<name>` such as `frames` for networks that encode content, and `output/0`, `output/1`,
... (frames in [0, 1], one tensor per head). Its metadata are `config` (JSON, the authors' own options) and `frames` (of
the video).
`examples/make_golden.py` writes one from any PyTorch model.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from enerv_zoo.layers import FrequencyEncoding
from enerv_zoo.network import Network


@dataclass
class Golden:
    """Tensors and metadata of one golden file."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]

    @property
    def config(self) -> dict[str, Any]:
        """The authors' options."""
        return json.loads(self.metadata["config"])

    @property
    def state(self) -> dict[str, Tensor]:
        """The authors' state dict."""
        return {name.removeprefix("state/"): t for name, t in self.tensors.items() if name.startswith("state/")}

    @property
    def outputs(self) -> list[Tensor]:
        """The outputs of the heads, in their order."""
        return [self.tensors[f"output/{i}"] for i in range(len(self.tensors)) if f"output/{i}" in self.tensors]


def read_golden(path: str | Path) -> Golden:
    """Read a golden file."""
    with safe_open(path, "pt") as file:
        return Golden({key: file.get_tensor(key) for key in file.keys()}, file.metadata())  # noqa: SIM118


def in_double(video: Network, index: Tensor) -> list[Tensor]:
    """Return the outputs of a network in float64, but for its frequency encodings: their rounding is part of it."""
    twin = copy.deepcopy(video).double()
    for part in twin.modules():
        if isinstance(part, FrequencyEncoding):
            part.register_forward_hook(lambda part, inputs, output: output.double())
    with torch.inference_mode():
        return twin.outputs(index)


def assert_draws(video: Network, values: Golden, tolerance: float = 2e-6) -> None:
    """Check that a network decodes what the authors' code decoded, up to `tolerance` and this processor's rounding.

    The golden values were rounded on one processor; another one adds in another order. The size of this effect is the
    distance of ours from ours in float64.
    """
    index = values.tensors["input/index"]
    with torch.inference_mode():
        outputs = video.outputs(index)
    exact = in_double(video, index)
    outputs, exact = (each[-len(values.outputs) :] for each in (outputs, exact))
    assert len(outputs) == len(values.outputs)
    for ours, wide, theirs in zip(outputs, exact, values.outputs, strict=True):
        assert ours.shape == theirs.shape
        rounding = float((ours - wide).abs().max())
        assert rounding < 1e-5, "a network that amplifies rounding so much proves nothing"
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance + rounding)
