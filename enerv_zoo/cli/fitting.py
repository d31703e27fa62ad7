"""`enerv-zoo fit`."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from enerv_zoo.cli import completion, console, fleets, options, previews
from enerv_zoo.cli.progress import shown
from enerv_zoo.cli.reporting import WithReport, closing_report
from enerv_zoo.config import size_text
from enerv_zoo.launch import launched
from enerv_zoo.progress import reported_to
from enerv_zoo.shell import duration

if TYPE_CHECKING:
    from enerv_zoo.fitting import Callback, FitResult
    from enerv_zoo.fitting.plan import FitPlan
    from enerv_zoo.neural_video import NeuralVideo
    from enerv_zoo.progress import OnReport, Stage, Status
    from enerv_zoo.segmented import SegmentedVideo

RUN = "Run"


def fit(
    video: options.Video,
    *,
    model: Annotated[
        str | None,
        typer.Option(
            help="A family (enerv-zoo models), or the YAML file of a composition.",
            autocompletion=completion.families,
            rich_help_panel=options.NETWORK,
            show_default="enerv",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="Stored parameters, such as 1.5M or 350K (within 2 %).", rich_help_panel=options.NETWORK),
    ] = None,
    bpp: Annotated[
        float | None,
        typer.Option(
            help="In place of --size: bits per pixel of the .nvz file in 8 bits per parameter.",
            rich_help_panel=options.NETWORK,
        ),
    ] = None,
    target_mb: Annotated[
        float | None,
        typer.Option(
            help="In place of --size: megabytes (10^6 bytes) of the .nvz file in 8 bits per parameter.",
            rich_help_panel=options.NETWORK,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "-s",
            metavar="NAME=VALUE",
            help="An option of the model, such as fc_dim=64.",
            rich_help_panel=options.NETWORK,
        ),
    ] = None,
    init_from: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Begin with the weights of this fit, as far as the networks agree.",
            rich_help_panel=options.NETWORK,
            autocompletion=completion.fits,
        ),
    ] = None,
    preset: options.Preset = None,
    recipe: options.RecipeFile = None,
    fit_options: options.Recipe,
    selection: options.Selection,
    device: options.Device = "auto",
    frames_in: Annotated[
        str,
        typer.Option(
            help="Where frames are while fitting: device, host, disk, or auto: the first of these with room for them.",
            rich_help_panel=RUN,
        ),
    ] = "auto",
    out: Annotated[Path | None, typer.Option(help="The fit's folder.", show_default="runs/VIDEO-MODEL")] = None,
    segments: Annotated[
        str | None,
        typer.Option(
            metavar="auto|N|SECONDSs",
            help="One network for each segment of a long video: auto cuts where scenes change, 8 into so many, 10s by "
            "length.",
            rich_help_panel=RUN,
            show_default=False,
        ),
    ] = None,
    warm_start: Annotated[
        bool | None,
        typer.Option(
            "--warm-start/--fresh",
            help="Begin each segment with the weights of the one before.",
            rich_help_panel=RUN,
            show_default="where it goes on with its scene, as auto knows",
        ),
    ] = None,
    workers: fleets.Workers = None,
    address: fleets.Address = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the fit in --out; begin it where there is none.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the fit in --out.")] = False,
    dry_run: previews.DryRun = False,
    live: Annotated[
        bool,
        typer.Option("--live", help="Serve a page on this machine that shows the fit while it runs."),
    ] = False,
    time_lapse: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a movie of one frame of the video, as it is after every epoch."),
    ] = None,
    report: WithReport = True,
    json: options.Json = False,
) -> None:
    """Fit a network to a video.

    Writes a folder with the weights, the scores of every frame and epoch, and a page to look at them. Options overrule
    the recipe or preset; without either, E-NeRV is fitted as published, which takes a GPU.

    Examples:

        enerv-zoo fit bunny --preset quick --out runs/bunny

        enerv-zoo fit holiday.mp4 --size 1.5M --resize 360p --epochs 100 --batch-size 4 --lr 5e-3

        enerv-zoo fit bunny --preset quick --live --time-lapse bunny-fit.mp4 --out runs/bunny

        enerv-zoo fit film.mkv --segments auto --preset balanced --out runs/film

        torchrun --nproc-per-node 4 -m enerv_zoo fit holiday.mp4 --preset balanced --batch-size 8 --out runs/holiday
    """
    from enerv_zoo.files import free_name

    chosen = options.chosen_recipe(preset, recipe)
    folder = out or Path("runs") / f"{_slug(video)}-{_slug(model or (chosen and chosen.model.get('name')) or 'enerv')}"
    arguments: dict[str, Any] = {
        "size": size, "model_options": options.parse_assignments(set_ or []), "recipe": chosen, "device": device,
        "frames_in": frames_in, "out": folder, "resume": resume, "overwrite": overwrite, **selection, **fit_options,
    }  # fmt: skip
    if segments is None and warm_start is not None:
        raise typer.BadParameter("it is for segments; add --segments auto", param_hint="'--warm-start' / '--fresh'")
    if segments is not None and init_from is not None:
        raise typer.BadParameter("it is for one network; leave out --segments", param_hint="'--init-from'")
    watches_one = live or time_lapse is not None
    if watches_one and not segments is address is workers is None:
        raise typer.BadParameter("they show one fit of this process", param_hint="'--live' / '--time-lapse'")
    if bpp is not None or target_mb is not None:
        arguments["size"] = _target_size(video, model, arguments, segments, bpp=bpp, megabytes=target_mb)
    if dry_run:
        plan = _plan(video, model, arguments)
        previews.preview_fits(video, {_name(video): plan}, segments, json=json)
        return
    if segments is not None:
        _fit_segments(video, model, segments, warm_start, fleets.runner_at(address, workers), arguments, report, json)
        return
    if address is not None or workers is not None:
        option = "--workers" if address is None else "--address"
        raise typer.BadParameter(f"{option} is for many fits: give --segments, or see enerv-zoo batch")
    result, page = _fit_one(video, model, arguments, live, time_lapse, report, init_from=init_from)
    if json:
        console.print_json(result.metrics)
        return
    metrics = result.metrics
    spent = f"{duration(metrics['fit_seconds'])} for {console.count(metrics['epochs'], 'epoch')}"
    speed = f"{spent}, {metrics['fit_frames_per_second']:.1f} frames/s"
    console.out.print(
        console.table([*_metrics_rows(metrics, result.video), ("fitting", speed)], _title(video, metrics))
    )
    if time_lapse is not None and not result.ended_before:
        console.out.print()
        console.out.print(f"the time-lapse is in {time_lapse}")
    pictures = " and ".join(sorted(path.name for path in folder.glob("*.png")))
    look = f"open {page.name}" if page else f"look at {pictures}"
    console.out.print()
    console.out.print(f"written to {folder}: {look}, or play it:")
    console.print_command("render", folder, free_name(folder / "video.mp4"))


def _fit_one(
    video: str,
    model: str | None,
    arguments: dict[str, Any],
    live: bool,
    time_lapse: Path | None,
    report: bool,
    **options: Any,
) -> tuple[FitResult, Path | None]:
    """Fit one network, and show it as asked for; return the result and its report."""
    folder = arguments["out"]
    with ExitStack() as stack:
        with shown(_name(video)) as display:
            from enerv_zoo import fitting  # takes seconds
            from enerv_zoo.report import LivePage

            callbacks: list[Callback] = []
            listeners: list[OnReport] = [display]
            if time_lapse is not None:
                callbacks.append(_time_lapse(time_lapse, arguments["resume"], arguments["overwrite"]))
            live_page = None
            if live and launched().first:
                live_page = stack.enter_context(LivePage(_name(video), folder))
                console.err.print(f"the fit is shown at {live_page.address}")
                callbacks.append(live_page)
                listeners.append(live_page.show)

            def on_report(report: Stage | Status) -> None:
                for listener in listeners:
                    listener(report)

            with reported_to(on_report):
                result = fitting.fit(
                    video, model, callbacks=callbacks, on_status=on_report, distributed=launched().size > 1,
                    **arguments, **options,
                )  # fmt: skip
        page = _page(folder, arguments["device"], report, result.ended_before)
        if live_page is not None:
            live_page.end_with(page)
    return result, page


def _time_lapse(path: Path, resume: bool, overwrite: bool) -> Callback:
    from enerv_zoo.errors import VideoError
    from enerv_zoo.fitting import TimeLapse

    if path.exists() and not (resume or overwrite):  # a fit that is resumed may have ended, with its movie
        raise VideoError(f"{path}: exists; choose another name for the time-lapse, or add --overwrite")
    return TimeLapse(path, overwrite=overwrite)


def _plan(video: str, model: str | None, arguments: dict[str, Any]) -> FitPlan:
    from enerv_zoo.fitting.plan import plan_fit

    of_the_run = ("frames_in", "out", "resume", "overwrite")
    return plan_fit(video, model, **{key: value for key, value in arguments.items() if key not in of_the_run})


def _target_size(
    video: str, model: str | None, arguments: dict[str, Any], segments: str | None, **target: float | None
) -> int:
    """Return the stored parameters whose 8-bit codes take a target."""
    from enerv_zoo.fitting.preview import parameters_for
    from enerv_zoo.video.scenes import survey

    option = "'--bpp'" if target["bpp"] is not None else "'--target-mb'"
    if segments is not None or arguments["size"] is not None:
        reason = "choose --size, which is of each segment's network" if segments else "give it or --size"
        raise typer.BadParameter(f"it chooses the size of one network; {reason}", param_hint=option)
    selection = _plan(video, model, arguments).video
    return parameters_for(survey(video, **selection, scenes=False).info, **target)


def _fit_segments(
    video: str,
    model: str | None,
    segments: str,
    warm_start: bool | None,
    workers: AbstractContextManager[dict[str, Any]],
    arguments: dict[str, Any],
    report: bool,
    json: bool,
) -> None:
    from enerv_zoo import batch
    from enerv_zoo.files import free_name

    with workers as runner, fleets.bars() as on_fit:

        def on_segment(number: int, count: int) -> Any:
            return on_fit(f"{_name(video)} {number + 1}/{count}")

        result = batch.fit_segments(
            video, model, segments=segments, warm_start=warm_start, distributed=launched().size > 1,
            on_segment=on_segment, **runner, **arguments,
        )  # fmt: skip
    metrics = result.metrics
    page = _page(result.folder, arguments["device"], report, result.ended_before)
    if json:
        console.print_json(metrics)
        return
    title = f"{_title(video, metrics)} in {console.count(metrics['segments'], 'segment')}"
    console.out.print(
        console.table([*_metrics_rows(metrics, result.video), ("fitting", duration(metrics["fit_seconds"]))], title)
    )
    look = f": open {page.name}, or" if page else ";"
    console.out.print()
    console.out.print(f"written to {result.folder}{look} play it:")
    console.print_command("render", result.folder, free_name(result.folder / "video.mp4"))


def _metrics_rows(metrics: dict[str, Any], video: NeuralVideo | SegmentedVideo) -> list[tuple[str, str]]:
    return console.metrics_rows(metrics, 3 * video.info.pixels, video.origin.bytes if video.origin else None)


def _page(folder: Path, device: str, report: bool, ended_before: bool) -> Path | None:
    """Return the report to open: of a fit that had ended before, the one that is there, as nothing is changed."""
    from enerv_zoo.fitting.folder import REPORT

    if ended_before:
        return folder / REPORT if (folder / REPORT).is_file() else None
    return closing_report([folder], folder, device) if report else None


def _title(video: str, metrics: dict[str, Any]) -> str:
    size = f"{console.count(metrics['frames'], 'frame')} of {size_text(metrics['height'], metrics['width'])}"
    return f"{metrics['model']} on {_name(video)}, {size}"


def _name(video: str) -> str:
    return Path(video).stem or "video"


def _slug(video: str) -> str:
    return re.sub(r"[^\w.-]+", "-", _name(video))
