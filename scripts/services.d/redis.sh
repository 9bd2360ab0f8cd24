# Redis: one plain, one with a password, one with ACL users in plain text and over TLS, one
# that demands client certificates, a cluster of three, one node of a cluster that serves
# nothing, a sentinel over a master and its replica, and three that do not let in: full,
# loading its data, and a replica that has lost its master.
# shellcheck shell=bash disable=SC2034,SC2154

ports_redis=(redis redis_tls redis_acl redis_password redis_mtls
  redis_cluster1 redis_cluster2 redis_cluster3 redis_bus1 redis_bus2 redis_bus3
  redis_master redis_replica redis_sentinel
  redis_down redis_bus_down redis_full redis_orphan redis_no_master redis_loading)
processes_redis=(redis redis_tls redis_password redis_mtls
  redis_cluster1 redis_cluster2 redis_cluster3 redis_master redis_replica redis_sentinel
  redis_down redis_full redis_holder redis_orphan redis_loading)

packages_redis() {
  command -v redis-server >/dev/null || echo redis-server
}

env_redis() {
  put REDIS_ADDR "$host:${PORT[redis]}"
  put REDIS_TLS_URL "rediss://dialtone:$(password)@$host:${PORT[redis_tls]}/0"
  put REDIS_TLS_ADDR "$host:${PORT[redis_tls]}"
  put REDIS_ACL_ADDR "$host:${PORT[redis_acl]}"
  put REDIS_PASSWORD_ADDR "$host:${PORT[redis_password]}"
  put REDIS_MTLS_ADDR "$host:${PORT[redis_mtls]}"
  put REDIS_REPLICA_ADDR "$host:${PORT[redis_replica]}"
  put REDIS_DOWN_ADDR "$host:${PORT[redis_down]}"
  put REDIS_FULL_ADDR "$host:${PORT[redis_full]}"
  put REDIS_ORPHAN_ADDR "$host:${PORT[redis_orphan]}"
  put REDIS_LOADING_ADDR "$host:${PORT[redis_loading]}"
  put REDIS_CLUSTER_ADDRS "$host:${PORT[redis_cluster1]},$host:${PORT[redis_cluster2]},$host:${PORT[redis_cluster3]}"
  put REDIS_SENTINEL_ADDRS "$host:${PORT[redis_sentinel]}"
  put REDIS_SENTINEL_MASTER dialtone
}

up_redis() {
  local home=$dir/redis
  if [[ ! -d $home ]]; then
    mkdir -m 0700 "$home"
    cp "$dir/pki/"{server.pem,server.key,ca.pem} "$home/"
    chmod 0600 "$home/server.key"
    give redis "$home"
  fi
  redis_start redis
  redis_start_tls redis_tls optional "${PORT[redis_acl]}"
  redis_start_tls redis_mtls yes 0
  redis_start_password
  redis_start redis_down --cluster-enabled yes --cluster-config-file nodes.conf --cluster-port "${PORT[redis_bus_down]}"
  redis_start redis_full --maxclients 1
  # Nobody listens at the port of its master.
  redis_start redis_orphan --replicaof 127.0.0.1 "${PORT[redis_no_master]}" --replica-serve-stale-data no
  local i
  for i in 1 2 3; do
    redis_start "redis_cluster$i" --cluster-enabled yes --cluster-config-file nodes.conf \
      --cluster-port "${PORT[redis_bus$i]}" --cluster-node-timeout 2000
  done
  redis_start redis_master
  redis_start redis_replica --replicaof 127.0.0.1 "${PORT[redis_master]}" --repl-diskless-sync-delay 0
  for i in redis redis_cluster1 redis_cluster2 redis_cluster3 redis_master redis_replica redis_down; do
    await "$i" redis_answers "$i"
  done
  local login=(--user dialtone --no-auth-warning -a "$(password)") encrypt=(--tls --cacert "$dir/pki/ca.pem")
  await redis_tls redis_answers redis_tls "${encrypt[@]}" "${login[@]}"
  await redis_mtls redis_answers redis_mtls "${encrypt[@]}" --cert "$dir/pki/client.pem" --key "$dir/pki/client.key" "${login[@]}"
  await redis_password redis_answers redis_password --no-auth-warning -a "$(password)"
  await redis_orphan redis_says redis_orphan MASTERDOWN
  redis_hold
  redis_load
  redis_cluster
  redis_sentinel
}

redis_cli() { # NAME ARG...
  local name=$1
  shift
  timeout 5 redis-cli -h 127.0.0.1 -p "${PORT[$name]}" "$@"
}

redis_answers() { # NAME OPTION...
  [[ $(redis_cli "$@" ping) == PONG ]]
}

redis_says() { # NAME WORDS
  [[ $(redis_cli "$1" ping) == *"$2"* ]]
}

redis_start() { # NAME OPTION...
  local name=$1 home=$dir/redis/$1
  shift
  ! running "$name" || return 0
  mkdir -p "$home"
  give redis "$home"
  spawn "$name" redis redis-server --port "${PORT[$name]}" --bind 127.0.0.1 --dir "$home" \
    --save '' --appendonly no --maxmemory 128mb --maxmemory-policy noeviction "$@"
}

# The configuration is a file because a password on the command line is everybody's.
redis_start_tls() { # NAME yes|optional PLAIN-PORT
  local home=$dir/redis/$1
  ! running "$1" || return 0
  mkdir -p "$home"
  (umask 077 && cat >"$home/redis.conf") <<CONF
port $3
tls-port ${PORT[$1]}
bind 127.0.0.1
dir $home
save ""
appendonly no
maxmemory 128mb
maxmemory-policy noeviction
tls-cert-file $dir/redis/server.pem
tls-key-file $dir/redis/server.key
tls-ca-cert-file $dir/redis/ca.pem
tls-auth-clients $2
user default off
user dialtone on >$(password) ~* &* +@all
user dt_login on >$(password) ~* &* +@all
user dt_noperm on >$(password) ~* &* +@all -ping -info
user dt_noinfo on >$(password) ~* &* +@all -info
user dt_off off >$(password) ~* &* +@all
user dt_nopass on nopass ~* &* +@all
CONF
  give redis "$home"
  spawn "$1" redis redis-server "$home/redis.conf"
}

redis_start_password() {
  local home=$dir/redis/redis_password
  ! running redis_password || return 0
  mkdir -p "$home"
  (umask 077 && cat >"$home/redis.conf") <<CONF
port ${PORT[redis_password]}
bind 127.0.0.1
dir $home
save ""
appendonly no
maxmemory 128mb
requirepass $(password)
CONF
  give redis "$home"
  spawn redis_password redis redis-server "$home/redis.conf"
}

# Somebody holds the one connection that redis_full has.
redis_hold() {
  if ! running redis_holder; then
    await redis_full redis_answers redis_full
    spawn redis_holder redis bash -c "exec 3<>/dev/tcp/127.0.0.1/${PORT[redis_full]}; sleep infinity"
  fi
  await redis_holder redis_says redis_full 'max number of clients'
}

# A server that takes hours to read its data: 20 MB, with a fifth of a second for every key.
redis_load() {
  local home=$dir/redis/redis_loading
  if ! running redis_loading; then
    if [[ ! -s $home/dump.rdb ]]; then
      redis_start redis_loading --enable-debug-command yes --rdbcompression no
      await redis_loading redis_answers redis_loading
      redis_cli redis_loading debug populate 100000 key 200 >/dev/null
      redis_cli redis_loading save >/dev/null
      redis_cli redis_loading shutdown nosave >/dev/null 2>&1 || true
      while running redis_loading; do sleep 0.05; done
    fi
    redis_start redis_loading --key-load-delay 200000 --loading-process-events-interval-bytes 1024
  fi
  await redis_loading redis_says redis_loading LOADING
}

# By hand, because redis-cli --cluster create waits for whole seconds between its steps.
redis_cluster() {
  local i first=(0 0 5461 10923) last=(0 5460 10922 16383)
  if ! redis_cluster_ok redis_cluster1; then
    for i in 1 2 3; do
      [[ $(redis_cli "redis_cluster$i" cluster info) == *cluster_slots_assigned:0* ]] || continue
      redis_cli "redis_cluster$i" cluster set-config-epoch "$i" >/dev/null
      redis_cli "redis_cluster$i" cluster addslotsrange "${first[$i]}" "${last[$i]}" >/dev/null
      redis_cli redis_cluster1 cluster meet 127.0.0.1 "${PORT[redis_cluster$i]}" "${PORT[redis_bus$i]}" >/dev/null
    done
  fi
  for i in 1 2 3; do await "redis_cluster$i" redis_cluster_ok "redis_cluster$i"; done
}

redis_cluster_ok() {
  local info
  info=$(redis_cli "$1" cluster info)
  [[ $info == *cluster_state:ok* && $info == *cluster_known_nodes:3* && $info == *cluster_slots_assigned:16384* ]]
}

redis_sentinel() {
  local home=$dir/redis/redis_sentinel
  if ! running redis_sentinel; then
    mkdir -p "$home"
    # It rewrites this file; what it knows is worth keeping over a restart.
    [[ -s $home/sentinel.conf ]] || cat >"$home/sentinel.conf" <<CONF
port ${PORT[redis_sentinel]}
bind 127.0.0.1
dir $home
sentinel monitor dialtone 127.0.0.1 ${PORT[redis_master]} 1
sentinel down-after-milliseconds dialtone 1000
sentinel failover-timeout dialtone 3000
CONF
    give redis "$home"
    spawn redis_sentinel redis redis-server "$home/sentinel.conf" --sentinel
  fi
  await redis_sentinel redis_sentinel_ok
}

redis_sentinel_ok() {
  redis_cli redis_sentinel sentinel master dialtone | grep -A1 '^num-slaves$' | grep -qx 1
}
