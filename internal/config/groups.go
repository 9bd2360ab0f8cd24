package config

import (
	"net/netip"
	"time"

	"dialtone/internal/secret"
)

// The groups below are embedded where they are needed: API, Worker, and the
// commands of cmd/dialtone. A field's flag is its variable in lower case
// without DIALTONE_. A secret is also read from the file that the variable
// with _FILE at its end names.

// Listener is where the API is served.
type Listener struct {
	Listen      string `env:"DIALTONE_LISTEN" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Address of the API. Port 0 takes a free one."`
	TLSCertFile string `env:"DIALTONE_TLS_CERT_FILE" placeholder:"FILE" help:"Certificate of the API, PEM, with its chain. Empty: plain HTTP."`
	TLSKeyFile  string `env:"DIALTONE_TLS_KEY_FILE" placeholder:"FILE" help:"Private key of the API's certificate, PEM."`

	TLSClientCAFile string `name:"tls-client-ca-file" env:"DIALTONE_TLS_CLIENT_CA_FILE" placeholder:"FILE" help:"Authorities of the certificates that callers must show beside their credentials, PEM. Empty: none is asked for."`

	TrustedProxies []netip.Prefix `env:"DIALTONE_TRUSTED_PROXIES" sep:"," placeholder:"CIDR" help:"Networks of our own load balancers, separated by commas, whose X-Forwarded-For tells the address of a caller. Empty: the address of the connection is the caller's."`
}

// Admin is what the admin listener does beside metrics and health.
type Admin struct {
	AdminTLSClientCAFile string      `name:"admin-tls-client-ca-file" env:"DIALTONE_ADMIN_TLS_CLIENT_CA_FILE" placeholder:"FILE" help:"Authorities of the certificates that must be shown for everything but /healthz and /readyz, PEM. Empty: none is asked for."`
	AdminToken           secret.Text `env:"DIALTONE_ADMIN_TOKEN" placeholder:"SECRET" help:"Bearer token that must be sent for everything but /healthz and /readyz. Empty: none is asked for."`

	AdminTLSCertFile string        `env:"DIALTONE_ADMIN_TLS_CERT_FILE" placeholder:"FILE" help:"Certificate of the admin listener, PEM, with its chain. Empty: plain HTTP."`
	AdminTLSKeyFile  string        `env:"DIALTONE_ADMIN_TLS_KEY_FILE" placeholder:"FILE" help:"Private key of the admin listener's certificate, PEM."`
	ShutdownDelay    time.Duration `env:"DIALTONE_SHUTDOWN_DELAY" default:"0s" help:"How long a stopping process is unready before it turns work away, a duration: the time that a load balancer needs to see it."`
	Pprof            bool          `env:"DIALTONE_PPROF" default:"false" help:"Serve /debug/pprof on the admin listener: stacks, counts and times, no contents of memory. Only while it is needed, and never on an open address."`
}

// Postgres is the store.
type Postgres struct {
	PostgresDSN            secret.Text   `env:"DIALTONE_POSTGRES_DSN" placeholder:"SECRET" help:"Connection string or URL of Postgres, as libpq takes it. Required."`
	PostgresMaxConns       int           `env:"DIALTONE_POSTGRES_MAX_CONNS" default:"16" help:"Most connections to Postgres, from 2."`
	PostgresConnectTimeout time.Duration `env:"DIALTONE_POSTGRES_CONNECT_TIMEOUT" default:"5s" help:"Time for one attempt to connect to Postgres, a duration."`
}

// Redis is the queue.
type Redis struct {
	RedisURL              secret.Text `env:"DIALTONE_REDIS_URL" placeholder:"SECRET" help:"Where Redis is: redis://[user[:password]@]host[:port][/db], redis+sentinel://...,host/master[/db] or redis+cluster://...,host; rediss for TLS. Required."`
	RedisUser             string      `env:"DIALTONE_REDIS_USER" help:"ACL user of Redis; wins over the URL's."`
	RedisPassword         secret.Text `env:"DIALTONE_REDIS_PASSWORD" placeholder:"SECRET" help:"Password of Redis; wins over the URL's."`
	RedisSentinelUser     string      `env:"DIALTONE_REDIS_SENTINEL_USER" help:"ACL user of the sentinels."`
	RedisSentinelPassword secret.Text `env:"DIALTONE_REDIS_SENTINEL_PASSWORD" placeholder:"SECRET" help:"Password of the sentinels."`
	RedisTLSCAFile        string      `name:"redis-tls-ca-file" env:"DIALTONE_REDIS_TLS_CA_FILE" placeholder:"FILE" help:"Authority that signed Redis' certificate, PEM. Empty: the system's authorities."`
	RedisTLSCertFile      string      `env:"DIALTONE_REDIS_TLS_CERT_FILE" placeholder:"FILE" help:"Client certificate for Redis, PEM."`
	RedisTLSKeyFile       string      `env:"DIALTONE_REDIS_TLS_KEY_FILE" placeholder:"FILE" help:"Private key of the client certificate for Redis, PEM."`
	RedisTLSServerName    string      `env:"DIALTONE_REDIS_TLS_SERVER_NAME" placeholder:"NAME" help:"Name to expect in Redis' certificate instead of the host's."`
	RedisPoolSize         int         `env:"DIALTONE_REDIS_POOL_SIZE" default:"0" help:"Most connections to one Redis node. 0: ten for each CPU."`
}

// Keys seal secrets.
type Keys struct {
	Keyset secret.Text `env:"DIALTONE_KEYSET" placeholder:"SECRET" help:"Keyset that seals secrets at rest, as 'dialtone keys new' prints it; the same for api and workers; read again when its file changes, and on SIGHUP. Required."`
	// KeysetFile is the file that it came from; "" if it was given itself.
	KeysetFile string `kong:"-"`
}

// keysetFrom notes the file that the keyset came from: what the flag or the
// variable says itself comes first.
func (c *Keys) keysetFrom(file string) {
	if text, err := readSecret(file); file != "" && err == nil && secret.New(text).Equal(c.Keyset) {
		c.KeysetFile = file
	}
}

// Auth is who may call.
type Auth struct {
	AuthFile           string        `env:"DIALTONE_AUTH_FILE" placeholder:"FILE" help:"List of tokens and access keys, YAML; read again on SIGHUP. This, or Keystone, or both."`
	KeystoneURL        string        `env:"DIALTONE_KEYSTONE_URL" placeholder:"URL" help:"Keystone v3 that is asked about tokens which the list does not hold."`
	KeystoneToken      secret.Text   `env:"DIALTONE_KEYSTONE_TOKEN" placeholder:"SECRET" help:"Our own token for Keystone; or else user and password."`
	KeystoneUser       string        `env:"DIALTONE_KEYSTONE_USER" placeholder:"NAME" help:"Our own user at Keystone."`
	KeystonePassword   secret.Text   `env:"DIALTONE_KEYSTONE_PASSWORD" placeholder:"SECRET" help:"Password of our own user at Keystone."`
	KeystoneDomain     string        `env:"DIALTONE_KEYSTONE_DOMAIN" default:"Default" placeholder:"NAME" help:"Domain of our own user at Keystone."`
	KeystoneProject    string        `env:"DIALTONE_KEYSTONE_PROJECT" placeholder:"NAME" help:"Project that our own token is scoped to. Empty: none."`
	KeystoneTimeout    time.Duration `env:"DIALTONE_KEYSTONE_TIMEOUT" default:"5s" help:"Time for one answer of Keystone, a duration."`
	KeystoneCacheTime  time.Duration `env:"DIALTONE_KEYSTONE_CACHE_TIME" default:"60s" help:"How long a confirmed token is believed without asking again, a duration: so long may a revoked one still work."`
	KeystoneRefuseTime time.Duration `env:"DIALTONE_KEYSTONE_REFUSE_TIME" default:"5s" help:"How long a refused token is refused without asking again, a duration."`
}

// Requests is what is accepted.
type Requests struct {
	Jobs             string        `env:"DIALTONE_JOBS" default:"registered" oneof:"registered,any" help:"Which job ids may be tested: 'registered' ones by the rules of their status, or 'any' id as a mere label."`
	JobCreationDelay time.Duration `env:"DIALTONE_JOB_CREATION_DELAY" default:"1s" help:"How long a created job stays in CREATING before it is in CONFIGURATION, a duration."`
	MaxEntries       int           `env:"DIALTONE_MAX_ENTRIES" default:"10" help:"Most entries in one batch that a caller waits for, from 1."`
	BulkMax          int           `env:"DIALTONE_BULK_MAX" default:"1000" help:"Most entries in one batch sent with 'Prefer: respond-async', from 1."`
	Backlog          int           `env:"DIALTONE_BACKLOG" default:"1000" help:"Open tests of a project in batches that callers wait for, beyond which no more are accepted. 0: no limit."`
	BulkBacklog      int           `env:"DIALTONE_BULK_BACKLOG" default:"10000" help:"Open tests of a project in batches sent with 'Prefer: respond-async', beyond which no more are accepted. 0: no limit."`
	BodyLimit        Bytes         `env:"DIALTONE_BODY_LIMIT" default:"16MiB" help:"Most bytes in one request body, such as 16MiB or 65536."`
	BodyMemory       Bytes         `env:"DIALTONE_BODY_MEMORY" default:"256MiB" help:"Most bytes of request bodies that one api process holds at once; at least DIALTONE_BODY_LIMIT."`
	CallTimeout      time.Duration `env:"DIALTONE_CALL_TIMEOUT" default:"10s" help:"Time for a call that neither tests nor follows a batch, a duration."`
	EventTimeout     time.Duration `env:"DIALTONE_EVENT_TIMEOUT" default:"5s" help:"Time for each look of an event stream for news, a duration."`
	Streams          int           `env:"DIALTONE_STREAMS" default:"64" help:"Event streams that a project may have open at one api process, from 1."`
	RateLimit        float64       `env:"DIALTONE_RATE_LIMIT" default:"100" help:"Requests per second of one project to one api process. 0: no limit."`
	RateBurst        int           `env:"DIALTONE_RATE_BURST" default:"400" help:"Requests that a project may make at once before the rate limit holds it back, from 1."`
	ProjectRate      float64       `env:"DIALTONE_PROJECT_RATE" default:"200" help:"Probes per second that a project may begin at one api process; what is more waits its turn. 0: no limit."`
	ProjectBurst     int           `env:"DIALTONE_PROJECT_BURST" default:"2000" help:"Probes that a project may begin at once before DIALTONE_PROJECT_RATE holds it back, from 1."`
	TLSVerify        string        `env:"DIALTONE_TLS_VERIFY" default:"ca" oneof:"ca,full" help:"How the certificates of tested databases are judged: 'ca' takes any name, 'full' demands the host's."`
	ShutdownGrace    time.Duration `env:"DIALTONE_SHUTDOWN_GRACE" default:"80s" help:"How long a stop waits for requests under way, a duration. Longer than DIALTONE_WAIT, or their callers get no answer."`
}

// Work is what a worker does, and where it stands.
type Work struct {
	WorkerNetworks           []string      `env:"DIALTONE_WORKER_NETWORKS" default:"eip,vpn,vpc" sep:"," placeholder:"NAME" help:"Networks that this worker stands in, separated by commas: eip, vpn, vpc, or vpc-ID for a single VPC."`
	WorkerConcurrency        int           `env:"DIALTONE_WORKER_CONCURRENCY" default:"256" help:"Most probes at once, from 1. They wait much and compute little."`
	WorkerAttempts           int           `env:"DIALTONE_WORKER_ATTEMPTS" default:"3" help:"Most probes for one test, from 1. None is made again once a login was sent."`
	AllowRecoverablePassword bool          `env:"DIALTONE_ALLOW_RECOVERABLE_PASSWORD" default:"false" help:"Permit logins in which a server that has not proven its identity could read the password."`
	ShutdownGrace            time.Duration `env:"DIALTONE_SHUTDOWN_GRACE" default:"20s" help:"How long a stop waits for probes that have sent a login, a duration. Longer than DIALTONE_PROBE_TIMEOUT, or they end as interrupted."`
}

// Retention is what is forgotten.
type Retention struct {
	Retention time.Duration `env:"DIALTONE_RETENTION" default:"720h" help:"How long a batch is kept once it is done, a duration from 24h. 0: for ever."`
}

// Guard keeps probes from doing harm. All workers must be told the same.
type Guard struct {
	LoginRefusals    int           `env:"DIALTONE_LOGIN_REFUSALS" default:"3" help:"Most logins that an account of an endpoint may be refused within DIALTONE_LOGIN_WINDOW, from 1; beyond it none is sent."`
	LoginWindow      time.Duration `env:"DIALTONE_LOGIN_WINDOW" default:"10m" help:"Time over which refused logins are counted, a duration."`
	LoginRepeatAfter time.Duration `env:"DIALTONE_LOGIN_REPEAT_AFTER" default:"30s" help:"How long a refused credential is not sent again, a duration."`
	EndpointProbes   int           `env:"DIALTONE_ENDPOINT_PROBES" default:"2" help:"Most probes at once at one endpoint, over all workers, from 1."`
	EndpointRest     time.Duration `env:"DIALTONE_ENDPOINT_REST" default:"5s" help:"How long an endpoint is left alone that had too many connections, a duration; 0s: not at all."`
}

// Egress is which addresses may be dialled.
type Egress struct {
	EgressAllowFile string           `env:"DIALTONE_EGRESS_ALLOW_FILE" placeholder:"FILE" help:"List of addresses that may be tested beside the public ones; read again on SIGHUP."`
	EgressMode      string           `env:"DIALTONE_EGRESS_MODE" default:"enforce" oneof:"enforce,report" help:"'enforce' the policy, or only 'report' in the log what it would deny."`
	EgressLocal     string           `env:"DIALTONE_EGRESS_LOCAL" default:"deny" oneof:"deny,allow" help:"Loopback addresses: 'deny' them, or 'allow' those that the list of addresses has with their ports, as in 127.0.0.0/8 5432 * *."`
	EgressOwn       []netip.AddrPort `env:"DIALTONE_EGRESS_OWN" sep:"," placeholder:"IP:PORT" help:"Addresses of our own, separated by commas, that are never dialled, beside those of Postgres, Redis and the listeners of api and workers, which are known: load balancers, translated addresses, replicas."`
	EgressDials     int              `env:"DIALTONE_EGRESS_DIALS" default:"4" help:"Most TCP connections for one address of a test, from 1."`
	EgressReadLimit Bytes            `env:"DIALTONE_EGRESS_READ_LIMIT" default:"1MiB" help:"Most bytes read from one address of a test, such as 1MiB."`
}

// Kerberos is what tests with GSSAPI need to know of a realm.
type Kerberos struct {
	KerberosRealm       string   `env:"DIALTONE_KERBEROS_REALM" placeholder:"REALM" help:"Realm of the users and services of tests with GSSAPI (Kafka), such as EXAMPLE.COM. Empty: such tests end as kdc_unreachable."`
	KerberosKDC         []string `env:"DIALTONE_KERBEROS_KDC" sep:"," placeholder:"HOST[:PORT]" help:"Key distribution centres of the realm, separated by commas, asked in this order over TCP; port 88 where none is given. They are dialled under the policy for the tested addresses, which must allow them."`
	KerberosKeytabFile  string   `env:"DIALTONE_KERBEROS_KEYTAB_FILE" placeholder:"FILE" help:"Keytab with the keys of users that may be tested without a password. Empty: every test needs its password."`
	KerberosServiceHost string   `env:"DIALTONE_KERBEROS_SERVICE_HOST" placeholder:"NAME" help:"Host part of the principal of every Kafka broker (kafka/NAME), where it is not the broker's own host: hadoop.<domain of the cluster> for MRS."`
}

// Timeouts nest: each is shorter than the next. The api puts the task's limit
// on the queue and the worker keeps the others, so both must be told the same.
type Timeouts struct {
	ConnectTimeout time.Duration `env:"DIALTONE_CONNECT_TIMEOUT" default:"5s" help:"Time for one TCP connection, a duration."`
	ProbeTimeout   time.Duration `env:"DIALTONE_PROBE_TIMEOUT" default:"15s" help:"Time for one probe, a duration; longer than DIALTONE_CONNECT_TIMEOUT."`
	LeaseSlack     time.Duration `env:"DIALTONE_LEASE_SLACK" default:"2s" help:"How much longer than its probe a worker's lease on a test is, a duration, from 100ms."`
	TaskSlack      time.Duration `env:"DIALTONE_TASK_SLACK" default:"5s" help:"How much longer than the lease a task of the queue may take, a duration, from 1s."`
	Wait           time.Duration `env:"DIALTONE_WAIT" default:"60s" help:"How long a synchronous call waits for its batch, a duration; longer than probe, lease slack and task slack together, and below 105s, so that the answer comes within the 120s after which clients give up."`
	AsyncTimeout   time.Duration `env:"DIALTONE_ASYNC_TIMEOUT" default:"15m" help:"How long a batch may take that nobody waits for, a duration."`
}

// Lease is how long a worker's right to a test lasts.
func (t Timeouts) Lease() time.Duration { return t.ProbeTimeout + t.LeaseSlack }

// Task is how long the queue lets a task run.
func (t Timeouts) Task() time.Duration { return t.Lease() + t.TaskSlack }

// Telemetry is what is told of a running process.
type Telemetry struct {
	LogLevel     string      `env:"DIALTONE_LOG_LEVEL" default:"info" oneof:"debug,info,warn,error" help:"Least level that is logged: debug, info, warn or error."`
	LogFormat    string      `env:"DIALTONE_LOG_FORMAT" default:"json" oneof:"json,text" help:"Form of the log: json or text."`
	AuditFile    string      `env:"DIALTONE_AUDIT_FILE" placeholder:"FILE" help:"File for the audit log, which is appended to and opened again on SIGHUP. Empty: it goes where the log goes."`
	OTLPEndpoint string      `env:"DIALTONE_OTLP_ENDPOINT" placeholder:"URL" help:"OpenTelemetry collector that takes traces over OTLP/HTTP, such as http://collector:4318. Empty: no traces."`
	OTLPHeaders  secret.Text `env:"DIALTONE_OTLP_HEADERS" placeholder:"SECRET" help:"Headers for the collector, as name=value separated by commas, values percent-encoded."`
	TraceRatio   float64     `env:"DIALTONE_TRACE_RATIO" default:"1" help:"Share of the requests that are traced, from 0 to 1; a caller's own trace is followed."`
}
