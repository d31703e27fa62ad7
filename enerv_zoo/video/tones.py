"""Tone mapping: frames of HDR or of wide colours become frames of SDR video, where that is asked for."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

from enerv_zoo.config import Colour
from enerv_zoo.pixels import as_float

WHITE = 203.0
"""Light that SDR's white stands for, in cd/m2: HDR's reference white (BT.2408, table 1)."""
PEAK = 1000.0
"""Light, in cd/m2, that becomes SDR's white; what is brighter is clipped. It is the nominal peak of HLG, and of most
displays on which HDR10 is graded."""
GAMMA = 2.4
"""Of SDR's displays (BT.1886)."""
_LUMA = (0.2627, 0.6780, 0.0593)
"""Parts of red, green and blue in the luminance of BT.2020."""
_P3 = ((1.2249, -0.2249, 0.0), (-0.0421, 1.0421, 0.0), (-0.0196, -0.0786, 1.0982))
_TO_BT709 = {
    "bt2020": ((1.6605, -0.5876, -0.0729), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1188)),
    "smpte431": _P3,
    "smpte432": _P3,
}
"""From linear light of other primaries to that of BT.709 (BT.2407; SMPTE RP 177). White is white in each."""


def to_sdr(pixels: Tensor, colour: Colour) -> Tensor:
    """Return R'G'B' of BT.709, as SDR video has them, of pixels of another colour.

    Light up to about 88 cd/m2 stays in proportion to HDR's reference white; brighter light is compressed by the curve
    of BT.2390 (5.4.1, in PQ), by one factor for the three channels of a pixel, which keeps its hue. Colours outside
    of BT.709 are clipped.

    Args:
        pixels: (..., 3), uint8, or float in [0, 1].
        colour: of them; what has neither PQ nor HLG as its transfer is taken for SDR, whose primaries alone change.

    Returns:
        (..., 3), float32 in [0, 1].
    """
    signal = as_float(pixels).clamp(0, 1)
    light = _LIGHT.get(colour.transfer, _sdr_light)(signal)
    if (matrix := _TO_BT709.get(colour.primaries)) is not None:
        light = light @ light.new_tensor(matrix).T
    light = _compressed(light) if colour.transfer in _LIGHT else light
    return (light / WHITE).clamp_(0, 1) ** (1 / GAMMA)


def frames_to_sdr(frames: Tensor, colour: Colour) -> Tensor:
    """Return frames (..., 3, H, W) as `to_sdr` returns their pixels."""
    return to_sdr(frames.movedim(-3, -1), colour).movedim(-1, -3)


def _compressed(light: Tensor) -> Tensor:
    """Return light (..., 3) of at most `WHITE`, in cd/m2: BT.2390's curve (EETF) from black to `PEAK`."""
    brightest = light.amax(dim=-1, keepdim=True)
    source, target = pq_signal(PEAK), pq_signal(WHITE)
    signal, white = (pq_signal(brightest) / source).clamp(max=1), target / source
    knee = 1.5 * white - 0.5
    t = ((signal - knee) / (1 - knee)).clamp(min=0)
    bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * white
    gain = pq_light(bent * source) / brightest.clamp(min=1e-9)
    return light * torch.where(signal > knee, gain, 1.0)


Light = TypeVar("Light", Tensor, float)
_M1, _M2 = 2610 / 16384, 2523 / 32
_C1, _C2, _C3 = 3424 / 4096, 2413 / 128, 2392 / 128


def pq_light(signal: Tensor) -> Tensor:
    """Return the light of PQ's signal in [0, 1], in cd/m2 (BT.2100, table 4)."""
    power = signal ** (1 / _M2)
    return 10_000 * ((power - _C1).clamp(min=0) / (_C2 - _C3 * power)) ** (1 / _M1)


def pq_signal(light: Light) -> Light:
    """Return PQ's signal of light in cd/m2."""
    power = (light / 10_000) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def hlg_light(signal: Tensor) -> Tensor:
    """Return the light of HLG's signal (..., 3) in [0, 1] on a display of `PEAK`, in cd/m2 (BT.2100, table 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = torch.where(signal <= 0.5, signal**2 / 3, (((signal - c) / a).exp() + b) / 12)
    luminance = scene @ scene.new_tensor(_LUMA)
    return PEAK * scene * luminance[..., None] ** 0.2


def _sdr_light(signal: Tensor) -> Tensor:
    return WHITE * signal**GAMMA


_LIGHT = {"smpte2084": pq_light, "arib-std-b67": hlg_light}
"""Light of a signal, in cd/m2, by HDR's transfers."""
