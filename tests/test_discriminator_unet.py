"""The U-Net discriminator: its size, PyTorch's values and gradients, and how a config asks for it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from tiny import initialise, make_tiny_config, quick_jit

from srgan_jax import models
from srgan_jax.errors import InputError
from srgan_jax.models import UNetDiscriminator


def shapes(module, side=16):
    return jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, side, side, 3)))


def test_it_has_the_published_number_of_parameters():
    assert sum(array.size for array in jax.tree.leaves(shapes(UNetDiscriminator())["params"])) == 4_376_897


@pytest.mark.parametrize("size", [(8, 8), (13, 22), (81, 96)])
def test_it_gives_each_pixel_of_any_size_a_logit(size):
    module = UNetDiscriminator(features=2)
    logits = jax.eval_shape(module.apply, shapes(module), jnp.zeros((3, *size, 3)))
    assert logits.shape == (3 * size[0] * size[1],) and logits.dtype == jnp.float32


def in_pytorch(torch, params, stats, images, features):
    """By Real-ESRGAN's description, from our arrays: {layer: weight}, the logits [N, 1, H, W]."""
    nn, weights = torch.nn, {}

    def layer(i, fan_in, fan_out, size, stride):
        module = nn.Conv2d(fan_in, fan_out, size, stride, 1, bias=i in (0, 9))
        arrays = params[f"conv{i}"]
        module.weight.data = torch.tensor(arrays["kernel"].transpose(3, 2, 0, 1).copy())
        weights[f"conv{i}/kernel"] = module.weight
        if i in (0, 9):
            module.bias.data = torch.tensor(arrays["bias"])
            weights[f"conv{i}/bias"] = module.bias
            return module
        module = nn.utils.spectral_norm(module)
        weights[f"conv{i}/kernel"] = module.weight_orig
        # Our vector belongs to the columns of [size · size · inputs, outputs], so to the rows of PyTorch's matrix.
        module.weight_u.data = torch.tensor(stats[f"conv{i}_norm"][f"conv{i}/kernel/u"][0])
        return module.train()

    def enlarge(x):
        return nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    act, n = torch.nn.LeakyReLU(0.2), features
    x0 = act(layer(0, 3, n, 3, 1)(images))
    x1 = act(layer(1, n, 2 * n, 4, 2)(x0))
    x2 = act(layer(2, 2 * n, 4 * n, 4, 2)(x1))
    x3 = act(layer(3, 4 * n, 8 * n, 4, 2)(x2))
    x = act(layer(4, 8 * n, 4 * n, 3, 1)(enlarge(x3))) + x2
    x = act(layer(5, 4 * n, 2 * n, 3, 1)(enlarge(x))) + x1
    x = act(layer(6, 2 * n, n, 3, 1)(enlarge(x))) + x0
    for i in (7, 8):
        x = act(layer(i, n, n, 3, 1)(x))
    return weights, layer(9, n, 1, 3, 1)(x)


def test_it_is_pytorchs():
    torch = pytest.importorskip("torch")
    module, rng = UNetDiscriminator(features=4), np.random.default_rng(0)
    images = rng.uniform(-1, 1, (2, 24, 16, 3)).astype(np.float32)
    weighing = rng.standard_normal(2 * 24 * 16).astype(np.float32)
    variables = initialise(module, images)
    params, stats = variables["params"], variables["batch_stats"]

    def loss(params, images):
        logits, _ = module.apply(variables | {"params": params}, images, train=True, mutable=["batch_stats"])
        return weighing @ logits, logits

    grads, logits = quick_jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(params, images)
    x = torch.tensor(images.transpose(0, 3, 1, 2).copy(), requires_grad=True)
    weights, theirs = in_pytorch(torch, params, stats, x, 4)
    theirs = theirs.flatten()
    np.testing.assert_allclose(logits, theirs.detach(), rtol=0, atol=1e-5 * np.abs(theirs.detach().numpy()).max())
    (torch.tensor(weighing) @ theirs).backward()
    pairs = [(grads[1], x.grad.numpy().transpose(0, 2, 3, 1))]
    ours = flatten_dict(grads[0], sep="/")
    assert ours.keys() == weights.keys()
    for key, weight in weights.items():
        gradient = weight.grad.numpy()
        pairs.append((ours[key], gradient.transpose(2, 3, 1, 0) if gradient.ndim == 4 else gradient))
    for mine, expected in pairs:
        np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_a_config_asks_for_it_by_name_alone():
    config = make_tiny_config(discriminator__network="unet").discriminator.to_dict()
    assert config["head"] == "dense" and config["norm"] == "batch"  # defaults of the other network say nothing
    config["hidden"] = 1024
    module = models.create_discriminator(config)
    assert isinstance(module, UNetDiscriminator) and module.features == 8


@pytest.mark.parametrize("field", [{"head": "pool"}, {"norm": "none"}, {"hidden": 16}])
def test_fields_that_it_lacks_are_refused(field):
    with pytest.raises(InputError, match=f"^{next(iter(field))}: unet has no such field"):
        models.create_discriminator({"network": "unet"} | field)
