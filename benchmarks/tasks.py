"""Inpainting, denoising, frames between frames, more pixels: the tables and the picture of docs/tasks.md.

python benchmarks/tasks.py                     # 24 frames of 128x72; about three minutes of one core
python benchmarks/tasks.py --resize 256x144 --frames 0:132 --epochs 60 --size 0.5M
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import enerv_zoo as ez
from enerv_zoo.metrics import psnr
from enerv_zoo.pixels import as_float
from enerv_zoo.video import Video, write_image

SIGMA = 25
"""Standard deviation of the noise of the picture, of 255."""

SIGMAS, SHARES = (10, 25, 50), (0.06, 0.12, 0.25, 0.5, 1.0)
"""Noise of the table, and parameters per pixel of the networks that take it away."""


def holes(frames: int, height: int, width: int) -> Tensor:
    """Return a mask (N, H, W) with a square of a fifth of the height that moves through the frames."""
    side, weights = height // 5, torch.full((frames, height, width), 255, dtype=torch.uint8)
    for index in range(frames):
        left = round((width - side) * index / max(frames - 1, 1))
        weights[index, 2 * side : 3 * side, left : left + side] = 0
    return weights


def noisy(frames: Tensor, sigma: int = SIGMA) -> Tensor:
    """Return frames with Gaussian noise of a standard deviation."""
    noise = sigma * torch.randn(frames.shape, generator=torch.Generator().manual_seed(0))
    return (frames + noise).round().clamp(0, 255).to(torch.uint8)


def mean_psnr(frames: Tensor, original: Tensor) -> float:
    """Return the mean PSNR of frames, in dB."""
    return float(psnr(as_float(frames), as_float(original)).mean())


def denoise(clip: Video, **recipe: Any) -> None:
    """Print how near networks of several sizes come to a clip of which they see noisy frames, and to these."""
    for sigma in SIGMAS:
        frames = noisy(clip.frames, sigma)
        print(f"denoising, sigma {sigma}: noisy {mean_psnr(frames, clip.frames):.2f} dB", end="")
        for share in SHARES:
            size = round(share * clip.info.pixels)
            video = ez.fit(frames, "pca_nerv", **{**recipe, "size": size}).video
            scores = (mean_psnr(torch.cat(list(video.decode())), each) for each in (clip.frames, frames))
            print("; {:,}: {:.2f} dB, {:.2f} dB to the noisy".format(size, *scores), end="", flush=True)
        print()


def shifted(maps: Tensor, by: Tensor, is_tile: bool) -> Tensor:
    """Return maps (B, C, h, w) at places `by` (2,) cells below and to the right, bicubic; a tile repeats itself."""
    height, width = maps.shape[2:]
    maps = maps.repeat(1, 1, 3, 3) if is_tile else F.pad(maps, [2] * 4, mode="replicate")
    rows, columns = maps.shape[2:]
    top, left = (rows - height) // 2, (columns - width) // 2
    move = torch.tensor([[1, 0, 2 * by[1] / columns], [0, 1, 2 * by[0] / rows]]).expand(len(maps), 2, 3)
    places = F.affine_grid(move, list(maps.shape), align_corners=False)
    moved = F.grid_sample(maps, places, mode="bicubic", align_corners=False)
    return moved[..., top : top + height, left : left + width]


def shifted_inputs(first: int, by: Tensor, number: int, stage: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a stage's map, if it is the `first` one, and its embeddings' maps at places between their cells.

    Args:
        first: number of the first stage that is moved.
        by: (2,), in frames' heights and widths.
        number, stage, inputs: of the stage that is about to run.
    """
    x, embedded, *rest = inputs
    x = shifted(x, by * torch.tensor(x.shape[2:]), is_tile=False) if number == first else x
    names = {name for takes in stage.takes for name in takes or () if embedded[name].ndim == 4}
    size = torch.tensor(stage.size)
    moved = {name: shifted(embedded[name], by * size, embedded[name].shape[2] < stage.size[0]) for name in names}
    return x, {**embedded, **moved}, *rest


@torch.inference_mode()
def denser(video: ez.NeuralVideo, first: int) -> Tensor:
    """Decode frames (N, 3, 2 H, 2 W) in four passes, each a quarter of a pixel beside the pixels that were fitted.

    Args:
        video: a network whose head takes no embeddings, and whose frames are as large as it decodes.
        first: number of the stage before which maps are interpolated; all that follows runs as it was fitted.
    """
    info = video.info
    frames = torch.empty(len(video), 3, 2 * info.height, 2 * info.width)
    for row in range(2):
        for column in range(2):
            by = torch.tensor([(row - 0.5) / 2 / info.height, (column - 0.5) / 2 / info.width])
            with ExitStack() as stack:
                for number, stage in list(enumerate(video.stages))[first:]:
                    hook = partial(shifted_inputs, first, by, number)
                    stack.callback(stage.register_forward_pre_hook(hook).remove)
                frames[..., row::2, column::2] = torch.cat(list(video.decode(dtype=torch.float32)))
    return frames


def more_pixels(name: str, clip: Video, large: Tensor, **recipe: Any) -> None:
    """Print how near frames of twice the size come to the original `large` (N, 3, 2 H, 2 W), made in several ways."""
    video = ez.fit(clip, name, **recipe).video
    decoded = torch.cat(list(video.decode(dtype=torch.float32)))
    enlarged = {mode: F.interpolate(decoded, scale_factor=2, mode=mode) for mode in ("bilinear", "bicubic")}
    scores = {mode: mean_psnr(frames.clamp(0, 1), large) for mode, frames in enlarged.items()}
    scores |= {
        f"maps before stage {first}": mean_psnr(denser(video, first), large) for first in range(len(video.stages))
    }
    print(f"  {name}, fitted at {mean_psnr(decoded, clip.frames):.2f} dB:", end=" ")
    print(", ".join(f"{way} {score:.2f} dB" for way, score in scores.items()))


def main() -> None:
    """Fit, print the table, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("frames", "0:24"), ("resize", "128x72"), ("size", "0.2M")):
        parser.add_argument(f"--{name}", default=default)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--picture", default="docs/images/tasks.png")
    arguments = parser.parse_args()
    clip = ez.open_video("bunny", frames=arguments.frames, resize=arguments.resize)
    recipe = {"size": arguments.size, "recipe": "quick", "epochs": arguments.epochs, "batch_size": 4, "lr": 4e-3}

    mask, noise = holes(len(clip), clip.info.height, clip.info.width), noisy(clip.frames)
    broken = torch.where(mask[:, None] == 0, torch.tensor([255, 0, 255], dtype=torch.uint8)[:, None, None], clip.frames)
    inpainted = ez.fit(broken, "pca_nerv", mask=mask, reference=clip, **recipe)
    plain = ez.fit(broken, "pca_nerv", reference=clip, **recipe)
    denoise(clip, **recipe)
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
    large = ez.open_video("bunny", frames=arguments.frames, resize=(2 * clip.info.height, 2 * clip.info.width)).frames
    original = mean_psnr(F.interpolate(as_float(clip.frames), scale_factor=2, mode="bicubic").clamp(0, 1), large)
    print(f"twice the size: the original's small frames, bicubic {original:.2f} dB")
    for name, lr in (("hinerv", 2e-3), ("nerv", 4e-3)):
        slow = {"epochs": 2 * arguments.epochs, "batch_size": 2, "lr": lr}
        more_pixels(name, clip, large, **{**recipe, **slow})
    middle = len(clip) // 2
    rows = (broken[middle], inpainted.video[middle]), (noise[middle], denoised.video[middle])
    write_image(arguments.picture, torch.cat([torch.cat(row, dim=2) for row in rows], dim=1))


if __name__ == "__main__":
    main()
