package batch_test

import (
	"testing"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
)

// Other names of the types are tested by the engine that speaks their protocol;
// what may be anything is left alone, and answered as not supported.
func TestTypesOfOneProtocol(t *testing.T) {
	t.Parallel()
	for dbType, want := range map[string]probe.Engine{
		"mariadb": probe.MySQL, "tauruslite": probe.Taurus, "hwpostgresql": probe.PostgreSQL, "dds": probe.MongoDB, "mrsKafka": probe.Kafka,
		"gaussdbv5": probe.GaussDBv5, "gaussdbv5ha": probe.GaussDBv5HA, "multigaussdbv5": probe.GaussDBv5, "opengauss": probe.GaussDBv5, "dws": probe.GaussDBv5,
		"gaussdb": "gaussdb", "gaussdbt": "gaussdbt",
	} {
		if got := (batch.Endpoint{DBType: dbType}).Target("p", probe.VerifyCA).Engine; got != want {
			t.Errorf("%s is tested as %s, want %s", dbType, got, want)
		}
	}
}
