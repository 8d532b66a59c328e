"""Train SRResNet or SRGAN from a checkout; installed, the command is `srgan-train`.

python train.py --config configs/srresnet_mse.py --workdir runs/srresnet_mse --config.data.source=folder \
    --config.data.path=PHOTOS --config.num_steps=100000
"""

from srgan_jax.commands.train import main

if __name__ == "__main__":
    main()
