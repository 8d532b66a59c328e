"""Runs: one file each, holding only what differs from base.py."""
