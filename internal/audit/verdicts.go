package audit

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"dialtone/internal/batch"
)

// Reader reads batches; see batch.Reader.
type Reader interface {
	Batch(ctx context.Context, project, id string) (batch.Batch, []batch.Test, error)
}

// Verdicts writes what became of each test of a batch when the batch is done,
// whoever waits for it or does not. It is told by the process in which the last
// test ended, and reads the batch beside the work: nothing waits for it.
type Verdicts struct {
	audit *slog.Logger
	log   *slog.Logger
	store Reader

	mu   sync.Mutex
	todo []batch.Completion
	wake chan struct{}
}

// NewVerdicts makes Verdicts that writes to audit, and tells log of trouble.
func NewVerdicts(audit, log *slog.Logger, store Reader) *Verdicts {
	return &Verdicts{audit: audit, log: log, store: store, wake: make(chan struct{}, 1)}
}

// Completed takes batches that are done. It returns at once.
func (v *Verdicts) Completed(done []batch.Completion) {
	if len(done) == 0 {
		return
	}
	v.mu.Lock()
	v.todo = append(v.todo, done...)
	v.mu.Unlock()
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// Accepted takes a batch that was done as soon as it was stored.
func (v *Verdicts) Accepted(b batch.Batch) {
	if b.FinishedAt != nil {
		v.Completed([]batch.Completion{{BatchID: b.ID, Project: b.Project, ReplyTo: b.ReplyTo}})
	}
}

// lastTry is how long what is left may take when the process ends.
const lastTry = 5 * time.Second

// Run writes until ctx ends, and then what is left. While the store is away it
// tries again.
func (v *Verdicts) Run(ctx context.Context) error {
	for {
		select {
		case <-v.wake:
			v.work(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTry)
			defer cancel()
			v.work(last)
			if n := v.left(); n > 0 {
				v.log.ErrorContext(last, "verdicts not in the audit log: the store does not answer and the process ends", "batches", n)
			}
			return nil
		}
	}
}

func (v *Verdicts) left() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.todo)
}

// work writes all there is to write.
func (v *Verdicts) work(ctx context.Context) {
	pause := 100 * time.Millisecond
	for {
		v.mu.Lock()
		if len(v.todo) == 0 {
			v.mu.Unlock()
			return
		}
		next := v.todo[0]
		v.mu.Unlock()
		err := v.write(ctx, next)
		if errors.Is(err, batch.ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			select {
			case <-time.After(pause):
				pause = min(2*pause, 2*time.Second)
				continue
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			v.log.ErrorContext(ctx, "verdicts not in the audit log", "batch", next.BatchID, "error", err)
		}
		v.mu.Lock()
		if v.todo = v.todo[1:]; len(v.todo) == 0 {
			v.todo = nil // let go of what it has grown to
		}
		v.mu.Unlock()
	}
}

func (v *Verdicts) write(ctx context.Context, c batch.Completion) error {
	ctx, cancel := context.WithTimeout(ctx, lastTry)
	defer cancel()
	b, tests, err := v.store.Batch(ctx, c.Project, c.BatchID)
	if err != nil {
		return err
	}
	for _, t := range tests {
		attrs := []slog.Attr{
			slog.String("audit", "verdict"), slog.String("batch", b.ID), slog.String("project", b.Project), slog.String("caller", b.Caller),
			slog.String("test", t.ID), slog.Int("entry", t.Entry), slog.Int("object", t.Object), slog.String("job", t.JobID),
			slog.String("engine", string(t.Target.Engine)), slog.String("network", t.Network),
		}
		if len(t.Target.Addresses) > 0 {
			attrs = append(attrs, slog.String("host", t.Target.Addresses[0].Host), slog.Int("port", int(t.Target.Addresses[0].Port)))
		}
		attrs = append(attrs, outcome(t)...)
		v.audit.LogAttrs(ctx, slog.LevelInfo, "test ended", attrs...)
	}
	return nil
}

// outcome is what became of a test.
func outcome(t batch.Test) []slog.Attr {
	if t.Report == nil {
		return []slog.Attr{slog.String("verdict", "")}
	}
	attrs := []slog.Attr{
		slog.String("address", t.Report.Evidence.Address), slog.String("verdict", string(t.Report.Code)),
		slog.Bool("login_sent", t.Report.LoginSent), slog.String("worker", t.Worker),
	}
	if t.Report.SameAs != "" {
		attrs = append(attrs, slog.String("same_as", t.Report.SameAs))
	}
	if t.Report.SharedFrom != "" {
		attrs = append(attrs, slog.String("shared_from", t.Report.SharedFrom))
	}
	if t.FinishedAt != nil {
		attrs = append(attrs, slog.Time("finished_at", *t.FinishedAt))
	}
	return attrs
}
