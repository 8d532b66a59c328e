"""Our release format: what comes back is what was written, to the bit, or a sentence says why not."""

import json
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from tiny import initialise, write_tiny_run

import srgan_jax
from srgan_jax import generators
from srgan_jax.commands.weights import run as main
from srgan_jax.errors import InputError
from srgan_jax.models import SRResNet
from srgan_jax.weights import release

ARCHITECTURE = {
    "scale": 2,
    "channels": 3,
    "features": 4,
    "num_blocks": 1,
    "global_skip": "bicubic",
    "zero_init_output": False,
}
FULL = ARCHITECTURE | {
    "network": "srresnet",
    "icnr": False,
    "output_activation": "none",
    "output_range": "signed",
    "prelu": "channel",
    "trunk_prelu": False,
    "batch_norm": True,
}


@pytest.fixture(scope="module")
def variables():
    return jax.device_get(initialise(SRResNet(**ARCHITECTURE), jnp.zeros((1, 4, 4, 3))))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_tiny_run(tmp_path_factory.mktemp("run"))


def test_a_release_comes_back_exactly(variables, tmp_path):
    path, info = tmp_path / "model.safetensors", {"step": 7, "config": {"seed": 1}}
    release.write_release(path, ARCHITECTURE, variables, info=info)
    architecture, read, found = release.read_release(path)
    assert architecture == ARCHITECTURE and found == info
    jax.tree.map(np.testing.assert_array_equal, read, variables)

    generator = generators.load(path)
    assert generator.architecture == FULL and generator.info == info
    jax.tree.map(np.testing.assert_array_equal, generator.variables, variables)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]

    again = tmp_path / "again.safetensors"
    release.write_release(again, generator.architecture, generator.variables)
    assert srgan_jax.load(again).sha256() == generator.sha256()


def test_what_lies_between_two_generators_can_be_released(variables, tmp_path, capsys):
    others = jax.tree.map(lambda array: array + np.float32(0.25), variables)
    info = {"config": {"seed": 1}, "evaluation": {"old": 1}, "license": "mine"}
    release.write_release(tmp_path / "a.safetensors", ARCHITECTURE, variables, info=info)
    release.write_release(tmp_path / "b.safetensors", ARCHITECTURE, others)
    a, b, out = (str(tmp_path / f"{name}.safetensors") for name in ("a", "b", "out"))
    main(["release", a, "--blend-with", b, "--blend", "0.2", "-o", out])
    mixed = generators.load(out)
    for array, expected in zip(*map(jax.tree.leaves, (mixed.variables, variables)), strict=True):
        np.testing.assert_allclose(array, expected + 0.05, rtol=1e-6, atol=1e-7)
    about = {"with": "b.safetensors", "share": 0.2, "sha256": generators.load(b).sha256()}
    assert mixed.info == {"config": {"seed": 1}, "license": "mine", "consistent": False, "blend": about}
    with pytest.raises(SystemExit, match="2"):
        main(["release", a, "--blend", "0.2", "-o", out])
    assert "--blend and --blend-with need each other" in capsys.readouterr().err


def test_half_precision_is_read_as_float32(variables, tmp_path):
    path = tmp_path / "half.safetensors"
    release.write_release(path, ARCHITECTURE, variables, half=True)
    assert {array.dtype for array in load_file(path).values()} == {np.dtype(np.float16)}
    generator = generators.load(path)
    assert {array.dtype for array in jax.tree.leaves(generator.variables)} == {np.dtype(np.float32)}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-7), generator.variables, variables)

    again = tmp_path / "again.safetensors"
    main(["release", str(path), "--half", "-o", str(again)])  # nothing is lost twice
    assert generators.load(again).sha256() == generator.sha256()

    large = jax.tree.map(lambda array: array + np.float32(1e5), variables)
    with pytest.raises(InputError, match=r"batch_stats/.* has values that float16 cannot hold"):
        release.write_release(tmp_path / "large.safetensors", ARCHITECTURE, large, half=True)
    assert not (tmp_path / "large.safetensors").exists()


def test_shipped_models_are_loaded_by_name(variables, tmp_path, monkeypatch):
    monkeypatch.setattr(generators, "SHIPPED", tmp_path)
    release.write_release(tmp_path / "small-x2.safetensors", ARCHITECTURE, variables)
    assert generators.shipped_names() == ["small-x2"]
    assert srgan_jax.load("small-x2").name == "small-x2" and srgan_jax.load("small-x2").module.scale == 2
    with pytest.raises(InputError, match=r"no such file or directory.*did you mean 'small-x2'"):
        srgan_jax.load("small-x4")


def test_the_header_says_what_the_file_is(variables, tmp_path):
    path = tmp_path / "model.safetensors"
    release.write_release(path, FULL, variables, info={"step": 7})
    header = safe_open(path, framework="np").metadata()
    assert json.loads(header.pop("architecture")) == FULL and json.loads(header.pop("step")) == 7
    assert header.pop("sha256") == generators.load(path).sha256() and len(header.pop("header_sha256")) == 64
    assert json.loads(header.pop("graph"))[-1] == {"op": "identity", "inputs": ["add14"], "output": "sr"}
    ranges = "lr [0, 1], sr [-1, 1], NHWC"
    version = srgan_jax.__version__
    assert header == {"format": release.FORMAT, "version": version, "scale": "2", "channels": "3", "ranges": ranges}


@pytest.mark.parametrize("half", [False, True])
def test_a_flipped_bit_is_noticed_wherever_it_is(variables, tmp_path, half):
    path = tmp_path / "model.safetensors"
    release.write_release(path, FULL, variables, info={"step": 7, "config": {"seed": 1}}, half=half)
    sound, rng = path.read_bytes(), np.random.default_rng(0)
    for at in rng.choice(len(sound), 200, replace=False):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 1 << rng.integers(8)]) + sound[at + 1 :])
        with pytest.raises(InputError, match=str(path)):
            generators.load(path)


def test_a_release_does_not_replace_its_input(variables, tmp_path):
    path = tmp_path / "model.safetensors"
    release.write_release(path, FULL, variables)
    with pytest.raises(InputError, match="is an input and would be overwritten"):
        main(["release", str(path), "-o", str(path)])


def test_files_of_the_first_version_are_read(variables, tmp_path):
    path, arrays = tmp_path / "model.safetensors", flatten_dict(variables, sep="/")
    header = {"format": release.FORMAT, "architecture": json.dumps(ARCHITECTURE), "info": json.dumps({"step": 7})}
    save_file(arrays, path, metadata=header)
    assert generators.load(path).architecture == FULL and generators.load(path).info == {"step": 7}


def test_importing_the_package_imports_no_jax():
    code = "import sys, srgan_jax; assert not {'jax', 'numpy'} & set(sys.modules); srgan_jax.load; import jax"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        srgan_jax.lode  # noqa: B018


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 3}, "depth: srresnet has no such field"),
        ({"network": "rrdb"}, "network: no 'rrdb'; choose from"),
        ({"scale": 5}, "scale must be one of 1, 2, 3, 4, 8, 16, got 5"),
        ({"num_blocks": 10**9}, "num_blocks must be a whole number from 0 to 1024, got 1000000000"),
        ({"features": "64"}, "features must be a whole number from 1 to 1024, got '64'"),
        ({"channels": 0}, "channels must be a whole number from 1 to 1024, got 0"),
        ({"trunk_prelu": 1}, "trunk_prelu must be one of False, True, got 1"),
        ({"prelu": "none"}, "prelu: no 'none'; choose from channel, shared"),
        ({"output_range": None}, "output_range: no None"),
    ],
)
def test_architectures_that_cannot_be_are_refused(variables, change, message, tmp_path):
    path, architecture = tmp_path / "model.safetensors", ARCHITECTURE | change
    header = {"format": release.FORMAT, "architecture": json.dumps(architecture)}
    save_file(flatten_dict(variables, sep="/"), path, metadata=header)
    with pytest.raises(InputError, match=f"of another version of srgan_jax: {message}"):
        generators.load(path)
    with pytest.raises(InputError, match=message):
        release.write_release(tmp_path / "other.safetensors", architecture, variables)


def test_nan_is_refused(variables, tmp_path):
    arrays = flatten_dict(variables, sep="/")
    arrays["params/stem/kernel"] = arrays["params/stem/kernel"] * np.float32(np.nan)
    release.write_release(tmp_path / "model.safetensors", ARCHITECTURE, unflatten_dict(arrays, sep="/"))
    with pytest.raises(InputError, match="params/stem/kernel holds NaN or infinite"):
        generators.load(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("params/stem/kernel"), "params/stem/kernel is no such array there"),
        (lambda a: a.pop("batch_stats/trunk_bn/mean"), "batch_stats/trunk_bn/mean is no such array there"),
        (lambda a: a.update({"params/stem/bias": np.zeros(5, np.float32)}), r"params/stem/bias is \(5,\) float32"),
        (lambda a: a.update({"params/stem/bias": np.zeros(4, np.float64)}), r"params/stem/bias is \(4,\) float64"),
        (lambda a: a.update({"params/extra": np.zeros(1, np.float32)}), "params/extra is .* no such array is expected"),
    ],
)
def test_a_release_of_other_arrays_is_refused(variables, change, message, tmp_path):
    arrays = flatten_dict(variables, sep="/")
    change(arrays)
    release.write_release(tmp_path / "model.safetensors", ARCHITECTURE, unflatten_dict(arrays, sep="/"))
    with pytest.raises(InputError, match=message):
        generators.load(tmp_path / "model.safetensors")


def test_files_that_are_no_release_are_refused(variables, tmp_path):
    path = tmp_path / "model.safetensors"
    release.write_release(path, ARCHITECTURE, variables)
    whole, arrays = path.read_bytes(), load_file(path)

    save_file(arrays, path)
    with pytest.raises(InputError, match="not a generator of srgan_jax"):
        generators.load(path)
    save_file(arrays, path, metadata={"format": release.FORMAT})
    with pytest.raises(InputError, match=r"cannot be read .*architecture"):
        generators.load(path)
    for content in (b"", whole[:100], whole[:-1]):
        path.write_bytes(content)
        with pytest.raises(InputError, match="cannot be read"):
            generators.load(path)
    with pytest.raises(InputError, match="no such file"):
        generators.load(tmp_path / "none.safetensors")
    with pytest.raises(InputError, match=r"ends in \.safetensors"):
        release.write_release(tmp_path / "model.npz", ARCHITECTURE, variables)


def test_a_failing_write_leaves_the_old_file_and_nothing_half_written(variables, tmp_path, monkeypatch):
    def fail(path, data):
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError("No space left on device")

    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")
    monkeypatch.setattr(pathlib.Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space"):
        release.write_release(path, ARCHITECTURE, variables)
    assert [p.name for p in tmp_path.iterdir()] == [path.name] and path.read_bytes() == b"old"


def test_a_run_becomes_a_file(run, tmp_path, capsys):
    out = tmp_path / "model.safetensors"
    generator = generators.load(run)
    main(["release", str(run), "-o", str(out)])
    assert str(out) in capsys.readouterr().out
    released = srgan_jax.load(out)
    assert released.sha256() == generator.sha256() and released.module == generator.module
    assert released.info == generator.info and released.info["config"]["generator"]["features"] == 8
    config = generator.info["config"]
    config["data"]["path"], config["init_from"], config["vgg_weights"] = "/home/me/photos", "runs/a/", "C:/vgg.npz"
    release.write_release(
        tmp_path / "paths.safetensors", generator.architecture, generator.variables, info=generator.info
    )
    main(["release", str(tmp_path / "paths.safetensors"), "-o", str(out)])
    config = srgan_jax.load(out).info["config"]
    assert (config["data"]["path"], config["init_from"], config["vgg_weights"]) == ("photos", "a", "vgg.npz")
    assert released.info["step"] == 4 and released.info["evaluation"].keys() == {"psnr"}

    main(["release", str(run), "--step", "4", "-o", str(out)])
    with pytest.raises(InputError, match=r"checkpoints: no checkpoint of step 5; there are 4\."):
        main(["release", str(run), "--step", "5", "-o", str(out)])
    with pytest.raises(InputError, match="is the checkpoint of step 4, not 5; name the run"):
        main(["release", str(run / "checkpoints" / "4"), "--step", "5", "-o", str(out)])


def test_scores_of_the_same_network_go_into_the_header(run, tmp_path):
    out, results = tmp_path / "model.safetensors", tmp_path / "results.json"
    mean = {"paper": {"psnr": 32.05, "ssim": 0.9019}}
    scores = {
        "method": {"sha256": generators.load(run).sha256()},
        "protocols": {"paper": "as in the paper"},
        "datasets": {"Set5": {"lr": {"from": "files"}, "images": {"baby": {}}, "mean": mean}},
    }
    results.write_text(json.dumps(scores))
    main(["release", str(run), "-o", str(out), "--results", str(results)])
    evaluation = srgan_jax.load(out).info["evaluation"]
    assert evaluation["datasets"] == {"Set5": {"lr": {"from": "files"}, "mean": mean}}
    assert evaluation["protocols"] == scores["protocols"] and "psnr" in evaluation

    for text, message in (
        (json.dumps(scores | {"method": {"sha256": "0"}}), "scores of another network than"),
        (json.dumps(scores | {"method": {"name": "bicubic"}}), "not a results.json that eval.py wrote for a network"),
        ("[]", "not a results.json"),
        ("{", "not a results.json"),
    ):
        results.write_text(text)
        with pytest.raises(InputError, match=message):
            main(["release", str(run), "-o", str(out), "--results", str(results)])


def test_the_command_line_of_weights(tmp_path):
    """Errors are one sentence, and help needs no JAX."""

    def run(*arguments):
        command = [sys.executable, "-m", "srgan_jax.weights", *arguments]
        return subprocess.run(command, cwd=pathlib.Path(__file__).parents[1], capture_output=True, text=True)

    done = run("import", "nowhere.pth", "-o", str(tmp_path / "model.safetensors"))
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "Error: nowhere.pth: no such file.\n")
    assert {"release", "vgg19", "import", "export"} <= set(run("--help").stdout.split())
    assert run("export", "--help").returncode == 0 and run("explode").returncode == 2
