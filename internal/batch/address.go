package batch

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"dialtone/internal/probe"
)

// maxAddresses bounds the list in one ip field: a Redis cluster's 32 is the
// longest that DRS documents.
const maxAddresses = 32

// ErrAddress is why an ip field cannot be read. Its text names no value.
var ErrAddress = errors.New("not a list of hosts")

// parseAddresses reads an ip field: "host", "host:port" or a list of them.
// Ports that are not in the text are 0. An IPv6 literal with a port needs
// brackets.
func parseAddresses(text string) ([]probe.Address, error) {
	parts := strings.Split(text, ",")
	if len(parts) > maxAddresses {
		return nil, ErrAddress
	}
	list := make([]probe.Address, 0, len(parts))
	for _, part := range parts {
		a, err := parseAddress(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, nil
}

func parseAddress(text string) (probe.Address, error) {
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		return probe.Address{Host: ip.String()}, nil
	}
	host, port := text, ""
	if i := strings.LastIndexByte(text, ':'); i >= 0 {
		host, port = text[:i], text[i+1:]
		if port == "" {
			return probe.Address{}, ErrAddress
		}
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		ip, err := netip.ParseAddr(host[1 : len(host)-1])
		if err != nil || !ip.Is6() || ip.Zone() != "" {
			return probe.Address{}, ErrAddress
		}
		host = ip.String()
	} else if !hostName(host) {
		return probe.Address{}, ErrAddress
	}
	a := probe.Address{Host: strings.ToLower(host)}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || port[0] == '+' {
			return probe.Address{}, ErrAddress
		}
		a.Port = uint16(n)
	}
	return a, nil
}

// hostName says whether s is an IPv4 literal or a name by RFC 1123, with the
// underscore that real zones use. A name made of digits and dots only must be
// an address: resolvers read such names in ways that no policy can foresee.
func hostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	digits := true
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			switch {
			case c >= '0' && c <= '9':
			case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '_':
				digits = false
			default:
				return false
			}
		}
	}
	if digits {
		ip, err := netip.ParseAddr(s)
		return err == nil && ip.Is4()
	}
	return true
}
