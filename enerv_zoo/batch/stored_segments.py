"""Videos in segments in a store: cut once, fitted segment by segment by anyone, and summed up."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from enerv_zoo.batch.jobs import FitJob
from enerv_zoo.batch.segments import SegmentsJob
from enerv_zoo.batch.segments_summary import summarise
from enerv_zoo.batch.store import Store
from enerv_zoo.fitting.choice import choose
from enerv_zoo.fitting.folder import FRAMES
from enerv_zoo.fitting.plan import read_contents
from enerv_zoo.parsing import read_mapping
from enerv_zoo.storage.record import METRICS, RECORD
from enerv_zoo.storage.segments import SEGMENTS, segment_folder, segments_from_json, segments_to_json
from enerv_zoo.storage.sound import SOUND, write_sound


def cut(job: SegmentsJob, root: str) -> list[FitJob]:
    """Decide where a long video is cut, once and for all, and give the jobs of its segments.

    Raises:
        EnervZooError: the video cannot be read, or the store holds another fit under this name.
    """
    store = Store(root)
    job = replace(job, plan=replace(job.plan, contents=read_contents(job.source)))
    before = store.read(f"{job.name}/{RECORD}")
    if before is not None:
        job = job.as_begun(before, f"{store.root}/{job.name}")
    segments = store.read(f"{job.name}/{SEGMENTS}")
    if before is not None and segments is not None:
        description = segments_from_json(segments, f"{job.name}/{SEGMENTS}")
    else:
        description, read_sound = job.describe()
        job = replace(job, plan=job.plan.for_colour(description.video.colour))
        lengths = [segment.frames for segment in description.segments]
        job, description = job.decided(choose(job.plan, job.source, segments=lengths), description)
        store.write(f"{job.name}/{SEGMENTS}", segments_to_json(description))
        with tempfile.TemporaryDirectory(prefix="enerv-zoo-") as scratch:
            write_sound(read_sound(), Path(scratch))
            if (Path(scratch) / SOUND).is_file():
                store.put(Path(scratch) / SOUND, f"{job.name}/{SOUND}")
        store.write(f"{job.name}/{RECORD}", job.record())  # last: with it, all of this is done
    return job.jobs(description)


def finish(name: str, root: str) -> dict[str, Any]:
    """Sum up a video whose segments are all fitted, and return its metrics.

    Raises:
        EnervZooError: a segment is missing, or the store fails.
    """
    store = Store(root)
    with tempfile.TemporaryDirectory(prefix="enerv-zoo-") as scratch:
        folder = Path(scratch)
        store.get(f"{name}/{SEGMENTS}", folder / SEGMENTS)
        description = segments_from_json(read_mapping(folder / SEGMENTS), f"{name}/{SEGMENTS}")
        for number in range(len(description.segments)):
            part = segment_folder(folder, number)
            for file in (METRICS, FRAMES):
                store.get(f"{name}/{part.name}/{file}", part / file)
        metrics = summarise(folder, description)
        for file in (FRAMES, METRICS):
            store.put(folder / file, f"{name}/{file}")
    return metrics
