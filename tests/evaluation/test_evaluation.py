"""Numbers and pictures of a fitted network."""

from __future__ import annotations

import csv
import dataclasses
import json
import math

import pytest
import torch
from safetensors.torch import save_file

import enerv_zoo as ez
from enerv_zoo.errors import VideoError
from enerv_zoo.evaluation import evaluate, plot_psnr, render, write_preview
from enerv_zoo.evaluation.rendering import side_by_side
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.video import open_video

HEIGHT, WIDTH = 36, 62


def network(frames: int, height: int = HEIGHT, width: int = WIDTH, **info) -> NeuralVideo:
    described = ez.VideoInfo(frames=frames, height=height, width=width, **info)
    return ez.create_model("nerv", info=described, size="60K").eval()


@pytest.fixture(scope="module")
def original():
    generator = torch.Generator().manual_seed(1)
    return open_video(torch.randint(0, 256, (5, 3, HEIGHT, WIDTH), dtype=torch.uint8, generator=generator))


def test_psnr_is_that_of_the_networks_own_numbers(original):
    video = network(5)
    report = evaluate(video, original)
    with torch.inference_mode():
        drawn = video(torch.arange(5))
    errors = (drawn.double() - original.frames.double() / 255).square().mean((1, 2, 3))
    expected = [-10 * math.log10(e) for e in errors.tolist()]
    assert [row.psnr for row in report.frames] == pytest.approx(expected, abs=1e-4)
    assert report.psnr == pytest.approx(sum(expected) / 5, abs=1e-4)
    assert [row.frame for row in report.frames] == [0, 1, 2, 3, 4]


def test_bits_per_pixel_are_those_of_the_file(original, tmp_path):
    video = network(5)
    report = evaluate(video, original)
    save_file(video.weights(), tmp_path / "w.safetensors")
    size = (tmp_path / "w.safetensors").stat().st_size
    assert report.stored_bytes == size == (video.save_pretrained(tmp_path) / "model.safetensors").stat().st_size
    assert report.bpp == pytest.approx(8 * size / (5 * HEIGHT * WIDTH))


def test_small_frames_have_no_ms_ssim_and_say_why(original):
    report = evaluate(network(5), original)
    assert report.ms_ssim is None
    assert "62x36" in report.missing["ms_ssim"]
    assert report.frames[0].ms_ssim is None


def test_large_frames_have_ms_ssim():
    video = network(2, 162, 170)
    report = evaluate(video, torch.cat([video[:]]))
    assert report.ms_ssim == pytest.approx(1, abs=1e-3)
    assert report.psnr > 50
    assert report.missing == {}


def test_a_range_selects_frames_of_both(original):
    video = network(5)
    assert [row.frame for row in evaluate(video, original, frames="1:4:2").frames] == [1, 3]
    whole = evaluate(video, original)
    assert evaluate(video, original, frames="3").frames[0].psnr == pytest.approx(whole.frames[3].psnr, abs=1e-4)


@pytest.mark.parametrize(
    ("frames", "size", "selection", "message"),
    [
        (5, (18, 62), None, 'the fit decodes to 62x18, .* is 62x36; open it with resize="62x18"'),
        (3, (HEIGHT, WIDTH), None, 'the fit has 3 frames.*has 5.*frames="0:3"'),
        (5, (HEIGHT, WIDTH), "0:9", "'0:9' reaches beyond the video, which has 5 frames"),
        (5, (HEIGHT, WIDTH), "7:", "reaches beyond the video"),
        (5, (HEIGHT, WIDTH), "abc", "abc"),
    ],
)
def test_what_does_not_match_is_refused(original, frames, size, selection, message):
    with pytest.raises(VideoError, match=message):
        evaluate(network(frames, *size), original, frames=selection)


def test_report_files(original, tmp_path):
    report = evaluate(network(5), original)
    report.write_json(tmp_path / "r.json")
    report.write_csv(tmp_path / "r.csv")
    assert json.loads((tmp_path / "r.json").read_text())["frames"][2]["psnr"] == report.frames[2].psnr
    rows = list(csv.DictReader((tmp_path / "r.csv").open()))
    assert len(rows) == 5
    assert float(rows[4]["psnr"]) == report.frames[4].psnr
    assert rows[4]["ms_ssim"] == ""


def test_exact_frames_are_json_null(tmp_path, original):
    report = evaluate(network(5), original)
    exact = dataclasses.replace(report, scores={"psnr": math.inf})
    exact.write_json(tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["psnr"] is None


def test_render_writes_what_the_network_draws(tmp_path):
    video = network(5, fps=10.0)
    again = open_video(render(video, tmp_path / "frames"))
    assert torch.equal(again.frames, video[:])
    clip = open_video(render(video, tmp_path / "clip.mp4", frames="0:4:2"))
    assert (len(clip), clip.info.fps) == (2, 5.0)


def test_render_keeps_a_varying_rate(tmp_path):
    video = network(4, timestamps=(0.0, 0.1, 0.5, 0.6), fps=5.0)
    clip = open_video(render(video, tmp_path / "clip.mkv"))
    assert clip.info.timestamps == pytest.approx((0.0, 0.1, 0.5, 0.6), abs=2e-3)


def test_render_at_another_rate_or_speed_decodes_frames_between_frames(tmp_path, original):
    video = network(4, fps=10.0)
    between = torch.cat(list(video.decode([0, 0.5, 1, 1.5, 2, 2.5, 3, 3])))  # the last one stands until its end
    faster = open_video(render(video, tmp_path / "faster.mkv", fps=20, quality=0))
    assert (len(faster), faster.info.fps) == (8, 20.0)
    assert torch.equal(open_video(render(video, tmp_path / "slow", speed=0.5)).frames, between)
    assert torch.equal(open_video(render(video, tmp_path / "two", fps=5, frames="1:")).frames, video[[1, 3]])
    varying = network(3, timestamps=(0.0, 0.1, 0.5), fps=5.0)
    shown = open_video(render(varying, tmp_path / "even", fps=10)).frames
    assert torch.equal(shown, torch.cat(list(varying.decode([0, 1, 1.25, 1.5, 1.75, 2, 2]))))
    folder = network(3)  # no rate: it is shown at the one that is asked for
    assert len(open_video(render(folder, tmp_path / "folder.mp4", fps=50))) == 3
    for options, message in (
        ({"fps": 15, "source": open_video(original, frames="0:4")}, "no frames between its frames"),
        ({"fps": 15, "frames": "::2"}, "range without a step"),
        ({"speed": 0}, "above 0"),
    ):
        with pytest.raises(VideoError, match=message):
            render(video, tmp_path / "refused", **options)


def test_render_side_by_side(tmp_path, original):
    video = network(5)
    shown = open_video(render(video, tmp_path / "compare", source=original, frames="2:"))
    assert shown.frames.shape == (3, 3, HEIGHT, 3 * WIDTH)
    assert torch.equal(shown.frames[0], side_by_side(original.frames[2], video[2]))
    assert torch.equal(shown.frames[0][..., :WIDTH], original.frames[2])


def test_preview_shows_up_to_four_frames(tmp_path, original):
    preview = open_video(write_preview(network(5), original, tmp_path / "p.png"))
    assert preview.frames.shape == (1, 3, 4 * (HEIGHT + 6), 3 * (WIDTH + 6))
    still = open_video(original, frames="0")
    assert open_video(write_preview(network(1), still, tmp_path / "s.png")).frames.shape[2] == HEIGHT + 6


def test_psnr_curve(tmp_path):
    rows = [{"epoch": i + 1, "psnr": 20.0 + i} for i in range(5)]
    path = plot_psnr({"a": rows, "b": [], "c": [{"epoch": 1, "psnr": None}]}, tmp_path / "psnr.png")
    picture = open_video(path).frames[0]
    assert picture.float().std() > 10
