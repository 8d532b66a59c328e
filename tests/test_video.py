"""A second of video with sound, enlarged."""

import struct
from fractions import Fraction

import numpy as np
import pytest
from tiny import write_bicubic_network

from srgan_jax import generators
from srgan_jax.commands import upscale as upscale_command
from srgan_jax.errors import InputError
from srgan_jax.photos import video

av = pytest.importorskip("av")

HEIGHT, WIDTH = 24, 32
# Frames at irregular times, in 1/1000 s.
TIMES = [0, 40, 80, 120, 200, 240, 400, 440, 480, 960]
COLOUR = (200, 60, 30)


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    return write_bicubic_network(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Flat colour with a bar that moves, and a tone."""
    path = tmp_path_factory.mktemp("clip") / "clip.mkv"
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("libx264", rate=25, options={"crf": "1"})
        pictures.width, pictures.height, pictures.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        pictures.codec_context.time_base = Fraction(1, 1000)
        sound = container.add_stream("aac", rate=44100, layout="mono")
        for i, time in enumerate(TIMES):
            rgb = np.full((HEIGHT, WIDTH, 3), COLOUR, np.uint8)
            rgb[:, 2 * i : 2 * i + 4] = 255
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
        tone = (np.sin(np.arange(44100) / 20) * 0.3).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 44100, 0
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path


def read(path):
    """(times of the frames, the frames as RGB, packets of the sound)."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        container.seek(0)
        packets = [(packet.pts * packet.time_base, bytes(packet)) for packet in container.demux(audio=0) if packet.size]
    return [frame.time for frame in frames], [frame.to_ndarray(format="rgb24") for frame in frames], packets


@pytest.mark.parametrize("extension", [".mp4", ".mkv"])
def test_pictures_are_enlarged_sound_and_times_are_kept(clip, ckpt, tmp_path, extension):
    out = tmp_path / f"large{extension}"
    video.upscale_video(clip, out, generators.load(ckpt), tile=64)
    (times, frames, packets), (old_times, old_frames, old_packets) = read(out), read(clip)
    np.testing.assert_allclose(times, old_times, atol=1e-3)
    assert [data for _, data in packets] == [data for _, data in old_packets] and len(packets) > 30
    np.testing.assert_allclose(*([float(t) for t, _ in p] for p in (packets, old_packets)), atol=2e-3)
    assert frames[0].shape == (4 * HEIGHT, 4 * WIDTH, 3)
    for i, (new, old) in enumerate(zip(frames, old_frames, strict=True)):
        column = 4 * (2 * i + 14) % (4 * WIDTH - 8) + 4
        assert np.abs(new[48, column].astype(int) - old[12, column // 4]).max() <= 8, i


def test_turned_frames_are_upright(clip, ckpt, tmp_path):
    """A phone's video: the container tells the player to turn it clockwise by a quarter."""
    turned = tmp_path / "turned.mp4"
    video.upscale_video(clip, turned, generators.load(ckpt), tile=64, scale=1)
    data = bytearray(turned.read_bytes())
    matrix = data.index(b"tkhd") + 44  # of the track header (ISO 14496-12, 8.3.2): here the identity
    clockwise = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    assert struct.unpack(">9i", data[matrix : matrix + 36]) == (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    data[matrix : matrix + 36] = clockwise
    turned.write_bytes(data)
    video.upscale_video(turned, tmp_path / "out.mp4", generators.load(ckpt), tile=64, scale=2)
    flat, upright = (read(path)[1][4].astype(int) for path in (turned, tmp_path / "out.mp4"))
    assert upright.shape == (2 * WIDTH, 2 * HEIGHT, 3)
    assert np.abs(upright[::2, ::2] - np.rot90(flat, -1)).mean() < 12
    assert np.abs(upright[::2, ::2] - np.rot90(flat, 1)).mean() > 24


def test_scale_gives_even_sides(clip, ckpt, tmp_path):
    video.upscale_video(clip, tmp_path / "out.mp4", generators.load(ckpt), tile=64, scale=1.1)
    assert read(tmp_path / "out.mp4")[1][0].shape == (26, 36, 3)


@pytest.mark.parametrize(
    ("source", "out", "message"),
    [
        ("missing.mp4", "out.mp4", "no such file"),
        ("clip.mkv", "out.avi", "written as one of .mp4"),
        ("clip.mkv", "clip.mkv", "is an input and would be overwritten"),
        ("text.mp4", "out.mp4", "cannot be converted"),
        ("cut.mkv", "out.mp4", "cannot be converted|holds no"),
        ("clip.mkv", "out.webm", "its sound cannot be copied into .webm"),
    ],
)
def test_bad_input_leaves_nothing(clip, ckpt, tmp_path, source, out, message):
    (tmp_path / "clip.mkv").write_bytes(clip.read_bytes())
    (tmp_path / "cut.mkv").write_bytes(clip.read_bytes()[:300])
    (tmp_path / "text.mp4").write_text("no video")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=message):
        video.upscale_video(tmp_path / source, tmp_path / out, generators.load(ckpt), tile=64)
    assert sorted(tmp_path.iterdir()) == before


def test_the_command_takes_videos(clip, ckpt, tmp_path):
    flags = [str(clip), "-o", str(tmp_path / "out.mp4"), "--ckpt", str(ckpt)]
    assert upscale_command.run(upscale_command.parse_arguments(flags)) == 0
    assert len(read(tmp_path / "out.mp4")[1]) == len(TIMES)
    with pytest.raises(InputError, match=r"--scale: 0\.0 is no number above 0"):
        upscale_command.run(upscale_command.parse_arguments([*flags, "--scale", "0"]))
    with pytest.raises(InputError, match="--format is for pictures"):
        upscale_command.run(upscale_command.parse_arguments([*flags, "--format", "jpg"]))
    with pytest.raises(InputError, match="one at a time"):
        upscale_command.run(upscale_command.parse_arguments([str(clip), *flags]))
