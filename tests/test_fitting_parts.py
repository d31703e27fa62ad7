"""Parts that hold something only while fitting: encoders of content, neighbours' frames."""

from __future__ import annotations

import pickle

import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.config import FitConfig
from enerv_zoo.errors import ConfigError
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.zoo import model_config

OPTIONS = {
    "dnerv": {"c1": 4, "c2": 8, "d": 4},
    "hnerv": {"fc_dim": 8, "enc_dim": [8, 4], "lower_width": 4},
    "hnerv_boost": {"fc_dim": 8, "enc_dim": [8, 4], "lower_width": 4, "ch_t": 4},
    "ffnerv": {"fc_dim": 4, "expansion": 1, "lower_width": 4, "t_dim": [2, 4]},
}


@pytest.fixture(scope="module")
def clip():
    return ez.open_video("bunny", frames="0:5", resize="64x36")


def fitter(name: str, clip, seed: int = 0) -> Fitter:
    config = model_config(name, clip.info, **OPTIONS[name])
    video = NeuralVideo.seeded(config, clip.info, seed, fitting=True)
    return Fitter(
        video, FrameLoader(clip.frames), FitConfig(epochs=3, batch_size=2, lr=1e-3, loss="L2", precision="float32")
    )


@pytest.mark.parametrize("name", OPTIONS)
def test_a_fit_that_ends_leaves_a_video_like_any_other(name, clip, tmp_path):
    result = ez.fit(
        clip, name, model_options=OPTIONS[name], epochs=2, batch_size=2, loss="L2", eval_every=1, out=tmp_path / "run"
    )
    video = result.video
    assert not video.is_fitting
    again = ez.load(tmp_path / "run")
    assert torch.equal(again[1:4], video[1:4])
    assert again.stored_numbers == video.stored_numbers == result.metrics["stored_numbers"]
    assert not any("encoder" in key or "latest" in key for key in again.state_dict())
    assert result.history[-1]["eval_psnr"] == pytest.approx(result.metrics["psnr"], abs=1e-3)
    assert again(torch.tensor([1.5])).shape == (1, 3, 36, 64)


@pytest.mark.parametrize("name", OPTIONS)
def test_while_fitting_it_says_so_and_is_not_saved(name, clip, tmp_path):
    video = fitter(name, clip).video
    assert video.is_fitting
    expected = NeuralVideo(video.config, video.info).stored_numbers
    assert video.stored_numbers == expected
    with pytest.raises(ConfigError, match="still being fitted"):
        video.save_pretrained(tmp_path / "early")
    assert not (tmp_path / "early" / "config.json").exists()
    twin = pickle.loads(pickle.dumps(video))
    assert twin.is_fitting
    with pytest.raises(ConfigError, match=r"the frames to store are \(4, 3, 36, 64\), expected \(5, 3, 36, 64\)"):
        twin.bake(clip.frames[:4])
    baked = twin.bake(clip.frames)
    assert not baked.is_fitting
    assert baked.stored_numbers == expected
    assert baked[0].shape == (3, 36, 64)


def test_content_is_what_the_encoder_draws_and_is_blended_between_frames(clip):
    video = fitter("hnerv", clip).video
    part = video.embeddings["content"]
    with pytest.raises(ConfigError, match="bake the frames first"):
        video[0]
    with torch.no_grad():
        drawn = part.encode(clip.frames[:2].float() / 255)
    video.bake(clip.frames)
    with torch.no_grad():
        table = part(torch.tensor([0.0, 1.0, 0.25, -3.0], dtype=torch.float64))
    torch.testing.assert_close(table[:2], drawn, rtol=0, atol=1e-6)
    torch.testing.assert_close(table[2], 0.75 * table[0] + 0.25 * table[1], rtol=0, atol=1e-6)
    assert torch.equal(table[3], table[0])
    with pytest.raises(ConfigError, match="no encoder any more"):
        part.encode(clip.frames[:1] / 255)


def test_frames_that_strides_do_not_divide_are_encoded(clip):
    odd = ez.open_video("bunny", frames="0:3", resize="61x35")
    config = model_config("hnerv", odd.info, **OPTIONS["hnerv"], enc_strds=[4, 4], dec_strds=[4, 4])
    video = NeuralVideo.seeded(config, odd.info, 0, fitting=True).bake(odd.frames)
    assert video.embeddings["content"].shape == (4, 3, 4)
    assert video[0].shape == (3, 35, 61)


def test_neighbours_are_drawn_once_whatever_is_asked(clip):
    """FFNeRV needs no state to draw: a frame is the same alone, in any company, and in any order."""
    video = fitter("ffnerv", clip).video.bake(clip.frames)
    drawn: list[int] = []
    video.head.register_forward_hook(lambda head, inputs, outputs: drawn.append(len(outputs[0])))
    together = torch.cat(list(video.decode_float([0, 1, 2, 3, 4], batch_size=5)))
    assert drawn == [5]
    alone = torch.cat(list(video.decode_float([3, 0], batch_size=1)))
    assert drawn[1:] == [4, 3]  # 1 2 3 4 and the black one after the end; 0 1 2
    torch.testing.assert_close(alone, together[[3, 0]], rtol=0, atol=1e-5)


def test_what_is_compiled_for_one_length_gets_frames_in_a_row_in_that_length(clip):
    """Though those at the ends of the video have fewer neighbours."""
    video = fitter("ffnerv", clip).video.bake(clip.frames)
    expected = torch.cat(list(video.decode_float(range(5), batch_size=2)))
    lengths: list[int] = []

    def compiled(index, fixed):
        lengths.append(len(index))
        return video.head_outputs(index, fixed)

    video.compiled = compiled
    drawn = torch.cat(list(video.decode_float(range(5), batch_size=2)))
    torch.testing.assert_close(drawn, expected, rtol=0, atol=1e-5)
    assert len(lengths) == 3
    assert len(set(lengths)) == 1


def test_an_encoder_whose_strides_do_not_suit_the_decoder_is_refused(clip):
    with pytest.raises(ConfigError, match="no multiple of the decoder's"):
        model_config("hnerv", clip.info, enc_strds=[3, 3], dec_strds=[4, 4])
