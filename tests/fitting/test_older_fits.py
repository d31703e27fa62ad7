"""Fits that were begun with earlier versions are gone on with."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file

import enerv_zoo as ez
from enerv_zoo.compatibility import current_names

BEGUN = Path(__file__).parent.parent / "fixtures" / "checkpoint-format-1"
"""A fit of the version of 2026-11-24, stopped in its third epoch, and the weights with which that version ended it."""

NARROW = {"fc_dim": 4, "stem_dim": [8], "lower_width": 4}


def test_a_fit_of_format_1_ends_with_the_weights_that_its_version_gave_it(tmp_path):
    folder = tmp_path / "fit"
    shutil.copytree(BEGUN, folder, ignore=shutil.ignore_patterns("ended.safetensors"))
    result = ez.fit(
        "bunny", model="nerv", model_options=NARROW, frames="0:4", resize="64x36", epochs=3, batch_size=2, lr=5e-3,
        checkpoint_every=0, precision="float32", out=folder, resume=True,
    )  # fmt: skip
    assert [row["epoch"] for row in result.history] == [1, 2, 3]
    ended = current_names(result.video.config, load_file(BEGUN / "ended.safetensors"))
    for name, tensor in result.video.state_dict().items():
        torch.testing.assert_close(tensor, ended[name], rtol=1e-4, atol=1e-6)
