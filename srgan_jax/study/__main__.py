"""`python -m srgan_jax.study` runs this module."""

from srgan_jax.commands.study import main

if __name__ == "__main__":
    main()
