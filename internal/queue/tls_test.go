package queue_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"dialtone/internal/queue"
	"dialtone/internal/secret"
)

// TestTLS: TLS, client certificates and ACL users, against real servers.
func TestTLS(t *testing.T) {
	t.Parallel()
	pki, password := need(t, "DIALTONE_TEST_PKI"), need(t, "DIALTONE_TEST_PASSWORD")
	file := func(name string) string { return filepath.Join(pki, name) }
	tlsOnly, mutual, acl := need(t, "DIALTONE_TEST_REDIS_TLS_ADDR"), need(t, "DIALTONE_TEST_REDIS_MTLS_ADDR"), need(t, "DIALTONE_TEST_REDIS_ACL_ADDR")
	type files struct{ ca, cert, key, name string }
	mine := files{ca: file("ca.pem"), cert: file("client.pem"), key: file("client.key")}
	for name, tt := range map[string]struct {
		scheme, addr, user, password string
		files                        files
		// want is part of the error; "" is none.
		want string
	}{
		"TLS":                            {"rediss", tlsOnly, "dialtone", password, files{ca: file("ca.pem")}, ""},
		"another authority":              {"rediss", tlsOnly, "dialtone", password, files{ca: file("rogue-ca.pem")}, "certificate"},
		"another name":                   {"rediss", tlsOnly, "dialtone", password, files{ca: file("ca.pem"), name: "redis.example.com"}, "certificate"},
		"a name that fits":               {"rediss", tlsOnly, "dialtone", password, files{ca: file("ca.pem"), name: "localhost"}, ""},
		"a client certificate":           {"rediss", mutual, "dialtone", password, mine, ""},
		"no client certificate":          {"rediss", mutual, "dialtone", password, files{ca: file("ca.pem")}, "certificate required"},
		"one of another authority":       {"rediss", mutual, "dialtone", password, files{ca: file("ca.pem"), cert: file("rogue-client.pem"), key: file("rogue-client.key")}, "unknown certificate authority"},
		"the certificate is no password": {"rediss", mutual, "dialtone", "wrong-password", mine, "WRONGPASS"},
		"an ACL user":                    {"redis", acl, "dialtone", password, files{}, ""},
		"an ACL user, wrong password":    {"redis", acl, "dialtone", "wrong-password", files{}, "WRONGPASS"},
		"nobody":                         {"redis", acl, "", "", files{}, "NOAUTH"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := queue.Config{URL: secret.New(fmt.Sprintf("%s://%s/0", tt.scheme, tt.addr)), Username: tt.user, Password: secret.New(tt.password)}
			if tt.files != (files{}) {
				var err error
				if cfg.TLS, err = queue.TLSFiles(tt.files.ca, tt.files.cert, tt.files.key, tt.files.name); err != nil {
					t.Fatal(err)
				}
			}
			r, err := queue.Connect(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = r.Close() }()
			err = r.Ping(t.Context())
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Ping() = %v, want %q", err, tt.want)
			}
			if err != nil && (strings.Contains(err.Error(), password) || strings.Contains(err.Error(), "wrong-password")) {
				t.Errorf("the error shows a password: %v", err)
			}
		})
	}
}
