"""On a CPU, convolutions by our kernels have XLA's values and gradients; everything that no kernel fits is XLA's."""

import platform
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from tiny import quick_jit

from srgan_jax import cpu
from srgan_jax.cpu.dispatch import describe
from srgan_jax.cpu.table import ROWS
from srgan_jax.errors import InputError
from srgan_jax.models.layers import conv

CHANNELS_LAST = ("NHWC", "HWIO", "NHWC")
ONES = ((1, 1), (1, 1))


def draw(images, kernel, dtype=jnp.float32):
    """Random images and a random kernel of these shapes, whose convolution is of the order of 1."""
    rng = np.random.default_rng(0)
    inputs_per_output = np.prod(kernel) / max(kernel)
    return tuple(
        jnp.asarray(rng.normal(size=shape) / scale, dtype)
        for shape, scale in ((images, 1), (kernel, np.sqrt(inputs_per_output)))
    )


def value_and_gradients(convolve, images, kernel):
    def scalar(images, kernel):
        out = convolve(images, kernel)
        return jnp.sum(jnp.sin(out.astype(jnp.float32))), out

    gradients, out = quick_jit(jax.grad(scalar, (0, 1), has_aux=True))(images, kernel)
    return out, *gradients


def assert_close(ours, xlas, tolerance=1e-5):
    """Float32 sums in another order differ by about 1e-6 of the largest value."""
    for mine, its in zip(ours, xlas, strict=True):
        assert mine.shape == its.shape and mine.dtype == its.dtype
        if its.size:
            np.testing.assert_allclose(mine, its, rtol=0, atol=tolerance * np.abs(its).max())


def both(images, kernel, *arguments, **options):
    """Value and gradients of our convolution, and of XLA's."""

    def run(convolve):
        return value_and_gradients(lambda x, k: convolve(x, k, *arguments, **options), images, kernel)

    return run(cpu.conv_general_dilated), run(lax.conv_general_dilated)


def names_of(images, kernel, *arguments, **options):
    """The rows of the table that a call gets."""
    convolution = describe(images, kernel, *arguments, **options)
    return [row.name for row in ROWS if convolution and row.fits(convolution)]


@pytest.mark.parametrize(
    ("shape", "size", "outputs", "stride", "padding", "names"),
    [
        ((2, 6, 4, 32), 3, 40, 1, "SAME", ["winograd_kernel_gradient"]),
        ((2, 6, 4, 32), 3, 32, 1, ONES, ["winograd_kernel_gradient"]),
        ((1, 2, 8, 64), 3, 48, 1, [(1, 1), (1, 1)], ["winograd_kernel_gradient"]),
        ((2, 6, 4, 256), 3, 288, 1, "SAME_LOWER", ["winograd", "winograd_kernel_gradient"]),
        ((2, 8, 6, 32), 3, 40, 2, ONES, ["strided"]),
        ((1, 2, 2, 33), 3, 1, 2, ONES, ["strided"]),
        ((2, 11, 10, 5), 9, 3, 1, "VALID", ["kernel_rows"]),
        ((2, 11, 10, 5), 5, 15, 1, ((0, 0), (0, 0)), ["kernel_rows"]),
        ((2, 4, 10, 5), 9, 3, 1, "VALID", ["kernel_rows"]),  # no row of pixels is left
        ((1, 10, 8, 5), 9, 3, 1, "VALID", ["kernel_rows"]),  # no column
    ],
)
def test_kernels_are_xlas(shape, size, outputs, stride, padding, names):
    images, kernel = draw(shape, (size, size, shape[-1], outputs))
    arguments, options = ((stride, stride), padding), {"dimension_numbers": CHANNELS_LAST}
    assert names_of(images, kernel, *arguments, **options) == names
    assert_close(*both(images, kernel, *arguments, **options))


OPTIONS = {
    "kernel dilation": {"rhs_dilation": (2, 2)},
    "one kernel dilation": {"rhs_dilation": (1, 2)},
    "input dilation": {"lhs_dilation": (2, 2)},
    "two groups": {"kernel": (3, 3, 16, 32), "feature_group_count": 2},
    "depthwise": {"kernel": (3, 3, 1, 32), "feature_group_count": 32},
    "batch groups": {"batch_group_count": 2},
    "precision": {"precision": lax.Precision.HIGHEST},
    "accumulation": {"dtype": jnp.bfloat16, "preferred_element_type": jnp.float32},
    "bfloat16": {"dtype": jnp.bfloat16},
    "channels first": {"images": (2, 32, 6, 8), "kernel": (32, 32, 3, 3), "dimension_numbers": None},
    "kernel outputs first": {"dimension_numbers": ("NHWC", "HWOI", "NHWC")},
    "result channels first": {"dimension_numbers": ("NHWC", "HWIO", "NCHW")},
    "wide": {"images": (2, 7, 6, 32)},
    "odd height": {"images": (2, 7, 8, 32)},
    "odd width": {"images": (2, 6, 9, 32)},
    "column": {"kernel": (3, 1, 32, 32), "padding": "SAME"},
    "row": {"kernel": (1, 3, 32, 32), "padding": "SAME"},
    "one stride": {"window_strides": (2, 1)},
    "stride of 2, padded at the end": {"window_strides": (2, 2), "padding": "SAME"},
    "stride of 3": {"window_strides": (3, 3)},
    "uneven padding": {"padding": ((0, 1), (1, 2))},
    "much padding": {"padding": ((2, 2), (2, 2))},
    "negative padding": {"padding": ((-1, -1), (-1, -1))},
    "few inputs": {"images": (2, 6, 8, 16), "kernel": (3, 3, 16, 64)},
    "size 1": {"kernel": (1, 1, 32, 8), "padding": "VALID"},
    "many outputs": {"kernel": (3, 3, 32, 16), "padding": "VALID"},
    "strided without padding": {"kernel": (3, 3, 32, 8), "padding": "VALID", "window_strides": (2, 2)},
    "one dimension": {
        "images": (2, 8, 32),
        "kernel": (3, 32, 32),
        "window_strides": (1,),
        "padding": "SAME",
        "dimension_numbers": ("NWC", "WIO", "NWC"),
    },
    "three dimensions": {
        "images": (1, 4, 4, 4, 32),
        "kernel": (3, 3, 3, 32, 32),
        "window_strides": (1, 1, 1),
        "padding": "SAME",
        "dimension_numbers": ("NDHWC", "DHWIO", "NDHWC"),
    },
    "no pictures": {"images": (0, 6, 8, 32)},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_whatever_fits_no_kernel_is_xlas(name):
    changes = {"images": (2, 6, 8, 32), "kernel": (3, 3, 32, 32), "dtype": jnp.float32} | OPTIONS[name]
    options = {"window_strides": (1, 1), "padding": ONES, "dimension_numbers": CHANNELS_LAST}
    options |= {field: value for field, value in changes.items() if field not in ("images", "kernel", "dtype")}
    images, kernel = draw(changes["images"], changes["kernel"], changes["dtype"])
    assert not names_of(images, kernel, **options)
    for mine, its in zip(*both(images, kernel, **options), strict=True):
        np.testing.assert_array_equal(mine, its)


def test_options_may_be_positional():
    images, kernel = draw((2, 6, 8, 32), (3, 3, 32, 32))
    arguments = ((1, 1), "SAME", (1, 1), (2, 2), CHANNELS_LAST)
    assert not names_of(images, kernel, *arguments)
    assert_close(*both(images, kernel, *arguments), tolerance=0)


def test_wrong_shapes_are_refused_as_xla_refuses_them():
    images, kernel = draw((2, 6, 8, 32), (3, 3, 31, 32))
    with pytest.raises(ValueError, match="feature"):
        cpu.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=CHANNELS_LAST)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_dilation": 2},
        {"input_dilation": 2, "padding": 1},
        {"feature_group_count": 32},
        {"padding": "CIRCULAR"},
        {},
    ],
)
def test_layers_are_flaxs(options):
    images, _ = draw((2, 8, 8, 32), (3, 3, 32, 64))
    variables = quick_jit(nn.Conv(64, (3, 3), **options).init)(jax.random.key(0), images)

    def value(layer):
        return lambda images, kernel: layer(64, (3, 3), **options).apply(
            {"params": variables["params"] | {"kernel": kernel}}, images
        )

    ours, theirs = (
        value_and_gradients(value(layer), images, variables["params"]["kernel"]) for layer in (conv, nn.Conv)
    )
    assert_close(ours, theirs)


def test_sizes_may_be_symbolic():
    images, kernel = draw((2, 6, 8, 32), (3, 3, 32, 40))

    def convolve(images):
        return cpu.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=CHANNELS_LAST)

    shape = jax.export.symbolic_shape("n, h, w, 32")
    exported = jax.export.export(jax.jit(convolve), platforms=("cpu", "cuda"))(jax.ShapeDtypeStruct(shape, jnp.float32))
    assert exported.out_avals[0].shape[3] == 40
    np.testing.assert_allclose(exported.call(images), convolve(images), atol=1e-5)


def kernel_gradient(images, kernel):
    """The gradient that Winograd's kernel computes on a CPU by 16 matrix products."""
    return jax.grad(
        lambda k: cpu.conv_general_dilated(images, k, (1, 1), "SAME", dimension_numbers=CHANNELS_LAST).sum()
    )(kernel)


def products_in(text):
    return text.count("stablehlo.dot_general")


def test_programs_for_other_devices_have_no_kernels():
    """Wherever they are compiled: what counts is the platform of the program, not of the process."""
    traced = jax.jit(kernel_gradient).trace(*draw((2, 6, 8, 32), (3, 3, 32, 40)))
    counts = {name: products_in(traced.lower(lowering_platforms=(name,)).as_text()) for name in ("cpu", "cuda", "tpu")}
    assert counts == {"cpu": 16, "cuda": 0, "tpu": 0}


def test_the_switch(monkeypatch):
    arguments, jitted = draw((2, 6, 8, 32), (3, 3, 32, 40)), jax.jit(kernel_gradient)

    def count():
        return products_in(jitted.lower(*arguments).as_text())

    assert count() == 16
    with cpu.use("xla"):  # the same jitted function is traced again
        assert count() == 0
        with cpu.use("auto"):
            assert count() == 16
        with cpu.use("auto", without="winograd_kernel_gradient"):
            assert count() == 0
    with cpu.use("auto", without="strided"):
        assert count() == 16
    for value, products in (("xla", 0), ("auto", 16), ("", 16)):
        monkeypatch.setenv("SRGAN_JAX_KERNELS", value)
        jax.clear_caches()  # the environment is read when a function is traced
        assert count() == products


def test_wrong_choices_are_told_in_a_sentence(monkeypatch):
    with pytest.raises(InputError, match=r"^kernels must be auto or xla, got 'fast'; set it to one of these\.$"):
        cpu.use("fast")
    with pytest.raises(InputError, match="there is no kernel 'stride'; did you mean 'strided'"):
        cpu.use(without="stride")
    monkeypatch.setenv("SRGAN_JAX_KERNELS", "XLA")
    with pytest.raises(InputError, match=r"^SRGAN_JAX_KERNELS must be auto or xla, got 'XLA'; set it to one of these"):
        jax.jit(kernel_gradient).lower(*draw((1, 2, 2, 32), (3, 3, 32, 33)))


@pytest.mark.parametrize(("size", "stride", "outputs"), [(3, 1, 40), (3, 2, 40), (9, 1, 3)])
def test_transformations(size, stride, outputs):
    """Kernels may be vmapped, rematerialised and differentiated twice, and take NumPy's arrays."""
    images, kernel = draw((3, 2, 4, 4, 32), (size, size, 32, outputs))
    pads = ((size // 2, size // 2),) * 2

    def make(convolve):
        def penalty(images, kernel):
            def total(images):
                return jnp.sum(jnp.sin(convolve(images, kernel, (stride, stride), pads, None, None, CHANNELS_LAST)))

            return jnp.sum(jax.grad(jax.checkpoint(total))(images) ** 2)

        return quick_jit(jax.vmap(jax.value_and_grad(penalty, (0, 1)), (0, None)))

    ours, xlas = (
        jax.tree.leaves(make(f)(images, kernel)) for f in (cpu.conv_general_dilated, lax.conv_general_dilated)
    )
    assert_close(ours, xlas, tolerance=2e-5)
    eager = [
        f(np.asarray(images[0]), np.asarray(kernel), (stride, stride), pads, None, None, CHANNELS_LAST)
        for f in (cpu.conv_general_dilated, lax.conv_general_dilated)
    ]
    assert_close(eager[:1], eager[1:])


def test_a_cpu_convolves_by_onednn():
    """As far as JAX's wheel has it; in any case the result is XLA's."""
    images, kernel = draw((2, 8, 8, 32), (3, 3, 32, 32))

    def convolve(images, kernel):
        return lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=CHANNELS_LAST)

    device = jax.local_devices(backend="cpu")[0]
    options = cpu.compiler_options(device)
    compiled = jax.jit(convolve, compiler_options=options).lower(images, kernel).compile()
    assert ("__onednn$convolution" in compiled.as_text()) == bool(options)
    assert bool(options) == (jax.__version_info__ >= (0, 11) and platform.machine() in ("x86_64", "AMD64"))
    assert_close([compiled(images, kernel)], [convolve(images, kernel)])
    for choice in (cpu.use("xla"), cpu.use(without="onednn")):
        with choice:
            assert cpu.compiler_options(device) == {}


def test_other_devices_compile_as_usual():
    assert cpu.compiler_options(mock.Mock(platform="gpu", spec=jax.Device)) == {}
