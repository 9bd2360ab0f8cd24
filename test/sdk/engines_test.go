package sdk_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"dialtone/test/system"
)

// TestEngines sends what only MongoDB and Kafka have, in the SDK's own model:
// lists of addresses, a port of 0, and security with a Java key store.
func TestEngines(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{})
	c := client(t, s, caller{})
	of := system.Entry{"id": configured(t, c, migration("engines")).Id}
	password := system.Need(t, "DIALTONE_TEST_PASSWORD")
	store, err := os.ReadFile(filepath.Join(system.Need(t, "DIALTONE_TEST_KAFKA_STORES"), "trust.jks"))
	if err != nil {
		t.Fatal(err)
	}

	mongo := system.Need(t, "DIALTONE_TEST_MONGODB_ADDR")
	source := of.With(system.Entry{
		"net_type": "eip", "db_type": "mongodb", "ip": mongo + "," + system.NewForward(t, mongo).Addr, "db_port": 0,
		"db_user": "dt_sha256", "db_password": password, "end_point_type": "so",
	})
	secure := map[string]any{
		"type": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "delegation_tokens": false, "enable_key_store": false,
		"trust_store_key_name": "client.truststore.jks", "trust_store_key": base64.StdEncoding.EncodeToString(store),
		"trust_store_password": password, "endpoint_algorithm": "https",
	}
	target := of.With(system.Entry{
		"net_type": "eip", "db_type": "kafka", "ip": system.Need(t, "DIALTONE_TEST_KAFKA_SASL_SSL_ADDR"),
		"db_user": "dt_scram", "db_password": password, "end_point_type": "ta", "kafka_security_config": secure,
	})
	if sent := endpoint(t, target); sent.KafkaSecurityConfig == nil || value(sent.KafkaSecurityConfig.TrustStoreKey) == "" {
		t.Fatal("the SDK's model has no Kafka security: this test would say nothing")
	}
	for _, r := range must(t, c, source, target) {
		succeeded(t, r, "success")
	}

	// The SDK cannot leave user and password out: it sends them empty.
	plain := target.With(system.Entry{
		"ip": system.Need(t, "DIALTONE_TEST_KAFKA_ADDR"), "db_user": nil, "db_password": nil,
		"kafka_security_config": map[string]any{"type": "PLAINTEXT"},
	})
	succeeded(t, must(t, c, plain)[0], "success")

	wrong := system.Entry{"db_password": "wrong"}
	for _, r := range must(t, c, source.With(wrong), target.With(wrong)) {
		failed(t, r, "failed", "DRS.KE0002")
	}
}
