// Package api is the front of the service: the routes of openapi.yaml, who may
// call them, what is wrong with a request, and how batches, verdicts and jobs
// look on the wire, in DRS's codes and in two languages. It knows no SQL, no
// queue and no database protocol; Echo is known nowhere else.
package api

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"

	"dialtone/internal/api/wire"
	"dialtone/internal/auth"
	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/secret"
)

//go:embed openapi.yaml
var document []byte

// Authenticator says who calls.
type Authenticator interface {
	// Precheck refuses what Verify would refuse whatever the body is.
	Precheck(ctx context.Context, r *http.Request, project string) error
	Verify(ctx context.Context, r *http.Request, body []byte, project string) (auth.Caller, error)
}

// Submitter accepts batches. It is a batch.Submitter.
type Submitter interface {
	Submit(ctx context.Context, r batch.Request) (batch.Batch, error)
}

// Waiter waits for a batch: one that was submitted to be waited for, or one
// that was found by its key. It is a batch.Hub.
type Waiter interface {
	Wait(ctx context.Context, id string) error
	Join(ctx context.Context, id string) error
}

// Keys remembers what requests with an Idempotency-Key became. It is a
// batch.Keys.
type Keys interface {
	Once(key string, request secret.Text) batch.Once
	Recall(ctx context.Context, project string, o batch.Once) (batch.Recalled, error)
	Hold(project, key, batchID string) (end func(ctx context.Context, answer []byte))
}

// Canceller ends batches that nobody wants any more. It is a batch.Canceller.
type Canceller interface {
	Cancel(ctx context.Context, project, id string) error
}

// Ender ends batches whose caller has waited long enough; see batch.Ender.
type Ender interface {
	ExpireBatch(ctx context.Context, id string) error
}

// Batches reads batches; see batch.Reader.
type Batches interface {
	Batch(ctx context.Context, project, id string) (batch.Batch, []batch.Test, error)
	List(ctx context.Context, q batch.Query) (batch.Page, error)
	Events(ctx context.Context, project, id string, after int) (batch.Batch, []batch.Test, error)
}

// JobReader reads jobs.
type JobReader interface {
	// Jobs gives the project's jobs among ids, deleted ones too, in any order.
	Jobs(ctx context.Context, project string, ids []string) ([]job.Record, error)
	// ListJobs gives a page of the project's jobs, newest first, and how many
	// there are on all pages; children and deleted ones are among them.
	ListJobs(ctx context.Context, f job.Filter) ([]job.Record, int, error)
}

// JobWriter changes jobs.
type JobWriter interface {
	// CreateJobs stores the jobs, all or none; job.ErrNameTaken.
	CreateJobs(ctx context.Context, jobs []job.Record) error
	// UpdateJob lets change alter a job under its lock; change sees the
	// endpoints opened. job.ErrNotFound, job.ErrNameTaken or what change
	// returned, and then nothing is changed.
	UpdateJob(ctx context.Context, project, id string, change func(*job.Record) error) (job.Record, error)
	// PutJobState stores what is known of a job, and says whether it is new.
	PutJobState(ctx context.Context, j job.Job) (job.Job, bool, error)
}

// Observer is told what happened, for metrics. Its methods must return at once
// and are called concurrently.
type Observer interface {
	// Request: a request was answered. route is a pattern of a closed set,
	// "" if none fitted; for an event stream took is its whole life.
	Request(method, route string, status int, took time.Duration)
	// Answered: a caller got the results of the batch it waited for.
	Answered(b batch.Batch, results []batch.Result, waited time.Duration)
	// Streams: so many event streams more or less are open.
	Streams(change int)
	// Repeated: a request came with a key that was in use: it was answered from
	// what is "stored", "joined" the batch of an api that is gone, or was refused
	// because its answer is being made ("in_flight") or because the key stands
	// for another request ("mismatch").
	Repeated(outcome string)
}

// quiet is the Observer that does nothing.
type quiet struct{}

func (quiet) Request(string, string, int, time.Duration)          {}
func (quiet) Answered(batch.Batch, []batch.Result, time.Duration) {}
func (quiet) Streams(int)                                         {}
func (quiet) Repeated(string)                                     {}

// Parts are what a Server works with.
type Parts struct {
	Auth      Authenticator
	Submitter Submitter
	Waiter    Waiter
	Batches   Batches
	Ender     Ender
	Canceller Canceller
	Keys      Keys
	JobReader JobReader
	JobWriter JobWriter
	// Observer may be nil.
	Observer Observer
	// Audit takes the audit lines; nil: the log.
	Audit *slog.Logger
}

// Config are the Server's tunables.
type Config struct {
	// MaxEntries is the most entries of one test request, BulkEntries of one
	// that asks for an answer at once. Defaults 10 and 1,000.
	MaxEntries  int
	BulkEntries int
	// MaxObjects is the most endpoints in one property of the cluster call.
	// Default 64.
	MaxObjects int
	// MaxBody is the longest request body in bytes. Default 16 MiB.
	MaxBody int64
	// BodyMemory is how many bytes of bodies are held at once, each until its
	// request is answered. Default 256 MiB, or MaxBody if that is more.
	BodyMemory int64
	// BodyTimeout is how long a body may take to arrive. Default 30 s.
	BodyTimeout time.Duration
	// Wait is how long a synchronous caller waits for its batch, from when it is
	// taken in. Default 60 s; clients give up after 120 s.
	Wait time.Duration
	// SubmitTimeout bounds accepting a batch. Default 10 s.
	SubmitTimeout time.Duration
	// CallTimeout bounds every call that neither tests nor follows a batch, once
	// its body is there. Default 10 s.
	CallTimeout time.Duration
	// EventTimeout bounds each look of an event stream for news. Default 5 s.
	EventTimeout time.Duration
	// EndTimeout bounds what is asked of the store for who has waited or comes a
	// second time: ending and reading a batch after the wait, and looking up a key
	// before it. Default 1.5 s, so that a caller is answered within two seconds of
	// the deadline also while the store is away.
	EndTimeout time.Duration
	// RequestsPerSecond and Burst limit the requests of one project. Defaults
	// 100 and 400; a negative rate means no limit.
	RequestsPerSecond float64
	Burst             int
	// Readers are the roles that may read and nothing else: a caller who has
	// no other is refused what changes or tests. Default reader and
	// DRS ReadOnlyAccess.
	Readers []string
	// Streams is how many event streams a project may have open. Default 64.
	Streams int
	// EventPoll is how often an event stream looks for news. Default 400 ms.
	EventPoll time.Duration
	// Heartbeat is how often an idle event stream says that it lives. Default
	// 15 s.
	Heartbeat time.Duration
	// Proxies are those whose X-Forwarded-For is believed. Default none.
	Proxies []netip.Prefix
	// Middleware wraps everything, for tracing; nil means none. After the
	// next handler the request's Pattern holds its route.
	Middleware func(http.Handler) http.Handler
	// Trace gives the trace of a context as text for a batch to carry; nil
	// means none.
	Trace func(context.Context) string
}

func (c Config) withDefaults() Config {
	c.MaxEntries = cmp.Or(c.MaxEntries, 10)
	c.BulkEntries = cmp.Or(c.BulkEntries, 1000)
	c.MaxObjects = cmp.Or(c.MaxObjects, 64)
	c.MaxBody = cmp.Or(c.MaxBody, 16<<20)
	c.BodyMemory = cmp.Or(c.BodyMemory, max(256<<20, c.MaxBody))
	c.BodyTimeout = cmp.Or(c.BodyTimeout, 30*time.Second)
	c.Wait = cmp.Or(c.Wait, time.Minute)
	c.SubmitTimeout = cmp.Or(c.SubmitTimeout, 10*time.Second)
	c.CallTimeout = cmp.Or(c.CallTimeout, 10*time.Second)
	c.EventTimeout = cmp.Or(c.EventTimeout, 5*time.Second)
	c.EndTimeout = cmp.Or(c.EndTimeout, 1500*time.Millisecond)
	c.RequestsPerSecond = cmp.Or(c.RequestsPerSecond, 100)
	c.Burst = cmp.Or(c.Burst, 400)
	c.Streams = cmp.Or(c.Streams, 64)
	c.EventPoll = cmp.Or(c.EventPoll, 400*time.Millisecond)
	c.Heartbeat = cmp.Or(c.Heartbeat, 15*time.Second)
	if c.Readers == nil {
		c.Readers = []string{"reader", "DRS ReadOnlyAccess"}
	}
	if c.Trace == nil {
		c.Trace = func(context.Context) string { return "" }
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	for name, n := range map[string]int64{
		"MaxEntries": int64(c.MaxEntries), "BulkEntries": int64(c.BulkEntries), "MaxObjects": int64(c.MaxObjects), "MaxBody": c.MaxBody, "BodyMemory": c.BodyMemory, "BodyTimeout": int64(c.BodyTimeout),
		"Wait": int64(c.Wait), "SubmitTimeout": int64(c.SubmitTimeout), "EndTimeout": int64(c.EndTimeout),
		"CallTimeout": int64(c.CallTimeout), "Streams": int64(c.Streams), "EventTimeout": int64(c.EventTimeout),
		"Burst": int64(c.Burst), "EventPoll": int64(c.EventPoll), "Heartbeat": int64(c.Heartbeat),
	} {
		if n <= 0 {
			errs = append(errs, fmt.Errorf("api: %s must be positive", name))
		}
	}
	if c.BodyMemory < c.MaxBody {
		errs = append(errs, fmt.Errorf("api: BodyMemory of %d bytes does not hold a body of MaxBody, %d", c.BodyMemory, c.MaxBody))
	}
	if whole := c.SubmitTimeout + c.Wait + c.EndTimeout; whole >= 120*time.Second {
		errs = append(errs, fmt.Errorf("api: SubmitTimeout, Wait and EndTimeout add up to %s; clients give up after 120 s", whole))
	}
	return errors.Join(errs...)
}

// Server answers the API. It is safe for concurrent use.
type Server struct {
	reader
	log     *slog.Logger
	audit   *slog.Logger
	parts   Parts
	cfg     Config
	limits  *limits
	bodies  *semaphore.Weighted
	streams *streams
	handler http.Handler
	// draining ends when event streams are to end.
	draining context.Context //nolint:containedctx // a switch for all streams, not a request's context
	drain    context.CancelFunc
}

// New wires a Server, or says everything that is wrong with its configuration.
func New(log *slog.Logger, parts Parts, cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	r, err := newReader(cfg.MaxObjects)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if parts.Observer == nil {
		parts.Observer = quiet{}
	}
	s := &Server{reader: r, log: log, audit: cmp.Or(parts.Audit, log), parts: parts, cfg: cfg, limits: newLimits(cfg.RequestsPerSecond, cfg.Burst), bodies: semaphore.NewWeighted(cfg.BodyMemory), streams: newStreams(cfg.Streams)}
	s.draining, s.drain = context.WithCancel(context.Background())
	s.handler = s.route()
	return s, nil
}

// Handler answers requests. The http.Server around it should set
// ReadHeaderTimeout and IdleTimeout; it must not set WriteTimeout below the
// wait. Bodies and event streams set deadlines of their own.
func (s *Server) Handler() http.Handler { return s.handler }

// Drain ends all event streams, whose clients will come back with the id of
// the last event. Call it when the http.Server begins to shut down, which
// waits for them: srv.RegisterOnShutdown(api.Drain).
func (s *Server) Drain() { s.drain() }

// route builds the Echo.
func (s *Server) route() http.Handler {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = s.fail
	e.Binder = treeBinder{}
	e.Use(s.observe, s.identify, s.authenticate, s.limit, s.check, s.limitStreams)
	strict := wire.NewStrictHandler(operations{s}, []wire.StrictMiddlewareFunc{s.bound})
	wire.RegisterHandlers(e, strict)
	if s.cfg.Middleware != nil {
		return s.cfg.Middleware(e)
	}
	return e
}
