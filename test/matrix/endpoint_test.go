package matrix_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"dialtone/internal/batch"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/secret"
	"dialtone/test/system"
)

// endpoint describes an account on a real server of scripts/services.
func endpoint(t *testing.T, dbType, addrVar, user, database string) batch.Endpoint {
	t.Helper()
	return at(t, batch.Endpoint{
		DBType: dbType, User: user, Password: secret.New(probetest.Need(t, "PASSWORD")), DBName: database,
	}, probetest.Need(t, addrVar))
}

// at points an endpoint to an address. MongoDB and Kafka have their ports in
// ip; the others show that db_port works too.
func at(t *testing.T, e batch.Endpoint, addr string) batch.Endpoint {
	t.Helper()
	e.IP, e.DBPort = addr, 0
	if e.DBType == "mongodb" || e.DBType == "kafka" || strings.Contains(addr, ",") {
		return e
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	e.IP = host
	if e.DBPort, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	return e
}

// encrypted asks for TLS with an authority of the tests' PKI.
func encrypted(t *testing.T, e batch.Endpoint, authority string) batch.Endpoint {
	t.Helper()
	return trusting(e, authority, pki(t, authority))
}

// trusting asks for TLS with the content of a certificate or store.
func trusting(e batch.Endpoint, name string, content []byte) batch.Endpoint {
	sum := sha256.Sum256(content)
	e.SSLLink, e.SSLCertName, e.SSLCertCheckSum = true, name, hex.EncodeToString(sum[:])
	e.SSLCertKey = secret.New(base64.StdEncoding.EncodeToString(content))
	return e
}

// pki reads a file of the tests' PKI.
func pki(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(probetest.Need(t, "PKI"), file))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// base makes an endpoint that works.
type base func(t *testing.T) batch.Endpoint

// with is a scenario that differs from a base in one way.
func (b base) with(change func(t *testing.T, e *batch.Endpoint)) scenario {
	return func(t *testing.T) batch.Endpoint {
		t.Helper()
		e := b(t)
		change(t, &e)
		return e
	}
}

// wrongPassword keeps everything but the password.
func (b base) wrongPassword() scenario {
	return b.with(func(_ *testing.T, e *batch.Endpoint) { e.Password = secret.New("certainly-wrong-8") })
}

func (b base) user(name string) scenario {
	return b.with(func(_ *testing.T, e *batch.Endpoint) { e.User = name })
}

func (b base) database(name string) scenario {
	return b.with(func(_ *testing.T, e *batch.Endpoint) { e.DBName = name })
}

func (b base) at(addrVar string) scenario {
	return b.with(func(t *testing.T, e *batch.Endpoint) {
		t.Helper()
		*e = at(t, *e, probetest.Need(t, addrVar))
	})
}

func (b base) tls(authority string) scenario {
	return b.with(func(t *testing.T, e *batch.Endpoint) {
		t.Helper()
		*e = encrypted(t, *e, authority)
	})
}

// network are the conditions that have nothing to do with the engine.
func (b base) network() map[string]scenario {
	to := func(addr func(*testing.T) string) scenario {
		return b.with(func(t *testing.T, e *batch.Endpoint) {
			t.Helper()
			*e = at(t, *e, addr(t))
		})
	}
	says := func(greeting string) func(*testing.T) string {
		return func(t *testing.T) string {
			t.Helper()
			return probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
				_, _ = conn.Write([]byte(greeting))
				buf := make([]byte, 4096)
				for {
					if _, err := conn.Read(buf); err != nil {
						return
					}
				}
			}).Addr.String()
		}
	}
	return map[string]scenario{
		"closed port":   to(system.FreeAddr),
		"black hole":    to(system.BlackHole),
		"silent server": to(system.Tarpit),
		"unknown host":  to(func(*testing.T) string { return "no-such-host.invalid:4711" }),
		"HTTP server":   to(says("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")),
		"SSH server":    to(says("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")),
	}
}

// certificates are the faults of a certificate that an endpoint comes with.
func (b base) certificates() map[string]scenario {
	return map[string]scenario{
		"checksum of another certificate": b.with(func(t *testing.T, e *batch.Endpoint) {
			*e = encrypted(t, *e, "ca.pem")
			e.SSLCertCheckSum = strings.Repeat("0", 64)
		}),
		"certificate is a text": b.with(func(_ *testing.T, e *batch.Endpoint) {
			*e = trusting(*e, "ca.pem", []byte("here the certificate should stand"))
		}),
		"untrusted CA": b.tls("rogue-ca.pem"),
	}
}

// merge puts groups of scenarios together; a condition stands in one of them.
func merge(groups ...map[string]scenario) map[string]scenario {
	all := map[string]scenario{}
	for _, g := range groups {
		maps.Copy(all, g)
	}
	return all
}

// join gives an endpoint's address as a list has it.
func join(e batch.Endpoint) string { return net.JoinHostPort(e.IP, strconv.Itoa(e.DBPort)) }
