"""Commands as a person meets them: what they print, where, and the code they end with."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
import yaml

from enerv_zoo import fit, fitting
from enerv_zoo.batch import BatchStatus, jobs
from enerv_zoo.cli import fitting as fit_command
from enerv_zoo.cli import fleets
from enerv_zoo.cli.app import app
from enerv_zoo.cli.command import Command
from enerv_zoo.cli.progress import LINE_INTERVAL
from enerv_zoo.config import Recipe
from enerv_zoo.launch import Launch
from enerv_zoo.video import open_video
from enerv_zoo.zoo import list_models

TINY = ("--frames", "0:3", "--resize", "64x36", "--size", "90K", "--epochs", "2", "--batch-size", "3")


@pytest.fixture
def cli(cli, monkeypatch, tmp_path):
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return cli


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "bunny"
    fit("bunny", "enerv", frames="0:3", resize="64x36", size="90K", epochs=2, batch_size=3, out=folder)
    return folder


def test_alone_it_says_what_to_do_first(cli):
    _, out, err = cli()
    assert err == ""
    first = next(line.split() for line in out.splitlines() if line.startswith("  "))
    assert first[:3] == ["enerv-zoo", "fit", "holiday.mp4"], "one's own video comes first"
    assert "enerv-zoo --help" in out


@pytest.mark.parametrize("command", ["fit", "compare", "import", "eval", "render", "bench", "info", "models"])
def test_every_help_has_an_example(cli, command):
    code, out, _ = cli(command, "--help")
    assert code == 0
    assert f"enerv-zoo {command}" in out.replace("\n", " ")
    assert "Example" in out


def test_version(cli):
    assert cli("--version")[1].startswith("enerv-zoo ")


def test_fit_prints_its_numbers_and_what_next(cli):
    code, out, _ = cli("fit", "bunny", *TINY)
    assert code == 0
    for word in ("PSNR", "dB", "MS-SSIM", "n/a (MS-SSIM needs", "stored parameters", "frames/s", "enerv-zoo render"):
        assert word in " ".join(out.split())
    assert open_video("runs/bunny-pca_nerv/preview.png").frames.shape[2] == 3 * (36 + 6)


def test_a_fit_to_a_rate_ends_with_a_file_of_that_size(cli):
    arguments = ("--preset", "quick", "--frames", "0:3", "--resize", "64x36", "--epochs", "2", "--out", "x")
    code, out, _ = cli("fit", "bunny", *arguments, "--bpp", "12", "--size", "12.4K", "--no-report", "--no-sound")
    bits = 8 * os.path.getsize("x/video.nvz")  # noqa: PTH202
    assert (code, bits <= 12 * 3 * 64 * 36) == (0, True)
    assert f"{bits // 8:,} bytes, {bits / (3 * 64 * 36):.4f} bits per pixel" in " ".join(out.split())
    assert cli("info", "x/video.nvz")[0] == 0
    assert cli("fit", "bunny", *arguments, "--overwrite", "--no-report")[0] == 0
    assert not os.path.exists("x/video.nvz"), "which was of the fit before"  # noqa: PTH110


def test_fit_json_is_json(cli):
    code, out, _ = cli("fit", "bunny", *TINY, "--set", "block_dim=16", "--set", "stem_dim=[24]", "--json", "--out", "x")
    assert code == 0
    assert json.loads(out)["epochs"] == 2
    record = json.loads(open("x/fit.json").read())  # noqa: PTH123, SIM115
    assert record["model"] == {"name": "enerv", "block_dim": 16, "stem_dim": [24], "size": "90K"}


def test_eval_prints_and_writes_a_row_a_frame(cli, fitted, tmp_path):
    code, out, _ = cli("eval", fitted, "--frames", "0:2", "--per-frame", "--out", "report", "--images", "images")
    assert code == 0
    assert "worst frame" in out
    rows = list(csv.DictReader((tmp_path / "report" / "frames.csv").open()))
    assert [row["frame"] for row in rows] == ["0", "1"]
    assert f"{float(rows[1]['psnr']):.2f}" in out
    assert "MS-SSIM" not in out.splitlines()[0], "no frame has it: these are too small"
    assert json.loads((tmp_path / "report" / "report.json").read_text())["frames"][0]["frame"] == 0
    assert len(open_video(tmp_path / "images")) == 2
    code, _, err = cli("eval", fitted, "--metrics", "psnr_yuv", "--out", fitted)
    assert (code, err) == (
        1, f"error: {fitted}: holds a fit, and its frames.csv; choose another folder, such as {fitted}/report\n"
    )  # fmt: skip
    assert not (fitted / "report.json").exists()


def test_of_several_processes_one_writes_the_file_of_a_rate(tmp_path, monkeypatch):
    monkeypatch.setattr(fit_command, "launched", lambda: Launch(rank=1, size=2))
    assert fit_command._file_rows(tmp_path, {"recipe": Recipe(fit={"bpp": 0.5}), "device": "cpu"}) == []


def test_lines_about_workers_go_on_from_batch_to_batch(monkeypatch, capsys):
    """As of curves, which fit a batch for each rate: the seconds of each begin at 0."""
    monkeypatch.setattr(fleets, "time", SimpleNamespace(monotonic=iter([0.0, 1.0, 1 + LINE_INTERVAL]).__next__))
    status = BatchStatus(4, 1, 0, (), lost=0, seconds=0.0, processor_seconds=0.0, gpu_seconds=0.0, seconds_left=None)
    with fleets.runner_at(None, workers=1) as runner:
        for seconds in (3600.0, 3601.0, 0.5):
            runner["runner"].on_update(replace(status, seconds=seconds))
    assert capsys.readouterr().err.count("1 of 4 done") == 2


def test_eval_against_a_second_video(cli, fitted):
    assert cli("render", fitted, "drawn.mkv", "--quality", "0")[0] == 0
    code, out, _ = cli("eval", fitted, "drawn.mkv", "--json")
    assert code == 0
    assert json.loads(out)["psnr"] > 35  # it is compared with itself, through an encoder


def test_render_refuses_to_replace(cli, fitted, tmp_path):
    assert cli("render", fitted, "clip.mp4", "--frames", "1:3")[0] == 0
    assert len(open_video(tmp_path / "clip.mp4")) == 2
    code, _, err = cli("render", fitted, "clip.mp4")
    assert (code, err.count("\n")) == (1, 1)
    assert "exists" in err
    assert cli("render", fitted, "clip.mp4", "--overwrite")[0] == 0
    assert len(open_video(tmp_path / "clip.mp4")) == 3


def test_info_shows_the_composition(cli, fitted):
    _, out, _ = cli("info", fitted)
    for word in ("bunny: 3 frames of 64x36", "product", "temporal", "enerv x", "CC BY 3.0"):
        assert word in out or word == "temporal"


def test_models(cli):
    assert sorted(json.loads(cli("models", "--json")[1])) == list_models()
    assert set(json.loads(cli("models", "enerv*", "--json")[1])) == set(list_models("enerv*"))
    parts = cli("models", "--parts")[1]
    assert "temporal_affine" in parts
    (of_timm,) = re.findall(r"of timm +(\w+),", parts)
    assert of_timm == "adabelief"
    assert "enerv-bunny" in cli("models", "--recipes")[1]
    assert cli("models", "gan*")[0] == 1


def test_import(cli, golden, tmp_path):
    values = golden("enerv")
    torch.save(values.state, tmp_path / "model.pth")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values.config))
    command = ("import", "model.pth", "--codebase", "e-nerv", "--config", "config.yaml", "--frames", "8",
               "--height", "48", "--width", "64", "--out", "fit")  # fmt: skip
    code, out, _ = cli(*command)
    assert code == 0
    assert "written to fit: enerv" in out
    code, _, err = cli(*command)
    assert code == 1
    assert "already holds a fit" in err
    assert cli("render", "fit", "clip.gif")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("fit", "missing.mp4"), 1, "missing.mp4"),
        (("fit", "empty"), 1, "empty"),
        (("fit", "bunny", "--frames", "0:999"), 1, "132"),
        (("fit", "bunny", "--frames", "a:b"), 1, "a:b"),
        (("fit", "bunny", "--model", "enrv"), 1, "Did you mean 'enerv'?"),
        (("fit", "bunny", "--set", "fcdim=3"), 1, "Did you mean 'fc_dim'?"),
        (("fit", "bunny", "--set", "fc_dim"), 2, "expected NAME=VALUE"),
        (("fit", "bunny", "--preset", "quik"), 2, "Did you mean 'quick'?"),
        (("fit", "bunny", "--preset", "quick", "--recipe", "x"), 2, "a preset is a recipe"),
        (("fit", "bunny", "--recipe", "x.yaml"), 1, "no recipe 'x.yaml'"),
        (("fit", "bunny", "--epochs", "0"), 1, "greater than or equal to 1"),
        (
            ("fit", "bunny", "--epochs", "many"),
            2,
            "invalid value for '--epochs': input should be a valid integer, got 'many'",
        ),
        (("fit", "bunny", "--epochs", "1.5"), 2, "got '1.5'"),
        (("fit", "bunny", "--time-budget", "long"), 2, "invalid value for '--time-budget': expected a time such as"),
        (("fit", "bunny", "--betas", "0.9"), 1, "option 'betas': tuple should have at least 2 items"),
        (("fit", "bunny", "--betas", "0.9,1"), 1, "option 'betas.1': input should be less than 1, got 1"),
        (("fit", "bunny", "--betas", "0.9,nan"), 1, "option 'betas.1'"),
        (("fit", "bunny", "--lr", "nan"), 2, "invalid value for '--lr': expected a finite number, got nan"),
        (("fit", "bunny", "--epochs", "3", "--time-budget", "1m"), 1, "got epochs=3 and time_budget=60.0; give one"),
        (("fit", "bunny", "--epochs", "3", "--time-budget", "9", "--segments", "2"), 1, "give one of them"),
        (("compare", "bunny", "--models", "nerv", "--epochs", "3", "--time-budget", "9", "--out", "x"), 1, "give one"),
        (("fit", "bunny", "--fresh"), 2, "for '--warm-start' / '--fresh': it is for segments; add --segments auto"),
        (("batch", "bunny", "--cpus", "0"), 2, "invalid value for '--cpus': expected a number above 0, got 0"),
        (("batch", "bunny", "--attempts", "-1", "--dry-run"), 2, "for '--attempts': expected a number above 0, got -1"),
        (("batch", "bunny", "--checkpoint-every", "0", "--dry-run"), 2, "invalid value for '--checkpoint-every'"),
        (("info", "empty", "--length", "9"), 2, "for '--length': it is for a family; a RUN has its own"),
        (("info", "empty", "--size", "1M"), 2, "for '--size'"),
        (("info", "empty", "--resize", "9x9"), 2, "for '--resize'"),
        (("models", "--recipes", "--parts"), 2, "give one of --recipes, --parts, --pretrained and --published"),
        (("models", "--pretrained", "--parts"), 2, "give one of"),
        (("fit", "bunny", "--nonsense"), 2, "no such option: --nonsense"),
        (("fit",), 2, "missing argument 'VIDEO' (see enerv-zoo fit --help)"),
        (("help",), 2, "there is no command 'help'; it is called --help here"),
        (("fit", "bunny", "--size", "huge"), 1, "a size is a number"),
        (("fit", "bunny", "--resize", "9x"), 1, "'9x' is no size"),
        (("eval", "nowhere"), 1, "no fit is there"),
        (("render", "nowhere", "x.mp4"), 1, "no fit is there"),
        (("compare", "bunny", "--models", "", "--out", "x"), 1, "name each model"),
        (("compare", "bunny", "--models", "nerv,henrv", "--out", "x"), 1, "Did you mean 'hnerv'?"),
        (("compare", "bunny", "--models", "nerv", "--size", "1M,big", "--out", "x"), 1, "a size is a number"),
        (("compare", "missing.mp4", "--models", "nerv", "--out", "x"), 1, "no such file or folder"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(cli, tmp_path, arguments, code, message):
    (tmp_path / "empty").mkdir()
    ended, _, err = cli(*arguments)
    assert ended == code
    assert message in err
    assert "Traceback" not in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize(
    ("old", "now"), [("publish", "batch --push --out runs/zoo"), ("fleet", "batch --address local --out runs/fleet")]
)
def test_a_command_of_earlier_versions_says_how_it_is_written_now(cli, tmp_path, old, now):
    (tmp_path / "clips.csv").write_text("video,model\nbunny,nerv\n")
    owner = ["--owner", "alice"] if old == "publish" else []
    code, out, err = cli(old, "clips.csv", "--dry-run", *owner)
    assert (code, err) == (0, f"note: {old} is now written: enerv-zoo {now}\n")
    assert "bunny-nerv" in out


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("fit", "bunny", "--out", ""), "'--out'"),
        (("fit", "bunny", "--out="), "'--out'"),
        (("compare", "bunny", "--models", "nerv", "--out", ""), "'--out'"),
        (("batch", "bunny", "--out", ""), "'--out'"),
        (("rd", "bunny", "--out", ""), "'--out'"),
        (("import", "x.pth", "--codebase", "nerv", "--config", "x.yaml", "--out", ""), "'--out'"),
        (("report", "x", "--out", ""), "'--out'"),
        (("report", "x", ""), "'RUN...'"),
        (("compress", "x", ""), "'FILE.nvz'"),
        (("pull", "x", ""), "'DIR'"),
        (("render", "x", ""), "'OUT'"),
        (("eval", "x", "--images", ""), "'--images'"),
    ],
)
def test_an_empty_name_is_refused(cli, tmp_path, arguments, option):
    code, _, err = cli(*arguments)
    assert code == 2
    assert f"error: invalid value for {option}: expected a name, got ''" in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("option", ["--bpp", "--max-psnr-drop", "--prune", "--rate-weight", "--lr"])
def test_what_is_no_number_is_refused(cli, fitted, option, number):
    code, _, err = cli("compress", fitted, "x.nvz", f"{option}={number}")
    assert (code, err.count("\n")) == (2, 1)
    assert f"invalid value for '{option}': expected a finite number, got {number}" in err


def test_every_command_checks_what_it_is_given():
    for command in app.registered_commands:
        assert command.cls is Command, command.name


def test_betas_are_as_many_as_the_optimiser_has(cli, tmp_path):
    code, _, _ = cli("fit", "bunny", *TINY, "--optimizer", "adan", "--betas", "0.98,0.92,0.99", "--no-report")
    assert code == 0
    record = json.loads((tmp_path / "runs" / "bunny-pca_nerv" / "fit.json").read_text())
    assert record["fit"]["betas"] == [0.98, 0.92, 0.99]


def test_one_of_a_thing_is_no_plural(cli):
    small = ("--resize", "64x36", "--size", "60K", "--model", "nerv", "--epochs", "1", "--no-report")
    code, out, _ = cli("fit", "bunny", "--frames", "0:1", *small, "--out", "one")
    assert code == 0
    assert "1 frame of 64x36" in out
    assert "for 1 epoch," in out
    assert "1 frame of 64x36" in cli("info", "one")[1]
    assert "one, 1 frame\n" in cli("eval", "one")[1]
    code, out, _ = cli("fit", "bunny", "--frames", "0:4", *small, "--segments", "2", "--out", "two")
    assert "4 frames of 64x36 in 2 segments" in out
    assert "2 of 2 frames; 2 fitted" in cli("info", "two")[1]
    code, _, err = cli("info", "two", "--tree")
    assert code == 2
    assert "for '--tree': a tree is of one network, and two is of 2 segments; name the folder of one" in err
    code, _, err = cli("info", "two", "--yaml", "network.yaml")
    assert code == 2
    assert "for '--yaml': a composition is of one network, and two is of 2 segments; name the folder of one" in err


def test_images_are_replaced_when_asked(cli, fitted, tmp_path):
    command = ("eval", fitted, "--images", "images")
    assert cli(*command, "--frames", "0:2")[0] == 0
    assert cli(*command)[0] == 1
    assert cli(*command, "--overwrite")[0] == 0
    assert len(open_video(tmp_path / "images")) == 3


def test_notes_are_lines_of_this_library_alone():
    code = """
import logging, sys
from enerv_zoo.cli import main
sys.argv = ["enerv-zoo", "models", "--json"]
for _ in range(2):
    try:
        main()
    except SystemExit:
        pass
from huggingface_hub.utils import logging as theirs
theirs.get_logger("huggingface_hub.utils").warning("trying again")
logging.getLogger("enerv_zoo.hub").warning("going on without")
"""
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_VERBOSITY"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == "note: going on without\n"


def test_out_that_holds_a_fit_is_refused_with_the_two_ways_on(cli, fitted):
    code, _, err = cli("fit", "bunny", *TINY, "--out", fitted)
    assert code == 1
    assert "--resume" in err
    assert "--overwrite" in err


@pytest.mark.parametrize("segments", [(), ("--segments", "2")])
def test_a_fit_that_was_killed_before_its_page_was_written_has_one_when_it_is_gone_on_with(cli, tmp_path, segments):
    command = ("fit", "bunny", *TINY, "--out", "one", "--resume", *segments)
    page = tmp_path / "one" / "report.html"
    assert cli(*command, "--no-report")[0] == 0
    assert not page.exists()
    assert "open report.html" in cli(*command)[1]
    written = page.stat().st_mtime_ns
    assert "open report.html" in cli(*command)[1]
    assert page.stat().st_mtime_ns == written, "a page that is there stays"


def test_debug_shows_the_traceback(cli):
    with pytest.raises(Exception, match="no fit is there"):
        cli("info", "nowhere", "--debug")


def test_bench_measures_every_case(cli, monkeypatch):
    cases = (("60K", "64x36"), ("90K", "72x40"))
    monkeypatch.setattr(fitting, "bench", partial(fitting.bench, cases=cases, seconds=0.01))
    code, out, _ = cli("bench", "--device", "cpu", "--json")
    rows = json.loads(out)
    assert code == 0
    assert [row["size"] for row in rows] == ["60K", "90K"]
    for row in rows:
        assert min(row["fit"], row["decode"], row["decode_compiled"]) > 0
        assert row["memory_bytes"] > 1e6
    code, out, _ = cli("bench", "--device", "cpu")
    assert code == 0
    assert "enerv 60K" in out
    assert "72x40" in out


def test_compare_shows_what_worked_and_ends_with_1_if_a_fit_failed(cli, monkeypatch):
    fit = jobs.fit

    def failing(source, *, recipe, **options):
        if recipe.model["name"] == "enerv":
            raise MemoryError("no memory left")
        return fit(source, recipe=recipe, **options)

    monkeypatch.setattr(jobs, "fit", failing)
    tiny = [value if value != "90K" else "60K,90K" for value in TINY]
    command = ("compare", "bunny", "--models", "nerv,enerv", *tiny, "--out", "two")
    code, out, err = cli(*command)
    assert code == 1
    rows = [line.split() for line in out.splitlines() if line.strip().startswith(("nerv-", "enerv-"))]
    assert sorted(row[0] for row in rows) == ["nerv-60k", "nerv-90k"]
    assert "error: 2 of 4 fits failed, first enerv-60k: no memory left" in err
    monkeypatch.setattr(jobs, "fit", fit)
    code, out, _ = cli(*command, "--json")
    assert (code, list(json.loads(out))) == (0, ["nerv-60k", "nerv-90k", "enerv-60k", "enerv-90k"])
