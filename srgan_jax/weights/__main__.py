"""`python -m srgan_jax.weights` runs this module. The installed command `srgan-weights` does the same."""

from srgan_jax.commands.weights import main

if __name__ == "__main__":
    main()
