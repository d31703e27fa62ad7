"""Inpainting, denoising and frames between frames on the bundled clip: the table and the picture of docs/tasks.md.

python benchmarks/tasks.py                     # 24 frames of 128x72; about a minute of one core
python benchmarks/tasks.py --resize 256x144 --frames 0:132 --epochs 60 --size 0.5M
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

import enerv_zoo as ez
from enerv_zoo.metrics import psnr
from enerv_zoo.pixels import as_float
from enerv_zoo.video import write_image

SIGMA = 25
"""Standard deviation of the noise, of 255."""


def holes(frames: int, height: int, width: int) -> Tensor:
    """Return a mask (N, H, W) with a square of a fifth of the height that moves through the frames."""
    side, weights = height // 5, torch.full((frames, height, width), 255, dtype=torch.uint8)
    for index in range(frames):
        left = round((width - side) * index / max(frames - 1, 1))
        weights[index, 2 * side : 3 * side, left : left + side] = 0
    return weights


def noisy(frames: Tensor) -> Tensor:
    """Return frames with Gaussian noise."""
    noise = SIGMA * torch.randn(frames.shape, generator=torch.Generator().manual_seed(0))
    return (frames + noise).round().clamp(0, 255).to(torch.uint8)


def mean_psnr(frames: Tensor, original: Tensor) -> float:
    """Return the mean PSNR of frames, in dB."""
    return float(psnr(as_float(frames), as_float(original)).mean())


def main() -> None:
    """Fit, print the table, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("frames", "0:24"), ("resize", "128x72"), ("size", "0.2M")):
        parser.add_argument(f"--{name}", default=default)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--picture", default="docs/images/tasks.png")
    arguments = parser.parse_args()
    clip = ez.open_video("bunny", frames=arguments.frames, resize=arguments.resize)
    recipe = {"size": arguments.size, "recipe": "quick", "time_budget": None, "resize": None}
    recipe |= {"epochs": arguments.epochs, "batch_size": 4, "lr": 4e-3}
    recipe = {key: value for key, value in recipe.items() if value is not None}

    mask, noise = holes(len(clip), clip.info.height, clip.info.width), noisy(clip.frames)
    broken = torch.where(mask[:, None] == 0, torch.tensor([255, 0, 255], dtype=torch.uint8)[:, None, None], clip.frames)
    inpainted = ez.fit(broken, "pca_nerv", mask=mask, reference=clip, **recipe)
    plain = ez.fit(broken, "pca_nerv", reference=clip, **recipe)
    denoised = ez.fit(noise, "pca_nerv", reference=clip, **recipe)
    between = {name: ez.fit(clip, name, fit_frames="::2", **recipe) for name in ("pca_nerv", "enerv")}

    hidden = ez.evaluate(plain.video, clip, mask=mask).scores["psnr_hidden"]
    print(
        f"inpainting, hidden pixels: with the mask {inpainted.metrics['psnr_hidden']:.2f} dB, without {hidden:.2f} dB"
    )
    print(f"  seen pixels: {inpainted.metrics['psnr_seen']:.2f} dB")
    print(f"denoising: noisy {mean_psnr(noise, clip.frames):.2f} dB, fitted {denoised.metrics['psnr']:.2f} dB")
    blend = (clip.frames[:-2:2].float() + clip.frames[2::2].float()).div(2).round().to(torch.uint8)
    print(f"between frames: blend of both neighbours {mean_psnr(blend, clip.frames[1:-1:2]):.2f} dB")
    for name, result in between.items():
        scores = result.metrics
        print(f"  {name}: fitted {scores['psnr_fitted']:.2f} dB, unseen {scores['psnr_unseen']:.2f} dB")
    middle = len(clip) // 2
    rows = (broken[middle], inpainted.video[middle]), (noise[middle], denoised.video[middle])
    write_image(arguments.picture, torch.cat([torch.cat(row, dim=2) for row in rows], dim=1))


if __name__ == "__main__":
    main()
