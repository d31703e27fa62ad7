"""What a string means: a folder, a repository, a name of the index."""

from __future__ import annotations

import pytest

import enerv_zoo as ez
from enerv_zoo.errors import ConfigError, HubError
from enerv_zoo.hub import source
from enerv_zoo.hub.index import add_to_index, read_index


@pytest.fixture
def index(tmp_path, monkeypatch):
    file = tmp_path / "index.yaml"
    file.write_text("bunny-small: alice/bunny-enerv-s@v1\nbunny-large: alice/bunny-enerv-l\n")
    monkeypatch.setattr(source, "INDEX", file)
    return file


def test_the_bundled_index_is_sound():
    assert isinstance(source.read_index(source.INDEX), dict)


def test_a_short_name_means_a_repository_at_a_revision(client, fit_files, index):
    repo = client.add("alice/bunny-enerv-s", fit_files)
    repo.branches["v1"] = repo.at().sha
    client.add("alice/bunny-enerv-l", fit_files)
    assert len(ez.load("bunny-small")) == len(ez.load("bunny-large")) == 3
    assert client.asked("GET /api/models/alice/bunny-enerv-s/revision/v1")
    assert len(ez.load("bunny-small", revision="main")) == 3
    assert client.asked("GET /api/models/alice/bunny-enerv-s/revision/main")
    with pytest.raises(ConfigError, match=r"no published one has this name\. Did you mean 'bunny-small'"):
        ez.load("bunny-smal")


def test_names_that_look_like_numbers_stay_names(tmp_path):
    file, names = tmp_path / "names.yaml", [f"{number:04}" for number in range(1, 12)] + ["1e5", "0o7", "on", "12:30"]
    for name in names:
        add_to_index(file, name, f"alice/{name.replace(':', '-')}")
    assert sorted(read_index(file)) == sorted(names)


def test_a_damaged_index_is_named(tmp_path):
    file = tmp_path / "index.yaml"
    file.write_text("bunny: ../../etc\n")
    with pytest.raises(ConfigError, match="'bunny' means"):
        source.read_index(file)


def test_a_folder_comes_first(client, fit_files, run_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    client.add("alice/bunny", {"config.json": b"{}"})
    ez.load(run_folder).save_pretrained("alice/bunny")
    assert len(ez.load("alice/bunny")) == 3
    assert client.log == []


@pytest.mark.parametrize("path", ["./alice/bunny", "/alice/bunny", "a/b/c", "alice/bunny/", "../bunny", "bunny", ""])
def test_what_can_be_no_repository_is_not_asked_for(client, path, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(ConfigError, match=r"no fit is there|no such folder"):
        ez.load(path)
    assert client.log == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "runs/wave",
            "error: runs/wave: no such folder; did you mean runs/waves? For a repository on the Hub write hf:runs/wave",
        ),
        ("runs/x", "runs/x: no such folder. For a repository on the Hub write hf:runs/x"),
        ("./runs/wave", "./runs/wave: no such folder; did you mean runs/waves?"),
        ("runs/waves/", None),
        ("runs/wavs/", "runs/wavs/: no such folder; did you mean runs/waves?"),
        ("rums/waves/part", "rums/waves/part: no such folder; did you mean runs/waves/parts?"),
        ("wave.nvz", "wave.nvz: no such file; did you mean waves.nvz?"),
        ("alice/wave.mp4", "alice/wave.mp4: no such file. For a repository on the Hub write hf:alice/wave.mp4"),
        ("runs\\wave", "runs\\wave: no such folder; did you mean runs/waves?"),
        ("~/nowhere/at/all", "~/nowhere/at/all: no such folder"),
        ("/nowhere/at-all", "/nowhere/at-all: no such folder"),
        ("wave", "no published one has this name. Did you mean the folder 'waves.nvz' here?"),
    ],
)  # fmt: skip
def test_a_mistyped_path_is_no_repository(client, cli, run_folder, tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    ez.load(run_folder).save_pretrained("runs/waves")
    (tmp_path / "runs" / "waves" / "parts").mkdir()
    (tmp_path / "waves.nvz").touch()
    code, _, err = cli("info", text)
    assert client.log == []
    if message is None:
        assert code == 0
        return
    assert (code, err.count("\n")) == (1, 1)
    assert message in err


def test_hf_is_always_the_hub(client, cli, fit_files, run_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    client.add("runs/wave", fit_files)
    ez.load(run_folder).save_pretrained("runs/wave")
    for command in (("info", "hf:runs/wave"), ("pull", "hf:runs/wave", "pulled"), ("push", "pulled", "hf:alice/wave")):
        client.log.clear()
        code, _, err = cli(*command)
        assert code == 0, err
        assert client.log
    client.log.clear()
    assert len(ez.load("runs/wave")) == 3
    for text in ("hf:wave", "hf:", "hf:a/b/c", "hf:./wave"):
        with pytest.raises(ConfigError, match="expected a user or an organisation and a name after hf:"):
            ez.load(text)
    assert client.log == []


def test_a_repository_that_is_not_there_may_have_been_a_folder(client, run_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ez.load(run_folder).save_pretrained("runs/wave")
    with pytest.raises(HubError, match=r"rnus/wave: no such repository .*; did you mean the folder runs/wave here\?"):
        ez.load("rnus/wave")


def test_a_path_is_never_a_repository(client, tmp_path):
    from pathlib import Path

    with pytest.raises(ConfigError, match="no fit is there"):
        ez.load(Path("alice/bunny"))
    with pytest.raises(HubError, match="nor a folder here"):
        ez.load("alice/bunny")
    with pytest.raises(HubError, match="is no repository id"):
        ez.load("alice/bunny--x")
