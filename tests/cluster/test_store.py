"""The folder that all machines of a fleet see: files appear whole, and what fails says where."""

from __future__ import annotations

import json

import fsspec
import pytest

from enerv_zoo.batch import job_of
from enerv_zoo.batch.store import Store
from enerv_zoo.cluster.worker import do, prepare
from enerv_zoo.errors import FitError, VideoError
from enerv_zoo.fitting.checkpoint import CHECKPOINT
from enerv_zoo.fitting.plan import plan_fit
from enerv_zoo.video.samples import SAMPLES

OPTIONS = {"size": "60K", "epochs": 2, "batch_size": 3, "frames": "0:3", "resize": "64x36"}


def job(name, source):
    return job_of(name, source, plan_fit(source, "nerv", device="cpu", **OPTIONS))


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


def test_a_place_that_holds_no_files_is_refused_at_once(store, tmp_path):
    store.check()  # empty, or not there yet
    (tmp_path / "file").touch()
    with pytest.raises(FitError, match="is a file; a fleet needs a folder"):
        Store(tmp_path / "file").check()


def test_an_address_nobody_speaks():
    with pytest.raises(VideoError, match="cannot be reached"):
        Store("nonsense://bucket")


@pytest.fixture(scope="module")
def bucket():
    """A server of the S3 protocol on loopback, with a bucket; gives its address."""
    from moto.server import ThreadedMotoServer

    with pytest.MonkeyPatch.context() as patch:
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "someone")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.filesystem("s3").mkdir("bucket")
        yield "s3://bucket"
        server.stop()


@pytest.fixture
def repository(client):
    """An empty repository on a Hub on loopback; gives its address."""
    client.add("alice/fits", {".gitattributes": b""})
    fsspec.filesystem("hf", skip_instance_cache=True)
    yield "hf://alice/fits"
    fsspec.filesystem("hf").clear_instance_cache()


@pytest.mark.parametrize("storage", ["bucket", "repository"])
def test_fits_behind_an_address(storage, request, tmp_path, monkeypatch):
    """The video, the checkpoints and the results are there; another worker goes on, and nothing is done twice."""
    monkeypatch.setenv("ENERV_ZOO_CACHE", str(tmp_path / "cache"))
    place = request.getfixturevalue(storage)
    clip, root = f"{place}/clips/bunny.mp4", f"{place}/fits"
    fsspec.url_to_fs(clip)[0].put_file(str(SAMPLES["bunny"].path), clip)
    fit = job("first", clip)
    outcome = do(fit, prepare(fit, root).id, root, "cpu")
    assert (outcome.fitting, outcome.error) == ("fit", None)
    there = Store(root).names("first")
    assert {"model.safetensors", "metrics.json", "fit.json"} < there
    assert CHECKPOINT not in there
    assert do(fit, fit.id, root, "cpu").fitting == "nothing"
    assert do(job("copy", clip), fit.id, root, "cpu").fitting == "nothing"
    assert Store(root).names("copy") == there
    Store(root).get("copy/metrics.json", tmp_path / "metrics.json")
    assert json.loads((tmp_path / "metrics.json").read_text()) == outcome.metrics
    with pytest.raises(VideoError, match=r"none\.mp4: cannot be fetched \(no such file\)"):
        prepare(job("none", f"{place}/clips/none.mp4"), root)
