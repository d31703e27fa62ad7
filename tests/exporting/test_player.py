"""The web page that plays a network: its files, what it may load, and its frames in a real browser."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from browsers import LONG, wait_for
from PIL import Image
from sounds import heard, write_clip

import enerv_zoo as ez
from enerv_zoo.cli import exporting
from enerv_zoo.config import Colour
from enerv_zoo.exporting import embedding, runtime
from enerv_zoo.exporting.serving import served
from enerv_zoo.storage import Segment
from enerv_zoo.video.tones import to_sdr

from .conftest import tiny

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def network():
    info = ez.VideoInfo(frames=5, height=10, width=14, name="</script><b>&", attribution='"<i>', fps=10)
    return tiny("nerv", info, fc_dim=8, stem_dim=[16], lower_width=8)


@pytest.fixture(scope="module")
def model(network):
    """The network's model, which the tests of pages do not export again."""
    return embedding.exported(network, ".onnx", "float16", 1, "float32", {"version": "0"}, "float32")


@pytest.fixture
def quick(monkeypatch, model):
    monkeypatch.setattr(embedding, "exported", lambda *options: model)


def embedded(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page)[1])


def test_a_folder_holds_the_page_and_the_network(network, model, quick, tmp_path):
    path = ez.write_player(network, tmp_path / "site")
    page = path.read_text()
    assert path == tmp_path / "site" / "index.html"
    assert sorted(file.name for file in path.parent.iterdir()) == ["index.html", "network.onnx"]
    assert (path.parent / "network.onnx").read_bytes() == model
    data = embedded(page)
    assert data["networks"] == [{"first": 0, "frames": 5, "file": {"url": "network.onnx", "integrity": ""}}]
    addresses = [file for backend in data["runtime"].values() for file in backend.values()]
    assert all(
        file["url"].startswith(runtime.ADDRESS) and file["integrity"].startswith("sha384-") for file in addresses
    )
    assert "<b>" not in page
    assert "<i>" not in page
    script = page[page.rindex("<script>") + len("<script>") : page.rindex("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1].replace("&#39;", "'")
    assert f"script-src 'sha256-{digest}' blob: 'wasm-unsafe-eval'" in policy
    assert f"connect-src 'self' {runtime.ADDRESS};" in policy
    assert ez.write_player(network, tmp_path / "site") == path, "a player may be replaced"
    (tmp_path / "site" / "mine.txt").write_text("")
    with pytest.raises(ez.ConfigError, match="holds other files than a player's"):
        ez.write_player(network, tmp_path / "site")


def test_hdr_is_shown_as_sdr(tmp_path):
    colour = Colour("bt2020", "arib-std-b67", "bt2020nc", bits=10)
    network = tiny("nerv", ez.VideoInfo(frames=5, height=10, width=14, colour=colour), fc_dim=8, stem_dim=[16])
    page = ez.write_player(network, tmp_path / "site")
    session = onnxruntime.InferenceSession(page.with_name("network.onnx"))
    assert session.get_modelmeta().custom_metadata_map["output"] == "sdr"
    (frames,) = session.run(None, {"index": np.array([3], np.float32)})
    expected = to_sdr(next(iter(network.decode([3], dtype=torch.float32))).movedim(1, 3), colour)
    assert np.abs(frames.transpose(0, 2, 3, 1) - expected.numpy()).max() < 1 / 255
    poster = base64.b64decode(re.search(r"data:image/jpeg;base64,([^\"&)]+)", page.read_text())[1])
    coded = network[0].permute(1, 2, 0)
    shown, converted = np.asarray(Image.open(io.BytesIO(poster))).mean(), 255 * to_sdr(coded, colour).mean()
    assert abs(shown - converted) < abs(shown - coded.float().mean()) / 4


def test_one_file_holds_everything(network, model, quick, tmp_path, monkeypatch):
    folder = tmp_path / "package" / "dist"
    folder.mkdir(parents=True)
    files = {"script": b"export {};", "binary": bytes(1000)}
    own = {
        use: runtime.RuntimeFile(use, base64.b64encode(hashlib.sha384(contents).digest()).decode(), len(contents))
        for use, contents in files.items()
    }
    for use, contents in files.items():
        (folder / use).write_bytes(contents)
    monkeypatch.setitem(runtime.BACKENDS, "wasm", own)
    page = ez.write_player(network, tmp_path / "one.html", runtime=folder.parent).read_text()
    data = embedded(page)
    assert set(data["runtime"]) == {"wasm"}
    assert not re.search(r"https?://", page)
    part = data["networks"][0]["file"]
    contents = base64.b64decode(re.search(rf'id="{part["part"]}">([^<]*)<', page)[1])
    assert (embedding.gzip.decompress(contents) if part["zipped"] else contents) == model
    (folder / "binary").write_bytes(b"another version")
    with pytest.raises(ez.ConfigError, match=r"another version's binary; expected .* onnxruntime-web 1\.30\.0"):
        ez.write_player(network, tmp_path / "two.html", runtime=folder.parent)
    assert not (tmp_path / "two.html").exists()


def test_a_video_in_segments_has_a_network_for_each(network, quick, tmp_path):
    info = ez.VideoInfo(frames=10, height=10, width=14)
    video = ez.SegmentedVideo(info, [Segment(0, 5), Segment(5, 5)], lambda number: network)
    data = embedded(ez.write_player(video, tmp_path / "site").read_text())
    assert [(each["first"], each["file"]["url"]) for each in data["networks"]] == [
        (0, "network0.onnx"),
        (5, "network1.onnx"),
    ]


def test_sound_lies_beside_the_network_as_browsers_play_it(network, quick, tmp_path, caplog, monkeypatch):
    caplog.set_level("INFO")
    for name, encoder, codec in (("x.mp4", "libopus", "opus"), ("x.mov", "pcm_s16le", "aac")):
        sound = ez.open_video(write_clip(tmp_path / name, encoder)).sound
        monkeypatch.setattr(network, "read_sound", lambda sound=sound: sound)
        page = ez.write_player(network, tmp_path / "site")
        assert embedded(page.read_text())["sound"] == {"url": "sound.mp4", "integrity": ""}
        assert "media-src blob:" in page.read_text()
        assert heard(tmp_path / "site" / "sound.mp4")[0] == codec
        assert ((tmp_path / "site" / "sound.mp4").read_bytes() == sound) == (codec == "opus")
    assert "re-encoded, as browsers take no pcm_s16le" in caplog.text
    text = ez.write_player(network, tmp_path / "one.html").read_text()
    assert 'id="mute"' in text
    assert set(embedded(text)["runtime"]) == {"wasm", "webgpu"}, "which load it from its address"
    assert f'id="{embedded(text)["sound"]["part"]}"' in text
    monkeypatch.setattr(network, "read_sound", None)
    silent = ez.write_player(network, tmp_path / "site").read_text()
    assert embedded(silent)["sound"] is None
    assert 'id="mute"' not in silent
    assert not (tmp_path / "site" / "sound.mp4").exists()


def test_options_on_the_command_line(cli, network, quick):
    network.save_pretrained("fit")
    assert cli("export", "fit", "x.html", "--player", "--single-file")[0] == 0
    for arguments, message in (
        (("x.html", "--player"), "expected a folder, or --single-file, got 'x.html'"),
        (("site", "--player", "--single-file"), "expected a name that ends in .html, got 'site'"),
        (("x.onnx", "--single-file"), "add --player"),
        (("site", "--player", "--batch", "4"), "--batch, --output and --index are of a model; leave out --player"),
        (("site", "--player", "--output", "rgba"), "leave out --player"),
    ):
        code, _, err = cli("export", "fit", *arguments)
        assert code == 2
        assert message in err


def test_what_cannot_be_written_or_served_is_refused_before_a_network_is_exported(cli, network, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "exported", lambda *options: pytest.fail("it was exported"))
    network.save_pretrained("fit")
    (tmp_path / "file").write_text("")
    for path, options, message in (
        ("file/site", {}, "no file can be written there"),
        ("site", {"precision": "fp16"}, "precision is one of float32, float16, got 'fp16'"),
    ):
        with pytest.raises(ez.errors.EnervZooError, match=message):
            ez.write_player(network, tmp_path / path, **options)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        code, _, err = cli("play", "fit", "--port", other.getsockname()[1])
    assert code == 1
    assert "cannot be used" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "fit"]


@pytest.mark.network
def test_a_browser_that_hangs_up_or_asks_for_nonsense_is_not_heard_of(tmp_path, capfd):
    (tmp_path / "big").write_bytes(bytes(64_000_000))
    with served(tmp_path) as address:
        port = int(address.split(":")[2].strip("/"))
        for request in (b"GET / HTTP/1.1\r\nHost: [\r\n\r\n", b"GET /big HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(request)
                connection.recv(1)
        with urllib.request.urlopen(address + "big") as answer:
            assert len(answer.read()) == 64_000_000
    assert capfd.readouterr() == ("", "")


@pytest.mark.network
def test_play_serves_the_page_until_it_is_interrupted(cli, network, model, quick, monkeypatch):
    network.save_pretrained("fit")
    addresses, answers = [], []

    def interrupted(seconds):
        for name in ("", "network.onnx"):
            with urllib.request.urlopen(addresses[0] + name) as answer:
                answers.append((answer.headers["Content-Type"], answer.read()))
        other = urllib.request.Request(addresses[0], headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(other)
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting.webbrowser, "open", addresses.append)
    monkeypatch.setattr(exporting.time, "sleep", interrupted)
    code, out, _ = cli("play", "fit")
    assert code == 0
    assert f"playing at {addresses[0]} until Ctrl-C" in out
    assert answers[0][0] == "text/html"
    assert answers[1] == ("application/octet-stream", model)
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(addresses[0])


def test_a_terminal_shows_two_pixels_per_character(cli, network):
    from enerv_zoo.cli.terminal import half_blocks, pictures_on_time

    frame = torch.tensor([[[255, 0]], [[0, 10]], [[0, 20]]], dtype=torch.uint8).expand(3, 4, 2)
    text = half_blocks(frame, 2, 2)
    assert text.count("▀") == 4
    assert text.startswith("\x1b[38;2;255;0;0;48;2;255;0;0m▀\x1b[38;2;0;10;20;48;2;0;10;20m▀\x1b[0m\n")
    frames = list(pictures_on_time(network))
    assert 1 <= len(frames) <= 5
    assert torch.equal(frames[-1], network[4])
    network.save_pretrained("fit")
    code, _, err = cli("play", "fit", "--terminal")
    assert code == 1
    assert "this is none" in err


# ---------------------------------------------------------------------- with onnxruntime-web


def test_an_example_decodes_without_python(network, package, tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node here")
    example = ROOT / "examples" / "decode.mjs"
    assert sum(bool(line.strip()) for line in example.read_text().splitlines()) <= 40
    model = ez.export(network, tmp_path / "x.onnx")
    environment = {"PATH": os.environ["PATH"], "ORT_WEB": str(package)}
    end = subprocess.run(
        [node, example, model, "0", "3", "1.5"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert end.returncode == 0, end.stderr
    assert "frame-3.ppm: 14x10" in end.stdout
    expected = next(network.decode([0, 3, 1.5]))
    for name, frame in zip(("0", "3", "1.5"), expected, strict=True):
        picture = np.array(Image.open(tmp_path / f"frame-{name}.ppm")).astype(int)
        assert np.abs(picture - frame.permute(1, 2, 0).numpy()).max() <= 1


@pytest.fixture
def open_page(browser):
    """Open an address; at the end no error may have been said, and nothing else been asked for."""
    contexts, problems = [], []

    def open_(address, browser=browser):
        context = browser.new_context(viewport={"width": 900, "height": 800})
        context.set_default_timeout(1000 * LONG)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: message.type == "error" and problems.append(message.text))
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on(
            "request",
            lambda request: request.url.startswith((address, "data:", "blob:")) or problems.append(request.url),
        )
        tab.goto(address)
        return tab

    yield open_
    for context in contexts:
        context.close()
    assert problems == []


PIXELS = "Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data)"


def canvas_at(tab, index):
    """The pixels (3, H, W) of the canvas when it shows an index."""
    tab.evaluate(f"go({index})")
    wait_for(tab, f"['failed', undefined].includes(stage.dataset.state) || stage.dataset.shown === '{index:.2f}'")
    assert tab.evaluate("stage.dataset.state") == "paused", tab.locator("#note").inner_text()
    width, height = tab.evaluate("[canvas.width, canvas.height]")
    return torch.tensor(tab.evaluate(PIXELS)).view(height, width, 4)[..., :3].permute(2, 0, 1)


@pytest.mark.parametrize("family", ["pca_nerv", "enerv", "ffnerv"])
def test_the_canvas_shows_the_frames(family, package, open_page, tmp_path):
    video = tiny(family)
    page = ez.write_player(video, tmp_path / "site", runtime=package, precision="float32")
    with served(page.parent) as address:
        tab = open_page(address)
        for index in (3, 0, 4, 1, 2):
            assert (canvas_at(tab, index) - video[index].int()).abs().max() <= 2
        between = next(video.decode([2.5]))[0].int()
        assert (canvas_at(tab, 2.5) - between).abs().max() <= 2


def test_a_gpu_shows_the_same_frames(package, gpu_browser, open_page, tmp_path):
    """Of a family with sines of 1e8 rad, and with a convolution that WebGPU gets wrong in its own layout."""
    video = tiny("rnerv")
    page = ez.write_player(video, tmp_path / "site", runtime=package, precision="float32")
    with served(page.parent) as address:
        tab = open_page(address, gpu_browser)
        for index in (3, 0, 2.5):
            expected = next(video.decode([index]))[0].int()
            assert (canvas_at(tab, index) - expected).abs().max() <= 2
        assert tab.locator("#backend").inner_text() == "WebGPU"
        size = sum(file.size for file in runtime.BACKENDS["webgpu"].values())
        assert tab.locator("#runtime").inner_text() == f"{size / 1e6:.3g} MB"


def test_it_plays_from_one_file_and_by_keyboard(network, package, open_page, tmp_path):
    tab = open_page(ez.write_player(network, tmp_path / "one.html", runtime=package).as_uri())
    tab.keyboard.press("ArrowRight")
    wait_for(tab, "stage.dataset.shown === '1.00'")
    tab.keyboard.press("End")
    wait_for(tab, "stage.dataset.shown === '4.00'")
    tab.keyboard.press("ArrowRight")
    tab.locator("#speed").select_option("0.25")
    tab.locator("#play").click()
    wait_for(tab, "stage.dataset.shown === '0.75' || Number(stage.dataset.shown) % 1 === 0.75")
    wait_for(tab, "Number(stage.dataset.rate) > 0")
    tab.locator("#loop").click()
    wait_for(tab, "stage.dataset.state === 'paused'")
    assert tab.evaluate("stage.dataset.shown") == "4.00"


def test_it_ends_where_few_frames_are_left(network, package, open_page, tmp_path):
    """Fewer than are decoded ahead, before it begins."""
    tab = open_page(ez.write_player(network, tmp_path / "one.html", runtime=package).as_uri())
    tab.keyboard.press("l")
    tab.keyboard.press("End")
    wait_for(tab, "stage.dataset.shown === '4.00'")
    tab.keyboard.press("ArrowLeft")
    wait_for(tab, "stage.dataset.shown === '3.00'")
    tab.keyboard.press(" ")
    wait_for(tab, "stage.dataset.shown === '4.00' && stage.dataset.state === 'paused'")


SEEN = "const seen = [], draw = show; show = (index, pixels) => { seen.push(index); draw(index, pixels); };"


def test_it_plays_from_where_it_was_asked_for(network, package, open_page, tmp_path):
    """Also where the network is not there yet."""
    tab = open_page(ez.write_player(network, tmp_path / "one.html", runtime=package).as_uri())
    tab.evaluate(f"{SEEN} window.seen = seen; $('loop').click(); go(3); toggle();")
    wait_for(tab, "seen.at(-1) === 4 && stage.dataset.state === 'paused'")
    assert tab.evaluate("Math.min(...seen)") == 3


def test_what_is_dragged_over_is_shown(network, package, open_page, tmp_path):
    tab = open_page(ez.write_player(network, tmp_path / "one.html", runtime=package).as_uri())
    tab.evaluate("go(0)")
    wait_for(tab, "stage.dataset.shown === '0.00'")
    tab.evaluate(
        f"""{SEEN} window.seen = seen; window.labels = [];
        const decode = decoders.decode.bind(decoders);
        decoders.decode = (index) => {{ if (index < 3) go(index + 1); return decode(index); }};
        const tell = label; label = (index) => {{ labels.push(index); tell(index); }};
        go(1);"""
    )
    wait_for(tab, "seen.at(-1) === 3")
    assert tab.evaluate("seen") == [1, 2, 3], "each while the next one was asked for already"
    assert tab.evaluate("labels") == sorted(tab.evaluate("labels")), "the scrubber goes not back"
    assert tab.locator("#index").inner_text() == "3.00"


def test_a_page_that_is_not_seen_keeps_few_pictures(network, package, open_page, tmp_path):
    """A browser draws none of a hidden page."""
    tab = open_page(ez.write_player(network, tmp_path / "one.html", runtime=package).as_uri())
    tab.locator("#speed").select_option("4")
    tab.locator("#play").click()
    wait_for(tab, "shown > 0")
    tab.evaluate(
        """window.requestAnimationFrame = () => 0;
        window.decoded = 0;
        for (const each of decoders.all) {
          const decode = each.decode.bind(each);
          each.decode = (index) => { decoded++; return decode(index); };
        }"""
    )
    tab.evaluate("new Promise((done) => setTimeout(done, 2000))")  # in which 80 are due
    assert tab.evaluate("decoded <= 2 * AHEAD + decoders.all.length")


def test_pixels_that_are_not_square(package, open_page, tmp_path):
    info = ez.VideoInfo(frames=3, height=10, width=14, pixel_aspect=Fraction(2))
    video = tiny("nerv", info, fc_dim=8, stem_dim=[16], lower_width=8)
    tab = open_page(ez.write_player(video, tmp_path / "one.html", runtime=package).as_uri())
    tab.evaluate("go(1)")
    wait_for(tab, "stage.dataset.shown === '1.00'")
    shape = """(() => {
      const box = canvas.getBoundingClientRect();
      return [box.width / box.height, getComputedStyle(canvas).objectFit];
    })()"""
    aspect, fitting = tab.evaluate(shape)
    assert (fitting, aspect) == ("fill", pytest.approx(2.8, rel=0.01))
    tab.locator("#full").click()
    wait_for(tab, "document.fullscreenElement === stage && innerWidth === stage.clientWidth")
    assert tab.evaluate(shape)[0] == pytest.approx(2.8, rel=0.01)


def test_it_is_heard_at_the_time_of_its_frames(network, package, open_page, tmp_path, monkeypatch):
    sound = ez.open_video(write_clip(tmp_path / "clip.mp4", "libopus", frames=5)).sound
    monkeypatch.setattr(network, "read_sound", lambda: sound)
    page = ez.write_player(network, tmp_path / "site", runtime=package)
    with served(page.parent) as address:
        tab = open_page(address)
        tab.locator("#play").click()
        wait_for(tab, "!sound.paused && sound.currentTime > 0")
        wait_for(tab, "shown > 0 && Math.abs(sound.currentTime - secondsAt(shown)) < 0.3")
        tab.keyboard.press("m")
        assert tab.evaluate("sound.muted")
        tab.locator("#speed").select_option("0.25")
        wait_for(tab, "sound.playbackRate === 0.25 && !sound.preservesPitch && !sound.paused")
        tab.keyboard.press("Home")
        wait_for(tab, "sound.paused && stage.dataset.shown === '0.00'")


def test_it_says_why_it_does_not_play(network, quick, package, browser, tmp_path):
    page = ez.write_player(network, tmp_path / "site", runtime=package)
    file = page.parent / "runtime" / "ort-wasm-simd-threaded.wasm"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with served(page.parent) as address:
        tab = browser.new_page()
        tab.goto(address)
        tab.locator("#play").click()
        wait_for(tab, "stage.dataset.state === 'failed'")
        assert "is not the file that this page expects" in tab.locator("#note").inner_text()
        tab.close()
    tab = browser.new_page()
    tab.goto(page.as_uri())
    tab.locator("#play").click()
    wait_for(tab, "stage.dataset.state === 'failed'")
    assert "python -m http.server" in tab.locator("#note").inner_text()
    tab.close()


def test_no_folder_of_ones_own_is_taken_for_a_player(network, quick, tmp_path):
    for name in ("bunny.onnx", "index.html", "network.onnx", "runtime", "sound.mp4"):
        folder = tmp_path / name.replace(".", "-")
        (folder / "runtime").mkdir(parents=True) if name == "runtime" else folder.mkdir()
        (folder / "runtime" / "notes.txt" if name == "runtime" else folder / name).write_text("mine")
        with pytest.raises(ez.ConfigError, match="holds other files than a player's"):
            ez.write_player(network, folder)
        assert [path.read_text() for path in folder.rglob("*") if path.is_file()] == ["mine"]
    page = ez.write_player(network, tmp_path / "site")
    (page.parent / "bunny-fp16.onnx").write_text("mine")
    with pytest.raises(ez.ConfigError, match="holds other files than a player's"):
        ez.write_player(network, page.parent)


def test_a_loop_ends_when_it_is_asked_to(network, package, open_page, tmp_path):
    tab = open_page(ez.write_player(network, tmp_path / "one.html", runtime=package).as_uri())
    tab.locator("#speed").select_option("4")
    tab.locator("#play").click()
    tab.evaluate(
        "new Promise((done) => { let before = 0; const look = () => { if (shown < before) return done();"
        " before = shown; requestAnimationFrame(look); }; look(); })"
    )
    tab.keyboard.press("l")
    wait_for(tab, "stage.dataset.state === 'paused'")
    assert tab.evaluate("stage.dataset.shown") == "4.00"


@pytest.fixture
def segmented(tmp_path, package):
    """The page of a video of two networks, whose second one is asked for when its frames are."""
    info = ez.VideoInfo(frames=10, height=10, width=14)
    networks = [tiny("nerv", ez.VideoInfo(5, 10, 14), fc_dim=8, stem_dim=[16], lower_width=8) for _ in range(2)]
    video = ez.SegmentedVideo(info, [Segment(0, 5), Segment(5, 5)], networks.__getitem__)
    page = ez.write_player(video, tmp_path / "site", runtime=package, precision="float32")
    with served(page.parent) as address:
        yield video, address


def test_two_frames_of_a_network_that_is_not_there_yet(segmented, open_page):
    video, address = segmented
    tab = open_page(address)
    canvas_at(tab, 0)
    sizes = tab.evaluate(
        "Promise.all([6, 7].map((i) => decoders.all[0].decode(i))).then((all) => all.map((p) => p.byteLength))"
    )
    assert sizes == [10 * 14 * 4] * 2
    assert (canvas_at(tab, 8) - video[8].int()).abs().max() <= 2


def test_a_connection_that_comes_back(segmented, browser):
    video, address = segmented
    tab = browser.new_page()
    tab.goto(address)
    canvas_at(tab, 0)
    tab.route("**/network1.onnx", lambda route: route.abort())
    tab.evaluate("go(7)")
    wait_for(tab, "stage.dataset.state === 'failed'")
    assert "network1.onnx cannot be loaded" in tab.locator("#note").inner_text()
    tab.unroute("**/network1.onnx")
    tab.evaluate("go(8)")
    wait_for(tab, "stage.dataset.shown === '8.00'")
    assert (canvas_at(tab, 9) - video[9].int()).abs().max() <= 2
    assert tab.locator("#note").inner_text() == ""
    tab.close()
