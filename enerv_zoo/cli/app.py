"""The application: commands, and the exit of every error."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable

import typer

from enerv_zoo.cli import (
    batches,
    comparing,
    compressing,
    console,
    diagnosing,
    exporting,
    fitting,
    importing,
    inspecting,
    listing,
    reporting,
    sharing,
    start,
    watching,
)
from enerv_zoo.cli.command import Command, Group
from enerv_zoo.cli.generated import expanded
from enerv_zoo.cli.interruption import INTERRUPTED, Interrupted
from enerv_zoo.errors import ConfigError, EnervZooError, ReportedByRankZero
from enerv_zoo.launch import launched
from enerv_zoo.registry import import_file

EPILOG = "Start here: enerv-zoo fit bunny --preset quick --out runs/bunny"

app = typer.Typer(
    name="enerv-zoo",
    cls=Group,
    help="Fit neural networks to videos: the network is the video.",
    epilog=EPILOG,
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
PANELS: dict[str, dict[str, Callable[..., None]]] = {
    "Fit and look": {
        "fit": fitting.fit,
        "info": inspecting.info,
        "play": exporting.play,
        "render": watching.render,
        "models": listing.models,
        "report": reporting.report,
        "compare": comparing.compare,
    },
    "Compress and measure": {
        "eval": watching.evaluate,
        "compress": compressing.compress,
        "rd": comparing.rd,
        "bench": inspecting.bench,
        "doctor": diagnosing.doctor,
    },
    "Share": {
        "export": exporting.export,
        "push": sharing.push,
        "pull": sharing.pull,
        "import": importing.import_,
    },
    "Many": {
        "batch": batches.batch,
    },
}
"""All commands, as the help shows them."""

for _panel, _commands in PANELS.items():
    for _name, _command in _commands.items():
        app.command(_name, cls=Command, rich_help_panel=_panel)(expanded(_command))


def _version(is_given: bool) -> None:
    if is_given:
        for line in diagnosing.version():
            console.out.print(line)
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks; may stand anywhere in the command."),
    import_: str | None = typer.Option(
        None, "--import", metavar="FILE.py", help="Register the parts in a Python file of yours; may stand anywhere."
    ),
    version: bool = typer.Option(
        False, "--version", help="Print the version, and those of its dependencies.", callback=_version, is_eager=True
    ),
) -> None:
    launch = launched()
    if not launch.first:
        console.print_nothing()
    _log(launch.first)
    if launch.size > 1 and context.invoked_subcommand != "fit":
        raise ConfigError(f"only fit runs on several processes; start {context.invoked_subcommand} without torchrun")
    if context.invoked_subcommand is None:
        console.out.print(start.screen())


def _log(first: bool) -> None:
    """Print what the library notes, as lines, and of the Hub's client neither its retries nor its advice."""
    logger = logging.getLogger("enerv_zoo")
    logger.setLevel(logging.INFO if first else logging.ERROR)
    for handler in [handler for handler in logger.handlers if isinstance(handler, console.LineHandler)]:
        logger.removeHandler(handler)  # of the command before: a new one has said nothing yet
    logger.addHandler(console.LineHandler())
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # it sets its level when it is imported
    os.environ.setdefault("SVT_LOG", "1")  # or SVT-AV1 prints its settings


def _take(arguments: list[str], option: str) -> list[str]:
    """Take an option's values out of the arguments, wherever it stands."""
    values = []
    while (
        place := next((i for i, text in enumerate(arguments) if text.partition("=")[0] == option), None)
    ) is not None:
        _, equals, value = arguments.pop(place).partition("=")
        if not equals and place == len(arguments):
            raise typer.BadParameter("it needs a file", param_hint=f"'{option}'")
        values.append(value if equals else arguments.pop(place))
    return values


def main(began: float | None = None) -> None:
    """Run the command line and end.

    Args:
        began: when the process began, by `time.monotonic()`; time budgets count from there.
    """
    console.print_any_text()
    debug = "--debug" in sys.argv[1:]
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        for file in _take(arguments, "--import"):
            import_file(file)
        if arguments and (now := batches.ALIASES.get(arguments[0])):
            console.note(f"{arguments[0]} is now written: enerv-zoo {' '.join(now)}")
            arguments[:1] = now
        code = app(arguments, prog_name="enerv-zoo", standalone_mode=False, obj=began)
        if code == INTERRUPTED:
            raise Interrupted
        sys.exit(code)
    except typer.Abort as error:  # Ctrl-D in place of an answer
        console.err.print()
        raise Interrupted from error
    except EnervZooError as error:
        if debug:
            raise
        if isinstance(error, ReportedByRankZero):
            sys.exit(1)
        console.err.quiet = False  # what ends this process of several alone, it has to say itself
        console.fail(str(error))
    except Exception as error:
        if debug or not hasattr(error, "format_message"):
            raise
        command = getattr(getattr(error, "ctx", None), "command_path", "enerv-zoo")
        message = error.format_message()
        console.fail(f"{message[:1].lower()}{message[1:].rstrip('.')} (see {command} --help)", 2)
