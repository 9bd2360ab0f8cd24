# Redis: one plain, one behind TLS with an ACL user, a cluster of three, and a sentinel
# over a master and its replica.
# shellcheck shell=bash disable=SC2034,SC2154

ports_redis=(redis redis_tls
  redis_cluster1 redis_cluster2 redis_cluster3 redis_bus1 redis_bus2 redis_bus3
  redis_master redis_replica redis_sentinel)
processes_redis=(redis redis_tls
  redis_cluster1 redis_cluster2 redis_cluster3 redis_master redis_replica redis_sentinel)

packages_redis() {
  command -v redis-server >/dev/null || echo redis-server
}

env_redis() {
  put REDIS_ADDR "$host:${PORT[redis]}"
  put REDIS_TLS_URL "rediss://dialtone:$(password)@$host:${PORT[redis_tls]}/0"
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
  redis_start_tls
  local i
  for i in 1 2 3; do
    redis_start "redis_cluster$i" --cluster-enabled yes --cluster-config-file nodes.conf \
      --cluster-port "${PORT[redis_bus$i]}" --cluster-node-timeout 2000
  done
  redis_start redis_master
  redis_start redis_replica --replicaof 127.0.0.1 "${PORT[redis_master]}" --repl-diskless-sync-delay 0
  for i in redis redis_cluster1 redis_cluster2 redis_cluster3 redis_master redis_replica; do
    await "$i" redis_answers "$i"
  done
  await redis_tls redis_answers redis_tls --tls --cacert "$dir/pki/ca.pem" \
    --user dialtone --no-auth-warning -a "$(password)"
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
redis_start_tls() {
  local home=$dir/redis/redis_tls
  ! running redis_tls || return 0
  mkdir -p "$home"
  (umask 077 && cat >"$home/redis.conf") <<CONF
port 0
tls-port ${PORT[redis_tls]}
bind 127.0.0.1
dir $home
save ""
appendonly no
maxmemory 128mb
maxmemory-policy noeviction
tls-cert-file $dir/redis/server.pem
tls-key-file $dir/redis/server.key
tls-ca-cert-file $dir/redis/ca.pem
tls-auth-clients optional
user default off
user dialtone on >$(password) ~* &* +@all
CONF
  give redis "$home"
  spawn redis_tls redis redis-server "$home/redis.conf"
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
