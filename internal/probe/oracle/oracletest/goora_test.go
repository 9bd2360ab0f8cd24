package oracletest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	goora "github.com/sijms/go-ora/v2"
	"github.com/sijms/go-ora/v2/configurations"
	"github.com/sijms/go-ora/v2/network"

	"dialtone/internal/probe/oracle/oracletest"
	"dialtone/internal/probe/probetest"
)

// login logs in with go-ora, which speaks to older releases too.
func login(t *testing.T, s *probetest.Server, service, password string, secure *tls.Config) error {
	t.Helper()
	config := &configurations.ConnectionConfig{}
	config.UserID, config.Password, config.ServiceName = probetest.User, password, service
	config.AddServer(configurations.ServerAddr{Protocol: "tcp", Addr: s.Addr.Addr().String(), Port: int(s.Addr.Port())})
	config.ProgramName = "go-ora"
	if secure != nil {
		config.Servers[0].Protocol = "tcps"
		config.TLSConfig = secure
	}
	conn, err := goora.NewConnection("", config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := conn.OpenWithContext(ctx); err != nil {
		_ = conn.Close() // what failed is left open
		return err
	}
	if err := conn.Ping(ctx); err != nil {
		return err
	}
	return conn.Close()
}

func TestGoOraLogsIn(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]oracletest.Server{
		"11.2":               {Release: oracletest.Release11, Verifier: oracletest.Verifier11g},
		"12.1":               {Release: oracletest.Release12},
		"12.1, 11g verifier": {Release: oracletest.Release12, Verifier: oracletest.Verifier11g},
		"19c":                {},
		"19c, 11g verifier":  {Verifier: oracletest.Verifier11g},
		"19c, small packets": {SDU: 1024},
		"19c, asks again":    {Resend: 1},
		"23ai":               {Release: oracletest.Release23},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, seen := serve(t, &server)
			if err := login(t, s, oracletest.DefaultService, probetest.Password, nil); err != nil {
				t.Fatalf("go-ora says %v", err)
			}
			s.Wait(t)
			if v := seen.last(t); !v.LoggedIn || v.Passwords != 1 || v.Pings != 1 || !v.LoggedOff || !v.Goodbye || v.Err != nil {
				t.Errorf("the visit was %+v", v)
			}
		})
	}
}

func TestGoOraIsRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, service, password string
		server                  oracletest.Server
		want                    int
	}{
		{"wrong password", oracletest.DefaultService, "wrong", oracletest.Server{}, 1017},
		{"wrong password, 11.2", oracletest.DefaultService, "wrong", oracletest.Server{Release: oracletest.Release11, Verifier: oracletest.Verifier11g}, 1017},
		{"locked", oracletest.DefaultService, probetest.Password, oracletest.Server{Error: 28000}, 28000},
		{"expired", oracletest.DefaultService, probetest.Password, oracletest.Server{Error: 28001}, 28001},
		{"unknown service", "nowhere", probetest.Password, oracletest.Server{}, 12514},
		{"no handler", oracletest.DefaultService, probetest.Password, oracletest.Server{Refuse: 12520}, 12520},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, _ := serve(t, &tc.server)
			err := login(t, s, tc.service, tc.password, nil)
			if told, ok := errors.AsType[*network.OracleError](err); !ok || told.ErrCode != tc.want {
				t.Errorf("go-ora says %v, want ORA-%05d", err, tc.want)
			}
		})
	}
}

func TestGoOraOverTLS(t *testing.T) {
	t.Parallel()
	authority := probetest.NewAuthority(t)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(authority.PEM().Reveal()))
	for name, renegotiate := range map[string]bool{"one handshake": false, "two handshakes": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := serve(t, &oracletest.Server{TLS: authority.Server(t, nil), Renegotiate: renegotiate})
			if err := login(t, s, oracletest.DefaultService, probetest.Password, &tls.Config{RootCAs: pool}); err != nil {
				t.Errorf("go-ora says %v", err)
			}
		})
	}
}
