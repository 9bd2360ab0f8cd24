package main

import (
	"cmp"
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
type urlOption struct {
	name string
	// kafka says that it is an option of Kafka's alone.
	kafka bool
	read  func(u *urlSettings, value string) error
}

// urlSettings collects what the options say.
type urlSettings struct {
	e   *batch.Endpoint
	tls string
	// kafka are the parts of Kafka's security that have options of their own.
	kafka probe.KafkaSecurity
}

// urlOptionTable has all there are, in the order in which they are listed to
// users.
func urlOptionTable() []urlOption {
	return []urlOption{
		{name: "tls", read: func(u *urlSettings, value string) error {
			u.tls = value
			return oneOf("tls", value, "off", "none", "ca", "full")
		}},
		{name: "ca", read: func(u *urlSettings, value string) error {
			raw, err := readSmall("ca", value)
			if err != nil {
				return err
			}
			text, sum := base64.StdEncoding.EncodeToString(raw), sha256.Sum256(raw)
			u.e.SSLCertKey, u.e.SSLCertName, u.e.SSLCertCheckSum = secret.New(text), filepath.Base(value), hex.EncodeToString(sum[:])
			return nil
		}},
		{name: "ca_password_file", read: func(u *urlSettings, value string) (err error) {
			u.e.SSLCertPassword, err = readPassword("ca_password_file", value)
			return err
		}},
		{name: "password_file", read: func(u *urlSettings, value string) (err error) {
			if u.e.Password.IsSet() {
				return errors.New("it gives a password and password_file: give one")
			}
			u.e.Password, err = readPassword("password_file", value)
			return err
		}},
		{name: "net", read: func(u *urlSettings, value string) error {
			u.e.NetType = value
			return oneOf("net", value, "eip", "vpn", "vpc")
		}},
		{name: "sasl", kafka: true, read: func(u *urlSettings, value string) error {
			u.kafka.SASLMechanism = value
			return oneOf("sasl", value, "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI")
		}},
		{name: "delegation_token", kafka: true, read: func(u *urlSettings, value string) error {
			u.kafka.DelegationTokens = value == "yes"
			return oneOf("delegation_token", value, "yes", "no")
		}},
		{name: "key_store", kafka: true, read: func(u *urlSettings, value string) error {
			raw, err := readSmall("key_store", value)
			u.kafka.EnableKeyStore, u.kafka.KeyStoreName = true, filepath.Base(value)
			u.kafka.KeyStore = secret.New(base64.StdEncoding.EncodeToString(raw))
			return err
		}},
		{name: "key_store_password_file", kafka: true, read: func(u *urlSettings, value string) (err error) {
			u.kafka.KeyStorePassword, err = readPassword("key_store_password_file", value)
			return err
		}},
		{name: "key_password_file", kafka: true, read: func(u *urlSettings, value string) (err error) {
			u.kafka.SetPrivateKeyPassword = true
			u.kafka.PrivateKeyPassword, err = readPassword("key_password_file", value)
			return err
		}},
	}
}

// urlOptionNames lists them for a sentence.
func urlOptionNames() string {
	table := urlOptionTable()
	names := make([]string, len(table))
	for i, o := range table {
		names[i] = o.name
	}
	return strings.Join(names, ", ")
}

// urlOptions reads what stands behind the question mark.
func urlOptions(e *batch.Endpoint, kind scheme, text string) (probe.Verify, error) {
	u := urlSettings{e: e}
	table := urlOptionTable()
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(text, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		i := slices.IndexFunc(table, func(o urlOption) bool { return o.name == name })
		if i < 0 {
			return "", errors.New("it has an option that is none of " + urlOptionNames())
		}
		if seen[name] {
			return "", fmt.Errorf("it gives %s twice", name)
		}
		seen[name] = true
		if table[i].kafka && e.DBType != string(probe.Kafka) {
			return "", fmt.Errorf("it gives %s, which is for kafka only", name)
		}
		value, err := unescape(value)
		if err != nil {
			return "", err
		}
		if err := table[i].read(&u, value); err != nil {
			return "", err
		}
	}
	if u.tls == "" {
		u.tls = string(kind.tls)
	}
	return u.settle()
}

// settle brings the options together.
func (u *urlSettings) settle() (probe.Verify, error) {
	if u.tls == "" && (u.e.SSLCertKey.IsSet() || u.kafka.EnableKeyStore) {
		u.tls = string(probe.VerifyCA)
	}
	encrypted := u.tls != "" && u.tls != "off"
	if !encrypted && (u.e.SSLCertKey.IsSet() || u.e.SSLCertPassword.IsSet() || u.kafka.EnableKeyStore) {
		return "", errors.New("it has a certificate, but tls is off")
	}
	if !u.kafka.EnableKeyStore && (u.kafka.KeyStorePassword.IsSet() || u.kafka.SetPrivateKeyPassword) {
		return "", errors.New("it has the password of a key, but no key_store")
	}
	if u.e.DBType == string(probe.Kafka) {
		if err := u.settleKafka(encrypted); err != nil {
			return "", err
		}
	}
	if !encrypted {
		return "", nil
	}
	u.e.SSLLink = true
	return probe.Verify(u.tls), nil
}

// settleKafka says in Kafka's own terms what the URL says.
func (u *urlSettings) settleKafka(encrypted bool) error {
	k := &u.kafka
	switch {
	case u.e.User != "":
		k.Protocol, k.SASLMechanism = "SASL_PLAINTEXT", cmp.Or(k.SASLMechanism, "PLAIN")
	case k.SASLMechanism != "" || k.DelegationTokens:
		return errors.New("it says how to log in, but not as whom")
	default:
		k.Protocol = "PLAINTEXT"
	}
	if encrypted {
		k.Protocol = strings.Replace(k.Protocol, "PLAINTEXT", "SSL", 1)
		k.TrustStore, k.TrustStoreName, k.TrustStorePassword = u.e.SSLCertKey, u.e.SSLCertName, u.e.SSLCertPassword
		if u.tls == string(probe.VerifyFull) {
			k.EndpointAlgorithm = "https"
		}
	}
	u.e.Kafka = k
	return nil
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

// readPassword reads a file that holds a password and perhaps the end of a line.
func readPassword(option, path string) (secret.Text, error) {
	raw, err := readSmall(option, path)
	return secret.New(strings.TrimRight(string(raw), "\r\n")), err
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
