package notices

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gavel/internal/events"
	"gavel/internal/events/eventstest"
)

func testKeys(t testing.TB) *Keyring {
	t.Helper()
	k, err := OpenKeyring(filepath.Join(t.TempDir(), "secrets", "keys"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var testClaims = Claims{
	Bid: "0123456789abcdefghijkl", Campaign: "c-1", Creative: "cr-1", Exchange: "default",
	MaxPrice: 1234, Issued: time.Unix(1_770_000_000, 0),
}

func TestToken(t *testing.T) {
	k := testKeys(t)
	kinds := []events.Type{events.TypeWin, events.TypeBilling, events.TypeLoss, events.TypeImpression, events.TypeClick, events.TypeConversion}
	for _, kind := range kinds {
		token, err := k.Token(kind, &testClaims)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Errorf("token %q needs escaping", token)
		}
		for _, as := range kinds {
			got, err := k.Verify(as, token, testClaims.Issued.Add(time.Minute), time.Minute)
			if as == kind && (err != nil || got != testClaims) {
				t.Errorf("%s: %+v, %v", kind, got, err)
			}
			if as != kind && !errors.Is(err, errTokenForged) {
				t.Errorf("a token for %s taken for %s: %v", kind, as, err)
			}
		}
		if _, err := k.Verify(kind, token, testClaims.Issued.Add(61*time.Second), time.Minute); !errors.Is(err, errTokenExpired) {
			t.Errorf("%s after its time: %v", kind, err)
		}
	}
}

// A test's token, and one for a quantity, say so; the others are as short as before.
func TestTokenOfTestAndQuantity(t *testing.T) {
	k := testKeys(t)
	for _, c := range []Claims{testClaims, {Bid: "b", Test: true}, {Bid: "b", Quantity: 30.3}, {Bid: "b", Quantity: 0.001, Test: true}} {
		c.Issued = testClaims.Issued
		token, err := k.Token(events.TypeBilling, &c)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.Verify(events.TypeBilling, token, c.Issued, time.Hour); err != nil || got != c {
			t.Errorf("%+v, %v, want %+v", got, err, c)
		}
	}
}

// No token that differs in a bit is believed.
func TestTokenForged(t *testing.T) {
	k := testKeys(t)
	token, err := k.Token(events.TypeBilling, &testClaims)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for bit := range 8 {
			raw[i] ^= 1 << bit
			if _, err := k.Verify(events.TypeBilling, base64.RawURLEncoding.EncodeToString(raw), testClaims.Issued, time.Hour); !errors.Is(err, ErrBadToken) {
				t.Fatalf("byte %d bit %d: %v", i, bit, err)
			}
			raw[i] ^= 1 << bit
		}
	}
	for n := range token {
		if _, err := k.Verify(events.TypeBilling, token[:n], testClaims.Issued, time.Hour); !errors.Is(err, ErrBadToken) {
			t.Fatalf("cut off at %d: %v", n, err)
		}
	}
	for _, s := range []string{token + "A", token + "=", " " + token, strings.Repeat("A", 10_000), "é", testToken(t, testKeys(t))} {
		if _, err := k.Verify(events.TypeBilling, s, testClaims.Issued, time.Hour); !errors.Is(err, ErrBadToken) {
			t.Errorf("%.20q: %v", s, err)
		}
	}
}

func testToken(t *testing.T, k *Keyring) string {
	t.Helper()
	s, err := k.Token(events.TypeBilling, &testClaims)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestKeyring(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "keys")
	k, err := OpenKeyring(path)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", st.Mode(), err)
	}
	other, err := OpenKeyring(path) // another process
	if err != nil {
		t.Fatal(err)
	}
	first := testToken(t, k)
	ok := func(k *Keyring, token string, want bool) {
		t.Helper()
		if _, err := k.Verify(events.TypeBilling, token, testClaims.Issued, time.Hour); (err == nil) != want {
			t.Errorf("believed: %v, want %v", err == nil, want)
		}
	}
	ok(other, first, true)
	if err := k.Rotate(); err != nil {
		t.Fatal(err)
	}
	second := testToken(t, k)
	ok(k, first, true)
	ok(k, second, true)
	ok(other, second, false)
	if err := other.Reload(); err != nil {
		t.Fatal(err)
	}
	ok(other, second, true)
	if err := k.Rotate(); err != nil {
		t.Fatal(err)
	}
	ok(k, first, false)
	ok(k, second, true)

	for text, why := range map[string]string{"xyz\n": "not 64 hex digits", "": "holds 0 keys", strings.Repeat(strings.Repeat("ab", 32)+"\n", 3): "holds 3 keys", strings.Repeat("a", 5000): "no key file"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := k.Reload(); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%.10q: %v", text, err)
		}
	}
	ok(k, second, true) // the keys stay
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeyring(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is a directory: name a file") {
		t.Errorf("a directory for the keys: %v", err)
	}
	if _, err := OpenKeyring(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others read: %v", err)
	}
}

func TestLinks(t *testing.T) {
	k := testKeys(t)
	now := time.Unix(1_770_000_000, 0)
	l, err := NewLinker("https://bid.example.com/x/", k, testSellers(t))
	if err != nil {
		t.Fatal(err)
	}
	req := eventstest.Request()
	bid := eventstest.Bid(req)
	bid.Made = now
	links := l.Links(req, bid)
	f := func(kind events.Type, link, tail string) {
		t.Helper()
		rest, ok := strings.CutPrefix(link, "https://bid.example.com/x/n/"+string(kind)+"?t=")
		token, ok2 := strings.CutSuffix(rest, tail)
		if !ok || !ok2 {
			t.Errorf("link %q", link)
		}
		c, err := k.Verify(kind, token, now, time.Hour)
		want := Claims{Bid: bid.ID, Campaign: "c-1", Creative: "cr-1", Exchange: "default", MaxPrice: 1234, Issued: now}
		if err != nil || c != want {
			t.Errorf("%s: %+v, %v", kind, c, err)
		}
	}
	f(events.TypeWin, links.Win, "&p=${AUCTION_PRICE}")
	f(events.TypeBilling, links.Billing, "&p=${AUCTION_PRICE}")
	f(events.TypeLoss, links.Loss, "&p=${AUCTION_PRICE}&r=${AUCTION_LOSS}")
	f(events.TypeImpression, links.Impression, "")
	f(events.TypeClick, links.Click, "")
	bid.ID = strings.Repeat("x", 256)
	if got := l.Links(req, bid); got != (Links{}) {
		t.Errorf("an id that cannot be signed gives %+v", got)
	}
	for _, base := range []string{"", "bid.example.com", "ftp://x", "http://x/?a=b", "http://u:p@x", "http://x/<a>", "http://x/#f"} {
		if _, err := NewLinker(base, k, testSellers(t)); err == nil {
			t.Errorf("base %q: no error", base)
		}
	}
}

func BenchmarkLinks(b *testing.B) {
	l, err := NewLinker("https://bid.example.com", testKeys(b), testSellers(b))
	if err != nil {
		b.Fatal(err)
	}
	req := eventstest.Request()
	bid := eventstest.Bid(req)
	b.ReportAllocs()
	var links Links
	for b.Loop() {
		links = l.Links(req, bid)
	}
	b.ReportMetric(float64(len(links.Click)), "bytes/link")
}

func BenchmarkVerify(b *testing.B) {
	k := testKeys(b)
	token, err := k.Token(events.TypeBilling, &testClaims)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Verify(events.TypeBilling, token, testClaims.Issued, time.Hour); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	k := testKeys(f)
	token, err := k.Token(events.TypeBilling, &testClaims)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := k.Verify(events.TypeBilling, s, testClaims.Issued, time.Hour); err == nil && c != testClaims {
			t.Fatalf("a token of ours for %+v", c)
		}
	})
}
