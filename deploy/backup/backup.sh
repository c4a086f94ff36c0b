#!/bin/sh
# Writes everything that a server needs into a folder: its database, and the directories of `file:` block stores.
#
#   backup.sh FOLDER DATABASE_URL [DIRECTORY…]
#
# The server may run. The database comes first: what it names by then is in the directories afterwards, since blocks are
# never changed. Buckets of S3 and Swift are copied by their own service, likewise after the database. The folder must not
# exist; a backup that failed leaves none behind. Directories need GNU tar.
set -eu
[ $# -ge 2 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
folder=$1 database=$2
shift 2
[ ! -e "$folder" ] || { echo "$folder exists already" >&2; exit 1; }
[ $# -eq 0 ] || tar --version | grep -q GNU || { echo "directories need GNU tar" >&2; exit 1; }
umask 077
unfinished=$folder.unfinished
rm -rf "$unfinished"
mkdir -p "$unfinished"
trap 'rm -rf "$unfinished"' EXIT
pg_dump --format=custom --no-owner --no-privileges --file="$unfinished/database" --dbname="$database"
number=0
for directory in "$@"; do
  # 1: something came or went meanwhile, which no block does that the database names. Whatever fails is 2.
  tar -C "$directory" --exclude=./.incoming -cf "$unfinished/directory-$number.tar" . || [ $? -eq 1 ]
  number=$((number + 1))
done
(cd "$unfinished" && sha256sum -- * >SHA256SUMS)
sync
mv "$unfinished" "$folder"
trap - EXIT
echo "$folder: $(du -sh "$folder" | cut -f1)"
