"""Fits <-> videos: `load` gives the video that a string means, `push` publishes one."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Unpack

from enerv_zoo.files import usable_path
from enerv_zoo.hub.client import Access, AccessOptions
from enerv_zoo.hub.naming import no_such_path
from enerv_zoo.hub.source import open_run
from enerv_zoo.hub.upload import PushOptions, push_run
from enerv_zoo.machine import choose_device
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.segmented import SegmentedVideo
from enerv_zoo.storage.folder import CONFIG, WEIGHTS
from enerv_zoo.storage.run import Run
from enerv_zoo.storage.sound import SOUND
from enerv_zoo.threads import usable_threads


@usable_threads()
def load(
    id_or_path: str | Path | Run, device: str = "cpu", **access: Unpack[AccessOptions]
) -> NeuralVideo | SegmentedVideo:
    """Load a fitted network from a folder, a compressed file or the Hub; or a video in segments from any of them.

    Nothing in a repository is trusted: no code runs, and nothing is allocated before config and weights agree.

    Args:
        id_or_path: a folder that holds `config.json` and `model.safetensors`, or a `.nvz` file; else a fit that comes
            with this version, a repository on the Hub such as `"user/bunny-enerv"`, or a name that this version knows
            for one (`enerv_zoo.list_pretrained`). What looks like a path is one (`"./x"`, `"x.nvz"`, `"runs/x"` where
            there is a folder `runs`); `"hf:user/name"` is always a repository. Or a run that is open.
        device: where to put the weights: `"cpu"`, `"cuda"`, `"cuda:1"`, `"mps"`, or `"auto"` for CUDA if there is one;
            or a `torch.device`.
        revision: branch, tag or commit of the repository.
        cache_dir: where downloads are kept; by default where `huggingface_hub` keeps them.
        local_files_only: use what was downloaded before, and never the network; as `HF_HUB_OFFLINE=1` does.
        token: for private and gated repositories; by default the user who is logged in.

    Raises:
        EnervZooError: no fit is there, it cannot be downloaded, or its files are damaged, do not match or ask for too
            much.
    """
    names = (CONFIG, WEIGHTS, SOUND)
    run = id_or_path if isinstance(id_or_path, Run) else open_run(id_or_path, Access(**access), names)
    return _video(run).to(choose_device(device) if isinstance(device, str) else device)


def _video(run: Run) -> NeuralVideo | SegmentedVideo:
    """Read the video of a run; networks of segments are read when they are needed."""
    if run.whole is None:
        return run.network(0, NeuralVideo)
    run.check_complete()
    video = SegmentedVideo(run.info, run.segments, functools.partial(run.network, build=NeuralVideo))
    video.origin, video.read_sound = run.origin, run.read_sound
    return video


def push(run: str | Path, repo_id: str, **options: Unpack[PushOptions]) -> str:
    """Push a fit's folder to the Hub: weights, config, recipe, scores, a model card, a picture and a short clip.

    Or a compressed file, with a model card and a clip. Either may hold one network or a video in segments. One commit,
    of the files that changed; a file `README.md` in the folder takes the place of the model card, unless
    `pull` wrote it for another repository or branch. Paths of this machine are left out.

    Args:
        run: the folder of a fit, or a `.nvz` file.
        repo_id: such as `"user/bunny-enerv"` or `"hf:user/bunny-enerv"`; a repository that is not there is made.
        private: whether a new repository is private; by default as the account or organisation has it.
        revision: branch to push to; it is made from the main branch if it is not there.
        commit_message: by default it names the network and the video.
        create_pr: propose the push as a pull request.
        license: of the weights, by its identifier on the Hub such as `"cc-by-3.0"`.
        player: a page in one file, as `enerv_zoo.write_player` writes it, to be pushed and named in the card.
        token: of a user who may write; by default the one who is logged in.

    Returns:
        The address of the commit, or of the pull request.

    Raises:
        HubError: the repository cannot be made or written to, or somebody else pushed meanwhile.
        ConfigError: it is no fit, or one that nobody could load.
    """
    if not usable_path(run).exists():
        raise no_such_path(str(run))
    opened = open_run(Path(run))
    return push_run(opened, lambda: load(opened), repo_id, **options)
