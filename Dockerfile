# Two images, built from the sources beside this file and run by nobody in particular:
#
#   docker build --target service .      the service
#   docker build --target simulator .    what publishes to it for a trial
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target \
    CARGO_TARGET_DIR=/target cargo build --release --locked --workspace \
        --bin pulseward --bin pulseward-sim \
    && install -D -t /out /target/release/pulseward /target/release/pulseward-sim

FROM debian:bookworm-slim AS base
# Whom the system trusts, for a broker or a token server with a public certificate.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin pulseward

FROM base AS simulator
COPY --from=build /out/pulseward-sim /usr/local/bin/pulseward-sim
USER pulseward
CMD ["pulseward-sim", "--help"]

# Last, so that it is what is built where nobody says which.
FROM base AS service
# The directory belongs to the user before the volume is mounted, so that the volume does too.
RUN install -d -m 0700 -o pulseward -g pulseward /var/lib/pulseward
COPY --from=build /out/pulseward /usr/local/bin/pulseward
COPY docs/pulseward.toml /etc/pulseward/pulseward.toml
ENV PULSEWARD_JOURNAL__DIR=/var/lib/pulseward/journal \
    PULSEWARD_STORE__URL=sqlite:/var/lib/pulseward/readings.sqlite
USER pulseward
WORKDIR /var/lib/pulseward
VOLUME /var/lib/pulseward
STOPSIGNAL SIGTERM
ENTRYPOINT ["pulseward"]
CMD ["serve", "--config", "/etc/pulseward/pulseward.toml"]
