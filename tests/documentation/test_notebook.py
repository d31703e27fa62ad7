"""The notebook runs from top to bottom in a kernel of its own, and shows what was last seen of it."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

from .reader import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    kept = _kinds(notebook)
    NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert _kinds(notebook) == kept, "the outputs in the file are those of another notebook; execute it and save"
    assert (tmp_path / "runs" / "quickstart.html").stat().st_size > 100_000


def _kinds(notebook):
    """What each cell gives, warnings aside."""
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    return [[output.output_type for output in cell.outputs if output.get("name") != "stderr"] for cell in cells]
