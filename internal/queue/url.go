package queue

import (
	"errors"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"dialtone/internal/secret"
)

// place is what a URL says: how Redis is run, and where.
type place struct {
	sentinel, cluster, tls bool
	addrs                  []string
	username               string
	password               secret.Text
	master                 string
	db                     int
}

// parseURL reads the forms that Config.URL documents. It is ours because
// net/url takes no list of hosts, and because its errors repeat what they
// could not read, password and all; these never show any of the text.
func parseURL(text secret.Text) (place, error) {
	var p place
	scheme, rest, found := strings.Cut(text.Reveal(), "://")
	if !found {
		return p, errors.New("redis URL: no scheme")
	}
	base, kind, _ := strings.Cut(scheme, "+")
	switch base {
	case "redis":
	case "rediss":
		p.tls = true
	default:
		return p, errors.New("redis URL: the scheme is neither redis nor rediss")
	}
	switch kind {
	case "":
	case "sentinel":
		p.sentinel = true
	case "cluster":
		p.cluster = true
	default:
		return p, errors.New("redis URL: the scheme ends neither in +sentinel nor in +cluster")
	}
	if strings.ContainsAny(rest, "?#") {
		return p, errors.New("redis URL: options are settings of their own; in a password, write ? as %3F and # as %23")
	}
	rest, err := p.user(rest)
	if err != nil {
		return p, err
	}
	hosts, path, _ := strings.Cut(rest, "/")
	if err := p.hosts(hosts); err != nil {
		return p, err
	}
	return p, p.path(path)
}

// user takes the part before the last @.
func (p *place) user(rest string) (string, error) {
	at := strings.LastIndexByte(rest, '@')
	if at < 0 {
		return rest, nil
	}
	name, password, _ := strings.Cut(rest[:at], ":")
	name, errName := url.PathUnescape(name)
	password, errPassword := url.PathUnescape(password)
	if errName != nil || errPassword != nil {
		return "", errors.New("redis URL: user or password is not percent-encoded")
	}
	p.username, p.password = name, secret.New(password)
	return rest[at+1:], nil
}

func (p *place) hosts(list string) error {
	port := "6379"
	if p.sentinel {
		port = "26379"
	}
	for host := range strings.SplitSeq(list, ",") {
		addr, ok := address(strings.TrimSpace(host), port)
		if !ok {
			return errors.New("redis URL: a host is missing or is not host:port")
		}
		p.addrs = append(p.addrs, addr)
	}
	if len(p.addrs) > 1 && !p.sentinel && !p.cluster {
		return errors.New("redis URL: several hosts need +sentinel or +cluster in the scheme")
	}
	return nil
}

func address(host, port string) (string, bool) {
	if h, p, err := net.SplitHostPort(host); err == nil {
		host, port = h, p
	} else if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	} else if strings.Contains(host, ":") {
		return "", false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if host == "" || err != nil || n == 0 {
		return "", false
	}
	return net.JoinHostPort(host, port), true
}

// path is "db", for Sentinel "master" or "master/db", for Cluster nothing.
func (p *place) path(path string) error {
	parts := slices.DeleteFunc(strings.Split(path, "/"), func(s string) bool { return s == "" })
	if p.sentinel {
		if len(parts) == 0 {
			return errors.New("redis URL: Sentinel needs the name of the master behind the hosts: /name")
		}
		p.master, parts = parts[0], parts[1:]
	}
	switch {
	case len(parts) == 0:
		return nil
	case len(parts) > 1:
		return errors.New("redis URL: the path has too many parts")
	}
	db, err := strconv.ParseUint(parts[0], 10, 16)
	if err != nil {
		return errors.New("redis URL: the database is not a number")
	}
	if p.cluster && db != 0 {
		return errors.New("redis URL: a cluster has only database 0")
	}
	p.db = int(db)
	return nil
}
