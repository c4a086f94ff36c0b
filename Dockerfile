# The server, for every role: `docker build --tag parsec-server .`
FROM node:26-slim AS build
WORKDIR /src
COPY . .
# Packages beside the server's own; a block store in OpenStack Swift needs PACKAGES=pkgcloud@2.2.0.
ARG PACKAGES=
RUN node tools/setup.mjs \
 && node tools/pack.mjs /tmp/package \
 && npm install --global --prefix /opt/parsec --no-audit --no-fund /tmp/package/parsec-server-*.tgz $PACKAGES

FROM node:26-slim
ENV NODE_ENV=production PATH=/opt/parsec/bin:$PATH
COPY --from=build /opt/parsec /opt/parsec
USER 1234:1234
WORKDIR /tmp
EXPOSE 6777
ENTRYPOINT ["parsec"]
CMD ["backend", "run"]
