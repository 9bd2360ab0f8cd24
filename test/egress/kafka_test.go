package egress_test

import (
	"encoding/binary"
	"io"
	"net"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"dialtone/internal/probe"
)

// serveKafka is a broker without logins, the first of a cluster whose other one
// is elsewhere.
func serveKafka(conn net.Conn, to *probe.Address) {
	for {
		request, correlation := readKafka(conn)
		var response kmsg.Response
		switch request := request.(type) {
		case *kmsg.ApiVersionsRequest:
			response = kafkaVersions(request.Version)
		case *kmsg.MetadataRequest:
			response = kafkaBrokers(request.Version, conn, to)
		default:
			return
		}
		if _, err := conn.Write(frameKafka(response, correlation)); err != nil {
			return
		}
	}
}

func kafkaVersions(version int16) kmsg.Response {
	response := kmsg.NewPtrApiVersionsResponse()
	response.Version = version
	for key, newest := range map[kmsg.Key]int16{kmsg.ApiVersions: 4, kmsg.Metadata: 12} {
		response.ApiKeys = append(response.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: int16(key), MaxVersion: newest})
	}
	return response
}

func kafkaBrokers(version int16, conn net.Conn, to *probe.Address) kmsg.Response {
	response := kmsg.NewPtrMetadataResponse()
	response.Version, response.ClusterID = version, new("test")
	here, _ := strconv.Atoi(port(conn))
	response.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 1, Host: "127.0.0.1", Port: int32(here)}}
	if to != nil {
		response.Brokers = append(response.Brokers, kmsg.MetadataResponseBroker{NodeID: 2, Host: to.Host, Port: int32(to.Port)})
	}
	return response
}

// readKafka reads a request; nil when there is none.
func readKafka(conn net.Conn) (kmsg.Request, uint32) {
	var size uint32
	if binary.Read(conn, binary.BigEndian, &size) != nil || size < 10 || size > 1<<16 {
		return nil, 0
	}
	frame := make([]byte, size)
	if _, err := io.ReadFull(conn, frame); err != nil {
		return nil, 0
	}
	request := kmsg.RequestForKey(int16(binary.BigEndian.Uint16(frame)))
	rest := frame[10:]
	client := int(binary.BigEndian.Uint16(frame[8:])) // how long its name is
	if request == nil || client > len(rest) {
		return nil, 0
	}
	rest = rest[client:]
	request.SetVersion(int16(binary.BigEndian.Uint16(frame[2:])))
	if request.IsFlexible() { // an empty list of tags ends the header
		if len(rest) == 0 {
			return nil, 0
		}
		rest = rest[1:]
	}
	if request.ReadFrom(rest) != nil {
		return nil, 0
	}
	return request, binary.BigEndian.Uint32(frame[4:])
}

func frameKafka(response kmsg.Response, correlation uint32) []byte {
	body := binary.BigEndian.AppendUint32(nil, correlation)
	if response.IsFlexible() && response.Key() != int16(kmsg.ApiVersions) {
		body = append(body, 0)
	}
	body = response.AppendTo(body)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}
