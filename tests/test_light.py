"""The light generators: their branches, what is folded away, sizes, tiles, exports, and learning from a teacher."""

import importlib.util
import pathlib

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from scipy import ndimage
from tiny import make_tiny_batch, make_tiny_config, quick_jit, read_state

from srgan_jax import generators
from srgan_jax.commands.weights import run as weights
from srgan_jax.configs import fast
from srgan_jax.errors import InputError
from srgan_jax.losses import Context
from srgan_jax.losses.teacher import affinity, teacher_affinity, teacher_l1
from srgan_jax.models import (
    ECBSR,
    SRCNN,
    MobileSR,
    SRResNet,
    architecture_of,
    count_parameters,
    expected_variables,
    fold_batch_norm,
    multiply_adds,
)
from srgan_jax.models.ecbsr import FILTERS, BranchedConv
from srgan_jax.training import loop
from srgan_jax.training.stages import create_stage
from srgan_jax.weights.release import write_release

NETWORKS = {
    "ecbsr": ECBSR(scale=3, features=6, num_blocks=2),
    "mobile": MobileSR(features=6, num_blocks=2, expansion=3),
}


def variables_of(module, seed=0):
    """Random arrays with which signals keep their size, and running averages that no default hides."""
    rng = np.random.default_rng(seed)

    def draw(path, array):
        noise, leaf = rng.standard_normal(array.shape).astype(np.float32), path[-1].key
        if leaf in ("bias", "mean"):
            return 0.1 * noise
        if leaf in ("scale", "var", "slope"):
            return 0.5 + rng.random(array.shape, np.float32)
        return noise / np.float32(max(1, np.prod(array.shape[:-1]))) ** np.float32(0.5)

    return jax.tree_util.tree_map_with_path(draw, expected_variables(module))


def folded(name):
    """The small network as it is released, with its arrays."""
    return fold_batch_norm(NETWORKS[name], variables_of(NETWORKS[name]))


def write(path, module, variables):
    write_release(path, architecture_of(module), variables)
    return path


@pytest.mark.parametrize(
    ("module", "parameters", "giga"),
    [
        (ECBSR(branches=False), 107_600, 6.15),
        (ECBSR(branches=False, num_blocks=16, features=64), 621_424, 35.67),
        (MobileSR(batch_norm=False), 190_368, 10.56),
    ],
)
def test_parameters_and_multiply_adds(module, parameters, giga):
    """Both defaults have less than 0.3 M parameters, and an eighth of SRResNet's arithmetic or less."""
    assert count_parameters(module) == parameters
    assert multiply_adds(module) / 1e9 == pytest.approx(giga, abs=0.005)
    assert multiply_adds(ECBSR(branches=False)) * 20 < multiply_adds(SRResNet())
    assert multiply_adds(MobileSR(batch_norm=False)) * 8 < multiply_adds(SRResNet())


def correlate(x, kernel):
    """What a convolution layer computes of [H, W, inputs], by SciPy."""
    planes = [
        sum(ndimage.correlate(x[..., i], kernel[:, :, i, o], mode="constant") for i in range(x.shape[-1]))
        for o in range(kernel.shape[-1])
    ]
    return np.stack(planes, -1)


def test_branches_are_convolutions_one_after_another():
    layer = BranchedConv(4, np.float32)
    x = np.random.default_rng(0).standard_normal((1, 7, 9, 3)).astype(np.float32)
    variables = jax.device_get(quick_jit(layer.init)(jax.random.key(0), x))
    branches = {name: array + np.float32(0.1) for name, array in variables["params"].items()}
    expected = correlate(x[0], branches["kernel"]) + branches["bias"]
    expected += correlate(x[0] @ branches["expand"], branches["squeeze"])
    for name, fixed in FILTERS.items():
        projected = x[0] @ branches[name]
        filtered = [ndimage.correlate(projected[..., o], fixed, mode="constant") for o in range(4)]
        expected += np.stack(filtered, -1) * branches[f"{name}_scale"]
    ours = quick_jit(layer.apply)({"params": branches}, x)[0]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_folded_gives_the_same_pictures(name):
    module, variables = NETWORKS[name], variables_of(NETWORKS[name])
    simple, arrays = fold_batch_norm(module, variables)
    assert set(arrays) == {"params"} and not getattr(simple, "branches", False)
    shapes = jax.tree.map(np.shape, arrays)
    assert shapes == jax.tree.map(lambda array: array.shape, dict(expected_variables(simple)))
    lr = np.random.default_rng(1).random((2, 9, 11, 3), np.float32)
    before, after = quick_jit(module.apply)(variables, lr), quick_jit(simple.apply)(arrays, lr)
    assert before.shape == (2, 9 * module.scale, 11 * module.scale, 3) and np.std(before) > 0.1
    np.testing.assert_allclose(after, before, rtol=0, atol=2e-5 * np.abs(before).max())
    again, same = fold_batch_norm(simple, arrays)
    assert again == simple and same["params"] is arrays["params"]


@pytest.mark.parametrize("name", NETWORKS)
def test_without_learned_arrays_the_result_is_the_nearest_neighbour(name):
    module, variables = folded(name)
    variables = jax.tree.map(np.zeros_like, variables)
    lr = np.random.default_rng(1).random((1, 4, 5, 3), np.float32)
    sr = (quick_jit(module.apply)(variables, lr) + 1) / 2
    np.testing.assert_allclose(sr, lr.repeat(module.scale, 1).repeat(module.scale, 2), atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_tiles_and_release(name, tmp_path):
    """A release of a network with branches is one without them; tiles equal the whole."""
    trained = write(tmp_path / "trained.safetensors", NETWORKS[name], variables_of(NETWORKS[name]))
    weights(["release", str(trained), "-o", str(tmp_path / "released.safetensors")])
    released = generators.load(tmp_path / "released.safetensors")
    assert released.architecture.get("branches", False) is False
    picture = np.random.default_rng(0).integers(0, 256, (37, 50, 3), np.uint8)
    whole = released.upscale(picture, tile=0)
    assert whole.std() > 5
    for generator in (released, generators.load(trained)):
        differences = np.abs(generator.upscale(picture, tile=16).astype(int) - whole)
        assert differences.max() <= 1 and np.count_nonzero(differences) <= 1e-3 * whole.size


@pytest.mark.parametrize("name", NETWORKS)
def test_exports(name, tmp_path, capsys):
    """ONNX Runtime and the PyTorch module of the docs give the network's pictures."""
    module, variables = folded(name)
    file = write(tmp_path / "model.safetensors", module, variables)
    lr = np.random.default_rng(1).random((2, 11, 8, 3), np.float32)
    ours = (np.asarray(quick_jit(module.apply)(variables, lr)) + 1) / 2
    if importlib.util.find_spec("onnxruntime"):
        weights(["export", str(file), "-o", str(tmp_path / "model.onnx")])
        assert "largest difference on 3 sizes" in capsys.readouterr().out
    torch = pytest.importorskip("torch")
    path = pathlib.Path(__file__).parents[1] / "docs" / "pytorch_generator.py"
    spec = importlib.util.spec_from_file_location("pytorch_generator", path)
    docs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(docs)
    with torch.no_grad():
        theirs = docs.Generator(file).eval()(torch.from_numpy(lr.transpose(0, 3, 1, 2).copy()))
    theirs = theirs.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=2e-5 * np.abs(ours).max())


# Learning from a teacher.


def test_affinity_is_the_cosine_between_pixels():
    features = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    pixels = features.reshape(2, 12, 5)
    norms = np.linalg.norm(pixels, axis=-1)
    cosines = np.einsum("nic,njc->nij", pixels, pixels) / norms[:, :, None] / norms[:, None]
    np.testing.assert_allclose(affinity(features), cosines, atol=1e-5)
    assert np.isfinite(jax.grad(lambda x: affinity(x).sum())(np.zeros_like(features))).all()


def test_teacher_terms_compare_with_the_teacher():
    rng = np.random.default_rng(0)
    sr, taught, hr = (rng.standard_normal((2, 8, 8, 3)).astype(np.float32) for _ in range(3))
    few, many = (rng.standard_normal((2, 4, 4, n)).astype(np.float32) for n in (3, 6))
    lr = np.zeros((2, 4, 4, 3), np.float32)
    context = Context(sr, hr, lr=lr, features=few, frozen={"teacher": lambda lr: {"sr": taught, "features": many}})
    np.testing.assert_allclose(teacher_l1(context), np.abs(sr - taught).mean(), rtol=1e-6)
    np.testing.assert_allclose(teacher_affinity(context), np.abs(affinity(few) - affinity(many)).mean(), rtol=1e-6)


def student_config(teacher, network="ecbsr", **changes):
    fields = {"scale": 2, "losses__mse": 0.0, "losses__l1": 1.0, "losses__teacher_l1": 1.0}
    config = make_tiny_config(**fields | changes, teacher=str(teacher))
    with config.unlocked():
        config.generator = {"network": network, "features": 4, "num_blocks": 1}
    return config


@pytest.fixture
def teacher(tmp_path):
    module = SRResNet(scale=2, features=5, num_blocks=1)
    return write(tmp_path / "teacher.safetensors", module, variables_of(module))


@pytest.mark.parametrize("network", ["ecbsr", pytest.param("mobile", marks=pytest.mark.slow)])
def test_a_student_learns_from_a_teacher(network, teacher, tmp_path):
    """The run has the student's parameters alone, goes on bit for bit, and the teacher does not change."""
    config = student_config(teacher, network, losses__teacher_affinity=0.1, save_every=2)
    stage = create_stage(config)
    state, step = quick_jit(stage.init)(jax.random.key(0)), quick_jit(stage.step)
    history = []
    for number in range(12):
        state, metrics = step(state, make_tiny_batch(config), stage.frozen, jax.random.key(number))
        history.append(float(metrics["g/loss"]))
    assert history[-1] < history[0]
    assert {"g/l1", "g/teacher_l1", "g/teacher_affinity"} <= set(metrics) and metrics["g/teacher_affinity"] > 0
    assert not any("teacher" in key for key in flatten_dict(state["g"].params, sep="/"))

    config.num_steps = 2
    loop.train(config, tmp_path / "resumed")
    for workdir in ("resumed", "whole"):
        config.num_steps = 4
        loop.train(config, tmp_path / workdir)
    states = [jax.tree.leaves(read_state(tmp_path / name, config)[1]) for name in ("resumed", "whole")]
    for resumed, whole in zip(*states, strict=True):
        np.testing.assert_array_equal(resumed, whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": ""}, r"losses\.teacher_l1 needs config\.teacher: a run directory, .* such as srresnet-x4"),
        ({"scale": 4}, r"config\.teacher: .*teacher\.safetensors has scale=2, but this config has 4"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(changes, message, teacher):
    with pytest.raises(InputError, match=message):
        create_stage(student_config(**{"teacher": teacher} | changes))


def test_a_teacher_without_features_is_refused(tmp_path):
    module = SRCNN(scale=2, features=4, mapping_features=2)
    path = write(tmp_path / "srcnn.safetensors", module, variables_of(module))
    config = student_config(path, losses__teacher_affinity=1.0)
    stage = create_stage(config)
    with pytest.raises(InputError, match=r"losses\.teacher_affinity: the teacher gives no features on LR's pixels"):
        jax.eval_shape(
            stage.step,
            jax.eval_shape(stage.init, jax.random.key(0)),
            make_tiny_batch(config),
            stage.frozen,
            jax.random.key(0),
        )


@pytest.mark.parametrize("network", NETWORKS)
def test_the_recipe_is_a_config_that_holds(network):
    config = fast.get_config(network)
    assert config.generator.network == network and config.teacher == "srresnet-x4"
    assert {name for name, weight in config.losses.items() if weight} == {"l1", "teacher_l1", "teacher_affinity"}
    create_stage(config)
    with pytest.raises(ValueError, match="no network 'vdsr'; choose from ecbsr, mobile"):
        fast.get_config("vdsr")
