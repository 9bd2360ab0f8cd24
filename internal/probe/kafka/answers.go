package kafka

// versions are those of each request, by its key, that a broker knows.
type versions map[int16]span

type span struct{ oldest, newest int16 }

// readVersions reads an ApiVersions answer. An error code 35 comes in the form
// of version 0, whatever was asked.
func readVersions(body []byte, version int16) (versions, int16, error) {
	r := reader{rest: body, flexible: version >= 3}
	code := r.int16()
	if code == unsupportedVersion {
		return nil, code, r.err()
	}
	known := versions{}
	for n := r.count(); n > 0 && !r.bad; n-- {
		known[r.int16()] = span{oldest: r.int16(), newest: r.int16()}
		r.tags()
	}
	return known, code, r.err()
}

// readHandshake reads a SaslHandshake answer: the mechanisms that the listener
// has.
func readHandshake(body []byte) (mechanisms []string, code int16, err error) {
	r := reader{rest: body}
	code = r.int16()
	for n := r.count(); n > 0 && !r.bad; n-- {
		mechanisms = append(mechanisms, r.text())
	}
	return mechanisms, code, r.err()
}

// saslAnswer is the server's side of a step of the login.
type saslAnswer struct {
	code  int16
	text  string
	token []byte
}

// readAuthenticate reads a SaslAuthenticate answer.
func readAuthenticate(body []byte, version int16) (saslAnswer, error) {
	r := reader{rest: body, flexible: version >= 2}
	answer := saslAnswer{code: r.int16(), text: r.text(), token: r.bytes()}
	return answer, r.err()
}

// cluster is what a broker says of its cluster.
type cluster struct {
	id      string
	brokers []broker
}

// broker is one broker by the address that it wants clients to use.
type broker struct {
	id   int32
	host string
	port int32
}

// readMetadata reads a Metadata answer up to the topics, of which none were
// asked for.
func readMetadata(body []byte, version int16) (cluster, error) {
	var c cluster
	r := reader{rest: body, flexible: version >= 9}
	if version >= 3 {
		r.int32() // how long we were held back
	}
	for n := r.count(); n > 0 && !r.bad; n-- {
		c.brokers = append(c.brokers, broker{id: r.int32(), host: r.text(), port: r.int32()})
		r.text() // the rack
		r.tags()
	}
	if version >= 2 {
		c.id = r.text()
	}
	return c, r.err()
}
