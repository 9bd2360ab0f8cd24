package egress

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Rule allows destinations to some projects on some networks. It has either a
// Prefix or a Host.
type Rule struct {
	// Prefix is a range of addresses. A name that resolves into it is allowed too.
	Prefix netip.Prefix
	// Host is a name, or ".suffix" for every name below it but not itself. It
	// allows every address that the name resolves to, except those that are
	// denied always. Lower case, no dot at the end.
	Host string
	// Ports that are allowed. Empty: all.
	Ports []PortRange
	// Networks from which it is allowed; "vpc-*" stands for all that begin so. Empty: all.
	Networks []string
	// Projects to which it is allowed. Empty: all.
	Projects []string
	// Line is where it stands in its file, counted from 1; 0 if in none.
	Line int
}

// PortRange is a range of ports, both ends included.
type PortRange struct{ First, Last uint16 }

// String gives the rule as a line of a rule file.
func (r *Rule) String() string {
	destination := r.Host
	if r.Prefix.IsValid() {
		destination = r.Prefix.String()
	}
	ports := make([]string, len(r.Ports))
	for i, p := range r.Ports {
		ports[i] = strconv.Itoa(int(p.First))
		if p.Last != p.First {
			ports[i] += "-" + strconv.Itoa(int(p.Last))
		}
	}
	return strings.Join([]string{destination, listed(ports), listed(r.Networks), listed(r.Projects)}, " ")
}

func listed(items []string) string {
	if len(items) == 0 {
		return "*"
	}
	return strings.Join(items, ",")
}

// maxRuleLine bounds one line of a rule file.
const maxRuleLine = 64 << 10

// ParseRules reads a rule file. Each line is a rule of four fields,
//
//	PREFIX|.SUFFIX|NAME  PORTS|*  NETWORKS|*  PROJECTS|*
//
// with commas inside lists and "-" inside port ranges. Blank lines, and what
// follows a "#", are skipped. The error names every problem with its line.
func ParseRules(r io.Reader) ([]Rule, error) {
	var rules []Rule
	var problems []error
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxRuleLine)
	number := 0
	for lines.Scan() {
		number++
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		rule, err := parseRule(fields)
		if err != nil {
			problems = append(problems, fmt.Errorf("line %d: %w", number, err))
			continue
		}
		rule.Line = number
		rules = append(rules, rule)
	}
	if err := lines.Err(); err != nil {
		problems = append(problems, fmt.Errorf("line %d: %w", number+1, err))
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return rules, nil
}

func parseRule(fields []string) (Rule, error) {
	if len(fields) != 4 {
		return Rule{}, fmt.Errorf("%d fields, want 4: destination, ports, networks, projects", len(fields))
	}
	var rule Rule
	var problems [4]error
	problems[0] = rule.parseDestination(fields[0])
	rule.Ports, problems[1] = parsePorts(fields[1])
	rule.Networks, problems[2] = parseNames("network", fields[2])
	rule.Projects, problems[3] = parseNames("project", fields[3])
	if err := joinShort(problems[:]); err != nil {
		return Rule{}, err
	}
	return rule, rule.validate()
}

// joinShort puts the problems of one line on one line.
func joinShort(problems []error) error {
	var texts []string
	for _, err := range problems {
		if err != nil {
			texts = append(texts, err.Error())
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return errors.New(strings.Join(texts, "; "))
}

func (r *Rule) parseDestination(field string) error {
	if a, err := netip.ParseAddr(field); err == nil {
		if a.Zone() != "" {
			return fmt.Errorf("address %q has a zone", field)
		}
		r.Prefix = netip.PrefixFrom(a, a.BitLen())
		return nil
	}
	if strings.ContainsAny(field, "/:") {
		prefix, err := netip.ParsePrefix(field)
		if err != nil {
			return fmt.Errorf("destination %q is no address range", field)
		}
		r.Prefix = prefix
		return nil
	}
	r.Host = strings.ToLower(strings.TrimSuffix(field, "."))
	return nil
}

func parsePorts(field string) ([]PortRange, error) {
	if field == "*" {
		return nil, nil
	}
	var ports []PortRange
	for item := range strings.SplitSeq(field, ",") {
		first, last, isRange := strings.Cut(item, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 16)
		to, err2 := strconv.ParseUint(last, 10, 16)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("%q is neither a port nor a range of ports", item)
		}
		ports = append(ports, PortRange{uint16(from), uint16(to)})
	}
	return ports, nil
}

func parseNames(what, field string) ([]string, error) {
	if field == "*" {
		return nil, nil
	}
	names := strings.Split(field, ",")
	if slices.Contains(names, "") {
		return nil, fmt.Errorf("empty %s name in %q", what, field)
	}
	return names, nil
}

// validate finds what can never match, or would match more than it says.
func (r *Rule) validate() error {
	switch {
	case r.Prefix.IsValid() == (r.Host != ""):
		return errors.New("a rule has either an address range or a name")
	case r.Host != "" && !validName(strings.TrimPrefix(r.Host, ".")):
		return fmt.Errorf("%q is no host name", r.Host)
	case r.Prefix.IsValid() && r.Prefix.Addr().Is4In6():
		return fmt.Errorf("range %s: write it as IPv4", r.Prefix)
	case r.Prefix.IsValid() && r.Prefix != r.Prefix.Masked():
		return fmt.Errorf("range %s has bits behind its mask; the range is %s", r.Prefix, r.Prefix.Masked())
	}
	for _, p := range r.Ports {
		if p.First == 0 || p.First > p.Last {
			return fmt.Errorf("ports %d-%d are no range from 1 to 65535", p.First, p.Last)
		}
	}
	return nil
}

// applies says whether the rule is for this scope.
func (r *Rule) applies(s Scope) bool {
	return (len(r.Projects) == 0 || slices.Contains(r.Projects, s.Project)) &&
		(len(r.Networks) == 0 || slices.ContainsFunc(r.Networks, func(n string) bool {
			stem, all := strings.CutSuffix(n, "*")
			return n == s.Network || all && strings.HasPrefix(s.Network, stem)
		}))
}

// names says whether the rule has the host, which is in canonical form.
func (r *Rule) names(host string) bool {
	if host == "" || r.Host == "" {
		return false
	}
	return r.Host == host || r.Host[0] == '.' && strings.HasSuffix(host, r.Host) && len(host) > len(r.Host)
}

func (r *Rule) port(port uint16) bool {
	return len(r.Ports) == 0 ||
		slices.ContainsFunc(r.Ports, func(p PortRange) bool { return p.First <= port && port <= p.Last })
}

// opensLoopback says whether the rule means loopback: a range of nothing else,
// with ports. What merely includes it, as 0.0.0.0/0 does, does not.
func (r *Rule) opensLoopback(a netip.Addr, port uint16) bool {
	const v4, v6 = 8, 128 // the mask of the loopback range
	bits := v4
	if a.Is6() {
		bits = v6
	}
	return r.Prefix.IsValid() && r.Prefix.Bits() >= bits && r.Prefix.Contains(a) && len(r.Ports) > 0 && r.port(port)
}

// canonical is the form in which names are compared.
func canonical(host string) string {
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// validName says whether host, in canonical form, can be the name of a host.
// A last label of digits cannot: such names are addresses in disguise
// ("127.1", "2130706433"), which some resolvers accept.
func validName(host string) bool {
	if len(host) == 0 || len(host) > 253 {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
		last = label
	}
	return strings.Trim(last, "0123456789") != "" && !strings.HasPrefix(last, "0x")
}
