package main

import (
	"strings"

	"dialtone/internal/probe"
)

// details is what was seen at one endpoint that has the finding.
func (l look) details(r probe.Report, f *finding) []string {
	switch f.kind {
	case warning:
		return l.warned(r, f)
	case aside:
		return l.addresses(r, func(code probe.Code) bool { return code == f.code })
	default:
		return l.failed(r)
	}
}

// failed is what there is to know of a test that failed.
func (l look) failed(r probe.Report) []string {
	e := r.Evidence
	var all []string
	say := func(english, chinese, text string) {
		if text != "" {
			all = append(all, l.say(english+": ", chinese+"：")+printable(text))
		}
	}
	say("the server said", "服务器返回", strings.TrimSpace(e.ServerCode+" "+e.ServerText))
	say("what answers there looks like", "应答方疑似", e.LooksLike)
	switch r.Phase {
	case probe.PhaseTLS:
		all = append(all, l.handshake(e.TLS)...)
	case probe.PhaseInput:
		all = append(all, l.handedIn(e.Facts)...)
	case probe.PhaseTopology:
		say("it does not belong", "不属于该集群", e.Facts["does_not_belong"])
	default:
	}
	say("address", "地址", e.Address)
	all = append(all, l.addresses(r, func(probe.Code) bool { return true })...)
	return append(all, l.members(e.Members)...)
}

// warned is what there is to know of a warning.
func (l look) warned(r probe.Report, f *finding) []string {
	switch f.phase {
	case probe.PhaseTLS:
		return l.handshake(r.Evidence.TLS)
	case probe.PhaseTopology:
		return l.members(r.Evidence.Members)
	default:
		return nil
	}
}

// addresses are those of a list whose verdicts are wanted.
func (l look) addresses(r probe.Report, wanted func(probe.Code) bool) []string {
	var all []string
	for _, a := range r.Addresses {
		if wanted(a.Code) {
			all = append(all, printable(a.Address)+l.say(": ", "：")+string(a.Code))
		}
	}
	return all
}

// members are those that the server named, and that are not as they should be.
func (l look) members(members []probe.MemberResult) []string {
	var all []string
	for _, m := range members {
		if m.Code == probe.CodeOK {
			continue
		}
		text := l.say("member ", "成员 ") + m.Address
		if m.Role != "" {
			text += l.say(" ("+m.Role+")", "（"+m.Role+"）")
		}
		all = append(all, printable(text)+l.say(": ", "：")+string(m.Code))
	}
	return all
}
