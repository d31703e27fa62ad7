"""The descriptions of a video, of a fit and of a recipe.

Frozen dataclasses that turn into plain dicts and back. Reading validates: unknown keys, wrong types and values out of
range raise `ConfigError` with the place and the legal keys, before anything is allocated.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import ConfigDict, Field, PlainValidator, StrictBool, TypeAdapter, ValidationError

from enerv_zoo.errors import ConfigError, did_you_mean
from enerv_zoo.options import Option, parse_seconds

Spec = dict[str, Any]
"""A part: its `name` and its options."""

PartSpec = str | dict[str, Any]
"""A part by its name, or as a spec of its name and options."""

LossSpec = str | dict[str, Any]
"""A loss as plain data: a name, a spec of a name and options, or the weights of terms; see `enerv_zoo.losses`."""

MetricSpec = str | dict[str, Any]
"""A metric as plain data: a name, or a spec of a name and options; see `enerv_zoo.metrics`."""

DEFAULT_METRICS: tuple[MetricSpec, ...] = ("psnr", "ms_ssim")
"""What fits are measured by, unless other metrics are named."""

Count = Annotated[int, Field(ge=1, le=1 << 31)]
Side = Annotated[int, Field(ge=1, le=65_536)]
Width = Annotated[int, Field(ge=1, le=1 << 20)]
Factor = Annotated[int, Field(ge=1, le=64)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction01 = Annotated[float, Field(ge=0, lt=1)]

MAX_SPEC = 1 << 16
"""Characters of a loss, or of another part of a recipe, as JSON; what is longer comes from no one who wrote it."""


def _as_json(kind: str, value: Any) -> Any:
    """A value as JSON has it, if that can hold it and is not too long."""
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ValueError(f"the {kind} holds more than finite numbers and texts: {reprlib.repr(value)}") from None
    if len(text) > MAX_SPEC:
        raise ValueError(f"the {kind} takes {len(text)} characters, expected {MAX_SPEC} at most")
    return json.loads(text)


def _check_part(kind: str, example: str) -> PlainValidator:
    """What checks that a value has the form of a part; name and options are checked where it is built."""

    def check(value: Any) -> PartSpec:
        plain = _as_json(kind, value)
        if not (isinstance(plain, str) or (isinstance(plain, dict) and isinstance(plain.get("name"), str))):
            raise ValueError(f"the {kind} is a name, or a name with options ({example}), got {reprlib.repr(value)}")
        return plain

    return PlainValidator(check)


def as_spec(part: PartSpec) -> Spec:
    """A part that was given by its name, or by name and options, as a spec of its own."""
    return {"name": part} if isinstance(part, str) else dict(part)


def _check_loss(loss: Any) -> LossSpec:
    """A loss as JSON has it, if it has the form of one; names and options are checked where it is built."""
    plain = _as_json("loss", loss)
    if not isinstance(loss, str) and not (isinstance(loss, dict) and loss and _names_or_weighs(loss)):
        raise ValueError(
            "a loss is a name (Fusion6), a name with options ({name: charbonnier, eps: 1e-3}) or weights of terms "
            f"({{L1: 0.7, SSIM: 0.3}}), got {reprlib.repr(loss)}"
        )
    return plain


def _names_or_weighs(loss: Mapping[Any, Any]) -> bool:
    if not all(isinstance(key, str) for key in loss):
        return False
    weights = (term.get("weight") if isinstance(term, dict) else term for term in loss.values())
    return isinstance(loss.get("name"), str) or all(
        isinstance(weight, int | float) and not isinstance(weight, bool) for weight in weights
    )


DEFAULT_FPS = 25.0
"""Frames per second of a video that has no rate of its own."""

SQUARE = Fraction(1)
"""The pixel aspect of square pixels."""
MAX_TERM = 65_535
"""Largest term of a pixel aspect, as in H.264's sequence header."""

Config = TypeVar("Config")


def size_text(height: int, width: int) -> str:
    """A size for people, WIDTHxHEIGHT: `"1280x720"` of a height of 720 and a width of 1280."""
    return f"{width}x{height}"


def as_pixel_aspect(value: Any) -> Fraction:
    """A pixel aspect from a `Fraction`, or from text as ffprobe prints it, such as `"128:117"`.

    Raises:
        ValueError: it is neither, or a term is 0 or above 65,535.
    """
    if isinstance(value, str) and (match := re.fullmatch(r"([0-9]{1,5}):([0-9]{1,5})", value)) and int(match[2]):
        value = Fraction(int(match[1]), int(match[2]))
    if isinstance(value, Fraction) and 1 <= value.numerator <= MAX_TERM and value.denominator <= MAX_TERM:
        return value
    raise ValueError(f"a pixel aspect is a ratio of 1 to {MAX_TERM} such as '128:117', got {value!r:.80}")


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video apart from its pixels.

    Attributes:
        frames: number of frames N.
        height, width: in pixels.
        fps: frames per second; `None` where the source has none (a folder, a still).
        timestamps: seconds at which each frame is shown, for a variable frame rate; `None` where it is constant.
        name: what to call the video.
        attribution: who made it and under which licence, where known.
        pixel_aspect: width of a pixel over its height on the screen (the sample aspect ratio); 1 where pixels are
            square, which is not written into files.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    frames: Count
    height: Side
    width: Side
    fps: Positive | None = None
    timestamps: tuple[Finite, ...] | None = None
    name: str = "video"
    attribution: str | None = None
    pixel_aspect: Annotated[Fraction, PlainValidator(as_pixel_aspect)] = SQUARE

    def __post_init__(self) -> None:
        if self.timestamps is not None and len(self.timestamps) != self.frames:
            raise ConfigError(f"{len(self.timestamps)} timestamps for {self.frames} frames; one per frame is needed")

    @property
    def size_text(self) -> str:
        """The frames' size for people, WIDTHxHEIGHT."""
        return size_text(self.height, self.width)

    @property
    def pixels(self) -> int:
        """Of all frames together."""
        return self.frames * self.height * self.width


@dataclass(frozen=True)
class VideoSelection:
    """Which part of a video is taken, and how; what is `None` is as `enerv_zoo.open_video` has it.

    Attributes:
        frames: which frames, such as 0:53, 10:, ::2 or 5.
        resize: resize frames (antialiased): WIDTHxHEIGHT, or with the aspect kept 360p (the shorter side), 256 (the
            longest), 50%, or 0.5MP (pixels).
        crop: crop frames about the centre, before resizing.
        square_pixels: resample pixels that are not square, or take frames as they are stored.
        stream: which video stream of a file, from 0.
        yuv: format of raw video, such as 1920x1080:yuv420p:50.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    frames: Annotated[str | None, Option()] = None
    resize: Annotated[str | int | tuple[int, int] | None, Option(parse=str, metavar="SIZE")] = None
    crop: Annotated[str | tuple[int, int] | None, Option(parse=str, metavar="WIDTHxHEIGHT")] = None
    square_pixels: Annotated[StrictBool | None, Option(flags="--square-pixels/--stored-pixels", default="stored")] = (
        None
    )
    stream: Annotated[Annotated[int, Field(ge=0)] | None, Option(default="the default one, as FFmpeg chooses")] = None
    yuv: Annotated[str | None, Option(metavar="WxH:FORMAT:FPS", default="as the name of a .yuv file says")] = None


SELECTION = tuple(each.name for each in dataclasses.fields(VideoSelection))
"""What selects a part of a video, by name."""


@dataclass(frozen=True)
class FitConfig:
    """How a network is fitted to a video. The defaults are E-NeRV's published recipe (Li et al. 2022, section 4.1).

    Attributes:
        epochs: passes over all frames.
        batch_size: frames per step; `None` measures which one the device works at well, and scales `lr` with its root.
        lr: peak learning rate.
        optimizer: an optimizer, timm's or a registered one, by its name or with options; see `enerv_zoo.optimizers`.
        betas: the optimiser's moment decays, as many as it has; `None` for its own defaults, as is the rule for others
            than Adam.
        eps: the optimiser's epsilon.
        weight_decay: the optimiser's weight decay.
        loss: a loss by its name, weights of several, or one with options; `{"name": ..., <option>: ...}` as plain
            data, or what a callable of one's own is called. See `enerv_zoo.losses`.
        schedule: schedule of the rate, by its name or with options; `{"name": ..., <option>: ...}` as plain data.
        warmup: fraction of all steps in which the rate rises from 0.1 lr to lr; then the schedule goes its way, by
            default a half cosine to 0.
        rates: factors on the rate of parts of the network, by the names with which their parameters' names begin;
            `{"embeddings": 0.1, "embeddings.time": 0.5, "head": 2}`. The longest one counts; 0 leaves a part as it is.
        clip_grad: largest allowed L2 norm of the gradient; `None` leaves it alone.
        shuffle: random order of the frames of an epoch (a function of seed and epoch).
        seed: seed of the initial weights and of the order of frames.
        eval_every: epochs between evaluations on all frames, 0 for one at the end alone.
        checkpoint_every: seconds between checkpoints, 0 for one after every step.
        time_budget: time for the whole fit, evaluation included, in place of epochs; in seconds. The schedule is
            stretched to the measured speed. Options that give both are refused; either overrules the other of a recipe.
        precision: precision of convolutions: float32, bfloat16, or auto for bfloat16 where the device is faster in it
            (GPUs, some CPUs). The fitted network is float32 in any case.
        deterministic: use only algorithms that give the same numbers on every run.
        prune: part of the weights that is zero, from 0 to below 1: those of smallest magnitude when the phase begins
            (Chen et al. 2021, section 3.3).
        bits: bits of the weights that steps see, 2 to 16: they are rounded in the forward pass, and gradients pass
            straight through (Bengio et al. 2013); `None` for exact weights. The fitted weights themselves stay exact.
        scales: how many scales the rounding has: one per `"tensor"` or one per output `"channel"`.
        rate_weight: weight, in the loss, of the weights' estimated bits per pixel; with `bits` alone.
        phases: what follows this phase: each is a mapping of these options (all but `seed`, `precision`,
            `deterministic`, `time_budget`, `eval_every`, `checkpoint_every`, `metrics` and `phases`) on top of those
            before it, with an optimizer and a schedule of its own. `epochs` of a phase are its own.
        metrics: metrics of the fitted frames; as `enerv_zoo.evaluate` takes them, and the first one leads.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")
    LATER: ClassVar = ("schedule", "rates", "prune", "bits", "scales", "rate_weight", "phases", "metrics")
    WHOLE: ClassVar = (
        "seed", "precision", "deterministic", "time_budget", "eval_every", "checkpoint_every", "phases", "metrics",
    )  # fmt: skip
    """Options of the whole fit, which phases cannot change."""

    epochs: Annotated[int, Field(ge=1, le=10_000_000)] = 300
    batch_size: Annotated[
        Annotated[int, Field(ge=1, le=1 << 20)] | None,
        Option("By default under a time budget, what suits the device."),
    ] = 1
    lr: Positive = 5e-4
    optimizer: Annotated[
        PartSpec,
        _check_part("optimizer", "{name: adan, no_prox: true}"),
        Option(
            "Names: enerv-zoo models --parts.", example="adam, adan or '{name: adan, no_prox: true}'", kind="optimizer"
        ),
    ] = "adam"
    betas: Annotated[
        Annotated[tuple[Fraction01, ...], Field(min_length=2, max_length=3)] | None, Option(example="0.9,0.999")
    ] = (0.5, 0.999)
    eps: Positive = 1e-8
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    loss: Annotated[
        LossSpec,
        PlainValidator(_check_loss),
        Option(
            "Names and options: enerv-zoo models --parts. Also '{name: charbonnier, eps: 1e-2}'.",
            example="L1=0.7,SSIM=0.3",
            kind="loss",
        ),
    ] = "Fusion6"
    schedule: Annotated[
        PartSpec,
        _check_part("schedule", "{name: cosine, floor: 0.01}"),
        Option(example="cosine, linear, constant or '{name: cosine, floor: 0.01}'", kind="schedule"),
    ] = "cosine"
    warmup: Fraction01 = 0.2
    rates: Annotated[
        dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]], Option(example="embeddings=0.1,head=2")
    ] = field(default_factory=dict)
    clip_grad: Positive | None = None
    shuffle: StrictBool = True
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    eval_every: Annotated[int, Field(ge=0)] = 0
    checkpoint_every: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 60.0
    time_budget: Annotated[
        Positive | None, Option(example="120s, 10m or 1.5h", parse=parse_seconds, metavar="TIME")
    ] = None
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    deterministic: StrictBool = False
    prune: Fraction01 = 0.0
    bits: Annotated[int, Field(ge=2, le=16)] | None = None
    scales: Literal["tensor", "channel"] = "tensor"
    rate_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    phases: Annotated[tuple[Spec, ...], Option(example="'{epochs: 10, bits: 6}'")] = ()
    metrics: Annotated[
        Annotated[tuple[MetricSpec, ...], Field(min_length=1, max_length=32)],
        Option(
            "The first one leads. Names and options: enerv-zoo models --parts.",
            example="psnr,psnr_yuv",
            default="psnr,ms_ssim",
            kind="metric",
        ),
    ] = DEFAULT_METRICS

    def __post_init__(self) -> None:
        if self.rate_weight and self.bits is None:
            raise ConfigError("rate_weight weighs the bits of rounded weights; give bits, too")
        if not self.phases:
            return
        if self.time_budget is not None:
            raise ConfigError("phases last for epochs, and this fit for a time budget; give epochs instead")
        self.split()  # refuses what a phase cannot say

    def split(self) -> list[FitConfig]:
        """Return the phases in order, each as a config of its own without phases; the first is this one.

        Raises:
            ConfigError: a phase has an unknown option, one of the whole fit, or no epochs.
        """
        parts = [dataclasses.replace(self, phases=())]
        for number, phase in enumerate(self.phases, start=2):
            where = f"phase {number}"
            if fixed := sorted(phase.keys() & set(self.WHOLE)):
                raise ConfigError(f"{where}: {fixed[0]} is an option of the whole fit; give it outside the phases")
            if "epochs" not in phase:
                raise ConfigError(f"{where}: does not say for how many epochs; give it epochs")
            parts.append(from_dict(FitConfig, {**vars(parts[-1]), **phase}, where))
        return parts

    @property
    def total_epochs(self) -> int:
        """Epochs of all phases."""
        return self.epochs + sum(phase["epochs"] for phase in self.phases)


@dataclass(frozen=True)
class Recipe:
    """A file in `configs/`: which network, how fitted, on which part of a video.

    Attributes:
        description: one line for listings.
        model: `{"name": family, "size": "1.5M", <family keyword>: ...}`.
        fit: fields of `FitConfig`.
        video: fields of `VideoSelection`.
        others: name of the recipe that is taken instead for any other family than `model` names, if there is one.
        format: 2. Files and plain data without it are of format 1, whose sizes as text are HEIGHTxWIDTH; they are
            converted by `enerv_zoo.compatibility` when they are read.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    description: str = ""
    model: Spec = field(default_factory=lambda: {"name": "enerv"})
    fit: Spec = field(default_factory=dict)
    video: Spec = field(default_factory=dict)
    others: str | None = None
    format: Literal[2] = 2


def to_dict(config: Any) -> dict[str, Any]:
    """Return a config as plain data (dicts, lists, numbers, strings) that JSON and YAML can hold.

    Fields that its class names in `LATER` are left out where they have their defaults: records from before they existed
    then say the same, and so do the ids of fits.
    """
    plain = json.loads(json.dumps(dataclasses.asdict(config, dict_factory=_plain)))
    later = getattr(config, "LATER", ())
    unused = {f.name for f in dataclasses.fields(config) if f.name in later and getattr(config, f.name) == _default(f)}
    return {name: value for name, value in plain.items() if name not in unused}


def _default(item: dataclasses.Field[Any]) -> Any:
    return item.default if item.default_factory is dataclasses.MISSING else item.default_factory()


def _plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the fields of a dataclass as JSON has them; square pixels and recipes without others are not mentioned."""
    plain = dict(items)
    if plain.get("others", "") is None:
        del plain["others"]
    if isinstance(aspect := plain.get("pixel_aspect"), Fraction):
        del plain["pixel_aspect"]
        if aspect != SQUARE:
            plain["pixel_aspect"] = f"{aspect.numerator}:{aspect.denominator}"
    return plain


def from_dict(kind: type[Config], data: Any, where: str = "") -> Config:
    """Plain data as a config.

    Args:
        kind: the config's class.
        data: what `to_dict` gives.
        where: where the data come from, for messages.

    Raises:
        ConfigError: an unknown key, a missing one, a wrong type or a value out of range.
    """
    prefix = f"{where}: " if where else ""
    if not isinstance(data, Mapping):
        raise ConfigError(f"{prefix}expected a mapping of {kind.__name__} options, got {type(data).__name__}")
    try:
        return _adapter(kind).validate_python(dict(data))  # type: ignore[arg-type]  # classes are hashable
    except ValidationError as error:
        problems = error.errors(include_url=False)
        first = next((p for p in problems if p["type"] == "unexpected_keyword_argument"), problems[0])
        place = ".".join(str(step) for step in first["loc"])
        if first["type"] == "value_error":
            raise ConfigError(f"{prefix}{first['ctx']['error']}") from None
        if first["type"] == "unexpected_keyword_argument":
            legal = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
            key = str(first["loc"][-1])
            raise ConfigError(
                f"{prefix}{kind.__name__} has no option {place!r}.{did_you_mean(key, legal)} "
                f"Its options: {', '.join(legal)}"
            ) from None
        message = first["msg"][:1].lower() + first["msg"][1:]
        raise ConfigError(f"{prefix}{kind.__name__} option {place!r}: {message}, got {first['input']!r:.80}") from None


@functools.cache
def _adapter(kind: type[Config]) -> TypeAdapter[Config]:
    """Return what validates a config's fields; to derive it from the class takes milliseconds."""
    return TypeAdapter(kind)
