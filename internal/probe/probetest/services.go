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
func Need(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv("DIALTONE_TEST_" + name) //nolint:forbidigo // where tests learn what servers there are
	if value != "" {
		return value
	}
	if os.Getenv("CI") == "true" { //nolint:forbidigo // as above
		t.Fatalf("DIALTONE_TEST_%s is not set", name)
	}
	t.Skipf("DIALTONE_TEST_%s is not set; see scripts/services", name)
	return ""
}

// Addr is the address of a real server.
func Addr(t testing.TB, name string) netip.AddrPort {
	t.Helper()
	addr, err := netip.ParseAddrPort(Need(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// Certificate reads a certificate that scripts/services made.
func Certificate(t testing.TB, file string) secret.Text {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(Need(t, "PKI"), file))
	if err != nil {
		t.Fatal(err)
	}
	return secret.New(string(b))
}

// RealTarget is an account on a real server; mode is how strict to be with its
// certificate, empty for a plain connection.
func RealTarget(t testing.TB, engine probe.Engine, addr, user, database string, mode probe.Verify) probe.Target {
	t.Helper()
	a := Addr(t, addr)
	target := probe.Target{
		Engine: engine, Network: "vpc", User: user, Database: database, Password: secret.New(Need(t, "PASSWORD")),
		Addresses: []probe.Address{{Host: a.Addr().String(), Port: a.Port()}},
	}
	if mode != "" {
		target.TLS = &probe.TLS{Verify: mode, Certificate: Certificate(t, "ca.pem")}
	}
	return target
}

// NoSecrets fails if a report holds the target's password.
func NoSecrets(t testing.TB, target probe.Target, r probe.Report) {
	t.Helper()
	for _, s := range target.SecretTexts() {
		if value := s.Reveal(); !strings.HasPrefix(value, "-----BEGIN") {
			silent(t, value, inJSON(t, r))
		}
	}
}
