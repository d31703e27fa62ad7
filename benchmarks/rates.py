"""Results of `rate_distortion.py`: the rows of their table, and a picture of each clip's curves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from common import IMAGES

from enerv_zoo.evaluation.pictures import plot_rates
from enerv_zoo.evaluation.rates import Gain, RateCurve, RatePoint, gains

RATES = (
    "source", "family or codec", "bits per pixel", "PSNR, dB", "BD-rate", "BD-PSNR", "seconds per point",
    "decode frames/s",
)  # fmt: skip


def rate_curve(curve: dict[str, Any]) -> RateCurve:
    points = tuple(RatePoint.from_dict(each, "rd") for each in curve["points"])
    return RateCurve(curve["name"], curve["settings"], points)


def psnr_gains(record: dict[str, Any]) -> dict[str, Gain]:
    """Compare the measured points of a result of `rd` with those of x264, as this version does."""
    curves = [rate_curve(curve) for curve in record["curves"]]
    return {gain.curve: gain for gain in gains(curves, "x264") if gain.metric == "psnr"}


def draw_rates(records: list[dict[str, Any]]) -> None:
    """Draw a picture for each clip, of all its curves but those of fits that go on from a higher rate."""
    for record in records:
        curves = [rate_curve(curve) for curve in record["curves"] if ", then " not in curve["name"]]
        plot_rates(curves, IMAGES / f"rd-{record['case']['video']}.png")


def merged_by_clip(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a record of `rd` for each clip: the networks of all its results, and the codecs of the first."""
    clips: dict[str, dict[str, Any]] = {}
    for record in records:
        curves = [{**curve, "name": curve_name(curve)} for curve in record["curves"]]
        clip = clips.setdefault(clip_text(record), {**record, "curves": []})
        names = {curve["name"] for curve in clip["curves"]}
        clip["curves"] += [curve for curve in curves if curve["name"] not in names]
    for clip in clips.values():
        clip["curves"].sort(key=_networks_first)
    return list(clips.values())


def _networks_first(curve: dict[str, Any]) -> tuple[bool, str, int]:
    """Order networks by family and epochs, the most first; codecs follow as they come."""
    epochs = curve["settings"].get("epochs")
    if epochs is None:
        return True, "", 0
    return False, curve["name"].partition(",")[0], -int(epochs.partition(",")[0])


def curve_name(curve: dict[str, Any]) -> str:
    epochs = curve["settings"].get("epochs")
    return f"{curve['name']}, {epochs} epochs" if epochs else curve["name"]


def clip_text(record: dict[str, Any]) -> str:
    video = record["video"]
    return f"{record['case']['video']}, {video['frames']} frames of {video['width']}x{video['height']}"


def rate_rows(record: dict[str, Any]) -> Iterator[list[str]]:
    """A row for every curve of `rd`: the range of its points, and how far it is from the anchor."""
    source = clip_text(record)
    differences = psnr_gains(record)
    for curve in record["curves"]:
        points, gain = curve["points"], differences.get(curve["name"])
        ends = {key: sorted(point[key] for point in points) for key in ("bpp", "psnr", "encode_seconds", "decode_fps")}
        rate, quality = (gain.bd_rate, gain.bd_quality) if gain else (None, None)
        yield [
            source,
            curve["name"],
            f"{ends['bpp'][0]:.3f} to {ends['bpp'][-1]:.3f}",
            f"{ends['psnr'][0]:.2f} to {ends['psnr'][-1]:.2f}",
            "anchor" if gain is None else "no comparison" if rate is None else f"{round(rate):+d} %",
            "" if gain is None or quality is None else f"{quality:+.2f} dB",
            f"{ends['encode_seconds'][0]:,.1f} to {ends['encode_seconds'][-1]:,.1f}",
            f"{ends['decode_fps'][len(points) // 2]:,.0f}",
        ]
        source = ""
