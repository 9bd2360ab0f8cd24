package main

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"dialtone/internal/probe"
)

// kind says what a finding means for the endpoints that have it.
type kind int

const (
	failure kind = iota
	// warning is a code at which a test could have failed, and did not.
	warning
	// aside is the verdict on an address of a list of which another was good.
	aside
)

// finding is a verdict with the endpoints that have it: what is wrong with ten
// endpoints for one reason is said once.
type finding struct {
	kind            kind
	code            probe.Code
	phase           probe.Phase
	owner           probe.Owner
	meaning, remedy string
	numbers         []int
}

// findings groups failures, in order of first sight, and then what did not make
// a test fail.
func (l look) findings(all []outcome) []*finding {
	var failures, others []*finding
	note := func(list *[]*finding, f finding, number int) {
		for _, known := range *list {
			if known.code == f.code && known.phase == f.phase && known.kind == f.kind {
				if !slices.Contains(known.numbers, number) {
					known.numbers = append(known.numbers, number)
				}
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
			f := l.known(warning, code)
			f.phase = warnedIn(o.Report, code, f.phase)
			note(&others, f, i)
		}
		for _, code := range passedOver(o.Report) {
			note(&others, l.known(aside, code), i)
		}
	}
	return append(failures, others...)
}

// known is a finding in the words of the table.
func (l look) known(k kind, code probe.Code) finding {
	f := finding{kind: k, code: code}
	if code.Known() { // a newer server may have others
		v := code.Verdict()
		f.phase, f.owner, f.meaning, f.remedy = v.Phase, v.Owner, v.Meaning.In(l.language), v.Remedy.In(l.language)
	}
	return f
}

// warnedIn is the phase in which there was a warning, which a code need not have
// for its own: what keeps clients from a member is a matter of topology. A phase
// keeps its last warning only.
func warnedIn(r probe.Report, code probe.Code, usual probe.Phase) probe.Phase {
	warned := usual
	for _, row := range r.Phases {
		switch {
		case row.State != probe.Warned:
		case row.Code == code, row.Phase == usual:
			return row.Phase
		default:
			warned = row.Phase
		}
	}
	return warned
}

// passedOver are the verdicts on addresses of a list that were not good, where
// another one was.
func passedOver(r probe.Report) []probe.Code {
	var codes []probe.Code
	if !r.OK() {
		return nil
	}
	for _, a := range r.Addresses {
		if a.Code != probe.CodeOK {
			codes = append(codes, a.Code)
		}
	}
	return codes
}

// advice writes what is wrong, who must act and how.
func (l look) advice(b *bytes.Buffer, all []outcome) {
	for _, f := range l.findings(all) {
		sign, color := "✗", red
		if f.kind != failure {
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
		l.paragraph(b, "  ", "  ", l.harmless(f))
		l.paragraph(b, "  ", "  ", f.meaning)
		l.paragraph(b, "  → ", "    ", f.remedy)
		for _, i := range f.numbers {
			l.paragraph(b, "  "+strconv.Itoa(i+1)+"  ", "     ", all[i].Name)
			for _, detail := range l.details(all[i].Report, f) {
				l.paragraph(b, "     ", "       ", detail)
			}
		}
	}
}

// harmless says why a finding did not make the test fail. The words of the
// table, which follow, are those of a failure.
func (l look) harmless(f *finding) string {
	switch {
	case f.kind == aside:
		return l.say("One good address of a list is enough, and there was one. Of another it must be said:", "列表中有一个地址可用即通过，且已有可用地址；其他地址的问题如下：")
	case f.kind == warning && f.phase == probe.PhaseTopology:
		return l.say("The endpoint itself passed. Of other members of its cluster it must be said:", "该连接本身已通过；其所在集群的其他成员问题如下：")
	case f.kind == warning && endsSomewhere(f.code):
		return l.say("The test went on, since this was not demanded. Where it is, it ends here:", "本次未强制要求该项，测试已继续；若强制要求，测试将在此终止：")
	default:
		return ""
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
