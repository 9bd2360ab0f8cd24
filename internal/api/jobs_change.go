package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"

	"dialtone/internal/api/wire"
	"dialtone/internal/job"
	"dialtone/internal/probe"
)

// ModifyJobs changes each job on its own.
func (s operations) ModifyJobs(ctx context.Context, r wire.ModifyJobsRequestObject) (wire.ModifyJobsResponseObject, error) {
	x := exchangeOf(ctx)
	problems := x.problems
	for i, j := range r.Body.Jobs {
		problems = append(problems, modificationRules(entryPath(i), j)...)
	}
	if err := refused(problems); err != nil {
		return nil, err
	}
	trees := bodyItems(x.tree)
	results := make([]wire.ActionResult, len(r.Body.Jobs))
	changed := 0
	for i, given := range r.Body.Jobs {
		_, err := s.parts.JobWriter.UpdateJob(ctx, x.caller.Project, given.JobID, func(known *job.Record) error {
			return s.modify(known, given, trees[i])
		})
		if stop := stopped(ctx, changed, err); stop != nil {
			return nil, stop
		}
		if err == nil {
			changed++
		}
		results[i] = s.acted(ctx, given.JobID, "modify", err)
	}
	return wire.ModifyJobs200JSONResponse{Results: results, Count: len(results)}, nil
}

// modificationRules are what store_db_info makes mandatory.
func modificationRules(path string, j wire.ModifyJob) []problem {
	problems := tagRules(path, j.Tags)
	if !j.StoreDBInfo {
		return problems
	}
	for _, field := range []struct {
		name    string
		missing bool
	}{
		{sourceKey, j.SourceEndpoint == (wire.JobEndpoint{})},
		{targetKey, j.TargetEndpoint == (wire.JobEndpoint{})},
		{"node_type", j.NodeType == ""},
		{"engine_type", j.EngineType == ""},
		{"net_type", j.NetType == ""},
		{"replace_definer", j.ReplaceDefiner == nil},
	} {
		if field.missing {
			problems = append(problems, problem{path: path + "." + field.name, code: codeMissing, why: probe.Words{
				English: "it is mandatory when store_db_info is true", Chinese: "store_db_info 为 true 时必填",
			}})
		}
	}
	return problems
}

// modify applies what was given to a known job.
func (s *Server) modify(known *job.Record, given wire.ModifyJob, tree map[string]any) error {
	switch {
	case known.Status == job.Deleted:
		return &itemError{code: codeJobDeleted}
	case given.StoreDBInfo && known.Role == job.Parent:
		return &itemError{code: codeOnlyChild}
	case given.StoreDBInfo && known.Status != job.Configuration:
		return &itemError{code: codeJobStatus}
	}
	set := func(field *string, value string) {
		if value != "" {
			*field = value
		}
	}
	set(&known.Name, given.Name)
	set(&known.Description, given.Description)
	set(&known.EngineType, given.EngineType)
	set(&known.NetType, string(given.NetType))
	set(&known.TaskType, string(given.TaskType))
	set(&known.NodeType, string(given.NodeType))
	set(&known.Direction, string(given.JobDirection))

	detail, endpoints := map[string]any{}, map[string]any{}
	if err := unmarshal(known.Detail, &detail); err != nil {
		return err
	}
	if err := unmarshal(known.Endpoints, &endpoints); err != nil {
		return err
	}
	maps.Copy(detail, tree)
	if given.StoreDBInfo {
		endpoints[sourceKey], endpoints[targetKey] = tree[sourceKey], tree[targetKey]
		return s.keep(known, detail, endpoints[sourceKey], endpoints[targetKey])
	}
	// Without store_db_info endpoints are no part of the change.
	before := map[string]any{}
	if err := unmarshal(known.Detail, &before); err != nil {
		return err
	}
	for _, key := range []string{sourceKey, targetKey} {
		delete(detail, key)
		if stored, ok := before[key]; ok {
			detail[key] = stored
		}
	}
	sealed := known.Endpoints
	if err := s.keep(known, detail, nil, nil); err != nil {
		return err
	}
	known.Endpoints = sealed
	return nil
}

// unmarshal reads JSON of ours; none is an empty object.
func unmarshal(text json.RawMessage, into *map[string]any) error {
	if len(text) == 0 {
		return nil
	}
	if json.Unmarshal(text, into) != nil {
		return errors.New("what the store holds of the job is no JSON") // the decoder's own text may quote it
	}
	return nil
}

// acted is the result of one action.
func (s *Server) acted(ctx context.Context, id, action string, err error) wire.ActionResult {
	x := exchangeOf(ctx)
	if err == nil {
		s.note(ctx, "job", "job changed", slog.String("job", id), slog.String("action", action))
		return wire.ActionResult{ID: id, Status: wire.ActionResponseResultsStatusSuccess}
	}
	f := s.item(ctx, id, err)
	return wire.ActionResult{ID: id, Status: wire.ActionResponseResultsStatusFailed, ErrorCode: f.code, ErrorMsg: f.message(x.language)}
}

// DeleteJobs stops or deletes each job on its own.
func (s operations) DeleteJobs(ctx context.Context, r wire.DeleteJobsRequestObject) (wire.DeleteJobsResponseObject, error) {
	x := exchangeOf(ctx)
	if err := refused(x.problems); err != nil {
		return nil, err
	}
	results := make([]wire.ActionResult, len(r.Body.Jobs))
	changed := 0
	for i, given := range r.Body.Jobs {
		err := s.remove(ctx, given)
		if stop := stopped(ctx, changed, err); stop != nil {
			return nil, stop
		}
		if err == nil {
			changed++
		}
		results[i] = s.acted(ctx, given.JobID, string(given.DeleteType), err)
	}
	return wire.DeleteJobs202JSONResponse{Results: results, Count: len(results)}, nil
}

// remove stops or deletes one job, a parent with its children.
func (s *Server) remove(ctx context.Context, given wire.DeleteJob) error {
	project := exchangeOf(ctx).caller.Project
	removed, err := s.parts.JobWriter.UpdateJob(ctx, project, given.JobID, func(known *job.Record) error {
		if known.Role == job.Forward || known.Role == job.Backward {
			return &itemError{code: codeOnlyParent}
		}
		return end(known, given.DeleteType)
	})
	if err != nil {
		return err
	}
	for _, child := range removed.ChildIDs {
		_, err := s.parts.JobWriter.UpdateJob(ctx, project, child, func(known *job.Record) error {
			known.Status, known.Endpoints = removed.Status, nil
			return nil
		})
		if err != nil && !errors.Is(err, job.ErrNotFound) {
			return s.item(ctx, child, err) // not stopped: its parent is changed
		}
	}
	return nil
}

// end moves a job on to its end. No resources hang on a job here, so what
// takes DRS a while is done at once.
func end(known *job.Record, how wire.DeleteJobsRequestJobsDeleteType) error {
	if known.Status == job.Deleted {
		return &itemError{code: codeJobDeleted}
	}
	switch how {
	case wire.Delete:
		if !known.Status.Deletable() {
			return &itemError{code: codeJobStatus}
		}
		known.Status = job.Deleted
	case wire.Terminate, wire.ForceTerminate:
		if known.Mirrored || known.Status.Deletable() { // elsewhere's business, or ended already
			return &itemError{code: codeJobStatus}
		}
		known.Status = job.ReleaseResourceComplete
	default: // nothing of ours is ever being upgraded
		return &itemError{code: codeJobStatus}
	}
	known.Endpoints = nil // nothing will be tested with them any more
	return nil
}
