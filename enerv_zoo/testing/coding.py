"""Parts that read and write files: entropy models, anchors and code bases."""

from __future__ import annotations

import unittest
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from enerv_zoo import registry
from enerv_zoo.config import VideoInfo, as_spec
from enerv_zoo.errors import ConfigError
from enerv_zoo.evaluation.anchors import measure_codec, open_codec
from enerv_zoo.interop import import_checkpoint
from enerv_zoo.interop.codebases import choose_codebase
from enerv_zoo.nvz import MAX_LEVEL, EncodedNetwork, QuantizedTensor, decode, encode
from enerv_zoo.nvz.entropy import model_spec
from enerv_zoo.testing.golden import assert_draws, read_golden
from enerv_zoo.testing.parts import PartTests, random_frames, random_tensor
from enerv_zoo.video import Video


class EntropyModelTests(PartTests):
    """An entropy model.

    Attributes:
        tolerance: part by which `bits` may miss the bytes that `encode` makes of Laplace levels.
    """

    registry = registry.entropy_models
    tolerance: ClassVar[float] = 0.1

    def laplace(self, *shape: int, scale: float = 12.0) -> Tensor:
        """Return values of a Laplace distribution, float32."""
        uniform = torch.rand(shape, generator=torch.Generator().manual_seed(0)) - 0.5
        return -scale * uniform.sign() * torch.log1p(-2 * uniform.abs())

    def levels(self) -> list[Tensor]:
        """Return tensors of every awkward kind."""
        pruned = self.laplace(9, 4, 3, 3).round() * (random_tensor(9, 4, 3, 3) > 1)
        extremes = torch.tensor([MAX_LEVEL, -MAX_LEVEL, 0])
        several = [self.laplace(20, 30).round(), pruned, torch.zeros(3, 4), torch.full((5,), -7), torch.tensor(3)]
        return [each.to(torch.int32) for each in (*several, torch.zeros(0, 3), extremes)]

    def test_levels_come_back(self) -> None:
        for levels in self.levels():
            data = self.build().encode(levels.clone())
            assert isinstance(data, bytes)
            decoded = self.build().decode(data, tuple(levels.shape))
            assert decoded.dtype == torch.int32
            assert torch.equal(decoded, levels)

    def test_the_same_levels_give_the_same_bytes(self) -> None:
        model = self.build()
        for levels in self.levels():
            assert model.encode(levels.clone()) == self.build().encode(levels.clone())

    def test_they_come_back_from_a_file(self) -> None:
        tensors = {
            str(number): QuantizedTensor(levels.numpy(), torch.tensor(0.5).numpy(), None, model_spec(self.part))
            for number, levels in enumerate(self.levels())
        }
        read = decode(encode([EncodedNetwork({}, tensors)])).read(0).tensors
        for name, tensor in tensors.items():
            decoded = read[name]
            assert isinstance(decoded, QuantizedTensor)
            assert (decoded.levels == tensor.levels).all()
            assert decoded.entropy_model == tensor.entropy_model

    def test_bits_are_a_differentiable_estimate_of_the_bytes(self) -> None:
        values = self.laplace(100, 100).requires_grad_()
        bits = self.build().bits(values)
        assert bits.ndim == 0
        bits.backward()
        assert values.grad is not None
        assert values.grad.isfinite().all()
        assert values.grad.any(), "bits do not depend on the values"
        size = 8 * len(self.build().encode(values.detach().round().to(torch.int32)))
        assert abs(float(bits) - size) <= self.tolerance * size, f"{float(bits):,.0f} bits estimated, {size:,} written"
        narrow = self.build().bits(values.detach() / 8)
        assert float(narrow) < float(bits), "smaller values do not take fewer bits"

    def test_damaged_bytes_are_refused_or_decoded_to_that_shape(self) -> None:
        levels = self.levels()[0]
        data = self.build().encode(levels)
        for damaged in (b"", data[: len(data) // 2], data + b"\xff" * 4, bytes(len(data)), b"\xff" * len(data)):
            try:
                decoded = self.build().decode(damaged, tuple(levels.shape))
            except (ValueError, ConfigError):
                continue
            assert tuple(decoded.shape) == tuple(levels.shape)


class AnchorTests(PartTests):
    """A codec that networks are compared with.

    Attributes:
        info: frames that it can encode.
        qualities: two of its qualities, the better one first; by default the ends of its ladder.
    """

    registry = registry.anchors
    info: ClassVar[VideoInfo] = VideoInfo(frames=4, height=64, width=96, fps=25.0)
    qualities: ClassVar[Sequence[float] | None] = None

    def clip(self) -> Video:
        """Return frames that move."""
        first = random_frames(3, self.info.height, self.info.width)
        frames = torch.stack([first.roll(2 * shift, dims=-1) for shift in range(self.info.frames)])
        stored = (255 * frames).round().to(torch.uint8).contiguous(memory_format=torch.channels_last)
        return Video(stored, self.info)

    def anchor(self) -> Any:
        """Build the codec.

        Raises:
            SkipTest: it cannot be had on this machine.
        """
        anchor = open_codec(self.part).anchor
        if reason := anchor.missing():
            raise unittest.SkipTest(reason)
        return anchor

    def test_better_qualities_take_more_bytes(self) -> None:
        anchor = self.anchor()
        assert len(anchor.ladder) > 0
        assert anchor.unsupported(self.info) is None
        ends = self.qualities or (anchor.ladder[0], anchor.ladder[-1])
        good, small = measure_codec(self.part, self.clip(), ends)
        assert good.bytes > small.bytes > 0
        assert good.psnr > small.psnr > 10

    def test_bytes_decode_to_the_same_frames_every_time(self) -> None:
        anchor, clip = self.anchor(), self.clip()
        data = anchor.encode(clip, anchor.ladder[0])
        assert isinstance(data, bytes)
        first, again = (torch.stack(list(open_codec(self.part).anchor.decode(data))) for _ in range(2))
        assert first.dtype == torch.uint8
        assert first.shape == clip.frames.shape
        assert torch.equal(first, again)

    def test_its_settings_are_text(self) -> None:
        anchor = self.anchor()
        assert isinstance(anchor.unit, str)
        assert all(isinstance(word, str) for pair in anchor.settings.items() for word in pair)


class CodebaseTests(PartTests):
    """A code base whose checkpoints are imported.

    Attributes:
        info: the video of the example.
        golden: path of a golden file (`enerv_zoo.testing.golden`) of that code base, or `None`.
    """

    registry = registry.codebases
    info: ClassVar[VideoInfo]
    golden: ClassVar[str | Path | None] = None

    def example(self) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
        """Return a config and a checkpoint of this code base; by default those of the golden file."""
        if self.golden is None:
            raise NotImplementedError
        values = read_golden(self.golden)
        return values.config, values.state

    def _import(self, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Any:
        frames, height, width = self.info.frames, self.info.height, self.info.width
        name = as_spec(self.part)["name"]
        return import_checkpoint(state, codebase=name, config=config, frames=frames, height=height, width=width)

    def test_it_alone_recognises_its_own(self) -> None:
        config, state = self.example()
        assert isinstance(choose_codebase(None, config, state.keys()), type(self.build()))
        assert not self.build().recognises({}, ())

    def test_a_checkpoint_becomes_a_network_that_draws_frames(self) -> None:
        config, state = self.example()
        video = self._import(config, state)
        assert self.build().model(config, self.info) == video.config
        assert tuple(video[:].shape) == (self.info.frames, 3, self.info.height, self.info.width)
        places = self.build().tensors(video, state)
        assert places.keys() == video.state_dict().keys()

    def test_it_reproduces_the_authors_outputs(self) -> None:
        if self.golden is not None:
            values = read_golden(self.golden)
            assert_draws(self._import(values.config, values.state), values)

    def test_every_tensor_has_its_place(self) -> None:
        config, state = self.example()
        for changed in ({**state, "no.such.tensor": torch.zeros(1)}, dict(list(state.items())[1:])):
            try:
                self._import(config, changed)
            except ConfigError:
                continue
            raise AssertionError("a checkpoint with other tensors is taken")
