"""Code bases: how the checkpoints of others' code become networks of this package.

Contract. Built as `codebase()`: a class with the methods of `Codebase`, or a function that returns an object of one.
The built-in ones are those of papers whose networks are families here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from enerv_zoo.composition import ModelConfig
from enerv_zoo.config import VideoInfo
from enerv_zoo.embeddings import SpatialEmbedding
from enerv_zoo.errors import ConfigError
from enerv_zoo.interop import dnerv, hinerv, names
from enerv_zoo.network import Network
from enerv_zoo.registry import codebases
from enerv_zoo.zoo import model_config


class Codebase(Protocol):
    """One code base's configs and tensor names."""

    def recognises(self, config: Mapping[str, Any], tensors: Collection[str]) -> bool:
        """Return whether a config, and a checkpoint with tensors of these names, are of this code base."""
        ...

    def model(self, config: Mapping[str, Any], info: VideoInfo) -> ModelConfig:
        """Return the composition of a config's network for a video.

        Raises:
            ConfigError: an option is missing, or means nothing here.
        """
        ...

    def tensors(self, network: Network, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a checkpoint's tensors by the names that they have in the network.

        Raises:
            ConfigError: a tensor has no place in the network.
        """
        ...


@dataclass(frozen=True)
class FamilyCodebase:
    """A code base whose networks are families of this package.

    Attributes:
        own: whether a config is of this code base.
        options: config -> family and its options.
        renaming: tensor names of each family.
        prepare: the network's config and a checkpoint's tensors -> those tensors as the network has them, by names that
            `renaming` knows; `None` where only names differ.
    """

    own: Callable[[Mapping[str, Any]], bool]
    options: Callable[[Mapping[str, Any]], tuple[str, dict[str, Any]]]
    renaming: Mapping[str, names.Renaming]
    prepare: Callable[[ModelConfig, Mapping[str, Tensor]], dict[str, Tensor]] | None = None

    def recognises(self, config: Mapping[str, Any], tensors: Collection[str]) -> bool:
        return self.own(config)

    def model(self, config: Mapping[str, Any], info: VideoInfo) -> ModelConfig:
        family, options = self.options(config)
        return model_config(family, info, **options)

    def tensors(self, network: Network, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        state = dict(state) if self.prepare is None else self.prepare(network.config, state)
        _check_grid(network, state.pop("xy_coord", None))
        return _rename(network, state, self.renaming[network.config.family])


@codebases.register("e-nerv")
def e_nerv() -> Codebase:
    """E-NeRV and its NeRV baseline."""
    return FamilyCodebase(
        lambda config: config.get("model_name") in ("E_NeRV", "NeRV"),
        names.enerv,
        {"enerv": names.ENERV_NAMES, "nerv": names.NERV_NAMES},
    )


@codebases.register("nerv")
def nerv() -> Codebase:
    """NeRV as published first."""
    return FamilyCodebase(
        lambda config: {"embed", "fc_hw_dim"} <= config.keys() and not {"model_name", "t_dim"} & config.keys(),
        names.nerv,
        {"nerv": names.NERV_NAMES},
    )


@codebases.register("ffnerv")
def ffnerv() -> Codebase:
    """FFNeRV."""
    return FamilyCodebase(lambda config: "t_dim" in config, names.ffnerv, {"ffnerv": names.FFNERV_NAMES})


@codebases.register("hnerv")
def hnerv() -> Codebase:
    """HNeRV and its NeRV baseline."""
    return FamilyCodebase(
        lambda config: "dec_strds" in config and "model" not in config,
        names.hnerv,
        {"hnerv": names.HNERV_NAMES, "hnerv_nerv": names.HNERV_NERV_NAMES},
    )


@codebases.register("boosting-nerv")
def boosting_nerv() -> Codebase:
    """Boosting-NeRV: NeRV, E-NeRV and HNeRV, boosted."""
    return FamilyCodebase(
        lambda config: str(config.get("model", "")).endswith("NeRV_Boost"),
        names.boosting,
        {
            "nerv_boost": names.NERV_BOOST_NAMES,
            "enerv_boost": names.ENERV_BOOST_NAMES,
            "hnerv_boost": names.HNERV_BOOST_NAMES,
        },
    )


@codebases.register("hinerv")
def hi_nerv() -> Codebase:
    """HiNeRV; its training checkpoints too, whose pruned weights are set to 0."""
    return FamilyCodebase(
        lambda config: config.get("model") == "HiNeRV", hinerv.options, {"hinerv": hinerv.NAMES}, hinerv.prepare
    )


@codebases.register("dnerv")
def d_nerv() -> Codebase:
    """DNeRV."""
    return FamilyCodebase(lambda config: config.get("model_name") == "D_NeRV", dnerv.options, {"dnerv": dnerv.NAMES})


def choose_codebase(name: str | None, config: Mapping[str, Any], tensors: Collection[str]) -> Codebase:
    """Return the code base of that name; or, without one, the only one that recognises config and tensors.

    Raises:
        ConfigError: there is none of that name, or not one alone.
    """
    if name is not None:
        return codebases.build({"name": name})
    bases = {each: codebases.build({"name": each}) for each in codebases.names()}
    fitting = [each for each, codebase in bases.items() if codebase.recognises(config, tensors)]
    if len(fitting) != 1:
        which = f"{' and '.join(fitting)} recognise" if fitting else "no code base recognises"
        raise ConfigError(f"{which} this config; name one (codebase, --codebase) of {', '.join(bases)}")
    return bases[fitting[0]]


def _check_grid(network: Network, grid: Tensor | None) -> None:
    """The authors keep E-NeRV's coordinates as a parameter; here they follow from the config, so they must agree."""
    if grid is None:
        return
    space = dict(network.embeddings.items()).get("space")
    ours = space.coordinates if isinstance(space, SpatialEmbedding) else torch.empty(0)
    if grid.shape != ours.shape or not torch.allclose(grid.float(), ours, rtol=0, atol=1e-6):
        raise ConfigError("the checkpoint's 'xy_coord' is not the regular grid of its config's 'fc_hw_dim'")


def _rename(network: Network, state: Mapping[str, Tensor], renaming: names.Renaming) -> dict[str, Tensor]:
    ours = network.state_dict()
    renamed = {}
    for name, tensor in state.items():
        for pattern, replacement in renaming:
            if match := re.fullmatch(pattern, name):
                place = _placed(network, match.expand(replacement))
                break
        else:
            raise ConfigError(f"the checkpoint's tensor {name!r} has no place in {network.config.family!r}")
        if not place:
            continue
        shape = ours[place].shape if place in ours else tensor.shape
        if {tensor.ndim, len(shape)} == {2, 4} and (1, 1) in (tensor.shape[2:], shape[2:]):
            tensor = tensor.flatten(1) if tensor.ndim == 4 else tensor[:, :, None, None]  # convolves single pixels
        renamed[place] = tensor
    return renamed


def _placed(network: Network, name: str) -> str:
    """Place a part that authors number through all stages: `blocks` and `after` (`...1`: from 1 on), `heads`."""
    kind, _, rest = name.partition(".")
    if kind not in ("blocks", "blocks1", "after", "after1", "heads"):
        return name
    text, _, rest = rest.partition(".")
    if kind == "heads":
        last = len(network.config.stages) - 1
        part = {"multiscale": f"convs.{text}", "flow_guided": "frame" if int(text) == last else "flow"}
        return f"head.{part.get(network.config.head['name'], 'conv')}.{rest}"
    places = [
        f"stages.{stage}.{place}" if kind.startswith("blocks") else f"stages.{stage}.{place + 1}"
        for stage, steps in enumerate(network.config.stages)
        for place, step in enumerate(steps)
        if "with" not in step
    ]
    number = int(text) - kind.endswith("1")
    return f"{places[number]}.{rest}" if 0 <= number < len(places) else name
