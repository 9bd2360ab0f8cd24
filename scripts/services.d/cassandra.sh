# Cassandra: one real node, with a port in plain text and one behind TLS, and an account for each
# way in which a login ends.
# shellcheck shell=bash disable=SC2034,SC2154

ports_cassandra=(cassandra cassandra_tls cassandra_storage cassandra_storage_tls)
processes_cassandra=(cassandra)

packages_cassandra() { packages_java; }

env_cassandra() {
  put CASSANDRA_ADDR "$host:${PORT[cassandra]}"
  put CASSANDRA_TLS_ADDR "$host:${PORT[cassandra_tls]}"
}

up_cassandra() {
  # Ten seconds of work for two cores of its own, and it never has them for itself.
  local home=$dir/cassandra jars patience=120
  jars=$(maven_jars cassandra)
  if [[ ! -e $home/ready ]]; then
    ! running cassandra || die "cassandra is running but was never prepared; run scripts/services down"
    rm -rf "$home"
    (umask 077 && mkdir "$home" && cassandra_configure "$home")
  fi
  if ! running cassandra; then
    # The log of an earlier start would answer for this one.
    rm -f "$dir/log/cassandra.log"
    spawn cassandra "$(id -un)" java "@$root/scripts/services.d/cassandra/java.options" \
      -Dcassandra.storagedir="$home/data" -Dcassandra.config="file://$home/cassandra.yaml" \
      -Dlogback.configurationFile="$root/scripts/services.d/cassandra/logback.xml" \
      -cp "$jars" org.apache.cassandra.service.CassandraDaemon
  fi
  await cassandra cassandra_listens
  if [[ ! -e $home/ready ]]; then
    # The first account is made after the ports are open.
    await cassandra cassandra_cql cassandra cassandra 'SELECT key FROM system.local'
    cassandra_prepare
    touch "$home/ready"
  fi
}

cassandra_listens() { grep -q 'Startup complete' "$dir/log/cassandra.log"; }

cassandra_configure() { # HOME
  local home=$1 password
  password=$(password)
  openssl pkcs12 -export -in "$dir/pki/server.pem" -inkey "$dir/pki/server.key" \
    -out "$home/server.p12" -passout "file:$dir/password"
  cat >"$home/cassandra.yaml" <<YAML
cluster_name: dialtone
num_tokens: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
auto_bootstrap: false
auto_snapshot: false
hinted_handoff_enabled: false
commitlog_sync: periodic
commitlog_sync_period: 10s
commitlog_segment_size: 4MiB
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{seeds: "127.0.0.1:${PORT[cassandra_storage]}"}]
listen_address: 127.0.0.1
storage_port: ${PORT[cassandra_storage]}
ssl_storage_port: ${PORT[cassandra_storage_tls]}
rpc_address: 127.0.0.1
native_transport_port: ${PORT[cassandra]}
native_transport_port_ssl: ${PORT[cassandra_tls]}
client_encryption_options:
  enabled: true
  keystore: $home/server.p12
  keystore_password: $password
  store_type: PKCS12
authenticator: PasswordAuthenticator
authorizer: CassandraAuthorizer
role_manager: CassandraRoleManager
network_authorizer: CassandraNetworkAuthorizer
cidr_authorizer:
  class_name: CassandraCIDRAuthorizer
  parameters:
    cidr_authorizer_mode: ENFORCE
    cidr_groups_cache_refresh_interval: 1
auth_read_consistency_level: LOCAL_ONE
auth_write_consistency_level: LOCAL_ONE
YAML
}

cassandra_prepare() {
  local pw statement
  pw=$(password)
  while IFS= read -r statement; do
    cassandra_cql cassandra cassandra "$statement" || die "cassandra refuses: ${statement//$pw/...}"
  done <<CQL
CREATE KEYSPACE dt_login WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}
CREATE ROLE dialtone WITH PASSWORD = '$pw' AND LOGIN = true AND SUPERUSER = true
CREATE ROLE dt_reader WITH PASSWORD = '$pw' AND LOGIN = true
CREATE ROLE dt_nologin WITH PASSWORD = '$pw' AND LOGIN = false
CREATE ROLE dt_elsewhere WITH PASSWORD = '$pw' AND LOGIN = true
INSERT INTO system_auth.network_permissions (role, dcs) VALUES ('roles/dt_elsewhere', {'elsewhere'})
INSERT INTO system_auth.cidr_groups (cidr_group, cidrs) VALUES ('office', {('10.255.0.0', 16)})
CREATE ROLE dt_office WITH PASSWORD = '$pw' AND LOGIN = true AND ACCESS FROM CIDRS {'office'}
INSERT INTO system.peers_v2 (peer, peer_port, data_center, rack, native_address, native_port, release_version) VALUES ('127.0.0.2', 7000, 'datacenter1', 'rack1', '127.0.0.1', ${PORT[cassandra]}, '5.0.5')
INSERT INTO system.peers_v2 (peer, peer_port, data_center, rack, native_address, native_port, release_version) VALUES ('127.0.0.3', 7000, 'elsewhere', 'rack1', '127.0.0.1', 1, '5.0.5')
ALTER KEYSPACE system_auth WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}
CQL
}

# cassandra_cql USER PASSWORD STATEMENT: the protocol, version 4, as far as it takes to have one
# statement executed. There is no cqlsh among the jars.
cassandra_cql() {
  local opcode statement=$3
  exec 3<>"/dev/tcp/127.0.0.1/${PORT[cassandra]}" || return
  cql_send 1 '\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0'
  opcode=$(cql_answer)
  if [[ $opcode == 3 ]]; then # AUTHENTICATE
    cql_send 15 "$(cql_int $((${#1} + ${#2} + 2)))\\x00$1\\x00$2"
    opcode=$(cql_answer)
  fi
  if [[ $opcode == 2 || $opcode == 16 ]]; then # READY, AUTH_SUCCESS
    statement=${statement//\\/\\\\}
    cql_send 7 "$(cql_int ${#3})${statement//%/%%}\\x00\\x01\\x00"
    opcode=$(cql_answer)
  fi
  exec 3>&-
  [[ $opcode == 8 ]] # RESULT
}

cql_int() { printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($1 >> 24 & 255)) $(($1 >> 16 & 255)) $(($1 >> 8 & 255)) $(($1 & 255)); }

cql_send() { # OPCODE BODY, the body in the escapes of printf
  local size
  size=$(printf "$2" | wc -c)
  printf "\\x04\\x00\\x00\\x00\\x$(printf %02x "$1")$(cql_int "$size")$2" >&3
}

# cql_answer reads one message, shows its body in the log, and prints its opcode.
cql_answer() {
  local -a header
  read -ra header < <(timeout 20 head -c 9 <&3 | od -An -tu1)
  [[ ${#header[@]} -eq 9 ]] || return
  timeout 20 head -c $((header[5] << 24 | header[6] << 16 | header[7] << 8 | header[8])) <&3 |
    tr -c '[:print:]' . >>"$dir/log/cassandra_cql.log"
  echo >>"$dir/log/cassandra_cql.log"
  echo "${header[4]}"
}
