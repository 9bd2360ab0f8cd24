// Package client calls a running dialtone: what oapi-codegen makes of
// openapi.yaml. It adds no credentials; pass a RequestEditorFn that does.
package client

//go:generate ../../../scripts/tool oapi-codegen -config oapi.yaml ../openapi.yaml
