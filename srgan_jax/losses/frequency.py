"""A term that compares SR with HR by their Fourier transforms."""

import jax
import jax.numpy as jnp

from srgan_jax.losses.context import Term
from srgan_jax.types import Images, Scalar


def focal_frequency(sr: Images, hr: Images) -> Scalar:
    """Return the mean squared difference of the spectra, in which frequencies that differ more weigh more.

    With F the unitary discrete Fourier transform of a channel of an image and d = |F_sr - F_hr|, it is the mean of
    w d², where w = d / max d is a constant to the gradient (Jiang et al., ICCV 2021, section 3.2, with α = 1). The
    maximum is taken in each channel of each image. Without w it would be the mean squared error, by Parseval's theorem.
    """
    spectrum = jnp.fft.fft2(sr - hr, axes=(1, 2), norm="ortho")
    squares = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    largest = jnp.max(squares, axis=(1, 2), keepdims=True)
    weights = jnp.sqrt(squares / jnp.where(largest > 0, largest, 1))
    return jnp.mean(jax.lax.stop_gradient(weights) * squares)


TERMS = {"focal_frequency": Term(lambda context: focal_frequency(context.sr, context.hr))}
