"""One fit of several real processes, which talk over gloo: against one process, and when one of them is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import enerv_zoo as ez
from enerv_zoo.fitting.checkpoint import load_checkpoint

SCRIPT = Path(__file__).parent / "several_processes.py"


def write_clip(folder):
    ez.write_video(folder / "clip", ez.open_video("bunny", frames="0:7", resize="64x36"))


def play(folder: Path, scenes: str) -> dict:
    """Scenes of the script, by name, in one process that imports once."""
    write_clip(folder)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, SCRIPT, scenes], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_step_of_several_processes_is_that_of_one(tmp_path):
    result = play(tmp_path, "step,few,remembered,measured")
    for name in ("step", "few", "remembered"):  # in the second there are fewer frames than processes
        _check_step(result[name])
    _check_measured(result["measured"])


@pytest.mark.slow
def test_several_processes_are_one_fit(tmp_path):
    """As one process does; stopped, starved or poisoned alike; and ended by the loss of one, with all that was done."""
    result = play(tmp_path, "statistics,whole,lost,silent,stopped,starved,collapsed,segments")
    assert not any(result["statistics"]["codes"])
    assert 0 < result["statistics"]["weights"] < 1e-2  # each process normalises by its own frames
    for name, check in CHECKS.items():
        check(result[name])


def _check_step(step):
    assert not any(step["codes"])
    assert step["scale"] > 1e-2, "gradients of nothing would agree too"
    assert step["gradients"] < 1e-6 * step["scale"]
    assert step["weights"] < 1e-6
    assert step["sums"][0] == pytest.approx(step["sums"][1], rel=1e-6)


def _check_measured(measured):
    assert not any(measured["codes"])
    one, *two = measured["scores"]
    for scores in two:
        assert scores["psnr"] == pytest.approx(one["psnr"], rel=1e-5)
        assert scores["shaking,psnr"] == pytest.approx(one["shaking,psnr"], rel=1e-5), "of the whole clip, not of parts"


def _check_whole(whole):
    assert not any(whole["codes"])
    assert whole["weights"] < 2e-4
    assert whole["frames"] == [8, 8]  # a head, and a row for every frame
    one, three = whole["metrics"]
    varying = {"psnr", "fps", "fit_seconds", "fit_frames_per_second"}
    assert {k: v for k, v in three.items() if k not in varying} == {k: v for k, v in one.items() if k not in varying}
    assert three["psnr"] == pytest.approx(one["psnr"], rel=1e-5)
    for row, expected in zip(*whole["history"], strict=True):
        for key in ("epoch", "loss", "psnr", "contrast", "lr"):
            assert row[key] == pytest.approx(expected[key], rel=1e-4), key
        assert ("eval_psnr" in row) == ("eval_psnr" in expected) == (row["epoch"] % 2 == 0)
        assert row.get("eval_psnr", 0) == pytest.approx(expected.get("eval_psnr", 0), rel=1e-5)
    first, *others = whole["printed"]
    assert json.loads(first[first.index("{") :])["psnr"] == three["psnr"]
    assert others == ["", ""]


def _check_lost(lost):
    assert lost["codes"] == [1, -signal.SIGKILL]
    (line,) = [line for line in lost["told"][0].splitlines() if line.startswith("error")]
    assert "another process of this fit has ended" in line
    assert "go on with fit --resume" in line
    assert lost["told"][1] == ""
    assert 3 <= lost["kept"] < 12
    assert lost["resumed"] == [0]
    assert lost["psnr"][0] == pytest.approx(lost["psnr"][1], abs=0.5)


def _check_silent(silent):
    assert silent["first"] == [1]
    assert silent["kept"]
    assert "does not answer" in silent["told"]


def _check_stopped(stopped):
    assert stopped["codes"] == [128 + signal.SIGTERM] * 2
    assert stopped["told"][0].count("stopped in epoch") == 1
    assert stopped["told"][1] == ""
    assert stopped["again"] == [128 + signal.SIGINT] * 2
    assert stopped["in_order"]


def _check_starved(starved):
    assert starved["plain"] == starved["halved"] == [0, 0]
    assert starved["weights"] < 2e-4
    assert starved["ended"] == [1, 1]
    assert starved["told"][0].count("error: process 1 of 2 failed") == 1
    assert "out of memory with a single frame" in starved["told"][0]
    assert starved["told"][1] == ""


def _check_collapsed(collapsed):
    assert collapsed["codes"] == collapsed["budget"] == [0, 0]
    assert [recovery["epoch"] for recovery in collapsed["recoveries"]] == [3]
    assert collapsed["batch"] % 2 == 0 or collapsed["batch"] == 7  # what suits one process, for each of two
    assert collapsed["refused"] == collapsed["other"] == [1, 1]
    assert collapsed["told"] == [collapsed["told"][0], ""]
    assert "reaches beyond clip" in collapsed["told"][0]


def _check_segments(result):
    assert not any(result["codes"])
    assert result["psnr"][0] == pytest.approx(result["psnr"][1], rel=1e-4)
    assert result["told"][0].count("in 2 segments") == 1
    assert result["told"][1] == ""


CHECKS = {
    "whole": _check_whole,
    "lost": _check_lost,
    "silent": _check_silent,
    "stopped": _check_stopped,
    "starved": _check_starved,
    "collapsed": _check_collapsed,
    "segments": _check_segments,
}


@pytest.mark.slow
def test_torchrun_that_is_told_to_stop_leaves_a_checkpoint(tmp_path):
    write_clip(tmp_path)
    fit = ["-m", "enerv_zoo", "fit", "clip", "--size", "80K", "--epochs", "100000", "--device", "cpu", "--out", "fit"]
    with (tmp_path / "log").open("w") as log:
        run = subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *fit],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
        )
        try:
            history = tmp_path / "fit" / "history.jsonl"
            while not history.exists() and run.poll() is None:
                time.sleep(0.05)
            run.terminate()
            code = run.wait()
        finally:
            run.kill()
    text = (tmp_path / "log").read_text()
    assert code != 0, text
    assert text.count("stopped in epoch") == 1, text
    assert load_checkpoint(tmp_path / "fit")["fitter"]["epoch"] >= 1
