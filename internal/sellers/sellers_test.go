package sellers

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// A seller is known by its secret, its address, or both, and by nothing else.
func TestFind(t *testing.T) {
	set, err := New(map[string]Settings{
		"secret":  {Secret: "0123456789abcdef"},
		"file":    {SecretFile: write(t, "new-secret-of-file\nold-secret-of-file\n", 0o600)},
		"both":    {Secret: "secret-and-address", Addresses: []string{"192.0.2.0/24"}},
		"address": {Addresses: []string{"198.51.100.7", "2001:db8::/32"}},
		"range":   {Addresses: []string{"203.0.113.9/25"}},
	}, "USD")
	if err != nil {
		t.Fatal(err)
	}
	f := func(secret, from, want string) {
		t.Helper()
		var address netip.Addr // of a connection that has none
		if from != "" {
			address = netip.MustParseAddr(from)
		}
		got := ""
		if seller := set.Find([]byte(secret), address); seller != nil {
			got = seller.Name
		}
		if got != want {
			t.Errorf("secret %q from %s: %q, want %q", secret, from, got, want)
		}
	}
	f("0123456789abcdef", "192.0.2.1", "secret")
	f("0123456789abcdef", "", "secret")
	f("0123456789abcde", "192.0.2.1", "")
	f("0123456789abcdef0", "192.0.2.1", "")
	f("0123456789ABCDEF", "192.0.2.1", "")
	f("0123456789abcdef/", "192.0.2.1", "")
	f("new-secret-of-file", "192.0.2.1", "file")
	f("old-secret-of-file", "192.0.2.1", "file")
	f("secret-and-address", "192.0.2.77", "both")
	f("secret-and-address", "::ffff:192.0.2.77", "both")
	f("secret-and-address", "192.0.3.1", "")
	f("secret-and-address", "", "")
	f("", "192.0.2.77", "") // the address alone is not enough
	f("", "198.51.100.7", "address")
	f("", "198.51.100.8", "")
	f("", "2001:db8:1::1", "address")
	f("", "2001:db9::1", "")
	f("", "203.0.113.127", "range")
	f("", "203.0.113.128", "")
	f("", "", "")
	f("address", "198.51.100.7", "") // a name is no secret
	f(strings.Repeat("x", 5000), "198.51.100.7", "")
	if s := set.Named("nobody"); s.Billing != BillingURL || s.NoticeTime != 3*time.Hour {
		t.Errorf("the terms of a seller that is gone: %+v", s)
	}
}

func TestFaults(t *testing.T) {
	f := func(name string, s Settings, want ...string) {
		t.Helper()
		set, err := New(map[string]Settings{name: s}, "USD")
		if err == nil || set != nil {
			t.Errorf("%s: no error", want)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), "sellers."+name) || !strings.Contains(err.Error(), w) {
				t.Errorf("%v lacks %q", err, w)
			}
		}
		if strings.Contains(fmt.Sprintf("%v %+v %#v %s", err, s, s, err), "hush") {
			t.Errorf("the secret is shown: %v %+v", err, s)
		}
	}
	known := []string{"192.0.2.1"}
	f("s", Settings{}, "nothing says how it is known")
	f("a b", Settings{Addresses: known}, "letters, digits")
	f(strings.Repeat("n", 65), Settings{Addresses: known}, "1 to 64")
	f("s", Settings{Secret: "hush"}, ".secret: a secret has 4 characters")
	f("s", Settings{Secret: "hush-hush-hush-hush/x"}, "only letters")
	f("s", Settings{Secret: "hush-hush-hush-hush", SecretFile: "x"}, "keep one")
	f("s", Settings{SecretFile: "/nowhere/at/all"}, "secret_file: cannot read")
	f("s", Settings{SecretFile: write(t, "", 0o600)}, "holds 0 secrets")
	f("s", Settings{SecretFile: write(t, "hush\n", 0o600)}, "4 characters")
	f("s", Settings{SecretFile: write(t, "0123456789abcdef\n", 0o644)}, "chmod 600")
	f("s", Settings{Addresses: []string{"192.0.2"}}, `"192.0.2" is no address`)
	f("s", Settings{Addresses: []string{"192.0.2.0/33"}}, "is no address")
	f("s", Settings{Addresses: known, Version: "3.0"}, "neither 2.5 nor 2.6")
	f("s", Settings{Addresses: known, AuctionTypes: map[int]int{3: 4}}, "auction_types")
	f("s", Settings{Addresses: known, Billing: "lurl"}, "none of burl, nurl, impression")
	f("s", Settings{Addresses: known, NoticeTime: 25 * time.Hour}, "notice_time")
	f("s", Settings{Addresses: known, Price: PriceSettings{Form: "rot13"}}, "none of plain, google, openx")
	f("s", Settings{Addresses: known, Price: PriceSettings{Form: Google}}, "keys_file: is empty")
	f("s", Settings{Addresses: known, Price: PriceSettings{KeysFile: "x"}}, "plain prices need no keys")
	f("s", Settings{Addresses: known, Price: PriceSettings{Form: OpenX, KeysFile: write(t, "one\n", 0o600)}}, "has 1 lines")
	f("s", Settings{Addresses: known, Price: PriceSettings{Form: OpenX, KeysFile: write(t, "hush\nhush\n", 0o600)}}, "is no key")
	f("s", Settings{Addresses: known, Price: PriceSettings{Currency: "eur", Rate: 1}}, "not an ISO 4217")
	f("s", Settings{Addresses: known, Price: PriceSettings{Currency: "EUR"}}, "how many USD one EUR is")
	f("s", Settings{Addresses: known, Price: PriceSettings{Rate: 2}}, "prices are in the campaigns' currency USD")
	f("s", Settings{Addresses: known, Macros: Macros{Price: "<p>"}}, "escaping")
	f("s", Settings{Addresses: known, Macros: Macros{Markup: map[string]string{"": "x"}}}, "is empty")
	_, err := New(map[string]Settings{
		"a": {Secret: "hush-hush-hush-hush"}, "b": {Secret: "hush-hush-hush-hush"},
		"c": {Addresses: []string{"192.0.2.0/24"}}, "d": {Addresses: []string{"::ffff:192.0.2.9/128"}},
	}, "USD")
	for _, want := range []string{"sellers.b.secret: is also that of a", "sellers.d.addresses: 192.0.2.9/32 is also an address of c"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}

// Keys are read as exchanges hand them out.
func TestKeys(t *testing.T) {
	for _, key := range []string{
		strings.Repeat("0f", 32), "skU7Ax_NL5pPAFyKdkfZjZz2-VhIN8bjj1rVFOaJ_5o=", "skU7Ax/NL5pPAFyKdkfZjZz2+VhIN8bjj1rVFOaJ/5o", "skU7Ax/NL5pPAFyKdkfZjZz2+VhIN8bjj1rVFOaJ/5o=",
	} {
		if k, err := readKey(key); err != nil || len(k) != 32 {
			t.Errorf("%s: %d bytes, %v", key, len(k), err)
		}
	}
}

// Prices by the scheme of Google and OpenX: what they are commonly tested with.
func TestDecrypt(t *testing.T) {
	encryption, _ := readKey("skU7Ax_NL5pPAFyKdkfZjZz2-VhIN8bjj1rVFOaJ_5o=")
	integrity, _ := readKey("arO23ykdNqUQ5LEoQ0FVmPkBd7xB5CO89PDZlSjpFxo=")
	f := func(text string, want uint64, wantOK bool) {
		t.Helper()
		if got, ok := decrypt(text, encryption, integrity); got != want || ok != wantOK {
			t.Errorf("%s: %d, %v, want %d, %v", text, got, ok, want, wantOK)
		}
	}
	f("YWJjMTIzZGVmNDU2Z2hpN7fhCuPemCce_6msaw", 100, true)
	f("YWJjMTIzZGVmNDU2Z2hpN7fhCuPemCAWJRxOgA", 1900, true)
	f("YWJjMTIzZGVmNDU2Z2hpN7fhCuPemC32prpWWw", 2700, true)
	f("YWJjMTIzZGVmNDU2Z2hpN7fhCuPemC32prpWWw==", 2700, true)
	f("YWJjMTIzZGVmNDU2Z2hpN7fhCuPemC32prpWXw", 0, false)
	f("", 0, false)
	f("${AUCTION_PRICE}", 0, false)
	f(strings.Repeat("A", 38), 0, false)
	f(strings.Repeat("*", 38), 0, false)
}

func TestAuctionType(t *testing.T) {
	s := Seller{AuctionTypes: map[int]int{3: 1, 500: 2}}
	for at, want := range map[int]int{1: 1, 2: 2, 3: 1, 500: 2, 0: 0} {
		if got := s.AuctionType(at); got != want {
			t.Errorf("at %d means %d, want %d", at, got, want)
		}
	}
}

func FuzzPrice(f *testing.F) {
	plain, google := (&Settings{}).seller("p"), (&Settings{Price: PriceSettings{Form: Google}}).seller("g")
	for _, text := range []string{"1.25", "", "1e30", "YWJjMTIzZGVmNDU2Z2hpN7fhCuPemC32prpWWw"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range []*Seller{plain, google} {
			if price, ok := s.Price(text); ok && (price < 0 || price > mostCPM*1000) || !ok && price != 0 {
				t.Errorf("%q: %d, %v", text, price, ok)
			}
		}
	})
}
