package kerberos

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"dialtone/internal/secret"
)

// MaxIterations is the most that a KDC may have us hash a password. The usual
// number is 4,096, or 32,768 for the newer ciphers.
const MaxIterations = 1_000_000

// Identity is who logs in: with the password, or without one by a keytab.
type Identity struct {
	// User is the principal without its realm.
	User     string
	Realm    string
	Password secret.Text
	Keytab   *Keytab
}

// Keytab holds keys in the place of passwords.
type Keytab struct{ keys *keytab.Keytab }

// ParseKeytab reads the content of a keytab file.
func ParseKeytab(content []byte) (_ *Keytab, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("not a keytab")
		}
	}()
	k := &Keytab{keys: keytab.New()}
	if err := k.keys.Unmarshal(content); err != nil {
		return nil, fmt.Errorf("not a keytab: %w", err)
	}
	return k, nil
}

// ciphers are those that we know and that are not broken (RFC 3962, RFC 8009),
// the usual ones first.
func ciphers() []int32 {
	return []int32{
		etypeID.AES256_CTS_HMAC_SHA1_96, etypeID.AES128_CTS_HMAC_SHA1_96,
		etypeID.AES256_CTS_HMAC_SHA384_192, etypeID.AES128_CTS_HMAC_SHA256_128,
	}
}

// byKeytab says whether the keytab is what we have.
func (id Identity) byKeytab() bool { return !id.Password.IsSet() && id.Keytab != nil }

// encryptions are the ciphers that we can use: with a keytab, those of its keys.
func (id Identity) encryptions() []int32 {
	if !id.byKeytab() {
		return ciphers()
	}
	name := types.NewPrincipalName(0, id.User)
	return slices.DeleteFunc(ciphers(), func(etype int32) bool {
		_, _, err := id.Keytab.keys.GetEncryptionKey(name, id.Realm, 0, etype)
		return err != nil
	})
}

// key is the user's long-term key for a cipher. The hints are the KDC's: salt
// and iterations for a password.
func (l *login) key(hints types.PADataSequence, etype int32) (types.EncryptionKey, error) {
	if !slices.Contains(ciphers(), etype) {
		return types.EncryptionKey{}, &RefusedError{Code: NoCommonEncryption}
	}
	if l.byKeytab() {
		key, _, err := l.Keytab.keys.GetEncryptionKey(l.client, l.Realm, 0, etype)
		if err != nil {
			return key, ErrNoKey
		}
		return key, nil
	}
	cipher, err := crypto.GetEtype(etype)
	if err != nil {
		return types.EncryptionKey{}, &RefusedError{Code: NoCommonEncryption}
	}
	salt, rounds := l.client.GetSalt(l.Realm), cipher.GetDefaultStringToKeyParams()
	for _, entry := range passwordHints(hints) {
		if entry.EType != etype {
			continue
		}
		salt = entry.Salt
		if len(entry.S2KParams) > 0 {
			rounds = hex.EncodeToString(entry.S2KParams)
			// Zero stands for 2^32 (RFC 3962, 4).
			if n := iterations(entry.S2KParams); n == 0 || n > MaxIterations {
				return types.EncryptionKey{}, ErrIterations
			}
		}
		break
	}
	// What was derived for the proof opens the answer: once is enough.
	from := derivation{etype, salt, rounds}
	if l.derived.KeyValue == nil || l.from != from {
		value, err := cipher.StringToKey(l.Password.Reveal(), salt, rounds)
		if err != nil {
			return types.EncryptionKey{}, ErrMalformed
		}
		l.from, l.derived = from, types.EncryptionKey{KeyType: etype, KeyValue: value}
	}
	return l.derived, nil
}

// derivation is what a key depends on beside the password.
type derivation struct {
	etype        int32
	salt, rounds string
}

func iterations(params []byte) uint32 {
	if len(params) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(params)
}

// passwordHints finds salt and iterations for each cipher (RFC 4120, 5.2.7.5).
func passwordHints(hints types.PADataSequence) types.ETypeInfo2 {
	for _, hint := range hints {
		if hint.PADataType != patype.PA_ETYPE_INFO2 {
			continue
		}
		if info, err := hint.GetETypeInfo2(); err == nil {
			return info
		}
	}
	return nil
}

// proof shows that the key is known: the time, encrypted with it (RFC 4120,
// 5.2.7.2). The KDC's hints say with which cipher.
func (l *login) proof(hints types.PADataSequence) (types.PADataSequence, error) {
	able, etype := l.encryptions(), int32(0)
	for _, entry := range passwordHints(hints) {
		if slices.Contains(able, entry.EType) {
			etype = entry.EType
			break
		}
	}
	if etype == 0 {
		return nil, &RefusedError{Code: NoCommonEncryption}
	}
	key, err := l.key(hints, etype)
	if err != nil {
		return nil, err
	}
	now, err := types.GetPAEncTSEncAsnMarshalled()
	if err != nil {
		return nil, err
	}
	sealed, err := crypto.GetEncryptedData(now, key, keyusage.AS_REQ_PA_ENC_TIMESTAMP, 0)
	if err != nil {
		return nil, err
	}
	value, err := sealed.Marshal()
	if err != nil {
		return nil, err
	}
	return types.PADataSequence{{PADataType: patype.PA_ENC_TIMESTAMP, PADataValue: value}}, nil
}

// decrypt opens the secret part of a KDC's answer.
func decrypt(sealed types.EncryptedData, key types.EncryptionKey, usage uint32) (messages.EncKDCRepPart, error) {
	var part messages.EncKDCRepPart
	open, err := crypto.DecryptEncPart(sealed, key, usage)
	if err != nil {
		return part, ErrPassword
	}
	if part.Unmarshal(open) != nil {
		return part, ErrMalformed
	}
	return part, nil
}
