package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"

	"dialtone/internal/probe"
)

// Bounds on a document: what clients send has depth 4 and a few hundred
// values.
const (
	maxDepth  = 32
	maxValues = 100_000
)

// syntaxError is why a text is no document that we take. Its words never
// repeat what was sent.
type syntaxError struct{ why probe.Words }

func (e *syntaxError) Error() string { return e.why.English }

func notJSON(english, chinese string) *syntaxError {
	return &syntaxError{why: probe.Words{English: english, Chinese: chinese}}
}

// parseTree reads one JSON document into maps, slices, strings, json.Numbers,
// bools and nils. encoding/json alone takes invalid UTF-8, keys that occur
// twice and any depth; a password that two parsers read differently must not
// get through. Keys that occur twice come back as problems below root, the
// first one's value is kept. known are the keys that a problem may name.
func parseTree(text []byte, root string, known names) (any, []problem, *syntaxError) {
	if !utf8.Valid(text) {
		return nil, nil, notJSON("it is not UTF-8", "不是有效的 UTF-8 编码")
	}
	if !json.Valid(text) {
		at := len(text)
		var whole json.RawMessage
		if syntax, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(text, &whole)); ok {
			at = int(syntax.Offset)
		}
		where := strconv.Itoa(at)
		return nil, nil, notJSON("it is not one JSON document, see byte "+where, "不是单个有效的 JSON 文档,错误位于第 "+where+" 字节")
	}
	p := &treeParser{decoder: json.NewDecoder(bytes.NewReader(text)), known: known}
	p.decoder.UseNumber()
	tree, err := p.value(root, 0)
	if err != nil {
		return nil, nil, err
	}
	return tree, p.problems, nil
}

type treeParser struct {
	decoder  *json.Decoder
	known    names
	values   int
	problems []problem
}

// value reads the next value. The text is known to be valid.
func (p *treeParser) value(path string, depth int) (any, *syntaxError) {
	if p.values++; p.values > maxValues {
		return nil, notJSON("it holds too many values", "包含的值过多")
	}
	if depth > maxDepth {
		return nil, notJSON("it is nested too deeply", "嵌套层数过多")
	}
	token, err := p.decoder.Token()
	if err != nil {
		return nil, notJSON("it cannot be read", "无法读取")
	}
	switch token {
	case json.Delim('{'):
		return p.object(path, depth)
	case json.Delim('['):
		var list []any
		for i := 0; p.decoder.More(); i++ {
			v, err := p.value(path+"["+strconv.Itoa(i)+"]", depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, _ = p.decoder.Token() // the closing bracket
		return list, nil
	default:
		return token, nil
	}
}

func (p *treeParser) object(path string, depth int) (any, *syntaxError) {
	object := map[string]any{}
	for p.decoder.More() {
		token, err := p.decoder.Token()
		key, ok := token.(string)
		if err != nil || !ok {
			return nil, notJSON("it cannot be read", "无法读取")
		}
		at := join(path, p.known.show(key))
		v, bad := p.value(at, depth+1)
		if bad != nil {
			return nil, bad
		}
		if _, twice := object[key]; twice {
			p.problems = append(p.problems, problem{
				path: at, code: codeDuplicate,
				why: probe.Words{English: "the key occurs twice", Chinese: "该键出现了两次"},
			})
			continue
		}
		object[key] = v
	}
	_, _ = p.decoder.Token() // the closing brace
	return object, nil
}

// join appends a key to a path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// names are the keys that the document knows.
type names map[string]bool

// show gives a key as a message may show it: what is none of ours could be a
// misplaced secret.
func (n names) show(key string) string {
	if n[key] {
		return key
	}
	return "?"
}
