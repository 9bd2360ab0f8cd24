package api_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/api"
	"dialtone/internal/auth"
)

// audited are the audit lines of a kind, without what changes from run to run.
func audited(t *testing.T, log, kind string) (lines []map[string]any) {
	t.Helper()
	for text := range strings.Lines(log) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("a log line is no JSON: %s", text)
		}
		if line["audit"] != kind {
			continue
		}
		for _, field := range []string{"time", "request", "batch"} {
			if value, there := line[field]; there && value == "" {
				t.Errorf("%s is empty in %s", field, text)
			}
			delete(line, field)
		}
		lines = append(lines, line)
	}
	return lines
}

// same holds lines against the fields that docs/operations.md lists.
func (b *bench) same(t *testing.T, kind string, want ...map[string]any) {
	t.Helper()
	for _, w := range want {
		w["level"], w["audit"], w["client"] = "INFO", kind, "127.0.0.1"
	}
	if diff := cmp.Diff(want, audited(t, b.log.String(), kind)); diff != "" {
		t.Errorf("audit lines of the kind %s (-want +got):\n%s", kind, diff)
	}
}

func TestAuditOfARequest(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	body := strings.ReplaceAll(testdata(t, "sdk.body"), `p<a>&ss\"word`, marker)
	if r := b.do(t, ask{path: connection, body: body}); r.status != http.StatusOK {
		t.Fatal(string(r.body))
	}
	requested := func(entry float64, engine, address string, port float64) map[string]any {
		return map[string]any{
			"msg": "test requested", "project": project, "caller": "ci", "method": "token", "lane": "interactive", "force": false,
			"entry": entry, "object": 0.0, "job": jobID, "engine": engine, "address": address, "port": port, "network": "eip",
		}
	}
	b.same(t, "request", requested(0, "mysql", "192.168.0.27", 3306), requested(1, "kafka", "192.168.0.40:9092,192.168.0.41:9092", 0))
	for _, no := range []string{marker, token} {
		if strings.Contains(b.log.String(), no) {
			t.Error("a secret is in the log")
		}
	}
}

// TestAuditOfRefusals: whoever is refused is named as far as that is known, with
// the reason, and without a word of what was sent.
func TestAuditOfRefusals(t *testing.T) {
	t.Parallel()
	const read = "{project}/batch-connections/0199d0c5-5b30-7d10-8e32-000000000000"
	refused := func(more map[string]any) map[string]any {
		all := map[string]any{
			"msg": "request refused", "project": "", "caller": "", "method": "", "verb": "POST",
			"route": "/v3/:project_id/jobs/batch-connection", "asked_project": project,
		}
		maps.Copy(all, more)
		return all
	}
	known := map[string]any{"project": project, "caller": "ci", "method": "token"}
	with := func(more, also map[string]any) map[string]any {
		maps.Copy(more, also)
		return refused(more)
	}
	for name, tt := range map[string]struct {
		ask  ask
		err  error
		want map[string]any
	}{
		"no credential": {
			ask{path: connection, body: marker, header: map[string]string{"X-Auth-Token": ""}},
			nil,
			refused(map[string]any{"status": 401.0, "error_code": "APIGW.0301", "reason": "no_credential"}),
		},
		"a bad token": {
			ask{path: connection, body: marker, header: map[string]string{"X-Auth-Token": marker}},
			nil,
			refused(map[string]any{"status": 401.0, "error_code": "APIGW.0301", "reason": "bad_token"}),
		},
		"another project": {
			ask{path: connection, body: `{"jobs":[]}`},
			&auth.Error{Kind: auth.ProjectMismatch},
			refused(map[string]any{"status": 403.0, "error_code": "DRS.M00261", "reason": "project_mismatch"}),
		},
		"a reader who tests": {
			ask{path: connection, body: `{"jobs":[]}`, header: map[string]string{"X-Auth-Token": "reader"}},
			nil,
			with(map[string]any{"status": 403.0, "error_code": "DRS.M00102"}, known),
		},
		"a bad body": {
			ask{path: connection, body: `{"jobs":"` + marker + `"}`},
			nil,
			with(map[string]any{"status": 400.0, "error_code": "DRS.M00202"}, known),
		},
		"a batch of nobody's, or of another project": {
			ask{method: http.MethodGet, path: read},
			nil,
			with(map[string]any{
				"status": 404.0, "error_code": "DRS.M05003", "verb": "GET", "route": "/v3/:project_id/batch-connections/:batch_id",
				"asked_batch": "0199d0c5-5b30-7d10-8e32-000000000000",
			}, known),
		},
		"what is no id": {
			ask{method: http.MethodGet, path: "{project}/batch-connections/" + marker},
			nil,
			with(map[string]any{
				"status": 404.0, "error_code": "DRS.M05003", "verb": "GET", "route": "/v3/:project_id/batch-connections/:batch_id",
				"asked_batch": "malformed",
			}, known),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, api.Config{})
			b.gate.mu.Lock()
			b.gate.err = tt.err
			b.gate.mu.Unlock()
			tt.ask.odd = true
			if r := b.do(t, tt.ask); float64(r.status) != tt.want["status"] {
				t.Fatalf("%d %s", r.status, r.body)
			}
			b.same(t, "refused", tt.want)
			if strings.Contains(b.log.String(), marker) {
				t.Error("what was sent is in the log")
			}
			if n := len(audited(t, b.log.String(), "request")); n > 0 {
				t.Errorf("%d tests are said to be requested", n)
			}
		})
	}
}

// TestAuditLeavesOutWhatConcernsNobody: a route that is none, a caller who hung
// up, trouble of our own.
func TestAuditLeavesOutWhatConcernsNobody(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	b.do(t, ask{method: http.MethodGet, path: "/nowhere", odd: true})
	b.broken["read"] = true
	b.do(t, ask{method: http.MethodGet, path: "{project}/batch-connections", odd: true})
	b.same(t, "refused")
}

func TestAuditOfCancelRepeatAndJobs(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	body := testdata(t, "sdk.body")
	key := map[string]string{"Idempotency-Key": "once"}
	var id string
	for range 2 {
		r := b.do(t, ask{path: connection, body: body, header: key})
		if r.status != http.StatusOK {
			t.Fatal(string(r.body))
		}
		id = r.header.Get("X-Batch-Id")
	}
	b.same(t, "repeat", map[string]any{"msg": "request repeated", "project": project, "caller": "ci", "method": "token"})
	if r := b.do(t, ask{path: "{project}/batch-connections/" + id + "/cancel"}); r.status != http.StatusOK {
		t.Fatal(string(r.body))
	}
	b.same(t, "cancel", map[string]any{"msg": "batch cancelled", "project": project, "caller": "ci", "method": "token"})
	if n := len(audited(t, b.log.String(), "request")); n != 2 {
		t.Errorf("%d tests requested, want 2: the repeat asked for none", n)
	}
	made := b.create(t, creationOf("DRS-1"))
	b.same(t, "job", map[string]any{
		"msg": "job created", "project": project, "caller": "ci", "method": "token", "job": made.Results[0].ID, "action": "create",
	})
}

// TestClientAddress: X-Forwarded-For counts where a proxy of ours has written it,
// and only as far back as that.
func TestClientAddress(t *testing.T) {
	t.Parallel()
	local := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	for name, tt := range map[string]struct {
		proxies   []netip.Prefix
		forwarded string
		want      string
	}{
		"nobody is trusted":                {nil, "192.0.2.1", "127.0.0.1"},
		"no header":                        {local, "", "127.0.0.1"},
		"one proxy":                        {local, "192.0.2.1", "192.0.2.1"},
		"two proxies":                      {local, "192.0.2.1, 10.0.0.7", "192.0.2.1"},
		"what the caller wrote before":     {local, "203.0.113.9, 192.0.2.1, 10.0.0.7", "192.0.2.1"},
		"with a port":                      {local, "192.0.2.1:4711", "192.0.2.1"},
		"IPv6":                             {local, "[2001:db8::1]:4711, 10.0.0.7", "2001:db8::1"},
		"IPv6 without a port":              {local, "2001:db8::1", "2001:db8::1"},
		"rubbish from the caller":          {local, marker + ", 192.0.2.1", "192.0.2.1"},
		"rubbish from a proxy":             {local, "192.0.2.1, unknown, 10.0.0.7", "10.0.0.7"},
		"all of them are proxies":          {local, "10.0.0.9, 10.0.0.7", "10.0.0.9"},
		"a proxy that is not among ours":   {local[1:], "192.0.2.1", "127.0.0.1"},
		"mapped into IPv6":                 {local, "::ffff:192.0.2.1", "192.0.2.1"},
		"a zone, which is nobody's affair": {local, "fe80::1%eth0", "fe80::1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, api.Config{Proxies: tt.proxies})
			header := map[string]string{}
			if tt.forwarded != "" {
				header["X-Forwarded-For"] = tt.forwarded
			}
			if r := b.do(t, ask{path: connection, body: testdata(t, "sdk.body"), header: header}); r.status != http.StatusOK {
				t.Fatal(string(r.body))
			}
			if lines := audited(t, b.log.String(), "request"); len(lines) != 2 || lines[0]["client"] != tt.want || lines[1]["client"] != tt.want {
				t.Errorf("client is %v, want %s", lines, tt.want)
			}
			if strings.Contains(b.log.String(), marker) {
				t.Error("a header is in the log")
			}
		})
	}
}
