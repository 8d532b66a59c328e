"""Picture files in, larger picture files out."""

import numpy as np
import pytest
from PIL import Image

from srgan_jax import generators, photos
from srgan_jax.errors import InputError
from srgan_jax.models import SRResNet
from srgan_jax.weights.release import write_release


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    """A network that gives the bicubic enlargement exactly: its own output is zero."""
    import jax
    import jax.numpy as jnp

    module = SRResNet(features=8, num_blocks=1, global_skip="bicubic", zero_init_output=True)
    variables = jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    write_release(path, generators.architecture_of(module), variables)
    return path


@pytest.fixture
def pictures(tmp_path):
    """One picture in many modes and formats, a truncated one, and a text file that claims to be one."""
    folder = tmp_path / "in"
    (folder / "deeper").mkdir(parents=True)
    rgb = Image.fromarray(
        np.kron(np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8), np.ones((4, 4, 1), np.uint8))
    )
    rgb.save(folder / "rgb.png")
    rgb.convert("L").save(folder / "grey.png")
    rgb.convert("CMYK").save(folder / "deeper" / "cmyk.jpg", quality=95)
    rgb.quantize(16).save(folder / "palette.png")
    rgb.convert("1").save(folder / "one_bit.png")
    rgb.convert("RGBA").save(folder / "alpha.webp", lossless=True)
    rgb.resize((1, 1)).save(folder / "dot.bmp")
    levels = np.asarray(rgb.convert("L")).astype(np.uint16) * 257
    Image.fromarray(levels).save(folder / "sixteen_bit.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    rgb.save(folder / "turned.jpg", exif=turned)
    whole = (folder / "deeper" / "cmyk.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("no picture")
    return folder


def test_folder_goes_on_after_bad_files(pictures, ckpt, tmp_path):
    out = tmp_path / "out"
    failures = photos.upscale_files([pictures], out, ckpt=ckpt)
    assert sorted(f.split(":")[0].split("/")[-1] for f in failures) == ["cut.jpg", "text.png"]
    sizes = {}
    for path in out.rglob("*.*"):
        with Image.open(path) as picture:
            sizes[path.relative_to(out).as_posix()] = (picture.size, picture.mode)
    large = ((80, 48), "RGB")
    assert sizes == {
        "rgb.png": large,
        "grey.png": ((80, 48), "L"),
        "deeper/cmyk.png": large,
        "palette.png": large,
        "one_bit.png": ((80, 48), "L"),
        "alpha.png": large,
        "dot.png": ((4, 4), "RGB"),
        "sixteen_bit.png": ((80, 48), "L"),
        "turned.png": ((48, 80), "RGB"),
    }
    with Image.open(out / "sixteen_bit.png") as sixteen, Image.open(out / "grey.png") as grey:
        assert np.array_equal(np.asarray(sixteen), np.asarray(grey))


def test_one_file_takes_its_name_and_format(pictures, ckpt, tmp_path):
    assert photos.upscale_files([pictures / "rgb.png"], tmp_path / "large.webp", ckpt=ckpt) == []
    with Image.open(tmp_path / "large.webp") as picture:
        assert picture.format == "WEBP" and picture.size == (80, 48)


@pytest.mark.parametrize(
    ("inputs", "out", "message"),
    [
        (["missing.png"], "out", "no such file or directory"),
        (["rgb.png"], "out.xyz", "no image format has this extension"),
        (["rgb.png", "grey.png"], "out.png", "several pictures need a folder"),
        (["rgb.png"], "in/rgb.png", "is an input and would be overwritten"),
        (["rgb.png", "."], "out", "would both be written"),
    ],
)
def test_refused_before_anything_is_computed(pictures, tmp_path, inputs, out, message):
    with pytest.raises(InputError, match=message):
        photos.upscale_files([pictures / name for name in inputs], tmp_path / out, ckpt="unused")
    assert not (tmp_path / "out").exists()
