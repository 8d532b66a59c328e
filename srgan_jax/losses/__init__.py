"""The losses (section 2.2): one table of terms, by family, and the weighted sums that a config makes of them.

`config.losses` names terms and weights, for example {"mse": 1, "adversarial": 1e-3}. A weight of zero leaves its term
out of the computation. A further term is one function and one row of its family's table.
"""

from collections.abc import Callable, Iterable

from srgan_jax.errors import InputError, nearest_name
from srgan_jax.losses import adversarial, feature, frequency, luma, perceptual, pixel, structure, teacher
from srgan_jax.losses.context import Context, Setting, Term
from srgan_jax.types import Scalar, Terms

__all__ = [
    "TERMS",
    "Context",
    "Setting",
    "Term",
    "check",
    "feature_layers",
    "frozen_networks",
    "make_discriminator_loss",
    "make_generator_loss",
    "outputs",
    "selected",
]

TERMS: dict[str, Term] = (
    pixel.TERMS
    | luma.TERMS
    | structure.TERMS
    | frequency.TERMS
    | feature.TERMS
    | perceptual.TERMS
    | teacher.TERMS
    | adversarial.TERMS
)


def selected(weights: dict[str, float]) -> dict[str, float]:
    """Return only the terms that have a weight.

    Raises:
      InputError: an unknown name.
    """
    for name in weights:
        if name not in TERMS:
            raise InputError(f"losses.{name}: there is no such term; {nearest_name(name, TERMS)}")
    return {name: weight for name, weight in weights.items() if weight}


def check(setting: Setting) -> None:
    """Refuse terms that have no meaning in a setting, or none together.

    Raises:
      InputError: the message names the term, the reason, and what to do.
    """
    for name in setting.weights:
        if TERMS[name].adversarial and setting.discriminator is None:
            raise InputError(f'losses.{name} needs a discriminator: set stage="adversarial", or it to 0.')
        if reason := TERMS[name].objection(setting):
            raise InputError(f"losses.{name} {reason}")
    judges = [name for name in setting.weights if TERMS[name].discriminator]
    if len(judges) > 1:
        raise InputError(
            f"losses.{judges[0]} and losses.{judges[1]} ask different things of the discriminator's logits; set one of "
            "them to 0."
        )


def feature_layers(names: Iterable[str]) -> tuple[str, ...]:
    """Return the feature maps of VGG19 that terms of these names read."""
    return tuple(dict.fromkeys(layer for name in names for layer in TERMS[name].layers))


def frozen_networks(names: Iterable[str]) -> set[str]:
    """Return the frozen networks that terms of these names read."""
    return {network for name in names for network in TERMS[name].frozen}


def outputs(names: Iterable[str]) -> tuple[str, ...]:
    """Return what terms of these names read, beside SR, of what G gives."""
    return tuple(dict.fromkeys(output for name in names for output in TERMS[name].outputs))


def make_generator_loss(weights: dict[str, float]) -> Callable[[Context], tuple[Scalar, Terms]]:
    """Build the generator's loss, for the paper's SRGAN its perceptual loss (eq. 3).

    Args:
      weights: {name of a term: weight}.

    Returns:
      loss(context) -> (the weighted sum, {name: term before weighting}).

    Raises:
      InputError: an unknown name, or no weight but zeros.
    """
    weights = {name: weight for name, weight in selected(weights).items() if TERMS[name].generator}
    if not weights:
        raise InputError("losses: every weight is zero; give at least one term, such as losses.mse=1.")

    def loss(context: Context) -> tuple[Scalar, Terms]:
        terms = {name: TERMS[name].generator(context) for name in weights}
        return sum(weights[name] * term for name, term in terms.items()), terms

    return loss


def make_discriminator_loss(weights: dict[str, float]) -> Callable[[Context], tuple[Scalar, Terms]]:
    """Build the discriminator's loss: the sum of D's sides, plus the weighted penalties.

    Args:
      weights: {name of a term: weight}; those that need no discriminator are left out.

    Returns:
      loss(context) -> (the sum, {name: penalty before weighting}).
    """
    weights = {name: weight for name, weight in selected(weights).items() if TERMS[name].adversarial}

    def loss(context: Context) -> tuple[Scalar, Terms]:
        sides = [TERMS[name].discriminator(context) for name in weights if TERMS[name].discriminator]
        penalties = {name: TERMS[name].penalty(context) for name in weights if TERMS[name].penalty}
        return sum(sides) + sum(weights[name] * penalty for name, penalty in penalties.items()), penalties

    return loss
