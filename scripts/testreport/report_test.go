package main

import (
	"errors"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		events string
		ok     bool
		want   []string // in what is printed, or in the summary
		not    []string
	}{
		{
			name: "passed",
			events: `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.1}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p","Elapsed":0.1}
`,
			ok:   true,
			want: []string{"ok  \tp\t0.1s\n", "1 packages: 1 tests passed, 0 failed, 0 skipped"},
			not:  []string{"=== RUN", "PASS\n"},
		},
		{
			name: "failed, beside one that passed",
			events: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestA","Output":"the reason\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"chatter\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}
`,
			want: []string{"the reason\n", "FAIL\tp", "FAILED p TestA", "1 tests passed, 1 failed"},
			not:  []string{"chatter", "BROKEN"},
		},
		{
			name: "skipped",
			events: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"no server here\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"pass","Package":"p","Test":"TestB"}
{"Action":"pass","Package":"p"}
`,
			want: []string{"no server here\n", "SKIPPED p TestA", "1 skipped"},
		},
		{
			name: "does not build",
			events: `{"ImportPath":"p [p.test]","Action":"build-output","Output":"x.go:1: undefined: y\n"}
{"ImportPath":"p [p.test]","Action":"build-fail"}
{"Action":"start","Package":"p"}
{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}
{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}
`,
			want: []string{"undefined: y", "[build failed]", "BROKEN p", "NOTHING passed"},
		},
		{
			name: "panicked in a test that has no verdict",
			events: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"panic: oh\n"}
{"Action":"fail","Package":"p"}
`,
			want: []string{"panic: oh\n", "FAILED p TestA", "BROKEN p"},
		},
		{
			name: "the stream breaks off",
			events: `{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"pass","Package":"p","Test":"TestB"}
{"Action":"run","Package":"p","Test":"TestA"}
go: out of disk`,
			want: []string{"go: out of disk", "FAILED p TestA"},
		},
		{
			name:   "no test files anywhere",
			events: `{"Action":"output","Package":"p","Output":"?   \tp\t[no test files]\n"}` + "\n" + `{"Action":"skip","Package":"p"}` + "\n",
			want:   []string{"[no test files]", "NOTHING passed", "1 packages"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			sum, err := report(strings.NewReader(tc.events), &out)
			if err != nil {
				t.Fatalf("report() = %v", err)
			}
			if sum.ok() != tc.ok {
				t.Errorf("ok() = %v, want %v", sum.ok(), tc.ok)
			}
			all := out.String() + sum.String()
			for _, want := range tc.want {
				if !strings.Contains(all, want) {
					t.Errorf("got %q, want %q in it", all, want)
				}
			}
			for _, not := range tc.not {
				if strings.Contains(all, not) {
					t.Errorf("got %q, want no %q in it", all, not)
				}
			}
		})
	}
}

func TestReportCannotWrite(t *testing.T) {
	t.Parallel()
	_, err := report(strings.NewReader("a line\n"), fullDisk{})
	if !errors.Is(err, errFull) {
		t.Errorf("report() = %v, want %v", err, errFull)
	}
}

var errFull = errors.New("no space left")

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }
