"""Families: from a video to a network that is fitted, stored and loaded."""

from __future__ import annotations

import copy
import json
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import torch

from enerv_zoo.composition import ModelConfig
from enerv_zoo.compression import compress
from enerv_zoo.config import FitConfig, VideoInfo, as_spec, from_dict, to_dict
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.loading import load
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.registry import models
from enerv_zoo.testing.parts import PartTests, random_frames
from enerv_zoo.zoo import TOLERANCE, model_config, parse_parameter_count


class FamilyTests(PartTests):
    """A family.

    Attributes:
        part: its name, or a spec of its name and options that make a small network.
        info: the video.
        size: a budget of stored parameters that it can meet for that video, or `None` if it scales no widths.
        recipe: fields of `FitConfig` that it needs.
    """

    registry = models
    info: ClassVar[VideoInfo] = VideoInfo(frames=4, height=36, width=64)
    size: ClassVar[str | None] = "100K"
    recipe: ClassVar[dict[str, Any]] = {}

    def config(self) -> ModelConfig:
        """Return the small network's composition."""
        spec = as_spec(self.part)
        return model_config(spec.pop("name"), self.info, **spec)

    def _fitter(self, seed: int = 0) -> Fitter:
        video = NeuralVideo.seeded(self.config(), self.info, seed, fitting=True)
        loader = FrameLoader(self._frames())
        fields: dict[str, Any] = {"epochs": 2, "batch_size": 2, "loss": "L2", "precision": "float32", **self.recipe}
        return Fitter(video, loader, FitConfig(**fields))

    def _frames(self) -> torch.Tensor:
        return (random_frames(self.info.frames, 3, self.info.height, self.info.width) * 255).to(torch.uint8)

    def test_it_is_a_function_of_the_video_and_its_options(self) -> None:
        config = self.config()
        assert config == self.config()
        assert from_dict(ModelConfig, json.loads(json.dumps(to_dict(config)))) == config
        for height, width in ((self.info.height, self.info.width + 2), (2 * self.info.height, 2 * self.info.width)):
            spec = as_spec(self.part)
            info = VideoInfo(frames=2, height=height, width=width)
            video = NeuralVideo(model_config(spec.pop("name"), info, **spec), info)
            assert video.decoded_size[0] >= height
            assert video.decoded_size[1] >= width

    def test_a_size_is_met(self) -> None:
        if self.size is None:
            return
        budget = parse_parameter_count(self.size)
        video = NeuralVideo(model_config(as_spec(self.part)["name"], self.info, size=self.size), self.info)
        assert abs(video.stored_numbers - budget) <= TOLERANCE * budget

    def test_a_step_changes_the_network_and_leaves_it_finite(self) -> None:
        fitter = self._fitter()
        before = copy.deepcopy(fitter.video.state_dict())
        row = fitter.fit_epoch()
        assert row["loss"] > 0
        assert fitter.healthy()
        after = fitter.video.state_dict()
        assert any(not torch.equal(after[name], before[name]) for name in after)

    def test_a_fit_goes_on_to_the_same_bits(self) -> None:
        whole, first, second = self._fitter(), self._fitter(), self._fitter(seed=1)
        first.fit_epoch()
        second.load_state_dict(copy.deepcopy(first.state_dict()))
        for fitter in (whole, whole, second):
            fitter.fit_epoch()
        ours, theirs = whole.video.state_dict(), second.video.state_dict()
        assert ours.keys() == theirs.keys()
        for name, tensor in ours.items():
            assert torch.equal(tensor, theirs[name]), f"{name} differs after going on"

    def test_what_is_stored_draws_the_same_frames(self) -> None:
        fitter = self._fitter()
        fitter.fit_epoch()
        video = fitter.video.eval().bake(self._frames())
        frames = video[:]
        assert tuple(frames.shape) == (self.info.frames, 3, self.info.height, self.info.width)
        with tempfile.TemporaryDirectory() as folder:
            video.save_pretrained(Path(folder) / "fit")
            assert torch.equal(load(Path(folder) / "fit")[:], frames)
            compress(video, Path(folder) / "fit.nvz", bits=16, measure=False)
            decoded = load(Path(folder) / "fit.nvz")[:]
        assert float((decoded.float() - frames.float()).abs().mean()) < 4, "16 bits change the frames"
