"""The package and a third party's, built and installed into empty environments outside the checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hub.server import running

import enerv_zoo as ez

CHECKOUT = Path(ez.__file__).parent.parent
PLUGIN = CHECKOUT / "examples" / "plugin"

USE_PLUGIN = """
import json, torch, enerv_zoo as ez
from enerv_zoo.zoo import model_config
info = ez.VideoInfo(frames=2, height=18, width=32)
config = model_config("nerv", info, fc_dim=4, stem_dim=[8], lower_width=4)
video = ez.NeuralVideo(config.replace_steps("nerv", {"name": "ripple", "frequency": 2.0}), info)
video.save_pretrained("fit")
again = ez.load("fit")
try:
    ez.NeuralVideo(config.replace_steps("nerv", {"name": "ripple", "frequencies": 2.0}), info)
except ez.ConfigError as error:
    message = str(error)
print(json.dumps({
    "where": ez.__file__,
    "blocks": ez.list_components("block"),
    "kind": type(again.stages[0][0]).__name__,
    "same": bool(torch.equal(again[0], video[0])),
    "shape": list(again[0].shape),
    "sample": len(ez.load("bunny-sample")),
    "message": message,
}))
"""


AS_CHECKPOINT = """
import re, torch, enerv_zoo as ez
OURS = ((r"embeddings.first.table", "surface"), (r"embeddings.grid(.).table", r"depths.\\1"), (r"head.conv", "to_rgb"))
OURS += ((r"stages.(.).0.project", r"mixes.\\1"), (r"stages.(.).1.conv", r"convs.\\1"))
state = ez.load("fit2").state_dict()
for ours, theirs in OURS:
    state = {re.sub(ours, theirs, name): tensor for name, tensor in state.items()}
torch.save(state, "pond.pth")
"""

WITH_GOLOMB = """
import enerv_zoo as ez
video = ez.create_model("nerv", frames=2, height=18, width=32, fc_dim=4, stem_dim=[4], lower_width=4)
ez.compress(video, "x.nvz", measure=False, entropy_model={"name": "golomb", "k": 3})
"""


def outside() -> dict[str, str]:
    """The variables of this process, but for those that lead to this checkout."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    environment = {**outside(), **variables}
    done = subprocess.run(
        [str(c) for c in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


COMMANDS = """
import contextlib, io, json, os, sys
from enerv_zoo.cli import main
replies = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what libraries print goes elsewhere
for line in sys.stdin:
    folder, words = json.loads(line)
    os.chdir(folder)
    sys.argv, code, printed, errors = ["enerv-zoo", *words], 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
        try:
            exec(words[1], {}) if words[0] == "-c" else main()
        except SystemExit as end:
            code = end.code or 0
    print(json.dumps([code, printed.getvalue(), errors.getvalue()]), file=replies, flush=True)
"""


@contextmanager
def commands(python: Path, **variables: str) -> Iterator[Callable[..., str]]:
    """A process that imports once and runs commands in the working directory, or Python after `-c`.

    Each gives its stdout, and fails where the command does; with `fails`, its standard error where it does.
    """
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [python, "-c", COMMANDS], cwd=python.parent, env={**outside(), **variables}, stdin=pipe, stdout=pipe, text=True
    )

    def command(*arguments: str, fails: bool = False) -> str:
        process.stdin.write(json.dumps([str(Path.cwd()), arguments]) + "\n")
        process.stdin.flush()
        code, printed, errors = json.loads(process.stdout.readline())
        assert code == fails, f"enerv-zoo {' '.join(arguments)} ended with {code}: {errors}"
        return errors if fails else printed

    try:
        yield command
        process.communicate()
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """An environment that sees this one's dependencies, but not this checkout; and where its packages go."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder, packages


@pytest.fixture(scope="module")
def installed(environment, tmp_path_factory):
    """The same environment with the wheel of this checkout and the third party's package in it."""
    folder, packages = environment
    wheels = tmp_path_factory.mktemp("wheels")
    for source in (CHECKOUT, PLUGIN):
        sources = tmp_path_factory.mktemp("source")
        run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", sources, cwd=source)
        (archive,) = sources.glob("*.tar.gz")
        shutil.unpack_archive(archive, sources, filter="data")
        unpacked = sources / archive.name.removesuffix(".tar.gz")
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", wheels, cwd=unpacked)
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(packages)  # what installing a pure wheel does, but for its scripts
    broken = packages / "broken-1.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (broken / "entry_points.txt").write_text("[enerv_zoo.blocks]\nbroken = ripple_nerv.network:NoSuchBlock\n")
    return folder / "bin" / "python", packages


@pytest.fixture(scope="module")
def command(installed):
    """A process of the environment with the wheels, for commands that need no variables of their own."""
    with commands(installed[0], ENERV_ZOO_YES="1") as run_command:
        yield run_command


def test_a_third_partys_block_is_used_through_a_config(installed, command):
    seen = json.loads(command("-c", USE_PLUGIN).splitlines()[-1])
    assert seen["where"].startswith(str(installed[1]))
    assert "ripple" in seen["blocks"]
    assert "broken" not in seen["blocks"]
    assert (seen["kind"], seen["same"], seen["shape"]) == ("RippleBlock", True, [3, 18, 32])
    assert seen["sample"] == 132, "it comes with the wheel"
    assert "block 'ripple' has no option 'frequencies'. Did you mean 'frequency'?" in seen["message"]


def test_a_third_partys_options_are_checked(command):
    errors = command("fit", "bunny", "--loss", "{name: edges, ordre: 2}", "--out", "x", fails=True)
    assert "loss 'edges' has no option 'ordre'. Did you mean 'order'? Its options: order" in errors


PARTS = {
    "block": {"ripple": "frequency=3.0"},
    "embedding": {"pond": "channels=4, scale=1, times=2"},
    "fusion": {"add_map": ""},
    "loss": {"edges": "order=1"},
    "metric": {"edge_error": ""},
    "entropy_model": {"golomb": "k=4", "table": ""},
    "anchor": {"shallow": "level=6"},
    "codebase": {"pond_code": ""},
}
"""Parts of the package under examples/plugin, with their options, and a built-in one."""


@pytest.mark.network
def test_a_third_partys_parts_go_the_whole_way(installed, tmp_path):
    """A family, a loss, a metric, an entropy model, a codec and a code base of a package that is installed."""
    python, _ = installed
    cut = ("--frames", "0:2", "--resize", "32x18")
    with ExitStack() as stack:
        hub = stack.enter_context(running())
        hub.users["hf_user"] = "user"
        home = {
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": "hf_user",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HOME": str(tmp_path / "home"),
        }

        command = stack.enter_context(commands(python, **home))
        parts = json.loads(command("models", "--parts", "--json"))
        for kind, names in PARTS.items():
            assert names.items() <= parts[kind].items()
        assert {"optimizer", "schedule", "head"} <= parts.keys()
        losses = {}
        for order in (1, 2):
            loss = f"{{L1: 1.0e-9, edges: {{weight: 1, order: {order}}}}}"
            words = ("--model", "pond", "--set", "channels=6", "--epochs", "2", "--loss", loss, "--no-report")
            words += ("--metrics", "psnr,edge_error")
            fitted = json.loads(command("fit", "bunny", *cut, *words, "--out", f"fit{order}", "--json"))
            rows = [json.loads(line) for line in (tmp_path / f"fit{order}" / "history.jsonl").read_text().splitlines()]
            losses[order] = [row["loss"] for row in rows]
            record = json.loads((tmp_path / f"fit{order}" / "fit.json").read_text())
            assert record["fit"]["loss"] == {"L1": 1e-9, "edges": {"weight": 1, "order": order}}
        assert losses[1] != losses[2]
        assert losses[2][1] < losses[2][0]
        scores = json.loads(command("eval", "fit2", "--metrics", "psnr,edge_error", "--json"))
        for name in ("psnr", "edge_error"):
            assert scores[name] == pytest.approx(fitted[name], abs=1e-3)

        for model in ("{name: golomb, k: 5}", "table"):
            name = "fit.nvz" if "golomb" in model else "table.nvz"
            command("compress", "fit2", name, "--bits", "8", "--entropy-model", model)
        one, other = (json.loads(command("eval", name, "--json")) for name in ("fit.nvz", "table.nvz"))
        assert one["psnr"] == other["psnr"], "the same levels, coded twice"
        assert (tmp_path / "fit.nvz").read_bytes()[8:10] == b"\3\0"  # with sound

        command("push", "fit.nvz", "user/pond")
        command("push", "fit2", "user/pond-exact")
        code = "import enerv_zoo as ez; print([[ez.load(name)[:].flatten().tolist() for name in pair] for pair in "
        code += "(('user/pond', 'fit.nvz'), ('user/pond-exact', 'fit2'))])"
        for pushed, here in json.loads(command("-c", code)):
            assert pushed == here

        words = ("--models", "pond", "--codecs", "shallow,x264", "--bits", "8", "--sizes", "5K", "--epochs", "1")
        words += ("--metrics", "edge_error,psnr")
        rates = json.loads(command("rd", "bunny", *cut, *words, "--out", "rd", "--json"))
        assert [(curve["name"], len(curve["points"])) for curve in rates["curves"]] == [
            ("pond", 1),
            ("shallow", 4),
            ("x264", 5),
        ]
        assert rates["curves"][1]["points"][0]["setting"] == "bits cut off 2"
        errors = [point["edge_error"] for point in rates["curves"][1]["points"]]
        assert errors == sorted(errors)

        command("-c", AS_CHECKPOINT)
        (tmp_path / "pond.yaml").write_text("waves: 6\nripples: 4\n")
        size = ("--frames", "2", "--height", "18", "--width", "32")
        command("import", "pond.pth", "--config", "pond.yaml", *size, "--out", "imported")
        code = "import torch, enerv_zoo as ez; print(torch.equal(ez.load('imported')[:], ez.load('fit2')[:]))"
        assert command("-c", code).strip() == "True"


def test_whoever_has_not_the_package_is_told_so(command, tmp_path):
    """The same file where the package is not."""
    command("-c", WITH_GOLOMB)
    with pytest.raises(
        ez.ConfigError, match=r"x.nvz: written by a newer version, or with a plug-in: unknown entropy_model"
    ):
        ez.load(tmp_path / "x.nvz")


def test_a_third_partys_own_tests_pass(installed, tmp_path):
    """Its parts against the contracts, by their names as entry points have them."""
    python, _ = installed
    checks = PLUGIN / "tests" / "test_contracts.py"
    output = run(python, "-m", "pytest", "-p", "no:cacheprovider", "-n0", "--rootdir", tmp_path, checks, cwd=tmp_path)
    assert re.search(r"\b[4-9]\d passed", output)


def test_the_wheel_holds_recipes_clip_and_licences(installed):
    _, packages = installed
    assert (packages / "enerv_zoo" / "configs" / "quick.yaml").is_file()
    assert (packages / "enerv_zoo" / "configs" / "zoo" / "bunny.yaml").is_file()
    assert (packages / "enerv_zoo" / "video" / "samples" / "bigbuckbunny.mp4").is_file()
    assert (packages / "enerv_zoo" / "video" / "samples" / "LICENSE.txt").is_file()
    assert (packages / "enerv_zoo" / "py.typed").is_file()
    assert (packages / "enerv_zoo" / "published_results.csv").is_file()
    assert not (packages / "tests").exists()
    assert not list((packages / "enerv_zoo").rglob("test_*.py"))


def test_every_command_runs_from_the_wheel(installed, command, tmp_path):
    assert "quick" in run(installed[0], "-m", "enerv_zoo", "models", "--recipes", cwd=tmp_path)
    tiny = ("--frames", "0:2", "--resize", "64x36", "--size", "60K", "--epochs", "1")
    metrics = json.loads(command("fit", "bunny", *tiny, "--out", "fit", "--json"))
    report = json.loads(command("eval", "fit", "--json"))
    info = json.loads(command("info", "fit", "--json"))
    compared = json.loads(command("compare", "bunny", "--models", "nerv,enerv", *tiny, "--out", "two", "--json"))
    command("render", "fit", "clip.mp4", "--side-by-side")
    assert metrics["frames"] == 2
    assert report["psnr"] == pytest.approx(metrics["psnr"], abs=1e-3)
    assert info["stored_numbers"] == metrics["stored_numbers"]
    assert set(compared) == {"nerv", "enerv"}
    assert (tmp_path / "clip.mp4").stat().st_size > 0


@pytest.mark.network
def test_a_fit_is_pushed_and_loaded_by_its_name(installed, tmp_path):
    """What the README says, from the wheel, with the real client and a Hub on this machine."""
    python, _ = installed
    video = ez.create_model("enerv", frames=3, height=36, width=64, size="60K").eval()
    video.save_pretrained(tmp_path / "fit")
    snippet = re.search(r"`(ez\.load\(\"(user/.*?)\"\))`", (CHECKOUT / "README.md").read_text())
    with running() as hub:
        hub.users["hf_user"] = "user"
        variables = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_user", "HF_HUB_DISABLE_XET": "1"}
        with commands(python, HF_HOME=str(tmp_path / "home"), **variables) as command:
            command("push", "fit", snippet[2])
            frames = command("-c", f"import enerv_zoo as ez; print({snippet[1]}[:].flatten().tolist())")
    assert json.loads(frames) == video[:].flatten().tolist()


def test_a_manifest_comes_with_the_wheel(command, tmp_path):
    jobs = json.loads(command("publish", "bunny", "--owner", "user", "--dry-run", "--json"))
    assert {job["fitting"] for job in jobs} == {"fit"}
    assert not list(tmp_path.iterdir())
