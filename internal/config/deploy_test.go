package config_test

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"dialtone/internal/config"
)

const root = "../.."

// program is one of our binaries, as it is started somewhere in the repository.
type program struct {
	name string
	args []string
	env  map[string]string
}

// check wants a program that exists, with variables that it reads, and with
// values that it takes: secrets' files are replaced by one that is there.
func (p program) check(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, "cmd", p.name, "main.go")); err != nil {
		t.Fatalf("there is no program %s", p.name)
	}
	known := map[string]bool{}
	for _, v := range variables(t) {
		reads := map[string]bool{
			"api": v.api, "worker": v.worker,
			// dialtone migrate embeds these groups.
			"dialtone": v.group == "Postgres" || v.group == "Keys",
		}[p.name]
		for _, n := range v.names() {
			known[n] = reads
		}
	}
	given := map[string]string{}
	for name, value := range p.env {
		if !known[name] {
			t.Errorf("%s does not read %s", p.name, name)
		}
		given[name] = value
		if secret, found := strings.CutSuffix(name, "_FILE"); found && known[secret] {
			given[name] = filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(given[name], []byte("a secret"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	getenv := func(name string) string { return given[name] }
	var err error
	switch p.name {
	case "api":
		_, err = config.ParseAPI(p.args, getenv, io.Discard)
	case "worker":
		_, err = config.ParseWorker(p.args, getenv, io.Discard)
	case "dialtone":
		if !slices.Equal(p.args, []string{"migrate"}) {
			t.Errorf("dialtone %v, want migrate", p.args)
		}
		for _, name := range []string{"DIALTONE_POSTGRES_DSN", "DIALTONE_KEYSET"} {
			if given[name] == "" && given[name+"_FILE"] == "" {
				t.Errorf("dialtone migrate is not told %s", name)
			}
		}
	}
	if err != nil {
		t.Errorf("%s would not start: %v", p.name, err)
	}
}

type compose struct {
	Services map[string]struct {
		Image       string
		Command     []string
		Environment map[string]string
		Secrets     []string
		Volumes     []string
		Build       struct{ Context, Dockerfile string }
		Deploy      struct{ Replicas int }
		DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	}
	Secrets map[string]struct{ File string }
	Volumes map[string]any
}

func readCompose(t *testing.T) compose {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var c compose
	if err := yaml.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestComposeStartsOurPrograms(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	interpolated := regexp.MustCompile(`\$\{[A-Z_]+:\?[^}]*\}`)
	var programs []string
	for name, s := range c.Services {
		if s.Build.Dockerfile == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := os.Stat(filepath.Join(root, s.Build.Context, s.Build.Dockerfile)); err != nil {
				t.Error(err)
			}
			env := map[string]string{}
			for k, v := range s.Environment {
				env[k] = interpolated.ReplaceAllString(v, "password")
				if path, found := strings.CutPrefix(v, "/run/secrets/"); found && !slices.Contains(s.Secrets, path) {
					t.Errorf("%s names the secret %s, which the service is not given", k, path)
				}
			}
			for _, n := range s.Secrets {
				if c.Secrets[n].File == "" {
					t.Errorf("the secret %s has no file", n)
				}
			}
			program{name: s.Command[0], args: s.Command[1:], env: env}.check(t)
		})
		programs = append(programs, strings.Join(s.Command, " "))
		for other := range s.DependsOn {
			if _, ok := c.Services[other]; !ok {
				t.Errorf("%s depends on %s, which there is not", name, other)
			}
		}
	}
	slices.Sort(programs)
	if want := []string{"api", "dialtone migrate", "worker"}; !slices.Equal(programs, want) {
		t.Errorf("programs = %q, want %q", programs, want)
	}
}

func TestComposeServers(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	if got := c.Services["worker"].Deploy.Replicas; got != 2 {
		t.Errorf("%d workers, want 2", got)
	}
	redis := strings.Join(c.Services["redis"].Command, " ")
	for _, want := range []string{"--maxmemory-policy noeviction", "--appendonly yes"} {
		if !strings.Contains(redis, want) {
			t.Errorf("redis runs as %q, without %s", redis, want)
		}
	}
	for _, name := range []string{"postgres", "redis", "prometheus"} {
		s := c.Services[name]
		if _, tag, found := strings.Cut(s.Image, ":"); !found || tag == "latest" {
			t.Errorf("%s has no pinned version: %q", name, s.Image)
		}
		for _, v := range s.Volumes {
			source, _, _ := strings.Cut(v, ":")
			if _, named := c.Volumes[source]; named {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, source)); err != nil {
				t.Errorf("volume of %s: %v", name, err)
			}
		}
	}
	// What Prometheus looks for must be what is listened on.
	for name, port := range map[string]string{"api": ":9101", "worker": ":9102"} {
		if got := c.Services[name].Environment["DIALTONE_ADMIN_LISTEN"]; got != port {
			t.Errorf("admin listener of %s = %q, want %q as in prometheus.yml", name, got, port)
		}
	}
}

func TestSystemdUnits(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join(root, "deploy", "systemd", "*.service"))
	if err != nil || len(paths) != 3 {
		t.Fatalf("units: %v, %v", paths, err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			p := program{env: map[string]string{}}
			credentials := map[string]bool{}
			settings := map[string]bool{}
			for line := range strings.Lines(string(raw)) {
				key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
				settings[key+"="+value] = true
				switch key {
				case "ExecStart":
					command := strings.Fields(value)
					p.name, p.args = filepath.Base(command[0]), command[1:]
				case "LoadCredential":
					id, _, _ := strings.Cut(value, ":")
					credentials[id] = true
				case "Environment":
					name, setting, _ := strings.Cut(value, "=")
					p.env[name] = strings.ReplaceAll(setting, "%i", "9102")
				}
			}
			for name, value := range p.env {
				if id, found := strings.CutPrefix(value, "%d/"); found && !credentials[id] {
					t.Errorf("%s names the credential %s, which is not loaded", name, id)
				}
			}
			p.check(t)
			for _, want := range []string{
				"DynamicUser=yes", "NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes",
				"CapabilityBoundingSet=", "LimitCORE=0", "SystemCallFilter=@system-service",
			} {
				if !settings[want] {
					t.Errorf("%s is missing", want)
				}
			}
		})
	}
}

// TestProcfile wants each line to start one of our programs.
func TestProcfile(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(root, "Procfile"))
	if err != nil {
		t.Fatal(err)
	}
	var started []string
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		_, command, _ := strings.Cut(line, ":")
		words := strings.Fields(command)
		name, found := strings.CutPrefix(words[0], "bin/")
		if !found {
			t.Errorf("%q does not start a program of bin/", line)
		}
		if _, err := os.Stat(filepath.Join(root, "cmd", name, "main.go")); err != nil {
			t.Errorf("%q: there is no such program", line)
		}
		started = append(started, name)
	}
	for _, want := range []string{"api", "worker"} {
		if !slices.Contains(started, want) {
			t.Errorf("the Procfile does not start %s", want)
		}
	}
}

// TestNamesInDocuments looks up each variable that the documents of running
// dialtone speak of.
func TestNamesInDocuments(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, v := range variables(t) {
		for _, n := range v.names() {
			known[n] = true
		}
	}
	for _, path := range []string{"docs/configuration.md", "docs/operations.md", "deploy/allow-list.example", "deploy/auth.example.yaml", "docker-compose.yml"} {
		raw, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`DIALTONE_[A-Z_]*[A-Z]`).FindAllString(string(raw), -1) {
			if !known[name] {
				t.Errorf("%s speaks of %s, which nobody reads", path, name)
			}
		}
	}
}
