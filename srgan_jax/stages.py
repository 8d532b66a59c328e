"""The paper's two stages, each a pair of pure functions.

  init(key) -> state                    {"g": NetworkState} or {"g": …, "d": …}
  step(state, batch, frozen) -> (state, metrics)

`batch` is what data.loader makes: {"hr": uint8 crops with a margin, "turn": int32}. `frozen` holds what a step reads
and never changes: {"vgg": parameters or None}; passed, not closed over, lest 80 MB be baked into the program.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from srgan_jax import images, losses
from srgan_jax.errors import InputError, nearest_name
from srgan_jax.models import Discriminator, SRResNet
from srgan_jax.resize import MARGIN_LR, downscale_crops
from srgan_jax.schedules import SCHEDULES
from srgan_jax.state import NetworkState, create_network, forward
from srgan_jax.weights.vgg19 import load_vgg19


def create_generator(config) -> SRResNet:
    """The generator that a config describes."""
    return SRResNet(scale=config.scale, channels=config.channels, dtype=jnp.dtype(config.dtype), **config.generator)


def degrade(batch, scale: int):
    """Crops with a margin -> (lr in [0, 1], hr in [-1, 1]), flipped and turned.

    LR comes first and is turned afterwards, so that it equals, bit for bit, a crop of the whole picture's LR.
    """
    margin = MARGIN_LR * scale
    lr = images.turn(downscale_crops(batch["hr"], scale), batch["turn"])
    hr = images.turn(batch["hr"][:, margin:-margin, margin:-margin], batch["turn"])
    return images.lr_to_unit(lr), images.hr_to_signed(hr)


def run_generator(g: NetworkState, lr):
    """G's one forward pass of a step -> (sr, pullback to its parameters, BatchNorm statistics)."""
    return jax.vjp(lambda params: forward(g, params, lr), g.params, has_aux=True)


def update_generator(g: NetworkState, pullback, batch_stats, loss, sr):
    """Pull the gradient of `loss(sr) -> (scalar, terms)` back through G, and let its optimizer step."""
    (total, terms), d_sr = jax.value_and_grad(loss, has_aux=True)(sr)
    (grads,) = pullback(d_sr)
    metrics = {"g/loss": total, "g/grad_norm": optax.tree.norm(grads)} | {f"g/{k}": v for k, v in terms.items()}
    return g.apply_gradients(grads=grads, batch_stats=batch_stats), metrics


def update_discriminator(d: NetworkState, hr, sr):
    """Teach D to tell HR from SR. The two are separate batches to its BatchNorm, as in the usual implementations."""

    def loss(params):
        real, batch_stats = forward(d, params, hr)
        fake, batch_stats = forward(d, params, sr, batch_stats=batch_stats)
        return losses.discriminator_loss(real, fake), (real, fake, batch_stats)

    (total, (real, fake, batch_stats)), grads = jax.value_and_grad(loss, has_aux=True)(d.params)
    metrics = {
        "d/loss": total,
        "d/real": jnp.mean(jax.nn.sigmoid(real)),
        "d/fake": jnp.mean(jax.nn.sigmoid(fake)),
        "d/grad_norm": optax.tree.norm(grads),
    }
    return d.apply_gradients(grads=grads, batch_stats=batch_stats), metrics


def content_step(state, batch, frozen, *, scale, loss):
    """Train G alone on the content loss: SRResNet (section 3.2)."""
    lr, hr = degrade(batch, scale)
    sr, pullback, g_stats = run_generator(state["g"], lr)
    g, metrics = update_generator(state["g"], pullback, g_stats, lambda sr: loss(sr, hr, frozen["vgg"], judge=None), sr)
    return {"g": g}, metrics


def adversarial_step(state, batch, frozen, *, scale, loss):
    """One update of D, then one of G against the updated D: SRGAN (section 3.2, k = 1)."""
    lr, hr = degrade(batch, scale)
    sr, pullback, g_stats = run_generator(state["g"], lr)
    d, d_metrics = update_discriminator(state["d"], hr, sr)

    def judge(sr):
        logits, _ = forward(d, d.params, sr)  # D's statistics move only while D learns.
        return logits

    g, g_metrics = update_generator(state["g"], pullback, g_stats, lambda sr: loss(sr, hr, frozen["vgg"], judge), sr)
    return {"g": g, "d": d}, g_metrics | d_metrics


STEPS = {"content": content_step, "adversarial": adversarial_step}


@dataclasses.dataclass(frozen=True)
class Stage:
    """What the loop needs to know of a stage.

    Attributes:
      init: init(key) -> state.
      step: step(state, batch, frozen) -> (state, metrics).
      frozen: what every step reads.
      learning_rate: learning_rate(step), which the Adam of both networks follows.
    """

    init: Callable
    step: Callable
    frozen: dict
    learning_rate: Callable


def create_stage(config) -> Stage:
    """Build the stage that `config.stage` names.

    Raises:
      InputError: a field out of range, or VGG weights that are needed and not there.
    """
    check_fields(config)
    dtype, optimizer = jnp.dtype(config.dtype), config.optimizer
    learning_rate = SCHEDULES[optimizer.schedule](optimizer, config.num_steps)
    tx = optax.adam(learning_rate, b1=optimizer.b1, b2=optimizer.b2, eps=optimizer.eps)

    layers = losses.vgg_layers(config.losses.to_dict())
    vgg, preprocessing = load_vgg19(config.vgg_weights, layers) if layers else (None, "caffe")
    loss = losses.make_generator_loss(config.losses.to_dict(), vgg_preprocessing=preprocessing, dtype=dtype)

    def init(key):
        lr_size, hr_size = config.data.crop_size // config.scale, config.data.crop_size
        networks = {
            "g": create_network(create_generator(config), key, jnp.zeros((1, lr_size, lr_size, config.channels)), tx)
        }
        if config.stage == "adversarial":
            discriminator = Discriminator(dtype=dtype, **config.discriminator)
            hr = jnp.zeros((1, hr_size, hr_size, config.channels))
            networks["d"] = create_network(discriminator, jax.random.fold_in(key, 1), hr, tx)
        return networks

    step = functools.partial(STEPS[config.stage], scale=config.scale, loss=loss)
    return Stage(init, step, {"vgg": vgg}, learning_rate)


def check_fields(config) -> None:
    """Raise an InputError for a field that no network or stage can be made from."""
    for name, value, known in (
        ("stage", config.stage, STEPS),
        ("optimizer.schedule", config.optimizer.schedule, SCHEDULES),
        *(
            (f"generator.{field}", value, SRResNet.VALUES.get(field, [value]))
            for field, value in config.generator.items()
        ),
        ("dtype", config.dtype, ("float32", "bfloat16")),
    ):
        if value not in known:
            raise InputError(f"config.{name}: no {value!r}; {nearest_name(str(value), known)}")
    for name, value, least in (
        ("num_steps", config.num_steps, 1),
        ("batch_size", config.batch_size, 1),
        ("log_every", config.log_every, 1),
        ("channels", config.channels, 1),
        ("generator.features", config.generator.features, 1),
        ("generator.num_blocks", config.generator.num_blocks, 0),
        ("discriminator.features", config.discriminator.features, 1),
        ("discriminator.hidden", config.discriminator.hidden, 1),
    ):
        if value < least:
            raise InputError(f"config.{name} must be at least {least}, got {value}.")
    if config.optimizer.schedule == "cosine" and not 0 <= config.optimizer.warmup_steps < config.num_steps:
        raise InputError(
            f"config.optimizer.warmup_steps must be less than num_steps={config.num_steps}, "
            f"got {config.optimizer.warmup_steps}."
        )
    scale, crop_size = config.scale, config.data.crop_size
    if scale < 1 or scale & (scale - 1):
        raise InputError(f"config.scale must be a power of two, got {scale}.")
    if crop_size % scale or crop_size < scale:
        raise InputError(
            f"config.data.crop_size must be a multiple of scale={scale}, got {crop_size}; "
            f"try {max(1, crop_size // scale) * scale}."
        )
    if config.losses.adversarial and config.stage != "adversarial":
        raise InputError('config.losses.adversarial needs a discriminator: set stage="adversarial", or it to 0.')
    if config.channels != 3 and losses.vgg_layers(config.losses.to_dict()):
        raise InputError(f"config.losses: VGG takes RGB, got channels={config.channels}; use losses.mse.")
