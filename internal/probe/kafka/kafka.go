// Package kafka tests the brokers of Apache Kafka and what speaks its protocol.
// One connection carries the whole test of an address: encryption, the versions
// that the broker knows, the SASL login, and a question for the cluster's
// brokers that names no topic and so needs no right. Then every listener that
// the cluster advertises is tried, because that is where clients are sent.
//
// Requests are encoded by kmsg. Answers are read here: kmsg believes whatever
// numbers a message has, and counts to four billion if it must.
package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"dialtone/internal/probe"
)

// Config are the prober's tunables.
type Config struct {
	// AllowRecoverable permits PLAIN, which shows the server the password, to
	// one that has not proven who it is (probe.Target.ProvesServer). Default
	// false.
	AllowRecoverable bool
	// ProgramName is the client id, and the client's software as the broker's
	// metrics show it: letters, digits, dots and dashes. Default "dialtone".
	ProgramName string
	// Kerberos is for GSSAPI; without a realm such a test ends as
	// kdc_unreachable.
	Kerberos Kerberos
}

// Prober tests Kafka.
type Prober struct{ cfg Config }

var _ probe.Prober = (*Prober)(nil)

// New makes a Prober.
func New(cfg Config) *Prober {
	cfg.ProgramName = cmp.Or(cfg.ProgramName, "dialtone")
	cfg.Kerberos.Service = cmp.Or(cfg.Kerberos.Service, "kafka")
	return &Prober{cfg: cfg}
}

// Engines lists the engines that speak this protocol.
func (p *Prober) Engines() []probe.Engine { return []probe.Engine{probe.Kafka} }

// Probe tests the session's address. See probe.Prober.
func (p *Prober) Probe(ctx context.Context, s *probe.Session) error {
	a := &attempt{session: s, cfg: p.cfg}
	brokers, err := a.run(ctx)
	if err != nil || !s.Login {
		return err
	}
	return p.topology(ctx, s, brokers)
}

// attempt is the test of one address.
type attempt struct {
	session *probe.Session
	cfg     Config
	link    *link
	known   versions
}

// security is the wire's kafka_security_config; none means PLAINTEXT.
func (a *attempt) security() probe.KafkaSecurity {
	if a.session.Target.Kafka == nil {
		return probe.KafkaSecurity{}
	}
	return *a.session.Target.Kafka
}

func (a *attempt) sasl() bool { return strings.HasPrefix(a.security().Protocol, "SASL_") }

// run talks to the address itself and gives the brokers of its cluster.
func (a *attempt) run(ctx context.Context) ([]broker, error) {
	if err := a.open(ctx); err != nil {
		return nil, err
	}
	// Kafka knows no goodbye but the end of the connection.
	defer a.link.close()
	if err := a.negotiate(); err != nil {
		return nil, err
	}
	if a.sasl() {
		if err := a.login(ctx); err != nil || !a.session.Login {
			return nil, err
		}
	}
	return a.brokers()
}

// softwareVersion is what a client says that does not want to say.
const softwareVersion = "unknown"

// negotiate asks for the versions of every request that the broker knows. A
// broker answers that before any login.
func (a *attempt) negotiate() error {
	ask := kmsg.NewPtrApiVersionsRequest()
	ask.Version = 3 // the first that names the client's software
	ask.ClientSoftwareName, ask.ClientSoftwareVersion = a.cfg.ProgramName, softwareVersion
	body, err := a.link.ask(ask)
	if err != nil {
		return err
	}
	known, code, err := readVersions(body, ask.Version)
	if err == nil && code == unsupportedVersion {
		// A broker before Kafka 2.4 says so, in the oldest form.
		ask.Version = 0
		if body, err = a.link.ask(ask); err != nil {
			return err
		}
		known, code, err = readVersions(body, ask.Version)
	}
	if err != nil {
		return err
	}
	if code != 0 {
		return a.refused(code, "")
	}
	a.known = known
	a.session.Server("Kafka", "")
	return nil
}

// version chooses the newest version of a request that both sides know, of
// those from oldest to newest that we do.
func (a *attempt) version(key kmsg.Key, oldest, newest int16) (int16, error) {
	theirs, ok := a.known[int16(key)]
	chosen := min(newest, theirs.newest)
	if !ok || chosen < max(oldest, theirs.oldest) {
		return 0, probe.Fail(probe.CodeVersionUnsupported, fmt.Errorf("the broker knows no usable version of %s", key.Name()))
	}
	return chosen, nil
}

// brokers asks for the cluster's brokers and for no topic.
func (a *attempt) brokers() ([]broker, error) {
	// Version 0 would mean all topics.
	version, err := a.version(kmsg.Metadata, 1, 12)
	if err != nil {
		return nil, err
	}
	if a.session.Login {
		a.session.Enter(probe.PhaseSession)
	}
	ask := kmsg.NewPtrMetadataRequest()
	ask.Version, ask.Topics = version, []kmsg.MetadataRequestTopic{}
	body, err := a.link.ask(ask)
	if err != nil {
		if !a.sasl() && closed(err) {
			// It talked to us, and this question is the first that needs a login.
			return nil, probe.Fail(probe.CodeAuthRequired, errors.New("the broker ends a connection without a login"))
		}
		return nil, err
	}
	cluster, err := readMetadata(body, version)
	if err != nil {
		return nil, err
	}
	if len(cluster.brokers) == 0 {
		return nil, probe.Fail(probe.CodeServerNotReady, errors.New("the cluster has no brokers yet"))
	}
	if cluster.id != "" {
		a.session.Fact("cluster_id", cluster.id)
		a.session.Belongs(probe.Cluster{Name: "cluster " + cluster.id})
	}
	a.session.Fact("brokers", strconv.Itoa(len(cluster.brokers)))
	return cluster.brokers, nil
}
