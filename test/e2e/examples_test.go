package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dialtone/test/system"
)

// The jobs that the examples of the help pages name.
const (
	exampleJob        = system.JobID
	exampleKafkaJob   = "3bc38fe4-da50-4aad-903e-5db76d8jb20i"
	exampleClusterJob = "35d0d60b-4605-4686-b35d-3a3d059fjb15"
)

// patch puts other values in the place of an example's.
type patch map[string]string

// example reads a request as a help page shows it, with addresses, passwords
// and stores that exist here; all else stays.
func example(t *testing.T, name string, p patch) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "examples", name))
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for old, now := range p {
		if !strings.Contains(text, old) {
			t.Fatalf("%s does not hold %q", name, old)
		}
		text = strings.ReplaceAll(text, old, now)
	}
	return []byte(text)
}

// and is both patches.
func (p patch) and(more patch) patch {
	both := maps.Clone(p)
	maps.Copy(both, more)
	return both
}

// trustStore is a Java key store of scripts/services, as the API takes it.
func trustStore(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(system.Need(t, "DIALTONE_TEST_KAFKA_STORES"), "trust.jks"))
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// outcome is what came of an example.
type outcome struct {
	Code string
	// PasswordSet says that a password was kept for the test: not one that is of
	// no use to it.
	PasswordSet bool
	LoginSent   bool
	// Mechanism is how the login was made.
	Mechanism string
	// Strict says that every address of a list passed; Addresses are their codes.
	Strict    bool
	Addresses []string
	// TLS says that the connection was encrypted.
	TLS bool
}

// TestExamples sends every example of the help pages, as it stands there, to
// servers that are what it says.
func TestExamples(t *testing.T) {
	t.Parallel()
	password := system.Need(t, "DIALTONE_TEST_PASSWORD")
	mongo := system.Need(t, "DIALTONE_TEST_MONGODB_ADDR")
	host, port, err := net.SplitHostPort(system.Need(t, "DIALTONE_TEST_MARIADB_ADDR"))
	if err != nil {
		t.Fatal(err)
	}
	login := patch{`"db_password":"********"`: `"db_password":"` + password + `"`}
	second, dead := system.NewForward(t, mongo).Addr, system.FreeAddr(t)
	members := func(list string) patch { return patch{"192.168.4.66:8635,192.168.4.83:8635": list} }
	mysql := func(ip string) patch { return login.and(patch{ip: host, `"db_port":3306`: `"db_port":` + port}) }
	broker := func(name string) patch { return patch{"192.168.0.140:9092": system.Need(t, name)} }
	plain := login.and(broker("DIALTONE_TEST_KAFKA_PLAINONLY_ADDR")).and(patch{`"db_user":"kafka"`: `"db_user":"dt_plain"`})
	stores := broker("DIALTONE_TEST_KAFKA_SSL_ADDR").and(patch{
		"MIIEowIBAAKCAQEA": trustStore(t), `"trust_store_password":"********"`: `"trust_store_password":"` + password + `"`,
	})

	careful := system.Start(t, system.Options{})
	trusting := system.Start(t, system.Options{Env: []string{"DIALTONE_ALLOW_RECOVERABLE_PASSWORD=true"}})
	for _, s := range []*system.System{careful, trusting} {
		s.Mirror(exampleJob, "CONFIGURATION", "standalone")
		s.Mirror(exampleKafkaJob, "CONFIGURATION", "standalone")
	}

	for _, tt := range []struct {
		name, file string
		system     *system.System
		patch      patch
		want       outcome
	}{
		{
			"A, DDS as target", "a-dds-target.json", careful, login.and(members(mongo + "," + second)),
			outcome{Code: "ok", PasswordSet: true, LoginSent: true, Mechanism: "SCRAM-SHA-256", Strict: true, Addresses: []string{"ok", "ok"}},
		},
		{
			"A, its second address down", "a-dds-target.json", careful, login.and(members(mongo + "," + dead)),
			outcome{Code: "ok", PasswordSet: true, LoginSent: true, Mechanism: "SCRAM-SHA-256", Addresses: []string{"ok", "connection_refused"}},
		},
		{
			"A, its first address down", "a-dds-target.json", careful, login.and(members(dead + "," + mongo)),
			outcome{Code: "ok", PasswordSet: true, LoginSent: true, Mechanism: "SCRAM-SHA-256", Addresses: []string{"connection_refused", "ok"}},
		},
		{
			"A, with a wrong password", "a-dds-target.json", careful, members(mongo + "," + second),
			outcome{Code: "auth_failed", PasswordSet: true, LoginSent: true, Mechanism: "SCRAM-SHA-256", Addresses: []string{"auth_failed"}},
		},
		{
			"B, RDS for MySQL as target", "b-rds-mysql-target.json", careful, mysql("192.168.0.131"),
			outcome{Code: "ok", PasswordSet: true, LoginSent: true, Mechanism: "mysql_native_password", Strict: true},
		},
		{
			"C, MySQL as source", "c-mysql-source.json", careful, mysql("192.168.0.27"),
			outcome{Code: "ok", PasswordSet: true, LoginSent: true, Mechanism: "mysql_native_password", Strict: true},
		},
		{
			"D, Kafka in plain text", "d-kafka-plaintext.json", careful, broker("DIALTONE_TEST_KAFKA_ADDR"),
			outcome{Code: "ok", Strict: true},
		},
		{
			"E, PLAIN in plain text", "e-kafka-sasl-plaintext.json", careful, plain,
			outcome{Code: "insecure_login_refused", PasswordSet: true, Mechanism: "PLAIN"},
		},
		{
			"E, where it is permitted", "e-kafka-sasl-plaintext.json", trusting, plain,
			outcome{Code: "ok", PasswordSet: true, LoginSent: true, Mechanism: "PLAIN", Strict: true},
		},
		{
			"F, Kafka over TLS", "f-kafka-ssl.json", careful, stores,
			outcome{Code: "ok", Strict: true, TLS: true},
		},
		{
			"G, over TLS with a user that is of no use", "g-kafka-sasl-ssl.json", careful, stores,
			outcome{Code: "ok", Strict: true, TLS: true},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			body := example(t, tt.file, tt.patch)
			a := tt.system.MustSend(system.Request{Method: http.MethodPost, Path: "/jobs/batch-connection", Body: body})
			if a.Status != http.StatusOK {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			var r system.Results
			a.Decode(t, &r)
			job := exampleJob
			if strings.Contains(string(body), exampleKafkaJob) {
				job = exampleKafkaJob
			}
			status := map[bool]string{true: "success", false: "failed"}[tt.want.Code == "ok"]
			if r.Count != 1 || len(r.Results) != 1 || r.Results[0].ID != job || r.Results[0].Status != status || r.Results[0].OK() != (tt.want.Code == "ok") {
				t.Errorf("answer %s, want one result of job %s with status %s", a.Body, job, status)
			}
			test := detail(tt.system, a.Header.Get("X-Batch-Id")).tests()[0]
			if diff := cmp.Diff(tt.want, test.outcome()); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		})
	}
}

func (d testDetail) outcome() outcome {
	r := d.Report
	o := outcome{
		Code: r.Code, PasswordSet: d.Target.PasswordSet, LoginSent: r.LoginSent, Mechanism: r.Evidence.Mechanism, Strict: r.Strict, TLS: r.Evidence.TLS != nil,
	}
	for _, a := range r.Addresses {
		o.Addresses = append(o.Addresses, a.Code)
	}
	return o
}

// TestClusterExamples sends the cluster call's example, three addresses of a
// sharded MongoDB, and Kafka with its security under both names.
func TestClusterExamples(t *testing.T) {
	t.Parallel()
	password := system.Need(t, "DIALTONE_TEST_PASSWORD")
	mongo := system.Need(t, "DIALTONE_TEST_MONGODB_ADDR")
	s := system.Start(t, system.Options{})
	s.Mirror(exampleClusterJob, "CONFIGURATION", "parent")
	send := func(t *testing.T, actions ...map[string]string) []testDetail {
		t.Helper()
		a := s.Must(http.MethodPost, "/jobs/cluster/batch-connection", map[string]any{"jobs": actions})
		var r system.Results
		a.Decode(t, &r)
		if a.Status != http.StatusOK || r.Count != len(actions) || len(r.Results) != len(actions) {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		for i, result := range r.Results {
			if result.ID != exampleClusterJob || result.Status != "true" || !result.OK() {
				t.Errorf("result %d is %+v, want a success", i, result)
			}
		}
		return detail(s, a.Header.Get("X-Batch-Id")).tests()
	}

	t.Run("mongos, mongos and a shard", func(t *testing.T) {
		t.Parallel()
		property := example(t, "cluster-mongodb.property.json", patch{
			"192.168.7.217:8635": mongo, "192.168.7.72:8635": system.NewForward(t, mongo).Addr, "192.168.7.37:8635": system.NewForward(t, mongo).Addr,
			"********": password,
		})
		tests := send(t, action(t, exampleClusterJob, json.RawMessage(property)))
		if len(tests) != 3 {
			t.Fatalf("%d tests, want 3", len(tests))
		}
		want := outcome{Code: "ok", PasswordSet: true, LoginSent: true, Mechanism: "SCRAM-SHA-256", Strict: true}
		for i, test := range tests {
			if diff := cmp.Diff(want, test.outcome()); diff != "" {
				t.Errorf("object %d (-want +got):\n%s", i, diff)
			}
		}
	})
	t.Run("Kafka under both names", func(t *testing.T) {
		t.Parallel()
		object := func(dbType, addr string, more system.Entry) system.Entry {
			return system.Entry{
				"dbtype": dbType, "ip": system.Need(t, addr), "nettype": "eip", "endpointtype": "so", "ssllink": false,
				"dbuser": "dt_scram", "dbpassword": password,
			}.With(more)
		}
		tests := send(t,
			action(t, exampleClusterJob, []any{
				object("kafka", "DIALTONE_TEST_KAFKA_SASL_ADDR", system.Entry{
					"kafkaSecurityConfig": map[string]any{"type": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-256"},
				}),
			}),
			action(t, exampleClusterJob, []any{
				object("mrsKafka", "DIALTONE_TEST_KAFKA_SASL_SSL_ADDR", system.Entry{
					"endpointtype": "ta",
					"kafka_security_config": map[string]any{
						"type": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "endpoint_algorithm": "https", "enable_key_store": false,
						"trust_store_key_name": "client.truststore.jks", "trust_store_key": trustStore(t), "trust_store_password": password,
					},
				}),
			}),
		)
		var got []outcome
		for _, test := range tests {
			got = append(got, test.outcome())
		}
		want := []outcome{
			{Code: "ok", PasswordSet: true, LoginSent: true, Mechanism: "SCRAM-SHA-256", Strict: true},
			{Code: "ok", PasswordSet: true, LoginSent: true, Mechanism: "SCRAM-SHA-512", Strict: true, TLS: true},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("outcomes (-want +got):\n%s", diff)
		}
	})
}
