"""Files of weights: our release format, checkpoints, and the formats of other projects."""
