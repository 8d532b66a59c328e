"""Random numbers inside of a jitted step."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from srgan_jax.types import AnyArray, Array, Key

Number = AnyArray | float | int

POOL = 256  # more numbers than anybody draws


class Dice:
    """Draws one number after another. What is drawn depends on the key and on the order of the draws alone.

    All numbers are made at once. To make each by itself would let XLA compile for a minute.
    """

    def __init__(self, key: Key) -> None:
        self._key, self._drawn = key, 0
        self._pool = jax.random.uniform(key, (POOL,))

    def _number(self) -> Array:
        """Draw a number from 0 to less than 1."""
        self._drawn += 1
        assert self._drawn <= POOL
        return self._pool[self._drawn - 1]

    def key(self) -> Key:
        """Return a key that has not been used, for arrays of random numbers."""
        self._drawn += 1
        return jax.random.fold_in(self._key, self._drawn)

    def uniform(self, low: Number, high: Number) -> Array:
        """Draw a number from low to high."""
        return low + (high - low) * self._number()

    def integer(self, low: int, high: int) -> Array:
        """Draw a whole number from low to high, both included."""
        return jnp.minimum(low + jnp.floor((high - low + 1) * self._number()).astype(jnp.int32), high)

    def chance(self, share: float) -> Array:
        """Draw True with a probability; never with 0, and always with 1."""
        return self._number() < share

    def choice(self, weights: Sequence[float]) -> Array:
        """Draw an index, in proportion to its weight."""
        ends = np.cumsum(np.asarray(weights, np.float64))
        ends = jnp.asarray(ends / ends[-1], jnp.float32)
        return jnp.minimum((ends <= self._number()).sum(), len(weights) - 1)
