package oracle_test

import (
	"crypto/tls"
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

// wallet is an ewallet.p12: the certificate of the authority that signs the
// server's, and a client's key whose certificate the issuer signed.
func wallet(t *testing.T, authority, issuer *probetest.Authority, password string) secret.Text {
	t.Helper()
	client := issuer.Server(t, func(c *x509.Certificate) {
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
				Certificate: wallet(t, tc.issuer, tc.issuer, password), Password: secret.New(tc.password),
			}
			if r := probeIt(t, goal); r.Code != tc.code {
				t.Errorf("Run() = %s in %q, want %s", r.Code, r.Phase, tc.code)
			}
		})
	}
}

// The key of a wallet is shown to a server that demands one. A server that does
// not know its authority refuses it.
func TestWalletShowsItsKey(t *testing.T) {
	t.Parallel()
	const password = "Wallet-Pass1"
	authority, rogue := probetest.NewAuthority(t), probetest.NewAuthority(t)
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		for _, tc := range []struct {
			name        string
			certificate secret.Text
			code        probe.Code
		}{
			{"with a key", wallet(t, authority, authority, password), probe.CodeOK},
			{"without one", authority.PEM(), probe.CodeTLSClientCertRequired},
			{"another authority's", wallet(t, authority, rogue, password), probe.CodeTLSClientCertRejected},
		} {
			t.Run(name+"/"+tc.name, func(t *testing.T) {
				t.Parallel()
				s := serve(t, oracletest.Server{TLS: authority.WantsClient(authority.Server(t, nil), version)})
				goal := target(s.Server)
				goal.TLS = &probe.TLS{Verify: probe.VerifyCA, Name: "ewallet.p12", Certificate: tc.certificate, Password: secret.New(password)}
				if tc.name == "without one" {
					goal.TLS.Name, goal.TLS.Password = "ca.pem", secret.Text{}
				}
				if r := probeIt(t, goal); r.Code != tc.code {
					t.Errorf("Run() = %s in %q, want %s", r.Code, r.Phase, tc.code)
				}
			})
		}
	}
}
