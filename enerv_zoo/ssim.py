"""SSIM (Wang et al. 2004) and MS-SSIM (Wang et al. 2003), fast enough to be fitted with.

With a = E[x], b = E[y], q = E[x^2] + E[y^2] and p = E[xy], each a Gaussian mean around a pixel,

    luminance l = (2 a b + C1) / (a^2 + b^2 + C1)
    contrast  c = (2 (p - a b) + C2) / (q - a^2 - b^2 + C2)

and SSIM is the mean of l c. Windows that would leave the frame are left out.

What takes time is moving numbers through memory, so the four means come from one depthwise convolution a side, and the
gradient is written out: two more of three maps. On a CPU the maps lie beside each other in memory as channels of
channels_last frames, the one layout for which depthwise convolutions are fast there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from enerv_zoo.precision import at_least_float32

WINDOW = 11
SIGMA = 1.5
C1, C2 = 0.01**2, 0.03**2
"""(K L)^2 for K of 0.01 and 0.03 and a data range L of 1."""
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales of MS-SSIM, full size first."""


def ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """SSIM of each frame in [0, 1], its channels' mean (Wang et al. 2004).

    A Gaussian window of 11 with sigma 1.5; a side shorter than that is not filtered. Computed in float32 at least, also
    under autocast. No gradient flows to the target.

    Shapes: (B, C, H, W) twice -> (B,).
    """
    return _ssim_and_contrast(at_least_float32(prediction), at_least_float32(target))[0].mean(dim=1)


def ms_ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """MS-SSIM of each frame in [0, 1], its channels' mean (Wang et al. 2003).

    The product of the contrast at five scales, each half the one before, and of the luminance at the smallest, raised
    to the power of `SCALES`; negative factors count as 0. Odd sides are padded by a zero. See also `ssim`.

    Shapes: (B, C, H, W) twice, both sides longer than 160 -> (B,).
    """
    x, y = at_least_float32(prediction), at_least_float32(target)
    product = x.new_ones(x.shape[:2])
    for exponent in SCALES[:-1]:
        product = product * _ssim_and_contrast(x, y)[1].relu() ** exponent
        odd = (x.shape[-2] % 2, x.shape[-1] % 2)
        x, y = F.avg_pool2d(x, 2, padding=odd), F.avg_pool2d(y, 2, padding=odd)
    smallest = _ssim_and_contrast(x.double(), y.double())[0].to(x.dtype)  # few windows: their rounding stays visible
    return (product * smallest.relu() ** SCALES[-1]).mean(dim=1)


def _ssim_and_contrast(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return _SSIM.apply(x, y)


class _SSIM(torch.autograd.Function):
    """(B, C, H, W) twice -> the mean of l c and that of c, (B, C) each. Inside, frames are (B, H, W, C)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if ctx.needs_input_grad[1]:
            raise ValueError("SSIM has no gradient for its second argument, the target; detach it")
        x, y = x.permute(0, 2, 3, 1).contiguous(), y.permute(0, 2, 3, 1).contiguous()
        windows = _windows(x)
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
    def backward(ctx: Any, ssim_grad: Tensor | None, contrast_grad: Tensor | None) -> tuple[Tensor | None, None]:
        """The gradient is G(da) + 2 x G(dq) + y G(dp), where G turns the filter around and d. is a map's gradient."""
        if not ctx.needs_input_grad[0]:
            return None, None
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
        return grad.permute(0, 3, 1, 2), None


def _windows(frames: Tensor) -> tuple[Tensor, Tensor]:
    """The windows over rows and over columns of frames (B, H, W, C); a single 1 where a side is too short.

    Rounded to float32 whatever the frames are: so is the window behind published numbers, and where a variance is small
    its sum's last bit shows.
    """
    offsets = torch.arange(WINDOW, dtype=torch.float32, device=frames.device) - WINDOW // 2
    window = torch.exp(-offsets.square() / (2 * SIGMA**2))
    window = (window / window.sum()).to(frames.dtype)
    height, width = (window if side >= WINDOW else window.new_ones(1) for side in frames.shape[1:3])
    return height, width


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
