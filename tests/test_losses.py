"""The losses: equal to PyTorch's, every term reaches the generator, and the terms add up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from small_networks import random_vgg
from tiny import initialise, make_tiny_batch, make_tiny_config, quick_jit

from srgan_jax import losses
from srgan_jax.errors import InputError
from srgan_jax.images.resize import imresize
from srgan_jax.losses import Context
from srgan_jax.losses.adversarial import vanilla_discriminator, vanilla_generator
from srgan_jax.losses.pixel import mse, total_variation
from srgan_jax.models import VGG19, Discriminator, architecture_in, create_generator
from srgan_jax.models.vgg import PREPROCESSING
from srgan_jax.training import steps

RNG = np.random.default_rng(0)
SR, HR = RNG.uniform(-1, 1, (2, 3, 12, 10, 3)).astype(np.float32)
REAL, FAKE = RNG.normal(0, 5, (2, 7)).astype(np.float32)


def test_mse_equals_pytorchs():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.functional.mse_loss(torch.from_numpy(SR), torch.from_numpy(HR)).item()
    np.testing.assert_allclose(mse(SR, HR), theirs, rtol=1e-6)


def test_bce_equals_pytorchs():
    torch = pytest.importorskip("torch")
    bce = torch.nn.BCEWithLogitsLoss()
    real, fake = torch.from_numpy(REAL), torch.from_numpy(FAKE)
    ones, zeros = torch.ones(7), torch.zeros(7)
    np.testing.assert_allclose(vanilla_generator(FAKE), bce(fake, ones).item(), rtol=1e-6)
    np.testing.assert_allclose(
        vanilla_discriminator(REAL, FAKE), (bce(real, ones) + bce(fake, zeros)).item(), rtol=1e-6
    )


def test_losses_of_far_logits_are_finite():
    far = jnp.array([-1e4, 1e4])
    assert vanilla_generator(far) == 5e3 and vanilla_discriminator(far, far) == 1e4


def test_total_variation_by_its_definition():
    total = 0.0
    for image in SR.astype(np.float64):
        height, width, _ = image.shape
        total += sum(np.abs(image[y + 1, x] - image[y, x]).sum() for y in range(height - 1) for x in range(width))
        total += sum(np.abs(image[y, x + 1] - image[y, x]).sum() for y in range(height) for x in range(width - 1))
    np.testing.assert_allclose(total_variation(SR), total / len(SR), rtol=1e-6)


def test_pixel_terms_by_their_definitions():
    error = SR.astype(np.float64) - HR
    context = Context(SR, HR)
    for name, expected in {"l1": np.abs(error).mean(), "charbonnier": np.sqrt(error**2 + 1e-6).mean()}.items():
        np.testing.assert_allclose(losses.TERMS[name].generator(context), expected, rtol=1e-6)


def test_lr_l1_is_the_distance_from_the_exact_reduction():
    """On whole levels that need no rounding: what imresize gives, but for the border."""
    rng = np.random.default_rng(1)
    hr = np.repeat(np.repeat(rng.integers(0, 256, (1, 10, 12, 3)), 4, 1), 4, 2).astype(np.float32) / 127.5 - 1
    lr = imresize((hr[0].astype(np.float64) + 1) / 2, 0.25)[None]
    term = losses.TERMS["lr_l1"].generator
    assert term(Context(hr, hr, lr=jnp.asarray(lr, jnp.float32), scale=4)) < 1e-6
    brighter = Context(hr + 0.25, hr, lr=jnp.asarray(lr, jnp.float32), scale=4)
    np.testing.assert_allclose(term(brighter), 0.25, rtol=1e-5)


def test_the_phase_term_sees_a_grid_and_the_mean_colour_alone():
    rng, term = np.random.default_rng(2), losses.TERMS["phase"].generator
    hr = rng.uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    grid = rng.normal(size=(1, 4, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(
        term(Context(hr + np.tile(grid, (1, 8, 8, 1)), hr, scale=4)), np.square(grid).mean(), rtol=1e-5
    )
    noise = rng.normal(size=hr.shape).astype(np.float32)
    assert term(Context(hr + noise, hr, scale=4)) < 0.05 * np.square(noise).mean()


def test_jitter_shifts_sr_and_hr_alike():
    seen = []

    def judge(image):
        seen.append(image)
        return image[:, 0, 0, 0]

    context = Context(SR, HR, key=jax.random.key(3), jitter=4, judge=judge)
    _ = context.real_logits, context.fake_logits
    shifts = [(y, x) for y in range(5) for x in range(5) if np.array_equal(seen[0], HR[:, y : y + 8, x : x + 6])]
    assert len(shifts) == 1
    ((y, x),) = shifts
    np.testing.assert_array_equal(seen[1], SR[:, y : y + 8, x : x + 6])


@pytest.mark.parametrize("preprocessing", sorted(PREPROCESSING))
def test_vgg_loss_by_hand(preprocessing):
    """With Caffe's weights, 1/12.75 on the features is 0.00615 on the loss (section 3.2: about 0.006)."""
    params = random_vgg(("vgg11",))

    def features(image):
        if preprocessing == "caffe":
            levels = (image[..., ::-1] + 1) * 127.5 - np.array([103.939, 116.779, 123.68])
        else:
            levels = ((image + 1) / 2 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        padded = np.pad(levels, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
        kernel, bias = params["conv1_1"]["kernel"], params["conv1_1"]["bias"]
        return np.maximum(np.einsum("nhwcij,ijco->nhwo", windows, kernel) + bias, 0)

    unscaled = np.mean((features(SR.astype(np.float64)) - features(HR.astype(np.float64))) ** 2)
    vgg = VGG19(layers=("vgg11",), preprocessing=preprocessing)
    context = Context(SR, HR, frozen={"vgg": lambda images: vgg.apply({"params": params}, images)})
    total, terms = losses.make_generator_loss({"vgg11": 2.0})(context)
    expected = 0.00615 if preprocessing == "caffe" else 1.0
    np.testing.assert_allclose(terms["vgg11"] / unscaled, expected, rtol=1e-3)
    np.testing.assert_allclose(total, 2 * terms["vgg11"], rtol=1e-6)


# VGG at its full depth takes a while to compile.
SHALLOW = {"mse": 1.0, "vgg12": 0.3, "pre12": 0.2, "tv": 1e-3, "lr_l1": 1.0, "phase": 1.0, "adversarial": 0.5}
DEEP = {"mse": 1.0, "vgg22": 0.3, "vgg54": 0.7, "tv": 1e-3, "adversarial": 0.5}


@pytest.fixture(scope="module")
def networks():
    """(LR, HR, G, its variables, judge in training mode)."""
    config = make_tiny_config(data__crop_size=32)
    g, d = create_generator(architecture_in(config.to_dict())), Discriminator(features=8, hidden=16)
    lr, hr = quick_jit(lambda batch: steps.degrade(batch, 4))(make_tiny_batch(config))
    d_variables = initialise(d, hr, seed=1)
    return lr, hr, g, initialise(g, lr), lambda sr: d.apply(d_variables, sr, train=True, mutable=["batch_stats"])[0]


def gradients(networks, variants):
    """(value, terms, gradient with respect to G's parameters) for each of several {name: weight}."""
    lr, hr, g, variables, judge = networks
    made = [losses.make_generator_loss(weights) for weights in variants]
    names = {name for weights in variants for name in losses.selected(weights)}
    layers = tuple(sorted(name for name in names if "vgg" in losses.TERMS[name].frozen))
    vgg19 = VGG19(layers=layers)

    @quick_jit
    def run(params, vgg):
        def forward(params):
            return g.apply(variables | {"params": params}, lr, train=True, mutable=["batch_stats"])[0]

        sr, pullback = jax.vjp(forward, params)
        results = []
        for loss in made:

            def of_sr(sr, loss=loss):
                frozen = {"vgg": lambda images: vgg19.apply({"params": vgg}, images)}
                return loss(Context(sr, hr, lr=lr, scale=4, judge=judge, frozen=frozen))

            (value, terms), d_sr = jax.value_and_grad(of_sr, has_aux=True)(sr)
            results.append((value, terms, pullback(d_sr)[0]))
        return results

    return run(variables["params"], random_vgg(layers))


@pytest.mark.parametrize("weights", [SHALLOW, pytest.param(DEEP, marks=pytest.mark.slow)], ids=["shallow", "deep"])
def test_every_term_reaches_g_and_a_zero_weight_removes_exactly_its_part(networks, weights):
    singles = [{name: 1.0} for name in weights]
    without = [weights] + [weights | {name: 0.0} for name in weights if name in ("mse", "vgg12", "vgg54")]
    results = gradients(networks, singles + without)
    singles = dict(zip(weights, results, strict=False))

    for name, (value, terms, grads) in singles.items():
        assert set(terms) == {name} and value == terms[name] > 0
        for key, leaf in flatten_dict(grads, sep="/").items():
            shift = name == "tv" and key == "output/bias"  # total variation does not see the mean colour
            assert np.isfinite(leaf).all() and np.any(leaf) != shift, f"{name}: {key}"

    for weights, (value, terms, grads) in zip(without, results[len(singles) :], strict=True):
        weights = {name: weight for name, weight in weights.items() if weight}
        assert set(terms) == set(weights)
        for name in terms:
            np.testing.assert_allclose(terms[name], singles[name][1][name], rtol=1e-5)
        np.testing.assert_allclose(value, sum(weights[name] * singles[name][0] for name in weights), rtol=1e-5)
        parts = [jax.tree.map(lambda x, w=w: w * np.asarray(x), singles[name][2]) for name, w in weights.items()]
        for ours, *expected in zip(jax.tree.leaves(grads), *map(jax.tree.leaves, parts), strict=True):
            atol = 1e-5 * sum(np.abs(part).max() for part in expected)
            np.testing.assert_allclose(ours, sum(expected), rtol=0, atol=atol)


def test_judge_and_vgg_are_needed_only_where_they_have_a_weight():
    weights = {"mse": 1.0, "vgg54": 0.0, "adversarial": 0.0}
    assert losses.frozen_networks(losses.selected(weights)) == set()
    value, terms = losses.make_generator_loss(weights)(Context(SR, HR))
    assert set(terms) == {"mse"} and value == terms["mse"]


def test_an_unknown_term_is_refused_naming_the_nearest():
    with pytest.raises(InputError, match=r"losses.vgg45: .*did you mean 'vgg\d\d'"):
        losses.make_generator_loss({"vgg45": 1.0})
    with pytest.raises(InputError, match="did you mean 'adversarial'"):
        losses.make_generator_loss({"mse": 1.0, "adverserial": 0.0})
    with pytest.raises(InputError, match=r"choose from .*vgg11"):
        losses.make_generator_loss({"qqqq": 1.0})


def test_no_weight_but_zeros_is_refused():
    with pytest.raises(InputError, match="every weight is zero"):
        losses.make_generator_loss({"mse": 0.0, "tv": 0})
