package api

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/sabotage"
)

// reportOf is the report of a test, or, for one that is not finished, that its
// time is up: what is answered never leaves a test open.
func reportOf(t batch.Test) probe.Report {
	if t.Report != nil {
		return *t.Report
	}
	return probe.Refused(sabotage.Swap(sabotage.ForgetUnfinishedEntry, probe.CodeDeadlineExceeded, probe.CodeTimeoutConnect), t.Deadline)
}

// failure gives error_code and error_msg of a result that is not ok.
func failure(r batch.Result, cluster bool, l probe.Language) (code, message string) {
	failing := r.Failing()
	if len(failing) == 0 { // nothing is known of the entry
		lost := probe.Report{Code: probe.CodeInternal}
		return drsCode(lost.Code), explain(lost, maxMessage, l)
	}
	first := reportOf(failing[0])
	if !cluster {
		return drsCode(first.Code), explain(first, maxMessage, l)
	}
	return drsCode(first.Code), explainMany(r, failing, l)
}

// explain says what a report means, what to do, where it failed, and what the
// server said, as far as it fits.
func explain(r probe.Report, most int, l probe.Language) string {
	v := r.Code.Verdict()
	text := v.Meaning.In(l)
	sentence := func(s string) string {
		if l == probe.Chinese {
			return s
		}
		return " " + s
	}
	if remedy := v.Remedy.In(l); utf8.RuneCountInString(text+remedy)+1 <= most {
		text += sentence(remedy)
	}
	if phase := phaseWords(r.Phase).In(l); phase != "" {
		note := sentence("[phase: " + phase + "]")
		if l == probe.Chinese {
			note = "【阶段：" + phase + "】"
		}
		if utf8.RuneCountInString(text+note) <= most {
			text += note
		}
	}
	if note := suppressed(r, l); note != "" && utf8.RuneCountInString(text+note)+1 <= most {
		text += sentence(note)
	}
	if note := failedAddresses(r, l); note != "" && utf8.RuneCountInString(text+sentence(note)) <= most {
		text += sentence(note)
	}
	said := strings.TrimSpace(r.Evidence.ServerCode + " " + r.Evidence.ServerText)
	if said == "" {
		return cut(text, most)
	}
	label := sentence("The server said: ")
	if l == probe.Chinese {
		label = "服务器返回："
	}
	// A fragment of a few characters would say nothing.
	if room := most - utf8.RuneCountInString(text+label); room >= 16 || room >= utf8.RuneCountInString(said) {
		text += label + cut(said, room)
	}
	return cut(text, most)
}

// suppressed says why no login was sent, and when one is possible again.
func suppressed(r probe.Report, l probe.Language) string {
	reason, at := r.Evidence.Facts["earlier_reason"], r.Evidence.Facts["retry_at"]
	if r.Code != probe.CodeLoginSuppressed || at == "" {
		return ""
	}
	return probe.Words{
		English: "Earlier reason: " + reason + ". A login is possible again at " + at + ".",
		Chinese: "先前原因：" + reason + "。可再次登录的时间：" + at + "。",
	}.In(l)
}

// failedAddresses says which addresses of a list failed, and how.
func failedAddresses(r probe.Report, l probe.Language) string {
	if len(r.Addresses) < 2 {
		return ""
	}
	var bad []string
	for _, a := range r.Addresses {
		if a.Code != probe.CodeOK {
			bad = append(bad, a.Address+" ("+string(a.Code)+")")
		}
	}
	switch {
	case len(bad) == 0:
		return ""
	case l == probe.Chinese:
		return "失败的地址：" + strings.Join(bad, "、") + "。"
	default:
		return "Addresses that failed: " + strings.Join(bad, ", ") + "."
	}
}

// explainMany names the failing endpoints of a cluster entry by their index in
// property, and says of each what it means as far as it fits.
func explainMany(r batch.Result, failing []batch.Test, l probe.Language) string {
	total, bad := strconv.Itoa(len(r.Tests)), strconv.Itoa(len(failing))
	head, colon, stop := bad+" of "+total+" endpoints failed: ", ": ", " "
	if l == probe.Chinese {
		head, colon, stop = total+" 个地址中有 "+bad+" 个测试失败：", "：", ""
	}
	if len(r.Tests) == 1 {
		head = ""
	}
	names := make([]string, len(failing))
	for i, t := range failing {
		names[i] = "property[" + strconv.Itoa(t.Object) + "]"
	}
	// Each gets its share; what the names alone need is there for 64 of them
	// only in short form, so shares that are too small become a plain list.
	share := (maxMessage-utf8.RuneCountInString(head))/len(failing) - len("property[63]: ") - 1
	if share < 60 {
		first := reportOf(failing[0])
		indexes := make([]string, len(failing))
		for i, t := range failing {
			indexes[i] = strconv.Itoa(t.Object)
		}
		head += "property[" + strings.Join(indexes, ",") + "]; " + names[0] + colon
		return cut(head+explain(first, maxMessage-utf8.RuneCountInString(head), l), maxMessage)
	}
	var text strings.Builder
	text.WriteString(head)
	for i, t := range failing {
		if i > 0 {
			text.WriteString(stop)
		}
		text.WriteString(names[i] + colon + explain(reportOf(t), share, l))
	}
	return cut(text.String(), maxMessage)
}
