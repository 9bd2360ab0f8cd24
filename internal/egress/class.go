package egress

import (
	"fmt"
	"net/netip"
	"slices"
)

// Class is why a destination is denied. The set is closed.
type Class string

// The classes. All but the last five are denied always, whatever rules say.
const (
	ClassLoopback     Class = "loopback"      // this machine, see Config.Local and Config.Open
	ClassUnspecified  Class = "unspecified"   // 0.0.0.0/8, ::, no address at all
	ClassLinkLocal    Class = "link_local"    // 169.254.0.0/16, fe80::/10, anything with a zone
	ClassMetadata     Class = "metadata"      // the credential services of clouds
	ClassMulticast    Class = "multicast"     // one to many, broadcast included
	ClassEmbeddedIPv4 Class = "embedded_ipv4" // IPv6 that a gateway turns into IPv4
	ClassOwn          Class = "own"           // our own store, queue and listeners
	ClassTransport    Class = "transport"     // not TCP
	ClassResolver     Class = "resolver"      // the caller's DNS server may not be asked
	ClassPrivate      Class = "private"       // private use, no rule has it
	ClassReserved     Class = "reserved"      // special purpose, no rule has it
	ClassNotListed    Class = "not_listed"    // public or a name, no rule has it
	ClassPort         Class = "port"          // a rule has it, with other ports; port 0 is denied always
)

// Classes lists them all.
func Classes() []Class {
	return []Class{
		ClassLoopback, ClassUnspecified, ClassLinkLocal, ClassMetadata, ClassMulticast, ClassEmbeddedIPv4, ClassOwn,
		ClassTransport, ClassResolver, ClassPrivate, ClassReserved, ClassNotListed, ClassPort,
	}
}

// Meaning says in words why the class is denied, for operators.
func (c Class) Meaning() string {
	switch c {
	case ClassLoopback:
		return "it is this machine itself"
	case ClassUnspecified:
		return "it is no address of a host"
	case ClassLinkLocal:
		return "it is link-local"
	case ClassMetadata:
		return "a cloud hands out credentials there"
	case ClassMulticast:
		return "it is multicast or broadcast"
	case ClassEmbeddedIPv4:
		return "it is IPv6 that a gateway turns into IPv4"
	case ClassOwn:
		return "it is a store, a queue or a listener of this service"
	case ClassTransport:
		return "it is not TCP"
	case ClassResolver:
		return "the caller's DNS server may not be asked"
	case ClassPrivate:
		return "it is for private use, and no rule has it"
	case ClassReserved:
		return "it is reserved for a special purpose, and no rule has it"
	case ClassNotListed:
		return "no rule has it"
	case ClassPort:
		return "the rules that have it do not have the port"
	default:
		return ""
	}
}

// ranges tells addresses apart. It is immutable.
type ranges struct {
	metadata      []netip.Addr
	embedded      []netip.Prefix
	private       []netip.Prefix
	thisNetwork   netip.Prefix
	broadcast     netip.Addr
	globalUnicast netip.Prefix // of IPv6
	v4, v6        registry
}

func newRanges() (*ranges, error) {
	v4, err := parseRegistry(ianaIPv4)
	if err != nil {
		return nil, fmt.Errorf("IPv4 special-purpose registry: %w", err)
	}
	v6, err := parseRegistry(ianaIPv6)
	if err != nil {
		return nil, fmt.Errorf("IPv6 special-purpose registry: %w", err)
	}
	return &ranges{
		metadata: []netip.Addr{
			netip.MustParseAddr("169.254.169.254"), // most clouds
			netip.MustParseAddr("169.254.170.2"),   // container credentials
			netip.MustParseAddr("100.100.100.200"), // inside the shared space
			netip.MustParseAddr("192.0.0.192"),     // inside the protocol assignments
			netip.MustParseAddr("168.63.129.16"),   // a public address, yet served by the host
			netip.MustParseAddr("fd00:ec2::254"),   // inside the unique-local space, as the next two
			netip.MustParseAddr("fd00:ec2::23"),
			netip.MustParseAddr("fd20:ce::254"),
		},
		embedded: []netip.Prefix{
			netip.MustParsePrefix("::/96"),           // IPv4-compatible; :: and ::1 are judged before
			netip.MustParsePrefix("::ffff:0:0/96"),   // mapped; unwrapped before, kept as a backstop
			netip.MustParsePrefix("::ffff:0:0:0/96"), // translated
			netip.MustParsePrefix("64:ff9b::/96"),    // NAT64
			netip.MustParsePrefix("64:ff9b:1::/48"),  // NAT64 of one's own
			netip.MustParsePrefix("2001::/32"),       // Teredo
			netip.MustParsePrefix("2002::/16"),       // 6to4
		},
		private: []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"),
			netip.MustParsePrefix("172.16.0.0/12"),
			netip.MustParsePrefix("192.168.0.0/16"),
			netip.MustParsePrefix("100.64.0.0/10"),
			netip.MustParsePrefix("fc00::/7"),
		},
		thisNetwork:   netip.MustParsePrefix("0.0.0.0/8"),
		broadcast:     netip.MustParseAddr("255.255.255.255"),
		globalUnicast: netip.MustParsePrefix("2000::/3"),
		v4:            v4,
		v6:            v6,
	}, nil
}

// never is the class for which a, unwrapped and without a zone, is denied
// whatever the rules say; empty if the rules decide.
func (r *ranges) never(a netip.Addr) Class {
	switch {
	case !a.IsValid(), a.IsUnspecified(), r.thisNetwork.Contains(a):
		return ClassUnspecified
	case a.IsLoopback():
		return ClassLoopback
	case slices.Contains(r.metadata, a):
		return ClassMetadata
	case a.IsLinkLocalUnicast():
		return ClassLinkLocal
	case a.IsMulticast(), a == r.broadcast:
		return ClassMulticast
	case within(r.embedded, a):
		return ClassEmbeddedIPv4
	default:
		return ""
	}
}

// unlisted is the class of an address that the rules lack.
func (r *ranges) unlisted(a netip.Addr) Class {
	switch {
	case within(r.private, a):
		return ClassPrivate
	case r.global(a):
		return ClassNotListed
	default:
		return ClassReserved
	}
}

// global says whether a is global unicast: allocated for it and not special.
func (r *ranges) global(a netip.Addr) bool {
	if a.Is4() {
		return !a.IsMulticast() && r.v4.global(a)
	}
	return r.globalUnicast.Contains(a) && r.v6.global(a)
}

func within(prefixes []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}
