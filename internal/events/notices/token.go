package notices

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math"
	"sync"
	"time"

	"gavel/internal/auction"
	"gavel/internal/events"
)

// Claims is the content of a token about a bid. Only the holder of the key can make one.
type Claims struct {
	Bid      string
	Campaign string
	Creative string
	Exchange string
	MaxPrice auction.Micros // the bid's price for one impression; what exceeds it is never booked
	Quantity float64        // impressions that one display counts for, in thousandths; 0 means 1
	Test     bool           // nothing is booked or published
	Issued   time.Time      // when the bid was made, in whole seconds
}

// A token is base64url(payload ‖ mac). The payload is one for all notices of a bid:
//
//	format (1 byte) ‖ key id (1 byte) ‖ issued (uvarint s) ‖ max price (uvarint) ‖ [quantity (uvarint, thousandths)] ‖
//	bid ‖ campaign ‖ creative ‖ exchange
//
// with each string's length (1 byte) before it. The format is 1, plus formatTest for a test and formatQuantity if there is
// a quantity. The mac covers the kind of notice: it is the first 16 bytes of
// SHA-256(HMAC-SHA256(key, payload) ‖ kind). So one HMAC serves the five links of a bid. A person who sees the click link in
// a page cannot make the billing link from it.
const (
	tokenFormat    = 1
	formatTest     = 0x10
	formatQuantity = 0x20

	macBytes     = 16
	maxClaim     = 255
	maxTokenSize = 4 * (2 + 3*binary.MaxVarintLen64 + 4*(1+maxClaim) + macBytes + 2) / 3
)

// The reasons for refusing a token; all are ErrBadToken.
var (
	ErrBadToken     = errors.New("notices: token refused")
	errTokenForged  = fmt.Errorf("%w: its signature is not valid for this kind of notice", ErrBadToken)
	errTokenExpired = fmt.Errorf("%w: expired", ErrBadToken)
	errTokenBroken  = fmt.Errorf("%w: it is truncated or not a token", ErrBadToken)
)

var tokenEncoding = base64.RawURLEncoding.Strict()

type key struct {
	secret []byte
	id     byte      // first byte of SHA-256(secret): identifies the key without revealing it
	macs   sync.Pool // of hash.Hash, keyed and reset
}

func newKey(secret []byte) *key {
	sum := sha256.Sum256(secret)
	k := &key{secret: secret, id: sum[0]}
	k.macs.New = func() any { return hmac.New(sha256.New, secret) }
	return k
}

// root is HMAC-SHA256(key, payload), which never leaves the process.
func (k *key) root(payload []byte) (sum [sha256.Size]byte) {
	h := k.macs.Get().(hash.Hash)
	h.Write(payload)
	h.Sum(sum[:0])
	h.Reset()
	k.macs.Put(h)
	return sum
}

func kindMAC(root *[sha256.Size]byte, kind events.Type) [macBytes]byte {
	var b [sha256.Size + 16]byte
	n := copy(b[:], root[:])
	n += copy(b[n:], kind)
	sum := sha256.Sum256(b[:n])
	return [macBytes]byte(sum[:macBytes])
}

// signer signs tokens for one bid.
type signer struct {
	payload []byte
	root    [sha256.Size]byte
}

// sign starts the tokens of c. It uses buf for the payload if buf is large enough. A claim that is too long is an error. That
// is rare: the campaign file and the bidder keep ids short.
func (k *Keyring) sign(c *Claims, buf []byte) (signer, error) {
	key := (*k.keys.Load())[0]
	format, quantity := byte(tokenFormat), uint64(0)
	if c.Test {
		format |= formatTest
	}
	if c.Quantity != 0 && c.Quantity != 1 {
		format |= formatQuantity
		quantity = uint64(math.Round(math.Min(c.Quantity, auction.MostQuantity) * 1000))
	}
	b := append(buf[:0], format, key.id)
	b = binary.AppendUvarint(b, uint64(max(c.Issued.Unix(), 0)))
	b = binary.AppendUvarint(b, uint64(max(c.MaxPrice, 0)))
	if quantity != 0 {
		b = binary.AppendUvarint(b, quantity)
	}
	for _, s := range [...]string{c.Bid, c.Campaign, c.Creative, c.Exchange} {
		if len(s) > maxClaim {
			return signer{}, fmt.Errorf("notices: cannot sign a token: %.40q… has %d bytes, at most %d fit", s, len(s), maxClaim)
		}
		b = append(append(b, byte(len(s))), s...)
	}
	return signer{payload: b, root: key.root(b)}, nil
}

// append adds the token for kind to dst.
func (s *signer) append(dst []byte, kind events.Type) []byte {
	mac := kindMAC(&s.root, kind)
	n := len(s.payload)
	s.payload = append(s.payload, mac[:]...)
	dst = tokenEncoding.AppendEncode(dst, s.payload)
	s.payload = s.payload[:n]
	return dst
}

// Token returns a signed token for notices of kind.
func (k *Keyring) Token(kind events.Type, c *Claims) (string, error) {
	s, err := k.sign(c, make([]byte, 0, 256))
	if err != nil {
		return "", err
	}
	return string(s.append(nil, kind)), nil
}

// Verify returns the claims of a token for notices of kind. If the keyring's keys did not sign it for this kind, or it was
// issued longer than ttl before now, the error is ErrBadToken with the reason. A token issued after now is valid: the clock
// of the bidder that issued it may be ahead.
func (k *Keyring) Verify(kind events.Type, token string, now time.Time, ttl time.Duration) (Claims, error) {
	if len(token) > maxTokenSize {
		return Claims{}, errTokenBroken
	}
	var stack [384]byte
	raw, err := tokenEncoding.AppendDecode(stack[:0], []byte(token))
	if err != nil || len(raw) < 2+macBytes || raw[0]&^(formatTest|formatQuantity) != tokenFormat {
		return Claims{}, errTokenBroken
	}
	payload, mac := raw[:len(raw)-macBytes], raw[len(raw)-macBytes:]
	good := false
	for _, key := range *k.keys.Load() {
		if key.id != payload[1] {
			continue
		}
		root := key.root(payload)
		want := kindMAC(&root, kind)
		good = subtle.ConstantTimeCompare(want[:], mac) == 1 || good
	}
	if !good {
		return Claims{}, errTokenForged
	}
	c, ok := readClaims(payload[0], payload[2:])
	if !ok {
		return Claims{}, errTokenBroken
	}
	if now.Sub(c.Issued) > ttl {
		return c, errTokenExpired
	}
	return c, nil
}

func readClaims(format byte, b []byte) (c Claims, ok bool) {
	issued, n := binary.Uvarint(b)
	if n <= 0 {
		return c, false
	}
	b = b[n:]
	price, n := binary.Uvarint(b)
	if n <= 0 {
		return c, false
	}
	b = b[n:]
	c.Issued = time.Unix(int64(issued), 0)
	c.MaxPrice = auction.Micros(price)
	c.Test = format&formatTest != 0
	if format&formatQuantity != 0 {
		quantity, n := binary.Uvarint(b)
		if n <= 0 {
			return c, false
		}
		b = b[n:]
		c.Quantity = float64(quantity) / 1000
	}
	for _, s := range [...]*string{&c.Bid, &c.Campaign, &c.Creative, &c.Exchange} {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return c, false
		}
		n := 1 + int(b[0])
		*s = string(b[1:n])
		b = b[n:]
	}
	return c, len(b) == 0
}
