package egress

import (
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// The IANA special-purpose registries as IANA publishes them, of November 2026
// (iana.org/assignments/iana-ipv4-special-registry/iana-ipv4-special-registry-1.csv,
// and likewise for IPv6). A newer file may take their place: columns are found
// by name, footnotes are skipped.
var (
	//go:embed iana/ipv4.csv
	ianaIPv4 string
	//go:embed iana/ipv6.csv
	ianaIPv6 string
)

// block is one entry of a special-purpose registry.
type block struct {
	prefix netip.Prefix
	global bool
}

// registry holds blocks, the most specific first.
type registry []block

// parseRegistry reads one registry file. What is "N/A", or left empty because
// the assignment has ended, counts as not global.
func parseRegistry(text string) (registry, error) {
	r := csv.NewReader(strings.NewReader(text))
	head, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	at, reach := slices.Index(head, "Address Block"), slices.Index(head, "Globally Reachable")
	if at < 0 || reach < 0 {
		return nil, errors.New(`no column "Address Block" or "Globally Reachable"`)
	}
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read rows: %w", err)
	}
	if len(rows) == 0 {
		return nil, errors.New("no rows")
	}
	var blocks registry
	for i, row := range rows {
		global, err := reachable(row[reach])
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", i+1, err)
		}
		for field := range strings.SplitSeq(row[at], ",") {
			prefix, err := netip.ParsePrefix(bare(field))
			if err != nil {
				return nil, fmt.Errorf("row %d: %w", i+1, err)
			}
			if prefix != prefix.Masked() {
				return nil, fmt.Errorf("row %d: %s has bits behind its mask", i+1, prefix)
			}
			blocks = append(blocks, block{prefix, global})
		}
	}
	slices.SortStableFunc(blocks, func(a, b block) int { return b.prefix.Bits() - a.prefix.Bits() })
	return blocks, nil
}

func reachable(field string) (bool, error) {
	switch bare(field) {
	case "True":
		return true, nil
	case "False", "N/A", "":
		return false, nil
	default:
		return false, fmt.Errorf("globally reachable is %q", field)
	}
}

// bare cuts a footnote mark such as "[2]".
func bare(field string) string {
	field, _, _ = strings.Cut(field, "[")
	return strings.TrimSpace(field)
}

// global says whether the registry leaves a reachable from everywhere.
func (r registry) global(a netip.Addr) bool {
	for _, b := range r {
		if b.prefix.Contains(a) {
			return b.global
		}
	}
	return true
}
