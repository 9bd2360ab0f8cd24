package main

import (
	"fmt"
	"strings"

	"dialtone/internal/probe"
)

// handshake tells of a server's certificate: what it is, what each strictness
// makes of it, and everything that is wrong with it.
func (l look) handshake(e *probe.TLSEvidence) []string {
	if e == nil {
		return nil
	}
	text := e.Subject
	if len(e.Names) > 0 {
		text += l.say(", for ", "，适用于 ") + strings.Join(e.Names, ", ")
	}
	text += fmt.Sprintf(l.say(", valid from %s to %s", "，有效期 %s 至 %s"), e.NotBefore.Format("2006-01-02"), e.NotAfter.Format("2006-01-02"))
	all := []string{l.say("certificate: ", "证书：") + text}
	if e.Issuer != "" {
		all = append(all, l.say("issued by: ", "签发者：")+e.Issuer)
	}
	if m := e.Modes; m != (probe.TLSModes{}) {
		all = append(all, l.say("would be: ", "各级结果：")+fmt.Sprintf("tls=none %s, tls=ca %s, tls=full %s", m.None, m.CA, m.Full))
	}
	for _, f := range e.Findings {
		all = append(all, l.flaw(f))
	}
	return printables(all)
}

// flaw is one thing that is wrong with a certificate.
func (l look) flaw(f probe.TLSFinding) string {
	text := string(f.Code)
	if f.Subject != "" {
		text += l.say(": ", "：") + f.Subject
	}
	if f.Issuer != "" && f.Issuer != f.Subject {
		text += l.say(", wants the issuer ", "，所需签发者 ") + f.Issuer
	}
	if f.IssuerKeyID != "" {
		text += l.say(", of the key ", "，密钥标识 ") + f.IssuerKeyID
	}
	switch {
	case f.Days == 0:
	case f.Code == probe.CodeTLSNotYetValid:
		text += fmt.Sprintf(l.say(", in %d days", "，%d 天后生效"), f.Days)
	default:
		text += fmt.Sprintf(l.say(", %d days ago", "，已过期 %d 天"), f.Days)
	}
	if f.Detail != "" {
		text += " (" + f.Detail + ")"
	}
	return text
}

// handedIn tells of a certificate, a store or a checksum that the caller gave
// and that is at fault.
func (l look) handedIn(facts map[string]string) []string {
	var all []string
	for _, fact := range []struct{ name, english, chinese string }{
		{"certificate_field", "given as", "所在字段"},
		{"certificate_fault", "what is wrong", "问题"},
		{"checksum_given", "checksum given", "填写的校验值"},
		{"checksum_algorithm", "which has the length of", "其长度属于"},
		{"checksum_of_content", "SHA-256 of the content", "文件内容的 SHA-256"},
		{"checksum_of_base64", "SHA-256 of its Base64", "Base64 文本的 SHA-256"},
	} {
		if text := facts[fact.name]; text != "" {
			all = append(all, l.say(fact.english+": ", fact.chinese+"：")+text)
		}
	}
	return printables(all)
}

// printables makes lines that hold foreign texts fit for a terminal.
func printables(lines []string) []string {
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	return lines
}
