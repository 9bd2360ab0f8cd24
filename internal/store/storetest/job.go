package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/batch"
	"dialtone/internal/job"
)

func keepingJobs() []contract {
	return []contract{
		{"jobs/create and read", jobsCreate},
		{"jobs/all or none", jobsAllOrNone},
		{"jobs/a pair and its children", jobsPair},
		{"jobs/names are unique among live jobs", jobsNames},
		{"jobs/one of many takes a name", jobsNameRace},
		{"jobs/endpoints are sealed and come back", jobsEndpoints},
		{"jobs/list", jobsList},
		{"jobs/list without children and deleted ones", jobsListShown},
		{"jobs/update", jobsUpdate},
		{"jobs/updates wait for each other", jobsUpdateRace},
		{"jobs/put the state of one that lives elsewhere", jobsPut},
		{"jobs/put the state of one of ours", jobsPutOwn},
		{"jobs/ready after a while", jobsReady},
		{"jobs/another project's", jobsIsolated},
	}
}

func testability() []contract {
	return []contract{
		{"testable/the status of the forward job", testableForward},
		{"testable/only what the project has", testableIsolated},
	}
}

func (e env) newJob(name string, role job.Role) job.Record {
	return job.Record{
		Job:       job.Job{ID: batch.NewID() + "jb101", Project: e.project, Name: name, Status: job.Creating, Role: role},
		DBUseType: "migration", EngineType: "mysql", Direction: "up", NetType: "eip", TaskType: "FULL_TRANS", NodeType: "high",
		Description: "of \u6d4b\u8bd5", Detail: json.RawMessage(`{"tags":[{"key":"k","value":"\u0000"}],"bind_eip":true}`),
	}
}

// job reads one job.
func (e env) job(id string) job.Record {
	e.Helper()
	got, err := e.Jobs(e.Context(), e.project, []string{id})
	e.ok(err)
	if len(got) != 1 {
		e.Fatalf("Jobs(%s) = %d", id, len(got))
	}
	return got[0]
}

// sameJob compares but for the times.
func (e env) sameJob(got, want job.Record) {
	e.Helper()
	got.CreatedAt, got.UpdatedAt, want.CreatedAt, want.UpdatedAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	if diff := cmp.Diff(want, got); diff != "" {
		e.Fatalf("job (-want +got):\n%s", diff)
	}
}

func jobsCreate(e env) {
	a, b := e.newJob("first", job.Standalone), e.newJob("second", job.Standalone)
	b.Detail = nil
	e.ok(e.CreateJobs(e.Context(), []job.Record{a, b}))
	got, err := e.Jobs(e.Context(), e.project, []string{b.ID, "unknown", a.ID, b.ID, "\x00", "\xff"})
	e.ok(err)
	if len(got) != 3 {
		e.Fatalf("Jobs() = %d, want 3: in the order asked for, as often as asked for", len(got))
	}
	e.sameJob(got[0], b)
	e.sameJob(got[1], a)
	if age := time.Since(got[0].CreatedAt); age.Abs() > time.Minute || !got[0].UpdatedAt.Equal(got[0].CreatedAt) {
		e.Errorf("created %v ago, updated %v", age, got[0].UpdatedAt)
	}
	e.ok(e.CreateJobs(e.Context(), nil))
}

func jobsAllOrNone(e env) {
	a, b := e.newJob("same", job.Standalone), e.newJob("SAME", job.Standalone)
	if err := e.CreateJobs(e.Context(), []job.Record{a, b}); !errors.Is(err, job.ErrNameTaken) {
		e.Fatalf("CreateJobs(): %v, want ErrNameTaken", err)
	}
	got, err := e.Jobs(e.Context(), e.project, []string{a.ID, b.ID})
	e.ok(err)
	if len(got) != 0 {
		e.Errorf("%d of the refused jobs are there", len(got))
	}
}

func (e env) newPair() (parent, forward, backward job.Record) {
	parent, forward, backward = e.newJob("pair", job.Parent), e.newJob("pair-f", job.Forward), e.newJob("pair-b", job.Backward)
	forward.ParentID, backward.ParentID = parent.ID, parent.ID
	return parent, forward, backward
}

func jobsPair(e env) {
	parent, forward, backward := e.newPair()
	e.ok(e.CreateJobs(e.Context(), []job.Record{backward, parent, forward}))
	parent.ChildIDs = []string{forward.ID, backward.ID}
	e.sameJob(e.job(parent.ID), parent)
	e.sameJob(e.job(forward.ID), forward)
}

func jobsNames(e env) {
	a := e.newJob("Orders-\u00c4", job.Standalone)
	e.ok(e.CreateJobs(e.Context(), []job.Record{a}))
	if err := e.CreateJobs(e.Context(), []job.Record{e.newJob("ORDERS-\u00e4", job.Standalone)}); !errors.Is(err, job.ErrNameTaken) {
		e.Errorf("same name in another case: %v, want ErrNameTaken", err)
	}
	other := e.newJob("orders-\u00e4", job.Standalone)
	other.Project = "another-" + e.project
	e.ok(e.CreateJobs(e.Context(), []job.Record{other}))
	b := e.newJob("other", job.Standalone)
	e.ok(e.CreateJobs(e.Context(), []job.Record{b}))
	rename := func(r *job.Record) error { r.Name = "oRDERS-\u00e4"; return nil }
	if _, err := e.UpdateJob(e.Context(), e.project, b.ID, rename); !errors.Is(err, job.ErrNameTaken) {
		e.Errorf("UpdateJob() to a taken name: %v, want ErrNameTaken", err)
	}
	_, err := e.UpdateJob(e.Context(), e.project, a.ID, func(r *job.Record) error { r.Status = job.Deleted; return nil })
	e.ok(err)
	_, err = e.UpdateJob(e.Context(), e.project, b.ID, rename)
	e.ok(err)
	// Mirrored jobs have whatever name they have.
	for range 2 {
		_, _, err := e.PutJobState(e.Context(), job.Job{
			ID: batch.NewID(), Project: e.project, Name: "orders-\u00e4", Status: job.Configuration, Role: job.Standalone,
		})
		e.ok(err)
	}
}

func jobsNameRace(e env) {
	var created, taken atomic.Int32
	e.together(12, func(ctx context.Context, i int) error {
		name := "contested"
		if i%2 == 1 {
			name = strings.ToUpper(name)
		}
		err := e.CreateJobs(ctx, []job.Record{e.newJob(name, job.Standalone)})
		switch {
		case err == nil:
			created.Add(1)
		case errors.Is(err, job.ErrNameTaken):
			taken.Add(1)
		default:
			return err
		}
		return nil
	})
	if created.Load() != 1 || taken.Load() != 11 {
		e.Errorf("%d created, %d refused; want 1 and 11", created.Load(), taken.Load())
	}
}

func jobsEndpoints(e env) {
	with, without := e.newJob("with", job.Standalone), e.newJob("without", job.Standalone)
	with.Endpoints = json.RawMessage(`{"source_endpoint":{"db_password":"` + marker + `"}}`)
	e.ok(e.CreateJobs(e.Context(), []job.Record{with, without}))
	if got := e.job(with.ID).Endpoints; got != nil {
		e.Error("Jobs() gives the endpoints")
	}
	got, err := e.JobEndpoints(e.Context(), e.project, with.ID)
	e.ok(err)
	e.same("endpoints", string(got), string(with.Endpoints))
	got, err = e.JobEndpoints(e.Context(), e.project, without.ID)
	if err != nil || len(got) != 0 {
		e.Errorf("JobEndpoints() of none = %d bytes, %v", len(got), err)
	}
	for _, id := range []string{"unknown", "\x00", "\xff"} {
		if _, err := e.JobEndpoints(e.Context(), e.project, id); !errors.Is(err, job.ErrNotFound) {
			e.Errorf("JobEndpoints(%q): %v, want ErrNotFound", id, err)
		}
	}
}

func jobsList(e env) {
	var all []job.Record
	for i, name := range []string{"Alpha-1", "alpha-2", "beta_1", "100%"} {
		r := e.newJob(name, job.Standalone)
		if i%2 == 1 {
			r.DBUseType, r.EngineType, r.NetType, r.Status = "sync", "postgresql", "vpn", job.Configuration
		}
		e.ok(e.CreateJobs(e.Context(), []job.Record{r}))
		all = append(all, r)
	}
	for _, c := range []struct {
		name  string
		f     job.Filter
		want  []int // newest first
		total int
	}{
		{"all", job.Filter{}, []int{3, 2, 1, 0}, 4},
		{"first page", job.Filter{Limit: 3}, []int{3, 2, 1}, 4},
		{"second page", job.Filter{Offset: 3, Limit: 3}, []int{0}, 4},
		{"past the end", job.Filter{Offset: 9, Limit: 3}, nil, 4},
		{"offset without limit", job.Filter{Offset: 1}, []int{2, 1, 0}, 4},
		{"part of a name, any case", job.Filter{Name: "LPHA"}, []int{1, 0}, 2},
		{"no pattern", job.Filter{Name: "%"}, []int{3}, 1},
		{"no pattern either", job.Filter{Name: "_"}, []int{2}, 1},
		{"ids", job.Filter{IDs: []string{all[0].ID, all[2].ID, "unknown", "\x00"}}, []int{2, 0}, 2},
		{"status", job.Filter{Status: job.Configuration}, []int{3, 1}, 2},
		{"use", job.Filter{DBUseType: "sync"}, []int{3, 1}, 2},
		{"engine", job.Filter{EngineType: "mysql"}, []int{2, 0}, 2},
		{"net", job.Filter{NetType: "vpn"}, []int{3, 1}, 2},
		{"several", job.Filter{NetType: "vpn", Name: "alpha", Limit: 1}, []int{1}, 1},
		{"nothing", job.Filter{Status: job.Deleted}, nil, 0},
	} {
		e.lists(c.name, c.f, all, c.want, c.total)
	}
}

// lists wants of all jobs those numbered, in this order.
func (e env) lists(name string, f job.Filter, all []job.Record, want []int, wantTotal int) {
	e.Helper()
	f.Project = e.project
	got, total, err := e.ListJobs(e.Context(), f)
	e.ok(err)
	if len(got) != len(want) || total != wantTotal {
		e.Errorf("%s: ListJobs() = %d of %d, want %d of %d", name, len(got), total, len(want), wantTotal)
		return
	}
	for i, w := range want {
		e.sameJob(got[i], all[w])
	}
}

func jobsListShown(e env) {
	parent, forward, backward := e.newPair()
	alone, deleted, deletedChild := e.newJob("alone", job.Standalone), e.newJob("deleted", job.Standalone), e.newJob("gone-f", job.Forward)
	deleted.Status, deletedChild.Status, deletedChild.ParentID = job.Deleted, job.Deleted, "elsewhere"
	all := []job.Record{parent, forward, backward, alone, deleted, deletedChild}
	for _, r := range all { // one by one, for the order
		e.ok(e.CreateJobs(e.Context(), []job.Record{r}))
	}
	all[0].ChildIDs = []string{forward.ID, backward.ID}
	const use = "migration"
	for _, c := range []struct {
		name  string
		f     job.Filter
		want  []int
		total int
	}{
		{"top level", job.Filter{TopLevel: true}, []int{4, 3, 0}, 3},
		{"live", job.Filter{Live: true}, []int{3, 2, 1, 0}, 4},
		{"both", job.Filter{TopLevel: true, Live: true}, []int{3, 0}, 2},
		{"both, of one use", job.Filter{TopLevel: true, Live: true, DBUseType: use}, []int{3, 0}, 2},
		{"first page", job.Filter{TopLevel: true, Live: true, DBUseType: use, Limit: 1}, []int{3}, 2},
		{"second page", job.Filter{TopLevel: true, Live: true, DBUseType: use, Offset: 1, Limit: 1}, []int{0}, 2},
		{"past the end", job.Filter{TopLevel: true, Live: true, DBUseType: use, Offset: 2, Limit: 1}, nil, 2},
		{"top level of those deleted", job.Filter{TopLevel: true, Status: job.Deleted}, []int{4}, 1},
		{"live of those deleted", job.Filter{Live: true, Status: job.Deleted}, nil, 0},
		{"live by id", job.Filter{Live: true, IDs: []string{forward.ID, deleted.ID}}, []int{1}, 1},
	} {
		e.lists(c.name, c.f, all, c.want, c.total)
	}
}

func jobsUpdate(e env) {
	r := e.newJob("before", job.Standalone)
	r.Endpoints = json.RawMessage(`{"source_endpoint":{"db_password":"` + marker + `"}}`)
	e.ok(e.CreateJobs(e.Context(), []job.Record{r}))
	before := e.job(r.ID)
	got, err := e.UpdateJob(e.Context(), e.project, r.ID, func(in *job.Record) error {
		e.same("endpoints seen", string(in.Endpoints), string(r.Endpoints))
		in.Name, in.Status, in.Description, in.Detail = "after", job.Configuration, "new", json.RawMessage(`{"a":1}`)
		in.DBUseType, in.EngineType, in.Direction, in.NetType, in.TaskType, in.NodeType = "a", "b", "c", "d", "e", "f"
		in.Endpoints = json.RawMessage(`{"target_endpoint":{}}`)
		in.ID, in.Project, in.CreatedAt = "changed", "changed", time.Time{}
		return nil
	})
	e.ok(err)
	want := job.Record{
		Job:       job.Job{ID: r.ID, Project: e.project, Name: "after", Status: job.Configuration, Role: job.Standalone},
		DBUseType: "a", EngineType: "b", Direction: "c", NetType: "d", TaskType: "e", NodeType: "f", Description: "new",
		Detail: json.RawMessage(`{"a":1}`),
	}
	e.sameJob(got, want)
	after := e.job(r.ID)
	e.sameJob(after, want)
	if !after.CreatedAt.Equal(before.CreatedAt) || !after.UpdatedAt.After(before.UpdatedAt) || !got.UpdatedAt.Equal(after.UpdatedAt) {
		e.Errorf("created %v, then %v; updated %v, then %v", before.CreatedAt, after.CreatedAt, before.UpdatedAt, after.UpdatedAt)
	}
	endpoints, err := e.JobEndpoints(e.Context(), e.project, r.ID)
	e.ok(err)
	e.same("endpoints", string(endpoints), `{"target_endpoint":{}}`)

	refusal := errors.New("not now")
	_, err = e.UpdateJob(e.Context(), e.project, r.ID, func(in *job.Record) error { in.Name = "never"; return refusal })
	if !errors.Is(err, refusal) {
		e.Errorf("UpdateJob(): %v, want what change returned", err)
	}
	e.sameJob(e.job(r.ID), want)
	for _, id := range []string{"unknown", "\x00", "\xff"} {
		if _, err := e.UpdateJob(e.Context(), e.project, id, func(*job.Record) error { return nil }); !errors.Is(err, job.ErrNotFound) {
			e.Errorf("UpdateJob(%q): %v, want ErrNotFound", id, err)
		}
	}
}

func jobsUpdateRace(e env) {
	r := e.newJob("counted", job.Standalone)
	r.Description = ""
	e.ok(e.CreateJobs(e.Context(), []job.Record{r}))
	const n = 16
	e.together(n, func(ctx context.Context, _ int) error {
		_, err := e.UpdateJob(ctx, e.project, r.ID, func(in *job.Record) error { in.Description += "x"; return nil })
		return err
	})
	if got := e.job(r.ID).Description; len(got) != n {
		e.Errorf("%d of %d updates are kept", len(got), n)
	}
}

func jobsPut(e env) {
	state := job.Job{ID: "elsewhere", Project: e.project, Name: "theirs", Status: job.Configuration, Role: job.Forward, ParentID: "p"}
	got, created, err := e.PutJobState(e.Context(), state)
	e.ok(err)
	if !created || !got.Mirrored || got.Name != "theirs" || got.Role != job.Forward || got.ParentID != "p" || got.CreatedAt.IsZero() {
		e.Errorf("PutJobState() = %+v, created %v", got, created)
	}
	state.Name, state.Status = "", job.IncreTransferStarted
	again, created, err := e.PutJobState(e.Context(), state)
	e.ok(err)
	if created || again.Name != "theirs" || again.Status != job.IncreTransferStarted || !again.CreatedAt.Equal(got.CreatedAt) {
		e.Errorf("second PutJobState() = %+v, created %v", again, created)
	}
	read := e.job("elsewhere")
	e.same("read back", read.Job, again)
}

func jobsPutOwn(e env) {
	r := e.newJob("own", job.Standalone)
	r.Endpoints = json.RawMessage(`{}`)
	e.ok(e.CreateJobs(e.Context(), []job.Record{r}))
	got, created, err := e.PutJobState(e.Context(), job.Job{
		ID: r.ID, Project: e.project, Status: job.FullTransferStarted, Role: job.Standalone,
	})
	e.ok(err)
	if created || got.Mirrored || got.Name != "own" || got.Status != job.FullTransferStarted {
		e.Errorf("PutJobState() = %+v, created %v", got, created)
	}
	r.Status, r.Endpoints = job.FullTransferStarted, nil
	e.sameJob(e.job(r.ID), r)
}

func jobsReady(e env) {
	r := e.newJob("new", job.Standalone)
	e.ok(e.CreateJobs(e.Context(), []job.Record{r}))
	_, _, err := e.PutJobState(e.Context(), job.Job{ID: "theirs", Project: e.project, Status: job.Creating, Role: job.Standalone})
	e.ok(err)
	if n, err := e.ReadyJobs(e.Context(), time.Hour); err != nil || n != 0 {
		e.Errorf("ReadyJobs(1h) = %d, %v; want 0", n, err)
	}
	e.eventually("job is ready", func() bool {
		n, err := e.ReadyJobs(e.Context(), time.Millisecond)
		e.ok(err)
		return n == 1
	})
	if got := e.job(r.ID); got.Status != job.Configuration || !got.UpdatedAt.After(got.CreatedAt) {
		e.Errorf("status %s, updated %v after creation", got.Status, got.UpdatedAt.Sub(got.CreatedAt))
	}
	if got := e.job("theirs").Status; got != job.Creating {
		e.Errorf("a mirrored job became %s", got)
	}
}

func jobsIsolated(e env) {
	r := e.newJob("mine", job.Standalone)
	e.ok(e.CreateJobs(e.Context(), []job.Record{r}))
	for _, project := range []string{"another", "", "\xff", "\x00"} {
		if got, err := e.Jobs(e.Context(), project, []string{r.ID}); err != nil || len(got) != 0 {
			e.Errorf("Jobs() for project %q = %d, %v", project, len(got), err)
		}
		if got, n, err := e.ListJobs(e.Context(), job.Filter{Project: project}); err != nil || len(got) != 0 || n != 0 {
			e.Errorf("ListJobs() for project %q = %d of %d, %v", project, len(got), n, err)
		}
		if _, err := e.JobEndpoints(e.Context(), project, r.ID); !errors.Is(err, job.ErrNotFound) {
			e.Errorf("JobEndpoints() for project %q: %v", project, err)
		}
		_, err := e.UpdateJob(e.Context(), project, r.ID, func(*job.Record) error { return nil })
		if !errors.Is(err, job.ErrNotFound) {
			e.Errorf("UpdateJob() for project %q: %v", project, err)
		}
	}
	// The same id elsewhere is another job.
	_, created, err := e.PutJobState(e.Context(), job.Job{ID: r.ID, Project: "another", Status: job.Deleted, Role: job.Standalone})
	e.ok(err)
	if !created || e.job(r.ID).Status != job.Creating {
		e.Errorf("created %v, own status %s", created, e.job(r.ID).Status)
	}
}

func testableForward(e env) {
	parent, forward, backward := e.newPair()
	alone := e.newJob("alone", job.Standalone)
	e.ok(e.CreateJobs(e.Context(), []job.Record{parent, backward, forward, alone}))
	put := func(id, parentID string, role job.Role, status job.Status) {
		_, _, err := e.PutJobState(e.Context(), job.Job{ID: id, Project: e.project, Status: status, Role: role, ParentID: parentID})
		e.ok(err)
	}
	put(forward.ID, parent.ID, job.Forward, job.IncreTransferStarted)
	put("mirror-f", "mirror", job.Forward, job.WaitingForStart)
	put("mirror-b", "mirror", job.Backward, job.Configuration)
	put("orphan-f", "", job.Forward, job.IncreTransferStarted)
	put("orphan-b", "", job.Backward, job.Configuration)
	got, err := e.TestableJobs(e.Context(), e.project,
		[]string{parent.ID, forward.ID, backward.ID, alone.ID, "mirror-b", "orphan-b", "unknown", "\x00", "\xff"})
	e.ok(err)
	forwards := map[string]job.Status{}
	for id, t := range got {
		if t.ID != id || t.Project != e.project {
			e.Errorf("TestableJobs()[%s] = %s of %s", id, t.ID, t.Project)
		}
		forwards[id] = t.ForwardStatus
	}
	e.same("status of the forward job", forwards, map[string]job.Status{
		parent.ID: "", forward.ID: "", backward.ID: job.IncreTransferStarted, alone.ID: "",
		"mirror-b": job.WaitingForStart, "orphan-b": "",
	})
	e.same("job", got[backward.ID].Job, e.job(backward.ID).Job)
}

func testableIsolated(e env) {
	r := e.newJob("mine", job.Standalone)
	e.ok(e.CreateJobs(e.Context(), []job.Record{r}))
	for _, project := range []string{"another", "", "\xff", "\x00"} {
		got, err := e.TestableJobs(e.Context(), project, []string{r.ID})
		if err != nil || len(got) != 0 {
			e.Errorf("TestableJobs() for project %q = %d, %v", project, len(got), err)
		}
	}
}
