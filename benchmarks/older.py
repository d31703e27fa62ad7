"""Results that are older than the code they measure (`report.py --older`)."""

from __future__ import annotations

import json
import posixpath
import subprocess
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
NETWORK = ("blocks", "embeddings", "fusion", "heads", "layers", "models", "network.py")
DECODING = (*NETWORK, "compiling.py", "neural_video.py")
RECIPES = "../configs/*.yaml"
FITTING = (*NETWORK, "fitting", "losses.py", "optimizers", "ssim.py", RECIPES)
GUARD = "fitting/divergence.py"
GUARDED = (*FITTING, GUARD)
CODING = ("compression", "nvz")
MEASURED: dict[str, tuple[str, ...]] = {
    "budgets": (*FITTING, "cli", "evaluation", "video"),
    "collapses": GUARDED,
    "compression": CODING,
    "cost_model": (*FITTING, *CODING),
    "decode_speed": DECODING,
    "fleet": ("batch", "cluster"),
    "fleet_simulation": (),
    "fuzz": ("batch", "config", "nvz", "storage", "video"),
    "long_video": (*FITTING, "batch", "segmented.py"),
    "ms_ssim_speed": ("ssim.py",),
    "random_access": DECODING,
    "rd": (*FITTING, *CODING, "evaluation"),
    "shelf": (*DECODING, *CODING, "evaluation", "hub/bundled"),
    "soak": ("batch", "cli", "compression", "fitting", "hub", "storage"),
    "ssim_speed": ("ssim.py",),
    "steady": (*DECODING, "storage"),
    "time_to_psnr": GUARDED,
    "zoo": GUARDED,
    "zoo_speed": (*FITTING, *DECODING),
}
"""Paths from the package on that a benchmark measures, as wildcards; of the others it is `FITTING`."""

NAMED_ONLY = (GUARD, "fitting/loggers.py", "fitting/time_lapse.py")
"""Parts of folders that count only where they are named. The guard has nothing to bring back in fits to a rate, in
those that begin in closed form (`collapses.py`), and in the few steps whose speed is measured."""

SAME = "^Same figures:"
"""Begins a line in the message of a commit that computes, and costs, what the one before did (`same.py`)."""


def git(*words: str) -> str:
    return subprocess.run(["git", "-C", HERE.parent, *words], capture_output=True, text=True, check=True).stdout.strip()


def is_known(commit: str) -> bool:
    return not subprocess.run(["git", "-C", HERE.parent, "cat-file", "-e", commit], capture_output=True).returncode


def older() -> Iterator[tuple[str, str]]:
    """Yield name and reason of every result since whose commit the code that it measures was changed, but for commits
    whose message says that figures are the same.

    The commit is the one that the file names; where it names none that is known here (its branch may have been
    rewritten since), it is the last one that changed the file.
    """
    for path in sorted((HERE / "results").glob("*.json")):
        commit = json.loads(path.read_text()).get("commit", "").rstrip("+")
        if not commit or not is_known(commit):
            commit = git("log", "-1", "--format=%h", "--", str(path))
        measured = MEASURED.get(path.stem.partition("-")[0], FITTING)
        if not commit or not measured:
            continue
        code = [":(glob)" + posixpath.normpath(f"enerv_zoo/{part}") for part in measured]
        code += [f":(exclude)enerv_zoo/{part}" for part in NAMED_ONLY if part not in measured]
        others = ("--invert-grep", f"--grep={SAME}")
        changes = git("log", "--format=%h %cs", *others, f"{commit}..HEAD", "--", *code).splitlines()
        if changes:
            yield path.stem, f"{len(changes)} later commits to the code it measures, the last is {changes[0]}"
