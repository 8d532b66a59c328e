"""hf://USER/NAME against a stand-in for the Hugging Face Hub."""

import dataclasses
import json
import sys

import numpy as np
import pytest
from hub_server import running
from tiny import write_bicubic_network

import srgan_jax
from srgan_jax.commands import weights as command
from srgan_jax.errors import InputError
from srgan_jax.weights import hub as client
from srgan_jax.weights.card import model_card

huggingface_hub = pytest.importorskip("huggingface_hub")
constants = pytest.importorskip("huggingface_hub.constants")

DATASETS = {"Set5": {"mean": {"matlab": {"psnr": 30.25, "ssim": 0.8577}, "lpips_alex": None}}}
INFO = {
    "config": {"stage": "content", "batch_size": 16, "data": {"path": "/home/somebody/photos"}},
    "step": 6000,
    "evaluation": {"psnr": 27.9, "datasets": DATASETS},
}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    with running() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


@pytest.fixture
def generator(tmp_path):
    generator = srgan_jax.load(write_bicubic_network(tmp_path / "bicubic.safetensors"))
    return dataclasses.replace(generator, info=INFO)


def test_what_is_pushed_is_loaded(hub, generator):
    url = generator.push_to_hub("user/bicubic-x4", private=True)
    assert url == f"{hub.address}/user/bicubic-x4/commit/{1:040x}"
    assert set(hub.repositories["user/bicubic-x4"]) == {"model.safetensors", "config.json", "README.md"}
    assert hub.private == {"user/bicubic-x4"}
    loaded = srgan_jax.load("hf://user/bicubic-x4")
    assert loaded.sha256() == generator.sha256() and loaded.name == "hf://user/bicubic-x4"
    assert srgan_jax.load("hf://user/bicubic-x4@main").sha256() == generator.sha256()
    assert loaded.info["config"]["data"]["path"] == "photos"  # the folders of the machine stay on it
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    np.testing.assert_array_equal(loaded.upscale(picture), generator.upscale(picture))
    config = json.loads(hub.repositories["user/bicubic-x4"]["config.json"])
    assert config["architecture"] == generator.architecture


def test_the_card_has_scores_for_people_and_for_the_hub(hub, generator):
    generator.push_to_hub("hf://user/bicubic-x4")
    text = hub.repositories["user/bicubic-x4"]["README.md"].decode()
    card = huggingface_hub.ModelCard(text)
    assert card.data.library_name == "srgan_jax" and card.data.pipeline_tag == "image-to-image"
    scores = {(result.dataset_name, result.metric_name): result.metric_value for result in card.data.eval_results}
    assert scores == {("Set5", "matlab psnr"): 30.25, ("Set5", "matlab ssim"): 0.8577}
    assert "| Set5 | 30.25 | 0.8577 |" in card.text
    assert 'srgan_jax.load("hf://user/bicubic-x4")' in card.text and "6,000 updates of 16 crops" in card.text
    assert "/home/somebody" not in text and "has not stated a licence" in card.text


@pytest.mark.parametrize(
    ("licence", "expected", "said"),
    [
        ("apache-2.0", ("apache-2.0", None), "apache-2.0."),
        ("for research", ("other", "see-model-card"), "for research."),
    ],
)
def test_the_card_states_the_licence(generator, licence, expected, said):
    card = huggingface_hub.ModelCard(model_card("user/x", generator.architecture, {"license": licence}))
    assert (card.data.license, card.data.get("license_name")) == expected
    assert f"## Licence\n\n{said}" in card.text and "It was not evaluated." in card.text


def test_a_card_that_is_there_is_kept(hub, generator):
    hub.repositories["user/model"] = {"README.md": b"mine", "model.safetensors": b"old"}
    generator.push_to_hub("user/model")
    assert hub.repositories["user/model"]["README.md"] == b"mine"
    assert srgan_jax.load("hf://user/model").sha256() == generator.sha256()


def test_the_command_pushes_with_a_licence(hub, tmp_path, generator, capsys):
    command.main(["push", str(tmp_path / "bicubic.safetensors"), "hf://user/model", "--license", "cc0-1.0", "--half"])
    assert capsys.readouterr().out == f"{hub.address}/user/model/commit/{1:040x}\n"
    assert srgan_jax.load("hf://user/model").info["license"] == "cc0-1.0"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://user", "an address on the Hub is hf://USER/NAME"),
        ("hf://user/missing", "hf://user/missing: there is no such repository, or it is closed to you"),
        ("hf://user/gated", "its owner grants access one by one"),
        ("hf://user/other", "holds no model.safetensors"),
        ("hf://user/other@v2", "no such branch, tag or commit"),
        ("hf://user/-.-", "the Hub does not allow this name"),
        ("hf://user/damaged", "cannot be read"),
    ],
)
def test_what_cannot_be_loaded_ends_in_a_sentence(hub, address, message):
    hub.gated.add("user/gated")
    hub.repositories |= {"user/other": {"pytorch_model.bin": b""}, "user/damaged": {"model.safetensors": b"damaged"}}
    with pytest.raises(InputError, match=message):
        srgan_jax.load(address)


def test_a_push_that_is_refused_ends_in_a_sentence(hub, generator):
    hub.closed.add("user/theirs")
    with pytest.raises(InputError, match=r"hf://user/theirs: the Hub has refused this .*to write to it, log in"):
        generator.push_to_hub("user/theirs")


def test_without_a_connection_the_cache_serves(hub, generator, monkeypatch):
    generator.push_to_hub("user/model")
    client.fetch("hf://user/model")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert srgan_jax.load("hf://user/model").sha256() == generator.sha256()
    with pytest.raises(InputError, match="cannot be fetched, and is not in the cache"):
        client.fetch("hf://user/another")


def test_without_the_library_a_sentence_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'srgan-jax\[hub\]'"):
        srgan_jax.load("hf://user/model")
