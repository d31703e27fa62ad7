"""A Hub on this machine, and the real client pointed at it: in this process, or in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants, file_download, utils

import enerv_zoo as ez

from .server import running

close_session = getattr(utils, "close_session", None) or utils.reset_sessions  # as it is called before version 1


@pytest.fixture
def hub():
    with running() as server:
        yield server


@pytest.fixture
def client(hub, tmp_path, monkeypatch):
    """Point this process's client at the Hub: it has read the environment when it was imported."""
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    for module in (constants, file_download):  # the second has its own before version 1
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # no server for it here: the plain protocol is spoken
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    yield hub
    close_session()


@pytest.fixture
def process(hub, tmp_path):
    """Run Python, or a command of ours, in a process whose environment names the Hub."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
        program = ["-m", "enerv_zoo"] if arguments[0] != "-c" else []
        return subprocess.run(
            [sys.executable, *program, *map(str, arguments)],
            env={**os.environ, **_environment(hub, tmp_path), **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    return run


def _environment(hub, home: Path) -> dict[str, str]:
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home / "home"),
        "HF_TOKEN": "hf_alice",
        "HF_HUB_DISABLE_XET": "1",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
    }


TINY = {"fc_dim": 6, "block_dim": 6, "mlp_dim": 6, "stem_dim": [8], "lower_width": 4, "tm_dim": 4}


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """A real fit, of the smallest kind."""
    folder = tmp_path_factory.mktemp("runs") / "bunny"
    ez.fit("bunny", model_options=TINY, frames="0:3", resize="64x36", epochs=1, batch_size=3, out=folder)
    return folder


@pytest.fixture(scope="session")
def long_folder(tmp_path_factory):
    """A video in two segments."""
    folder = tmp_path_factory.mktemp("long") / "run"
    ez.fit_segments(
        "bunny", out=folder, segments=2, model_options=TINY, frames="0:6", resize="64x36", epochs=1, batch_size=3
    )
    return folder


@pytest.fixture(scope="session")
def fit_files(run_folder):
    """What a repository of that fit holds, at the least."""
    return {name: (run_folder / name).read_bytes() for name in ("config.json", "model.safetensors")}
