"""What the terms of a loss can look at, and what a row of the table of terms is."""

import dataclasses
import functools
from collections.abc import Callable

import flax.linen as nn
import jax

from srgan_jax.types import AnyArray, Array, Features, Float, Images, Int, Key, Logits, LRImages, Scalar


class Context:
    """The images, features and judgements of one update; each is computed when a term first asks for it.

    Attributes:
      sr, hr: [N, H, W, C] in [-1, 1].
      lr: [N, H / scale, W / scale, C] in [0, 1], with more channels where there is a guide; or None where no term needs
        it.
      scale: enlargement.
      key: a PRNG key of this update, for terms that draw random numbers; or None.
      estimates: luma in [0, 1] of the estimates of SR that G gives on its way, [N, H, W, estimates]; or None.
      features: those of G on LR's pixels, [N, H / scale, W / scale, features]; or None.
      progress: how much of the run is done, from 0 to 1.
      jitter: HR pixels by which features and D see SR and HR shifted, at random and both alike: their crops are
        smaller by as much. Otherwise every crop would meet the strides of VGG and D in one phase of the pixel shuffle.
      judge: D, images -> logits, or None in a stage without a discriminator. D's BatchNorm statistics do not move.
      frozen: {name: function} of the networks that are never trained: "vgg" takes images, "lpips_vgg" SR and HR, and
        "teacher" takes LR.
    """

    def __init__(
        self,
        sr: Images,
        hr: Images,
        *,
        lr: LRImages | None = None,
        scale: int = 1,
        key: Key | None = None,
        estimates: Features | None = None,
        features: Features | None = None,
        progress: Scalar | float = 1.0,
        jitter: int = 0,
        judge: Callable[[Images], Logits] | None = None,
        frozen: dict[str, Callable] | None = None,
    ) -> None:
        self.sr, self.hr, self.lr, self.scale, self.key = sr, hr, lr, scale, key
        self.estimates, self.features, self.progress = estimates, features, progress
        self.jitter, self.judge, self.frozen = jitter, judge, frozen or {}

    @functools.cached_property
    def _offset(self) -> Int[Array, " 2"]:
        return jax.random.randint(self.key, (2,), 0, self.jitter + 1)

    def seen(self, images: Images) -> Float[AnyArray, "n _ _ c"]:
        """Return SR or HR as features and D see it, [N, H - jitter, W - jitter, C]."""
        if not self.jitter:
            return images
        n, h, w, c = images.shape
        return jax.lax.dynamic_slice(images, (0, *self._offset, 0), (n, h - self.jitter, w - self.jitter, c))

    @functools.cached_property
    def real_logits(self) -> Logits:
        """D's logits of HR."""
        return self.judge(self.seen(self.hr))

    @functools.cached_property
    def fake_logits(self) -> Logits:
        """D's logits of SR."""
        return self.judge(self.seen(self.sr))

    @functools.cached_property
    def sr_features(self) -> dict[str, Features]:
        """VGG19's feature maps of SR, by name."""
        return self.frozen["vgg"](self.seen(self.sr))

    @functools.cached_property
    def hr_features(self) -> dict[str, Features]:
        """VGG19's feature maps of HR, by name."""
        return self.frozen["vgg"](self.seen(self.hr))

    @functools.cached_property
    def teacher(self) -> dict[str, AnyArray]:
        """What a trained generator makes of LR: {"sr": SR in [-1, 1]}, and "features" as G has them."""
        return self.frozen["teacher"](self.lr)


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a run trains its terms in.

    Attributes:
      weights: {name: weight} of the run's terms, without those of weight 0.
      discriminator: D, or None in a stage without one.
      channels: of the images.
      crop: rows and columns of SR and HR.
      seen: rows and columns that features and D see; see Context.jitter.
      scale: enlargement.
    """

    weights: dict[str, float]
    discriminator: nn.Module | None
    channels: int
    crop: int
    seen: int
    scale: int


def _accept(setting: Setting) -> None:
    """Raise no objection."""


@dataclasses.dataclass(frozen=True)
class Term:
    """A row of the table of terms.

    Attributes:
      generator: G's side, a function of a Context; the generator's loss has it times the term's weight.
      discriminator: D's side; the discriminator's loss has it as it is, since the weight says how much G listens.
      penalty: what is added to D's loss times the term's weight, such as a gradient penalty.
      frozen: names of the frozen networks that the term reads.
      layers: names of VGG19's feature maps that the term reads.
      outputs: names of what the term reads beside SR of what G gives: "estimates" or "features".
      objection: why the term has no meaning in a Setting, as the end of a sentence that begins with the term's name;
        or None.
    """

    generator: Callable[[Context], Scalar] | None = None
    discriminator: Callable[[Context], Scalar] | None = None
    penalty: Callable[[Context], Scalar] | None = None
    frozen: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    objection: Callable[[Setting], str | None] = _accept

    @property
    def adversarial(self) -> bool:
        """Whether the term needs a discriminator."""
        return self.discriminator is not None or self.penalty is not None
