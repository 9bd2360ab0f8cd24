// Package wire is what oapi-codegen makes of openapi.yaml: the types of the
// wire and the routes. It holds no code of ours but this file.
package wire

//go:generate ../../../scripts/tool oapi-codegen -config oapi.yaml ../openapi.yaml
