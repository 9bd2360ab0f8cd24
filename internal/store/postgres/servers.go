package postgres

import (
	"net"
	"strconv"
	"strings"
)

// Servers lists the host:port pairs that the DSN names; a Unix socket is none.
func (s *Store) Servers() []string {
	cfg := s.pool.Config().ConnConfig
	var list []string
	add := func(host string, port uint16) {
		if !strings.HasPrefix(host, "/") {
			list = append(list, net.JoinHostPort(host, strconv.Itoa(int(port))))
		}
	}
	add(cfg.Host, cfg.Port)
	for _, f := range cfg.Fallbacks {
		add(f.Host, f.Port)
	}
	return list
}
