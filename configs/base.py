"""Every field that a run has, with its default. The other configs say only where they differ from this file.

Any field can be overridden on the command line: --config.batch_size=32 --config.data.source=folder.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()

    config.stage = "content"  # "content": G on a content loss; "adversarial": G and D together
    config.init_from = ""  # what training starts from: a run directory, checkpoint, exported file or shipped model
    config.init_networks = "g"  # networks that it takes from there: "g", or "g,d" for the discriminator too
    config.seed = 0  # decides the networks' initial values and the order of the data
    config.num_steps = 1_000_000  # updates of G
    config.ema_decay = 0.0  # decay of a running average of G, for example 0.999; 0: no average
    config.dtype = "float32"  # type of the computation; "bfloat16" is for accelerators. Parameters stay float32

    # The problem.
    config.scale = 4  # enlargement, a power of two
    config.channels = 3  # 3: RGB, 1: greyscale

    # Networks (section 2.1).
    config.generator = ml_collections.ConfigDict()
    config.generator.network = "srresnet"  # a name out of models.GENERATORS; the other fields are those of this network
    config.generator.features = 64
    config.generator.num_blocks = 16
    config.generator.global_skip = "none"  # added to the output: "none" (paper), "nearest" or "bicubic"
    config.generator.zero_init_output = False  # start the last convolution at zero
    config.generator.output_activation = "none"  # after the last convolution: "none" (paper) or "tanh"
    config.generator.output_range = "signed"  # range of the result: "signed", [-1, 1] (paper), or "unit", [0, 1]
    config.generator.prelu = "channel"  # slopes of a PReLU: one for each "channel" (paper), or one "shared" by all
    config.generator.trunk_prelu = False  # a PReLU, not BatchNorm, before the long skip connection
    config.discriminator = ml_collections.ConfigDict()
    config.discriminator.network = "srgan"  # a name out of models.DISCRIMINATORS
    config.discriminator.features = 64
    config.discriminator.head = "dense"  # "dense" (paper), "pool": mean features, or "patch": a logit for each part
    config.discriminator.hidden = 1024  # width of the first dense layer
    config.discriminator.norm = "batch"  # "batch" (paper), "spectral" or "none"

    # Weights of the loss terms (section 2.2); 0 leaves a term out. Any row of losses.TERMS may be added here.
    config.losses = ml_collections.ConfigDict()
    config.losses.mse = 1.0
    config.losses.vgg22 = 0.0
    config.losses.vgg54 = 0.0
    config.losses.tv = 0.0
    config.losses.adversarial = 0.0
    config.vgg_weights = ""  # file of VGG19's weights; the terms vgg… and pre… need it

    # What makes the adversarial stage steadier (docs/training.md); the paper has none of it.
    config.jitter = 0  # HR pixels by which features and D see SR and HR shifted, at most and at random
    config.hold_batch_norm = False  # whether G's BatchNorm uses its running averages in training, too
    config.discriminator_first = 0  # steps at the start in which D alone learns

    # Adam and its learning rate (section 3.2), for G and D alike.
    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.learning_rate = 1e-4
    config.optimizer.discriminator_rate = 1.0  # D's learning rate divided by G's
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.999
    config.optimizer.eps = 1e-8
    config.optimizer.schedule = "piecewise"  # "piecewise": see decay_at; "cosine": warm-up, then down to 0 at num_steps
    config.optimizer.decay_at = ()  # steps at which the rate is multiplied by decay_factor
    config.optimizer.decay_factor = 0.1
    config.optimizer.warmup_steps = 0  # steps of the warm-up of "cosine"
    config.optimizer.generator_warmup_steps = 0  # updates over which G's rate rises to its full value; D's does not

    # Training pictures.
    config.batch_size = 16  # crops per update, over all devices
    config.accumulate = 1  # parts of a batch that are computed one after another, to save memory
    config.data = ml_collections.ConfigDict()
    config.data.source = "builtin"  # "builtin" photographs, a "folder", or a dataset of "tfds"
    config.data.path = ""  # folder: the directory (searched recursively); tfds: its data_dir, "" for the default
    config.data.name = "imagenet2012"  # tfds: the dataset
    config.data.split = "train"  # tfds: the split
    config.data.feature = "image"  # tfds: where a picture is in an example; "hr" in div2k
    config.data.holdout = 0.05  # share of the pictures that is never trained on and serves for evaluation
    config.data.crop_size = 96  # HR pixels
    config.data.sampling = "image"  # "image": every picture equally often; "area": in proportion to its area
    config.data.augment = True  # random flips and quarter turns
    config.data.workers = 2  # threads that read and decode
    config.data.prefetch = 4  # batches made ahead
    config.data.cache_mb = 2048  # decoded pictures kept in memory, in MiB

    # Reports and files, in steps.
    config.log_every = 50
    config.eval_every = 5_000  # 0: never
    config.save_every = 5_000  # 0: never
    config.keep_last = 3  # newest checkpoints that are kept; the best one is kept, too
    config.best_metric = ""  # the one of eval_metrics that chooses the best, or "newest"; "": see docs/training.md
    config.eval_data = ""  # "NAME=DIR,NAME=DIR": pictures as for eval.py; "": the share that was held out
    config.eval_images = 16  # the most pictures of each set
    config.eval_metrics = "psnr,ssim"  # rows of metrics.METRICS
    return config
