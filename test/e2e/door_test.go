package e2e_test

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"dialtone/test/system"
)

// scopeTail is what a scope has behind its day.
const scopeTail = "/eu-west-101/drs"

// signAs signs a request by a variant, made at a time, and takes its token away.
func signAs(t *testing.T, r *http.Request, variant, body, sk string, at time.Time) {
	t.Helper()
	const names = "content-type;host;x-sdk-date"
	sum := func(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	date := at.UTC().Format("20060102T150405Z")
	r.Header.Del("X-Auth-Token")
	r.Header.Set("X-Sdk-Date", date)
	r.Header.Set("Content-Type", "application/json")
	canonical := sum(strings.Join([]string{
		r.Method, strings.TrimSuffix(r.URL.Path, "/") + "/", "",
		"content-type:application/json\nhost:" + r.Host + "\nx-sdk-date:" + date + "\n", names, sum(body),
	}, "\n"))
	scope := date[:8] + scopeTail
	var head string
	var signature []byte
	switch variant {
	case "plain":
		head = "SDK-HMAC-SHA256 Access=" + system.AccessKey
		signature = mac([]byte(sk), "SDK-HMAC-SHA256\n"+date+"\n"+canonical)
	case "derived":
		head = "V11-HMAC-SHA256 Credential=" + system.AccessKey + "/" + scope
		key, err := hkdf.Key(sha256.New, []byte(sk), []byte(system.AccessKey), scope, sha256.Size)
		if err != nil {
			t.Fatal(err)
		}
		signature = mac(fmt.Appendf(nil, "%x", key), "V11-HMAC-SHA256\n"+date+"\n"+scope+"\n"+canonical)
	case "scoped":
		scope += "/sdk_request"
		head = "SDK-HMAC-SHA256 Credential=" + system.AccessKey + "/" + scope
		key := mac(mac(mac(mac([]byte("SDK"+sk), date[:8]), "eu-west-101"), "drs"), "sdk_request")
		signature = mac(key, "SDK-HMAC-SHA256\n"+date+"\n"+scope+"\n"+canonical)
	}
	r.Header.Set("Authorization", fmt.Sprintf("%s, SignedHeaders=%s, Signature=%x", head, names, signature))
}

// TestDoorSignatures: by each variant the true request is let in, and none that
// is not quite it.
func TestDoorSignatures(t *testing.T) {
	t.Parallel()
	s := system.Prepare(t, system.Options{})
	s.StartAPI()
	const path, body = "/jobs/batch-status", `{"jobs":["some-job"]}`
	variants := []string{"plain", "derived", "scoped"}
	heads := map[string]string{
		"plain":   "SDK-HMAC-SHA256 Access=" + system.AccessKey,
		"derived": "V11-HMAC-SHA256 Credential=" + system.AccessKey + "/{day}" + scopeTail,
		"scoped":  "SDK-HMAC-SHA256 Credential=" + system.AccessKey + "/{day}" + scopeTail + "/sdk_request",
	}
	type attack struct {
		name    string
		project string // of the path; default: the key's
		sent    string // instead of the body that was signed
		sk      string
		age     time.Duration
		change  func(r *http.Request)
		status  int
		code    string
	}
	attacks := []attack{
		{name: "the true request", status: http.StatusOK},
		{name: "played again within the window", age: 14 * time.Minute, status: http.StatusOK},
		{name: "played again after the window", age: 16 * time.Minute},
		{name: "from the future", age: -16 * time.Minute},
		{name: "played again with a new date", age: 16 * time.Minute, change: func(r *http.Request) {
			r.Header.Set("X-Sdk-Date", time.Now().UTC().Format("20060102T150405Z"))
		}},
		{name: "another body", sent: `{"jobs":["another-job"]}`},
		{name: "a body with a space more", sent: body + " "},
		{name: "no body", sent: "{}"},
		{name: "another key", sk: "SKe2e0000000000000000000000000000000002"},
		{name: "another call", change: func(r *http.Request) { r.URL.Path = strings.Replace(r.URL.Path, "batch-status", "batch-detail", 1) }},
		{name: "another method", change: func(r *http.Request) {
			r.Method, r.URL.Path = http.MethodPut, strings.Replace(r.URL.Path, "batch-status", "batch-modification", 1)
		}},
		{name: "another host", change: func(r *http.Request) { r.Host = "dialtone.example" }},
		{name: "a query that was not signed", change: func(r *http.Request) { r.URL.RawQuery = "a=1" }},
		{name: "an unknown access key", change: func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), system.AccessKey, "AKE2E0000000000000002", 1))
		}},
		{name: "no signature behind the name", change: func(r *http.Request) {
			r.Header.Set("Authorization", r.Header.Get("Authorization")[:len(r.Header.Get("Authorization"))-64])
		}},
		{name: "a wrong signature beside a good token", sent: "{}", change: func(r *http.Request) { r.Header.Set("X-Auth-Token", system.Token) }},
		{name: "a header that is signed by name only", change: func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "content-type;host", "host", 1))
		}},
		{name: "truly signed for another project", project: system.OtherProject, status: http.StatusForbidden, code: "DRS.M00261"},
		{name: "another project's id in a header", change: func(r *http.Request) { r.Header.Set("X-Project-Id", system.OtherProject) }, status: http.StatusForbidden, code: "DRS.M00261"},
	}
	for _, other := range variants {
		attacks = append(attacks, attack{name: "said to be " + other, change: func(r *http.Request) {
			_, tail, _ := strings.Cut(r.Header.Get("Authorization"), ", ")
			r.Header.Set("Authorization", strings.Replace(heads[other], "{day}", r.Header.Get("X-Sdk-Date")[:8], 1)+", "+tail)
		}})
	}
	for _, algorithm := range []string{"SDK-HMAC-SHA1", "SDK-HMAC-SM3", "V11-HMAC-SM3", "SDK-NONE"} {
		attacks = append(attacks, attack{name: "by " + algorithm, change: func(r *http.Request) {
			_, tail, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			r.Header.Set("Authorization", algorithm+" "+tail)
		}})
	}
	for _, variant := range variants {
		for _, tt := range attacks {
			t.Run(variant+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				sent, sk := body, system.SecretKey
				if tt.sent != "" {
					sent = tt.sent
				}
				if tt.sk != "" {
					sk = tt.sk
				}
				r, err := s.HTTP(t.Context(), system.Request{Method: http.MethodPost, Path: path, Project: tt.project, Body: []byte(sent)})
				if err != nil {
					t.Fatal(err)
				}
				signAs(t, r, variant, body, sk, time.Now().Add(-tt.age))
				if tt.change != nil {
					tt.change(r)
				}
				a, err := s.SendHTTP(t.Context(), r, true)
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case tt.status == http.StatusOK || tt.name == "said to be "+variant:
					if a.Status != http.StatusOK {
						t.Errorf("the true request: %d %s", a.Status, a.Body)
					}
				case tt.status != 0:
					refused(t, a, tt.status, tt.code)
				default:
					refused(t, a, http.StatusUnauthorized, "APIGW.0301")
				}
			})
		}
	}
}

// TestDoorTokens: what a token without the project, or with a role that may
// only read, or none of ours, cannot do; and what no token finds by guessing.
func TestDoorTokens(t *testing.T) {
	t.Parallel()
	s := system.Prepare(t, system.Options{Env: []string{"DIALTONE_JOBS=any"}})
	const reader, expired = "e2e-token-that-may-only-read", "e2e-token-whose-time-is-over"
	old, err := os.ReadFile(s.AuthFile)
	if err != nil {
		t.Fatal(err)
	}
	more := fmt.Sprintf("  - {name: reader, sha256: %s, projects: [%q], roles: [reader]}\n  - {name: expired, sha256: %s, projects: [%q], roles: [drs_adm], expires: 2026-01-01T00:00:00Z}\naccess_keys:",
		system.HashToken(reader), system.Project, system.HashToken(expired), system.Project)
	if err := os.WriteFile(s.AuthFile, []byte(strings.Replace(string(old), "access_keys:", more, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.StartAPI()
	entry := system.Entry{"id": "j", "net_type": "eip", "db_type": "mysql", "ip": "192.0.2.1", "db_port": 1, "db_user": "u", "db_password": "p"}
	body := map[string]any{"jobs": []system.Entry{entry}}
	a := s.Must(http.MethodPost, "/jobs/batch-connection", body, "Prefer", "respond-async")
	if a.Status != http.StatusAccepted {
		t.Fatalf("a batch to look for: %d %s", a.Status, a.Body)
	}
	id := a.Header.Get("X-Batch-Id")
	near := id[:len(id)-1] + string("0123456789abcdef"[(strings.IndexByte("0123456789abcdef", id[len(id)-1])+1)%16])
	job := map[string]any{"jobs": []string{"some-job"}}
	for _, tt := range []struct {
		name, token, project, method, path string
		body                               any
		status                             int
		code                               string
	}{
		{"its owner", system.Token, "", "GET", "/batch-connections/" + id, nil, 200, ""},
		{"the next id", system.Token, "", "GET", "/batch-connections/" + near, nil, 404, "DRS.M05003"},
		{"the events of the next id", system.Token, "", "GET", "/batch-connections/" + near + "/events", nil, 404, "DRS.M05003"},
		{"an end to the next id", system.Token, "", "POST", "/batch-connections/" + near + "/cancel", nil, 404, "DRS.M05003"},
		{"another project's batch", system.OtherToken, system.OtherProject, "GET", "/batch-connections/" + id, nil, 404, "DRS.M05003"},
		{"another project's events", system.OtherToken, system.OtherProject, "GET", "/batch-connections/" + id + "/events", nil, 404, "DRS.M05003"},
		{"an end to another project's batch", system.OtherToken, system.OtherProject, "POST", "/batch-connections/" + id + "/cancel", nil, 404, "DRS.M05003"},
		{"by the path of another project", system.OtherToken, "", "GET", "/batch-connections/" + id, nil, 403, "DRS.M00261"},
		{"the list of another project", system.OtherToken, "", "GET", "/batch-connections", nil, 403, "DRS.M00261"},
		{"a test for another project", system.OtherToken, "", "POST", "/jobs/batch-connection", body, 403, "DRS.M00261"},
		{"no token", "", "", "GET", "/batch-connections/" + id, nil, 401, "APIGW.0301"},
		{"a guessed token", "e2e-token-that-is-long-enougi", "", "GET", "/batch-connections/" + id, nil, 401, "APIGW.0301"},
		{"the hash in place of the token", system.HashToken(system.Token), "", "GET", "/batch-connections", nil, 401, "APIGW.0301"},
		{"a token whose time is over", expired, "", "GET", "/batch-connections", nil, 401, "APIGW.0301"},
		{"who may read reads", reader, "", "GET", "/batch-connections/" + id, nil, 200, ""},
		{"who may read asks", reader, "", "POST", "/jobs/batch-status", job, 200, ""},
		{"who may read tests", reader, "", "POST", "/jobs/batch-connection", body, 403, "DRS.M00102"},
		{"who may read cancels", reader, "", "POST", "/batch-connections/" + id + "/cancel", nil, 403, "DRS.M00102"},
		{"who may read mirrors a job", reader, "", "PUT", "/jobs/some-job/state", map[string]string{"status": "CONFIGURATION"}, 403, "DRS.M00102"},
		{"who may read deletes", reader, "", "DELETE", "/jobs/batch-jobs", map[string]any{"jobs": []map[string]string{{"job_id": "j", "delete_type": "delete"}}}, 403, "DRS.M00102"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := s.MustSend(system.Request{
				Method: tt.method, Path: tt.path, Project: tt.project, Body: tt.body, Odd: true, Header: map[string]string{"X-Auth-Token": tt.token},
			})
			if tt.status != http.StatusOK {
				refused(t, a, tt.status, tt.code)
			} else if a.Status != http.StatusOK {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
}
