"""`fit`: from a video to a fitted network and the folder that holds it."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from enerv_zoo import __version__
from enerv_zoo.config import FitConfig, Recipe, from_dict, read_mapping, to_dict
from enerv_zoo.errors import ConfigError, FitError, did_you_mean
from enerv_zoo.evaluation import Report, evaluate, plot_psnr, write_preview
from enerv_zoo.files import finite, write_json, write_text
from enerv_zoo.fitting.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from enerv_zoo.fitting.loop import Fitter, OnStatus
from enerv_zoo.hub.folder import CONFIG, WEIGHTS, save
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.recipes import read_recipe
from enerv_zoo.video import Video, open_video
from enerv_zoo.zoo import create_model

logger = logging.getLogger(__name__)

RECORD = "fit.json"
HISTORY = "history.jsonl"
METRICS = "metrics.json"
FRAMES = "frames.csv"
PREVIEW = "preview.png"
CURVE = "psnr.png"
OURS = (RECORD, HISTORY, METRICS, FRAMES, PREVIEW, CURVE, CHECKPOINT, CONFIG, WEIGHTS)
"""Every file that a fit writes into its folder."""


@dataclass
class FitResult:
    """What `fit` gives.

    Attributes:
        video: the fitted network.
        metrics: numbers of the whole fit; also `metrics.json`.
        history: a row an epoch; also `history.jsonl`.
        report: per-frame numbers.
        folder: where all of it was written, or `None`.
    """

    video: NeuralVideo
    metrics: dict[str, Any]
    history: list[dict[str, Any]]
    report: Report
    folder: Path | None = None


@dataclass
class FitPlan:
    """A fit, fully decided: what `fit.json` records and `--resume` compares."""

    source: str | None
    model: dict[str, Any]
    fit: FitConfig
    video: dict[str, Any]
    device: str
    history: list[dict[str, Any]] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "video": self.video,
            "model": self.model,
            "fit": to_dict(self.fit),
            "library": f"enerv-zoo {__version__}",
        }


def fit(
    source: Any,
    model: str | None = None,
    *,
    size: str | float | None = None,
    model_options: dict[str, Any] | None = None,
    recipe: str | Path | dict[str, Any] | Recipe | None = None,
    frames: str | None = None,
    resize: Any = None,
    crop: Any = None,
    device: str = "auto",
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_status: OnStatus | None = None,
    **options: Any,
) -> FitResult:
    """Fit a network to a video.

    What is given here overrules the recipe, which overrules the defaults (the family's official network and E-NeRV's
    published recipe).

    Args:
        source: path, folder of images, array, tensor or sample name, as `enerv_zoo.open_video` takes it.
        model: a family's name; `"enerv"` by default.
        size: budget of stored numbers such as `"1.5M"`.
        model_options: the family's keywords.
        recipe: name of a shipped recipe or preset (`"quick"`, ...), a file, or a `Recipe`.
        frames, resize, crop: which part of the source, as `enerv_zoo.open_video` takes them.
        device: `"auto"` (CUDA where there is one), `"cpu"` or `"cuda"`.
        out: folder for the fit; nothing is written without one.
        resume: go on with the fit in `out` from its last checkpoint; everything else must be as it was.
        overwrite: replace the fit in `out`.
        on_status: called with a `Status` about twice a second and after every epoch.
        options: fields of `FitConfig` (`epochs=300`, `batch_size=4`, `lr=5e-3`, ...).

    Raises:
        VideoError: the source cannot be read.
        ConfigError: unknown names or options, or ones that do not fit together.
        FitError: `out` holds a fit already, there is nothing to resume, or no CUDA where it was asked for.
    """
    plan = plan_fit(
        source,
        model,
        size=size,
        model_options=model_options,
        recipe=recipe,
        frames=frames,
        resize=resize,
        crop=crop,
        device=device,
        **options,
    )
    folder = None if out is None else Path(out)
    if folder is not None:
        _check_folder(folder, plan, resume, overwrite)
    original = open_video(source, **plan.video)
    choice = dict(plan.model)
    video = create_model(choice.pop("name"), info=original.info, seed=plan.fit.seed, **choice)
    fitter = Fitter(video, original.frames, plan.fit, plan.device)
    if folder is not None:
        _start_folder(folder, fitter, plan, resume)
    seconds = _run(fitter, plan, original, folder, on_status)
    return _finish(fitter, plan, original, folder, seconds)


def plan_fit(
    source: Any,
    model: str | None = None,
    *,
    size: str | float | None = None,
    model_options: dict[str, Any] | None = None,
    recipe: str | Path | dict[str, Any] | Recipe | None = None,
    frames: str | None = None,
    resize: Any = None,
    crop: Any = None,
    device: str = "auto",
    **options: Any,
) -> FitPlan:
    """Merge what was given with the recipe and the defaults, and check it, before anything is read or written.

    The arguments and errors are those of `fit`.
    """
    given = {"frames": frames, "resize": resize, "crop": crop}
    base = read_recipe(recipe) if recipe is not None else Recipe()
    choice: dict[str, Any] = dict(base.model)
    if model is not None and model != choice.get("name"):
        choice = {"name": model, **({"size": choice["size"]} if "size" in choice else {})}
    choice |= model_options or {}
    if size is not None:
        choice["size"] = size
    chosen = from_dict(FitConfig, {**base.fit, **options}, "fit")
    unknown = sorted(base.video.keys() - given.keys())
    if unknown:
        raise ConfigError(
            f"recipe: the video has no option {unknown[0]!r}.{did_you_mean(unknown[0], given)} "
            f"Its options: {', '.join(given)}"
        )
    video = {**base.video, **{key: value for key, value in given.items() if value is not None}}
    return FitPlan(_source_name(source), choice, chosen, video, choose_device(device))


def choose_device(device: str) -> str:
    """`"auto"` is CUDA where there is one, else the CPU.

    Raises:
        FitError: CUDA was asked for and there is none, or the name means nothing.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device not in ("cpu", "cuda"):
        raise FitError(f"device must be auto, cpu or cuda, got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise FitError("no CUDA device is available to PyTorch here; use --device auto or --device cpu")
    return device


def _check_folder(folder: Path, plan: FitPlan, resume: bool, overwrite: bool) -> None:
    if resume and overwrite:
        raise FitError("resume goes on with a fit and overwrite replaces it; give one of the two")
    if folder.exists() and not folder.is_dir():
        raise FitError(f"{folder}: is a file; --out takes a folder")
    there = [name for name in OURS if (folder / name).exists()]
    if resume:
        if not (folder / RECORD).is_file():
            raise FitError(f"{folder}: holds no fit to resume; leave out --resume to start one")
        if (folder / WEIGHTS).exists() and not (folder / CHECKPOINT).exists():
            raise FitError(f"{folder}: this fit has ended; --overwrite replaces it")
        check_record(folder, plan)
    elif there and not overwrite:
        raise FitError(f"{folder}: already holds a fit; add --resume to go on with it or --overwrite to replace it")


def check_record(folder: Path, plan: FitPlan) -> None:
    """Refuse to take a folder's fit for one that was decided otherwise.

    Raises:
        FitError: says what differs.
    """
    before, now = read_mapping(folder / RECORD), json.loads(json.dumps(plan.record()))
    for key in ("source", "video", "model", "fit"):
        if before.get(key) != now[key]:
            raise FitError(
                f"{folder}: holds a fit with another {key}: it was {before.get(key)!r}, now it is {now[key]!r}. "
                "Repeat the command as it was, choose another --out, or replace the fit with --overwrite"
            )


def _start_folder(folder: Path, fitter: Fitter, plan: FitPlan, resume: bool) -> None:
    try:
        if resume and (folder / CHECKPOINT).exists():
            fitter.load_state_dict(load_checkpoint(folder))
            plan.history = [row for row in read_history(folder) if row["epoch"] <= fitter.epoch]
            return
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / RECORD, plan.record())
        for name in OURS:
            if name != RECORD:
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise FitError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from error


def read_history(folder: str | Path) -> list[dict[str, Any]]:
    """The rows of a fit's `history.jsonl`; a last line that was cut off is left out."""
    path = Path(folder) / HISTORY
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def _run(fitter: Fitter, plan: FitPlan, original: Video, folder: Path | None, on_status: OnStatus | None) -> float:
    """Fit to the end, keeping history and checkpoints. Returns the seconds it took, earlier parts included."""
    if folder is not None:
        _write_history(folder, plan.history)
    while not fitter.done:
        row = fitter.fit_epoch(on_status)
        last = fitter.done
        if plan.fit.eval_every and (fitter.epoch % plan.fit.eval_every == 0 or last):
            row["eval_psnr"] = evaluate(fitter.video, original).psnr
        plan.history.append(finite(row))
        if folder is None:
            continue
        with (folder / HISTORY).open("a", encoding="utf-8") as file:
            file.write(json.dumps(plan.history[-1]) + "\n")
        if last or fitter.epoch % plan.fit.checkpoint_every == 0:
            save_checkpoint(folder, fitter.state_dict())
    return sum(row["seconds"] for row in plan.history)


def _write_history(folder: Path, rows: list[dict[str, Any]]) -> None:
    write_text(folder / HISTORY, "".join(json.dumps(row) + "\n" for row in rows))


def _finish(fitter: Fitter, plan: FitPlan, original: Video, folder: Path | None, seconds: float) -> FitResult:
    video = fitter.video.eval()
    report = evaluate(video, original)
    frames_fitted = plan.fit.epochs * len(original)
    metrics = {
        **{key: value for key, value in report.to_dict().items() if key != "frames"},
        "model": plan.model["name"],
        "frames": len(original),
        "height": original.info.height,
        "width": original.info.width,
        "epochs": plan.fit.epochs,
        "fit_seconds": round(seconds, 3),
        "fit_frames_per_second": round(frames_fitted / max(seconds, 1e-9), 3),
    }
    if folder is not None:
        save(video, folder)
        write_json(folder / METRICS, metrics)
        report.write_csv(folder / FRAMES)
        write_preview(video, original, folder / PREVIEW)
        plot_psnr({plan.model["name"]: plan.history}, folder / CURVE)
        (folder / CHECKPOINT).unlink(missing_ok=True)
    return FitResult(video, metrics, plan.history, report, folder)


def open_original(
    run: str | Path, source: Any = None, *, frames: str | None = None, resize: Any = None, crop: Any = None
) -> Video:
    """Open the video that a fit in a folder was made from, cut and resized as it was then; or another one likewise.

    Args:
        run: the fit's folder.
        source: what to open; by default what `fit.json` records. The recorded frame range applies to that source alone.
        frames, resize, crop: overrule what `fit.json` records.

    Raises:
        FitError: no source was given and none is recorded.
    """
    path = Path(run) / RECORD
    record = read_mapping(path) if path.is_file() else {}
    recorded = record.get("source")
    selection = dict(record.get("video") or {})
    if source is None and recorded is None:
        raise FitError(f"{run}: does not record which video it was fitted to; name the video to compare with")
    if source is not None and _source_name(source) != recorded:
        selection.pop("frames", None)
    given = {"frames": frames, "resize": resize, "crop": crop}
    selection |= {key: value for key, value in given.items() if value is not None}
    return open_video(source if recorded is None or source is not None else recorded, **selection)


def _source_name(source: Any) -> str | None:
    """What `fit.json` calls a source: a sample's name, an absolute path, or nothing for arrays."""
    if not isinstance(source, (str, Path)):
        return None
    return str(Path(source).resolve()) if Path(source).exists() else str(source)
