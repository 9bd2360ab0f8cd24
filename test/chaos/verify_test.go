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
			c.t.Errorf("%s: %d", what, n)
		}
	}
	if n := c.count("select count(*) from batches"); n != len(m.accepted) {
		c.t.Errorf("the store has %d batches, callers were told of %d", n, len(m.accepted))
	}
	tally := map[string]int{}
	again := 0
	for _, a := range m.accepted {
		c.verifyBatch(m, a, tally)
		if a.attempts > 1 {
			again++
		}
	}
	c.t.Logf("%d batches, %d of them asked for more than once; %d tests killed between mark and report, %d slept through", len(m.accepted), again, c.killedIn, c.sleptOver)
	for _, verdict := range slices.Sorted(maps.Keys(tally)) {
		c.t.Logf("%5d %s", tally[verdict], verdict)
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
}

// verifyBatch holds one batch against what is promised.
func (c *chaos) verifyBatch(m *stream, a accepted, tally map[string]int) {
	c.t.Helper()
	answer := c.s.Must(http.MethodGet, "/batch-connections/"+a.batch, nil)
	if answer.Status != http.StatusOK {
		c.t.Errorf("batch %s cannot be read: %d %s", a.batch, answer.Status, answer.Body)
		return
	}
	var d batchDetail
	answer.Decode(c.t, &d)
	if d.State != "done" || d.Open != 0 || len(d.Results) != len(a.ids) {
		c.t.Errorf("batch %s is %s with %d open and %d of %d results", a.batch, d.State, d.Open, len(d.Results), len(a.ids))
		return
	}
	from := d.Deadline
	if asked := a.sent.Add(look); a.attempts > 1 && asked.After(from) {
		from = asked
	}
	if over := a.answered.Sub(from); a.results != nil && over > late {
		c.t.Errorf("batch %s was answered %s after its deadline", a.batch, over)
	}
	for i, id := range a.ids {
		if n := len(d.Results[i].Tests); n != 1 || d.Results[i].Tests[0].JobID != id {
			c.t.Errorf("%s of batch %s has %d reports", id, a.batch, n)
			continue
		}
		test := d.Results[i].Tests[0]
		tally[fmt.Sprintf("%s %s", kindOf(id), test.Report.Code)]++
		for _, wrong := range c.wrong(m, id, d, test) {
			c.t.Errorf("%s of batch %s: %s; %+v", id, a.batch, wrong, test)
		}
		if a.results == nil {
			continue
		}
		if r := a.results[i]; r.ID != id || r.OK() != (test.Report.Code == "ok") && r.ErrorCode != unknownEnd {
			c.t.Errorf("%s of batch %s: the caller was told %+v, the store has %s", id, a.batch, r, test.Report.Code)
		}
	}
}

// wrong lists what is against the promises in one test.
func (c *chaos) wrong(m *stream, id string, d batchDetail, test testDetail) (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if test.State != "done" || test.FinishedAt == nil {
		say("not finished")
		return problems
	}
	if over := test.FinishedAt.Sub(d.Deadline) - c.unreachable(d.CreatedAt, *test.FinishedAt); over > late {
		say("finished %s after its deadline", over)
	}
	if test.Report.Code != verdicts[kindOf(id)] && test.Report.Owner != "service" {
		say("%s blames the %s", test.Report.Code, test.Report.Owner)
	}
	logins := m.targets.seen(id)
	if logins > 1 {
		say("%d logins", logins)
	}
	if logins > 0 && (test.LoginAt == nil || !test.Report.LoginSent) {
		say("%d logins, mark %v, reported %t", logins, test.LoginAt, test.Report.LoginSent)
	}
	if test.Report.Code == "ok" && logins != 1 {
		say("ok with %d logins", logins)
	}
	return problems
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
		c.t.Errorf("Redis still holds %v, %v", held, err)
	}
	for _, n := range c.redis.nodes() {
		if keys, err := n.left(); err != nil || len(keys) > 0 {
			c.t.Errorf("keys are left of %d tasks, the first %v, %v", len(keys), keys[:min(len(keys), 3)], err)
		}
	}
}
