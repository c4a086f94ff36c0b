#!/bin/sh
# Brings back what backup.sh has written, into an empty database and empty directories, named in the same order.
#
#   restore.sh FOLDER DATABASE_URL [DIRECTORY…]
#
# No server may run on them meanwhile. Nothing is written before every checksum is right, and nothing over what is there.
set -eu
[ $# -ge 2 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
folder=$1 database=$2
shift 2
[ -f "$folder/SHA256SUMS" ] || { echo "$folder is no backup, or an unfinished one" >&2; exit 1; }
(cd "$folder" && sha256sum --check --quiet SHA256SUMS)
stored=$(find "$folder" -name 'directory-*.tar' | wc -l)
[ "$stored" -eq $# ] || { echo "the backup has $stored directories, not $#" >&2; exit 1; }
tables=$(psql --no-psqlrc --tuples-only --no-align --dbname="$database" \
  --command="SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
[ "$tables" = 0 ] || { echo "the database is not empty: it has $tables tables" >&2; exit 1; }
for directory in "$@"; do
  mkdir -p "$directory"
  [ -z "$(ls -A "$directory")" ] || { echo "$directory is not empty" >&2; exit 1; }
done
pg_restore --exit-on-error --single-transaction --no-owner --no-privileges --dbname="$database" "$folder/database"
number=0
for directory in "$@"; do
  tar -C "$directory" -xpf "$folder/directory-$number.tar"
  number=$((number + 1))
done
echo "restored; start the server, and look at every block: parsec backend scrub"
