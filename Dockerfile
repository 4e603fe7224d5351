# Two stages: the first builds a virtual environment from the lock, the second has only that and Python.
# Build:  docker build -t ami_rotator .        Run: docker-compose.yml, docs/deployment.md

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1
WORKDIR /src
RUN python -m venv /opt/rotator
# The packages change seldom, the code often: in this order a new build reuses the packages.
COPY requirements.lock requirements-build.lock ./
RUN /opt/rotator/bin/pip install --quiet --require-hashes --no-deps -r requirements.lock
COPY LICENSE README.md pyproject.toml ./
COPY ami_rotator ami_rotator
COPY sql sql
COPY web web
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --quiet --require-hashes --no-deps -r requirements-build.lock \
    && /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /dist . \
    && /opt/rotator/bin/pip install --quiet --no-deps /dist/*.whl \
    && /opt/rotator/bin/pip uninstall --quiet --yes pip setuptools \
    && /opt/rotator/bin/python -m compileall -q /opt/rotator/lib

FROM python:3.11-slim
LABEL org.opencontainers.image.title="ami_rotator" \
      org.opencontainers.image.description="The caller-ID engine for VICIdial" \
      org.opencontainers.image.licenses="MIT"
# No home and no shell; the numbers are fixed, so that volumes keep their owner from one image to the next.
RUN groupadd --gid 10001 rotator \
    && useradd --uid 10001 --gid rotator --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin rotator \
    && install -d -o rotator -g rotator -m 0750 /data
COPY --from=build /opt/rotator /opt/rotator
ENV PATH=/opt/rotator/bin:$PATH PYTHONUNBUFFERED=1 API_HOST=0.0.0.0 API_PORT=8000 DATA_DIR=/data
WORKDIR /data
USER rotator
EXPOSE 8000
STOPSIGNAL SIGTERM
# /health is 503 while calls cannot be served. Python, because the image has no curl.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['API_PORT'] + '/health', timeout=4)"]
ENTRYPOINT ["ami-rotator"]
CMD ["serve"]
