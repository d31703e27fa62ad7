"""`enerv-zoo fit`."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from enerv_zoo.cli import asking, completion, console, fleets, options, previews
from enerv_zoo.cli.progress import shown
from enerv_zoo.cli.reporting import WithReport, closing_report
from enerv_zoo.config import OPEN, Recipe, size_text, to_dict
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
    context: typer.Context,
    video: options.Video,
    *,
    model: Annotated[
        str | None,
        typer.Option(
            help="A family (enerv-zoo models), or the YAML file of a composition.",
            autocompletion=completion.families,
            rich_help_panel=options.NETWORK,
            show_default="as the recipe says",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Stored parameters: 1.5M (within 2 %), ~1.5M (within 10 %), or auto for what suits clip and time.",
            rich_help_panel=options.NETWORK,
        ),
    ] = None,
    target_mb: Annotated[
        float | None,
        typer.Option(
            help="In place of --bpp: megabytes (10^6 bytes) of the .nvz file.", rich_help_panel=options.NETWORK
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
    sound: options.Sound = True,
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
    mask: options.Mask = None,
    reference: options.Reference = None,
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
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="EPOCHS",
            help="Keep the network as it is after these epochs, such as 10,100, in folders epoch-10, ... of --out.",
            rich_help_panel=RUN,
            show_default=False,
        ),
    ] = None,
    log: Annotated[
        str | None,
        typer.Option(
            metavar="tensorboard|wandb",
            help="Log epochs and evaluations for TensorBoard or Weights & Biases in the folder log of --out; or both, "
            "separated by commas.",
            rich_help_panel=RUN,
            show_default=False,
        ),
    ] = None,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            envvar="ENERV_ZOO_YES",
            help="Do not ask, and do not refuse: fit for hours, or a network larger than its frames.",
        ),
    ] = False,
    report: WithReport = True,
    json: options.Json = False,
) -> None:
    """Fit a network to a video.

    Writes a folder with the weights, the scores of every frame and epoch, and a page to look at them. Without options
    it takes about five minutes: the size of frames and of the network are chosen for the clip and this machine.
    --time-budget changes the time, and what is given is not chosen.

    Examples:

        enerv-zoo fit holiday.mp4

        enerv-zoo fit holiday.mp4 --time-budget 1h --resize full

        enerv-zoo fit bunny --preset quick --out runs/bunny

        enerv-zoo fit bunny --preset quick --live --time-lapse bunny-fit.mp4 --out runs/bunny

        enerv-zoo fit film.mkv --segments auto --preset balanced --out runs/film

        torchrun --nproc-per-node 4 -m enerv_zoo fit holiday.mp4 --preset balanced --batch-size 8 --out runs/holiday
    """
    from enerv_zoo.files import free_name

    with shown(_name(video)):  # as this takes seconds
        from enerv_zoo.fitting.folder import fit_state, segments_state
        from enerv_zoo.fitting.plan import default_recipe, plan_fit

    began, network = context.obj, options.parse_assignments(set_ or [])
    arguments: dict[str, Any] = {
        "size": size, "model_options": network, "mask": mask, "reference": reference, **selection, **fit_options
    }  # fmt: skip
    if segments is None and warm_start is not None:
        raise typer.BadParameter("it is for segments; add --segments auto", param_hint="'--warm-start' / '--fresh'")
    if segments is not None and init_from is not None:
        raise typer.BadParameter("it is for one network; leave out --segments", param_hint="'--init-from'")
    if segments is None and (address is not None or workers is not None):
        option = "--workers" if address is None else "--address"
        raise typer.BadParameter(f"{option} is for many fits: give --segments, or see enerv-zoo batch")
    watches_one = live or not (time_lapse is keep is log is None)
    if watches_one and segments is not None:
        hint = "'--live' / '--time-lapse' / '--keep' / '--log'"
        raise typer.BadParameter("they watch one fit of this process", param_hint=hint)
    chosen = default_recipe(options.chosen_recipe(preset, recipe), model, network, out if resume else None)
    plan = plan_fit(video, model, recipe=chosen, device=device, **arguments)
    if target_mb is not None:
        arguments["bpp"] = _rate_of(video, plan, target_mb, arguments.get("bpp"))
        plan = plan_fit(video, model, recipe=chosen, device=device, **arguments)
    if dry_run:
        previews.preview_fits(video, {_name(video): plan}, segments, json=json)
        return
    folder = out or Path("runs") / f"{_slug(video)}-{_slug(plan.model['name'])}"
    is_new = fit_state(folder) == "new" and segments_state(folder) == "new"
    if launched().size == 1 and (is_new or overwrite):
        plan = asking.decide(plan, video, began, report, segments, yes)
    arguments = {
        "recipe": Recipe(model=plan.model, fit=to_dict(plan.fit), video=plan.video), "device": device, "out": folder,
        "frames_in": frames_in, "resume": resume, "overwrite": overwrite, "began": began, "report_follows": report,
        "sound": sound, "distributed": launched().size > 1, "mask": mask, "reference": reference,
    }  # fmt: skip
    if segments is not None:
        _fit_segments(video, segments, warm_start, fleets.runner_at(address, workers), arguments, report, json)
        return
    callbacks = _callbacks(folder, keep, log)
    result, page = _fit_one(video, arguments, live, time_lapse, report, callbacks, init_from=init_from)
    metrics, file_rows = result.metrics, _file_rows(folder, arguments)
    if json:
        console.print_json(metrics)
        return
    spent = f"{duration(metrics['fit_seconds'])} for {console.count(metrics['epochs'], 'epoch')}"
    speed = f"{spent}, {metrics['fit_frames_per_second']:.1f} frames/s"
    console.out.print(
        console.table([*_metrics_rows(metrics, result.video), *file_rows, ("fitting", speed)], _title(video, metrics))
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
    arguments: dict[str, Any],
    live: bool,
    time_lapse: Path | None,
    report: bool,
    callbacks: list[Callback],
    **options: Any,
) -> tuple[FitResult, Path | None]:
    """Fit one network, and show it as asked for; return the result and its report."""
    folder = arguments["out"]
    with ExitStack() as stack:
        with shown(_name(video)) as display:
            from enerv_zoo import fitting  # takes seconds
            from enerv_zoo.report import LivePage

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
                result = fitting.fit(video, callbacks=callbacks, on_status=on_report, **arguments, **options)
        page = _page(folder, arguments["device"], report, result.ended_before)
        if live_page is not None:
            live_page.end_with(page)
    return result, page


def _callbacks(folder: Path, keep: str | None, log: str | None) -> list[Callback]:
    """Return the callbacks that --keep and --log name."""
    from enerv_zoo.fitting.loggers import LOGGERS, KeepEpochs

    names = options.listed(log or "")
    for name in names:
        if name not in LOGGERS:
            raise typer.BadParameter(f"expected {' or '.join(LOGGERS)}, got {name!r}", param_hint="'--log'")
    callbacks: list[Callback] = [LOGGERS[name](folder / "log") for name in names]
    if keep is not None:
        try:
            epochs = [int(epoch) for epoch in options.listed(keep)]
        except ValueError:
            raise typer.BadParameter(f"expected epochs such as 10,100, got {keep!r}", param_hint="'--keep'") from None
        callbacks.append(KeepEpochs(epochs, folder))
    return callbacks


def _time_lapse(path: Path, resume: bool, overwrite: bool) -> Callback:
    from enerv_zoo.errors import VideoError
    from enerv_zoo.fitting import TimeLapse

    if path.exists() and not (resume or overwrite):  # a fit that is resumed may have ended, with its movie
        raise VideoError(f"{path}: exists; choose another name for the time-lapse, or add --overwrite")
    return TimeLapse(path, overwrite=overwrite)


def _rate_of(video: str, plan: FitPlan, megabytes: float, bpp: float | None) -> float:
    """Return the bits per pixel that a file of so many megabytes has, of the frames of a plan."""
    from enerv_zoo.fitting.choice import look

    if bpp is not None:
        reason = "a target is in bits per pixel or in megabytes; give one of them"
    elif plan.video.get("resize") == OPEN:
        reason = "it depends on the size of the frames; give --resize, such as full"
    else:
        return 8e6 * megabytes / look(video, plan, frames=1).info.pixels
    raise typer.BadParameter(reason, param_hint="'--target-mb'")


def _fit_segments(
    video: str,
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
            video, segments=segments, warm_start=warm_start, on_segment=on_segment, **runner, **arguments
        )
    metrics, file_rows = result.metrics, _file_rows(result.folder, arguments)
    page = _page(result.folder, arguments["device"], report, result.ended_before)
    if json:
        console.print_json(metrics)
        return
    title = f"{_title(video, metrics)} in {console.count(metrics['segments'], 'segment')}"
    console.out.print(
        console.table(
            [*_metrics_rows(metrics, result.video), *file_rows, ("fitting", duration(metrics["fit_seconds"]))], title
        )
    )
    look = f": open {page.name}, or" if page else ";"
    console.out.print()
    console.out.print(f"written to {result.folder}{look} play it:")
    console.print_command("render", result.folder, free_name(result.folder / "video.mp4"))


def _file_rows(folder: Path, arguments: dict[str, Any]) -> list[tuple[str, str]]:
    """Write the file of a fit to a rate into its folder, once of several processes; return the row that says so."""
    bpp = arguments["recipe"].fit.get("bpp")
    if bpp is None or not launched().first:
        return []
    from enerv_zoo.compression import compress
    from enerv_zoo.errors import UnmetTarget
    from enerv_zoo.storage.compressed import VIDEO

    path = folder / VIDEO
    try:
        with shown(path.name):
            compressed = compress(folder, path, bpp=bpp, device=arguments["device"], measure=False)
    except UnmetTarget as error:
        return [(path.name, f"not written: {error}")]
    return [(path.name, f"{compressed.bytes:,} bytes, {compressed.bpp:.4f} bits per pixel")]


def _metrics_rows(metrics: dict[str, Any], video: NeuralVideo | SegmentedVideo) -> list[tuple[str, str]]:
    original = video.origin.bytes if video.origin else None
    return console.metrics_rows(metrics, 3 * video.info.pixels, original, len(video.sound or b""))


def _page(folder: Path, device: str, report: bool, ended_before: bool) -> Path | None:
    """Return the report to open: of a fit that had ended before, the one that is there, if it came to write one."""
    from enerv_zoo.fitting.folder import REPORT

    page = folder / REPORT
    if ended_before and page.is_file():
        return page
    return closing_report([folder], folder, device) if report else None


def _title(video: str, metrics: dict[str, Any]) -> str:
    size = f"{console.count(metrics['frames'], 'frame')} of {size_text(metrics['height'], metrics['width'])}"
    return f"{metrics['model']} on {_name(video)}, {size}"


def _name(video: str) -> str:
    return Path(video).stem or "video"


def _slug(video: str) -> str:
    return re.sub(r"[^\w.-]+", "-", _name(video))
