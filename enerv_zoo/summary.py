"""Summary of a network: its parts, the shapes between them, what each stores and what each computes.

    summary = summarize(model_config("enerv", info), info)
    summary.macs                        # multiply-accumulates per frame
    [part.name for part in summary.parts]

Shapes are followed through the network on PyTorch's meta device, so nothing is computed and no weights are needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from enerv_zoo.composition import ModelConfig
from enerv_zoo.config import VideoInfo
from enerv_zoo.meta import MetaParameters
from enerv_zoo.network import Network

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """A part of a network, for one frame.

    Attributes:
        path: where it is in the network, as `Network.get_submodule` takes it: `"stages.0.1"`.
        role: what it does there, such as `"embedding time"`, `"stage 1"`, `"block"`.
        name: of the registered part, such as `"enerv"`; empty for a stage, which is a group.
        inputs: shapes of what it gets, without the batch: (C, H, W), (C,), or () for a frame's index.
        outputs: shapes of what it returns, likewise.
        stored_numbers: parameters and statistics in it.
        macs: multiply-accumulates of its convolutions, matrix products and attention.
        once: whether that is computed once per video, as it is the same for every frame.
        parts: what it is a group of.
    """

    path: str
    role: str
    name: str
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    stored_numbers: int
    macs: int
    once: bool = False
    parts: tuple[Part, ...] = ()

    @property
    def label(self) -> str:
        """The role, and the name of the registered part: `"embedding time (frequency)"`."""
        return f"{self.role} ({self.name})" if self.name else self.role

    @property
    def shapes(self) -> str:
        """Shapes as tensors have them: `"(24, 9, 16) -> (12, 18, 32)"`."""
        sides = (", ".join(str(shape) if shape else "index" for shape in side) for side in (self.inputs, self.outputs))
        return " -> ".join(sides)


@dataclass(frozen=True)
class ModelSummary:
    """A network as its parts, in the order in which a frame passes them.

    Attributes:
        parts: embeddings, join, stages, head.
        stored_numbers: of all parts, as `Network.stored_numbers`.
        fixed_numbers: what papers count as parameters beside them, as `Network.fixed_numbers`.
    """

    parts: tuple[Part, ...]
    stored_numbers: int
    fixed_numbers: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates that every frame costs."""
        return sum(part.macs for part in self.parts if not part.once)

    @property
    def macs_once(self) -> int:
        """Multiply-accumulates that a video costs once."""
        return sum(part.macs for part in self.parts if part.once)


def summarize(config: ModelConfig, info: VideoInfo) -> ModelSummary:
    """Follow one frame through the network that a composition makes.

    What costs no multiplication with weights (activations, sampling from a table, refining by neighbours) counts 0.

    Args:
        config: the composition: of a fit, `video.config`; of a family, `enerv_zoo.zoo.model_config(...)`.
        info: the video, `video.info`.

    Raises:
        ConfigError: the parts do not exist or fit together.
    """
    with MetaParameters():
        video = Network(config, info)
    video = video.to("meta").eval()
    with _watching(video) as record, torch.no_grad():
        video.head_outputs(torch.zeros(1, dtype=torch.float64, device="meta"), {})
    parts = [
        _part(video, record, f"embeddings.{name}", f"embedding {name}", spec["name"])
        for name, spec in config.embeddings.items()
    ]
    parts.append(_part(video, record, "join", "join", config.join["name"]))
    parts += [_stage(video, record, index) for index in range(len(config.stages))]
    parts.append(_part(video, record, "head", "head", config.head["name"]))
    return ModelSummary(tuple(parts), video.stored_numbers, video.fixed_numbers)


@dataclass
class _Passage:
    """Shapes and work of one pass through a module."""

    inputs: tuple[Shape, ...] = ()
    outputs: tuple[Shape, ...] = ()
    flops: int = 0


@dataclass
class _Seen:
    """Passages through every module, by its path."""

    counter: FlopCounterMode = field(default_factory=lambda: FlopCounterMode(display=False))
    passages: dict[str, _Passage] = field(default_factory=dict)

    def watch(self, path: str, module: nn.Module) -> list[Any]:
        passage = self.passages.setdefault(path, _Passage())

        def before(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            passage.inputs = _shapes(inputs)
            passage.flops = -self.counter.get_total_flops()

        def after(_: nn.Module, __: tuple[Any, ...], outputs: Any) -> None:
            passage.outputs = _shapes(outputs)
            passage.flops += self.counter.get_total_flops()

        return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]


@contextmanager
def _watching(video: Network) -> Iterator[_Seen]:
    record = _Seen()
    handles = [handle for path, module in video.named_modules() if path for handle in record.watch(path, module)]
    try:
        with record.counter:
            yield record
    finally:
        for handle in handles:
            handle.remove()


def _shapes(values: Any) -> tuple[Shape, ...]:
    """The shapes of tensors in a value, without their batch."""
    if isinstance(values, Tensor):
        return (tuple(values.shape[1:]),)
    if isinstance(values, (list, tuple)):
        return tuple(shape for value in values for shape in _shapes(value))
    return ()


def _part(video: Network, record: _Seen, path: str, role: str, name: str, parts: tuple[Part, ...] = ()) -> Part:
    module = video.get_submodule(path)
    stored = sum(t.numel() for t in module.state_dict().values() if t.is_floating_point())
    passage = record.passages[path]
    once = bool(getattr(module, "fixed", False))
    return Part(path, role, name, passage.inputs, passage.outputs, stored, passage.flops // 2, once, parts)


def _stage(video: Network, record: _Seen, index: int) -> Part:
    """A stage with its steps, in the order of the way through it."""
    path = f"stages.{index}"
    steps = tuple(
        _part(video, record, f"{path}.{number}", "modulation" if "with" in step else "block", step["name"])
        for number, step in enumerate(video.config.stages[index])
    )
    return _part(video, record, path, f"stage {index + 1}, x{video.config.strides[index]}", "", steps)
