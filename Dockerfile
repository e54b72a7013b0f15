# One image for everything that losswatch runs; the entry point is its command line. See docs/deploying.md.
# BASE: any Debian 12 (or another system with apt and Python 3.11 to 3.13).
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY requirements.lock ./
# The lock holds the tools of the developers as well; the image does without them.
RUN python3 -m venv /opt/losswatch \
 && /opt/losswatch/bin/pip install --no-cache-dir --no-compile --no-deps --require-hashes -r requirements.lock \
 && /opt/losswatch/bin/pip uninstall --yes --quiet \
      duckdb execnet hypothesis moto mypy pandas-stubs playwright polars polars-runtime-32 py-partiql-parser pytest \
      pytest-cov pytest-timeout pytest-xdist responses ruff scipy-stubs uv xmltodict
COPY pyproject.toml README.md ./
COPY models models
COPY monitoring monitoring
COPY pipelines pipelines
RUN /opt/losswatch/bin/pip install --no-cache-dir --no-compile --no-deps --no-build-isolation . \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/losswatch/lib

FROM ${BASE}
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --system --gid 10001 losswatch \
 && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/losswatch --no-create-home losswatch \
 && install -d -o losswatch -g losswatch -m 0750 \
      /var/lib/losswatch /var/lib/losswatch/.losswatch /var/lib/mlflow
COPY --from=build /opt/losswatch /opt/losswatch
COPY mlflow/basic_auth.ini /etc/losswatch/basic_auth.ini

# Whatever writes a file of its own accord does so in /tmp, so that the root file system may be read-only.
ENV PATH=/opt/losswatch/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    KERAS_HOME=/tmp/keras \
    PREFECT_HOME=/tmp/prefect \
    PREFECT_UI_STATIC_DIRECTORY=/tmp/prefect-pages \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PREFECT_LOGGING_LEVEL=WARNING \
    DO_NOT_TRACK=true \
    MLFLOW_DISABLE_TELEMETRY=true \
    ORT_DISABLE_TELEMETRY=1 \
    MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false \
    TF_CPP_MIN_LOG_LEVEL=3 \
    TF_ENABLE_ONEDNN_OPTS=0

# The project lies here; what losswatch writes goes into the folder .losswatch of it.
WORKDIR /var/lib/losswatch
VOLUME /var/lib/losswatch/.losswatch
USER 10001:10001
EXPOSE 8000

# For the scoring server, the one thing that the entry point serves; compose.yaml has one for each service.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/livez', timeout=4)"]
ENTRYPOINT ["losswatch"]
CMD ["--help"]
