"""The loop against the authors' own, step by step."""

from __future__ import annotations

import pytest
import torch

from enerv_zoo.config import FitConfig
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.interop import import_checkpoint
from enerv_zoo.metrics import psnr
from enerv_zoo.optimizers import Scheduler


def test_fit_follows_the_authors_loop_step_by_step(golden):
    values = golden("fit_enerv")
    frames = values.tensors["input/frames"]
    video = import_checkpoint(values.state, codebase="e-nerv", config=values.config, frames=8, height=144, width=176)
    fitter = Fitter(video, FrameLoader(frames), FitConfig(epochs=3, shuffle=False, precision="float32"))
    losses, rates = [], []
    for index in [*torch.arange(8)] * 3:
        before = fitter.meter.sums[0].item()
        fitter.fit_batch(index[None], frames[index][None])
        losses.append(fitter.meter.sums[0].item() - before)
        rates.append(fitter.optimizer.param_groups[0]["lr"])
        if fitter.step == fitter.steps:
            fitter.epoch, fitter.step = fitter.epoch + 1, 0
    torch.testing.assert_close(torch.tensor(rates).double(), values.tensors["history/lr"], rtol=1e-6, atol=0)
    torch.testing.assert_close(torch.tensor(losses).double(), values.tensors["history/loss"], rtol=1e-5, atol=0)
    with torch.inference_mode():
        drawn = video.eval()(torch.arange(8))
    torch.testing.assert_close(psnr(drawn, frames / 255), values.tensors["output/psnr"], rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("name", "lr", "warmup"), [("enerv_warmup_cosine", 5e-4, 0.2), ("hnerv_cosine_0.1_1_0.1", 1e-3, 0.1)]
)
def test_schedule_is_the_authors(golden, name, lr, warmup):
    values = golden("losses_and_schedules").tensors
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = Scheduler(optimizer, FitConfig(lr=lr, warmup=warmup), steps=600)
    rates = []
    for step in values["schedule/step"].tolist():
        scheduler.set_rate(step)
        rates.append(optimizer.param_groups[0]["lr"])
    torch.testing.assert_close(torch.tensor(rates).double(), values[f"schedule/{name}"], rtol=1e-6, atol=1e-12)
