"""Training pictures: sources.py reads them, and loader.py cuts batches of crops from them."""
