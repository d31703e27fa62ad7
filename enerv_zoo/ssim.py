"""SSIM (Wang et al. 2004) and MS-SSIM (Wang et al. 2003), fast enough to be fitted with.

With a = E[x], b = E[y], q = E[x^2] + E[y^2] and p = E[xy], each a Gaussian mean around a pixel,

    luminance l = (2 a b + C1) / (a^2 + b^2 + C1)
    contrast  c = (2 (p - a b) + C2) / (q - a^2 - b^2 + C2)

and SSIM is the mean of l c. Windows that would leave the frame are left out.

Two implementations compute them, equal to 1e-6 (tests/test_ssim.py), and `_implementation` alone chooses:

- pytorch-msssim (https://github.com/VainF/pytorch-msssim) on GPUs;
- `_SSIM` below on CPUs, where it is twice as fast (docs/why-fast.md) and keeps half as much for the backward pass.
  What takes time there is memory traffic, so the four means come from one depthwise convolution per side, and the
  gradient is written out: two more of three maps. The maps lie beside each other in memory as channels of channels_last
  frames, the one layout for which depthwise convolutions are fast on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from enerv_zoo.precision import at_least_float32, wide

WINDOW = 11
SIGMA = 1.5
K1, K2 = 0.01, 0.03
C1, C2 = K1**2, K2**2
"""(K L)^2 for a data range L of 1."""
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales of MS-SSIM, full size first."""


def ms_ssim_side(window: int = WINDOW) -> int:
    """Return the number of pixels that both sides must exceed: MS-SSIM halves a frame four times under its window."""
    return 2 ** (len(SCALES) - 1) * (window - 1)


def ssim(prediction: Tensor, target: Tensor, window: int = WINDOW) -> Tensor:
    """SSIM of each frame in [0, 1], its channels' mean (Wang et al. 2004).

    A Gaussian window, by default of 11, with sigma 1.5; a side shorter than that is not filtered. Computed in float32
    at least, also under autocast. No gradient flows to the target.

    Shapes: (B, C, H, W) twice -> (B,).

    Raises:
        ValueError: the target needs a gradient.
    """
    x, y = _comparable(prediction, target)
    own = _implementation(x, window) == "own"
    return own_ssim(x, y, window) if own else package_ssim(x, y, window)


def ms_ssim(prediction: Tensor, target: Tensor, window: int = WINDOW) -> Tensor:
    """MS-SSIM of each frame in [0, 1], its channels' mean (Wang et al. 2003).

    The product of the contrast at five scales, each half the one before, and of the luminance at the smallest, raised
    to the power of `SCALES`; negative factors count as 0. Odd sides are padded by a zero. See also `ssim`.

    Shapes: (B, C, H, W) twice, both sides longer than `ms_ssim_side(window)`, 160 by default -> (B,).

    Raises:
        ValueError: the target needs a gradient.
    """
    x, y = _comparable(prediction, target)
    # its backward pass (of torch.prod) reads a value back to the host, so no CUDA graph could be captured with it
    differentiated = torch.is_grad_enabled() and x.requires_grad
    by_package = not differentiated and _implementation(x, ms_ssim_side(window) + 1) == "pytorch_msssim"
    return package_ms_ssim(x, y, window) if by_package else own_ms_ssim(x, y, window)


def _implementation(frames: Tensor, shortest_side: int) -> Literal["own", "pytorch_msssim"]:
    """The implementation for frames (B, C, H, W): by device, and where pytorch-msssim takes frames of this size.

    It warns of sides shorter than the window, and refuses frames too small for MS-SSIM. Shapes on the meta device are a
    CPU's.
    """
    on_gpu = frames.device.type not in ("cpu", "meta")
    return "pytorch_msssim" if on_gpu and min(frames.shape[-2:]) >= shortest_side else "own"


def _comparable(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    if torch.is_grad_enabled() and target.requires_grad:
        raise ValueError("SSIM has no gradient for its second argument, the target; detach it")
    return at_least_float32(prediction), at_least_float32(target)


# ---------------------------------------------------------------------- pytorch-msssim


def package_ssim(x: Tensor, y: Tensor, window: int) -> Tensor:
    """Return SSIM (B,) by pytorch_msssim."""
    from pytorch_msssim import ssim  # here, as importing it is not free and a CPU never needs it

    return _by_package(ssim, x, y, window)


def package_ms_ssim(x: Tensor, y: Tensor, window: int) -> Tensor:
    """Return MS-SSIM (B,) by pytorch_msssim."""
    from pytorch_msssim import ms_ssim

    return _by_package(ms_ssim, x, y, window)


def _by_package(measure: Callable[..., Tensor], x: Tensor, y: Tensor, window: int) -> Tensor:
    """Call a function of pytorch-msssim for each frame, on its device alone and in the dtype of `x`.

    The window is made on the device, as the package would send its own there from the host in every call; frames are
    contiguous, as channels_last means cuDNN, which may round to TF32: the variances would drown.
    """
    weights = _gaussian(x, window).expand(x.shape[1], 1, 1, -1)
    with torch.autocast(x.device.type, enabled=False):
        return measure(x.contiguous(), y.contiguous(), data_range=1, size_average=False, win=weights, K=(K1, K2))


# ---------------------------------------------------------------------- own


def own_ssim(x: Tensor, y: Tensor, window: int) -> Tensor:
    """Return SSIM (B,) by the functions of this module."""
    return _ssim_and_contrast(x, y, window)[0].mean(dim=1)


def own_ms_ssim(x: Tensor, y: Tensor, window: int) -> Tensor:
    """Return MS-SSIM (B,) by the functions of this module."""
    product = x.new_ones(x.shape[:2])
    for exponent in SCALES[:-1]:
        product = product * _ssim_and_contrast(x, y, window)[1].relu() ** exponent
        odd = (x.shape[-2] % 2, x.shape[-1] % 2)
        x, y = F.avg_pool2d(x, 2, padding=odd), F.avg_pool2d(y, 2, padding=odd)
    smallest, _ = _ssim_and_contrast(wide(x), wide(y), window)  # few windows: their rounding stays visible
    return (product * smallest.to(x.dtype).relu() ** SCALES[-1]).mean(dim=1)


def _ssim_and_contrast(x: Tensor, y: Tensor, window: int) -> tuple[Tensor, Tensor]:
    return _SSIM.apply(x, y, window)


class _SSIM(torch.autograd.Function):
    """(B, C, H, W) twice -> the mean of l c and that of c, (B, C) each. Inside, frames are (B, H, W, C)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, window: int) -> tuple[Tensor, Tensor]:
        x, y = x.permute(0, 2, 3, 1).contiguous(), y.permute(0, 2, 3, 1).contiguous()
        windows = _windows(x, window)
        maps = x.new_empty(*x.shape, 4)
        maps[..., 0] = x
        maps[..., 1] = y
        torch.addcmul(x * x, y, y, out=maps[..., 2])
        torch.mul(x, y, out=maps[..., 3])
        a, b, q, p = (mean.contiguous() for mean in _filter(maps, windows).unbind(-1))
        ab, squares = a * b, (a * a).addcmul_(b, b)
        c_below = q.sub_(squares).add_(C2)
        c = p.sub_(ab).mul_(2).add_(C2).div_(c_below)
        l_below = squares.add_(C1)
        l = ab.mul_(2).add_(C1).div_(l_below)  # noqa: E741
        ctx.save_for_backward(x, y, a, b, c, c_below, l, l_below, *windows)
        ctx.set_materialize_grads(False)
        return (l * c).mean(dim=(1, 2)), c.mean(dim=(1, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, ssim_grad: Tensor | None, contrast_grad: Tensor | None) -> tuple[Tensor | None, None, None]:
        """The gradient is G(da) + 2 x G(dq) + y G(dp), where G turns the filter around and d. is a map's gradient."""
        if not ctx.needs_input_grad[0]:
            return None, None, None
        x, y, a, b, c, c_below, l, l_below, *windows = ctx.saved_tensors  # noqa: E741
        twice_per_pixel = 2 / (a.shape[1] * a.shape[2])
        maps = x.new_empty(*a.shape, 3)
        dp = torch.zeros_like(c)
        if contrast_grad is not None:
            dp += (twice_per_pixel * contrast_grad)[:, None, None]
        if ssim_grad is not None:
            ssim_grad = (twice_per_pixel * ssim_grad)[:, None, None]
            dp.addcmul_(ssim_grad, l)
        dp.div_(c_below)
        da = (a * c).sub_(b).mul_(dp)
        if ssim_grad is not None:
            da += torch.addcmul(b, a, l, value=-1).mul_(c).div_(l_below).mul_(ssim_grad)
        maps[..., 0] = da
        torch.mul(dp, c, out=maps[..., 1])  # -2 dq
        maps[..., 2] = dp
        for_mean, for_squares, for_product = _filter(maps, windows, turned_around=True).unbind(-1)
        grad = torch.addcmul(for_mean, x, for_squares, value=-1).addcmul_(y, for_product)
        return grad.permute(0, 3, 1, 2), None, None


def _windows(frames: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """The windows over rows and over columns of frames (B, H, W, C); a single 1 where a side is too short."""
    weights = _gaussian(frames, window)
    height, width = (weights if side >= window else weights.new_ones(1) for side in frames.shape[1:3])
    return height, width


def _gaussian(frames: Tensor, window: int) -> Tensor:
    """The window (window,) on the device and in the dtype of frames.

    Rounded to float32 whatever the frames are: so is the window behind published numbers, and where a variance is small
    its sum's last bit shows.
    """
    offsets = torch.arange(window, dtype=torch.float32, device=frames.device) - window // 2
    weights = torch.exp(-offsets.square() / (2 * SIGMA**2))
    return (weights / weights.sum()).to(frames.dtype)


def _filter(maps: Tensor, windows: tuple[Tensor, Tensor] | list[Tensor], turned_around: bool = False) -> Tensor:
    """Gaussian means of maps (B, H, W, C, M), valid positions only; turned around, to all positions these came from."""
    channels = maps.shape[-2] * maps.shape[-1]
    frames = maps.flatten(3).permute(0, 3, 1, 2)
    if maps.is_cuda:  # there channels_last means cuDNN, which may round to TF32; the variances would drown
        frames = frames.contiguous()
    with torch.autocast("cuda" if maps.is_cuda else "cpu", enabled=False):
        for window, shape in zip(windows, ((-1, 1), (1, -1)), strict=True):
            kernel = window.view(1, 1, *shape).repeat(channels, 1, 1, 1)
            padding = [(size - 1) * turned_around for size in kernel.shape[2:]]
            frames = F.conv2d(frames, kernel, padding=padding, groups=channels)
    return frames.permute(0, 2, 3, 1).unflatten(-1, maps.shape[-2:])
