"""The paper's two stages, each a pair of pure functions.

  init(key) -> state                    {"g": NetworkState} or {"g": …, "d": …}; with ema_decay also "g_ema"
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
from srgan_jax.state import NetworkState, create_network, forward, variables_of
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


def generator_gradients(pullback, loss, sr):
    """Pull the gradient of `loss(sr) -> (scalar, terms)` back through G -> (gradients, metrics)."""
    (total, terms), d_sr = jax.value_and_grad(loss, has_aux=True)(sr)
    (grads,) = pullback(d_sr)
    return grads, {"g/loss": total} | {f"g/{name}": value for name, value in terms.items()}


def discriminator_gradients(d: NetworkState, hr, sr):
    """What teaches D to tell HR from SR -> (gradients, metrics, BatchNorm statistics).

    The two are separate batches to its BatchNorm, as in the usual implementations.
    """

    def loss(params):
        real, batch_stats = forward(d, params, hr)
        fake, batch_stats = forward(d, params, sr, batch_stats=batch_stats)
        return losses.discriminator_loss(real, fake), (real, fake, batch_stats)

    (total, (real, fake, batch_stats)), grads = jax.value_and_grad(loss, has_aux=True)(d.params)
    metrics = {
        "d/loss": total,
        "d/real": jnp.mean(jax.nn.sigmoid(real)),
        "d/fake": jnp.mean(jax.nn.sigmoid(fake)),
    }
    return grads, metrics, batch_stats


def accumulated(gradients, network: NetworkState, batch, count: int):
    """Means of `gradients(network, part) -> (gradients, metrics, BatchNorm statistics)` over `count` parts of a batch.

    One part is in memory at a time. To BatchNorm each is a batch of its own, in training and for the running averages,
    which pass from part to part. Returns the same three.
    """
    if count == 1:
        return gradients(network, batch)
    # Every count-th row makes a part, so that each device's rows are spread over all of them and stay where they are.
    parts = jax.tree.map(lambda rows: rows.reshape(-1, count, *rows.shape[1:]).swapaxes(0, 1), batch)

    def add(carry, part):
        sums, batch_stats = carry
        *values, batch_stats = gradients(network.replace(batch_stats=batch_stats), part)
        return (jax.tree.map(jnp.add, sums, tuple(values)), batch_stats), None

    *shapes, _ = jax.eval_shape(gradients, network, jax.tree.map(lambda rows: rows[0], parts))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), tuple(shapes))
    (sums, batch_stats), _ = jax.lax.scan(add, (zeros, network.batch_stats), parts)
    return *jax.tree.map(lambda leaf: leaf / count, sums), batch_stats


def update(name: str, network: NetworkState, grads, metrics, batch_stats):
    """Let the optimizer step -> (network, metrics)."""
    network = network.apply_gradients(grads=grads, batch_stats=batch_stats)
    return network, metrics | {f"{name}/grad_norm": optax.tree.norm(grads)}


def content_step(state, batch, frozen, *, scale, loss, accumulate):
    """Train G alone on the content loss: SRResNet (section 3.2)."""

    def gradients(g, part):
        lr, hr = degrade(part, scale)
        sr, pullback, batch_stats = run_generator(g, lr)
        return *generator_gradients(pullback, lambda sr: loss(sr, hr, frozen["vgg"], judge=None), sr), batch_stats

    g, metrics = update("g", state["g"], *accumulated(gradients, state["g"], batch, accumulate))
    return {"g": g}, metrics


def adversarial_step(state, batch, frozen, *, scale, loss, accumulate):
    """One update of D, then one of G against the updated D: SRGAN (section 3.2, k = 1)."""

    def run(g, part):
        lr, hr = degrade(part, scale)
        return hr, *run_generator(g, lr)

    # G runs once where the batch is in one part; else twice, since memory holds what the pullback needs of one part.
    once = run(state["g"], batch) if accumulate == 1 else None

    def d_gradients(d, part):
        hr, sr, *_ = once or run(state["g"], part)
        return discriminator_gradients(d, hr, sr)

    d, d_metrics = update("d", state["d"], *accumulated(d_gradients, state["d"], batch, accumulate))

    def judge(sr):
        logits, _ = forward(d, d.params, sr)  # D's statistics move only while D learns.
        return logits

    def g_gradients(g, part):
        hr, sr, pullback, batch_stats = once or run(g, part)
        return *generator_gradients(pullback, lambda sr: loss(sr, hr, frozen["vgg"], judge), sr), batch_stats

    g, g_metrics = update("g", state["g"], *accumulated(g_gradients, state["g"], batch, accumulate))
    return {"g": g, "d": d}, g_metrics | d_metrics


STEPS = {"content": content_step, "adversarial": adversarial_step}


@dataclasses.dataclass(frozen=True)
class Stage:
    """What the loop needs to know of a stage.

    Attributes:
      init: init(key) -> state.
      step: step(state, batch, frozen) -> (state, metrics).
      frozen: what every step reads.
      learning_rate: learning_rate(step) of G's Adam; D's is this times a constant.
    """

    init: Callable
    step: Callable
    frozen: dict
    learning_rate: Callable


def with_average(init, step, decay: float):
    """A stage's (init, step) with "g_ema" in the state: an exponential moving average of what makes up G.

    After each update it is decay * average + (1 - decay) * G, of the parameters and BatchNorm statistics alike; at
    first it is G itself.
    """

    def init_with(key):
        state = init(key)
        return state | {"g_ema": variables_of(state["g"])}

    def step_with(state, batch, frozen):
        networks, metrics = step(state, batch, frozen)
        average = optax.incremental_update(variables_of(networks["g"]), state["g_ema"], step_size=1 - decay)
        return networks | {"g_ema": average}, metrics

    return init_with, step_with


def create_stage(config) -> Stage:
    """Build the stage that `config.stage` names.

    Raises:
      InputError: a field out of range, or VGG weights that are needed and not there.
    """
    check_fields(config)
    dtype, optimizer = jnp.dtype(config.dtype), config.optimizer
    learning_rate = SCHEDULES[optimizer.schedule](optimizer, config.num_steps)

    def adam(factor):
        rates = {"b1": optimizer.b1, "b2": optimizer.b2, "eps": optimizer.eps}
        return optax.adam(lambda step: factor * learning_rate(step), **rates)

    layers = losses.vgg_layers(config.losses.to_dict())
    vgg, preprocessing = load_vgg19(config.vgg_weights, layers) if layers else (None, "caffe")
    loss = losses.make_generator_loss(config.losses.to_dict(), vgg_preprocessing=preprocessing, dtype=dtype)

    def init(key):
        lr_size, hr_size = config.data.crop_size // config.scale, config.data.crop_size
        lr = jnp.zeros((1, lr_size, lr_size, config.channels))
        networks = {"g": create_network(create_generator(config), key, lr, adam(1.0))}
        if config.stage == "adversarial":
            discriminator = Discriminator(dtype=dtype, **config.discriminator)
            hr = jnp.zeros((1, hr_size, hr_size, config.channels))
            tx = adam(optimizer.discriminator_rate)
            networks["d"] = create_network(discriminator, jax.random.fold_in(key, 1), hr, tx)
        return networks

    step = functools.partial(STEPS[config.stage], scale=config.scale, loss=loss, accumulate=config.accumulate)
    if config.ema_decay:
        init, step = with_average(init, step, config.ema_decay)
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
        ("accumulate", config.accumulate, 1),
        ("log_every", config.log_every, 1),
        ("channels", config.channels, 1),
        ("optimizer.discriminator_rate", config.optimizer.discriminator_rate, 0),
        ("generator.features", config.generator.features, 1),
        ("generator.num_blocks", config.generator.num_blocks, 0),
        ("discriminator.features", config.discriminator.features, 1),
        ("discriminator.hidden", config.discriminator.hidden, 1),
    ):
        if value < least:
            raise InputError(f"config.{name} must be at least {least}, got {value}.")
    if config.batch_size % config.accumulate:
        raise InputError(
            f"config.batch_size must be a multiple of accumulate={config.accumulate}, got {config.batch_size}; "
            f"try {-(-config.batch_size // config.accumulate) * config.accumulate}."
        )
    if not 0 <= config.ema_decay < 1:
        raise InputError(f"config.ema_decay must be at least 0 and less than 1, got {config.ema_decay}.")
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
