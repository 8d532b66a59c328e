"""Which kernel computes which convolutions.

A kernel computes the same sums as XLA in another order. benchmarks/train_step.md says what each of them gains.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

from srgan_jax.cpu import kernel_rows, strided, winograd


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A convolution that kernels may compute: float32, channels last, a square kernel, no dilation and no groups.

    Attributes:
      size: rows and columns of the kernel.
      stride: in both directions.
      padding: zeros on each side of the images.
      even: whether the images have an even number of rows and of columns.
      inputs, outputs: channels.
    """

    size: int
    stride: int
    padding: int
    even: bool
    inputs: int
    outputs: int

    def is_centred(self, *, size: int, stride: int = 1) -> bool:
        """Return whether images are even, and a kernel of this size and stride has its middle over the first pixel."""
        return (self.size, self.stride, self.padding, self.even) == (size, stride, size // 2, True)


class Row(NamedTuple):
    """A kernel, and the convolutions that it computes. An operation that is None is left to the next row, or to XLA.

    Attributes:
      name: for `switch.use`.
      fits: whether the kernel computes a convolution, and gains by it.
      result: (images, kernel) -> result.
      image_gradient: (gradient of the result, kernel) -> gradient of the images.
      kernel_gradient: (images, gradient of the result) -> gradient of the kernel.
    """

    name: str
    fits: Callable[[Convolution], bool]
    result: Callable | None = None
    image_gradient: Callable | None = None
    kernel_gradient: Callable | None = None


ROWS = (
    Row(
        "winograd",
        # With fewer channels the transforms cost more than the products that they save.
        lambda c: c.is_centred(size=3) and min(c.inputs, c.outputs) >= 256,
        result=winograd.result,
        image_gradient=winograd.image_gradient,
    ),
    Row(
        "winograd_kernel_gradient",
        lambda c: c.is_centred(size=3) and c.inputs >= 32,
        kernel_gradient=winograd.kernel_gradient,
    ),
    Row(
        "strided",
        lambda c: c.is_centred(size=3, stride=2) and c.inputs >= 32,
        image_gradient=strided.image_gradient,
        kernel_gradient=strided.kernel_gradient,
    ),
    Row(
        "kernel_rows",
        lambda c: (c.stride, c.padding) == (1, 0) and c.size > 1 and c.outputs < kernel_rows.VECTOR,
        result=kernel_rows.result,
    ),
)
