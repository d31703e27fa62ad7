"""The examples run, and are as short as they say."""

from __future__ import annotations

import runpy
import sys

import torch

from enerv_zoo.testing.golden import read_golden

from .reader import ROOT

EXAMPLE = ROOT / "examples" / "fit_in_60_lines.py"


def test_sixty_lines_fit_a_video(tmp_path, monkeypatch, capsys):
    text = EXAMPLE.read_text()
    assert sum(bool(line.strip()) for line in text.splitlines()) <= 60
    monkeypatch.chdir(tmp_path)
    assert text.count("epochs = ENeRV(), 60\n") == 1
    exec(compile(text.replace("ENeRV(), 60\n", "ENeRV(), 3\n"), EXAMPLE, "exec"), {"__name__": "__main__"})
    assert float(capsys.readouterr().out.split()[2]) > 12  # a black image has 7 dB
    assert (tmp_path / "bunny-60-lines.mp4").stat().st_size > 1000


def test_a_golden_file_is_made_from_a_model(tmp_path, monkeypatch, capsys):
    """The template's own is what the script makes of the code beside it."""
    tests = ROOT / "examples" / "plugin" / "tests"
    script, out = ROOT / "examples" / "make_golden.py", tmp_path / "pond.safetensors"
    monkeypatch.setattr(sys, "argv", [str(script), str(tests / "authors_pond.py"), str(out), "--source", "here"])
    runpy.run_path(str(script), run_name="__main__")
    assert "outputs (2, 3, 16, 24)" in capsys.readouterr().out
    new, old = read_golden(out), read_golden(tests / "pond.safetensors")
    assert new.config == old.config == {"waves": 4, "ripples": 2, "ups": [2, 2]}
    assert new.metadata["source"] == "here"
    assert new.tensors.keys() == old.tensors.keys()
    for name, tensor in old.tensors.items():
        torch.testing.assert_close(new.tensors[name], tensor, rtol=0, atol=2e-6)
    biases = [tensor for name, tensor in new.state.items() if name.endswith("bias")]
    assert all(len(bias.unique()) == len(bias) for bias in biases)
