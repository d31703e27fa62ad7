"""The notebook runs from top to bottom in a kernel of its own, and says what was last seen of it."""

from __future__ import annotations

import re
import runpy

import nbformat
import pytest
from nbclient import NotebookClient

from .reader import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


SHORTER = """
import enerv_zoo as ez
ez.fit = (lambda fit: lambda *values, **options: fit(*values, **{**options, "epochs": 2}))(ez.fit)
"""
"""A cell that is run before the notebook's own."""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    saved = outputs(notebook)
    folder = {"metadata": {"path": str(tmp_path)}}
    notebook.cells.insert(0, nbformat.v4.new_code_cell(SHORTER))
    NotebookClient(notebook, timeout=None, startup_timeout=600, coalesce_streams=True, resources=folder).execute()
    del notebook.cells[0]
    assert outputs(notebook) == saved, "the outputs in the file are those of another notebook; execute it and save"
    assert (tmp_path / "runs" / "quickstart.html").stat().st_size > 100_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_page_holds_its_code_what_it_printed_and_what_it_drew(path):
    *pictures, (name, page) = runpy.run_path(str(ROOT / "docs" / "hooks.py"))["notebook_files"](path)
    assert name == f"{path.stem}.md"
    assert [content[1:4] for _, content in pictures] == [b"PNG"] * 3
    for picture, _ in pictures:
        assert page.count(f"({picture})") == 1
    for cell in nbformat.read(path, as_version=4).cells:
        assert cell.source in page
        for output in cell.get("outputs", ()):
            assert output.get("text", "").rstrip() in page


@pytest.mark.parametrize(
    "pieces", [["a: 1\n", "b: 20\n", "warning"], ["a: 3.5", "\nb: ", "7,000", "\n"], ["a: 9\nb: 1e-08\n"]]
)
def test_a_stream_is_read_alike_however_it_was_cut(pieces):
    names = ["stderr" if text == "warning" else "stdout" for text in pieces]
    streams = [nbformat.v4.new_output("stream", name=name, text=text) for name, text in zip(names, pieces, strict=True)]
    assert outputs(notebook_of(streams)) == [[("stdout", "a: #\nb: #")]]


def test_other_words_and_other_kinds_of_output_are_seen():
    shown = nbformat.v4.new_output("display_data", {"image/png": "", "text/plain": "<Figure>"})
    printed = nbformat.v4.new_output("stream", name="stdout", text="8 bits\n")
    seen = [outputs(notebook_of(cell)) for cell in ([], [shown], [printed], [shown, printed])]
    seen.append(outputs(notebook_of([nbformat.v4.new_output("stream", name="stdout", text="8 bytes\n")])))
    assert [seen.count(each) for each in seen] == [1] * 5


def notebook_of(cell):
    """A notebook of one cell that gave some outputs."""
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=cell)])


def outputs(notebook):
    """Return what each cell shows, in order, and then what it prints: words without the numbers that are measured.

    Where a stream is cut into messages depends on the kernel's timing, and so does where it stands between other
    outputs; warnings are those of a machine.
    """
    shown = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            data = [output for output in cell.outputs if output.output_type != "stream"]
            printed = "".join(output.text for output in cell.outputs if output.get("name") == "stdout")
            lines = [("stdout", _words(printed))] if printed else []
            shown.append([(sorted(output.data), _words(output.data["text/plain"])) for output in data] + lines)
    return shown


def _words(text):
    """The text with a mark for each number, whatever the width that lines were broken for."""
    text = re.sub(r"\d[\d,.]*(?:e[+-]?\d+)?", "#", text)
    return "\n".join(" ".join(line.split()) for line in re.sub(r",\n\s*", ", ", text).strip().splitlines())
