package kafka_test

import (
	"context"
	"encoding/base64"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"dialtone/internal/probe"
	"dialtone/internal/probe/kafka"
	"dialtone/internal/probe/kerberos"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/secret"
)

// Tests against the real broker and the real KDC of scripts/services.

const serverTimeout = 6 * time.Second

// realTarget is an account on a listener of the real broker.
func realTarget(tb testing.TB, addr, protocol, mechanism, user string) probe.Target {
	tb.Helper()
	target := probetest.RealTarget(tb, probe.Kafka, addr, user, "", "")
	target.Kafka = &probe.KafkaSecurity{Protocol: protocol, SASLMechanism: mechanism}
	if protocol == "SSL" || protocol == "SASL_SSL" {
		target.TLS = &probe.TLS{Verify: probe.VerifyCA}
		target.Kafka.TrustStoreName = "trust.pem"
		target.Kafka.TrustStore = store(tb, "trust.pem")
	}
	return target
}

// store is a file of the real broker's clients, as a caller uploads it.
func store(tb testing.TB, name string) secret.Text {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(probetest.Need(tb, "KAFKA_STORES"), name))
	if err != nil {
		tb.Fatal(err)
	}
	return secret.New(base64.StdEncoding.EncodeToString(b))
}

// kdcs are the real one, whose brokers have the principal kafka/localhost.
func kdcs(tb testing.TB) kafka.Kerberos {
	tb.Helper()
	content, err := os.ReadFile(probetest.Need(tb, "KERBEROS_KEYTAB"))
	if err != nil {
		tb.Fatal(err)
	}
	keytab, err := kerberos.ParseKeytab(content)
	if err != nil {
		tb.Fatal(err)
	}
	return kafka.Kerberos{
		Realm: probetest.Need(tb, "KERBEROS_REALM"), KDCs: []probe.Address{address(tb, "KERBEROS_KDC")},
		Keytab: keytab, ServiceHost: "localhost",
	}
}

func address(tb testing.TB, name string) probe.Address {
	tb.Helper()
	a := probetest.Addr(tb, name)
	return probe.Address{Host: a.Addr().String(), Port: a.Port()}
}

func TestKafka(t *testing.T) {
	t.Parallel()
	const (
		plain, ssl        = "PLAINTEXT", "SSL"
		saslPlain, tls    = "SASL_PLAINTEXT", "SASL_SSL"
		sha256, sha512    = "SCRAM-SHA-256", "SCRAM-SHA-512"
		login, handshake  = probe.PhaseLogin, probe.PhaseTLS
		sasl, saslTLS     = "KAFKA_SASL_ADDR", "KAFKA_SASL_SSL_ADDR"
		wrong             = "certainly-wrong-8"
		ok                = probe.CodeOK
		refused, disabled = probe.CodeAuthFailed, probe.CodeAuthMechanism
	)
	password := func(p string) func(*probe.Target) {
		return func(t *probe.Target) { t.Password = secret.New(p) }
	}
	verify := func(v probe.Verify) func(*probe.Target) { return func(t *probe.Target) { t.TLS.Verify = v } }
	token := func(change func(*probe.Target)) func(*probe.Target) {
		return func(target *probe.Target) {
			target.User = probetest.Need(t, "KAFKA_TOKEN_ID")
			target.Password = secret.New(probetest.Need(t, "KAFKA_TOKEN_HMAC"))
			target.Kafka.DelegationTokens = true
			change(target)
		}
	}
	same := func(*probe.Target) {}
	for _, tc := range []struct {
		name, addr, protocol, mechanism, user string
		change                                func(*probe.Target)
		code                                  probe.Code
		phase                                 probe.Phase
		logins                                int
	}{
		{"PLAINTEXT", "KAFKA_ADDR", plain, "", "", same, ok, "", 0},
		{"PLAINTEXT, no configuration", "KAFKA_ADDR", "", "", "", func(t *probe.Target) { t.Kafka = nil }, ok, "", 0},
		{"SASL_PLAINTEXT, SCRAM-SHA-256", sasl, saslPlain, sha256, "dt_scram", same, ok, "", 1},
		{"SASL_PLAINTEXT, SCRAM-SHA-512", sasl, saslPlain, sha512, "dt_scram", same, ok, "", 1},
		{"SASL_SSL, SCRAM-SHA-256", saslTLS, tls, sha256, "dt_scram256", same, ok, "", 1},
		{"SASL_SSL, SCRAM-SHA-512", saslTLS, tls, sha512, "dt_scram512", same, ok, "", 1},
		{"SASL_SSL, PLAIN", saslTLS, tls, "PLAIN", "dt_plain", same, ok, "", 1},
		{"SASL_SSL, PLAIN, name verified", saslTLS, tls, "PLAIN", "dt_plain", verify(probe.VerifyFull), ok, "", 1},
		{"SASL_PLAINTEXT, PLAIN", sasl, saslPlain, "PLAIN", "dt_plain", same, probe.CodeInsecureLogin, login, 0},
		{"SASL_SSL, PLAIN, unverified", saslTLS, tls, "PLAIN", "dt_plain", verify(probe.VerifyNone), probe.CodeInsecureLogin, login, 0},
		{"SSL", "KAFKA_SSL_ADDR", ssl, "", "", same, ok, "", 0},
		{"SSL, name verified", "KAFKA_SSL_ADDR", ssl, "", "", verify(probe.VerifyFull), ok, "", 0},

		{"wrong password, PLAIN", saslTLS, tls, "PLAIN", "dt_plain", password(wrong), refused, login, 1},
		{"wrong password, SCRAM-SHA-256", sasl, saslPlain, sha256, "dt_scram", password(wrong), refused, login, 1},
		{"wrong password, SCRAM-SHA-512", saslTLS, tls, sha512, "dt_scram", password(wrong), refused, login, 1},
		{"unknown user, PLAIN", saslTLS, tls, "PLAIN", "dt_nobody", same, refused, login, 1},
		{"unknown user, SCRAM", sasl, saslPlain, sha256, "dt_nobody", same, refused, login, 1},
		{"credentials of another mechanism", sasl, saslPlain, sha512, "dt_scram256", same, refused, login, 1},
		{"no password", sasl, saslPlain, sha256, "dt_scram", password(""), probe.CodeAuthRequired, login, 0},
		{"no user", saslTLS, tls, "PLAIN", "", same, probe.CodeAuthRequired, login, 0},
		{"mechanism not enabled", "KAFKA_PLAINONLY_ADDR", saslPlain, sha256, "dt_scram", same, disabled, login, 0},
		{"unknown mechanism", sasl, saslPlain, "OAUTHBEARER", "dt_scram", same, disabled, login, 0},
		{"SASL where there is none", "KAFKA_ADDR", saslPlain, sha256, "dt_scram", same, disabled, login, 0},
		{"no SASL where there must be", sasl, plain, "", "", same, probe.CodeAuthRequired, login, 0},
		{"SSL alone where there must be SASL", saslTLS, ssl, "", "", same, probe.CodeAuthRequired, login, 0},

		{"delegation token, SCRAM-SHA-256", sasl, saslPlain, sha256, "", token(same), ok, "", 1},
		{"delegation token, SCRAM-SHA-512", saslTLS, tls, sha512, "", token(same), ok, "", 1},
		{"delegation token, wrong HMAC", sasl, saslPlain, sha256, "", token(password(wrong)), refused, login, 1},
		{"delegation token, unknown", sasl, saslPlain, sha256, "", token(func(t *probe.Target) { t.User = "nothing" }), refused, login, 1},
		{"delegation token, not said to be one", sasl, saslPlain, sha256, "", token(func(t *probe.Target) { t.Kafka.DelegationTokens = false }), refused, login, 1},

		{"TLS listener, plain", "KAFKA_SSL_ADDR", plain, "", "", same, probe.CodeTLSRequired, handshake, 0},
		{"TLS listener, SASL_PLAINTEXT", saslTLS, saslPlain, sha256, "dt_scram", same, probe.CodeTLSRequired, handshake, 0},
		{"plain listener, SSL", "KAFKA_ADDR", ssl, "", "", same, probe.CodeTLSNotSupported, handshake, 0},
		{"plain listener, SASL_SSL", sasl, tls, sha256, "dt_scram", same, probe.CodeTLSNotSupported, handshake, 0},
		{"another authority", "KAFKA_SSL_ADDR", ssl, "", "", func(target *probe.Target) {
			target.Kafka.TrustStore = secret.New(probetest.Certificate(t, "rogue-ca.pem").Reveal())
		}, probe.CodeTLSUntrusted, handshake, 0},
		{"wrong name", "KAFKA_WRONGNAME_ADDR", ssl, "", "", same, ok, "", 0},
		{"wrong name, name verified", "KAFKA_WRONGNAME_ADDR", ssl, "", "", verify(probe.VerifyFull), probe.CodeTLSNameMismatch, handshake, 0},
		{"expired", "KAFKA_EXPIRED_ADDR", ssl, "", "", same, probe.CodeTLSExpired, handshake, 0},

		{"client certificate demanded", "KAFKA_MTLS_ADDR", ssl, "", "", same, probe.CodeTLSClientCertRequired, handshake, 0},
		{"client certificate and SASL demanded", "KAFKA_MTLS_SASL_ADDR", tls, sha256, "dt_scram", same, probe.CodeTLSClientCertRequired, handshake, 0},

		{"advertised port closed", "KAFKA_TRAP_ADDR", plain, "", "", same, probe.CodeAdvertisedUnreachable, probe.PhaseTopology, 0},
		{"advertised name unknown", "KAFKA_TRAP_NAME_ADDR", plain, "", "", same, probe.CodeAdvertisedUnreachable, probe.PhaseTopology, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			target := realTarget(t, tc.addr, tc.protocol, tc.mechanism, tc.user)
			tc.change(&target)
			r := run(t, kafka.Config{}, target, tc.code, tc.phase, tc.logins)
			if tc.code == ok && (r.Evidence.Product != "Kafka" || r.Evidence.Facts["brokers"] != "1" || r.Evidence.Facts["cluster_id"] == "") {
				t.Errorf("the server is %q with %v", r.Evidence.Product, r.Evidence.Facts)
			}
			if dials := len(r.Evidence.Dials); tc.code == ok && dials != 1 {
				t.Errorf("%d dials, want 1", dials)
			}
		})
	}
}

// run tests a target and holds the report against what is wanted.
func run(t *testing.T, cfg kafka.Config, target probe.Target, code probe.Code, phase probe.Phase, logins int) probe.Report {
	t.Helper()
	sent := 0
	target.BeforeLogin = func(context.Context) error { sent++; return nil }
	r, err := probetest.Runner(t, kafka.New(cfg), serverTimeout).Run(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	if r.Code != code || r.Phase != phase || sent != logins {
		t.Errorf("Run() = %s in %q after %d logins, want %s in %q after %d (server: %s %s; %v; members %v)",
			r.Code, r.Phase, sent, code, phase, logins, r.Evidence.ServerCode, r.Evidence.ServerText, r.Evidence.Facts, r.Evidence.Members)
	}
	probetest.WellFormed(t, r)
	probetest.NoSecrets(t, target, r)
	return r
}

func TestKafkaGSSAPI(t *testing.T) {
	t.Parallel()
	same := func(*probe.Target, *kafka.Kerberos) {}
	withoutPassword := func(t *probe.Target, _ *kafka.Kerberos) { t.Password = secret.Text{} }
	for _, tc := range []struct {
		name, addr, protocol, user string
		change                     func(*probe.Target, *kafka.Kerberos)
		code                       probe.Code
		logins                     int
	}{
		{"password", "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "dt_krb", same, probe.CodeOK, 1},
		{"password, TLS", "KAFKA_SASL_SSL_ADDR", "SASL_SSL", "dt_krb", same, probe.CodeOK, 1},
		{"password, with the realm", "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "dt_krb@TEST.LOCAL", same, probe.CodeOK, 1},
		{"password, without pre-authentication", "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "dt_krb_nopreauth", same, probe.CodeOK, 1},
		{"keytab", "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "dt_krb_keytab", withoutPassword, probe.CodeOK, 1},
		{"keytab without this user", "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "dt_krb", withoutPassword, probe.CodeAuthRequired, 0},
		{"no password and no keytab", "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "dt_krb_keytab", func(t *probe.Target, k *kafka.Kerberos) {
			t.Password, k.Keytab = secret.Text{}, nil
		}, probe.CodeAuthRequired, 0},
		{"wrong password", "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "dt_krb", func(t *probe.Target, _ *kafka.Kerberos) {
			t.Password = secret.New("certainly-wrong-8")
		}, probe.CodeAuthFailed, 1},
		// The KDC's answer comes first, and it cannot be read: nothing was sent.
		{"wrong password, without pre-authentication", "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "dt_krb_nopreauth", func(t *probe.Target, _ *kafka.Kerberos) {
			t.Password = secret.New("certainly-wrong-8")
		}, probe.CodeAuthFailed, 0},
		{"unknown user", "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "dt_nobody", same, probe.CodeAuthFailed, 0},
		{"locked", "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "dt_krb_locked", same, probe.CodeAccountLocked, 0},
		{"account expired", "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "dt_krb_expired", same, probe.CodeAccountLocked, 0},
		{"password expired", "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "dt_krb_pwexpired", same, probe.CodePasswordExpired, 0},
		{"service unknown", "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "dt_krb", func(_ *probe.Target, k *kafka.Kerberos) {
			k.ServiceHost = "" // and so the address's, which has no principal
		}, probe.CodeKDCServiceUnknown, 1},
		{"KDC unreachable", "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "dt_krb", func(_ *probe.Target, k *kafka.Kerberos) {
			k.KDCs = []probe.Address{closed(t)}
		}, probe.CodeKDCUnreachable, 0},
		{"first KDC unreachable", "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "dt_krb", func(_ *probe.Target, k *kafka.Kerberos) {
			k.KDCs = append([]probe.Address{closed(t)}, k.KDCs...)
		}, probe.CodeOK, 1},
		{"first KDC silent", "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "dt_krb", func(_ *probe.Target, k *kafka.Kerberos) {
			k.KDCs = append([]probe.Address{silent(t)}, k.KDCs...)
		}, probe.CodeOK, 1},
		{"KDC silent", "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "dt_krb", func(_ *probe.Target, k *kafka.Kerberos) {
			k.KDCs = []probe.Address{silent(t)}
		}, probe.CodeKDCUnreachable, 0},
		{"the broker's own name", "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "dt_krb", func(t *probe.Target, k *kafka.Kerberos) {
			t.Addresses[0].Host, k.ServiceHost = "LOCALHOST", ""
		}, probe.CodeOK, 1},
		{"a broker in the KDC's place", "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "dt_krb", func(_ *probe.Target, k *kafka.Kerberos) {
			k.KDCs = []probe.Address{address(t, "KAFKA_ADDR")}
		}, probe.CodeKDCUnreachable, 0},
		{"another realm", "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "dt_krb@OTHER.LOCAL", same, probe.CodeKDCUnreachable, 0},
		{"no realm configured", "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "dt_krb", func(_ *probe.Target, k *kafka.Kerberos) {
			*k = kafka.Kerberos{}
		}, probe.CodeKDCUnreachable, 0},
		{"not enabled", "KAFKA_PLAINONLY_ADDR", "SASL_PLAINTEXT", "dt_krb", same, probe.CodeAuthMechanism, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			target := realTarget(t, tc.addr, tc.protocol, "GSSAPI", tc.user)
			realm := kdcs(t)
			tc.change(&target, &realm)
			phase := probe.PhaseLogin
			if tc.code == probe.CodeOK {
				phase = ""
			}
			r := run(t, kafka.Config{Kerberos: realm}, target, tc.code, phase, tc.logins)
			if r.Evidence.Mechanism != "GSSAPI" {
				t.Errorf("the mechanism is %q", r.Evidence.Mechanism)
			}
		})
	}
}

// closed is an address at which nobody listens.
func closed(tb testing.TB) probe.Address {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	_ = l.Close()
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		tb.Fatal(err)
	}
	return probe.Address{Host: "127.0.0.1", Port: uint16(n)}
}

// silent is an address that takes connections and says nothing.
func silent(tb testing.TB) probe.Address {
	tb.Helper()
	s := probetest.Serve(tb, func(_ *probetest.Server, conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	return probe.Address{Host: s.Addr.Addr().String(), Port: s.Addr.Port()}
}

// A KDC is dialled under the policy of the test, and not at all against it.
func TestKafkaForbiddenKDC(t *testing.T) {
	t.Parallel()
	kdc := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) { _ = conn.Close() })
	realm := kafka.Kerberos{Realm: "TEST.LOCAL", KDCs: []probe.Address{{Host: kdc.Addr.Addr().String(), Port: kdc.Addr.Port()}}}
	target := realTarget(t, "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "GSSAPI", "dt_krb")
	runner, err := probe.NewRunner(probetest.Only(t, probetest.Addr(t, "KAFKA_SASL_ADDR")),
		[]probe.Prober{kafka.New(kafka.Config{Kerberos: realm})}, probe.RunnerConfig{Timeout: serverTimeout})
	if err != nil {
		t.Fatal(err)
	}
	r, err := runner.Run(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	if m := r.Evidence.Members; r.Code != probe.CodeKDCUnreachable || len(m) != 1 || m[0].Code != probe.CodeTargetNotAllowed {
		t.Errorf("Run() = %s, members %+v; want %s with a KDC that is not allowed", r.Code, m, probe.CodeKDCUnreachable)
	}
	if n := kdc.Accepted(); n != 0 {
		t.Errorf("%d connections to a forbidden KDC", n)
	}
}

// A listener may advertise an address that policy forbids: it is not dialled.
func TestKafkaForbiddenListener(t *testing.T) {
	t.Parallel()
	target := realTarget(t, "KAFKA_TRAP_ADDR", "PLAINTEXT", "", "")
	runner, err := probe.NewRunner(probetest.Only(t, probetest.Addr(t, "KAFKA_TRAP_ADDR")),
		[]probe.Prober{kafka.New(kafka.Config{})}, probe.RunnerConfig{Timeout: serverTimeout})
	if err != nil {
		t.Fatal(err)
	}
	r, err := runner.Run(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	if r.Code != probe.CodeTargetNotAllowed || r.Phase != probe.PhaseTopology {
		t.Errorf("Run() = %s in %q, want %s in %q", r.Code, r.Phase, probe.CodeTargetNotAllowed, probe.PhaseTopology)
	}
	if m := r.Evidence.Members; len(m) != 1 || m[0].Code != probe.CodeTargetNotAllowed {
		t.Errorf("members: %+v", m)
	}
}

// Every address of the list is tested; one of them makes the login.
func TestKafkaList(t *testing.T) {
	t.Parallel()
	target := realTarget(t, "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "SCRAM-SHA-256", "dt_scram")
	target.Addresses = append([]probe.Address{closed(t)}, target.Addresses[0], target.Addresses[0])
	r := run(t, kafka.Config{}, target, probe.CodeOK, "", 1)
	if r.Strict || len(r.Addresses) != 3 || r.Addresses[0].Code != probe.CodeConnectionRefused ||
		r.Addresses[1].Code != probe.CodeOK || r.Addresses[2].Code != probe.CodeOK {
		t.Errorf("strict %v, addresses %+v", r.Strict, r.Addresses)
	}
}

func BenchmarkKafka(b *testing.B) {
	for _, bc := range []struct{ name, addr, protocol, mechanism, user string }{
		{"PLAINTEXT", "KAFKA_ADDR", "PLAINTEXT", "", ""},
		{"SCRAM-SHA-256", "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "SCRAM-SHA-256", "dt_scram"},
		{"SASL_SSL SCRAM-SHA-512", "KAFKA_SASL_SSL_ADDR", "SASL_SSL", "SCRAM-SHA-512", "dt_scram"},
		{"GSSAPI", "KAFKA_SASL_ADDR", "SASL_PLAINTEXT", "GSSAPI", "dt_krb"},
	} {
		b.Run(bc.name, func(b *testing.B) {
			target := realTarget(b, bc.addr, bc.protocol, bc.mechanism, bc.user)
			runner := probetest.Runner(b, kafka.New(kafka.Config{Kerberos: kdcs(b)}), serverTimeout)
			b.ReportAllocs()
			for b.Loop() {
				if r, err := runner.Run(b.Context(), target); err != nil || !r.OK() {
					b.Fatal(r.Code, err, r.Evidence.ServerText)
				}
			}
		})
	}
}
