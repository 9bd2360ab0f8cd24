package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// allowList writes one and gives the environment that names it.
func allowList(t *testing.T, lines ...string) map[string]string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "allow-list")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"DIALTONE_EGRESS_ALLOW_FILE": path}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	env := allowList(t,
		"# destinations",
		"10.20.0.0/16 3306,5432-5440 vpc,vpn *",
		".db.example.com 3306 * p1",
		"127.0.0.1 7001 * *",
	)
	env["DIALTONE_EGRESS_LOCAL"] = "allow"
	env["DIALTONE_EGRESS_OWN"] = "10.20.0.1:5432"
	for _, tc := range []struct {
		args string
		code int
		want []string
	}{
		{"10.20.1.2:5433 --network vpc", exitOK, []string{"10.20.1.2:5433 from vpc for project 0123456789abcdef0123456789abcdef: allowed\n", "line 2: 10.20.0.0/16 3306,5432-5440 vpc,vpn *\n"}},
		{"10.20.1.2:22 --network vpc", exitFailed, []string{": denied (port)\n", "line 2: "}},
		{"10.20.1.2:3306 --network vpc-7", exitFailed, []string{": denied (private)\n", "no rule has it"}},
		{"10.20.0.1:5432 --network vpc", exitFailed, []string{": denied (own)\n", "no rule can allow that"}},
		{"[fe80::1]:5432", exitFailed, []string{": denied (link_local)\n"}},
		{"93.184.216.34:5432", exitOK, []string{": allowed\n", "public"}},
		{"a.db.example.com:3306 --network vpn --project p1", exitOK, []string{": depends\n", "a rule has the name", "line 3: .db.example.com 3306 * p1\n"}},
		{"a.db.example.com:3307 --network vpn --project p1", exitFailed, []string{": denied (port)\n"}},
		{"a.db.example.com:5432 --network vpn --project p2", exitOK, []string{": depends\n", "a rule has a range"}},
		{"localhost:7001 --lookup", exitOK, []string{": allowed\n", "  127.0.0.1: allowed\n", "line 4: 127.0.0.1/32 7001 * *\n"}},
		{"localhost:7002 --lookup", exitFailed, []string{": denied\n", "  127.0.0.1: denied (loopback)\n", "DIALTONE_EGRESS_LOCAL"}},
		{"10.20.1.2:22 --network vpc --egress-mode report", exitFailed, []string{": denied (port)\n", "the mode is report"}},
		{"169.254.169.254:80 --egress-mode report", exitFailed, []string{": denied (metadata)\n"}},
	} {
		t.Run(tc.args, func(t *testing.T) {
			t.Parallel()
			got := call(t, "", env, append([]string{"egress", "explain"}, strings.Fields(tc.args)...)...).want(t, tc.code)
			for _, part := range tc.want {
				if !strings.Contains(got.stdout, part) {
					t.Errorf("it does not say %q:\n%s", part, got.stdout)
				}
			}
			// Nothing is claimed about what is denied whatever the mode.
			if strings.Contains(tc.args, "169.254") && strings.Contains(got.stdout, "the mode is report") {
				t.Errorf("it says that the metadata service is dialled:\n%s", got.stdout)
			}
		})
	}
}

func TestExplainJSON(t *testing.T) {
	t.Parallel()
	env := allowList(t, "10.20.0.0/16 3306 vpc *")
	for args, want := range map[string]string{
		"10.20.1.2:3306 --network vpc --project p":    `{"destination":"10.20.1.2:3306","project":"p","network":"vpc","mode":"enforce","outcome":"allowed","basis":"rule","reason":"a rule has it","rule":{"line":1,"text":"10.20.0.0/16 3306 vpc *"}}`,
		"10.0.0.1:1 --project p --egress-mode report": `{"destination":"10.0.0.1:1","project":"p","network":"eip","mode":"report","outcome":"denied","class":"private","reported":true,"reason":"it is for private use, and no rule has it"}`,
	} {
		got := call(t, "", env, append([]string{"egress", "explain", "--json"}, strings.Fields(args)...)...)
		var flat strings.Builder
		if err := compactInto(&flat, got.stdout); err != nil || flat.String() != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", args, err, flat.String(), want)
		}
	}
	// The addresses of a name, each with its own outcome.
	var named explained
	got := call(t, "", env, "egress", "explain", "--json", "--lookup", "localhost:3306").want(t, exitFailed)
	if err := json.Unmarshal([]byte(got.stdout), &named); err != nil || len(named.Addresses) == 0 || named.Addresses[0].Class != "loopback" {
		t.Errorf("%v: %s", err, got.stdout)
	}
}

func compactInto(b *strings.Builder, text string) error {
	var raw json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return err
	}
	flat, err := json.Marshal(raw)
	b.Write(flat)
	return err
}

func TestExplainRefusesMistakes(t *testing.T) {
	t.Parallel()
	bad := allowList(t, "10.0.0.0/99 * * *")
	for name, tc := range map[string]struct {
		env  map[string]string
		args string
		want string
	}{
		"no port":         {nil, "10.0.0.1", "HOST:PORT"},
		"port zero":       {nil, "10.0.0.1:0", "the port"},
		"port as a word":  {nil, "10.0.0.1:mysql", "the port"},
		"unknown network": {nil, "10.0.0.1:1 --network internet", "--network"},
		"no name":         {nil, "127.1:1", "neither an address nor a name"},
		"faulty list":     {bad, "10.0.0.1:1", "line 1: "},
		"no such list":    {nil, "10.0.0.1:1 --egress-allow-file /nonexistent", "DIALTONE_EGRESS_ALLOW_FILE"},
	} {
		got := call(t, "", tc.env, append([]string{"egress", "explain"}, strings.Fields(tc.args)...)...).want(t, exitUsage)
		if !strings.Contains(got.stderr, tc.want) || got.stdout != "" {
			t.Errorf("%s: %q, want %q", name, got.stderr, tc.want)
		}
	}
	got := call(t, "", nil, "egress", "explain", "--lookup", "no-such-host.invalid:1").want(t, exitFailed)
	if !strings.Contains(got.stderr, "look up the name") {
		t.Errorf("a name that does not exist: %q", got.stderr)
	}
}
