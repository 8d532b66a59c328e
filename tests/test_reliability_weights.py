"""Odd weights, checkpoints and full disks: one sentence each, and nothing half-written under a final name."""

import json
import logging
import resource
import shutil
import sys

import jax
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from test_checkpoints import kept, make_state, put, save
from tiny import write_bicubic_network, write_tiny_run

from srgan_jax import generators
from srgan_jax.commands.common import report_input_errors
from srgan_jax.commands.weights import run as weights
from srgan_jax.errors import InputError
from srgan_jax.training.loggers import LOGGERS
from srgan_jax.training.logs import Log
from srgan_jax.weights.checkpoints import Checkpoints, find_checkpoints

# Release files.


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """(arrays, header without digests) of a release file."""
    path = write_bicubic_network(tmp_path_factory.mktemp("release") / "bicubic.safetensors")
    with safe_open(path, "np") as file:
        header = file.metadata()
    return load_file(path), {key: value for key, value in header.items() if not key.endswith("sha256")}


def rewritten(release, path, **entries):
    arrays, header = release
    save_file(arrays, path, metadata=header | entries)
    return path


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"config": "[]"}, r"in its header: config is no object"),
        ({"config": "null"}, r"in its header: config is no object"),
        ({"evaluation": "3"}, r"in its header: evaluation is no object"),
        ({"consistent": "[]"}, r"in its header: consistent is no boolean"),
        ({"info": "[[]]"}, r"in its header: info is no object"),
        ({"step": "{"}, r"in its header: Expecting property name"),
        ({"architecture": {"network": []}}, r"network: no \[\]"),
        ({"architecture": {"network": None}}, r"network: no None"),
        ({"architecture": {"num_blocks": 1024}}, r"says that it has 1024 blocks, but it holds \d+ arrays"),
        ({"architecture": {"num_blocks": 1.5}}, r"num_blocks must be a whole number"),
        ({"architecture": {"scale": "4"}}, r"scale must be one of"),
    ],
    ids=str,
)
def test_odd_headers_are_refused_in_one_sentence(release, tmp_path, entries, message):
    if "architecture" in entries:
        entries = {"architecture": json.dumps(json.loads(release[1]["architecture"]) | entries["architecture"])}
    with pytest.raises(InputError, match=message):
        generators.load(rewritten(release, tmp_path / "odd.safetensors", **entries))


@pytest.mark.parametrize("config", ["{}", '{"data": [], "init_from": 1}', '{"data": {"path": 3}, "generator": []}'])
def test_a_config_of_any_content_is_released_again(release, tmp_path, config):
    path = rewritten(release, tmp_path / "odd.safetensors", config=config)
    weights(["release", str(path), "-o", str(tmp_path / "again.safetensors")])
    assert generators.load(tmp_path / "again.safetensors").info["config"] == json.loads(config)


# Checkpoints.


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return write_tiny_run(tmp_path_factory.mktemp("trained"))


def copy(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run", tmp_path / "run" / "checkpoints" / "4"


def test_a_checkpoint_may_have_another_name(trained, tmp_path):
    """Such as "best", by which somebody keeps it. It then stands for itself, and is no step of the run."""
    run, checkpoint = copy(trained, tmp_path)
    best = checkpoint.rename(checkpoint.with_name("best"))
    assert generators.load(best).info["step"] is None
    with pytest.raises(InputError, match="no checkpoint in it yet"):
        find_checkpoints(run)


@pytest.mark.parametrize("name", ["007", "²", "٣", "4 ", "+4", "1e3", "4.damaged"])
def test_other_directories_are_no_checkpoints(tmp_path, name):
    save(tmp_path, {1: None})
    shutil.copytree(tmp_path / "checkpoints" / "1", tmp_path / "checkpoints" / name)
    assert [path.name for path in find_checkpoints(tmp_path)] == ["1"]
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.restore(make_state(9))[0] == 1
    checkpoints.close()


@pytest.mark.parametrize(
    "config", [None, [], 0, "x", {}, {"generator": []}, {"generator": {"num_blocks": 1024}}], ids=str
)
def test_an_odd_config_of_a_checkpoint_is_one_sentence(trained, tmp_path, config):
    _, checkpoint = copy(trained, tmp_path)
    (checkpoint / "manifest.json").unlink()
    if isinstance(config, dict) and config.get("generator"):
        config |= {"scale": 4, "channels": 3}
    (checkpoint / "config" / "metadata").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"checkpoints/4 is damaged|says that it has 1024 blocks"):
        generators.load(checkpoint)


@pytest.mark.parametrize("scores", [None, [], 0, {"psnr": "high"}, {"merit": []}], ids=str)
def test_odd_scores_leave_the_other_checkpoints_usable(tmp_path, scores):
    save(tmp_path, {1: 20.0, 2: 21.0})
    newest = tmp_path / "checkpoints" / "2"
    (newest / "manifest.json").unlink()
    (newest / "metrics" / "metrics").write_text(json.dumps(scores))
    assert find_checkpoints(tmp_path)[0].name == "1"


class Kill(BaseException):
    """What ends a program at once."""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_leaves_no_half_deleted_checkpoint_under_its_name(tmp_path, monkeypatch, moment):
    save(tmp_path, {1: None, 2: None})

    def killed(path, **options):
        if moment == "after":
            (path / "config" / "metadata").unlink()
        raise Kill

    with monkeypatch.context() as patch, pytest.raises(Kill):
        patch.setattr(shutil, "rmtree", killed)
        checkpoints = Checkpoints(tmp_path, keep_last=2)
        put(checkpoints, 3, make_state(3))
        checkpoints.close()
    assert kept(tmp_path) == [2, 3]
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    assert checkpoints.restore(make_state(9))[0] == 3
    checkpoints.close()
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["2", "3"]


# Full disks. A limit on the size of files stands for them: the system then refuses to write in the same way.


@pytest.fixture
def small_files():
    """A function that limits the size of every file that is written from then on, in bytes; None lifts the limit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (before[0] if size is None else size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_checkpoint_that_does_not_fit_is_one_sentence(tmp_path, small_files):
    state = make_state(1, big=jax.random.normal(jax.random.key(0), (100, 100)))
    save(tmp_path, {1: None})
    checkpoints = Checkpoints(tmp_path)
    small_files(16_384)
    with pytest.raises(InputError, match=r"checkpoints/2 cannot be saved \(File too large\)\. Once this is mended"):
        put(checkpoints, 2, state)
        checkpoints.close()
    small_files(None)
    assert kept(tmp_path) == [1]
    assert [path.name for path in find_checkpoints(tmp_path)] == ["1"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_log_that_does_not_fit_is_one_sentence(tmp_path, small_files):
    """The log is flushed to TensorBoard's file too, which a thread of tensorboardX would wait for in vain."""
    log = Log(tmp_path, start=0, stop=100, loggers=[LOGGERS["tensorboard"][0]])
    small_files(1000)
    with pytest.raises(InputError, match=r"the log of the run cannot be written \(File too large\)"):
        for step in range(1, 100):
            log.write(step, {"g/loss": 1.0})
    small_files(None)
    log.close()


def test_warnings_are_printed_whatever_absl_has_set(capsys):
    """absl gives its own level to the root logger, by which warnings of a damaged checkpoint would be lost."""
    logger = logging.getLogger("srgan_jax")
    logging.getLogger().setLevel(logging.ERROR)
    try:
        with report_input_errors():
            logger.warning("%s is damaged", "a\x1b")
    finally:
        logging.getLogger().setLevel(logging.WARNING)
    assert capsys.readouterr().err == "Warning: a\\x1b is damaged\n"
    assert logger.propagate and not logger.handlers


def test_arrays_are_compared_before_their_values(release, tmp_path):
    """A file with fewer arrays than blocks is refused at once: to list the arrays of 1,024 blocks takes a minute."""
    arrays, header = release
    assert all(isinstance(array, np.ndarray) for array in arrays.values())
    many = {f"a{number}": np.zeros(1, np.float32) for number in range(20)}
    architecture = json.loads(header["architecture"]) | {"num_blocks": 1000}
    save_file(many, tmp_path / "many.safetensors", metadata=header | {"architecture": json.dumps(architecture)})
    with pytest.raises(InputError, match="1000 blocks, but it holds 20 arrays"):
        generators.load(tmp_path / "many.safetensors")
