package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"dialtone/internal/api/wire"
	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/probe"
)

// ReadRequest reads the body of a test call outside of a server: that of the
// cluster call if its entries have a property, else that of the connection
// call. It is as strict as the calls themselves, but for what makes sense to a
// server only: an entry needs no job id, ids may repeat, there may be any
// number of entries, and a property may be the list itself instead of a text
// that holds it. The error joins all problems, each with its path and none
// with a value.
func ReadRequest(body []byte) (job.Call, []batch.RequestEntry, error) {
	r, err := newReader(Config{}.withDefaults().MaxObjects)
	if err != nil {
		return "", nil, err
	}
	tree, problems, bad := parseTree(body, "", r.names)
	if bad != nil {
		return "", nil, bad
	}
	if _, is := tree.(map[string]any); !is {
		return "", nil, errors.New("it must be an object with a list of jobs")
	}
	call := job.Connection
	if unfoldProperties(tree) {
		call = job.Cluster
	}
	entries, more, err := r.read(call, tree)
	if err != nil {
		return "", nil, err
	}
	return call, entries, told(append(problems, more...))
}

// reader reads requests: the document, compiled.
type reader struct {
	shapes shapes
	// clusterShape is what a property of the cluster call holds.
	clusterShape *shape
	// jobShape is a job as it is created, to keep its secrets apart.
	jobShape *shape
	// names are the keys of all schemas.
	names names
	// maxObjects bounds a property of the cluster call.
	maxObjects int
}

func newReader(maxObjects int) (reader, error) {
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		return reader{}, fmt.Errorf("read openapi.yaml: %w", err)
	}
	r := reader{names: propertyNames(doc), maxObjects: maxObjects}
	if r.shapes, err = newShapes(doc); err != nil {
		return reader{}, fmt.Errorf("openapi.yaml: %w", err)
	}
	if r.clusterShape, err = component(doc, "ClusterEndpoint"); err != nil {
		return reader{}, fmt.Errorf("openapi.yaml: %w", err)
	}
	if r.jobShape, err = component(doc, "CreateJob"); err != nil {
		return reader{}, fmt.Errorf("openapi.yaml: %w", err)
	}
	return r, nil
}

// read checks the shape, then the rules.
func (r reader) read(call job.Call, tree any) ([]batch.RequestEntry, []problem, error) {
	route := "POST /v3/:project_id/jobs/batch-connection"
	if call == job.Cluster {
		route = "POST /v3/:project_id/jobs/cluster/batch-connection"
	}
	operation, ok := r.shapes[route]
	if !ok || operation.body == nil {
		return nil, nil, fmt.Errorf("openapi.yaml: there is no body of %s", route)
	}
	var check checker
	clean, _ := check.check(operation.body, "", tree)
	plain, err := json.Marshal(clean)
	if err != nil {
		return nil, nil, errors.New("encode the checked request")
	}
	if call == job.Cluster {
		var request wire.TestClusterConnectionsRequest
		if json.Unmarshal(plain, &request) != nil { // its error quotes values
			return nil, nil, errors.New("decode the checked request: the document and its types disagree")
		}
		entries, wrong := r.clusters(request, math.MaxInt)
		return entries, append(check.problems, wrong...), nil
	}
	var request wire.TestConnectionsRequest
	if json.Unmarshal(plain, &request) != nil { // likewise
		return nil, nil, errors.New("decode the checked request: the document and its types disagree")
	}
	entries, wrong := r.connections(request, math.MaxInt)
	return entries, append(check.problems, wrong...), nil
}

// connections takes the entries of the connection call over and applies the
// rules to them; more entries than most are one problem, not hundreds.
func (r reader) connections(request wire.TestConnectionsRequest, most int) ([]batch.RequestEntry, []problem) {
	entries := make([]batch.RequestEntry, len(request.Jobs))
	problems := tooMany(len(request.Jobs), most)
	for i, given := range request.Jobs[:min(len(request.Jobs), most)] {
		e := endpoint(given)
		entries[i] = batch.RequestEntry{JobID: given.ID, Endpoints: []batch.Endpoint{e}}
		for _, p := range e.Validate(job.Connection) {
			problems = append(problems, ruleProblem(entryPath(i), string(p.Field), p))
		}
	}
	return entries, problems
}

// clusters does the same for the cluster call.
func (r reader) clusters(request wire.TestClusterConnectionsRequest, most int) ([]batch.RequestEntry, []problem) {
	entries := make([]batch.RequestEntry, len(request.Jobs))
	problems := tooMany(len(request.Jobs), most)
	for i, given := range request.Jobs[:min(len(request.Jobs), most)] {
		entries[i].JobID = given.JobID
		if !given.Property.IsSet() {
			continue // a problem already
		}
		endpoints, wrong := r.property(entryPath(i)+".property", given.Property)
		entries[i].Endpoints = endpoints
		problems = append(problems, wrong...)
	}
	return entries, problems
}

// unfoldProperties says whether a request is one of the cluster call, and turns
// properties that are lists into the text that the call wants.
func unfoldProperties(tree any) bool {
	request, _ := tree.(map[string]any)
	jobs, _ := request["jobs"].([]any)
	found := false
	for _, entry := range jobs {
		fields, _ := entry.(map[string]any)
		property, ok := fields["property"]
		found = found || ok
		switch property.(type) {
		case []any, map[string]any:
			text, err := json.Marshal(property)
			if err != nil {
				continue // it came from JSON, so this cannot be
			}
			fields["property"] = string(text)
		}
	}
	return found
}

// told turns problems into one error, without those that only a server has.
func told(problems []problem) error {
	var all []error
	for _, p := range arrange(problems) {
		if p.code == codeMissing && strings.Count(p.path, ".") == 1 && (strings.HasSuffix(p.path, "].id") || strings.HasSuffix(p.path, "].job_id") || strings.HasSuffix(p.path, "].action")) {
			continue
		}
		if p.why.English == "" {
			all = append(all, errors.New(p.message(probe.English)))
			continue
		}
		all = append(all, errors.New(p.path+": "+p.why.English))
	}
	return errors.Join(all...)
}
