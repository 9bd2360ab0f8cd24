package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"dialtone/internal/api/wire"
	"dialtone/internal/job"
	"dialtone/internal/probe"
)

// itemError is why one item of a job call was refused; the others go on.
type itemError struct{ code string }

func (e *itemError) Error() string { return e.code }

// message is error_msg, or error_message.
func (e *itemError) message(l probe.Language) string { return drsWords(e.code).In(l) }

// stopped gives the answer to a call whose store went away at one of its items,
// or nil if the call is to go on. As long as no item was changed the whole call
// can be made again; later, what was changed has to be told.
func stopped(ctx context.Context, changed int, err error) error {
	err = late(ctx, err)
	if changed > 0 || !away(err) {
		return nil
	}
	return err
}

// item reads any error of one item.
func (s *Server) item(ctx context.Context, id string, err error) *itemError {
	if f, ok := errors.AsType[*itemError](err); ok {
		return f
	}
	switch {
	case errors.Is(err, job.ErrNotFound):
		return &itemError{code: codeJobUnknown}
	case errors.Is(err, job.ErrNameTaken):
		return &itemError{code: codeNameTaken}
	default:
		s.log.ErrorContext(ctx, "job call failed", "request", exchangeOf(ctx).id, "job", id, "error", err)
		return &itemError{code: codeService}
	}
}

// newJobID makes an id in the shape of DRS's: like a UUID whose last group
// ends in "jb" and a class. What DRS's classes mean is not published; ours
// tell the uses of jobs apart.
func newJobID(dbUseType string) string {
	class := "jb101"
	switch dbUseType {
	case "sync":
		class = "jb502"
	case "cloudDataGuard":
		class = "jb105"
	}
	var random [14]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand ends the process instead
	h := hex.EncodeToString(random[:])
	return h[0:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:27] + class
}

// CreateJobs creates each job on its own.
func (s operations) CreateJobs(ctx context.Context, r wire.CreateJobsRequestObject) (wire.CreateJobsResponseObject, error) {
	x := exchangeOf(ctx)
	problems := x.problems
	for i, j := range r.Body.Jobs {
		problems = append(problems, creationRules(entryPath(i), j)...)
	}
	if err := refused(problems); err != nil {
		return nil, err
	}
	trees := bodyItems(x.tree)
	answer := wire.CreateJobsResponse{Results: []wire.CreateJobResult{}, Count: len(r.Body.Jobs)}
	created := 0
	for i, given := range r.Body.Jobs {
		records, err := s.newRecords(x.caller.Project, given, trees[i])
		if err == nil {
			err = s.parts.JobWriter.CreateJobs(ctx, records)
		}
		if stop := stopped(ctx, created, err); stop != nil {
			return nil, stop
		}
		if err != nil {
			f := s.item(ctx, "", err)
			answer.Results = append(answer.Results, wire.CreateJobResult{
				Name: given.Name, Status: string(job.CreateFailed), ErrorCode: f.code, ErrorMsg: f.message(x.language),
			})
			continue
		}
		created++
		one := wire.CreateJobResult{
			ID: records[0].ID, Name: given.Name, Status: string(records[0].Status), CreateTime: millis(time.Now()),
		}
		for _, child := range records[1:] {
			one.ChildIds = append(one.ChildIds, child.ID)
		}
		s.note(ctx, "job", "job created", slog.String("job", one.ID), slog.String("action", "create"))
		answer.Results = append(answer.Results, one)
	}
	return wire.CreateJobs202JSONResponse(answer), nil
}

// creationRules are the rules that the document cannot say.
func creationRules(path string, j wire.CreateJob) []problem {
	var problems []problem
	if j.MultiWrite && j.DBUseType != wire.CloudDataGuard {
		problems = append(problems, problem{path: path + ".multi_write", code: codeInvalid, why: probe.Words{
			English: "it needs db_use_type cloudDataGuard", Chinese: "仅 db_use_type 为 cloudDataGuard 时支持",
		}})
	}
	if (j.MasterAz == "") != (j.SlaveAz == "") {
		missing := ".master_az"
		if j.SlaveAz == "" {
			missing = ".slave_az"
		}
		problems = append(problems, problem{path: path + missing, code: codeMissing, why: probe.Words{
			English: "master_az and slave_az go together", Chinese: "master_az 与 slave_az 必须同时指定",
		}})
	}
	return append(problems, tagRules(path, j.Tags)...)
}

// tagRules finds keys that occur twice.
func tagRules(path string, tags wire.Tags) []problem {
	seen := map[string]bool{}
	var problems []problem
	for i, tag := range tags {
		if seen[tag.Key] {
			problems = append(problems, problem{path: path + ".tags[" + strconv.Itoa(i) + "].key", code: codeTagTwice})
		}
		seen[tag.Key] = true
	}
	return problems
}

// bodyItems gives the checked items below "jobs".
func bodyItems(tree any) []map[string]any {
	body, _ := tree.(map[string]any)
	jobs, _ := body["jobs"].([]any)
	items := make([]map[string]any, len(jobs))
	for i, j := range jobs {
		items[i], _ = j.(map[string]any)
	}
	return items
}

// The keys of a job's endpoints.
const (
	sourceKey = "source_endpoint"
	targetKey = "target_endpoint"
)

// newRecords makes a job, or the three of a dual-active pair.
func (s *Server) newRecords(project string, given wire.CreateJob, tree map[string]any) ([]job.Record, error) {
	source, target := tree[sourceKey], tree[targetKey]
	r := job.Record{
		Job:       job.Job{ID: newJobID(string(given.DBUseType)), Project: project, Name: given.Name, Status: job.Creating, Role: job.Standalone},
		DBUseType: string(given.DBUseType), EngineType: given.EngineType, Direction: string(given.JobDirection), NetType: string(given.NetType),
		TaskType: string(given.TaskType), NodeType: string(given.NodeType), Description: given.Description,
	}
	if err := s.keep(&r, tree, source, target); err != nil {
		return nil, err
	}
	if !given.MultiWrite {
		return []job.Record{r}, nil
	}
	forward, backward := r, r
	forward.ID, forward.Name, forward.Role, forward.ParentID = newJobID(r.DBUseType), r.Name+"_forward", job.Forward, r.ID
	backward.ID, backward.Name, backward.Role, backward.ParentID = newJobID(r.DBUseType), r.Name+"_backward", job.Backward, r.ID
	backward.Direction = opposite(r.Direction)
	swapped := maps.Clone(tree)
	swapped[sourceKey], swapped[targetKey] = target, source
	if err := s.keep(&backward, swapped, target, source); err != nil {
		return nil, err
	}
	r.Role, r.ChildIDs, r.Endpoints = job.Parent, []string{forward.ID, backward.ID}, nil // a parent has no connection of its own
	return []job.Record{r, forward, backward}, nil
}

func opposite(direction string) string {
	switch direction {
	case "up":
		return "down"
	case "down":
		return "up"
	default:
		return direction
	}
}

// keep stores what was given: the open part in Detail, all of the endpoints in
// Endpoints, which the store seals.
func (s *Server) keep(r *job.Record, tree map[string]any, source, target any) error {
	detail, _ := s.jobShape.conceal(tree).(map[string]any)
	for _, own := range []string{"name", "db_use_type", "engine_type", "job_direction", "net_type", "node_type", "task_type", "description", "job_id"} {
		delete(detail, own) // columns of the record
	}
	var err error
	if r.Detail, err = json.Marshal(detail); err != nil {
		return errors.New("encode the job's detail")
	}
	if r.Endpoints, err = json.Marshal(map[string]any{sourceKey: source, targetKey: target}); err != nil {
		return errors.New("encode the job's endpoints")
	}
	return nil
}

// millis is a time as DRS writes it.
func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// PutJobState mirrors a job that lives elsewhere, or sets the state of one of
// ours.
func (s operations) PutJobState(ctx context.Context, r wire.PutJobStateRequestObject) (wire.PutJobStateResponseObject, error) {
	x := exchangeOf(ctx)
	given := job.Job{
		ID: r.JobID, Project: x.caller.Project, Name: r.Body.Name, Status: job.Status(r.Body.Status), Role: job.Role(r.Body.Role),
		ParentID: r.Body.ParentID, Mirrored: true,
	}
	problems := x.problems
	if given.Role != "" {
		problems = append(problems, placeRules(given)...)
	}
	if err := refused(problems); err != nil {
		return nil, err
	}
	known, created, err := s.putState(ctx, given)
	if err != nil {
		return nil, err
	}
	s.note(ctx, "job", "job state put", slog.String("job", known.ID), slog.String("action", "state"),
		slog.String("status", string(known.Status)), slog.String("role", string(known.Role)))
	view := wire.JobView{
		ID: known.ID, Name: known.Name, Status: string(known.Status), Role: wire.JobViewRole(known.Role), ParentID: known.ParentID,
		Mirrored: known.Mirrored, CreatedAt: known.CreatedAt.UTC(), UpdatedAt: known.UpdatedAt.UTC(),
	}
	if created {
		return wire.PutJobState201JSONResponse(view), nil
	}
	return wire.PutJobState200JSONResponse(view), nil
}

// placeRules are the rules of role and parent_id.
func placeRules(j job.Job) []problem {
	child := j.Role == job.Forward || j.Role == job.Backward
	switch {
	case child && j.ParentID == "":
		return []problem{{path: "parent_id", code: codeMissing, why: probe.Words{English: "a child names its parent", Chinese: "子任务必须指定父任务"}}}
	case !child && j.ParentID != "":
		return []problem{{path: "parent_id", code: codeInvalid, why: probe.Words{English: "only a child has a parent", Chinese: "只有子任务才有父任务"}}}
	case child && j.ParentID == j.ID:
		return []problem{{path: "parent_id", code: codeInvalid, why: probe.Words{English: "a job is not its own parent", Chinese: "任务不能是自身的父任务"}}}
	default:
		return nil
	}
}

// putState stores a state. Without a role a known job stays what it is, and a
// new one stands alone.
func (s *Server) putState(ctx context.Context, given job.Job) (known job.Job, created bool, err error) {
	if given.Role != "" {
		return s.parts.JobWriter.PutJobState(ctx, given)
	}
	changed, err := s.parts.JobWriter.UpdateJob(ctx, given.Project, given.ID, func(r *job.Record) error {
		r.Status = given.Status
		r.Name = cmp.Or(given.Name, r.Name)
		r.ParentID = cmp.Or(given.ParentID, r.ParentID)
		if given.ParentID == "" {
			return nil
		}
		return refused(placeRules(r.Job))
	})
	if err == nil || !errors.Is(err, job.ErrNotFound) {
		return changed.Job, false, err
	}
	given.Role = job.Standalone
	if err := refused(placeRules(given)); err != nil {
		return job.Job{}, false, err
	}
	return s.parts.JobWriter.PutJobState(ctx, given)
}

// jobsByID reads jobs into a map.
func (s *Server) jobsByID(ctx context.Context, ids []string) (map[string]job.Record, error) {
	project := exchangeOf(ctx).caller.Project
	unique := slices.Compact(slices.Sorted(slices.Values(ids)))
	records, err := s.parts.JobReader.Jobs(ctx, project, unique)
	if err != nil {
		return nil, err
	}
	found := make(map[string]job.Record, len(records))
	for _, r := range records {
		found[r.ID] = r
	}
	return found, nil
}
