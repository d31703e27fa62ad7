"""Parts of networks: embeddings, joins, modulations, blocks and heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enerv_zoo import registry
from enerv_zoo.coding import coding_hints
from enerv_zoo.config import VideoInfo
from enerv_zoo.content import frames_around
from enerv_zoo.meta import MetaParameters
from enerv_zoo.precision import computing
from enerv_zoo.testing.parts import PartTests, random_frames, random_tensor
from enerv_zoo.threads import seeded_generator

BATCH = 3
RTOL, ATOL = 1e-4, 1e-5


class NetworkPartTests(PartTests):
    """A part that is an `nn.Module`."""

    def make(self) -> nn.Module:
        """Build it as a network does."""
        raise NotImplementedError

    def inputs(self) -> list[Tensor]:
        """Return what it is called with, `BATCH` frames of each."""
        raise NotImplementedError

    def run(self, part: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the tensors that it makes of inputs."""
        return [part(*inputs)]

    def _seeded(self, seed: int) -> nn.Module:
        with seeded_generator(seed):
            return self.make()

    def test_the_same_seed_gives_the_same_part(self) -> None:
        first, again = self._seeded(0), self._seeded(0)
        assert first.state_dict().keys() == again.state_dict().keys()
        _assert_same(first.state_dict().values(), again.state_dict().values())
        _assert_same(self.run(first, self.inputs()), self.run(again, self.inputs()))

    def test_it_is_counted_without_numbers(self) -> None:
        """Networks are counted and checked before their weights are made: `__init__` reads no value of theirs."""
        with MetaParameters():
            counted = self.make()
        sizes = {name: tensor.shape for name, tensor in self._seeded(0).state_dict().items()}
        assert {name: tensor.shape for name, tensor in counted.state_dict().items()} == sizes

    def test_it_goes_on_from_its_state_to_the_same_bits(self) -> None:
        first, second = self._seeded(0).eval(), self._seeded(1).eval()
        second.load_state_dict(first.state_dict())
        _assert_same(self.run(first, self.inputs()), self.run(second, self.inputs()))

    def test_every_parameter_gets_a_finite_gradient(self) -> None:
        part = self._seeded(0)
        outputs = self.run(part, self.inputs())
        parameters = dict(part.named_parameters())
        if parameters:
            sum((output * random_tensor(*output.shape)).sum() for output in outputs).backward()  # type: ignore[union-attr]
        for name, parameter in parameters.items():
            assert parameter.grad is not None, f"{name} has no gradient"
            assert parameter.grad.isfinite().all(), f"the gradient of {name} is not finite"

    def test_frames_do_not_depend_on_the_others_of_a_batch(self) -> None:
        part, inputs = self._seeded(0).eval(), self.inputs()
        for number, whole in enumerate(self.run(part, inputs)):
            alone = self.run(part, [each[-1:] for each in inputs])[number]
            torch.testing.assert_close(alone, whole[-1:], rtol=RTOL, atol=ATOL)

    def test_its_coding_hints_are_of_its_own_tensors(self) -> None:
        holder = nn.ModuleDict({"part": self._seeded(0)})
        tensors = dict(holder.named_parameters())
        hints = coding_hints(holder)
        assert hints.keys() == tensors.keys(), "coding_hints names tensors that it does not have"
        for name, hint in hints.items():
            assert hint.axis is None or 0 <= hint.axis < tensors[name].ndim, f"{name} has no axis {hint.axis}"


class BlockTests(NetworkPartTests):
    """A block: feature map -> larger feature map.

    Attributes:
        in_channels, out_channels, stride: that it is told.
        size: (H, W) of its input.
    """

    registry = registry.blocks
    in_channels: ClassVar[int] = 6
    out_channels: ClassVar[int] = 4
    stride: ClassVar[int] = 2
    size: ClassVar[tuple[int, int]] = (3, 5)

    def make(self) -> nn.Module:
        return self.build(self.in_channels, self.out_channels, self.stride)

    def inputs(self) -> list[Tensor]:
        return [random_tensor(BATCH, self.in_channels, *self.size)]

    def test_shapes(self) -> None:
        for in_channels, out_channels, stride in (
            (self.in_channels, self.out_channels, self.stride),
            (self.out_channels, self.in_channels, 1),
            (self.in_channels, self.in_channels, 3),
        ):
            x = random_tensor(2, in_channels, *self.size)
            expected = (2, out_channels, stride * self.size[0], stride * self.size[1])
            _assert_tensor(self.build(in_channels, out_channels, stride)(x), expected)


class EmbeddingTests(NetworkPartTests):
    """An embedding: frame index -> a vector or a feature map.

    Attributes:
        info: the video.
        grid: (h, w) of the first feature map.
    """

    registry = registry.embeddings
    info: ClassVar[VideoInfo] = VideoInfo(frames=5, height=16, width=24)
    grid: ClassVar[tuple[int, int]] = (4, 6)

    def make(self) -> nn.Module:
        return self.build(self.info, self.grid)

    def inputs(self) -> list[Tensor]:
        return [torch.tensor([0.0, 1.5, self.info.frames - 1], dtype=torch.float64)]

    def run(self, part: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
        (index,) = inputs
        return [part(index).expand(len(index), *part.shape)]  # type: ignore[misc]

    def test_shapes(self) -> None:
        part: Any = self.make()
        assert len(part.shape) in (1, 3), f"an embedding is a vector (C,) or a map (C, h, w), not {part.shape}"
        (index,) = self.inputs()
        _assert_tensor(part(index), (1 if part.fixed else len(index), *part.shape))

    def test_content_is_encoded_and_baked(self) -> None:
        part: Any = self.make()
        if not hasattr(part, "start_encoding"):
            return
        part.start_encoding()
        assert part.encoder is not None
        frames = random_frames(self.info.frames, 3, self.info.height, self.info.width)
        offsets = getattr(part, "neighbours", ())
        around = (frames_around(frames, torch.arange(len(frames)), offsets),) if offsets else ()
        table = part.encode(frames, *around)
        _assert_tensor(table, (self.info.frames, *part.shape))
        table.sum().backward()
        assert all(parameter.grad is not None for parameter in part.encoder.parameters())
        part.bake(table)
        assert part.encoder is None
        torch.testing.assert_close(part(torch.arange(self.info.frames).double()), table.detach())


class JoinTests(NetworkPartTests):
    """A join: embeddings -> the first feature map.

    Attributes:
        shapes: of the embeddings that it takes, without the batch.
        channels: of the map that it makes.
        grid: (h, w) of that map.
    """

    registry = registry.fusion
    shapes: ClassVar[Sequence[tuple[int, ...]]]
    channels: ClassVar[int] = 4
    grid: ClassVar[tuple[int, int]] = (3, 5)

    def make(self) -> nn.Module:
        return self.build(list(self.shapes), self.channels, self.grid)

    def inputs(self) -> list[Tensor]:
        return [random_tensor(BATCH, *shape, seed=seed) for seed, shape in enumerate(self.shapes)]

    def test_shapes(self) -> None:
        part: Any = self.make()
        assert part.role == "join"
        _assert_tensor(part(*self.inputs()), (BATCH, self.channels, *self.grid))


class ModulationTests(NetworkPartTests):
    """A modulation: a feature map, changed by embeddings.

    Attributes:
        shapes: of the embeddings that it takes, without the batch.
        channels: of the map.
        size: (H, W) of the map.
    """

    registry = registry.fusion
    shapes: ClassVar[Sequence[tuple[int, ...]]]
    channels: ClassVar[int] = 4
    size: ClassVar[tuple[int, int]] = (3, 5)

    def make(self) -> nn.Module:
        return self.build(self.channels, self.size, list(self.shapes))

    def inputs(self) -> list[Tensor]:
        maps = random_tensor(BATCH, self.channels, *self.size)
        return [maps, *(random_tensor(BATCH, *shape, seed=seed) for seed, shape in enumerate(self.shapes, start=1))]

    def test_shapes(self) -> None:
        part: Any = self.make()
        assert part.role == "modulate"
        _assert_tensor(part(*self.inputs()), (BATCH, self.channels, *self.size))

    def test_a_map_in_bfloat16_is_taken(self) -> None:
        """As a block before it gives one, where the device is fast in it."""
        part: Any = self.make()
        x, *embedded = self.inputs()
        with computing(torch.device("cpu"), "bfloat16" if getattr(part, "convolves", False) else "float32"):
            _assert_tensor(part(x.bfloat16(), *embedded).float(), (BATCH, self.channels, *self.size))

    def test_every_embedding_changes_the_map(self) -> None:
        part, inputs = self._seeded(0).eval(), self.inputs()
        before = part(*inputs)
        for place in range(1, len(inputs)):
            other = [*inputs[:place], inputs[place] + 1, *inputs[place + 1 :]]
            assert not torch.equal(part(*other), before), f"embedding {place} of its 'with' changes nothing"


class HeadTests(NetworkPartTests):
    """A head: feature maps -> RGB.

    Attributes:
        channels: of the feature map after each stage; each is twice as large as the one before.
        shapes: of the embeddings that it takes, without the batch.
        size: (h, w) of the first of these maps.
    """

    registry = registry.heads
    channels: ClassVar[Sequence[int]] = (6, 5, 4)
    shapes: ClassVar[Sequence[tuple[int, ...]]] = ()
    size: ClassVar[tuple[int, int]] = (2, 3)

    def make(self) -> nn.Module:
        return self.build(list(self.channels), list(self.shapes))

    def inputs(self) -> list[Tensor]:
        maps = [
            random_tensor(BATCH, width, self.size[0] << stage, self.size[1] << stage)
            for stage, width in enumerate(self.channels)
        ]
        return [*maps, *(random_tensor(BATCH, *shape, seed=seed) for seed, shape in enumerate(self.shapes, start=1))]

    def run(self, part: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
        stages = len(self.channels)
        return part(inputs[:stages], *inputs[stages:])

    def _outputs(self, part: Any) -> list[Tensor]:
        output = self.run(part, self.inputs())
        around = getattr(part, "neighbours", ())
        if not around:
            return output
        return part.aggregate(output, random_frames(BATCH, len(around), *output[0].shape[1:]))

    def test_frames_are_finite_and_have_their_size(self) -> None:
        part: Any = self.make()
        factor = getattr(part, "stride", 1) << (len(self.channels) - 1)
        outputs = self._outputs(part)
        _assert_tensor(outputs[-1], (BATCH, 3, factor * self.size[0], factor * self.size[1]))
        for output in outputs:
            assert output.shape[1] == 3
        wild = [100 * each for each in self.inputs()]
        if not getattr(part, "neighbours", ()):
            frame = self.run(part, wild)[-1]
            assert frame.isfinite().all()

    def test_its_objective_is_a_scalar_with_a_gradient(self) -> None:
        part: Any = self.make()
        outputs = self._outputs(part)
        objective = part.objective(outputs, random_frames(*outputs[-1].shape), F.mse_loss)
        assert objective.ndim == 0
        assert objective.isfinite()
        objective.backward()
        assert any(parameter.grad is not None and parameter.grad.any() for parameter in part.parameters())


def _assert_tensor(tensor: Any, shape: tuple[int, ...]) -> None:
    assert isinstance(tensor, Tensor), f"expected a tensor, got {type(tensor).__name__}"
    assert tuple(tensor.shape) == shape, f"expected {shape}, got {tuple(tensor.shape)}"
    assert tensor.dtype == torch.float32, f"expected float32, got {tensor.dtype}"
    assert tensor.isfinite().all(), "some values are not finite"


def _assert_same(ours: Any, theirs: Any) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one, other), "the bits differ"
