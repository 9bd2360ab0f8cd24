package certs_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"dialtone/internal/probe/certs"
	"dialtone/internal/secret"
)

const password = "pässword 1"

// issuer is a self-signed authority with its key.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(tb testing.TB, name string) issuer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return issuer{cert: selfSigned(tb, name, key.Public(), key), key: key}
}

func selfSigned(tb testing.TB, name string, public, private any) *x509.Certificate {
	tb.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

func inPEM(list ...*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range list {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return b.Bytes()
}

func inBase64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// inLines breaks Base64 as mail and openssl do.
func inLines(s, end string) string {
	var b strings.Builder
	for len(s) > 64 {
		b.WriteString(s[:64] + end)
		s = s[64:]
	}
	return b.String() + s + end
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func trusts(pool *x509.CertPool, cert *x509.Certificate) bool {
	_, err := cert.Verify(x509.VerifyOptions{Roots: pool})
	return err == nil
}

func TestAuthorityFormats(t *testing.T) {
	t.Parallel()
	a, b := newIssuer(t, "a"), newIssuer(t, "b")
	both := []*x509.Certificate{a.cert, b.cert}
	keyBlock := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(a.key))})
	store := func(e *pkcs12.Encoder) string { return inBase64(must(e.EncodeTrustStore(both, password))) }
	keyStore := func(e *pkcs12.Encoder) string {
		return inBase64(must(e.Encode(a.key, a.cert, []*x509.Certificate{b.cert}, password)))
	}
	for _, tc := range []struct {
		name, input string
		count       int
	}{
		{"PEM", inBase64(inPEM(a.cert)), 1},
		{"PEM with two certificates", inBase64(inPEM(both...)), 2},
		{"PEM after a byte order mark and comments", inBase64(append([]byte("\ufeffBag Attributes\n  x: y\n"), inPEM(a.cert)...)), 1},
		{"PEM beside a private key", inBase64(append(keyBlock, inPEM(a.cert)...)), 1},
		{"PEM not encoded", string(inPEM(both...)), 2},
		{"PEM with CRLF", inBase64(bytes.ReplaceAll(inPEM(a.cert), []byte("\n"), []byte("\r\n"))), 1},
		{"DER", inBase64(a.cert.Raw), 1},
		{"in lines", inLines(inBase64(a.cert.Raw), "\n"), 1},
		{"in lines with CRLF", inLines(inBase64(a.cert.Raw), "\r\n"), 1},
		{"URL alphabet", base64.URLEncoding.EncodeToString(a.cert.Raw), 1},
		{"URL alphabet without padding", base64.RawURLEncoding.EncodeToString(a.cert.Raw), 1},
		{"no padding", base64.RawStdEncoding.EncodeToString(a.cert.Raw), 1},
		{"trust store, modern", store(pkcs12.Modern), 2},
		{"trust store, 3DES", store(pkcs12.LegacyDES), 2},
		{"trust store, RC2", store(pkcs12.LegacyRC2), 2},
		{"key store, modern", keyStore(pkcs12.Modern), 2},
		{"key store, 3DES", keyStore(pkcs12.LegacyDES), 2},
		{"key store, RC2", keyStore(pkcs12.LegacyRC2), 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			pool, err := certs.Authority(secret.New(tc.input), "", secret.New(password))
			if err != nil {
				t.Fatal(err)
			}
			got := 0
			for _, c := range both {
				if trusts(pool, c) {
					got++
				}
			}
			if got != tc.count || !trusts(pool, a.cert) {
				t.Errorf("Authority() trusts %d of the two, want %d", got, tc.count)
			}
		})
	}
}

func TestAuthorityWithoutStorePassword(t *testing.T) {
	t.Parallel()
	a := newIssuer(t, "a")
	for name, encoder := range map[string]*pkcs12.Encoder{"no encryption": pkcs12.Passwordless, "empty password": pkcs12.Modern} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := must(encoder.EncodeTrustStore([]*x509.Certificate{a.cert}, ""))
			pool, err := certs.Authority(secret.New(inBase64(data)), "", secret.Text{})
			if err != nil {
				t.Fatal(err)
			}
			if !trusts(pool, a.cert) {
				t.Error("Authority() does not trust the certificate")
			}
		})
	}
}

func TestAuthorityChecksum(t *testing.T) {
	t.Parallel()
	a := newIssuer(t, "a")
	content := inPEM(a.cert)
	text := inLines(inBase64(content), "\r\n")
	sum := func(b string) string { s := sha256.Sum256([]byte(b)); return hex.EncodeToString(s[:]) }
	for _, tc := range []struct {
		name, checksum string
		want           error
	}{
		{"of the content", sum(string(content)), nil},
		{"of the content, upper case", strings.ToUpper(sum(string(content))), nil},
		{"of the text", sum(text), nil},
		{"of the text in one line", sum(inBase64(content)), nil},
		{"with blanks around", " " + sum(text) + "\n", nil},
		{"none", "", nil},
		{"of something else", sum("else"), certs.ErrChecksum},
		{"cut short", sum(text)[:63], certs.ErrChecksum},
		{"not hex", strings.Repeat("z", 64), certs.ErrChecksum},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if _, err := certs.Authority(secret.New(text), tc.checksum, secret.Text{}); !errors.Is(err, tc.want) {
				t.Errorf("Authority() = %v, want %v", err, tc.want)
			}
		})
	}
}

func TestAuthorityRefuses(t *testing.T) {
	t.Parallel()
	a := newIssuer(t, "a")
	modulus := new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 17000), big.NewInt(1))
	huge := selfSigned(t, "huge", &rsa.PublicKey{N: modulus, E: 1<<31 - 1}, a.key)
	store := must(pkcs12.Modern.EncodeTrustStore([]*x509.Certificate{a.cert}, password))
	keyStore := must(pkcs12.LegacyDES.Encode(a.key, a.cert, nil, password))
	slow := func(rounds int) string {
		return inBase64(must(pkcs12.Modern.WithIterations(rounds).EncodeTrustStore([]*x509.Certificate{a.cert}, password)))
	}
	for _, tc := range []struct {
		name, input, password string
		want                  error
	}{
		{"nothing", "", "", certs.ErrInvalid},
		{"blanks", " \n", "", certs.ErrInvalid},
		{"not Base64", "!!!", "", certs.ErrInvalid},
		{"Base64 of nothing known", inBase64([]byte("hello")), "", certs.ErrInvalid},
		{"too long", strings.Repeat("A", 1<<20+1), "", certs.ErrInvalid},
		{"PEM without a certificate", inBase64(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte{1}})), "", certs.ErrInvalid},
		{"PEM of garbage", inBase64(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}})), "", certs.ErrInvalid},
		{"PEM cut off", inBase64(inPEM(a.cert)[:100]), "", certs.ErrInvalid},
		{"DER cut off", inBase64(a.cert.Raw[:100]), "", certs.ErrInvalid},
		{"DER with a tail", inBase64(append(bytes.Clone(a.cert.Raw), 0)), "", certs.ErrInvalid},
		{"too many", string(bytes.Repeat(inPEM(a.cert), 513)), "", certs.ErrInvalid},
		{"a key of 17,001 bits", inBase64(inPEM(a.cert, huge)), "", certs.ErrInvalid},
		{"a Java key store", inBase64([]byte{0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2}), "", certs.ErrInvalid},
		{"trust store, wrong password", inBase64(store), "wrong", certs.ErrPassword},
		{"trust store, no password", inBase64(store), "", certs.ErrPassword},
		{"key store, wrong password", inBase64(keyStore), "wrong", certs.ErrPassword},
		{"password beyond the format", inBase64(store), "😀", certs.ErrPassword},
		{"password too long", inBase64(store), strings.Repeat("x", 1025), certs.ErrPassword},
		{"trust store cut off", inBase64(store[:len(store)/2]), password, certs.ErrInvalid},
		{"too many rounds", slow(500_001), password, certs.ErrInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			pool, err := certs.Authority(secret.New(tc.input), "", secret.New(tc.password))
			if !errors.Is(err, tc.want) || pool != nil {
				t.Fatalf("Authority() = %v, %v, want %v", pool, err, tc.want)
			}
			if tc.password != "" && strings.Contains(err.Error(), tc.password) {
				t.Errorf("the error %q holds the password", err)
			}
		})
	}
}

// What a private key would cost is hidden until its part of the store is open;
// it must not be run then.
func TestAuthorityLeavesPrivateKeysAlone(t *testing.T) {
	t.Parallel()
	a := newIssuer(t, "a")
	done := make(chan error, 1)
	go func() {
		_, err := certs.Authority(secret.New(inBase64(hiddenRounds(t, a))), "", secret.New(password))
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, certs.ErrInvalid) || !strings.Contains(err.Error(), "exactly one key bag") {
			t.Errorf("Authority() = %v, want the second key refused", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a key of 2^40 rounds is being opened")
	}
}

// Stores that the tools of the trade write.
func TestAuthorityToolStores(t *testing.T) {
	t.Parallel()
	a := newIssuer(t, "a")
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "a.pem"), filepath.Join(dir, "a.key")
	write(t, certFile, inPEM(a.cert))
	write(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(a.key))}))
	for _, tc := range []struct {
		name string
		args []string
	}{
		{"openssl certificates", []string{"openssl", "pkcs12", "-export", "-nokeys", "-in", certFile, "-passout", "pass:secret1", "-out"}},
		{"openssl key store", []string{"openssl", "pkcs12", "-export", "-inkey", keyFile, "-in", certFile, "-passout", "pass:secret1", "-out"}},
		{"openssl without encryption", []string{"openssl", "pkcs12", "-export", "-nokeys", "-certpbe", "NONE", "-in", certFile, "-passout", "pass:secret1", "-out"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(tc.args[0]); err != nil {
				if os.Getenv("CI") == "true" {
					t.Fatalf("no %s here: scripts/services install", tc.args[0])
				}
				t.Skipf("no %s here: scripts/services install", tc.args[0])
			}
			file := filepath.Join(dir, strings.ReplaceAll(tc.name, " ", "_"))
			args := append(tc.args[1:], file)
			if out, err := exec.CommandContext(t.Context(), tc.args[0], args...).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", tc.args[0], err, out)
			}
			opens(t, must(os.ReadFile(file)), a.cert)
		})
	}
}

// testdata/keytool.p12 was written by the keytool of Java 17, which a machine
// need not have: -importcert -storetype PKCS12 of keytool.pem.
func TestAuthorityKeytoolStore(t *testing.T) {
	t.Parallel()
	block, _ := pem.Decode(must(os.ReadFile("testdata/keytool.pem")))
	opens(t, must(os.ReadFile("testdata/keytool.p12")), must(x509.ParseCertificate(block.Bytes)))
}

// opens holds a store to its one certificate and its password "secret1".
func opens(t *testing.T, store []byte, cert *x509.Certificate) {
	t.Helper()
	pool, err := certs.Authority(secret.New(inBase64(store)), "", secret.New("secret1"))
	if err != nil {
		t.Fatal(err)
	}
	if !trusts(pool, cert) {
		t.Error("Authority() does not trust the certificate")
	}
	if _, err := certs.Authority(secret.New(inBase64(store)), "", secret.New("wrong1")); !errors.Is(err, certs.ErrPassword) {
		t.Errorf("with a wrong password: %v, want %v", err, certs.ErrPassword)
	}
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func FuzzAuthority(f *testing.F) {
	a := newIssuer(f, "a")
	for _, data := range [][]byte{
		inPEM(a.cert), a.cert.Raw,
		must(pkcs12.Modern.WithIterations(2).EncodeTrustStore([]*x509.Certificate{a.cert}, "p")),
		must(pkcs12.LegacyDES.WithIterations(2).Encode(a.key, a.cert, nil, "p")),
		must(pkcs12.Passwordless.EncodeTrustStore([]*x509.Certificate{a.cert}, "")),
	} {
		f.Add(data, "p")
		f.Add(data, "")
	}
	f.Fuzz(func(t *testing.T, data []byte, password string) {
		pool, err := certs.Authority(secret.New(inBase64(data)), "", secret.New(password))
		switch {
		case err == nil && pool == nil:
			t.Error("neither a pool nor an error")
		case err != nil && !errors.Is(err, certs.ErrInvalid) && !errors.Is(err, certs.ErrPassword):
			t.Errorf("an error of no kind: %v", err)
		}
	})
}
