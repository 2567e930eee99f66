package limit

import "testing"

func TestAddressKeyIsTheSubscriber(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1":                         "192.0.2.1",
		"192.0.2.1:80":                      "192.0.2.1",
		"::ffff:192.0.2.1":                  "192.0.2.1",
		"[::ffff:192.0.2.1]:80":             "192.0.2.1",
		"2001:db8::1":                       "2001:db8::/64",
		"[2001:db8::1]":                     "2001:db8::/64",
		"[2001:db8:0:0:ffff::1]:80":         "2001:db8::/64",
		"2001:db8::/64":                     "2001:db8::/64",
		"fe80::1%eth0":                      "fe80::/64",
		"[fe80::1%eth0]:80":                 "fe80::/64",
		"::1":                               "::/64",
		"":                                  "",
		"pipe":                              "pipe",
		"@":                                 "@",
		string(make([]byte, 1000)):          string(make([]byte, 64)),
		"999.0.2.1:80":                      "999.0.2.1:80",
		"2001:db8:1:2:3:4:5:6:7:8:9:0:1:80": "2001:db8:1:2:3:4:5:6:7:8:9:0:1:80",
	} {
		if got := AddressKey(address); got != want {
			t.Errorf("AddressKey(%q) = %q, want %q", address, got, want)
		}
	}
}

// FuzzAddressKey checks that a key is bounded and is its own key.
func FuzzAddressKey(f *testing.F) {
	for _, s := range []string{"192.0.2.1:80", "[2001:db8::1%25eth0]:80", "10.0.0.0/8", "::/0", "[", "]:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		key := AddressKey(s)
		if len(key) > 64 {
			t.Errorf("AddressKey(%q) is %d bytes long", s, len(key))
		}
		if again := AddressKey(key); again != key {
			t.Errorf("AddressKey(%q) = %q, and that becomes %q", s, key, again)
		}
	})
}
