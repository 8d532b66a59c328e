"""What networks that enlarge luma alone have in common: where it comes from, and what becomes of the colour."""

import math
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from srgan_jax.images import unit_to_signed
from srgan_jax.images.luma import BLACK, RANGE, WEIGHTS, luma
from srgan_jax.models.graph import Graph
from srgan_jax.models.layers import Enlarge
from srgan_jax.models.network import GeneratorNetwork
from srgan_jax.types import AnyArray, Float, Images, LRImages

BICUBIC_RADIUS = 2  # LR pixels

Luma = Float[AnyArray, "n _ _ 1"]


class LumaGenerator(GeneratorNetwork):
    """A network of luma, Y; the colour, Cb and Cr, is enlarged bicubically, as in SRCNN and its successors.

    Of RGB this makes the bicubic enlargement plus one number for all three channels of a pixel: the inverse of
    MATLAB's rgb2ycbcr adds a change of Y to R, G and B alike, multiplied by 255/219. With `channels=1` the network
    enlarges the levels themselves, which is also how pictures of any other number of channels are enlarged, one channel
    at a time.

    A subclass has `enlarge_luma` and `describe_luma`, and calls `super().setup()` in its `setup`.
    """

    VALUES: ClassVar = {"scale": (2, 3, 4, 8), "channels": (1, 3)}

    def setup(self) -> None:
        self.enlarge = Enlarge("cubic", self.scale)

    def enlarge_luma(self, lr: Luma, enlarged: Luma, *, train: bool) -> Luma:
        """Map the luma of LR and that of its bicubic enlargement to the luma of SR; all in [0, 1]."""
        raise NotImplementedError

    def describe_luma(self, graph: Graph, lr: str, enlarged: str) -> str:
        """Return `enlarge_luma` as operations of a graph."""
        raise NotImplementedError

    def __call__(self, lr: LRImages, *, train: bool = False) -> Images:
        lr = lr.astype(jnp.float32)
        enlarged = self.enlarge(lr)
        before = luma(enlarged)
        after = self.enlarge_luma(luma(lr), before, train=train).astype(jnp.float32)
        return unit_to_signed(after if self.channels == 1 else enlarged + (after - before) / RANGE)

    def describe(self, graph: Graph, lr: str) -> str:
        enlarged = graph.resize(lr, self.scale, "bicubic")
        if self.channels == 1:
            return self.describe_luma(graph, lr, enlarged)
        colour, shift = np.eye(3) - WEIGHTS / RANGE, [-BLACK / RANGE] * 3  # enlarged - before / RANGE
        lr, before = (graph.mix(x, [WEIGHTS], [BLACK]) for x in (lr, enlarged))
        after = graph.mix(self.describe_luma(graph, lr, before), [[1 / RANGE]] * 3, [0.0] * 3)
        return graph.add(graph.mix(enlarged, colour, shift), after)

    def radius_of(self, pixels: int) -> int:
        """Return how many LR pixels the network sees on each side if it sees so many of the bicubic enlargement."""
        return math.ceil(pixels / self.scale) + BICUBIC_RADIUS
