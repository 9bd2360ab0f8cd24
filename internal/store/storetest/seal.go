package storetest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"

	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

func sealing() []contract {
	return []contract{
		{"secrets/in no column of any table", secretsNowhere},
		{"secrets/of every field come back", secretsComeBack},
		{"keys/open what the store holds", keysOpen},
	}
}

// kafkaTarget has a secret in each of Kafka's fields.
func kafkaTarget(project string) probe.Target {
	t := newTarget(project)
	t.Engine = probe.Kafka
	t.Kafka = &probe.KafkaSecurity{
		Protocol: "SASL_SSL", SASLMechanism: "PLAIN", TrustStoreName: "trust.jks", EnableKeyStore: true, KeyStoreName: "key.jks",
		TrustStore: secret.New(marker + "-ts"), TrustStorePassword: secret.New(marker + "-tsp"),
		KeyStore: secret.New(marker + "-ks"), KeyStorePassword: secret.New(marker + "-ksp"),
		SetPrivateKeyPassword: true, PrivateKeyPassword: secret.New(marker + "-pkp"),
	}
	return t
}

func secretsNowhere(e env) {
	_, tests := e.create(4, func(_ *batch.Batch, tests []batch.Test) {
		report := newReport(probe.CodeJobUnknown)
		tests[1].Target = kafkaTarget(e.project)
		tests[2].Report = &report
	})
	e.mustClaim(tests[1].ID, long)
	c := e.mustClaim(tests[0].ID, long)
	e.finish(c.ID, c.LeaseID, probe.CodeOK)
	e.ok(e.CheckKeys(e.Context()))
	r := e.newJob("sealed", job.Standalone)
	r.Endpoints = json.RawMessage(`{"source_endpoint":{"db_password":"` + marker + `"}}`)
	e.ok(e.CreateJobs(e.Context(), []job.Record{r}))
	_, err := e.UpdateJob(e.Context(), e.project, r.ID, func(r *job.Record) error {
		r.Endpoints = json.RawMessage(`{"target_endpoint":{"db_password":"` + marker + `-2"}}`)
		return nil
	})
	e.ok(err)

	dump, err := e.Dump(e.Context())
	e.ok(err)
	for _, there := range []string{tests[0].ID, r.ID, "db.example.com"} {
		if !bytes.Contains(dump, []byte(there)) {
			e.Fatalf("the dump does not even hold %q", there)
		}
	}
	e.withoutSecret(dump)
}

// withoutSecret looks for the marker in what a store keeps.
func (e env) withoutSecret(dump []byte) {
	e.Helper()
	// Base64 of a text inside another is one of three, by its place.
	forms := map[string]string{"plain": marker, "hex": hex.EncodeToString([]byte(marker))}
	for shift := range 3 {
		whole := base64.RawStdEncoding.EncodeToString([]byte("xx"[:shift] + marker))
		forms[label("base64, shifted by %d", shift)] = whole[4 : len(whole)-4]
	}
	for form, text := range forms {
		if bytes.Contains(dump, []byte(text)) {
			e.Errorf("a secret is in the tables: %s", form)
		}
	}
}

func secretsComeBack(e env) {
	want := kafkaTarget(e.project)
	b, tests := e.create(1, func(_ *batch.Batch, tests []batch.Test) { tests[0].Target = want })
	e.same("target", e.mustClaim(tests[0].ID, long).Target, want)
	e.same("names", e.readTest(b, tests[0].ID).SecretsSet, []string{
		"kafka.key_store", "kafka.key_store_password", "kafka.private_key_password", "kafka.trust_store",
		"kafka.trust_store_password", "password", "tls.certificate", "tls.password",
	})
}

func keysOpen(e env) {
	e.ok(e.CheckKeys(e.Context()))
	e.ok(e.CheckKeys(e.Context()))
}
