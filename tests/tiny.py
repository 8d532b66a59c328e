"""Networks, configs and batches of seconds, for several test files."""

import contextlib
import functools
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from srgan_jax.configs import base
from srgan_jax.images.resize import MARGIN_LR
from srgan_jax.models import DISCRIMINATORS, SRResNet, architecture_of
from srgan_jax.models.layers import batch_norm, conv
from srgan_jax.parallel import sharding
from srgan_jax.training.stages import create_stage
from srgan_jax.weights.checkpoints import Checkpoints
from srgan_jax.weights.release import write_release


class SmallDiscriminator(nn.Module):
    """Two convolutions: an adversarial step with it is compiled in a third of the time."""

    VALUES: ClassVar = {"norm": ("batch", "none")}
    is_spectral: ClassVar = False

    features: int = 8
    norm: str = "batch"
    dtype: jnp.dtype = jnp.float32

    @property
    def has_batch_norm(self):
        return self.norm == "batch"

    @nn.compact
    def __call__(self, images, *, train=False):
        x = conv(self.features, (3, 3), 2, use_bias=self.norm != "batch", name="conv")(images)
        if self.norm == "batch":
            x = batch_norm(use_running_average=not train, name="bn")(x)
        return conv(1, (3, 3), use_bias=False, name="patch")(nn.leaky_relu(x, 0.2)).mean((1, 2, 3))


DISCRIMINATORS["small"] = SmallDiscriminator
# An adversarial stage for tests that look at everything but the discriminator.
ADVERSARIAL = {
    "stage": "adversarial",
    "losses__adversarial": 1e-3,
    "discriminator__network": "small",
    "discriminator__hidden": 1024,  # the default, which says nothing to a network without it
}


def make_tiny_config(**changes):
    """A config of seconds: two blocks, eight features, crops of 16. `changes` name fields with "__" for the dot."""
    config = base.get_config()
    config.num_steps = 4
    config.batch_size = 2
    config.generator.features = 8
    config.generator.num_blocks = 2
    config.discriminator.features = 8
    config.discriminator.hidden = 16
    config.data.crop_size = 16
    config.data.workers = 1
    config.log_every = 1
    config.eval_every = 0
    config.save_every = 0
    for name, value in changes.items():
        *path, field = name.split("__")
        functools.reduce(getattr, path, config)[field] = value
    return config


def make_tiny_batch(config, rows=2, seed=0):
    """A batch of random crops as the loader makes them."""
    rng = np.random.default_rng(seed)
    side = config.data.crop_size + 2 * MARGIN_LR * config.scale
    smooth = rng.integers(0, 256, (rows, side // 4 + 1, side // 4 + 1, config.channels))
    hr = np.kron(smooth, np.ones((1, 4, 4, 1)))[:, :side, :side] + rng.integers(-20, 20, (rows, side, side, 1))
    return {"hr": np.clip(hr, 0, 255).astype(np.uint8), "turn": rng.integers(0, 8, rows, np.int32)}


def write_tiny_run(workdir, *, step=4, **changes):
    """A run's directory with one checkpoint, of networks as they are at the start."""
    config = make_tiny_config(**changes)
    stage = create_stage(config)
    state = sharding.compile_init(stage.init, sharding.create_mesh(jax.devices()[:1]))(jax.random.key(0))
    with contextlib.closing(Checkpoints(workdir)) as checkpoints:
        checkpoints.save(
            step, state, config.to_dict(), generators=stage.generators(state), scores={"psnr": 20.0}, merit=20.0
        )
    return workdir


def read_state(workdir, config):
    """(step, state as NumPy arrays) of a run's newest checkpoint."""
    with contextlib.closing(Checkpoints(workdir)) as checkpoints:
        mesh = sharding.create_mesh(jax.devices()[:1])
        state = sharding.compile_init(create_stage(config).init, mesh)(jax.random.key(1))
        return jax.device_get(checkpoints.restore(state))


# XLA compiles with little optimization: for what runs once, most of the time would go there (sharding.compile_init).
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 1})


def initialise(module, *inputs, seed=0):
    """A module's variables, as NumPy arrays: JAX would compile every little operation on them by itself."""
    return jax.device_get(quick_jit(module.init)(jax.random.key(seed), *inputs))


def write_bicubic_network(path, *, channels=3):
    """A release file of a network that gives the bicubic enlargement exactly, as its own output is zero."""
    module = SRResNet(channels=channels, features=4, num_blocks=1, global_skip="bicubic", zero_init_output=True)
    architecture = architecture_of(module)
    write_release(path, architecture, initialise(module, np.zeros((1, 8, 8, channels), np.float32)))
    return path
