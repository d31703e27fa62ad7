"""Options that several commands share."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from enerv_zoo.cli import completion
from enerv_zoo.config import parse_yaml
from enerv_zoo.errors import ConfigError

VIDEO = "A video file, a folder of images, or a sample name such as bunny."
FRAMES = "Which frames, such as 0:53, 10:, ::2 or 5."

Video = Annotated[
    str, typer.Argument(metavar="VIDEO", help=VIDEO, show_default=False, autocompletion=completion.videos)
]
_RUN = typer.Argument(
    metavar="RUN",
    help="The folder of a fit, a .nvz file, a bundled name, or a repository on the Hub such as user/bunny.",
    show_default=False,
    autocompletion=completion.fits,
)
Run = Annotated[str, _RUN]
OptionalRun = Annotated[str | None, _RUN]
Revision = Annotated[
    str | None, typer.Option(help="Branch, tag or commit of a repository on the Hub.", show_default="main")
]
Frames = Annotated[str | None, typer.Option(help=FRAMES, show_default=False)]
Resize = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Resize frames (antialiased): WIDTHxHEIGHT, or with the aspect kept 360p (the shorter side), 256 (the "
        "longest), 50%, or 0.5MP (pixels).",
        show_default=False,
    ),
]
Crop = Annotated[
    str | None,
    typer.Option(metavar="WIDTHxHEIGHT", help="Crop frames about the centre, before resizing.", show_default=False),
]
SquarePixels = Annotated[
    bool | None,
    typer.Option(
        "--square-pixels/--stored-pixels",
        help="Resample pixels that are not square, or take frames as they are stored.",
        show_default="stored",
    ),
]
Stream = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Which video stream of a file, from 0.",
        show_default="the default one, as FFmpeg chooses",
    ),
]
Yuv = Annotated[
    str | None,
    typer.Option(
        metavar="WxH:FORMAT:FPS",
        help="Format of raw video, such as 1920x1080:yuv420p:50.",
        show_default="as the name of a .yuv file says",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


def parse_metrics(text: str) -> list[Any]:
    """Names that commas separate, or a list in YAML of names and `{name: ..., <option>: ...}`."""
    try:
        specs = parse_yaml(text)
    except ConfigError as error:
        raise typer.BadParameter(f"{text!r} is {error}") from None
    if isinstance(specs, dict):
        return [specs]
    return specs if isinstance(specs, list) else [name.strip() for name in text.split(",") if name.strip()]


Metrics = Annotated[
    Any,  # a list, which Typer would want as an option given several times
    typer.Option(
        help="What to measure by (enerv-zoo models --parts), separated by commas; the first one leads.",
        parser=parse_metrics,
        metavar="NAME,...",
        show_default="psnr,ms_ssim",
        autocompletion=completion.metrics,
    ),
]


def parse_seconds(text: str) -> float:
    """A duration such as `"120s"`, `"10m"`, `"1.5h"` or `"90"` in seconds."""
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([smh]?)\s*", text)
    if match is None:
        raise typer.BadParameter(f"expected a time such as 120s, 10m or 1.5h, got {text!r}")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def parse_betas(text: str) -> tuple[float, ...]:
    """`"0.9,0.999"`, or three, as numbers."""
    try:
        betas = tuple(float(number) for number in text.split(","))
    except ValueError:
        betas = ()
    if len(betas) not in (2, 3) or not all(0 <= beta < 1 for beta in betas):
        raise typer.BadParameter(
            f"expected two or three numbers from 0 to below 1, separated by commas, such as 0.9,0.999, got {text!r}"
        )
    return betas


def parse_part(text: str) -> Any:
    """A part's name, or a mapping of name and options in YAML, as `FitConfig` takes it."""
    try:
        part = parse_yaml(text)
    except ConfigError as error:
        raise typer.BadParameter(f"{text!r} is {error}") from None
    return part if isinstance(part, dict | list) else text


def parse_factors(text: str, example: str = "one factor for each part, such as embeddings=0.1,head=2") -> Any:
    """`"head=2,embeddings=0.1"`, or a mapping in YAML, as a dict."""
    factors = parse_part(text)
    if isinstance(factors, dict | list):
        return factors
    pairs = [assignment.partition("=")[::2] for assignment in text.split(",")]
    try:
        factors = {name.strip(): float(factor) for name, factor in pairs}
    except ValueError:
        factors = {}
    if len(factors) < len(pairs):
        raise typer.BadParameter(f"expected {example}, got {text!r}")
    return factors


def parse_loss(text: str) -> Any:
    """A loss's name, `"L1=0.7,SSIM=0.3"`, or a mapping in YAML, as `FitConfig` takes it."""
    loss = parse_part(text)
    if isinstance(loss, dict | list) or "=" not in text:
        return loss
    return parse_factors(text, "one weight for each loss, such as L1=0.7,SSIM=0.3")


def parse_assignments(assignments: list[str]) -> dict[str, Any]:
    """`["fc_dim=64", "stem_dim=[512]"]` as a dict; values are read as YAML."""
    options = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key.strip():
            raise typer.BadParameter(f"expected NAME=VALUE such as fc_dim=64, got {assignment!r}", param_hint="'--set'")
        try:
            options[key.strip()] = parse_yaml(value)
        except ConfigError:
            message = f"the value in {assignment!r} is no number, word or list"
            raise typer.BadParameter(message, param_hint="'--set'") from None
    return options
