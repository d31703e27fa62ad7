"""The figures of the documentation, drawn from real configs and real fits.

python benchmarks/figures.py summary                        # enerv.png: every part with its shapes
python benchmarks/figures.py mixture runs/bunny             # mixture.jpg: time and modulation apart
python benchmarks/figures.py report runs/enerv runs/nerv    # report.png: a report in a browser
python benchmarks/figures.py terminal                       # terminal.png: the first command
python benchmarks/figures.py gallery runs/zoo/*             # gallery.jpg: a frame of each fit
python benchmarks/figures.py moving runs/enerv runs/pca     # moving.webp: the original and fits, playing

The fits of `moving` are those of 30 seconds in results/time_to_psnr-cpu1-0.5M-256x144.json, where EPOCHS are, too:

    enerv-zoo fit bunny --preset quick --model enerv --size 0.5M --resize 256x144 --epochs EPOCHS --out runs/enerv
    enerv-zoo fit bunny --preset quick --size 0.5M --resize 256x144 --epochs EPOCHS --out runs/pca
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from common import IMAGES
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Polygon
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.terminal_theme import NIGHT_OWLISH
from rich.text import Text

import enerv_zoo as ez
from enerv_zoo.storage import open_run
from enerv_zoo.summary import Part
from enerv_zoo.zoo import model_config

COLOURS = {"embedding": "#dbe9f9", "join": "#fbe3cf", "stage": "#dcf1e4", "head": "#f3ddec"}
BUNNY = ez.VideoInfo(frames=132, height=720, width=1280, name="bunny")


# ---------------------------------------------------------------------- the parts of E-NeRV


def shape(dimensions: tuple[int, ...]) -> str:
    return " x ".join(map(str, dimensions)) or "index"


def box(axes: Axes, x: float, y: float, width: float, height: float, part: Part, title: str) -> None:
    colour = COLOURS[part.role.split()[0]]
    axes.add_patch(
        FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0.04", facecolor=colour, edgecolor="#5b6570")
    )
    cost = f"{part.stored_numbers / 1e6:.2f} M parameters, {part.macs / 1e9:,.2f} GMAC" + (" once" if part.once else "")
    axes.text(x + width / 2, y + height * 0.66, title, ha="center", va="center", fontsize=9.5, weight="bold")
    axes.text(x + width / 2, y + height * 0.26, cost, ha="center", va="center", fontsize=7.5, color="#3a434c")


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], label: str = "") -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "#5b6570", "linewidth": 1.3})
    if label:
        middle = ((start[0] + end[0]) / 2 + 0.06, (start[1] + end[1]) / 2)
        axes.text(*middle, label, fontsize=8, va="center", color="#1d2126", family="monospace")


def anatomy(path: Path) -> None:
    """Every part of the paper's network with the shapes between them, from the config that is fitted."""
    parts = ez.summarize(model_config("enerv", BUNNY), BUNNY).parts
    by_role = {part.role: part for part in parts}
    stages = [part for part in parts if part.role.startswith("stage")]
    figure = Figure(figsize=(11, 9.6), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.axis("off")
    top = len(stages) + 2.3
    axes.set_xlim(-0.2, 8.6)
    axes.set_ylim(-1.5, top + 1.6)
    space, time, moment = (by_role[f"embedding {name}"] for name in ("space", "time", "modulation"))
    box(axes, 0, top, 2.6, 0.8, space, "space: where")
    box(axes, 2.9, top, 2.6, 0.8, time, "time: when")
    box(axes, 5.8, top, 2.6, 0.8, moment, "modulation: when, again")
    for x, text in (
        (1.3, "rows and columns, the same\nfor every frame"),
        (4.2, "index of the frame"),
        (7.1, "index of the frame"),
    ):
        axes.text(x, top + 1.15, text, ha="center", va="center", fontsize=8, color="#3a434c")
    join = by_role["join"]
    y = top - 1.35
    box(axes, 1.2, y, 3.4, 0.8, join, "product, attention between places")
    arrow(axes, (1.3, top), (2.2, y + 0.84))
    arrow(axes, (4.2, top), (3.6, y + 0.84))
    axes.text(1.2, top - 0.32, shape(space.outputs[0]), ha="right", fontsize=8, family="monospace")
    axes.text(4.35, top - 0.32, shape(time.outputs[0]), fontsize=8, family="monospace")
    before, feature = (2.9, y), join.outputs[0]
    for number, stage in enumerate(stages):
        y -= 1.05
        factor = stage.outputs[0][-1] // stage.inputs[0][-1]
        kind = next(part.name for part in stage.parts if part.role == "block")
        box(axes, 1.2, y, 3.4, 0.72, stage, f"stage {number + 1}: modulate, {kind} block, x{factor}")
        arrow(axes, before, (2.9, y + 0.76), shape(feature))
        axes.add_patch(Polygon([(7.1, y + 0.36), (4.64, y + 0.36)], closed=False, edgecolor="#5b6570", fill=False))
        arrow(axes, (4.9, y + 0.36), (4.64, y + 0.36))
        axes.text(5.1, y + 0.46, f"gamma, beta: 2 x {stage.inputs[0][0]}", fontsize=8, color="#3a434c")
        before, feature = (2.9, y), stage.outputs[0]
    axes.plot([7.1, 7.1], [top, y + 0.36], color="#5b6570", linewidth=1)
    axes.text(7.2, top - 0.5, shape(moment.outputs[0]), fontsize=8, family="monospace")
    head = by_role["head"]
    y -= 1.05
    box(axes, 1.2, y, 3.4, 0.72, head, "head: colours")
    arrow(axes, before, (2.9, y + 0.76), shape(feature))
    arrow(axes, (2.9, y), (2.9, y - 0.5))
    axes.text(2.9, y - 0.68, f"RGB  {shape(head.outputs[0])}", ha="center", fontsize=9, family="monospace")
    figure.savefig(path)


# ---------------------------------------------------------------------- what each part knows


def mixture(run: str, path: Path) -> None:
    """What a fit draws when content comes from one moment and modulation from another."""
    video = ez.load(run)
    moments = [round(part * (len(video) - 1)) for part in (0.1, 0.5, 0.9)]
    figure = Figure(figsize=(9.6, 5.9), dpi=110, layout="constrained")
    panels = figure.subplots(3, 3)
    for row, when in enumerate(moments):
        for column, modulated in enumerate(moments):
            axes = panels[row, column]
            axes.imshow(drawn(video, when, modulated).permute(1, 2, 0))
            axes.set_xticks([])
            axes.set_yticks([])
            for side in axes.spines.values():
                side.set_visible(when == modulated)
                side.set_linewidth(3)
                side.set_edgecolor("#2563a8")
            if not row:
                axes.set_title(f"modulation of frame {modulated}", fontsize=10)
            if not column:
                axes.set_ylabel(f"time of frame {when}", fontsize=10)
    figure.savefig(path)


def drawn(video: ez.NeuralVideo, when: int, modulated: int) -> torch.Tensor:
    """A frame (3, H, W) in [0, 1] whose first map is that of one frame and whose modulation is that of another."""
    modulation = video.embeddings["modulation"]
    hook = modulation.register_forward_pre_hook(
        lambda part, inputs: (torch.full_like(inputs[0], modulated), *inputs[1:])
    )
    try:
        with torch.no_grad():
            return video(torch.tensor([when]))[0].clamp(0, 1)
    finally:
        hook.remove()


# ---------------------------------------------------------------------- a report


@contextmanager
def browser_tab(height: int, **options: Any) -> Iterator[Any]:
    """A context with a page of a browser, 1,000 pixels wide."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 1000, "height": height}, **options)
        browser.close()


def report(runs: list[str], path: Path) -> None:
    """A report of fits as a browser shows it."""
    with tempfile.TemporaryDirectory() as folder, browser_tab(height=1480) as tab:
        page = ez.write_report(runs, Path(folder) / "report.html")
        tab.goto(page.as_uri())
        tab.wait_for_timeout(1500)
        tab.keyboard.press("w")
        tab.wait_for_timeout(700)
        tab.screenshot(path=path)


# ---------------------------------------------------------------------- a terminal


def terminal(command: str, path: Path, columns: int = 80) -> None:
    """What a command leaves in a terminal, whose bars are gone at its end."""
    variables = {**os.environ, "COLUMNS": str(columns), "FORCE_COLOR": "1"}
    words = [sys.executable, "-m", "enerv_zoo", *shlex.split(command)[1:]]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(words, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        console = Console(record=True, width=columns, file=io.StringIO())
        lines = [line for line in Text.from_ansi(done.stdout.decode()).split("\n") if "━" not in line.plain]
        console.print(f"$ {command}", *lines, sep="\n")
        with browser_tab(height=800, device_scale_factor=1.5) as tab:
            tab.set_content(console.export_html(inline_styles=True, theme=NIGHT_OWLISH))
            tab.locator("pre").screenshot(path=path)


# ---------------------------------------------------------------------- all families


def gallery(runs: list[str], path: Path, frame: int = 8) -> None:
    """The same frame as every fit draws it, the best first, after the original."""
    original = open_run(runs[0]).original()
    scores = {run: json.loads((Path(run) / "metrics.json").read_text())["psnr"] for run in runs}
    pictures = {"original": original.frames[frame]}
    for run in sorted(runs, key=lambda run: -scores[run]):
        video = ez.load(run)
        pictures[f"{video.config.family}, {scores[run]:.1f} dB"] = video[frame]
    rows = -(-len(pictures) // 3)
    figure = Figure(figsize=(10.5, 2.2 * rows), dpi=110, layout="constrained")
    panels = figure.subplots(rows, 3).flatten()
    for axes in panels:
        axes.axis("off")
    for axes, (name, picture) in zip(panels, pictures.items(), strict=False):
        axes.imshow(picture.permute(1, 2, 0), interpolation="nearest")
        axes.set_title(name, fontsize=9)
    figure.savefig(path)


# ---------------------------------------------------------------------- the original and fits, playing


def moving(runs: list[str], path: Path, every: int = 2, quality: int = 70) -> None:
    """Every other frame of the original and of fits, side by side with names and scores, as an animated WebP."""
    original = open_run(runs[0]).original()
    names, movies = ["original"], [original.frames]
    for run in runs:
        video, scores = ez.load(run), json.loads((Path(run) / "metrics.json").read_text())
        names.append(f"{video.config.family}, {scores['psnr']:.1f} dB")
        movies.append(video[:])
    height, width, bar, gap = original.info.height, original.info.width, 20, 4
    sheet = Image.new("RGB", (len(movies) * (width + gap) - gap, height + bar), "#10141f")
    font = ImageFont.load_default(13)
    for column, name in enumerate(names):
        ImageDraw.Draw(sheet).text((column * (width + gap) + 6, 2), name, "#e8ecf4", font)
    pages = []
    for frame in range(0, len(original.frames), every):
        page = sheet.copy()
        for column, movie in enumerate(movies):
            page.paste(Image.fromarray(movie[frame].permute(1, 2, 0).numpy()), (column * (width + gap), bar))
        pages.append(page)
    milliseconds = round(1000 * every / original.info.fps)
    pages[0].save(
        path, save_all=True, append_images=pages[1:], duration=milliseconds, loop=0, quality=quality, method=6
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", choices=["summary", "mixture", "report", "terminal", "gallery", "moving"])
    parser.add_argument("runs", nargs="*", help="folders of fits")
    case = parser.parse_args()
    if case.figure == "summary":
        anatomy(IMAGES / "enerv.png")
    elif case.figure == "mixture":
        mixture(case.runs[0], IMAGES / "mixture.jpg")
    elif case.figure == "report":
        report(case.runs, IMAGES / "report.png")
    elif case.figure == "terminal":
        terminal("enerv-zoo fit bunny --time-budget 60s --out runs/bunny", IMAGES / "terminal.png")
    elif case.figure == "moving":
        moving(case.runs, IMAGES / "moving.webp")
    else:
        gallery(case.runs, IMAGES / "gallery.jpg")


if __name__ == "__main__":
    main()
