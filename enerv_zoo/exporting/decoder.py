"""A network as one function of the frame index, of operations that every runtime computes alike."""

from __future__ import annotations

import copy
import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enerv_zoo.config import Colour
from enerv_zoo.layers import FrequencyEncoding
from enerv_zoo.network import Network
from enerv_zoo.video.tones import frames_to_sdr

Precision = Literal["float32", "float16"]
Output = Literal["uint8", "float32", "sdr", "rgba"]
Index = Literal["float64", "float32"]

TURN = torch.tensor(math.tau).item(), math.tau - torch.tensor(math.tau).item()
"""2 pi as a number of 24 bits, whose product with an integer of 29 bits is exact in float64, and the rest of it."""


class ExactFrequencies(nn.Module):
    """A `FrequencyEncoding` whose result does not depend on how a runtime computes sines of 1e8 rad.

    The products are rounded as they are there. Whole turns are then subtracted in float64, in which GPUs of browsers do
    not compute at all (see `onnx_model.keep_time_exact`).
    """

    def __init__(self, encoding: FrequencyEncoding) -> None:
        super().__init__()
        self.split = encoding.split
        self.register_buffer("powers", encoding.powers.float().double())
        self.powers: Tensor

    def forward(self, p: Tensor) -> Tensor:
        argument = (p.double().unsqueeze(-1) * self.powers).float().double()
        if not self.split:
            argument = (argument * torch.tensor(math.pi).double()).float().double()
        turns = (argument / math.tau).round()
        argument = argument - turns * TURN[0] - turns * TURN[1]
        parts = argument.sin().float(), argument.cos().float()
        return torch.cat(parts, dim=-1) if self.split else torch.stack(parts, dim=-1).flatten(-2)


def rounded(network: Network, precision: Precision) -> Network:
    """Return a copy on the CPU whose weights are what a precision holds; it computes in float32."""
    twin = copy.deepcopy(network).cpu().eval().requires_grad_(False)
    twin.precision = "float32"
    largest = torch.finfo(torch.float16).max
    for tensor in twin.state_dict().values() if precision == "float16" else ():
        if tensor.is_floating_point():
            tensor.copy_(tensor.clamp(-largest, largest).half())
    return twin


class Decoder(nn.Module):
    """Frames of a network at indices (B,), float64.

    Args:
        network: the network; it is copied.
        output: `"uint8"` for frames (B, 3, H, W) as `video[i]` gives them, `"float32"` for the same in [0, 1],
            `"sdr"` for these converted to SDR, or `"rgba"` for (B, H, W, 4) uint8, as a canvas takes them.
        index: the type that its ONNX model takes and computes time in: `"float64"`, or `"float32"` for runtimes that
            have nothing wider, as those for GPUs of browsers.
        folds: whether embeddings that are the same for every frame are constants of it, in place of their weights.
    """

    def __init__(
        self, network: Network, output: Output = "float32", *, index: Index = "float64", folds: bool = True
    ) -> None:
        super().__init__()
        self.output, self.index = output, index
        self.network = copy.deepcopy(network)
        fixed = network.fixed_embeddings() if folds else {}
        self._fixed = tuple(fixed)
        for name, tensor in fixed.items():
            self.register_buffer(f"fixed_{name}", tensor)
        for part in list(self.network.modules()) if index == "float64" else ():
            for name, child in list(part.named_children()):
                if isinstance(child, FrequencyEncoding):
                    setattr(part, name, ExactFrequencies(child))

    def forward(self, index: Tensor) -> Tensor:
        fixed = {name: getattr(self, f"fixed_{name}") for name in self._fixed}
        frames = self.network.outputs(index, fixed)[-1][..., : self.network.info.height, : self.network.info.width]
        return formatted(frames, self.output, self.network.info.colour)

    def program(self, batch: int | None) -> torch.export.ExportedProgram:
        """Return the decoder as `torch.export` traces it, for batches of one size, or of any size."""
        sizes = {"index": {0: torch.export.Dim("batch")}} if batch is None else None
        return torch.export.export(self, (spread(self.network, batch or 3),), dynamic_shapes=sizes, strict=False)


def formatted(frames: Tensor, output: Output, colour: Colour) -> Tensor:
    """Return frames (B, 3, H, W), float in [0, 1] and of a colour, in the form that a decoder gives."""
    if output == "float32":
        return frames
    if output == "sdr":
        return frames_to_sdr(frames, colour)
    pixels = frames.mul(255).round().clamp(0, 255).to(torch.uint8)
    if output == "uint8":
        return pixels
    return F.pad(pixels, (0, 0, 0, 0, 0, 1), value=255).permute(0, 2, 3, 1)


def spread(network: Network, count: int) -> Tensor:
    """Return indices (count,) from the first frame to the last."""
    return torch.linspace(0, network.info.frames - 1, count, dtype=torch.float64)
