package service

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// TLSFiles are the files of a listener.
type TLSFiles struct {
	// Cert and Key are its certificate with its chain, and the key, PEM.
	Cert, Key string
	// ClientCA holds the authorities that callers' certificates must come from;
	// "": none are asked for.
	ClientCA string
	// Lenient lets a connection without a client certificate come about, for a
	// server that asks for one only here and there.
	Lenient bool
}

// lookAgain is how long a listener goes on with what it has read.
const lookAgain = 2 * time.Second

// Certificate is what a listener shows, and whom it lets in, as its files say:
// they are read again when they have changed, at the next handshake, and at
// Reload. Files that are bad leave the old ones in force.
type Certificate struct {
	log   *slog.Logger
	files TLSFiles

	mu     sync.Mutex
	now    *tls.Config
	read   [3]digest
	looked time.Time
	fault  string
}

// digest tells one content of a file from another: times do not, where a file is
// written twice within a tick of the clock. It is zero of a file that cannot be read.
type digest [sha256.Size]byte

// NewCertificate reads a listener's files; nil when there is no certificate.
func NewCertificate(log *slog.Logger, files TLSFiles) (*Certificate, error) {
	if files.Cert == "" {
		return nil, nil //nolint:nilnil // no certificate: plain HTTP
	}
	c := &Certificate{log: log, files: files, looked: time.Now()}
	c.read = c.digests()
	var err error
	if c.now, err = c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// Config is for the listener; nil, which means plain HTTP, of none.
func (c *Certificate) Config() *tls.Config {
	if c == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current(), nil },
	}
}

// current is what the next connection gets.
func (c *Certificate) current() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) > lookAgain {
		c.look()
	}
	return c.now
}

// Reload looks at the files now.
func (c *Certificate) Reload() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
}

// look reads the files again if one of them has changed.
func (c *Certificate) look() {
	c.looked = time.Now()
	digests := c.digests()
	if digests == c.read {
		return
	}
	next, err := c.load()
	if err != nil {
		if c.fault != err.Error() { // the files may be replaced one after the other
			c.fault = err.Error()
			c.log.Error("certificate not read again; the old one stays in force", "error", err)
		}
		return
	}
	c.now, c.read, c.fault = next, digests, ""
	c.log.Info("certificate read again", "not_after", next.Certificates[0].Leaf.NotAfter)
}

func (c *Certificate) digests() (all [3]digest) {
	for i, name := range []string{c.files.Cert, c.files.Key, c.files.ClientCA} {
		if text, err := os.ReadFile(name); err == nil { //nolint:gosec // the operator names the file
			all[i] = sha256.Sum256(text)
		}
	}
	return all
}

func (c *Certificate) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return nil, errors.New("the TLS certificate and key cannot be read or do not fit")
	}
	cfg := &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
		// As net/http says itself for a configuration that is not chosen by hello.
		NextProtos: []string{"h2", "http/1.1"},
	}
	if c.files.ClientCA == "" {
		return cfg, nil
	}
	if cfg.ClientCAs, err = authorities(c.files.ClientCA); err != nil {
		return nil, err
	}
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	if c.files.Lenient {
		cfg.ClientAuth = tls.VerifyClientCertIfGiven
	}
	// A session that is taken up again would not be held against new authorities.
	cfg.SessionTicketsDisabled = true
	return cfg, nil
}

func authorities(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		if at, ok := errors.AsType[*fs.PathError](err); ok {
			err = at.Err
		}
		return nil, fmt.Errorf("the authorities of client certificates cannot be read: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("the file of authorities of client certificates holds no certificate")
	}
	return pool, nil
}
