package mongodbtest

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/xdg-go/scram"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// login is a login under way.
type login struct {
	exchange *scram.ServerConversation
	// brief: the client knows the end without being told a second time.
	brief bool
}

const defaultIterations = 4096 // the least that xdg-go's own client accepts

func authenticationFailed() bson.D { return failure(Failure{18, "Authentication failed."}) }

func (s *session) saslStart(r request) bson.D {
	s.authenticated, s.login = false, nil
	if s.server.OnLogin != nil {
		s.server.OnLogin()
	}
	mechanism, _ := r.body.Lookup("mechanism").StringValueOK()
	hash := scram.SHA256
	switch mechanism {
	case "SCRAM-SHA-256":
	case "SCRAM-SHA-1":
		hash = scram.SHA1
	default:
		return failure(Failure{334, "Received authentication for mechanism " + mechanism + " which is not enabled"})
	}
	var refused bson.D
	server, err := hash.NewServer(func(name string) (scram.StoredCredentials, error) {
		user := s.server.user(r.database + "." + name)
		switch {
		case user == nil:
			refused = authenticationFailed()
		case !slices.Contains(user.mechanisms(), mechanism):
			refused = failure(Failure{334, "Unable to use " + mechanism + " based authentication for user"})
		default:
			return s.server.stored(hash, mechanism, user)
		}
		return scram.StoredCredentials{}, errors.New("refused")
	})
	if err != nil {
		return authenticationFailed()
	}
	brief, _ := r.body.Lookup("options", "skipEmptyExchange").BooleanOK()
	s.login = &login{exchange: server.NewConversation(), brief: brief && !s.server.Roundabout}
	answer := s.step(r)
	if refused != nil {
		answer = refused
	}
	return answer
}

// stored is what a server keeps of an account's password.
func (s *Server) stored(hash scram.HashGeneratorFcn, mechanism string, u *User) (scram.StoredCredentials, error) {
	rounds := s.Iterations
	if rounds == 0 {
		rounds = defaultIterations
	}
	var client *scram.Client
	var err error
	if mechanism == "SCRAM-SHA-1" {
		sum := md5.Sum([]byte(u.Name + ":mongo:" + u.Password))
		client, err = hash.NewClientUnprepped(u.Name, hex.EncodeToString(sum[:]), "")
	} else {
		client, err = hash.NewClient(u.Name, u.Password, "")
	}
	if err != nil {
		return scram.StoredCredentials{}, err
	}
	return client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "sixteen bytes of", Iters: rounds})
}

func (s *session) saslContinue(r request) bson.D {
	if s.login == nil {
		return failure(Failure{17, "No SASL session state found"})
	}
	if s.login.exchange.Done() {
		// The exchange that says nothing.
		s.authenticated = true
		return ok(bson.E{Key: "conversationId", Value: int32(1)}, bson.E{Key: "done", Value: true},
			bson.E{Key: "payload", Value: bson.Binary{}})
	}
	return s.step(r)
}

func (s *session) step(r request) bson.D {
	_, payload, isBinary := r.body.Lookup("payload").BinaryOK()
	if !isBinary {
		return failure(Failure{14, "payload must be binary"})
	}
	challenge, err := s.login.exchange.Step(string(payload))
	if err != nil {
		s.login = nil
		return authenticationFailed()
	}
	done := s.login.exchange.Valid() && s.login.brief
	s.authenticated = done
	return ok(bson.E{Key: "conversationId", Value: int32(1)}, bson.E{Key: "done", Value: done},
		bson.E{Key: "payload", Value: bson.Binary{Data: []byte(challenge)}})
}
