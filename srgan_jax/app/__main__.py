"""`python -m srgan_jax.app` runs this module. The installed command `srgan-app` does the same."""

from srgan_jax.commands.app import main

if __name__ == "__main__":
    main()
