"""The page that is served while a fit runs, over real HTTP."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import urllib.error
import urllib.request

import pytest

import enerv_zoo as ez
from enerv_zoo.cli import console
from enerv_zoo.report import live

FIT = {"model": "nerv", "frames": "0:3", "resize": "64x36", "size": "60K", "epochs": 3, "batch_size": 3}


def get(address, host=None):
    request = urllib.request.Request(address, headers={} if host is None else {"Host": host})
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.read()


pytestmark = pytest.mark.network


@pytest.fixture(autouse=True)
def every_picture(monkeypatch):
    monkeypatch.setattr(live, "PICTURE_INTERVAL", 0.0)


class Visitor(ez.Callback):
    """Reads the page after every epoch."""

    def __init__(self, page):
        self.page, self.states, self.pictures = page, [], []

    def on_epoch(self, fitter, row):
        self.states.append(json.loads(get(self.page.address + "state.json")))
        self.pictures.append(get(self.page.address + "picture.png"))


def test_a_fit_is_shown_while_it_runs(tmp_path):
    with ez.LivePage("bunny <1>", port=0) as page:
        visitor = Visitor(page)
        result = ez.fit("bunny", callbacks=[page, visitor], **FIT)
        assert "bunny &lt;1&gt;" in get(page.address).decode()
        last = json.loads(get(page.address + "state.json"))
        (tmp_path / "original.png").write_bytes(get(page.address + "original.png"))
        (tmp_path / "picture.png").write_bytes(get(page.address + "picture.png?7"))
    assert [[row["epoch"] for row in state["history"]] for state in visitor.states] == [[1], [1, 2], [1, 2, 3]]
    assert [row["psnr"] for row in last["history"]] == [row["psnr"] for row in result.history]
    assert [state["picture"] for state in visitor.states] == [1, 2, 3]
    assert len(set(visitor.pictures)) == 3
    assert last["scores"] == f"All frames after epoch 3: PSNR {result.report.psnr:.2f} dB"
    frames = ez.open_video("bunny", frames="0:3", resize="64x36").frames
    assert ez.open_video(tmp_path / "original.png").frames[0].equal(frames[1])
    assert ez.open_video(tmp_path / "picture.png").frames[0].equal(result.video[1])
    with pytest.raises(urllib.error.URLError):
        get(page.address)


def test_of_frames_that_are_held_out_none_is_shown(tmp_path):
    with ez.LivePage("bunny", port=0) as page:
        result = ez.fit("bunny", callbacks=[page], fit_frames="1::2", **{**FIT, "frames": "0:6"})
        for name in ("original.png", "picture.png"):
            (tmp_path / name).write_bytes(get(page.address + name))
    assert (
        ez.open_video(tmp_path / "original.png")
        .frames[0]
        .equal(ez.open_video("bunny", frames="3:4", resize="64x36").frames[0])
    )
    assert ez.open_video(tmp_path / "picture.png").frames[0].equal(result.video[3])


def test_the_server_stays_until_a_browser_has_all_of_the_report(tmp_path, monkeypatch):
    """Of a report that is larger than what sockets hold back."""
    monkeypatch.setattr(live, "PATIENCE", 600.0)
    monkeypatch.setattr(live, "SENDING", 600.0)
    report = tmp_path / "report.html"
    report.write_bytes(bytes(64_000_000))
    page = ez.LivePage(port=0)
    page.__enter__()
    page.end_with(report)
    assert json.loads(get(page.address + "state.json"))["report"]
    with urllib.request.urlopen(page.address + "report.html", timeout=30) as response:
        closing = threading.Thread(target=page.__exit__, args=(None, None, None))
        closing.start()
        received = len(response.read(1))
        assert closing.is_alive()
        received += len(response.read())
    closing.join()
    assert received == 64_000_000


def test_watching_changes_no_bit_and_a_resumed_fit_shows_all_its_epochs(tmp_path):
    alone = ez.fit("bunny", **FIT)

    class Stop(ez.Callback):
        def on_epoch(self, fitter, row):
            if row["epoch"] == 2:
                raise RuntimeError("stopped")

    options = {**FIT, "out": tmp_path / "fit", "checkpoint_every": 0}
    with pytest.raises(RuntimeError, match="stopped"):
        ez.fit("bunny", callbacks=[Stop()], **options)
    with ez.LivePage("bunny", tmp_path / "fit", port=0) as page:
        visitor = Visitor(page)
        result = ez.fit("bunny", callbacks=[page, visitor], resume=True, **options)
    assert [row["epoch"] for row in visitor.states[-1]["history"]] == [1, 2, 3]
    ours, theirs = result.video.state_dict(), alone.video.state_dict()
    assert all(ours[name].equal(theirs[name]) for name in theirs)


def test_nothing_but_the_page_is_served_and_to_this_machine_alone():
    with ez.LivePage(port=0) as page:
        port = int(page.address.split(":")[2].strip("/"))
        for path in ("nothing", "..%2f..%2fetc/passwd", "report.html", "picture.png"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                get(page.address + path)
        for host in ("example.org", f"example.org:{port}", ""):
            with pytest.raises(urllib.error.HTTPError, match="403"):
                get(page.address, host)
        assert get(page.address, f"localhost:{port + 1}")  # through a tunnel
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("POST", "/", b"x")
        assert connection.getresponse().status == 501
        connection.close()
        with socket.create_connection(("127.0.0.1", port)):
            pass  # hangs up without a word
        assert get(page.address)


def test_the_port_is_known_or_another_one_where_it_is_taken():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        live_port, live.PORT = live.PORT, taken
        try:
            with ez.LivePage() as page:
                assert page.address != f"http://127.0.0.1:{taken}/"
                assert get(page.address)
        finally:
            live.PORT = live_port
        with pytest.raises(OSError, match="in use"), ez.LivePage(port=taken):
            pass


def test_on_the_command_line_the_page_becomes_the_report(cli, monkeypatch):
    pages, visits = [], []
    print_line = console.err.print

    def visit(address):
        while not json.loads(get(address + "state.json"))["report"]:
            pass
        pages.append(get(address + "report.html"))

    def notice(text, **options):
        if "http://" in str(text):
            visits.append(threading.Thread(target=visit, args=(str(text).split()[-1],)))
            visits[-1].start()
        print_line(text, **options)

    monkeypatch.setattr(console.err, "print", notice)
    tiny = [word for name, value in FIT.items() for word in (f"--{name.replace('_', '-')}", value)]
    code, out, err = cli("fit", "bunny", *tiny, "--live", "--time-lapse", "fit.gif", "--out", "fit")
    assert code == 0, err
    visits[0].join()
    assert pages == [open("fit/report.html", "rb").read()]  # noqa: PTH123, SIM115
    assert "the time-lapse is in fit.gif" in out
    assert len(ez.open_video("fit.gif")) == 4
    code, _, err = cli("fit", "bunny", *tiny, "--time-lapse", "fit.gif", "--out", "other")
    assert code == 1
    assert err.endswith("error: fit.gif: exists; choose another name for the time-lapse, or add --overwrite\n")
    code, _, err = cli("fit", "bunny", *tiny, "--live", "--segments", "2", "--out", "other")
    assert code == 2
    assert "they watch one fit of this process" in err
