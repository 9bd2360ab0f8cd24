package sdk_test

import (
	"encoding/json"
	"strings"
	"testing"

	drs "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/drs/v3"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/drs/v3/model"

	"dialtone/test/system"
)

// TestJourney goes the way of a client, signed in both of the SDK's ways: from
// the creation of a job over the test of its two ends to its deletion.
func TestJourney(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Workers: 2})
	for _, tt := range []struct {
		name   string
		caller caller
	}{
		{"plain", caller{}},
		{"derived", caller{derived: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			journey(t, client(t, s, tt.caller), "journey-"+tt.name)
		})
	}
	t.Cleanup(func() {
		password := system.Need(t, "DIALTONE_TEST_PASSWORD")
		for _, p := range append(s.Workers, s.API) {
			for _, secret := range []string{password, system.SecretKey} {
				if strings.Contains(p.Output(), secret) {
					t.Errorf("%s logged a secret", p.Name)
				}
			}
		}
	})
}

func journey(t *testing.T, c *drs.DrsClient, name string) {
	t.Helper()
	source, target := system.MariaDB(t, "dt_native"), system.Postgres(t, "dt_scram").With(system.Entry{"end_point_type": "ta"})

	job := configured(t, c, migration(name))
	if value(job.Name) != name || job.ChildIds != nil {
		t.Errorf("created %v, want %s without children", job, name)
	}
	of := system.Entry{"id": job.Id}
	for _, r := range must(t, c, source.With(of), target.With(of)) {
		succeeded(t, r, "success")
	}

	modify(t, c, job.Id, source, target)
	detail := details(t, c, job.Id)
	if value(detail.Name) != name || detail.SourceEndpoint == nil || value(detail.SourceEndpoint.DbUser) != "dt_native" ||
		detail.TargetEndpoint == nil || value(detail.TargetEndpoint.DbUser) != "dt_scram" {
		t.Errorf("detail %v, want the stored endpoints", detail)
	}
	raw, err := json.Marshal(detail)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), system.Need(t, "DIALTONE_TEST_PASSWORD")) {
		t.Errorf("a password in the detail: %s", raw)
	}
	listed(t, c, name, job.Id)

	remove(t, c, job.Id, model.GetDeleteJobReqDeleteTypeEnum().TERMINATE, "")
	await(t, c, "RELEASE_RESOURCE_COMPLETE", job.Id)
	failed(t, must(t, c, source.With(of))[0], "failed", "DRS.M00304")
	remove(t, c, job.Id, model.GetDeleteJobReqDeleteTypeEnum().DELETE, "")
	failed(t, must(t, c, source.With(of))[0], "failed", "DRS.M05004")
}

// modify stores the tested endpoints, as a client does after a good test.
func modify(t *testing.T, c *drs.DrsClient, id string, source, target system.Entry) {
	t.Helper()
	yes, no := true, false
	node, engine, net := model.GetModifyJobReqNodeTypeEnum().HIGH, model.GetModifyJobReqEngineTypeEnum().MYSQL, model.GetModifyJobReqNetTypeEnum().EIP
	resp, err := c.BatchUpdateJob(&model.BatchUpdateJobRequest{Body: &model.BatchModifyJobReq{Jobs: []model.ModifyJobReq{{
		JobId: id, StoreDbInfo: &yes, ReplaceDefiner: &no, NodeType: &node, EngineType: &engine, NetType: &net,
		SourceEndpoint: stored(t, source), TargetEndpoint: stored(t, target),
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	if resp.HttpStatusCode != 200 || value(resp.Count) != 1 || (*resp.Results)[0].Id != id || (*resp.Results)[0].Status.Value() != "success" {
		t.Errorf("modification was answered with %v", resp)
	}
}

func details(t *testing.T, c *drs.DrsClient, id string) model.QueryJobResp {
	t.Helper()
	resp, err := c.BatchListJobDetails(&model.BatchListJobDetailsRequest{Body: &model.BatchQueryJobReqPage{Jobs: []string{id}}})
	if err != nil {
		t.Fatal(err)
	}
	if resp.HttpStatusCode != 200 || value(resp.Count) != 1 || len(*resp.Results) != 1 || value((*resp.Results)[0].Id) != id {
		t.Fatalf("detail was answered with %v", resp)
	}
	return (*resp.Results)[0]
}

// listed looks for a job by its name.
func listed(t *testing.T, c *drs.DrsClient, name, id string) {
	t.Helper()
	resp, err := c.ShowJobList(&model.ShowJobListRequest{Body: &model.QueryJobsReq{
		CurPage: 1, PerPage: 10, DbUseType: model.GetQueryJobsReqDbUseTypeEnum().MIGRATION, Name: &name,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if value(resp.TotalRecord) != 1 || len(*resp.Jobs) != 1 || (*resp.Jobs)[0].Id != id {
		t.Errorf("list by the name %s was answered with %v", name, resp)
	}
}

// remove ends a job; code is the error expected of it, empty for success.
func remove(t *testing.T, c *drs.DrsClient, id string, how model.DeleteJobReqDeleteType, code string) {
	t.Helper()
	resp, err := c.BatchDeleteJobs(&model.BatchDeleteJobsRequest{Body: &model.BatchDeleteJobReq{Jobs: []model.DeleteJobReq{{JobId: id, DeleteType: how}}}})
	if err != nil {
		t.Fatal(err)
	}
	if resp.HttpStatusCode != 202 || value(resp.Count) != 1 || len(*resp.Results) != 1 {
		t.Fatalf("%s was answered with %v", how.Value(), resp)
	}
	r := (*resp.Results)[0]
	want := "success"
	if code != "" {
		want = "failed"
	}
	if value(r.Id) != id || r.Status == nil || r.Status.Value() != want || value(r.ErrorCode) != code {
		t.Errorf("%s: %v, want %s %s", how.Value(), r, want, code)
	}
}

// TestDualActive creates a pair that replicates both ways: its parent cannot
// be tested, its forward child can, its backward child not before the forward
// one is in its incremental phase.
func TestDualActive(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{})
	c := client(t, s, caller{})
	pair := migration("dual-active")
	pair.DbUseType = model.GetCreateJobReqDbUseTypeEnum().CLOUD_DATA_GUARD
	pair.EngineType = model.GetCreateJobReqEngineTypeEnum().CLOUD_DATA_GUARD_MYSQL
	yes, two := true, int32(2)
	pair.MultiWrite, pair.NodeNum = &yes, &two

	parent := configured(t, c, pair)
	if parent.ChildIds == nil || len(*parent.ChildIds) != 2 {
		t.Fatalf("created %v, want two children", parent)
	}
	forward, backward := (*parent.ChildIds)[0], (*parent.ChildIds)[1]
	source := system.MariaDB(t, "dt_native")
	of := func(id string) system.Entry { return source.With(system.Entry{"id": id}) }

	results := must(t, c, of(parent.Id), of(forward), of(backward))
	failed(t, results[0], "failed", "DRS.M00307")
	succeeded(t, results[1], "success")
	failed(t, results[2], "failed", "DRS.M00304")
	if of := value(details(t, c, forward).ParentId); of != parent.Id {
		t.Errorf("the forward job's parent is %q, want %s", of, parent.Id)
	}

	a := s.Must("PUT", "/jobs/"+forward+"/state", map[string]any{"status": "INCRE_TRANSFER_STARTED", "role": "forward", "parent_id": parent.Id})
	if a.Status/100 != 2 {
		t.Fatalf("state of the forward job: %d %s", a.Status, a.Body)
	}
	await(t, c, "INCRE_TRANSFER_STARTED", forward)
	results = must(t, c, of(forward), of(backward))
	failed(t, results[0], "failed", "DRS.M00304")
	succeeded(t, results[1], "success")

	// Only the parent ends the pair.
	remove(t, c, forward, model.GetDeleteJobReqDeleteTypeEnum().TERMINATE, "DRS.M00308")
	remove(t, c, parent.Id, model.GetDeleteJobReqDeleteTypeEnum().TERMINATE, "")
	await(t, c, "RELEASE_RESOURCE_COMPLETE", parent.Id, backward)
}
