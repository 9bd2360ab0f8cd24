package probetest

import (
	"crypto/tls"
	"crypto/x509"
	"testing"

	"dialtone/internal/probe"
)

// Proof is what a server may have proven of itself when a login is due that
// would show it the password.
type Proof struct {
	Name string
	// Config is the server's side of TLS, TLS what the target asks for.
	Config *tls.Config
	TLS    probe.TLS
	// Code is the verdict. The password goes to the server only with CodeOK.
	Code probe.Code
}

// Shown says whether the password may go to the server.
func (p Proof) Shown() bool { return p.Code == probe.CodeOK }

// Proofs are all cases of one rule: a readable password goes to a server that has
// proven to be the one meant, by its name or by a certificate of the caller's own
// authority. One that the system trusts, for any name whatever, proves nothing.
// public is an authority among the system's roots: see TrustedBySystem.
func Proofs(tb testing.TB, public *Authority) []Proof {
	tb.Helper()
	elsewhere := func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"elsewhere.example"} }
	own := NewAuthority(tb)
	known, named := public.Server(tb, elsewhere), public.Server(tb, nil)
	ownElsewhere, ownNamed := own.Server(tb, elsewhere), own.Server(tb, nil)
	return []Proof{
		{"system's roots, another name", known, probe.TLS{Verify: probe.VerifyCA}, probe.CodeInsecureLogin},
		{"system's roots, another name, by default", known, probe.TLS{}, probe.CodeInsecureLogin},
		{"system's roots, name not asked for", named, probe.TLS{Verify: probe.VerifyCA}, probe.CodeInsecureLogin},
		{"system's roots and the name", named, probe.TLS{Verify: probe.VerifyFull}, probe.CodeOK},
		{"system's roots, the wrong name", known, probe.TLS{Verify: probe.VerifyFull}, probe.CodeTLSNameMismatch},
		{"own authority, another name", ownElsewhere, probe.TLS{Verify: probe.VerifyCA, Certificate: own.PEM()}, probe.CodeOK},
		{"own authority, by default", ownNamed, probe.TLS{Certificate: own.PEM()}, probe.CodeOK},
		{"own authority, not asked", ownNamed, probe.TLS{Verify: probe.VerifyNone, Certificate: own.PEM()}, probe.CodeInsecureLogin},
	}
}
