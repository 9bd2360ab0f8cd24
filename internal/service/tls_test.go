package service_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/service"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{t, cert, key}
}

func (a authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func (a authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// issue makes a certificate for 127.0.0.1 with a serial number, and its key.
func (a authority) issue(serial int64) (cert, key []byte) {
	a.t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, &own.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(own)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})
}

func (a authority) pair(serial int64) []tls.Certificate {
	a.t.Helper()
	cert, key := a.issue(serial)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		a.t.Fatal(err)
	}
	return []tls.Certificate{pair}
}

// served is an HTTPS server with a Certificate.
type served struct {
	t     *testing.T
	files service.TLSFiles
	cert  *service.Certificate
	url   string
	log   *quietLog
	dir   string
}

// quietLog may be read while it is written.
type quietLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *quietLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *quietLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func serveTLS(t *testing.T, ca authority, clients *authority, lenient bool) *served {
	t.Helper()
	s := &served{t: t, log: &quietLog{}, dir: t.TempDir()}
	cert, key := ca.issue(1)
	s.files = service.TLSFiles{Cert: s.write("cert.pem", cert), Key: s.write("key.pem", key), Lenient: lenient}
	if clients != nil {
		s.files.ClientCA = s.write("clients.pem", clients.pem())
	}
	var err error
	if s.cert, err = service.NewCertificate(slog.New(slog.NewTextHandler(s.log, nil)), s.files); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		TLSConfig: s.cert.Config(), ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Shown", r.Proto)
			if len(r.TLS.VerifiedChains) > 0 {
				w.Header().Set("Client", r.TLS.PeerCertificates[0].SerialNumber.String())
			}
		}),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.ServeTLS(l, "", "")
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	s.url = "https://" + l.Addr().String()
	return s
}

func (s *served) write(name string, content []byte) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	next := path + ".next"
	if err := os.WriteFile(next, content, 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// shown is what a connection came to: the serial numbers of the certificates on
// both sides, and the protocol.
type shown struct{ server, client, protocol string }

// ask makes a connection of its own.
func (s *served) ask(roots *x509.CertPool, mine []tls.Certificate) (shown, error) {
	s.t.Helper()
	c := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: mine, MinVersion: tls.VersionTLS12},
	}}
	r, err := c.Get(s.url)
	if err != nil {
		return shown{}, err
	}
	_ = r.Body.Close()
	return shown{r.TLS.PeerCertificates[0].SerialNumber.String(), r.Header.Get("Client"), r.Header.Get("Shown")}, nil
}

func TestCertificateIsReadAgain(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	s := serveTLS(t, ca, nil, false)
	shows := func(want string) {
		t.Helper()
		if got, err := s.ask(ca.pool(), nil); err != nil || got.server != want || got.protocol != "HTTP/2.0" {
			t.Fatalf("%+v, want certificate %s; %v", got, want, err)
		}
	}
	shows("1")
	cert, key := ca.issue(2)
	s.write("cert.pem", cert) // without its key yet
	s.cert.Reload()
	s.cert.Reload()
	shows("1")
	if n := strings.Count(s.log.String(), "certificate not read again; the old one stays in force"); n != 1 {
		t.Errorf("half a pair is told %d times, want once", n)
	}
	s.write("key.pem", key)
	s.cert.Reload()
	shows("2")
	// By itself, at a handshake some seconds later.
	cert, key = ca.issue(3)
	s.write("key.pem", key)
	s.write("cert.pem", cert)
	deadline := time.Now().Add(20 * time.Second)
	for {
		got, err := s.ask(ca.pool(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got.server == "3" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still certificate %s", got.server)
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, name := range []string{"cert.pem", "key.pem"} {
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s.cert.Reload()
	shows("3")
	if strings.Contains(s.log.String(), s.dir) || strings.Contains(s.log.String(), "PRIVATE") {
		t.Errorf("the log says too much: %s", s.log.String())
	}
}

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	ca, clients, rogue := newAuthority(t), newAuthority(t), newAuthority(t)
	s := serveTLS(t, ca, &clients, false)
	for name, mine := range map[string][]tls.Certificate{"none": nil, "of another authority": rogue.pair(7)} {
		if _, err := s.ask(ca.pool(), mine); err == nil {
			t.Errorf("a client certificate, %s: let in", name)
		}
	}
	mine := clients.pair(8)
	if got, err := s.ask(ca.pool(), mine); err != nil || got.client != "8" {
		t.Fatalf("a good client certificate: %v", err)
	}
	// Whose authority is taken away is not let in any more.
	s.write("clients.pem", rogue.pem())
	s.cert.Reload()
	if _, err := s.ask(ca.pool(), mine); err == nil {
		t.Error("a certificate of an authority that was taken away is let in")
	}
	if got, err := s.ask(ca.pool(), rogue.pair(9)); err != nil || got.client != "9" {
		t.Errorf("one of the new authority: %v", err)
	}
	s.write("clients.pem", []byte("rubbish"))
	s.cert.Reload()
	if _, err := s.ask(ca.pool(), mine); err == nil {
		t.Error("without readable authorities anybody is let in")
	}

	lenient := serveTLS(t, ca, &clients, true)
	if got, err := lenient.ask(ca.pool(), nil); err != nil || got.client != "" {
		t.Errorf("lenient, without one: %v", err)
	}
	if got, err := lenient.ask(ca.pool(), clients.pair(10)); err != nil || got.client != "10" {
		t.Errorf("lenient, with one: %v", err)
	}
	if _, err := lenient.ask(ca.pool(), rogue.pair(11)); err == nil {
		t.Error("lenient, with one of another authority: let in")
	}
}

func TestNoCertificate(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	c, err := service.NewCertificate(log, service.TLSFiles{})
	if c != nil || err != nil || c.Config() != nil {
		t.Errorf("NewCertificate without files = %v, %v; want plain HTTP", c, err)
	}
	c.Reload() // does nothing
	ca := newAuthority(t)
	s := serveTLS(t, ca, nil, false)
	for name, files := range map[string]service.TLSFiles{
		"no such files":             {Cert: "missing.pem", Key: "missing.key"},
		"no such authorities":       {Cert: s.files.Cert, Key: s.files.Key, ClientCA: filepath.Join(s.dir, "missing")},
		"authorities that are none": {Cert: s.files.Cert, Key: s.files.Key, ClientCA: s.files.Key},
	} {
		if _, err := service.NewCertificate(log, files); err == nil || strings.Contains(err.Error(), s.dir) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
