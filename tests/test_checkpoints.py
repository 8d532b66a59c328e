"""Checkpoints: what is kept, what comes back, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from srgan_jax.checkpoints import Checkpoints, find_checkpoint, read_generator
from srgan_jax.errors import InputError
from srgan_jax.state import NetworkState

CONFIG = {"scale": 4, "data": {"path": ""}, "optimizer": {"decay_at": [1, 2]}}


def make_state(seed=0, *, width=3, names=("g", "d"), **params):
    """Networks as a stage has them, with arrays of no meaning and an optimizer that has stepped."""

    def network(key):
        arrays = {"layer": {"kernel": jax.random.normal(key, (2, width))}} | params
        stats = {"bn": {"mean": jax.random.normal(key, (width,))}}
        made = NetworkState.create(apply_fn=None, params=arrays, batch_stats=stats, tx=TX)
        return made.apply_gradients(grads=jax.tree.map(jnp.cos, arrays))

    return {name: jax.jit(network)(jax.random.key(seed + i)) for i, name in enumerate(names)}


TX = optax.adam(1e-3)


def save(workdir, steps, *, keep_last=3):
    checkpoints = Checkpoints(workdir, keep_last=keep_last)
    for step, psnr in steps.items():
        checkpoints.save(step, make_state(step), CONFIG, psnr=psnr)
    checkpoints.close()


def kept(workdir):
    return sorted(int(path.name) for path in (workdir / "checkpoints").iterdir() if path.name.isdigit())


def assert_same(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_everything_comes_back_exactly(tmp_path):
    save(tmp_path, {1: None, 2: 20.0})
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest_step() == 2
    restored = checkpoints.restore(make_state(9))
    checkpoints.close()
    assert_same(restored, make_state(2))

    config, generator = read_generator(find_checkpoint(tmp_path))
    assert config == CONFIG
    g = make_state(2)["g"]
    assert_same(generator, jax.device_get({"params": g.params, "batch_stats": g.batch_stats}))
    assert all(isinstance(array, np.ndarray) for array in jax.tree.leaves(generator))


@pytest.mark.parametrize(
    ("psnrs", "keep_last", "remaining", "best"),
    [
        ([None] * 5, 2, [4, 5], 5),
        ([20.0, 23.0, 22.0, 21.0, 20.0], 2, [2, 4, 5], 2),
        ([20.0, 21.0, 22.0, 23.0, 24.0], 2, [4, 5], 5),
        ([20.0, None, 19.0, None, None], 1, [1, 5], 1),
        ([20.0, 21.0], 0, [2], 2),
    ],
)
def test_the_last_and_the_best_are_kept(tmp_path, psnrs, keep_last, remaining, best):
    save(tmp_path, dict(enumerate(psnrs, 1)), keep_last=keep_last)
    assert kept(tmp_path) == remaining
    assert find_checkpoint(tmp_path).name == str(best)
    # Looking leaves no trace.
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == set(map(str, remaining))


def test_the_best_of_an_earlier_process_is_kept(tmp_path):
    save(tmp_path, {1: 25.0, 2: 20.0}, keep_last=1)
    save(tmp_path, {3: 21.0, 4: None}, keep_last=1)
    assert kept(tmp_path) == [1, 4] and find_checkpoint(tmp_path).name == "1"


def test_one_checkpoint_stands_for_itself(tmp_path):
    save(tmp_path, {1: 30.0, 2: 20.0})
    path = tmp_path / "checkpoints" / "2"
    assert find_checkpoint(path) == path


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"width": 4}, r"d/batch_stats/bn/mean is \(3,\) float32 there, but \(4,\) float32"),
        ({"names": ("g",)}, "d/.* there, but no such array is expected"),
        ({"names": ("g", "d", "e")}, "e/.* is no such array there"),
        ({"slope": jnp.zeros(2)}, "d/opt_state/0/mu/slope is no such array there"),
    ],
    ids=str,
)
def test_another_network_is_refused_naming_an_array(tmp_path, other, message):
    save(tmp_path, {1: None})
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(InputError, match=message):
        checkpoints.restore(make_state(**other))
    checkpoints.close()
    assert kept(tmp_path) == [1]


def test_another_dtype_is_refused(tmp_path):
    save(tmp_path, {1: None})
    checkpoints = Checkpoints(tmp_path)
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), make_state())
    with pytest.raises(InputError, match=r"float32 there, but .* bfloat16"):
        checkpoints.restore(half)
    checkpoints.close()


def test_a_step_that_is_there_already_is_an_error(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, make_state(), CONFIG)
    with pytest.raises(Exception, match=r"already exists|was not saved"):
        checkpoints.save(1, make_state(), CONFIG)
    checkpoints.close()


def test_what_a_killed_process_left_is_cleared(tmp_path):
    save(tmp_path, {1: None})
    leftover = tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp"
    (leftover / "state").mkdir(parents=True)
    assert find_checkpoint(tmp_path).name == "1"
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest_step() == 1
    checkpoints.save(2, make_state(), CONFIG)
    checkpoints.close()
    assert kept(tmp_path) == [1, 2] and not leftover.exists()


def test_where_there_is_no_checkpoint(tmp_path):
    with pytest.raises(InputError, match="neither a run directory nor a checkpoint"):
        find_checkpoint(tmp_path)
    Checkpoints(tmp_path).close()
    with pytest.raises(InputError, match="no checkpoint in it yet"):
        find_checkpoint(tmp_path)
