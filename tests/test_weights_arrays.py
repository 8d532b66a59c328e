"""Hostile and damaged files: each is refused in one sentence, nothing in it runs, nothing large is allocated."""

import io
import json
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save, save_file

from srgan_jax import generators
from srgan_jax.commands.weights import run as main
from srgan_jax.errors import InputError
from srgan_jax.weights import arrays, release

GOOD = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b/c": np.ones(4, np.float32)}
NAN = GOOD | {"b/c": np.array([1, np.nan], np.float32)}
LARGE = np.zeros(4 << 20, np.float32)  # 16 MiB, where the tests allow one; it compresses to nothing


class Canary:
    """Unpickled, it would create the file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def npz(**members):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **members)
    return buffer.getvalue()


def archive(members, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def npy(array=None, *, shape=None):
    """An .npy file; with `shape`, one that claims another shape than it has."""
    buffer = io.BytesIO()
    if shape:
        np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": shape})
    else:
        np.lib.format.write_array(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def safetensors(header: dict, data=b""):
    encoded = json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + data


def torch_file(make):
    """What torch.save writes of `make(torch, canary)`."""

    def content(canary):
        torch = pytest.importorskip("torch")
        buffer = io.BytesIO()
        torch.save(make(torch, canary), buffer)
        return buffer.getvalue()

    return content


def torch_bomb(canary):
    """A PyTorch file whose arrays are compressed, which PyTorch itself would read."""
    whole = torch_file(lambda torch, canary: {"a": torch.from_numpy(LARGE)})(canary)
    with zipfile.ZipFile(io.BytesIO(whole)) as file:
        return archive({name: file.read(name) for name in file.namelist()})


def hdf5(fill):
    def content(canary):
        h5py = pytest.importorskip("h5py")
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            fill(h5py, file)
        return buffer.getvalue()

    return content


def external(h5py, file):
    file.create_dataset("a", (8,), np.float32, external=[("/etc/passwd", 0, 32)])


HOSTILE = {
    "empty.safetensors": (lambda canary: b"", "cannot be read"),
    "cut.safetensors": (lambda canary: save(GOOD)[:-1], "cannot be read"),
    "header_of_gigabytes.safetensors": (
        lambda canary: (8 << 30).to_bytes(8, "little") + b"{}",
        "cannot be read .*its header claims 8,589,934,592 bytes",
    ),
    "header_beyond_file.safetensors": (lambda canary: (1 << 20).to_bytes(8, "little") + b"{}", "cannot be read"),
    "array_beyond_file.safetensors": (
        lambda canary: safetensors({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}),
        "cannot be read",
    ),
    "overlapping.safetensors": (
        lambda canary: safetensors(
            {k: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for k in ("a", "b")}, b"0000"
        ),
        "cannot be read",
    ),
    "pickle.safetensors": (lambda canary: pickle.dumps(Canary(canary)), "cannot be read"),
    "nan.safetensors": (lambda canary: save(NAN), "b/c holds NaN or infinite values"),
    "too_large.safetensors": (lambda canary: save({"a": LARGE}), "bytes; more than 1,048,576 are not read"),
    "empty.npz": (lambda canary: b"", "cannot be read .*not an archive"),
    "pickle.npz": (lambda canary: pickle.dumps({"a": Canary(canary)}), "cannot be read .*not an archive"),
    "pickle_inside.npz": (
        lambda canary: archive({"a.npy": npy(np.array([Canary(canary)], object))}),
        "cannot be read .*allow_pickle",
    ),
    "bomb.npz": (lambda canary: npz(a=LARGE), "claims to hold, 16,777,.* bytes; more than 1,048,576 are not read"),
    "claims_a_shape.npz": (
        lambda canary: archive({"a.npy": npy(shape=(1 << 40,))}),
        "cannot be read .*claims the shape",
    ),
    "no_array.npz": (lambda canary: archive({"a.npy": b"text"}), "cannot be read"),
    "text.npz": (lambda canary: npz(a=np.array(["text"])), "a holds <U4, where numbers are expected"),
    "infinite.npz": (lambda canary: npz(a=np.array([np.inf])), "a holds NaN or infinite values"),
    "empty.pth": (lambda canary: b"", "cannot be read|holds more than arrays"),
    "text.pth": (lambda canary: b"<!DOCTYPE html>", "cannot be read|holds more than arrays"),
    "pickle.pth": (lambda canary: pickle.dumps({"a": Canary(canary)}), "holds more than arrays .*state dict"),
    "pickle_inside.pth": (torch_file(lambda torch, canary: {"a": Canary(canary)}), "holds more than arrays"),
    "pickle_beside.pt": (
        torch_file(lambda torch, canary: {"state_dict": {"a": torch.zeros(1)}, "more": Canary(canary)}),
        "holds more than arrays",
    ),
    "module.pth": (torch_file(lambda torch, canary: torch.nn.Linear(2, 2)), "holds more than arrays"),
    "bomb.pth": (torch_bomb, "bytes; more than 1,048,576 are not read"),
    "claims_a_shape.pth": (
        torch_file(lambda torch, canary: {"a": torch.zeros(1).expand(1 << 20, 1 << 20)}),
        "claims to hold, 4,398,046,511,104 bytes",
    ),
    "list.pth": (torch_file(lambda torch, canary: [torch.zeros(1)]), "holds a list, not a state dict"),
    "nan.pth": (torch_file(lambda torch, canary: {"a": torch.tensor([torch.nan])}), "a holds NaN"),
    "text.h5": (lambda canary: b"text", "cannot be read"),
    "bomb.h5": (
        hdf5(lambda h5py, file: file.create_dataset("a", data=LARGE, compression="gzip")),
        "bytes; more than 1,048,576 are not read",
    ),
    "other_file.h5": (hdf5(external), "a lies in another file"),
    "text_inside.h5": (hdf5(lambda h5py, file: file.create_dataset("a", data="text")), "where numbers are expected"),
    "nan.h5": (hdf5(lambda h5py, file: file.create_dataset("a", data=[np.nan])), "a holds NaN"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(name, tmp_path, monkeypatch):
    make, message = HOSTILE[name]
    if name.endswith((".pth", ".pt")):
        pytest.importorskip("torch")
    if name.endswith(".h5"):
        pytest.importorskip("h5py")
    path, canary = tmp_path / name, tmp_path / "canary"
    path.write_bytes(make(canary))
    monkeypatch.setattr(arrays, "MAX_BYTES", 1 << 20)
    tracemalloc.start()
    with pytest.raises(InputError, match=message) as caught:
        main(["import", str(path), "-o", str(tmp_path / "model.safetensors")])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}: ") and "\n" not in sentence and len(sentence) < 500
    assert [file.name for file in tmp_path.iterdir()] == [name]  # no model, and no canary
    assert peak < 40 << 20  # the imports; not what the file claims


def test_the_canary_sings_when_it_is_unpickled(tmp_path):
    pickle.loads(pickle.dumps(Canary(tmp_path / "canary"))).close()
    assert (tmp_path / "canary").exists()


def test_good_files_are_read(tmp_path):
    save_file(GOOD, tmp_path / "good.safetensors")
    np.savez(tmp_path / "good.npz", **GOOD)
    paths = [tmp_path / "good.safetensors", tmp_path / "good.npz"]
    for path in paths:
        read = arrays.read_arrays(path)
        assert read.keys() == GOOD.keys()
        for key, array in read.items():
            np.testing.assert_array_equal(array, GOOD[key])
    with pytest.raises(InputError, match="no such file"):
        arrays.read_arrays(tmp_path / "none.npz")
    with pytest.raises(InputError, match=r"expected a file that ends in \.safetensors, \.npz, \.pth, \.pt, \.h5"):
        arrays.read_arrays(paths[1].rename(tmp_path / "good.bin"))


def test_half_precision_of_pytorch_is_read_as_float32(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"a": torch.ones(2, dtype=torch.bfloat16), "n": torch.tensor(3)}, tmp_path / "half.pth")
    read = arrays.read_arrays(tmp_path / "half.pth")
    assert read["a"].dtype == np.float32 and read["n"] == 3


@pytest.mark.parametrize(("package", "name"), [("torch", "a.pth"), ("h5py", "a.h5")])
def test_optional_packages_are_named(package, name, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(InputError, match=r"reading it needs .*pip install -r requirements-"):
        arrays.read_arrays(tmp_path / name)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"architecture": "[" * 100_000}, "cannot be read .in its header"),
        ({"architecture": "[]"}, "architecture is no object"),
        ({"architecture": "{}", "config": "{"}, "cannot be read .in its header"),
        (
            {"architecture": '{"num_blocks": 1000000000}'},
            "num_blocks must be a whole number from 0 to 1024, got 1000000000",
        ),
        ({}, "cannot be read .in its header: 'architecture'"),
    ],
    ids=str,
)
def test_hostile_headers_of_release_files_are_refused(header, message, tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(GOOD, path, metadata={"format": release.FORMAT} | header)
    with pytest.raises(InputError, match=message):
        generators.load(path)
