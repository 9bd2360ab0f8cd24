package canary_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dialtone/test/system"
)

// told is a process that is told something wrong, and what it is told is a
// secret.
type told struct {
	what, program string
	args          []string
	env           []string
}

// misused starts the programs with secrets that are broken, that are wrong, or
// that stand where they do not belong.
func (r *run) misused() {
	t := r.t
	said := r.place("output of programs that are told wrong", "DIALTONE_POSTGRES_DSN", "DIALTONE_REDIS_URL", "check fails", "keyset", "OTLP header 1")
	for _, c := range append(r.wrongSettings(), r.wrongCommands()...) {
		program := c.program
		// What cannot be used ends it; what is only refused by a server does not.
		p := system.Launch(t, append(r.base(), c.env...), program, c.args...)
		system.Eventually(t, 3*system.WaitForServers, program+" says what is wrong with: "+c.what, func() bool {
			ended, _ := p.Exited()
			return ended || strings.Contains(p.Output(), "check fails") || p.Admin == "" && strings.Contains(p.Output(), "admin listener started") && r.unready(p)
		})
		if ended, _ := p.Exited(); !ended {
			p.Kill()
		}
		if p.Output() == "" {
			t.Errorf("%s says nothing of: %s", program, c.what)
		}
		said.add([]byte(p.Output()))
	}
}

// unready asks a process whether it is ready, which makes it look.
func (r *run) unready(p *system.Process) bool {
	_, after, _ := strings.Cut(p.Output(), `"msg":"admin listener started"`)
	_, after, _ = strings.Cut(after, `"address":"`)
	p.Admin, _, _ = strings.Cut(after, `"`)
	defer func() { p.Admin = "" }()
	return !p.Ready()
}

// base is what an api or a worker needs.
func (r *run) base() []string {
	return []string{
		"DIALTONE_POSTGRES_DSN=" + r.s.DSN, "DIALTONE_REDIS_URL=" + r.s.RedisURL(r.s.Redis), "DIALTONE_REDIS_PASSWORD=" + r.reg.redisPassword(),
		"DIALTONE_KEYSET_FILE=" + r.keysetFile, "DIALTONE_AUTH_FILE=" + r.authFile, "DIALTONE_LISTEN=127.0.0.1:0", "DIALTONE_ADMIN_LISTEN=127.0.0.1:0",
		"DIALTONE_LOG_LEVEL=debug", "DIALTONE_POSTGRES_CONNECT_TIMEOUT=1s", "GOTRACEBACK=all",
	}
}

// wrongSettings are for api and worker.
func (r *run) wrongSettings() []told {
	t, reg := r.t, r.reg
	var all []told
	set := func(name, what, value string) {
		all = append(all, told{what: name + ", " + what, program: "api", env: []string{name + "_FILE=", name + "=" + value}})
		if strings.HasPrefix(name, "DIALTONE_KEYSTONE") || name == "DIALTONE_AUTH_FILE" || name == "DIALTONE_TLS_KEY_FILE" {
			return
		}
		all = append(all, told{what: name + ", " + what, program: "worker", env: []string{name + "_FILE=", name + "=" + value}})
	}
	draw := func(name, what string) string { return reg.draw(name, what, printable) }
	const dsn, redisURL, keyset = "DIALTONE_POSTGRES_DSN", "DIALTONE_REDIS_URL", "DIALTONE_KEYSET"
	right, err := url.Parse(r.s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	wrong := *right
	wrong.User = url.UserPassword("dialtone", draw(dsn, "wrong"))
	set(dsn, "wrong", wrong.String())
	set(dsn, "no escapes", "postgres://dialtone:"+draw(dsn, "no escapes")+"@127.0.0.1:5432/x")
	set(dsn, "broken port", "postgres://dialtone:"+reg.draw(dsn, "broken port", plain)+"@127.0.0.1:port/x")
	set(dsn, "not closed", "host=127.0.0.1 password='"+reg.draw(dsn, "not closed", plain))
	set(dsn, "alone", draw(dsn, "alone"))
	set(dsn, "unknown option", "host=127.0.0.1 sslmode="+reg.draw(dsn, "as a mode", plain)+" password="+reg.draw(dsn, "beside it", plain))
	set(dsn, "nobody there", "postgres://dialtone:"+reg.draw(dsn, "nobody there", plain)+"@"+system.ClosedAddr(t)+"/x?sslmode=disable")
	set("DIALTONE_REDIS_PASSWORD", "wrong", draw("DIALTONE_REDIS_PASSWORD", "wrong"))
	set(redisURL, "no escapes", "redis://:"+draw(redisURL, "no escapes")+"@127.0.0.1/0")
	set(redisURL, "broken port", "redis://:"+reg.draw(redisURL, "broken port", plain)+"@127.0.0.1:port/0")
	set(redisURL, "another scheme", "http://:"+reg.draw(redisURL, "another scheme", plain)+"@127.0.0.1/0")
	set(redisURL, "as the database", "redis://127.0.0.1/"+reg.draw(redisURL, "as the database", plain))
	set(redisURL, "alone", draw(redisURL, "alone"))
	set(redisURL, "nobody there", "redis://:"+reg.draw(redisURL, "nobody there", plain)+"@"+system.ClosedAddr(t)+"/0")
	set(keyset, "no keyset", draw(keyset, "no keyset"))
	set(keyset, "broken", `{"primaryKeyId":1,"key":[{"keyData":{"typeUrl":"type.googleapis.com/google.crypto.tink.AesGcmKey","value":"`+reg.draw(keyset, "broken", plain)+`"}}]}`)
	set(keyset, "beside its file", draw(keyset, "beside its file"))
	all[len(all)-1].env = all[len(all)-1].env[1:] // both are given
	set("DIALTONE_OTLP_HEADERS", "no pair", draw("DIALTONE_OTLP_HEADERS", "no pair")[:30])
	for i := range all {
		if strings.HasPrefix(all[i].what, "DIALTONE_OTLP") {
			all[i].env = append(all[i].env, "DIALTONE_OTLP_ENDPOINT=http://"+system.ClosedAddr(t), "DIALTONE_OTLP_HEADERS="+strings.ReplaceAll(reg.draw("DIALTONE_OTLP_HEADERS", "no pair at all", plain), "=", ""))
		}
	}
	set("DIALTONE_OTLP_ENDPOINT", "a password in it", "http://u:"+reg.draw("DIALTONE_OTLP_HEADERS", "in the URL", plain)+"@"+system.ClosedAddr(t)+"/%zz")
	set("DIALTONE_KEYSTONE_URL", "a password in it", "http://u:"+reg.draw("DIALTONE_KEYSTONE_PASSWORD", "in the URL", plain)+"@127.0.0.1:port")
	set("DIALTONE_KEYSTONE_PASSWORD", "without a user", draw("DIALTONE_KEYSTONE_PASSWORD", "without a user"))
	for what, list := range map[string]string{
		"no YAML":         "tokens: [\n" + reg.draw("header X-Auth-Token", "in a list that is no YAML", plain),
		"a token":         "tokens:\n  - {name: a, sha256: '" + reg.draw("header X-Auth-Token", "in the place of its hash", plain) + "', projects: ['*'], roles: [r]}\n",
		"a token as name": "tokens:\n  - {name: '" + reg.draw("header X-Auth-Token", "as its name, twice", plain) + "', projects: ['*']}\n",
		"sealed":          "access_keys:\n  - {ak: a, secret_sealed: '" + reg.draw("AccessKey.Secret", "not sealed", plain) + "', projects: ['*'], roles: [r]}\n",
		"file":            "access_keys:\n  - {ak: a, secret_file: '" + reg.draw("AccessKey.Secret", "in the place of its file", plain) + "', projects: ['*'], roles: [r]}\n",
		"unknown":         "access_keys:\n  - {ak: a, secret: '" + reg.draw("AccessKey.Secret", "in the clear", plain) + "', projects: ['*'], roles: [r]}\n",
		"key":             "access_keys:\n  - " + reg.draw("AccessKey.Secret", "as a key", plain) + ": x\n",
	} {
		set("DIALTONE_AUTH_FILE", what, file(t, "auth.yaml", list))
	}
	all = append(all, told{
		what: "a broken key", program: "api",
		env: []string{"DIALTONE_TLS_CERT_FILE=" + file(t, "c.pem", string(newPair(t, "a").certPEM)), "DIALTONE_TLS_KEY_FILE=" + file(t, "k.pem", "-----BEGIN PRIVATE KEY-----\n"+reg.draw("DIALTONE_TLS_KEY_FILE", "broken", plain)+"\n-----END PRIVATE KEY-----\n")},
	})
	for _, name := range []string{dsn, redisURL, keyset, "DIALTONE_REDIS_PASSWORD"} {
		for _, program := range []string{"api", "worker"} {
			all = append(all, told{what: name + " in the place of its file", program: program, env: []string{name + "=", name + "_FILE=" + reg.draw(name, "in the place of its file", plain)}})
		}
	}
	return all
}

// wrongCommands are calls that are wrong. What stands in them is in the command
// line, whoever put it there; it must not be in what they say.
func (r *run) wrongCommands() []told {
	t, reg := r.t, r.reg
	var all []told
	call := func(what, program string, args ...string) {
		all = append(all, told{what: what, program: program, args: args})
	}
	for _, program := range []string{"api", "worker"} {
		call("an argument", program, reg.draw("DIALTONE_KEYSET", program+": as an argument", printable))
		call("a flag", program, "--keyset", reg.draw("DIALTONE_KEYSET", program+": as a flag", printable))
		call("a number", program, "--redis-pool-size="+reg.draw("DIALTONE_REDIS_PASSWORD", program+": as a number", plain))
		call("a duration", program, "--postgres-connect-timeout", reg.draw("DIALTONE_POSTGRES_DSN", program+": as a duration", plain))
	}
	up := "dialtone up DIALTONE_TOKEN"
	call("up: an argument", "dialtone", "up", reg.draw(up, "as an argument", plain))
	call("up: a level", "dialtone", "up", "--log-level", reg.draw(up, "as a level", plain))
	call("up: no pair", "dialtone", "up", "--data", t.TempDir(), "--access-key", reg.draw("dialtone up DIALTONE_ACCESS_KEY", "without a colon", plain))
	call("up: a broken keyset", "dialtone", "up", "--data", filled(t, t.TempDir(), "keyset.json", reg.draw("DIALTONE_KEYSET", "up: broken", plain)))
	keyset := file(t, "keyset.json", reg.draw("DIALTONE_KEYSET", "keys: broken", printable))
	for _, args := range [][]string{{"keys", "show"}, {"keys", "add"}, {"keys", "promote", "1"}, {"keys", "seal", "AK"}} {
		call(strings.Join(args, " "), "dialtone", append(args, "--keyset-file", keyset)...)
	}
	call("keys: a file", "dialtone", "keys", "show", "--keyset-file", reg.draw("DIALTONE_KEYSET", "keys: in the place of its file", plain))
	call("keys: a number", "dialtone", "keys", "promote", reg.draw("DIALTONE_KEYSET", "keys: as an id", plain), "--keyset-file", r.keysetFile)
	const urls = "dialtone test URL mysql"
	for what, format := range map[string]string{
		"a port out of range": "mysql://u:SECRET@h:99999/d", "no host": "mysql://u:SECRET@/d", "an at sign": "mysql://u:SECRET@x@h/d@", "a path": "mysql://u:SECRET/h/d/e",
		"an engine": "SECRET://u:p@h/d", "an option": "mysql://u:p@h/d?password=SECRET", "a value": "mysql://u:p@h/d?tls=SECRET", "a file": "mysql://u@h/d?password_file=SECRET",
		"no slashes": "mysql:u:SECRET@h/d", "an escape": "mysql://u:SECRET%zz@h/d", "a fragment": "mysql://u:SECRET#@h/d",
	} {
		call("test: "+what, "dialtone", "test", strings.ReplaceAll(format, "SECRET", reg.draw(urls, "misplaced: "+what, plain)))
	}
	call("test: a server", "dialtone", "test", "--server", "http://u:"+reg.draw("dialtone test DIALTONE_TOKEN", "in the server's URL", plain)+"@h:1", "mysql://u@h/d")
	call("test: a report", "dialtone", "test", "--junit", "/no/such/"+reg.draw("dialtone test DIALTONE_TOKEN", "as a file", plain), "mysql://u@"+r.closing+"/d")
	call("egress", "dialtone", "egress", "explain", reg.draw(urls, "as an address", printable))
	return all
}

// filled puts a file into a directory and gives the directory.
func filled(t *testing.T, dir, name, content string) string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
