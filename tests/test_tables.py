"""Tables of results: the same rows for people, spreadsheets and papers."""

from __future__ import annotations

import csv
import math

import pytest

from enerv_zoo.errors import ConfigError
from enerv_zoo.tables import Field, ResultTable

TABLE = ResultTable(
    (Field("fit"), Field("psnr", "PSNR (dB)", "{:.2f}".format), Field("note", "100 % | x^2")),
    [
        {"fit": "enerv_wave", "psnr": 31.23456789, "psnr_std": 0.0449, "note": "a|b & {c}", "epochs": 3},
        {"fit": "nerv, small", "psnr": None, "note": "~\\"},
        {"fit": "[exact]", "psnr": math.inf},
    ],
)


def test_csv_holds_exact_values_and_deviations(tmp_path):
    TABLE.write(tmp_path / "x.csv")
    rows = list(csv.DictReader((tmp_path / "x.csv").open()))
    assert list(rows[0]) == ["fit", "psnr", "psnr_std", "note"]
    assert [row["fit"] for row in rows] == ["enerv_wave", "nerv, small", "[exact]"]
    assert (float(rows[0]["psnr"]), float(rows[0]["psnr_std"])) == (31.23456789, 0.0449)
    assert (rows[1]["psnr"], rows[1]["psnr_std"]) == ("", "")
    assert float(rows[2]["psnr"]) == math.inf


def test_markdown_and_latex_hold_the_cells_for_people(tmp_path):
    TABLE.write(tmp_path / "x.md")
    assert (tmp_path / "x.md").read_text() == (
        "| fit | PSNR (dB) | 100 % \\| x^2 |\n"
        "| --- | ---: | --- |\n"
        "| enerv_wave | 31.23 ± 0.04 | a\\|b & {c} |\n"
        "| nerv, small | n/a | ~\\ |\n"
        "| [exact] | inf | n/a |\n"
    )
    TABLE.write(tmp_path / "x.TEX")
    assert (tmp_path / "x.TEX").read_text() == (
        "% needs \\usepackage{booktabs}\n"
        "\\begin{tabular}{lrl}\n"
        "\\toprule\n"
        "fit & PSNR (dB) & 100 \\% | x\\textasciicircum{}2 \\\\\n"
        "\\midrule\n"
        "enerv\\_wave & 31.23 $\\pm$ 0.04 & a|b \\& \\{c\\} \\\\\n"
        "nerv, small & n/a & \\textasciitilde{}\\textbackslash{} \\\\\n"
        "{[}exact] & inf & n/a \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
    )


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"x\.doc: tables are written to files that end in \.csv, \.md, \.tex"):
        TABLE.write(tmp_path / "x.doc")
    assert not list(tmp_path.iterdir())
