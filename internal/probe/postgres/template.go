package postgres

import (
	"fmt"
	"os"

	"github.com/jackc/pgx/v5/pgconn"
)

// constant names every setting that the driver would otherwise take from the
// environment or from files. A password is given so that no password file is
// read.
const constant = "host=invalid port=5432 dbname=postgres user=nobody password=none " +
	"passfile=/dev/null servicefile=/dev/null sslmode=disable sslcert='' sslkey='' sslrootcert='' sslpassword='' " +
	"sslcertmode=allow sslnegotiation=postgres sslsni=1 connect_timeout=0 target_session_attrs=any " +
	"min_protocol_version=3.0 max_protocol_version=3.0 channel_binding=prefer require_auth='' " +
	"krbsrvname='' krbspn='' application_name='' options='' timezone=''"

// newTemplate makes the configuration that every test copies. The driver
// accepts none but those that its own parser made, and the parser fails when
// PGSERVICE is set and its service unknown; then it is given an empty one.
func newTemplate() (*pgconn.Config, error) {
	c, err := pgconn.ParseConfig(constant)
	if err == nil {
		return c, nil
	}
	file, err := os.CreateTemp("", "dialtone-pg-service-*")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(file.Name()) }()
	_, err = file.WriteString("[dialtone]\n")
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return nil, err
	}
	c, err = pgconn.ParseConfig(fmt.Sprintf("%s service=dialtone servicefile='%s'", constant, file.Name()))
	if err != nil {
		return nil, fmt.Errorf("the driver takes no constant configuration; unset the PG* variables: %w", err)
	}
	return c, nil
}
