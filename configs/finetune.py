"""Fine-tune G and D on pictures of another domain, such as tissue or satellite pictures.

python train.py --config configs/finetune.py --workdir runs/tissue --config.init_from=RUN \
    --config.vgg_weights=VGG19 --config.data.path=PICTURES \
    --config.eval_data=tissue=HELD_OUT,Set5=SET5

RUN is a run of configs/srgan_consistent.py. The recipe is that one, with a lower rate, and begins in two
steps: first D alone learns the new domain, then G's later half with D. After that both networks learn as a whole. The
evaluation of both domains shows what G learns of the new one, and what it forgets of the old one.

To begin from a file that holds G alone, such as srgan-x4, add --config.init_networks=g; D then learns from nothing.
"""

import ml_collections

from srgan_jax.configs import srgan_consistent


def get_config() -> ml_collections.ConfigDict:
    config = srgan_consistent.get_config()
    config.num_steps = 2_000
    config.init_networks = "g,d"
    config.discriminator_first = 200
    config.freeze_layers = "stem*,block[0-7]"
    config.freeze_steps = 300
    config.optimizer.learning_rate = 2.5e-5
    config.optimizer.generator_warmup_steps = 100
    config.optimizer.decay_at = (1_500,)
    config.data.source = "folder"
    config.eval_every = 250
    return config
