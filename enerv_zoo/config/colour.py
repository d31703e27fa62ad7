"""Colour of a video: how its red, green and blue are to be shown, and how files store them."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ConfigDict

from enerv_zoo.errors import ConfigError, did_you_mean

MATRICES = {"bt709": 1, "fcc": 4, "bt470bg": 5, "smpte170m": 6, "smpte240m": 7, "bt2020nc": 9}
PRIMARIES = {
    "bt709": 1, "bt470m": 4, "bt470bg": 5, "smpte170m": 6, "smpte240m": 7, "film": 8, "bt2020": 9, "smpte428": 10,
    "smpte431": 11, "smpte432": 12, "ebu3213": 22,
}  # fmt: skip
TRANSFERS = {
    "bt709": 1, "gamma22": 4, "gamma28": 5, "smpte170m": 6, "smpte240m": 7, "linear": 8, "log100": 9, "log316": 10,
    "iec61966-2-4": 11, "bt1361e": 12, "iec61966-2-1": 13, "bt2020-10": 14, "bt2020-12": 15, "smpte2084": 16,
    "smpte428": 17, "arib-std-b67": 18,
}  # fmt: skip
"""Values by FFmpeg's names, as ffprobe prints them, with their numbers in ITU-T H.273."""
_HDR = ("smpte2084", "arib-std-b67")
_WIDE = ("bt2020", "smpte431", "smpte432")


@dataclass(frozen=True)
class Colour:
    """Colour of a video, by FFmpeg's names. The defaults are those of HD video: BT.709, limited range, 8 bits.

    Frames are R'G'B' as it is coded, whatever the transfer: no tone is mapped. `primaries` and `transfer` say how these
    values are to be shown. `matrix`, `full_range` and `bits` say how a file stores them as Y'CbCr.

    Attributes:
        primaries: colours of full red, green and blue, such as `"bt709"`, `"smpte432"` (P3) or `"bt2020"`.
        transfer: curve between values and light, such as `"bt709"`, `"smpte2084"` (PQ) or `"arib-std-b67"` (HLG).
        matrix: from Y'CbCr to R'G'B', such as `"smpte170m"` (BT.601), `"bt709"` or `"bt2020nc"`.
        full_range: whether 8-bit Y' is in 0 to 255 rather than in 16 to 235.
        bits: per sample, 8 to 16.

    Raises:
        ConfigError: a name or a number that is none of these.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    primaries: str = "bt709"
    transfer: str = "bt709"
    matrix: str = "bt709"
    full_range: bool = False
    bits: int = 8

    def __post_init__(self) -> None:
        for field, legal in (("primaries", PRIMARIES), ("transfer", TRANSFERS), ("matrix", MATRICES)):
            if (value := getattr(self, field)) not in legal:
                raise ConfigError(
                    f"colour {field} {value!r:.80} is unknown.{did_you_mean(value, legal)} Known: {', '.join(legal)}"
                )
        if not 8 <= self.bits <= 16:
            raise ConfigError(f"colour bits are 8 to 16, got {self.bits}")

    @property
    def is_hdr(self) -> bool:
        """Return whether it has more than 8 bits and a transfer that needs them (PQ or HLG): 8 bits show bands."""
        return self.transfer in _HDR and self.bits > 8

    @property
    def is_wide(self) -> bool:
        """Return whether the range of tones or colours is wide: such frames look wrong where they are taken for HD."""
        return self.transfer in _HDR or self.primaries in _WIDE

    def __str__(self) -> str:
        """Describe what is not as in HD video: `"bt2020/smpte2084, matrix bt2020nc, 10 bits"`; else an empty text."""
        shown = "" if (self.primaries, self.transfer) == ("bt709", "bt709") else f"{self.primaries}/{self.transfer}"
        matrix = "" if self.matrix == "bt709" else f"matrix {self.matrix}"
        rest = ("full range" if self.full_range else "", "" if self.bits == 8 else f"{self.bits} bits")
        return ", ".join(filter(None, (shown, matrix, *rest)))


HD = Colour()
"""Colour of HD video, which is not written into descriptions; also that of sources that do not say theirs."""
