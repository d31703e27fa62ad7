"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import enerv_zoo as ez
from enerv_zoo.batch.manifest import read_manifest
from enerv_zoo.errors import EnervZooError, FitError
from enerv_zoo.files import remove_leftovers, replacing, usable_path, write_json, write_text
from enerv_zoo.interop.checkpoints import read_checkpoint

NO_PATHS = {"too long": "n" * 300, "NUL": "a\0b", "loop of links": "loop/x", "in a file": "file/x"}
TAKES_A_PATH = {
    "open_video": ez.open_video,
    "load": ez.load,
    "load a file": lambda path: ez.load(f"{path}.nvz"),
    "load a Path": lambda path: ez.load(Path(path)),
    "fit": lambda path: ez.fit(path, "nerv", device="cpu"),
    "fit out": lambda path: ez.fit(CLIP, "nerv", **SMALL, out=path),
    "fit resume": lambda path: ez.fit(CLIP, "nerv", **SMALL, out=path, resume=True),
    "fit model": lambda path: ez.fit(CLIP, f"{path}.yaml", **SMALL),
    "fit recipe": lambda path: ez.fit(CLIP, recipe=path, **SMALL),
    "fit mask": lambda path: ez.fit(CLIP, "nerv", **SMALL, mask=path),
    "fit init_from": lambda path: ez.fit(CLIP, "nerv", **SMALL, init_from=path),
    "fit time-lapse": lambda path: ez.fit(CLIP, "nerv", **SMALL, callbacks=[ez.TimeLapse(f"{path}.mp4")]),
    "fit_segments out": lambda path: ez.fit_segments(CLIP, "nerv", **SMALL, segments=2, out=path),
    "compare out": lambda path: ez.compare(CLIP, ["nerv"], **SMALL, out=path),
    "rd out": lambda path: ez.rate_distortion(CLIP, [], codecs=["x264"], out=path),
    "rd curves": lambda path: ez.rate_distortion(CLIP, [], codecs=["x264"], curves=[f"{path}.csv"], out="rd"),
    "compress": lambda path: ez.compress(path, "x.nvz"),
    "compress to": lambda path: ez.compress(network(), f"{path}.nvz"),
    "save": lambda path: network().save_pretrained(path),
    "evaluate": lambda path: ez.evaluate(network(), path),
    "write_video": lambda path: ez.write_video(f"{path}.mp4", CLIP),
    "write_video folder": lambda path: ez.write_video(path, CLIP),
    "export": lambda path: ez.export(network(), f"{path}.onnx"),
    "write_player": lambda path: ez.write_player(network(), f"{path}.html"),
    "write_report": lambda path: ez.write_report([path], "x.html"),
    "push": lambda path: ez.push(path, "user/x"),
    "pull": lambda path: ez.pull(path, "x", local_files_only=True),
    "pull to": lambda path: ez.pull("user/x", path, local_files_only=True),
    "import": lambda path: read_checkpoint(f"{path}.pth"),
    "manifest": lambda path: read_manifest(f"{path}.csv"),
}
SMALL = {"size": "5K", "epochs": 1, "device": "cpu"}
CLIP = np.zeros((2, 36, 64, 3), np.uint8)


def network():
    return ez.create_model("nerv", frames=2, height=36, width=64, size="5K")


@pytest.mark.parametrize("kind", NO_PATHS)
def test_what_can_be_no_path_is_one_clear_line_everywhere(kind, tmp_path, monkeypatch, cli):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("x")
    Path("loop").symlink_to("loop")
    for name, function in TAKES_A_PATH.items():
        with pytest.raises(EnervZooError) as refusal:
            function(NO_PATHS[kind])
        text = str(refusal.value)
        assert (len(text) < 450, "\n" in text, "\0" in text) == (True, False, False), f"{name}: {text}"
    for command in (
        ["info", "@"],
        ["import", "file", "--config", "@", "--out", "x"],
        ["render", "@", "x.mp4"],
        ["compress", "x", "@.nvz"],
    ):
        code, out, error = cli(*(word.replace("@", NO_PATHS[kind]) for word in command))
        assert (code in (1, 2), out, len(error.splitlines())) == (True, "", 1), error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "loop"]


def test_a_folder_that_may_not_be_searched_is_a_clear_line_too(monkeypatch):
    def stat(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", stat)
    with pytest.raises(FitError, match=r"'runs/x' cannot be looked up \(Permission denied\); give another path"):
        usable_path("runs/x", FitError)


def test_nor_is_such_a_folder_itself_a_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.X_OK)
    assert usable_path(tmp_path / "new") == tmp_path / "new"
    with pytest.raises(EnervZooError, match=r"cannot be looked up \(Permission denied\); give another path"):
        ez.load(tmp_path)


def test_the_longest_name_can_be_written(tmp_path):
    write_text(tmp_path / f"{'n' * 251}.txt", "x")
    assert names(tmp_path) == [f"{'n' * 251}.txt"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path):
    with replacing(tmp_path / "new" / "a.txt") as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("x")
        assert names(tmp_path / "new") == [temporary.name]
    assert names(tmp_path / "new") == ["a.txt"]


@pytest.mark.parametrize("interruption", [RuntimeError, KeyboardInterrupt])
def test_what_goes_wrong_leaves_the_old_one(tmp_path, interruption):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(interruption), replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise interruption
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_whatever_cannot_be_written_is_told_by_the_name_that_was_given(tmp_path):
    class Refused(EnervZooError):
        pass

    for number, told in ((errno.ENOSPC, "No space left on device"), (errno.EDQUOT, "quota")):
        message = rf"a\.txt: cannot be written \(.*{told}.*\); choose another place"
        with pytest.raises(Refused, match=message), replacing(tmp_path / "a.txt", Refused) as temporary:
            temporary.write_text("half")
            raise OSError(number, os.strerror(number))
    message = r"a\.txt: cannot be written \(Permission denied\)"
    with pytest.raises(Refused, match=message), replacing(tmp_path / "a.txt", Refused) as temporary:
        raise PermissionError(errno.EACCES, "Permission denied", str(temporary))
    with pytest.raises(Refused, match="No such file"), replacing(tmp_path / "a.txt", Refused) as temporary:
        (temporary / "no" / "folder").touch()
    with pytest.raises(ConnectionResetError), replacing(tmp_path / "a.txt", Refused):
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")  # not of this file
    assert names(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_clean_up_that_fails_hides_no_cause(tmp_path, monkeypatch, number):
    """As on a read-only file system, which refuses to delete what is not there, too."""
    import pathlib

    def refuse(path, *arguments, **options):
        raise OSError(number, os.strerror(number), str(path))

    for name in ("write_text", "write_bytes", "unlink", "open"):
        monkeypatch.setattr(pathlib.Path, name, refuse)
    with pytest.raises(EnervZooError) as told:
        write_text(tmp_path / "a.txt", "x")
    assert str(told.value) == f"{tmp_path / 'a.txt'}: cannot be written ({os.strerror(number)}); choose another place"


@pytest.mark.parametrize("write", ["write_text", "write_image", "write_video", "gif"])
def test_below_a_file_nothing_is_written_and_one_line_says_so(tmp_path, write):
    import torch

    from enerv_zoo.video import write_image, write_video

    frames = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    (tmp_path / "file").touch()
    actions = {
        "write_text": lambda: write_text(tmp_path / "file" / "a.txt", "x"),
        "write_image": lambda: write_image(tmp_path / "file" / "a.png", frames[0]),
        "write_video": lambda: write_video(tmp_path / "file" / "a.mp4", frames),
        "gif": lambda: write_video(tmp_path / "file" / "sub" / "a.gif", frames),
    }
    with pytest.raises(EnervZooError, match=r"cannot be written \(.*\); choose another place") as told:
        actions[write]()
    assert "\n" not in str(told.value)


def test_leftovers_of_a_killed_process_are_removed_and_nothing_else(tmp_path):
    for name in (".0123abcd.a.txt", ".0123abcd.b.txt", ".mine.a.txt", "a.txt", ".a.txt"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, ["a.txt"])
    assert names(tmp_path) == [".0123abcd.b.txt", ".a.txt", ".mine.a.txt", "a.txt"]


def test_no_file_takes_the_place_of_a_folder(tmp_path):
    (tmp_path / "runs" / "precious").mkdir(parents=True)
    with pytest.raises(EnervZooError, match=r"runs: is a folder; give the name of a file"):
        write_text(tmp_path / "runs", "x")
    assert names(tmp_path) == ["runs"]
    assert names(tmp_path / "runs") == ["precious"]


@pytest.mark.parametrize("old", [[], ["old", "both"]])
def test_the_current_folder_stays_the_current_one(tmp_path, monkeypatch, old):
    folder = tmp_path / "here"
    folder.mkdir()
    for name in old:
        (folder / name).write_text("old")
    monkeypatch.chdir(folder)
    before = folder.stat().st_ino
    with pytest.raises(RuntimeError), replacing(".") as temporary:
        temporary.mkdir()
        raise RuntimeError
    assert names(folder) == sorted(old)
    with replacing(".") as temporary:
        temporary.mkdir()
        (temporary / "both").write_text("new")
    assert (folder.stat().st_ino, names(folder), names(tmp_path)) == (before, ["both"], ["here"])
    assert (Path.cwd() / "both").read_text() == "new"


def test_folders_and_links(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "old").touch()
    (tmp_path / "link").symlink_to("real")
    with replacing(tmp_path / "link") as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
    assert names(tmp_path) == ["link", "real"]
    assert names(tmp_path / "real") == ["new"]


def test_json_has_no_infinite_numbers(tmp_path):
    write_json(tmp_path / "a.json", {"a": [math.inf, 1.5], "b": {"c": math.nan}})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [None, 1.5], "b": {"c": None}}


IN_NAMESPACE = ("unshare", "--map-root-user", "--mount")
RENDER_COMPRESS_REPORT = """
import sys
from enerv_zoo.cli import main

for arguments in ("render run ro/a.mp4", "compress run ro/a.nvz", "report run --out ro/a.html"):
    sys.argv = ["enerv-zoo", *arguments.split()]
    try:
        main()
    except SystemExit as end:
        assert end.code == 1, arguments
"""


def test_commands_say_in_one_line_that_a_target_is_read_only(tmp_path):
    """On a file system that is mounted read-only, in a namespace of its own, so that it holds for root, too."""
    if not shutil.which("unshare") or subprocess.run([*IN_NAMESPACE, "true"], capture_output=True).returncode:
        pytest.skip("no namespaces for users on this machine")
    (tmp_path / "ro").mkdir()
    ez.fit("bunny", "nerv", frames="0:2", resize="64x36", size="60K", epochs=1, batch_size=2, out=tmp_path / "run")
    python = shlex.join([sys.executable, "-c", RENDER_COMPRESS_REPORT])
    script = f"mount -t tmpfs -o ro tmpfs ro && {python}"
    done = subprocess.run([*IN_NAMESPACE, "sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [line for line in done.stderr.splitlines() if line.startswith(("error:", "Traceback"))] == [
        "error: ro/a.mp4: cannot be written (Read-only file system); choose another place",
        "error: ro/a.nvz: no file can be written there; choose another place",
        "error: ro/a.html: no file can be written there; choose another place",
    ]
