"""The page of `srgan-app` as a Space on Hugging Face, whose servers look for it at port 7860."""

from srgan_jax.app.archives import Limits
from srgan_jax.app.server import serve

# A free Space has two CPU cores and many users.
LIMITS = Limits(megapixels=1, pictures=10, megabytes=50)

if __name__ == "__main__":
    serve(["srresnet-x4", "srgan-x4", "fast-x4"], limits=LIMITS, host="0.0.0.0", port=7860)
