package politeness_test

import (
	"database/sql"
	"strconv"
	"testing"
)

// queryMariaDB gives the rows of any table, with the names of its columns.
func queryMariaDB(t *testing.T, db *sql.DB, query string, row func(columns []string, values []any)) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(sql.NullString)
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		row(columns, values)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func text(value any) string {
	if s, ok := value.(*sql.NullString); ok {
		return s.String
	}
	return ""
}

func number(t *testing.T, value any) int {
	t.Helper()
	n, err := strconv.Atoi(text(value))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
