"""Folders that a stranger made: whatever is in them, loading ends soon, allocates nothing first, and says one line."""

from __future__ import annotations

import copy
import json
import pickle
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from fuzzing import at, damaged, mutated
from hypothesis import given, settings
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load_file, save_file

import enerv_zoo as ez
from enerv_zoo import storage
from enerv_zoo.composition import ModelConfig
from enerv_zoo.config import from_dict
from enerv_zoo.errors import EnervZooError
from enerv_zoo.nvz import EncodedNetwork, write_nvz
from enerv_zoo.nvz.head import Head
from enerv_zoo.storage.untrusted import build_on_meta, check_forward_on_meta
from enerv_zoo.zoo import model_config

GOOD = Path(__file__).parent / "fixtures" / "format-1"
CONFIG = json.loads((GOOD / "config.json").read_text())
WEIGHTS = (GOOD / "model.safetensors").read_bytes()
HEADER_END = 8 + int.from_bytes(WEIGHTS[:8], "little")
HEADER = json.loads(WEIGHTS[8:HEADER_END])


def write(folder, config=CONFIG, weights=WEIGHTS):
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_bytes(config if isinstance(config, bytes) else json.dumps(config).encode())
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def with_header(header, data=WEIGHTS[HEADER_END:]):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def changed(tree, *path_and_value):
    *path, last, value = path_and_value
    tree = copy.deepcopy(tree)
    at(tree, path)[last] = value
    return tree


SPACE = ("model", "embeddings", "space")
STAGE = ("model", "stages", 0)
MANY = {f"e{i}": CONFIG["model"]["embeddings"]["time"] for i in range(1000)}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (changed(CONFIG, *SPACE, "widths", [1 << 20, 1 << 20, 4]), "more than 4,294,967,296 are not loaded"),
        (changed(CONFIG, *SPACE, "levels", 10**9), "the option 'levels' is 1000000000; expected"),
        (changed(CONFIG, *SPACE, "levels", 1 << 20), "leaves float32|cannot be built"),
        (changed(CONFIG, *SPACE, "base", 1e300), "cannot be built|the option 'base'"),
        (changed(changed(CONFIG, *SPACE, "base", 1e5), *SPACE, "levels", 40), "leaves float32"),
        (changed(CONFIG, *SPACE, "widths", list(range(1, 100))), "or a list of up to 64"),
        (changed(CONFIG, *SPACE, "widths", [[[[[1]]]]]), "or a list of up to 64"),
        (changed(CONFIG, *SPACE, "heads", 1 << 20), "do not match"),
        (changed(CONFIG, "model", "grid", [65536, 65536]), "a grid of 65536x65536"),
        (changed(CONFIG, "model", "embeddings", MANY), "more than 16 embeddings"),
        (changed(CONFIG, *STAGE, "depth", 10**6), "less than or equal to 64"),
        (changed(CONFIG, *STAGE, "out_channels", 1 << 20), "do not match"),
        (changed(CONFIG, "model", "stages", CONFIG["model"]["stages"] * 99), "at most 16"),
        (changed(CONFIG, "model", "head", "kernel", 0), "a kernel is odd, got 0"),
        (changed(CONFIG, "model", "head", "kernel", 1.5), "the option 'kernel' is 1.5, expected int"),
        (changed(CONFIG, "video", "frames", 1 << 30), r"timestamps for|has 1,073,741,824 frames"),
        (changed(changed(CONFIG, "video", "frames", 1 << 30), "video", "timestamps", None), "has 1,073,741,824 frames"),
        (changed(CONFIG, "video", "height", 65_536), "less than the frame"),
        (changed(CONFIG, "model", "join", "name", "os.system"), "unknown fusion 'os.system'"),
        (changed(CONFIG, "format", True), "format True is not one"),
        (changed(CONFIG, "license", "<script>"), "a licence is named"),
        (changed(CONFIG, "fit", {"metrics": {"psnr": [1] * 9}}), "fit: option 'metrics.psnr"),
        (b"[" * 100_000, "no JSON"),
        (b'{"format": 1' + b"0" * 5000 + b"}", "no JSON"),
        (b'{"format": NaN}', "NaN is no number in JSON"),
        (b"a: &a [x, x]\nb: &b [*a, *a]\n", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b" " * (17 << 20), "is larger than 16 MB"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_configs_that_ask_for_too_much(tmp_path, config, message, monkeypatch):
    def allocate(*_):
        raise AssertionError("the network was built")

    monkeypatch.setattr(ez.NeuralVideo, "__init__", allocate)
    with pytest.raises(EnervZooError, match=message) as caught:
        ez.load(write(tmp_path / "fit", config))
    assert len(str(caught.value)) < 1000 + len(str(tmp_path))


NEXT = GOOD.with_name("format-2")
STEPS = json.loads((NEXT / "config.json").read_text())
BLOCK = ("model", "stages", 0, 1)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (STEPS, None),
        (changed(STEPS, *BLOCK, "channels", 1 << 20), "do not match"),
        (changed(STEPS, *BLOCK, "channels", 1 << 40), "the option 'channels' is 1099511627776"),
        (changed(STEPS, *BLOCK, "stride", 10**6), "less than or equal to 64"),
        (changed(STEPS, *BLOCK, "with", ["time"] * 20), "at most 16"),
        (changed(STEPS, "model", "join", "with", ["time", "nothing"]), "no embedding is called 'nothing'"),
        (changed(STEPS, "model", "stages", 0, [STEPS["model"]["stages"][0][0]] * 999), "at most 256"),
        (changed(STEPS, "model", "stages", 0, []), "at least 1"),
        (changed(STEPS, "model", "stages", 0, 0, "temporal_affine"), "valid dictionary"),
    ],
)
def test_steps_that_ask_for_too_much(tmp_path, config, message):
    folder = write(tmp_path / "fit", config, (NEXT / "model.safetensors").read_bytes())
    if message is None:
        assert len(ez.load(folder)) == STEPS["video"]["frames"]
        return
    with pytest.raises(EnervZooError, match=message):
        ez.load(folder)


def entry(**values):
    return {**HEADER, "head.conv.bias": {**HEADER["head.conv.bias"], **values}}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (b"", "damaged or no safetensors file"),
        (WEIGHTS[:7], "damaged or no safetensors file"),
        (WEIGHTS[:1000], "damaged or no safetensors file"),
        (WEIGHTS[:-1], "damaged or no safetensors file"),
        ((1 << 62).to_bytes(8, "little") + WEIGHTS[8:], "its header says it has 4611686018427387904 bytes"),
        (with_header(b"[" * 100_000), "damaged or no safetensors file"),
        (with_header(b"[]"), "damaged or no safetensors file"),
        (with_header({}), "the weights lack"),
        (with_header(entry(dtype="X9")), "damaged or no safetensors file"),
        (with_header(entry(dtype="I64")), r"do not match|damaged"),
        (with_header(entry(shape=[1 << 62, 1 << 62])), "damaged or no safetensors file"),
        (with_header(entry(shape=[1 << 50])), "config and weights do not match"),
        (with_header(entry(shape=[-4])), "damaged or no safetensors file"),
        (with_header(entry(shape="4")), "damaged or no safetensors file"),
        (with_header(entry(data_offsets=[0, 1 << 60])), "damaged or no safetensors file"),
        (with_header({**HEADER, "x" * 5000: HEADER["head.conv.bias"]}), "the weights have too much"),
        (pickle.dumps({"head.conv.bias": torch.zeros(3)}), "damaged or no safetensors file"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_weights_that_are_not_the_configs(tmp_path, weights, message):
    with pytest.raises(EnervZooError, match=message) as caught:
        ez.load(write(tmp_path / "fit", weights=weights))
    assert len(str(caught.value)) < 1000 + len(str(tmp_path))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_draw_nothing(tmp_path, value):
    folder = write(tmp_path / "fit")
    state = load_file(folder / "model.safetensors")
    state["head.conv.bias"][1] = value
    save_file(state, folder / "model.safetensors")
    with pytest.raises(EnervZooError, match=r"head\.conv\.bias holds infinite values or NaN"):
        ez.load(folder)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_fine(tmp_path, dtype):
    folder = write(tmp_path / "fit")
    state = load_file(folder / "model.safetensors")
    save_file({n: t.to(dtype) if t.is_floating_point() else t for n, t in state.items()}, folder / "model.safetensors")
    assert (ez.load(folder)[:].int() - ez.load(GOOD)[:].int()).abs().max() <= 6


def test_an_ordinary_large_network_is_not_refused():
    info = ez.VideoInfo(frames=600, height=2160, width=3840)
    network = build_on_meta(model_config("enerv", info, size="12M"), info, "it")
    assert network.stored_numbers == pytest.approx(12e6, rel=0.02)
    check_forward_on_meta(network, "it")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (changed(changed(CONFIG, *SPACE, "heads", 1 << 20), "model", "grid", [32, 32]), "more than 8 GB is not loaded"),
        (changed(CONFIG, "model", "grid", [1024, 1024]), "more than 8 GB is not loaded"),
        (changed(changed(CONFIG, *STAGE, "out_channels", 1 << 20), "model", "grid", [64, 64]), "more than 8 GB is not"),
        (
            changed(changed(CONFIG, "video", "height", 12), "model", "head", "kernel", 2),
            "a kernel is odd, got 2",
        ),
        (changed(CONFIG, *SPACE, "widths", [1 << 20, 1 << 20, 4]), "more than 4,294,967,296 are not loaded"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_a_repository_whose_frames_would_fill_the_memory_is_refused_before_its_weights_come(client, config, message):
    client.add("bob/evil", {"config.json": json.dumps(config).encode(), "model.safetensors": WEIGHTS})
    with pytest.raises(EnervZooError, match=message):
        ez.load("bob/evil")
    assert not client.asked(r"GET /[0-9a-f]{64}")


def test_nor_are_such_frames_of_a_compressed_file_decoded(client, tmp_path):
    tensors = {name: tensor.numpy() for name, tensor in load_file(GOOD / "model.safetensors").items()}
    for repo, config in (("bob/good", CONFIG), ("bob/evil", changed(CONFIG, "model", "grid", [1024, 1024]))):
        write_nvz(tmp_path / "video.nvz", [EncodedNetwork(config, tensors)])
        client.add(repo, {"video.nvz": (tmp_path / "video.nvz").read_bytes()})
    assert ez.load("bob/good")[0].ndim == 3
    for options in ({}, {"local_files_only": True}):
        with pytest.raises(EnervZooError, match=r"bob/evil: video\.nvz: .*more than 8 GB is not loaded"):
            ez.load("bob/evil", **options)


# ---------------------------------------------------------------- anything at all

FUZZ = settings(max_examples=100)


def check(config=CONFIG, weights=WEIGHTS):
    """It loads, and then draws; or it is refused by one line of ours."""
    with TemporaryDirectory() as temporary:
        folder = write(Path(temporary) / "fit", config, weights)
        with suppress(EnervZooError):
            run = storage.open_run(folder)
            check_forward_on_meta(run.meta_networks[0], "it")
            assert ez.load(folder)[0].shape == (3, run.info.height, run.info.width)
        assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors"}


@FUZZ
@given(mutated(CONFIG))
def test_any_config(config):
    check(config=config)


@FUZZ
@given(damaged(json.dumps(CONFIG).encode(), HEADER_END + 16))
def test_any_bytes_of_a_config(config):
    check(config=config)


@FUZZ
@given(mutated(HEADER))
def test_any_header(header):
    check(weights=with_header(header))


@FUZZ
@given(damaged(WEIGHTS, HEADER_END + 16))
def test_any_bytes_of_weights(weights):
    check(weights=weights)


@pytest.mark.parametrize(
    "head", [{"name": "rgb"}, {"name": "flow_guided", "neighbours": [1]}], ids=lambda it: it["name"]
)
def test_a_small_network_of_large_maps_is_refused_with_every_head(head):
    stages = [
        [{"name": "nerv", "channels": 8, "stride": 8}],
        *([{"name": "interpolate", "stride": s}] for s in (64, 8)),
    ]
    config = {
        "family": "small", "grid": (16, 16), "stages": stages, "head": head,
        "embeddings": {"time": {"name": "temporal_grid", "sizes": [4], "channels": 8}},
        "join": {"name": "identity", "with": ["time"], "channels": 8},
    }  # fmt: skip
    info = ez.VideoInfo(frames=4, height=16, width=16)
    network = build_on_meta(from_dict(ModelConfig, config), info, "it")
    with pytest.raises(EnervZooError, match="more than 8 GB is not loaded"):
        check_forward_on_meta(network, "it")


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (Head, {"networks": [{"tensors": [[]] * 50}] * 50}),
        (ModelConfig, {"family": "a", "grid": (1, 1), "embeddings": {}, "join": {}, "head": {}, "stages": [0] * 10}),
        (ez.VideoInfo, {"frames": 1, "height": 1, "width": 1, "timestamps": [[]] * 50}),
        (ez.FitConfig, {"phases": [0] * 50}),
        (ez.FitConfig, {"metrics": [0] * 30}),
    ],
)
def test_not_every_mistake_of_a_list_is_kept(kind, data):
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(data)
    fields = [error["loc"][0] for error in caught.value.errors()]
    assert 1 <= sum(field in ("networks", "stages", "timestamps", "phases", "metrics") for field in fields) <= 3
