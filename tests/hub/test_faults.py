"""A network and a Hub that fail: what can be repaired is, the rest is one line, and nothing half-done stays."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

import enerv_zoo as ez
from enerv_zoo.errors import ConfigError, EnervZooError, HubError
from enerv_zoo.hub import client as hub_client

from .conftest import close_session
from .server import Commit, Fault, File

WEIGHTS = r"GET /[0-9a-f]{64}"
"""The download of a large file."""


@pytest.fixture
def bunny(client, fit_files, monkeypatch):
    """The Hub, with one fit that anybody may load."""
    monkeypatch.setattr(hub_client, "WAITS", (0.01, 0.01, 0.01))
    client.add("bob/bunny", fit_files)
    return client


def test_who_may_not(bunny, fit_files):
    bunny.add("bob/secret", fit_files, private=True)
    bunny.add("bob/gated", fit_files, gated=True)
    for repo, token, message in (
        ("bob/nothing", "hf_alice", "no such repository"),
        ("bob/secret", "hf_alice", "no such repository .* or a private one"),
        ("bob/secret", False, "no such repository .* or a private one"),
        ("bob/gated", "hf_alice", "is gated; ask for access at http"),
        ("bob/bunny", "hf_wrong", "the token is not valid"),
    ):
        with pytest.raises(HubError, match=message) as caught:
            ez.load(repo, token=token)
        assert "\n" not in str(caught.value)
    assert len(ez.load("bob/secret", token="hf_bob")) == len(ez.load("bob/gated", token="hf_bob")) == 3


def test_who_may_not_push(bunny, run_folder, monkeypatch):
    with pytest.raises(HubError, match=r"not allowed .*rights to push"):
        ez.push(run_folder, "bob/bunny")
    with pytest.raises(HubError, match=r"not allowed .*rights to create"):
        ez.push(run_folder, "bob/another")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match="log in"):
        ez.push(run_folder, "alice/bunny", token=False)


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("match", ["GET /api/models/", "HEAD .*/config.json", WEIGHTS])
@pytest.mark.usefixtures("_without_waiting")
def test_a_busy_hub_is_asked_again(bunny, status, match):
    bunny.faults = [Fault(match, status, {"Retry-After": "0"}, times=2)]
    assert len(ez.load("bob/bunny")) == 3
    assert bunny.faults[0].times == 0


def test_a_hub_that_hangs_up_is_asked_again(bunny):
    bunny.faults = [Fault("GET /api/models/", cut=0, times=2)]
    assert len(ez.load("bob/bunny")) == 3


def test_a_hub_that_stays_out_of_order(bunny, caplog):
    fault = Fault("GET /api/models/", 503, times=99)
    bunny.faults = [fault]
    with pytest.raises(HubError, match=r"is out of order \(503\); try again later"):
        ez.load("bob/bunny")
    fault.times = 0
    frames = ez.load("bob/bunny")[:]
    fault.times = 99
    assert torch.equal(ez.load("bob/bunny")[:], frames)
    assert "what was downloaded before is used" in caplog.text


@pytest.fixture
def _without_waiting(monkeypatch):
    """Let the client try again without waiting."""
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)


@pytest.mark.usefixtures("_without_waiting")
def test_no_connection(bunny, caplog):
    ez.load("bob/bunny")
    close_session()  # a connection that is open would go on answering
    held = [socket.socket() for _ in bunny.servers]
    for server, port in zip(bunny.servers, held, strict=True):
        server.shutdown()
        server.server_close()
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port.bind(server.server_address)  # nobody listens there, and no other program takes it
    assert len(ez.load("bob/bunny")) == 3
    assert "cannot be reached" in caplog.text
    with pytest.raises(HubError, match=r"cannot be reached.* there is no folder bob/another here"):
        ez.load("bob/another")
    with pytest.raises(HubError, match="cannot be reached"):
        ez.list_pretrained()
    for port in held:
        port.close()


def test_a_cut_download_goes_on_where_it_was(bunny, fit_files, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # what the client keeps at a time
    bunny.faults = [Fault(WEIGHTS, cut=4321)]
    folder = ez.pull("bob/bunny", tmp_path / "pulled")
    assert (folder / "model.safetensors").read_bytes() == fit_files["model.safetensors"]
    assert [line.split(" ", 2)[2:] for line in bunny.asked(WEIGHTS)] == [[], ["bytes=4000-"]]


def flipped(data):
    return data[:-1] + bytes([data[-1] ^ 1])


def test_bytes_that_are_not_those_listed_are_fetched_again_then_refused(bunny, tmp_path):
    fault = Fault(WEIGHTS, change=flipped)
    bunny.faults = [fault]
    ez.load("bob/bunny")
    assert len(bunny.asked(WEIGHTS)) == 2
    fault.times = 2
    with pytest.raises(HubError, match=r"model\.safetensors is not the file that the Hub lists"):
        ez.load("bob/bunny", cache_dir=tmp_path / "fresh")
    assert not list((tmp_path / "fresh").rglob("*.safetensors"))
    assert len(list((tmp_path / "fresh").rglob("blobs/*"))) == 1  # the config
    ez.load("bob/bunny", cache_dir=tmp_path / "fresh")


@pytest.mark.parametrize("match", [r"GET .*/config.json", WEIGHTS])
def test_a_file_that_is_too_short_is_refused(bunny, match, tmp_path):
    bunny.faults = [Fault(match, change=lambda data: data[:100], times=99)]
    with pytest.raises(HubError, match=r"try again|was not kept"):
        ez.pull("bob/bunny", tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_damaged_cache_is_repaired(bunny, tmp_path):
    frames = ez.load("bob/bunny")[:]
    blob = max((path for path in tmp_path.rglob("blobs/*")), key=lambda path: path.stat().st_size)
    blob.write_bytes(flipped(blob.read_bytes()))
    assert torch.equal(ez.load("bob/bunny")[:], frames)


def test_answers_that_mean_nothing(bunny):
    for body in (b"<html>", b"[1]", b'{"id": 3, "siblings": 4}', b"null"):
        bunny.faults = [Fault("GET /api/models/", change=lambda _, body=body: body, times=9)]
        with pytest.raises(HubError, match=r"sent what cannot be used|holds no fit"):
            ez.load("bob/bunny")
    with pytest.raises(HubError, match="sent what cannot be used"):
        bunny.faults = [Fault("GET /api/models", change=lambda _: b"[{}]", times=9)]
        ez.list_pretrained()


def test_two_pushes_at_once_lose_nothing(bunny, run_folder):
    ez.push(run_folder, "alice/bunny")
    repo = bunny.repositories["alice/bunny"]
    barrier = threading.Barrier(2)
    bunny.before_commit = barrier.wait  # both looked at the branch before either wrote to it
    ended: dict[str, object] = {}

    def push(license):
        try:
            ended[license] = ez.push(run_folder, "alice/bunny", license=license)
        except EnervZooError as error:
            ended[license] = error

    threads = [threading.Thread(target=push, args=[license]) for license in ("mit", "cc0-1.0")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = next(license for license, end in ended.items() if isinstance(end, HubError))
    assert "somebody else pushed to it meanwhile" in str(ended[refused])
    kept = json.loads(repo.at().files["config.json"].data)["license"]
    assert {kept, refused} == {"mit", "cc0-1.0"}
    bunny.before_commit = lambda: None
    ez.push(run_folder, "alice/bunny", license=refused)
    assert json.loads(repo.at().files["config.json"].data)["license"] == refused
    assert len(repo.commits) == 4


def test_a_push_between_two_reads_is_noticed(bunny, fit_files, monkeypatch):
    repo = bunny.repositories["bob/bunny"]

    def push(body):
        repo.add(Commit({name: File(data, ".s" in name) for name, data in fit_files.items()}, "later", repo.at().sha))
        return body

    bunny.faults = [Fault("GET /api/models/", change=push)]
    with pytest.raises(HubError, match="was pushed to while it was read"):
        ez.load("bob/bunny")
    assert len(ez.load("bob/bunny")) == 3


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"README.md": b"hello"}, "holds no fit of enerv-zoo"),
        ({"model.safetensors": None}, "holds no model.safetensors"),
        ({"config.json": b'{"model_type": "bert"}'}, "format None is not one"),
        ({"config.json": b" " * (17 << 20)}, "config.json has 17,825,792 bytes"),
        ({"model.safetensors": b" " * (18 << 20)}, "model.safetensors has 18,874,368 bytes, its network at most"),
        ({"fit.json": b'{"source": "http://127.0.0.1/x.mp4"}'}, "names a source that is no sample"),
        ({"fit.json": b'{"source": "/etc/passwd"}'}, "names a source that is no sample"),
        ({"fit.json": b'{"source": null, "video": {"path": "/etc/passwd"}}'}, "no option 'path'"),
        ({"fit.json": b'{"source": "bunny", "fit": {"epochs": -1}}'}, "epochs"),
        ({"fit.json": b'{"source": "bunny", "fit": {"loss": {"L1": "x"}}}'}, "a loss is a name"),
    ],
)
def test_hostile_repositories_are_refused_before_much_is_downloaded(client, fit_files, files, message, tmp_path):
    held = {**(fit_files if "README.md" not in files else {}), **files}
    client.add("bob/evil", {name: data for name, data in held.items() if data is not None})
    with pytest.raises((HubError, ConfigError), match=message):
        ez.pull("bob/evil", tmp_path / "pulled")
    assert not client.asked(WEIGHTS) or "fit.json" in files
    assert not Path(tmp_path / "pulled").exists()
