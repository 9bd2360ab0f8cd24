package api_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/api"
	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/secret"
)

func TestReadRequest(t *testing.T) {
	t.Parallel()
	mysql := batch.Endpoint{
		NetType: "eip", DBType: "mysql", IP: "db.example", DBPort: 3306, User: "root", Password: secret.New("pw"),
	}
	cases := []struct {
		name, body string
		call       job.Call
		want       []batch.RequestEntry
	}{
		{
			name: "connection call without ids, and more than ten entries",
			body: `{"jobs":[` + strings.Repeat(`{"net_type":"eip","db_type":"mysql","ip":"db.example","db_port":"3306","db_user":"root","db_password":"pw"},`, 11) +
				`{"id":"x","net_type":"eip","db_type":"mysql","ip":"db.example","db_port":3306,"db_user":"root","db_password":"pw"}]}`,
			call: job.Connection,
			want: append(repeat(batch.RequestEntry{Endpoints: []batch.Endpoint{mysql}}, 11), batch.RequestEntry{JobID: "x", Endpoints: []batch.Endpoint{mysql}}),
		},
		{
			name: "cluster call as it is sent",
			body: `{"jobs":[{"action":"testConnection","job_id":"x","property":"[{\"nettype\":\"eip\",\"dbtype\":\"mysql\",\"ip\":\"db.example\",\"dbport\":3306,\"dbuser\":\"root\",\"dbpassword\":\"pw\",\"ssllink\":false}]"}]}`,
			call: job.Cluster,
			want: []batch.RequestEntry{{JobID: "x", Endpoints: []batch.Endpoint{mysql}}},
		},
		{
			name: "cluster call with a list in it",
			body: `{"jobs":[{"property":[{"nettype":"eip","dbtype":"mysql","ip":"db.example","dbport":3306,"dbuser":"root","dbpassword":"pw"},
				{"nettype":"eip","dbtype":"mysql","ip":"db.example","dbport":3306,"dbuser":"root","dbpassword":"pw"}]}]}`,
			call: job.Cluster,
			want: []batch.RequestEntry{{Endpoints: []batch.Endpoint{mysql, mysql}}},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			call, got, err := api.ReadRequest([]byte(c.body))
			if err != nil || call != c.call {
				t.Fatalf("ReadRequest() = %q, %v, want %q", call, err, c.call)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("ReadRequest() differs (-want +got):\n%s", diff)
			}
		})
	}
}

func repeat(e batch.RequestEntry, n int) []batch.RequestEntry {
	all := make([]batch.RequestEntry, n)
	for i := range all {
		all[i] = e
	}
	return all
}

func TestReadRequestProblems(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, body string
		want       []string
	}{
		{"no JSON", `{"jobs": hunter2`, []string{"it is not one JSON document, see byte 10"}},
		{"no object", `["hunter2"]`, []string{"it must be an object with a list of jobs"}},
		{"no jobs", `{"hunter2":1}`, []string{"jobs: it is mandatory"}},
		{"empty", `{"jobs":[]}`, []string{"jobs: it must not be an empty list"}},
		{
			"several at once",
			`{"jobs":[{"net_type":"eip","db_type":"hunter2","ip":"db","db_port":99999,"db_user":"root","db_password":"hunter2"},
			 {"id":"not an id, hunter2","net_type":"eip","db_type":"mysql","ip":"hunter2/","db_port":1,"db_user":"root","db_password":7}]}`,
			[]string{
				"jobs[0].db_port: it must be from 0 to 65535",
				"jobs[0].db_type: it must be one of mysql, mongodb, postgresql, taurus, gaussdbv5, gaussdbv5ha, kafka, oracle, redis, rediscluster, gaussredis, sqlserver, cassandra",
				"jobs[1].db_password: it must be a string",
				"jobs[1].id: it is not of the documented form",
				"jobs[1].ip: it must be a host or a list of host:port, at most 32",
			},
		},
		{"a key twice", `{"jobs":[{"net_type":"eip","db_type":"mysql","ip":"db","db_port":1,"db_user":"root","db_password":"a","db_password":"hunter2"}]}`, []string{"jobs[0].db_password: the key occurs twice"}},
		{"inside a property", `{"jobs":[{"property":[{"nettype":"eip","dbtype":"mysql","ip":"db","dbport":1,"dbpassword":"hunter2"}]}]}`, []string{"jobs[0].property[0].dbuser: it is mandatory"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := api.ReadRequest([]byte(c.body))
			if err == nil {
				t.Fatal("ReadRequest() found nothing wrong")
			}
			if diff := cmp.Diff(c.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("ReadRequest() differs (-want +got):\n%s", diff)
			}
		})
	}
}
