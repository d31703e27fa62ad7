"""What the README and the pages on parts show is run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("page", ["README.md", "docs/parts.md", "docs/long-videos.md"])
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    names: dict = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)  # our own documentation
    if page == "README.md":
        assert (tmp_path / "runs" / "tiny.mp4").stat().st_size > 0
        assert (names["again"][0] == names["video"][0]).all()


def test_ci_runs_the_readmes_test_command():
    commands = re.findall(r"^(pip install uv && uv run .*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(commands) == 2
    assert commands[1] in (ROOT / ".ci" / "run").read_text().splitlines()
