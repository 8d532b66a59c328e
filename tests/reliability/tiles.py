"""Pictures in tiles, compared with whole pictures."""

from collections.abc import Iterator

import jax
import numpy as np

from srgan_jax.generators import Generator
from srgan_jax.models import MSRResNet, SRResNet
from srgan_jax.upscaling import Upscaler
from tests.reliability.campaign import Setting
from tests.reliability.checkpoints import hearing
from tests.tiny import initialise, quick_jit

NETWORKS = (
    SRResNet(scale=2, features=4, num_blocks=1),
    SRResNet(scale=4, features=4, num_blocks=2),
    SRResNet(scale=4, features=6, num_blocks=1, global_skip="bicubic"),
    MSRResNet(scale=3, features=4, num_blocks=1),
)
ROUNDING = 2e-5  # of the range of values: what float32 makes of a sum whose order differs


def trained(module, seed: int) -> Generator:
    """Return a network whose arrays are random, with contrasts that fill the range of levels."""
    rng = np.random.default_rng(seed)
    variables = initialise(module, np.zeros((1, 4, 4, 3), np.float32), seed=seed)
    return Generator(
        module,
        jax.tree.map(lambda x: np.asarray(x) * rng.uniform(0.8, 1.6, x.shape).astype(np.float32), variables),
        "",
        {},
    )


def tiles(setting: Setting) -> Iterator[str]:
    """Enlarge pictures of random sizes and depths in tiles of random sizes, and compare with the network itself."""
    differing, compared, largest = 0, 0, 0
    for _ in range(setting.tries):
        module = setting.rng.choice(NETWORKS)
        generator = trained(module, setting.rng.randrange(3))
        size = setting.rng.randrange(1, 80), setting.rng.randrange(1, 80)
        dtype = np.dtype(setting.rng.choice((np.uint8, np.uint16)))
        tile = setting.rng.choice((8, 13, 16, 32))
        highest = np.iinfo(dtype).max
        lr = np.random.default_rng(setting.rng.randrange(1 << 30)).integers(
            0, highest, (*size, 3), dtype, endpoint=True
        )
        with hearing():  # that small tiles are wasteful
            whole, tiled = (Upscaler(generator, tile=t)(lr) for t in (0, tile))
        sr = np.asarray(_apply(module)(generator.variables, lr[None] / np.float32(highest))[0], np.float64)
        exact = np.clip((sr + 1) * (highest / 2), 0, highest)
        off = np.abs(tiled.astype(np.int64) - whole)
        differing, compared, largest = differing + (off > 0).sum(), compared + off.size, max(largest, off.max())
        wrong = max(np.abs(levels - exact).max() for levels in (tiled, whole)) - 0.5
        what = f"{type(module).__name__}, {size[0]}x{size[1]}, {dtype}, tiles of {tile}"
        yield "" if wrong < ROUNDING * highest else f"{what}: {wrong:.3g} levels beyond rounding"
    setting.notes.append(
        f"{differing:,} of {compared:,} levels of 8 and 16 bits differ between tiles and the whole picture, by at most "
        f"{largest}. The value of such a level lies within float32's rounding of the middle between two levels: a sum "
        "in another order, which a window at another place has, falls on its other side."
    )


_COMPILED: dict = {}


def _apply(module):
    """Compile a network once for each size."""
    if module not in _COMPILED:
        _COMPILED[module] = quick_jit(lambda v, lr: module.apply(v, lr))
    return _COMPILED[module]
