"""Generators of other projects: the same pictures as PyTorch makes, and back to the same arrays."""

import jax
import numpy as np
import pytest
from tiny import quick_jit

import srgan_jax
from srgan_jax.commands.weights import run as main
from srgan_jax.errors import InputError
from srgan_jax.exchange import layouts
from srgan_jax.images import decode_image, signed_to_integers
from srgan_jax.models import MSRResNet, SRResNet

torch = pytest.importorskip("torch")

import torch_layouts  # noqa: E402 (needs torch)

from benchmarks.torch_reference import nchw, nhwc  # noqa: E402

CASES = [(layout, 4, 3) for layout in torch_layouts.LAYOUTS]  # test_baselines_exchange.py has the others
CASES += [("leftthomas", 2, 3), ("lornatang", 8, 1), ("basicsr", 3, 1), ("kair", 2, 3), ("mmagic", 3, 3)]

NORM_BIASES = [(f"block{i}.conv{j}.bias", f"block{i}.bn{j}.running_mean") for i in range(2, 7) for j in (1, 2)]
NORM_BIASES += [("block7.0.bias", "block7.1.running_mean")]


def arrays_of(network):
    return {key: tensor.numpy().copy() for key, tensor in network.state_dict().items()}


def without_counts(state):
    return {key: array for key, array in state.items() if not key.endswith("num_batches_tracked")}


@pytest.mark.parametrize(("layout", "scale", "channels"), CASES)
def test_imported_networks_give_pytorchs_pictures_and_export_exactly(layout, scale, channels):
    network = torch_layouts.create(layout, scale=scale, channels=channels)
    state = arrays_of(network)
    found, module, variables = layouts.from_state_dict(state)
    assert (found, module.scale, module.channels) == (layout, scale, channels)

    lr = np.random.default_rng(1).random((2, 9, 7, channels), np.float32)
    with torch.no_grad():
        theirs = nhwc(network(nchw(lr)))
    ours = np.asarray(quick_jit(module.apply)(variables, lr) + 1) / 2
    ours = ours.clip(0, 1) if layout == "lornatang" else ours  # ours is not clipped
    assert np.mean((theirs > 0) & (theirs < 1)) > 0.02 and theirs.std() > 0.1
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * max(1, np.abs(theirs).max()))

    exported = layouts.to_state_dict(module, variables, layout)
    for bias, mean in NORM_BIASES if layout.startswith("leftthomas") else []:
        if mean in state:  # the bias is in the mean now
            state[mean] = np.float32(np.float64(state[mean]) - state[bias])
            state[bias] = np.zeros_like(state[bias])
    same(exported, without_counts(state))
    again = layouts.from_state_dict(exported)
    assert again[:2] == (layout, module)
    jax.tree.map(np.testing.assert_array_equal, again[2], variables)

    network.load_state_dict({key: torch.from_numpy(array) for key, array in exported.items()})  # strictly
    with torch.no_grad():
        np.testing.assert_allclose(nhwc(network(nchw(lr))), theirs, atol=1e-5)


def same(arrays, expected):
    assert arrays.keys() == expected.keys()
    for key, array in arrays.items():
        assert array.dtype == expected[key].dtype
        np.testing.assert_array_equal(array, expected[key], err_msg=key)


WRAPPED = {
    "bare": lambda state: state,
    "params": lambda state: {"params": state},
    "averaged before not": lambda state: {"params": {"no": torch.zeros(1)}, "params_ema": state},
    "trainer": lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"lr": 1e-4}},
    "compiled": lambda state: {"state_dict": {f"_orig_mod.{key}": tensor for key, tensor in state.items()}},
    "both networks": lambda state: {
        "meta": {"iter": 5},
        "state_dict": {f"generator.{key}": tensor for key, tensor in state.items()}
        | {"discriminator.conv.weight": torch.zeros(1), "step_counter": torch.tensor(5)},
    },
    "parallel": lambda state: {f"module.{key}": tensor for key, tensor in state.items()},
}


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_files_of_training_programs(wrapped, tmp_path):
    network = torch_layouts.create("lornatang")
    torch.save(WRAPPED[wrapped](network.state_dict()), tmp_path / "theirs.pth")
    main(["import", str(tmp_path / "theirs.pth"), "-o", str(tmp_path / "model.safetensors")])
    generator = srgan_jax.load(tmp_path / "model.safetensors")
    assert generator.info == {"source": {"file": "theirs.pth", "layout": "lornatang"}}
    jax.tree.map(np.testing.assert_array_equal, generator.variables, layouts.from_state_dict(arrays_of(network))[2])


def without(key):
    return lambda state: {k: array for k, array in state.items() if k != key}


def replaced(key, shape):
    return lambda state: state | {key: np.zeros(shape, np.float32)}


@pytest.mark.parametrize(
    ("layout", "change", "message"),
    [
        ("basicsr", without("conv_hr.bias"), "'conv_hr.bias' is missing"),
        ("basicsr", without("conv_first.weight"), r"conv_first.weight should have 4 dimensions, but is \(0,\)"),
        ("basicsr", replaced("conv_last.weight", (3, 6, 9, 9)), r"conv_last.weight should be \(3, 6, 3, 3\), but is"),
        ("basicsr", replaced("conv_mid.weight", (3,)), "'conv_mid.weight' belongs to no BasicSR's MSRResNet"),
        ("basicsr", without("body.0.conv1.weight"), "num_blocks|belongs to no"),
        ("kair", without("upconv1.weight"), "scale must be one of 2, 3, 4, got 1"),
        ("lornatang", without("trunk.1.rcb.4.running_var"), "'trunk.1.rcb.4.running_var' is missing"),
        ("lornatang", replaced("conv1.1.weight", (6,)), r"conv1.1.weight should be \(1,\), but is \(6,\)"),
        ("leftthomas", without("block3.conv2.bias"), "'block3.conv2.bias' is missing"),
        ("leftthomas", replaced("block3.conv2.bias", (2,)), r"block3.conv2.bias should be \(6,\), but is \(2,\)"),
        ("leftthomas-published", without("block7.1.weight"), "not the state dict of a known generator"),
        ("mmagic", lambda state: {"a.weight": np.zeros(1)}, "known are leftthomas, .*mmagic"),
        ("mmagic", lambda state: {}, "it holds nothing"),
    ],
)
def test_other_arrays_are_refused(layout, change, message):
    state = change(without_counts(arrays_of(torch_layouts.create(layout))))
    with pytest.raises(InputError, match=message):
        layouts.from_state_dict(state)


@pytest.mark.parametrize(
    ("module", "layout", "message"),
    [
        (SRResNet(), "lornatang", "always has prelu='shared', but this network has 'channel'"),
        (SRResNet(prelu="shared"), "lornatang", "output_range='unit', but this network has 'signed'"),
        (SRResNet(prelu="shared"), "leftthomas", "output_activation='tanh', but"),
        (SRResNet(prelu="shared", global_skip="nearest"), "leftthomas", "global_skip='none', but"),
        (SRResNet(prelu="shared", batch_norm=False), "leftthomas", "batch_norm=True, but"),
        (SRResNet(), "basicsr", "network='msrresnet', but this network has 'srresnet'"),
        (MSRResNet(), "mmagic", "upsample_activation=False, but this network has True"),
        (MSRResNet(), "basicrs", "did you mean 'basicsr'"),
    ],
)
def test_what_a_layout_cannot_hold_is_refused(module, layout, message):
    with pytest.raises(InputError, match=message):
        layouts.to_state_dict(module, {}, layout)


def test_the_published_leftthomas_weights(shared, tmp_path):
    out = tmp_path / "model.safetensors"
    main(["import", str(shared / "weights" / "leftthomas_srgan_x4.pth"), "-o", str(out)])
    generator = srgan_jax.load(out)
    folder = shared / "data" / "eval" / "Set14"
    lr, hr = (decode_image(next((folder / name).glob("*011*"))) for name in ("LRx4", "HR"))
    sr = jax.jit(generator.module.apply)(generator.variables, lr[None] / np.float32(255))[0]

    def psnr(levels):
        return 10 * np.log10(255**2 / np.mean((np.asarray(levels, np.float64) - hr) ** 2))

    assert psnr(127.5 * (np.asarray(sr, np.float64) + 1)) == pytest.approx(29.5944, abs=1e-4)
    assert psnr(signed_to_integers(sr)) == pytest.approx(29.590, abs=5e-4)
