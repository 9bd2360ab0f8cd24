package main

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

// What is wrong with a URL. No text repeats any of it: a password may stand
// where it does not belong.
var (
	errEscape  = errors.New("it has a % that begins no percent-encoding: write %25 for a %")
	errReserve = errors.New("it has one of @ / ? # where none belongs: percent-encode them in user, password and database (%40 %2F %3F %23)")
	errHost    = errors.New("its host is not HOST, HOST:PORT, [IPv6]:PORT or a list of them")
	errPort    = errors.New("its port is not a number from 1 to 65535")
)

// scheme is what a URL begins with.
type scheme struct {
	dbType string
	// port is the usual one, for hosts that come without.
	port int
	// list says that the ports belong into the list of hosts.
	list bool
}

func schemes() map[string]scheme {
	return map[string]scheme{
		"mysql": {dbType: "mysql", port: 3306}, "mariadb": {dbType: "mysql", port: 3306}, "taurus": {dbType: "taurus", port: 3306},
		"postgresql": {dbType: "postgresql", port: 5432}, "postgres": {dbType: "postgresql", port: 5432},
		"gaussdb": {dbType: "gaussdbv5", port: 8000}, "opengauss": {dbType: "gaussdbv5", port: 5432},
		"oracle":  {dbType: "oracle", port: 1521},
		"mongodb": {dbType: "mongodb", port: 27017, list: true}, "kafka": {dbType: "kafka", port: 9092, list: true},
	}
}

// isURL says whether an argument is meant as a URL and not as a file.
func isURL(argument string) bool { return strings.Contains(argument, "://") }

// endpointFromURL turns a URL into named fields, and nothing else: only the
// options of urlOptions exist, and none reaches a driver as text. net/url is
// no help: it knows one host only, and its errors repeat the URL.
func endpointFromURL(text string) (e batch.Endpoint, verify probe.Verify, err error) {
	name, rest, _ := strings.Cut(text, "://")
	kind, ok := schemes()[strings.ToLower(name)]
	if !ok {
		return e, "", errors.New("its engine is not known: mysql, mariadb, taurus, postgresql, gaussdb, opengauss, mongodb, kafka, oracle")
	}
	rest, options, _ := strings.Cut(rest, "?")
	authority, database, _ := strings.Cut(rest, "/")
	login, hosts := "", authority
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		login, hosts = authority[:at], authority[at+1:]
	}
	if strings.ContainsAny(database, "/@#") || strings.ContainsAny(options, "@#?") || strings.ContainsAny(authority, "#") {
		return e, "", errReserve
	}
	e = batch.Endpoint{NetType: "eip", DBType: kind.dbType, EndPointType: "so"}
	user, password, _ := strings.Cut(login, ":")
	if password, err = unescape(password); err != nil {
		return e, "", err
	}
	e.Password = secret.New(password)
	if e.User, err = unescape(user); err != nil {
		return e, "", err
	}
	if e.DBName, err = unescape(database); err != nil {
		return e, "", err
	}
	if err := placeFromURL(&e, kind, hosts); err != nil {
		return e, "", err
	}
	verify, err = urlOptions(&e, options)
	return e, verify, err
}

func unescape(text string) (string, error) {
	plain, err := url.PathUnescape(text)
	if err != nil {
		return "", errEscape
	}
	return plain, nil
}

// placeFromURL fills in ip and port as the engine wants them.
func placeFromURL(e *batch.Endpoint, kind scheme, hosts string) error {
	var list []string
	var host string
	var port int
	for one := range strings.SplitSeq(hosts, ",") {
		var err error
		if host, port, err = splitHost(one); err != nil {
			return err
		}
		if port == 0 {
			port = kind.port
		}
		list = append(list, probe.Address{Host: host, Port: uint16(port)}.String()) //nolint:gosec // splitHost bounds it
	}
	if kind.list || len(list) > 1 {
		e.IP = strings.Join(list, ",")
		return nil
	}
	e.IP, e.DBPort = host, port
	return nil
}

// splitHost reads HOST, HOST:PORT or either with an IPv6 address in brackets.
func splitHost(text string) (host string, port int, err error) {
	host, digits, found := strings.Cut(text, ":")
	if strings.HasPrefix(text, "[") {
		inner, after, closed := strings.Cut(text[1:], "]")
		ip, err := netip.ParseAddr(inner)
		if !closed || err != nil || !ip.Is6() || ip.Zone() != "" || (after != "" && after[0] != ':') {
			return "", 0, errHost
		}
		host, found, digits = inner, after != "", strings.TrimPrefix(after, ":")
	}
	if host == "" || strings.Contains(digits, ":") {
		return "", 0, errHost
	}
	if !found {
		return host, 0, nil
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 {
		return "", 0, errPort
	}
	return host, int(n), nil
}
