"""What is printed is what was typed, on every terminal; what is suggested can be pasted."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
import torch
import yaml

from enerv_zoo import cli as command_line
from enerv_zoo import fit, open_video, write_video
from enerv_zoo.cli import console
from enerv_zoo.shell import command, printable, quote

TINY = (
    "--frames",
    "0:3",
    "--resize",
    "64x36",
    "--size",
    "60K",
    "--model",
    "nerv",
    "--epochs",
    "1",
    "--batch-size",
    "3",
)
NAMES = [
    "Show [x265]",
    "[red]",
    "[/bold]",
    ":smile:",
    "two  spaces",
    'it\'s "so" $HOME `ls` \\n',
    "two\nlines",
    "\x1b[31mred\x07",
    "映画 🎬 👨‍👩‍👧 日本",
    "Screen\u202fRecording\u3000ä",
    "\u202egnp",
    "-dash",
    "bad\udcff",
]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "fit"
    fit("bunny", model="nerv", frames="0:3", resize="64x36", size="60K", epochs=1, batch_size=3, out=folder)
    return folder


@pytest.fixture
def cli(cli, monkeypatch, tmp_path):
    """Run a command in an empty folder, in a terminal that is wide enough for every table."""
    monkeypatch.chdir(tmp_path)
    return cli


@pytest.mark.parametrize(
    "advice", ["", " (see enerv-zoo fit --help)", "; go on with: enerv-zoo fit a.mp4 --out r --resume"]
)
def test_a_terminal_gets_lines_of_whole_words_and_commands_in_one(monkeypatch, advice):
    """Elsewhere, a message is one line."""
    message = "runs/a-folder-with-a-name: no such folder; did you mean the folder runs/another-name?" + advice
    for is_terminal in (True, False):
        screen = console.PlainConsole(
            file=io.StringIO(), force_terminal=is_terminal, width=40, soft_wrap=True, color_system=None
        )
        monkeypatch.setattr(console, "err", screen)
        with pytest.raises(SystemExit):
            console.fail(message)
        lines = screen.file.getvalue().splitlines()
        assert " ".join(" ".join(lines).split()) == f"error: {message}"
        assert len(lines) == 1 or is_terminal
        if is_terminal:
            prose = lines[:-1] if advice else lines
            assert all(len(line) <= 40 for line in prose)
            assert len(prose) > 1
            assert not advice or lines[-1].endswith(advice.rpartition(": ")[2].removeprefix(" "))


def one_line(name: str) -> str:
    """The way a name stands in a line."""
    shown = {"two\nlines": r"two\nlines", "\x1b[31mred\x07": r"\x1b[31mred\x07", "\u202egnp": r"\u202egnp"}
    return {**shown, "bad\udcff": r"bad\xff"}.get(name, name)


def words_of(line: str) -> list[str]:
    """The words that bash makes of a command."""
    script = f"printf '%s\\0' {line.strip()}"
    done = subprocess.run(["bash"], input=script.encode("utf-8", "surrogateescape"), capture_output=True, check=True)
    return [word.decode("utf-8", "surrogateescape") for word in done.stdout.split(b"\0")[:-1]]


def suggested(out: str) -> list[str]:
    (line,) = re.findall(r"^  (enerv-zoo .*)$", out, re.MULTILINE)
    return words_of(line)


def test_every_character_comes_back_from_a_shell():
    every = [chr(code) for code in (*range(1, 0x3000), *range(0xDC80, 0xDD00), 0xFEFF, 0xFFFD, 0x1F3AC, 0xE0041)]
    assert words_of(" ".join(map(quote, every))) == every
    assert words_of(quote("".join(every), "ascii")) == ["".join(every)]
    assert quote("".join(every), "ascii").isascii()
    assert "\n" not in quote("".join(every)) + printable("".join(every))
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", printable("".join(every)))


def test_words_for_the_shells_of_windows(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert command("render", r"C:\my runs\a", "b.mp4") == r'enerv-zoo render "C:\my runs\a" b.mp4'
    assert [quote(word) for word in ("R&D", "a(1)", "x-1.mp4", "")] == ['"R&D"', '"a(1)"', "x-1.mp4", '""']
    assert quote("C:\\R&D\\") == r'"C:\R&D\\"'
    assert quote('{"a": 1}') == r'"{\"a\": 1}"'


def test_a_dash_is_no_option():
    assert command("render", "-x", "a b") == "enerv-zoo render ./-x 'a b'"


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_commands_print_the_names_they_were_given(cli, fitted, tmp_path, name):
    own = Path(f"./{name}") if not name.startswith("-") else tmp_path / name
    run = str(own)
    shutil.copytree(fitted, own)
    shown = one_line(run)

    code, out, err = cli("info", run)
    assert (code, out.splitlines()[0].rstrip()) == (0, shown), err
    code, out, _ = cli("info", run, "--json")
    assert (code, json.loads(out)["video"]["frames"]) == (0, 3)

    code, out, err = cli("eval", run)
    assert (code, out.splitlines()[0].rstrip()) == (0, f"{shown}, 3 frames"), err

    code, out, err = cli("render", run, f"{run}.gif", "--frames", "0:2")
    assert code == 0, err
    assert shown in out
    code, _, err = cli("render", run, f"{run}.gif")
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith(f"error: {shown}.gif: ")

    code, out, err = cli("compress", run, f"{run}.nvz")
    assert (code, out.splitlines()[0].rstrip()) == (0, f"{shown}.nvz"), err
    words = suggested(out)
    assert words[:2] == ["enerv-zoo", "render"]
    assert os.path.realpath(words[2]) == os.path.realpath(f"{run}.nvz")

    code, out, err = cli("report", run, "--out", f"{run}.html", "--frames", "0:2")
    assert code == 0, err
    assert f"written to {shown}.html" in out

    for arguments in (("info", f"{run}-none"), ("fit", f"{run}-none"), ("compress", f"{run}-none", "x.nvz")):
        code, _, err = cli(*arguments)
        assert (code, err.count("\n")) == (1, 1)
        assert f"{one_line(name)}-none" in err or repr(f"{run}-none") in err


@pytest.mark.parametrize("name", ["Show [x265]", ":smile: [b]", "bad\udcff", "\x1b[31mred\nred"], ids=ascii)
def test_a_fit_prints_the_name_of_its_video(cli, tmp_path, name):
    write_video(tmp_path / "clip.mkv", open_video("bunny", frames="0:4", resize="64x36"))
    (tmp_path / "clip.mkv").rename(tmp_path / f"{name}.mkv")
    code, out, err = cli("fit", f"{name}.mkv", *TINY, "--out", name, "--no-report")
    assert code == 0, err
    assert f"nerv on {printable(name)}, 3 frames" in out
    assert f"written to {printable(name)}: " in out
    words = suggested(out)
    assert words == ["enerv-zoo", "render", name, words[3]]
    for file in ("config.json", "fit.json", "metrics.json"):
        json.loads((tmp_path / name / file).read_bytes().decode("utf-8"))
    assert json.loads((tmp_path / name / "fit.json").read_text())["source"] == str(tmp_path.resolve() / f"{name}.mkv")
    assert cli("eval", name)[0] == 0  # the video that was fitted is found again
    code, out, err = cli("fit", f"{name}.mkv", *TINY, "--segments", "2", "--out", f"{name}/parts", "--no-report")
    assert code == 0, err
    assert f"nerv on {printable(name)}, 3 frames" in out


def test_other_tables_print_names_too(cli, golden, tmp_path):
    values = golden("enerv")
    torch.save(values.state, tmp_path / "m [b].pth")
    (tmp_path / "c [b].yaml").write_text(yaml.safe_dump(values.config))
    code, out, err = cli("import", "m [b].pth", "--codebase", "e-nerv", "--config", "c [b].yaml", "--frames", "8",
                         "--height", "48", "--width", "64", "--out", "fit [b]")  # fmt: skip
    assert code == 0, err
    assert "written to fit [b]: enerv" in out
    assert suggested(out) == ["enerv-zoo", "eval", "fit [b]", "VIDEO"]
    (tmp_path / "[bold]Show [x265] :smile:.mkv").touch()
    (tmp_path / "m [b].csv").write_text("video,model,name\n[bold]Show [x265] :smile:.mkv,nerv,show\n")
    code, out, err = cli("batch", "m [b].csv", "--address", "local", "--dry-run")
    assert code == 0, err
    header, *lines = out.splitlines()
    column = slice(header.index("video"), header.index("network"))
    assert "[bold]Show[x265]:smile:.mkv" in "".join("".join(line[column] for line in lines).split())
    assert "nothing is called '[b]'" in cli("models", "[b]")[2]
    assert "unknown preset '[b]'" in cli("fit", "bunny", "--preset", "[b]")[2]


@pytest.mark.parametrize("width", [30, 60, 80, 200])
def test_tables_leave_nothing_out(width):
    rows = [
        ("enerv_unmodulated-60k", "119.879", "/a/folder/" + "of-a-name-that-is-long/" * 3 + "Show[x265].mkv"),
        ("enerv_unmodulated-90k", "7.22", "[red] :smile: 映画"),
    ]
    table = console.Listing("fit", "bits per pixel", "video")
    for row in rows:
        table.add_row(*row)
    printer = console.PlainConsole(file=io.StringIO(), width=width, soft_wrap=True)
    printer.print(table)
    text = printer.file.getvalue()
    for word in ("enerv_unmodulated-60k", "enerv_unmodulated-90k", "119.879", "[red]", ":smile:", "映画"):
        assert word in text
    cells = "".join(("fit", "bits per pixel", "video", *(cell for row in rows for cell in row)))
    assert Counter("".join(text.split())) == Counter("".join(cells.split()))


def test_logs_are_lines_of_what_they_say(capsys):
    record = console.logging.LogRecord("x", 20, "x", 1, "%s", ("[red]a  b\n\x1b[0m:smile:",), None)
    console.LineHandler().emit(record)
    assert capsys.readouterr().err == "note: [red]a  b\\n\\x1b[0m:smile:\n"


FORBIDDEN = re.compile(
    r"\bfrom_markup\b|\bmarkup=True|\bPanel\(|\bPrompt\b|\bConfirm\b|(?<![.\w])print\(|\becho\(|\.status\(|\bSpinner\("
    r"|TextColumn\((?![^)]*markup=False)|\bConsole\((?!Console\))|rich\.(print|prompt)"
)


@pytest.mark.parametrize("path", sorted(Path(command_line.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_nothing_is_printed_but_through_the_console(path):
    """Beside the console, what rich makes of a string can be markup."""
    if path.stem in ("console", "interruption"):
        return
    code = ast.unparse(ast.parse(path.read_text()))
    assert FORBIDDEN.findall(code) == []
    assert path.stem == "start" or not re.search(r"(?<!\w)Table\(", code), "its cells can be cut: use console.Listing"


# ---------------------------------------------------------------------- terminals and pipes, as processes of their own


def environment(**more: str) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "PYTHONUTF8"))}
    return {**inherited, "COLUMNS": "120", **more}


ASCII = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
ENERV_ZOO = (sys.executable, "-m", "enerv_zoo")


@pytest.fixture
def clip(tmp_path):
    write_video(tmp_path / "clip.mkv", open_video("bunny", frames="0:4", resize="64x36"))
    return (tmp_path / "clip.mkv").rename(tmp_path / "über.mkv")


def test_an_ascii_terminal_gets_escapes(clip, tmp_path):
    arguments = [*ENERV_ZOO, "fit", clip.name, *TINY, "--out", "ü", "--no-report"]
    main, terminal = pytest.importorskip("pty").openpty()
    process = subprocess.Popen(
        arguments, cwd=tmp_path, env=environment(TERM="xterm", **ASCII), stdout=subprocess.PIPE, stderr=terminal
    )
    os.close(terminal)
    shown = b""
    try:
        with suppress(OSError):  # the other end is closed
            while piece := os.read(main, 1 << 16):
                shown += piece
        out = process.communicate()[0]
    finally:
        process.kill()
        os.close(main)
    assert process.returncode == 0, shown
    assert shown.isascii()
    assert b"\\xfcber" in shown  # its bar
    assert b"nerv on \\xfcber" in out
    assert suggested(out.decode("ascii"))[2] == "ü"


def test_an_ascii_terminal_gets_json(fitted, tmp_path):
    shutil.copytree(fitted, tmp_path / "ü [x]\udcff")
    done = subprocess.run(
        [*ENERV_ZOO, "info", "ü [x]\udcff", "--json"], cwd=tmp_path, env=environment(**ASCII), capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout.decode("ascii"))["video"]["frames"] == 3


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_pipe_that_nobody_reads_is_no_error(tmp_path, more):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*ENERV_ZOO, "models", *more], cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, env=environment()
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_fit_whose_log_nobody_reads_is_whole(clip, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*ENERV_ZOO, "fit", clip.name, *TINY, "--out", "fit"], cwd=tmp_path, stdout=writer, stderr=writer,
            env=environment(),
        )  # fmt: skip
    finally:
        os.close(writer)
    assert done.returncode == 0
    assert (tmp_path / "fit" / "report.html").stat().st_size > 10_000
