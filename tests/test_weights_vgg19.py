"""VGG19's weights: both families from every format, the same activations as PyTorch's, others refused."""

import hashlib
import http.server
import subprocess
import sys
import threading
import zlib

import jax
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from tiny import quick_jit

from srgan_jax.commands.weights import run as main
from srgan_jax.errors import InputError
from srgan_jax.models import VGG19
from srgan_jax.models.vgg import BLOCKS, conv_names
from srgan_jax.models.vgg import LAYERS as ALL_LAYERS
from srgan_jax.weights import vgg19
from srgan_jax.weights.download import fetch
from srgan_jax.weights.vgg19 import load_vgg19

LAYERS = ("vgg22",)
SIZES = {"conv1_1": (3, 64), "conv1_2": (64, 64), "conv2_1": (64, 128), "conv2_2": (128, 128)}
POSITIONS = {"conv1_1": 0, "conv1_2": 2, "conv2_1": 5, "conv2_2": 7}  # torchvision's `features`


@pytest.fixture(scope="module")
def params():
    rng = np.random.default_rng(0)
    return {
        name: {"kernel": rng.normal(size=(3, 3, *size)).astype(np.float32), "bias": rng.random(size[1], np.float32)}
        for name, size in SIZES.items()
    }


def keras(params):
    arrays = {f"block{k[4]}_conv{k[6]}/{leaf}": array for k, layer in params.items() for leaf, array in layer.items()}
    return {"block3_conv4/kernel": np.zeros(1, np.float32)} | arrays  # what tells VGG19 from VGG16


def torchvision(params):
    arrays = {}
    for name, layer in params.items():
        arrays[f"features.{POSITIONS[name]}.weight"] = np.ascontiguousarray(layer["kernel"].transpose(3, 2, 0, 1))
        arrays[f"features.{POSITIONS[name]}.bias"] = layer["bias"]
    return arrays


def write_h5(path, arrays, name):
    """`name(layer, leaf)` as Keras of one time called a layer's arrays; other layers hold nothing, or are dense."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file[name(*key.split("/"))] = array
        file.create_group("block1_pool")
        file["fc1/fc1_W_1:0"] = np.zeros((2, 2), np.float32)


def write_pth(path, arrays):
    torch = pytest.importorskip("torch")
    torch.save({key: torch.from_numpy(array) for key, array in arrays.items()}, path)


FORMATS = {
    "npz": lambda path, arrays: np.savez(path, **arrays),
    "safetensors": lambda path, arrays: save_file(arrays, path),
    "pth": write_pth,
    "published.h5": lambda path, arrays: write_h5(
        path, arrays, lambda layer, leaf: f"{layer}/{layer}_{'W' if leaf == 'kernel' else 'b'}_1:0"
    ),
    "later.h5": lambda path, arrays: write_h5(path, arrays, lambda layer, leaf: f"{layer}/{layer}/{leaf}:0"),
    "model.h5": lambda path, arrays: write_h5(
        path, arrays, lambda layer, leaf: f"model_weights/{layer}/{layer}/{leaf}:0"
    ),
}


def write(path, arrays, kind=None):
    FORMATS[kind or path.suffix[1:]](path, arrays)
    return path


@pytest.mark.parametrize(
    ("family", "preprocessing", "kind"),
    [(keras, "caffe", kind) for kind in ("npz", "safetensors", "published.h5", "later.h5", "model.h5")]
    + [(torchvision, "torchvision", kind) for kind in ("npz", "safetensors", "pth")],
)
def test_both_families_from_every_format(params, family, preprocessing, kind, tmp_path):
    read, found = load_vgg19(write(tmp_path / f"vgg.{kind}", family(params), kind), LAYERS)
    assert found == preprocessing
    jax.tree.map(np.testing.assert_array_equal, read, params)


@pytest.fixture(scope="module")
def whole():
    """Random weights of all 16 convolutions, such that activations keep their size."""
    rng, fan_in, whole = np.random.default_rng(0), 3, {}
    for name in conv_names(["vgg54"]):
        features = BLOCKS[int(name[4]) - 1][1]
        kernel = rng.standard_normal((3, 3, fan_in, features), np.float32) * np.float32(np.sqrt(2 / 9 / fan_in))
        whole[name] = {"kernel": kernel, "bias": 0.1 * rng.standard_normal(features, np.float32)}
        fan_in = features
    return whole


PROVEN = ("vgg12", "vgg22", "vgg34", "vgg44", "vgg54")


@pytest.mark.parametrize("family", ["keras", "torchvision"])
def test_converted_weights_give_pytorchs_activations(whole, family, tmp_path):
    torch = pytest.importorskip("torch")
    from benchmarks import torch_reference as reference

    image = np.random.default_rng(1).uniform(-1, 1, (1, 32, 36, 3)).astype(np.float32)
    out = tmp_path / "vgg19.safetensors"
    if family == "keras":
        source = tmp_path / "vgg.published.h5"
        write(source, keras(whole), "published.h5")
        theirs = reference.vgg19_features(whole, reference.nchw(image), preprocessing="caffe")
        theirs = {layer: reference.nhwc(theirs[ALL_LAYERS[layer]]) / 12.75 for layer in PROVEN}
    else:
        source = tmp_path / "vgg19-dcbb9e9d.pth"
        network = torchvision_network(torch, whole)
        torch.save({f"features.{key}": tensor for key, tensor in network.state_dict().items()}, source)
        x, theirs = (reference.nchw(image) + 1) / 2, {}
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        x = (x - mean[:, None, None]) / std[:, None, None]
        for position, layer in enumerate(network):
            x = layer(x)
            if position in (3, 8, 17, 26, 35):  # the ReLUs behind 1_2, 2_2, 3_4, 4_4, 5_4
                theirs[PROVEN[len(theirs)]] = reference.nhwc(x)
    main(["vgg19", str(source), "-o", str(out)])
    params, preprocessing = load_vgg19(out, PROVEN)
    ours = quick_jit(VGG19(layers=PROVEN, preprocessing=preprocessing).apply)({"params": params}, image)
    for layer in PROVEN:
        assert theirs[layer].std() > 1e-3
        np.testing.assert_allclose(ours[layer], theirs[layer], rtol=0, atol=1e-4 * np.abs(theirs[layer]).max())


def torchvision_network(torch, whole):
    """VGG19's `features` as torchvision builds them, with these weights."""
    layers = []
    for name, layer in whole.items():
        if name.endswith("_1") and layers:
            layers.append(torch.nn.MaxPool2d(2))
        kernel = torch.from_numpy(layer["kernel"].transpose(3, 2, 0, 1).copy())
        convolution = torch.nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1)
        convolution.weight.data, convolution.bias.data = kernel, torch.from_numpy(layer["bias"])
        layers += [convolution, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers)


def test_a_converted_file_records_where_it_is_from_and_what_it_wants(whole, tmp_path):
    write(tmp_path / "theirs.npz", keras(whole))
    out = tmp_path / "vgg19.safetensors"
    main(["vgg19", str(tmp_path / "theirs.npz"), "-o", str(out)])
    header = safe_open(out, framework="np").metadata()
    assert header["preprocessing"] == "caffe" and header["source"] == "Keras: theirs.npz"
    assert header["source_sha256"] == hashlib.sha256((tmp_path / "theirs.npz").read_bytes()).hexdigest()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["theirs.npz", "vgg19.safetensors"]

    save_file(load_file(out), tmp_path / "bare.safetensors")
    with pytest.raises(InputError, match="its header records no preprocessing that is known"):
        load_vgg19(tmp_path / "bare.safetensors", LAYERS)
    with pytest.raises(InputError, match=r"ends in \.safetensors"):
        vgg19.convert_vgg19(out, tmp_path / "vgg19.npz")
    del (arrays := load_file(out))["conv5_4/bias"]
    save_file(arrays, tmp_path / "cut.safetensors", metadata=header)
    with pytest.raises(InputError, match="'conv5_4/bias' is missing"):
        vgg19.convert_vgg19(tmp_path / "cut.safetensors", out)


def test_positions_in_torchvisions_file():
    from srgan_jax.weights.vgg19 import _TORCHVISION

    assert list(_TORCHVISION.values()) == [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]


def test_half_precision_is_read_as_float32(params, tmp_path):
    half = {key: array.astype(np.float16) for key, array in keras(params).items()}
    read, _ = load_vgg19(write(tmp_path / "vgg.npz", half), LAYERS)
    assert {array.dtype for array in jax.tree.leaves(read)} == {np.dtype("float32")}


def without(*keys):
    return lambda arrays: {key: array for key, array in arrays.items() if key not in keys}


def replaced(key, shape):
    return lambda arrays: arrays | {key: np.zeros(shape, np.float32)}


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        (keras, without("block3_conv4/kernel"), "looks like VGG16"),
        (keras, without("block2_conv1/bias"), "'block2_conv1/bias' is missing"),
        (torchvision, without("features.7.weight"), "'features.7.weight' is missing"),
        (keras, replaced("block1_conv2/kernel", (3, 3, 64, 32)), r"conv1_2 should be .*but is \(3, 3, 64, 32\)"),
        (keras, replaced("block1_conv1/bias", (3,)), r"conv1_1 should be .*\(3,\)"),
        (torchvision, replaced("features.2.weight", (3, 3, 64, 64)), r"conv1_2 should be"),  # HWIO
        (torchvision, replaced("features.5.weight", (64,)), r"conv2_1 should be .*\(64,\)"),
        (torchvision, lambda a: a | {"features.17.weight": np.zeros(1)}, "17.weight belongs to VGG16"),
        (torchvision, lambda a: a | {"features.1.running_mean": np.zeros(1)}, "a VGG with BatchNorm"),
        (keras, lambda arrays: {"a": np.zeros(1), "b": np.zeros(1)}, "not a VGG19 file: it holds a, b .*Keras"),
        (keras, lambda arrays: {}, "not a VGG19 file"),
    ],
)
def test_other_arrays_are_refused(params, family, change, message, tmp_path):
    path = write(tmp_path / "vgg.npz", change(family(params)))
    with pytest.raises(InputError, match=message):
        load_vgg19(path, LAYERS)


def test_missing_files_say_where_the_weights_come_from(tmp_path):
    for path in ("", tmp_path / "vgg.npz", tmp_path):
        with pytest.raises(InputError, match=r"published by Keras and by torchvision.*docs/weights\.md"):
            load_vgg19(path, LAYERS)
    (tmp_path / "vgg.txt").write_bytes(b"")
    with pytest.raises(InputError, match=r"expected a file that ends in \.safetensors, \.npz, \.pth"):
        load_vgg19(tmp_path / "vgg.txt", LAYERS)


def test_the_published_arrays_in_another_order_are_refused(params, monkeypatch, tmp_path):
    published = {}
    for name, layer in params.items():
        for leaf, array in layer.items():
            published[zlib.crc32(np.sort(array, axis=None))] = f"{name}/{leaf}", zlib.crc32(array)
    monkeypatch.setattr(vgg19, "_PUBLISHED", published)
    arrays = keras(params)
    load_vgg19(write(tmp_path / "vgg.npz", arrays), LAYERS)
    for change, named in (
        ({"block1_conv1/kernel": arrays["block1_conv1/kernel"][:, :, ::-1]}, "conv1_1/kernel"),  # RGB for BGR
        ({"block1_conv2/kernel": arrays["block1_conv2/kernel"].swapaxes(2, 3)}, "conv1_2/kernel"),
        ({"block1_conv2/bias": arrays["block1_conv1/bias"]}, "conv1_2/bias holds the published conv1_1/bias"),
    ):
        with pytest.raises(InputError, match=f"{named}.* in another order"):
            load_vgg19(write(tmp_path / "vgg.npz", arrays | change), LAYERS)


def test_the_published_caffe_weights_are_known(shared, tmp_path):
    script = shared / "weights" / "expand_vgg19.py"
    subprocess.run([sys.executable, script, tmp_path / "vgg19.npz"], check=True, capture_output=True)
    arrays = dict(np.load(tmp_path / "vgg19.npz"))
    main(["vgg19", str(tmp_path / "vgg19.npz"), "-o", str(tmp_path / "vgg19.safetensors")])
    expected, _ = load_vgg19(tmp_path / "vgg19.npz", ("vgg54",))
    jax.tree.map(np.testing.assert_array_equal, load_vgg19(tmp_path / "vgg19.safetensors", ("vgg54",))[0], expected)
    for name, (known, _) in zip(
        ("block3_conv2/bias", "block5_conv4/bias", "block1_conv1/kernel"),
        (vgg19._PUBLISHED[code] for code in (0x64897BCE, 0x83CD0972, 0xF8892A49)),
        strict=True,
    ):
        assert known == name.replace("block", "conv").replace("_conv", "_")
        with pytest.raises(InputError, match="in another order"):
            load_vgg19(write(tmp_path / "permuted.npz", arrays | {name: arrays[name][::-1]}), ("vgg54",))


# --download, from a server of this machine.

CONTENT = np.random.default_rng(0).bytes(300_000)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT. The path says how: "breaks" ends every answer early, "whole" knows no ranges."""

    requests: list

    def do_GET(self):
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.requests.append(start)
        if self.path == "/none":
            return self.send_error(404)
        start = 0 if self.path == "/whole" else start
        if start >= len(CONTENT):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", len(CONTENT) - start)
        self.end_headers()
        stop = start + 100_000 if self.path == "/breaks" else None
        self.wfile.write(CONTENT[start:stop])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    Handler.requests = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


MD5 = hashlib.md5(CONTENT).hexdigest()


def test_an_interrupted_download_goes_on(server, tmp_path):
    path = tmp_path / "new" / "vgg.h5"
    for missing in ("200,000", "100,000"):
        with pytest.raises(InputError, match=f"the connection broke with {missing} bytes to go.*Run the same command"):
            fetch(f"{server}/breaks", path, md5=MD5)
        assert [p.name for p in path.parent.iterdir()] == ["vgg.h5.partial"]
    fetch(f"{server}/breaks", path, md5=MD5)
    assert path.read_bytes() == CONTENT and [p.name for p in path.parent.iterdir()] == ["vgg.h5"]
    fetch(f"{server}/breaks", path, md5=MD5)
    assert Handler.requests == [0, 100_000, 200_000]  # what is there is not fetched again


def test_a_server_without_ranges_starts_anew(server, tmp_path):
    (tmp_path / "vgg.h5.partial").write_bytes(CONTENT[:1000])
    fetch(f"{server}/whole", tmp_path / "vgg.h5", md5=MD5)
    assert (tmp_path / "vgg.h5").read_bytes() == CONTENT


def test_a_download_that_only_lacked_its_name(server, tmp_path):
    (tmp_path / "vgg.h5.partial").write_bytes(CONTENT)
    fetch(f"{server}/breaks", tmp_path / "vgg.h5", md5=MD5)
    assert (tmp_path / "vgg.h5").read_bytes() == CONTENT


def test_other_contents_are_not_kept(server, tmp_path):
    with pytest.raises(InputError, match=f"has the MD5 {MD5}, not 0000; nothing of it is kept"):
        fetch(f"{server}/whole", tmp_path / "vgg.h5", md5="0000")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "vgg.h5").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"vgg\.h5 is there, but with the MD5 .*move it away"):
        fetch(f"{server}/whole", tmp_path / "vgg.h5", md5=MD5)
    assert (tmp_path / "vgg.h5").read_bytes() == b"mine"


def test_download_and_convert(server, whole, monkeypatch, capsys, tmp_path):
    pytest.importorskip("h5py")
    source = write(tmp_path / "theirs.h5", keras(whole), "published.h5")
    monkeypatch.setattr(f"{__name__}.CONTENT", source.read_bytes())
    monkeypatch.setattr(vgg19, "KERAS_URL", f"{server}/whole")
    monkeypatch.setattr(vgg19, "KERAS_MD5", hashlib.md5(source.read_bytes()).hexdigest())
    out, sha256 = tmp_path / "out" / "vgg19.safetensors", hashlib.sha256(source.read_bytes()).hexdigest()
    with pytest.raises(InputError, match=f"what came has the SHA256 {sha256}, not 0000.*nothing of it is kept"):
        main(["vgg19", "--download", "--sha256", "0" * 64, "-o", str(out)])
    assert list(out.parent.iterdir()) == []
    main(["vgg19", "--download", "--sha256", sha256.upper(), "-o", str(out)])
    assert f"source SHA-256 {sha256}" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"vgg19.safetensors", vgg19.KERAS_FILE}
    jax.tree.map(
        np.testing.assert_array_equal, load_vgg19(tmp_path / "out" / "vgg19.safetensors", ("vgg54",))[0], whole
    )


def test_offline_it_says_what_to_fetch_and_where_to_put_it(server, monkeypatch, tmp_path):
    for url, reason in ((f"{server}/none", "HTTP 404 Not Found"), ("http://127.0.0.1:1/vgg.h5", "refused")):
        monkeypatch.setattr(vgg19, "KERAS_URL", url)
        with pytest.raises(
            InputError, match=rf"{url} cannot be fetched \(.*{reason}.*put it at .*{vgg19.KERAS_FILE}\."
        ):
            main(["vgg19", "--download", "-o", str(tmp_path / "vgg19.safetensors")])
    with pytest.raises(InputError, match="needs a file of weights, or --download"):
        main(["vgg19", "-o", str(tmp_path / "vgg19.safetensors")])
    assert list(tmp_path.iterdir()) == []
