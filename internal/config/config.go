// Package config turns environment variables and flags into typed values, and
// finds every problem in them at once. It is the only reader of the
// environment. It opens no file but those that *_FILE variables name, connects
// to nothing, and knows no other package of ours but secret: the mains copy its
// values to where they are used.
package config

import (
	"errors"
	"io"

	"github.com/alecthomas/kong"
)

// ErrHelp says that --help was asked for and answered: there is nothing to run.
var ErrHelp = errors.New("help was printed")

// API is what the api process can be told.
type API struct {
	Listener `embed:"" group:"Listeners"`

	AdminListen string `env:"DIALTONE_ADMIN_LISTEN" default:"127.0.0.1:9101" placeholder:"HOST:PORT" group:"Listeners" help:"Address for metrics, health and readiness. Port 0 takes a free one."`
	Admin       `embed:"" group:"Listeners"`

	Postgres  `embed:"" group:"Postgres"`
	Redis     `embed:"" group:"Redis"`
	Keys      `embed:"" group:"Keys"`
	Auth      `embed:"" group:"Callers"`
	Requests  `embed:"" group:"Requests"`
	Timeouts  `embed:"" group:"Time limits, the same for api and worker"`
	Telemetry `embed:"" group:"Logs and traces"`
}

// Worker is what a worker process can be told.
type Worker struct {
	AdminListen string `env:"DIALTONE_ADMIN_LISTEN" default:"127.0.0.1:0" placeholder:"HOST:PORT" group:"Listeners" help:"Address for metrics, health and readiness. Port 0 takes a free one, which the log names, so that any number of workers can be started on one machine."`
	Admin       `embed:"" group:"Listeners"`

	Postgres  `embed:"" group:"Postgres"`
	Redis     `embed:"" group:"Redis"`
	Keys      `embed:"" group:"Keys"`
	Work      `embed:"" group:"Work"`
	Retention `embed:"" group:"Work"`
	Guard     `embed:"" group:"Guard, the same for all workers"`
	Egress    `embed:"" group:"Egress"`
	Kerberos  `embed:"" group:"Kerberos"`
	Timeouts  `embed:"" group:"Time limits, the same for api and worker"`
	Telemetry `embed:"" group:"Logs and traces"`
}

// ParseAPI reads the api's configuration from args (without the program's
// name) and, for what they do not say, from getenv. Help goes to out, and
// ErrHelp says so. Any other error joins every problem found, names the
// variables, and holds none of their values.
func ParseAPI(args []string, getenv func(string) string, out io.Writer) (API, error) {
	var c API
	return c, parse(&c, "api", "Accept batches of connection tests and answer with what became of them.", args, getenv, out)
}

// ParseWorker is ParseAPI for the worker.
func ParseWorker(args []string, getenv func(string) string, out io.Writer) (Worker, error) {
	var c Worker
	return c, parse(&c, "worker", "Make the connection tests that the api has accepted.", args, getenv, out)
}

// checker finds what is wrong between values that are each fine.
type checker interface{ Check() error }

func parse(c checker, name, description string, args []string, getenv func(string) string, out io.Writer) error {
	env := NewEnvironment(getenv)
	helped := false
	options := append(env.Options(),
		kong.Name(name), kong.Description(description), kong.Writers(out, out),
		kong.Exit(func(int) { helped = true }),
	)
	parser, err := kong.New(c, options...)
	if err != nil {
		return err // a mistake in the structs, not in what they were told
	}
	_, err = parser.Parse(args)
	if helped {
		return ErrHelp
	}
	if err != nil {
		return env.Explain(err) // nothing has been read yet
	}
	if keys, ok := c.(interface{ keysetFrom(file string) }); ok {
		keys.keysetFrom(getenv("DIALTONE_KEYSET" + fileSuffix))
	}
	// A value that could not be read stands at its default, so what else is
	// wrong can be found all the same.
	return errors.Join(env.Explain(nil), c.Check())
}
