# The server, for every role: `docker build --tag parsec-server .`
FROM node:26-slim AS build
WORKDIR /src
# A registry of yours: the npmrc of the base image, or `--secret id=npmrc,src=$HOME/.npmrc`, which no layer keeps. Named,
# since `--prefix` and the npm of the repository would look for the former elsewhere.
ENV NPM_CONFIG_GLOBALCONFIG=/usr/local/etc/npmrc NPM_CONFIG_USERCONFIG=/run/secrets/npmrc
COPY . .
RUN --mount=type=secret,id=npmrc node tools/setup.mjs && node tools/pack.mjs /tmp/package
# What only editors, debuggers and other systems read is left out, a third of all. PACKAGES are beside the
# server's own: a block store in OpenStack Swift needs pkgcloud@2.2.0.
ARG PACKAGES=
RUN --mount=type=secret,id=npmrc \
    npm install --global --prefix /opt/parsec --omit=dev --no-audit --no-fund /tmp/package/parsec-server-*.tgz $PACKAGES \
 && find /opt/parsec/lib/node_modules -not -path '*/@parsec/*' -type f \
      \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.?ts' -o -path '*/prebuilds/*' -not -path '*/prebuilds/linux-*' \) -delete

FROM node:26-slim
ARG VERSION=0.1.0 REVISION=unknown
LABEL org.opencontainers.image.title="Parsec server" \
      org.opencontainers.image.description="Self-hosted Parsec server: end-to-end encrypted file sharing" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION
ENV NODE_ENV=production PATH=/opt/parsec/bin:$PATH
COPY --from=build /opt/parsec /opt/parsec
# Any other uid does as well, with or without an entry in /etc/passwd.
USER 1234:1234
WORKDIR /tmp
EXPOSE 6777
# No HEALTHCHECK: the port of /readyz is a choice, --monitor-port (docs/operations.md has a command for it).
ENTRYPOINT ["parsec"]
CMD ["backend", "run"]
