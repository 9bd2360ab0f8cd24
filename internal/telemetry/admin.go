package telemetry

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"dialtone/internal/secret"
)

// Check is one thing that a process needs in order to be ready.
type Check struct {
	// Name stands for it in the answer.
	Name string
	// Do returns nil when all is well. Its error goes to the log.
	Do func(context.Context) error
	// Advisory checks are shown, and do not make the process unready.
	Advisory bool
}

// AdminConfig are the admin server's tunables.
type AdminConfig struct {
	// Listen is its address.
	Listen string
	// TLS serves HTTPS where it is set.
	TLS *tls.Config
	// Token, if set, is asked for as a bearer token, and ClientCert for a
	// certificate that TLS has verified: each for everything but the probes of
	// life and readiness, whose askers have neither and which say next to nothing.
	Token      secret.Text
	ClientCert bool
	// Pprof serves /debug/pprof.
	Pprof bool
	// Checks decide whether the process is ready.
	Checks []Check
	// CheckTimeout bounds one check. Default 2 s.
	CheckTimeout time.Duration
	// CheckAge is how long an answer is good for. Default 1 s.
	CheckAge time.Duration
}

// Admin is the server for those who run the process: /metrics, /healthz,
// /readyz and, where it is switched on, /debug/pprof. It has a listener of its
// own and shows no configuration.
type Admin struct {
	log      *slog.Logger
	cfg      AdminConfig
	listener net.Listener
	http     *http.Server
	stopping atomic.Bool

	mu     sync.Mutex
	known  readiness
	taken  time.Time
	failed map[string]bool
}

// readiness is the answer of /readyz.
type readiness struct {
	Ready bool `json:"ready"`
	// Stopping says that the process is on its way out.
	Stopping bool `json:"stopping"`
	// Checks are ok, failed, or degraded for an advisory one.
	Checks map[string]string `json:"checks"`
}

// NewAdmin takes the address and serves nothing yet; Run does.
func NewAdmin(ctx context.Context, log *slog.Logger, metrics prometheus.Gatherer, cfg AdminConfig) (*Admin, error) {
	cfg.CheckTimeout = cmp.Or(cfg.CheckTimeout, 2*time.Second)
	cfg.CheckAge = cmp.Or(cfg.CheckAge, time.Second)
	var listening net.ListenConfig
	l, err := listening.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for the admin server: %w", err)
	}
	a := &Admin{log: log, cfg: cfg, listener: l, failed: map[string]bool{}}
	a.http = &http.Server{
		Handler:           a.routes(metrics),
		TLSConfig:         cfg.TLS,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return a, nil
}

// Addr is the address that is listened on.
func (a *Admin) Addr() net.Addr { return a.listener.Addr() }

// Stopping turns readiness off, for good. Call it first when a process stops,
// so that nobody sends it more work.
func (a *Admin) Stopping() { a.stopping.Store(true) }

// Run serves until ctx ends. Stop it last, so that a process that stops can
// still be looked at.
func (a *Admin) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() {
		if a.cfg.TLS != nil {
			served <- a.http.ServeTLS(a.listener, "", "")
		} else {
			served <- a.http.Serve(a.listener)
		}
	}()
	select {
	case err := <-served:
		return fmt.Errorf("admin server: %w", err)
	case <-ctx.Done():
	}
	a.Stopping()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if a.http.Shutdown(ctx) != nil {
		_ = a.http.Close() // a profile that is still being taken
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin server: %w", err)
	}
	return nil
}

func (a *Admin) routes(metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", a.guarded(a.closed(metrics)))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]bool{"alive": true})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		state := a.readiness(r.Context())
		status := http.StatusOK
		if !state.Ready {
			status = http.StatusServiceUnavailable
		}
		answer(w, status, state)
	})
	return mux
}

// closed is what not everybody may see. The command line is not among it, with
// or without pprof: it may hold a secret.
func (a *Admin) closed(metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: 4, EnableOpenMetrics: true,
	}))
	if a.cfg.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// guarded asks for what is configured to be asked for.
func (a *Admin) guarded(next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(a.cfg.Token.Reveal()))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.cfg.ClientCert && (r.TLS == nil || len(r.TLS.VerifiedChains) == 0) {
			answer(w, http.StatusForbidden, map[string]string{"error": "a client certificate is required"})
			return
		}
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(token))
		if a.cfg.Token.IsSet() && (!strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(got[:], want[:]) != 1) {
			w.Header().Set("Www-Authenticate", "Bearer")
			answer(w, http.StatusUnauthorized, map[string]string{"error": "a bearer token is required"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // whoever asked has gone
}

// readiness runs the checks, or gives their last answer while that is fresh:
// those who ask often must not weigh on what is asked about.
func (a *Admin) readiness(ctx context.Context) readiness {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.taken.IsZero() || time.Since(a.taken) >= a.cfg.CheckAge {
		// The answer is for all who ask, so it does not end with one of them.
		a.known = a.check(context.WithoutCancel(ctx))
		a.taken = time.Now()
	}
	state := a.known
	if state.Stopping = a.stopping.Load(); state.Stopping {
		state.Ready = false
	}
	return state
}

// check runs every check at once.
func (a *Admin) check(ctx context.Context) readiness {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.CheckTimeout)
	defer cancel()
	errs := make([]error, len(a.cfg.Checks))
	var running sync.WaitGroup
	for i, c := range a.cfg.Checks {
		running.Go(func() { errs[i] = c.Do(ctx) })
	}
	running.Wait()
	state := readiness{Ready: true, Checks: map[string]string{}}
	for i, c := range a.cfg.Checks {
		a.note(ctx, c.Name, errs[i])
		switch {
		case errs[i] == nil:
			state.Checks[c.Name] = "ok"
		case c.Advisory:
			state.Checks[c.Name] = "degraded"
		default:
			state.Checks[c.Name], state.Ready = "failed", false
		}
	}
	return state
}

// note logs a check's changes, not its every answer.
func (a *Admin) note(ctx context.Context, name string, err error) {
	switch {
	case err != nil && !a.failed[name]:
		a.log.WarnContext(ctx, "check fails", "check", name, "error", err)
	case err == nil && a.failed[name]:
		a.log.InfoContext(ctx, "check passes again", "check", name)
	}
	a.failed[name] = err != nil
}
