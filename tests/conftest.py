"""What the tests share: the reference data beside the repository, and small inputs made here."""

from __future__ import annotations

import os

# Before any library starts its threads: sums in one thread are the same on every machine.
os.environ["OMP_NUM_THREADS"] = "1"

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
REFERENCE = Path(os.environ.get("MESPOT_REFERENCE", SHARED / "reference"))


@pytest.fixture(scope="session")
def reference() -> Path:
    """Outputs of the published implementation."""
    folder = REFERENCE / "auw_gcn"
    if not folder.is_dir():
        pytest.skip(f"no reference outputs at {folder}; set MESPOT_REFERENCE")
    return folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data beside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"no real data at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def default_config() -> dict:
    return yaml.safe_load((ROOT / "config.yaml").read_text())
