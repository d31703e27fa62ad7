"""A network in one file, from Python and from the command line; names of files that come with the package."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json

import numpy as np
import pytest
import torch

import enerv_zoo as ez
from enerv_zoo import hub
from enerv_zoo.errors import ConfigError
from enerv_zoo.hub import bundled_networks
from enerv_zoo.nvz import EncodedNetwork, QuantizedTensor, write_nvz
from enerv_zoo.storage import open_run
from enerv_zoo.storage.compressed import to_network


def rounded(video, axis=0, largest=127):
    """Every parameter of two dimensions or more in 8 bits, a scale a channel."""
    tensors = {}
    for name, tensor in video.weights().items():
        if tensor.is_floating_point() and tensor.ndim > 1:
            values = tensor.numpy()
            others = tuple(i for i in range(values.ndim) if i != axis)
            scale = (np.abs(values).max(others) / largest + 1e-9).astype(np.float32)
            shape = [-1 if i == axis else 1 for i in range(values.ndim)]
            tensors[name] = QuantizedTensor(np.rint(values / scale.reshape(shape)).astype(np.int32), scale, axis)
    return tensors


@functools.cache
def tiny(name, **options):
    info = ez.VideoInfo(frames=3, height=36, width=64, fps=29.97, name="bunny", attribution="me")
    return ez.create_model(name, info=info, size="90K", **options).eval()


@pytest.fixture
def written(tmp_path):
    video = tiny("enerv")
    write_nvz(tmp_path / "x.nvz", [to_network(video, rounded(video), license="cc-by-3.0")])
    return video, tmp_path / "x.nvz"


@pytest.mark.parametrize("name", ez.list_models())
@pytest.mark.parametrize("options", [{}, {"norm": "batch"}], ids=["plain", "batch"])
def test_a_network_of_every_family_comes_back_as_its_rounded_numbers(tmp_path, name, options):
    try:
        video = tiny(name, **options)
    except ConfigError:
        assert options  # not every family has the option; all have the default
        return
    tensors = rounded(video)
    sizes = write_nvz(tmp_path / "x.nvz", [to_network(video, tensors)])
    again = ez.load(tmp_path / "x.nvz")
    assert (again.config, again.info, again.training) == (video.config, video.info, False)
    weights = video.weights()
    assert again.weights().keys() == weights.keys()
    for key, tensor in again.weights().items():
        expected = torch.from_numpy(tensors[key].values()) if key in tensors else weights[key]
        assert torch.equal(tensor, expected), key
    assert again.file_bytes == sizes.total == (tmp_path / "x.nvz").stat().st_size
    plain = write_nvz(tmp_path / "plain.nvz", [to_network(video, {})])
    assert torch.equal(ez.load(tmp_path / "plain.nvz")(torch.arange(3)), video(torch.arange(3)))
    assert sizes.total < plain.total / 2


def test_bits_per_pixel_are_those_of_the_file(written, tmp_path):
    _, path = written
    report = ez.evaluate(ez.load(path), ez.open_video("bunny", frames="0:3", resize="64x36"))
    assert report.stored_bytes == path.stat().st_size
    assert report.bpp == 8 * path.stat().st_size / (3 * 36 * 64)


def test_tensors_that_are_not_the_networks_are_refused():
    video = tiny("nerv")
    tensors = rounded(video)
    name = next(iter(tensors))
    with pytest.raises(ConfigError, match=f"Did you mean '{name}'"):
        to_network(video, {name[:-1]: tensors[name]})
    wrong = QuantizedTensor(np.zeros((2, 3), np.int32), np.float32(1).reshape(()), None)
    with pytest.raises(ConfigError, match="cannot be coded as"):
        to_network(video, {name: wrong})


def change_tensors(change):
    def changed(network):
        tensors = dict(network.tensors)
        change(tensors)
        return dataclasses.replace(network, tensors=tensors)

    return changed


def change_description(change):
    def changed(network):
        description = json.loads(json.dumps(network.description))
        change(description)
        return dataclasses.replace(network, description=description)

    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_tensors(lambda t: t.popitem()), "the weights lack"),
        (change_tensors(lambda t: t.update(x=np.zeros(3, np.float32))), "have too much: x"),
        (
            change_tensors(lambda t: t.update({next(iter(t)): np.zeros(1, np.float32)})),
            "config and weights do not match",
        ),
        (change_tensors(lambda t: t.update({next(iter(t)): np.zeros(1, bool)})), "type BOOL, which no network has"),
        (change_tensors(lambda t: t.update({k: v * np.float32("nan") for k, v in t.items() if "bias" in k})), "NaN"),
        (change_description(lambda d: d.update(format=9)), "format 9"),
        (change_description(lambda d: d.pop("video")), "video: expected a mapping"),
        (change_description(lambda d: d["model"]["join"].update(channels=1 << 40)), "."),
        (change_description(lambda d: d["model"]["grid"].__setitem__(0, 1 << 30)), "."),
    ],
)
def test_files_that_do_not_match_themselves_are_refused(tmp_path, change, message):
    video = tiny("enerv")
    write_nvz(tmp_path / "x.nvz", [change(to_network(video, rounded(video)))])
    with pytest.raises(ConfigError, match=message):
        ez.load(tmp_path / "x.nvz")


def test_what_is_no_single_fit_is_named(written, tmp_path):
    video, path = written
    network = to_network(video, {})
    write_nvz(tmp_path / "two.nvz", [network, network])
    write_nvz(tmp_path / "none.nvz", [])
    for name, message in (("two", "holds 2 networks"), ("none", "holds 0 networks"), ("gone", "no such file")):
        with pytest.raises(ConfigError, match=message):
            ez.load(str(tmp_path / f"{name}.nvz"))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ConfigError, match="cut off or damaged"):
        ez.load(path)


@pytest.fixture
def bundled(written, tmp_path, monkeypatch):
    """As if the file were one that comes with the package; and no network to ask anything."""
    from enerv_zoo.hub import client

    folder = tmp_path / "bundled"
    folder.mkdir()
    written[1].rename(folder / "bunny-tiny.nvz")
    monkeypatch.setattr("enerv_zoo.hub.bundled.BUNDLED", folder)
    monkeypatch.setattr(client, "hub_api", lambda token: pytest.fail("the network was asked"))
    return folder / "bunny-tiny.nvz"


def test_every_command_takes_a_file(written, cli, tmp_path):
    _, path = written
    code, out, _ = cli("info", path, "--json")
    found = json.loads(out)
    assert (code, found["weights_bytes"], found["license"]) == (0, path.stat().st_size, "cc-by-3.0")
    assert found["sizes"]["total"] == found["sizes"]["head"] + sum(sum(t.values()) for t in found["sizes"]["tensors"])
    table = cli("info", path)[1]
    for words in ("bits per pixel", "stage 1", "head", f"{path.stat().st_size:,} bytes"):
        assert words in table
    small = ("--frames", "0:2", "--resize", "64x36", "--json")
    assert json.loads(cli("eval", path, "bunny", *small)[1])["stored_bytes"] == path.stat().st_size
    assert json.loads(cli("eval", path, *small)[1])["stored_bytes"] == path.stat().st_size  # the sample that it names
    assert cli("render", path, tmp_path / "x.mp4")[0] == 0
    assert ez.open_video(tmp_path / "x.mp4").frames.shape == (3, 3, 36, 64)


def test_a_bundled_name_is_a_file_that_comes_along(bundled, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(ez.load("bunny-tiny")) == 3
    assert cli("render", "bunny-tiny", "x.mp4")[0] == 0
    assert json.loads(cli("info", "bunny-tiny", "--json")[1])["weights_bytes"] == bundled.stat().st_size
    with pytest.raises(ConfigError, match="Did you mean 'bunny-tiny'"):
        ez.load("bunny-tinny")
    ez.load("bunny-tiny").save_pretrained("bunny-tiny")
    assert ez.load("bunny-tiny").file_bytes is None  # a folder here comes first


def test_bundled_fits_are_listed_without_a_network(bundled, cli, monkeypatch):
    def offline(*_, **__):
        raise ez.HubError("cannot be reached")

    monkeypatch.setattr(hub, "list_pretrained", offline)
    code, out, _ = cli("models", "--pretrained", "tiny", "--json")
    assert code == 0
    assert [(e["id"], e["family"], e["frames"]) for e in json.loads(out)] == [("bunny-tiny", "enerv", 3)]
    assert cli("models", "--pretrained", "wolf")[0] == 1


def test_the_sample_that_ships(cli, tmp_path):
    path = bundled_networks()["bunny-sample"]
    assert path.stat().st_size <= 600_000
    assert next(entry for entry in hub.list_bundled() if entry.id == "bunny-sample").psnr >= 35.5
    video = ez.load("bunny-sample")
    assert video[0].shape == (3, 360, 640)
    assert len(video) == 132
    assert cli("render", "bunny-sample", tmp_path / "x.mp4", "--frames", "0:3")[0] == 0


@pytest.mark.parametrize("name", bundled_networks())
def test_a_bundled_fit_is_what_it_says(cli, name):
    path = bundled_networks()[name]
    few = json.loads(cli("eval", name, "--frames", "::33", "--json")[1])
    assert few["stored_bytes"] == path.stat().st_size
    entry = next(entry for entry in hub.list_bundled() if entry.id == name)
    assert entry.psnr == pytest.approx(few["psnr"], abs=1.5), "the record's is of all frames"
    assert entry.psnr > 24
    assert hub.describe(name).description.license == "cc-by-3.0"


def test_a_family_each_in_as_many_bytes():
    small = {entry.family: entry for entry in hub.list_bundled() if entry.width == 256}
    assert {"pca_nerv", "enerv", "nerv", "hnerv", "ffnerv", "hinerv"} <= small.keys()
    for entry in small.values():
        assert 100_000 < entry.stored_bytes <= 121_652, "0.2 bits per pixel"


def test_a_strangers_file_opens_nothing_on_this_machine(tmp_path):
    video = copy.copy(tiny("nerv"))
    video.info = dataclasses.replace(video.info, name="/etc/passwd")
    write_nvz(tmp_path / "x.nvz", [EncodedNetwork(to_network(video, {}).description, {})])
    with pytest.raises(ez.FitError, match="does not record which video"):
        open_run(tmp_path / "x.nvz").original()
