"""Reading and writing photos: 8 and 16 bits, transparency, colour profiles, metadata.

Pillow reads and writes all but pictures with 16 bits and several channels, which it makes 8-bit ones: imagecodecs
(PNG) and tifffile (TIFF) keep them.
"""

import dataclasses
import io
import pathlib
import struct
import zlib

import imagecodecs
import numpy as np
import tifffile
from PIL import ExifTags, Image, ImageOps, PngImagePlugin

from srgan_jax.errors import InputError, nearest_name
from srgan_jax.files import replacing
from srgan_jax.images import check_regular, decoding, open_image, within_budget
from srgan_jax.photos.photo import Photo, from_array, from_pillow, levels, on_white, to_8_bit
from srgan_jax.upscaling.options import OptionError
from srgan_jax.upscaling.turns import turn


@dataclasses.dataclass(frozen=True)
class Format:
    """What a file format can hold.

    Attributes:
      pillow: Pillow's name of it.
      extensions: the first is that of new files.
      alpha, sixteen: whether it can hold transparency, and 16 bits.
      longest: pixels of the longer side.
      options: for Pillow; given the quality, 1 to 100 or None.
    """

    pillow: str
    extensions: tuple[str, ...]
    alpha: bool
    sixteen: bool
    longest: int
    options: object = lambda quality: {}


FORMATS = {
    "png": Format("PNG", (".png",), True, True, 2**31 - 1),
    "jpeg": Format("JPEG", (".jpg", ".jpeg"), False, False, 65535, lambda q: {"quality": q or 95, "subsampling": 0}),
    "webp": Format(
        "WEBP", (".webp",), True, False, 16383, lambda q: {"lossless": True} if q == 100 else {"quality": q or 95}
    ),
    "tiff": Format("TIFF", (".tif", ".tiff"), True, True, 2**31 - 1, lambda q: {"compression": "tiff_deflate"}),
    "bmp": Format("BMP", (".bmp",), False, False, 2**31 - 1),
}

# EXIF that says something about the photo; the rest is about the file that it was in (orientation among it).
_TAG = ExifTags.Base
_KEPT_EXIF = {_TAG.ImageDescription, _TAG.Make, _TAG.Model, _TAG.Software, _TAG.DateTime, _TAG.Artist, _TAG.Copyright}
_KEPT_EXIF |= {_TAG.Rating, _TAG.XPTitle, _TAG.XPComment, _TAG.XPAuthor, _TAG.XPKeywords, _TAG.XPSubject}
_KEPT_IFDS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)

_PNG_XMP = "XML:com.adobe.xmp"  # the keyword of the text that holds it

# What Pillow calls the 16-bit PNGs that it makes 8-bit.
_PNG_SIXTEEN = ("RGB;16B", "LA;16B", "RGBA;16B")

# 16-bit TIFFs that we read by ourselves: their channels of colour, and the kinds of a further one that are alpha.
_TIFF_COLOURS = {
    tifffile.PHOTOMETRIC.MINISWHITE: 1,
    tifffile.PHOTOMETRIC.MINISBLACK: 1,
    tifffile.PHOTOMETRIC.RGB: 3,
}
_TIFF_ALPHA = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)

# EXIF's orientations, and the number of the turn that makes such a picture upright.
_UPRIGHT = {1: 0, 2: 1, 3: 3, 4: 2, 5: 4, 6: 6, 7: 7, 8: 5}


def format_of(path: str | pathlib.Path, name: str | None = None) -> Format:
    """Return the format called `name`, or else that of the path's extension; InputError where there is none."""
    if name is not None:
        name = {"jpg": "jpeg", "tif": "tiff"}.get(name.lower(), name.lower())
        if name not in FORMATS:
            raise OptionError("format", f"no image format {name!r} to write; {nearest_name(name, FORMATS)}")
        return FORMATS[name]
    suffix = pathlib.Path(path).suffix.lower()
    for known in FORMATS.values():
        if suffix in known.extensions:
            return known
    extensions = " ".join(extension for known in FORMATS.values() for extension in known.extensions)
    raise InputError(f"{path}: no image format to write has this extension; choose from {extensions}.")


def read_photo(path: str | pathlib.Path) -> Photo:
    """Read any picture that Pillow, or tifffile, reads: the first one of an animation or of several pages.

    Palettes become RGB(A), 1 bit becomes grey, CMYK and Lab become sRGB; the EXIF orientation is applied.

    Raises:
      ImageError: the file is missing, truncated, no picture, without pixels, or declares more pixels or bytes than are
        read (images.within_budget).
    """
    with decoding(path):
        check_regular(path)
        with open(path, "rb") as file:
            return _read_16_bit_tiff(file) or _read_with_pillow(file)


def _read_with_pillow(file: io.BufferedIOBase) -> Photo:
    file.seek(0)
    with open_image(file) as image:
        sixteen = image.format == "PNG" and image.tile and image.tile[0].args in _PNG_SIXTEEN
        # Looks for EXIF behind the pixels too, and so decodes them.
        exif, orientation = _kept_exif(image), image.getexif().get(_TAG.Orientation, 1)
        icc, xmp = image.info.get("icc_profile"), image.info.get("xmp")
        if sixteen:
            file.seek(0)
            photo = dataclasses.replace(from_array(_upright(imagecodecs.png_decode(file.read()), orientation)), icc=icc)
        else:
            ImageOps.exif_transpose(image, in_place=True)
            photo = from_pillow(image)
    return dataclasses.replace(photo, exif=exif, xmp=xmp)


def _read_16_bit_tiff(file: io.BufferedIOBase) -> Photo | None:
    """Return the photo, if it is one with several channels that Pillow would make 8-bit."""
    magic = file.read(4)
    file.seek(0)
    if magic not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return None
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages[0]
        if page.dtype is not None and (page.dtype.kind not in "ub" or page.dtype.itemsize > 2):
            raise InputError(f"has {page.dtype} levels, whose range is not known; convert it to 16 bits first.")
        if page.dtype != np.uint16 or page.bitspersample != 16 or page.photometric not in _TIFF_COLOURS:
            return None
        # A tile may be larger than the picture, and is decoded as a whole.
        area = max(page.imagewidth, page.tilewidth) * max(page.imagelength, page.tilelength)
        layers = max(page.imagedepth, page.tiledepth)
        declared = f"{page.imagewidth} x {page.imagelength} pixels of {page.samplesperpixel} samples in {layers} layers"
        with within_budget(declared, area * layers * page.samplesperpixel * 2):
            array = page.asarray()
        if array.ndim > 3 or layers > 1:
            raise InputError(f"has {layers} layers, where a picture has one; convert it first.")
        array = np.moveaxis(array, 0, -1) if page.axes.startswith("S") else array
        array = array[..., None] if array.ndim == 2 else array
        colours = _TIFF_COLOURS[page.photometric]
        transparency = page.extrasamples[0] if page.extrasamples else None
        array = array[..., : colours + (transparency in _TIFF_ALPHA)]
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            array[..., 0] = 65535 - array[..., 0]
        if transparency == tifffile.EXTRASAMPLE.ASSOCALPHA:  # multiplied into the colours
            divided = array[..., :-1] * (65535.0 / np.maximum(array[..., -1:], 1))
            array[..., :-1] = np.floor(np.minimum(divided, 65535) + 0.5)
        values, exif = {tag.code: tag.value for tag in page.tags}, Image.Exif()
    for tag in _KEPT_EXIF & values.keys():
        exif[tag] = values[tag]
    upright = _upright(array, values.get(_TAG.Orientation, 1))
    icc, xmp = values.get(_TAG.InterColorProfile), values.get(_TAG.XMLPacket)
    return dataclasses.replace(from_array(upright), icc=icc, exif=exif, xmp=xmp)


def _upright(array: np.ndarray, orientation: int) -> np.ndarray:
    return np.ascontiguousarray(turn(array, _UPRIGHT.get(orientation, 0)))


def _kept_exif(image: Image.Image) -> Image.Exif:
    old, new = image.getexif(), Image.Exif()
    for tag in _KEPT_EXIF & old.keys():
        new[tag] = old[tag]
    for ifd in _KEPT_IFDS:
        new.get_ifd(ifd).update(old.get_ifd(ifd))
    # The picture's size, which will not be this any more.
    for tag in (_TAG.ExifImageWidth, _TAG.ExifImageHeight):
        new.get_ifd(ExifTags.IFD.Exif).pop(tag, None)
    return new


def check_fits(size: tuple[int, int], into: Format) -> None:
    """Raise an InputError if the format does not hold pictures of (height, width) pixels."""
    if max(size) > into.longest:
        raise InputError(
            f"the result would have {size[1]} x {size[0]} pixels, and {into.pillow} holds at most {into.longest} a "
            "side; choose another format, such as png."
        )


def write_photo(
    path: str | pathlib.Path,
    photo: Photo,
    *,
    into: Format | None = None,
    quality: int | None = None,
    metadata: bool = False,
) -> None:
    """Write a photo, through a temporary name.

    A format without transparency gets the photo on white, one without 16 bits gets it rounded to 8.

    Args:
      into: the format; by default that of the path's extension.
      quality: of JPEG (default 95) and WebP (95; 100 is lossless), 1 to 100.
      metadata: also write EXIF and XMP, as far as the format holds them. The colour profile is always written.

    Raises:
      InputError: too large for the format.
      OSError: cannot be written; nothing is left.
    """
    into = into or format_of(path)
    check_fits(photo.colour.shape[:2], into)
    photo = photo if into.alpha else on_white(photo)
    array = levels(photo) if into.sixteen else to_8_bit(levels(photo))
    exif, xmp = (photo.exif, photo.xmp) if metadata else (None, None)
    exif = Image.Exif() if exif is None else exif  # one that has only nested tables counts as false
    with replacing(path) as partial:
        if array.dtype == np.uint8 or array.shape[2] == 1:
            options = into.options(quality) | {"icc_profile": photo.icc} | _pillow_metadata(into, exif, xmp)
            image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
            image.save(partial, format=into.pillow, **{name: value for name, value in options.items() if value})
        elif into.pillow == "PNG":
            partial.write_bytes(
                _with_chunks(imagecodecs.png_encode(np.ascontiguousarray(array)), icc=photo.icc, exif=exif, xmp=xmp)
            )
        else:
            tifffile.imwrite(
                partial,
                array,
                photometric="rgb" if array.shape[2] > 2 else "minisblack",
                planarconfig="contig",
                extrasamples=None if photo.alpha is None else ["unassalpha"],
                compression="zlib",
                predictor=True,
                metadata=None,
                software=False,
                iccprofile=photo.icc,
                extratags=[(tag, "s", 0, value, True) for tag, value in exif.items() if isinstance(value, str)]
                + [(_TAG.XMLPacket, "B", len(packet), packet, True) for packet in (xmp,) if packet],
            )


def _nested(exif: Image.Exif) -> bool:
    """Return whether it has tables within the table, whose tags are not among its own."""
    return any(exif.get_ifd(ifd) for ifd in _KEPT_IFDS)


def _exif_bytes(exif: Image.Exif) -> bytes:
    return exif.tobytes() if exif or _nested(exif) else b""


def _pillow_metadata(into: Format, exif: Image.Exif, xmp: bytes | None) -> dict:
    """Return options that make Pillow write EXIF and XMP into a format."""
    if into.pillow == "PNG" and xmp:
        text = PngImagePlugin.PngInfo()
        text.add_itxt(_PNG_XMP, xmp.decode("utf-8", "replace"))
        return {"exif": _exif_bytes(exif), "pnginfo": text}
    if into.pillow == "TIFF":
        tags = Image.Exif()
        tags.load(_exif_bytes(exif))
        if xmp:
            tags[_TAG.XMLPacket] = xmp
        # Pillow compresses with libtiff, which it cannot make write nested tables.
        return {"exif": tags} | ({"compression": None} if _nested(exif) else {})
    return {"exif": _exif_bytes(exif), "xmp": xmp}


def _with_chunks(png: bytes, *, icc: bytes | None, exif: Image.Exif, xmp: bytes | None) -> bytes:
    """Return an encoded PNG with a profile, EXIF and XMP as chunks before its pixels (PNG specification, 11.3)."""
    contents = {
        b"iCCP": icc and b"ICC profile\0\0" + zlib.compress(icc),
        b"eXIf": _exif_bytes(exif).removeprefix(b"Exif\0\0"),
        b"iTXt": xmp and _PNG_XMP.encode() + bytes(5) + xmp,  # neither compressed, nor of a language
    }
    chunks = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in contents.items()
        if data
    )
    header = 8 + 25  # the signature and IHDR
    return png[:header] + chunks + png[header:]
