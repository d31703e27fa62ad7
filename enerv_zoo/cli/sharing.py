"""`enerv-zoo push` and `enerv-zoo pull`."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from enerv_zoo.cli import console, options
from enerv_zoo.cli.progress import shown

RepoId = Annotated[str, typer.Argument(metavar="REPO_ID", help="A repository on the Hub, such as user/bunny-enerv.")]


def push(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The folder of a fit, or a .nvz file.", show_default=False)
    ],
    repo_id: RepoId,
    private: Annotated[
        bool | None, typer.Option("--private/--public", help="Of a new repository.", show_default="the account's")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="The branch; made if need be.", show_default="main")] = None,
    message: Annotated[
        str | None, typer.Option(help="Of the commit.", show_default="the network and the video")
    ] = None,
    create_pr: Annotated[bool, typer.Option("--create-pr", help="Propose it as a pull request.")] = False,
    license: Annotated[
        str | None, typer.Option(help="Of the weights: an identifier such as cc-by-3.0.", show_default=False)
    ] = None,
    player: Annotated[
        bool, typer.Option("--player", help="Push a web page, too, that plays the network (extra enerv-zoo[export]).")
    ] = False,
    json: options.Json = False,
) -> None:
    """Push a fit to the Hugging Face Hub: weights, config, scores, a model card, a picture and a short clip.

    A video in segments and a .nvz file go as they are, with a card and a clip. Only what changed is sent. Log in with
    'hf auth login' first, or set HF_TOKEN.

    Examples:

        enerv-zoo push runs/bunny user/bunny-enerv --license cc-by-3.0

        enerv-zoo push runs/bunny user/bunny-enerv --private --revision epochs-300

        enerv-zoo push holiday.nvz user/holiday
    """
    from enerv_zoo import exporting, loading
    from enerv_zoo.files import free_name

    with TemporaryDirectory() as folder, shown(str(run)):
        url = loading.push(
            run,
            repo_id,
            private=private,
            revision=revision,
            commit_message=message,
            create_pr=create_pr,
            license=license,
            player=exporting.write_player(run, Path(folder) / "player.html") if player else None,
        )
    if json:
        console.print_json({"repository": repo_id, "url": url})
        return
    console.out.print(f"pushed to {url}")
    if not create_pr:  # until it is merged, it is nowhere that a command finds
        branch = [] if revision is None else ["--revision", revision]
        console.print_command("render", repo_id, free_name("video.mp4"), options=branch)


def pull(
    repo_id: RepoId,
    out: Annotated[Path, typer.Argument(metavar="DIR", help="A folder for the fit.", show_default=False)],
    revision: options.Revision = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a fit that was pulled before.")] = False,
) -> None:
    """Copy a fit from the Hub into a plain folder, which every command here takes.

    Example:

        enerv-zoo pull user/bunny-enerv runs/pulled
    """
    from enerv_zoo import hub

    hub.pull(repo_id, out, overwrite=overwrite, revision=revision)
    console.out.print(f"written to {out}")
    console.print_command("info", out)
