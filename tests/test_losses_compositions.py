"""Every generator, loss term and discriminator in every stage that allows it; what does not go together is refused."""

import functools
import itertools

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from small_networks import random_vgg, small_dists, small_lpips
from tiny import make_tiny_batch, make_tiny_config, quick_jit

from srgan_jax import losses, models
from srgan_jax.errors import InputError
from srgan_jax.metrics.dists import dists
from srgan_jax.metrics.lpips import lpips
from srgan_jax.training import checks, frozen, stages

LOADERS = dict(frozen.FROZEN)


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    """Small or random networks in place of the trained frozen ones."""
    monkeypatch.setattr(frozen, "load_vgg19", lambda path, layers: (random_vgg(layers), "torchvision"))
    for name, params, distance in (
        ("lpips_alex", small_lpips("alex"), functools.partial(lpips, network="alex")),
        ("lpips_vgg", small_lpips("vgg"), functools.partial(lpips, network="vgg")),
        ("dists", small_dists(), dists),
    ):
        monkeypatch.setitem(frozen.FROZEN, name, lambda config, terms, loaded=(params, distance): loaded)


# The discriminators by the fields that make them. Those of make_tiny_config are for the first.
DISCRIMINATORS = {
    "small": {"network": "small", "norm": "none", "hidden": 1024},
    "paper": {},
    "spectral": {"head": "pool", "norm": "spectral"},
    "patch": {"head": "patch", "norm": "none"},
    "unet": {"network": "unet", "hidden": 1024},
}


def make_config(*, discriminator="small", **changes):
    """One residual block and crops of 16; with a discriminator in the adversarial stage."""
    fields = {f"discriminator__{field}": value for field, value in DISCRIMINATORS[discriminator].items()}
    small = {"generator__features": 4, "generator__num_blocks": 1, "discriminator__features": 4}
    weights = {name: changes.pop(name) for name in tuple(changes) if name in losses.TERMS}
    config = make_tiny_config(**{"scale": 2} | small | fields | changes)
    with config.losses.unlocked():
        config.losses.update({"mse": 0.0} | weights)
    return config


def two_steps(config, *, batch=None):
    """(state before, state after, metrics of the second step); everything is finite and every network has moved.

    The last bias of the discriminator may stay: what HR and SR ask of it can cancel out exactly.
    """
    stage = stages.create_stage(config)
    state = before = quick_jit(stage.init)(jax.random.key(0))
    step, batch = quick_jit(stage.step), batch or make_tiny_batch(config)
    for number in range(2):
        state, metrics = step(state, batch, stage.frozen, jax.random.key(number))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((state, metrics)))
    for name in before:
        old, new = (flatten_dict(networks[name].params, sep="/") for networks in (before, state))
        still = {key for key in old if np.array_equal(old[key], new[key])}
        may_stay = {"dense1/bias", "patch/bias", "conv9/bias"} if name == "d" else other_heads(config, old)
        assert still <= may_stay
    return before, state, metrics


def other_heads(config, params):
    """The arrays of a network of several scales that two steps need not use."""
    return {key for key in params if key.startswith("x")} if config.generator.network == "mdsr" else set()


FREE = ("mse", "l1", "charbonnier", "lr_l1", "phase", "gradient", "edge", "ssim", "ms_ssim", "focal_frequency", "tv")
FEATURES = tuple(name for name, term in losses.TERMS.items() if term.layers)
LEARNED = ("lpips_alex", "lpips_vgg", "dists")
JUDGES = tuple(name for name, term in losses.TERMS.items() if term.discriminator)
PENALTIES = tuple(name for name, term in losses.TERMS.items() if term.penalty)
CONTENT = {"free": FREE, "features": FEATURES, "learned": LEARNED}

ADVERSARIAL = {"stage": "adversarial", "adversarial": 1e-2}


def test_no_row_is_left_out():
    of_networks = {"luma_mse", "recursive_supervision"}  # which the generators that need them bring with them
    of_teachers = {"teacher_l1", "teacher_affinity"}  # test_light.py
    assert {*FREE, *FEATURES, *LEARNED, *JUDGES, *PENALTIES} == set(losses.TERMS) - of_networks - of_teachers
    assert {fields.get("network", "srgan") for fields in DISCRIMINATORS.values()} == set(models.DISCRIMINATORS)


@pytest.mark.parametrize(
    "stage", [{}, pytest.param(ADVERSARIAL, marks=pytest.mark.slow)], ids=["content", "adversarial"]
)
@pytest.mark.parametrize(
    "family", [pytest.param(family, marks=[pytest.mark.slow] * (family != "free")) for family in CONTENT]
)
def test_every_content_term_trains_in_both_stages(family, stage):
    names = CONTENT[family]
    config = make_config(data__crop_size=32, **stage, **dict.fromkeys(names, 1 / len(names)))
    _, _, metrics = two_steps(config)
    assert {f"g/{name}" for name in names} <= set(metrics) and all(metrics[f"g/{name}"] > 0 for name in names)


@pytest.mark.slow
@pytest.mark.parametrize(("judge", "discriminator"), list(itertools.product(JUDGES, DISCRIMINATORS)))
def test_every_judge_trains_every_discriminator(judge, discriminator):
    """Where a term needs a penalty, or the discriminator allows one, with it."""
    penalty = {"paper": None, "spectral": "r1"}.get(discriminator, "gradient_penalty")
    weights = {"mse": 1.0, judge: 1e-2} | ({penalty: 10.0} if penalty else {})
    if (judge, discriminator) == ("wasserstein", "paper"):
        with pytest.raises(InputError, match=r"config\.losses\.wasserstein has no least value"):
            stages.create_stage(make_config(stage="adversarial", discriminator=discriminator, **weights))
        return
    _, _, metrics = two_steps(make_config(stage="adversarial", discriminator=discriminator, **weights))
    assert {"g/mse", f"g/{judge}", "d/loss", "d/real", "d/fake"} <= set(metrics)
    assert penalty is None or metrics[f"d/{penalty}"] > 0


TRUNK = {"features": 4, "num_blocks": 1}
GENERATORS = {
    "srresnet": TRUNK,
    "msrresnet": TRUNK,
    "edsr": TRUNK,
    "srcnn": {"features": 4, "mapping_features": 4},
    "espcn": {"features": 4, "mapping_features": 4},
    "vdsr": {"features": 4, "num_layers": 3},
    "drcn": {"features": 4, "recursions": 2},
    "mdsr": TRUNK | {"scales": "2,4"},
    "ecbsr": TRUNK | {"branches": True},
    "mobile": TRUNK,
    "guided": TRUNK | {"guide_channels": 2},
}


@pytest.mark.parametrize(
    "stage", [{}, pytest.param(ADVERSARIAL, marks=pytest.mark.slow)], ids=["content", "adversarial"]
)
@pytest.mark.parametrize("network", models.GENERATORS)
def test_every_generator_trains_in_both_stages(network, stage):
    # A step of several scales has crops of several sizes, which the spectral discriminator's pooling takes.
    changes = {"discriminator": "spectral", "scale": 4} if network == "mdsr" else {"scale": 2}
    config = make_config(l1=1.0, **changes, **stage)
    with config.unlocked():
        config.generator = {"network": network} | GENERATORS[network]
    batch = make_tiny_batch(config)
    if network == "guided":  # crops of measurements, with a guide and without holes
        config.data.update({"source": "arrays", "guide": "colour"})
        levels = batch["hr"].astype(np.float32)
        batch["hr"] = np.concatenate([levels, levels[..., :2], np.ones_like(levels[..., :1])], -1)
    two_steps(config, batch=batch)


WGAN_GP = {"stage": "adversarial", "mse": 1.0, "wasserstein": 1e-2, "gradient_penalty": 10.0, "hold_batch_norm": True}


def test_steps_of_the_discriminator_are_updates_one_after_another():
    """Those of k = 2 equal two of k = 1 on every other row, while G stands still; G learns from the whole batch."""
    both, single = (
        make_config(**WGAN_GP, batch_size=4, **k) for k in ({"discriminator_steps": 2}, {"discriminator_first": 9})
    )
    batch, key = make_tiny_batch(both, rows=4), jax.random.key(7)
    stage, plain = stages.create_stage(both), stages.create_stage(single)
    start = state = quick_jit(stage.init)(jax.random.key(0))
    together, metrics = quick_jit(stage.step)(start, batch, stage.frozen, key)
    step, parts = quick_jit(plain.step), []
    for i, part_key in enumerate(jax.random.split(key, 2)):
        state, part = step(state, jax.tree.map(lambda rows: rows[i::2], batch), plain.frozen, part_key)  # noqa: B023
        parts.append(part)

    assert together["d"].step == 2 and together["g"].step == 1
    moved = [
        np.abs(x - y).max()
        for x, y in zip(*map(jax.tree.leaves, (start["d"].params, together["d"].params)), strict=True)
    ]
    for x, y in zip(*map(jax.tree.leaves, (together["d"].params, state["d"].params)), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=1e-3 * max(moved))
    for name in ("d/loss", "d/gradient_penalty", "d/real", "d/grad_norm"):
        np.testing.assert_allclose(metrics[name], np.mean([part[name] for part in parts]), rtol=1e-4, err_msg=name)
    assert any(
        np.any(x != y) for x, y in zip(*map(jax.tree.leaves, (start["g"].params, together["g"].params)), strict=True)
    )


def test_a_penalty_alone_is_added_to_the_papers_loss_of_d():
    stage = stages.create_stage(make_config(stage="adversarial", mse=1.0, r1=5.0))
    state = quick_jit(stage.init)(jax.random.key(0))
    _, metrics = quick_jit(stage.step)(state, make_tiny_batch(make_config()), stage.frozen, jax.random.key(0))
    real, fake = (-np.log(metrics["d/real"]), -np.log(1 - metrics["d/fake"]))  # of logits that are nearly alike
    np.testing.assert_allclose(metrics["d/loss"], real + fake + 5 * metrics["d/r1"], rtol=1e-2)
    assert "g/r1" not in metrics


GAN = {"stage": "adversarial"}
NONE = {"discriminator__norm": "none", "discriminator": "paper"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hinge": 1.0, "mse": 1.0}, 'losses.hinge needs a discriminator: set stage="adversarial", or it to 0'),
        ({"r1": 1.0, "mse": 1.0}, "losses.r1 needs a discriminator"),
        (GAN | {"hinge": 1.0, "adversarial": 1.0}, "losses.hinge ask different things of the discriminator's logits"),
        (GAN | {"wasserstein": 1.0}, r"losses.wasserstein has no least value.*losses.gradient_penalty=10"),
        (GAN | NONE | {"wasserstein": 1.0}, "losses.wasserstein has no least value"),
        (GAN | {"discriminator": "unet", "wasserstein": 1.0}, "losses.wasserstein has no least value"),
        (
            GAN | {"discriminator": "paper", "wasserstein": 1.0, "gradient_penalty": 10.0},
            'losses.gradient_penalty needs a discriminator that judges every picture by itself.*norm="none"',
        ),
        (
            GAN | {"discriminator": "paper", "adversarial": 1.0, "r1": 5.0},
            "losses.r1 needs a discriminator that judges",
        ),
        ({"lpips_vgg": 1.0, "channels": 1}, "losses.lpips_vgg takes RGB, got channels=1; use losses.ms_ssim"),
        ({"pre54_l1": 1.0, "channels": 1}, "losses.pre54_l1 .*VGG takes RGB, got channels=1"),
        ({"lpips_alex": 1.0}, "losses.lpips_alex needs crops that are seen as 31 pixels at least, got 16"),
        ({"vgg54": 1.0, "jitter": 1}, "losses.vgg54 needs crops that are seen as 16 pixels at least, got 15"),
        ({"ms_ssim": 1.0, "data__crop_size": 10}, "losses.ms_ssim needs crops of 11 pixels at least, got 10"),
        ({"lr_l1": 1.0, "data__crop_size": 8}, "losses.lr_l1 needs crops of 10 pixels at least, got 8"),
        (
            GAN | {"discriminator": "unet", "hinge": 1.0, "jitter": 9},
            "config.data.crop_size less jitter must be at least 8 for discriminator.network=unet, got 7",
        ),
        (GAN | {"discriminator": "unet", "discriminator__head": "pool"}, "config.discriminator.head: unet has no such"),
        (GAN | {"hinge": 1.0, "discriminator_steps": 0}, "config.discriminator_steps must be at least 1, got 0"),
        (
            GAN | {"hinge": 1.0, "discriminator_steps": 3, "accumulate": 2, "batch_size": 16},
            "batch_size must be a multiple of accumulate=2 times discriminator_steps=3, got 16; try 18",
        ),
    ],
    ids=str,
)
def test_what_goes_not_together_is_refused_in_one_sentence(changes, message):
    with pytest.raises(InputError, match=message) as caught:
        stages.create_stage(make_config(**changes))
    assert str(caught.value).startswith("config.") and "\n" not in str(caught.value)


def test_what_goes_together_is_not_refused():
    allowed = [
        (NONE, {"wasserstein": 1.0, "gradient_penalty": 10.0}),
        ({"discriminator": "spectral"}, {"wasserstein": 1.0}),
        ({"discriminator": "unet"}, {"wasserstein": 1.0, "gradient_penalty": 10.0}),
        ({"discriminator": "unet", "jitter": 5}, {"relativistic_average": 1.0, "r1": 5.0}),
        ({"discriminator": "paper"}, {"relativistic_average": 1.0}),
    ]
    for fields, weights in allowed:
        checks.check_fields(make_config(**GAN, **fields, **weights))


def test_missing_weights_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("SRGAN_JAX_METRICS", str(tmp_path))
    for name, file in (("lpips_alex", "alexnet"), ("lpips_vgg", "vgg16"), ("dists", "vgg16")):
        with pytest.raises(InputError, match=rf"{file}\.safetensors: no such file"):
            LOADERS[name](make_config(), (name,))
