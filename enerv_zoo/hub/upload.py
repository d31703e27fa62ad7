"""Files -> repositories: one commit, of what changed alone, that loses nobody's work."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor
from torch.nn import functional as F

from enerv_zoo.config import DEFAULT_FPS
from enerv_zoo.errors import HubError, VideoError
from enerv_zoo.files import free_name, write_text
from enerv_zoo.frame_access import FrameAccess
from enerv_zoo.hub.card import card, one_line
from enerv_zoo.hub.client import TIMEOUT, explained, hub_api, patiently
from enerv_zoo.hub.download import CARD, CLIP, PREVIEW, PUBLISHED
from enerv_zoo.hub.naming import HUB
from enerv_zoo.shell import command
from enerv_zoo.storage.compressed import VIDEO, check_compressed, is_compressed
from enerv_zoo.storage.description import CONFIG, Description, check_license, write_description
from enerv_zoo.storage.folder import WEIGHTS, check_folder
from enerv_zoo.storage.record import RECORD, publish_record, read_fit
from enerv_zoo.storage.segments import is_segmented
from enerv_zoo.video import write_video

logger = logging.getLogger(__name__)

CLIP_SECONDS = 3
CLIP_FRAMES = 72
CLIP_WIDTH = 480
CLIP_QUALITY = 26


def push_fit(
    source: Path,
    read: Callable[[], FrameAccess],
    repo_id: str,
    *,
    private: bool | None,
    revision: str | None,
    commit_message: str | None,
    create_pr: bool,
    license: str | None,
    token: str | bool | None,
) -> str:
    """Push a fit's folder or compressed file; `read` gives its video for the clip.

    Arguments and errors are those of `enerv_zoo.push`.
    """
    repo_id = repo_id.removeprefix(HUB)
    if is_segmented(source):
        name = free_name(f"{source.resolve().name}.nvz", "compressed")
        raise HubError(
            f"{source}: a video in segments is pushed as one file; make it with: {command('compress', source, name)}"
        )
    compressed = is_compressed(source)
    description = check_compressed(source) if compressed else check_folder(source)
    fit = None if compressed else read_fit(source)
    description = replace(
        description, fit=fit or description.fit, license=check_license(license) or description.license
    )
    message = commit_message or one_line(f"{description.model.family} on {description.video.name}")[:100]
    with TemporaryDirectory() as staging, explained(repo_id, revision):
        files = (_stage_file if compressed else _stage)(source, read, description, Path(staging), repo_id)
        return _Commit(repo_id, revision, create_pr, token).send(files, message, private)


def _stage(
    source: Path, read: Callable[[], FrameAccess], description: Description, staging: Path, repo_id: str
) -> dict[str, Path]:
    """The files of a push: those of the fit's folder that go as they are, and those that are made for it."""
    write_description(description, staging)
    publish_record(source, staging / RECORD)
    _make_card(read(), description, staging, repo_id, picture=(source / PREVIEW).is_file())
    made = {name: staging / name for name in (CONFIG, RECORD, CLIP, CARD) if (staging / name).is_file()}
    kept = {name: source / name for name in (WEIGHTS, PREVIEW, CARD) if (source / name).is_file()}
    return made | kept


def _stage_file(
    source: Path, read: Callable[[], FrameAccess], description: Description, staging: Path, repo_id: str
) -> dict[str, Path]:
    """The files of a push of a compressed file."""
    _make_card(read(), description, staging, repo_id, picture=False)
    return {VIDEO: source} | {name: staging / name for name in (CLIP, CARD) if (staging / name).is_file()}


def _make_card(video: FrameAccess, description: Description, staging: Path, repo_id: str, picture: bool) -> None:
    """Draw the clip and write the model card."""
    from huggingface_hub import constants
    from huggingface_hub.utils import validate_repo_id

    validate_repo_id(repo_id)  # before a clip is drawn
    has_clip = _write_clip(video, staging / CLIP)
    clip = f"{constants.ENDPOINT}/{repo_id}/resolve/main/{CLIP}" if has_clip else None
    write_text(staging / CARD, card(description, repo_id, picture=picture, clip=clip))


def _write_clip(video: FrameAccess, path: Path) -> bool:
    """Draw the first seconds as a small movie; a video of one frame has none."""
    rate = video.info.fps or DEFAULT_FPS
    count = min(len(video), CLIP_FRAMES, max(round(CLIP_SECONDS * rate), 2))
    if count < 2:
        return False
    try:
        frames = _shrunk(video.decode(range(count)))
        write_video(path, frames, fps=rate, pixel_aspect=video.info.pixel_aspect, quality=CLIP_QUALITY)
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


@dataclass(frozen=True)
class _Commit:
    """One push to one branch."""

    repo_id: str
    revision: str | None
    create_pr: bool
    token: str | bool | None

    def send(self, files: dict[str, Path], message: str, private: bool | None) -> str:
        """Commit what changed, if nobody else committed since the branch was looked at; gives its address."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        api = hub_api(self.token)
        patiently(api.create_repo, self.repo_id, private=private, exist_ok=True)
        if self.revision and not self.create_pr and not self.revision.startswith("refs/"):
            patiently(api.create_branch, self.repo_id, branch=self.revision, exist_ok=True)
        before = patiently(api.model_info, self.repo_id, revision=self.revision, timeout=TIMEOUT)
        there = {file.rfilename for file in before.siblings or ()}
        gone = [name for name in PUBLISHED if name in there and name not in files]
        commit = api.create_commit(  # never again after an error: it may have been made
            self.repo_id,
            [
                *(CommitOperationAdd(name, path) for name, path in files.items()),
                *(CommitOperationDelete(name) for name in gone),
            ],
            commit_message=message,
            revision=self.revision,
            create_pr=self.create_pr,
            parent_commit=before.sha,
        )
        return commit.pr_url or commit.commit_url
