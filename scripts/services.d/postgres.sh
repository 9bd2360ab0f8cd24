# Two Postgres clusters: one with TLS and the accounts of the tests, one without TLS.
# shellcheck shell=bash disable=SC2034,SC2154

ports_postgres=(postgres postgres_plain)
processes_postgres=(postgres postgres_plain)

packages_postgres() {
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || echo postgresql
}

env_postgres() {
  local login
  login=dialtone:$(password)
  put POSTGRES_ADDR "$host:${PORT[postgres]}"
  put POSTGRES_DSN "postgres://$login@$host:${PORT[postgres]}/dialtone?sslmode=disable"
  put POSTGRES_PLAIN_ADDR "$host:${PORT[postgres_plain]}"
  put POSTGRES_PLAIN_DSN "postgres://$login@$host:${PORT[postgres_plain]}/dialtone?sslmode=disable"
}

up_postgres() {
  local bin
  bin=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1)
  if [[ ! -e $dir/postgres/ready ]]; then
    ! running postgres || die "postgres is running but was never prepared; run scripts/services down"
    rm -rf "$dir/postgres" "$dir/postgres_plain"
    postgres_init
  fi
  postgres_start postgres -c ssl=on -c "ssl_cert_file=$dir/postgres/server.pem" \
    -c "ssl_key_file=$dir/postgres/server.key" -c "ssl_ca_file=$dir/postgres/ca.pem"
  postgres_start postgres_plain -c ssl=off
  await postgres postgres_sql postgres -c 'select 1'
  await postgres_plain postgres_sql postgres_plain -c 'select 1'
  if [[ ! -e $dir/postgres/ready ]]; then
    { postgres_accounts; postgres_faults; } | postgres_sql postgres >/dev/null
    postgres_accounts | postgres_sql postgres_plain >/dev/null
    touch "$dir/postgres/ready"
  fi
}

postgres_init() {
  postgres_home "$dir/postgres"
  # One initdb serves both: copying is ten times faster.
  cp -a "$dir/postgres" "$dir/postgres_plain"
}

postgres_home() { # DIRECTORY: certificates and an empty cluster
  local home=$1
  mkdir -m 0700 "$home"
  cp "$dir/pki/"{server.pem,server.key,ca.pem} "$dir/password" "$home/"
  chmod 0600 "$home/server.key" "$home/password"
  give postgres "$home"
  (cd / && as postgres "$bin/initdb" -D "$home/data" -U dialtone --auth=scram-sha-256 \
    --pwfile="$home/password" -E UTF8 --locale=C -N) >"$dir/log/${home##*/}_init.log" 2>&1 ||
    { tail -n 15 "$dir/log/${home##*/}_init.log" >&2; die "initdb failed"; }
  rm -f "$home/password"
  postgres_hba >"$home/data/pg_hba.conf"
}

# First match wins. The last but one line catches unknown roles, which the server then
# answers as it answers a wrong password.
postgres_hba() {
  cat <<HBA
local   all               dialtone                                           scram-sha-256
host    all               dt_rejected                        127.0.0.1/32    reject
hostnossl all             dt_tls                             127.0.0.1/32    reject
hostssl all               dt_cert                            127.0.0.1/32    cert
host    all               dt_gss                             127.0.0.1/32    gss include_realm=0
host    all               dt_md5                             127.0.0.1/32    md5
host    all               dt_clear                           127.0.0.1/32    password
host    all               dt_trust                           127.0.0.1/32    trust
host    all               dialtone,dt_scram                  127.0.0.1/32    scram-sha-256
host    dialtone,dt_login,dt_closed,dt_private,dt_full all   127.0.0.1/32    scram-sha-256
hostssl dt_tlsonly        all                                127.0.0.1/32    scram-sha-256
HBA
}

postgres_start() { # NAME SETTING...
  local name=$1 durable=()
  shift
  ! running "$name" || return 0
  [[ -n ${DIALTONE_SERVICES_DURABLE:-} ]] || durable=(-c fsync=off -c synchronous_commit=on)
  spawn "$name" postgres "$bin/postgres" -D "$dir/$name/data" -p "${PORT[$name]}" -k "$dir/$name" \
    -c listen_addresses=127.0.0.1 -c max_connections=400 -c shared_buffers=64MB \
    -c 'log_line_prefix=%m [%p] %q%u@%d ' "${durable[@]}" "$@"
}

postgres_sql() { # NAME ARG...
  local name=$1
  shift
  PGPASSWORD=$(password) "$bin/psql" -X -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "${PORT[$name]}" -U dialtone \
    -d "${PGDB:-postgres}" "$@" 2>>"$dir/log/${name}_setup.log"
}

postgres_accounts() {
  local pw
  pw=$(password)
  cat <<SQL
create database dialtone;
create database dt_login;
create role dt_scram login password '$pw';
create role dt_clear login password '$pw';
create role dt_trust login;
set password_encryption = 'md5';
create role dt_md5 login password '$pw';
reset password_encryption;
SQL
}

postgres_faults() {
  local pw
  pw=$(password)
  cat <<SQL
create role dt_tls login password '$pw';
create role dt_cert login;
create role dt_rejected login password '$pw';
create role dt_gss login;
create role dt_limit login connection limit 0 password '$pw';
create role dt_nologin nologin password '$pw';
create role dt_expired login password '$pw' valid until '2001-01-01';
create database dt_tlsonly;
create database dt_nohba;
create database dt_closed allow_connections false;
create database dt_full connection limit 0;
create database dt_private;
revoke connect on database dt_private from public;
SQL
}
