package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"dialtone/internal/secret"
)

// fileSuffix ends the variable that names a secret's file.
const fileSuffix = "_FILE"

// maxSecretFile bounds a secret's file.
const maxSecretFile = 64 << 10

// Environment lets kong read the variables of env tags from getenv. Left to
// itself kong reads the process's environment, stops at the first fault and
// prints the value that is at fault. An Environment is for one parser.
type Environment struct {
	getenv func(string) string
	flags  []*kong.Flag
	names  map[*kong.Value][]string // their variables
	faults []error
}

// NewEnvironment makes an Environment.
func NewEnvironment(getenv func(string) string) *Environment {
	return &Environment{getenv: getenv, names: map[*kong.Value][]string{}}
}

// Options are for kong.New. Beside kong's own tags there is oneof, the values
// that a field may have, separated by commas.
func (e *Environment) Options() []kong.Option {
	return []kong.Option{
		kong.PostBuild(func(k *kong.Kong) error { return kong.Visit(k.Model.Node, e.adopt) }),
		kong.Resolvers(kong.ResolverFunc(e.resolve)),
		kong.ValueFormatter(e.describe),
	}
}

// Explain gives every problem that parsing met: those of the environment, and
// err, which is what kong's Parse returned. No text holds a value.
func (e *Environment) Explain(err error) error {
	if err != nil {
		// The command line comes first, and what follows from it is noise.
		return e.safe(err)
	}
	faults := slices.Clone(e.faults)
	for _, f := range e.flags {
		if !allowed(f, f.Target.String()) {
			faults = append(faults, e.fault(f))
		}
	}
	return errors.Join(faults...)
}

// allowed says whether a flag's oneof admits the text.
func allowed(f *kong.Flag, text string) bool {
	values := f.Tag.Get("oneof")
	return values == "" || slices.Contains(strings.Split(values, ","), text)
}

// adopt takes the variables away from kong and keeps them for resolve.
func (e *Environment) adopt(node kong.Visitable, next kong.Next) error {
	if f, ok := node.(*kong.Flag); ok {
		e.flags = append(e.flags, f)
		e.names[f.Value] = f.Tag.Envs
		f.Tag.Envs = nil
	}
	return next(nil)
}

// resolve gives kong a flag's value as text, or nil when there is none or when
// it does not fit the flag: that is noted, and the flag keeps its default.
func (e *Environment) resolve(_ *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
	for _, name := range e.names[f.Value] {
		text, err := e.lookup(f, name)
		if err != nil {
			e.faults = append(e.faults, err)
			return nil, nil //nolint:nilnil // kong's way to say: no value
		}
		if text == "" {
			continue
		}
		trial := reflect.New(f.Target.Type()).Elem()
		scan := kong.Scan().PushTyped(text, kong.FlagValueToken)
		if err := f.Mapper.Decode(&kong.DecodeContext{Value: f.Value, Scan: scan}, trial); err != nil || !allowed(f, text) {
			e.faults = append(e.faults, e.fault(f))
			return nil, nil //nolint:nilerr,nilnil // noted, and kong's text shows the value
		}
		return text, nil
	}
	return nil, nil //nolint:nilnil // kong's way to say: no value
}

// lookup reads one variable, for a secret also from the file that it names.
func (e *Environment) lookup(f *kong.Flag, name string) (string, error) {
	text := e.getenv(name)
	if f.Target.Type() != reflect.TypeFor[secret.Text]() {
		return text, nil
	}
	path := e.getenv(name + fileSuffix)
	switch {
	case path == "":
		return text, nil
	case text != "":
		return "", fmt.Errorf("%s and %s are both set: give one", name, name+fileSuffix)
	}
	text, err := readSecret(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name+fileSuffix, err)
	}
	return text, nil
}

// readSecret reads a secret's file, without the line end that editors put
// there. Its error leaves out the path: whoever put the secret itself in its
// place must not find it in the log.
func readSecret(path string) (string, error) {
	f, err := os.Open(path) //nolint:gosec // G304: the operator names the file
	if err != nil {
		return "", reason(err)
	}
	defer func() { _ = f.Close() }() // only read
	raw, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return "", reason(err)
	}
	text := strings.TrimRight(string(raw), "\r\n")
	switch {
	case len(raw) > maxSecretFile:
		return "", errors.New("the file is larger than 64 KiB")
	case text == "":
		return "", errors.New("the file is empty")
	default:
		return text, nil
	}
}

func reason(err error) error {
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		return fmt.Errorf("the file cannot be read: %w", pathErr.Err)
	}
	return errors.New("the file cannot be read")
}

// safe is kong's error in words of our own: kong's repeat what they met.
func (e *Environment) safe(err error) error {
	text, _, _ := strings.Cut(err.Error(), "\n")
	if name, _, found := strings.Cut(strings.TrimPrefix(text, "--"), ":"); found {
		for _, f := range e.flags {
			if f.Name == name {
				return e.fault(f)
			}
		}
	}
	for _, harmless := range []string{"unknown flag --", "missing flags: ", "missing flag: ", "missing positional arguments ", "expected one of ", `expected "<`} {
		if strings.HasPrefix(text, harmless) {
			return errors.New(text)
		}
	}
	return errors.New("the command line has an argument that is not understood: see --help")
}

// fault says what a flag should have been, by both its names.
func (e *Environment) fault(f *kong.Flag) error {
	name := strings.Join(append(slices.Clone(e.names[f.Value]), "--"+f.Name), " or ")
	if values := f.Tag.Get("oneof"); values != "" {
		return fmt.Errorf("%s must be one of %s", name, strings.ReplaceAll(values, ",", ", "))
	}
	return fmt.Errorf("%s must be %s", name, expected(f))
}

// expected describes what a flag's type takes.
func expected(f *kong.Flag) string {
	switch f.Target.Type().String() {
	case "time.Duration":
		return "a duration with its unit, such as 15s or 2m"
	case "config.Bytes":
		return "a number of bytes, such as 65536 or 16MiB"
	case "[]netip.AddrPort":
		return "a list of IP:PORT, separated by commas"
	case "[]netip.Prefix":
		return "a list of networks such as 10.0.0.0/8, separated by commas"
	case "secret.Text":
		return "followed by a value"
	}
	switch f.Tag.Type {
	case "existingfile", "existingdir", "path":
		return "the name of a file or directory that is there"
	}
	switch f.Target.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	default:
		return "followed by a value"
	}
}

// describe is a flag's help: what it is, its variables, its default.
func (e *Environment) describe(v *kong.Value) string {
	names := slices.Clone(e.names[v])
	if len(names) == 0 {
		return v.Help
	}
	if v.Target.Type() == reflect.TypeFor[secret.Text]() {
		for _, name := range e.names[v] {
			names = append(names, name+fileSuffix)
		}
	}
	text := v.Help + " [" + strings.Join(names, ", ")
	if v.HasDefault {
		text += "; default " + v.Default
	}
	return text + "]"
}
