package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"dialtone/internal/config"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

// testCommand is `dialtone test`.
type testCommand struct {
	Endpoints []string `arg:"" name:"file|url" help:"Request files, - for standard input, and URLs, in any mixture."`

	JSON     bool          `name:"json" help:"Write the reports as JSON instead of the table."`
	JUnit    string        `name:"junit" placeholder:"FILE" help:"Write a JUnit report to this file, too."`
	Language string        `oneof:"en-us,zh-cn" default:"en-us" placeholder:"en-us|zh-cn" help:"Language of what the verdicts mean and what to do."`
	Timeout  time.Duration `default:"15s" help:"Time for one endpoint, a duration such as 15s. Not with --server."`
	Parallel int           `default:"8" help:"Most endpoints tested at once. Not with --server."`

	AllowRecoverablePassword bool `env:"DIALTONE_ALLOW_RECOVERABLE_PASSWORD" help:"Permit logins in which a server that has not proven its identity could read the password. Not with --server."`

	config.Kerberos `embed:"" group:"Kerberos, for tests of Kafka with GSSAPI"`

	Server   string      `placeholder:"URL" group:"A running dialtone" help:"Let the dialtone at this address make the tests, instead of this process."`
	Token    secret.Text `env:"DIALTONE_TOKEN" placeholder:"SECRET" group:"A running dialtone" help:"Token for it. The command line of a process can be seen by others: prefer the variables."`
	Project  string      `env:"DIALTONE_PROJECT" default:"0123456789abcdef0123456789abcdef" placeholder:"ID" group:"A running dialtone" help:"Project to test in."`
	Job      string      `placeholder:"ID" group:"A running dialtone" help:"Job of the endpoints that name none. Default: a made-up one for each, which only a server with --any-job takes."`
	ServerCA string      `name:"server-ca-file" placeholder:"FILE" group:"A running dialtone" help:"Authority that signed its certificate, PEM. Empty: the system's authorities."`
}

// Help is what --help says below the flags.
func (*testCommand) Help() string {
	return `A file is a request as the API takes it, in JSON or YAML: {"jobs": [{...}, ...]}. Its entries need no id.

A URL is ENGINE://USER:PASSWORD@HOST:PORT/DATABASE?OPTIONS. Engines: ` + schemeNames() + `. ` +
		`mongodb, kafka, cassandra, rediscluster, gaussredis, gaussdb and opengauss take several hosts, separated by commas. Characters such as @ : / ? # % in user, password and database are percent-encoded. Options:
  tls=off|none|ca|full   off is the default, but ca for rediss; none encrypts only; ca wants a trusted certificate; full also the right name in it
  ca=FILE                authority to trust (PEM, DER, PKCS#12, JKS), and tls=ca if nothing else is said
  ca_password_file=FILE  opens a PKCS#12 or Java key store
  password_file=FILE     the password, kept out of the command line
  net=eip|vpn|vpc        network to test from, for --server
Options for kafka alone:
  sasl=MECHANISM         PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or GSSAPI
  delegation_token=yes   user and password are a token's id and HMAC
  key_store=FILE         certificate and key to show (JKS, PKCS#12, PEM), with the passwords in
                         key_store_password_file=FILE and, if its own is another, key_password_file=FILE

Exit code: 0 all passed, 1 some did not, 2 the call is wrong and nothing was tested.`
}

// Run tests every endpoint.
func (t *testCommand) Run(ctx context.Context, c console) error {
	began := time.Now()
	if err := t.Check(); err != nil {
		return usageError{err}
	}
	entries, err := t.prepare(c)
	if err != nil {
		return usageError{err}
	}
	junit, err := t.openJUnit()
	if err != nil {
		return usageError{err}
	}
	results := untested(entries, probe.Language(t.Language))
	var failed error
	if t.Server != "" {
		failed = t.remote(ctx, c, entries, results)
	} else {
		failed = t.local(ctx, c, entries, results)
	}
	if failed != nil && !results.any() {
		return errors.Join(failed, closeUnused(junit))
	}
	s := summary{outcomes: results.flat(), took: time.Since(began), began: began, stopped: ctx.Err() != nil}
	if err := errors.Join(t.report(c, s, junit), failed); err != nil {
		return err
	}
	if !s.passed() {
		return errFailed
	}
	return nil
}

// prepare reads the arguments and finds every mistake in the call, so that
// nothing is tested if there is one.
func (t *testCommand) prepare(c console) ([]entry, error) {
	var faults []error
	if t.Timeout <= 0 {
		faults = append(faults, errors.New("--timeout must be longer than nothing"))
	}
	if t.Parallel < 1 {
		faults = append(faults, errors.New("--parallel must be at least 1"))
	}
	entries, err := readArguments(t.Endpoints, c.stdin)
	faults = append(faults, err)
	if t.Server != "" && err == nil {
		faults = append(faults, t.prepareRemote(entries))
	}
	return entries, errors.Join(faults...)
}

// openJUnit opens the report before any test, so that a wrong name costs none.
func (t *testCommand) openJUnit() (*os.File, error) {
	if t.JUnit == "" {
		return nil, nil //nolint:nilnil // no report is asked for
	}
	f, err := os.Create(t.JUnit)
	if err != nil {
		return nil, fmt.Errorf("--junit: %w", nameless(err))
	}
	return f, nil
}

// closeUnused removes a report that there is nothing to say in.
func closeUnused(f *os.File) error {
	if f == nil {
		return nil
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// report writes what came of it.
func (t *testCommand) report(c console, s summary, junit *os.File) error {
	if junit != nil {
		if err := errors.Join(renderJUnit(junit, s), junit.Close()); err != nil {
			return fmt.Errorf("write the JUnit report: %w", err)
		}
	}
	if t.JSON {
		return renderJSON(c.stdout, s)
	}
	return renderTable(c.stdout, s, look{language: probe.Language(t.Language), columns: c.columns, color: c.columns > 0 && c.getenv("NO_COLOR") == "" && c.getenv("TERM") != "dumb"})
}
