# Three MariaDB servers: with TLS and the accounts of the tests, without TLS, and one that
# knows users of another host only. A second port of the first is kept full.
# shellcheck shell=bash disable=SC2034,SC2154

ports_mariadb=(mariadb mariadb_full mariadb_plain mariadb_deny)
processes_mariadb=(mariadb mariadb_plain mariadb_deny mariadb_holder1 mariadb_holder2) # the holders keep the full port full

packages_mariadb() {
  [[ -x /usr/sbin/mariadbd ]] || echo mariadb-server
}

env_mariadb() {
  put MARIADB_ADDR "$host:${PORT[mariadb]}"
  put MARIADB_DSN "dialtone:$(password)@tcp($host:${PORT[mariadb]})/dt_login"
  put MARIADB_FULL_ADDR "$host:${PORT[mariadb_full]}"
  put MARIADB_PLAIN_ADDR "$host:${PORT[mariadb_plain]}"
  put MARIADB_DENY_ADDR "$host:${PORT[mariadb_deny]}"
}

up_mariadb() {
  if [[ ! -e $dir/mariadb/ready ]]; then
    ! running mariadb || die "mariadb is running but was never prepared; run scripts/services down"
    rm -rf "$dir/mariadb" "$dir/mariadb_plain" "$dir/mariadb_deny"
    mariadb_init
  fi
  mariadb_start mariadb --extra-port="${PORT[mariadb_full]}" --extra-max-connections=1 --max-connections=200 \
    --ssl-cert="$dir/mariadb/server.pem" --ssl-key="$dir/mariadb/server.key" --ssl-ca="$dir/mariadb/ca.pem"
  mariadb_start mariadb_plain --skip-ssl
  mariadb_start mariadb_deny --skip-ssl
  local name
  for name in mariadb mariadb_plain mariadb_deny; do await "$name" mariadb_sql "$name" -e 'select 1'; done
  if [[ ! -e $dir/mariadb/ready ]]; then
    { mariadb_accounts 127.0.0.1; mariadb_faults; } | mariadb_sql mariadb
    mariadb_accounts 127.0.0.1 | mariadb_sql mariadb_plain
    mariadb_accounts 10.255.255.1 | mariadb_sql mariadb_deny
    touch "$dir/mariadb/ready"
  fi
  mariadb_fill
}

mariadb_init() {
  local name
  mariadb_home "$dir/mariadb"
  for name in mariadb_plain mariadb_deny; do cp -a "$dir/mariadb" "$dir/$name"; done
}

mariadb_home() { # DIRECTORY: certificates and an empty database
  local home=$1
  mkdir -m 0700 "$home"
  cp "$dir/pki/"{server.pem,server.key,ca.pem} "$home/"
  chmod 0600 "$home/server.key"
  give mysql "$home"
  # A temporary directory of its own: two of these at once would take each other's tables.
  (cd / && as mysql mariadb-install-db --no-defaults --datadir="$home/data" --tmpdir="$home" \
    --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve --innodb-log-file-size=16M) \
    >"$dir/log/${home##*/}_init.log" 2>&1 ||
    { tail -n 15 "$dir/log/${home##*/}_init.log" >&2; die "mariadb-install-db failed"; }
}

mariadb_start() { # NAME OPTION...
  local name=$1 durable=()
  shift
  ! running "$name" || return 0
  [[ -n ${DIALTONE_SERVICES_DURABLE:-} ]] || durable=(--innodb-flush-log-at-trx-commit=0 --innodb-flush-method=nosync)
  spawn "$name" mysql /usr/sbin/mariadbd --no-defaults --datadir="$dir/$name/data" \
    --socket="$dir/$name/socket" --pid-file="$dir/$name/pid" --tmpdir="$dir/$name" \
    --port="${PORT[$name]}" --bind-address=127.0.0.1 --skip-name-resolve \
    --innodb-buffer-pool-size=16M --innodb-log-file-size=16M --performance-schema=OFF --skip-log-bin "${durable[@]}" "$@"
}

mariadb_sql() { # NAME ARG...
  local name=$1
  shift
  # The socket is in a directory of the server's own user; its root has no password.
  as mysql mariadb --no-defaults --socket="$dir/$name/socket" -uroot "$@" 2>>"$dir/log/${name}_setup.log"
}

mariadb_accounts() { # HOST
  local pw
  pw=$(password)
  # What the installation made for root and for nobody at other hosts would let callers in.
  cat <<SQL
delete from mysql.global_priv where host <> 'localhost' or user = '';
flush privileges;
create database dt_login;
create user dialtone@'$1' identified by '$pw';
grant all privileges on *.* to dialtone@'$1' with grant option;
create user dt_native@'$1' identified via mysql_native_password using password('$pw');
grant all privileges on dt_login.* to dt_native@'$1';
create user root@'$1' identified by '$pw';
SQL
}

mariadb_faults() {
  local pw
  pw=$(password)
  cat <<SQL
install soname 'auth_ed25519';
create user dt_ed25519@'127.0.0.1' identified via ed25519 using password('$pw');
create user dt_ssl@'127.0.0.1' identified by '$pw' require ssl;
create user dt_x509@'127.0.0.1' identified by '$pw' require x509;
create user dt_locked@'127.0.0.1' identified by '$pw' account lock;
create user dt_expired@'127.0.0.1' identified by '$pw' password expire;
create user dt_nodb@'127.0.0.1' identified by '$pw';
grant all privileges on dt_login.* to dt_ed25519@'127.0.0.1', dt_ssl@'127.0.0.1', dt_x509@'127.0.0.1',
  dt_locked@'127.0.0.1', dt_expired@'127.0.0.1';
SQL
}

# The extra port has one slot, and a second one for administrators. With both taken every
# other caller is answered 1040 before the greeting.
mariadb_fill() {
  local who
  who=$dir/mariadb/holder.cnf
  (umask 077 && printf '[client]\npassword=%s\n' "$(password)" >"$who.new" && mv "$who.new" "$who")
  give mysql "$who"
  mariadb_hold mariadb_holder1 dt_native
  mariadb_hold mariadb_holder2 dialtone
}

mariadb_hold() { # NAME USER
  ! running "$1" || return 0
  spawn "$1" mysql mariadb --defaults-file="$who" --host=127.0.0.1 --port="${PORT[mariadb_full]}" \
    --user="$2" -e 'do sleep(31536000)'
  await "$1" mariadb_holds "$2"
}

mariadb_holds() {
  [[ $(mariadb_sql mariadb -N -e "select count(*) from information_schema.processlist
    where user = '$1' and info like 'do sleep%'") -ge 1 ]]
}
