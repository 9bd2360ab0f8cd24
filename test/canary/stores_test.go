package canary_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/keytab"
	"software.sslmate.com/src/go-pkcs12"

	"dialtone/test/system"
)

// pair is a certificate that signs itself, for a server or a client on
// loopback, with its key.
type pair struct {
	cert        *x509.Certificate
	key         *ecdsa.PrivateKey
	certPEM     []byte
	keyPEM      []byte
	keyInBase64 string
}

func newPair(t *testing.T, name string) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	p := pair{key: key}
	if p.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p.keyInBase64 = base64.StdEncoding.EncodeToString(secret)
	p.certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	p.keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	return p
}

// keyFile registers a private key, as text and as bytes, and writes it to a file.
func (r *registry) keyFile(t *testing.T, field, use string, p pair) (path string) {
	t.Helper()
	r.privateKey(field, use, p)
	return file(t, "key.pem", string(p.keyPEM))
}

// privateKey registers a key by the number that is secret in it, and by its text
// in PEM.
func (r *registry) privateKey(field, use string, p pair) {
	number, err := p.key.Bytes()
	if err != nil {
		panic(err)
	}
	r.found(field, use+", the number", string(number), string(number[:16]), string(number[16:]), new(big.Int).SetBytes(number).String()[:30])
	r.found(field, use+", PEM", string(p.keyPEM), p.keyInBase64[40:62], p.keyInBase64[70:92])
}

func file(t *testing.T, name, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// store registers a file that is sent in Base64, by pieces of both, and gives
// the Base64 with its check sum.
func (r *registry) store(field, use string, content []byte) (text, checkSum string) {
	text = base64.StdEncoding.EncodeToString(content)
	r.found(field, use, text)
	r.found(field, use+", decoded", string(content))
	sum := sha256.Sum256(content)
	return text, hex.EncodeToString(sum[:])
}

// authority is a PEM as callers send it: what is to be trusted, a client's
// certificate with its key, and a comment, which is a marker.
func (r *registry) authority(t *testing.T, field, use string, trusted []byte) (text, checkSum string) {
	t.Helper()
	client := newPair(t, "canary client")
	r.privateKey(field, use+", key", client)
	comment := r.draw(field, use+", comment", anything)
	content := append([]byte("The key of "+comment+"\n"), trusted...)
	content = append(append(content, client.certPEM...), client.keyPEM...)
	return r.store(field, use, content)
}

// pki reads a file of scripts/services.
func pki(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(system.Need(t, "DIALTONE_TEST_PKI"), name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func certificate(t *testing.T, raw []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(raw)
	if block == nil {
		t.Fatal("no PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// trustStore is the authority of scripts/services as PKCS#12 with a password.
func trustStore(t *testing.T, password string) []byte {
	t.Helper()
	raw, err := pkcs12.Modern.EncodeTrustStore([]*x509.Certificate{certificate(t, pki(t, "ca.pem"))}, password)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// keyStore is the client of scripts/services as PKCS#12 with a password.
func (r *registry) keyStore(t *testing.T, use, password string) []byte {
	t.Helper()
	raw := pki(t, "client.key")
	block, _ := pem.Decode(raw)
	if block == nil {
		t.Fatal("client.key is no PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	r.found("KafkaSecurity.key_store_key", use+", the key in it", string(block.Bytes), string(block.Bytes[40:60]), string(block.Bytes[len(block.Bytes)-20:]))
	store, err := pkcs12.Modern.Encode(key, certificate(t, pki(t, "client.pem")), nil, password)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// keytab registers the keys of a keytab.
func (r *registry) keytab(t *testing.T, field, path string) {
	t.Helper()
	k, err := keytab.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range k.Entries {
		r.found(field, "key "+string(rune('0'+i)), string(e.Key.KeyValue), string(e.Key.KeyValue[:16]))
	}
}
