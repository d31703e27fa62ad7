"""Optimizers by name, schedules and rates by part."""

from __future__ import annotations

import pytest
import torch
from timm.scheduler import CosineLRScheduler

import enerv_zoo as ez
from enerv_zoo.compression.tuning import tuning_recipe
from enerv_zoo.config import CompressConfig, FitConfig, Recipe, from_dict, to_dict
from enerv_zoo.errors import ConfigError
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.fitting.plan import difference, plan_fit
from enerv_zoo.optimizers import Scheduler, make_optimizer
from enerv_zoo.registry import optimizers, schedules
from enerv_zoo.storage.description import FitRecord

FRAMES = torch.randint(0, 256, (4, 3, 18, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def network(name="nerv"):
    own = {"fc_dim": 4, "lower_width": 2}
    own |= {"stem_dim": [4]} if name == "nerv" else {"stem_dim": [8, 4], "block_dim": 4, "mlp_dim": 4}
    return ez.create_model(name, frames=4, height=18, width=32, **own)


def rates_of(schedule, steps=600, **fields):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=fields["lr"])
    scheduler = Scheduler(optimizer, FitConfig(schedule=schedule, **fields), steps)
    seen = []
    for step in [*range(steps), steps - 0.25, steps, steps + 1]:
        scheduler.set_rate(step)
        seen.append(optimizer.param_groups[0]["lr"])
    return seen


@pytest.mark.parametrize(("lr", "warmup"), [(5e-4, 0.2), (1e-3, 0.1), (3e-3, 0.0), (7e-3, 1 / 3)])
@pytest.mark.parametrize("steps", [7, 600])
def test_the_cosine_is_timms_to_the_bit(lr, warmup, steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    theirs = CosineLRScheduler(
        optimizer, t_initial=steps - warmup * steps, warmup_t=warmup * steps, warmup_lr_init=0.1 * lr,
        warmup_prefix=True, t_in_epochs=False,
    )  # fmt: skip
    expected = []
    for step in [*range(steps), steps - 0.25, steps, steps + 1]:
        theirs.step_update(step)
        expected.append(optimizer.param_groups[0]["lr"])
    assert rates_of("cosine", steps, lr=lr, warmup=warmup) == expected


def test_schedules_rise_and_go_their_way():
    for schedule, middle, end in (
        ("linear", 0.5, 0.0),
        ("constant", 1.0, 1.0),
        ({"name": "linear", "floor": 0.5}, 0.75, 0.5),
        ({"name": "cosine", "floor": 0.5}, 0.75, 0.5),
    ):
        seen = rates_of(schedule, 1000, lr=2.0, warmup=0.2)
        assert (seen[0], seen[100], seen[200]) == pytest.approx((0.2, 1.1, 2.0))
        assert (seen[600], seen[-1]) == pytest.approx((2 * middle, 2 * end))
        assert seen[-1] == seen[-2]
    assert rates_of({"name": "constant", "warmup": 0.5}, 10, lr=1.0, warmup=0.0)[:6] == pytest.approx(
        [0.1, 0.28, 0.46, 0.64, 0.82, 1.0]
    )


def test_a_warm_up_has_at_least_so_many_steps_and_leaves_a_schedule():
    for steps, warmup, least, expected in (
        (1000, 0.1, 200, 0.2), (4000, 0.1, 200, 0.1), (300, 0.1, 200, 0.5), (300, 0.7, 200, 0.7), (100, 0.0, 0, 0.0),
    ):  # fmt: skip
        for schedule in ("linear", "cosine", "hinerv"):
            seen = rates_of(schedule, steps, lr=1.0, warmup=warmup, warmup_steps=least)
            assert seen == rates_of(schedule, steps, lr=1.0, warmup=expected)
    own = rates_of({"name": "linear", "warmup": 0.3}, 1000, lr=1.0, warmup_steps=200)
    assert own == rates_of("linear", 1000, lr=1.0, warmup=0.3)
    with pytest.raises(ConfigError, match="'warmup_steps'"):
        plan_fit("bunny", "nerv", device="cpu", warmup_steps=-1)


def test_under_a_time_budget_the_warm_up_has_the_steps_that_there_is_time_for():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    config = FitConfig(lr=1.0, warmup=0.1, warmup_steps=200, schedule="linear", time_budget=60.0)
    scheduler = Scheduler(optimizer, config, 10.0)  # a number that means nothing
    for steps_in_all, warmup in ((1000, 0.2), (4000, 0.1), (300, 0.5)):
        for step in (1, 10, steps_in_all // 3):
            scheduler.set_rate(10.0 * step / steps_in_all, step)
            assert scheduler.warmup == pytest.approx(warmup)
    scheduler.set_rate(10.0 * 100 / 1000, 100)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.55)


@pytest.mark.parametrize("batch", [144, 36])
def test_hinervs_schedule_is_its_authors(golden, batch):
    values = golden("hinerv_losses_and_schedules").tensors
    factor = batch * 80 * 80 / (720 * 1280)
    for phase, lr, warmup in (("main", 2e-3, 0.2), ("prune", 2e-3, 0.0), ("quant", 2e-4, 0.0)):
        expected = values[f"schedule/{phase}_{batch}"]
        seen = rates_of("hinerv", len(expected), lr=lr * factor, warmup=warmup)[: len(expected)]
        torch.testing.assert_close(torch.tensor(seen, dtype=torch.float64), expected.double(), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("schedule", "cosin", r"unknown schedule 'cosin'. Did you mean 'cosine'\?"),
        ("schedule", {"name": "linear", "flor": 1}, "schedule 'linear' has no option 'flor'. Did you mean 'floor'"),
        ("schedule", {"floor": 0.1}, "the schedule is a name, or a name with options"),
        ("schedule", 3, "the schedule is a name"),
        ("optimizer", ["adam"], "the optimizer is a name, or a name with options .*adan"),
        ("rates", {"head": -1}, "'rates.head'"),
        ("rates", 2, "'rates'"),
    ],
)
def test_recipes_that_cannot_be_are_refused_when_they_are_planned(field, value, message):
    with pytest.raises(ConfigError, match=message):
        plan_fit("bunny", "nerv", device="cpu", **{field: value})


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"optimizer": "adem"}, "unknown optimizer 'adem'. Did you mean 'adam'"),
        ({"optimizer": {"name": "adam", "momentum": 1}}, "optimizer 'adam' has no option 'momentum'"),
        ({"optimizer": {"name": "sgd", "momentum": "much"}}, "optimizer 'sgd'"),
        ({"rates": {"heads": 2}}, r"no part 'heads'. Did you mean 'head'\? Its parts: join, stages.0, .*head"),
        ({"rates": {"he": 2}}, "no part 'he'"),
    ],
)
def test_recipes_that_do_not_fit_the_network(recipe, message):
    with pytest.raises(ConfigError, match=message):
        make_optimizer(network(), FitConfig(**recipe))


@pytest.mark.parametrize("b1", [0.8, 0.0])
def test_nesterovs_steps_are_those_of_its_formula(b1):
    torch.manual_seed(0)
    b2, eps, lr = 0.95, 1e-6, 0.01
    weights = [
        torch.nn.Parameter(torch.randn(4, 3)),
        torch.nn.Parameter(torch.randn(5)),
        torch.nn.Parameter(torch.ones(2)),
    ]
    expected = [weight.detach().double() for weight in weights]
    moments = [(torch.zeros_like(each), torch.zeros_like(each)) for each in expected]
    optimizer = optimizers.build({"name": "nesterov_adam", "betas": (b1, b2), "eps": eps}, [{"params": weights}], lr)
    for step in range(1, 31):
        for index, weight in enumerate(weights[:2]):  # the third one has no gradient
            weight.grad = torch.randn_like(weight)
            gradient, (first, second) = weight.grad.double(), moments[index]
            first.mul_(b1).add_(gradient, alpha=1 - b1)
            second.mul_(b2).add_(gradient**2, alpha=1 - b2)
            ahead = (b1 * first + (1 - b1) * gradient) / (1 - b1 ** (2 * step))
            expected[index] -= lr * ahead / ((second / (1 - b2**step)).sqrt() + eps)
        before = [weight.grad.clone() for weight in weights[:2]]
        optimizer.step()
        assert all(torch.equal(weight.grad, each) for weight, each in zip(weights, before, strict=False))
    for weight, each in zip(weights, expected, strict=True):
        torch.testing.assert_close(weight.detach().double(), each, rtol=2e-5, atol=2e-6)
    torch.testing.assert_close(optimizer.state[weights[0]]["exp_avg"].double(), moments[0][0], rtol=1e-4, atol=1e-5)


def test_options_of_an_optimizer_overrule_the_fields():
    config = FitConfig(optimizer={"name": "adamw", "eps": 1e-3, "amsgrad": True}, weight_decay=0.5, betas=(0.1, 0.2))
    (group,) = make_optimizer(network(), config).param_groups
    assert (group["eps"], group["amsgrad"], group["weight_decay"], group["betas"]) == (1e-3, True, 0.5, (0.1, 0.2))
    for name, betas in (("adam", (0.5, 0.999)), ("adamw", None)):
        assert plan_fit("bunny", optimizer={"name": name, "eps": 1e-6}, device="cpu").fit.betas == betas


@pytest.mark.parametrize("optimizer", ["adam", "adan", "muon", "sgd"])
def test_rates_by_part_are_followed(optimizer):
    video = network("enerv")
    rates = {"embeddings": 0.5, "embeddings.space": 0.25, "head": 0.0}
    config = FitConfig(optimizer=optimizer, betas=None, rates=rates, lr=1e-2, warmup=0.0, epochs=2, batch_size=2)
    fitter = Fitter(video, FrameLoader(FRAMES), config)
    groups = fitter.optimizer.param_groups
    assert [group["lr"] for group in groups] == pytest.approx([1e-2, 5e-3, 2.5e-3, 0])
    names = {id(parameter): name for name, parameter in video.named_parameters()}
    grouped = [{names[id(parameter)].split(".")[0] for parameter in group["params"]} for group in groups]
    assert grouped == [{"join", "stages"}, {"embeddings"}, {"embeddings"}, {"head"}]
    assert sum(len(group["params"]) for group in groups) == len(names)
    before = {name: parameter.detach().clone() for name, parameter in video.named_parameters()}
    row = fitter.fit_epoch()
    changed = {name.split(".")[0] for name, parameter in video.named_parameters() if (parameter != before[name]).any()}
    assert changed == {"embeddings", "join", "stages"}
    assert row["lr"] == pytest.approx(max(group["lr"] for group in groups))


@pytest.mark.parametrize(
    "recipe",
    [
        {"rates": {"head": 3.0, "stages.0": 0.5}},
        {"optimizer": "adan", "betas": None},
        {"optimizer": {"name": "soap", "every": 2}, "betas": None, "rates": {"stages.0": 0.5}},
        {"optimizer": "muon_hidden", "betas": None},
    ],
)
def test_a_fit_with_groups_goes_on_to_the_same_bits(recipe):
    def fitter():
        config = FitConfig(epochs=3, batch_size=2, lr=5e-3, precision="float32", **recipe)
        return Fitter(network(), FrameLoader(FRAMES), config)

    whole = fitter()
    for _ in range(3):
        whole.fit_epoch()
    first, second = fitter(), fitter()
    first.fit_epoch()
    second.load_state_dict(first.state_dict())
    for _ in range(2):
        second.fit_epoch()
    ours, theirs = whole.video.state_dict(), second.video.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_registered_ones_are_fitted_with(tmp_path):
    @optimizers.register("signs")
    class Signs(torch.optim.Optimizer):
        def __init__(self, groups, lr, *, strength: float = 1.0):
            super().__init__(groups, {"lr": lr, "strength": strength})

        @torch.no_grad()
        def step(self):
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter -= group["lr"] * group["strength"] * parameter.grad.sign()

    @schedules.register("steps")
    def steps(lr, steps, *, every: float = 0.5):
        return lambda step: lr * 0.1 ** (step // (every * steps))

    rows = []
    options = {"frames": "0:4", "resize": "32x18", "epochs": 2, "batch_size": 2, "loss": "L2", "precision": "float32"}
    for optimizer in ("signs", {"name": "signs", "strength": 2.0}):
        result = ez.fit(
            "bunny", "nerv", optimizer=optimizer, schedule={"name": "steps", "every": 0.5},
            model_options={"fc_dim": 4, "lower_width": 2, "stem_dim": [4]}, out=tmp_path / str(len(rows)), **options,
        )  # fmt: skip
        rows.append(result.history)
    assert [row["lr"] for row in rows[0]] == pytest.approx([5e-4, 5e-5])
    assert rows[0][0]["loss"] != rows[1][0]["loss"]
    with pytest.raises(ConfigError, match="optimizer 'signs' has no option 'weight_decay'"):
        make_optimizer(network(), FitConfig(optimizer="signs", weight_decay=0.1))


def test_a_fit_is_tuned_without_the_package_that_has_its_optimizer(caplog):
    fit = {"optimizer": {"name": "signs", "strength": 2.0}, "betas": None, "rates": {"head": 2.0}, "schedule": "steps"}
    record = FitRecord(Recipe(fit={**fit, "loss": "L1"}), {})
    recipe = tuning_recipe(record, CompressConfig(tune_epochs=2, lr=1e-3))
    assert (recipe.optimizer, recipe.betas, recipe.loss) == ("adam", (0.5, 0.999), "L1")
    assert (recipe.schedule, recipe.rates, recipe.lr) == ("cosine", {}, 1e-3)
    assert "as the fit's own is not here: unknown optimizer 'signs'" in caplog.text


def test_what_builds_something_else_is_named():
    for registry in (optimizers, schedules):
        registry.register("odd")(lambda first, second: 3)
    with pytest.raises(ConfigError, match=r"'odd': .* it gave int, expected a torch\.optim\.Optimizer"):
        make_optimizer(network(), FitConfig(optimizer="odd"))
    with pytest.raises(ConfigError, match=r"'odd': .* it gave int, expected a function from a step to a rate"):
        Scheduler(torch.optim.SGD([torch.zeros(1)], lr=1), FitConfig(schedule="odd"), 10)


def test_records_from_before_these_fields_are_the_same_fit():
    plan = plan_fit("bunny", "nerv", device="cpu")
    record = plan.record()
    assert not {"schedule", "rates"} & record["fit"].keys()
    assert from_dict(FitConfig, record["fit"]) == plan.fit
    other = plan_fit("bunny", "nerv", device="cpu", rates={"head": 2}, schedule={"name": "linear"}).record()
    assert difference(record, other) == (
        "recipe: schedule was not given, now it is {'name': 'linear'}, rates was not given, now it is {'head': 2.0}"
    )
    assert from_dict(FitConfig, to_dict(from_dict(FitConfig, other["fit"]))) == from_dict(FitConfig, other["fit"])
