package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"dialtone/internal/api/wire"
	"dialtone/internal/job"
	"dialtone/internal/probe"
)

// DRS's page of a query by ids.
const (
	firstPage   = 1
	idsPerPage  = 5
	mostNamedID = 100
)

// pageOf cuts a page out of ids; per page 0 means all.
func pageOf[T any](all []T, page int, size int) []T {
	if size == 0 {
		return all
	}
	from := min((max(page, firstPage)-1)*size, len(all))
	return all[from:min(from+size, len(all))]
}

// queried gives the page of ids asked for and what is known of them.
func (s *Server) queried(ctx context.Context, body *wire.QueryJobsRequest) (ids []string, known map[string]job.Record, err error) {
	if err := refused(exchangeOf(ctx).problems); err != nil {
		return nil, nil, err
	}
	size := idsPerPage
	if body.PageReq.PerPage != nil {
		size = *body.PageReq.PerPage
	}
	ids = pageOf(body.Jobs, body.PageReq.CurPage, size)
	known, err = s.jobsByID(ctx, ids)
	return ids, known, err
}

// absent says why a job cannot be shown, or nil.
func absent(known map[string]job.Record, id string) *itemError {
	r, ok := known[id]
	switch {
	case !ok:
		return &itemError{code: codeJobNotFound}
	case r.Status == job.Deleted:
		return &itemError{code: codeJobDeleted}
	default:
		return nil
	}
}

// GetJobStatuses tells where jobs are.
func (s operations) GetJobStatuses(ctx context.Context, r wire.GetJobStatusesRequestObject) (wire.GetJobStatusesResponseObject, error) {
	ids, known, err := s.queried(ctx, r.Body)
	if err != nil {
		return nil, err
	}
	answer := wire.JobStatusesResponse{Results: []wire.JobStatusResult{}, Count: len(r.Body.Jobs)}
	for _, id := range ids {
		one := wire.JobStatusResult{ID: id, Status: string(known[id].Status)}
		if f := absent(known, id); f != nil {
			one.ErrorCode, one.ErrorMessage = f.code, f.message(exchangeOf(ctx).language)
		}
		answer.Results = append(answer.Results, one)
	}
	return wire.GetJobStatuses200JSONResponse(answer), nil
}

// detailsNotFound is the 400 of a single job that does not exist, in the shape
// of the answer (contract 3.5).
type detailsNotFound wire.JobDetailsResponse

// VisitGetJobDetailsResponse writes it.
func (d detailsNotFound) VisitGetJobDetailsResponse(w http.ResponseWriter) error {
	var text bytes.Buffer
	if err := json.NewEncoder(&text).Encode(wire.JobDetailsResponse(d)); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_, err := text.WriteTo(w)
	return err
}

// GetJobDetails shows jobs.
func (s operations) GetJobDetails(ctx context.Context, r wire.GetJobDetailsRequestObject) (wire.GetJobDetailsResponseObject, error) {
	ids, known, err := s.queried(ctx, r.Body)
	if err != nil {
		return nil, err
	}
	answer := wire.JobDetailsResponse{Results: []wire.JobDetail{}, Count: len(r.Body.Jobs)}
	missing := 0
	for _, id := range ids {
		if f := absent(known, id); f != nil {
			missing++
			answer.Results = append(answer.Results, wire.JobDetail{ID: id, Status: string(known[id].Status), ErrorCode: f.code, ErrorMessage: f.message(exchangeOf(ctx).language)})
			continue
		}
		answer.Results = append(answer.Results, jobDetail(known[id]))
	}
	if missing == 1 && len(r.Body.Jobs) == 1 {
		return detailsNotFound(answer), nil
	}
	return wire.GetJobDetails200JSONResponse(answer), nil
}

// jobDetail shows a job. Its detail holds no secrets: see shape.conceal.
func jobDetail(r job.Record) wire.JobDetail {
	var view wire.JobDetail
	if len(r.Detail) > 0 {
		_ = json.Unmarshal(r.Detail, &view) // written by us; what a later version added is left out
	}
	var node struct {
		Subnet string `json:"customize_sutnet_id"`
	}
	if len(r.Detail) > 0 && json.Unmarshal(r.Detail, &node) == nil {
		view.SubnetID = node.Subnet
	}
	view.ID, view.ParentID, view.Name, view.Status, view.Description = r.ID, r.ParentID, r.Name, string(r.Status), r.Description
	view.CreateTime, view.UpdateTime = millis(r.CreatedAt), millis(r.UpdatedAt)
	view.TaskType, view.NetType, view.DBUseType = r.TaskType, r.NetType, r.DBUseType
	view.JobDirection, view.OriginalJobDirection = r.Direction, r.Direction
	view.MultiWrite = r.Role == job.Parent || r.Role == job.Forward || r.Role == job.Backward
	view.IsMultiAz = view.MasterAz != "" && view.SlaveAz != ""
	view.InstInfo = wire.InstInfo{EngineType: r.EngineType, InstType: r.NodeType}
	return view
}

// drsID is what an id of DRS looks like, to tell ids from names in a list's
// filter.
var drsID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{7,8}jb[0-9a-z]{2,3}$`)

// ListJobs lists jobs, children below their parents.
func (s operations) ListJobs(ctx context.Context, r wire.ListJobsRequestObject) (wire.ListJobsResponseObject, error) {
	x := exchangeOf(ctx)
	f := job.Filter{
		Project: x.caller.Project, Status: job.Status(r.Body.Status), DBUseType: string(r.Body.DBUseType),
		EngineType: r.Body.EngineType, NetType: string(r.Body.NetType),
	}
	problems := x.problems
	if ids := strings.Split(r.Body.Name, ","); r.Body.Name != "" && !slices.ContainsFunc(ids, func(id string) bool { return !drsID.MatchString(strings.TrimSpace(id)) }) {
		for _, id := range ids {
			f.IDs = append(f.IDs, strings.TrimSpace(id))
		}
		if len(ids) > mostNamedID {
			problems = append(problems, problem{path: "name", code: codeInvalid, why: probe.Words{
				English: "it may name at most " + strconv.Itoa(mostNamedID) + " ids", Chinese: "最多包含 " + strconv.Itoa(mostNamedID) + " 个 ID",
			}})
		}
	} else {
		f.Name = r.Body.Name
	}
	if err := refused(problems); err != nil {
		return nil, err
	}
	f.TopLevel, f.Live = len(f.IDs) == 0, f.Status != job.Deleted
	page, total, err := s.jobsPage(ctx, f, r.Body)
	if err != nil {
		return nil, err
	}
	answer := wire.ListJobsResponse{TotalRecord: total, Jobs: []wire.JobInfo{}}
	var childIDs []string
	for _, j := range page {
		childIDs = append(childIDs, j.ChildIDs...)
	}
	children, err := s.jobsByID(ctx, childIDs)
	if err != nil {
		return nil, err
	}
	for _, j := range page {
		one := jobInfo(j)
		for _, id := range j.ChildIDs {
			if child, ok := children[id]; ok {
				one.Children = append(one.Children, childInfo(child))
			}
		}
		answer.Jobs = append(answer.Jobs, one)
	}
	return wire.ListJobs200JSONResponse(answer), nil
}

// jobsPage gives the page of jobs asked for, and how many there are on all.
func (s *Server) jobsPage(ctx context.Context, f job.Filter, want *wire.ListJobsRequest) ([]job.Record, int, error) {
	size := idsPerPage
	if want.PerPage != nil {
		size = *want.PerPage
	}
	inDetail := filtersDetail(want)
	if !inDetail && size > 0 {
		f.Offset, f.Limit = (max(want.CurPage, firstPage)-1)*size, size
	}
	found, total, err := s.parts.JobReader.ListJobs(ctx, f)
	if err != nil {
		return nil, 0, err
	}
	if !inDetail {
		return found, total, nil
	}
	// No store can search in the detail, so the page is cut here.
	found = slices.DeleteFunc(found, func(r job.Record) bool { return !matches(r, want) })
	return pageOf(found, want.CurPage, size), len(found), nil
}

// filtersDetail says whether a list is narrowed by what only the detail tells.
func filtersDetail(want *wire.ListJobsRequest) bool {
	return len(want.Tags) > 0 || len(want.InstanceIds) > 0 || want.InstanceIP != "" || want.EnterpriseProjectID != ""
}

// matches applies the filters that only the detail can answer.
func matches(r job.Record, want *wire.ListJobsRequest) bool {
	var detail struct {
		Tags    wire.Tags        `json:"tags"`
		SysTags wire.Tags        `json:"sys_tags"`
		Source  wire.JobEndpoint `json:"source_endpoint"`
		Target  wire.JobEndpoint `json:"target_endpoint"`
	}
	if len(r.Detail) > 0 && json.Unmarshal(r.Detail, &detail) != nil {
		return false
	}
	has := func(tags wire.Tags, key, value string) bool {
		for _, tag := range tags {
			if tag.Key == key && tag.Value == value {
				return true
			}
		}
		return false
	}
	for key, value := range want.Tags {
		if !has(detail.Tags, key, value) {
			return false
		}
	}
	if id := want.EnterpriseProjectID; id != "" && !has(detail.SysTags, "_sys_enterprise_project_id", id) {
		return false
	}
	if ids := want.InstanceIds; len(ids) > 0 && !slices.Contains(ids, detail.Source.InstID) && !slices.Contains(ids, detail.Target.InstID) {
		return false
	}
	ip := want.InstanceIP
	return ip == "" || strings.Contains(detail.Source.IP, ip) || strings.Contains(detail.Target.IP, ip)
}

func jobInfo(r job.Record) wire.JobInfo {
	return wire.JobInfo{
		ID: r.ID, Name: r.Name, Status: string(r.Status), CreateTime: millis(r.CreatedAt), Description: r.Description,
		EngineType: r.EngineType, NetType: r.NetType, JobDirection: r.Direction, DBUseType: r.DBUseType, TaskType: r.TaskType,
	}
}

func childInfo(r job.Record) wire.ChildJobInfo {
	return wire.ChildJobInfo{
		ID: r.ID, Name: r.Name, Status: string(r.Status), CreateTime: millis(r.CreatedAt), Description: r.Description,
		EngineType: r.EngineType, NetType: r.NetType, JobDirection: r.Direction, DBUseType: r.DBUseType, TaskType: r.TaskType,
	}
}
