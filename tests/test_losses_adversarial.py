"""The adversarial losses and penalties: at known points, of critics with a known gradient, and against PyTorch."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import initialise, quick_jit

from srgan_jax import losses
from srgan_jax.losses import Context, adversarial
from srgan_jax.models.layers import conv

RNG = np.random.default_rng(0)
REAL, FAKE = RNG.normal(0, 2, (2, 7)).astype(np.float32)
HR, SR = RNG.uniform(-1, 1, (2, 3, 8, 6, 3)).astype(np.float32)
KEY = jax.random.key(5)


def of_logits(real, fake):
    """A Context of which only the logits are known."""
    context = Context(SR, HR)
    context.real_logits, context.fake_logits = real, fake
    return context


def sides(name, real, fake):
    """(G's side, D's side) of a term."""
    context = of_logits(jnp.asarray(real), jnp.asarray(fake))
    return losses.TERMS[name].generator(context), losses.TERMS[name].discriminator(context)


@pytest.mark.parametrize(
    ("name", "real", "fake", "of_g", "of_d"),
    [
        ("adversarial", [0.0], [0.0], np.log(2), 2 * np.log(2)),
        ("least_squares", [1.0, 1.0], [0.0, 0.0], 0.5, 0.0),
        ("least_squares", [3.0], [-1.0], 2.0, 2.5),
        ("hinge", [1.0, 5.0], [-1.0, -7.0], 4.0, 0.0),  # beyond the margin nothing is left to learn
        ("hinge", [0.0], [0.0], 0.0, 2.0),
        ("hinge", [-1.0, 2.0], [0.5, -3.0], 1.25, 1.75),
        ("wasserstein", [2.0, 4.0], [-1.0, 2.0], -0.5, -2.5),
        ("relativistic_average", [3.0, 3.0], [3.0, 3.0], 2 * np.log(2), 2 * np.log(2)),
        ("relativistic_average", [100.0], [0.0], 200.0, 0.0),
    ],
)
def test_at_known_points(name, real, fake, of_g, of_d):
    np.testing.assert_allclose(sides(name, real, fake), (of_g, of_d), rtol=1e-6, atol=1e-6)


def test_the_relativistic_loss_does_not_see_a_shift():
    shifted = sides("relativistic_average", REAL + 3, FAKE + 3)
    np.testing.assert_allclose(sides("relativistic_average", REAL, FAKE), shifted, rtol=1e-6)


def in_pytorch(torch, name, real, fake):
    """(G's side, D's side), as their authors write them."""
    bce = torch.nn.BCEWithLogitsLoss()
    ones, zeros, mse = torch.ones(len(real)), torch.zeros(len(real)), torch.nn.MSELoss()
    relative_real, relative_fake = real - fake.mean(), fake - real.mean()
    return {
        "adversarial": lambda: (bce(fake, ones), bce(real, ones) + bce(fake, zeros)),
        "least_squares": lambda: (mse(fake, ones) / 2, mse(real, ones) / 2 + mse(fake, zeros) / 2),
        "hinge": lambda: (-fake.mean(), torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()),
        "wasserstein": lambda: (-fake.mean(), fake.mean() - real.mean()),
        "relativistic_average": lambda: (
            bce(relative_real, zeros) + bce(relative_fake, ones),
            bce(relative_real, ones) + bce(relative_fake, zeros),
        ),
    }[name]()


JUDGES = [name for name, term in losses.TERMS.items() if term.discriminator]


@pytest.mark.parametrize("name", JUDGES)
def test_values_and_gradients_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    for side in (0, 1):
        ours, slopes = jax.value_and_grad(lambda logits: sides(name, *logits)[side])((REAL, FAKE))  # noqa: B023
        real, fake = (torch.tensor(logits, requires_grad=True) for logits in (REAL, FAKE))
        theirs = in_pytorch(torch, name, real, fake)[side]
        theirs.backward()
        np.testing.assert_allclose(ours, theirs.item(), rtol=1e-5)
        for slope, logits in zip(slopes, (real, fake), strict=True):
            expected = np.zeros(7, np.float32) if logits.grad is None else logits.grad.numpy()
            np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-7)


def penalty(name, judge, *, hr=HR, sr=SR):
    return losses.TERMS[name].penalty(Context(sr, hr, key=KEY, judge=judge))


def linear(w, parts=1):
    """A critic <w, image>, whose gradient is w everywhere; or several that have this mean."""

    def judge(images):
        logits = jnp.einsum("nhwc,hwc->n", images, w)
        return (logits[:, None] + jnp.linspace(-1, 1, parts)).reshape(-1) if parts > 1 else logits

    return judge


@pytest.mark.parametrize("parts", [1, 4])
def test_the_penalties_of_a_linear_critic(parts):
    w = RNG.normal(0, 0.3, HR.shape[1:]).astype(np.float32)
    length = np.sqrt(np.square(w.astype(np.float64)).sum())
    for name, value, slope in (
        ("gradient_penalty", (length - 1) ** 2, 2 * (length - 1) / length * w),
        ("r1", length**2, 2 * w),
    ):
        ours, gradient = jax.value_and_grad(lambda w: penalty(name, linear(w, parts)))(w)  # noqa: B023
        np.testing.assert_allclose(ours, value, rtol=1e-5)
        np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-6)


def test_a_critic_of_slope_one_has_no_gradient_penalty():
    w = RNG.normal(size=HR.shape[1:])
    assert penalty("gradient_penalty", linear(jnp.asarray(w / np.linalg.norm(w), jnp.float32))) < 1e-10


def test_a_constant_critic_has_finite_gradients():
    def of_scale(scale):
        return penalty("gradient_penalty", lambda images: scale * jnp.sum(0 * images, axis=(1, 2, 3)))

    value, slope = jax.value_and_grad(of_scale)(1.0)
    np.testing.assert_allclose(value, 1, rtol=1e-5)
    assert np.isfinite(slope)


def test_where_the_penalties_look(monkeypatch):
    """R1: at HR. The gradient penalty: at a random point between HR and SR for each pair. Both through the jitter."""
    seen = []
    monkeypatch.setattr(adversarial, "image_gradients", lambda context, images: (seen.append(images), images)[1])
    context = Context(SR, HR, key=KEY, jitter=2)
    hr, sr = (np.asarray(context.seen(images)) for images in (HR, SR))
    losses.TERMS["r1"].penalty(context)
    np.testing.assert_array_equal(seen.pop(), hr)
    losses.TERMS["gradient_penalty"].penalty(context)
    shares = (seen.pop() - sr) / (hr - sr)
    of_pair = np.median(shares, axis=(1, 2, 3))
    np.testing.assert_allclose(shares, np.broadcast_to(of_pair[:, None, None, None], shares.shape), atol=1e-2)
    assert ((of_pair > 0) & (of_pair < 1)).all() and np.ptp(of_pair) > 0.01


class Critic(nn.Module):
    """Convolutions of the sizes that the kernels of cpu/ compute: their second derivatives are needed here."""

    @nn.compact
    def __call__(self, images):
        x = nn.leaky_relu(conv(32, (3, 3), padding=((1, 1), (1, 1)), name="first")(images), 0.2)
        x = nn.leaky_relu(conv(32, (3, 3), padding=((1, 1), (1, 1)), name="second")(x), 0.2)
        x = nn.leaky_relu(conv(40, (3, 3), 2, padding=((1, 1), (1, 1)), name="third")(x), 0.2)
        return conv(1, (3, 3), padding=((1, 1), (1, 1)), name="last")(x).reshape(-1)


@pytest.mark.parametrize("name", ["gradient_penalty", "r1"])
def test_penalties_of_a_network_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    hr, sr = RNG.uniform(-1, 1, (2, 2, 8, 8, 3)).astype(np.float32)
    critic = Critic()
    params = initialise(critic, hr)["params"]
    at = hr

    @quick_jit
    def run(params):
        def of_params(params):
            return penalty(name, lambda images: critic.apply({"params": params}, images), hr=hr, sr=sr)

        return jax.value_and_grad(of_params)(params)

    ours, gradients = run(params)
    if name == "gradient_penalty":
        share = np.asarray(jax.random.uniform(jax.random.fold_in(KEY, 1), (2, 1, 1, 1)))
        at = share * hr + (1 - share) * sr

    leaves = {
        (layer, leaf): torch.tensor(
            array.transpose(3, 2, 0, 1).copy() if array.ndim == 4 else array, requires_grad=True
        )
        for layer, arrays in params.items()
        for leaf, array in arrays.items()
    }
    x = images = torch.tensor(at.transpose(0, 3, 1, 2).copy(), requires_grad=True)
    for layer in ("first", "second", "third", "last"):
        stride = 2 if layer == "third" else 1
        x = torch.nn.functional.conv2d(x, leaves[layer, "kernel"], leaves[layer, "bias"], stride=stride, padding=1)
        x = x if layer == "last" else torch.nn.functional.leaky_relu(x, 0.2)
    judgement = x.mean((1, 2, 3)).sum()
    (gradient,) = torch.autograd.grad(judgement, images, create_graph=True)
    lengths = gradient.flatten(1).norm(dim=1)
    theirs = ((lengths - 1) ** 2).mean() if name == "gradient_penalty" else (lengths**2).mean()
    theirs.backward()

    np.testing.assert_allclose(ours, theirs.item(), rtol=1e-5)
    for (layer, leaf), tensor in leaves.items():
        expected = np.zeros(tensor.shape, np.float32) if tensor.grad is None else tensor.grad.numpy()
        expected = expected.transpose(2, 3, 1, 0) if expected.ndim == 4 else expected
        tolerance = 1e-5 * np.abs(expected).max() + 1e-9
        np.testing.assert_allclose(gradients[layer][leaf], expected, rtol=0, atol=tolerance, err_msg=f"{layer}/{leaf}")
