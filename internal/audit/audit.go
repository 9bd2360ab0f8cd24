// Package audit is the audit log: who asked to test what, from where, and with
// which verdict; who was refused; who changed keys and jobs. Each line has the
// field audit with its kind, and fields that stay as docs/operations.md lists
// them. It writes what it is given and decides nothing.
package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
)

// Log is an audit log. It is safe for concurrent use.
type Log struct {
	*slog.Logger

	out *output
}

// Open opens the audit log: the file at path, to which it appends, or stderr
// where path is "". format is json or text. troubled is told when a line cannot
// be written, once until one can be again.
func Open(path string, stderr io.Writer, format string, troubled func(error)) (*Log, error) {
	out := &output{path: path, to: stderr, troubled: troubled}
	if err := out.open(); err != nil {
		return nil, err
	}
	// Lines are written whatever level the rest of the log has.
	options := &slog.HandlerOptions{Level: slog.LevelInfo}
	var handler slog.Handler = slog.NewJSONHandler(out, options)
	if format == "text" {
		handler = slog.NewTextHandler(out, options)
	}
	return &Log{Logger: slog.New(handler), out: out}, nil
}

// Reopen opens the file again, after it was moved away; on an error the old one
// stays open.
func (l *Log) Reopen() error { return l.out.open() }

// Close closes the file.
func (l *Log) Close() error { return l.out.close() }

// output is a file that can be opened again, or a stream.
type output struct {
	path     string
	troubled func(error)

	mu   sync.Mutex
	to   io.Writer
	file *os.File
	bad  bool
}

func (o *output) open() error {
	if o.path == "" {
		return nil
	}
	next, err := os.OpenFile(o.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("audit log: %w", cause(err))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	old := o.file
	o.file, o.to = next, next
	if old != nil {
		_ = old.Close() // every line is written at once
	}
	return nil
}

func (o *output) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.file == nil {
		return nil
	}
	err := o.file.Close()
	o.file, o.to = nil, io.Discard
	return err
}

// Write writes a line.
func (o *output) Write(line []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.to.Write(line)
	if err != nil && !o.bad && o.troubled != nil {
		o.troubled(fmt.Errorf("audit log: %w", cause(err)))
	}
	o.bad = err != nil
	return n, err
}

// cause leaves the path out.
func cause(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err
	}
	return err
}
