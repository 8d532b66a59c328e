"""Generators of other projects in PyTorch, with their names of layers, written from what their files hold."""

import torch
from torch import nn


def conv(fan_in, features, size=3, *, bias=True):
    return nn.Conv2d(fan_in, features, size, padding=size // 2, bias=bias)


class Leftthomas(nn.Module):
    def __init__(self, *, n, scale, channels, trunk_prelu):
        super().__init__()
        self.block1 = nn.Sequential(conv(channels, n, 9), nn.PReLU())
        for i in range(2, 7):
            block = nn.Module()
            block.conv1, block.bn1, block.prelu = conv(n, n), nn.BatchNorm2d(n), nn.PReLU()
            block.conv2, block.bn2 = conv(n, n), nn.BatchNorm2d(n)
            setattr(self, f"block{i}", block)
        self.block7 = nn.Sequential(conv(n, n), nn.PReLU() if trunk_prelu else nn.BatchNorm2d(n))
        self.block8 = nn.Sequential()
        for _ in range(scale.bit_length() - 1):
            block = nn.Module()
            block.conv, block.prelu = conv(n, 4 * n), nn.PReLU()
            self.block8.append(block)
        self.block8.append(conv(n, channels, 9))

    def forward(self, x):
        stem = x = self.block1(x)
        for b in (self.block2, self.block3, self.block4, self.block5, self.block6):
            x = x + b.bn2(b.conv2(b.prelu(b.bn1(b.conv1(x)))))
        x = stem + self.block7(x)
        for block in self.block8[:-1]:
            x = block.prelu(nn.functional.pixel_shuffle(block.conv(x), 2))
        return (torch.tanh(self.block8[-1](x)) + 1) / 2


class Residual(nn.Module):
    def __init__(self, n):
        super().__init__()
        layers = conv(n, n, bias=False), nn.BatchNorm2d(n), nn.PReLU(), conv(n, n, bias=False), nn.BatchNorm2d(n)
        self.rcb = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.rcb(x)


class Upsample(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.upsample_block = nn.Sequential(conv(n, 4 * n), nn.PixelShuffle(2), nn.PReLU())

    def forward(self, x):
        return self.upsample_block(x)


class Lornatang(nn.Module):
    def __init__(self, *, n, scale, channels, blocks):
        super().__init__()
        self.conv1 = nn.Sequential(conv(channels, n, 9), nn.PReLU())
        self.trunk = nn.Sequential(*(Residual(n) for _ in range(blocks)))
        self.conv2 = nn.Sequential(conv(n, n, bias=False), nn.BatchNorm2d(n))
        self.upsampling = nn.Sequential(*(Upsample(n) for _ in range(scale.bit_length() - 1)))
        self.conv3 = conv(n, channels, 9)

    def forward(self, x):
        x = self.conv1(x)
        return self.conv3(self.upsampling(x + self.conv2(self.trunk(x)))).clamp(0, 1)


class Plain(nn.Module):
    """A residual block without BatchNorm."""

    def __init__(self, n):
        super().__init__()
        self.conv1, self.conv2 = conv(n, n), conv(n, n)

    def forward(self, x):
        return x + self.conv2(torch.relu(self.conv1(x)))


class Packed(nn.Module):
    """mmagic's upsampling: the convolution and the shuffle, nothing after."""

    def __init__(self, n, factor):
        super().__init__()
        self.upsample_conv = conv(n, factor**2 * n)

    def forward(self, x):
        return self.upsample_conv(x)


class MSRResNet(nn.Module):
    """Of BasicSR and KAIR ("upconv1"), or of mmagic ("upsample1.upsample_conv")."""

    def __init__(self, *, n, scale, channels, blocks, body, hr, upsample):
        super().__init__()
        self.scale, self.body_name, self.hr_name, self.upsample_name = scale, body, hr, upsample
        self.factors = {2: [2], 3: [3], 4: [2, 2]}[scale]
        self.conv_first = conv(channels, n)
        self.add_module(body, nn.Sequential(*(Plain(n) for _ in range(blocks))))
        for i, factor in enumerate(self.factors, 1):
            self.add_module(f"{upsample}{i}", Packed(n, factor) if upsample == "upsample" else conv(n, factor**2 * n))
        self.add_module(hr, conv(n, n))
        self.conv_last = conv(n, channels)

    def forward(self, lr):
        def activate(x):
            return nn.functional.leaky_relu(x, 0.1)

        x = self.get_submodule(self.body_name)(activate(self.conv_first(lr)))
        for i, factor in enumerate(self.factors, 1):
            x = nn.functional.pixel_shuffle(self.get_submodule(f"{self.upsample_name}{i}")(x), factor)
            x = x if self.upsample_name == "upsample" else activate(x)
        x = self.conv_last(activate(self.get_submodule(self.hr_name)(x)))
        return x + nn.functional.interpolate(lr, scale_factor=self.scale, mode="bilinear", align_corners=False)


LAYOUTS = {
    "leftthomas": lambda n, scale, channels, blocks: Leftthomas(n=n, scale=scale, channels=channels, trunk_prelu=False),
    "leftthomas-published": lambda n, scale, channels, blocks: Leftthomas(
        n=n, scale=scale, channels=channels, trunk_prelu=True
    ),
    "lornatang": lambda n, scale, channels, blocks: Lornatang(n=n, scale=scale, channels=channels, blocks=blocks),
    **{
        name: lambda n, scale, channels, blocks, names=names: MSRResNet(
            n=n, scale=scale, channels=channels, blocks=blocks, **names
        )
        for name, names in {
            "basicsr": {"body": "body", "hr": "conv_hr", "upsample": "upconv"},
            "kair": {"body": "recon_trunk", "hr": "HRconv", "upsample": "upconv"},
            "mmagic": {"body": "trunk_net", "hr": "conv_hr", "upsample": "upsample"},
        }.items()
    },
}


def create(layout, *, n=6, scale=4, channels=3, blocks=2, seed=0):
    """A network whose every array, statistics included, is random, in evaluation mode."""
    network = LAYOUTS[layout](n, scale, channels, blocks).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("running_var"):
            tensor.copy_(torch.exp(0.3 * noise))
        elif tensor.dim() == 4:
            tensor.copy_(noise * (1.5 / tensor[0].numel()) ** 0.5)
        elif tensor.is_floating_point():
            tensor.add_(0.1 * noise)
    return network
