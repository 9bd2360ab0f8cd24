package config_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"dialtone/internal/config"
	"dialtone/internal/secret"
)

// canary is what no error may repeat.
const canary = "c4nary-of-a-v4lue"

// needed is the least that both processes must be told.
func needed() map[string]string {
	return map[string]string{
		"DIALTONE_POSTGRES_DSN": "postgres://localhost/dialtone",
		"DIALTONE_REDIS_URL":    "redis://localhost",
		"DIALTONE_KEYSET":       `{"primaryKeyId":1}`,
		"DIALTONE_AUTH_FILE":    "auth.yaml",
	}
}

// env is a getenv over needed and what is given; an empty value takes away.
func env(pairs ...string) func(string) string {
	values := needed()
	for i := 0; i+1 < len(pairs); i += 2 {
		values[pairs[i]] = pairs[i+1]
	}
	return func(name string) string { return values[name] }
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	api, err := config.ParseAPI(nil, env(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	wantAPI := config.API{
		Listener:    config.Listener{Listen: "127.0.0.1:8080"},
		AdminListen: "127.0.0.1:9101",
		Postgres: config.Postgres{
			PostgresDSN: secret.New("postgres://localhost/dialtone"), PostgresMaxConns: 16, PostgresConnectTimeout: 5 * time.Second,
		},
		Redis: config.Redis{RedisURL: secret.New("redis://localhost")},
		Keys:  config.Keys{Keyset: secret.New(`{"primaryKeyId":1}`)},
		Auth: config.Auth{
			AuthFile: "auth.yaml", KeystoneDomain: "Default", KeystoneTimeout: 5 * time.Second,
			KeystoneCacheTime: time.Minute, KeystoneRefuseTime: 5 * time.Second,
		},
		Requests: config.Requests{
			Jobs: "registered", JobCreationDelay: time.Second, MaxEntries: 10, BodyLimit: 16 << 20,
			BulkMax: 1000, Backlog: 1000, BulkBacklog: 10000,
			BodyMemory: 256 << 20, CallTimeout: 10 * time.Second, EventTimeout: 5 * time.Second, Streams: 64,
			RateLimit: 100, RateBurst: 400, ProjectRate: 200, ProjectBurst: 2000, TLSVerify: "ca", ShutdownGrace: 80 * time.Second,
		},
		Timeouts:  timeouts(),
		Telemetry: config.Telemetry{LogLevel: "info", LogFormat: "json", TraceRatio: 1},
	}
	if diff := cmp.Diff(wantAPI, api); diff != "" {
		t.Errorf("api (-want +got):\n%s", diff)
	}
	worker, err := config.ParseWorker(nil, env(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	wantWorker := config.Worker{
		AdminListen: "127.0.0.1:0",
		Postgres:    wantAPI.Postgres, Redis: wantAPI.Redis, Keys: wantAPI.Keys,
		Work: config.Work{
			WorkerNetworks: []string{"eip", "vpn", "vpc"}, WorkerConcurrency: 256, WorkerAttempts: 3, ShutdownGrace: 20 * time.Second,
		},
		Retention: config.Retention{Retention: 30 * 24 * time.Hour},
		Guard: config.Guard{
			LoginRefusals: 3, LoginWindow: 10 * time.Minute, LoginRepeatAfter: 30 * time.Second, EndpointProbes: 2, EndpointRest: 5 * time.Second,
		},
		Egress:    config.Egress{EgressMode: "enforce", EgressLocal: "deny", EgressDials: 4, EgressReadLimit: 1 << 20},
		Timeouts:  timeouts(),
		Telemetry: wantAPI.Telemetry,
	}
	if diff := cmp.Diff(wantWorker, worker); diff != "" {
		t.Errorf("worker (-want +got):\n%s", diff)
	}
}

func timeouts() config.Timeouts {
	return config.Timeouts{
		ConnectTimeout: 5 * time.Second, ProbeTimeout: 15 * time.Second, LeaseSlack: 2 * time.Second,
		TaskSlack: 5 * time.Second, Wait: time.Minute, AsyncTimeout: 15 * time.Minute,
	}
}

func TestFlagsWinOverEnvironment(t *testing.T) {
	t.Parallel()
	getenv := env("DIALTONE_CONNECT_TIMEOUT", "3s", "DIALTONE_EGRESS_OWN", "10.0.0.1:80,[fd00::1]:443", "DIALTONE_PPROF", "true")
	args := []string{"--connect-timeout=4s", "--worker-networks", "vpc-1,vpc-2", "--egress-read-limit=2MiB"}
	c, err := config.ParseWorker(args, getenv, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.ConnectTimeout, 4*time.Second; got != want {
		t.Errorf("ConnectTimeout = %s, want %s", got, want)
	}
	if diff := cmp.Diff([]string{"vpc-1", "vpc-2"}, c.WorkerNetworks); diff != "" {
		t.Errorf("WorkerNetworks (-want +got):\n%s", diff)
	}
	own := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("[fd00::1]:443")}
	if diff := cmp.Diff(own, c.EgressOwn, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("EgressOwn (-want +got):\n%s", diff)
	}
	if got, want := c.EgressReadLimit, config.Bytes(2<<20); got != want {
		t.Errorf("EgressReadLimit = %d, want %d", got, want)
	}
	if !c.Pprof {
		t.Error("Pprof = false, want the environment's true")
	}
}

// Not parallel: it sets the process's environment to see that nobody reads it.
func TestProcessEnvironmentIsNotRead(t *testing.T) {
	t.Setenv("DIALTONE_WAIT", "not a duration")
	t.Setenv("DIALTONE_MAX_ENTRIES", "7")
	c, err := config.ParseAPI(nil, env(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if c.MaxEntries != 10 {
		t.Errorf("MaxEntries = %d, want the default: getenv said nothing", c.MaxEntries)
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	type test struct {
		name string
		env  []string
		want []string // in the error, each on a line of its own
	}
	tests := []test{
		{"nothing is set", []string{
			"DIALTONE_POSTGRES_DSN", "", "DIALTONE_REDIS_URL", "", "DIALTONE_KEYSET", "", "DIALTONE_AUTH_FILE", "",
		}, []string{
			"DIALTONE_POSTGRES_DSN or DIALTONE_POSTGRES_DSN_FILE is required",
			"DIALTONE_REDIS_URL or DIALTONE_REDIS_URL_FILE is required",
			"DIALTONE_KEYSET or DIALTONE_KEYSET_FILE is required",
			"DIALTONE_AUTH_FILE or DIALTONE_KEYSTONE_URL is required",
		}},
		{"wrong types, and what hangs on others", []string{
			"DIALTONE_MAX_ENTRIES", "ten", "DIALTONE_BODY_LIMIT", "16 MB", "DIALTONE_LOG_LEVEL", "loud", "DIALTONE_TRACE_RATIO", "NaN",
			"DIALTONE_TLS_KEY_FILE", "k", "DIALTONE_LISTEN", "8080",
		}, []string{
			"DIALTONE_MAX_ENTRIES or --max-entries must be a whole number",
			"DIALTONE_BODY_LIMIT or --body-limit must be a number of bytes",
			"DIALTONE_LOG_LEVEL or --log-level must be one of debug, info, warn, error",
			"DIALTONE_TRACE_RATIO must be from 0 to 1",
			"DIALTONE_TLS_CERT_FILE and DIALTONE_TLS_KEY_FILE must be set together",
			"DIALTONE_LISTEN must be HOST:PORT",
		}},
		{"authorities without a certificate, networks that are none", []string{"DIALTONE_TLS_CLIENT_CA_FILE", "ca.pem", "DIALTONE_TRUSTED_PROXIES", "10.0.0.1"}, []string{
			"DIALTONE_TLS_CLIENT_CA_FILE means nothing without DIALTONE_TLS_CERT_FILE",
			"DIALTONE_TRUSTED_PROXIES or --trusted-proxies must be a list of networks such as 10.0.0.0/8, separated by commas",
		}},
		{"connect as long as probe", []string{"DIALTONE_CONNECT_TIMEOUT", "15s"}, []string{
			"DIALTONE_PROBE_TIMEOUT (15s) must be longer than DIALTONE_CONNECT_TIMEOUT (15s)",
		}},
		{"no lease beyond the probe", []string{"DIALTONE_LEASE_SLACK", "0s"}, []string{"DIALTONE_LEASE_SLACK must be at least 100ms"}},
		{"no task beyond the lease", []string{"DIALTONE_TASK_SLACK", "900ms"}, []string{"DIALTONE_TASK_SLACK must be at least 1s"}},
		{"wait as short as a task", []string{"DIALTONE_WAIT", "22s"}, []string{
			"DIALTONE_WAIT (22s) must be longer than DIALTONE_PROBE_TIMEOUT + DIALTONE_LEASE_SLACK + DIALTONE_TASK_SLACK (22s)",
		}},
		{"wait as long as the client", []string{"DIALTONE_WAIT", "105s", "DIALTONE_SHUTDOWN_GRACE", "130s"}, []string{
			"DIALTONE_WAIT (1m45s) must be shorter than 1m45s",
		}},
		{"async as short as a task", []string{"DIALTONE_ASYNC_TIMEOUT", "20s"}, []string{"DIALTONE_ASYNC_TIMEOUT (20s) must be longer than DIALTONE_PROBE_TIMEOUT"}},
		{"all limits upside down", []string{"DIALTONE_CONNECT_TIMEOUT", "1h", "DIALTONE_WAIT", "10s", "DIALTONE_LEASE_SLACK", "0s"}, []string{
			"DIALTONE_PROBE_TIMEOUT (15s) must be longer than DIALTONE_CONNECT_TIMEOUT (1h0m0s)",
			"DIALTONE_WAIT (10s) must be longer than DIALTONE_PROBE_TIMEOUT",
			"DIALTONE_LEASE_SLACK must be at least 100ms",
		}},
		{"grace too short", []string{"DIALTONE_SHUTDOWN_GRACE", "30s"}, []string{"DIALTONE_SHUTDOWN_GRACE (30s) must be longer than DIALTONE_WAIT (1m0s)"}},
		{"Keystone with nothing to ask as", []string{"DIALTONE_KEYSTONE_URL", "https://keystone/v3"}, []string{"DIALTONE_KEYSTONE_URL needs DIALTONE_KEYSTONE_TOKEN"}},
		{"Keystone with too much", []string{"DIALTONE_KEYSTONE_URL", "keystone", "DIALTONE_KEYSTONE_TOKEN", "t", "DIALTONE_KEYSTONE_USER", "u"}, []string{
			"DIALTONE_KEYSTONE_TOKEN excludes DIALTONE_KEYSTONE_USER",
			"DIALTONE_KEYSTONE_URL must be http(s)://HOST",
		}},
		{"Keystone user without Keystone", []string{"DIALTONE_KEYSTONE_USER", "u"}, []string{"mean nothing without DIALTONE_KEYSTONE_URL"}},
		{"headers for nobody", []string{"DIALTONE_OTLP_HEADERS", "a=b"}, []string{"DIALTONE_OTLP_HEADERS means nothing without DIALTONE_OTLP_ENDPOINT"}},
		{"rate", []string{"DIALTONE_RATE_LIMIT", "-1", "DIALTONE_RATE_BURST", "0"}, []string{"DIALTONE_RATE_LIMIT must be from 0", "DIALTONE_RATE_BURST must be at least 1"}},
		{"bounds", []string{
			"DIALTONE_BULK_MAX", "0", "DIALTONE_BACKLOG", "-1", "DIALTONE_BULK_BACKLOG", "-1", "DIALTONE_STREAMS", "0",
			"DIALTONE_CALL_TIMEOUT", "1ms", "DIALTONE_EVENT_TIMEOUT", "0s", "DIALTONE_BODY_MEMORY", "1MiB",
		}, []string{
			"DIALTONE_BULK_MAX must be at least 1", "DIALTONE_BACKLOG must be at least 0", "DIALTONE_BULK_BACKLOG must be at least 0",
			"DIALTONE_STREAMS must be at least 1", "DIALTONE_CALL_TIMEOUT must be at least 100ms", "DIALTONE_EVENT_TIMEOUT must be at least 100ms",
			"DIALTONE_BODY_MEMORY must be at least DIALTONE_BODY_LIMIT",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := config.ParseAPI(nil, env(tt.env...), io.Discard)
			checkProblems(t, err, tt.want)
		})
	}
	for _, tt := range []test{
		{"networks", []string{"DIALTONE_WORKER_NETWORKS", "eip,vpc-a:b,lan"}, []string{"network 2 is not", "network 3 is not"}},
		{"grace too short", []string{"DIALTONE_SHUTDOWN_GRACE", "15s"}, []string{"DIALTONE_SHUTDOWN_GRACE (15s) must be longer than DIALTONE_PROBE_TIMEOUT (15s)"}},
		{"an admin's authorities without a certificate", []string{"DIALTONE_ADMIN_TLS_CLIENT_CA_FILE", "ca.pem", "DIALTONE_ADMIN_TOKEN", "fifteen-letters"}, []string{
			"DIALTONE_ADMIN_TLS_CLIENT_CA_FILE means nothing without DIALTONE_ADMIN_TLS_CERT_FILE", "DIALTONE_ADMIN_TOKEN must have at least 16 characters",
		}},
		{"retention shorter than a key's life", []string{"DIALTONE_RETENTION", "23h"}, []string{"DIALTONE_RETENTION must be at least 24h"}},
		{"a KDC without a realm", []string{"DIALTONE_KERBEROS_KDC", "kdc.example,::1:x,a:b:c", "DIALTONE_KERBEROS_KEYTAB_FILE", "/k"}, []string{
			"DIALTONE_KERBEROS_REALM and DIALTONE_KERBEROS_KDC must be set together",
			"DIALTONE_KERBEROS_KEYTAB_FILE and DIALTONE_KERBEROS_SERVICE_HOST mean nothing without DIALTONE_KERBEROS_REALM",
			"DIALTONE_KERBEROS_KDC: address 2 is not HOST or HOST:PORT", "DIALTONE_KERBEROS_KDC: address 3 is not HOST or HOST:PORT",
		}},
		{"a principal as a realm", []string{"DIALTONE_KERBEROS_KDC", "kdc", "DIALTONE_KERBEROS_REALM", "user@REALM"}, []string{
			"DIALTONE_KERBEROS_REALM must be a name without @, / and spaces",
		}},
		{"local without a list", []string{"DIALTONE_EGRESS_LOCAL", "allow"}, []string{"DIALTONE_EGRESS_ALLOW_FILE names, which is not set"}},
		{"too little to work with", []string{
			"DIALTONE_WORKER_CONCURRENCY", "0", "DIALTONE_WORKER_ATTEMPTS", "0", "DIALTONE_EGRESS_DIALS", "0", "DIALTONE_EGRESS_READ_LIMIT", "1",
			"DIALTONE_EGRESS_OWN", "10.0.0.1",
		}, []string{
			"DIALTONE_WORKER_CONCURRENCY must be at least 1", "DIALTONE_WORKER_ATTEMPTS must be at least 1",
			"DIALTONE_EGRESS_DIALS must be at least 1", "DIALTONE_EGRESS_READ_LIMIT must be at least 64KiB",
			"DIALTONE_EGRESS_OWN or --egress-own must be a list of IP:PORT",
		}},
	} {
		t.Run("worker: "+tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := config.ParseWorker(nil, env(tt.env...), io.Discard)
			checkProblems(t, err, tt.want)
		})
	}
}

// checkProblems wants exactly the given problems, one line each.
func checkProblems(t *testing.T, err error, want []string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %d problems", len(want))
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(want) {
		t.Errorf("%d problems, want %d:\n%v", len(lines), len(want), err)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("problem %q is missing from:\n%v", w, err)
		}
	}
}

func TestSecretFromFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dsn := write("dsn", "postgres://from/file\r\n")
	c, err := config.ParseAPI(nil, env("DIALTONE_POSTGRES_DSN", "", "DIALTONE_POSTGRES_DSN_FILE", dsn), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.PostgresDSN.Reveal(), "postgres://from/file"; got != want {
		t.Errorf("PostgresDSN = %q, want %q", got, want)
	}
	for _, tt := range []struct {
		name, file, want string
	}{
		{"missing", filepath.Join(dir, canary), "DIALTONE_KEYSET_FILE: the file cannot be read: no such file"},
		{"empty", write("empty", "\n"), "DIALTONE_KEYSET_FILE: the file is empty"},
		{"large", write("large", strings.Repeat("x", 64<<10+1)), "DIALTONE_KEYSET_FILE: the file is larger"},
		{"a directory", dir, "DIALTONE_KEYSET_FILE: the file cannot be read: is a directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := config.ParseAPI(nil, env("DIALTONE_KEYSET", "", "DIALTONE_KEYSET_FILE", tt.file), io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), canary) {
				t.Errorf("the error repeats the file's name: %v", err)
			}
		})
	}
	t.Run("both", func(t *testing.T) {
		t.Parallel()
		_, err := config.ParseAPI(nil, env("DIALTONE_POSTGRES_DSN_FILE", dsn), io.Discard)
		if want := "DIALTONE_POSTGRES_DSN and DIALTONE_POSTGRES_DSN_FILE are both set"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want %q", err, want)
		}
	})
}

// TestNoValueInErrors puts a canary into every variable and every flag, alone
// and beside a fault elsewhere, and looks for it in what comes back.
func TestNoValueInErrors(t *testing.T) {
	t.Parallel()
	for _, v := range variables(t) {
		for _, name := range v.names() {
			for _, value := range []string{canary, "https://" + canary + "@x:1/?" + canary, canary + "," + canary} {
				_, errAPI := config.ParseAPI(nil, env(name, value, "DIALTONE_LEASE_SLACK", "0s"), io.Discard)
				_, errWorker := config.ParseWorker(nil, env(name, value, "DIALTONE_LEASE_SLACK", "0s"), io.Discard)
				for _, err := range []error{errAPI, errWorker} {
					if err == nil {
						t.Errorf("%s: no error, but DIALTONE_LEASE_SLACK is wrong in any case", name)
					} else if strings.Contains(err.Error(), canary) {
						t.Errorf("%s: the error repeats the value: %v", name, err)
					}
				}
			}
		}
		for _, args := range [][]string{
			{"--" + v.flag + "=" + canary, "--lease-slack=0s"},
			{"--" + v.flag, canary, "--lease-slack=0s"},
			{"--" + v.flag, "--" + v.flag + "=" + canary, "--lease-slack=0s"},
			{"--lease-slack=0s", canary, "--" + v.flag},
			{"-" + canary},
			{canary},
		} {
			_, errAPI := config.ParseAPI(args, env(), io.Discard)
			_, errWorker := config.ParseWorker(args, env(), io.Discard)
			for _, err := range []error{errAPI, errWorker} {
				if err == nil || strings.Contains(err.Error(), canary) {
					t.Errorf("%q: error = %v, want one without the value", args, err)
				}
			}
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	values := needed()
	for _, v := range variables(t) {
		if v.secret {
			values[v.name] = canary
		}
	}
	values["DIALTONE_KEYSTONE_TOKEN"] = "" // excludes user and password
	values["DIALTONE_KEYSTONE_URL"], values["DIALTONE_KEYSTONE_USER"] = "https://keystone", "dialtone"
	values["DIALTONE_OTLP_ENDPOINT"] = "http://collector:4318"
	c, err := config.ParseAPI(nil, func(name string) string { return values[name] }, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if text := fmt.Sprintf(verb, c); strings.Contains(text, canary) || strings.Contains(text, fmt.Sprintf("%x", canary)) {
			t.Errorf("%s of the configuration shows a secret", verb)
		}
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	var api, worker bytes.Buffer
	if _, err := config.ParseAPI([]string{"--help"}, env(), &api); !errors.Is(err, config.ErrHelp) {
		t.Errorf("ParseAPI(--help) = %v, want ErrHelp", err)
	}
	if _, err := config.ParseWorker([]string{"--help"}, env(), &worker); !errors.Is(err, config.ErrHelp) {
		t.Errorf("ParseWorker(--help) = %v, want ErrHelp", err)
	}
	for _, v := range variables(t) {
		for _, help := range []struct {
			of   string
			has  bool
			text string
		}{{"api", v.api, api.String()}, {"worker", v.worker, worker.String()}} {
			text := strings.Join(strings.Fields(help.text), " ") // undo the wrapping
			for _, name := range v.names() {
				if got := strings.Contains(text, "["+name+"]") || strings.Contains(text, "["+name+";") ||
					strings.Contains(text, "["+name+", ") || strings.Contains(text, ", "+name+"]"); got != help.has {
					t.Errorf("help of %s names %s: %t, want %t", help.of, name, got, help.has)
				}
			}
			if want := "default " + v.defaults[help.of] + "]"; help.has && v.defaults[help.of] != "" && !strings.Contains(text, want) {
				t.Errorf("help of %s lacks %q of %s", help.of, want, v.name)
			}
		}
	}
}

// TestCommands holds an Environment to what cmd/dialtone does with it: several
// commands, of which one runs, with variables of their own.
func TestCommands(t *testing.T) {
	t.Parallel()
	type commands struct {
		One struct {
			config.Postgres `embed:""`
			Times           int `env:"TIMES" default:"1"`
		} `cmd:""`
		Two struct {
			Level string `env:"LEVEL" default:"a" oneof:"a,b"`
		} `cmd:""`
	}
	parse := func(vars map[string]string, args ...string) (commands, error) {
		var c commands
		e := config.NewEnvironment(func(name string) string { return vars[name] })
		parser, err := kong.New(&c, append(e.Options(), kong.Name("x"), kong.Exit(func(int) {}), kong.Writers(io.Discard, io.Discard))...)
		if err != nil {
			t.Fatal(err)
		}
		_, err = parser.Parse(args)
		return c, e.Explain(err)
	}
	c, err := parse(map[string]string{"TIMES": "3", "DIALTONE_POSTGRES_DSN": "dsn", "LEVEL": "not of this command"}, "one")
	if err != nil {
		t.Fatal(err)
	}
	if c.One.Times != 3 || c.One.PostgresDSN.Reveal() != "dsn" {
		t.Errorf("one = %+v, want 3 times and the DSN", c.One)
	}
	if _, err = parse(map[string]string{"LEVEL": canary}, "two"); err == nil || err.Error() != "LEVEL or --level must be one of a, b" {
		t.Errorf("error = %v, want what LEVEL must be", err)
	}
	if _, err = parse(nil, "two", "--level=c"); err == nil || err.Error() != "LEVEL or --level must be one of a, b" {
		t.Errorf("error = %v, want what --level must be", err)
	}
	if _, err = parse(nil, canary); err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("error = %v, want one without the argument", err)
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Bytes{"0": 0, "65536": 65536, "2KiB": 2048, "16MiB": 16 << 20, "1 GiB": 1 << 30} {
		var b config.Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%q = %d, %v; want %d", text, b, err, want)
		}
	}
	for _, text := range []string{"", "-1", "1MB", "1.5MiB", "9223372036854775807KiB", "MiB"} {
		var b config.Bytes
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q = %d, want an error", text, b)
		}
	}
}

func TestKDC(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]netip.AddrPort{
		"192.0.2.1": netip.MustParseAddrPort("192.0.2.1:88"), "192.0.2.1:750": netip.MustParseAddrPort("192.0.2.1:750"),
		"2001:db8::1": netip.MustParseAddrPort("[2001:db8::1]:88"), "[2001:db8::1]": netip.MustParseAddrPort("[2001:db8::1]:88"),
		"[2001:db8::1]:750": netip.MustParseAddrPort("[2001:db8::1]:750"),
	} {
		host, port, err := config.KDC(text)
		if err != nil || host != want.Addr().String() || port != want.Port() {
			t.Errorf("KDC(%q) = %q, %d, %v; want %s", text, host, port, err, want)
		}
	}
	for _, text := range []string{"", ":88", "kdc:0", "kdc:kerberos", "kdc:70000", "a:b:c"} {
		if host, port, err := config.KDC(text); err == nil {
			t.Errorf("KDC(%q) = %q, %d; want an error", text, host, port)
		}
	}
}
