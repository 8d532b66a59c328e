"""Opinion tests: people grade pictures, or choose between two, and statistics say what their answers mean.

The paper's main evidence is such a test (section 3.3). This room makes one out of folders of pictures (`creating`),
shows the pictures to raters in their browsers (`server`), keeps every answer (`store`), and analyses the answers
(`analysis`, `report`). Nothing in it imports JAX, so that a small machine without an accelerator can run the test.

    python -m srgan_jax.study create | serve | analyse | simulate
"""
