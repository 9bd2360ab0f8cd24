package service_test

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/batch"
	"dialtone/internal/config"
	"dialtone/internal/egress"
	"dialtone/internal/secret"
	"dialtone/internal/service"
)

func TestOwnAddresses(t *testing.T) {
	t.Parallel()
	got := service.OwnAddresses(t.Context(), "127.0.0.1:5432", "[::1]:6379", "no-such-host.invalid:1", "no port")
	want := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:5432"), netip.MustParseAddrPort("[::1]:6379")}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("OwnAddresses (-want +got):\n%s", diff)
	}
}

func TestTheServersOfAQueueAreKnown(t *testing.T) {
	t.Parallel()
	cases := map[string][]string{
		"redis://u:p@10.0.0.1:6380/1":                 {"10.0.0.1:6380"},
		"rediss://cache.example":                      {"cache.example:6379"},
		"redis+sentinel://a:26380,b/master":           {"a:26380", "b:26379"},
		"redis+cluster://10.0.0.1:7000,10.0.0.2:7001": {"10.0.0.1:7000", "10.0.0.2:7001"},
	}
	for text, want := range cases {
		redis, err := service.OpenRedis(slog.New(slog.DiscardHandler), "test", config.Redis{RedisURL: secret.New(text)})
		if err != nil {
			t.Errorf("OpenRedis(%q) = %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, redis.Servers()); diff != "" {
			t.Errorf("servers of %q (-want +got):\n%s", text, diff)
		}
		_ = redis.Close()
	}
}

func TestOwnServersStayDeniedWhateverTheListSays(t *testing.T) {
	t.Parallel()
	list := filepath.Join(t.TempDir(), "allow")
	if err := os.WriteFile(list, []byte("10.0.0.0/8 1-65535 * *\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	store := netip.MustParseAddrPort("10.1.2.3:5432")
	var told []string
	policy, err := service.OpenPolicy(slog.New(slog.DiscardHandler),
		config.Egress{EgressAllowFile: list, EgressMode: "report", EgressLocal: "deny"}, []netip.AddrPort{store},
		func(project, class string, _ bool) { told = append(told, project+" "+class) })
	if err != nil {
		t.Fatal(err)
	}
	scope := egress.Scope{Project: "p", Network: "vpc"}
	if err := policy.CheckAddr(scope, store); err == nil {
		t.Error("our own store may be dialled")
	}
	if err := policy.CheckAddr(scope, netip.MustParseAddrPort("10.1.2.4:5432")); err != nil {
		t.Errorf("a listed address: %v", err)
	}
	if len(told) != 1 || told[0] != "p own" {
		t.Errorf("told of %v, want one denial of our own", told)
	}
}

func TestABadAllowListIsNamedByItsVariable(t *testing.T) {
	t.Parallel()
	_, err := service.OpenPolicy(slog.New(slog.DiscardHandler), config.Egress{EgressAllowFile: filepath.Join(t.TempDir(), "none")}, nil, nil)
	if err == nil || !cmp.Equal(err.Error()[:len("DIALTONE_EGRESS_ALLOW_FILE")], "DIALTONE_EGRESS_ALLOW_FILE") {
		t.Errorf("OpenPolicy = %v, want the variable named", err)
	}
}

func TestAKeytabIsReadAtTheStart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "keytab")
	k := config.Kerberos{KerberosRealm: "TEST.LOCAL", KerberosKDC: []string{"kdc.example"}, KerberosKeytabFile: file}
	for name, content := range map[string]*string{"missing": nil, "no keytab": new("password"), "truncated": new("\x05\x02\x00\x00\x00\x40ab")} {
		if content != nil {
			if err := os.WriteFile(file, []byte(*content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := service.Probers(false, k); err == nil || !strings.Contains(err.Error(), "DIALTONE_KERBEROS_KEYTAB_FILE") {
			t.Errorf("%s: Probers() error = %v, want one that names the variable", name, err)
		}
		_ = os.Remove(file)
	}
	k.KerberosKeytabFile = ""
	if list, err := service.Probers(false, k); err != nil || len(list) == 0 {
		t.Errorf("Probers() = %d probers, %v", len(list), err)
	}
}

func TestSettingsCarryEveryLimit(t *testing.T) {
	t.Parallel()
	limits := config.Timeouts{ProbeTimeout: 4 * time.Second, LeaseSlack: time.Second, TaskSlack: 2 * time.Second, Wait: 30 * time.Second, AsyncTimeout: time.Hour}
	api := service.APISettings("api-1", config.Requests{
		Jobs: "any", MaxEntries: 7, BodyLimit: 99, RateLimit: 0, RateBurst: 3, TLSVerify: "full",
		BulkMax: 70, BulkBacklog: 700, BodyMemory: 999, CallTimeout: time.Minute, EventTimeout: time.Hour, Streams: 5,
	}, limits)
	if diff := cmp.Diff(map[batch.Lane]int{batch.Bulk: 700}, api.Submit.Backlog); diff != "" {
		t.Errorf("backlog, of which 0 means no limit (-want +got):\n%s", diff)
	}
	if a := api.API; a.BulkEntries != 70 || a.BodyMemory != 999 || a.CallTimeout != time.Minute || a.EventTimeout != time.Hour || a.Streams != 5 {
		t.Errorf("APISettings() = %+v", a)
	}
	if api.API.RequestsPerSecond >= 0 || api.Submit.ProbesPerSecond >= 0 {
		t.Errorf("rates %v, %v: 0 must mean no limit", api.API.RequestsPerSecond, api.Submit.ProbesPerSecond)
	}
	if !api.Submit.AnyJob || api.Submit.Timeout != limits.Wait || api.Submit.BulkTimeout != time.Hour || api.Submit.ReplyTo != "api-1" ||
		api.API.MaxEntries != 7 || api.API.MaxBody != 99 || api.API.Wait != limits.Wait || api.Submit.Verify != "full" {
		t.Errorf("APISettings() = %+v", api)
	}
	worker := service.WorkerSettings("w-1", config.Work{WorkerNetworks: []string{"eip"}, WorkerConcurrency: 9, WorkerAttempts: 2},
		config.Retention{Retention: 48 * time.Hour}, config.Guard{LoginRefusals: 5, LoginWindow: time.Hour, EndpointProbes: 4}, limits)
	if worker.Janitor.Retention != 48*time.Hour {
		t.Errorf("retention %v", worker.Janitor.Retention)
	}
	if worker.Producer != api.Producer || worker.Producer.TaskTimeout != limits.Task() {
		t.Errorf("task time-outs %v and %v, want both %v", worker.Producer, api.Producer, limits.Task())
	}
	if worker.Worker.MaxProbes != 2 || worker.Relay.MaxProbes != 2 || worker.Queue.Concurrency != 9 || worker.Worker.LeaseSlack != time.Second {
		t.Errorf("WorkerSettings() = %+v", worker)
	}
	guard := batch.Limits{EndpointProbes: 4, Refusals: 5, RefusalWindow: time.Hour, RepeatAfter: -1}
	if worker.Worker.Limits != guard || worker.Worker.Rest != -1 {
		t.Errorf("limits %+v, rest %v; want %+v, and no rest", worker.Worker.Limits, worker.Worker.Rest, guard)
	}
}
