"""SRResNet-MSE at the paper's size in about an hour on two CPU cores: too short to reach the paper, but real.

python train.py --config configs/cpu_srresnet_mse.py --workdir runs/cpu_srresnet_mse --config.data.path=PHOTOS

docs/results.md has what came out. Short runs want a higher rate than the paper's, and a schedule made for their length.
"""

from configs import srresnet_mse


def get_config():
    config = srresnet_mse.get_config()
    config.num_steps = 1_500
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 100
    config.data.source = "folder"
    config.data.sampling = "area"
    config.data.holdout = 0.02
    config.log_every = 10
    config.eval_every = 250
    config.save_every = 250
    return config
