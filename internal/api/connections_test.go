package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/api"
	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/probe"
)

const (
	connection = "{project}/jobs/batch-connection"
	cluster    = "{project}/jobs/cluster/batch-connection"
	// mysqlEntry is a good entry without its braces.
	mysqlEntry = `"id":"` + jobID + `","net_type":"eip","db_type":"mysql","ip":"192.168.0.27","db_port":3306,"db_user":"root","db_password":"pw"`
)

type results struct {
	Results []struct {
		ID      string `json:"id"`
		Status  string `json:"status"`
		Success *bool  `json:"success"`
		Code    string `json:"error_code"`
		Msg     string `json:"error_msg"`
	} `json:"results"`
	Count int `json:"count"`
}

func TestBodiesOfRealClients(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		file, path string
		password   string
		entries    int
	}{
		{"sdk.body", connection, `p<a>&ss"word`, 2},
		{"terraform.body", connection, "p<a>&ss", 2},
		{"gopher.body", connection, "p<a>&ss", 1},
		{"sdk-cluster.body", cluster, "xxxx", 1},
		{"terraform-cluster.body", cluster, "p<a>&ss", 2},
	} {
		t.Run(tt.file, func(t *testing.T) {
			t.Parallel()
			b := start(t, api.Config{})
			r := b.do(t, ask{path: tt.path, body: testdata(t, tt.file)})
			if r.status != http.StatusOK || r.header.Get("X-Batch-Id") == "" {
				t.Fatalf("status %d, batch %q: %s", r.status, r.header.Get("X-Batch-Id"), r.body)
			}
			var got results
			r.into(t, &got)
			if got.Count != tt.entries || len(got.Results) != tt.entries {
				t.Errorf("%d results, count %d, want %d", len(got.Results), got.Count, tt.entries)
			}
			if string(b.gate.body) != testdata(t, tt.file) {
				t.Error("the signature would not be checked over the received bytes")
			}
			if p := b.last().Entries[0].Endpoints[0].Password; p.Reveal() != tt.password {
				t.Error("the password is not the one that was sent")
			}
			golden(t, "taken-"+strings.TrimSuffix(tt.file, ".body"), marshal(t, b.last().Entries))
		})
	}
}

func TestResultsOnTheWire(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	b.verdict = func(e batch.Endpoint) *probe.Report {
		if e.EndPointType != "ta" {
			return passed()
		}
		r := failed(probe.CodeAuthFailed)
		r.Evidence.ServerCode, r.Evidence.ServerText = "1045", "Access denied for user 'root'@'10.0.0.9' (using password: YES)"
		return r
	}
	body := `{"jobs":[{` + mysqlEntry + `},{` + mysqlEntry + `,"end_point_type":"ta"}]}`
	golden(t, "results-en", b.do(t, ask{path: connection, body: body}).body)
	golden(t, "results-zh", b.do(t, ask{path: connection, body: body, header: map[string]string{"X-Language": "zh-cn"}}).body)

	property := `[{\"dbtype\":\"mysql\",\"nettype\":\"eip\",\"ip\":\"192.168.0.27:3306\",\"dbuser\":\"u\",\"dbpassword\":\"p\"},` +
		`{\"dbtype\":\"mysql\",\"nettype\":\"eip\",\"endpointtype\":\"ta\",\"ip\":\"192.168.0.28\",\"dbport\":\"3306\",\"dbuser\":\"u\",\"dbpassword\":\"p\"}]`
	body = `{"jobs":[{"action":"testConnection","job_id":"` + jobID + `","property":"` + property + `"}]}`
	golden(t, "cluster-en", b.do(t, ask{path: cluster, body: body}).body)
	golden(t, "cluster-zh", b.do(t, ask{path: cluster, body: body, header: map[string]string{"X-Language": "ZH-CN"}}).body)
	if got := b.last(); got.Call != job.Cluster || len(got.Entries[0].Endpoints) != 2 || got.Entries[0].Endpoints[1].DBPort != 3306 {
		t.Errorf("submitted %+v", got)
	}
}

// A wait ends with an answer whatever the rest of the service does.
func TestWaitIsNeverEmptyHanded(t *testing.T) {
	t.Parallel()
	body := `{"jobs":[{` + mysqlEntry + `},{` + mysqlEntry + `,"end_point_type":"ta"}]}`
	for _, tt := range []struct {
		name   string
		broken []string
		codes  [2]string
	}{
		{"overdue", nil, [2]string{"", "DRS.DT9101"}},
		{"overdue and not to be ended", []string{"end"}, [2]string{"", "DRS.DT9101"}},
		{"overdue and not to be read", []string{"read"}, [2]string{"DRS.DT9199", "DRS.DT9199"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := start(t, api.Config{Wait: 50 * time.Millisecond})
			for _, part := range tt.broken {
				b.broken[part] = true
			}
			b.verdict = func(e batch.Endpoint) *probe.Report {
				if e.EndPointType == "ta" {
					return nil
				}
				return passed()
			}
			began := time.Now()
			r := b.do(t, ask{path: connection, body: body})
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("answered after %s, with a wait of 50 ms", took)
			}
			var got results
			r.into(t, &got)
			if r.status != http.StatusOK || got.Count != 2 || len(got.Results) != 2 {
				t.Fatalf("status %d: %s", r.status, r.body)
			}
			for i, one := range got.Results {
				if one.Code != tt.codes[i] || *one.Success != (tt.codes[i] == "") || one.ID != jobID || (one.Msg == "") != (one.Code == "") {
					t.Errorf("result %d: %+v", i, one)
				}
			}
		})
	}
}

func TestCallerGoneLeavesItsBatch(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	b.verdict = func(batch.Endpoint) *probe.Report { return nil }
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		resp, err := http.DefaultClient.Do(b.request(ctx, t, ask{path: connection, body: `{"jobs":[{` + mysqlEntry + `}]}`}))
		if err == nil {
			resp.Body.Close()
		}
		gone <- err
	}()
	eventually(t, func() bool { return len(b.last().Entries) == 1 })
	cancel()
	if err := <-gone; err == nil {
		t.Fatal("the caller did not go")
	}
	eventually(t, func() bool { return strings.Contains(b.log.String(), `"status":499`) })
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.expired) != 0 || len(b.batches) != 1 {
		t.Errorf("expired %v of %d batches", b.expired, len(b.batches))
	}
}

func TestRespondAsync(t *testing.T) {
	t.Parallel()
	for _, path := range []string{connection, cluster} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			b := start(t, api.Config{})
			b.verdict = func(batch.Endpoint) *probe.Report { return nil }
			file := "terraform.body"
			if path == cluster {
				file = "terraform-cluster.body"
			}
			r := b.do(t, ask{path: path, body: testdata(t, file), header: map[string]string{"Prefer": "wait=10, Respond-Async; x=1"}})
			where := r.header.Get("Location")
			if r.status != http.StatusAccepted || r.header.Get("Preference-Applied") != "respond-async" || !strings.HasSuffix(where, r.header.Get("X-Batch-Id")) {
				t.Fatalf("status %d, header %v", r.status, r.header)
			}
			if got := b.last(); got.Lane != batch.Bulk || got.Wait {
				t.Errorf("submitted to %s, waiting %v", got.Lane, got.Wait)
			}
			read := b.do(t, ask{method: http.MethodGet, path: where})
			var got struct{ State string }
			if read.into(t, &got); read.status != http.StatusOK || got.State != "running" {
				t.Errorf("status %d, state %q", read.status, got.State)
			}
		})
	}
}

func TestOddities(t *testing.T) {
	t.Parallel()
	wrap := func(entry string) string { return `{"jobs":[{` + entry + `}]}` }
	kafka := `"id":"` + jobID + `","net_type":"eip","db_type":"kafka","ip":"a:9092,b:9092"`
	for _, tt := range []struct {
		name, body string
		odd        bool
		check      func(e batch.Endpoint) bool
	}{
		{"port as a string", wrap(strings.Replace(mysqlEntry, "3306", `"3306"`, 1)), false, func(e batch.Endpoint) bool { return e.DBPort == 3306 }},
		{"empty strings", wrap(kafka + `,"db_user":"","db_password":"","vpc_id":"","end_point_type":"","db_port":"","kafka_security_config":{"type":"","sasl_mechanism":"","endpoint_algorithm":""}`), false, func(e batch.Endpoint) bool { return e.User == "" && !e.Password.IsSet() && e.Kafka == nil }},
		{"nulls", wrap(mysqlEntry + `,"ssl_link":null,"inst_id":null,"kafka_security_config":null,"customized_dns":null`), true, func(e batch.Endpoint) bool { return !e.SSLLink && e.DNS == nil }},
		{"unknown fields", wrap(mysqlEntry + `,"isSetDns":true,"x":{"y":[1,2,{"z":null}]}`), false, nil},
		{"a key of another case is unknown", wrap(mysqlEntry + `,"DB_USER":"intruder","Ssl_Link":true`), false, func(e batch.Endpoint) bool { return e.User == "root" && !e.SSLLink }},
		{"no end_point_type", wrap(mysqlEntry), false, func(e batch.Endpoint) bool { return e.EndPointType == "" }},
		{"kafka without a security config", wrap(kafka), false, nil},
		{"surplus kafka credentials", wrap(kafka + `,"db_user":"u","db_password":"p","kafka_security_config":{"type":"SSL","trust_store_key_name":"client.truststore.jks","trust_store_key":"AAAA","trust_store_password":"p","endpoint_algorithm":"","enable_key_store":false}`), false, func(e batch.Endpoint) bool { return e.Kafka.Protocol == "SSL" && e.Kafka.TrustStore.Reveal() == "AAAA" }},
		{"mongodb with port 0", wrap(`"id":"` + jobID + `","net_type":"eip","db_type":"mongodb","ip":"192.168.4.66:8635,192.168.4.83:8635","db_port":0,"db_user":"root","db_password":"x","inst_id":"3cadd5a0ef724f55ac7fa5bcb5f4fc5fin02","end_point_type":"ta"`), false, nil},
		{"dns", wrap(mysqlEntry + `,"customized_dns":{"is_set_dns":true,"set_dns_action":"add","dns_ip":"10.1.1.1"}`), false, func(e batch.Endpoint) bool { return e.DNS != nil && e.DNS.IP == "10.1.1.1" && e.DNS.IsSet }},
		{"ssl", wrap(mysqlEntry + `,"ssl_link":true,"ssl_cert_key":"QUJD","ssl_cert_name":"ca.pem","ssl_cert_check_sum":"B5D4045C3F466FA91FE2CC6ABE79232A1A57CDF104F7A26E716E0A1E2789DF78","ssl_cert_password":"pp"`), false, func(e batch.Endpoint) bool {
			return e.SSLLink && e.SSLCertKey.Reveal() == "QUJD" && e.SSLCertPassword.Reveal() == "pp"
		}},
		{"oracle", wrap(`"id":"` + jobID + `","net_type":"vpc","vpc_id":"v-1","db_type":"oracle","ip":"db","db_port":1521,"db_name":"svc","db_user":"u","db_password":"p"`), false, func(e batch.Endpoint) bool { return e.DBName == "svc" && e.VpcID == "v-1" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := start(t, api.Config{})
			r := b.do(t, ask{path: connection, body: tt.body, odd: tt.odd})
			if r.status != http.StatusOK {
				t.Fatalf("status %d: %s", r.status, r.body)
			}
			if e := b.last().Entries[0].Endpoints[0]; tt.check != nil && !tt.check(e) {
				t.Errorf("taken as %+v", e)
			}
		})
	}
	t.Run("no content type", func(t *testing.T) {
		t.Parallel()
		b := start(t, api.Config{})
		if r := b.do(t, ask{path: connection, body: wrap(mysqlEntry), header: map[string]string{"Content-Type": ""}, odd: true}); r.status != http.StatusOK {
			t.Errorf("status %d: %s", r.status, r.body)
		}
	})
	t.Run("both spellings of the kafka key", func(t *testing.T) {
		t.Parallel()
		b := start(t, api.Config{})
		for _, key := range []string{"kafkaSecurityConfig", "kafka_security_config"} {
			object := `{\"dbtype\":\"kafka\",\"nettype\":\"eip\",\"ip\":\"a:9092\",\"dbuser\":\"u\",\"dbpassword\":\"p\",\"` + key + `\":{\"type\":\"SASL_PLAINTEXT\",\"sasl_mechanism\":\"PLAIN\"},` +
				`\"encrypt\":{\"elementId\":\"encrypt_switch\",\"disable\":false}}`
			// An object instead of a list.
			r := b.do(t, ask{path: cluster, body: `{"jobs":[{"action":"testConnection","job_id":"` + jobID + `","property":"` + object + `"}]}`})
			if r.status != http.StatusOK {
				t.Fatalf("%s: status %d: %s", key, r.status, r.body)
			}
			if k := b.last().Entries[0].Endpoints[0].Kafka; k == nil || k.SASLMechanism != "PLAIN" {
				t.Errorf("%s: taken as %+v", key, k)
			}
		}
	})
}

type counting struct {
	mu       chan struct{}
	requests []string
	answered int
	streams  int
	repeated []string
}

func (c *counting) Repeated(outcome string) {
	c.mu <- struct{}{}
	c.repeated = append(c.repeated, outcome)
	<-c.mu
}

func (c *counting) Request(method, route string, status int, _ time.Duration) {
	c.mu <- struct{}{}
	c.requests = append(c.requests, method+" "+route+" "+http.StatusText(status))
	<-c.mu
}

func (c *counting) Answered(_ batch.Batch, results []batch.Result, _ time.Duration) {
	c.mu <- struct{}{}
	c.answered += len(results)
	<-c.mu
}

func (c *counting) Streams(change int) {
	c.mu <- struct{}{}
	c.streams += change
	<-c.mu
}

func TestObserverSeesClosedSets(t *testing.T) {
	t.Parallel()
	c := &counting{mu: make(chan struct{}, 1)}
	b := startWith(t, api.Config{}, c)
	b.do(t, ask{path: connection, body: `{"jobs":[{` + mysqlEntry + `}]}`})
	b.do(t, ask{method: http.MethodGet, path: "/nowhere/" + marker})
	b.do(t, ask{method: http.MethodPatch, path: connection})
	b.do(t, ask{method: "S3CR3T", path: connection})
	want := []string{
		"POST /v3/:project_id/jobs/batch-connection OK", "GET  Not Found", "PATCH /v3/:project_id/jobs/batch-connection Method Not Allowed",
		"OTHER /v3/:project_id/jobs/batch-connection Method Not Allowed",
	}
	eventually(t, func() bool { c.mu <- struct{}{}; defer func() { <-c.mu }(); return len(c.requests) == len(want) })
	if diff := cmp.Diff(want, c.requests); diff != "" || c.answered != 1 {
		t.Errorf("answered %d, requests (-want +got):\n%s", c.answered, diff)
	}
	if strings.Contains(b.log.String(), marker) {
		t.Error("a URI is in the log")
	}
}
