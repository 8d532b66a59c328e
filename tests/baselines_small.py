"""Small forms of the baselines with arrays that no default hides, for several test files."""

import functools

import jax
import numpy as np

from srgan_jax.models import DRCN, EDSR, ESPCN, MDSR, SRCNN, VDSR, architecture_of, expected_variables
from srgan_jax.weights.release import write_release

NETWORKS = {
    "srcnn": SRCNN(features=6, mapping_features=4),
    "espcn": ESPCN(scale=3, features=6, mapping_features=4),
    "vdsr": VDSR(scale=2, features=6, num_layers=4),
    "drcn": DRCN(features=6, recursions=3),
    "edsr": EDSR(features=6, num_blocks=2),
    "mdsr": MDSR(scale=3, scales="2,3", features=6, num_blocks=1),
}
LUMA = ["srcnn", "espcn", "vdsr", "drcn"]


@functools.cache
def variables_of(module, seed=0):
    """Random arrays with which signals keep their size."""
    rng = np.random.default_rng(seed)

    def draw(path, array):
        noise = rng.standard_normal(array.shape).astype(np.float32)
        if path[-1].key == "bias":
            return 0.1 * noise
        return noise * np.float32(1.5 / np.prod(array.shape[:3])) ** 0.5

    return jax.tree_util.tree_map_with_path(draw, expected_variables(module))


def write(path, module):
    """A release file of a network."""
    write_release(path, architecture_of(module), variables_of(module))
    return path
