"""What must be right before Snakemake begins: the profile calls this, since it is read first of all."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from mespot import config_file
from mespot.errors import InputError


def stop(error: object) -> NoReturn:
    """End with the one message and exit code 2; Snakemake would say where in its files it was raised."""
    print(f"mespot: {error}", file=sys.stderr)
    raise SystemExit(2)


def check_files(paths: Iterable[str | Path]) -> None:
    """Stop where a config file cannot be read: Snakemake names neither file nor line."""
    for path in paths:
        try:
            config_file.read(Path(path))
        except InputError as error:
            stop(error)


def configfiles(arguments: Sequence[str]) -> list[str]:
    """The files of --configfile among Snakemake's arguments."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--configfile", "--configfiles", nargs="+", default=[])
    return parser.parse_known_args(arguments)[0].configfile
