package main

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/api"
	"dialtone/internal/api/client"
	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

// TestNothingIsLostOnTheWire sends an endpoint with every field set and reads
// it as the API does.
func TestNothingIsLostOnTheWire(t *testing.T) {
	t.Parallel()
	full := batch.Endpoint{
		NetType: "vpc", DBType: "kafka", IP: "db.example", DBPort: 9093, InstID: "inst", User: "user", Password: secret.New("password"),
		SSLLink: true, SSLCertKey: secret.New("key"), SSLCertName: "name", SSLCertCheckSum: "sum", SSLCertPassword: secret.New("opens"),
		VpcID: "vpc-1", SubnetID: "subnet", EndPointType: "ta", Region: "region", ProjectID: "project", DBName: "database",
		Kafka: &probe.KafkaSecurity{
			Protocol: "SASL_SSL", SASLMechanism: "SCRAM-SHA-256", EndpointAlgorithm: "https", DelegationTokens: true,
			TrustStoreName: "trust.jks", TrustStore: secret.New("trust"), TrustStorePassword: secret.New("trusted"), EnableKeyStore: true,
			KeyStoreName: "key.jks", KeyStore: secret.New("keys"), KeyStorePassword: secret.New("keyed"), SetPrivateKeyPassword: true,
			PrivateKeyPassword: secret.New("private"),
		},
		DNS: &batch.CustomizedDNS{IsSet: true, Action: "add", IP: "10.0.0.53"},
	}
	for _, v := range []reflect.Value{reflect.ValueOf(full), reflect.ValueOf(*full.Kafka), reflect.ValueOf(*full.DNS)} {
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				t.Errorf("%s.%s is not set, so nothing is known of it", v.Type(), v.Type().Field(i).Name)
			}
		}
	}
	clusters := full
	clusters.DNS = nil // the cluster call has none
	e := entry{RequestEntry: batch.RequestEntry{JobID: "my-job", Endpoints: []batch.Endpoint{clusters, clusters}}}
	asked, err := clusterJob(e)
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		call job.Call
		body any
		want batch.RequestEntry
	}{
		{
			"connection call", job.Connection,
			client.TestConnectionsRequest{Jobs: []client.TestEndPoint{connectionJob(entry{RequestEntry: batch.RequestEntry{JobID: "my-job", Endpoints: []batch.Endpoint{full}}})}},
			batch.RequestEntry{JobID: "my-job", Endpoints: []batch.Endpoint{full}},
		},
		{"cluster call", job.Cluster, client.TestClusterConnectionsRequest{Jobs: []client.ClusterJob{asked}}, e.RequestEntry},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			body, err := json.Marshal(c.body)
			if err != nil {
				t.Fatal(err)
			}
			call, got, err := api.ReadRequest(body)
			if err != nil || call != c.call {
				t.Fatalf("ReadRequest() = %q, %v, want %q", call, err, c.call)
			}
			if diff := cmp.Diff([]batch.RequestEntry{c.want}, got); diff != "" {
				t.Errorf("on the wire it became another (-want +got):\n%s", diff)
			}
		})
	}
}
