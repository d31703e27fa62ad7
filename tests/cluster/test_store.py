"""The folder that all machines of a fleet see: files appear whole, and what fails says where."""

from __future__ import annotations

import json

import fsspec
import pytest

from enerv_zoo.cluster.store import Store
from enerv_zoo.errors import FitError, VideoError


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    """One on a disk, and one behind an address."""
    if request.param == "local":
        return Store(tmp_path / "store")
    fsspec.filesystem("memory").store.clear()
    return Store("memory://bucket/fits")


def test_what_is_put_is_there(store, tmp_path):
    assert store.names("fit") == set()
    assert store.read("fit/job.json") is None
    (tmp_path / "a.bin").write_bytes(b"\0\1\2")
    store.put(tmp_path / "a.bin", "fit/weights.bin")
    store.write("fit/job.json", {"id": "x", "psnr": float("inf")})
    assert store.names("fit") == {"weights.bin", "job.json"}
    assert store.read("fit/job.json") == {"id": "x", "psnr": None}
    store.get("fit/weights.bin", tmp_path / "deep" / "b.bin")
    assert (tmp_path / "deep" / "b.bin").read_bytes() == b"\0\1\2"
    (tmp_path / "a.bin").write_bytes(b"\3")
    store.put(tmp_path / "a.bin", "fit/weights.bin")
    store.get("fit/weights.bin", tmp_path / "c.bin")
    assert (tmp_path / "c.bin").read_bytes() == b"\3"
    store.remove("fit/weights.bin")
    store.remove("fit/weights.bin")
    assert store.names("fit") == {"job.json"}


def test_what_fails_says_where(store, tmp_path):
    with pytest.raises(FitError, match=r"fit/none\.bin: the storage failed"):
        store.get("fit/none.bin", tmp_path / "none.bin")


def test_a_file_that_is_no_json_is_none(tmp_path):
    store = Store(tmp_path)
    for text in ("{", "[1]", ""):
        (tmp_path / "job.json").write_text(text)
        assert store.read("job.json") is None


def test_paths_are_absolute_and_nothing_half_written_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store("runs")
    assert store.root == str(tmp_path / "runs")
    store.write("fit/a.json", {})
    with pytest.raises(FitError):
        store.put(tmp_path / "missing", "fit/b.json")
    assert sorted(path.name for path in (tmp_path / "runs" / "fit").iterdir()) == ["a.json"]
    assert json.loads((tmp_path / "runs/fit/a.json").read_text()) == {}


def test_an_address_nobody_speaks():
    with pytest.raises(VideoError, match="cannot be reached"):
        Store("nonsense://bucket")
