"""Fits <-> videos: `load` gives the video that a string means, `push` publishes one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from enerv_zoo.hub.client import Access
from enerv_zoo.hub.naming import no_such_path
from enerv_zoo.hub.source import locate
from enerv_zoo.hub.upload import push_fit
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.segmented import SegmentedVideo
from enerv_zoo.storage.compressed import file_or_folder, is_compressed, read_file_origin, read_network, read_whole
from enerv_zoo.storage.folder import CONFIG, WEIGHTS, read_folder, read_origin
from enerv_zoo.storage.segments import check_complete, is_segmented, segment_folder
from enerv_zoo.threads import usable_threads


@usable_threads()
def load(
    id_or_path: str | Path,
    device: str = "cpu",
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
) -> NeuralVideo | SegmentedVideo:
    """Load a fitted network from a folder, a compressed file or the Hub; or a video in segments from any of them.

    Nothing in a repository is trusted: no code runs, and nothing is allocated before config and weights agree.

    Args:
        id_or_path: a folder that holds `config.json` and `model.safetensors`, or a `.nvz` file; else a fit that comes
            with this version, a repository on the Hub such as `"user/bunny-enerv"`, or a name that this version knows
            for one (`enerv_zoo.list_pretrained`). What looks like a path is one (`"./x"`, `"x.nvz"`, `"runs/x"` where
            there is a folder `runs`); `"hf:user/name"` is always a repository.
        device: where to put the weights.
        revision: branch, tag or commit of the repository.
        cache_dir: where downloads are kept; by default where `huggingface_hub` keeps them.
        local_files_only: use what was downloaded before, and never the network; as `HF_HUB_OFFLINE=1` does.
        token: for private and gated repositories; by default the user who is logged in.

    Raises:
        EnervZooError: no fit is there, it cannot be downloaded, or its files are damaged, do not match or ask for too
            much.
    """
    access = Access(revision, cache_dir, local_files_only, token)
    return read(locate(id_or_path, access, (CONFIG, WEIGHTS))).to(device)


def read(path: Path) -> NeuralVideo | SegmentedVideo:
    """Read a video from a folder or a compressed file; networks of segments are read when they are needed.

    Raises:
        EnervZooError: as `load` does.
    """
    path = path.resolve()
    if is_segmented(path):
        return read_segmented(path)
    if is_compressed(path) and (segments := read_whole(path)) is not None:
        video = SegmentedVideo(segments.video, segments.segments, _FromFile(path))
        video.origin = read_file_origin(path)
        return video
    return NeuralVideo.read(path)


def read_segmented(folder: Path) -> SegmentedVideo:
    """Read a video in segments from its folder; networks are read when they are needed.

    Raises:
        ConfigError: the description is damaged, or segments are missing.
    """
    folder = folder.resolve()
    whole = check_complete(folder)
    video = SegmentedVideo(whole.video, whole.segments, _FromFolders(folder))
    video.origin = read_origin(folder)
    return video


@dataclass(frozen=True)
class _FromFolders:
    """Load the network of a segment; picklable, so that a video can be sent to workers."""

    folder: Path

    def __call__(self, number: int) -> NeuralVideo:
        return read_folder(segment_folder(self.folder, number), NeuralVideo)


@dataclass(frozen=True)
class _FromFile:
    """Load the network of a segment; picklable, so that a video can be sent to workers."""

    path: Path

    def __call__(self, number: int) -> NeuralVideo:
        return read_network(self.path, number, NeuralVideo)


def push(
    run: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
    create_pr: bool = False,
    license: str | None = None,
    token: str | bool | None = None,
) -> str:
    """Push a fit's folder to the Hub: weights, config, recipe, numbers, a model card, a picture and a short clip.

    Or a compressed file, with a model card and a clip: of one network or of a video in segments. One commit, of the
    files that changed; a file `README.md` in the folder takes the place of the model card. Paths of this machine are
    left out.

    Args:
        run: the folder of a fit, or a `.nvz` file.
        repo_id: such as `"user/bunny-enerv"` or `"hf:user/bunny-enerv"`; a repository that is not there is made.
        private: whether a new repository is private; by default as the account or organisation has it.
        revision: branch to push to; it is made from the main branch if it is not there.
        commit_message: by default it names the network and the video.
        create_pr: propose the push as a pull request.
        license: of the weights, by its identifier on the Hub such as `"cc-by-3.0"`.
        token: of a user who may write; by default the one who is logged in.

    Returns:
        The address of the commit, or of the pull request.

    Raises:
        HubError: the repository cannot be made or written to, or somebody else pushed meanwhile.
        ConfigError: it is no fit, or one that nobody could load.
    """
    source = file_or_folder(Path(run))
    if not source.exists():
        raise no_such_path(str(run))
    return push_fit(
        source,
        lambda: read(source),
        repo_id,
        private=private,
        revision=revision,
        commit_message=commit_message,
        create_pr=create_pr,
        license=license,
        token=token,
    )
