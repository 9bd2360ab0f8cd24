package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// sample is a call with one outcome of each kind.
func sample(l probe.Language) summary {
	began := time.Date(2026, 7, 24, 9, 30, 0, 0, time.UTC)
	rows := func(reached int, states ...probe.State) []probe.PhaseResult {
		var all []probe.PhaseResult
		for i, p := range probe.Phases() {
			row := probe.PhaseResult{Phase: p, State: probe.NotReached}
			if i < reached {
				row.State = states[i]
			}
			all = append(all, row)
		}
		return all
	}
	add := func(db, host string, port int, user string, r probe.Report) outcome {
		e := batch.Endpoint{DBType: db, IP: host, DBPort: port, User: user, Password: secret.New("hunter2"), DBName: "shop"}
		o := outcome{tested: r.Code != probe.CodeCancelled}
		o.Name, o.Short = nameOf(e)
		o.judge(r, l)
		return o
	}
	p, w, f, s := probe.Passed, probe.Warned, probe.Failed, probe.Skipped
	refused := probe.Report{
		Code: probe.CodeAuthFailed, Phase: probe.PhaseLogin, Phases: rows(7, p, p, s, p, s, p, f), DurationMS: 38.4,
		Evidence: probe.Evidence{Address: "10.0.0.1:3306", ServerCode: "1045", ServerText: "Access denied for user 'app'"},
	}
	elsewhere := refused
	elsewhere.Evidence.Address = "10.0.0.2:3306"
	return summary{
		began: began, took: 12345 * time.Millisecond, stopped: true,
		outcomes: []outcome{
			add("mysql", "10.0.0.1", 3306, "root", probe.Report{Code: probe.CodeOK, Phases: rows(9, p, p, s, p, s, p, p, p, s), DurationMS: 12.3}),
			add("postgresql", "a-rather-long-name-of-a-host.databases.internal.example", 5432, "reporting", probe.Report{
				Code: probe.CodeOK, Phases: rows(9, p, p, p, p, w, p, p, p, s), DurationMS: 0.4,
				Evidence: probe.Evidence{Warnings: []probe.Code{probe.CodeTLSNameMismatch}, TLS: &probe.TLSEvidence{
					Subject: "CN=db", Issuer: "CN=authority", Names: []string{"db.example", "10.0.0.7"},
					NotBefore: began.AddDate(-1, 0, 0), NotAfter: began.AddDate(1, 0, 0),
					Modes:    probe.TLSModes{None: probe.CodeOK, CA: probe.CodeOK, Full: probe.CodeTLSNameMismatch},
					Findings: []probe.TLSFinding{{Code: probe.CodeTLSNameMismatch, Subject: "CN=db", Detail: "x509: not for this name"}},
				}},
			}),
			add("mysql", "10.0.0.1", 3306, "app", refused),
			add("mysql", "10.0.0.2", 3306, "app", elsewhere),
			add("postgresql", "10.0.0.9", 5432, "\x1b[2J数据库", probe.Report{
				Code: probe.CodeTimeoutConnect, Phase: probe.PhaseConnect, Phases: rows(4, p, p, s, f), DurationMS: 15000.2,
			}),
			add("oracle", "10.0.0.3", 1521, "scott", probe.Refused(probe.CodeEngineUnsupported, began)),
			add("kafka", "10.0.0.5:9092", 0, "app", probe.Report{
				Code: probe.CodeAdvertisedUnreachable, Phase: probe.PhaseTopology, Phases: rows(9, p, p, s, p, s, p, p, p, f), DurationMS: 25,
				Evidence: probe.Evidence{Address: "10.0.0.5:9092", Members: []probe.MemberResult{
					{Address: "10.0.0.5:9092", Role: "broker 1", Code: probe.CodeOK},
					{Address: "broker-2.internal:9092", Role: "broker 2\x1b[2J", Code: probe.CodeDNSNotFound},
				}},
			}),
			add("mongodb", "10.0.0.6:27017,10.0.0.7:27017", 0, "app", probe.Report{
				Code: probe.CodeOK, Phases: warnedOf(rows(9, p, p, s, p, s, p, p, p, w), probe.CodeTargetNotAllowed), DurationMS: 31,
				Addresses: []probe.AddressResult{
					{Address: "10.0.0.6:27017", Code: probe.CodeConnectionRefused}, {Address: "10.0.0.7:27017", Code: probe.CodeOK},
				},
				Evidence: probe.Evidence{
					Warnings: []probe.Code{probe.CodeTargetNotAllowed},
					Members:  []probe.MemberResult{{Address: "169.254.0.8:27017", Role: "secondary", Code: probe.CodeTargetNotAllowed}},
				},
			}),
			add("mysql", "10.0.0.4", 3306, "root", probe.Refused(probe.CodeCancelled, began)),
		},
	}
}

// Everything that is known of a certificate is said, in one line each.
func TestCertificateLines(t *testing.T) {
	t.Parallel()
	l := look{language: probe.English}
	for _, tc := range []struct {
		found probe.TLSFinding
		want  string
	}{
		{
			probe.TLSFinding{Code: probe.CodeTLSUntrusted, Subject: "CN=db", Issuer: "CN=ca", IssuerKeyID: "ab12"},
			"tls_cert_untrusted: CN=db, wants the issuer CN=ca, of the key ab12",
		},
		{probe.TLSFinding{Code: probe.CodeTLSUntrusted, Subject: "CN=db", Issuer: "CN=db"}, "tls_cert_untrusted: CN=db"},
		{probe.TLSFinding{Code: probe.CodeTLSExpired, Subject: "CN=db", Days: 3}, "tls_cert_expired: CN=db, 3 days ago"},
		{probe.TLSFinding{Code: probe.CodeTLSNotYetValid, Subject: "CN=db", Days: 3}, "tls_cert_not_yet_valid: CN=db, in 3 days"},
		{probe.TLSFinding{Code: probe.CodeTLSWeakSignature, Subject: "CN=db", Detail: "SHA1-RSA"}, "tls_cert_weak_signature: CN=db (SHA1-RSA)"},
		{probe.TLSFinding{Code: probe.CodeTLSChainOrder}, "tls_chain_order"},
	} {
		if got := l.flaw(tc.found); got != tc.want {
			t.Errorf("flaw() = %q, want %q", got, tc.want)
		}
	}
	r := probe.Refused(probe.CodeCertChecksum, time.Now())
	r.Evidence.Facts = map[string]string{
		"certificate_field": "ssl_cert_key", "certificate_fault": "it does not fit", "checksum_given": "ab", "checksum_algorithm": "MD5",
		"checksum_of_content": "cd", "checksum_of_base64": "ef",
	}
	want := []string{
		"given as: ssl_cert_key", "what is wrong: it does not fit", "checksum given: ab", "which has the length of: MD5",
		"SHA-256 of the content: cd", "SHA-256 of its Base64: ef",
	}
	if diff := cmp.Diff(want, l.details(r, &finding{code: r.Code})); diff != "" {
		t.Errorf("details (-want +got):\n%s", diff)
	}
}

// warnedOf gives the phase that warned its code.
func warnedOf(rows []probe.PhaseResult, code probe.Code) []probe.PhaseResult {
	for i := range rows {
		if rows[i].State == probe.Warned {
			rows[i].Code = code
		}
	}
	return rows
}

func TestTable(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		look look
	}{
		{"plain", look{language: probe.English}},
		{"80", look{language: probe.English, columns: 80}},
		{"120-color", look{language: probe.English, columns: 120, color: true}},
		{"80-zh", look{language: probe.Chinese, columns: 80}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			if err := renderTable(&b, sample(c.look.language), c.look); err != nil {
				t.Fatal(err)
			}
			for i, line := range strings.Split(b.String(), "\n") {
				if n := textWidth(unpainted(line)); c.look.columns > 0 && n > c.look.columns {
					t.Errorf("line %d takes %d columns of %d: %s", i+1, n, c.look.columns, line)
				}
			}
			if strings.Contains(b.String(), "\x1b[2J") || strings.Contains(b.String(), "hunter2") {
				t.Error("the table holds what must not be shown")
			}
			golden(t, "table-"+c.name+".txt", b.Bytes())
		})
	}
}

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got), see -update:\n%s", path, diff)
	}
}

// unpainted takes the colours out.
func unpainted(text string) string {
	for {
		before, after, found := strings.Cut(text, "\x1b[")
		if !found {
			return text
		}
		_, after, _ = strings.Cut(after, "m")
		text = before + after
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, text string
		columns    int
		want       []string
	}{
		{"nothing to break", "one two", 7, []string{"one two"}},
		{"at a space", "one two three", 7, []string{"one two", "three"}},
		{"a word that is too long", "one incomprehensible", 7, []string{"one", "incomprehensible"}},
		{"no width", "one two", 0, []string{"one two"}},
		{"wide characters", "请检查用户名", 6, []string{"请检查", "用户名"}},
		{"punctuation stays behind", "请检查，用户", 6, []string{"请检", "查，用", "户"}},
		{"words among wide characters", "请用 SSL 登录", 8, []string{"请用 SSL", "登录"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, wrap(c.text, c.columns)); diff != "" {
				t.Errorf("wrap() differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := renderJSON(&b, sample(probe.English)); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Results []struct {
			Name   string              `json:"name"`
			OK     bool                `json:"ok"`
			Code   string              `json:"code"`
			Owner  string              `json:"owner"`
			Remedy string              `json:"remedy"`
			Phases []probe.PhaseResult `json:"phases"`
		} `json:"results"`
		Count, Passed, Failed int
		NotTested             int  `json:"not_tested"`
		Interrupted           bool `json:"interrupted"`
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Count != 9 || got.Passed != 3 || got.Failed != 5 || got.NotTested != 1 || !got.Interrupted || len(got.Results) != 9 {
		t.Errorf("the counts are wrong: %+v", got)
	}
	third := got.Results[2]
	if third.Name != "mysql app@10.0.0.1:3306/shop" || third.OK || third.Code != "auth_failed" || third.Owner != "caller" ||
		third.Remedy == "" || len(third.Phases) != len(probe.Phases()) {
		t.Errorf("third result = %+v", third)
	}
}

func TestJUnit(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	s := sample(probe.English)
	s.outcomes[2].Report.Evidence.ServerText = "a < b & \x01"
	if err := renderJUnit(&b, s); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), xml.Header) {
		t.Errorf("the report begins with %q", b.String()[:20])
	}
	var got junitSuites
	if err := xml.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Suites) != 1 {
		t.Fatalf("%d suites, want 1", len(got.Suites))
	}
	suite := got.Suites[0]
	cases := suite.Cases
	suite.Cases = nil
	want := junitSuite{Name: "dialtone", Tests: 9, Failures: 4, Errors: 1, Skipped: 1, Time: "12.345", At: "2026-07-24T09:30:00"}
	if diff := cmp.Diff(want, suite); diff != "" {
		t.Errorf("the suite differs (-want +got):\n%s", diff)
	}
	if len(cases) != 9 {
		t.Fatalf("%d cases, want 9", len(cases))
	}
	kinds := ""
	for _, c := range cases {
		switch {
		case c.Failure != nil && c.Error == nil && c.Skipped == nil:
			kinds += "f"
		case c.Error != nil && c.Failure == nil && c.Skipped == nil:
			kinds += "e"
		case c.Skipped != nil && c.Failure == nil && c.Error == nil:
			kinds += "s"
		case c.Failure == nil && c.Error == nil && c.Skipped == nil:
			kinds += "."
		default:
			kinds += "?"
		}
	}
	if kinds != "..fffef.s" {
		t.Errorf("the cases are %s, want ..fffef.s", kinds)
	}
	if text := cases[6].Failure.Text; !strings.Contains(text, "member broker-2.internal:9092 (broker 2\uFFFD[2J): dns_not_found") || strings.Contains(text, "broker 1") {
		t.Errorf("the failure of the cluster says %q", text)
	}
	third := cases[2]
	if third.Class != "dialtone.mysql" || third.Name != "mysql app@10.0.0.1:3306/shop" || third.Time != "0.038" ||
		third.Failure.Type != "auth_failed" || !strings.Contains(third.Failure.Text, "a < b & \uFFFD") {
		t.Errorf("third case = %+v %+v", third, third.Failure)
	}
}
