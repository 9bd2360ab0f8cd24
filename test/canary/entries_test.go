package canary_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"dialtone/internal/probe/redis/redistest"
	"dialtone/test/system"
)

// sent is an entry and what should come of it.
type sent struct {
	system.Entry

	engine string
	// what says what it is for; code is the verdict that it must have, empty for
	// whichever is not ok.
	what, code string
	// echo: the server's answer held the secret.
	echo bool
}

// user is a name that no other entry has: entries of one account wait for each
// other, and refused ones suppress each other.
func (r *run) user(e engine) string {
	r.number++
	return fmt.Sprintf("%s%s_%d", knownUser, e.dbType, r.number)
}

// password draws one for the connection call.
func (r *run) password(e engine, use string) string {
	return r.reg.draw("TestEndPoint.db_password", e.dbType+", "+use, anything)
}

// admitted is an entry that passes.
func (r *run) admitted(e engine, what string) sent {
	r.t.Helper()
	user, password := r.user(e), r.password(e, what)
	made := e.entry(r.t, e.admit(r.t, user, password), user, password)
	if e.dbType == "kafka" {
		made["kafka_security_config"] = system.Entry{"type": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-256"}
	}
	return sent{Entry: made, engine: e.dbType, what: what, code: "ok"}
}

// refusals are the ways to fail that every engine has.
func (r *run) refusals(e engine) []sent {
	t := r.t
	t.Helper()
	entry := func(what, addr string) system.Entry {
		return e.entry(t, addr, r.user(e), r.password(e, what))
	}
	wrong := entry("wrong", "127.0.0.1:1")
	name, _ := wrong["db_user"].(string)
	all := []sent{
		{Entry: e.at(t, wrong, e.refusal(t, name, core())), engine: e.dbType, what: "wrong", code: "auth_failed"},
		{Entry: entry("closed port", system.ClosedAddr(t)), engine: e.dbType, what: "closed port", code: "connection_refused"},
		{Entry: entry("name that does not resolve", "127.0.0.1:1"), engine: e.dbType, what: "name that does not resolve", code: "dns_not_found"},
		{Entry: r.encrypted(e, entry("no TLS there", r.closing), "ca.pem", "no TLS there"), engine: e.dbType, what: "no TLS there"},
		{Entry: r.encrypted(e, entry("not trusted", e.untrusted(t)), "rogue-ca.pem", "not trusted"), engine: e.dbType, what: "not trusted", code: "tls_cert_untrusted"},
		{Entry: entry("silence", r.pit), engine: e.dbType, what: "silence"},
		{Entry: entry("not a database", r.garbage), engine: e.dbType, what: "not a database"},
	}
	port := ":9"
	if e.dbType != "mongodb" && e.dbType != "kafka" {
		port = ""
	}
	all[2].Entry["ip"] = "no-such-host.invalid" + port
	return all
}

// encrypted asks for TLS, with an authority of scripts/services to trust, a key
// of the client's and a password.
func (r *run) encrypted(e engine, made system.Entry, authority, use string) system.Entry {
	r.t.Helper()
	use = e.dbType + ", " + use
	if e.dbType == "kafka" {
		trust, _ := r.reg.authority(r.t, "KafkaSecurity.trust_store_key", use, pki(r.t, authority))
		return made.With(system.Entry{"kafka_security_config": system.Entry{
			"type": "SASL_SSL", "sasl_mechanism": "PLAIN", "trust_store_key": trust, "trust_store_key_name": "trust.pem",
			"trust_store_password": r.reg.draw("KafkaSecurity.trust_store_password", use, anything),
		}})
	}
	text, sum := r.reg.authority(r.t, "TestEndPoint.ssl_cert_key", use, pki(r.t, authority))
	return made.With(system.Entry{
		"ssl_link": true, "ssl_cert_key": text, "ssl_cert_name": "ca.pem", "ssl_cert_check_sum": sum,
		"ssl_cert_password": r.reg.draw("TestEndPoint.ssl_cert_password", use, anything),
	})
}

// stores are key stores of every kind that open, and such that do not.
func (r *run) stores() []sent {
	t, reg := r.t, r.reg
	t.Helper()
	var all []sent
	// PKCS#12 that a marker opens, and one that it does not open.
	postgres := find(engines(), "postgresql")
	for _, use := range []string{"opens PKCS#12", "does not open PKCS#12"} {
		password := reg.draw("TestEndPoint.ssl_cert_password", use, anything)
		right := password
		s := r.admitted(postgres, use)
		if use != "opens PKCS#12" {
			right, s.code = core(), "tls_cert_bad_password"
		}
		text, sum := reg.store("TestEndPoint.ssl_cert_key", use, trustStore(t, right))
		s.Entry = s.With(system.Entry{"ssl_link": true, "ssl_cert_key": text, "ssl_cert_name": "ca.p12", "ssl_cert_check_sum": sum, "ssl_cert_password": password})
		all = append(all, s)
	}
	// A check sum that does not fit, and Base64 that is none.
	s := r.admitted(postgres, "wrong check sum")
	text, _ := reg.authority(t, "TestEndPoint.ssl_cert_key", "wrong check sum", pki(t, "ca.pem"))
	s.Entry, s.code = s.With(system.Entry{"ssl_link": true, "ssl_cert_key": text, "ssl_cert_name": "ca.pem", "ssl_cert_check_sum": strings.Repeat("0", 64)}), "tls_cert_checksum_mismatch"
	all = append(all, s)
	s = r.admitted(postgres, "no Base64")
	s.Entry, s.code = s.With(system.Entry{
		"ssl_link": true, "ssl_cert_key": reg.draw("TestEndPoint.ssl_cert_key", "no Base64", anything), "ssl_cert_name": "ca.pem", "ssl_cert_check_sum": strings.Repeat("0", 64),
	}), ""
	all = append(all, s)

	kafka := find(engines(), "kafka")
	for _, use := range []string{"both stores open", "the key's password is another", "the key store does not open", "the trust store does not open"} {
		trust := reg.draw("KafkaSecurity.trust_store_password", use, anything)
		store := reg.draw("KafkaSecurity.key_store_password", use, anything)
		s := r.admitted(kafka, use)
		s.Entry = kafka.at(t, s.Entry, system.Need(t, "DIALTONE_TEST_KAFKA_MTLS_SASL_ADDR"))
		rightTrust, rightStore := trust, store
		security := system.Entry{"type": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-256", "enable_key_store": true, "trust_store_key_name": "t.p12", "key_store_key_name": "k.p12"}
		switch use {
		case "the key's password is another":
			security["set_private_key_password"], security["key_password"] = true, reg.draw("KafkaSecurity.key_password", use, anything)
			s.code = ""
		case "the key store does not open":
			rightStore, s.code = core(), ""
		case "the trust store does not open":
			rightTrust, s.code = core(), "tls_cert_bad_password"
		}
		security["trust_store_password"], security["key_store_password"] = trust, store
		security["trust_store_key"], _ = reg.store("KafkaSecurity.trust_store_key", use, trustStore(t, rightTrust))
		security["key_store_key"], _ = reg.store("KafkaSecurity.key_store_key", use, reg.keyStore(t, use, rightStore))
		s.Entry["kafka_security_config"] = security
		all = append(all, s)
	}
	return append(all, r.accounts(kafka)...)
}

// accounts are logins of Kafka's that have other secrets.
func (r *run) accounts(kafka engine) []sent {
	t := r.t
	t.Helper()
	hmac := system.Need(t, "DIALTONE_TEST_KAFKA_TOKEN_HMAC")
	r.reg.found("TestEndPoint.db_password", "kafka, HMAC of a delegation token", hmac)
	sasl := system.Need(t, "DIALTONE_TEST_KAFKA_SASL_ADDR")
	token := sent{engine: "kafka", what: "delegation token", code: "ok"}
	token.Entry = kafka.entry(t, sasl, system.Need(t, "DIALTONE_TEST_KAFKA_TOKEN_ID"), hmac).With(system.Entry{
		"kafka_security_config": system.Entry{"type": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-256", "delegation_tokens": true},
	})
	gssapi := system.Entry{"kafka_security_config": system.Entry{"type": "SASL_PLAINTEXT", "sasl_mechanism": "GSSAPI"}}
	fromKeytab := sent{engine: "kafka", what: "keytab", code: "ok"}
	fromKeytab.Entry = kafka.entry(t, sasl, "dt_krb_keytab", "x").With(gssapi).With(system.Entry{"db_password": nil})
	krb := sent{engine: "kafka", what: "Kerberos, wrong password"}
	krb.Entry = kafka.entry(t, sasl, "dt_krb", r.password(kafka, "Kerberos")).With(gssapi)
	return []sent{token, fromKeytab, krb}
}

func find(all []engine, dbType string) engine {
	for _, e := range all {
		if e.dbType == dbType {
			return e
		}
	}
	panic("there is no engine " + dbType)
}

// echoes are servers that answer the login with the password: in every form,
// and behind so much else that it lies across the ends of buffers.
func (r *run) echoes(e engine, some []form, pads []int) []sent {
	t := r.t
	t.Helper()
	var all []sent
	one := func(use string, write func(password string) string) {
		password := r.password(e, use)
		text := write(password)
		addr := system.Serve(t, func(c net.Conn) { e.hostile(c, func() string { return text }) })
		all = append(all, sent{Entry: e.entry(t, addr, r.user(e), password), engine: e.dbType, what: use, echo: true})
	}
	for _, f := range some {
		if e.dbType == "postgresql" && f.name == "UTF-16" || strings.HasPrefix(e.dbType, "gaussdb") && f.name == "UTF-16" {
			continue // its texts end with the first zero
		}
		one("echo, "+f.name, func(password string) string { return echoed + " " + f.write(password) + " said the server" })
	}
	one("echo, cut off", func(password string) string { return echoed + " " + password[:len(password)-8] })
	// As long as they may be; the name of the form tells of no other.
	long := r.reg.draw("TestEndPoint.db_password", e.dbType+", echo, 4,000 characters", strings.Repeat("m", 3960))
	addr := system.Serve(t, func(c net.Conn) { e.hostile(c, func() string { return echoed + " " + long }) })
	all = append(all, sent{Entry: e.entry(t, addr, r.user(e), long), engine: e.dbType, what: "echo, 4,000 characters", echo: true})
	for _, pad := range pads {
		for _, with := range []string{" ", "x"} {
			one(fmt.Sprintf("echo after %d times %q", pad, with), func(password string) string {
				return echoed + strings.Repeat(with, pad) + password
			})
		}
	}
	return all
}

// boasts are servers whose versions, names and certificates are the password.
func (r *run) boasts() []sent {
	t := r.t
	t.Helper()
	var all []sent
	add := func(dbType, what string, serve func(c net.Conn, password string)) {
		e := find(engines(), dbType)
		password := r.password(e, what)
		addr := system.Serve(t, func(c net.Conn) { serve(c, password) })
		all = append(all, sent{Entry: e.entry(t, addr, r.user(e), password), engine: dbType, what: what})
	}
	add("mysql", "version", func(c net.Conn, password string) {
		_, _ = c.Write(mysqlGreeting(password))
		_, _ = io.Copy(io.Discard, c)
	})
	add("redis", "version", func(c net.Conn, password string) {
		(&redistest.Server{Info: map[string]string{"server": "redis_version:" + password + "\r\nos:" + password + "\r\n", "replication": "role:" + password + "\r\nmaster_host:" + password + "\r\n"}}).Serve(c)
	})
	add("postgresql", "banner", func(c net.Conn, password string) { _, _ = io.WriteString(c, "SSH-2.0-"+password+"\r\n") })
	add("cassandra", "banner", func(c net.Conn, password string) { _, _ = io.WriteString(c, "HTTP/1.1 400 "+password+"\r\n\r\n") })
	// A certificate with the password for its name.
	e := find(engines(), "redis")
	password := r.password(e, "certificate's name")
	p := newPair(t, password)
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{p.cert.Raw}, PrivateKey: p.key}}, MinVersion: tls.VersionTLS12}
	addr := system.Serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, tls.Server(c, config)) })
	made := r.encrypted(e, e.entry(t, addr, r.user(e), password), "ca.pem", "certificate's name")
	return append(all, sent{Entry: made, engine: e.dbType, what: "certificate's name"})
}

// testPassword is the one of every account of scripts/services.
func (r *run) testPassword() string {
	r.t.Helper()
	return system.Need(r.t, "DIALTONE_TEST_PASSWORD")
}

// ownKey is a Java store whose key has a password of its own.
func (r *run) ownKey() sent {
	t := r.t
	t.Helper()
	kafka := find(engines(), "kafka")
	s := r.admitted(kafka, "JKS")
	s.Entry = kafka.at(t, s.Entry, system.Need(t, "DIALTONE_TEST_KAFKA_MTLS_SASL_ADDR"))
	read := func(name string) []byte {
		raw, err := os.ReadFile(filepath.Join(system.Need(t, "DIALTONE_TEST_KAFKA_STORES"), name))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	trust, _ := r.reg.store("KafkaSecurity.trust_store_key", "JKS", read("trust.jks"))
	key, _ := r.reg.store("KafkaSecurity.key_store_key", "JKS", read("key-own.jks"))
	password := r.testPassword()
	for field, value := range map[string]string{"trust_store_password": password, "key_store_password": password, "key_password": "Key-" + password} {
		r.reg.found("KafkaSecurity."+field, "JKS", value)
	}
	s.Entry["kafka_security_config"] = system.Entry{
		"type": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-256", "trust_store_key": trust, "trust_store_key_name": "t.jks", "trust_store_password": password,
		"enable_key_store": true, "key_store_key": key, "key_store_key_name": "k.jks", "key_store_password": password,
		"set_private_key_password": true, "key_password": "Key-" + password,
	}
	return s
}
