package hostile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/e2e/socket"
	"github.com/teahouse-chat/teahouse/wire"
)

// wantError sends a frame and fails unless the next frame that is an answer is
// an error with the code ("any" for one of any kind), and the socket lives.
func wantError(t *testing.T, g *guest.Guest, text, code string) wire.ErrorFrame {
	t.Helper()
	if err := g.SendText(text); err != nil {
		t.Fatal(err)
	}
	e, err := guest.Await[wire.ErrorFrame](g)
	if err != nil {
		t.Fatal(err)
	}
	if code != "any" && e.Code != code || e.Code == "" || e.Message == "" {
		t.Errorf("got %+v, want code %s", e, code)
	}
	wantAlive(t, g)
	return e
}

type envelopeRow struct{ name, frame, want string }

func envelopeRows() []envelopeRow {
	rows := []envelopeRow{
		{"A75 not JSON", `hello`, "bad_json"},
		{"A75 two JSON values", `{"type":"ping"}{"type":"ping"}`, "bad_json"},
		{"A75 a comma at the end", `{"type":"ping",}`, "bad_json"},
		{"A75 NaN", `{"type":"history","room":"a","limit":NaN}`, "bad_json"},
		{"A76 an empty frame", ``, "bad_json"},
		{"A77 an array", `[1]`, "bad_envelope"},
		{"A77 a number", `1`, "bad_envelope"},
		{"A77 a string", `"ping"`, "bad_envelope"},
		{"A77 null", `null`, "bad_envelope"},
		{"A77 an object without a type", `{}`, "bad_envelope"},
		{"A78 60,000 brackets", strings.Repeat("[", 60_000), "too_deep"},
		{"A78 20,000 objects", strings.Repeat(`{"":`, 10_000), "too_deep"},
		{"A78 deep below a known field", `{"type":"ping","x":` + strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000) + `}`, "too_deep"},
		{"A79 a key twice", `{"type":"ping","type":"ping"}`, "any"},
		{"A79 a key twice, escaped", `{"type":"ping","\u0074ype":"ping"}`, "any"},
		{"A79 a key twice, nested", `{"type":"ping","x":{"a":1,"a":2}}`, "any"},
		{"A80 an unknown type", `{"type":"drop_tables","ref":"r"}`, "unknown_type"},
		{"A80 an empty type", `{"type":""}`, "unknown_type"},
		{"A80 a type of the server", `{"type":"welcome"}`, "unknown_type"},
		{"A80 a handler's name", `{"type":"dispatch.__class__"}`, "unknown_type"},
		{"A80 an event of the layer (K6)", `{"type":"chat.message","room":"a"}`, "unknown_type"},
		{"A82 an object for a text", `{"type":"post","room":"a","nonce":"n","text":{"$gt":""}}`, "bad_type"},
		{"A82 an object for a room", `{"type":"join","room":{"$gt":""}}`, "bad_type"},
		{"A82 a number for a room", `{"type":"join","room":1}`, "bad_type"},
		{"A82 null for a room", `{"type":"join","room":null}`, "bad_type"},
		{"A82 a string for a seq", `{"type":"join","room":"a","after":"1"}`, "bad_type"},
		{"A82 a fraction for a seq", `{"type":"join","room":"a","after":1.5}`, "bad_type"},
		{"A82 a seq beyond 64 bits", `{"type":"join","room":"a","after":99999999999999999999}`, "bad_type"},
		{"A82 a negative seq", `{"type":"history","room":"a","after":-1}`, "bad_seq"},
		{"A82 an object for a ref", `{"type":"ping","ref":{}}`, "bad_type"},
		{"A82 a ref of 65 characters", `{"type":"ping","ref":"` + strings.Repeat("r", 65) + `"}`, "bad_type"},
		{"A82 an object for the type", `{"type":{"a":1}}`, "bad_type"},
		{"A83 no nonce", `{"type":"post","room":"a","text":"hi"}`, "bad_nonce"},
		{"A83 an empty nonce", `{"type":"post","room":"a","nonce":"","text":"hi"}`, "bad_nonce"},
		{"A83 a nonce of 65 characters", `{"type":"post","room":"a","nonce":"` + strings.Repeat("n", 65) + `","text":"hi"}`, "bad_nonce"},
		{"A83 a nonce with a control character", `{"type":"post","room":"a","nonce":"a\u001bb","text":"hi"}`, "bad_nonce"},
		{"A86 NUL in a nonce", `{"type":"post","room":"a","nonce":"a\u0000b","text":"hi"}`, "bad_text"},
		{"A86 NUL in a text", `{"type":"post","room":"a","nonce":"n","text":"a\u0000b"}`, "bad_text"},
		{"A86 NUL in a room", `{"type":"join","room":"a\u0000b"}`, "bad_text"},
		{"A86 NUL in a name", `{"type":"rename","name":"a\u0000b"}`, "bad_text"},
		{"A86 half a surrogate pair", `{"type":"post","room":"a","nonce":"n","text":"\ud83c"}`, "bad_text"},
		{"A89 an array with null", `[null]`, "any"},
		{"A89 an array with null for a room", `{"type":"join","room":[null]}`, "bad_type"},
		{"A90 a byte-order mark", "\ufeff" + `{"type":"ping"}`, "any"},
		{"A92 a second hello", `{"type":"hello"}`, "already"},
		{"A94 a position nobody has reached", `{"type":"join","room":"nobody-was-here","after":5,"epoch":"EPOCH"}`, "bad_seq"},
		{"A94 the greatest position", `{"type":"join","room":"a","after":9223372036854775807,"epoch":"EPOCH"}`, "bad_seq"},
		{"A94 a position without an epoch", `{"type":"join","room":"a","after":5}`, "bad_seq"},
		{"two cursors", `{"type":"history","room":"a","after":1,"before":5}`, "bad_query"},
		{"a room with a slash", `{"type":"join","room":"a/b"}`, "bad_room"},
		{"a room of 65 characters", `{"type":"join","room":"` + strings.Repeat("茶", 65) + `"}`, "bad_room"},
		{"a post where one has not joined (R121)", `{"type":"post","room":"elsewhere","nonce":"n","text":"hi"}`, "not_joined"},
		{"history where one has not joined (R121)", `{"type":"history","room":"elsewhere"}`, "not_joined"},
		{"leaving where one has not joined", `{"type":"leave","room":"elsewhere"}`, "not_joined"},
		{"typing where one has not joined", `{"type":"typing","room":"elsewhere"}`, "not_joined"},
		{"the people where one has not joined", `{"type":"who","room":"elsewhere"}`, "not_joined"},
		{"100 keys", `{"type":"ping"` + manyKeys(100) + `}`, "bad_envelope"},
	}
	return rows
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"k%d":null`, i)
	}
	return b.String()
}

func TestBadEnvelopesGetAnErrorAndTheSocketStaysOpen(t *testing.T) {
	s := besiege(t, "--limits", "off")
	for _, r := range envelopeRows() {
		s.row(t, r.name, func(t *testing.T) {
			g := s.in(t, "a")
			wantError(t, g, strings.ReplaceAll(r.frame, "EPOCH", g.Welcome.Epoch), r.want)
		})
	}
}

func TestFieldsNobodyKnowsAreIgnored(t *testing.T) {
	s := besiege(t, "--limits", "off")
	for name, field := range map[string]string{
		"A81 an unknown field":       `"colour":"green"`,
		"A87 __proto__":              `"__proto__":{"admin":true}`,
		"A87 constructor":            `"constructor":{"prototype":{}}`,
		"A88 a key that begins with": `"@":1`,
		"T109 an embed of the sender": `"embeds":[{"title":"x","url":"javascript:alert(1)"}],"preview":"<b>","html":"<b>",` +
			`"seq":99,"author":{"id":"1","name":"system"},"at":"1999-01-01T00:00:00.000Z"`,
	} {
		s.row(t, name, func(t *testing.T) {
			g := s.in(t, "fields")
			err := g.SendText(`{"type":"post","room":"fields","nonce":"n","text":"only this",` + field + `}`)
			if err != nil {
				t.Fatal(err)
			}
			m, err := guest.Await[wire.MessageFrame](g)
			if err != nil || m.Text != "only this" || m.Author != g.Welcome.You || m.Seq > 10 || m.At.Year() < 2020 {
				t.Errorf("got %+v, %v", m, err)
			}
		})
	}
}

func TestTheLifeOfASocket(t *testing.T) {
	s := besiege(t, "--limits", "off")
	s.row(t, "A75 the tenth bad frame in a row closes", func(t *testing.T) {
		g := s.in(t, "a")
		for i := range 9 {
			if err := g.SendText("nonsense"); err != nil {
				t.Fatal(err)
			}
			if e, err := guest.Await[wire.ErrorFrame](g); err != nil || e.Code != "bad_json" {
				t.Fatalf("frame %d: %+v, %v", i, e, err)
			}
		}
		if err := g.SendText("nonsense"); err != nil {
			t.Fatal(err)
		}
		wantClose(t, g.Conn, 4400)
	})
	s.row(t, "A75 a good frame between bad ones starts the count again", func(t *testing.T) {
		g := s.in(t, "a")
		for range 30 {
			wantError(t, g, "nonsense", "bad_json")
		}
	})
	s.row(t, "A78 100,000 brackets are more than a frame", func(t *testing.T) {
		g := s.in(t, "a")
		if err := g.SendText(strings.Repeat("[", 100_000)); err != nil {
			t.Fatal(err)
		}
		wantClose(t, g.Conn, 1009)
	})
	s.row(t, "K7 more rooms than a socket may join", func(t *testing.T) {
		g := s.enter(t)
		for i := range wire.MaxRooms {
			if _, _, err := g.Join(wire.Join{Room: fmt.Sprint("room ", i)}); err != nil {
				t.Fatal(err)
			}
		}
		wantError(t, g, `{"type":"join","room":"one more"}`, "too_many")
	})
}

func TestHello(t *testing.T) {
	s := besiege(t, "--limits", "off")
	for name, first := range map[string]string{
		"A91 a post before hello":   `{"type":"post","room":"a","nonce":"n","text":"hi"}`,
		"A91 a join before hello":   `{"type":"join","room":"a"}`,
		"A91 nonsense before hello": `nonsense`,
	} {
		s.row(t, name, func(t *testing.T) {
			g, err := guest.Dial(s.Address)
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			if err := g.SendText(first); err != nil {
				t.Fatal(err)
			}
			wantClose(t, g.Conn, 4401)
		})
	}
	s.row(t, "A95 hello with a foreign epoch", func(t *testing.T) {
		_, err := guest.Enter(s.Address, wire.Hello{Epoch: "00000000deadbeef"})
		var closed *socket.Close
		if !errors.As(err, &closed) || closed.Code != 4410 {
			t.Errorf("got %v, want 4410", err)
		}
	})
	s.row(t, "A95 join with a foreign epoch", func(t *testing.T) {
		g, after := s.in(t, "a"), int64(1)
		if err := g.Say("", wire.Join{Room: "a", After: &after, Epoch: "00000000deadbeef"}); err != nil {
			t.Fatal(err)
		}
		wantClose(t, g.Conn, 4410)
	})
	s.row(t, "U116 hello with a token that is not ours", func(t *testing.T) {
		_, err := guest.Enter(s.Address, wire.Hello{Token: canary})
		var closed *socket.Close
		if !errors.As(err, &closed) || closed.Code != 4401 {
			t.Errorf("got %v, want 4401", err)
		}
	})
}

func TestNoncesAndPages(t *testing.T) {
	s := besiege(t, "--limits", "off")
	s.row(t, "A84 the same nonce and text again is the same acknowledgement", func(t *testing.T) {
		g := s.in(t, "nonces")
		p := wire.Post{Room: "nonces", Nonce: "once", Text: "hi"}
		first, again, err := g.Post(p)
		if err != nil || again {
			t.Fatalf("first: again %v, %v", again, err)
		}
		second, again, err := g.Post(p)
		if err != nil || !again || second != first {
			t.Errorf("second: seq %d again %v, %v; want %d", second, again, err, first)
		}
	})
	s.row(t, "A85 the same nonce with another text", func(t *testing.T) {
		g := s.in(t, "nonces")
		if _, _, err := g.Post(wire.Post{Room: "nonces", Nonce: "twice", Text: "hi"}); err != nil {
			t.Fatal(err)
		}
		e := wantError(t, g, `{"type":"post","ref":"r","room":"nonces","nonce":"twice","text":"ho"}`, "nonce_conflict")
		if e.Nonce != "twice" || e.Room != "nonces" || e.Ref != "r" || e.RetryMS != 0 {
			t.Errorf("got %+v", e)
		}
	})
	s.row(t, "A96 a page of a thousand million", func(t *testing.T) {
		g := s.in(t, "pages")
		for i := range wire.MaxHistory + 1 {
			if _, _, err := g.Post(wire.Post{Room: "pages", Nonce: fmt.Sprint(i), Text: "x"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.SendText(`{"type":"history","room":"pages","limit":1000000000}`); err != nil {
			t.Fatal(err)
		}
		page, err := guest.Await[wire.HistoryPage](g)
		if err != nil || len(page.Messages) != wire.MaxHistory || page.First || !page.Last {
			t.Errorf("%d messages, first %v, last %v, %v", len(page.Messages), page.First, page.Last, err)
		}
	})
}
