package probe_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dialtone/internal/probe"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/secret"
)

// secured is a prober of a protocol that begins with TLS, asks one question and
// is answered.
func secured(ctx context.Context, s *probe.Session) error {
	raw, err := s.Dial(ctx, "tcp", s.Address.String())
	if err != nil {
		return err
	}
	defer func() { _ = raw.Close() }()
	s.Enter(probe.PhaseTLS)
	conn := tls.Client(raw, s.TLSConfig())
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	s.Enter(probe.PhaseProtocol)
	if _, err := conn.Write([]byte("?\n")); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, 1))
	return err
}

// answering is a server of that protocol.
func answering(t *testing.T, config *tls.Config) probe.Address {
	t.Helper()
	s := probetest.Serve(t, func(_ *probetest.Server, raw net.Conn) {
		conn := tls.Server(raw, config)
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			_, _ = conn.Write([]byte("!"))
			_, _ = io.Copy(io.Discard, conn)
		}
	})
	return probe.Address{Host: "127.0.0.1", Port: s.Addr.Port()}
}

// identity is a certificate with its key.
type identity struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// certificate issues one; the issuer nil signs itself.
func certificate(t *testing.T, name string, key crypto.Signer, issuer *identity, change func(*x509.Certificate)) *identity {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
	}
	change(template)
	made := &identity{key: key}
	if issuer == nil {
		issuer = &identity{cert: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.cert, key.Public(), issuer.key)
	if err != nil {
		t.Fatal(err)
	}
	if made.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return made
}

func ecKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func isAuthority(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
}

// isServer is for the address that the tests connect to.
func isServer(c *x509.Certificate) {
	c.IPAddresses, c.ExtKeyUsage = []net.IP{net.IPv4(127, 0, 0, 1)}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
}

// and joins changes.
func and(changes ...func(*x509.Certificate)) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		for _, change := range changes {
			change(c)
		}
	}
}

// chained is what a server sends: its own certificate, and others.
func chained(own *identity, others ...*identity) tls.Certificate {
	sent := tls.Certificate{PrivateKey: own.key, Certificate: [][]byte{own.cert.Raw}}
	for _, o := range others {
		sent.Certificate = append(sent.Certificate, o.cert.Raw)
	}
	return sent
}

func trusting(list ...*identity) secret.Text {
	var b strings.Builder
	for _, i := range list {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})
	}
	return secret.New(b.String())
}

// signedWithSHA1 signs a certificate again, as nobody does any more.
func signedWithSHA1(t *testing.T, c *identity, key *rsa.PrivateKey) *identity {
	t.Helper()
	algorithm := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}, Parameters: asn1.NullRawValue}
	der := probetest.Forge(t, c.cert, c.cert.SerialNumber, algorithm, func(tbs []byte) ([]byte, error) {
		digest := sha1.Sum(tbs)
		return rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA1, digest[:])
	})
	again, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &identity{cert: again, key: c.key}
}

// One handshake says what every strictness makes of it, and why.
func TestCertificateVerdicts(t *testing.T) {
	t.Parallel()
	day := func(n int) time.Time { return time.Now().Add(time.Duration(n)*24*time.Hour - time.Hour) }
	expired := func(c *x509.Certificate) { c.NotBefore, c.NotAfter = day(-20), day(-2) }
	future := func(c *x509.Certificate) { c.NotBefore, c.NotAfter = day(3), day(30) }
	elsewhere := func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"elsewhere.example"} }
	nameless := func(c *x509.Certificate) { c.IPAddresses = nil }
	withAIA := func(c *x509.Certificate) { c.IssuingCertificateURL = []string{"http://ca.example/issuer.crt"} }

	root := certificate(t, "root", ecKey(t), nil, isAuthority)
	other := certificate(t, "other root", ecKey(t), nil, isAuthority)
	middle := certificate(t, "middle", ecKey(t), root, and(isAuthority, withAIA))
	stale := certificate(t, "stale", ecKey(t), root, and(isAuthority, expired))
	rsaRoot, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	numbers := certificate(t, "numbers", rsaRoot, nil, isAuthority)
	weakKey, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	db := func(name string, issuer *identity, change ...func(*x509.Certificate)) *identity {
		return certificate(t, name, ecKey(t), issuer, and(append([]func(*x509.Certificate){isServer}, change...)...))
	}
	direct, below := db("db", root), db("db", middle)
	good := probe.TLSModes{None: probe.CodeOK, CA: probe.CodeOK, Full: probe.CodeOK}
	refuses := func(ca, full probe.Code) probe.TLSModes {
		return probe.TLSModes{None: probe.CodeOK, CA: ca, Full: full}
	}
	refuse := func(c probe.Code) probe.TLSModes { return refuses(c, c) }
	about := func(code probe.Code, subject string) probe.TLSFinding {
		return probe.TLSFinding{Code: code, Subject: "CN=" + subject}
	}
	wants := func(code probe.Code, subject, issuer string) probe.TLSFinding {
		f := about(code, subject)
		f.Issuer = "CN=" + issuer
		return f
	}
	dated := func(code probe.Code, subject string, days int) probe.TLSFinding {
		f := about(code, subject)
		f.Days = days
		return f
	}
	type findings = []probe.TLSFinding
	for _, tc := range []struct {
		name     string
		sent     tls.Certificate
		trust    secret.Text
		modes    probe.TLSModes
		findings findings
		warnings []probe.Code // at full strictness, or when it does not pass, at none
	}{
		{"as it should be", chained(below, middle), trusting(root), good, nil, nil},
		{"the root sent too", chained(below, middle, root), trusting(root), good, nil, nil},
		{"untrusted issuer", chained(direct), trusting(other), refuse(probe.CodeTLSUntrusted), findings{wants(probe.CodeTLSUntrusted, "db", "root")}, nil},
		{"untrusted root, sent", chained(direct, root), trusting(other), refuse(probe.CodeTLSUntrusted), findings{wants(probe.CodeTLSUntrusted, "root", "root")}, nil},
		{"whole chain of another root", chained(below, middle), trusting(other), refuse(probe.CodeTLSUntrusted), findings{wants(probe.CodeTLSUntrusted, "middle", "root")}, nil},
		{"self-signed", chained(db("db", nil)), trusting(root), refuse(probe.CodeTLSUntrusted), findings{wants(probe.CodeTLSUntrusted, "db", "db")}, nil},
		{"the issuer left out", chained(db("db", middle, withAIA)), trusting(root), refuse(probe.CodeTLSChainIncomplete), findings{wants(probe.CodeTLSChainIncomplete, "db", "middle")}, nil},
		{"an issuer of the same name", chained(db("db", middle, withAIA)), trusting(certificate(t, "middle", ecKey(t), nil, isAuthority)), refuse(probe.CodeTLSUntrusted), findings{wants(probe.CodeTLSUntrusted, "db", "middle")}, nil},
		{"the issuer left out, but trusted", chained(below), trusting(middle, root), good, nil, nil},
		{"wrong order", chained(below, root, middle), trusting(root), good, findings{{Code: probe.CodeTLSChainOrder}}, []probe.Code{probe.CodeTLSChainOrder}},
		{"a stranger in the chain", chained(below, other, middle), trusting(root), good, findings{{Code: probe.CodeTLSChainOrder}}, []probe.Code{probe.CodeTLSChainOrder}},
		{"a stranger behind it", chained(below, middle, other), trusting(root), good, nil, nil},
		{"wrong name", chained(db("db", root, elsewhere)), trusting(root), refuses(probe.CodeOK, probe.CodeTLSNameMismatch), findings{about(probe.CodeTLSNameMismatch, "db")}, nil},
		{"common name only", chained(db("127.0.0.1", root, nameless)), trusting(root), refuses(probe.CodeOK, probe.CodeTLSCommonNameOnly), findings{about(probe.CodeTLSCommonNameOnly, "127.0.0.1")}, nil},
		{"the right common name among wrong names", chained(db("127.0.0.1", root, elsewhere)), trusting(root), refuses(probe.CodeOK, probe.CodeTLSNameMismatch), findings{about(probe.CodeTLSNameMismatch, "127.0.0.1")}, nil},
		{"another common name only", chained(db("db", root, nameless)), trusting(root), refuses(probe.CodeOK, probe.CodeTLSNameMismatch), findings{about(probe.CodeTLSNameMismatch, "db")}, nil},
		{"expired", chained(db("db", root, expired)), trusting(root), refuse(probe.CodeTLSExpired), findings{dated(probe.CodeTLSExpired, "db", 3)}, nil},
		{"not yet valid", chained(db("db", root, future)), trusting(root), refuse(probe.CodeTLSNotYetValid), findings{dated(probe.CodeTLSNotYetValid, "db", 3)}, nil},
		{"expired issuer", chained(db("db", stale), stale), trusting(root), refuse(probe.CodeTLSExpired), findings{dated(probe.CodeTLSExpired, "stale", 3)}, nil},
		{
			"everything at once", chained(db("db", root, expired, elsewhere)), trusting(other), refuse(probe.CodeTLSExpired),
			findings{wants(probe.CodeTLSUntrusted, "db", "root"), dated(probe.CodeTLSExpired, "db", 3), about(probe.CodeTLSNameMismatch, "db")},
			nil,
		},
		{"signed with SHA-1", chained(signedWithSHA1(t, db("db", numbers), rsaRoot)), trusting(numbers), refuse(probe.CodeTLSWeakSignature), findings{about(probe.CodeTLSWeakSignature, "db")}, nil},
		{"a small RSA key", chained(certificate(t, "db", weakKey, root, isServer)), trusting(root), good, findings{about(probe.CodeTLSWeakKey, "db")}, []probe.Code{probe.CodeTLSWeakKey}},
		{"not for servers", chained(db("db", root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })), trusting(root), refuse(probe.CodeTLSUntrusted), findings{about(probe.CodeTLSUntrusted, "db")}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			address := answering(t, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{tc.sent}})
			for mode, want := range map[probe.Verify]probe.Code{probe.VerifyNone: tc.modes.None, probe.VerifyCA: tc.modes.CA, probe.VerifyFull: tc.modes.Full} {
				target := toy(address)
				target.TLS = &probe.TLS{Verify: mode, Certificate: tc.trust}
				r := run(t, scripted(secured), target)
				if r.Code != want || (want != probe.CodeOK) != (r.Phase == probe.PhaseTLS) {
					t.Errorf("%s: %s in %q, want %s", mode, r.Code, r.Phase, want)
				}
				if r.Evidence.TLS == nil {
					t.Fatalf("%s: no evidence of the handshake", mode)
				}
				options := cmpopts.IgnoreFields(probe.TLSFinding{}, "Detail", "IssuerKeyID")
				if diff := cmp.Diff(tc.findings, r.Evidence.TLS.Findings, options, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s: findings (-want +got):\n%s", mode, diff)
				}
				if r.Evidence.TLS.Modes != tc.modes || r.Evidence.TLS.Verdict != tc.modes.Full {
					t.Errorf("%s: modes %+v, verdict %s; want %+v", mode, r.Evidence.TLS.Modes, r.Evidence.TLS.Verdict, tc.modes)
				}
				warned := tc.warnings
				if r.OK() && tc.modes.Full != probe.CodeOK {
					warned = append([]probe.Code(nil), append(warned, tc.modes.Full)...)
				}
				if diff := cmp.Diff(warned, r.Evidence.Warnings, cmpopts.EquateEmpty()); r.OK() && diff != "" {
					t.Errorf("%s: warnings (-want +got):\n%s", mode, diff)
				}
			}
		})
	}
}

// Handshakes that fail before there is anything to judge.
func TestHandshakeVerdicts(t *testing.T) {
	t.Parallel()
	root := certificate(t, "root", ecKey(t), nil, isAuthority)
	number, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	server := certificate(t, "db", number, root, isServer)
	config := func(minimum, maximum uint16, suites ...uint16) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{chained(server)}, MinVersion: minimum, MaxVersion: maximum, CipherSuites: suites}
	}
	for _, tc := range []struct {
		name   string
		config *tls.Config
		want   probe.Code
	}{
		{"TLS 1.0 alone", config(tls.VersionTLS10, tls.VersionTLS10), probe.CodeTLSVersion},
		{"TLS 1.1 alone", config(tls.VersionTLS11, tls.VersionTLS11), probe.CodeTLSVersion},
		{"RSA key exchange alone", config(tls.VersionTLS12, tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_GCM_SHA256), probe.CodeTLSCipher},
		{"Triple DES alone", config(tls.VersionTLS12, tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA), probe.CodeTLSCipher},
		{"RC4 alone", config(tls.VersionTLS12, tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA), probe.CodeTLSCipher},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			target := toy(answering(t, tc.config))
			target.TLS = &probe.TLS{Verify: probe.VerifyNone}
			r := run(t, scripted(secured), target)
			if r.Code != tc.want || r.Phase != probe.PhaseTLS {
				t.Errorf("Run() = %s in %q, want %s in %q", r.Code, r.Phase, tc.want, probe.PhaseTLS)
			}
		})
	}
}

// A server of old answers whatever it is offered with the version that it has,
// and one that pays no heed to the offer picks a cipher of its own.
func TestHandshakePicked(t *testing.T) {
	t.Parallel()
	hello := func(version, cipher uint16) []byte {
		body := append([]byte{byte(version >> 8), byte(version)}, make([]byte, 33)...) // random, no session
		body = append(body, byte(cipher>>8), byte(cipher), 0)
		message := append([]byte{2, 0, 0, byte(len(body))}, body...)
		return append([]byte{0x16, 3, 1, 0, byte(len(message))}, message...)
	}
	for _, tc := range []struct {
		name  string
		hello []byte
		want  probe.Code
		fact  string
	}{
		{"SSL 3.0", hello(0x0300, tls.TLS_RSA_WITH_RC4_128_SHA), probe.CodeTLSVersion, "SSLv3"},
		{"TLS 1.0", hello(tls.VersionTLS10, tls.TLS_RSA_WITH_AES_128_CBC_SHA), probe.CodeTLSVersion, "TLS 1.0"},
		{"a cipher not offered", hello(tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_CBC_SHA), probe.CodeTLSCipher, ""},
		{"insufficient security", []byte{0x15, 3, 3, 0, 2, 2, 71}, probe.CodeTLSCipher, ""},
		{"protocol version", []byte{0x15, 3, 3, 0, 2, 2, 70}, probe.CodeTLSVersion, ""},
		{"unknown authority, unasked", []byte{0x15, 3, 3, 0, 2, 2, 48}, probe.CodeTLSHandshake, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = conn.Write(tc.hello)
				_, _ = io.Copy(io.Discard, conn)
			})
			target := toy(probe.Address{Host: "127.0.0.1", Port: s.Addr.Port()})
			target.TLS = &probe.TLS{Verify: probe.VerifyNone}
			r := run(t, scripted(secured), target)
			if r.Code != tc.want || r.Phase != probe.PhaseTLS || r.Evidence.Facts["tls_server_version"] != tc.fact {
				t.Errorf("Run() = %s in %q, version %q; want %s in %q, %q", r.Code, r.Phase, r.Evidence.Facts["tls_server_version"], tc.want, probe.PhaseTLS, tc.fact)
			}
		})
	}
}

// What becomes of the client's certificate is told alike in both versions of
// TLS, though with 1.3 the server says it after the handshake.
func TestClientCertificateVerdicts(t *testing.T) {
	t.Parallel()
	root := certificate(t, "root", ecKey(t), nil, isAuthority)
	other := certificate(t, "other", ecKey(t), nil, isAuthority)
	server := certificate(t, "db", ecKey(t), root, isServer)
	isClient := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }
	ours := certificate(t, "client", ecKey(t), root, isClient)
	hangUp := errors.New("hangs up")
	authorities := x509.NewCertPool()
	authorities.AddCert(root.cert)

	for _, tc := range []struct {
		name   string
		auth   tls.ClientAuthType
		client *identity
		verify func(tls.ConnectionState) error
		want   probe.Code
		fact   string
	}{
		{"not asked for", tls.NoClientCert, ours, nil, probe.CodeOK, ""},
		{"asked for, not needed", tls.RequestClientCert, nil, nil, probe.CodeOK, "requested"},
		{"shown", tls.RequireAndVerifyClientCert, ours, nil, probe.CodeOK, "presented"},
		{"missed", tls.RequireAndVerifyClientCert, nil, nil, probe.CodeTLSClientCertRequired, "requested"},
		{"of another authority", tls.RequireAndVerifyClientCert, certificate(t, "client", ecKey(t), other, isClient), nil, probe.CodeTLSClientCertRejected, "presented"},
		{"expired", tls.RequireAndVerifyClientCert, certificate(t, "client", ecKey(t), root, and(isClient, expired)), nil, probe.CodeTLSClientCertRejected, "presented"},
		{"missed without a word", tls.RequestClientCert, nil, func(tls.ConnectionState) error { return hangUp }, probe.CodeTLSClientCertRequired, "requested"},
	} {
		for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
			t.Run(tc.name+", "+name, func(t *testing.T) {
				t.Parallel()
				config := &tls.Config{
					MinVersion: version, MaxVersion: version, Certificates: []tls.Certificate{chained(server)},
					ClientAuth: tc.auth, ClientCAs: authorities, VerifyConnection: tc.verify,
				}
				s := probetest.Serve(t, func(_ *probetest.Server, raw net.Conn) {
					conn := tls.Server(&mute{Conn: raw, muted: tc.verify != nil}, config)
					if _, err := conn.Read(make([]byte, 1)); err == nil {
						_, _ = conn.Write([]byte("!"))
						_, _ = io.Copy(io.Discard, conn)
					}
				})
				target := toy(probe.Address{Host: "127.0.0.1", Port: s.Addr.Port()})
				target.TLS = &probe.TLS{Verify: probe.VerifyFull, Certificate: bundle(t, root, tc.client)}
				r := run(t, scripted(secured), target)
				if r.Code != tc.want || (r.Phase == probe.PhaseTLS) != (tc.want != probe.CodeOK) {
					t.Errorf("Run() = %s in %q, want %s\n%s", r.Code, r.Phase, tc.want, states(r))
				}
				if got := r.Evidence.Facts["client_certificate"]; got != tc.fact {
					t.Errorf("the fact client_certificate is %q, want %q", got, tc.fact)
				}
			})
		}
	}
}

// A key that came with the authority and cannot be used is named when the
// server asks for it.
func TestClientKeyUnusable(t *testing.T) {
	t.Parallel()
	authority := probetest.NewAuthority(t)
	config := authority.WantsClient(authority.Server(t, nil), tls.VersionTLS13)
	root := certificate(t, "root", ecKey(t), nil, isAuthority)
	strangers := bundle(t, root, &identity{cert: root.cert, key: ecKey(t)})
	target := toy(answering(t, config))
	target.TLS = &probe.TLS{Certificate: secret.New(authority.PEM().Reveal() + strangers.Reveal())}
	r := run(t, scripted(secured), target)
	if r.Code != probe.CodeTLSClientCertRequired || r.Evidence.Facts["client_certificate_fault"] != string(probe.CodeKeyMismatch) {
		t.Errorf("Run() = %s with %v, want %s and the fault %s", r.Code, r.Evidence.Facts, probe.CodeTLSClientCertRequired, probe.CodeKeyMismatch)
	}
}

// A key of 512 bits proves nothing at any strictness. No server of ours can sign
// with one, so this one shows the certificate and no more.
func TestBrokenKey(t *testing.T) {
	t.Parallel()
	modulus := new(big.Int).SetBit(big.NewInt(1), 511, 1)
	root := certificate(t, "root", ecKey(t), nil, isAuthority)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "db"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	isServer(template)
	der, err := x509.CreateCertificate(rand.Reader, template, root.cert, &rsa.PublicKey{N: modulus, E: 65537}, root.key)
	if err != nil {
		t.Fatal(err)
	}
	number, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	shown := &tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: number}}}
	target := toy(answering(t, shown))
	target.TLS = &probe.TLS{Verify: probe.VerifyNone}
	r := run(t, scripted(secured), target)
	if r.Code != probe.CodeTLSWeakKey || r.Phase != probe.PhaseTLS || r.Evidence.TLS == nil || r.Evidence.TLS.Modes.None != probe.CodeTLSWeakKey {
		t.Errorf("Run() = %s in %q with %+v, want %s", r.Code, r.Phase, r.Evidence.TLS, probe.CodeTLSWeakKey)
	}
}

// mute is a connection on which no alert leaves: those are the short records.
type mute struct {
	net.Conn

	muted bool
}

func (m *mute) Write(p []byte) (int, error) {
	const alert = 0x15
	if m.muted && len(p) < 32 && (p[0] == alert || p[0] == 0x17) {
		return len(p), m.Close()
	}
	return m.Conn.Write(p)
}

// bundle is an authority with a client's key beside it, as wallets have it.
func bundle(t *testing.T, root, client *identity) secret.Text {
	t.Helper()
	if client == nil {
		return trusting(root)
	}
	key, err := x509.MarshalPKCS8PrivateKey(client.key)
	if err != nil {
		t.Fatal(err)
	}
	return secret.New(trusting(root, client).Reveal() + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
}
