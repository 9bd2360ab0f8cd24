package probetest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TrustedBySystem runs the tests of a package with an authority that the system
// trusts, as it trusts those that give a certificate to anyone who owns a name.
// A TestMain calls it: the process reads the system's roots once.
func TrustedBySystem(m *testing.M, authority **Authority) {
	dir, err := os.MkdirTemp("", "dialtone-roots-*")
	must(err)
	defer func() { _ = os.RemoveAll(dir) }()
	*authority = NewAuthority(&outside{})
	file := filepath.Join(dir, "roots.pem")
	must(os.WriteFile(file, []byte((*authority).PEM().Reveal()), 0o600))
	must(os.Setenv("SSL_CERT_FILE", file))
	must(os.Setenv("SSL_CERT_DIR", dir))
	m.Run()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// outside stands for a test where there is none yet.
type outside struct{ testing.TB }

func (*outside) Helper() {}

func (*outside) Fatal(args ...any) { panic(fmt.Sprint(args...)) }
