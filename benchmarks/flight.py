"""A source that no codec has touched: a flight over hills with balloons, rendered here and written without loss.

Clips that one finds were compressed before, which helps codecs of the same kind. This one is computed: fractal terrain
and clouds, a camera that banks, haze, shaded moving balloons, four samples a pixel, and a little sensor noise.

    python benchmarks/flight.py flight --frames 96 --resolution 640x360
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from enerv_zoo import write_video

FAR, STEPS = 900.0, 360
SUN = np.array([-0.5, 0.62, -0.6])
HAZE = np.array([0.76, 0.83, 0.90])
BALLOONS = [
    (-30, 95, 160, 11, (0.85, 0.2, 0.15)),
    (45, 120, 260, 16, (0.95, 0.75, 0.2)),
    (5, 80, 420, 20, (0.3, 0.3, 0.75)),
]
"""Side, height, distance and radius at the start, and colour."""


def fractal(size: int, seed: int, roughness: float = 1.9) -> np.ndarray:
    """Periodic noise (size, size) in [0, 1] whose power falls with frequency."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.rfftfreq(size), indexing="ij"))
    frequency[0, 0] = np.inf
    noise = np.fft.irfft2(np.fft.rfft2(random.standard_normal((size, size))) / (frequency + 1 / size) ** roughness)
    return (noise - noise.min()) / np.ptp(noise)


def sampled(grid: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A periodic grid (n, n, ...) between its points."""
    n = len(grid)
    i, j = np.floor(x).astype(int), np.floor(y).astype(int)
    u, v = (x - i)[..., None], (y - j)[..., None]
    flat = grid.reshape(n, n, -1)
    near = flat[i % n, j % n] * (1 - u) + flat[(i + 1) % n, j % n] * u
    far = flat[i % n, (j + 1) % n] * (1 - u) + flat[(i + 1) % n, (j + 1) % n] * u
    return near * (1 - v) + far * v


def land() -> tuple[np.ndarray, np.ndarray]:
    """Heights (n, n) and lit colours (n, n, 3) of the ground."""
    height = fractal(1024, 1) ** 1.5 * 130
    water = height < 16
    height = np.maximum(height, 16)
    slope_x, slope_y = np.gradient(height)
    normal = np.stack([-slope_x, np.ones_like(height), -slope_y], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    light = 0.35 + 0.65 * np.clip(normal @ (SUN / np.linalg.norm(SUN)), 0, 1)
    detail = fractal(1024, 2, 1.0)[..., None]
    grass, rock, snow = np.array([0.24, 0.42, 0.13]), np.array([0.46, 0.40, 0.33]), np.array([0.95, 0.95, 0.97])
    high = np.clip((height - 55) / 25, 0, 1)[..., None]
    top = np.clip((height - 92) / 10, 0, 1)[..., None]
    colour = (grass * (1 - high) + rock * high) * (0.6 + 0.8 * detail)
    colour = (colour * (1 - top) + snow * top) * light[..., None]
    colour[water] = np.array([0.12, 0.27, 0.42]) * (0.9 + 0.2 * detail[water])
    return height, colour


def render(
    time: float, height: int, width: int, ground: tuple[np.ndarray, np.ndarray], clouds: np.ndarray
) -> np.ndarray:
    """A frame (height, width, 3) in [0, 1] at a time in [0, 1]."""
    heights, colours = ground
    heading, roll = 0.5 * np.sin(2.2 * time), 0.12 * np.cos(4 * time)
    eye_x, eye_z, eye_y = 300 + 40 * np.sin(3 * time), 200 + 150 * time, 105.0
    across = np.linspace(-0.8, 0.8, width)
    horizon = height * 0.36 + roll * across * height * 0.5
    rows = np.arange(height)[:, None]
    up = np.clip((horizon - rows) / height, 0, None)
    sky = HAZE + (np.array([0.25, 0.5, 0.85]) - HAZE) * np.clip(up * 2.4, 0, 1)[..., None]
    distance = 60 / (up + 0.08)
    cover = sampled(clouds, eye_x + distance * (across + heading) + 30 * time, eye_z + distance)[..., 0]
    cover = np.clip((cover - 0.5) * 4, 0, 1) * np.clip(up * 5, 0, 1)
    frame = sky * (1 - cover[..., None]) + cover[..., None] * 0.97
    reached = np.full(width, height, float)  # rows below this one are drawn
    balloons = sorted(BALLOONS, key=lambda balloon: balloon[2])
    depths = 6 * (FAR / 6) ** (np.arange(STEPS) / (STEPS - 1))
    covered = np.zeros((height, width), bool)
    for depth in depths:
        while balloons and balloons[0][2] - 60 * time < depth:
            side, level, ahead, radius, colour = balloons.pop(0)
            ahead = max(ahead - 60 * time, 5.0)
            size = radius / ahead * width / 1.6
            x = width / 2 + (side + 12 * np.sin(5 * time + level)) / ahead * width / 1.6
            column = int(np.clip(x, 0, width - 1))
            y = horizon[column] - (level + 5 * np.sin(7 * time + side) - eye_y) / ahead * width / 1.6
            dx, dy = (np.arange(width)[None] - x) / size, (rows - y) / size
            inside = (dx**2 + dy**2 < 1) & ~covered
            facing = np.sqrt(np.clip(1 - dx**2 - dy**2, 0, 1))
            light = 0.35 + 0.75 * np.clip(-0.5 * dx - 0.62 * dy + 0.6 * facing, 0, 1)
            stripes = 0.8 + 0.2 * np.sign(
                np.sin(9 * np.arcsin(np.clip(dx / np.sqrt(np.clip(1 - dy**2, 1e-3, 1)), -1, 1)))
            )
            shade = np.array(colour) * (light * stripes)[..., None]
            frame[inside] = shade[inside]
            covered |= inside
        x, z = (
            eye_x + depth * (across * np.cos(heading) + np.sin(heading)),
            eye_z + depth * np.cos(heading) - depth * across * np.sin(heading),
        )
        level = sampled(heights, x, z)[:, 0]
        row = horizon + (eye_y - level) / depth * width / 1.6
        haze = (depth / FAR) ** 1.4
        paint = sampled(colours, x, z) * (1 - haze) + HAZE * haze
        new = (rows >= row) & (rows < reached) & ~covered
        frame[new] = np.broadcast_to(paint, frame.shape)[new]
        reached = np.minimum(reached, np.maximum(row, 0))
    return np.clip(frame, 0, 1)


def flight(frames: int, height: int, width: int) -> Iterator[np.ndarray]:
    """Frames (3, height, width), uint8."""
    ground, clouds, random = land(), fractal(512, 3), np.random.default_rng(4)
    for i in range(frames):
        fine = render(i / 96, 2 * height, 2 * width, ground, clouds)
        frame = fine.reshape(height, 2, width, 2, 3).mean((1, 3)) + random.normal(0, 0.003, (height, width, 1))
        yield np.rint(255 * np.clip(frame, 0, 1)).astype(np.uint8).transpose(2, 0, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", help="a folder for PNGs")
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--resolution", default="640x360", help="WIDTHxHEIGHT")
    case = parser.parse_args()
    width, height = map(int, case.resolution.split("x"))
    write_video(case.out, flight(case.frames, height, width))


if __name__ == "__main__":
    main()
