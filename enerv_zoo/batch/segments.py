"""A long video as segments, fitted one after the other: each is a fit of its own, in a folder of its own.

What is in memory is what one segment's fit takes, whatever the length: its frames are read from the nearest keyframe,
and everything of it goes before the next one begins.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Unpack, cast

from enerv_zoo.batch.jobs import WORK_LEFT, FitJob, Runner, Todo, job_of
from enerv_zoo.batch.segments_summary import summarise
from enerv_zoo.config import OPEN, Recipe, to_dict
from enerv_zoo.errors import ConfigError, FitError
from enerv_zoo.files import remove_leftovers, write_json
from enerv_zoo.fitting.choice import choose_on_zero
from enerv_zoo.fitting.cuts import parse_segments, plan_segments
from enerv_zoo.fitting.first_weights import closed_form_parts
from enerv_zoo.fitting.folder import OURS, State, begins_anew, clear, fit_state, locked_by_zero, segments_state
from enerv_zoo.fitting.plan import FitPlan, as_begun, default_recipe, difference, plan_fit, read_contents
from enerv_zoo.fitting.ranks import join
from enerv_zoo.fitting.result import ENDED
from enerv_zoo.keywords import FitOptions
from enerv_zoo.loading import load
from enerv_zoo.machine import release_memory
from enerv_zoo.meta import MetaParameters
from enerv_zoo.network import Network
from enerv_zoo.parsing import read_mapping
from enerv_zoo.progress import OnStatus
from enerv_zoo.segmented import SegmentedVideo
from enerv_zoo.storage.record import METRICS, RECORD
from enerv_zoo.storage.segments import (
    SEGMENTS,
    Segment,
    SegmentsDescription,
    is_segmented,
    read_segments,
    segment_folder,
    write_segments,
)
from enerv_zoo.storage.sound import write_sound
from enerv_zoo.video.origin import protected
from enerv_zoo.video.scenes import Survey, survey
from enerv_zoo.video.selection import Selection
from enerv_zoo.video.source import ReadSound
from enerv_zoo.zoo import Model, chosen_config

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SegmentsJob:
    """A long video that is to be fitted in segments, fully decided but for where it is cut.

    Attributes:
        name: of its folder, among those of other jobs; empty where the folder is that of all.
        source: the video, as `enerv_zoo.fit` takes it.
        plan: how each segment is fitted.
        segments: how to cut.
        frames_in: where frames are while fitting.
        warm_start: which segments begin with the weights of the one before, as `fit_segments` takes it.
    """

    name: str
    source: Any
    plan: FitPlan
    segments: str
    frames_in: str = "auto"
    warm_start: bool | None = False
    sound: bool = True

    def __post_init__(self) -> None:
        if self.plan.fit.bpp is not None and self.plan.model.get("size") == OPEN:
            raise ConfigError("a rate (bpp) chooses the size of one network; add size, that of each segment's network")
        whole = self.whole  # whose names are absolute: other machines know no folder of ours
        object.__setattr__(self, "source", whole.source)
        object.__setattr__(self, "plan", replace(self.plan, mask=whole.mask, reference=whole.reference))

    @property
    def whole(self) -> FitJob:
        """The plan as a fit of the whole video."""
        return job_of(self.name, self.source, self.plan, self.frames_in)

    def todo(self, out: str | Path, device: str = "auto") -> Todo:
        """Return what there is to do; nothing is written.

        Raises:
            FitError: its folder holds a fit of another plan.
        """
        folder = Path(out) / self.name
        if (folder / RECORD).is_file():
            self.as_begun(read_mapping(folder / RECORD), str(folder))
        return WORK_LEFT[segments_state(folder)]

    def record(self) -> dict[str, Any]:
        """Return the contents of the folder's `fit.json`."""
        return {**self.plan.record(), "segments": self.segments, "warm_start": self.warm_start}

    def as_begun(self, record: dict[str, Any], folder: str) -> SegmentsJob:
        """Return the job as a folder's record has begun it.

        Raises:
            FitError: the record is of another fit.
        """
        job = replace(self, plan=as_begun(self.plan, record, folder))
        if (other := difference(record, job.record())) is not None:
            raise FitError(
                f"{folder}: holds a fit with other {other}. "
                "Repeat the command as it was, fit into another folder, or move that one away"
            )
        return job

    def describe(self) -> tuple[SegmentsDescription, ReadSound]:
        """Look the video over, and cut it; return its segments, and what reads its sound.

        Raises:
            EnervZooError: it cannot be read, or cannot be cut like this.
        """
        cutting = parse_segments(self.segments)
        video = self._survey(cutting.scenes)
        parts = plan_segments(cutting, video.info.frames, video.info.fps, video.cuts)
        info = video.info if self.sound else replace(video.info, tags=None)
        description = SegmentsDescription(info, tuple(parts), video.cuts if cutting.scenes else None)
        read_sound = video.read_sound if self.sound else None
        return description, read_sound or (lambda: None)

    def read_sound(self) -> bytes | None:
        """Read the sound of a video whose segments are known; `None` where there is none, or where it is not kept."""
        read_sound = self._survey(scenes=False).read_sound if self.sound else None
        return None if read_sound is None else read_sound()

    def _survey(self, scenes: bool) -> Survey:
        selection = {**self.plan.video, **({"resize": None} if self.plan.video.get("resize") == OPEN else {})}
        return survey(self.source, **selection, scenes=scenes)

    def decided(self, plan: FitPlan, description: SegmentsDescription) -> tuple[SegmentsJob, SegmentsDescription]:
        """Return the job with a plan that leaves nothing open, and the description with frames of its size.

        Raises:
            EnervZooError: the video cannot be read.
        """
        if plan.video != self.plan.video:
            info = survey(self.source, **plan.video, scenes=False).info
            description = replace(description, video=replace(info, tags=description.video.tags))
        return replace(self, plan=plan), description

    def begins_warm(self, description: SegmentsDescription, number: int) -> bool:
        """Return whether a segment is to begin with the weights of the one before."""
        if self.warm_start is not None:
            return self.warm_start and number > 0
        if not description.goes_on(number):
            return False
        with MetaParameters():
            network = Network(chosen_config(self.plan.model, description.video), description.video)
        return not closed_form_parts(network)  # which start better from their own frames than from other weights

    def jobs(self, description: SegmentsDescription) -> list[FitJob]:
        """Return a fit for each segment, in order: the plan, for its frames and its part of the time."""
        folder = PurePosixPath(self.name)
        return [
            FitJob(
                str(folder / segment_folder(Path(), number)),
                self.source,
                _part(self.plan, description, number),
                self.plan.loss,
                self.frames_in,
                sound=False,  # that of the whole video is in its folder
                mask=self.plan.mask,
                reference=self.plan.reference,
            )
            for number in range(len(description.segments))
        ]


OnSegment = Callable[[int, int], OnStatus | None]
"""Called with a segment's number and how many there are as its fit begins; returns that fit's `on_status`."""


@dataclass
class SegmentsResult:
    """The result of `fit_segments`.

    Attributes:
        video: the networks, as one video.
        metrics: scores of the whole; also `metrics.json`.
        folder: where all of it is.
        ended_before: whether there was nothing left to do, as for `FitResult`.
    """

    video: SegmentedVideo
    metrics: dict[str, Any] = field(repr=False)
    folder: Path
    ended_before: bool = False

    def _repr_html_(self) -> str:
        return self.video._repr_html_()


def fit_segments(
    source: Any,
    model: Model | None = None,
    *,
    out: str | Path,
    segments: str | int = "auto",
    size: str | float | None = None,
    model_options: dict[str, Any] | None = None,
    recipe: str | Path | dict[str, Any] | Recipe | None = None,
    device: str = "auto",
    frames_in: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    warm_start: bool | None = None,
    mask: Any = None,
    reference: Any = None,
    distributed: bool = False,
    sound: bool = True,
    runner: Runner | None = None,
    on_segment: OnSegment = lambda number, count: None,
    began: float | None = None,
    report_follows: bool = False,
    **options: Unpack[FitOptions],
) -> SegmentsResult:
    """Fit a long video in segments, a network for each.

    Arguments that are not named here are those of `enerv_zoo.fit`, and hold for every segment; a time budget is shared
    out by frames, and `size` is of each network.

    Args:
        source: the video. A file is read twice in all: to find where to cut, and to be fitted.
        out: a folder for all of it.
        segments: `"auto"` cuts where scenes change and where a scene lasts longer than 10 s; `8` or `"8"` into so many;
            `"10s"` or `"1.5m"` into segments of that length at most.
        resume: go on with the segment that was begun; those that have ended stay. As for `fit`, it also begins what has
            not begun, and reads what has ended.
        warm_start: begin each segment with the weights of the one before. By default those do that go on with its
            scene, as far as `"auto"` knows: there it helps (docs/long-videos.md), but for networks with a closed-form
            start (`pca_nerv`), which begin with that.
        distributed: fit each segment with all processes that `torchrun` started, as `fit` takes it.
        sound: keep the sound of the whole video, as `enerv_zoo.fit` takes it.
        runner: fits the segments, several at a time where it can (`enerv_zoo.cluster.Fleet`), and each from fresh
            weights; by default they are fitted one after the other, here.
        on_segment: called as each segment begins, where no runner is given.
        began, report_follows: as `fit` takes them.

    Raises:
        EnervZooError: as `fit` does; what was fitted before stays, to be gone on with.
    """
    ranks, folder, began = join(device, distributed), Path(out), time.monotonic() if began is None else began
    parse_segments(segments)
    with ranks.all_or_none():
        recipe = default_recipe(recipe, model, model_options, folder if resume else None)
        plan = plan_fit(
            source, model, size=size, model_options=model_options, recipe=recipe, device=device, mask=mask,
            reference=reference, **options,
        )  # fmt: skip
    if runner is not None:
        if warm_start:
            raise FitError("segments that are fitted at once cannot begin with each other's weights; leave out one")
        warm_start = False
    contents = ranks.broadcast_from_zero(read_contents, source)
    plan = replace(plan, contents=contents)
    plan.origin.refuse_folder(folder)
    job = SegmentsJob("", source, plan, str(segments), frames_in, warm_start, sound)
    with locked_by_zero(folder, ranks), protected(plan.origin):
        decisions, state = ranks.broadcast_from_zero(lambda: _check_folder(folder, job, resume, overwrite))
        job = replace(job, plan=replace(plan, **decisions))
        if state == "ended":
            logger.info(ENDED, folder)
            metrics = ranks.broadcast_from_zero(lambda: read_mapping(folder / METRICS))
            return SegmentsResult(cast(SegmentedVideo, load(folder)), metrics, folder, ended_before=True)
        description = ranks.broadcast_from_zero(lambda: read_segments(folder) if state == "begun" else None)
        read_sound: ReadSound = job.read_sound
        if description is None:
            with ranks.all_or_none():
                description, read_sound = job.describe()
                job = replace(job, plan=job.plan.for_colour(description.video.colour))
            lengths = [segment.frames for segment in description.segments]
            chosen = choose_on_zero(ranks, job.plan, job.source, began, report_follows, lengths)
            with ranks.all_or_none():
                job, description = job.decided(chosen, description)
            ranks.broadcast_from_zero(lambda: _start_folder(folder, job.record(), description))
        logger.info("segments: %d, of %s frames", len(description.segments), _lengths(description.segments))
        if runner is not None:
            _fit_by(runner, job.jobs(description), folder, device)
        else:
            _fit_in_turn(job, description, folder, device, on_segment, distributed, began, report_follows)
        ranks.broadcast_from_zero(lambda: write_sound(read_sound(), folder))
        metrics = ranks.broadcast_from_zero(lambda: summarise(folder, description))
    return SegmentsResult(cast(SegmentedVideo, load(folder)), metrics, folder)


def _fit_in_turn(
    job: SegmentsJob,
    description: SegmentsDescription,
    folder: Path,
    device: str,
    on_segment: OnSegment,
    distributed: bool,
    began: float,
    report_follows: bool,
) -> None:
    """Fit one segment after the other, by all processes of this fit together.

    Under a time budget, each has what those before it leave of its part.
    """
    ranks, jobs = join(device, distributed), job.jobs(description)
    states = ranks.broadcast_from_zero(lambda: [fit_state(folder / each.name) for each in jobs])
    before: Path | None = None
    for number, (each, state) in enumerate(zip(jobs, states, strict=True)):
        own = folder / each.name
        if state != "ended":
            on_status = on_segment(number, len(jobs)) if ranks.first else None
            weights = before if job.begins_warm(description, number) else None
            replace(each, init_from=weights).run(
                own, device, resume=True, on_status=on_status, distributed=distributed, began=began,
                report_follows=report_follows,
            )  # fmt: skip
            began += each.recipe.fit["time_budget"] or 0.0
            release_memory()
        before = own


def _fit_by(runner: Runner, jobs: list[FitJob], folder: Path, device: str) -> None:
    failed = [done for done in runner(jobs, folder, device=device) if done.error is not None]
    if failed:
        raise FitError(
            f"{len(failed)} of {len(jobs)} segments failed, first {failed[0].name}: {failed[0].error}; the others are "
            f"in {folder}: repeat the command to go on (fit needs --resume)"
        )


def _part(plan: FitPlan, description: SegmentsDescription, number: int) -> Recipe:
    """Return the recipe of a segment: the plan, for its frames and its part of the time."""
    segment = description.segments[number]
    selection = Selection.of(plan.video.get("frames"))
    first = selection.start + segment.first * selection.step
    last = first + (segment.frames - 1) * selection.step
    text = f"{first}:{last + 1}" + (f":{selection.step}" if selection.step > 1 else "")
    config = plan.fit
    if config.time_budget is not None:
        share = segment.frames / description.video.frames
        config = replace(config, time_budget=config.time_budget * share)
    if config.fit_frames is not None:
        config = replace(config, fit_frames=_part_fitted(Selection.of(config.fit_frames), segment, number))
    return Recipe(model=plan.model, fit=to_dict(config), video={**plan.video, "frames": text})


def _part_fitted(fitted: Selection, segment: Segment, number: int) -> str:
    """Return which frames of a segment are fitted, of those of the whole.

    Raises:
        FitError: none is.
    """
    inside = [index - segment.first for index in fitted.indices(segment.stop) if index >= segment.first]
    if not inside:
        raise FitError(f"fit_frames leaves segment {number} (frames {segment.first}:{segment.stop}) without a frame")
    return f"{inside[0]}:{inside[-1] + 1}:{fitted.step}"


def _lengths(segments: tuple[Segment, ...]) -> str:
    shortest, longest = (pick(segment.frames for segment in segments) for pick in (min, max))
    return str(shortest) if shortest == longest else f"{shortest} to {longest}"


# ---------------------------------------------------------------------- the folder


def _check_folder(folder: Path, job: SegmentsJob, resume: bool, overwrite: bool) -> tuple[dict[str, Any], State]:
    """Return the decisions of the plan as the folder's fit has it, and how far that is.

    Raises:
        FitError: the folder holds another fit.
    """
    if begins_anew(folder, resume, overwrite):
        return job.plan.decisions, "new"
    if fit_state(folder) != "new" and not is_segmented(folder):
        raise FitError(f"{folder}: holds a fit that is not in segments; fit without them, or choose another --out")
    state = segments_state(folder)
    if state == "new":
        return job.plan.decisions, state
    if not (folder / RECORD).is_file():
        raise FitError(f"{folder}: holds no record of its fit ({RECORD}); choose another --out, or delete the folder")
    return job.as_begun(read_mapping(folder / RECORD), str(folder)).plan.decisions, state


def _start_folder(folder: Path, record: dict[str, Any], description: SegmentsDescription) -> None:
    """Write what is decided; the segments' own folders follow. Of a fit that was there before, nothing stays."""
    remove_leftovers(folder, (*OURS, SEGMENTS))
    clear(folder)
    write_json(folder / RECORD, record)
    write_segments(description, folder)
