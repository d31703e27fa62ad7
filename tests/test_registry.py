"""Names, options and the errors that teach them."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from registering import temporary_parts

import enerv_zoo as ez
import enerv_zoo.registry as registry_module
from enerv_zoo.config import FitConfig, from_dict
from enerv_zoo.errors import ConfigError
from enerv_zoo.registry import Registry, import_file, imported_files, losses, models, optimizers


class Widget:
    def __init__(self, size: int, *, colour: str = "red", depth: int) -> None:
        if depth < 0:
            raise ValueError("depth is negative")
        self.args = (size, colour, depth)


@pytest.fixture
def widgets():
    registry = Registry("widget", "enerv_zoo.losses")
    registry.register("round")(Widget)
    return registry


def test_build_passes_sizes_and_options(widgets):
    assert widgets.build({"name": "round", "depth": 2, "colour": "blue"}, 7).args == (7, "blue", 2)


def test_unknown_name_suggests_the_nearest_and_lists_all(widgets):
    with pytest.raises(ConfigError, match=r"unknown widget 'rond'. Did you mean 'round'\? Known: round"):
        widgets.build({"name": "rond"}, 7)


def test_wrong_option_names_part_option_and_the_legal_ones(widgets):
    with pytest.raises(
        ConfigError, match=r"widget 'round' has no option 'color'. Did you mean 'colour'\? Its options: colour, depth"
    ):
        widgets.build({"name": "round", "depth": 1, "color": "blue"}, 7)


def test_sizes_are_not_options(widgets):
    with pytest.raises(ConfigError, match="no option 'size'"):
        widgets.build({"name": "round", "depth": 1, "size": 3}, 7)


def test_missing_option_and_missing_name(widgets):
    with pytest.raises(ConfigError, match="needs the option 'depth'"):
        widgets.build({"name": "round"}, 7)
    with pytest.raises(ConfigError, match="a widget needs a name"):
        widgets.build({"depth": 1}, 7)


def test_refused_value_names_the_part(widgets):
    with pytest.raises(ConfigError, match=r"widget 'round' cannot be built with .*depth is negative"):
        widgets.build({"name": "round", "depth": -1}, 7)


def test_a_type_is_named_as_it_is_written_whether_annotations_are_texts_or_not(widgets):
    def plate(*, size, pair=(1, 2)):
        return size, pair

    plate.__annotations__ = {"size": int, "pair": tuple[int, int]}
    widgets.register("plate")(plate)
    with pytest.raises(ConfigError, match=r"the option 'size' is 'two', expected int$"):
        widgets.build({"name": "plate", "size": "two"})
    with pytest.raises(ConfigError, match=r"the option 'pair' is 3, expected tuple\[int, int\]$"):
        widgets.build({"name": "plate", "size": 2, "pair": 3})


def test_taken_name_is_refused_and_the_same_part_is_not(widgets):
    widgets.register("round")(Widget)
    with pytest.raises(ConfigError, match=r"'round' is taken by .*Widget"):
        widgets.register("round")(dict)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fc_dim": "xxx"}, "the option 'fc_dim' is 'xxx', expected int"),
        ({"stem_dim": 4}, r"the option 'stem_dim' is 4, expected Sequence\[int\]"),
        ({"lower_width": 6.5}, "the option 'lower_width' is 6.5, expected int"),
        ({"sigmoid": "perhaps"}, "the option 'sigmoid' is 'perhaps', expected bool"),
    ],
)
def test_a_value_of_another_type_is_named_with_the_type(options, message):
    with pytest.raises(ConfigError, match=message):
        models.check_options("enerv", options)


@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [
        (models, "nerv", {"bias": "false"}),
        (models, "enerv", {"fc_dim": "64"}),
        (models, "enerv", {"fc_dim": True}),
        (models, "enerv_coupled", {"fc_dim": "64"}),
        (models, "enerv_grids", {"sin_res": "false"}),
        (optimizers, "adam", {"amsgrad": "false"}),
        (optimizers, "adan", {"no_prox": "false"}),
    ],
)
def test_a_text_is_no_number_and_no_truth_value(kind, name, options):
    with pytest.raises(ConfigError, match=rf"{name!r}: the option {next(iter(options))!r} is .*, expected (int|bool)"):
        kind.check_options(name, options)


@dataclass
class Opts:
    a: int = 1


def test_an_option_has_the_type_that_is_declared(widgets):
    def drawer(*, place: Path = Path(), opts: Opts = Opts(), pair: Sequence[int] = ()):  # noqa: B008
        return place, opts, pair

    widgets.register("drawer")(drawer)
    built = widgets.build({"name": "drawer", "place": "a/b", "opts": {"a": 2}, "pair": [1, 2]})
    assert built == (Path("a/b"), Opts(2), [1, 2])
    with pytest.raises(ConfigError, match="the option 'opts' is"):
        widgets.build({"name": "drawer", "opts": {"a": "2"}})


def test_whatever_a_part_raises_names_it(widgets):
    def broken(*, n: int = 0):
        return [][n]

    widgets.register("broken")(broken)
    with pytest.raises(ConfigError, match=r"widget 'broken' cannot be built with \{\}: list index out of range"):
        widgets.build({"name": "broken"})


def test_a_whole_number_is_an_integer_however_it_is_written():
    assert models.check_options("enerv", {"lower_width": 1e1, "norm": "none"}) == {"lower_width": 10, "norm": "none"}


def test_numbers_may_be_of_numpy(tmp_path):
    video = ez.create_model("enerv", frames=4, height=36, width=64, block_dim=np.int64(16), size=np.float32(90e3))
    video.save_pretrained(tmp_path / "x")
    assert ez.load(tmp_path / "x").config == video.config
    assert from_dict(FitConfig, {"lr": np.float32(0.5), "phases": [{"epochs": np.int8(2)}]}).phases[0]["epochs"] == 2


def test_what_a_stranger_declares_need_not_be_known(widgets):
    def square(*, side: NoSuchType = 1):  # noqa: F821
        return side

    widgets.register("square")(square)
    assert widgets.build({"name": "square", "side": "anything"}) == "anything"


def test_a_part_takes_the_place_of_its_earlier_self(widgets):
    """As where a cell of a notebook runs again."""

    def make(side):
        def square():
            return side

        return square

    widgets.register("square")(make(1))
    widgets.register("square")(make(2))
    assert widgets.build({"name": "square"}) == 2


def test_names_of_built_in_parts_are_taken_before_these_are_loaded(tmp_path):
    code = """
import enerv_zoo as ez
from enerv_zoo.registry import losses
try:
    losses.register("SSIM")(lambda prediction, target: (prediction - target).abs().mean())
except ez.ConfigError as error:
    print(error)
print(losses.get("SSIM").__module__, losses.get("L1").__module__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0].startswith("the loss name 'SSIM' is taken by enerv_zoo.losses.")
    assert done.stdout.splitlines()[1].startswith("enerv_zoo.losses enerv_zoo.losses")


LOSS = """
from enerv_zoo.registry import losses

@losses.register({name!r})
def {name}(prediction, target):
    return (prediction - target).abs().mean()
"""


def test_files_of_one_name_and_files_that_fail(tmp_path):
    with temporary_parts(losses):
        for folder, name in (("a", "la"), ("b", "lb")):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "parts.py").write_text(LOSS.format(name=name))
            import_file(tmp_path / folder / "parts.py")
        imported = [str(tmp_path / folder / "parts.py") for folder in "ab"]
        assert [file for file in imported_files() if file in imported] == imported
        import_file(imported[0])  # again
        assert losses.names("l?") == ["la", "lb"]
        (tmp_path / "half.py").write_text(LOSS.format(name="lh") + "1 / 0\n")
        with pytest.raises(ConfigError, match=r"half\.py: cannot be imported \(ZeroDivisionError"):
            import_file(tmp_path / "half.py")
        assert "lh" not in losses.names()
        assert str(tmp_path / "half.py") not in imported_files()
        (tmp_path / "half.py").write_text(LOSS.format(name="lh"))
        import_file(tmp_path / "half.py")
        broken = tmp_path / "a" / "parts.py"
        broken.write_text(LOSS.format(name="la") + LOSS.format(name="other") + "1 / 0\n")
        with pytest.raises(ConfigError, match="ZeroDivisionError"):
            import_file(broken)
        assert losses.names("l?") == ["la", "lb", "lh"], "what was there before is there again"
        assert str(broken) in imported_files()
        assert "other" not in losses.names()


def test_wildcards():
    assert losses.names("Fusion1?") == ["Fusion10", "Fusion11", "Fusion12"]
    assert models.names("nothing*") == []


def test_entry_points_add_parts_and_broken_ones_are_reported_and_skipped(monkeypatch, caplog):
    group = "enerv_zoo.losses"
    entries = [
        EntryPoint("good", "builtins:dict", group),
        EntryPoint("bad", "no_such_module_anywhere:Thing", group),
    ]
    monkeypatch.setattr(registry_module, "entry_points", lambda group: entries)
    registry = Registry("widget", group)
    with caplog.at_level(logging.WARNING):
        assert registry.names() == ["good"]
    assert registry.get("good") is dict
    assert "skipped the plug-in widget 'bad'" in caplog.text
    with pytest.raises(ConfigError, match=r"unknown widget 'bad' \(its plug-in failed to load: ModuleNotFoundError"):
        registry.get("bad")
