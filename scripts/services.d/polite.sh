# Servers of which nobody but one test is a client, for what is counted there: two MariaDB (with
# TLS and without) that keep a host cache and a performance schema, a Postgres that logs
# connections, and a Redis.
# shellcheck shell=bash disable=SC2034,SC2154
#
# MariaDB keeps no record of callers from loopback, so these two are reached over an address of
# their own, put on the loopback interface until `down`. That takes root; without it the rest is
# started and MariaDB is not.

ports_polite=(polite_mariadb polite_mariadb_plain polite_postgres polite_redis)
processes_polite=(polite_postgres polite_redis)
[[ $EUID -ne 0 ]] || processes_polite+=(polite_mariadb polite_mariadb_plain)

packages_polite() {
  packages_mariadb
  packages_postgres
  command -v redis-server >/dev/null || echo redis-server
  command -v ip >/dev/null || echo iproute2
}

env_polite() {
  if [[ -s $dir/polite_address ]]; then
    put POLITE_MARIADB_ADDR "$(polite_address):${PORT[polite_mariadb]}"
    put POLITE_MARIADB_PLAIN_ADDR "$(polite_address):${PORT[polite_mariadb_plain]}"
  fi
  put POLITE_POSTGRES_ADDR "$host:${PORT[polite_postgres]}"
  put POLITE_POSTGRES_LOG "$dir/log/polite_postgres.log"
  put POLITE_REDIS_ADDR "$host:${PORT[polite_redis]}"
}

up_polite() {
  polite_postgres & local postgres=$!
  polite_redis
  if [[ $EUID -eq 0 ]]; then polite_mariadb; else say 'polite: no MariaDB, an address for it takes root'; fi
  wait "$postgres"
}

down_polite() {
  [[ ! -s $dir/polite_address ]] || ip address delete "$(polite_address)/32" dev lo || true
}

polite_address() { cat "$dir/polite_address"; }

# One that is neither on this machine nor routed specially; it is written down before it is
# taken, so that `down` finds it whatever happens.
polite_take_address() {
  local address
  [[ ! -s $dir/polite_address ]] || { ip address show dev lo | grep -qF " $(polite_address)/32 " && return; }
  while :; do
    address=10.203.$((RANDOM % 256)).$((1 + RANDOM % 254))
    [[ -n $(ip -oneline address show to "$address") ]] || break
  done
  echo "$address" >"$dir/polite_address"
  ip address add "$address/32" dev lo
}

polite_mariadb() {
  local name certs=$dir/polite_mariadb
  polite_take_address
  if [[ ! -e $certs/ready ]]; then
    ! running polite_mariadb || die "polite_mariadb is running but was never prepared; run scripts/services down"
    rm -rf "$certs" "$dir/polite_mariadb_plain"
    mariadb_home "$certs"
    cp -a "$certs" "$dir/polite_mariadb_plain"
  fi
  polite_mariadb_start polite_mariadb --ssl-cert="$certs/server.pem" --ssl-key="$certs/server.key" --ssl-ca="$certs/ca.pem"
  polite_mariadb_start polite_mariadb_plain --skip-ssl
  for name in polite_mariadb polite_mariadb_plain; do
    await "$name" mariadb_sql "$name" -e 'select 1'
    [[ -e $certs/ready ]] || mariadb_accounts "$(polite_address)" | mariadb_sql "$name"
  done
  touch "$certs/ready"
}

# A server with a host cache looks every caller's name up. It finds this one's in a file of
# hosts that only it can see, or where mounting is not permitted, asks DNS as others do.
polite_mariadb_start() { # NAME OPTION...
  local name=$1 hosts=$dir/polite_hosts own=()
  shift
  ! running "$name" || return 0
  printf '127.0.0.1 localhost\n%s polite.dialtone.test\n' "$(polite_address)" >"$hosts"
  # shellcheck disable=SC2016 # expanded over there
  ! unshare --mount true 2>/dev/null || own=(unshare --mount sh -c 'mount --bind "$0" /etc/hosts && exec "$@"' "$hosts")
  spawn "$name" root "${own[@]}" /usr/sbin/mariadbd --no-defaults --user=mysql --datadir="$dir/$name/data" \
    --socket="$dir/$name/socket" --pid-file="$dir/$name/pid" --tmpdir="$dir/$name" \
    --port="${PORT[$name]}" --bind-address="$(polite_address)" --host-cache-size=128 --performance-schema=ON \
    --innodb-buffer-pool-size=16M --innodb-log-file-size=16M --skip-log-bin \
    --innodb-flush-log-at-trx-commit=0 --innodb-flush-method=nosync "$@"
}

polite_postgres() {
  local bin home=$dir/polite_postgres
  bin=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1)
  if [[ ! -e $home/ready ]]; then
    ! running polite_postgres || die "polite_postgres is running but was never prepared; run scripts/services down"
    rm -rf "$home"
    postgres_home "$home"
    # Not on the command line: the test switches TLS off and on.
    printf '%s\n' 'ssl = on' "ssl_cert_file = '$home/server.pem'" "ssl_key_file = '$home/server.key'" \
      >>"$home/data/postgresql.conf"
  fi
  postgres_start polite_postgres -c shared_buffers=16MB -c log_connections=on -c log_disconnections=on
  await polite_postgres postgres_sql polite_postgres -c 'select 1'
  if [[ ! -e $home/ready ]]; then
    postgres_accounts | postgres_sql polite_postgres >/dev/null
    touch "$home/ready"
  fi
}

polite_redis() {
  local home=$dir/polite_redis
  running polite_redis && return
  mkdir -p "$home"
  (umask 077 && printf 'user default off\nuser dialtone on >%s ~* &* +@all\n' "$(password)" >"$home/users.acl")
  give redis "$home"
  spawn polite_redis redis redis-server --port "${PORT[polite_redis]}" --bind 127.0.0.1 --save '' --appendonly no \
    --dir "$home" --aclfile "$home/users.acl"
  await polite_redis redis-cli -p "${PORT[polite_redis]}" ping
}
