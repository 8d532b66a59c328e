"""SRGAN-VGG54 at the paper's size in about half an hour on two CPU cores: the first steps of the second stage.

python train.py --config configs/cpu_srgan_vgg54.py --workdir runs/cpu_srgan_vgg54 --config.data.path=PHOTOS \
    --config.init_from=runs/cpu_srresnet_mse --config.vgg_weights=VGG19

docs/results.md has what came out.
"""

from configs import srgan_vgg54


def get_config():
    config = srgan_vgg54.get_config()
    config.num_steps = 150
    config.optimizer.decay_at = (100,)
    config.data.source = "folder"
    config.data.sampling = "area"
    config.data.holdout = 0.02
    config.log_every = 5
    config.eval_every = 50
    config.save_every = 50
    return config
