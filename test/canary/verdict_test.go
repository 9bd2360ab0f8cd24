package canary_test

import (
	"os"
	"slices"
	"strings"
	"time"

	"dialtone/test/system"
)

// dump reads the stores, and what the processes show at the end.
func (r *run) dump() {
	t := r.t
	for _, p := range []*system.Process{r.s.API, r.s.Workers[len(r.s.Workers)-1]} {
		r.look(p)
	}
	r.fetch(r.other.Client, r.other.Metrics, "") // and is refused
	r.fetch(r.other.Client, r.other.Metrics, r.tokens.admin)
	proc(t, r.other.API.PID(), r.place("command lines and environments"))
	if files, err := os.ReadDir(r.tmp); err != nil || len(files) > 0 {
		t.Errorf("api and workers leave %d temporary files, %v", len(files), err)
	}
	dumpPostgres(t, r.s.DSN, r.place("Postgres, every row", knownUser, "table public.tests", "canary-caller"))
	r.place("Postgres' files", knownUser).addFiles(t, r.postgresDir)
	r.dumpRedis(t, r.place("Redis, every key", "asynq:"))
	r.place("Redis' files", "asynq:").addFiles(t, r.redisDir)
}

// covered fails the test for a field that had no marker, and for an engine that
// had none in every kind of end.
func (r *run) covered() {
	t := r.t
	uses := r.reg.uses()
	// These commands get what the api gets.
	same := map[string]string{"dialtone migrate DIALTONE_POSTGRES_DSN": "DIALTONE_POSTGRES_DSN", "dialtone migrate DIALTONE_KEYSET": "DIALTONE_KEYSET"}
	for _, field := range required(t) {
		if other, ok := same[field]; ok {
			field = other
		}
		if len(uses[field]) == 0 {
			t.Errorf("no marker was put into %s", field)
		}
	}
	for _, dbType := range dbTypes(t) {
		for _, use := range []string{"right", "wrong", "closed port", "no TLS there", "not trusted", "silence", "not a database", "cancelled", "interrupted", "echo, "} {
			if !slices.ContainsFunc(uses["TestEndPoint.db_password"], func(u string) bool { return strings.HasPrefix(u, dbType+", "+use) }) {
				t.Errorf("%s was not tested with: %s", dbType, use)
			}
		}
		if !slices.Contains(uses["ClusterEndpoint.dbpassword"], dbType) {
			t.Errorf("%s was not in the cluster call", dbType)
		}
	}
	r.keystone.mu.Lock()
	defer r.keystone.mu.Unlock()
	if r.keystone.byPassword == 0 || r.keystone.answered < 2 {
		t.Errorf("Keystone was logged in to %d times and asked %d times", r.keystone.byPassword, r.keystone.answered)
	}
	if least := len(engines()) * 3; r.echoed < least {
		t.Errorf("the texts of hostile servers are in %d reports, want at least %d", r.echoed, least)
	}
}

// search looks for every marker in every place.
func (r *run) search() (found int) {
	t := r.t
	s := newSearcher(r.reg.all())
	for _, p := range r.places {
		found += p.report(t, s)
	}
	return found
}

// tell gives the figures of the run.
func (r *run) tell(found int) {
	t := r.t
	s := newSearcher(r.reg.all())
	total := 0
	for _, p := range r.places {
		total += p.size()
		t.Logf("%10d bytes, %s", p.size(), p.name)
	}
	t.Logf("%d markers in %d fields, %d forms each (%d needles); %d batches, %d tests, %d echoes that arrived; %d places, %d bytes; found: %d; %s",
		len(r.reg.all()), len(r.reg.uses()), len(forms()), s.count, r.batches, r.tests, r.echoed, len(r.places), total, found, time.Since(r.started).Round(time.Second))
}
