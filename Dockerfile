# One image for ingest_price, ingest_rank, query_api and the set-up. Another base: --build-arg PYTHON=...
# For a CPU without AVX2: --build-arg POLARS=rtcompat
ARG PYTHON=python:3.11.14-slim-bookworm

FROM ${PYTHON} AS build
ARG POLARS
RUN pip install --no-cache-dir --disable-pip-version-check uv==0.13.9
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PROJECT_ENVIRONMENT=/opt/topcoins \
    UV_PYTHON=/usr/local/bin/python3 \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /build
# The dependencies first: they change less often than our code.
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --locked --no-dev --no-editable --no-install-project ${POLARS:+--extra "$POLARS"}
COPY lib lib
COPY ingest_price ingest_price
COPY ingest_rank ingest_rank
COPY query_api query_api
RUN uv sync --locked --no-dev --no-editable ${POLARS:+--extra "$POLARS"}

FROM ${PYTHON}
RUN pip uninstall --yes --quiet --root-user-action ignore setuptools wheel pip \
    # A new named volume gets the owner and the mode of the folder it is mounted on.
    && install -d -o 10001 -g 0 -m 0750 \
        /archive /spool /tokens /tokens/grafana /tokens/ingest_price /tokens/ingest_rank /tokens/operator /tokens/query_api
COPY --from=build /opt/topcoins /opt/topcoins
ENV PATH=/opt/topcoins/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TOPCOINS_SPOOL_DIR=/spool
WORKDIR /
USER 10001:0
CMD ["topcoins", "--help"]
