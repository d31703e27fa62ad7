"""What the shell is offered, asked as a shell asks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from enerv_zoo.cli import completion


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "config.json").write_text("{}")
    (tmp_path / "runs" / "other").mkdir()
    for name in ("clip.mp4", "small.nvz", ".hidden"):
        (tmp_path / name).write_text("")
    return tmp_path


def test_fits_are_folders_and_compressed_files(folder):
    assert completion.fits("") == ["runs/", "small.nvz"]
    assert completion.fits("runs/m") == ["runs/mine"]
    assert completion.fits("runs/") == ["runs/mine", "runs/other/"]
    assert completion.fits("nowhere/") == []


def test_a_folder_that_may_not_be_searched_is_one_folder_among_others(folder, monkeypatch):
    real = os.stat

    def stat(path, *arguments, **options):
        if "other/" in os.fspath(path):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", stat)
    assert completion.fits("runs/") == ["runs/mine", "runs/other/"]


def test_videos_are_samples_and_paths(folder):
    assert "bunny" in completion.videos("")
    assert "clip.mp4" in completion.videos("cl")
    assert completion.videos(".h") == [".hidden"]


def test_families_in_a_list():
    assert "enerv" in completion.families("en")
    assert "nerv,enerv" in completion.families("nerv,en")
    assert completion.families("zz") == []


@pytest.mark.parametrize(("line", "offered"), [("fit --model ene", "enerv"), ("info runs/m", "runs/mine")])
def test_bash_is_answered(folder, line, offered):
    words = f"enerv-zoo {line}"
    asked = {"_ENERV_ZOO_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    code = "from enerv_zoo.cli.app import app; app(prog_name='enerv-zoo')"
    answer = subprocess.run([sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True)
    assert offered in answer.stdout.split()
