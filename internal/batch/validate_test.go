package batch_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

const marker = "s3cret-marker"

// mysqlEndpoint is a valid endpoint; edits make the cases.
func mysqlEndpoint(edit func(*batch.Endpoint)) batch.Endpoint {
	e := batch.Endpoint{
		NetType: "eip", DBType: "mysql", IP: "192.0.2.1", DBPort: 3306,
		User: "root", Password: secret.New(marker), EndPointType: "so",
	}
	if edit != nil {
		edit(&e)
	}
	return e
}

func kafkaEndpoint(k *probe.KafkaSecurity) batch.Endpoint {
	return batch.Endpoint{NetType: "eip", DBType: "kafka", IP: "192.0.2.1:9092,192.0.2.2:9092", EndPointType: "ta", Kafka: k}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("aB", 32)
	type fault struct {
		Field batch.Field
		Fault batch.Fault
	}
	cases := map[string]struct {
		endpoint batch.Endpoint
		call     job.Call
		want     []fault
	}{
		"a plain MySQL source": {endpoint: mysqlEndpoint(nil)},
		"end_point_type absent means source": {
			endpoint: mysqlEndpoint(func(e *batch.Endpoint) { e.EndPointType = "" }),
		},
		"everything missing": {
			endpoint: batch.Endpoint{},
			want: []fault{
				{batch.FieldNetType, batch.Missing},
				{batch.FieldDBType, batch.Missing},
				{batch.FieldIP, batch.Missing},
				{batch.FieldUser, batch.Missing},
				{batch.FieldPassword, batch.Missing},
			},
		},
		"values outside their lists": {
			endpoint: mysqlEndpoint(func(e *batch.Endpoint) { e.NetType, e.DBType, e.EndPointType = "lan", "mssql", "ls" }),
			want: []fault{
				{batch.FieldNetType, batch.Invalid}, {batch.FieldDBType, batch.Invalid}, {batch.FieldEndPointType, batch.Invalid},
			},
		},
		"the cluster call takes shards and more types": {
			endpoint: mysqlEndpoint(func(e *batch.Endpoint) { e.DBType, e.EndPointType = "mariadb", "ls" }), call: job.Cluster,
		},
		"a port is needed": {
			endpoint: mysqlEndpoint(func(e *batch.Endpoint) { e.DBPort = 0 }),
			want:     []fault{{batch.FieldDBPort, batch.Missing}},
		},
		"a port in ip will do": {
			endpoint: mysqlEndpoint(func(e *batch.Endpoint) { e.DBPort, e.IP = 0, "db.example.com:3306" }),
		},
		"two ports that differ": {
			endpoint: mysqlEndpoint(func(e *batch.Endpoint) { e.IP = "192.0.2.1:3307" }),
			want:     []fault{{batch.FieldDBPort, batch.Invalid}},
		},
		"a port out of range": {
			endpoint: mysqlEndpoint(func(e *batch.Endpoint) { e.DBPort = 65536 }),
			want:     []fault{{batch.FieldDBPort, batch.Invalid}},
		},
		"a list where one host is due": {
			endpoint: mysqlEndpoint(func(e *batch.Endpoint) { e.IP = "192.0.2.1,192.0.2.2" }),
			want:     []fault{{batch.FieldIP, batch.Invalid}},
		},
		"the SSL triple": {
			endpoint: mysqlEndpoint(func(e *batch.Endpoint) { e.SSLLink = true }),
			want: []fault{
				{batch.FieldSSLCertKey, batch.Missing}, {batch.FieldSSLCertName, batch.Missing}, {batch.FieldSSLCertCheckSum, batch.Missing},
			},
		},
		"a checksum that is none": {
			endpoint: mysqlEndpoint(func(e *batch.Endpoint) {
				e.SSLLink, e.SSLCertKey, e.SSLCertName, e.SSLCertCheckSum = true, secret.New(marker), "ca.pem", sum[1:]
			}),
			want: []fault{{batch.FieldSSLCertCheckSum, batch.Invalid}},
		},
		"a whole SSL triple, either case": {
			endpoint: mysqlEndpoint(func(e *batch.Endpoint) {
				e.SSLLink, e.SSLCertKey, e.SSLCertName, e.SSLCertCheckSum = true, secret.New(marker), "ca.pem", sum
			}),
		},
		"mongodb keeps its ports in ip": {
			endpoint: mysqlEndpoint(func(e *batch.Endpoint) { e.DBType, e.DBPort, e.IP = "mongodb", 0, "192.0.2.1:8635,192.0.2.2:8635" }),
		},
		"mongodb with a port of its own and addresses without": {
			endpoint: mysqlEndpoint(func(e *batch.Endpoint) { e.DBType, e.DBPort, e.IP = "mongodb", 8635, "192.0.2.1,192.0.2.2:8635" }),
			want:     []fault{{batch.FieldDBPort, batch.Invalid}, {batch.FieldIP, batch.Invalid}},
		},
		"oracle needs its service and port": {
			endpoint: mysqlEndpoint(func(e *batch.Endpoint) { e.DBType, e.DBPort = "oracle", 0 }),
			want:     []fault{{batch.FieldDBPort, batch.Missing}, {batch.FieldDBName, batch.Missing}},
		},
		"redis that lets everybody in": {
			endpoint: mysqlEndpoint(func(e *batch.Endpoint) { e.DBType, e.User, e.Password = "redis", "", secret.Text{} }),
		},
		"sqlserver without a user": {
			endpoint: mysqlEndpoint(func(e *batch.Endpoint) { e.DBType, e.User = "sqlserver", "" }),
			want:     []fault{{batch.FieldUser, batch.Missing}},
		},
		"kafka in plain text needs nothing more": {endpoint: kafkaEndpoint(&probe.KafkaSecurity{Protocol: "PLAINTEXT"})},
		"kafka without a configuration":          {endpoint: kafkaEndpoint(nil)},
		"kafka with surplus credentials": {
			endpoint: func() batch.Endpoint {
				e := kafkaEndpoint(&probe.KafkaSecurity{Protocol: "SSL", TrustStore: secret.New(marker), TrustStoreName: "t.jks"})
				e.User, e.Password = "user", secret.New(marker)
				return e
			}(),
		},
		"kafka with SASL": {
			endpoint: kafkaEndpoint(&probe.KafkaSecurity{Protocol: "SASL_SSL"}),
			want: []fault{
				{batch.FieldUser, batch.Missing},
				{batch.FieldPassword, batch.Missing},
				{batch.FieldKafkaMechanism, batch.Missing},
				{batch.FieldTrustStore, batch.Missing},
				{batch.FieldTrustStoreName, batch.Missing},
			},
		},
		"kafka with Kerberos needs no password: there may be a keytab": {
			endpoint: func() batch.Endpoint {
				e := kafkaEndpoint(&probe.KafkaSecurity{Protocol: "SASL_PLAINTEXT", SASLMechanism: "GSSAPI"})
				e.User = "user@EXAMPLE.COM"
				return e
			}(),
		},
		"kafka with two-way TLS": {
			endpoint: kafkaEndpoint(&probe.KafkaSecurity{
				Protocol: "SSL", TrustStore: secret.New(marker), TrustStoreName: "t.jks",
				EnableKeyStore: true, SetPrivateKeyPassword: true, EndpointAlgorithm: "http", DelegationTokens: true,
			}),
			want: []fault{
				{batch.FieldKafkaTokens, batch.Invalid},
				{batch.FieldKafkaAlgorithm, batch.Invalid},
				{batch.FieldKeyStore, batch.Missing},
				{batch.FieldKeyStoreName, batch.Missing},
				{batch.FieldKeyPassword, batch.Missing},
			},
		},
		"a DNS server that is used must be given": {
			endpoint: mysqlEndpoint(func(e *batch.Endpoint) { e.DNS = &batch.CustomizedDNS{IsSet: true, Action: "add"} }),
			want:     []fault{{batch.FieldDNSIP, batch.Missing}},
		},
		"a DNS server by name, and an action that is none": {
			endpoint: mysqlEndpoint(func(e *batch.Endpoint) {
				e.DNS = &batch.CustomizedDNS{IsSet: true, Action: "replace", IP: "dns.example.com"}
			}),
			want: []fault{{batch.FieldDNSAction, batch.Invalid}, {batch.FieldDNSIP, batch.Invalid}},
		},
		"a vpc_id that could not be a queue's name": {
			endpoint: mysqlEndpoint(func(e *batch.Endpoint) { e.VpcID = "a:b" }),
			want:     []fault{{batch.FieldVpcID, batch.Invalid}},
		},
		"control characters": {
			endpoint: mysqlEndpoint(func(e *batch.Endpoint) { e.User, e.DBName = "a\x00b", "c\nd" }),
			want:     []fault{{batch.FieldDBName, batch.Invalid}, {batch.FieldUser, batch.Invalid}},
		},
		"texts that are too long": {
			endpoint: mysqlEndpoint(func(e *batch.Endpoint) {
				e.User, e.DBName = strings.Repeat("u", 257), strings.Repeat("d", 129)
			}),
			want: []fault{{batch.FieldDBName, batch.Invalid}, {batch.FieldUser, batch.Invalid}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			call := c.call
			if call == "" {
				call = job.Connection
			}
			var got []fault
			for _, p := range c.endpoint.Validate(call) {
				got = append(got, fault{p.Field, p.Fault})
				for _, text := range []string{p.Why.English, p.Why.Chinese} {
					if text == "" || strings.Contains(text, marker) {
						t.Errorf("reason for %s is %q", p.Field, text)
					}
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("Validate (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTarget(t *testing.T) {
	t.Parallel()
	e := mysqlEndpoint(func(e *batch.Endpoint) {
		e.NetType, e.VpcID, e.IP = "vpc", "VPC-1", "DB.Example.com"
		e.DNS = &batch.CustomizedDNS{IsSet: true, Action: "update", IP: "192.0.2.53"}
	})
	got := e.Target("p1", probe.VerifyCA)
	if diff := cmp.Diff([]probe.Address{{Host: "db.example.com", Port: 3306}}, got.Addresses); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	if got.Network != "vpc-vpc-1" || got.DNS.String() != "192.0.2.53" || got.TLS != nil || got.Project != "p1" {
		t.Errorf("Target() = %+v", got)
	}

	e.DNS.Action = "keep"
	if got := e.Target("p1", probe.VerifyCA); got.DNS.IsValid() {
		t.Error("a DNS server is used although the action is keep")
	}

	k := kafkaEndpoint(&probe.KafkaSecurity{Protocol: "SSL", EndpointAlgorithm: "https"})
	k.User, k.Password = "surplus", secret.New(marker)
	got = k.Target("p1", probe.VerifyCA)
	if got.User != "" || got.Password.IsSet() {
		t.Error("surplus Kafka credentials were kept")
	}
	if got.TLS == nil || got.TLS.Verify != probe.VerifyFull {
		t.Errorf("TLS = %+v, want the name verified", got.TLS)
	}
}

func FuzzAddresses(f *testing.F) {
	for _, seed := range []string{
		"192.0.2.1", "db.example.com:5432", "[2001:db8::1]:27017", "a:1,b:2", ",", ":", "1.2.3", "[::1%lo]:1", "host:+1", "0x7f.1:80",
	} {
		f.Add(seed, 0)
	}
	f.Fuzz(func(t *testing.T, ip string, port int) {
		e := mysqlEndpoint(func(e *batch.Endpoint) { e.DBType, e.IP, e.DBPort = "gaussdbv5", ip, port })
		if len(e.Validate(job.Connection)) > 0 {
			return
		}
		for _, a := range e.Target("p", probe.VerifyCA).Addresses {
			if a.Port == 0 || a.Host == "" || strings.ContainsAny(a.Host, " ,%/@[]\x00") {
				t.Errorf("%q was accepted and gave %+v", ip, a)
			}
		}
	})
}
