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
	"encoding/asn1"
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

	"github.com/google/go-cmp/cmp"
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
	_, err := cert.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}

func TestTrustStoreFormats(t *testing.T) {
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
			pool, err := certs.TrustStore(secret.New(tc.input), "", secret.New(password))
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
				t.Errorf("TrustStore() trusts %d of the two, want %d", got, tc.count)
			}
		})
	}
}

func TestTrustStoreWithoutStorePassword(t *testing.T) {
	t.Parallel()
	a := newIssuer(t, "a")
	for name, encoder := range map[string]*pkcs12.Encoder{"no encryption": pkcs12.Passwordless, "empty password": pkcs12.Modern} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := must(encoder.EncodeTrustStore([]*x509.Certificate{a.cert}, ""))
			pool, err := certs.TrustStore(secret.New(inBase64(data)), "", secret.Text{})
			if err != nil {
				t.Fatal(err)
			}
			if !trusts(pool, a.cert) {
				t.Error("TrustStore() does not trust the certificate")
			}
		})
	}
}

func TestTrustStoreChecksum(t *testing.T) {
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
		{"as sha256sum prints it", sum(string(content)) + "  ca.pem\n", nil},
		{"with colons", colons(sum(string(content))), nil},
		{"none", "", nil},
		{"of something else", sum("else"), certs.ErrChecksum},
		{"cut short", sum(text)[:63], certs.ErrChecksum},
		{"not hex", strings.Repeat("z", 64), certs.ErrChecksum},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if _, err := certs.TrustStore(secret.New(text), tc.checksum, secret.Text{}); !errors.Is(err, tc.want) {
				t.Errorf("TrustStore() = %v, want %v", err, tc.want)
			}
		})
	}
}

func TestTrustStoreRefuses(t *testing.T) {
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
		{"nothing", "", "", certs.ErrEmpty},
		{"blanks", " \n", "", certs.ErrEmpty},
		{"padding alone", "====", "", certs.ErrEmpty},
		{"not Base64", "!!!", "", certs.ErrNotBase64},
		{"Base64 of nothing known", inBase64([]byte("hello")), "", certs.ErrFormat},
		{"too long", strings.Repeat("A", 1<<20+1), "", certs.ErrInvalid},
		{"PEM without a certificate", inBase64(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte{1}})), "", certs.ErrNoCertificate},
		{"PEM of garbage", inBase64(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}})), "", certs.ErrInvalid},
		{"PEM cut off", inBase64(inPEM(a.cert)[:100]), "", certs.ErrNoCertificate},
		{"DER cut off", inBase64(a.cert.Raw[:100]), "", certs.ErrInvalid},
		{"DER with a tail", inBase64(append(bytes.Clone(a.cert.Raw), 0)), "", certs.ErrInvalid},
		{"too many", string(bytes.Repeat(inPEM(a.cert), 513)), "", certs.ErrInvalid},
		{"a key of 17,001 bits", inBase64(inPEM(a.cert, huge)), "", certs.ErrInvalid},
		{"encoded twice", inBase64([]byte(inBase64(inPEM(a.cert)))), "", certs.ErrFormat},
		{"encoded twice, DER", inBase64([]byte(inBase64(a.cert.Raw))), "", certs.ErrFormat},
		{"PKCS#7", inBase64(pkcs7(t, a.cert)), "", certs.ErrFormat},
		{"PKCS#7 in PEM", inBase64(pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: pkcs7(t, a.cert)})), "", certs.ErrFormat},
		{"an auto-login wallet", inBase64([]byte{0xa1, 0xf8, 0x4e, 0x36, 0, 0, 0, 6}), "", certs.ErrFormat},
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
			pool, err := certs.TrustStore(secret.New(tc.input), "", secret.New(tc.password))
			if !errors.Is(err, tc.want) || pool != nil {
				t.Fatalf("TrustStore() = %v, %v, want %v", pool, err, tc.want)
			}
			ofOneKind(t, err)
			if tc.password != "" && strings.Contains(err.Error(), tc.password) {
				t.Errorf("the error %q holds the password", err)
			}
		})
	}
}

// What a private key would cost is hidden until its part of the store is open;
// it must not be run then.
func TestTrustStoreLeavesPrivateKeysAlone(t *testing.T) {
	t.Parallel()
	a := newIssuer(t, "a")
	done := make(chan error, 1)
	go func() {
		_, err := certs.TrustStore(secret.New(inBase64(hiddenRounds(t, a))), "", secret.New(password))
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, certs.ErrInvalid) || !strings.Contains(err.Error(), "exactly one key bag") {
			t.Errorf("TrustStore() = %v, want the second key refused", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a key of 2^40 rounds is being opened")
	}
}

// Stores that the tools of the trade write.
func TestTrustStoreToolStores(t *testing.T) {
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
func TestTrustStoreKeytoolStore(t *testing.T) {
	t.Parallel()
	block, _ := pem.Decode(must(os.ReadFile("testdata/keytool.pem")))
	opens(t, must(os.ReadFile("testdata/keytool.p12")), must(x509.ParseCertificate(block.Bytes)))
}

// opens holds a store to its one certificate and its password "secret1".
func opens(t *testing.T, store []byte, cert *x509.Certificate) {
	t.Helper()
	pool, err := certs.TrustStore(secret.New(inBase64(store)), "", secret.New("secret1"))
	if err != nil {
		t.Fatal(err)
	}
	if !trusts(pool, cert) {
		t.Error("TrustStore() does not trust the certificate")
	}
	if _, err := certs.TrustStore(secret.New(inBase64(store)), "", secret.New("wrong1")); !errors.Is(err, certs.ErrPassword) {
		t.Errorf("with a wrong password: %v, want %v", err, certs.ErrPassword)
	}
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// colons writes hex as openssl does.
func colons(s string) string {
	var parts []string
	for i := 0; i < len(s); i += 2 {
		parts = append(parts, strings.ToUpper(s[i:i+2]))
	}
	return strings.Join(parts, ":")
}

// A checksum that does not fit is told beside those that would have.
func TestChecksumError(t *testing.T) {
	t.Parallel()
	content := must(os.ReadFile("testdata/trust.pem"))
	text := inLines(inBase64(content), "\n")
	sha := func(b string) string { s := sha256.Sum256([]byte(b)); return hex.EncodeToString(s[:]) }
	for _, tc := range []struct{ name, given, shown, algorithm string }{
		{"another file's", sha("else"), sha("else"), ""},
		{"MD5", strings.Repeat("A1", 16), strings.Repeat("a1", 16), "MD5"},
		{"SHA-1", strings.Repeat("a1", 20), strings.Repeat("a1", 20), "SHA-1"},
		{"SHA-512", strings.Repeat("a1", 64), strings.Repeat("a1", 64), "SHA-512"},
		{"no checksum, of the length of an MD5", strings.Repeat("xy", 16), strings.Repeat("xy", 16), ""},
		{"endless", strings.Repeat("a", 1000), strings.Repeat("a", 128), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := certs.TrustStore(secret.New(text), tc.given, secret.Text{})
			got, ok := errors.AsType[*certs.ChecksumError](err)
			if !ok || !errors.Is(err, certs.ErrChecksum) {
				t.Fatalf("TrustStore() = %v, want a ChecksumError", err)
			}
			want := certs.ChecksumError{Given: tc.shown, Content: sha(string(content)), Base64: sha(text), Algorithm: tc.algorithm}
			if diff := cmp.Diff(want, *got); diff != "" {
				t.Errorf("the error (-want +got):\n%s", diff)
			}
			for _, each := range []string{want.Content, want.Base64, want.Algorithm} {
				if tc.algorithm == "" && !strings.Contains(err.Error(), each) || !strings.Contains(err.Error(), tc.algorithm) {
					t.Errorf("the error %q does not say %q", err, each)
				}
			}
		})
	}
}

// pkcs7 is signed data that holds a certificate and signs nothing.
func pkcs7(t *testing.T, c *x509.Certificate) []byte {
	t.Helper()
	data, signed := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	none := asn1.RawValue{Tag: asn1.TagSet, IsCompound: true}
	body := must(asn1.Marshal(sequence(t, 1, none, sequence(t, data), wrapped(c.Raw), none)))
	return must(asn1.Marshal(sequence(t, signed, wrapped(body))))
}

// kinds are all that an error can be.
func kinds() []error {
	return []error{
		certs.ErrEmpty, certs.ErrNotBase64, certs.ErrChecksum, certs.ErrFormat, certs.ErrInvalid, certs.ErrNoCertificate,
		certs.ErrPassword, certs.ErrNoKey, certs.ErrKeyPassword, certs.ErrKeyMismatch,
	}
}

// ofOneKind checks that an error can be told by exactly one of the kinds.
func ofOneKind(t *testing.T, err error) {
	t.Helper()
	n := 0
	for _, kind := range kinds() {
		if errors.Is(err, kind) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("an error of %d kinds: %v", n, err)
	}
}

func FuzzChecksum(f *testing.F) {
	f.Add("QUJD", "b5d4045c3f466fa91fe2cc6abe79232a1a57cdf104f7a26e716e0a1e2789df78")
	f.Add("QU\nJD\n", "B5:D4:04 file")
	f.Add("QUJD", "d41d8cd98f00b204e9800998ecf8427e")
	f.Fuzz(func(t *testing.T, text, checksum string) {
		_, err := certs.TrustStore(secret.New(text), checksum, secret.Text{})
		_, without := certs.TrustStore(secret.New(text), "", secret.Text{})
		wrong, refused := errors.AsType[*certs.ChecksumError](err)
		switch {
		case !refused && (err == nil) != (without == nil):
			t.Errorf("with a checksum that fits: %v; without one: %v", err, without)
		case refused && (wrong.Given == wrong.Content || wrong.Given == wrong.Base64 || len(wrong.Given) > 128):
			t.Errorf("refused, though it fits or is long: %+v", wrong)
		}
	})
}

func FuzzTrustStore(f *testing.F) {
	a := newIssuer(f, "a")
	for _, name := range must(filepath.Glob("testdata/*")) {
		f.Add(must(os.ReadFile(name)), "secret1")
	}
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
		pool, err := certs.TrustStore(secret.New(inBase64(data)), "", secret.New(password))
		if (err == nil) != (pool != nil) {
			t.Errorf("TrustStore() = %v, %v", pool, err)
		}
		if err != nil {
			ofOneKind(t, err)
		}
	})
}
