# Kerberos: MIT's KDC for the realm TEST.LOCAL, wholly inside the directory of the servers.
# shellcheck shell=bash disable=SC2034,SC2154

ports_kerberos=(kerberos)
processes_kerberos=(kerberos)

packages_kerberos() {
  [[ -x /usr/sbin/krb5kdc ]] || echo krb5-kdc
  [[ -x /usr/sbin/kadmin.local ]] || echo krb5-admin-server
  command -v kinit >/dev/null || echo krb5-user
}

env_kerberos() {
  put KERBEROS_REALM TEST.LOCAL
  put KERBEROS_KDC "$host:${PORT[kerberos]}"
  put KERBEROS_KEYTAB "$dir/kerberos/client.keytab"
  put KERBEROS_CONFIG "$dir/kerberos/krb5.conf"
}

up_kerberos() {
  local home=$dir/kerberos
  export KRB5_CONFIG=$home/krb5.conf KRB5_KDC_PROFILE=$home/kdc.conf
  [[ -e $home/ready ]] || kerberos_database "$home" >"$dir/log/kerberos-database.log" 2>&1 ||
    { tail -n 15 "$dir/log/kerberos-database.log" >&2; return 1; }
  running kerberos || spawn kerberos "$(id -un)" /usr/sbin/krb5kdc -n
  await kerberos kerberos_answers
}

kerberos_answers() { (exec 3<>"/dev/tcp/127.0.0.1/${PORT[kerberos]}"); }

kerberos_database() ( # HOME
  set -e
  umask 077
  rm -rf "$1"
  mkdir "$1"
  cd "$1"
  cat >krb5.conf <<CONF
[libdefaults]
default_realm = TEST.LOCAL
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
rdns = false
udp_preference_limit = 1
[realms]
TEST.LOCAL = {
  kdc = 127.0.0.1:${PORT[kerberos]}
}
CONF
  cat >kdc.conf <<CONF
[kdcdefaults]
kdc_listen = 127.0.0.1:${PORT[kerberos]}
kdc_tcp_listen = 127.0.0.1:${PORT[kerberos]}
[realms]
TEST.LOCAL = {
  database_name = $1/principal
  key_stash_file = $1/stash
  acl_file = $1/kadm5.acl
  supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
  default_principal_flags = +preauth
}
[logging]
kdc = STDERR
CONF
  local password
  password=$(password)
  /usr/sbin/kdb5_util create -s -r TEST.LOCAL -P "$(openssl rand -hex 16)"
  # Over standard input: a command line is everybody's. No value holds a quote.
  /usr/sbin/kadmin.local <<COMMANDS
addprinc -pw $password dt_krb
addprinc -pw $password -requires_preauth dt_krb_nopreauth
addprinc -pw $password -pwexpire "2001-01-01 00:00:00" dt_krb_pwexpired
addprinc -pw $password -expire "2001-01-01 00:00:00" dt_krb_expired
addprinc -pw $password -allow_tix dt_krb_locked
addprinc -randkey dt_krb_keytab
addprinc -randkey -requires_preauth kafka/localhost
ktadd -k $1/client.keytab dt_krb_keytab
ktadd -k $1/kafka.keytab kafka/localhost
COMMANDS
  # kadmin.local succeeds whatever its commands do.
  [[ -s client.keytab && -s kafka.keytab ]]
  touch ready
)
