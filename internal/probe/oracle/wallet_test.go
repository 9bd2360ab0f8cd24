package oracle_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"testing"

	"software.sslmate.com/src/go-pkcs12"

	"dialtone/internal/probe"
	"dialtone/internal/probe/oracle/oracletest"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/secret"
)

// wallet is an ewallet.p12: the authority's certificate, and a client's key
// with its own.
func wallet(t *testing.T, authority *probetest.Authority, password string) secret.Text {
	t.Helper()
	client := authority.Server(t, func(c *x509.Certificate) {
		c.IPAddresses, c.ExtKeyUsage = nil, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}).Certificates[0]
	block, _ := pem.Decode([]byte(authority.PEM().Reveal()))
	if block == nil {
		t.Fatal("the authority is no PEM")
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	store, err := pkcs12.Modern.Encode(client.PrivateKey, client.Leaf, []*x509.Certificate{ca}, password)
	if err != nil {
		t.Fatal(err)
	}
	return secret.New(base64.StdEncoding.EncodeToString(store))
}

func TestWallet(t *testing.T) {
	t.Parallel()
	const password = "Wallet-Pass1"
	authority, rogue := probetest.NewAuthority(t), probetest.NewAuthority(t)
	for _, tc := range []struct {
		name     string
		issuer   *probetest.Authority // of the wallet
		password string
		code     probe.Code
	}{
		{"right", authority, password, probe.CodeOK},
		{"another authority", rogue, password, probe.CodeTLSUntrusted},
		{"wrong password", authority, "wrong", probe.CodeCertPassword},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, oracletest.Server{TLS: authority.Server(t, nil), Renegotiate: true})
			goal := target(s.Server)
			goal.TLS = &probe.TLS{
				Verify: probe.VerifyCA, Name: "ewallet.p12",
				Certificate: wallet(t, tc.issuer, password), Password: secret.New(tc.password),
			}
			if r := probeIt(t, goal); r.Code != tc.code {
				t.Errorf("Run() = %s in %q, want %s", r.Code, r.Phase, tc.code)
			}
		})
	}
}
