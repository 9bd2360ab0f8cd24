package api

import (
	"os"
	"strings"
	"testing"

	"dialtone/internal/probe"
)

// docs/api.md has a row for every verdict and every call.
func TestDocumentationIsComplete(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	rows := 0
	for _, v := range probe.Verdicts() {
		code := drsCode(v.Code)
		if code == "" {
			continue
		}
		rows++
		whose := "DRS"
		if strings.HasPrefix(code, "DRS.DT") {
			whose = "ours"
		}
		if row := "| `" + string(v.Code) + "` | " + code + " | " + whose + " |\n"; !strings.Contains(page, row) {
			t.Errorf("docs/api.md lacks the row %s", row)
		}
	}
	if got := strings.Count(page, " | ours |\n") + strings.Count(page, " | DRS |\n"); got != rows {
		t.Errorf("docs/api.md has %d rows of codes, want %d", got, rows)
	}
	for path, item := range loaded(t).Paths.Map() {
		for method := range item.Operations() {
			if !strings.Contains(page, "| `"+method+" "+path+"` |") {
				t.Errorf("docs/api.md lacks %s %s", method, path)
			}
		}
	}
}
