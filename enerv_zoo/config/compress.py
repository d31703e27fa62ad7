"""The description of a compression."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StrictBool

from enerv_zoo.config.parts import PartSpec, check_part
from enerv_zoo.config.plain import to_dict
from enerv_zoo.config.ranges import Bits, Fraction01, NotNegative, Positive
from enerv_zoo.errors import ConfigError
from enerv_zoo.options import Option

DEFAULT_BITS = 8
"""Bits of every weight unless a compression is told otherwise."""


@dataclass(frozen=True)
class CompressConfig:
    """Compression of a fit to a `.nvz` file. Of `bits`, `bpp` and `max_psnr_drop`, one at most is given.

    Attributes:
        bits: bits of every weight, 2 to 16; biases have at least 12. By default, weights that are levels already (of a
            fit to `bpp` or learned scales, or of a file) stay as they are, others get the levels that the fit's last
            phase rounded them to, and 8 bits where it rounded none.
        part_bits: bits of the weights of parts, by what the names of their tensors begin with; the longest name counts.
        scales: one scale per `"tensor"`, which the entropy coder likes best, per output `"channel"`, which loses less
            at equal bits, or per `"slice"` (HiNeRV's, Kwan et al. 2023). Under a target, the first two are tried for
            every tensor.
        bpp: size to stay within, in bits per pixel of the video; bits are chosen for each tensor.
        max_psnr_drop: PSNR in dB that the file may lose against the fit; bits are chosen for each tensor.
        prune: part of the weights to set to zero, from 0 to below 1.
        tune_epochs: epochs of fitting on after pruning, with rounding.
        tune: what tuning changes: `"weights"`, or only to which of the two levels beside it each goes, its `"rounding"`
            (after Nagel et al. 2020), which gains less.
        rate_weight: weight of the bits per pixel in the objective while tuning, such as 0.03.
        lr: learning rate of the tuning.
        batch_size: frames per step of the tuning.
        seed: seed of the order of frames in the tuning.
        entropy_model: entropy model of all tensors, by its name or with options; by default the one of `table` and
            `temporal` that takes the fewest bytes for each. Readers need the package of any other one.
        license: license of the weights, by its identifier on the Hub such as cc-by-4.0.
        measure: compare the fit's and the file's frames with the video's.
        embed_graph: put the network's graph into the file, too, an ONNX model without weights, with which onnxruntime
            decodes it without PyTorch. Needs the extra `enerv-zoo[export]`; its bytes are counted apart.
        sound: carry the sound along, and with it title, time of recording and chapters.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    bits: Annotated[Bits | None, Option(default="the levels of the fit, else 8")] = None
    part_bits: Annotated[dict[str, Bits], Option(example="embeddings=6,head=10")] = field(default_factory=dict)
    scales: Literal["tensor", "channel", "slice"] = "tensor"
    bpp: Positive | None = None
    max_psnr_drop: NotNegative | None = None
    prune: Fraction01 = 0.0
    tune_epochs: Annotated[int, Field(ge=0)] = 0
    tune: Literal["weights", "rounding"] = "weights"
    rate_weight: NotNegative = 0.0
    lr: Positive = 5e-4
    batch_size: Annotated[Annotated[int, Field(ge=1, le=1 << 20)] | None, Option(default="the fit's own")] = None
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    entropy_model: Annotated[
        Annotated[PartSpec, check_part("entropy_model", "{name: table}")] | None,
        Option(
            "Names: enerv-zoo models --parts.", kind="entropy_model", metavar="MODEL", default="the best per tensor"
        ),
    ] = None
    license: Annotated[str | None, Option(default="what the fit says")] = None
    measure: Annotated[StrictBool, Option("It takes the video.")] = True
    embed_graph: StrictBool = False
    sound: StrictBool = True

    def __post_init__(self) -> None:
        targets = {"bits": self.bits, "bpp": self.bpp, "max_psnr_drop": self.max_psnr_drop}
        names = [name for name, value in targets.items() if value is not None]
        if len(names) > 1:
            raise ConfigError(f"{' and '.join(names)} were given; give one of them, the others follow from it")
        if self.part_bits and self.searches:
            raise ConfigError(f"{names[0]} chooses the bits of each tensor; give it without part_bits, or bits instead")
        if self.rate_weight and not self.tune_epochs:
            raise ConfigError("the rate is in the objective while tuning; give tune_epochs (--tune-epochs), too")
        if self.tune != "weights" and not self.tune_epochs:
            raise ConfigError("tune says what tuning changes; give tune_epochs (--tune-epochs), too")

    def changes(self) -> dict[str, Any]:
        """Return the options that decide what the networks are, but for those with their defaults, as plain data."""
        defaults = to_dict(type(self)())
        return {
            name: value
            for name, value in to_dict(self).items()
            if value != defaults[name] and name not in ("license", "measure", "sound")
        }

    @property
    def searches(self) -> bool:
        """Return whether the bits of each tensor are chosen for a target."""
        return self.bpp is not None or self.max_psnr_drop is not None

    @property
    def needs_video(self) -> bool:
        """Return whether the original is needed."""
        return self.tune_epochs > 0 or self.max_psnr_drop is not None
