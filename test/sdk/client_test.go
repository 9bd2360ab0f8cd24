package sdk_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/region"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	drs "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/drs/v3"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/drs/v3/model"

	"dialtone/test/system"
)

// caller is who the SDK signs for; the zero value is the one known caller.
type caller struct {
	accessKey, secretKey, project string
	// derived asks for a key that is derived for one day, region and service.
	derived bool
}

// client builds a client as the SDK's own documentation does.
func client(t *testing.T, s *system.System, c caller) *drs.DrsClient {
	t.Helper()
	or := func(given, otherwise string) string {
		if given == "" {
			return otherwise
		}
		return given
	}
	credentials := basic.NewCredentialsBuilder().WithAk(or(c.accessKey, system.AccessKey)).
		WithSk(or(c.secretKey, system.SecretKey)).WithProjectId(or(c.project, system.Project))
	if c.derived {
		credentials = credentials.WithDerivedPredicate(auth.GetDefaultDerivedPredicate())
	}
	signer, err := credentials.SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	builder := drs.DrsClientBuilder().WithCredential(signer)
	if c.derived {
		// The scope of the key names region and service.
		builder = builder.WithRegion(region.NewRegion("eu-west-101", s.URL)).WithDerivedAuthServiceName("drs")
	} else {
		builder = builder.WithEndpoints([]string{s.URL})
	}
	hc, err := builder.SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	return drs.NewDrsClient(hc)
}

// endpoint puts an entry into the SDK's model: what the model has no field for
// is not sent.
func endpoint(t *testing.T, e system.Entry) model.TestEndPoint {
	t.Helper()
	raw, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var p model.TestEndPoint
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// stored puts an entry into the SDK's model of a job's endpoint.
func stored(t *testing.T, e system.Entry) *model.Endpoint {
	t.Helper()
	raw, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var p model.Endpoint
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

// try makes the connection call.
func try(t *testing.T, c *drs.DrsClient, entries ...system.Entry) (*model.BatchValidateConnectionsResponse, error) {
	t.Helper()
	english := model.GetBatchValidateConnectionsRequestXLanguageEnum().EN_US
	body := &model.BatchTestConnectionReq{}
	for _, e := range entries {
		body.Jobs = append(body.Jobs, endpoint(t, e))
	}
	return c.BatchValidateConnections(&model.BatchValidateConnectionsRequest{XLanguage: &english, Body: body})
}

// must is a connection call that has to be answered with results, one for each
// entry and in their order.
func must(t *testing.T, c *drs.DrsClient, entries ...system.Entry) []model.CheckJobResp {
	t.Helper()
	resp, err := try(t, c, entries...)
	if err != nil {
		t.Fatal(err)
	}
	if resp.HttpStatusCode != 200 || resp.Results == nil || len(*resp.Results) != len(entries) || value(resp.Count) != int32(len(entries)) {
		t.Fatalf("%d entries were answered with %v", len(entries), resp)
	}
	for i, r := range *resp.Results {
		if r.Id != entries[i]["id"] {
			t.Errorf("result %d is of job %s, want %s", i, r.Id, entries[i]["id"])
		}
		if r.Success == nil {
			t.Errorf("result %d does not say whether it is a success", i)
		}
	}
	return *resp.Results
}

// succeeded checks a result as Terraform's provider and the SDK's callers do.
func succeeded(t *testing.T, r model.CheckJobResp, status string) {
	t.Helper()
	if !value(r.Success) || r.Status.Value() != status || r.ErrorCode != nil || r.ErrorMsg != nil {
		t.Errorf("result %v, want a success with status %s and no error", r, status)
	}
}

// failed checks a result of a test that did not pass.
func failed(t *testing.T, r model.CheckJobResp, status, code string) {
	t.Helper()
	if r.Success == nil || *r.Success || r.Status.Value() != status {
		t.Errorf("result %v, want a failure with status %s", r, status)
	}
	if value(r.ErrorCode) != code || value(r.ErrorMsg) == "" {
		t.Errorf("error %q %q, want %s and a message", value(r.ErrorCode), value(r.ErrorMsg), code)
	}
}

// refusal is the SDK's view of a request that was refused as a whole.
func refusal(t *testing.T, err error) *sdkerr.ServiceResponseError {
	t.Helper()
	var refused *sdkerr.ServiceResponseError
	if !errors.As(err, &refused) {
		t.Fatalf("error %v (%T), want one of the service", err, err)
	}
	if refused.RequestId == "" {
		t.Errorf("no request id in %v", refused)
	}
	return refused
}

// create creates a job and gives its answer.
func create(t *testing.T, c *drs.DrsClient, job model.CreateJobReq) model.CreateJobResp {
	t.Helper()
	resp, err := c.BatchCreateJobs(&model.BatchCreateJobsRequest{Body: &model.BatchCreateJobReq{Jobs: []model.CreateJobReq{job}}})
	if err != nil {
		t.Fatal(err)
	}
	if resp.HttpStatusCode != 202 || value(resp.Count) != 1 || resp.Results == nil || len(*resp.Results) != 1 {
		t.Fatalf("creation was answered with %v", resp)
	}
	created := (*resp.Results)[0]
	if created.Id == "" || value(created.Status) != "CREATING" || created.ErrorCode != nil || value(created.CreateTime) == "" {
		t.Fatalf("created %v", created)
	}
	return created
}

// migration is a job as a client creates it: all mandatory fields and no more.
func migration(name string) model.CreateJobReq {
	yes := true
	return model.CreateJobReq{
		BindEip: &yes, Name: name, CustomizeSutnetId: "0549a6a3-1000-4d4e-82fd-1c00c3d6f2d7",
		DbUseType:      model.GetCreateJobReqDbUseTypeEnum().MIGRATION,
		EngineType:     model.GetCreateJobReqEngineTypeEnum().MYSQL,
		JobDirection:   model.GetCreateJobReqJobDirectionEnum().UP,
		NetType:        model.GetCreateJobReqNetTypeEnum().EIP,
		NodeType:       model.GetCreateJobReqNodeTypeEnum().HIGH,
		TaskType:       model.GetCreateJobReqTaskTypeEnum().FULL_INCR_TRANS,
		SourceEndpoint: &model.Endpoint{}, TargetEndpoint: &model.Endpoint{},
	}
}

// configured creates a job and waits until it may be tested.
func configured(t *testing.T, c *drs.DrsClient, job model.CreateJobReq) model.CreateJobResp {
	t.Helper()
	created := create(t, c, job)
	ids := []string{created.Id}
	if created.ChildIds != nil {
		ids = append(ids, *created.ChildIds...)
	}
	await(t, c, "CONFIGURATION", ids...)
	return created
}

// await polls batch-status, as clients do, until all jobs have the status.
func await(t *testing.T, c *drs.DrsClient, status string, ids ...string) {
	t.Helper()
	system.Eventually(t, 20*time.Second, "jobs are in "+status, func() bool {
		all := int32(0)
		resp, err := c.BatchListJobStatus(&model.BatchListJobStatusRequest{
			Body: &model.BatchQueryJobReqPage{Jobs: ids, PageReq: &model.PageReq{PerPage: &all}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if value(resp.Count) != int32(len(ids)) || len(*resp.Results) != len(ids) {
			t.Fatalf("status of %v: %v", ids, resp)
		}
		for i, r := range *resp.Results {
			if value(r.Id) != ids[i] || r.ErrorCode != nil || r.Status == nil {
				t.Fatalf("status of %s: %v", ids[i], r)
			}
			if r.Status.Value() != status {
				return false
			}
		}
		return true
	})
}

// value is what p points to, or nothing.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
