package canary_test

import (
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"dialtone/internal/api/wire"
	"dialtone/internal/auth"
	"dialtone/internal/config"
	"dialtone/internal/secret"
	"dialtone/test/system"
)

// required lists every field that a secret can stand in, from the document, the
// types and the help of the programs, so that a field that is added later is
// in the list by itself.
func required(t *testing.T) []string {
	t.Helper()
	fields := documented(t)
	fields = append(fields, typed(reflect.TypeFor[wire.StrictServerInterface]())...)
	fields = append(fields, typed(reflect.TypeFor[wire.ClusterEndpoint]())...) // written as a string, so that no type leads to it
	fields = append(fields, typed(reflect.TypeFor[auth.File]())...)
	fields = append(fields, variables(reflect.TypeFor[config.API]())...)
	fields = append(fields, variables(reflect.TypeFor[config.Worker]())...)
	for _, command := range []string{"up", "test", "migrate"} {
		fields = append(fields, commandFields(t, command)...)
	}
	// Headers that the document does not name, for they are not its own.
	fields = append(fields, "header X-Security-Token")
	slices.Sort(fields)
	return slices.Compact(fields)
}

// documented are the fields of the document whose format is password, and the
// headers of its security schemes.
func documented(t *testing.T) []string {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile(filepath.Join(system.Root(), "internal", "api", "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return documentedIn(doc)
}

func documentedIn(doc *openapi3.T) []string {
	var fields []string
	for name, schema := range doc.Components.Schemas {
		walkSchema(name, schema, &fields)
	}
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			if operation.RequestBody == nil {
				continue
			}
			for _, media := range operation.RequestBody.Value.Content {
				walkSchema(method+" "+path, media.Schema, &fields)
			}
		}
	}
	for _, scheme := range doc.Components.SecuritySchemes {
		fields = append(fields, "header "+scheme.Value.Name)
	}
	return fields
}

// walkSchema goes down to what has no name of its own; what has one is visited
// under it.
func walkSchema(name string, ref *openapi3.SchemaRef, fields *[]string) {
	if ref == nil || ref.Value == nil {
		return
	}
	s := ref.Value
	if s.Format == "password" {
		*fields = append(*fields, name)
	}
	inner := slices.Concat(s.AllOf, s.OneOf, s.AnyOf)
	if s.Items != nil {
		inner = append(inner, s.Items)
	}
	for _, one := range inner {
		if one.Ref == "" {
			walkSchema(name, one, fields)
		}
	}
	for property, one := range s.Properties {
		if one.Ref == "" {
			walkSchema(name+"."+property, one, fields)
		}
	}
}

// typed are the fields of type secret.Text that a type leads to, named after
// the struct and the name in JSON.
func typed(root reflect.Type) []string {
	var fields []string
	seen := map[reflect.Type]bool{}
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		if seen[t] || t == reflect.TypeFor[secret.Text]() {
			return
		}
		seen[t] = true
		switch t.Kind() {
		case reflect.Interface, reflect.Func:
			for m := range t.Methods() {
				walk(m.Type)
			}
			if t.Kind() == reflect.Func {
				for in := range t.Ins() {
					walk(in)
				}
			}
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			walk(t.Elem())
		case reflect.Struct:
			for f := range t.Fields() {
				if !f.IsExported() && !f.Anonymous {
					continue
				}
				if f.Type == reflect.TypeFor[secret.Text]() {
					name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
					if name == "" {
						name = f.Name
					}
					fields = append(fields, t.Name()+"."+name)
				}
				walk(f.Type)
			}
		default:
		}
	}
	walk(root)
	return fields
}

// secretFile is the name of a variable that names a file with a secret.
var secretFile = regexp.MustCompile(`(_KEY|_KEYTAB|_PASSWORD|_SECRET|_TOKEN|_KEYSET)_FILE$`)

// variables are the settings that are secrets, or name a file that is one.
func variables(root reflect.Type) []string {
	var fields []string
	for _, f := range reflect.VisibleFields(root) {
		name := f.Tag.Get("env")
		if f.Type == reflect.TypeFor[secret.Text]() || f.Type.Kind() == reflect.String && secretFile.MatchString(name) {
			fields = append(fields, name)
		}
	}
	return fields
}

var (
	helpVariables = regexp.MustCompile(`\[([A-Z0-9_, ]+)[\];]`)
	helpOptions   = regexp.MustCompile(`\b(key_store|ca|\w*password_file)=FILE`)
	helpEngines   = regexp.MustCompile(`Engines: ([a-z, ]+)\.`)
)

// commandFields are the secrets of a command, as its help lists them: the
// variables that may come as a file too, the options of a URL that name a file
// with a secret, and the password of each kind of URL.
func commandFields(t *testing.T, command string) []string {
	t.Helper()
	help := system.Run(t, nil, "dialtone", command, "--help")
	help = strings.Join(strings.Fields(help), " ") // it is broken over lines
	var fields []string
	for _, found := range helpVariables.FindAllStringSubmatch(help, -1) {
		names := strings.Split(found[1], ", ")
		for _, name := range names {
			if slices.Contains(names, name+"_FILE") || secretFile.MatchString(name) && !slices.Contains(names, strings.TrimSuffix(name, "_FILE")) {
				fields = append(fields, "dialtone "+command+" "+name)
			}
		}
	}
	for _, found := range helpOptions.FindAllStringSubmatch(help, -1) {
		fields = append(fields, "dialtone "+command+" URL option "+found[1])
	}
	for _, found := range helpEngines.FindAllStringSubmatch(help, -1) {
		for name := range strings.SplitSeq(found[1], ", ") {
			fields = append(fields, "dialtone "+command+" URL "+name)
		}
	}
	return fields
}

// dbTypes are the engines that the connection call names.
func dbTypes(t *testing.T) []string {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile(filepath.Join(system.Root(), "internal", "api", "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range doc.Components.Schemas["TestEndPoint"].Value.Properties["db_type"].Value.Enum {
		name, _ := v.(string)
		names = append(names, name)
	}
	return names
}

// TestRequiredFields: the list has what is known to be secret, and what is new
// gets into it.
func TestRequiredFields(t *testing.T) {
	t.Parallel()
	fields := required(t)
	for _, want := range []string{
		"TestEndPoint.db_password", "ClusterEndpoint.dbpassword", "ClusterJob.property", "KafkaSecurity.key_store_key", "JobEndpoint.ssl_cert_key",
		"AccessKey.Secret", "DIALTONE_POSTGRES_DSN", "DIALTONE_REDIS_PASSWORD", "DIALTONE_KEYSET", "DIALTONE_ADMIN_TOKEN", "DIALTONE_OTLP_HEADERS", "DIALTONE_TLS_KEY_FILE",
		"DIALTONE_KERBEROS_KEYTAB_FILE", "header X-Auth-Token", "header Authorization", "dialtone up DIALTONE_TOKEN", "dialtone up DIALTONE_ACCESS_KEY",
		"dialtone test DIALTONE_TOKEN", "dialtone test URL option password_file", "dialtone test URL option key_store", "dialtone test URL kafka",
		"dialtone migrate DIALTONE_POSTGRES_DSN",
	} {
		if !slices.Contains(fields, want) {
			t.Errorf("%s is not among the fields that need a marker: %s", want, strings.Join(fields, "\n"))
		}
	}
	type newer struct {
		Passphrase secret.Text `json:"passphrase" env:"DIALTONE_PASSPHRASE"`
		ClientKey  string      `env:"DIALTONE_CLIENT_KEY_FILE"`
		Region     string      `json:"region" env:"DIALTONE_REGION"`
	}
	type outer struct {
		List []map[string]*newer `json:"list"`
	}
	if got := typed(reflect.TypeFor[interface{ Do(a outer) error }]()); !slices.Equal(got, []string{"newer.passphrase"}) {
		t.Errorf("of a new type %v is found", got)
	}
	if got := variables(reflect.TypeFor[newer]()); !slices.Equal(got, []string{"DIALTONE_PASSPHRASE", "DIALTONE_CLIENT_KEY_FILE"}) {
		t.Errorf("of new settings %v is found", got)
	}
	doc, err := openapi3.NewLoader().LoadFromData([]byte(`{"openapi":"3.0.3","info":{"title":"t","version":"1"},"paths":{"/x":{"post":{
		"requestBody":{"content":{"application/json":{"schema":{"type":"object","properties":{"pin":{"type":"string","format":"password"}}}}}},
		"responses":{"200":{"description":"ok"}}}}},
		"components":{"schemas":{"Box":{"type":"object","properties":{"inner":{"type":"array","items":{"type":"object","properties":{"phrase":{"type":"string","format":"password"}}}}}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	got := documentedIn(doc)
	slices.Sort(got)
	if !slices.Equal(got, []string{"Box.inner.phrase", "POST /x.pin"}) {
		t.Errorf("of a new document %v is found", got)
	}
}
