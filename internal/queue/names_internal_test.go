package queue

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/batch"
	"dialtone/internal/secret"
)

func TestName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, network, want string
		lane                batch.Lane
	}{
		{"interactive", "eip", "interactive:eip", batch.Interactive},
		{"bulk of one vpc", "vpc-0a1b.C_d", "bulk:vpc-0a1b.C_d", batch.Bulk},
		{"no network", "", "", batch.Bulk},
		{"a hash tag would end", "a}b", "", batch.Bulk},
		{"colon", "a:b", "", batch.Bulk},
		{"white space", "a b", "", batch.Bulk},
		{"too long", strings.Repeat("x", 129), "", batch.Bulk},
		{"unknown lane", "eip", "", batch.Lane("slow")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := Name(c.lane, c.network)
			if got != c.want || (err == nil) != (c.want != "") {
				t.Fatalf("Name(%q, %q) = %q, %v, want %q", c.lane, c.network, got, err, c.want)
			}
			if err != nil {
				return
			}
			lane, network, ok := parseName(got)
			if !ok || lane != c.lane || network != c.network {
				t.Errorf("parseName(%q) = %q, %q, %v", got, lane, network, ok)
			}
		})
	}
}

func TestParseTask(t *testing.T) {
	t.Parallel()
	want := batch.Task{TestID: "0192-af", Attempt: 12, Lane: batch.Bulk, Network: "vpn"}
	got, err := parseTask("bulk:vpn", []byte(taskID(want)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("task (-want +got):\n%s", diff)
	}
	for _, c := range []struct{ name, queue, payload string }{
		{"foreign queue", "default", "a:1"},
		{"no attempt", "bulk:vpn", "a"},
		{"no test", "bulk:vpn", ":1"},
		{"attempt zero", "bulk:vpn", "a:0"},
		{"something else", "bulk:vpn", `{"to":"x"}`},
		{"nothing", "bulk:vpn", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got, err := parseTask(c.queue, []byte(c.payload)); err == nil {
				t.Errorf("parseTask(%q, %q) = %v, want an error", c.queue, c.payload, got)
			}
		})
	}
}

func TestParseURL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, url string
		want      place
	}{
		{"plain", "redis://localhost", place{addrs: []string{"localhost:6379"}}},
		{"all of it", "rediss://u%40x:p%3A%40%3F@h:1/3", place{tls: true, addrs: []string{"h:1"}, username: "u@x", password: secret.New("p:@?"), db: 3}},
		{"password alone", "redis://:p@h/", place{addrs: []string{"h:6379"}, password: secret.New("p")}},
		{"IPv6", "redis://[::1]:7/0", place{addrs: []string{"[::1]:7"}}},
		{"IPv6 without port", "redis://[::1]", place{addrs: []string{"[::1]:6379"}}},
		{
			"sentinels", "rediss+sentinel://u:p@a,b:2/main/4",
			place{sentinel: true, tls: true, addrs: []string{"a:26379", "b:2"}, username: "u", password: secret.New("p"), master: "main", db: 4},
		},
		{"cluster", "redis+cluster://a:1,b:2,c", place{cluster: true, addrs: []string{"a:1", "b:2", "c:6379"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := parseURL(secret.New(c.url))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(place{})); diff != "" {
				t.Errorf("parseURL (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseURLRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, url string }{
		{"empty", ""},
		{"no scheme", "hush:6379"},
		{"other scheme", "http://u:hush@h"},
		{"other kind", "redis+ring://u:hush@h"},
		{"no host", "redis://u:hush@"},
		{"port not a number", "redis://u:hush@h:x"},
		{"port zero", "redis://u:hush@h:0"},
		{"port too high", "redis://u:hush@h:65536"},
		{"IPv6 without brackets", "redis://u:hush@::1:6379"},
		{"two hosts of one Redis", "redis://u:hush@a,b"},
		{"a host missing in a list", "redis+cluster://u:hush@a,,b"},
		{"database not a number", "redis://u:hush@h/hush"},
		{"database negative", "redis://u:hush@h/-1"},
		{"long path", "redis://u:hush@h/1/hush"},
		{"sentinels without master", "redis+sentinel://u:hush@a"},
		{"cluster with database", "redis+cluster://u:hush@a/1"},
		{"options", "redis://u:hush@h?password=hush"},
		{"hash in a password", "redis://u:hush#@h"},
		{"bad escape", "redis://u:%zzhush@h"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := parseURL(secret.New(c.url))
			if err == nil {
				t.Fatal("no error")
			}
			if strings.Contains(err.Error(), "hush") {
				t.Errorf("the error shows the URL: %v", err)
			}
		})
	}
}
