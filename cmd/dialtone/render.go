package main

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"

	"dialtone/internal/probe"
)

// look is how a table is drawn.
type look struct {
	language probe.Language
	// columns is the width to keep to, 0 for none.
	columns int
	color   bool
}

// say chooses between the languages.
func (l look) say(english, chinese string) string {
	return probe.Words{English: english, Chinese: chinese}.In(l.language)
}

// The colours.
const (
	green  = "32"
	yellow = "33"
	red    = "31"
	bold   = "1"
	faint  = "2"
)

func (l look) paint(color, text string) string {
	if !l.color || text == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// renderTable writes a line for each endpoint, and below them what is wrong,
// who must act and how.
func renderTable(w io.Writer, s summary, l look) error {
	var b bytes.Buffer
	l.rows(&b, s.outcomes)
	l.legend(&b)
	l.advice(&b, s.outcomes)
	l.sum(&b, s)
	_, err := w.Write(b.Bytes())
	return err
}

// rows draws the table. On a terminal the endpoints' names take what the other
// columns leave, so that no line breaks.
func (l look) rows(b *bytes.Buffer, all []outcome) {
	titles := []string{l.say("endpoint", "连接"), l.say("verdict", "结论"), l.say("time", "耗时"), l.say("phases", "阶段")}
	number := len(strconv.Itoa(len(all)))
	name, verdict, took, phase := textWidth(titles[0]), textWidth(titles[1]), textWidth(titles[2]), 0
	for _, o := range all {
		name = max(name, textWidth(o.Name))
		verdict = max(verdict, textWidth(string(o.Report.Code)))
		took = max(took, textWidth(duration(o.Report)))
		phase = max(phase, textWidth(string(o.Report.Phase)))
	}
	others := 1 + 1 + number + 2 + 2 + verdict + 2 + took + 2 + len(probe.Phases())
	if l.columns > 0 && others+name+2+phase > l.columns {
		phase = 0 // the ticks say it too
	}
	if l.columns > 0 {
		name = min(name, max(l.columns-others-2*min(phase, 1)-phase, 12))
	}
	head := strings.Repeat(" ", 2+number) + "  " + pad(titles[0], name) + "  " + pad(titles[1], verdict) + "  " + padLeft(titles[2], took) + "  " + titles[3]
	fmt.Fprintln(b, l.paint(faint, head))
	for i, o := range all {
		sign, color := mark(o.Report)
		line := l.paint(color, sign) + " " + padLeft(strconv.Itoa(i+1), number) + "  " + pad(fit(o, name), name) + "  " +
			l.paint(color, pad(string(o.Report.Code), verdict)) + "  " + padLeft(duration(o.Report), took) + "  " + l.ticks(o.Report)
		if phase > 0 && o.Report.Phase != "" {
			line += "  " + string(o.Report.Phase)
		}
		fmt.Fprintln(b, line)
	}
}

// fit is the endpoint's name in so many columns; the user goes first.
func fit(o outcome, columns int) string {
	if textWidth(o.Name) <= columns {
		return o.Name
	}
	return middle(o.Short, columns)
}

// mark is the sign of an endpoint.
func mark(r probe.Report) (sign, color string) {
	switch {
	case r.Code == probe.CodeCancelled:
		return "–", faint
	case !r.OK():
		return "✗", red
	case len(r.Evidence.Warnings) > 0 || len(passedOver(r)) > 0:
		return "!", yellow
	default:
		return "✓", green
	}
}

func duration(r probe.Report) string {
	switch ms := r.DurationMS; {
	case r.Code == probe.CodeCancelled || ms == 0:
		return "-"
	case ms < 1:
		return "<1 ms"
	case ms < 10_000:
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	default:
		return strconv.FormatFloat(ms/1000, 'f', 1, 64) + " s"
	}
}

// ticks draws one sign for each phase.
func (l look) ticks(r probe.Report) string {
	states := map[probe.Phase]probe.State{}
	for _, row := range r.Phases {
		states[row.Phase] = row.State
	}
	var b strings.Builder
	for _, p := range probe.Phases() {
		switch states[p] {
		case probe.Passed:
			b.WriteString(l.paint(green, "✓"))
		case probe.Warned:
			b.WriteString(l.paint(yellow, "!"))
		case probe.Failed:
			b.WriteString(l.paint(red, "✗"))
		case probe.Skipped:
			b.WriteString(l.paint(faint, "–"))
		default:
			b.WriteString(l.paint(faint, "·"))
		}
	}
	return b.String()
}

// legend explains the ticks.
func (l look) legend(b *bytes.Buffer) {
	names := make([]string, len(probe.Phases()))
	for i, p := range probe.Phases() {
		names[i] = string(p)
	}
	fmt.Fprintln(b)
	fmt.Fprintln(b, l.paint(faint, l.say("phases: ", "阶段：")+strings.Join(names, " ")))
	fmt.Fprintln(b, l.paint(faint, l.say(
		"        ✓ passed  ! look at it  ✗ failed  – not needed  · not reached",
		"      ✓ 通过  ! 需注意  ✗ 失败  – 无需测试  · 未执行",
	)))
}

// sum is the last line.
func (l look) sum(b *bytes.Buffer, s summary) {
	passed, failed, cancelled := s.count()
	parts := []string{l.paint(bold+";"+green, fmt.Sprintf(l.say("%d passed", "通过 %d 个"), passed))}
	if passed == 0 {
		parts[0] = fmt.Sprintf(l.say("%d passed", "通过 %d 个"), passed)
	}
	if failed > 0 {
		parts = append(parts, l.paint(bold+";"+red, fmt.Sprintf(l.say("%d failed", "失败 %d 个"), failed)))
	}
	if cancelled > 0 {
		parts = append(parts, fmt.Sprintf(l.say("%d not tested", "未测试 %d 个"), cancelled))
	}
	text := strings.Join(parts, l.say(", ", "，")) + fmt.Sprintf(l.say(" in %.1f s", "，用时 %.1f 秒"), s.took.Seconds())
	if s.stopped {
		text += l.say(", interrupted", "，已中断")
	}
	fmt.Fprintf(b, "\n%s\n", text)
}
