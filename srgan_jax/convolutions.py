"""Convolutions, and one product, on a CPU, where some of XLA's are several times slower than their arithmetic needs.

They compute the same sums in another order; benchmarks/train_step.md has what they gain.
"""

import platform
import warnings

import jax
import jax.numpy as jnp
from jax import lax

MANY = 256  # inputs and outputs, from which on by_tiles also convolves by products: faster than XLA's convolutions
PART = 128  # rows of a kernel that by_parts takes at once

# JAX tries to, for each program that compiler_options() are for.
warnings.filterwarnings("ignore", "Error writing persistent compilation cache entry", UserWarning)


def compiler_options(device: jax.Device) -> dict[str, str | bool]:
    """For jax.jit on a device: on an x86 CPU, have oneDNN convolve; elsewhere, and before JAX 0.11, nothing.

    JAX's wheels contain oneDNN, but their convolutions are YNNPACK's unless that is left with reductions alone.
    Programs with oneDNN cannot be written to JAX's compilation cache.
    """
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    if device.platform != "cpu" or not x86 or jax.__version_info__ < (0, 11):
        return {}
    return {
        "xla_cpu_use_onednn": True,
        "xla_cpu_experimental_onednn_custom_call": True,
        "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE",
    }


def conv_general_dilated(images, kernel, strides, padding, **options):
    """What nn.Conv takes in place of lax.conv_general_dilated: on a CPU faster for some shapes, elsewhere the same."""
    (height, width), (size, _, inputs, outputs) = images.shape[1:3], kernel.shape
    even = all(isinstance(n, int) and n % 2 == 0 for n in (height, width))  # a symbolic size is no int
    if jax.default_backend() == "cpu" and images.dtype == jnp.float32 and even:
        sides = padding
        if padding == "SAME":
            sides = lax.padtype_to_pads((height, width), (size, size), strides, padding)
        centred = [tuple(side) for side in sides] == [(size // 2, size // 2)] * 2
        if centred and (size, *strides) == (9, 1, 1) and outputs < 16 <= inputs:
            return by_phases(images, kernel)
        if centred and (size, *strides) == (3, 1, 1) and inputs < 16 <= outputs:
            return by_columns(images, kernel)
        if centred and (size, *strides) == (3, 1, 1) and inputs >= 32:
            return by_tiles(images, kernel)
        if centred and (size, *strides) == (3, 2, 2) and inputs >= 32:
            return by_taps(images, kernel)
    return lax.conv_general_dilated(images, kernel, strides, padding, **options)


def dot_general(x, kernel, dimension_numbers, **options):
    """What nn.Dense takes in place of lax.dot_general: on a CPU faster for few rows of many numbers."""
    few = x.ndim == 2 and len(x) < len(kernel) // PART and len(kernel) % PART == 0
    if jax.default_backend() == "cpu" and x.dtype == jnp.float32 and few:
        return by_parts(x, kernel)
    return lax.dot_general(x, kernel, dimension_numbers, **options)


def _convolve(images, kernel, padding="SAME", stride=1):
    return lax.conv_general_dilated(
        images, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _contract(x, y):
    """[…, A], […, B] -> [A, B]: the sum of outer products over all other axes, one matrix product."""
    return lax.dot_general(x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1]), (((0,), (0,)), ((), ())))


def _every_second(images, size):
    """The pixels (i, j) of windows of size × size, which start one outside and are 2 apart: arrays [N, H/2, W/2, C]."""
    height, width = images.shape[1:3]
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return [[padded[:, i : i + height : 2, j : j + width : 2] for j in range(size)] for i in range(size)]


def _computed(*arrays):
    """The same, once they are in memory: XLA would compute each anew within all of the products that read it."""
    return lax.optimization_barrier(arrays)


def _mirrored(kernel):
    """What the gradient of a convolution's result is convolved with to become that of the images."""
    return kernel[::-1, ::-1].swapaxes(2, 3)


# Winograd's F(2 × 2, 3 × 3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section
# 4.1) in one of the two directions: Bᵀ of pixels, G of taps, Aᵀ of products; and what is adjoint to the last two.
_PIXELS = lambda t: (t[0] - t[2], t[1] + t[2], t[2] - t[1], t[1] - t[3])  # noqa: E731
_TAPS = lambda t: (t[0], (t[0] + t[1] + t[2]) / 2, (t[0] - t[1] + t[2]) / 2, t[2])  # noqa: E731
_RESULTS = lambda t: (t[0] + t[1] + t[2], t[1] - t[2] - t[3])  # noqa: E731
_FROM_TAPS = lambda t: (t[0] + (t[1] + t[2]) / 2, (t[1] - t[2]) / 2, (t[1] + t[2]) / 2 + t[3])  # noqa: E731
_FROM_RESULTS = lambda t: (t[0], t[0] + t[1], t[0] - t[1], -t[1])  # noqa: E731


def _both_ways(transform, grid):
    """Apply a transform to the rows of a grid of arrays, and to the columns of what it gives."""
    return list(zip(*map(transform, zip(*map(transform, grid), strict=True)), strict=True))


def _products(multiply, grid, other):
    """Of what has the same place in two grids of arrays."""
    return [[multiply(x, y) for x, y in zip(*rows, strict=True)] for rows in zip(grid, other, strict=True)]


def _stacked(grid, axis=0):
    """A grid of arrays -> one array, the grid's two axes at `axis`."""
    return jnp.stack([jnp.stack(row, axis) for row in grid], axis)


@jax.custom_vjp
def by_tiles(images, kernel):
    """A 3×3 convolution, padded with zeros, whose kernel gradient comes from 16 products for 2 × 2 pixels, not 36.

    With MANY inputs and outputs so do its result and the gradient of the images.

    Args:
      images: [N, H, W, C], H and W even.
      kernel: [3, 3, C, D].
    """
    return _convolve_tiles(images, kernel)


def _convolve_tiles(images, kernel, *, mirrored: bool = False):
    """What by_tiles gives, or with `mirrored` the gradient of its images for that of its result."""
    if min(kernel.shape[2:]) < MANY:
        return _convolve(images, _mirrored(kernel) if mirrored else kernel)
    taps = _both_ways(_TAPS, kernel)
    if mirrored:  # The mirrored taps have the same transform, in another order.
        taps = [[taps[i][j] for j in (3, 1, 2, 0)] for i in (3, 1, 2, 0)]
    pixels, taps = _computed(_both_ways(_PIXELS, _every_second(images, 4)), taps)
    contracted = (3,), (1 if mirrored else 0,)
    products = _products(lambda x, y: lax.dot_general(x, y, (contracted, ((), ()))), pixels, taps)
    return _interleave(_stacked(_both_ways(_RESULTS, *_computed(products)), axis=3))


def _tiles_forward(images, kernel):
    return by_tiles(images, kernel), (images, kernel)


def _tiles_backward(saved, d_out):
    (images, kernel), d_out = _computed(saved, d_out)
    results = [[d_out[:, i::2, j::2] for j in range(2)] for i in range(2)]
    pixels, results = _both_ways(_PIXELS, _every_second(images, 4)), _both_ways(_FROM_RESULTS, results)
    d_kernel = _stacked(_both_ways(_FROM_TAPS, _products(_contract, pixels, results)))
    return _convolve_tiles(d_out, kernel, mirrored=True), d_kernel


by_tiles.defvjp(_tiles_forward, _tiles_backward)


def _interleave(phases):
    """[N, H, W, 2, 2, C], what belongs to pixels (2 i + a, 2 j + b) -> [N, 2 H, 2 W, C]."""
    n, height, width, *_, channels = phases.shape
    return phases.transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * height, 2 * width, channels)


@jax.custom_vjp
def by_taps(images, kernel):
    """A 3×3 convolution of stride 2, padded with a zero around; its kernel gradient comes from 9 matrix products.

    The gradient of the images comes from four convolutions without a stride, one for every second row and column:
    XLA would fill up the gradient of the result with zeros, and multiply by them.

    Args:
      images: [N, H, W, C], H and W even.
      kernel: [3, 3, C, D].
    """
    return _convolve(images, kernel, ((1, 1), (1, 1)), 2)


def _taps_forward(images, kernel):
    return by_taps(images, kernel), (images, kernel)


def _taps_backward(saved, d_out):
    (images, kernel), d_out = _computed(saved, d_out)
    # Even pixels have been under the middle tap alone, odd ones under the last and then, a result later, the first.
    pixels = [[images[:, a::2, b::2] for b in (0, 1)] for a in (0, 1)]
    results = [[jnp.pad(d_out[:, a:, b:], ((0, 0), (0, a), (0, b), (0, 0))) for b in (0, 1)] for a in (0, 1)]
    pixels, results = _computed(pixels, results)
    seen = ((1, 1), (0, 0), (1, 0))  # by each tap: which pixels, and how much later a result
    d_kernel = _stacked([[_contract(pixels[a][b], results[i][j]) for b, j in seen] for a, i in seen])
    taps, mirrored = (slice(1, 2), slice(None, None, 2)), _mirrored(kernel)
    phases = [[_convolve(d_out, mirrored[taps[a], taps[b]], ((0, a), (0, b))) for b in (0, 1)] for a in (0, 1)]
    return _interleave(_stacked(phases, axis=3)), d_kernel


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
    return _interleave(sr.reshape(n, height // 2, width // 2, 2, 2, outputs))


@jax.custom_vjp
def _by_outputs(images, kernel):
    """A convolution whose kernel gradient is one matrix product, with all shifts of the gradient side by side."""
    return _convolve(images, kernel)


def _outputs_forward(images, kernel):
    return _by_outputs(images, kernel), (images, kernel)


def _outputs_backward(saved, d_out):
    (images, kernel), d_out = _computed(saved, d_out)
    size, _, inputs, outputs = kernel.shape
    radius, (height, width) = size // 2, d_out.shape[1:3]
    padded = jnp.pad(d_out, ((0, 0), (radius, radius), (radius, radius), (0, 0)))
    # A convolution mirrors its gradient.
    seen = [padded[:, i : i + height, j : j + width] for i in range(size)[::-1] for j in range(size)[::-1]]
    d_kernel = _contract(images, jnp.concatenate(seen, axis=-1)).reshape(inputs, size, size, outputs)
    return _convolve(d_out, _mirrored(kernel)), d_kernel.transpose(1, 2, 0, 3)


_by_outputs.defvjp(_outputs_forward, _outputs_backward)


@jax.custom_vjp
def by_columns(images, kernel):
    """A convolution with few inputs, padded with zeros; its kernel gradient is one product with all their shifts.

    Args:
      images: [N, H, W, C].
      kernel: [K, K, C, D], K odd.
    """
    return _convolve(images, kernel)


def _columns_forward(images, kernel):
    return by_columns(images, kernel), (images, kernel)


def _columns_backward(saved, d_out):
    (images, kernel), d_out = _computed(saved, d_out)
    size, _, inputs, _ = kernel.shape
    # A convolution puts the shifts side by side faster than XLA's concatenation of so few channels.
    count = size * size * inputs
    shifts = _convolve(images, jnp.eye(count, dtype=images.dtype).reshape(size, size, inputs, count))
    return _convolve(d_out, _mirrored(kernel)), _contract(shifts, d_out).reshape(kernel.shape)


by_columns.defvjp(_columns_forward, _columns_backward)


@jax.custom_vjp
def by_parts(x, kernel):
    """A product [N, A], [A, B] -> [N, B], in parts of the A: the whole kernel does not fit into the cache, a part does.

    Its gradients are XLA's.
    """
    parts = x.reshape(len(x), -1, PART), kernel.reshape(-1, PART, kernel.shape[1])
    return lax.dot_general(*parts, (((2,), (1,)), ((1,), (0,)))).sum(0)


def _parts_forward(x, kernel):
    return by_parts(x, kernel), (x, kernel)


def _parts_backward(saved, d_out):
    return jax.vjp(jnp.matmul, *saved)[1](d_out)


by_parts.defvjp(_parts_forward, _parts_backward)


def by_rows(images, kernel):
    """A convolution that pads nothing; for few outputs, as all rows of the kernel side by side. For upscaling.

    Few outputs leave vector units idle. So the rows of the kernel become outputs of one convolution whose kernel has a
    single row, filled up to a multiple of 16; what each of them gives is then shifted by as many rows, and added.

    Args:
      images: [N, H, W, C].
      kernel: [K, L, C, D].
    """
    size, width, inputs, outputs = kernel.shape
    if outputs >= 16 or size == 1:
        return _convolve(images, kernel, "VALID")
    rows = kernel.transpose(1, 2, 0, 3).reshape(1, width, inputs, size * outputs)
    rows = jnp.pad(rows, ((0, 0), (0, 0), (0, 0), (0, -size * outputs % 16)))
    seen = _convolve(images, rows, "VALID")
    height = seen.shape[1] - size + 1
    return sum(seen[:, i : i + height, :, i * outputs : (i + 1) * outputs] for i in range(size))
