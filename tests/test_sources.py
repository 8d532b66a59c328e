"""Sources: what they find, what they read, and how they refuse."""

import io
import os
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

from srgan_jax.data import sources
from srgan_jax.images import ImageError, decode_image


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def encoded(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, **({"format": "PNG"} | options))
    return file.getvalue()


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "a/z.JPG", "a/y.webp", "a.bmp", ".hidden.png", ".cache/x.png", "notes.txt", "vector.eps"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if path.suffix in (".txt", ".eps"):
            path.write_text("no picture")
        else:
            Image.fromarray(picture(9, 7)).save(path)
    return tmp_path


def test_folder_is_recursive_sorted_and_skips_what_is_no_picture(folder):
    source = sources.FolderSource(folder)
    assert source.names == ("a.bmp", "a/y.webp", "a/z.JPG", "b.png")
    assert [source.name(index) for index in range(len(source))] == list(source.names)
    assert all(source[index].shape == (9, 7, 3) and source.size(index) == (9, 7) for index in range(len(source)))
    np.testing.assert_array_equal(source[3], picture(9, 7))


def test_pipes_and_programs_are_no_pictures(folder, monkeypatch):
    """A pipe would be read for ever; an EPS, whatever it is called, would start Ghostscript."""
    os.mkfifo(folder / "pipe.png")
    assert "pipe.png" not in sources.FolderSource(folder).names
    with pytest.raises(ImageError, match=r"pipe\.png: is no regular file"):
        decode_image(folder / "pipe.png")
    (folder / "program.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *arguments: pytest.fail("Ghostscript was started"))
    with pytest.raises(ImageError, match=r"program\.png: not an image"):
        decode_image(folder / "program.png")


def test_folder_errors_are_one_sentence(folder):
    (folder / "empty").mkdir()
    for path, message in (
        (folder / "nowhere", r"nowhere does not exist: a folder"),
        (folder / "b.png", r"b\.png is not a directory: a folder"),
        (folder / "empty", r"empty holds no images; looked .* for .*\.jpg .*\.png"),
        ("", r"data\.path"),
    ):
        with pytest.raises(sources.SourceError, match=message):
            sources.FolderSource(path)


def test_every_mode_becomes_rgb_or_grey(tmp_path):
    modes = {"cmyk.jpg": "CMYK", "palette.png": "P", "grey.png": "L", "one.png": "1", "alpha.png": "RGBA"}
    for name, mode in modes.items():
        Image.fromarray(picture(8, 8)).convert(mode).save(tmp_path / name)
    Image.fromarray(picture(8, 8)[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    for channels in (1, 3):
        source = sources.FolderSource(tmp_path, channels=channels)
        assert len(source) == 6
        assert {(image.shape, image.dtype) for image in source} == {((8, 8, channels), np.dtype(np.uint8))}


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "webp"])
def test_size_agrees_with_the_decoded_picture_for_every_orientation(tmp_path, suffix):
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(picture(6, 10)).save(tmp_path / f"{orientation}.{suffix}", exif=exif)
    source = sources.FolderSource(tmp_path)
    sizes = [source.size(index) for index in range(8)]
    assert sizes == [source[index].shape[:2] for index in range(8)] == [(6, 10)] * 4 + [(10, 6)] * 4


def test_damaged_files_are_named(tmp_path):
    (tmp_path / "cut.jpg").write_bytes(encoded(picture(64, 64), format="JPEG")[:1000])
    (tmp_path / "text.png").write_text("no picture")
    source = sources.FolderSource(tmp_path)
    assert source.size(0) == (64, 64)
    for index, name in enumerate(("cut.jpg", "text.png")):
        with pytest.raises(ImageError, match=name):
            source[index]
    with pytest.raises(ImageError, match=r"text\.png"):
        source.size(1)


def test_builtin_photographs_are_colour_photographs():
    source = sources.BuiltinSource()
    assert len(source) == len(sources.BUILTIN) >= 6
    for index in range(len(source)):
        image = source[index]
        assert image.shape[:2] == source.size(index) and min(image.shape[:2]) >= 300
        assert np.ptp(image.astype(int), axis=-1).mean() > 5


def test_hold_out_is_disjoint_complete_and_depends_on_names_only(tmp_path):
    names = [f"{number}.png" for number in range(40)]
    source, moved = sources.FileSource(tmp_path, names), sources.FileSource("elsewhere", names[::-1])

    def parts(source, share):
        return [{part.name(index) for index in range(len(part))} for part in sources.hold_out(source, share)]

    train, held_out = parts(source, 0.1)
    assert len(held_out) == 4 and not train & held_out and train | held_out == set(names)
    assert [train, held_out] == parts(moved, 0.1)
    assert held_out < parts(source, 0.3)[1]  # a larger share adds to a smaller one
    assert parts(source, 0) == [set(names), set()]
    assert [len(part) for part in parts(source, 1e-6)] == [39, 1]
    assert [len(part) for part in parts(source, 0.9999)] == [1, 39]
    assert len(parts(sources.FileSource(".", map(str, range(100))), 0.07)[1]) == 7
    for share in (-0.1, 1, float("nan")):
        with pytest.raises(sources.SourceError, match="at least 0 and less than 1"):
            sources.hold_out(source, share)
    with pytest.raises(sources.SourceError, match="two pictures"):
        sources.hold_out(sources.FileSource(".", ["one.png"]), 0.5)


def test_create_source_by_name(folder):
    data = types.SimpleNamespace(source="folder", path=str(folder), name="", split="", feature="")
    assert len(sources.create_source(data, channels=1)) == 4
    data.source = "foldr"
    with pytest.raises(sources.SourceError, match="'foldr'; did you mean 'folder'"):
        sources.create_source(data)


def write_tfds(data_dir, name, features, examples):
    """A TFDS dataset in ArrayRecord, written without TensorFlow."""
    import tensorflow_datasets as tfds

    directory = data_dir / name / "1.0.0"
    directory.mkdir(parents=True)
    identity = tfds.core.dataset_info.DatasetIdentity(
        name=name, version=tfds.core.Version("1.0.0"), data_dir=str(directory), module_name=""
    )
    info = tfds.core.DatasetInfo(builder=identity, features=tfds.features.FeaturesDict(features))
    writer = tfds.core.SequentialWriter(info, max_examples_per_shard=3, overwrite=True, file_format="array_record")
    writer.initialize_splits(["train"])
    writer.add_examples({"train": examples})
    writer.close_all()


@pytest.fixture
def tfds_dir(tmp_path):
    import tensorflow_datasets as tfds

    image, tensor = tfds.features.Image(), tfds.features.Tensor(shape=(8, 8, 3), dtype=np.uint8, encoding="bytes")
    pictures = [picture(20 + number, 24, number) for number in range(5)]
    broken = io.BytesIO(b"never decoded")
    photos = [{"hr": io.BytesIO(encoded(pixels)), "lr": broken, "label": 0} for pixels in pictures]
    label = tfds.features.ClassLabel(num_classes=2)
    write_tfds(tmp_path, "photos", {"hr": image, "lr": image, "label": label}, photos)
    write_tfds(tmp_path, "crops", {"image": tensor}, [{"image": pixels[:8, :8]} for pixels in pictures])
    return tmp_path


def test_tfds_reads_encoded_pictures_and_pixels(tfds_dir):
    photos = sources.TfdsSource("photos", split="train[1:]", data_dir=tfds_dir, feature="hr")
    crops = sources.TfdsSource("crops", split="train", data_dir=tfds_dir)
    assert len(photos) == 4 and len(crops) == 5
    for index in range(4):
        np.testing.assert_array_equal(photos[index], picture(21 + index, 24, index + 1))
        assert photos.size(index) == (21 + index, 24) and crops.size(index) == (8, 8)
    np.testing.assert_array_equal(crops[2], picture(22, 24, 2)[:8, :8])
    assert photos.name(0) == "photos/train[1:]/0"
    assert sources.TfdsSource("photos", split="train", data_dir=tfds_dir, feature="hr", channels=1)[0].shape[-1] == 1
    with pytest.raises(ImageError, match="photos/train/0"):
        sources.TfdsSource("photos", split="train", data_dir=tfds_dir, feature="lr")[0]


@pytest.mark.parametrize("encoding", ["bytes", "zlib", "none"])
@pytest.mark.parametrize("label", [False, True])
def test_tfds_pixels_are_read_whatever_stands_beside_them(tmp_path, encoding, label):
    """Without parsing where a record is a header and raw pixels, with it elsewhere."""
    import tensorflow_datasets as tfds

    features = {"image": tfds.features.Tensor(shape=(8, 8, 3), dtype=np.uint8, encoding=encoding)}
    flat = np.full((8, 8, 3), 200, np.uint8)  # as small as the header when compressed
    examples = [{"image": pixels} for pixels in (picture(8, 8), flat, np.zeros_like(flat))]
    if label:
        features["label"] = tfds.features.ClassLabel(num_classes=3)
        examples = [example | {"label": number} for number, example in enumerate(examples)]
    write_tfds(tmp_path, "crops", features, examples)
    source = sources.TfdsSource("crops", split="train", data_dir=tmp_path)
    assert source.raw == (encoding == "bytes" and not label)
    for index, example in enumerate(examples):
        np.testing.assert_array_equal(source[index], example["image"])


def test_tfds_errors_are_one_sentence(tfds_dir):
    good = {"name": "photos", "split": "train", "data_dir": tfds_dir, "feature": "hr"}
    for change, message in (
        ({"name": "nowhere"}, "nowhere is not prepared in .*tfds build nowhere --data_dir=.*array_record"),
        ({"name": "no name"}, "Parsing builder name"),
        ({"feature": "image"}, "no image feature 'image'; it has (hr, lr|lr, hr)"),
        ({"feature": "label"}, "no image feature 'label'"),
        ({"split": "test"}, "photos: Unknown split 'test'"),
        ({"name": "crops", "feature": "image", "channels": 1}, "3 channels under 'image', not of 1"),
    ):
        with pytest.raises(sources.SourceError, match=message) as error:
            sources.TfdsSource(**(good | change))
        assert "\n" not in str(error.value)


def test_tfds_is_read_without_tensorflow(tfds_dir):
    code = (
        "import sys; from srgan_jax.data import sources; "
        f"source = sources.TfdsSource('photos', split='train', data_dir={str(tfds_dir)!r}, feature='hr'); "
        "assert source[0].size and 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=pathlib.Path(__file__).parents[1])
