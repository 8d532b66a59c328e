"""What every generator of the registry is: a Flax module that says how it is built, enlarged by parts, and exported."""

from collections.abc import Collection
from typing import Any, ClassVar

import flax.linen as nn

from srgan_jax.models.graph import Graph
from srgan_jax.types import Images, LRImages, Variables

MOST = 1024  # the largest number of features or blocks that one would build, whatever a file claims


class GeneratorNetwork(nn.Module):
    """LR image -> SR image, `scale` times as large.

    The fields of a subclass are its architecture: `scale` and `channels`, which every generator has, and others of
    type int, float, bool or str, each with a default. `dtype` is the type of the computation and no part of the
    architecture. Files and configs describe a network by these fields and by its name in `models.GENERATORS`.

    A large picture is enlarged window by window: each window overlaps its neighbours by `receptive_radius`, and what
    lies outside of the picture is zero before each convolution. A subclass of `models.residual.ResidualGenerator` is
    computed piece by piece, which repeats less work where the network is deep.

    A network may also give the loss what it has computed on its way: `self.sow("auxiliary", name, array)`, with the
    name "estimates" for estimates of SR as luma in [0, 1], [N, scale · H, scale · W, estimates], or "features" for
    features on the pixels of LR, [N, H, W, features]. A loss term names what it reads (losses.Term.outputs).

    Attributes:
      VALUES: {field: the values that it may have}. Integers that are not named here may be 1 to MOST.
      MUCH_MEMORY: whether training is to say beforehand how much memory it takes.
    """

    VALUES: ClassVar[dict[str, Collection[Any]]] = {}
    MUCH_MEMORY: ClassVar[bool] = False

    def __call__(self, lr: LRImages, *, train: bool = False) -> Images:
        """Enlarge a batch.

        Args:
          lr: [N, H, W, inputs] in [0, 1].
          train: BatchNorm uses the statistics of the batch, and updates `batch_stats`.

        Returns:
          SR, float32 [N, scale · H, scale · W, channels], around [-1, 1] and not clipped.
        """
        raise NotImplementedError

    @property
    def inputs(self) -> int:
        """Channels of what the network takes: those of LR, and of a guide if it has one (models.GuidedSR)."""
        return self.channels

    @property
    def heads(self) -> tuple[int, ...]:
        """The scales that the network has arrays for: `clone(scale=…)` enlarges by any of them with the same arrays."""
        return (self.scale,)

    def layers_of(self, scale: int) -> tuple[str, ...]:
        """Return what the names of those layers begin with that serve one of `heads` alone."""
        return ()

    @property
    def receptive_radius(self) -> int:
        """LR pixels on each side that a pixel of SR can depend on."""
        raise NotImplementedError

    def folded(self, variables: Variables) -> tuple["GeneratorNetwork", Variables]:
        """Return a simpler network of the registry that gives the same pictures, for release; by default this one.

        Args:
          variables: the arrays of this network.

        Returns:
          (the simpler network, its arrays). What BatchNorm and other layers may share, `fold_batch_norm` folds later.
        """
        return self, variables

    def describe(self, graph: Graph, lr: str) -> str:
        """Write the network down as operations of a graph, which other programs can run.

        Folding BatchNorm, ONNX and PyTorch all start from this description; the exporters compare it with `__call__`.

        Args:
          graph: collects the operations.
          lr: the name of LR in the graph, in [0, 1].

        Returns:
          The name of SR in the graph, in [0, 1], not clipped.
        """
        raise NotImplementedError
