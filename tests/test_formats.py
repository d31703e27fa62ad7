"""Recipes, records and manifests of format 1, whose sizes as text are HEIGHTxWIDTH, are read for ever."""

from __future__ import annotations

import json
import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import enerv_zoo as ez
from enerv_zoo.batch import manifest_jobs, read_manifest
from enerv_zoo.batch.jobs import FitJob, job_of
from enerv_zoo.config import FitConfig, Recipe, to_dict
from enerv_zoo.errors import ConfigError, FitError
from enerv_zoo.fitting.plan import plan_fit
from enerv_zoo.progress import Status
from enerv_zoo.recipes import bundled_files, list_recipes, read_recipe
from enerv_zoo.storage import open_run
from enerv_zoo.storage.description import from_json, to_json
from enerv_zoo.storage.folder import read_description
from enerv_zoo.storage.record import check_selection

OLD = Path(__file__).parent / "fixtures" / "recipe-format-1.yaml"
OPTIONS = {"size": "60K", "epochs": 2, "batch_size": 2, "loss": "L2", "frames": "0:2", "device": "cpu"}


class Cut(Exception):
    pass


def age(folder: Path) -> None:
    """Make a fit's record what a version before format 2 would have written."""
    file = folder / "fit.json"
    record = json.loads(file.read_text())
    assert record.pop("format") == 2
    for key in ("resize", "crop"):
        if key in record["video"]:
            record["video"][key] = "x".join(reversed(record["video"][key].split("x")))
    record["video"].pop("square_pixels", None)
    file.write_text(json.dumps(record))


def anamorphic(folder: Path) -> Path:
    path = folder / "wide.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 36, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for number in range(2):
            image = np.full((36, 48, 3), 40 + 60 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return path


def test_an_old_recipe_means_what_it_meant(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    recipe = read_recipe(OLD)
    assert recipe.format == 2
    assert recipe.video == {"frames": "0:2", "crop": "1280x640", "resize": "64x32"}
    (note,) = caplog.messages
    assert "recipe-format-1.yaml: resize 32x64 was read as HEIGHTxWIDTH" in note
    assert "write 64x32" in note
    plan = plan_fit("bunny", recipe=OLD, device="cpu")
    video = ez.open_video("bunny", **plan.video)
    assert (video.info.height, video.info.width) == (32, 64)


def test_plain_data_without_a_marker_is_of_format_1(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert read_recipe({"video": {"resize": "32x64"}}).video == {"resize": "64x32"}
    assert "recipe: resize 32x64 was read as HEIGHTxWIDTH" in caplog.text
    caplog.clear()
    for video in ({"resize": [32, 64]}, {"resize": "50x50"}, {"resize": "360p"}, {"resize": "50%"}, {}):
        assert read_recipe({"video": video}).video == video
    assert read_recipe({"format": 2, "video": {"resize": "64x32"}}).video == {"resize": "64x32"}
    assert Recipe(video={"resize": "64x32"}).format == 2
    assert not caplog.messages
    for version in (3, 0, "2", True, None):
        with pytest.raises(ConfigError, match=r"recipe: format .* is not one that this version reads \(1 to 2\)"):
            read_recipe({"format": version})


def test_every_bundled_recipe_has_the_marker(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for path in (*bundled_files().values(), *bundled_files("zoo").values()):
        assert "\nformat: 2\n" in path.read_text()
    assert list_recipes()
    read_manifest("bunny")
    assert not caplog.messages


@pytest.mark.parametrize("resize", ["64x36", "36x64"])  # as it is written now, and as it was when the fit was begun
def test_a_fit_begun_in_format_1_goes_on(tmp_path: Path, resize: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enerv_zoo.fitting.loop.STATUS_INTERVAL", 0.0)

    def cut(status: Status) -> None:
        if status.epoch == 2:
            raise Cut

    folder = tmp_path / "fit"
    with pytest.raises(Cut):
        ez.fit("bunny", "nerv", resize="64x36", out=folder, checkpoint_every=0, on_status=cut, **OPTIONS)
    age(folder)
    with pytest.raises(FitError, match="resize was '64x36', now it is '72x40'"):
        ez.fit("bunny", "nerv", resize="72x40", out=folder, checkpoint_every=0, resume=True, **OPTIONS)
    result = ez.fit("bunny", "nerv", resize=resize, out=folder, checkpoint_every=0, resume=True, **OPTIONS)
    assert (result.metrics["height"], result.metrics["width"], result.metrics["epochs"]) == (36, 64, 2)
    assert result.video.info.pixel_aspect == 1


def test_a_preset_whose_size_has_changed_does_not_stop_an_old_fit(tmp_path: Path) -> None:
    folder = tmp_path / "fit"
    plan = plan_fit("bunny", recipe="quick", resize="256x144", device="cpu")
    folder.mkdir()
    (folder / "fit.json").write_text(json.dumps(plan.record()))
    age(folder)
    from enerv_zoo.fitting.plan import check_record

    again = check_record(folder, plan_fit("bunny", recipe="quick", device="cpu"))
    assert again.video == {"resize": "256x144", "square_pixels": True}


def test_segments_begun_in_format_1_go_on(tmp_path: Path) -> None:
    path, folder = anamorphic(tmp_path), tmp_path / "parts"
    options = {**OPTIONS, "frames": None, "out": folder, "segments": 2}

    def cut(number: int, count: int) -> None:
        if number:
            raise Cut

    with pytest.raises(Cut):
        ez.fit_segments(path, "nerv", square_pixels=True, on_segment=cut, **options)
    for part in (folder, folder / "segment-00000"):
        age(part)
    result = ez.fit_segments(path, "nerv", resume=True, **options)
    assert (result.video.info.height, result.video.info.width, result.video.info.pixel_aspect) == (36, 64, 1)


def test_an_old_record_means_square_pixels(tmp_path: Path) -> None:
    path, folder = anamorphic(tmp_path), tmp_path / "fit"
    fitted = ez.fit(path, "nerv", square_pixels=True, out=folder, **OPTIONS)
    assert (fitted.metrics["height"], fitted.metrics["width"]) == (36, 64)
    age(folder)
    original = open_run(folder).original()
    assert (original.info.height, original.info.width) == (36, 64)
    assert open_run(folder).record["video"]["square_pixels"] is True
    config = json.loads((folder / "config.json").read_text())
    assert config["fit"]["recipe"]["format"] == 2
    del config["fit"]["recipe"]["format"]
    config["fit"]["recipe"]["video"] = {"frames": "0:2", "resize": "36x64"}
    recipe = from_json(config, "config.json").fit.recipe  # type: ignore[union-attr]
    assert recipe.video == {"frames": "0:2", "resize": "64x36", "square_pixels": True}  # type: ignore[union-attr]


def test_a_compressed_file_of_format_1(tmp_path: Path) -> None:
    from dataclasses import replace

    from enerv_zoo.nvz import write_nvz
    from enerv_zoo.storage import compressed

    folder = tmp_path / "fit"
    ez.fit("bunny", "nerv", resize="64x36", out=folder, **OPTIONS)
    video, description = ez.load(folder), read_description(folder)
    file = tmp_path / "fit.nvz"
    network = compressed.to_network(video, {}, fit=description.fit)
    network.description["fit"]["recipe"] = {
        key: value for key, value in network.description["fit"]["recipe"].items() if key != "format"
    }
    network.description["fit"]["recipe"]["video"] = {"frames": "0:2", "resize": "36x64"}
    write_nvz(file, [replace(network)])
    assert open_run(file).record["video"] == {"frames": "0:2", "resize": "64x36", "square_pixels": True}
    original = open_run(file).original()
    assert (original.info.height, original.info.width) == (36, 64)
    assert to_json(from_json(network.description, "x"))["fit"]["recipe"]["format"] == 2


def test_a_record_from_the_hub() -> None:
    record = {"source": "bunny", "video": {"resize": "36x64"}, "model": {"name": "nerv"}, "fit": {}}
    check_selection(record, "fit.json")
    check_selection({**record, "format": 2, "video": {"resize": "64x36", "square_pixels": True}}, "fit.json")
    with pytest.raises(ConfigError, match="format 3 is not one that this version reads"):
        check_selection({**record, "format": 3}, "fit.json")
    with pytest.raises(ConfigError, match="option 'square_pixels': input should be a valid boolean, got 'yes'"):
        check_selection({**record, "format": 2, "video": {"square_pixels": "yes"}}, "fit.json")


@pytest.mark.parametrize("suffix", ["yaml", "csv"])
def test_an_old_manifest(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / f"clips.{suffix}"
    old = {
        "yaml": 'name: "{video}-{resize}"\nfits:\n- {videos: [bunny], models: [nerv], resize: 36x64}\n'
        "- {videos: [bunny], recipes: [{model: {name: nerv}, video: {crop: 18x32}}], name: inline}\n",
        "csv": 'video,model,resize,name\nbunny,nerv,36x64,"{video}-{resize}"\n',
    }
    path.write_text(old[suffix])
    jobs = manifest_jobs(read_manifest(path))
    assert jobs[0].name == "bunny-36x64", "its folder and its repository keep their name"
    assert jobs[0].fit.plan("cpu").video["resize"] == "64x36"  # type: ignore[union-attr,operator]
    assert f"{path}: resize 36x64 was read as HEIGHTxWIDTH" in caplog.text
    if suffix == "yaml":
        assert jobs[1].fit.plan("cpu").video["crop"] == "32x18"  # type: ignore[union-attr,operator]
    caplog.clear()
    new = {
        "yaml": "format: 2\n" + old["yaml"].replace("36x64", "64x36").replace("18x32", "32x18"),
        "csv": 'format,video,model,resize,name\n2,bunny,nerv,64x36,"{video}-{resize}"\n',
    }
    path.write_text(new[suffix])
    again = manifest_jobs(read_manifest(path))
    assert again[0].name == "bunny-64x36"
    assert [job.fit.recipe.video for job in again] == [job.fit.recipe.video for job in jobs]  # type: ignore[union-attr]
    assert not caplog.messages
    path.write_text(new[suffix].replace("format: 2", "format: 3").replace("\n2,", "\n3,"))
    with pytest.raises(ConfigError, match="format"):
        manifest_jobs(read_manifest(path))


def test_jobs_keep_their_ids(tmp_path: Path) -> None:
    def id_of(source: object, **video: object) -> str:
        return job_of("x", source, plan_fit(source, "nerv", device="cpu", **video)).id

    config = to_dict(FitConfig())
    old = FitJob("x", "bunny", Recipe(model={"name": "nerv"}, fit=config, video={"resize": "64x36"}))
    assert old.selection() == {"resize": "36x64"}
    assert id_of("bunny", resize="64x36") == id_of("bunny", resize="64x36", square_pixels=True)
    path = anamorphic(tmp_path)
    assert id_of(path) != id_of(path, square_pixels=True)
