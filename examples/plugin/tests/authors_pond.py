"""The authors' own code of a pond; it stands for a repository that a code base is written for.

It knows nothing of enerv-zoo. `make_golden.py` made `pond.safetensors` of it.
"""

import torch
from torch import nn

CONFIG = {"waves": 4, "ripples": 2, "ups": [2, 2]}
FRAMES = 2
SIZE = (4, 6)


class Pond(nn.Module):
    def __init__(self, waves, ripples, ups):
        super().__init__()
        self.surface = nn.Parameter(0.1 * torch.randn(2, waves, *SIZE))
        self.depths, self.mixes, self.convs, scale = nn.ParameterList(), nn.ModuleList(), nn.ModuleList(), 1
        for up in ups:
            self.depths.append(0.1 * torch.randn(2, ripples, scale * SIZE[0], scale * SIZE[1]))
            self.mixes.append(nn.Conv2d(ripples, waves, 1))
            self.convs.append(nn.Conv2d(waves, waves, 3, padding=1))
            scale *= up
        self.ups, self.to_rgb = ups, nn.Conv2d(waves, 3, 1)

    def forward(self, t):
        at = lambda table: torch.lerp(table[0], table[1], t[:, None, None, None])  # noqa: E731
        x = at(self.surface)
        for depth, mix, conv, up in zip(self.depths, self.mixes, self.convs, self.ups):
            x = x + mix(at(depth))
            x = torch.sin(3 * conv(nn.functional.interpolate(x, scale_factor=up, mode="nearest")))
        return torch.sigmoid(self.to_rgb(x))


def build(config):
    return Pond(**config)


def decode(model, index):
    return model((index / (FRAMES - 1)).float())
