package config

import (
	"os"
	"strings"
	"testing"
)

// mislaid are addresses with the password leakpw or sec%ret, as people write them
// and put them where others belong.
var mislaid = []string{
	"postgres://teahouse:leakpw@db/tea",
	"postgres://127.0.0.1:25433/db?user=teahouse&password=leakpw",
	"postgres://127.0.0.1/db?user=teahouse&sslpassword=leakpw",
	"postgres://teahouse:leakpw",
	"postgres://teahouse:leakpw@[::1/db",
	"postgres://teahouse:sec%ret@host/db",
	"postgres://teahouse:leakpw@host:port/db",
	"host=127.0.0.1 password=leakpw dbname=teahouse",
	"host=127.0.0.1 password=leakpw postgres://h/d",
	"dbname=x password=leakpw",
	"dbname=x password = 'leakpw'",
	"teahouse/leakpw@127.0.0.1/db",
	"teahouse:leakpw@127.0.0.1/db",
	"leakpw@127.0.0.1/db",
	"jdbc:postgresql://127.0.0.1/db?user=a&password=leakpw",
	"mysql://teahouse:leakpw@db/x",
	"amqp://:leakpw@db",
	"redis:leakpw@db:6379",
	"redis://:leakpw@db:port",
	"redis://:leakpw?@db",
	"nats://me:leakpw@queue:port",
	"nats://me:leakpw@",
	"https://me:leakpw@chat.example",
}

func TestNoErrorTellsAPasswordWhereverAnAddressIsPut(t *testing.T) {
	file := write(t, "")
	load := func(args, env []string) error {
		t.Helper()
		_, err := Load(args, env)
		if err != nil && (strings.Contains(err.Error(), "leakpw") || strings.Contains(err.Error(), "sec%ret")) {
			t.Errorf("the password is shown: %v", err)
		}
		return err
	}
	for _, address := range mislaid {
		for _, args := range [][]string{{address}, {"--" + address}, {"--=" + address}, {"---" + address}, {"--store", "sqlite:x", address}, {"--config", address}} {
			if load(args, nil) == nil {
				t.Errorf("%q was accepted", args)
			}
		}
		_ = load(nil, []string{"TEAHOUSE_" + address})
		_ = load(nil, []string{"TEAHOUSE_STORE " + address})
		for _, s := range settings {
			_ = load([]string{"--" + s.name + "=" + address}, nil)
			_ = load(nil, []string{s.env() + "=" + address})
			for _, line := range []string{s.name + ` = "` + address + `"`, s.name + " = " + address, s.name + ` = ["` + address + `"]`, `"` + address + `" = 1`} {
				if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
					t.Fatal(err)
				}
				_ = load([]string{"--config", file}, nil)
			}
		}
	}
}

func TestAWordIsQuotedAndAnAddressIsNot(t *testing.T) {
	for v, want := range map[string]string{
		"loud": `"loud"`, "": `""`, "9000": `"9000"`, "a\nb": `"a\nb"`, "10.0.0.1/8": `"10.0.0.1/8"`,
		"postgres://a:b@c/d": `"postgres://…"`, "redis+pubsub://c": `"redis+pubsub://…"`, "a@b": `"…"`, "a=b": `"…"`,
		"a b://c": `"…"`, "://c": `"…"`, strings.Repeat("ä", 40): `"` + strings.Repeat("ä", 32) + `…"`,
	} {
		if got := Quote(v); got != want {
			t.Errorf("Quote(%q) = %s, want %s", v, got, want)
		}
	}
}
