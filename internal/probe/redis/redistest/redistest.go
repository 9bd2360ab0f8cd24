// Package redistest is a Redis for tests: it answers what a client says before
// it uses any data (PING, AUTH, INFO, SELECT, CLUSTER, QUIT) in the words of
// Redis 7, and says instead whatever a test wants it to say. It is imported by
// tests only.
package redistest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// Server says how connections are answered. It is not changed by them.
type Server struct {
	// Users are the passwords by user name. The password of "default" is what
	// AUTH with a password alone checks. No user at all: everybody is let in.
	Users map[string]string
	// Info is what INFO adds to the version: lines of name:value by section.
	Info map[string]string
	// Slots is the reply to CLUSTER SLOTS, ready for the wire. Empty: this is no
	// cluster.
	Slots string
	// Replies replace what is said to a command, ready for the wire, by its first
	// word or its first two: "PING", "CLUSTER INFO". A server has "PING" for those
	// who have not logged in as well.
	Replies map[string]string
	// Curt: the server ends the connection for an answer to QUIT.
	Curt bool
	// OnAuth is called when credentials have come, nil if nobody wants to know.
	OnAuth func()
	// OnCommand is called with every command, nil if nobody wants to know.
	OnCommand func(words []string)
}

// The errors of Redis 7.
const (
	NoAuth     = "-NOAUTH Authentication required.\r\n"
	WrongPass  = "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
	NoPassword = "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?\r\n"
)

const (
	ok        = "+OK\r\n"
	databases = 16
	maxWord   = 64 << 10
)

// Serve answers one connection until the client has gone or has said QUIT.
func (s *Server) Serve(conn net.Conn) {
	in := bufio.NewReader(conn)
	entered := len(s.Users) == 0
	for {
		words, err := command(in)
		if err != nil {
			return
		}
		if s.OnCommand != nil {
			s.OnCommand(words)
		}
		reply, quit := s.answer(words, &entered)
		if _, err := io.WriteString(conn, reply); err != nil || quit {
			return
		}
	}
}

// answer gives the reply to one command; entered changes with a login.
func (s *Server) answer(words []string, entered *bool) (reply string, quit bool) {
	name := strings.ToUpper(words[0])
	if name == "AUTH" {
		reply = s.auth(words, entered)
		return reply, false
	}
	if name == "QUIT" {
		if s.Curt {
			return "", true
		}
		return ok, true
	}
	if reply, replaced := s.Replies[name]; replaced {
		return reply, false
	}
	if len(words) > 1 {
		if reply, replaced := s.Replies[name+" "+strings.ToUpper(words[1])]; replaced {
			return reply, false
		}
	}
	if !*entered {
		return NoAuth, false
	}
	switch name {
	case "PING":
		return "+PONG\r\n", false
	case "INFO":
		return Bulk(s.info(words[1:])), false
	case "SELECT":
		return s.pick(words), false
	case "CLIENT":
		return ok, false
	case "CLUSTER":
		return s.cluster(words), false
	default:
		return fmt.Sprintf("-ERR unknown command '%.64s', with args beginning with: \r\n", name), false
	}
}

func (s *Server) auth(words []string, entered *bool) string {
	if s.OnAuth != nil {
		s.OnAuth()
	}
	if reply, replaced := s.Replies["AUTH"]; replaced {
		*entered = *entered || reply == ok
		return reply
	}
	var user, password string
	switch len(words) {
	case 2:
		user, password = "default", words[1]
		if len(s.Users) == 0 {
			return NoPassword
		}
	case 3:
		user, password = words[1], words[2]
	default:
		return "-ERR wrong number of arguments for 'auth' command\r\n"
	}
	if want, known := s.Users[user]; !known || want != password {
		return WrongPass
	}
	*entered = true
	return ok
}

func (s *Server) info(sections []string) string {
	var b strings.Builder
	for _, section := range sections {
		switch section {
		case "server":
			fmt.Fprintf(&b, "# Server\r\nredis_version:7.0.15\r\nredis_mode:%s\r\n", s.mode())
		case "replication":
			if s.Info[section] == "" {
				b.WriteString("# Replication\r\nrole:master\r\nconnected_slaves:0\r\n")
			}
		}
		b.WriteString(s.Info[section])
	}
	return b.String()
}

func (s *Server) mode() string {
	if s.Slots != "" {
		return "cluster"
	}
	return "standalone"
}

func (s *Server) pick(words []string) string {
	if len(words) != 2 {
		return "-ERR wrong number of arguments for 'select' command\r\n"
	}
	switch n, err := strconv.Atoi(words[1]); {
	case err != nil:
		return "-ERR value is not an integer or out of range\r\n"
	case s.Slots != "" && n != 0:
		return "-ERR SELECT is not allowed in cluster mode\r\n"
	case n < 0 || n >= databases:
		return "-ERR DB index is out of range\r\n"
	default:
		return ok
	}
}

func (s *Server) cluster(words []string) string {
	if s.Slots == "" {
		return "-ERR This instance has cluster support disabled\r\n"
	}
	if len(words) == 2 {
		switch strings.ToUpper(words[1]) {
		case "INFO":
			return Bulk("cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_known_nodes:3\r\ncluster_size:3\r\n")
		case "SLOTS":
			return s.Slots
		}
	}
	return "-ERR unknown subcommand\r\n"
}

// Bulk is text as a bulk string.
func Bulk(text string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) }

// Range is one element of a reply to CLUSTER SLOTS: the slots and who serves
// them, the master first. An address without a host is announced as a null.
func Range(first, last int, addresses ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n:%d\r\n:%d\r\n", 2+len(addresses), first, last)
	for _, address := range addresses {
		host, port, _ := net.SplitHostPort(address)
		name := Bulk(host)
		if host == "" {
			name = "$-1\r\n"
		}
		fmt.Fprintf(&b, "*4\r\n%s:%s\r\n%s*0\r\n", name, port, Bulk("id-of-"+address))
	}
	return b.String()
}

// Slots is a reply to CLUSTER SLOTS.
func Slots(ranges ...string) string {
	return fmt.Sprintf("*%d\r\n%s", len(ranges), strings.Join(ranges, ""))
}

var errNotRESP = errors.New("not a command")

// command reads an array of bulk strings, or a line of words as a human types
// it. As Redis does, it waits for the end of what begins with neither.
func command(in *bufio.Reader) ([]string, error) {
	line, err := endOfLine(in)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(line, "*") {
		if words := strings.Fields(line); len(words) > 0 {
			return words, nil
		}
		return command(in)
	}
	n, err := strconv.Atoi(line[1:])
	if err != nil || n < 1 || n > 64 {
		return nil, errNotRESP
	}
	words := make([]string, n)
	for i := range words {
		head, err := endOfLine(in)
		if err != nil {
			return nil, err
		}
		size, err := strconv.Atoi(strings.TrimPrefix(head, "$"))
		if err != nil || size < 0 || size > maxWord {
			return nil, errNotRESP
		}
		body := make([]byte, size+2)
		if _, err := io.ReadFull(in, body); err != nil {
			return nil, err
		}
		words[i] = string(body[:size])
	}
	return words, nil
}

// endOfLine reads a line. A zero byte hides the ends of all lines after it
// from Redis, which looks for them with strchr: it takes a handshake for the
// beginning of a line.
func endOfLine(in *bufio.Reader) (string, error) {
	var line []byte
	for {
		b, err := in.ReadByte()
		switch {
		case err != nil:
			return "", err
		case b == '\n' && bytes.IndexByte(line, 0) < 0:
			return strings.TrimSuffix(string(line), "\r"), nil
		case len(line) > maxWord:
			return "", errNotRESP
		}
		line = append(line, b)
	}
}
