"""The networks that a stage reads and never trains: VGG19, those of the perceptual metrics, and a teacher."""

import functools
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from srgan_jax import losses
from srgan_jax.errors import InputError
from srgan_jax.generators import load
from srgan_jax.metrics.dists import dists
from srgan_jax.metrics.lpips import lpips
from srgan_jax.models import VGG19, fold_batch_norm
from srgan_jax.types import LRImages, Params, Variables
from srgan_jax.weights.perceptual import load_dists, load_lpips
from srgan_jax.weights.vgg19 import load_vgg19


def _load_vgg(config: ConfigDict, terms: Iterable[str]) -> tuple[Params, Callable]:
    """Return VGG19's parameters, and its feature maps of images."""
    layers = losses.feature_layers(terms)
    params, preprocessing = load_vgg19(config.vgg_weights, layers)
    vgg = VGG19(layers=layers, preprocessing=preprocessing, dtype=jnp.dtype(config.dtype))
    return params, lambda params, images: vgg.apply({"params": params}, images)


def _load_metric(load_params: Callable[[], Params], distance: Callable) -> Callable:
    """Load what `eval.py` scores with, for a term that makes it small."""
    return lambda config, terms: (load_params(), distance)


def _load_teacher(config: ConfigDict, terms: Iterable[str]) -> tuple[Variables, Callable]:
    """Return a trained generator, with BatchNorm folded, and what it makes of LR (losses.Context.teacher)."""
    if not config.teacher:
        raise InputError(
            f"losses.{next(name for name in terms if 'teacher' in losses.TERMS[name].frozen)} needs config.teacher: a "
            "run directory, checkpoint, exported file or shipped model, such as srresnet-x4."
        )
    trained = load(config.teacher)
    for field in ("scale", "channels"):
        if getattr(trained.module, field) != config[field]:
            raise InputError(
                f"config.teacher: {config.teacher} has {field}={getattr(trained.module, field)}, but this config has "
                f"{config[field]}."
            )
    module, variables = fold_batch_norm(trained.module, trained.variables)
    module = module.clone(dtype=jnp.dtype(config.dtype))

    def teach(variables: Variables, lr: LRImages) -> dict[str, jax.Array]:
        sr, given = module.apply(variables, lr, mutable=["auxiliary"])
        return {"sr": sr} | {name: arrays[0] for name, arrays in given.get("auxiliary", {}).items()}

    return variables, teach


# How each frozen network is had: (config, names of the terms) -> (parameters, function(parameters, images or SR, HR)).
FROZEN: dict[str, Callable] = {
    "vgg": _load_vgg,
    "lpips_alex": _load_metric(lambda: load_lpips("alex"), functools.partial(lpips, network="alex")),
    "lpips_vgg": _load_metric(lambda: load_lpips("vgg"), functools.partial(lpips, network="vgg")),
    "dists": _load_metric(load_dists, dists),
    "teacher": _load_teacher,
}
