"""Bundled recipes: each can be planned and built, at the sizes that its name takes."""

from __future__ import annotations

import pytest

import enerv_zoo as ez
from enerv_zoo.errors import ConfigError
from enerv_zoo.fitting.plan import plan_fit
from enerv_zoo.meta import MetaParameters
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.optimizers import make_optimizer
from enerv_zoo.recipes import bundled_files, list_recipes, read_recipe
from enerv_zoo.zoo import model_config, parse_parameter_count

SCALED = ["enerv-bunny", "enerv-boost", "ffnerv", "hnerv", "hnerv-boost", "hnerv-nerv", "nerv", "nerv-boost", "rnerv"]


def network(recipe: str, height: int | None = None, width: int = 1280) -> NeuralVideo:
    plan = plan_fit("bunny", recipe=recipe, device="cpu")
    height = height or (640 if plan.video.get("crop") == "1280x640" else 720)
    model = {name: value for name, value in plan.model.items() if value != "auto"}
    info = ez.VideoInfo(frames=132, height=height, width=width)
    with MetaParameters():
        return NeuralVideo(model_config(model.pop("name"), info, **model), info)


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_is_a_fit(name):
    assert list_recipes()[name]
    assert network(name).stored_numbers > 100_000


HINERV = {
    "hinerv": (132, 3_249_819),
    "hinerv/bunny-xxs": (132, 766_691),
    "hinerv/bunny-xs": (132, 1_585_666),
    "hinerv/bunny-a-xxs": (132, 760_067),
    "hinerv/bunny-a-xs": (132, 1_572_418),
    "hinerv/bunny-a-s": (132, 3_223_323),
    "hinerv/bunny-b-xxs": (132, 787_543),
    "hinerv/bunny-b-xs": (132, 1_572_527),
    "hinerv/bunny-b-s": (132, 3_250_395),
    "hinerv/uvg-s": (600, 3_188_933),
    "hinerv/uvg-m": (600, 6_489_553),
    "hinerv/uvg-l": (600, 12_818_953),
    "hinerv/uvg-xl": (600, 25_649_557),
    "hinerv/uvg-xxl": (300, 48_941_319),
    "hinerv/uvg-a-s": (600, 3_223_133),
    "hinerv/uvg-a-m": (600, 6_557_953),
    "hinerv/uvg-a-l": (300, 11_749_753),
    "hinerv/uvg-b-s": (600, 3_222_643),
    "hinerv/uvg-b-m": (600, 6_395_595),
    "hinerv/uvg-b-l": (300, 10_840_163),
    "hinerv/mcl-xxs": (150, 777_203),
    "hinerv/mcl-xs": (150, 1_606_482),
    "hinerv/mcl-s": (150, 3_291_451),
    "hinerv/mcl-m": (150, 6_774_549),
    "hinerv/mcl-l": (125, 13_432_865),
}
"""Frames and the authors' count of parameters."""


def test_hinervs_recipes_have_the_published_parameters():
    assert {f"hinerv/{name}" for name in bundled_files("hinerv")} == HINERV.keys() - {"hinerv"}
    for name, (frames, parameters) in HINERV.items():
        plan = plan_fit("bunny", recipe=name, device="cpu")
        model = dict(plan.model)
        height = 720 if "bunny" in name or name == "hinerv" else 1080
        info = ez.VideoInfo(frames=frames, height=height, width=height * 16 // 9)
        with MetaParameters():
            video = NeuralVideo(model_config(model.pop("name"), info, **model), info)
        assert video.stored_numbers == parameters, name
        assert plan.fit == plan_fit("bunny", recipe="hinerv", device="cpu").fit, name


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize("size", ["0.35m", "0.75m", "1.5m", "3m"])
def test_a_size_after_the_name_scales_the_network(name, size):
    budget = parse_parameter_count(size)
    assert abs(network(f"{name}-{size}").stored_numbers - budget) <= 0.02 * budget


def test_recipes_are_as_published():
    recipe = read_recipe("enerv-boost-1.5m")
    assert recipe.model == {"name": "enerv_boost", "size": "1.5M"}
    assert recipe.fit["optimizer"] == "adan"
    assert recipe.fit["loss"] == "Fusion10_freq"
    hnerv = plan_fit("bunny", recipe="hnerv-3m", device="cpu")
    assert (hnerv.fit.lr, hnerv.fit.batch_size, hnerv.fit.warmup, hnerv.fit.loss) == (1e-3, 2, 0.1, "L2")
    assert hnerv.video == {"crop": "1280x640"}


def test_a_preset_has_another_recipe_for_other_families():
    quick, other = (plan_fit("bunny", model, recipe="quick", device="cpu") for model in (None, "ffnerv"))
    assert (quick.model["name"], quick.fit.loss, quick.fit.rates["head.linear"]) == ("pca_nerv", "L2", 0.1)
    assert (other.model, other.fit.loss, other.fit.rates) == ({"name": "ffnerv", "size": "~0.5M"}, "Fusion6", {})
    assert other.fit == plan_fit("bunny", "ffnerv", recipe="quick-enerv", device="cpu").fit
    balanced, own = (plan_fit("bunny", "nerv", recipe=name, device="cpu") for name in ("balanced", "balanced-enerv"))
    assert balanced.fit == own.fit
    sized = plan_fit("bunny", "ffnerv", recipe="quick-0.2m", device="cpu")
    assert sized.model == {"name": "ffnerv", "size": "~0.2M"}
    assert "others" not in quick.record()
    network = ez.create_model("ffnerv", frames=8, height=36, width=64, size="90K")
    composed = plan_fit("bunny", network, recipe="quick", device="cpu")
    assert (composed.model.keys(), composed.fit) == ({"name", "config"}, other.fit)


def test_recipes_that_name_each_other_are_refused(tmp_path):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text(f"{{format: 2, model: {{name: nerv}}, others: '{second}'}}")
    second.write_text(f"{{format: 2, model: {{name: nerv}}, others: '{first}'}}")
    with pytest.raises(ConfigError, match=r"of the recipes .*second.yaml, .*first.yaml lead back to .* for enerv"):
        plan_fit("bunny", "enerv", recipe=str(first), device="cpu")


@pytest.mark.parametrize("family", ["dnerv", "hnerv", "hnerv_boost", "nerv", "rnerv"])
def test_a_preset_names_a_recipe_for_a_family(family):
    recipe = f"quick-{family}".replace("_", "-")
    named, own = (plan_fit("bunny", recipe=name, device="cpu") for name in (recipe, f"{recipe}-0.3m"))
    assert named.model["name"] == family
    for preset in ("quick", "auto"):
        plan = plan_fit("bunny", family, recipe=preset, device="cpu", time_budget=9)
        assert {**plan.model, "size": "~0.5M"} == named.model
        assert (plan.fit.lr, plan.fit.loss) == (named.fit.lr, named.fit.loss)
    assert own.model == {**named.model, "size": "0.3M"}
    for size in ("0.2M", " ~0.2M "):
        sized = plan_fit("bunny", family, size=size, recipe="quick", device="cpu")
        assert sized.model == {**named.model, "size": "~0.2M"}
    with pytest.raises(ConfigError, match=r"got 'big'$"):
        plan_fit("bunny", family, size="big", recipe="quick", device="cpu")
    for height, width in ((720, 1280), (154, 364), (216, 216), (17, 33)):
        assert 450_000 < network(recipe, height, width).stored_numbers < 550_000


def test_a_name_that_is_none_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"no recipe 'enervboost-3m'.*Did you mean 'enerv-boost'"):
        read_recipe("enervboost-3m")


@pytest.mark.parametrize(
    ("optimizer", "message"), [("bnbadam", "is not to be had here"), ("adahessian", "needs second derivatives")]
)
def test_optimizers_that_timm_has_and_a_fit_cannot_use(optimizer, message):
    plan = plan_fit("bunny", "nerv", device="cpu", optimizer=optimizer)
    with pytest.raises(ConfigError, match=message):
        make_optimizer(ez.create_model("nerv", frames=2, height=36, width=64, size="60K"), plan.fit)


@pytest.mark.parametrize("optimizer", ["adam", "adan", "adamw", "lion", "muon", "sgd"])
def test_optimizers_by_timms_names(optimizer):
    plan = plan_fit("bunny", "nerv", device="cpu", optimizer=optimizer)
    video = ez.create_model("nerv", frames=2, height=18, width=32, fc_dim=4, stem_dim=[4], lower_width=2)
    made = make_optimizer(video, plan.fit)
    assert sum(len(group["params"]) for group in made.param_groups) == len(list(video.parameters()))
    betas = made.param_groups[0].get("betas")
    assert betas is None or tuple(betas) == {"adam": (0.5, 0.999), "adan": (0.98, 0.92, 0.99)}.get(optimizer, betas)


def test_betas_of_another_number_are_refused():
    plan = plan_fit("bunny", device="cpu", optimizer="adan", betas=(0.9, 0.999))
    video = ez.create_model("nerv", frames=2, height=18, width=32, fc_dim=4, stem_dim=[4], lower_width=2)
    with pytest.raises(ConfigError, match="'adan': it takes 3 betas, got"):
        make_optimizer(video, plan.fit)
