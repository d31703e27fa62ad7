"""The model card: what the Hub reads in its head, and that no string of a config gets out of its place."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest
import yaml
from huggingface_hub import ModelCard

import enerv_zoo as ez
from enerv_zoo.cli.generated import parse_text
from enerv_zoo.config import Recipe
from enerv_zoo.hub.card import card
from enerv_zoo.storage import Description, FitRecord, read_description
from enerv_zoo.video import open_video

METRICS = {"psnr": 31.4159, "ms_ssim": 0.98765, "bpp": 0.25, "stored_numbers": 1_500_000, "device": "cpu"}


@pytest.fixture
def description(run_folder):
    recipe = Recipe(model={"name": "enerv"}, fit={"epochs": 300, "loss": "Fusion6"})
    return replace(read_description(run_folder), fit=FitRecord(recipe, METRICS), license="cc-by-3.0")


def write(description, repo_id="alice/bunny", picture=True, clip="https://hub/alice/bunny/resolve/main/preview.mp4"):
    return card(description, repo_id, picture=picture, clip=clip)


def test_the_hub_can_read_the_head(description):
    data = ModelCard(write(description)).data
    assert data.library_name == "enerv-zoo"
    assert data.license == "cc-by-3.0"
    assert {"enerv-zoo", "enerv", "neural-video-representation"} <= set(data.tags)
    assert data.model_name == "enerv on bunny"
    results = {result.metric_type: result.metric_value for result in data.eval_results}
    assert results == {key: value for key, value in METRICS.items() if key != "device"}
    assert {result.dataset_name for result in data.eval_results} == {"bunny"}


def test_people_can_read_the_rest(description):
    text = write(description)
    for line in (
        "# bunny, as a network",
        "| PSNR (dB) | 31.42 |",
        "| stored parameters | 1,500,000 |",
        "- epochs: 300",
        "- The video: Big Buck Bunny (c) 2008 Blender Foundation, www.bigbuckbunny.org, CC BY 3.0",
        "- The weights: cc-by-3.0",
        'video = ez.load("alice/bunny")',
    ):
        assert line in text.splitlines(), text
    assert "\n\n\n" not in text


def test_a_loss_of_weights_is_shown_as_the_command_line_takes_it(description):
    recipe = Recipe(fit={"loss": {"MS_SSIM": 0.3, "charbonnier": {"weight": 1, "eps": 0.1}}})
    text = write(replace(description, fit=FitRecord(recipe)))
    (line,) = (line for line in text.splitlines() if line.startswith("- loss: "))
    shown = html.unescape(line.removeprefix("- loss: ").replace("\\", ""))
    assert parse_text(shown, {str, dict}) == recipe.fit["loss"]


def test_what_is_not_known_is_left_out(description):
    bare = Description(description.model, replace(description.video, attribution=None))
    text = write(bare, picture=False, clip=None)
    for word in ("model-index", "license:", "preview", "Scores", "How it was fitted", "None"):
        assert word not in text
    assert "- The weights: not stated" in text


EVIL = (
    "x\n---\nlibrary_name: evil\n",
    "<script>alert(1)</script>",
    "![x](https://evil/x.png) [y](javascript:z) **b** `c` | d |",
    "```\nimport os\n```",
    "{{ 7 * 7 }} {% raw %}",
    "</video><img src=x onerror=y>",
    "\x1b[31mred\x07 \u202egnp",
    "# heading\n## another",
    "'\": &a *a !!python/object:os.system",
)


def test_an_apostrophe_is_one(description):
    text = write(replace(description, video=replace(description.video, name='Anna\'s "day" & more')))
    assert '# Anna\'s "day" &amp; more, as a network' in text.splitlines()


@pytest.mark.parametrize("evil", EVIL)
def test_strings_stay_where_they_are(description, evil):
    video = replace(description.video, name=evil, attribution=evil)
    model = replace(description.model, family=evil)
    fit = FitRecord(Recipe(fit={evil: evil, "epochs": [evil]}), {**METRICS, "device": evil})
    harmless = write(description).splitlines()
    text = write(Description(model, video, fit, "mit"))
    head, body = re.fullmatch(r"---\n(.*?)\n---\n(.*)", text, re.DOTALL).groups()
    data = yaml.safe_load(head)
    assert data["library_name"] == "enerv-zoo"
    assert data["enerv_zoo"]["video"] == " ".join("".join(c if c.isprintable() else " " for c in evil).split())
    assert ModelCard(text).data.library_name == "enerv-zoo"
    assert "<" not in body.replace('<video controls muted loop src="https://hub/', "").replace("></video>", "")
    assert body.count("```") == 2
    assert not re.search(r"(?<!\\)!\[(?!Original)|(?<!\\)\]\((?!preview)", body)
    assert [line for line in body.splitlines() if line.startswith("#")][1:] == [
        line for line in harmless if line.startswith("## ")
    ]
    assert "49" not in body
    assert all(c.isprintable() or c == "\n" for c in text)


def test_the_clip_is_short_and_small(client, run_folder, tmp_path):
    ez.push(run_folder, "alice/bunny")
    pulled = ez.pull("alice/bunny", tmp_path / "pulled")
    clip = open_video(pulled / "preview.mp4")
    assert clip.frames.shape == (3, 3, 36, 64)
    assert (clip.frames.int() - ez.load(pulled)[:].int()).abs().float().mean() < 12
    wide = ez.create_model("nerv", frames=100, height=40, width=1000, size="200K")
    wide.push_to_hub("alice/wide")
    clip = open_video(ez.pull("alice/wide", tmp_path / "wide") / "preview.mp4")
    assert clip.frames.shape[1:] == (3, 20, 480)
    assert len(clip) == 72
    assert (tmp_path / "wide" / "preview.mp4").stat().st_size < 1 << 20


def test_a_card_of_ones_own_is_kept(client, run_folder, tmp_path):
    folder = ez.load(run_folder).save_pretrained(tmp_path / "fit")
    snippet = '```python\nvideo = ez.load("alice/first")\n```\n'
    (folder / "README.md").write_text(f"---\nlicense: mit\n---\nMine.\n{snippet}")
    ez.push(folder, "alice/bunny")
    assert b"Mine." in client.repositories["alice/bunny"].at().files["README.md"].data


def test_a_card_that_was_pulled_is_of_its_repository_alone(client, run_folder, tmp_path, caplog):
    ez.push(run_folder, "alice/bunny")
    pulled = ez.pull("alice/bunny", tmp_path / "pulled")
    before = (pulled / "README.md").read_bytes()
    ez.push(pulled, "alice/bunny")
    assert client.repositories["alice/bunny"].at().files["README.md"].data == before
    (pulled / "README.md").write_bytes(before + b"Mine.\n")
    ez.push(pulled, "alice/bunny", revision="main")
    assert client.repositories["alice/bunny"].at().files["README.md"].data.endswith(b"Mine.\n")
    (pulled / "README.md").write_bytes(before)
    ez.push(pulled, "alice/bunny")
    ez.push(pulled, "alice/copy", license="mit")
    text = client.repositories["alice/copy"].at().files["README.md"].data.decode()
    assert "alice/bunny" not in text
    assert 'ez.load("alice/copy")' in text
    assert "license: mit" in text
    assert 'README.md is the card of "alice/bunny"; "alice/copy" gets one of its own' in caplog.text
    assert (pulled / "README.md").read_bytes() == before
    ez.push(pulled, "alice/bunny", revision="wider")
    text = client.repositories["alice/bunny"].at("wider").files["README.md"].data.decode()
    assert 'ez.load("alice/bunny", revision="wider")' in text
    ez.push(ez.pull("alice/bunny", tmp_path / "wider", revision="wider"), "alice/bunny")
    assert client.repositories["alice/bunny"].at().files["README.md"].data == before


def test_how_it_was_fitted_goes_along_and_can_be_fitted_again(client, run_folder, tmp_path):
    ez.push(run_folder, "alice/bunny", license="cc-by-3.0")
    pulled = read_description(ez.pull("alice/bunny", tmp_path / "pulled"))
    assert pulled.license == "cc-by-3.0"
    assert pulled.fit.metrics["epochs"] == 1
    again = ez.fit("bunny", recipe=vars(pulled.fit.recipe), epochs=1)
    assert again.video.config == ez.load(run_folder).config
    assert len(again.video) == 3
