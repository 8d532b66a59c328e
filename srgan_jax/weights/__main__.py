"""`python -m srgan_jax.weights`, which `srgan-weights` is too."""

from srgan_jax.commands.weights import main

if __name__ == "__main__":
    main()
