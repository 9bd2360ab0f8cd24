package record

import (
	"strconv"
	"strings"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/job"
)

// Clauses are the conditions of a statement that is put together, and its
// arguments. Conditions are written by us; what a caller gave is an argument.
type Clauses struct {
	mark  string
	time  func(time.Time) any
	where []string
	args  []any
}

// NewClauses makes Clauses of a dialect: mark stands before the number of an
// argument, and moment is the form of a time.
func NewClauses(mark string, moment func(time.Time) any) *Clauses {
	return &Clauses{mark: mark, time: moment}
}

// Arg adds an argument and gives its place in the statement.
func (c *Clauses) Arg(value any) string {
	if at, ok := value.(time.Time); ok {
		value = c.time(at)
	}
	c.args = append(c.args, value)
	return c.mark + strconv.Itoa(len(c.args))
}

// And adds a condition.
func (c *Clauses) And(condition string) { c.where = append(c.where, condition) }

// Where gives the conditions as one.
func (c *Clauses) Where() string { return strings.Join(c.where, " and ") }

// Args gives the arguments.
func (c *Clauses) Args() []any { return c.args }

// ListBatches is the query of a page of batches, by their columns; b is their
// table. It asks for one row more than the page holds, to know of the next.
func (c *Clauses) ListBatches(columns string, q batch.Query) (query string, err error) {
	// key is the table whose index gives the order.
	from, key, id := "batches b", "b", "b.id"
	if q.JobID != "" {
		from, key, id = "batch_jobs j join batches b on b.id = j.batch_id", "j", "j.batch_id"
	}
	c.And(key + ".project = " + c.Arg(q.Project))
	if q.JobID != "" {
		c.And("j.job_id = " + c.Arg(q.JobID))
	}
	switch q.State {
	case batch.Running:
		c.And("b.finished_at is null")
	case batch.Done:
		c.And("b.finished_at is not null")
	case batch.Queued: // a batch never is
		c.And("false")
	}
	if !q.Since.IsZero() {
		c.And(key + ".created_at >= " + c.Arg(q.Since))
	}
	if !q.Until.IsZero() {
		c.And(key + ".created_at < " + c.Arg(q.Until))
	}
	if q.After != "" {
		after, err := ParseCursor(q.After)
		if err != nil {
			return "", err
		}
		c.And("(" + key + ".created_at, " + id + ") < (" + c.Arg(after.At) + ", " + c.Arg(after.ID) + ")")
	}
	return "select " + columns + "\n  from " + from + "\n where " + c.Where() +
		"\n order by " + key + ".created_at desc, " + id + " desc\n limit " + c.Arg(max(q.Limit, 1)+1), nil
}

// Page makes a page of what ListBatches found.
func Page(found []batch.Batch, limit int) batch.Page {
	limit = max(limit, 1)
	if len(found) <= limit {
		return batch.Page{Batches: found}
	}
	last := found[limit-1]
	return batch.Page{Batches: found[:limit], Next: Cursor{At: last.CreatedAt, ID: last.ID}.String()}
}

// Jobs adds the conditions of a filter that are alike in all dialects: all but
// those by ids and by name. j is the table.
func (c *Clauses) Jobs(f job.Filter) {
	c.And("j.project = " + c.Arg(f.Project))
	// Constants, and as the partial index has them: of an argument the planner
	// could not tell that it fits.
	if f.TopLevel {
		c.And("j.parent_id = ''")
	}
	if f.Live {
		c.And("j.status <> 'DELETED'")
	}
	for _, equal := range []struct{ column, value string }{
		{"j.status", string(f.Status)},
		{"j.db_use_type", f.DBUseType},
		{"j.engine_type", f.EngineType},
		{"j.net_type", f.NetType},
	} {
		if equal.value != "" {
			c.And(equal.column + " = " + c.Arg(equal.value))
		}
	}
}
