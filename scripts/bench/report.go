package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// report is a whole run.
type report struct {
	Date    string  `json:"date"`
	Machine machine `json:"machine"`
	Rounds  int     `json:"rounds"`
	Seconds float64 `json:"seconds_per_round"`
	Rows    []row   `json:"rows"`
}

// row is one variant of one kind of probes with one number of callers, over
// all rounds. The ratios are of medians: of the rounds' ratios the median, and
// between which they lie.
type row struct {
	Probes           string  `json:"probes"`
	Callers          int     `json:"callers"`
	Variant          string  `json:"variant"`
	Batches          int     `json:"batches"`
	MedianMS         float64 `json:"median_ms"`
	P99MS            float64 `json:"p99_ms"`
	BatchesPerSecond float64 `json:"batches_per_second"`
	MedianSpreadMS   spread  `json:"median_spread_ms"`
	ToLimit          *ratio  `json:"to_limit,omitempty"`
	ToLimit2         *ratio  `json:"to_limit2,omitempty"`
	ToLimit2HTTP     *ratio  `json:"to_limit2_http,omitempty"`
}

// spread is from the lowest to the highest round.
type spread struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

type ratio struct {
	Median float64 `json:"median"`
	spread
}

// quantile of sorted durations.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// summarize makes the rows of one kind of probes and number of callers.
func summarize(kind string, callers int, variants []string, rounds map[string][]round) []row {
	medians := map[string][]float64{}
	rows := make([]row, 0, len(variants))
	for _, v := range variants {
		var all []time.Duration
		var took time.Duration
		for _, r := range rounds[v] {
			slices.Sort(r.latencies)
			medians[v] = append(medians[v], ms(quantile(r.latencies, 0.5)))
			all = append(all, r.latencies...)
			took += r.took
		}
		slices.Sort(all)
		rows = append(rows, row{
			Probes: kind, Callers: callers, Variant: v, Batches: len(all),
			MedianMS: ms(quantile(all, 0.5)), P99MS: ms(quantile(all, 0.99)),
			BatchesPerSecond: float64(len(all)) / took.Seconds(),
			MedianSpreadMS:   spread{Low: slices.Min(medians[v]), High: slices.Max(medians[v])},
		})
	}
	for i := range rows {
		rows[i].ToLimit = compare(medians[rows[i].Variant], medians[limitVariant])
		rows[i].ToLimit2 = compare(medians[rows[i].Variant], medians[limit2Variant])
		rows[i].ToLimit2HTTP = compare(medians[rows[i].Variant], medians[frontVariant])
	}
	return rows
}

// compare gives the ratio of two variants round by round, so that what slowed
// a whole round down does not count.
func compare(one, other []float64) *ratio {
	var all []float64
	for i := range min(len(one), len(other)) {
		if other[i] > 0 {
			all = append(all, one[i]/other[i])
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	return &ratio{Median: all[len(all)/2], spread: spread{Low: all[0], High: all[len(all)-1]}}
}

// print writes the tables in Markdown.
func (r report) print(w io.Writer) error {
	t := newTable("probes", "callers", "variant", "median ms", "rounds' medians", "p99 ms", "batches/s", "x limit", "x limit2", "x limit2-http")
	for _, row := range r.Rows {
		t.add(row.Probes, strconv.Itoa(row.Callers), row.Variant, fmt.Sprintf("%.1f", row.MedianMS),
			fmt.Sprintf("%.1f-%.1f", row.MedianSpreadMS.Low, row.MedianSpreadMS.High),
			fmt.Sprintf("%.1f", row.P99MS), fmt.Sprintf("%.0f", row.BatchesPerSecond),
			row.ToLimit.String(), row.ToLimit2.String(), row.ToLimit2HTTP.String())
	}
	_, err := fmt.Fprintf(w, "%s, Postgres %s (fsync %s), Redis %s, %d rounds of %g s\n\n%s",
		r.Date, r.Machine.Postgres, r.Machine.Fsync, r.Machine.Redis, r.Rounds, r.Seconds, t)
	return err
}

// String is the ratio with its spread; nothing where there is none.
func (r *ratio) String() string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf("%.1f (%.1f-%.1f)", r.Median, r.Low, r.High)
}

// table is a Markdown table with even columns.
type table struct{ lines [][]string }

func newTable(heads ...string) *table { return &table{lines: [][]string{heads}} }

func (t *table) add(cells ...string) { t.lines = append(t.lines, cells) }

// String is the table in Markdown.
func (t *table) String() string {
	widths := make([]int, len(t.lines[0]))
	for _, line := range t.lines {
		for i, cell := range line {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var text strings.Builder
	write := func(cells []string) {
		for i, cell := range cells {
			text.WriteString("| " + cell + strings.Repeat(" ", widths[i]-len(cell)) + " ")
		}
		text.WriteString("|\n")
	}
	rule := make([]string, len(widths))
	for i, width := range widths {
		rule[i] = strings.Repeat("-", width)
	}
	write(t.lines[0])
	write(rule)
	for _, line := range t.lines[1:] {
		write(line)
	}
	return text.String()
}
