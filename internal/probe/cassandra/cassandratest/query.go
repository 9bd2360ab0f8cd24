package cassandratest

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// The kinds of a result and the types of a column.
const (
	rowsResult    = 2
	useResult     = 3
	typeInt       = 0x09
	typeUUID      = 0x0C
	typeText      = 0x0D
	typeInet      = 0x10
	globalTable   = 0x01
	homeCenter    = "datacenter1"
	homeRelease   = "5.0.5"
	homePartition = "org.apache.cassandra.dht.Murmur3Partitioner"
)

// column is one value by its name.
type column struct {
	name  string
	kind  uint16
	value []byte
}

var (
	use  = regexp.MustCompile(`(?is)^\s*USE\s+"?((?:[^"]|"")*?)"?\s*$`)
	read = regexp.MustCompile(`(?is)^\s*SELECT\s+(.*?)\s+FROM\s+system\.(\w+)`)
)

// wellFormed says whether a query has all that its flags announce, and nothing
// behind that. The real server is more patient.
func wellFormed(version byte, body []byte) bool {
	const (
		pageSize, pagingState, serial, timestamp = 0x04, 0x08, 0x10, 0x20
		known                                    = 0x02 | pageSize | pagingState | serial | timestamp
	)
	rest := body[min(len(body), 4+len(longAt(body))+2):]
	var flags uint32
	if version >= 5 && len(rest) >= 4 {
		flags, rest = binary.BigEndian.Uint32(rest), rest[4:]
	} else if version < 5 && len(rest) >= 1 {
		flags, rest = uint32(rest[0]), rest[1:]
	}
	due := 0
	if flags&pageSize != 0 {
		due += 4
	}
	if flags&pagingState != 0 {
		due += 4 + len(longAt(rest[min(len(rest), due):]))
	}
	if flags&serial != 0 {
		due += 2
	}
	if flags&timestamp != 0 {
		due += 8
	}
	return flags&^known == 0 && len(rest) == due
}

// execute answers the statements with which a driver begins.
func (s *Server) execute(statement string) (Op, []byte) {
	if m := use.FindStringSubmatch(statement); m != nil {
		name := strings.ReplaceAll(m[1], `""`, `"`)
		if name != s.Keyspace || name == "" {
			return failure, errorBody(invalidQuery, fmt.Sprintf("Keyspace '%s' does not exist", name))
		}
		return result, text(binary.BigEndian.AppendUint32(nil, useResult), name)
	}
	m := read.FindStringSubmatch(statement)
	if m == nil {
		return failure, errorBody(invalidQuery, "no such statement here")
	}
	table, like := s.table(m[2])
	if like == nil {
		return failure, errorBody(invalidQuery, fmt.Sprintf("table %s does not exist", m[2]))
	}
	names := strings.Split(strings.ReplaceAll(m[1], " ", ""), ",")
	if m[1] == "*" {
		names = names[:0]
		for _, c := range like {
			names = append(names, c.name)
		}
	}
	return rows(m[2], table, like, names)
}

// table gives the rows of a table and an example of one; no example: there is
// no such table.
func (s *Server) table(name string) (table [][]column, like []column) {
	switch name {
	case "local":
		row := node(netip.MustParseAddr("127.0.0.1"), homeCenter)
		row = append(row, column{"key", typeText, []byte("local")}, column{"cluster_name", typeText, []byte("cassandratest")},
			column{"partitioner", typeText, []byte(homePartition)})
		return [][]column{row}, row
	case "peers", "peers_v2":
		if s.Old && name == "peers_v2" {
			return nil, nil
		}
		for _, p := range s.Peers {
			table = append(table, p.row())
		}
		return table, (&Peer{}).row()
	default:
		return nil, nil
	}
}

func (p *Peer) row() []column {
	row := node(p.Native, cmp.Or(p.DataCenter, homeCenter))
	return append(row, column{"peer", typeInet, inet(p.Peer)}, column{"native_address", typeInet, inet(p.Native)},
		column{"native_port", typeInt, binary.BigEndian.AppendUint32(nil, uint32(p.Port))})
}

// node is what both tables say of a node.
func node(address netip.Addr, center string) []column {
	id := make([]byte, 16)
	copy(id[12:], address.AsSlice())
	return []column{
		{"rpc_address", typeInet, inet(address)},
		{"data_center", typeText, []byte(center)},
		{"rack", typeText, []byte("rack1")},
		{"release_version", typeText, []byte(homeRelease)},
		{"host_id", typeUUID, id},
		{"schema_version", typeUUID, make([]byte, 16)},
	}
}

// inet is an address as a column holds it, null for none.
func inet(a netip.Addr) []byte {
	if !a.IsValid() {
		return nil
	}
	return a.AsSlice()
}

func rows(table string, all [][]column, like []column, names []string) (Op, []byte) {
	b := binary.BigEndian.AppendUint32(nil, rowsResult)
	b = binary.BigEndian.AppendUint32(b, globalTable)
	b = binary.BigEndian.AppendUint32(b, uint32(len(names)))
	b = text(text(b, "system"), table)
	for _, name := range names {
		c, ok := find(like, name)
		if !ok {
			return failure, errorBody(invalidQuery, fmt.Sprintf("Undefined column name %s in table system.%s", name, table))
		}
		b = binary.BigEndian.AppendUint16(text(b, name), c.kind)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(all)))
	for _, row := range all {
		for _, name := range names {
			if c, _ := find(row, name); c.value != nil {
				b = long(b, c.value)
			} else {
				b = append(b, 0xff, 0xff, 0xff, 0xff)
			}
		}
	}
	return result, b
}

func find(row []column, name string) (column, bool) {
	for _, c := range row {
		if c.name == name {
			return c, true
		}
	}
	return column{}, false
}
