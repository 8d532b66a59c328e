"""A generator with heads for several scales: its arrays, its training, and what takes the head for a scale."""

import jax
import numpy as np
import pytest
from baselines_small import NETWORKS, variables_of, write
from flax.traverse_util import flatten_dict
from PIL import Image
from tiny import make_tiny_batch, make_tiny_config, quick_jit

from srgan_jax import generators
from srgan_jax.commands import upscale
from srgan_jax.commands.weights import run as weights
from srgan_jax.errors import InputError
from srgan_jax.evaluation import methods
from srgan_jax.images.resize import MARGIN_LR
from srgan_jax.models import MDSR, create_generator, expected_variables
from srgan_jax.training import loop, scales
from srgan_jax.training.stages import create_stage

MODULE = NETWORKS["mdsr"]  # 3 times, with heads for 2 and 3
FIELDS = {"network": "mdsr", "scales": "2,3", "features": 4, "num_blocks": 1}


def make_config(**changes):
    config = make_tiny_config(**{"scale": 3, "data__crop_size": 24, "losses__mse": 0.0, "losses__l1": 1.0} | changes)
    with config.unlocked():
        config.generator = FIELDS
    return config


@pytest.fixture
def released(tmp_path):
    return write(tmp_path / "mdsr.safetensors", MODULE)


def test_every_head_has_the_arrays_of_the_network():
    for scale in (2, 3):
        module = MODULE.clone(scale=scale)
        assert expected_variables(module) == expected_variables(MODULE)
        sr = quick_jit(module.apply)(variables_of(MODULE), np.zeros((1, 5, 6, 3), np.float32))
        assert sr.shape == (1, 5 * scale, 6 * scale, 3)
    with pytest.raises(InputError, match="scale=4 is none of scales=2,3"):
        expected_variables(MODULE.clone(scale=4))
    with pytest.raises(InputError, match=r"scales: no '5'; choose from"):
        create_generator({"network": "mdsr", "scales": "5"})


def test_crops_of_a_smaller_scale_are_the_middle():
    """They have as many LR pixels, and the margin that bicubic reduction by that scale reads."""
    config = make_config()
    batch = make_tiny_batch(config)
    assert batch["hr"].shape[1] == 24 + 2 * 3 * MARGIN_LR
    assert scales.crops_for(batch, 3, config)["hr"] is not None
    np.testing.assert_array_equal(scales.crops_for(batch, 3, config)["hr"], batch["hr"])
    smaller = scales.crops_for(batch, 2, config)["hr"]
    assert smaller.shape[1] == (8 + 2 * MARGIN_LR) * 2
    np.testing.assert_array_equal(smaller, batch["hr"][:, 6:30, 6:30])


@pytest.mark.parametrize("stage", ["content", pytest.param("adversarial", marks=pytest.mark.slow)])
def test_a_step_trains_one_head_and_the_trunk(stage):
    adversarial = {"stage": "adversarial", "losses__adversarial": 1e-2, "discriminator__head": "pool"}
    config = make_config(**(adversarial if stage == "adversarial" else {}))
    made = create_stage(config)
    state, step, seen = quick_jit(made.init)(jax.random.key(0)), quick_jit(made.step), set()
    for number in range(8):
        batch = made.prepare(make_tiny_batch(config), number)
        new, metrics = step(state, batch, made.frozen, jax.random.key(number))
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((new, metrics)))
        old, changed = (flatten_dict(networks["g"].params, sep="/") for networks in (state, new))
        moved = {key.split("/")[0] for key in old if not np.array_equal(old[key], changed[key])}
        heads = {layer[:3] for layer in moved if layer.startswith("x")}
        assert heads == {f"x{batch['hr'].shape[1] // 12}_"}  # crops of 8 LR pixels with 2 on each side
        assert {"stem", "block0", "trunk", "output"} <= moved
        still = "x2_" if heads == {"x3_"} else "x3_"
        for before, after in zip(
            *(jax.tree_util.tree_leaves_with_path(networks["g"].opt_state) for networks in (state, new)),
            strict=True,
        ):
            if still in jax.tree_util.keystr(before[0]):
                np.testing.assert_array_equal(before[1], after[1])
        seen |= heads
        state = new
    assert seen == {"x2_", "x3_"}


def test_a_run_is_one_file_that_every_command_takes_the_right_head_of(tmp_path, capsys):
    config = make_config(num_steps=2, save_every=2)
    loop.train(config, tmp_path / "run")
    weights(["release", str(tmp_path / "run"), "-o", str(tmp_path / "model.safetensors")])
    generator = generators.load(tmp_path / "model.safetensors")
    assert generator.module == MDSR(scale=3, scales="2,3", features=4, num_blocks=1)
    picture = np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "small.png")
    for scale in (2, 3):
        expected = generators.create(
            generator.module.clone(scale=scale), generator.variables, name="", info={}
        ).upscale(picture)
        assert expected.shape == (9 * scale, 11 * scale, 3)
        np.testing.assert_array_equal(generator.upscale(picture, scale=scale), expected)
        flags = [str(tmp_path / "small.png"), "-o", str(tmp_path / f"{scale}.png"), "--scale", str(scale)]
        flags = upscale.parse_arguments([*flags, "--ckpt", str(tmp_path / "model.safetensors")])
        assert upscale.run(flags) == 0
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / f"{scale}.png")), expected)
        assert methods.create_method(str(tmp_path / "model.safetensors"), scale=scale).scale == scale
    assert generator.upscale(picture, scale=4).shape == (36, 44, 3)  # resized from the largest
    with pytest.raises(InputError, match="enlarges 3 times and no other factor, got a scale of 4"):
        methods.create_method(str(tmp_path / "model.safetensors"), scale=4)


@pytest.mark.parametrize("name", ["srresnet", "mdsr"])
def test_tiles_at_three_times(name, released):
    generator = generators.load(released).at_scale(2)
    assert generator.module.scale == 2
    picture = np.random.default_rng(0).integers(0, 256, (37, 50, 3), np.uint8)
    whole = generator.upscale(picture, tile=0)
    differences = np.abs(generator.upscale(picture, tile=16).astype(int) - whole)
    assert differences.max() <= 1 and np.count_nonzero(differences) <= 1e-4 * whole.size


def test_export_of_one_scale(released, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    weights(["export", str(released), "-o", str(tmp_path / "model.onnx"), "--scale", "2"])
    assert "largest difference on 3 sizes" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"--scale: .* enlarges 2 or 3 times, got 4"):
        weights(["export", str(released), "-o", str(tmp_path / "model.onnx"), "--scale", "4"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": 2}, "config.scale must be 3, the largest of the generator's scales, got 2"),
        ({"scale": 4, "data__crop_size": 32}, "config.scale must be 3"),
        ({"stage": "adversarial", "losses__adversarial": 1.0}, "config.discriminator.head: a dense layer takes crops"),
        ({"data__degradation__first__blur": 0.5}, "config.data.degradation is for one scale"),
    ],
)
def test_what_goes_not_with_several_scales_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        create_stage(make_config(**changes))
