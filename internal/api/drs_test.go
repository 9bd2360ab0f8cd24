package api

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
)

func chinese(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r >= 0x4e00 && r <= 0x9fff })
}

func TestEveryVerdictHasItsCodeAndWords(t *testing.T) {
	t.Parallel()
	ours := regexp.MustCompile(`^DRS\.DT[1-9][0-9]{3}$`)
	official := regexp.MustCompile(`^DRS\.(M[0-9]{5}|KE0002)$`)
	seen := map[string]probe.Code{}
	for _, v := range probe.Verdicts() {
		code, mapped := verdictCodes[v.Code]
		if v.Code == probe.CodeOK {
			if mapped || drsCode(v.Code) != "" {
				t.Error("success has an error code")
			}
			continue
		}
		if !mapped || len(code) > 12 || !ours.MatchString(code) && !official.MatchString(code) {
			t.Errorf("%s has the code %q", v.Code, code)
		}
		if got := drsCode(v.Code); got != code {
			t.Errorf("%s is answered as %s, want %s", v.Code, got, code)
		}
		if other, twice := seen[code]; twice && ours.MatchString(code) {
			t.Errorf("%s and %s share %s", v.Code, other, code)
		}
		seen[code] = v.Code
		if (code == codeCredentials) != (v.Code == probe.CodeAuthFailed) {
			t.Errorf("%s is told as %s; only refused credentials are", v.Code, code)
		}
		if v.Owner == probe.OwnerService && official.MatchString(code) {
			t.Errorf("%s is ours to mend and told as %s", v.Code, code)
		}
		r := probe.Refused(v.Code, time.Now())
		for _, l := range []probe.Language{probe.English, probe.Chinese} {
			text := explain(r, maxMessage, l)
			if n := utf8.RuneCountInString(text); n == 0 || n > maxMessage || chinese(text) != (l == probe.Chinese) {
				t.Errorf("%s in %s has %d characters: %s", v.Code, l, n, text)
			}
			if !strings.Contains(text, v.Remedy.In(l)) {
				t.Errorf("%s in %s has no room for its remedy", v.Code, l)
			}
		}
	}
	for code := range verdictCodes {
		if !code.Known() {
			t.Errorf("there is no verdict %s", code)
		}
	}
	if drsCode("no such verdict") != verdictCodes[probe.CodeInternal] {
		t.Error("an unknown verdict is not told as a fault of ours")
	}
}

func TestEveryDRSCodeHasWords(t *testing.T) {
	t.Parallel()
	for _, code := range []string{
		codeService, codeMalformed, codeNoRoles, codeNoRight, codeMissing, codeInvalid, codePage, codePageLimit, codeProject, codeTagTwice,
		codeTagLong, codeTagMany, codeCharacters, codeNameTaken, codeJobNotFound, codeDuplicate, codeJobStatus, codeOnlyChild,
		codeOnlyParent, codeThrottled, codeJobUnknown, codeJobDeleted,
	} {
		w := drsWords(code)
		if chinese(w.English) || !chinese(w.Chinese) || strings.Contains(w.English, "%s") != strings.Contains(w.Chinese, "%s") {
			t.Errorf("%s: %+v", code, w)
		}
		if code != codeService && w == drsWords(codeService) {
			t.Errorf("%s has no words of its own", code)
		}
	}
	for _, p := range probe.Phases() {
		if w := phaseWords(p); w.English == "" || w.Chinese == "" {
			t.Errorf("phase %s has no name", p)
		}
	}
}

// What the server said is cut, what we say is not.
func TestExplainMakesRoom(t *testing.T) {
	t.Parallel()
	r := probe.Refused(probe.CodeServerError, time.Now())
	r.Evidence.ServerCode, r.Evidence.ServerText = "1234", strings.Repeat("数据", 400)
	for _, l := range []probe.Language{probe.English, probe.Chinese} {
		text := explain(r, maxMessage, l)
		v := r.Code.Verdict()
		if utf8.RuneCountInString(text) != maxMessage || !strings.HasSuffix(text, "…") || !strings.Contains(text, "1234") || !strings.Contains(text, v.Meaning.In(l)) {
			t.Errorf("%s: %s", l, text)
		}
	}
	for most := range maxMessage {
		if n := utf8.RuneCountInString(explain(r, max(most, 60), probe.English)); n > max(most, 60) {
			t.Fatalf("%d characters where %d fit", n, most)
		}
	}
}

func TestClusterMessageNamesTheFailing(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 5, 20, 64} {
		r := batch.Result{}
		for i := range n {
			report := probe.Refused(probe.CodeTimeoutConnect, time.Now())
			if i%2 == 1 {
				report = probe.Report{Code: probe.CodeOK}
			}
			r.Tests = append(r.Tests, batch.Test{Object: i, Report: &report})
		}
		for _, l := range []probe.Language{probe.English, probe.Chinese} {
			code, text := failure(r, true, l)
			if code != verdictCodes[probe.CodeTimeoutConnect] || utf8.RuneCountInString(text) > maxMessage || chinese(text) != (l == probe.Chinese) {
				t.Errorf("%d in %s: %s %d characters: %s", n, l, code, utf8.RuneCountInString(text), text)
			}
			for i := range n {
				named := strings.Contains(text, fmt.Sprintf("property[%d]", i)) || regexp.MustCompile(fmt.Sprintf(`property\[(\d+,)*%d(,\d+)*\]`, i)).MatchString(text)
				if named != (i%2 == 0) {
					t.Errorf("%d in %s: property[%d] named: %v: %s", n, l, i, named, text)
				}
			}
		}
	}
	code, text := failure(batch.Result{}, true, probe.English)
	if code != verdictCodes[probe.CodeInternal] || text == "" {
		t.Errorf("an entry of which nothing is known: %s %s", code, text)
	}
}
