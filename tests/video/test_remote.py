"""Videos by their address: over real HTTP, kept once fetched, fetched again when they changed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.errors import VideoError
from enerv_zoo.video.identity import digest
from enerv_zoo.video.remote import is_address, local_copy
from enerv_zoo.video.samples import SAMPLES


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, and counts what it was asked for; a file's tag changes with it."""

    asked: list[str] = []  # noqa: RUF012 (one server at a time)

    def send_head(self):
        self.asked.append(self.command)
        return super().send_head()

    def end_headers(self):
        path = self.translate_path(self.path)
        with suppress(OSError):
            self.send_header("ETag", f'"{hash(Path(path).read_bytes())}"')
        super().end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder, and the address under which it is served."""
    monkeypatch.setenv("ENERV_ZOO_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "site"
    folder.mkdir()
    shutil.copy(SAMPLES["bunny"].path, folder / "clip one.mp4")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Handler.asked.clear()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def test_a_video_at_an_address_is_that_video(site):
    folder, address = site
    clip = f"{address}/clip%20one.mp4"
    video = ez.open_video(clip, frames="3:5", resize="64x36")
    assert torch.equal(video.frames, ez.open_video("bunny", frames="3:5", resize="64x36").frames)
    fetched = Handler.asked.count("GET")
    ez.open_video(clip, frames="0:1")
    assert Handler.asked.count("GET") == fetched
    before = digest(clip)
    assert Handler.asked.count("GET") == fetched
    (folder / "clip one.mp4").write_bytes((folder / "clip one.mp4").read_bytes() + b"\0")
    import fsspec

    fsspec.filesystem("http").invalidate_cache()
    assert digest(clip) != before
    ez.open_video(clip, frames="0:1")
    assert Handler.asked.count("GET") > fetched


def test_a_signed_address_is_that_of_its_file(site):
    """Storages sign addresses with queries of many hundred characters."""
    folder, address = site
    shutil.copy(folder / "clip one.mp4", folder / "clip.mp4")
    video = ez.open_video(f"{address}/clip.mp4?X-Amz-Signature={'f' * 900}", frames="0:1")
    assert (video.info.name, len(video)) == ("clip", 1)


def test_a_fit_remembers_the_address(site, tmp_path):
    clip = f"{site[1]}/clip%20one.mp4"
    ez.fit(clip, "nerv", size="60K", frames="0:3", resize="64x36", epochs=1, batch_size=3, out=tmp_path / "fit")
    assert f'"source": "{clip}"' in (tmp_path / "fit" / "fit.json").read_text()


def test_what_is_not_there(site):
    with pytest.raises(VideoError, match=r"none\.mp4: cannot be fetched"):
        local_copy(f"{site[1]}/none.mp4")
    with pytest.raises(VideoError, match="cannot be reached"):
        ez.open_video("nonsense://clip.mp4")
    with pytest.raises(VideoError, match="no such file or folder, and no sample"):
        ez.open_video("clip.mp4")


def test_what_is_an_address():
    assert is_address("s3://bucket/clip.mp4")
    assert not any(map(is_address, ("bunny", "/a/b.mp4", "C:\\clip.mp4", "a:b", "", None)))


def test_a_refused_connection_is_said():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for scheme in ("http", "https"):
        with pytest.raises(VideoError, match=r"cannot be fetched \(Cannot connect to host 127\.0\.0\.1") as caught:
            ez.open_video(f"{scheme}://127.0.0.1:{port}/x.mp4")
        assert "no such file" not in str(caught.value)


def test_a_missing_file_is_said(site):
    with pytest.raises(VideoError, match=r"cannot be fetched \(no such file\)"):
        ez.open_video(f"{site[1]}/none.mp4")


def test_addresses_of_files_are_paths(tmp_path):
    path = tmp_path / "a b.mp4"
    shutil.copy(SAMPLES["bunny"].path, path)
    expected = ez.open_video(path, frames="0:1").frames
    for address in (path.as_uri(), f"file://{path}", f"file://localhost{path.as_posix().replace(' ', '%20')}"):
        assert torch.equal(ez.open_video(address, frames="0:1").frames, expected)
        assert digest(address) == digest(path)
    path.rename(tmp_path / "a%20b.mp4")
    assert torch.equal(ez.open_video(f"file://{tmp_path}/a%20b.mp4", frames="0:1").frames, expected)
    with pytest.raises(VideoError, match="names the machine 'elsewhere'"):
        ez.open_video("file://elsewhere/a.mp4")


def test_pipes_and_devices_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "p")
    for source, kind in ((tmp_path / "p", "a pipe"), ("/dev/zero", "a device")):
        for read in (ez.open_video, digest):
            with pytest.raises(VideoError, match=f"is {kind}, which can be read only once; write it to a file first"):
                read(source)


def test_what_is_piped_in_is_refused():
    clip = SAMPLES["bunny"].path.read_bytes()
    code = "import enerv_zoo as ez; ez.open_video('/dev/stdin')"
    done = subprocess.run([sys.executable, "-c", code], input=clip, capture_output=True, check=False)
    assert b"/dev/stdin: is a pipe" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_not_utf8(tmp_path):
    path = os.fsencode(tmp_path / "bad") + b"\xff.mp4"
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(SAMPLES["bunny"].path.read_bytes())
    video = ez.open_video(os.fsdecode(path), frames="0:1", resize="64x36")
    assert torch.equal(video.frames, ez.open_video("bunny", frames="0:1", resize="64x36").frames)
    video.info.name.encode()
