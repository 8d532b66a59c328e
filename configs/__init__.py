"""The recipes of training runs. Each file says only where its run differs from base.py."""
