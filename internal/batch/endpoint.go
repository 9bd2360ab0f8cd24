package batch

import (
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

// Endpoint is one endpoint as a caller described it, in the contract's own
// terms; empty means absent (contract 1.10).
type Endpoint struct {
	NetType         string
	DBType          string
	IP              string
	DBPort          int
	InstID          string
	User            string
	Password        secret.Text
	SSLLink         bool
	SSLCertKey      secret.Text
	SSLCertName     string
	SSLCertCheckSum string
	SSLCertPassword secret.Text
	VpcID           string
	SubnetID        string
	EndPointType    string
	Region          string
	ProjectID       string
	DBName          string
	Kafka           *probe.KafkaSecurity
	DNS             *CustomizedDNS
}

// CustomizedDNS is the contract's customized_dns.
type CustomizedDNS struct {
	IsSet  bool
	Action string
	IP     string
}

// Field names a field of an Endpoint as the connection call spells it; the api
// turns it into the path that the caller wrote.
type Field string

// The fields that a Problem can name.
const (
	FieldID              Field = "id"
	FieldNetType         Field = "net_type"
	FieldDBType          Field = "db_type"
	FieldIP              Field = "ip"
	FieldDBPort          Field = "db_port"
	FieldUser            Field = "db_user"
	FieldPassword        Field = "db_password"
	FieldSSLCertKey      Field = "ssl_cert_key"
	FieldSSLCertName     Field = "ssl_cert_name"
	FieldSSLCertCheckSum Field = "ssl_cert_check_sum"
	FieldVpcID           Field = "vpc_id"
	FieldEndPointType    Field = "end_point_type"
	FieldDBName          Field = "db_name"
	FieldKafkaType       Field = "kafka_security_config.type"
	FieldKafkaMechanism  Field = "kafka_security_config.sasl_mechanism"
	FieldKafkaAlgorithm  Field = "kafka_security_config.endpoint_algorithm"
	FieldKafkaTokens     Field = "kafka_security_config.delegation_tokens"
	FieldTrustStore      Field = "kafka_security_config.trust_store_key"
	FieldTrustStoreName  Field = "kafka_security_config.trust_store_key_name"
	FieldKeyStore        Field = "kafka_security_config.key_store_key"
	FieldKeyStoreName    Field = "kafka_security_config.key_store_key_name"
	FieldKeyPassword     Field = "kafka_security_config.key_password"
	FieldDNSAction       Field = "customized_dns.set_dns_action"
	FieldDNSIP           Field = "customized_dns.dns_ip"
)

// Fault is what is wrong with a field.
type Fault string

// The faults; the api has a DRS code for each.
const (
	Missing   Fault = "missing"
	Invalid   Fault = "invalid"
	Duplicate Fault = "duplicate"
)

// Problem is one thing wrong with a request. Why says what is expected, and
// never repeats what was sent.
type Problem struct {
	Field Field
	Fault Fault
	Why   probe.Words
}
