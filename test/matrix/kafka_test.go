package matrix_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/probe/kafka"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/secret"
)

// kerberos is the KDC of scripts/services, whose brokers are kafka/localhost.
func kerberos(t *testing.T) kafka.Kerberos {
	t.Helper()
	a := probetest.Addr(t, "KERBEROS_KDC")
	return kafka.Kerberos{
		Realm: probetest.Need(t, "KERBEROS_REALM"), ServiceHost: "localhost",
		KDCs: []probe.Address{{Host: a.Addr().String(), Port: a.Port()}},
	}
}

// listener makes an endpoint for a listener of the real Apache Kafka; the
// protocols with TLS trust the tests' authority, by a Java key store.
func listener(addrVar, protocol, mechanism, user string) base {
	return func(t *testing.T) batch.Endpoint {
		t.Helper()
		e := endpoint(t, "kafka", addrVar, user, "")
		e.Kafka = &probe.KafkaSecurity{Protocol: protocol, SASLMechanism: mechanism}
		if user == "" {
			e.Password = secret.Text{}
		}
		if protocol == "SSL" || protocol == "SASL_SSL" {
			trust(t, &e, "trust.jks")
		}
		return e
	}
}

// trust gives an endpoint a trust store of the tests.
func trust(t *testing.T, e *batch.Endpoint, name string) {
	t.Helper()
	e.Kafka.TrustStore, e.Kafka.TrustStoreName = store(t, name), name
	e.Kafka.TrustStorePassword = secret.New(probetest.Need(t, "PASSWORD"))
}

// store is a file of the real broker's clients, as a caller uploads it.
func store(t *testing.T, name string) secret.Text {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(probetest.Need(t, "KAFKA_STORES"), name))
	if err != nil {
		t.Fatal(err)
	}
	return secret.New(base64.StdEncoding.EncodeToString(b))
}

func kafkaScenarios() map[string]scenario {
	return merge(kafkaNetwork(), kafkaLogins(), kafkaStores(), kafkaKerberos())
}

func kafkaNetwork() map[string]scenario {
	plain := listener("KAFKA_ADDR", "PLAINTEXT", "", "")
	ssl := listener("KAFKA_SSL_ADDR", "SSL", "", "")
	named := func(b base) scenario {
		return b.with(func(_ *testing.T, e *batch.Endpoint) { e.Kafka.EndpointAlgorithm = "https" })
	}
	return merge(plain.network(), map[string]scenario{
		"right, PLAINTEXT":                scenario(plain),
		"right, SSL":                      scenario(ssl),
		"right, SSL, name verified":       named(ssl),
		"another name":                    scenario(listener("KAFKA_WRONGNAME_ADDR", "SSL", "", "")),
		"another name, name verified":     named(listener("KAFKA_WRONGNAME_ADDR", "SSL", "", "")),
		"certificate expired":             scenario(listener("KAFKA_EXPIRED_ADDR", "SSL", "", "")),
		"untrusted CA":                    ssl.with(func(t *testing.T, e *batch.Endpoint) { trust(t, e, "trust-rogue.jks") }),
		"plain to a TLS listener":         plain.at("KAFKA_SSL_ADDR"),
		"TLS to a plain listener":         ssl.at("KAFKA_ADDR"),
		"advertised port is closed":       plain.at("KAFKA_TRAP_ADDR"),
		"advertised name does not exist":  plain.at("KAFKA_TRAP_NAME_ADDR"),
		"wrong protocol":                  plain.at("MARIADB_ADDR"),
		"wrong protocol, PostgreSQL":      plain.at("POSTGRES_ADDR"),
		"second bootstrap server answers": plain.with(func(t *testing.T, e *batch.Endpoint) { e.IP = "127.0.0.1:9," + e.IP }),
	})
}

func kafkaLogins() map[string]scenario {
	scram := listener("KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "SCRAM-SHA-256", "dt_scram")
	plain := listener("KAFKA_SASL_SSL_ADDR", "SASL_SSL", "PLAIN", "dt_plain")
	token := scram.with(func(t *testing.T, e *batch.Endpoint) {
		e.Kafka.DelegationTokens = true
		e.User, e.Password = probetest.Need(t, "KAFKA_TOKEN_ID"), secret.New(probetest.Need(t, "KAFKA_TOKEN_HMAC"))
	})
	return map[string]scenario{
		"right, SCRAM-SHA-256":           scenario(scram),
		"right, SCRAM-SHA-512, TLS":      scenario(listener("KAFKA_SASL_SSL_ADDR", "SASL_SSL", "SCRAM-SHA-512", "dt_scram512")),
		"right, PLAIN, TLS":              scenario(plain),
		"PLAIN, plain text":              scenario(listener("KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "PLAIN", "dt_plain")),
		"right, delegation token":        token,
		"wrong delegation token":         base(token).wrongPassword(),
		"wrong password":                 scram.wrongPassword(),
		"wrong password, PLAIN, TLS":     plain.wrongPassword(),
		"unknown user":                   scram.user("dt_nobody"),
		"unknown user, PLAIN, TLS":       plain.user("dt_nobody"),
		"user has another mechanism":     scram.user("dt_scram512"),
		"mechanism not enabled":          scram.at("KAFKA_PLAINONLY_ADDR"),
		"SASL where there is none":       scram.at("KAFKA_ADDR"),
		"no SASL where there must be":    scenario(listener("KAFKA_SASL_ADDR", "PLAINTEXT", "", "")),
		"SSL alone where SASL must be":   scenario(listener("KAFKA_SASL_SSL_ADDR", "SSL", "", "")),
		"SASL_SSL to a plain listener":   plain.at("KAFKA_SASL_ADDR"),
		"SASL_PLAINTEXT to a TLS one":    scram.at("KAFKA_SASL_SSL_ADDR"),
		"client certificate beside SASL": scenario(listener("KAFKA_MTLS_SASL_ADDR", "SASL_SSL", "SCRAM-SHA-256", "dt_scram")),
	}
}

func kafkaStores() map[string]scenario {
	ssl := listener("KAFKA_SSL_ADDR", "SSL", "", "")
	trusted := func(name string) scenario {
		return ssl.with(func(t *testing.T, e *batch.Endpoint) { trust(t, e, name) })
	}
	mutual := func(change func(t *testing.T, k *probe.KafkaSecurity)) scenario {
		return listener("KAFKA_MTLS_ADDR", "SSL", "", "").with(func(t *testing.T, e *batch.Endpoint) {
			k := e.Kafka
			k.EnableKeyStore, k.KeyStoreName, k.KeyStore = true, "key.jks", store(t, "key.jks")
			k.KeyStorePassword = secret.New(probetest.Need(t, "PASSWORD"))
			change(t, k)
		})
	}
	own := func(password string) func(*testing.T, *probe.KafkaSecurity) {
		return func(t *testing.T, k *probe.KafkaSecurity) {
			k.KeyStore, k.SetPrivateKeyPassword = store(t, "key-own.jks"), true
			k.PrivateKeyPassword = secret.New(password + probetest.Need(t, "PASSWORD"))
		}
	}
	keyed := func(name string) func(*testing.T, *probe.KafkaSecurity) {
		return func(t *testing.T, k *probe.KafkaSecurity) { k.KeyStore = store(t, name) }
	}
	return map[string]scenario{
		"trust store, JCEKS":       trusted("trust.jceks"),
		"trust store, PKCS#12":     trusted("trust.p12"),
		"trust store, old PKCS#12": trusted("trust-legacy.p12"),
		"trust store, PEM":         trusted("trust.pem"),
		"trust store is a text":    ssl.with(func(_ *testing.T, e *batch.Endpoint) { e.Kafka.TrustStore = secret.New("aGVsbG8gd29ybGQ=") }),
		"trust store, wrong password": ssl.with(func(_ *testing.T, e *batch.Endpoint) {
			e.Kafka.TrustStorePassword = secret.New("certainly-wrong-8")
		}),
		"client certificate missing":            scenario(listener("KAFKA_MTLS_ADDR", "SSL", "", "")),
		"client certificate, JKS":               mutual(func(*testing.T, *probe.KafkaSecurity) {}),
		"client certificate, JCEKS":             mutual(keyed("key.jceks")),
		"client certificate, PKCS#12":           mutual(keyed("key.p12")),
		"client certificate, old PKCS#12":       mutual(keyed("key-legacy.p12")),
		"client certificate, PEM":               mutual(keyed("key.pem")),
		"client key with a password of its own": mutual(own("Key-")),
		"client key, wrong password":            mutual(own("no-")),
		"key store, wrong password": mutual(func(_ *testing.T, k *probe.KafkaSecurity) {
			k.KeyStorePassword = secret.New("certainly-wrong-8")
		}),
	}
}

func kafkaKerberos() map[string]scenario {
	b := listener("KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "GSSAPI", "dt_krb")
	return map[string]scenario{
		"right, GSSAPI":            scenario(b),
		"wrong password, GSSAPI":   b.wrongPassword(),
		"unknown user, GSSAPI":     b.user("dt_nobody"),
		"account locked, GSSAPI":   b.user("dt_krb_locked"),
		"account expired, GSSAPI":  b.user("dt_krb_expired"),
		"password expired, GSSAPI": b.user("dt_krb_pwexpired"),
	}
}
