package api

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	"dialtone/internal/probe"
)

// shapes are the compiled operations, by method and Echo's path.
type shapes map[string]operationShape

// operationShape is what a request must look like.
type operationShape struct {
	parameters []parameterShape
	// body is nil for an operation without one.
	body *shape
}

type parameterShape struct {
	name, in string
	required bool
	date     bool
	shape    *shape
}

// newShapes compiles what requests must look like.
func newShapes(doc *openapi3.T) (shapes, error) {
	all := shapes{}
	var errs []error
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			compiled, err := newOperation(item, operation)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", operation.OperationID, err))
			}
			all[method+" "+echoPath(path)] = compiled
		}
	}
	return all, errors.Join(errs...)
}

func newOperation(item *openapi3.PathItem, operation *openapi3.Operation) (operationShape, error) {
	var compiled operationShape
	for _, ref := range slices.Concat(item.Parameters, operation.Parameters) {
		p := ref.Value
		s, err := newShape(p.Schema)
		if err != nil {
			return compiled, fmt.Errorf("%s: %w", p.Name, err)
		}
		s.digits = true // all parameters come as text
		compiled.parameters = append(compiled.parameters, parameterShape{
			name: p.Name, in: p.In, required: p.Required, date: p.Schema.Value.Format == "date-time", shape: s,
		})
	}
	if operation.RequestBody == nil {
		return compiled, nil
	}
	var err error
	compiled.body, err = newShape(operation.RequestBody.Value.Content.Get("application/json").Schema)
	return compiled, err
}

// echoPath spells a path of the document as Echo does.
func echoPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}

// checkParameters finds what is wrong with path, query and header.
func (o operationShape) checkParameters(c echo.Context) []problem {
	var check checker
	query := c.QueryParams()
	for _, p := range o.parameters {
		given := values(c, p.in, p.name, query)
		if p.in == "header" && len(given) > 1 && p.name == "Prefer" {
			continue // a list by its nature
		}
		if len(given) > 1 {
			check.problems = append(check.problems, problem{path: p.name, code: codeDuplicate, why: probe.Words{English: "it was given more than once", Chinese: "该参数出现了多次"}})
			continue
		}
		if len(given) == 0 || given[0] == "" {
			if p.required {
				check.problems = append(check.problems, problem{path: p.name, code: codeMissing})
			}
			if len(given) == 1 {
				drop(c, p, query)
			}
			continue
		}
		_, _ = check.check(p.shape, p.name, given[0])
		if _, err := time.Parse(time.RFC3339, given[0]); p.date && err != nil {
			check.add(p.shape, "format", p.name, "it must be a time as in RFC 3339: 2006-01-02T15:04:05Z", "必须为 RFC 3339 格式的时间,例如 2006-01-02T15:04:05Z")
		}
	}
	return check.problems
}

// drop takes away an empty parameter, which counts as absent, before the
// generated code tries to read it.
func drop(c echo.Context, p parameterShape, query map[string][]string) {
	switch p.in {
	case "query":
		delete(query, p.name)
	case "header":
		c.Request().Header.Del(p.name)
	default: // a path parameter that is empty is no route
	}
}

// component compiles a schema that no operation refers to.
func component(doc *openapi3.T, name string) (*shape, error) {
	ref, ok := doc.Components.Schemas[name]
	if !ok {
		return nil, fmt.Errorf("there is no schema %s, only %v", name, slices.Sorted(maps.Keys(doc.Components.Schemas)))
	}
	return newShape(&openapi3.SchemaRef{Value: ref.Value})
}

// propertyNames lists the keys of all schemas.
func propertyNames(doc *openapi3.T) names {
	all := names{kafkaSnake: true}
	var collect func(*openapi3.Schema)
	collect = func(s *openapi3.Schema) {
		for name, property := range s.Properties {
			all[name] = true
			collect(property.Value)
		}
		if s.Items != nil {
			collect(s.Items.Value)
		}
	}
	for _, schema := range doc.Components.Schemas {
		collect(schema.Value)
	}
	return all
}
