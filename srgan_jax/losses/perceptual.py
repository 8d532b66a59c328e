"""Terms that are learned measures of perceptual distance: LPIPS and DISTS.

Their networks come as frozen functions of (SR, HR), since metrics/ defines them and no loss may import a metric.
"""

import jax.numpy as jnp

from srgan_jax.losses.context import Context, Setting, Term
from srgan_jax.types import Scalar

# The fewest rows and columns that each network takes.
SMALLEST = {"lpips_alex": 31, "lpips_vgg": 16, "dists": 1}


def _term(name: str) -> Term:
    def distance(context: Context) -> Scalar:
        """Return the distance averaged over the batch; see metrics.lpips and metrics.dists."""
        return jnp.mean(context.frozen[name](context.seen(context.sr), context.seen(context.hr)))

    def objection(setting: Setting) -> str | None:
        if setting.channels != 3:
            return f"takes RGB, got channels={setting.channels}; use losses.ms_ssim."
        if setting.seen < SMALLEST[name]:
            return (
                f"needs crops that are seen as {SMALLEST[name]} pixels at least, got {setting.seen}; raise "
                "data.crop_size or lower jitter."
            )
        return None

    return Term(distance, frozen=(name,), objection=objection)


TERMS = {name: _term(name) for name in SMALLEST}
