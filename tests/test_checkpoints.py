"""Checkpoints: what is kept, what comes back, and what is refused."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from srgan_jax.errors import InputError, NonFiniteError
from srgan_jax.training.state import NetworkState, variables_of
from srgan_jax.weights.checkpoints import (
    Checkpoints,
    DamagedError,
    find_checkpoints,
    read_generator,
    read_metrics,
    read_networks,
)

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


def put(checkpoints, step, state, psnr=None):
    generators, scores = {"generator": variables_of(state["g"])}, None if psnr is None else {"psnr": psnr}
    checkpoints.save(step, state, CONFIG, generators=generators, scores=scores, merit=psnr)


def save(workdir, steps, *, keep_last=3):
    checkpoints = Checkpoints(workdir, keep_last=keep_last)
    for step, psnr in steps.items():
        put(checkpoints, step, make_state(step), psnr)
    checkpoints.close()


def kept(workdir):
    return sorted(int(path.name) for path in (workdir / "checkpoints").iterdir() if path.name.isdigit())


def assert_same(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_everything_comes_back_exactly(tmp_path):
    save(tmp_path, {1: None, 2: 20.0})
    checkpoints = Checkpoints(tmp_path)
    step, restored = checkpoints.restore(make_state(9))
    checkpoints.close()
    assert step == 2
    assert_same(restored, make_state(2))

    config, generator = read_generator(find_checkpoints(tmp_path)[0])
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
    assert find_checkpoints(tmp_path)[0].name == str(best)
    # Looking leaves no trace.
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == set(map(str, remaining))


@pytest.mark.parametrize(("stage", "best"), [("content", "1"), ("adversarial", "3")])
def test_checkpoints_of_earlier_versions_are_chosen_by_psnr_unless_they_are_of_a_gan(tmp_path, stage, best):
    checkpoints = Checkpoints(tmp_path)
    for step, psnr in enumerate([25.0, 24.0, 23.0], 1):
        state = make_state(step)
        generators = {"generator": variables_of(state["g"])}
        checkpoints.save(step, state, CONFIG | {"stage": stage}, generators=generators, scores={"psnr": psnr})
    checkpoints.close()
    for manifest in tmp_path.glob("checkpoints/*/manifest.json"):
        manifest.unlink()
    assert find_checkpoints(tmp_path)[0].name == best


def test_a_network_of_a_run_is_read_by_itself(tmp_path):
    save(tmp_path, {1: None})
    expected = {"d": variables_of(make_state(1)["d"])}
    assert_same(read_networks(tmp_path, expected), jax.device_get(expected))
    with pytest.raises(InputError, match="has no network 'e'; it has d, g"):
        read_networks(tmp_path, {"e": {}})
    with pytest.raises(InputError, match=r"network 'd', holds another network: .*\(3,\) float32 there, but \(4,\)"):
        read_networks(tmp_path, {"d": variables_of(make_state(1, width=4)["d"])})


def test_the_best_of_an_earlier_process_is_kept(tmp_path):
    save(tmp_path, {1: 25.0, 2: 20.0}, keep_last=1)
    save(tmp_path, {3: 21.0, 4: None}, keep_last=1)
    assert kept(tmp_path) == [1, 4] and find_checkpoints(tmp_path)[0].name == "1"


def test_one_checkpoint_stands_for_itself(tmp_path):
    save(tmp_path, {1: 30.0, 2: 20.0})
    path = tmp_path / "checkpoints" / "2"
    assert find_checkpoints(path) == [path]


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
    put(checkpoints, 1, make_state())
    with pytest.raises(Exception, match=r"already exists|was not saved"):
        put(checkpoints, 1, make_state())
    checkpoints.close()


def test_what_a_killed_process_left_is_cleared(tmp_path):
    save(tmp_path, {1: None})
    leftover = tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp"
    (leftover / "state").mkdir(parents=True)
    assert find_checkpoints(tmp_path)[0].name == "1"
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.restore(make_state())[0] == 1
    put(checkpoints, 2, make_state())
    checkpoints.close()
    assert kept(tmp_path) == [1, 2] and not leftover.exists()


def test_where_there_is_no_checkpoint(tmp_path):
    with pytest.raises(InputError, match="neither a run directory nor a checkpoint"):
        find_checkpoints(tmp_path)
    Checkpoints(tmp_path).close()
    with pytest.raises(InputError, match="no checkpoint in it yet"):
        find_checkpoints(tmp_path)


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


DAMAGES = {
    "truncated": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "emptied": lambda file: file.write_bytes(b""),
    "flipped": lambda file: file.write_bytes(flip(file.read_bytes(), file.stat().st_size // 2)),
    "deleted": lambda file: file.unlink(),
}


@pytest.fixture(scope="module")
def two_checkpoints(tmp_path_factory):
    """A run's directory with checkpoints of steps 1 and 2, the newer one scored higher."""
    workdir = tmp_path_factory.mktemp("sound")
    save(workdir, {1: 20.0, 2: 21.0})
    return workdir


@pytest.mark.parametrize("offset", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, len(DAMAGES)))])
def test_a_damaged_checkpoint_never_comes_back_as_another_state(two_checkpoints, tmp_path, offset, caplog):
    """Every file of the newest checkpoint is damaged in turn: it is restored exactly, or the older one is."""
    files = sorted(p.relative_to(two_checkpoints) for p in two_checkpoints.rglob("*") if p.is_file() and "2" in p.parts)
    assert len(files) > 10
    noticed = 0
    for number, file in enumerate(files):
        workdir = tmp_path / str(number)
        shutil.copytree(two_checkpoints, workdir)
        if not (workdir / file).stat().st_size:
            continue
        DAMAGES[list(DAMAGES)[(number + offset) % len(DAMAGES)]](workdir / file)
        caplog.clear()
        generator = generators_state(workdir)
        checkpoints = Checkpoints(workdir)
        step, restored = checkpoints.restore(make_state(9))
        put(checkpoints, 3, restored)  # a run goes on from there
        checkpoints.close()
        assert_same(restored, make_state(step))
        assert_same(generator, generators_state(two_checkpoints, step=2 if damage_spared(generator) else 1))
        if step == 1:
            noticed += 1
            assert f"{workdir / 'checkpoints' / '2'} is damaged" in caplog.text
            assert kept(workdir) == [1, 3] and (workdir / "checkpoints" / "2.damaged").is_dir()
    assert noticed > 5


def generators_state(workdir, *, step=None):
    """The variables that evaluation would take of a run."""
    for path in find_checkpoints(workdir, step=step):
        try:
            return read_generator(path)[1]
        except DamagedError:
            continue
    raise AssertionError("no sound checkpoint")


def damage_spared(variables) -> bool:
    """Whether these are the variables of the newer checkpoint."""
    g = make_state(2)["g"]
    return np.array_equal(variables["params"]["layer"]["kernel"], g.params["layer"]["kernel"])


def test_when_all_are_damaged_nothing_is_restored(two_checkpoints, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(two_checkpoints, workdir)
    for manifest in workdir.glob("checkpoints/*/manifest.json"):
        DAMAGES["flipped"](manifest)
    checkpoints = Checkpoints(workdir)
    with pytest.raises(InputError, match="every checkpoint is damaged"):
        checkpoints.restore(make_state())
    checkpoints.close()


def test_a_checkpoint_without_a_manifest_still_loads(two_checkpoints, tmp_path):
    """Those of earlier versions have none."""
    workdir = tmp_path / "run"
    shutil.copytree(two_checkpoints, workdir)
    for manifest in workdir.glob("checkpoints/*/manifest.json"):
        manifest.unlink()
    assert read_metrics(find_checkpoints(workdir)[0]) == {"psnr": 21.0}
    checkpoints = Checkpoints(workdir)
    step, restored = checkpoints.restore(make_state(9))
    checkpoints.close()
    assert step == 2
    assert_same(restored, make_state(2))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("field", ["params", "batch_stats", "opt_state"])
def test_a_state_that_is_not_finite_is_not_saved(tmp_path, field, value):
    save(tmp_path, {1: None})
    state = make_state()
    broken = jax.tree.map(lambda x: jnp.full_like(x, value), getattr(state["d"], field))
    state["d"] = state["d"].replace(**{field: broken}) if field != "opt_state" else broken_moments(state["d"], value)
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(NonFiniteError, match=rf"d/{field}/.* after step 2"):
        put(checkpoints, 2, state)
    checkpoints.close()
    assert kept(tmp_path) == [1]


def broken_moments(network, value):
    """A network whose Adam has a second moment that is not finite."""
    adam, *rest = network.opt_state
    adam = adam._replace(nu=jax.tree.map(lambda x: jnp.full_like(x, value), adam.nu))
    return network.replace(opt_state=(adam, *rest))
