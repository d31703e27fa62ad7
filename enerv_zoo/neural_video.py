"""`NeuralVideo`: the parts that a `ModelConfig` names, joined; and the video that they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enerv_zoo.compiling import Compiled
from enerv_zoo.config import ModelConfig, VideoInfo, size_text
from enerv_zoo.emptiness import Emptiness
from enerv_zoo.errors import ConfigError, did_you_mean
from enerv_zoo.playback import Playable, check_called
from enerv_zoo.precision import Precision, at_least_float32, choose_precision, computing, plain_float32
from enerv_zoo.registry import embeddings, heads
from enerv_zoo.stages import StageNetwork, build_fusion
from enerv_zoo.threads import usable_threads

if TYPE_CHECKING:
    from enerv_zoo.heads.rgb import Loss
    from enerv_zoo.video.origin import Origin

PIXELS_A_BATCH = {"cpu": 500_000}
PIXELS_A_BATCH_ELSEWHERE = 4 * 1280 * 720
"""Decoding draws about this many pixels at a time unless told otherwise: beyond that a CPU gains nothing
(benchmarks/decode_speed.py), and four 720p frames on other devices."""


class NeuralVideo(nn.Module, Playable):
    """A video whose frames a network draws.

    As an `nn.Module` it maps frame indices (B,), whole or fractional, to frames (B, 3, H, W), float in [0, 1]. As a
    video it has a length, frames by index (uint8, as decoders give them), timestamps and a frame rate.

    The way of a frame: every embedding maps the index to a vector or a map; `join` makes the first feature map
    (B, width, h, w) of those named in `inputs`; each stage modulates it by the embedding named `condition` and
    upsamples it; the head draws RGB. Where the strides do not divide the frame's size the network draws a little more,
    and the right and bottom margins are cropped.

    Args:
        config: the composition.
        info: the video it is for.

    Attributes:
        file_bytes: size of the compressed file that the network was read from, or `None`.
        origin: the video that it was fitted to, as far as that is known, or `None`.
        precision: `"float32"`, or `"bfloat16"` for quicker and coarser convolutions (see `compile`).

    Raises:
        ConfigError: parts that do not exist, do not fit together, or draw less than the frame.
    """

    def __init__(self, config: ModelConfig, info: VideoInfo) -> None:
        super().__init__()
        self.config = config
        self.info = info
        self.precision: Precision = "float32"
        self.file_bytes: int | None = None
        self.origin: Origin | None = None
        self._compiled: Compiled | None = None
        self._kept: dict[str, Tensor] | None = None
        stride = math.prod(stage.stride for stage in config.stages)
        self.drawn_size = (config.grid[0] * stride, config.grid[1] * stride)
        if self.drawn_size[0] < info.height or self.drawn_size[1] < info.width:
            raise ConfigError(
                f"a grid of {size_text(*config.grid)} and strides of {stride} in all draw "
                f"{size_text(*self.drawn_size)}, less than the frame {info.size_text}"
            )
        self.embeddings = nn.ModuleDict(
            {name: embeddings.build(spec, info, config.grid) for name, spec in config.embeddings.items()}
        )
        self._check_wiring()
        self.join = build_fusion(
            "join", config.join, [self.embeddings[name].shape for name in config.inputs], config.width, config.grid
        )
        condition_width = self._condition_width()
        channels = [config.width, *(stage.out_channels for stage in config.stages)]
        self.stages = nn.ModuleList(
            StageNetwork(stage, width, condition_width)
            for stage, width in zip(config.stages, channels[:-1], strict=True)
        )
        self.head = heads.build(config.head, channels[1:])
        for name in self.embeddings:
            if name not in self._used_embeddings():
                raise ConfigError(f"nothing uses the embedding {name!r}; name it in 'inputs' or 'condition'")
        self.to(memory_format=torch.channels_last)

    @classmethod
    def seeded(cls, config: ModelConfig, info: VideoInfo, seed: int, *, fitting: bool = False) -> NeuralVideo:
        """A network whose initial weights follow from `seed`; the global generator is left alone.

        Args:
            config, info: as for the class.
            seed: of the initial weights.
            fitting: whether it is about to be fitted: `start_fitting`.
        """
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # of the CPU alone: torch.manual_seed is for every device
            video = cls(config, info)
            return video.start_fitting() if fitting else video

    def _used_embeddings(self) -> list[str]:
        return [*self.config.inputs, *([self.config.condition] if self.config.condition else [])]

    def _check_wiring(self) -> None:
        for name in self._used_embeddings():
            if name not in self.embeddings:
                raise ConfigError(
                    f"no embedding is called {name!r}.{did_you_mean(name, self.embeddings)} "
                    f"There are: {', '.join(self.embeddings)}"
                )

    def _condition_width(self) -> int | None:
        if self.config.condition is None:
            return None
        shape: tuple[int, ...] = self.embeddings[self.config.condition].shape  # type: ignore[assignment]
        if len(shape) != 1:
            raise ConfigError(f"the condition {self.config.condition!r} must be a vector, its shape is {shape}")
        return shape[0]

    # ------------------------------------------------------------------ while fitting

    def _content(self) -> dict[str, Any]:
        """The embeddings that draw their numbers from frames while fitting."""
        return {name: part for name, part in self.embeddings.items() if hasattr(part, "start_encoding")}

    @property
    def is_fitting(self) -> bool:
        """Whether parts hold what only a fit needs: from `start_fitting` to `bake`, if there are such parts."""
        encoding = any(part.encoder is not None for part in self._content().values())
        return encoding or getattr(self.head, "latest", None) is not None

    def start_fitting(self) -> NeuralVideo:
        """Give parts what they need while fitting: encoders of content (random), neighbours' frames (black).

        Returns:
            This video; from here on it draws frames that are given to `objective`, and no others until `bake`.
        """
        for part in self._content().values():
            part.start_encoding()
        if self.neighbours:
            self.head.start_fitting(self.info, self.drawn_size)
        return self.to(memory_format=torch.channels_last)

    def bake(self, frames: Tensor) -> NeuralVideo:
        """End a fit: store what embeddings of content draw from the video's frames, and drop what only a fit needs.

        Args:
            frames: all of them, (N, 3, H, W), uint8 or float in [0, 1].

        Returns:
            This video, which from here on draws any frame by its index.

        Raises:
            ConfigError: other frames than the video's, by number or size.
        """
        expected = (self.info.frames, 3, self.info.height, self.info.width)
        if tuple(frames.shape) != expected:
            raise ConfigError(f"the frames to store are {tuple(frames.shape)}, expected {expected}")
        if any(part.encoder is not None for part in self._content().values()):
            for name, table in self._tables(frames).items():
                self._content()[name].bake(table)
        if self.neighbours:
            self.head.end_fitting()
        return self

    def _encode(self, frames: Tensor) -> dict[str, Tensor]:
        """What each embedding of content draws from frames (B, 3, H, W) in [0, 1]."""
        embedded = {}
        for name, part in self._content().items():
            if part.encoder is not None:
                with computing(frames.device, self.precision):
                    embedded[name] = part.encode(frames)
        return embedded

    @torch.no_grad()
    def _tables(self, frames: Tensor) -> dict[str, Tensor]:
        """What each embedding of content draws from all frames, in float32."""
        batches = []
        with self._evaluating(), self.in_float32():
            for batch in frames.split(self._batch_size(None)):
                pixels = batch.to(self.device)
                batches.append(self._encode(pixels if pixels.is_floating_point() else pixels.float() / 255))
        return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}

    @property
    def neighbours(self) -> tuple[int, ...]:
        """The frames that the head refines a frame by, relative to it."""
        return getattr(self.head, "neighbours", ())

    # ------------------------------------------------------------------ the network

    def fixed_embeddings(self) -> dict[str, Tensor]:
        """The outputs of the embeddings that are the same for every frame."""
        index = torch.zeros(1, dtype=torch.float64, device=self.device)
        return {name: part(index) for name, part in self.embeddings.items() if part.fixed}

    def outputs(self, index: Tensor, known: Mapping[str, Tensor] | None = None) -> list[Tensor]:
        """All that the head draws for frame indices (B,), uncropped; the last one is the frame.

        Args:
            index: (B,), whole or fractional.
            known: outputs of embeddings that are at hand; by default those of `fixed_embeddings`.
        """
        draw = self._compiled or self._draw
        known = self.fixed_embeddings() if known is None else known
        if not self.neighbours:
            return draw(index.to(self.device), known)
        if self.is_fitting:
            index = index.to(self.device)
            return self.head.aggregate(draw(index, known), self.head.recall(index))
        return self._refined(draw, index, known)

    def _refined(self, draw: Callable[..., list[Tensor]], index: Tensor, known: Mapping[str, Tensor]) -> list[Tensor]:
        """Frames refined by their neighbours; what several of them need is drawn once."""
        offsets = torch.tensor([0, *self.neighbours], dtype=index.dtype, device=index.device)
        wanted = index[:, None] + offsets
        inside = ((wanted >= 0) & (wanted <= len(self) - 1)).to(self.device)
        drawn_at, places = wanted.clamp(0, len(self) - 1).unique(return_inverse=True)
        drawn = draw(drawn_at.to(self.device), known)
        places = places.to(self.device)
        around = drawn[0][places[:, 1:]] * inside[:, 1:, None, None, None]
        return self.head.aggregate([each[places[:, 0]] for each in drawn], around)

    def _draw(self, index: Tensor, known: Mapping[str, Tensor]) -> list[Tensor]:
        embedded = {name: known[name] if name in known else part(index) for name, part in self.embeddings.items()}
        condition = embedded[self.config.condition] if self.config.condition else None
        if condition is not None and len(condition) != len(index):
            condition = condition.expand(len(index), -1)
        x = self.join(*(embedded[name] for name in self.config.inputs))
        if len(x) != len(index):
            x = x.expand(len(index), -1, -1, -1)
        features = []
        for stage in self.stages:
            x = stage(x, condition, self.precision)
            features.append(x)
        with computing(x.device, self.precision):
            return [at_least_float32(drawn) for drawn in self.head(features)]

    def forward(self, index: Tensor) -> Tensor:
        """Frames (B, 3, H, W), float in [0, 1], differentiable, for indices (B,), whole or fractional.

        Raises:
            FrameError: the index is no tensor of one dimension.
        """
        check_called(index)
        return self._crop(self.outputs(index)[-1])

    def objective(self, index: Tensor, target: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
        """What a fit minimises: the head's objective against frames (B, 3, H, W) in [0, 1].

        Returns:
            The scalar objective, and the frames (B, 3, H, W) it was computed on.
        """
        outputs = self.outputs(index, {**self.fixed_embeddings(), **self._encode(target)})
        if self.neighbours and self.is_fitting:
            self.head.remember(index.to(self.device), outputs)
        cropped = self._crop(outputs[-1])
        if len(outputs) > 1:
            margins = (0, self.drawn_size[1] - target.shape[-1], 0, self.drawn_size[0] - target.shape[-2])
            target = F.pad(target, margins, mode="replicate") if any(margins) else target
        else:
            outputs = [cropped]
        return self.head.objective(outputs, target, loss), cropped

    def _crop(self, frames: Tensor) -> Tensor:
        return frames[..., : self.info.height, : self.info.width]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def stored_numbers(self) -> int:
        """How many numbers a decoder needs: parameters, running statistics, and what embeddings of content store."""
        if self.is_fitting:
            with Emptiness():
                return NeuralVideo(self.config, self.info).stored_numbers
        return sum(t.numel() for t in self.state_dict().values() if t.is_floating_point())

    @property
    def fixed_numbers(self) -> int:
        """Numbers that papers count as parameters, but that follow from the config and are not stored."""
        return sum(getattr(part, "fixed_numbers", 0) for part in self.embeddings.values())

    # ------------------------------------------------------------------ the video

    @torch.inference_mode()
    def decode_float(self, indices: Sequence[float] | None = None, batch_size: int | None = None) -> Iterator[Tensor]:
        """As `decode`, but float in [0, 1], on the network's device."""
        wanted = torch.as_tensor(range(len(self)) if indices is None else indices, dtype=torch.float64)
        batch_size = self._batch_size(batch_size)
        fixed = self._kept
        for index in wanted.split(batch_size) if len(wanted) else ():
            missing = batch_size - len(index) if self._compiled else 0  # what is compiled wants equal batches
            padded = torch.cat((index, index[-1:].expand(missing))) if missing else index
            with self._evaluating():
                fixed = self.fixed_embeddings() if fixed is None else fixed
                frames = self.outputs(padded, fixed)[-1]
            yield self._crop(frames[: len(index)])

    def _batch_size(self, wanted: int | None) -> int:
        pixels = PIXELS_A_BATCH.get(self.device.type, PIXELS_A_BATCH_ELSEWHERE)
        least = 2 * len(self.neighbours) or 1  # frames in a run share their neighbours
        return wanted or max(least, pixels // math.prod(self.drawn_size))

    def compile(self, precision: str = "auto", inductor: bool | None = None) -> NeuralVideo:  # type: ignore[override]
        """Take the fastest way to draw that the device has, from here on; frames may differ in their last bits.

        Fitting and `enerv_zoo.evaluate` measure in float32 unless told otherwise; this is for watching and repeated
        use. Embeddings that are the same for every frame are computed here, once. Call it again to choose otherwise,
        or after changing weights.

        Args:
            precision: `"float32"`, `"bfloat16"`, or `"auto"` for bfloat16 where the device is made for it.
            inductor: whether `torch.compile` compiles the network at the first frame, which takes about a minute; by
                default on CUDA alone, as CPUs gain nothing from it. Where it fails, one line says so, and the network
                runs as it is.

        Returns:
            This video.
        """
        self.precision = choose_precision(precision, self.device.type)
        wanted = self.device.type == "cuda" if inductor is None else inductor
        self._compiled = Compiled(self._draw) if wanted else None
        with torch.inference_mode(), self._evaluating():
            self._kept = self.fixed_embeddings()
        return self

    def train(self, mode: bool = True) -> NeuralVideo:
        """As in PyTorch; what `compile` has computed of the weights is forgotten before they change."""
        if mode:
            self._kept = None
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> NeuralVideo:
        """What `.to`, `.half` and the like do to every tensor, encodings included."""
        dtype = fn(torch.empty(0)).dtype
        if dtype not in (torch.float32, torch.float64):
            raise ConfigError(
                f"weights stay float32, as encodings of time mean nothing in {str(dtype).removeprefix('torch.')}; "
                "video.compile('bfloat16') draws in half precision"
            )
        self._kept = None  # it stays where it was when the weights move
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, Any]:
        """Without what belongs to this process alone, so that a video can be copied and sent to workers."""
        return {**self.__dict__, "_compiled": None, "_kept": None}

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
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
        before = self.precision, self._compiled
        self.precision, self._compiled = "float32", None
        try:
            yield
        finally:
            self.precision, self._compiled = before

    def weights(self) -> dict[str, Tensor]:
        """The numbers that a file holds: the state dict, contiguous and on the CPU.

        Raises:
            ConfigError: it is still being fitted.
        """
        if self.is_fitting:
            raise ConfigError("this network is still being fitted; video.bake(frames) makes it the video")
        return {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}

    def save_pretrained(self, path: str | Path) -> Path:
        """Write the network to a folder that `enerv_zoo.load` reads: `config.json` and `model.safetensors`."""
        from enerv_zoo.hub import save

        return save(self, path)

    @classmethod
    def from_pretrained(
        cls,
        id_or_path: str | Path,
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        device: str = "cpu",
    ) -> NeuralVideo:
        """Load a fitted network from a folder or from the Hub; arguments and errors are those of `enerv_zoo.load`."""
        from enerv_zoo.hub import load

        found = load(
            id_or_path,
            device,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            token=token,
        )
        if not isinstance(found, NeuralVideo):
            raise ConfigError(f"{id_or_path}: holds a video in segments, which enerv_zoo.load gives")
        return found

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        revision: str | None = None,
        commit_message: str | None = None,
        create_pr: bool = False,
        license: str | None = None,
        token: str | bool | None = None,
    ) -> str:
        """Push the network to the Hub and give the commit's address.

        Arguments and errors are those of `enerv_zoo.push`, which pushes a fit's folder, with its numbers and recipe.
        """
        from enerv_zoo.hub import push_video

        return push_video(
            self,
            repo_id,
            private=private,
            revision=revision,
            commit_message=commit_message,
            create_pr=create_pr,
            license=license,
            token=token,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.config.family}, {len(self)} frames of {self.info.size_text}, {self.stored_numbers:,} stored numbers"
        )
