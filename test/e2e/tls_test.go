package e2e_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dialtone/internal/queue"
	"dialtone/internal/secret"
	"dialtone/test/system"
)

// TestTLSEverywhere: Postgres and Redis over TLS with client certificates and the
// password in a file, the API and the admin listeners with certificates of their
// own, and nobody let in who does not show what is asked for.
func TestTLSEverywhere(t *testing.T) {
	t.Parallel()
	pki := system.Need(t, "DIALTONE_TEST_PKI")
	file := func(name string) string { return filepath.Join(pki, name) }
	read := func(name string) string { return read(t, name) }
	dir := t.TempDir()
	write := func(name, content string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const adminToken = "e2e-token-of-the-admin"
	cert, key := write("cert.pem", read(file("server.pem"))), write("key.pem", read(file("server.key")))
	token := write("token", adminToken+"\n")
	s := system.Prepare(t, system.Options{Env: []string{"DIALTONE_JOBS=any"}})
	host, port, _ := strings.Cut(s.Postgres.Addr, ":")
	user, password, _ := strings.Cut(strings.TrimPrefix(s.DSN[:strings.LastIndex(s.DSN, "@")], "postgres://"), ":")
	database, _, _ := strings.Cut(s.DSN[strings.LastIndex(s.DSN, "/")+1:], "?")
	passfile := write("pgpass", strings.Join([]string{host, port, database, user, password}, ":")+"\n")
	redis := s.RedisURL(s.Redis)
	env := []string{
		"DIALTONE_POSTGRES_DSN=host=" + host + " port=" + port + " dbname=" + database + " user=" + user + " passfile=" + passfile +
			" sslmode=verify-full sslrootcert=" + file("ca.pem") + " sslcert=" + file("client.pem") + " sslkey=" + file("client.key"),
		"DIALTONE_REDIS_URL=rediss://" + system.Need(t, "DIALTONE_TEST_REDIS_MTLS_ADDR") + redis[strings.LastIndex(redis, "/"):],
		"DIALTONE_REDIS_USER=" + redisUser(t), "DIALTONE_REDIS_PASSWORD_FILE=" + write("redis-password", system.Need(t, "DIALTONE_TEST_PASSWORD")),
		"DIALTONE_REDIS_TLS_CA_FILE=" + file("ca.pem"), "DIALTONE_REDIS_TLS_CERT_FILE=" + file("client.pem"), "DIALTONE_REDIS_TLS_KEY_FILE=" + file("client.key"),
		"DIALTONE_ADMIN_TLS_CERT_FILE=" + cert, "DIALTONE_ADMIN_TLS_KEY_FILE=" + key, "DIALTONE_ADMIN_TLS_CLIENT_CA_FILE=" + file("ca.pem"),
		"DIALTONE_ADMIN_TOKEN_FILE=" + token, "DIALTONE_PPROF=true",
	}
	s.LaunchAPI(append(env, "DIALTONE_TLS_CERT_FILE="+cert, "DIALTONE_TLS_KEY_FILE="+key, "DIALTONE_TLS_CLIENT_CA_FILE="+file("ca.pem"))...)
	worker := s.LaunchWorker(env...)

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(read(file("ca.pem"))))
	client := func(name string) *http.Client {
		t.Helper()
		cfg := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		if name != "" {
			pair, err := tls.LoadX509KeyPair(file(name+".pem"), file(name+".key"))
			if err != nil {
				t.Fatal(err)
			}
			// Whatever authorities the server names.
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg}}
		t.Cleanup(c.CloseIdleConnections)
		return c
	}
	known, stranger, rogue := client("client"), client(""), client("rogue-client")
	ask := func(c *http.Client, url, bearer string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if bearer != "" {
			r.Header.Set("Authorization", "Bearer "+bearer)
		}
		a, err := c.Do(r)
		if err != nil {
			return 0, ""
		}
		defer a.Body.Close()
		body, _ := io.ReadAll(a.Body)
		return a.StatusCode, string(body)
	}

	for _, p := range []*system.Process{s.API, worker} {
		admin := "https://" + p.Admin
		system.Eventually(t, system.WaitForServers, p.Name+" is ready, and says so to anybody", func() bool {
			status, _ := ask(stranger, admin+"/readyz", "")
			return status == http.StatusOK
		})
		for what, tt := range map[string]struct {
			c      *http.Client
			bearer string
			want   int
		}{
			"neither": {stranger, "", 403}, "the token alone": {stranger, adminToken, 403}, "the certificate alone": {known, "", 401},
			"a wrong token": {known, "wrong", 401}, "a certificate of others": {rogue, adminToken, 0}, "both": {known, adminToken, 200},
		} {
			status, body := ask(tt.c, admin+"/metrics", tt.bearer)
			if status != tt.want || strings.Contains(body, "dialtone_build_info") != (tt.want == 200) {
				t.Errorf("%s, %s: /metrics = %d, want %d", p.Name, what, status, tt.want)
			}
			for _, path := range []string{"/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/config", "/healthz", "/readyz", "/metrics"} {
				_, body := ask(tt.c, admin+path, tt.bearer)
				for _, secret := range []string{password, adminToken, system.Token, "\"keyset\"", "primaryKeyId"} {
					if strings.Contains(body, secret) {
						t.Errorf("%s, %s: %s shows a secret", p.Name, what, path)
					}
				}
			}
		}
	}

	api := strings.Replace(s.URL, "http:", "https:", 1)
	for what, c := range map[string]*http.Client{"no certificate": stranger, "a certificate of others": rogue} {
		if status, _ := ask(c, api+"/openapi.yaml", ""); status != 0 {
			t.Errorf("the API lets in %s: %d", what, status)
		}
	}
	s.URL, s.Client = api, known
	if r, _ := s.Test(system.Postgres(t, "dt_scram")); !r.Results[0].OK() {
		t.Errorf("a test over TLS: %+v", r.Results[0])
	}

	for _, p := range []*system.Process{s.API, worker} {
		if strings.Contains(p.Output(), "NOPERM") {
			t.Errorf("%s may not do what it wants at Redis:\n%s", p.Name, p.Output())
		}
	}
	system.Eventually(t, system.WaitForServers, "the queue's figures can be had", func() bool {
		_, metrics := ask(known, "https://"+worker.Admin+"/metrics", adminToken)
		return strings.Contains(metrics, "dialtone_queue_up 1\n")
	})

	// A certificate that is replaced is shown after SIGHUP, without a restart.
	wrong := func() bool {
		status, _ := ask(client("client"), api+"/openapi.yaml", "")
		return status == 0
	}
	if wrong() {
		t.Fatal("the first certificate is not good")
	}
	write("key.pem", read(file("wrongname.key")))
	write("cert.pem", read(file("wrongname.pem")))
	s.API.Signal(syscall.SIGHUP)
	system.Eventually(t, system.WaitForServers, "another certificate is shown", wrong)
	if !strings.Contains(s.API.Output(), "certificate read again") {
		t.Error("and nothing is said of it")
	}
}

// redisUser makes a user who may do what docs/operations.md says that we need.
func redisUser(t *testing.T) (name string) {
	t.Helper()
	pki, password := system.Need(t, "DIALTONE_TEST_PKI"), system.Need(t, "DIALTONE_TEST_PASSWORD")
	cfg, err := queue.TLSFiles(filepath.Join(pki, "ca.pem"), filepath.Join(pki, "client.pem"), filepath.Join(pki, "client.key"), "")
	if err != nil {
		t.Fatal(err)
	}
	r, err := queue.Connect(queue.Config{
		URL: secret.New("rediss://" + system.Need(t, "DIALTONE_TEST_REDIS_MTLS_ADDR")), Username: "dialtone", Password: secret.New(password), TLS: cfg,
	})
	if err != nil {
		t.Fatal(err)
	}
	name = "e2e-limited"
	rules := append([]any{"acl", "setuser", name, "reset", "on", ">" + password},
		"~asynq:*", "~dialtone:*", "&asynq:*", "&dialtone:*", "+@all", "-@dangerous", "+info", "+config|get")
	if err := r.Client().Do(t.Context(), rules...).Err(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Client().Do(context.Background(), "acl", "deluser", name).Err(); err != nil {
			t.Error(err)
		}
		_ = r.Close()
	})
	return name
}

// TestNothingSentIsLogged: not a word of a request's body, headers and query is in
// a log, whatever becomes of the request.
func TestNothingSentIsLogged(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Env: []string{"DIALTONE_JOBS=any", "DIALTONE_LOG_LEVEL=debug"}})
	const mark = "Marker0fWhatWasSent"
	good := system.Postgres(t, "dt_scram")
	header := map[string]string{"X-Something": mark, "Cookie": mark, "User-Agent": mark, "Referer": mark, "Idempotency-Key": mark, "X-Language": mark, "Accept": mark}
	with := func(more map[string]string) map[string]string {
		all := maps.Clone(header)
		maps.Copy(all, more)
		return all
	}
	marked := map[string]any{"jobs": []system.Entry{good.With(system.Entry{"db_password": mark, "db_name": mark, "unknown": mark})}}
	for name, r := range map[string]system.Request{
		"a test":              {Method: http.MethodPost, Path: "/jobs/batch-connection?x=" + mark, Body: marked, Header: header, Odd: true},
		"a refused one":       {Method: http.MethodPost, Path: "/jobs/batch-connection", Body: map[string]any{"jobs": mark, mark: mark}, Header: header, Odd: true},
		"no JSON":             {Method: http.MethodPost, Path: "/jobs/batch-connection", Body: []byte("{" + mark), Header: header, Odd: true},
		"another type":        {Method: http.MethodPost, Path: "/jobs/batch-connection", Body: marked, Header: with(map[string]string{"Content-Type": mark + "/x"}), Odd: true},
		"compressed":          {Method: http.MethodPost, Path: "/jobs/batch-connection", Body: marked, Header: with(map[string]string{"Content-Encoding": mark}), Odd: true},
		"a stranger":          {Method: http.MethodPost, Path: "/jobs/batch-connection", Body: marked, Header: with(map[string]string{"X-Auth-Token": mark}), Odd: true},
		"a bad signature":     {Method: http.MethodPost, Path: "/jobs/batch-connection", Body: marked, Header: with(map[string]string{"X-Auth-Token": "", "Authorization": "SDK-HMAC-SHA256 Access=" + mark + ", SignedHeaders=host, Signature=" + mark}), Odd: true},
		"a bad cursor":        {Method: http.MethodGet, Path: "/batch-connections?cursor=" + mark, Header: header, Odd: true},
		"a strange id":        {Method: http.MethodPost, Path: "/jobs/batch-status", Body: map[string]any{"jobs": []string{mark}}, Header: header, Odd: true},
		"an odd request's id": {Method: http.MethodGet, Path: "/batch-connections", Header: with(map[string]string{"X-Request-Id": mark + "!"}), Odd: true},
	} {
		a := s.MustSend(r)
		t.Logf("%s: %d", name, a.Status)
	}
	for _, p := range append(s.Workers, s.API) {
		p.Stop(t)
		for line := range strings.Lines(p.Output()) {
			if strings.Contains(line, mark) {
				t.Errorf("%s logs what was sent: %s", p.Name, line)
			}
		}
	}
}
