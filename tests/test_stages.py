"""The stages: the degradation, and each step against a plain account of it and against PyTorch."""

import importlib
import itertools
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict
from tiny import ADVERSARIAL, make_tiny_batch, make_tiny_config, quick_jit

from srgan_jax import images, models
from srgan_jax.configs import release
from srgan_jax.errors import InputError
from srgan_jax.images.resize import MARGIN_LR, imresize
from srgan_jax.losses.adversarial import vanilla_discriminator
from srgan_jax.models.layers import batch_norm
from srgan_jax.training import checks, frozen, stages, steps
from srgan_jax.training.schedules import SCHEDULES


@pytest.mark.parametrize("scale", [2, 4])
def test_degrade_cuts_and_turns_the_whole_pictures_lr(scale):
    """Bit for bit, for all eight turns, at the picture's corners too."""
    rng = np.random.default_rng(0)
    crop, margin = 8 * scale, MARGIN_LR * scale
    picture = rng.integers(0, 256, (3 * crop, 4 * crop, 3), np.uint8)
    padded = np.pad(picture, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    starts = [(0, 0), (2 * crop, 3 * crop), (scale, 5 * scale), (3 * scale, 2 * scale)] * 2
    turns = np.arange(8, dtype=np.int32)
    size = crop + 2 * margin
    batch = {"hr": np.stack([padded[y : y + size, x : x + size] for y, x in starts]), "turn": turns}

    lr, hr = quick_jit(lambda batch: steps.degrade(batch, scale))(batch)
    assert lr.dtype == hr.dtype == jnp.float32
    whole = imresize(picture, 1 / scale)
    for i, (y, x) in enumerate(starts):
        for image, source, step, levels in (
            (lr[i], whole, scale, lambda x: np.asarray(x, np.float64) * 255),
            (hr[i], picture, 1, lambda x: (np.asarray(x, np.float64) + 1) * 127.5),
        ):
            expected = source[y // step : (y + crop) // step, x // step : (x + crop) // step]
            expected = expected[:, ::-1] if i & 1 else expected
            expected = expected[::-1] if i & 2 else expected
            expected = expected.transpose(1, 0, 2) if i & 4 else expected
            np.testing.assert_array_equal(np.rint(levels(image)), expected)
            np.testing.assert_allclose(levels(image), expected, atol=2e-5)


def test_turns_are_the_eight_symmetries_of_the_square():
    square = np.arange(9, dtype=np.int32).reshape(1, 3, 3, 1).repeat(8, 0)
    turned = np.asarray(images.turn(jnp.asarray(square), jnp.arange(8)))[..., 0]
    symmetries = [np.rot90(x, k) for x in (square[0, ..., 0], square[0, ..., 0].T) for k in range(4)]
    assert {x.tobytes() for x in turned} == {np.ascontiguousarray(x).tobytes() for x in symmetries}


def flat(tree):
    return flatten_dict(tree, sep="/")


def moments(network):
    """Adam's first moment after one step is 0.1 of the gradient."""
    return jax.tree.map(lambda m: np.asarray(m) / 0.1, network.opt_state[0].mu)


def assert_trees_close(ours, theirs, tolerance):
    """Each array, relative to its largest value."""
    ours, theirs = flat(ours), flat(theirs)
    assert ours.keys() == theirs.keys()
    for key in ours:
        largest = np.abs(np.asarray(theirs[key])).max()
        np.testing.assert_allclose(ours[key], theirs[key], rtol=0, atol=tolerance * largest + 1e-9, err_msg=key)


STAGES = {
    "content": {"losses__mse": 1.0},
    "adversarial": {"stage": "adversarial", "losses__mse": 1.0, "losses__adversarial": 1e-2, "data__crop_size": 32},
}
# For what does not depend on the layers of D.
SMALL = STAGES | {"adversarial": ADVERSARIAL | {"losses__mse": 1.0, "losses__adversarial": 1e-2}}
ROWS = 4


def step_of(config, batch):
    """(state before, after, metrics) of one step."""
    stage = stages.create_stage(config)
    before = quick_jit(stage.init)(jax.random.key(0))
    return before, *quick_jit(stage.step)(before, batch, stage.frozen, jax.random.key(1))


@pytest.fixture(scope="module", params=STAGES)
def run(request):
    """(config, batch, state before, state after, metrics) of one step."""
    return run_of(STAGES[request.param])


def run_of(fields):
    config = make_tiny_config(**fields)
    batch = make_tiny_batch(config, rows=ROWS)
    return config, batch, *step_of(config, batch)


@pytest.fixture(scope="module")
def small_run():
    """An adversarial step with a small D."""
    return run_of(SMALL["adversarial"])


def test_a_step_changes_what_it_should(run):
    config, _, before, after, metrics = run
    networks = {"content": {"g"}, "adversarial": {"g", "d"}}[config.stage]
    assert set(before) == set(after) == networks
    assert jax.tree.structure(before) == jax.tree.structure(after)
    for name in networks:
        assert after[name].step == before[name].step + 1
        for field in ("params", "batch_stats"):
            old, new = flat(getattr(before[name], field)), flat(getattr(after[name], field))
            assert [key for key in old if np.array_equal(old[key], new[key])] == []
    expected = {"g/loss", "g/grad_norm", "g/mse"}
    if "d" in networks:
        expected |= {"g/adversarial", "d/loss", "d/real", "d/fake", "d/grad_norm"}
    assert set(metrics) == expected


def test_a_step_equals_a_plain_account_of_it(run):
    """Gradients through everything by jax.grad, with a forward pass for each, and two explicit updates."""
    config, batch, before, after, metrics = run
    tx = optax.adam(config.optimizer.learning_rate)
    adversarial = config.stage == "adversarial"

    def apply(network, params, x):
        variables = {"params": params, "batch_stats": network["batch_stats"]}
        return network["apply"](variables, x, train=True, mutable=["batch_stats"])

    def update(network, grads):
        updates, _ = tx.update(grads, tx.init(network["params"]), network["params"])
        return optax.apply_updates(network["params"], updates)

    @quick_jit
    def reference(variables, batch):
        g = models.create_generator(models.architecture_in(config.to_dict()))
        modules = {"g": g, "d": models.create_discriminator(config.discriminator.to_dict())}
        networks = {name: variables[name] | {"apply": modules[name].apply} for name in variables}
        g, result = networks["g"], {}
        lr, hr = steps.degrade(batch, config.scale)
        if adversarial:
            d = networks["d"]
            sr = apply(g, g["params"], lr)[0]

            def d_loss(params):
                return vanilla_discriminator(apply(d, params, hr)[0], apply(d, params, sr)[0])

            result["d/loss"], grads = jax.value_and_grad(d_loss)(d["params"])
            _, of_real = apply(d, d["params"], hr)
            _, of_both = apply(d | of_real, d["params"], sr)
            d = d | of_both | {"params": update(d, grads)}
            result |= {"d": {"params": d["params"], "grads": grads, "batch_stats": d["batch_stats"]}}

        def g_loss(params):
            sr, stats = apply(g, params, lr)
            loss = config.losses.mse * jnp.mean((sr - hr) ** 2)
            if adversarial:
                logits = apply(d, d["params"], sr)[0]
                loss += config.losses.adversarial * jnp.mean(-jnp.log(jax.nn.sigmoid(logits)))
            return loss, stats["batch_stats"]

        (result["g/loss"], stats), grads = jax.value_and_grad(g_loss, has_aux=True)(g["params"])
        result["g"] = {"params": update(g, grads), "grads": grads, "batch_stats": stats}
        return result

    variables = {k: {"params": n.params, "batch_stats": n.batch_stats} for k, n in before.items()}
    expected = reference(variables, batch)
    for name, network in after.items():
        np.testing.assert_allclose(metrics[f"{name}/loss"], expected[f"{name}/loss"], rtol=1e-6)
        np.testing.assert_allclose(metrics[f"{name}/grad_norm"], optax.tree.norm(expected[name]["grads"]), rtol=1e-5)
        assert_trees_close(network.batch_stats, expected[name]["batch_stats"], 1e-6)
        assert_trees_close(moments(network), expected[name]["grads"], 1e-5)
        # An Adam step is at most the learning rate long, and where a gradient is all rounding its sign may differ.
        for ours, theirs in zip(*map(jax.tree.leaves, (network.params, expected[name]["params"])), strict=True):
            error = np.abs(ours - theirs) / config.optimizer.learning_rate
            assert np.mean(error < 1e-2) > 0.99 and error.max() < 2.01


def test_a_step_equals_pytorchs(run):
    torch = pytest.importorskip("torch")
    from benchmarks import torch_reference as reference

    config, batch, before, after, metrics = run
    lr, hr = (reference.nchw(x) for x in quick_jit(lambda batch: steps.degrade(batch, config.scale))(batch))

    def twin(module, name):
        reference.load(module, flat(before[name].params) | flat(before[name].batch_stats))
        return module.train(), torch.optim.Adam(module.parameters(), lr=config.optimizer.learning_rate)

    bce = torch.nn.functional.binary_cross_entropy_with_logits
    g, g_optimizer = twin(reference.SRResNet(features=8, num_blocks=2), "g")
    sr = g(lr)
    g_loss = torch.nn.functional.mse_loss(sr, hr)
    np.testing.assert_allclose(metrics["g/mse"], g_loss.item(), rtol=1e-5)
    twins = {"g": (g, g_optimizer, g.state_dict())}
    if config.stage == "adversarial":
        sizes = {name: config.discriminator[name] for name in ("features", "hidden")}
        d, d_optimizer = twin(reference.Discriminator(size=config.data.crop_size, **sizes), "d")
        real, fake = d(hr), d(sr.detach())
        d_loss = bce(real, torch.ones(len(real))) + bce(fake, torch.zeros(len(fake)))
        np.testing.assert_allclose(metrics["d/loss"], d_loss.item(), rtol=1e-5)
        np.testing.assert_allclose(metrics["d/real"], torch.sigmoid(real).mean().item(), rtol=1e-5)
        np.testing.assert_allclose(metrics["d/fake"], torch.sigmoid(fake).mean().item(), rtol=1e-5)
        d_loss.backward()
        d_optimizer.step()
        # Statistics move while D learns; then its gradient is read off and left alone.
        twins["d"] = (d, d_optimizer, {k: v.clone() for k, v in d.state_dict().items()})
        gradients = {k: p.grad.clone() for k, p in d.named_parameters()}
        adversarial = bce(d(sr), torch.ones(len(fake)))
        np.testing.assert_allclose(metrics["g/adversarial"], adversarial.item(), rtol=1e-4)
        g_loss = g_loss + config.losses.adversarial * adversarial
    np.testing.assert_allclose(metrics["g/loss"], g_loss.item(), rtol=1e-5)
    g_loss.backward()
    g_optimizer.step()

    for name, (module, optimizer, state) in twins.items():
        ours = after[name]
        grads = gradients if name == "d" else {k: p.grad for k, p in module.named_parameters()}
        # Adam's first step is as large for a gradient that is mere rounding; G is judged by a D that has made it.
        tolerance = 3e-4 if name == "g" and "d" in twins else 1e-4
        assert_trees_close(flat(moments(ours)), reference.read(grads, flat(ours.params)), tolerance)
        assert_trees_close(flat(ours.batch_stats), reference.read(state, flat(ours.batch_stats)), 1e-5)
        moved = {k: optimizer.state[p]["exp_avg_sq"] for k, p in module.named_parameters()}
        nu = flat(ours.opt_state[0].nu)
        assert_trees_close(nu, reference.read(moved, nu), 1e-3)
        theirs = reference.read(dict(module.named_parameters()), flat(ours.params))
        for key, array in flat(ours.params).items():
            error = np.abs(array - theirs[key]) / config.optimizer.learning_rate
            assert np.mean(error < 0.05) > 0.98 and error.max() < 2.01, key


@pytest.mark.parametrize("stage", STAGES)
def test_accumulated_gradients_are_those_of_the_whole_batch(stage, monkeypatch):
    """Where BatchNorm is held to its running averages: else every part is normalised by itself."""

    class Held(nn.BatchNorm):
        def __call__(self, x, use_running_average=None):
            return super().__call__(x, use_running_average=True)

    of_small = sys.modules[models.DISCRIMINATORS["small"].__module__]  # `tiny`, perhaps under another name
    for module in (models.residual, models.srresnet, of_small):
        monkeypatch.setattr(
            module, "batch_norm", lambda use_running_average=None, **rest: Held(**batch_norm.keywords, **rest)
        )
    config = make_tiny_config(**SMALL[stage], batch_size=ROWS)
    batch = make_tiny_batch(config, rows=ROWS)
    _, whole, whole_metrics = step_of(config, batch)
    config.accumulate = 2
    _, parts, metrics = step_of(config, batch)
    assert set(metrics) == set(whole_metrics)
    for name, value in whole_metrics.items():
        # G's metrics follow D's update, where Adam makes steps of 1e-4 of gradients that are all rounding.
        np.testing.assert_allclose(metrics[name], value, rtol=1e-3 if name == "g/adversarial" else 1e-5, err_msg=name)
    for name in whole:
        assert_trees_close(moments(parts[name]), moments(whole[name]), 1e-5)


def test_parts_that_are_alike_count_as_one(small_run):
    """Then BatchNorm changes nothing either, but for the running averages, which each part moves."""
    config, part, before, once, metrics_once = small_run
    alike = {key: np.repeat(rows, 3, axis=0) for key, rows in part.items()}  # every third row makes a part
    _, thrice, metrics = step_of(make_tiny_config(**SMALL[config.stage], batch_size=3 * ROWS, accumulate=3), alike)
    for name, value in metrics_once.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-4, err_msg=name)
    for name in once:
        assert_trees_close(moments(thrice[name]), moments(once[name]), 1e-4)
    old, one, three = (flat(state["g"].batch_stats) for state in (before, once, thrice))
    for key, start in old.items():
        of_part = (one[key] - 0.9 * start) / 0.1
        np.testing.assert_allclose(three[key], 0.9**3 * start + (1 - 0.9**3) * of_part, rtol=1e-4, atol=1e-5)


def test_the_running_average_of_g():
    """decay * average + (1 - decay) * G, from G itself."""
    decay, batch = 0.75, make_tiny_batch(make_tiny_config(), rows=2)
    stage = stages.create_stage(make_tiny_config(ema_decay=decay, optimizer__learning_rate=1e-2))
    state, step, expected = quick_jit(stage.init)(jax.random.key(0)), quick_jit(stage.step), None
    for _ in range(3):
        g = jax.device_get({"params": state["g"].params, "batch_stats": state["g"].batch_stats})
        expected = g if expected is None else jax.tree.map(lambda a, g: decay * a + (1 - decay) * g, expected, g)
        for key, value in flat(expected).items():
            np.testing.assert_allclose(flat(state["g_ema"])[key], value, rtol=1e-5, atol=1e-7, err_msg=key)
        state, _ = step(state, batch, stage.frozen, jax.random.key(1))


def test_the_discriminators_own_rate(small_run):
    """D's step is three times as large, G's is not."""
    config, batch, before, slow, _ = small_run
    _, fast, _ = step_of(make_tiny_config(**SMALL[config.stage], optimizer__discriminator_rate=3.0), batch)
    for name in before:
        factor = {"g": 1.0, "d": 3.0}[name]
        sizes = [
            max(np.abs(array - flat(before[name].params)[key]).max() for key, array in flat(after[name].params).items())
            for after in (slow, fast)
        ]
        np.testing.assert_allclose(sizes[1], factor * sizes[0], rtol=1e-2)


RECIPE = {
    "stage": "adversarial",
    "data__crop_size": 32,
    "jitter": 5,
    "hold_batch_norm": True,
    "losses__mse": 0.0,
    "losses__l1": 0.01,
    "losses__lr_l1": 1.0,
    "losses__phase": 1.0,
    "losses__adversarial": 5e-3,
}


QUICK = {("pool", "spectral"), ("patch", "none"), ("dense", "batch")}  # each head and each norm once


@pytest.mark.parametrize(
    "head, norm",
    [
        (head, norm) if (head, norm) in QUICK else pytest.param(head, norm, marks=pytest.mark.slow)
        for head in ("pool", "patch", "dense")
        for norm in ("spectral", "none", "batch")
    ],
)
def test_every_form_of_d_learns_and_teaches(head, norm):
    config = make_tiny_config(**RECIPE, discriminator__head=head, discriminator__norm=norm)
    before, after, metrics = step_of(config, make_tiny_batch(config, rows=ROWS))
    assert all(np.isfinite(value) for value in jax.tree.leaves(metrics))
    for name in ("g", "d"):
        old, new = flat(before[name].params), flat(after[name].params)
        assert [key for key in old if np.array_equal(old[key], new[key])] == []
    # G's running statistics are held, and D's move with what it sees.
    jax.tree.map(np.testing.assert_array_equal, before["g"].batch_stats, after["g"].batch_stats)
    old, new = flat(before["d"].batch_stats), flat(after["d"].batch_stats)
    held = [key for key in old if not key.endswith("sigma") and np.array_equal(old[key], new[key])]
    assert bool(old) == (norm != "none") and held == []


def test_spectral_normalisation_bounds_the_slope():
    """Each kernel, as a matrix, has the largest singular value 1 once the estimates have converged."""
    d = models.Discriminator(features=4, hidden=8, head="pool", norm="spectral")
    images = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    variables = jax.device_get(quick_jit(d.init)(jax.random.key(0), images))
    refine = quick_jit(lambda v: v | d.apply(v, images, train=True, mutable=["batch_stats"])[1])
    for _ in range(60):
        variables = refine(variables)
    kernel = variables["params"]["conv3"]["kernel"]
    largest = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]
    estimate = flat(variables["batch_stats"])["conv3_norm/conv3/kernel/sigma"]
    np.testing.assert_allclose(estimate, largest, rtol=1e-3)


def test_d_learns_alone_first():
    config = make_tiny_config(**ADVERSARIAL, discriminator_first=2)
    batch = make_tiny_batch(config, rows=2)
    stage = stages.create_stage(config)
    step, states = quick_jit(stage.step), [quick_jit(stage.init)(jax.random.key(0))]
    for number in range(3):
        states.append(step(states[-1], batch, stage.frozen, jax.random.key(number))[0])
    moved = [
        {name: int(new[name].step) > int(old[name].step) for name in ("g", "d")}
        for old, new in itertools.pairwise(states)
    ]
    assert moved == [{"g": False, "d": True}] * 2 + [{"g": True, "d": True}]
    jax.tree.map(np.testing.assert_array_equal, states[0]["g"].params, states[2]["g"].params)


def test_frozen_layers_of_g_keep_their_parameters_at_first():
    config = make_tiny_config(freeze_layers="stem*,block0", freeze_steps=1, ema_decay=0.5)
    batch = make_tiny_batch(config, rows=2)
    stage = stages.create_stage(config)
    step, states = quick_jit(stage.step), [quick_jit(stage.init)(jax.random.key(0))]
    for number in range(2):
        states.append(step(states[-1], batch, stage.frozen, jax.random.key(number))[0])
    first, second = (
        {name for name, array in flat(new["g"].params).items() if (array != flat(old["g"].params)[name]).any()}
        for old, new in itertools.pairwise(states)
    )
    assert {name.split("/")[0] for name in second} == set(states[0]["g"].params)
    assert {name.split("/")[0] for name in first} == set(states[0]["g"].params) - {"stem", "stem_prelu", "block0"}


def test_gs_own_warm_up():
    config = make_tiny_config(optimizer__generator_warmup_steps=4, optimizer__learning_rate=0.4)
    rate = stages.create_stage(config).learning_rate
    np.testing.assert_allclose([float(rate(step)) for step in range(6)], [0.1, 0.2, 0.3, 0.4, 0.4, 0.4], rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accumulate": 0}, "config.accumulate must be at least 1, got 0"),
        ({"accumulate": 3, "batch_size": 16}, "batch_size must be a multiple of accumulate=3, got 16; try 18"),
        ({"ema_decay": 1.0}, "ema_decay must be at least 0 and less than 1, got 1.0"),
        ({"optimizer__discriminator_rate": -1.0}, "optimizer.discriminator_rate must be at least 0"),
        ({"ema_decay": -0.1}, "ema_decay must be at least 0"),
        ({"stage": "adverserial"}, "config.stage: no 'adverserial'; did you mean 'adversarial'"),
        ({"optimizer__schedule": "cosin"}, "did you mean 'cosine'"),
        ({"generator__global_skip": "bicubik"}, "did you mean 'bicubic'"),
        ({"generator__output_activation": "tahn"}, "generator.output_activation: no 'tahn'; did you mean 'tanh'"),
        ({"generator__prelu": "one"}, "generator.prelu: no 'one'; choose from channel, shared"),
        ({"dtype": "float16"}, "config.dtype: no 'float16'"),
        ({"freeze_layers": "stem,blocks"}, "config.freeze_layers: there is no layer 'blocks'; did you mean 'block1'"),
        ({"scale": 5, "data__crop_size": 20}, "config.scale must be one of 1, 2, 3, 4, 8, 16, got 5"),
        ({"scale": -4}, "config.scale must be one of 1, 2, 3, 4, 8, 16, got -4"),
        ({"generator__network": "srresnat"}, "config.generator.network: no 'srresnat'; did you mean 'srresnet'"),
        ({"discriminator__network": "unte"}, "config.discriminator.network: no 'unte'; did you mean 'unet'"),
        ({"data__crop_size": 18}, "multiple of scale=4, got 18; try 16"),
        ({"data__crop_size": 2}, "multiple of scale=4, got 2; try 4"),
        ({"data__crop_size": 0}, "multiple of scale=4, got 0; try 4"),
        ({"losses__adversarial": 1e-3}, 'set stage="adversarial"'),
        ({"losses__mse": 0.0}, "every weight is zero"),
        ({"channels": 1, "losses__vgg22": 1.0}, "VGG takes RGB, got channels=1"),
        ({"losses__vgg54": 1.0}, "No VGG19 file was given.*Keras.*torchvision"),
        ({"generator__num_blocks": -1}, "num_blocks"),
        ({"generator__features": 0}, "features"),
        ({"channels": 0}, "channels"),
        ({"discriminator__hidden": 0, "stage": "adversarial"}, "hidden"),
        ({"optimizer__schedule": "cosine", "optimizer__warmup_steps": 4}, "warmup_steps"),
        ({"optimizer__schedule": "cosine", "num_steps": 0}, "num_steps"),
        ({"num_steps": -1}, "num_steps"),
        ({"jitter": 16}, "jitter must be less than data.crop_size=16, got 16"),
        ({"discriminator__head": "pol"}, "config.discriminator.head: no 'pol'; did you mean 'pool'"),
    ],
    ids=str,
)
def test_bad_fields_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        stages.create_stage(make_tiny_config(**changes))


def test_piecewise_schedule_is_the_papers():
    optimizer = importlib.import_module("srgan_jax.configs.srgan_vgg54").get_config().optimizer
    rate = SCHEDULES["piecewise"](optimizer, 200_000)
    rates = [float(rate(step)) for step in (0, 99_999, 100_000, 199_999)]  # steps count from 0
    np.testing.assert_allclose(rates, [1e-4, 1e-4, 1e-5, 1e-5], rtol=1e-6)


def test_cosine_schedule_warms_up_and_ends_at_zero():
    optimizer = make_tiny_config(optimizer__warmup_steps=10, optimizer__learning_rate=0.5).optimizer
    rate = SCHEDULES["cosine"](optimizer, 110)
    rates = np.array([rate(step) for step in range(111)])
    np.testing.assert_allclose(rates[:11], 0.05 * np.arange(11), atol=1e-6)
    np.testing.assert_allclose(rates[60], 0.25, atol=1e-6)
    np.testing.assert_allclose(rates[-1], 0, atol=1e-7)
    assert (np.diff(rates[10:]) < 0).all()


TABLE_1 = {
    "srresnet_mse": ("content", 1_000_000, {"mse": 1.0}, ()),
    "srresnet_vgg22": ("content", 1_000_000, {"vgg22": 1.0, "tv": 2e-8}, ()),
    "srgan_mse": ("adversarial", 200_000, {"mse": 1.0, "adversarial": 1e-3}, (100_000,)),
    "srgan_vgg22": ("adversarial", 200_000, {"vgg22": 1.0, "adversarial": 1e-3}, (100_000,)),
    "srgan_vgg54": ("adversarial", 200_000, {"vgg54": 1.0, "adversarial": 1e-3}, (100_000,)),
}


@pytest.mark.parametrize("name", TABLE_1)
def test_the_five_variants_of_table_1(name, monkeypatch):
    stage_name, num_steps, weights, decay_at = TABLE_1[name]
    config = importlib.import_module(f"srgan_jax.configs.{name}").get_config()
    assert config.stage == stage_name and config.num_steps == num_steps
    assert {term: weight for term, weight in config.losses.items() if weight} == weights
    assert (config.batch_size, config.data.crop_size, config.scale) == (16, 96, 4)
    assert config.generator.to_dict() == {
        "network": "srresnet",
        "features": 64,
        "num_blocks": 16,
        "global_skip": "none",
        "icnr": False,
        "zero_init_output": False,
        "output_activation": "none",
        "output_range": "signed",
        "prelu": "channel",
        "trunk_prelu": False,
    }
    assert config.discriminator.to_dict() == {
        "network": "srgan",
        "features": 64,
        "head": "dense",
        "hidden": 1024,
        "norm": "batch",
    }
    optimizer = config.optimizer
    assert (optimizer.learning_rate, optimizer.b1, optimizer.decay_at, optimizer.decay_factor) == (
        *(1e-4, 0.9),
        *(decay_at, 0.1),
    )

    for recipe in (recipe for recipe in release.RECIPES if recipe.partition("_")[2] == name):
        ours = release.get_config(recipe)
        checks.check_fields(ours)
        assert ours.stage == config.stage and ours.losses == config.losses
        assert ours.generator == config.generator and ours.discriminator == config.discriminator

    asked = []
    monkeypatch.setattr(frozen, "load_vgg19", lambda path, layers: (asked.append(layers), ({}, "caffe"))[1])
    stage = stages.create_stage(config)
    assert asked == [(layer,) for layer in weights if layer.startswith("vgg")]
    assert set(jax.eval_shape(stage.init, jax.random.key(0))) == ({"g"} if stage_name == "content" else {"g", "d"})
