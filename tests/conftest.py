"""Fixtures that several test files share."""

import gc
import os
import pathlib
import random

import jax
import pytest
from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

# Signatures of the numeric rooms are checked while the tests run, shapes included. Where a float is wanted, an int will
# do. Of training the module `state` is left out: Flax passes its TrainState what the class's own annotations exclude.
NUMERIC = ["losses", "models", "images", "upscaling", "photos", "cpu", "metrics", "data", "evaluation"]
TRAINING = ("checks", "frozen", "loop", "memory", "optimizers", "scales", "stages", "steps")
NUMERIC += [f"training.{name}" for name in TRAINING]
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
install_import_hook([f"srgan_jax.{room}" for room in NUMERIC], "conftest.check")


@pytest.fixture(autouse=True)
def signatures_are_checked_alike():
    """Of a list that a function takes, `beartype` checks one item, drawn by `random`. Here every run draws the same."""
    random.seed(0)


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder with data and weights that are not ours to publish: $SR_DATA, or `shared` beside the repository."""
    folder = pathlib.Path(os.environ.get("SR_DATA") or pathlib.Path(__file__).parents[2] / "shared")
    if not (folder / "data").is_dir():
        pytest.skip(
            "needs the evaluation sets: set SR_DATA to the folder that holds data/eval (see docs/evaluation.md)"
        )
    return folder


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory):
    """What one test has compiled, the others and the programs that they start need not compile again."""
    folder = str(tmp_path_factory.mktemp("compilation_cache"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", folder)
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
        yield


@pytest.fixture(scope="module", autouse=True)
def no_second_look_at_what_stays():
    """What has been imported and compiled is no garbage: to look at it again would take a second each time."""
    gc.collect()
    gc.freeze()
