"""The content losses beside MSE and VGG19's: by closed forms, against scikit-image, and against PyTorch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import structural_similarity
from small_networks import small_dists, small_lpips
from tiny import quick_jit

from srgan_jax import losses
from srgan_jax.losses import Context, perceptual
from srgan_jax.losses.frequency import focal_frequency
from srgan_jax.losses.structure import SCALES, edge, gradient, ms_ssim, ssim
from srgan_jax.metrics.dists import dists
from srgan_jax.metrics.lpips import SMALLEST, lpips
from srgan_jax.models.vgg import LAYERS

RNG = np.random.default_rng(0)
FREE = {"gradient": gradient, "edge": edge, "ssim": ssim, "ms_ssim": ms_ssim, "focal_frequency": focal_frequency}


def pair(height, width, *, noise=0.2):
    """Smooth HR and a noisy SR, NHWC in [-1, 1]."""
    rows, columns = np.mgrid[:height, :width]
    hr = np.stack([np.sin(rows / 5 + i) * np.cos(columns / (3 + i)) for i in range(3)], -1) * 0.8
    hr = np.stack([hr, hr[::-1, ::-1]]).astype(np.float32)
    return (hr + noise * RNG.standard_normal(hr.shape)).astype(np.float32), hr


@pytest.mark.parametrize("name", FREE)
def test_equal_images_are_at_no_distance_and_have_finite_gradients(name):
    _, hr = pair(16, 20)
    value, slope = quick_jit(jax.value_and_grad(FREE[name]))(hr, hr)
    assert value == pytest.approx(1e-3 if name == "edge" else 0, abs=1e-6)  # Charbonnier's least value is ε
    assert np.isfinite(slope).all()
    # The slope of an absolute value is 1 or -1 for whatever rounding leaves.
    assert name == "gradient" or np.abs(slope).max() < 1e-4


@pytest.mark.parametrize("name", FREE)
def test_gradients_reach_sr_and_are_finite_for_images_without_relation(name):
    """Where SSIM is negative and everything is flat, too."""
    noisy, hr = pair(24, 24)
    slope = quick_jit(jax.grad(FREE[name]))
    assert np.abs(slope(noisy, hr)).max() > 1e-5
    for sr in (-hr, 0 * hr, RNG.uniform(-1, 1, hr.shape).astype(np.float32)):
        assert np.isfinite(slope(sr, hr)).all() and np.isfinite(slope(hr, sr)).all()


def test_gradient_of_ramps():
    columns = np.broadcast_to(np.arange(9.0), (1, 7, 9))[..., None]
    ramps = [(slope * columns).astype(np.float32) for slope in (0.1, 0.03)]
    np.testing.assert_allclose(gradient(*ramps), 0.2 - 0.06, rtol=1e-4)
    np.testing.assert_allclose(gradient(-ramps[0], ramps[0]), 0, atol=1e-6)  # it knows lengths alone


def test_edge_of_a_parabola():
    rows = np.broadcast_to(np.arange(8.0)[:, None], (2, 8, 6))[..., None]
    np.testing.assert_allclose(edge((0.01 * rows**2).astype(np.float32), 0 * rows), np.hypot(0.02, 1e-3), rtol=1e-4)
    np.testing.assert_allclose(edge((0.3 * rows).astype(np.float32), 0 * rows), 1e-3, rtol=1e-3)  # a ramp has no edge


def test_focal_frequency_of_waves():
    """The strongest wave weighs 1, one of half its amplitude ½; a wave's mean square is half its amplitude squared."""
    rows = np.arange(16)[:, None] + 0 * np.arange(12)
    one = np.cos(2 * np.pi * 3 * rows / 16)
    for other, expected in ((0, 0.5), (0.5, 0.5 + 0.5 * 0.5**2 / 2)):
        wave = one + other * np.cos(2 * np.pi * 5 * rows / 16)
        images = np.stack([wave, 0.1 * wave])[..., None].astype(np.float32)  # the maximum is that of each image
        expected = expected * (1 + 0.01) / 2
        np.testing.assert_allclose(focal_frequency(images, 0 * images), expected, rtol=1e-5)


def test_ssim_is_scikit_images():
    sr, hr = pair(20, 31)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 2.0}
    expected = [
        structural_similarity(x + 1.0, y + 1.0, channel_axis=-1, **options) for x, y in zip(sr, hr, strict=True)
    ]
    np.testing.assert_allclose(ssim(sr, hr), 1 - np.mean(expected), rtol=1e-5)


def test_ms_ssim_of_small_crops_has_the_scales_with_room():
    sr, hr = pair(21, 30)
    # The published weights have the sum 1.0001, which is the exponent of a single scale.
    np.testing.assert_allclose(ms_ssim(sr, hr), 1 - (1 - ssim(sr, hr)) ** sum(SCALES), atol=1e-5)
    assert abs(ms_ssim(*pair(22, 30)) - ssim(*pair(22, 30))) > 1e-2


def ssim_in_pytorch(torch, x, y):
    """(SSIM, contrast · structure) of each image and channel, [N, C, H, W] in [0, 2]."""
    taps = torch.exp(-0.5 * ((torch.arange(11, dtype=x.dtype) - 5) / 1.5) ** 2)
    window = torch.outer(taps, taps) / torch.outer(taps, taps).sum()

    def blur(images):
        return torch.nn.functional.conv2d(images, window.expand(images.shape[1], 1, 11, 11), groups=images.shape[1])

    mx, my = blur(x), blur(y)
    c1, c2 = 4e-4, 36e-4
    cs = (2 * (blur(x * y) - mx * my) + c2) / (blur(x * x) - mx * mx + blur(y * y) - my * my + c2)
    whole = cs * (2 * mx * my + c1) / (mx * mx + my * my + c1)
    return whole.mean((2, 3)), cs.mean((2, 3))


def in_pytorch(torch, name, sr, hr):
    """The losses by their publications, [N, C, H, W] in [-1, 1]."""
    if name == "focal_frequency":
        spectra = [torch.view_as_real(torch.fft.fft2(x, norm="ortho")) for x in (sr, hr)]
        distance = (spectra[0] - spectra[1]).square().sum(-1)
        weight = distance.detach().sqrt()
        return (weight / weight.amax((2, 3), keepdim=True) * distance).mean()
    if name == "gradient":
        kernel = torch.tensor([[0.0, -1, 0], [0, 0, 0], [0, 1, 0]], dtype=sr.dtype)
        maps = [
            torch.nn.functional.conv2d(x.flatten(0, 1)[:, None], torch.stack([kernel, kernel.T])[:, None])
            for x in (sr, hr)
        ]
        lengths = [(x.square().sum(1) + 1e-6).sqrt() for x in maps]
        return torch.nn.functional.l1_loss(*lengths)
    if name == "edge":
        kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], dtype=sr.dtype)[None, None]
        maps = [torch.nn.functional.conv2d(x.flatten(0, 1)[:, None], kernel) for x in (sr, hr)]
        return ((maps[0] - maps[1]).square() + 1e-6).sqrt().mean()
    x, y = sr + 1, hr + 1
    if name == "ssim":
        return 1 - ssim_in_pytorch(torch, x, y)[0].mean()
    product = 1
    for i, weight in enumerate(SCALES):
        whole, structure = ssim_in_pytorch(torch, x, y)
        product = product * (whole if i == 4 else structure) ** weight
        x, y = (torch.nn.functional.avg_pool2d(z, 2) for z in (x, y))
    return 1 - product.mean()


@pytest.mark.parametrize("name", FREE)
def test_values_and_gradients_are_pytorchs(name):
    """In float64: in float32 a variance is a small difference of means, of which PyTorch and we lose as much."""
    torch = pytest.importorskip("torch")
    sr, hr = pair(*((176, 179) if name == "ms_ssim" else (20, 25)))
    x, y = (torch.tensor(image.transpose(0, 3, 1, 2), dtype=torch.float64) for image in (sr, hr))
    theirs = in_pytorch(torch, name, x.requires_grad_(), y)
    theirs.backward()
    expected = x.grad.numpy().transpose(0, 2, 3, 1)
    with jax.enable_x64(True):
        ours, slope = quick_jit(jax.value_and_grad(FREE[name]))(sr.astype(np.float64), hr.astype(np.float64))
    np.testing.assert_allclose(ours, theirs.item(), rtol=1e-9)
    np.testing.assert_allclose(slope, expected, rtol=0, atol=1e-7 * np.abs(expected).max())


# Frozen networks.


@pytest.mark.parametrize("layer", ["vgg22", "pre54"])
def test_feature_maps_are_compared_by_the_norm_that_the_name_says(layer):
    sr, hr = pair(8, 8)
    context = Context(sr, hr, frozen={"vgg": lambda images: {layer: 3 * images}})
    error = 3 * (sr.astype(np.float64) - hr)
    expected = {f"{layer}_l1": np.abs(error).mean(), f"{layer}_mse": np.square(error).mean()}
    if layer == "vgg22":
        expected["vgg22"] = expected.pop("vgg22_mse")
    else:
        expected["pre54"] = expected["pre54_l1"] / np.abs(3 * hr).mean()
    for name, value in expected.items():
        assert losses.TERMS[name].layers == (layer,)
        np.testing.assert_allclose(losses.TERMS[name].generator(context), value, rtol=1e-5)


def test_each_layer_is_computed_once():
    assert losses.feature_layers(["pre54_l1", "mse", "vgg22", "pre54", "pre54_mse"]) == ("pre54", "vgg22")
    assert {layer for term in losses.TERMS.values() for layer in term.layers} == set(LAYERS)


MEASURES = {
    "lpips_alex": functools.partial(lpips, small_lpips("alex"), network="alex"),
    "lpips_vgg": functools.partial(lpips, small_lpips("vgg"), network="vgg"),
    "dists": functools.partial(dists, small_dists()),
}


@pytest.mark.parametrize("name", MEASURES)
def test_learned_measures_are_the_metrics_of_what_features_see(name):
    """PyTorch's values and gradients of the metrics are in test_perceptual.py."""
    sr, hr = pair(40, 41)
    key, seen = jax.random.key(1), []

    def measure(sr, hr):
        seen.append(sr.shape)
        return MEASURES[name](sr, hr)

    def run(sr):
        context = Context(sr, hr, key=key, jitter=5, frozen={name: measure})
        value = losses.TERMS[name].generator(context)
        return value, jnp.mean(MEASURES[name](context.seen(sr), context.seen(hr)))

    (value, expected), slope = quick_jit(jax.value_and_grad(run, has_aux=True))(sr)
    assert value > 0 and seen[0] == (2, 35, 36, 3)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert np.isfinite(slope).all() and slope.any()


def test_the_smallest_crops_are_those_of_the_metrics():
    for network, smallest in SMALLEST.items():
        assert perceptual.SMALLEST[f"lpips_{network}"] == smallest
