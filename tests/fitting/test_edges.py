"""Whole fits of videos that are out of the ordinary: read, fitted, measured, rendered, read again."""

from __future__ import annotations

import av
import numpy as np
import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.video import write_image


def scene(count: int, height: int, width: int) -> torch.Tensor:
    """Frames of a gradient that moves, (N, 3, H, W) uint8."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    moments = torch.arange(count) / max(count, 2)
    frames = torch.stack([torch.stack(((x + t) % 1, (y + t) % 1, x * y)) for t in moments])
    return (frames * 255).round().to(torch.uint8)


def ten_bit(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=24, options={"x265-params": "log-level=none"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        for frame in scene(3, 48, 64):
            picture = av.VideoFrame.from_ndarray(frame.permute(1, 2, 0).contiguous().numpy(), format="rgb24")
            container.mux(stream.encode(picture.reformat(format="yuv420p10le")))
        container.mux(stream.encode(None))
    return path


def without_rate(path):
    with av.open(str(path), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in scene(3, 48, 64):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.permute(1, 2, 0).contiguous().numpy())))
        container.mux(stream.encode(None))
    return path


def still(path):
    return write_image(path.with_suffix(".png"), scene(1, 40, 30)[0])


def grey(_):
    return np.arange(4 * 24 * 40).astype(np.uint8).reshape(4, 24, 40)


def rgba(_):
    return torch.cat((scene(2, 24, 40), torch.zeros(2, 1, 24, 40, dtype=torch.uint8)), dim=1)


CASES = {
    "one frame": (still, (1, 40, 30)),
    "1366x768": (lambda _: scene(1, 768, 1366), (1, 768, 1366)),
    "854x480": (lambda _: scene(2, 480, 854), (2, 480, 854)),
    "175x131": (lambda _: scene(3, 131, 175), (3, 131, 175)),
    "33x17": (lambda _: scene(3, 17, 33), (3, 17, 33)),
    "640x272": (lambda _: scene(2, 272, 640), (2, 272, 640)),
    "portrait": (lambda _: scene(2, 160, 90), (2, 160, 90)),
    "grey": (grey, (4, 24, 40)),
    "RGBA": (rgba, (2, 24, 40)),
    "10 bit": (lambda folder: ten_bit(folder.with_suffix(".mp4")), (3, 48, 64)),
    "no frame rate": (lambda folder: without_rate(folder.with_suffix(".h264")), (3, 48, 64)),
}


@pytest.mark.parametrize("case", CASES)
def test_fit_measure_and_render(case, tmp_path):
    make, (count, height, width) = CASES[case]
    source = make(tmp_path / "source")
    result = ez.fit(source, "enerv", size="100K", epochs=1, batch_size=2, lr=5e-3, out=tmp_path / "fit")
    assert (len(result.video), result.video.info.height, result.video.info.width) == (count, height, width)
    assert result.report.psnr > 3
    assert (result.report.ms_ssim is None) == (min(height, width) <= 160)
    video = ez.load(tmp_path / "fit")
    assert torch.equal(video[:], result.video[:])
    rendered = ez.open_video(ez.render(video, tmp_path / "clip.mp4"))
    assert rendered.frames.shape == (count, 3, height + height % 2, width + width % 2)
