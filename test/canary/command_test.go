package canary_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"dialtone/test/system"
)

// up runs `dialtone up` with every engine, right and wrong, and looks at its
// data directory while it runs and after.
func (r *run) up() {
	t, reg := r.t, r.reg
	data, tmp := filepath.Join(t.TempDir(), "data"), t.TempDir()
	token := reg.draw("dialtone up DIALTONE_TOKEN", "from a file", printable)
	key := reg.draw("dialtone up DIALTONE_ACCESS_KEY", "from a file", printable)
	reg.keytab(t, "dialtone up DIALTONE_KERBEROS_KEYTAB_FILE", system.Need(t, "DIALTONE_TEST_KERBEROS_KEYTAB"))
	p := system.Launch(t, []string{
		"DIALTONE_TOKEN_FILE=" + file(t, "token", token), "DIALTONE_ACCESS_KEY_FILE=" + file(t, "key", "AKUP:"+key), "DIALTONE_LOG_LEVEL=debug",
		"DIALTONE_CONNECT_TIMEOUT=1s", "DIALTONE_PROBE_TIMEOUT=3s", "DIALTONE_ALLOW_RECOVERABLE_PASSWORD=true", "DIALTONE_LOGIN_REFUSALS=1000", "DIALTONE_ENDPOINT_PROBES=100",
		"DIALTONE_KERBEROS_REALM=TEST.LOCAL", "DIALTONE_KERBEROS_KDC=" + system.Need(t, "DIALTONE_TEST_KERBEROS_KDC"),
		"DIALTONE_KERBEROS_KEYTAB_FILE=" + system.Need(t, "DIALTONE_TEST_KERBEROS_KEYTAB"), "TMPDIR=" + tmp, "GOTRACEBACK=all",
	}, "dialtone", "up", "--data", data, "--listen", "127.0.0.1:0", "--any-job", "--project", system.Project)
	ready := regexp.MustCompile(`ready on (http://\S+);`)
	u := &system.System{T: t, API: p, Token: token, Client: &http.Client{Transport: &recorder{
		next: &http.Transport{}, answers: r.place("answers of dialtone up", "X-Request-Id", knownUser), events: r.place("event streams of dialtone up", "event: done"),
	}}}
	t.Cleanup(u.Client.CloseIdleConnections)
	system.Eventually(t, system.WaitForServers, "dialtone up is ready", func() bool {
		if found := ready.FindStringSubmatch(p.Output()); found != nil {
			u.URL = found[1]
		}
		return u.URL != ""
	})
	keyset, err := os.ReadFile(filepath.Join(data, "keyset.json"))
	if err != nil {
		t.Fatal(err)
	}
	reg.found("keyset of dialtone up", "made by itself", string(keyset), keyValue(t, string(keyset))...)

	var entries []sent
	for _, e := range engines() {
		entries = append(entries, r.admitted(e, "up, right"))
		entries = append(entries, r.refusals(e)...)
		entries = append(entries, r.echoes(e, forms()[:2], nil)...)
	}
	send := func(some []sent) system.Answer {
		return u.Must(http.MethodPost, "/jobs/batch-connection", r.body(some), "Prefer", "respond-async")
	}
	a := send(entries)
	if a.Status != http.StatusAccepted {
		t.Fatalf("dialtone up: %d %s", a.Status, a.Body)
	}
	id := a.Header.Get("X-Batch-Id")
	u.Must(http.MethodGet, "/batch-connections/"+id+"/events", nil)
	var o outcome
	u.Must(http.MethodGet, "/batch-connections/"+id, nil).Decode(t, &o)
	echoes := r.echoed
	r.judge(o, entries)
	r.echoed = echoes // those of dialtone up are counted with no others

	// While a batch is open, and after the end.
	var open []sent
	for _, e := range engines() {
		open = append(open, sent{Entry: e.entry(t, r.pit, r.user(e), r.password(e, "up, open"))})
	}
	send(open)
	proc(t, p.PID(), r.place("command lines and environments"))
	r.place("data of dialtone up, in use", knownUser, "SQLite format 3").addFiles(t, data, "keyset.json")
	p.Stop(t)
	r.place("data of dialtone up, after it", knownUser, "SQLite format 3").addFiles(t, data, "keyset.json")
	r.place("output of dialtone up", "level=DEBUG", "msg=request").add([]byte(p.Output()))
	if files, err := os.ReadDir(tmp); err != nil || len(files) > 0 {
		t.Errorf("dialtone up leaves %d temporary files, %v", len(files), err)
	}
}

// test runs `dialtone test` on files and URLs, in all its forms.
func (r *run) test() {
	t, reg := r.t, r.reg
	help := system.Run(t, nil, "dialtone", "test", "--help")
	schemes := strings.Split(helpEngines.FindStringSubmatch(strings.Join(strings.Fields(help), " "))[1], ", ")
	dbTypes := map[string]string{"mariadb": "mysql", "postgres": "postgresql", "gaussdb": "gaussdbv5", "opengauss": "gaussdbv5", "rediss": "redis"}
	secretIn := func(field, use string) string {
		return url.QueryEscape(file(t, "secret", reg.draw(field, use, anything)))
	}
	var urls []string
	for _, scheme := range schemes {
		dbType := scheme
		if dbTypes[scheme] != "" {
			dbType = dbTypes[scheme]
		}
		e := find(engines(), dbType)
		text := r.reg.draw("dialtone test URL "+scheme, "echoed", anything)
		echo := system.Serve(t, hostileWith(e, text))
		urls = append(urls, scheme+"://"+r.user(e)+"@"+echo+"/shop?password_file="+url.QueryEscape(file(t, "secret", text)))
		for _, addr := range []string{r.garbage, r.closing, system.ClosedAddr(t)} {
			password := secretIn("dialtone test URL option password_file", scheme)
			urls = append(urls, scheme+"://"+r.user(e)+"@"+addr+"/shop?password_file="+password)
		}
	}
	ca, _ := reg.authority(t, "dialtone test URL option ca", "file", pki(t, "ca.pem"))
	password := reg.draw("dialtone test URL option key_store_password_file", "opens", anything)
	store := reg.keyStore(t, "URL option", password)
	reg.store("dialtone test URL option key_store", "file", store)
	reg.keytab(t, "dialtone test DIALTONE_KERBEROS_KEYTAB_FILE", system.Need(t, "DIALTONE_TEST_KERBEROS_KEYTAB"))
	urls = append(urls,
		"postgresql://"+knownUser+"x@"+r.closing+"/shop?tls=ca&ca="+url.QueryEscape(file(t, "ca.b64", ca))+"&ca_password_file="+secretIn("dialtone test URL option ca_password_file", "unfit")+"&password_file="+secretIn("dialtone test URL option password_file", "TLS"),
		"kafka://"+knownUser+"y@"+system.Need(t, "DIALTONE_TEST_KAFKA_MTLS_SASL_ADDR")+"?sasl=PLAIN&tls=ca&ca="+url.QueryEscape(filepath.Join(system.Need(t, "DIALTONE_TEST_PKI"), "ca.pem"))+
			"&key_store="+url.QueryEscape(file(t, "k.p12", string(store)))+"&key_store_password_file="+url.QueryEscape(file(t, "secret", password))+
			"&key_password_file="+secretIn("dialtone test URL option key_password_file", "unfit")+"&password_file="+secretIn("dialtone test URL option password_file", "Kafka"),
	)
	var entries []sent
	for _, e := range engines() {
		entries = append(entries, r.admitted(e, "test, right"))
		entries = append(entries, r.refusals(e)[:1]...)
	}
	body, err := json.Marshal(r.body(entries))
	if err != nil {
		t.Fatal(err)
	}
	broken := []byte(`{"jobs":[{"db_type":"mysql","db_password":"` + reg.draw("TestEndPoint.db_password", "test, broken file", plain))
	token := reg.draw("dialtone test DIALTONE_TOKEN", "unknown to the server", printable)
	const known = "canary_mysql"
	for _, call := range []struct {
		args  []string
		env   []string
		stdin []byte
		holds string
		exit  int
	}{
		{append([]string{"test", "--timeout", "3s"}, urls...), nil, nil, "", 1},
		{append([]string{"test", "--timeout", "3s", "--json"}, urls...), nil, nil, "{", 1},
		{[]string{"test", "--timeout", "3s", "-"}, nil, body, known, 1},
		{[]string{"test", "--timeout", "3s", "--language", "zh-cn", file(t, "request.json", string(body))}, nil, nil, known, 1},
		{[]string{"test", "--timeout", "3s", "--json", "--junit", filepath.Join(t.TempDir(), "junit.xml"), "-"}, nil, body, known, 1},
		{[]string{"test", "-"}, nil, broken, "dialtone: ", 2},
		{[]string{"test", file(t, "request.yaml", "jobs: [\n"+string(broken))}, nil, nil, "dialtone: ", 2},
		{[]string{"test", "--server", r.s.URL, "--project", system.Project, "-"}, []string{"DIALTONE_TOKEN_FILE=" + file(t, "token", r.tokens.own)}, body, known, 1},
		{[]string{"test", "--server", r.s.URL, "--project", system.Project, "-"}, []string{"DIALTONE_TOKEN_FILE=" + file(t, "token", token)}, body, "401", 2},
	} {
		cmd := exec.CommandContext(t.Context(), system.Binary("dialtone"), call.args...)
		cmd.Env = append([]string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "DIALTONE_ALLOW_RECOVERABLE_PASSWORD=true", "DIALTONE_KERBEROS_REALM=TEST.LOCAL",
			"DIALTONE_KERBEROS_KDC=" + system.Need(t, "DIALTONE_TEST_KERBEROS_KDC"), "DIALTONE_KERBEROS_KEYTAB_FILE=" + system.Need(t, "DIALTONE_TEST_KERBEROS_KEYTAB"),
		}, call.env...)
		cmd.Stdin = bytes.NewReader(call.stdin)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Start()
		if err == nil {
			proc(t, cmd.Process.Pid, r.place("command lines and environments"))
			err = cmd.Wait()
		}
		exit := 0
		if ended, ok := errors.AsType[*exec.ExitError](err); ok {
			exit = ended.ExitCode()
		}
		if exit != call.exit || !strings.Contains(stdout.String()+stderr.String(), call.holds) {
			t.Errorf("dialtone %s: exit %d, want %d and %q in %s%s", call.args[:2], exit, call.exit, call.holds, stdout.String(), stderr.String())
		}
		into := r.place("output of dialtone test", "auth_failed", echoed)
		into.add(stdout.Bytes())
		into.add(stderr.Bytes())
		for i, arg := range call.args {
			if i > 0 && call.args[i-1] == "--junit" {
				r.place("JUnit report", "<testsuite", known).addFiles(t, filepath.Dir(arg))
			}
		}
	}
}
