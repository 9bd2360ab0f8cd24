package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"dialtone/internal/secret"
)

// clientPatience is after how long real clients give a call up, and around is
// what a call may take beside its wait: accepting the batch before it, ending
// and reading it afterwards.
const (
	clientPatience = 120 * time.Second
	around         = 15 * time.Second
)

// problems collects what is wrong.
type problems []error

func (p *problems) addf(format string, args ...any) { *p = append(*p, fmt.Errorf(format, args...)) }

func (p *problems) required(name string, t secret.Text) {
	if !t.IsSet() {
		p.addf("%s or %s%s is required", name, name, fileSuffix)
	}
}

func (p *problems) atLeast(name string, value, least int) {
	if value < least {
		p.addf("%s must be at least %d", name, least)
	}
}

func (p *problems) lasting(name string, value, least time.Duration) {
	if value < least {
		p.addf("%s must be at least %s", name, least)
	}
}

// address checks host:port without looking the host up.
func (p *problems) address(name, value string) {
	_, port, err := net.SplitHostPort(value)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		p.addf("%s must be HOST:PORT or :PORT, with the port as a number", name)
	}
}

// pair checks that a certificate comes with its key.
func (p *problems) pair(certName, cert, keyName, key string) {
	if (cert == "") != (key == "") {
		p.addf("%s and %s must be set together", certName, keyName)
	}
}

func (p *problems) httpURL(name, value string) {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		p.addf("%s must be http(s)://HOST[:PORT][/PATH], without user or query", name)
	}
}

func (p problems) err() error { return errors.Join(p...) }

// Check joins every problem between and within the values.
func (c API) Check() error {
	var p problems
	p.address("DIALTONE_ADMIN_LISTEN", c.AdminListen)
	if c.ShutdownGrace <= c.Wait {
		p.addf("DIALTONE_SHUTDOWN_GRACE (%s) must be longer than DIALTONE_WAIT (%s): requests under way would be cut off", c.ShutdownGrace, c.Wait)
	}
	return errors.Join(p.err(), c.Listener.Check(), c.Admin.Check(), c.Postgres.Check(), c.Redis.Check(), c.Keys.Check(),
		c.Auth.Check(), c.Requests.Check(), c.Timeouts.Check(), c.Telemetry.Check())
}

// Check joins every problem between and within the values.
func (c Worker) Check() error {
	var p problems
	p.address("DIALTONE_ADMIN_LISTEN", c.AdminListen)
	if c.ShutdownGrace <= c.ProbeTimeout {
		p.addf("DIALTONE_SHUTDOWN_GRACE (%s) must be longer than DIALTONE_PROBE_TIMEOUT (%s): logins under way would be cut off", c.ShutdownGrace, c.ProbeTimeout)
	}
	return errors.Join(p.err(), c.Admin.Check(), c.Postgres.Check(), c.Redis.Check(), c.Keys.Check(),
		c.Work.Check(), c.Retention.Check(), c.Guard.Check(), c.Egress.Check(), c.Kerberos.Check(), c.Timeouts.Check(), c.Telemetry.Check())
}

// Check joins the group's problems.
func (c Listener) Check() error {
	var p problems
	p.address("DIALTONE_LISTEN", c.Listen)
	p.pair("DIALTONE_TLS_CERT_FILE", c.TLSCertFile, "DIALTONE_TLS_KEY_FILE", c.TLSKeyFile)
	if c.TLSClientCAFile != "" && c.TLSCertFile == "" {
		p.addf("DIALTONE_TLS_CLIENT_CA_FILE means nothing without DIALTONE_TLS_CERT_FILE")
	}
	return p.err()
}

// Check joins the group's problems.
func (c Admin) Check() error {
	var p problems
	p.lasting("DIALTONE_SHUTDOWN_DELAY", c.ShutdownDelay, 0)
	p.pair("DIALTONE_ADMIN_TLS_CERT_FILE", c.AdminTLSCertFile, "DIALTONE_ADMIN_TLS_KEY_FILE", c.AdminTLSKeyFile)
	if c.AdminTLSClientCAFile != "" && c.AdminTLSCertFile == "" {
		p.addf("DIALTONE_ADMIN_TLS_CLIENT_CA_FILE means nothing without DIALTONE_ADMIN_TLS_CERT_FILE")
	}
	if c.AdminToken.IsSet() && len(c.AdminToken.Reveal()) < leastToken {
		p.addf("DIALTONE_ADMIN_TOKEN must have at least %d characters", leastToken)
	}
	return p.err()
}

// leastToken is how long a token must be that nobody is kept from guessing.
const leastToken = 16

// Check joins the group's problems. Whether the DSN can be understood is for
// the driver to say.
func (c Postgres) Check() error {
	var p problems
	p.required("DIALTONE_POSTGRES_DSN", c.PostgresDSN)
	p.atLeast("DIALTONE_POSTGRES_MAX_CONNS", c.PostgresMaxConns, 2)
	p.lasting("DIALTONE_POSTGRES_CONNECT_TIMEOUT", c.PostgresConnectTimeout, 100*time.Millisecond)
	return p.err()
}

// Check joins the group's problems. Whether the URL can be understood is for
// the queue to say.
func (c Redis) Check() error {
	var p problems
	p.required("DIALTONE_REDIS_URL", c.RedisURL)
	p.pair("DIALTONE_REDIS_TLS_CERT_FILE", c.RedisTLSCertFile, "DIALTONE_REDIS_TLS_KEY_FILE", c.RedisTLSKeyFile)
	p.atLeast("DIALTONE_REDIS_POOL_SIZE", c.RedisPoolSize, 0)
	return p.err()
}

// TLS says whether any TLS setting is given, which then needs a rediss URL.
func (c Redis) TLS() bool {
	return c.RedisTLSCAFile != "" || c.RedisTLSCertFile != "" || c.RedisTLSServerName != ""
}

// Check joins the group's problems.
func (c Keys) Check() error {
	var p problems
	p.required("DIALTONE_KEYSET", c.Keyset)
	return p.err()
}

// Check joins the group's problems.
func (c Auth) Check() error {
	var p problems
	if c.AuthFile == "" && c.KeystoneURL == "" {
		p.addf("DIALTONE_AUTH_FILE or DIALTONE_KEYSTONE_URL is required: nobody could call")
	}
	own := c.KeystoneToken.IsSet() || c.KeystoneUser != "" || c.KeystonePassword.IsSet()
	switch {
	case c.KeystoneURL == "" && own:
		p.addf("DIALTONE_KEYSTONE_TOKEN, DIALTONE_KEYSTONE_USER and DIALTONE_KEYSTONE_PASSWORD mean nothing without DIALTONE_KEYSTONE_URL")
	case c.KeystoneURL == "":
	case c.KeystoneToken.IsSet() && (c.KeystoneUser != "" || c.KeystonePassword.IsSet()):
		p.addf("DIALTONE_KEYSTONE_TOKEN excludes DIALTONE_KEYSTONE_USER and DIALTONE_KEYSTONE_PASSWORD")
	case !c.KeystoneToken.IsSet() && (c.KeystoneUser == "" || !c.KeystonePassword.IsSet()):
		p.addf("DIALTONE_KEYSTONE_URL needs DIALTONE_KEYSTONE_TOKEN, or DIALTONE_KEYSTONE_USER and DIALTONE_KEYSTONE_PASSWORD")
	}
	if c.KeystoneURL != "" {
		p.httpURL("DIALTONE_KEYSTONE_URL", c.KeystoneURL)
	}
	p.lasting("DIALTONE_KEYSTONE_TIMEOUT", c.KeystoneTimeout, 100*time.Millisecond)
	p.lasting("DIALTONE_KEYSTONE_CACHE_TIME", c.KeystoneCacheTime, time.Second)
	p.lasting("DIALTONE_KEYSTONE_REFUSE_TIME", c.KeystoneRefuseTime, time.Second)
	return p.err()
}

// AnyJob says that job ids are mere labels.
func (c Requests) AnyJob() bool { return c.Jobs == "any" }

// Check joins the group's problems.
func (c Requests) Check() error {
	var p problems
	p.lasting("DIALTONE_JOB_CREATION_DELAY", c.JobCreationDelay, 0)
	p.atLeast("DIALTONE_MAX_ENTRIES", c.MaxEntries, 1)
	p.atLeast("DIALTONE_BULK_MAX", c.BulkMax, 1)
	p.atLeast("DIALTONE_BACKLOG", c.Backlog, 0)
	p.atLeast("DIALTONE_BULK_BACKLOG", c.BulkBacklog, 0)
	p.atLeast("DIALTONE_STREAMS", c.Streams, 1)
	p.lasting("DIALTONE_CALL_TIMEOUT", c.CallTimeout, 100*time.Millisecond)
	p.lasting("DIALTONE_EVENT_TIMEOUT", c.EventTimeout, 100*time.Millisecond)
	p.atLeast("DIALTONE_RATE_BURST", c.RateBurst, 1)
	p.atLeast("DIALTONE_PROJECT_BURST", c.ProjectBurst, 1)
	if c.BodyLimit < 1024 {
		p.addf("DIALTONE_BODY_LIMIT must be at least 1KiB")
	}
	if c.BodyMemory < c.BodyLimit {
		p.addf("DIALTONE_BODY_MEMORY must be at least DIALTONE_BODY_LIMIT: a body of that size could never be taken in")
	}
	if !(c.RateLimit >= 0 && c.RateLimit <= 1e6) { // not a number fails as well
		p.addf("DIALTONE_RATE_LIMIT must be from 0 to 1000000")
	}
	if !(c.ProjectRate >= 0 && c.ProjectRate <= 1e6) {
		p.addf("DIALTONE_PROJECT_RATE must be from 0 to 1000000")
	}
	return p.err()
}

// Check joins the group's problems.
func (c Work) Check() error {
	var p problems
	p.atLeast("DIALTONE_WORKER_CONCURRENCY", c.WorkerConcurrency, 1)
	p.atLeast("DIALTONE_WORKER_ATTEMPTS", c.WorkerAttempts, 1)
	if len(c.WorkerNetworks) == 0 {
		p.addf("DIALTONE_WORKER_NETWORKS must name a network")
	}
	for i, n := range c.WorkerNetworks {
		if !IsNetwork(n) {
			p.addf("DIALTONE_WORKER_NETWORKS: network %d is not eip, vpn, vpc or vpc-ID, with an ID of letters, digits, dots, dashes and underscores", i+1)
		}
	}
	return p.err()
}

// Check joins the group's problems.
func (c Guard) Check() error {
	var p problems
	p.atLeast("DIALTONE_LOGIN_REFUSALS", c.LoginRefusals, 1)
	p.atLeast("DIALTONE_ENDPOINT_PROBES", c.EndpointProbes, 1)
	p.lasting("DIALTONE_LOGIN_WINDOW", c.LoginWindow, time.Second)
	p.lasting("DIALTONE_LOGIN_REPEAT_AFTER", c.LoginRepeatAfter, 0)
	p.lasting("DIALTONE_ENDPOINT_REST", c.EndpointRest, 0)
	return p.err()
}

// IsNetwork says whether s can be the name of a network, and so of a queue.
func IsNetwork(s string) bool {
	kind, id, single := strings.Cut(s, "-")
	switch {
	case !single:
		return kind == "eip" || kind == "vpn" || kind == "vpc"
	case kind != "vpc" || id == "" || len(s) > 128:
		return false
	}
	return !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
	})
}

// Check joins the group's problems.
func (c Egress) Check() error {
	var p problems
	p.atLeast("DIALTONE_EGRESS_DIALS", c.EgressDials, 1)
	if c.EgressReadLimit < 64<<10 {
		p.addf("DIALTONE_EGRESS_READ_LIMIT must be at least 64KiB")
	}
	if c.EgressLocal == "allow" && c.EgressAllowFile == "" {
		p.addf("DIALTONE_EGRESS_LOCAL=allow admits only what DIALTONE_EGRESS_ALLOW_FILE names, which is not set")
	}
	return p.err()
}

// leastRetention is how long an Idempotency-Key counts, whose batch must be
// there.
const leastRetention = 24 * time.Hour

// Check joins the group's problems.
func (c Retention) Check() error {
	var p problems
	if c.Retention != 0 {
		p.lasting("DIALTONE_RETENTION", c.Retention, leastRetention)
	}
	return p.err()
}

// Check joins every limit that is not shorter than the one around it.
func (c Timeouts) Check() error {
	var p problems
	p.lasting("DIALTONE_CONNECT_TIMEOUT", c.ConnectTimeout, 100*time.Millisecond)
	p.lasting("DIALTONE_LEASE_SLACK", c.LeaseSlack, 100*time.Millisecond)
	// asynq counts whole seconds.
	p.lasting("DIALTONE_TASK_SLACK", c.TaskSlack, time.Second)
	if c.ProbeTimeout <= c.ConnectTimeout {
		p.addf("DIALTONE_PROBE_TIMEOUT (%s) must be longer than DIALTONE_CONNECT_TIMEOUT (%s)", c.ProbeTimeout, c.ConnectTimeout)
	}
	if c.Wait <= c.Task() {
		p.addf("DIALTONE_WAIT (%s) must be longer than DIALTONE_PROBE_TIMEOUT + DIALTONE_LEASE_SLACK + DIALTONE_TASK_SLACK (%s)", c.Wait, c.Task())
	}
	if c.Wait >= clientPatience-around {
		p.addf("DIALTONE_WAIT (%s) must be shorter than %s: clients give up after %s", c.Wait, clientPatience-around, clientPatience)
	}
	if c.AsyncTimeout <= c.Task() {
		p.addf("DIALTONE_ASYNC_TIMEOUT (%s) must be longer than DIALTONE_PROBE_TIMEOUT + DIALTONE_LEASE_SLACK + DIALTONE_TASK_SLACK (%s)", c.AsyncTimeout, c.Task())
	}
	return p.err()
}

// Check joins the group's problems.
func (c Telemetry) Check() error {
	var p problems
	if c.OTLPEndpoint != "" {
		p.httpURL("DIALTONE_OTLP_ENDPOINT", c.OTLPEndpoint)
	}
	if c.OTLPHeaders.IsSet() && c.OTLPEndpoint == "" {
		p.addf("DIALTONE_OTLP_HEADERS means nothing without DIALTONE_OTLP_ENDPOINT")
	}
	if !(c.TraceRatio >= 0 && c.TraceRatio <= 1) { // not a number fails as well
		p.addf("DIALTONE_TRACE_RATIO must be from 0 to 1")
	}
	return p.err()
}

// Check joins the group's problems. Whether the keytab can be read is for those
// to say who read it.
func (c Kerberos) Check() error {
	var p problems
	if (c.KerberosRealm == "") != (len(c.KerberosKDC) == 0) {
		p.addf("DIALTONE_KERBEROS_REALM and DIALTONE_KERBEROS_KDC must be set together")
	}
	if c.KerberosRealm == "" && (c.KerberosKeytabFile != "" || c.KerberosServiceHost != "") {
		p.addf("DIALTONE_KERBEROS_KEYTAB_FILE and DIALTONE_KERBEROS_SERVICE_HOST mean nothing without DIALTONE_KERBEROS_REALM")
	}
	if strings.ContainsAny(c.KerberosRealm, "@/ ") {
		p.addf("DIALTONE_KERBEROS_REALM must be a name without @, / and spaces")
	}
	for i, kdc := range c.KerberosKDC {
		if _, _, err := KDC(kdc); err != nil {
			p.addf("DIALTONE_KERBEROS_KDC: address %d is not HOST or HOST:PORT", i+1)
		}
	}
	return p.err()
}

// kdcPort is that of Kerberos (RFC 4120, 7.2.2).
const kdcPort = 88

// KDC takes the address of a key distribution centre apart.
func KDC(address string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		host, text = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]"), strconv.Itoa(kdcPort)
		if _, literal := netip.ParseAddr(host); literal != nil && strings.Contains(host, ":") {
			return "", 0, err
		}
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err == nil && (host == "" || n == 0) {
		err = errors.New("no host or no port")
	}
	return host, uint16(n), err
}
