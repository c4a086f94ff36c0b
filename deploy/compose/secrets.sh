#!/bin/sh
# Makes the secrets of compose.yaml, each a file of its own, in a folder that only you may enter. What is there stays.
#
#   secrets.sh [FOLDER]      by default `secrets` beside this script
set -eu
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"
umask 077

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
# keep FILE TEXT: a file that containers may read, whatever user they run as
keep() {
  [ -e "$1" ] || printf '%s\n' "$2" >"$1"
  chmod 444 "$1"
}

keep postgres_password "$(random)"
keep db "postgresql://parsec:$(cat postgres_password)@postgres/parsec"
keep nats_url "nats://parsec:$(random)@nats:4222"
password=$(sed 's,^nats://parsec:\(.*\)@.*,\1,' nats_url)
keep nats_user "authorization { user: parsec, password: \"$password\" }"
keep s3_key parsec
keep s3_secret "$(random)"
keep blockstore "s3:http\\://s3\\:9000:us-east-1:parsec:$(cat s3_key):$(cat s3_secret)"
keep administration_token "$(random)"
keep grafana_password "$(random)"
echo "$folder: the secrets are there"
