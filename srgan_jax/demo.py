"""`python -m srgan_jax.demo`, which `srgan-demo` is too."""

from srgan_jax.commands.demo import main

if __name__ == "__main__":
    main()
