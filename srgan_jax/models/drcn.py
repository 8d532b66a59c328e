"""DRCN (Kim et al., "Deeply-Recursive Convolutional Network for Image Super-Resolution", CVPR 2016, arXiv
1511.04491)."""

import functools
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp

from srgan_jax.models.graph import Graph
from srgan_jax.models.layers import conv
from srgan_jax.models.luma import Luma, LumaGenerator
from srgan_jax.types import Array, Dtype, Key


def identity(key: Key, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> Array:
    """Return a kernel [rows, columns, features, features] that changes nothing; `key` is not used."""
    rows, columns, features, _ = shape
    return jnp.zeros(shape, dtype).at[rows // 2, columns // 2].set(jnp.eye(features, dtype=dtype))


class DRCN(LumaGenerator):
    """Luma enlarged bicubically -> SR luma: one convolution, applied again and again, sees ever more (section 3).

    Two convolutions embed the picture. After each recursion the same two convolutions reconstruct what is added to the
    enlargement, which gives an estimate of SR. The result is the sum of all estimates by learned weights, here a 1×1
    convolution, which starts as their mean. All convolutions are 3×3, and ReLU follows each but the last of the
    reconstruction. The recursive convolution starts as the identity (section 4), the others as He et al. propose.
    With the paper's 256 feature maps and 16 recursions there are 1,775,121 parameters.

    In training the estimates are given to the loss, whose term `recursive_supervision` teaches each of them. The
    features of all recursions then wait for the gradient: memory and time are those of a network of 34 such layers.

    Attributes:
      scale: enlargement: 2, 3, 4 or 8.
      channels: of LR and SR: 3 for RGB, 1 for grey.
      features: feature maps of every convolution (paper: 256).
      recursions: how often the recursive convolution is applied (paper: 16).
      dtype: of the computation; parameters are float32.
    """

    MUCH_MEMORY: ClassVar = True

    scale: int = 4
    channels: int = 3
    features: int = 256
    recursions: int = 16
    dtype: Dtype = jnp.float32

    def setup(self) -> None:
        super().setup()
        layer = functools.partial(conv, kernel_size=(3, 3), dtype=self.dtype)
        he = nn.initializers.he_normal()
        self.embedding = [layer(self.features, kernel_init=he, name=f"embedding{i}") for i in (0, 1)]
        self.recursion = layer(self.features, kernel_init=identity)
        self.reconstruction = layer(self.features, kernel_init=he)
        self.output = layer(1, kernel_init=he)
        self.ensemble = conv(1, (1, 1), use_bias=False, kernel_init=nn.initializers.constant(1 / self.recursions))

    def enlarge_luma(self, lr: Luma, enlarged: Luma, *, train: bool) -> Luma:
        x, estimates = enlarged, []
        for embedding in self.embedding:
            x = nn.relu(embedding(x))
        for _ in range(self.recursions):
            x = nn.relu(self.recursion(x))
            residual = self.output(nn.relu(self.reconstruction(x)))
            estimates.append(enlarged + residual.astype(jnp.float32))
        estimates = jnp.concatenate(estimates, -1)
        if train:
            self.sow("auxiliary", "estimates", estimates)
        return self.ensemble(estimates)

    @property
    def receptive_radius(self) -> int:
        return self.radius_of(2 + self.recursions + 2)

    def describe_luma(self, graph: Graph, lr: str, enlarged: str) -> str:
        x, estimates = enlarged, []
        for i in (0, 1):
            x = graph.leaky_relu(graph.conv(x, f"embedding{i}"), 0.0)
        for _ in range(self.recursions):
            x = graph.leaky_relu(graph.conv(x, "recursion"), 0.0)
            residual = graph.conv(graph.leaky_relu(graph.conv(x, "reconstruction"), 0.0), "output")
            estimates.append(graph.add(enlarged, residual))
        return graph.conv(graph.concat(*estimates), "ensemble")
