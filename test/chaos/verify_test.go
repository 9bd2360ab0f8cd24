package chaos_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"dialtone/test/system"
)

// batchDetail is what the store says of a batch, as far as it is looked at.
type batchDetail struct {
	State      string     `json:"state"`
	Open       int        `json:"open"`
	Deadline   time.Time  `json:"deadline"`
	CreatedAt  time.Time  `json:"created_at"`
	FinishedAt *time.Time `json:"finished_at"`
	Results    []struct {
		Tests []testDetail `json:"tests"`
	} `json:"results"`
}

type testDetail struct {
	JobID      string     `json:"job_id"`
	State      string     `json:"state"`
	Worker     string     `json:"worker"`
	Probes     int        `json:"probes"`
	LoginAt    *time.Time `json:"login_at"`
	FinishedAt *time.Time `json:"finished_at"`
	Report     struct {
		Code      string `json:"code"`
		Owner     string `json:"owner"`
		LoginSent bool   `json:"login_sent"`
	} `json:"report"`
}

// unknownEnd is what a caller is told when nobody can find out how its batch
// ended.
const unknownEnd = "DRS.DT9199"

// The promises, by what it is when one is broken.
const (
	lost       = "reports lost"
	lateReport = "late reports"
	lateAnswer = "late answers"
	blamed     = "wrongly blamed"
	doubled    = "duplicate logins"
	untrue     = "untrue reports"
	stuck      = "rows and tasks stuck"
)

// broken counts a promise that was not kept.
func (c *chaos) broken(promise, format string, args ...any) {
	c.t.Helper()
	c.breaches[promise]++
	c.t.Errorf("%s: %s", promise, fmt.Sprintf(format, args...))
}

// verify counts what came of everything.
func (c *chaos) verify(m *stream) {
	c.t.Helper()
	system.Eventually(c.t, 40*time.Second, "every test is finished", func() bool {
		return c.count("select count(*) from tests where finished_at is null") == 0
	})
	for what, question := range map[string]string{
		"batches without an end":     "select count(*) from batches where finished_at is null or open > 0",
		"tests with a lease":         "select count(*) from tests where lease_id is not null",
		"tests that keep a secret":   "select count(*) from tests where sealed is not null",
		"tests beside their batches": "select count(*) from tests t where not exists (select from batches b where b.id = t.batch_id)",
	} {
		if n := c.count(question); n != 0 {
			c.broken(stuck, "%d %s", n, what)
		}
	}
	if n := c.count("select count(*) from batches"); n != len(m.accepted) {
		c.broken(lost, "the store has %d batches, callers were told of %d", n, len(m.accepted))
	}
	tally := map[string]int{}
	for _, a := range m.accepted {
		c.verifyBatch(m, a, tally)
	}
	for _, k := range []kind{healthy, slow, refused, silent} {
		all, right := 0, tally[string(k)+" "+verdicts[k]]
		for verdict, n := range tally {
			if strings.HasPrefix(verdict, string(k)+" ") {
				all += n
			}
		}
		if right*2 < all || all == 0 {
			c.t.Errorf("%d of %d tests of %s targets had their verdict: the service lives on excuses", right, all, k)
		}
	}
	c.verifyQueue()
	for _, p := range c.s.Processes() {
		if strings.Contains(p.Output(), "panic") {
			c.t.Errorf("%s panicked", p.Name)
		}
	}
	c.summarize(m, tally)
}

// summarize says what the run came to.
func (c *chaos) summarize(m *stream, tally map[string]int) {
	c.t.Helper()
	again, entries := 0, 0
	for _, a := range m.accepted {
		entries += len(a.ids)
		if a.attempts > 1 {
			again++
		}
	}
	c.t.Logf("%d batches, %d of them asked for more than once; %d entries", len(m.accepted), again, entries)
	c.t.Logf("%d tests killed between mark and report, %d slept through", c.killedIn, c.sleptOver)
	list := func(counts map[string]int) string {
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
		}
		return strings.Join(parts, ", ")
	}
	faults := 0
	for _, n := range c.injected {
		faults += n
	}
	c.t.Logf("%d faults: %s", faults, list(c.injected))
	c.t.Logf("verdicts: %s", list(tally))
	for _, name := range slices.Sorted(maps.Keys(c.times)) {
		c.t.Logf("%6.1f s at most until a new test passed, after: %s", c.recovered(c.times[name]).Seconds(), name)
	}
	breaches := map[string]int{}
	for _, promise := range []string{lost, lateReport, lateAnswer, blamed, doubled, untrue, stuck} {
		breaches[promise] = c.breaches[promise]
	}
	c.t.Logf("broken promises: %s", list(breaches))
}

// recovered is the longest time from one of the moments to when a test passed
// that somebody waited for and whose batch was accepted after it.
func (c *chaos) recovered(moments []time.Time) (longest time.Duration) {
	for _, moment := range moments {
		var first time.Time
		for _, s := range c.fine {
			if s.from.After(moment) && (first.IsZero() || s.to.Before(first)) {
				first = s.to
			}
		}
		if !first.IsZero() {
			longest = max(longest, first.Sub(moment))
		}
	}
	return longest
}

// verifyBatch holds one batch against what is promised.
func (c *chaos) verifyBatch(m *stream, a accepted, tally map[string]int) {
	c.t.Helper()
	answer := c.s.Must(http.MethodGet, "/batch-connections/"+a.batch, nil)
	if answer.Status != http.StatusOK {
		c.broken(lost, "batch %s cannot be read: %d %s", a.batch, answer.Status, answer.Body)
		return
	}
	var d batchDetail
	answer.Decode(c.t, &d)
	if d.State != "done" || d.Open != 0 || len(d.Results) != len(a.ids) {
		c.broken(lost, "batch %s is %s with %d open and %d of %d results", a.batch, d.State, d.Open, len(d.Results), len(a.ids))
		return
	}
	from := d.Deadline
	if asked := a.sent.Add(look); a.attempts > 1 && asked.After(from) {
		from = asked
	}
	if over := a.answered.Sub(from); a.results != nil && over > late {
		c.broken(lateAnswer, "batch %s was answered %s after its deadline %s, at the try number %d, sent %s", a.batch, over, d.Deadline, a.attempts, a.sent)
	}
	for i, id := range a.ids {
		if n := len(d.Results[i].Tests); n != 1 || d.Results[i].Tests[0].JobID != id {
			c.broken(lost, "%s of batch %s has %d reports", id, a.batch, n)
			continue
		}
		test := d.Results[i].Tests[0]
		tally[fmt.Sprintf("%s %s", kindOf(id), test.Report.Code)]++
		c.verifyTest(m, id, a.batch, d, test)
		if a.results == nil {
			continue
		}
		if kindOf(id) == healthy && test.Report.Code == "ok" && test.FinishedAt != nil {
			c.fine = append(c.fine, span{d.CreatedAt, *test.FinishedAt})
		}
		if r := a.results[i]; r.ID != id || r.OK() != (test.Report.Code == "ok") && r.ErrorCode != unknownEnd {
			c.broken(untrue, "%s of batch %s: the caller was told %+v, the store has %s", id, a.batch, r, test.Report.Code)
		}
	}
}

// verifyTest holds one test against what is promised.
func (c *chaos) verifyTest(m *stream, id, batch string, d batchDetail, test testDetail) {
	c.t.Helper()
	say := func(promise, format string, args ...any) {
		c.t.Helper()
		c.broken(promise, "%s of batch %s: %s; %+v", id, batch, fmt.Sprintf(format, args...), test)
	}
	if test.State != "done" || test.FinishedAt == nil {
		say(lost, "not finished")
		return
	}
	if over := test.FinishedAt.Sub(d.Deadline) - c.unreachable(d.CreatedAt, *test.FinishedAt); over > late {
		say(lateReport, "finished %s after its deadline", over)
	}
	if test.Report.Code != verdicts[kindOf(id)] && test.Report.Owner != "service" {
		say(blamed, "%s blames the %s", test.Report.Code, test.Report.Owner)
	}
	logins := m.targets.seen(id)
	if logins > 1 {
		say(doubled, "%d logins", logins)
	}
	if logins > 0 && (test.LoginAt == nil || !test.Report.LoginSent) {
		say(untrue, "%d logins, mark %v, reported %t", logins, test.LoginAt, test.Report.LoginSent)
	}
	if test.Report.Code == "ok" && logins != 1 {
		say(untrue, "ok with %d logins", logins)
	}
}

// unreachable is for how long nobody could ask the store.
func (c *chaos) unreachable(from, to time.Time) time.Duration {
	postgres := c.postgres.away.list()
	var whose [][]span
	for _, m := range append(c.workers, c.api) {
		whose = append(whose, append(m.storeless.list(), postgres...))
	}
	return allAway(from, to, whose...)
}

// verifyQueue waits until Redis holds no task any more: those of a dead worker
// are found by asynq, whose leases last 30 s and which looks once a minute.
func (c *chaos) verifyQueue() {
	c.t.Helper()
	var held map[string]int
	var err error
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		if held, err = c.s.Unfinished(); err == nil && len(held) == 0 {
			break
		}
	}
	if err != nil || len(held) > 0 {
		c.broken(stuck, "Redis still holds %v, %v", held, err)
	}
	for _, n := range c.redis.nodes() {
		if keys, err := n.left(); err != nil || len(keys) > 0 {
			c.broken(stuck, "keys are left of %d tasks, the first %v, %v", len(keys), keys[:min(len(keys), 3)], err)
		}
	}
}
