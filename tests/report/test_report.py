"""The page that shows fits: what is on it, that it needs nothing else, and how it behaves in a real browser."""

from __future__ import annotations

import base64
import csv
import dataclasses
import html
import itertools
import json
import re
import shlex
import shutil
import weakref

import pytest
import torch
from browsers import LONG, wait_for

import enerv_zoo as ez
from enerv_zoo import fitting, registry
from enerv_zoo.config import CompressConfig
from enerv_zoo.errors import ConfigError, EnervZooError, VideoError
from enerv_zoo.evaluation import RateCurve, RatePoint
from enerv_zoo.evaluation.anchors import open_codec
from enerv_zoo.exporting import embedding, runtime
from enerv_zoo.exporting.decoder import rounded
from enerv_zoo.fitting.plan import plan_fit
from enerv_zoo.pages import script_source
from enerv_zoo.recipes import read_recipe
from enerv_zoo.report import live, movies
from enerv_zoo.report import page as report_page
from enerv_zoo.report.codecs import encoded_within, shown_codec
from enerv_zoo.report.command import fit_command
from enerv_zoo.report.page import distinct_names
from enerv_zoo.summary import summarize
from enerv_zoo.tables import Field, ResultTable
from enerv_zoo.video import Video
from enerv_zoo.video.sizes import as_size

CUT = {"frames": "0:12", "resize": "320x176"}
OPTIONS = {**CUT, "size": "60K", "epochs": 2, "batch_size": 4, "loss": "L2", "lr": 3e-3}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two fits of the same frames."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("nerv", "enerv_unmodulated"):
        ez.fit("bunny", name, out=folder / name, **OPTIONS)
    return [folder / "nerv", folder / "enerv_unmodulated"]


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory):
    return ez.write_report(runs, tmp_path_factory.mktemp("page") / "report.html")


# ---------------------------------------------------------------------- what is on it


def embedded(page):
    """The data in a page."""
    text = page.read_text()
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def movies_of(page, folder):
    """The movies in a page by their layer, opened."""
    found = {}
    for layer, data in re.findall(
        r'data-layer="(\w+)"><div class="picture"><video[^>]*base64,([^"]*)"', page.read_text()
    ):
        file = folder / f"{layer}.mp4"
        file.write_bytes(base64.b64decode(data))
        found[layer] = ez.open_video(file).frames
    return found


def test_the_page_holds_the_folders_numbers(runs, page):
    data, text = embedded(page), page.read_text()
    assert data["frames"] == list(range(12))
    for run, found in zip(runs, data["runs"], strict=True):
        metrics = json.loads((run / "metrics.json").read_text())
        assert found["name"] == run.name
        assert sum(row["psnr"] for row in found["frames"]) / 12 == pytest.approx(metrics["psnr"])
        assert sum(row["ms_ssim"] for row in found["frames"]) / 12 == pytest.approx(metrics["ms_ssim"])
        assert [row["epoch"] for row in found["history"]] == [1, 2]
        for cell in (f"{metrics['psnr']:.2f} dB", f"{metrics['stored_bytes']:,}", f"{metrics['bpp']:.4f}"):
            assert f">{cell}</td>" in text


def test_the_movies_are_the_frames(runs, page, tmp_path):
    found = movies_of(page, tmp_path)
    original = ez.open_video("bunny", **CUT).frames
    assert set(found) == {"original", "run0", "run1", "error0", "error1"}
    for layer, exact in (("original", original), ("run0", ez.load(runs[0])[:]), ("run1", ez.load(runs[1])[:])):
        assert found[layer].shape == exact.shape
        noise = (found[layer].float() - exact.float()).square().mean((1, 2, 3))
        assert 10 * torch.log10(255**2 / noise.max()) > 33, "4:2:0 and a little compression"
    hot = torch.stack([movies.heat(a, b) for a, b in zip(ez.load(runs[0])[:], original, strict=True)])
    assert (found["error0"].float() - hot.float()).abs().mean() < 12


def test_codecs_beside_are_as_large_as_the_fit(runs, tmp_path):
    size = ez.compress(runs[0], tmp_path / "nerv.nvz", measure=False).bytes
    page = ez.write_report(tmp_path / "nerv.nvz", tmp_path / "x.html", codecs=["x264"], frames="3:5")
    fit, codec = embedded(page)["runs"]
    assert re.fullmatch(r"x264 crf \d+", codec["name"])
    original = ez.open_video("bunny", **CUT)
    anchor = open_codec("x264").anchor
    quality = int(codec["name"].split()[-1])
    data = anchor.encode(original, quality)
    assert len(data) <= size < len(anchor.encode(original, quality - 1))
    exact = next(itertools.islice(anchor.decode(data), 4, None))
    error = (exact.float() - original.frames[4].float()).square().mean() / 255**2
    assert codec["frames"][4]["psnr"] == pytest.approx(float(-10 * torch.log10(error)), abs=1e-3)
    movie = movies_of(page, tmp_path)["run1"][1]
    assert (movie.float() - exact.float()).abs().mean() < 3
    text = page.read_text()
    best = dict(re.findall(r'data-label="([^"]+)" class="best" title="the best">([^<]+)<', text))
    better = max((fit, codec), key=lambda run: sum(row["psnr"] for row in run["frames"]))
    assert best["PSNR"] == f"{sum(row['psnr'] for row in better['frames']) / 12:.2f} dB"
    assert best["bytes"] == f"{min(size, len(data)):,}"
    assert f'<td data-label="bytes">{3 * 12 * 320 * 176:,}</td>' in text
    network = summarize(ez.load(runs[0]).config, ez.load(runs[0]).info)
    assert f"nerv: {network.stored_numbers:,} parameters" in text
    assert all(f"<td>{html.escape(part.shapes)}</td>" in text for part in network.parts)


def test_codecs_are_measured_as_the_fit_is(tmp_path):
    """Also where frames are held out, whose scores have names of their own, and with the options of its metrics."""
    cut = {"frames": "0:4", "resize": "64x36"}
    tiles = {"name": "worst_tile", "side": 8}
    ez.fit("bunny", "nerv", size="60K", epochs=1, fit_frames="::2", metrics=["psnr", tiles], out=tmp_path / "x", **cut)
    page = ez.write_report(tmp_path / "x", tmp_path / "x.html", codecs=["x264"])
    codec = embedded(page)["runs"][1]
    quality = int(codec["name"].split()[-1])
    (point,) = ez.measure_codec("x264", ez.open_video("bunny", **cut), ladder=[quality], metrics=[tiles])
    mean = sum(row["worst_tile"] for row in codec["frames"]) / 4
    assert mean == pytest.approx(point.scores["worst_tile"])
    assert "unseen frames" in page.read_text()


def test_a_codec_that_loses_frames_is_refused(monkeypatch):
    video = ez.open_video("bunny", frames="0:3", resize="64x36")
    codec = open_codec("x264")
    decode = type(codec.anchor).decode
    monkeypatch.setattr(type(codec.anchor), "decode", lambda self, data: itertools.islice(decode(self, data), 2))
    with pytest.raises(ez.VideoError, match="x264 gave 2 frames back of 3; choose another codec"):
        shown_codec("x264", video, 10_000, ["psnr"])


def test_of_many_fits_one_copy_of_the_original_is_kept(runs, tmp_path, monkeypatch):
    alive, kept = [], []
    collect, shown_fits = report_page.collect, report_page._shown

    def collected(*arguments):
        fit = collect(*arguments)
        alive.append(weakref.ref(fit.original))
        return fit

    def shown(fits, *others):
        kept.append([reference() for reference in alive])
        assert [fit.original for fit in fits] == [fits[0].original] * 2
        return shown_fits(fits, *others)

    monkeypatch.setattr(report_page, "collect", collected)
    monkeypatch.setattr(report_page, "_shown", shown)
    ez.write_report(runs, tmp_path / "x.html", frames="0:2")
    assert [[each is not None for each in originals] for originals in kept] == [[True, False]]


def test_what_falls_or_has_few_steps_is_encoded_within_a_size():
    class Steps:
        def __init__(self, ladder):
            self.ladder, self.trials = ladder, []

        def encode(self, frames, quality):
            self.trials.append(quality)
            return bytes(int(1000 * abs(quality - self.ladder[-1])) + 10)

    for ladder, size, quality in (
        ((90, 60, 30), 40_000, 60), ((90, 60, 30), 5, 30), ((0.5, 1.5, 2.5), 1500, 1.5), ((20, 30), 12_010, 18),
    ):  # fmt: skip
        anchor = Steps(ladder)
        found, data, _ = encoded_within(anchor, None, size)
        assert (found, len(data)) == (quality, int(1000 * abs(quality - ladder[-1])) + 10)
        assert len(anchor.trials) <= 6


def test_networks_are_put_into_the_page_where_they_are_small(runs, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(embedding, "exported", lambda *options: b"a model")
    text = ez.write_report(runs, tmp_path / "x.html", player=True, frames="0:2").read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    assert [[each["frames"] for each in run] for run in data["networks"]] == [[12], [12]]
    part = data["networks"][1][0]["file"]["part"]
    assert base64.b64decode(re.search(rf'id="{part}">([^<]*)<', text)[1]) == b"a model"
    assert data["runtime"]["wasm"]["binary"]["integrity"].startswith("sha384-")
    assert f"connect-src &#39;self&#39; {runtime.ADDRESS};" in text
    script = text[text.rindex("<script>") + len("<script>") : text.rindex("</script>")]
    assert f"script-src {script_source(script)} blob:".replace("'", "&#39;") in text
    monkeypatch.setattr(report_page, "MOST_PARAMETERS", ez.load(runs[0]).stored_numbers)
    caplog.clear()
    data = embedded(ez.write_report(runs, tmp_path / "y.html", player=True, frames="0:2"))
    sizes = [ez.load(run).stored_numbers for run in runs]
    assert [bool(run) for run in data["networks"]] == [size <= sizes[0] for size in sizes]


def test_nothing_is_loaded_from_anywhere(page):
    text = re.sub(r"base64,[A-Za-z0-9+/=]*", "", page.read_text())
    assert not re.findall(r'(?:src|href)\s*=\s*"(?!data:)[^"]', text)
    assert not re.findall(r"@import|url\(|fetch\(|XMLHttpRequest|import\(", text)
    assert "default-src 'none'" in text


def test_words_of_strangers_stay_words(runs, tmp_path):
    hostile = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    folder = tmp_path / "fit"
    shutil.copytree(runs[0], folder)
    config = json.loads((folder / "config.json").read_text())
    config["video"]["name"] = config["video"]["attribution"] = hostile
    (folder / "config.json").write_text(json.dumps(config))
    text = ez.write_report(folder, tmp_path / "x.html").read_text()
    assert "&lt;/script&gt;" in text
    assert text.count("<script") == 2
    assert "<img" not in text


@pytest.mark.parametrize("recipe", [None, *(name for name in ez.list_recipes() if name != "auto")])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"model": "nerv", "size": "0.3M", "model_options": {"fc_dim": 12, "act": "gelu", "stride_list": [5, 2, 2]}},
        {"optimizer": "adan", "clip_grad": 1.0, "deterministic": True, "shuffle": False},
        {"optimizer": "adan", "betas": (0.9, 0.95), "frames": "3:9", "crop": (96, 100), "eps": 1e-7},
        {"full_depth": False, "deinterlace": True, "square_pixels": False},
        {"time_budget": 90.5, "warmup": 0.1},
        {"metrics": ["psnr_yuv", "ssim"]},
        {"time_budget": 60, "batch_size": 2, "lr": 5e-4, "seed": 7, "loss": {"L1": 0.7, "SSIM": 0.3}},
        {"loss": {"name": "charbonnier", "eps": 0.01}},
        {"loss": {"L2": 1, "charbonnier": {"weight": 2, "eps": 1e-7}}},
    ],
)
def test_the_command_fits_what_was_fitted(recipe, options, cli, monkeypatch):
    if "time_budget" in options and recipe is not None and "phases" in read_recipe(recipe).fit:
        options = {**options, "phases": ()}  # phases last for epochs
    plan = plan_fit("bunny", recipe=recipe, device="cpu", **options)
    command = fit_command(json.loads(json.dumps(plan.record())), "runs/x")
    asked = {}

    def spy(source, **given):
        asked.update(given, source=source)
        raise ConfigError("seen")

    monkeypatch.setattr(fitting, "fit", spy)
    monkeypatch.setattr("enerv_zoo.cli.asking.decide", lambda plan, *rest: plan)
    _, _, err = cli(*shlex.split(command)[1:])
    assert "seen" in err
    again = plan_fit(asked["source"], recipe=asked["recipe"], device="cpu").record()
    if "crop" in options:
        assert as_size(again["video"]["crop"]) == options["crop"]
        again["video"]["crop"] = options["crop"]
    assert json.loads(json.dumps(again)) == json.loads(json.dumps(plan.record()))
    assert "--out runs/x" in command


def test_the_commands_of_a_file_make_that_file(runs, tmp_path, cli, monkeypatch):
    ez.compress(runs[0], tmp_path / "six.nvz", bits=6, prune=0.25, entropy_model={"name": "table"}, measure=False)
    plain = ez.compress(runs[0], tmp_path / "plain.nvz", measure=False).path
    shown = ez.write_report([tmp_path / "six.nvz", plain], tmp_path / "x.html").read_text()
    six, default = (
        html.unescape(text).splitlines() for text in re.findall(r"<pre><code>(.*?)</code>", shown, re.DOTALL)
    )
    assert six[0].startswith("enerv-zoo fit bunny --model nerv ")
    assert six[0].endswith("--out runs/six")
    assert six[1].startswith("enerv-zoo compress runs/six six.nvz --bits 6 --prune 0.25 --entropy-model ")
    assert default[1].startswith("enerv-zoo compress runs/plain plain.nvz  # no options are recorded")
    words = shlex.split(six[1].replace("runs/six six.nvz", f"{runs[0]} {tmp_path / 'again.nvz'}"))
    code, _, err = cli(*words[1:], "--no-measure")
    assert code == 0, err
    assert (tmp_path / "again.nvz").read_bytes() == (tmp_path / "six.nvz").read_bytes()
    monkeypatch.setattr(CompressConfig, "changes", lambda self: {"of_the_future": 1})
    ez.compress(runs[0], tmp_path / "new.nvz", measure=False)
    page = ez.write_report(tmp_path / "new.nvz", tmp_path / "x.html").read_text()
    assert "# compressed with options that this version does not have" in page


def test_a_command_for_what_no_command_says():
    record = plan_fit("bunny", device="cpu", betas=None).record()
    assert fit_command(record, "x") is None
    assert fit_command({"model": {"name": "nerv"}}, "a b") == "enerv-zoo fit VIDEO --model nerv --out 'a b'"
    assert "--segments 10s" in fit_command({"model": {"name": "nerv"}, "segments": "10s"}, "x")
    seen = fit_command({"mask": {"source": "/home/me/hole.png"}, "reference": {"source": None}}, "x")
    assert "--mask hole.png --reference REFERENCE" in seen


def test_heat_is_dark_where_frames_agree():
    frame = torch.randint(32, 200, (3, 6, 8), dtype=torch.uint8)
    assert movies.heat(frame, frame).float().amax() <= 4
    other = frame.clone()
    other[1] += movies.HEAT_RANGE
    assert (movies.heat(frame, other).permute(1, 2, 0) == torch.tensor([252, 253, 191])).all()
    steps = [float(movies.heat(frame, frame + d).float().mean()) for d in range(0, 32, 4)]
    assert steps == sorted(steps)


@pytest.mark.parametrize(
    ("height", "width", "shown"), [(36, 64, (36, 64)), (37, 65, (36, 64)), (2160, 3840, (720, 1280)), (1, 1, (2, 2))]
)
def test_frames_are_shown_in_even_sizes(height, width, shown):
    assert movies.shown_size(height, width) == shown


# ---------------------------------------------------------------------- from where


def test_of_a_compressed_file_and_some_frames(runs, tmp_path):
    made = ez.compress(runs[0], tmp_path / "small.nvz")
    page = ez.write_report(tmp_path / "small.nvz", tmp_path / "x.html", frames="2:8:2")
    data, text = embedded(page), page.read_text()
    assert data["frames"] == [2, 4, 6]
    assert data["fps"] == 12.5
    assert f">{made.bytes:,}</td>" in text
    assert "enerv-zoo fit bunny --model nerv" in text, "the file knows its recipe"
    assert "Over epochs" not in text


def test_of_fits_whose_time_was_up_the_frames_that_were_measured(runs, tmp_path):
    shutil.copytree(runs[0], tmp_path / "short")
    with (tmp_path / "short" / "frames.csv").open() as file:
        heading, *rows = file.readlines()
    (tmp_path / "short" / "frames.csv").write_text(heading + "".join(rows[::3]))
    for fits in ([tmp_path / "short"], [runs[1], tmp_path / "short"]):
        data = embedded(ez.write_report(fits, tmp_path / "x.html"))
        assert data["frames"] == [0, 3, 6, 9]
        assert data["fps"] == pytest.approx(25 / 3)
    given = embedded(ez.write_report(tmp_path / "short", tmp_path / "x.html", frames="0:2"))
    assert given["frames"] == [0, 1]


def test_of_a_video_in_segments(tmp_path):
    options = {"resize": "64x36", "size": "60K", "batch_size": 2, "epochs": 1, "loss": "L2"}
    ez.fit_segments("bunny", "nerv", out=tmp_path / "long", segments=2, frames="0:6", **options)
    page = ez.write_report(tmp_path / "long", tmp_path / "x.html")
    assert "--segments 2" in page.read_text()
    assert "MS-SSIM needs both sides longer than 160 pixels, the frames are 64x36." in page.read_text()
    found = movies_of(page, tmp_path)
    exact = ez.open_video("bunny", frames="0:6", resize="64x36").frames
    assert (found["original"].float() - exact.float()).abs().mean() < 6
    assert (found["run0"].float() - ez.load(tmp_path / "long")[:].float()).abs().mean() < 6


def test_of_a_long_video_every_nth_frame(runs, tmp_path, monkeypatch):
    from enerv_zoo.report import page as module

    monkeypatch.setattr(module, "MOST_FRAMES", 5)
    assert embedded(ez.write_report(runs[0], tmp_path / "x.html"))["frames"] == [0, 3, 6, 9]


def test_of_rates_alone_and_with_fits(runs, tmp_path):
    result = ez.rate_distortion("bunny", [], out=tmp_path / "rd", codecs=["x264", "vp9"], **CUT)
    page = ez.write_report([], tmp_path / "rates.html", rates=result)
    assert [curve["name"] for curve in embedded(page)["rates"]] == ["x264", "vp9"]
    assert "<video" not in page.read_text()
    assert "is itself a file of h264 with 0.052 bits per pixel" in page.read_text()
    assert "<td>crf 27</td>" in page.read_text()
    fields = (Field("fit"), Field("psnr", "PSNR (dB)", "{:.2f}".format))
    means = ResultTable(fields, [{"fit": "<a>", "psnr": 31, "psnr_std": 0.25}])
    both = ez.write_report(runs, tmp_path / "both.html", rates=result, means=means).read_text()
    assert "<h2>Means over seeds</h2>" in both
    assert "<td>&lt;a&gt;</td><td>31.00 ± 0.25</td>" in both
    assert "Means over seeds" not in page.read_text()
    assert "<video" in both
    assert "BD-rate" in both


def test_what_makes_no_report(runs, tmp_path):
    with pytest.raises(ConfigError, match="needs a fit"):
        ez.write_report([], tmp_path / "x.html")
    ez.fit("bunny", "nerv", out=tmp_path / "other", **{**OPTIONS, "frames": "0:3"})
    with pytest.raises(ConfigError, match="one video in one size; nerv has 12 frames of 320x176, other has 3 frames"):
        ez.write_report([runs[0], tmp_path / "other"], tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()
    with pytest.raises(EnervZooError, match="no file can be written there"):
        ez.write_report(runs, tmp_path / "other")
    assert (tmp_path / "other" / "config.json").is_file(), "a folder is not replaced"


def test_a_fit_beside_its_file_and_itself():
    assert distinct_names(["runs/bunny", "runs/bunny.nvz"]) == ["bunny", "bunny.nvz"]
    assert distinct_names(["a/bunny.nvz", "b/bunny.nvz"]) == ["a/bunny", "b/bunny"]
    assert distinct_names(["bunny.nvz", "wolf"]) == ["bunny", "wolf"]
    assert distinct_names(["runs/x", "runs/x", "y"]) == ["runs/x (1)", "runs/x (2)", "y"]


def test_sizes_are_compared_however_fits_are_called(runs, tmp_path):
    ez.fit("bunny", "nerv", out=tmp_path / "nerv", **{**OPTIONS, "resize": "64x36"})
    file = tmp_path / "nerv.nvz"
    ez.compress(runs[0], file)
    with pytest.raises(ConfigError, match=r"nerv has 12 frames of 64x36, nerv\.nvz has 12 frames of 320x176"):
        ez.write_report([tmp_path / "nerv", file], tmp_path / "x.html")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("metrics.json", '{"psnr": "high"}', r"metrics\.json: 'psnr' is 'high', expected a number"),
        ("frames.csv", "a,b\n1,2\n", r"frames\.csv: no rows of a frame and its scores"),
        ("frames.csv", "frame,psnr,ms_ssim\nfirst,2,\n", r"frames\.csv: no rows of a frame"),
        ("history.jsonl", "[1]\n", r"history\.jsonl: line 1 is no mapping"),
        ("fit.json", '{"video": "x"}', r"fit\.json: 'video' is 'x', expected a mapping"),
        ("fit.json", '{"source": "bunny", "model": "x"}', r"fit\.json: 'model' is 'x', expected a mapping"),
    ],
)
def test_damage_is_named(runs, tmp_path, file, text, message):
    folder = tmp_path / "fit"
    shutil.copytree(runs[0], folder)
    (folder / file).write_text(text)
    with pytest.raises(ConfigError, match=message):
        ez.write_report([folder], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_of_another_video_the_numbers_are_measured_anew_if_it_matches(runs, tmp_path):
    other = ez.open_video("bunny", frames="40:52", resize=CUT["resize"])
    page = ez.write_report([runs[0]], tmp_path / "report.html", data=other)
    found = embedded(page)["runs"][0]["frames"]
    assert sum(row["psnr"] for row in found) / 12 == pytest.approx(ez.evaluate(ez.load(runs[0]), other).psnr)
    with pytest.raises(VideoError, match="has 12 frames, 'bunny' has 11"):
        ez.write_report([runs[0]], tmp_path / "no.html", data=ez.open_video("bunny", frames="0:11"))
    assert not (tmp_path / "no.html").exists()


def test_on_the_command_line(runs, tmp_path, cli):
    out = tmp_path / "r.html"
    assert cli("report", *runs, "--out", out, "--frames", "0:3")[0] == 0
    assert embedded(out)["frames"] == [0, 1, 2]
    code, _, err = cli("report", runs[0], "--out", out)
    assert (code, "is there already" in err) == (1, True)
    fit = ("--frames", "0:3", "--resize", "64x36", "--size", "60K", "--epochs", "1", "--loss", "L2", "--model", "nerv")
    code, text, _ = cli("fit", "bunny", *fit, "--out", tmp_path / "fit")
    assert (code, "open report.html" in text) == (0, True)
    assert embedded(tmp_path / "fit" / "report.html")["frames"] == [0, 1, 2]
    assert cli("fit", "bunny", *fit, "--out", tmp_path / "bare", "--no-report")[0] == 0
    assert not (tmp_path / "bare" / "report.html").exists()
    parts = ("compare", "bunny", "--models", "nerv,enerv_unmodulated", *fit[:-2], "--out", tmp_path / "several")
    assert cli(*parts)[0] == 0
    assert len(embedded(tmp_path / "several" / "report.html")["runs"]) == 2


# ---------------------------------------------------------------------- in a browser


@pytest.fixture
def open_page(browser):
    """Opens a file; at the end no error may have been told, and nothing but the file been asked for."""
    contexts, problems = [], []

    def open_(file, address="", **options):
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        context.set_default_timeout(1000 * LONG)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: problems.append(message.text) if message.type != "log" else None)
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on(
            "request",
            lambda request: request.url.startswith(("file:", "data:", "blob:")) or problems.append(request.url),
        )
        tab.goto(file.as_uri() + address)
        wait_for(tab, "[...document.querySelectorAll('video')].every(v => v.readyState >= 2)")
        return tab

    yield open_
    for context in contexts:
        context.close()
    assert problems == []


def shown(tab):
    """What is on the stage: the position of every movie that shows, in frames, by its layer."""
    movies = "[...document.querySelectorAll('figure:not([hidden]) video')]"
    fps = tab.evaluate("JSON.parse(document.getElementById('data').textContent).fps")
    there = "(Number(document.getElementById('scrub').value) + 0.5)"
    wait_for(tab, f"{movies}.every(v => !v.seeking && Math.abs(v.currentTime * {fps} - {there}) < 0.26)")
    found = tab.evaluate(f"{movies}.map(v => [v.closest('figure').dataset.layer, v.currentTime])")
    return {layer: round(seconds * fps - 0.5) for layer, seconds in found}


def test_the_slider_moves(page, open_page):
    tab = open_page(page)
    over = "getComputedStyle(document.querySelector('figure.over')).clipPath"
    assert tab.evaluate(over) == "inset(0px 0px 0px 50%)"
    tab.locator("#wipe").fill("20")
    assert tab.evaluate(over) == "inset(0px 0px 0px 20%)"
    stage = tab.locator("#stage").bounding_box()
    tab.mouse.move(stage["x"] + 0.4 * stage["width"], stage["y"] + 50)
    tab.mouse.down()
    tab.mouse.move(stage["x"] + 0.75 * stage["width"], stage["y"] + 50)
    tab.mouse.up()
    assert float(re.search(r"([\d.]+)%\)", tab.evaluate(over))[1]) == pytest.approx(75, abs=0.5)
    assert set(shown(tab)) == {"original", "run0"}
    tab.locator("#left").select_option("run1")
    assert set(shown(tab)) == {"run0", "run1"}
    assert tab.evaluate("document.querySelector('figure.over').dataset.layer") == "run0"


def test_the_scrubber_seeks_all_in_step(page, open_page):
    tab = open_page(page)
    (command, *_) = re.findall(r"<pre><code>(.*?)</code>", page.read_text(), re.DOTALL)
    assert tab.locator("pre code").first.text_content() == html.unescape(command), "as it is copied"
    tab.set_viewport_size({"width": 390, "height": 800})
    lines = tab.evaluate("[...document.querySelectorAll('pre .word')].map(each => each.getClientRects().length)")
    assert len(lines) >= len(command.split())
    assert set(lines) == {1}, "no word is broken"
    tab.locator("#scrub").fill("7")
    assert shown(tab) == {"original": 7, "run0": 7}
    assert tab.locator("#frame").inner_text() == "7 of 12"
    tab.get_by_role("button", name="Side by side").click()
    assert shown(tab) == {"original": 7, "run0": 7, "run1": 7}
    tab.get_by_role("button", name="Difference").click()
    assert shown(tab) == {"error0": 7, "error1": 7}
    assert tab.locator("#heat").is_visible()
    assert not tab.locator("#wipe").is_visible()


def test_a_click_on_a_chart_selects_the_frame(page, open_page):
    tab = open_page(page)
    for number, frame in ((0, 9), (1, 4)):
        chart = tab.locator("#quality svg").nth(number)
        chart.scroll_into_view_if_needed()
        box = chart.bounding_box()
        across = (52 + frame / 11 * (520 - 52 - 12)) / 520
        tab.mouse.click(box["x"] + across * box["width"], box["y"] + box["height"] / 2)
        assert set(shown(tab).values()) == {frame}
        told = tab.locator("#numbers").inner_text()
        row = embedded(page)["runs"][0]["frames"][frame]
        assert f"nerv: {row['psnr']:.2f} dB, MS-SSIM {row['ms_ssim']:.4f}" in told
    marks = tab.evaluate("[...document.querySelectorAll('.cursor')].map(c => c.getAttribute('x1'))")
    assert marks[0] == marks[1]


def test_charts_of_films_have_whole_numbers(page, open_page):
    """A film of two hours has 200,000 frames."""
    tab = open_page(page)
    drawn = tab.evaluate("""() => {
      const points = Array.from({length: 200000}, (_, i) => [i, i % 7]);
      chart(document.body, "long", [{name: "a", colour: "red", points}]);
      const paths = document.body.lastChild.querySelectorAll("path").length;
      return [[0, 5000, 15000, 20000, 0.25, 33.333].map(label), paths];
    }""")
    assert drawn == [["0", "5000", "15,000", "20,000", "0.25", "33.33"], 1]


def test_values_without_a_logarithm_are_drawn_all_the_same(page, open_page):
    """As the loss `log_mse` has below 0, and others where frames are exact."""
    tab = open_page(page)
    for points in ([[1, -5], [2, -7]], [[1, 0.5], [2, 0]]):
        drawn = tab.evaluate(
            """(points) => { chart(document.body, "loss", [{name: "a", colour: "red", points}], {log: "y"});
            const box = document.body.lastChild;
            return [box.querySelector("path").getAttribute("d"), box.querySelectorAll(".grid").length]; }""", points
        )  # fmt: skip
        assert "NaN" not in drawn[0]
        assert drawn[1] > 2


def test_worst_frames_come_first(page, open_page):
    tab = open_page(page)
    rows = sorted(embedded(page)["runs"][0]["frames"], key=lambda row: row["psnr"])
    first = tab.locator("#worst .row").first.locator("button")
    assert [int(text.split(":")[0]) for text in first.all_inner_texts()] == [row["frame"] for row in rows[:8]]
    first.nth(2).click()
    assert set(shown(tab).values()) == {rows[2]["frame"]}
    for row in rows[:2]:
        tab.locator("#next").click()
        assert set(shown(tab).values()) == {row["frame"]}


def test_by_keyboard_alone(page, open_page):
    tab = open_page(page)
    for _ in range(3):
        tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowLeft")
    assert shown(tab) == {"original": 2, "run0": 2}
    tab.keyboard.press("End")
    assert set(shown(tab).values()) == {11}
    tab.keyboard.press("2")
    assert len(shown(tab)) == 3
    tab.keyboard.press("1")
    for name in ("wipe", "left", "right", "scrub", "play"):
        assert tab.evaluate(f"document.getElementById('{name}').tabIndex") == 0
    tab.locator("#scrub").focus()
    tab.keyboard.press("Home")
    tab.keyboard.press("ArrowRight")
    assert set(shown(tab).values()) == {1}
    assert tab.locator("#scrub").get_attribute("aria-valuetext") == "1 of 12"
    summary = tab.locator("summary").first
    summary.focus()
    tab.keyboard.press(" ")
    assert tab.evaluate("document.querySelector('details').open")
    tab.evaluate(
        "document.querySelector('.scroll').dispatchEvent(new KeyboardEvent('keydown', {key: 'End', bubbles: true}))"
    )
    assert tab.locator("#play").get_attribute("aria-label") == "Play"
    assert set(shown(tab).values()) == {1}


def test_a_movie_that_plays_is_stepped_once_per_picture_whatever_was_chosen(page, open_page):
    tab = open_page(page)
    tab.keyboard.press(" ")
    for key in "23123":
        tab.keyboard.press(key)
    steps = tab.evaluate(
        """new Promise((done) => {
          const real = requestAnimationFrame.bind(window);
          let steps = 0, pictures = 0;
          window.requestAnimationFrame = (step) => { steps++; return real(step); };
          const count = () => (++pictures === 10 ? done(steps) : real(count));
          real(count);
        })"""
    )
    assert steps <= 11


def test_it_plays_in_step_and_stops_on_a_frame(page, open_page):
    tab = open_page(page)
    tab.keyboard.press("2")
    tab.keyboard.press(" ")
    assert tab.locator("#play").get_attribute("aria-label") == "Pause"
    wait_for(tab, "Number(document.getElementById('scrub').value) >= 3")
    times = "[...document.querySelectorAll('figure:not([hidden]) video')].map(v => v.currentTime)"
    wait_for(tab, f"(times => Math.max(...times) - Math.min(...times) < 0.25)({times})")
    tab.keyboard.press(" ")
    assert tab.locator("#play").get_attribute("aria-label") == "Play"
    assert len(set(shown(tab).values())) == 1
    assert next(iter(shown(tab).values())) == int(tab.locator("#scrub").input_value())


def test_the_frame_that_shows_is_the_one_that_is_told(runs, tmp_path, open_page):
    """An original whose frame i is as bright as i says: what a movie shows is read back from the screen."""
    frames = torch.stack([torch.full((3, 176, 320), 10 + 20 * i, dtype=torch.uint8) for i in range(12)])
    info = dataclasses.replace(ez.load(runs[0]).info, name="steps")
    tab = open_page(ez.write_report(runs[0], tmp_path / "x.html", data=Video(frames, info)))
    bright = """(() => { const c = document.createElement('canvas').getContext('2d');
    c.drawImage(document.querySelector('[data-layer=original] video'), 0, 0);
    return c.getImageData(50, 50, 1, 1).data[0]; })()"""
    for frame in (0, 11, 5, 6, 1):
        tab.locator("#scrub").fill(str(frame))
        shown(tab)
        wait_for(tab, f"Math.abs({bright} - {10 + 20 * frame}) <= 4")  # a picture may come a little after its seek


def test_the_zoom_is_one_for_all_pictures(page, open_page):
    tab = open_page(page)
    tab.keyboard.press("2")
    place = tab.locator("figure:not([hidden]) .picture").nth(1).bounding_box()
    tab.mouse.dblclick(place["x"] + 0.25 * place["width"], place["y"] + 0.5 * place["height"])
    boxes = """[...document.querySelectorAll('figure:not([hidden]) .picture')].map(p => {
    const [a, b] = [p, p.firstElementChild].map(e => e.getBoundingClientRect());
    return [(b.x - a.x) / a.width, (b.y - a.y) / a.height, b.width / a.width]; })"""
    for box in tab.evaluate(boxes):
        assert box == pytest.approx([-0.75, -1.5, 4], abs=0.01), "a quarter from the left stays where it was"
    assert tab.locator("#zoom").inner_text() == "4x"
    assert tab.evaluate("getComputedStyle(document.querySelector('figure video')).imageRendering") == "pixelated"
    tab.mouse.move(place["x"] + 50, place["y"] + 50)
    tab.mouse.down()
    tab.mouse.move(place["x"] + 50 + 0.1 * place["width"], place["y"] + 50)
    tab.mouse.up()
    assert [box[0] for box in tab.evaluate(boxes)] == pytest.approx([-0.65] * 3, abs=0.01)
    for _ in range(9):
        tab.keyboard.press("+")
    assert tab.locator("#zoom").inner_text() == "64x"
    tab.keyboard.press("0")
    assert all(box == pytest.approx([0, 0, 1], abs=1e-3) for box in tab.evaluate(boxes))


def test_the_address_names_the_frame(page, open_page):
    tab = open_page(page, address="#f=7")
    assert shown(tab) == {"original": 7, "run0": 7}
    tab.keyboard.press("ArrowRight")
    wait_for(tab, "location.hash === '#f=8'")
    tab.evaluate("location.hash = '#f=3'")
    assert set(shown(tab).values()) == {3}


def test_what_is_shown_is_saved_as_a_picture_and_scores_as_csv(page, open_page, runs, tmp_path):
    tab = open_page(page)
    tab.keyboard.press("End")
    shown(tab)
    with tab.expect_download() as download:
        tab.keyboard.press("s")
    assert download.value.suggested_filename == "bunny-frame-11.png"
    picture = ez.open_video(download.value.path(), frames="0:1").frames[0].float()
    half, exact = ez.load(runs[0])[11].float(), ez.open_video("bunny", **CUT).frames[11].float()
    assert picture.shape == (3, 176 + 28, 320)
    assert (picture[:, :176, :160] - exact[..., :160]).abs().mean() < 6, "the left half is the original's"
    assert (picture[:, :176, 160:] - half[..., 160:]).abs().mean() < 6, "the right half is the fit's"
    with tab.expect_download() as download:
        tab.locator("#csv").click()
    rows = list(csv.DictReader(download.value.path().open()))
    assert [(row["name"], int(row["frame"])) for row in rows[:2]] == [("nerv", 0), ("nerv", 1)]
    scores = [row["ms_ssim"] for run in embedded(page)["runs"] for row in run["frames"]]
    assert [float(row["ms_ssim"]) for row in rows] == scores


def test_networks_decode_in_the_page(runs, package, open_page, tmp_path):
    tab = open_page(ez.write_report(runs, tmp_path / "x.html", player=True, runtime=package))
    tab.keyboard.press("2")
    tab.locator("#live").click()
    canvases = "[...document.querySelectorAll('figure:not([hidden]) canvas')]"
    videos = [ez.load(run) for run in runs]
    for index in (5, 11):
        tab.locator("#scrub").fill(str(index))
        wait_for(tab, f"{canvases}.length === 2 && {canvases}.every(c => c.dataset.frame === '{index}')")
        pixels = """.map(c => { const copy = new OffscreenCanvas(320, 176).getContext('2d', {willReadFrequently: true});
        copy.drawImage(c, 0, 0);
        return Array.from(copy.getImageData(0, 0, 320, 176).data); })"""
        for video, values in zip(videos, tab.evaluate(canvases + pixels), strict=True):
            frame = torch.tensor(values).view(176, 320, 4)[..., :3].permute(2, 0, 1)
            assert (frame - rounded(video, "float16")[index].int()).abs().max() <= 2
    tab.keyboard.press("Home")
    tab.locator("#play").click()
    wait_for(tab, f"Number({canvases}[0]?.dataset.frame) >= 3")
    tab.locator("#live").click()
    assert tab.locator("canvas").count() == 0
    assert set(shown(tab)) == {"original", "run0", "run1"}, "the movies are there as before"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_at_phone_width_and_in_the_dark(page, open_page, scheme):
    tab = open_page(page, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    back = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", back)))
    assert (brightness < 200) == (scheme == "dark")
    assert all(box["width"] <= 390 for box in (tab.locator(name).bounding_box() for name in ("#stage", "#scrub", "h1")))


def test_where_lower_is_better_the_worst_frames_are_the_highest(runs, tmp_path, open_page):
    registry.metrics.register("wrongness")(type("Wrongness", (), {"unit": "", "better": "lower", "scope": "frame"}))
    folder = tmp_path / "fit"
    shutil.copytree(runs[0], folder)
    scores = [0.5, 0.25, 0.9, 0.1, 0.7, *[0.2] * 7]
    rows = [f"{frame},{score},{'inf' if frame == 2 else 30}" for frame, score in enumerate(scores)]
    (folder / "frames.csv").write_text("\n".join(["frame,wrongness,psnr", *rows]) + "\n")
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps({"wrongness": sum(scores) / 12, **metrics}))
    tab = open_page(ez.write_report(folder, tmp_path / "x.html"))
    worst = tab.locator("#worst button").all_inner_texts()
    assert worst[:4] == ["2: 0.9000", "4: 0.7000", "0: 0.5000", "1: 0.2500"]
    tab.locator("#worst button").first.click()
    assert tab.locator("#numbers").inner_text() == "WRONGNESS 0.9000, PSNR exact"
    titles = tab.locator("#quality h3").all_inner_texts()
    assert titles == ["WRONGNESS of each frame", "PSNR of each frame (dB)"], "no frame has MS-SSIM here"


def test_rates_alone_in_a_browser(tmp_path, open_page):
    points = tuple(
        RatePoint("crf", 1000 * n, n / 10, {"psnr": 30 + n, "ms_ssim": None}, 1.0, 1.0) for n in (1, 2, 3, 4)
    )
    result = ez.rate_distortion("bunny", [], out=tmp_path, codecs=["x264"], frames="0:2", resize="64x36")
    result = dataclasses.replace(result, curves=(RateCurve("a", {}, points), RateCurve("b", {}, points[:1])))
    tab = open_page(ez.write_report([], tmp_path / "x.html", rates=result))
    assert tab.locator("#rates circle").count() == 5
    assert tab.locator("#rates svg").count() == 1, "no MS-SSIM of frames this small"


class Look(ez.Callback):
    """Waits until a live page shows an epoch."""

    def __init__(self, tab):
        self.tab = tab

    def on_epoch(self, fitter, row):
        wait_for(self.tab, f"document.getElementById('caption').textContent.endsWith('epoch {row['epoch']}')")
        wait_for(self.tab, "[...document.images].every(i => i.complete && i.naturalWidth === 320)")
        wait_for(self.tab, "document.querySelectorAll('#epochs path').length === 2")


def test_a_live_page_follows_the_fit_and_becomes_its_report(page, browser, monkeypatch):
    monkeypatch.setattr(live, "PICTURE_INTERVAL", 0.0)
    problems = []
    tab = browser.new_page()
    tab.on("pageerror", lambda error: problems.append(str(error)))
    with ez.LivePage("bunny", port=0) as served:
        tab.goto(served.address)
        ez.fit("bunny", "nerv", callbacks=[served, Look(tab)], **OPTIONS)
        served.end_with(page)
    tab.wait_for_url("**/report.html", wait_until="commit", timeout=1000 * LONG)
    wait_for(tab, "document.querySelectorAll('#stage video').length > 2")
    tab.close()
    assert problems == []
