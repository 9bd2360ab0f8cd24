package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"dialtone/test/system"
)

// TestVerdicts sends one batch after the other, each of ten real endpoints,
// and holds every verdict to what was set up.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	type condition struct {
		name  string
		entry system.Entry
		code  string // the native verdict
		drs   string // the compatible code, where the contract has one
	}
	rogue := strings.Repeat("0", 64)
	conditions := []condition{
		{"MySQL, right credentials", system.MariaDB(t, "dt_native"), "ok", ""},
		{"MySQL over TLS", system.MariaDB(t, "dt_native").TLS(t, "ca.pem"), "ok", ""},
		{"MySQL over TLS, account demands it", system.MariaDB(t, "dt_ssl").TLS(t, "ca.pem"), "ok", ""},
		{"TaurusDB speaks MySQL", system.MariaDB(t, "dt_native").With(system.Entry{"db_type": "taurus"}), "ok", ""},
		{"PostgreSQL, right credentials", system.Postgres(t, "dt_scram"), "ok", ""},
		{"PostgreSQL over TLS", system.Postgres(t, "dt_scram").TLS(t, "ca.pem"), "ok", ""},
		{"PostgreSQL, md5", system.Postgres(t, "dt_md5"), "ok", ""},
		{"PostgreSQL, clear text over TLS", system.Postgres(t, "dt_clear").TLS(t, "ca.pem"), "ok", ""},

		{"MySQL, wrong password", system.MariaDB(t, "dt_native").With(system.Entry{"db_password": "wrong"}), "auth_failed", "DRS.KE0002"},
		{"PostgreSQL, wrong password", system.Postgres(t, "dt_scram").With(system.Entry{"db_password": "wrong"}), "auth_failed", "DRS.KE0002"},
		{"MySQL, unknown user", system.MariaDB(t, "dt_nobody"), "auth_failed", "DRS.KE0002"},
		{"PostgreSQL, unknown user", system.Postgres(t, "dt_nobody"), "auth_failed", "DRS.KE0002"},
		{"MySQL, unknown database", system.MariaDB(t, "dialtone").With(system.Entry{"db_name": "dt_nowhere"}), "database_unknown", ""},
		{"PostgreSQL, unknown database", system.Postgres(t, "dt_scram").With(system.Entry{"db_name": "dt_nowhere"}), "database_unknown", ""},
		{"MySQL, account locked", system.MariaDB(t, "dt_locked"), "account_locked", ""},
		{"MySQL, password expired", system.MariaDB(t, "dt_expired"), "password_expired", ""},
		{"PostgreSQL, role may not log in", system.Postgres(t, "dt_nologin"), "account_locked", ""},

		{"MySQL, closed port", system.MariaDB(t, "dt_native").At(t, system.FreeAddr(t)), "connection_refused", ""},
		{"PostgreSQL, closed port", system.Postgres(t, "dt_scram").At(t, system.FreeAddr(t)), "connection_refused", ""},
		{"MySQL, black hole", system.MariaDB(t, "dt_native").At(t, system.BlackHole(t)), "timeout_connect", ""},
		{"PostgreSQL, black hole", system.Postgres(t, "dt_scram").At(t, system.BlackHole(t)), "timeout_connect", ""},
		{"PostgreSQL, accepts and is silent", system.Postgres(t, "dt_scram").At(t, system.Tarpit(t)), "timeout_no_reply", ""},

		{"MySQL, untrusted certificate", system.MariaDB(t, "dt_native").TLS(t, "rogue-ca.pem"), "tls_cert_untrusted", ""},
		{"PostgreSQL, untrusted certificate", system.Postgres(t, "dt_scram").TLS(t, "rogue-ca.pem"), "tls_cert_untrusted", ""},
		{"certificate checksum", system.MariaDB(t, "dt_native").TLS(t, "ca.pem").With(system.Entry{"ssl_cert_check_sum": rogue}), "tls_cert_checksum_mismatch", ""},
		{"MySQL, host not allowed", system.Target(t, "mysql", "DIALTONE_TEST_MARIADB_DENY_ADDR", "dialtone", ""), "host_not_allowed", ""},
		{"PostgreSQL, no pg_hba.conf entry", system.Postgres(t, "dt_rejected").TLS(t, "ca.pem"), "host_not_allowed", ""},
		{"PostgreSQL, TLS required", system.Postgres(t, "dt_tls"), "host_not_allowed_or_tls_required", ""},
		{"MySQL, TLS not supported", system.Target(t, "mysql", "DIALTONE_TEST_MARIADB_PLAIN_ADDR", "dt_native", "").TLS(t, "ca.pem"), "tls_not_supported_by_server", ""},
		{"PostgreSQL, TLS not supported", system.Target(t, "postgresql", "DIALTONE_TEST_POSTGRES_PLAIN_ADDR", "dt_scram", "dt_login").TLS(t, "ca.pem"), "tls_not_supported_by_server", ""},
		{"MySQL, too many connections", system.Target(t, "mysql", "DIALTONE_TEST_MARIADB_FULL_ADDR", "dt_native", ""), "too_many_connections", ""},
		{"PostgreSQL, too many connections", system.Postgres(t, "dt_limit"), "too_many_connections", ""},
		{"MySQL asked of PostgreSQL", system.MariaDB(t, "dt_native").At(t, system.Need(t, "DIALTONE_TEST_POSTGRES_ADDR")), "protocol_mismatch", ""},
		{"PostgreSQL asked of MySQL", system.Postgres(t, "dt_scram").At(t, system.Need(t, "DIALTONE_TEST_MARIADB_ADDR")), "protocol_mismatch", ""},
		{"unresolvable name", system.MariaDB(t, "dt_native").With(system.Entry{"ip": "no-such-host.invalid"}), "dns_not_found", ""},

		{"Oracle asked of MySQL", system.MariaDB(t, "dt_native").With(system.Entry{"db_type": "oracle", "db_name": "ORCL"}), "protocol_mismatch", ""},
		{"job in a wrong state", system.MariaDB(t, "dt_native").With(system.Entry{"id": "started-job"}), "job_wrong_status", "DRS.M00304"},
		{"job unknown", system.MariaDB(t, "dt_native").With(system.Entry{"id": "unknown-job"}), "job_unknown", "DRS.M05003"},
		{"job deleted", system.MariaDB(t, "dt_native").With(system.Entry{"id": "deleted-job"}), "job_deleted", "DRS.M05004"},
		{"parent job", system.MariaDB(t, "dt_native").With(system.Entry{"id": "parent-job"}), "job_is_parent", "DRS.M00307"},
	}
	s := system.Start(t, system.Options{Workers: 2, Env: []string{"DIALTONE_PROBE_TIMEOUT=4s", "DIALTONE_CONNECT_TIMEOUT=1s"}})
	for i := range 5 {
		s.Mirror(fmt.Sprintf("job-%d", i), "CONFIGURATION", "standalone")
	}
	s.Mirror("started-job", "STARTJOBING", "standalone")
	s.Mirror("deleted-job", "DELETED", "standalone")
	s.Mirror("parent-job", "CONFIGURATION", "parent")

	password := system.Need(t, "DIALTONE_TEST_PASSWORD")
	for begin := 0; begin < len(conditions); begin += 10 {
		part := conditions[begin:min(begin+10, len(conditions))]
		var entries []system.Entry
		for i, c := range part {
			// One id may come once as source and once as target.
			e := c.entry.With(system.Entry{"end_point_type": []string{"so", "ta"}[i%2]})
			if e["id"] == system.JobID {
				e["id"] = fmt.Sprintf("job-%d", i/2)
			}
			entries = append(entries, e)
		}
		got, id := s.Test(entries...)
		tests := detail(s, id).tests()
		for k, c := range part {
			result, test := got.Results[k], tests[k]
			if result.ID != entries[k]["id"] {
				t.Errorf("%s: answered as %s, want %s: the order is lost", c.name, result.ID, entries[k]["id"])
			}
			if test.Report.Code != c.code {
				t.Errorf("%s: %s in %s, want %s", c.name, test.Report.Code, test.Report.Phase, c.code)
			}
			ok := c.code == "ok"
			if result.Success == nil || *result.Success != ok || (result.Status == "success") != ok {
				t.Errorf("%s: answer %+v, want success %v", c.name, result, ok)
			}
			if c.drs != "" && result.ErrorCode != c.drs {
				t.Errorf("%s: error_code %s, want %s", c.name, result.ErrorCode, c.drs)
			}
			if c.drs != "DRS.KE0002" && result.ErrorCode == "DRS.KE0002" {
				t.Errorf("%s: blamed on the credentials", c.name)
			}
			if ok && (result.ErrorCode != "" || result.ErrorMsg != "") {
				t.Errorf("%s: a success with an error: %+v", c.name, result)
			}
			if !ok && (result.ErrorCode == "" || result.ErrorMsg == "" || test.Report.Owner == "" || test.Report.Remedy == "") {
				t.Errorf("%s: a failure that does not say who must do what: %+v %+v", c.name, result, test.Report)
			}
			if !test.Target.PasswordSet || strings.Contains(result.ErrorMsg, password) {
				t.Errorf("%s: password_set %v, message %q", c.name, test.Target.PasswordSet, result.ErrorMsg)
			}
			if ok && test.Report.Evidence.Version == "" {
				t.Errorf("%s: no server version in the evidence", c.name)
			}
		}
	}
	for _, p := range append(s.Workers, s.API) {
		if strings.Contains(p.Output(), password) {
			t.Errorf("%s logged a password", p.Name)
		}
	}
}
