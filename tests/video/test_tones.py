"""HDR and wide colours become SDR where that is asked for."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.config import HD, Colour
from enerv_zoo.errors import ConfigError
from enerv_zoo.storage import open_run
from enerv_zoo.storage.record import check_selection
from enerv_zoo.video import open_video, write_video
from enerv_zoo.video.scenes import survey
from enerv_zoo.video.tones import GAMMA, WHITE, hlg_light, pq_light, pq_signal, to_sdr

from .test_colour import HLG, PQ, patches, tags


def test_light_is_that_of_the_standards() -> None:
    grey_and_white = torch.tensor([26.0, 203.0])  # BT.2408, table 1
    assert (pq_light(torch.tensor([0.38, 0.58])) - grey_and_white).abs().div(grey_and_white).max() < 0.02
    assert (hlg_light(torch.tensor([[0.38] * 3, [0.75] * 3]))[:, 0] - grey_and_white).abs().max() < 0.5
    assert pq_light(torch.tensor([0.0, 1.0])).tolist() == pytest.approx([0, 10_000])
    light = torch.logspace(-1, 4, 50)
    assert ((pq_light(pq_signal(light)) - light) / light).abs().max() < 1e-3


@pytest.mark.parametrize("colour", [PQ, HLG], ids=["PQ", "HLG"])
def test_tones_are_compressed_above_the_knee_alone(colour: Colour) -> None:
    levels = torch.linspace(0, 1, 201)
    greys = to_sdr(levels[:, None].expand(-1, 3), colour)
    assert (greys - greys[:, :1]).abs().max() < 1e-4
    light = (pq_light(levels) if colour == PQ else hlg_light(levels[:, None].expand(-1, 3))[:, 0]).clamp(max=1000)
    sdr = WHITE * greys[:, 0] ** GAMMA
    low = light < 85
    assert (sdr - light)[low].abs().max() < 0.05
    assert (sdr <= light + 0.05).all()
    assert (sdr.diff() >= -1e-3).all()
    assert sdr[light >= 999.5] == pytest.approx(WHITE, rel=1e-4)
    assert 150 < sdr[(light - 203).abs().argmin()] < 170  # HDR's reference white leaves room above it
    bright = to_sdr(torch.tensor([[0.7, 0.6, 0.65]]), PQ)[0] ** GAMMA  # within BT.709, so that nothing is clipped
    before = pq_light(torch.tensor([[0.7, 0.6, 0.65]]))
    plain = to_sdr(pq_signal(before / 50), PQ)[0] ** GAMMA
    assert torch.allclose(bright / bright.max(), plain / plain.max(), atol=2e-3)  # of one hue


def test_wide_colours_of_sdr_change_their_primaries_alone() -> None:
    pixels = torch.tensor([[255, 255, 255], [100, 100, 100], [200, 100, 60], [255, 0, 0]], dtype=torch.uint8)
    sdr = to_sdr(pixels, Colour("smpte432"))
    assert torch.allclose(sdr[:2], pixels[:2] / 255, atol=2e-4)
    assert sdr[2, 0] ** GAMMA == pytest.approx(0.6600, abs=1e-3)  # 1.2249 of red, -0.2249 of green
    assert sdr[3].tolist() == [1, 0, 0]


def test_hdr_is_read_as_sdr(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    path = write_video(tmp_path / "clip.mp4", patches(), colour=PQ, quality=0)
    coded = open_video(path)
    assert "is kept" in caplog.text
    caplog.clear()
    video = open_video(path, tone_map=True, resize="32x24")
    assert "clip: colours of bt2020/smpte2084, matrix bt2020nc, 10 bits are converted to SDR" in caplog.text
    assert "is kept" not in caplog.text
    assert (video.frames.dtype, video.info.colour) == (torch.uint8, HD)
    assert survey(path, tone_map=True, resize="32x24", scenes=False).info == video.info
    expected = to_sdr(coded.frames.permute(0, 2, 3, 1), PQ).permute(0, 3, 1, 2)
    deep = open_video(path, tone_map=True, full_depth=True)
    assert deep.frames.dtype == torch.float16
    assert (deep.frames.float() - expected).abs().max() < 6e-3  # float16 of dark codes
    rounded = (expected * 255).round().byte()
    assert (open_video(path, tone_map=True, full_depth=False).frames.int() - rounded).abs().max() <= 2
    assert torch.equal(open_video(coded, tone_map=True).frames, rounded)
    assert torch.equal(open_video("bunny", frames="0", tone_map=True).frames, open_video("bunny", frames="0").frames)
    assert "bunny: is SDR already" in caplog.text
    with pytest.raises(ConfigError, match="tone_map is true or false, got 'hable'"):
        ez.fit(path, tone_map="hable")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"option 'tone_map': .* boolean, got 'hable'"):
        check_selection({"video": {"tone_map": "hable"}}, "fit.json")


def test_a_fit_of_hdr_is_rendered_as_sdr(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_video(tmp_path / "clip.mp4", patches(), colour=HLG, quality=0)
    fitted = ez.create_model("nerv", info=open_video(path).info, size="60K").eval()
    assert tags(ez.render(fitted, tmp_path / "hdr.mp4")) == HLG
    assert tags(ez.render(fitted, tmp_path / "sdr.mp4", tone_map=True)) == HD
    beside = open_video(ez.render(fitted, tmp_path / "beside", tone_map=True, source=path)).frames
    decoded = torch.cat(list(fitted.decode(dtype=torch.float16))).permute(0, 2, 3, 1)
    assert torch.equal(beside[..., 64:128], to_sdr(decoded, HLG).permute(0, 3, 1, 2).mul(255).round().byte())
    assert (beside[..., :64].int() - open_video(path, tone_map=True).frames).abs().max() <= 1
    ez.fit(path, "nerv", size="60K", epochs=1, loss="L2", tone_map=True, out=tmp_path / "fit")
    run = open_run(tmp_path / "fit")
    assert run.description.video.colour == run.original().info.colour == HD
    assert run.record["video"] == {"tone_map": True}
    sdr = ez.load(run.path)
    assert tags(ez.render(sdr, tmp_path / "same.mp4", tone_map=True, source=path)) == HD
    assert "the fit is SDR" not in caplog.text
    ez.evaluate(sdr, path, metrics="psnr")
    assert "the fit is SDR, 'clip' is bt2020/arib-std-b67, matrix bt2020nc, 10 bits; open it with" in caplog.text
