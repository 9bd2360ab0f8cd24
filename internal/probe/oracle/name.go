package oracle

import (
	"fmt"
	"strings"
	"unicode"

	"dialtone/internal/probe"
)

// reserved are the characters with a meaning in a connect descriptor.
const reserved = `()="'\#,`

// unfit says that a character cannot be part of a service name.
func unfit(r rune) bool {
	return strings.ContainsRune(reserved, r) || unicode.IsSpace(r) || unicode.IsControl(r)
}

// descriptor is what a CONNECT asks for; by is SERVICE_NAME or SID. The client
// names itself, and nothing of the machine that it runs on.
func (a *attempt) descriptor(by string) string {
	t, address := a.session.Target, a.session.Address
	protocol, name := "tcp", ""
	if t.TLS != nil {
		protocol = "tcps"
	}
	if t.Database != "" {
		name = fmt.Sprintf("(%s=%s)", by, t.Database)
	}
	return fmt.Sprintf("(DESCRIPTION=(ADDRESS=(PROTOCOL=%s)(HOST=%s)(PORT=%d))(CONNECT_DATA=%s(CID=(PROGRAM=%s)(HOST=%s)(USER=%s))))",
		protocol, address.Host, address.Port, name, a.program, clientName, clientName)
}

// clientName stands for the machine and its user wherever Oracle asks.
const clientName = "dialtone"

// value gives what the first (KEY=value) of a descriptor holds. A value that is
// a list of its own is none.
func value(descriptor, key string) (string, bool) {
	for rest := descriptor; ; {
		text, found := after(rest, key)
		if !found {
			return "", false
		}
		if end := strings.IndexAny(text, "()"); end >= 0 && text[end] == ')' {
			return strings.TrimSpace(text[:end]), true
		}
		rest = text
	}
}

// after gives what follows the first "(KEY=" of a descriptor.
func after(descriptor, key string) (string, bool) {
	for rest := descriptor; ; {
		_, text, found := strings.Cut(rest, "(")
		if !found {
			return "", false
		}
		rest = text
		if text, found = cutFold(strings.TrimLeft(text, space), key); !found {
			continue
		}
		if text, found = strings.CutPrefix(strings.TrimLeft(text, space), "="); found {
			return text, true
		}
	}
}

const space = " \t\r\n"

// cutFold cuts a prefix in whatever case.
func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// redirection is where a REDIRECT leads.
type redirection struct {
	address probe.Address
	secure  bool
	connect string // the CONNECT to send there; empty: the one sent here
}

// parseRedirect reads the address of a REDIRECT, and the descriptor behind it.
func parseRedirect(text string) (redirection, bool) {
	where, connect, _ := strings.Cut(text, "\x00")
	// A client that is named before the address has a HOST as well.
	if address, ok := after(where, "ADDRESS"); ok {
		where = address
	}
	protocol, _ := value(where, "PROTOCOL")
	host, _ := value(where, "HOST")
	digits, _ := value(where, "PORT")
	port, ok := number(digits, 1<<16-1)
	secure := strings.EqualFold(protocol, "tcps")
	if !ok || port == 0 || host == "" || strings.ContainsFunc(host, unfit) || !secure && !strings.EqualFold(protocol, "tcp") {
		return redirection{}, false
	}
	return redirection{
		address: probe.Address{Host: host, Port: uint16(port)}, //nolint:gosec // bounded above
		secure:  secure,
		connect: strings.TrimRight(connect, "\x00"),
	}, true
}

// number reads a decimal number up to a limit.
func number(digits string, most int) (int, bool) {
	n := 0
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		if n = n*10 + int(d-'0'); n > most {
			return 0, false
		}
	}
	return n, digits != ""
}

// versionText writes a version number as Oracle does; since release 18 its
// parts have other widths.
func versionText(n int) string {
	major := n >> 24 & 0xff
	if major >= 18 {
		return fmt.Sprintf("%d.%d.%d.%d.%d", major, n>>16&0xff, n>>12&0xf, n>>4&0xff, n&0xf)
	}
	return fmt.Sprintf("%d.%d.%d.%d.%d", major, n>>20&0xf, n>>12&0xf, n>>8&0xf, n&0xff)
}
