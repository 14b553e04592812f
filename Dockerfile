# Two images from one recipe, the service being what is built unless you ask:
#   docker build -t localhost/syncd:0.2.0 .                                  the service alone
#   docker build --target sandbox -t localhost/syncd:0.2.0-sandbox .         with `syncd sandbox`, for trials and drills
# The base image is pinned by digest, and is an argument, so that it can be a newer one or a mirror of your own:
#   docker build --build-arg PYTHON_IMAGE=registry.example.com/python:3.13-slim-bookworm -t localhost/syncd:0.2.0 .
# Libraries come from requirements*.txt, version and hash; /opt/syncd/share/sbom.cdx.json lists everything inside.
ARG PYTHON_IMAGE=python:3.13.15-slim-bookworm@sha256:ed86c82274b3c69b52fb5820f358f0bd7df0b603332063cb5c6e32bd220c3e6e

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# What changes rarely comes first: the pinned libraries are a layer of their own.
COPY requirements.txt requirements-build.txt ./
RUN python -m venv --without-pip /opt/syncd \
    && python -m pip --python /opt/syncd/bin/python install --require-hashes --only-binary :all: -r requirements.txt \
    && python -m venv /opt/build \
    && /opt/build/bin/python -m pip install --require-hashes --only-binary :all: -r requirements-build.txt
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY tools/bom.py tools/bom.py
COPY migrations migrations
COPY syncd syncd
RUN /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
    && python -m pip --python /opt/syncd/bin/python install --no-deps --no-index /dist/*.whl

FROM build AS build-sandbox
COPY requirements-sandbox.txt ./
RUN python -m pip --python /opt/syncd/bin/python install --require-hashes --only-binary :all: -r requirements-sandbox.txt \
    && /opt/build/bin/python tools/bom.py --image /opt/syncd/bin/python /opt/syncd/share/sbom.cdx.json

FROM build AS build-service
RUN site=$(/opt/syncd/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
    && rm -r "$site/syncd/sandbox" && sed -i '/^syncd\/sandbox\//d' "$site"/syncd-*.dist-info/RECORD \
    && /opt/build/bin/python tools/bom.py --image /opt/syncd/bin/python /opt/syncd/share/sbom.cdx.json

FROM ${PYTHON_IMAGE} AS system
ARG PYTHON_IMAGE
ARG VERSION=0.2.0
ARG REVISION=
ARG CREATED=
LABEL org.opencontainers.image.title="syncd" \
      org.opencontainers.image.description="Keeps a WEBCON BPS portal in step with a Microsoft Entra ID tenant" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
RUN groupadd --gid 10001 syncd \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/syncd --shell /usr/sbin/nologin syncd \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/syncd
# The bytecode was compiled while building and the root filesystem is read-only, so Python need not try to write any.
ENV PATH=/opt/syncd/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SYNCD_STORE__URL=sqlite:////var/lib/syncd/syncd.db \
    SYNCD_HEALTH__LISTEN=0.0.0.0:8080
USER 10001:10001
WORKDIR /var/lib/syncd
VOLUME /var/lib/syncd
EXPOSE 8080
STOPSIGNAL SIGTERM
# Live, not ready: a standby and a daemon whose portal is down are both healthy and must not be restarted.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["syncd"]
CMD ["run"]

FROM system AS sandbox
COPY --from=build-sandbox /opt/syncd /opt/syncd

FROM system AS service
COPY --from=build-service /opt/syncd /opt/syncd
