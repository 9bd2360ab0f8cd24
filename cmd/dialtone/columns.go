package main

import (
	"slices"
	"strings"

	"golang.org/x/text/width"
)

// runeWidth is how many columns a terminal gives a character.
func runeWidth(r rune) int {
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	default:
		return 1
	}
}

func textWidth(text string) int {
	n := 0
	for _, r := range text {
		n += runeWidth(r)
	}
	return n
}

// pad fills a text up with spaces on the right.
func pad(text string, columns int) string {
	return text + strings.Repeat(" ", max(0, columns-textWidth(text)))
}

// padLeft fills a text up with spaces on the left.
func padLeft(text string, columns int) string {
	return strings.Repeat(" ", max(0, columns-textWidth(text))) + text
}

// clip cuts the end off.
func clip(text string, columns int) string {
	if textWidth(text) <= columns {
		return text
	}
	return head(text, columns-1) + "…"
}

// middle cuts a piece out of the middle: both ends of an endpoint's name tell
// more than what is between.
func middle(text string, columns int) string {
	if textWidth(text) <= columns {
		return text
	}
	left := columns / 2
	return head(text, left) + "…" + tail(text, columns-left-1)
}

func head(text string, columns int) string {
	n := 0
	for i, r := range text {
		if n += runeWidth(r); n > columns {
			return text[:i]
		}
	}
	return text
}

func tail(text string, columns int) string {
	runes := []rune(text)
	n := 0
	for i, r := range slices.Backward(runes) {
		if n += runeWidth(r); n > columns {
			return string(runes[i+1:])
		}
	}
	return text
}

// wrap breaks a text into lines of so many columns, at spaces and between wide
// characters; columns of 0 or less break nothing.
func wrap(text string, columns int) []string {
	if columns <= 0 {
		return []string{text}
	}
	var lines []string
	var line strings.Builder
	used := 0
	for _, piece := range pieces(text) {
		n := textWidth(strings.TrimRight(piece, " "))
		if used+n > columns && used > 0 {
			lines = append(lines, strings.TrimRight(line.String(), " "))
			line.Reset()
			used = 0
		}
		line.WriteString(piece)
		used += textWidth(piece)
	}
	return append(lines, strings.TrimRight(line.String(), " "))
}

// pieces cuts a text where a line may end. Closing punctuation stays with what
// it closes.
func pieces(text string) []string {
	var all []string
	begin := 0
	var before rune
	for i, r := range text {
		wide := runeWidth(r) == 2 && !strings.ContainsRune("，。；：！？、）】》”’", r)
		if i > begin && (before == ' ' && r != ' ' || wide && before != '（' && before != '【' || runeWidth(before) == 2 && runeWidth(r) == 1) {
			all = append(all, text[begin:i])
			begin = i
		}
		before = r
	}
	return append(all, text[begin:])
}
