"""`enerv-zoo --version`, and `enerv-zoo doctor`: what is installed here, and whether it works."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from enerv_zoo import __version__
from enerv_zoo.cli import console, options
from enerv_zoo.cli.progress import shown

NAME = "enerv-zoo"
CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report.

    Attributes:
        subject: what was looked at.
        text: what it is.
        ok: whether it works as it should.
    """

    subject: str
    text: str
    ok: bool = True


def version() -> tuple[str, str, str]:
    """Return lines for reports of bugs: the version and the commit, Python and the system, all dependencies."""
    source = commit()
    dependencies = ", ".join(f"{name} {_installed(name) or 'missing'}" for name, extra in _requirements() if not extra)
    return (
        f"{NAME} {__version__}" + (f" (commit {source})" if source else ""),
        f"Python {platform.python_version()}, {platform.platform()}",
        dependencies or "its dependencies are not recorded: it runs from a folder that is not installed",
    )


def commit() -> str | None:
    """Return the commit that is installed or checked out, with a + where files were changed; `None` for a release."""
    try:
        origin = json.loads(metadata.distribution(NAME).read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        origin = {}
    if "vcs_info" in origin:
        return str(origin["vcs_info"].get("commit_id", ""))[:12] or None
    if not (CHECKOUT / ".git").exists():
        return None
    describe = ("git", "-C", str(CHECKOUT), "describe", "--always", "--dirty=+", "--exclude=*", "--abbrev=12")
    try:
        done = subprocess.run(describe, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _requirements() -> Iterator[tuple[str, str]]:
    """Yield each requirement's name, and the extra that it belongs to or an empty text."""
    try:
        lines = metadata.requires(NAME) or []
    except metadata.PackageNotFoundError:
        return
    for line in lines:
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        yield re.split(r"[^\w.-]", line)[0], extra[1] if extra else ""


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def doctor(
    device: options.Device = "auto",
    seconds: Annotated[float, typer.Option(min=0.5, help="How long the fit takes.")] = 5.0,
    json: options.Json = False,
) -> None:
    """Check this installation: versions, device, precision, codecs, extras, and a fit of 5 seconds.

    Ends with 1 if something does not work. Paste the output into a report of a bug.

    Examples:

        enerv-zoo doctor

        enerv-zoo doctor --device cpu --json
    """
    findings = []
    with shown("checking"):
        for finding in _checks(device, seconds):
            findings.append(finding)
    if json:
        console.print_json([asdict(finding) for finding in findings])
    else:
        marks = {True: "ok", False: "FAILED"}
        rows = [(f"{marks[each.ok]:<6}  {each.subject}", each.text) for each in findings]
        console.out.print(console.table(rows), soft_wrap=False)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _checks(device: str, seconds: float) -> Iterator[Finding]:
    yield from _installation()
    from enerv_zoo.machine import choose_device
    from enerv_zoo.precision import choose_precision

    device = choose_device(device)
    yield Finding("device", _describe(device))
    yield Finding("precision", f"{choose_precision('auto', device)} (the faster one on this device)")
    yield from _codecs()
    yield _short_fit(device, seconds)


def _installation() -> Iterator[Finding]:
    own, python, _ = version()
    yield Finding("version", own)
    yield Finding("Python", python)
    extras: dict[str, list[str]] = {}
    for name, extra in _requirements():
        extras.setdefault(extra, []).append(name)
    for extra, names in extras.items():
        versions = {name: _installed(name) for name in names}
        texts = [f"{name} {number or 'missing'}" for name, number in versions.items()]
        if not extra:
            yield Finding("dependencies", ", ".join(texts), ok=None not in versions.values())
        else:
            advice = f"; pip install '{NAME}[{extra}]'" if None in versions.values() else ""
            yield Finding(f"extra {extra}", ", ".join(texts) + advice)


def _describe(device: str) -> str:
    import torch

    from enerv_zoo.machine import available_cores, available_memory

    memory = available_memory()
    host = f"{console.count(available_cores(), 'core')}, {console.megabytes(memory)} of memory available"
    if not device.startswith("cuda"):
        return f"{device}: {platform.machine()}, {host}"
    own = torch.cuda.get_device_properties(device)
    return f"{device}: {own.name}, {console.megabytes(own.total_memory)}, CUDA {torch.version.cuda}; {host}"


def _codecs() -> Iterator[Finding]:
    from enerv_zoo.evaluation.anchors import COMMAND, open_codec
    from enerv_zoo.registry import anchors

    reasons = {name: open_codec(name).anchor.missing() for name in anchors.names() if name != COMMAND}
    yield Finding("codecs", ", ".join(name + (f" ({why})" if why else "") for name, why in reasons.items()))


def _short_fit(device: str, seconds: float) -> Finding:
    """Fit, compress and decode a few frames of the bundled clip."""
    import torch

    from enerv_zoo import compression, fitting, loading

    try:
        result = fitting.fit(
            "bunny", recipe="quick", size="0.2M", frames="0:8", resize="256x144", time_budget=seconds, device=device,
            progress=False,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            file = compression.compress(result.video, Path(folder) / "fit.nvz", measure=False)
            frames = loading.load(file.path)[:]
        psnr = float(result.metrics["psnr"])
        works = psnr > 15 and frames.shape == (8, 3, 144, 256) and frames.dtype == torch.uint8
        return Finding(
            "fit", f"{psnr:.1f} dB after {seconds:g} s, {file.bytes:,} bytes as .nvz, decoded again", ok=bool(works)
        )
    except Exception as error:  # whatever it is, it is what the reader wants to know
        return Finding("fit", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", ok=False)
