# The service, without PyTorch. Build it when `make repro` has written models/exported:
#   docker build -t pandacat . && docker run --rm -p 8000:8000 pandacat
FROM python:3.11-slim AS wheel
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM python:3.11-slim
COPY constraints.txt requirements.txt /tmp/
RUN --mount=from=wheel,source=/wheels,target=/wheels \
    cat /tmp/constraints.txt /tmp/requirements.txt > /tmp/versions.txt \
    && pip install --no-cache-dir --constraint /tmp/versions.txt /wheels/*.whl \
    && rm /tmp/*.txt
COPY models/exported /model
USER 65534:65534
EXPOSE 8000
# /health/ready answers 503 while the model loads and while the service shuts down.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/ready', timeout=2)"]
# In a container the loopback is the container's own: --publish decides who reaches it.
ENTRYPOINT ["pandacat", "serve", "--model", "/model", "--host", "0.0.0.0"]
