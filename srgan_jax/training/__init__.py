"""Training: steps, the stages that own the networks, and the loop that knows no loss."""
