package certs_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"dialtone/internal/probe/certs"
	"dialtone/internal/secret"
)

func readPEM(tb testing.TB, name string) *x509.Certificate {
	tb.Helper()
	block, _ := pem.Decode(must(os.ReadFile("testdata/" + name)))
	return must(x509.ParseCertificate(block.Bytes))
}

func file(name string) []byte { return must(os.ReadFile("testdata/" + name)) }

// The stores and keys that openssl and keytool wrote: each gives the client's
// key with its chain, or says what is wrong.
func TestKeyStoreToolStores(t *testing.T) {
	t.Parallel()
	client, authority := file("client.pem"), file("trust.pem")
	bundle := func(key string) []byte { return bytes.Join([][]byte{authority, file(key), client}, nil) }
	for _, tc := range []struct {
		name             string
		content          []byte
		store, key, fail string
		wrong            error // what a wrong password is called
	}{
		{"JKS", file("client-two.jks"), "secret1", "secret2", "secret1", certs.ErrKeyPassword},
		{"JKS, store password unknown", file("client-two.jks"), "", "secret2", "", certs.ErrKeyPassword},
		{"JCEKS", file("client-two.jceks"), "secret1", "secret2", "secret1", certs.ErrKeyPassword},
		{"PKCS#12 of openssl", file("client.p12"), "secret1", "", "secret2", certs.ErrKeyPassword},
		{"PKCS#12 of openssl, legacy", file("client-legacy.p12"), "secret1", "", "secret2", certs.ErrKeyPassword},
		{"PKCS#12 of keytool", file("client-keytool.p12"), "secret1", "secret1", "secret2", certs.ErrKeyPassword},
		{"PEM, PKCS#8", bundle("client.key"), "", "", "", nil},
		{"PEM, SEC 1", bundle("client-sec1.key"), "", "", "", nil},
		{"PEM, needless password", bundle("client.key"), "secret1", "", "", nil},
		{"PEM, PBKDF2 with SHA-1", bundle("client-hmacWithSHA1.key"), "", "secret1", "secret2", certs.ErrKeyPassword},
		{"PEM, PBKDF2 with SHA-384", bundle("client-hmacWithSHA384.key"), "secret1", "", "secret2", certs.ErrKeyPassword},
		{"PEM, Triple DES", bundle("client-des3.key"), "", "secret1", "secret2", certs.ErrKeyPassword},
		{"PEM, PKCS#12 algorithm", bundle("client-v1.key"), "", "secret1", "secret2", certs.ErrKeyPassword},
		{"PEM, legacy encryption", bundle("client-legacy.key"), "", "secret1", "secret2", certs.ErrKeyPassword},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			text := secret.New(inBase64(tc.content))
			got, err := certs.KeyStore(text, secret.New(tc.store), secret.New(tc.key))
			if err != nil {
				t.Fatal(err)
			}
			want := [][]byte{readPEM(t, "client.pem").Raw, readPEM(t, "trust.pem").Raw}
			if len(got.Certificate) != 2 || !bytes.Equal(got.Certificate[0], want[0]) || !bytes.Equal(got.Certificate[1], want[1]) {
				t.Errorf("a chain of %d certificates, want the client's and its authority's", len(got.Certificate))
			}
			showsItself(t, got)
			if tc.wrong == nil {
				return
			}
			if _, err := certs.KeyStore(text, secret.New(tc.store), secret.New(tc.fail)); !errors.Is(err, tc.wrong) {
				t.Errorf("with a wrong key password: %v, want %v", err, tc.wrong)
			}
		})
	}
}

// showsItself proves key and certificate in a handshake.
func showsItself(t *testing.T, cert *tls.Certificate) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(readPEM(t, "trust.pem"))
	near, far := net.Pipe()
	server := tls.Server(far, &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots,
	})
	client := tls.Client(near, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*cert}, InsecureSkipVerify: true})
	go func() { _, _ = client.Read(make([]byte, 1)) }()
	defer func() { _ = near.Close() }()
	if err := server.HandshakeContext(t.Context()); err != nil {
		t.Errorf("the certificate does not serve in a handshake: %v", err)
	}
}

func TestKeyStoreRefuses(t *testing.T) {
	t.Parallel()
	a, b := newIssuer(t, "a"), newIssuer(t, "b")
	pkcs8 := func(key any) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})
	}
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	certificate := inPEM(a.cert)
	for _, tc := range []struct {
		name       string
		content    []byte
		store, key string
		want       error
	}{
		{"nothing", nil, "", "", certs.ErrEmpty},
		{"unknown", []byte("hello"), "", "", certs.ErrFormat},
		{"a trust store in its place", file("trust.jks"), "secret1", "", certs.ErrNoKey},
		{"a certificate in its place", a.cert.Raw, "", "", certs.ErrNoKey},
		{"a PKCS#12 trust store in its place", file("keytool.p12"), "secret1", "", certs.ErrNoKey},
		{"JKS, wrong store password", file("client-two.jks"), "secret2", "secret2", certs.ErrPassword},
		{"JKS, no key password", file("client-two.jks"), "secret1", "", certs.ErrKeyPassword},
		{"JCEKS, wrong store password", file("client-two.jceks"), "wrong", "secret2", certs.ErrPassword},
		{"JCEKS, long key password", file("client-two.jceks"), "secret1", strings.Repeat("x", 129), certs.ErrKeyPassword},
		{"PKCS#12, wrong store password", file("client.p12"), "wrong", "secret1", certs.ErrPassword},
		{"PKCS#12, key password beyond the format", file("client.p12"), "secret1", "😀", certs.ErrKeyPassword},
		{"PEM, no password", append(file("client-des3.key"), certificate...), "", "", certs.ErrKeyPassword},
		{"PEM, legacy, no password", append(file("client-legacy.key"), certificate...), "", "", certs.ErrKeyPassword},
		{"PEM, scrypt", append(file("client-scrypt.key"), certificate...), "", "secret1", certs.ErrInvalid},
		{"key alone", pkcs8(a.key), "", "", certs.ErrNoCertificate},
		{"key of another certificate", append(pkcs8(b.key), certificate...), "", "", certs.ErrKeyMismatch},
		{"key of another kind", append(pkcs8(edKey), certificate...), "", "", certs.ErrKeyMismatch},
		{"PKCS#12, key of another certificate", must(pkcs12.Modern.Encode(b.key, a.cert, nil, password)), password, "", certs.ErrKeyMismatch},
		{"key of garbage", append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{0x30, 0}}), certificate...), "", "", certs.ErrInvalid},
		{"RSA key of garbage", append(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte{0x30, 0}}), certificate...), "", "", certs.ErrInvalid},
		{"key of 9 KiB", append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: make([]byte, 9<<10)}), certificate...), "", "", certs.ErrInvalid},
		{"key of too many rounds", append(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: sealedKey(t, 1<<40)}), certificate...), "", "p", certs.ErrInvalid},
		{"key of no rounds", append(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: sealedKey(t, 0)}), certificate...), "", "p", certs.ErrInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := certs.KeyStore(secret.New(inBase64(tc.content)), secret.New(tc.store), secret.New(tc.key))
			if got != nil || !errors.Is(err, tc.want) {
				t.Fatalf("KeyStore() = %v, %v, want %v", got != nil, err, tc.want)
			}
			ofOneKind(t, err)
		})
	}
}

// sealedKey is an encrypted private key that takes so many rounds to open.
func sealedKey(t *testing.T, rounds int) []byte {
	t.Helper()
	return must(asn1.Marshal(sequence(t, pbes2(t, []byte("saltsalt"), make([]byte, 16), rounds), make([]byte, 32))))
}

// Every encoder of go-pkcs12, and passwords in every alphabet, are read back.
func TestKeyStoreRoundTrip(t *testing.T) {
	t.Parallel()
	a, b := newIssuer(t, "a"), newIssuer(t, "b")
	key := must(rsa.GenerateKey(rand.Reader, 2048))
	number := selfSigned(t, "rsa", key.Public(), key)
	for name, encoder := range map[string]*pkcs12.Encoder{
		"modern": pkcs12.Modern, "3DES": pkcs12.LegacyDES, "RC2": pkcs12.LegacyRC2, "2026": pkcs12.Modern2026,
	} {
		for _, phrase := range []string{"", password, "密码"} {
			t.Run(name+" "+phrase, func(t *testing.T) {
				t.Parallel()
				for _, data := range [][]byte{
					must(encoder.Encode(a.key, a.cert, []*x509.Certificate{b.cert}, phrase)),
					must(encoder.Encode(key, number, nil, phrase)),
				} {
					got, err := certs.KeyStore(secret.New(inBase64(data)), secret.New(phrase), secret.Text{})
					if err != nil {
						t.Fatal(err)
					}
					if len(got.Certificate) != 1 || got.Leaf == nil {
						t.Errorf("%d certificates, want the one of the key without a stranger", len(got.Certificate))
					}
				}
			})
		}
	}
	t.Run("no encryption", func(t *testing.T) {
		t.Parallel()
		data := must(pkcs12.Passwordless.Encode(a.key, a.cert, nil, ""))
		if _, err := certs.KeyStore(secret.New(inBase64(data)), secret.Text{}, secret.Text{}); err != nil {
			t.Error(err)
		}
	})
}

// Content to be trusted may carry a client's key; most does not.
func TestClientKey(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		file, password string
		has            bool
		want           error
	}{
		{"client.p12", "secret1", true, nil},
		{"client-keytool.p12", "secret1", true, nil},
		{"client.p12", "secret2", false, certs.ErrPassword},
		{"keytool.p12", "secret1", false, nil},
		{"trust.pem", "", false, nil},
		{"trust.jks", "secret1", false, nil},
		{"client-two.jks", "secret1", false, certs.ErrKeyPassword},
		{"make.sh", "", false, certs.ErrFormat},
	} {
		t.Run(tc.file+" "+tc.password, func(t *testing.T) {
			t.Parallel()
			got, err := certs.ClientKey(secret.New(inBase64(file(tc.file))), secret.New(tc.password))
			if (got != nil) != tc.has || !errors.Is(err, tc.want) {
				t.Errorf("ClientKey() = a key %v, %v; want %v, %v", got != nil, err, tc.has, tc.want)
			}
		})
	}
}

func FuzzKeyStore(f *testing.F) {
	for _, name := range must(filepath.Glob("testdata/*")) {
		f.Add(must(os.ReadFile(name)), "secret1", "secret2")
		f.Add(append(must(os.ReadFile(name)), file("client.pem")...), "", "secret1")
	}
	f.Fuzz(func(t *testing.T, data []byte, storePassword, keyPassword string) {
		start := time.Now()
		got, err := certs.KeyStore(secret.New(inBase64(data)), secret.New(storePassword), secret.New(keyPassword))
		if (err == nil) != (got != nil) {
			t.Errorf("KeyStore() = %v, %v", got, err)
		}
		if err != nil {
			ofOneKind(t, err)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}
