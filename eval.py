"""Score a generator on whole pictures, from a checkout; installed, the command is `srgan-eval`.

python eval.py --ckpt runs/srgan_vgg54 --data Set5=data/Set5 Set14=data/Set14 --out out/srgan_vgg54

Prints a Markdown table of scores; writes OUT/results.json and the SR images, OUT/NAME/STEM.png.
"""

from srgan_jax.commands.evaluate import main

if __name__ == "__main__":
    main()
