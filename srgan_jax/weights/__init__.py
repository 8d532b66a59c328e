"""Files of weights: our release format, and those of others."""
