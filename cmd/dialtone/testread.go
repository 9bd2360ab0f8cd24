package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml"

	"dialtone/internal/api"
	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/probe"
)

// entry is what one entry of a request, or one URL, asks to test.
type entry struct {
	batch.RequestEntry

	call job.Call
	// verify is a URL's own strictness; empty: the default.
	verify probe.Verify
	// source says where the entry comes from, without any secret.
	source string
}

// readArguments turns every argument into entries, and finds every mistake.
func readArguments(arguments []string, stdin io.Reader) ([]entry, error) {
	var all []entry
	var faults []error
	for i, argument := range arguments {
		number := fmt.Sprintf("argument %d", i+1)
		var entries []entry
		var err error
		if isURL(argument) {
			entries, err = readURL(argument, number)
		} else {
			number = shown(argument, number)
			entries, err = readFile(argument, number, stdin)
		}
		for _, fault := range split(err) {
			faults = append(faults, fmt.Errorf("%s: %s", number, fault))
		}
		all = append(all, entries...)
	}
	return all, errors.Join(faults...)
}

// shown names a file, unless it may be a URL that went wrong.
func shown(argument, otherwise string) string {
	switch {
	case argument == "-":
		return "standard input"
	case strings.ContainsAny(argument, "@:?%") || strings.ContainsFunc(argument, unicode.IsControl):
		return otherwise
	default:
		return argument
	}
}

// split gives the lines of an error.
func split(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

func readURL(text, number string) ([]entry, error) {
	e, verify, err := endpointFromURL(text)
	if err != nil {
		return nil, err
	}
	var faults []error
	for _, p := range urlProblems(e) {
		faults = append(faults, fmt.Errorf("%s: %s", urlField(p.Field), p.Why.English))
	}
	one := batch.RequestEntry{Endpoints: []batch.Endpoint{e}}
	return []entry{{RequestEntry: one, call: job.Connection, verify: verify, source: number}}, errors.Join(faults...)
}

// urlField says what a field is called in a URL.
func urlField(f batch.Field) string {
	switch f {
	case batch.FieldUser:
		return "user"
	case batch.FieldPassword:
		return "password"
	case batch.FieldDBName:
		return "database"
	case batch.FieldIP:
		return "host"
	case batch.FieldDBPort:
		return "port"
	default:
		return string(f)
	}
}

// maxFile is the longest request file; the API takes no longer body.
const maxFile = 16 << 20

func readFile(name, source string, stdin io.Reader) ([]entry, error) {
	var text []byte
	var err error
	if name == "-" {
		text, err = readAtMost(stdin, maxFile)
	} else {
		text, err = readBounded(name, maxFile)
	}
	if err != nil {
		return nil, err
	}
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")))
	if len(text) == 0 {
		return nil, errors.New("it is empty")
	}
	if !isJSON(name, text) {
		if text, err = yamlToJSON(text); err != nil {
			return nil, err
		}
	}
	call, requests, err := api.ReadRequest(text)
	if err != nil {
		return nil, err
	}
	entries := make([]entry, len(requests))
	for i, r := range requests {
		entries[i] = entry{RequestEntry: r, call: call, source: fmt.Sprintf("%s: jobs[%d]", source, i)}
	}
	return entries, nil
}

// readAtMost reads all, unless that is too much.
func readAtMost(r io.Reader, most int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, nameless(err)
	}
	if int64(len(raw)) > most {
		return nil, fmt.Errorf("it is longer than %d bytes", most)
	}
	return raw, nil
}

// isJSON goes by the name; where that says nothing, by the first character.
func isJSON(name string, text []byte) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".json":
		return true
	case ".yaml", ".yml":
		return false
	default:
		return text[0] == '{' || text[0] == '['
	}
}

// yamlToJSON turns a YAML document into the JSON that it stands for. The
// library's own errors quote the text, which holds passwords.
func yamlToJSON(text []byte) (plain []byte, err error) {
	defer func() {
		if recover() != nil {
			plain, err = nil, errors.New("it is not valid YAML")
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		return nil, yamlError(err)
	}
	var more any
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("it has more than one YAML document")
	}
	if plain, err = json.Marshal(tree); err != nil {
		return nil, errors.New("it holds a value that JSON has not")
	}
	return plain, nil
}

// yamlError keeps the position of a fault only.
func yamlError(err error) error {
	var at yaml.Error
	if errors.As(err, &at) && at.GetToken() != nil && at.GetToken().Position != nil {
		p := at.GetToken().Position
		return fmt.Errorf("it is not valid YAML, at line %d, column %d", p.Line, p.Column)
	}
	return errors.New("it is not valid YAML")
}
