"""Training pictures: sources.py reads them, loader.py cuts batches of crops from them."""
