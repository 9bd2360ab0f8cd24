package canary_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"dialtone/test/system"
)

// outcome is what a read of a batch gives, as far as it is looked at.
type outcome struct {
	State   string `json:"state"`
	Open    int    `json:"open"`
	Results []struct {
		Tests []struct {
			Report struct {
				Code     string          `json:"code"`
				Evidence json.RawMessage `json:"evidence"`
			} `json:"report"`
		} `json:"tests"`
	} `json:"results"`
}

// read reads a batch, in both languages.
func (r *run) read(id string) outcome {
	r.t.Helper()
	r.s.Must(http.MethodGet, "/batch-connections/"+id, nil, "X-Language", "zh-cn")
	a := r.s.Must(http.MethodGet, "/batch-connections/"+id, nil)
	if a.Status != http.StatusOK {
		r.t.Fatalf("read batch %s: %d %s", id, a.Status, a.Body)
	}
	var o outcome
	a.Decode(r.t, &o)
	return o
}

// codes are the verdicts of a batch in the order of its entries.
func (o outcome) codes() []string {
	var all []string
	for _, result := range o.Results {
		for _, test := range result.Tests {
			all = append(all, test.Report.Code)
		}
	}
	return all
}

// body is a request with the entries, each under an id of its own.
func (r *run) body(entries []sent) map[string]any {
	jobs := make([]system.Entry, len(entries))
	for i, e := range entries {
		r.number++
		jobs[i] = e.With(system.Entry{"id": fmt.Sprintf("canary-job-%d", r.number)})
	}
	r.batches, r.tests = r.batches+1, r.tests+len(entries)
	return map[string]any{"jobs": jobs}
}

// later sends a batch that nobody waits for.
func (r *run) later(entries []sent) (id string) {
	r.t.Helper()
	a := r.s.Must(http.MethodPost, "/jobs/batch-connection", r.body(entries), "Prefer", "respond-async")
	if a.Status != http.StatusAccepted {
		r.t.Fatalf("async: %d %s", a.Status, a.Body)
	}
	return a.Header.Get("X-Batch-Id")
}

// follow reads the event stream of a batch to its end.
func (r *run) follow(id string) {
	r.t.Helper()
	a := r.s.Must(http.MethodGet, "/batch-connections/"+id+"/events", nil)
	if a.Status != http.StatusOK {
		r.t.Errorf("events: %d %s", a.Status, a.Body)
	}
}

// everyEngine sends what passes and what fails: in a call that waits, in one
// that does not and whose events are read, in the cluster call, and through the
// second api.
func (r *run) everyEngine() {
	t := r.t
	entries := append(r.stores(), r.boasts()...)
	entries = append(entries, r.ownKey())
	all, every := engines(), forms()
	pads := []int{40, 110, 235, 490, 1000, 4075, 16360}
	for i, e := range all {
		entries = append(entries, r.admitted(e, "right"))
		entries = append(entries, r.refusals(e)...)
		some, ends := []form{every[i%len(every)], every[(i+len(all))%len(every)], every[(i+2*len(all))%len(every)]}, pads[i%len(pads):][:1]
		if *long {
			some, ends = every, pads
		}
		entries = append(entries, r.echoes(e, some, ends)...)
	}
	// One account after the other on one server would wait in turn.
	slices.SortStableFunc(entries, func(a, b sent) int { return strings.Compare(a.what, b.what) })

	var calling sync.WaitGroup
	var mu sync.Mutex
	answered := map[string][]sent{}
	for i, part := range split(entries, 3) {
		body := r.body(part)
		calling.Go(func() {
			var a system.Answer
			switch i {
			case 0:
				a = r.s.Must(http.MethodPost, "/jobs/batch-connection", body)
			case 1:
				a = r.s.Must(http.MethodPost, "/jobs/batch-connection", body, "Prefer", "respond-async")
				r.follow(a.Header.Get("X-Batch-Id"))
			default:
				a = r.other.Must(http.MethodPost, "/jobs/batch-connection", body, "X-Auth-Token", r.tokens.keystone)
			}
			if a.Status/100 != 2 {
				t.Errorf("batch %d: %d %s", i, a.Status, a.Body)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			answered[a.Header.Get("X-Batch-Id")] = part
		})
	}
	calling.Go(func() { r.clusters(all) })
	calling.Wait()
	for id, part := range answered {
		r.judge(r.read(id), part)
	}
}

// split deals the entries out to n lists.
func split(entries []sent, n int) [][]sent {
	parts := make([][]sent, n)
	for i, e := range entries {
		parts[i%n] = append(parts[i%n], e)
	}
	return parts
}

// judge holds the verdicts to what was set up, so that what is searched is what
// it is said to be, and counts the echoes that arrived.
func (r *run) judge(o outcome, entries []sent) {
	t := r.t
	t.Helper()
	codes := o.codes()
	if o.State != "done" || len(codes) != len(entries) {
		t.Fatalf("the batch is %s with %d verdicts, want %d", o.State, len(codes), len(entries))
	}
	for i, e := range entries {
		if e.code != "" && codes[i] != e.code || e.code == "" && codes[i] == "ok" && e.what != "version" {
			t.Errorf("%s, %s: %s, want %q; %s", e.engine, e.what, codes[i], e.code, o.Results[i].Tests[0].Report.Evidence)
		}
		if e.echo && strings.Contains(string(o.Results[i].Tests[0].Report.Evidence), echoed) {
			r.echoed++
		}
	}
}

// clusters sends every engine by the cluster call, whose endpoints stand in a
// string.
func (r *run) clusters(all []engine) {
	t := r.t
	var objects []system.Entry
	for _, e := range all {
		password := r.reg.draw("ClusterEndpoint.dbpassword", e.dbType, anything)
		made := e.entry(t, r.closing, r.user(e), password)
		text, sum := r.reg.authority(t, "ClusterEndpoint.sslcertkey", e.dbType, pki(t, "ca.pem"))
		object := system.Entry{
			"dbtype": e.dbType, "ip": made["ip"], "dbuser": made["db_user"], "dbpassword": password, "nettype": "eip", "endpointtype": "so",
			"ssllink": true, "sslcertkey": text, "sslcertname": "ca.pem", "sslcertchecksum": sum,
			"sslcertpassword": r.reg.draw("ClusterEndpoint.sslcertpassword", e.dbType, anything),
			"dbName":          "shop", "comment": r.reg.draw("ClusterJob.property", e.dbType+", a field that is not known", anything),
		}
		if port, ok := made["db_port"]; ok {
			object["dbport"] = port
		}
		if e.dbType == "kafka" {
			object["kafka_security_config"] = r.encrypted(e, made, "ca.pem", "cluster call")["kafka_security_config"]
		}
		objects = append(objects, object)
	}
	property, err := json.Marshal(objects)
	if err != nil {
		t.Error(err)
		return
	}
	a := r.s.Must(http.MethodPost, "/jobs/cluster/batch-connection", map[string]any{"jobs": []any{
		map[string]any{"action": "testConnection", "job_id": "canary-cluster", "property": string(property)},
	}})
	if a.Status != http.StatusOK {
		t.Errorf("cluster call: %d %s", a.Status, a.Body)
		return
	}
	if codes := r.read(a.Header.Get("X-Batch-Id")).codes(); len(codes) != len(all) || slices.Contains(codes, "ok") {
		t.Errorf("cluster call: verdicts %v", codes)
	}
}

// cancelled ends a batch of every engine while it runs.
func (r *run) cancelled() {
	var entries []sent
	for _, e := range engines() {
		entries = append(entries, sent{Entry: e.entry(r.t, r.pit, r.user(e), r.password(e, "cancelled"))})
	}
	id := r.later(entries)
	if a := r.s.Must(http.MethodPost, "/batch-connections/"+id+"/cancel", nil); a.Status/100 != 2 {
		r.t.Errorf("cancel: %d %s", a.Status, a.Body)
	}
	r.follow(id)
	if codes := r.read(id).codes(); !slices.Contains(codes, "cancelled") {
		r.t.Errorf("none of %v was cancelled", codes)
	}
}

// blocked is a batch of every engine whose servers have the login and do not
// answer. wait waits until most have it.
func (r *run) blocked(use string) (id string, wait func(), release func()) {
	t := r.t
	held := make(chan struct{})
	var mu sync.Mutex
	arrived := 0
	var entries []sent
	for _, e := range engines() {
		addr := system.Serve(t, func(c net.Conn) {
			e.hostile(c, func() string {
				mu.Lock()
				arrived++
				mu.Unlock()
				<-held
				return "too late"
			})
		})
		entries = append(entries, sent{Entry: e.entry(t, addr, r.user(e), r.password(e, use))})
	}
	release = sync.OnceFunc(func() { close(held) })
	t.Cleanup(release)
	id = r.later(entries)
	wait = func() {
		system.Eventually(t, system.WaitForServers, "every engine has sent its login", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return arrived == len(entries)
		})
	}
	return id, wait, release
}

// interrupted kills the worker between the login and its answer, with every
// engine, and looks at the processes before.
func (r *run) interrupted() {
	id, wait, release := r.blocked("interrupted")
	wait()
	worker := r.s.Workers[len(r.s.Workers)-1]
	r.look(worker)
	worker.Kill()
	release()
	r.s.StartWorker(r.extra...)
	system.Eventually(r.t, 3*system.WaitForServers, "the interrupted batch is done", func() bool { return r.read(id).State == "done" })
	codes := r.read(id).codes()
	interrupted := 0
	for _, c := range codes {
		if c == "interrupted" {
			interrupted++
		}
	}
	if interrupted < len(codes)-1 { // one may have begun without a mark
		r.t.Errorf("%d of %d tests were interrupted: %v", interrupted, len(codes), codes)
	}
	r.follow(id)
}

// look reads what a process shows to those who run it, and what the kernel
// shows of it to everybody.
func (r *run) look(p *system.Process) {
	r.t.Helper()
	r.fetch(&http.Client{Timeout: system.WaitForServers}, "http://"+p.Admin, "")
	proc(r.t, p.PID(), r.place("command lines and environments", "DIALTONE_LOG_LEVEL=debug"))
}

// fetch reads all that an admin listener shows to who has its token, if it has one.
func (r *run) fetch(client *http.Client, url, token string) {
	t := r.t
	for _, path := range []string{
		"/metrics", "/healthz", "/readyz", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/heap?debug=1", "/debug/pprof/heap", "/debug/pprof/allocs?debug=1",
		"/debug/pprof/goroutine?debug=2", "/debug/pprof/goroutine?debug=1", "/debug/pprof/threadcreate?debug=1", "/debug/pprof/block?debug=1",
		"/debug/pprof/mutex?debug=1", "/debug/pprof/symbol", "/debug/pprof/trace?seconds=0.2", "/nothing/here",
	} {
		into := r.place("profiles", "goroutine ", "internal/probe")
		if !strings.HasPrefix(path, "/debug") {
			into = r.place("metrics and health", "dialtone_", `engine="mysql"`, `{"alive":true}`)
		}
		recording := *client
		next := client.Transport
		if next == nil {
			next = http.DefaultTransport
		}
		recording.Transport = &recorder{next: next, answers: into, events: into}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := recording.Do(req)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		finish(resp)
	}
}

// keyed sends requests twice under one key, and another one under it.
func (r *run) keyed() {
	t := r.t
	e := find(engines(), "postgresql")
	body := r.body([]sent{r.admitted(e, "sent twice"), {Entry: e.entry(t, r.closing, r.user(e), r.password(e, "fails twice"))}})
	key := fmt.Sprintf("canary-key-%d", r.number)
	first := r.s.Must(http.MethodPost, "/jobs/batch-connection", body, "Idempotency-Key", key)
	again := r.s.Must(http.MethodPost, "/jobs/batch-connection", body, "Idempotency-Key", key)
	if first.Status != http.StatusOK || string(first.Body) != string(again.Body) || again.Header.Get("Idempotent-Replayed") == "" {
		t.Errorf("sent again: %d %s, first %d %s", again.Status, again.Body, first.Status, first.Body)
	}
	another := r.body([]sent{{Entry: e.entry(t, r.closing, r.user(e), r.password(e, "under a key that is taken"))}})
	if a := r.s.Must(http.MethodPost, "/jobs/batch-connection", another, "Idempotency-Key", key); a.Status != http.StatusUnprocessableEntity {
		t.Errorf("another body under the key: %d %s", a.Status, a.Body)
	}
}

// panics has a worker and the api print all their stacks, while logins are
// under way and a caller waits.
func (r *run) panics() {
	t := r.t
	_, wait, _ := r.blocked("at the end of a process")
	e := find(engines(), "mysql")
	body := r.body([]sent{{Entry: e.entry(t, r.pit, r.user(e), r.password(e, "while the api ends"))}})
	waiting := make(chan struct{})
	go func() {
		defer close(waiting)
		_, _ = r.s.Call(t.Context(), http.MethodPost, "/jobs/batch-connection", body)
	}()
	wait()
	worker := r.s.Workers[len(r.s.Workers)-1]
	for _, end := range []struct {
		p  *system.Process
		by syscall.Signal
	}{{worker, syscall.SIGQUIT}, {r.s.API, syscall.SIGABRT}, {r.other.API, syscall.SIGQUIT}} {
		end.p.Signal(end.by)
		system.Eventually(t, system.WaitForServers, end.p.Name+" ends", func() bool { ended, _ := end.p.Exited(); return ended })
		r.place("output of "+end.p.Name+", killed by "+end.by.String(), "goroutine 1 gp=", "internal/").add([]byte(end.p.Output()))
	}
	select {
	case <-waiting:
	case <-time.After(system.WaitForServers):
		t.Error("the caller of a dead api still waits")
	}
	logs := r.place("logs", `"level":"DEBUG"`, `"msg":"request"`, "canary-caller")
	for _, p := range append(slices.Clone(r.s.Workers), r.s.API, r.other.API) {
		logs.add([]byte(p.Output()))
	}
}
