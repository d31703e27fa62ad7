"""Parts of fits: losses, optimizers, schedules and metrics."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enerv_zoo import registry
from enerv_zoo.config import VideoInfo, as_spec
from enerv_zoo.optimizers.groups import SCALE
from enerv_zoo.testing.parts import PartTests, random_frames, random_tensor
from enerv_zoo.threads import seeded_generator

STEPS = 6


class LossTests(PartTests):
    """A loss.

    Attributes:
        size: (H, W) of frames that it allows.
    """

    registry = registry.losses
    size: ClassVar[tuple[int, int]] = (32, 48)

    def frames(self, seed: int) -> Tensor:
        """Return two frames (2, 3, H, W) in [0, 1]."""
        return random_frames(2, 3, *self.size, seed=seed)

    def test_it_is_a_scalar_with_a_gradient(self) -> None:
        prediction = self.frames(0).requires_grad_()
        value = self.build(*self.size)(prediction, self.frames(1))
        assert isinstance(value, Tensor)
        assert value.ndim == 0, f"expected a scalar, got {tuple(value.shape)}"
        assert value.isfinite()
        value.backward()
        assert prediction.grad is not None
        assert prediction.grad.isfinite().all()
        assert prediction.grad.any(), "the gradient is zero"

    def test_nothing_is_better_than_the_frames_themselves(self) -> None:
        loss = self.build(*self.size)
        for prediction, target in ((self.frames(0), self.frames(1)), (self.frames(1), self.frames(0))):
            assert float(loss(target, target)) <= float(loss(prediction, target))

    def test_it_is_finite_where_the_frames_agree(self) -> None:
        prediction = self.frames(1).requires_grad_()
        self.build(*self.size)(prediction, self.frames(1)).backward()
        assert prediction.grad is not None
        assert prediction.grad.isfinite().all()

    def test_it_is_a_function_of_the_frames_alone(self) -> None:
        loss = self.build(*self.size)
        first = loss(self.frames(0), self.frames(1))
        loss(self.frames(2), self.frames(3))
        assert torch.equal(loss(self.frames(0), self.frames(1)), first)
        assert torch.equal(self.build(*self.size)(self.frames(0), self.frames(1)), first)


class OptimizerTests(PartTests):
    """An optimizer.

    Attributes:
        lr: a rate at which it gets on within some steps.
    """

    registry = registry.optimizers
    lr: ClassVar[float] = 1e-2

    def _start(self, scales: tuple[float, ...] = (1.0,)) -> tuple[nn.Sequential, torch.optim.Optimizer]:
        with seeded_generator(0):
            network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.GELU(), nn.Conv2d(4, 3, 1))
        parts = [network] if len(scales) == 1 else [network[0], network[2]]
        groups: list[dict[str, Any]] = [
            {"params": list(part.parameters()), "lr": scale * self.lr, SCALE: scale}
            for part, scale in zip(parts, scales, strict=True)
        ]
        return network, self.build(groups, self.lr)

    def _steps(self, network: nn.Module, optimizer: torch.optim.Optimizer, steps: int = STEPS) -> list[float]:
        x, target, losses = random_tensor(2, 3, 6, 6), random_tensor(2, 3, 6, 6, seed=1), []
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            loss = F.mse_loss(network(x), target)
            loss.backward()
            optimizer.step()
            losses.append(float(loss))
        return losses

    def test_it_lowers_the_loss(self) -> None:
        network, optimizer = self._start()
        assert isinstance(optimizer, torch.optim.Optimizer)
        losses = self._steps(network, optimizer, 5 * STEPS)
        assert losses[-1] < losses[0]

    def test_groups_keep_their_order_their_keys_and_their_rates(self) -> None:
        network, optimizer = self._start((1.0, 0.0))
        assert [group[SCALE] for group in optimizer.param_groups] == [1.0, 0.0]
        assert [group["lr"] for group in optimizer.param_groups] == [self.lr, 0.0]
        first, last = ([p.detach().clone() for p in network[place].parameters()] for place in (0, 2))
        self._steps(network, optimizer)
        assert any(not torch.equal(p, q) for p, q in zip(network[0].parameters(), first, strict=True))
        for parameter, before in zip(network[2].parameters(), last, strict=True):
            assert torch.equal(parameter, before), "a rate of 0 changes parameters"

    def test_it_goes_on_from_its_state_to_the_same_bits(self) -> None:
        network, optimizer = self._start()
        self._steps(network, optimizer)
        twin, other = self._start()
        twin.load_state_dict(copy.deepcopy(network.state_dict()))
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        assert self._steps(network, optimizer) == self._steps(twin, other)
        for one, two in zip(network.parameters(), twin.parameters(), strict=True):
            assert torch.equal(one, two)


class ScheduleTests(PartTests):
    """A schedule of the rate."""

    registry = registry.schedules

    def build(self, *sizes: Any) -> Any:
        spec = as_spec(self.part)
        if "warmup" in self.registry.options(spec["name"]):
            spec.setdefault("warmup", 0.2)
        return self.registry.build(spec, *sizes)

    def test_rates_are_from_zero_to_the_peak(self) -> None:
        for steps in (1, 7, 100):
            rate = self.build(2e-3, steps)
            rates = [rate(step) for step in (*range(steps + 1), steps / 3)]
            assert all(0 <= each <= 2e-3 * (1 + 1e-9) for each in rates), rates
            assert max(rates) > 0

    def test_a_rate_depends_on_its_step_alone(self) -> None:
        rate, again = self.build(2e-3, 50), self.build(2e-3, 50)
        forward = [rate(step / 2) for step in range(101)]
        assert [again(step / 2) for step in reversed(range(101))] == forward[::-1]


class MetricTests(PartTests):
    """A metric.

    Attributes:
        size: (H, W) of frames that have a score.
    """

    registry = registry.metrics
    size: ClassVar[tuple[int, int]] = (32, 48)

    def frames(self, seed: int) -> Tensor:
        """Return three frames (3, 3, H, W) in [0, 1]."""
        return random_frames(3, 3, *self.size, seed=seed)

    def test_it_says_what_its_scores_are_before_it_is_built(self) -> None:
        kind: Any = self.registry.get(as_spec(self.part)["name"])
        assert isinstance(kind.unit, str)
        assert kind.better in ("higher", "lower")
        assert kind.scope in ("frame", "clip")

    def test_frames_have_scores(self) -> None:
        metric = self.build()
        info = VideoInfo(frames=3, height=self.size[0], width=self.size[1])
        assert metric.missing(info) is None
        scores = metric(self.frames(0), self.frames(1))
        assert tuple(scores.shape) == ((3,) if metric.scope == "frame" else ())
        assert scores.isfinite().all()
        tiny = metric.missing(VideoInfo(frames=3, height=1, width=1))
        assert tiny is None or isinstance(tiny, str)

    def test_nothing_scores_better_than_the_frames_themselves(self) -> None:
        metric = self.build()
        for target, other in ((self.frames(0), self.frames(1)), (self.frames(1), self.frames(0))):
            best, worse = metric(target, target), metric(other, target)
            assert bool((best >= worse if metric.better == "higher" else best <= worse).all())

    def test_scores_depend_on_the_frames_alone(self) -> None:
        metric, prediction, target = self.build(), self.frames(0), self.frames(1)
        scores = metric(prediction, target)
        metric(self.frames(2), self.frames(3))
        assert torch.equal(metric(prediction, target), scores)
        if metric.scope == "frame":
            torch.testing.assert_close(metric(prediction[1:2], target[1:2]), scores[1:2], rtol=1e-4, atol=1e-5)
