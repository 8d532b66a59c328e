"""Eight devices compute what one does, whether the optimizer is copied or divided.

The first case has a discriminator that is soon compiled, with one BatchNorm; the others have the paper's.
"""

import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from srgan_jax.errors import InputError
from srgan_jax.parallel import sharding

DEVICES = 8

# A fresh process, because the number of devices is fixed when JAX starts.
PROGRAM = """
import sys
import jax, numpy as np
import flax.linen as nn
from flax.traverse_util import flatten_dict
from srgan_jax.parallel import sharding
from srgan_jax.training import stages
from tiny import ADVERSARIAL, make_tiny_batch, make_tiny_config

# The gradient of LeakyReLU jumps at zero, where rounding decides on which side a number lies. This one is smooth.
nn.leaky_relu = lambda x, slope: slope * x + (1 - slope) * nn.softplus(x)
accumulate = int(sys.argv[2])
discriminator = ADVERSARIAL if sys.argv[3] == "small" else {"stage": "adversarial"}
config = make_tiny_config(**discriminator | {"losses__adversarial": 1e-2}, data__crop_size=32, accumulate=accumulate)
stage = stages.create_stage(config)
batches = [make_tiny_batch(config, rows=8 * accumulate, seed=seed) for seed in range(3)]
found = {}
for name, count in (("one", 1), ("copied", 8), ("divided", 8)):
    mesh = sharding.create_mesh(jax.devices()[:count])
    assert mesh.size == count
    shapes = jax.eval_shape(stage.init, jax.random.key(0))
    placement = sharding.of_state(shapes, mesh, split_optimizer=name == "divided")
    state = sharding.compile_init(stage.init, mesh, placement)(jax.random.key(0))
    frozen = jax.device_put(stage.frozen, sharding.replicated(mesh))
    step = sharding.compile_step(stage.step, mesh, placement=placement)
    for i, batch in enumerate(batches):
        placed = sharding.place_batch(batch, mesh)
        assert placed["hr"].addressable_shards[0].data.shape[0] == 8 * accumulate // count
        state, metrics = step(state, placed, frozen, 0)
        found[f"{name}/{i}/metrics"] = metrics
        if i in (0, 2):
            for key, network in state.items():
                for field, tree in (("params", network.params), ("stats", network.batch_stats),
                                    ("grads", network.opt_state[0].mu)):
                    found[f"{name}/{i}/{key}/{field}"] = jax.device_get(tree)
    assert step._cache_size() == 1
    for network in state.values():
        used = jax.tree.leaves((network.params, network.batch_stats))
        assert all(array.sharding.is_fully_replicated for array in used)
        arrays = jax.tree.leaves(network.opt_state)
        whole, part = (sum(a.nbytes for a in kept) for kept in (arrays, [a.addressable_data(0) for a in arrays]))
        assert part < 0.2 * whole if name == "divided" else part == whole
np.savez(sys.argv[1], **flatten_dict(jax.device_get(found), sep="/"))
"""


CASES = [("1", "small"), *(pytest.param((count, "paper"), marks=pytest.mark.slow) for count in "12")]


@pytest.fixture(scope="module", params=CASES, ids=" ".join)
def found(request, tmp_path_factory):
    root = pathlib.Path(__file__).parents[1]
    out = tmp_path_factory.mktemp("sharding") / "found.npz"
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={DEVICES}",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")]),
    }
    subprocess.run([sys.executable, "-c", PROGRAM, str(out), *request.param], env=environment, check=True, cwd=root)
    with np.load(out) as arrays:
        return dict(arrays)


def of_both(found, part, optimizer):
    one = {key.removeprefix("one/"): array for key, array in found.items() if key.startswith(f"one/{part}")}
    assert one
    return [(key, array, found[f"{optimizer}/{key}"]) for key, array in one.items()]


@pytest.mark.parametrize("optimizer", ["copied", "divided"])
def test_metrics_are_the_same(found, optimizer):
    for step in range(3):
        for key, one, eight in of_both(found, f"{step}/metrics", optimizer):
            np.testing.assert_allclose(eight, one, rtol=2e-5 if step == 0 else 1e-3, err_msg=key)


@pytest.mark.parametrize("optimizer", ["copied", "divided"])
@pytest.mark.parametrize("network", ["g", "d"])
def test_gradients_parameters_and_statistics_are_the_same(found, network, optimizer):
    for step, tolerance in ((0, 3e-4), (2, 1e-3)):  # rounding reaches 1.3e-4 at first, with JAX 0.10
        for field in ("grads", "stats", "params"):
            for key, one, eight in of_both(found, f"{step}/{network}/{field}/", optimizer):
                error = np.abs(eight - one)
                if field == "params":  # Adam turns the rounding of a vanishing gradient into a step of 1e-4
                    assert np.mean(error < 1e-6) > 0.99 and error.max() < 2.01e-4 * (step + 1), key
                else:
                    assert error.max() <= tolerance * np.abs(one).max() + 1e-9, key


def test_a_batch_that_does_not_divide_is_refused():
    mesh = jax.sharding.AbstractMesh((DEVICES,), ("batch",))
    sharding.check_batch_size(16, mesh)
    with pytest.raises(InputError, match="multiple of the number of devices, 8, got 12; try 16"):
        sharding.check_batch_size(12, mesh)
    sharding.check_batch_size(32, mesh, accumulate=4)
    with pytest.raises(InputError, match="number of devices, 8 times accumulate=4, got 48; try 64"):
        sharding.check_batch_size(48, mesh, accumulate=4)
