package gaussdbtest

import (
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
)

// session opens the database and answers statements until the client leaves.
func (c *client) session() {
	s := c.server
	database := c.who["database"]
	if database == "" {
		database = c.who["user"]
	}
	if database != s.Database {
		c.fail(Failure{Code: "3D000", Text: `database "` + database + `" does not exist`})
		return
	}
	for _, p := range [][2]string{
		{"server_version", "9.2.4"},
		{"client_encoding", "UTF8"},
		{"server_encoding", "UTF8"},
		{"integer_datetimes", "on"},
		{"DateStyle", "ISO, MDY"},
		{"TimeZone", "UTC"},
		{"standard_conforming_strings", "on"},
		{"is_superuser", "off"},
	} {
		c.back.Send(&pgproto3.ParameterStatus{Name: p[0], Value: p[1]})
	}
	c.send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 2}}, &pgproto3.ReadyForQuery{TxStatus: 'I'})
	for parsed := ""; ; {
		message, err := c.back.Receive()
		if err != nil {
			return
		}
		switch m := message.(type) {
		case *pgproto3.Terminate:
			return
		case *pgproto3.Query:
			c.describe(m.String)
			c.execute(m.String)
			c.send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		case *pgproto3.Parse:
			parsed = m.Query
			c.back.Send(&pgproto3.ParseComplete{})
		case *pgproto3.Bind:
			c.back.Send(&pgproto3.BindComplete{})
		case *pgproto3.Describe:
			if !c.describe(parsed) {
				c.back.Send(&pgproto3.NoData{})
			}
		case *pgproto3.Execute:
			c.execute(parsed)
		case *pgproto3.Sync:
			c.send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		}
	}
}

// value is what a name that may be selected stands for.
func (s *Server) value(name string) (string, bool) {
	role := map[bool]string{true: "Standby", false: "Primary"}
	value, ok := map[string]string{
		"version()":                s.version(),
		"gs_get_current_version()": s.version(),
		"working_version_num()":    "92605",
		"pg_is_in_recovery()":      map[bool]string{true: "t", false: "f"}[s.Standby],
		"local_role":               role[s.Standby], // of pg_stat_get_stream_replications()
		"db_state":                 "Normal",
		"datcompatibility":         "A", // of pg_database
	}[name]
	return value, ok
}

// answer is a result: its columns, and of its rows the one or none.
type answer struct {
	names  []string
	values [][]byte // nil: no row
}

// ask answers a select. What it is from does not matter, for there is one row
// of everything that is known, and none of anything else. It gives nil for what
// is not a select.
func (s *Server) ask(statement string) *answer {
	list, ok := strings.CutPrefix(strings.ToLower(strings.TrimRight(statement, "; ")), "select ")
	if !ok {
		return nil
	}
	list, _, _ = strings.Cut(list, " from ")
	result, known := &answer{}, true
	for item := range strings.SplitSeq(list, ",") {
		name := strings.TrimPrefix(strings.TrimSpace(item), "pg_catalog.")
		value, ok := s.value(name)
		known = known && ok
		result.names = append(result.names, strings.TrimSuffix(name, "()"))
		result.values = append(result.values, []byte(value))
	}
	if !known {
		result.values = nil
	}
	return result
}

// oidText is the type of every column: none that a client would want in binary.
const oidText = 25

// describe sends the names of the columns, if the statement has any.
func (c *client) describe(statement string) bool {
	result := c.server.ask(statement)
	if result == nil || c.server.Broken != nil {
		return false
	}
	fields := make([]pgproto3.FieldDescription, len(result.names))
	for i, name := range result.names {
		fields[i] = pgproto3.FieldDescription{Name: []byte(name), DataTypeOID: oidText, DataTypeSize: -1, TypeModifier: -1}
	}
	c.back.Send(&pgproto3.RowDescription{Fields: fields})
	return true
}

func (c *client) execute(statement string) {
	if f := c.server.Broken; f != nil {
		c.back.Send(&pgproto3.ErrorResponse{Severity: "ERROR", Code: f.Code, Message: f.Text})
		return
	}
	verb, _, _ := strings.Cut(strings.TrimSpace(statement), " ")
	tag := strings.ToUpper(verb)
	if result := c.server.ask(statement); result != nil {
		tag = "SELECT 0"
		if result.values != nil {
			c.back.Send(&pgproto3.DataRow{Values: result.values})
			tag = "SELECT 1"
		}
	}
	c.back.Send(&pgproto3.CommandComplete{CommandTag: []byte(tag)})
}
