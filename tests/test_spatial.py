"""One picture over a grid of devices: what is computed, what the devices exchange, and what is refused."""

import os
import pathlib
import subprocess
import sys

import jax
import pytest

from srgan_jax.errors import InputError
from srgan_jax.upscaling import spatial

ROOT = pathlib.Path(__file__).parents[1]

# A fresh process, because the number of devices is fixed when JAX starts.
PROGRAM = """
import jax, numpy as np
from baselines_small import NETWORKS, variables_of
from srgan_jax.models import SRResNet
from srgan_jax.upscaling import spatial

def variables_with_statistics(module):
    drawn = module.init(jax.random.key(0), np.zeros((1, 8, 8, 3), np.float32))
    return jax.tree.map(lambda array: np.asarray(array) * 1.5 + 0.01, drawn)

lr = np.random.default_rng(0).integers(0, 256, (24, 36, 3), np.uint8)
srresnet = SRResNet(features=6, num_blocks=2)
for module, variables in (
    (srresnet, variables_with_statistics(srresnet)),
    (NETWORKS["edsr"], variables_of(NETWORKS["edsr"])),
    (NETWORKS["vdsr"], variables_of(NETWORKS["vdsr"])),
):
    found = []
    for rows, columns in ((1, 1), (2, 4)):
        grid = spatial.create_grid(rows, columns)
        enlarge, placed = spatial.compile_spatial(module, grid), jax.device_put(lr, spatial.divided(grid))
        compiled = enlarge.lower(variables, placed).compile()
        sr = compiled(variables, placed)
        assert len(sr.addressable_shards) == rows * columns
        assert sr.addressable_shards[0].data.size * rows * columns == sr.size
        found.append(np.asarray(sr).astype(int))
    assert found[0].std() > 10 and np.abs(found[0] - found[1]).max() <= 1, type(module)
    text = compiled.as_text()
    assert "collective-permute" in text and "all-reduce" not in text
    # VDSR begins with the bicubic enlargement, whose products with matrices read whole rows and columns.
    assert ("all-gather(" in text) == (type(module).__name__ == "VDSR")
"""

# A result of 4,096 x 8,192 pixels, on eight chips that need not be there.
FOR_TPUS = """
import jax, numpy as np
from jax.experimental import topologies
from srgan_jax.models import SRResNet, expected_variables
from srgan_jax.upscaling import spatial
devices = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x4").devices
module = SRResNet(features=8, num_blocks=2)
grid = spatial.create_grid(2, 4, devices)
lr = jax.ShapeDtypeStruct((1024, 2048, 3), np.uint8)
compiled = spatial.compile_spatial(module, grid).lower(expected_variables(module), lr).compile()
text = compiled.as_text()
assert "collective-permute" in text
assert not any(f" {kind}(" in text for kind in ("all-reduce", "all-gather", "all-to-all"))
print(compiled.memory_analysis().output_size_in_bytes)
"""


def run(program, **variables):
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"} | variables
    done = subprocess.run([sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout


def test_eight_devices_compute_what_one_does():
    run(PROGRAM, XLA_FLAGS="--xla_force_host_platform_device_count=8")


@pytest.mark.slow
def test_chips_exchange_their_borders_alone():
    pytest.importorskip("libtpu")
    of_each_chip = int(run(FOR_TPUS, TPU_SKIP_MDS_QUERY="1"))
    assert of_each_chip < 2 * 4096 * 8192 * 3 / 8


def test_too_few_devices():
    with pytest.raises(InputError, match=r"3 x 2 devices are needed, but there are 1\."):
        spatial.create_grid(3, 2, jax.devices()[:1])
