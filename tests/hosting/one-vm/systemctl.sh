#!/bin/sh
# Stands in for systemd in a folder where it does not run: see one-vm.manual.ts. What it starts is in the network NETWORK.
set -eu
[ "$(readlink /proc/self/ns/net)" = "$(readlink NETWORK)" ] || exec nsenter --net=NETWORK "$0" "$@"

now= verb= units=
for word in "$@"; do
  case $word in
    --now) now=yes ;;
    --*) ;;
    *) if [ -z "$verb" ]; then verb=$word; else units="$units ${word%.service}"; fi ;;
  esac
done

unit=/etc/systemd/system/parsec.service
pid=/run/parsec.pid
user=61184
values() { sed -n "s,^$1=,,p" "$unit" | tr ' ' '\n'; }

start_parsec() {
  for name in $(values StateDirectory); do mkdir -p "/var/lib/$name"; done
  for name in $(values LogsDirectory); do mkdir -p "/var/log/$name"; done
  chown -R $user:$user /var/lib/parsec /var/log/parsec
  chmod 755 /var/lib/parsec
  file=$(sed -n 's,^EnvironmentFile=,,p' "$unit")
  # Becomes what the line says.
  as() {
    cd "$(sed -n 's,^WorkingDirectory=,,p' "$unit")"
    umask "$(sed -n 's,^UMask=,,p' "$unit")"
    set -a
    . "$file"
    HOME=/ exec setpriv --reuid $user --regid $user --clear-groups --no-new-privs $1
  }
  (as "$(sed -n 's,^ExecStartPre=,,p' "$unit")")
  # Nothing of ours stays open: whoever waits for the end of our output would wait for the server's.
  (
    exec </dev/null >>/var/log/parsec.out 2>&1
    as "$(sed -n 's,^ExecStart=,,p' "$unit")"
  ) &
  echo $! >$pid
}
stop_parsec() {
  [ -e $pid ] || return 0
  kill "$(cat $pid)" 2>/dev/null || true
  while kill -0 "$(cat $pid)" 2>/dev/null; do sleep 0.2; done
  rm $pid
}
start_postgresql() { pg_ctlcluster 15 main start || [ $? = 2 ]; }
stop_postgresql() { pg_ctlcluster 15 main stop; }
start_nginx() { nginx; }
stop_nginx() { [ ! -s /run/nginx.pid ] || { nginx -s quit; while [ -s /run/nginx.pid ]; do sleep 0.2; done; }; }

for name in $units; do
  case $verb in
    enable) [ -z "$now" ] || "start_$name" ;;
    start | stop) "${verb}_$name" ;;
    restart) "stop_$name" && "start_$name" ;;
    *) echo "systemctl $verb is not known here" >&2 && exit 1 ;;
  esac
done
