# The commands in a container.
#
#   docker build -t srgan_jax .                                  for a CPU
#   docker build -t srgan_jax --build-arg ACCELERATOR=cuda .     for NVIDIA GPUs; run it with --gpus all
#   docker build -t srgan_jax --build-arg ACCELERATOR=tpu .      for TPU VMs; run it with --privileged --net host
#   docker build -t srgan_jax --build-arg EXTRAS= .              only what enlarges pictures
#   docker run --rm -v "$PWD:/work" srgan_jax srgan-upscale photo.jpg
#
# EXTRAS are names of pyproject.toml, with commas between them.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim
ARG ACCELERATOR=cpu
ARG EXTRAS=train,eval,video,heic
COPY --from=wheel /wheels /wheels
RUN case "$ACCELERATOR" in \
      cpu) extras="$EXTRAS" ;; \
      cuda|tpu) extras="$EXTRAS,$ACCELERATOR" ;; \
      *) echo "ACCELERATOR=$ACCELERATOR: choose cpu, cuda or tpu." >&2; exit 1 ;; \
    esac \
    && extras="${extras#,}" \
    && pip install --no-cache-dir "$(echo /wheels/*.whl)${extras:+[$extras]}" \
    && rm -r /wheels \
    && useradd --create-home user
USER user
# Compiled programs are kept here; mount a volume on it to keep them from one run to the next.
ENV XDG_CACHE_HOME=/home/user/.cache
WORKDIR /work
CMD ["python", "-m", "srgan_jax"]
