"""Pushed with the real client over HTTP, and pulled again: the same frames, and nothing sent twice."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
import yaml
from huggingface_hub import ModelCardData, constants

import enerv_zoo as ez
from enerv_zoo.errors import ConfigError, EnervZooError, HubError
from enerv_zoo.hub.search import entry_of
from enerv_zoo.storage import open_run

from .conftest import close_session

FILES = {"config.json", "model.safetensors", "fit.json", "README.md", "preview.png", "preview.mp4", "sound.mp4"}


def frames(video):
    return torch.cat(list(video.decode_float()))


def test_from_the_command_line_and_back(hub, process, run_folder, tmp_path):
    pushed = process("push", run_folder, "alice/bunny", "--license", "cc-by-3.0", "--json")
    assert pushed.returncode == 0, pushed.stderr
    repo = hub.repositories["alice/bunny"]
    assert json.loads(pushed.stdout) == {
        "repository": "alice/bunny",
        "url": f"{hub.url}/alice/bunny/commit/{repo.at().sha}",
    }
    assert set(repo.at().files) == FILES | {".gitattributes"}
    assert len(repo.commits) == 2
    code = "import enerv_zoo as ez, torch; torch.save(ez.load('alice/bunny')[:], 'frames.pt')"
    loaded = process("-c", f"{code}; ez.pull('alice/bunny', 'pulled')")
    assert loaded.returncode == 0, loaded.stderr
    assert torch.equal(torch.load(tmp_path / "frames.pt"), ez.load(run_folder)[:])
    assert {path.name for path in (tmp_path / "pulled").iterdir()} == FILES
    assert torch.equal(frames(ez.load(tmp_path / "pulled")), frames(ez.load(run_folder)))
    assert hub.tokens_at_the_store == []
    hub.log.clear()
    offline = process("-c", code, HF_HUB_OFFLINE="1")
    assert offline.returncode == 0, offline.stderr
    assert hub.log == []


def test_a_player_is_pushed_linked_and_never_pulled(client, run_folder, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<p>plays</p>")
    ez.push(run_folder, "alice/bunny", player=page)
    files = client.repositories["alice/bunny"].at().files
    assert files["player.html"].data == page.read_bytes()
    link = f"{constants.ENDPOINT}/alice/bunny/resolve/main/player.html?download=true"
    assert f"[Play it in your browser]({link})" in files["README.md"].data.decode()
    assert {path.name for path in ez.pull("alice/bunny", tmp_path / "pulled").iterdir()} == FILES
    ez.push(run_folder, "alice/bunny")
    files = client.repositories["alice/bunny"].at().files
    assert "player.html" not in files
    assert "Play it" not in files["README.md"].data.decode()
    with pytest.raises(ConfigError, match="expected a page in one file"):
        ez.push(run_folder, "alice/bunny", player=tmp_path / "nothing.html")


def test_what_did_not_change_is_not_sent_again(client, run_folder):
    ez.push(run_folder, "alice/bunny")
    head = client.repositories["alice/bunny"].at().sha
    client.log.clear()
    assert ez.push(run_folder, "alice/bunny").endswith(head)
    assert client.asked("PUT") == client.asked("/commit/") == []
    ez.push(run_folder, "alice/bunny", license="cc0-1.0")
    assert client.asked("PUT") == []
    changed = client.repositories["alice/bunny"].at()
    assert json.loads(changed.files["config.json"].data)["license"] == "cc0-1.0"
    assert changed.files["model.safetensors"].data == (run_folder / "model.safetensors").read_bytes()


def test_no_path_of_this_machine_is_pushed(client, run_folder, tmp_path):
    folder = tmp_path / "fit"
    ez.load(run_folder).save_pretrained(folder)
    record = json.loads((run_folder / "fit.json").read_text())
    (folder / "fit.json").write_text(json.dumps({**record, "source": "/home/alice/holiday.mp4"}))
    ez.push(folder, "alice/holiday")
    files = client.repositories["alice/holiday"].at().files
    assert json.loads(files["fit.json"].data)["source"] is None
    assert not any(b"/home/alice" in file.data or str(tmp_path).encode() in file.data for file in files.values())


def test_a_network_in_memory(client, run_folder):
    video = ez.load(run_folder)
    url = video.push_to_hub("alice/memory", private=True, commit_message="first", license="mit")
    repo = client.repositories["alice/memory"]
    assert repo.private
    assert repo.at().message == "first"
    assert url.endswith(repo.at().sha)
    again = ez.NeuralVideo.from_pretrained("alice/memory")
    assert torch.equal(frames(again), frames(video))
    with pytest.raises(HubError, match="no such repository"):
        ez.load("alice/memory", token="hf_bob", cache_dir="other")


def test_revisions(client, run_folder, tmp_path):
    ez.push(run_folder, "alice/bunny")
    other = ez.load(run_folder)
    with torch.no_grad():
        next(other.parameters()).add_(1)
    first = client.repositories["alice/bunny"].at().sha
    other.push_to_hub("alice/bunny", revision="wider")
    repo = client.repositories["alice/bunny"]
    assert repo.at().sha == first
    assert "preview.png" not in repo.at("wider").files  # of the fit before
    for revision, expected in (("wider", other), (repo.at("wider").sha, other), (first, ez.load(run_folder))):
        assert torch.equal(frames(ez.load("alice/bunny", revision=revision)), frames(expected))
    cards = [repo.at(*revision).files["README.md"].data.decode() for revision in ((), ("wider",))]
    assert ['ez.load("alice/bunny")' in card for card in cards] == [True, False]
    assert ['ez.load("alice/bunny", revision="wider")' in card for card in cards] == [False, True]
    assert "/alice/bunny/resolve/wider/preview.mp4" in cards[1]
    with pytest.raises(HubError, match="has no revision 'narrow'"):
        ez.load("alice/bunny", revision="narrow")


def test_a_pull_request(client, run_folder, monkeypatch):
    client.add("bob/bunny", {"config.json": b"{}"})
    url = ez.push(run_folder, "bob/bunny", create_pr=True)
    assert url.endswith("/discussions/1")
    repo = client.repositories["bob/bunny"]
    assert repo.at().files["config.json"].data == b"{}"
    assert set(repo.at(next(name for name in repo.branches if "pr/" in name)).files) >= FILES


def test_local_files_only(client, run_folder, tmp_path):
    ez.push(run_folder, "alice/bunny")
    with pytest.raises(HubError, match="was not downloaded before"):
        ez.load("alice/bunny", local_files_only=True)
    ez.load("alice/bunny")
    client.log.clear()
    cached = ez.load("alice/bunny", local_files_only=True)
    assert torch.equal(frames(cached), frames(ez.load(run_folder)))
    assert cached.sound == (run_folder / "sound.mp4").read_bytes()
    assert client.log == []
    ez.pull("alice/bunny", tmp_path / "pulled", local_files_only=True)
    assert sorted(path.name for path in (tmp_path / "pulled").iterdir()) == [
        "config.json",
        "model.safetensors",
        "sound.mp4",
    ]


def test_offline(client, run_folder, monkeypatch, caplog):
    ez.push(run_folder, "alice/bunny")
    ez.load("alice/bunny")
    client.log.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    close_session()  # one that is open would still ask
    assert torch.equal(ez.load("alice/bunny")[:], ez.load(run_folder)[:])
    with pytest.raises(HubError, match="was not downloaded before"):
        ez.load("alice/other")
    for ask in (lambda: ez.push(run_folder, "alice/bunny"), ez.list_pretrained):
        with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
            ask()
    assert client.log == []
    assert not [record for record in caplog.records if record.name.startswith("enerv_zoo.hub")]


def test_only_the_files_of_a_fit_are_asked_for(client, fit_files, tmp_path):
    strange = {"pytorch_model.bin": b"pickle", "modeling.py": b"import os", "../config.json": b"{}", "/evil.pth": b"x"}
    client.add("bob/bunny", {**fit_files, **strange})
    ez.pull("bob/bunny", tmp_path / "pulled")
    assert {line.rsplit("/", 1)[1] for line in client.asked("/resolve/")} == set(fit_files)
    assert {path.name for path in (tmp_path / "pulled").iterdir()} == set(fit_files)


def test_pull_replaces_what_a_pull_wrote_alone(client, fit_files, tmp_path):
    client.add("bob/bunny", fit_files)
    target = tmp_path / "pulled"
    ez.pull("bob/bunny", target)
    with pytest.raises(HubError, match="not empty"):
        ez.pull("bob/bunny", target)
    ez.pull("bob/bunny", target, overwrite=True)
    (target / "thesis.tex").write_text("mine")
    with pytest.raises(HubError, match=r"holds 'thesis\.tex', which no pull wrote"):
        ez.pull("bob/bunny", target, overwrite=True)
    assert (target / "thesis.tex").read_text() == "mine"


def test_a_pulled_fit_knows_its_video(client, run_folder, tmp_path):
    ez.push(run_folder, "alice/bunny")
    pulled = ez.pull("alice/bunny", tmp_path / "pulled")
    assert torch.equal(open_run(pulled).original().frames, open_run(run_folder).original().frames)


def test_search(client, run_folder, fit_files):
    ez.push(run_folder, "alice/bunny-small")
    client.add("bob/bunny-of-another-library", fit_files)
    found = ez.list_pretrained("bunny")
    assert [entry.id for entry in found] == ["alice/bunny-small"]
    entry = found[0]
    video = ez.load(run_folder)
    assert (entry.family, entry.video, entry.frames, entry.height, entry.width) == ("enerv", "bunny", 3, 36, 64)
    assert entry.stored_numbers == video.stored_numbers
    assert entry.psnr == pytest.approx(json.loads((run_folder / "metrics.json").read_text())["psnr"])
    assert (entry.updated, entry.downloads, entry.private) == ("2026-01-02", 7, False)
    assert ez.list_pretrained(author="bob") == ez.list_pretrained("wolf") == []


def test_a_card_that_means_something_else_hides_no_fit():
    """As the client reads cards of strangers."""
    ours = {"family": "enerv", "psnr": 30.5}
    for strange in ({"eval_results": 5}, {"to_dict": 1}, {}):
        card = ModelCardData(enerv_zoo=ours, ignore_metadata_errors=True, **strange)
        info = SimpleNamespace(id="eve/x", card_data=card, downloads=1, last_modified=None, private=False)
        assert (entry_of(info).family, entry_of(info).psnr) == ("enerv", 30.5)
    assert entry_of(SimpleNamespace(**{**vars(info), "card_data": None})).family is None


def test_a_folder_that_nobody_could_load_is_not_pushed(client, run_folder, tmp_path):
    with pytest.raises(EnervZooError, match="no fit is there"):
        ez.push(tmp_path, "alice/nothing")
    for name in ("alice/a/b", "bunny", "alice/b c"):
        with pytest.raises(HubError, match="is no repository id"):
            ez.push(run_folder, name)
    with pytest.raises(EnervZooError, match="a licence is named"):
        ez.push(run_folder, "alice/bunny", license="all rights: mine")
    assert client.log == []


@pytest.fixture(scope="session")
def long_file(long_folder, tmp_path_factory):
    """A video in two segments as one compressed file, which tells its own quality."""
    return ez.compress(long_folder, tmp_path_factory.mktemp("long") / "holiday.nvz", data="bunny").path


def test_a_compressed_file_and_back(client, cli, run_folder, long_file, tmp_path):
    """A repository may hold a file in place of a network; it stands wherever that does."""
    single = ez.compress(run_folder, tmp_path / "single.nvz").path
    for file, count in ((single, 3), (long_file, 6)):
        ez.push(file, "alice/file", license="cc-by-3.0")
        repo = client.repositories["alice/file"]
        files = repo.at().files
        assert set(files) == {".gitattributes", "video.nvz", "README.md", "preview.mp4"}
        assert files["video.nvz"].data == file.read_bytes()
        text = files["README.md"].data.decode()
        card = yaml.safe_load(text.split("---\n")[1])
        assert card["license"] == "cc-by-3.0"
        assert card["enerv_zoo"]["frames"] == count
        assert card["enerv_zoo"]["stored_numbers"] == ez.load(file).stored_numbers
        assert card["enerv_zoo"]["bpp"] == pytest.approx(8 * open_run(file).bytes / (count * 36 * 64))
        assert (
            f"**Sound is included**: the video's own, as it was compressed, {open_run(file).sound_bytes:,} bytes"
            in text
        )
        assert torch.equal(ez.load("alice/file")[:], ez.load(file)[:])
        assert ez.load("alice/file").sound == ez.load(file).sound == open_run(file).sound
        assert ez.list_pretrained("file")[0].frames == count
    assert ez.load("alice/file", local_files_only=True).segments == ez.load(long_file).segments
    told = json.loads(cli("info", "alice/file", "--json")[1])
    assert [segment["frames"] for segment in told["segments"]] == [3, 3]
    measured = json.loads(cli("eval", "alice/file", "--json")[1])
    assert card["enerv_zoo"]["psnr"] == pytest.approx(measured["psnr"], abs=0.01)
    pulled = ez.pull("alice/file", tmp_path / "pulled")
    assert {path.name for path in pulled.iterdir()} == {"video.nvz", "README.md", "preview.mp4"}
    assert torch.equal(ez.load(pulled)[:], ez.load(long_file)[:])
    client.log.clear()
    ez.push(pulled, "alice/file", license="cc-by-3.0")
    assert client.asked("/commit/") == []


def test_beside_a_compressed_file_no_weights_are_asked_for(client, long_file, tmp_path):
    client.add("bob/film", {"video.nvz": long_file.read_bytes(), "model.safetensors": b"x" * 9000, "README.md": b"hi"})
    ez.pull("bob/film", tmp_path / "pulled")
    assert {path.name for path in (tmp_path / "pulled").iterdir()} == {"video.nvz", "README.md"}
    assert client.asked("model.safetensors") == []


def test_a_network_takes_the_place_of_a_file(client, run_folder, tmp_path):
    ez.push(ez.compress(run_folder, tmp_path / "single.nvz").path, "alice/bunny")
    ez.push(run_folder, "alice/bunny")
    assert set(client.repositories["alice/bunny"].at().files) == FILES | {".gitattributes"}
    assert torch.equal(frames(ez.load("alice/bunny")), frames(ez.load(run_folder)))


def test_a_damaged_file_is_not_pushed_nor_pulled(client, long_file, tmp_path):
    data = bytearray(long_file.read_bytes())
    (tmp_path / "short.nvz").write_bytes(data[:-9])
    with pytest.raises(ConfigError, match="cut off or damaged"):
        ez.push(tmp_path / "short.nvz", "alice/short")
    assert "alice/short" not in client.repositories
    client.add("alice/short", {"video.nvz": bytes(data[:-9])})
    with pytest.raises(ConfigError, match="cut off or damaged"):
        ez.pull("alice/short", tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()
    with pytest.raises(ConfigError, match="cut off or damaged"):
        ez.load("alice/short")
