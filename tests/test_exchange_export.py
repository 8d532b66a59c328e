"""Exports: the same pictures in PyTorch, ONNX Runtime and StableHLO, of any size, as the network gives."""

import functools
import importlib.util
import json
import pathlib

import jax
import numpy as np
import pytest
from flax import traverse_util
from tiny import quick_jit

from srgan_jax import generators
from srgan_jax.commands.weights import run as main
from srgan_jax.errors import InputError
from srgan_jax.exchange import layouts, onnx
from srgan_jax.exchange.onnx import OPSET
from srgan_jax.models import MSRResNet, SRResNet, architecture_of, create_generator, expected_variables
from srgan_jax.weights.release import write_release

TINY = {"features": 4, "num_blocks": 1}
NETWORKS = {
    "paper's": SRResNet(**TINY),
    "x2, nearest, shared": SRResNet(scale=2, global_skip="nearest", prelu="shared", **TINY),
    "bicubic, grey": SRResNet(global_skip="bicubic", channels=1, **TINY),
    "leftthomas'": SRResNet(output_activation="tanh", trunk_prelu=True, prelu="shared", **TINY),
    "unit, bicubic": SRResNet(scale=2, output_range="unit", global_skip="bicubic", **TINY),
    "folded, x1": SRResNet(scale=1, batch_norm=False, **TINY),
    "BasicSR's": MSRResNet(**TINY),
    "mmagic's x3": MSRResNet(scale=3, upsample_activation=False, channels=4, **TINY),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A release file of each network, every array of it random."""
    folder, files = tmp_path_factory.mktemp("models"), {}
    for i, (name, module) in enumerate(NETWORKS.items()):
        rng = np.random.default_rng(i)

        def draw(path, array, rng=rng):
            noise = rng.standard_normal(array.shape).astype(np.float32)
            if path[-1].key == "kernel":
                return noise * np.float32(1.5 / np.prod(array.shape[:3])) ** 0.5
            return (
                np.exp(0.3 * noise)
                if path[-1].key == "var"
                else {"scale": 1, "slope": 0.25}.get(path[-1].key, 0) + 0.1 * noise
            )

        files[name] = folder / f"{i}.safetensors"
        variables = jax.tree_util.tree_map_with_path(draw, expected_variables(module))
        write_release(files[name], architecture_of(module), variables)
    return files


@pytest.fixture(scope="module")
def pictures(files):
    """pictures(name) -> (LR, the network's SR), both in [0, 1]."""

    @functools.cache
    def pictures(name):
        generator = generators.load(files[name])
        lr = np.random.default_rng(1).random((2, 11, 6, generator.module.channels), np.float32)
        return lr, np.asarray(quick_jit(generator.module.apply)(generator.variables, lr) + 1) / 2

    return pictures


def assert_close(images, expected):
    assert expected.std() > 0.05
    np.testing.assert_allclose(images, expected, rtol=0, atol=1e-5 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_in_onnxruntime(files, pictures, name, tmp_path, capsys):
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    main(["export", str(files[name]), "-o", str(path)])
    assert "ONNX opset 17, NCHW; largest difference on 3 sizes" in capsys.readouterr().out
    generator = generators.load(files[name])
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    lr, sr = pictures(name)
    (theirs,) = session.run(["sr"], {"lr": lr.transpose(0, 3, 1, 2)})
    assert_close(theirs.transpose(0, 2, 3, 1), sr)

    model, module = onnx.load(path), generator.module
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert (about["scale"], about["channels"]) == (str(module.scale), str(module.channels))
    assert create_generator(json.loads(about["architecture"])) == module
    assert [i.version for i in model.opset_import] == [OPSET] and model.producer_name == "srgan_jax"
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    # How chaiNNer finds the scale: shapes inferred from an input of a given size.
    for dim, size in zip(model.graph.input[0].type.tensor_type.shape.dim, (1, module.channels, 16, 8), strict=True):
        dim.dim_value = size
    inferred = onnx.shape_inference.infer_shapes(model).graph.output[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in inferred] == [1, module.channels, 16 * module.scale, 8 * module.scale]


@pytest.mark.parametrize("name", ["paper's", "unit, bicubic", "mmagic's x3"])
def test_stablehlo(files, pictures, name, tmp_path, capsys):
    pytest.importorskip("flatbuffers")
    path = tmp_path / "model.stablehlo"
    main(["export", str(files[name]), "-o", str(path)])
    assert "StableHLO, NHWC; largest difference on 3 sizes" in capsys.readouterr().out
    exported = jax.export.deserialize(bytearray(path.read_bytes()))
    assert set(exported.platforms) == {"cpu", "cuda", "tpu"}
    lr, sr = pictures(name)
    assert_close(exported.call(lr), sr)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_pytorch_module_of_the_docs(files, pictures, name):
    torch = pytest.importorskip("torch")
    path = pathlib.Path(__file__).parents[1] / "docs" / "pytorch_generator.py"
    spec = importlib.util.spec_from_file_location("pytorch_generator", path)
    docs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(docs)
    lr, sr = pictures(name)
    with torch.no_grad():
        theirs = docs.Generator(files[name]).eval()(torch.from_numpy(lr.transpose(0, 3, 1, 2).copy()))
    assert_close(theirs.numpy().transpose(0, 2, 3, 1), sr)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize(
    ("name", "layout"), [("BasicSR's", "basicsr"), ("BasicSR's", "kair"), ("mmagic's x3", "mmagic")]
)
def test_state_dicts_come_back_exactly(files, name, layout, suffix, tmp_path, capsys):
    if suffix != ".safetensors":
        torch = pytest.importorskip("torch")
    path = tmp_path / f"theirs{suffix}"
    main(["export", str(files[name]), "-o", str(path), "--layout", layout])
    assert layouts.LAYOUTS[layout].about in capsys.readouterr().out
    if suffix != ".safetensors":
        keys = {"basicsr": {"params"}, "mmagic": {"state_dict"}}.get(layout)
        assert keys is None or torch.load(path, weights_only=True).keys() == keys
    main(["import", str(path), "-o", str(tmp_path / "again.safetensors")])
    again, first = generators.load(tmp_path / "again.safetensors"), generators.load(files[name])
    assert again.module == first.module and again.sha256() == first.sha256()


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (["model.npz"], "expected a file that ends in .onnx, .stablehlo, .pth"),
        (["model.pth"], r"no layout .* holds this network; write \.onnx or \.stablehlo, or run .*pytorch_gen"),
        (["model.onnx", "--layout", "kair"], "model.onnx: only a state dict takes a layout"),
        (["model.pth", "--layout", "kair"], "the layout 'kair' .* always has network='msrresnet', but"),
        (["model.pth", "--layout", "keir"], "no layout 'keir'; did you mean 'kair'"),
    ],
)
def test_exports_that_cannot_be_are_refused(files, out, message, tmp_path):
    with pytest.raises(InputError, match=message):
        main(["export", str(files["paper's"]), "-o", str(tmp_path / out[0]), *out[1:]])
    assert list(tmp_path.iterdir()) == []


def test_a_state_dict_without_a_layout_is_told_which_fit(files, tmp_path):
    with pytest.raises(InputError, match="a state dict needs a layout; this network fits basicsr, kair"):
        main(["export", str(files["BasicSR's"]), "-o", str(tmp_path / "model.pth")])


def test_an_export_that_differs_is_not_kept(files, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    fold = onnx.fold_batch_norm

    def broken(module, variables):
        module, folded = fold(module, variables)
        flat = traverse_util.flatten_dict(folded)
        flat["params", "trunk", "bias"] = flat["params", "trunk", "bias"] + 0.01
        return module, traverse_util.unflatten_dict(flat)

    monkeypatch.setattr(onnx, "fold_batch_norm", broken)
    with pytest.raises(RuntimeError, match="gives other pictures than the network"):
        main(["export", str(files["paper's"]), "-o", str(tmp_path / "model.onnx")])
    assert list(tmp_path.iterdir()) == []
