package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

func TestEndpointFromURL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca, pw := write("my ca.pem", "authority"), write("pw", "from the file\r\n")
	store := write("client.jks", "store")
	base := func(change func(*batch.Endpoint)) batch.Endpoint {
		e := batch.Endpoint{NetType: "eip", DBType: "mysql", IP: "db.example", DBPort: 3306, User: "root", Password: secret.New("pw"), EndPointType: "so"}
		change(&e)
		return e
	}
	withCA := func(e *batch.Endpoint) {
		e.SSLLink, e.SSLCertKey, e.SSLCertName = true, secret.New("YXV0aG9yaXR5"), "my ca.pem"
		e.SSLCertCheckSum = "8f76fd501bb68ef71f4e276bc28f29bce1003b0c2c9d9478de81b5bfc0cde1e9"
	}
	cases := []struct {
		name, url string
		want      batch.Endpoint
		verify    probe.Verify
	}{
		{"all parts", "mysql://root:pw@db.example:3307/shop", base(func(e *batch.Endpoint) { e.DBPort, e.DBName = 3307, "shop" }), ""},
		{"default port", "MySQL://root:pw@db.example", base(func(*batch.Endpoint) {}), ""},
		{"postgres", "postgres://root:pw@db.example/", base(func(e *batch.Endpoint) { e.DBType, e.DBPort = "postgresql", 5432 }), ""},
		{"gaussdb", "gaussdb://root:pw@db.example", base(func(e *batch.Endpoint) { e.DBType, e.DBPort = "gaussdbv5", 8000 }), ""},
		{"oracle", "oracle://root:pw@db.example/ORCL", base(func(e *batch.Endpoint) { e.DBType, e.DBPort, e.DBName = "oracle", 1521, "ORCL" }), ""},
		{"IPv6", "mysql://root:pw@[2001:db8::1]", base(func(e *batch.Endpoint) { e.IP = "2001:db8::1" }), ""},
		{"IPv6 and port", "mysql://root:pw@[2001:db8::1]:3307", base(func(e *batch.Endpoint) { e.IP, e.DBPort = "2001:db8::1", 3307 }), ""},
		{"percent-encoding", "mysql://ro%40ot:p%3A%2F%40+%25@db.example/a%2Fb", base(func(e *batch.Endpoint) {
			e.User, e.Password, e.DBName = "ro@ot", secret.New("p:/@+%"), "a/b"
		}), ""},
		{"colons and at signs in the password", "mysql://root:p:w@x@db.example", base(func(e *batch.Endpoint) { e.Password = secret.New("p:w@x") }), ""},
		{"mongodb list", "mongodb://root:pw@a.example:27018,b.example,[::1]:9/admin", base(func(e *batch.Endpoint) {
			e.DBType, e.DBPort, e.DBName, e.IP = "mongodb", 0, "admin", "a.example:27018,b.example:27017,[::1]:9"
		}), ""},
		{"mongodb alone", "mongodb://root:pw@a.example", base(func(e *batch.Endpoint) { e.DBType, e.DBPort, e.IP = "mongodb", 0, "a.example:27017" }), ""},
		{"kafka in plain text", "kafka://a.example,b.example:9093", base(func(e *batch.Endpoint) {
			e.DBType, e.DBPort, e.IP, e.User, e.Password = "kafka", 0, "a.example:9092,b.example:9093", "", secret.Text{}
			e.Kafka = &probe.KafkaSecurity{Protocol: "PLAINTEXT"}
		}), ""},
		{"kafka with all", "kafka://root:pw@a.example?sasl=SCRAM-SHA-512&tls=full", base(func(e *batch.Endpoint) {
			e.DBType, e.DBPort, e.IP, e.SSLLink = "kafka", 0, "a.example:9092", true
			e.Kafka = &probe.KafkaSecurity{Protocol: "SASL_SSL", SASLMechanism: "SCRAM-SHA-512", EndpointAlgorithm: "https"}
		}), probe.VerifyFull},
		{"kafka with stores", "kafka://a.example?tls=ca&key_store=" + store + "&key_store_password_file=" + pw + "&key_password_file=" + pw, base(func(e *batch.Endpoint) {
			e.DBType, e.DBPort, e.IP, e.SSLLink, e.User, e.Password = "kafka", 0, "a.example:9092", true, "", secret.Text{}
			e.Kafka = &probe.KafkaSecurity{
				Protocol: "SSL", EnableKeyStore: true, KeyStoreName: "client.jks", KeyStore: secret.New("c3RvcmU="), KeyStorePassword: secret.New("from the file"),
				SetPrivateKeyPassword: true, PrivateKeyPassword: secret.New("from the file"),
			}
		}), probe.VerifyCA},
		{"a key means tls", "kafka://a.example?key_store=" + store, base(func(e *batch.Endpoint) {
			e.DBType, e.DBPort, e.IP, e.SSLLink, e.User, e.Password = "kafka", 0, "a.example:9092", true, "", secret.Text{}
			e.Kafka = &probe.KafkaSecurity{Protocol: "SSL", EnableKeyStore: true, KeyStoreName: "client.jks", KeyStore: secret.New("c3RvcmU=")}
		}), probe.VerifyCA},
		{"kafka with a delegation token", "kafka://root:pw@a.example?sasl=SCRAM-SHA-256&delegation_token=yes", base(func(e *batch.Endpoint) {
			e.DBType, e.DBPort, e.IP = "kafka", 0, "a.example:9092"
			e.Kafka = &probe.KafkaSecurity{Protocol: "SASL_PLAINTEXT", SASLMechanism: "SCRAM-SHA-256", DelegationTokens: true}
		}), ""},
		{"sqlserver", "sqlserver://root:pw@db.example/shop", base(func(e *batch.Endpoint) { e.DBType, e.DBPort, e.DBName = "sqlserver", 1433, "shop" }), ""},
		{"opengauss", "opengauss://root:pw@db.example/shop", base(func(e *batch.Endpoint) { e.DBType, e.DBPort, e.DBName = "gaussdbv5", 5432, "shop" }), ""},
		{"cassandra", "cassandra://root:pw@db.example/shop", base(func(e *batch.Endpoint) { e.DBType, e.DBPort, e.DBName = "cassandra", 9042, "shop" }), ""},
		{"cassandra list", "cassandra://root:pw@a.example,b.example:9043", base(func(e *batch.Endpoint) {
			e.DBType, e.DBPort, e.IP = "cassandra", 0, "a.example:9042,b.example:9043"
		}), ""},
		{"redis without a login", "redis://db.example/3", base(func(e *batch.Endpoint) {
			e.DBType, e.DBPort, e.DBName, e.User, e.Password = "redis", 6379, "3", "", secret.Text{}
		}), ""},
		{"redis with a password alone", "redis://:pw@db.example", base(func(e *batch.Endpoint) { e.DBType, e.DBPort, e.User = "redis", 6379, "" }), ""},
		{"rediss", "rediss://root:pw@db.example", base(func(e *batch.Endpoint) { e.DBType, e.DBPort, e.SSLLink = "redis", 6379, true }), probe.VerifyCA},
		{"rediss, stricter", "rediss://root:pw@db.example?tls=full", base(func(e *batch.Endpoint) { e.DBType, e.DBPort, e.SSLLink = "redis", 6379, true }), probe.VerifyFull},
		{"rediscluster", "rediscluster://root:pw@a.example,b.example:7000", base(func(e *batch.Endpoint) {
			e.DBType, e.DBPort, e.IP = "rediscluster", 0, "a.example:6379,b.example:7000"
		}), ""},
		{"gaussredis", "gaussredis://root:pw@db.example", base(func(e *batch.Endpoint) { e.DBType, e.DBPort = "gaussredis", 6379 }), ""},
		{"tls without an authority", "mysql://root:pw@db.example?tls=full", base(func(e *batch.Endpoint) { e.SSLLink = true }), probe.VerifyFull},
		{"no tls", "mysql://root:pw@db.example?tls=off&net=vpn", base(func(e *batch.Endpoint) { e.NetType = "vpn" }), ""},
		{"an authority means tls", "mysql://root:pw@db.example?ca=" + strings.ReplaceAll(ca, " ", "%20"), base(withCA), probe.VerifyCA},
		{"password from a file", "mysql://root@db.example?password_file=" + pw, base(func(e *batch.Endpoint) { e.Password = secret.New("from the file") }), ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, verify, err := endpointFromURL(c.url)
			if err != nil || verify != c.verify {
				t.Fatalf("endpointFromURL() = %q, %v, want %q", verify, err, c.verify)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("endpointFromURL() differs (-want +got):\n%s", diff)
			}
			if problems := urlProblems(got); len(problems) > 0 {
				t.Errorf("urlProblems() = %v, want none", problems)
			}
		})
	}
}

// What can be written is in the help and in the document.
func TestURLsAreExplained(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	help, page := (*testCommand)(nil).Help(), string(raw)
	for _, s := range schemes() {
		if !strings.Contains(help, s.name) || !strings.Contains(page, "`"+s.name+"`") {
			t.Errorf("the engine %s is not explained", s.name)
		}
	}
	for _, o := range urlOptionTable() {
		if !strings.Contains(help, o.name+"=") || !strings.Contains(page, "`"+o.name+"=") {
			t.Errorf("the option %s is not explained", o.name)
		}
	}
}

func TestURLMistakes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty, pw := filepath.Join(dir, "empty"), filepath.Join(dir, "pw")
	for path, text := range map[string]string{empty: "", pw: "secret"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Whatever is wrong, hunter2 may be a password.
	cases := []struct{ name, url, want string }{
		{"engine", "hunter2://root:hunter2@db", "its engine is not known"},
		{"no user", "mysql://hunter2.example", "user: it is mandatory"},
		{"no host", "mysql://root:hunter2@", "its host is not"},
		{"bad host", "mysql://root:pw@hunter2!", "host: it must be"},
		{"host with a space", "mysql://root:pw@hunter2 x", "host: it must be"},
		{"two hosts for one", "mysql://root:hunter2@a:1,b:2", "host: this database type takes one host"},
		{"port", "mysql://root:pw@db:hunter2", "its port is not a number"},
		{"port 0", "mysql://root:hunter2@db:0", "its port is not a number"},
		{"port too large", "mysql://root:hunter2@db:65536", "its port is not a number"},
		{"no port after the colon", "mysql://root:hunter2@db:", "its port is not a number"},
		{"IPv6 without brackets", "mysql://root:hunter2@2001:db8::1", "its host is not"},
		{"IPv6 with a zone", "mysql://root:hunter2@[fe80::1%25eth0]", "its host is not"},
		{"text behind the bracket", "mysql://root:hunter2@[::1]x", "its host is not"},
		{"bracket not closed", "mysql://root:hunter2@[::1", "its host is not"},
		{"slash in the password", "mysql://root:12/hunter2@db/shop", "percent-encode them"},
		{"question mark in the password", "mysql://root:12?hunter2@db", "percent-encode them"},
		{"hash in the password", "mysql://root:12#hunter2@db", "percent-encode them"},
		{"two slashes", "mysql://root:hunter2@db/a/b", "percent-encode them"},
		{"bad escape in the password", "mysql://root:hunter2%@db", "begins no percent-encoding"},
		{"bad escape in the database", "mysql://root:hunter2@db/%zz", "begins no percent-encoding"},
		{"bad escape in an option", "mysql://root:hunter2@db?ca=%zz", "begins no percent-encoding"},
		{"unknown option", "mysql://root:pw@db?hunter2=1", "an option that is none of"},
		{"driver option", "mysql://root:pw@db?allowAllFiles=true", "an option that is none of"},
		{"option twice", "mysql://root:hunter2@db?tls=ca&tls=off", "it gives tls twice"},
		{"tls", "mysql://root:pw@db?tls=hunter2", "tls must be one of off, none, ca, full"},
		{"net", "mysql://root:pw@db?net=hunter2", "net must be one of eip, vpn, vpc"},
		{"sasl", "kafka://root:pw@db?sasl=hunter2", "sasl must be one of"},
		{"sasl elsewhere", "mysql://root:pw@db?sasl=PLAIN", "which is for kafka only"},
		{"two hosts for redis", "redis://root:hunter2@a:1,b:2", "host: this database type takes one host"},
		{"sasl for nobody", "kafka://hunter2.example?sasl=PLAIN", "but not as whom"},
		{"token without SCRAM", "kafka://root:hunter2@db?delegation_token=yes", "delegation tokens need SASL with a SCRAM mechanism"},
		{"token", "kafka://root:pw@db?delegation_token=hunter2", "delegation_token must be one of yes, no"},
		{"key store elsewhere", "mysql://root:hunter2@db?key_store=" + pw, "key_store, which is for kafka only"},
		{"key store without tls", "kafka://hunter2.example?tls=off&key_store=" + pw, "tls is off"},
		{"no such key store", "kafka://db?key_store=hunter2", "option key_store: no such file"},
		{"password of no key", "kafka://hunter2.example?tls=ca&key_store_password_file=" + pw, "but no key_store"},
		{"key password of no key", "kafka://hunter2.example?tls=ca&key_password_file=" + pw, "but no key_store"},
		{"authority without tls", "mysql://root:pw@db?tls=off&ca=" + pw, "tls is off"},
		{"no such file", "mysql://root@db?password_file=hunter2", "option password_file: no such file"},
		{"empty file", "mysql://root@db?password_file=" + empty, "option password_file is empty"},
		{"two passwords", "mysql://root:hunter2@db?password_file=" + pw, "it gives a password and password_file"},
		{"oracle without a service", "oracle://root:hunter2@db", "database: it is the service name"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := call(t, "", nil, "test", c.url).want(t, exitUsage).hides(t, "hunter2")
			if !strings.Contains(got.stderr, "dialtone: argument 1: ") || !strings.Contains(got.stderr, c.want) {
				t.Errorf("stderr = %q, want argument 1: ... %q", got.stderr, c.want)
			}
			if got.stdout != "" {
				t.Errorf("stdout = %q, want nothing", got.stdout)
			}
		})
	}
}
