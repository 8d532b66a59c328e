"""Every field that a run has, with its default. The other configs say only where they differ from this file.

Any field can be overridden on the command line: --config.batch_size=32 --config.data.source=folder.
"""

import ml_collections


def degradation_pass() -> ml_collections.ConfigDict:
    """Return the fields of a pass of config.data.degradation. Each crop draws within the ends that a pair gives."""
    fields = ml_collections.ConfigDict()
    fields.blur = 0.0  # probability that a crop is blurred
    fields.shapes = ml_collections.ConfigDict()  # weights of the shapes of kernels, rows of data.blur.SHAPES
    fields.shapes.isotropic = 1.0
    fields.shapes.anisotropic = 0.0
    fields.shapes.generalised_isotropic = 0.0
    fields.shapes.generalised_anisotropic = 0.0
    fields.shapes.plateau_isotropic = 0.0
    fields.shapes.plateau_anisotropic = 0.0
    fields.shapes.sinc = 0.0
    fields.radius = (3, 10)  # pixels after which a kernel is cut off
    fields.sigma = (0.2, 3.0)  # standard deviations along the kernel's axes, in pixels
    fields.generalised_beta = (0.5, 4.0)  # exponents of generalised Gaussians
    fields.plateau_beta = (1.0, 2.0)  # exponents of kernels with a flat top
    fields.enlarge = 0.0  # probability that a crop is resized by a factor from 1 to the end of `factor`
    fields.reduce = 0.0  # probability of a factor from the start of `factor` to 1
    fields.factor = (0.15, 1.5)  # first pass: of HR's size; second pass: of LR's size, which it gives with factor 1
    fields.kernels = kernel_weights()  # of this resizing
    fields.gaussian = 0.0  # probability of Gaussian noise
    fields.gaussian_sigma = (1.0, 30.0)  # its standard deviation in levels
    fields.poisson = 0.0  # probability of Poisson noise, which excludes Gaussian noise
    fields.poisson_scale = (0.05, 3.0)  # how much stronger it is than that of 256 photons at full brightness
    fields.grey = 0.0  # probability that noise is alike in all channels
    fields.jpeg = 0.0  # probability that a crop is compressed
    fields.quality = (30.0, 95.0)  # of JPEG, 1 to 100
    fields.subsampled = 1.0  # probability of chroma with half the resolution
    fields.jpeg_first = 0.0  # probability that JPEG comes first in the pass, and not at its end
    return fields


def kernel_weights() -> ml_collections.ConfigDict:
    """Return the weights of the kernels of resizing, rows of data.degradations.KERNELS."""
    return ml_collections.ConfigDict({"bicubic": 1.0, "bilinear": 0.0, "area": 0.0, "lanczos": 0.0})


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
    config.scale = 4  # enlargement; models.GENERATORS says which a network has
    config.channels = 3  # 3: RGB, 1: greyscale; "arrays" may have any number

    # Networks (section 2.1).
    config.generator = ml_collections.ConfigDict()
    config.generator.network = "srresnet"  # a name out of models.GENERATORS; the other fields are those of this network
    config.generator.features = 64
    config.generator.num_blocks = 16
    config.generator.global_skip = "none"  # added to the output: "none" (paper), "nearest" or "bicubic"
    config.generator.icnr = False  # start without a grid: equal kernels for all subpixels of a pixel shuffle
    config.generator.zero_init_output = False  # start the last convolution at zero
    config.generator.output_activation = "none"  # after the last convolution: "none" (paper) or "tanh"
    config.generator.output_range = "signed"  # range of the result: "signed", [-1, 1] (paper), or "unit", [0, 1]
    config.generator.prelu = "channel"  # slopes of a PReLU: one for each "channel" (paper), or one "shared" by all
    config.generator.trunk_prelu = False  # a PReLU, not BatchNorm, before the long skip connection
    config.discriminator = ml_collections.ConfigDict()
    config.discriminator.network = "srgan"  # a name out of models.DISCRIMINATORS; "unet" has of these fields `features`
    config.discriminator.features = 64
    config.discriminator.head = "dense"  # "dense" (paper), "pool": mean features, or "patch": a logit for each part
    config.discriminator.hidden = 1024  # width of the first dense layer
    config.discriminator.norm = "batch"  # "batch" (paper), "spectral" or "none"

    # Weights of the loss terms (section 2.2; docs/losses.md); 0 leaves a term out. A recipe may add any row of
    # losses.TERMS, such as those of VGG19's other layers.
    config.losses = ml_collections.ConfigDict()
    config.losses.mse = 1.0
    config.losses.vgg22 = 0.0
    config.losses.vgg54 = 0.0
    config.losses.tv = 0.0
    config.losses.adversarial = 0.0
    config.losses.l1 = 0.0
    config.losses.charbonnier = 0.0
    config.losses.lr_l1 = 0.0
    config.losses.phase = 0.0
    config.losses.gradient = 0.0
    config.losses.edge = 0.0
    config.losses.ssim = 0.0
    config.losses.ms_ssim = 0.0
    config.losses.focal_frequency = 0.0
    config.losses.lpips_alex = 0.0
    config.losses.lpips_vgg = 0.0
    config.losses.dists = 0.0
    config.losses.pre54_l1 = 0.0
    config.losses.least_squares = 0.0
    config.losses.hinge = 0.0
    config.losses.relativistic_average = 0.0
    config.losses.wasserstein = 0.0
    config.losses.gradient_penalty = 0.0
    config.losses.r1 = 0.0
    config.losses.teacher_l1 = 0.0
    config.losses.teacher_affinity = 0.0
    config.vgg_weights = ""  # file of VGG19's weights; the terms vgg… and pre… need it
    config.teacher = ""  # the trained generator that the terms teacher_… learn from, given as for init_from

    # For fine-tuning: what G does not change in its first updates.
    config.freeze_layers = ""  # names of layers, such as "stem*,block[0-7]"; "*" are all
    config.freeze_steps = 0  # in how many updates

    # What makes the adversarial stage steadier (docs/training.md); the paper has none of it.
    config.jitter = 0  # HR pixels by which features and D see SR and HR shifted, at most and at random
    config.hold_batch_norm = False  # whether G's BatchNorm uses its running averages in training, too
    config.discriminator_first = 0  # steps at the start in which D alone learns
    config.discriminator_steps = 1  # D's updates for each of G's, k in the paper; each sees another k-th of the batch

    # The optimizer and its learning rate (section 3.2), for G and D alike.
    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.name = "adam"  # "adam" (paper), or "sgd" with momentum
    config.optimizer.learning_rate = 1e-4
    config.optimizer.discriminator_rate = 1.0  # D's learning rate divided by G's
    config.optimizer.output_rate = 1.0  # the rate of G's last convolution, divided by that of its other layers
    config.optimizer.momentum = 0.9  # of "sgd"
    config.optimizer.weight_decay = 0.0  # times the parameters is added to the gradient
    config.optimizer.clip = 0.0  # bound of each number of the gradient, times the learning rate; 0: none
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.999
    config.optimizer.eps = 1e-8
    config.optimizer.schedule = "piecewise"  # "piecewise": see decay_at; "cosine": warm-up, then down to 0 at num_steps
    config.optimizer.decay_at = ()  # steps at which the rate is multiplied by decay_factor
    config.optimizer.decay_factor = 0.1
    config.optimizer.warmup_steps = 0  # steps of the warm-up of "cosine"
    config.optimizer.sharded = False  # whether each device keeps a part of the optimizer's arrays alone (ZeRO-1)
    config.optimizer.generator_warmup_steps = 0  # updates over which G's rate rises to its full value; D's does not

    # Training pictures.
    config.batch_size = 16  # crops per update, over all devices
    config.accumulate = 1  # parts of a batch that are computed one after another, to save memory
    config.data = ml_collections.ConfigDict()
    config.data.source = "builtin"  # "builtin" photographs, a "folder", a dataset of "tfds", or "arrays" in a folder
    config.data.path = ""  # folder, arrays: the directory, searched recursively; tfds: its data_dir, "" for the default
    config.data.range = ()  # arrays: lowest and highest value, such as (0.0, 10.0); (): all that an integer dtype holds
    config.data.guide = ""  # arrays: a directory of guides, files of the same names, for generator.network="guided"
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

    # What happens to HR on the way to LR (srgan_jax/data/degradations.py). By default nothing does but the exact
    # bicubic reduction, as in the paper.
    config.data.degradation = ml_collections.ConfigDict()
    config.data.degradation.first = degradation_pass()
    config.data.degradation.second = degradation_pass()
    config.data.degradation.kernels = kernel_weights()  # of the reduction to LR's size, after these two passes
    config.data.degradation.last = degradation_pass()  # of LR

    # Reports and files, in steps.
    config.log_every = 50
    config.loggers = "tensorboard"  # beside metrics.jsonl: any of "tensorboard,wandb,mlflow", or "" for none
    config.eval_every = 5_000  # 0: never
    config.save_every = 5_000  # 0: never
    config.keep_last = 3  # newest checkpoints that are kept; the best one is kept, too
    config.best_metric = ""  # the one of eval_metrics that chooses the best, or "newest"; "": see docs/training.md
    config.eval_data = ""  # "NAME=DIR,NAME=DIR": pictures as for eval.py; "": the share that was held out
    config.eval_images = 16  # the most pictures of each set
    config.eval_metrics = "psnr,ssim"  # rows of metrics.METRICS
    return config
