package main

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"
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
	name   string
	dbType string
	// port is the usual one, for hosts that come without.
	port int
	// list says that the ports belong into the list of hosts.
	list bool
	// tls is what the option tls is unless it is given.
	tls probe.Verify
}

// schemes are all there are, in the order in which they are listed to users.
func schemes() []scheme {
	return []scheme{
		{name: "mysql", dbType: "mysql", port: 3306},
		{name: "mariadb", dbType: "mysql", port: 3306},
		{name: "taurus", dbType: "taurus", port: 3306},
		{name: "postgresql", dbType: "postgresql", port: 5432},
		{name: "postgres", dbType: "postgresql", port: 5432},
		{name: "gaussdb", dbType: "gaussdbv5", port: 8000},
		{name: "opengauss", dbType: "gaussdbv5", port: 5432},
		{name: "sqlserver", dbType: "sqlserver", port: 1433},
		{name: "oracle", dbType: "oracle", port: 1521},
		{name: "mongodb", dbType: "mongodb", port: 27017, list: true},
		{name: "cassandra", dbType: "cassandra", port: 9042},
		{name: "redis", dbType: "redis", port: 6379},
		{name: "rediss", dbType: "redis", port: 6379, tls: probe.VerifyCA},
		{name: "rediscluster", dbType: "rediscluster", port: 6379},
		{name: "gaussredis", dbType: "gaussredis", port: 6379},
		{name: "kafka", dbType: "kafka", port: 9092, list: true},
	}
}

// schemeNames lists them for a sentence.
func schemeNames() string {
	all := schemes()
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.name
	}
	return strings.Join(names, ", ")
}

// schemeOf finds a scheme by its name, in whatever case.
func schemeOf(name string) (scheme, bool) {
	all := schemes()
	i := slices.IndexFunc(all, func(s scheme) bool { return strings.EqualFold(s.name, name) })
	if i < 0 {
		return scheme{}, false
	}
	return all[i], true
}

// isURL says whether an argument is meant as a URL and not as a file.
func isURL(argument string) bool { return strings.Contains(argument, "://") }

// endpointFromURL turns a URL into named fields, and nothing else: only the
// options of urlOptions exist, and none reaches a driver as text. net/url is
// no help: it knows one host only, and its errors repeat the URL.
func endpointFromURL(text string) (e batch.Endpoint, verify probe.Verify, err error) {
	name, rest, _ := strings.Cut(text, "://")
	kind, ok := schemeOf(name)
	if !ok {
		return e, "", errors.New("its engine is not known, it must be one of " + schemeNames())
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
	verify, err = urlOptions(&e, kind, options)
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
