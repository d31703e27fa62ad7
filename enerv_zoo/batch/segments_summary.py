"""Scores of a video in segments as a whole, from those of its segments' fits."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from enerv_zoo.evaluation.apart import frames_apart, why_missing
from enerv_zoo.evaluation.report import bits_per_pixel, read_frames
from enerv_zoo.files import write_json, write_text
from enerv_zoo.fitting.folder import FRAMES
from enerv_zoo.metrics.columns import MISSING, flat, names_in
from enerv_zoo.metrics.scoring import weighted_means
from enerv_zoo.parsing import read_mapping
from enerv_zoo.storage.record import METRICS
from enerv_zoo.storage.segments import SegmentsDescription, segment_folder


def summarise(folder: Path, description: SegmentsDescription) -> dict[str, Any]:
    """Return scores of the whole, means over frames of its segments. Writes `metrics.json` and `frames.csv`."""
    parts = [read_mapping(segment_folder(folder, n) / METRICS) for n in range(len(description.segments))]
    measured = [part["frames_measured"] for part in parts]
    names = names_in(parts[0])
    files = (segment_folder(folder, n) / FRAMES for n in range(len(parts)))
    apart = frames_apart((row.scores, row.unseen) for file in files for row in read_frames(file))
    scores = {**weighted_means(list(zip(parts, measured, strict=True)), names), **apart}
    missing = why_missing(scores, {name: reason for name in names if (reason := parts[0].get(name + MISSING))})
    total = {name: sum(part[name] for part in parts) for name in ("stored_numbers", "stored_bytes", "fit_seconds")}
    info = description.video
    metrics = {
        **flat(scores, missing),
        "bpp": bits_per_pixel(total["stored_bytes"], info),
        "fps": sum(measured) / sum(count / part["fps"] for part, count in zip(parts, measured, strict=True)),
        **total,
        "device": parts[0]["device"],
        "model": parts[0]["model"],
        "segments": len(parts),
        "frames": info.frames,
        "frames_measured": sum(measured),
        "height": info.height,
        "width": info.width,
        "epochs": max(part["epochs"] for part in parts),
        "fit_frames_per_second": sum(part["fit_frames_per_second"] * part["fit_seconds"] for part in parts)
        / max(total["fit_seconds"], 1e-9),
        "recoveries": [{"segment": n, **each} for n, part in enumerate(parts) for each in part["recoveries"]],
    }
    _write_frames(folder, description)
    write_json(folder / METRICS, metrics)
    return metrics


def _write_frames(folder: Path, description: SegmentsDescription) -> None:
    """Write one `frames.csv` for the whole, numbered as the whole is."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    for number, segment in enumerate(description.segments):
        head, *rows = csv.reader((segment_folder(folder, number) / FRAMES).read_text(encoding="utf-8").splitlines())
        if number == 0:
            table.writerow(head)
        table.writerows([int(row[0]) + segment.first, *row[1:]] for row in rows)
    write_text(folder / FRAMES, text.getvalue())
