"""Result of a compression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from enerv_zoo.display import table


@dataclass(frozen=True)
class Compressed:
    """A compressed file, and what it costs.

    Attributes:
        path: the file.
        bytes: size of the file without its sound and graphs.
        bpp: bits per pixel: 8 times those bytes, over all pixels of the video; nothing else is left out.
        sound_bytes: size of the sound in the file; 0 where there is none.
        graph_bytes: size of the networks' graphs in the file; 0 without `embed_graph`.
        float32_bytes: size of the same parameters in float32.
        raw_bytes: size of the frames as 8-bit RGB.
        source_bytes: size of the original, all of it; `None` where nobody knows.
        psnr_before: PSNR of the network before, in dB; `None` where there was no video to compare.
        scores: scores of the file, by the metric's name; none where there was no video to compare.
        fps: frames decoded from the file per second, on this machine, or `None`.
        bits: bits of each coded tensor, by its name; of a video in segments, names begin with the segment's number.
        pruned: part of the prunable parameters that pruning set to zero.
        seconds: time that the compression took.
    """

    path: Path
    bytes: int
    bpp: float
    sound_bytes: int
    graph_bytes: int
    float32_bytes: int
    raw_bytes: int
    source_bytes: int | None
    psnr_before: float | None
    scores: Mapping[str, float | None]
    fps: float | None
    bits: dict[str, float] = field(repr=False)
    pruned: float
    seconds: float

    @property
    def ratio(self) -> float:
        """Bytes in float32 over those of the file."""
        return self.float32_bytes / self.bytes

    @property
    def psnr(self) -> float | None:
        """PSNR of the file in dB; `None` where it was not measured."""
        return self.scores.get("psnr")

    @property
    def ms_ssim(self) -> float | None:
        """MS-SSIM of the file; `None` where it was not measured, or for frames too small for it."""
        return self.scores.get("ms_ssim")

    def _repr_html_(self) -> str:
        costs = [(name, getattr(self, name)) for name in ("bytes", "bpp", "ratio", "psnr_before")]
        return table(self.path.name, [*costs, *self.scores.items(), ("fps", self.fps)])
