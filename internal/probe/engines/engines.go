// Package engines is the one list of the engines that dialtone can test. It is
// a package of its own so that package probe knows no driver; a new engine is
// one line here.
package engines

import (
	"dialtone/internal/probe"
	"dialtone/internal/probe/cassandra"
	"dialtone/internal/probe/gaussdb"
	"dialtone/internal/probe/kafka"
	"dialtone/internal/probe/mongodb"
	"dialtone/internal/probe/mysql"
	"dialtone/internal/probe/oracle"
	"dialtone/internal/probe/postgres"
	"dialtone/internal/probe/redis"
	"dialtone/internal/probe/sqlserver"
)

// Config is what all engines have in common.
type Config struct {
	// AllowRecoverable permits logins in which the server can read the
	// password although it has not proven who it is. Default false.
	AllowRecoverable bool
	// ProgramName is what servers see as the name of the client. Default
	// "dialtone".
	ProgramName string
	// Kerberos is for the logins of Kafka with GSSAPI. Default: none.
	Kerberos kafka.Kerberos
}

// All makes one prober for each wire protocol.
func All(cfg Config) []probe.Prober {
	return []probe.Prober{
		kafka.New(kafka.Config{AllowRecoverable: cfg.AllowRecoverable, ProgramName: cfg.ProgramName, Kerberos: cfg.Kerberos}),
		mongodb.New(mongodb.Config{ProgramName: cfg.ProgramName}),
		mysql.New(mysql.Config{AllowRecoverable: cfg.AllowRecoverable, ProgramName: cfg.ProgramName}),
		gaussdb.New(gaussdb.Config{AllowRecoverable: cfg.AllowRecoverable, ProgramName: cfg.ProgramName}),
		oracle.New(oracle.Config{ProgramName: cfg.ProgramName}),
		postgres.New(postgres.Config{AllowRecoverable: cfg.AllowRecoverable, ProgramName: cfg.ProgramName}),
		redis.New(redis.Config{AllowRecoverable: cfg.AllowRecoverable, ProgramName: cfg.ProgramName}),
		sqlserver.New(sqlserver.Config{AllowRecoverable: cfg.AllowRecoverable, ProgramName: cfg.ProgramName}),
		cassandra.New(cassandra.Config{AllowRecoverable: cfg.AllowRecoverable, ProgramName: cfg.ProgramName}),
	}
}
