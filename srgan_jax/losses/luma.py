"""Terms that compare the luma of SR and HR, for the networks that enlarge luma alone (srgan_jax/models/luma.py)."""

import jax.numpy as jnp

from srgan_jax.errors import InputError
from srgan_jax.images import signed_to_unit
from srgan_jax.images.luma import luma
from srgan_jax.losses.context import Context, Setting, Term
from srgan_jax.losses.pixel import mse
from srgan_jax.types import Scalar


def luma_mse(context: Context) -> Scalar:
    """Return the mean squared error of luma in [0, 1], which SRCNN, ESPCN and VDSR are trained for."""
    return mse(luma(signed_to_unit(context.sr)), luma(signed_to_unit(context.hr)))


def recursive_supervision(context: Context) -> Scalar:
    """Return DRCN's loss without its weight decay: α · l1 + (1 - α) · l2 (Kim et al., CVPR 2016, section 3.3).

    l1 is the mean over all estimates of their squared error, and l2 that of the result; both as `luma_mse`. The paper
    starts with a high α, which decays; here it falls linearly from 1 at the start to 0 at the end of the run.
    """
    if context.estimates is None:
        raise InputError(
            "losses.recursive_supervision needs a generator that gives estimates on its way, such as drcn; this one "
            "gives none, so set losses.luma_mse or losses.mse instead."
        )
    of_estimates = jnp.mean(jnp.square(context.estimates - luma(signed_to_unit(context.hr))))
    alpha = 1 - context.progress
    return alpha * of_estimates + (1 - alpha) * luma_mse(context)


def _needs_luma(setting: Setting) -> str | None:
    if setting.channels in (1, 3):
        return None
    return f"compares luma, which pictures of channels={setting.channels} have not; set losses.mse instead."


TERMS = {
    "luma_mse": Term(luma_mse, objection=_needs_luma),
    "recursive_supervision": Term(recursive_supervision, outputs=("estimates",), objection=_needs_luma),
}
