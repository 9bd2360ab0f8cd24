package probe_test

import (
	"bufio"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

// opensslServer is a TLS server that is not of Go's making; it turns what it
// hears around.
func opensslServer(t *testing.T, server *identity, args ...string) probe.Address {
	t.Helper()
	dir := t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(server.key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	args = append([]string{
		"s_server", "-accept", "127.0.0.1:0", "-rev",
		"-cert", write("cert.pem", "CERTIFICATE", server.cert.Raw), "-key", write("key.pem", "PRIVATE KEY", key),
	}, args...)
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	accept := regexp.MustCompile(`^ACCEPT .*:(\d+)$`)
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := accept.FindStringSubmatch(lines.Text()); m != nil {
			port, _ := strconv.Atoi(m[1])
			return probe.Address{Host: "127.0.0.1", Port: uint16(port)}
		}
		said.WriteString(lines.Text() + "\n")
	}
	t.Fatalf("openssl s_server ended:\n%s", said.String())
	return probe.Address{}
}

// The alerts are those of OpenSSL, which most databases use, not of Go.
func TestOpenSSLVerdicts(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("no openssl here: scripts/services install")
		}
		t.Skip("no openssl here: scripts/services install")
	}
	root := certificate(t, "root", ecKey(t), nil, isAuthority)
	other := certificate(t, "other", ecKey(t), nil, isAuthority)
	number, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	server := certificate(t, "db", number, root, isServer)
	isClient := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }
	ours, foreign := certificate(t, "client", ecKey(t), root, isClient), certificate(t, "client", ecKey(t), other, isClient)
	authority := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(authority, []byte(trusting(root).Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	demand := []string{"-CAfile", authority, "-Verify", "1", "-verify_return_error"}

	for _, tc := range []struct {
		name  string
		args  []string
		trust secret.Text
		want  probe.Code
	}{
		{"all is well", nil, trusting(root), probe.CodeOK},
		{"TLS 1.1 alone", []string{"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"}, trusting(root), probe.CodeTLSVersion},
		{"RSA key exchange alone", []string{"-tls1_2", "-cipher", "AES128-GCM-SHA256"}, trusting(root), probe.CodeTLSCipher},
		{"client certificate, TLS 1.2", append(demand, "-tls1_2"), bundle(t, root, ours), probe.CodeOK},
		{"client certificate, TLS 1.3", append(demand, "-tls1_3"), bundle(t, root, ours), probe.CodeOK},
		{"none, TLS 1.2", append(demand, "-tls1_2"), trusting(root), probe.CodeTLSClientCertRequired},
		{"none, TLS 1.3", append(demand, "-tls1_3"), trusting(root), probe.CodeTLSClientCertRequired},
		{"a foreign one, TLS 1.2", append(demand, "-tls1_2"), bundle(t, root, foreign), probe.CodeTLSClientCertRejected},
		{"a foreign one, TLS 1.3", append(demand, "-tls1_3"), bundle(t, root, foreign), probe.CodeTLSClientCertRejected},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			target := toy(opensslServer(t, server, tc.args...))
			target.TLS = &probe.TLS{Verify: probe.VerifyFull, Certificate: tc.trust}
			r := run(t, scripted(secured), target)
			if r.Code != tc.want || (r.Phase == probe.PhaseTLS) != (tc.want != probe.CodeOK) {
				t.Errorf("Run() = %s in %q, want %s; facts %v", r.Code, r.Phase, tc.want, r.Evidence.Facts)
			}
		})
	}
}
