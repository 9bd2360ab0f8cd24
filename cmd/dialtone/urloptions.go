package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

// urlOption is one option of a URL. Its error may name the option, and never
// what was given.
type urlOption func(u *urlSettings, value string) error

// urlSettings collects what the options say.
type urlSettings struct {
	e    *batch.Endpoint
	tls  string
	sasl string
}

func urlOptionTable() map[string]urlOption {
	return map[string]urlOption{
		"tls": func(u *urlSettings, value string) error {
			u.tls = value
			return oneOf("tls", value, "off", "none", "ca", "full")
		},
		"ca": func(u *urlSettings, value string) error {
			raw, err := readSmall("ca", value)
			if err != nil {
				return err
			}
			text, sum := base64.StdEncoding.EncodeToString(raw), sha256.Sum256(raw)
			u.e.SSLCertKey, u.e.SSLCertName, u.e.SSLCertCheckSum = secret.New(text), filepath.Base(value), hex.EncodeToString(sum[:])
			return nil
		},
		"ca_password_file": func(u *urlSettings, value string) error {
			raw, err := readSmall("ca_password_file", value)
			u.e.SSLCertPassword = secret.New(strings.TrimRight(string(raw), "\r\n"))
			return err
		},
		"password_file": func(u *urlSettings, value string) error {
			if u.e.Password.IsSet() {
				return errors.New("it gives a password and password_file: give one")
			}
			raw, err := readSmall("password_file", value)
			u.e.Password = secret.New(strings.TrimRight(string(raw), "\r\n"))
			return err
		},
		"net": func(u *urlSettings, value string) error {
			u.e.NetType = value
			return oneOf("net", value, "eip", "vpn", "vpc")
		},
		"sasl": func(u *urlSettings, value string) error {
			u.sasl = value
			return oneOf("sasl", value, "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI")
		},
	}
}

// urlOptions reads what stands behind the question mark.
func urlOptions(e *batch.Endpoint, text string) (probe.Verify, error) {
	u := urlSettings{e: e}
	table := urlOptionTable()
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(text, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		option, known := table[name]
		if !known {
			return "", errors.New("it has an option that is none of tls, ca, ca_password_file, password_file, net, sasl")
		}
		if seen[name] {
			return "", fmt.Errorf("it gives %s twice", name)
		}
		seen[name] = true
		value, err := unescape(value)
		if err != nil {
			return "", err
		}
		if err := option(&u, value); err != nil {
			return "", err
		}
	}
	return u.settle()
}

// settle brings the options together.
func (u *urlSettings) settle() (probe.Verify, error) {
	if u.tls == "" && u.e.SSLCertKey.IsSet() {
		u.tls = string(probe.VerifyCA)
	}
	encrypted := u.tls != "" && u.tls != "off"
	if !encrypted && (u.e.SSLCertKey.IsSet() || u.e.SSLCertPassword.IsSet()) {
		return "", errors.New("it has a certificate, but tls is off")
	}
	if u.e.DBType == string(probe.Kafka) {
		u.kafka(encrypted)
	} else if u.sasl != "" {
		return "", errors.New("it gives sasl, which is for kafka only")
	}
	if !encrypted {
		return "", nil
	}
	u.e.SSLLink = true
	return probe.Verify(u.tls), nil
}

// kafka says in Kafka's own terms what the URL says.
func (u *urlSettings) kafka(encrypted bool) {
	k := probe.KafkaSecurity{Protocol: "PLAINTEXT"}
	if u.e.User != "" {
		k.Protocol, k.SASLMechanism = "SASL_PLAINTEXT", "PLAIN"
		if u.sasl != "" {
			k.SASLMechanism = u.sasl
		}
	}
	if encrypted {
		k.Protocol = strings.Replace(k.Protocol, "PLAINTEXT", "SSL", 1)
		k.TrustStore, k.TrustStoreName, k.TrustStorePassword = u.e.SSLCertKey, u.e.SSLCertName, u.e.SSLCertPassword
		if u.tls == string(probe.VerifyFull) {
			k.EndpointAlgorithm = "https"
		}
	}
	u.e.Kafka = &k
}

func oneOf(name, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("its option %s must be one of %s", name, strings.Join(allowed, ", "))
}

// maxOptionFile bounds a certificate or password file.
const maxOptionFile = 1 << 20

// readSmall reads a file that an option names. The error leaves the name out:
// it may be a password that stands in the wrong place.
func readSmall(option, path string) ([]byte, error) {
	raw, err := readBounded(path, maxOptionFile)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the file of its option %s: %w", option, err)
	case len(raw) == 0:
		return nil, fmt.Errorf("the file of its option %s is empty", option)
	}
	return raw, nil
}

// readBounded reads a whole file, with errors that do not name it.
func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the user's own file, on the user's own machine
	if err != nil {
		return nil, nameless(err)
	}
	defer func() { _ = f.Close() }() // only read
	return readAtMost(f, most)
}

// nameless takes the name out of a file's error.
func nameless(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err
	}
	return err
}

// urlProblems is Validate with the rules that are the wire's, not the
// engine's, left out: a local test may use the system's authorities, and an
// empty password.
func urlProblems(e batch.Endpoint) []batch.Problem {
	wireOnly := []batch.Field{
		batch.FieldSSLCertKey, batch.FieldSSLCertName, batch.FieldSSLCertCheckSum, batch.FieldPassword,
		batch.FieldTrustStore, batch.FieldTrustStoreName,
	}
	var problems []batch.Problem
	for _, p := range e.Validate(job.Connection) {
		if p.Fault != batch.Missing || !slices.Contains(wireOnly, p.Field) {
			problems = append(problems, p)
		}
	}
	return problems
}
