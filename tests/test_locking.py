"""One writer for each folder: threads and processes that want the same one."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import enerv_zoo as ez
from enerv_zoo import locking
from enerv_zoo.errors import FitError
from enerv_zoo.locking import LOCK, locked
from enerv_zoo.video import write_video

HOLDER = """
import sys, time
from pathlib import Path
from enerv_zoo.locking import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the folder `run` until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_is_refused_while_the_first_is_alive(holder, tmp_path):
    message = rf"run: process {holder.pid} on .* is writing to it; wait for its end, or choose another --out"
    with pytest.raises(FitError, match=message), locked(tmp_path / "run"):
        pass
    assert (tmp_path / "run" / LOCK).exists()
    holder.communicate("")
    assert not (tmp_path / "run").exists()
    with locked(tmp_path / "run"):
        pass


def test_what_a_killed_process_held_is_free(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "run" / LOCK).exists()
    with locked(tmp_path / "run"):
        (tmp_path / "run" / "mine").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine"]


def test_one_process_cannot_hold_it_twice(tmp_path):
    with locked(tmp_path), pytest.raises(FitError, match="this process itself is writing to it"), locked(tmp_path):
        pass
    with locked(tmp_path), locked(tmp_path / "part"):  # each folder has a lock of its own
        pass


def test_one_at_a_time_however_many_wait(tmp_path):
    inside, most = 0, 0

    def work():
        nonlocal inside, most
        for _ in range(5):
            with locked(tmp_path / "run", wait=600):
                inside += 1
                most = max(most, inside)
                time.sleep(0.001)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (inside, most) == (0, 1)
    assert list(tmp_path.rglob(LOCK)) == []


def test_folders_that_stay_empty_are_removed_and_no_others(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "a" / "b" / "c"):
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    with locked(tmp_path / "a" / "b" / "c"):
        (tmp_path / "a" / "b" / "mine").touch()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["mine"]


def test_what_is_no_folder_or_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FitError, match="file: is a file; --out takes a folder"), locked(tmp_path / "file"):
        pass
    with pytest.raises(FitError, match=r"below: cannot be written \(.*\); choose"), locked(tmp_path / "file" / "below"):
        pass


def test_a_lock_is_no_link_to_a_file_of_another_place(tmp_path):
    """Which would be written."""
    if sys.platform == "win32":
        pytest.skip("links to files need rights there")
    (tmp_path / "other").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK).symlink_to(tmp_path / "other")
    with pytest.raises(FitError, match="run: cannot be written"), locked(tmp_path / "run"):
        pass
    assert (tmp_path / "other").read_text() == "mine"


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, caplog):
    if sys.platform == "win32":
        pytest.skip("fcntl is of other systems")
    import fcntl

    def refuse(file, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path):
        pass
    assert "its file system has no locks; see to it that nothing else writes there" in caplog.text


def test_a_damaged_lock_names_nobody(tmp_path):
    (tmp_path / LOCK).write_bytes(b"\xff\x1b[31m nonsense")
    assert locking.holder(tmp_path / LOCK) == "another process"
    assert locking.holder(tmp_path / "none") == "another process"


TINY = {"fc_dim": 8, "block_dim": 16, "mlp_dim": 8, "stem_dim": [16], "lower_width": 6}
FIT = {"model_options": TINY, "epochs": 1, "batch_size": 2, "frames": "0:2", "resize": "64x36", "device": "cpu"}


@pytest.mark.parametrize(
    "write",
    [
        lambda out: ez.fit("bunny", out=out, **FIT),
        lambda out: ez.fit("bunny", out=out, resume=True, **FIT),
        lambda out: ez.fit("bunny", out=out, overwrite=True, **FIT),
        lambda out: ez.fit_segments("bunny", out=out, segments=1, **FIT),
        lambda out: ez.compare("bunny", ["enerv"], out=out, **FIT),
        lambda out: ez.rate_distortion("bunny", ["enerv"], codecs=(), out=out, **FIT),
    ],
    ids=["fit", "resume", "overwrite", "segments", "compare", "rd"],
)
def test_whatever_fits_into_a_folder_that_is_held_is_refused(tmp_path, write):
    with locked(tmp_path / "run"):
        with pytest.raises(FitError, match="is writing to it"):
            write(tmp_path / "run")
        assert [path.name for path in (tmp_path / "run").iterdir()] == [LOCK]
    assert list(tmp_path.iterdir()) == []


def test_a_batch_is_refused_in_a_folder_that_is_held(tmp_path):
    from enerv_zoo.batch import Manifest, manifest_jobs, run_batch

    jobs = manifest_jobs(Manifest(({"videos": ["bunny"], "frames": "0:2", "resize": "64x36", "sizes": ["90K"]},)))
    with locked(tmp_path), pytest.raises(FitError, match="is writing to it"):
        run_batch(jobs, tmp_path)


def test_of_two_fits_at_once_one_is_refused_and_a_killed_one_gives_way(tmp_path, cli, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "clip", ez.open_video("bunny", frames="0:4", resize="64x36"))
    fit = ("fit", "clip", "--size", "80K", "--batch-size", "1", "--out", "run", "--no-report",
           "--checkpoint-every", "0")  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(Path(ez.__file__).parents[1])}
    command = [sys.executable, "-m", "enerv_zoo", *fit, "--seed", "1", "--epochs", "100000"]
    first = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        while not (tmp_path / "run" / "checkpoint.pt").exists():
            assert first.poll() is None, first.stderr.read()
            time.sleep(0.05)
        code, _, err = cli(*fit, "--seed", "2", "--epochs", "1", "--overwrite")
    finally:
        first.kill()
        first.communicate()
    assert code == 1
    assert err.splitlines()[-1].startswith(f"error: run: process {first.pid} on ")
    assert err.count("error") == 1
    code, _, err = cli(*fit, "--seed", "2", "--epochs", "1", "--overwrite")
    assert code == 0, err
    assert ez.load(tmp_path / "run").info.frames == 4
    assert not [path.name for path in (tmp_path / "run").iterdir() if path.name.startswith(".")]
