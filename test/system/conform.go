package system

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

var contract = sync.OnceValues(func() (routers.Router, error) {
	doc, err := openapi3.NewLoader().LoadFromFile(filepath.Join(root, "internal", "api", "openapi.yaml"))
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, err
	}
	doc.Servers = nil // each test has an address of its own
	return gorillamux.NewRouter(doc)
})

// conform holds a request, unless it is odd, and its answer against the
// contract, and lists what does not fit. It names places, never what is there:
// bodies hold passwords.
func conform(ctx context.Context, sent *http.Request, odd bool, a Answer) []string {
	var problems []string
	if a.Header.Get("X-Request-Id") == "" {
		problems = append(problems, "the answer has no X-Request-Id")
	}
	router, err := contract()
	if err != nil {
		return append(problems, "the contract cannot be read: "+err.Error())
	}
	req := sent.Clone(ctx)
	if sent.GetBody != nil {
		if req.Body, err = sent.GetBody(); err != nil {
			return append(problems, "the request cannot be read again")
		}
		if req.Header.Get("Content-Type") == "" { // it counts as this
			req.Header.Set("Content-Type", "application/json")
		}
	}
	route, params, err := router.FindRoute(req)
	if err != nil {
		if a.Status != http.StatusNotFound && a.Status != http.StatusMethodNotAllowed {
			problems = append(problems, "the contract has no such call")
		}
		return problems
	}
	options := &openapi3filter.Options{
		AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, MultiError: true,
		ExcludeResponseBody: !strings.HasPrefix(a.Header.Get("Content-Type"), "application/json"),
	}
	in := &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route, Options: options}
	if !odd {
		problems = append(problems, places("request", openapi3filter.ValidateRequest(ctx, in))...)
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: a.Status, Header: a.Header, Options: options}
	out.SetBodyBytes(a.Body)
	problems = append(problems, places("answer", openapi3filter.ValidateResponse(ctx, out))...)
	slices.Sort(problems) // the validator goes over maps
	return problems
}

// places says where a validator's complaints are and which rule they are
// about. The validator's own texts quote values.
func places(at string, err error) []string {
	switch e := err.(type) { //nolint:errorlint // one layer after the other
	case nil:
		return nil
	case openapi3.MultiError:
		var found []string
		for _, one := range e {
			found = append(found, places(at, one)...)
		}
		return found
	case *openapi3filter.RequestError:
		if e.Parameter != nil {
			at += " " + e.Parameter.In + " " + e.Parameter.Name
		}
		if e.Err == nil {
			return []string{at + ": " + e.Reason}
		}
		return places(at, e.Err)
	case *openapi3filter.ResponseError:
		if e.Err == nil {
			return []string{at + ": " + e.Reason}
		}
		return places(at, e.Err)
	case *openapi3.SchemaError:
		return []string{fmt.Sprintf("%s /%s: against %q of its schema", at, strings.Join(e.JSONPointer(), "/"), e.SchemaField)}
	}
	if inner := errors.Unwrap(err); inner != nil {
		return places(at, inner)
	}
	return []string{fmt.Sprintf("%s: %T", at, err)}
}
