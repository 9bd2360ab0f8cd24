package api

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"dialtone/internal/api/wire"
	"dialtone/internal/probe"
)

// problem is one thing wrong with a request, by the path that the caller
// wrote. It never repeats a value.
type problem struct {
	path string
	code string
	why  probe.Words
	// whole says that nothing below the path could be read: problems found
	// there are only its consequences.
	whole bool
}

// message is the problem in DRS's own words for the code, with the reason.
func (p problem) message(l probe.Language) string {
	text := fill(drsWords(p.code), p.path).In(l)
	why := p.why.In(l)
	switch {
	case why == "":
		return text
	case l == probe.Chinese:
		return strings.TrimSuffix(text, "。") + "：" + why
	default:
		return strings.TrimSuffix(text, ".") + ": " + why
	}
}

// arrange sorts problems by path and keeps the first of each path: the shape
// check comes before the rules, and what it says is the more basic.
func arrange(problems []problem) []problem {
	slices.SortStableFunc(problems, func(a, b problem) int { return comparePaths(a.path, b.path) })
	var kept []problem
	for _, p := range problems {
		if n := len(kept); n > 0 && (kept[n-1].path == p.path || kept[n-1].whole && below(kept[n-1].path, p.path)) {
			continue
		}
		kept = append(kept, p)
	}
	return kept
}

// below says whether path is inside root.
func below(root, path string) bool {
	rest, ok := strings.CutPrefix(path, root)
	return ok && (strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, "["))
}

// comparePaths orders paths with their indexes as numbers.
func comparePaths(a, b string) int {
	as, bs := pathParts(a), pathParts(b)
	for i := range min(len(as), len(bs)) {
		an, aErr := strconv.Atoi(as[i])
		bn, bErr := strconv.Atoi(bs[i])
		order := cmp.Compare(as[i], bs[i])
		if aErr == nil && bErr == nil {
			order = cmp.Compare(an, bn)
		}
		if order != 0 {
			return order
		}
	}
	return cmp.Compare(len(as), len(bs))
}

func pathParts(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}

// maxMessage is the longest error_msg, in characters: DRS documents 512.
const maxMessage = 512

// maxProblems bounds the list of problems in an answer.
const maxProblems = 200

// summary says what is wrong in one message: each problem with its reason as
// long as they all fit, else the paths, else as many paths as fit.
func summary(problems []problem, l probe.Language) string {
	stop, comma := "; ", ", "
	if l == probe.Chinese {
		stop, comma = "；", "、"
	}
	var whole []string
	for _, p := range problems[:min(len(problems), maxMessage)] {
		whole = append(whole, strings.TrimSuffix(p.message(l), "."))
	}
	if text := strings.Join(whole, stop); utf8.RuneCountInString(text) <= maxMessage {
		return text
	}
	more := func(n int) string {
		if l == probe.Chinese {
			return "，另有 " + strconv.Itoa(n) + " 处"
		}
		return " and " + strconv.Itoa(n) + " more"
	}
	text := cut(whole[0], maxMessage/2)
	join := stop + probe.Words{English: "also wrong: ", Chinese: "有误的还有："}.In(l)
	for i, p := range problems[1:] {
		left := len(problems) - 1 - i
		next := text + join + p.path
		room := 0
		if left > 1 {
			room = utf8.RuneCountInString(more(left - 1))
		}
		if utf8.RuneCountInString(next)+room > maxMessage {
			return text + more(left)
		}
		text, join = next, comma
	}
	return text
}

// list is the problems one by one, for clients that can use them.
func list(problems []problem, l probe.Language) []wire.Problem {
	var all []wire.Problem
	for _, p := range problems[:min(len(problems), maxProblems)] {
		all = append(all, wire.Problem{Path: p.path, ErrorCode: p.code, ErrorMsg: cut(p.message(l), maxMessage)})
	}
	return all
}

// cut shortens a text to n characters, with an ellipsis where it was cut.
func cut(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	runes := []rune(text)
	return strings.TrimRight(string(runes[:n-1]), " ") + "…"
}
