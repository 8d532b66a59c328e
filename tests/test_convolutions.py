"""The CPU's convolutions: their values and gradients are XLA's."""

import platform
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from tiny import quick_jit

from srgan_jax import convolutions

SAME = "SAME"
ONES = ((1, 1), (1, 1))


@pytest.mark.parametrize(
    ("shape", "kernel_size", "outputs", "strides", "padding", "form"),
    [
        ((2, 6, 4, 32), 3, 40, (1, 1), SAME, "by_tiles"),
        ((2, 6, 4, 32), 3, 32, (1, 1), ONES, "by_tiles"),
        ((1, 2, 8, 64), 3, 48, (1, 1), [(1, 1), (1, 1)], "by_tiles"),
        ((2, 6, 4, convolutions.MANY), 3, convolutions.MANY + 32, (1, 1), SAME, "by_tiles"),
        ((2, 8, 6, 32), 3, 40, (2, 2), ONES, "by_taps"),
        ((2, 8, 6, 16), 3, 40, (2, 2), ONES, None),
        ((2, 7, 6, 32), 3, 40, (2, 2), ONES, None),
        ((1, 7, 6, 32), 3, 33, (1, 1), SAME, None),
        ((1, 6, 6, 32), 3, 33, (1, 1), ((0, 1), (1, 2)), None),
        ((1, 6, 6, 16), 3, 64, (1, 1), SAME, None),
        ((2, 8, 6, 16), 9, 3, (1, 1), SAME, "by_phases"),
        ((1, 2, 4, 16), 9, 1, (1, 1), SAME, "by_phases"),
        ((1, 7, 6, 16), 9, 3, (1, 1), SAME, None),  # an odd side
        ((1, 6, 6, 32), 3, 40, (2, 2), SAME, None),
        ((1, 6, 6, 3), 3, 64, (1, 1), SAME, "by_columns"),
        ((1, 6, 6, 3), 9, 64, (1, 1), SAME, None),
        ((2, 4, 6, 1), 3, 16, (1, 1), ONES, "by_columns"),
        ((1, 6, 6, 3), 3, 8, (1, 1), SAME, None),
    ],
)
def test_values_and_gradients_are_xlas(shape, kernel_size, outputs, strides, padding, form, monkeypatch):
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=shape), jnp.float32)
    kernel = rng.normal(size=(kernel_size, kernel_size, shape[-1], outputs)) / kernel_size / np.sqrt(shape[-1])
    kernel = jnp.asarray(kernel, jnp.float32)
    used = []
    for name in ("by_tiles", "by_taps", "by_phases", "by_columns"):
        function = getattr(convolutions, name)
        monkeypatch.setattr(convolutions, name, lambda *a, f=function, n=name: used.append(n) or f(*a))

    def value_and_gradients(convolve):
        def scalar(images, kernel):
            out = convolve(images, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))
            return jnp.sum(jnp.sin(out)), out

        gradients, out = quick_jit(jax.grad(scalar, (0, 1), has_aux=True))(images, kernel)
        return out, *gradients

    ours, theirs = (value_and_gradients(f) for f in (convolutions.conv_general_dilated, lax.conv_general_dilated))
    for mine, its in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, its, atol=1e-5 * np.abs(its).max())
    assert set(used) == ({form} if form else set())


@pytest.mark.parametrize(("shape", "used"), [((2, 512), True), ((4, 512), False), ((2, 500), False)])
def test_a_product_is_xlas(shape, used, monkeypatch):
    rng, parts = np.random.default_rng(0), mock.Mock(side_effect=convolutions.by_parts)
    monkeypatch.setattr(convolutions, "by_parts", parts)
    x, kernel = (jnp.asarray(rng.normal(size=size), jnp.float32) for size in (shape, (shape[1], 9)))

    def value_and_gradients(product):
        def scalar(x, kernel):
            out = product(x, kernel, (((1,), (0,)), ((), ())), precision=None)
            return jnp.sum(jnp.sin(out)), out

        gradients, out = quick_jit(jax.grad(scalar, (0, 1), has_aux=True))(x, kernel)
        return out, *gradients

    ours, theirs = (value_and_gradients(f) for f in (convolutions.dot_general, lax.dot_general))
    for mine, its in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, its, atol=1e-5 * np.abs(its).max())
    assert parts.called == used


def test_accelerators_have_xlas(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(convolutions, "by_phases", None)
    images, kernel = np.ones((1, 4, 4, 16), np.float32), np.ones((9, 9, 16, 3), np.float32)
    out = convolutions.conv_general_dilated(images, kernel, (1, 1), SAME, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    assert out.shape == (1, 4, 4, 3)


@pytest.mark.parametrize("outputs", [1, 3, 16])
def test_by_rows_is_xlas(outputs):
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(2, 11, 10, 5)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(9, 9, 5, outputs)), jnp.float32)
    ours = quick_jit(convolutions.by_rows)(images, kernel)
    theirs = lax.conv_general_dilated(images, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


def test_a_cpu_convolves_by_onednn():
    """As far as JAX's wheel has it; in any case the result is XLA's."""
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(2, 8, 8, 32)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(3, 3, 32, 32)), jnp.float32)

    def convolve(images, kernel):
        return lax.conv_general_dilated(images, kernel, (1, 1), SAME, dimension_numbers=("NHWC", "HWIO", "NHWC"))

    device = jax.local_devices(backend="cpu")[0]
    options = convolutions.compiler_options(device)
    compiled = jax.jit(convolve, compiler_options=options).lower(images, kernel).compile()
    assert ("__onednn$convolution" in compiled.as_text()) == bool(options)
    assert bool(options) == (jax.__version_info__ >= (0, 11) and platform.machine() in ("x86_64", "AMD64"))
    theirs = convolve(images, kernel)
    np.testing.assert_allclose(compiled(images, kernel), theirs, atol=1e-5 * np.abs(theirs).max())


def test_other_devices_compile_as_usual():
    assert convolutions.compiler_options(mock.Mock(platform="gpu")) == {}
