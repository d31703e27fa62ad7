"""What several test modules share."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

GOLDEN = Path(__file__).parent / "golden"


@dataclass
class Golden:
    """Tensors and metadata of one golden file."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]

    @property
    def config(self) -> dict:
        return json.loads(self.metadata["config"])

    @property
    def state(self) -> dict[str, Tensor]:
        return {name.removeprefix("state/"): t for name, t in self.tensors.items() if name.startswith("state/")}

    @property
    def outputs(self) -> list[Tensor]:
        return [self.tensors[f"output/{i}"] for i in range(len(self.tensors)) if f"output/{i}" in self.tensors]


@pytest.fixture(scope="session")
def golden():
    def read(name: str) -> Golden:
        with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
            return Golden({key: file.get_tensor(key) for key in file.keys()}, file.metadata())  # noqa: SIM118

    return read


@pytest.fixture(autouse=True)
def _same_seed():
    torch.manual_seed(0)
