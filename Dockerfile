# The server, for every role: `docker build --tag parsec-server .`
FROM node:26-slim AS build
WORKDIR /src
# A registry of yours: an npmrc of the base image (its global one or that of root), or `--secret id=npmrc,src=$HOME/.npmrc`
# in place of the latter, which no layer keeps. The global one is named since `--prefix` and the npm of the repository would
# look for it elsewhere.
ENV NPM_CONFIG_GLOBALCONFIG=/usr/local/etc/npmrc
COPY . .
# What only editors, debuggers and other systems read is left out, a third of all. PACKAGES are beside the
# server's own: a block store in OpenStack Swift needs pkgcloud@2.2.0.
ARG PACKAGES=
RUN --mount=type=secret,id=npmrc \
    if [ -e /run/secrets/npmrc ]; then export NPM_CONFIG_USERCONFIG=/run/secrets/npmrc; fi \
 && node tools/setup.mjs && node tools/pack.mjs /tmp/package \
 && npm install --global --prefix /opt/parsec --omit=dev --no-audit --no-fund /tmp/package/parsec-server-*.tgz $PACKAGES \
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
