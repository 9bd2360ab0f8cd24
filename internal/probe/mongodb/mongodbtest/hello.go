package mongodbtest

import (
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// hello is the answer to "hello" and to its older name.
func (s *Server) hello(r request) bson.D {
	if client, ok := r.body.Lookup("client").DocumentOK(); ok && s.OnHello != nil {
		s.OnHello(client)
	}
	writable := "ismaster"
	if r.name == "hello" {
		writable = "isWritablePrimary"
	}
	leads := s.Role == Primary || s.Role == Standalone || s.Role == Mongos || s.Role == ConfigServer
	fields := bson.D{{Key: writable, Value: leads}}
	if helloOK, _ := r.body.Lookup("helloOk").BooleanOK(); helloOK {
		fields = append(fields, bson.E{Key: "helloOk", Value: true})
	}
	switch s.Role {
	case Mongos:
		fields = append(fields, bson.E{Key: "msg", Value: "isdbgrid"})
	case Uninitiated:
		fields = append(fields, bson.E{Key: "secondary", Value: false}, bson.E{Key: "isreplicaset", Value: true},
			bson.E{Key: "info", Value: "Does not have a valid replica set config"})
	case Standalone:
	default:
		fields = append(fields, s.membership()...)
	}
	fields = append(
		fields,
		bson.E{Key: "maxBsonObjectSize", Value: int32(16 << 20)}, bson.E{Key: "maxMessageSizeBytes", Value: int32(48_000_000)},
		bson.E{Key: "maxWriteBatchSize", Value: int32(100_000)}, bson.E{Key: "localTime", Value: time.Now()},
		bson.E{Key: "logicalSessionTimeoutMinutes", Value: int32(30)},
		bson.E{Key: "minWireVersion", Value: int32(0)}, bson.E{Key: "maxWireVersion", Value: int32(s.wire())},
	)
	if account, asked := r.body.Lookup("saslSupportedMechs").StringValueOK(); asked && s.wire() >= 7 {
		if user := s.user(account); user != nil {
			fields = append(fields, bson.E{Key: "saslSupportedMechs", Value: user.mechanisms()})
		}
	}
	return ok(fields...)
}

// membership is what a member of a replica set says of it.
func (s *Server) membership() bson.D {
	fields := bson.D{
		{Key: "secondary", Value: s.Role == Secondary || s.Role == Hidden},
		{Key: "setName", Value: s.Set},
		{Key: "setVersion", Value: int32(1)},
		{Key: "me", Value: s.Me},
		{Key: "hosts", Value: s.Members},
		// What clients skip, and must know how to.
		{Key: "lastWrite", Value: bson.D{
			{Key: "opTime", Value: bson.D{{Key: "ts", Value: bson.Timestamp{T: 1, I: 2}}, {Key: "t", Value: int64(3)}}},
			{Key: "lastWriteDate", Value: time.Now()},
		}},
		{Key: "electionId", Value: bson.NewObjectID()},
	}
	for role, name := range map[Role]string{Arbiter: "arbiterOnly", Hidden: "hidden"} {
		if s.Role == role {
			fields = append(fields, bson.E{Key: name, Value: true})
		}
	}
	if len(s.Arbiters) > 0 {
		fields = append(fields, bson.E{Key: "arbiters", Value: s.Arbiters})
	}
	if s.Role == ConfigServer {
		fields = append(fields, bson.E{Key: "configsvr", Value: int32(2)})
	}
	if s.Leader != "" {
		fields = append(fields, bson.E{Key: "primary", Value: s.Leader})
	}
	return fields
}

// user finds an account by "database.name".
func (s *Server) user(account string) *User {
	database, name, _ := strings.Cut(account, ".")
	i := slices.IndexFunc(s.Users, func(u User) bool { return u.Database == database && u.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Users[i]
}

func (u *User) mechanisms() []string {
	if u.Mechanisms == nil {
		return []string{"SCRAM-SHA-1", "SCRAM-SHA-256"}
	}
	return u.Mechanisms
}
