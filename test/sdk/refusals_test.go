package sdk_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/drs/v3/model"

	"dialtone/test/system"
)

// TestFailures tests endpoints that do not work: the call succeeds, each entry
// says what is wrong with its endpoint, and the good one among them is not
// touched by it.
func TestFailures(t *testing.T) {
	t.Parallel()
	// The same wrong passwords are sent again on purpose.
	s := system.Start(t, system.Options{Env: []string{"DIALTONE_LOGIN_REPEAT_AFTER=0s", "DIALTONE_LOGIN_REFUSALS=100"}})
	for _, tt := range []struct {
		name   string
		caller caller
	}{
		{"plain", caller{}},
		{"derived", caller{derived: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := client(t, s, tt.caller)
			job := system.Entry{"id": configured(t, c, migration("failures-"+tt.name)).Id}
			other := system.Entry{"id": configured(t, c, migration("failures-too-"+tt.name)).Id}
			good := system.MariaDB(t, "dt_native")
			target := system.Entry{"end_point_type": "ta"}
			wrong := system.Entry{"db_password": "not-<the>&\"password"}

			results := must(t, c,
				good.With(job).With(wrong),
				system.Postgres(t, "dt_scram").With(job).With(target).With(wrong),
				good.With(other).At(t, system.FreeAddr(t)),
				system.Postgres(t, "dt_scram").With(other).With(target).TLS(t, "rogue-ca.pem"),
				good.With(system.Entry{"id": "0eb704d0-5a1c-4cbd-b675-91152f06jb11"}),
				good.With(system.Entry{"id": "0eb704d0-5a1c-4cbd-b675-91152f06jb12"}).With(target),
			)
			failed(t, results[0], "failed", "DRS.KE0002")
			failed(t, results[1], "failed", "DRS.KE0002")
			failed(t, results[2], "failed", "DRS.DT4001") // refused
			failed(t, results[3], "failed", "DRS.DT5003") // not the authority of the server's certificate
			failed(t, results[4], "failed", "DRS.M05003")
			failed(t, results[5], "failed", "DRS.M05003")
			for _, r := range results {
				if strings.Contains(value(r.ErrorMsg), "password\"") {
					t.Errorf("a password in %v", r)
				}
			}

			results = must(t, c, good.With(job).With(wrong), system.Postgres(t, "dt_scram").With(job).With(target))
			failed(t, results[0], "failed", "DRS.KE0002")
			succeeded(t, results[1], "success")
		})
	}
}

// TestRefusals sends what is refused as a whole: the SDK must find code,
// message and request id where it looks for them.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{})
	good := system.MariaDB(t, "dt_native")
	var eleven []system.Entry
	for i := range 11 {
		eleven = append(eleven, good.With(system.Entry{"id": "140b5236-88ad-43c8-811c-1268453jb1" + strconv.Itoa(10+i)}))
	}
	for _, tt := range []struct {
		name    string
		caller  caller
		entries []system.Entry
		status  int
		code    string
		says    string
	}{
		{"unknown access key", caller{accessKey: "AKNOBODY0000000000000"}, []system.Entry{good}, 401, "APIGW.0301", "aksk"},
		{"wrong secret key", caller{secretKey: "SKwrong"}, []system.Entry{good}, 401, "APIGW.0301", "aksk"},
		{"wrong secret key, derived", caller{secretKey: "SKwrong", derived: true}, []system.Entry{good}, 401, "APIGW.0301", "aksk"},
		{"another project", caller{project: "0549a6a31000d4e82fd1c00c3d6f2d76"}, []system.Entry{good}, 403, "DRS.M00261", "project"},
		{"no entry", caller{}, nil, 400, "DRS.M00201", "jobs"},
		{"eleven entries", caller{}, eleven, 400, "DRS.M00202", "jobs"},
		{"a port out of range", caller{}, []system.Entry{good, good.With(system.Entry{"db_port": 65536, "end_point_type": "ta"})}, 400, "DRS.M00202", "jobs[1].db_port"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			resp, err := try(t, client(t, s, tt.caller), tt.entries...)
			if err == nil {
				t.Fatalf("answered with %v", resp)
			}
			refused := refusal(t, err)
			if refused.StatusCode != tt.status || refused.ErrorCode != tt.code || !strings.Contains(refused.ErrorMessage, tt.says) {
				t.Errorf("refused with %v, want %d %s naming %q", refused, tt.status, tt.code, tt.says)
			}
			if strings.Contains(refused.ErrorMessage, system.Need(t, "DIALTONE_TEST_PASSWORD")) {
				t.Errorf("a password in %v", refused)
			}
		})
	}

	// A single job that does not exist is refused in the shape of the answer,
	// which the SDK can only show as it came.
	_, err := client(t, s, caller{}).BatchListJobDetails(&model.BatchListJobDetailsRequest{
		Body: &model.BatchQueryJobReqPage{Jobs: []string{system.JobID}},
	})
	if refused := refusal(t, err); refused.StatusCode != http.StatusBadRequest || !strings.Contains(refused.ErrorMessage, "DRS.M00289") {
		t.Errorf("detail of no job: %v", refused)
	}
}

// TestCluster makes the cluster call: one property holds several endpoints,
// and one of them that fails fails its entry and no other.
func TestCluster(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{})
	c := client(t, s, caller{})
	job := configured(t, c, migration("cluster-job"))
	other := configured(t, c, migration("cluster-too"))
	pair := migration("cluster-pair")
	yes := true
	pair.DbUseType, pair.MultiWrite = model.GetCreateJobReqDbUseTypeEnum().CLOUD_DATA_GUARD, &yes
	pair.EngineType = model.GetCreateJobReqEngineTypeEnum().CLOUD_DATA_GUARD_MYSQL
	parent := configured(t, c, pair)

	source := object(system.MariaDB(t, "dt_native"))
	target := object(system.Postgres(t, "dt_scram").With(system.Entry{"end_point_type": "ta"}))
	wrong := object(system.MariaDB(t, "dt_native").With(system.Entry{"db_password": "wrong"}))
	action := func(id string, objects ...map[string]any) model.BatchJobActionReq {
		property, err := json.Marshal(objects)
		if err != nil {
			t.Fatal(err)
		}
		return model.BatchJobActionReq{Action: model.GetBatchJobActionReqActionEnum().TEST_CONNECTION, JobId: id, Property: string(property)}
	}
	resp, err := c.BatchValidateClustersConnections(&model.BatchValidateClustersConnectionsRequest{Body: &model.BatchSpecialTestConnectionReq{
		Jobs: []model.BatchJobActionReq{
			action(job.Id, source, source), action(job.Id, target), action(other.Id, source, wrong),
			action(parent.Id, source), action((*parent.ChildIds)[0], source),
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if value(resp.Count) != 5 || len(*resp.Results) != 5 {
		t.Fatalf("answered with %v", resp)
	}
	results := *resp.Results
	for i, id := range []string{job.Id, job.Id, other.Id, parent.Id, (*parent.ChildIds)[0]} {
		if results[i].Id != id {
			t.Errorf("result %d is of job %s, want %s", i, results[i].Id, id)
		}
	}
	succeeded(t, results[0], "true")
	succeeded(t, results[1], "true")
	failed(t, results[2], "false", "DRS.KE0002")
	succeeded(t, results[3], "true")
	failed(t, results[4], "false", "DRS.M00308")
	if says := value(results[2].ErrorMsg); !strings.Contains(says, "[1]") || strings.Contains(says, "[0]") {
		t.Errorf("message %q, want it to name object 1 and no other", says)
	}
}

// object writes an entry as the cluster call spells its fields.
func object(e system.Entry) map[string]any {
	return map[string]any{
		"dbtype": e["db_type"], "ip": e["ip"], "dbport": e["db_port"], "dbuser": e["db_user"], "dbpassword": e["db_password"],
		"dbName": e["db_name"], "nettype": e["net_type"], "endpointtype": e["end_point_type"], "ssllink": false,
		"sslcertkey": "", "sslcertname": "", "sslcertchecksum": "",
	}
}
