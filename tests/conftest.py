"""Fixtures that several test files share."""

import os
import pathlib

import pytest


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder with data and weights that are not ours to publish: $SR_DATA, or `shared` beside the repository."""
    folder = pathlib.Path(os.environ.get("SR_DATA") or pathlib.Path(__file__).parents[2] / "shared")
    if not (folder / "data").is_dir():
        pytest.skip(
            "needs the evaluation sets: set SR_DATA to the folder that holds data/eval (see docs/evaluation.md)"
        )
    return folder
