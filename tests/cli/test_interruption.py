"""Ctrl-C, pressed for real: one line and 130, whatever is going on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

HEARING = "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
"""A process that was started in the background would ignore Ctrl-C, and so would its children."""
START = f"{HEARING}; runpy.run_module('enerv_zoo', run_name='__main__', alter_sys=True)"

READS_PIPE = ("import", "x.pth", "--codebase", "nerv", "--config", "pipe", "--out", "fit", "--frames", "8",
              "--height", "48", "--width", "64")  # fmt: skip


def started(folder, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", START, *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for the end of a process. Returns its exit code, stdout and stderr."""
    try:
        out, err = process.communicate()
    finally:
        process.kill()  # where the test is told to stop
    return process.returncode, out, err


def interrupted_at_a_pipe(folder, *arguments: str) -> tuple[int, str, str]:
    """Interrupt a command that reads `pipe`, once it waits there."""
    os.mkfifo(folder / "pipe")
    process = started(folder, *arguments)
    with (folder / "pipe").open("w"):  # returns when the other end is opened
        process.send_signal(signal.SIGINT)
        return ended(process)


def test_a_command(tmp_path):
    assert interrupted_at_a_pipe(tmp_path, *READS_PIPE) == (130, "", "error: interrupted\n")


def test_with_debug_a_traceback_says_where(tmp_path):
    _, _, err = interrupted_at_a_pipe(tmp_path, *READS_PIPE, "--debug")
    assert "read_mapping" in err


@pytest.mark.parametrize("module", ["typer", "torch"])
@pytest.mark.parametrize("end", ["raise", "raise AttributeError('half a module')"])
def test_while_modules_are_imported(tmp_path, module, end):
    pressed = "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\nexcept BaseException:\n    "
    (tmp_path / f"{module}.py").write_text(pressed + end)
    assert ended(started(tmp_path, "models", "--parts")) == (130, "", "error: interrupted\n")
