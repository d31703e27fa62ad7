"""The examples run, and are as short as they say."""

from __future__ import annotations

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
