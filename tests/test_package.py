"""The package as a whole: public names, import time, the direction of imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import enerv_zoo

ROOT = Path(enerv_zoo.__file__).parent

ORDER = [
    {"errors", "options"},
    {"files"},
    {
        "coding",
        "compiling",
        "config",
        "keywords",
        "launch",
        "machine",
        "pages",
        "pixels",
        "parsing",
        "meta",
        "precision",
        "registry",
        "shell",
        "stopping",
    },
    {"composition", "display", "locking", "progress", "tables"},
    {"compatibility"},
    {"ssim", "threads"},
    {"frame_access", "layers", "metrics", "published_results", "recipes", "video"},
    {"embeddings", "fusion", "blocks", "heads", "losses", "models", "optimizers"},
    {"content", "stages"},
    {"network"},
    {"nvz"},
    {"storage"},
    {"hub"},
    {"neural_video"},
    {"segmented"},
    {"loading"},
    {"summary", "zoo", "evaluation"},
    {"fitting", "interop"},
    {"exporting"},
    {"compression"},
    {"report"},
    {"batch"},
    {"cluster", "testing"},
    {"cli"},
]
"""Left to right: a package imports what stands before it, and within its own group nothing but itself.

`zoo`, `summary` and `evaluation` build on videos and not on each other. Parts import `config`, `errors`, `layers` and
`registry`, never each other.
"""


def imports_of(path: Path) -> set[str]:
    """The packages of this project that a file imports at run time, wherever in the file."""
    packages, tree = set(), ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body.clear()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "enerv_zoo":
            parts = node.module.split(".")[1:]
            packages |= {parts[0]} if parts else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            packages |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("enerv_zoo.")}
    return packages - {"__version__"}


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_left(path):
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if own in ("__init__", "__main__"):
        return
    rank = {name: i for i, group in enumerate(ORDER) for name in group}
    for name in imports_of(path) - {own}:
        assert rank[name] < rank[own], f"{path.name} ({own}) imports {name}, which is not to its left"


def test_public_names_exist_and_are_documented():
    for name in enerv_zoo.__all__:
        value = getattr(enerv_zoo, name)
        assert name == "__version__" or value.__doc__, name
    assert set(enerv_zoo.__all__) <= set(dir(enerv_zoo))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        enerv_zoo.nonsense  # noqa: B018


def test_import_loads_no_torch():
    code = "import sys, enerv_zoo; sys.exit('torch' in sys.modules or 'pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_not_everyone_needs_is_imported_later():
    """A usual optimizer needs no timm, a loss no pytorch_msssim before it is computed, a contract no pytest."""
    code = """
import sys, enerv_zoo.losses, enerv_zoo.ssim, enerv_zoo.testing, enerv_zoo as ez
ez.fit, ez.import_checkpoint, [ez.registry.optimizers.get(name) for name in ("adam", "nadam", "nesterov_adam")]
early = {"pytest", "pytorch_msssim", "timm"} & sys.modules.keys()
import timm
sys.exit(", ".join(early) or timm.is_model("neural_video"))
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_loads_nothing_heavy():
    """Help and completion answer while a key is still warm."""
    code = (
        "import sys, enerv_zoo.cli.app; sys.exit(not {'torch', 'av', 'huggingface_hub', 'ray'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_listing_models_loads_no_torch():
    code = "import sys, enerv_zoo as ez; ez.list_models(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_file_is_longer_than_400_lines():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in ROOT.rglob("*.py")}
    assert {name: length for name, length in lengths.items() if length > 400} == {}
