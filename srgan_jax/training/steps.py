"""The two training steps: content training of G alone, and adversarial training of G and D (section 3.2).

A step is a pure function, step(state, batch, frozen, key) -> (state, metrics):
  state    {"g": NetworkState} or {"g": …, "d": …}
  batch    what data.loader makes: {"hr": uint8 crops with a margin, "turn": int32}; and "lr", levels of 0..255, where
           LR is another than the bicubic reduction (stages.with_degradation). Crops of measurements are float32, and
           have a last channel that is 1 where a pixel has a value and 0 in holes, and may have a guide before it
           (data.arrays)
  frozen   {network: parameters} that a step reads and never changes. They are passed and not closed over, lest a
           network of 80 MB be baked into the program.
  key      a PRNG key of this step, for the terms that draw random numbers
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree
from ml_collections import ConfigDict

from srgan_jax import images
from srgan_jax.images.resize import MARGIN_LR, downscale_crops
from srgan_jax.losses import Context
from srgan_jax.models.layers import subpixels
from srgan_jax.training.state import NetworkState, forward, generate
from srgan_jax.types import AnyArray, Images, Key, Logits, LRImages, Params, Scalar, Terms

Batch = dict[str, AnyArray]
State = dict[str, Any]
Outputs = dict[str, jax.Array]  # of G: {"sr": SR}, and what the terms read besides; see state.generate
Loss = Callable[[Context], tuple[Scalar, Terms]]
Gradients = tuple[Params, Terms, Params]  # of a network, with the metrics and BatchNorm statistics of the batch


@dataclasses.dataclass(frozen=True)
class Losses:
    """What a step makes small.

    Attributes:
      generator: G's loss of a Context.
      discriminator: D's loss of a Context; None in content training.
      frozen: {network: function(parameters, images)} of the networks that the terms read.
      outputs: names of what the terms read beside SR of what G gives.
      scale: enlargement.
      jitter: see losses.Context.
    """

    generator: Loss
    discriminator: Loss | None
    frozen: dict[str, Callable]
    outputs: tuple[str, ...]
    scale: int
    jitter: int = 0

    def context(self, parameters: dict[str, Params], sr: Images, hr: Images, **options) -> Context:
        """Return a Context whose frozen networks have their parameters."""
        bound = {name: functools.partial(apply, parameters[name]) for name, apply in self.frozen.items()}
        return Context(sr, hr, scale=self.scale, jitter=self.jitter, frozen=bound, **options)


def degrade(batch: Batch, scale: int, *, channels: int | None = None) -> tuple[LRImages, Images]:
    """Turn crops with a margin into (LR in [0, 1], HR in [-1, 1]), flipped and turned.

    Of measurements only the first `channels` are reduced. Those after them are a guide, which LR has in its last
    channels (models.GuidedSR).

    LR is made first and turned afterwards, so that it equals, bit for bit, a crop of the whole picture's LR.
    """
    margin = MARGIN_LR * scale
    crops = batch["hr"][..., :-1] if are_measurements(batch) else batch["hr"]
    lr = batch["lr"] if "lr" in batch else downscale_crops(crops[..., :channels], scale)
    lr = images.lr_to_unit(images.turn(lr, batch["turn"]))
    hr = images.turn(crops[:, margin:-margin, margin:-margin], batch["turn"])
    if channels is not None and hr.shape[-1] > channels:
        guide = images.lr_to_unit(hr[..., channels:])
        lr, hr = jnp.concatenate([lr, subpixels(guide, scale)], -1), hr[..., :channels]
    return lr, images.hr_to_signed(hr)


def are_measurements(batch: Batch) -> bool:
    """Return whether the crops are of measurements, whose last channel says where there are any."""
    return jnp.issubdtype(batch["hr"].dtype, jnp.floating)


def with_holes(outputs: Outputs, batch: Batch, hr: Images, scale: int) -> Outputs:
    """Return G's outputs with HR's values where the measurements have holes, so that no term and no D sees them."""
    if not are_measurements(batch):
        return outputs
    margin = MARGIN_LR * scale
    valid = images.turn(batch["hr"][:, margin:-margin, margin:-margin, -1:], batch["turn"])
    return outputs | {"sr": jnp.where(valid > 0, outputs["sr"], hr)}


def run_generator(
    g: NetworkState, batch: Batch, *, losses: Losses, config: ConfigDict
) -> tuple[LRImages, Images, Outputs, Callable, Params]:
    """Run G once, forwards -> (LR, HR, G's outputs, the pullback to its parameters, BatchNorm statistics)."""
    lr, hr = degrade(batch, config.scale, channels=config.channels)

    def run(params: Params) -> tuple[Outputs, Params]:
        given, batch_stats = generate(g, params, lr, outputs=losses.outputs, train=not config.hold_batch_norm)
        return with_holes(given, batch, hr, config.scale), batch_stats

    return lr, hr, *jax.vjp(run, g.params, has_aux=True)


def generator_gradients(pullback: Callable, loss: Callable, outputs: Outputs) -> tuple[Params, Terms]:
    """Pull the gradient of `loss(outputs) -> (scalar, terms)` back through G -> (gradients, metrics)."""
    (total, terms), d_outputs = jax.value_and_grad(loss, has_aux=True)(outputs)
    (grads,) = pullback(d_outputs)
    return grads, {"g/loss": total} | {f"g/{name}": value for name, value in terms.items()}


def discriminator_gradients(d: NetworkState, context: Context, loss: Loss) -> Gradients:
    """Compute what teaches D to tell HR from SR.

    HR and SR are separate batches to D's BatchNorm, as in the usual implementations, and move its running averages in
    this order. Penalties judge images by the parameters alone and do not move them.
    """

    def judged(params: Params) -> tuple[Scalar, tuple]:
        context.judge = lambda image: forward(d, params, image)[0]
        context.real_logits, batch_stats = forward(d, params, context.seen(context.hr))
        context.fake_logits, batch_stats = forward(d, params, context.seen(context.sr), batch_stats=batch_stats)
        total, penalties = loss(context)
        return total, (context.real_logits, context.fake_logits, penalties, batch_stats)

    (total, (real, fake, penalties, batch_stats)), grads = jax.value_and_grad(judged, has_aux=True)(d.params)
    metrics = {
        "d/loss": total,
        "d/real": jnp.mean(jax.nn.sigmoid(real)),
        "d/fake": jnp.mean(jax.nn.sigmoid(fake)),
    }
    return grads, metrics | {f"d/{name}": value for name, value in penalties.items()}, batch_stats


def divided(batch: PyTree[jax.Array], count: int) -> PyTree[jax.Array]:
    """Divide a tree of [N, …] into one of [count, N / count, …].

    Every count-th row makes a part, so that each device's rows are spread over all of them and stay where they are.
    """
    return jax.tree.map(lambda rows: rows.reshape(-1, count, *rows.shape[1:]).swapaxes(0, 1), batch)


def accumulated(gradients: Callable, network: NetworkState, batch: Batch | tuple, count: int) -> Gradients:
    """Return the means of `gradients(network, part) -> Gradients` over `count` parts of a batch.

    One part is in memory at a time. To BatchNorm each part is a batch of its own, in training and for the running
    averages, which pass from part to part.
    """
    if count == 1:
        return gradients(network, batch)
    parts = divided(batch, count)

    def add(carry: tuple, part: Batch | tuple) -> tuple[tuple, None]:
        sums, batch_stats = carry
        *values, batch_stats = gradients(network.replace(batch_stats=batch_stats), part)
        return (jax.tree.map(jnp.add, sums, tuple(values)), batch_stats), None

    *shapes, _ = jax.eval_shape(gradients, network, jax.tree.map(lambda rows: rows[0], parts))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), tuple(shapes))
    (sums, batch_stats), _ = jax.lax.scan(add, (zeros, network.batch_stats), parts)
    return *jax.tree.map(lambda leaf: leaf / count, sums), batch_stats


def update(
    name: str, network: NetworkState, grads: Params, metrics: Terms, batch_stats: Params
) -> tuple[NetworkState, Terms]:
    """Let the optimizer step -> (network, metrics)."""
    network = network.apply_gradients(grads=grads, batch_stats=batch_stats)
    return network, metrics | {f"{name}/grad_norm": optax.tree.norm(grads)}


def content_step(
    state: State, batch: Batch, frozen: dict[str, Params], key: Key, *, losses: Losses, config: ConfigDict
) -> tuple[State, Terms]:
    """Train G alone on the content loss: SRResNet (section 3.2)."""

    def gradients(g: NetworkState, part: Batch) -> Gradients:
        lr, hr, outputs, pullback, batch_stats = run_generator(g, part, losses=losses, config=config)
        progress = g.step / config.num_steps
        loss = functools.partial(judge_generator, losses, frozen, hr=hr, lr=lr, key=key, progress=progress)
        return *generator_gradients(pullback, loss, outputs), batch_stats

    g, metrics = update("g", state["g"], *accumulated(gradients, state["g"], batch, config.accumulate))
    return {"g": g}, metrics


def adversarial_step(
    state: State, batch: Batch, frozen: dict[str, Params], key: Key, *, losses: Losses, config: ConfigDict
) -> tuple[State, Terms]:
    """Update D, then G against the updated D: SRGAN (section 3.2, where k = 1).

    D makes k = `config.discriminator_steps` updates, each on another k-th of the batch. In the first
    `config.discriminator_first` steps G stays as it is while D learns to tell its pictures.
    """

    run = functools.partial(run_generator, losses=losses, config=config)

    # G runs once where the batch is in one part; else twice, since memory holds what the pullback needs of one part.
    once = run(state["g"], batch) if config.accumulate == 1 else None

    def learn(d: NetworkState, examples: Batch | tuple, key: Key) -> tuple[NetworkState, Terms]:
        def gradients(d: NetworkState, part: Batch | tuple) -> Gradients:
            lr, hr, outputs = part if once else run(state["g"], part)[:3]
            return discriminator_gradients(
                d, losses.context(frozen, outputs["sr"], hr, lr=lr, key=key), losses.discriminator
            )

        return update("d", d, *accumulated(gradients, d, examples, config.accumulate))

    examples = once[:3] if once else batch
    if config.discriminator_steps == 1:
        d, d_metrics = learn(state["d"], examples, key)
    else:
        turns = divided(examples, config.discriminator_steps), jax.random.split(key, config.discriminator_steps)
        d, d_metrics = jax.lax.scan(lambda d, turn: learn(d, *turn), state["d"], turns)
        d_metrics = jax.tree.map(jnp.mean, d_metrics)

    def judge(image: Images) -> Logits:
        logits, _ = forward(d, d.params, image)  # D's statistics move only while D learns.
        return logits

    def g_gradients(g: NetworkState, part: Batch) -> Gradients:
        lr, hr, outputs, pullback, batch_stats = once or run(g, part)
        progress = g.step / config.num_steps
        loss = functools.partial(judge_generator, losses, frozen, hr=hr, lr=lr, key=key, judge=judge, progress=progress)
        return *generator_gradients(pullback, loss, outputs), batch_stats

    g, g_metrics = update("g", state["g"], *accumulated(g_gradients, state["g"], batch, config.accumulate))
    if config.discriminator_first:
        early = state["d"].step < config.discriminator_first
        g = jax.tree.map(lambda old, new: jnp.where(early, old, new), state["g"], g)
    return {"g": g, "d": d}, g_metrics | d_metrics


def judge_generator(
    losses: Losses, frozen: dict[str, Params], outputs: Outputs, hr: Images, **options
) -> tuple[Scalar, Terms]:
    """Return G's loss of its outputs."""
    return losses.generator(losses.context(frozen, hr=hr, **outputs, **options))


STEPS: dict[str, Callable] = {"content": content_step, "adversarial": adversarial_step}
