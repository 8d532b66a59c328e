"""A generator with a guide: what the guide is good for, tiles, training from files, exports, and what is refused."""

import importlib.util

import jax
import numpy as np
import pytest
from PIL import Image
from tiny import make_tiny_config, quick_jit

from srgan_jax import generators, upscaling
from srgan_jax.commands.weights import run as weights
from srgan_jax.data.arrays import ArraySource, guide_to_unit
from srgan_jax.data.loader import CropLoader
from srgan_jax.data.sources import SourceError, Subset
from srgan_jax.errors import InputError
from srgan_jax.evaluation.values import evaluate_values
from srgan_jax.images import ImageError
from srgan_jax.models import GuidedSR, architecture_of, expected_variables
from srgan_jax.models.layers import Enlarge, pixel_shuffle, subpixels
from srgan_jax.training import loop, steps
from srgan_jax.upscaling import Upscaler
from srgan_jax.weights.release import write_release

MODULE = GuidedSR(scale=2, features=6, num_blocks=1)
FIELDS = {"network": "guided", "guide_channels": 3, "features": 4, "num_blocks": 1}


def variables_of(module, seed=0):
    rng = np.random.default_rng(seed)

    def draw(array):
        noise = rng.standard_normal(array.shape).astype(np.float32)
        return noise / np.float32(max(1, np.prod(array.shape[:-1]))) ** np.float32(0.5)

    return jax.tree.map(draw, expected_variables(module))


@pytest.fixture
def model():
    return generators.Generator(MODULE, variables_of(MODULE), "guided", {"config": {"data": {"range": (0.0, 10.0)}}})


@pytest.fixture
def folders(tmp_path):
    """Depth from 0 to 10 metres in NPY files, with colour pictures that have contours where depth has them."""
    rng = np.random.default_rng(0)
    for folder in ("depth", "colour"):
        (tmp_path / folder).mkdir()
    for number in range(5):
        levels = np.kron(rng.random((6, 7)), np.ones((8, 8)))
        depth = (10 * levels).astype(np.float32)
        if number == 0:
            depth[3:6, 4:9] = np.nan
        np.save(tmp_path / "depth" / f"{number}.npy", depth)
        colour = (255 * np.stack([levels, 1 - levels, levels**2], -1)).astype(np.uint8)
        Image.fromarray(colour).save(tmp_path / "colour" / f"{number}.{'png' if number else 'jpg'}")
    return tmp_path


def test_subpixels_and_pixel_shuffle_are_inverse():
    images = np.random.default_rng(0).random((2, 8, 12, 3)).astype(np.float32)
    packed = subpixels(images, 4)
    assert packed.shape == (2, 2, 3, 48)
    np.testing.assert_array_equal(pixel_shuffle(packed, 4), images)
    np.testing.assert_array_equal(packed[0, 1, 2, :3], images[0, 4, 8])


def test_at_the_start_it_is_the_bicubic_enlargement():
    variables = jax.device_get(
        quick_jit(MODULE.init)(jax.random.key(0), np.zeros((1, 8, 8, MODULE.inputs), np.float32))
    )
    lr = np.random.default_rng(0).random((1, 9, 7, MODULE.inputs), np.float32)
    sr = (quick_jit(MODULE.apply)(variables, lr) + 1) / 2
    np.testing.assert_allclose(sr, Enlarge("cubic", 2).apply({}, lr[..., :1]), atol=1e-6)


def test_tiles_equal_the_whole_and_the_guide_matters(model):
    rng = np.random.default_rng(0)
    values, guide = 10 * rng.random((37, 41, 1)), rng.integers(0, 256, (74, 82, 3), np.uint8)
    whole = model.upscale_values(values, guide=guide, tile=0)
    assert whole.shape == (74, 82, 1)
    np.testing.assert_allclose(model.upscale_values(values, guide=guide, tile=16), whole, rtol=0, atol=1e-4)
    other = guide.copy()
    other[40:44, 40:44] = 255 - other[40:44, 40:44]
    changed = np.abs(model.upscale_values(values, guide=other) - whole)[..., 0]
    rows, columns = np.nonzero(changed > 1e-4)
    assert rows.min() >= 36 and rows.max() < 48 and columns.min() >= 36 and columns.max() < 48  # 4 pixels around


def test_crops_have_a_guide_in_place(folders):
    """Depth and guide are cut, flipped and turned alike; LR has the guide in its last channels."""
    source = ArraySource(folders / "depth", channels=1, ends=(0, 10), guides=folders / "colour")
    assert source[1].shape == (48, 56, 5) and (source[1][..., 4] == 1).all()
    np.testing.assert_array_equal(source[1][..., 1:4], np.asarray(Image.open(folders / "colour" / "1.png")))
    batch = CropLoader(Subset(source, [1, 2, 3]), batch_size=8, crop_size=16, scale=2, seed=0).batch(0)
    assert batch["hr"].shape == (8, 24, 24, 5)
    lr, hr = quick_jit(lambda batch: steps.degrade(batch, 2, channels=1))(batch)
    assert lr.shape == (8, 8, 8, 1 + 12) and hr.shape == (8, 16, 16, 1)
    guide = np.asarray(pixel_shuffle(lr[..., 1:], 2))
    np.testing.assert_allclose(guide[..., 0], (hr[..., 0] + 1) / 2, atol=0.005)  # which is the depth, in 8 bits


def test_a_run_learns_from_files(folders, tmp_path):
    config = make_tiny_config(
        scale=2,
        channels=1,
        data__source="arrays",
        data__path=str(folders / "depth"),
        data__range=(0.0, 10.0),
        data__guide=str(folders / "colour"),
        data__holdout=0.2,
        num_steps=2,
        eval_every=2,
        save_every=2,
    )
    with config.unlocked():
        config.generator = FIELDS
        config.losses.lr_l1 = 0.1
    loop.train(config, tmp_path / "run")
    trained = generators.load(tmp_path / "run")
    values, guide = np.load(folders / "depth" / "1.npy"), np.asarray(Image.open(folders / "colour" / "1.png"))
    sr = trained.upscale_values(values[::2, ::2], guide=guide)
    assert sr.shape == (48, 56) and np.isfinite(sr).all()
    source = ArraySource(folders / "depth", channels=1, ends=(0, 10), guides=folders / "colour")
    scores = evaluate_values(Upscaler(trained), source)
    assert len(scores["arrays"]) == 5 and scores["mean"]["rmse"] > 0


def test_export(tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    write_release(tmp_path / "model.safetensors", architecture_of(MODULE), variables_of(MODULE))
    weights(["export", str(tmp_path / "model.safetensors"), "-o", str(tmp_path / "model.onnx")])
    assert "largest difference on 3 sizes" in capsys.readouterr().out
    assert importlib.util.find_spec("onnx")


def test_what_does_not_fit_is_refused(model, folders):
    values, guide = np.zeros((5, 6)), np.zeros((10, 12, 3), np.uint8)
    for wrong, message in (
        (None, "needs a guide, a picture of the result's size"),
        (guide[:8], r"the guide should be an array of shape \[10, 12, 3\], but its shape is \[8, 12, 3\]"),
        (guide[..., 0], r"but its shape is \[10, 12, 1\]"),
        (guide + 1.5, "holds numbers from 0 to 1"),
    ):
        with pytest.raises(InputError, match=message):
            model.upscale_values(values, guide=wrong)
    with pytest.raises(InputError, match="needs a guide"):
        model.upscale(np.zeros((5, 6, 3), np.uint8))
    with pytest.raises(InputError, match="cannot average over flips and turns"):
        upscaling.Upscaler(model, ensemble=True)
    with pytest.raises(SourceError, match="numbers from 0 to 1"):
        guide_to_unit(np.full((2, 2, 1), np.nan))
    (folders / "colour" / "1.png").unlink()
    with pytest.raises(SourceError, match=r"1\.npy has no guide; looked for"):
        ArraySource(folders / "depth", channels=1, ends=(0, 10), guides=folders / "colour")
    Image.new("RGB", (9, 9)).save(folders / "colour" / "1.png")
    with pytest.raises(ImageError, match="expected a guide of 56x48 pixels, as the array has, got 9x9"):
        ArraySource(folders / "depth", channels=1, ends=(0, 10), guides=folders / "colour")[1]


@pytest.mark.parametrize(
    ("network", "guide", "message"),
    [
        (FIELDS, "", "config.data.guide: guided needs a directory of guides"),
        (None, "colour", "config.data.guide: srresnet takes no guide, leave it empty"),
        (FIELDS, "colour", 'config.data.guide is for source="arrays", got source=.builtin.'),
    ],
)
def test_a_guide_and_its_network_need_each_other(network, guide, message):
    from srgan_jax.training.checks import check_fields

    config = make_tiny_config(channels=1, data__guide=guide)
    with config.unlocked():
        config.generator = network or config.generator
    with pytest.raises(InputError, match=message):
        check_fields(config)
