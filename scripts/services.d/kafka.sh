# Kafka: one node of the real broker, with a listener for every way of logging in and for every
# way of getting it wrong. The Kerberos of its GSSAPI is the kind "kerberos", started along.
# shellcheck shell=bash disable=SC2034,SC2154

needs_kafka=(kerberos)
ports_kafka=(kafka kafka_sasl kafka_plainonly kafka_ssl kafka_sasl_ssl kafka_mtls kafka_mtls_sasl
  kafka_wrongname kafka_expired kafka_trap kafka_trap_name kafka_controller kafka_closed)
processes_kafka=(kafka)

packages_kafka() { packages_java; }

env_kafka() {
  local home=$dir/kafka id hmac name
  read -r id hmac <"$home/token"
  put KAFKA_ADDR "$host:${PORT[kafka]}"
  for name in sasl plainonly ssl sasl_ssl mtls mtls_sasl wrongname expired trap trap_name; do
    put "KAFKA_${name^^}_ADDR" "$host:${PORT[kafka_$name]}"
  done
  put KAFKA_STORES "$home/stores"
  put KAFKA_TOKEN_ID "$id"
  put KAFKA_TOKEN_HMAC "$hmac"
}

up_kafka() {
  local home=$dir/kafka jars
  jars=$(maven_jars kafka)
  if [[ ! -e $home/ready ]]; then
    rm -rf "$home"
    (umask 077 && mkdir "$home" && kafka_configure "$home")
    kafka_java "$jars" "$home/format.args" >"$dir/log/kafka-format.log" 2>&1 ||
      { tail -n 15 "$dir/log/kafka-format.log" >&2; return 1; }
    touch "$home/ready"
  fi
  # The broker's key is written by the other kind, which starts at the same time.
  kafka_keytab
  running kafka || kafka_spawn "$jars" "$home"
  if [[ ! -e $home/stores/ready ]]; then
    kafka_stores "$home/stores" 2>"$dir/log/kafka-stores.log" ||
      { tail -n 15 "$dir/log/kafka-stores.log" >&2; return 1; }
  fi
  await kafka kafka_answers
  [[ -s $home/token ]] || kafka_token "$jars" "$home"
}

kafka_answers() { grep -q 'Kafka Server started' "$dir/log/kafka.log"; }

# Quick to start and small, rather than quick for ever.
kafka_options=(-Xms64m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto)

# kafka_java JARS FILE: the class to run and its arguments are in a file, since some are secret.
kafka_java() {
  java "${kafka_options[@]}" -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$1" "@$2"
}

kafka_spawn() { # JARS HOME
  # The log of an earlier start would answer for this one.
  rm -f "$dir/log/kafka.log"
  spawn kafka "$(id -un)" java "${kafka_options[@]}" \
    -Dorg.slf4j.simpleLogger.showDateTime=true -Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS \
    -Djava.security.krb5.conf="$dir/kerberos/krb5.conf" \
    -cp "$1" kafka.Kafka "$2/server.properties"
}

# Listeners are named by what is special about them; each has its own port, and advertises it.
kafka_configure() { # HOME
  local home=$1 pki=$dir/pki name listeners='' advertised='' protocols='' password protocol
  password=$(password)
  local -A protocol_of=(
    [kafka]=PLAINTEXT [kafka_sasl]=SASL_PLAINTEXT [kafka_plainonly]=SASL_PLAINTEXT
    [kafka_ssl]=SSL [kafka_sasl_ssl]=SASL_SSL [kafka_mtls]=SSL [kafka_mtls_sasl]=SASL_SSL
    [kafka_wrongname]=SSL [kafka_expired]=SSL
    [kafka_trap]=PLAINTEXT [kafka_trap_name]=PLAINTEXT [kafka_controller]=PLAINTEXT)
  for name in "${!protocol_of[@]}"; do
    listeners+=",${name^^}://127.0.0.1:${PORT[$name]}"
    protocols+=",${name^^}:${protocol_of[$name]}"
    case $name in
      kafka_controller) ;;
      kafka_trap) advertised+=",${name^^}://127.0.0.1:${PORT[kafka_closed]}" ;;
      kafka_trap_name) advertised+=",${name^^}://broker-1.kafka.invalid:${PORT[$name]}" ;;
      *) advertised+=",${name^^}://127.0.0.1:${PORT[$name]}" ;;
    esac
  done
  for name in server wrongname expired; do
    cat "$pki/$name.key" "$pki/$name.pem" >"$home/$name.pem"
  done
  {
    cat <<CONF
node.id=1
process.roles=broker,controller
controller.quorum.voters=1@127.0.0.1:${PORT[kafka_controller]}
controller.listener.names=KAFKA_CONTROLLER
listeners=${listeners#,}
advertised.listeners=${advertised#,}
listener.security.protocol.map=${protocols#,}
inter.broker.listener.name=KAFKA
log.dirs=$home/data
num.network.threads=1
num.io.threads=2
background.threads=2
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
delegation.token.secret.key=$password
sasl.kerberos.service.name=kafka
ssl.client.auth=none
ssl.keystore.type=PEM
ssl.keystore.location=$home/server.pem
ssl.truststore.type=PEM
ssl.truststore.location=$pki/ca.pem
listener.name.kafka_mtls.ssl.client.auth=required
listener.name.kafka_mtls_sasl.ssl.client.auth=required
listener.name.kafka_wrongname.ssl.keystore.location=$home/wrongname.pem
listener.name.kafka_expired.ssl.keystore.location=$home/expired.pem
CONF
    for name in kafka_sasl kafka_sasl_ssl kafka_mtls_sasl kafka_plainonly; do
      protocol=listener.name.$name
      printf '%s.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_dt_plain="%s";\n' "$protocol" "$password"
      if [[ $name == kafka_plainonly ]]; then
        printf '%s.sasl.enabled.mechanisms=PLAIN\n' "$protocol"
        continue
      fi
      printf '%s.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,GSSAPI\n' "$protocol"
      printf '%s.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;\n' "$protocol"
      printf '%s.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;\n' "$protocol"
      # It accepts tickets and asks for none, so that it does not need the KDC to start.
      printf '%s.gssapi.sasl.jaas.config=com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true isInitiator=false keyTab="%s" principal="kafka/localhost@TEST.LOCAL";\n' \
        "$protocol" "$dir/kerberos/kafka.keytab"
    done
  } >"$home/server.properties"
  cat >"$home/format.args" <<ARGS
kafka.tools.StorageTool format --config $home/server.properties --cluster-id $(openssl rand 16 | base64 | tr '+/' '-_' | cut -c1-22)
--add-scram SCRAM-SHA-256=[name=dt_scram,password=$password] --add-scram SCRAM-SHA-512=[name=dt_scram,password=$password]
--add-scram SCRAM-SHA-256=[name=dt_scram256,password=$password] --add-scram SCRAM-SHA-512=[name=dt_scram512,password=$password]
ARGS
}

# kafka_token makes a delegation token of dt_scram's and keeps its id and HMAC.
kafka_token() { # JARS HOME
  (
    umask 077
    cat >"$2/dt_scram.properties" <<CONF
security.protocol=SASL_PLAINTEXT
sasl.mechanism=SCRAM-SHA-256
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="dt_scram" password="$(password)";
CONF
    cat >"$2/token.args" <<ARGS
org.apache.kafka.tools.DelegationTokenCommand --create --max-life-time-period -1
--bootstrap-server 127.0.0.1:${PORT[kafka_sasl]} --command-config $2/dt_scram.properties
ARGS
    kafka_java "$1" "$2/token.args" >"$dir/log/kafka-token.log" 2>&1
    awk '$2 ~ /^User:/ || $3 ~ /^User:/ { print $1, $2; exit }' "$dir/log/kafka-token.log" >"$2/token"
    [[ -s $2/token ]]
  ) || { say "no delegation token:"; tail -n 15 "$dir/log/kafka-token.log" >&2; return 1; }
}

# kafka_keytab waits until the kind "kerberos" has written the broker's key.
kafka_keytab() {
  local end=$((SECONDS + 30))
  until [[ -e $dir/kerberos/ready ]]; do
    ((SECONDS < end)) || { say "kafka waits in vain for $dir/kerberos"; return 1; }
    sleep 0.05
  done
}

# The stores that clients bring, in every form that Java and OpenSSL write: trust.* holds the
# authority, key.* the client pair. Their password is that of the accounts; the private key of
# key-own.jks has one of its own, "Key-" before it.
kafka_stores() { # DIRECTORY
  local pki=$dir/pki secret=$dir/password job jobs=()
  rm -rf "$1"
  mkdir -m 0711 "$1"
  (
    cd "$1"
    openssl pkcs12 -export -in "$pki/client.pem" -inkey "$pki/client.key" -name client -passout "file:$secret" -out key.p12
    openssl pkcs12 -export -legacy -in "$pki/client.pem" -inkey "$pki/client.key" -name client -passout "file:$secret" -out key-legacy.p12
    cat "$pki/client.pem" "$pki/client.key" >key.pem
    cp "$pki/ca.pem" trust.pem
    (umask 077 && { printf Key-; cat "$secret"; } >own.password)
    kafka_trust ca trust.jks JKS & jobs+=("$!")
    kafka_trust rogue-ca trust-rogue.jks JKS & jobs+=("$!")
    kafka_trust ca trust.jceks JCEKS & jobs+=("$!")
    kafka_trust ca trust.p12 PKCS12 & jobs+=("$!")
    kafka_trust ca trust-legacy.p12 PKCS12 -J-Dkeystore.pkcs12.legacy & jobs+=("$!")
    kafka_key key.jks JKS "$secret" & jobs+=("$!")
    kafka_key key-own.jks JKS own.password & jobs+=("$!")
    kafka_key key.jceks JCEKS "$secret" & jobs+=("$!")
    for job in "${jobs[@]}"; do wait "$job" || exit 1; done
    chmod 0644 ./*.jks ./*.jceks ./*.p12 ./*.pem
    touch ready
  )
}

kafka_trust() { # AUTHORITY FILE TYPE OPTION...
  keytool -importcert -noprompt -alias "$1" -file "$dir/pki/$1.pem" \
    -keystore "$2" -storetype "$3" -storepass:file "$dir/password" "${@:4}"
}

kafka_key() { # FILE TYPE FILE-OF-THE-KEY-PASSWORD
  keytool -importkeystore -noprompt -srckeystore key.p12 -srcstoretype PKCS12 -srcstorepass:file "$dir/password" \
    -srcalias client -destkeystore "$1" -deststoretype "$2" -deststorepass:file "$dir/password" -destkeypass:file "$3"
}
