"""Progress of long work: what is reported, to whom, and how it is shown."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

import enerv_zoo as ez
from enerv_zoo.cli import console, progress
from enerv_zoo.progress import Stage, Status, reported_to, stage, terminal_display

FIT = {"model": "nerv", "frames": "0:3", "resize": "64x36", "size": "60K", "epochs": 1, "batch_size": 3}
HALF = Status(
    epoch=150, epochs=300, step=1, steps=2, loss=0.0123, psnr=31.4, lr=1e-3, progress=0.5, frames_per_second=123.4,
    seconds_left=75.0,
)  # fmt: skip


def test_a_fit_names_what_it_does(tmp_path):
    reports = []
    with reported_to(reports.append):
        ez.fit("bunny", **FIT, out=tmp_path / "fit", on_status=reports.append)
        ez.write_report(tmp_path / "fit", tmp_path / "report.html")
    names = list(dict.fromkeys(report.name for report in reports if isinstance(report, Stage)))
    assert names == ["reading", "starting in closed form", "evaluating", "writing the fit", "writing the report"]
    ends = {report.name: report for report in reports if isinstance(report, Stage)}
    assert (ends["evaluating"].done, ends["evaluating"].total) == (3, 3)
    assert ends["writing the report"].progress == 1.0
    known = len(reports)
    ez.open_video("bunny", frames="0:2")
    assert len(reports) == known  # nobody asks any more


def test_a_stage_is_reported_now_and_then_and_at_its_end():
    reports = []
    with reported_to(reports.append):
        advance = stage("reading", 1000)
        for _ in range(1000):
            advance(1)
    assert reports[0] == Stage("reading", 0, 1000)
    assert reports[-1] == Stage("reading", 1000, 1000)
    assert [report.done for report in reports] == sorted({report.done for report in reports})


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("report", [HALF, Stage("writing the report", 250, 1000), Stage("reading")], ids=str)
def test_a_terminal_shows_a_report_within_its_width(width, report):
    printer = Console(file=Terminal(), width=width, force_terminal=True, color_system=None)
    with terminal_display(printer) as display:
        display.begin("holiday [in] " + "a-long-name-" * 20)
        display(report)
        printer.file.truncate(0)
    rows = [row for row in printer.file.getvalue().replace("\r", "\n").split("\n") if "holiday" in row]
    assert rows
    assert all(len(row) <= width + len("\x1b[2K\x1b[1A") for row in rows)
    if width >= 80:
        text = printer.file.getvalue()
        for word in ("fitting 50% 1:15 left epoch 150/300 31.40 dB" if report is HALF else report.line).split():
            assert word in text


def test_elsewhere_there_are_lines_of_work_that_takes_long(capsys, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with progress.shown("bunny"):
        advance = stage("reading", 100)
        for _ in range(50):
            clock[0] += 0.5
            advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"bunny: reading  {done} of 100" for done in (4, 24, 44)]
    assert not console.err.is_terminal
