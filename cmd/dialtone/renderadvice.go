package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"dialtone/internal/probe"
)

// finding is a verdict with the endpoints that have it: what is wrong with ten
// endpoints for one reason is said once.
type finding struct {
	code            probe.Code
	phase           probe.Phase
	warning         bool
	owner           probe.Owner
	meaning, remedy string
	numbers         []int
}

// findings groups failures, in order of first sight, and then warnings.
func (l look) findings(all []outcome) []*finding {
	var failures, warnings []*finding
	note := func(list *[]*finding, f finding, number int) {
		for _, known := range *list {
			if known.code == f.code && known.phase == f.phase {
				known.numbers = append(known.numbers, number)
				return
			}
		}
		f.numbers = []int{number}
		*list = append(*list, &f)
	}
	for i, o := range all {
		if !o.Report.OK() && o.Report.Code != probe.CodeCancelled {
			note(&failures, finding{code: o.Report.Code, phase: o.Report.Phase, owner: o.Owner, meaning: o.Meaning, remedy: o.Remedy}, i)
		}
		for _, code := range o.Report.Evidence.Warnings {
			f := finding{code: code, warning: true}
			if code.Known() { // a newer server may have others
				v := code.Verdict()
				f.phase, f.owner, f.meaning, f.remedy = v.Phase, v.Owner, v.Meaning.In(l.language), v.Remedy.In(l.language)
			}
			note(&warnings, f, i)
		}
	}
	return append(failures, warnings...)
}

// advice writes what is wrong, who must act and how.
func (l look) advice(b *bytes.Buffer, all []outcome) {
	for _, f := range l.findings(all) {
		sign, color := "✗", red
		if f.warning {
			sign, color = "!", yellow
		}
		title := l.paint(color, sign) + " " + l.paint(bold, string(f.code))
		if f.phase != "" {
			title += l.say(" in phase ", "，阶段 ") + string(f.phase)
		}
		fmt.Fprintf(b, "\n%s\n", title)
		if f.owner != "" {
			l.paragraph(b, "  ", "  ", l.say("Who must act: ", "处理方：")+l.owner(f.owner))
		}
		if f.warning && endsSomewhere(f.code) {
			// The words of the table are those of a failure.
			l.paragraph(b, "  ", "  ", l.say("The test went on, since this was not demanded. Where it is, it ends here:", "本次未强制要求该项，测试已继续；若强制要求，测试将在此终止："))
		}
		l.paragraph(b, "  ", "  ", f.meaning)
		l.paragraph(b, "  → ", "    ", f.remedy)
		for _, i := range f.numbers {
			l.paragraph(b, "  "+strconv.Itoa(i+1)+"  ", "     ", all[i].Name)
			for _, detail := range l.details(all[i].Report, f.warning) {
				l.paragraph(b, "     ", "       ", detail)
			}
		}
	}
}

// endsSomewhere says whether there is a strictness at which the code of a warning
// fails a test.
func endsSomewhere(code probe.Code) bool {
	switch code {
	case probe.CodeTLSChainOrder, probe.CodeTLSWeakKey, probe.CodeTLSNegativeSerial:
		return false
	default:
		return true
	}
}

// owner names who must act.
func (l look) owner(o probe.Owner) string {
	switch o {
	case probe.OwnerCaller:
		return l.say("you, who asked for the test", "测试发起者（您）")
	case probe.OwnerDBA:
		return l.say("the database's administrator", "数据库管理员")
	case probe.OwnerNetwork:
		return l.say("the network's administrator", "网络管理员")
	case probe.OwnerSecurity:
		return l.say("who sets the rules of access", "安全策略负责人")
	case probe.OwnerService:
		return l.say("the operator of dialtone", "dialtone 运维人员")
	default:
		return string(o)
	}
}

// details is what was seen at one endpoint.
func (l look) details(r probe.Report, warning bool) []string {
	e := r.Evidence
	var all []string
	say := func(english, chinese, text string) {
		if text != "" {
			all = append(all, l.say(english+": ", chinese+"：")+printable(text))
		}
	}
	if !warning {
		say("the server said", "服务器返回", strings.TrimSpace(e.ServerCode+" "+e.ServerText))
		say("what answers there looks like", "应答方疑似", e.LooksLike)
	}
	if e.TLS != nil && (warning || r.Phase == probe.PhaseTLS) {
		for _, text := range l.handshake(e.TLS) {
			all = append(all, printable(text))
		}
	}
	if r.Phase == probe.PhaseInput {
		for _, text := range l.handedIn(e.Facts) {
			all = append(all, printable(text))
		}
	}
	if !warning {
		say("address", "地址", e.Address)
		for _, a := range r.Addresses {
			all = append(all, printable(a.Address)+": "+string(a.Code))
		}
	}
	return all
}

// maxText is the longest line of advice: longer ones are hard to read.
const maxText = 100

// paragraph writes a text with what its first line and its other lines begin
// with. Only a terminal needs broken lines.
func (l look) paragraph(b *bytes.Buffer, first, other, text string) {
	if text == "" {
		return
	}
	columns := 0
	if l.columns > 0 {
		columns = max(min(l.columns, maxText)-textWidth(other), 20)
	}
	for i, line := range wrap(text, columns) {
		if i > 0 {
			first = other
		}
		fmt.Fprintln(b, first+line)
	}
}
