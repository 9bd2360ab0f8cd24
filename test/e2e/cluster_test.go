package e2e_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"dialtone/test/system"
)

// object writes an entry as the cluster call spells its fields.
func object(e system.Entry, more ...system.Entry) system.Entry {
	o := system.Entry{
		"dbtype": e["db_type"], "ip": e["ip"], "dbport": e["db_port"], "dbuser": e["db_user"], "dbpassword": e["db_password"],
		"dbName": e["db_name"], "nettype": e["net_type"], "endpointtype": e["end_point_type"], "ssllink": false,
		"sslcertkey": "", "encrypt": false,
	}
	if e["db_port"] == nil { // it stands in ip
		delete(o, "dbport")
	}
	for _, fields := range more {
		o = o.With(fields)
	}
	return o
}

// action is one entry of the cluster call; property is encoded as a string.
func action(t *testing.T, id string, property any) map[string]string {
	t.Helper()
	raw, err := json.Marshal(property)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"action": "testConnection", "job_id": id, "property": string(raw)}
}

func TestCluster(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Env: []string{"DIALTONE_PROBE_TIMEOUT=4s", "DIALTONE_CONNECT_TIMEOUT=1s"}})
	const parent, forward, backward, single = "parent-job", "forward-job", "backward-job", "single-job"
	s.Mirror(parent, "CONFIGURATION", "parent")
	s.Mirror(single, "CONFIGURATION", "standalone")
	for id, role := range map[string]string{forward: "forward", backward: "backward"} {
		state := map[string]string{"status": "CONFIGURATION", "role": role, "parent_id": parent}
		if a := s.Must(http.MethodPut, "/jobs/"+id+"/state", state); a.Status != http.StatusCreated {
			t.Fatalf("mirror %s: %d %s", id, a.Status, a.Body)
		}
	}
	source := object(system.MariaDB(t, "dt_native"))
	target := object(system.Postgres(t, "dt_scram"), system.Entry{"endpointtype": "ta"})
	shard := object(system.MariaDB(t, "dt_native"), system.Entry{"endpointtype": "ls"})
	wrong := source.With(system.Entry{"dbpassword": "not-<the>&\"password"})
	closed := object(system.Postgres(t, "dt_scram").At(t, system.FreeAddr(t)))
	broker := source.With(system.Entry{"dbtype": "kafka", "dbport": nil, "dbName": nil, "ip": system.FreeAddr(t) + "," + system.FreeAddr(t)})
	plain := map[string]string{"type": "PLAINTEXT"}
	sasl := map[string]string{"type": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN"}

	conditions := []struct {
		name     string
		job      string
		property any
		code     string   // "" is a success
		says     []string // what the message holds
		not      []string // and what it does not
		tests    []string // the verdicts below it
	}{
		{"a list, parent", parent, []any{source, target, shard}, "", nil, nil, []string{"ok", "ok", "ok"}},
		{"an object", single, source, "", nil, nil, []string{"ok"}},
		{"a child", forward, source, "DRS.M00308", nil, nil, []string{"job_is_child"}},
		{"another child", backward, []any{source}, "DRS.M00308", nil, nil, []string{"job_is_child"}},
		{"one of three fails", single, []any{source, wrong, target}, "DRS.KE0002", []string{"1 of 3", "property[1]"}, []string{"property[0]", "property[2]"}, []string{"ok", "auth_failed", "ok"}},
		{"two of three fail", single, []any{closed, source, wrong}, "DRS.DT4001", []string{"2 of 3", "property[0]", "property[2]"}, []string{"property[1]"}, []string{"connection_refused", "ok", "auth_failed"}},
		{"port in the address", single, source.With(system.Entry{"dbport": nil, "ip": system.Need(t, "DIALTONE_TEST_MARIADB_ADDR")}), "", nil, nil, []string{"ok"}},
		{"port as a string", single, source.With(system.Entry{"dbport": portOf(t, "DIALTONE_TEST_MARIADB_ADDR")}), "", nil, nil, []string{"ok"}},
		{
			"both Kafka spellings", parent,
			[]any{broker.With(system.Entry{"kafkaSecurityConfig": plain}), broker.With(system.Entry{"kafka_security_config": sasl})},
			"DRS.DT4001",
			[]string{"property[0]", "property[1]"},
			nil,
			[]string{"connection_refused", "connection_refused"},
		},
		{"nobody knows it", "unknown-job", source, "DRS.M05003", nil, nil, []string{"job_unknown"}},
	}
	var actions []map[string]string
	for _, c := range conditions {
		actions = append(actions, action(t, c.job, c.property))
	}
	a := s.Must(http.MethodPost, "/jobs/cluster/batch-connection", map[string]any{"jobs": actions})
	if a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	var answer system.Results
	a.Decode(t, &answer)
	if answer.Count != len(conditions) || len(answer.Results) != len(conditions) {
		t.Fatalf("%d results, count %d, want %d of both", len(answer.Results), answer.Count, len(conditions))
	}
	batch := detail(s, a.Header.Get("X-Batch-Id"))
	for i, c := range conditions {
		got := answer.Results[i]
		want := map[bool]string{true: "true", false: "false"}[c.code == ""]
		if got.ID != c.job || got.Status != want || got.Success == nil || *got.Success != (c.code == "") || got.ErrorCode != c.code {
			t.Errorf("%s: answer %+v, want status %s and code %q of job %s", c.name, got, want, c.code, c.job)
		}
		for _, part := range c.says {
			if !strings.Contains(got.ErrorMsg, part) {
				t.Errorf("%s: message %q does not hold %q", c.name, got.ErrorMsg, part)
			}
		}
		for _, part := range append(c.not, "not-<the>", "not-\\u003cthe") {
			if strings.Contains(got.ErrorMsg, part) {
				t.Errorf("%s: message %q holds %q", c.name, got.ErrorMsg, part)
			}
		}
		tests := batch.Results[i].Tests
		if len(tests) != len(c.tests) {
			t.Errorf("%s: %d tests, want %d", c.name, len(tests), len(c.tests))
			continue
		}
		for k, test := range tests {
			if test.Report.Code != c.tests[k] || test.Object != k {
				t.Errorf("%s: object %d is %s, want object %d to be %s", c.name, test.Object, test.Report.Code, k, c.tests[k])
			}
		}
	}
	for k, want := range []string{"PLAINTEXT", "SASL_PLAINTEXT"} {
		if kafka := batch.Results[8].Tests[k].Target.Kafka; kafka == nil || kafka.Type != want {
			t.Errorf("Kafka security of object %d was read as %+v, want %s", k, kafka, want)
		}
	}

	t.Run("both spellings in one object", func(t *testing.T) {
		t.Parallel()
		refused(t, s.MustSend(system.Request{
			Method: http.MethodPost, Path: "/jobs/cluster/batch-connection",
			Body: map[string]any{"jobs": []any{action(t, parent, broker.With(system.Entry{"kafkaSecurityConfig": plain, "kafka_security_config": sasl}))}},
		}), http.StatusBadRequest, "DRS.M00301", "jobs[0].property.kafka_security_config")
	})
	t.Run("65 objects", func(t *testing.T) {
		t.Parallel()
		many := make([]any, 65)
		for i := range many {
			many[i] = source
		}
		refused(t, s.MustSend(system.Request{
			Method: http.MethodPost, Path: "/jobs/cluster/batch-connection", Body: map[string]any{"jobs": []any{action(t, parent, many)}},
		}), http.StatusBadRequest, "DRS.M00202", "jobs[0].property")
	})
}
