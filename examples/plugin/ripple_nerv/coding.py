"""An entropy model, a codec and a code base."""

import itertools
import math
import re
import zlib

import numpy as np
import torch

from enerv_zoo.errors import ConfigError
from enerv_zoo.zoo import model_config


class Golomb:
    """Golomb-Rice codes with parameter `k` of levels that are folded to 0, 1, 2, ... (0, 1, -1, 2, ...)."""

    def __init__(self, *, k: int = 4) -> None:
        self.k = k

    def bits(self, values: torch.Tensor) -> torch.Tensor:
        return (0.5 + self.k + 2 * values.abs() / 2**self.k).sum()

    def encode(self, levels: torch.Tensor) -> bytes:
        folded = [2 * level - 1 if level > 0 else -2 * level for level in levels.reshape(-1).tolist()]
        low = [f"{n % 2**self.k:0{self.k}b}" if self.k else "" for n in folded]
        text = "".join("1" * (n >> self.k) + "0" + rest for n, rest in zip(folded, low, strict=True))
        return int("1" + text, 2).to_bytes((len(text) + 8) // 8, "big")

    def decode(self, data: bytes, shape) -> torch.Tensor:
        bits = iter(f"{int.from_bytes(data, 'big'):b}"[1:])
        levels = []
        for _ in range(math.prod(shape)):
            high = sum(1 for _ in itertools.takewhile("1".__eq__, bits))
            low = "".join(itertools.islice(bits, self.k))
            if len(low) < self.k:
                raise ValueError("the bits end before the levels do")
            n = (high << self.k) + int("0" + low, 2)
            levels.append((n + 1) // 2 if n % 2 else -(n // 2))
        if next(bits, None) is not None:
            raise ValueError("bits are left over")
        return torch.tensor(levels, dtype=torch.int32).reshape(tuple(shape))


class Shallow:
    """A codec: frames without their lowest bits, deflated."""

    ladder = (2, 3, 4, 5)
    unit = "bits cut off"

    def __init__(self, *, level: int = 6) -> None:
        self.level = level

    @property
    def settings(self) -> dict[str, str]:
        return {"deflate level": str(self.level)}

    def missing(self):
        return None

    def unsupported(self, info):
        return None

    def encode(self, frames, quality) -> bytes:
        pixels = frames.frames.permute(0, 2, 3, 1).contiguous().numpy()
        data = zlib.compress((pixels >> int(quality) << int(quality)).tobytes(), self.level)
        return np.array(pixels.shape, "<u4").tobytes() + data

    def decode(self, data: bytes):
        shape = np.frombuffer(data[:16], "<u4")
        frames = np.frombuffer(zlib.decompress(data[16:]), np.uint8).reshape(shape)
        yield from torch.from_numpy(frames.copy()).permute(0, 3, 1, 2)


NAMES = {
    r"surface": "embeddings.first.table",
    r"depths\.(\d+)": r"embeddings.grid\1.table",
    r"mixes\.(\d+)\.(\w+)": r"stages.\1.0.project.\2",
    r"convs\.(\d+)\.(\w+)": r"stages.\1.1.conv.\2",
    r"to_rgb\.(\w+)": r"head.conv.\1",
}
"""The authors' names of tensors, and ours."""


class PondCode:
    """The authors' code of ponds: its configs say `waves`, `ripples` and `ups`."""

    def recognises(self, config, tensors) -> bool:
        return "waves" in config and "surface" in tensors

    def model(self, config, info):
        options = {"channels": config["waves"], "grid_channels": config["ripples"], "strides": config.get("ups")}
        return model_config("pond", info, **options)

    def tensors(self, network, state):
        return {self.name(theirs): tensor for theirs, tensor in state.items()}

    def name(self, theirs: str) -> str:
        for pattern, ours in NAMES.items():
            if match := re.fullmatch(pattern, theirs):
                return match.expand(ours)
        raise ConfigError(f"a pond has no tensor {theirs!r}")
