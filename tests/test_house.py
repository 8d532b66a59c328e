"""Every further idea is one file and one row: a generator, a loss with D's side, a metric and a source from this file.

They are registered without a change inside of the package, and then trained in both stages, resumed, evaluated,
enlarged in tiles, released, loaded and exported.
"""

import dataclasses
import json
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from tiny import ADVERSARIAL, make_tiny_config, read_state

from srgan_jax import generators, losses, metrics, models
from srgan_jax.data import sources
from srgan_jax.evaluation import command
from srgan_jax.exchange import export
from srgan_jax.losses import Term
from srgan_jax.models import GeneratorNetwork
from srgan_jax.models.layers import PReLU, conv, pixel_shuffle
from srgan_jax.training import loop
from srgan_jax.weights.release import write_release


class Recursive(GeneratorNetwork):
    """A toy without residual blocks: one convolution, applied again and again, and a pixel shuffle."""

    VALUES: ClassVar = {"scale": (2, 3, 4)}

    scale: int = 4
    channels: int = 3
    features: int = 8
    recursions: int = 3
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        self.stem = conv(self.features, (3, 3), dtype=self.dtype)
        self.shared = conv(self.features, (3, 3), dtype=self.dtype)
        self.activation = PReLU()
        self.head = conv(self.channels * self.scale**2, (5, 5), dtype=self.dtype)

    def __call__(self, lr, *, train=False):
        x = self.stem(lr)
        for _ in range(self.recursions):
            x = self.activation(self.shared(x))
        return 2 * pixel_shuffle(self.head(x).astype(jnp.float32), self.scale) - 1

    @property
    def receptive_radius(self):
        return 1 + self.recursions + 2

    def describe(self, graph, lr):
        x = graph.conv(lr, "stem")
        for _ in range(self.recursions):
            x = graph.prelu(graph.conv(x, "shared"), "activation")
        return graph.shuffle(graph.conv(x, "head"), self.scale)


def hinge_discriminator(context):
    return jnp.mean(nn.relu(1 - context.real_logits)) + jnp.mean(nn.relu(1 + context.fake_logits))


def gradient_penalty(context):
    gradients = jax.grad(lambda images: context.judge(images).sum())(context.hr)
    return jnp.mean(jnp.square(gradients))


def relativistic(context):
    """G's side looks at D's logits of HR, and draws a random number."""
    noise = 1e-6 * jax.random.normal(context.key, ())
    return jnp.mean(jax.nn.softplus(context.real_logits - context.fake_logits)) + noise


class Gradients:
    """A toy source: six pictures of colours that change smoothly."""

    raw = False

    def __len__(self):
        return 6

    def name(self, index):
        return f"gradient{index}"

    def __getitem__(self, index):
        rows, columns = np.mgrid[0:48, 0:56]
        return np.stack([rows * 5, columns * 4, (rows + columns) * (index + 1) % 256], -1).astype(np.uint8)

    def size(self, index):
        return 48, 56

    def identity(self, index):
        return "drawn"


@pytest.fixture(scope="module")
def toys():
    """The four toys in their registries."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.GENERATORS, "recursive", Recursive)
        patch.setitem(sources.SOURCES, "gradients", lambda data, channels: Gradients())
        patch.setitem(
            losses.TERMS,
            "toy",
            Term(generator=relativistic, discriminator=hinge_discriminator, penalty=gradient_penalty),
        )
        row = dataclasses.replace(
            metrics.METRICS["psnr"],
            name="brightness",
            label="brightness",
            definition="the mean level of SR",
            best=128.0,
            needs=(),
            make=lambda path: lambda samples: [float(sample.sr.mean()) for sample in samples],
        )
        patch.setitem(metrics.METRICS, "brightness", row)
        yield


def make_config(stage, **changes):
    adversarial = ADVERSARIAL | {"losses__adversarial": 0.0, "losses__toy": 0.1}
    config = make_tiny_config(
        **(adversarial if stage == "adversarial" else {}),
        data__source="gradients",
        data__holdout=0.3,
        data__crop_size=32,
        eval_metrics="psnr,brightness",
        best_metric="brightness",
        eval_every=2,
        save_every=2,
        **changes,
    )
    with config.unlocked():
        config.generator = {"network": "recursive", "features": 8, "recursions": 2}
    return config


@pytest.fixture(scope="module")
def run(toys, tmp_path_factory):
    """Content training, adversarial training from it, and two more steps of the second."""
    folder = tmp_path_factory.mktemp("toys")
    loop.train(make_config("content"), folder / "content")
    changes = {"init_from": str(folder / "content"), "ema_decay": 0.9}
    loop.train(make_config("adversarial", num_steps=2, **changes), folder / "gan")
    loop.train(make_config("adversarial", num_steps=4, **changes), folder / "gan")
    return folder / "gan"


def test_they_train_and_resume(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (last,) = (line for line in lines if line["step"] == 4 and "g/loss" in line)
    assert last["g/toy"] > 0 and last["d/toy"] > 0 and last["d/loss"] > 0
    (scores,) = (line for line in lines if line["step"] == 4 and "g/loss" not in line)
    assert 0 <= scores["held_out/brightness"] <= 255 and scores["held_out_ema/brightness"] is not None
    assert read_state(run, make_config("adversarial", num_steps=4, ema_decay=0.9))[0] == 4


def test_they_are_evaluated(run, tmp_path):
    (tmp_path / "set").mkdir()
    Image.fromarray(Gradients()[0]).save(tmp_path / "set" / "a.png")
    out = tmp_path / "out"
    command.evaluate_and_report(
        str(run), [f"set={tmp_path / 'set'}"], out, protocols=["matlab"], metrics=["psnr", "brightness"]
    )
    results = json.loads((out / "results.json").read_text())
    written = np.asarray(Image.open(out / "set" / "a.png"))
    assert results["datasets"]["set"]["mean"]["brightness"] == pytest.approx(written.mean())


def test_they_are_enlarged_in_tiles_released_loaded_and_exported(run, tmp_path):
    generator = generators.load(f"{run}:ema")
    picture = np.random.default_rng(0).integers(0, 256, (37, 50, 3), np.uint8)
    whole = generator.upscale(picture, tile=0)
    assert whole.shape == (148, 200, 3) and whole.std() > 5
    np.testing.assert_array_equal(generator.upscale(picture, tile=16), whole)

    path = tmp_path / "toy.safetensors"
    write_release(path, generator.architecture, generator.variables, info=generator.info)
    again = generators.load(path)
    assert again.architecture == generator.architecture and again.architecture["network"] == "recursive"
    np.testing.assert_array_equal(again.upscale(picture), generator.upscale(picture))

    pytest.importorskip("onnxruntime")
    assert "largest difference" in export.export(again, tmp_path / "toy.onnx")
