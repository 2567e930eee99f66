package redis

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// fernetKey encrypts and signs as Fernet does, with keys that upstream derives
// from the SHA-256 of what is configured.
type fernetKey struct {
	sign  []byte       // of HMAC-SHA256
	block cipher.Block // AES-128
}

func newFernetKey(key string) fernetKey {
	k := sha256.Sum256([]byte(key))
	block, err := aes.NewCipher(k[16:])
	if err != nil {
		panic(err) // only for a wrong length
	}
	return fernetKey{sign: k[:16], block: block}
}

const (
	fernetVersion = 0x80
	fernetHead    = 1 + 8 + aes.BlockSize // version, seconds since 1970, initial vector
)

// seal is the token of body: padded base64url of head, ciphertext and HMAC.
func (k fernetKey) seal(body []byte, at time.Time, iv [16]byte) []byte {
	pad := aes.BlockSize - len(body)%aes.BlockSize
	raw := make([]byte, fernetHead, fernetHead+len(body)+pad+sha256.Size)
	raw[0] = fernetVersion
	binary.BigEndian.PutUint64(raw[1:], uint64(at.Unix()))
	copy(raw[9:], iv[:])
	raw = append(raw, body...)
	raw = append(raw, bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(k.block, iv[:]).CryptBlocks(raw[fernetHead:], raw[fernetHead:])
	raw = k.mac(raw, raw)
	token := make([]byte, base64.URLEncoding.EncodedLen(len(raw)))
	base64.URLEncoding.Encode(token, raw)
	return token
}

// open is the reverse; at is when the token was made, by its maker's clock. It
// is not ok when the key is another, or the token was tampered with.
func (k fernetKey) open(token []byte) (body []byte, at time.Time, ok bool) {
	raw := make([]byte, base64.URLEncoding.DecodedLen(len(token)))
	n, err := base64.URLEncoding.Decode(raw, token)
	cut := n - sha256.Size
	if err != nil || cut < fernetHead+aes.BlockSize || (cut-fernetHead)%aes.BlockSize != 0 || raw[0] != fernetVersion {
		return nil, time.Time{}, false
	}
	if !hmac.Equal(k.mac(nil, raw[:cut]), raw[cut:n]) {
		return nil, time.Time{}, false
	}
	body = raw[fernetHead:cut]
	cipher.NewCBCDecrypter(k.block, raw[9:fernetHead]).CryptBlocks(body, body)
	pad := int(body[len(body)-1])
	if pad < 1 || pad > aes.BlockSize || !bytes.Equal(body[len(body)-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, time.Time{}, false
	}
	return body[:len(body)-pad], time.Unix(int64(binary.BigEndian.Uint64(raw[1:])), 0), true
}

// mac appends the HMAC of text to b.
func (k fernetKey) mac(b, text []byte) []byte {
	h := hmac.New(sha256.New, k.sign)
	h.Write(text)
	return h.Sum(b)
}
