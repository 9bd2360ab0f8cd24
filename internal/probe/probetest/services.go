package probetest

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

// Need gives what scripts/services says of a real server, by the name behind
// DIALTONE_TEST_. Without the server the test is skipped, but fails under
// CI=true.
func Need(tb testing.TB, name string) string {
	tb.Helper()
	value := os.Getenv("DIALTONE_TEST_" + name)
	if value != "" {
		return value
	}
	if os.Getenv("CI") == "true" {
		tb.Fatalf("DIALTONE_TEST_%s is not set", name)
	}
	tb.Skipf("DIALTONE_TEST_%s is not set; see scripts/services", name)
	return ""
}

// Addr is the address of a real server.
func Addr(tb testing.TB, name string) netip.AddrPort {
	tb.Helper()
	addr, err := netip.ParseAddrPort(Need(tb, name))
	if err != nil {
		tb.Fatal(err)
	}
	return addr
}

// Certificate reads a certificate that scripts/services made.
func Certificate(tb testing.TB, file string) secret.Text {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(Need(tb, "PKI"), file))
	if err != nil {
		tb.Fatal(err)
	}
	return secret.New(string(b))
}

// RealTarget is an account on a real server; mode is how strict to be with its
// certificate, empty for a plain connection.
func RealTarget(tb testing.TB, engine probe.Engine, addr, user, database string, mode probe.Verify) probe.Target {
	tb.Helper()
	a := Addr(tb, addr)
	target := probe.Target{
		Engine: engine, Network: "vpc", User: user, Database: database, Password: secret.New(Need(tb, "PASSWORD")),
		Addresses: []probe.Address{{Host: a.Addr().String(), Port: a.Port()}},
	}
	if mode != "" {
		target.TLS = &probe.TLS{Verify: mode, Certificate: Certificate(tb, "ca.pem")}
	}
	return target
}

// NoSecrets fails if a report holds the target's password.
func NoSecrets(tb testing.TB, target probe.Target, r probe.Report) {
	tb.Helper()
	for _, s := range target.SecretTexts() {
		if value := s.Reveal(); !strings.HasPrefix(value, "-----BEGIN") {
			silent(tb, value, inJSON(tb, r))
		}
	}
}
