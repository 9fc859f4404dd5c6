# The server of images from captions (docs/systems/attngan_serve.md), for CPUs or NVIDIA GPUs:
#   docker build -t drawl .                              docker build -t drawl-gpu --build-arg DEVICE=gpu .
#   docker run -p 8080:8080 drawl                        docker run --gpus all -p 8080:8080 drawl-gpu
# with a run of yours:
#   docker run -p 8080:8080 -v "$PWD/runs:/drawl/runs:ro" drawl model.run=runs/attngan/NAME
# Without an engine, the same steps: scripts/docker_steps.sh try cpu
FROM python:3.12-slim
ARG DEVICE=cpu
WORKDIR /drawl
COPY requirements.txt scripts/docker_steps.sh ./
RUN bash docker_steps.sh install "$DEVICE"
COPY . .
RUN useradd --system drawl
USER drawl
EXPOSE 8080
HEALTHCHECK --start-period=60s CMD ["bash", "scripts/docker_steps.sh", "healthy", "http://127.0.0.1:8080"]
ENTRYPOINT ["bash", "scripts/docker_steps.sh", "serve"]
