package probe

import (
	"context"
	"net"
	"net/netip"
	"strconv"

	"dialtone/internal/secret"
)

// Engine names a kind of database endpoint, as the wire's db_type does.
type Engine string

// The engines that the connection call of the contract names. The cluster call
// names more; an Engine is whatever a Prober says it serves.
const (
	MySQL       Engine = "mysql"
	Taurus      Engine = "taurus"
	PostgreSQL  Engine = "postgresql"
	MongoDB     Engine = "mongodb"
	GaussDBv5   Engine = "gaussdbv5"
	GaussDBv5HA Engine = "gaussdbv5ha"
	Kafka       Engine = "kafka"
	Oracle      Engine = "oracle"
)

// The engines that are ours beyond the contract's connection call, under the
// names that its cluster call lists.
const (
	Redis        Engine = "redis"
	RedisCluster Engine = "rediscluster"
	GaussRedis   Engine = "gaussredis"
	SQLServer    Engine = "sqlserver"
	Cassandra    Engine = "cassandra"
)

// Engines lists them all.
func Engines() []Engine {
	return []Engine{
		MySQL, Taurus, PostgreSQL, MongoDB, GaussDBv5, GaussDBv5HA, Kafka, Oracle,
		Redis, RedisCluster, GaussRedis, SQLServer, Cassandra,
	}
}

// Address is one host and port as the caller wrote them: a name or an IP
// literal.
type Address struct {
	Host string `json:"host"`
	Port uint16 `json:"port"`
}

// String gives host:port, with brackets around an IPv6 literal.
func (a Address) String() string {
	return net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port)))
}

// Target is everything a probe needs to know of one endpoint. It holds
// secrets: store it only as the two halves that Split gives.
type Target struct {
	// Project is on whose behalf the probe is made; the egress policy asks.
	Project string `json:"project"`
	// Network is the vantage the caller asked for: eip, vpn, vpc, vpc-<id>.
	Network string `json:"network"`

	Engine Engine `json:"engine"`
	// Addresses holds at least one address; several are tested in order.
	Addresses []Address   `json:"addresses"`
	User      string      `json:"user,omitempty"`
	Password  secret.Text `json:"-"`
	// Database is the database, authentication database or service name.
	Database string `json:"database,omitempty"`
	// TLS is nil when the caller asked for a plain connection.
	TLS *TLS `json:"tls,omitempty"`
	// Kafka is nil unless the engine is Kafka.
	Kafka *KafkaSecurity `json:"kafka,omitempty"`
	// DNS is the caller's own DNS server; the zero Addr means the worker's.
	DNS netip.Addr `json:"dns,omitzero"`

	// BeforeLogin is called once, just before the first byte of credentials
	// leaves. An error means: send nothing, report nothing. Nil permits.
	BeforeLogin func(context.Context) error `json:"-"`
}

// Verify says how much of a server's certificate must be right.
type Verify string

// The three steps of strictness, named as libpq names its own.
const (
	VerifyNone Verify = "none" // encrypt only
	VerifyCA   Verify = "ca"   // the chain must lead to a trusted root
	VerifyFull Verify = "full" // and the name must be the one dialled
)

// TLS asks for an encrypted connection.
type TLS struct {
	// Verify defaults to VerifyCA: the contract's own service does not check
	// names, so a name that does not fit is a warning, not a failure.
	Verify Verify `json:"verify,omitempty"`
	// Certificate is the authority to trust, as Base64 of PEM, DER, PKCS#12 or a
	// Java key store, perhaps with the client's key. Without one the system's
	// roots are used.
	Certificate secret.Text `json:"-"`
	// Name is the certificate's file name, for messages only.
	Name string `json:"name,omitempty"`
	// Checksum is the hex SHA-256 that the caller computed over Certificate.
	Checksum string `json:"checksum,omitempty"`
	// Password opens a store, and the key in it.
	Password secret.Text `json:"-"`
}

// KafkaSecurity is the wire's kafka_security_config, field by field.
type KafkaSecurity struct {
	Protocol              string      `json:"type,omitempty"`
	SASLMechanism         string      `json:"sasl_mechanism,omitempty"`
	EndpointAlgorithm     string      `json:"endpoint_algorithm,omitempty"`
	DelegationTokens      bool        `json:"delegation_tokens,omitempty"`
	TrustStoreName        string      `json:"trust_store_key_name,omitempty"`
	TrustStore            secret.Text `json:"-"`
	TrustStorePassword    secret.Text `json:"-"`
	EnableKeyStore        bool        `json:"enable_key_store,omitempty"`
	KeyStoreName          string      `json:"key_store_key_name,omitempty"`
	KeyStore              secret.Text `json:"-"`
	KeyStorePassword      secret.Text `json:"-"`
	SetPrivateKeyPassword bool        `json:"set_private_key_password,omitempty"`
	PrivateKeyPassword    secret.Text `json:"-"`
}

// Secrets are the secret fields of a Target by name, in the clear: seal them
// before they leave the process.
type Secrets map[string]string

// secretFields is the one list of what is secret in a Target.
func (t *Target) secretFields() map[string]*secret.Text {
	f := map[string]*secret.Text{"password": &t.Password}
	if t.TLS != nil {
		f["tls.certificate"] = &t.TLS.Certificate
		f["tls.password"] = &t.TLS.Password
	}
	if t.Kafka != nil {
		f["kafka.trust_store"] = &t.Kafka.TrustStore
		f["kafka.trust_store_password"] = &t.Kafka.TrustStorePassword
		f["kafka.key_store"] = &t.Kafka.KeyStore
		f["kafka.key_store_password"] = &t.Kafka.KeyStorePassword
		f["kafka.private_key_password"] = &t.Kafka.PrivateKeyPassword
	}
	return f
}

// Split parts a target into what may be stored and shown, and its secrets.
func (t Target) Split() (Target, Secrets) {
	open := t.clone()
	secrets := Secrets{}
	for name, field := range open.secretFields() {
		if field.IsSet() {
			secrets[name] = field.Reveal()
		}
		*field = secret.Text{}
	}
	open.BeforeLogin = nil
	return open, secrets
}

// Join puts the secrets back. Names that the target has no field for are
// ignored.
func (t Target) Join(s Secrets) Target {
	whole := t.clone()
	for name, field := range whole.secretFields() {
		*field = secret.New(s[name])
	}
	return whole
}

// passwords lists the secrets that are set, without certificates and stores.
func (t *Target) passwords() []secret.Text {
	fields := t.secretFields()
	for _, name := range []string{"tls.certificate", "kafka.trust_store", "kafka.key_store"} {
		delete(fields, name)
	}
	var all []secret.Text
	for _, field := range fields {
		if field.IsSet() {
			all = append(all, *field)
		}
	}
	return all
}

// SecretTexts lists the secrets that are set: none of them may be in a report.
func (t Target) SecretTexts() []secret.Text {
	var all []secret.Text
	for _, field := range t.secretFields() {
		if field.IsSet() {
			all = append(all, *field)
		}
	}
	return all
}

// clone copies a target so that its pointers can be changed freely.
func (t Target) clone() Target {
	if t.TLS != nil {
		tls := *t.TLS
		t.TLS = &tls
	}
	if t.Kafka != nil {
		kafka := *t.Kafka
		t.Kafka = &kafka
	}
	return t
}
