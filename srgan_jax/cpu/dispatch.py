"""Convolutions that are XLA's, but for those operations that a kernel computes in programs for a CPU."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from srgan_jax.cpu.operations import CHANNELS_LAST
from srgan_jax.cpu.switch import in_use
from srgan_jax.cpu.table import ROWS, Convolution, Row
from srgan_jax.types import AnyArray, Shaped


def conv_general_dilated(
    lhs: Shaped[AnyArray, "*lhs"],
    rhs: Shaped[AnyArray, "*rhs"],
    window_strides: Sequence,
    padding: Any,
    *options,
    **named_options,
) -> Shaped[AnyArray, "*out"]:
    """Convolve as lax.conv_general_dilated does, with the same arguments; nn.Conv takes this function in its place.

    A program that is compiled for a CPU has the kernels of the table that fit; any other program has XLA's convolution
    alone. With kernels, the gradients are those of reverse mode (jax.grad); forward mode (jax.jvp) needs "xla".

    Raises:
      InputError: SRGAN_JAX_KERNELS is neither "auto" nor "xla".
    """

    def xla(images, kernel):
        return lax.conv_general_dilated(images, kernel, window_strides, padding, *options, **named_options)

    names, convolution = in_use(), describe(lhs, rhs, window_strides, padding, *options, **named_options)
    rows = [row for row in ROWS if convolution and row.name in names and row.fits(convolution)]
    return _with_kernels(xla, rows)(jnp.asarray(lhs), jnp.asarray(rhs)) if rows else xla(lhs, rhs)


def describe(
    lhs: Shaped[AnyArray, "*lhs"],
    rhs: Shaped[AnyArray, "*rhs"],
    window_strides: Sequence,
    padding: Any,
    lhs_dilation: Sequence | None = None,
    rhs_dilation: Sequence | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    *others,
    **named_others,
) -> Convolution | None:
    """Describe a call of lax.conv_general_dilated, or return None for a call that no kernel can stand in for."""
    ordinary = (
        lhs.ndim == rhs.ndim == 4
        and lhs.dtype == rhs.dtype == jnp.float32
        and all(isinstance(n, int) and n > 0 for n in (*lhs.shape, *rhs.shape))  # a symbolic size is no int
        and _numbers(lhs, rhs, dimension_numbers) == _numbers(lhs, rhs, CHANNELS_LAST)
        and lhs.shape[3] == rhs.shape[2]
        and {*(lhs_dilation or ()), *(rhs_dilation or ())} <= {1}
        and feature_group_count == batch_group_count == 1
        and all(option is None for option in (*others, *named_others.values()))
    )
    if not ordinary:
        return None
    sides, sizes = lhs.shape[1:3], rhs.shape[:2]
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(sides, sizes, window_strides, padding)
    if any(len({*numbers}) > 1 for numbers in (sizes, window_strides, sum(map(tuple, padding), ()))):
        return None
    return Convolution(
        size=sizes[0],
        stride=window_strides[0],
        padding=padding[0][0],
        even=all(n % 2 == 0 for n in sides),
        inputs=rhs.shape[2],
        outputs=rhs.shape[3],
    )


def _numbers(
    lhs: Shaped[AnyArray, "*lhs"], rhs: Shaped[AnyArray, "*rhs"], dimension_numbers: Any
) -> lax.ConvDimensionNumbers:
    return lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)


def _with_kernels(xla: Callable, rows: list[Row]) -> Callable:
    """Make a convolution from XLA's: in a program for a CPU, the first row that has an operation computes it."""

    def choose(operation, xlas):
        ours = next(filter(None, (getattr(row, operation) for row in rows)), None)
        return functools.partial(lax.platform_dependent, cpu=ours, default=xlas) if ours else xlas

    @jax.custom_vjp
    def convolve(images, kernel):
        return choose("result", xla)(images, kernel)

    def forward(images, kernel):
        return convolve(images, kernel), (images, kernel)

    def backward(saved, d_out):
        images, kernel = saved

        def xla_image_gradient(d_out, kernel):
            return jax.linear_transpose(lambda images: xla(images, kernel), images)(d_out)[0]

        def xla_kernel_gradient(images, d_out):
            return jax.linear_transpose(lambda kernel: xla(images, kernel), kernel)(d_out)[0]

        d_images = choose("image_gradient", xla_image_gradient)(d_out, kernel)
        return d_images, choose("kernel_gradient", xla_kernel_gradient)(images, d_out)

    convolve.defvjp(forward, backward)
    return convolve
