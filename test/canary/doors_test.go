package canary_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"dialtone/test/system"
)

// jobs stores endpoints with their secrets in jobs, changes them, and reads
// what is shown of them.
func (r *run) jobs() {
	t := r.t
	endpoint := func(use string) system.Entry {
		text, sum := r.reg.authority(t, "JobEndpoint.ssl_cert_key", use, pki(t, "ca.pem"))
		return system.Entry{
			"db_type": "mysql", "ip": "192.0.2.1", "db_port": 3306, "db_user": knownUser + "job", "ssl_link": true, "ssl_cert_name": "ca.pem",
			"ssl_cert_key": text, "ssl_cert_check_sum": sum, "db_password": r.reg.draw("JobEndpoint.db_password", use, anything),
			"ssl_cert_password": r.reg.draw("JobEndpoint.ssl_cert_password", use, anything),
			"kafka_security_config": system.Entry{
				"type": "SASL_SSL", "sasl_mechanism": "PLAIN", "trust_store_key": r.reg.draw("KafkaSecurity.trust_store_key", "job, "+use, plain),
				"trust_store_password": r.reg.draw("KafkaSecurity.trust_store_password", "job, "+use, anything), "enable_key_store": true,
				"key_store_key":      r.reg.draw("KafkaSecurity.key_store_key", "job, "+use, plain),
				"key_store_password": r.reg.draw("KafkaSecurity.key_store_password", "job, "+use, anything), "set_private_key_password": true,
				"key_password": r.reg.draw("KafkaSecurity.key_password", "job, "+use, anything),
			},
		}
	}
	r.number++
	made := system.Entry{
		"name": fmt.Sprintf("Canary-%d", r.number), "db_use_type": "migration", "engine_type": "mysql", "job_direction": "up", "net_type": "eip",
		"node_type": "high", "task_type": "FULL_INCR_TRANS", "customize_sutnet_id": "a1b2", "source_endpoint": endpoint("source"), "target_endpoint": endpoint("target"),
	}
	a := r.s.Must(http.MethodPost, "/jobs/batch-creation", map[string]any{"jobs": []any{made}})
	var created struct {
		Results []struct{ ID string } `json:"results"`
	}
	a.Decode(t, &created)
	if a.Status != http.StatusAccepted || len(created.Results) != 1 || created.Results[0].ID == "" {
		t.Fatalf("create a job: %d %s", a.Status, a.Body)
	}
	id := created.Results[0].ID
	r.s.Mirror(id, "CONFIGURATION", "standalone")
	change := system.Entry{
		"job_id": id, "store_db_info": true, "node_type": "high", "engine_type": "mysql", "net_type": "eip", "replace_definer": true,
		"source_endpoint": endpoint("changed source"), "target_endpoint": endpoint("changed target"),
	}
	for _, call := range []struct {
		method, path string
		body         any
	}{
		{http.MethodPut, "/jobs/batch-modification", map[string]any{"jobs": []any{change}}},
		{http.MethodPost, "/jobs/batch-status", map[string]any{"jobs": []string{id}}},
		{http.MethodPost, "/jobs/batch-detail", map[string]any{"jobs": []string{id}}},
		{http.MethodGet, "/batch-connections?limit=200", nil},
	} {
		a := r.s.MustSend(system.Request{Method: call.method, Path: call.path, Body: call.body})
		if a.Status/100 != 2 {
			t.Errorf("%s: %d %s", call.path, a.Status, a.Body)
		}
	}
}

// doors sends what is refused: secrets of a wrong kind and in wrong places,
// tokens and signatures that are not good, bodies that are broken.
func (r *run) doors() {
	t := r.t
	e := find(engines(), "mysql")
	draw := func(use, middle string) string {
		return r.reg.draw("TestEndPoint.db_password", "refused: "+use, middle)
	}
	entry := func(change system.Entry) map[string]any {
		r.number++
		base := e.entry(t, r.closing, knownUser+"door", draw("beside what is refused", anything))
		return map[string]any{"jobs": []any{base.With(change).With(system.Entry{"id": fmt.Sprintf("door-%d", r.number)})}}
	}
	raw := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	list := []any{draw("list", anything), map[string]any{draw("key in a list", anything): 1}}
	bodies := map[string]any{
		"number":          json.RawMessage(strings.Replace(raw(entry(system.Entry{"db_password": "HERE"})), `"HERE"`, r.reg.number("TestEndPoint.db_password", "refused: number"), 1)),
		"object":          entry(system.Entry{"db_password": map[string]any{draw("key", anything): draw("value", anything)}}),
		"list":            entry(system.Entry{"db_password": list}),
		"overlong":        entry(system.Entry{"db_password": strings.Repeat("p", 5000) + draw("overlong", anything) + strings.Repeat("p", 5000)}),
		"wrong case":      entry(system.Entry{"db_password": nil, "DB_PASSWORD": draw("wrong case", anything)}),
		"unknown name":    entry(system.Entry{"net_type": "moon", "db_passwd": draw("unknown name", anything)}),
		"name":            entry(system.Entry{"net_type": "moon", draw("as a name", anything): 1}),
		"no user":         entry(system.Entry{"db_user": nil, "db_password": draw("no user", anything)}),
		"bad certificate": entry(system.Entry{"ssl_link": true, "ssl_cert_key": map[string]string{"pem": draw("in a certificate", anything)}, "ssl_cert_password": []string{draw("list of passwords", anything)}}),
		"bad kafka":       entry(system.Entry{"db_type": "kafka", "kafka_security_config": system.Entry{"type": "TLS", "key_password": map[string]string{"a": draw("in Kafka's", anything)}, "trust_store_password": json.RawMessage(r.reg.number("KafkaSecurity.trust_store_password", "refused: number"))}}),
		"twice":           []byte(`{"jobs":[{"id":"a","db_password":` + raw(draw("first of two", anything)) + `,"db_password":` + raw(draw("second of two", anything)) + `}]}`),
		"cut off":         []byte(`{"jobs":[{"id":"a","db_password":` + raw(draw("cut off", anything))),
		"broken escape":   []byte(`{"jobs":[{"id":"a","db_password":"` + draw("broken escape", plain) + `\q"}]}`),
		"invalid UTF-8":   []byte("{\"jobs\":[{\"id\":\"a\",\"db_password\":\"" + draw("invalid UTF-8", plain) + "\xff\"}]}"),
		"no JSON":         []byte(draw("no JSON", anything)),
		"behind the end":  []byte(`{"jobs":[]} ` + draw("behind the end", plain)),
		"form":            []byte("db_password=" + draw("form", plain)),
		"job is a string": map[string]any{"jobs": []string{draw("in the place of an entry", anything)}},
		"enum":            entry(system.Entry{"net_type": draw("as a network", anything), "db_type": draw("as an engine", anything), "end_point_type": draw("as an end", anything)}),
		"port and DNS":    entry(system.Entry{"db_port": draw("as a port", anything), "customized_dns": map[string]any{"is_set_dns": true, "set_dns_action": draw("as an action", anything), "dns_ip": draw("as an address", anything)}}),
	}
	for name, body := range bodies {
		a := r.s.MustSend(system.Request{Method: http.MethodPost, Path: "/jobs/batch-connection", Body: body, Odd: true})
		if a.Status != http.StatusBadRequest {
			t.Errorf("a body that is wrong (%s): %d %s", name, a.Status, a.Body)
		}
	}
	property := func(text string) map[string]any {
		return map[string]any{"jobs": []any{map[string]any{"action": "testConnection", "job_id": "door", "property": text}}}
	}
	cluster := func(use string) string { return r.reg.draw("ClusterEndpoint.dbpassword", "refused: "+use, anything) }
	for _, body := range []any{
		property(`[{"dbtype":"mysql","dbpassword":` + raw(cluster("cut off"))),
		property(`{"dbtype":"mysql","nettype":"eip","ip":"h","dbpassword":{` + raw(cluster("key")) + `:` + raw(cluster("value")) + `}}`),
		property(r.reg.draw("ClusterJob.property", "no JSON", anything)),
		map[string]any{"jobs": []any{map[string]any{"action": "testConnection", "job_id": "door", "property": map[string]any{"dbpassword": cluster("not in a string")}}}},
	} {
		if a := r.s.MustSend(system.Request{Method: http.MethodPost, Path: "/jobs/cluster/batch-connection", Body: body, Odd: true}); a.Status != http.StatusBadRequest {
			t.Errorf("a property that is wrong: %d %s", a.Status, a.Body)
		}
	}
	for _, body := range []any{
		map[string]any{"jobs": []any{map[string]any{"name": "x", "source_endpoint": map[string]any{"db_password": strings.Repeat("p", 4100) + r.reg.draw("JobEndpoint.db_password", "overlong", anything)}}}},
		map[string]any{"jobs": []any{map[string]any{"name": "x", "source_endpoint": r.reg.draw("JobEndpoint.db_password", "in the place of an endpoint", anything)}}},
	} {
		if a := r.s.MustSend(system.Request{Method: http.MethodPost, Path: "/jobs/batch-creation", Body: body, Odd: true}); a.Status != http.StatusBadRequest {
			t.Errorf("a job that is wrong: %d %s", a.Status, a.Body)
		}
	}
	r.strangers()
	r.raw()
}

// strangers come with credentials that are not good, or stand in a wrong place.
func (r *run) strangers() {
	t := r.t
	draw := func(header, use string) string { return r.reg.draw("header "+header, use, printable) }
	for _, c := range []struct {
		what   string
		path   string
		header map[string]string
		status int
	}{
		{"our token", "", map[string]string{"X-Auth-Token": r.tokens.own}, 200},
		{"Keystone's token", "", map[string]string{"X-Auth-Token": r.tokens.keystone}, 200},
		{"unknown token", "", map[string]string{"X-Auth-Token": draw("X-Auth-Token", "unknown")}, 401},
		{"bearer", "", map[string]string{"X-Auth-Token": "", "Authorization": "Bearer " + draw("Authorization", "bearer")}, 401},
		{"basic", "", map[string]string{"X-Auth-Token": "", "Authorization": "Basic " + draw("Authorization", "basic")}, 401},
		{"cookie", "", map[string]string{"X-Auth-Token": "", "Cookie": "token=" + draw("X-Auth-Token", "in a cookie")}, 401},
		{"token in the query", "?token=" + r.reg.draw("header X-Auth-Token", "in the query", plain), map[string]string{}, 200},
		{"token in the cursor", "?cursor=" + r.reg.draw("header X-Auth-Token", "in the cursor", plain), map[string]string{}, 400},
		{"token in the path", "/" + r.reg.draw("header X-Auth-Token", "in the path", plain), map[string]string{}, 404},
		{"token as request id", "", map[string]string{"X-Request-Id": r.reg.draw("header X-Auth-Token", "in X-Request-Id", printable)}, 200},
		{"token as language", "", map[string]string{"X-Language": draw("X-Auth-Token", "in X-Language"), "Prefer": draw("X-Auth-Token", "in Prefer"), "traceparent": draw("X-Auth-Token", "in traceparent"), "User-Agent": draw("X-Auth-Token", "in User-Agent")}, 200},
	} {
		a := r.s.MustSend(system.Request{Method: http.MethodGet, Path: "/batch-connections" + c.path, Header: c.header, Odd: true})
		if a.Status != c.status {
			t.Errorf("%s: %d %s, want %d", c.what, a.Status, a.Body, c.status)
		}
	}
	// Another project than the token's.
	if a := r.s.MustSend(system.Request{Method: http.MethodGet, Path: "/batch-connections", Project: system.OtherProject, Header: map[string]string{"X-Auth-Token": r.tokens.own}}); a.Status/100 != 4 {
		t.Errorf("another project: %d", a.Status)
	}
	for _, c := range []struct {
		ak, sk string
		header map[string]string
		status int
	}{
		{"AKFILE00000000000001", r.signing.file, nil, 200},
		{"AKSEALED000000000001", r.signing.sealed, nil, 200},
		{"AKTEMPORARY000000001", r.signing.temporary, map[string]string{"X-Security-Token": r.tokens.temporary}, 200},
		{"AKTEMPORARY000000001", r.signing.temporary, map[string]string{"X-Security-Token": draw("X-Security-Token", "wrong")}, 401},
		{"AKFILE00000000000001", draw("Authorization", "wrong key of a signature"), nil, 401},
		{"AKNOBODY000000000001", draw("Authorization", "key of nobody"), nil, 401},
	} {
		req, err := r.s.HTTP(t.Context(), system.Request{Method: http.MethodGet, Path: "/batch-connections"})
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range c.header {
			req.Header.Set(name, value)
		}
		signature := sign(req, c.ak, c.sk)
		r.reg.found("header Authorization", "signature by "+c.ak, signature, signature[:24], signature[40:])
		a, err := r.s.SendHTTP(t.Context(), req, true)
		if err != nil || a.Status != c.status {
			t.Errorf("signed by %s: %d %s %v, want %d", c.ak, a.Status, a.Body, err, c.status)
		}
	}
}

// sign signs a request without a body or query, as the SDKs do.
func sign(req *http.Request, ak, sk string) (signature string) {
	const algorithm = "SDK-HMAC-SHA256"
	at := time.Now().UTC().Format("20060102T150405Z")
	req.Header.Del("X-Auth-Token")
	req.Header.Set("X-Sdk-Date", at)
	sum := func(text string) string {
		h := sha256.Sum256([]byte(text))
		return hex.EncodeToString(h[:])
	}
	canonical := strings.Join([]string{req.Method, req.URL.Path + "/", "", "host:" + req.Host + "\nx-sdk-date:" + at + "\n", "host;x-sdk-date", sum("")}, "\n")
	mac := hmac.New(sha256.New, []byte(sk))
	mac.Write([]byte(algorithm + "\n" + at + "\n" + sum(canonical)))
	signature = hex.EncodeToString(mac.Sum(nil))
	req.Header.Set("Authorization", algorithm+" Access="+ak+", SignedHeaders=host;x-sdk-date, Signature="+signature)
	return signature
}

// raw sends what no client of HTTP sends: requests that the server's own
// library answers.
func (r *run) raw() {
	t := r.t
	secret := func(use string) string { return r.reg.draw("header X-Auth-Token", "raw: "+use, plain) }
	requests := []string{
		"GET /" + secret("no version") + "\r\n\r\n",
		secret("method") + " / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/9.9" + secret("version") + "\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX-Auth-Token : " + secret("blank before a colon") + "\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: " + secret("host") + "{}\r\n\r\n",
		"GET /%zz" + secret("escape") + " HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + secret("length") + "\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: " + secret("encoding") + "\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX-Auth-Token: " + strings.Repeat("x", 2<<20) + secret("flood") + "\r\n\r\n",
		"POST /v3/" + system.Project + "/jobs/batch-connection HTTP/1.1\r\nHost: a\r\nX-Auth-Token: " + r.tokens.own + "\r\nContent-Length: 100000\r\n\r\n{\"jobs\":[{\"db_password\":\"" + secret("body that ends"),
	}
	for _, addr := range []string{strings.TrimPrefix(r.s.URL, "http://"), r.s.API.Admin, strings.TrimPrefix(r.other.URL, "https://"), r.s.Workers[len(r.s.Workers)-1].Admin} {
		for _, request := range requests {
			conn, err := net.DialTimeout("tcp", addr, system.WaitForServers)
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(system.WaitForServers))
			go func() {
				_, _ = io.WriteString(conn, request)
				if tcp, ok := conn.(*net.TCPConn); ok {
					_ = tcp.CloseWrite()
				}
			}()
			var answer bytes.Buffer
			_, _ = io.Copy(&answer, conn)
			_ = conn.Close()
			r.place("answers to broken HTTP", "400 Bad Request").add(answer.Bytes())
		}
	}
}
