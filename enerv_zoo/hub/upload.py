"""Files -> repositories: one commit, of what changed alone, that loses nobody's work."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Container, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypedDict, Unpack
from urllib.parse import quote

from torch import Tensor
from torch.nn import functional as F

from enerv_zoo.config import DEFAULT_FPS
from enerv_zoo.errors import ConfigError, VideoError
from enerv_zoo.files import usable_path, write_text
from enerv_zoo.frame_access import FrameAccess
from enerv_zoo.hub.card import card, one_line, place, place_in
from enerv_zoo.hub.client import TIMEOUT, explained, hub_api, no_repository_id, patiently
from enerv_zoo.hub.download import CARD, CLIP, PLAYER, PREVIEW, is_published
from enerv_zoo.hub.index import REPO_ID
from enerv_zoo.hub.naming import HUB
from enerv_zoo.storage.compressed import VIDEO
from enerv_zoo.storage.description import CONFIG, Description, FitRecord, check_license, write_description
from enerv_zoo.storage.folder import WEIGHTS
from enerv_zoo.storage.record import RECORD, publish_record
from enerv_zoo.storage.run import Run, open_run
from enerv_zoo.storage.segments import segment_folder, write_segments
from enerv_zoo.storage.sound import SOUND
from enerv_zoo.video import write_video

if TYPE_CHECKING:
    from enerv_zoo.neural_video import NeuralVideo
    from enerv_zoo.segmented import SegmentedVideo

logger = logging.getLogger(__name__)

MAIN = "main"
"""The branch of whoever names none."""

CLIP_SECONDS = 3
CLIP_FRAMES = 72
CLIP_WIDTH = 480
CLIP_QUALITY = 26


class PushOptions(TypedDict, total=False):
    """The keywords of whatever pushes to the Hub; `enerv_zoo.push` says what they mean."""

    private: bool | None
    revision: str | None
    commit_message: str | None
    create_pr: bool
    license: str | None
    player: str | Path | None
    token: str | bool | None


def push_video(video: NeuralVideo | SegmentedVideo, repo_id: str, **options: Unpack[PushOptions]) -> str:
    """Push networks in memory; options and errors are those of `enerv_zoo.push`."""
    with TemporaryDirectory() as folder:
        return push_run(open_run(video.save_pretrained(folder)), lambda: video, repo_id, **options)


def push_run(run: Run, read: Callable[[], FrameAccess], repo_id: str, **options: Unpack[PushOptions]) -> str:
    """Push a run; `read` gives its video for the clip.

    Options and errors are those of `enerv_zoo.push`.
    """
    repo_id, revision = repo_id.removeprefix(HUB), options.get("revision")
    if not REPO_ID.fullmatch(repo_id):
        raise no_repository_id(repo_id)
    run.check()
    license = check_license(options.get("license"))
    description = run.description
    player = options.get("player")
    if player is not None and not usable_path(player).is_file():
        raise ConfigError(f"{player}: is no file; expected a page in one file, as enerv_zoo.write_player writes it")
    message = options.get("commit_message") or f"{description.model.family} on {run.info.name}"
    with TemporaryDirectory() as temporary, explained(repo_id, revision):
        staging = Path(temporary)
        files = {VIDEO: run.path} if run.sizes is not None else _stage(run, license, staging)
        files |= {} if player is None else {PLAYER: Path(player)}
        is_branch = revision not in (None, MAIN) and not options.get("create_pr") and not revision.startswith("refs/")
        branch = revision if is_branch else None  # what is proposed is to be on the main one
        ours = place(repo_id, branch)
        own_card = files[CARD].read_text(encoding="utf-8", errors="replace") if CARD in files else ""
        if (other := place_in(own_card)) not in (None, ours):
            logger.warning("%s is the card of %s; %s gets one of its own", CARD, other, ours)
            del files[CARD]
        _make_card(read(), _scored(run, license), run.sound_bytes, staging, repo_id, branch, files)
        card_files = {name: staging / name for name in (CLIP, CARD) if (staging / name).is_file()}
        return _commit(repo_id, card_files | files, one_line(message)[:100], **options)


def _scored(run: Run, license: str | None) -> Description:
    """Return the description of a run for its card, with the size that it has."""
    fit, description = run.fit or FitRecord(), run.description
    size = {"bpp": 8 * (run.bytes or 0) / run.info.pixels, "stored_numbers": run.stored_numbers}
    fit = replace(fit, metrics={**fit.metrics, **size})
    return replace(description, fit=fit, license=license or description.license)


def _stage(run: Run, license: str | None, staging: Path) -> dict[str, Path]:
    """Return the files of a push of a folder, by their names there: some go as they are, others are made for it."""
    if run.whole is not None:
        write_segments(run.whole, staging)
    for number, stored in enumerate(run.stored):
        part = Path() if run.whole is None else segment_folder(Path(), number)
        described = stored.description
        (staging / part).mkdir(exist_ok=True)
        write_description(replace(described, fit=stored.fit, license=license or described.license), staging / part)
        publish_record(run.path / part, staging / part / RECORD)
    publish_record(run.path, staging / RECORD)
    files = {path.relative_to(staging).as_posix(): path for path in staging.rglob("*") if path.is_file()}
    weights = [Path(name).with_name(WEIGHTS).as_posix() for name in files if Path(name).name == CONFIG]
    return files | {name: run.path / name for name in (*weights, SOUND, PREVIEW, CARD) if (run.path / name).is_file()}


def _make_card(
    video: FrameAccess, description: Description, sound: int, staging: Path, repo_id: str, branch: str | None,
    files: Container[str],
) -> None:  # fmt: skip
    """Draw the clip and write the model card."""
    from huggingface_hub import constants
    from huggingface_hub.utils import validate_repo_id

    validate_repo_id(repo_id)  # before a clip is rendered
    has_clip = _write_clip(video, staging / CLIP)
    address = f"{constants.ENDPOINT}/{repo_id}/resolve/{quote(branch or MAIN, safe='')}"
    text = card(
        description,
        repo_id,
        branch=branch,
        sound=sound,
        picture=PREVIEW in files,
        clip=f"{address}/{CLIP}" if has_clip else None,
        player=f"{address}/{PLAYER}?download=true" if PLAYER in files else None,
    )
    write_text(staging / CARD, text)


def _write_clip(video: FrameAccess, path: Path) -> bool:
    """Draw the first seconds as a small movie; a video of one frame has none."""
    rate = video.info.fps or DEFAULT_FPS
    count = min(len(video), CLIP_FRAMES, max(round(CLIP_SECONDS * rate), 2))
    if count < 2:
        return False
    try:
        frames = _shrunk(video.decode(range(count)))
        colour = replace(video.info.colour, bits=8)  # as H.264, which all browsers play
        write_video(path, frames, fps=rate, pixel_aspect=video.info.pixel_aspect, colour=colour, quality=CLIP_QUALITY)
    except VideoError as error:
        logger.warning("no preview clip was made: %s", error)
        return False
    return True


def _shrunk(batches: Iterator[Tensor]) -> Iterator[Tensor]:
    for frame in itertools.chain.from_iterable(batches):
        height, width = frame.shape[1:]
        if width > CLIP_WIDTH:
            size = (max(round(height * CLIP_WIDTH / width), 1), CLIP_WIDTH)
            frame = F.interpolate(frame[None], size, mode="bilinear", antialias=True)[0]
        yield frame


def _commit(repo_id: str, files: dict[str, Path], message: str, **options: Unpack[PushOptions]) -> str:
    """Commit what changed, if nobody else committed since the branch was looked at, and return its address."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    api, revision, create_pr = hub_api(options.get("token")), options.get("revision"), options.get("create_pr", False)
    patiently(api.create_repo, repo_id, private=options.get("private"), exist_ok=True)
    if revision and not create_pr and not revision.startswith("refs/"):
        patiently(api.create_branch, repo_id, branch=revision, exist_ok=True)
    before = patiently(api.model_info, repo_id, revision=revision, timeout=TIMEOUT)
    names = {file.rfilename for file in before.siblings or ()}
    obsolete = sorted(name for name in names if is_published(name) and name not in files)
    additions = [CommitOperationAdd(name, path) for name, path in files.items()]
    commit = api.create_commit(  # never again after an error: it may have been made
        repo_id,
        [*additions, *(CommitOperationDelete(name) for name in obsolete)],
        commit_message=message,
        revision=revision,
        create_pr=create_pr,
        parent_commit=before.sha,
    )
    return commit.pr_url or commit.commit_url
