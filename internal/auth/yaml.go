package auth

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// The list of credentials is read node by node, not into structs: the
// library's own errors quote the source, which holds secrets, and stop at the
// first fault, without the path.

// parseYAML returns the root of the one document in text; nil if it is empty.
func parseYAML(text []byte) (root ast.Node, err error) {
	// A reload must not be able to end the process.
	defer func() {
		if recover() != nil {
			root, err = nil, errors.New("it is not valid YAML")
		}
	}()
	// Keys that come twice are found later, with their path.
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var at yaml.Error
		if errors.As(err, &at) && at.GetToken() != nil && at.GetToken().Position != nil {
			p := at.GetToken().Position
			return nil, fmt.Errorf("it is not valid YAML, at line %d, column %d", p.Line, p.Column)
		}
		return nil, errors.New("it is not valid YAML")
	}
	switch len(file.Docs) {
	case 0:
		return nil, nil
	case 1:
		return file.Docs[0].Body, nil
	}
	return nil, errors.New("it has more than one YAML document")
}

// fields calls the handler of each key of a mapping.
func (d *decoder) fields(path string, n ast.Node, handlers map[string]func(string, ast.Node)) {
	values, ok := mapping(n)
	if !ok {
		d.found.add(orRoot(path), "must be a mapping")
		return
	}
	seen := map[string]bool{}
	for _, v := range values {
		key, _ := scalar(v.Key)
		at := strings.TrimPrefix(path+"."+key, ".")
		handle, known := handlers[key]
		switch {
		case !known && !plainKey(key):
			d.found.add(orRoot(path), fmt.Sprintf("has an unknown key in line %d", v.Key.GetToken().Position.Line))
		case !known:
			d.found.add(at, "is not a known key")
		case seen[key]:
			d.found.add(at, "is given twice")
		case isNull(v.Value):
			// As good as absent, which the checks report where it matters.
		default:
			handle(at, v.Value)
		}
		seen[key] = true
	}
}

func (d *decoder) items(path string, n ast.Node) []ast.Node {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		d.found.add(path, "must be a list")
		return nil
	}
	return list.Values
}

func (d *decoder) text(to *string) func(string, ast.Node) {
	return func(path string, n ast.Node) {
		s, ok := scalar(n)
		if !ok {
			d.found.add(path, "must be a text")
			return
		}
		*to = s
	}
}

func (d *decoder) texts(to *[]string) func(string, ast.Node) {
	return func(path string, n ast.Node) {
		for i, item := range d.items(path, n) {
			var s string
			d.text(&s)(fmt.Sprintf("%s[%d]", path, i), item)
			*to = append(*to, s)
		}
	}
}

func mapping(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return nil, true
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// scalar returns a scalar as it is written: a project id of digits only is
// that text, not a number. Anchors, aliases and tags are not for this file.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func isNull(n ast.Node) bool {
	_, null := n.(*ast.NullNode)
	return n == nil || null
}

// plainKey says whether a key can be shown: one that does not look like ours
// may be a secret that slipped to the left of a colon.
func plainKey(key string) bool {
	return key != "" && len(key) <= 24 && strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

func orRoot(path string) string {
	if path == "" {
		return "(top)"
	}
	return path
}
