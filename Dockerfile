# syntax=docker/dockerfile:1
# The one binary on a glibc base without a shell: predictions equal to the bit need glibc's expf, which musl has not.

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --locked --profile dist --package arborgate \
    && install -D target/dist/arborgate /out/arborgate

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/arborgate /usr/local/bin/arborgate
COPY LICENSE /usr/share/doc/arborgate/LICENSE
USER 65532:65532
EXPOSE 8443
HEALTHCHECK --interval=5s --timeout=4s --start-period=20s CMD ["/usr/local/bin/arborgate", "health"]
ENTRYPOINT ["/usr/local/bin/arborgate"]
CMD ["serve", "--roles", "edge,auth,limiter,crypto,inference"]
