package queue

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"

	"dialtone/internal/secret"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Config says where Redis is.
type Config struct {
	// URL takes one of the forms
	//
	//	redis://[user[:password]@]host[:port][/db]
	//	redis+sentinel://[user[:password]@]host[:port],host.../master[/db]
	//	redis+cluster://[user[:password]@]host[:port],host...
	//
	// with rediss for TLS in front. Ports default to 6379, a sentinel's to
	// 26379. User and password are percent-encoded, and are those of Redis
	// itself, not of its sentinels. Options are fields, never part of the URL.
	URL secret.Text
	// Username and Password win over those of the URL.
	Username string
	Password secret.Text
	// SentinelUsername and SentinelPassword are for the sentinels.
	SentinelUsername string
	SentinelPassword secret.Text
	// TLS is used with a rediss URL; nil then means the system's roots and the
	// host's name. With a redis URL it is refused, because it would be ignored.
	TLS *tls.Config
	// ClientName is what CLIENT LIST shows. Default "dialtone".
	ClientName string
	// PoolSize is how many connections to one node are kept at most. Default
	// ten for each CPU.
	PoolSize int
	// Logger gets what the Redis library has to say. Its logger is one for the
	// process: the last Connect with a Logger wins. Nil leaves it alone.
	Logger *slog.Logger
}

// TLSFiles makes the TLS settings of a Config from PEM files. Each may be
// empty: ca means the system's roots, cert and key (both or none) a client
// certificate, serverName the name to expect instead of the host's.
func TLSFiles(ca, cert, key, serverName string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: serverName}
	if ca != "" {
		pem, err := os.ReadFile(ca) //nolint:gosec // the operator names the file
		if err != nil {
			return nil, fmt.Errorf("read Redis CA file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read Redis CA file %s: no certificate in it", ca)
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("read Redis client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// Redis is one Redis, however it is run. It is safe for concurrent use.
type Redis struct {
	client  redis.UniversalClient
	servers []string
	// master and sentinels are set where a Sentinel names the server.
	master    string
	sentinels []*redis.Options
	depths    depthCache
	patience  patience
}

// Connect prepares for the Redis of the Config. It does not dial: a Redis that
// is not there yet is found out by Ping, and come to terms with by everything
// else.
func Connect(cfg Config) (*Redis, error) {
	p, err := parseURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.TLS != nil && !p.tls {
		return nil, errors.New("redis URL: there are TLS settings, but the scheme is redis, not rediss")
	}
	if cfg.Logger != nil {
		redis.SetLogger(redisLogger{cfg.Logger, newRepeats()})
	}
	options := &redis.UniversalOptions{
		Addrs:            p.addrs,
		MasterName:       p.master,
		IsClusterMode:    p.cluster,
		DB:               p.db,
		ClientName:       cmp.Or(cfg.ClientName, "dialtone"),
		Username:         cmp.Or(cfg.Username, p.username),
		SentinelUsername: cfg.SentinelUsername,
		SentinelPassword: cfg.SentinelPassword.Reveal(),
		PoolSize:         cfg.PoolSize,
		// A caller that gives Redis 100 ms means it.
		ContextTimeoutEnabled: true,
		// A handshake that only one vendor's service answers.
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	options.Password = p.password.Reveal()
	if cfg.Password.IsSet() {
		options.Password = cfg.Password.Reveal()
	}
	if p.tls {
		options.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		if cfg.TLS != nil {
			options.TLSConfig = cfg.TLS.Clone()
		}
	}
	r := Embedded(redis.NewUniversalClient(options))
	r.servers = p.addrs
	if p.sentinel {
		r.master = p.master
		for _, addr := range p.addrs {
			r.sentinels = append(r.sentinels, &redis.Options{
				Addr: addr, Username: cfg.SentinelUsername, Password: cfg.SentinelPassword.Reveal(), TLSConfig: options.TLSConfig,
				ContextTimeoutEnabled: true, MaintNotificationsConfig: options.MaintNotificationsConfig,
			})
		}
	}
	return r, nil
}

// Embedded wraps a client that somebody else made, such as one of an
// in-process Redis.
func Embedded(client redis.UniversalClient) *Redis {
	r := &Redis{client: client}
	client.AddHook(&r.patience)
	return r
}

// Client is the client below, for what has nothing to do with the queue.
func (r *Redis) Client() redis.UniversalClient { return r.client }

// Servers lists the host:port pairs that the URL named; see also Members.
func (r *Redis) Servers() []string { return slices.Clone(r.servers) }

// Ping asks whether Redis answers.
func (r *Redis) Ping(ctx context.Context) error {
	if err := r.client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping Redis: %w", err)
	}
	return nil
}

// Close closes the client. Consumers and listeners must have ended.
func (r *Redis) Close() error { return r.client.Close() }

// PolicyWarning returns a sentence for the log when Redis may throw away tasks
// to make room: that loses tests until the relay finds them, and can leave
// entries that no worker ever gets rid of. It is empty when all is well, or
// when Redis does not say.
func (r *Redis) PolicyWarning(ctx context.Context) (string, error) {
	var (
		mu       sync.Mutex
		policies = map[string]bool{}
	)
	ask := func(ctx context.Context, node redis.Cmdable) error {
		info, err := node.Info(ctx, "memory").Result()
		if err != nil {
			return err
		}
		for line := range strings.Lines(info) {
			if policy, found := strings.CutPrefix(strings.TrimSpace(line), "maxmemory_policy:"); found && policy != "noeviction" {
				mu.Lock()
				policies[policy] = true
				mu.Unlock()
			}
		}
		return nil
	}
	var err error
	if cluster, ok := r.client.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return ask(ctx, node) })
	} else {
		err = ask(ctx, r.client)
	}
	var refused redis.Error
	switch {
	case errors.As(err, &refused):
		return "", nil // an in-process Redis, or one that keeps INFO to itself
	case err != nil:
		return "", fmt.Errorf("ask Redis for its eviction policy: %w", err)
	}
	for policy := range policies {
		return fmt.Sprintf("Redis may evict tasks: maxmemory-policy is %s, and should be noeviction", policy), nil
	}
	return "", nil
}
