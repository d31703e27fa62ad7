"""`Network`: the parts that a `ModelConfig` names, joined; what is fitted, stored and counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enerv_zoo.coding import CodingHint, coding_hints
from enerv_zoo.compiling import Compiled
from enerv_zoo.composition import ModelConfig
from enerv_zoo.config import VideoInfo, size_text
from enerv_zoo.content import encoded, encoded_tables, neighbours_of
from enerv_zoo.errors import ConfigError
from enerv_zoo.frame_access import check_called, distinct
from enerv_zoo.meta import MetaParameters
from enerv_zoo.pixels import pixels_per_batch
from enerv_zoo.precision import Precision, at_least_float32, choose_precision, computing, plain_float32, widest
from enerv_zoo.registry import embeddings, heads
from enerv_zoo.stages import Stage, build_fusion, per_frame, wired
from enerv_zoo.threads import seeded_generator, usable_threads

if TYPE_CHECKING:
    from enerv_zoo.heads.rgb import Loss
    from enerv_zoo.video.origin import Origin


class Network(nn.Module):
    """A network that maps frame indices (B,), integer or fractional, to frames (B, 3, H, W), float in [0, 1].

    Every embedding maps the index to a vector or a map; the join makes the first feature map (B, channels, h, w); the
    steps of the stages modulate and upsample it; the head turns it into RGB. Join, modulations and head take the
    embeddings that their `with` names. Where the strides do not divide the frame's size, the network decodes a little
    more, and the right and bottom margins are cropped.

    Args:
        config: the composition.
        info: the video it is for.

    Attributes:
        file_bytes: size of the compressed file that the network was read from, or `None`.
        origin: the video that it was fitted to, as far as that is known, or `None`.
        read_sound: reads the video's sound; `None` where there is none.
        precision: `"float32"`, or `"bfloat16"` for quicker and coarser convolutions (see `optimize`).
        compiled: the network but for its embeddings, compiled, or `None` (see `optimize`).

    Raises:
        ConfigError: parts that do not exist, do not fit together, or decode less than the frame.
    """

    def __init__(self, config: ModelConfig, info: VideoInfo) -> None:
        super().__init__()
        self.config = config
        self.info = info
        self.precision: Precision = "float32"
        self.file_bytes: int | None = None
        self.origin: Origin | None = None
        self.read_sound: Callable[[], bytes | None] | None = None
        self.compiled: Compiled | None = None
        self._fixed: dict[str, Tensor] | None = None
        for name in config.embeddings:
            if not name or "." in name or hasattr(nn.ModuleDict(), name):
                raise ConfigError(f"an embedding cannot be called {name!r}; take a word without a dot, such as 'time'")
        self.embeddings = nn.ModuleDict(
            {name: embeddings.build(spec, info, config.grid) for name, spec in config.embeddings.items()}
        )
        shapes: dict[str, tuple[int, ...]] = {name: part.shape for name, part in self.embeddings.items()}  # type: ignore[misc]
        channels, size = config.channels[0], config.grid
        join, wiring = wired(config.join, shapes, "channels")
        self._joined = wiring.takes
        self.join = build_fusion("join", join, [shapes[name] for name in self._joined], channels, size)
        self.stages = nn.ModuleList()
        for steps in config.stages:
            stage = Stage(steps, channels, size, shapes)
            self.stages.append(stage)
            channels, size = stage.channels, stage.size
        head, wiring = wired(config.head, shapes)
        self._headed = wiring.takes
        self.head = heads.build(head, config.channels[1:], [shapes[name] for name in self._headed])
        self._check_use()
        stride = getattr(self.head, "stride", 1)
        self.decoded_size = (size[0] * stride, size[1] * stride)
        if self.decoded_size[0] < info.height or self.decoded_size[1] < info.width:
            raise ConfigError(
                f"a grid of {size_text(*config.grid)} and strides of {stride * math.prod(config.strides)} decode "
                f"{size_text(*self.decoded_size)}, less than the frame {info.size_text}"
            )
        self.to(memory_format=torch.channels_last)

    @classmethod
    def seeded(cls, config: ModelConfig, info: VideoInfo, seed: int, *, fitting: bool = False) -> Self:
        """A network whose initial weights follow from `seed`; the global generator is left alone.

        Args:
            config, info: as for the class.
            seed: of the initial weights.
            fitting: whether it is about to be fitted: `start_fitting`.
        """
        with seeded_generator(seed):
            video = cls(config, info)
            return video.start_fitting() if fitting else video

    def _check_use(self) -> None:
        """Refuse an embedding that no part takes; note which ones are taken after the join."""
        _, *others = self.wired_parts()
        self._steering = tuple(dict.fromkeys(name for _, takes in others for name in takes))
        for name in self.embeddings:
            if name not in (*self._joined, *self._steering):
                raise ConfigError(f"no part takes the embedding {name!r}; name it in the 'with' of one")

    def wired_parts(self) -> list[tuple[Any, tuple[str, ...]]]:
        """Return the join, the steps of all stages and the head, each with the embeddings that it takes."""
        stages: list[Any] = list(self.stages)
        steps = [(step, takes or ()) for stage in stages for step, takes in zip(stage, stage.takes, strict=True)]
        return [(self.join, self._joined), *steps, (self.head, self._headed)]

    def encoding(self) -> dict[str, Any]:
        """Return the embeddings that are computed from frames now, by name: while fitting, those of content."""
        parts: list[tuple[str, Any]] = list(self.embeddings.items())
        return {name: part for name, part in parts if hasattr(part, "start_encoding") and part.encoder is not None}

    @property
    def is_fitting(self) -> bool:
        """Return whether parts hold what only a fit needs: from `start_fitting` to `bake`, if there are such parts."""
        return bool(self.encoding()) or getattr(self.head, "latest", None) is not None

    def start_fitting(self, encode: bool = True) -> Self:
        """Give parts what they need while fitting: encoders of content (random), neighbours' frames (black).

        Args:
            encode: whether content comes from encoders; without them, the stored content itself is fitted.

        Returns:
            This network; from here on it decodes frames that are given to `objective`, and no others until `bake`.
        """
        for part in list[Any](self.embeddings.values()) if encode else ():
            if hasattr(part, "start_encoding"):
                part.start_encoding()
        if self.neighbours:
            self.head.start_fitting(self.info, self.decoded_size)
        return self.to(memory_format=torch.channels_last)

    def bake(self, frames: Tensor, fitted: Tensor | None = None) -> Self:
        """End a fit: store the embeddings of the video's content, and drop what only a fit needs.

        Args:
            frames: all of them, (N, 3, H, W), uint8 or float in [0, 1].
            fitted: indices of the frames that were fitted, in order; by default all. What embeddings hold for others
                alone becomes a blend of what they hold for these.

        Returns:
            This network, which from here on decodes any frame by its index.

        Raises:
            ConfigError: other frames than the video's, by number or size.
        """
        expected = (self.info.frames, 3, self.info.height, self.info.width)
        if tuple(frames.shape) != expected:
            raise ConfigError(f"the frames to store are {tuple(frames.shape)}, expected {expected}")
        if encoding := self.encoding():
            with torch.no_grad(), self.evaluating(), self.in_float32():
                tables = encoded_tables(encoding, frames, self.device, self._batch_size(None))
            for name, part in encoding.items():
                part.bake(tables[name])
        if fitted is not None and len(fitted) < self.info.frames:
            for part in list[Any](self.embeddings.values()):
                if hasattr(part, "blend_unseen"):
                    part.blend_unseen(fitted)
        if self.neighbours:
            self.head.end_fitting()
        return self

    @property
    def content_neighbours(self) -> tuple[int, ...]:
        """The frames around a frame that encoders of content look at, relative to it; none once they are gone."""
        return neighbours_of(self.encoding())

    @property
    def neighbours(self) -> tuple[int, ...]:
        """The frames that the head refines a frame by, relative to it."""
        return getattr(self.head, "neighbours", ())

    def fixed_embeddings(self) -> dict[str, Tensor]:
        """The outputs of the embeddings that are the same for every frame."""
        index = torch.zeros(1, dtype=widest(self.device), device=self.device)
        return {name: part(index) for name, part in self.embeddings.items() if part.fixed}

    def outputs(self, index: Tensor, fixed: Mapping[str, Tensor] | None = None) -> list[Tensor]:
        """Return all outputs of the head for frame indices (B,), uncropped; the last one is the frame.

        Args:
            index: (B,), whole or fractional.
            fixed: outputs of embeddings that are at hand; by default those of `fixed_embeddings`.
        """
        decode = self.compiled or self.head_outputs
        fixed = self.fixed_embeddings() if fixed is None else fixed
        if not self.neighbours:
            return decode(self._here(index), fixed)
        if self.is_fitting:
            index = self._here(index)
            return self.head.aggregate(decode(index, fixed), self.head.recall(index))
        return self._refined(decode, index, fixed)

    def _here(self, index: Tensor) -> Tensor:
        """Return indices on the network's device, in a type that it has."""
        index = index.float() if widest(self.device) == torch.float32 else index
        return index.to(self.device)

    def _refined(self, decode: Callable[..., list[Tensor]], index: Tensor, fixed: Mapping[str, Tensor]) -> list[Tensor]:
        """Frames refined by their neighbours; what several of them need is decoded once."""
        indices = index[:, None] + torch.tensor([0, *self.neighbours], dtype=index.dtype, device=index.device)
        inside = ((indices >= 0) & (indices <= self.info.frames - 1)).to(self.device)
        unique, places = distinct(indices.clamp(0, self.info.frames - 1))
        if self.compiled is not None and len(index):  # for one length: of frames in a row, fewer at the video's ends
            spare = len(index) + max(0, *self.neighbours) - min(0, *self.neighbours) - len(unique)
            unique = torch.cat((unique, unique[-1:].expand(max(spare, 0))))
        outputs, places = decode(self._here(unique), fixed), places.to(self.device)
        around = outputs[0][places[:, 1:]] * inside[:, 1:, None, None, None]
        return self.head.aggregate([each[places[:, 0]] for each in outputs], around)

    def head_outputs(self, index: Tensor, fixed: Mapping[str, Tensor]) -> list[Tensor]:
        """Return the head's outputs for indices (B,) on its device, not refined yet: what `optimize` compiles."""
        embedded = {name: fixed[name] if name in fixed else part(index) for name, part in self.embeddings.items()}
        x = per_frame(self.join(*(embedded[name] for name in self._joined)), index)
        steering = {name: per_frame(embedded[name], index) for name in self._steering}
        features = []
        for stage in self.stages:
            x = stage(x, steering, self.precision)
            features.append(x)
        with computing(x.device, self.precision):
            outputs = self.head(features, *(steering[name] for name in self._headed))
            return [at_least_float32(each) for each in outputs]

    def forward(self, index: Tensor) -> Tensor:
        """Frames (B, 3, H, W), float in [0, 1], differentiable, for indices (B,), whole or fractional.

        Raises:
            FrameError: the index is no tensor of one dimension.
        """
        check_called(index)
        return self._crop(self.outputs(index)[-1])

    def objective(
        self, index: Tensor, target: Tensor, loss: Loss, around: Tensor | None = None, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return what a fit minimises: the head's objective against frames (B, 3, H, W) in [0, 1].

        Args:
            index: of the frames (B,).
            target: the frames.
            loss: a scalar of (prediction, target).
            around: their `content_neighbours` (B, A, 3, H, W); by default the frames themselves.
            weights: of pixels (B, 1, H, W) in [0, 1], by which their gradients are multiplied. Where they are 0, the
                target is the decoded frame itself, so that any loss, one of windows or of frequencies too, sees no
                difference there.

        Returns:
            The scalar objective, and the frames (B, 3, H, W) it was computed on.
        """
        with computing(target.device, self.precision):
            maps = encoded(self.encoding(), target, around)
        outputs = self.outputs(index, {**self.fixed_embeddings(), **maps})
        if self.neighbours and self.is_fitting:
            self.head.remember(self._here(index), outputs)
        cropped = self._crop(outputs[-1])
        if weights is not None:
            target = torch.where(weights > 0, target, cropped.detach())
            outputs = [self._weighted(output, weights) for output in outputs]
            cropped = self._crop(outputs[-1])
        if len(outputs) == 1:
            return self.head.objective([cropped], target, loss), cropped
        return self.head.objective(outputs, self._extend(target), loss), cropped

    def _weighted(self, output: Tensor, weights: Tensor) -> Tensor:
        """Return an output of the head whose gradients are multiplied by weights, if it is as large as the frames."""
        if tuple(output.shape[-2:]) != self.decoded_size:
            return output
        weights = self._extend(weights)
        return weights * output + (1 - weights) * output.detach()

    def _extend(self, frames: Tensor) -> Tensor:
        """Return frames (B, C, H, W) at the size that is decoded, their right and lower edges repeated."""
        margins = 0, self.decoded_size[1] - frames.shape[-1], 0, self.decoded_size[0] - frames.shape[-2]
        return F.pad(frames, margins, mode="replicate") if any(margins) else frames

    def _crop(self, frames: Tensor) -> Tensor:
        return frames[..., : self.info.height, : self.info.width]

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    @property
    def stored_numbers(self) -> int:
        """Number of stored parameters: with running statistics, and what embeddings of content store."""
        if self.is_fitting:
            with MetaParameters():
                return Network(self.config, self.info).stored_numbers
        return sum(t.numel() for t in self.state_dict().values() if t.is_floating_point())

    def stored_parameters(self) -> dict[str, nn.Parameter]:
        """Return the parameters that a file holds, by name: all but those of encoders, which only a fit has."""
        dropped = {id(parameter) for part in self.encoding().values() for parameter in part.encoder.parameters()}
        return {name: each for name, each in self.named_parameters() if id(each) not in dropped}

    def coding_hints(self) -> dict[str, CodingHint]:
        """Return how each parameter is coded, by its name in the state dict: see `enerv_zoo.coding`."""
        return coding_hints(self)

    @property
    def fixed_numbers(self) -> int:
        """Numbers that papers count as parameters, but that follow from the config and are not stored."""
        return sum(getattr(part, "fixed_numbers", 0) for part in self.embeddings.values())

    def _batch_size(self, batch_size: int | None) -> int:
        least = 2 * len(self.neighbours) or 1  # frames in a run share their neighbours
        return batch_size or max(least, pixels_per_batch(self.device) // math.prod(self.decoded_size))

    def optimize(self, precision: str = "auto", inductor: bool | None = None) -> Self:
        """Take the fastest way to decode that the device has, from here on; frames may differ in their last bits.

        Fitting and `enerv_zoo.evaluate` measure in float32 unless told otherwise; this is for watching and repeated
        use. Embeddings that are the same for every frame are computed here, once. Call it again to choose otherwise,
        or after changing weights.

        Args:
            precision: `"float32"`, `"bfloat16"`, or `"auto"` for bfloat16 where the device is made for it.
            inductor: whether `torch.compile` compiles the network at the first frame, which takes about a minute; by
                default on CUDA alone, as CPUs gain nothing from it. Where it fails, one line says so, and the network
                runs as it is.

        Returns:
            This network.
        """
        self.precision = choose_precision(precision, self.device.type)
        use_inductor = self.device.type == "cuda" if inductor is None else inductor
        self.compiled = Compiled(self.head_outputs) if use_inductor else None
        with torch.inference_mode(), self.evaluating():
            self._fixed = self.fixed_embeddings()
        return self

    def train(self, mode: bool = True) -> Self:
        """As in PyTorch; what `optimize` has computed of the weights is forgotten before they change."""
        if mode:
            self._fixed = None
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Apply what `.to`, `.half` and the like do to every tensor, encodings included."""
        dtype = fn(torch.empty(0)).dtype
        if dtype not in (torch.float32, torch.float64):
            raise ConfigError(
                f"weights stay float32, as encodings of time mean nothing in {str(dtype).removeprefix('torch.')}; "
                "video.optimize('bfloat16') decodes in half precision"
            )
        self._fixed = None  # it stays where it was when the weights move
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, Any]:
        """Without what belongs to this process alone, so that a video can be copied and sent to workers."""
        return {**self.__dict__, "compiled": None, "_fixed": None}

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """A context in which the network is one to decode with (`eval`), as exact as its device allows."""
        training = self.training
        self.eval()
        exact = plain_float32(benchmark=False) if self.device.type == "cuda" else nullcontext()
        try:
            with exact, usable_threads():
                yield
        finally:
            self.train(training)

    @contextmanager
    def in_float32(self) -> Iterator[None]:
        """A context in which the network computes in float32, as it is: what was compiled waits."""
        before = self.precision, self.compiled
        self.precision, self.compiled = "float32", None
        try:
            yield
        finally:
            self.precision, self.compiled = before

    def weights(self) -> dict[str, Tensor]:
        """The numbers that a file holds: the state dict, contiguous and on the CPU.

        Raises:
            ConfigError: it is still being fitted.
        """
        if self.is_fitting:
            raise ConfigError("this network is still being fitted; video.bake(frames) makes it the video")
        return {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
