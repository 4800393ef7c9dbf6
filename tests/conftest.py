"""What the tests share: the reference data beside the repository, and small inputs made here."""

from __future__ import annotations

import os

# Before any library starts its threads: sums in one thread are the same on every machine.
os.environ["OMP_NUM_THREADS"] = "1"

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
REFERENCE = Path(os.environ.get("MESPOT_REFERENCE", SHARED / "reference"))

# A slow machine is no fault of the code: no test fails for the time that it took.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


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


@pytest.fixture(scope="session")
def paper_config(default_config):
    """The configuration of the paper's table: paper.yaml over config.yaml, as Snakemake lays it."""
    from mespot.config import load

    def laid(over: dict, under: dict) -> dict:
        both = {
            key: laid(value, under[key])
            if isinstance(value, dict) and isinstance(under.get(key), dict)
            else value
            for key, value in over.items()
        }
        return under | both

    given = yaml.safe_load((ROOT / "paper.yaml").read_text())
    return load(laid(given, default_config) | {"datasets": given["datasets"]})


@pytest.fixture(scope="session")
def planted(tmp_path_factory) -> Path:
    """A folder with a planted store, its annotation, and model.pt, trained without subject s0."""
    from planted import planted_store, train_in

    from mespot.settings import Train

    folder = tmp_path_factory.mktemp("planted")
    planted_store(folder / "features.h5").to_csv(folder / "annotation.csv", index=False)
    train_in(folder, ["s0"], "model.pt", Train(epochs=60, batch=2, keep=10))
    return folder
