"""Metrics against independent implementations: FFmpeg's filters, scikit-image, piq, and programs for VMAF."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import nn

import enerv_zoo as ez
from enerv_zoo import registry
from enerv_zoo.errors import ConfigError
from enerv_zoo.metrics.peak_signal import KB, KR


def build(name, **options):
    return registry.metrics.build({"name": name, **options})


@pytest.fixture(scope="module")
def clip():
    """Six frames, and blurred ones with noise: 176x192, 8 bits."""
    target = ez.open_video("bunny", frames="0:6", resize="192x176").frames
    blurred = torch.nn.functional.avg_pool2d(target.float(), 3, 1, 1, count_include_pad=False)
    noise = 9 * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    return (blurred + noise).round().clamp(0, 255).to(torch.uint8), target


@pytest.fixture(scope="module")
def ffmpeg(tmp_path_factory):
    """Return the rows of one of FFmpeg's filters over two clips (N, 3, H, W) in three planes, uint8."""
    program = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()

    def rows(filter, pixel_format, *clips):
        folder = tmp_path_factory.mktemp("ffmpeg")
        arguments = [program, "-v", "error"]
        for number, frames in enumerate(clips):
            frames.contiguous().numpy().tofile(folder / f"{number}.raw")
            size = f"{frames.shape[3]}x{frames.shape[2]}"
            arguments += ["-f", "rawvideo", "-pix_fmt", pixel_format, "-s", size, "-i", f"{number}.raw"]
        subprocess.run([*arguments, "-lavfi", f"{filter}=stats_file=x.txt", "-f", "null", "-"], cwd=folder, check=True)
        pairs = ([word.partition(":") for word in line.split()] for line in (folder / "x.txt").read_text().splitlines())
        return [{key: float(value) for key, _, value in row if value.replace(".", "").isdigit()} for row in pairs]

    return rows


def test_psnr_is_that_of_ffmpeg(ffmpeg, clip):
    prediction, target = (frames[:, [1, 2, 0]] for frames in clip)  # as gbrp has planes
    theirs = [row["psnr_avg"] for row in ffmpeg("psnr", "gbrp", prediction, target)]
    ours = build("psnr")(*(frames / 255 for frames in clip))
    assert ours.tolist() == pytest.approx(theirs, abs=0.006)


def test_psnr_of_planes_is_that_of_ffmpeg(ffmpeg):
    generator = torch.Generator().manual_seed(1)
    yuv = [torch.randint(100, 156, (3, 3, 32, 48), generator=generator, dtype=torch.uint8) for _ in range(2)]
    rgb = []
    for frames in yuv:
        y, u, v = (
            (plane.double() - offset) / 255 for plane, offset in zip(frames.unbind(1), (0, 128, 128), strict=True)
        )
        red, blue = y + (2 - 2 * KR) * v, y + (2 - 2 * KB) * u
        rgb.append(torch.stack([red, (y - KR * red - KB * blue) / (1 - KR - KB), blue], 1).float())
    theirs = ffmpeg("psnr", "yuvj444p", *yuv)
    assert build("psnr_y")(*rgb).tolist() == pytest.approx([row["psnr_y"] for row in theirs], abs=0.006)
    weighted = [(6 * row["psnr_y"] + row["psnr_u"] + row["psnr_v"]) / 8 for row in theirs]
    assert build("psnr_yuv")(*rgb).tolist() == pytest.approx(weighted, abs=0.006)


def test_ssim_is_that_of_scikit_image_and_ms_ssim_that_of_piq(clip):
    metrics, piq = pytest.importorskip("skimage.metrics"), pytest.importorskip("piq")
    prediction, target = (frames[:2].float() / 255 for frames in clip)
    theirs = [
        metrics.structural_similarity(
            *pair, channel_axis=0, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for pair in zip(prediction.double().numpy(), target.double().numpy(), strict=True)
    ]
    assert build("ssim")(prediction, target).tolist() == pytest.approx(theirs, abs=2e-5)
    theirs = piq.multi_scale_ssim(prediction, target, reduction="none")
    torch.testing.assert_close(build("ms_ssim")(prediction, target), theirs, rtol=0, atol=1e-4)


def test_the_worst_tile_is_where_the_error_is():
    target = torch.full((2, 3, 150, 200), 0.5)
    prediction = target.clone()
    prediction[0, :, 70:80, 130:140] += 0.1  # in the tile from x 128, y 64
    prediction[1, 1, 149, 199] += 0.3  # in the corner, which has 22 x 8 pixels
    metric = build("worst_tile")
    errors = [0.01 * 100 / 64**2, 0.09 / 3 / (22 * 8)]
    assert metric(prediction, target).tolist() == pytest.approx([-10 * np.log10(error) for error in errors], abs=1e-3)
    assert metric.places(prediction, target).tolist() == [[128, 64], [192, 128]]
    assert build("worst_tile", side=50).places(prediction, target).tolist() == [[100, 50], [150, 100]]
    with pytest.raises(ConfigError, match="1 pixel or more, got 0"):
        build("worst_tile", side=0)


def test_flicker_is_the_error_of_changes_alone():
    target = torch.rand(4, 3, 20, 30, generator=torch.Generator().manual_seed(2))
    assert float(build("flicker")(target + 0.2, target)) == pytest.approx(0, abs=1e-4), "an error that stands still"
    waves = 0.1 * torch.tensor([1.0, -1, 1, -1])[:, None, None, None]
    assert float(build("flicker")(target + waves, target)) == pytest.approx(255 * 0.2, rel=1e-5)
    assert build("flicker").missing(ez.VideoInfo(1, 20, 30)) == "flicker needs two frames or more"


# ---------------------------------------------------------------------- deep features


@cache
def features(name):
    """Return the first layers of a network of torchvision's with weights that follow from a seed."""
    import torchvision.models as models

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        if name == "alexnet":
            return models.AlexNet().features
        return models.vgg.make_layers(models.vgg.cfgs["D"])


@pytest.fixture
def random_networks(monkeypatch):
    """Networks with random features in place of those that are downloaded, for torchmetrics and piq."""
    pytest.importorskip("torchmetrics")
    piq = pytest.importorskip("piq.perceptual")
    import torchmetrics.functional.image.dists as theirs
    import torchvision.models as models

    def network(name):
        def build(**options):
            whole = nn.Module()
            whole.features = features(name)
            return whole

        return build

    here = Path(theirs.__file__).parent
    lpips = torch.load(here / "lpips_models/vgg.pth", map_location="cpu", weights_only=True)
    files = {
        "lpips_weights.pt": [lpips[f"lin{number}.model.1.weight"] for number in range(5)],
        "dists_weights.pt": torch.load(here / "dists_models/weights.pt", weights_only=True),
    }
    monkeypatch.setattr(models, "alexnet", network("alexnet"))
    for module in (models, theirs, piq):
        monkeypatch.setattr(module, "vgg16", network("vgg16"))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda url, **_: files.get(url.rpartition("/")[2]))


def test_lpips_and_dists_are_those_of_piq(random_networks, clip):
    import piq

    prediction, target = (frames[:2, :, 60:100, 60:108].float() / 255 for frames in clip)
    with torch.no_grad():
        ours = build("dists")(prediction, target)
        torch.testing.assert_close(
            ours, piq.DISTS(reduction="none")(prediction, target).flatten(), rtol=1e-4, atol=1e-6
        )
        ours = build("lpips", network="vgg")(prediction, target)
        theirs = piq.LPIPS(reduction="none", mean=[0.485, 0.458, 0.408])(prediction, target).flatten()
        torch.testing.assert_close(ours, theirs, rtol=2e-2, atol=1e-6)  # means of colours differ in the third digit
        alex = build("lpips")
        assert alex(target, target).tolist() == [0, 0]
        assert (alex(prediction, target) > 0).all()
        assert build("dists")(target[:1], target[:1]).shape == (1,)
    assert "at least 32 pixels" in alex.missing(ez.VideoInfo(2, 31, 200))


def test_weights_that_cannot_be_had_are_an_error_before_the_fit(cli, monkeypatch, tmp_path):
    pytest.importorskip("torchmetrics")

    def offline(url, **options):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    asked = ("--metrics", "psnr,lpips", "--model", "nerv", "--size", "60K", "--frames", "0:3", "--resize", "64x36")
    code, _, error = cli("fit", "bunny", "--out", tmp_path / "run", "--epochs", 1, *asked)
    assert code == 1
    for word in (
        "metric 'lpips'",
        "https://download.pytorch.org/models/alexnet",
        "no route to host",
        "go online, or put",
    ):
        assert word in error
    assert not (tmp_path / "run/history.jsonl").exists()


# ---------------------------------------------------------------------- VMAF


@pytest.fixture
def only(monkeypatch, tmp_path):
    """A PATH with nothing but what is put there."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def test_vmaf_by_ffmpeg_on_the_path_or_of_a_package(clip, only):
    program = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    prediction, target = (frames[..., :175, :].float() / 255 for frames in clip)
    bundled = build("vmaf")
    assert bundled._command[0] == program
    score = float(bundled(prediction, target))
    reading, writing = os.pipe()
    os.write(writing, b"q\n" * 100)
    before = os.dup(0)
    os.dup2(reading, 0)
    try:
        assert float(bundled(prediction, target)) == score, "no key of the terminal's ends it"
        assert os.read(0, 1 << 10) == b"q\n" * 100, "which are the caller's"
    finally:
        os.dup2(before, 0)
        for each in (reading, writing, before):
            os.close(each)
    assert 5 < score < 95
    assert float(bundled(target, target)) > 95
    (only / "ffmpeg").symlink_to(program)
    by_path = build("vmaf")
    assert by_path._command[0] == str(only / "ffmpeg")
    assert float(by_path(prediction, target)) == score
    with pytest.raises(ConfigError, match=r"gave no score.*vmaf_v9"):
        build("vmaf", model="vmaf_v9")(prediction, target)
    with pytest.raises(ConfigError, match="version such as"):
        build("vmaf", model="a:b=c")


def test_vmaf_by_its_own_program(only):
    """A program that takes the arguments of `vmaf`, reads both files and writes its JSON."""
    (only / "vmaf").write_text(
        "#!/usr/bin/python3\n"
        "import json, sys\n"
        "names = dict(zip(sys.argv[1::2], sys.argv[2::2]))\n"
        "first, second = (open(names[key], 'rb').read() for key in ('-d', '-r'))\n"
        "head = b'YUV4MPEG2 W5 H3 F25:1 Ip A1:1 C420jpeg\\n'\n"
        "assert first.startswith(head) and len(first) == len(head) + 2 * (6 + 15 + 2 * 2 * 3)\n"
        "score = {'mean': first[len(head) + 6] + second[-1] / 1000}\n"
        "json.dump({'pooled_metrics': {'vmaf': score}}, open(sys.argv[-1], 'w'))\n"
    )
    (only / "vmaf").chmod(0o755)
    score = build("vmaf")(torch.ones(2, 3, 3, 5), torch.zeros(2, 3, 3, 5))
    assert float(score) == pytest.approx(235.128), "white, in limited range"


def test_no_program_for_vmaf_is_an_error(only, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ConfigError, match="nothing here computes it: put an FFmpeg with libvmaf, or the program vmaf"):
        build("vmaf")
