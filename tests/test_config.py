"""Configs to plain data and back, and what is refused on the way."""

from __future__ import annotations

import json

import pytest

from enerv_zoo.composition import ModelConfig, split_spec
from enerv_zoo.config import FitConfig, Recipe, VideoInfo, from_dict, to_dict
from enerv_zoo.errors import ConfigError
from enerv_zoo.parsing import parse_yaml, read_mapping
from enerv_zoo.zoo import model_config

INFO = VideoInfo(frames=3, height=36, width=64, fps=30000 / 1001, timestamps=(0.0, 0.1, 0.5), name="x")


@pytest.mark.parametrize("config", [INFO, FitConfig(betas=(0.9, 0.99)), model_config("enerv", INFO), Recipe()])
def test_round_trip_through_json(config):
    again = from_dict(type(config), json.loads(json.dumps(to_dict(config))))
    assert again == config


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        (FitConfig, {"epohs": 3}, r"FitConfig has no option 'epohs'. Did you mean 'epochs'\? Its options: epochs, "),
        (FitConfig, {"epochs": 0}, "FitConfig option 'epochs': .*greater than or equal to 1, got 0"),
        (FitConfig, {"lr": float("nan")}, "FitConfig option 'lr'"),
        (FitConfig, {"lr": "fast"}, "FitConfig option 'lr': .*number.*'fast'"),
        (FitConfig, {"betas": [0.5, 1.0]}, "FitConfig option 'betas.1'"),
        (FitConfig, [1], "expected a mapping of FitConfig options, got list"),
        (VideoInfo, {"frames": 1, "height": 2}, "VideoInfo option 'width': field required"),
        (VideoInfo, {"frames": 1, "height": 2, "width": 10**9}, "VideoInfo option 'width': .*less than"),
        (VideoInfo, {"frames": 2, "height": 2, "width": 2, "timestamps": [0.0]}, "1 timestamps for 2 frames"),
    ],
)
def test_bad_data_is_refused_with_one_line(kind, data, message):
    with pytest.raises(ConfigError, match=message) as error:
        from_dict(kind, data)
    assert "\n" not in str(error.value)


def test_wrong_type_deep_inside_is_named_with_its_place():
    data = to_dict(model_config("nerv", INFO))
    data["stages"][1][0] = "nerv"
    with pytest.raises(ConfigError, match=r"config.json: .*'stages.1.0'.*valid dictionary"):
        from_dict(ModelConfig, data, "config.json")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "nerv", "stride": 1000}, "'nerv': option 'stride': .*less than or equal to 64, got 1000"),
        ({"name": "nerv", "channels": 0}, "'nerv': option 'channels': .*greater than or equal to 1"),
        ({"name": "sft", "with": 3}, "'sft': 'with' names embeddings, one or a list, got 3"),
    ],
)
def test_what_the_network_reads_of_a_part_is_checked(spec, message):
    with pytest.raises(ConfigError, match=message):
        split_spec(spec, "with", "channels", "stride")


def test_parts_take_one_embedding_by_its_name_or_several_in_a_list():
    own, wiring = split_spec({"name": "sft", "with": "time", "depth": 3}, "with")
    assert (own, wiring.takes) == ({"name": "sft", "depth": 3}, ("time",))
    assert split_spec({"name": "product", "with": ["a", "b"]}, "with")[1].takes == ("a", "b")


def test_steps_are_replaced_where_they_stand():
    config = model_config("enerv", INFO)
    changed = config.replace_steps("*nerv", {"name": "wave", "frequency": 2.0})
    assert (changed.strides, changed.channels) == (config.strides, config.channels)
    assert [[step["name"] for step in stage] for stage in changed.stages] == [
        ["temporal_affine", "wave"] for _ in config.stages
    ]


def test_options_of_a_modulation_are_its_own():
    """Also those that are called as what the network reads of a block: DNeRV's gate has a stride."""
    config = model_config("dnerv", VideoInfo(3, 960, 1920), stride_list=[5, 4, 4, 3, 2])
    assert config.strides == (5, 4, 4, 3, 2)
    changed = config.replace_steps("gate", {"name": "temporal_affine"})
    assert changed.stages[2][1] == {"name": "temporal_affine", "with": "difference"}
    assert changed.stages[2][0] == config.stages[2][0]
    steps = [
        [{"name": "nerv", "channels": 32, "stride": 2}, {"name": "own", "with": "time", "channels": 8, "stride": [2]}]
    ]
    own = from_dict(ModelConfig, {**to_dict(config), "stages": steps})
    assert (own.strides, own.channels[1:]) == ((2,), (32,))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-8", 1e-8),
        ("0:53", "0:53"),
        ("[512, 64]", [512, 64]),
        (".5", 0.5),
        ("-3", -3),
        ("010", 10),
        ("[089, -007]", [89, -7]),
        ("5.0e-4", 5e-4),
        ("yes", True),
    ],
)
def test_yaml_numbers_are_those_of_json(text, value):
    assert parse_yaml(text) == value


def test_merged_keys_are_overruled():
    text = "base: &base {lr: 1, seed: 2}\nfit: {<<: *base, lr: 3}\nmore: {<<: *base, seed: 4}"
    assert parse_yaml(text)["fit"] == {"lr": 3, "seed": 2}
    assert parse_yaml(text)["more"] == {"lr": 1, "seed": 4}
    assert parse_yaml("{1: a, '1': b}") == {1: "a", "1": "b"}
    assert parse_yaml("- &a {x: 1}\n- &b {<<: *a, y: 2}\n- {<<: [*b, *a], z: 3}")[2] == {"x": 1, "y": 2, "z": 3}


@pytest.mark.parametrize("value", ["{<<: [@]}", "[@]", "!!pairs [a: @]", "!!omap [a: @]"])
def test_short_texts_that_stand_for_long_ones_are_refused(value):
    """Each line holds the one before it ten times over."""
    lines = ["- &a0 {k: 1}"]
    for i in range(1, 12):
        inner = value.replace("@", ", ".join([f"*a{i - 1}"] * 10) if "<<" in value or value == "[@]" else "@")
        if "@" in inner:
            inner = inner.replace("[a: @]", "[" + ", ".join(f"a{j}: *a{i - 1}" for j in range(10)) + "]")
        lines.append(f"- &a{i} {inner}")
    with pytest.raises(ConfigError, match="repeat parts too often"):
        parse_yaml("\n".join(lines))


def test_a_part_that_merges_itself_is_refused():
    with pytest.raises(ConfigError):
        parse_yaml("&a {<<: *a, b: *a}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- 1\n- 2\n", "expected a mapping of options, got list"),
        (b"a: [1", "neither JSON nor YAML"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"!!python/object/apply:os.system ['true']", "neither JSON nor YAML"),
        (b"fit:\n  lr: 1\n  seed: 2\n  lr: 3\n", r"config.yaml: the key 'lr' is given twice, in lines 2 and 4"),
        (b'{"model": {"size": 1, "size": 1}}', "the key 'size' is given twice, in line 1"),
        (b"a: {<<: {x: 1}, b: 2, b: 3}", "the key 'b' is given twice"),
    ],
)
def test_files_that_hold_no_mapping(tmp_path, content, message):
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_mapping(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_mapping(tmp_path / "missing.yaml")
