"""Runs what stands in a page: each block in its language, from top to bottom, in a folder of the page's own.

Commands are run as they are written, but small: `SMALLER` is added to those that fit. Files and fits that a page takes
for granted are there when it names them (`provide`). `INSTEAD` lists what is not run here, and why.
"""

from __future__ import annotations

import argparse
import json
import re
import runpy
import shlex
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from enerv_zoo.cli import main

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^( *)```([a-z]*)[^\n]*\n(.*?)^\1```", re.DOTALL | re.MULTILINE)

_EPOCHS = ("--epochs", "1")
_SIZE = ("--size", "0.2M")
_TINY = ("--resize", "64x36", *_EPOCHS, "--batch-size", "16")
SMALLER = {
    "fit": _TINY,
    "compare": (*_TINY, *_SIZE),
    "rd": (*_TINY, "--bits", "8", "--codecs", "x264"),
    "batch zoo.yaml --push --out": (),
    "batch": ("--dry-run",),
}
"""Options added to commands that fit; of an option that is given twice, the last counts."""

VALUES = {
    "fit": {"--time-budget": "6s", "--frames": "0:8", "--bpp": "20"},
    "compare": {"--time-budget": "6s", "--frames": "0:8"},
    "eval": {"--frames": "0:8"},
    "rd": {"--sizes": "0.2M"},
    "import": {"--frames": "8", "--height": "48", "--width": "64", "--content": "two-frames.mp4", "--crop": "64x48"},
}
"""Values that take the place of those in the page: small ones, and those of the checkpoint that is at hand."""

OF_SMALL_FRAMES = {
    "boost": ("--loss", "L2"),
    "hnerv-": ("--set", "enc_strds=[3,4]", "--set", "dec_strds=[3,4]"),
}
"""Options for recipes whose names contain a word: their losses have MS-SSIM, their strides come to 320 pixels."""

OF_ONE_SIZE = ("network.yaml", "nerv-l")
"""Networks all of whose widths are given."""

IN_PYTHON = {'resize="288x162"': 'resize="64x36", frames="0:8"', "[0.5, 1.25]": "[0.05, 0.25]"}
"""Text that is replaced in blocks of Python: frames that a recipe makes of the clip, and times in it."""

INSTEAD: dict[str, str] = {
    "uv run pytest": "the tests are running",
    "uv run ruff": "CI does",
    "uv run mypy": "CI does",
    "uv run mkdocs build": "CI does",
    "uv run pre-commit": "changes the checkout; CI runs its hooks",
    "python examples/make_golden.py": "the tests of examples do",
    "enerv-zoo bench": "measures for a minute; the command line's tests run it",
    "enerv-zoo rd holiday.mp4": "takes codecs and tables that are not there; tests/compression does",
    "enerv-zoo play": "serves until Ctrl-C; tests/exporting does",
    "enerv-zoo export runs/holiday": "as in play.md",
    "enerv-zoo export runs/bunny site": "tests/exporting does",
    "enerv-zoo export runs/bunny bunny.html": "tests/exporting does",
    "enerv-zoo export runs/bunny bunny-offline.html": "tests/exporting does",
    "npm": "downloads packages",
    "tar": "of what npm has downloaded",
    "python examples/decode_without_torch.py": "tests/exporting does",
    "node examples/decode.mjs": "tests/exporting does, where there is Node",
    "torchrun": "every process takes seconds to begin; the tests of ranks start it",
    "ray start": "starts a cluster; tests/cluster does",
    "uv venv": "makes an environment; the tests of installation do",
    "uv pip install": "installs packages; the tests of installation do",
    "uv run mkdocs serve": "a server that does not end; .ci/run builds the pages",
}
"""Commands that are not run, by their beginnings, and why."""


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, without the indentation of a list they may stand in."""
    text = page.read_text()
    for found in BLOCK.finditer(text):
        body = re.sub(rf"^{found[1]}", "", found[3], flags=re.MULTILINE)
        yield Block(found[2], body, text[: found.start()].count("\n") + 1)


def commands(text: str) -> Iterator[list[str]]:
    """The commands of a shell block, as words; comments and continued lines as a shell has them."""
    for line in text.replace("\\\n", " ").splitlines():
        for command in re.split(r"\s+&&\s+", line):
            if words := shlex.split(command, comments=True):
                yield words


class Reader:
    """Reads one page.

    Args:
        folder: where its commands run.
        provide: called with a relative path that a command names and that is not there; puts it there if it can.
        monkeypatch: for the arguments of commands.
    """

    def __init__(self, folder: Path, provide: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.provide, self.monkeypatch = folder, provide, monkeypatch
        self.names: dict = {}
        self.provided: set[str] = set()
        self.writes_reports = True

    def read(self, page: Path) -> None:
        """Run every block of a page; an error names the line. Fits of the README alone write their reports."""
        self.writes_reports = page.name == "README.md"
        for block in blocks(page):
            run = getattr(self, f"_{block.language or 'text'}", None)
            assert run is not None, f"{page.name}:{block.line}: nobody runs blocks of {block.language!r}"
            try:
                run(block.text)
            except (Exception, SystemExit) as error:
                raise AssertionError(f"{page.name}:{block.line}: {error!r}") from error

    def _python(self, text: str) -> None:
        made = re.findall(r'(?:out=|save_pretrained\()"(runs/[\w/-]+)"', text)
        for path in made:
            self._make_room(path)
        for path in {*re.findall(r'"(runs/[\w/-]+|[\w-]+\.mp4)"', text)}.difference(made):
            self._provide(path)
        for there, here in IN_PYTHON.items():
            text = text.replace(there, here)
        exec(compile(text, "block", "exec"), self.names)  # our own documentation

    def _sh(self, text: str) -> None:
        for words in commands(text):
            self._run(words)

    def _yaml(self, text: str) -> None:
        """A file that the next command names: the pages call their manifests zoo.yaml and their recipes recipe.yaml."""
        data = yaml.safe_load(text)
        for group in data.get("fits", ()):
            for video in group.get("videos", [group.get("video")]):
                self._provide(video)
            group |= {
                "resize": "64x36",
                "frames": "0:4",
                "fit": {**group.get("fit", {}), "epochs": 1, "batch_size": 16},
            }
            group["sizes"] = [f"{60 + 10 * number}K" for number in range(len(group.get("sizes", [None])))]
        (self.folder / ("zoo.yaml" if "fits" in data else "recipe.yaml")).write_text(yaml.safe_dump(data))

    def _json(self, text: str) -> None:
        json.loads(text)

    def _toml(self, text: str) -> None:
        tomllib.loads(text)

    def _text(self, text: str) -> None:
        """Formulas, layouts of files and what a program prints are for people."""

    # ------------------------------------------------------------------ commands

    def _run(self, words: list[str]) -> None:
        line = " ".join(words)
        if any(line.startswith(beginning) for beginning in INSTEAD) or words[:2] == ["pip", "install"]:
            return
        if words[:2] == ["uv", "run"]:
            words = words[2:]
        if words[0] == "enerv-zoo":
            self._enerv_zoo(words[1:])
        elif words[0] == "python" and words[1].startswith("benchmarks/"):
            self._benchmark(ROOT / words[1], words[2:])
        else:
            raise AssertionError(f"nobody runs {line!r}; add it to INSTEAD with the reason")

    def _enerv_zoo(self, words: list[str]) -> None:
        for option, value in VALUES.get(words[0], {}).items():
            if option in words:
                words[words.index(option) + 1] = value
        out = Path(words[words.index("--out") + 1]) if "--out" in words else None
        if words[0] == "pull":
            out = Path(words[2])
        if out is not None and "--resume" in words:
            (out / "model.safetensors").unlink()  # as if it had been stopped before its end
        elif out is not None and words[0] != "batch":
            self._make_room(str(out))
        for word in words[1:]:
            if word != str(out) and "/" not in word.removeprefix("runs/"):
                self._provide(word)
        line = " ".join(words)
        more = next((options for beginning, options in SMALLER.items() if line.startswith(beginning)), ())
        if more and words[0] != "batch" and "--frames" not in words:
            more = ("--frames", "0:8", *more)
        if "--time-budget" in words:
            more = tuple(word for word in more if word not in _EPOCHS)
        if words[0] == "fit" and not any(word in OF_ONE_SIZE for word in words):
            more = (*more, *_SIZE)
        for name, options in OF_SMALL_FRAMES.items():
            if more and any(name in word for word in words[:5]):
                more = (*more, *options)
        if words[0] in ("fit", "compare") and not self.writes_reports:
            more = (*more, "--no-report")
        self.monkeypatch.setattr(sys, "argv", ["enerv-zoo", *words, *more])
        with pytest.raises(SystemExit) as end:  # its last word, whether it went well or not
            main()
        assert not end.value.code, f"enerv-zoo {' '.join([*words, *more])} ended with {end.value.code}"

    def _benchmark(self, program: Path, words: list[str]) -> None:
        """Import the program and parse its options; it runs for minutes."""
        self.monkeypatch.setattr(sys, "argv", [str(program), *words])
        self.monkeypatch.syspath_prepend(str(program.parent))
        parse = argparse.ArgumentParser.parse_args

        class Parsed(BaseException):
            pass

        def parse_and_stop(parser: argparse.ArgumentParser, *_: object) -> None:
            parse(parser)
            raise Parsed

        with self.monkeypatch.context() as patch, pytest.raises(Parsed):
            patch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
            runpy.run_path(str(program), run_name="__main__")

    def _provide(self, name: str) -> None:
        path = Path(name)
        if path.is_absolute() or (self.folder / path).exists():
            return
        self.provide(path)
        self.provided.add(name)

    def _make_room(self, path: str) -> None:
        """Remove what the page took for granted; what it has written itself stays in its way, as in a reader's."""
        if path in self.provided:
            self.provided.remove(path)
            shutil.rmtree(self.folder / path, ignore_errors=True)
