package batch

import (
	"net/netip"
	"strings"

	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

// connectionTypes is the union of the db_type values of all versions of the
// connection call's help page (contract 1.4), and behind them our extensions
// under the names that the cluster call gives them.
func connectionTypes() []string {
	return []string{
		"mysql", "mongodb", "postgresql", "taurus", "gaussdbv5", "gaussdbv5ha", "kafka", "oracle",
		"redis", "rediscluster", "gaussredis", "sqlserver", "cassandra",
	}
}

// clusterTypes is the cluster call's list (contract 2.2).
func clusterTypes() []string {
	return []string{
		"mysql", "taurusha", "sqlserver", "postgresql", "ddm", "mongodb", "awsdocumentdb", "hwmongodb", "hwpostgresql",
		"oracle", "taurus", "gaussdb", "kafka", "mrsKafka", "cassandra", "dynamo", "dws", "gaussdbv5", "gaussdbv5ha",
		"gaussmongodb", "multigaussdbv5", "dmq", "gaussdbt", "gaussdbtha", "gaussdb300", "elasticsearch", "db2", "tidb",
		"redis", "gaussredis", "rediscluster", "mariadb", "oceanbase", "informix", "gaussdbv1", "gausscassandra",
		"geminidynamo", "dds", "tauruslite", "star-rocks", "gaussdbformysqllite", "taurus-postgresql", "thl", "opengauss",
		"ddmforgaussdb", "gaussdbmultimaster",
	}
}

// engineOf gives the engine that speaks a database type's protocol. Types that
// are another name for an engine of ours are folded; any other stays itself,
// and the worker says whether it has a prober for it.
func engineOf(dbType string) probe.Engine {
	switch dbType {
	case "mariadb":
		return probe.MySQL
	case "taurusha", "tauruslite", "gaussdbformysqllite":
		return probe.Taurus
	case "hwpostgresql", "taurus-postgresql":
		return probe.PostgreSQL
	case "multigaussdbv5", "opengauss", "dws":
		return probe.GaussDBv5
	case "dds", "hwmongodb", "gaussmongodb", "awsdocumentdb":
		return probe.MongoDB
	case "mrsKafka":
		return probe.Kafka
	case "gausscassandra":
		return probe.Cassandra
	default:
		return probe.Engine(dbType)
	}
}

// takesList says whether ip may hold several addresses.
func takesList(e probe.Engine) bool {
	switch e {
	case probe.MySQL, probe.Taurus, probe.PostgreSQL, probe.Oracle, probe.Redis, probe.SQLServer:
		return false
	default:
		return true
	}
}

// Target makes what a probe needs of a validated endpoint; verify is how
// strictly a server's certificate is judged where the endpoint does not say.
func (e Endpoint) Target(project string, verify probe.Verify) probe.Target {
	t := probe.Target{
		Project: project, Network: e.network(), Engine: engineOf(e.DBType),
		User: e.User, Password: e.Password, Database: e.DBName,
	}
	t.Addresses, _ = parseAddresses(e.IP)
	for i := range t.Addresses {
		if t.Addresses[i].Port == 0 {
			t.Addresses[i].Port = uint16(e.DBPort) //nolint:gosec // validated: 1 to 65535
		}
	}
	if e.DNS.used() {
		t.DNS, _ = netip.ParseAddr(e.DNS.IP)
	}
	if t.Engine == probe.Kafka {
		e.kafkaTarget(&t)
		return t
	}
	if e.SSLLink {
		t.TLS = &probe.TLS{
			Verify: verify, Certificate: e.SSLCertKey, Name: e.SSLCertName,
			Checksum: e.SSLCertCheckSum, Password: e.SSLCertPassword,
		}
	}
	return t
}

// kafkaTarget fills in what only Kafka has; surplus credentials are dropped,
// so that they are neither stored nor sent (contract 1.10).
func (e Endpoint) kafkaTarget(t *probe.Target) {
	k := probe.KafkaSecurity{}
	if e.Kafka != nil {
		k = *e.Kafka
	}
	k.Protocol = kafkaProtocol(e.Kafka)
	t.Kafka = &k
	if !strings.HasPrefix(k.Protocol, "SASL_") {
		t.User = ""
		t.Password = secret.Text{}
	}
	if k.Protocol == "SSL" || k.Protocol == "SASL_SSL" {
		t.TLS = &probe.TLS{Verify: probe.VerifyCA}
		if k.EndpointAlgorithm != "" {
			t.TLS.Verify = probe.VerifyFull
		}
	}
}

// kafkaProtocol is the security protocol asked for; none means PLAINTEXT.
func kafkaProtocol(k *probe.KafkaSecurity) string {
	if k == nil || k.Protocol == "" {
		return "PLAINTEXT"
	}
	return k.Protocol
}

// network is the vantage that the caller asked for, at its most specific.
func (e Endpoint) network() string {
	if e.NetType == "vpc" && e.VpcID != "" {
		return "vpc-" + strings.ToLower(e.VpcID)
	}
	return e.NetType
}
