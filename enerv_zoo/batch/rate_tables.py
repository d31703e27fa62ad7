"""Curves of rate and quality as tables: of one's own, read from a file, and of a result, for papers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from enerv_zoo.batch.tables import read_table
from enerv_zoo.config import from_dict
from enerv_zoo.errors import ConfigError
from enerv_zoo.evaluation.rates import Gain, RateCurve, RatePoint
from enerv_zoo.metrics.columns import column, installed_in
from enerv_zoo.shell import duration
from enerv_zoo.tables import Field, ResultTable

FACTS = ("setting", "bytes", "bpp", "stream_bytes", "encode_seconds", "decode_fps")
"""Columns of a point beside its scores."""


def read_curves(path: str | Path, pixels: int, metric: str) -> list[RateCurve]:
    """Read curves that were measured elsewhere, a row per point, as `points_table` writes them.

    Args:
        path: a `.csv` or `.parquet` file. Columns: `bpp` or `bytes`, and scores by the metrics' names; there may be
            `curve` (its name; by default the file's), `setting`, `stream_bytes`, `encode_seconds` and `decode_fps`.
            Others are not read.
        pixels: of all frames of the video, which turn bytes into bits per pixel.
        metric: a score that every point needs.

    Raises:
        ConfigError: the file cannot be read, or a row lacks what it needs.
    """
    path = Path(path)
    points: dict[str, list[RatePoint]] = {}
    for number, row in enumerate(read_table(path, lambda name: not (name in FACTS[1:] or installed_in({name: 0}))), 1):
        where = f"{path}: row {number}"
        scores = {name: math.inf if row[name] == "inf" else row[name] for name in installed_in(row)}
        if metric not in scores or not {"bpp", "bytes"} & row.keys():
            raise ConfigError(f"{where} needs bpp or bytes, and {metric}; it has {', '.join(row) or 'nothing'}")
        facts: dict[str, Any] = {"encode_seconds": None, "decode_fps": None, **{k: row[k] for k in FACTS if k in row}}
        for name, value in {**facts, **scores}.items():
            is_number = isinstance(value, int | float) and (math.isfinite(value) or scores.get(name) == math.inf)
            if name != "setting" and value is not None and not is_number:
                raise ConfigError(f"{where}: {name} is {value!r:.40}, expected a number")
        facts.setdefault("bpp", 8 * facts.get("bytes", 0) / pixels)
        facts.setdefault("bytes", round(facts["bpp"] * pixels / 8))
        if not facts["bpp"] > 0:
            raise ConfigError(f"{where}: {facts['bpp']:g} bits per pixel, expected more than 0")
        facts["setting"] = str(facts.get("setting", f"row {number}"))
        point = from_dict(RatePoint, {**facts, "scores": scores}, where)
        points.setdefault(str(row.get("curve", path.stem)), []).append(point)
    if not points:
        raise ConfigError(f"{path}: has no rows of a point each")
    return [RateCurve(name, {"read from": path.name}, tuple(rows)) for name, rows in points.items()]


def points_table(curves: Sequence[RateCurve]) -> ResultTable:
    """Return a row per point, curve by curve, by rate; those that comparisons leave out say why."""
    rows = []
    for curve in curves:
        reasons = {id(point): reason for point, reason in curve.left_out()}
        for point in sorted(curve.points, key=lambda point: point.bpp):
            rows.append({"curve": curve.name, **point.to_dict(), "left_out": reasons.get(id(point), "")})
    names = dict.fromkeys(name for curve in curves for point in curve.points for name in point.scores)
    fields = [
        Field("curve", ""),
        Field("setting", ""),
        Field("bytes", text="{:,}".format),
        Field("stream_bytes", "raw stream", "{:,}".format),
        Field("bpp", "bits per pixel", "{:.4f}".format),
        *(column(name).field for name in names),
        Field("encode_seconds", "encoding", lambda s: f"{s:.1f} s" if s < 60 else duration(s)),
        Field("decode_fps", "decode frames/s", "{:,.1f}".format),
        Field("left_out", "left out"),
    ]
    optional = ("stream_bytes", "left_out")
    return ResultTable([f for f in fields if f.name not in optional or any(row.get(f.name) for row in rows)], rows)


def gains_table(gains: Sequence[Gain]) -> ResultTable:
    """Return a row per curve but the anchor, with its Bjontegaard differences by each metric."""
    rows: dict[str, dict[str, Any]] = {}
    for gain in gains:
        row = rows.setdefault(gain.curve, {"curve": gain.curve, "missing": gain.missing or ""})
        row |= {f"bd_rate_{gain.metric}": gain.bd_rate, f"bd_rate_pchip_{gain.metric}": gain.bd_rate_pchip}
        row |= {f"bd_{gain.metric}": gain.bd_quality}
    fields = [Field("curve", f"against {gains[0].anchor}" if gains else None)]
    for own in map(column, dict.fromkeys(gain.metric for gain in gains)):
        fields += [
            Field(f"bd_rate_{own.name}", f"BD-rate, {own.label}", "{:+.1f} %".format),
            Field(f"bd_rate_pchip_{own.name}", "with pchip", "{:+.1f} %".format),
            Field(f"bd_{own.name}", f"BD-{own.label}", own.change),
        ]
    if any(row["missing"] for row in rows.values()):
        fields.append(Field("missing", ""))
    return ResultTable(fields, list(rows.values()))
