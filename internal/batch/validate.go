package batch

import (
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"dialtone/internal/job"
	"dialtone/internal/probe"
)

// Validate finds everything that is wrong with the endpoint by the rules of
// the help pages (contract 1.3 to 1.6, 1.10, 2.1): what is mandatory, what is
// conditional, which values exist. It resolves nothing and opens nothing.
func (e Endpoint) Validate(call job.Call) []Problem {
	v := validation{e: e, call: call}
	v.kind()
	v.place()
	v.credentials()
	v.tls()
	v.kafka()
	v.dns()
	return v.problems
}

type validation struct {
	e        Endpoint
	call     job.Call
	problems []Problem
}

func (v *validation) add(field Field, fault Fault, english, chinese string) {
	v.problems = append(v.problems, Problem{Field: field, Fault: fault, Why: probe.Words{English: english, Chinese: chinese}})
}

func (v *validation) missing(field Field, english, chinese string) {
	v.add(field, Missing, english, chinese)
}

func (v *validation) invalid(field Field, english, chinese string) {
	v.add(field, Invalid, english, chinese)
}

// oneOf demands a value of a closed list.
func (v *validation) oneOf(field Field, value string, allowed ...string) {
	switch {
	case value == "":
		v.missing(field, "it is mandatory", "该参数必填")
	case !slices.Contains(allowed, value):
		list := strings.Join(allowed, ", ")
		v.invalid(field, "it must be one of "+list, "取值必须为 "+list+" 之一")
	}
}

// text bounds a free text and keeps control characters out: none of these
// fields has a use for them, and a NUL cannot be stored.
func (v *validation) text(field Field, value string, most int, limit string) {
	if len(value) > most {
		v.invalid(field, "it is longer than "+limit+" bytes", "长度超过 "+limit+" 字节")
	}
	if strings.ContainsFunc(value, unicode.IsControl) || !utf8.ValidString(value) {
		v.invalid(field, "it must not contain control characters", "不能包含控制字符")
	}
}

func (v *validation) kind() {
	v.oneOf(FieldNetType, v.e.NetType, "vpn", "vpc", "eip")
	types, ends := connectionTypes(), []string{"so", "ta"}
	if v.call == job.Cluster {
		types, ends = clusterTypes(), append(ends, "ls")
	}
	v.oneOf(FieldDBType, v.e.DBType, types...)
	if v.e.EndPointType != "" { // absent means so
		v.oneOf(FieldEndPointType, v.e.EndPointType, ends...)
	}
	if !plainID(v.e.VpcID) {
		v.invalid(FieldVpcID, "it must be an id of at most 64 letters, digits and hyphens", "必须为不超过 64 个字符的 ID,仅含字母、数字和中划线")
	}
}

// plainID says whether an optional id is safe to become part of a queue name.
func plainID(s string) bool {
	if len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' {
			return false
		}
	}
	return true
}

// place checks ip and db_port together, since the port may be in either.
func (v *validation) place() {
	engine := engineOf(v.e.DBType)
	if v.e.DBPort < 0 || v.e.DBPort > 65535 {
		v.invalid(FieldDBPort, "it must be from 1 to 65535", "取值范围为 1~65535")
	}
	if v.e.IP == "" {
		v.missing(FieldIP, "it is mandatory", "该参数必填")
		return
	}
	list, err := parseAddresses(v.e.IP)
	if err != nil {
		v.invalid(FieldIP, "it must be a host or a list of host:port, at most 32", "必须为主机地址,或不超过 32 个的 host:port 列表")
		return
	}
	if len(list) > 1 && !takesList(engine) {
		v.invalid(FieldIP, "this database type takes one host", "该数据库类型只支持一个主机地址")
		return
	}
	if engine == probe.MongoDB {
		if v.e.DBPort != 0 {
			v.invalid(FieldDBPort, "it must be 0 for mongodb, whose ports stand in ip", "mongodb 的端口在 ip 中指定,该参数必须为 0")
		}
		if slices.ContainsFunc(list, noPort) {
			v.invalid(FieldIP, "every address needs its port: host:port", "每个地址都必须带端口,格式为 host:port")
		}
		return
	}
	switch {
	case slices.ContainsFunc(list, noPort) && v.e.DBPort == 0:
		if engine == probe.Kafka {
			v.invalid(FieldIP, "every address needs its port: host:port", "每个地址都必须带端口,格式为 host:port")
			return
		}
		v.missing(FieldDBPort, "it is mandatory for this database type", "该数据库类型必须指定端口")
	case len(list) == 1 && list[0].Port != 0 && v.e.DBPort != 0 && int(list[0].Port) != v.e.DBPort:
		v.invalid(FieldDBPort, "it contradicts the port in ip", "与 ip 中的端口不一致")
	}
}

func noPort(a probe.Address) bool { return a.Port == 0 }

func (v *validation) credentials() {
	engine := engineOf(v.e.DBType)
	if engine == probe.Oracle && v.e.DBName == "" {
		v.missing(FieldDBName, "it is the service name and mandatory for oracle", "oracle 必须指定服务名")
	}
	v.text(FieldDBName, v.e.DBName, 128, "128")
	v.text(FieldUser, v.e.User, 256, "256")
	if len(v.e.Password.Reveal()) > 4096 { // any character may stand in one
		v.invalid(FieldPassword, "it is longer than 4096 bytes", "长度超过 4096 字节")
	}
	if engine == probe.Kafka && !strings.HasPrefix(kafkaProtocol(v.e.Kafka), "SASL_") {
		return // surplus credentials are ignored (contract 1.10)
	}
	if openTo(engine) {
		return
	}
	if v.e.User == "" {
		v.missing(FieldUser, "it is mandatory", "该参数必填")
	}
	// With Kerberos the worker may have a keytab in the password's place.
	kerberos := engine == probe.Kafka && v.e.Kafka.SASLMechanism == "GSSAPI"
	if !v.e.Password.IsSet() && !kerberos {
		v.missing(FieldPassword, "it is mandatory", "该参数必填")
	}
}

// openTo says whether an engine of ours may let everybody in, or take a
// password alone; the contract's own engines always need a user.
func openTo(e probe.Engine) bool {
	switch e {
	case probe.Redis, probe.RedisCluster, probe.GaussRedis, probe.Cassandra:
		return true
	default:
		return false
	}
}

func (v *validation) tls() {
	if !v.e.SSLLink || engineOf(v.e.DBType) == probe.Kafka {
		return
	}
	const english, chinese = "it is mandatory when ssl_link is true", "ssl_link 为 true 时必填"
	if !v.e.SSLCertKey.IsSet() {
		v.missing(FieldSSLCertKey, english, chinese)
	}
	if v.e.SSLCertName == "" {
		v.missing(FieldSSLCertName, english, chinese)
	}
	v.text(FieldSSLCertName, v.e.SSLCertName, 256, "256")
	switch {
	case v.e.SSLCertCheckSum == "":
		v.missing(FieldSSLCertCheckSum, english, chinese)
	case !hexSHA256(v.e.SSLCertCheckSum):
		v.invalid(FieldSSLCertCheckSum, "it must be a SHA-256 in 64 hexadecimal digits", "必须为 64 位十六进制的 SHA-256 值")
	}
}

func hexSHA256(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

func (v *validation) kafka() {
	if engineOf(v.e.DBType) != probe.Kafka || v.e.Kafka == nil {
		return
	}
	k := v.e.Kafka
	protocol := kafkaProtocol(k)
	v.oneOf(FieldKafkaType, protocol, "PLAINTEXT", "SASL_PLAINTEXT", "SSL", "SASL_SSL")
	sasl := strings.HasPrefix(protocol, "SASL_")
	if sasl {
		v.oneOf(FieldKafkaMechanism, k.SASLMechanism, "GSSAPI", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
	}
	if k.DelegationTokens && !(sasl && strings.HasPrefix(k.SASLMechanism, "SCRAM-")) {
		v.invalid(FieldKafkaTokens, "delegation tokens need SASL with a SCRAM mechanism", "仅 SASL 且认证机制为 SCRAM 时支持委托令牌")
	}
	if k.EndpointAlgorithm != "" && !strings.EqualFold(k.EndpointAlgorithm, "https") {
		v.invalid(FieldKafkaAlgorithm, "it must be empty or https", "取值必须为空或 https")
	}
	if protocol == "SSL" || protocol == "SASL_SSL" {
		v.stores(k)
	}
}

// stores checks what an encrypted Kafka connection needs (contract 1.5).
func (v *validation) stores(k *probe.KafkaSecurity) {
	const english, chinese = "it is mandatory for SSL and SASL_SSL", "安全协议为 SSL 或 SASL_SSL 时必填"
	if !k.TrustStore.IsSet() {
		v.missing(FieldTrustStore, english, chinese)
	}
	if k.TrustStoreName == "" {
		v.missing(FieldTrustStoreName, english, chinese)
	}
	if !k.EnableKeyStore {
		return
	}
	const keyEnglish, keyChinese = "it is mandatory when enable_key_store is true", "enable_key_store 为 true 时必填"
	if !k.KeyStore.IsSet() {
		v.missing(FieldKeyStore, keyEnglish, keyChinese)
	}
	if k.KeyStoreName == "" {
		v.missing(FieldKeyStoreName, keyEnglish, keyChinese)
	}
	if k.SetPrivateKeyPassword && !k.PrivateKeyPassword.IsSet() {
		v.missing(FieldKeyPassword, "it is mandatory when set_private_key_password is true", "set_private_key_password 为 true 时必填")
	}
}

func (v *validation) dns() {
	d := v.e.DNS
	if d == nil {
		return
	}
	v.oneOf(FieldDNSAction, d.Action, "add", "keep", "update", "recover")
	switch ip, err := netip.ParseAddr(d.IP); {
	case d.IP == "" && d.used():
		v.missing(FieldDNSIP, "it is mandatory for add and update", "操作为 add 或 update 时必填")
	case d.IP != "" && (err != nil || ip.Zone() != ""):
		v.invalid(FieldDNSIP, "it must be an IP address", "必须为 IP 地址")
	}
}

// used says whether the server is to be asked at all (contract 1.6).
func (d *CustomizedDNS) used() bool {
	return d != nil && d.IsSet && (d.Action == "add" || d.Action == "update")
}
