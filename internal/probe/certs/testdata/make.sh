#!/bin/sh
# Makes the files of this directory anew (but keytool.*, which are older), with
# openssl 3 and the keytool of Java 17. They are kept because a machine need
# not have either. Store passwords are "secret1"; in client-two.* the key has
# "secret2", in client-*.key it has "secret1".
set -eu
cd "$(dirname "$0")"
rm -f trust.* client*
quiet() { "$@" 2>/dev/null >&2; }
ec() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 "$@"; }

# An authority and a client of its.
ec -out ca.key
openssl req -x509 -new -key ca.key -subj "/CN=dialtone store authority" -days 36500 -out trust.pem
ec -out client.key
openssl req -new -key client.key -subj "/CN=dialtone store client" -out client.csr
printf 'extendedKeyUsage=clientAuth\n' >client.ext
quiet openssl x509 -req -in client.csr -CA trust.pem -CAkey ca.key -set_serial 2 -days 36500 -extfile client.ext -out client.pem

# The client's key as openssl protects it.
for prf in hmacWithSHA1 hmacWithSHA384; do
	openssl pkcs8 -topk8 -in client.key -v2 aes-256-cbc -v2prf $prf -passout pass:secret1 -out client-$prf.key
done
openssl pkcs8 -topk8 -in client.key -v2 des3 -passout pass:secret1 -out client-des3.key
openssl pkcs8 -topk8 -in client.key -v1 PBE-SHA1-3DES -passout pass:secret1 -out client-v1.key
openssl pkcs8 -topk8 -in client.key -scrypt -passout pass:secret1 -out client-scrypt.key
quiet openssl ec -in client.key -aes128 -passout pass:secret1 -out client-legacy.key
quiet openssl ec -in client.key -out client-sec1.key

# Stores.
for type in jks jceks; do
	quiet keytool -importcert -noprompt -alias authority -file trust.pem -storetype $type -keystore trust.$type -storepass secret1
done
openssl pkcs12 -export -inkey client.key -in client.pem -certfile trust.pem -name client -passout pass:secret1 -out client.p12
openssl pkcs12 -export -legacy -inkey client.key -in client.pem -certfile trust.pem -name client -passout pass:secret1 -out client-legacy.p12
import() { quiet keytool -importkeystore -noprompt -srckeystore client.p12 -srcstoretype PKCS12 -srcstorepass secret1 -deststorepass secret1 "$@"; }
for type in jks jceks; do
	import -srcalias client -srckeypass secret1 -deststoretype $type -destkeystore client-two.$type -destkeypass secret2
done
import -deststoretype PKCS12 -destkeystore client-keytool.p12
quiet keytool -genseckey -alias secret -keyalg AES -keysize 128 -storetype jceks -keystore client-secret.jceks -storepass secret1
rm -f ca.key client.csr client.ext
chmod 644 ./*
