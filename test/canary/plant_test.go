package canary_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	_ "modernc.org/sqlite"

	"dialtone/internal/config"
	"dialtone/internal/egress"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
	"dialtone/internal/service"
	"dialtone/test/system"
)

// plant is a marker that is put somewhere on purpose, and must be found there.
type plant struct {
	t      *testing.T
	secret string
	s      *searcher
}

func newPlant(t *testing.T) *plant {
	t.Helper()
	reg := &registry{}
	planted := reg.draw("planted", "in every place", anything)
	return &plant{t, planted, newSearcher(reg.all())}
}

// found fills a place in the way of the run, and looks there.
func (p *plant) found(where string, fill func(into *place)) {
	p.t.Helper()
	into := &place{name: where}
	fill(into)
	if len(into.search(p.s)) == 0 {
		p.t.Errorf("what was put into %s was not found", where)
	}
}

// TestPlanted: every form is found in everything that a process shows or writes
// itself.
func TestPlanted(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	for _, f := range forms() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			text := f.write(p.secret)
			p := &plant{t, p.secret, p.s}
			p.found("a log in JSON", func(into *place) { slog.New(slog.NewJSONHandler(into.stream(), nil)).Info("x", "a", text) })
			p.found("a log as text", func(into *place) { slog.New(slog.NewTextHandler(into.stream(), nil)).Info("x", "a", text) })
			p.found("a log of a value", func(into *place) {
				slog.New(slog.NewTextHandler(into.stream(), nil)).Info("x", "a", map[string]any{text: 1})
			})
			p.found("an error in an error", func(into *place) {
				into.add(fmt.Appendf(nil, "%q", fmt.Errorf("a: %w", fmt.Errorf("%q", text)).Error()))
			})
			p.found("a trace", func(into *place) { into.add(traceWith(text)) })
			p.inAnswers(text)
			p.inFiles(text)
			p.inProcess(text)
		})
	}
	if found := p.s.search([]byte(strings.Repeat("nothing of this is secret ", 1000))); len(found) > 0 {
		t.Errorf("found where nothing is: %v", found)
	}
}

// inAnswers puts a text into what is answered over HTTP.
func (p *plant) inAnswers(text string) {
	t := p.t
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "planted", Help: "A marker.", ConstLabels: prometheus.Labels{"a": strings.ToValidUTF8(text, "")}}, func() float64 { return 1 }))
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("/body", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"error_msg": text})
	})
	mux.HandleFunc("/header", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Planted", text) })
	mux.HandleFunc("/events", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprintf(w, "event: test\ndata: %s\n\n", jsonInner(text))
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	for path, events := range map[string]bool{"/metrics": false, "/body": false, "/header": false, "/events": true} {
		if path == "/header" && strings.ContainsRune(text, 0) {
			continue // no header has zeros
		}
		p.found("an answer, "+path, func(into *place) {
			r := &recorder{next: srv.Client().Transport, answers: into, events: &place{}}
			if events {
				r.answers, r.events = r.events, into
			}
			resp, err := (&http.Client{Transport: r}).Get(srv.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			finish(resp)
		})
	}
}

// inFiles puts a text into a database of SQLite, and into its log of what was
// written.
func (p *plant) inFiles(text string) {
	t := p.t
	dir := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, "planted.db")+"?_pragma=journal_mode(wal)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range []string{"create table planted (v)", "insert into planted values (?)", "update planted set v = ''"} {
		args := []any{}
		if strings.Contains(statement, "?") {
			args = append(args, []byte(text))
		}
		if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	p.found("SQLite's log", func(into *place) { into.addFiles(t, dir) })
}

// inProcess puts a text into a command line and an environment.
func (p *plant) inProcess(text string) {
	t := p.t
	if strings.ContainsRune(text, 0) {
		return // neither can have zeros
	}
	for what, cmd := range map[string]*exec.Cmd{
		"an environment": {Args: []string{"sleep", "60"}, Env: []string{"PLANTED=" + text}},
		"a command line": {Args: []string{"tail", "-f", "/dev/null", "--", text}, Env: []string{"PLANTED="}},
	} {
		cmd.Path = system.Program(t, cmd.Args[0])
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Between fork and exec it is still ours.
		system.Eventually(t, system.WaitForServers, "the process is there", func() bool {
			raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", cmd.Process.Pid))
			return strings.HasPrefix(string(raw), "PLANTED=")
		})
		p.found(what, func(into *place) { proc(t, cmd.Process.Pid, into) })
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// planted puts a marker of its own into the servers of the run for every form
// and every kind of column, and expects each to be found.
func (r *run) planted() {
	t := r.t
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, r.s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	do := func(statement string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(ctx, statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	var inPostgres, inRedis registry
	for _, column := range []string{"bytea", "text", "jsonb"} {
		do("create table canary_planted_" + column + " (v " + column + ")")
		for _, f := range forms() {
			text := f.write(inPostgres.draw("planted", column+", "+f.name, anything))
			value := map[string]any{"bytea": []byte(text), "text": text, "jsonb": map[string]string{"a": text}}[column]
			if column != "bytea" && (strings.ContainsRune(text, 0) || !utf8.ValidString(text)) {
				value = nil // Postgres' text has neither zeros nor broken characters
				inPostgres.markers = inPostgres.markers[:len(inPostgres.markers)-1]
			}
			do("insert into canary_planted_"+column+" values ($1)", value)
		}
	}
	for _, f := range forms() {
		text := f.write(inRedis.draw("planted", "Redis, "+f.name, anything))
		if err := r.client.HSet(ctx, "canary:planted", f.name, text).Err(); err != nil {
			t.Fatal(err)
		}
	}
	stored, kept := &place{name: "Postgres, with what was planted"}, &place{name: "Redis, with what was planted"}
	dumpPostgres(t, r.s.DSN, stored)
	r.dumpRedis(t, kept)
	for _, column := range []string{"bytea", "text", "jsonb"} {
		do("drop table canary_planted_" + column)
	}
	if err := r.client.Del(ctx, "canary:planted").Err(); err != nil {
		t.Fatal(err)
	}
	everyOne(t, stored, inPostgres.all())
	everyOne(t, kept, inRedis.all())

	// Deleted by now, but written once.
	postgres, redis := newSearcher(inPostgres.all()), newSearcher(inRedis.all())
	for name, s := range map[string]*searcher{r.postgresDir: postgres, r.redisDir: redis} {
		files := &place{name: name}
		files.addFiles(t, name)
		if len(files.search(s)) == 0 {
			t.Errorf("what was planted and removed is not found in %s", name)
		}
	}
	for live, s := range map[*place]*searcher{r.postgresLog: postgres, r.place("what Redis was told"): redis} {
		system.Eventually(t, system.WaitForServers, live.name+" tells of what was planted", func() bool { return len(live.search(s)) > 0 })
	}
}

// everyOne expects that each of the markers is found.
func everyOne(t *testing.T, p *place, planted []*marker) {
	t.Helper()
	found := map[*marker]bool{}
	for _, f := range p.search(newSearcher(planted)) {
		found[f.marker] = true
	}
	for _, m := range planted {
		if !found[m] {
			t.Errorf("%s: %s was not found", p.name, m)
		}
	}
}

// traceWith is what a process sends to a collector, with a text among the
// attributes of a span.
func traceWith(text string) []byte {
	attribute := &common.KeyValue{Key: "a", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: strings.ToValidUTF8(text, "")}}}
	raw, err := proto.Marshal(&collector.ExportTraceServiceRequest{ResourceSpans: []*otlp.ResourceSpans{{
		ScopeSpans: []*otlp.ScopeSpans{{Spans: []*otlp.Span{{Name: "test", Attributes: []*common.KeyValue{attribute}}}}},
	}}})
	if err != nil {
		panic(err)
	}
	return raw
}

// panicking is a prober that panics with the password in its hands.
type panicking struct{}

func (panicking) Engines() []probe.Engine { return []probe.Engine{probe.MySQL} }

func (p panicking) Probe(_ context.Context, s *probe.Session) error {
	return p.explode(s.Target.Password.Reveal(), s.Target)
}

//go:noinline
func (panicking) explode(password string, _ *probe.Target) error {
	panic("the password is " + password)
}

// TestPanic: what is logged and reported of a driver that panics does not hold
// what it had.
func TestPanic(t *testing.T) {
	t.Parallel()
	reg := &registry{}
	password := reg.draw("Target.Password", "of a driver that panics", anything)
	logged := &place{name: "the log of a panic", holds: []string{"a driver panicked", "explode"}}
	policy, err := egress.New(egress.Config{Open: true})
	if err != nil {
		t.Fatal(err)
	}
	limits := config.Timeouts{}
	log := slog.New(slog.NewJSONHandler(logged.stream(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	runner, err := service.OpenRunner(log, policy, []probe.Prober{panicking{}}, config.Egress{EgressDials: 1, EgressReadLimit: 1 << 20}, limits, nil)
	if err != nil {
		t.Fatal(err)
	}
	report, err := runner.Run(t.Context(), probe.Target{
		Engine: probe.MySQL, Network: "eip", Addresses: []probe.Address{{Host: "127.0.0.1", Port: 9}}, User: "u", Password: secret.New(password),
	})
	if err != nil || report.OK() {
		t.Fatalf("%+v, %v", report, err)
	}
	raw, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	logged.add(raw)
	logged.add(fmt.Appendf(nil, "%+v %#v", report, report))
	logged.report(t, newSearcher(reg.all()))
}
