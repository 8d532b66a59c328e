"""Convolutions for training on a CPU, where some of XLA's are several times slower than their arithmetic needs.

They compute the same sums in another order; benchmarks/train_step.md has what they gain.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax


def conv_general_dilated(images, kernel, strides, padding, **options):
    """What nn.Conv takes in place of lax.conv_general_dilated: on a CPU faster for some shapes, elsewhere the same."""
    if jax.default_backend() == "cpu":
        (height, width), (size, _, inputs, outputs) = images.shape[1:3], kernel.shape
        if padding == "SAME" and tuple(strides) == (1, 1):
            padding = ((size // 2, size // 2),) * 2
            even = all(isinstance(n, int) and n % 2 == 0 for n in (height, width))  # a symbolic size is no int
            if size == 9 and outputs < 16 <= inputs and even:
                return by_phases(images, kernel)
        if size == 3 and 32 <= inputs < outputs and not isinstance(padding, str):
            return by_taps(images, kernel, tuple(strides), tuple(map(tuple, padding)))
    return lax.conv_general_dilated(images, kernel, strides, padding, **options)


def _convolve(images, kernel, strides, padding):
    return lax.conv_general_dilated(images, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _image_gradient(images, kernel, strides, padding, d_out):
    return jax.vjp(lambda images: _convolve(images, kernel, strides, padding), images)[1](d_out)[0]


def _contract(x, y):
    """[…, A], […, B] -> [A, B]: the sum of outer products over all other axes, one matrix product."""
    return lax.dot_general(x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1]), (((0,), (0,)), ((), ())))


def _shifted(images, size, padding, spans, strides=(1, 1)):
    """What each tap of a size × size kernel sees of the images, row by row."""
    padded = jnp.pad(images, ((0, 0), *padding, (0, 0)))
    rows, columns = (stride * (span - 1) + 1 for stride, span in zip(strides, spans, strict=True))
    return [
        padded[:, i : i + rows : strides[0], j : j + columns : strides[1]] for i in range(size) for j in range(size)
    ]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def by_taps(images, kernel, strides, padding):
    """A convolution whose kernel gradient is a matrix product for each tap of the kernel. For many outputs.

    Args:
      images: [N, H, W, C].
      kernel: [K, K, C, D].
      strides: (1, 1) or such.
      padding: ((top, bottom), (left, right)).
    """
    return _convolve(images, kernel, strides, padding)


def _taps_forward(images, kernel, strides, padding):
    return by_taps(images, kernel, strides, padding), (images, kernel)


def _taps_backward(strides, padding, saved, d_out):
    images, kernel = saved
    seen = _shifted(images, kernel.shape[0], padding, d_out.shape[1:3], strides)
    d_kernel = jnp.stack([_contract(tap, d_out) for tap in seen]).reshape(kernel.shape)
    return _image_gradient(images, kernel, strides, padding, d_out), d_kernel


by_taps.defvjp(_taps_forward, _taps_backward)


def by_phases(images, kernel):
    """A 9×9 convolution with few outputs, done on a grid half as fine, where there are 4 times as many of them.

    The inputs of 2 × 2 pixels become channels of one, and so do their outputs: a 5×5 convolution, padded with zeros.

    Args:
      images: [N, H, W, C], H and W even.
      kernel: [9, 9, C, D].
    """
    n, height, width, inputs = images.shape
    outputs = kernel.shape[-1]
    images = images.reshape(n, height // 2, 2, width // 2, 2, inputs).transpose(0, 1, 3, 2, 4, 5)
    images = images.reshape(n, height // 2, width // 2, 4 * inputs)
    # Output phase (a, b) has the kernel shifted by (a, b) pixels; each 2 × 2 taps of it belong to one coarse tap.
    padded = jnp.pad(kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))
    phases = jnp.stack([padded[1 - a : 11 - a, 1 - b : 11 - b] for a in (0, 1) for b in (0, 1)], axis=-2)
    coarse = phases.reshape(5, 2, 5, 2, inputs, 4, outputs).transpose(0, 2, 1, 3, 4, 5, 6)
    sr = _by_outputs(images, coarse.reshape(5, 5, 4 * inputs, 4 * outputs))
    sr = sr.reshape(n, height // 2, width // 2, 2, 2, outputs).transpose(0, 1, 3, 2, 4, 5)
    return sr.reshape(n, height, width, outputs)


@jax.custom_vjp
def _by_outputs(images, kernel):
    """A convolution whose kernel gradient is one matrix product, with all shifts of the gradient side by side."""
    return _convolve(images, kernel, (1, 1), "SAME")


def _outputs_forward(images, kernel):
    return _by_outputs(images, kernel), (images, kernel)


def _outputs_backward(saved, d_out):
    images, kernel = saved
    size, _, inputs, outputs = kernel.shape
    radius = (size // 2, size // 2)
    seen = _shifted(d_out, size, (radius, radius), images.shape[1:3])[::-1]  # a convolution mirrors its gradient
    d_kernel = _contract(images, jnp.concatenate(seen, axis=-1)).reshape(inputs, size, size, outputs)
    return _image_gradient(images, kernel, (1, 1), "SAME", d_out), d_kernel.transpose(1, 2, 0, 3)


_by_outputs.defvjp(_outputs_forward, _outputs_backward)


def by_rows(images, kernel, padding):
    """A convolution of stride 1; for few outputs, as all rows of the kernel side by side. For upscaling.

    Few outputs leave vector units idle. So the rows of the kernel become outputs of one convolution whose kernel has a
    single row, filled up to a multiple of 16; what each of them gives is then shifted by as many rows, and added.

    Args:
      images: [N, H, W, C].
      kernel: [K, L, C, D].
      padding: ((top, bottom), (left, right)).
    """
    size, width, inputs, outputs = kernel.shape
    if outputs >= 16 or size == 1:
        return _convolve(images, kernel, (1, 1), padding)
    rows = kernel.transpose(1, 2, 0, 3).reshape(1, width, inputs, size * outputs)
    rows = jnp.pad(rows, ((0, 0), (0, 0), (0, 0), (0, -size * outputs % 16)))
    seen = _convolve(jnp.pad(images, ((0, 0), padding[0], (0, 0), (0, 0))), rows, (1, 1), ((0, 0), padding[1]))
    height = seen.shape[1] - size + 1
    return sum(seen[:, i : i + height, :, i * outputs : (i + 1) * outputs] for i in range(size))
