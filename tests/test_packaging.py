"""Metadata, workflows and recipes of packages agree with each other, and are what their schemas ask for."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import enerv_zoo as ez
from enerv_zoo import fitting
from enerv_zoo.cli import diagnosing

ROOT = Path(ez.__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOWS = {path.stem: path for path in (ROOT / ".github" / "workflows").glob("*.yml")}
FORMS = sorted(set((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")) - {ROOT / ".github/ISSUE_TEMPLATE/config.yml"})
CONDA_NAMES = {"huggingface-hub": "huggingface_hub", "torch": "pytorch"}


@pytest.mark.parametrize(
    "words",
    [
        ("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *sorted(WORKFLOWS.values())),
        ("check-jsonschema", "--builtin-schema", "vendor.github-issue-forms", *FORMS),
        ("zizmor", "--offline", "--no-progress", ROOT / ".github" / "workflows"),
    ],
    ids=["workflows", "forms", "security"],
)
def test_workflows_and_forms_are_valid(words):
    program = shutil.which(words[0], path=sysconfig.get_path("scripts"))
    done = subprocess.run([program, *map(str, words[1:])], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_python_that_is_promised_is_tested():
    promised = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    matrix = yaml.safe_load(WORKFLOWS["ci"].read_text())["jobs"]["tests"]["strategy"]["matrix"]
    assert matrix["python"] == promised
    assert PROJECT["requires-python"] == f">={promised[0]}"
    for system in ("macos-latest", "windows-latest"):
        tested = [each["python"] for each in matrix["include"] if each["os"] == system]
        assert tested == [promised[0], promised[-1]]


def test_the_version_is_said_once():
    assert "version" in PROJECT["dynamic"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == ez.__version__
    assert f'version = "{ez.__version__}"' in (ROOT / "packaging" / "conda" / "meta.yaml").read_text()
    assert f"## {ez.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_a_package_index_gets_the_readme_without_pictures_and_links_of_the_checkout():
    builder = [sys.executable, "-m", "hatchling", "metadata", "readme"]
    shown = subprocess.run(builder, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    readme = (ROOT / "README.md").read_text()
    assert not re.search(r"<img|!\[|\]\((?!https?:)", shown)
    headings = re.findall(r"^## .*$", readme, re.MULTILINE)
    assert re.findall(r"^## .*$", shown, re.MULTILINE) == headings
    assert readme.count("```") == shown.count("```") > 0
    assert readme.count("\n| ") == shown.count("\n| ") > 0
    assert "after 30 seconds" not in shown.partition("## Two commands")[0]  # the caption of a picture


def test_the_conda_recipe_has_the_bounds_of_the_project():
    text = (ROOT / "packaging" / "conda" / "meta.yaml").read_text()
    run = re.search(r"  run:\n((?:    - .*\n)+)", text)[1]
    listed = dict(line.removeprefix("    - ").split(" >=") for line in run.splitlines())
    bounds = dict(requirement.split(">=") for requirement in PROJECT["dependencies"])
    expected = {CONDA_NAMES.get(name, name): bound for name, bound in bounds.items()}
    assert listed == {"python": PROJECT["requires-python"].removeprefix(">="), **expected}


def test_a_release_is_published_without_a_stored_token():
    release = yaml.safe_load(WORKFLOWS["release"].read_text())
    assert release["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert "secrets." not in "".join(path.read_text() for path in WORKFLOWS.values())


def test_version_names_commit_and_dependencies(cli):
    code, shown, _ = cli("--version")
    first, second, third = shown.splitlines()
    assert code == 0
    assert re.fullmatch(rf"enerv-zoo {re.escape(ez.__version__)}(?: \(commit [0-9a-f]{{12}}\+?\))?", first)
    assert second.startswith(f"Python {sys.version.split()[0]}, ")
    for name in ("torch", "av", "huggingface-hub"):
        assert f"{name} {metadata.version(name)}" in third


def test_doctor_fits_and_finds_what_fails(cli, monkeypatch):
    code, shown, _ = cli("doctor", "--device", "cpu", "--seconds", "0.5", "--json")
    findings = {each["subject"]: each for each in json.loads(shown)}
    assert code == 0
    assert {"version", "Python", "dependencies", "extra cluster", "device", "precision"} <= findings.keys()
    assert "x264" in findings["codecs"]["text"]
    assert re.match(r"[\d.]+ dB after 0.5 s, [\d,]+ bytes as .nvz", findings["fit"]["text"])

    def failing(*arguments, **options):
        raise ez.FitError("no memory\nleft")

    monkeypatch.setattr(fitting, "fit", failing)
    code, shown, _ = cli("doctor", "--device", "cpu")
    assert code == 1
    assert re.search(r"FAILED +fit +FitError: no memory left", shown)


def test_doctor_describes_the_device_that_it_uses(monkeypatch):
    cards = {f"cuda:{number}": SimpleNamespace(name=f"card {number}", total_memory=8e9) for number in range(2)}
    monkeypatch.setattr("torch.cuda.get_device_properties", cards.__getitem__)
    assert diagnosing._describe("cuda:1").startswith("cuda:1: card 1, ")
    assert diagnosing._describe("mps").startswith("mps: ")
