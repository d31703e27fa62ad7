"""Losses: registered ones with their options, weighted sums of them, and callables of the user's own.

Contract. Built as `loss(height, width, *, options)`; returns a callable (prediction, target) -> scalar tensor for
frames (B, 3, H, W) in [0, 1]: a function, or a module, which is moved to the fit's device. Heads that decode at several
scales call it with smaller frames, too.

A fit's `loss` is one of

    "Fusion6"                                                   a registered loss
    {"name": "charbonnier", "eps": 1e-2}                        one with options
    {"L1": 0.7, "SSIM": 0.3}                                    a weighted sum
    {"L1": 0.7, "charbonnier": {"weight": 0.3, "eps": 1e-2}}    one of terms with options

A mapping whose `name` is a text is the second, any other is a sum.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enerv_zoo.config import LossSpec, Spec, size_text
from enerv_zoo.errors import ConfigError, FitError
from enerv_zoo.metrics import why_no_ms_ssim
from enerv_zoo.registry import losses
from enerv_zoo.ssim import WINDOW as SSIM_WINDOW
from enerv_zoo.ssim import ms_ssim, ssim

logger = logging.getLogger(__name__)

Loss = Callable[[Tensor, Tensor], Tensor]

# ---------------------------------------------------------------------- registered losses


@losses.register("L1")
def l1(height: int, width: int) -> Loss:
    """Mean absolute error."""
    return F.l1_loss


@losses.register("L2")
def l2(height: int, width: int) -> Loss:
    """Mean squared error."""
    return F.mse_loss


@losses.register("charbonnier")
def charbonnier(height: int, width: int, *, eps: float = 1e-3) -> Loss:
    """Mean of sqrt(d^2 + eps^2) of the differences d: L1, smooth near 0 (Charbonnier et al. 1994)."""
    least = _positive(eps) ** 2
    return lambda prediction, target: ((prediction - target).square() + least).sqrt().mean()


@losses.register("rmse")
def rmse(height: int, width: int, *, eps: float = 1e-9) -> Loss:
    """Mean over frames of the root of a frame's mean squared error (plus `eps`, so that exact frames have a gradient).

    Frames that are decoded well weigh more than in L2.
    """
    least = _positive(eps)
    return lambda prediction, target: (_frame_mse(prediction, target) + least).sqrt().mean()


@losses.register("log_mse")
def log_mse(height: int, width: int, *, eps: float = 1e-9) -> Loss:
    """Mean over frames of the natural logarithm of a frame's mean squared error (plus `eps`): -ln(10) / 10 PSNR.

    It raises the mean PSNR over frames, at the cost of the frames that are hardest to decode.
    """
    least = _positive(eps)
    return lambda prediction, target: (_frame_mse(prediction, target) + least).log().mean()


def _frame_mse(prediction: Tensor, target: Tensor) -> Tensor:
    return (prediction - target).square().mean(dim=(1, 2, 3))


def _positive(eps: float) -> float:
    if not eps > 0:
        raise ConfigError(f"eps is more than 0, got {eps:g}")
    return eps


@losses.register("SSIM")
def one_minus_ssim(height: int, width: int, *, window: int = SSIM_WINDOW) -> Loss:
    """1 - SSIM with a Gaussian window (odd, by default 11), data range 1."""
    if min(height, width) < _odd(window):
        raise ConfigError(
            f"SSIM needs both sides of at least {window} pixels, the frames are {size_text(height, width)}; "
            "use a loss without it: L1, L2, Fusion7 or Fusion8"
        )
    return lambda prediction, target: 1 - ssim(prediction, target, window).mean()


@losses.register("MS_SSIM")
def one_minus_ms_ssim(height: int, width: int, *, window: int = SSIM_WINDOW) -> Loss:
    """1 - MS-SSIM, data range 1; a smaller Gaussian window (odd, by default 11) allows for smaller frames."""
    if reason := why_no_ms_ssim(height, width, _odd(window)):
        raise ConfigError(f"{reason}; use a loss without it, such as Fusion6 or L2")
    return lambda prediction, target: 1 - ms_ssim(prediction, target, window).mean()


def _odd(window: int) -> int:
    if window < 3 or window % 2 == 0:
        raise ConfigError(f"the window is odd and at least 3, got {window}")
    return window


@losses.register("frequency")
def frequency_l1(height: int, width: int) -> Loss:
    """Mean absolute difference of the real and imaginary parts of the unnormalised 2-D Fourier transforms."""

    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        difference = torch.fft.fft2(prediction.float() - target.float())  # the transform is linear
        return torch.view_as_real(difference).abs().mean()

    return loss


SUMS: dict[str, dict[str, float]] = {
    "Fusion1": {"L2": 0.3, "SSIM": 0.7},
    "Fusion2": {"L1": 0.3, "SSIM": 0.7},
    "Fusion3": {"L2": 0.5, "SSIM": 0.5},
    "Fusion4": {"L1": 0.5, "SSIM": 0.5},
    "Fusion5": {"L2": 0.7, "SSIM": 0.3},
    "Fusion6": {"L1": 0.7, "SSIM": 0.3},
    "Fusion7": {"L2": 0.7, "L1": 0.3},
    "Fusion8": {"L2": 0.5, "L1": 0.5},
    "Fusion9": {"L1": 0.9, "SSIM": 0.1},
    "Fusion10": {"L1": 0.7, "MS_SSIM": 0.3},
    "Fusion11": {"L1": 0.9, "MS_SSIM": 0.1},
    "Fusion12": {"L1": 0.8, "MS_SSIM": 0.2},
    "Fusion10_freq": {"L1": 42.0, "MS_SSIM": 18.0, "frequency": 1.0},
}
"""Weighted sums under the names of the E-NeRV and HNeRV code bases; Fusion10_freq is 60 Fusion10 plus the frequency."""

# ---------------------------------------------------------------------- losses from plain data


def build_loss(loss: LossSpec, height: int, width: int) -> Loss:
    """Build the loss that a fit's `loss` describes, for frames of this size.

    Raises:
        ConfigError: an unknown name or option, or frames too small for it.
    """
    terms = [(weight, _build_one(spec, height, width)) for weight, spec in _terms(loss)]
    built: Loss = WeightedSum(terms) if _is_sum(loss) else terms[0][1]
    if isinstance(built, nn.Module):
        built.requires_grad_(False)  # a fit has no use for gradients by a loss's own weights
    return built


def _build_one(spec: Spec, height: int, width: int) -> Loss:
    built = losses.build(spec, height, width)
    if not callable(built):
        raise ConfigError(
            f"loss {spec['name']!r}: called with the height and width of frames, it gave {type(built).__name__}, "
            "expected a callable (prediction, target) -> scalar tensor"
        )
    return built


def check_loss(loss: LossSpec) -> None:
    """Refuse names and options that no registered loss has.

    Raises:
        ConfigError: says what is wrong and what would be legal.
    """
    for _, spec in _terms(loss):
        losses.check_options(spec["name"], {key: value for key, value in spec.items() if key != "name"})


def _is_sum(loss: LossSpec) -> bool:
    return not isinstance(loss, str) and not isinstance(loss.get("name"), str)


def _terms(loss: LossSpec) -> list[tuple[float, Spec]]:
    """The weights and specs of a sum in the order of names: the order they are written in changes no bit."""
    if isinstance(loss, str):
        return [(1.0, {"name": loss})]
    if not _is_sum(loss):
        return [(1.0, dict(loss))]
    terms = []
    for name, term in sorted(loss.items()):
        options = dict(term) if isinstance(term, Mapping) else {"weight": term}
        terms.append((options.pop("weight"), {**options, "name": name}))
    return terms


class WeightedSum(nn.Module):
    """The sum of weights times losses; a module, so that those of its terms that are modules move with it."""

    def __init__(self, terms: Sequence[tuple[float, Loss]]) -> None:
        super().__init__()
        self.terms = list(terms)
        self.modules_among_terms = nn.ModuleList(term for _, term in terms if isinstance(term, nn.Module))

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The scalar for frames (B, 3, H, W) in [0, 1]."""
        values = [weight * term(prediction, target) for weight, term in self.terms]
        return sum(values[1:], values[0])


def _builder(terms: dict[str, float]) -> Callable[[int, int], Loss]:
    def build(height: int, width: int) -> Loss:
        return build_loss(terms, height, width)

    build.__doc__ = " + ".join(f"{weight:g} {name}" for name, weight in terms.items())
    return build


for _name, _sum in SUMS.items():
    losses.register(_name)(_builder(_sum))

# ---------------------------------------------------------------------- losses in a fit


def ready_loss(loss: Loss, device: torch.device) -> Loss:
    """A built loss, on a device if it is a module, and with a clear error where it gives no scalar with a gradient."""
    if isinstance(loss, nn.Module):
        loss.to(device)

    def checked(prediction: Tensor, target: Tensor) -> Tensor:
        value = loss(prediction, target)
        if not isinstance(value, Tensor) or value.ndim:
            shape = f"a tensor of {tuple(value.shape)}" if isinstance(value, Tensor) else f"{type(value).__name__}"
            raise FitError(
                f"the loss gave {shape}, expected a scalar tensor, such as the mean over all frames and pixels"
            )
        if prediction.requires_grad and torch.is_grad_enabled() and not value.requires_grad:
            raise FitError(
                "the loss has no gradient by the prediction; compute it from that by PyTorch's own functions"
            )
        return value

    return checked


@contextmanager
def lent(loss: Loss | None, device: str) -> Iterator[None]:
    """Have a module of the user's own on a device while the block runs, its parameters frozen; then give it back.

    Its mode (`train()` or `eval()`) is the user's choice and stays. Afterwards its tensors are on the devices they came
    from, with what the module itself changed in its buffers, and its parameters require gradients as before.

    Args:
        loss: a module, or a method of one; of anything else nothing is known and nothing changed.
        device: where the fit computes.
    """
    module = getattr(loss, "__self__", loss)
    if not isinstance(module, nn.Module):
        yield
        return
    homes = {name: tensor.device for name, tensor in _named_tensors(module)}
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if trainable:
        logger.info("the loss has %d trainable tensors, which a fit leaves as they are", len(trainable))
    try:
        for parameter in trainable:
            parameter.requires_grad_(False)
        module.to(device)
        yield
    finally:
        home = next(iter(homes.values()), torch.device("cpu"))
        module.to(home)
        for name, tensor in _named_tensors(module):
            if homes.get(name, home) != home:  # of a module on several devices
                owner, _, key = name.rpartition(".")
                if isinstance(tensor, nn.Parameter):
                    tensor.data = tensor.data.to(homes[name])
                else:
                    module.get_submodule(owner)._buffers[key] = tensor.to(homes[name])
        for parameter in trainable:
            parameter.requires_grad_(True)


def _named_tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]
