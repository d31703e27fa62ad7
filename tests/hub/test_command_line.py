"""The commands that meet the Hub, as a person types them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import enerv_zoo as ez
from enerv_zoo.hub import bundled
from enerv_zoo.video import open_video

ROOT = Path(ez.__file__).parent.parent


@pytest.fixture
def cli(cli, client, monkeypatch, tmp_path):
    """Run a command in an empty folder, with a Hub of its own."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return cli


@pytest.mark.parametrize("command", ["push", "pull"])
def test_help_has_an_example(cli, command):
    code, out, _ = cli(command, "--help")
    assert code == 0
    assert f"enerv-zoo {command}" in out.replace("\n", " ")
    assert "Example" in out


def test_push_then_every_command_takes_the_id(cli, client, run_folder):
    code, out, _ = cli("push", run_folder, "alice/bunny", "--private", "--license", "cc-by-3.0", "--message", "first")
    assert code == 0
    assert f"pushed to {client.url}/alice/bunny/commit/" in out
    client.log.clear()
    code, out, _ = cli("info", "alice/bunny")
    assert code == 0
    for word in ("bunny: 3 frames of 64x36", "product", "CC BY 3.0", "cc-by-3.0", "weights", "MB"):
        assert word in out
    assert not client.asked(r"/[0-9a-f]{64}|model\.safetensors"), "info needs no weights"
    described = json.loads(cli("info", "alice/bunny", "--json")[1])
    assert described["weights_bytes"] == (run_folder / "model.safetensors").stat().st_size
    assert described["fit"]["recipe"]["video"] == {"frames": "0:3", "resize": "64x36"}
    theirs, ours = (json.loads(cli("eval", run, "--json")[1]) for run in ("alice/bunny", run_folder))
    assert [row["psnr"] for row in theirs["frames"]] == [row["psnr"] for row in ours["frames"]]
    assert cli("render", "alice/bunny", "clip.mp4", "--side-by-side")[0] == 0
    assert cli("pull", "alice/bunny", "pulled")[0] == 0
    code, _, err = cli("pull", "alice/bunny", "pulled")
    assert (code, err.count("\n")) == (1, 1)
    assert cli("pull", "alice/bunny", "pulled", "--overwrite")[0] == 0


def test_a_revision(cli, client, run_folder):
    _, out, _ = cli("push", run_folder, "alice/bunny", "--revision", "second")
    assert out.endswith("\n  enerv-zoo render alice/bunny video.mp4 --revision second\n")
    assert cli("info", "alice/bunny")[0] == 1
    for command in (["info", "alice/bunny"], ["pull", "alice/bunny", "x"], ["eval", "alice/bunny", "bunny"]):
        assert cli(*command, "--revision", "second")[0] == 0


def test_a_repository_is_asked_once_what_it_holds(cli, client, fit_files):
    client.add("bob/bunny", fit_files)
    client.log.clear()
    assert cli("info", "bob/bunny")[0] == 0
    assert len(client.asked(r"GET /api/models/bob/bunny")) == 1
    assert client.asked("model.safetensors") == []


def test_a_video_that_others_do_not_have_must_be_named(cli, client, fit_files):
    client.add("bob/bunny", fit_files)
    code, _, err = cli("eval", "bob/bunny")
    assert code == 1
    assert "name the video to compare with" in err


def test_models_pretrained(cli, client, run_folder, monkeypatch, tmp_path):
    monkeypatch.setattr(bundled, "BUNDLED", tmp_path / "nothing")
    assert cli("models", "--pretrained")[0] == 1
    ez.push(run_folder, "alice/bunny")
    code, out, _ = cli("models", "--pretrained", "bun")
    assert code == 0
    for word in ("alice/bunny", "enerv", "64x36", "2026-01-02"):
        assert word in out
    assert json.loads(cli("models", "--pretrained", "--json")[1])[0]["id"] == "alice/bunny"
    code, _, err = cli("models", "--pretrained", "wolf")
    assert code == 1
    assert "'wolf' in its name" in err


def test_a_strangers_words_are_not_obeyed(cli, client, fit_files):
    config = json.loads(fit_files["config.json"])
    config["video"]["name"] = "\x1b[2J[bold]x[/bold]\x07"
    client.add("bob/evil", {**fit_files, "config.json": json.dumps(config).encode()})
    code, out, _ = cli("info", "bob/evil")
    assert code == 0
    assert "[bold]x[/bold]" in out
    assert "\x1b" not in out
    assert "\x07" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("info", "alice/nothing"), "no such repository"),
        (("eval", "alice/nothing"), "no such repository"),
        (("render", "alice/nothing", "x.mp4"), "no such repository"),
        (("pull", "alice/nothing", "x"), "no such repository"),
        (("pull", "nothing", "x"), "no published one has this name. There are: bunny-enerv, "),
        (("pull", "alice/bunny/more", "x"), "is no repository id"),
        (("pull", "bunny-sample", "x"), "came with enerv_zoo; load it by its name, or copy "),
        (("push", "nothing", "alice/bunny"), "nothing: no such folder"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(cli, arguments, message):
    code, _, err = cli(*arguments)
    assert code == 1
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize("page", ["README.md", "docs/sharing.md"])
def test_what_the_pages_show_works(page, cli, client, run_folder, monkeypatch):
    text = (ROOT / page).read_text()
    commands = re.findall(r"^enerv-zoo (.* user/.*?|.*--pretrained|compress .*?)(?:\s+#.*)?$", text, re.MULTILINE)
    snippets = [s for s in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE) if "user/" in s]
    assert commands
    client.users["hf_user"] = "user"
    monkeypatch.setenv("HF_TOKEN", "hf_user")
    Path("runs").mkdir()
    for name in ("bunny", "holiday"):
        Path("runs", name).symlink_to(run_folder)
    for command in commands:
        code, _, err = cli(*command.split())
        assert code == 0, (command, err)
    for snippet in snippets:
        exec(compile(snippet, page, "exec"), {})  # our own documentation
    assert open_video("bunny.mp4").frames.shape == (3, 3, 36, 64)


def test_the_cards_snippet_works_when_pasted(client, process, run_folder, tmp_path):
    ez.push(run_folder, "alice/bunny")
    text = client.repositories["alice/bunny"].at().files["README.md"].data.decode()
    snippet = re.search(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[1]
    done = process("-c", snippet, HF_TOKEN="hf_bob")
    assert done.returncode == 0, done.stderr
    assert "3 torch.Size([3, 36, 64])" in done.stdout
    assert (tmp_path / "decoded.mp4").stat().st_size > 0
