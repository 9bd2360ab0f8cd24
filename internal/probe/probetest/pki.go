package probetest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"

	"dialtone/internal/secret"
)

// Authority issues server certificates for one test.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes a certificate authority.
func NewAuthority(tb testing.TB) *Authority {
	tb.Helper()
	a := &Authority{key: newKey(tb)}
	template := template("dialtone test authority")
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	a.cert = sign(tb, template, template, a.key, a.key)
	return a
}

// PEM is the authority's certificate, as a target takes it.
func (a *Authority) PEM() secret.Text {
	return secret.New(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})))
}

// Server makes a server's TLS configuration with a certificate for 127.0.0.1.
// change may alter the certificate before it is signed.
func (a *Authority) Server(tb testing.TB, change func(*x509.Certificate)) *tls.Config {
	tb.Helper()
	return a.ServerWithKey(tb, newKey(tb), change)
}

// ServerWithKey is Server with a key of the test's choice.
func (a *Authority) ServerWithKey(tb testing.TB, key crypto.Signer, change func(*x509.Certificate)) *tls.Config {
	tb.Helper()
	cert := template("dialtone test server")
	cert.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if change != nil {
		change(cert)
	}
	leaf := sign(tb, cert, a.cert, key, a.key)
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}},
	}
}

// Client is PEM with the authority's certificate, and a client's of its with the
// key, as a target takes it.
func (a *Authority) Client(tb testing.TB) secret.Text {
	tb.Helper()
	cert, key := template("dialtone test client"), newKey(tb)
	cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	leaf := sign(tb, cert, a.cert, key, a.key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	all := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	return secret.New(a.PEM().Reveal() + string(all))
}

// WantsClient makes of a server's configuration one that demands a certificate
// of a, in one version of TLS.
func (a *Authority) WantsClient(config *tls.Config, version uint16) *tls.Config {
	strict := config.Clone()
	strict.MinVersion, strict.MaxVersion = version, version
	strict.ClientAuth, strict.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	strict.ClientCAs.AddCert(a.cert)
	return strict
}

// Below makes a server's configuration with a certificate of an authority below
// a, which says where its issuer's is to be had. Of the chain it sends only what
// Sending adds: the issuer's certificate, and a's.
func (a *Authority) Below(tb testing.TB) (config *tls.Config, issuer, root []byte) {
	tb.Helper()
	middle := &Authority{key: newKey(tb)}
	cert := template("dialtone test issuer")
	cert.IsCA, cert.BasicConstraintsValid, cert.KeyUsage = true, true, x509.KeyUsageCertSign
	middle.cert = sign(tb, cert, a.cert, middle.key, a.key)
	config = middle.Server(tb, func(c *x509.Certificate) { c.IssuingCertificateURL = []string{"http://issuer.example/ca.crt"} })
	return config, middle.cert.Raw, a.cert.Raw
}

// Sending makes a server's configuration that sends more certificates behind its
// own.
func Sending(config *tls.Config, more ...[]byte) *tls.Config {
	own := config.Certificates[0]
	own.Certificate = append(own.Certificate[:1:1], more...)
	longer := config.Clone()
	longer.Certificates = []tls.Certificate{own}
	return longer
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func rsaKey(tb testing.TB) crypto.Signer {
	tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func sign(tb testing.TB, cert, issuer *x509.Certificate, key crypto.Signer, issuerKey *ecdsa.PrivateKey) *x509.Certificate {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, issuer, key.Public(), issuerKey)
	if err != nil {
		tb.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return parsed
}
