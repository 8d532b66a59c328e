"""The bound on what SR may invent, and the map that shows what it has invented."""

import jax
import numpy as np
import pytest
from PIL import Image
from skimage import color
from tiny import initialise

from srgan_jax import generators
from srgan_jax.commands import upscale as upscale_command
from srgan_jax.errors import InputError
from srgan_jax.images import heat_map as heat_maps
from srgan_jax.images.heat_map import colour_table, colours, end_of_scale, heat_map
from srgan_jax.images.resize import imresize
from srgan_jax.models import SRResNet
from srgan_jax.upscaling import make_consistent
from srgan_jax.upscaling.consistency import resize_levels
from srgan_jax.upscaling.invention import bound, bounds, invention

UNIT = {np.uint8: 1, np.uint16: 257}


def levels(height, width, channels=3, dtype=np.uint8, seed=0):
    rng, unit = np.random.default_rng(seed), UNIT[dtype]
    coarse = rng.uniform(10, 245, (height // 3 + 1, width // 3 + 1, channels))
    return (unit * np.clip(imresize(coarse, size=(height, width)), 0, 255)).astype(dtype)


def generator(seed, *, channels=3, scale=2, amount=0.3, **info):
    """A network that adds something random to the bicubic enlargement."""
    module = SRResNet(scale=scale, channels=channels, features=4, num_blocks=1, global_skip="bicubic")
    made = initialise(module, np.zeros((1, 4, 4, channels), np.float32), seed=seed)
    return generators.Generator(module, jax.tree.map(lambda x: amount * np.asarray(x), made), f"seed {seed}", info)


@pytest.mark.parametrize("dtype", UNIT)
@pytest.mark.parametrize("most", [0, 0.7, 3, 255])
def test_bound(dtype, most):
    sr, reference = (np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (9, 7, 3), dtype) for seed in (0, 1))
    step = int(round(most * 10) * UNIT[dtype] // 10)
    expected = np.minimum(np.maximum(sr.astype(int), reference.astype(int) - step), reference.astype(int) + step)
    result = bound(sr, reference, most)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, expected)
    assert invention(result, reference).max() <= most


def test_invention_is_the_largest_difference_among_the_channels():
    reference = np.full((1, 2, 3), 100 * 257, np.uint16)
    sr = reference + np.array([[[0, 257, 514], [0, 0, 0]]], np.uint16)
    sr[0, 1, 1] -= 1285
    np.testing.assert_array_equal(invention(sr, reference), [[2, 5]])


@pytest.mark.parametrize("dtype", UNIT)
@pytest.mark.parametrize("most", [1, 4, 16])
def test_consistent_within_bounds(dtype, most):
    """The bound always holds. A consistent picture lies within it, the reference, and so few LR pixels are missed."""
    lr = levels(40, 60, dtype=dtype)
    noise = np.random.default_rng(1).normal(0, 20 * UNIT[dtype], (160, 240, 3))
    enlarged = resize_levels(lr, (160, 240))
    reference = make_consistent(enlarged, lr, 4)
    sr = np.clip(0.9 * enlarged + noise, 0, 255 * UNIT[dtype]).astype(dtype)
    result = make_consistent(sr, lr, 4, within=bounds(reference, most))
    assert invention(result, reference).max() <= most
    clipped = bound(sr, reference, most)
    missed, before = (
        np.abs(resize_levels(picture, (40, 60)).astype(int) - lr) / UNIT[dtype] for picture in (result, clipped)
    )
    assert missed.max() <= (0 if dtype == np.uint8 else 0.6)
    assert missed.mean() < 0.2 * before.mean()
    # It stays the picture that SR is: what it adds to the reference goes with what SR adds.
    added, wanted = (picture.astype(float) - reference for picture in (result, sr))
    assert np.corrcoef(added.ravel(), wanted.ravel())[0, 1] > 0.5


@pytest.mark.parametrize(
    ("dtype", "consistent", "colours", "channels"),
    [
        (np.uint8, False, 3, 3),
        pytest.param(np.uint16, True, 3, 1, marks=pytest.mark.slow),
        pytest.param(np.uint16, False, 1, 3, marks=pytest.mark.slow),
        pytest.param(np.uint8, True, 1, 1, marks=pytest.mark.slow),
    ],
)
def test_pictures(dtype, consistent, colours, channels):
    lr, model, other = levels(20, 33, colours, dtype), generator(0, amount=0.6), generator(1, channels=channels)
    expected = other.upscale(lr, consistent=consistent)
    free = model.upscale(lr, consistent=consistent)
    assert invention(free, expected).max() > 3
    for options in ({}, {"tile": 8}) if channels == colours == 3 else ({},):
        result = model.upscale(lr, consistent=consistent, max_invention=3, reference=other, **options)
        reference = other.upscale(lr, consistent=consistent, **options)
        assert result.dtype == dtype and result.shape == free.shape
        assert invention(result, reference).max() == 3
        if not consistent:  # rounding of float32 sums, in SR and in the reference
            np.testing.assert_allclose(
                result.astype(int), bound(free, expected, 3).astype(int), atol=1 if dtype == np.uint8 else 2
            )
    np.testing.assert_array_equal(
        model.upscale(lr, consistent=consistent, max_invention=0, reference=other),
        expected,
    )
    if not consistent:  # To make it consistent within limits takes more passes.
        np.testing.assert_array_equal(model.upscale(lr, consistent=False, max_invention=255, reference=other), free)


@pytest.mark.parametrize("scale", [1.5, 3])
def test_the_bound_holds_after_resizing(scale):
    lr, model, other = levels(20, 33), generator(0, amount=0.6), generator(1)
    result = model.upscale(lr, scale=scale, max_invention=2, reference=other)
    assert invention(result, other.upscale(lr, scale=scale)).max() == 2


def test_transparency_is_left_alone():
    rgba = np.dstack([levels(9, 13), np.random.default_rng(0).integers(0, 256, (9, 13), np.uint8)])
    model, other = generator(0, amount=0.6), generator(1)
    result = model.upscale(rgba, max_invention=2, reference=other)
    np.testing.assert_array_equal(result[..., 3], model.upscale(rgba)[..., 3])
    assert invention(result[..., :3], other.upscale(rgba)[..., :3]).max() == 2


def test_the_shipped_model_is_the_reference(monkeypatch):
    asked, lr, model, other = [], levels(6, 8), generator(0, amount=0.6), generator(1)
    monkeypatch.setattr(generators, "load", lambda name: asked.append(name) or other)
    np.testing.assert_array_equal(
        model.upscale(lr, max_invention=2), model.upscale(lr, max_invention=2, reference=other)
    )
    assert asked == ["srresnet-x4"] == [upscale_command.REFERENCE]
    assert generators.SHIPPED.joinpath("srresnet-x4.safetensors").is_file()


def test_what_does_not_go_together():
    lr, model = levels(6, 6), generator(0)
    with pytest.raises(InputError, match="the reference enlarges 4 times, the network 2 times"):
        model.upscale(lr, max_invention=5, reference=generator(1, scale=4))
    for wrong in (-1, 256, float("nan")):
        with pytest.raises(InputError, match=r"max_invention: .* is no number of levels from 0 to 255"):
            model.upscale(lr, max_invention=wrong, reference=generator(1))


# The heat map.


def test_the_colours_are_even_and_in_order():
    lab = color.rgb2lab(colour_table()[::15] / 255)  # Of neighbours, 8 bits would round away the differences.
    steps = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    assert steps.min() > 0.85 * steps.max()
    assert (np.diff(lab[:, 0]) > 1).all() and lab[0, 0] < 5 and lab[-1, 0] > 90


def test_values_and_their_colours():
    table = colour_table()
    np.testing.assert_array_equal(
        colours(np.array([[-1, 0, 2, 4, 9, np.nan]]), 4)[0],
        [table[0], table[0], table[128], table[255], table[255], (128, 128, 128)],
    )
    assert [end_of_scale(value) for value in (0, 0.03, 1, 4.5, 5.5, 255)] == [1, 0.05, 1, 5, 10, 500]


def test_the_scale_is_below_the_picture():
    values = np.zeros((30, 50), np.float32)
    values[7, 9] = 8
    drawn = heat_map(values, unit="levels")
    below = heat_maps.GAP + heat_maps.BAR + heat_maps.LABEL
    assert drawn.shape == (30 + below, heat_maps.NARROWEST, 3)
    np.testing.assert_array_equal(drawn[:30, :50], colours(values, 10))
    bar = drawn[30 + heat_maps.GAP]
    np.testing.assert_array_equal(bar[[0, -1]], colour_table()[[0, -1]])
    assert (drawn[30 + heat_maps.GAP + heat_maps.BAR :] < 100).any()  # the labels


# The command.


@pytest.fixture
def models(tmp_path):
    """Release files of a network and of a reference."""
    from srgan_jax.weights.release import write_release

    for name, seed in (("model", 0), ("reference", 1)):
        made = generator(seed, scale=4, amount=0.6)
        write_release(tmp_path / f"{name}.safetensors", made.architecture, made.variables)
    return tmp_path / "model.safetensors", tmp_path / "reference.safetensors"


def read(path):
    with Image.open(path) as image:
        return np.array(image)


def run(*arguments):
    return upscale_command.run(upscale_command.parse_arguments([str(argument) for argument in arguments]))


def test_the_command(models, tmp_path):
    lr = levels(10, 40)
    Image.fromarray(lr).save(tmp_path / "in.png")
    flags = ["--ckpt", models[0], "--reference", models[1], "--map", tmp_path / "map.png"]
    assert run(tmp_path / "in.png", "-o", tmp_path / "out.png", "--max-invention", 2, *flags) == 0
    result, expected = read(tmp_path / "out.png"), generators.load(models[1]).upscale(lr)
    difference = invention(result, expected)
    assert difference.max() == 2
    np.testing.assert_array_equal(read(tmp_path / "map.png")[:40, :160], colours(difference, 2))
    # Without a bound, the map has a scale of its own.
    assert run(tmp_path / "in.png", "-o", tmp_path / "free.png", *flags) == 0
    difference = invention(read(tmp_path / "free.png"), expected)
    np.testing.assert_array_equal(
        read(tmp_path / "map.png")[:40, :160], colours(difference, end_of_scale(float(difference.max())))
    )


def test_maps_of_a_folder(models, tmp_path):
    for name in ("a.png", "deeper/b.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(levels(6, 8)).save(path)
    flags = ["--ckpt", models[0], "--reference", models[1], "-o", tmp_path / "out"]
    assert run(tmp_path / "in", *flags, "--map", tmp_path / "maps") == 0
    maps = tmp_path / "maps"
    assert sorted(path.relative_to(maps).as_posix() for path in maps.rglob("*.png")) == ["a.png", "deeper/b.png"]
    with pytest.raises(InputError, match=r"^--map: .*several pictures need a folder for their maps"):
        run(tmp_path / "in", *flags, "--map", tmp_path / "map.png")
    with pytest.raises(InputError, match="would both be written to"):
        run(tmp_path / "in", *flags, "--map", tmp_path / "out")


def test_the_reference_is_read_only_where_it_is_needed(models, tmp_path):
    Image.fromarray(levels(6, 8)).save(tmp_path / "in.png")
    flags = ["--ckpt", models[0], "--reference", tmp_path / "none", "-o", tmp_path / "out.png"]
    assert run(tmp_path / "in.png", *flags) == 0
    with pytest.raises(InputError, match="none: no such file"):
        run(tmp_path / "in.png", *flags, "--max-invention", 3)
