"""Enlarge photos and videos: the command `srgan-upscale`, from a checkout.

python upscale.py photo.jpg -o large.png
python upscale.py holiday/ -o enlarged/ --ckpt model.safetensors
"""

from srgan_jax.commands.upscale import main

if __name__ == "__main__":
    main()
