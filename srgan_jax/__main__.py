"""`python -m srgan_jax` lists the commands."""

from srgan_jax.commands import overview

if __name__ == "__main__":
    overview.main()
