"""Nothing that is made to be sent says where it was made: no path of this machine, and no name of its user."""

from __future__ import annotations

import getpass
import json
import shutil
from pathlib import Path

import pytest

import enerv_zoo as ez
from enerv_zoo.batch import FitJob, FitOutcome
from enerv_zoo.report.command import fit_command
from enerv_zoo.report.page import distinct_names
from enerv_zoo.video import write_video
from enerv_zoo.video.origin import name_alone, without_folders

TINY = {"fc_dim": 8, "block_dim": 16, "mlp_dim": 8, "stem_dim": [16], "lower_width": 6}
FIT = {"epochs": 1, "batch_size": 3, "device": "cpu"}
LOCAL = {"fit.json"}
"""Read by `eval` on this machine alone: it keeps the path, and what is pushed of it does not."""


@pytest.fixture
def secret(tmp_path, monkeypatch):
    """Folders whose names nobody else is to see; the home of a user is one of them."""
    home = tmp_path / "Ann Secret"
    (home / "films").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr("getpass.getuser", lambda: "ann-secret")
    return home


def told(data: bytes, *names: str) -> list[str]:
    """Which of the names stand in a file, as they are or as JSON and HTML have them."""
    forms = {name: (name, json.dumps(name)[1:-1], name.replace("/", "\\/"), name.replace(" ", "%20")) for name in names}
    return [name for name, written in forms.items() if any(form.encode() in data for form in written)]


def test_what_is_written_to_be_sent_holds_names_alone(client, secret, cli, monkeypatch):
    film = write_video(secret / "films" / "holiday.mp4", ez.open_video("bunny", frames="0:3", resize="36x64"))
    monkeypatch.chdir(secret)
    runs = secret / "runs"
    ez.fit(film, model_options=TINY, out=runs / "fit", **FIT)
    shutil.copytree(runs / "fit", secret / "other" / "fit")
    ez.fit_segments(film, segments=2, model_options=TINY, out=runs / "long", **FIT)
    ez.compare(film, ["enerv"], size="80K", out=runs / "compare", **FIT)
    ez.rate_distortion(film, ["enerv"], sizes=["80K"], bits=(8,), codecs=(), out=runs / "rd", **FIT)
    for name in ("fit", "long"):
        ez.compress(runs / name, runs / f"{name}.nvz")
        ez.write_report(runs / name, runs / f"{name}.html")
    three = [runs / "fit", secret / "other" / "fit", runs / "fit.nvz"]
    ez.write_report(three, runs / "both.html", data=film)
    for run in (runs / "fit", runs / "long.nvz"):
        ez.push(run, f"alice/{run.stem}")
    files = {path.relative_to(runs): path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    for repo in ("alice/fit", "alice/long"):
        ez.pull(repo, secret / repo)
        files |= {path.relative_to(secret): path.read_bytes() for path in (secret / repo).rglob("*") if path.is_file()}
    assert {"README.md", "config.json", "fit.json", "both.html", "rd.json"} <= {path.name for path in files}
    names = (str(secret), str(secret.parent), "Ann Secret", str(Path.cwd()), getpass.getuser(), "/films/")
    found = {str(path): told(data, *names) for path, data in files.items()}
    local = {path for path, where in found.items() if where}
    assert local == {path for path in found if Path(path).name in LOCAL and not path.startswith("alice")}
    assert b"enerv-zoo fit holiday.mp4" in files[Path("fit.html")]
    assert json.loads(files[Path("fit/fit.json")])["source"] == str(film.resolve())


def test_two_runs_of_one_name_are_told_apart_by_little():
    assert distinct_names(["/home/ann/a/run", "/home/ann/b/run", "x.nvz"]) == ["a/run", "b/run", "x"]
    assert distinct_names(["/home/ann/run"]) == ["run"]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/home/ann/a film.mp4", "a film.mp4"),
        ("bunny", "bunny"),
        ("s3://key:secret@bucket/clips/x.mp4?signature=1", "x.mp4"),
        ("https://host/x.mp4#t=3", "x.mp4"),
        ("", None),
        (None, None),
        (3, None),
    ],
)
def test_a_source_goes_by_its_name(source, name):
    assert name_alone(source) == name
    assert fit_command({"source": source, "model": {"name": "nerv"}}, "x").split("--")[0].strip() in (
        f"enerv-zoo fit {name or 'VIDEO'}",
        f"enerv-zoo fit '{name}'",
    )


def test_messages_keep_names_and_addresses():
    paths = "'/tmp/x/y.nvz', C:\\Users\\Ann\\z.mp4, ~/a/b"
    message = f"/home/ann b/clip.mp4: no such file ({paths}); see https://x.y/z and a/b/c"
    expected = "clip.mp4: no such file ('y.nvz', z.mp4, b); see https://x.y/z and a/b/c"
    assert without_folders(message, "/home/ann b/clip.mp4") == expected


def test_the_summary_of_a_fleet_names_no_folder():
    pytest.importorskip("pyarrow")
    from enerv_zoo.batch.run import columns_of, fit_row
    from enerv_zoo.config import Recipe

    job = FitJob("x", "/home/ann b/clip.mp4", Recipe())
    row = fit_row(
        columns_of([]), job, FitOutcome("x", error="/home/ann b/clip.mp4: is damaged; /srv/store/x: cannot be written")
    )
    assert (row["video"], row["error"]) == ("clip.mp4", "clip.mp4: is damaged; x: cannot be written")
