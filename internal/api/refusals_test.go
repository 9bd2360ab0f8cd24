package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/api"
)

// entryWith is a good MySQL entry with some fields replaced or added; a value
// of "-" takes one away.
func entryWith(changes ...string) string {
	fields := []string{
		"id", `"` + jobID + `"`, "net_type", `"eip"`, "db_type", `"mysql"`, "ip", `"192.168.0.27"`, "db_port", "3306",
		"db_user", `"` + marker + `u"`, "db_password", `"` + marker + `"`,
	}
	for i := 0; i < len(changes); i += 2 {
		if k := slices.Index(fields, changes[i]); k >= 0 && k%2 == 0 {
			fields[k+1] = changes[i+1]
			continue
		}
		fields = append(fields, changes[i], changes[i+1])
	}
	var parts []string
	for i := 0; i < len(fields); i += 2 {
		if fields[i+1] != "-" {
			parts = append(parts, `"`+fields[i]+`":`+fields[i+1])
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func jobs(entries ...string) string { return `{"jobs":[` + strings.Join(entries, ",") + `]}` }

// clusterWith is a cluster request whose property holds the given text.
func clusterWith(property string) string {
	return `{"jobs":[{"action":"testConnection","job_id":"` + jobID + `","property":"` + strings.ReplaceAll(strings.ReplaceAll(property, `\`, `\\`), `"`, `\"`) + `"}]}`
}

const secretString = `"` + marker + `"`

func TestBadRequests(t *testing.T) {
	t.Parallel()
	const (
		malformed, missing, invalid, duplicate = "DRS.M00007", "DRS.M00201", "DRS.M00202", "DRS.M00301"
	)
	goodObject := `{"dbtype":"mysql","nettype":"eip","ip":"h:3306","dbuser":"u","dbpassword":"` + marker + `"}`
	for _, tt := range []struct {
		name, body string
		cluster    bool
		code       string
		paths      []string // every path named, in order; nil: none
	}{
		{"nothing", "", false, missing, []string{"jobs"}},
		{"blanks", " \n", false, missing, []string{"jobs"}},
		{"no JSON", secretString[:9], false, malformed, nil},
		{"half a document", `{"jobs":[{"db_password":"` + marker, false, malformed, nil},
		{"a list", `[` + secretString + `]`, false, malformed, nil},
		{"a string", secretString, false, malformed, nil},
		{"null", `null`, false, malformed, nil},
		{"trailing garbage", jobs(entryWith()) + secretString, false, malformed, nil},
		{"two documents", jobs(entryWith()) + jobs(entryWith()), false, malformed, nil},
		{"a comment", jobs(entryWith()) + " // " + marker, false, malformed, nil},
		{"single quotes", `{'jobs':[]}`, false, malformed, nil},
		{"not UTF-8", jobs(entryWith("db_password", "\"\xff"+marker+"\"")), false, malformed, nil},
		{"deep", `{"jobs":` + strings.Repeat("[", 40) + secretString + strings.Repeat("]", 40) + `}`, false, malformed, nil},
		{"deep in an unknown field", `{"x":` + strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40) + `}`, false, malformed, nil},
		{"very deep", strings.Repeat("[", 100_000), false, malformed, nil},
		{"many values", `{"x":[` + strings.Repeat("0,", 100_001) + `0]}`, false, malformed, nil},
		{"no jobs", `{}`, false, missing, []string{"jobs"}},
		{"jobs of another case", `{"Jobs":[` + entryWith() + `]}`, false, missing, []string{"jobs"}},
		{"jobs is null", `{"jobs":null}`, false, missing, []string{"jobs"}},
		{"jobs is an object", `{"jobs":{"db_password":` + secretString + `}}`, false, invalid, []string{"jobs"}},
		{"jobs is a string", `{"jobs":` + secretString + `}`, false, invalid, []string{"jobs"}},
		{"empty jobs", `{"jobs":[]}`, false, missing, []string{"jobs"}},
		{"eleven jobs", jobs(slices.Repeat([]string{entryWith()}, 11)...), false, invalid, append([]string{"jobs"}, idPaths(1, 11)...)},
		{"duplicate key", `{"jobs":[{"db_password":"a",` + entryWith()[1:] + `]}`, false, duplicate, []string{"jobs[0].db_password"}},
		{"duplicate jobs", `{"jobs":[` + entryWith() + `],"jobs":[]}`, false, duplicate, []string{"jobs"}},
		{"duplicate key that is no name", `{"` + marker + `":1,"` + marker + `":2,` + jobs(entryWith())[1:], false, duplicate, []string{"?"}},
		{"an entry is a string", jobs(entryWith(), secretString), false, invalid, []string{"jobs[1]"}},
		{"an entry is null", jobs(entryWith(), "null"), false, missing, []string{"jobs[1]"}},
		{"an entry is empty", jobs("{}"), false, missing, []string{"jobs[0].db_password", "jobs[0].db_type", "jobs[0].db_user", "jobs[0].id", "jobs[0].ip", "jobs[0].net_type"}},
		{"no id", jobs(entryWith("id", "-")), false, missing, []string{"jobs[0].id"}},
		{"empty id", jobs(entryWith("id", `""`)), false, missing, []string{"jobs[0].id"}},
		{"id is a number", jobs(entryWith("id", "5")), false, invalid, []string{"jobs[0].id"}},
		{"id with blanks", jobs(entryWith("id", `"a `+marker+`"`)), false, invalid, []string{"jobs[0].id"}},
		{"id is long", jobs(entryWith("id", `"`+strings.Repeat("a", 65)+`"`)), false, invalid, []string{"jobs[0].id"}},
		{"the same end twice", jobs(entryWith(), entryWith("end_point_type", `"so"`)), false, duplicate, []string{"jobs[1].id"}},
		{"no net_type", jobs(entryWith("net_type", "-")), false, missing, []string{"jobs[0].net_type"}},
		{"unknown net_type", jobs(entryWith("net_type", secretString)), false, invalid, []string{"jobs[0].net_type"}},
		{"no db_type", jobs(entryWith("db_type", `""`)), false, missing, []string{"jobs[0].db_type"}},
		{"unknown db_type", jobs(entryWith("db_type", secretString)), false, invalid, []string{"jobs[0].db_type"}},
		{"db_type of the cluster call", jobs(entryWith("db_type", `"dws"`)), false, invalid, []string{"jobs[0].db_type"}},
		{"no ip", jobs(entryWith("ip", "-")), false, missing, []string{"jobs[0].ip"}},
		{"ip is a list", jobs(entryWith("ip", `["a"]`)), false, invalid, []string{"jobs[0].ip"}},
		{"ip is a URL", jobs(entryWith("ip", `"mysql://`+marker+`@h"`)), false, invalid, []string{"jobs[0].ip"}},
		{"ip holds a DSN", jobs(entryWith("ip", `"h?allowAllFiles=true"`)), false, invalid, []string{"jobs[0].ip"}},
		{"two hosts for mysql", jobs(entryWith("ip", `"a:1,b:2"`)), false, invalid, []string{"jobs[0].ip"}},
		{"no port", jobs(entryWith("db_port", "-")), false, missing, []string{"jobs[0].db_port"}},
		{"port 0", jobs(entryWith("db_port", "0")), false, missing, []string{"jobs[0].db_port"}},
		{"negative port", jobs(entryWith("db_port", "-1")), false, invalid, []string{"jobs[0].db_port"}},
		{"port 65536", jobs(entryWith("db_port", "65536")), false, invalid, []string{"jobs[0].db_port"}},
		{"huge port", jobs(entryWith("db_port", "1e300")), false, invalid, []string{"jobs[0].db_port"}},
		{"broken port", jobs(entryWith("db_port", "3306.5")), false, invalid, []string{"jobs[0].db_port"}},
		{"port is a word", jobs(entryWith("db_port", secretString)), false, invalid, []string{"jobs[0].db_port"}},
		{"port with a sign", jobs(entryWith("db_port", `"+3306"`)), false, invalid, []string{"jobs[0].db_port"}},
		{"port is true", jobs(entryWith("db_port", "true")), false, invalid, []string{"jobs[0].db_port"}},
		{"port twice, differently", jobs(entryWith("ip", `"h:1"`)), false, invalid, []string{"jobs[0].db_port"}},
		{"no user", jobs(entryWith("db_user", `""`)), false, missing, []string{"jobs[0].db_user"}},
		{"no password", jobs(entryWith("db_password", "null")), false, missing, []string{"jobs[0].db_password"}},
		{"password is a number", jobs(entryWith("db_password", "12345678")), false, invalid, []string{"jobs[0].db_password"}},
		{"password is an object", jobs(entryWith("db_password", `{"`+marker+`":`+secretString+`}`)), false, invalid, []string{"jobs[0].db_password"}},
		{"password is long", jobs(entryWith("db_password", `"`+strings.Repeat(marker, 300)+`"`)), false, invalid, []string{"jobs[0].db_password"}},
		{"ssl_link is a string", jobs(entryWith("ssl_link", `"true"`)), false, invalid, []string{"jobs[0].ssl_link"}},
		{"ssl without its three", jobs(entryWith("ssl_link", "true")), false, missing, []string{"jobs[0].ssl_cert_check_sum", "jobs[0].ssl_cert_key", "jobs[0].ssl_cert_name"}},
		{"check sum of another form", jobs(entryWith("ssl_link", "true", "ssl_cert_key", secretString, "ssl_cert_name", `"ca"`, "ssl_cert_check_sum", secretString)), false, invalid, []string{"jobs[0].ssl_cert_check_sum"}},
		{"unknown end_point_type", jobs(entryWith("end_point_type", `"ls"`)), false, invalid, []string{"jobs[0].end_point_type"}},
		{"vpc_id with a colon", jobs(entryWith("vpc_id", `"a:`+marker+`"`)), false, invalid, []string{"jobs[0].vpc_id"}},
		{"mongodb with a port", jobs(entryWith("db_type", `"mongodb"`, "ip", `"a:1,b:2"`)), false, invalid, []string{"jobs[0].db_port"}},
		{"mongodb without ports", jobs(entryWith("db_type", `"mongodb"`, "db_port", "0")), false, invalid, []string{"jobs[0].ip"}},
		{"oracle without service", jobs(entryWith("db_type", `"oracle"`)), false, missing, []string{"jobs[0].db_name"}},
		{"kafka without ports", jobs(entryWith("db_type", `"kafka"`, "db_port", "-")), false, invalid, []string{"jobs[0].ip"}},
		{"kafka config is a string", jobs(entryWith("kafka_security_config", secretString)), false, invalid, []string{"jobs[0].kafka_security_config"}},
		{"unknown kafka type", jobs(entryWith("db_type", `"kafka"`, "ip", `"a:1"`, "db_port", "0", "kafka_security_config", `{"type":`+secretString+`}`)), false, invalid, []string{"jobs[0].kafka_security_config.type"}},
		{"kafka SASL without mechanism", jobs(entryWith("db_type", `"kafka"`, "ip", `"a:1"`, "db_port", "0", "kafka_security_config", `{"type":"SASL_PLAINTEXT"}`)), false, missing, []string{"jobs[0].kafka_security_config.sasl_mechanism"}},
		{"kafka SASL without user", jobs(entryWith("db_type", `"kafka"`, "ip", `"a:1"`, "db_port", "0", "db_user", "-", "db_password", "-", "kafka_security_config", `{"type":"SASL_PLAINTEXT","sasl_mechanism":"PLAIN"}`)), false, missing, []string{"jobs[0].db_password", "jobs[0].db_user"}},
		{"kafka SSL without stores", jobs(entryWith("db_type", `"kafka"`, "ip", `"a:1"`, "db_port", "0", "kafka_security_config", `{"type":"SSL","enable_key_store":true,"set_private_key_password":true}`)), false, missing, []string{
			"jobs[0].kafka_security_config.key_password", "jobs[0].kafka_security_config.key_store_key", "jobs[0].kafka_security_config.key_store_key_name",
			"jobs[0].kafka_security_config.trust_store_key", "jobs[0].kafka_security_config.trust_store_key_name",
		}},
		{"dns without its fields", jobs(entryWith("customized_dns", `{"is_set_dns":"yes"}`)), false, invalid, []string{"jobs[0].customized_dns.is_set_dns", "jobs[0].customized_dns.set_dns_action"}},
		{"dns without an address", jobs(entryWith("customized_dns", `{"is_set_dns":true,"set_dns_action":"add"}`)), false, missing, []string{"jobs[0].customized_dns.dns_ip"}},
		{"dns is a name", jobs(entryWith("customized_dns", `{"is_set_dns":true,"set_dns_action":"add","dns_ip":`+secretString+`}`)), false, invalid, []string{"jobs[0].customized_dns.dns_ip"}},
		{"faults of shape and of rules", jobs(entryWith("db_port", `"x"`), entryWith("id", `"j2"`, "ssl_link", "1"), entryWith("id", `"j3"`, "db_name", `"`+strings.Repeat("n", 129)+`"`)), false, invalid, []string{"jobs[0].db_port", "jobs[1].ssl_link", "jobs[2].db_name"}},
		{"order by number", jobs(append(slices.Repeat([]string{entryWith()}, 0), distinct(9, entryWith), entryWith("id", `"j9"`, "ip", "-"))...), false, missing, []string{"jobs[9].ip"}},

		{"cluster: nothing", `{}`, true, missing, []string{"jobs"}},
		{"cluster: an empty entry", jobs("{}"), true, missing, []string{"jobs[0].action", "jobs[0].job_id", "jobs[0].property"}},
		{"cluster: other action", strings.Replace(clusterWith("["+goodObject+"]"), "testConnection", marker, 1), true, invalid, []string{"jobs[0].action"}},
		{"cluster: property is no string", `{"jobs":[{"action":"testConnection","job_id":"j","property":[{"dbpassword":` + secretString + `}]}]}`, true, invalid, []string{"jobs[0].property"}},
		{"cluster: property is no JSON", clusterWith(marker), true, invalid, []string{"jobs[0].property"}},
		{"cluster: the help page's own example", clusterWith(`[{"dbtype":"mongodb","dbport":0,"encrypt":{"elementId":"encrypt_switch","offLabel":"OFF","onLabel":"ON","disable":false,"dbpassword":"` + marker + `"},{"dbtype":"mongodb"}]`), true, invalid, []string{"jobs[0].property"}},
		{"cluster: an unclosed object", clusterWith(`[{"dbtype":"mongodb","encrypt":{"elementId":"x","dbpassword":"` + marker + `"}]`), true, invalid, []string{"jobs[0].property"}},
		{"cluster: trailing garbage", clusterWith("[" + goodObject + "] " + marker), true, invalid, []string{"jobs[0].property"}},
		{"cluster: property is a number", clusterWith("5"), true, invalid, []string{"jobs[0].property"}},
		{"cluster: property is null", clusterWith("null"), true, invalid, []string{"jobs[0].property"}},
		{"cluster: empty list", clusterWith("[]"), true, missing, []string{"jobs[0].property"}},
		{"cluster: a list of strings", clusterWith(`["` + marker + `"]`), true, invalid, []string{"jobs[0].property[0]"}},
		{"cluster: a null object", clusterWith("[" + goodObject + ",null]"), true, missing, []string{"jobs[0].property[1]"}},
		{"cluster: 65 objects", clusterWith("[" + strings.Join(slices.Repeat([]string{goodObject}, 65), ",") + "]"), true, invalid, []string{"jobs[0].property"}},
		{"cluster: deep property", clusterWith(strings.Repeat("[", 40) + strings.Repeat("]", 40)), true, invalid, []string{"jobs[0].property"}},
		{"cluster: an empty object", clusterWith("{}"), true, missing, []string{"jobs[0].property.dbpassword", "jobs[0].property.dbtype", "jobs[0].property.dbuser", "jobs[0].property.ip", "jobs[0].property.nettype"}},
		{"cluster: fields by their own names", clusterWith(`[` + goodObject + `,{"dbtype":"` + marker + `","dbport":"x","nettype":"lan","endpointtype":"xx","ip":"h:1","vpcId":"a:b","ssllink":true}]`), true, missing, []string{
			"jobs[0].property[1].dbpassword", "jobs[0].property[1].dbport", "jobs[0].property[1].dbtype", "jobs[0].property[1].dbuser", "jobs[0].property[1].endpointtype",
			"jobs[0].property[1].nettype", "jobs[0].property[1].sslcertchecksum", "jobs[0].property[1].sslcertkey", "jobs[0].property[1].sslcertname", "jobs[0].property[1].vpcId",
		}},
		{"cluster: duplicate key", clusterWith(`[{"dbpassword":"` + marker + `",` + goodObject[1:] + `]`), true, duplicate, []string{"jobs[0].property[0].dbpassword"}},
		{"cluster: both kafka keys", clusterWith(`[{"dbtype":"kafka","nettype":"eip","ip":"h:1","kafkaSecurityConfig":{"type":"PLAINTEXT"},"kafka_security_config":{"type":"PLAINTEXT"}}]`), true, duplicate, []string{"jobs[0].property[0].kafka_security_config"}},
		{"cluster: kafka by the help page's key", clusterWith(`[{"dbtype":"kafka","nettype":"eip","ip":"h:1","kafkaSecurityConfig":{"type":"x"}}]`), true, invalid, []string{"jobs[0].property[0].kafkaSecurityConfig.type"}},
		{"cluster: kafka by terraform's key", clusterWith(`[{"dbtype":"kafka","nettype":"eip","ip":"h:1","kafka_security_config":{"type":"SASL_SSL","sasl_mechanism":"PLAIN","trust_store_key_name":"n","trust_store_key":5},"dbuser":"u","dbpassword":"p"}]`), true, invalid, []string{"jobs[0].property[0].kafka_security_config.trust_store_key"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := start(t, api.Config{})
			path := connection
			if tt.cluster {
				path = cluster
			}
			for _, language := range []string{"en-us", "zh-cn"} {
				r := b.do(t, ask{path: path, body: tt.body, header: map[string]string{"X-Language": language, "Content-Type": "application/json"}})
				f := r.fault(t)
				if r.status != http.StatusBadRequest {
					t.Fatalf("status %d: %s", r.status, r.body)
				}
				var paths []string
				for _, p := range f.Problems {
					paths = append(paths, p.Path)
					if p.Msg == "" || p.Code == "" {
						t.Errorf("%s: %+v", language, p)
					}
				}
				if diff := cmp.Diff(tt.paths, paths); diff != "" {
					t.Errorf("%s: paths (-want +got):\n%s", language, diff)
				}
				if f.Code != tt.code {
					t.Errorf("%s: code %s, want %s", language, f.Code, tt.code)
				}
				if n := utf8.RuneCountInString(f.Msg); n > 512 || n == 0 {
					t.Errorf("%s: %d characters", language, n)
				}
				if len(paths) > 0 && !strings.Contains(f.Msg, paths[0]) {
					t.Errorf("%s: the message does not name %s: %s", language, paths[0], f.Msg)
				}
				if strings.Contains(string(r.body), marker) {
					t.Errorf("%s: a secret is in the answer: %s", language, r.body)
				}
				if isChinese(f.Msg) != (language == "zh-cn") {
					t.Errorf("%s: the message is in the other language: %s", language, f.Msg)
				}
			}
			if strings.Contains(b.log.String(), marker) {
				t.Error("a secret is in the log")
			}
			if len(b.last().Entries) != 0 {
				t.Error("a bad request was submitted")
			}
		})
	}
}

func isChinese(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r >= 0x4e00 && r <= 0x9fff })
}

func idPaths(from, to int) []string {
	var paths []string
	for i := from; i < to; i++ {
		if i < 10 {
			paths = append(paths, "jobs["+string(rune('0'+i))+"].id")
		} else {
			paths = append(paths, "jobs[1"+string(rune('0'+i-10))+"].id")
		}
	}
	return paths
}

// distinct gives n good entries of different jobs, joined.
func distinct(n int, entry func(...string) string) string {
	var all []string
	for i := range n {
		all = append(all, entry("id", `"j`+string(rune('0'+i))+`"`))
	}
	return strings.Join(all, ",")
}

// A message names as much as fits into what clients may keep of it.
func TestManyProblemsAreCounted(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	r := b.do(t, ask{path: connection, body: jobs(slices.Repeat([]string{"{}"}, 10)...)})
	f := r.fault(t)
	if len(f.Problems) != 60 {
		t.Errorf("%d problems, want 60", len(f.Problems))
	}
	if n := utf8.RuneCountInString(f.Msg); n > 512 || !strings.Contains(f.Msg, " more") || !strings.Contains(f.Msg, "jobs[0].db_type") {
		t.Errorf("%d characters: %s", n, f.Msg)
	}
	golden(t, "many-problems", r.body)
}
