package postgres_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/secret"
	"dialtone/internal/store/postgres"
)

// need gives an environment variable of scripts/services.
func need(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	switch {
	case value != "":
	case os.Getenv("CI") == "true":
		t.Fatalf("%s is not set", name)
	default:
		t.Skipf("%s is not set: see scripts/services", name)
	}
	return value
}

// forward leads a listener at another loopback address, which no certificate
// names, to a server.
func forward(t *testing.T, to string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer func() { _ = in.Close() }()
				var d net.Dialer
				out, err := d.DialContext(ctx, "tcp", to)
				if err != nil {
					return
				}
				defer func() { _ = out.Close() }()
				context.AfterFunc(ctx, func() { _, _ = in.Close(), out.Close() })
				go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
				_, _ = io.Copy(in, out)
			})
		}
	})
	t.Cleanup(func() {
		stop()
		_ = l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// TestTLS: what a DSN may say of TLS and of where the password lies does what it
// says, against a real server.
func TestTLS(t *testing.T) {
	t.Parallel()
	dsn := newDatabase(t)
	pki, password := need(t, "DIALTONE_TEST_PKI"), need(t, "DIALTONE_TEST_PASSWORD")
	admin(t, dsn, "grant select on goose_db_version to dt_cert")
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	database := strings.TrimPrefix(u.Path, "/")
	file := func(name string) string { return filepath.Join(pki, name) }
	passfile := filepath.Join(t.TempDir(), "pgpass")
	line := fmt.Sprintf("%s:%s:%s:dialtone:%s\n", u.Hostname(), u.Port(), database, password)
	if err := os.WriteFile(passfile, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(address, user, options string) string {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("host=%s port=%s dbname=%s user=%s %s", host, port, database, user, options)
	}
	other := forward(t, u.Host)
	given := "password=" + password + " "
	mine := " sslcert=" + file("client.pem") + " sslkey=" + file("client.key")
	for name, tt := range map[string]struct {
		dsn string
		// want is part of the error; "" is none.
		want string
	}{
		"verify-full":                          {at(u.Host, "dialtone", given+"sslmode=verify-full sslrootcert="+file("ca.pem")), ""},
		"verify-full, by URL":                  {fmt.Sprintf("postgres://dialtone:%s@%s/%s?sslmode=verify-full&sslrootcert=%s", password, u.Host, database, url.QueryEscape(file("ca.pem"))), ""},
		"verify-full, another authority":       {at(u.Host, "dialtone", given+"sslmode=verify-full sslrootcert="+file("rogue-ca.pem")), "cannot be reached"},
		"verify-full, no authority of ours":    {at(u.Host, "dialtone", given+"sslmode=verify-full"), "cannot be reached"},
		"verify-full, another name":            {at(other, "dialtone", given+"sslmode=verify-full sslrootcert="+file("ca.pem")), "cannot be reached"},
		"verify-ca, another name":              {at(other, "dialtone", given+"sslmode=verify-ca sslrootcert="+file("ca.pem")), ""},
		"verify-ca, another authority":         {at(other, "dialtone", given+"sslmode=verify-ca sslrootcert="+file("rogue-ca.pem")), "cannot be reached"},
		"a client certificate, without TLS":    {at(u.Host, "dt_cert", given+"sslmode=disable"), "SQLSTATE 28000"},
		"a server without TLS":                 {at(need(t, "DIALTONE_TEST_POSTGRES_PLAIN_ADDR"), "dialtone", given+"sslmode=verify-full sslrootcert="+file("ca.pem")), "cannot be reached"},
		"a client certificate":                 {at(u.Host, "dt_cert", "sslmode=verify-full sslrootcert="+file("ca.pem")+mine), ""},
		"no client certificate":                {at(u.Host, "dt_cert", given+"sslmode=verify-full sslrootcert="+file("ca.pem")), "SQLSTATE 28000"},
		"a client certificate of another user": {at(u.Host, "dialtone", "sslmode=verify-full sslrootcert="+file("ca.pem")+mine), "SQLSTATE 28"},
		"one of another authority":             {at(u.Host, "dt_cert", "sslmode=verify-full sslrootcert="+file("ca.pem")+" sslcert="+file("rogue-client.pem")+" sslkey="+file("rogue-client.key")), "postgres"},
		"the password in a file":               {at(u.Host, "dialtone", "passfile="+passfile+" sslmode=verify-full sslrootcert="+file("ca.pem")), ""},
		"a file for another server":            {at(other, "dialtone", "passfile="+passfile+" sslmode=verify-ca sslrootcert="+file("ca.pem")), "SQLSTATE 28P01"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			s, err := postgres.Open(ctx, postgres.Config{DSN: secret.New(tt.dsn), Box: newBox(t), MaxConns: 2})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			err = s.Ping(ctx)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Ping() = %v, want %q", err, tt.want)
			}
			if err != nil && (strings.Contains(err.Error(), password) || strings.Contains(err.Error(), pki)) {
				t.Errorf("the error says too much: %v", err)
			}
		})
	}
}
