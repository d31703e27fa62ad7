"""E-NeRV in sixty lines of PyTorch: the idea of this zoo on one page (Li et al., ECCV 2022).

    python examples/fit_in_60_lines.py

A network is given nothing but the time of a frame, and learns to decode that frame: its weights are the video.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

import enerv_zoo as ez

clip = ez.open_video("bunny", frames="0:16", resize="160x90")  # uint8, (16, 3, 90, 160)
frames = clip.frames.float() / 255
times = torch.linspace(0, 1, len(frames))


def encode(position, base=1.25, levels=20):
    """Sines and cosines of rising frequency (B,) -> (B, 2 * levels): functions that a small MLP can bend into shape."""
    waves = position[:, None] * base ** torch.arange(levels) * math.pi
    return torch.cat([waves.sin(), waves.cos()], dim=1)


class Block(nn.Module):
    """Let time scale and shift the normalized channels, then enlarge the map by a convolution and a pixel shuffle."""

    def __init__(self, channels_in, channels_out, stride):
        super().__init__()
        self.affine = nn.Linear(40, 2 * channels_in)
        self.conv = nn.Conv2d(channels_in, channels_out * stride**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(stride)

    def forward(self, x, time):
        scale, shift = self.affine(time)[:, :, None, None].chunk(2, dim=1)
        return F.gelu(self.shuffle(self.conv(F.instance_norm(x) * (1 + scale) + shift)))


class ENeRV(nn.Module):
    """Space and time apart: coordinates become a map once, time becomes a vector of channels, and they multiply."""

    def __init__(self, height=9, width=16, channels=48):
        super().__init__()
        y, x = (torch.linspace(0, 1, side) for side in (height, width))
        grid = torch.stack([encode(y)[:, None].expand(-1, width, -1), encode(x)[None].expand(height, -1, -1)])
        self.register_buffer("grid", torch.cat([grid[0], grid[1]], dim=-1))  # (9, 16, 80)
        self.space = nn.Sequential(nn.Linear(80, 64), nn.GELU(), nn.Linear(64, channels))
        self.time = nn.Sequential(nn.Linear(40, 64), nn.GELU(), nn.Linear(64, channels))
        self.blocks = nn.ModuleList([Block(channels, 32, 5), Block(32, 24, 2)])  # 9x16 -> 45x80 -> 90x160
        self.rgb = nn.Conv2d(24, 3, 3, padding=1)

    def forward(self, time):
        time = encode(time)
        x = self.space(self.grid).permute(2, 0, 1) * self.time(time)[:, :, None, None]
        for block in self.blocks:
            x = block(x, time)
        return self.rgb(x).sigmoid()


torch.manual_seed(0)
network, epochs = ENeRV(), 60
optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=epochs * len(frames) // 2)
for _ in range(epochs):
    for index in torch.randperm(len(frames)).split(2):
        loss = F.l1_loss(network(times[index]), frames[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
with torch.inference_mode():
    psnr = -10 * (network(times) - frames).square().mean().log10()
print(f"{sum(p.numel() for p in network.parameters()):,} parameters, {psnr:.2f} dB")
ez.write_video("bunny-60-lines.mp4", (network(times) * 255).round().byte().detach(), fps=clip.info.fps)
