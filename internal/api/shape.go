package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"

	"dialtone/internal/probe"
	"dialtone/internal/sabotage"
)

// shape is a schema of openapi.yaml made ready for checking. We check by
// ourselves, because the contract is lenient where a validator is not (empty
// strings and nulls are absent, integers may be strings), because a problem
// needs its words in two languages, and because a validator's own words quote
// values, which are passwords here.
type shape struct {
	kind string // object, array, string, integer or boolean
	// digits: an integer may also come as a string.
	digits     bool
	secret     bool
	required   []string
	properties map[string]*shape
	// extra is the shape of properties that are not listed; nil drops them.
	extra    *shape
	items    *shape
	enum     []string
	pattern  *regexp.Regexp
	minItems int
	maxItems int
	maxLen   int
	min, max int64
	// codes are DRS codes for the faults of this value, by the keyword that
	// it breaks, or "*" for all.
	codes map[string]string
}

// newShape compiles a schema. What it does not know of it refuses: a rule in
// the document that nobody checks would be a lie.
func newShape(ref *openapi3.SchemaRef) (*shape, error) {
	schema := ref.Value
	if len(schema.AllOf) == 1 && schema.Type == nil {
		return newShape(schema.AllOf[0])
	}
	s := &shape{maxItems: math.MaxInt, maxLen: math.MaxInt, min: math.MinInt64, max: math.MaxInt64, codes: errorCodes(ref, schema)}
	if len(schema.AnyOf) == 2 { // an integer, or the same as a string of digits
		s.digits = true
		schema = schema.AnyOf[0].Value
		if !schema.Type.Is("integer") || !ref.Value.AnyOf[1].Value.Type.Is("string") {
			return nil, fmt.Errorf("anyOf of %v is not known", schema.Type)
		}
	}
	if len(schema.AllOf)+len(schema.OneOf)+len(schema.AnyOf) > 0 || schema.Not != nil || schema.UniqueItems ||
		schema.MinProps > 0 || schema.MaxProps != nil || schema.MultipleOf != nil || schema.ExclusiveMin.IsSet() || schema.ExclusiveMax.IsSet() || schema.Type == nil || len(schema.Type.Slice()) != 1 {
		return nil, fmt.Errorf("a keyword of %v is not known", schema.Type)
	}
	s.kind = schema.Type.Slice()[0]
	s.secret = schema.Format == "password"
	s.required = schema.Required
	s.minItems = int(schema.MinItems) //nolint:gosec // a number of our own document
	if schema.MaxItems != nil {
		s.maxItems = int(*schema.MaxItems) //nolint:gosec // likewise
	}
	if schema.MaxLength != nil {
		s.maxLen = int(*schema.MaxLength) //nolint:gosec // likewise
	}
	if schema.Min != nil {
		s.min = int64(*schema.Min)
	}
	if schema.Max != nil {
		s.max = int64(*schema.Max)
	}
	for _, v := range schema.Enum {
		if text, ok := v.(string); ok && text != "" { // "" is absence
			s.enum = append(s.enum, text)
		}
	}
	return s, s.nest(schema)
}

// nest compiles the pattern and what is inside.
func (s *shape) nest(schema *openapi3.Schema) error {
	var err error
	if schema.Pattern != "" {
		if s.pattern, err = regexp.Compile(schema.Pattern); err != nil {
			return err
		}
	}
	if schema.Items != nil {
		if s.items, err = newShape(schema.Items); err != nil {
			return fmt.Errorf("items: %w", err)
		}
	}
	if schema.AdditionalProperties.Schema != nil {
		if s.extra, err = newShape(schema.AdditionalProperties.Schema); err != nil {
			return fmt.Errorf("additionalProperties: %w", err)
		}
	}
	s.properties = map[string]*shape{}
	for name, property := range schema.Properties {
		if s.properties[name], err = newShape(property); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// errorCodes reads x-error-codes of a schema or of the reference to it.
func errorCodes(ref *openapi3.SchemaRef, schema *openapi3.Schema) map[string]string {
	codes := map[string]string{}
	for _, extensions := range []map[string]any{schema.Extensions, ref.Extensions} {
		given, _ := extensions["x-error-codes"].(map[string]any)
		for keyword, code := range given {
			codes[keyword], _ = code.(string)
		}
	}
	return codes
}

// checker walks one document.
type checker struct{ problems []problem }

func (c *checker) add(s *shape, keyword, path, english, chinese string) {
	code := codeInvalid
	if given, ok := s.codes[keyword]; ok {
		code = given
	} else if given, ok := s.codes["*"]; ok {
		code = given
	}
	c.problems = append(c.problems, problem{
		path: path, code: code, why: probe.Words{English: english, Chinese: chinese}, whole: keyword == "type",
	})
}

// check gives the value as decoding wants it: known fields of the right type,
// integers as numbers, nothing empty. ok is false for a value that counts as
// absent: it is empty, or of the wrong type, which is a problem. A value that
// only breaks a bound is a problem and kept, so that rules that look at it
// along with others do not take it for missing.
func (c *checker) check(s *shape, path string, v any) (clean any, ok bool) {
	if v == nil || v == "" {
		return nil, false
	}
	switch s.kind {
	case "object":
		return c.object(s, path, v)
	case "array":
		return c.array(s, path, v)
	case "integer":
		return c.integer(s, path, v)
	case "boolean":
		if _, is := v.(bool); is {
			return v, true
		}
		c.add(s, "type", path, "it must be true or false", "必须为 true 或 false")
		return nil, false
	default:
		return c.text(s, path, v)
	}
}

func (c *checker) object(s *shape, path string, v any) (any, bool) {
	given, is := v.(map[string]any)
	if !is {
		c.add(s, "type", path, "it must be an object", "必须为对象")
		return nil, false
	}
	clean := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		property, at := s.properties[name], join(path, name)
		if property == nil {
			property, at = s.extra, join(path, "?")
		}
		if property == nil && sabotage.On(sabotage.RefuseUnknownFields) {
			c.add(s, "additionalProperties", at, "it is not known", "未知参数")
		}
		if property == nil {
			continue
		}
		if value, ok := c.check(property, at, given[name]); ok {
			clean[name] = value
		}
	}
	for _, name := range s.required {
		// What was given and dropped is a problem already.
		if _, ok := clean[name]; !ok && (given[name] == nil || given[name] == "") {
			c.problems = append(c.problems, problem{path: join(path, name), code: codeMissing, why: probe.Words{English: "it is mandatory", Chinese: "该参数必填"}})
		}
	}
	return clean, true
}

func (c *checker) array(s *shape, path string, v any) (any, bool) {
	given, is := v.([]any)
	if !is {
		c.add(s, "type", path, "it must be a list", "必须为列表")
		return nil, false
	}
	if len(given) < s.minItems {
		c.problems = append(c.problems, problem{path: path, code: codeMissing, why: probe.Words{English: "it must not be an empty list", Chinese: "列表不能为空"}})
	}
	if len(given) > s.maxItems {
		most := strconv.Itoa(s.maxItems)
		c.add(s, "maxItems", path, "it must hold at most "+most+" items", "最多包含 "+most+" 项")
	}
	clean := make([]any, 0, len(given))
	for i, item := range given[:min(len(given), s.maxItems)] {
		at := path + "[" + strconv.Itoa(i) + "]"
		value, ok := c.check(s.items, at, item)
		if !ok && (item == nil || item == "") {
			c.problems = append(c.problems, problem{path: at, code: codeMissing, why: probe.Words{English: "it must not be empty", Chinese: "不能为空"}, whole: true})
		}
		// An item that fell away keeps its place, or all indexes after it lie.
		clean = append(clean, value)
	}
	return clean, true
}

func (c *checker) integer(s *shape, path string, v any) (any, bool) {
	text, isText := v.(string)
	if number, is := v.(json.Number); is {
		text = number.String()
	} else if !isText || !s.digits || strings.Trim(text, "0123456789") != "" {
		c.add(s, "type", path, "it must be an integer", "必须为整数")
		return nil, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if f, bad := strconv.ParseFloat(text, 64); err != nil && !isText && bad == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		n, err = int64(f), nil // JSON knows no integers: 1e3 and 1000.0 are 1000
	}
	if err != nil {
		c.add(s, "type", path, "it must be an integer", "必须为整数")
		return nil, false
	}
	if n < s.min || n > s.max {
		keyword := "minimum"
		if n > s.max {
			keyword = "maximum"
		}
		low, high := strconv.FormatInt(s.min, 10), strconv.FormatInt(s.max, 10)
		c.add(s, keyword, path, "it must be from "+low+" to "+high, "取值范围为 "+low+"~"+high)
		return nil, false
	}
	return n, true
}

func (c *checker) text(s *shape, path string, v any) (any, bool) {
	text, is := v.(string)
	if !is {
		c.add(s, "type", path, "it must be a string", "必须为字符串")
		return nil, false
	}
	switch {
	case len(s.enum) > 0 && !slices.Contains(s.enum, text):
		values := strings.Join(s.enum, ", ")
		c.add(s, "enum", path, "it must be one of "+values, "取值必须为 "+values+" 之一")
	case utf8.RuneCountInString(text) > s.maxLen:
		most := strconv.Itoa(s.maxLen)
		c.add(s, "maxLength", path, "it is longer than "+most+" characters", "长度超过 "+most+" 个字符")
	case s.pattern != nil && !s.pattern.MatchString(text):
		c.add(s, "pattern", path, "it is not of the documented form"+sabotage.Swap(sabotage.QuoteValues, "", ": "+text), "不符合文档规定的格式")
	}
	return text, true
}

// conceal takes the secrets out of a checked value and leaves "<name>_set" in
// their place: what may be stored and shown in the clear.
func (s *shape) conceal(v any) any {
	switch v := v.(type) {
	case map[string]any:
		open := map[string]any{}
		for name, value := range v {
			property := s.properties[name]
			switch {
			case property == nil:
				open[name] = value
			case property.secret:
				open[name+"_set"] = true
			default:
				open[name] = property.conceal(value)
			}
		}
		return open
	case []any:
		open := make([]any, len(v))
		for i, item := range v {
			open[i] = s.items.conceal(item)
		}
		return open
	default:
		return v
	}
}
