#!/usr/bin/env bash
# The real services that the tests talk to, from Debian 12 packages, on 127.0.0.1 only:
#   PostgreSQL 15, nats-server, memcached, OpenStack Keystone (sqlite, uwsgi) and
#   OpenStack Swift (native API with Keystone tokens, S3 API with SigV4 and EC2 credentials).
#
#   services.sh start     idempotent; installs missing packages when root; waits until all answer
#   services.sh stop      ends only what `start` started (pid files with the process start time)
#   services.sh status    one line a service; exit 0 when all are up
#   services.sh env       prints the env file
#   services.sh kill NAME [TERM|KILL|STOP|CONT] / services.sh up NAME    fault injection, one service
#   services.sh destroy   stop, then delete the state directory
#
# Settings (environment):
#   STATE_DIR    state, logs, pid files, env file     (parsec-test-services in the system's temp folder)
#   SERVICES     any of: postgres nats swift nginx pgbouncer chromium   (the first three; the others are only installed;
#                swift brings memcached and keystone)
#   SWIFT_DATA   directory for the objects; "auto": STATE_DIR when it takes xattrs, else /dev/shm,
#                else an ext4 image on a loop device  (auto)
#   PORT_BASE    first port tried                     (17300)
#   KEYSTONE_TOKEN_TTL seconds (3600)   S3_SECRET_CACHE seconds (300; 0 asks Keystone each time)
#   SWIFT_TOKEN_CACHE seconds (300; a revoked token works that much longer; -1 asks each time)
#   PG_BIN       folder of another PostgreSQL's programs, with psql and pg_isready (/usr/lib/postgresql/15/bin)
#   NATS_MAX_PAYLOAD bytes (8388608)    NATS_JETSTREAM 0|1 (0)
set -euo pipefail
umask 022

STATE_DIR=${STATE_DIR:-${TMPDIR:-/tmp}/parsec-test-services}
SERVICES=${SERVICES:-postgres nats swift}
SWIFT_DATA=${SWIFT_DATA:-auto}
PORT_BASE=${PORT_BASE:-17300}
KEYSTONE_TOKEN_TTL=${KEYSTONE_TOKEN_TTL:-3600}
S3_SECRET_CACHE=${S3_SECRET_CACHE:-300}
SWIFT_TOKEN_CACHE=${SWIFT_TOKEN_CACHE:-300}
NATS_MAX_PAYLOAD=${NATS_MAX_PAYLOAD:-8388608}
NATS_JETSTREAM=${NATS_JETSTREAM:-0}
SECRET=parsec-test-secret         # one password for every test account
REGION=RegionOne
S3_REGION=us-east-1
S3_ACCESS=parsectestaccesskey
S3_SECRET=parsectestsecretkey0123456789
OS_USER=parsec OS_PROJECT=parsec-test CONTAINER=parsec-test

PG_BIN=${PG_BIN:-/usr/lib/postgresql/15/bin}
SYS_PY=/usr/bin/python3           # never a pyenv/venv python: the OpenStack modules are Debian's
ENV_FILE=$STATE_DIR/env.sh
RUN=$STATE_DIR/run LOG=$STATE_DIR/log
unset PYTHONPATH PYTHONHOME OS_CLOUD || true
export NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost LC_ALL=C.UTF-8

say() { printf '%s\n' "services: $*" >&2; }
die() { say "$*"; exit 1; }
want() { case " $SERVICES " in *" $1 "*) return 0 ;; esac; return 1; }
am_root() { [ "$(id -u)" = 0 ]; }
now_ms() { date +%s%3N; }

# ---------------------------------------------------------------- packages
install_packages() {
  local need=() p
  want postgres && need+=(postgresql-15)
  want nats && need+=(nats-server)
  want nginx && need+=(nginx)     # the program only: tests start their own
  want pgbouncer && need+=(pgbouncer)   # likewise
  want chromium && need+=(chromium fonts-dejavu-core)   # likewise
  want swift && need+=(swift-proxy swift-account swift-container swift-object keystone
                       python3-keystonemiddleware memcached)
  local missing=()
  for p in ${need[@]+"${need[@]}"}; do
    # (postgresql-15 or any other: installed means "ii")
    [ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$p" 2>/dev/null | cut -c1-2)" = ii ] || missing+=("$p")
  done
  [ ${#missing[@]} = 0 ] && return 0
  am_root || die "missing packages; as root: apt-get install --no-install-recommends ${missing[*]}"
  say "installing ${missing[*]}"
  local made_policy=0
  if [ ! -e /usr/sbin/policy-rc.d ]; then     # no daemon of the packages may start by itself
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; made_policy=1
  fi
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends
             -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold
             -o Dpkg::Options::=--force-unsafe-io -o DPkg::Lock::Timeout=300 install)
  local rc=0
  { [ -n "$(ls /var/lib/apt/lists/*_Packages* 2>/dev/null)" ] && "${apt[@]}" "${missing[@]}"; } >"$LOG/apt.log" 2>&1 ||
    { apt-get -o DPkg::Lock::Timeout=300 update && "${apt[@]}" "${missing[@]}"; } >>"$LOG/apt.log" 2>&1 || rc=$?
  [ $made_policy = 1 ] && rm -f /usr/sbin/policy-rc.d
  [ $rc = 0 ] || { tail -20 "$LOG/apt.log" >&2; die "apt-get failed"; }
}

# ---------------------------------------------------------------- processes
start_time() { # field 22 of /proc/PID/stat, robust against spaces in the name
  local s; s=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  s=${s##*) }; set -- $s; [ "$1" != Z ] || return 1; printf '%s' "${20}"
}
alive() { # NAME: is the very process of the pid file running?
  local pid st; [ -s "$RUN/$1.pid" ] || return 1
  read -r pid st <"$RUN/$1.pid" || return 1
  [ "$(start_time "$pid")" = "$st" ]
}
pid_of() { local pid st; read -r pid st <"$RUN/$1.pid" && printf '%s' "$pid"; }

as_user() { # USER CMD...: exec as USER when root (setpriv keeps the pid), else as oneself
  local u=$1; shift
  if am_root; then
    exec setpriv --reuid="$u" --regid="$(id -g "$u")" --clear-groups --reset-env -- \
      env PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/nonexistent "$@"
  else
    exec "$@"
  fi
}
svc_user() { # user a service runs as
  am_root || { id -un; return; }
  case $1 in postgres) echo postgres ;; nats) echo nats ;; memcached) echo memcache ;;
    keystone) echo keystone ;; *) echo swift ;; esac
}
own_dir() { # USER DIR [MODE]
  mkdir -p "$2"; chmod "${3:-755}" "$2"; if am_root; then chown "$1:" "$2"; fi
}
spawn() { # NAME CMD...: a subshell that becomes the daemon: own session, own user, log file, pid file
  local name=$1 u; shift; u=$(svc_user "$name")
  rm -f "$RUN/$name.pid"
  (
    exec 9>&- </dev/null >>"$LOG/$name.log" 2>&1
    cd /
    ulimit -n 8192 2>/dev/null || true
    # setsid forks only when it is a group leader; a background subshell of a script is not
    exec setsid bash -c '
      pidfile=$1; shift
      s=$(</proc/$$/stat); s=${s##*) }; set -- "$@"; f=($s)
      printf "%s %s\n" $$ "${f[19]}" >"$pidfile.tmp"; mv "$pidfile.tmp" "$pidfile"
      exec "$@"' _ "$RUN/$name.pid" bash -c "$(declare -f am_root as_user); as_user \"\$@\"" _ "$u" "$@"
  ) &
  disown $! 2>/dev/null || true
}
end_one() { # NAME [SIGNAL]
  local name=$1 sig=${2:-} pid i
  alive "$name" || { rm -f "$RUN/$name.pid"; return 0; }
  pid=$(pid_of "$name")
  if [ -z "$sig" ]; then case $name in postgres) sig=INT ;; *) sig=TERM ;; esac; fi
  kill -s "$sig" "$pid" 2>/dev/null || true
  for i in $(seq 1 100); do alive "$name" || break; sleep 0.05; done
  if alive "$name"; then # still there after 5 s: the whole session that we made
    kill -s KILL -- "-$pid" 2>/dev/null || kill -s KILL "$pid" 2>/dev/null || true
    for i in $(seq 1 40); do alive "$name" || break; sleep 0.05; done
  fi
  rm -f "$RUN/$name.pid"
}

# ---------------------------------------------------------------- ports
PORT_NAMES=(PG NATS NATS_MON MEMCACHE KEYSTONE PROXY OBJECT CONT ACCOUNT)
port_busy() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
choose_ports() { # keeps the ports of the last start unless another program took one
  local n v p=$PORT_BASE taken=' '
  [ -f "$STATE_DIR/ports.env" ] && . "$STATE_DIR/ports.env"
  for n in "${PORT_NAMES[@]}"; do v=P_$n; taken+="${!v:-} "; done
  for n in "${PORT_NAMES[@]}"; do
    v=P_$n
    if [ -n "${!v:-}" ] && { alive "$(port_owner "$n")" || ! port_busy "${!v}"; }; then continue; fi
    while case "$taken" in *" $p "*) true ;; *) port_busy "$p" ;; esac; do p=$((p + 1)); done
    printf -v "$v" %s "$p"; taken+="$p "; p=$((p + 1))
  done
  for n in "${PORT_NAMES[@]}"; do v=P_$n; echo "$v=${!v}"; done >"$STATE_DIR/ports.env"
}
port_owner() {
  case $1 in PG) echo postgres ;; NATS | NATS_MON) echo nats ;; MEMCACHE) echo memcached ;;
    KEYSTONE) echo keystone ;; PROXY) echo swift-proxy ;; OBJECT) echo swift-object ;;
    CONT) echo swift-container ;; ACCOUNT) echo swift-account ;; esac
}

# ---------------------------------------------------------------- PostgreSQL
pg_start() {
  local u d=$STATE_DIR/postgres; u=$(svc_user postgres)
  own_dir "$u" "$d" 755; own_dir "$u" "$d/run" 755
  if [ ! -f "$d/data/.ready" ]; then
    rm -rf "$d/data"
    printf '%s' "$SECRET" >"$d/pw"; chmod 644 "$d/pw"
    (as_user "$u" "$PG_BIN/initdb" -D "$d/data" -U postgres --pwfile="$d/pw" --auth-local=trust \
      --auth-host=scram-sha-256 -E UTF8 --locale=C.UTF-8 --no-sync --no-instructions) >"$LOG/initdb.log" 2>&1 ||
      { cat "$LOG/initdb.log" >&2; die "initdb failed"; }
    touch "$d/data/.ready"
  fi
  # fsync off: data survive kill -9 of the server, not a crash of the machine. That is enough for tests.
  spawn postgres "$PG_BIN/postgres" -D "$d/data" -p "$P_PG" -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories="$d/run" -c fsync=off -c synchronous_commit=off -c full_page_writes=off \
    -c max_connections=300 -c shared_buffers=128MB -c wal_level=minimal -c max_wal_senders=0 \
    -c max_wal_size=2GB -c log_min_messages=warning -c timezone=UTC
}
pg_sql() { PGPASSWORD=$SECRET "$PG_BIN/psql" -X -q -At -h 127.0.0.1 -p "$P_PG" -U postgres -d "${2:-postgres}" -c "$1"; }
pg_up() { "$PG_BIN/pg_isready" -q -h 127.0.0.1 -p "$P_PG"; }
pg_setup() {
  [ "$(pg_sql "select 1 from pg_roles where rolname='parsec'")" = 1 ] ||
    pg_sql "create role parsec login createdb password '$SECRET'"
  [ "$(pg_sql "select 1 from pg_database where datname='parsec_test'")" = 1 ] ||
    pg_sql "create database parsec_test owner parsec"
}

# ---------------------------------------------------------------- NATS, memcached
nats_start() {
  local u d=$STATE_DIR/nats; u=$(svc_user nats); own_dir "$u" "$d"
  {
    echo "listen: \"127.0.0.1:$P_NATS\""
    echo "http: \"127.0.0.1:$P_NATS_MON\""
    echo "server_name: \"parsec-test\""
    echo "max_payload: $NATS_MAX_PAYLOAD"
    echo "max_pending: 268435456"
    # As docs/operations.md has it: whoever vanished without a word gets no requests after seconds.
    printf 'ping_interval: "5s"\nping_max: 2\n'
    echo "max_connections: 10000"
    [ "$NATS_JETSTREAM" = 1 ] && { own_dir "$u" "$d/js"; echo "jetstream { store_dir: \"$d/js\", max_mem: 256MB, max_file: 2GB }"; }
    true
  } >"$d/nats.conf"
  spawn nats /usr/sbin/nats-server -c "$d/nats.conf"
}
nats_up() { curl -fsS -o /dev/null -m 2 "http://127.0.0.1:$P_NATS_MON/healthz" 2>/dev/null; }
memcached_start() { spawn memcached /usr/bin/memcached -l 127.0.0.1 -p "$P_MEMCACHE" -U 0 -m 64 -c 4096 -t 1; }
memcached_up() { port_busy "$P_MEMCACHE"; }

# ---------------------------------------------------------------- Keystone
keystone_conf() {
  local u d=$STATE_DIR/keystone; u=$(svc_user keystone)
  own_dir "$u" "$d" 750; own_dir "$u" "$d/fernet" 700; own_dir "$u" "$d/credkeys" 700; own_dir "$u" "$d/policy.d"
  cat >"$d/keystone.conf" <<E
[DEFAULT]
use_stderr = true
insecure_debug = false
public_endpoint = http://127.0.0.1:$P_KEYSTONE/
[database]
connection = sqlite:////$d/keystone.db
[token]
provider = fernet
expiration = $KEYSTONE_TOKEN_TTL
[fernet_tokens]
key_repository = $d/fernet
[fernet_receipts]
key_repository = $d/fernet
[credential]
key_repository = $d/credkeys
[identity]
password_hash_rounds = 4
[cache]
enabled = true
backend = dogpile.cache.memcached
memcache_servers = 127.0.0.1:$P_MEMCACHE
[oslo_policy]
policy_dirs = $d/policy.d
E
  cat >"$d/uwsgi.ini" <<E
[uwsgi]
plugins = python3
http-socket = 127.0.0.1:$P_KEYSTONE
wsgi-file = /usr/bin/keystone-wsgi-public
env = OS_KEYSTONE_CONFIG_FILES=$d/keystone.conf
processes = 1
threads = 8
enable-threads = true
single-interpreter = true
need-app = true
die-on-term = true
buffer-size = 65535
post-buffering = 65536
rem-header = Content-Length
listen = 100
disable-logging = true
E
  # All keystone-manage steps in one interpreter: it is imported once, each step is a fork of it.
  cat >"$d/init.py" <<'E'
import os, sys, traceback
conf, password, url, region = sys.argv[1:5]
os.environ['OS_BOOTSTRAP_PASSWORD'] = password
from keystone.cmd import cli
import keystone.cmd.bootstrap
def step(*args):
    pid = os.fork()
    if pid == 0:
        code = 0
        try:
            cli.main(argv=['keystone-manage', '--config-file', conf] + list(args))
        except SystemExit as e:
            code = e.code or 0
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush(); sys.stderr.flush()
        os._exit(code)
    if os.waitpid(pid, 0)[1] != 0:
        print('keystone-manage %s failed' % args[0], file=sys.stderr)
        os._exit(1)
me = ['--keystone-user', str(os.getuid()), '--keystone-group', str(os.getgid())]
step('db_sync')
step('fernet_setup', *me)
step('credential_setup', *me)
step('bootstrap', '--bootstrap-public-url', url, '--bootstrap-internal-url', url,
     '--bootstrap-admin-url', url, '--bootstrap-region-id', region)
# With the default journal a burst of logins can leave the database locked.
import sqlite3
sqlite3.connect(os.path.join(os.path.dirname(conf), 'keystone.db')).execute('PRAGMA journal_mode=WAL')
os._exit(0)
E
}
keystone_start() {
  local u d=$STATE_DIR/keystone; u=$(svc_user keystone)
  if [ ! -f "$d/.ready" ]; then
    rm -f "$d/keystone.db"* "$d/.setup"; rm -rf "$d/fernet" "$d/credkeys"; keystone_conf
    (as_user "$u" "$SYS_PY" "$d/init.py" "$d/keystone.conf" "$SECRET" "http://127.0.0.1:$P_KEYSTONE/v3" "$REGION") \
      </dev/null >"$LOG/keystone-init.log" 2>&1 9>&- || { tail -20 "$LOG/keystone-init.log" >&2; die "keystone init failed"; }
    touch "$d/.ready"
  fi
  spawn keystone /usr/bin/uwsgi_python311 --ini "$d/uwsgi.ini"
}
keystone_up() { curl -fsS -o /dev/null -m 5 "http://127.0.0.1:$P_KEYSTONE/v3" 2>/dev/null; }

# ---------------------------------------------------------------- Swift
takes_xattr() { # DIR: does its file system keep user.* xattrs of a few KiB? (Swift's metadata)
  "$SYS_PY" - "$1" <<'E' 2>/dev/null
import os, sys, tempfile
with tempfile.NamedTemporaryFile(dir=sys.argv[1]) as f:
    os.setxattr(f.name, 'user.swift.metadata', b'x' * 3000)
    sys.exit(0 if len(os.getxattr(f.name, 'user.swift.metadata')) == 3000 else 1)
E
}
swift_data_dir() { # sets DATA
  local u link=$STATE_DIR/swift/devices id; u=$(svc_user swift-object)
  if [ -L "$link" ] && [ -d "$link/d1" ] && [ "$SWIFT_DATA" = auto ]; then DATA=$(readlink "$link"); return; fi
  id=$(printf '%s' "$STATE_DIR" | cksum | cut -d' ' -f1)
  local try=("$SWIFT_DATA") d
  [ "$SWIFT_DATA" = auto ] && try=("$STATE_DIR/swift/data" "/dev/shm/parsec-test-swift-$id")
  DATA=
  for d in "${try[@]}"; do
    mkdir -p "$d" 2>/dev/null && takes_xattr "$d" && { DATA=$d; break; }
    rmdir "$d" 2>/dev/null || true
  done
  if [ -z "$DATA" ] && am_root; then # last resort: an ext4 image on a loop device
    d=$STATE_DIR/swift/data; mkdir -p "$d"
    [ -f "$d.img" ] || { truncate -s 4G "$d.img" && mkfs.ext4 -q -F "$d.img"; }
    mountpoint -q "$d" || mount -o loop,noatime "$d.img" "$d"
    takes_xattr "$d" && DATA=$d
  fi
  [ -n "$DATA" ] || die "no directory that keeps user xattrs for Swift (tried ${try[*]})"
  [ -d "$DATA/d1" ] || rm -f "$STATE_DIR/keystone/.setup"
  own_dir "$u" "$DATA"; own_dir "$u" "$DATA/d1"
  # a new data directory knows no container: the set-up has to run again
  [ "$(readlink "$link" 2>/dev/null)" = "$DATA" ] || { rm -f "$STATE_DIR/keystone/.setup"; ln -sfn "$DATA" "$link"; }
}
swift_conf() {
  local u d=$STATE_DIR/swift e s port kind; u=$(svc_user swift-proxy); e=$d/etc
  mkdir -p "$d" "$e"; swift_data_dir
  cat >"$e/swift.conf" <<E
[swift-hash]
swift_hash_path_suffix = parsec-test
swift_hash_path_prefix = parsec-test
[storage-policy:0]
name = Policy-0
default = yes
E
  # log_udp_*: without /dev/log Swift would send its log to UDP 514 anyhow; 9 is "discard"
  local common="bind_ip = 127.0.0.1
workers = 0
user = $u
swift_dir = $e
log_level = INFO
log_udp_host = 127.0.0.1
log_udp_port = 9
max_clients = 1024"
  for s in object:OBJECT container:CONT account:ACCOUNT; do
    kind=${s%:*}; port=P_${s#*:}
    cat >"$e/$kind-server.conf" <<E
[DEFAULT]
$common
bind_port = ${!port}
devices = $DATA
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
[pipeline:main]
pipeline = healthcheck $kind-server
[app:$kind-server]
use = egg:swift#$kind
disk_chunk_size = 262144
network_chunk_size = 262144
set log_requests = false
[filter:healthcheck]
use = egg:swift#healthcheck
E
  done
  local svc_auth="auth_url = http://127.0.0.1:$P_KEYSTONE/v3
auth_type = password
project_domain_id = default
user_domain_id = default
project_name = service
username = swift
password = $SECRET"
  cat >"$e/proxy-server.conf" <<E
[DEFAULT]
$common
bind_port = $P_PROXY
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck proxy-logging cache listing_formats bulk tempurl authtoken s3api s3token keystoneauth copy slo dlo versioned_writes symlink proxy-logging proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
client_chunk_size = 262144
object_chunk_size = 262144
conn_timeout = 5
node_timeout = 60
error_suppression_interval = 1
error_suppression_limit = 1000
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:proxy-logging]
use = egg:swift#proxy_logging
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:$P_MEMCACHE
memcache_max_connections = 64
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:tempurl]
use = egg:swift#tempurl
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = http://127.0.0.1:$P_KEYSTONE/v3
$svc_auth
delay_auth_decision = True
cache = swift.cache
token_cache_time = $SWIFT_TOKEN_CACHE
include_service_catalog = False
service_token_roles_required = True
[filter:s3api]
use = egg:swift#s3api
location = $S3_REGION
[filter:s3token]
use = egg:swift#s3token
auth_uri = http://127.0.0.1:$P_KEYSTONE/v3
reseller_prefix = AUTH_
delay_auth_decision = False
http_timeout = 20.0
secret_cache_duration = $S3_SECRET_CACHE
$svc_auth
[filter:keystoneauth]
use = egg:swift#keystoneauth
operator_roles = admin, member, swiftoperator
reseller_admin_role = ResellerAdmin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
[filter:symlink]
use = egg:swift#symlink
E
  chmod 644 "$e"/*.conf
  local sig="$P_OBJECT $P_CONT $P_ACCOUNT"
  if [ "$(cat "$e/rings.for" 2>/dev/null)" != "$sig" ]; then
    "$SYS_PY" - "$e" "$P_OBJECT" "$P_CONT" "$P_ACCOUNT" <<'E' >"$LOG/rings.log" 2>&1 || die "rings failed, see $LOG/rings.log"
import sys
from swift.common.ring import RingBuilder
etc = sys.argv[1]
for name, port in zip(('object', 'container', 'account'), sys.argv[2:5]):
    b = RingBuilder(4, 1, 0)     # 16 partitions, 1 replica
    b.add_dev({'region': 1, 'zone': 1, 'ip': '127.0.0.1', 'port': int(port), 'weight': 1.0, 'device': 'd1',
               'replication_ip': '127.0.0.1', 'replication_port': int(port), 'meta': ''})
    b.rebalance()
    b.get_ring().save('%s/%s.ring.gz' % (etc, name))
E
    chmod 644 "$e"/*.ring.gz; echo "$sig" >"$e/rings.for"
  fi
}
swift_start_one() { local s=${1#swift-}; spawn "$1" "$SYS_PY" "/usr/bin/swift-$s-server" "$STATE_DIR/swift/etc/$s-server.conf" -v; }
swift_up_one() { local p; case $1 in swift-proxy) p=$P_PROXY ;; swift-object) p=$P_OBJECT ;; swift-container) p=$P_CONT ;; *) p=$P_ACCOUNT ;; esac
  curl -fsS -o /dev/null -m 5 "http://127.0.0.1:$p/healthcheck" 2>/dev/null; }
swift_setup() { # Keystone's accounts and endpoints, the S3 key, a first container. Upserts; skipped when done
  local sig="$P_KEYSTONE $P_PROXY $S3_ACCESS $S3_SECRET"
  [ "$(cat "$STATE_DIR/keystone/.setup" 2>/dev/null)" = "$sig" ] && [ -f "$STATE_DIR/keystone/ids.env" ] && return 0
  "$SYS_PY" - "http://127.0.0.1:$P_KEYSTONE/v3" "http://127.0.0.1:$P_PROXY/v1" "$SECRET" "$REGION" \
    "$OS_USER" "$OS_PROJECT" "$S3_ACCESS" "$S3_SECRET" "$CONTAINER" <<'E' >"$STATE_DIR/keystone/ids.env.tmp" || die "keystone set-up failed"
import hashlib, json, sys, urllib.error, urllib.request
ks, sw, secret, region, user, project, access, s3secret, container = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
token = None
def call(method, path, body=None, ok=(), base=ks):
    req = urllib.request.Request(base + path, method=method, data=None if body is None else json.dumps(body).encode())
    req.add_header('Content-Type', 'application/json')
    if token: req.add_header('X-Auth-Token', token)
    try:
        with opener.open(req, timeout=30) as r:
            data = r.read()
            return r.status, r.headers, json.loads(data) if data[:1] in (b'{', b'[') else None
    except urllib.error.HTTPError as e:
        if e.code in ok: return e.code, e.headers, None
        raise SystemExit('%s %s: %s %s' % (method, path, e.code, e.read()[:300]))
def login(name, proj):
    return call('POST', '/auth/tokens', {'auth': {
        'identity': {'methods': ['password'], 'password': {'user': {'name': name, 'domain': {'id': 'default'}, 'password': secret}}},
        'scope': {'project': {'name': proj, 'domain': {'id': 'default'}}}}})[1]['X-Subject-Token']
def ensure(kind, plural, name, **more):
    found = call('GET', '/%s?name=%s' % (plural, name))[2][plural]
    if found: return found[0]['id']
    return call('POST', '/' + plural, {kind: dict(name=name, **more)})[2][kind]['id']
token = login('admin', 'admin')
dom = {'domain_id': 'default'}
role = {r: ensure('role', 'roles', r) for r in ('admin', 'member', 'service', 'ResellerAdmin')}
service_p = ensure('project', 'projects', 'service', **dom)
test_p = ensure('project', 'projects', project, **dom)
swift_u = ensure('user', 'users', 'swift', password=secret, **dom)
test_u = ensure('user', 'users', user, password=secret, **dom)
for p, u, r in ((service_p, swift_u, 'service'), (service_p, swift_u, 'admin'), (test_p, test_u, 'member')):
    call('PUT', '/projects/%s/users/%s/roles/%s' % (p, u, role[r]))
store = ensure('service', 'services', 'swift', type='object-store')
ident = call('GET', '/services?type=identity')[2]['services'][0]['id']
have = {(e['service_id'], e['interface']): e for e in call('GET', '/endpoints')[2]['endpoints']}
for sid, urls in ((store, {'public': sw + '/AUTH_$(project_id)s', 'internal': sw + '/AUTH_$(project_id)s', 'admin': sw}),
                  (ident, {'public': ks, 'internal': ks, 'admin': ks})):
    for iface, url in urls.items():
        old = have.get((sid, iface))
        if not old:
            call('POST', '/endpoints', {'endpoint': {'service_id': sid, 'interface': iface, 'url': url, 'region_id': region}})
        elif old['url'] != url:
            call('PATCH', '/endpoints/' + old['id'], {'endpoint': {'url': url}})
# a chosen EC2 key pair: the credential's id is the SHA-256 of the access key
blob = {'access': access, 'secret': s3secret, 'trust_id': None}
cid = hashlib.sha256(access.encode()).hexdigest()
if call('GET', '/credentials/' + cid, ok=(404,))[0] == 404:
    call('POST', '/credentials', {'credential': {'type': 'ec2', 'user_id': test_u, 'project_id': test_p, 'blob': json.dumps(blob)}})
else:
    call('PATCH', '/credentials/' + cid, {'credential': {'blob': json.dumps(blob)}})  # deb12u5 allows the blob only
token = login(user, project)
call('PUT', '/AUTH_%s/%s' % (test_p, container), base=sw)
print('OS_PROJECT_ID=%s\nOS_USER_ID=%s' % (test_p, test_u))
E
  mv "$STATE_DIR/keystone/ids.env.tmp" "$STATE_DIR/keystone/ids.env"; echo "$sig" >"$STATE_DIR/keystone/.setup"
}

# ---------------------------------------------------------------- all of them
all_names() {
  want postgres && echo postgres
  want nats && echo nats
  want swift && printf '%s\n' memcached keystone swift-object swift-container swift-account swift-proxy
  true
}
is_up() { case $1 in postgres) pg_up ;; nats) nats_up ;; memcached) memcached_up ;; keystone) keystone_up ;; *) swift_up_one "$1" ;; esac; }
start_one() { case $1 in postgres) pg_start ;; nats) nats_start ;; memcached) memcached_start ;; keystone) keystone_start ;; *) swift_start_one "$1" ;; esac; }
wait_up() { # NAME [SECONDS]
  local end=$(($(now_ms) + ${2:-60} * 1000)) seen=0
  while ! is_up "$1"; do
    [ -s "$RUN/$1.pid" ] && seen=1
    if [ $seen = 1 ] && ! alive "$1"; then tail -15 "$LOG/$1.log" >&2; die "$1 ended at start, see $LOG/$1.log"; fi
    [ "$(now_ms)" -lt "$end" ] || { tail -15 "$LOG/$1.log" >&2; die "$1 did not answer in ${2:-60} s"; }
    sleep 0.05
  done
  alive "$1" || die "port of $1 is answered by another program"
}
write_env() {
  {
    if alive postgres; then
      echo "PGHOST=127.0.0.1"; echo "PGPORT=$P_PG"; echo "PG_SOCKET_DIR=$STATE_DIR/postgres/run"
      echo "TEST_PG_URL=postgresql://parsec:$SECRET@127.0.0.1:$P_PG/parsec_test"
      echo "TEST_PG_ADMIN_URL=postgresql://postgres:$SECRET@127.0.0.1:$P_PG/postgres"
    fi
    alive nats && { echo "TEST_NATS_URL=nats://127.0.0.1:$P_NATS"; echo "TEST_NATS_MONITOR_URL=http://127.0.0.1:$P_NATS_MON"; }
    if alive swift-proxy; then
      cat "$STATE_DIR/keystone/ids.env"
      echo "OS_AUTH_URL=http://127.0.0.1:$P_KEYSTONE/v3"; echo "OS_AUTH_BASE_URL=http://127.0.0.1:$P_KEYSTONE"
      echo "OS_IDENTITY_API_VERSION=3"; echo "OS_REGION_NAME=$REGION"
      echo "OS_USERNAME=$OS_USER"; echo "OS_PASSWORD=$SECRET"; echo "OS_PROJECT_NAME=$OS_PROJECT"
      echo "OS_USER_DOMAIN_NAME=Default"; echo "OS_USER_DOMAIN_ID=default"
      echo "OS_PROJECT_DOMAIN_NAME=Default"; echo "OS_PROJECT_DOMAIN_ID=default"
      echo "OS_ADMIN_USERNAME=admin"; echo "OS_ADMIN_PASSWORD=$SECRET"; echo "OS_ADMIN_PROJECT_NAME=admin"
      echo "TEST_SWIFT_PROXY_URL=http://127.0.0.1:$P_PROXY"; echo "TEST_SWIFT_CONTAINER=$CONTAINER"
      echo "TEST_S3_ENDPOINT=http://127.0.0.1:$P_PROXY"; echo "TEST_S3_REGION=$S3_REGION"; echo "TEST_S3_BUCKET=$CONTAINER"
      echo "TEST_S3_ACCESS_KEY_ID=$S3_ACCESS"; echo "TEST_S3_SECRET_ACCESS_KEY=$S3_SECRET"
    fi
    true
  } | sed 's/^/export /' >"$ENV_FILE.tmp"
  mv "$ENV_FILE.tmp" "$ENV_FILE"
}
load_ports() { [ -f "$STATE_DIR/ports.env" ] && . "$STATE_DIR/ports.env"; }
lock() { mkdir -p "$STATE_DIR"; exec 9>"$STATE_DIR/.lock"; flock -w 600 9 || die "another start or stop holds $STATE_DIR/.lock"; }

cmd_start() {
  local t0 n; t0=$(now_ms)
  case $STATE_DIR in /*) ;; *) die "STATE_DIR must be absolute" ;; esac
  [ ${#STATE_DIR} -le 70 ] || die "STATE_DIR is too long for a PostgreSQL socket path"
  mkdir -p "$STATE_DIR" "$RUN" "$LOG"; chmod 755 "$STATE_DIR" "$RUN" "$LOG"; lock
  install_packages
  choose_ports
  local todo=' '
  for n in $(all_names); do alive "$n" && is_up "$n" || todo+="$n "; done
  if [ "$todo" != ' ' ]; then
    for n in $todo; do end_one "$n" KILL; : >"$LOG/$n.log"; done
    if want swift; then keystone_conf; swift_conf; fi
    local jobs=()
    for n in $todo; do
      case $n in postgres | keystone) (start_one "$n") & jobs+=($!) ;; *) start_one "$n" ;; esac
    done
    for n in ${jobs[@]+"${jobs[@]}"}; do wait "$n" || exit 1; done
    for n in $todo; do wait_up "$n"; done
  fi
  want postgres && pg_setup
  want swift && swift_setup
  write_env
  say "up in $(($(now_ms) - t0)) ms; . $ENV_FILE"
}
cmd_stop() {
  local n pids=()
  [ -d "$RUN" ] || return 0
  lock
  for n in postgres nats swift-proxy swift-object swift-container swift-account keystone memcached; do end_one "$n" & pids+=($!); done
  for n in "${pids[@]}"; do wait "$n" || true; done
}
cmd_status() {
  local n rc=0; load_ports || { echo "never started ($STATE_DIR)"; return 1; }
  for n in $(all_names); do
    if alive "$n"; then
      if is_up "$n"; then echo "$n up pid $(pid_of "$n")"; else echo "$n not answering pid $(pid_of "$n")"; rc=1; fi
    else echo "$n down"; rc=1; fi
  done
  return $rc
}
cmd_destroy() {
  cmd_stop
  local link=$STATE_DIR/swift/devices d
  if [ -L "$link" ]; then
    d=$(readlink "$link"); mountpoint -q "$d" 2>/dev/null && umount "$d"
    case $d in /dev/shm/parsec-test-swift-*) rm -rf "$d" ;; *) rm -rf "$d/d1" ;; esac
  fi
  rm -rf "$STATE_DIR"
}
case ${1:-} in
  start) cmd_start ;;
  stop) cmd_stop ;;
  status) cmd_status ;;
  env) cat "$ENV_FILE" ;;
  kill)
    load_ports; lock
    case ${3:-} in
      STOP | CONT) alive "${2:?name}" && kill -s "$3" "$(pid_of "$2")" ;;
      *) end_one "${2:?name}" "${3:-}" ;;
    esac ;;
  up) load_ports; lock; end_one "${2:?name}" KILL; start_one "$2"; wait_up "$2" ;;
  destroy) cmd_destroy ;;
  *) sed -n '2,23p' "$0"; exit 2 ;;
esac
