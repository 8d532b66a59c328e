"""Several processes and devices as one program."""
