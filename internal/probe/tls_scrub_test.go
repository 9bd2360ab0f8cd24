package probe_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

// TestCertificateIsScrubbed: the server writes the names and the key ids of its
// certificates, and the reasons that they are refused for quote them.
func TestCertificateIsScrubbed(t *testing.T) {
	t.Parallel()
	const hidden = `Sword"<+>,fish` // escaped in a distinguished name
	names := func(c *x509.Certificate) {
		c.DNSNames = []string{hidden + ".example", strings.Repeat("x", 250) + hidden}
		c.IPAddresses, c.AuthorityKeyId, c.SubjectKeyId = nil, []byte(hidden), []byte(hidden)
	}
	root := certificate(t, "CA "+hidden, ecKey(t), nil, and(isAuthority, names))
	server := certificate(t, hidden, ecKey(t), root, and(isServer, names))
	target := toy(answering(t, &tls.Config{Certificates: []tls.Certificate{chained(server)}}))
	target.Password = secret.New(hidden)
	target.TLS = &probe.TLS{Verify: probe.VerifyNone, Certificate: trusting(certificate(t, "another", ecKey(t), nil, isAuthority))}
	r := run(t, scripted(secured), target)
	e := r.Evidence.TLS
	if e == nil || len(e.Findings) < 2 {
		t.Fatalf("evidence %+v, want findings of an untrusted issuer and a wrong name", e)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if e.Subject != "CN=[redacted]" || strings.Contains(string(b), "Sword") || strings.Contains(string(b), "fish") || strings.Contains(string(b), hex.EncodeToString([]byte("Sword"))) {
		t.Errorf("the report shows the password: %s", b)
	}
}

// TestLongPasswordIsScrubbed: as long as the API takes one, and as a server says
// it back, whole or as far as its texts go.
func TestLongPasswordIsScrubbed(t *testing.T) {
	t.Parallel()
	hidden := "begin" + strings.Repeat("0123456789abcdef", 254) + "end"
	target := toy(quiet(t))
	target.Password = secret.New(hidden)
	r := run(t, scripted(func(ctx context.Context, s *probe.Session) error {
		s.ServerError("28P01", "who is "+hidden)
		return talk(ctx, s)
	}), target)
	if r.Evidence.ServerText != "who is [redacted]" {
		t.Errorf("the server's text is shown as %q", r.Evidence.ServerText)
	}
}
