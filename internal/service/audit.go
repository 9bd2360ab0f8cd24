package service

import (
	"context"
	"io"
	"sync"

	"dialtone/internal/audit"
	"dialtone/internal/batch"
)

// auditing is an Observer that has the verdicts of batches audited beside.
type auditing struct {
	batch.Observer

	verdicts *audit.Verdicts
}

// Auditing has the verdicts of batches that are done audited, beside what the
// observer does; nil is an observer that does nothing.
func Auditing(observer batch.Observer, verdicts *audit.Verdicts) batch.Observer {
	if observer == nil {
		observer = batch.Quiet{}
	}
	return auditing{observer, verdicts}
}

// Accepted implements batch.Observer.
func (a auditing) Accepted(b batch.Batch) {
	a.Observer.Accepted(b)
	a.verdicts.Accepted(b)
}

// Completed implements batch.Observer.
func (a auditing) Completed(done []batch.Completion) {
	a.Observer.Completed(done)
	a.verdicts.Completed(done)
}

// audits opens the audit log of the process.
func (p *Process) audits(path string, stderr io.Writer, format string) (err error) {
	p.Audit, err = audit.Open(path, stderr, format, func(err error) { p.Log.Error("audit line not written", "error", err) })
	if err != nil {
		return err
	}
	p.Audit.Logger = p.Audit.With("process", p.Name)
	p.Verdicts = audit.NewVerdicts(p.Audit.Logger, p.Log, p.Store)
	return nil
}

// reopenAudit opens the audit log's file again, which may have been moved away.
func (p *Process) reopenAudit(ctx context.Context) {
	if err := p.Audit.Reopen(); err != nil {
		p.Log.ErrorContext(ctx, "audit log not opened again; the old file stays in use", "error", err)
	}
}

// lines lets several logs write to one stream, a whole line at a time.
type lines struct {
	mu sync.Mutex
	to io.Writer
}

// Write implements io.Writer.
func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(line)
}
