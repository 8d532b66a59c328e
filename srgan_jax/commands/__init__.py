"""The command lines: each module reads flags and makes one call into the package. Only these modules know flags."""
