"""What a user writes, which type checkers in their strict modes accept. It is checked, and not run."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

import enerv_zoo as ez


def difference(prediction: Tensor, target: Tensor) -> Tensor:
    return (prediction - target).abs().mean()


def fit_and_look(folder: Path) -> float:
    result = ez.fit(
        "bunny",
        model="enerv",
        size="0.3M",
        frames="0:8",
        resize="128x72",
        square_pixels=True,
        epochs=5,
        batch_size=4,
        lr=5e-3,
        loss={"L1": 0.7, "SSIM": 0.3},
        betas=(0.9, 0.99),
        time_budget=None,
        precision="bfloat16",
        out=folder,
    )
    video: ez.NeuralVideo = result.video
    first: Tensor = video[0]
    several: Tensor = video[2:5]
    picked: Tensor = video[[1, -1]]
    by_tensor: Tensor = video[torch.tensor([0, 1])]
    timed: Tensor = video.get_frames_played_at([0.0, 0.1]).data
    count: int = len(video) + len(several) + len(picked) + len(by_tensor) + len(timed)
    drawn: Tensor = video(torch.arange(2))
    seconds: tuple[float, ...] = video.timestamps
    for frame in video:
        first = torch.maximum(first, frame)
    rows: list[str] = [str(row) for row in result.history]
    again = ez.fit("bunny", video, loss=difference, init_from=folder, epochs=1)
    print(count, drawn.shape, seconds, rows, again.metrics["psnr"], ez.list_models("enerv*"))
    return float(first.float().mean())


def measure(folder: Path) -> float | None:
    video = ez.load(folder)
    size: str = video.info.size_text
    original = ez.open_video("bunny", frames=slice(0, 8), resize=(72, 128))
    report = ez.evaluate(video, original, frames="0:2")
    written: Path = ez.render(video, folder / "video.mp4", fps=25.0)
    if isinstance(video, ez.SegmentedVideo):
        print(len(video.segments))
    else:
        print(video.config.family)
    print(size, written, report.bpp, report.fps)
    video.save_pretrained(folder / "copy")
    return report.psnr


def train_on(video: ez.NeuralVideo | ez.SegmentedVideo) -> Tensor:
    loader = DataLoader(video, batch_size=4, shuffle=True)
    total = torch.zeros(())
    for batch in loader:
        total = total + batch.float().mean()
    return total


def make_small(folder: Path) -> int:
    made = ez.compress(folder, folder / "bunny.nvz", bits=6, data="bunny", device="cpu")
    curves = ez.rate_distortion("bunny", ["enerv"], out=folder / "rd", sizes=["0.3M"], epochs=2, frames="0:4")
    table = ez.compare("bunny", ["nerv", "enerv"], out=folder / "compare", size="0.3M", epochs=2, recipe="quick")
    parts = ez.fit_segments("bunny", out=folder / "parts", segments=2, epochs=1, resize="64x36")
    model = ez.create_model("enerv", frames=132, height=720, width=1280, size="3M")
    config = ez.FitConfig(epochs=3, loss={"name": "charbonnier", "eps": 0.01})
    points = [(point.bpp, point.psnr) for point in ez.measure_codec("x264:preset=veryslow,gop=250", "bunny")]
    print(ez.bd_rate(points, points, method="pchip"))
    curves.write(folder / "rd.pdf")
    print(len(curves.curves), table["nerv"]["psnr"], parts.video.info, model.stored_numbers, config.epochs)
    try:
        ez.load("nowhere")
    except ez.EnervZooError as error:
        print(error)
    return made.bytes
