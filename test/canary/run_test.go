package canary_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dialtone/test/system"
)

// knownUser begins the names of users, which are no secrets: reads have them,
// and so the places that must hold something hold them.
const knownUser = "canary_"

// run is one run of everything.
type run struct {
	ground

	t   *testing.T
	reg *registry
	s   *system.System
	// other is a second api: TLS on every way, a token for Keystone.
	other *system.System
	// extra are settings that name what Prepare has made.
	extra  []string
	number int
	// keysetFile and authFile are what the processes read.
	keysetFile, authFile string
	// tmp is the processes' directory for temporary files.
	tmp string
	// pit is silent, closing hangs up at once, garbage is no database.
	pit, closing, garbage string

	keystone keystone
	tokens   struct{ own, keystone, stranger, temporary, admin string }
	signing  struct{ file, sealed, temporary string }

	places  []*place
	byName  map[string]*place
	started time.Time
	batches int
	tests   int
	echoed  int
}

// place gives the place with a name.
func (r *run) place(name string, holds ...string) *place {
	if p := r.byName[name]; p != nil {
		p.holds = append(p.holds, holds...)
		return p
	}
	p := &place{name: name, holds: holds}
	r.byName[name], r.places = p, append(r.places, p)
	return p
}

// TestCanary runs api, workers, `dialtone up` and `dialtone test` with markers
// for secrets, and with everything that can go wrong, and finds none of them
// afterwards.
func TestCanary(t *testing.T) {
	t.Parallel()
	r := &run{t: t, reg: &registry{}, tmp: t.TempDir(), byName: map[string]*place{}, started: time.Now()}
	rounds := []step{{"every engine", r.everyEngine}, {"cancelled", r.cancelled}, {"interrupted", r.interrupted}, {"sent twice", r.keyed}, {"jobs", r.jobs}, {"refused", r.doors}}
	steps := append([]step{{"servers", r.prepare}, {"api and workers", r.start}}, rounds...)
	if *long {
		steps = slices.Concat(steps, rounds, rounds)
	}
	steps = append(steps, step{"dialtone up", r.up}, step{"dialtone test", r.test}, step{"told wrong", r.misused}, step{"stores", r.dump}, step{"stacks", r.panics}, step{"fields", r.covered})
	for _, s := range steps {
		began := time.Now()
		s.do()
		t.Logf("%7s  %s", time.Since(began).Round(100*time.Millisecond), s.name)
	}
	began := time.Now()
	found := r.search()
	t.Logf("%7s  search", time.Since(began).Round(100*time.Millisecond))
	r.planted()
	r.tell(found)
}

// step is a part of the run.
type step struct {
	name string
	do   func()
}

// prepare starts what the run stands on, and draws the secrets of the
// processes.
func (r *run) prepare() {
	t, reg := r.t, r.reg
	redisPassword := reg.draw("DIALTONE_REDIS_PASSWORD", "of the server", printable)
	r.startPostgres(t, reg.draw("DIALTONE_POSTGRES_DSN", "password of the role", awkward))
	r.startRedis(t, redisPassword)
	r.places = append(r.places, r.postgresLog)
	r.monitor(t, redisPassword, r.place("what Redis was told", "asynq:", "evalsha"))

	r.pit = system.Tarpit(t)
	r.closing = system.Serve(t, func(net.Conn) {})
	r.garbage = system.Serve(t, func(c net.Conn) { _, _ = c.Write([]byte(strings.Repeat("220 mail.example ESMTP\r\n", 20))) })

	r.tokens.own = reg.draw("header X-Auth-Token", "in the list of callers", printable)
	r.tokens.keystone = reg.draw("header X-Auth-Token", "of Keystone's", printable)
	r.tokens.temporary = reg.draw("header X-Security-Token", "of a temporary key", printable)
	r.tokens.admin = reg.draw("DIALTONE_ADMIN_TOKEN", "of the second api", printable)
	r.signing.file = reg.draw("AccessKey.Secret", "in a file", printable)
	r.signing.sealed = reg.draw("AccessKey.Secret", "sealed", printable)
	r.signing.temporary = reg.draw("AccessKey.Secret", "of a temporary key", printable)
	r.keystone.user, r.keystone.password = "canary-service", reg.draw("DIALTONE_KEYSTONE_PASSWORD", "of our user", anything)
	r.keystone.own, r.keystone.caller = reg.draw("DIALTONE_KEYSTONE_TOKEN", "our own", printable), r.tokens.keystone
	startKeystone(t, &r.keystone, system.Project)
	reg.keytab(t, "DIALTONE_KERBEROS_KEYTAB_FILE", system.Need(t, "DIALTONE_TEST_KERBEROS_KEYTAB"))
}

// start starts the api, a worker and the second api.
func (r *run) start() {
	t, reg := r.t, r.reg
	keyset := system.Run(t, nil, "dialtone", "keys", "new")
	reg.found("DIALTONE_KEYSET", "of the store", keyset, keyValue(t, keyset)...)
	r.keysetFile = file(t, "keyset.json", keyset)
	r.authFile = r.callers(r.keysetFile)
	header := reg.draw("DIALTONE_OTLP_HEADERS", "for the collector", printable)
	endpoint, _ := collect(t, r.place("traces", "test mysql", "/v1/traces"), "X-Canary", header)

	r.s = system.Prepare(t, system.Options{
		Postgres: r.dsn, Redis: r.redis, RedisPassword: reg.redisPassword(), SecretsByFile: true,
		Env: []string{
			"DIALTONE_KEYSET_FILE=" + r.keysetFile, "DIALTONE_AUTH_FILE=" + r.authFile,
			"DIALTONE_KEYSTONE_URL=" + r.keystone.url, "DIALTONE_KEYSTONE_USER=" + r.keystone.user,
			"DIALTONE_KEYSTONE_PASSWORD_FILE=" + file(t, "keystone", r.keystone.password),
			"DIALTONE_OTLP_ENDPOINT=" + endpoint, "DIALTONE_OTLP_HEADERS_FILE=" + file(t, "otlp", "X-Canary="+url.PathEscape(header)),
			"DIALTONE_REDIS_SENTINEL_PASSWORD_FILE=" + file(t, "sentinel", reg.draw("DIALTONE_REDIS_SENTINEL_PASSWORD", "of no use", printable)),
			"DIALTONE_LOG_LEVEL=debug", "DIALTONE_PPROF=true", "DIALTONE_JOBS=any", "DIALTONE_MAX_ENTRIES=1000", "DIALTONE_BULK_MAX=1000",
			"DIALTONE_ALLOW_RECOVERABLE_PASSWORD=true", "DIALTONE_LOGIN_REPEAT_AFTER=0s", "DIALTONE_LOGIN_REFUSALS=1000", "DIALTONE_ENDPOINT_PROBES=100",
			"DIALTONE_CONNECT_TIMEOUT=1s", "DIALTONE_PROBE_TIMEOUT=6s", "DIALTONE_LEASE_SLACK=500ms", "DIALTONE_TASK_SLACK=1s",
			"DIALTONE_KERBEROS_REALM=" + system.Need(t, "DIALTONE_TEST_KERBEROS_REALM"), "DIALTONE_KERBEROS_KDC=" + system.Need(t, "DIALTONE_TEST_KERBEROS_KDC"),
			"DIALTONE_KERBEROS_KEYTAB_FILE=" + system.Need(t, "DIALTONE_TEST_KERBEROS_KEYTAB"), "DIALTONE_KERBEROS_SERVICE_HOST=localhost",
			"OTEL_BSP_SCHEDULE_DELAY=100", "GOTRACEBACK=all", "TMPDIR=" + r.tmp,
		},
	})
	// The password of this URL loses against the right one.
	loses := reg.draw("DIALTONE_REDIS_URL", "password that another wins over", printable)
	way := strings.TrimPrefix(r.s.RedisURL(r.s.Redis), "redis://")
	r.extra = []string{"DIALTONE_REDIS_URL_FILE=" + file(t, "redis-url", "redis://"+url.UserPassword("default", loses).String()+"@"+way)}

	answers := &recorder{next: r.s.Client.Transport, answers: r.place("answers", "X-Request-Id", "DRS.KE0002", knownUser), events: r.place("event streams", "event: test", "event: done", knownUser)}
	r.s.Client.Transport, r.s.Token = answers, r.tokens.own
	r.s.StartAPI(r.extra...)
	r.s.StartWorker(r.extra...)
	r.second(answers, loses)
}

// redisPassword is the marker that the run's Redis demands.
func (r *registry) redisPassword() string {
	for _, m := range r.all() {
		if m.field == "DIALTONE_REDIS_PASSWORD" {
			return m.value
		}
	}
	return ""
}

// second starts another api, whose listeners and whose way to Redis are
// encrypted, and which knows Keystone by a token.
func (r *run) second(answers *recorder, loses string) {
	t, reg := r.t, r.reg
	server, admin, client := newPair(t, "canary api"), newPair(t, "canary admin"), pki(t, "client.key")
	roots := x509.NewCertPool()
	roots.AddCert(server.cert)
	roots.AddCert(admin.cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	dir := system.Need(t, "DIALTONE_TEST_PKI")
	reg.found("DIALTONE_REDIS_TLS_KEY_FILE", "client's key", string(client))
	other := *r.s
	other.Client = &http.Client{Transport: &recorder{next: transport, answers: answers.answers, events: answers.events}}
	number := r.s.RedisURL(r.s.Redis)
	number = number[strings.LastIndexByte(number, '/'):]
	other.LaunchAPI(append(slices.Clone(r.extra),
		"DIALTONE_REDIS_URL_FILE="+file(t, "redis-url", "rediss://"+url.UserPassword("default", loses).String()+"@"+r.redisTLS+number),
		"DIALTONE_REDIS_TLS_CA_FILE="+filepath.Join(dir, "ca.pem"), "DIALTONE_REDIS_TLS_CERT_FILE="+filepath.Join(dir, "client.pem"),
		"DIALTONE_REDIS_TLS_KEY_FILE="+filepath.Join(dir, "client.key"),
		"DIALTONE_TLS_CERT_FILE="+file(t, "cert.pem", string(server.certPEM)), "DIALTONE_TLS_KEY_FILE="+reg.keyFile(t, "DIALTONE_TLS_KEY_FILE", "api", server),
		"DIALTONE_ADMIN_TLS_CERT_FILE="+file(t, "cert.pem", string(admin.certPEM)),
		"DIALTONE_ADMIN_TLS_KEY_FILE="+reg.keyFile(t, "DIALTONE_ADMIN_TLS_KEY_FILE", "admin listener", admin),
		"DIALTONE_ADMIN_TOKEN_FILE="+file(t, "admin-token", r.tokens.admin),
		"DIALTONE_KEYSTONE_USER=", "DIALTONE_KEYSTONE_PASSWORD_FILE=", "DIALTONE_KEYSTONE_TOKEN_FILE="+file(t, "keystone-token", r.keystone.own),
	)...)
	other.URL = "https://" + strings.TrimPrefix(other.URL, "http://")
	other.Metrics = "https://" + other.API.Admin
	r.other = &other
	system.Eventually(t, 3*system.WaitForServers, "the second api is ready", func() bool {
		resp, err := other.Client.Get(other.Metrics + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// callers is the list of callers: a token, and access keys of each kind.
func (r *run) callers(keysetFile string) (path string) {
	t := r.t
	sealed := sealSecret(t, keysetFile, "AKSEALED000000000001", r.signing.sealed)
	return file(t, "auth.yaml", fmt.Sprintf(`tokens:
  - {name: canary-caller, sha256: %[1]s, projects: ["%[2]s"], roles: [drs_adm]}
access_keys:
  - {ak: AKFILE00000000000001, secret_file: %[3]s, projects: ["%[2]s"], roles: [drs_adm]}
  - {ak: AKSEALED000000000001, secret_sealed: %[4]s, projects: ["%[2]s"], roles: [drs_adm]}
  - {ak: AKTEMPORARY000000001, secret_file: %[5]s, security_token_sha256: %[6]s, projects: ["%[2]s"], roles: [drs_adm]}
`, system.HashToken(r.tokens.own), system.Project, file(t, "sk", r.signing.file), sealed, file(t, "sk", r.signing.temporary), system.HashToken(r.tokens.temporary)))
}
