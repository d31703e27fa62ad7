"""What the README and every page show is run as it stands there."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

import enerv_zoo as ez

from .reader import ROOT, Reader, blocks

CHECKPOINTS = {"model_best.pth": ("enerv", "E-NeRV.yaml"), "hnerv.pth": ("hnerv", "hnerv.yaml")}
"""What the pages call a checkpoint and its config, and the golden file that stands for it."""

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """A fit of every other frame of the bundled clip, of the smallest kind."""
    folder = tmp_path_factory.mktemp("tiny") / "run"
    ez.fit("bunny", resize="64x36", frames="::2", size="60K", epochs=1, batch_size=16, out=folder)
    return folder


@pytest.fixture
def provide(tiny_run, golden, tmp_path):
    """Puts there what pages take for granted: fits, a video of one's own, an author's checkpoint."""

    def put(path: Path) -> None:
        if path.parts[0] == "runs":
            shutil.copytree(tiny_run, tmp_path / path)
        elif path.name == "mask.png":
            Image.new("L", (128, 72), 255).save(tmp_path / path)
        elif path.name in ("holiday.mp4", "noisy.mp4", "clean.mp4"):
            ez.write_video(tmp_path / path, ez.open_video("bunny", frames="0:12", resize="128x72"))
        elif path.name == "two-frames.mp4":
            ez.write_video(tmp_path / path, ez.open_video("bunny", frames="0:2", resize="64x48"))
        elif path.suffix == ".yuv":
            (tmp_path / path).write_bytes(bytes(1920 * 1080 * 3 // 2) * 4)
        elif path.name == "blackswan":
            (tmp_path / path).mkdir()
            for number in range(4):
                Image.new("RGB", (1920, 1080), (0, 50 * number, 99)).save(tmp_path / path / f"{number:05}.jpg")
        elif path.name == "zoo.yaml":
            (tmp_path / path).write_text(
                "owner: user\nfits: [{videos: [bunny], recipes: [quick], fit: {epochs: 1}, frames: '0:3'}]"
            )
        elif path.name == "clips.csv":
            (tmp_path / path).write_text("video,model,size,segments\nbunny,enerv,1.5M,10s\n")
        elif path.name in CHECKPOINTS:
            values = golden(CHECKPOINTS[path.name][0])
            torch.save({"state_dict": values.state}, tmp_path / path)
            (tmp_path / CHECKPOINTS[path.name][1]).write_text(yaml.safe_dump(values.config))

    return put


@pytest.fixture
def hub_of_a_user(client, fit_files, monkeypatch):
    """A Hub on which the pages' `user` has pushed `bunny-enerv`."""
    client.users["hf_user"] = "user"
    monkeypatch.setenv("HF_TOKEN", "hf_user")
    client.add("user/bunny-enerv", fit_files)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_a_page_runs(page, hub_of_a_user, provide, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ez, "fit", functools.partial(_short_fit, ez.fit))
    Reader(tmp_path, provide, monkeypatch).read(page)


def _short_fit(fit, *arguments, **options):
    if "time_budget" not in options:
        options["epochs"] = min(options.get("epochs", 1), 5)
    if "recipe" in options:
        options = {"resize": "64x36", "batch_size": 16, "size": "0.2M", **options}
    return fit(*arguments, **options)


def test_pages_have_blocks():
    assert sum(len(list(blocks(page))) for page in PAGES) > 20


def test_ci_runs_the_readmes_test_command():
    commands = re.findall(r"^(pip install uv && uv run .*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(commands) == 2
    assert any(line.startswith(f"{commands[1]} || exit") for line in (ROOT / ".ci" / "run").read_text().splitlines())


def test_ci_fails_where_the_test_command_fails(tmp_path):
    """Also at its first part, which alone ends no script that is run with `set -e`."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, code in (("pip", "exit 3"), ("uv", f"touch '{tmp_path}/uv'"), ("chromium", "exit 0")):
        (programs / name).write_text(f"#!/bin/sh\n{code}\n")
        (programs / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    end = subprocess.run(["bash", ROOT / ".ci" / "run"], env=environment, capture_output=True, text=True)
    assert end.returncode == 3, end.stdout + end.stderr
    assert not (tmp_path / "uv").exists()
