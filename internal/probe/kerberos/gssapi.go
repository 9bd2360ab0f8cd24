package kerberos

import (
	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana"
	"github.com/jcmturner/gokrb5/v8/iana/chksumtype"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// grantingRequest is a request that shows the ticket-granting ticket.
func (l *login) grantingRequest(body messages.KDCReqBody, granting messages.Ticket, key types.EncryptionKey) ([]byte, error) {
	plain, err := body.Marshal()
	if err != nil {
		return nil, err
	}
	cipher, err := crypto.GetEtype(key.KeyType)
	if err != nil {
		return nil, ErrMalformed
	}
	sum, err := cipher.GetChecksumHash(key.KeyValue, plain, keyusage.TGS_REQ_PA_TGS_REQ_AP_REQ_AUTHENTICATOR_CHKSUM)
	if err != nil {
		return nil, ErrMalformed
	}
	shown, err := show(granting, key, l.Realm, l.client, types.Checksum{CksumType: cipher.GetHashID(), Checksum: sum})
	if err != nil {
		return nil, err
	}
	ask := messages.TGSReq{KDCReqFields: messages.KDCReqFields{PVNO: iana.PVNO, MsgType: msgtype.KRB_TGS_REQ, ReqBody: body}}
	ask.PAData = types.PADataSequence{{PADataType: patype.PA_TGS_REQ, PADataValue: shown}}
	return ask.Marshal()
}

// show is the message that shows a ticket and proves that its key is known
// (KRB_AP_REQ; RFC 4120, 3.2).
func show(ticket messages.Ticket, key types.EncryptionKey, realm string, client types.PrincipalName, sum types.Checksum) ([]byte, error) {
	auth, err := types.NewAuthenticator(realm, client)
	if err != nil {
		return nil, err
	}
	auth.Cksum = sum
	message, err := messages.NewAPReq(ticket, key, auth)
	if err != nil {
		return nil, ErrMalformed
	}
	return message.Marshal()
}

// The flags of a GSSAPI context (RFC 4121, 4.1.1.1), the only two that the
// layer negotiation needs.
const contextFlags = gssapi.ContextFlagConf | gssapi.ContextFlagInteg

// Token is the initial token of a GSSAPI context with the service (RFC 4121,
// 4.1). The service is not asked to prove itself: nothing that it could keep is
// sent to it.
func (t *Ticket) Token() ([]byte, error) {
	// Length of the channel binding, no binding, flags; little-endian.
	sum := []byte{0: 16, 20: contextFlags, 23: 0}
	shown, err := show(t.ticket, t.key, t.realm, t.client, types.Checksum{CksumType: chksumtype.GSSAPI, Checksum: sum})
	if err != nil {
		return nil, err
	}
	oid, err := asn1.Marshal(gssapi.OIDKRB5.OID())
	if err != nil {
		return nil, err
	}
	const apReq = "\x01\x00" // the kind of token (RFC 4121, 4.1)
	return asn1tools.AddASNAppTag(append(append(oid, apReq...), shown...), 0), nil
}

// noLayer in the first byte of the negotiation stands for a connection that
// GSSAPI neither signs nor encrypts (RFC 4752, 3.1), the only kind that
// Kafka has.
const noLayer = 1

// Layer answers the service's offer of security layers: none is wanted, and
// the user's own name is used. The error is ErrMalformed.
func (t *Ticket) Layer(offer []byte) ([]byte, error) {
	var wrapped gssapi.WrapToken
	if wrapped.Unmarshal(offer, true) != nil {
		return nil, ErrMalformed
	}
	genuine, err := wrapped.Verify(t.key, keyusage.GSSAPI_ACCEPTOR_SEAL)
	if err != nil || !genuine || len(wrapped.Payload) != 4 || wrapped.Payload[0]&noLayer == 0 {
		return nil, ErrMalformed
	}
	answer, err := gssapi.NewInitiatorWrapToken([]byte{noLayer, 0, 0, 0}, t.key)
	if err != nil {
		return nil, ErrMalformed
	}
	return answer.Marshal()
}
