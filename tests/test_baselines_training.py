"""How the baselines are trained: optimizers, luma as a loss, recursive supervision, memory, and the recipes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from baselines_small import NETWORKS, variables_of
from tiny import make_tiny_batch, make_tiny_config, quick_jit, read_state

from srgan_jax.configs import base, baselines
from srgan_jax.errors import InputError
from srgan_jax.images.luma import luma
from srgan_jax.losses import Context
from srgan_jax.losses.luma import luma_mse, recursive_supervision
from srgan_jax.models import DRCN, architecture_in, create_generator
from srgan_jax.training import loop, steps
from srgan_jax.training.memory import kept_for_gradient, memory_note
from srgan_jax.training.optimizers import clip_by_rate, create_optimizer
from srgan_jax.training.stages import create_stage

DRCN_FIELDS = {"network": "drcn", "features": 4, "recursions": 2}
TINY = {"scale": 2, "losses__mse": 0.0}


def luma_config(architecture, term, **changes):
    """A tiny run of a network of luma."""
    config = make_tiny_config(**TINY, **changes)
    with config.unlocked():
        config.generator = architecture
        config.losses[term] = 1.0
    return config


def optimizer_config(**fields):
    config = base.get_config().optimizer
    config.update(fields)
    return config


def test_by_default_the_optimizer_is_adam_with_the_state_of_older_checkpoints():
    params = {"output": {"kernel": jnp.ones(3)}}
    ours = create_optimizer(optimizer_config(), lambda step: 1e-3).init(params)
    theirs = optax.adam(lambda step: 1e-3, b1=0.9, b2=0.999, eps=1e-8).init(params)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)


def test_sgd_is_pytorchs():
    """With momentum, weight decay, a rate that falls, and a slower last layer."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    start = {name: rng.standard_normal(5).astype(np.float32) for name in ("stem", "output")}
    gradients = [{name: rng.standard_normal(5).astype(np.float32) for name in start} for _ in range(5)]
    rates = [0.1, 0.1, 0.01, 0.01, 0.01]

    theirs = {name: torch.nn.Parameter(torch.tensor(array)) for name, array in start.items()}
    groups = [{"params": [parameter]} for parameter in theirs.values()]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=1e-2)
    for rate, gradient in zip(rates, gradients, strict=True):
        for group, (name, parameter) in zip(optimizer.param_groups, theirs.items(), strict=True):
            group["lr"] = rate * (0.25 if name == "output" else 1)
            parameter.grad = torch.tensor(gradient[name])
        optimizer.step()

    config = optimizer_config(name="sgd", weight_decay=1e-2)
    tx = create_optimizer(config, lambda step: jnp.asarray(rates)[step], output_rate=0.25)
    params = {name: {"kernel": jnp.asarray(array)} for name, array in start.items()}
    state = tx.init(params)
    for gradient in gradients:
        updates, state = tx.update({name: {"kernel": array} for name, array in gradient.items()}, state, params)
        params = optax.apply_updates(params, updates)
    for name, parameter in theirs.items():
        np.testing.assert_allclose(params[name]["kernel"], parameter.detach(), rtol=1e-6, atol=1e-7)


def test_gradients_are_clipped_by_the_rate():
    """An update of plain SGD is at most the bound, also where a warm-up starts at a rate of zero."""
    rates = jnp.array([0.0, 0.5, 0.1])
    tx, gradient = clip_by_rate(0.01, lambda step: rates[step]), {"layer": jnp.array([-3.0, 0.002, 0.09])}
    state = tx.init(gradient)
    for expected in ([-3.0, 0.002, 0.09], [-0.02, 0.002, 0.02], [-0.1, 0.002, 0.09]):
        clipped, state = tx.update(gradient, state)
        np.testing.assert_allclose(clipped["layer"], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer__name": "sdg"}, "config.optimizer.name: no 'sdg'; did you mean 'sgd'"),
        ({"optimizer__clip": -1.0}, "config.optimizer.clip must be at least 0"),
        ({"optimizer__output_rate": -1.0}, "config.optimizer.output_rate must be at least 0"),
        (
            {"channels": 4, "losses__luma_mse": 1.0},
            "config.losses.luma_mse compares luma, which .* channels=4 have not",
        ),
        ({"optimizer__weight_decay": -1.0}, "config.optimizer.weight_decay must be at least 0"),
    ],
)
def test_impossible_recipes_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        create_stage(make_tiny_config(**changes))


def test_luma_mse_is_that_of_luma():
    rng = np.random.default_rng(0)
    sr, hr = (rng.uniform(-1, 1, (2, 4, 4, 3)).astype(np.float32) for _ in range(2))
    weights = np.array([65.481, 128.553, 24.966]) / 255
    expected = np.mean((((sr - hr) / 2) @ weights) ** 2)
    np.testing.assert_allclose(luma_mse(Context(sr, hr)), expected, rtol=1e-5)
    np.testing.assert_allclose(
        luma_mse(Context(sr[..., :1], hr[..., :1])), np.mean((sr - hr)[..., 0] ** 2) / 4, rtol=1e-5
    )


@pytest.mark.parametrize("progress", [0.0, 0.25, 1.0])
def test_recursive_supervision_passes_from_the_estimates_to_the_result(progress):
    rng = np.random.default_rng(0)
    hr = np.zeros((2, 4, 4, 1), np.float32)
    sr = rng.uniform(-1, 1, hr.shape).astype(np.float32)
    estimates = rng.random((2, 4, 4, 3), np.float32)
    of_estimates, of_result = np.mean((estimates - 0.5) ** 2), np.mean(sr**2) / 4
    ours = recursive_supervision(Context(sr, hr, estimates=estimates, progress=progress))
    np.testing.assert_allclose(ours, (1 - progress) * of_estimates + progress * of_result, rtol=1e-5)


def test_recursive_supervision_needs_a_network_that_gives_estimates():
    config = luma_config({"network": "vdsr", "features": 4, "num_layers": 2}, "recursive_supervision")
    stage, batch = create_stage(config), make_tiny_batch(config)
    state = jax.eval_shape(stage.init, jax.random.key(0))
    with pytest.raises(InputError, match="needs a generator that gives estimates on its way, such as drcn"):
        jax.eval_shape(stage.step, state, batch, {}, jax.random.key(1))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_of_drcn_equals_a_plain_account_of_it(accumulate):
    """The loss of estimates and result, and its gradient, by jax.grad alone; halfway through the run."""
    config = luma_config(DRCN_FIELDS, "recursive_supervision", num_steps=4, accumulate=accumulate)
    stage, batch = create_stage(config), make_tiny_batch(config)
    state = quick_jit(stage.init)(jax.random.key(0))
    state["g"] = state["g"].replace(step=jnp.int32(2))
    after, metrics = quick_jit(stage.step)(state, batch, stage.frozen, jax.random.key(1))
    module = create_generator(architecture_in(config.to_dict()))

    @quick_jit
    def reference(params, batch):
        lr, hr = steps.degrade(batch, 2)

        def loss(params):
            sr, auxiliary = module.apply({"params": params}, lr, train=True, mutable=["auxiliary"])
            target = luma((hr + 1) / 2)
            l1 = sum(
                jnp.mean((estimate[..., None] - target) ** 2) / 2
                for estimate in jnp.moveaxis(auxiliary["auxiliary"]["estimates"][0], -1, 0)
            )
            return 0.5 * l1 + 0.5 * jnp.mean((luma((sr + 1) / 2) - target) ** 2)

        return jax.value_and_grad(loss)(params)

    value, gradient = reference(state["g"].params, batch)
    np.testing.assert_allclose(metrics["g/recursive_supervision"], value, rtol=1e-5)
    np.testing.assert_allclose(metrics["g/grad_norm"], optax.tree.norm(gradient), rtol=1e-4)
    for ours, theirs in zip(jax.tree.leaves(after["g"].opt_state[0].mu), jax.tree.leaves(gradient), strict=True):
        assert np.abs(theirs).max() > 0
        np.testing.assert_allclose(ours / 0.1, theirs, rtol=0, atol=2e-5 * np.abs(theirs).max())


def test_drcn_trains_resumes_and_says_what_memory_it_takes(tmp_path, capsys, monkeypatch):
    """A resumed run equals an uninterrupted one: the weight of the estimates follows the step."""
    config = luma_config(DRCN_FIELDS, "recursive_supervision", num_steps=4, save_every=2)
    config.optimizer.update({"name": "sgd", "clip": 0.01, "weight_decay": 1e-4})
    loop.train(config, tmp_path / "whole")
    assert "drcn: the features that wait for the gradient take" in capsys.readouterr().out
    with monkeypatch.context() as patch:  # stopped halfway
        prefetch = loop.prefetch
        patch.setattr(loop, "prefetch", lambda loader, start, stop, **rest: prefetch(loader, start, 2, **rest))
        loop.train(config, tmp_path / "parts")
    assert read_state(tmp_path / "parts", config)[0] == 2
    loop.train(config, tmp_path / "parts")
    whole, parts = (read_state(tmp_path / folder, config) for folder in ("whole", "parts"))
    assert whole[0] == parts[0] == 4
    for ours, theirs in zip(*map(jax.tree.leaves, (whole[1], parts[1])), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_memory_of_recursions():
    """Each recursion adds some maps of features: two that convolutions read, and what the ReLUs keep."""
    few, more = (kept_for_gradient(DRCN(features=32, recursions=n), (2, 8, 8, 3)) for n in (2, 6))
    maps = (more - few) / 4 / (2 * 32 * 32 * 32 * 4)
    assert 2 <= maps <= 6
    config = baselines.get_config("drcn_paper")
    note = memory_note(config, 2)
    assert memory_note(make_tiny_config(), 1) is None
    kept = kept_for_gradient(DRCN(), (32, 10, 10, 3)) / 2**30
    assert f"take {kept:.2f} GiB on each device" in note and 3 < kept < 5


NAMES = [*(f"{name}_paper" for name in baselines.PAPERS), *(f"{name}_common" for name in baselines.NETWORKS)]


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_makes_a_stage(name):
    config = baselines.get_config(name)
    assert create_stage(config).learning_rate(0) >= 0
    assert config.generator.network == name.partition("_")[0]
    assert sum(weight > 0 for weight in config.losses.values()) == 1


def test_the_common_recipe_is_common():
    configs = [baselines.get_config(f"{name}_common").to_dict() for name in baselines.NETWORKS]
    for config in configs:
        del config["generator"], config["losses"]
    assert all(config == configs[0] for config in configs)


def test_an_unknown_recipe_is_named():
    with pytest.raises(ValueError, match=r"no recipe 'srresnet_paper'; choose from srcnn_paper, .*srresnet_common"):
        baselines.get_config("srresnet_paper")


@pytest.mark.parametrize("name", ["srcnn", "espcn", "vdsr"])
def test_sums_over_pixels_are_means_with_a_weight(name):
    """The rates of the papers belong to half the sum over a crop: the weight makes the same of a mean."""
    config = baselines.get_config(f"{name}_paper")
    (weight,) = (weight for weight in config.losses.values() if weight)
    assert weight == (1.0 if name == "espcn" else config.data.crop_size**2 / 2)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "mdsr"])  # a head is for its scale alone
def test_the_gradient_reaches_every_array(name):
    module, lr = NETWORKS[name], np.random.default_rng(0).random((1, 8, 8, 3), np.float32)
    gradient = quick_jit(jax.grad(lambda params: jnp.mean(module.apply({"params": params}, lr) ** 2)))(
        variables_of(module)["params"]
    )
    assert all(np.abs(array).max() > 0 and np.isfinite(array).all() for array in jax.tree.leaves(gradient))
