"""A fleet: on Ray, started on this machine; what it asks for; what it tells; its summary and page.

Clusters of several machines, and what becomes of fits when workers, machines and drivers are killed, take minutes and
start some hundred processes: they run when `ENERV_ZOO_PROCESSES=1` is set.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pyarrow import parquet

import enerv_zoo as ez
from enerv_zoo.batch.progress import Board, Progress, Task
from enerv_zoo.batch.run import columns_of
from enerv_zoo.cli import main
from enerv_zoo.cluster.fleet import CONTEXT_BYTES, gpu_share
from enerv_zoo.config import DEFAULT_METRICS
from enerv_zoo.errors import ConfigError, FitError
from enerv_zoo.report.fleet import write_fleet_report

TINY = {"resize": "64x36", "fit": {"epochs": 2, "batch_size": 3}}
SCENES = Path(__file__).with_name("cluster_scenes.py")


def cli(monkeypatch, *words):
    """Run a command; gives its exit code."""
    monkeypatch.setattr(sys, "argv", ["enerv-zoo", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code or 0


def test_a_manifest_on_this_machine(tmp_path, monkeypatch, capfd):
    """One Ray for everything: whole videos, segments, a duplicate, a poisoned input, a second run, another command."""
    (tmp_path / "broken.mp4").write_text("nonsense")
    broken, out = str(tmp_path / "broken.mp4"), tmp_path / "out"
    groups = [
        {"videos": ["bunny", broken], "models": ["nerv"], "sizes": ["60K"], "frames": "0:3", **TINY},
        {"videos": ["bunny"], "models": ["nerv"], "sizes": ["60K"], "frames": "0:3", "name": "same", **TINY},
        {"videos": ["bunny"], "models": ["nerv"], "sizes": ["60K"], "frames": "0:6", "segments": 2, "name": "long",
         **TINY},
    ]  # fmt: skip
    (tmp_path / "zoo.yaml").write_text(json.dumps({"fits": groups}))
    import ray

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=128 << 20)
    try:
        assert cli(monkeypatch, "fleet", tmp_path / "zoo.yaml", "--out", out, "--json") == 1
        printed = capfd.readouterr()
        first = json.loads(printed.out)
        (line,) = [line for line in printed.err.splitlines() if line.startswith("error: ")]
        assert "broken-nerv-60k" in line
        rows = {row["name"]: row for row in first["fits"]}
        assert list(rows) == [
            "bunny-nerv-60k", "broken-nerv-60k", "same", "long", "long/segment-00000", "long/segment-00001",
        ]  # fmt: skip
        assert [row["state"] for row in rows.values()] == ["done", "failed", "done", "done", "done", "done"]
        assert "not a video" in rows["broken-nerv-60k"]["error"]
        assert rows["same"]["id"] == rows["bunny-nerv-60k"]["id"]
        assert rows["same"]["psnr"] == rows["bunny-nerv-60k"]["psnr"]
        assert rows["long"]["frames"] == 6
        assert first["processor_seconds"] > 0
        assert len(ez.load(out / "long")) == 6
        table = parquet.read_table(out / "summary.parquet")
        assert table.column_names == list(columns_of(DEFAULT_METRICS))
        assert table.to_pylist() == first["fits"]
        assert "5 of 6 done" in (out / "report.html").read_text()

        (tmp_path / "broken.mp4").unlink()
        ez.write_video(tmp_path / "broken.mp4", ez.open_video("bunny", frames="0:3", resize="64x36"))
        weights = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
        assert cli(monkeypatch, "fleet", tmp_path / "zoo.yaml", "--out", out, "--json") == 0
        again = json.loads(capfd.readouterr().out)
        assert all(row["state"] == "done" for row in again["fits"])
        assert weights.items() <= {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}.items()

        fit = ("--resize", "64x36", "--frames", "0:3", "--epochs", "1", "--batch-size", "3", "--no-report", "--json")
        compare = ("compare", "bunny", "--models", "nerv", "--size", "60K", "--out", tmp_path / "both", *fit)
        assert cli(monkeypatch, *compare, "--address", "local") == 0
        assert list(json.loads(capfd.readouterr().out)) == ["nerv"]
        segments = ("fit", "bunny", "--model", "nerv", "--size", "60K", "--segments", "2", "--out", tmp_path / "cut")
        assert cli(monkeypatch, *segments, *fit, "--address", "local") == 0
        assert json.loads(capfd.readouterr().out)["segments"] == 2
        with ez.Fleet() as fleet, pytest.raises(FitError, match="no machine of this cluster has a GPU"):
            list(fleet([], tmp_path, device="cuda"))
    finally:
        ray.shutdown()


def test_what_there_is_to_do_is_shown_without_ray(tmp_path, monkeypatch, capfd):
    (tmp_path / "clips.csv").write_text("video,model,segments\nbunny,nerv,\nbunny,enerv,10s\n")
    monkeypatch.setitem(sys.modules, "ray", None)
    assert cli(monkeypatch, "fleet", tmp_path / "clips.csv", "--dry-run") == 0
    printed = capfd.readouterr().out
    assert "bunny-nerv" in printed
    assert "in segments (10s)" in printed
    assert cli(monkeypatch, "fleet", tmp_path / "clips.csv", "--dry-run", "--json") == 0
    nothing = dict.fromkeys(("size", "pushing", "repository", "url", "psnr", "error"))
    planned = {"video": "bunny", "fitting": "fit", **nothing}
    assert json.loads(capfd.readouterr().out) == [
        {"name": "bunny-nerv", "segments": None, **planned, "model": "nerv"},
        {"name": "bunny-enerv", "segments": "10s", **planned, "model": "enerv"},
    ]


def test_what_cannot_be_is_one_line(tmp_path, monkeypatch, capfd):
    (tmp_path / "clips.csv").write_text("video\nbunny\n")
    assert cli(monkeypatch, "fit", "bunny", "--address", "local") == 2
    assert "give --segments" in capfd.readouterr().err
    with pytest.raises(ConfigError, match="above 0"):
        ez.Fleet(cpus=0)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert cli(monkeypatch, "fleet", tmp_path / "clips.csv", "--out", tmp_path / "out") == 1
    assert "pip install 'enerv-zoo[cluster]'" in capfd.readouterr().err


def test_a_share_of_a_gpu_is_what_the_fit_needs():
    gpu = 80 << 30
    assert gpu_share(0, gpu) == 0.05
    assert gpu_share(7 << 30, gpu) == pytest.approx(0.1)
    assert gpu_share(gpu // 2 - CONTEXT_BYTES, gpu) == 0.5
    assert gpu_share(2 * gpu, gpu) == 1.0


def test_time_left_follows_work_done(monkeypatch):
    progress = Progress(4, began=-100.0)
    monkeypatch.setattr("enerv_zoo.batch.progress.time.monotonic", lambda: 0.0)
    monkeypatch.setattr("enerv_zoo.batch.progress.time.time", lambda: 50.0)
    fits = [Task("b", print, (), cpus=2.0, gpus=0.5, attempts=2)]
    assert progress.status(()).seconds_left is None
    progress.add("a", 1.0)
    progress.add("b", 3.0)  # the other two count as 2
    progress.end("a", failed=False)
    progress.facts["b"] = {"since": 40.0, "host": "here", "pid": 1, "progress": 1 / 3, "psnr": 30.0}
    status = progress.status(fits)
    assert status.seconds_left == pytest.approx(100.0 * 6 / 2)
    assert (status.done, status.failed, status.processor_seconds, status.gpu_seconds) == (1, 0, 20.0, 5.0)
    assert (status.running[0].name, status.running[0].attempt) == ("b", 2)
    progress.end("c", failed=True)  # what was over before it was looked at says nothing of the rate
    assert progress.status(fits).seconds_left == pytest.approx(100.0 * 4 / 2)
    assert progress.status(fits).failed == 1


def test_the_board_forgets_what_is_over():
    board = Board()
    board.tell("a", {"since": 1.0, "progress": 0.0})
    board.tell("a", {"progress": 0.5, "psnr": 20.0})
    board.tell("b", {"since": 2.0})
    assert board.look(["a"]) == {"a": {"since": 1.0, "progress": 0.5, "psnr": 20.0}}
    board.tell("a", {"since": 3.0, "progress": 0.0})
    assert board.look(["a", "b"]) == {"a": {"since": 3.0, "progress": 0.0}}


def test_the_page_escapes_what_it_shows(tmp_path):
    blank = dict.fromkeys(columns_of(DEFAULT_METRICS))
    rows = [
        {
            **blank,
            "name": "<b>",
            "state": "done",
            "psnr": 30.0,
            "bpp": 0.5,
            "model": "nerv",
            "seconds": 9.0,
            "attempts": 1,
        },
        {**blank, "name": "worse", "state": "failed", "error": "<script>", "seconds": 1.0, "attempts": 5},
    ]
    text = write_fleet_report(rows, tmp_path / "report.html").read_text()
    assert "1 of 2 done" in text
    assert "&lt;b&gt;" in text
    assert "&lt;script&gt;" in text
    assert "<script>" not in text
    assert write_fleet_report([rows[1]] * 3000, tmp_path / "many.html").read_text().count("<tr>") < 4100


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("scene", ["workers", "node", "driver", "remote"])
def test_what_is_killed_is_made_up_for(scene, tmp_path):
    end = subprocess.run([sys.executable, SCENES, scene, tmp_path], capture_output=True, text=True, check=False)
    assert end.returncode == 0, end.stdout + end.stderr
