"""Metrics: the built-in ones, and that one more, registered by somebody else, is in everything that shows scores."""

from __future__ import annotations

import csv
import json
import math
import shlex
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from registering import temporary_parts
from torch import nn

import enerv_zoo as ez
from enerv_zoo import registry
from enerv_zoo.batch.jobs import FitJob, FitOutcome, job_of
from enerv_zoo.batch.run import SUMMARY, columns_of, fit_row, metrics_of, write_tables
from enerv_zoo.cli.generated import parse_text
from enerv_zoo.config import Recipe, from_dict, to_dict
from enerv_zoo.errors import ConfigError
from enerv_zoo.evaluation.report import merged, read_frames
from enerv_zoo.fitting.folder import read_report
from enerv_zoo.fitting.plan import check_record, plan_fit
from enerv_zoo.hub.card import card
from enerv_zoo.hub.search import Pretrained, entry_of
from enerv_zoo.metrics import Scorer, ms_ssim, psnr, ssim
from enerv_zoo.metrics.columns import Column, column, columns, names_in
from enerv_zoo.metrics.scoring import RESERVED
from enerv_zoo.report.command import fit_command
from enerv_zoo.report.fleet import write_fleet_report
from enerv_zoo.storage import read_description

CUT = {"frames": "0:3", "resize": "64x36"}
TINY = {**CUT, "size": "60K", "epochs": 1, "batch_size": 3, "loss": "L2", "device": "cpu"}
BUILT_IN = {"dists", "flicker", "lpips", "ms_ssim", "psnr", "psnr_y", "psnr_yuv", "ssim", "vmaf", "worst_tile"}
METRICS = ["worst_pixel", "psnr", "ms_ssim", "jitter"]


@pytest.fixture(scope="module")
def plugin():
    """Two metrics of somebody else: one of frames, where lower is better, with an option; one of clips."""
    with temporary_parts(registry.metrics):

        @registry.metrics.register("worst_pixel")
        class WorstPixel(nn.Module):
            unit, better, scope = "1/255", "lower", "frame"

            def __init__(self, *, power: float = 1.0):
                super().__init__()
                self.power = nn.Parameter(torch.tensor(float(power)))

            def missing(self, info):
                return None

            def forward(self, prediction, target):
                return 255 * (prediction - target).abs().flatten(1).amax(1) ** self.power

        @registry.metrics.register("jitter")
        class Jitter:
            unit, better, scope = "", "lower", "clip"

            def missing(self, info):
                return "jitter needs two frames" if info.frames < 2 else None

            def __call__(self, prediction, target):
                return (prediction.diff(dim=0) - target.diff(dim=0)).abs().mean()

        yield


@pytest.fixture(scope="module")
def original():
    return ez.open_video("bunny", **CUT)


@pytest.fixture(scope="module")
def fitted(plugin, tmp_path_factory):
    """The folder of a fit that was measured by them."""
    folder = tmp_path_factory.mktemp("runs") / "fit"
    ez.fit("bunny", "nerv", metrics=METRICS, out=folder, **TINY)
    return folder


# ---------------------------------------------------------------------- built in


def test_weighted_psnr_of_yuv_is_that_of_the_formula():
    generator = torch.Generator().manual_seed(3)
    target = torch.rand(2, 3, 12, 14, generator=generator)
    prediction = (target + 0.1 * torch.randn(target.shape, generator=generator)).clamp(0, 1)
    matrix = np.array([[0.2126, 0.7152, 0.0722], [-0.114572, -0.385428, 0.5], [0.5, -0.454153, -0.045847]])
    yuv = [np.einsum("pc,bchw->bphw", matrix, frames.double().numpy()) for frames in (prediction, target)]
    planes = -10 * np.log10(np.square(yuv[0] - yuv[1]).mean((2, 3)))
    expected = (6 * planes[:, 0] + planes[:, 1] + planes[:, 2]) / 8
    scores = registry.metrics.build({"name": "psnr_yuv"})(prediction, target)
    assert scores.tolist() == pytest.approx(expected.tolist(), abs=1e-3)
    assert registry.metrics.build({"name": "psnr_yuv"})(target, target).tolist() == [math.inf] * 2


@pytest.mark.parametrize(("name", "function"), [("psnr", psnr), ("ms_ssim", ms_ssim), ("ssim", ssim)])
def test_scores_are_bit_for_bit_those_of_the_functions(name, function):
    generator = torch.Generator().manual_seed(4)
    target = torch.rand(3, 3, 168, 176, generator=generator)
    prediction = (target + 0.05 * torch.randn(target.shape, generator=generator)).clamp(0, 1)
    scorer = Scorer([name], ez.VideoInfo(3, 168, 176))
    scorer.add(prediction[:2], target[:2])
    scorer.add(prediction[2:], target[2:])
    expected = torch.cat([function(prediction[:2], target[:2]), function(prediction[2:], target[2:])]).tolist()
    assert [row[name] for row in scorer.rows()] == expected
    assert scorer.scores(scorer.rows()) == {name: math.fsum(expected) / 3}


@pytest.mark.parametrize(("name", "side", "word"), [("ssim", 10, "at least 11"), ("ms_ssim", 160, "longer than 160")])
def test_frames_that_are_too_small_say_so(name, side, word):
    scorer = Scorer([name, "psnr"], ez.VideoInfo(1, side, 400))
    assert word in scorer.missing[name]
    scorer.add(torch.zeros(1, 3, side, 400), torch.ones(1, 3, side, 400))
    assert scorer.rows() == [{name: None, "psnr": 0.0}]
    assert scorer.scores(scorer.rows()) == {name: None, "psnr": 0.0}


def test_they_are_listed_with_their_units(plugin, cli):
    assert {*BUILT_IN, "worst_pixel"} <= set(ez.list_components("metric"))
    _, printed, _ = cli("models", "--parts")
    for line in ("psnr_yuv", "dB, higher is better", "1/255, lower is better, power=1.0"):
        assert line in printed


def test_names_that_files_use_otherwise_are_known(fitted):
    recorded = json.loads((fitted / "metrics.json").read_text())
    taken = {*recorded, *columns_of([]), *json.loads((fitted / "fit.json").read_text())["model"]}
    scores = {key for name in METRICS for key in (name, f"{name}_missing")}
    assert taken - scores <= RESERVED


# ---------------------------------------------------------------------- a plug-in's, in everything that shows scores


def test_in_the_report_of_evaluate(plugin, original):
    video = ez.create_model("nerv", info=original.info, size="60K").eval()
    report = ez.evaluate(video, original, metrics=[{"name": "worst_pixel", "power": 2}, "psnr", "jitter"])
    with torch.inference_mode():
        drawn, target = video(torch.arange(3)), original.frames / 255
    worst = (255 * (drawn - target).abs().amax((1, 2, 3)) ** 2).tolist()
    assert [row.scores["worst_pixel"] for row in report.frames] == pytest.approx(worst, rel=1e-4)
    assert report.scores["worst_pixel"] == pytest.approx(sum(worst) / 3, rel=1e-4)
    jumps = (drawn.diff(dim=0) - target.diff(dim=0)).abs().mean()
    assert report.scores["jitter"] == pytest.approx(float(jumps), rel=1e-4)
    assert list(report.frames[0].scores) == ["worst_pixel", "psnr"], "a clip's score is none of frames"
    assert report.psnr == ez.evaluate(video, original).psnr
    with pytest.raises(ConfigError, match="ms_ssim was not measured, only worst_pixel, psnr, jitter"):
        _ = report.ms_ssim


def test_in_files_that_are_read_again(plugin, original, tmp_path):
    video = ez.create_model("nerv", info=original.info, size="60K").eval()
    report = ez.evaluate(video, original, metrics=METRICS)
    report.write_csv(tmp_path / "frames.csv")
    report.write_json(tmp_path / "report.json")
    rows = list(csv.DictReader((tmp_path / "frames.csv").open()))
    assert list(rows[0]) == ["frame", "worst_pixel", "psnr", "ms_ssim"]
    assert float(rows[1]["worst_pixel"]) == report.frames[1].scores["worst_pixel"]
    assert rows[1]["ms_ssim"] == ""
    assert read_frames(tmp_path / "frames.csv") == report.frames
    plain = json.loads((tmp_path / "report.json").read_text())
    assert {name: plain[name] for name in METRICS} == report.scores
    assert "longer than 160" in plain["ms_ssim_missing"]
    assert plain["frames"][2]["worst_pixel"] == report.frames[2].scores["worst_pixel"]


def test_in_a_fits_folder(fitted):
    metrics = json.loads((fitted / "metrics.json").read_text())
    report = read_report(fitted)
    assert list(report.scores) == METRICS
    assert report.scores == {name: metrics[name] for name in METRICS}
    assert report.missing.keys() == {"ms_ssim"}
    assert json.loads((fitted / "fit.json").read_text())["fit"]["metrics"] == METRICS
    assert read_description(fitted).fit.metrics["worst_pixel"] == metrics["worst_pixel"]
    again = ez.fit("bunny", "nerv", metrics=METRICS, out=fitted, resume=True, **TINY)
    assert (again.ended_before, again.report) == (True, report)


def test_on_the_page(fitted, tmp_path):
    text = ez.write_report(fitted, tmp_path / "x.html").read_text()
    metrics = json.loads((fitted / "metrics.json").read_text())
    assert f">{metrics['worst_pixel']:.2f} 1/255</td>" in text
    assert "<th>JITTER</th>" in text
    assert "enerv-zoo fit bunny" in text
    assert "--metrics worst_pixel,psnr,ms_ssim,jitter" in text
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    assert [(m["name"], m["better"]) for m in data["metrics"]] == [
        ("worst_pixel", "lower"), ("psnr", "higher"), ("ms_ssim", "higher"),
    ]  # fmt: skip
    assert set(data["runs"][0]["frames"][0]) == {"frame", "worst_pixel", "psnr"}, "MS-SSIM is missing"


def test_in_the_command_that_fits_again(plugin):
    specs = ["psnr", {"name": "worst_pixel", "power": 2}]
    command = fit_command(plan_fit("bunny", "nerv", device="cpu", metrics=specs).record(), "x")
    words = shlex.split(command)
    assert parse_text(words[words.index("--metrics") + 1], (tuple,)) == specs


def test_in_the_compressed_file(fitted, tmp_path):
    made = ez.compress(fitted, tmp_path / "x.nvz")
    assert list(made.scores) == METRICS
    worst = f">{made.scores['worst_pixel']:.2f} 1/255</td>"
    measured = ez.evaluate(ez.load(made.path), ez.open_video("bunny", **CUT), metrics=METRICS)
    assert made.scores.pop("ms_ssim") is measured.scores.pop("ms_ssim") is None
    assert made.scores == pytest.approx(measured.scores, rel=1e-4)
    page = ez.write_report(tmp_path / "x.nvz", tmp_path / "x.html").read_text()
    assert worst in page


def test_on_the_card_and_in_the_search(fitted):
    metrics = json.loads((fitted / "metrics.json").read_text())
    text = card(read_description(fitted), "alice/bunny", picture=False, clip=None)
    assert f"| WORST-PIXEL (1/255) | {metrics['worst_pixel']:.4g} |" in text.splitlines()
    head = {"worst_pixel": 2.5, "psnr": 30.0, "junk": 1, "junk_missing": None}
    data = SimpleNamespace(enerv_zoo=head)
    found = entry_of(SimpleNamespace(id="a/b", card_data=data, downloads=1, last_modified=None, private=False))
    assert found.scores == {"worst_pixel": 2.5, "psnr": 30.0}, "of what strangers write, only what is known"
    assert found.to_dict()["worst_pixel"] == 2.5
    assert (found.psnr, Pretrained("x").psnr) == (30.0, None)
    odd = {"bpp": 1e300, "frames": 10**400, "height": math.nan, "width": True, "psnr": 10**400, 5: 3, "ssim": math.inf}
    data = SimpleNamespace(enerv_zoo=odd)
    found = entry_of(SimpleNamespace(id="a/b", card_data=data, downloads=1, last_modified=None, private=False))
    assert found == Pretrained("a/b", downloads=1, private=False)


def test_in_a_comparison_where_the_lowest_is_best(plugin, tmp_path, cli):
    size = ("--size", "60K", "--epochs", "1", "--batch-size", "3", "--frames", "0:3", "--resize", "64x36")
    measured = ("--metrics", "worst_pixel,psnr", "--no-report")
    files = ("--table", tmp_path / "t.csv", "--table", tmp_path / "t.tex", "--figure", tmp_path / "f.svg")
    code, printed, _ = cli("compare", "bunny", "--models", "nerv,hnerv", "--out", tmp_path, *size, *measured, *files)
    assert code == 0
    assert "WORST-PIXEL" in printed
    assert "(1/255)" in printed
    results = json.loads((tmp_path / "compare.json").read_text())
    best = min(results, key=lambda name: results[name]["worst_pixel"])
    rows = [line for line in printed.splitlines() if line.strip().startswith(tuple(results))]
    assert rows[0].split()[0] == best
    assert f"{results[best]['worst_pixel']:.2f}" in rows[0]
    table = list(csv.DictReader((tmp_path / "t.csv").open()))
    assert table[0]["fit"] == best
    assert {row["fit"]: float(row["worst_pixel"]) for row in table} == {
        name: result["worst_pixel"] for name, result in results.items()
    }
    assert f"{best} & {results[best]['worst_pixel']:.2f} & " in (tmp_path / "t.tex").read_text()
    assert "<svg" in (tmp_path / "f.svg").read_text()
    for option, message in (("--table", "end in .csv, .md, .tex"), ("--figure", "end in .pdf, .png, .svg")):
        assert message in cli("compare", "bunny", "--models", "nerv", "--out", tmp_path / "x", option, "x.doc")[2]
    assert not (tmp_path / "x").exists()


def test_in_the_summary_of_a_fleet(plugin, fitted, tmp_path):
    from pyarrow import parquet

    recipe = Recipe(model={"name": "nerv"}, fit={"metrics": METRICS})
    job = SimpleNamespace(fit=FitJob("fit", "bunny", recipe))
    metrics = json.loads((fitted / "metrics.json").read_text())
    schema = columns_of(metrics_of([job]))
    rows = [
        fit_row(schema, job.fit, FitOutcome("fit", metrics=metrics, seconds=1.0)),
        fit_row(schema, job.fit, FitOutcome("lost", error="no room", seconds=1.0)),
    ]
    write_tables(schema, rows, SimpleNamespace(put=lambda path, name: (tmp_path / name).write_bytes(path.read_bytes())))
    table = parquet.read_table(tmp_path / SUMMARY)
    assert table.to_pylist() == rows
    assert table["worst_pixel"].to_pylist() == [metrics["worst_pixel"], None]
    text = write_fleet_report(rows, tmp_path / "x.html").read_text()
    assert f">{metrics['worst_pixel']:.2f} 1/255</td>" in text
    assert "WORST-PIXEL over bits per pixel" in text


def test_on_the_command_line_of_eval(fitted, cli, tmp_path):
    asked = "worst_pixel,psnr_yuv,worst_tile,flicker"
    code, printed, _ = cli("eval", fitted, "--per-frame", "--metrics", asked, "--out", tmp_path)
    assert code == 0
    rows = read_frames(tmp_path / "frames.csv")
    worst = max(rows, key=lambda row: row.scores["worst_pixel"])
    assert "PSNR-YUV (dB)" in printed
    assert f"{worst.frame} at {worst.scores['worst_pixel']:.2f} 1/255" in printed
    worst = min(rows, key=lambda row: row.scores["worst_tile"])
    x, y = worst.places["worst_tile"]
    assert f"frame {worst.frame} at {worst.scores['worst_tile']:.2f} dB, from x {x}, y {y}" in printed
    assert (x, y) == (0, 0), "the frame is no larger than a tile"
    assert json.loads((tmp_path / "report.json").read_text())["frames"][0]["worst_tile_at"] == [0, 0]
    given = "[{name: worst_pixel, power: 2}]"
    plain = json.loads(cli("eval", fitted, "--metrics", given, "--json")[1])
    assert plain["frames"][0]["worst_pixel"] == pytest.approx(rows[0].scores["worst_pixel"] ** 2 / 255, rel=1e-4)
    assert "unknown metric 'psnrr'. Did you mean 'psnr'" in cli("eval", fitted, "--metrics", "psnrr")[2]


def test_curves_are_led_by_the_first_metric(plugin, tmp_path):
    asked = {"codecs": ["x264"], "out": tmp_path, **CUT}
    first = ez.rate_distortion("bunny", [], metrics=["worst_pixel", "psnr"], **asked)
    best = first.curves[0].best()
    scores = [point.scores["worst_pixel"] for point in best]
    assert scores == sorted(scores, reverse=True), "the lower, the better, and the more bytes"
    plain = json.loads((tmp_path / "rd.json").read_text())["curves"][0]["points"][0]
    assert plain["worst_pixel"] == first.curves[0].points[0].scores["worst_pixel"]
    second = ez.rate_distortion("bunny", [], **asked)
    assert list(second.curves[0].points[0].scores) == ["psnr", "ms_ssim"], "other metrics are other points"
    again = ez.rate_distortion("bunny", [], metrics=["worst_pixel", "psnr"], **asked)
    assert again == first
    page = ez.write_report([], tmp_path / "x.html", rates=first).read_text()
    assert "<th>WORST-PIXEL (1/255)</th><th>PSNR (dB)</th>" in page


def test_of_segments(plugin, tmp_path, original):
    metrics = ["worst_pixel", "jitter"]
    options = {**TINY, "frames": "0:6", "metrics": metrics}
    result = ez.fit_segments("bunny", "nerv", segments=2, out=tmp_path / "long", **options)
    parts = [json.loads((tmp_path / f"long/segment-0000{n}/metrics.json").read_text()) for n in (0, 1)]
    for name in metrics:
        assert result.metrics[name] == pytest.approx((parts[0][name] + parts[1][name]) / 2)
    report = ez.evaluate(result.video, ez.open_video("bunny", frames="0:6", resize="64x36"), metrics=metrics)
    assert report.scores == pytest.approx({name: result.metrics[name] for name in metrics}, rel=1e-3)
    assert merged([report]).scores == report.scores


# ---------------------------------------------------------------------- what cannot be


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (["psnr", "psnr"], "each once; got psnr, psnr"),
        ([], "each once; got none"),
        (["nonsense"], "unknown metric 'nonsense'"),
        ([{"name": "psnr", "peak": 2}], "metric 'psnr' has no option 'peak'"),
        ([{"peak": 2}], "a metric is a name"),
    ],
)
def test_what_means_nothing_is_refused_before_anything_is_fitted(metrics, message, tmp_path, original):
    video = ez.create_model("nerv", info=original.info, size="60K").eval()
    with pytest.raises(ConfigError, match=message):
        ez.evaluate(video, original, metrics=metrics)
    with pytest.raises(ConfigError, match=message if metrics else "at least 1"):
        ez.fit("bunny", "nerv", metrics=metrics, out=tmp_path / "fit", **TINY)
    assert not (tmp_path / "fit").exists()


@pytest.mark.parametrize(
    ("name", "declared", "message"),
    [
        ("fps", {}, "cannot be a column of files"),
        ("Upper", {}, "cannot be a column of files"),
        ("x_missing", {}, "cannot be a column of files"),
        ("odd", {"better": "most"}, "`better` is 'most', expected higher or lower"),
        ("odd", {"scope": None}, "`scope` is None, expected frame or clip"),
        ("odd", {"unit": None}, "`unit` is None, expected a text"),
        ("odd", {"shape": ()}, r"gave a tensor of \(\), expected a score per frame"),
        ("odd", {"scope": "clip", "shape": (2,)}, r"gave a tensor of \(2,\), expected one score"),
    ],
)
def test_metrics_that_break_the_contract_are_named(name, declared, message, original):
    shape = declared.pop("shape", (3,))
    body = {
        "unit": "", "better": "higher", "scope": "frame", "missing": lambda self, info: None,
        "__call__": lambda self, prediction, target: torch.zeros(shape), **declared,
    }  # fmt: skip
    registry.metrics.register(name)(type("Odd", (), body))
    with pytest.raises(ConfigError, match=message):
        ez.evaluate(ez.create_model("nerv", info=original.info, size="60K").eval(), original, metrics=[name])


# ---------------------------------------------------------------------- files of before, and of other machines


def test_files_of_before_are_read(tmp_path):
    (tmp_path / "frames.csv").write_text("frame,psnr,ms_ssim\n0,30.5,0.9\n1,inf,1.0\n")
    numbers = {"bpp": 0.1, "fps": 9.0, "stored_numbers": 5, "stored_bytes": 20, "device": "cpu", "epochs": 3}
    before = {"psnr": None, "ms_ssim": 0.95, "ms_ssim_missing": None, **numbers}
    (tmp_path / "metrics.json").write_text(json.dumps(before))
    report = read_report(tmp_path)
    assert (report.psnr, report.ms_ssim, report.missing) == (math.inf, 0.95, {})
    assert [row.psnr for row in report.frames] == [30.5, math.inf]
    assert names_in({**before, "ssim_score": 1}) == ["psnr", "ms_ssim"]


def test_a_record_of_before_says_the_same_and_the_default_changes_no_id(tmp_path):
    plan = plan_fit("bunny", "nerv", device="cpu", **CUT)
    assert "metrics" not in plan.record()["fit"]
    assert "metrics" not in job_of("x", "bunny", plan).recipe.fit
    assert from_dict(ez.FitConfig, to_dict(plan.fit)) == plan.fit
    (tmp_path / "fit.json").write_text(json.dumps(plan.record()))
    assert check_record(tmp_path, plan) == plan
    other = plan_fit("bunny", "nerv", device="cpu", metrics=["psnr"], **CUT)
    with pytest.raises(ez.FitError, match="metrics was not given, now it is"):
        check_record(tmp_path, other)


def test_scores_of_a_metric_that_is_not_here_are_shown_as_plain_numbers():
    row = {"butteraugli": 0.1, "butteraugli_missing": None, "psnr": 30, "fps": 3}
    assert columns([row]) == [Column("butteraugli"), Column("psnr", "dB")]
    assert column("butteraugli").heading == "BUTTERAUGLI"
    assert Column("psnr", "dB").text(31.4159) == "31.42 dB"
    assert Column("butteraugli").text(None) == "n/a"
    assert sorted([3.0, None, 1.0], key=Column("butteraugli", better="lower").rank) == [1.0, 3.0, None]
