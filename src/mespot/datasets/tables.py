"""tables: a table as people export it, from its file to cells of text, and what was guessed.

What a file is, its bytes tell and not its ending: a CSV that a laboratory's program calls .xls is one.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from mespot.errors import InputError

SEPARATORS = (",", ";", "\t", "|")
ABOVE = 100  # rows in which the header is looked for
LARGEST = 16 * 2**20  # bytes of a text; an annotation of 100 000 rows has less
LARGEST_UNPACKED = 256 * 2**20  # bytes of a workbook's parts
MOST_COLUMNS = 1000
MOST_CELLS = 10**7  # of a sheet, up to its last row and column
NOT_KNOWN = {"", "na", "n/a", "#n/a", "nan", "none", "null", "nat", "-", "--", "–", "—", "?"}
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16's, which it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# A date as a spreadsheet program makes one of "12/6" or "6-12", and as it is exported.
_MONTH = (
    r"(?:jan|ene|gen|feb|fév|fev|mar|mär|mrz|apr|abr|avr|mai|may|mag|jun|jui|giu|jul|lug|aug|aoû|ago|"
    r"sep|set|oct|okt|ott|out|nov|dec|dez|déc|dic)(?:[^\W\d_]{0,2}|ust|uary|ruary|tember|ober|ember)\.?"
)
DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:[ T].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}(?: .*)?|"
    rf"\d{{1,2}}[-. /]*{_MONTH}(?:[-. /]*\d{{2,4}})?|{_MONTH}[-. /]*\d{{1,4}}(?:,? \d{{4}})?|"
    r"(?:\d{4}[年년] ?)?\d{1,2}[月월] ?\d{1,2}[日일]?",
    re.IGNORECASE,
)
# A formula's cell without a value (Excel's empty text is of type str): openpyxl, pandas and R write such.
NOT_WORKED_OUT = re.compile(
    rb'<c r="([A-Z]+\d+)"(?:(?! t="str")[^>])*>\s*<f[^>]*?(?:/>|>[^<]*</f>)\s*(?:<v\s*/>|<v></v>)?\s*</c>'
)
DATE_CELL = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d.*")  # of a spreadsheet, as text
CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d*)?)")


class Guess(NamedTuple):
    """What was taken for what, by which of `annotation.RULES`."""

    rule: str
    field: str
    was: str
    now: str


class Table(NamedTuple):
    """A header and what is below it; cells are text."""

    form: str  # the sheet's name, or how the text was read, for messages
    header: list[str]
    rows: dict[int, list[str]]  # by their number in the file, from 1; as long as the header
    guesses: list[Guess]


class Sheet(NamedTuple):
    """A spreadsheet's cells as their values, None where there is none."""

    name: str
    cells: list[list[Any]]
    merged: list[tuple[int, int, int, int]]  # first row and column, last row and column, from 0


def unreadable(path: Path, what: object) -> InputError:
    """What is said of a file that is no table, in one line: what it is, and what to do."""
    return InputError(f"{path}: cannot be read as an annotation: {' '.join(str(what).split())}")


def load(path: Path) -> bytes:
    """A file's bytes. Raises InputError for what is no file, or larger than any annotation."""
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise unreadable(
                path, f"it has {size / 1e6:.0f} MB, an annotation at most {LARGEST / 1e6:.0f}"
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such annotation file; name the dataset's spreadsheet or CSV"
        ) from None
    except OSError as error:
        raise unreadable(
            path,
            f"{error.strerror}; name the spreadsheet or CSV, or a folder of .eaf or events .tsv files",
        ) from None


def sheets(path: Path, data: bytes) -> list[Sheet] | None:
    """The sheets of an .xlsx; None where the bytes are none. Raises InputError if it is damaged."""
    if data.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        raise unreadable(
            path,
            "an old .xls, or it has a password; save it as the dataset's own .xlsx without a password",
        )
    if not data.startswith(b"PK\x03\x04") and path.suffix.lower() not in (".xlsx", ".xlsm"):
        return None
    import openpyxl  # a quarter of a second

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            if sum(part.file_size for part in parts.infolist()) > LARGEST_UNPACKED:
                raise unreadable(path, "unpacked it is larger than any annotation; copy it again")
            for name in parts.namelist():
                if name.startswith("xl/worksheets/") and (
                    formula := NOT_WORKED_OUT.search(parts.read(name))
                ):
                    raise unreadable(
                        path,
                        f"cell {formula[1].decode()} is a formula that no program has worked out; open it in a "
                        "spreadsheet program and save it, or write the value",
                    )
        book = openpyxl.load_workbook(io.BytesIO(data), data_only=True, keep_links=False)
        return [_sheet(path, sheet) for sheet in book.worksheets]
    except InputError:
        raise
    except Exception as error:  # openpyxl raises whatever it stumbles over in a damaged file
        raise unreadable(
            path, f"{error} ({type(error).__name__}); save it as .xlsx or CSV, or copy it again"
        ) from None


def _sheet(path: Path, sheet: Any) -> Sheet:
    if sheet.max_row * sheet.max_column > MOST_CELLS:
        what = f"sheet {sheet.title} reaches to {sheet.dimensions}; delete what is empty in it"
        raise unreadable(path, what)
    cells = [list(row) for row in sheet.iter_rows(min_row=1, min_col=1, values_only=True)]
    while cells and all(value is None for value in cells[-1]):
        cells.pop()
    # openpyxl counts from 1, columns first.
    spans = (area.bounds for area in sheet.merged_cells.ranges)
    merged = [(top - 1, left - 1, bottom - 1, right - 1) for left, top, right, bottom in spans]
    return Sheet(sheet.title, cells, merged)


def of_sheet(sheet: Sheet, score: Callable[[Sequence[str]], int]) -> Table | None:
    """A sheet's table below the row of the highest score; None where no row has one.

    Every cell of a merged area has its value.
    """
    cells = [[_text(value) for value in row] for row in sheet.cells]
    filled = 0
    for top, left, bottom, right in sheet.merged:
        rows = range(top, min(bottom + 1, len(cells)))
        for row, column in itertools.product(rows, range(left, right + 1)):
            if not cells[row][column]:
                cells[row][column] = cells[top][left]
                filled += bool(cells[top][left])
    best = max(range(min(ABOVE, len(cells))), key=lambda n: score(cells[n]), default=0)
    if not cells or not score(cells[best]):
        return None
    guesses = [Guess("merged", "cells", f"{filled} empty", "as the first")] if filled else []
    guesses += _above(["".join(row) for row in cells[:best]], 0)
    numbered = enumerate(cells[best + 1 :], start=best + 2)
    header = [" ".join(cell.split()) for cell in cells[best]]
    return Table(f"sheet {sheet.name}", header, _below(header, numbered), guesses)


def of_text(path: Path, data: bytes, score: Callable[[Sequence[str]], int]) -> Table:
    """A text's table: the separator and the row of the highest score make its header.

    Raises InputError for what is no text, a quote that is not closed, and more cells than the header.
    """
    text, encoding, guesses = _decoded(path, data)
    if "\0" in text:
        raise unreadable(
            path, f"as {encoding} it holds characters of value 0; save it as CSV in UTF-8"
        )
    lines = list(io.StringIO(text, newline=""))
    said = re.match(r'"?sep=(.)"?\s*$', lines[0], re.IGNORECASE) if lines else None
    separators = dict.fromkeys([said[1], *SEPARATORS] if said else SEPARATORS)
    tried = [
        (n, separator, _first_record(lines[n : n + 20], separator))
        for n, line in enumerate(lines[:ABOVE])
        if line.strip() and not (said and n == 0)
        for separator in separators
    ]
    if not tried:
        raise unreadable(path, "it is empty; copy it again")

    def fits(one: tuple[int, str, list[str]]) -> tuple:
        n, _, header = one
        return score(header), not lines[n].startswith("#"), -n, len(header)

    n, separator, header = max(tried, key=fits)
    if separator != ",":
        guesses.append(Guess("separator", "cells", repr(separator), "separates them"))
    records = itertools.islice(_records(path, lines[n:], separator, n), 1, None)
    guesses += _above([line.strip() for line in lines[bool(said) : n]], bool(said))
    rows = _below(header, records)
    remarks = [n for n, cells in rows.items() if re.match("#(?!N/A)", cells[0])]
    again = [n for n, cells in rows.items() if cells == header]
    for rule, numbers in (("remark", remarks), ("header_again", again)):
        if numbers and len(numbers) < len(rows):  # where every name begins with #, none is a remark
            rows = {n: cells for n, cells in rows.items() if n not in {*numbers}}
            guesses.append(Guess(rule, "rows", ", ".join(map(str, numbers)), "passed over"))
    return Table(f"{encoding}, cells separated by {separator!r}", header, rows, guesses)


def _decoded(path: Path, data: bytes) -> tuple[str, str, list[Guess]]:
    """A text, its encoding, and what was guessed of that.

    That of the byte order mark, or UTF-8, or what the text looks most like of the two that
    spreadsheet programs write in China and in the West.
    """
    marked = [name for mark, name in BYTE_ORDER_MARKS.items() if data.startswith(mark)]
    encoding = [*marked, "utf-8"][0]
    try:
        return data.decode(encoding), encoding.upper().removesuffix("-SIG"), []
    except UnicodeError as error:
        if marked:
            raise unreadable(path, f"{error}; save it as CSV in UTF-8") from None
    from charset_normalizer import from_bytes

    guessed = [match.encoding for match in from_bytes(data, cp_isolation=["gb18030", "cp1252"])]
    for encoding in (*guessed, "latin-1"):
        with suppress(UnicodeError):
            said = Guess("encoding", "cells", "not UTF-8", encoding)
            return data.decode(encoding), f"{encoding} (a guess: it is not UTF-8)", [said]
    raise AssertionError("latin-1 has a character for every byte")


def _first_record(lines: Sequence[str], separator: str) -> list[str]:
    try:
        record = next(csv.reader(lines, delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        return []
    return [" ".join(cell.split()) for cell in record[:MOST_COLUMNS]]


def _records(
    path: Path, lines: Sequence[str], separator: str, above: int
) -> Iterator[tuple[int, list[str]]]:
    """The rows of lines below so many others, with their numbers; the first is the header.

    Raises InputError for a quote that is not closed and for more cells than the header has.
    """
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    width, read = 0, above
    try:
        for cells in reader:
            width = width or len(cells)
            if any(map(str.strip, cells[width:])):
                raise csv.Error(
                    f"{len(cells)} cells, {width} in the header; a cell with {separator!r} in it needs quotes"
                )
            read += 1
            yield read, cells
    except csv.Error as error:
        where = f"row {read + 1}, up to line {above + reader.line_num}"
        raise unreadable(path, f"{where}: {error}; correct it there") from None


def _above(lines: Sequence[str], first: int) -> list[Guess]:
    """That rows above the header are passed over, where something is in them."""
    used = [str(n) for n, line in enumerate(lines, start=first + 1) if line]
    return [Guess("above_header", "rows", ", ".join(used), "passed over")] if used else []


def _below(
    header: Sequence[str], numbered: Iterable[tuple[int, list[str]]]
) -> dict[int, list[str]]:
    """The rows that hold something, as long as the header."""
    width = len(header)
    return {
        number: (cells + [""] * width)[:width]
        for number, cells in numbered
        if any(map(str.strip, cells[:width]))
    }


def _text(value: Any) -> str:
    """A spreadsheet's cell as text: a whole number without a point."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
