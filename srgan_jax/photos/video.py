"""A video -> a larger one, frame by frame; its sound is copied and its timestamps are kept."""

import functools
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import jax
import numpy as np

from srgan_jax.errors import InputError, install, printable
from srgan_jax.files import check_outputs, replacing
from srgan_jax.photos.enlarging import enlarge
from srgan_jax.photos.photo import from_array
from srgan_jax.progress import Progress, duration, say
from srgan_jax.upscaling import TILE, Upscaler
from srgan_jax.upscaling.options import check_scale
from srgan_jax.upscaling.upscaler import TrainedNetwork

if TYPE_CHECKING:
    import av

# Containers, and what their pictures are encoded with: at high quality, as they were compressed once before.
ENCODERS = {
    **dict.fromkeys((".mp4", ".m4v", ".mov", ".mkv"), ("libx264", {"crf": "16", "preset": "medium"})),
    ".webm": ("libvpx-vp9", {"crf": "20", "b:v": "0"}),
}
EXTENSIONS = {*ENCODERS, ".avi", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".3gp"}
_PIXELS = "yuv420p"


def is_video(path: str | pathlib.Path) -> bool:
    """Return whether the name is that of a video."""
    return pathlib.Path(path).suffix.lower() in EXTENSIONS


def upscale_video(
    source: str | pathlib.Path,
    out: str | pathlib.Path,
    generator: TrainedNetwork,
    *,
    scale: float | None = None,
    tile: int = TILE,
    ensemble: bool = False,
    consistent: bool | None = None,
    reference: TrainedNetwork | None = None,
    max_invention: float | None = None,
    metadata: bool = False,
) -> None:
    """Enlarge a video; its frames become 8-bit.

    Args:
      source, out: paths; `out` ends in one of ENCODERS.
      generator: generators.Generator.
      scale: of the result, by default the network's; sides are rounded down to even numbers of pixels.
      tile, ensemble: see upscaling.Upscaler.
      consistent: see enlarging.enlarge; frames are made consistent before they are encoded.
      reference, max_invention: see enlarging.enlarge; the bound holds before frames are encoded. The reference is a
        generators.Generator.
      metadata: keep title, date, place and the like.

    Raises:
      InputError: an option is out of its range, PyAV is not installed, there is no such file or no video in it, the
        file is damaged, or the container does not take its sound. Nothing is left then.
    """
    check_scale(scale)
    try:
        import av
    except ImportError:
        raise InputError(f"videos need PyAV: {install('video')}.") from None
    source, out = pathlib.Path(source), pathlib.Path(out)
    if not source.is_file():
        raise InputError(f"{source}: no such file.")
    if out.suffix.lower() not in ENCODERS:
        raise InputError(f"{out}: a video is written as one of {' '.join(ENCODERS)}.")
    check_outputs([(out, source)], [source])
    upscaler, *compared = (
        Upscaler(network, tile=tile, ensemble=ensemble, devices=jax.local_devices())
        for network in (generator, reference)
        if network is not None
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    try:
        with replacing(out) as partial, av.open(str(source)) as pictures, av.open(str(source)) as sound:
            if not pictures.streams.video:
                raise InputError(f"{source}: holds no video.")
            with av.open(str(partial), "w") as result:
                convert = functools.partial(
                    enlarge,
                    upscaler=upscaler,
                    scale=scale,
                    consistent=consistent,
                    reference=compared[0] if compared else None,
                    max_invention=max_invention,
                )
                width, height = _convert(pictures, sound, result, convert, out.suffix.lower(), metadata)
        say(f"{printable(out)}, {width} × {height}, {duration(time.perf_counter() - start)}")
    except av.error.FFmpegError as error:
        raise InputError(f"{source}: cannot be converted ({error.strerror}).") from None


def _convert(
    pictures: "av.container.InputContainer",
    sound: "av.container.InputContainer",
    result: "av.container.OutputContainer",
    convert: Callable[..., Iterator[tuple["av.VideoFrame", "av.VideoFrame"]]],
    container: str,
    metadata: bool,
) -> tuple[int, int]:
    """Enlarge the frames and copy the sound; returns (width, height) of the result."""
    from av import VideoFrame

    shown = pictures.streams.video[0]
    shown.thread_type = "AUTO"
    encoder, options = ENCODERS[container]
    encoded = result.add_stream(encoder, rate=shown.average_rate or 25, options=options)
    try:
        copied = {stream.index: result.add_stream_from_template(stream) for stream in sound.streams.audio}
    except ValueError as error:
        raise InputError(f"{pictures.name}: its sound cannot be copied into {container} ({error}); try .mkv.") from None
    if metadata:
        result.metadata.update(pictures.metadata)
    packets = sound.demux(*sound.streams.audio) if copied else iter(())

    def decode(frame):
        # Turned as its player would.
        rgb = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
        return from_array(np.ascontiguousarray(rgb))

    def encode(frame, _, enlarged, __):
        height, width = (max(2, n // 2 * 2) for n in enlarged.colour.shape[:2])
        return VideoFrame.from_ndarray(np.ascontiguousarray(enlarged.colour[:height, :width]), "rgb24")

    def copy_sound(until):
        """Copy sound into the file beside the pictures that it belongs to."""
        for packet in packets:
            if packet.dts is None:  # the end
                continue
            packet_time = packet.dts * packet.time_base
            packet.stream = copied[packet.stream.index]
            result.mux(packet)
            if packet_time > until:
                return

    start, megapixels = time.perf_counter(), 0.0
    with Progress(shown.frames or None, unit="frame") as bar:
        for old, frame in convert(pictures.decode(shown), decode=decode, encode=encode):
            if not megapixels:
                encoded.width, encoded.height, encoded.pix_fmt = frame.width, frame.height, _PIXELS
                encoded.codec_context.time_base = old.time_base
                # What to_ndarray has converted from: BT.601 in video levels, whatever the original's tags say.
                encoded.codec_context.colorspace, encoded.codec_context.color_range = 5, 1
            frame.pts, frame.time_base = old.pts, old.time_base
            result.mux(encoded.encode(frame))
            copy_sound(old.time)
            megapixels += frame.height * frame.width / 1e6
            bar.note(f"{megapixels / (time.perf_counter() - start):.2f} megapixels/s")
            bar.update()
    if not megapixels:
        raise InputError(f"{pictures.name}: holds no frame that can be decoded.")
    result.mux(encoded.encode(None))
    copy_sound(float("inf"))
    return encoded.width, encoded.height
