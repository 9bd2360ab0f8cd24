// Command dialtone tests database connections: as a service in one process
// (up), once from the command line (test), and as the tool for what the api
// and the worker need around them (migrate, keys, egress).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"dialtone/internal/config"
)

// The exit codes. They are part of the interface: scripts branch on them.
const (
	exitOK     = 0
	exitFailed = 1 // some endpoint failed, or the service ended with an error
	exitUsage  = 2 // the call itself is wrong
)

// cli is what the command line and the environment can say.
type cli struct {
	Up      upCommand      `cmd:"" help:"Run api and worker in this process, with nothing to install."`
	Test    testCommand    `cmd:"" help:"Test endpoints once, and say what is wrong with each."`
	Migrate migrateCommand `cmd:"" help:"Bring the Postgres schema to this binary's version."`
	Keys    keysCommand    `cmd:"" help:"Make and change the keyset that seals secrets."`
	Egress  egressCommand  `cmd:"" help:"Explain what the allow-list lets be tested."`
}

// console is where a command talks to its user.
type console struct {
	getenv func(string) string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	// terminal says that stderr is one: progress may be drawn.
	terminal bool
	// columns is the width of the terminal that stdout is, 0 if it is none.
	columns int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	c := console{
		getenv: os.Getenv, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		terminal: columns(os.Stderr) > 0 && os.Getenv("TERM") != "dumb", columns: columns(os.Stdout),
	}
	code := run(ctx, os.Args[1:], c)
	stop()
	os.Exit(code)
}

// note tells the user something. Nobody can be told if that fails.
func (c console) note(text string) { _, _ = fmt.Fprintln(c.stderr, text) }

// columns is the width of the terminal that f is, 0 if it is none.
func columns(f *os.File) int {
	width, _, err := term.GetSize(int(f.Fd()))
	switch {
	case err != nil:
		return 0
	case width == 0: // a terminal that does not know
		return 80
	default:
		return width
	}
}

// errFailed ends a command with exitFailed when everything worth saying has
// been said.
var errFailed = errors.New("failed")

// usageError is a mistake in the call.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }

func (e usageError) Unwrap() error { return e.err }

// run parses and runs one command, and gives the process's exit code.
func run(ctx context.Context, args []string, c console) int {
	var root cli
	exit := -1
	env := config.NewEnvironment(c.getenv)
	parser, err := kong.New(&root, append(env.Options(),
		kong.Name("dialtone"),
		kong.Description("Test database connections before a migration needs them."),
		kong.Writers(c.stdout, c.stderr),
		kong.Exit(func(code int) { exit = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)...)
	if err != nil { // a mistake in the structs
		complain(c, err)
		return exitUsage
	}
	parsed, err := parser.Parse(args)
	if exit >= 0 { // --help has been answered
		return exit
	}
	if err = env.Explain(err); err != nil {
		complain(c, err)
		c.note("See dialtone --help, or dialtone COMMAND --help.")
		return exitUsage
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run(c)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errFailed):
		return exitFailed
	}
	complain(c, err)
	if _, wrong := errors.AsType[usageError](err); wrong {
		return exitUsage
	}
	return exitFailed
}

// complain says what is wrong, a line for each problem.
func complain(c console, err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		c.note("dialtone: " + line)
	}
}
