"""What makes the released weights and the figures of docs/: `python -m scripts.NAME --help`."""
