"""Tables of results: cells for people, and files for papers and spreadsheets.

    fields = (Field("fit"), Field("psnr", "PSNR (dB)", "{:.2f}".format))
    ResultTable(fields, [{"fit": "enerv", "psnr": 31.234, "psnr_std": 0.041}]).write("table.tex")

The suffix of the file says which format: CSV (`.csv`) holds exact values, a column for each field and each deviation;
Markdown (`.md`) and LaTeX (`.tex`, with the package booktabs) hold the cells for people.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enerv_zoo.errors import ConfigError
from enerv_zoo.files import check_writable, write_text

DEVIATION = "_std"
"""End of the name under which a row has the standard deviation of a value."""

_LATEX = str.maketrans({
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$",
    "[": "{[}",  # which would be an option of the command before it, where a row begins with it
    **{character: f"\\{character}" for character in "&%$#_{}"},
})  # fmt: skip


@dataclass(frozen=True)
class Field:
    """A column of a table.

    Attributes:
        name: of the value in rows, and of the column in CSV.
        heading: for people; by default the name.
        text: formats a value for people.
    """

    name: str
    heading: str | None = None
    text: Callable[[Any], str] = str

    def cell(self, row: Mapping[str, Any]) -> str:
        """Return a row's value for people, with its deviation where there is one; n/a where there is none."""
        value, deviation = row.get(self.name), row.get(self.name + DEVIATION)
        if value is None:
            return "n/a"
        return self.text(value) if deviation is None else f"{self.text(value)} ± {self.text(deviation)}"


@dataclass(frozen=True)
class ResultTable:
    """Rows of plain data, by the names of fields.

    Attributes:
        fields: the columns, in order.
        rows: a value by each field's name; a missing one is `None` or not there. Beside it may be its standard
            deviation, under the name with `_std`.
    """

    fields: Sequence[Field]
    rows: Sequence[Mapping[str, Any]]

    @property
    def headings(self) -> list[str]:
        """Headings of the columns, for people."""
        return [field.name if field.heading is None else field.heading for field in self.fields]

    @property
    def cells(self) -> list[list[str]]:
        """Cells of each row, for people."""
        return [[field.cell(row) for field in self.fields] for row in self.rows]

    def write(self, path: str | Path) -> None:
        """Write a file in the format of its suffix.

        Raises:
            ConfigError: no format has such a suffix.
        """
        check_table(path)
        write_text(path, FORMATS[Path(path).suffix.lower()](self))

    def csv(self) -> str:
        """Return exact values as CSV; a missing one is an empty cell."""
        names = [
            name
            for field in self.fields
            for name in (field.name, field.name + DEVIATION)
            if name == field.name or any(name in row for row in self.rows)
        ]
        text = io.StringIO()
        table = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows(self.rows)
        return text.getvalue()

    def markdown(self) -> str:
        """Return the table as Markdown; columns of numbers are aligned to the right."""
        rules = ["---:" if numeric else "---" for numeric in self._numeric()]
        rows = [[cell.replace("|", r"\|") for cell in row] for row in (self.headings, *self.cells)]
        return "".join(f"| {' | '.join(row)} |\n" for row in (rows[0], rules, *rows[1:]))

    def latex(self) -> str:
        """Return the table as a `tabular` of LaTeX; columns of numbers are aligned to the right."""
        alignment = "".join("r" if numeric else "l" for numeric in self._numeric())
        head, *body = [
            " & ".join(cell.translate(_LATEX) for cell in row) + " \\\\" for row in (self.headings, *self.cells)
        ]
        lines = [f"\\begin{{tabular}}{{{alignment}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule"]
        return "\n".join(["% needs \\usepackage{booktabs}", *lines, r"\end{tabular}", ""])

    def _numeric(self) -> list[bool]:
        values = ([row.get(field.name) for row in self.rows] for field in self.fields)
        return [all(value is None or isinstance(value, int | float) for value in column) for column in values]


FORMATS: dict[str, Callable[[ResultTable], str]] = {
    ".csv": ResultTable.csv,
    ".md": ResultTable.markdown,
    ".tex": ResultTable.latex,
}


def check_table(path: str | Path) -> None:
    """Refuse a file to which no table can be written.

    Raises:
        ConfigError: no format has its suffix.
        EnervZooError: there can be no such file.
    """
    if Path(path).suffix.lower() not in FORMATS:
        raise ConfigError(f"{path}: tables are written to files that end in {', '.join(FORMATS)}")
    check_writable(path)
