"""Programs that are run for hours or on GPUs, tried at tiny sizes."""

from __future__ import annotations

import importlib
import json
import os
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import torch

import enerv_zoo as ez

PROGRAMS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def program(monkeypatch):
    """Import a program by its name; what it imports beside it is forgotten afterwards."""
    monkeypatch.syspath_prepend(PROGRAMS)
    yield importlib.import_module
    for path in PROGRAMS.glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_checks_for_gpus_go_on_where_they_were(program, tmp_path, monkeypatch):
    gpu = program("gpu")
    command = ["--tiny", "--device", "cpu", "--here", "--out", str(tmp_path / "gpu"), "--families", "hnerv", "--only"]
    monkeypatch.setattr(gpu, "MAX_FRAME_DIFFERENCE", -1.0)

    def checks():
        return json.loads((tmp_path / "gpu" / "gpu.json").read_text())["checks"]

    assert gpu.main([*command, "parity", "ways", "tests", "bunny"]) == 1
    first = checks()
    assert {name: row["state"] for name, row in first.items()} == {
        "parity": "failed", "ways": "passed", "tests": "needs CUDA", "bunny": "passed",
    }  # fmt: skip
    assert first["parity"]["failures"] == ["hnerv"]
    assert set(first["ways"]["rows"]) == {"hnerv, float32", "hnerv, bfloat16", "hnerv, graphs"}
    assert first["bunny"]["rows"]["enerv-bunny"]["epochs"] == 2
    monkeypatch.setattr(gpu, "MAX_FRAME_DIFFERENCE", 0.0)
    assert gpu.main([*command, "parity", "ways", "bunny"]) == 0
    assert checks()["parity"]["state"] == "passed"
    assert checks()["ways"] == first["ways"], "what has passed is not repeated"


def test_maps_between_the_places_that_were_fitted(program):
    tasks = program("tasks")
    ramp = torch.arange(12.0).expand(1, 1, 8, 12) + torch.arange(8.0)[:, None]
    moved = tasks.shifted(ramp, torch.tensor([0.25, -0.5]), is_tile=False)
    assert torch.allclose(moved[..., 3:-3, 3:-3], (ramp - 0.25)[..., 3:-3, 3:-3], atol=0.05)
    tile = torch.rand(2, 3, 2, 4)
    assert torch.allclose(
        tasks.shifted(tile, torch.tensor([1.0, 2.0]), is_tile=True), tile.roll((-1, -2), (2, 3)), atol=1e-5
    )
    for family in ("hinerv", "nerv"):
        video = ez.create_model(family, frames=2, height=24, width=40, size="30K")
        frames = tasks.denser(video, 0)
        assert frames.shape == (2, 3, 48, 80)
        assert (frames[..., ::2, ::2] - torch.cat(list(video.decode(dtype=torch.float32)))).abs().mean() < 0.05


def test_hostile_input_is_read_or_refused(program, tmp_path):
    fuzz = program("fuzz")
    samples = fuzz.Samples(tmp_path)
    for kind, method in fuzz.KINDS.items():
        outcomes = [fuzz.outcome(getattr(samples, method), f"{kind}-{number}") for number in range(6)]
        assert "refused" in outcomes, kind

    def breaks(folder, chance):
        raise ValueError("not an error of this package")

    with pytest.raises(ValueError, match="not an error"):
        fuzz.outcome(breaks, "")


def test_a_server_answers_the_same_every_time(program, tmp_path):
    server = program("steady").Server(tmp_path)
    assert all(server.answer(number) for number in range(8))
    server.frames[0] += 1
    assert not all(server.answer(number) for number in range(8))


def test_results_older_than_the_code_they_measure_are_named(program, tmp_path, monkeypatch):
    older = program("older")
    monkeypatch.setattr(older, "HERE", tmp_path / "benchmarks")
    for name, value in (("GIT_AUTHOR_NAME", "a"), ("GIT_COMMITTER_NAME", "a"), ("EMAIL", "a@example.org")):
        monkeypatch.setenv(name, value)

    def commit(path, text, *more):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
        older.git("add", ".")
        older.git("commit", "--quiet", "-m", "\n\n".join((path, *more)))
        return older.git("rev-parse", "HEAD")

    older.git("init", "--quiet")
    commit("benchmarks/results/ssim_speed-one.json", "{}")
    commit("benchmarks/results/fit_speed-one.json", "{}")
    commit("enerv_zoo/nvz/tables.py", "")
    assert list(older.older()) == []
    commit("enerv_zoo/layers/norms.py", "", "A clearer name.", "Same figures: as same.py found.")
    assert list(older.older()) == []
    first = commit("enerv_zoo/ssim.py", "", "As before, but not: Same figures:")
    assert [name for name, _ in older.older()] == ["fit_speed-one", "ssim_speed-one"]
    commit("benchmarks/results/ssim_speed-one.json", json.dumps({"commit": f"{first[:12]}+"}))
    assert [name for name, _ in older.older()] == ["fit_speed-one"]
    commit("benchmarks/results/fit_speed-one.json", json.dumps({"commit": "HEAD~1"}))
    assert list(older.older()) == []
    commit("benchmarks/results/fit_speed-one.json", json.dumps({"commit": 12 * "0"}))
    assert list(older.older()) == [], "a commit that is gone: the file's own counts"
    commit("enerv_zoo/fitting/loop.py", "")
    assert [name for name, _ in older.older()] == ["fit_speed-one"]
    commit("benchmarks/results/fit_speed-one.json", json.dumps({"commit": older.git("rev-parse", "HEAD")}))
    commit("configs/zoo/shelf.yaml", "")
    before = older.git("rev-parse", "HEAD")
    for part in older.NAMED_ONLY:
        commit(f"enerv_zoo/{part}", "")
    assert list(older.older()) == []
    commit("benchmarks/results/zoo-one.json", json.dumps({"commit": before}))
    assert [name for name, _ in older.older()] == ["zoo-one"], "it measures what others do not"
    (tmp_path / "benchmarks/results/zoo-one.json").unlink()
    commit("configs/quick.yaml", "")
    assert [name for name, _ in older.older()] == ["fit_speed-one"]


def test_bits_are_the_same_until_something_changes(program, monkeypatch):
    same = program("same")
    monkeypatch.setattr(same, "FITS", {"nerv": {"model": "nerv", "size": "0.1M", "frames": "0:3", "epochs": 1}})
    monkeypatch.setattr(same, "COMPRESSIONS", {"bits": {"bits": 6}})
    monkeypatch.setattr(same, "bundled_networks", dict)
    first = dict(same.digests())
    assert list(first) == ["nerv", "compressed: bits"]
    assert dict(same.digests()) == first
    monkeypatch.setattr(same, "HOW", {**same.HOW, "lr": 1.001e-3})
    assert not set(dict(same.digests()).values()) & set(first.values())


def test_what_another_commit_computes_differently_is_listed(program, tmp_path, monkeypatch, capsys):
    same, older = program("same"), program("older")
    monkeypatch.setattr(older, "HERE", tmp_path / "benchmarks")
    monkeypatch.setattr(same, "computed", lambda code: json.loads((code / "digests.json").read_text()))
    monkeypatch.setattr(sys, "argv", ["same.py", "HEAD"])
    (tmp_path / "digests.json").write_text(json.dumps({"fit": "1", "file": "2"}))
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "first"]):
        older.git("-c", "user.name=a", "-c", "user.email=a@example.org", *words)
    assert same.main() == 0
    assert capsys.readouterr().out == "2 cases, 0 differ\n"
    (tmp_path / "digests.json").write_text(json.dumps({"fit": "1", "file": "3", "new": "4"}))
    assert same.main() == 1
    assert capsys.readouterr().out == "file: differs\nnew: differs\n3 cases, 2 differ\n"
    assert len(older.git("worktree", "list").splitlines()) == 1


def test_every_result_says_how_it_is_measured(program):
    everything = program("all")
    patterns = [pattern for each in everything.measurements() for pattern in each.results]
    results = [path.stem for path in (PROGRAMS / "results").glob("*.json")]
    found = {name: [pattern for pattern in patterns if fnmatch(name, pattern)] for name in results}
    assert {name: patterns for name, patterns in found.items() if len(patterns) != 1} == {}
    assert [pattern for pattern in patterns if not any(fnmatch(name, pattern) for name in results)] == []
    for each in everything.measurements():
        for command in each.run:
            assert command.startswith("enerv-zoo ") or (PROGRAMS / command.split()[0]).is_file(), command


def test_what_is_older_or_of_another_machine_is_measured_again(program, tmp_path, monkeypatch, capsys):
    everything, common = program("all"), program("common")
    monkeypatch.setattr(everything, "HERE", tmp_path)
    monkeypatch.setattr(everything, "older", lambda: {"aged": "2 later commits"}.items())
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    monkeypatch.setattr(everything, "RESULTS", tmp_path)
    (tmp_path / "all.yaml").write_text("""
        - {results: [fails], minutes: 1, run: [append.py fails, 'append.py never']}
        - {results: [aged], minutes: 1, run: [append.py aged-first, append.py aged]}
        - {results: [fine], minutes: 1, run: [append.py fine]}
        - {results: [theirs], minutes: 2, alone: true, run: [append.py theirs]}
        - {results: [long], minutes: 9, run: [append.py long]}
    """)
    (tmp_path / "append.py").write_text(f"""
import os, sys
with open({str(tmp_path / "said")!r}, "a") as file:
    print(sys.argv[1], len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0, file=file)
sys.exit(sys.argv[1] == "fails")
""")
    ours = common.machine("cpu")
    for name, cpu in (("aged", ours["cpu"]), ("fine", ours["cpu"]), ("theirs", "an abacus")):
        (tmp_path / f"{name}.json").write_text(json.dumps({"machine": {"cpu": cpu}}))
    monkeypatch.setattr(sys, "argv", ["all.py", "--minutes", "8", "--logs", str(tmp_path / "logs"), "--list"])
    assert everything.main() == 0
    listed = capsys.readouterr().out
    assert "aged: 2 later commits" in listed
    assert "theirs: of another machine, an abacus" in listed
    assert "fails: no result" in listed
    assert "fine" not in listed
    assert "long" not in listed
    sys.argv.remove("--list")
    assert everything.main() == 1
    assert "fails: FAILED" in capsys.readouterr().out
    rows = [line.split() for line in (tmp_path / "said").read_text().splitlines()]
    pins = hasattr(os, "sched_getaffinity")
    assert rows[0] == ["theirs", str(len(os.sched_getaffinity(0)) if pins else 0)]
    assert sorted(rows[1:]) == [[name, str(int(pins))] for name in ("aged", "aged-first", "fails")]
