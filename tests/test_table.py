"""The LaTeX table: rows of the summary that stand in the paper's form, escaped, of as many cells as columns."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cli import run as mespot

from mespot.aggregate import COLUMNS, KINDS
from mespot.errors import InputError
from mespot.papers.table import PAPER, escaped, table1
from mespot.settings import Report


def row(method, dataset, trained_on=None, f1=0.5, bounds=(0.25, 0.75), **others):
    """A row of summary.csv, all of whose F1s are the same."""
    known = {"method": method, "dataset": dataset, "trained_on": trained_on or dataset}
    known |= {"selection": "last", "protocol": "strict", "seeds": 1} | others
    for kind in KINDS:
        known |= {f"{kind}_f1": f1, f"{kind}_f1_low": bounds[0], f"{kind}_f1_high": bounds[1]}
        known |= dict.fromkeys((f"{kind}_{name}" for name in ("tp", "n", "m")), 1)
    return known


@pytest.fixture
def table(tmp_path):
    """The lines of the table that is made of rows: cells by line, without its rules."""

    def make(*rows, joined=(), headline="strict"):
        pd.DataFrame(rows, columns=COLUMNS).to_csv(tmp_path / "summary.csv", index=False)
        table1(tmp_path / "summary.csv", joined, tmp_path / "t.tex", Report(headline=headline))
        text = (tmp_path / "t.tex").read_text()
        body = text.partition("\\toprule\n")[2].partition("\\bottomrule")[0]
        lines = [line for line in body.splitlines() if line.endswith("\\\\")]
        make.text = text
        return [line.removesuffix(" \\\\").split(" & ") for line in lines]

    return make


def test_methods_by_datasets_and_the_interval_below(table):
    lines = table(
        row("net", "a", f1=0.12345, bounds=(0.1, 0.2)),
        row("net", "b", bounds=(np.nan, np.nan)),
        row("net", "pooled", trained_on="pooled", f1=0),
        row("net", "a", trained_on="b", f1=0.9),  # from one to the other
        row("net", "a", f1=0.9, protocol="megc2020"),
        row("net", "a", f1=0.9, selection="oracle"),
        row("net", "a", selection="inner", seeds=3),
        row("rule", "b", trained_on="nothing", f1=1, bounds=(1, 1)),
    )
    spans = [rf"\multicolumn{{3}}{{c}}{{{name}}}" for name in ("a", "b", "pooled")]
    assert lines[0] == ["", *spans]
    assert lines[1] == ["method", *["MaE", "ME", "overall"] * 3]
    assert lines[2] == ["net", *["0.123"] * 3, *["0.500"] * 3, *["0.000"] * 3]
    small = [rf"{{\scriptsize [{text}]}}" for text in (".10, .20", ".25, .75")]
    assert lines[3] == ["", *[small[0]] * 3, *[""] * 3, *[small[1]] * 3]
    assert lines[4] == ["net, inner, 3 seeds", *["0.500"] * 3, *["--"] * 6]
    assert lines[6] == ["rule", *["--"] * 3, *["1.000"] * 3, *["--"] * 3]
    assert lines[7][4] == r"{\scriptsize [1.00, 1.00]}"
    assert len(lines) == 8
    assert "Yin" not in table.text
    assert "protocol strict" in table.text


def test_what_was_trained_on_datasets_together_is_a_row_of_its_own(table):
    rows = [row("net", name, trained_on="both", f1=f1) for name, f1 in (("a", 0.1), ("b", 0.2))]
    rows += [row("net", "both", f1=0.15), row("rule", "both", trained_on="nothing")]
    rows += [row("rule", name, trained_on="nothing") for name in ("a", "b", "pooled")]
    lines = table(*rows, joined=["both"])
    shown = ["net, trained on both", *["0.100"] * 3, *["0.200"] * 3, *["0.150"] * 3]
    assert lines[2] == shown
    assert [line[0] for line in lines[4::2]] == ["rule"]
    # What is joined is not all there is: the two together are no column.
    lines = table(*rows, row("rule", "c", trained_on="nothing"), joined=["both"])
    assert lines[2] == [*shown[:7], *["--"] * 6]


def test_the_papers_row_stands_beside_its_datasets(table):
    lines = table(*(row("net", name) for name in PAPER))
    assert lines[-1][1:] == [
        *("0.4235", "0.1538", "0.3834", "0.4293", "0.1984", "0.3728", "--", "--", "0.3771")
    ]
    assert lines[0][1] == r"\multicolumn{3}{c}{CAS(ME)\textsuperscript{2}}"
    assert "the epochs were chosen on the test subject's labels" in table.text
    alone = table(row("net", "samm_lv"))
    assert alone[-1][1:] == ["0.4293", "0.1984", "0.3728"]


def test_one_dataset_has_no_column_of_all(table):
    assert len(table(row("net", "a"))[1]) == 4
    assert table()[1] == ["method"]


def test_names_are_escaped():
    assert escaped("a_b") == r"a\_b"
    assert escaped(r"50% & #1 {x} $y$ ~ ^ \z") == (
        r"50\% \& \#1 \{x\} \$y\$ \textasciitilde{} \textasciicircum{} \textbackslash{}z"
    )


@given(st.text(max_size=20))
def test_whatever_a_name_is_no_mark_of_latex_is_left(name):
    left = re.sub(
        r"\\(textbackslash|textasciitilde|textasciicircum)\{\}|\\[&%$#_{}]", "", escaped(name)
    )
    assert not set(left) & set(r"\~^&%$#_{}")


def test_latex_takes_it(table):
    """As far as can be told without LaTeX: braces close, environments end, lines have their cells."""
    lines = table(
        *(row("my_net", name) for name in PAPER), row("two_stage", "samm_lv", trained_on="both"),
        joined=["both"],
    )  # fmt: skip
    text = "\n".join(line.partition("%%")[0] for line in table.text.splitlines())
    plain = re.sub(r"\\[&%$#_{}\\]", "", text.replace("% Needs", ""))
    depth = 0
    for mark in plain:
        depth += {"{": 1, "}": -1}.get(mark, 0)
        assert depth >= 0
    assert depth == 0
    assert not set(plain) & set("$#_~^")
    opened, closed = (re.findall(rf"\\{word}{{(.*?)}}", text) for word in ("begin", "end"))
    assert opened == closed[::-1] == ["table*", "tabular"]
    columns = int(re.search(r"\{l\*\{(\d+)\}\{c\}\}", text)[1])
    assert {len(line) for line in lines[1:]} == {1 + columns}
    assert 1 + 3 * (len(lines[0]) - 1) == 1 + columns
    assert [int(end) for end in re.findall(r"cmidrule\(lr\)\{\d+-(\d+)\}", text)] == [4, 7, 10]


def test_the_command(tmp_path):
    summary, out = tmp_path / "summary.csv", tmp_path / "figures" / "table1.tex"
    pd.DataFrame([row("net", "a", protocol="megc2020")]).assign(
        **{f"{kind}_f1_sd": None for kind in KINDS}
    ).to_csv(summary, index=False)
    words = ["figures-table", "--summary", summary, "--out", out, "--joined", "both"]
    done = mespot(*words, "--settings", '{"headline": "megc2020"}')
    assert done.exit_code == 0, done.output
    assert "net & 0.500 & 0.500 & 0.500" in out.read_text()
    summary.write_text("a\n")
    assert "no column method" in mespot(*words).stderr
    with pytest.raises(InputError):
        table1(summary, [], out, Report())
