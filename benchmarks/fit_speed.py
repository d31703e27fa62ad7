"""Speed and memory of fitting: `enerv_zoo` against a plain float32 PyTorch loop of the kind that papers publish.

Both fit the same network with the same batches, loss and optimiser. The plain loop decodes the PNG of a frame whenever
it needs it, keeps PyTorch's default layout, takes SSIM from pytorch_msssim, reads the loss back at every step, and
computes PSNR and (where the size allows) MS-SSIM of what it drew at every step.

    python benchmarks/fit_speed.py --size 1.5M --resolution 640x360 --frames 4
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy
import pytorch_msssim
import torch
from common import Case, height_width, network, parse_case, plain_network, publish, take_turns
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from enerv_zoo.config import FitConfig
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.metrics import why_no_ms_ssim
from enerv_zoo.video import open_video

EPOCHS = 300


def frames_of(case: Case) -> Tensor:
    return open_video("bunny", frames=f"0:{case['frames']}", resize=case["resolution"]).frames


def enerv_zoo_epochs(case: Case) -> Callable[[], object]:
    """A function that fits one epoch with this package."""
    config = FitConfig(epochs=EPOCHS, batch_size=case["batch"], precision=case["precision"])
    return Fitter(network(case), FrameLoader(frames_of(case), case["device"]), config).fit_epoch


class PNGFolder(Dataset):
    """The frames as files: item i is (i, frame i in [0, 1])."""

    def __init__(self, frames: Tensor) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.paths = [Path(self.folder.name) / f"{i:05d}.png" for i in range(len(frames))]
        for path, frame in zip(self.paths, frames, strict=True):
            Image.fromarray(frame.permute(1, 2, 0).numpy()).save(path)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[int, Tensor]:
        with Image.open(self.paths[index]) as image:
            pixels = torch.from_numpy(numpy.array(image.convert("RGB")))
        return index, pixels.permute(2, 0, 1).contiguous().float() / 255


class PlainLoop:
    """Fits as published loops do; `epoch` runs one epoch."""

    def __init__(self, case: Case, epochs: int = EPOCHS, lr: float = 5e-4) -> None:
        self.epochs, self.lr = epochs, lr
        self.device = case["device"]
        self.model = plain_network(case).train()
        self.loader = DataLoader(
            PNGFolder(frames_of(case)), case["batch"], shuffle=True, num_workers=case.get("workers", 0),
            persistent_workers=case.get("workers", 0) > 0,
        )  # fmt: skip
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=lr, betas=(0.5, 0.999))
        self.step = 0
        self.history: list[tuple[float, float, float | None]] = []
        self.with_ms_ssim = why_no_ms_ssim(*height_width(case)) is None

    def epoch(self) -> None:
        for index, frame in self.loader:
            self.fit(index.to(self.device), frame.to(self.device))

    def fit(self, index: Tensor, frame: Tensor) -> None:
        self.optimizer.param_groups[0]["lr"] = self.rate()
        drawn = self.model(index)
        ssim = pytorch_msssim.ssim(drawn, frame, data_range=1, size_average=True)
        loss = 0.7 * F.l1_loss(drawn, frame) + 0.3 * (1 - ssim)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.step += 1
        with torch.no_grad():
            psnr = -10 * math.log10(F.mse_loss(drawn, frame).item())
            similar = pytorch_msssim.ms_ssim(drawn, frame, data_range=1).item() if self.with_ms_ssim else None
        self.history.append((loss.item(), psnr, similar))

    def rate(self) -> float:
        done, warmup = self.step / (self.epochs * len(self.loader)), 0.2
        if done < warmup:
            return self.lr * (0.1 + 0.9 * done / warmup)
        return self.lr * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))) / 2


def plain_epochs(case: Case) -> Callable[[], object]:
    """A function that fits one epoch with the plain loop."""
    return PlainLoop(case).epoch


CONTESTANTS = {"plain": plain_epochs, "enerv_zoo": enerv_zoo_epochs}


def main() -> None:
    case = parse_case(__doc__, workers=(0, "processes that decode PNGs for the plain loop"))
    publish("fit_speed", case, take_turns(CONTESTANTS, case))


if __name__ == "__main__":
    main()
