import math
import pathlib
from fractions import Fraction

import jax
import numpy as np
import pytest
from PIL import Image

from srgan_jax.images.resize import MARGIN_LR, downscale_crops, imresize, imresize_jax, nearest, resize_matrix

GOLDENS = np.load(pathlib.Path(__file__).parent / "goldens" / "images.npz")


def random_image(*shape):
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


def resize_line(line, out_size, scale, border):
    """One axis, pixel by pixel, straight from the definition, in rational arithmetic."""
    n, out = len(line), []
    stretch = min(scale, Fraction(1))
    for i in range(out_size):
        centre = (i + Fraction(1, 2)) / scale - Fraction(1, 2)
        value = total = Fraction(0)
        for j in range(math.floor(centre - 2 / stretch), math.ceil(centre + 2 / stretch) + 1):
            x = abs(stretch * (centre - j))
            if x >= 2:
                continue
            near = Fraction(3, 2) * x**3 - Fraction(5, 2) * x**2 + 1
            weight = near if x <= 1 else -(x**3) / 2 + Fraction(5, 2) * x**2 - 4 * x + 2
            inside = min(max(j, 0), n - 1) if border == "clamp" else (j if j % (2 * n) < n else -1 - j) % (2 * n)
            value, total = value + weight * line[inside], total + weight
        out.append(value / total)
    return out


@pytest.mark.parametrize("border", ["symmetric", "clamp"])
@pytest.mark.parametrize("scale", [Fraction(1, 4), Fraction(1, 3), Fraction(2, 5), Fraction(3, 2), Fraction(4)])
def test_follows_the_definition(scale, border):
    image = random_image(7, 9)
    rows, columns = math.ceil(scale * 7), math.ceil(scale * 9)

    def resized(rounded):
        lines = [[Fraction(int(v)) for v in column] for column in image.T]
        for size in (rows, columns):  # rows first, for the scales are equal
            lines = [resize_line(line, size, scale, border) for line in lines]
            if rounded:
                lines = [[min(max(math.floor(v + Fraction(1, 2)), 0), 255) for v in line] for line in lines]
            lines = list(zip(*lines, strict=True))
        return np.array(lines, dtype=float).T

    exact = imresize(image.astype(np.float32), scale, border=border)
    assert exact.dtype == np.float64
    np.testing.assert_allclose(exact, resized(rounded=False), rtol=0, atol=1e-10)
    levels = imresize(image, scale, border=border)
    assert levels.dtype == np.uint8
    np.testing.assert_array_equal(levels, resized(rounded=True))


@pytest.mark.parametrize("name", ["top_left", "bottom_right", "grey"])
def test_matches_matlab_on_crops_of_the_release(name):
    hr, lr = GOLDENS[f"{name}_hr"], GOLDENS[f"{name}_lr"]
    # A crop's own border is the image's border only at that corner.
    keep = {"top_left": np.s_[:-2, :-2], "bottom_right": np.s_[2:, 2:], "grey": np.s_[2:-2, 2:-2]}[name]
    np.testing.assert_array_equal(imresize(hr, 1 / 4, border="clamp")[keep], lr[keep])
    if name != "grey":  # the border rule is what these corners show
        assert (imresize(hr, 1 / 4, border="symmetric")[keep] != lr[keep]).any()


@pytest.mark.parametrize(("dataset", "count"), [("Set5", 5), ("Set14", 14), ("BSD100", 100)])
def test_reproduces_every_lr_file_of_the_release(shared, dataset, count):
    files = sorted((shared / "data" / "eval" / dataset / "LRx4").glob("*.png"))
    assert len(files) == count
    for file in files:
        hr = np.asarray(Image.open(file.parents[1] / "HR" / file.name))
        np.testing.assert_array_equal(imresize(hr, 1 / 4, border="clamp"), np.asarray(Image.open(file)), str(file))


def test_size_gives_each_axis_its_scale_and_the_smaller_one_goes_first():
    image = random_image(12, 20, 3)
    rows_first = imresize(imresize(image, size=(3, 20)), size=(3, 15))
    columns_first = imresize(imresize(image, size=(12, 15)), size=(3, 15))
    assert (rows_first != columns_first).any()  # rounding in between tells the orders apart
    np.testing.assert_array_equal(imresize(image, size=(3, 15)), rows_first)
    np.testing.assert_array_equal(
        imresize(image.swapaxes(0, 1), size=(15, 3)), imresize(image, size=(3, 15)).swapaxes(0, 1)
    )
    np.testing.assert_array_equal(imresize(image, size=(3, 5)), imresize(image, 1 / 4))


@pytest.mark.parametrize(
    ("scale", "size", "expected"),
    [
        (0.1, 30, 3),
        (1 / 3, 9, 3),
        (1 / 3, 10, 4),
        (Fraction(2, 3), 9, 6),
        (0.7, 10, 7),
        (0.01, 5, 1),
        (2.5, 3, 8),
        (1, 5, 5),
    ],
)
def test_output_size_is_rounded_up_without_float_error(scale, size, expected):
    assert imresize(np.zeros((size, size), np.uint8), scale).shape == (expected, expected)


def test_scale_1_changes_nothing_and_constants_stay_constant():
    image = random_image(5, 6, 3)
    np.testing.assert_array_equal(imresize(image, 1), image)
    for scale in (1 / 4, 1 / 3, 0.3, 1.7, 4):
        np.testing.assert_array_equal(np.unique(imresize(np.full((11, 13), 200, np.uint8), scale)), [200])


def test_matrix_is_the_float_resize():
    image = np.random.default_rng(0).normal(size=(10, 14))
    rows, columns = resize_matrix(10, 4, 0.4), resize_matrix(14, 6, 0.4)
    assert rows.shape == (4, 10) and rows.dtype == np.float64
    np.testing.assert_allclose(rows @ image @ columns.T, imresize(image, 0.4), atol=1e-12)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [2, 4])
def test_lr_crops_equal_crops_of_the_lr_image(scale, channels):
    """Bit for bit, in all four corners and inside: what lets the training step make LR from uint8 crops."""
    size, margin = 6 * scale, MARGIN_LR * scale
    image = random_image(11 * scale, 13 * scale, channels)
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    starts = [(0, 0), (0, 7 * scale), (5 * scale, 0), (5 * scale, 7 * scale), (2 * scale, 3 * scale)]
    crops = np.stack([padded[y : y + size + 2 * margin, x : x + size + 2 * margin] for y, x in starts])
    got = jax.jit(downscale_crops, static_argnums=1)(crops, scale)
    whole = imresize(image, 1 / scale)
    expected = np.stack([whole[y // scale :, x // scale :][:6, :6] for y, x in starts])
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("border", ["symmetric", "clamp"])
@pytest.mark.parametrize("scale", [1 / 4, 1 / 2, 2, 4])
def test_jax_and_numpy_give_the_same_bits(scale, border):
    image = random_image(32, 21, 3)
    got = jax.jit(lambda x: imresize_jax(x, scale, border=border))(image)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, imresize(image, scale, border=border))


def test_nearest_repeats_pixels():
    image = random_image(3, 4, 3)
    large = nearest(image, 2)
    assert large.shape == (6, 8, 3) and large.dtype == np.uint8
    for y, x in np.ndindex(2, 2):
        np.testing.assert_array_equal(large[y::2, x::2], image)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: imresize(np.zeros((4, 4), np.int32), 2), "int32"),
        (lambda: imresize(np.zeros(4), 2), r"\(4,\)"),
        (lambda: imresize(np.zeros((0, 4)), 2), r"\(0, 4\)"),
        (lambda: imresize(np.zeros((4, 4))), "either scale or size"),
        (lambda: imresize(np.zeros((4, 4)), 2, size=(8, 8)), "either scale or size"),
        (lambda: imresize(np.zeros((4, 4)), 0), "scale must be positive"),
        (lambda: imresize(np.zeros((4, 4)), math.nan), "scale must be positive"),
        (lambda: imresize(np.zeros((4, 4)), size=(0, 3)), "size must be positive"),
        (lambda: imresize(np.zeros((4, 4)), 2, border="wrap"), "'wrap'"),
        (lambda: downscale_crops(np.zeros((1, 42, 40, 3), np.uint8), 4), r"multiples of scale=4.*\(1, 42, 40, 3\)"),
        (lambda: downscale_crops(np.zeros((1, 16, 16, 3), np.uint8), 4), r"above 16"),
    ],
)
def test_errors_say_what_came(call, message):
    with pytest.raises(ValueError, match=message):
        call()
