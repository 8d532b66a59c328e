"""The baselines elsewhere: in PyTorch, in ONNX Runtime, and under the names of other projects."""

import importlib.util
import pathlib

import jax
import numpy as np
import pytest
from baselines_small import LUMA, NETWORKS, variables_of, write
from flax import traverse_util
from tiny import quick_jit

from srgan_jax import generators
from srgan_jax.commands.weights import run as main
from srgan_jax.errors import InputError
from srgan_jax.exchange import layouts
from srgan_jax.models import EDSR, SRCNN, VDSR, architecture_of
from srgan_jax.weights.arrays import read_arrays, write_safetensors

GREY = {f"{name}, grey": NETWORKS[name].clone(channels=1) for name in ("espcn", "vdsr")}
EVERY = NETWORKS | GREY | {"large edsr": EDSR(scale=3, features=6, num_blocks=1, residual_scale=0.1)}


def pictures(module):
    """(LR, the network's SR), both in [0, 1]."""
    lr = np.random.default_rng(1).random((2, 11, 8, module.channels), np.float32)
    return lr, (np.asarray(quick_jit(module.apply)(variables_of(module), lr)) + 1) / 2


def assert_close(ours, theirs):
    assert theirs.std() > 0.05
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5 * max(1, np.abs(theirs).max()))


@pytest.mark.parametrize("name", EVERY)
def test_pytorchs_pictures(name):
    """Statements of the papers in PyTorch, which have the colour by way of all three channels of YCbCr."""
    pytest.importorskip("torch")
    import torch_baselines

    from benchmarks.torch_reference import nchw, nhwc, tensor

    module = EVERY[name]
    fields = {k: v for k, v in architecture_of(module).items() if k not in ("network", "channels")}
    twin = getattr(torch_baselines, type(module).__name__)(**fields)
    state = {}
    for key, array in traverse_util.flatten_dict(variables_of(module)["params"], sep=".").items():
        layer, leaf = key.rsplit(".", 1)
        if "upsample" in layer:  # (subpixel, feature) here, (feature, subpixel) in PyTorch
            array = array.reshape(*array.shape[:-1], -1, fields["features"]).swapaxes(-1, -2).reshape(array.shape)
        axes = (3, 2, 0, 1) if leaf == "kernel" else None
        state[f"{layer}.{'weight' if leaf == 'kernel' else leaf}"] = tensor(array, axes)
    twin.load_state_dict(state)  # strictly
    lr, ours = pictures(module)
    assert_close(ours, nhwc(twin(nchw(lr))))


@pytest.mark.parametrize("name", EVERY)
def test_onnx(name, tmp_path, capsys):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    module = EVERY[name]
    file, path = write(tmp_path / "model.safetensors", module), tmp_path / "model.onnx"
    main(["export", str(file), "-o", str(path)])
    assert "ONNX opset 17, NCHW; largest difference on 3 sizes" in capsys.readouterr().out
    lr, ours = pictures(module)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (theirs,) = session.run(["sr"], {"lr": lr.transpose(0, 3, 1, 2)})
    assert_close(ours, theirs.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("name", EVERY)
def test_the_pytorch_module_of_the_docs(name, tmp_path):
    torch = pytest.importorskip("torch")
    path = pathlib.Path(__file__).parents[1] / "docs" / "pytorch_generator.py"
    spec = importlib.util.spec_from_file_location("pytorch_generator", path)
    docs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(docs)
    module = EVERY[name]
    lr, ours = pictures(module)
    with torch.no_grad():
        generator = docs.Generator(write(tmp_path / "model.safetensors", module)).eval()
        theirs = generator(torch.from_numpy(lr.transpose(0, 3, 1, 2).copy()))
    assert_close(ours, theirs.numpy().transpose(0, 2, 3, 1))


def test_stablehlo_with_bicubic_enlargement(tmp_path, capsys):
    """Of a symbolic size, which the enlargement has to be made for."""
    pytest.importorskip("flatbuffers")
    path = tmp_path / "model.stablehlo"
    main(["export", str(write(tmp_path / "model.safetensors", NETWORKS["srcnn"])), "-o", str(path)])
    assert "StableHLO, NHWC; largest difference on 3 sizes" in capsys.readouterr().out


BARE = VDSR(scale=2, features=6, num_layers=4, use_bias=False)
LAYOUTS = {
    "edsr": (NETWORKS["edsr"], {"head.0.weight": (6, 3, 3, 3), "body.1.body.2.bias": (6,), "tail.0.2.weight": (24, 6)}),
    "basicsr-edsr": (
        NETWORKS["edsr"],
        {"conv_first.bias": (6,), "body.1.conv2.weight": (6, 6), "upsample.2.bias": (24,)},
    ),
    "vdsr": (
        BARE,
        {"input.weight": (6, 1, 3, 3), "residual_layer.1.conv.weight": (6, 6, 3, 3), "output.weight": (1, 6)},
    ),
    "espcn": (NETWORKS["espcn"], {"first_part.2.weight": (4, 6, 3, 3), "last_part.0.weight": (9, 4, 3, 3)}),
    "srcnn": (NETWORKS["srcnn"], {"conv1.weight": (6, 1, 9, 9), "conv2.weight": (4, 6, 5, 5), "conv3.bias": (1,)}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_other_projects(layout, tmp_path, capsys):
    """Written, read again by the command, and the same network; with the names and shapes that the projects have."""
    module, shapes = LAYOUTS[layout]
    state = layouts.to_state_dict(module, variables_of(module), layout)
    for key, shape in shapes.items():
        assert state[key].shape[: len(shape)] == shape
    write_safetensors(tmp_path / "theirs.safetensors", state, {"format": "pt"})
    scale = ["--scale", str(module.scale)] if layout in ("srcnn", "vdsr") else []
    main(["import", str(tmp_path / "theirs.safetensors"), "-o", str(tmp_path / "ours.safetensors"), *scale])
    assert f"x{module.scale}, " in capsys.readouterr().out
    again = generators.load(tmp_path / "ours.safetensors")
    assert again.module == module and again.info["source"]["layout"] == layout
    jax.tree.map(np.testing.assert_array_equal, again.variables, variables_of(module))


def test_edsr_in_the_projects_own_range():
    """EDSR-PyTorch runs 255 · x through sub_mean, which its files hold, and the result through add_mean."""
    torch = pytest.importorskip("torch")
    from benchmarks.torch_reference import nchw, nhwc

    module = NETWORKS["edsr"]
    state = {k: torch.from_numpy(v) for k, v in layouts.to_state_dict(module, variables_of(module), "edsr").items()}

    def conv(name, x):
        weight = state[f"{name}.weight"]
        return torch.nn.functional.conv2d(x, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2)

    lr, ours = pictures(module)
    head = x = conv("head.0", conv("sub_mean", 255 * nchw(lr)))
    for i in range(2):
        x = x + conv(f"body.{i}.body.2", torch.relu(conv(f"body.{i}.body.0", x)))
    x = head + conv("body.2", x)
    for i in (0, 2):
        x = torch.nn.functional.pixel_shuffle(conv(f"tail.0.{i}", x), 2)
    assert_close(ours, nhwc(conv("add_mean", conv("tail.1", x))) / 255)


def state_of(layout):
    module, _ = LAYOUTS[layout]
    return layouts.to_state_dict(module, variables_of(module), layout)


@pytest.mark.parametrize(
    ("layout", "change", "scale", "message"),
    [
        ("edsr", {"sub_mean.bias": np.zeros(3, np.float32)}, None, "'sub_mean.bias' is .* but sanghyun-son"),
        ("edsr", {}, 2, "enlarges 4 times, but the scale 2 was given"),
        ("espcn", {}, 4, "enlarges 3 times, but the scale 4 was given"),
        ("srcnn", {}, 5, "scale must be one of 2, 3, 4, 8, got 5"),
        ("srcnn", {"conv1.weight": np.zeros((6, 3, 9, 9), np.float32)}, None, "conv1.weight should be .6, 1, 9, 9"),
        ("vdsr", {"input.bias": np.zeros(6, np.float32)}, None, "'input.bias' belongs to no twtygqyy/pytorch-vdsr"),
    ],
)
def test_other_arrays_are_refused(layout, change, scale, message):
    with pytest.raises(InputError, match=message):
        layouts.from_state_dict(state_of(layout) | change, scale=scale)


def test_the_large_edsr_is_told_by_its_features():
    module = EDSR(scale=2, features=256, num_blocks=1, residual_scale=0.1)
    state = layouts.to_state_dict(module, variables_of(module), "basicsr-edsr")
    assert layouts.from_state_dict(state)[1] == module


def test_what_a_layout_cannot_hold_is_refused(tmp_path):
    with pytest.raises(InputError, match="always has use_bias=False, but this network has True"):
        layouts.to_state_dict(NETWORKS["vdsr"], variables_of(NETWORKS["vdsr"]), "vdsr")
    scaled = NETWORKS["edsr"].clone(residual_scale=0.1)  # of which a state dict says nothing
    with pytest.raises(InputError, match=r"would be read as one of residual_scale=1.0, but it has 0.1"):
        layouts.to_state_dict(scaled, variables_of(scaled), "edsr")
    path = tmp_path / "x.safetensors"
    main(["export", str(write(tmp_path / "m.safetensors", SRCNN())), "-o", str(path), "--layout", "srcnn"])
    assert sorted(read_arrays(path)) == [f"conv{i}.{leaf}" for i in (1, 2, 3) for leaf in ("bias", "weight")]


def test_every_luma_network_but_drcn_has_a_layout():
    assert [name for name in LUMA if name not in layouts.LAYOUTS] == ["drcn"]
